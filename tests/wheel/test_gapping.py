"""For whom the model is worse, in whole turns: told with intervals, asked about, and whether it shrank."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bapsim.compose.asking import closing, worth_asking
from bapsim.core.errors import RecipeError
from bapsim.core.records import Draft, Rows, Task, derive, rows_of
from bapsim.judge.groups import by_language, by_source
from bapsim.report.facts import facts
from bapsim.report.page import write_report
from bapsim.report.words import steps
from bapsim.store.project import opened
from bapsim.wheel.gapping import known_groups
from bapsim.wheel.stock import load_stock
from bapsim.wheel.turn import run_turn
from tests.cli.conftest import COMMON, WORDS
from tests.wheel.world import bank, founded, origin

HARD = 120  # words of a label that only one region uses
LABELLED, POOL = 420, 700
SYLLABLES = "가나다라마바사아자차카타파하고노도로모보소오조초코토포호구누두루무부수우주추쿠투푸후"
_DRAWN = ["".join(np.random.default_rng([3, i]).choice(list(SYLLABLES), 3)) for i in range(3 * HARD)]
WAYS = {label: _DRAWN[i * HARD : (i + 1) * HARD] for i, label in enumerate(WORDS)}


def said(i: int) -> tuple[str, str, str]:
    """Text, label and region number i: whoever lives in Jeju says each thing in many ways."""
    rng = np.random.default_rng([11, i])
    label = list(WORDS)[i % 3]
    region = "제주" if rng.random() < 0.4 else "서울"
    if region == "제주":
        told = [WAYS[label][int(rng.integers(HARD))]]
    else:
        told = [str(one) for one in rng.choice(WORDS[label], 2)]
    return " ".join([*told, *map(str, rng.choice(COMMON, 3)), str(i)]), label, region


def rows(at: range, *, labelled: bool) -> Rows:
    texts, labels, regions = zip(*map(said, at), strict=True)
    column = pa.array(labels if labelled else [None] * len(texts), pa.string())
    return Rows(pa.record_batch({"text": pa.array(texts), "intent": column, "region": pa.array(regions)}))


@dataclass(frozen=True)
class Island:
    """Rows of both regions at first, later the answers to every question."""

    def __call__(self, turn):
        if turn.n == 1:
            yield Draft(rows=rows(range(LABELLED), labelled=True), origin=origin("file"))
            yield Draft(rows=rows(range(LABELLED, LABELLED + POOL), labelled=False), origin=origin("file"))
            return
        for view in turn.data.values():
            for draw in ("random", "chosen", "repair"):
                ids = sorted(i for i, how in turn.asked.items() if how == draw)
                asked = view.find(pa.array(ids, pa.binary(16)))
                if len(asked):
                    truth = [said(int(text.split()[-1]))[1] for text in asked.column("text").to_pylist()]
                    given = Rows(rows_of(asked).set_column(1, "intent", pa.array(truth)))
                    of = [[i] for i in range(len(asked))]
                    made = replace(origin(f"asked:{draw}"), source="people/", consent=f"c-{draw}aaaaaa")
                    yield derive(asked, of, given, changed=frozenset({"target"}), origin=made)


def recipe(**changes: Any) -> Any:
    return bank(
        task=Task(input="text", target="intent", slices=("region",)),
        sources={"island": Island()},
        checks={},
        questions=closing(worth_asking(240), "region"),
        groups={"region": "region", "language": by_language(), "source": by_source()},
        **changes,
    )


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    root = founded(tmp_path_factory.mktemp("gapping") / "island")
    with opened(root) as project:
        return root, [run_turn(project, recipe()) for _ in range(2)]


def of(told: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in told["gaps"] if one["name"] == name)


def test_the_gap_is_told_with_its_interval_and_nobody_invents_one(life) -> None:
    region = of(life[1][0], "region")
    assert (region["best"], region["worst"]) == ("서울", "제주")
    assert 0.05 < region["low"] <= region["gap"] <= region["high"] < 1
    assert {part["name"] for part in region["parts"]} == {"서울", "제주"}
    source = of(life[1][1], "source")
    assert [part["name"] for part in source["parts"]] == ["island"], "an answer is of its question's source"
    assert source["gap"] is None, "one source has no gap"
    assert of(life[1][0], "language")["gap"] is None or of(life[1][0], "language")["low"] >= 0


def test_questions_go_to_whom_the_model_is_worst_for(life) -> None:
    root, told = life
    asked = told[0]["asked"]
    assert asked["gap"]["count"] >= 60
    with opened(root, writing=False) as project:
        stock = load_stock(project, recipe().task)
        query = "select id, turn from asking where why='gap'"
        first = [row["id"] for row in project.ledger.rows(query) if row["turn"] == 1]
        region = stock.records.column("region").to_pylist()
        assert len(first) == asked["gap"]["count"]
        assert {region[stock.place[one]] for one in first} == {"제주"}


def test_the_next_report_says_whether_it_became_less(life) -> None:
    second = of(life[1][1], "region")
    change = second["change"]
    assert (change["best"], change["worst"]) == ("서울", "제주")
    assert change["low"] <= change["gap"] <= change["high"]
    assert [one["turn"] for one in second["past"]] == [1]
    assert second["past"][0]["gap"] == of(life[1][0], "region")["gap"]


def test_whose_views_these_are(life) -> None:
    views = {one["name"]: one for one in of(life[1][1], "region")["views"]}
    assert views["제주"]["people"] >= 1
    assert views["제주"]["rows"] > 3
    assert views["제주"]["low"] <= views["제주"]["most"] <= views["제주"]["high"]


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_the_page_and_the_terminal_say_it(life, lang: str) -> None:
    root, _ = life
    with opened(root) as project:
        report = facts(project, 2)
        page = write_report(project, 2, lang)
        text = (page if page.suffix == ".html" else page / "index.html").read_text("utf-8")
    assert ("For whom the model is worse" if lang == "en" else "누구에게 모델이 더 나쁜가") in text
    assert "제주" in text
    line = " ".join(steps(report, lang))
    assert ("closing(worth_asking" in line) == (of(life[1][1], "region")["low"] > 0)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"groups": {"region": "no such column"}}, "group_column"),
        ({"questions": closing(worth_asking(10), "nobody")}, "group_closes"),
        ({"groups": {"region": lambda records, turn: ["서울"]}}, "group_values"),
        ({"groups": {"region": lambda records, turn: None}}, "group_values"),
    ],
)
def test_what_is_no_group_is_refused_before_anybody_is_asked(tmp_path: Path, change: Any, key: str) -> None:
    root = founded(tmp_path / "island")
    with opened(root) as project, pytest.raises(RecipeError) as error:
        run_turn(project, replace(recipe(), **change))
    assert error.value.key == key


def test_groups_change_no_model(tmp_path: Path, life) -> None:
    root = founded(tmp_path / "island")
    with opened(root) as project:
        bare = run_turn(project, replace(recipe(), groups={}, questions=worth_asking(240)))
    assert bare["gaps"] == []
    for name in ("verdict", "candidate", "oof_accuracy", "train_rows"):
        assert bare[name] == life[1][0][name]


@dataclass(frozen=True)
class Odd:
    """A group of every kind of value that a function may give."""

    def __call__(self, records, turn):
        kinds = ("a" * 300, 7, None, "", "  ", float("nan"), "<b>x</b>")
        return [kinds[i % len(kinds)] for i in range(len(records))]


@dataclass(frozen=True)
class Column:
    """A group: a column as it is, with nulls in it."""

    def __call__(self, records, turn):
        return pa.array([None if i % 4 else "a" for i in range(len(records))])


def test_values_of_any_kind_and_thousands_of_them(tmp_path: Path) -> None:
    root = founded(tmp_path / "island")
    with opened(root) as project:
        told = run_turn(
            project,
            replace(recipe(), groups={"odd": Odd(), "text": "text", "region": "region", "column": Column()}),
        )
        page = write_report(project, 1, "ko")
        text = (page if page.suffix == ".html" else page / "index.html").read_text("utf-8")
    assert {part["name"] for part in of(told, "odd")["parts"]} == {"a" * 300, "7", "<b>x</b>"}
    assert of(told, "odd")["unknown"] > of(told, "odd")["parts"][0]["rows"]
    assert "<b>x</b>" not in text
    assert {part["name"] for part in of(told, "column")["parts"]} == {"a"}
    free = of(told, "text")
    assert (free["gap"], len(free["parts"])) == (None, 30), "no value has enough rows"
    assert free["left"] == sum(part["rows"] for part in of(told, "region")["parts"]) - 30


def test_a_picture_is_no_group(tmp_path: Path) -> None:
    task = Task(input="picture", target="kind", kind="image", slices=("camera",))
    known_groups(replace(recipe(), task=task, groups={"camera": "camera"}, questions=None))
    with pytest.raises(RecipeError) as error:
        known_groups(replace(recipe(), task=task, groups={"camera": "picture"}, questions=None))
    assert error.value.key == "group_column"
