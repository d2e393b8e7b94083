"""The interview: what an expert is asked about where the model errs, as an exchange that can be replayed.

Topic by topic: the right answer for some cases, what tells them apart, the rule of it, the case that is most
like them and speaks against the rule, whatever contradicts what was said (earlier answers, other people, the
guideline), how sure the expert is, how many peers would agree, and what the guideline should say. Nothing is
asked that the answers have settled: cases that are all as the data has them need no rule.

The expert may at any question open a topic, object, correct the guideline, skip it, leave the topic, go back,
or stop. Nobody sees what the data, the model or another person says of a case before answering it.

The state is a list of what is still to be done; each reply makes another state, so that going back is taking
an old one. What the data says is asked, too (`to` = "data"), and taped: the same replies give the same
dialogue, whatever has changed in the data since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bapsim.compose.dialogue import Json, Question, Reply, reply_of
from bapsim.core.errors import InputError
from bapsim.core.records import Answers, Rows
from bapsim.text.rule_words import read_rule, say_rule
from bapsim.text.rules import Rule, folded, matching, rule_of

CASES, TRIVIAL = 4, 3  # cases of a topic; after so many that are all as the data has them it is settled
AGAIN = 2  # times that a question is put again
AGAINST = 3  # labels that one is told from
ROUNDS = 2  # times that a rule is mended
MOST = 500  # questions of one dialogue
LABEL, WORDS = 200, 4_000  # characters

ACTS = ("answer", "skip", "cannot_tell", "undo", "open", "argue", "guideline", "leave", "stop")


@dataclass(frozen=True)
class Step:
    """One thing to be done: asked of a person or of the data, or thought over; with its plain values."""

    kind: str
    about: Json


@dataclass(frozen=True, kw_only=True)
class Given:
    """One thing that the expert gave: in which step of the dialogue, its kind, plain values, when, and how
    long it took.
    """

    step: int
    kind: str
    values: Json
    at: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class State:
    """todo: what is next, first; given: so far; topics: offered and not done yet; step: questions asked."""

    todo: tuple[Step, ...] = ()
    given: tuple[Given, ...] = ()
    topics: tuple[Json, ...] = ()
    step: int = 0

    def then(self, *steps: Step) -> State:
        """These first."""
        return replace(self, todo=(*steps, *self.todo))

    def gave(self, kind: str, reply: Reply, /, **values: Any) -> State:
        """With one thing more."""
        one = Given(step=self.step, kind=kind, values=values, at=reply.at, seconds=reply.seconds)
        return replace(self, given=(*self.given, one))

    def answers(self, topic: str) -> dict[str, Given]:
        """The last answer to each case of a topic."""
        mine = (one for one in self.given if one.kind == "answer" and one.values["topic"] == topic)
        return {one.values["case"]["id"]: one for one in mine}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a dialogue came to: everything that was given and not taken back, in order; steps: questions."""

    given: tuple[Given, ...]
    steps: int

    def of(self, kind: str) -> list[Given]:
        """What was given of one kind."""
        return [one for one in self.given if one.kind == kind]


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How the expert is asked. cases: of a topic at most; most: questions in all; topic: begin with this one,
    without offering others.
    """

    cases: int = CASES
    most: int = MOST
    topic: str | None = None


USUAL = Manner()


class Unclear(Exception):
    """A reply that does not answer the question: it is put again."""


# ---------------------------------------------------------------- the exchange


def interview(
    manner: Manner = USUAL, watch: Callable[[Outcome], None] | None = None
) -> Generator[Rows, Answers, Outcome]:
    """The dialogue with one person; see the module. Replies are JSON: {"act": ..., "said": ...}, and what the
    kind of question asks for; all kinds are in docs/room.md. watch: is told what was given so far, whenever
    a person is asked.
    """
    state = State(todo=(Step("topics", {}),))
    past: list[State] = []
    asked = 0
    while state.todo and asked < manner.most:
        head, state = state.todo[0], replace(state, todo=state.todo[1:])
        if head.kind in _THINK:
            state = _THINK[head.kind](state, head.about)
            continue
        to_data = head.kind in _LOOK
        if watch is not None and not to_data:
            watch(Outcome(given=state.given, steps=state.step))
        question = Question(to="data" if to_data else "person", kind=head.kind, about=_shown(head))
        reply = reply_of((yield question.rows()))
        state = replace(state, step=state.step + 1)
        if to_data:
            state = _LOOK[head.kind](state, head.about, reply, manner)
            continue
        asked += 1
        if reply.said.get("act") == "undo":
            state = replace(past.pop() if past else state.then(head), step=state.step)
            continue
        past.append(state.then(head))
        state = _heard(state, head, reply)
    return Outcome(given=state.given, steps=state.step)


def _shown(step: Step) -> Json:
    """What goes out: nothing that would lead whoever answers."""
    about = dict(step.about)
    if about.get("case"):
        about["case"] = _plain(about["case"])
    return {k: v for k, v in about.items() if not k.startswith("_")}


def _heard(state: State, head: Step, reply: Reply) -> State:
    """The state after a person's reply."""
    act = reply.said.get("act", "answer")
    if act in _ACTS:
        try:
            return _ACTS[act](state, head, reply)
        except Unclear:
            return _again(state, head)
    try:
        return _ASK[head.kind](state, head.about, reply)
    except Unclear:
        return _again(state, head)


