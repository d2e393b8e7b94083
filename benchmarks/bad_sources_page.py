"""The page of bad_sources.py: shares with Wilson intervals, and what a cell below .95 would take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bapsim.judge.compare import wilson
from bapsim.judge.residual import limit
from bapsim.wheel.suspicion import DOUBT

SHARE = 0.4
RIGHT = {
    "banking77": 76 / 77,
    "clinc150": 149 / 150,
    "3i4k": 6 / 7,
    "nsmc_ko": 1 / 2,
}  # of labels drawn at random
SAID = {
    "none": "none",
    "uniform": "40 %, any other class",
    "drawn": "40 % drawn from all classes",
    "confused": "40 %, the class next door",
}
WHEN = {"proven": "after a proven model", "first turn": "with 1,500 others in a first turn", "alone": "alone"}


def share(hits: Sequence[bool]) -> str:
    """.98 [.95, .99]"""
    low, high = wilson(sum(hits), len(hits))
    return f"{np.mean(hits):.3f} [{low:.3f}, {high:.3f}]" if hits else "–"


def cell(runs: Sequence[Mapping[str, Any]], truth: float, helps: float) -> dict[str, Any]:
    named = [bool(r["named"]) for r in runs]
    read = [r["noise"] for r in runs if r["noise"] is not None]
    z = np.array([n[3] for n in read])
    first = np.array([r["first_z"] for r in runs if r["first_z"] is not None])
    return {
        "runs": len(runs),
        "named": named,
        "other": [bool(r["others"]) for r in runs],
        "noise": float(np.mean([n[0] for n in read])) if read else None,
        "holds": float(np.mean([n[1] <= truth <= n[2] for n in read])) if read else None,
        "z": float(z.mean()) if read else None,
        "spread": float(z.std()) if read else None,
        "vague": float(np.mean([r["first_z"] is None for r in runs])),
        "z1": float(first.mean()) if len(first) else None,
        "spread1": float(first.std()) if len(first) else None,
        "refused": [r["helps"] < helps for r in runs],
        "gain": float(np.mean([r["gain"] for r in runs])),
        "tells": [bool(r["tells"]) for r in runs],
        "refused_named": [r["helps"] < helps for r in runs if r["named"]],
    }


def cells(found: Mapping[str, Any]) -> dict[tuple[str, str, str, str], dict[str, Any]]:
    """(set, sizes, situation, kind) -> figures."""
    table = {}
    for key, runs in found["cells"].items():
        name, sizes = key.split("/")
        for what in runs[0]:
            situation, kind = what.split("/")
            truth = 0.0 if kind == "none" else SHARE * (RIGHT[name] if kind == "drawn" else 1.0)
            table[name, sizes, situation, kind] = cell([r[what] for r in runs], truth, found["helps"])
    return table


def rows_needed(one: Mapping[str, Any], rows: int, power: float = 1.645) -> int | None:
    """Rows a source needs to pass both readings in .95 of runs each, if z grows as the root of its rows."""
    needed = []
    for z, spread, bar in ((one["z1"], one["spread1"], DOUBT), (one["z"], one["spread"], limit(4))):
        if z is None or z <= 0:
            return None
        needed.append(rows * ((bar + power * spread) / z) ** 2)
    return math.ceil(max(needed) / 10) * 10


def _lines(table: Mapping[tuple[str, str, str, str], Mapping[str, Any]]) -> list[str]:
    lines = [
        "| set | situation | rows of the four | wrong labels of one | runs | it is named "
        "| a good one is named | its wrong labels, estimated | interval holds | retrain confirms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (name, sizes, situation, kind), one in table.items():
        if kind == "none":
            continue
        estimate = "cannot tell" if one["noise"] is None else f"{one['noise']:.2f}"
        holds = "–" if one["holds"] is None else f"{one['holds']:.2f}"
        confirmed = "–" if not one["refused_named"] else f"{np.mean(one['refused_named']):.2f}"
        lines.append(
            f"| {name} | {WHEN[situation]} | {sizes} | {SAID[kind]} | {one['runs']} | {share(one['named'])} "
            f"| {share(one['other'])} | {estimate} | {holds} | {confirmed} |"
        )
    return lines


def _clean(table: Mapping[tuple[str, str, str, str], Mapping[str, Any]]) -> list[str]:
    lines = [
        "| set | situation | rows of the four | runs | any of the four is named | estimated "
        "| if one were named, the retrain would keep it | points that one gives | its interval tells |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (name, sizes, situation, kind), one in table.items():
        if kind == "none":
            any_named = [a or b for a, b in zip(one["named"], one["other"], strict=True)]
            estimate = "–" if one["noise"] is None else f"{one['noise']:+.3f}"
            lines.append(
                f"| {name} | {WHEN[situation]} | {sizes} | {one['runs']} | {share(any_named)} | {estimate} "
                f"| {1 - np.mean(one['refused']):.2f} | {100 * one['gain']:+.2f} "
                f"| {np.mean(one['tells']):.2f} |"
            )
    return lines


def _short(table: Mapping[tuple[str, str, str, str], Mapping[str, Any]]) -> list[str]:
    """Cells where the lower bound allows less than .95, with what it would take."""
    lines = []
    for (name, sizes, situation, kind), one in table.items():
        if kind == "none" or not sizes.isdigit() or np.mean(one["named"]) >= 0.95:
            continue
        needed = rows_needed(one, int(sizes))
        read = [
            "–" if one[z] is None else f"{one[z]:.1f} ± {one[spread]:.1f}"
            for z, spread in (("z1", "spread1"), ("z", "spread"))
        ]
        lines.append(
            f"| {name} | {WHEN[situation]} | {sizes} | {SAID[kind]} | {np.mean(one['named']):.2f} "
            f"| {one['vague']:.2f} | {read[0]} | {read[1]} | {needed or '–'} |"
        )
    if not lines:
        return ["All cells of equal sizes are at .95 or more.", ""]
    head = [
        "Too vague: the interval at the margin would be wider than .25 each way. First reading: by a model",
        f"that learnt it, too (takes z > {DOUBT}); second: by one that did not (takes {limit(4):.2f}),",
        "where it came to that. Rows: what both pass with in .95 of runs each, if z grows as their root.",
        "",
        "| set | situation | rows of the four | wrong labels of one | named | too vague | first z | second z "
        "| rows a source |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    return head + lines + [""]


def _odd(found: Mapping[str, Any]) -> list[str]:
    lines = [
        "| set | odd source of 500 good rows | runs | it is named | by the proven model alone | "
        "the bad one beside it is named |",
        "|---|---|---|---|---|---|",
    ]
    for name, runs in found["odd"].items():
        for kind in runs[0]:
            one = {key: [bool(r[kind][key]) for r in runs] for key in ("odd", "one_reading", "bad")}
            lines.append(
                f"| {name} | {kind} | {len(runs)} | {share(one['odd'])} | {np.mean(one['one_reading']):.2f} "
                f"| {np.mean(one['bad']):.2f} |"
            )
    return lines


def _wheel(found: Mapping[str, Any]) -> list[str]:
    lines = [
        "| set | situation | wrong labels of one | turns | it is named | a good one is named | "
        "set aside | its wrong labels, estimated |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in found.get("wheel", {}).items():
        for what in dict.fromkeys(r["cell"] for r in runs):
            mine = [r for r in runs if r["cell"] == what]
            situation, kind = what.split("/")
            noise = [r["noise"] for r in mine if r["noise"] is not None]
            counts = " | ".join(str(sum(r[key] for r in mine)) for key in ("named", "other", "refused"))
            estimate = "–" if not noise else f"{np.mean(noise):.2f}"
            lines.append(
                f"| {name} | {WHEN[situation]} | {SAID[kind]} | {len(mine)} | {counts} | {estimate} |"
            )
    return lines


TEXT = """# Which source is bad

