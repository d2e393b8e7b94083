"""What a dialogue gave, as lines for its expert's approval: each names the turn of the dialogue it came from.

Lines are those of people's files in the inbox. Nothing here is approved: whoever gave it sees each line, with
personal data masked, and lets it be used or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bapsim.compose.dialogue import Question, masked
from bapsim.compose.interview import Given, Outcome
from bapsim.compose.interview_words import say_question
from bapsim.core.errors import text
from bapsim.core.fingerprint import fingerprint
from bapsim.text.rule_words import say_rule
from bapsim.text.rules import rule_of

Line = dict[str, Any]
KINDS = ("vote", "example", "rationale", "rule", "qa", "instruction", "pair", "view")


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """Whose dialogue it was: its id ("d-..."), the person's pseudonym; column: of the task's input, for
    examples in the expert's own words; lang: of the questions.
    """

    id: str
    person: str
    column: str
    lang: str


def harvest(outcome: Outcome, of: Dialogue, kinds: Sequence[str] = KINDS) -> list[Line]:
    """All that was given as lines of these kinds, in the order of the dialogue; the same outcome gives the
    same lines.

    seconds: of a line what its reply took, and those before it that made none; what one reply took is in one
    line alone.
    """
    last = {one.values["case"]["id"]: one for one in outcome.of("answer")}
    reasons = {one.values["topic"]: one for one in outcome.of("reason")}
    shares = {
        (one.kind, one.values["topic"]): one.values["share"]
        for one in outcome.given
        if one.kind in ("sure", "peers")
    }
    found: list[Line] = []
    took, step = 0.0, -1
    for one in outcome.given:
        took, step = took + (one.seconds if one.step != step else 0.0), one.step
        said: Iterator[Line] = iter(())
        if one.kind == "answer" and last[one.values["case"]["id"]] is one:
            said = _answered(one, reasons, shares, of)
        elif one.kind in _LINES:
            said = _LINES[one.kind](one.values, of)
        made = [_line(one, of, **body) for body in said if body["kind"] in kinds]
        if made and took:
            made[0]["seconds"], took = round(took, 1), 0.0
        found += made
    if found and took:
        found[-1]["seconds"] = round(found[-1].get("seconds", 0.0) + took, 1)
    return found


def guidelines(outcome: Outcome) -> list[Mapping[str, Any]]:
    """The texts that the guideline should have, the last one of each label: label, text, base (version)."""
    return [one.values for one in {one.values["label"]: one for one in outcome.of("guideline")}.values()]


def _line(one: Given, of: Dialogue, *, kind: str, **body: Any) -> Line:
    values: Line = {"kind": kind, "person": of.person, "at": one.at, "dialogue": f"{of.id}/{one.step}"}
    values |= masked(body)
    return {"id": "l-" + fingerprint(of.id, one.step, kind, body), **values}


def _answered(
    one: Given, reasons: Mapping[str, Given], shares: Mapping[tuple[str, str], float], of: Dialogue
) -> Iterator[Line]:
    """A vote; and, where it is known why, what a model can learn to say."""
    case, label, topic = one.values["case"], one.values["label"], one.values["topic"]
    body: Line = {"kind": "vote", "question": case["id"], "said": label, "cannot_tell": False, "blind": None}
    body |= {"confidence": shares.get(("sure", topic)), "peers": shares.get(("peers", topic))}
    yield body | ({"comment": one.values["why"]} if one.values.get("why") else {})
    why = one.values.get("why") or ""
    if not why and topic in reasons and reasons[topic].values["label"] == label:
        why = reasons[topic].values["text"]
    prompt = _prompt(case, label, of.lang)
    if why:
        answer = text("harvest.answer", of.lang, label=label, why=why)
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        yield {"kind": "instruction", "messages": messages, "parents": [case["id"]]}
    if case.get("said") not in (None, label):
        answer = text("harvest.answer", of.lang, label=label, why=why).strip() if why else label
        pair = {"prompt": prompt, "chosen": answer, "rejected": case["said"], "parents": [case["id"]]}
        yield {"kind": "pair", **pair}


def _prompt(case: Mapping[str, Any], label: str, lang: str) -> str:
    labels = sorted({label, *(case[name] for name in ("label", "said") if case.get(name))})
    if len(labels) < 2:
        return text("harvest.prompt.open", lang, text=case["text"])
    return text("harvest.prompt", lang, labels=", ".join(labels), text=case["text"])


def _untold(values: Mapping[str, Any], of: Dialogue) -> Iterator[Line]:
    said: Line = {"kind": "vote", "question": values["case"]["id"], "said": None, "cannot_tell": True}
    yield {**said, "confidence": None, "peers": None, "blind": None, **_comment(values["why"])}


def _comment(why: str) -> Line:
    return {"comment": why} if why else {}


def _example(values: Mapping[str, Any], of: Dialogue) -> Iterator[Line]:
    why = {"why": values["why"]} if values["why"] else {}
    given = {of.column: values["text"]}
    yield {"kind": "example", "input": given, "target": values["label"], "parents": values["parents"], **why}


def _reason(values: Mapping[str, Any], of: Dialogue) -> Iterator[Line]:
    """The rationale, and the question with its answer."""
    yield {"kind": "rationale", "text": values["text"], "parents": values["cases"]}
    asked = say_question(Question(to="person", kind="reason", about=values), of.lang)
    yield {"kind": "qa", "question_text": asked, "answer_text": values["text"], "parents": values["cases"]}


def _rule(values: Mapping[str, Any], of: Dialogue) -> Iterator[Line]:
    words = say_rule(rule_of(values["rule"]), of.lang)
    body = {"rule": values["rule"], "label": values["label"], "text": words, "parents": values["cases"]}
    yield {"kind": "rule", **body}


def _stood(values: Mapping[str, Any], of: Dialogue) -> Iterator[Line]:
    """A position that others do not share: this person's own part of the distribution."""
    if values["against"] or len(values["shares"]) > 1:
        body = {"question": values["case"]["id"], "distribution": values["shares"]}
        yield {"kind": "view", **body, **_comment(values["why"])}


def _argued(values: Mapping[str, Any], of: Dialogue) -> Iterator[Line]:
    """An objection: another label for a case is a view, words alone are a rationale."""
    case = values["case"]
    if case and values.get("label"):
        body = {"question": case["id"], "distribution": {values["label"]: 1.0}}
        yield {"kind": "view", **body, "comment": values["text"], "appeal": values["against"]}
    else:
        yield {"kind": "rationale", "text": values["text"], "parents": [case["id"]] if case else []}


_LINES = {
    "cannot_tell": _untold,
    "example": _example,
    "reason": _reason,
    "rule": _rule,
    "stood": _stood,
    "argued": _argued,
}


def taught(
    outcome: Outcome, of: Dialogue, kinds: Sequence[str] = ("vote", "example", "rule", "view")
) -> list[Line]:
    """The lines that change what the model learns: what the room shows the effect of while it goes on."""
    return harvest(outcome, of, kinds)