def _again(state: State, head: Step) -> State:
    """The question once more, with a word about it; after AGAIN times it is left."""
    times = int(head.about.get("again", 0)) + 1
    return state.then(Step(head.kind, {**head.about, "again": times})) if times <= AGAIN else state


# ---------------------------------------------------------------- what may be said to any question


def _skip(state: State, head: Step, reply: Reply) -> State:
    """The question is left. A rule that was stated already stands as it is."""
    state = state.gave("skipped", reply, kind=head.kind, topic=head.about.get("topic", ""))
    stated = head.kind == "own" or (head.kind == "rule" and head.about["round"])
    return state.then(Step("kept", head.about)) if stated else state


def _cannot_tell(state: State, head: Step, reply: Reply) -> State:
    case = head.about.get("case")
    if head.kind not in ("case", "counter") or not case:
        return _skip(state, head, reply)
    said = {"case": case, "topic": head.about["topic"], "why": _words(reply, "why", empty=True)}
    return state.gave("cannot_tell", reply, **said)


def _open(state: State, head: Step, reply: Reply) -> State:
    """A topic of the expert's own, before what waits goes on."""
    said = _words(reply, "said")
    return state.then(Step("similar", {"text": said}), head).gave("opened", reply, text=said)


def _argue(state: State, head: Step, reply: Reply) -> State:
    """An objection, with its reason; the question waits. about: "label", "model", "rule" or what it is."""
    values: dict[str, Any] = {"text": _words(reply, "said")}
    values["against"] = str(reply.said.get("against") or "")[:LABEL]
    values |= {"case": head.about.get("case"), "topic": head.about.get("topic", "")}
    label = reply.said.get("label")
    if isinstance(label, str) and label.strip():
        values["label"] = label.strip()[:LABEL]
    return state.gave("argued", reply, **values).then(head)


def _guideline(state: State, head: Step, reply: Reply) -> State:
    """Another text of the guideline for a label; base: the version that the expert saw."""
    label = _label(reply.said.get("label"))
    values = {"label": label, "text": _words(reply, "said"), "base": _count(reply.said.get("base"))}
    return state.gave("guideline", reply, **values).then(head)


def _leave(state: State, head: Step, reply: Reply) -> State:
    """The rest of the topic is dropped; a rule that was stated stands."""
    topic = head.about.get("topic")
    rest = [one for one in state.todo if one.about.get("topic") != topic or not topic]
    return replace(state, todo=(*_standing(state, head), *(one for one in rest if one.kind != "kept")))


