"""Pseudonyms, tokens and keyed hashes: what stands for people, and what stands for secrets."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def _drawn(count: int) -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(count))


def new_person() -> str:
    """p- and 10 letters: 50 bits that say nothing."""
    return "p-" + _drawn(10)


def new_consent() -> str:
    """c- and 12 letters."""
    return "c-" + _drawn(12)


def new_dialogue() -> str:
    """d- and 10 letters."""
    return "d-" + _drawn(10)


def new_job() -> str:
    """j- and 10 letters."""
    return "j-" + _drawn(10)


def new_line() -> str:
    """l- and 16 letters."""
    return "l-" + _drawn(16)


def new_token() -> str:
    """A secret of 256 bits for a link or a cookie."""
    return secrets.token_urlsafe(32)


def hashed(token: str) -> str:
    """What is stored of a token: it cannot be turned back, and a token cannot be guessed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def keyed(key: bytes, kind: str, said: str) -> str:
    """What is stored of something that could be guessed, such as a name: an HMAC under the project's key."""
    plain = unicodedata.normalize("NFKC", said).strip().casefold()
    body = f"{kind}\0{plain}".encode("utf-8", "surrogatepass")
    return hmac.new(key, body, hashlib.sha256).hexdigest()


def form_token(cookie: str) -> str:
    """What a form must send along with a cookie: only a page of ours can know it."""
    return hmac.new(cookie.encode("utf-8", "surrogatepass"), b"form", hashlib.sha256).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell how much of them is."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))
