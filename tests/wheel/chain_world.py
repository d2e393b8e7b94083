"""A bank whose rows machines write anew, turn by turn: chains of records with parents."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.compose.plan import exam
from bapsim.core.arrow import take
from bapsim.core.recipe import Recipe
from bapsim.core.records import Draft, Rows, derive, rows_of
from bapsim.core.turn import Turn
from bapsim.store.project import opened
from bapsim.wheel.turn import run_turn
from tests.wheel.world import Part, Shorter, Vouches, bank, founded, origin


@dataclass(frozen=True, kw_only=True)
class Echo:
    """Each turn two rows more of each row of the turn before that is not refused; first of `of` rows."""

    of: int = 12
    upto: int = 3
    heedless: bool = False  # writes on from refused rows, too

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if not 2 <= turn.n <= self.upto:
            return
        for view in turn.data.values():
            for part, kept in zip(view.batches(["text", "intent"]), view.kept(), strict=True):
                deep = np.array(
                    [depth == turn.n - 2 for depth in part.column("_input_depth").to_pylist()], bool
                )
                at = np.flatnonzero(deep & (kept | self.heedless))[
                    : self.of if turn.n == 2 else None
                ].tolist()
                if at:
                    yield self._made(turn, part, at)

    def _made(self, turn: Turn, part: Any, at: list[int]) -> Draft:
        of = [[i] for i in at for _ in range(2)]
        said = [f"{part.column('text')[i].as_py()} {turn.n}{k}" for i in at for k in range(2)]
        rows = rows_of(take(part, np.array(of)[:, 0]), ["text", "intent"])
        made = replace(origin("echo", "echo"), input_maker="machine", target_maker="machine", batch="echo-v1")
        new = Rows(rows.set_column(0, "text", pa.array(said)))
        return derive(part, of, new, changed=frozenset({"input"}), origin=made)


def chained(**changes: Any) -> Recipe:
    given = {
        "sources": {"base": Part(0, 90), "echo": Echo()},
        "questions": None,
        "checks": {"short": Shorter(90), "vouch": Vouches()},
        "exam": exam(20, near=0.95),
    }
    return bank(**given | changes)


def run(root: Path, recipe: Recipe, turns: int) -> None:
    with opened(founded(root)) as project:
        for _ in range(turns):
            run_turn(project, recipe)


def three_turns(base: Path) -> Path:
    """A wheel of three turns in a folder of tests: made once, never written to."""
    root = base / "chain_world"
    if not root.exists():
        run(root, chained(), 3)
        recipe = "from tests.wheel.chain_world import chained\n\nrecipe = chained()\n"
        (root / "recipe.py").write_text(recipe)
    return root


def copied(root: Path, place: Path) -> Path:
    shutil.copytree(root, place)
    return place
