"""The room's questions in the words of a language model, where the owner set one up; off by default.

The address stands in `people/phrasing.json` (0600), the key in the environment (BAPSIM_PHRASING_KEY). What
may leave is decided by `compose.phrasing`; that something left is in the audit log.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import date
from pathlib import Path

import sqlalchemy as sa

from bapsim.compose.dialogue import Question, Reply
from bapsim.compose.interview_words import say_question
from bapsim.compose.phrasing import Endpoint, Leave, phrase, phraser
from bapsim.core.errors import BapsimError
from bapsim.serve.people import audit
from bapsim.serve.people.room_tape import Talk
from bapsim.serve.people.rooms import Rooms, folder_of
from bapsim.serve.people.tables import consent
from bapsim.store import fault
from bapsim.store.ledger import now
from bapsim.store.terms import parsed
from bapsim.wheel.founding import load_recipe
from bapsim.wheel.purposes import purposes_of

KEY = "BAPSIM_PHRASING_KEY"
said = logging.getLogger("bapsim.serve")


def path_of(root: Path) -> Path:
    """Where the address of the endpoint stands."""
    return folder_of(root) / "phrasing.json"


def set_endpoint(root: Path, url: str, model: str) -> None:
    """Let questions be phrased by a model; "" = by none. Raises InputError for an unclear address."""
    path = path_of(root)
    if not url:
        path.unlink(missing_ok=True)
        return
    Endpoint(url=url, model=model)
    fault.write(path, json.dumps({"url": url, "model": model}).encode())
    path.chmod(0o600)


def endpoint(root: Path) -> Endpoint | None:
    """The endpoint that was set up; None: there is none, or it cannot be read."""
    try:
        found = json.loads(path_of(root).read_bytes())
        return Endpoint(url=str(found["url"]), model=str(found["model"]), key=os.environ.get(KEY) or None)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, BapsimError) as why:
        said.warning("people/phrasing.json cannot be used: %s", type(why).__name__)
        return None


def phrased(rooms: Rooms, talk: Talk, question: Question, reply: Reply | None) -> str:
    """A question in words; what left the house for it is noted in the audit log."""
    lang, given = talk.row["lang"], talk.row.get("consent")
    to = endpoint(rooms.root) if given is not None else None
    if to is None or given is None:
        return say_question(question, lang)
    query = sa.select(consent.c.terms).where(consent.c.id == given, consent.c.state == "given")
    terms = rooms.database.look(lambda c: c.execute(query).scalar())
    if terms is None:
        return say_question(question, lang)
    purposes = purposes_of(load_recipe(rooms.root))
    leave = Leave(terms=(parsed(json.loads(terms)),), purposes=purposes, day=date.fromisoformat(now()[:10]))
    found = phrase(question, lang, _words(reply), leave, phraser(to))
    if found.sent:
        size = len(found.sent.encode())
        rooms.database.change(
            lambda c: audit.note(
                c, rooms.key, talk.row["person"], "sent_to_model", talk.name, bytes=size, by=found.by
            )
        )
    return found.said


def _words(reply: Reply | None) -> str:
    """What the person said last, in words."""
    if reply is None:
        return ""
    parts = (reply.said.get(name) for name in ("why", "said"))
    return " ".join(one for one in parts if isinstance(one, str))
