"""The expert room: a dialogue from its first question to the inbox, on both databases."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bapsim.gather.people_lines import read_people
from bapsim.serve.people import lines, room_phrasing
from bapsim.serve.people.room_phrasing import set_endpoint
from bapsim.serve.people.room_tables import dialogue, effect, position, step
from bapsim.serve.people.tables import audit as audit_table
from bapsim.serve.people.tables import event
from bapsim.serve.people.tables import line as given
from tests.compose.test_phrasing import chat, model
from tests.serve.people.house import House, house, until
from tests.serve.people.talks import REASON, Guest, truth, words

TABLES = (dialogue, step, position, effect)


@pytest.fixture(scope="module")
def room(taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One room on SQLite for whatever is no question to the database."""
    root = tmp_path_factory.mktemp("room") / "project"
    shutil.copytree(taught, root, ignore=shutil.ignore_patterns("people.sqlite*"))
    with house(root, f"sqlite:///{root / 'people' / 'people.sqlite'}") as one:
        yield one


def count(home: House, table: Any, *where: Any) -> int:
    query = sa.select(sa.func.count()).select_from(table).where(*where)
    return int(home.rooms.database.look(lambda c: c.execute(query).scalar()) or 0)


def approved(home: House, who: str) -> Path:
    consent = home.rooms.database.look(
        lambda c: c.execute(sa.select(given.c.consent).where(given.c.person == who)).scalar()
    )
    return home.rooms.root / "inbox" / "people" / f"{consent}.jsonl"


def test_a_dialogue_from_its_first_question_to_the_inbox(lesson: House) -> None:
    expert = lesson.expert("train", "evaluate")
    expert.get("/people/desk")  # the desk has the guideline
    one = Guest(lesson, expert).begin()
    first = one.question
    assert first is not None
    assert first.kind == "choose"
    assert first.about["topics"]
    one.topic()
    learnt = one.learnt()
    assert learnt["taught"] >= 3
    assert learnt["effect"]["rows"] > 100
    assert learnt["took"] < 3.0, "within three seconds"
    side = expert.get(one.path).text
    assert f'<dd class="well">{learnt["effect"]["right"]}</dd>' in side
    said = words(side)
    assert "010-2345-6789" not in said
    assert "[PHONE]" in said
    assert "<script>alert" not in side.replace("<script src", "")
    one.say(act="open", said="people who lost their card abroad")
    one.topic()
    if one.question is not None:
        one.stop()

    end = expert.get(f"{one.path}/end").text
    assert "checked" not in end, "nothing is ticked in advance"
    drafts = one.drafts()
    kinds = {row["kind"] for row in drafts_of(lesson, expert.id)}
    assert {"rationale", "rule", "instruction", "guideline"} <= kinds, kinds
    assert not approved(lesson, expert.id).exists()
    sent = {"line": drafts[:-1]}
    assert expert.post(f"{one.path}/end", page=f"{one.path}/end", **sent).status_code == 303
    file = approved(lesson, expert.id)
    rows = until(lambda: file.exists() and file.read_bytes().count(b"\n") == len(drafts) - 1 and file)
    found = [json.loads(one) for one in rows.read_text("utf-8").splitlines()]
    assert all(row["dialogue"].startswith(f"{one.name}/") for row in found)
    unread: list[Any] = []
    read = read_people(lesson.rooms.root / "inbox", unread)
    assert not unread
    assert sum(len(mine) for mine in read.values()) == len(drafts) - 1
    assert "010-2345-6789" not in rows.read_text("utf-8")
    told = [row for row in found if row["kind"] == "guideline"]
    assert told
    assert told[0]["text"] in words(expert.get("/people/room").text + desk_rules(lesson))
    assert expert.get("/people/room").text.count("to be approved") == 1
    assert expert.post(f"{one.path}/end", page=f"{one.path}/end", do="drop").status_code == 303
    assert not one.drafts()
    assert file.read_bytes().count(b"\n") == len(drafts) - 1
    kept = expert.get(f"{one.path}/lines.json").json()
    assert len(kept) == len(drafts) - 1


def drafts_of(home: House, who: str) -> list[dict[str, Any]]:
    return [
        row for row in home.rooms.database.look(lambda c: lines.of_person(c, who)) if row["state"] == "draft"
    ]


def desk_rules(home: House) -> str:
    from bapsim.serve.people.room_data import guideline

    return json.dumps(home.rooms.database.look(guideline), ensure_ascii=False, default=str)


def test_nothing_that_was_said_lies_in_the_clear(room: House) -> None:
    expert = room.expert()
    one = Guest(room, expert).begin()
    while one.question is not None and one.question.kind != "reason":
        one.answer()
    secret = "마늘빵 냄새가 나는 이유"
    one.say(said=f"{secret} 010-2345-6789")
    assert secret in words(expert.get(one.path).text)
    files = [path for path in room.rooms.root.rglob("*") if path.is_file()]
    assert not [path for path in files if secret.encode() in path.read_bytes()]
    query = sa.select(step.c.body)
    bodies = room.rooms.database.look(lambda c: [row[0] for row in c.execute(query)])
    assert bodies
    assert not any(secret.encode() in one for one in bodies)


