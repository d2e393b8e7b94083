"""The reverse arrow on real turns: weights of sources, forecasts in the summary, and what is proposed why."""

import json
import os
import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bapsim.compose.asking import worth_asking
from bapsim.compose.forecast import Forecast
from bapsim.core.errors import InputError, RecipeError
from bapsim.core.records import Draft, Rows
from bapsim.mods import money
from bapsim.refine.duplicates import near_duplicates
from bapsim.store import fault
from bapsim.store.project import opened
from bapsim.wheel.applying import proposed, take_over
from bapsim.wheel.costs import pay_for
from bapsim.wheel.forecasting import USUAL, advice, by_source, price_of
from bapsim.wheel.stock import load_stock
from bapsim.wheel.turn import run_turn
from bapsim.wheel.using import use
from tests.wheel.world import Clerk, History, bank, batch, founded, origin, turns

RECIPE = """from bapsim.compose.asking import worth_asking
from bapsim.core.recipe import Recipe

recipe = Recipe(task=None, sources={}, train=None, judge=None, metric=None, gate=None, exam=None,
    # how many a week
    questions=worth_asking(30),
)
"""


@dataclass(frozen=True)
class Crowd:
    """Rows of a source of its own, of which a share has another intent."""

    first: int
    rows: int
    wrong: float
    name: str

    def __call__(self, turn):
        if turn.n == 1:
            rng, at = np.random.default_rng(self.first), range(self.first, self.first + self.rows)
            said = batch(at, True)
            labels = said["intent"].to_pylist()
            other = ["card", "loan", "transfer", "login"]
            labels = [other[(other.index(v) + 1) % 4] if rng.random() < self.wrong else v for v in labels]
            rows = Rows(said.set_column(1, "intent", pa.array(labels)))
            mine = replace(origin("file", self.name), batch=f"{self.name}.csv")
            yield Draft(rows=rows, origin=mine, keys=[str(i) for i in at])


def world(wrong=0.0, **changes):
    sources = {"history": History(220, 120), "clerk": Clerk(), "crowd": Crowd(5000, 200, wrong, "crowd")}
    return bank(sources=sources, **changes)


