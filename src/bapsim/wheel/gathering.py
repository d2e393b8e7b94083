"""Gather: sources yield drafts, the wheel certifies them, and only records not seen before are appended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import take, tokens
from bapsim.core.errors import InputError
from bapsim.core.fingerprint import fingerprint
from bapsim.core.recipe import Source
from bapsim.core.records import Draft, Numbering, Origin, Records, Task, Unread, certify
from bapsim.core.turn import Turn
from bapsim.store.lake import (
    SHARD_BYTES,
    SHARD_ROWS,
    Shard,
    erased,
    file_sha256,
    read_batch,
    regroup,
    write_shard,
)
from bapsim.store.ledger import Ledger
from bapsim.store.machine_tape import FILE, MachineTape
from bapsim.store.project import Project
from bapsim.text.targets import written
from bapsim.wheel.answering import whole
from bapsim.wheel.column_types import fitting, known_types
from bapsim.wheel.machine_costs import Bill, bills, enter_bills
from bapsim.wheel.permits import is_over, sparing, withdrawn
from bapsim.wheel.self_taught import Watched, note
from bapsim.wheel.stock import origin_of


@dataclass(kw_only=True)
class Delivery:
    """What one source brings in one turn, as it is read."""

    project: Project
    name: str
    turn: Turn
    known: set[bytes]
    first_origin: int
    numbering: Numbering = field(default_factory=Numbering)
    origins: dict[Origin, int] = field(default_factory=dict)
    keyed: set[int] = field(default_factory=set)
    told: dict[tuple[str, ...], list[str | None]] = field(default_factory=dict)
    unread: list[Unread] = field(default_factory=list)
    brought: int = 0
    again: int = 0
    heard: set[Origin] = field(default_factory=set)  # under which known rows came once more
    consents: list[tuple[bytes, str]] = field(default_factory=list)
    withdrawn: set[str] = field(default_factory=set)
    waiting: dict[str, list[Records]] = field(default_factory=dict)
    shards: list[tuple[str, Shard]] = field(default_factory=list)  # with the columns of their folder
    old_origins: dict[Origin, int] = field(default_factory=dict)
    old_shards: int = 0
    own_models: list[str] = field(default_factory=list)  # of the wheel, that a source took
    bills: list[Bill] = field(default_factory=list)

    def resume(self) -> None:
        """A turn that went on under another recipe gathers twice: the same origins, other shard names."""
        rows = self.project.ledger.rows(
            "select * from origin where turn=? and source=?", self.turn.n, self.name
        )
        self.old_origins = {origin_of(row): int(row["n"]) for row in rows}
        query = "select count(*) from shard where turn=? and source=?"
        self.old_shards = int(self.project.ledger.value(query, self.turn.n, self.name))

    def _number(self, origin: Origin) -> int:
        """The number of an origin in the ledger, or the next one that is free."""
        known = self.old_origins.get(origin, self.origins.get(origin))
        return self.first_origin + len(self.origins) if known is None else known

    def take_in(self, draft: Draft) -> None:
        """Certify a draft and keep the rows that nobody delivered before."""
        before, self.brought = self.brought, self.brought + len(draft.rows)
        draft = fitting(draft, self.turn.types, before)
        gone = draft.origin.consent in self.withdrawn
        self.unread += (replace(one, detail="") for one in draft.unread) if gone else draft.unread
        if not len(draft.rows):
            return
        origin = replace(draft.origin, source=self.name)
        number = self._number(origin)
        draft = replace(draft, origin=origin, again=returns(draft, self.turn.task, self.told))
        records = certify(draft, secret=self.project.secret, origin=number, numbering=self.numbering)
        fresh = np.zeros(len(records), bool)
        ids: list[Any] = records.column("_id").to_pylist()
        for i, one in enumerate(ids):
            if one not in self.known:
                self.known.add(one)
                fresh[i] = True
        self.again += int((~fresh).sum())
        if not fresh.all():
            self.heard.add(origin)
        if fresh.any():  # a file that is read again, and has nothing new, is no delivery
            if origin not in self.old_origins:
                self.origins[origin] = number
            if draft.keys is not None:
                self.keyed.add(number)
            consents = draft.consents or [()] * len(records)
            beside = [names for names, new in zip(consents, fresh, strict=True) if new]
            new = Records(take(records, fresh))
            left = self._under_consent(new, origin, beside)
            columns = columns_of(records.schema)
            self.waiting.setdefault(columns, []).append(erased(new, left) if left.any() else new)
            self._write(columns, full_only=True)

    def _under_consent(self, records: Records, origin: Origin, beside: Sequence[Sequence[str]]) -> np.ndarray:
        """Index records under a consent, and what was derived from such: withdrawal must find them.

        beside: other consents of each row. Returns bool[n]: rows that rest on one that was withdrawn, of
        which nothing but that they came may enter.
        """
        own = set() if origin.consent is None else {origin.consent}
        query = "select consent from descendant where id=?"
        ids: list[Any] = records.column("_id").to_pylist()
        parents: list[Any] = records.column("_parents").to_pylist()
        left = np.zeros(len(records), bool)
        for i, (one, mums, others) in enumerate(zip(ids, parents, beside, strict=True)):
            inherited = {str(r["consent"]) for m in mums or () for r in self.project.ledger.rows(query, m)}
            all_of = own | inherited | set(others)
            self.consents += [(one, consent) for consent in sorted(all_of)]
            left[i] = bool(all_of & self.withdrawn)
        return left

    def finish(self) -> None:
        """Write what waits, however few rows it is."""
        for columns in list(self.waiting):
            self._write(columns, full_only=False)

    def _write(self, columns: str, *, full_only: bool) -> None:
        waiting = self.waiting[columns]
        if full_only and not _full(waiting):
            return
        self.waiting[columns] = []
        for batch in regroup(waiting):
            if full_only and not _full([batch]):
                self.waiting[columns] = [batch]
                return
            folder = self._folder(columns)
            number = self.old_shards + len(self.shards)
            name = f"t{self.turn.n:03d}-{slug(self.name)}-{number:04d}.g0.parquet"
            shard = write_shard(self.project.wheel, f"records/{folder}/{name}", batch)
            self.shards.append((columns, shard))

    def _folder(self, columns: str) -> str:
        """One folder per row schema: readers take the first file's schema for all."""
        ledger = self.project.ledger
        found = ledger.value("select name from folder where columns=?", columns)
        if found is not None:
            return str(found)
        ours = list(dict.fromkeys(c for c, _ in self.shards))
        ours += [] if columns in ours else [columns]
        unknown = [c for c in ours if ledger.value("select 1 from folder where columns=?", c) is None]
        count = int(ledger.value("select count(*) from folder")) + unknown.index(columns)
        return "rows" if count == 0 else f"rows-{count + 1}"


