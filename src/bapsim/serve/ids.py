"""Names of requests that any worker can tell from invented ones, also after a restart.

`<11 hex digits of milliseconds since 1970><2 of the worker><14 random>-<16 of a MAC>`: they sort by time. The
MAC is BLAKE2b under `service/key`, which every process of the project shares.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bapsim.store import fault

_FORM = re.compile(r"([0-9a-f]{11})([0-9a-f]{2})[0-9a-f]{14}-[0-9a-f]{16}")


class Issued(NamedTuple):
    """When (seconds since 1970) and by which worker a name was given."""

    at: float
    worker: int


def service_key(folder: Path) -> bytes:
    """The key in `service/key`, made by whoever comes first; 0600."""
    path = folder / "key"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        temporary = folder / f".key.{os.getpid()}.{secrets.token_hex(4)}"
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(32))
        fault.sync(temporary)
        try:
            os.link(temporary, path)  # unlike a rename: never over the key of another process
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
        fault.sync(folder)
    return path.read_bytes()


def issuer(key: bytes, worker: int) -> Callable[[int], list[str]]:
    """A function that gives so many new names."""

    sign = signer(key)

    def give(count: int) -> list[str]:
        begin, random = f"{int(time.time() * 1000):011x}{worker % 256:02x}", os.urandom(7 * count).hex()
        return [sign(begin + random[i : i + 14]) for i in range(0, 14 * count, 14)]

    return give


def signer(key: bytes) -> Callable[[str], str]:
    """A function that puts its MAC behind a name."""
    begun = hashlib.blake2b(digest_size=8, key=key)  # the key is worked in once

    def signed(name: str) -> str:
        mac = begun.copy()
        mac.update(name.encode())
        return f"{name}-{mac.hexdigest()}"

    return signed


def issued(key: bytes, said: str) -> Issued | None:
    """When and by whom, or None for a name that nobody here gave."""
    found = _FORM.fullmatch(said)
    if found is None or not hmac.compare_digest(signer(key)(said[:27]), said):
        return None
    return Issued(int(found[1], 16) / 1000, int(found[2], 16))