def _stop(state: State, head: Step, reply: Reply) -> State:
    """The dialogue ends; a rule that was stated stands."""
    return replace(state, todo=_standing(state, head))


def _standing(state: State, head: Step) -> tuple[Step, ...]:
    """The rule that is being talked about, to be kept as it was stated last."""
    if head.kind == "own" or (head.kind == "rule" and head.about["round"]):
        return (Step("kept", head.about),)
    return tuple(one for one in state.todo if one.kind == "kept")


_ACTS: Mapping[str, Callable[[State, Step, Reply], State]] = {
    "skip": _skip,
    "cannot_tell": _cannot_tell,
    "open": _open,
    "argue": _argue,
    "guideline": _guideline,
    "leave": _leave,
    "stop": _stop,
}


def _words(reply: Reply, name: str, *, empty: bool = False) -> str:
    said = reply.said.get(name)
    if not isinstance(said, str) or not said.strip():
        if empty:
            return ""
        raise Unclear
    return " ".join(said.split())[:WORDS]


def _label(said: Any) -> str:
    if not isinstance(said, str) or not said.strip() or len(said) > LABEL:
        raise Unclear
    return " ".join(said.split())


def _count(said: Any) -> int:
    return said if isinstance(said, int) and not isinstance(said, bool) and said >= 0 else 0


def _share(reply: Reply, name: str) -> float:
    said = reply.said.get(name)
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said <= 1:
        raise Unclear
    return float(said)


# ---------------------------------------------------------------- topics


def _topics(state: State, about: Json, reply: Reply, manner: Manner) -> State:
    """The topics that there are, as the data has them; and, first, where others disagree by now."""
    found = tuple(one for one in reply.said.get("topics") or () if one.get("cases"))
    state = replace(state, topics=found)
    if manner.topic is not None:
        chosen = [one for one in found if one["id"] == manner.topic]
        return _begin(state, chosen[0], manner) if chosen else state
    return state.then(Step("disputes", {"_cases": manner.cases}))


def _disputes(state: State, about: Json, reply: Reply, manner: Manner) -> State:
    """Cases that the expert answered and others, since, otherwise; then the choice of a topic."""
    known = {one.values["case"]["id"] for one in state.given if one.kind == "stood"}
    new = [one for one in reply.said.get("disputes") or () if one["case"]["id"] not in known]
    steps = [
        Step("holds", {"case": one["case"], "mine": one["mine"], "against": one["others"], "topic": ""})
        for one in new
    ]
    return state.then(*steps, Step("offer", {"_cases": about["_cases"]}))


def _offer(state: State, about: Json) -> State:
    """What the expert may choose from; without any topic left the dialogue ends."""
    if not state.topics:
        return state
    offered = [{k: v for k, v in one.items() if k != "cases"} for one in state.topics]
    return state.then(Step("choose", {"topics": offered, "_cases": about["_cases"]}))


def _choose(state: State, about: Json, reply: Reply) -> State:
    chosen = [one for one in state.topics if one["id"] == reply.said.get("said")]
    if not chosen:
        raise Unclear
    manner = Manner(cases=int(about["_cases"]))
    after = state.then(Step("disputes", {"_cases": manner.cases}))
    return _begin(after, chosen[0], manner)


def _begin(state: State, topic: Json, manner: Manner) -> State:
    """The cases of a topic, and what is to be asked when they are answered."""
    name = str(topic["id"])
    state = replace(state, topics=tuple(one for one in state.topics if one["id"] != name))
    done = {one.values["case"]["id"] for one in state.given if one.kind == "answer"}
    cases = [one for one in topic["cases"] if one["id"] not in done][: manner.cases]
    steps = [
        Step("case", {"case": one, "topic": name, "labels": topic["labels"], "n": n, "of": len(cases)})
        for n, one in enumerate(cases, 1)
    ]
    return state.then(*steps, Step("reflect", {"topic": name, "_of": topic}))