def _full(waiting: Sequence[Records]) -> bool:
    """Whether these are a whole shard."""
    return sum(len(b) for b in waiting) >= SHARD_ROWS or sum(b.nbytes for b in waiting) >= SHARD_BYTES


def returns(draft: Draft, task: Task, told: dict[tuple[str, ...], list[str | None]]) -> Sequence[int] | None:
    """How often each keyed row's target was said before and then changed, in the order of reading.

    told: what one pass over a source has said so far of a key with an input, repetitions left out. A row that
    goes back to an earlier target has the content, and so would have the id, of the row that was corrected.
    """
    if draft.keys is None or task.target not in draft.rows.schema.names:
        return None
    there = [name for name in task.inputs if name in draft.rows.schema.names]
    if not there:
        return None
    inputs = zip(*(tokens(draft.rows.column(name)) for name in there), strict=True)
    counts = []
    targets = written(draft.rows.column(task.target), task.answer)
    for key, row, target in zip(draft.keys, inputs, targets, strict=False):
        said = told.setdefault((str(key), *map(str, row)), [])
        if not said or said[-1] != target:
            said.append(target)
        counts.append(said.count(target) - 1)
    return counts


def columns_of(schema: pa.Schema) -> str:
    """The user's columns and their types as text: what makes a folder."""
    return json.dumps([[f.name, str(f.type)] for f in schema if not f.name.startswith("_")])


