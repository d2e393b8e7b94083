"""Export: a project's rows as a folder that others can load, with a card that says what they are.

Rows stream shard by shard; the folder is there whole or not at all. The same project and the same options
give the same bytes. Nothing is written into the project but a note of what left (wheel.departures).
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bapsim.core.errors import InputError
from bapsim.core.recipe import Recipe
from bapsim.core.records import CERTIFICATE, Task
from bapsim.gather.delivered import CERTIFICATE as DELIVERY
from bapsim.ship.card import card
from bapsim.ship.certificate import Register, Terms, lineage
from bapsim.ship.croissant import croissant
from bapsim.ship.label import ASIDE, SPLITS, Agreement, Label, Tally
from bapsim.ship.release import Release, Wanted, own_columns, part_of
from bapsim.store import fault
from bapsim.store.lake import Shard
from bapsim.store.project import Project
from bapsim.store.sealing import signed
from bapsim.store.terms import PEOPLE
from bapsim.wheel.audit import chain_at, stands
from bapsim.wheel.delivering import certificate, delivered_rows
from bapsim.wheel.departures import note
from bapsim.wheel.refining import stored_verdicts
from bapsim.wheel.settling import SUPERSEDED
from bapsim.wheel.stock import ASKED, STATES, Stock, load_stock

ROWS, BYTES = 8_192, 8 << 20  # read at a time, whichever is less: pictures are large


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The project as an export sees it.

    state: int8[N], where each row stands; asked, chosen: bool[N], asked for, and free to go as well; codes:
    int32[N] into `terms`; last: the newest turn.
    """

    stock: Stock
    state: np.ndarray
    asked: np.ndarray
    chosen: np.ndarray
    codes: np.ndarray
    terms: list[Terms]
    last: Mapping[str, Any]


