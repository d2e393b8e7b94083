"""What became of a model that learnt from its own text: a picture, a table, a page that loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from bapsim.core.errors import text
from bapsim.report.charts import ticks
from bapsim.report.page import HERE, marked, safe
from bapsim.report.words import number

TURN = 137.5  # degrees of hue from one line to the next: neighbours never look alike
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 680, 330, 52, 130, 14, 30
APART = 14.0  # pixels between two names
HEADS = ("loss", "coverage", "distinct_2", "compression")


def arm_name(name: str, lang: str) -> str:
    """What an arm does, in words; of a sharpened one, how much."""
    plain, _, sharp = name.partition("@")
    said = text(f"lab.arm.{plain}", lang)
    return text("lab.sharp", lang, arm=said, percent=f"{100 * float(sharp):g}") if sharp else said


def means(rows: Sequence[Sequence[float]]) -> list[float]:
    """The mean over seeds of each generation."""
    return [fmean(column) for column in zip(*rows, strict=True)]


def curves(series: Sequence[tuple[str, Sequence[float]]], label: str) -> str:
    """An SVG of lines over generations with their names at their ends; the first value is generation 0."""
    values = [value for _, row in series for value in row]
    marks = ticks(min(0.0, *values), max(values), 5)
    low, high, last = marks[0], marks[-1], len(series[0][1]) - 1

    def at(step: float, value: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / max(last, 1)
        return x, TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / (high - low))

    body = []
    for mark in marks:
        x, y = at(0, mark)
        body.append(f'<line class="grid" x1="{x:.0f}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        body.append(f'<text class="tick" x="{x - 8:.0f}" y="{y + 4:.1f}" text-anchor="end">{mark:g}</text>')
    for step in range(last + 1):
        x, _ = at(step, low)
        body.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{step}</text>')
    places = spread([at(last, row[-1])[1] for _, row in series])
    for k, (name, row) in enumerate(series):
        ink = f"hsl({(TURN * k) % 360:.0f} 62% 46%)"
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(step, value) for step, value in enumerate(row)))
        body.append(f'<polyline class="curve" style="stroke:{ink}" points="{path}"/>')
        x = WIDTH - RIGHT + 8
        said = escape(name)
        body.append(f'<text style="fill:{ink}" x="{x}" y="{places[k] + 4:.1f}" class="value">{said}</text>')
    named = escape(label, quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{named}">{"".join(body)}</svg>'


def spread(places: Sequence[float]) -> list[float]:
    """The same places, moved apart as little as names need, in the same order."""
    order = sorted(range(len(places)), key=lambda k: places[k])
    found, floor = list(places), float("-inf")
    for k in order:
        found[k] = floor = max(places[k], floor + APART)
    ceiling = HEIGHT - BOTTOM + 4.0
    for k in reversed(order):
        found[k] = ceiling = min(found[k], ceiling)
        ceiling -= APART
    return found


def table(found: Mapping[str, Any], lang: str, *, short: bool = False) -> list[list[str]]:
    """Heads, and a row for each arm: what it is (short: its name), loss with its spread over seeds, and what
    is left of people's text.
    """
    heads = ("name" if short else "arm", "loss", f"coverage{_of(found)}", *HEADS[2:])
    rows = [[text(f"lab.head.{name}", lang) for name in heads]]
    for name, one in found["arms"].items():
        last = [row[-1] for row in one["loss"]]
        width = f" ±{stdev(last):.3f}" if len(last) > 1 else ""
        cells = [f"{means(one[head])[-1]:.3f}" for head in HEADS[1:]]
        rows.append([name if short else arm_name(name, lang), f"{fmean(last):+.3f}{width}", *cells])
    first = next(iter(found["arms"].values()))
    cells = [f"{means(first[head])[0]:.3f}" for head in HEADS[1:]]
    return [*rows, [text("lab.people", lang), "0", *cells]]


def _of(found: Mapping[str, Any]) -> str:
    """What sets apart the words about another model than that of words."""
    return ".transformer" if found.get("model") == "transformer" else ""


def sentences(found: Mapping[str, Any], lang: str) -> list[str]:
    """What the experiment says, for people."""
    arms = found["arms"]
    told = {
        "tokens": number(found["learnt"]),
        "generations": found["generations"],
        "seeds": len(found["seeds"]),
    }
    said = [text(f"lab.say.setting{_of(found)}", lang, **told)]
    ends = {name: means(one["loss"])[-1] for name, one in arms.items()}
    if {"replace", "anchor"} <= ends.keys() and ends["replace"] > 0:
        share = f"{100 * ends['anchor'] / ends['replace']:.0f}"
        said.append(text("lab.say.anchor", lang, loss=f"{ends['replace']:.2f}", percent=share))
    if "best" in arms and arms["best"]["score"][0]:
        scores = means(arms["best"]["score"])
        values = {"first": f"{scores[0]:.2f}", "last": f"{scores[-1]:.2f}", "loss": f"{ends['best']:.2f}"}
        said.append(text("lab.say.best", lang, **values))
    if "guarded" in arms:
        words = [one for seed in arms["guarded"]["guard"] for one in seed]
        refused = sum(not one["admitted"] for one in words)
        loss = f"{ends['guarded']:+.3f}"
        said.append(text("lab.say.guarded", lang, refused=refused, count=len(words), loss=loss))
    return said


def page(found: Mapping[str, Any], name: str, lang: str) -> str:
    """The page; it needs no other file."""
    import jinja2

    series = [(key, means(one["loss"])) for key, one in found["arms"].items()]
    rows = table(found, lang, short=True)
    environment = jinja2.Environment(autoescape=True, loader=jinja2.FileSystemLoader(HERE))
    return environment.get_template("generations.html.j2").render(
        lang=lang,
        title=text("lab.title", lang, file=name),
        headline=text("lab.headline", lang),
        sentences=[safe(marked(one)) for one in sentences(found, lang)],
        picture=safe(curves(series, text("lab.picture", lang))),
        caption=text("lab.picture", lang),
        names=[(key, arm_name(key, lang)) for key in found["arms"]],
        learns=text("lab.head.arm", lang),
        heads=rows[0],
        rows=rows[1:],
        css=safe((HERE / "page.css").read_text("utf-8")),
    )


def write_page(path: Path, found: Mapping[str, Any], name: str, lang: str) -> None:
    """Write the page, whole or not at all."""
    from bapsim.store import fault

    fault.write(path, page(found, name, lang).encode())
