"""Rows, and the birth certificates that make them records.

A record is immutable. Its certificate says who made its input and its target, from which parents, and how
many machine hands lie between a person and each. Opinions about it are verdicts, stored beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NewType

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import ID, Column, cells, ids_array, numbers, schema
from bapsim.core.errors import InputError, RecipeError

Rows = NewType("Rows", pa.RecordBatch)  # the user's own columns, not nested under anything
Records = NewType("Records", pa.RecordBatch)  # Rows and CERTIFICATE
Verdicts = NewType("Verdicts", pa.RecordBatch)  # aligned with one batch of Records: VERDICT
Answers = NewType("Answers", pa.RecordBatch)  # one row per asked row, same order
Scores = NewType("Scores", pa.RecordBatch)  # one row per exam item

Maker = Literal["person", "machine", "unknown"]
Part = Literal["input", "target"]
Answer = Literal["class", "labels", "number", "text"]

CERTIFICATE = schema(
    _id=ID,
    _origin=pa.int32(),
    _key=pa.string(),
    _input_depth=pa.int8(),
    _target_depth=pa.int8(),
    _parents=pa.list_(ID),
)
VERDICT = schema(keep=pa.bool_(), reason=pa.string(), value=pa.float32(), limit=pa.float32())


@dataclass(frozen=True, kw_only=True)
class Task:
    """Which columns play which part in what the model learns.

    kind: what the input is; answer: what the target says, one class, a set of labels, a number, or a text
    that is written to the input (a target that is its own input: documents, to be foreseen); votes: a column
    with a list of what every rater said, where the target holds the label that was settled on; merged: labels
    that are read as another one: records keep what people said.
    """

    input: str | tuple[str, ...]
    target: str
    kind: Literal["text", "table", "image"] = "text"  # image: its one input holds the bytes of a picture
    group: str | None = None
    time: str | None = None
    slices: tuple[str, ...] = ()
    answer: Answer = "class"
    votes: str | None = None
    merged: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        twice = sorted(set(self.merged) & set(self.merged.values()))
        if self.merged and (twice or self.answer == "number"):
            raise RecipeError("merged_unclear", labels=", ".join(twice) or "-", answer=self.answer)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,) if isinstance(self.input, str) else self.input

    @property
    def documents(self) -> bool:
        """Whether texts are foreseen, and not written to something else."""
        return self.answer == "text" and self.target in self.inputs

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the task names, inputs first, each once."""
        named = [*self.inputs, self.target, *self.slices]
        named += [c for c in (self.group, self.time, self.votes) if c is not None]
        return tuple(dict.fromkeys(named))


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Who or what made one gathered batch, how, and under which rights; written once, never per record.

    batch: the file or part that it came in, by which a bad one is told from its neighbours.
    """

    source: str
    input_maker: Maker
    target_maker: Maker
    method: str
    rights: str
    consent: str | None = None
    batch: str | None = None


@dataclass(frozen=True, kw_only=True)
class Unread:
    """A line that could not be read: quarantined with its place and reason, never skipped."""

    file: str
    line: int
    reason: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """The parents of derived rows and the depths that follow from them; only `derive` makes one."""

    ids: Column
    input_depth: Column
    target_depth: Column


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a source yields: rows without certificates. Only the wheel turns drafts into records.

    keys: the source's own name of each row; again: how often the source has said the same of that name
    before, and something else since: such a row is news. asked: rows hold the target alone, as text, and
    answer these questions; the wheel adds the rest, for a source does not see a question that became an exam
    item; places: file and line of each such row. consents: under which each row stands beside its origin's,
    where several persons settled it. hands: how many machine hands lay on input and target of rows without
    parents before they came here, where their makers are machines.
    """

    rows: Rows
    origin: Origin
    keys: Sequence[str | None] | None = None  # a row without its own key is numbered
    again: Sequence[int] | None = None
    parents: Lineage | None = None
    changed: frozenset[Part] = frozenset()
    asked: Sequence[bytes] | None = None
    places: Sequence[tuple[str, int]] = ()
    unread: tuple[Unread, ...] = field(default=())
    consents: Sequence[Sequence[str]] | None = None
    hands: tuple[int, int] = (1, 1)


