"""Small pictures side by side, one for each figure that is followed over the turns, as SVG and as signs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, COLUMNS = 200, 104, 3
LEFT, RIGHT, TOP, BOTTOM = 10.0, 14.0, 34.0, 22.0
BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One figure: its value in each turn (None: not measured), as it is written, and people's range, where
    there is one.
    """

    name: str
    values: Sequence[float | None]
    said: Sequence[str]
    bands: Sequence[tuple[float, float] | None]


def sparkline(values: Sequence[float | None]) -> str:
    """A sign for each value, from the least to the greatest; a blank where nothing was measured."""
    known = [one for one in values if one is not None]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known)
    at = (None if one is None else (one - low) / span if span else 0.5 * bool(one) for one in values)
    return "".join(" " if one is None else BARS[min(int(one * len(BARS)), len(BARS) - 1)] for one in at)


def panels(every: Sequence[Panel], turns: Sequence[int], label: str) -> str:
    """An SVG of panels, three in a row: people's range as a band, values outside it as hollow dots."""
    rows = -(-len(every) // COLUMNS)
    body = []
    for k, one in enumerate(every):
        x, y = WIDTH * (k % COLUMNS), HEIGHT * (k // COLUMNS)
        body.append(f'<g transform="translate({x} {y})">{"".join(_panel(one, turns))}</g>')
    named = escape(label, quote=True)
    return (
        f'<svg viewBox="0 0 {WIDTH * COLUMNS} {HEIGHT * rows}" role="img" aria-label="{named}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(body)}</svg>'
    )


def _panel(one: Panel, turns: Sequence[int]) -> list[str]:
    known = [value for value in one.values if value is not None]
    ends = [end for band in one.bands if band is not None for end in band]
    body = [f'<text class="tick" x="{LEFT}" y="14">{escape(one.name)}</text>']
    if not known:
        return [*body, f'<text class="faint" x="{LEFT}" y="{HEIGHT / 2:.0f}">–</text>']
    low, high = min([*known, *ends]), max([*known, *ends])
    span = (high - low) or 1.0
    slot = (WIDTH - LEFT - RIGHT) / len(turns)
    floor = HEIGHT - BOTTOM

    def at(step: int, value: float) -> tuple[float, float]:
        return LEFT + slot * (step + 0.5), floor - (floor - TOP) * (value - low) / span

    for step, band in enumerate(one.bands):
        if band is not None:
            (x, bottom), (_, top) = at(step, band[0]), at(step, band[1])
            size = f'width="{slot:.1f}" height="{max(bottom - top, 1):.1f}"'
            body.append(f'<rect class="band" x="{x - slot / 2:.1f}" y="{top:.1f}" {size}/>')
    places = [(step, at(step, value)) for step, value in enumerate(one.values) if value is not None]
    path = " ".join(f"{x:.1f},{y:.1f}" for _, (x, y) in places)
    body.append(f'<polyline class="curve" points="{path}"/>')
    for step, (x, y) in places:
        band, value = one.bands[step], one.values[step]
        out = band is not None and value is not None and not band[0] <= value <= band[1]
        body.append(f'<circle class="dot {"outside" if out else "seen"}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
    said = escape(one.said[places[-1][0]])
    body.append(f'<text class="value" x="{WIDTH - RIGHT}" y="14" text-anchor="end">{said}</text>')
    for step in sorted({0, len(turns) - 1}):
        place = f'x="{at(step, low)[0]:.1f}" y="{HEIGHT - 6}" text-anchor="middle"'
        body.append(f'<text class="faint" {place}>{turns[step]}</text>')
    return body
