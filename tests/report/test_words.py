"""Every decision can be told, in both languages, with its numbers."""

import re
from pathlib import Path
from typing import Any

import pytest

from bapsim.core.errors import messages
from bapsim.report.page import page
from bapsim.report.words import amount, number, points, rounded, story

SOURCE = Path(__file__).resolve().parents[2] / "src/bapsim"
CODE = "\n".join(
    (SOURCE / name).read_text("utf-8")
    for name in ("judge/gate.py", "judge/duel.py", "wheel/judging.py", "wheel/turn.py")
)
REASONS = sorted(set(re.findall(r'"(decision\.\w+)"', CODE)))
MEANWHILE = sorted(set(re.findall(r'"(provisional\.\w+)"', CODE)))
SEEN = {"decision.better", "decision.worse", "decision.slice_worse", "decision.not_proven", "decision.vetoed"}
VERDICT = {"decision.better": "accept", "decision.worse": "refuse", "decision.slice_worse": "refuse"}
VERDICT |= {"decision.invents_more": "refuse"}


DOUBTED = {"id": "bb", "suggested": "y", "wrong": 0.9}
GAIN = {"gain": 0.013, "low": 0.004, "high": 0.021}
WEAK = {"rows": 120, "wrong": 0.41, "elsewhere": 0.12}
SHOWN = {
    "bb": {"text": "the <i>second</i> row", "label": "x"},
    "cc": {"text": "money back", "label": "refund"},
}


def facts(reason: str, **changes: Any) -> dict[str, Any]:
    """The facts of a turn that ended for this reason, as report.json has them."""
    values: dict[str, Any] = {"z": 0.31, "rows": 1234, "fresh": 96, "slices": "language=ko"}
    weighed: dict[str, Any] = dict.fromkeys(
        ("gain", "low", "high", "p_better", "p_worse", "test", "discordance", "detectable", "missing")
    )
    if reason in SEEN:
        values |= {"wins": 61, "losses": 34, "level": 0.005, "loss_gain": 0.0213}
        weighed |= {"gain": 0.0123, "low": -0.0011, "high": 0.0257, "p_better": 0.03, "p_worse": 0.97}
        weighed |= {"test": "McNemar", "discordance": 0.04, "detectable": 0.0214, "missing": 3187}
    verdict = VERDICT.get(reason, "undecided")
    point = {"turn": 1, "verdict": verdict, "reason": reason, "oof_accuracy": 0.81, "oof_rows": 900}
    exam = {"version": 1, "items": 2000, "looks": 3, "budget": 0.04, "level": 0.004}
    states = ("trained", "exam", "pool", "pending", "superseded", "refused", "unread")
    return {
        "project": "bank",
        "turn": 1,
        "ended": "2026-01-02T03:04:05.000+00:00",
        "seconds": 12.3,
        "decision": {"verdict": verdict, "reason": reason, "values": values, "items": 2000, **weighed},
        "serves": None,
        "candidate": "t002-people",
        "opponent": "t001-people",
        "looked": reason in SEEN,
        "provisional": None,
        "screen": [{"candidate": "t002-people", "z": 1.5, "rows": 900, "look": True}],
        "suspects": [],
        "questions": 150,
        "fits": 6,
        "train_rows": 8000,
        "classes": 77,
        "exam": exam,
        "accounts": {"lines": 10_000, "again": 3, **dict.fromkeys(states, 7)},
        "fresh": {"data": 8000, "experts": 0},
        "refused": {"exact_duplicate": 5, "their_own_reason": 2},
        "unread": {"json": 7},
        "curve": [{**point, "train_rows": 8000, "gain": 0.0123, "low": 0.0, "high": 0.02}],
        "asked": {"random": {"count": 30, "ids": ["aa"]}, "label_error": {"count": 12, "ids": ["bb"]}},
        "task": {"inputs": ["text"], "target": "label", "kind": "text"},
        "notice": {
            "noise": {"rate": 0.11, "low": 0.08, "high": 0.15, "rows": 8000, "some": [DOUBTED]},
            "confused": [{"first": "x", "second": "y", "rows": 40, **GAIN, "ids": ["bb"]}],
            "slices": [{"kind": "word", "name": "refund", **WEAK, "ids": ["cc"]}],
            "repaired": {"asked": 9, "changed": 7, "now": 2, "some": [{"id": "bb", "old": "x", "new": "y"}]},
            "made": {"depth": {"0": 7000, "1": 900, "unknown": 100}, "rights": {"own": 8000}, "source": {}},
            "scripts": {"hangul": 900, "latin": 100, "other": 0},
        },
        "recipe": "0123456789abcdef",
        "chain": "12 " + "a" * 64,
        **changes,
    }


