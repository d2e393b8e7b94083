"""The questions of an interview in words: short, in Korean and English, the same whenever they are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bapsim.compose.dialogue import Question
from bapsim.core.errors import InputError, text
from bapsim.text.rule_words import say_rule
from bapsim.text.rules import rule_of

MANY = 3  # labels that a question names


def say_question(question: Question, lang: str) -> str:
    """One question to a person as a sentence or two; what it shows (cases, rules) stands beside it."""
    about, kind = question.about, question.kind
    again = text("interview.again", lang) + " " if about.get("again") and kind != "rule" else ""
    said = _SAY[kind](about, lang) if kind in _SAY else text(f"interview.{kind}", lang, **_plain(about))
    return again + said


def _plain(about: Mapping[str, Any]) -> dict[str, Any]:
    return {name: about[name] for name in ("n", "of", "text", "label") if name in about}


def _holds(about: Mapping[str, Any], lang: str) -> str:
    said = []
    for one in about["against"]:
        said.append(text(f"interview.by.{one['by']}", lang, label=one["label"]))
        if one.get("why"):
            said.append(text("interview.because", lang, why=one["why"]))
    return text("interview.holds", lang, mine=about["mine"], against=" ".join(said))


def _reason(about: Mapping[str, Any], lang: str) -> str:
    if not about["against"]:
        return text("interview.reason.alone", lang, label=about["label"])
    others = named(about["against"][:MANY], lang)
    return text("interview.reason", lang, label=about["label"], against=others)


def named(labels: Sequence[str], lang: str) -> str:
    """Labels in quotation marks, any of them."""
    marks = "‘’" if lang == "ko" else "“”"
    return text("interview.or", lang).join(f"{marks[0]}{label}{marks[1]}" for label in labels)


def _rule(about: Mapping[str, Any], lang: str) -> str:
    if about.get("again"):
        return text("interview.rule.again", lang)
    if about.get("why"):
        return text(f"interview.rule.{about['why']}", lang)
    fit = about.get("fit")
    try:
        words = say_rule(rule_of(about["rule"]), lang) if about.get("rule") and fit else ""
    except InputError:
        words = ""
    if not words or fit is None:
        return text("interview.rule", lang, label=about["label"])
    counts = {name: fit[name] for name in ("right", "matched")}
    return text("interview.rule.suggested", lang, label=about["label"], rule=words, **counts)


def _own(about: Mapping[str, Any], lang: str) -> str:
    return text("interview.own", lang, label=about["label"], mine=about["mine"])


def _counter(about: Mapping[str, Any], lang: str) -> str:
    return text(f"interview.counter.{'caught' if about['caught'] else 'missed'}", lang, label=about["label"])


def _guideline(about: Mapping[str, Any], lang: str) -> str:
    if about.get("now"):
        return text("interview.guideline.now", lang, label=about["label"], now=about["now"])
    return text("interview.guideline", lang, label=about["label"])


def _sure(about: Mapping[str, Any], lang: str) -> str:
    return text("interview.sure.peers" if about.get("peers") else "interview.sure", lang)


_SAY = {
    "sure": _sure,
    "holds": _holds,
    "reason": _reason,
    "rule": _rule,
    "own": _own,
    "counter": _counter,
    "guideline": _guideline,
}
