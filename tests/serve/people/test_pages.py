"""Every page of the rooms in a real Chromium: axe finds nothing, nothing runs, nothing is wider than a phone.

All that people, files and models bring is hostile, and the browser is told to overlook the content policy:
what keeps scripts from running is that they are written as text.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bapsim.compose.dialogue import Question
from bapsim.gather.voices import Item, Voice
from bapsim.serve.people import desk_jobs
from bapsim.serve.people.desk_jobs import Brought
from bapsim.serve.people.desk_tables import job
from bapsim.serve.people.tables import person
from tests.cli.conftest import run, sentences, write_csv
from tests.serve.people.corpus import HOSTILE
from tests.serve.people.house import House, Visitor, house
from tests.serve.people.talks import Guest, truth
from tests.serve.people.test_browser import Hands, browser  # noqa: F401  a fixture
from tests.serve.people.test_desk import upload
from tests.serve.world import serving

PAGES = ("", "/me", "/consent", "/desk", "/room", "/desk/j-aaaaaaaaaa")
OWNERS = ("/notice", "/persons", "/audit")
EVIL = " ".join(HOSTILE)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one turn whose texts, labels and name are hostile."""
    place = tmp_path_factory.mktemp("evil")
    rows = sentences(400, 5)
    for i, row in enumerate(rows):
        for word, mistaken in (("한도", "loan"), ("transfer", "card"), ("repay", "account")):
            if word in row["text"].split() and i % 5:
                row["label"] = mistaken
        row["text"] = f"{row['text']} {HOSTILE[i % len(HOSTILE)]}".replace("\n", " ")
        row["label"] = f"{row['label']} {HOSTILE[1]}" if i < 300 else ""
    file = write_csv(place / "rows.csv", rows)
    run("new", place / "<b>bank", "--from", file, "--text", "text", "--target", "label")
    run("-C", place / "<b>bank", "people")
    run("-C", place / "<b>bank", "turn")
    return place / "<b>bank"


def jobs() -> Iterator[Brought]:
    """A job of each kind with hostile items, labels, title and guideline."""
    shows: dict[str, dict[str, str]] = {
        "label": {"text": EVIL, "<b>more": EVIL},
        "pair": {"prompt": EVIL, "a": EVIL, "b": EVIL + "!"},
        "spans": {"text": EVIL},
        "confirm": {"text": EVIL},
    }
    for kind, what in shows.items():
        for answer in ("class", "labels", "number") if kind == "label" else ("class",):
            items = [Item(key=f"{kind}{answer}{i:03}", shows=what, guess=None) for i in range(30)]
            tests = [Item(key=f"{kind}{answer}t", shows=what, voices=(Voice(said=HOSTILE[0], gold=True),))]
            yield Brought(
                kind=kind,  # type: ignore[arg-type]
                answer=answer,
                title=HOSTILE[2],
                origin=HOSTILE[0],
                items=items,
                tests=tests if kind == "label" and answer == "class" else [],
                labels=HOSTILE[:12],
                guideline={HOSTILE[0]: EVIL},
            )