def _int8(values: np.ndarray) -> Column:
    return pa.array(np.minimum(values, 127), pa.int8(), from_pandas=True)


def derive(
    parents: Records,
    of: Sequence[Sequence[int]],
    rows: Rows,
    *,
    changed: frozenset[Part],
    origin: Origin,
    keys: Sequence[str | None] | None = None,
) -> Draft:
    """Rows made from records: row i came from the parents at positions `of[i]`.

    A part that is not in `changed` keeps the greatest depth of its parents. A changed target by a person
    gets 0, by a machine the greatest + 1; a changed input by a person keeps the depth (an edit does not undo
    machine hands), by a machine gets the greatest + 1; by an unknown maker it becomes unknown.
    """
    if len(of) != len(rows) or any(len(mums) == 0 for mums in of):
        raise InputError("lineage_does_not_fit", rows=len(rows), parents=len(of))
    for position in (m for mums in of for m in mums if not 0 <= m < len(parents)):
        raise InputError("parent_not_there", position=position, records=len(parents))
    digests: list[Any] = parents.column("_id").to_pylist()
    depths: list[Column] = []
    for part, maker in (("input", origin.input_maker), ("target", origin.target_maker)):
        before = numbers(parents.column(f"_{part}_depth"))
        deepest = np.array([before[list(mums)].max() for mums in of], np.float64)  # one unknown parent: nan
        by_person = deepest if part == "input" else np.zeros(len(of))
        made = {"person": by_person, "machine": deepest + 1, "unknown": np.full(len(of), np.nan)}
        depths.append(_int8(made[maker] if part in changed else deepest))
    ids: Column = pa.array([sorted({digests[m] for m in mums}) for mums in of], pa.list_(ID))
    lineage = Lineage(ids=ids, input_depth=depths[0], target_depth=depths[1])
    return Draft(rows=rows, origin=origin, keys=keys, parents=lineage, changed=changed)


def _root_depth(maker: Maker, hands: int, count: int) -> Column:
    return _int8(np.full(count, {"person": 0.0, "machine": float(hands), "unknown": np.nan}[maker]))


class Numbering:
    """Counts identical rows of one source, so that each occurrence has a key of its own.

    One pass over a source uses one numbering: reading the same files again gives the same keys.
    """

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}

    def next(self, digest: bytes) -> str:
        count = self._seen.get(digest, 0)
        self._seen[digest] = count + 1
        return str(count)


def identify(draft: Draft, *, secret: bytes, numbering: Numbering) -> tuple[Column, Column]:
    """Ids and keys of a draft's rows.

    id = keyed blake2b-128 of (canonical row, source, method, key, sorted parents): unkeyed hashes of
    personal data can be guessed (10^8 telephone numbers in a minute).
    """
    offsets, body = cells(draft.rows)
    made_by = json.dumps([draft.origin.source, draft.origin.method]).encode()
    start = hashlib.blake2b(made_by, digest_size=16, key=secret)
    mums: list[Any] | None = draft.parents.ids.to_pylist() if draft.parents is not None else None
    out, keys = bytearray(), []
    for i in range(len(draft.rows)):
        state = start.copy()
        state.update(body[offsets[i] : offsets[i + 1]])
        if mums is not None:
            state.update(b"\0P%d:" % len(mums[i]) + b"".join(mums[i]))
        own = draft.keys[i] if draft.keys is not None else None
        key = numbering.next(state.digest()) if own is None else own
        keys.append(key)
        state.update(b"\0K" + key.encode())
        if draft.again is not None and draft.again[i]:
            state.update(b"\0A%d" % draft.again[i])
        out += state.digest()
    return ids_array(out, len(draft.rows)), pa.array(keys, pa.string())


