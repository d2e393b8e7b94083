"""Pairs that people do not tell apart alike: named with evidence, and not without."""

import gzip
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.refine.ambiguity import (
    ambiguous_pairs,
    by_chance,
    confusions,
    disputes,
    holm,
    judgements,
    merged_gain,
    often,
    on_the_border,
)
from tests.refine.test_labels import crossfitted
from tests.refine.test_noise import world


def split(seed=0, k=12, n=3000, way=0.5):
    """k classes, of which the last is labelled at random as one of the last two; a good model of these."""
    rng = np.random.default_rng(seed)
    p, _, y = world(seed, n=n, k=k - 1, strength=2.5)
    last = p[:, [-1]]
    wide = np.concatenate([p[:, :-1], last * (1 - way), last * way], axis=1)
    wide = wide * np.exp(0.2 * rng.normal(size=wide.shape))
    labels = y.copy()
    labels[(y == k - 2) & (rng.random(n) < way)] = k - 1
    return wide / wide.sum(axis=1, keepdims=True), labels


def test_a_class_that_is_labelled_at_random_as_two_is_named():
    p, labels = split()
    names = [f"c{i}" for i in range(12)]
    (pair,) = ambiguous_pairs(p, labels, names)
    assert (pair.first, pair.second) == ("c10", "c11")
    assert "confusion" in pair.evidence
    assert pair.rows == ((labels == 10) | (labels == 11)).sum()
    assert sum(pair.confused) > 4 * pair.expected
    assert len(pair.border) > 0.6 * pair.rows
    assert set(labels[pair.border].tolist()) == {10, 11}
    assert [labels[i] for i in pair.examples] == [10, 11, 10, 11, 10, 11]
    assert pair.relabelled[0] == pytest.approx(0.5, abs=0.1)
    assert pair.relabelled[1] < pair.relabelled[0] < pair.relabelled[2]
    gained = np.where(labels == 11, 10, labels)
    together = p.copy()
    together[:, 10] += together[:, 11]
    together[:, 11] = 0
    change = (together.argmax(axis=1) == gained).mean() - (p.argmax(axis=1) == labels).mean()
    assert pair.merged[0] == pytest.approx(change)
    assert pair.merged[1] < change < pair.merged[2]


@pytest.mark.parametrize("k", [2, 3, 20])
@pytest.mark.parametrize("strength", [0.9, 3.0])
def test_classes_that_a_model_merely_cannot_tell_are_not_named(k, strength):
    p, labels, _ = world(1, k=k, strength=strength)
    assert ambiguous_pairs(p, labels, [str(c) for c in range(k)]) == ()


def test_wrong_labels_spread_evenly_make_no_pair_of_many_classes():
    p, labels, _ = world(2, k=20, rate=0.2)
    assert ambiguous_pairs(p, labels, [str(c) for c in range(20)]) == ()


def test_two_classes_are_named_where_labels_contradict_a_sure_model():
    p, labels, _ = world(3, k=2, rate=0.2)
    (pair,) = ambiguous_pairs(p, labels, ["a", "b"])
    assert pair.evidence == ("surest",)
    assert all(math.isnan(value) for value in pair.merged)  # one class would be left


def test_raters_who_differ_and_equal_inputs_name_a_pair():
    p, labels, _ = world(4, k=3, n=400)
    votes = np.zeros((400, 3), int)
    votes[np.arange(400), labels] = 3
    assert ambiguous_pairs(p, labels, "abc", votes=votes) == ()
    both = np.flatnonzero(labels < 2)[::2]
    votes[both, 0], votes[both, 1] = 2, 1
    (pair,) = ambiguous_pairs(p, labels, "abc", votes=votes)
    assert (pair.first, pair.second, pair.evidence) == ("a", "b", ("disputed",))
    assert (pair.disputed, pair.twice) == (len(both), (labels < 2).sum())
    groups = np.arange(400) // 2
    again = np.repeat(labels[:200], 2)
    again[:80] = np.tile([0, 2], 40)
    (pair,) = ambiguous_pairs(np.full((400, 3), np.nan), again, "abc", groups=groups)
    assert (pair.first, pair.second) == ("a", "c")
    assert len(pair.border) == 0
    assert math.isnan(pair.relabelled[0])


