"""Rules that people stated in a room and approved, as their files in the inbox have them, and how they fare.

A rule speaks about texts. What labels rows by it, doubts labels or refuses rows, reads it here and measures
it alike: on what people wrote and labelled, never on the exam.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import numbers, strings
from bapsim.core.errors import InputError, RecipeError
from bapsim.core.fingerprint import fingerprint
from bapsim.core.recipe import Dataset
from bapsim.core.records import Task, Unread
from bapsim.store.terms import people, read_terms, stem, withdrawals
from bapsim.text.rules import Fit, Folded, Rule, fit_of, folded, matching, rule_of

METHOD = "rule:"  # how the method of a row begins that a rule labelled; the rule's name follows
FLOOR = 20  # rows of a label that rules may give, however few people gave
LEAST = 0.6  # of what a rule's precision surely is: one that may be wrong more often labels nothing


@dataclass(frozen=True, kw_only=True)
class Stated:
    """A rule in force: the line that states it, whose it is, and in whose words."""

    line: str
    consent: str
    person: str
    rule: Rule
    label: str
    text: str

    @property
    def name(self) -> str:
        """Its identity: the same whoever states it again under the same consent."""
        return fingerprint(self.consent, self.rule.json(), self.label)


def stated_rules(inbox: Path, merged: Mapping[str, str]) -> tuple[list[Stated], list[Unread]]:
    """The rules of all consents that stand, in the order of files and lines, each once; and lines of rules
    that are none. merged: labels that are read as another one.
    """
    found: dict[str, Stated] = {}
    unread: list[Unread] = []
    folder = people(inbox)
    gone = {stem(consent) for consent in withdrawals(inbox)}
    names = {stem(consent): consent for consent in read_terms(inbox)}
    for path in sorted(folder.glob("*.jsonl")):
        if path.stem in gone:
            continue
        for number, line in _lines(path):
            try:
                one = stated(line, names.get(path.stem, path.stem), merged)
            except InputError as error:
                where = path.relative_to(inbox).as_posix()
                unread.append(Unread(file=where, line=number, reason="rule", detail=error.key))
                continue
            found.setdefault(one.name, one)
    return list(found.values()), unread


def _lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Lines of rules; whoever reads votes and examples tells which lines cannot be read at all."""
    with path.open("rb") as file:
        for number, body in enumerate(file, 1):
            try:
                said = json.loads(body)
            except (ValueError, RecursionError):
                continue
            if isinstance(said, dict) and said.get("kind") == "rule":
                yield number, said


def stated(line: Mapping[str, Any], consent: str, merged: Mapping[str, str]) -> Stated:
    """A line as the rule that it states; raises InputError for one that states none."""
    label = line.get("label")
    if not isinstance(label, str) or not label.strip():
        raise InputError("rule_form", said=str(label)[:80])
    texts = {name: str(line.get(name) or "") for name in ("id", "person", "text")}
    label = merged.get(label.strip(), label.strip())
    return Stated(
        line=texts["id"],
        consent=consent,
        person=texts["person"],
        rule=rule_of(line.get("rule")),
        label=label,
        text=texts["text"],
    )


def read_texts(rows: pa.RecordBatch, task: Task) -> list[str]:
    """Each row's inputs as the text that rules are about; raises RecipeError for what is no text."""
    if task.kind != "text" or task.answer != "class":
        raise RecipeError("rules_need_text", kind=task.kind, answer=task.answer)
    columns = [strings(rows.column(name)) for name in task.inputs]
    return [" ".join(cell or "" for cell in row) for row in zip(*columns, strict=True)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """Rules in force with how each fares on rows that people wrote and labelled."""

    rules: tuple[Stated, ...]
    fits: tuple[Fit, ...]

    def firm(self, least: float) -> tuple[Stated, ...]:
        """Those that are right often enough beyond doubt."""
        pairs = zip(self.rules, self.fits, strict=True)
        return tuple(one for one, fit in pairs if fit.sure >= least)


def measured(rules: Sequence[Stated], data: Iterable[Dataset], task: Task) -> Measured:
    """How rules fare on what people wrote and labelled, of rows that no check refused."""
    counts = np.zeros((len(rules), 4), np.int64)
    for view in data if rules else ():
        wanted = [*task.inputs, task.target]
        for batch, kept in zip(view.batches(wanted), view.kept(), strict=True):
            labels = labels_of(batch, task, people_made(batch) & kept)
            texts = folded(read_texts(batch, task))
            counts += [fit_of(matching(one.rule, texts), labels, one.label) for one in rules]
    fits = tuple(Fit(*(int(n) for n in row)) for row in counts)
    return Measured(rules=tuple(rules), fits=fits)


def people_made(batch: pa.RecordBatch) -> np.ndarray:
    """bool[n]: people wrote the input and gave the target, if there is one."""
    own, given = (numbers(batch.column(f"_{part}_depth")) for part in ("input", "target"))
    return np.asarray((own == 0) & (given == 0))


def labels_of(batch: pa.RecordBatch, task: Task, among: np.ndarray) -> list[str | None]:
    """The labels of these rows (bool[n]) as they are read; None elsewhere."""
    said = strings(batch.column(task.target))
    return [
        task.merged.get(one, one) if one is not None and mine else None
        for one, mine in zip(said, among.tolist(), strict=True)
    ]


def agreed_labels(rules: Sequence[Stated], texts: Folded) -> np.ndarray:
    """int64[n]: the rule that says what each text is, -1 = none does, -2 = two say different things."""
    found = np.full(len(texts), -1, np.int64)
    names = np.array([one.label for one in rules], object)
    for at, one in enumerate(rules):
        hit = matching(one.rule, texts)
        other = hit & (found >= 0)
        clash = np.zeros(len(texts), bool)
        clash[other] = names[found[other]] != one.label
        found[clash] = -2
        found[hit & (found == -1)] = at
    return found


def at_most(
    found: np.ndarray, rules: Sequence[Stated], ids: np.ndarray, known: Mapping[str, int]
) -> np.ndarray:
    """bool[n]: the texts that rules may label, of those that they speak of (`agreed_labels`).

    Of each label no more than people gave (`known`), or FLOOR, so that a rule never outvotes them; those with
    the lowest ids (void16[n], keyed hashes), so that the same ones stay chosen while others come.
    """
    chosen = np.zeros(len(found), bool)
    names = np.array([one.label for one in rules], object)
    order = np.argsort(ids, kind="stable")
    order = order[found[order] >= 0]
    for label in dict.fromkeys(names.tolist()):
        mine = order[names[found[order]] == label]
        chosen[mine[: max(FLOOR, known.get(label, 0))]] = True
    return chosen
