"""What orjson cannot write, Python's own writer does, and it is JSON all the same."""

from __future__ import annotations

import json

import pytest

from bapsim.serve.encoding import encoded


@pytest.mark.parametrize("slow", [1 << 70, "\ud83d"])
def test_what_is_no_finite_number_is_null(slow: object) -> None:
    value = {"a": [float("nan"), {"b": float("inf")}, -0.1], "NaN": "NaN", "c": float("-inf"), "카드": None}
    bare = json.loads(encoded(value), parse_constant=pytest.fail)
    found = json.loads(encoded({**value, "slow": slow}), parse_constant=pytest.fail)
    assert bare == {"a": [None, {"b": None}, -0.1], "NaN": "NaN", "c": None, "카드": None}
    assert found == {**bare, "slow": slow if isinstance(slow, int) else "?"}
