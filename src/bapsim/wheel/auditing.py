"""Audit: what is wrong with the data in some files, in a minute and without a project. Nothing is changed.

Copies, contradictions, leaks between splits, personal data, suspicious labels and confused classes, balance,
and the exam that such data affords. What a model says here it says out of fold, of rows that it did not see.
"""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bapsim.compose.exam import Frame, exam_size, folds
from bapsim.compose.oof import crossfit
from bapsim.core.arrow import strings, take
from bapsim.core.recipe import CrossFit, Mixture, Trainer
from bapsim.core.records import Records, Task
from bapsim.core.turn import named_seed
from bapsim.gather.answers import escaped
from bapsim.gather.question_book import question_book
from bapsim.judge.exam import probs_of
from bapsim.judge.power import detectable, items_needed
from bapsim.refine.ambiguity import ambiguous_pairs
from bapsim.refine.contradictions import contradictions, split_leaks
from bapsim.refine.labels import flag, suspicion
from bapsim.store import fault
from bapsim.text import pii, scripts
from bapsim.text.targets import label_set
from bapsim.text.vectors import unit_vectors
from bapsim.train.table import table_boosted
from bapsim.train.text import text_linear
from bapsim.wheel.audited import EXAMPLES, Sheet, clipped, read_sheet
from bapsim.wheel.founding import Wanted
from bapsim.wheel.slips import slips_of

MODELLED = 50_000  # rows that a model is fitted to, at random, where there are more
WORK = 1_000_000  # rows x classes from which on it reads words only, in three folds
PAIRS = 8
ACCURATE = 0.05  # above the most frequent label: below it a model has nothing to say of single labels
FEWEST = 50  # labelled rows below which no model is fitted
Say = Callable[..., None]

Finding = dict[str, Any]  # plain values; `at`: all rows of this kind, the gravest first


def audit(files: Sequence[Path], wanted: Wanted, split: str | None, say: Say) -> dict[str, Any]:
    """Everything that is found in these files, as plain values; pages and words are made of it.

    `lines`: by kind, file and line of every row that was found, not only of the examples. Raises InputError
    where a file cannot be read or a named column is not there.
    """
    started = time.perf_counter()
    say("audit.read", files=len(files))
    sheet, schema = read_sheet(files, wanted, split)
    say("audit.compare", rows=len(sheet))
    found: dict[str, Finding] = {"copies": copies(sheet), "leaks": leaking(sheet)}
    told: dict[str, Any] = {"labels": None}
    if sheet.target is not None:
        told["labels"] = balance(sheet)
        if sheet.answer != "number":  # two measurements of one thing may differ
            found["contradictions"] = contradicting(sheet)
        several = sheet.answer == "class" and len(told["labels"]["classes"]) > 1
        if several and told["labels"]["labelled"] >= FEWEST:
            say("audit.model")
            rows, fitted = modelled(sheet)
            told |= {"model": modelled_how(sheet, rows, fitted)}
            found["suspicious"], told["confused"] = doubted_labels(sheet, rows, fitted)
            told |= {"exam": affordable_exam(int(sheet.labelled.sum()), 1 - told["model"]["accuracy"])}
    grave = [found[name]["at"] for name in ("contradictions", "leaks") if name in found]
    if not told.get("model", {}).get("weak", True):
        grave.append(found["suspicious"]["at"][: found["suspicious"]["count"]])
    private = set(sheet.personal["at"])
    grave.append([i for i, place in enumerate(sheet.places) if place in private])
    touched = {row for rows in grave for row in rows}
    lines = {name: [sheet.places[i] for i in one.pop("at")] for name, one in found.items()}
    return {
        "files": [file.name for file in files],
        "rows": len(sheet),
        "touched": len(touched),
        "kind": sheet.kind,
        "inputs": list(sheet.inputs),
        "left_out": list(sheet.left_out),
        "target": sheet.target,
        "answer": sheet.answer,
        "guessed": wanted.target is None,
        "unread": sheet.unread,
        "columns": len(schema.columns),
        "empty": sum(not text.strip() for text in sheet.texts),
        "splits": {name: count for name, count in Counter(sheet.splits).items() if name is not None},
        "languages": languages(sheet),
        "personal": {name: value for name, value in sheet.personal.items() if name != "at"},
        "lines": lines | {"personal": sheet.personal["at"]},
        "seconds": time.perf_counter() - started,
        **told,
        **found,
    }


# --------------------------------------------------------------------------- findings: sheet in, values out


def example(sheet: Sheet, row: int, **more: Any) -> dict[str, Any]:
    """One row as it may be shown to anyone: personal data masked."""
    text = clipped(pii.scrub([sheet.texts[row]])[0][0])
    file, line = sheet.places[row]
    return {"file": file, "line": line, "text": text, "label": sheet.labels[row], **more}


