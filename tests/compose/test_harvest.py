"""What a dialogue gave, as lines for approval: each with its turn and parents, nothing that was not said."""

import json

import pytest

from bapsim.compose.harvest import KINDS, Dialogue, guidelines, harvest, taught
from bapsim.compose.interview import Given, Manner, Outcome
from tests.compose.test_interview import MIXED, Data, busy, case, expert, run, topic

WHO = Dialogue(id="d-abcdefghij", person="p-abcdefghij", column="text", lang="ko")


@pytest.fixture(scope="module")
def outcome():
    heard = {case(0)["id"]: [{"by": "other", "label": "refund", "why": "돈"}]}
    data = Data(
        topic(), heard=lambda about: {"against": heard.get(about["case"]["id"], [])}, similar={"topic": None}
    )
    extra = iter(
        [
            {"act": "open", "said": "주차는 어디에"},
            {"said": "parking", "why": "자리를 묻는다"},
            {"act": "argue", "said": "이 라벨은 틀렸습니다", "against": "label", "label": "other"},
            {"act": "argue", "said": "기준이 모호합니다"},
        ]
    )
    plain = expert(MIXED, holds={"said": "keep", "why": "아닙니다"})
    return run(data, lambda question, n: next(extra, None) or plain(question, n), Manner(topic="t1"))[1]


def test_lines_are_those_of_the_inbox(outcome):
    lines = harvest(outcome, WHO)
    assert {line["kind"] for line in lines} == set(KINDS)
    assert len({line["id"] for line in lines}) == len(lines)
    for line in lines:
        assert line["person"] == WHO.person
        name, _, turn = line["dialogue"].partition("/")
        assert name == WHO.id
        assert 0 <= int(turn) <= outcome.steps
        assert all(len(parent) == 32 for parent in line.get("parents", ()))
        assert "approved" not in line
    assert lines == harvest(outcome, WHO)
    assert json.loads(json.dumps(lines)) == lines


def by_kind(outcome, kind, lang="ko"):
    of = Dialogue(id=WHO.id, person=WHO.person, column="text", lang=lang)
    return [line for line in harvest(outcome, of) if line["kind"] == kind]


def test_votes_say_the_last_answer_with_how_sure(outcome):
    votes = by_kind(outcome, "vote")
    assert {one["question"]: one["said"] for one in votes} == {
        k: v for k, v in MIXED.items() if k in {o["question"] for o in votes}
    }
    assert len(votes) == 4
    assert {(one["confidence"], one["peers"]) for one in votes} == {(0.9, 0.7)}
    assert all(one["blind"] is None and one["seconds"] == 2.0 for one in votes)


def test_what_a_reply_took_is_in_one_line_and_none_is_lost(outcome):
    lines, steps = harvest(outcome, WHO), {one.step: one.seconds for one in outcome.given}
    assert sum(one.get("seconds", 0.0) for one in lines) == pytest.approx(sum(steps.values()))
    timed = [one["dialogue"] for one in lines if one.get("seconds")]
    assert len(timed) == len(set(timed)) < len(lines)
    assert {one["at"] for one in lines} <= {one.at for one in outcome.given}
    assert harvest(Outcome(given=outcome.of("sure"), steps=9), WHO) == [], "no line says it"


def test_reasons_become_rationale_question_and_instruction(outcome):
    (rationale,) = [one for one in by_kind(outcome, "rationale") if len(one["parents"]) > 1]
    (qa,) = by_kind(outcome, "qa")
    assert rationale["text"] == qa["answer_text"] == "돈을 돌려 달라는 말이라서"
    assert qa["question_text"].startswith("어떤 점 때문에")
    assert by_kind(outcome, "qa", "en")[0]["question_text"].startswith("What makes it")
    said = by_kind(outcome, "instruction")
    assert said
    for one in said:
        user, assistant = one["messages"]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        assert one["parents"][0] in MIXED
        assert assistant["content"].endswith("돈을 돌려 달라는 말이라서")


def test_pairs_prefer_the_expert_to_the_model(outcome):
    pairs = by_kind(outcome, "pair")
    wrong = [k for k in MIXED if MIXED[k] == "refund"][:2]  # the model says cancel
    assert {one["parents"][0] for one in pairs} == set(wrong)
    assert all(one["rejected"] == "cancel" and one["chosen"].startswith("refund") for one in pairs)


def test_rules_views_examples_and_appeals(outcome):
    (rule,) = by_kind(outcome, "rule")
    assert (rule["rule"], rule["label"]) == ({"all": ["환불"], "any": [], "none": ["카드"]}, "cancel")
    assert rule["text"] == "‘환불’이 있고 ‘카드’는 없는 글"
    views = by_kind(outcome, "view")
    assert [one["distribution"] for one in views] == [{"other": 1.0}, {"cancel": 1.0}]
    assert views[0]["appeal"] == "label"
    assert views[1]["comment"] == "아닙니다"
    (example,) = by_kind(outcome, "example")
    assert (example["input"], example["target"], example["why"]) == (
        {"text": "주차는 어디에"}, "parking", "자리를 묻는다",
    )  # fmt: skip
    assert {one["text"] for one in by_kind(outcome, "rationale")} >= {"기준이 모호합니다"}


def test_what_the_lesson_learns_from(outcome):
    assert {line["kind"] for line in taught(outcome, WHO)} == {"vote", "example", "rule", "view"}


def test_guidelines_have_the_version_that_was_seen(outcome):
    assert guidelines(outcome) == [{"label": "cancel", "text": "돈을 돌려 달라고 하면 refund", "base": 0}]


def test_what_could_not_be_told_is_said(outcome):
    said = iter([{"act": "cannot_tell", "why": "너무 짧다"}])
    _, short = run(busy(), lambda q, n: next(said, {"act": "stop"}), Manner(topic="t1"))
    (vote,) = harvest(short, WHO)
    assert (vote["said"], vote["cannot_tell"], vote["comment"]) == (None, True, "너무 짧다")
    assert harvest(Outcome(given=(), steps=0), WHO) == []


def test_personal_data_never_becomes_a_line():
    said = {"text": "김민수 010-1234-5678", "label": "a@b.com", "why": "900101-1234568", "parents": []}
    lines = harvest(Outcome(given=(Given(step=1, kind="example", values=said),), steps=2), WHO)
    body = json.dumps(lines, ensure_ascii=False)
    assert "1234" not in body
    assert "@" not in body
