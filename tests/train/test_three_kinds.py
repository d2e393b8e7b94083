"""Sets and numbers of texts and of tables: contracts, calibration, intervals, repeatability, safe loading."""

import csv
import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.errors import Damaged
from bapsim.core.recipe import Mixture
from bapsim.core.records import Records, Rows, Task
from bapsim.store import artifacts
from bapsim.testing import check_trainer
from bapsim.text.targets import joined, memberships
from bapsim.train import multilabel, number
from bapsim.train.multilabel import Platt, answer_sets, decided, probabilities, sureness
from bapsim.train.number import Reading, answer_numbers, conformal, fit, medians, read, tamed, widths
from bapsim.train.table import table_boosted
from bapsim.train.table_number import blend_weights, disagreement
from bapsim.train.text import text_linear

SMALL = table_boosted(trees=6, rounds=6)
TRAINERS = {"text": text_linear(), "table": SMALL}
WORDS = {"card": "card lost 카드 분실", "money": "money back 환불 돈", "login": "login code 로그인 암호"}


def rows(n, seed=0):
    """Requests about any of three topics, in words and in columns, and how long each takes."""
    rng = np.random.default_rng(seed)
    about = rng.random((n, 3)) < [0.5, 0.4, 0.1]
    texts, names = [], list(WORDS)
    for i in range(n):
        said = [w for j in np.flatnonzero(about[i]) for w in rng.choice(WORDS[names[j]].split(), 2)]
        texts.append(
            " ".join(rng.permutation([*said, *rng.choice(["please", "확인", "now", "오늘", "hello"], 2)]))
        )
    hours = 10 + about @ [5.0, 1.0, 20.0] + rng.normal(0, 1, n)
    slips = rng.random((n, 3)) < 0.04
    sets = [joined(names[j] for j in np.flatnonzero(row)) for row in about ^ slips]
    columns = {f"is {name}": about[:, j] + rng.normal(0, 0.3, n) for j, name in enumerate(names)}
    columns |= {"noise": rng.normal(size=n)}
    return pa.RecordBatch.from_pydict(
        {
            "text": pa.array(texts),
            **{k: pa.array(v, mask=rng.random(n) < 0.03) for k, v in columns.items()},
            "desk": pa.array(np.where(about[:, 2], "safe", rng.choice(["a", "b"], n))),
            "sets": pa.array(sets),
            "hours": pa.array(hours),
        }
    )


def mixture(kind, answer, n=240, seed=0, weight=None, batch=None):
    target = "sets" if answer == "labels" else "hours"
    columns = ("is card", "is money", "is login", "noise", "desk")
    task = Task(input="text" if kind == "text" else columns, target=target, kind=kind, answer=answer)
    records = Records(rows(n, seed) if batch is None else batch)
    return Mixture(task=task, records=records, weight=weight)


BOTH = pytest.mark.parametrize("kind", ["text", "table"])
ANSWERS = pytest.mark.parametrize("answer", ["labels", "number"])


@BOTH
@ANSWERS
def test_the_contract_of_a_trainer_holds(kind, answer):
    weight = np.float32(np.random.default_rng(1).integers(0, 3, 60))
    check_trainer(TRAINERS[kind], mixture(kind, answer, 60, weight=weight))


@BOTH
@ANSWERS
def test_answers_out_of_fold_are_one_a_row_and_null_where_nobody_was_asked(kind, answer):
    folds = (np.arange(240) % 4).astype(np.int8)
    folds[:20] = -1
    found = TRAINERS[kind].crossfit(None, mixture(kind, answer), folds, 0)
    assert found.answers["prediction"].null_count == 20
    assert found.answers["_status"].to_pylist()[:20] == [None] * 20
    none = TRAINERS[kind].crossfit(None, mixture(kind, answer), np.full(240, -1, np.int8), 0)
    assert none.answers["prediction"].null_count == 240
    assert len(none.model(Rows(rows(5)))) == 5, "without held-out rows the constants are guesses"
    assert len(none.model(Rows(rows(0)))) == 0


@BOTH
def test_sets_are_found_and_sure_where_they_are_right(kind):
    folds = (np.arange(400) % 4).astype(np.int8)
    whole = mixture(kind, "labels", 400)
    found = TRAINERS[kind].crossfit(None, whole, folds, 0)
    gold = whole.records["sets"].to_pylist()
    right = np.array([a == b for a, b in zip(found.answers["prediction"].to_pylist(), gold, strict=True)])
    sure = np.asarray(found.answers["confidence"])
    assert right.mean() > 0.7
    assert abs(sure.mean() - right.mean()) < 0.06
    assert sure[right].mean() > sure[~right].mean()
    probs = np.asarray(found.answers["probs"].flatten()).reshape(400, 3)
    there = memberships(gold, found.model.classes)
    assert np.abs(probs.mean(axis=0) - there.mean(axis=0)).max() < 0.03
    child = TRAINERS[kind](found.model, whole, 1)
    assert child.calibration is found.model.calibration, "a child keeps its parent's constants"
    other = mixture(kind, "labels", batch=whole.records.filter(pa.array(~there[:, 1])))
    assert TRAINERS[kind](found.model, other, 1).calibration is not found.model.calibration


