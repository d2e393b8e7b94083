"""Refine: every check and survey speaks about every row; nothing is dropped, everything has a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import booleans, concat, take
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Recipe, Survey
from bapsim.core.records import Records, Verdicts, abstained, verdicts
from bapsim.core.turn import Turn
from bapsim.image import alike
from bapsim.refine.mutation import Audit
from bapsim.store.lake import (
    Shard,
    View,
    read_batch,
    read_verdicts,
    verdict_path,
    with_columns,
    write_verdicts,
)
from bapsim.store.project import Project
from bapsim.text.minhash import near
from bapsim.text.quoted import partial, quoting
from bapsim.wheel import quarantine
from bapsim.wheel.admitting import UNVERIFIED, is_verifier, needs_word, unverified
from bapsim.wheel.permits import TERMS, WITHDRAWN, by_terms, by_withdrawal
from bapsim.wheel.quarantine import holding, quarantined
from bapsim.wheel.reading import as_read, reading
from bapsim.wheel.settling import SUPERSEDED, Settled, settle
from bapsim.wheel.stock import Stock
from bapsim.wheel.vouching import audits, disbelieved


def refused_by(named: Mapping[str, pa.RecordBatch], rows: int) -> np.ndarray:
    """bool[rows]: some verdict of these checks says no; that a row is superseded is no refusal."""
    mask = np.zeros(rows, bool)
    for name, said in named.items():
        if name != SUPERSEDED:
            mask |= ~booleans(said.column("keep"), True)
    return mask


def superseded_by(named: Mapping[str, pa.RecordBatch], rows: int) -> np.ndarray:
    """bool[rows]: answered or replaced, as it was stored."""
    said = named.get(SUPERSEDED)
    return np.zeros(rows, bool) if said is None else ~booleans(said.column("keep"), True)


@dataclass(kw_only=True)
class Opinions:
    """Verdicts about all rows of a stock, by name, in the order in which they count."""

    stock: Stock
    named: dict[str, Verdicts] = field(default_factory=dict)
    audits: Mapping[str, Audit] = field(default_factory=dict)  # of verifiers, where machines' rows waited
    settled: Settled = field(init=False)

    def add(self, name: str, said: Verdicts) -> None:
        if len(said) != len(self.stock):
            raise RecipeError("verdicts_do_not_fit", name=name, rows=len(self.stock), verdicts=len(said))
        self.named[name] = said

    def refused(self) -> np.ndarray:
        """bool[N]: some verdict says no."""
        return refused_by(self.named, len(self.stock))

    def refused_for(self, reason: str) -> np.ndarray:
        """bool[N]: rows that nothing else refuses than verdicts with this reason."""
        mine, others = np.zeros(len(self.stock), bool), np.zeros(len(self.stock), bool)
        for said in self.named.values():
            no = ~booleans(said.column("keep"), True)
            named = np.array([one == reason for one in said.column("reason").to_pylist()], bool)
            mine |= no & named
            others |= no & ~named
        return mine & ~others

    def says_no(self, name: str) -> np.ndarray:
        """bool[N]: this verdict says no."""
        return refused_by({name: self.named[name]}, len(self.stock))

    def reasons(self, among: np.ndarray) -> dict[str, int]:
        """Refused rows of `among` by the reason that comes first in the recipe's order."""
        left = among.copy()
        counts: dict[str, int] = {}
        for name, said in self.named.items():
            no = ~booleans(said.column("keep"), True) & left
            left &= ~no
            for reason in said.column("reason").filter(pa.array(no)).to_pylist():
                counts[str(reason or name)] = counts.get(str(reason or name), 0) + 1
        return counts


def refine(
    project: Project, recipe: Recipe, turn: Turn, stock: Stock, hidden: np.ndarray, exam: np.ndarray
) -> Opinions:
    """The recipe's checks and surveys over all rows but hidden ones (exam items), which they never see.

    Surveys do not see settled rows either, nor corrections of exam items: nothing is a copy of them; but one
    that reads people's answers sees the machine-made rows that they replaced.
    """
    opinions = Opinions(stock=stock)
    opinions.add(WITHDRAWN, by_withdrawal(project.ledger, stock))
    opinions.add(TERMS, by_terms(project.ledger, recipe, turn, stock))
    if holding(project.ledger):
        opinions.add(quarantine.NAME, quarantine.by_quarantine(quarantined(project.ledger, stock)))
    hidden = hidden | stock.erased | stock.other_task
    turn = replace(turn, origins=stock.origins)  # `only` must know this turn's deliveries, too
    for name, said in _checked(project, recipe, turn, stock, stock.split(~hidden)).items():
        opinions.add(name, said)
    waiting = needs_word(stock)
    if waiting.any():
        early = settle(stock, opinions.refused() | waiting)
        vouching = {name: one for name, one in recipe.surveys.items() if is_verifier(one)}
        by_answers = {name: one for name, one in vouching.items() if getattr(one, "reads_answers", False)}
        _surveyed(opinions, project, recipe, turn, by_answers, hidden)
        others = {name: one for name, one in vouching.items() if name not in by_answers}
        _surveyed(opinions, project, recipe, turn, others, hidden | _settled(stock, early, exam))
        opinions.audits = audits(project, recipe, turn, stock, ~hidden & ~opinions.refused())
        no = disbelieved(opinions.audits)
        opinions.add(UNVERIFIED, unverified(recipe, stock, opinions.named, no))
    settled = opinions.settled = settle(stock, opinions.refused())
    hidden = hidden | _settled(stock, settled, exam)
    left = {name: one for name, one in recipe.surveys.items() if name not in opinions.named}
    _surveyed(opinions, project, recipe, turn, left, hidden)
    opinions.add("conflict", verdicts(~settled.conflicting, "conflict"))
    if stock.other_task.any():
        opinions.add("other_task", verdicts(~stock.other_task, "other_task"))
    return opinions


