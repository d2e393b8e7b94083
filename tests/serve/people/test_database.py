"""The service database: group commit, failed writes, order, older and newer schemas, kills."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bapsim.core.errors import InputError, StoreError
from bapsim.serve.people import audit, schema
from bapsim.serve.people.database import Database, engine_of, url_of
from bapsim.serve.people.events import newest, tell
from bapsim.serve.people.rooms import database_of, key_of
from bapsim.serve.people.tables import about, event


@pytest.fixture
def database(url: str, tmp_path: Path) -> Any:
    (tmp_path / "project" / "people").mkdir(parents=True, exist_ok=True)
    one = Database(url)
    one.open()
    yield one
    one.close()


def count(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(event)).scalar_one())


def test_writes_share_commits_and_one_that_fails_takes_back_its_own(database: Database) -> None:
    commits: list[int] = []
    database.committed = lambda: commits.append(1)
    gate = threading.Event()
    database.submit(lambda c: gate.wait(10))

    def write(n: int) -> Any:
        def work(connection: sa.Connection) -> int:
            seq = tell(connection, "a", "said", {"n": n})
            if n % 10 == 3:
                raise ZeroDivisionError
            return seq

        return database.submit(work)

    waiting = [write(n) for n in range(100)]
    gate.set()
    done = [one.exception(30) is None for one in waiting]
    assert done.count(False) == 10
    assert database.look(count) == 90
    assert len(commits) <= 4, "a hundred writes, few syncs"
    seqs = [one.result() for one in waiting if one.exception() is None]
    assert seqs == sorted(seqs)


def test_a_write_whose_waiter_is_gone_harms_nobody(database: Database) -> None:
    async def run() -> int:
        gate = threading.Event()
        first = asyncio.ensure_future(database.write(lambda c: gate.wait(10)))
        await asyncio.sleep(0.1)
        second = asyncio.ensure_future(database.write(lambda c: tell(c, "a", "said", {})))
        await asyncio.sleep(0.05)
        first.cancel()
        second.cancel()
        gate.set()
        return await database.write(lambda c: tell(c, "a", "said", {}))

    assert asyncio.run(run()) >= 1


def test_two_processes_number_in_the_order_of_commit(database: Database) -> None:
    """Who reads on from a number must not miss one that was given out before and committed later."""
    other = Database(database.url)
    other.open()
    seen: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        last = 0
        while not stop.is_set() or last < database.look(newest):
            query = sa.select(event.c.seq).where(event.c.seq > last).order_by(event.c.seq)
            for seq in database.look(lambda c, q=query: c.execute(q).scalars().all()):
                seen.append(seq)
                last = seq

    watcher = threading.Thread(target=watch)
    watcher.start()
    writes = [one.submit(lambda c: tell(c, "a", "said", {})) for _ in range(60) for one in (database, other)]
    for one in writes:
        one.result(30)
    stop.set()
    watcher.join(30)
    other.close()
    assert len(seen) == 120


def test_an_older_database_gets_what_it_lacks(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    url = database.url
    database.change(lambda c: tell(c, "a", "said", {}))
    database.change(lambda c: c.execute(about.update().values(value="0")))
    database.change(lambda c: c.execute(sa.text("drop index event_channel")))
    database.change(lambda c: c.execute(sa.text("alter table consent drop column erasure")))
    database.change(lambda c: c.execute(sa.text("drop table attempt")))
    again = Database(url)
    again.open()
    try:
        inspector = sa.inspect(again._reading)
        for table in schema.TABLES:
            assert {c["name"] for c in inspector.get_columns(table.name)} == {c.name for c in table.columns}
            named = {index.name for index in table.indexes}
            assert named <= {index["name"] for index in inspector.get_indexes(table.name)}
        assert again.look(count) == 1
        again.change(lambda c: c.execute(about.update().values(value="99")))
    finally:
        again.close()
    with pytest.raises(StoreError, match="99"):
        Database(url).open()


def test_two_projects_do_not_share_one(tmp_path: Path, url: str) -> None:
    for name in ("one", "two"):
        key_of(tmp_path / name)
        (tmp_path / name / "people" / "database").write_text(url + "\n")
    (tmp_path / "project" / "people").mkdir(parents=True)
    database_of(tmp_path / "one").close()
    database_of(tmp_path / "one").close()
    with pytest.raises(StoreError, match="another project"):
        database_of(tmp_path / "two")


def test_where_the_database_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert url_of(tmp_path).endswith("/people/people.sqlite")
    monkeypatch.setenv("BAPSIM_DATABASE", "postgresql://elsewhere/x")
    assert url_of(tmp_path) == "postgresql://elsewhere/x"
    for bad in ("mysql://x", "nothing", "oracle+x://"):
        with pytest.raises(InputError):
            engine_of(bad, writes=False)
    with pytest.raises(StoreError, match="cannot be reached"):
        Database("postgresql://nobody:secret@127.0.0.1:9/x?connect_timeout=2").open()


def test_the_files_are_the_owners_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        database_of(tmp_path).close()
    finally:
        os.umask(old)
    folder = tmp_path / "people"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "key": 0o600,
        "people.sqlite": 0o600,
    }


def test_the_audit_log_shows_what_was_changed(database: Database) -> None:
    key = b"k" * 32
    for n in range(5):
        database.change(lambda c, n=n: audit.note(c, key, "p-aaaaaaaaaa", "signed_in", str(n), n=n))
    assert database.look(lambda c: audit.broken(c, key)) is None
    table = audit.audit
    database.change(lambda c: c.execute(table.update().where(table.c.seq == 3).values(subject="x")))
    assert database.look(lambda c: audit.broken(c, key)) == 3
    database.change(lambda c: c.execute(table.update().where(table.c.seq == 3).values(subject="2")))
    database.change(lambda c: c.execute(table.delete().where(table.c.seq == 2)))
    assert database.look(lambda c: audit.broken(c, key)) == 3


WRITER = """
import sys, threading
from bapsim.serve.people.database import Database
from bapsim.serve.people.events import tell
database = Database(sys.argv[1])
database.open()
lock = threading.Lock()

def write(k):
    for n in range(100000):
        database.change(lambda c: tell(c, "kill", f"{sys.argv[2]}-{k}", {"n": n}))
        with lock:
            sys.stdout.write(f"{sys.argv[2]}-{k} {n}\\n")
            sys.stdout.flush()

for k in range(8):
    threading.Thread(target=write, args=(k,)).start()
"""


def test_what_was_acknowledged_is_there_after_kills(database: Database) -> None:
    """Nine-tenths of a second of eight writers, killed by signal 9, three times; see also BAPSIM_FAULT."""
    for run in range(3):
        environment = {**os.environ}
        if run:
            environment["BAPSIM_FAULT"] = str(run * 17)  # exactly before or after a commit
        command = [sys.executable, "-c", WRITER, database.url, str(run)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        told = []
        for line in process.stdout:
            told.append(line)
            if len(told) >= 400:
                process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
        process.stdout.close()
        rows = database.look(lambda c: c.execute(sa.select(event.c.kind, event.c.body)).all())
        there = {(row.kind, int(re.sub(r"\D", "", row.body))) for row in rows}
        whole = [line.split() for line in told if line.endswith("\n")]
        assert len(whole) >= 10
        assert {(kind, int(n)) for kind, n in whole} <= there
