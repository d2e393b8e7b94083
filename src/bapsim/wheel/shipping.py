"""Ship: the model that serves as a small folder for a device, judged as the file that it is.

Two files are made by one recipe: from `judged/`, which never saw the exam, the one that is looked at; from
`served/` the one that is delivered, which must answer as its model does on rows that are no exam items.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np

from bapsim.core.arrow import numbers, positions
from bapsim.core.errors import InputError, StoreError
from bapsim.core.recipe import Model, Recipe
from bapsim.core.records import Rows, Task, rows_of
from bapsim.judge.inferior import Inferiority
from bapsim.ship.edge_card import Shipment, card
from bapsim.ship.pack import Target, with_browser
from bapsim.store import artifacts, fault
from bapsim.store.project import Project
from bapsim.text.targets import written
from bapsim.wheel.audit import stands
from bapsim.wheel.candidates import NAME
from bapsim.wheel.device import Device
from bapsim.wheel.exporting import free_place
from bapsim.wheel.held_out import OOF, WEIGHT, table_of
from bapsim.wheel.making import Rest, make
from bapsim.wheel.ship_look import SAME_NUMBER, Pair, look_at, same_answers
from bapsim.wheel.state import unseen
from bapsim.wheel.stock import POOL, Stock, examined, load_stock

CHECKED = 2_000  # rows on which the delivered file is compared with its model
EXACT = {
    "onnx": 1.0,
    "folder": 1.0,
    "onnx-int8": 0.995,
}  # share of equal answers; a student: as its judged twin
ROUNDED = 0.999  # of pictures: float32 sums in another order
UNSEEN = {"too_small": "cannot_tell", "worn": "cannot_tell"}
NEAR = 0.02  # of the numbers' range
CHANCE = 0.02  # what two students' agreement with their teachers may differ by

Say = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """version: None = what serves; margin: what the file may lose, a share; browser: the `dist` folder of
    onnxruntime-web.
    """

    target: Target
    version: str | None = None
    margin: float = 0.01
    browser: Path | None = None


def ship(project: Project, recipe: Recipe, wanted: Wanted, out: Path, lang: str, say: Say) -> dict[str, Any]:
    """Write the folder `out`, whole or not at all; returns what its card says.

    Nothing is written where the file is proven worse. Raises InputError where `out` is taken, the version
    cannot serve or its kind is not shipped; StoreError where the delivered file differs from its model.
    """
    place = free_place(project, out)
    row = version_of(project, wanted.version)
    stock = load_stock(project, recipe.task)
    rest = rest_of(project, stock, row)
    folder = project.models / NAME / str(row["version"])
    unit = {"unit": "number" if recipe.task.answer == "number" else "points", "kind": recipe.task.kind}
    served = artifacts.load(folder / "served", project.root)
    with tempfile.TemporaryDirectory(prefix="bapsim-ship-") as room:
        judged, seen, look = None, None, {"reason": "no_judged"}
        if (folder / "judged").is_dir():
            say("ship_make", what="judged")
            model = artifacts.load(folder / "judged", project.root)
            judged = _made(model, rest, wanted, Path(room) / "judged")
            say("ship_judge")
            agree = agreement(model, judged, rest, wanted.target)
            name = str(row["fingerprint"])
            pair = Pair(model=model, device=judged, fingerprint=name, agree=agree)
            seen, look = look_at(project, recipe, stock, pair, wanted.margin)
        if seen is not None and seen.verdict == "worse":
            return told(row, wanted, seen, look) | unit | {"written": None, "ok": False}
        say("ship_make", what="served")
        fresh = _made(served, rest, wanted, Path(room) / "served")
        own = agreement(served, fresh, rest, wanted.target)
        least = least_same(recipe.task, wanted.target, agree["share"] if judged is not None else 0.0)
        if own["share"] < least:
            raise StoreError(
                "ship_differs", share=f"{own['share']:.4f}", least=f"{least:.4f}", rows=own["rows"]
            )
        say("ship_measure")
        measured = fresh.measured(Rows(rest.some(CHECKED)))
        said = (
            told(row, wanted, seen, look) | unit | {"served": own, "measured": measured, "written": str(out)}
        )
        _deliver(fresh.folder, place, wanted, said, lang)
    return said | {"bytes": sizes(place), "ok": True}


def version_of(project: Project, version: str | None) -> dict[str, Any]:
    """The ledger's row of a version; InputError where it cannot serve, or a turn is open."""
    ledger = project.ledger
    begun = ledger.value("select n from turn where state='open'")
    if begun is not None:
        raise InputError("turn_open", turn=begun)
    if version is None:
        version = ledger.value("select version from used order by n desc limit 1")
        if version is None:
            raise InputError("nothing_serves")
    known = ledger.rows("select version from model where served is not null order by rowid")
    row = ledger.row("select * from model where version=?", version)
    if row is None or row["served"] is None:
        key = "unknown_version" if row is None else "not_servable"
        raise InputError(key, version=version, known=", ".join(r["version"] for r in known) or "-")
    return row


