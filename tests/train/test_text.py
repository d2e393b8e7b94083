"""The text trainer on small made-up sets: what it promises, whatever the data."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.errors import Damaged, InputError, NotEnough
from bapsim.core.recipe import CrossFitting, Mixture, Model
from bapsim.core.records import Records, Rows, Task
from bapsim.store import artifacts
from bapsim.text import features
from bapsim.train import linear, text
from bapsim.train.text import Calibration, TextModel, text_linear

TOPICS = {
    "card": "my card has not arrived yet|where is the card i ordered|카드가 아직 안 왔어요|delivery is late",
    "money": "i want a refund for this payment|환불 해주세요 돈이 두 번 나갔어요|charged twice",
    "login": "cannot sign in to my account|forgot the password|로그인이 안 돼요 비밀번호|account is locked",
}


def rows(texts: Any, **more: Any) -> Rows:
    return Rows(pa.RecordBatch.from_pydict({"text": pa.array(list(texts), pa.string()), **more}))


def mixture(texts: Any, labels: Any, weight: Any = None, **task: Any) -> Mixture:
    given_ = rows(texts, label=pa.array([None if y is None else str(y) for y in labels], pa.string()))
    about = Task(**{"input": "text", "target": "label", **task})
    return Mixture(task=about, records=Records(given_), weight=None if weight is None else np.float32(weight))


def topics(n: int, seed: int = 0, noise: float = 0.0) -> tuple[list[str], list[str]]:
    """n requests: words of one topic mixed with common ones; a share of labels drawn at random."""
    rng, names = np.random.default_rng(seed), list(TOPICS)
    words = {k: v.replace("|", " ").split() for k, v in TOPICS.items()}
    common = [w for v in words.values() for w in v]
    texts, labels = [], []
    for _ in range(n):
        y = names[rng.integers(3)]
        said = [*rng.choice(words[y], 4), *rng.choice(common, 2)]
        texts.append(" ".join(said))
        labels.append(str(rng.choice(names)) if rng.random() < noise else y)
    return texts, labels


def probs(answers: Any) -> np.ndarray:
    return np.asarray(answers.column("probs").flatten(), np.float64).reshape(len(answers), -1)


def raw_scores(model: TextModel, texts: list[str]) -> np.ndarray:
    found, values = model.vectorise(texts)
    x = features.matrix(found, values, len(model.head.idf))
    return linear.score(x, model.head.weights, model.head.bias)


@pytest.fixture(scope="module")
def trained() -> TextModel:
    return text_linear()(None, mixture(*topics(300)), 0)


def test_it_learns_and_answers_like_a_model(trained):
    texts, labels = topics(300, seed=1)
    answers = trained(rows(texts))
    assert (
        np.mean([a == b for a, b in zip(answers.column("prediction").to_pylist(), labels, strict=True)]) > 0.9
    )
    assert answers.schema.names == ["prediction", "confidence", "in_scope", "probs", "_status"]
    assert trained.classes == ("card", "login", "money")
    p = probs(answers)
    assert np.allclose(p.sum(1), 1, atol=1e-5)
    assert p.min() > 0
    assert np.array_equal(p.max(1).astype(np.float32), answers.column("confidence").to_numpy())
    assert isinstance(trained, Model)
    assert isinstance(text_linear(), CrossFitting)


def test_texts_without_anything_known_get_the_prior(trained):
    answers = trained(rows([None, "", " \n\t", "\u05d0\u05d1", "x"]))
    assert np.allclose(probs(answers)[:4], trained.prior, atol=1e-7)
    assert answers.column("in_scope").to_pylist()[:4] == [0, 0, 0, 0]
    assert answers.column("_status").to_pylist() == ["answered"] * 5
    assert len(trained(rows([]))) == 0


def test_one_by_one_and_all_at_once_are_the_same_bits(trained):
    asked = rows([*topics(40, seed=2)[0], "", "카드!", "zzz"])
    whole = trained(asked)
    for i in range(len(asked)):
        assert trained(Rows(asked.slice(i, 1))).equals(whole.slice(i, 1))


def test_many_rows_are_answered_in_batches(trained, monkeypatch):
    asked = rows(topics(50, seed=6)[0])
    whole = trained(asked)
    monkeypatch.setattr(text, "BATCH", 7)
    assert trained(asked).equals(whole)


def test_saved_and_loaded_it_is_the_same_model(trained, tmp_path):
    asked = rows([*topics(60, seed=3)[0], None, "ＣＡＲＤ"])
    trained.save(tmp_path / "m")
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == (
        ["head.npz", "model.json", "spec.json", "vectors.json"]
    )
    for load in (text.load, artifacts.load):
        assert load(tmp_path / "m")(asked).equals(trained(asked))
    trained.save(tmp_path / "again")
    for path in (tmp_path / "m").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_no_training_text_leaves_with_a_model(tmp_path):
    secret = "주민번호 880101-1234567 qzjxk"
    texts, labels = topics(60)
    text_linear(min_df=1)(None, mixture([*texts, secret], [*labels, "card"]), 0).save(tmp_path)
    whole = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    for part in ("qzjxk", "880101", "주민번호"):
        assert part.encode() not in whole
        assert part.encode("utf-32-le") not in whole


def spoil_weights(folder: Path) -> None:
    with np.load(folder / "head.npz") as f:
        arrays = dict(f)
    arrays["weights"] *= 1.01
    np.savez(folder / "head.npz", **arrays)


def spoil_table(folder: Path) -> None:
    spec = json.loads((folder / "spec.json").read_text())
    (folder / "spec.json").write_text(json.dumps({**spec, "fold": "0" * 16}))


@pytest.mark.parametrize("spoil", [spoil_weights, spoil_table])
def test_a_model_that_answers_otherwise_is_not_loaded(trained, tmp_path, spoil):
    trained.save(tmp_path)
    spoil(tmp_path)
    with pytest.raises(Damaged, match="test vectors"):
        text.load(tmp_path)


PROGRAM = """
import hashlib, sys, numpy as np, pyarrow as pa
from tests.train.test_text import mixture, rows, topics
from bapsim.train.text import text_linear
model = text_linear()(None, mixture(*topics(200, noise=.2)), 0)
answers = model(rows(topics(100, seed=5)[0]))
print(hashlib.sha256(np.asarray(answers.column("probs").flatten()).tobytes()).hexdigest())
"""


def test_threads_and_hash_seeds_change_nothing():
    answers = model = text_linear()(None, mixture(*topics(200, noise=0.2)), 0)
    answers = model(rows(topics(100, seed=5)[0]))
    here = hashlib.sha256(np.asarray(answers.column("probs").flatten()).tobytes()).hexdigest()
    environment = {**os.environ, "PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", PROGRAM]
    there = subprocess.run(command, env=environment, cwd=root, check=True, capture_output=True, timeout=120)
    assert there.stdout.decode().strip() == here


# --- out of fold ----------------------------------------------------------------------------------


def test_out_of_fold_answers_never_saw_their_label():
    """Texts of one unique word each: only a leak could tell their labels."""
    rng = np.random.default_rng(0)
    texts, labels = [f"w{i}q{i * i}z" for i in range(400)], rng.choice(["a", "b"], 400)
    folds = (np.arange(400) % 5).astype(np.int8)
    found = text_linear(cost=3.0).crossfit(None, mixture(texts, labels), folds, 0)
    right = np.array(found.answers.column("prediction").to_pylist()) == labels
    assert abs(right.mean() - 0.5) < 0.1
    scores = raw_scores(found.model, texts)
    assert (np.array(["a", "b"])[scores.argmax(1)] == labels).mean() > 0.9  # while the head knows them all
    confidence = found.answers.column("confidence").to_numpy()
    assert confidence.mean() < 0.65


def test_a_fold_equals_a_training_without_it():
    """Vocabulary, idf and head of a fold come from its own training rows."""
    texts, labels = topics(200, noise=0.1)
    whole, spec = mixture(texts, labels), text_linear(cost=0.3)
    lesson = text.learn_from(whole, spec.setup)
    folds = (np.arange(200) % 4).astype(np.int8)
    out = linear.hold_out(lesson, folds, 0.3, spec.spec)
    assert (out.cost, out.fits) == (0.3, 4)
    kept = [i for i in range(200) if folds[i] != 1]
    alone = spec(None, mixture([texts[i] for i in kept], [labels[i] for i in kept]), 0)
    held = [t for t, k in zip(texts, folds, strict=True) if k == 1]
    assert np.allclose(raw_scores(alone, held), out.scores[folds == 1], atol=1e-5)
    assert np.allclose(alone.vectorise(held)[0].coverage, out.coverage[folds == 1])


def test_rows_that_are_never_held_out_have_no_answer():
    texts, labels = topics(90)
    folds = np.where(np.arange(90) < 30, -1, np.arange(90) % 3).astype(np.int8)
    found = text_linear().crossfit(None, mixture(texts, labels), folds, 0)
    assert 3 + 1 <= found.fits <= 3 + 1 + 4
    assert text_linear(cost=1.0).crossfit(None, mixture(texts, labels), folds, 0).fits == 4
    assert found.answers.column("_status").null_count == 30
    assert found.answers.column("prediction").to_pylist()[:30] == [None] * 30
    assert found.answers.column("probs").null_count == 30
    assert len(found.answers) == 90


def test_calibrated_out_of_fold_also_with_confused_labels():
    texts, labels = topics(1500, noise=0.3)
    model = text_linear()(None, mixture(texts, labels), 0)
    fresh, gold = topics(1500, seed=9, noise=0.3)
    answers = model(rows(fresh))
    right = np.array(answers.column("prediction").to_pylist()) == np.array(gold)
    confidence = answers.column("confidence").to_numpy()
    assert abs(right.mean() - confidence.mean()) < 0.04
    place = {c: i for i, c in enumerate(model.classes)}
    loss = -np.log(probs(answers)[np.arange(1500), [place[y] for y in gold]])
    assert np.isfinite(loss).all()
    assert loss.max() < 12
    assert loss.mean() < 0.75  # the frequencies alone lose 1.10, knowing the noise exactly .61


def test_in_scope_is_a_scale_of_held_out_rows(trained):
    texts, labels = topics(600, seed=4)
    found = text_linear().crossfit(None, mixture(texts, labels), (np.arange(600) % 5).astype(np.int8), 0)
    scope = found.answers.column("in_scope").to_numpy()
    assert (scope >= 0.5).mean() == pytest.approx(0.95, abs=0.01)
    assert np.median(scope) == pytest.approx(0.95, abs=0.01)
    strange = found.model(rows(["the weather on mount everest", "오늘 점심 뭐 먹지", "quantum physics"]))
    assert strange.column("in_scope").to_numpy().max() < 0.5


def test_a_sample_chooses_the_cost_of_many_rows(monkeypatch):
    whole, folds = mixture(*topics(400, noise=0.2)), (np.arange(400) % 4).astype(np.int8)
    found = text_linear().crossfit(None, whole, folds, 0)
    monkeypatch.setattr(linear, "SAMPLE", (100, 10_000))
    quick = text_linear().crossfit(None, whole, folds, 0)
    assert 4 + 1 + 2 <= quick.fits <= 4 + 1 + len(linear.COSTS)
    assert found.fits >= 4 + 1 + 1
    assert abs(np.log10(quick.model.calibration.cost / found.model.calibration.cost)) <= 1.1


@pytest.mark.parametrize("parent_seed", [0, 1])
def test_constants_of_a_parent_are_kept(parent_seed):
    parent = text_linear()(None, mixture(*topics(200, seed=parent_seed)), 0)
    child = text_linear()(parent, mixture(*topics(120, seed=7)), 0)
    assert child.calibration == parent.calibration
    assert child.head.weights.shape != parent.head.weights.shape


# --- weights and small sets -----------------------------------------------------------------------


def test_weights_count_rows():
    texts, labels = topics(60, noise=0.3)
    flipped = ["login" if y == "card" else y for y in labels]
    both = [*texts, *texts]
    light = [1.0] * 60 + [1e-6] * 60
    heavy = [1e-6] * 60 + [1.0] * 60
    asked, spec = rows(texts), text_linear(cost=1.0)
    first = spec(None, mixture(both, [*labels, *flipped], light), 0)(asked)
    second = spec(None, mixture(both, [*labels, *flipped], heavy), 0)(asked)
    assert "card" in first.column("prediction").to_pylist()
    assert "card" not in second.column("prediction").to_pylist()


def test_rows_of_no_weight_are_not_there():
    texts, labels = topics(80)
    zero = [1.0] * 80 + [0.0] * 20
    more, wrong = topics(20, seed=8)[0], ["card"] * 20
    with_zero = text_linear()(None, mixture([*texts, *more], [*labels, *wrong], zero), 0)
    assert np.allclose(with_zero.prior, text_linear()(None, mixture(texts, labels), 0).prior)
    plain = text_linear(cost=0.3)
    scores = [
        plain(None, m, 0).head.weights
        for m in (mixture(texts, labels), mixture([*texts, *more], [*labels, *wrong], zero))
    ]
    assert np.array_equal(*scores)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.text(max_size=12), st.sampled_from("abcd")), min_size=2, max_size=12),
    st.integers(2, 4),
)
def test_any_small_set_with_two_classes_trains(pairs, k):
    texts, labels = [t.encode("utf-8", "replace").decode() for t, _ in pairs], [y for _, y in pairs]
    folds = (np.arange(len(pairs)) % k - (len(pairs) > 9)).astype(np.int8)
    if len(set(labels)) < 2:
        with pytest.raises(NotEnough):
            text_linear().crossfit(None, mixture(texts, labels), folds, 0)
        return
    found = text_linear().crossfit(None, mixture(texts, labels), folds, 0)
    p = probs(found.model(rows(texts)))
    assert np.isfinite(p).all()
    assert p.min() > 0
    assert found.model.classes == tuple(sorted(set(labels)))


def test_what_cannot_be_trained_says_why():
    with pytest.raises(NotEnough, match="one class"):
        text_linear()(None, mixture(["a", "b"], ["x", "x"]), 0)
    with pytest.raises(NotEnough, match="one class"):
        text_linear()(None, mixture(["a", "b"], ["x", "y"], [1, 0]), 0)
    with pytest.raises(NotEnough):
        text_linear()(None, mixture([], []), 0)
    with pytest.raises(InputError, match="1 rows to train on have no 'label'"):
        text_linear()(None, mixture(["a", "b", "c"], ["x", "y", None]), 0)
    for bad in ([1, -1], [1, np.nan]):
        with pytest.raises(InputError, match="weight"):
            text_linear()(None, mixture(["a", "b"], ["x", "y"], bad), 0)
    with pytest.raises(InputError, match="Available: text, label"):
        text_linear()(None, mixture(["a", "b"], ["x", "y"], input="body"), 0)


def test_several_columns_are_one_text():
    texts, labels = topics(60)
    table = rows(
        texts, label=pa.array(labels), title=pa.array([y if i % 2 else None for i, y in enumerate(labels)])
    )
    task = Task(input=("text", "title"), target="label")
    model = text_linear()(None, Mixture(task=task, records=Records(table)), 0)
    asked = pa.RecordBatch.from_pydict(
        {"title": ["money", None], "text": pa.array([None, "card"], pa.string())}
    )
    assert model(Rows(asked)).column("prediction").to_pylist() == ["money", "card"]
    with pytest.raises(InputError, match="title"):
        model(rows(["a"]))


# --- pieces ---------------------------------------------------------------------------------------


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_evidence_never_turns_round_and_stays_finite(seed):
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(1, 60)), int(rng.integers(2, 5))
    y = rng.integers(0, k, n)
    scores = rng.normal(-0.5, 1, (n, k)) * rng.choice([0.01, 1, 30])
    scores[np.arange(n), y] += rng.choice([-3, 0, 3])
    prior = np.full(k, 1 / k)
    made = text.calibrate(scores, y, rng.uniform(0.1, 2, n), prior, rng.random(n), 1.0)
    assert made.slope >= 0.02
    assert made.slope + made.bend >= 0.02 - 1e-12
    assert 1e-4 <= made.floor <= 0.5
    assert made.middle > made.low
    p = text.probabilities(scores, np.ones(n, bool), prior, made)
    assert np.allclose(p.sum(1), 1)
    assert p.min() >= made.floor / k - 1e-15


def test_calibration_finds_the_slope_that_made_the_labels():
    rng = np.random.default_rng(3)
    scores = rng.normal(-0.5, 0.6, (20_000, 3))
    true = Calibration(cost=1, slope=4.0, bend=-1.5, shift=0.0, floor=0.05)
    prior = np.full(3, 1 / 3)
    p = text.probabilities(scores, np.ones(len(scores), bool), prior, true)
    y = (p.cumsum(1) > rng.random((len(scores), 1))).argmax(1)
    made = text.calibrate(scores, y, np.ones(len(y)), prior, np.ones(len(y)), 1.0)
    fitted = text.probabilities(scores, np.ones(len(scores), bool), prior, made)
    loss = [-np.log(q[np.arange(len(y)), y]).mean() for q in (p, fitted)]
    assert abs(loss[1] - loss[0]) < 1e-3
    assert made.slope == pytest.approx(4, abs=0.5)
    assert made.floor == pytest.approx(0.05, abs=0.03)


def test_own_folds_spread_every_class():
    folds = linear.own_folds(np.array([0] * 10 + [1] * 3 + [2]))
    assert np.bincount(folds[:10]).tolist() == [2] * 5
    assert len(set(folds[10:13].tolist())) == 3


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


@pytest.mark.data
def test_out_of_scope_requests_are_recognised_without_having_seen_one(data):
    from sklearn.metrics import roc_auc_score

    train = [r for r in read(data / "clinc150/train.jsonl.gz") if r["intent"] != "oos"][::8]
    asked = read(data / "clinc150/val.jsonl.gz")
    model = text_linear(cost=1.0)(None, mixture([r["text"] for r in train], [r["intent"] for r in train]), 0)
    scope = model(rows(r["text"] for r in asked)).column("in_scope").to_numpy()
    # An eighth of the training rows; on all of them .95 (docs/results/text_defaults.md).
    assert roc_auc_score([r["intent"] != "oos" for r in asked], scope) > 0.85


@pytest.mark.data
def test_korean_reviews_reach_what_they_reached(data):
    labelled = [r for r in read(data / "hate_ko/labeled.jsonl.gz") if r["text"]]
    train, test = labelled[:3000], labelled[3000:5000]
    model = text_linear()(None, mixture([r["text"] for r in train], [r["hate"] for r in train]), 0)
    said = model(rows(r["text"] for r in test)).column("prediction").to_pylist()
    assert np.mean([a == r["hate"] for a, r in zip(said, test, strict=True)]) > 0.53  # the largest class: .44
