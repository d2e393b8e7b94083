"""Pictures: what is drawn lies inside, in order, at the right place."""

import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from bapsim.report.charts import WIDTH, interval, learning, nice_step, ticks

WORDS = {"worse": "w", "better": "b", "label": 'a "label" <&>', "turn": "Turn", "rows": "{rows} rows"}
shares = st.floats(-1, 1, allow_nan=False)


@given(low=shares, span=st.floats(1e-6, 2))
def test_ticks_are_round_few_and_cover_the_range(low: float, span: float) -> None:
    marks = ticks(low, low + span)
    step = nice_step(span)
    assert marks[0] <= low + step * 1e-6
    assert marks[-1] >= low + span - step * 1e-6
    assert 2 <= len(marks) <= 7
    assert f"{step:e}"[:3] in ("1.0", "2.0", "2.5", "5.0")


@given(a=shares, b=shares, c=shares)
def test_the_interval_is_drawn_inside_and_in_order(a: float, b: float, c: float) -> None:
    low, gain, high = sorted((a, b, c))
    svg = interval({"gain": gain, "low": low, "high": high, "verdict": "accept"}, WORDS)
    tree = ElementTree.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    bar, dot = tree.find(f"{space}rect"), tree.find(f"{space}circle")
    zero = next(line for line in tree.iter(f"{space}line") if line.get("class") == "zero")
    assert bar is not None
    assert dot is not None
    start, wide, at = (float(v) for v in (bar.get("x", ""), bar.get("width", ""), dot.get("cx", "")))
    assert 0 <= start <= at + 0.2
    assert at <= start + wide + 0.2
    assert start + wide <= WIDTH
    if low > 0.01:
        assert float(zero.get("x1", "")) < start
    if high < -0.01:
        assert float(zero.get("x1", "")) > start + wide


def test_nothing_measured_is_nothing_drawn() -> None:
    assert interval({"gain": None, "low": None, "high": None, "verdict": "undecided"}, WORDS) == ""
    assert learning([{"oof_accuracy": None}], WORDS) == ""


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_the_curve_rises_where_accuracy_rises(values: list[float]) -> None:
    points = [
        {"turn": i, "verdict": "refuse", "oof_accuracy": v, "train_rows": 1000 * i}
        for i, v in enumerate(values)
    ]
    svg = learning(points, WORDS)
    ElementTree.fromstring(svg)
    drawn = [tuple(map(float, p.split(","))) for p in re.search(r'points="([^"]*)"', svg)[1].split()]  # type: ignore[index]
    assert len(drawn) == len(values)
    assert all(0 < x < WIDTH and 0 <= y <= 200 for x, y in drawn)
    for (x1, y1), (x2, y2), before, after in zip(drawn, drawn[1:], values, values[1:], strict=False):
        assert x1 < x2
        if after - before > 0.02:
            assert y2 < y1
