"""The log of a service: requests are a pool, corrections are labels, and every line is a row or unread."""

import gzip
import json
import random
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bapsim.core.errors import InputError, RecipeError
from bapsim.core.fingerprint import fingerprint
from bapsim.core.records import SERVICE_LOG, Task
from bapsim.core.turn import Turn
from bapsim.gather.chunk import NotRead
from bapsim.gather.log_fields import conversation, flag, instant, share, thumbs, value_at
from bapsim.gather.objects import DECODER
from bapsim.gather.service import OPENAI, log_row, merged, service, service_log

PLAIN = {
    "input": "query",
    "prediction": "answer.label",
    "confidence": "answer.p",
    "correction": "fixed",
    "request": "id",
    "at": "time",
    "thumbs": "thumb",
    "consent": "who",
    "out_of_scope": "oos",
}


def pair(i: int, text: str, said: str = "lost", **more) -> dict:
    """A line in the schema of the data-flywheel blueprint."""
    return {
        "timestamp": 1715854074 + i,
        "workload_id": "intent",
        "client_id": "bank",
        "request": {"model": "llama", "messages": [{"role": "user", "content": text}], "temperature": 0.2},
        "response": {
            "id": f"chatcmpl-{i}",
            "object": "chat.completion",
            "created": 1715854074 + i,
            "model": "llama-3",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": said}}],
            "usage": {"prompt_tokens": 15, "completion_tokens": 72, "total_tokens": 87},
        },
        **more,
    }


def line(i: int, text: str | None = None, **more) -> dict:
    said = {"id": f"r{i}", "time": 1_700_000_000 + i, **more}
    return said if text is None else {**said, "query": text, "answer": {"label": "lost", "p": 0.5}}


