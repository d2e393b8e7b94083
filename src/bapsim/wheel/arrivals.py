"""What has come into the inbox since the last turn began: counted, not taken in.

A manifest says how large each file was when the last turn began; of a log that has grown only the new lines
are read. It lies in service/watch.json and may be lost: then what is younger than the last turn counts.
"""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
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
from bapsim.judge.drift import CHANCE, FEWEST, histogram, shift_of_mix, shift_of_values
from bapsim.store import fault
from bapsim.store.project import Project
from bapsim.wheel.audit import stands
from bapsim.wheel.candidates import NAME
from bapsim.wheel.held_out import OOF, table_of
from bapsim.wheel.stock import PENDING, TRAINED, load_stock

BINS = 20  # of confidence
UNSURE = 0.5  # confidence below which a request is one that the model does not know
LOG, ANSWERS = "service/", "answers/"  # folders of the inbox that are looked into

Sizes = dict[str, tuple[int, int]]  # by path in the inbox: bytes, and when it was changed (nanoseconds)


@dataclass
class Lines:
    """What the new lines of one log segment say, read up to a byte."""

    upto: int
    counts: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    said: list[tuple[str, str, float]] = field(default_factory=list)  # model, prediction, confidence


@dataclass
class Watched:
    """What is remembered between two looks: lines already read, by file, and rows by label that are known."""

    turn: int = -1
    manifest: Sizes = field(default_factory=dict)
    known: Mapping[str, int] = field(default_factory=dict)
    drift: dict[str, float] = field(default_factory=dict)  # by version, when a turn was last made
    segments: dict[str, Lines] = field(default_factory=dict)
    sheets: dict[str, tuple[tuple[int, int], int]] = field(default_factory=dict)


def inventory(inbox: Path) -> Sizes:
    """Every visible file of the inbox."""
    found: Sizes = {}
    for place, folders, names in os.walk(inbox):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = Path(place, name)
            with suppress(OSError):  # a file may go while it is looked at
                about = path.stat()
                if not name.startswith(".") and stat.S_ISREG(about.st_mode):
                    found[path.relative_to(inbox).as_posix()] = about.st_size, about.st_mtime_ns
    return found


def look(project: Project, recipe: Recipe, past: Watched) -> Arrived:
    """What came in since the last turn began; `past` is brought up to date."""
    turn = int(project.ledger.value("select coalesce(max(n), 0) from turn"))
    began = began_at(project, turn)
    now = inventory(project.inbox)
    if past.turn != turn:
        past.turn, past.segments = turn, {}
        past.manifest, past.drift = _manifest(project, turn, began, now)
        past.known = rows_by_label(project, recipe.task)
    fresh = {name: size for name, size in now.items() if past.manifest.get(name) != size}
    grown = sum(max(size - past.manifest.get(name, (0, 0))[0], 1) for name, (size, _) in fresh.items())
    logs = [name for name in fresh if _is_log(name)]
    for name in logs:
        _read(project.inbox / name, past.segments.setdefault(name, Lines(past.manifest.get(name, (0, 0))[0])))
    counts, labels = Counter[str](), Counter[str]()
    for name in logs:
        counts.update(past.segments[name].counts)
        labels.update(past.segments[name].labels)
    sheets = [name for name in fresh if name.startswith(ANSWERS) and not name.endswith(BESIDE)]
    answers = sum(_answers(project.inbox, name, fresh[name], recipe.task, past) for name in sheets)
    others = [n for n in fresh if n not in logs and n not in sheets and not _beside(n)]
    days = (datetime.now(UTC).timestamp() - began) / 86400
    drift = drift_of(project, past)
    return Arrived(
        answers=answers,
        files=len(others),
        requests=counts["request"],
        corrections=counts["correction"],
        errors=counts["error"],
        unsure=counts["unsure"],
        rare={label: n for label, n in labels.items() if past.known.get(label, 0) < FEW},
        drift=None if drift is None else drift[1] - past.drift.get(drift[0], 0.0),
        days=days,
        bytes=grown,
    )