@BOTH
def test_four_of_five_new_numbers_lie_in_their_interval(kind):
    folds = (np.arange(600) % 5).astype(np.int8)
    found = TRAINERS[kind].crossfit(None, mixture(kind, "number", 600), folds, 0)
    new = rows(600, seed=9)
    said = found.model(Rows(new))
    low, value, high, gold = (
        np.asarray(c) for c in (said["low"], said["prediction"], said["high"], new["hours"])
    )
    assert 0.74 < ((low <= gold) & (gold <= high)).mean() < 0.86
    assert np.abs(value - gold).mean() < 0.6 * np.abs(np.median(gold) - gold).mean()
    assert (low <= value).all()
    assert (value <= high).all()
    assert found.model.classes == ()


@BOTH
@ANSWERS
def test_a_model_that_was_tampered_with_is_refused(kind, answer, tmp_path):
    model = TRAINERS[kind](None, mixture(kind, answer, 80), 0)
    artifacts.save(tmp_path / "m", model.save)
    said = json.loads((tmp_path / "m/model.json").read_text("utf-8"))
    if kind == "table":
        shutil.copy(tmp_path / "m/scope.npz", tmp_path / "outside.skops")
        said["members"] = ["../outside"]
        (tmp_path / "m/model.json").write_text(json.dumps(said), "utf-8")
        assert artifacts.load(tmp_path / "m").fitted.members == {}, "a member lies in the model's folder"
        member = next((tmp_path / "m").glob("*.skops"))
        said["members"] = [member.stem]
        (tmp_path / "m/model.json").write_text(json.dumps(said), "utf-8")
        member.write_bytes(b"no archive")
    else:
        said["calibration"]["low"] = -5.0
        if answer == "labels":
            said["prior"] = [0.5] * 3
        else:
            said["median"] = 0.0
        (tmp_path / "m/model.json").write_text(json.dumps(said), "utf-8")
    with pytest.raises(Damaged):
        artifacts.load(tmp_path / "m")


# --- sets: arrays in, arrays out


def test_every_set_has_a_label_where_every_row_has_one():
    probs = np.array([[0.2, 0.4], [0.6, 0.9]])
    assert decided(probs, 0).tolist() == [[0, 0], [1, 1]]
    assert decided(probs, 1).tolist() == [[0, 1], [1, 1]]
    assert decided(np.zeros((2, 0)), 1).shape == (2, 0)
    answers = answer_sets(("a", "b"), probs, np.ones(2), Platt(slopes=(1, 1), shifts=(0, 0), least=1))
    assert answers["prediction"].to_pylist() == ["b", "a; b"]
    assert answers["confidence"].to_pylist() == pytest.approx([0.8 * 0.4, 0.6 * 0.9])


def test_slopes_are_recovered_and_rare_labels_stay_sane():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4000, 3))
    truth = Platt(slopes=(1.0, 4.0, 2.0), shifts=(0.0, -1.0, 1.0))
    there = rng.random((4000, 3)) < probabilities(scores, truth)
    there[:, 2] = False
    there[:3, 2] = True
    found = multilabel.calibrate(scores, there, np.ones(4000), 0)
    assert found.slopes[:2] == pytest.approx(truth.slopes[:2], rel=0.15)
    assert probabilities(scores, found)[:, 2].mean() < 0.005
    sure = sureness(probabilities(scores, found), decided(probabilities(scores, found), 0), found.power)
    right = (decided(probabilities(scores, found), 0) == there).all(axis=1)
    assert abs(sure.mean() - right.mean()) < 0.02
    assert multilabel.calibrate(scores[:0], there[:0], np.ones(0), 1).least == 1


# --- numbers: arrays in, arrays out


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 400))
def test_an_interval_holds_four_of_five_of_the_rows_it_was_made_from(seed, n):
    rng = np.random.default_rng(seed)
    hard = rng.integers(0, 3, n).astype(float)
    error = np.abs(rng.normal(0, 1 + hard))
    where, half = widths(hard, error)
    assert (np.diff(where) > 0).all()
    assert (np.diff(half) >= 0).all()
    if n < 2 * number.FEWEST:
        assert (error <= half[0]).mean() >= 0.8
    assert conformal(error) == np.sort(error)[min(int(np.ceil(0.8 * (n + 1))), n) - 1]


def test_a_map_to_the_median_is_taken_where_it_is_surely_nearer():
    rng = np.random.default_rng(0)
    score = rng.uniform(0, 1, 2000)
    stars = np.where(rng.random(2000) < score, 10.0, 1.0)
    mapped = fit(1 + 9 * score, np.zeros(2000), stars, 1.0, 10.0)
    assert mapped.scores, "the mean of one and ten is nobody's rating"
    value, _, _ = read(np.array([2.0, 9.0]), np.zeros(2), mapped)
    assert value.tolist() == [1.0, 10.0]
    plain = fit(score, np.zeros(2000), score + rng.normal(0, 0.1, 2000), 0.0, 1.0)
    assert not plain.scores
    assert not fit(score[:100], np.zeros(100), stars[:100], 1.0, 10.0).scores, "too few rows for a map"
    at, to = medians(score, stars)
    assert (np.diff(to) >= 0).all()
    assert len(at) == 30