def write(path: Path, *records, end: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "\n".join(r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records) + end
    packed = path.suffix == ".gz"
    path.write_bytes(gzip.compress(body.encode(), mtime=0) if packed else body.encode())


@pytest.fixture
def turn(tmp_path):
    (tmp_path / "log").mkdir()
    return Turn(n=1, seed=0, task=Task(input="text", target="intent"), inbox=tmp_path)


def gathered(source, turn):
    drafts = list(source(turn))
    rows = [row | {"_key": key} for d in drafts for key, row in zip(d.keys, d.rows.to_pylist(), strict=True)]
    return rows, [(u.file, u.line, u.reason) for d in drafts for u in d.unread], drafts


def test_the_blueprints_schema(turn):
    write(
        turn.inbox / "log" / "a.jsonl",
        pair(1, "my card is lost"),
        pair(2, "카드를 잃어버렸어요", correction="stolen"),
        pair(3, "wrong one", workload_id="summary"),
    )
    source = service("log/", rights="terms-3", fields=OPENAI | {"correction": "correction"})
    rows, unread, drafts = gathered(source, turn)
    at = datetime(2024, 5, 16, 10, 7, 55, tzinfo=UTC)
    assert rows[0] == {
        "text": "my card is lost",
        "intent": None,
        "request": "chatcmpl-1",
        "model": "llama-3",
        "prediction": "lost",
        "confidence": None,
        "at": at,
        "out_of_scope": None,
        "thumbs": None,
        "_key": "chatcmpl-1",
    }
    assert [row["intent"] for row in rows] == [None, "stolen", None], "an answer of a model is no label"
    assert unread == []
    origin = drafts[0].origin
    assert (origin.input_maker, origin.target_maker, origin.method) == ("person", "person", "service:chosen")
    assert (origin.rights, origin.consent, origin.batch) == ("terms-3", None, "log/a.jsonl")
    source = service(
        "log/", rights="x", where={"workload_id": "intent"}, purpose="to get better", sampled=True
    )
    rows, _, drafts = gathered(source, turn)
    assert [row["text"] for row in rows] == ["my card is lost", "카드를 잃어버렸어요"]
    assert (drafts[0].origin.rights, drafts[0].origin.method) == ("x; purpose: to get better", "service")


def test_one_request_is_one_record(turn):
    """In two rotated files, with feedback in a line of its own, before or after: all lines give one row."""
    write(turn.inbox / "log" / "s.jsonl", line(2, "b"), line(3, fixed="stolen"), line(3, thumb="down"))
    write(turn.inbox / "log" / "s.jsonl.1.gz", line(1, "a"), line(2, "b"), line(3, "c"))
    rows, unread, drafts = gathered(service("log/", rights="own", fields=PLAIN), turn)
    assert unread == []
    assert sorted((row["_key"], row["text"], row["intent"], row["thumbs"]) for row in rows) == [
        ("r1", "a", None, None),
        ("r2", "b", None, None),
        ("r2", "b", None, None),
        *[("r3", "c", "stolen", -1)] * 3,
    ]
    assert len({json.dumps(row, default=str) for row in rows}) == 3
    assert {d.origin.batch for d in drafts} == {"log/s.jsonl", "log/s.jsonl.1.gz"}


def test_the_last_correction_counts(turn):
    """By time where every line has one, else in the order of reading."""
    log = turn.inbox / "log"
    write(log / "a.jsonl", line(1, "a"), line(9, fixed="late", id="r1"), line(5, fixed="early", id="r1"))
    assert {row["intent"] for row in gathered(service("log/", rights="own", fields=PLAIN), turn)[0]} == {
        "late"
    }
    write(log / "a.jsonl", {"id": 1, "query": "a"}, line(9, fixed="x", id=1), {"id": 1, "fixed": "y"})
    assert {row["intent"] for row in gathered(service("log/", rights="own", fields=PLAIN), turn)[0]} == {"y"}


def test_feedback_on_nothing_known(turn):
    write(
        turn.inbox / "log" / "a.jsonl",
        line(1, fixed="x"),
        line(2, "a"),
        line(2, "b", fixed="z"),
        line(2, fixed="y"),
        {"fixed": "w"},
        {"id": "r3", "query": "  "},
    )
    rows, unread, _ = gathered(service("log/", rights="own", fields=PLAIN), turn)
    assert [(row["text"], row["intent"]) for row in rows] == [("a", None), ("b", "z")], "two under one id"
    assert sorted(unread) == [
        ("log/a.jsonl", 1, "unknown_request"),
        ("log/a.jsonl", 4, "unknown_request"),
        ("log/a.jsonl", 5, "no_input"),
        ("log/a.jsonl", 6, "unknown_request"),
    ]


def test_requests_without_an_id(turn):
    """Named by what was said and when: a copy of a line is the same request, the same words later are not."""
    said = {"query": "a", "answer": {"label": "x"}}
    write(turn.inbox / "log" / "a.jsonl", said | {"time": 1}, said | {"time": 2}, said | {"time": 1}, said)
    rows, unread, _ = gathered(service("log/", rights="own", fields=PLAIN), turn)
    names = [row["_key"] for row in rows]
    assert (names[0] == names[2], len(set(names)), unread) == (True, 3, [])
    assert all(
        name.startswith("unnamed:") and row["request"] is None for name, row in zip(names, rows, strict=True)
    )
    write(turn.inbox / "log" / "b.jsonl", said | {"time": 2, "fixed": "y"})
    rows, _, _ = gathered(service("log/", rights="own", fields=PLAIN), turn)
    assert [row["intent"] for row in rows if row["_key"] == names[1]] == ["y", "y"]


def test_lines_that_do_not_fit(turn):
    write(
        turn.inbox / "log" / "a.jsonl",
        line(1, "a"),
        "{broken",
        "[1]",
        line(2, "b", time="yesterday"),
        line(3, "c") | {"answer": {"p": 93}},
        '{"query": "\\ud800", "id": 5}',
        line(4, "d", thumb="sideways"),
        '{"id": 1, "id": 2}',
        line(6, "e"),
    )
    rows, unread, drafts = gathered(service("log/", rights="own", fields=PLAIN), turn)
    assert [row["text"] for row in rows] == ["a", "e"]
    reasons = ["json", "object", "type", "type", "encoding", "type", "duplicate_key"]
    assert unread == [("log/a.jsonl", i, reason) for i, reason in enumerate(reasons, 2)]
    details = [u.detail for d in drafts for u in d.unread if u.reason == "type"]
    assert details == ["at: yesterday", "confidence: 93", "thumbs: sideways"]


def test_a_log_that_grows(turn):
    """Its last line is half there: not lost, not broken, but the next turn's."""
    path = turn.inbox / "log" / "a.jsonl"
    whole = json.dumps(line(2, "밥을 먹다"), ensure_ascii=False).encode()
    start = json.dumps(line(1, "a")).encode() + b"\n"
    for cut in (3, whole.index(b"\xeb") + 1):
        path.write_bytes(start + whole[:cut])
        rows, unread, _ = gathered(service("log/", rights="own", fields=PLAIN), turn)
        assert [row["_key"] for row in rows] == ["r1"]
        assert unread == [("log/a.jsonl", 2, "unfinished")]
    path.write_bytes(start + whole)
    assert [row["_key"] for row in gathered(service("log/", rights="own", fields=PLAIN), turn)[0]] == [
        "r1",
        "r2",
    ]
    path.write_bytes(start + b"{broken\n")
    assert gathered(service("log/", rights="own", fields=PLAIN), turn)[1] == [("log/a.jsonl", 2, "json")]
    (turn.inbox / "log" / "b.gz").write_bytes(gzip.compress(start * 50)[:-9])
    unread = gathered(service("log/", rights="own", fields=PLAIN), turn)[1]
    assert ("log/b.gz", "truncated") in [(file, reason) for file, _, reason in unread]


def test_consents_and_purposes_are_origins(turn):
    write(turn.inbox / "log" / "a.jsonl", line(1, "a", who="kim"), "{", line(2, "b"), line(3, "c", who="kim"))
    source = service("log/", rights="own", fields=PLAIN, consent="all")
    _, unread, drafts = gathered(source, turn)
    assert [(d.origin.consent, d.rows.column("text").to_pylist()) for d in drafts] == [
        ("kim", ["a", "c"]),
        ("all", ["b"]),
    ]
    assert len(unread) == 1


def test_several_inputs(turn):
    task = Task(input=("age", "bp"), target="ill", kind="table", slices=("site",))
    log = turn.inbox / "log"
    write(log / "a.jsonl", *({"id": i, "x": {"age": 40 + i, "bp": 1.5 * i}, "at": "s"} for i in range(3)))
    turn = Turn(n=1, seed=0, task=task, inbox=turn.inbox)
    inputs = {"age": "x.age", "bp": "x.bp", "site": "at"}
    source = service("log/", rights="own", fields={"input": inputs, "request": "id"})
    (draft,) = source(turn)
    assert draft.rows.schema.field("age").type == pa.int64()
    assert draft.rows.schema.field("bp").type == pa.float64()
    assert draft.rows.column("site").to_pylist() == ["s"] * 3
    source = service("log/", rights="own", fields={"input": inputs, "request": "id"}, types={"age": "string"})
    (draft,) = source(turn)
    assert draft.rows.column("age").to_pylist() == ["40", "41", "42"]
    with pytest.raises(RecipeError, match="does not say where bp stands"):
        list(service("log/", rights="own", fields={"input": {"age": "x"}})(turn))


def test_what_a_recipe_may_not_say(turn):
    with pytest.raises(RecipeError, match="wrong at: corection"):
        service("log/", rights="own", fields={"input": "q", "corection": "c"})
    with pytest.raises(RecipeError, match="wrong at: input"):
        service("log/", rights="own", fields={"prediction": "q"})
    with pytest.raises(InputError, match="no type named"):
        service("log/", rights="own", types={"a": "wat"})
    taken = Turn(n=1, seed=0, task=Task(input="request", target="intent"), inbox=turn.inbox)
    write(turn.inbox / "log" / "a.jsonl", line(1, "a"))
    with pytest.raises(RecipeError, match="names of the log's own: request"):
        list(service("log/", rights="own", fields=PLAIN)(taken))
    timed = Turn(n=1, seed=0, task=Task(input="text", target="intent", time="at"), inbox=turn.inbox)
    assert gathered(service("log/", rights="own", fields=PLAIN), timed)[0]
    assert list(service("not-yet/", rights="own")(turn)) == []
    assert fingerprint(service("log/", rights="own")) != fingerprint(
        service("log/", rights="own", sampled=True)
    )


def test_whose_file_it_is(turn, tmp_path):
    write(tmp_path / "a.jsonl", "not json", pair(1, "a"))
    write(tmp_path / "b.jsonl", line(1, "a"))
    write(tmp_path / "c.jsonl", {"query": "a", "fixed": "label"}, {"text": "b"})
    (tmp_path / "d.xlsx").write_bytes(b"PK\x03\x04")
    openai, plain = service("log/", rights="own"), service("log/", rights="own", fields=PLAIN)
    files = [tmp_path / f"{name}" for name in ("a.jsonl", "b.jsonl", "c.jsonl", "d.xlsx")]
    assert [openai.takes(file, turn.task) for file in files] == [True, False, False, False]
    assert [plain.takes(file, turn.task) for file in files] == [False, True, False, False]


# ---------------------------------------------------------------- pure parts


def test_paths():
    record = {"a": {"b": [{"c": 1}, 2]}, "x.y": {"z": 3}, "x": {"y": 4}}
    assert value_at(record, "a.b.0.c") == 1
    assert value_at(record, "a.b.1") == 2
    assert value_at(record, "x.y") == {"z": 3}, "a key may have a dot itself"
    for path in ("a.b.2", "a.b.-1", "a.b.c", "a.b.0.c.d", "q", "", "a.b.٣", "a.b.99999999999"):
        assert value_at(record, path) is None


@pytest.mark.parametrize(
    ("said", "micros"),
    [
        ("1715854074", 1_715_854_074_000_000),
        ("1715854074.25", 1_715_854_074_250_000),
        ("1715854074123", 1_715_854_074_123_000),
        ("1715854074123456", 1_715_854_074_123_456),
        ("1715854074123456789", 1_715_854_074_123_456),
        ("2024-05-16T10:07:54Z", 1_715_854_074_000_000),
        ("2024-05-16 19:07:54+09:00", 1_715_854_074_000_000),
        ("2024-05-16T10:07:54", 1_715_854_074_000_000),
    ],
)
def test_times(said, micros):
    assert instant(said) == micros


@pytest.mark.parametrize("said", ["-1", "1e99", "nan", "1_0", "soon", "True", "", "99999999999999999999"])
def test_what_is_no_time(said):
    with pytest.raises((ValueError, OverflowError)):
        instant(said)


def test_small_values():
    assert [share("0.5"), share(1), share("NaN")] == [0.5, 1.0, None]
    assert [thumbs(v) for v in (True, "up", "👎", "-1", 0)] == [1, 1, -1, -1, None]
    assert [flag(v) for v in (True, "FALSE", "1")] == [True, False, True]
    for parse, wrong in ((share, "93"), (share, "0_1"), (thumbs, "5"), (flag, "maybe")):
        with pytest.raises(ValueError, match=wrong):
            parse(wrong)


def test_conversations():
    parts = [
        {"type": "text", "text": "and"},
        {"type": "image_url", "image_url": {}},
        {"type": "text", "text": "this"},
    ]
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "sure"},
    ]
    assert conversation(messages, whole=False) == "and\nthis"
    assert (
        conversation(messages, whole=True) == "system: be kind\nuser: first\nuser: and\nthis\nassistant: sure"
    )
    assert conversation([{"role": "assistant", "content": "x"}], whole=False) is None
    assert conversation(["a", "b"], whole=False) == ["a", "b"], "a list, but of no messages"
    write_all = service("log/", rights="own", messages="all")
    assert write_all.maker is None


