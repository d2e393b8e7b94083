"""How a service stands, as facts for the page, the terminal and programs: what all its workers saw, what the
model's out-of-fold answers let expect, the release, and what the ledger says.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np

from bapsim.core.errors import BapsimError, InputError
from bapsim.core.records import Task
from bapsim.judge.drift import Drift, shift_of_mix, shift_of_share, shift_of_values
from bapsim.serve import deployment, release
from bapsim.serve.keeping import facts, live_path
from bapsim.serve.live import Json, together
from bapsim.serve.models import FAR, UNSURE, Expected, expected
from bapsim.serve.serving import Service
from bapsim.store.project import opened

FRESH = 10.0  # seconds for which what a worker wrote is news
KINDS = 8  # of answers that are shown by name
PAST = 20  # changes of the release that are shown


async def of_worker(service: Service) -> Json:
    """The facts as a worker knows them: its own of this moment, those of others of a second ago."""
    own = facts(service)
    work = (service.root, service.task, service.deployment.name, own)
    return await asyncio.get_running_loop().run_in_executor(None, status, *work)


def status(root: Path, task: Task, name: str, own: Json | None = None) -> Json:
    """The facts of a deployment; raises InputError for one that never served."""
    terms = deployment.read(root, name)
    if not terms.since:
        known = ", ".join(deployment.names(root)) or "-"
        raise InputError("never_served", name=name, known=known)
    running = own is not None or deployment.runs(root, name)
    parts = _parts(root, name, own, running)
    now = time.time()
    seen = together(parts, now)
    held = release.read(root)
    serves = _role(parts, "serves") if running else None
    serves = serves or release.serving(root, held)
    hours = seen.pop("versions")
    return {
        "deployment": name,
        "running": running,
        "workers": len(parts) if running else 0,
        "at": now,
        "terms": {term: getattr(terms, term) for term in ("since", *deployment.TERMS)},
        "serves": serves,
        "fixed": held.serves is not None,
        "named": next(iter(_used(root)), None),
        "shadow": held.shadow,
        "canary": held.canary,
        "share": held.share,
        "history": [one._asdict() for one in reversed(held.history[-PAST:])],
        **seen,
        "versions": {version: _shares(one) for version, one in hours.items()},
        "agreement": [_agreement(held, version, one) for version, one in seen["beside"].items()],
        "drift": None if serves is None else drift(_expected(root, serves, task), hours.get(serves)),
        "log": _log(parts),
        "warnings": {key: why for part in parts for key, why in part["warnings"].items()},
        "waiting": sum(part["waiting"] for part in parts),
        **_ledger(root),
    }


def _parts(root: Path, name: str, own: Json | None, running: bool) -> list[Json]:
    """What each worker has seen."""
    found = [] if own is None else [own]
    for path in sorted(release.folder_of(root).glob(f"live-{name}-w*.json")):
        try:
            part = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            continue
        mine = own is not None and part["worker"] == own["worker"]
        stale = running and time.time() - part["at"] > FRESH
        if not mine and not stale and path == live_path(root, name, part["worker"]):
            found.append(part)
    return found


def _role(parts: list[Json], role: str) -> str | None:
    return next((part["roles"].get(role) for part in parts), None)


def _used(root: Path) -> list[str]:
    try:
        return release.used(root)
    except BapsimError:
        return []


def _shares(one: Json) -> Json:
    """Of one version: rows of the last day, and the shares that were unsure or far from its training."""
    rows, scoped = one["rows"], one["scoped"]
    unsure = one["unsure"] / rows if rows else None
    return {"rows": rows, "unsure": unsure, "far": one["far"] / scoped if scoped else None}


def _agreement(held: release.Release, version: str, one: Json) -> Json:
    """How often a model beside says the same, with the 95 % interval of Wilson."""
    n, k = one["compared"], one["agreed"]
    role = "canary" if version == held.canary else "shadow" if version == held.shadow else "past"
    low = high = share = None
    if n:
        share, z = k / n, 1.96
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        low, high = max(middle - half, 0.0), min(middle + half, 1.0)
    return {"version": version, "role": role, **one, "share": share, "low": low, "high": high}


@lru_cache(maxsize=8)
def _known(folder: Path, _changed: int, task: Task) -> Expected:
    return expected(folder, task)


def _expected(root: Path, version: str, task: Task) -> Expected:
    """What a version's out-of-fold answers let expect; read once."""
    try:
        folder = release.model_folder(root, version)
        return _known(folder, folder.stat().st_mtime_ns, task)
    except (BapsimError, OSError):
        return Expected()


def drift(wanted: Expected, seen: Json | None) -> Json | None:
    """What the last day's answers say of drift, against the out-of-fold answers of the model that gave them;
    None where there is nothing to compare.
    """
    if seen is None or not seen["rows"] or not wanted.mix:
        return None
    names = sorted({*wanted.mix, *seen["mix"]})
    here = np.array([wanted.mix.get(name, 0) for name in names], np.int64)
    there = np.array([seen["mix"].get(name, 0) for name in names], np.int64)
    found = {"mix": shift_of_mix(here, there)}
    if wanted.sure:
        found["confidence"] = shift_of_values(
            np.array(wanted.sure, np.int64), np.array(seen["sure"], np.int64)
        )
        found["unsure"] = shift_of_share(UNSURE, seen["unsure"], sum(seen["sure"]))
    if seen["scoped"]:
        found["far"] = shift_of_share(FAR, seen["far"], seen["scoped"])
    said: Json = {name: _plain(one) for name, one in found.items()}
    shares = (here / max(here.sum(), 1), there / max(there.sum(), 1))
    order = np.argsort(-np.abs(shares[0] - shares[1]), kind="stable")[:KINDS].tolist()
    kinds = [
        {"name": _tenth(wanted, names[i]), "expected": float(shares[0][i]), "seen": float(shares[1][i])}
        for i in order
    ]
    states = [one.state for one in found.values()]
    state = next((state for state in ("yes", "no") if state in states), "few")
    return said | {"kinds": kinds, "drifted": state == "yes", "state": state}


def _tenth(wanted: Expected, name: str) -> str:
    """The name of a kind; of numbers, where its tenth lies."""
    if not wanted.edges:
        return name
    i = int(name)
    low = f"{wanted.edges[i - 1]:.4g}" if i else ""
    high = f"{wanted.edges[i]:.4g}" if i < len(wanted.edges) else ""
    return f"{low} – {high}".strip()


def _plain(one: Drift) -> Json:
    return {**asdict(one), "state": one.state}


def _log(parts: list[Json]) -> Json:
    counts = ("lost", "written", "masked", "retired", "untaken")
    said: Json = {name: sum(part["log"][name] for part in parts) for name in counts}
    return said | {"failing": next((p["log"]["failing"] for p in parts if p["log"]["failing"]), None)}


def _ledger(root: Path) -> Json:
    """What the ledger says of questions and turns."""
    try:
        with opened(root, writing=False) as project:
            asked = project.ledger.value("select count(*) from question where state='open'")
            turn = project.ledger.value("select max(n) from turn where state='done'")
    except BapsimError:
        asked, turn = 0, None
    return {"questions": int(asked), "turn": turn}
