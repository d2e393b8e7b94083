"""Quarantine: what is bad goes with all that was made of it, stays on the shelf, and may come back."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bapsim.cli import main
from bapsim.core.errors import InputError
from bapsim.report.kin import in_quarantine
from bapsim.report.page import write_report
from bapsim.store import fault
from bapsim.store.project import Project, opened
from bapsim.wheel.audit import check, recount, stands, why_record
from bapsim.wheel.generating import learnable
from bapsim.wheel.listing import refused
from bapsim.wheel.quarantine import NAME, holding, quarantined
from bapsim.wheel.setting_aside import eaten_in_quarantine, put_aside, release
from bapsim.wheel.state import state
from bapsim.wheel.stock import REFUSED, Stock, load_stock
from bapsim.wheel.tainting import consumed
from bapsim.wheel.turn import run_turn
from tests.wheel.chain_world import Echo, chained, copied, three_turns

RECIPE = chained()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_turns(tmp_path_factory.getbasetemp())


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return copied(made, tmp_path / "p")


def parent_of_many(stock: Stock) -> str:
    """A row of people's from which six came in two turns."""
    return stock.ids[stock.parents[0][1][0]].tobytes().hex()


def loaded(project: Project) -> Stock:
    return load_stock(project, RECIPE.task)


def test_a_record_takes_its_descendants_along_and_the_accounts_add_up(root: Path) -> None:
    with opened(root) as project:
        stock = loaded(project)
        bad, before = parent_of_many(stock), recount(project, RECIPE)
        said = put_aside(project, RECIPE, bad[:10], "it says the opposite", "Kim")
        assert (said["what"], said["kinds"], said["rows"], said["made"]) == (bad, ["record"], 1, 6)
        assert sum(said["standing"].values()) == 7
        ate = consumed(project, {bytes.fromhex(bad)})
        assert {one["version"]: one["rows"] for one in said["models"]} == ate
        assert [one["version"] for one in said["models"] if one["serves"]] == ["t001-people"]
        assert eaten_in_quarantine(project, RECIPE, "t001-people") == 1
        rows = quarantined(project.ledger, stock)
        assert int(rows.sum()) == 7
        assert (stands(project, stock)[rows] == REFUSED).all()
        after = recount(project, RECIPE)
        assert after["refused"] == before["refused"] + 7
        assert check(project, RECIPE)["ok"]
        reasons = {one["id"]: (one["check"], one["reason"]) for one in refused(project, RECIPE)}
        assert {reasons[i.tobytes().hex()] for i in stock.ids[rows]} == {(NAME, "quarantined")}
        child = stock.ids[np.flatnonzero(rows)[-1]].tobytes().hex()
        assert [one["itself"] for one in why_record(project, RECIPE, child)["quarantine"]] == [False]
        (own,) = why_record(project, RECIPE, bad)["quarantine"]
        assert (own["by"], own["reason"], own["itself"]) == ("Kim", "it says the opposite", True)
        assert own["at"].startswith("20")
        told = run_turn(project, RECIPE)
        assert told["reasons"]["quarantined"] == 7
        assert told["quarantines"] == [
            {"number": 1, "name": bad, "kinds": ["record"], "source": None, "by": "Kim"}
            | {"reason": "it says the opposite", "rows": 1, "made": 6}
        ]
        newest = project.ledger.value("select version from eaten order by rowid desc limit 1")
        ids = {i.tobytes() for i in stock.ids[rows]}
        assert newest.startswith("t004")
        assert newest not in consumed(project, ids)
        assert check(project, RECIPE)["ok"]
        page = write_report(project, 4, "ko").read_text("utf-8")
        assert "격리된 것" in page
        assert "it says the opposite" in page


def test_twice_is_once_and_a_release_gives_back_what_nothing_else_holds(root: Path) -> None:
    with opened(root) as project:
        bad, before = parent_of_many(loaded(project)), recount(project, RECIPE)
        first = put_aside(project, RECIPE, bad, "wrong")
        again = put_aside(project, RECIPE, f"q{bad[:8]}", "wrong again")
        assert (first["new"], again["new"], again["reason"]) == (True, False, "wrong")
        assert len(holding(project.ledger)) == 1
        whole = put_aside(project, RECIPE, "echo", "its prompt was wrong")
        assert (whole["rows"], whole["made"]) == (72, 0)
        back = release(project, RECIPE, bad[:8], "it was right", "Lee")
        assert (back["rows"], back["made"], back["still"], back["released_by"]) == (1, 6, 6, "Lee")
        assert int(quarantined(project.ledger, loaded(project)).sum()) == 72
        release(project, RECIPE, "echo", "mended")
        assert recount(project, RECIPE) == before
        assert check(project, RECIPE)["ok"]
        for name in (bad, "echo"):
            with pytest.raises(InputError, match="not in quarantine"):
                release(project, RECIPE, name, "again")
        third = put_aside(project, RECIPE, bad, "wrong after all")
        assert (third["new"], third["number"]) == (True, 3)
        entered = project.ledger.rows("select name from stage where name like 'quarantine%'")
        assert [row["name"] for row in entered] == [
            "quarantine",
            "quarantine",
            *["quarantine released"] * 2,
            "quarantine",
        ]


