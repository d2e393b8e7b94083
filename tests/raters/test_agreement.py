"""Models of agreement: laws of their answers, and crowd-kit's on the same votes."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.raters.agreement import dawid_skene, one_coin, shares, weighted
from bapsim.raters.settle import MODELS, settle
from bapsim.raters.votes import best, coded, counted, majority, with_others

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from crowd_made import simulated

NAME, LABEL = st.sampled_from("klmn"), st.sampled_from("xyz")
VOTES = st.lists(st.lists(st.tuples(NAME | st.none(), LABEL), max_size=5), max_size=8)
KNOWN = st.dictionaries(st.integers(0, 7), st.sampled_from("xyzw"), max_size=4)


def kept(known, said):
    return {at: label for at, label in known.items() if at < len(said)}


@settings(max_examples=60)
@given(VOTES, KNOWN)
def test_a_posterior_is_one_and_what_is_known_stands(said, known):
    known = kept(known, said)
    votes = coded(said, known)
    for name, model in MODELS.items():
        found = model(votes)
        whole = found.posterior.sum(1)
        voted = np.array([bool(one) for one in said], bool)
        sure = np.array([at in known for at in range(len(said))], bool)
        assert np.allclose(whole[voted], 1), name
        assert (whole[~voted & ~sure] == 0).all(), "without a vote nothing is claimed"
        assert ((found.skill > 0) & (found.skill <= 1)).all(), "1 where only one label is ever given"
        if name != "weighted":
            assert all(votes.labels[int(found.posterior[at].argmax())] == known[at] for at in known)
    settled = settle(said, known)
    assert all(settled.labels[at] == label for at, label in known.items())
    assert all(
        (label is None) <= (not said[at] or at not in known) for at, label in enumerate(settled.labels)
    )


@settings(max_examples=60)
@given(VOTES, KNOWN, st.permutations(range(4)))
def test_names_and_the_order_of_items_do_not_matter(said, known, order):
    known = kept(known, said)
    who = dict(zip("klmn", order, strict=True))
    what = dict(zip("xyzw", order, strict=True))
    place = np.random.default_rng(len(said)).permutation(len(said)).tolist()
    renamed = [[(None if r is None else f"r{who[r]}", f"{what[v]}") for r, v in said[at]] for at in place]
    moved = {place.index(at): f"{what[label]}" for at, label in known.items()}
    for how in ("majority", "one_coin", "dawid_skene", "weighted", "tested"):
        one, other = settle(said, known, how), settle(renamed, moved, how)
        assert one.method == other.method
        for at, label in enumerate(one.labels):
            turned = other.labels[place.index(at)]
            tie = abs(one.sure[at] - 0.5) < 0.1  # two as likely up to the last digit
            assert tie or (label if label is None else f"{what[label]}") == turned
        assert np.allclose(one.sure, other.sure[[place.index(at) for at in range(len(said))]], atol=1e-4)


@settings(max_examples=60)
@given(VOTES)
def test_majority_settles_where_nothing_is_known(said):
    assert list(settle(said).labels) == [majority(one) for one in said]
    assert settle(said).method == "majority"
    assert settle(said).trials == () or all(one.gained == one.lost == 0 for one in settle(said).trials)
    of = with_others(said)
    assert all(0 <= went <= count for went, count in of.values())
    assert sum(count for _, count in of.values()) <= sum(len(counted(one)) for one in said)


@settings(max_examples=30)
@given(VOTES)
def test_one_more_vote_for_a_label_makes_it_no_less_likely(said):
    for at, one in enumerate(said):
        more = [*said[:at], [*one, (None, "x")], *said[at + 1 :]]
        before, after = (shares(coded(v, {})) for v in (said, more))
        has = "x" in coded(said).labels
        x = coded(more).labels.index("x")
        assert after[at, x] >= (before[at, coded(said).labels.index("x")] if has else 0)


def test_none_at_all():
    for how in MODELS:
        assert settle([], {}, how).labels == ()
        assert settle([[], []], {}, how).labels == (None, None)
        assert settle([[]], {0: "x"}, how).labels == ("x",)
    assert best(np.array([[0.5, 0.5], [0.2, 0.8], [0.0, 0.0]])).tolist() == [-1, 1, -1]
    assert best(np.zeros((2, 0))).tolist() == [-1, -1]


@pytest.mark.slow
@pytest.mark.parametrize("bad", ["random", "adversarial"])
def test_as_crowd_kit_does_and_above_the_majority(bad):
    """2,000 items, 40 workers of whom 30 % are bad: both models, ours and crowd-kit's, are as good."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, of pandas
        compared(bad)


def compared(bad):
    import pandas as pd
    from crowdkit.aggregation import DawidSkene, OneCoinDawidSkene

    for classes in (2, 4):
        crowd = simulated(classes, bad, 0)
        flat = [[at, who, label] for at, one in enumerate(crowd.votes) for who, label in one]
        frame = pd.DataFrame(flat, columns=["task", "worker", "label"])
        truth = np.array(crowd.truth)

        def right(labels, truth=truth):
            return float((np.array(labels) == truth).mean())

        plain = right([majority(one) for one in crowd.votes])
        for how, peer in (("one_coin", OneCoinDawidSkene), ("dawid_skene", DawidSkene)):
            theirs = peer().fit_predict(frame).sort_index()
            ours = settle(crowd.votes, how=how).labels
            assert np.mean(np.array(ours) == theirs.to_numpy()) > 0.985
            assert right(ours) > right(theirs) - 0.003
            assert right(ours) > plain + 0.03
        skill = dawid_skene(coded(crowd.votes)).skill
        assert np.corrcoef(skill, [crowd.skill[name] for name in sorted(crowd.skill)])[0, 1] > 0.9


def test_known_labels_tell_who_is_right():
    """Two who know, three who share a mistake: votes alone follow the three, ten known labels do not."""
    said = [
        [("a", "x"), ("b", "x"), *((who, "y" if at % 3 else "x") for who in ("c", "d", "e"))]
        for at in range(60)
    ]
    known = dict.fromkeys(range(10), "x")
    wrong = [at for at in range(10, 60) if at % 3]
    assert {settle(said).labels[at] for at in wrong} == {"y"}
    found = settle(said, known)
    assert found.method == "weighted"
    assert {found.labels[at] for at in wrong} == {"x"}
    blind = one_coin(coded(said)).skill
    told = weighted(coded(said, known)).skill
    assert blind[0] < blind[2]
    assert told[0] > told[2], "known labels turn the order"


def test_nobody_counts_against_what_they_say():
    """Many raters with a few known items each: some are wrong on all of theirs, and only by chance."""
    rng = np.random.default_rng(0)
    said = [[(f"r{rng.integers(200)}", str(rng.integers(2))) for _ in range(5)] for _ in range(300)]
    known = {at: str(rng.integers(2)) for at in range(40)}
    found = weighted(coded(said, known)).posterior
    votes = coded(said, known).counts()
    assert (found[votes == 0].max(initial=0)) <= 0.5 + 1e-9
