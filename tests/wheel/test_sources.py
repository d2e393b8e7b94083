"""What each source gave and cost: every line in one place, every coin under one source."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bapsim.core.errors import InputError
from bapsim.core.records import Draft
from bapsim.core.turn import Turn
from bapsim.mods import LedgerTill, Money
from bapsim.report.facts import facts
from bapsim.store.project import opened
from bapsim.wheel.audit import check
from bapsim.wheel.costs import costs_by_source, costs_of_turn, pay_for
from bapsim.wheel.stock import STATES
from bapsim.wheel.turn import run_turn
from bapsim.wheel.worth import worth_of
from tests.wheel.test_suspicion import FOUR, Part, recipe_of
from tests.wheel.test_turn import Broken
from tests.wheel.world import bank, founded, turns


@dataclass(frozen=True)
class Batched:
    """A source whose rows came in one file of the inbox."""

    part: Part
    file: str

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        for draft in self.part(turn):
            yield replace(draft, origin=replace(draft.origin, batch=self.file))


WON = Money(minor=240_000, currency="KRW")


def by_name(told: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    return {one["name"]: one for one in told["sources"]}


def places(row: dict[str, Any]) -> int:
    """Where a source's lines stand, added up."""
    counted = sum(row[name] for name in STATES if name != "refused")
    return counted + sum(row["refused"].values()) + sum(row["unread"].values())