def copies(sheet: Sheet) -> Finding:
    """Rows that add nothing: the same input and label as an earlier row, and those that nearly say it."""
    said = [f"={label}" if label is not None else "" for label in sheet.labels]
    label = np.unique(said, return_inverse=True)[1]

    def extra(groups: np.ndarray) -> np.ndarray:
        _, first = np.unique(np.stack([groups, label]), axis=1, return_index=True)
        return np.setdiff1d(np.arange(len(sheet)), first)

    exact, nearly = extra(sheet.same), extra(sheet.alike)
    groups, sizes = np.unique(sheet.alike[nearly], return_counts=True)
    largest = []
    for group in groups[np.argsort(-sizes, kind="stable")][: EXAMPLES // 2].tolist():
        rows = np.flatnonzero(sheet.alike == group)
        different = np.unique(sheet.same[rows], return_index=True)[1]
        some = rows[np.sort(different)][:3].tolist()
        largest.append({"rows": len(rows), "of": [example(sheet, i) for i in some]})
    counts = {"exact": len(exact), "near": len(nearly) - len(exact)}
    return {**counts, "largest": largest, "at": nearly.tolist()}


def contradicting(sheet: Sheet) -> Finding:
    """Groups of equal inputs with different labels, and of nearly equal ones."""
    exact = contradictions(sheet.same, sheet.labels)
    nearly = [g for g in contradictions(sheet.alike, sheet.labels) if len(set(sheet.same[g].tolist())) > 1]
    some = [*exact[:EXAMPLES], *nearly[: max(EXAMPLES - len(exact), 2)]]
    return {
        "groups": len(exact),
        "rows": sum(map(len, exact)),
        "near_groups": len(nearly),
        "examples": [[example(sheet, i) for i in one_of_each(sheet.labels, g)] for g in some],
        "at": [i for group in exact for i in group.tolist()],
    }


def one_of_each(labels: np.ndarray, rows: np.ndarray) -> list[int]:
    """The first of these rows with each label, four at most."""
    first = {labels[i]: int(i) for i in reversed(rows.tolist())}
    return sorted(first.values())[:4]


def leaking(sheet: Sheet) -> Finding:
    """Between each two splits: rows that stand in both, exactly or nearly."""
    exact = {(one.known, one.inside): len(one.rows) for one in split_leaks(sheet.same, sheet.splits)}
    sizes, found = Counter(sheet.splits), split_leaks(sheet.alike, sheet.splits)
    between = []
    for one in found:
        pairs = zip(one.twins[:3].tolist(), one.rows[:3].tolist(), strict=True)
        between.append(
            {
                "known": one.known,
                "inside": one.inside,
                "rows": len(one.rows),
                "exact": exact.get((one.known, one.inside), 0),
                "of": sizes[one.inside],
                "examples": [[example(sheet, a), example(sheet, b)] for a, b in pairs],
            }
        )
    return {"between": between, "at": [i for one in found for i in one.rows.tolist()]}


def languages(sheet: Sheet) -> dict[str, float]:
    """The share of letters of each script in the input texts."""
    counts = scripts.letters(sheet.texts)
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()} if total else {}


def balance(sheet: Sheet) -> dict[str, Any]:
    """Labels with their counts, the most frequent first; of sets each by itself, of numbers none."""
    counts = Counter(label for label in sheet.labels if label is not None)
    if sheet.answer == "labels":
        counts = Counter(one for said, rows in counts.items() for one in label_set(said) * rows)
    if sheet.answer == "number":
        counts = Counter()
    ordered = dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
    few = sum(count < 10 for count in ordered.values())
    return {
        "classes": ordered,
        "labelled": int(sheet.labelled.sum()),
        "unlabelled": int((~sheet.labelled).sum()),
        "few": few,
        "slips": slips_of(ordered),
    }


def affordable_exam(labelled: int, error: float | None) -> dict[str, Any]:
    """The exam that these labels afford, the gain that it could detect, and what smaller gains would take.

    Two models that are wrong in a share `error` of rows are taken to differ in about half of that (measured:
    .3 to .7); levels and power are the gate's.
    """
    size = exam_size(labelled)
    d = min(max((0.2 if error is None else error) / 2, 0.02), 0.3)
    gains = [{"gain": gain, "items": items_needed(gain, d)} for gain in (0.01, 0.02, 0.03, 0.05)]
    return {"items": size, "discordance": d, "detectable": detectable(size, d), "needed": gains}