def test_undo_takes_back_what_was_said_and_what_it_changed(room: House) -> None:
    one = Guest(room, room.expert()).begin()
    one.answer()
    before = one.question
    one.answer()
    assert count(room, position, position.c.dialogue == one.name) == 1
    one.say(act="undo")
    assert one.question == before
    assert count(room, position, position.c.dialogue == one.name) == 0
    for _ in range(3):
        one.say(act="undo")  # further than the beginning
    assert one.question is not None
    assert one.question.kind == "choose"
    one.topic().stop()
    assert one.drafts()


@pytest.mark.parametrize("act", ["stop", "leave"])
def test_a_rule_that_was_stated_stands_whenever_one_goes(room: House, act: str) -> None:
    expert = room.expert()
    one = Guest(room, expert).begin()
    while one.question is not None and one.question.kind != "rule":
        one.answer()
    one.answer()
    assert one.question is not None
    assert one.question.kind in ("own", "counter"), "something speaks against the rule"
    one.say(act=act)
    if one.question is not None:
        one.stop()
    assert len([row for row in drafts_of(room, expert.id) if row["kind"] == "rule"]) == 1


def test_a_dialogue_goes_on_where_it_was_after_the_service_ended(room: House) -> None:
    expert = room.expert()
    one = Guest(room, expert).begin()
    for _ in range(3):
        one.answer()
    asked, page = one.question, words(expert.get(one.path).text)
    one.learnt()
    mine = effect.c.dialogue == one.name
    room.rooms.database.change(lambda c: c.execute(effect.delete().where(mine)))  # as if it had been lost
    with house(room.rooms.root, str(room.rooms.database.url)) as again:
        same = again.visitor()
        same.http.cookies = expert.http.cookies
        same.id = expert.id
        other = Guest(again, same, one.name)
        assert other.question == asked
        assert asked_of(words(same.get(one.path).text)) == asked_of(page)
        assert other.learnt()["effect"]["rows"] > 100
        other.topic()


def asked_of(page: str) -> str:
    """The conversation, without what is beside it."""
    return " ".join(page.split("What your answers change", maxsplit=1)[0].split())


def test_two_windows_give_one_answer(room: House) -> None:
    expert = room.expert()
    one = Guest(room, expert).begin()
    one.answer()
    page = expert.get(one.path).text
    token = re.search(r'name="_csrf" value="(\w+)"', page)
    asked = re.search(r'name="question" value="([^"]+)"', page)
    assert token
    assert asked
    sent = {"_csrf": token[1], "question": asked[1], "said": "card"}
    first = expert.send(f"{one.path}/say", sent, headers={"hx-request": "true"})
    steps = len(one.talk.turns)
    second = expert.send(f"{one.path}/say", sent, headers={"hx-request": "true"})
    assert (first.status_code, second.status_code) == (200, 200)
    assert "in another window" in second.text
    assert len(one.talk.turns) == steps


def test_two_experts_differ_and_both_are_told(lesson: House) -> None:
    ann, ben = lesson.expert(), lesson.expert()
    one = Guest(lesson, ann).begin()
    one.answer()
    topic = one.talk.waits["topic"]["id"]
    assert f'name="topic" value="{topic}"' in ben.get("/people/room").text
    two = Guest(lesson, ben, contrary={"card": "loan", "loan": "account", "account": "card"}).begin(topic)
    assert two.question is not None
    assert two.question.kind == "case"
    assert two.question.about["case"] == one.question.about["case"]  # type: ignore[union-attr]
    case = two.question.about["case"]["text"]
    one.answer()
    before = words(ben.get(two.path).text)
    assert "Another expert" not in before, "nobody sees what others said before answering"
    channel = f"room:{one.name}"
    two.answer()
    assert count(lesson, event, event.c.channel == channel, event.c.kind == "differs") == 1
    said = words(ann.get(one.path).text)
    assert "Others say otherwise (1)" in said
    assert "Another expert: " in said
    assert two.question is not None
    assert two.question.kind == "holds"
    assert any(other["by"] == "other" for other in two.question.about["against"])
    assert truth(case) in words(ben.get(two.path).text)
    two.say(said="both", why="the text can be read both ways")
    two.topic()
    if two.question is not None:
        two.stop()
    views = [row for row in drafts_of(lesson, ben.id) if row["kind"] == "view"]
    assert len(views) == 1
    shares = lines.read(lesson.rooms.keys, views[0])["distribution"]
    assert sum(shares.values()) == pytest.approx(1)
    assert len(shares) >= 2


def test_nobody_reads_or_answers_a_dialogue_of_somebody_else(room: House) -> None:
    one = Guest(room, room.expert()).begin()
    other, owner = room.expert(), room.person("owner")
    for who in (other, owner):
        for path in (
            one.path,
            f"{one.path}/end",
            f"{one.path}/lines.json",
            f"/people/events/room:{one.name}",
        ):
            assert who.get(path).status_code == 404, path
        sent = {"question": "x", "said": "card"}
        assert who.post(f"{one.path}/say", **sent).status_code == 404
    assert one.who.post(f"{one.path}/end", page=one.path, do="drop").status_code == 303
    assert one.talk.row["state"] == "open", "there is nothing to drop before its end"


