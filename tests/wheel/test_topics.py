"""Topics come from what the model gets wrong out of fold and from the log, never from the exam."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bapsim.core.errors import InputError, NotEnough
from bapsim.core.records import Task
from bapsim.gather.rules import by_rules
from bapsim.refine.rules import keeps_rules
from bapsim.store.project import opened
from bapsim.wheel.effect import effect
from bapsim.wheel.lesson import classroom, prepare
from bapsim.wheel.stock import exam_ids
from bapsim.wheel.topics import Topic, topics, without
from tests.wheel.lessons import bank_room, material
from tests.wheel.world import Clerk, History, bank, founded, sentence, turns

KINDS = {"confused", "word", "label", "column", "cluster", "twins", "new_class", "unsure"}


@pytest.fixture(scope="module")
def room():
    """Classes that share their words, one text under two labels, requests that are like nothing known."""
    rng = np.random.default_rng(3)
    words = ["어제", "오늘", "앱", "지점", "급히", "정말", "again", "still", "please", "now"]

    def said(stem):
        return f"{' '.join(rng.choice(words, 3))} {stem} {rng.integers(1000)}"

    rows = [
        (said(f"환불 {'카드' if k % 3 else '통장'} 요청"), "refund" if k % 2 else "cancel") for k in range(60)
    ]
    rows += [(said("loan rate of my house"), "loan") for _ in range(60)]
    rows += [(said("로그인 비밀번호 오류"), "login") for _ in range(60)]
    rows += [("계좌를 닫아 주세요", label) for label in ("close", "cancel", "close")]
    rows += [(said("계좌 닫기 해지"), "close") for _ in range(40)]
    pool = [said("주차장 위치 안내 문의") for _ in range(12)] + [said("환불 카드 취소") for _ in range(10)]
    pool += [said("로그인 비밀번호 오류") for _ in range(20)]
    slices = {
        "channel": np.array(["web" if label in ("refund", "cancel") else "app" for _, label in rows], object)
    }
    return classroom(material(rows, pool, slices=slices))


def test_where_the_model_errs_is_told_in_both_languages(room):
    found = topics(room)
    assert [one.worth for one in found] == sorted((one.worth for one in found), reverse=True)
    kinds = {one.kind for one in found}
    assert kinds <= KINDS
    assert {"confused", "twins", "new_class"} <= kinds
    first = next(one for one in found if one.kind == "confused")
    assert set(first.labels) == {"refund", "cancel"}
    pair = [room.has.classes.index(label) for label in first.labels]
    both = np.isin(room.has.y, pair) & np.isin(room.predicted, pair)
    assert first.errors == int((both & (room.predicted != room.has.y)).sum())
    for one in found:
        for lang in ("ko", "en"):
            assert "{" not in one.title(lang) + one.measure(lang)
        assert one.cases
        assert 0 < one.worth <= 1
        assert one.errors > 0
    twins = next(one for one in found if one.kind == "twins")
    assert {case.text for case in twins.cases} == {"계좌를 닫아 주세요"}
    assert {case.label for case in twins.cases} == {"close", "cancel"}
    new = next(one for one in found if one.kind == "new_class")
    assert all(case.label is None and "주차장" in case.text for case in new.cases)


def test_words_tell_the_confused_classes_apart():
    rows = [
        (f"{'환불 ' if k % 2 else '취소 '}요청 {k} 부탁", "refund" if k % 2 else "cancel") for k in range(80)
    ]
    flipped = [(t, "cancel" if k % 8 == 1 else label) for k, (t, label) in enumerate(rows)]
    rest = [(f"loan rate {k}", "loan") for k in range(40)]
    found = topics(classroom(material(flipped + rest, [])))
    pair = next(one for one in found if one.kind == "confused")
    assert {"환불", "취소"} <= {term for term, _, _ in pair.words}


def test_the_same_room_has_the_same_topics(room):
    again = [one.json() for one in topics(room)]
    assert again == [one.json() for one in topics(room)]
    other = topics(room, seed=1)
    assert {one.id for one in other} == {one["id"] for one in again}  # the seed draws cases, not topics
    assert json.loads(json.dumps(again)) == [json.loads(json.dumps(one)) for one in again]
    assert len(topics(room, most=2)) == 2


def test_topics_lose_answered_cases(room):
    found = topics(room)
    gone = {case.id for case in found[0].cases}
    left = without(found, gone)
    assert found[0].id not in {one.id for one in left}
    assert not gone & {case.id for one in left for case in one.cases}


def test_a_model_without_errors_has_no_topics():
    rows = [(f"환불 요청 {k}", "refund") for k in range(30)] + [(f"loan rate {k}", "loan") for k in range(30)]
    assert topics(classroom(material(rows, []))) == []


def test_titles_mask_personal_data():
    rows = [(f"{text} 010-1234-5678", label) for text, label in map(sentence, range(120))]
    found = topics(classroom(material(rows, [])))
    assert found
    body = json.dumps([one.json() for one in found], ensure_ascii=False)
    assert "1234-5678" not in body
    assert isinstance(found[0], Topic)


# --------------------------------------------------------------------------- of a project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A bank after its first turn."""
    root = founded(tmp_path_factory.mktemp("topics") / "bank")
    recipe = bank(
        sources={"history": History(240, 140), "clerk": Clerk(), "rules": by_rules()},
        surveys={"rules": keeps_rules()},
    )
    turns(root, recipe, 1)
    return root, recipe


def seen(root, recipe):
    """All that a room has at hand of a project: topics, and the effect of a rule."""
    with opened(root, writing=False) as one:
        room = prepare(one, recipe)
        exam = exam_ids(one.ledger)
    assert exam
    assert not exam & {i.tobytes() for i in (*room.has.ids, *room.has.pool_ids)}
    rule = {"kind": "rule", "id": "r", "rule": {"any": ["송금", "transfer"]}, "label": "transfer"}
    return [one.json() for one in topics(room)], effect(room, [rule]).json(), exam


def test_changing_exam_items_changes_nothing(project):
    root, recipe = project
    before = seen(root, recipe)
    for path in sorted((root / "wheel" / "records").rglob("*.parquet")):
        table = pq.read_table(path)
        hit = np.isin(table.column("_id").to_pylist(), list(before[2]))
        if not hit.any():
            continue
        for name, instead in (("text", "loan 대출 환불 완전히 다른 말"), ("intent", "loan")):
            values = [instead if h else v for h, v in zip(hit, table.column(name).to_pylist(), strict=True)]
            at = table.schema.get_field_index(name)
            table = table.set_column(
                at, table.schema.field(at), pa.chunked_array([values], table.schema.field(at).type)
            )
        body = path.read_bytes()
        try:
            pq.write_table(table, path)
            assert seen(root, recipe)[:2] == before[:2]
        finally:
            path.write_bytes(body)


def test_what_cannot_be_shown_is_said(project, tmp_path):
    root, recipe = project
    with opened(root, writing=False) as one:
        for task in (
            Task(input="text", target="intent", answer="labels"),
            Task(input="text", target="intent", kind="table"),
        ):
            with pytest.raises(InputError, match="room"):
                prepare(one, replace(recipe, task=task))
    empty = founded(tmp_path / "empty")
    with opened(empty) as one, pytest.raises(NotEnough):
        prepare(one, recipe)


def test_a_room_is_small_and_large():
    assert len(topics(bank_room(60, 0))) <= 12
