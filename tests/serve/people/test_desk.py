"""The label desk: who gets what, when it is enough, undo, files in and out, confirming; on both databases."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bapsim.compose.assignment import PLAN, Plan, need
from bapsim.gather.jobs import read_job
from bapsim.gather.voices import Item, Voice
from bapsim.raters.shares import share
from bapsim.serve.people import desk_jobs, desk_owner, desk_queue, persons, publish
from bapsim.serve.people.desk_jobs import Brought
from bapsim.serve.people.desk_queue import Given, skills
from bapsim.serve.people.desk_tables import change, done, item, job
from bapsim.serve.people.tables import audit as audit_log
from bapsim.serve.refused import Refused
from tests.serve.people.house import House, Visitor

LABELS = ("분실", "lost", "<b>x</b>")
EVIL = "<script>alert(1)</script> 카드 '\"&"


def brought(count: int, *, tests: int = 0, origin: str = "project", **more: Any) -> Brought:
    """A job with as many items; the model guesses the first label of each."""
    items = [Item(key=f"{i:032x}", shows={"text": f"{EVIL} {i}"}, guess=LABELS[0]) for i in range(count)]
    known = [
        Item(key=f"{900 + i:032x}", shows={"text": f"known {i}"}, voices=(Voice(said=LABELS[1], gold=True),))
        for i in range(tests)
    ]
    about: dict[str, Any] = {"kind": "label", "answer": "class", "title": "intent", "labels": LABELS}
    return Brought(**about | {"origin": origin, "items": items, "tests": known} | more)


def opened(home: House, one: Brought) -> str:
    return home.rooms.database.change(lambda c: desk_jobs.add(c, one, None))


def said_by(home: House, name: str, who: str, consent: str, label: Any, **more: Any) -> str | None:
    """One person takes the next item and says something; the item, or None where nothing is left."""

    def work(connection: sa.Connection) -> str | None:
        row = connection.execute(sa.select(job).where(job.c.id == name)).mappings().one()
        mine = desk_queue.take(connection, home.rooms.keys, name, who)
        if mine is None:
            return None
        said = label(mine) if callable(label) else label
        body = {"question": mine.row["id"], "said": said, "seconds": 1.0, **more}
        about = Given(job=dict(row), who=who, consent=consent, kind="vote", body=body)
        desk_queue.say(connection, home.rooms.keys, about)
        return str(mine.row["id"])

    return home.rooms.database.change(work)


def people(home: House, count: int) -> list[tuple[Visitor, str]]:
    made = [home.expert("train", "evaluate") for _ in range(count)]
    return [(one, consent_of(home, one)) for one in made]


def consent_of(home: House, who: Visitor) -> str:
    from bapsim.serve.people.consent import standing

    found = home.rooms.database.look(lambda c: standing(c, who.id))
    assert found is not None
    return found


def rows(home: House, query: Any) -> list[dict[str, Any]]:
    return home.rooms.database.look(lambda c: [dict(row) for row in c.execute(query).mappings()])


# ---------------------------------------------------------------- how many votes


def test_items_get_the_votes_that_they_need_and_nobody_answers_twice(home: House) -> None:
    name = opened(home, brought(12, tests=3))
    team = people(home, 6)

    def label(mine: Any) -> str:
        number = int(mine.row["id"], 16)
        return LABELS[1] if number % 3 == 0 or number >= 900 else LABELS[0]  # a third differs from the model

    busy = True
    while busy:
        busy = False
        for who, consent in team:
            busy |= said_by(home, name, who.id, consent, label) is not None
    found = rows(home, sa.select(item).where(item.c.job == name, item.c.gold.is_(None)))
    assert {row["state"] for row in found} == {"settled"}
    kept = rows(home, sa.select(done).where(done.c.job == name))
    votes = Counter(row["item"] for row in kept if row["blind"] is None)
    for row in found:
        assert votes[row["id"]] in ((2, 3) if int(row["id"], 16) % 3 == 0 else (1,))
    twice = Counter((row["item"], row["person"]) for row in kept if row["blind"] != "again")
    assert set(twice.values()) == {1}
    assert any(row["blind"] == "gold" for row in kept)
    figures = home.rooms.database.look(lambda c: desk_owner.progress(c, home.rooms.keys, name))
    assert (figures["open"], figures["settled"], figures["answers"]) == (0, 12, len(kept))
    tests = sum(one["tests"]["of"] for one in figures["people"])
    assert tests == sum(row["blind"] == "gold" for row in kept)
    assert all(one["tests"]["right"] == one["tests"]["of"] for one in figures["people"])
    for one in figures["people"]:  # it leans on others, its interval does not
        own = share(one["tests"]["right"], one["tests"]["of"])
        assert one["skill"]["low"] <= own.low <= one["skill"]["share"] <= one["skill"]["high"] == own.high
    assert {row["hit"] for row in kept if row["blind"] == "gold"} == {1}
    assert all(skill > 0.8 for skill in home.rooms.database.look(lambda c: skills(c, name)).values())


def test_who_fails_tests_does_not_settle_alone(home: House) -> None:
    name = opened(home, brought(60, tests=8))
    (bad, consent), (good, other) = people(home, 2)
    for _ in range(40):
        said_by(home, name, bad.id, consent, LABELS[0])  # what the model says, of tests too
    assert home.rooms.database.look(lambda c: skills(c, name))[bad.id] < 0.5
    kept = rows(home, sa.select(done.c.item).where(done.c.blind.is_(None)).order_by(done.c.seq))
    last = kept[-1]["item"]
    states = {row["id"]: row["state"] for row in rows(home, sa.select(item.c.id, item.c.state))}
    assert states[last] == "open"
    asked = [said_by(home, name, good.id, other, LABELS[0]) for _ in range(60)]
    assert last in asked, "somebody else is asked"


def test_two_people_never_hold_the_same_last_vote(home: House) -> None:
    name = opened(home, brought(3))
    team = people(home, 4)
    taken = []
    for who, _ in team:
        mine = home.rooms.database.change(
            lambda c, who=who: desk_queue.take(c, home.rooms.keys, name, who.id)
        )
        taken.append(None if mine is None else mine.row["id"])
    assert taken[3] is None
    assert len(set(taken[:3])) == 3
    again = home.rooms.database.change(lambda c: desk_queue.take(c, home.rooms.keys, name, team[0][0].id))
    assert again is not None
    assert again.row["id"] == taken[0], "one has one item"


def test_disagreement_asks_more_people_up_to_the_limit(home: House) -> None:
    name = opened(home, brought(1))
    said = [LABELS[1], LABELS[0], LABELS[2], LABELS[1], LABELS[0]]
    for (who, consent), label in zip(people(home, 5), said, strict=True):
        assert said_by(home, name, who.id, consent, label) is not None
    assert rows(home, sa.select(item.c.state)) == [{"state": "settled"}]


@pytest.mark.parametrize("plan", [PLAN, replace(PLAN, limit=0.995)])
def test_many_hold_an_item_each(home: House, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """More people than items that are looked at at once; an item goes to several where it needs them."""
    monkeypatch.setattr(desk_queue, "PLAN", plan)
    name = opened(home, brought(40))
    hands = home.rooms.database.change(
        lambda c: [persons.add(c, role="expert", lang="ko", domain="", by=None) for _ in range(30)]
    )

    def take(connection: sa.Connection) -> list[str]:
        found = [desk_queue.take(connection, home.rooms.keys, name, who) for who in hands]
        return [one.row["id"] for one in found if one is not None]

    held = home.rooms.database.change(take)
    wanted = desk_queue.Wanted(key="", guess={json.dumps(LABELS[0]): desk_queue.SURE}, labels=len(LABELS))
    least = need(wanted, {}, plan).least
    assert least == (1 if plan is PLAN else 3)
    assert len(held) == 30
    assert max(Counter(held).values()) == least
    assert len(set(held)) == -(-30 // least)
    assert home.rooms.database.change(take) == held, "who has one keeps it"


def test_a_surprising_answer_is_asked_on(home: House) -> None:
    """Two say what the model says, one does not and foretold that hardly anybody would: it stays open."""
    said = [(LABELS[1], 0.1), (LABELS[0], 0.9), (LABELS[0], 0.9), (LABELS[0], 0.9), (LABELS[0], 0.9)]
    team = people(home, 5)
    for forecasts, states in ((False, ["open"] * 2 + ["settled"]), (True, ["open"] * 4 + ["settled"])):
        name = opened(home, brought(1))
        found = []
        for (who, consent), (label, peers) in zip(team[: len(states)], said, strict=False):
            more = {"peers": peers} if forecasts else {}
            assert said_by(home, name, who.id, consent, label, **more) is not None
            found += [row["state"] for row in rows(home, sa.select(item.c.state).where(item.c.job == name))]
        assert found == states


def test_personal_data_is_masked_but_where_letters_are_marked_and_that_is_noted(home: House) -> None:
    told, expert = "환불 문의 010-2345-6789", home.expert("train")
    for kind, shows in (
        ("label", {"text": told}),
        ("pair", {"prompt": told, "a": "b", "b": told}),
        ("confirm", {"text": told}),
        ("spans", {"text": told}),
    ):
        items = [Item(key=f"{kind}{i}", shows=shows) for i in range(3)]
        name = opened(home, brought(0, kind=kind, items=items, origin="file"))
        page = expert.get(f"/people/desk/{name}").text
        assert ("010-2345-6789" in page) == (kind == "spans")
        assert ("[PHONE]" in page) == (kind != "spans")
    noted = rows(home, sa.select(audit_log.c.what).where(audit_log.c.what == "read_words"))
    assert len(noted) == 1


def test_nobody_reads_which_answers_were_tests(home: House) -> None:
    expert = home.expert("train", "evaluate", lang="ko")
    name = opened(home, brought(30, tests=30))
    said = [said_by(home, name, expert.id, consent_of(home, expert), LABELS[1]) for _ in range(30)]
    kept = rows(home, sa.select(done.c.blind).where(done.c.job == name))
    assert {"blind": "gold"} in kept
    page, api = expert.get("/people/me").text, expert.get("/people/api/lines").text
    assert len(expert.get("/people/api/lines").json()["items"]) == len(said)
    for text in (page, api):
        assert "gold" not in text
        assert "blind" not in text
        assert "lost" in text
    assert "cannot_tell" not in page, "in words"


def test_own_items_come_again_blind(home: House) -> None:
    name = opened(home, brought(400))
    ((who, consent),) = people(home, 1)
    for _ in range(160):
        said_by(home, name, who.id, consent, LABELS[0])
    kept = rows(home, sa.select(done).where(done.c.job == name).order_by(done.c.seq))
    again = [i for i, row in enumerate(kept) if row["blind"] == "again"]
    assert 1 <= len(again) <= 20
    for at in again:
        before = [i for i, row in enumerate(kept[:at]) if row["item"] == kept[at]["item"]]
        assert len(before) == 1
        assert at - before[0] >= PLAN.after
    published = home.rooms.database.look(lambda c: list(publish.approved(c, home.rooms.keys, consent)))
    assert {one["blind"] for one in published} == {None, "again"}


# ---------------------------------------------------------------- pages


def page_of(who: Visitor, name: str) -> tuple[str, str]:
    """The page of the next item, and its item."""
    page = who.get(f"/people/desk/{name}").text
    found = re.search(r'name="item" value="(\w+)"', page)
    return page, found[1] if found else ""


def test_a_person_answers_takes_back_and_skips(home: House) -> None:
    name = opened(home, brought(5))
    ((who, consent),) = people(home, 1)
    place = f"/people/desk/{name}"
    page, one = page_of(who, name)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; 카드" in page
    assert "<b>x</b>" not in page
    sent = {
        "item": one,
        "seconds": "12.5",
        "comment": "전화 010-1234-5678",
        "confidence": "0.9",
        "peers": "0.75",
    }
    assert who.post(f"{place}/say", page=place, said=LABELS[1], **sent).status_code == 303
    assert who.post(f"{place}/say", page=place, said=LABELS[1], **sent).status_code == 409, "sent twice"
    _, two = page_of(who, name)
    assert two != one
    wrong = who.post(f"{place}/say", page=place, item=two, said="nothing of these")
    assert wrong.status_code == 422
    assert who.post(f"{place}/say", page=place, item=two, cannot_tell="1").status_code == 303
    assert who.post(f"{place}/undo", page=place).status_code == 303
    assert page_of(who, name)[1] == two, "the item is before one again"
    assert who.post(f"{place}/skip", page=place).status_code == 303
    assert page_of(who, name)[1] not in ("", one, two)
    (kept,) = home.rooms.database.look(lambda c: list(publish.approved(c, home.rooms.keys, consent)))
    about = {
        "kind": "vote",
        "question": one,
        "said": LABELS[1],
        "seconds": 12.5,
        "confidence": 0.9,
        "peers": 0.75,
    }
    assert {key: kept[key] for key in about} == about
    assert kept["comment"] == "전화 [PHONE]"
    whats = [row["what"] for row in rows(home, sa.select(change.c.what).order_by(change.c.seq))]
    assert whats == ["said", "said", "undone", "skipped"]


def test_what_others_hold_and_what_is_gone_is_not_taken(home: House) -> None:
    name = opened(home, brought(2))
    (one, _), (other, _) = people(home, 2)
    place = f"/people/desk/{name}"
    mine = page_of(one, name)[1]
    assert other.post(f"{place}/say", page=place, item=mine, said=LABELS[0]).status_code == 409
    assert one.post(f"{place}/say", page=place, item="ab" * 16, said=LABELS[0]).status_code == 409
    assert one.get("/people/desk/j-aaaaaaaaaa").status_code == 404
    nobody = home.person("expert")
    assert nobody.get(place).headers["location"] == "/people/desk"
    assert nobody.post(f"{place}/say", page="/people/desk", item=mine, said=LABELS[0]).status_code == 403


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_every_kind_has_a_page_that_can_be_read(home: House, lang: str) -> None:
    shows = {"pair": {"prompt": "왜?", "a": EVIL, "b": "B"}, "spans": {"text": EVIL}}
    who = home.expert("train", lang=lang)
    for kind in ("pair", "spans"):
        one = Brought(
            kind=kind,
            answer="class",
            title=kind,
            origin="f.json",
            labels=["PER"],
            items=[Item(key="1", shows=shows[kind])],
        )
        name = opened(home, one)
        page, ident = page_of(who, name)
        assert "<script>alert" not in page
        assert "{" not in re.sub(r"hx-headers[^>]*|content='[^']*'", "", page), "no placeholder is left"
        place = f"/people/desk/{name}"
        left = page.find(">B<") < page.find("&lt;script&gt;")  # the one that the file calls b, shown as A
        said = {"pair": {"said": "a" if left else "b"}, "spans": {"spans": json.dumps([[0, 3, "PER"]])}}[kind]
        assert who.post(f"{place}/say", page=place, item=ident, **said).status_code == 303
        assert who.post(f"{place}/say", page=place, item=ident, **said).status_code == 409
    consent = consent_of(home, who)
    pair, spans = home.rooms.database.look(lambda c: list(publish.approved(c, home.rooms.keys, consent)))
    assert (pair["kind"], pair["chosen"], pair["rejected"], pair["prompt"]) == ("pair", "B", EVIL, "왜?")
    assert (spans["kind"], spans["spans"], spans["input"]) == ("spans", [[0, 3, "PER"]], {"text": EVIL})


@pytest.mark.parametrize("said", ["", "x", "[[0, 99, 'PER']]", '[[0, 999, "PER"]]', '{"a": 1}', "[" * 500])
def test_spans_that_are_none_are_refused(home: House, said: str) -> None:
    if said == "" or home.rooms.database.kind != "sqlite":
        return
    items = [Item(key="1", shows={"text": "홍길동"})]
    name = opened(
        home, Brought(kind="spans", answer="class", title="s", origin="f", items=items, labels=["PER"])
    )
    who = home.expert("train")
    _, ident = page_of(who, name)
    place = f"/people/desk/{name}"
    assert who.post(f"{place}/say", page=place, item=ident, spans=said).status_code == 422


# ---------------------------------------------------------------- confirming


def test_likely_items_are_kept_or_rejected_by_the_page(home: House) -> None:
    items = [Item(key=f"{i:032x}", shows={"text": f"item {i}"}, guess=0.9 - i / 100) for i in range(20)]
    one = Brought(
        kind="confirm", answer="class", title="crack", origin="project", items=items, labels=["crack"]
    )
    name = opened(home, one)
    ((who, consent),) = people(home, 1)
    place = f"/people/desk/{name}"
    page = who.get(place).text
    names = re.findall(r'name="keep-(\w+)" value="yes"', page)
    assert names == [one.key for one in items[:12]], "the likeliest first"
    said = {f"keep-{one}": "yes" if i % 3 else "no" for i, one in enumerate(names[:9])}
    assert who.post(f"{place}/confirm", page=place, seconds="90", **said).status_code == 303
    assert who.post(f"{place}/confirm", page=place, **said).status_code == 303, "sent twice, kept once"
    page = who.get(place).text
    left = re.findall(r'name="keep-(\w+)" value="yes"', page)
    assert left[:3] == names[9:], "what was left open is asked again"
    kept = home.rooms.database.look(lambda c: list(publish.approved(c, home.rooms.keys, consent)))
    assert len(kept) == 9
    assert Counter(one["said"] for one in kept) == {"crack": 6, None: 3}
    assert all(one["not"] == ["crack"] for one in kept if one["said"] is None)
    assert {one["seconds"] for one in kept} == {10.0}
    odd = who.post(f"{place}/confirm", page=place, **{f"keep-{left[0]}": "maybe"})
    assert odd.status_code == 422
    assert who.post(f"{place}/undo", page=place).status_code == 303
    page = who.get(place).text
    assert re.findall(r'name="keep-(\w+)" value="yes"', page)[0] == names[8], "what was sent last"
    assert desk_of(home, "crack") == set(names[:8])
    assert who.post(f"{place}/confirm", page=place, **{f"keep-{names[8]}": "no"}).status_code == 303
    assert desk_of(home, "crack") == set(names[:9])
    assert desk_of(home, "other") == set()
    token = who.form_token()
    home.rooms.database.change(lambda c: c.execute(job.update().values(state="closed")))
    sent = {"_csrf": token, f"keep-{names[9]}": "yes"}
    last = who.send(f"{place}/confirm", sent, headers={"hx-request": "true"})
    assert last.status_code == 200, "what was decided is taken"
    assert "keep-" not in last.text, "nothing more is asked"
    assert names[9] in desk_of(home, "crack")


def desk_of(home: House, label: str) -> set[str]:
    return home.rooms.database.look(lambda c: desk_jobs.decided(c, label))


# ---------------------------------------------------------------- files


def upload(who: Visitor, name: str, body: bytes, **fields: str) -> Any:
    token = who.form_token("/people/desk")
    files = {"file": (name, body, "application/octet-stream")}
    return who.house.run(who.http.post("/people/desk", data={"_csrf": token, **fields}, files=files))


def test_a_file_becomes_a_job_and_goes_out_with_its_voices(home: House, tmp_path: Path) -> None:
    owner = home.owner()
    owner.id = "owner"
    body = "text,label\n카드를 잃어버렸어요,분실\n계좌 해지,\n".encode("cp949")
    made = upload(owner, "2026.11.23 은행.v2.csv", body, kind="label", target="label", labels="해지")
    assert made.status_code == 303, made.text
    name = made.headers["location"].split("/")[3]
    assert upload(owner, "x.csv", b"", kind="label").status_code == 422
    assert upload(owner, "x.csv", b"a,c\n1,2\n", kind="pair").status_code == 422
    assert upload(owner, "../../x.exe", b"MZ", kind="label").status_code == 422
    ((who, consent),) = people(home, 1)
    place = f"/people/desk/{name}"
    page, ident = page_of(who, name)
    assert "해지" in page
    assert (
        who.post(f"{place}/say", page=place, item=ident, said="해지", comment="왜냐하면").status_code == 303
    )
    (line,) = home.rooms.database.look(lambda c: list(publish.approved(c, home.rooms.keys, consent)))
    assert (line["kind"], line["target"]) == ("example", "해지")
    for out in ("json", "csv", "xlsx", "jsonl"):
        got = owner.get(f"{place}/export/{out}")
        assert got.status_code == 200
        path = tmp_path / f"back.{out}"
        path.write_bytes(got.content)
        found = read_job(path)
        voices = [voice for one in found.items for voice in one.voices if voice.by]
        assert [(voice.said, voice.by, voice.comment) for voice in voices] == [("해지", who.id, "왜냐하면")]
        assert len(found.items) == 2
    assert who.get(f"{place}/export/json").status_code == 403
    assert owner.get(f"{place}/export/exe").status_code == 404


def test_the_owner_sees_how_it_goes_and_tells_what_a_label_means(home: House) -> None:
    name = opened(home, brought(4))
    owner = home.owner()
    place = f"/people/desk/{name}"
    sent = {"label": LABELS[0], "rule": f"카드가 없을 때 {EVIL}", "examples": "잃어버렸어요\n\n어디 있지"}
    assert owner.post(f"{place}/guideline", page=f"{place}/progress", **sent).status_code == 303
    sent = {"label": LABELS[0], "rule": "second"}
    assert owner.post(f"{place}/guideline", page=f"{place}/progress", **sent).status_code == 303
    told = home.rooms.database.look(lambda c: desk_jobs.rules(c, name))[LABELS[0]]
    assert (told["rule"], told["version"]) == ("second", 2)
    past = home.rooms.database.look(lambda c: desk_jobs.versions(c, name))
    assert [one["version"] for one in past] == [2, 1]
    assert [one["rule"] for one in past][1].startswith("카드가 없을 때")
    page = owner.get(f"{place}/progress").text
    assert "카드가 없을 때" in page, "earlier versions are there to read"
    assert "Nobody has answered yet" in page
    before = home.rooms.database.look(lambda c: desk_jobs.told_before(c, LABELS[0]))
    assert before is not None
    assert before["rule"] == "second"
    assert home.rooms.database.look(lambda c: desk_jobs.told_before(c, "no such")) is None
    (one, consent), (two, other) = people(home, 2)
    said_by(home, name, one.id, consent, LABELS[1])
    said_by(home, name, two.id, other, LABELS[1])
    page = owner.get(f"{place}/progress").text
    assert one.id in page
    assert "second" in one.get(place).text
    assert one.get(f"{place}/progress").status_code == 403
    held = re.search(r'name="item" value="([^"]+)"', one.get(place).text)
    assert held is not None
    assert owner.post(f"{place}/close", page=f"{place}/progress").status_code == 303
    assert name not in owner.get("/people/desk").text
    sent = {"item": held[1], "said": LABELS[1]}
    last = one.send(f"{place}/say", {"_csrf": one.form_token(), **sent}, headers={"hx-request": "true"})
    assert last.status_code == 200, "what somebody holds is taken"
    assert 'name="item"' not in last.text, "nothing more is asked"
    assert one.get(place).status_code == 303


# ---------------------------------------------------------------- what goes


def test_a_withdrawn_consent_leaves_no_vote_and_its_items_are_open_again(home: House) -> None:
    from bapsim.serve.people.withdrawing import withdraw

    name = opened(home, brought(6))
    (one, consent), (two, other) = people(home, 2)
    for _ in range(3):
        said_by(home, name, one.id, consent, LABELS[0])
    said_by(home, name, two.id, other, LABELS[0])
    assert Counter(row["state"] for row in rows(home, sa.select(item.c.state))) == {"settled": 4, "open": 2}
    withdraw(home.rooms, consent, one.id, one.id)
    assert Counter(row["state"] for row in rows(home, sa.select(item.c.state))) == {"settled": 1, "open": 5}
    assert {row["consent"] for row in rows(home, sa.select(done.c.consent))} == {other}
    with pytest.raises(Refused):
        said_by(home, name, one.id, consent, LABELS[0])


def test_a_newer_turn_takes_questions_away_and_brings_others(home: House) -> None:
    name = opened(home, brought(5))
    ((who, consent),) = people(home, 1)
    first = said_by(home, name, who.id, consent, LABELS[0])
    newer = brought(5)
    kept = [one for one in newer.items if int(one.key, 16) >= 3]
    fresh = [Item(key=f"{50 + i:032x}", shows={"text": "new"}) for i in range(2)]
    home.rooms.database.change(
        lambda c: desk_jobs.renew(
            c,
            name,
            brought(0, turn=2, title="intent").__class__(
                kind="label",
                answer="class",
                title="intent",
                origin="project",
                items=[*fresh, *kept],
                labels=LABELS,
                turn=2,
            ),
        )
    )
    states = {row["id"]: row["state"] for row in rows(home, sa.select(item.c.id, item.c.state))}
    assert states[str(first)] == "settled", "what was answered stays"
    assert sorted(states.values()) == sorted(["settled", "gone", "gone", "open", "open", "open", "open"])
    mine = home.rooms.database.change(lambda c: desk_queue.take(c, home.rooms.keys, name, who.id))
    assert mine is not None
    assert mine.row["id"] == fresh[0].key, "in the new order"


def test_upload_of_a_workbook(home: House) -> None:
    from openpyxl import Workbook

    if home.rooms.database.kind != "sqlite":
        return
    book, body = Workbook(), io.BytesIO()
    book.active.append(["text", "a"])
    book.active.append(["=1+1", "x"])
    book.save(body)
    made = upload(home.owner(), "q.xlsx", body.getvalue(), kind="label")
    assert made.status_code in (303, 422), "a formula without a value is no text; it is said, not run"
