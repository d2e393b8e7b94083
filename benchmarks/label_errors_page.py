"""The page of label_errors.py: what was measured, in tables. Again without measuring:

    python benchmarks/label_errors_page.py

Reads docs/results/label_errors.json, writes docs/results/label_errors.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

OUT = Path(__file__).resolve().parent.parent / "docs" / "results"
INJECTED = ("nsmc_ko", "banking77", "mnist")
KINDS = ("uniform", "confused")
FULL = (0.1, 0.2)  # rates at which everything is measured; the others: the estimate, and leaving out
WAYS = ("asked", "asked, 95 %", "asked at random", "weighed", "left out")
RATES = (0.05, 0.1, 0.2, 0.3)


def cells(name: str) -> Iterator[tuple[float, str]]:
    yield 0.0, "none"
    if name in INJECTED:
        yield from ((rate, kind) for rate in RATES for kind in KINDS)


def mean_se(values: list[float]) -> tuple[float, float]:
    x = np.asarray(values, float)
    return float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x))) if len(x) > 1 else 0.0


def of(rows: list[dict[str, Any]], name: str, rate: float, kind: str) -> list[dict[str, Any]]:
    return [r for r in rows if (r["set"], r["injected"], r["kind"]) == (name, rate, kind)]


def against_peer(rows: list[dict[str, Any]], measure: str) -> list[str]:
    """One line a cell: ours, the best of the peer's methods by its mean, the paired differences."""
    lines = []
    ours = (f"{measure}_alone", f"{measure}_whole")
    for name in INJECTED:
        for rate in FULL:
            for kind in KINDS:
                cell = of(rows, name, rate, kind)
                methods = [k for k in cell[0] if k.startswith(f"{measure}_") and k not in ours]
                best = max(methods, key=lambda m: np.mean([r[m] for r in cell]))
                told = [f"{name} | {rate:.0%} {kind}"]
                for key in (*ours, best):
                    told.append("{:.3f} ± {:.3f}".format(*mean_se([r[key] for r in cell])))
                spread = mean_se([r[best] for r in cell])[1]
                told.append(best.split("_", 1)[1])
                reached = []
                for key in ours:
                    gap, se = mean_se([r[key] - r[best] for r in cell])
                    told.append(f"{gap:+.3f} ± {se:.3f}")
                    reached.append("yes" if gap >= -spread else "no")
                lines.append("| " + " | ".join([*told, ", ".join(reached)]) + " |")
    return lines


