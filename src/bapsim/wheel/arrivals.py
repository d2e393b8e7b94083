"""What has come into the inbox since the last turn began: counted, not taken in.

The ledger says how large each file was then, and its digest, whoever made that turn; of a log that has grown
only the new lines are read, and those once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bapsim.compose.when import FEW, Arrived
from bapsim.core.arrow import numbers, strings
from bapsim.core.errors import BapsimError
from bapsim.core.recipe import Recipe
from bapsim.core.records import Task
from bapsim.gather.answers import BESIDE, read_answers
from bapsim.gather.service import Service
from bapsim.judge.drift import CHANCE, FEWEST, histogram, shift_of_mix, shift_of_values
from bapsim.store.project import Project
from bapsim.wheel.attempt import last_attempt
from bapsim.wheel.audit import stands
from bapsim.wheel.candidates import NAME
from bapsim.wheel.held_out import OOF, table_of
from bapsim.wheel.snapshot import Manifest, Sizes, Taken, inventory, taken, unchanged
from bapsim.wheel.stock import PENDING, TRAINED, load_stock

BINS = 20  # of confidence
UNSURE = 0.5  # confidence below which a request is one that the model does not know
NOTHING = Taken(0, 0)
LOG, ANSWERS = "service/", "answers/"  # folders of the inbox that are looked into


@dataclass
class Lines:
    """What the new lines of one log segment say, read up to a byte; of each request the last word counts."""

    upto: int
    counts: Counter[str] = field(default_factory=Counter)
    labels: dict[str, str | None] = field(default_factory=dict)  # by request; None = a set or a number
    errors: set[str] = field(default_factory=set)
    said: list[tuple[str, str, float]] = field(default_factory=list)  # model, prediction, confidence


@dataclass
class Watched:
    """What is remembered between two looks: lines already read, by file, rows by label that are known, and
    what the last look saw and said: nothing is counted again while nothing came.
    """

    turn: int = -1
    manifest: Manifest = field(default_factory=dict)
    known: Mapping[str, int] = field(default_factory=dict)
    drift: Mapping[str, float] = field(default_factory=dict)  # by version, when a turn was last made
    segments: dict[str, Lines] = field(default_factory=dict)
    sheets: dict[str, tuple[tuple[int, int], int]] = field(default_factory=dict)
    last: tuple[tuple[Sizes, str | None], Arrived] | None = None


def look(project: Project, recipe: Recipe, past: Watched) -> Arrived:
    """What came in since the last turn began; `past` is brought up to date."""
    turn = int(project.ledger.value("select coalesce(max(n), 0) from turn"))
    if past.turn != turn:
        past.turn, past.segments, past.last = turn, {}, None
        past.manifest, past.drift = taken(project.ledger), last_attempt(project.root).drift
        past.known = rows_by_label(project, recipe.task)
    sees = inventory(project.inbox), serving(project)
    if past.last is None or past.last[0] != sees:
        past.last = sees, _counted(project, recipe, past, sees[0])
    return replace(past.last[1], days=days_since(project, turn))


def _counted(project: Project, recipe: Recipe, past: Watched, now: Sizes) -> Arrived:
    fresh = {name: size for name, size in now.items() if _differs(project.inbox, name, size, past)}
    logs = [name for name in fresh if _is_log(name)]
    past.segments = {name: _lines(project.inbox, name, now[name][0], past) for name in logs}
    counts, labels, errors = Counter[str](), dict[str, str | None](), set[str]()
    for one in past.segments.values():
        counts.update(one.counts)
        labels |= one.labels
        errors |= one.errors
    sheets = [name for name in fresh if name.startswith(ANSWERS) and not name.endswith(BESIDE)]
    growing = _growing(recipe, past.manifest)
    others = [n for n in fresh if n not in past.segments and n not in sheets and not _beside(n)]
    drift = drift_of(project, past)
    return Arrived(
        answers=sum(_answers(project.inbox, name, fresh[name], recipe.task, past) for name in sheets),
        files=len([name for name in others if name not in growing]),
        requests=counts["request"],
        corrections=len(labels),
        errors=len(errors),
        unsure=counts["unsure"],
        rare={
            label: n
            for label, n in Counter(labels.values()).items()
            if label is not None and past.known.get(label, 0) < FEW
        },
        drift=None if drift is None else drift[1] - past.drift.get(drift[0], 0.0),
        bytes=sum(max(size - past.manifest.get(name, NOTHING).size, 1) for name, (size, _) in fresh.items()),
    )


def _differs(inbox: Path, name: str, size: tuple[int, int], past: Watched) -> bool:
    """Whether a file is new or has other bytes; that only its date changed is remembered."""
    then = past.manifest.get(name)
    if then is None or not unchanged(inbox / name, size, then):
        return True
    past.manifest[name] = then._replace(at=size[1])
    return False


def serving(project: Project) -> str | None:
    """The version that the ledger lets serve."""
    found = project.ledger.value("select version from used order by n desc limit 1")
    return None if found is None else str(found)


def drift_of(project: Project, past: Watched) -> tuple[str, float] | None:
    """The version that serves, and how far its new requests are from the rows that it learnt from.

    By its answers: the mix of classes (population stability index) or the confidence (largest gap), whichever
    is larger, where it is more than chance; else 0. None where nothing serves or too few requests came.
    """
    version = serving(project)
    oof = project.models / NAME / str(version) / "judged" / OOF
    seen = [(p, c) for one in past.segments.values() for model, p, c in one.said if model == version]
    if version is None or not oof.exists() or len(seen) < FEWEST:
        return None
    table = table_of(oof, ["prediction", "confidence"])
    learnt = np.array(strings(table.column("prediction")), object)
    there = np.array([one is not None for one in learnt], bool)
    kinds, of = np.unique([*learnt[there], *(p for p, _ in seen)], return_inverse=True)
    counts = [np.bincount(part, minlength=len(kinds)) for part in np.split(of, [there.sum()])]
    sure = [
        histogram(c, BINS)
        for c in (numbers(table.column("confidence"))[there], np.array([c for _, c in seen]))
    ]
    found = (shift_of_mix(counts[0], counts[1]), shift_of_values(sure[0], sure[1]))
    return version, max((one.size for one in found if one.p < CHANCE), default=0.0)


def days_since(project: Project, turn: int) -> float:
    """Days since a turn began; of one that a wrong clock dated ahead, as many as it is ahead."""
    said = project.ledger.value("select started from turn where n=?", turn)
    began = datetime.fromtimestamp(0, UTC) if said is None else datetime.fromisoformat(said)
    return abs((datetime.now(UTC) - began).total_seconds()) / 86400


def rows_by_label(project: Project, task: Task) -> dict[str, int]:
    """How many rows of each label are trained on; nothing of numbers and sets, which are never rare."""
    if task.answer != "class" or not project.shards():
        return {}
    stock = load_stock(project, task)
    stand = np.isin(stands(project, stock), [TRAINED, PENDING])
    return dict(Counter(stock.labels[stand & stock.labelled].tolist()))


def _is_log(name: str) -> bool:
    return name.startswith(LOG) and name.endswith(".jsonl")


def _beside(name: str) -> bool:
    """Pictures of the log, and what lies beside a sheet, are named by something else."""
    return name.endswith(BESIDE) or name.startswith(LOG)


def _growing(recipe: Recipe, before: Manifest) -> set[str]:
    """Logs that another program of the user appends to: known before, and nobody dropped them now."""
    paths = tuple(one.path for one in recipe.sources.values() if isinstance(one, Service))
    return {name for name in before if name.startswith(paths)}


def _answers(inbox: Path, name: str, size: tuple[int, int], task: Task, past: Watched) -> int:
    """Filled lines of a sheet, read once; one that cannot be read is the turn's to complain of."""
    known = past.sheets.get(name)
    if known is None or known[0] != size:
        try:
            rows = len(read_answers(inbox / name, task.target).answers)
        except (BapsimError, OSError):
            rows = 0
        past.sheets[name] = known = (size, rows)
    return known[1]


