"""An interview asks what is worth it, replays exactly, goes back exactly, and leads nobody."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.compose.dialogue import (
    Question,
    Reply,
    advance,
    consulted_rows,
    masked,
    question_of,
    reply_of,
    routed,
)
from bapsim.compose.interview import Manner, Outcome, drafts, interview
from bapsim.compose.interview_words import say_question
from bapsim.core.errors import ExchangeError, Waiting, messages
from bapsim.core.exchange import converse_all
from bapsim.core.records import Answers
from bapsim.store.ledger import Ledger
from bapsim.store.tape import LedgerTape


class Memory:
    """A tape that dies when it is told to: before an answer is kept."""

    def __init__(self, die=None):
        self.kept, self.writes, self.die = {}, 0, die

    def recall(self, key, step):
        return self.kept.get((key, step))

    def intend(self, key, step, asked):
        pass

    def withdraw(self, key, step):
        pass

    def keep(self, key, step, asked, got):
        self.writes += 1
        if self.die is not None and self.writes == self.die:
            raise KeyboardInterrupt
        self.kept[key, step] = asked, got


def case(i, label="refund", said="cancel", text=None):
    return {"id": f"{i:032x}", "text": text or f"환불 {i}", "label": label, "said": said, "sure": 0.9}


def topic(name="t1", cases=None, labels=("refund", "cancel")):
    return {
        "id": name,
        "kind": "confused",
        "labels": list(labels),
        "values": {},
        "cases": cases or [case(i) for i in range(6)],
    }


class Data:
    """What the data says: topics, and whatever a test puts in; it counts how often it was asked."""

    def __init__(self, *topics, **said):
        self.topics, self.said, self.asked = topics, said, Counter()

    def __call__(self, rows):
        found = []
        for row in range(len(rows)):
            question = question_of(rows, row)
            self.asked[question.kind] += 1
            said = self.said.get(question.kind, {})
            said = {"topics": list(self.topics)} if question.kind == "topics" else said
            found.append(Reply(said=said(question.about) if callable(said) else said))
        return consulted_rows(found)


def run(data, answer, manner=Manner(), tape=None, most=60):  # noqa: B008
    """Drive a dialogue to its end: questions in order, and the outcome."""
    tape, reply, asked, seen = tape or Memory(), None, [], []
    for _ in range(most):
        question, outcome = advance("d", interview(manner, seen.append), tape, data, reply)
        if question is None:
            return asked, outcome
        asked.append(question)
        said = answer(question, len(asked))
        reply = Reply(said=said, at=f"2026-11-23T00:00:{len(asked):02d}Z", seconds=2.0)
    return asked, seen[-1]


def expert(labels=None, **instead):
    """Answers everything: cases by `labels`, else "refund"; other kinds as told, else plainly."""
    plain = {
        "choose": lambda about: {"said": about["topics"][0]["id"]},
        "reason": lambda about: {"said": "돈을 돌려 달라는 말이라서"},
        "rule": lambda about: {"said": "환불이 있고 카드가 없으면"},
        "holds": lambda about: {"said": "keep"},
        "own": lambda about: {"said": "both"},
        "sure": lambda about: {"said": 0.9, "peers": 0.7},
        "guideline": lambda about: {"said": "돈을 돌려 달라고 하면 refund"},
        "nothing": lambda about: {"said": "other"},
    }

    def answer(question, n):
        about = question.about
        if question.kind in ("case", "counter"):
            return {"said": (labels or {}).get(about["case"]["id"], "refund")}
        said = instead.get(question.kind, plain[question.kind])
        return said(about) if callable(said) else said

    return answer


MIXED = {case(i)["id"]: "refund" if i % 2 else "cancel" for i in range(20)}


def kinds(asked):
    return [question.kind for question in asked]


def test_a_topic_from_its_cases_to_the_guideline():
    asked, outcome = run(Data(topic()), expert(MIXED))
    assert kinds(asked) == ["choose", *["case"] * 4, "reason", "rule", "own", "sure", "guideline"]
    assert [one.kind for one in outcome.given] == [
        *["answer"] * 4, "reason", "rule", "sure", "peers", "guideline",
    ]  # fmt: skip
    rule = outcome.of("rule")[0].values
    assert rule["rule"] == {"all": ["환불"], "any": [], "none": ["카드"]}
    assert set(rule["cases"]) <= set(MIXED)
    assert outcome.of("guideline")[0].values["base"] == 0


def test_nothing_is_asked_that_the_answers_settle():
    asked, outcome = run(Data(topic()), expert())  # all as the data has them
    assert kinds(asked) == ["choose", "case", "case", "case"]
    assert len(outcome.of("answer")) == 3
    apart = {case(i)["id"]: f"kind {i}" for i in range(6)}  # no boundary between so many kinds
    asked, _ = run(Data(topic()), expert(apart))
    assert kinds(asked) == ["choose", *["case"] * 4]


def test_nobody_is_led():
    """Neither label, model nor anybody else's words are in a question about a case before it is answered."""
    secret = [case(i, label="SECRET-LABEL", said="SECRET-MODEL") for i in range(6)]
    others = {"against": [{"by": "other", "label": "SECRET-OTHER", "why": "SECRET-WHY"}]}
    asked, _ = run(Data(topic(cases=secret), heard=others), expert(MIXED))
    for i, question in enumerate(asked):
        said = json.dumps(dict(question.about))
        if question.kind in ("choose", "case"):
            assert "SECRET" not in said
        if question.kind == "holds":
            assert asked[i - 1].kind == "case"
            assert asked[i - 1].about["case"]["id"] == question.about["case"]["id"]
            assert "SECRET-OTHER" in said


