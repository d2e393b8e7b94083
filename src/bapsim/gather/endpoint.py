"""An OpenAI-compatible chat endpoint, described: what is asked of which model, by which rules, at what price.

Where it is, its key, and how fast it may be asked are no part of what it is: two houses that ask one model
the same have one fingerprint. The key is read from the environment when a call is made and kept nowhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from bapsim.core.errors import InputError, RecipeError
from bapsim.mods import Money
from bapsim.text.json_schema import unknown_keywords

MILLION = 1_000_000
OVERHEAD = 64  # tokens that a chat template may put around the messages
APART = {"identity": False}  # no part of what it is
_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#@]*)?")
_HEADER = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a million tokens cost: those that the model reads, and those that it writes."""

    reads: Money
    writes: Money

    def __post_init__(self) -> None:
        if self.reads.currency != self.writes.currency:
            raise InputError("two_currencies", price=self.reads, ceiling=self.writes)

    def cost(self, tokens_in: int, tokens_out: int) -> int:
        """Millionths of a minor unit, exactly."""
        return tokens_in * self.reads.minor + tokens_out * self.writes.minor


@dataclass(frozen=True)
class Request:
    """Messages (role, text), the number of the sample, and the ids of the records whose text is in them."""

    messages: tuple[tuple[str, str], ...]
    _: KW_ONLY
    sample: int = 0
    made_from: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Endpoint:
    """A model behind an address, and how it is asked (`gather.asking.ask`, `gather.prompted.prompted`).

    url: up to /v1; key_env: the variable of the environment with the key (None: no key is sent); schema:
    of the JSON that is asked for (None: plain text), checked here whatever the server says; max_tokens: of an
    answer, in the field that `limit` names; seed: sample n is asked with seed + n (None: the server chooses);
    extra: further fields of the request; price, ceiling: money for everything under the tape's purpose, which
    is never passed, as each request reserves the most that it can cost; per_minute: requests that may leave
    within any 60 seconds; timeout: seconds for one request; retries: after an answer that says to try
    again, with `backoff` seconds doubling each time; patience: the longest wait that a server may ask for;
    ours: the host is the house's own, though its name does not tell.
    Raises InputError for an address, a number or a price that cannot be, RecipeError for a schema with words
    that are not checked here.
    """

    url: str = field(metadata=APART)
    _: KW_ONLY
    model: str
    schema: Mapping[str, Any] | None = None
    max_tokens: int = 512
    temperature: float = 1.0
    top_p: float | None = None
    seed: int | None = None
    limit: str = "max_tokens"
    extra: Mapping[str, Any] = field(default_factory=dict)
    key_env: str | None = field(default=None, metadata=APART)
    price: Price | None = field(default=None, metadata=APART)
    ceiling: Money | None = field(default=None, metadata=APART)
    concurrency: int = field(default=16, metadata=APART)
    per_minute: int | None = field(default=None, metadata=APART)
    timeout: float = field(default=60.0, metadata=APART)
    retries: int = field(default=5, metadata=APART)
    backoff: float = field(default=0.5, metadata=APART)
    patience: float = field(default=120.0, metadata=APART)
    ours: bool = field(default=False, metadata=APART)

    def __post_init__(self) -> None:
        if not _URL.fullmatch(self.url):
            raise InputError("synthesis_address", url=re.sub(r"//[^/]*@|[?#].*", "//", self.url)[:80])
        per_minute = 1 if self.per_minute is None else self.per_minute
        least: dict[str, float] = {
            "max_tokens": self.max_tokens,
            "concurrency": self.concurrency,
            "per_minute": per_minute,
        }
        least |= {"timeout": self.timeout, "retries": self.retries + 1, "backoff": self.backoff}
        for name, value in least.items():
            if not value > 0:
                raise InputError("synthesis_number", name=name, value=value)
        if self.ceiling is not None and self.price is None:
            raise InputError("ceiling_without_price", ceiling=self.ceiling)
        if self.price and self.ceiling and self.price.reads.currency != self.ceiling.currency:
            raise InputError("two_currencies", price=self.price.reads, ceiling=self.ceiling)
        strange = unknown_keywords(self.schema) if self.schema is not None else set()
        if strange:
            raise RecipeError("schema_unchecked", words=", ".join(sorted(strange)))

    @property
    def outside(self) -> bool:
        """Whether what is asked leaves the house: the host is neither this machine nor a private address, and
        nobody said that it is `ours`.
        """
        host = (urlsplit(self.url).hostname or "").rstrip(".")
        try:
            address = ip_address(host)
        except ValueError:
            return not (self.ours or host == "localhost" or host.endswith(".localhost"))
        return not (self.ours or address.is_loopback or address.is_private)

    def header(self) -> dict[str, str]:
        """What goes with each request; InputError, without its value, for a key that cannot be sent."""
        head = {"content-type": "application/json", "accept-encoding": "identity"}
        if self.key_env is not None:
            key = os.environ.get(self.key_env, "").strip()
            if not _HEADER.fullmatch(key):
                raise InputError("synthesis_key", variable=self.key_env)
            head["authorization"] = f"Bearer {key}"
        return head

    def stem(self) -> bytes:
        """The part of a request's body that all requests share, open at its end."""
        said: dict[str, Any] = {"model": self.model, "temperature": self.temperature}
        said[self.limit] = self.max_tokens
        if self.top_p is not None:
            said["top_p"] = self.top_p
        if self.schema is not None:
            form = {"name": "answer", "strict": True, "schema": self.schema}
            said["response_format"] = {"type": "json_schema", "json_schema": form}
        return _json(said | dict(self.extra)).encode("utf-8", "replace")[:-1]

    def worst(self, body: bytes) -> tuple[int, int]:
        """The most tokens that a request can read and write: a token is a byte at least."""
        return len(body) + OVERHEAD, self.max_tokens

    def cost(self, tokens_in: int, tokens_out: int) -> int:
        """Millionths of a minor unit; 0 without a price."""
        return self.price.cost(tokens_in, tokens_out) if self.price else 0


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def body_of(stem: bytes, request: Request, seed: int | None) -> tuple[str, bytes]:
    """Key and body of a request: the seed, which follows from the sample, is no part of the key."""
    messages = [{"role": role, "content": said} for role, said in request.messages]
    whole = stem + b',"messages":' + _json(messages).encode("utf-8", "replace")
    key = hashlib.blake2b(whole, digest_size=16).hexdigest()
    if seed is not None:
        whole += b',"seed":%d' % (seed + request.sample)
    return key, whole + b"}"


def endpoint(url: str, *, model: str, **how: Any) -> Endpoint:
    """The endpoint at `url` that serves `model`; how: the other fields of `Endpoint`."""
    return Endpoint(url, model=model, **how)
