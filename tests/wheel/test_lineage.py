"""Kin of records: every ancestor up to people's, every descendant, each once, however many there are."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.arrow import ID
from bapsim.core.records import Records, Task
from bapsim.report.kin import SHOWN, summary, tree
from bapsim.store.project import opened
from bapsim.wheel.audit import why_record
from bapsim.wheel.lineage import MOST, ancestors, descendants
from bapsim.wheel.stock import Stock, load_stock
from tests.wheel.chain_world import chained, three_turns


def name(i: int) -> bytes:
    return i.to_bytes(16, "big")


def stock_of(parents: list[list[int] | None]) -> Stock:
    """A stock of rows with these parents, by number; a number that is no row is not there."""
    ids = pa.array([name(i) for i in range(len(parents))], ID)
    mums = pa.array([of and [name(i) for i in of] for of in parents], pa.list_(ID))
    columns = {"_id": ids, "_parents": mums, "y": pa.nulls(len(parents), pa.string())}
    whole = Records(pa.record_batch(columns))
    task = Task(input="x", target="y")
    return Stock(task=task, shards=(), records=whole, origins={}, states={}, turns={}, keyed=frozenset())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_turns(tmp_path_factory.getbasetemp())


def test_the_tree_goes_up_to_people_and_down_to_the_last_hand(wheel: Path) -> None:
    with opened(wheel, writing=False) as project:
        stock = load_stock(project, chained().task)
        last = why_record(project, chained(), stock.ids[-1].tobytes().hex())
        up = last["ancestors"]
        assert (up["count"], up["steps"], up["people"]) == (2, 2, 1)
        near, far = up["first"]
        assert (near["through"], far["through"]) == (None, near["id"])
        assert (near["input_maker"], near["method"], near["rights"]) == ("machine", "echo", "own")
        assert (near["input_depth"], near["target_depth"], near["turn"], near["batch"]) == (
            1,
            0,
            2,
            "echo-v1",
        )
        assert (far["input_maker"], far["input_depth"], far["turn"], far["stands"]) == (
            "person",
            0,
            1,
            "trained",
        )
        assert [(one["check"], one["keep"]) for one in near["verifiers"]] == [("vouch", True)]
        root = why_record(project, chained(), far["id"])
        down = root["descendants"]
        assert (down["count"], down["steps"], down["sources"]) == (6, 2, {"echo": 6})
        assert root["children"] == [one["id"] for one in down["first"] if one["steps"] == 1]
        assert last["id"] in [one["id"] for one in down["first"]]
        assert root["ancestors"]["count"] == last["descendants"]["count"] == 0
        for lang, by in (("en", "by a machine, depth 1/0"), ("ko", "기계, 깊이 1/0")):
            lines = [one.first + one.said for one in tree(up, lang)]
            assert lines[0].startswith(f"└─ {near['id'][:8]}  ")
            assert by in lines[1]
            assert lines[2].startswith(f"   └─ {far['id'][:8]}  ")
            assert str(up["count"]) in summary(up, lang)
            assert len(list(tree(down, lang))) == 2 * down["count"]


def test_a_hundred_thousand_descendants_are_counted_and_some_are_told() -> None:
    many = stock_of([None, *([0] for _ in range(100_000))])
    begun = time.process_time()
    found = descendants(many, 0)
    assert len(found) == 100_000
    assert ancestors(many, 100_000) == [(0, name(0), -1, 1)]
    assert many.with_descendants(np.arange(100_001) == 0).all()
    assert time.process_time() - begun < 5
    said = {"count": len(found), "first": [told(one.id.hex(), None) for one in found[:MOST]]}
    lines = list(tree(said, "en"))
    assert len(lines) == 2 * SHOWN + 1
    assert "99,988 more" in lines[-1].said


def told(one: str, through: str | None) -> dict[str, object]:
    said = {
        "here": True,
        "input": "a\nb " * 50,
        "target": None,
        "stands": "pool",
        "source": "s",
        "batch": None,
    }
    made = {"input_maker": "unknown", "target_maker": "unknown", "method": "m", "rights": "r", "turn": 1}
    refused = [{"check": "near", "keep": False, "reason": "near_copy", "value": 0.912, "limit": 0.9}]
    depths = {"input_depth": None, "target_depth": None}
    return {"id": one, "through": through, **said, **made, **depths, "verifiers": [], "refused": refused}


def test_a_long_chain_and_a_circle_that_cannot_be_come_to_an_end() -> None:
    chain = stock_of([None, *([i] for i in range(20_000))])
    assert [one.steps for one in ancestors(chain, 20_000)] == list(range(1, 20_001))
    assert len(descendants(chain, 0)) == 20_000
    circle = stock_of([[2], [0], [1], [3]])
    assert {one.row for one in ancestors(circle, 0)} == {1, 2}
    assert {one.row for one in descendants(circle, 1)} == {0, 2}
    assert ancestors(circle, 3) == descendants(circle, 3) == []
    assert circle.with_descendants(np.array([False, False, True, False])).tolist() == [
        True,
        True,
        True,
        False,
    ]


def test_what_is_not_here_is_told_by_its_id() -> None:
    found = ancestors(stock_of([None, [0, 99]]), 1)
    assert [(one.row, one.steps) for one in found] == [(0, 1), (-1, 1)]
    said = {"count": 1, "first": [{"id": "ff" * 16, "through": None, "steps": 1, "here": False}]}
    assert [one.first + one.said for one in tree(said, "en")] == ["└─ ffffffff  not in this wheel"]
    first, second = tree({"count": 1, "first": [told("aa" * 16, None)]}, "ko")
    assert first.said.endswith("…")
    assert "\n" not in first.said
    assert "깊이 ?" in second.said
    assert "near ✗ 0.91" in second.said


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 30), max_size=3), min_size=1, max_size=30), st.integers(0, 29))
def test_up_and_down_are_one_relation_and_offspring_is_its_closure(said: list[list[int]], at: int) -> None:
    mums = [[m for m in of if m < i] or None for i, of in enumerate(said)]
    stock, row = stock_of(mums), at % len(said)
    below = {one.row for one in descendants(stock, row)}
    assert below == {i for i in range(len(said)) if row in {one.row for one in ancestors(stock, i)}}
    assert set(np.flatnonzero(stock.with_descendants(np.arange(len(said)) == row)).tolist()) == below | {row}
