"""Small pictures over the turns: a value is never lost, a gap is a gap, and what is outside is seen."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.report.fused import followed, over_turns
from bapsim.report.panels import BARS, Panel, panels, sparkline

VALUES = st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1, max_size=12)


@given(VALUES)
@settings(max_examples=30, deadline=None)
def test_a_sign_for_each_value_in_its_order(values: list[float | None]) -> None:
    signs = sparkline(values)
    known = [one for one in values if one is not None]
    assert len(signs) == (len(values) if known else 0)
    pairs = [(v, BARS.index(s)) for v, s in zip(values, signs, strict=False) if v is not None]
    assert all(a[1] <= b[1] for a, b in zip(sorted(pairs), sorted(pairs)[1:], strict=False))
    assert all(s == " " for v, s in zip(values, signs, strict=False) if v is None)


@given(VALUES)
@settings(max_examples=20, deadline=None)
def test_a_picture_is_whole_whatever_was_measured(values: list[float | None]) -> None:
    bands = [(0.0, 1.0) if k % 2 else None for k in range(len(values))]
    one = Panel(name="<a&b>", values=values, said=[str(v) for v in values], bands=bands)
    drawn = ElementTree.fromstring(panels([one] * 4, list(range(1, len(values) + 1)), '"label"'))
    dots = [e for e in drawn.iter() if e.tag.endswith("circle")]
    assert len(dots) == 4 * sum(v is not None for v in values)
    outside = sum(
        b is not None and v is not None and not 0 <= v <= 1 for v, b in zip(values, bands, strict=True)
    )
    assert sum("outside" in e.attrib["class"] for e in dots) == 4 * outside


def report(turns: int) -> dict[str, object]:
    signal = {"name": "coverage", "value": 0.5, "low": 0.6, "high": None}
    made = [
        {
            "turn": n,
            "taken": 10 * n,
            "people": 90,
            "deepest": n % 3,
            "signals": [signal],
            "outside": ["coverage"],
        }
        for n in range(1, turns + 1)
    ]
    curve = [{"turn": n, "oof_accuracy": 0.8 + n / 100, "oof_error": None} for n in range(1, turns)]
    return {"fused_turns": made, "curve": curve}


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_the_terminal_tells_share_depth_and_signals_of_each_turn(lang: str) -> None:
    assert over_turns({}, lang) == []
    assert len(over_turns(report(1), lang)) == 2
    head, first, *_, last, signs = over_turns(report(5), lang)
    assert len(head) == 7
    assert first == ["1", "10 %", "1", "81.0 %", "0.500*", "-", "-"]
    assert last[:4] == ["5", "36 %", "2", "-"]  # what the curve does not know is not made up
    assert signs[1][0] == BARS[0]
    assert signs[1][-1] == BARS[-1]
    assert signs[3][-1] == " "
    numbers = {"turn": 1, "oof_accuracy": None, "oof_error": 12.345}
    assert followed(report(1) | {"curve": [numbers]}, lang)[2].said == ["12.3"]