def certify(draft: Draft, *, secret: bytes, origin: int, numbering: Numbering) -> Records:
    """A draft with its birth certificates; `origin` is the index of its origin in the origins table.

    Raises InputError for a column or a key that cannot be stored.
    """
    rows, made = draft.rows, draft.origin
    names = rows.schema.names
    if clash := [name for name in names if name.startswith("_")]:
        raise InputError("reserved_column", columns=", ".join(clash))
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError("column_twice", columns=", ".join(twice))
    if draft.keys is not None and len(draft.keys) != len(rows):
        raise InputError("keys_do_not_fit", rows=len(rows), keys=len(draft.keys), source=made.source)
    try:
        pa.array(draft.keys if draft.keys is not None else [], pa.string())
    except (TypeError, UnicodeEncodeError) as error:
        raise InputError("key_is_not_text", source=made.source, why=str(error)) from error
    ids, keys = identify(draft, secret=secret, numbering=numbering)
    line = draft.parents or Lineage(
        ids=pa.nulls(len(rows), pa.list_(ID)),
        input_depth=_root_depth(made.input_maker, draft.hands[0], len(rows)),
        target_depth=_root_depth(made.target_maker, draft.hands[1], len(rows)),
    )
    number = pa.repeat(pa.scalar(origin, pa.int32()), len(rows))
    certificate = [ids, number, keys, line.input_depth, line.target_depth, line.ids]
    whole = pa.schema([*rows.schema, *CERTIFICATE])
    return Records(pa.RecordBatch.from_arrays([*rows.columns, *certificate], schema=whole))


def rows_of(records: pa.RecordBatch, columns: Sequence[str] | None = None) -> Rows:
    """The user's own columns of records, all or these."""
    names = columns if columns is not None else [n for n in records.schema.names if not n.startswith("_")]
    return Rows(records.select(list(names)))


def verdicts(
    keep: np.ndarray,
    reason: str | Sequence[str | None],
    *,
    value: np.ndarray | None = None,
    limit: float | None = None,
) -> Verdicts:
    """Verdicts of one check: `keep` is bool[n]; the reason stands only where a row is refused.

    `value` is what was measured (float[n], nan = nothing), `limit` what it was held against.
    """
    said = [reason] * len(keep) if isinstance(reason, str) else list(reason)
    columns = [
        pa.array(np.asarray(keep, bool)),
        pa.array([None if ok else why for ok, why in zip(keep, said, strict=True)], pa.string()),
        pa.array(np.full(len(keep), np.nan) if value is None else value, pa.float32(), from_pandas=True),
        pa.array([limit] * len(keep), pa.float32()),
    ]
    return Verdicts(pa.RecordBatch.from_arrays(columns, schema=VERDICT))


def abstained(count: int) -> Verdicts:
    """Verdicts that say nothing about `count` rows."""
    return Verdicts(pa.RecordBatch.from_arrays([pa.nulls(count, f.type) for f in VERDICT], schema=VERDICT))


def source(rows: Rows, *, name: str, maker: Maker, rights: str, method: str = "function") -> Draft:
    """A draft of rows that a plain function made; the shortest way from values to records."""
    origin = Origin(source=name, input_maker=maker, target_maker=maker, method=method, rights=rights)
    return Draft(rows=rows, origin=origin)


# One row per request that a service answered. purpose: what its user was told that the log is for;
# model: the version that answered; input: JSON of the input columns; out_of_scope: a person or a rule said
# that no class fits; correction: the label that a person gave instead; by: who says so, a pseudonym or a
# stream of such people; comment: in their words; thumbs: -1, 1, null = nothing said.
_SAID = ("request", "deployment", "purpose", "model", "input", "prediction", "correction", "by", "comment")
SERVICE_LOG = schema(
    **dict.fromkeys((*_SAID, "consent"), pa.string()),
    **dict.fromkeys(("confidence", "in_scope"), pa.float32()),
    at=pa.timestamp("us", "UTC"),
    out_of_scope=pa.bool_(),
    thumbs=pa.int8(),
)