def test_answers_stay_within_what_training_saw():
    constants = Reading(least=0.0, most=10.0, difficulties=(0.0, 1.0), halves=(1.0, 3.0))
    said = answer_numbers(np.array([-5.0, 5.0, 50.0]), np.array([0.0, 0.5, 9.0]), np.ones(3), constants)
    assert said["prediction"].to_pylist() == [0.0, 5.0, 10.0]
    assert said["low"].to_pylist() == [0.0, 3.0, 7.0]
    assert said["high"].to_pylist() == [1.0, 7.0, 10.0]
    assert fit(np.zeros(0), np.zeros(0), np.zeros(0), 2.0, 5.0).halves == (3.0,)


def test_a_slip_of_the_finger_bends_no_model():
    value = np.r_[np.arange(100.0), 5e7]
    assert tamed(value)[:100].tolist() == value[:100].tolist()
    assert tamed(value)[100] < 1e4
    assert tamed(np.array([1.0, 1.0, 1.0, 9.0])).tolist() == [1, 1, 1, 9], "no spread to go by"
    slipped = rows(300)
    hours = np.asarray(slipped["hours"]).copy()
    hours[7] *= 1e6
    slipped = slipped.set_column(slipped.schema.names.index("hours"), "hours", pa.array(hours))
    new = rows(200, seed=5)
    for kind in ("text", "table"):
        model = TRAINERS[kind](None, mixture(kind, "number", batch=slipped), 0)
        off = np.abs(np.asarray(model(Rows(new))["prediction"]) - np.asarray(new["hours"]))
        assert np.median(off) < 5, "a thousand times more without"


def test_members_share_by_what_they_get_wrong():
    rng = np.random.default_rng(0)
    value = rng.normal(size=500)
    member = np.stack([value + rng.normal(0, s, 500) for s in (0.2, 2.0, 5.0)] + [np.zeros(500)])
    share = blend_weights(member, value, np.ones(500))
    assert share.sum() == pytest.approx(1)
    assert share[0] > 0.9
    few = blend_weights(member[:, :3], value[:3], np.ones(3))
    assert few[:3].min() > 0.2, "three rows decide little"
    spread = disagreement(member, share)
    assert spread.shape == (500,)
    assert (spread >= 0).all()
    assert np.allclose(disagreement(member[:1], [1.0]), 0)


# --- real data


def test_failure_modes_of_real_machines_are_told_apart(data: Path) -> None:
    with gzip.open(data / "ai4i2020/ai4i.csv.gz", "rt") as file:
        machines = list(csv.DictReader(file))
    names = [c for c in machines[0] if c.endswith("]")]
    modes = ["TWF", "HDF", "PWF", "OSF"]
    failed = [m for m in machines if any(m[c] == "1" for c in modes)]
    some = failed + [m for m in machines if m["Machine failure"] == "0"][:250]
    order = np.random.default_rng(0).permutation(len(some))
    sets = [joined(c for c in modes if some[i][c] == "1") for i in order]
    columns = {c: pa.array([float(some[i][c]) for i in order]) for c in names}
    batch = pa.RecordBatch.from_pydict({**columns, "sets": pa.array(sets)})
    task = Task(input=tuple(names), target="sets", kind="table", answer="labels")
    folds = (np.arange(len(some)) % 3).astype(np.int8)
    found = table_boosted(trees=20, rounds=15).crossfit(
        None, Mixture(task=task, records=Records(batch)), folds, 0
    )
    right = np.mean([a == b for a, b in zip(found.answers["prediction"].to_pylist(), sets, strict=True)])
    assert right > 0.8, "the commonest set is right in two of three"
    assert any(";" in s for s in found.answers["prediction"].to_pylist()), "two failures at once are seen"


def test_ratings_of_real_reviews_are_nearer_than_the_median(data: Path) -> None:
    with gzip.open(data / "nsmc_ko/train.jsonl.gz", "rt", encoding="utf-8") as file:
        reviews = [json.loads(next(file)) for _ in range(2500)]
    reviews = [r for r in reviews if r["text"]]
    batch = pa.RecordBatch.from_pydict(
        {"text": [r["text"] for r in reviews], "rating": [float(r["rating"]) for r in reviews]}
    )
    task = Task(input="text", target="rating", answer="number")
    folds = (np.arange(len(reviews)) % 3).astype(np.int8)
    found = text_linear(cost=1.0).crossfit(None, Mixture(task=task, records=Records(batch)), folds, 0)
    gold = np.asarray(batch["rating"])
    off = np.abs(np.asarray(found.answers["prediction"]) - gold).mean()
    assert off < 0.9 * np.abs(np.median(gold) - gold).mean()
    inside = (np.asarray(found.answers["low"]) <= gold) & (gold <= np.asarray(found.answers["high"]))
    assert 0.77 < inside.mean() < 0.85
