"""What to ask people next: questions about pool rows, and the answers that came in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bapsim.core.records import Rows
from bapsim.store.lake import View
from bapsim.wheel.judging import Judged
from bapsim.wheel.stock import POOL, Scene, standing


def ask_next(scene: Scene, judged: Judged, say: Callable[..., None]) -> list[dict[str, Any]]:
    """The recipe's questions about pool rows, by the judged model of what serves from now on.

    Not by the served one: it ate the exam, and nothing of the exam may choose questions. What a person could
    not tell is not asked again.
    """
    recipe, stock = scene.recipe, scene.stock
    pool = standing(stock, scene.exam, scene.refused, scene.superseded) == POOL
    pool = (pool | scene.withheld) & ~_in_vain(scene)
    if recipe.questions is None or not pool.any():
        return []
    say("ask", pool=int(pool.sum()))
    view = View(name="pool", root=scene.project.wheel, shards=stock.shards, hidden=tuple(stock.split(~pool)))
    models = dict(scene.turn.models)
    serves = judged.serves
    if serves is not None:
        models["current"] = serves.model
    models.setdefault("current", judged.screened[0].candidate.model)
    chosen: Rows = recipe.questions(view, replace(scene.turn, models=models))
    return list(chosen.select(["_id", "draw", "prediction"]).to_pylist())


def _in_vain(scene: Scene) -> np.ndarray:
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
            ledger.amend("question", {"id": one["_id"]}, state="open", turn=n)
