"""Whom to ask what: one vote first, more where people or the model disagree, none once settled; tests."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.compose.assignment import PLAN, Item, Person, Plan, need, next_item

NAMES = [f"p{i}" for i in range(8)]
SKILLS = st.dictionaries(st.sampled_from(NAMES), st.floats(0, 1))
ITEMS = st.builds(
    Item,
    key=st.just("i"),
    votes=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["x", "y", "z"]) | st.none(), max_size=7),
    peers=st.dictionaries(st.sampled_from(NAMES), st.floats(0, 1), max_size=7),
    guess=st.dictionaries(st.sampled_from(["x", "y"]), st.floats(0, 1), max_size=2),
    labels=st.integers(0, 12),
    leased=st.frozensets(st.sampled_from(NAMES), max_size=3),
)


@settings(max_examples=200)
@given(ITEMS, SKILLS)
def test_asking_ends(item: Item, skills: dict[str, float]) -> None:
    found = need(item, skills)
    assert found.votes == len(item.votes)
    assert 0 <= found.sure <= 1
    assert found.label is None or found.label in item.votes.values()
    if found.state == "open":
        assert 1 <= found.least <= PLAN.cap - found.votes
    else:
        assert found.least == 0
        assert found.state == "settled" or found.votes >= PLAN.cap
    if found.state == "settled":
        assert found.label is not None


@settings(max_examples=60)
@given(ITEMS, SKILLS, st.permutations(NAMES))
def test_names_do_not_matter(item: Item, skills: dict[str, float], order: list[str]) -> None:
    to = dict(zip(NAMES, order, strict=True))
    moved = replace(item, votes={to[who]: said for who, said in item.votes.items()})
    moved = replace(moved, peers={to[who]: share for who, share in item.peers.items()})
    one, other = need(item, skills), need(moved, {to[who]: skill for who, skill in skills.items()})
    assert (one.state, one.label, one.least) == (other.state, other.label, other.least)
    assert one.sure == pytest.approx(other.sure)


def states(said: list[str | None], guess: dict[str, float], **more: object) -> list[str]:
    """The state after each vote of people of whom nothing is known."""
    votes = dict(zip(NAMES, said, strict=False))
    found = []
    for count in range(1, len(said) + 1):
        item = Item(key="i", votes=dict(list(votes.items())[:count]), guess=guess, **more)  # type: ignore[arg-type]
        found.append(need(item, {}).state)
    return found


def test_one_vote_first_two_or_four_more_where_anybody_disagrees() -> None:
    model = {"x": 0.8}
    assert states(["x"], {}) == ["settled"]
    assert states(["x"], model) == ["settled"]
    assert states(["y", "y", "y"], model) == ["open", "open", "settled"], "two more against the model"
    assert states(["y", "x", "x"], model, labels=4) == ["open", "open", "settled"]
    assert states(["x", "y", "x", "y", "z"], {"y": 0.8})[-2:] == ["open", "disputed"]
    assert states([None, "x", "x"], {}) == ["open", "open", "settled"], "somebody cannot tell"
    assert states([None] * 5, {})[-1] == "disputed"


def test_a_surprising_answer_is_looked_at_again() -> None:
    """One of four says otherwise, and had foretold that the others would not: the crowd may be wrong."""
    votes = {"p1": "x", "p2": "x", "p3": "x", "p4": "y"}
    sure, knows = {"p1": 0.9, "p2": 0.9, "p3": 0.9}, {"p4": 0.1}
    plain = need(Item(key="i", votes=votes), {})
    assert (plain.state, plain.label) == ("settled", "x")
    assert need(Item(key="i", votes=votes, peers=sure | {"p4": 0.5}), {}).state == "open"
    found = need(Item(key="i", votes=votes, peers=sure | knows), {})
    assert (found.state, found.label, found.least) == ("open", "x", 1), "asked on; the label is the people's"
    ended = need(Item(key="i", votes=votes | {"p5": "x"}, peers=sure | knows), {})
    assert (ended.state, ended.label) == ("disputed", "x"), "one in five, and hardly foretold"
    told = need(Item(key="i", votes=votes | {"p5": "x"}, peers={**sure, "p4": 0.9, "p5": 0.8}), {})
    assert told.state == "settled"


def test_skill_decides_how_many() -> None:
    one = Item(key="i", votes={"a": "x"})
    assert need(one, {"a": 0.95}).state == "settled"
    weak = need(one, {"a": 0.55})
    assert (weak.state, weak.least) == ("open", 2)
    split = Item(key="i", votes={"a": "x", "b": "y", "c": "y"}, labels=2)
    assert need(split, {"a": 0.97, "b": 0.55, "c": 0.55}).label == "x", "one who knows against two who guess"
    assert need(split, {}).label == "y"
    tie = Item(key="i", votes={"a": "x", "b": "y"})
    assert need(tie, {}).label is None


def test_tests_come_in_between_and_nobody_gets_an_item_twice() -> None:
    work = [Item(key=f"w{i:03}") for i in range(400)]
    known = [f"g{i}" for i in range(40)]
    person, kinds = Person(name="p"), Counter[str]()
    early = 0
    for count in range(200):
        asked = next_item(person, work, known, {})
        assert asked is not None
        kinds[str(asked.blind)] += 1
        early += asked.blind == "gold" and count < PLAN.trial
        if asked.blind == "gold":
            assert asked.key not in person.tested
            person = replace(person, tested=[*person.tested, asked.key])
        elif asked.blind == "again":
            assert person.answered.index(asked.key) < len(person.answered) - PLAN.after
            person = replace(person, repeated=[*person.repeated, asked.key])
        else:
            assert asked.key not in person.answered
            person = replace(person, answered=[*person.answered, asked.key])
            work = [replace(i, votes={"p": "x"}) if i.key == asked.key else i for i in work]
    assert 8 <= early <= 24, "one in four of the first sixty"
    assert 5 <= kinds["gold"] - early <= 24, "one in twelve afterwards"
    assert 2 <= kinds["again"] <= 20
    assert next_item(replace(person, skipped=[i.key for i in work]), work, known, {}) is None


def test_no_more_people_hold_an_item_than_votes_it_needs() -> None:
    held = Item(key="i", leased=frozenset({"a"}))
    plan = Plan(gold=10**9, trusted=10**9, again=10**9)
    assert next_item(Person(name="b"), [held], [], {}, plan) is None
    against = replace(held, votes={"c": "y"}, guess={"x": 0.8})
    found = need(against, {})
    assert found.least == 2
    assert next_item(Person(name="b"), [against], [], {}, plan) is not None
    assert next_item(Person(name="c"), [against], [], {}, plan) is None, "it is theirs already"


def test_votes_are_saved_and_labels_are_as_good_as_three_votes_each() -> None:
    """600 items, people of .7 to .95, a model of .8: fewer votes than three, and no fewer right labels."""
    rng = np.random.default_rng(0)
    labels = [f"l{i}" for i in range(4)]
    skills = dict(zip(NAMES, np.linspace(0.7, 0.95, len(NAMES)).tolist(), strict=True))
    votes = right = three = 0
    for _ in range(600):
        truth = int(rng.integers(4))
        drawn = {
            who: labels[truth if rng.random() < skills[who] else (truth + 1 + int(rng.integers(3))) % 4]
            for who in rng.permutation(NAMES).tolist()
        }
        model = truth if rng.random() < 0.8 else (truth + 1) % 4
        item = Item(key="i", guess={labels[model]: 0.8}, labels=4)
        for who, said in drawn.items():
            if need(item, skills).state != "open":
                break
            item = replace(item, votes={**item.votes, who: said})
        votes += len(item.votes)
        right += need(item, skills).label == labels[truth]
        first = Counter(list(drawn.values())[:3]).most_common(2)
        three += first[0][0] == labels[truth] and (len(first) == 1 or first[0][1] > first[1][1])
    assert votes < 600 * 2
    assert right >= three