def slug(name: str) -> str:
    """A name that is safe in a path."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in name)[:40] or "source"


def inputs_of(source: Source, turn: Turn, shards: Sequence[Shard]) -> Any:
    """What a source reads: the contents of files if it names them, else the turn and all earlier records."""
    reads = getattr(source, "reads", None)
    if reads is None:
        return [turn.n, [s.sha256 for s in shards]]
    return [[path.relative_to(turn.inbox).as_posix(), file_sha256(path)] for path in _files(reads(turn))]


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.is_file())
        else:
            yield path


def gather(project: Project, sources: dict[str, Source], turn: Turn) -> dict[str, int]:
    """Run every source that has something new; returns new records by source."""
    fresh, gone = {}, withdrawn(project.ledger)
    for name, source in sources.items():
        if is_over(source, gone):
            fresh[name] = 0
            continue
        before = project.shards(before=turn.n)
        key = f"gather:{name}:{fingerprint(source, inputs_of(source, turn, before))}"
        staged = project.ledger.value("select output from stage where key=?", key)
        fresh[name] = 0
        if staged is None:
            fresh[name] = gather_one(project, name, source, turn, key)
        elif project.ledger.value("select turn from stage where key=?", key) == turn.n:
            fresh[name] = int(json.loads(staged)["fresh"])
    return fresh


def gather_one(
    project: Project,
    name: str,
    source: Source,
    turn: Turn,
    key: str,
    stage: str = "gather",
    output: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    """Run one source and enter what it brought, with a stage of this name and output; its new records."""
    ledger = project.ledger
    known: set[Any] = set()
    for shard in project.shards():
        known.update(read_batch(project.wheel / shard.path, ["_id"]).column("_id").to_pylist())
    first = int(ledger.value("select coalesce(max(n), -1) from origin")) + 1
    types = known_types(ledger, turn.task) | dict(turn.types)  # a source before it may have told some
    turn = replace(turn, types=types)
    delivery = Delivery(project=project, name=name, turn=turn, known=known, first_origin=first)
    delivery.withdrawn = withdrawn(ledger)
    delivery.resume()
    shown = sparing(project, turn, source)
    models = Watched(shown.models)
    with closing(MachineTape(project.wheel / FILE, name)) as tape:
        for draft in source(replace(shown, models=models, tape=tape)):
            if not isinstance(draft, Draft):
                raise InputError("not_a_draft", source=name, found=type(draft).__name__)
            for part in whole(project, draft, turn):
                delivery.take_in(part)
        delivery.bills = bills(ledger, tape)
    delivery.finish()
    fresh = sum(s.rows for _, s in delivery.shards)
    delivery.own_models = models.own
    _enter(project, delivery, turn, {"key": key, "name": stage, "output": {**output, "fresh": fresh}})
    return fresh


def _enter(project: Project, delivery: Delivery, turn: Turn, stage: dict[str, Any]) -> None:
    """One transaction: origins, folders, shards, counts, unread lines, and that the stage is done."""
    name = delivery.name
    with project.ledger.change("gathered") as ledger:
        _mend_rights(ledger, delivery)
        for origin, number in delivery.origins.items():
            machine = "machine" in (origin.input_maker, origin.target_maker)
            names = ("input_maker", "target_maker", "method", "rights", "consent", "batch")
            row = {f: getattr(origin, f) for f in names}
            row |= {"fingerprint": fingerprint(origin), "state": "pending" if machine else "kept"}
            row |= {"keyed": int(number in delivery.keyed)}
            ledger.add("origin", n=number, turn=turn.n, source=name, **row)
            if machine and delivery.own_models:
                note(ledger, turn.n, number, delivery.own_models)
        for number in delivery.keyed & set(delivery.old_origins.values()):
            if not ledger.value("select keyed from origin where n=?", number):
                ledger.amend("origin", {"n": number}, keyed=1)
        for columns, shard in delivery.shards:
            folder = Path(shard.path).parent.name
            if ledger.value("select 1 from folder where name=?", folder) is None:
                ledger.add("folder", name=folder, columns=columns)
            row = {"folder": folder, "generation": 0, "rows": shard.rows, "sha256": shard.sha256}
            ledger.add("shard", path=shard.path, turn=turn.n, source=name, **row)
        for one, consent in dict.fromkeys(delivery.consents):
            ledger.add("descendant", id=one, consent=consent)
        once = {(u.file, u.line, u.reason): u for u in delivery.unread}
        unread = [u for u in once.values() if not _was_unread(project, name, u)]
        for u in unread:
            row = {"file": u.file, "line": u.line, "reason": u.reason, "detail": u.detail}
            ledger.add("unread", source=name, turn=turn.n, **row)
        counts = {"again": delivery.again, "fresh": stage["output"]["fresh"], "unread": len(unread)}
        _count(project, turn.n, name, counts)
        enter_bills(ledger, turn.n, name, delivery.bills)
        ledger.add("stage", turn=turn.n, **stage | {"output": json.dumps(stage["output"])})


def _mend_rights(ledger: Ledger, delivery: Delivery) -> None:
    """Rows that came before under other rights stand under those that their source says now.

    A licence may be read, bought or mended later; what was said before stays in the ledger. Where a batch is
    under several rights, nobody can say whose changed, and nothing is.
    """
    known: dict[Origin, dict[int, str]] = {}
    for row in ledger.rows("select * from origin where source=?", delivery.name):
        known.setdefault(_batch(origin_of(row)), {})[int(row["n"])] = str(row["rights"])
    said: dict[Origin, set[str]] = {}
    for origin in delivery.heard | set(delivery.origins):
        said.setdefault(_batch(origin), set()).add(origin.rights)
    for origin in sorted(delivery.heard, key=str):
        before = known.get(_batch(origin), {})
        if said[_batch(origin)] | set(before.values()) <= {origin.rights} or len(said[_batch(origin)]) > 1:
            continue
        if len(set(before.values())) == 1:
            for n, rights in before.items():
                count = int(ledger.value("select count(*) from stage where name='rights'"))
                output = json.dumps({"n": n, "was": rights, "is": origin.rights}, ensure_ascii=False)
                ledger.amend("origin", {"n": n}, rights=origin.rights)
                ledger.add(
                    "stage", key=f"rights:{count + 1}", name="rights", turn=delivery.turn.n, output=output
                )


def _batch(origin: Origin) -> Origin:
    """What was delivered, whatever its rights."""
    return replace(origin, rights="")


def _count(project: Project, turn: int, source: str, counts: dict[str, int]) -> None:
    """Adds to the batch of this turn and source: a stage that ran under two identities in a turn has one."""
    key = {"turn": turn, "source": source}
    old = project.ledger.row("select * from batch where turn=? and source=?", turn, source)
    if old is not None:
        counts = {name: count + int(old[name]) for name, count in counts.items()}
    lines = sum(counts.values())
    if old is None:
        project.ledger.add("batch", **key, lines=lines, **counts)
    else:
        project.ledger.amend("batch", key, lines=lines, **counts)


def unread_in(ledger: Ledger, turn: int) -> dict[str, int]:
    """How many lines of a turn are no records, by reason, the most frequent first."""
    query = "select reason, count(*) n from unread where turn=? group by reason order by n desc, reason"
    return {str(row["reason"]): int(row["n"]) for row in ledger.rows(query, turn)}


def _was_unread(project: Project, source: str, u: Unread) -> bool:
    query = "select 1 from unread where source=? and file=? and line=? and reason=?"
    return project.ledger.value(query, source, u.file, u.line, u.reason) is not None