def test_the_rows_of_all_sources_add_up_to_the_accounts(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    recipe = bank(sources={**bank().sources, "broken": Broken()})
    for told in turns(root, recipe, 3):
        counts = told["accounts"]
        rows = by_name(told)
        assert list(rows) == ["history", "clerk", "slips", "broken"]
        assert sum(row["lines"] for row in rows.values()) == counts["lines"]
        for name in STATES:
            if name != "refused":
                assert sum(row[name] for row in rows.values()) == counts[name], name
        assert sum(sum(row["refused"].values()) for row in rows.values()) == counts["refused"]
        assert all(places(row) == row["lines"] for row in rows.values())
        assert all(
            sum(row["made"].values()) == row["lines"] - sum(row["unread"].values()) for row in rows.values()
        )
        assert all(sum(row["rights"].values()) == sum(row["made"].values()) for row in rows.values())
        assert json.loads(json.dumps(told["sources"])) == told["sources"]
    assert rows["slips"]["made"]["machine"] == rows["slips"]["lines"] > 0
    assert rows["clerk"]["answers"] == rows["clerk"]["lines"] == 60
    assert rows["broken"]["unread"] == {"encoding": 2}
    reasons = {name: told["reasons"].get(name, 0) for name in ("turn_refused", "exam_leak", "too_long")}
    for reason, count in reasons.items():
        assert sum(row["refused"].get(reason, 0) for row in rows.values()) == count


def test_the_share_of_wrong_labels_is_told_of_each_source(tmp_path: Path) -> None:
    with opened(founded(tmp_path / "p")) as project:
        rows = by_name(run_turn(project, recipe_of(**FOUR)))
        assert rows["b"]["noise"]["low"] < 0.4 < rows["b"]["noise"]["high"]
        assert rows["b"]["points"]["delivery"] == "b@1"
        for name in ("base", "a", "c"):
            noise = rows[name]["noise"]
            assert noise["low"] == 0.0
            assert 0 <= noise["share"] < noise["high"] < 0.3
            assert rows[name]["points"] is None, "cannot tell"


def test_one_source_alone_cannot_be_told(tmp_path: Path) -> None:
    with opened(founded(tmp_path / "p")) as project:
        (row,) = run_turn(project, recipe_of(only=Part(0, 200)))["sources"]
        assert (row["noise"], row["new"], row["checked"]) == (None, None, None)


# --------------------------------------------------------------------------- costs


def test_costs_are_told_by_source_and_turn_and_none_is_lost(tmp_path: Path) -> None:
    recipe = recipe_of(base=Batched(Part(0, 200), "data/base.csv"), a=Batched(Part(1000, 90), "data/a/1.csv"))
    recipe = replace(recipe, sources={**recipe.sources, "broken": Broken()})
    with opened(founded(tmp_path / "p")) as project:
        assert pay_for(project, "data/base.csv", WON)
        assert not pay_for(project, "data/base.csv", WON), "said twice is paid once"
        assert pay_for(project, "data/base.csv", replace(WON, minor=250_000))
        assert pay_for(project, "data/a", Money(minor=1250, currency="USD")), "a folder of files"
        assert pay_for(project, "data/a/1.csv", Money(minor=100, currency="KRW"))
        assert pay_for(project, "a.csv", Money(minor=7, currency="KRW")), "of which no line could be read"
        assert pay_for(project, "data/nobody.csv", Money(minor=5, currency="KRW"))
        LedgerTill(project.ledger, 1).pay("a", Money(minor=3, currency="KRW"), 1)
        told = run_turn(project, recipe)
        rows = by_name(told)
        assert rows["base"]["costs"] == {"KRW": 250_000}
        assert rows["a"]["costs"] == {"KRW": 103, "USD": 1250}
        assert rows["broken"]["costs"] == {"KRW": 7}
        assert rows["broken"]["cost_per_accepted"] == {}, "nothing was accepted"
        assert rows[None] == {"name": None, "costs": {"KRW": 5}, "cost_per_accepted": {}}
        accepted = rows["a"]["trained"] + rows["a"]["exam"]
        assert rows["a"]["cost_per_accepted"]["USD"] == pytest.approx(1250 / accepted)
        assert costs_of_turn(project.ledger, 1) == {"KRW": 250_115, "USD": 1250}
        assert costs_by_source(project.ledger, []) == {None: {"KRW": 250_115, "USD": 1250}}
        pay_for(project, "data/later.csv", WON)
        assert costs_of_turn(project.ledger, 2) == {"KRW": 240_000}
        assert [one["costs"] for one in facts(project)["curve"]] == [{"KRW": 250_115, "USD": 1250}]
        assert check(project, recipe)["ok"]


# --------------------------------------------------------------------------- points, when asked


def test_the_worth_of_a_source_is_told_with_its_interval_and_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(base=Part(0, 60), more=Part(1000, 300), same=Part(4000, 40))
    with opened(founded(tmp_path / "p")) as project:
        with pytest.raises(InputError) as caught:
            worth_of(project, recipe, "more")
        assert caught.value.key == "no_turn_ended"
        run_turn(project, recipe)
        said = worth_of(project, recipe, "more")
        assert said["low"] < said["gain"] < said["high"]
        assert said["gain"] > 0
        assert said["tells"] == (said["low"] > 0)
        assert said["rows"] == sum(
            row["trained"] for name, row in by_name(facts(project)).items() if name != "more"
        )
        assert by_name(facts(project))["more"]["points"] == said
        assert by_name(facts(project))["same"]["points"] is None
        monkeypatch.setattr("bapsim.wheel.worth.unkept", lambda *given: 1 / 0)
        assert worth_of(project, recipe, "more") == said
        assert check(project, recipe)["ok"]


@pytest.mark.parametrize("source", ["only", "nobody"])
def test_what_cannot_be_left_out_is_said_in_words(source: str, tmp_path: Path) -> None:
    recipe = recipe_of(only=Part(0, 120))
    with opened(founded(tmp_path / "p")) as project:
        run_turn(project, recipe)
        with pytest.raises(InputError, match="only") as caught:
            worth_of(project, recipe, source)
        assert caught.value.key == "nothing_without"


def test_a_source_beside_picked_rows_alone_cannot_be_told(tmp_path: Path) -> None:
    """Machine-made rows are all that is left: nobody's exam, and no measure either."""
    recipe = recipe_of(people=Part(0, 200), crawl=Part(1000, 90, maker="unknown"))
    with opened(founded(tmp_path / "p")) as project:
        run_turn(project, recipe)
        said = worth_of(project, recipe, "people")
        assert (said["rows"], said["tells"]) == (0, False)
        assert "gain" not in said