def test_whole_conversations_have_an_unknown_maker(turn):
    write(turn.inbox / "log" / "a.jsonl", pair(1, "hello"))
    rows, _, (draft,) = gathered(service("log/", rights="own", messages="all"), turn)
    assert (rows[0]["text"], draft.origin.input_maker) == ("user: hello", "unknown")
    (draft,) = service("log/", rights="own", messages="all", maker="person")(turn)
    assert draft.origin.input_maker == "person"


def test_a_row_of_the_log():
    said = json.dumps({"query": {"deep": [1.50, "밥"]}, "id": 7, "fixed": 1, "oos": False})
    row = log_row(DECODER.decode(said), PLAIN, {"text": "query"}, whole=False)
    assert row["input"] == '{"text": {"deep": [1.5, "밥"]}}'
    assert (row["request"], row["correction"], row["out_of_scope"]) == ("7", "1", False)
    assert list(row) == SERVICE_LOG.names
    log = service_log([row])
    assert log.schema == SERVICE_LOG
    with pytest.raises(NotRead):
        log_row({"other": 1}, PLAIN, {"text": "query"}, whole=False)


VALUES = st.fixed_dictionaries(
    {
        "at": st.none() | st.integers(0, 9),
        "correction": st.none() | st.sampled_from("ab"),
        "prediction": st.none() | st.sampled_from("xy"),
    }
)


