"""Who is right: tests, repeats, outcomes, confidence; intervals everywhere, nothing from agreement alone."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.raters import sequential
from bapsim.raters.calibration import calibration
from bapsim.raters.lines import said_in, said_of_votes, written_answer
from bapsim.raters.popular import popular_doubt, surprisingly_popular
from bapsim.raters.reliability import Said, reliability
from bapsim.raters.settle import settle
from bapsim.raters.shared import shared_mistakes
from bapsim.raters.shares import apart, share
from bapsim.raters.votes import coded

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from crowd_made import answers, panel

ITEM, LABEL = st.sampled_from("abcdef"), st.sampled_from("xyz")
SAID = st.lists(
    st.builds(
        Said,
        person=st.sampled_from(["p", "q", "r"]),
        item=ITEM,
        label=LABEL | st.none(),
        confidence=st.floats(0, 1) | st.none(),
        peers=st.floats(0, 1) | st.none(),
        blind=st.sampled_from([None, "gold", "again"]),
    ),
    max_size=30,
)


# ---------------------------------------------------------------- laws


@settings(max_examples=60)
@given(SAID, st.dictionaries(ITEM, LABEL), st.dictionaries(ITEM, LABEL))
def test_every_figure_has_its_interval(said, gold, outcomes):
    panel = reliability(said, gold, outcomes)
    assert set(panel.people) == {one.person for one in said}
    for one in panel.people.values():
        for figure in (one.gold, one.outcomes, one.again, one.others, one.skill):
            assert 0 <= figure.low <= figure.high <= 1
            assert figure.of == 0 or figure.low <= figure.rate <= figure.high
        assert one.asked == one.gold.of
        assert one.standing == "undecided" or one.asked >= 4, "three answers make nobody anything"
        if not panel.mistakes.independent:
            assert one.agreement is None
        if one.calibration is not None:
            c = one.calibration
            assert math.isclose(c.brier.rate, c.reliability - c.resolution + c.uncertainty, abs_tol=1e-9)


@settings(max_examples=60)
@given(SAID, st.dictionaries(ITEM, LABEL))
def test_only_blind_first_answers_are_tests(said, gold):
    found = reliability(said, gold).people
    open_ = [replace(one, blind=None) for one in said]
    assert all(one.gold.of == 0 for one in reliability(open_, gold).people.values())
    twice = reliability([*said, *(replace(one, label="x") for one in said if one.blind != "again")], gold)
    for name, one in found.items():
        assert twice.people[name].gold == one.gold, "who has seen an item is not tested by it again"


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_share_is_inside_its_interval_and_more_of_it_is_narrower(hits, missed):
    one, ten = share(hits, hits + missed), share(10 * hits, 10 * (hits + missed))
    assert one.low <= (one.rate if one.of else 0.5) <= one.high
    assert one.of == 0 or ten.high - ten.low <= one.high - one.low
    assert not apart(one, ten)
    assert math.isnan(share(0, 0).rate)


@given(st.lists(st.booleans(), max_size=80))
def test_the_sequential_test_stays_within_its_bounds(right):
    found = sequential.tested(right)
    assert found.asked == len(right)
    assert abs(found.evidence) <= math.log(19) + 1e-9
    assert sequential.tested([*right, *[True] * 40]).standing == "expert"
    assert sequential.tested([*right, *[False] * 10]).standing == "novice", (
        "who no longer is good is found again"
    )


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_calibration_adds_up(pairs):
    found = calibration([c for c, _ in pairs], [right for _, right in pairs])
    assert found is not None
    assert math.isclose(
        found.brier.rate, found.reliability - found.resolution + found.uncertainty, abs_tol=1e-9
    )
    assert min(found.brier.rate, 0.25) - 1e-9 <= found.shrunk <= max(found.brier.rate, 0.25) + 1e-9
    assert calibration([], []) is None


@given(st.lists(st.tuples(LABEL, st.floats(0, 1)), max_size=8))
def test_a_surprise_is_a_label_that_somebody_gave(said):
    found = surprisingly_popular(said)
    assert found is None or found in {label for label, _ in said}
    assert not popular_doubt(said, found)


# ---------------------------------------------------------------- worked out by hand


def test_false_alarms_of_the_sequential_test_are_as_promised():
    rng = np.random.default_rng(0)
    for skill, wrong in ((0.75, "expert"), (0.90, "novice")):
        runs = [[*(rng.random(300) < skill)] for _ in range(400)]
        verdicts = []
        for run in runs:
            reached = next(
                (v for n in range(1, 300) if (v := sequential.tested(run[:n]).standing) != "undecided"), "-"
            )
            verdicts.append(reached)
        assert verdicts.count(wrong) / 400 < 0.08


def test_the_few_who_know_are_surprising():
    crowd = [("sydney", 0.9)] * 6
    knows = [("canberra", 0.3)] * 3
    assert surprisingly_popular([*crowd, *knows]) == "canberra"
    assert popular_doubt([*crowd, *knows], "sydney")
    assert not popular_doubt([*crowd, *knows], "canberra")
    assert surprisingly_popular(crowd) is None, "all say the same"
    assert surprisingly_popular([("x", 0.5), ("y", 0.5)]) is None, "too few"


def test_shared_mistakes_show_and_independent_ones_do_not():
    shared = [one_panel(8, seed) for seed in range(5)]
    alone = [one_panel(0, seed) for seed in range(5)]
    assert all(not found.independent for found in shared)
    assert sum(found.independent for found in alone) >= 4
    few = shared_mistakes(coded([[("a", "x"), ("b", "x")]] * 5, dict.fromkeys(range(5), "x")))
    assert not few.independent
    assert few.p == 1, "five items show nothing, either way"


def one_panel(sharing, seed):
    crowd = panel(sharing, seed, tests=40, items=60)
    return shared_mistakes(coded(crowd.votes, {at: crowd.truth[at] for at in range(40)}))


# ---------------------------------------------------------------- a panel that shares a belief


@pytest.mark.slow
def test_twenty_tests_rank_the_real_experts_on_top():
    """8 of 12 share one wrong belief: gold gives the right order, agreement does not, and that is noticed."""
    gold, others, noticed, below = [], [], [], []
    for seed in range(20):
        crowd = panel(8, seed, tests=20)
        known = {at: crowd.truth[at] for at in range(20)}
        found = reliability(answers(crowd, np.arange(20), seed), {str(at): t for at, t in known.items()})
        names = sorted(crowd.skill)
        true = [crowd.skill[name] for name in names]
        gold.append(np.corrcoef([found.people[n].skill.rate for n in names], true)[0, 1])
        others.append(np.corrcoef([found.people[n].others.rate for n in names], true)[0, 1])
        noticed.append(not found.mistakes.independent)
        assert all(one.agreement is None for one in found.people.values()) or found.mistakes.independent
        rest = range(20, len(crowd.truth))
        plain, tested_ = (settle(crowd.votes, k).labels for k in ({}, known))
        below.append(sum((tested_[at] == crowd.truth[at]) - (plain[at] == crowd.truth[at]) for at in rest))
    assert np.mean(gold) >= 0.65
    assert np.mean(others) < 0.4
    assert np.mean(noticed) >= 0.9
    assert np.mean(below) >= 0


# ---------------------------------------------------------------- what people's files say


def test_who_is_unlike_the_others_is_inside_the_interval_of_their_skill():
    """The estimate leans on the others, its interval does not: three tests make nobody an expert."""
    gold = {str(i): "x" for i in range(20)}
    others = [Said(person=f"p{n}", item=i, label="x", blind="gold") for n in range(7) for i in gold]
    for tests in (1, 3, 20):
        for hits in range(tests + 1):
            told = ["x"] * hits + ["y"] * (tests - hits)
            mine = [Said(person="me", item=str(i), label=one, blind="gold") for i, one in enumerate(told)]
            one = reliability([*others, *mine], gold).people["me"]
            assert one.skill.low <= one.gold.low <= one.gold.high <= one.skill.high
            assert one.skill.low <= one.skill.rate <= one.skill.high


def test_lines_of_people():
    line = {"kind": "vote", "question": "q", "person": "p", "at": "2", "id": "1", "said": "x"}
    lines = [
        line,
        {**line, "at": "1", "said": ["b", "a"], "blind": "gold", "confidence": 2, "peers": float("nan")},
        {**line, "at": "3", "said": 3.0, "cannot_tell": True, "blind": "again", "confidence": True},
        {**line, "at": "4", "said": 2.50},
        {**line, "at": "5", "said": 10**400, "confidence": 10**400, "peers": -(10**400)},
        {**line, "kind": "example"},
        {**line, "person": None},
    ]
    found = said_in(lines)
    assert [one.label for one in found] == [written_answer(["a", "b"]), "x", None, "2.5", str(10**400)]
    assert [one.blind for one in found] == ["gold", None, "again", None, None]
    assert (found[4].confidence, found[4].peers) == (1.0, 0.0)
    assert (found[0].confidence, found[0].peers, found[2].confidence) == (1.0, None, None)
    file = said_of_votes([[("k", "x"), (None, "y"), ("k", "z")], [("l", "x")]], {1: "x"})
    assert [(one.person, one.item, one.label, one.blind) for one in file] == [
        ("k", "0", "z", None),
        ("l", "1", "x", "gold"),
    ]
    assert reliability(file, {"1": "x"}).people["l"].gold.hits == 1
