"""Which models, data sets, exams and packages consumed what was withdrawn, and what can be done about each.

A model that learnt from a record keeps something of it, and nobody can take that out: it is marked, and the
remedy is named. `retrain`: the next turn learns without it; what a generator drew after it learnt from such a
record is used no more. `drop_adapter`: what was learnt from this consent
lies in an adapter of its own, which is deleted. `deleted`: its files are gone. `left_out`: the next version
of a set of records or of an exam is without it. `cannot_be_remedied`: it left the house.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bapsim.core.arrow import id_bytes, take
from bapsim.core.errors import BapsimError
from bapsim.store import artifacts, fault
from bapsim.store.lake import parquet, read_batch
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project
from bapsim.wheel.candidates import NAME
from bapsim.wheel.departures import Departure, departures
from bapsim.wheel.held_out import OOF
from bapsim.wheel.scrub_files import without
from bapsim.wheel.withdrawal_plan import Plan

WITHDRAWN = "withdrawn"  # the state of a generator that learnt from such records
Kind = Literal["model", "generator", "data", "exam", "export", "ship"]


@dataclass(frozen=True, kw_only=True)
class Taint:
    """One thing that consumed withdrawn records: how many, and the remedy."""

    kind: Kind
    name: str
    turn: int
    rows: int
    remedy: str


def tainted(ledger: Ledger, kind: Kind, name: str | None) -> list[dict[str, Any]]:
    """By which withdrawals a thing is tainted; none: it is clean."""
    query = "select consent, turn, rows, remedy from taint where kind=? and name=? order by rowid"
    return ledger.rows(query, kind, name)


def stained(ledger: Ledger) -> str | None:
    """What serves, if it learnt from something that was withdrawn."""
    version = ledger.value("select version from used order by n desc limit 1")
    return str(version) if version is not None and tainted(ledger, "model", str(version)) else None


def newest_clean(ledger: Ledger) -> str | None:
    """The newest proven version that can serve and learnt from nothing that was withdrawn."""
    query = "select version from model where state='proven' and served is not null order by turn desc"
    proven = (str(row["version"]) for row in ledger.rows(query))
    return next((one for one in proven if not tainted(ledger, "model", one)), None)


def told_withdrawals(ledger: Ledger, n: int) -> dict[str, Any] | None:
    """What the report of turn n tells of withdrawals; None where there is none.

    consents: those that were taken back before it ended, and those of whose records a model up to it learnt,
    with their records by action; models: each such model, by consent.
    """
    query = (
        "select name, consent, turn, rows, remedy from taint where kind='model' and turn<=? order by rowid"
    )
    marks = ledger.rows(query, n)
    models = [{"version": row.pop("name"), **row} for row in marks]
    ended = str(ledger.value("select ended from turn where n=?", n) or "")
    learnt = {row["consent"] for row in models}
    consents = []
    for row in ledger.rows("select consent, person, at, state from withdrawal order by at, consent"):
        if row["at"] <= ended or row["consent"] in learnt:
            counts = ledger.rows(
                "select action, count(*) records from action where consent=? group by action", row["consent"]
            )
            consents.append({**row, "records": {one["action"]: int(one["records"]) for one in counts}})
    return {"consents": consents, "models": models} if consents else None


def find_taints(project: Project, plan: Plan) -> list[Taint]:
    """Everything that consumed records that are erased or left out, or rested on the consent."""
    eaten = consumed(project, plan.erased | plan.left_out)
    exams = examined_by(project.ledger, plan.erased | plan.left_out)
    found: dict[tuple[str, str], Taint] = {}
    for row in project.ledger.rows("select * from model order by turn, rowid"):
        turn, version = int(row["turn"]), str(row["version"])
        count = eaten.get(version, 0) + (_served_with(exams, turn) if row["served"] is not None else 0)
        if count:
            remedy = remedy_of(project.models / NAME / version, row, plan.consent)
            found["model", version] = Taint(kind="model", name=version, turn=turn, rows=count, remedy=remedy)
        if eaten.get(version):
            data = Taint(kind="data", name=row["data"], turn=turn, rows=eaten[version], remedy="left_out")
            found["data", data.name] = data
    for row in project.ledger.rows("select version, turn from generator order by turn, rowid"):
        if count := eaten.get(str(row["version"]), 0):
            made = Taint(
                kind="generator", name=row["version"], turn=int(row["turn"]), rows=count, remedy="deleted"
            )
            found["generator", made.name] = made
    for exam, (turn, count) in exams.items():
        found["exam", str(exam)] = Taint(
            kind="exam", name=str(exam), turn=turn, rows=count, remedy="left_out"
        )
    models = {name for kind, name in found if kind == "model"}
    for one in departures(project):
        if plan.consent in one.consents or one.version in models:
            found[one.what, one.name] = _left(one)
    return list(found.values())


def _left(one: Departure) -> Taint:
    kind: Kind = "ship" if one.what == "ship" else "export"
    return Taint(kind=kind, name=one.name, turn=one.turn, rows=0, remedy="cannot_be_remedied")


def consumed(project: Project, ids: Collection[bytes]) -> dict[str, int]:
    """By version of a model: how many of these records it was trained on."""
    found: dict[str, int] = {}
    masks: dict[str, np.ndarray] = {}
    for shard in project.shards():
        have = id_bytes(read_batch(project.wheel / shard.path, ["_id"]).column("_id"))
        mask = np.array([one.tobytes() in ids for one in have], bool)
        if mask.any():
            masks[shard.key] = mask
    for row in project.ledger.rows("select version, shard, mask from eaten"):
        if row["shard"] in masks:
            mine = masks[row["shard"]]
            bits = np.unpackbits(np.frombuffer(zlib.decompress(row["mask"]), np.uint8))[: len(mine)]
            count = int((bits.astype(bool) & mine).sum())
            if count:
                found[row["version"]] = found.get(row["version"], 0) + count
    return found


def examined_by(ledger: Ledger, ids: Collection[bytes]) -> dict[int, tuple[int, int]]:
    """By version of the exam: its turn, and how many of these records were items of it."""
    items = [row for row in ledger.rows("select id, version, until from exam_item") if row["id"] in ids]
    turns = {int(r["version"]): int(r["turn"]) for r in ledger.rows("select version, turn from exam")}
    found: dict[int, tuple[int, int]] = {}
    for exam, turn in turns.items():
        stood = [one for one in items if one["until"] is None or turn < int(one["until"])]
        count = sum(int(one["version"]) <= exam for one in stood)
        if count:
            found[exam] = (turn, count)
    return found


def _served_with(exams: dict[int, tuple[int, int]], turn: int) -> int:
    """How many of the records the served twin of a turn's model ate as exam items."""
    return max((count for when, count in exams.values() if when <= turn), default=0)


