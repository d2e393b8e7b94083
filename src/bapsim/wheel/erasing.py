"""A withdrawal in the wheel's own files: shards, verdicts, ledger, models. Each step can be done again.

A shard in which something goes is written anew under the next generation's name; the ledger's row follows,
then the old file goes. Rows keep their places, so that masks of what models ate, verdicts and counts stay
aligned, and the accounts add up: an erased row is refused, with the reason `withdrawn`, and counts once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import id_bytes
from bapsim.core.recipe import Recipe
from bapsim.core.records import VERDICT, Verdicts
from bapsim.judge.gate import refund
from bapsim.store import fault
from bapsim.store.lake import (
    Shard,
    erased,
    is_erased,
    of_generation,
    read_batch,
    read_verdicts,
    verdict_path,
    write_shard,
    write_verdicts,
)
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project
from bapsim.store.schema import GUARDED
from bapsim.store.tape import unpacked
from bapsim.text.escaped import has_trace, without_traces
from bapsim.text.verbatim import is_rare
from bapsim.wheel.audit import recount
from bapsim.wheel.permits import PARENT, WITHDRAWN
from bapsim.wheel.refining import refused_by
from bapsim.wheel.scrub_files import going_rows
from bapsim.wheel.scrub_text import MARK, masked
from bapsim.wheel.snapshot import KEY, inventory, taken
from bapsim.wheel.sought import Sought
from bapsim.wheel.stock import exam_ids
from bapsim.wheel.withdrawal_plan import Plan

TEXTS = {  # cells of the ledger in which what people said may stand, by table and column; keys are names
    "unread": ("detail",),
    "turn": ("decision",),
    "stage": ("output",),
    "model": ("details",),
    "question": ("suggested",),
    "guideline": ("rule",),
    "used": ("reason",),
    "cost": ("what",),
}


# ---------------------------------------------------------------------- shards and verdicts


def erase_shards(project: Project, plan: Plan) -> int:
    """New generations of all shards with records that go or are left out; returns how many records went."""
    count = 0
    for shard in project.shards():
        batch = read_batch(project.wheel / shard.path)
        ids = [one.tobytes() for one in id_bytes(batch.column("_id"))]
        gone = np.array([one in plan.erased for one in ids], bool)
        left = np.array([one in plan.left_out for one in ids], bool)
        count += int(gone.sum())
        if (gone | left).any() and not _is_done(project, shard, batch, gone, left):
            _rewrite(project, shard, batch, gone, left)
    sweep(project)
    return count


def _is_done(
    project: Project, shard: Shard, batch: pa.RecordBatch, gone: np.ndarray, left: np.ndarray
) -> bool:
    """Whether a run that was killed has come past this shard."""
    if not is_erased(batch)[gone].all():
        return False
    named = _verdicts(project, shard)
    if WITHDRAWN not in named:
        return not named
    return bool(refused_by({WITHDRAWN: named[WITHDRAWN]}, len(batch))[gone | left].all())


def _verdicts(project: Project, shard: Shard) -> dict[str, pa.RecordBatch]:
    path = project.ledger.value("select verdicts from shard where path=?", shard.key)
    return read_verdicts(project.wheel, path) if path else {}


def _rewrite(
    project: Project, shard: Shard, batch: pa.RecordBatch, gone: np.ndarray, left: np.ndarray
) -> None:
    ledger = project.ledger
    row = ledger.row("select generation, verdicts from shard where path=?", shard.key) or {}
    number = int(row["generation"]) + 1
    new = write_shard(project.wheel, of_generation(shard.key, number), erased(batch, gone))
    changes: dict[str, Any] = {"generation": number, "sha256": new.sha256}
    if row["verdicts"]:
        turn = int(str(row["verdicts"]).rpartition(".t")[2].removesuffix(".parquet"))
        path = verdict_path(new.path, turn)
        said = _silenced(_verdicts(project, shard), gone, left)
        changes |= {"verdicts": path, "verdicts_sha256": write_verdicts(project.wheel, path, said)}
    with ledger.change("erased") as changed:
        changed.amend("shard", {"path": shard.key}, **changes)


def _silenced(named: Mapping[str, pa.RecordBatch], gone: np.ndarray, left: np.ndarray) -> dict[str, Verdicts]:
    """Verdicts that say nothing about rows that are gone but that they are, and of others left out why."""
    stays: Any = pa.array(np.arange(len(gone)), mask=gone)
    found = {name: Verdicts(said.take(stays)) for name, said in named.items() if name != WITHDRAWN}
    old = named.get(WITHDRAWN)
    keep: list[Any] = [None] * len(gone) if old is None else old.column("keep").to_pylist()
    why: list[Any] = [None] * len(gone) if old is None else old.column("reason").to_pylist()
    for i in np.flatnonzero(gone | left).tolist():
        keep[i], why[i] = False, WITHDRAWN if gone[i] else PARENT
    nothing = [pa.nulls(len(gone), VERDICT.field(name).type) for name in ("value", "limit")]
    columns = [pa.array(keep, pa.bool_()), pa.array(why, pa.string()), *nothing]
    return {WITHDRAWN: Verdicts(pa.RecordBatch.from_arrays(columns, schema=VERDICT)), **found}


def sweep(project: Project) -> None:
    """Files of records and verdicts that the ledger does not name: older generations, leftovers of a kill."""
    named = {shard.path for shard in project.shards()}
    rows = project.ledger.rows("select verdicts from shard where verdicts is not null")
    named |= {str(row["verdicts"]) for row in rows}
    for kind in ("records", "verdicts"):
        for path in sorted((project.wheel / kind).rglob("*")):
            if path.is_file() and path.relative_to(project.wheel).as_posix() not in named:
                remove(path)


def remove(path: Path) -> None:
    """Delete a file for good: its place is synced."""
    fault.point("before removal")
    path.unlink(missing_ok=True)
    fault.sync(path.parent)
    fault.point("after removal")


# ---------------------------------------------------------------------- the ledger


def erase_in_ledger(project: Project, plan: Plan) -> int:
    """Cells, questions, exam items and taped answers; what was freed. Returns how many cells changed."""
    ledger = project.ledger
    with ledger.change("withdrawal in the ledger"):
        count = sum(_cells(ledger, table, columns, plan.sought) for table, columns in TEXTS.items())
        count += _unread(ledger, plan) + _questions(ledger, plan) + _tape(ledger, plan)
        _exam(ledger, plan)
        for one, (action, why) in plan.actions.items():
            known = ledger.row("select action from action where id=? and consent=?", one, plan.consent)
            if known is None:
                ledger.add("action", id=one, consent=plan.consent, action=action, reason=why)
        for one in sorted(plan.freed):
            key = {"id": one, "consent": plan.consent}
            if ledger.row("select 1 from descendant where id=? and consent=?", *key.values()) is not None:
                ledger.erase("descendant", key)
    return count


def _cells(ledger: Ledger, table: str, columns: tuple[str, ...], sought: Sought) -> int:
    count = 0
    for row in ledger.rows(f"select * from {table} order by rowid"):  # noqa: S608
        if table == "stage" and row["key"] == KEY:
            continue
        said = {name: _said(row[name], sought) for name in columns if row[name]}
        changes = {name: value for name, value in said.items() if value != row[name]}
        if changes:
            ledger.amend(table, {name: row[name] for name in GUARDED[table]}, **changes)
            count += len(changes)
    return count


def _said(cell: str, sought: Sought) -> str:
    """A cell with a mark in place of what is sought; of JSON, value by value."""
    if cell[:1] in "[{":
        try:
            value = json.loads(cell)
        except (ValueError, RecursionError):
            value = None
        if value is not None:
            bare, rare = _without_words(value, sought)
            left, parts = masked(bare, sought)
            return json.dumps(left, ensure_ascii=False, sort_keys=True) if parts or rare else cell
    return without_traces(sought.traces, cell, MARK) if has_trace(sought.traces, cell) else cell


def _without_words(value: Any, sought: Sought) -> tuple[Any, int]:
    """A decision without slices of rows by words that only they had."""
    slices = value.get("notice", {}).get("slices", []) if isinstance(value, dict) else []
    words = [one for one in slices if isinstance(one, dict) and one.get("kind") == "word"]
    if not words:
        return value, 0
    rare = is_rare(sought.traces, [str(one["name"]) for one in words])
    gone = [one for one, hit in zip(words, rare, strict=True) if hit]
    left = [one for one in slices if one not in gone]
    return {**value, "notice": {**value["notice"], "slices": left}}, len(gone)


def _unread(ledger: Ledger, plan: Plan) -> int:
    """What was told of lines of files under the consent that could not be read."""
    count = 0
    files = set(plan.files)
    for row in ledger.rows("select * from unread where detail<>''"):
        if row["file"] in files:
            ledger.amend("unread", {name: row[name] for name in GUARDED["unread"]}, detail="")
            count += 1
    return count


def _questions(ledger: Ledger, plan: Plan) -> int:
    """Questions about records that are gone are asked no more."""
    count = 0
    for one in sorted(plan.erased):
        row = ledger.row("select state, suggested from question where id=?", one)
        if row is not None and (row["state"] != WITHDRAWN or row["suggested"] is not None):
            ledger.amend("question", {"id": one}, state=WITHDRAWN, suggested=None)
            count += 1
    return count


def _tape(ledger: Ledger, plan: Plan) -> int:
    """Taped answers in which something stands that goes; those that nobody approved yet are under a key."""
    count = 0
    for row in ledger.rows("select dialogue, step, got from tape where got is not null and not sealed"):
        if going_rows(unpacked(row["got"]), plan.sought, given=False).any():
            ledger.erase("tape", {"dialogue": row["dialogue"], "step": row["step"]})
            count += 1
    return count


def erase_dialogues(ledger: Ledger, owners: set[str]) -> int:
    """Taped answers of these owners, sealed or not; returns how many."""
    rows = ledger.rows("select dialogue, step, owner from tape where owner is not null order by rowid")
    mine = [row for row in rows if row["owner"] in owners]
    if mine:
        with ledger.change("dialogues erased"):
            for row in mine:
                ledger.erase("tape", {"dialogue": row["dialogue"], "step": row["step"]})
    return len(mine)


def _exam(ledger: Ledger, plan: Plan) -> None:
    """The exam without items that go: a version of its own, without a refund."""
    have = exam_ids(ledger)
    gone = sorted(have & (plan.erased | plan.left_out))
    if not gone:
        return
    turn = int(ledger.value("select max(n) from turn"))
    version = int(ledger.value("select max(version) from exam")) + 1
    items = len(have) - len(gone)
    row = {"items": items, "fresh": 0, "refund": refund(0, items) if items else 0.0}
    ledger.add("exam", version=version, turn=turn, **row)
    for one in gone:
        ledger.amend("exam_item", {"id": one}, until=turn)


def settle_accounts(project: Project, recipe: Recipe) -> dict[str, int]:
    """The accounts after the erasure, entered as those of the last turn; what it said then stays its word."""
    ledger = project.ledger
    counts = recount(project, recipe)
    last = ledger.row("select n, accounts from turn where state='done' order by n desc limit 1")
    if last is not None and json.loads(last["accounts"]) != counts:
        with ledger.change("accounts after a withdrawal"):
            ledger.amend("turn", {"n": last["n"]}, accounts=json.dumps(counts))
    return counts


def settle_inbox(project: Project, changed: Collection[str]) -> None:
    """What the last turn took, as it lies there now: what was rewritten or deleted here is no news."""
    there, known = inventory(project.inbox), taken(project.ledger)
    new = dict(known)
    for name in changed:
        if name in known and name not in there:
            del new[name]
        elif name in known:
            new[name] = known[name]._replace(size=there[name][0], at=there[name][1], digest="")
    if new != known:
        with project.ledger.change("inbox after a withdrawal") as ledger:
            ledger.amend("stage", {"key": KEY}, output=json.dumps(new))
