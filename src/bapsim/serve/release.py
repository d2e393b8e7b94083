"""Which model serves, and which others run beside it: `service/release.json`, shared by all processes.

Whoever changes it holds a lock and writes the file whole, so that a reader sees one state or the next. Who
serves is `serves`, or where that is null the newest row of the ledger's table `used`.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from bapsim.core.errors import Damaged, InputError
from bapsim.store import fault
from bapsim.store.ledger import now
from bapsim.store.project import opened
from bapsim.wheel.candidates import NAME

KEPT = 200  # changes that are remembered
What = Literal["switch", "shadow", "canary", "promote", "rollback"]


class Change(NamedTuple):
    """One line of the history; version None: nobody, or (of a switch) whom the ledger names."""

    at: str
    what: str
    version: str | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Release:
    """n: number of changes so far; serves: None = whom the ledger names; share: of the canary in requests."""

    n: int = 0
    serves: str | None = None
    shadow: str | None = None
    canary: str | None = None
    share: float = 0.1
    history: tuple[Change, ...] = ()


def folder_of(root: Path) -> Path:
    """Where the running service and other processes share what they know."""
    return root / "service"


def read(root: Path) -> Release:
    """The release as it stands; the first one where nothing was ever changed."""
    path = folder_of(root) / "release.json"
    try:
        said = json.loads(path.read_text("utf-8"))
        past = tuple(Change(**one) for one in said.pop("history"))
        return Release(**said, history=past)
    except FileNotFoundError:
        return Release()
    except (OSError, ValueError, TypeError, KeyError) as why:
        raise Damaged("release_unreadable", path=str(path), why=str(why)) from why


def change(root: Path, what: What, version: str | None, reason: str, **fields: Any) -> Release:
    """Change the release, for all processes, and say why; returns it as it stands then.

    switch: `version` serves (None: whom the ledger names). shadow, canary: it runs beside (None: no more);
    `share` of requests for a canary. promote: the canary serves; without one, whom the ledger names.
    rollback: the canary (or shadow) ends, or, where `version` serves or is None, who served before it does
    again. A rollback of what runs no more changes nothing. Raises InputError for a version that has no
    model, an empty reason, another share than 0 < share < 1, or where there is nothing to go back to.
    """
    if what not in get_args(What):
        raise InputError("release_what", what=what, known=", ".join(get_args(What)))
    if not reason.strip():
        raise InputError("reason_is_empty")
    with _locked(root):
        old = read(root)
        new = _changed(root, old, what, version, fields)
        if new is None:
            return old
        if new.shadow is not None and new.shadow == serving(root, new):  # it serves now: no shadow of itself
            new = replace(new, shadow=None)
        said = new.canary if what == "canary" else new.serves if what == "switch" else version
        if version is None and what in ("promote", "rollback"):
            said = old.canary or (None if what == "promote" else serving(root, old))
        entry = Change(now(), what, said, reason.strip())
        new = replace(new, n=old.n + 1, history=(*old.history, entry)[-KEPT:])
        body = asdict(new) | {"history": [one._asdict() for one in new.history]}
        fault.write(
            folder_of(root) / "release.json", json.dumps(body, ensure_ascii=False, indent=1).encode() + b"\n"
        )
        return new


def settle(root: Path, duel: dict[str, Any] | None) -> str | None:
    """End the trial of a canary that a duel has settled: the ledger names who serves, better or worse.

    Returns the version that services are held at, by a person or a rollback, whomever the ledger names.
    """
    if duel is not None and duel["verdict"] != "undecided" and read(root).canary == duel["second"]:
        if duel["verdict"] == "accept":
            change(root, "canary", None, "the duel: better; it is proven and serves")
        else:
            change(root, "rollback", duel["second"], "the duel: worse")
    return read(root).serves


def _changed(
    root: Path, old: Release, what: str, version: str | None, fields: dict[str, Any]
) -> Release | None:
    if version is not None and what != "rollback":
        model_folder(root, version)
    if what == "shadow" and version is not None and version == serving(root, old):
        raise InputError("release_itself", version=version)
    if what == "switch":
        return replace(old, serves=version, canary=None if old.canary == version else old.canary)
    if what == "shadow":
        return replace(old, shadow=version)
    if what == "canary":
        share = float(fields.get("share", old.share))
        if not 0 < share < 1:
            raise InputError("release_share", share=share)
        return replace(old, canary=version, share=share)
    if what == "promote":
        return replace(old, serves=version or old.canary, canary=None)
    return _back(root, old, version)


def _back(root: Path, old: Release, version: str | None) -> Release | None:
    if old.canary is not None and version in (None, old.canary):
        return replace(old, canary=None)
    if old.shadow is not None and version == old.shadow:
        return replace(old, shadow=None)
    serves = serving(root, old)
    if version not in (None, serves):
        return None
    before = before_that(root, old)
    if before is None:
        raise InputError("nothing_before", version=serves or "-")
    return replace(old, serves=before)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    folder_of(root).mkdir(parents=True, exist_ok=True)
    with (folder_of(root) / "lock").open("a+") as lock:
        fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
        yield


# --- who serves -----------------------------------------------------------------------------------


def used(root: Path) -> list[str]:
    """The versions that the ledger says were used, the newest first."""
    with opened(root, writing=False) as project:
        return [str(r["version"]) for r in project.ledger.rows("select version from used order by n desc")]


def serving(root: Path, release: Release) -> str | None:
    """The version that serves."""
    if release.serves is not None:
        return release.serves
    return next(iter(used(root)), None)


def before_that(root: Path, release: Release) -> str | None:
    """The version that served before the one that does: by the history, else by the ledger; none that was
    rolled back, unless it was chosen again since.
    """
    serves, ledger = serving(root, release), used(root)
    undone: set[str | None] = set()
    past: list[str | None] = []
    for one in release.history:
        version = one.version or next(iter(ledger), None)  # None: whom the ledger names
        if one.what == "rollback":
            undone.add(one.version)
        elif one.what in ("switch", "promote"):
            undone.discard(version)
            past.append(version)
    for version in [*reversed(past), *ledger]:
        if version not in (None, serves) and version not in undone:
            return version
    return None


def newest(root: Path) -> str:
    """The newest model that can answer; raises InputError where there is none."""
    with opened(root, writing=False) as project:
        rows = project.ledger.rows("select version from model order by turn desc, rowid desc")
    for row in rows:
        if _folder(root, str(row["version"])) is not None:
            return str(row["version"])
    raise InputError("nothing_serves")


def model_folder(root: Path, version: str) -> Path:
    """Where the model of a version lies: the one made to serve, else the judged one; raises InputError."""
    folder = _folder(root, version)
    if folder is None:
        models = root / "wheel" / "models" / NAME
        known = sorted(p.name for p in models.iterdir()) if models.is_dir() else []
        raise InputError("unknown_version", version=version, known=", ".join(known) or "-")
    return folder


def _folder(root: Path, version: str) -> Path | None:
    if "/" in version or version in ("", ".", "..") or "\0" in version:
        return None
    home = root / "wheel" / "models" / NAME / version
    return next((home / kind for kind in ("served", "judged") if (home / kind).is_dir()), None)
