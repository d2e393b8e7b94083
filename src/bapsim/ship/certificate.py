"""Birth certificates for others to read: plain columns instead of numbers into a ledger.

What stays at home: the key behind the ids, the source's own names of rows, files that rows came in, and what
a consent is called (a keyed digest stands for it, the same one for the same consent).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import booleans, take
from bapsim.core.records import Origin

TEXTS = pa.list_(pa.string())
COLUMNS: dict[str, Any] = {
    "row_id": pa.string(),
    "source": pa.string(),
    "input_maker": pa.string(),
    "target_maker": pa.string(),
    "method": pa.string(),
    "input_depth": pa.int8(),
    "target_depth": pa.int8(),
    "parents": TEXTS,
    "rights": TEXTS,
    "consents": TEXTS,
    "turn": pa.int32(),
    "turn_verdict": pa.string(),
    "turn_reason": pa.string(),
}
OPINION: dict[str, Any] = {
    "refused_by": pa.string(),
    "refused_for": pa.string(),
    "measured": pa.float32(),
    "limit": pa.float32(),
}
UNKNOWN = "unknown"
DERIVED = "derived"  # rights that say nothing of their own: those of the parents hold


@dataclass(frozen=True)
class Terms:
    """Under which rights and consents a row stands: its own, and those of everything it was made from."""

    rights: tuple[str, ...]
    consents: tuple[str, ...]

    def with_(self, others: Iterable[Terms]) -> Terms:
        """These and the parents' terms together."""
        all_of = [self, *others]
        rights = {name for one in all_of for name in one.rights if name != DERIVED}
        consents = {name for one in all_of for name in one.consents}
        return Terms(tuple(sorted(rights or {UNKNOWN})), tuple(sorted(consents)))


def own_terms(origin: Origin) -> Terms:
    """The terms of a row that was made from nothing else; none said is `unknown`."""
    return Terms((origin.rights.strip() or UNKNOWN,), () if origin.consent is None else (origin.consent,))


def lineage(
    origin: np.ndarray, origins: Mapping[int, Origin], parents: Sequence[tuple[int, Sequence[int]]]
) -> tuple[np.ndarray, list[Terms]]:
    """int32[N], which terms each row stands under, and all distinct terms.

    origin: int64[N]; parents: derived rows with the rows that they were made from, -1 = a row that is gone,
    whose rights nobody knows any more.
    """
    kinds: dict[Terms, int] = {}
    own = {n: own_terms(one) for n, one in origins.items()}
    first = {n: kinds.setdefault(one.with_(()), len(kinds)) for n, one in own.items()}
    lost = Terms((UNKNOWN,), ())
    codes = np.array([first[n] for n in origin.tolist()], np.int32)
    listed = list(kinds)
    for row, mums in sorted(parents):  # parents come before their children
        theirs = [lost if m < 0 else listed[codes[m]] for m in mums]
        terms = own[int(origin[row])].with_(theirs)
        codes[row] = kinds.setdefault(terms, len(kinds))
        if len(kinds) > len(listed):
            listed.append(terms)
    return codes, listed


def pseudonym(consent: str, secret: bytes) -> str:
    """A consent as 16 hex digits that nobody without the key can guess from its name."""
    return hashlib.blake2b(consent.encode(), digest_size=8, key=secret, person=b"consent").hexdigest()


@dataclass(frozen=True, kw_only=True)
class Register:
    """What the ledger knows of origins, by number, and of turns; `secret` keys the names of consents."""

    origins: Mapping[int, Origin]
    turns: Mapping[int, int]  # of origins
    verdicts: Mapping[int, tuple[str, str]]  # of turns: verdict, reason
    secret: bytes


def certificate(
    records: pa.RecordBatch, labelled: np.ndarray, terms: Sequence[Terms], codes: np.ndarray, book: Register
) -> list[Any]:
    """The certificates of n records as columns in the order of COLUMNS.

    labelled: bool[n], a row without target has nobody who made it; codes: int32[n] into `terms`.
    """
    numbers = np.asarray(records.column("_origin").to_numpy(), np.int64)
    seen, at = np.unique(numbers, return_inverse=True)
    made = [book.origins[n] for n in seen.tolist()]
    turns = [book.turns[n] for n in seen.tolist()]
    said = [book.verdicts.get(n, (None, None)) for n in turns]
    used, where = np.unique(codes, return_inverse=True)
    mine = [terms[code] for code in used.tolist()]
    consents = [[pseudonym(name, book.secret) for name in one.consents] for one in mine]
    ids: list[Any] = records.column("_id").to_pylist()
    mums: list[Any] = records.column("_parents").to_pylist()
    parents = [None if one is None else [mum.hex() for mum in one] for one in mums]
    return [
        pa.array([one.hex() for one in ids], pa.string()),
        _spread([one.source for one in made], at, pa.string()),
        _spread([one.input_maker for one in made], at, pa.string()),
        _where(labelled, _spread([one.target_maker for one in made], at, pa.string())),
        _spread([one.method for one in made], at, pa.string()),
        records.column("_input_depth"),
        _where(labelled, records.column("_target_depth")),
        pa.array(parents, TEXTS),
        _spread([list(one.rights) for one in mine], where, TEXTS),
        _spread(consents, where, TEXTS),
        _spread(turns, at, pa.int32()),
        _spread([verdict for verdict, _ in said], at, pa.string()),
        _spread([reason for _, reason in said], at, pa.string()),
    ]


def _spread(values: Sequence[Any], at: np.ndarray, kind: Any) -> Any:
    return pa.array(values, kind).take(pa.array(at.astype(np.int64)))


def _where(there: np.ndarray, column: Any) -> Any:
    """The column with null elsewhere."""
    return column.take(pa.array(np.arange(len(there)), mask=~there))


def opinion(named: Mapping[str, pa.RecordBatch], rows: int, otherwise: str | None) -> list[Any]:
    """Why each of n rows is not trained on, as columns in the order of OPINION.

    The first check that says no, in the recipe's order; `otherwise` is the reason where no check does.
    """
    by: list[str | None] = [None] * rows
    why: list[str | None] = [otherwise] * rows
    value: list[float | None] = [None] * rows
    limit: list[float | None] = [None] * rows
    for name, said in reversed(list(named.items())):
        no = np.flatnonzero(~booleans(said.column("keep"), True))
        parts: list[Any] = take(said, no).select(["reason", "value", "limit"]).to_pylist()
        for row, part in zip(no.tolist(), parts, strict=True):
            by[row], why[row] = name, part["reason"] or name
            value[row], limit[row] = part["value"], part["limit"]
    columns: list[list[Any]] = [by, why, value, limit]
    return [pa.array(said, kind) for said, kind in zip(columns, OPINION.values(), strict=True)]
