"""Check a wheel, and say why: a record's certificate, verdicts and kin; a model's data and decision."""

from __future__ import annotations

import json
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import ID, id_bytes
from bapsim.core.errors import Damaged, InputError
from bapsim.core.recipe import Recipe
from bapsim.store import artifacts
from bapsim.store.entries import unbalanced
from bapsim.store.lake import Shard, View, file_sha256, of_generation, sha256
from bapsim.store.ledger import Finding, Ledger
from bapsim.store.machine_tape import FILE, MachineTape
from bapsim.store.project import Project
from bapsim.store.tape import in_doubt
from bapsim.wheel.candidates import NAME
from bapsim.wheel.refining import refused_by, stored_verdicts, superseded_by
from bapsim.wheel.settling import subjects
from bapsim.wheel.stock import (
    EXAM,
    PENDING,
    STATES,
    SUPERSEDED,
    TRAINED,
    Stock,
    accounts,
    adds_up,
    exam_ids,
    load_stock,
    standing,
)
from bapsim.wheel.tainting import tainted


def check(project: Project, recipe: Recipe, head: str | None = None) -> dict[str, Any]:
    """Everything that is wrong: the chain, the rows it guards, every file, the accounts; and the head.

    head: "SEQ MAC" as an earlier report printed it; it must still be in the chain. A kept head shows even a
    rewrite by somebody who has the key.
    """
    found = [*project.ledger.verify(), *unbalanced(project.ledger)]
    if head is not None:
        seq, _, mac = head.strip().partition(" ")
        if not seq.isdigit() or not project.ledger.knows(int(seq), mac):
            found.append(Finding("head_unknown", head))
    found += _files(project)
    found += _reported(project)
    counts: dict[str, int] = {}
    if not found:
        counts = recount(project, recipe)
        found += _accounts(project, counts)
    doubt = [f"{key} {step}" for key, step in in_doubt(project.ledger)] + _machines_in_doubt(project)
    number, mac = project.ledger.head()
    return {
        "ok": not found,
        "findings": [{"kind": f.kind, "where": f.where} for f in found],
        "accounts": counts,
        "in_doubt": doubt,
        "head": f"{number} {mac}",
    }


def _machines_in_doubt(project: Project) -> list[str]:
    """Requests to machines that were in flight at a kill: they may be paid for twice when asked again."""
    tape = MachineTape(project.wheel / FILE)
    if not tape.is_there:
        return []
    with closing(tape):
        return [f"{one.model} {one.key} {one.sample}" for one in tape.in_doubt()]


def chain_at(ledger: Ledger, n: int) -> str:
    """The head of the audit chain when turn n ended, "SEQ MAC": its decision was the last event."""
    query = "select seq, mac from event where kind='turn' and subject=? order by seq desc limit 1"
    row = ledger.row(query, json.dumps([n]))
    return "" if row is None else f"{row['seq']} {row['mac']}"


def _reported(project: Project) -> list[Finding]:
    """The heads that the project's own reports printed are still in the chain: an older wheel shows."""
    found = []
    for path in sorted(project.root.glob("reports/turn-*/report.json")):
        try:
            head = str(json.loads(path.read_text("utf-8"))["chain"])
        except (OSError, ValueError, KeyError):
            head = ""
        seq, _, mac = head.partition(" ")
        if not seq.isdigit() or not project.ledger.knows(int(seq), mac):
            found.append(Finding("report_unknown", path.parent.name))
    return found


def _files(project: Project) -> list[Finding]:
    """Every shard, verdict file and model is the one that was written."""
    named: list[tuple[str, str]] = []
    for row in project.ledger.rows("select * from shard"):
        named.append((of_generation(row["path"], row["generation"]), row["sha256"]))
        if row["verdicts"] is not None:
            named.append((row["verdicts"], row["verdicts_sha256"]))
    found = [Finding("file_changed", path) for path, sha in named if _sha(project.wheel / path) != sha]
    for row in project.ledger.rows("select * from model where judged is not null or served is not null"):
        folder = project.models / NAME / row["version"]
        if row["judged"] is not None and _folder_sha(folder / "judged") != row["sha256"]:
            found.append(Finding("file_changed", f"models/{NAME}/{row['version']}/judged"))
        if row["served"] is not None and _folder_sha(folder / "served") != row["served"]:
            found.append(Finding("file_changed", f"models/{NAME}/{row['version']}/served"))
    return found


def _sha(path: Path) -> str:
    return file_sha256(path) if path.is_file() else ""


def _folder_sha(path: Path) -> str:
    return artifacts.folder_digest(path) if path.is_dir() else ""


def stands(project: Project, stock: Stock) -> np.ndarray:
    """int8[N]: where each row stands (STATES), from what is stored: verdicts, deliveries, exam."""
    refused = stock.refused_deliveries.copy()
    superseded = np.zeros(len(stock), bool)
    for i, shard in enumerate(stock.shards):
        part = slice(int(stock.starts[i]), int(stock.starts[i + 1]))
        said = stored_verdicts(project, shard)
        refused[part] |= refused_by(said, shard.rows)
        superseded[part] = superseded_by(said, shard.rows)
    exam = stock.rows_with(exam_ids(project.ledger))
    return standing(stock, exam, refused & ~exam, superseded)


def recount(project: Project, recipe: Recipe) -> dict[str, int]:
    """The accounts, counted anew from shards, verdicts and ledger."""
    return accounts(project.ledger, stands(project, load_stock(project, recipe.task)))


