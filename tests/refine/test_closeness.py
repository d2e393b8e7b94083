"""Novelty: copies and strangers are refused, the new is kept and not vouched for, broken generators go
whole.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.errors import RecipeError
from bapsim.core.records import Origin, Records, Task
from bapsim.core.turn import Turn
from bapsim.image.closest import Points
from bapsim.refine.closeness import band, closeness, left_out, pass_rates, sound_generators
from bapsim.testing import Table, check_check, records_of, turn_of
from tests.image.pictures import encoded

TASK = Task(input=("x", "y"), target="label", kind="table")


def rows(n: int, centre: float, label: str, seed: int = 0) -> list[dict]:
    rng = np.random.default_rng(seed)
    return [{"x": float(a), "y": float(b), "label": label} for a, b in rng.normal(centre, 1, (n, 2))]


def world(task: Task = TASK) -> Turn:
    return turn_of(task, records_of(rows(80, 0, "fine") + rows(30, 6, "rare", 1) + rows(3, 20, "odd", 2)))


def test_copies_and_strangers_are_refused_and_the_new_is_kept():
    turn, real = world(), rows(30, 6, "rare", 1)
    near = [{**r, "x": r["x"] + 1e-4} for r in real[:5]]
    flipped = [{**r, "label": "rare"} for r in rows(5, 0, "fine")]  # a person's row under another label
    fresh = rows(40, 6, "rare", 9)
    strange = [{"x": 500.0, "y": -500.0, "label": "rare"}, {"x": None, "y": None, "label": "rare"}]
    made = records_of(near + flipped + fresh + strange, maker="machine")
    said = closeness()(made, turn).to_pylist()
    assert [v["reason"] for v in said[:10]] == ["near_copy"] * 10
    assert [v["reason"] for v in said[50:]] == ["far_from_real"] * 2
    kept = [v["keep"] for v in said[10:50]]
    assert sum(kept) >= 30  # held-out rows of the same kind: a few are stragglers or lie on a real row
    for v in said:
        refused_for_distance = v["reason"] == "far_from_real"
        assert (
            (v["value"] > v["limit"])
            if refused_for_distance
            else (v["value"] <= v["limit"]) != bool(v["keep"])
        )


def test_it_abstains_where_it_cannot_judge_and_vouches_for_nothing():
    turn = world()
    few = records_of(rows(4, 20, "odd", 5) + rows(4, 20, "new", 5), maker="machine")
    assert closeness()(few, turn).column("keep").null_count == 8
    people = records_of(rows(4, 6, "rare", 1))
    assert closeness()(people, turn).column("keep").null_count == 4
    assert (
        closeness()(records_of(rows(4, 6, "rare", 1), maker="unknown"), turn).column("keep").null_count == 4
    )
    made = records_of(rows(4, 6, "rare", 7), maker="machine")
    assert closeness()(made, turn_of(TASK)).column("keep").null_count == 4
    text = Task(input="t", target="label")
    words = records_of([{"t": "a", "label": "b"}], maker="machine")
    assert (
        closeness()(words, turn_of(text, records_of([{"t": "a", "label": "b"}]))).column("keep").null_count
        == 1
    )
    assert closeness().verifies is False
    with pytest.raises(RecipeError):
        closeness(near=2, far=1)


def test_it_keeps_the_contract_of_checks():
    made = records_of(rows(20, 6, "rare", 9) + rows(3, 6, "rare", 1) + rows(3, 99, "fine"), maker="machine")
    check_check(closeness(), made, world())


def test_pictures_are_compared_by_pixels_and_rubbish_is_like_none():
    rng = np.random.default_rng(0)
    task = Task(input="image", target="label", kind="image")

    def picture(light: int) -> bytes:
        return encoded(np.clip(rng.normal(light, 20, (16, 16, 3)), 0, 255).astype(np.uint8))

    real = [{"image": picture(100), "label": "a"} for _ in range(12)]
    turn = turn_of(task, records_of(real))
    made = [{"image": picture(100), "label": "a"}, real[3], {"image": picture(250), "label": "a"}]
    said = closeness()(records_of([*made, {"image": b"rubbish", "label": "a"}], maker="machine"), turn)
    assert said.column("reason").to_pylist() == [None, "near_copy", "far_from_real", "far_from_real"]


def test_one_part_under_several_exposures_does_not_make_copies_usual():
    at = np.repeat(np.arange(10.0), 3)[:, None] + np.tile([0, 0.001, 0.002], 10)[:, None]
    real = Points(at, np.ones(30, bool))
    assert np.median(left_out(real, np.arange(30))) < 0.01
    assert np.median(left_out(real, np.repeat(np.arange(10), 3))) > 0.9
    assert band(np.array([1.0, 1.0, 3.0]), 0.15, 1.6).near == pytest.approx(0.15)


@dataclass(frozen=True, kw_only=True)
class Judged(Table):
    """A table of which some rows were refused before."""

    passed: np.ndarray = None

    def kept(self):
        yield self.passed


def test_a_generator_of_which_almost_nothing_passes_is_broken():
    def made(method: str) -> Origin:
        return Origin(source="s", input_maker="machine", target_maker="machine", method=method, rights="d")

    parts = [
        records_of(rows(n, 0, "fine", n), maker="machine", origin=o) for o, n in enumerate((40, 25, 10, 30))
    ]
    whole = Records(pa.concat_batches(parts))
    origins = {0: made("drawn:a"), 1: made("drawn:b"), 2: made("drawn:c")}
    origins[3] = replace(made("rows"), input_maker="person")
    passed = np.zeros(105, bool)
    passed[:7] = passed[40:50] = passed[65] = True
    data = Judged(name="all", parts=(whole,), passed=passed)
    turn = Turn(n=1, seed=0, task=TASK, origins=origins)
    (said,) = sound_generators()(data, turn)
    refused = [i for i, keep in enumerate(said.column("keep").to_pylist()) if keep is False]
    assert refused == list(
        range(7)
    )  # a: 7 of 40; b: 10 of 25; c: 1 of 10, too few to say; people's: nothing said
    assert said.column("keep").null_count == 98
    assert said.to_pylist()[0]["value"] == pytest.approx(0.175)
    assert {v["reason"] for v in said.to_pylist() if v["keep"] is False} == {"generator_broken"}
    makers = np.array([0, 0, 1, -1])
    assert pass_rates(makers, np.array([True, False, True, True])) == {0: (1, 2), 1: (1, 1)}
    empty = Judged(name="all", parts=(Records(whole.slice(0, 0)),), passed=np.zeros(0, bool))
    assert [len(v) for v in sound_generators()(empty, turn)] == [0]