def drift_of(project: Project, past: Watched) -> tuple[str, float] | None:
    """The version that serves, and how far its new requests are from the rows that it learnt from.

    By its answers: the mix of classes (population stability index) or the confidence (largest gap), whichever
    is larger, where it is more than chance; else 0. None where nothing serves or too few requests came.
    """
    version = project.ledger.value("select version from used order by n desc limit 1")
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
    return str(version), max((one.size for one in found if one.p < CHANCE), default=0.0)


def remember(project: Project, turn: int, sizes: Sizes, past: Watched) -> None:
    """Before a turn: what it will have taken in, and how far requests had drifted, which is no news then."""
    found = drift_of(project, past)
    drift = past.drift if found is None else past.drift | dict([found])
    body = json.dumps({"turn": turn, "files": sizes, "drift": drift}, ensure_ascii=False)
    fault.write(project.root / "service" / "watch.json", body.encode("utf-8", "surrogateescape"))


def began_at(project: Project, turn: int) -> float:
    """When a turn began, in seconds since 1970; 0 for none."""
    said = project.ledger.value("select started from turn where n=?", turn)
    return 0.0 if said is None else datetime.fromisoformat(said).timestamp()


def rows_by_label(project: Project, task: Task) -> dict[str, int]:
    """How many rows of each label are trained on; nothing of numbers and sets, which are never rare."""
    if task.answer != "class" or not project.shards():
        return {}
    stock = load_stock(project, task)
    stand = np.isin(stands(project, stock), [TRAINED, PENDING])
    return dict(Counter(stock.labels[stand & stock.labelled].tolist()))


def _manifest(project: Project, turn: int, began: float, now: Sizes) -> tuple[Sizes, dict[str, float]]:
    try:
        said = json.loads((project.root / "service" / "watch.json").read_text("utf-8", "surrogateescape"))
        if said["turn"] == turn:
            sizes = {name: (int(size), int(at)) for name, (size, at) in said["files"].items()}
            return sizes, {version: float(size) for version, size in said["drift"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # not there, or of another turn: time says what that turn had
    return {name: (size, at) for name, (size, at) in now.items() if at / 1e9 <= began}, {}


def _is_log(name: str) -> bool:
    return name.startswith(LOG) and name.endswith(".jsonl")


def _beside(name: str) -> bool:
    """Pictures of the log, and what lies beside a sheet, are named by something else."""
    return name.endswith(BESIDE) or name.startswith(LOG)


def _answers(inbox: Path, name: str, size: tuple[int, int], task: Task, past: Watched) -> int:
    """Filled lines of a sheet, read once; one that cannot be read is the turn's to complain of."""
    known = past.sheets.get(name)
    if known is None or known[0] != size:
        try:
            rows = len(read_answers(inbox / name, task.target).answers)
        except BapsimError:
            rows = 0
        past.sheets[name] = known = (size, rows)
    return known[1]


def _read(path: Path, lines: Lines) -> None:
    """Whole lines behind `upto`; what is no line of ours is the turn's to complain of."""
    try:
        with path.open("rb") as file:
            file.seek(lines.upto)
            for body in file:
                if not body.endswith(b"\n"):
                    break
                lines.upto += len(body)
                with suppress(ValueError, RecursionError, OverflowError):
                    said = json.loads(body)
                    if isinstance(said, dict):
                        _count(said, lines)
    except OSError:
        return  # it was rotated away or is not ours to read: the turn says so


def _count(said: dict[str, Any], lines: Lines) -> None:
    if "input" in said:
        lines.counts["request"] += 1
        confidence = said.get("confidence")
        if isinstance(confidence, int | float) and 0 <= confidence <= 1:
            lines.counts["unsure"] += confidence < UNSURE
            lines.said.append((str(said.get("model")), str(said.get("prediction")), float(confidence)))
        return
    correction = said.get("correction")
    lines.counts["correction"] += correction is not None
    lines.counts["error"] += said.get("thumbs") == -1 or said.get("out_of_scope") is True
    if isinstance(correction, str):
        lines.labels[correction] += 1
