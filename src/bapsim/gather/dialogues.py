"""Dialogues between two writers on matters that people had: one plays who asks, one who answers.

Both sides speak in turn, all dialogues at once, round by round; each line is asked for with what was said so
far, so that a dialogue that was cut short goes on from the tape.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pyarrow as pa

from bapsim.core.arrow import take
from bapsim.core.errors import InputError, RecipeError
from bapsim.core.fingerprint import digest
from bapsim.core.records import Draft, Origin, Records, Rows, Unread, derive
from bapsim.core.turn import Turn
from bapsim.gather.endpoint import Endpoint, Request
from bapsim.gather.types import MESSAGES
from bapsim.gather.writing import Writer, answered, shown, some_of
from bapsim.text.pii import PEOPLE, scrub

ASKS = (
    "You play a person who turns to a service. What follows is what such a person once wrote to it. You have "
    "the same matter, in a case of your own, and your own manner. Say only your next line, in the same "
    "language."
)
ANSWERS = (
    "You are the service. What follows is how it once dealt with such a matter; what it does not say, you do "
    "not know, and then you say so or ask. Say only your next line, in the same language."
)


@dataclass(frozen=True, kw_only=True)
class Dialogues:
    """The source; see `dialogues`."""

    by: Writer
    other: Writer | None = None
    of: str | None = None
    share: float = 1.0
    rounds: int = 2
    asks: str = ASKS
    answers: str = ANSWERS
    purpose: ClassVar[str] = "synthesise"  # rows of which nothing may be made are not shown to it

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        task = turn.task
        people = shown(turn, self.of)
        if people is not None and people.schema.field(task.inputs[0]).type != MESSAGES:
            raise RecipeError("dialogue_task", inputs=", ".join(task.inputs))
        if people is None or not len(people):
            return
        some = Records(take(people, some_of(people, self.share, "dialogues")))
        yield self._draft(turn, some)

    def _draft(self, turn: Turn, people: Records) -> Draft:
        matters = self._matters(turn, people)
        ids: list[Any] = people.column("_id").to_pylist()
        said: list[list[str]] = [[] for _ in ids]
        why: dict[int, str] = {}
        for k in range(2 * self.rounds):
            live = [i for i in range(len(ids)) if i not in why]
            requests = [
                Request(self._messages(matters[i], said[i], asking=k % 2 == 0), made_from=(ids[i],))
                for i in live
            ]
            by = self.by if k % 2 == 0 or self.other is None else self.other
            for i, one in zip(live, answered(by, requests, None, turn), strict=True):
                if one.text is None:
                    why[i] = one.reason
                else:
                    said[i].append(one.text.strip())
        return self._derived(turn, people, said, why)

    def _matters(self, turn: Turn, people: Records) -> list[str]:
        """What people said, one line a message, redacted; the reply that was given last."""
        chats: list[Any] = people.column(turn.task.inputs[0]).to_pylist()
        replies: list[Any] = people.column(turn.task.target).to_pylist()
        texts = [
            "\n".join([*(f"{m['role']}: {m['content']}" for m in chat or ()), f"assistant: {reply}"])
            for chat, reply in zip(chats, replies, strict=True)
        ]
        return [one or "" for one in scrub(texts, PEOPLE)[0]]

    def _messages(self, matter: str, said: list[str], *, asking: bool) -> tuple[tuple[str, str], ...]:
        """What one side hears: whoever speaks is the assistant of its own endpoint."""
        first = ("system", f"{self.asks if asking else self.answers}\n\n{matter}")
        mine = 0 if asking else 1
        heard = tuple(("assistant" if k % 2 == mine else "user", line) for k, line in enumerate(said))
        return (first, *heard) if heard else (first, ("user", "Begin."))

    def _derived(self, turn: Turn, people: Records, said: list[list[str]], why: dict[int, str]) -> Draft:
        words = [self.asks, self.answers, str(self.rounds), *map(_named, (self.by, self.other))]
        method = f"dialogues:{digest(repr(words).encode())}"
        ids: list[Any] = people.column("_id").to_pylist()
        whole = [i for i in range(len(ids)) if i not in why]
        columns: dict[str, Any] = {
            name: take(people, whole).column(name)
            for name in people.schema.names
            if not name.startswith("_") and name not in (turn.task.inputs[0], turn.task.target)
        }
        chats = [[{"role": _ROLES[k % 2], "content": s} for k, s in enumerate(said[i][:-1])] for i in whole]
        columns[turn.task.inputs[0]] = pa.array(chats, MESSAGES)
        columns[turn.task.target] = pa.array([said[i][-1] for i in whole], pa.string())
        origin = Origin(
            source="written", input_maker="machine", target_maker="machine", method=method, rights="derived"
        )
        draft = derive(
            people,
            [[i] for i in whole],
            Rows(pa.record_batch(columns)),
            changed=frozenset({"input", "target"}),
            origin=origin,
            keys=[f"{ids[i].hex()}:0" for i in whole],
        )
        unread = tuple(
            Unread(file=f"{method}:{ids[i].hex()}", line=0, reason=reason) for i, reason in why.items()
        )
        return replace(draft, unread=unread)


_ROLES = ("user", "assistant")


def _named(by: Writer | None) -> str:
    return by.stem().decode() if isinstance(by, Endpoint) else str(by)


def dialogues(
    of: str | None = None,
    *,
    by: Writer,
    other: Writer | None = None,
    share: float = 1.0,
    rounds: int = 2,
    asks: str = ASKS,
    answers: str = ANSWERS,
) -> Dialogues:
    """A new dialogue of `rounds` questions and replies for each of a share of people's dialogues; the last
    reply is the target.

    by: who plays the person that asks, other: who plays the service (None: the same). The task's input is a
    list of messages, its answer a text. A dialogue of which a line did not come is refused with the line's
    reason. Raises InputError for a share outside 0 to 1 or no round; RecipeError, when it is asked, for
    another task.
    """
    if not (0 <= share <= 1 and rounds >= 1):
        raise InputError("how_many_written", share=share, count=rounds)
    lines = {"asks": asks, "answers": answers}
    return Dialogues(by=by, other=other, of=of, share=share, rounds=rounds, **lines)
