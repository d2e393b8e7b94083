"""Pay in the rooms: a statement of one's own, an objection, the owner's word; nothing is changed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bapsim.serve.people import consent, lines, publish, withdrawing
from bapsim.serve.people.pay import money_said
from bapsim.store.entries import balances, unbalanced
from bapsim.store.project import opened
from bapsim.wheel.pay import settle
from tests.cli.conftest import run
from tests.serve.people.house import House, Visitor, house, until
from tests.serve.people.talks import Guest, words
from tests.wheel.people_world import EXPERT, example, staffed
from tests.wheel.world import founded, turns

EVIL = "<script>alert(1)</script> 저는 다르게 봅니다"


@pytest.fixture(scope="module")
def paying(taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Visitor]]:
    """A dialogue was approved, a turn took it in, and what is owed was written down."""
    root = tmp_path_factory.mktemp("paying") / "project"
    shutil.copytree(taught, root, ignore=shutil.ignore_patterns("people.sqlite*"))
    recipe = root / "recipe.py"
    text = recipe.read_text("utf-8").replace("    train=", '    pay=pay(hour="36,000 KRW"),\n    train=', 1)
    recipe.write_text(
        text.replace("\nrecipe = ", "\nfrom bapsim.judge.pay import pay\n\nrecipe = ", 1), "utf-8"
    )
    with house(root, f"sqlite:///{root / 'people' / 'people.sqlite'}") as home:
        expert = home.expert("train", "evaluate")
        one = Guest(home, expert).begin()
        one.answer()
        one.say(act="cannot_tell")
        one.topic()
        if one.question is not None:
            one.stop()
        drafts = one.drafts()
        assert expert.post(f"{one.path}/end", page=f"{one.path}/end", line=drafts).status_code == 303
        folder = root / "inbox" / "people"
        until(lambda: sum(p.read_bytes().count(b"\n") for p in folder.glob("*.jsonl")) == len(drafts))
        run("-C", root, "turn")
        run("-C", root, "pay", "--settle")
        yield home, expert


def test_one_s_own_statement_says_what_and_why(paying: tuple[House, Visitor]) -> None:
    home, expert = paying
    page = words(expert.get("/people/pay").text)
    assert "You have " in page
    assert "KRW coming" in page
    said = expert.get("/people/pay/statement.json").json()
    assert said["person"] == expert.id
    assert said["currencies"]["KRW"]["balance"] > 0
    assert money_said(said["currencies"]["KRW"]["balance"], "KRW") in page
    given = str(home.rooms.database.look(lambda c: consent.standing(c, expert.id)))
    file = publish.path_of(home.rooms.inbox, given).read_text("utf-8")
    told = [json.loads(one) for one in file.splitlines()]
    assert len({one["at"] for one in told}) > 1, "a line is of when it was said"
    assert all(one["at"] <= one["approved"] for one in told)
    assert sum(one.get("seconds", 0.0) for one in told) % 4 == 0, "every reply took four seconds"
    other = home.expert("train")
    assert "Nothing was written down for you yet." in words(other.get("/people/pay").text)


def test_an_objection_is_decided_by_the_owner_and_nothing_is_changed(paying: tuple[House, Visitor]) -> None:
    home, expert = paying
    declined = expert.get("/people/pay/statement.json").json()["declined"]
    assert declined, "a row that nobody could tell is not taken"
    line = declined[0]["ref"]
    home.unhurried()
    assert expert.post("/people/pay", page="/people/pay", line=line, said=EVIL).status_code == 303
    page = expert.get("/people/pay").text
    assert "objection waits" in page
    assert "<script>alert" not in page
    again = expert.post("/people/pay", page="/people/pay", line=line, said="again")
    assert again.status_code == 409
    stranger = home.expert("train")
    assert stranger.post("/people/pay", page="/people/pay", line=line, said="mine").status_code == 409
    assert expert.get("/people/appeals").status_code == 403
    owner = home.person("owner")
    seen = owner.get("/people/appeals").text
    assert "저는 다르게 봅니다" in seen
    assert "<script>alert" not in seen
    before = entries(home)
    sent = {"ref": line, "person": expert.id, "why": "the text has no answer", "do": "dismiss"}
    assert owner.post("/people/appeals", page="/people/appeals", **sent).status_code == 303
    assert entries(home)[: len(before)] == before
    assert "objection dismissed: the text has no answer" in " ".join(
        words(expert.get("/people/pay").text).split()
    )
    assert owner.post("/people/appeals", page="/people/appeals", **sent).status_code == 409


def entries(home: House) -> list[dict[str, object]]:
    with opened(home.rooms.root, writing=False) as project:
        return [dict(row) for row in project.ledger.rows("select * from entry order by rowid")]


@pytest.fixture
def shared(tmp_path: Path, url: str) -> Iterator[tuple[House, list[Visitor]]]:
    """Two experts gave rows that a turn was accepted with, and its gain was divided."""
    root = founded(tmp_path / "project")
    (root / "recipe.py").write_text(
        "from tests.wheel.people_world import staffed\n\nrecipe = staffed()\n", "utf-8"
    )
    with house(root, url) as home:
        experts = [home.expert("train", "evaluate"), home.expert("train", "evaluate")]
        for k, one in enumerate(experts):
            given = [example(f"e{i}", EXPERT, 10 * (i + 1), 5000 + 200 * k + i) for i in range(40)]
            lines = [{**row, "person": one.id} for row in given]
            name = home.rooms.database.look(lambda c, who=one.id: consent.standing(c, who))
            path = root / "inbox" / "people" / f"{name}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in lines), "utf-8")
        assert turns(root, staffed(), 1)[0]["verdict"] == "accept"
        with opened(root) as project:
            settle(project, staffed())
        yield home, experts


def test_a_share_is_told_with_its_interval_and_may_be_objected_to(
    shared: tuple[House, list[Visitor]],
) -> None:
    home, experts = shared
    for one in experts:
        said = one.get("/people/pay/statement.json").json()["shares"][0]
        page = " ".join(words(one.get("/people/pay").text).split())
        ends = [money_said(said[name], "KRW") for name in ("minor", "least", "most")]
        assert f"You have {ends[0]} coming for it; it might have been {ends[1]} to {ends[2]}." in page
        assert f"({said['of']['low']:+.2f} to {said['of']['high']:+.2f})" in page
        assert said["least"] <= said["minor"] <= said["most"]
        sent = {"line": said["ref"], "said": EVIL}
        assert one.post("/people/pay", page="/people/pay", **sent).status_code == 303
    home.unhurried()
    owner = home.person("owner")
    seen = owner.get("/people/appeals").text
    assert set(re.findall(r'name="person" value="([^"]+)"', seen)) == {one.id for one in experts}
    assert "<script>alert" not in seen
    before, booked = owed_to(home), entries(home)
    ref = {"ref": "t001-people", "why": "rows of the rarer kind"}
    for amount, do, status in (("lots", "uphold", 409), ("5 KRW", "dismiss", 409), ("5 KRW", "uphold", 303)):
        sent = {**ref, "person": experts[0].id, "do": do, "amount": amount}
        assert owner.post("/people/appeals", page="/people/appeals", **sent).status_code == status
    sent = {**ref, "person": experts[1].id, "do": "dismiss", "amount": ""}
    assert owner.post("/people/appeals", page="/people/appeals", **sent).status_code == 303
    assert owed_to(home) == before | {experts[0].id: before[experts[0].id] + 5}
    assert entries(home)[: len(booked)] == booked
    with opened(home.rooms.root, writing=False) as project:
        assert unbalanced(project.ledger) == []
    assert "objection upheld" in words(experts[0].get("/people/pay").text)
    assert "objection dismissed" in words(experts[1].get("/people/pay").text)
    assert "No objection waits." in words(owner.get("/people/appeals").text)


def owed_to(home: House) -> dict[str, int]:
    with opened(home.rooms.root, writing=False) as project:
        return {who: sums["KRW"] for who, sums in balances(project.ledger).items()}


def test_while_a_turn_writes_one_is_asked_to_come_again(paying: tuple[House, Visitor]) -> None:
    home, expert = paying
    with opened(home.rooms.root):
        got = expert.post("/people/pay", page="/people/pay", line="x", said="y")
        assert got.status_code == 409
        assert "A turn is writing" in got.text
        assert expert.get("/people/pay").status_code == 200


def test_who_withdraws_in_the_rooms_before_a_turn_is_owed_for_the_time(
    paying: tuple[House, Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withdrawing, "EACH", 0.05)
    home, _ = paying
    expert = home.expert("train")
    given = str(home.rooms.database.look(lambda c: consent.standing(c, expert.id)))
    body = {"text": "저는 곧 거둡니다", "parents": [], "seconds": 20.0}
    keys, path = home.rooms.keys, publish.path_of(home.rooms.inbox, given)
    home.rooms.database.change(lambda c: lines.add(c, keys, given, "rationale", body, approved=True))
    until(lambda: path.exists() and path.read_bytes())
    assert expert.post(f"/people/consent/{given}/withdraw").status_code == 303
    until(lambda: owed_to(home).get(expert.id))
    assert owed_to(home)[expert.id] == 200
    until(lambda: not path.exists())


def test_sums_as_people_write_them() -> None:
    assert money_said(3_600_000, "KRW") == "3,600,000 KRW"
    assert money_said(-1250, "USD") == "−12.50 USD"