def test_a_second_expert_sees_the_first_after_answering_and_both_stand():
    heard = {case(0)["id"]: [{"by": "other", "label": "refund", "why": "돈"}]}
    data = Data(topic(), heard=lambda about: {"against": heard.get(about["case"]["id"], [])})
    asked, outcome = run(data, expert(MIXED, holds={"said": "keep", "why": "아닙니다"}))
    stood = outcome.of("stood")
    assert [one.values["label"] for one in stood] == ["cancel"]
    assert stood[0].values["shares"] == {"cancel": 1.0}
    assert stood[0].values["against"][0]["label"] == "refund"
    assert next(question.about["peers"] for question in asked if question.kind == "sure")
    _, outcome = run(data, expert(MIXED, holds={"said": "both"}))
    assert outcome.of("stood")[0].values["shares"] == {"cancel": 0.5, "refund": 0.5}
    _, outcome = run(data, expert(MIXED, holds={"said": "change"}))
    mine = [one.values["label"] for one in outcome.of("answer") if one.values["case"]["id"] == case(0)["id"]]
    assert mine == ["cancel", "refund"]


def test_the_first_expert_is_asked_when_somebody_disagreed_since():
    news = [{"case": case(9), "mine": "refund", "others": [{"by": "other", "label": "cancel", "why": "x"}]}]
    asked, outcome = run(Data(topic(), disputes={"disputes": news}), expert())
    assert kinds(asked)[0] == "holds"
    assert kinds(asked).count("holds") == 1  # told once, not before every topic
    assert outcome.of("stood")[0].values["case"]["id"] == case(9)["id"]


def test_a_counter_example_mends_the_rule():
    counter = case(50, label="cancel", text="환불 대신 취소")
    data = Data(
        topic(), counter_of=lambda about: {"case": counter, "caught": True} if about["round"] < 1 else {}
    )
    rules = iter(["환불이 있으면", "환불이 있고 취소가 없으면"])
    labels = {**dict.fromkeys(MIXED, "refund"), case(0)["id"]: "other", counter["id"]: "cancel"}
    answer = expert(labels, rule=lambda about: {"said": next(rules)}, own={"said": "rule"})
    asked, outcome = run(data, answer)
    assert [k for k in kinds(asked) if k in ("rule", "own", "counter")] == ["rule", "own", "counter", "rule"]
    assert [one.values["rule"]["none"] for one in outcome.of("rule")] == [["취소"]]
    assert counter["id"] in {one.values["case"]["id"] for one in outcome.of("answer")}
    assert len(asked) < 20