def test_a_turn_foretells_the_next_one_and_reads_its_own_past(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    first, second, third = turns(root, world(), 3)
    said = first["forecast"]
    assert said["answers"] == first["questions"]
    assert said["more"] < said["answers"], "random answers go to the exam"
    assert said["low"] <= said["gain"] <= said["high"]
    assert said["samples"]["all"] == first["train_rows"]
    assert said["now"] == pytest.approx(1 - first["oof_accuracy"])
    assert said["before"] == 0 < second["forecast"]["before"] < third["forecast"]["before"] < 1
    assert said["picked"] == 1.0
    with opened(root) as project:
        found = by_source(project, world())
        assert by_source(project, world()) == found
        assert project.ledger.value("select count(*) from stage where name='forecast'") == 1
        assert [one["source"] for one in found] == ["history", "clerk", "crowd"]
        more = by_source(project, world(), 400)
        wide = [[one["high"] - one["low"] for one in rows] for rows in (found, more)]
        assert all(few < many for few, many in zip(*wide, strict=True))
        assert {one["more"] for one in more} == {400}
        exam = {row["id"] for row in project.ledger.rows("select id from exam_item")}
    assert exam, "there is an exam that nothing of this saw"


def test_where_no_question_teaches_answers_as_they_usually_are_are_spoken_of(tmp_path: Path) -> None:
    recipe = bank(sources={"history": History(220, 0)}, questions=worth_asking(20))
    (told,) = turns(founded(tmp_path / "p"), recipe, 1)
    assert set(told["asked"]) <= {"label_error"}, "there is no pool"
    assert told["forecast"]["more"] == told["forecast"]["answers"] == USUAL


def test_without_rows_enough_nothing_is_foretold(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    recipe = bank(sources={"history": History(120, 0)}, questions=None)
    assert turns(root, recipe, 1)[0]["forecast"] is None
    with opened(root) as project, pytest.raises(InputError) as error:
        by_source(project, recipe)
    assert error.value.key == "no_forecast"


def test_a_source_without_weight_is_left_out_and_counted(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    told = turns(root, world(weights={"crowd": 0.0}), 1)[0]
    assert told["reasons"] == {"left_out": 200}
    assert told["accounts"]["refused"] == 200
    with opened(root) as project:
        stock = load_stock(project, world().task)
        crowd = stock.of_origins(lambda _, o: o.source == "crowd")
        exam = stock.rows_with({row["id"] for row in project.ledger.rows("select id from exam_item")})
    assert crowd.sum() == 200
    assert not (crowd & exam).any()
    assert turns(root, world(), 2)[-1]["accounts"]["refused"] == 0, "it comes back when it is wanted"


def test_a_lower_weight_teaches_less_and_is_kept_with_the_model(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    root = founded(tmp_path / "p")
    turns(root, world(weights={"crowd": 0.25}), 1)
    with opened(root) as project:
        stock = load_stock(project, world().task)
        version = project.ledger.value("select version from model where turn=1 order by rowid")
        table = pq.read_table(project.models / "main" / version / "judged" / "oof.parquet")
        of = {stock.ids[i].tobytes(): stock.origins[int(o)].source for i, o in enumerate(stock.origin)}
    weights = {}
    for one, weight in zip(table["_id"].to_pylist(), table["weight"].to_pylist(), strict=True):
        weights.setdefault(of[one], set()).add(weight)
    assert weights == {"history": {1.0}, "crowd": {0.25}}


def test_a_weight_of_nothing_is_an_error(tmp_path: Path) -> None:
    for weights in ({"nobody": 0.5}, {"crowd": 1.5}, {"crowd": -0.1}):
        with opened(founded(tmp_path / str(weights))) as project, pytest.raises(RecipeError) as error:
            run_turn(project, world(weights=weights))
        assert error.value.key == "weight_of_no_source"


def test_a_confused_source_is_proposed_to_be_left_out_on_rows_of_the_others(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    mixed = bank(
        sources={
            "history": History(400, 0),
            "crowd": Crowd(5000, 500, 0.85, "crowd"),
            "shop": Crowd(7000, 300, 0.0, "shop"),
        },
        questions=None,
    )
    first = turns(root, mixed, 1)[0]
    bad = next(one for one in first["suspects"] if one["refused"])
    with opened(root) as project:
        use(project, bad["name"], "its owner says that the labels are right")
    told = turns(root, mixed, 2)[-1]
    changes = [one for one in told["proposal"]["changes"] if one["what"] == "weights"]
    assert [one["source"] for one in changes] == ["crowd"]
    why = changes[0]["evidence"]
    assert why["bound"] > 0
    assert why["rows"] > 0
    assert why["low"] < why["gain"] < why["high"]
    left = turns(root, replace(mixed, weights={"crowd": float(changes[0]["value"])}), 3)[-1]
    assert left["oof_accuracy"] > told["oof_accuracy"], "the rows that are left are answered better"


def test_no_proposal_names_an_exam_item(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    told = turns(root, world(surveys={"copies": near_duplicates(0.5)}), 2)
    with opened(root) as project:
        exam = {row["id"].hex() for row in project.ledger.rows("select id from exam_item")}
    for turn in told:
        body = json.dumps(turn["proposal"]) + json.dumps(turn["forecast"])
        assert not any(one in body for one in exam)


# --------------------------------------------------------------------------- money and advice


def test_what_answers_cost_is_read_from_those_that_answered() -> None:
    rows = [
        {"name": "data", "costs": {"KRW": 100}, "answers": 0, "trained": 50, "exam": 50, "paid": []},
        {
            "name": "experts",
            "costs": {"KRW": 9000, "USD": 50},
            "answers": 30,
            "trained": 20,
            "exam": 5,
            "paid": [],
        },
        {"name": None, "costs": {"KRW": 5}, "answers": 0, "trained": 0, "exam": 0, "paid": []},
    ]
    assert price_of(rows) == {"KRW": 300.0, "USD": pytest.approx(50 / 30)}
    assert price_of(rows[:1]) == {"KRW": 1.0}
    assert price_of([]) == price_of(rows[2:]) == {}
    aside = {"file": "data/v.csv", "rows": 200, "accepted": 0, "minor": 100, "currency": "KRW"}
    assert price_of([rows[0] | {"paid": [aside]}]) == {}, "all that was paid for was set aside"
    assert price_of([rows[0] | {"paid": [aside | {"accepted": 4}]}]) == {"KRW": 25.0}


def foretold(low: float, high: float, *, tells: bool = True) -> Forecast:
    middle = ((low + high) / 2, low, high)
    return Forecast(
        more=100, gain=middle[0], low=low, high=high, fresh=middle, reported=middle, sd=0.01, tells=tells
    )


def test_advice_follows_what_is_stated() -> None:
    point = money("100,000 KRW")
    assert advice(foretold(0.01, 0.02), 0.2, "class", {}, None)["verdict"] == "worth"
    assert advice(foretold(0.0, 0.0029), 0.2, "class", {}, None)["verdict"] == "stop"
    assert advice(foretold(0.0, 0.0029, tells=False), 0.2, "class", {}, None)["verdict"] == "unsure"
    dear = advice(foretold(0.01, 0.02), 0.2, "class", {"KRW": 200_001}, point)
    assert (dear["verdict"], dear["most"]) == ("dear", {"KRW": 200_000})
    assert advice(foretold(0.01, 0.02), 0.2, "class", {"KRW": 200_000}, point)["verdict"] == "worth"
    assert advice(foretold(0.01, 0.02), 0.2, "class", {"USD": 10**9}, point)["verdict"] == "worth"
    assert advice(foretold(0.1, 0.2), 40.0, "number", {}, None)["verdict"] == "stop"


@pytest.fixture(scope="module")
def spent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A project after a turn that cost money and proposes half as many questions, and what was told of it."""
    root = founded(tmp_path_factory.mktemp("dear") / "p")
    (root / "recipe.py").write_text(RECIPE, "utf-8")
    with opened(root) as project:
        pay_for(project, "crowd.csv", money("20,000 KRW"))
    return root, turns(root, world(questions=worth_asking(30, point="1 KRW")), 1)[0]


def test_costs_stand_beside_the_forecast(spent: tuple[Path, dict[str, Any]]) -> None:
    told = spent[1]
    assert told["forecast"]["costs"] == {"KRW": 3000}
    assert told["forecast"]["verdict"] in ("dear", "stop")
    change = next(one for one in told["proposal"]["changes"] if one["what"] == "budget")
    assert (change["value"], change["old"]) == ("15", "30")


# --------------------------------------------------------------------------- taking over


@pytest.fixture
def dear(spent: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(spent[0], tmp_path / "p"))


def test_a_kill_half_way_leaves_the_old_recipe_or_the_new_one(dear: Path) -> None:
    root = dear
    with opened(root) as project:
        new = proposed(project, 1).new
    seen = set()
    for die in range(1, 12):
        (root / "recipe.py").write_text(RECIPE, "utf-8")
        child = os.fork()
        if child == 0:
            fault._passed, os.environ["BAPSIM_FAULT"] = 0, str(die)
            try:
                with opened(root) as project:
                    take_over(project)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        now = (root / "recipe.py").read_bytes()
        assert now in (RECIPE.encode(), new)
        seen.add((os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, now == new))
        with opened(root) as project:
            assert take_over(project)["changed"] == (now != new)
            assert not take_over(project)["changed"]
        assert (root / "recipe.py").read_bytes() == new
        assert (root / "reports/turn-001/recipe.before.py").read_bytes() == RECIPE.encode()
    assert seen >= {(True, False), (True, True), (False, True)}
    assert b"worth_asking(15)" in new
    assert b"# how many a week" in new


def test_a_recipe_that_changed_since_is_not_touched(dear: Path) -> None:
    root = dear
    other = RECIPE.replace("30", "40")
    (root / "recipe.py").write_text(other, "utf-8")
    with opened(root) as project, pytest.raises(InputError) as error:
        take_over(project)
    assert error.value.key == "recipe_changed"
    assert (root / "recipe.py").read_text("utf-8") == other


def test_a_recipe_of_another_form_is_told_in_words(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    with opened(root) as project:
        pay_for(project, "crowd.csv", money("20,000 KRW"))
    turns(root, world(questions=worth_asking(30, point="1 KRW")), 1)
    with opened(root) as project:
        said = proposed(project, 1)
        assert (said.placed, said.diff) == ((False,), "")
        with pytest.raises(InputError) as error:
            take_over(project)
    assert error.value.key == "proposal_unplaced"


def test_where_nothing_is_proposed_nothing_is_taken_over(tmp_path: Path) -> None:
    with opened(founded(tmp_path / "p")) as project, pytest.raises(InputError) as error:
        take_over(project)
    assert error.value.key == "nothing_proposed"
