"""The data label: what an exported data set holds, as plain values that cards are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import strings
from bapsim.core.records import Maker, Origin
from bapsim.ship.certificate import UNKNOWN, Terms
from bapsim.ship.shards import Form, Written
from bapsim.text.scripts import SCRIPTS, letters
from bapsim.text.targets import label_set

MOST_CLASSES = 10_000  # more different values than this are no classes, and are not counted one by one
Part = Literal["input", "target", "votes", "slice", "group", "time", "other", "certificate"]
DEFAULT, ASIDE = "default", "set_aside"  # the two configurations: what one loads, and what one must ask for
SPLITS = {  # where a row stands -> its split and configuration
    "trained": ("train", DEFAULT),
    "exam": ("test", DEFAULT),
    "pool": ("unlabelled", DEFAULT),
    "pending": ("pending", ASIDE),
    "refused": ("refused", ASIDE),
    "superseded": ("superseded", ASIDE),
}
FOLDERS = {DEFAULT: "data", ASIDE: ASIDE}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the export: its name there, its plain type, the part it plays; about: which certificate."""

    name: str
    kind: Any
    part: Part
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Split:
    """A split with its rows and files; state: where its rows stand in the project."""

    name: str
    config: str
    state: str
    rows: int
    files: tuple[Written, ...]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Rows of one source and method under one set of rights; makers are told by machine hands.

    target_maker: "" where they have no target; consented: how many of them rest on a consent.
    """

    name: str
    method: str
    input_maker: str
    target_maker: str
    rights: tuple[str, ...]
    rows: int
    consented: int


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What people were asked more than once, and at how much of it all said the same."""

    questions: int
    agreed: int


Hands = tuple[
    int | None, int | None, bool
]  # on input and target (None: unknown), and whether it has a target


def maker(depth: int | None) -> Maker:
    """Who made what so many machine hands lie on."""
    return "unknown" if depth is None else "machine" if depth else "person"


@dataclass(kw_only=True)
class Tally:
    """What is counted while rows stream by.

    classes: labels by split; rows: by origin, terms and machine hands; range: least and greatest of a
    fractional target; votes: rows on which several people voted; several: a target is a set of labels.
    """

    classes: dict[str, Counter[str]] = field(default_factory=dict)
    letters: Counter[str] = field(default_factory=Counter)
    rows: Counter[tuple[Origin, Terms, Hands]] = field(default_factory=Counter)
    range: tuple[float, float] | None = None
    votes: Agreement = Agreement(questions=0, agreed=0)
    too_many: bool = False
    several: bool = False

    def texts(self, column: Any) -> None:
        """Count the letters of a text column."""
        if pa.types.is_string(column.type):
            self.letters.update(letters(strings(column)))

    def targets(self, split: str, column: Any) -> None:
        """Count labels, each of a list by itself; of numbers with fractions their range."""
        flat = column.flatten() if pa.types.is_list(column.type) else column
        if pa.types.is_floating(flat.type):
            said = [v for v in flat.to_pylist() if v is not None and np.isfinite(v)]
            said += self.range or ()
            self.range = (min(said), max(said)) if said else None
        elif not (self.too_many or pa.types.is_nested(flat.type) or pa.types.is_binary(flat.type)):
            counts = self.classes.setdefault(split, Counter())
            said = [label for label in strings(flat) if label is not None]
            apart = self.several and flat is column
            counts.update(one for label in said for one in (label_set(label) if apart else (label,)))
            self.too_many = sum(map(len, self.classes.values())) > MOST_CLASSES

    def raters(self, column: Any) -> None:
        """Count rows on which several people voted, each a list of what they said."""
        if pa.types.is_list(column.type) and not pa.types.is_nested(column.type.value_type):
            said = [set(one) for one in column.to_pylist() if one is not None and len(one) > 1]
            before, agreed = self.votes, sum(len(one) == 1 for one in said)
            self.votes = Agreement(questions=before.questions + len(said), agreed=before.agreed + agreed)

    @property
    def hands(self) -> Counter[Hands]:
        """Rows by the machine hands on them."""
        found: Counter[Hands] = Counter()
        for (_, _, hands), count in self.rows.items():
            found[hands] += count
        return found

    def grouped(self) -> tuple[Source, ...]:
        """Sources as a card lists them: largest first; origins that differ by file or consent are one."""
        rows: Counter[tuple[Any, ...]] = Counter()
        consented: Counter[tuple[Any, ...]] = Counter()
        for (one, terms, (given, target, there)), count in self.rows.items():
            by = maker(target) if there else ""
            key = (one.source, one.method, maker(given), by, terms.rights)
            rows[key] += count
            consented[key] += count if terms.consents else 0
        ordered = sorted(rows.items(), key=lambda pair: (-pair[1], pair[0]))
        names = ("name", "method", "input_maker", "target_maker", "rights")
        return tuple(
            Source(**dict(zip(names, key, strict=True)), rows=count, consented=consented[key])
            for key, count in ordered
        )


@dataclass(frozen=True, kw_only=True)
class Label:
    """One export: what it holds, where it comes from, and what was left out and why.

    columns: by configuration; accounts, refused, unread: of the whole project, as its last turn counted;
    left_out: rows that were not asked for, by where they stand; other_rights: rows that a filter on rights
    held back; lost: values that the format has no name for.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    target: str
    form: Form
    turn: int
    ended: str  # date
    verdict: str
    columns: Mapping[str, tuple[Column, ...]]
    splits: tuple[Split, ...]
    tally: Tally
    agreement: Agreement
    accounts: Mapping[str, int]
    refused: Mapping[str, int]
    unread: Mapping[str, int]
    left_out: Mapping[str, int]
    only_rights: tuple[str, ...]
    other_rights: int
    columns_left_out: tuple[str, ...]
    lost: int
    exam_version: int
    looks: int
    recipe: str
    chain: str
    program: str

    @property
    def rows(self) -> int:
        return sum(split.rows for split in self.splits)

    @property
    def configs(self) -> tuple[str, ...]:
        """The configurations that have rows, the one to load first."""
        return tuple(c for c in (DEFAULT, ASIDE) if any(split.config == c for split in self.splits))

    @property
    def sources(self) -> tuple[Source, ...]:
        return self.tally.grouped()

    @property
    def rights(self) -> dict[str, int]:
        """Rows under each right, most frequent first; a row made from several counts under each."""
        counts: Counter[str] = Counter()
        for one in self.sources:
            for name in one.rights:
                counts[name] += one.rows
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

    @property
    def unknown_rights(self) -> int:
        """Rows of which nobody has said how they, or what they were made from, may be used."""
        return sum(one.rows for one in self.sources if UNKNOWN in one.rights)

    @property
    def scripts(self) -> dict[str, float]:
        """The share of each script in all letters; empty where there are none."""
        whole = sum(self.tally.letters.values())
        return {name: self.tally.letters[name] / whole for name in SCRIPTS} if whole else {}

    @property
    def machine_made(self) -> int:
        """Rows with a machine's hand on input or target."""
        return sum(n for (a, b, _), n in self.tally.hands.items() if (a or 0) > 0 or (b or 0) > 0)

    @property
    def classes(self) -> dict[str, dict[str, int]]:
        """Labels, most frequent first, with their rows by split; empty where the target has no classes."""
        if self.tally.too_many:
            return {}
        totals: Counter[str] = Counter()
        for counts in self.tally.classes.values():
            totals.update(counts)
        ordered = sorted(totals, key=lambda label: (-totals[label], label))
        splits = self.tally.classes
        return {label: {split: counts[label] for split, counts in splits.items()} for label in ordered}
