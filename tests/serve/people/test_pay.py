"""Pay in the rooms: a statement of one's own, an objection, the owner's word; nothing is changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bapsim.serve.people.pay import money_said
from bapsim.store.project import opened
from tests.cli.conftest import run
from tests.serve.people.house import House, Visitor, house, until
from tests.serve.people.talks import Guest, words

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


def test_while_a_turn_writes_one_is_asked_to_come_again(paying: tuple[House, Visitor]) -> None:
    home, expert = paying
    with opened(home.rooms.root):
        got = expert.post("/people/pay", page="/people/pay", line="x", said="y")
        assert got.status_code == 409
        assert "A turn is writing" in got.text
        assert expert.get("/people/pay").status_code == 200


def test_sums_as_people_write_them() -> None:
    assert money_said(3_600_000, "KRW") == "3,600,000 KRW"
    assert money_said(-1250, "USD") == "−12.50 USD"