def test_a_rule_that_is_an_exception_too_many_is_kept_when_it_is_left():
    counter = case(50, label="cancel")
    data = Data(topic(), counter_of={"case": counter, "caught": True})
    said = iter([{"said": "환불이 있으면"}, {"act": "skip"}])
    labels = {**MIXED, counter["id"]: "cancel"}
    _, outcome = run(data, expert(labels, rule=lambda about: next(said)))
    assert [one.values["rule"]["all"] for one in outcome.of("rule")] == [["환불"]]


def test_what_may_be_said_at_any_time():
    opened = topic("opened", [case(30, text="해지"), case(31, text="해지요")], labels=("close",))
    data = Data(topic(), similar={"topic": opened}, guide={"text": "전에는 이랬음", "version": 4})
    first = iter(
        [
            {"said": "t1"},
            {"act": "argue", "said": "라벨이 이상해요", "against": "label", "label": "other"},
            {"act": "guideline", "label": "refund", "said": "새 기준", "base": 2},
            {"act": "open", "said": "계좌 해지"},
            {"said": "close"},
            {"act": "cannot_tell", "why": "너무 짧음"},
            {"act": "skip"},
        ]
    )
    rest = expert(MIXED)
    asked, outcome = run(data, lambda question, n: next(first, None) or rest(question, n))
    assert kinds(asked)[:5] == ["choose", "case", "case", "case", "case"]
    assert asked[1].name == asked[2].name == asked[3].name  # the question waits
    assert asked[4].about["case"]["text"] == "해지"
    assert asked[6].name == asked[1].name
    given = [one.kind for one in outcome.given][:6]
    assert given == ["argued", "guideline", "opened", "answer", "cannot_tell", "skipped"]
    assert outcome.of("argued")[0].values["label"] == "other"
    assert outcome.of("guideline")[0].values == {"label": "refund", "text": "새 기준", "base": 2}
    assert outcome.of("guideline")[1].values["base"] == 4


def test_a_topic_that_nothing_is_like_becomes_an_example():
    said = iter([{"said": "t1"}, {"act": "open", "said": "주차 문의"}, {"said": "parking"}, {"act": "stop"}])
    _, outcome = run(Data(topic(), similar={"topic": None}), lambda question, n: next(said))
    assert outcome.of("example")[0].values["label"] == "parking"
    assert outcome.of("example")[0].values["text"] == "주차 문의"


def test_leaving_and_stopping():
    said = iter([{"said": "t1"}, {"said": "refund"}, {"act": "leave"}])
    rest = expert(MIXED)
    asked, outcome = run(
        Data(topic(), topic("t2")), lambda question, n: next(said, None) or rest(question, n)
    )
    assert kinds(asked)[:4] == ["choose", "case", "case", "choose"]
    assert [one["id"] for one in asked[3].about["topics"]] == ["t2"]
    asked, outcome = run(Data(topic()), lambda question, n: {"act": "stop"})
    assert (len(asked), outcome.given) == (1, ())


def test_what_is_not_understood_is_asked_again_and_then_left():
    asked, outcome = run(Data(topic()), lambda question, n: {"said": {"no": "answer"}})
    assert kinds(asked) == ["choose"] * 3
    assert [question.about.get("again") for question in asked] == [None, 1, 2]
    assert outcome.given == ()
    bad = iter([{"said": "t1"}, {}, {"said": ""}, {"said": 7}])
    asked, outcome = run(Data(topic()), lambda q, n: next(bad, {"act": "stop"}))
    assert say_question(asked[2], "en").startswith("I did not understand")


ACTS = st.sampled_from(
    [
        {"said": "refund"},
        {"said": "cancel"},
        {"said": "t1"},
        {"said": "t2"},
        {"said": 0.5},
        {"said": "환불이 있으면"},
        {"said": {"all": ["환불"]}},
        {"said": "keep"},
        {"said": "change", "label": "other"},
        {"said": "edit"},
        {"said": "rule"},
        {"said": "none"},
        {"act": "undo"},
        {"act": "skip"},
        {"act": "cannot_tell"},
        {"act": "leave"},
        {"act": "open", "said": "다른 이야기"},
        {"act": "argue", "said": "아니에요"},
        {"act": "guideline", "label": "refund", "said": "글"},
        {"act": "made up", "said": "refund"},
        {"said": None, "why": 3},
        {},
    ]
)


