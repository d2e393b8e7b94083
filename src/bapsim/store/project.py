"""A user's project on disk: where things lie, the key, and the one writer.

my-domain/
  recipe.py   the user's
  inbox/      files, answers and logs are dropped here; a turn takes a snapshot
  wheel/      records, verdicts, models, ledger.sqlite, key (0600, never exported)
  reports/    one folder a turn
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from bapsim.core.errors import InputError, Locked, StoreError
from bapsim.store import fault
from bapsim.store.lake import Shard, of_generation
from bapsim.store.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class Project:
    """An open project. secret: the key of ids and of the audit chain."""

    root: Path
    ledger: Ledger
    secret: bytes

    @property
    def wheel(self) -> Path:
        return self.root / "wheel"

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    @property
    def models(self) -> Path:
        return self.wheel / "models"

    def shards(self, before: int | None = None) -> list[Shard]:
        """All shards of records in the order in which they were gathered, or those of turns before one."""
        query = "select path, generation, rows, sha256 from shard where turn < ? order by rowid"
        rows = self.ledger.rows(query, 1 << 60 if before is None else before)
        return [
            Shard(path=of_generation(r["path"], r["generation"]), rows=r["rows"], sha256=r["sha256"])
            for r in rows
        ]


def is_project(root: Path) -> bool:
    """Whether a folder holds a recipe."""
    return (root / "recipe.py").is_file()


def _secret(wheel: Path) -> bytes:
    path = wheel / "key"
    if not path.exists():
        if (wheel / "ledger.sqlite").exists():
            raise StoreError("key_is_gone", path=str(path))
        temporary = path.with_name("key.tmp")
        temporary.unlink(missing_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        seed = os.environ.get("BAPSIM_KEY")  # a fixed key makes runs comparable, in tests and labs
        with os.fdopen(handle, "wb") as file:
            file.write(bytes.fromhex(seed) if seed else secrets.token_bytes(32))
        fault.sync(temporary)
        fault.rename(temporary, path)
    secret = path.read_bytes()
    if not secret:
        raise StoreError("key_is_gone", path=str(path))
    return secret


@contextmanager
def opened(root: Path, *, writing: bool = True) -> Iterator[Project]:
    """The project in a folder, for one writer or for readers.

    Raises InputError where there is no project, Locked when another process writes.
    """
    if not is_project(root):
        raise InputError("no_project", path=str(root))
    wheel = root / "wheel"
    if not writing and not (wheel / "ledger.sqlite").exists():
        raise InputError("no_turn_yet", path=str(root))
    if writing:
        wheel.mkdir(parents=True, exist_ok=True)
    with (wheel / "lock").open("a+") if writing else nullcontext() as lock:
        if lock is not None:
            _lock(lock.fileno(), wheel)
            _sweep(wheel)
        ledger = Ledger(wheel / "ledger.sqlite", _secret(wheel), writing=writing)
        try:
            yield Project(root=root, ledger=ledger, secret=_secret(wheel))
        finally:
            ledger.close()


def _lock(handle: int, wheel: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Locked("locked", path=str(wheel)) from error


def _sweep(wheel: Path) -> None:
    """What a killed writer left half-way has a temporary name."""
    for path in list(wheel.rglob("*.tmp")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)  # it may have lain in a folder that went before
