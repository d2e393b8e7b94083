"""Passwords: argon2id with the library's recommended cost, a few at a time.

Each takes some 64 MiB and a tenth of a second; who is unknown costs as much as who gives a wrong password, so
that nobody learns who has an account.
"""

from __future__ import annotations

import asyncio
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from bapsim.serve.refused import bad

SHORTEST, LONGEST = 10, 200
_LANES = ThreadPoolExecutor(2, thread_name_prefix="password")


@cache
def _hasher() -> Any:
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobody() -> str:
    return str(_hasher().hash("nobody has this password"))


def _plain(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


def fit(password: str) -> str:
    """A password that may be used; raises Refused for one that is too short, too long, or all one letter."""
    if not SHORTEST <= len(_plain(password)) <= LONGEST:
        raise bad("password_length", "password", least=SHORTEST, most=LONGEST)
    if len(set(password)) < 4:
        raise bad("password_weak", "password")
    return password


async def hashed(password: str) -> str:
    """What is stored of a password."""
    work = asyncio.get_running_loop().run_in_executor(_LANES, _hasher().hash, _plain(password))
    return str(await work)


async def fits(stored: str | None, password: str) -> bool:
    """Whether this is the password; None: of nobody, which takes as long."""
    return await asyncio.get_running_loop().run_in_executor(_LANES, _fits, stored, _plain(password))


def _fits(stored: str | None, password: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        _hasher().verify(stored or _nobody(), password)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None
