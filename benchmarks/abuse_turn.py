"""What a wheel does with malformed files: gathered twice, judged row by row, and every line accounted for.

    OMP_NUM_THREADS=1 python benchmarks/abuse_turn.py [--count 400] [--seed 7]

The cases of abuse.py, each in a process of its own, through a real project: sources, certificates, checks,
surveys, verdict files, ledger. Afterwards the accounts must add up and the audit chain must hold. Training is
left out: it sees only rows that came this far. Writes docs/results/abuse_turn.md.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from abuse import Case, apart, cases
from bapsim.compose.plan import exam
from bapsim.core.errors import messages
from bapsim.core.recipe import Recipe, Source
from bapsim.core.records import Task
from bapsim.judge.exam import accuracy, per_item
from bapsim.judge.gate import paired
from bapsim.refine.duplicates import exact_duplicates, near_duplicates
from bapsim.refine.schema import schema
from bapsim.store.project import opened
from bapsim.train.text import text_linear
from bapsim.wheel.audit import recount
from bapsim.wheel.gathering import gather
from bapsim.wheel.refining import refine, write_opinions
from bapsim.wheel.state import begin
from bapsim.wheel.stock import adds_up, load_stock

OUT = Path(__file__).parent.parent / "docs" / "results" / "abuse_turn.md"


def through_wheel(case: Case, inbox: Path) -> tuple[int, Counter[str]]:
    """Rows that became records, and unread lines by reason; asserts what must hold."""
    recipe, root = recipe_of(case.source(case.name)), inbox.parent
    (root / "recipe.py").write_text("# a value\n")
    with opened(root) as project:
        turn = begin(project, recipe)
        first = gather(project, dict(recipe.sources), turn)
        assert gather(project, dict(recipe.sources), turn) == first
        stock = load_stock(project, recipe.task)
        assert len(stock) == sum(first.values())
        nobody = np.zeros(len(stock), bool)
        opinions = refine(project, recipe, turn, stock, nobody, nobody)
        write_opinions(project, opinions, turn.n)
        counts = recount(project, recipe)
        assert adds_up(counts), counts
        assert project.ledger.verify() == []
        rows = project.ledger.rows("select reason, count(*) as n from unread group by reason")
        return len(stock), Counter({row["reason"]: row["n"] for row in rows})


def recipe_of(source: Source) -> Recipe:
    """A recipe over one source, with the checks and surveys that `bapsim new` writes."""
    return Recipe(
        task=Task(input="text", target="label"),
        sources={"data": source},
        checks={"schema": schema()},
        surveys={"copies": exact_duplicates(), "near": near_duplicates()},
        train=text_linear(),
        judge=per_item(),
        metric=accuracy,
        gate=paired(),
        exam=exam(),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    messages()
    found = [(case, apart(case, through_wheel)) for case in cases(args.count, args.seed)]
    wrong = [(case, one) for case, one in found if one.wrong]
    errors = sum(one.said.startswith("error") for _, one in found)
    rows, unread = (
        sum(one.rows for _, one in found),
        sum(sum(one.unread.values()) for _, one in found),
    )
    lines = [
        "# Malformed files through a wheel",
        "",
        f"`python benchmarks/abuse_turn.py --count {args.count} --seed {args.seed}`: {len(found):,} "
        f"malformed inputs, **{len(wrong)} failures**. {errors:,} gave a clear error, the "
        f"others {rows:,} records and {unread:,} unread lines; all accounts added up.",
        "",
        *(f"- FAILURE {case.kind} {case.name[:80]!r}: {one.wrong[-900:]}" for case, one in wrong),
    ]
    OUT.write_text("\n".join(lines).rstrip() + "\n", "utf-8")
    print(OUT.read_text("utf-8"))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
