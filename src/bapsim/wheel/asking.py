"""What to ask people next: questions about pool rows and doubted labels, and the answers that came in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import positions, take
from bapsim.core.records import Answers, Rows
from bapsim.store.lake import View, read_batch
from bapsim.wheel.candidates import Candidate
from bapsim.wheel.doubting import Doubted, doubts
from bapsim.wheel.dueling import Drawn, draw, with_duel
from bapsim.wheel.gapping import behind
from bapsim.wheel.judging import Judged
from bapsim.wheel.stock import POOL, Scene, standing


def ask_next(
    scene: Scene, judged: Judged, found: Doubted, told: Sequence[dict[str, Any]], say: Callable[..., None]
) -> tuple[list[dict[str, Any]], Drawn | None]:
    """The recipe's questions about pool rows and doubted labels, by the judged model of what serves next; and
    the duel that some of them are for. told: the gaps between groups, of which questions may close one.

    Not by the served one: it ate the exam, and nothing of the exam may choose questions. What a person could
    not tell is not asked again.
    """
    recipe, stock = scene.recipe, scene.stock
    if recipe.questions is None:
        return [], None
    vain = in_vain(scene)
    pool = standing(stock, scene.exam, scene.refused, scene.superseded) == POOL
    pool = (pool | scene.withheld) & ~vain
    newest = judged.serves or judged.screened[0].candidate
    drawn = draw(scene, judged, pool & ~scene.withheld, vain)
    fought = np.zeros(len(stock), bool)
    if drawn is not None:
        fought[drawn.at] = True
    doubted = doubts(scene, found, ~vain & ~fought)
    if not pool.any() and not len(doubted):
        return [], None
    say("ask", pool=int(pool.sum()))
    hidden = tuple(stock.split(~(pool | fought)))
    view = View(name="pool", root=scene.project.wheel, shards=stock.shards, hidden=hidden)
    models = dict(scene.turn.models)
    if judged.serves is not None:
        models["current"] = judged.serves.model
    models.setdefault("current", newest.model)
    turn = replace(scene.turn, models=models, oof=with_labels(scene, newest), doubts=doubted)
    turn = replace(turn, behind=behind(scene, told, pool))
    chosen: Rows = recipe.questions(view, with_duel(turn, drawn, stock))
    return list(chosen.select(["_id", "draw", "why", "prediction"]).to_pylist()), drawn


def with_labels(scene: Scene, model: Candidate) -> Answers:
    """A model's out-of-fold answers with what people said: `label`."""
    table, stock = read_batch(model.oof), scene.stock
    rows = positions(table.column("_id"), stock.records.column("_id"))
    return Answers(
        take(table, rows >= 0).append_column("label", pa.array(stock.labels[rows[rows >= 0]], pa.string()))
    )


def in_vain(scene: Scene) -> np.ndarray:
    """bool[N]: rows about which a person said that it cannot be told."""
    query = "select detail from unread where reason='cannot_tell' and detail<>''"
    said = {bytes.fromhex(row["detail"].removeprefix("q")) for row in scene.project.ledger.rows(query)}
    return scene.stock.rows_with(said)


def expire_and_answer(scene: Scene, asked: list[dict[str, Any]]) -> None:
    """Inside the turn's transaction: answered questions, those nobody answered, and the new ones.

    An answer to an expired question is still taken: nothing that people give is lost.
    """
    ledger, n = scene.project.ledger, scene.turn.n
    done = {i.tobytes() for i in scene.stock.ids[np.flatnonzero(scene.superseded)]}
    again = {one["_id"] for one in asked}
    for row in ledger.rows("select id, state from question where state in ('open', 'expired')"):
        new = "answered" if row["id"] in done else "expired"
        if row["id"] not in again and new != row["state"]:
            ledger.amend("question", {"id": row["id"]}, state=new)
    for one in asked:
        known = ledger.row("select state from question where id=?", one["_id"])
        if known is None:
            row = {"id": one["_id"], "draw": one["draw"], "turn": n, "state": "open"}
            hint = one["prediction"] if one["draw"] == "chosen" else None  # nobody is led on exam items
            ledger.add("question", **row, suggested=hint)
        else:
            ledger.amend("question", {"id": one["_id"]}, state="open", turn=n, draw=one["draw"])
        ledger.add("asking", id=one["_id"], turn=n, why=one["why"])
