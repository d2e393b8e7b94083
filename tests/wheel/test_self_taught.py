"""Labels by the wheel's own model are judged on people's rows that this model never ate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bapsim.core.arrow import concat, take
from bapsim.core.records import Draft, Records, Rows, derive, rows_of
from bapsim.core.turn import Turn
from bapsim.store.project import opened
from bapsim.wheel.audit import check
from bapsim.wheel.self_taught import Watched, since
from bapsim.wheel.stock import load_stock
from bapsim.wheel.turn import run_turn
from tests.wheel.test_fusing import Willing
from tests.wheel.world import History, Part, Vouches, bank, founded, origin


@dataclass(frozen=True)
class Itself:
    """Labels the pool with the model that serves; looks: it only looks whether there is one."""

    looks: bool = False

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if "current" not in turn.models or self.looks:
            return
        for view in turn.data.values():
            parts = [
                take(batch, keep & np.asarray(batch.column("intent").is_null()))
                for batch, keep in zip(view.batches(), view.kept(), strict=True)
            ]
            pool = Records(concat(parts))
            said = turn.models["current"](rows_of(pool, ["text"])).column("prediction")
            rows = Rows(rows_of(pool).set_column(1, "intent", said))
            made = replace(origin("self"), source="itself", target_maker="machine")
            yield derive(
                pool, [[i] for i in range(len(pool))], rows, changed=frozenset({"target"}), origin=made
            )


def test_own_labels_are_raced_on_people_who_came_later(tmp_path: Path) -> None:
    more: dict[str, Any] = {f"later{n}": Part(9000 + 50 * n, 50, at_turn=n) for n in (3,)}
    sources = {"history": History(150, 200), "itself": Itself(), **more}
    recipe = bank(sources=sources, questions=None, checks={"vouch": Vouches()}, gate=Willing())
    with opened(founded(tmp_path / "p")) as project:
        assert run_turn(project, recipe)["fused"] is None
        second = run_turn(project, recipe)["fused"]
        assert second["made"] > 100
        assert (second["way"], second["raced"]) == (None, []), (
            "every row of people's was eaten by the labeller"
        )
        third = run_turn(project, recipe)["fused"]
        assert all(one["rows"] <= 50 for one in third["raced"])
        stock = load_stock(project, recipe.task)
        assert since(project.ledger, stock, stock.by_machine) >= 2
        assert since(project.ledger, stock, stock.by_people) == 0
        assert check(project, recipe)["ok"]


def test_looking_whether_there_is_a_model_is_not_asking_it() -> None:
    models: Any = {"current": "a model", "tiles": "another"}
    watched = Watched(models)
    assert "current" in watched
    assert list(watched) == ["current", "tiles"]
    assert len(watched) == 2
    assert watched.own == []
    assert watched["tiles"] == "another"
    assert watched.get("nothing") is None
    assert watched.own == []
    assert watched.get("current") == "a model"
    assert watched.own == ["current"]
    with pytest.raises(KeyError):
        watched["nothing"]
    assert list(Itself(looks=True)(Turn(n=1, seed=0, task=bank().task, models=watched))) == []
