"""Sources that ask language models for rows, through the real driver, from a server that answers by rule."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

pytest.importorskip("httpx")

from bapsim.core.errors import InputError, RecipeError
from bapsim.core.records import Answers, Draft, Records, Rows, Task
from bapsim.core.turn import Turn
from bapsim.gather.dialogues import dialogues
from bapsim.gather.endpoint import Endpoint, endpoint
from bapsim.gather.evolve import WAYS, evolve
from bapsim.gather.few_shot import few_shot
from bapsim.gather.from_errors import confusions, from_errors
from bapsim.gather.passages import questions_from
from bapsim.gather.rephrase import rephrase
from bapsim.gather.types import MESSAGES
from bapsim.store.machine_tape import MachineTape
from bapsim.testing import records_of, turn_of
from tests.faulty import Proxy

INTENT = Task(input="text", target="intent")
ROWS = [
    {"text": "카드를 잃었어요 010-1234-5678 로 전화 주세요", "intent": "card"},
    {"text": "my card did not come", "intent": "card"},
    {"text": "카드가 안 와요", "intent": "card"},
    {"text": "대출 이자가 얼마죠", "intent": "loan"},
    {"text": "송금이 안 돼요", "intent": "transfer"},
]


def people(rows: list[dict[str, Any]] = ROWS) -> Records:
    return records_of(rows)


def seen(tape: MachineTape | None, task: Task, *parts: Records) -> Turn:
    return replace(turn_of(task, *parts), tape=tape)


def to(proxy: Proxy, **how: Any) -> Endpoint:
    return endpoint(proxy.address, model="writer", backoff=0.01, **how)


def user(body: Mapping[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def numbered(body: Mapping[str, Any]) -> str:
    """Another text each time, by what was asked."""
    return json.dumps({"text": f"in other words {abs(hash(json.dumps(body)))}"})


def whole(drafts: Any) -> Draft:
    (one,) = list(drafts)
    return one


def test_rephrased_rows_keep_their_label_and_are_one_hand_deep(tmp_path: Path) -> None:
    tape = MachineTape(tmp_path / "machine.sqlite", "variants")
    with Proxy("", reply=numbered) as proxy:
        turn = seen(tape, INTENT, people())
        draft = whole(rephrase(by=to(proxy), count=2)(turn))
        again = whole(rephrase(by=to(proxy), count=2)(turn))
    assert len(draft.rows) == 10
    assert draft.parents is not None
    assert set(draft.parents.input_depth.to_pylist()) == {1}
    assert set(draft.parents.target_depth.to_pylist()) == {0}
    assert draft.origin.target_maker == "person"
    assert sorted(draft.rows.column("intent").to_pylist()) == sorted([r["intent"] for r in ROWS] * 2)
    assert len(proxy.bodies) == 10, "the second time all is on the tape"
    assert again.rows.equals(draft.rows)
    assert again.keys == draft.keys
    tape.close()


def test_only_redacted_text_leaves() -> None:
    with Proxy("", reply=numbered) as proxy:
        list(rephrase(by=to(proxy))(seen(None, INTENT, people())))
        list(few_shot("card", by=to(proxy), count=3)(seen(None, INTENT, people())))
    said = json.dumps(proxy.bodies, ensure_ascii=False)
    assert "010-1234" not in said
    assert "[PHONE]" in said


def test_what_is_no_row_is_unread_with_its_reason_and_all_is_counted() -> None:
    def reply(body: Mapping[str, Any]) -> str:
        said = user(body)
        if "card did not" in said:
            return json.dumps({"text": "My card did not come!"})
        return "no json" if "대출" in said else numbered(body)

    with Proxy("", reply=reply) as proxy:
        draft = whole(rephrase(by=to(proxy))(seen(None, INTENT, people())))
    assert sorted(one.reason for one in draft.unread) == ["not_json", "unchanged"]
    assert len(draft.rows) + len(draft.unread) == len(ROWS)


def test_a_share_is_the_same_rows_each_time_and_grows() -> None:
    many = people([{"text": f"text number {i}", "intent": "a"} for i in range(200)])
    sizes = []
    for share in (0.0, 0.2, 0.4, 1.0):
        writing = rephrase(by="nobody", share=share).writing(seen(None, INTENT, many))
        assert writing is not None
        sizes.append({job.parents for job in writing.jobs})
    assert [len(one) for one in sizes][::3] == [0, 200]
    assert sizes[1] < sizes[2]
    assert 20 < len(sizes[1]) < 60


def test_an_order_of_rare_rows_is_filled_once_and_has_its_shots_as_parents() -> None:
    source_rows = people()
    with Proxy("", reply=numbered) as proxy:
        order = few_shot("loan", "card", by=to(proxy), count=4, shots=2)
        turn = seen(None, INTENT, source_rows)
        draft = whole(order(turn))
        assert len(draft.rows) == 8
        assert draft.parents is not None
        assert {len(p) for p in draft.parents.ids.to_pylist()} == {1, 2}
        assert set(draft.parents.target_depth.to_pylist()) == {1}
        mine = records_of(draft.rows.to_pylist()[:5], keys=list(draft.keys or [])[:5], origin=1)
        later = replace(
            seen(None, INTENT, source_rows, mine),
            origins={0: turn.origins[0], 1: replace(draft.origin, source="rare")},
        )
        asked = len(proxy.bodies)
        more = whole(order(later))
    assert len(more.rows) == 3
    assert len(proxy.bodies) == asked + 3
    assert not set(more.keys or []) & set((draft.keys or [])[:5])


def test_a_class_that_nobody_showed_is_not_written() -> None:
    assert list(few_shot("unknown", by="x", count=3)(seen(None, INTENT, people()))) == []


def test_errors_are_out_of_fold_ones_and_their_rows_the_parents() -> None:
    records = people()
    guesses = ["loan", "loan", "loan", "loan", "card"]
    oof = pa.record_batch({"_id": records.column("_id"), "prediction": pa.array(guesses)})
    turn = replace(seen(None, INTENT, records), oof=Answers(oof))
    assert {k: len(v) for k, v in confusions(records, turn).items()} == {
        ("card", "loan"): 3,
        ("transfer", "card"): 1,
    }
    with Proxy("", reply=numbered) as proxy:
        draft = whole(from_errors(by=to(proxy), each=2)(turn))
    assert draft.rows.column("intent").to_pylist() == ["card", "card"]
    assert "Taken for: loan" in user(proxy.bodies[0])
    assert list(from_errors(by="x")(seen(None, INTENT, records))) == []


PASSAGE = Task(input=("passage", "question"), target="answer", answer="text")


def test_questions_from_a_passage_quote_it() -> None:
    rows = [
        {"passage": "The pump runs at  40 degrees.\nIt stops at 60.", "question": None, "answer": None},
        {"passage": "The pump runs at  40 degrees.\nIt stops at 60.", "question": "Why?", "answer": "Heat."},
        {"passage": "전화는 010-1234-5678 입니다. 문은 9시에 엽니다.", "question": None, "answer": None},
    ]

    def reply(body: Mapping[str, Any]) -> str:
        quote = "It stops at 60." if "pump" in user(body) else "문은 10시에 엽니다."
        return json.dumps({"question": "When?", "answer": "At 60.", "quote": quote})

    with Proxy("", reply=reply) as proxy:
        turn = seen(None, PASSAGE, people(rows))
        draft = whole(questions_from("passage", by=to(proxy), quote="quote")(turn))
    assert draft.rows.column("quote").to_pylist() == ["It stops at 60."]
    assert draft.rows.column("question").to_pylist() == ["When?"]
    assert [one.reason for one in draft.unread] == ["quote_not_there"]
    with pytest.raises(RecipeError):
        list(questions_from("text", by="x")(seen(None, INTENT, people())))


def test_instructions_evolve_in_each_way() -> None:
    task = Task(input="ask", target="reply", answer="text")
    rows = [
        {"ask": "How do I change a fuse?", "reply": "Turn off the power."},
        {"ask": "Why?", "reply": None},
    ]

    def reply(body: Mapping[str, Any]) -> str:
        if "wider" in body["messages"][0]["content"] or "something else" in body["messages"][0]["content"]:
            return json.dumps({"instruction": user(body).upper(), "reply": "x"})
        return json.dumps({"instruction": user(body) + " And in the dark?", "reply": "With a torch."})

    with Proxy("", reply=reply) as proxy:
        draft = whole(evolve(by=to(proxy))(seen(None, task, people(rows))))
    assert len(draft.rows) == 2 * (len(WAYS) - 1)
    assert [one.reason for one in draft.unread] == ["unchanged"] * 2
    assert set(draft.rows.column("reply").to_pylist()) == {"With a torch."}


def test_two_writers_talk_and_the_last_reply_is_the_target() -> None:
    task = Task(input="messages", target="reply", answer="text")
    chat = [{"role": "user", "content": "내 번호는 010-1234-5678, 카드가 안 와요"}]
    kind = pa.schema({"messages": MESSAGES, "reply": pa.string()})
    said = [{"messages": chat, "reply": "확인해 보겠습니다"}, {"messages": chat, "reply": "사흘 걸립니다"}]
    records = records_of(said, schema=kind)

    def reply(body: Mapping[str, Any]) -> str:
        if "사흘" in body["messages"][0]["content"] and len(body["messages"]) > 3:
            return ""
        side = "service" if "the service" in body["messages"][0]["content"][:30] else "person"
        return f"line {len(body['messages'])} of {side}"

    with Proxy("", reply=reply) as proxy:
        draft = whole(dialogues(by=to(proxy), rounds=2)(seen(None, task, records)))
    (row,) = draft.rows.to_pylist()
    assert [m["role"] for m in row["messages"]] == ["user", "assistant", "user"]
    assert row["messages"][0]["content"].endswith("person")
    assert row["reply"].endswith("service")
    assert [one.reason for one in draft.unread] == ["empty"]
    assert "010-1234" not in json.dumps(proxy.bodies, ensure_ascii=False)
    with pytest.raises(RecipeError):
        list(dialogues(by="x")(seen(None, INTENT, people())))


class Parrot:
    """A generator of the recipe: says the last line that it was asked, and a number of its own."""

    task = INTENT
    classes = ()
    version = "parrot-t001"

    def __call__(self, rows: Rows) -> Answers:
        said = [f"{text.splitlines()[-1]} {seed % 1000}" for text, seed in zip(*_asked(rows), strict=True)]
        return Answers(pa.record_batch({"prediction": pa.array(said)}))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.json").write_text("{}")


def _asked(rows: Rows) -> tuple[list[str], list[int]]:
    return rows.column("text").to_pylist(), rows.column("_seed").to_pylist()


def test_the_own_model_writes_where_it_is_named() -> None:
    turn = replace(seen(None, INTENT, people()), models={"lm": Parrot()})
    draft = whole(rephrase(by="lm")(turn))
    assert len(draft.rows) == 5
    other = whole(few_shot("card", by="lm", count=3)(turn))
    assert len(set(other.rows.column("text").to_pylist())) == 3
    waiting = whole(rephrase(by="lm")(seen(None, INTENT, people())))
    assert [one.reason for one in waiting.unread] == ["generator_waits"] * 5


def test_the_method_is_named_by_what_is_asked_and_not_by_where() -> None:
    turn = seen(None, INTENT, people())
    with Proxy("", reply=numbered) as one, Proxy("", reply=numbered) as two:
        drafts = [whole(rephrase(by=to(p, concurrency=n))(turn)) for p, n in ((one, 1), (two, 8))]
        hotter = whole(rephrase(by=to(one, temperature=0.2))(turn))
    assert drafts[0].origin.method == drafts[1].origin.method
    assert hotter.origin.method != drafts[0].origin.method


def test_machine_rows_are_never_shown() -> None:
    machine = records_of([{"text": "made", "intent": "card"}], maker="machine", origin=1)
    writing = rephrase(by="x").writing(seen(None, INTENT, people(), machine))
    assert writing is not None
    assert len(writing.jobs) == len(ROWS)


def test_a_preview_says_what_it_would_take() -> None:
    turn = seen(None, INTENT, people())
    with Proxy("", reply=numbered) as proxy:
        said = rephrase(by=to(proxy), count=3).preview(turn)
    assert said is not None
    assert said.requests == 15
    assert not proxy.bodies
    assert rephrase(by="lm").preview(turn) is None


def test_orders_that_cannot_be() -> None:
    for wrong in (
        lambda: rephrase(by="x", share=1.5),
        lambda: rephrase(by="x", count=0),
        lambda: few_shot(by="x"),
        lambda: few_shot("a", by="x", shots=0),
        lambda: from_errors(by="x", each=0),
        lambda: questions_from("p", by="x", share=-1),
        lambda: evolve(by="x", ways={}),
        lambda: dialogues(by="x", rounds=0),
    ):
        with pytest.raises(InputError):
            wrong()
    numbers = Task(input="size", target="intent", kind="table")
    table = records_of([{"size": 1.5, "intent": "a"}])
    with pytest.raises(RecipeError):
        list(rephrase(by="x")(seen(None, numbers, table)))
    assert list(rephrase(by="x")(seen(None, INTENT))) == []
