"""What was approved, from the database into the inbox, where a turn finds it.

The database is what counts: a file is written whole from it, and written again after a kill if the database
knows more. A consent that was withdrawn has no file.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bapsim.serve.people.database import Database
from bapsim.serve.people.lines import read
from bapsim.serve.people.tables import consent, line
from bapsim.store import fault
from bapsim.store.sealing import Keys
from bapsim.store.terms import is_withdrawn, parsed, people, stem, write_terms
from bapsim.wheel.pay_work import RULE

TIMES = ("id", "person", "at", "approved", "seconds")  # of a line, none of which says anything
EACH = 0.5  # seconds between two looks for what is to be published


def path_of(inbox: Path, given: str) -> Path:
    """The file of a consent in the inbox."""
    return people(inbox) / f"{stem(given)}.jsonl"


def terms_path(inbox: Path, given: str) -> Path:
    """The file of what was granted."""
    return people(inbox) / f"{stem(given)}.terms.json"


def waiting(connection: sa.Connection) -> list[str]:
    """Consents whose lines changed since their file was written."""
    query = sa.select(consent.c.id).where(consent.c.state == "given", consent.c.changes > consent.c.published)
    return [str(one) for one in connection.execute(query).scalars()]


def publish(database: Database, keys: Keys, inbox: Path) -> int:
    """Write the files that lag behind; returns how many. Raises what went wrong with one of them after all
    others are written.
    """
    found, done, wrong = database.look(waiting), [], []
    for given in found:
        try:
            upto = _file(database, keys, inbox, given)
        except Exception as why:  # noqa: BLE001  one file must not keep everybody else's back
            wrong.append(why)
        else:
            done += [] if upto is None else [(given, upto)]
    if done:
        database.change(lambda c: _published(c, done))
    if wrong:
        raise wrong[0]
    return len(found)


def _file(database: Database, keys: Keys, inbox: Path, given: str) -> int | None:
    """Write the file of one consent as the database has it now; returns how many changes it has, None: it
    was withdrawn.
    """
    upto, body, terms = database.look(lambda c: _whole(c, keys, given))
    if not terms_path(inbox, given).exists():
        write_terms(inbox, parsed(json.loads(terms)))
    with _alone(inbox):
        fault.write(path_of(inbox, given), body)
        if not is_withdrawn(inbox, given):
            return upto
        _take_back(inbox, given, owed=False)  # between the two: what is withdrawn must not come back
    return None


def _published(connection: sa.Connection, done: Sequence[tuple[str, int]]) -> None:
    """Note for each consent how many of its changes are in its file."""
    one, upto = sa.bindparam("given", type_=sa.String), sa.bindparam("upto", type_=sa.BigInteger)
    query = consent.update().where(consent.c.id == one, consent.c.published < upto).values(published=upto)
    connection.execute(query, [{"given": given, "upto": count} for given, count in done])


def take_back(inbox: Path, given: str, *, owed: bool = False) -> None:
    """What a withdrawn consent's file said is gone. Where the recipe has a rule of pay (`owed`), or the terms
    name one, whose line each was and how long it took stays until the wheel has written that down.
    """
    with _alone(inbox):
        _take_back(inbox, given, owed=owed)


@contextmanager
def _alone(inbox: Path) -> Iterator[None]:
    """While nobody else writes published files, in this process or another: two would share a temporary."""
    folder = people(inbox)
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _take_back(inbox: Path, given: str, *, owed: bool) -> None:
    path = path_of(inbox, given)
    path.with_name(path.name + ".tmp").unlink(missing_ok=True)  # of a publisher that was killed
    if not path.exists():
        return
    times = _times(path) if owed or RULE in _record(inbox, given) else b""
    if times:
        fault.write(path, times)
        return
    path.unlink()
    fault.sync(path.parent)


def _times(path: Path) -> bytes:
    kept = []
    for body in path.read_bytes().splitlines():
        with suppress(ValueError, AttributeError):  # a line that is none must keep nobody here
            kept.append({name: said for name, said in json.loads(body).items() if name in TIMES})
    return "".join(json.dumps(one) + "\n" for one in kept).encode()


def _record(inbox: Path, given: str) -> Mapping[str, Any]:
    path = terms_path(inbox, given)
    return parsed(json.loads(path.read_bytes())).record if path.exists() else {}


def _whole(connection: sa.Connection, keys: Keys, given: str) -> tuple[int, bytes, str]:
    """How many changes a file has, the file, and the terms of its consent."""
    query = sa.select(consent.c.changes, consent.c.terms).where(consent.c.id == given)
    upto, terms = connection.execute(query).one()
    lines = [json.dumps(one, ensure_ascii=False) + "\n" for one in approved(connection, keys, given)]
    return int(upto), "".join(lines).encode(), str(terms)


def approved(connection: sa.Connection, keys: Keys, given: str) -> Iterator[dict[str, Any]]:
    """The approved lines of a consent as the inbox has them, oldest first."""
    query = sa.select(line).where(line.c.consent == given, line.c.state == "approved").order_by(line.c.seq)
    for row in connection.execute(query).mappings():
        said = read(keys, dict(row))
        head = {name: row[name] for name in ("id", "kind", "person")}
        head |= {"at": said.get("at") or row["made"], "approved": row["approved"]}
        if row["dialogue"]:
            head["dialogue"] = row["dialogue"]
        yield head | {k: v for k, v in said.items() if k not in head}