def export(project: Project, recipe: Recipe, wanted: Wanted, out: Path, lang: str = "en") -> Label:
    """Write the folder `out`: data/, set_aside/, README.md, croissant.json; returns what the card says.

    Raises InputError where `out` is taken or lies inside the project's own folders, a turn has not ended, or
    nothing is left to write.
    """
    place = free_place(project, out)
    seen = _seen(project, recipe.task, wanted)
    temporary = place.with_name(f".{place.name}.export.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # of an export that was killed
    temporary.mkdir(parents=True)
    try:
        label = _written(project, recipe.task, wanted, seen, temporary)
        if wanted.source:
            _certified(project, recipe, wanted.source, seen, label, temporary)
        fault.write(temporary / "README.md", card(label, lang).encode())
        body = json.dumps(croissant(label, lang), ensure_ascii=False, indent=1) + "\n"
        fault.write(temporary / "croissant.json", body.encode())
        for folder in sorted({Path(file.path).parent for split in label.splits for file in split.files}):
            fault.sync(temporary / folder)
        rests_on = {name for code in np.unique(seen.codes[seen.chosen]) for name in seen.terms[code].consents}
        note(project, "export", temporary, place, rests_on)
        fault.rename(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return label


def _certified(project: Project, recipe: Recipe, source: str, seen: Seen, label: Label, root: Path) -> None:
    """The signed certificate of a source's rows, beside them."""
    files = [
        {"path": file.path, "rows": file.rows, "sha256": file.sha256}
        for split in label.splits
        for file in split.files
    ]
    body = certificate(project, recipe, source, seen.chosen, files)
    said = json.dumps(signed(project.root / PEOPLE, body), ensure_ascii=False, indent=1) + "\n"
    fault.write(root / DELIVERY, said.encode())


def free_place(project: Project, out: Path) -> Path:
    """Where a folder is to be written; InputError where it is taken, or in the project's own folders."""
    place = out.resolve()
    if out.is_symlink() or (place.exists() and (not place.is_dir() or any(place.iterdir()))):
        raise InputError("export_folder", path=str(out))
    root = project.root.resolve()
    if any(place.is_relative_to(root / name) for name in ("wheel", "inbox")):
        raise InputError("export_place", path=str(out))
    return place


# --------------------------------------------------------------------------- what there is


def _seen(project: Project, task: Task, wanted: Wanted) -> Seen:
    """Where each row stands and under which terms; only targets and certificates are in memory."""
    last = _last_turn(project)
    stock = load_stock(
        project, replace(task, input=task.target, kind="table", slices=(), group=None, time=None, votes=None)
    )
    state = stands(project, stock)
    if wanted.source:
        asked = delivered_rows(stock, wanted.source, state)
    else:
        asked = np.isin(state, [STATES.index(name) for name in wanted.states])
    if not asked.any():
        counts = Counter(STATES[code] for code in state.tolist())
        known = ", ".join(f"{name} {counts[name]:,}" for name in SPLITS if counts[name]) or "-"
        raise InputError("export_nothing", asked=wanted.source or ", ".join(wanted.states), known=known)
    codes, terms = lineage(
        stock.origin, stock.origins, [(row, _all_parents(stock, row, m)) for row, m in stock.parents]
    )
    free = np.array([not wanted.rights or set(one.rights) <= set(wanted.rights) for one in terms], bool)
    asked &= ~stock.erased
    chosen = asked & free[codes]
    if not chosen.any():
        names = sorted({name for one in terms for name in one.rights})
        raise InputError("export_rights", asked=", ".join(wanted.rights), known=", ".join(names))
    return Seen(stock=stock, state=state, asked=asked, chosen=chosen, codes=codes, terms=terms, last=last)


def _last_turn(project: Project) -> dict[str, Any]:
    """The newest turn; raises InputError where it has not ended: its rows have not been judged."""
    row = project.ledger.row("select * from turn order by n desc limit 1")
    if row is None:
        raise InputError("no_turn_ended")
    if row["state"] != "done":
        raise InputError("export_unfinished", turn=row["n"])
    return row


def _all_parents(stock: Stock, row: int, there: tuple[int, ...]) -> list[int]:
    """The parents of a row by their numbers, -1 for each that is gone."""
    named = len(stock.records.column("_parents")[row])
    return [*there, *[-1] * (named - len(there))]


def _register(project: Project, stock: Stock) -> Register:
    rows = project.ledger.rows("select n, decision from turn where state='done'")
    decisions = {int(row["n"]): json.loads(row["decision"]) for row in rows}
    verdicts = {
        n: (said["verdict"], said["reason"].removeprefix("decision.")) for n, said in decisions.items()
    }
    return Register(origins=stock.origins, turns=stock.turns, verdicts=verdicts, secret=project.secret)


# --------------------------------------------------------------------------- what is written


def _written(project: Project, task: Task, wanted: Wanted, seen: Seen, root: Path) -> Label:
    kinds = _kinds(project, task, seen.stock)
    left = [name for name in kinds if part_of(task, name) == "other" and not wanted.all_columns]
    own = own_columns({name: types for name, types in kinds.items() if name not in left}, task, wanted)
    book = _register(project, seen.stock)
    tally = Tally(several=task.answer == "labels")
    release = Release(root=root, own=own, wanted=wanted, terms=seen.terms, book=book, tally=tally)
    for i, shard in enumerate(seen.stock.shards):
        for part in _pieces(project, seen, i, shard, [column.name for column in own]):
            release.put(*part)
    return _label(project, task, seen, release, tuple(left))


def _kinds(project: Project, task: Task, stock: Stock) -> dict[str, list[Any]]:
    """The types of each of the user's columns over all folders: the task's first, then as files have them."""
    kinds: dict[str, list[Any]] = {name: [] for name in task.columns}
    for path in {Path(shard.path).parent: shard.path for shard in stock.shards}.values():
        for one in pq.read_schema(project.wheel / path):
            if one.name not in CERTIFICATE.names:
                kinds.setdefault(one.name, []).append(one.type)
    return kinds


Piece = tuple[str, pa.RecordBatch, np.ndarray, dict[str, pa.RecordBatch]]


def _pieces(project: Project, seen: Seen, i: int, shard: Shard, columns: list[str]) -> Iterator[Piece]:
    """The chosen rows of one shard, a few thousand at a time: where they stand, records, terms, verdicts."""
    here = slice(int(seen.stock.starts[i]), int(seen.stock.starts[i + 1]))
    state, chosen, codes = seen.state[here], seen.chosen[here], seen.codes[here]
    states = [STATES[code] for code in np.unique(state[chosen]).tolist()]
    if not states:
        return
    named = stored_verdicts(project, shard) if any(SPLITS[s][1] == ASIDE for s in states) else {}
    file = pq.ParquetFile(project.wheel / shard.path, buffer_size=1 << 20, pre_buffer=False)
    there = [name for name in columns if name in file.schema_arrow.names]
    size = sum(file.metadata.row_group(g).total_byte_size for g in range(file.num_row_groups))
    few = max(1, min(ROWS, BYTES * shard.rows // max(size, 1)))
    done = 0
    for batch in file.iter_batches(few, columns=[*there, *CERTIFICATE.names], use_threads=False):
        at = slice(done, done + len(batch))
        for name in states:
            mine = (state[at] == STATES.index(name)) & chosen[at]
            if mine.any():
                mask = pa.array(mine)
                about = {k: v for k, v in named.items() if (k == SUPERSEDED) == (name == "superseded")}
                said = {check: one.slice(done, len(batch)).filter(mask) for check, one in about.items()}
                yield name, batch.filter(mask), codes[at][mine], said
        done += len(batch)


def _label(project: Project, task: Task, seen: Seen, release: Release, left: tuple[str, ...]) -> Label:
    ledger, n, splits = project.ledger, int(seen.last["n"]), release.close()
    said = json.loads(seen.last["decision"])
    exam = int(said["wear"]["version"])
    unread = ledger.rows("select reason, count(*) lines from unread group by reason order by reason")
    outside = Counter(STATES[code] for code in seen.state[~seen.asked].tolist())
    return Label(
        name=project.root.resolve().name or "bapsim",
        kind=str(task.kind),
        inputs=task.inputs,
        target=task.target,
        form=release.wanted.form,
        turn=n,
        ended=str(seen.last["ended"])[:10],
        verdict=said["verdict"],
        columns={config: release.columns(config) for config in {split.config for split in splits}},
        splits=splits,
        tally=release.tally,
        agreement=_agreement(seen.stock),
        accounts=json.loads(seen.last["accounts"]),
        refused=dict(sorted(said["reasons"].items())),
        unread={row["reason"]: int(row["lines"]) for row in unread},
        left_out=dict(sorted(outside.items())),
        only_rights=release.wanted.rights,
        other_rights=int((seen.asked & ~seen.chosen).sum()),
        columns_left_out=left,
        lost=release.lost,
        exam_version=exam,
        looks=int(ledger.value("select count(*) from look where exam=?", exam)),
        recipe=seen.last["recipe"],
        chain=chain_at(ledger, n),
        program=f"bapsim {version('bapsim')}",
    )


def _agreement(stock: Stock) -> Agreement:
    """Questions with several answers by people, and those at which all said the same."""
    asked = stock.of_origins(lambda _, origin: origin.method.startswith(ASKED))
    said: dict[tuple[int, ...], list[Any]] = {}
    for row, mums in stock.parents:
        if asked[row] and stock.labelled[row]:
            said.setdefault(mums, []).append(stock.labels[row])
    several = [labels for labels in said.values() if len(labels) > 1]
    return Agreement(questions=len(several), agreed=sum(len(set(labels)) == 1 for labels in several))