def _accounts(project: Project, counts: dict[str, int]) -> list[Finding]:
    found = [] if adds_up(counts) else [Finding("accounts_differ", json.dumps(counts))]
    last = project.ledger.value("select accounts from turn where state='done' order by n desc limit 1")
    newest = project.ledger.value("select state from turn order by n desc limit 1")
    if last is not None and newest == "done":  # an open or stopped turn has gathered since
        told = json.loads(last)
        if told != counts:
            found.append(Finding("accounts_differ", json.dumps({"said": told, "found": counts})))
    return found


# --------------------------------------------------------------------------- why


def why_model(project: Project, version: str) -> dict[str, Any]:
    """A model's data, turn, decision and exam version, and whether what serves was refitted."""
    ledger = project.ledger
    row = ledger.row("select * from model where version=?", version)
    if row is None:
        known = ", ".join(r["version"] for r in ledger.rows("select version from model order by rowid"))
        raise InputError("unknown_model", version=version, known=known or "-")
    body = ledger.value("select decision from turn where n=?", row["turn"])
    decision = json.loads(body) if body else None
    looks = ledger.rows("select * from look where candidate=? order by rowid", row["fingerprint"])
    eaten = ledger.rows("select shard, mask from eaten where version=?", version)
    by_source: dict[str, int] = {}
    for one in eaten:
        source = str(ledger.value("select source from shard where path=?", one["shard"]))
        by_source[source] = by_source.get(source, 0) + int(_mask(one["mask"]).sum())
    return {
        "version": version,
        "state": row["state"],
        "turn": row["turn"],
        "fingerprint": row["fingerprint"],
        "data": row["data"],
        "rows_by_source": by_source,
        "tainted": tainted(ledger, "model", version),
        "serves": version == ledger.value("select version from used order by n desc limit 1"),
        "refitted_with_exam": row["served"] is not None,
        "looks": [{k: r[k] for k in ("exam", "champion", "turn", "alpha", "verdict")} for r in looks],
        "decision": decision,
    }


def _mask(body: bytes) -> np.ndarray:
    return np.unpackbits(np.frombuffer(zlib.decompress(body), np.uint8))


def find_record(project: Project, said: str) -> bytes:
    """The id of the one record whose hex digits begin so."""
    wanted = said.strip().lower().removeprefix("q")
    hits: list[bytes] = []
    for shard in project.shards():
        view = View(name="one", root=project.wheel, shards=(shard,))
        for batch in view.batches([]):
            ids = id_bytes(batch.column("_id"))
            hits += [i.tobytes() for i in ids if i.tobytes().hex().startswith(wanted)]
    if len(set(hits)) != 1:
        raise InputError("record_not_found", said=said, hits=len(set(hits)))
    return hits[0]


def why_record(project: Project, recipe: Recipe, said: str) -> dict[str, Any]:
    """A record's certificate, where it stands, all verdicts about it, parents, children and models."""
    ledger, wanted = project.ledger, find_record(project, said)
    stock = load_stock(project, recipe.task)
    at, state = stock.place[wanted], stands(project, stock)
    shard_at = int(np.searchsorted(stock.starts, at, side="right")) - 1
    shard, row = stock.shards[shard_at], at - int(stock.starts[shard_at])
    view = View(name="one", root=project.wheel, shards=(shard,))
    record = view.find(pa.array([wanted], ID))
    origin = stock.origins[int(stock.origin[at])]
    about = ledger.row("select turn, state from origin where n=?", int(stock.origin[at]))
    if about is None:
        raise Damaged("row_is_gone", table="origin", key=str(stock.origin[at]))
    eaten = ledger.rows("select version, mask from eaten where shard=? order by rowid", shard.key)
    values = record.to_pylist()[0]
    subject = subjects(stock)
    heirs = (subject == subject[at]) & (subject >= 0) & np.isin(state, (EXAM, PENDING, TRAINED))
    return {
        "id": wanted.hex(),
        "labelled": bool(stock.labelled[at]),
        "replaced_by": [i.tobytes().hex() for i in stock.ids[heirs & (state[at] == SUPERSEDED)]],
        "row": {k: _readable(v) for k, v in values.items() if not k.startswith("_")},
        "certificate": {
            "source": origin.source,
            "turn": about["turn"],
            "input_maker": origin.input_maker,
            "target_maker": origin.target_maker,
            "method": origin.method,
            "rights": origin.rights,
            "consent": origin.consent,
            "batch": origin.batch,
            "key": values["_key"],
            "input_depth": values["_input_depth"],
            "target_depth": values["_target_depth"],
            "delivery": about["state"],
        },
        "stands": STATES[int(state[at])],
        "verdicts": _verdicts_about(project, shard, row),
        "parents": [i.hex() for i in values["_parents"] or []],
        "children": [stock.ids[r].tobytes().hex() for r, mums in stock.parents if at in mums],
        "eaten_by": [r["version"] for r in eaten if _mask(r["mask"])[row]],
    }


def _readable(value: Any) -> Any:
    """A value of a row as JSON can hold it: bytes, a picture's say, by their number and digest."""
    if isinstance(value, bytes):
        return {"bytes": len(value), "sha256": sha256(value)}
    return value


def _verdicts_about(project: Project, shard: Shard, row: int) -> list[dict[str, Any]]:
    """What each check said of one row; those that abstained are left out."""
    found = []
    for name, said in stored_verdicts(project, shard).items():
        one = said.slice(row, 1).to_pylist()[0]
        if one["keep"] is not None:
            found.append({"check": name, **one})
    return found