def busy():
    counter = {"case": case(50, label="cancel"), "caught": True}
    heard = {"against": [{"by": "data", "label": "cancel", "why": ""}]}
    opened = {"topic": topic("opened", [case(40 + k) for k in range(3)])}
    return Data(
        topic(),
        topic("t2", [case(i) for i in range(10, 16)]),
        counter_of=counter,
        heard=heard,
        similar=opened,
    )


@given(st.lists(ACTS, min_size=1, max_size=40))
@settings(max_examples=50)
def test_whatever_is_said_it_goes_on_or_ends_and_replays(replies):
    """Law: the same replies give the same questions, whether the process lived through or died."""
    script = iter(replies)
    tape = Memory()
    asked, outcome = run(busy(), lambda question, n: next(script, {"act": "stop"}), tape=tape, most=60)
    assert isinstance(outcome, Outcome)
    for question in asked:
        for lang in ("ko", "en"):
            assert say_question(question, lang)
    half = {key: kept for key, kept in tape.kept.items() if key[1] < len(tape.kept) // 2}
    other, data = Memory(), busy()
    other.kept = dict(half)
    question, _ = advance("d", interview(), other, data)
    assert question is not None or not tape.kept
    assert question.name in {one.name for one in asked}
    assert sum(data.asked.values()) <= 3  # what was taped is not asked of the data again


@pytest.mark.parametrize("die", range(1, 20, 3))
def test_killed_at_any_answer_it_is_the_same_dialogue(die, tmp_path):
    whole, wanted = run(busy(), expert(MIXED), Manner(topic="t1"))
    tape, data, reply, answering = Memory(die), busy(), None, None
    asked = []
    for _ in range(80):
        try:
            question, outcome = advance("d", interview(Manner(topic="t1")), tape, data, reply, answering)
        except KeyboardInterrupt:
            tape.die = None  # not acknowledged: whoever sent it sends it again
            continue
        except ExchangeError:  # it had been kept: another question waits by now
            reply = None
            continue
        if question is None:
            break
        asked.append(question)
        reply = Reply(said=expert(MIXED)(question, 0), at="later", seconds=1.0)
        answering = question.name
    assert [question.name for question in asked] == [question.name for question in whole]
    assert [(one.kind, one.values) for one in outcome.given] == [
        (one.kind, one.values) for one in wanted.given
    ]


@given(st.integers(1, 14), st.integers(1, 4))
@settings(max_examples=10)
def test_going_back_is_as_if_it_had_not_been_said(at, back):
    """Law: what was said and taken back leaves the same questions and the same harvest as before."""
    plain, went_back = expert(MIXED), []

    def answer(question, n):
        if n >= at + back and len(went_back) < back:
            went_back.append(n)
            return {"act": "undo"}
        return {"act": "skip"} if at <= n < at + back else plain(question, n)

    asked, outcome = run(busy(), answer, Manner(topic="t1"), most=80)
    straight, wanted = run(busy(), plain, Manner(topic="t1"))
    if went_back:  # else it had ended by then
        names = [question.name for question in straight]
        assert [question.name for question in asked][at + 2 * back - 1 :] == names[at - 1 :]
        assert [(g.kind, g.values) for g in outcome.given] == [(g.kind, g.values) for g in wanted.given]


def test_back_at_the_beginning_stays_there():
    said = iter([{"act": "undo"}, {"act": "undo"}, {"act": "stop"}])
    asked, _ = run(Data(topic()), lambda question, n: next(said))
    assert len({question.name for question in asked}) == 1


def test_a_reply_to_another_question_is_not_kept():
    tape, data = Memory(), Data(topic())
    first, _ = advance("d", interview(), tape, data)
    second, _ = advance("d", interview(), tape, data, Reply(said={"said": "t1"}), first.name)
    with pytest.raises(ExchangeError, match="Another question"):
        advance("d", interview(), tape, data, Reply(said={"said": "refund"}), first.name)  # sent twice
    waits, _ = advance("d", interview(), tape, data)
    assert waits.name == second.name
    run(data, lambda question, n: {"act": "stop"}, tape=tape)
    with pytest.raises(ExchangeError, match="ended"):
        advance("d", interview(), tape, data, Reply(said={"said": "refund"}))


def test_data_that_changed_since_changes_no_dialogue_that_has_begun():
    tape = Memory()
    first, _ = advance("d", interview(), tape, Data(topic()))
    after, _ = advance("d", interview(), tape, Data(topic("other")), Reply(said={"said": "t1"}))
    assert after.kind == "case"
    assert first.about["topics"][0]["id"] == "t1"


def test_personal_data_is_masked_before_it_is_taped():
    tape = Memory()
    said = iter(
        [{"said": "t1"}, {"act": "argue", "said": "010-1234-5678로 전화 주세요", "nested": ["a@b.com"]}]
    )
    run(Data(topic()), lambda question, n: next(said, {"act": "stop"}), tape=tape)
    body = json.dumps([got.to_pylist() for _, got in tape.kept.values()], ensure_ascii=False)
    assert "1234-5678" not in body
    assert "a@b.com" not in body
    assert "[PHONE]" in body
    assert masked({"a": ["x" * 9000, 7, None, {"b": "kim@x.kr"}]})["a"][3] == {"b": "[EMAIL]"}
    assert len(masked("x" * 9000)) == 4000


def test_a_sealed_tape_in_the_ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite", b"k" * 32)
    turned = lambda who, body: bytes(b ^ 7 for b in body)  # noqa: E731
    tape = LedgerTape(ledger, owner="p-aaaaaaaaaa", seal=turned, unseal=turned)
    asked, outcome = run(busy(), expert(MIXED), Manner(topic="t1"), tape=tape)
    plain, wanted = run(busy(), expert(MIXED), Manner(topic="t1"))
    assert [q.name for q in asked] == [q.name for q in plain]
    assert outcome.given == wanted.given
    assert ledger.verify() == []
    ledger.close()
    raw = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert "돈을 돌려".encode() not in raw


def test_many_dialogues_in_lock_step():
    """The data and the person are asked once a round for all of them."""
    data = busy()
    plain = expert(MIXED)

    def person(rows):
        found = [
            Reply(said=plain(question_of(rows, row), 0), at="t", seconds=2.0) for row in range(len(rows))
        ]
        return consulted_rows(found)

    alone = run(busy(), plain, Manner(topic="t1"))[1]
    both = converse_all({k: interview(Manner(topic="t1")) for k in "ab"}, routed(person, data), Memory())
    assert [one.values for one in both["a"].given] == [one.values for one in alone.given]
    assert both["a"] == both["b"]


def test_odd_rows_are_read_as_nothing():
    assert reply_of(Answers(consulted_rows([Reply(said={})]).select(["at"]))).said == {}
    odd = consulted_rows([Reply(said={"a": 1}, seconds=-3.0)])
    assert reply_of(odd).seconds == 0.0
    asked = Question(to="person", kind="case", about={"case": case(1), "n": 1, "of": 2})
    assert question_of(asked.rows()) == asked
    with pytest.raises(Waiting):
        routed(lambda rows: (_ for _ in ()).throw(Waiting("waiting", questions=1)), Data())(asked.rows())


def test_every_question_has_words_in_both_languages():
    said = [key for key in messages() if key.startswith("interview.")]
    assert said
    assert all({"en", "ko"} <= set(messages()[key]) for key in said)
    about = {"draft": "이유", "rule": {"all": ["환불"]}}
    assert list(drafts(about, "ko")) == ["이유", "‘환불’이 있는 글"]
    fit = {"right": 21, "matched": 23}
    rule = Question(
        to="person", kind="rule", about={"label": "refund", "rule": {"all": ["환불"]}, "fit": fit, "round": 0}
    )
    assert "23건 중 21건" in say_question(rule, "ko")
    broken = Question(
        to="person", kind="rule", about={"label": "refund", "rule": {"all": 3}, "fit": fit, "round": 0}
    )
    assert say_question(broken, "en") == "Which words tell “refund”?"
