"""An order of rare rows in a wheel: trained, drawn, held against people's rows, and verified."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from bapsim.compose.plan import exam
from bapsim.core.errors import text
from bapsim.core.recipe import Recipe
from bapsim.core.records import Draft, Origin, Records, Rows, Task, Verdicts, verdicts
from bapsim.core.turn import Turn
from bapsim.gather.drawn import drawn_by
from bapsim.judge.exam import accuracy, per_item
from bapsim.judge.gate import paired
from bapsim.refine.closeness import closeness, sound_generators
from bapsim.report.fused import fused_tables
from bapsim.store.project import Project, opened
from bapsim.train.table import table_boosted
from bapsim.train.table_copula import table_copula
from bapsim.wheel.audit import check
from bapsim.wheel.quarantine import quarantined
from bapsim.wheel.setting_aside import put_aside, release
from bapsim.wheel.stock import load_stock
from bapsim.wheel.tainting import consumed
from bapsim.wheel.turn import run_turn
from tests.wheel.world import founded


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Measured parts, one of five with a crack: hotter and slower than the others."""

    count: int = 150

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n > 1:
            return
        rng = np.random.default_rng(3)
        bad = np.arange(self.count) % 5 == 0
        rows = pa.record_batch(
            {
                "heat": rng.normal(np.where(bad, 90, 60), 6).round(1),
                "turns": rng.normal(np.where(bad, 900, 1500), 80).round().astype(np.int64),
                "line": np.where(bad, rng.choice(["A", "B"], self.count), "A").tolist(),
                "defect": np.where(bad, "crack", "none").tolist(),
            }
        )
        made = Origin(source="", input_maker="person", target_maker="person", method="file", rights="own")
        yield Draft(rows=Rows(rows), origin=made, keys=[str(i) for i in range(self.count)])


@dataclass(frozen=True, kw_only=True)
class Hot:
    """A verifier that knows what a crack is."""

    verifies: ClassVar[bool] = True

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        return verdicts(np.asarray(records.column("heat")) > 75, "cold")


def recipe_of(**changes: object) -> Recipe:
    given = {
        "task": Task(input=("heat", "turns", "line"), target="defect", kind="table"),
        "sources": {"parts": Parts(), "order": drawn_by("drawer", only=("crack",), count=25)},
        "generators": {"drawer": table_copula()},
        "checks": {"hot": Hot(), "close": closeness()},
        "surveys": {"sound": sound_generators()},
        "train": table_boosted(trees=8, rounds=8),
        "judge": per_item(),
        "metric": accuracy,
        "gate": paired(),
        "exam": exam(30),
        "folds": 3,
    }
    return Recipe(**given | changes)


def made(project: Project, recipe: Recipe) -> list[Origin]:
    stock = load_stock(project, recipe.task)
    numbers = np.asarray(stock.records.column("_origin"))[stock.by_machine]
    return [stock.origins[int(n)] for n in numbers]


def test_an_order_is_filled_once_people_gave_rows_and_waits_for_a_verifiers_word(tmp_path: Path) -> None:
    recipe = recipe_of(checks={"close": closeness()})
    with opened(founded(tmp_path / "p")) as project:
        assert run_turn(project, recipe)["fused"] is None
        assert made(project, recipe) == []  # there was nothing to learn from yet
        second = run_turn(project, recipe)
        fused, drawn = second["fused"], made(project, recipe)
        assert (fused["reason"], fused["refused"], fused["buy"]) == ("collapse.none_passed", 25, True)
        (page,) = fused_tables({"fused": fused}, "en")
        assert page["notes"] == [text("fused.buy", "en")]
        assert len(drawn) == 25
        assert {(o.source, o.method.split(":")[1], o.batch[:6]) for o in drawn} == {
            ("order", "drawer", "drawer")
        }
        reasons = second["reasons"]
        told = {name: reasons.get(name, 0) for name in ("near_copy", "far_from_real", "unverified")}
        assert sum(told.values()) == 25  # what is new was not vouched for: nothing entered
        assert told["unverified"] >= 15
        run_turn(project, recipe)
        assert len(made(project, recipe)) == 25  # the same generator, the same order
        assert check(project, recipe)["ok"]


def test_what_a_verifier_vouches_for_is_pending(tmp_path: Path) -> None:
    recipe = recipe_of()
    with opened(founded(tmp_path / "p")) as project:
        run_turn(project, recipe)
        told = run_turn(project, recipe)
        assert told["accounts"]["pending"] >= 15
        assert told["reasons"].get("unverified", 0) == 0
        assert check(project, recipe)["ok"]
        quarantined_by_name(project, recipe)


def quarantined_by_name(project: Project, recipe: Recipe) -> None:
    """A generator, a version of it, and a row that it learnt from."""
    stock = load_stock(project, recipe.task)
    (version,) = [row["version"] for row in project.ledger.rows("select version from generator")]
    ate = next(i.hex() for i in stock.place if version in consumed(project, {i}))
    said = put_aside(project, recipe, ate, "measured wrong")
    assert said["generators"] == [{"version": version, "rows": 1, "drawn": 25}]
    release(project, recipe, ate[:12], "right")
    for name, kinds in (("drawer", ["generator"]), (version, ["batch"])):
        said = put_aside(project, recipe, name, "its columns were swapped")
        assert (said["kinds"], said["rows"]) == (kinds, 25)
        rows = quarantined(project.ledger, stock)
        assert rows.tolist() == stock.by_machine.tolist()
        assert check(project, recipe)["ok"]
        release(project, recipe, name, "mended")
    assert not quarantined(project.ledger, stock).any()
