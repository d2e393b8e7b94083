"""The best of several answers: what is picked, what is declined, and what stands beside it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import InputError
from bapsim.core.fingerprint import fingerprint
from bapsim.core.records import Answers, Rows
from bapsim.mods import best_of
from bapsim.refine.known_answer import known_answer
from bapsim.refine.sorting import sorted_answer


@dataclass
class Said:
    """Says what it was told to say at each time of asking."""

    answers: list[list[str | None]]
    classes: tuple[str, ...] = ("a",)
    asked: list[dict[str, Any]] = field(default_factory=list)
    times: Counter[int] = field(default_factory=Counter)

    def __call__(self, rows: Rows) -> Answers:
        found = []
        for row in rows.to_pylist():
            self.asked.append(row)
            found.append(self.answers[row["i"]][self.times[row["i"]]])
            self.times[row["i"]] += 1
        return Answers(pa.record_batch({"prediction": pa.array(found, pa.string())}))


def rows(count: int) -> Rows:
    return Rows(pa.record_batch({"i": list(range(count))}))


WORD = {"right": True, "wrong": False, "unclear": None}
ANSWER = st.sampled_from([*WORD, None])


def word(row: dict[str, Any], answer: str) -> bool | None:
    return WORD[answer]


@given(
    st.lists(st.lists(ANSWER, min_size=4, max_size=4), min_size=1, max_size=6), st.booleans(), st.booleans()
)
def test_the_first_that_passes_is_answered_and_what_fails_never(
    said: list[list[str | None]], decline: bool, majority: bool
) -> None:
    model = Said(said)
    how = "decline" if decline else "likeliest"
    told = best_of(4, word, otherwise=how, majority=majority)(model)(rows(len(said)))
    for mine, row in zip(said, told.to_pylist(), strict=True):
        seen = mine if majority or "right" not in mine else mine[: mine.index("right") + 1]
        there = [one for one in seen if one is not None]
        if "right" in there:
            assert (row["prediction"], row["verified"]) == ("right", True)
        elif "unclear" in there:
            assert (row["prediction"], row["verified"]) == ("unclear", None)
        else:
            likeliest = there[0] if there and not decline else None
            assert (row["prediction"], row["verified"]) == (likeliest, False)
        assert row["_status"] == ("declined" if row["prediction"] is None else "answered")
        assert row["tries"] == len(there)
        assert row["passed"] == there.count("right")
        assert row["likeliest"] == (there[0] if there else None)
        counts = Counter(there)
        assert counts[row["majority"]] == max(counts.values(), default=0)
        if there:
            assert row["agreement"] == pytest.approx(max(counts.values()) / len(there))


def test_the_likeliest_comes_first_and_each_try_has_its_own_numbers() -> None:
    model = Said([["a"] * 3, ["b"] * 3])
    best_of(3, word_of_none, temperature=0.6)(model)(rows(2))
    assert [row["_temperature"] for row in model.asked] == [0.0] * 2 + [0.6] * 4
    assert len({row["_seed"] for row in model.asked}) == 6
    alone = Said([["a"] * 3, ["b"] * 3])
    best_of(3, word_of_none)(alone)(Rows(rows(2).slice(1)))
    seeds = [row["_seed"] for row in model.asked if row["i"] == 1]
    assert [row["_seed"] for row in alone.asked] == seeds  # whoever else is asked
    twice = Said([["a"] * 3] * 2)
    given = Rows(pa.record_batch({"i": [0, 0], "_seed": [1, 2], "_temperature": [9.0, 9.0]}))
    best_of(1, word_of_none)(twice)(given)
    assert len({row["_seed"] for row in twice.asked}) == 2


def word_of_none(row: dict[str, Any], answer: str) -> None:
    return None


def test_a_verifier_that_raises_refuses() -> None:
    def broken(row: dict[str, Any], answer: str) -> bool:
        raise ZeroDivisionError

    (row,) = best_of(2, broken)(Said([["a", "b"]]))(rows(1)).to_pylist()
    assert (row["prediction"], row["verified"], row["_status"]) == (None, False, "declined")


def test_bapsims_own_verifiers_are_taken() -> None:
    asked = Rows(pa.record_batch({"i": [0, 1], "ask": ["ascending: 3 1 2", "descending: 1 2"]}))
    model = Said([["3 2 1", "1 2 3", "1 2 3"], ["1 2", "1 2", "1 2"]])
    first, second = best_of(3, sorted_answer(question="ask"))(model)(asked).to_pylist()
    assert (first["prediction"], first["passed"], first["majority"]) == ("1 2 3", 2, "1 2 3")
    assert (second["prediction"], second["majority"], second["agreement"]) == (None, "1 2", 1.0)
    known = Rows(
        pa.record_batch(
            {"i": [0], "key": [None]}, schema=pa.schema([("i", pa.int64()), ("key", pa.string())])
        )
    )
    (row,) = best_of(1, known_answer("key"))(Said([["72"]]))(known).to_pylist()
    assert (row["prediction"], row["verified"]) == ("72", None)


def test_a_respondent_that_declines_gives_nothing() -> None:
    def shy(rows: Rows) -> Answers:
        return Answers(pa.record_batch({"prediction": ["right"], "_status": ["declined"]}))

    (row,) = best_of(2, word)(shy)(rows(1)).to_pylist()
    assert (row["prediction"], row["tries"], row["majority"]) == (None, 0, None)
    assert len(best_of(2, word)(Said([]))(rows(0))) == 0


def test_settings_and_identity() -> None:
    for how in ({"n": 0}, {"n": 1, "temperature": -1.0}, {"n": 1, "otherwise": "guess"}):
        with pytest.raises(InputError):
            best_of(how.pop("n"), word, **how)
    assert best_of(2, word)(Said([])).classes == ("a",)
    assert fingerprint(best_of(2, word)) != fingerprint(best_of(3, word))
