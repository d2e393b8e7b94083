"""The guard's signals in a turn: of texts, tables and pictures, class by class."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bapsim.core.errors import text
from bapsim.core.records import Task
from bapsim.judge.collapse import Signal, outside
from bapsim.report.fused import fused_tables, share_of, way_in_words
from bapsim.testing import records_of
from bapsim.wheel.guarding import guarded, told
from bapsim.wheel.stock import Stock
from tests.wheel.world import sentence


def stock_of(rows: list[dict[str, Any]], task: Task) -> Stock:
    return Stock(
        task=task, shards=(), records=records_of(rows), origins={}, states={}, turns={}, keyed=frozenset()
    )


def names(rows: list[dict[str, Any]], task: Task, machine: int) -> list[str]:
    """What lies outside people's band where the last `machine` rows are a machine's."""
    stock = stock_of(rows, task)
    made = np.arange(len(rows)) >= len(rows) - machine
    scene: Any = SimpleNamespace(stock=stock)
    found = guarded(scene, ~made, made)
    assert found == guarded(scene, ~made, made), "the same for the same rows"
    return [one.name for one in outside(found)]


def test_sentences_of_people_pass_and_one_sentence_again_and_again_does_not() -> None:
    task = Task(input="text", target="intent")
    rows = [dict(zip(("text", "intent"), sentence(i), strict=True)) for i in range(700)]
    assert names(rows, task, 200) == []
    copies = [{"text": "송금이 안 돼요", "intent": one["intent"]} for one in rows[500:]]
    assert {"compression", "distinct_2"} <= set(names(rows[:500] + copies, task, 200))


def test_rows_of_a_table_that_are_all_alike_are_seen() -> None:
    task = Task(input=("hours", "kind"), target="fails", kind="table")
    rng = np.random.default_rng(0)
    rows = [
        {"hours": float(h), "kind": str(k), "fails": str(f)}
        for h, k, f in zip(
            rng.normal(50, 20, 700), rng.integers(0, 9, 700), rng.integers(0, 2, 700), strict=True
        )
    ]
    rows[3]["hours"] = None
    assert names(rows, task, 200) == []
    flat = [{**row, "hours": 50.0, "kind": "1"} for row in rows[500:]]
    assert "distinct_1" in names(rows[:500] + flat, task, 200)


def test_numbers_are_compared_without_classes_and_few_rows_not_at_all() -> None:
    rows = [{"text": sentence(i)[0], "value": float(i)} for i in range(300)]
    task = Task(input="text", target="value", answer="number")
    assert names(rows, task, 100) == []
    assert names(rows[:30], task, 10) == []


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_the_page_says_what_joined_and_why(lang: str) -> None:
    signals = (
        Signal(name="coverage", value=0.5, low=0.4, high=float("inf")),
        Signal(name="distinct_2", value=0.9, low=0.4, high=0.6),
    )
    won = {"share": 0.3, "weight": 0.5, "rare": True, "first": True}
    race = [
        {**won, "gain": 0.01, "error": 0.002, "rows": 90, "made": 40},
        {**won, "share": 0.1, "gain": None, "error": None, "rows": 90, "made": 0},
    ]
    said = {
        "way": won,
        "raced": race,
        "reason": "collapse.admitted",
        "made": 100,
        "taken": 40,
        "people": 60,
        "deepest": 1,
    } | told(signals)
    json.dumps(said, allow_nan=False)
    assert share_of(said) == 0.4
    assert share_of({"taken": 0, "people": 0}) == 0
    report = {
        "fused": said,
        "fused_turns": [{"turn": 1, **said, "signals": [], "outside": []}, {"turn": 2, **said}],
    }
    ways, seen, turns = fused_tables(report, lang)
    assert text("fused.won", lang) in ways["rows"][0][0]
    assert "40" in ways["note"]
    assert ways["rows"][1][2] == "-"
    assert text("fused.outside", lang) in seen["rows"][1][1]
    assert seen["rows"][0][2].strip() == "0.400 –"
    assert turns["rows"][1][3:] == ["0.500", "0.900*", "-"]
    assert turns["rows"][0][3:] == ["-"] * 3
    assert list(fused_tables({}, lang)) == []
    nothing = {
        **said,
        "way": None,
        "raced": [],
        "signals": [],
        "outside": [],
        "taken": 0,
        "reason": "collapse.no_gain",
    }
    (one,) = fused_tables({"fused": nothing}, lang)
    assert one["notes"] == [text("fused.no_race", lang)]
    buys = {None: None, "fused.buy": (None, None), "fused.buy.more": (won, 0.02), "fused.keep": (won, 0.001)}
    for key, case in buys.items():
        way, labels = case or (won, None)
        more = {"way": way, "labels": labels, "buy": key not in (None, "fused.keep")}
        notes = next(iter(fused_tables({"fused": said | more}, lang)))["notes"]
        values = {"labels": f"{labels or 0:.4f}", "gain": "0.0100"}
        assert notes[1:] == ([] if key is None else [text(key, lang, **values)])
    for reason in ("harm", "outside", "no_gain", "admitted"):
        assert text(f"fused.collapse.{reason}", lang, made=1, taken=0, percent=0, outside="-")
    assert "30" in way_in_words(won, lang)