def rest_of(project: Project, stock: Stock, row: dict[str, Any]) -> Rest:
    """The rows that a file may be made with: what the judged model ate, and the pool that no check refused;
    never an exam item.
    """
    hidden = unseen(stock, stock.rows_with(examined(project.ledger, before=1 << 60)))
    oof = project.models / NAME / str(row["version"]) / "judged" / OOF
    ate, weight = np.zeros(len(stock), bool), np.ones(len(stock), np.float32)
    if oof.exists():
        table = table_of(oof)
        place = positions(stock.records.column("_id"), table.column("_id"))
        ate = place >= 0
        if WEIGHT in table.schema.names:
            weight[ate] = numbers(table.column(WEIGHT))[place[ate]]
    pool = (stands(project, stock) == POOL) & stock.by_people & ~hidden
    return Rest(stock=stock, eaten=ate & ~hidden, pool=pool, weight=weight, secret=project.secret)


def least_same(task: Task, target: Target, twin: float) -> float:
    """On what share of rows the delivered file must answer as its model; twin: that of the judged file."""
    exact = EXACT.get(target)
    if exact is None or (exact < 1 and task.answer == "number"):
        return twin - CHANCE
    return min(exact, ROUNDED) if task.kind == "image" else exact


def _made(model: Model, rest: Rest, wanted: Wanted, folder: Path) -> Device:
    about = make(model, rest, wanted.target, folder)
    return Device(folder=folder, **vars(about))


def agreement(model: Model, device: Device, rest: Rest, target: Target) -> dict[str, Any]:
    """On how many of at most 2,000 rows that are no exam items the file answers as its model does; a number
    of int8 weights or of a student is the same within 2 % of their range.
    """
    rows = Rows(rows_of(rest.some(CHECKED), device.inputs))
    before, after = (written(who(rows).column("prediction"), device.answer) for who in (model, device))
    near = SAME_NUMBER if EXACT.get(target) == 1.0 else NEAR
    same = same_answers(before, after, device.answer, near)
    return {"rows": len(rows), "same": int(same.sum()), "share": float(same.mean()) if len(rows) else 1.0}


def told(
    row: dict[str, Any], wanted: Wanted, seen: Inferiority | None, look: dict[str, Any]
) -> dict[str, Any]:
    """What is said of the file that was judged."""
    return {
        "version": row["version"],
        "target": wanted.target,
        "data": row["data"],
        "fingerprint": row["fingerprint"],
        "verdict": seen.verdict if seen is not None else UNSEEN.get(look["reason"], "not_judged"),
        "judged": None if seen is None else asdict(seen),
        "look": look,
        "program": f"bapsim {installed('bapsim')}",
    }


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file of a folder by its name, and of all."""
    found = {
        p.relative_to(folder).as_posix(): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()
    }
    return {**found, "total": sum(found.values())}


def _deliver(made: Path, place: Path, wanted: Wanted, said: dict[str, Any], lang: str) -> None:
    """Put the finished folder in its place: whole or not at all."""
    temporary = place.with_name(f".{place.name}.ship.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # of one that was killed
    try:
        shutil.copytree(made, temporary)
        if wanted.browser is not None:
            with_browser(temporary, wanted.browser)
        measured = said["measured"]
        (temporary / "measured.json").write_text(json.dumps(measured, indent=1) + "\n", "utf-8")
        about = json.loads((temporary / "spec.json").read_text("utf-8"))
        body = card(Shipment(said=said, about=about, sizes=sizes(temporary)), lang)
        (temporary / "README.md").write_text(body, "utf-8")
        for path in sorted(temporary.rglob("*"), reverse=True):
            fault.sync(path)
        fault.sync(temporary)
        fault.rename(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
