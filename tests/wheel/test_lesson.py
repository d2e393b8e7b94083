"""What a lesson shows is what teaching would do, on rows that nobody was shown; nothing hostile gets in."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.errors import NotEnough
from bapsim.core.recipe import Mixture
from bapsim.core.records import Records
from bapsim.judge.exam import heard
from bapsim.train.text import text_linear
from bapsim.wheel import lesson
from bapsim.wheel.effect import effect, say_effect
from bapsim.wheel.lesson import Superseded, classroom, warm_up
from tests.wheel.lessons import TASK, bank_room, material
from tests.wheel.world import sentence


@pytest.fixture(scope="module")
def room():
    return bank_room()


def hexed(ids, i):
    return ids[i].tobytes().hex()


def wrong_rows(room):
    return np.flatnonzero(room.predicted != room.has.y)


def vote(room, i, label, **more):
    return {"id": f"v{i}", "kind": "vote", "question": hexed(room.has.ids, i), "said": label, **more}


def example(text, label, name="e"):
    return {"id": name, "kind": "example", "input": {"text": text}, "target": label}


RULE = {"id": "r", "kind": "rule", "rule": {"any": ["송금", "transfer", "send money"]}, "label": "transfer"}


def test_nothing_said_changes_nothing(room):
    found = effect(room, [])
    assert (found.right, found.wrong, found.gain) == (0, 0, 0)
    assert found.rows == len(room.has.y)
    same = [vote(room, i, room.has.classes[room.has.y[i]]) for i in (0, 1, 2)]
    again = effect(room, same)
    assert (again.right, again.wrong) == (0, 0)  # what the data says already: the noise of a refit is gone
    assert again.rows < found.rows  # but the rows that were shown prove nothing any more


def test_what_is_shown_is_what_a_whole_refit_does():
    """The same lines in a cross-fit of all classes from the beginning, by the trainer itself."""
    room = bank_room(44, 0)
    at = wrong_rows(room)[:4]
    lines = [vote(room, i, room.has.classes[room.predicted[i]]) for i in at]
    lines += [example(sentence(900 + k)[0], sentence(900 + k)[1], f"e{k}") for k in range(80)]
    found = effect(room, lines)
    told = {case.id for case in (*found.now_right, *found.now_wrong)}
    labels = [room.has.classes[c] for c in room.has.y]
    before = whole_refit(room, room.has.texts, labels)
    for line in lines[:4]:
        labels[room.place(line["question"])[0]] = line["said"]
    added = [(line["input"]["text"], line["target"]) for line in lines[4:]]
    after = whole_refit(room, [*room.has.texts, *(t for t, _ in added)], [*labels, *(c for _, c in added)])
    gold = np.array(room.has.classes, object)[room.has.y]
    proof = ~np.isin(room.has.groups, room.has.groups[at])
    changed = proof & ((before == gold) != (after == gold))
    theirs = {hexed(room.has.ids, i) for i in np.flatnonzero(changed)}
    assert len(theirs) > 5
    assert len(theirs & told) >= 0.7 * len(theirs | told)


def whole_refit(room, texts, labels):
    folds = np.concatenate([room.has.folds, np.full(len(texts) - len(room.has.folds), -1, np.int8)])
    records = Records(pa.record_batch({"text": list(texts), "intent": list(labels)}))
    fitted = text_linear(cost=room.has.constants.cost).crossfit(
        None, Mixture(task=TASK, records=records), folds, 0
    )
    said = heard(fitted.answers, fitted.model.classes, "class")
    return np.array(said.prediction[: len(room.has.folds)], object)


def test_rows_that_were_shown_and_their_like_prove_nothing(room):
    i = int(wrong_rows(room)[0])
    alone = effect(room, [vote(room, i, room.has.classes[room.predicted[i]])])
    shown = {case.id for case in (*alone.now_right, *alone.now_wrong)}
    assert hexed(room.has.ids, i) not in shown
    assert alone.rows == len(room.has.y) - int((room.has.groups == room.has.groups[i]).sum())
    parents = effect(room, [{**RULE, "parents": [hexed(room.has.ids, 5), "zz", None, "00" * 16]}])
    assert parents.rows == len(room.has.y) - int((room.has.groups == room.has.groups[5]).sum())


def test_a_copy_of_a_row_teaches_nothing_about_that_row(room):
    i = int(wrong_rows(room)[0])
    found = effect(room, [example(room.has.texts[i], room.has.classes[room.has.y[i]])])
    assert hexed(room.has.ids, i) not in {case.id for case in found.now_right}
    assert found.rows < len(room.has.y)


def test_a_rule_is_measured_and_teaches_the_pool(room):
    found = effect(room, [RULE])
    (rule,) = found.rules
    gold = np.array(room.has.classes, object)[room.has.y]
    hit = np.array([any(t in text for t in ("송금", "transfer", "send money")) for text in room.has.texts])
    assert (rule.fit.matched, rule.fit.right) == (hit.sum(), (hit & (gold == "transfer")).sum())
    pool = sum(any(t in text for t in ("송금", "transfer", "send money")) for text in room.has.pool_texts)
    assert rule.taught == pool > 0
    assert rule.held == ""
    assert found.refitted
    said = say_effect(found, "en")
    assert f"labels {pool} rows" in said[2]
    weak = effect(room, [{**RULE, "label": "loan"}])
    assert weak.rules[0].held == "weak"
    assert weak.rules[0].taught == 0
    assert (weak.right, weak.wrong) == (0, 0)
    assert say_effect(weak, "ko")[2].startswith("라벨을 달지는 않습니다")
    unseen = effect(room, [{**RULE, "rule": {"all": ["없는말"]}}])
    assert unseen.rules[0].fit.matched == 0
    assert unseen.rules[0].held == "weak"  # nothing is known of it


def test_the_effect_of_the_last_line_alone(room):
    first, second = RULE, example("대출 이자가 궁금해요 부탁", "loan")
    both = effect(room, [first, second])
    last = effect(room, [first, second], [first])
    rest = effect(room, [first])
    assert both.right - both.wrong == (last.right - last.wrong) + (rest.right - rest.wrong)


def test_taking_back_is_remembered(room, monkeypatch):
    lines = [RULE, example("카드가 안 와요 정말로", "card")]
    one = effect(room, lines[:1])
    effect(room, lines)
    monkeypatch.setattr(lesson.refit, "refit", None)  # would fail if anything were fitted
    assert effect(room, lines[:1]) == one


def test_a_class_that_is_new(room):
    said = [f"포인트 적립이 안 됐어요 {w}" for w in ("오늘", "어제", "지점", "앱", "방금", "근데")]
    found = effect(room, [example(text, "points", f"e{i}") for i, text in enumerate(said)])
    assert "points" in found.refitted
    assert found.wrong <= 3
    more = bank_room(pool=6)
    more = classroom(material([sentence(i) for i in range(320)], said))
    rows = [
        {"id": f"v{i}", "kind": "vote", "question": hexed(more.has.pool_ids, i), "said": "points"}
        for i in range(6)
    ]
    assert "points" in effect(more, rows).refitted


def test_labels_that_there_is_no_time_for_are_counted(room, monkeypatch):
    said = [example(f"새로운 분류 {name} 문의", name, name) for name in ("points", "tax", "visa", "fax")]
    whole = effect(room, said)
    monkeypatch.setattr(lesson, "FITS", 1)
    short = effect(classroom(room.has), said)
    assert whole.left == 0
    assert len(short.refitted) == 2
    assert len(short.refitted) + short.left == len(whole.refitted)
    assert f"{short.left} further labels" in say_effect(short, "en")[-1]


def test_several_people_on_one_row_and_a_view_teach_shares(room):
    i = int(wrong_rows(room)[0])
    a, b = room.has.classes[room.has.y[i]], room.has.classes[room.predicted[i]]
    both = effect(room, [vote(room, i, a), {**vote(room, i, b), "id": "w"}])
    view = {"id": "x", "kind": "view", "question": hexed(room.has.ids, i), "distribution": {a: 1, b: 1.0}}
    one = effect(room, [view])
    assert (both.right, both.wrong, both.rows) == (one.right, one.wrong, one.rows)


HOSTILE = [
    {},
    {"kind": "vote"},
    {"kind": "vote", "question": "zz", "said": "card"},
    {"kind": "vote", "question": "00" * 16, "said": "card"},
    {"kind": "vote", "question": 7, "said": ["card"]},
    {"kind": "vote", "question": "00", "said": None, "cannot_tell": True},
    {"kind": "vote", "question": "00" * 16, "said": "card", "blind": "gold"},
    {"kind": "example", "input": None, "target": "card"},
    {"kind": "example", "input": {"text": "   "}, "target": "card"},
    {"kind": "example", "input": {"text": 7}, "target": "card"},
    {"kind": "example", "input": {"other": "x"}, "target": "card"},
    {"kind": "example", "input": {"text": "x" * 100_000}, "target": ""},
    {"kind": "rule", "rule": {"all": "x"}, "label": "card"},
    {"kind": "rule", "rule": {"all": ["x"]}, "label": None},
    {"kind": "rule", "rule": None},
    {"kind": "view", "distribution": {"card": -1, "loan": "many"}, "question": "00"},
    {"kind": "view", "distribution": [], "question": "00"},
    {"kind": "pair", "prompt": "a", "chosen": "b", "rejected": "c"},
    {"kind": "made up", "parents": "not a list of ids"},
]


@given(st.lists(st.sampled_from(HOSTILE), max_size=6))
@settings(max_examples=25)
def test_lines_that_say_nothing_are_told_and_change_nothing(room, lines):
    found = effect(room, lines)
    assert (found.right, found.wrong) == (0, 0)
    assert len(found.ignored) == len(lines)
    assert all(why for _, why in found.ignored)


def test_a_huge_example_is_only_a_text(room):
    assert effect(room, [example("송금 " * 50_000 + "\ud800", "transfer")]).ignored == ()


def test_it_stops_when_nobody_waits(room):
    with pytest.raises(Superseded):
        effect(room, [example("아무도 기다리지 않는 말", "loan")], stop=lambda: True)
    with pytest.raises(Superseded):
        warm_up(bank_room(60, 0), 9.0, lambda: True)


def test_the_heads_say_what_the_trainer_says(room):
    """All heads fitted by us, calibrated as the model is, answer as its out-of-fold table does."""
    warm_up(room, 60)
    held = np.stack([room.heads[c].held for c in range(len(room.has.classes))], axis=1)
    prior = np.bincount(room.has.y) + 0.5
    logits = room.evidence(held) + room.has.constants.shift * np.log(prior / prior.sum())
    assert (logits.argmax(axis=1) == room.predicted).mean() > 0.97


def test_old_heads_are_let_go(monkeypatch):
    few = bank_room(120, 0)
    monkeypatch.setattr(lesson, "AT_HAND", 1)
    warm_up(few, 60)
    assert len(few.heads) == 1
    found = effect(few, [example("송금이 안 돼요 지금", "transfer")])
    assert found.refitted


def test_two_classes_are_one_head():
    said = [(t, "card" if label == "card" else "other") for t, label in (sentence(i) for i in range(200))]
    two = classroom(material(said, []))
    warm_up(two, 60)
    assert (two.heads[0].held == -two.heads[1].held).all()
    found = effect(two, [example("카드를 또 잃었어요 어떡하죠", "card"), example("카드", "third", "f")])
    assert set(found.refitted) >= {"card", "third"}


def test_too_little_is_said():
    with pytest.raises(NotEnough):
        classroom(material([sentence(i) for i in range(40)], [], folds=np.zeros(40, np.int8)))


def test_personal_data_is_masked_in_what_is_shown():
    said = [
        (f"{text} 010-1234-56{i % 90 + 10}로", label)
        for i, (text, label) in enumerate(map(sentence, range(160)))
    ]
    with_numbers = classroom(material(said, []))
    lines = [example(sentence(700 + k)[0], sentence(700 + k)[1], f"e{k}") for k in range(20)]
    found = effect(with_numbers, lines)
    cases = (*found.now_right, *found.now_wrong)
    assert cases
    assert all("010-1234" not in case.text and "[PHONE]" in case.text for case in cases)


def test_plain_values(room):
    import json

    said = json.loads(json.dumps(effect(room, [RULE, {"kind": "vote"}]).json()))
    assert said["rules"][0]["fit"]["matched"] > 0
    assert said["ignored"] == [["", "no_label"]]