@given(st.lists(VALUES, min_size=1, max_size=6), st.randoms())
def test_merging_does_not_depend_on_order_where_times_differ(lines, rng: random.Random):
    rows = [dict.fromkeys(SERVICE_LOG.names) | said | {"at": i} for i, said in enumerate(lines)]
    shuffled = rng.sample(rows, len(rows))
    assert merged(shuffled) == merged(rows)
    corrections = [said["correction"] for said in lines if said["correction"]]
    assert merged(rows)["correction"] == (corrections[-1] if corrections else None)
    assert merged([merged(rows), merged(rows)]) == merged(rows)


# ---------------------------------------------------------------- what `bapsim serve` writes


def served(i: int, said: object = "what is my balance", **more) -> dict:
    """A request as `bapsim serve` logs it."""
    at = f"2026-11-22T10:00:{i % 60:02d}.000001+00:00"
    about = {"request": f"r{i}", "at": at, "deployment": "app", "purpose": "to improve", "consent": None}
    given = {"model": "t001-people", "prediction": "card", "confidence": 0.5, "in_scope": 0.9}
    return {**about, **given, "input": said if isinstance(said, dict) else {"text": said}, **more}


def feedback(i: int, **more) -> dict:
    return {"request": f"r{i}", "at": "2026-11-22T11:00:00.000001+00:00", "deployment": "app", **more}