def _settled(stock: Stock, settled: Settled, exam: np.ndarray) -> np.ndarray:
    """bool[N]: rows that surveys do not see, for another stands for them or they correct an exam item."""
    hidden = settled.conflicting | (settled.superseded & stock.labelled)
    hidden[settled.heir[exam & (settled.heir >= 0)]] = True
    return np.asarray(hidden)


def _surveyed(
    opinions: Opinions,
    project: Project,
    recipe: Recipe,
    turn: Turn,
    surveys: Mapping[str, Survey],
    hidden: np.ndarray,
) -> None:
    """Adds what these surveys say, each with what was refused before it."""
    stock = opinions.stock
    shown = stock.split(~hidden)
    for name, survey in surveys.items():
        view = View(
            name="all",
            root=project.wheel,
            shards=stock.shards,
            hidden=tuple(~s for s in shown),
            refused=tuple(stock.split(opinions.refused())),
        )
        parts = list(survey(reading(view, recipe.task, stock.records.schema), turn))
        opinions.add(name, spread(concat(parts) if parts else abstained(0), ~hidden, name))


def _checked(
    project: Project, recipe: Recipe, turn: Turn, stock: Stock, shown: list[np.ndarray]
) -> dict[str, Verdicts]:
    """Row by row, shard by shard: one shard in memory at a time."""
    parts: dict[str, list[pa.RecordBatch]] = {name: [] for name in recipe.checks}
    for shard, show in zip(stock.shards, shown, strict=True):
        if not parts:
            break
        whole = with_columns(read_batch(project.wheel / shard.path), recipe.task.columns)
        records = as_read(Records(take(whole, show)), recipe.task, stock.records.schema)
        for name, check in recipe.checks.items():
            parts[name].append(spread(check(records, turn), show, name))
    return {name: Verdicts(concat(said)) if said else abstained(0) for name, said in parts.items()}


def spread(said: pa.RecordBatch, shown: np.ndarray, name: str) -> Verdicts:
    """Verdicts about shown rows as verdicts about all rows; hidden rows get none."""
    if len(said) != int(shown.sum()):
        raise RecipeError("verdicts_do_not_fit", name=name, rows=int(shown.sum()), verdicts=len(said))
    place = np.where(shown, np.cumsum(shown) - 1, len(said))
    return Verdicts(take(concat([said, abstained(1)]), place))


def leaks(
    stock: Stock, exam: np.ndarray, among: np.ndarray, groups: np.ndarray, threshold: float
) -> Verdicts:
    """Rows of `among` that equal or nearly equal an exam item, or are its kin, are left out of training.

    Text: Jaccard of shingles at least `threshold`, an item quoted whole, or one that was cut; pictures:
    likeness of sketches; tables: equal input columns, but for case and beyond five digits; groups: int64[N]
    of kin.
    """
    leak = among & np.isin(groups, groups[exam])
    items, rows = np.flatnonzero(exam), np.flatnonzero(among & ~leak)
    if len(items) and len(rows):
        leak[rows[_equal(stock, items, rows, threshold)]] = True
    return verdicts(~leak, "exam_leak", limit=threshold)


def _equal(stock: Stock, items: np.ndarray, rows: np.ndarray, threshold: float) -> np.ndarray:
    """bool[len(rows)]: rows whose input equals, or nearly equals, that of one of the items."""
    if stock.task.kind == "image":
        exam = stock.sketches.part(items)
        limit = alike.groups(exam, threshold).threshold  # where all pictures are alike, it takes more
        return alike.near(exam, stock.sketches.part(rows), limit)
    texts = stock.compared
    if stock.task.kind == "text":
        theirs, mine = [texts[i] for i in items], [texts[i] for i in rows]
        cut = quoting(mine, theirs) | partial(mine, theirs)
        return np.asarray((near(theirs, mine, threshold) >= 0) | cut)
    known = {texts[i] for i in items}
    return np.array([texts[i] in known for i in rows], bool)


def write_opinions(project: Project, opinions: Opinions, turn: int) -> None:
    """One verdict file a shard; the ledger's rows follow in one transaction."""
    written: dict[str, tuple[str, str]] = {}
    stock = opinions.stock
    whole = opinions.named | {SUPERSEDED: opinions.settled.verdicts()}
    for i, shard in enumerate(stock.shards):
        size = shard.rows
        named = {n: Verdicts(v.slice(int(stock.starts[i]), size)) for n, v in whole.items()}
        path = verdict_path(shard.path, turn)
        if named:
            written[shard.key] = (path, write_verdicts(project.wheel, path, named))
    with project.ledger.change("refined") as ledger:
        for key, (path, sha) in written.items():
            old = ledger.row("select verdicts, verdicts_sha256 from shard where path=?", key)
            if old != {"verdicts": path, "verdicts_sha256": sha}:
                ledger.amend("shard", {"path": key}, verdicts=path, verdicts_sha256=sha)


def stored_verdicts(project: Project, shard: Shard) -> Mapping[str, pa.RecordBatch]:
    """The verdicts about one shard as the last turn left them."""
    path = project.ledger.value("select verdicts from shard where path=?", shard.key)
    return read_verdicts(project.wheel, path) if path else {}
