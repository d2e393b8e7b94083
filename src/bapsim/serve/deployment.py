"""A deployment by name: under which rights, for which purpose and consent its log may be used."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bapsim.core.errors import Damaged, InputError, Locked
from bapsim.serve.release import folder_of
from bapsim.store import fault
from bapsim.store.ledger import now

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_WORKER = re.compile(r".*-w[0-9]+")  # a name that would read as a worker's
TERMS = ("rights", "purpose", "consent", "pii", "durable", "retain")


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """pii: "mask" or "keep"; retain: days after which what a turn has taken is deleted, None = never; before:
    earlier terms, each with the time from which it held.
    """

    name: str = "main"
    rights: str = "own"
    purpose: str | None = None
    consent: str | None = None
    pii: str = "mask"
    durable: bool = False
    retain: int | None = None
    since: str = ""
    before: tuple[dict[str, Any], ...] = ()


def path_of(root: Path, name: str) -> Path:
    """Where a deployment is written down; raises InputError for a name that cannot be one."""
    if not _NAME.fullmatch(name) or _WORKER.fullmatch(name):
        raise InputError("deployment_name", name=name)
    return folder_of(root) / f"deployment-{name}.json"


def read(root: Path, name: str) -> Deployment:
    """A deployment as it was written down; a new one where it never was."""
    path = path_of(root, name)
    try:
        said = json.loads(path.read_text("utf-8"))
        return Deployment(**said | {"before": tuple(said["before"])})
    except FileNotFoundError:
        return Deployment(name=name)
    except (OSError, ValueError, TypeError, KeyError) as why:
        raise Damaged("release_unreadable", path=str(path), why=str(why)) from why


def names(root: Path) -> list[str]:
    """All deployments of a project."""
    files = folder_of(root).glob("deployment-*.json")
    return sorted(path.stem.removeprefix("deployment-") for path in files)


def agreed(root: Path, name: str, said: dict[str, Any]) -> Deployment:
    """The deployment under these terms from now on (None: as before); a change is remembered."""
    old = read(root, name)
    new = replace(old, **{term: value for term, value in said.items() if value is not None})
    if old.since and all(getattr(new, term) == getattr(old, term) for term in TERMS):
        return old
    past = {term: getattr(old, term) for term in ("since", *TERMS)}
    new = replace(new, since=now(), before=(*old.before, past) if old.since else ())
    body = json.dumps(asdict(new), ensure_ascii=False, indent=1).encode() + b"\n"
    fault.write(path_of(root, name), body)
    return new


@contextmanager
def held(root: Path, name: str) -> Iterator[int]:
    """The one service of this name on this machine, for as long as any of its processes lives; yields the
    handle of its lock, which workers inherit. Raises Locked.
    """
    path = path_of(root, name).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        for left in (2, 1, 0):  # `runs` holds it for a moment, too
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as why:
                if not left:
                    raise Locked("already_serves", name=name) from why
                time.sleep(0.05)
        yield handle
    finally:
        os.close(handle)


def runs(root: Path, name: str) -> bool:
    """Whether a service of this name runs."""
    try:
        with held(root, name):
            return False
    except Locked:
        return True