def _similar(state: State, about: Json, reply: Reply, manner: Manner) -> State:
    """A topic that the expert opened, if anything is like it."""
    topic = reply.said.get("topic")
    if not topic or not topic.get("cases"):
        return state.then(Step("nothing", {"text": about["text"], "topic": ""}))
    return _begin(state, topic, manner)


def _nothing(state: State, about: Json, reply: Reply) -> State:
    """Nothing in the data is like it: an example of the expert's own says more."""
    label = _label(reply.said.get("said"))
    values = {"text": about["text"], "label": label, "why": _words(reply, "why", empty=True), "parents": []}
    return state.gave("example", reply, **values)


# ---------------------------------------------------------------- cases


def _case(state: State, about: Json, reply: Reply) -> State:
    """The right answer; then what contradicts it, and whether the topic is settled."""
    label, case, topic = _label(reply.said.get("said")), about["case"], about["topic"]
    state = state.gave(
        "answer", reply, case=case, label=label, topic=topic, why=_words(reply, "why", empty=True)
    )
    if _trivial(state, topic) and len(state.answers(topic)) >= TRIVIAL:
        state = replace(state, todo=tuple(one for one in state.todo if not _case_of(one, topic)))
    return state.then(Step("heard", {"case": case, "mine": label, "topic": topic}))


def _case_of(step: Step, topic: str) -> bool:
    return step.kind == "case" and step.about["topic"] == topic


def _trivial(state: State, topic: str) -> bool:
    """All cases are one thing, and what they were taken for: nothing is to be learnt from more of them."""
    said = _answered(state.answers(topic))
    return len({label for label, _ in said}) == 1 and all(label == _taken(case) for label, case in said)


def _taken(case: Json) -> str | None:
    """What a case is by the data, or, where nobody said anything, by the model."""
    known: str | None = case.get("label") or case.get("said")
    return known


def _conflicts(state: State, about: Json, reply: Reply, manner: Manner) -> State:
    """Whatever says otherwise: the data, this person before, others, a rule of the guideline."""
    against = [one for one in reply.said.get("against") or () if one.get("label") != about["mine"]]
    return state if not against else state.then(Step("holds", {**about, "against": against}))


def _holds(state: State, about: Json, reply: Reply) -> State:
    """Which of two answers stands: the first ("keep"), another ("change"), or both."""
    said, mine, case = reply.said.get("said"), about["mine"], about["case"]
    why = _words(reply, "why", empty=True)
    labels = list(dict.fromkeys(str(one["label"]) for one in about["against"]))
    if said == "change":
        other = _label(reply.said.get("label") or (labels[0] if len(labels) == 1 else None))
        state = state.gave("answer", reply, case=case, label=other, topic=about["topic"], why=why)
        mine, both = other, False
    elif said in ("keep", "both"):
        both = said == "both"
    else:
        raise Unclear
    others = [one for one in about["against"] if one["by"] in ("other", "you") and one["label"] != mine]
    shares = dict.fromkeys([mine, *labels], 1 / (1 + len(labels))) if both else {mine: 1.0}
    return state.gave("stood", reply, case=case, label=mine, shares=shares, against=others, why=why)


# ---------------------------------------------------------------- the reason and the rule