# ---------------------------------------------------------------------- remedies


def remedy_of(folder: Path, row: dict[str, Any], consent: str) -> str:
    """What can be done about a model that was trained on withdrawn records."""
    if row["judged"] is None and row["served"] is None:
        return "deleted"
    adapters = [one for kind in ("served", "judged") for one in adapters_of(folder / kind)]
    mine = [one for one in adapters if consent in one["consents"]]
    if mine and all(one["consents"] == [consent] for one in mine):
        return "drop_adapter"
    return "retrain"


def adapters_of(folder: Path) -> list[dict[str, Any]]:
    """Adapters of a model, as its model.json lists them: `{"folder": ..., "consents": [...]}`; what was
    learnt under these consents lies in that folder and nowhere else.
    """
    try:
        said = json.loads((folder / "model.json").read_text("utf-8"))
        listed = said.get("adapters", []) if isinstance(said, dict) else []
    except (OSError, ValueError):
        return []
    return [one for one in listed if isinstance(one, dict) and isinstance(one.get("consents"), list)]


def enter_taints(ledger: Ledger, consent: str, found: Collection[Taint]) -> None:
    """Mark what consumed withdrawn records; what is marked already stays as it is."""
    with ledger.change("tainted"):
        for one in found:
            key = {"kind": one.kind, "name": one.name, "consent": consent}
            query = "select 1 from taint where kind=? and name=? and consent=?"
            if ledger.value(query, *key.values()) is None:
                ledger.add("taint", **key, **{k: v for k, v in asdict(one).items() if k not in key})


# ---------------------------------------------------------------------- files of models


