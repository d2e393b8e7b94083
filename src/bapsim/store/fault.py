"""Every durable step passes here, so that tests can end the process at each of them.

With BAPSIM_FAULT=n in the environment the process kills itself (signal 9) at the n-th point; with
BAPSIM_FAULT_LOG=file the names of the points passed are appended to that file.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

_passed = 0


def point(name: str) -> None:
    """A named moment at which a crash must lose nothing."""
    global _passed  # noqa: PLW0603  one counter a process is the point
    _passed += 1
    log = os.environ.get("BAPSIM_FAULT_LOG")
    if log:
        with Path(log).open("a", encoding="utf-8") as out:
            out.write(name + "\n")
    if os.environ.get("BAPSIM_FAULT") == str(_passed):
        os.kill(os.getpid(), signal.SIGKILL)


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    point(f"before sync {path.suffix or 'folder'}")
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def rename(old: Path, new: Path) -> None:
    """Put a finished, synced file or folder in its place, and sync the place."""
    point("before rename")
    old.replace(new)
    sync(new.parent)
    point("after rename")


def commit(db: sqlite3.Connection, what: str) -> None:
    """Commit a transaction of the ledger."""
    point(f"before commit {what}")
    db.execute("commit")
    point(f"after commit {what}")


def write(path: Path, body: bytes) -> None:
    """A whole file, or nothing: temporary name, sync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(body)
    sync(temporary)
    rename(temporary, path)