def test_every_reason_of_the_gate_has_words() -> None:
    assert len(REASONS) >= 10
    assert len(MEANWHILE) >= 5
    assert not [r for r in REASONS if r not in messages()]
    assert not [r for r in MEANWHILE if r not in messages()]


@pytest.mark.parametrize("lang", ["en", "ko"])
@pytest.mark.parametrize("reason", REASONS)
def test_every_decision_is_told_with_its_numbers(reason: str, lang: str) -> None:
    told = story(facts(reason), lang)
    whole = " ".join([told.headline, *told.sentences, *told.next])
    assert "{" not in whole
    word = {"en": {"accept": "Accepted", "refuse": "Refused", "undecided": "Undecided"},
            "ko": {"accept": "채택", "refuse": "거부", "undecided": "보류"}}[lang]  # fmt: skip
    assert told.headline.startswith(word[VERDICT.get(reason, "undecided")] + ":")
    if reason in SEEN:
        assert "+1.2" in whole
        assert "61" in whole
    if reason in ("decision.not_proven", "decision.vetoed"):
        assert "2.1" in whole
        assert "3,200" in whole, "an estimate is rounded"
    if reason == "decision.worn":
        assert "96" in whole
    if reason == "decision.screened":
        assert "1,234" in whole
    assert "150" in told.next[-2]


@pytest.mark.parametrize("lang", ["en", "ko"])
@pytest.mark.parametrize("reason", REASONS)
def test_every_decision_has_a_page(reason: str, lang: str) -> None:
    html = page(facts(reason, project="<b>bank</b>"), SHOWN, lang)
    assert "<b>bank</b>" not in html, "names are text"
    assert "their_own_reason" in html
    assert "exact_duplicate" not in html
    assert "<i>second" not in html, "rows are text"
    assert html.count("&lt;i&gt;second") == 4, "repaired, doubted, confused, asked about"
    assert "money back" in html
    assert html.count("<svg") == (2 if reason in SEEN else 1)


@pytest.mark.parametrize("lang", ["en", "ko"])
@pytest.mark.parametrize("reason", MEANWHILE)
def test_what_serves_meanwhile_is_told(reason: str, lang: str) -> None:
    serves = {"version": "t002-people", "new": reason == "provisional.serves", "state": "provisional"}
    provisional = {"allowed": serves["new"], "reason": reason, "gain": 0.1, "low": 0.0, "limit": -0.1}
    told = story(facts("decision.not_proven", serves=serves, provisional=provisional), lang)
    assert any("t002-people" in sentence for sentence in told.sentences)


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_rows_that_nobody_vouched_for_are_told(lang: str) -> None:
    told = story(facts("decision.nothing_new", refused={"unverified": 603}), lang)
    assert "603" in " ".join(told.sentences)
    assert any("spot_checked" in step for step in told.next)
    counts = {"kept": 1, "refused": 41, "silent": 561}
    asked = {"spot_check": {"count": 72, "ids": []}}
    known = {"refused": {"unverified": 561}, "vouchers": {"own": counts}, "asked": asked}
    heard = story(facts("decision.nothing_new", **known), lang)
    assert not any("spot_checked" in step for step in heard.next)
    assert any("own" in one and "41" in one and "561" in one for one in heard.sentences)
    assert any("72" in step for step in heard.next)
    assert "603" not in " ".join(story(facts("decision.nothing_new"), lang).sentences)