def _lines(inbox: Path, name: str, size: int, past: Watched) -> Lines:
    """What a log says since the last turn; one that became shorter is another one of this name."""
    known = past.segments.get(name)
    if known is None:
        known = Lines(past.manifest.get(name, NOTHING).size)
    lines = known if known.upto <= size else Lines(0)
    _read(inbox / name, lines)
    return lines


def _read(path: Path, lines: Lines) -> None:
    """Whole lines behind `upto`; what is no line of ours is the turn's to complain of."""
    with suppress(OSError), path.open("rb") as file:  # it was rotated away: the turn says so
        file.seek(lines.upto)
        for body in file:
            if not body.endswith(b"\n"):
                break
            lines.upto += len(body)
            with suppress(ValueError, RecursionError, OverflowError):
                said = json.loads(body)
                if isinstance(said, dict):
                    _count(said, lines)


def _count(said: dict[str, Any], lines: Lines) -> None:
    if "input" in said:
        lines.counts["request"] += 1
        confidence = said.get("confidence")
        if isinstance(confidence, int | float) and 0 <= confidence <= 1:
            lines.counts["unsure"] += confidence < UNSURE
            lines.said.append((str(said.get("model")), str(said.get("prediction")), float(confidence)))
        return
    correction, request = said.get("correction"), str(said.get("request"))
    if correction is not None:
        lines.labels[request] = correction if isinstance(correction, str) else None
    if said.get("thumbs") == -1 or said.get("out_of_scope") is True:
        lines.errors.add(request)