def _reflect(state: State, about: Json) -> State:
    """What is left to ask of a topic, now that its cases are answered: nothing, where they are settled, one
    alone, or of so many kinds that there is no one boundary between them.
    """
    name, said = about["topic"], state.answers(about["topic"])
    if len(said) < 2 or _trivial(state, name):
        return state
    counts = Counter(one.values["label"] for one in said.values())
    disputed = Counter(label for label, case in _answered(said) if label != _taken(case))
    label = min(counts, key=lambda one: (-counts[one], -disputed[one], one))
    if counts[label] < 2 and len(counts) > 2:
        return state
    taken = [case.get(by) for mine, case in _answered(said) if mine == label for by in ("label", "said")]
    others = [one for one in (*counts, *taken) if one not in (None, label)]
    cases = [{**_plain(case), "label": mine} for mine, case in _answered(said)]
    what = {"topic": name, "label": label, "against": list(dict.fromkeys(others))[:AGAINST], "cases": cases}
    contested = any(one.kind == "stood" and one.values["case"]["id"] in said for one in state.given)
    sure = Step("sure", {"topic": name, "peers": contested or len(counts) > 1})
    return state.then(Step("reason", what), Step("suggest", {**what, "round": 0}), sure, Step("write", what))


def _answered(said: Mapping[str, Given]) -> list[tuple[str, Json]]:
    """Labels that were given, with the cases."""
    return [(one.values["label"], one.values["case"]) for one in said.values()]


def _plain(case: Json) -> dict[str, Any]:
    return {name: case[name] for name in ("id", "text")}


def _reason(state: State, about: Json, reply: Reply) -> State:
    return state.gave("reason", reply, text=_words(reply, "said"), **_of(about))


def _of(about: Json) -> dict[str, Any]:
    """What a reason or a rule is about."""
    cases = [one["id"] for one in about["cases"]]
    return {"topic": about["topic"], "label": about["label"], "against": about["against"], "cases": cases}


def _suggest(state: State, about: Json, reply: Reply, manner: Manner) -> State:
    """A rule that the data suggests, to be edited; without one the expert states it alone."""
    return state.then(Step("rule", {**about, "rule": reply.said.get("rule"), "fit": reply.said.get("fit")}))


def _rule(state: State, about: Json, reply: Reply) -> State:
    """A rule in words or as lists of terms; said = "none": there is none."""
    said = reply.said.get("said")
    if said == "none":
        return state
    rule, label = _stated(said, about)
    what = {**about, "label": label, "rule": rule.json(), "fit": None}
    cases = [one for one in about["cases"] if one["label"] != label]
    broken = matching(rule, folded([one["text"] for one in cases]))
    if about["round"] < ROUNDS and broken.any():
        one = cases[int(broken.argmax())]
        return state.then(Step("own", {**what, "case": one, "mine": one["label"]}))
    return state.then(Step("counter_of", what), Step("kept", what))


def _stated(said: Any, about: Json) -> tuple[Rule, str]:
    """The rule that was said, and of which label: that of the question, unless the words name another one."""
    if not isinstance(said, str):
        try:
            return rule_of(said), str(about["label"])
        except InputError as error:
            raise Unclear from error
    reading = read_rule(said)
    if reading.rule is None:
        raise Unclear
    label: str = about["label"]
    known = {one.casefold(): one for one in (label, *about["against"])}
    return reading.rule, known.get(reading.rest.casefold(), label)


def _own(state: State, about: Json, reply: Reply) -> State:
    """The rule against an answer of one's own: that was wrong, the rule is to be mended, or both stand."""
    said, case = reply.said.get("said"), about["case"]
    rest = {k: v for k, v in about.items() if k not in ("case", "mine")}
    if said == "rule":
        full = next(
            one for one in state.given if one.kind == "answer" and one.values["case"]["id"] == case["id"]
        )
        values = {**full.values, "label": about["label"]}
        state = state.gave("answer", reply, **values)
        cases = [
            {**one, "label": about["label"]} if one["id"] == case["id"] else one for one in about["cases"]
        ]
        rest |= {"cases": cases}
    elif said == "edit":
        return state.then(Step("rule", {**rest, "round": about["round"] + 1, "why": "own"}))
    elif said != "both":
        raise Unclear
    return state.then(Step("counter_of", rest), Step("kept", rest))


