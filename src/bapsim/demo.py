"""Three turns on handwritten digits by the ordinary verbs; staged: the wrong labels and the expert."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bapsim.core.errors import InputError
from bapsim.core.turn import named_seed

LABELLED, POOL, LATE = 300, 750, 300  # rows; the rest is never shown to any turn
CONFUSED = 0.1  # share of the first labels that is wrong
CARELESS = 0.45  # of the late delivery
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
POINTS = tuple(f"p{row}{column}" for row in range(4) for column in range(4))
EDITS = (("table_boosted()", "table_boosted(trees=80, rounds=40)"), ("budget=200", "budget=300"))
Type = Callable[[Sequence[str]], dict[str, Any]]
Tell = Callable[..., None]


def digits() -> tuple[np.ndarray, np.ndarray]:
    """int64[1797, 16] ink of 4 x 4 points, and str[1797] names, in a fixed random order."""
    from sklearn.datasets import load_digits

    whole = load_digits()
    ink = whole.images.reshape(-1, 4, 2, 4, 2).sum(axis=(2, 4)).reshape(-1, 16).astype(np.int64)
    order = np.random.default_rng(named_seed("demo", "order")).permutation(len(ink))
    return ink[order], np.array(NAMES, object)[whole.target[order]]


def confused(names: np.ndarray, share: float, *purpose: str) -> tuple[np.ndarray, int]:
    """The names with a share of them replaced by other ones, and how many."""
    rng = np.random.default_rng(named_seed("demo", *purpose))
    wrong = rng.permutation(len(names))[: round(share * len(names))]
    said = names.copy()
    for i in wrong:
        said[i] = rng.choice([name for name in NAMES if name != names[i]])
    return said, len(wrong)


def write_rows(path: Path, ink: np.ndarray, names: Sequence[str]) -> None:
    """A CSV of points and the digit; "" where nobody said which."""
    with path.open("w", encoding="utf-8", newline="") as file:
        sheet = csv.writer(file)
        sheet.writerow([*POINTS, "digit"])
        sheet.writerows([*row, name] for row, name in zip(ink.tolist(), names, strict=True))


def answer(path: Path, truth: dict[tuple[str, ...], str]) -> int:
    """Fill in a question sheet as an expert would who knows each picture; returns how many."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["digit"] = truth[tuple(row[point] for point in POINTS)]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        sheet = csv.DictWriter(file, fieldnames=list(rows[0]))
        sheet.writeheader()
        sheet.writerows(rows)
    return len(rows)


def edit(recipe: Path) -> None:
    """Change a recipe as a person would in an editor: smaller forests, more questions."""
    said = recipe.read_text("utf-8")
    for old, new in EDITS:
        said = said.replace(old, new)
    recipe.write_text(said, "utf-8")


def three_turns(place: Path, type_: Type, tell: Tell) -> dict[str, Any]:
    """Play the demonstration in a new folder: `type_` runs a verb, `tell` says what is staged.

    Returns the decision of each turn, and accuracy on pictures that no turn saw after the first and the last.
    """
    if place.exists() and any(place.iterdir()):
        place = next(p for n in range(2, 1000) if not (p := place.with_name(f"{place.name}-{n}")).exists())
    place.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("BAPSIM_KEY", "00" * 32)  # the same play on every machine; nothing secret is in it
    ink, names = digits()
    truth = {tuple(map(str, row)): name for row, name in zip(ink.tolist(), names, strict=True)}
    first, late, unseen = _staged(place, ink, names)
    tell("demo.title")
    tell("demo.honest", confused=first, labelled=LABELLED)
    wheel, here = str(place / "digits"), ["-C", str(place / "digits")]
    type_(["new", wheel, "--from", str(place / "start.csv"), "--target", "digit"])
    edit(place / "digits" / "recipe.py")
    tell("demo.edit", old=EDITS[0][0], new=EDITS[0][1], more=EDITS[1][1])
    turns = [type_([*here, "turn"])]
    shares = [_right(place, type_, here, unseen)]
    for sheet in (place / "questions-1.csv", place / "questions-2.csv"):
        type_([*here, "ask", "-o", str(sheet)])
        tell("demo.expert", answered=answer(sheet, truth))
        type_([*here, "add", str(sheet)])
        if len(turns) == 1:
            turns.append(type_([*here, "turn"]))
    tell("demo.bad", rows=LATE, confused=late)
    type_([*here, "add", str(place / "late.csv")])
    turns.append(type_([*here, "turn"]))
    shares.append(_right(place, type_, here, unseen))
    said = {"share": f"{100 * shares[1]:.1f}", "first": f"{100 * shares[0]:.1f}"}
    tell("demo.end", rows=len(unseen), **said)
    decisions = [{key: turn["decision"][key] for key in ("verdict", "reason")} for turn in turns]
    return {"project": wheel, "turns": decisions, "unseen": shares, "report": turns[-1]["report"]}


def _staged(place: Path, ink: np.ndarray, names: np.ndarray) -> tuple[int, int, np.ndarray]:
    """Write the files; returns how many labels are wrong in the first and the late one, and unseen names."""
    bounds = np.cumsum([LABELLED, POOL, LATE])
    start, pool, late, unseen = (slice(a, b) for a, b in zip([0, *bounds], [*bounds, None], strict=True))
    said, wrong = confused(names[start], CONFUSED, "start")
    write_rows(place / "start.csv", np.vstack([ink[start], ink[pool]]), [*said, *[""] * POOL])
    worse, more = confused(names[late], CARELESS, "late")
    write_rows(place / "late.csv", ink[late], list(worse))
    write_rows(place / "unseen.csv", ink[unseen], [""] * len(names[unseen]))
    return wrong, more, names[unseen]


def _right(place: Path, type_: Type, here: Sequence[str], truth: np.ndarray) -> float:
    """The share of unseen pictures that what serves names rightly."""
    out = place / "predictions.jsonl"
    type_([*here, "predict", str(place / "unseen.csv"), "-o", str(out)])
    lines = out.read_text("utf-8").splitlines()
    if len(lines) != len(truth):
        raise InputError("nothing_to_read", file=out.name, unread=len(truth) - len(lines))
    said = [json.loads(line)["prediction"] for line in lines]
    return float(np.mean([a == b for a, b in zip(said, truth, strict=True)]))
