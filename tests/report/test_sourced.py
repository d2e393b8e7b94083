"""The table of sources says what is known, what cannot be told, and what was paid."""

from __future__ import annotations

import pytest

from bapsim.report.charts import learning
from bapsim.report.page import page
from bapsim.report.sourced import sources, spent
from bapsim.report.words import story
from tests.report.test_words import SHOWN, facts

STANDS = {"trained": 0, "exam": 0, "pool": 0, "pending": 0, "superseded": 0}
NOTHING = {
    "refused": {},
    "unread": {},
    "noise": None,
    "new": None,
    "checked": None,
    "points": None,
    "costs": {},
}
EXPERTS = {
    "name": "<experts>",
    **STANDS,
    **NOTHING,
    "trained": 1200,
    "exam": 80,
    "refused": {"exact_duplicate": 3},
    "unread": {"cannot_tell": 2},
    "noise": {"share": 0.044, "low": 0.01, "high": 0.09, "rows": 900},
    "points": {"gain": 0.0123, "low": 0.002, "high": 0.02, "tells": True, "rows": 900},
    "new": {"agree": 66, "rows": 83, "share": 0.8, "low": 0.7, "high": 0.87, "classes": 5},
    "checked": {"agree": 3, "rows": 30, "share": 0.1, "low": 0.03, "high": 0.26},
    "costs": {"KRW": 120_000, "USD": 1250},
    "paid": [{"file": "data/v.csv", "rows": 160, "accepted": 0, "minor": 240_000, "currency": "KRW"}],
    "cost_per_accepted": {"KRW": 93.75},
}
CRAWL = {"name": "crawl", **STANDS, **NOTHING, "points": {"tells": False, "rows": 0}}
NOBODY = {"name": None, "costs": {"KRW": 5000}, "cost_per_accepted": {}}


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_what_is_known_is_told_and_what_is_not_is_said_to_be_so(lang: str) -> None:
    said = sources(facts("decision.better", sources=[EXPERTS, CRAWL, NOBODY]), lang)
    assert said is not None
    first, second, third = said["rows"]
    assert all(len(row) == len(said["head"]) for row in said["rows"])
    assert "1,200" in first[1]
    assert first[2:5] == ["3", "4% (1–9)", "+1.2 [+0.2, +2.0]"]
    assert "120,000 KRW" in first[5]
    assert "94 KRW" in first[5]
    assert "12.50 USD" in first[5]
    unknown = {"en": "cannot tell", "ko": "알 수 없음"}[lang]
    assert second[1:] == ["0", "0", unknown, unknown, "–"]
    assert third[5] == "5,000 KRW"
    assert len(said["notes"]) == 3
    assert "240,000 KRW" in said["notes"][0]
    assert "160" in said["notes"][0]
    html = page(facts("decision.better", sources=[EXPERTS, CRAWL, NOBODY]), SHOWN, lang)
    assert "&lt;experts&gt;" in html
    assert "<experts>" not in html


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_a_source_with_confused_labels_is_a_thing_to_do(lang: str) -> None:
    confused = EXPERTS | {"name": "expert B", "noise": {"share": 0.31, "low": 0.2, "high": 0.4, "rows": 200}}
    said = story(facts("decision.better", sources=[EXPERTS, confused, CRAWL, NOBODY]), lang).next
    named = [step for step in said if "expert B" in step]
    assert len(named) == 1
    assert "31" in named[0]
    assert not [step for step in said if "<experts>" in step]


def test_turns_of_older_versions_have_no_table() -> None:
    assert sources(facts("decision.better"), "en") is None
    assert sources(facts("decision.better", sources=[]), "en") is None


def test_costs_stand_beside_the_curve_by_turn() -> None:
    curve = [{"turn": 1, "costs": {}}, {"turn": 2, "costs": {"KRW": 40_000, "USD": 5}}, {"turn": 3}]
    assert spent(curve, "en") == "Paid: turn 2 40,000 KRW + 0.05 USD."
    assert spent(curve[:1], "ko") == ""


def test_the_curve_has_bars_where_intervals_are_known() -> None:
    point = {"verdict": "accept", "oof_accuracy": 0.8, "train_rows": 10, "turn": 1}
    words = {"turn": "turn", "rows": "{rows} rows", "label": "curve"}
    plain, barred = learning([point], words), learning([point | {"oof_low": 0.6, "oof_high": 0.9}], words)
    assert "whisker" not in plain
    assert barred.count("whisker") == 1
