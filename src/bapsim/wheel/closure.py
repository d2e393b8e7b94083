"""What rests on a consent, record by record, and what is done with each when it is withdrawn.

The ledger's table `descendant` names every record under a consent, its own and what was derived from such,
whatever the turn; parents in the shards are followed as well, so that an older wheel loses none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import id_bytes
from bapsim.store.lake import Shard, is_erased, read_batch
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project

BITS = 20  # of an id that are looked up first: with 6,000 known ones, 6 others of 1,000 pass
Action = Literal["delete", "drop", "re-verify", "keep"]


def descendants(ledger: Ledger, consent: str) -> np.ndarray:
    """void16[n]: the ids of all records under a consent."""
    rows = ledger.db.execute("select id from descendant where consent=?", (consent,))
    return np.frombuffer(b"".join(row[0] for row in rows), "V16")


class Member(NamedTuple):
    """One record under a consent: which shard and row, whose it is, from which parents it came.

    own: it came under this consent; joint: it was settled from what this person and others said.
    """

    id: bytes
    shard: int
    row: int
    parents: tuple[bytes, ...]
    own: bool
    joint: bool


@dataclass(frozen=True, kw_only=True)
class Closure:
    """The records under a consent in the order of gathering; gone: ids of records that were erased before."""

    consent: str
    shards: tuple[Shard, ...]
    members: tuple[Member, ...]
    gone: frozenset[bytes] = field(default=frozenset())

    def rows(self, shard: int, wanted: Collection[bytes] | None = None) -> np.ndarray:
        """int64[n]: the rows of one shard that are members, all or those with these ids."""
        mine = [one for one in self.members if one.shard == shard]
        return np.array([one.row for one in mine if wanted is None or one.id in wanted], np.int64)


def closure(project: Project, consent: str) -> Closure:
    """Everything under a consent; what was erased before is no member.

    A million records take less than a tenth of a second (benchmarks/withdraw_closure.py): of each shard only
    ids, origins and parents are read, and nearly all ids are told apart by some of their bits.
    """
    known = _Known(_bytes(descendants(project.ledger, consent)))
    query = "select n from origin where consent=?"
    own = [int(row["n"]) for row in project.ledger.rows(query, consent)]
    shards = tuple(project.shards())
    found: list[Member] = []
    gone: set[bytes] = set()
    for i, shard in enumerate(shards):
        path = project.wheel / shard.path
        batch = read_batch(path, ["_id", "_origin", "_parents"])
        here = id_bytes(batch.column("_id"))
        mine = known.among(here) | _children(batch, known)
        if own:
            mine |= np.isin(batch.column("_origin").to_numpy(), own)
        at = np.flatnonzero(mine)
        if not len(at):
            continue
        known.add(_bytes(here[at]))
        left = is_erased(read_batch(path, ["_key"]))[at]
        gone.update(_bytes(here[at[left]]))
        found += _members(batch, i, at[~left], own, known.ids)
    if project.ledger.value("select count(*) from withdrawal where consent<>?", consent):
        others = {mum for one in found for mum in one.parents if mum not in known.ids}
        gone |= _erased(project, shards, others)
    return Closure(consent=consent, shards=shards, members=tuple(found), gone=frozenset(gone))


def _erased(project: Project, shards: Sequence[Shard], ids: Collection[bytes]) -> set[bytes]:
    """Which of these were erased under another consent: they vouch for nothing any more."""
    wanted, found = _Known(ids), set[bytes]()
    for shard in shards if ids else ():
        path = project.wheel / shard.path
        here = id_bytes(read_batch(path, ["_id"]).column("_id"))
        at = np.flatnonzero(wanted.among(here))
        if len(at):
            found.update(_bytes(here[at[is_erased(read_batch(path, ["_key"]))[at]]]))
    return found


def _bytes(ids: np.ndarray) -> Iterator[bytes]:
    return iter(ids.tolist())


class _Known:
    """A set of ids that is asked for many at a time: a table of some of their bits, then the ids."""

    def __init__(self, ids: Iterable[bytes]) -> None:
        self.ids: set[bytes] = set()
        self._some = np.zeros(1 << BITS, bool)
        self.add(ids)

    def add(self, ids: Iterable[bytes]) -> None:
        new = list(ids)
        self.ids.update(new)
        self._some[_some(np.frombuffer(b"".join(new), "V16"))] = True

    def among(self, ids: np.ndarray) -> np.ndarray:
        """bool[n]: which of these (void16[n]) are in it."""
        found = np.zeros(len(ids), bool)
        if not self.ids or not len(ids):
            return found
        likely = np.flatnonzero(self._some[_some(ids)])
        found[likely] = [one in self.ids for one in _bytes(ids[likely])]
        return found


def _some(ids: np.ndarray) -> np.ndarray:
    """int64[n]: bits of ids (void16[n])."""
    heads = np.ascontiguousarray(ids).view(np.uint32)[::4]
    return np.asarray(heads & np.uint32((1 << BITS) - 1), np.int64)


def _children(batch: pa.RecordBatch, known: _Known) -> np.ndarray:
    """bool[n]: rows of which a parent is known; parents come before their children."""
    parents: Any = batch.column("_parents")
    found = np.zeros(len(batch), bool)
    if parents.null_count < len(batch):
        hits = np.flatnonzero(known.among(id_bytes(parents.flatten())))
        if len(hits):
            of = np.repeat(np.arange(len(batch)), np.nan_to_num(_sizes(parents)).astype(np.int64))
            found[of[hits]] = True
    return found


def _sizes(column: Any) -> np.ndarray:
    return np.asarray(column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))


def _members(
    batch: pa.RecordBatch, shard: int, rows: np.ndarray, own: Sequence[int], known: Collection[bytes]
) -> Iterator[Member]:
    some = batch.take(pa.array(rows))
    columns: list[list[Any]] = [some.column(name).to_pylist() for name in ("_id", "_origin", "_parents")]
    for row, one, origin, of in zip(rows.tolist(), *columns, strict=True):
        mums, mine = tuple(of or ()), origin in own
        joint = not mine and not any(mum in known for mum in mums)
        yield Member(id=one, shard=shard, row=row, parents=mums, own=mine, joint=joint)


# ---------------------------------------------------------------------- what is done


def decided(
    found: Closure, traced: Collection[bytes], hinted: Collection[bytes]
) -> dict[bytes, tuple[Action, str]]:
    """For each member what is done, and why.

    traced: those in which a verbatim span of what must go stands; hinted: those that have a rare word of it,
    which is enough where nothing else vouches for them. Members come after their parents.

    own: the person's record; own_vote: settled with others, whose answers settle it anew; verbatim: it says
    what must go; independent_parent: a lawful parent vouches for it; question_of_others: its text is
    another's, its answer was this person's: it waits for another answer; no_other_parent: nothing vouches
    for it.
    """
    actions: dict[bytes, tuple[Action, str]] = {}
    elsewhere: dict[bytes, bool] = {}
    members = {one.id for one in found.members}

    def lawful(mum: bytes) -> bool:
        if mum in actions:
            return actions[mum][0] == "keep"
        return mum not in members and mum not in found.gone

    for one in found.members:
        direct = any(lawful(mum) for mum in one.parents)
        elsewhere[one.id] = direct or any(elsewhere.get(mum, False) for mum in one.parents)
        says = one.id in traced or (one.id in hinted and not direct)
        actions[one.id] = _decided(one, says, direct, elsewhere[one.id])
    return actions


def _decided(one: Member, traced: bool, direct: bool, elsewhere: bool) -> tuple[Action, str]:
    if one.own:
        return "delete", "own"
    if one.joint:
        return "re-verify", "own_vote"
    if traced:
        return "delete", "verbatim"
    if direct:
        return "keep", "independent_parent"
    return ("re-verify", "question_of_others") if elsewhere else ("drop", "no_other_parent")


def erases(action: tuple[Action, str]) -> bool:
    """Whether the content of a record goes."""
    return action[0] == "delete" or action[1] == "own_vote"


def counted(actions: Mapping[bytes, tuple[Action, str]]) -> dict[str, int]:
    """How many records for each action and reason, as `action: reason`."""
    found: dict[str, int] = {}
    for action, why in actions.values():
        found[f"{action}: {why}"] = found.get(f"{action}: {why}", 0) + 1
    return dict(sorted(found.items()))
