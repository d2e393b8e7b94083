"""The service database: SQLite beside the project, or Postgres by URL; many readers, one writer at a time.

All writes of a process go through one thread, which takes what waits into one transaction, so that many
writers share one sync of the disk; what is acknowledged was committed. A write that fails takes back its own
changes only. Transactions that write follow one another also between processes, so that sequence numbers
ascend in the order of commit, and who reads on from a number misses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from bapsim.core.errors import InputError, StoreError
from bapsim.serve.people import schema
from bapsim.serve.people.tables import about
from bapsim.store import fault

T = TypeVar("T")
Work = Callable[[sa.Connection], T]  # it may be called again where another write of its transaction failed
_Said = tuple[Any, "BaseException | None"]
MOST = 256  # writes of one transaction
READERS = 4  # threads that read
PATIENCE = 30  # seconds that a writer waits for another process's transaction
TURN = 7_230_412_118_553  # the advisory lock of Postgres by which writers take turns


def url_of(root: Path) -> str:
    """Where a project's service database is: BAPSIM_DATABASE, else what `people/database` says, else SQLite
    in `people/`.
    """
    named = root / "people" / "database"
    said = os.environ.get("BAPSIM_DATABASE") or (named.read_text("utf-8").strip() if named.is_file() else "")
    return said or f"sqlite:///{root.resolve() / 'people' / 'people.sqlite'}"


def engine_of(url: str, *, writes: bool) -> sa.Engine:
    """An engine whose transactions are durable; raises InputError for a URL of neither database."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as why:
        raise InputError("people_database_url", known="sqlite:///, postgresql://") from why
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, writes=writes)
    if parsed.get_backend_name() != "postgresql":
        raise InputError("people_database_url", known="sqlite:///, postgresql://")
    size = 1 if writes else READERS
    try:
        return sa.create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            isolation_level="READ COMMITTED" if writes else "REPEATABLE READ",
            pool_size=size,
            max_overflow=0,
            pool_pre_ping=writes,  # a read that meets a server which was restarted is refused once (503)
            hide_parameters=True,
        )
    except ImportError as why:
        raise InputError("people_no_psycopg") from why


def _sqlite(url: sa.URL, *, writes: bool) -> sa.Engine:
    engine = sa.create_engine(
        url,
        pool_size=1 if writes else READERS,
        max_overflow=0,
        hide_parameters=True,  # errors are logged, and what people say is not
        connect_args={"timeout": PATIENCE, "check_same_thread": False},
    )

    @sa.event.listens_for(engine, "connect")
    def _connected(raw: Any, _: Any) -> None:
        raw.isolation_level = None  # transactions begin where we say so
        for pragma in ("journal_mode=wal", "synchronous=full", "foreign_keys=on", "secure_delete=on"):
            raw.execute(f"pragma {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql("begin immediate" if writes else "begin")

    return engine


@dataclass(eq=False)
class Database:
    """Reads and writes of one process; `committed` is called in the writer's thread after each commit."""

    url: str
    committed: Callable[[], None] = lambda: None
    _queue: queue.SimpleQueue[tuple[Work[Any], Future[Any]] | None] = field(default_factory=queue.SimpleQueue)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self._reading = engine_of(self.url, writes=False)
        self._writing = engine_of(self.url, writes=True)
        alone = {} if self.kind == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
        self._finding = self._reading.execution_options(**alone)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="people-read")

    @property
    def kind(self) -> str:
        """sqlite or postgresql."""
        return self._writing.dialect.name

    def open(self) -> None:
        """Bring the schema up to date and start the writer; raises StoreError where it cannot be reached."""
        try:
            with self._writing.begin() as connection:
                self._take_turn(connection)
                migrate(connection)
        except BaseException as why:
            self.close()
            if not isinstance(why, sa.exc.OperationalError):
                raise
            said = str(why.orig).strip().splitlines()
            raise StoreError("people_database_gone", why=said[0] if said else "-") from None
        self._thread = threading.Thread(target=self._run, name="people-write", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what waits, and end."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        self._readers.shutdown()
        self._reading.dispose()
        self._writing.dispose()

    # ------------------------------------------------------------------ reads

    def look(self, work: Work[T]) -> T:
        """Read from this thread, in one snapshot."""
        with self._reading.begin() as connection:
            return work(connection)

    async def read(self, work: Work[T]) -> T:
        """Read in a thread, in one snapshot."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.look, work)

    async def find(self, work: Work[T]) -> T:
        """Read in a thread by one statement: it needs no snapshot, and Postgres two round trips less."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._find, work)

    def _find(self, work: Work[T]) -> T:
        with self._finding.connect() as connection:
            return work(connection)

    # ------------------------------------------------------------------ writes

    def submit(self, work: Work[T]) -> Future[T]:
        """A write to be done; its future is done when it is on the disk, or failed."""
        done: Future[T] = Future()
        self._queue.put((work, done))
        return done

    def change(self, work: Work[T]) -> T:
        """Write, and wait until it is on the disk; not from the event loop."""
        return self.submit(work).result()

    async def write(self, work: Work[T]) -> T:
        """Write, and wait until it is on the disk."""
        return await asyncio.wrap_future(self.submit(work))

    def write_anew(self, tables: Sequence[sa.Table]) -> None:
        """Leave nothing of deleted rows in pages: of SQLite the log is cut (its pages are zeroed already), of
        Postgres these tables are written anew. Where somebody reads meanwhile the next call does it.
        """
        fault.point("before pages anew")
        if self.kind == "sqlite":
            with contextlib.closing(
                sqlite3.connect(str(self._writing.url.database), timeout=PATIENCE)
            ) as raw:
                raw.execute("pragma wal_checkpoint(truncate)")
            return
        with self._reading.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for one in tables:
                connection.execute(sa.text(f"vacuum full {one.name}"))

    def _run(self) -> None:
        ending = False
        while not ending:
            batch = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < MOST:
                    batch.append(self._queue.get_nowait())
            ending = None in batch
            # what nobody waits for any more is left; the rest cannot be cancelled from here on
            works = [one for one in batch if one is not None and one[1].set_running_or_notify_cancel()]
            if works:
                self._commit(works)

    def _commit(self, works: list[tuple[Work[Any], Future[Any]]]) -> None:
        """One transaction of several writes; if it cannot be committed, none of them happened.

        Most do not fail, and a savepoint for each costs two round trips: they are set in a second attempt,
        after a first one without them was taken back whole.
        """
        try:
            try:
                said = self._transaction(works, _done)
            except _Failed:  # before the commit: nothing can be there twice
                said = self._transaction(works, _tried)
        except Exception as why:  # noqa: BLE001  who waits is told, whatever it was
            for _, done in works:
                done.set_exception(why)
            return
        fault.point("after commit people")
        for (_, done), (result, error) in zip(works, said, strict=True):
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)
        self.committed()

    def _transaction(
        self, works: list[tuple[Work[Any], Future[Any]]], do: Callable[[sa.Connection, Work[Any]], _Said]
    ) -> list[_Said]:
        with self._writing.begin() as connection:
            self._take_turn(connection)
            said = [do(connection, work) for work, _ in works]
            fault.point("before commit people")
        return said

    def _take_turn(self, connection: sa.Connection) -> None:
        if connection.dialect.name != "sqlite":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(TURN)))


