"""Withdrawal: a tombstone first, then everything of a consent that the rooms hold, then what the wheel holds.

The wheel's part is the verb `withdraw`, in a process of its own, as soon as nobody else writes to the
project; until then the tombstone keeps a turn from reading anything of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial

import sqlalchemy as sa

from bapsim.core.errors import messages
from bapsim.serve.people import audit, desk_queue, publish
from bapsim.serve.people.rooms import Rooms
from bapsim.serve.people.schema import WORDS
from bapsim.serve.people.tables import consent
from bapsim.store.ledger import now
from bapsim.store.sealing import Keys
from bapsim.store.terms import withdrawals, write_withdrawal
from bapsim.wheel.founding import load_recipe

EACH = 2.0  # seconds between two tries
LONGEST = 3600  # seconds that the wheel's part may take
Forget = Callable[[sa.Connection, Keys, str], None]  # of a room: what it knows of a consent
FORGET: tuple[Forget, ...] = (desk_queue.forget,)


def withdraw(rooms: Rooms, given: str, person: str, by: str) -> None:
    """Take a consent back; what this does not reach any more after a kill, the next start does."""
    write_withdrawal(rooms.inbox, given, person, by)
    rooms.database.change(lambda c: _forget(c, rooms, given, by))
    clear(rooms, given)


def _forget(connection: sa.Connection, rooms: Rooms, given: str, by: str) -> None:
    for forget in FORGET:
        forget(connection, rooms.keys, given)
    for one in reversed(WORDS):
        connection.execute(one.delete().where(one.c.consent == given))
    new = {"state": "withdrawn", "ended": now(), "erasure": "waiting"}
    where = (consent.c.id == given, consent.c.state == "given")
    if connection.execute(consent.update().where(*where).values(**new)).rowcount:
        audit.note(connection, rooms.key, by, "withdrawn", given)


def clear(rooms: Rooms, given: str) -> None:
    """The key of a consent and the words of its published file, gone; and nothing of it in pages of the
    database.
    """
    rooms.keys.destroy(given)
    rooms.database.write_anew(WORDS)
    publish.take_back(rooms.inbox, given, owed=_pays(rooms))


def _pays(rooms: Rooms) -> bool:
    """Whether the recipe has a rule of pay."""
    try:
        return load_recipe(rooms.root).pay is not None
    except Exception:  # noqa: BLE001  whatever is wrong with a recipe keeps nobody from withdrawing
        return False


def _standing(connection: sa.Connection) -> list[str]:
    return list(connection.execute(sa.select(consent.c.id).where(consent.c.state == "given")).scalars())


def unfinished(connection: sa.Connection) -> list[str]:
    """Withdrawn consents of which the wheel still holds something, as far as is known."""
    query = sa.select(consent.c.id).where(consent.c.state == "withdrawn", consent.c.erasure != "done")
    return [str(one) for one in connection.execute(query).scalars()]


def finish(rooms: Rooms) -> None:
    """Let the rooms forget what was withdrawn elsewhere or half-way, and the wheel all that was withdrawn; a
    project that somebody writes to is tried again later.
    """
    standing = set(rooms.database.look(_standing))
    for one in withdrawals(rooms.inbox).values():
        if one.consent in standing:
            withdraw(rooms, one.consent, one.person, one.by)
    for given in rooms.database.look(unfinished):
        clear(rooms, given)
        said = _by_the_wheel(rooms, given)
        rooms.database.change(partial(_tell, given=given, said=said))


def _tell(connection: sa.Connection, *, given: str, said: str) -> None:
    connection.execute(consent.update().where(consent.c.id == given).values(erasure=said[:200]))


def _by_the_wheel(rooms: Rooms, given: str) -> str:
    """Run the verb; "done", "waiting", or the key of what is wrong."""
    if "help.withdraw" not in messages():
        return "waiting"
    program = "from bapsim.cli import main; main()"
    command = [sys.executable, "-c", program, "-C", str(rooms.root), "withdraw", "--consent", given, "--json"]
    with tempfile.TemporaryFile() as said:
        ran = subprocess.Popen(command, stdout=said, stderr=subprocess.DEVNULL)  # noqa: S603  ours
        until = time.monotonic() + LONGEST
        while ran.poll() is None:
            if rooms.ending.wait(0.1) or time.monotonic() > until:  # it can be killed at any time
                ran.kill()
                ran.wait()
                return "waiting"
        said.seek(0)
        return "done" if ran.returncode == 0 else _why(said.read(), ran.returncode)


def _why(said: bytes, code: int) -> str:
    try:
        key = str(json.loads(said)["error"]["key"])
    except (ValueError, KeyError, TypeError):
        key = f"exit {code}"
    return "waiting" if key == "locked" else key