`BAPSIM_DATA=... OMP_NUM_THREADS=1 python benchmarks/bad_sources.py --runs {runs} --odd {odd_runs}
--wheel {wheel}`, {date}; seeds 0 to {last}, {seconds:.0f} CPU seconds for the runs, {wheel_seconds:.0f} for
whole turns. Shares with 95 % Wilson intervals.

One of four sources has wrong labels, each run another one. All situations and kinds share a run's rows.
Model: ridge on 300 dimensions, calibrated as the product does from 1,000 held-out rows; verdicts by
`judge/residual.py`, two readings as in `wheel/suspicion.py`. Exactly 40 % of the labels are changed; `drawn`
may hit the right class (on nsmc_ko 20 % are wrong in the end). Retrain confirms: the model without the named
source is not worse by z >= {helps:.0f} in log-loss on the others' rows, so that it is set aside.

{lines}

## Below .95, and what it would take

{short}## Nothing is wrong

Points: held-out accuracy on the others' rows with one source of right labels against without it, and the
share of runs in which the 95 % interval of these points (`wheel/contrast.py`) is on one side of 0.

{clean}

## Good sources that look odd

Beside a model of 1,500 rows: the 500 rows of the pool that it is least sure of (an expert picked by
uncertainty); few classes (shares by Dirichlet .05, or .5 for ten classes or fewer); a tenth of the classes
that the model has none, or three rows, of. A bad source (40 %, the class next door) and a good one come
along. The proven model alone would name what the column says; a model that learnt from the source, too,
disagrees.

{odd}

## Whole turns

The same worlds through `run_turn` with `text_linear`: 1,500 rows and four sources of 500.

{wheel_lines}
"""


def report(found: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The page, and its figures as plain values."""
    table = cells(found)
    text = TEXT.format(
        runs=found["runs"],
        odd_runs=found["odd_runs"],
        wheel=found["wheel_runs"],
        date=found["date"],
        last=found["runs"] - 1,
        seconds=found["seconds"],
        wheel_seconds=found.get("wheel_seconds", 0),
        helps=found["helps"],
        lines="\n".join(_lines(table)),
        short="\n".join(_short(table)) + "\n",
        clean="\n".join(_clean(table)),
        odd="\n".join(_odd(found)),
        wheel_lines="\n".join(_wheel(found)),
    )
    figures = {
        "/".join(key): {k: (float(np.mean(v)) if isinstance(v, list) and v else v) for k, v in one.items()}
        for key, one in table.items()
    }
    more = {name: found.get(name) for name in ("runs", "date", "odd_runs", "wheel_runs", "wheel")}
    return text, {**more, "cells": figures, "odd": found["odd"]}