def test_without_a_consent_nothing_begins(room: House) -> None:
    nobody = room.person("expert")
    assert "Before you begin" in nobody.get("/people/room").text
    assert nobody.post("/people/room").status_code == 403


def test_without_a_turn_there_is_nothing_to_talk_about(home: House) -> None:
    early = home.expert()
    assert "There is no model yet" in early.get("/people/room").text
    assert early.post("/people/room").status_code == 409


@pytest.mark.parametrize(
    "sent",
    [
        {"said": ""},
        {"said": "x" * 5_000},
        {"said": "no-such-topic"},
        {"act": "no such act"},
        {"act": "guideline", "label": "card"},
        {"said": "a\x00b"},
    ],
)
def test_what_is_no_answer_changes_nothing(room: House, sent: dict[str, str]) -> None:
    one = Guest(room, room.expert()).begin()
    before = one.talk.turns
    got = one.say(**sent)
    assert got.status_code in (200, 400, 422), got.text
    after = one.talk.turns
    assert before == after[: len(before)]
    assert one.question is not None
    assert one.question.kind == "choose"


def test_withdrawing_empties_the_room_of_a_person(lesson: House) -> None:
    ann, ben = lesson.expert(), lesson.expert()
    one = Guest(lesson, ann).begin().topic()
    two = Guest(lesson, ben).begin().topic()
    one.learnt(), two.learnt()
    if one.question is not None:
        one.stop()
    ann.get("/people/desk")
    assert ann.post(f"{one.path}/end", page=f"{one.path}/end", line=one.drafts()).status_code == 303
    assert "Whatever names" in desk_rules(lesson), "what is told of a label is read by others, in the clear"
    mine = [count(lesson, table) for table in TABLES]
    theirs = count(lesson, dialogue, dialogue.c.person == ben.id)
    consent = str(one.talk.row["consent"])
    path = f"/people/consent/{consent}/withdraw"
    assert ann.post(path, page=path, sure="on").status_code == 303
    assert ann.get(one.path).status_code == 404
    left = [count(lesson, table) for table in TABLES]
    assert all(now < then for now, then in zip(left, mine, strict=True)), (left, mine)
    assert "Whatever names" not in desk_rules(lesson)
    pages = [path.read_bytes() for path in (lesson.rooms.root / "people").glob("people.sqlite*")]
    assert not any(b"Whatever names" in body for body in pages)
    assert count(lesson, dialogue, dialogue.c.person == ben.id) == theirs
    assert ben.get(two.path).status_code in (200, 303)
    two.say(act="skip")
    assert REASON.split(".")[0] not in words(ben.get("/people/room").text)


def test_words_of_a_label_or_a_text_are_no_markup(room: House) -> None:
    expert = room.expert()
    one = Guest(room, expert).begin()
    one.answer()
    one.say(new="<img src=x onerror=alert(1)>", why="<b onmouseover=alert(2)>")
    page = expert.get(one.path).text
    assert "<img src=x" not in page
    assert "<b onmouseover" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_a_model_may_phrase_and_only_what_may_leave_leaves(room: House) -> None:
    def kindly(http: Any, body: dict[str, Any]) -> Any:
        asked = json.loads(body["messages"][1]["content"])["question"]
        return http.says(chat(f"Thank you. {asked}"))

    root = room.rooms.root
    with model(kindly) as (server, _):
        set_endpoint(root, f"http://127.0.0.1:{server.server_port}/v1", "m")
        assert room_phrasing.path_of(root).stat().st_mode & 0o077 == 0, "nobody else reads the address"
        try:
            guarded = Guest(room, room.expert("train", "evaluate")).begin()
            while guarded.question is not None and guarded.question.kind != "rule":
                guarded.answer()
            assert not server.heard, "these terms do not let anything leave"
            free = room.expert("train", "evaluate", "third_party")
            one = Guest(room, free).begin()
            while one.question is not None and one.question.kind != "rule":
                one.answer()
            assert "Thank you. " in one.talk.waits["said"]
            sent = b"".join(body for _, body in server.heard).decode()
            assert "It names the thing itself" in sent, "their last words, which they let leave"
            for secret in (
                "010-2345-6789",
                *(label for label in one.talk.manner["labels"] if len(label) > 4),
            ):
                assert secret not in sent
            cases = [
                turn.question.about["case"]["text"]
                for turn in one.talk.turns
                if "case" in turn.question.about
            ]
            assert cases
            assert not [text for text in cases if text in sent]
        finally:
            set_endpoint(root, "", "")
    noted = sa.select(audit_table.c.person).where(audit_table.c.what == "sent_to_model")
    assert {row[0] for row in room.rooms.database.look(lambda c: list(c.execute(noted)))} == {free.id}
