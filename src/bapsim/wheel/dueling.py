"""A duel between the last proven model and one that the exam left undecided: people label where they differ.

Drawn at random from this turn's new requests, also those that people corrected, so that nothing wears; a
tenth of the labels that an exam of that size would need. Its answers are trained on afterwards, like others.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.compose.asking import reserved
from bapsim.core.arrow import strings
from bapsim.core.recipe import Recipe
from bapsim.core.records import Rows, rows_of
from bapsim.core.turn import Turn
from bapsim.judge.duel import Duel, duel, duel_verdict
from bapsim.store import artifacts
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project
from bapsim.text.targets import written
from bapsim.wheel.candidates import NAME
from bapsim.wheel.held_out import held_out
from bapsim.wheel.judging import Judged
from bapsim.wheel.served import METHOD
from bapsim.wheel.settling import answers
from bapsim.wheel.state import state, the_champion
from bapsim.wheel.stock import TRAINED, Scene, Stock, load_stock, standing

PATIENCE = 3  # turns that a duel waits for answers, while its first model is the proven one
ANSWERED = 0.5  # of the questions of a duel, before it is told: who answers easy ones first would decide it


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Rows on which two models differ, in the order of drawing: at int64[m] in the stock; drawn int64[m], how
    many were drawn up to each; of: how many there were; said: what each model answers to each row.
    """

    first: str
    second: str
    at: np.ndarray
    drawn: np.ndarray
    of: int
    said: tuple[list[str | None], list[str | None]]


def draw(scene: Scene, judged: Judged, pool: np.ndarray, apart: np.ndarray) -> Drawn | None:
    """The duel that is worth asking about, among bool[N] `pool` rows and corrected ones that are not `apart`;
    None where nothing was left undecided, or the task is no choice between classes.

    A corrected row may have been eaten by the second model: it answers out of fold.
    """
    stock, champion = scene.stock, the_champion(scene.project, scene.recipe.task)
    second = judged.serves or judged.screened[0].candidate
    settled = judged.decision.verdict != "undecided" or judged.decision.reason == "decision.nothing_new"
    if champion is None or settled or second.version == champion.name or stock.task.answer != "class":
        return None
    before = open_duel(scene.project.ledger)
    if before is not None and before["first"] == champion.name and scene.turn.n - before["turn"] < PATIENCE:
        return None  # people may still answer
    rows = np.flatnonzero(drawn_from(scene, pool, apart))
    if not len(rows):
        return None
    rows = rows[np.argsort(stock.ids[rows], kind="stable")]
    inputs = rows_of(stock.part(rows), stock.task.inputs)
    first = written(champion.respond(inputs).column("prediction"), "class")
    said = [first, held_out(second.model, second.oof, stock, rows).prediction.tolist()]
    found = duel([s or "" for s in said[0]], [s or "" for s in said[1]], len(rows), scene.turn.rng("duel"))
    order = scene.turn.rng("duel").permutation(len(rows))  # as the duel draws them
    drawn = np.flatnonzero(np.isin(order, found.rows)) + 1
    return Drawn(
        first=champion.name,
        second=second.version,
        at=rows[found.rows],
        drawn=drawn,
        of=len(rows),
        said=([said[0][i] for i in found.rows], [said[1][i] for i in found.rows]),
    )


