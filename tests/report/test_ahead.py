"""What the next answers are worth, in words."""

from __future__ import annotations

from typing import Any

import pytest

from bapsim.report.ahead import worth


def told(**more: Any) -> dict[str, Any]:
    base = {"answers": 500, "tells": True, "answer": "class", "gain": 0.01, "low": 0.0, "high": 0.02}
    return base | {"costs": {}, "verdict": "go", "now": 0.2, "reported": (0.19, 0.18, 0.2), **more}


@pytest.mark.parametrize(
    ("gain", "reported", "said"),
    [(0.01, 0.19, False), (0.01, 0.197, True), (0.01, 0.21, True), (-0.01, 0.21, False)],
)
def test_a_lower_next_report_beside_a_gain_is_explained(gain: float, reported: float, said: bool) -> None:
    facts = told(gain=gain, reported=(reported, reported - 0.01, reported + 0.01))
    for lang, word in (("en", "harder"), ("ko", "어려운")):
        assert (word in " ".join(worth(facts, lang))) == said


def test_nothing_is_told_where_nothing_is_known() -> None:
    assert len(list(worth(None, "en"))) == len(list(worth(told(tells=False), "en"))) == 1
