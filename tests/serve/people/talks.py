"""An expert at the room's pages: reads what waits, and answers by what the words of a text tell."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from typing import Any

from bapsim.compose.dialogue import Question
from bapsim.serve.people import room_tape
from bapsim.serve.people.room_tape import Talk
from tests.cli.conftest import WORDS
from tests.serve.people.house import House, Visitor, until

REASON = "It names the thing itself. Ask 010-2345-6789 <script>alert(1)</script>"


def truth(text: str) -> str:
    """The label of a sentence of the small project."""
    said = set(text.split())
    return max(WORDS, key=lambda label: len(said & set(WORDS[label])))


@dataclass
class Guest:
    """One dialogue of a person, through the pages. contrary: labels that this person gives instead."""

    house: House
    who: Visitor
    name: str = ""
    contrary: dict[str, str] = field(default_factory=dict)

    def begin(self, topic: str = "") -> Guest:
        got = self.who.post("/people/room", page="/people/room", topic=topic)
        assert got.status_code == 303, got.text
        self.name = got.headers["location"].rsplit("/", 1)[1]
        return self

    @property
    def path(self) -> str:
        return f"/people/room/{self.name}"

    @property
    def talk(self) -> Talk:
        return self.house.rooms.database.look(
            lambda c: room_tape.of_person(c, self.house.rooms.keys, self.name, self.who.id)
        )

    @property
    def question(self) -> Question | None:
        return self.talk.question

    def say(self, **fields: str) -> Any:
        """Send the form of the question that waits, as the page does."""
        self.house.unhurried()
        page = self.who.get(self.path).text
        token = re.search(r'name="_csrf" value="(\w+)"', page)
        asked = re.search(r'name="question" value="([^"]+)"', page)
        assert token, page
        assert asked, page
        sent = {"_csrf": token[1], "question": asked[1], "seconds": "4.0", **fields}
        return self.who.send(f"{self.path}/say", sent, headers={"hx-request": "true"})

    def answer(self) -> Any:
        """What this expert says to the question that waits."""
        asked = self.question
        assert asked is not None
        return self.say(**self.reply(asked))

    def reply(self, asked: Question) -> dict[str, str]:
        about = asked.about
        match asked.kind:
            case "choose":
                found = {"said": about["topics"][0]["id"]}
            case "case" | "counter":
                label = truth(about["case"]["text"])
                found = {"said": self.contrary.get(label, label), "why": "by its words"}
            case "nothing":
                found = {"new": "card"}
            case "holds":
                found = {"said": "keep", "why": "I looked twice"}
            case "reason":
                found = {"said": REASON}
            case "rule":
                found = {"said": "has " + " or ".join(f"“{one}”" for one in WORDS[about["label"]][:3])}
            case "own":
                found = {"said": "both"}
            case "sure":
                found = {"said": "0.9"} | ({"peers": "0.75"} if about.get("peers") else {})
            case _:
                found = {"said": f"Whatever names {about['label']}."}
        return found

    def topic(self) -> Guest:
        """Answer until a topic is done: the next choice, or the end."""
        first = True
        while (asked := self.question) is not None and (first or asked.kind != "choose"):
            got = self.answer()
            assert got.status_code == 200, got.text
            first = first and asked.kind != "choose"
        return self

    def stop(self) -> Guest:
        got = self.say(act="stop")
        assert got.headers["hx-redirect"] == f"{self.path}/end", got.text
        return self

    def learnt(self) -> dict[str, Any]:
        """What the answers would change, once it is known of all of them."""

        def look() -> Any:
            one = self.house.rooms.database.look(
                lambda c: room_tape.learnt(c, self.house.rooms.keys, self.name)
            )
            return one if one is not None and one["step"] >= len(self.talk.turns) else None

        found: dict[str, Any] = until(look)
        return found

    def drafts(self) -> list[str]:
        """Names of the lines that wait for approval, as the page has them."""
        return re.findall(r'name="line" value="(l-[^"]+)"><div', self.who.get(f"{self.path}/end").text)


def words(page: str) -> str:
    """A page without its tags."""
    return html.unescape(re.sub(r"<[^>]+>", " ", page))
