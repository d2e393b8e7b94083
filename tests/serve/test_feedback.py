"""What people say of answers: kept before it is acknowledged, by a name given here, and plausible."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.records import Task
from bapsim.serve.feedback import feedback_in
from bapsim.serve.ids import issued, issuer, service_key, signer
from bapsim.serve.refused import Limits, Refused
from tests.serve.world import Running, log_of

LABELS = Task(input="text", target="label", answer="labels")
NUMBER = Task(input="text", target="label", answer="number")
CLASS = Task(input="text", target="label")


def test_feedback_is_in_the_log_when_it_is_acknowledged(texts: Running) -> None:
    request = texts.predict(text="mail me at kim@example.com, 카드 분실")["request"]
    said = {"correction": " loan ", "thumbs": -1, "comment": "call 010-1234-5678\nplease", "by": "desk-7"}
    got = texts.http.post("/feedback", json={"request": request, **said})
    assert got.json() == {"request": request, "kept": True}
    asked, heard = [line for line in log_of(texts.root) if line["request"] == request]
    assert asked["input"] == {"text": "mail me at [EMAIL], 카드 분실"}
    assert (asked["purpose"], asked["consent"], asked["deployment"]) == ("better answers", "c7", "main")
    assert set(asked) == {
        *("request", "at", "deployment", "purpose", "consent", "model", "input", "prediction"),
        *("confidence", "in_scope", "draw"),
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", asked["at"])
    del heard["at"]
    assert heard == {
        "request": request,
        "deployment": "main",
        "by": "desk-7",
        "correction": "loan",
        "thumbs": -1,
        "comment": "call [PHONE]\nplease",
    }
    secret = b"kim@example"
    everything = [p for p in texts.root.rglob("*") if p.is_file()]
    assert not [p for p in everything if secret in p.read_bytes()], "nothing durable holds it"


def test_names_that_were_not_given_here_are_unknown(texts: Running) -> None:
    request = texts.predict(text="대출 이자")["request"]
    at = len(request) - 1
    other = "0" if request[at] != "0" else "1"
    forged = [request[:at] + other, "0" * 27 + request[27:], request.upper(), request + "0", "", "x" * 10_000]
    forged += [signer(b"another key" * 3)(request[:27]), request.split("-")[0], "../" + request, "\0"]
    for name in forged:
        if name != request:
            error = texts.refused("/feedback", 404, json={"request": name, "thumbs": 1})
            assert error["key"] == "unknown_request"
    before = len(log_of(texts.root))
    texts.refused("/feedback", 404, json={"request": forged[0], "thumbs": 1})
    assert len(log_of(texts.root)) == before


@pytest.mark.parametrize(
    ("said", "key", "where"),
    [
        ({}, "nothing_said", None),
        ({"by": "me"}, "nothing_said", None),
        ({"comment": "  "}, "nothing_said", None),
        ({"correction": ""}, "label_blank", "correction"),
        ({"correction": "x" * 201}, "text_too_long", "correction"),
        ({"correction": "a\x1b[2J"}, "strange_character", "correction"),
        ({"correction": "a\nb"}, "strange_character", "correction"),
        ({"correction": 3}, "correction_kind", "correction"),
        ({"correction": ["a"]}, "correction_kind", "correction"),
        ({"thumbs": 2}, "thumbs", "thumbs"),
        ({"thumbs": True}, "thumbs", "thumbs"),
        ({"thumbs": "UP"}, "thumbs", "thumbs"),
        ({"out_of_scope": 1}, "value_kind", "out_of_scope"),
        ({"comment": 5}, "value_kind", "comment"),
        ({"comment": "x" * 4001}, "text_too_long", "comment"),
        ({"thumbs": 1, "by": "kim@example.com"}, "by_is_personal", "by"),
        ({"correction": "kim@example.com"}, "correction_is_personal", "correction"),
        ({"correction": "010-1234-5678"}, "correction_is_personal", "correction"),
    ],
)
def test_what_cannot_be_meant_is_refused(texts: Running, said: dict[str, Any], key: str, where: str) -> None:
    request = texts.predict(text="계좌 이체")["request"]
    error = texts.refused("/feedback", json={"request": request, **said})
    assert (error["key"], error["where"]) == (key, where)


def test_what_was_deleted_is_said_to_be_gone(texts: Running) -> None:
    kept = texts.predict(text="분실 신고")["request"]
    (gone,) = issuer(service_key(texts.root / "service"), 0)(1)
    mark = texts.root / "service" / "deleted-main.json"
    mark.write_text(json.dumps({"upto": time.time()}))
    texts.logged(lambda lines: kept in [line["request"] for line in lines])
    for name, status in ((kept, 200), (gone, 404)):
        got = texts.http.post("/feedback", json={"request": name, "thumbs": 1})
        assert got.status_code == status
    assert got.json()["error"]["key"] == "request_gone"
    mark.unlink()


def test_a_new_label_is_welcome(texts: Running) -> None:
    request = texts.predict(text="계좌 이체")["request"]
    sent = {"request": request, "correction": "가입 축하금 👍"}
    assert texts.http.post("/feedback", json=sent).status_code == 200
    assert log_of(texts.root)[-1]["correction"] == "가입 축하금 👍"
    half = b'{"request": "%s", "correction": "\\ud800"}' % request.encode()
    assert texts.refused("/feedback", content=half)["key"] == "strange_character"


def test_numbers_and_sets_are_asked_for_what_they_are() -> None:
    def heard(task: Task, value: Any) -> Any:
        said = {"request": "r", "correction": value}
        return feedback_in(said, task, Limits(), masking=True).correction

    assert heard(NUMBER, 12.5) == 12.5
    assert heard(NUMBER, -3) == -3
    assert heard(LABELS, ["b", "a", "a"]) == ["a", "b"]
    assert heard(LABELS, []) == []
    for task, wrong in ((NUMBER, "12"), (NUMBER, True), (NUMBER, 1e101), (LABELS, "a"), (LABELS, [1])):
        with pytest.raises(Refused):
            heard(task, wrong)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
fields = ("request", "correction", "thumbs", "out_of_scope", "comment", "by")


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(fields), json_values), st.sampled_from([CLASS, LABELS, NUMBER]))
def test_whatever_is_sent_is_refused_or_can_be_written(said: dict[str, Any], task: Task) -> None:
    found: Any = None
    try:
        found = feedback_in(said, task, Limits(), masking=True)
    except Refused as why:
        refused = why
    if found is None:
        assert refused.status == 422
        assert refused.body("ko")["error"]["what"]
        return
    line = found.line()
    assert line["by"] is None or 0 < len(line["by"]) <= 100
    assert {"correction", "thumbs", "out_of_scope", "comment"} & set(line)


def test_one_key_for_all_processes_and_names_in_the_order_of_time(tmp_path: Path) -> None:
    key = service_key(tmp_path)
    assert service_key(tmp_path) == key
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    names = [name for _ in range(20) for name in issuer(key, 3)(50)]
    assert len(set(names)) == 1000
    assert [name[:11] for name in names] == sorted(name[:11] for name in names)
    for name in names:
        found = issued(key, name)
        assert found is not None
        assert found.worker == 3


@given(st.text(max_size=60))
def test_no_other_text_is_a_name(said: str) -> None:
    assert issued(b"k" * 32, said) is None
