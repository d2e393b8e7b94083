"""The audit of verifiers: its mutants are wrong, its counts add up, its bounds are Clopper and Pearson's."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from bapsim.refine.mutation import HEDGE, TEXT_KINDS, Audit, admits, audit, bounds, mutants
from bapsim.text.canonical import canonical, number, same


def exact(asked: Any, answer: str) -> bool:
    return same(str(asked), answer)


def told(count: int) -> list[tuple[str, str]]:
    """Items whose question is their answer."""
    return [(f"{17 * n + 100}", f"{17 * n + 100}") for n in range(count)]


@given(st.text(max_size=40), st.integers(0, 99))
def test_every_mutant_differs_in_canonical_form(gold: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = dict(mutants(gold, rng, [*TEXT_KINDS, "label"], others=["5 km", "no", gold], labels=["a", "b"]))
    assert all(canonical(one) != canonical(gold) for one in made.values())
    assert made["suffix"] == gold + HEDGE
    assert made["label"] in {"a", "b"}


def test_kinds_are_made_of_what_an_answer_has() -> None:
    rng = np.random.default_rng(0)
    made = dict(mutants("3 km, 12 m", rng, others=["7 kg"]))
    assert set(made) == set(TEXT_KINDS)
    assert made["sign"] in {"-3 km, 12 m", "3 km, -12 m"}
    assert made["order"] == "12 m, 3 km"
    assert sum(a != b for a, b in zip(made["digit"], "3 km, 12 m", strict=True)) == 1
    assert sorted(made["swap"]) == sorted("3 km, 12 m")
    listed = dict(mutants("[1, 2, 3]", rng))
    assert sorted(json.loads(listed["order"])) == [1, 2, 3]
    assert set(dict(mutants("aaa", rng))) == {"suffix", "empty"}
    with pytest.raises(ValueError, match="colour"):
        list(mutants("a", rng, ["colour"]))


def test_a_sound_verifier_admits_from_149_answers_on() -> None:
    assert admits(audit(exact, told(149)))
    assert not admits(audit(exact, told(148)))
    assert not admits(audit(exact, []))


@pytest.mark.parametrize(
    ("lenient", "kind"),
    [
        (lambda asked, answer: True, "empty"),
        (lambda asked, answer: answer.startswith(str(asked)), "suffix"),
        (lambda asked, answer: number(answer) is not None and abs(number(answer) - int(asked)) <= 9, "digit"),
        (lambda asked, answer: sorted(answer) == sorted(str(asked)), "swap"),
        (lambda asked, answer: answer.strip("-") == asked, "sign"),
        (lambda asked, answer: answer != "" and number(answer) is not None, "other"),
    ],
)
def test_a_lenient_verifier_does_not_admit(lenient: Any, kind: str) -> None:
    said = audit(lenient, told(200))
    caught = {one.name: one for one in said.kinds}
    assert not admits(said)
    assert caught[kind].low > 0.02
    assert said.false_refuse == 0


def test_one_bad_kind_is_not_hidden_among_many() -> None:
    """A tenth of swapped answers passes: 15 of 2,000 would do by the sum alone."""
    seen = []

    def leaky(asked: Any, answer: str) -> bool:
        if sorted(answer) == sorted(str(asked)) and answer != asked:
            seen.append(answer)
            return len(seen) % 10 == 0
        return answer == asked

    said = audit(leaky, told(500))
    assert said.taken / said.tried < 0.02
    assert not admits(said)
    assert said.worst().name == "swap"


def test_what_is_right_too_is_not_held_against_a_verifier() -> None:
    def any_order(asked: Any, answer: str) -> bool:
        return sorted(answer.split()) == asked.split()

    items = [(f"{n} {n + 1} {n + 2}", f"{n} {n + 1} {n + 2}") for n in range(100, 390)]
    assert not admits(audit(any_order, items))
    fair = audit(
        any_order, items, equals=lambda asked, one, other: sorted(one.split()) == sorted(other.split())
    )
    assert fair.equal >= 290
    assert admits(fair)


def test_refusals_and_silence_are_counted() -> None:
    def odd(asked: Any, answer: str) -> bool | None:
        if int(asked) % 3 == 0:
            raise OSError("no verifier today")
        return None if int(asked) % 3 == 1 else answer == asked

    said = audit(odd, told(300))
    assert (said.gold, said.refused, said.abstained) == (300, 100, 100)
    assert said.false_refuse == 0.5
    assert said.answers == 100
    assert all(kind.abstained == 0 for kind in said.kinds)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.integers(0, 9))
def test_counts_add_up(moods: list[int], seed: int) -> None:
    def moody(asked: Any, answer: str) -> bool | None:
        return (True, False, None)[(moods[int(asked) % len(moods)] + len(answer) * (answer != asked)) % 3]

    said = audit(moody, told(20), seed=seed)
    silent = sum(kind.abstained for kind in said.kinds)
    assert said.fooled <= said.answers <= said.gold - said.refused - said.abstained
    assert said.fooled <= said.taken <= said.tried - silent
    assert all(kind.low <= kind.rate <= kind.high for kind in said.kinds if kind.tried)
    assert said == audit(moody, told(20), seed=seed)
    assert isinstance(said, Audit)


@given(st.integers(0, 60), st.integers(0, 60))
def test_bounds_hold_the_level(hits: int, more: int) -> None:
    tries = hits + more
    low, high = bounds(hits, tries)
    assert 0 <= low <= high <= 1
    if hits:
        assert binom.sf(hits - 1, tries, low) == pytest.approx(0.05)
    if more:
        assert binom.cdf(hits, tries, high) == pytest.approx(0.05)
    if not tries:
        assert (low, high) == (0, 1)