def _counter_of(state: State, about: Json, reply: Reply, manner: Manner) -> State:
    """The row that is most like the cases and that the rule would get wrong, if there is one."""
    case = reply.said.get("case")
    seen = {one.values["case"]["id"] for one in state.given if one.kind == "answer"}
    if not case or case["id"] in seen or about["round"] >= ROUNDS:
        return state
    return state.then(Step("counter", {**about, "case": case, "caught": bool(reply.said.get("caught"))}))


def _counter(state: State, about: Json, reply: Reply) -> State:
    """What that row is. Where it is an exception, the rule is mended once more."""
    label, case = _label(reply.said.get("said")), about["case"]
    why = _words(reply, "why", empty=True)
    state = state.gave("answer", reply, case=case, label=label, topic=about["topic"], why=why)
    if not about["caught"] or label == about["label"]:
        return state
    rest = {k: v for k, v in about.items() if k not in ("case", "caught")}
    rest |= {"cases": [*about["cases"], {**_plain(case), "label": label}]}
    again = Step("rule", {**rest, "round": about["round"] + 1, "why": "exception"})
    todo = state.todo[1:] if state.todo and state.todo[0].kind == "kept" else state.todo
    return replace(state, todo=(again, *todo))


def _kept(state: State, about: Json) -> State:
    """The rule, as it stands after its counter-examples."""
    last = state.given[-1].at if state.given else ""
    return state.gave("rule", Reply(said={}, at=last), rule=about["rule"], **_of(about))


# ---------------------------------------------------------------- how sure, and what is written down


def _sure(state: State, about: Json, reply: Reply) -> State:
    """How sure, and, where that is not plain, what share of peers would agree."""
    state = state.gave("sure", reply, topic=about["topic"], share=_share(reply, "said"))
    if about["peers"] and reply.said.get("peers") is not None:
        state = state.gave("peers", reply, topic=about["topic"], share=_share(reply, "peers"))
    return state


def _write(state: State, about: Json) -> State:
    """The guideline, if the expert said anything that could stand in it."""
    mine = [one for one in state.given if one.values.get("topic") == about["topic"]]
    rules = [one.values for one in mine if one.kind == "rule"]
    reasons = [one.values for one in mine if one.kind == "reason"]
    if not rules and not reasons:
        return state
    label = (rules or reasons)[-1]["label"]
    draft = reasons[-1]["text"] if reasons else ""
    terms = rules[-1]["rule"] if rules else None
    return state.then(Step("guide", {"topic": about["topic"], "label": label, "draft": draft, "rule": terms}))


def _guide(state: State, about: Json, reply: Reply, manner: Manner) -> State:
    """What the guideline says of the label now."""
    now = {"now": str(reply.said.get("text") or ""), "base": _count(reply.said.get("version"))}
    return state.then(Step("guideline", {**about, **now}))


def _written(state: State, about: Json, reply: Reply) -> State:
    values = {"label": about["label"], "text": _words(reply, "said"), "base": about["base"]}
    return state.gave("guideline", reply, **values)


_ASK: Mapping[str, Callable[[State, Json, Reply], State]] = {
    "choose": _choose,
    "case": _case,
    "nothing": _nothing,
    "holds": _holds,
    "reason": _reason,
    "rule": _rule,
    "own": _own,
    "counter": _counter,
    "sure": _sure,
    "guideline": _written,
}
_LOOK: Mapping[str, Callable[[State, Json, Reply, Manner], State]] = {
    "topics": _topics,
    "disputes": _disputes,
    "similar": _similar,
    "heard": _conflicts,
    "suggest": _suggest,
    "counter_of": _counter_of,
    "guide": _guide,
}
_THINK: Mapping[str, Callable[[State, Json], State]] = {
    "offer": _offer,
    "reflect": _reflect,
    "kept": _kept,
    "write": _write,
}


def drafts(about: Json, lang: str) -> Iterator[str]:
    """Sentences that a guideline could begin with: the reason that was given, the rule in words."""
    if about.get("draft"):
        yield str(about["draft"])
    if about.get("rule"):
        yield say_rule(rule_of(about["rule"]), lang)