def test_our_own_log_needs_no_map_and_whoever_corrects_is_a_delivery(turn):
    write(turn.inbox / "log" / "a-w0.jsonl", served(1), served(2, "카드 잃어버렸어요"), served(3), served(4))
    write(
        turn.inbox / "log" / "b-w1.jsonl",
        feedback(1, by="kim", correction="balance"),
        feedback(2, by="lee", correction="lost", comment="늘 틀려요"),
        feedback(2, by="kim", thumbs=-1),
        feedback(3, by="kim", thumbs=1),
        feedback(9, correction="nobody asked"),
    )
    rows, unread, drafts = gathered(service("log/", rights="own"), turn)
    assert {row["_key"]: row["intent"] for row in rows} == {
        "r1": "balance",
        "r2": "lost",
        "r3": None,
        "r4": None,
    }
    of = {key: d.origin.batch for d in drafts for key in d.keys}
    assert (of["r1"], of["r2"], of["r4"]) == ("log/by:kim", "log/by:lee", "log/a-w0.jsonl")
    assert {d.origin.rights for d in drafts} == {"own; purpose: to improve"}
    assert unread == [("log/b-w1.jsonl", 5, "unknown_request")]
    assert {row["thumbs"] for row in rows if row["_key"] in ("r2", "r3")} == {-1, 1}


def test_our_own_log_of_a_table_and_openai_lines_side_by_side(tmp_path):
    (tmp_path / "log").mkdir()
    task = Task(input=("age", "job"), target="risk", kind="table")
    lines = [served(i, {"age": 30 + i, "job": "cook"}) for i in range(3)]
    write(tmp_path / "log" / "a.jsonl", *lines, feedback(0, correction="high"))
    rows, unread, _ = gathered(service("log/", rights="own"), Turn(n=1, seed=0, task=task, inbox=tmp_path))
    assert [(row["age"], row["job"], row["risk"]) for row in rows] == [
        (31, "cook", None),
        (32, "cook", None),
        *[(30, "cook", "high")] * 2,  # of both lines, one record
    ]
    assert not unread
    text = Turn(n=1, seed=0, task=Task(input="text", target="intent"), inbox=tmp_path)
    write(tmp_path / "log" / "a.jsonl", pair(1, "hello"), served(1, "bye"))
    rows, unread, _ = gathered(service("log/", rights="own"), text)
    assert sorted(row["text"] for row in rows) == ["bye", "hello"]
    assert not unread


def test_pictures_of_our_own_log(tmp_path):
    folder = tmp_path / "log" / "pictures"
    folder.mkdir(parents=True)
    for i in range(3):
        Image.new("L", (4, 4), 60 * i).save(folder / f"r{i}.png")
    (folder / "r3.png").write_bytes(b"no picture")
    named = [{"image": {"file": f"pictures/r{i}.png"}} for i in range(5)]
    odd = [{"image": {"file": "../../../etc/passwd"}}, {"image": {"file": 3}}, {"image": "r1.png"}]
    lines = [served(i, said) for i, said in enumerate([*named, *odd])]
    write(tmp_path / "log" / "a.jsonl", *lines, feedback(1, correction="crack"))
    task = Task(input="image", target="defect", kind="image")
    rows, unread, _ = gathered(service("log/", rights="own"), Turn(n=1, seed=0, task=task, inbox=tmp_path))
    assert {row["_key"]: row["defect"] for row in rows} == {"r0": None, "r1": "crack", "r2": None}
    assert {row["_key"]: row["image"] for row in rows}["r2"] == (folder / "r2.png").read_bytes()
    assert {row["file"] for row in rows} == {f"pictures/r{i}.png" for i in range(3)}
    reasons = ["not_a_picture", "not_a_picture", "outside", "no_picture", "no_picture"]
    assert [u[1:] for u in unread] == [(4 + i, reason) for i, reason in enumerate(reasons)], unread
