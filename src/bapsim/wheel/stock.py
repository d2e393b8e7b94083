"""All records of a wheel at one look: the task's columns, who made them, and where each row stands."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bapsim.core.arrow import Column, concat, id_bytes, numbers, strings, take, tokens
from bapsim.core.recipe import Recipe
from bapsim.core.records import CERTIFICATE, Origin, Records, Task
from bapsim.core.turn import Turn
from bapsim.image.alike import Sketches, joined, sketches
from bapsim.store.lake import Shard, is_erased, read_batch, with_columns
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project
from bapsim.text.minhash import unite
from bapsim.text.pii import ALL, scrub_columns
from bapsim.text.targets import renamed, votes_in, written
from bapsim.wheel.column_types import alike

MASK = re.compile(rf"\[(?:{'|'.join(ALL).upper()})\]")  # what stands where personal data stood
TAG = re.compile("<[a-zA-Z/!][^<>]*>")
FILE = "file"  # the column in which a source of pictures says where each came from
ASKED = "asked:"  # how the method of an answer begins
AGAIN = "asked:repair"  # the method of answers about labels that were there already
STATES = ("exam", "superseded", "refused", "pool", "pending", "trained")
EXAM, SUPERSEDED, REFUSED, POOL, PENDING, TRAINED = range(len(STATES))


@dataclass(frozen=True, kw_only=True)
class Stock:
    """The task's columns and certificates of all shards, in order, as one batch of N rows.

    The bytes of pictures stay in the shards of `wheel` until `part` is asked for them.
    """

    task: Task
    wheel: Path = Path()
    shards: tuple[Shard, ...]
    records: Records
    origins: dict[int, Origin]
    states: dict[int, str]  # of origins: kept, pending, released, refused
    turns: dict[int, int]  # of origins
    keyed: frozenset[int]  # origins whose source has a name of its own for each row
    strange: frozenset[int] = frozenset()  # shards without any input of the task: rows of another one
    proven: np.ndarray | None = None  # bool[N]: rows that a proven model ate, None = of no matter

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def starts(self) -> np.ndarray:
        """int64[shards + 1]: where each shard's rows begin."""
        return np.cumsum([0, *(s.rows for s in self.shards)]).astype(np.int64)

    @cached_property
    def other_task(self) -> np.ndarray:
        """bool[N]: rows that have no input of the task."""
        found = np.zeros(len(self), bool)
        for i in self.strange:
            found[self.starts[i] : self.starts[i + 1]] = True
        return found

    @cached_property
    def ids(self) -> np.ndarray:
        """void16[N]."""
        return id_bytes(self.records.column("_id"))

    @cached_property
    def labels(self) -> np.ndarray:
        """object[N]: the target, written (`text.targets`), None where there is none."""
        return np.array(strings(self.records.column(self.task.target)), object)

    @cached_property
    def labelled(self) -> np.ndarray:
        return np.array([label is not None for label in self.labels], bool)

    @cached_property
    def texts(self) -> list[str]:
        """Each row's input as one text; a digest for a picture."""
        if self.task.kind == "image":
            return [t or "" for i in range(len(self.shards)) for t in tokens(self._pictures(i))]
        return _in_one([self.records.column(name) for name in self.task.inputs])

    @cached_property
    def compared(self) -> list[str]:
        """Each row's input as duplicates and leaks are sought in it: texts without tags, cells of a table
        without case, numbers to five digits (a copy may have come through a float32).

        Where some rows came with personal data masked (the service's log, `masked`), it is masked in the
        others, too, so that a copy is known as one. A cell of a table has no neighbours that tell: there only
        what equals a masked row is masked.
        """
        if self.task.kind == "image":
            return self.texts
        hidden = np.array([MASK.search(said) is not None for said in self.texts], bool)
        plain = self._coarse(self.records)
        if not hidden.any():
            return plain
        bare = self._coarse(scrub_columns(self.records, self.task.inputs)[0])
        if self.task.kind == "text":
            return bare
        known = {bare[i] for i in np.flatnonzero(hidden).tolist()}
        return [b if b in known else said for b, said in zip(bare, plain, strict=True)]

    def _coarse(self, rows: pa.RecordBatch) -> list[str]:
        columns = [rows.column(name) for name in self.task.inputs]
        if self.task.kind == "text":
            return [TAG.sub(" ", said) if "<" in said else said for said in _in_one(columns)]
        return [said.casefold() for said in _in_one([_five_digits(column) for column in columns])]

    @cached_property
    def told(self) -> list[str]:
        """Each row's input as a person knows it: its texts, or the file that a picture came in."""
        if self.task.kind == "image":
            return [name or "" for name in strings(self.records.column(FILE))]
        return [text.replace("\x1f", " | ") for text in self.texts]

    @cached_property
    def sketches(self) -> Sketches:
        """What tells near-duplicate pictures."""
        return joined([sketches(self._pictures(i).to_pylist()) for i in range(len(self.shards))])

    def _pictures(self, i: int) -> Column:
        """The bytes of the pictures of a shard; null where its folder has no such column."""
        name = self.task.inputs[0]
        here = pq.read_schema(self.wheel / self.shards[i].path).names
        batch = read_batch(self.wheel / self.shards[i].path, ["_id", *({name} & set(here))])
        return with_columns(batch, [name]).column(name).cast(pa.large_binary())

    @cached_property
    def origin(self) -> np.ndarray:
        """int64[N]: the number of each row's origin."""
        return np.asarray(self.records.column("_origin").to_numpy(), np.int64)

    @cached_property
    def depth(self) -> np.ndarray:
        """float64[N]: the deeper of input and target, nan = unknown; a row without target has its input's."""
        given = numbers(self.records.column("_input_depth"))
        target = numbers(self.records.column("_target_depth"))
        return np.asarray(np.where(self.labelled, np.maximum(given, target), given))

    @cached_property
    def erased(self) -> np.ndarray:
        """bool[N]: rows whose content went with a consent that was withdrawn."""
        return is_erased(self.records)

    @cached_property
    def by_people(self) -> np.ndarray:
        """bool[N]: a person made the input, and the target if there is one."""
        return np.asarray(self.depth == 0)

    @cached_property
    def by_machine(self) -> np.ndarray:
        """bool[N]: a machine's hand lies between a person and input or target, whoever made the other."""
        given = numbers(self.records.column("_input_depth"))
        target = numbers(self.records.column("_target_depth"))
        return np.asarray((given > 0) | (self.labelled & (target > 0)))

    @cached_property
    def waiting(self) -> np.ndarray:
        """bool[N]: machine-made rows that no accepted turn has eaten yet."""
        waits = self.of_origins(lambda n, _: self.states[n] == "pending")
        if self.proven is not None:
            waits |= self.of_origins(lambda n, _: self.states[n] == "released") & ~self.proven
        return np.asarray(self.by_machine & waits)

    @cached_property
    def refused_deliveries(self) -> np.ndarray:
        """bool[N]: rows of refused deliveries, and what machines made of them."""
        return self.with_offspring(self.of_refused_deliveries)

    @cached_property
    def of_refused_deliveries(self) -> np.ndarray:
        """bool[N]: rows of refused deliveries; of what machines made in part, the rows that they touched."""
        refused = self.of_origins(lambda n, _: self.states[n] == "refused")
        return np.asarray(refused & (self.by_machine | ~self._machines))

    def with_offspring(self, rows: np.ndarray) -> np.ndarray:
        """bool[N]: these rows, and what machines made of them without asking anybody."""
        found = rows.copy()
        for row, mums in self.parents if rows.any() else ():  # parents come before their children
            found[row] |= self._machines[row] and found[list(mums)].any()
        return found

    def with_descendants(self, rows: np.ndarray) -> np.ndarray:
        """bool[N]: these rows, and all that was made of them, also by people."""
        found = rows.copy()
        while True:  # once, and once more to see that it is all: parents come before their children
            before = int(found.sum())
            for row, mums in self.parents if before else ():
                if not found[row] and any(found[mum] for mum in mums):
                    found[row] = True
            if int(found.sum()) == before:
                return found

    @cached_property
    def _machines(self) -> np.ndarray:
        """bool[N]: a machine took part in the delivery."""
        return self.of_origins(lambda _, o: "machine" in (o.input_maker, o.target_maker))

    def of_origins(self, wanted: Any) -> np.ndarray:
        """bool[N]: rows of the origins for which `wanted(number, origin)` holds."""
        chosen = [n for n, origin in self.origins.items() if wanted(n, origin)]
        return np.isin(self.origin, chosen)

    @cached_property
    def place(self) -> dict[bytes, int]:
        """Row number by id."""
        return {i.tobytes(): n for n, i in enumerate(self.ids)}

    @cached_property
    def parents(self) -> list[tuple[int, tuple[int, ...]]]:
        """Derived rows with the rows that they were derived from (those that are still there)."""
        column: Any = self.records.column("_parents")
        derived = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False)).tolist()
        found = []
        for row, ids in zip(derived, column.drop_null().to_pylist(), strict=True):
            mums = (self.place.get(one) for one in ids)
            found.append((row, tuple(mum for mum in mums if mum is not None)))
        return found

    @cached_property
    def roots(self) -> np.ndarray:
        """int64[N]: rows that share an ancestor have one number."""
        root = np.arange(len(self), dtype=np.int64)
        pairs = [(row, mum) for row, mums in self.parents for mum in mums]
        if not pairs:
            return root
        left, right = np.array(pairs, np.int64).T
        return unite(root, left, right)

    @cached_property
    def turn_of_origin(self) -> np.ndarray:
        """int64[origins]: the turn that gathered each."""
        found = np.zeros(max(self.turns, default=-1) + 1, np.int64)
        for number, turn in self.turns.items():
            found[number] = turn
        return found

    def rows_with(self, ids: set[bytes]) -> np.ndarray:
        """bool[N]: rows whose id is in the set."""
        mask = np.zeros(len(self), bool)
        mask[[self.place[i] for i in ids if i in self.place]] = True
        return mask

    def split(self, mask: np.ndarray) -> list[np.ndarray]:
        """A mask over all rows, by shard."""
        return [mask[a:b] for a, b in zip(self.starts[:-1], self.starts[1:], strict=True)]

    def part(self, rows: np.ndarray) -> Records:
        """The rows at these positions (int64[m], or where bool[N] is true), with all that the task reads, and
        the files of pictures.
        """
        found = take(self.records, rows)
        if self.task.kind != "image":
            return Records(found)
        at = np.flatnonzero(rows) if rows.dtype == bool else rows
        shard = np.searchsorted(self.starts, at, side="right") - 1
        bodies = [pa.record_batch([pa.array([], pa.large_binary())], names=["_"])]
        for i in np.unique(shard).tolist():
            here = pa.record_batch([self._pictures(i)], names=["_"])
            bodies.append(take(here, at[shard == i] - self.starts[i]))
        order = np.argsort(np.argsort(shard, kind="stable"), kind="stable")
        pictures = take(concat(bodies), order).column(0)
        whole = found.append_column(self.task.inputs[0], pictures)
        return Records(whole.select([*dict.fromkeys([*self.task.columns, FILE]), *CERTIFICATE.names]))


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What one turn works on: the stock, and masks over its N rows.

    refused, superseded, exam: bool[N]; pruned: bool[N], refused only because the label looks wrong; withheld:
    bool[N], refused rows that random questions are drawn from as well; groups: int64[N], rows of one number
    are never split.
    """

    project: Project
    recipe: Recipe
    turn: Turn
    stock: Stock
    refused: np.ndarray
    superseded: np.ndarray
    exam: np.ndarray
    groups: np.ndarray
    pruned: np.ndarray
    withheld: np.ndarray


def _five_digits(column: Column) -> Column:
    if not pa.types.is_floating(column.type):
        return column
    return pa.array([None if v is None else f"{v:.5g}" for v in column.to_pylist()], pa.string())


def _in_one(columns: list[Column]) -> list[str]:
    """The cells of each row as one text."""
    cells = [strings(column) for column in columns]
    if len(cells) == 1:
        return [said or "" for said in cells[0]]
    return ["\x1f".join("" if said is None else said for said in row) for row in zip(*cells, strict=True)]


def load_stock(project: Project, task: Task, before: int | None = None) -> Stock:
    """The stock as the ledger and the shards have it now, or as it was before a turn gathered."""
    shards = tuple(project.shards(before))
    columns = list(task.columns)
    if task.kind == "image":  # too much to have at hand: read when it is needed
        columns = [FILE, *(name for name in columns if name not in (FILE, *task.inputs))]
    tables, strange = [], set()
    for i, shard in enumerate(shards):
        file = pq.ParquetFile(project.wheel / shard.path)
        have = set(file.schema_arrow.names)
        if not have & set(task.inputs):
            strange.add(i)
        wanted = [*columns, *CERTIFICATE.names]
        tables.append(in_one_form(file.read(columns=[c for c in wanted if c in have]), task))
    empty = in_one_form(pa.table({name: pa.nulls(0) for name in columns}), task)  # null: any type
    tables = alike(tables, task)
    whole = pa.concat_tables([*tables, CERTIFICATE.empty_table(), empty], promote_options="permissive")
    batches = whole.combine_chunks().to_batches()
    schema = whole.schema
    records = batches[0] if batches else pa.RecordBatch.from_pylist([], schema=schema)
    rows = project.ledger.rows("select * from origin order by n")
    return Stock(
        task=task,
        wheel=project.wheel,
        shards=shards,
        records=Records(records.select([*columns, *CERTIFICATE.names])),
        origins={r["n"]: origin_of(r) for r in rows},
        states={r["n"]: r["state"] for r in rows},
        turns={r["n"]: r["turn"] for r in rows},
        keyed=frozenset(r["n"] for r in rows if r["keyed"]),
        strange=frozenset(strange),
        proven=_proven(project.ledger, shards) if any(r["state"] == "released" for r in rows) else None,
    )


def _proven(ledger: Ledger, shards: Sequence[Shard]) -> np.ndarray:
    """bool[N]: rows that a proven model ate."""
    masks = [np.zeros(shard.rows, bool) for shard in shards]
    place = {shard.key: i for i, shard in enumerate(shards)}
    query = "select shard, mask from eaten join model using (version) where state='proven'"
    for row in ledger.rows(query):
        if row["shard"] in place:
            i = place[row["shard"]]
            bits = np.unpackbits(np.frombuffer(zlib.decompress(row["mask"]), np.uint8))
            masks[i] |= bits[: len(masks[i])].astype(bool)
    return np.concatenate([*masks, np.zeros(0, bool)])


def in_one_form(table: pa.Table, task: Task) -> pa.Table:
    """Targets written and merged, votes as lists of text: folders may have them in several types."""
    for at, name in enumerate(table.schema.names):
        if name == task.target:
            said = renamed(written(table.column(at).combine_chunks(), task.answer), task.merged, task.answer)
            table = table.set_column(at, name, pa.array(said, pa.string()))
        elif name == task.votes:
            votes = votes_in(table.column(at).combine_chunks())
            votes = [one and [task.merged.get(v, v) for v in one] for one in votes]
            table = table.set_column(at, name, pa.array(votes, pa.list_(pa.string())))
    return table


def origin_of(row: dict[str, Any]) -> Origin:
    """An origin as the ledger has it."""
    names = ("source", "input_maker", "target_maker", "method", "rights", "consent", "batch")
    return Origin(**{name: row[name] for name in names})


def exam_ids(ledger: Ledger, before: int | None = None) -> set[bytes]:
    """The ids of exam items, those that stand or those that stood before a turn."""
    n = before if before is not None else 1 << 60
    query = "select i.id from exam_item i join exam e on e.version = i.version where e.turn < ?"
    return {r["id"] for r in ledger.rows(f"{query} and coalesce(i.until, ?) >= ?", n, n, n)}


def examined(ledger: Ledger, before: int) -> set[bytes]:
    """The ids of all that was an exam item before a turn, also of items that were replaced: the rows that
    took their places have the same text.
    """
    query = "select i.id from exam_item i join exam e on e.version = i.version where e.turn < ?"
    return {r["id"] for r in ledger.rows(query, before)}


def standing(stock: Stock, exam: np.ndarray, refused: np.ndarray, superseded: np.ndarray) -> np.ndarray:
    """int8[N]: where each row stands (STATES); every row counts once.

    Machine-made rows are pending until a turn that ate them was accepted; rows without a target are a pool.
    """
    pending = stock.waiting
    state = np.full(len(stock), TRAINED, np.int8)
    state[pending] = PENDING
    state[~stock.labelled] = POOL
    state[refused] = REFUSED
    state[superseded] = SUPERSEDED
    state[exam] = EXAM
    state[stock.erased] = REFUSED
    return state


def accounts(ledger: Ledger, state: np.ndarray) -> dict[str, int]:
    """Lines in = unread + exam + trained + pool + pending + superseded + refused.

    A line that was delivered again counts once; `again` says how many such lines the last turn met.
    """
    counts = {name: int((state == code).sum()) for code, name in enumerate(STATES)}
    unread = int(ledger.value("select count(*) from unread") or 0)
    fresh = int(ledger.value("select coalesce(sum(fresh), 0) from batch") or 0)
    met = "select coalesce(sum(again), 0) from batch where turn=(select max(n) from turn)"
    again = int(ledger.value(met) or 0)
    return {"lines": fresh + unread, "unread": unread, **counts, "again": again}


def adds_up(counts: dict[str, int]) -> bool:
    """True if every line that came in is somewhere."""
    return counts["lines"] == counts["unread"] + sum(counts[name] for name in STATES)