class _Failed(Exception):
    """One of several writes failed; savepoints tell which."""


def _done(connection: sa.Connection, work: Work[Any]) -> _Said:
    """What one write gave; where it fails all of them do."""
    try:
        return work(connection), None
    except Exception as why:
        raise _Failed from why


def _tried(connection: sa.Connection, work: Work[Any]) -> _Said:
    """What one write gave, or why it failed; a failed one leaves nothing behind."""
    point = connection.begin_nested()
    try:
        result = work(connection)
    except Exception as why:  # noqa: BLE001  told to who waits for it
        point.rollback()
        return None, why
    point.commit()
    return result, None


# ---------------------------------------------------------------- migrations


def migrate(connection: sa.Connection) -> None:
    """Add the tables, columns and indices that the database lacks; raises StoreError for a newer one."""
    have = version_of(connection)
    if have > schema.NEWEST:
        raise StoreError("people_database_newer", have=have, known=schema.NEWEST)
    if have == schema.NEWEST:
        return
    there = set(sa.inspect(connection).get_table_names())
    for one in schema.TABLES:
        if one.name not in there:
            connection.execute(CreateTable(one))
            for index in one.indexes:
                connection.execute(CreateIndex(index))
        else:
            _complete(connection, one)
    connection.execute(about.delete().where(about.c.key == "version"))
    connection.execute(about.insert().values(key="version", value=str(schema.NEWEST)))


def version_of(connection: sa.Connection) -> int:
    """The version of the schema that a database has; 0 for an empty one."""
    if not sa.inspect(connection).has_table("about"):
        return 0
    query = sa.select(about.c.value).where(about.c.key == "version")
    return int(connection.execute(query).scalar() or 0)


def _complete(connection: sa.Connection, one: sa.Table) -> None:
    """Columns and indices that a table of an older version lacks."""
    inspector = sa.inspect(connection)
    columns = {column["name"] for column in inspector.get_columns(one.name)}
    indices = {index["name"] for index in inspector.get_indexes(one.name)}
    for column in one.columns:
        if column.name not in columns:
            said = CreateColumn(column).compile(dialect=connection.dialect)
            connection.execute(sa.text(f"alter table {one.name} add column {said}"))
    for index in one.indexes:
        if index.name not in indices:
            connection.execute(CreateIndex(index))
