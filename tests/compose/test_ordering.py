"""What is ordered, from counts alone: rare and surely weak classes, clusters, groups; sizes add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.compose.ordering import LEAST, SHARE, Seen, behind, capped, classes, clusters, limits
from bapsim.judge.compare import wilson


def test_a_rare_class_is_filled_up_to_the_usual_one() -> None:
    seen = {"a": Seen(rows=100), "b": Seen(rows=200), "c": Seen(rows=40), "d": Seen(rows=120)}
    (one,) = classes(seen)
    assert (one.value, one.why, one.have, one.rows) == ("c", "few", 40, 110 - 40)
    assert classes({"a": Seen(rows=5)}) == [], "one class has no other beside it"


def test_a_class_is_weak_only_where_that_is_sure() -> None:
    good = {name: Seen(rows=100, answered=100, right=90) for name in "abcd"}
    weak = {**good, "e": Seen(rows=100, answered=100, right=50)}
    assert [(one.value, one.why, one.rows) for one in classes(weak)] == [("e", "weak", 100)]
    unsure = {**good, "e": Seen(rows=100, answered=LEAST - 1, right=0)}
    assert classes(unsure) == []


def test_few_classes_are_called_weak_by_chance() -> None:
    """Twenty classes that are all alike: at 95 % together, about one order in twenty names one."""
    rng = np.random.default_rng(0)
    named = 0
    for _ in range(400):
        right = rng.binomial(60, 0.8, 20)
        seen = {str(i): Seen(rows=60, answered=60, right=int(n)) for i, n in enumerate(right)}
        named += bool(classes(seen))
    assert named <= 400 * 0.08


@given(st.integers(1, 500), st.data())
def test_limits_are_wilsons(of: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, of))
    assert limits(right, of) == pytest.approx(wilson(right, of), abs=1e-12)
    low, high = limits(right, of, 5)
    one, other = limits(right, of)
    assert low - 1e-12 <= one <= other <= high + 1e-12


def test_clusters_and_groups() -> None:
    (one,) = clusters([("lost card", [bytes(16), bytes([1] * 16)])])
    assert (one.name, one.rows, one.have, len(one.examples)) == ("errors: lost card", LEAST, 2, 2)
    line = behind("region", "jeju", Seen(rows=30, answered=30, right=10), 130, 0.8, [bytes(16)])
    assert line is not None
    assert (line.name, line.rows, line.why) == ("region: jeju", 100, "behind")
    more = behind("region", "jeju", Seen(rows=200, answered=30, right=10), 130, 0.8, [bytes(16)])
    assert more is not None
    assert more.rows == 200, "as many again where it is not rows that it lacks"
    assert behind("region", "jeju", Seen(rows=0), 130, 0.8, []) is None


@given(st.lists(st.integers(1, 5000), max_size=8), st.integers(0, 10_000))
def test_an_order_is_no_larger_than_half_of_what_people_gave(rows: list[int], people: int) -> None:
    (one,) = clusters([("x", [bytes(16)])])
    lines = [replace(one, rows=n) for n in rows]
    found = [line.rows for line in capped(lines, people)]
    assert len(found) == len(rows)
    assert all(1 <= new <= old for new, old in zip(found, rows, strict=True))
    assert sum(found) <= max(SHARE * people, len(rows))
