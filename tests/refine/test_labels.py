"""The ranking, the flags, the advice: what equal inputs, similar rows and the model say against a label."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.metrics import average_precision_score

from bapsim.core.recipe import Mixture
from bapsim.core.records import Records, Task
from bapsim.refine.labels import added, contradictions, flag, neighbours_say, probability, suspicion
from bapsim.text.vectors import unit_vectors
from bapsim.train.text import text_linear
from tests.refine.test_noise import world


def precision(probs, labels, y):
    score = np.nan_to_num(suspicion(probs, labels).wrong)
    return average_precision_score(labels != y, score)


def test_wrong_labels_stand_before_right_ones():
    p, labels, y = world(0, rate=0.1)
    said = suspicion(p, labels)
    order = said.order()
    assert (labels != y)[order[:200]].mean() > 0.95
    assert sorted(order.tolist()) == list(range(len(labels)))
    assert said.wrong.mean() == pytest.approx(said.noise.rate, abs=1e-6)
    flagged = flag(said, labels)
    assert len(flagged.rows) == pytest.approx(0.1 * len(labels), rel=0.3)
    assert (flagged.suggested == y[flagged.rows]).mean() > 0.85
    assert (flagged.wrong[:-1] >= flagged.wrong[1:]).all()
    assert not flagged.contradiction.any()


@pytest.mark.parametrize("pairs", [False, True])
def test_the_ranking_is_at_least_self_confidence_and_margin_on_their_own_noise(pairs):
    p, labels, y = world(1, k=8, rate=0.2, strength=1.5, pairs=pairs)
    given = p[np.arange(len(y)), labels]
    rest = p.copy()
    rest[np.arange(len(y)), labels] = -1
    others = [average_precision_score(labels != y, s) for s in (-given, rest.max(axis=1) - given)]
    assert precision(p, labels, y) > max(others) - 0.01


@given(st.integers(0, 10), st.sampled_from([2, 4]), st.booleans())
def test_the_order_of_the_rows_makes_no_difference(seed, k, pairs):
    p, labels, _ = world(seed, n=150, k=k, strength=1.2, rate=0.2, pairs=pairs)
    rng = np.random.default_rng(seed)
    groups, x = rng.integers(0, 60, 150), rng.normal(size=(150, 5)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    rows = rng.permutation(150)
    said = suspicion(p, labels, groups=groups, features=x)
    again = suspicion(p[rows], labels[rows], groups=groups[rows], features=x[rows])
    np.testing.assert_allclose(again.wrong, said.wrong[rows], atol=1e-6)
    assert (again.suggested == said.suggested[rows]).all()
    assert (again.contradicted == said.contradicted[rows]).all()


def test_flags_grow_with_noise_and_pruning_is_advised_where_there_is_much():
    counts, advice = [], []
    for rate in (0.0, 0.05, 0.1, 0.2, 0.3):
        p, labels, _ = world(2, rate=rate)
        flagged = flag(suspicion(p, labels), labels)
        counts.append(len(flagged.rows))
        advice.append(flagged.prune)
    assert counts == sorted(counts)
    assert counts[0] < 10
    assert advice == [False, False, False, True, True]
    p, labels, _ = world(2, rate=0.2)
    assert not flag(suspicion(p, labels), labels, prune_above=0.5).prune


def test_a_weak_model_is_no_reason_to_prune():
    p, labels, y = world(3, k=2, rate=0.0, strength=0.7)
    assert 0.55 < (p.argmax(axis=1) == y).mean() < 0.75
    assert not flag(suspicion(p, labels), labels, prune_above=0.1).prune


@given(st.integers(0, 30), st.integers(1, 5))
def test_nothing_is_flagged_where_model_and_label_agree(seed, k):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(k), 40)
    labels = p.argmax(axis=1)
    said = suspicion(p, labels)
    assert len(flag(said, labels).rows) == 0
    assert (said.suggested == -1).all()
    assert said.limit == 1


def test_agreed_rows_are_never_flagged_among_others():
    p, labels, _ = world(4, rate=0.3, strength=1.0)
    flagged = flag(suspicion(p, labels), labels)
    assert len(flagged.rows) > 300
    assert (p.argmax(axis=1)[flagged.rows] != labels[flagged.rows]).all()


def test_no_rows_and_rows_that_cannot_be_judged():
    none = suspicion(np.zeros((0, 3)), np.zeros(0, int), groups=np.zeros(0, int), features=csr_matrix((0, 4)))
    assert len(flag(none, np.zeros(0, int)).rows) == 0
    unheard = suspicion(np.zeros((3, 0)), np.array([0, 1, 0]), groups=np.array([4, 4, 5]))
    assert flag(unheard, np.array([0, 1, 0])).rows.tolist() == [0, 1]
    single = suspicion(np.ones((3, 1)), np.zeros(3, int), features=np.eye(3, dtype=np.float32))
    assert len(flag(single, np.zeros(3, int)).rows) == 0
    p, labels, _ = world(5, n=300, rate=0.2)
    p[:50], labels[50:60] = np.nan, -1
    said = suspicion(p, labels)
    assert np.isnan(said.wrong[:60]).all()
    assert not np.isnan(said.wrong[60:]).any()
    assert said.order().min() == 60
    nothing = suspicion(np.full((4, 2), np.nan), np.array([0, 1, 0, 1]), groups=np.array([0, 0, 1, 2]))
    flagged = flag(nothing, np.array([0, 1, 0, 1]))
    assert flagged.rows.tolist() == [0, 1]
    assert flagged.contradiction.all()
    assert not flagged.prune
    assert not flagged.prunable.any()


def test_contradicted_rows_stand_first_the_smaller_side_alone():
    p, labels, _ = world(6, rate=0.1)
    labels[:4] = [0, 0, 0, 1]
    p[:4] = [0.9, 0.05, 0.03, 0.02]
    groups = np.concatenate([[7, 7, 7, 7], np.arange(10, 10 + len(labels) - 4)])
    said = suspicion(p, labels, groups=groups)
    flagged = flag(said, labels)
    assert flagged.rows[0] == 3
    assert flagged.contradiction.tolist() == [True] + [False] * (len(flagged.rows) - 1)
    assert flagged.suggested[0] == 0
    assert len(flagged.rows) == len(flag(suspicion(p, labels), labels).rows)


def test_what_equal_inputs_say():
    groups = np.array([5, 5, 5, 8, 8, 2, 9, 9, 9, 9])
    labels = np.array([1, 1, 0, 2, 3, 1, 0, -1, 1, 1])
    unknown = np.full(10, np.nan)
    share, winner = contradictions(groups, labels, unknown)
    assert share.tolist() == pytest.approx([0, 0, 2 / 3, 0.5, 0.5, 0, 2 / 3, 0, 0, 0])
    assert winner.tolist() == [1, 1, 1, -1, -1, 1, 1, 1, 1, 1]
    model = unknown.copy()
    model[3:5] = 0.9, 0.2  # a tie is decided by the model
    share, winner = contradictions(groups, labels, model)
    assert share[3:5].tolist() == [0.5, 0]
    assert winner[3:5].tolist() == [3, 3]
    share, winner = contradictions(np.array([1, 1]), np.array([-1, -1]), unknown[:2])
    assert (share.tolist(), winner.tolist()) == ([0, 0], [-1, -1])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 3), st.integers(0, 2)), max_size=30))
def test_contradictions_by_counting(rows):
    groups, labels, doubts = (np.array([row[i] for row in rows], int) for i in range(3))
    share, winner = contradictions(groups, labels, doubts / 2)
    for i, (group, label, _) in enumerate(rows):
        mine = [(y, d / 2) for g, y, d in rows if g == group and y >= 0]
        marks = {}
        for y in {y for y, _ in mine}:
            doubt = [d for z, d in mine if z == y]
            marks[y] = (-len(doubt), sum(doubt) / len(doubt))
        best = [y for y in marks if marks[y] == pytest.approx(min(marks.values()))]
        assert winner[i] == (best[0] if len(best) == 1 else -1)
        wins = label < 0 or best == [label]
        assert share[i] == pytest.approx(0 if wins else 1 + marks[label][0] / len(mine))


def test_a_class_that_the_model_never_answers_is_not_left_out_whole():
    p, labels, _ = world(7, k=5, rate=0.0)
    rare = labels == 4
    p[rare] = np.roll(p[rare], 1, axis=1)  # the model takes every row of class 4 for class 0
    labels[:1200] = np.random.default_rng(0).integers(0, 4, 1200)
    flagged = flag(suspicion(p, labels), labels, prune_above=0.05)
    gone = flagged.rows[flagged.prunable]
    assert rare[flagged.rows].sum() > 0.6 * rare.sum()
    assert 0 < (labels[gone] == 4).sum() <= (labels == 4).sum() / 2


def test_neighbours_that_say_otherwise_make_a_row_more_suspect():
    x = np.array([[1, 0], [1, 0.01], [1, -0.01], [0, 1], [0.01, 1], [1, 0.02]], np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    labels = np.array([1, 0, 0, 1, 1, -1])
    rows = np.array([0, 1, 3])
    for features in (x, csr_matrix(x)):
        said = neighbours_say(features, rows, labels, np.array([0, 1, 0]), labels[rows], count=2)
        assert said[0] > 1
        assert said[1] == pytest.approx(0, abs=0.01)  # one each
        assert said[2] < 0
    alone = np.array([1, -1, -1, -1, -1, -1])
    assert neighbours_say(x, rows[:1], alone, np.array([0]), np.array([1])).tolist() == [0]


def test_neighbours_count_by_what_they_add_to_the_model():
    rng = np.random.default_rng(0)
    margin, said = rng.normal(size=2000), rng.normal(size=2000)

    def weight(true_weight):
        odds = margin + true_weight * said
        return added(margin, said, rng.random(2000) < 1 / (1 + np.exp(-odds)))

    assert weight(0.0) < 0.1
    assert weight(0.5) == pytest.approx(0.5, abs=0.15)
    assert weight(1.5) == pytest.approx(1, abs=1e-6)
    assert added(np.zeros(0), np.zeros(0), np.zeros(0, bool)) < 1e-6


def test_only_the_worst_rows_change_places():
    p, labels, y = world(8, rate=0.1, strength=1.0)
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(4, 6))
    x = (centre[y] + 0.3 * rng.normal(size=(len(y), 6))).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    plain, mended = suspicion(p, labels), suspicion(p, labels, features=x)
    worst = plain.order()[:150]
    others = np.delete(np.arange(len(y)), worst)
    assert (plain.wrong[others] == mended.wrong[others]).all()
    assert sorted(plain.wrong[worst]) == sorted(mended.wrong[worst])
    truth = labels != y
    scores = [average_precision_score(truth, one.wrong) for one in (plain, mended)]
    assert scores[1] > scores[0] + 0.02


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=20), st.floats(0, 1))
def test_probabilities_have_the_mean_that_was_estimated(odds, rate):
    found = probability(np.array(odds), rate)
    assert found.mean() == pytest.approx(rate, abs=1e-6)
    assert (np.diff(found[np.argsort(odds)]) >= 0).all()


def test_the_order_of_rows_changes_no_bit_of_a_probability():
    rng = np.random.default_rng(3)
    odds = rng.normal(size=3001)
    for _ in range(20):
        order = rng.permutation(len(odds))
        assert (probability(odds[order], 0.1) == probability(odds, 0.1)[order]).all()


def crossfitted(texts, labels):
    """Out-of-fold probabilities of real texts, class positions and names."""
    names, y = np.unique(labels, return_inverse=True)
    batch = pa.record_batch({"text": pa.array(texts), "label": pa.array(list(labels))})
    mixture = Mixture(task=Task(input="text", target="label"), records=Records(batch))
    folds = (np.arange(len(y)) % 5).astype(np.int8)
    answers = text_linear(cost=1.0).crossfit(None, mixture, folds, 0).answers
    return answers.column("probs").flatten().to_numpy().reshape(len(y), -1), y, names.tolist()


def test_real_texts_with_wrong_labels(data):
    lines = gzip.decompress((data / "banking77" / "train.jsonl.gz").read_bytes()).decode().splitlines()
    rows = [json.loads(line) for line in lines]
    kept = sorted({r["intent"] for r in rows})[:12]
    rows = [r for r in rows if r["intent"] in kept][:900]
    y = np.array([kept.index(r["intent"]) for r in rows])
    rng = np.random.default_rng(0)
    labels, at = y.copy(), rng.choice(len(y), 135, replace=False)
    labels[at] = (y[at] + rng.integers(1, 12, 135)) % 12
    texts = [r["text"] for r in rows]
    probs, given, _ = crossfitted(texts, [kept[c] for c in labels])
    assert (given == labels).all()
    said = suspicion(probs, labels, features=unit_vectors(texts))
    assert said.noise.rate == pytest.approx(0.15, abs=0.05)
    assert (labels != y)[said.order()[:100]].mean() > 0.9
    assert said.noise.along == 0
