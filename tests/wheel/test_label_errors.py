"""Wrong labels inside real turns: left out with a reason, judged anew each turn, the books kept."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from bapsim.core.recipe import Decision, Recipe
from bapsim.core.records import Draft, Rows
from bapsim.core.turn import Turn
from bapsim.judge.gate import Paired
from bapsim.refine.label_errors import label_errors
from bapsim.store.project import opened
from bapsim.wheel.audit import check
from bapsim.wheel.refining import stored_verdicts
from bapsim.wheel.stock import adds_up, exam_ids, load_stock
from tests.wheel.world import Clerk, History, bank, batch, founded, origin, sentence, turns, wrong

BAD = {sentence(i)[0] for i in range(5000, 5500) if i % 5 < 2}


@dataclass(frozen=True)
class Sheet:
    """Rows of which two in five have another label, in one turn."""

    n: int
    rows: int

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == self.n:
            at = list(range(5000, 5000 + self.rows))
            rows = batch(at, True)
            said = [wrong(i) if i % 5 < 2 else sentence(i)[1] for i in at]
            yield Draft(
                rows=Rows(rows.set_column(1, "intent", pa.array(said))), origin=origin("file", "sheet")
            )


@dataclass(frozen=True, kw_only=True)
class Welcome(Paired):
    """A gate that takes every candidate, so that each turn's survey asks another model."""

    def __call__(self, *args: Any) -> Decision:
        return replace(super().__call__(*args), verdict="accept")


def told(root: Path, recipe: Recipe) -> dict[str, Any]:
    """Last turn's verdict of the survey on each row of the sheet, by text."""
    found = {}
    with opened(root) as project:
        stock = load_stock(project, recipe.task)
        exam = stock.rows_with(exam_ids(project.ledger))
        start = 0
        for shard in stock.shards:
            said = stored_verdicts(project, shard)["labels"].to_pylist()
            for i, one in enumerate(said):
                found[stock.texts[start + i]] = one | {"exam": bool(exam[start + i])}
            start += shard.rows
    return found


def test_wrong_labels_are_left_out_and_do_not_come_back(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    sources = {"history": History(200, 40), "sheet": Sheet(2, 500), "clerk": Clerk()}
    unasked = replace(bank().questions, repair_share=0.0)  # nobody mends what is left out
    surveys = {"labels": label_errors(weigh=False)}
    recipe = bank(sources=sources, surveys=surveys, checks={}, gate=Welcome(), questions=unasked)
    outs, champions = [], []
    for n in (1, 2, 3, 4):
        (summary,) = turns(root, recipe, n)
        assert adds_up(summary["accounts"])
        said = told(root, recipe)
        assert not [text for text, one in said.items() if one["exam"] and one["keep"] is False]
        outs.append({text for text, one in said.items() if one["keep"] is False})
        assert summary["reasons"].get("label_error", 0) == len(outs[-1])
        champions.append(summary["opponent"])
    assert champions == ["majority", "t001-people", "t002-people", "t003-people"]
    assert not outs[0]
    assert len(outs[1]) > 120
    assert len(outs[1] & BAD) > 0.8 * len(outs[1])  # some others are wrong as well: so is this world
    for before, after in pairwise(outs[1:]):  # the second was trained without them, and judges them directly
        assert len(before & after) > 0.9 * len(before)
        assert len((before - after) & BAD) < 0.05 * len(before)
    with opened(root) as project:
        assert check(project, recipe)["ok"]