def test_labels_that_the_model_does_not_know_can_be_disputed():
    p, labels, _ = world(5, k=2, n=200)
    p, labels = np.repeat(p[:100], 2, axis=0), np.repeat(labels[:100], 2)
    labels[:60] = np.tile([1, 2], 30)
    (pair,) = ambiguous_pairs(p, labels, ["a", "b", "new"], groups=np.arange(200) // 2)
    assert (pair.first, pair.second) == ("b", "new")
    assert pair.disputed == 30


def test_nothing_is_no_pair():
    assert ambiguous_pairs(np.zeros((0, 4)), np.zeros(0, int), "abcd") == ()
    assert ambiguous_pairs(np.ones((3, 1)), np.zeros(3, int), "a") == ()
    assert ambiguous_pairs(np.full((3, 2), np.nan), np.array([0, 1, -1]), "ab", groups=np.arange(3)) == ()


@given(st.integers(0, 20))
def test_the_order_of_rows_makes_no_difference(seed):
    p, labels = split(seed, k=6, n=400)
    rows = np.random.default_rng(seed).permutation(400)
    names = "abcdef"
    for a, b in zip(
        ambiguous_pairs(p, labels, names), ambiguous_pairs(p[rows], labels[rows], names), strict=True
    ):
        assert (a.first, a.second, a.confused, a.merged) == (b.first, b.second, b.confused, b.merged)
        assert sorted(rows[b.border].tolist()) == sorted(a.border.tolist())


def test_what_chance_expects_has_the_same_sums():
    counts = np.random.default_rng(0).poisson(5, (6, 6)).astype(float)
    np.fill_diagonal(counts, 0)
    expected = by_chance(counts)
    np.testing.assert_allclose(expected.sum(axis=0), counts.sum(axis=0), rtol=1e-4)
    np.testing.assert_allclose(expected.sum(axis=1), counts.sum(axis=1), rtol=1e-4)
    assert (np.diag(expected) == 0).all()
    assert (by_chance(np.zeros((3, 3))) == 0).all()
    assert confusions(np.array([0, 1, 1]), np.array([1, 1, 0]), 2).tolist() == [[0, 1], [1, 0]]


def test_judgements_of_one_thing_are_counted_together():
    labels, groups = np.array([0, 1, 0, 2, 2, -1, 0]), np.array([7, 7, 7, 8, 8, 8, 9])
    votes = np.array([[2, 1, 0], [1, 0, 0]])
    things = judgements(labels, 3, groups, votes)
    assert things.tolist() == [[2, 1, 0], [0, 0, 2], [2, 1, 0]]
    both, twice = disputes(things, 3)  # pairs 01, 02, 12
    assert both.tolist() == [2, 0, 0]
    assert twice.tolist() == [2, 3, 1]
    assert judgements(labels, 3, None, None).shape == (0, 3)
    assert often(np.array([12, 2, 1, 0, 9]), np.array([40, 3, 1, 0, 90])) == [0]
    assert often(np.array([], int), np.array([], int)) == []


def test_holm_rejects_until_the_first_that_stands():
    assert holm(np.array([0.9, 0.001, 0.02, 0.03])).tolist() == [False, True, False, False]
    assert holm(np.array([0.001, 0.002])).tolist() == [True, True]
    assert holm(np.array([0.04])).tolist() == [True]
    assert holm(np.zeros(0)).tolist() == []


def test_rows_on_the_border_are_between_the_two():
    p = np.array([[0.5, 0.45, 0.05], [0.3, 0.3, 0.4], [0.4, 0.5, 0.1], [0.9, 0.1, 0.0], [0.5, 0.5, 0.0]])
    border, examples = on_the_border(p, np.array([0, 1, 1, 0, 2]), 0, 1)
    assert border.tolist() == [0, 2]
    assert examples.tolist() == [0, 2]
    assert merged_gain(p[:2], np.array([1, 1]), np.array([0, 2]), 0, 1)[0] == 1


def test_the_real_intents_give_a_short_list(data):
    lines = gzip.decompress((data / "banking77" / "train.jsonl.gz").read_bytes()).decode().splitlines()
    rows = [json.loads(line) for line in lines]
    rows = [r for r in rows if r["intent"][0] in "tuvw"]
    probs, labels, names = crossfitted([r["text"] for r in rows], [r["intent"] for r in rows])
    pairs = ambiguous_pairs(probs, labels, names)
    assert 1 <= len(pairs) <= 6
    assert all(set(pair.first.split("_")) & set(pair.second.split("_")) for pair in pairs)
    assert {"verify_my_identity", "unable_to_verify_identity"} <= {
        n for p in pairs for n in (p.first, p.second)
    }