def delete_generators(project: Project, consent: str) -> list[str]:
    """The files of generators that learnt from withdrawn records go; what they drew is used no more."""
    query = "select name from taint where kind='generator' and consent=? order by rowid"
    versions = [str(row["name"]) for row in project.ledger.rows(query, consent)]
    for version in versions:
        row = project.ledger.row("select name, state from generator where version=?", version)
        if row is None:
            continue
        if row["state"] != WITHDRAWN:
            with project.ledger.change("generator withdrawn") as ledger:
                ledger.amend("generator", {"version": version}, state=WITHDRAWN, sha256=None)
        folder = project.models / str(row["name"]) / version
        if folder.exists():
            fault.point("before removal")
            shutil.rmtree(folder)
            fault.sync(folder.parent)
    return versions


def clean_models(project: Project, plan: Plan) -> list[dict[str, Any]]:
    """Out-of-fold answers about erased records, adapters of the consent, and words in the files of models;
    returns what was changed. The ledger's digest comes first: half-done files are finished, never believed.
    """
    found = []
    for row in project.ledger.rows("select * from model order by turn, rowid"):
        for kind, column in (("judged", "sha256"), ("served", "served")):
            folder = project.models / NAME / str(row["version"]) / kind
            if row[kind] is not None and folder.is_dir():
                done = _clean_model(project, plan, str(row["version"]), folder, column)
                found += [done] if done is not None else []
    return found


def _clean_model(
    project: Project, plan: Plan, version: str, folder: Path, column: str
) -> dict[str, Any] | None:
    changes = dict(_changed_files(folder, plan))
    if not changes:
        return None
    expected = _digest_with(folder, changes)
    ledger, now = project.ledger, artifacts.folder_digest(folder)
    if ledger.value(f"select {column} from model where version=?", version) == now:  # noqa: S608
        with ledger.change("model cleaned"):
            ledger.amend("model", {"version": version}, **{column: expected})
    for path, body in changes.items():
        if body is None:
            fault.point("before removal")
            path.unlink()
            fault.sync(path.parent)
        else:
            fault.write(path, body)
    said = {"version": version, "folder": folder.name, "files": [p.name for p in changes]}
    return said | {"loads": _loads(folder, project.root)}


def _changed_files(folder: Path, plan: Plan) -> list[tuple[Path, bytes | None]]:
    """What the files of a folder have to become; None: to go."""
    dropped = [folder / str(one.get("folder", "")) for one in adapters_of(folder) if _only(one, plan.consent)]
    found: list[tuple[Path, bytes | None]] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if any(path.is_relative_to(one) and one != folder for one in dropped):
            found.append((path, None))
            continue
        body = _without_answers(path, plan) if path.name == OOF else path.read_bytes()
        left = without(body, path.name, plan.sought, given=False)
        new = body if left is None else None if left.blanked else left.body
        if path.name == "model.json" and dropped and new is not None:
            new = _without_adapters(new, plan.consent)
        if new != path.read_bytes():
            found.append((path, new))
    return found


def _only(adapter: dict[str, Any], consent: str) -> bool:
    return bool(adapter["consents"] == [consent])


def _without_adapters(body: bytes, consent: str) -> bytes:
    said = json.loads(body)
    said["adapters"] = [one for one in said["adapters"] if not _only(one, consent)]
    return json.dumps(said, ensure_ascii=False, indent=1).encode() + b"\n"


def _without_answers(path: Path, plan: Plan) -> bytes:
    """Out-of-fold answers without those about erased records."""
    table = read_batch(path)
    gone = np.array([one.tobytes() in plan.erased for one in id_bytes(table.column("_id"))], bool)
    return parquet(take(table, ~gone)) if gone.any() else path.read_bytes()


def _digest_with(folder: Path, changes: dict[Path, bytes | None]) -> str:
    """The digest that a folder will have."""
    import hashlib

    whole = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        body = changes.get(path, b"") if path in changes else path.read_bytes()
        if body is not None:
            whole.update(path.relative_to(folder).as_posix().encode() + b"\0")
            whole.update(hashlib.sha256(body).digest())
    return whole.hexdigest()


def _loads(folder: Path, root: Path) -> bool:
    """Whether a model still answers after words in its files were taken out."""
    check: Callable[[Path, Path], object] = artifacts.load
    try:
        check(folder, root)
    except (BapsimError, ValueError, KeyError, TypeError, OSError):
        return False
    return True