def of_accuracy(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for name in (*INJECTED, "hate_ko"):
        for rate, kind in cells(name):
            cell = of(rows, name, rate, kind)
            told = [f"{name} | {'as published' if not rate else f'{rate:.0%} {kind}'}"]
            told.append("{:.2f}".format(100 * np.mean([r["nothing"] for r in cell])))
            for way in WAYS:
                if way in cell[0]:
                    gap, se = mean_se([100 * (r[way] - r["nothing"]) for r in cell])
                    told.append(f"{gap:+.2f} ± {se:.2f}")
                else:
                    told.append("")
            told.append(f"{np.mean([r['rate'] for r in cell]):.3f}, {np.mean([r['low'] for r in cell]):.3f}")
            told.append(f"{sum(r['advised'] for r in cell)} of {len(cell)}")
            lines.append("| " + " | ".join(told) + " |")
    return lines


def of_noise(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for name in (*INJECTED, "hate_ko"):
        for rate, kind in cells(name):
            cell = of(rows, name, rate, kind)
            mean, se = mean_se([r["rate"] for r in cell])
            inside = sum(r["low"] <= rate <= r["high"] for r in cell)
            lines.append(
                f"| {name} | {rate:.0%} {kind if rate else ''} | {np.mean([r['right'] for r in cell]):.2f} | "
                f"{mean:.3f} ± {se * np.sqrt(len(cell)):.3f} | {mean - rate:+.3f} | {inside} of "
                f"{len(cell)} | "
                f"{np.mean([r['peer_rate'] for r in cell]):.3f} | "
                f"{np.mean([r['along'] for r in cell]):.2f} |"
            )
    return lines


def of_pairs(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for name in (*INJECTED, "hate_ko"):
        lists = [r["pairs"] for r in of(rows, name, 0.0, "none")]
        often: dict[str, int] = {}
        for pairs in lists:
            for first, second, _ in pairs:
                often[f"{first} / {second}"] = often.get(f"{first} / {second}", 0) + 1
        top = sorted(often.items(), key=lambda item: (-item[1], item[0]))[:4]
        k = {"nsmc_ko": 2, "banking77": 77, "mnist": 10, "hate_ko": 3}[name]
        shown = ", ".join(f"{pair} ({count})" for pair, count in top) or "none"
        sizes = [len(pairs) for pairs in lists]
        named = f"{np.mean(sizes):.1f} ({min(sizes)} to {max(sizes)})"
        lines.append(f"| {name} | {k * (k - 1) // 2:,} | {named} | {shown} |")
    return lines


def head(*names: str) -> str:
    return "| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|"


def page(said: dict[str, Any]) -> str:
    rows, checked = said["rows"], said["checked"]
    sides = ("alone", "whole", "cleanlab's best")
    titles = head("set", "wrong labels", *sides, "which", "alone − best", "whole − best", "reached")
    text = [
        "# Wrong labels: found, asked about, left out",
        "",
        "    python -m venv /tmp/peer && /tmp/peer/bin/pip install cleanlab==2.9.0",
        "    OMP_NUM_THREADS=1 python benchmarks/label_errors.py --peer /tmp/peer/bin/python",
        "",
        f"Made on {said['date']}, seeds {said['seeds'][0]} to {said['seeds'][-1]}, "
        f"{said['cpu']:,.0f} CPU-s. Each seed draws its rows (nsmc_ko and mnist 4,000, banking77 3,000, "
        "hate_ko "
        "3,500), its folds and its wrong labels; untouched rows (3,000; mnist 1,967; hate_ko 3,000) "
        "keep theirs "
        "as published. Probabilities: `text_linear` over five folds (cost searched on nsmc_ko and "
        "hate_ko, 1 on "
        "banking77); mnist: ridge regression on 1,000 random features of the pixels, calibrated alike. "
        "Uniform: "
        "any other class. Confused: the class whose centroid is nearest; of two classes, three quarters "
        "of the "
        "wrong labels are on the second. ± is one standard error over seeds unless said.",
        "",
        "## Against cleanlab 2.9.0 on the same probabilities",
        "",
        "The best of cleanlab's three rankings, and of its seven filters, is taken in each cell by its mean. "
        "Alone: probabilities only. Whole: with the neighbours of the worst 5 % and with equal texts that "
        "contradict each other on top, as the survey does it. Reached (alone, whole): not below cleanlab's "
        "best less one standard error.",
        "",
        "Average precision of the ranking:",
        "",
        titles,
        *against_peer(rows, "ap"),
        "",
        "The same without the few rows whose equal text was published under another label, so that nobody "
        "knows which is wrong: contradictions that are on top rightly count as false in the first table.",
        "",
        titles,
        *against_peer(rows, "apart"),
        "",
        "F1 of what is flagged:",
        "",
        titles,
        *against_peer(rows, "f1"),
        "",
        "## Accuracy on untouched rows, in points",
        "",
        "Asked: the worst 5 % get the label of a reviewer who is always right, or right in 95 %; at random: "
        "as many rows drawn blindly. Weighed: each row counts by the chance that its label is right, as in a "
        "turn, where the estimate's lower bound is above .02 and most of what is flagged is likelier wrong "
        "than right. Left out: the flagged rows that are more likely wrong than right, whether advised or "
        "not; advised: in how many draws `flag(...).prune` said so (lower bound above .15, and the same "
        "second condition). Estimate: its mean, and that of its lower bound. Nothing is ever relabelled "
        "without an answer.",
        "",
        "Where the model can tell (banking77, mnist), leaving out gains from 5 % on; where it cannot, it "
        "gains nothing (nsmc_ko) or loses half a point (hate_ko, at an estimate of .22): hence the second "
        "condition. The level is on the safe side: what is wrong by nature is not drawn by lot.",
        "",
        head("set", "wrong labels", "nothing, %", *WAYS, "estimate, bound", "advised"),
        *of_accuracy(rows),
        "",
        "## The estimated share of wrong labels",
        "",
        "± is the standard deviation over draws. Inside: draws whose 95 % interval holds the injected share; "
        "it is of sampling alone, and what a set holds by nature, or a model gets wrong where it is surest, "
        "is counted against it. Along: the share that is seen to follow pairs of classes. Right: out-of-fold "
        "accuracy against the true classes.",
        "",
        "| set | injected | right | estimate | bias | inside | cleanlab's joint | along |",
        "|---|---|---|---|---|---|---|---|",
        *of_noise(rows),
        "",
        "## Pictures that people checked",
        "",
        f"{checked['rows']} of the {checked['pictures']:,} pictures of mnist_label_errors were seen by "
        "five people "
        "or ten; the ranking is over all, by the probabilities that came with them (a network of 99.3 "
        "%), and "
        f"precision is counted among the checked ones. Estimate: {checked['rate']:.4f} (cleanlab's joint: "
        f"{checked['peer_rate']:.4f}).",
        "",
        "| wrong when | ranking | first 5 | first 10 | first 20 | average precision |",
        "|---|---|---|---|---|---|",
    ]
    for word in ("most say wrong", "at least half say wrong"):
        for name, values in checked[word].items():
            if name != "pictures":
                shown = " | ".join(f"{v:.2f}" for v in values)
                text.append(f"| {word} ({checked[word]['pictures']}) | {name} | {shown} |")
    text += [
        "",
        "## Ambiguous pairs",
        "",
        "As published, by the same probabilities: pairs named, mean (least to most) over draws, and the "
        "most "
        "frequent with the draws that named them.",
        "",
        "| set | pairs | named | the most frequent |",
        "|---|---|---|---|",
        *of_pairs(rows),
        "",
        "Planted: the three largest classes of banking77, and the largest of mnist, labelled at random "
        "as one of "
        "two classes.",
        "",
        "| set | planted | named | first in the list | others named a draw | border to relabel |",
        "|---|---|---|---|---|---|",
    ]
    for name in ("banking77", "mnist"):
        mine = [r for r in said["split"] if r["set"] == name]
        planted, named, first = (sum(r[k] for r in mine) for k in ("planted", "named", "first"))
        share = np.mean([v for r in mine for v in r["relabelled"]])
        others = np.mean([r["others"] for r in mine])
        text.append(f"| {name} | {planted} | {named} | {first} | {others:.1f} | {share:.2f} |")
    text += ["", "## Cost", "", "50,000 texts, 77 classes, one thread:", "", "| what | CPU-s |", "|---|---|"]
    text += [f"| {name} | {seconds:.2f} |" for name, seconds in said["costs"].items()]
    return "\n".join(text) + "\n"


def write(folder: Path = OUT) -> None:
    """The page of the figures in a folder, beside them."""
    said = json.loads((folder / "label_errors.json").read_text("utf-8"))
    (folder / "label_errors.md").write_text(page(said), "utf-8")


if __name__ == "__main__":
    write()
