"""Labels are taken where a model of people's rows agrees surely enough, as measured out of fold."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from bapsim.core.errors import RecipeError
from bapsim.core.records import Numbering, Origin, Rows, Task, certify, derive
from bapsim.refine.agrees import _folds, _stock, agrees, threshold
from bapsim.refine.mutation import admits, bounds
from bapsim.testing import dataset_of, records_of, turn_of
from bapsim.train.text import text_linear

TURN = turn_of(Task(input="text", target="label"))
FRUIT = ("red apple", "ripe pear", "sweet plum", "fresh grape")
TOOLS = ("steel hammer", "long saw", "old drill", "small wrench")


def rows(count: int, wrong: int = 0, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    found = []
    for n in range(count):
        label = ("fruit", "tool")[n % 2]
        words = " ".join(rng.choice((FRUIT, TOOLS)[n % 2], 3))
        said = label if n >= wrong else ("tool", "fruit")[n % 2]
        found.append({"text": f"{words} number {rng.integers(10**6)} {rng.integers(10**6)}", "label": said})
    return found


def asked(people: int, machine: list[dict[str, Any]]) -> tuple[list[Any], list[Any], Any, Any]:
    data = dataset_of(records_of(rows(people)), records_of(machine, maker="machine", origin=1))
    one, two = list(agrees(text_linear())(data, TURN))
    assert one.column("keep").null_count == people
    return two.column("keep").to_pylist(), two.column("reason").to_pylist(), two.column("value"), data


def test_a_wrong_label_is_refused_and_a_right_one_kept() -> None:
    keep, reason, value, data = asked(300, rows(20, wrong=10, seed=1))
    assert keep == [False] * 10 + [True] * 10
    assert reason == ["not_agreed"] * 10 + [None] * 10
    assert max(value.to_pylist()[:10]) < 0.5 < min(value.to_pylist()[10:])
    assert admits(agrees(text_linear()).mutated(data, TURN))


def test_with_few_rows_of_people_it_only_ranks() -> None:
    keep, _, value, data = asked(100, rows(20, wrong=10, seed=1))
    assert keep == [None] * 20
    assert max(value.to_pylist()[:10]) < 0.5 < min(value.to_pylist()[10:])
    assert not admits(agrees(text_linear()).mutated(data, TURN))


def test_with_next_to_none_it_says_nothing() -> None:
    keep, _, value, data = asked(4, rows(6, seed=1))
    assert keep == [None] * 6
    assert value.null_count == 6
    assert agrees(text_linear()).mutated(data, TURN).answers == 0
    assert list(agrees(text_linear())(dataset_of(), TURN)) == []


class Eaten:
    """Notes what it was trained on."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def __call__(self, parent: Any, mixture: Any, seed: int) -> Any:
        self.seen |= set(mixture.records.column("_origin").to_pylist())
        assert parent is None
        return text_linear()(None, mixture, seed)


def test_no_machine_s_row_is_ever_learnt_from() -> None:
    train = Eaten()
    machine = records_of(rows(300, wrong=300, seed=2), maker="machine", origin=1)
    unknown = records_of(rows(300, wrong=300, seed=3), maker="unknown", origin=2)
    survey = agrees(train)
    said = list(survey(dataset_of(records_of(rows(300)), machine, unknown), TURN))
    assert train.seen == {0}
    assert said[1].column("keep").to_pylist() == [False] * 300
    assert said[2].column("keep").null_count == 300


def test_a_model_that_learnt_the_parent_is_not_asked() -> None:
    """A machine wrote a tool of each fruit's row and kept the label: who knows the parent by heart agrees."""
    people = rows(300)
    for n, one in enumerate(people):
        one["text"] += f" code{n} mark{n} sign{n} tag{n}"
    parents = records_of(people)
    changed = [
        {"text": one["text"].replace("apple", "steel hammer"), "label": "fruit"} for one in people[::2]
    ]
    origin = Origin(
        source="made", input_maker="machine", target_maker="person", method="rephrase:1", rights="own"
    )
    batch = Rows(pa.RecordBatch.from_pylist(changed))
    at = [[2 * i] for i in range(len(changed))]
    draft = derive(parents, at, batch, changed=frozenset({"input"}), origin=origin)
    machine = certify(draft, secret=b"k", origin=1, numbering=Numbering())
    folds = _folds(_stock(dataset_of(parents, machine), TURN), TURN)
    assert (folds[:300:2] == folds[300:]).all()
    assert len(set(folds.tolist())) == 5


def test_labels_that_cannot_be_told_are_not_vouched_for() -> None:
    rng = np.random.default_rng(0)
    noise = [{"text": f"{rng.integers(10**9)} x", "label": str(rng.integers(2))} for _ in range(400)]
    machine = records_of(noise[:50], maker="machine", origin=1)
    kept = list(agrees(text_linear())(dataset_of(records_of(noise), machine), TURN))[1].column("keep")
    assert sum(one is True for one in kept.to_pylist()) <= 2


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=400), st.sampled_from([0.02, 0.1, 0.3]))
def test_the_threshold_keeps_its_bound_and_is_the_least(
    pairs: list[tuple[bool, float]], limit: float
) -> None:
    passes, sure = np.array([p[0] for p in pairs], bool), np.array([p[1] for p in pairs])
    tau = threshold(passes, sure, limit)
    if tau is None:
        assert bounds(0, len(pairs))[1] > limit or (sure[passes] >= 1).any()
        return
    assert bounds(int((passes & (sure >= tau)).sum()), len(pairs))[1] <= limit
    below = sure[passes & (sure < tau)]
    if len(below):
        more = int((passes & (sure >= below.max())).sum())
        assert bounds(more, len(pairs))[1] > limit


def test_the_level_holds_although_many_thresholds_are_looked_at() -> None:
    """1,000 draws from a model that is wrong with .2, less when it is sure: the true rate is above the limit
    in at most 5 % of them, and sampling noise."""
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(1000):
        sure = rng.random(300)
        tau = threshold(rng.random(300) < 0.4 * (1 - sure) ** 2, sure, 0.05)
        true = 0.4 * (1 - (1 if tau is None else tau)) ** 3 / 3
        missed += true > 0.05
    assert missed <= binom.ppf(0.99, 1000, 0.05)


def test_a_limit_is_a_share() -> None:
    with pytest.raises(RecipeError, match="limit=0"):
        agrees(text_linear(), limit=0)


@pytest.mark.data
def test_reviews(data: Path) -> None:
    """Labels of reviews, four in ten wrong: what is kept is right more often than the limit asks."""
    with gzip.open(data / "nsmc_ko/train.jsonl.gz", "rt", encoding="utf-8") as lines:
        some = [json.loads(line) for _, line in zip(range(2600), lines, strict=False)]
    made = [{"text": one["text"], "label": str(one["label"])} for one in some if one["label"] is not None]
    rng = np.random.default_rng(0)
    machine = [dict(one) for one in made[1200:]]
    flipped = rng.random(len(machine)) < 0.4
    for one, wrong in zip(machine, flipped, strict=True):
        one["label"] = {"0": "1", "1": "0"}[one["label"]] if wrong else one["label"]
    world = dataset_of(records_of(made[:1200]), records_of(machine, maker="machine", origin=1))
    kept = np.array(
        list(agrees(text_linear(), limit=0.05)(world, TURN))[1].column("keep").to_pylist(), object
    )
    taken = kept == True  # noqa: E712  an object array
    assert taken.sum() > 40
    assert flipped[taken].mean() < 0.1