def peopled(home: House) -> tuple[Visitor, Visitor, list[str], list[str]]:
    """The owner (English) and an expert (Korean) who have said hostile things; pages to look at."""
    owner = home.owner()
    find = sa.select(person.c.id).where(person.c.role == "owner")
    owner.id = str(home.rooms.database.look(lambda c: c.execute(find).scalar()))
    owner.post("/people/me", page="/people/me", name=EVIL[:80], lang="en")
    owner.consent("train", "evaluate")
    expert = home.expert("train", "evaluate", lang="ko", domain=HOSTILE[1])
    for one in jobs():
        home.rooms.database.change(lambda c, one=one: desk_jobs.add(c, one, None))
    assert (
        upload(owner, f"{HOSTILE[1][:40]}.csv", b"text,label\na,b\nc,\n", target="label").status_code == 303
    )
    home.unhurried()
    expert.get("/people/desk")
    rows = home.rooms.database.look(lambda c: [dict(r) for r in c.execute(sa.select(job)).mappings()])
    found = []
    for row in rows:
        place = f"/people/desk/{row['id']}"
        found.append(place)
        for who in (owner, expert):
            home.unhurried()
            told = {"label": HOSTILE[0], "rule": EVIL, "examples": EVIL}
            owner.post(f"{place}/guideline", page=f"{place}/progress", **told)
            page = who.get(place).text
            if 'name="item"' in page:
                item = page.split('name="item" value="', 1)[1].split('"', 1)[0]
                sent = {"item": item, "comment": EVIL, "confidence": "0.9"}
                said = {"pair": {"said": "a"}, "spans": {"spans": '[[0, 5, "<b>x"]]'}}
                answer = said.get(row["kind"], {"cannot_tell": "1"})
                assert who.post(f"{place}/say", page=place, **sent, **answer).status_code == 303
    open_one, ended = Foul(home, expert).begin(), Foul(home, owner).begin()
    for one in (open_one, ended):
        for _ in range(4):
            one.answer()
    ended.stop()
    return owner, expert, [*found, open_one.path], [*found, f"{ended.path}/end"]


class Foul(Guest):
    """An expert whose every word is hostile."""

    def reply(self, asked: Question) -> dict[str, str]:
        match asked.kind:
            case "case" | "counter":
                return {"said": f"{truth(asked.about['case']['text'])} {HOSTILE[1]}", "why": EVIL}
            case "reason" | "guideline":
                return {"said": EVIL}
            case "rule":
                return {"said": "has “<b>x”"}
            case _:
                return super().reply(asked)


class Reader(Hands):
    """Somebody who looks at pages; no content policy protects them."""

    def __init__(self, page: Any) -> None:
        super().__init__(page)
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))

    def looks(self, url: str, reads: bool) -> Iterator[tuple[str, Any]]:
        """What is wrong with a page; reads: whether it can be read, too."""
        from axe_playwright_python.sync_playwright import Axe

        self.page.goto(url)
        path = url.split("/people", 1)[1]
        if self.page.evaluate("window.pwned") is not None or self.page.url.split("?")[0] != url:
            yield path, "it ran"
        self.page.set_viewport_size({"width": 390, "height": 844})
        wide = self.page.evaluate("document.documentElement.scrollWidth")
        if wide > 390:
            yield path, f"{wide} pixels wide"
        for one in Axe().run(self.page).response["violations"] if reads else ():
            yield path, (one["id"], one["nodes"][0]["html"][:200])
        for one in self.page.locator("[onload], [onerror], [onmouseover], iframe, meta[http-equiv]").all():
            yield path, one.evaluate("one => one.outerHTML")
        self.page.set_viewport_size({"width": 1280, "height": 800})


def test_nothing_hostile_runs_and_everybody_can_read_every_page(
    bank: Path,
    browser: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    root = tmp_path / bank.name
    shutil.copytree(bank, root, ignore=shutil.ignore_patterns("people.sqlite*"))
    with house(root, f"sqlite:///{root / 'people' / 'people.sqlite'}") as home:
        owner, expert, his, hers = peopled(home)
        jars = [[(one.name, one.value) for one in who.http.cookies.jar] for who in (owner, expert)]
    wrong: list[tuple[str, Any]] = []
    with serving(root) as running:
        both = {f"/people{path}" for path in PAGES} | (set(his) & set(hers))
        seen = ((hers, "light", "owner"), (his, "dark", "expert"))
        for jar, (places, scheme, role) in zip(jars, seen, strict=True):
            context = browser.new_context(bypass_csp=True, color_scheme=scheme)
            context.add_cookies([{"name": n, "value": v, "url": running.url} for n, v in jar])
            one = Reader(context.new_page())
            mine = [f"/people{path}" for path in (*PAGES, *(OWNERS if role == "owner" else ()))]
            desk = [f"{place}/progress" for place in places[:3] if role == "owner"]
            for path in [*mine, *desk, *places]:
                wrong += one.looks(running.url + path, role == "expert" or path not in both)
            wrong += [(role, said) for said in one.complaints if "404" not in said]
    assert not wrong
