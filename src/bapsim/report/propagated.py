"""What became of wrong labels that machines wrote on from: a table by depth, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean, stdev
from typing import Any

from bapsim.core.errors import text
from bapsim.report.words import number

HEADS = ("depth", "rows", "wrong", "clean", "error")


def table(found: Mapping[str, Any], lang: str) -> list[list[str]]:
    """Heads, and for each depth its rows, the wrong ones, and the error of a model without and with them."""
    rows = [[text(f"propagated.head.{name}", lang) for name in HEADS]]
    runs = found["runs"]
    for depth, one in enumerate(runs[0]["by_depth"]):
        errors = (
            fmean(run["clean"][depth] for run in runs),
            fmean(run["by_depth"][depth]["error"] for run in runs),
        )
        rows.append(
            [
                str(depth),
                number(one["rows"]),
                number(one["wrong"]),
                *(f"{100 * each:.1f} %" for each in errors),
            ]
        )
    return rows


def sentences(found: Mapping[str, Any], lang: str) -> list[str]:
    """How much was lost, what leaving out the records alone and the quarantine give back, and the
    way back.
    """
    runs = found["runs"]
    full = [run["by_depth"][-1]["error"] for run in runs]
    told = {
        "lost": points([all_ - run["clean"][-1] for all_, run in zip(full, runs, strict=True)]),
        "alone": points([all_ - run["records_only"] for all_, run in zip(full, runs, strict=True)]),
        "quarantine": points([all_ - run["quarantine"] for all_, run in zip(full, runs, strict=True)]),
    }
    traced = {name: sum(run["traced"][name] for run in runs) for name in ("rows", "found")}
    taken = {name: number(round(fmean(run["taken"][name] for run in runs))) for name in ("rows", "right")}
    return [
        text("propagated.lost", lang, planted=found["planted"], people=found["people"], **told),
        text("propagated.taken", lang, **taken),
        text("propagated.traced", lang, **{name: number(count) for name, count in traced.items()}),
    ]


def points(values: list[float]) -> str:
    """A mean in points, with its standard error over the seeds."""
    width = f" ± {100 * stdev(values) / len(values) ** 0.5:.1f}" if len(values) > 1 else ""
    return f"{100 * fmean(values):.1f}{width}"