def drawn_from(scene: Scene, pool: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """bool[N]: what came in this turn, `pool` rows and those that people corrected at once, as it came.

    People correct what went wrong. Without these requests what is left would be easier for whoever answered
    them, and that model would win. Requests that were known before and are spoken of only now were picked, so
    they are no part of it; nor is the exam's share, nor rows that are `apart` (bool[N]).
    """
    stock, share = scene.stock, getattr(scene.recipe.questions, "exam_share", 0.0)
    fresh = stock.turn_of_origin[stock.origin] == scene.turn.n
    served = stock.of_origins(lambda _, origin: origin.method.startswith(METHOD))
    stands = standing(stock, scene.exam, scene.refused, scene.superseded) == TRAINED
    requests = strings(stock.records.column("_key"))
    before = {requests[row] for row in np.flatnonzero(served & ~fresh).tolist()}
    late = np.zeros(len(stock), bool)
    at = np.flatnonzero(served & fresh)
    late[at] = [requests[row] in before for row in at.tolist()]
    return np.asarray((pool | served & stands) & fresh & ~late & ~apart & ~reserved(stock.records, share))


def as_rows(drawn: Drawn, stock: Stock) -> Rows:
    """The rows of a duel as questions see them, in the order of drawing: `_id`; `only`, it has a label."""
    ids = stock.records.column("_id").take(pa.array(drawn.at))
    return Rows(pa.record_batch([ids, pa.array(stock.labelled[drawn.at])], names=["_id", "only"]))


def begun(scene: Scene, drawn: Drawn | None, asked: list[dict[str, Any]]) -> None:
    """Inside the turn's transaction: what was asked, in how many draws, and what each model says of it."""
    wanted = {one["_id"] for one in asked if one["why"] == "duel"}
    if drawn is None or not wanted:
        return
    ids = [scene.stock.ids[i].tobytes() for i in drawn.at.tolist()]
    taken = [k for k, i in enumerate(ids) if i in wanted]
    items = drawn.of if len(taken) == len(ids) else int(drawn.drawn[taken[-1]])
    said = [{"id": ids[k].hex(), "first": drawn.said[0][k], "second": drawn.said[1][k]} for k in taken]
    body = {"first": drawn.first, "second": drawn.second, "items": items, "asked": said}
    output = json.dumps(body, ensure_ascii=False)
    scene.project.ledger.add(
        "stage", key=f"duel:{scene.turn.n}", name="duel", turn=scene.turn.n, output=output
    )


def open_duel(ledger: Ledger) -> dict[str, Any] | None:
    """The last duel that was asked, unless it was told: first, second, items, asked, and its turn."""
    row = ledger.row("select * from stage where name='duel' order by turn desc limit 1")
    if row is None or ledger.value("select 1 from stage where key=?", f"duel done:{row['turn']}") is not None:
        return None
    return {**json.loads(row["output"]), "turn": row["turn"]}


def told(project: Project, recipe: Recipe, turn: Turn) -> tuple[dict[str, Any] | None, Turn]:
    """What the last turn's duel came to, once its questions were answered, and the turn as it is then.

    Better at .005: the model is proven, and serves. Worse: it is refused, and if it served, the last proven
    one does again. Either is a stage: a resumed turn reads it. A duel with a model that something else has
    settled meanwhile is not told.
    """
    ledger = project.ledger
    done = ledger.value("select output from stage where key=?", f"duel told:{turn.n}")
    if done is not None:
        said: dict[str, Any] | None = json.loads(done)
        return said, turn
    asked = open_duel(ledger)
    if asked is None:
        return None, turn
    champion = the_champion(project, recipe.task)
    state_of = ledger.value("select state from model where version=? and judged is not null", asked["second"])
    if champion is None or champion.name != asked["first"] or state_of not in ("candidate", "provisional"):
        return None, turn
    said = _verdict(load_stock(project, recipe.task), asked)
    if said is None:
        return None, turn
    _settle(project, turn, asked["turn"], said)
    return said, state(project, recipe, turn.n)


def _verdict(stock: Stock, asked: dict[str, Any]) -> dict[str, Any] | None:
    """What people's answers say; None while too few came."""
    given: dict[int, str] = {}
    for row, mums in answers(stock).items():
        given |= dict.fromkeys(mums, stock.labels[row])
    rows = [stock.place.get(bytes.fromhex(one["id"])) for one in asked["asked"]]
    labels = [None if row is None else given.get(row) for row in rows]
    heard = sum(label is not None for label in labels)
    if heard < ANSWERED * len(labels):
        return None
    merged = stock.task.merged  # classes may have been merged since: both are read under the names of today
    said = ([one[name] or "" for one in asked["asked"]] for name in ("first", "second"))
    first, second = ([merged.get(one, one) for one in part] for part in said)
    drawn = Duel(rows=np.arange(len(labels)), items=asked["items"])
    decision = asdict(duel_verdict(drawn, labels, first, second))
    names = ("verdict", "gain", "low", "high", "p_better", "p_worse", "items")
    return {n: decision[n] for n in names} | {n: asked[n] for n in ("first", "second")} | {"labels": heard}


def _settle(project: Project, turn: Turn, asked_in: int, said: dict[str, Any]) -> None:
    current = project.ledger.value("select version from used order by n desc limit 1")
    number = int(project.ledger.value("select coalesce(max(n), 0) from used")) + 1
    winner = {"accept": said["second"], "refuse": said["first"]}.get(said["verdict"])
    serves = winner if said["verdict"] == "accept" or current == said["second"] else None
    digest = _servable(project, said["second"]) if said["verdict"] == "accept" else None
    with project.ledger.change("duel told") as ledger:
        if winner is not None:
            state = "proven" if winner == said["second"] else "refused"
            changes = {} if digest is None else {"served": digest}
            ledger.amend("model", {"version": said["second"]}, state=state, **changes)
        if serves not in (None, current):
            ledger.add("used", n=number, version=serves, reason="duel", turn=turn.n)
        for key, name in ((f"duel told:{turn.n}", "duel told"), (f"duel done:{asked_in}", "duel done")):
            ledger.add("stage", key=key, name=name, turn=turn.n, output=json.dumps(said, ensure_ascii=False))


def _servable(project: Project, version: str) -> str | None:
    """The digest of what serves of a version that did not yet: its judged model as it is; else None."""
    folder = project.models / NAME / version
    if project.ledger.value("select served from model where version=?", version) is not None:
        return None
    return artifacts.save(
        folder / "served", lambda place: shutil.copytree(folder / "judged", place, dirs_exist_ok=True)
    )


def with_duel(turn: Turn, drawn: Drawn | None, stock: Stock) -> Turn:
    """The turn as its questions see it."""
    return turn if drawn is None else replace(turn, duel=as_rows(drawn, stock))