def test_what_comes_later_from_it_is_in_it_too_and_exam_items_leave_the_exam(root: Path) -> None:
    with opened(root) as project:
        put_aside(project, RECIPE, "echo-v1", "a bad version")
        item = bytes(project.ledger.value("select id from exam_item order by rowid limit 1")).hex()
        put_aside(project, RECIPE, item, "the label is wrong")
        assert recount(project, RECIPE)["exam"] == 20  # until the next turn composes it anew
        heedless = chained(sources={**RECIPE.sources, "echo": Echo(heedless=True, upto=4)})
        told = run_turn(project, heedless)
        assert told["reasons"]["quarantined"] == 72 + 96 + 1
        assert [one["rows"] for one in told["quarantines"]] == [72 + 96, 1]
        assert (told["accounts"]["exam"], told["wear"]["version"]) == (19, 2)
        assert check(project, RECIPE)["ok"]


def test_sources_and_generators_see_nothing_of_it_before_the_next_verdicts(root: Path) -> None:
    with opened(root) as project:
        bad = parent_of_many(loaded(project))
        put_aside(project, RECIPE, bad, "wrong")
        turn = state(project, RECIPE, 4)
        kept = {
            i
            for view in turn.data.values()
            for part, keep in zip(view.batches([]), view.kept(), strict=True)
            for i, ok in zip(part.column("_id").to_pylist(), keep.tolist(), strict=True)
            if ok
        }
        stock = loaded(project)
        rows = quarantined(project.ledger, stock)
        assert kept
        assert not kept & {i.tobytes() for i in stock.ids[rows]}
        assert not learnable(project, turn, stock)[rows].any()


def test_what_cannot_be_meant_changes_nothing(root: Path) -> None:
    with opened(root) as project:
        head = project.ledger.head()
        for name in ("", "nonsense", "0" * 32, "ab", "echo-v2", "base/echo-v1", "'; drop table stage", "가"):
            with pytest.raises(InputError, match=r"no record|records have an id"):
                put_aside(project, RECIPE, name, "why")
        with pytest.raises(InputError, match="reason is empty"):
            put_aside(project, RECIPE, "echo", "  ")
        assert project.ledger.head() == head
        assert put_aside(project, RECIPE, "echo/echo-v1", "one version of one source")["rows"] == 72
        with project.ledger.change("test") as ledger:
            ledger.add("turn", n=9, state="open", recipe="", started="", pid=1)
        for change in (put_aside, release):
            with pytest.raises(InputError, match="interrupted"):
                change(project, RECIPE, "echo", "why")


def test_the_chain_shows_who_rewrites_an_entry(root: Path) -> None:
    with opened(root) as project:
        put_aside(project, RECIPE, "echo", "bad", "Kim")
        row = project.ledger.row("select key, output from stage where name='quarantine'")
        forged = json.dumps(json.loads(row["output"]) | {"by": "Lee"})
        project.ledger.db.execute("update stage set output=? where key=?", (forged, row["key"]))
        assert [one["kind"] for one in check(project, RECIPE)["findings"]] == ["row_changed"]


def killed(root: Path, die: int) -> bool:
    """Put the echo aside in a process that dies at its `die`-th durable step; True if it died."""
    child = os.fork()
    if child == 0:
        fault._passed = 0
        os.environ["BAPSIM_FAULT"] = str(die)
        with opened(root) as project:
            put_aside(project, RECIPE, "echo", "bad")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def test_a_kill_leaves_all_of_it_or_nothing_and_again_is_enough(root: Path, tmp_path: Path) -> None:
    deaths, seen = 0, set()
    while True:
        place = copied(root, tmp_path / str(deaths))
        died = killed(place, deaths + 1)
        with opened(place) as project:
            seen.add(len(holding(project.ledger)))
            assert check(project, RECIPE)["ok"]
            put_aside(project, RECIPE, "echo", "bad")
            assert len(holding(project.ledger)) == 1
            assert recount(project, RECIPE)["refused"] == 72
            assert check(project, RECIPE)["ok"]
        if not died:
            break
        deaths += 1
    assert deaths >= 2
    assert seen == {0, 1}


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_the_verbs_say_it(root: Path, lang: str) -> None:
    def said(*words: str) -> str:
        done = CliRunner().invoke(main, ["-C", str(root), *words, "--lang", lang], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    with opened(root, writing=False) as project:
        bad = parent_of_many(loaded(project))
    put = said("use", bad[:8], "--quarantine", "--reason", "wrong", "--by", "Kim")
    assert "t001-people" in put
    assert f"use {bad[:8]} --reason" in put
    assert "Kim" in said("why", bad)
    assert ("quarantine" if lang == "en" else "격리") in said("why", "t001-people")
    body: dict[str, Any] = json.loads(said("use", bad[:8], "--reason", "right", "--json"))
    assert (body["what"], body["released_for"], body["still"]) == (bad, "right", 0)
    assert in_quarantine({}, lang) is None