def test_a_suspect_is_named() -> None:
    one = {"name": "experts@3", "rows": 300, "noise": 0.381, "low": -0.02, "high": 0.45, "refused": True}
    told = story(facts("decision.not_proven", suspects=[one]), "en")
    said = " ".join(told.sentences)
    assert "38 % (0 to 45) of the labels in experts@3" in said
    assert "300 rows" in said
    assert "use 'experts@3' --reason" in " ".join(told.next)
    kept = story(facts("decision.not_proven", suspects=[one | {"refused": False}]), "en")
    assert "was kept" in " ".join(kept.sentences)
    assert "experts@3" not in " ".join(kept.next)


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.0213, "+2.1"), (-0.004, "−0.4"), (0.0004, "+0.04"), (0.0, "+0.0"), (None, "–"), (float("nan"), "–")],
)
def test_points_have_a_sign_and_few_figures(share: float | None, shown: str) -> None:
    assert points(share) == shown


def test_numbers_are_readable() -> None:
    assert number(1234567) == "1,234,567"
    assert number(-1.5) == "−1.50"
    assert number(None) == "–"
    assert [rounded(n) for n in (3, 47, 187, 3187, 31_870)] == [3, 47, 190, 3200, 32_000]


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_numbers_are_told_in_their_own_unit(lang: str) -> None:
    said = facts("decision.not_proven", answer="number", opponent="median")
    said["decision"] |= {"gain": 3.214, "low": -1.5, "high": 1234.5, "detectable": 0.0123}
    said["decision"]["values"] |= {"answer": "number", "unit": "number"}
    said["curve"][0] |= {"unit": "number", "oof_error": 4.5678, "oof_accuracy": None}
    told = " ".join(story(said, lang).sentences)
    for shown in ("+3.21", "−1.50", "+1,230", "0.0123"):
        assert shown in told
    assert "%p" not in told
    assert "points" not in told
    whole = page(said, SHOWN, lang)
    assert "4.57" in whole
    assert "+3.21" in whole
    said["decision"]["values"]["unit"] = "points"
    said["decision"] |= {"gain": 0.032, "low": 0.01, "high": 0.05, "detectable": None}
    told = " ".join(story(said, lang).sentences)
    assert "+3.2" in told, "points of another metric"
    assert "−0.0213" in told, "and the error that decides"


@pytest.mark.parametrize("lang", ["en", "ko"])
@pytest.mark.parametrize("reason", MEANWHILE)
def test_what_serves_of_numbers_and_which_delivery_is_odd(reason: str, lang: str) -> None:
    suspects = [
        {"name": "x@2", "rows": 60, "noise": 0.3, "low": 0.2, "high": 0.4, "refused": r}
        for r in (True, False)
    ]
    meanwhile = {"reason": reason, "allowed": reason == "provisional.serves"}
    said = facts("decision.screened", answer="number", suspects=suspects, provisional=meanwhile)
    told = " ".join(story(said, lang).sentences)
    assert "30\u00a0%" in told or "30%" in told or "30 %" in told
    assert "log-loss" not in told


def test_the_parts_of_a_set_are_named() -> None:
    assert "whole set" in " ".join(story(facts("decision.better", answer="labels"), "en").sentences)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.000123, "+0.000123"),
        (-1234567.8, "−1,230,000"),
        (12.3456, "+12.3"),
        (0.0, "+0"),
        (None, "–"),
        (float("inf"), "–"),
    ],
)
def test_amounts_have_three_digits(value: float | None, shown: str) -> None:
    assert amount(value, "number") == shown
    assert amount(0.0123, "points") == points(0.0123)
