"""Pictures as SVG text: the gain with its interval, the learning curve. Pure; colours come from CSS."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from bapsim.report.words import amount, held_out_in_words, unit_of

WIDTH = 600


def nice_step(span: float, most: int = 5) -> float:
    """The smallest step of 1, 2, 2.5 or 5 times a power of ten that cuts `span` into at most `most` parts."""
    rough = max(span, 1e-9) / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough * (1 - 1e-9))


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`."""
    step = nice_step(high - low, most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [k * step for k in range(first, last + 1)]


def _svg(height: int, body: str, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label, quote=True)}" '
        f'xmlns="http://www.w3.org/2000/svg">{body}</svg>'
    )


def _text(x: float, y: float, said: str, how: str = "tick", anchor: str = "middle") -> str:
    return f'<text class="{how}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, how: str) -> str:
    return f'<line class="{how}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _percent(share: float, step: float) -> str:
    digits = 0 if abs(100 * step - round(100 * step)) < 1e-9 else 1
    return f"{100 * share:.{digits}f}"


def interval(decision: Mapping[str, Any], words: Mapping[str, str]) -> str:
    """The gain of the candidate with its 95 % interval on a scale in its unit; left of 0 is worse.

    words: `worse`, `better` and `label` (what a screen reader says). "" where nothing was measured.
    """
    gain, low, high = decision["gain"], decision["low"], decision["high"]
    if gain is None or low is None or high is None:
        return ""
    unit = unit_of(decision)
    pad = max(0.15 * (high - low), 0.002 if unit == "points" else 1e-9 * abs(gain))
    marks = ticks(min(low - pad, 0.0), max(high + pad, 0.0), 6)
    left, right, middle = 36.0, WIDTH - 36.0, 52.0
    first, span = marks[0], (marks[-1] - marks[0]) or 1.0

    def at(share: float) -> float:
        return left + (right - left) * (share - first) / span

    body = [_line(left, 78, right, 78, "axis")]
    for mark in marks:
        body += [
            _line(at(mark), 78, at(mark), 83, "axis"),
            _text(at(mark), 99, amount(mark, unit) if mark else "0"),
        ]
    body += [_line(at(0), 16, at(0), 78, "zero")]
    if at(0) - left > 60:
        body.append(_text(at(0) - 8, 24, words["worse"], anchor="end"))
    if right - at(0) > 60:
        body.append(_text(at(0) + 8, 24, words["better"], anchor="start"))
    ends = (
        f'x="{at(low):.1f}" y="{middle - 7:.0f}" width="{max(at(high) - at(low), 2):.1f}" height="14" rx="7"'
    )
    body += [f'<rect class="bar {decision["verdict"]}" {ends}/>']
    radius = 6 if at(high) - at(low) > 18 else 3  # a narrow interval must not hide behind the dot
    body += [
        f'<circle class="dot {decision["verdict"]}" cx="{at(gain):.1f}" cy="{middle:.0f}" r="{radius}"/>'
    ]
    return _svg(106, "".join(body), words["label"])


def learning(curve: Sequence[Mapping[str, Any]], words: Mapping[str, str]) -> str:
    """Out-of-fold accuracy (of numbers: mean absolute error) by turn, with the rows trained on below.

    words: `turn`, `rows` with {rows} in it, `label`. "" where no turn has an accuracy.
    """
    numeric = bool(curve) and curve[-1].get("oof_error") is not None
    name = "oof_error" if numeric else "oof_accuracy"
    known = [one for one in curve if one[name] is not None]
    if not known:
        return ""
    values, most = [one[name] for one in known], math.inf if numeric else 1.0
    ends = [(one.get("oof_low"), one.get("oof_high")) for one in known]
    values += [end for pair in ends for end in pair if end is not None]
    pad = max(0.2 * (max(values) - min(values)), 0.03 * (max(values) if numeric else 1))
    around = ticks(max(min(values) - pad, 0), min(max(values) + pad, most), 4)
    marks = [m for m in around if -1e-9 <= m <= most + 1e-9]
    left, right, top, bottom = 52.0, WIDTH - 30.0, 30.0, 190.0
    first, span = marks[0], (marks[-1] - marks[0]) or 1.0
    slot = (right - left) / len(known)
    places = [left + slot * (i + 0.5) for i in range(len(known))]

    def at(share: float) -> float:
        return bottom - (bottom - top) * (share - first) / span

    body = []
    for mark in marks:
        body += [_line(left, at(mark), right, at(mark), "grid")]
        step = span / max(len(marks) - 1, 1)
        shown = f"{round(mark, 12):,g}" if numeric else _percent(mark, step)
        body += [_text(left - 8, at(mark) + 4, shown, anchor="end")]
    path = " ".join(f"{x:.1f},{at(one[name]):.1f}" for x, one in zip(places, known, strict=True))
    for x, (low, high) in zip(places, ends, strict=True):
        if low is not None and high is not None:
            body += [_line(x, at(low), x, at(high), "whisker")]
    body += [f'<polyline class="curve" points="{path}"/>']
    every = math.ceil(len(known) / 10)
    for i, (x, one) in enumerate(zip(places, known, strict=True)):
        y = at(one[name])
        body += [f'<circle class="dot {one["verdict"]}" cx="{x:.1f}" cy="{y:.1f}" r="6"/>']
        last = len(known) - 1
        if i == last or (i % every == 0 and last - i >= every):  # the last one's words need their place
            body += [_text(x + 10, y - 9, held_out_in_words(one), "value", anchor="start")]
            body += [_text(x, bottom + 22, f"{words['turn']} {one['turn']}")]
            body += [_text(x, bottom + 40, words["rows"].format(rows=f"{one['train_rows']:,}"), "faint")]
    return _svg(240, "".join(body), words["label"])