def modelled(sheet: Sheet) -> tuple[np.ndarray, CrossFit]:
    """Rows that a model learnt (int64[m], at most MODELLED, near duplicates in one fold) and what it says of
    each, out of fold. Many classes and rows are read by their words alone: an audit ends in a minute.
    """
    rows = np.flatnonzero(sheet.labelled)
    rng = np.random.default_rng(named_seed("audit"))
    if len(rows) > MODELLED:
        rows = np.sort(rng.choice(rows, MODELLED, replace=False))
    names, y = np.unique(sheet.labels[rows].astype(str), return_inverse=True)
    alike = sheet.alike[rows]
    heavy = len(rows) * len(names) > WORK
    split = folds(Frame(labels=y, clusters=alike, roots=alike), 3 if heavy else 5, rng)
    task = Task(input=sheet.inputs, target=str(sheet.target), kind=sheet.kind)
    mixture = Mixture(task=task, records=Records(take(sheet.rows, rows)))
    train: Trainer
    if sheet.kind == "text":
        train = text_linear(chars=(), cost=0.3) if heavy else text_linear(cost=0.3)
    else:
        train = table_boosted(trees=40, rounds=40)
    return rows, crossfit(train, None, mixture, split, 0)


def modelled_how(sheet: Sheet, rows: np.ndarray, fitted: CrossFit) -> dict[str, Any]:
    """How good the model is on which what is said of labels rests; weak: it says nothing of single labels."""
    said = np.array(strings(fitted.answers.column("prediction")), object)
    most = Counter(sheet.labels[rows].tolist()).most_common(1)[0][1]
    accuracy = float(np.mean(said == sheet.labels[rows]))
    usual = most / len(rows)
    weak = accuracy < usual + ACCURATE
    return {"accuracy": accuracy, "rows": len(rows), "majority": usual, "weak": weak}


def doubted_labels(sheet: Sheet, rows: np.ndarray, fitted: CrossFit) -> tuple[Finding, list[Finding]]:
    """Labels that look wrong, the most suspicious first, and pairs of classes that people mix up."""
    classes = np.array([*fitted.model.classes, None], object)
    place = {name: i for i, name in enumerate(fitted.model.classes)}
    labels = np.array([place[str(label)] for label in sheet.labels[rows]], np.int64)
    probs = probs_of(fitted.answers)
    if probs is None:
        probs = np.full((len(rows), len(place)), np.nan, np.float32)
    features = unit_vectors([sheet.texts[i] for i in rows.tolist()]) if sheet.kind == "text" else None
    said = suspicion(probs, labels, groups=sheet.same[rows], features=features)
    wrong, flagged = said.wrong, flag(said, labels)
    order = flagged.rows[~flagged.contradiction]  # contradictions have a section of their own
    some = [
        example(sheet, int(rows[i]), suggested=classes[said.suggested[i]], wrong=float(wrong[i]))
        for i in order.tolist()
    ]
    rest = said.order()
    rest = rest[(said.suggested[rest] >= 0) & ~np.isin(rest, order)]
    noise = said.noise
    suspicious = {
        "rate": none_for_nan(noise.rate),
        "low": none_for_nan(noise.low),
        "high": none_for_nan(noise.high),
        "count": len(order),
        "prune": flagged.prune,
        "top": some,
        "at": rows[np.concatenate([order, rest])].tolist(),
    }
    pairs = ambiguous_pairs(probs, labels, fitted.model.classes, groups=sheet.same[rows])
    confused = [
        {
            "first": pair.first,
            "second": pair.second,
            "evidence": list(pair.evidence),
            "rows": len(pair.border),
            "gain": none_for_nan(pair.merged[0]),
            "low": none_for_nan(pair.merged[1]),
            "high": none_for_nan(pair.merged[2]),
            "relabelled": none_for_nan(pair.relabelled[0]),
            "examples": [example(sheet, int(rows[i])) for i in pair.examples[:4]],
        }
        for pair in pairs[:PAIRS]
    ]
    return suspicious, confused


def none_for_nan(value: float) -> float | None:
    """A number that JSON can hold."""
    return None if np.isnan(value) else float(value)


# --------------------------------------------------------------------------- the suspicious labels as a sheet


def write_suspects(path: Path, facts: dict[str, Any]) -> int:
    """All suspicious labels as a sheet that a person goes through; how many.

    A workbook with the labels to choose from where `path` is named .xlsx, else CSV, UTF-8 with a mark.
    """
    names = ("file", "line", "text", "label", "suggested", "chance wrong")
    suspects = facts.get("suspicious", {}).get("top", [])
    rows = [[str(row[name]) for name in names[:5]] + [f"{row['wrong']:.2f}"] for row in suspects]
    if path.suffix.lower() == ".xlsx":
        labels = sorted({label for row in rows for label in row[3:5]})
        fault.write(path, question_book(names, [[row[i] for row in rows] for i in range(6)], "label", labels))
        return len(suspects)
    body = io.StringIO(newline="")
    csv.writer(body).writerows([names, *([*map(escaped, row[:5]), row[5]] for row in rows)])
    fault.write(path, ("\ufeff" + body.getvalue()).encode())
    return len(suspects)
