"""What machines were asked and said, in a file of its own: nothing finished is asked or paid twice.

A row is one sample of one request: its key is a digest of everything that was sent (model, messages, schema,
sampling). An intent is durable before a request leaves and holds the most that it may cost; the answer puts
what it did cost in its place. What was in flight when the process was killed stays an intent: in doubt.
The file is no part of the ledger's chain: an answer of a machine can be had again, and thousands a second
are kept here. WAL with synchronous NORMAL survives the death of the process; a machine that loses power may
lose the last answers, never the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bapsim.core.errors import Damaged
from bapsim.core.records import Answers
from bapsim.store import fault
from bapsim.store.ledger import now
from bapsim.store.tape import packed, unpacked

FILE = "machine.sqlite"
PATIENCE = 20  # seconds for another process to let go of the file
_TABLES = """
create table if not exists said (
  key text not null, sample integer not null, asked text not null, model text not null, purpose text not null,
  state text not null, body blob, reason text not null default '', tokens_in integer not null default 0,
  tokens_out integer not null default 0, cost integer not null default 0, held integer not null default 0,
  currency text not null default '', doubts integer not null default 0, at text not null,
  primary key (key, sample)) without rowid;
create table if not exists made_from (
  key text not null, sample integer not null, record blob not null,
  primary key (record, key, sample)) without rowid;
"""
ASKED, ANSWERED, REFUSED, OPEN = "asked", "answered", "refused", "open"


@dataclass(frozen=True, kw_only=True)
class Said:
    """What came of one request.

    state: answered, refused (finished, never asked again), asked (in flight, or in doubt after a kill) or
    open (asked without an answer that counts: it may be asked again); body: the answer, UTF-8 or an Arrow
    stream; cost, held: millionths of a minor unit of money that were paid, and that may have been.
    """

    state: str
    body: bytes | None = None
    reason: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: int = 0
    held: int = 0

    @property
    def finished(self) -> bool:
        return self.state in (ANSWERED, REFUSED)


@dataclass(frozen=True, kw_only=True)
class Intent:
    """One sample of one request that is about to leave; held: the most that it may cost; made_from: ids of
    the records that stand in it.
    """

    key: str
    sample: int
    model: str = ""
    held: int = 0
    currency: str = ""
    made_from: tuple[bytes, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A request that left and whose answer was never kept; held: what it may have cost."""

    key: str
    sample: int
    model: str
    held: int


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What one purpose cost in one currency: requests that ended or are in doubt, millionths of a minor unit
    that were paid, and that may have been.
    """

    requests: int
    paid: int
    held: int


class MachineTape:
    """The file of one project, opened when it is first needed; also a tape in the sense of `core.exchange`.

    purpose: for what is asked, such as the name of a source: money is counted by it. Raises Damaged for a
    file that is no such tape. One process writes at a time; its threads take turns.
    """

    def __init__(self, path: Path, purpose: str = "") -> None:
        self.path, self.purpose = path, purpose

    @cached_property
    def _db(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        try:
            for said in ("journal_mode=wal", "synchronous=normal", "secure_delete=on"):
                db.execute(f"pragma {said}")
            db.executescript(_TABLES)
            db.execute("select held, doubts, currency from said limit 1")
        except sqlite3.DatabaseError as why:
            db.close()
            raise Damaged("not_a_machine_tape", file=self.path.name) from why
        return db

    @property
    def is_there(self) -> bool:
        """Whether anything was ever asked."""
        return self.path.exists()

    def close(self) -> None:
        """Let go of the file; it is opened again when it is needed."""
        if "_db" in self.__dict__:
            self._db.close()
            del self.__dict__["_db"]

    # ------------------------------------------------------------ many requests, one transaction

    @contextmanager
    def change(self, what: str) -> Iterator[None]:
        """One transaction for what arrived and for what leaves next: a slot is never counted twice."""
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        fault.commit(self._db, what)

    def known(self, key: str, sample: int) -> Said | None:
        """What came of a request so far; None: it never left."""
        query = "select * from said where key=? and sample=?"
        row = self._db.execute(query, (key, sample)).fetchone()
        if row is None:
            return None
        names = ("state", "body", "reason", "tokens_in", "tokens_out", "cost", "held")
        return Said(**{name: row[name] for name in names})

    def leave(self, one: Intent, asked: str = "") -> None:
        """Write an intent down, inside `change`; money that is held for earlier attempts stays held."""
        self._db.execute(
            "insert into said (key, sample, asked, model, purpose, state, held, currency, at)"
            " values (?,?,?,?,?,?,?,?,?)"
            " on conflict do update set doubts = doubts + (state = 'asked'), state = excluded.state,"
            " held = held + excluded.held, asked = excluded.asked, at = excluded.at",
            (one.key, one.sample, asked, one.model, self.purpose, ASKED, one.held, one.currency, now()),
        )
        if one.made_from:
            rows = [(one.key, one.sample, record) for record in one.made_from]
            self._db.executemany("insert or ignore into made_from values (?,?,?)", rows)

    def settle(self, key: str, sample: int, said: Said, freed: int) -> None:
        """Put an outcome in the place of an intent, inside `change`; freed: what is no longer held."""
        done = self._db.execute(
            "update said set state=?, body=?, reason=?, tokens_in=tokens_in+?, tokens_out=tokens_out+?,"
            " cost=cost+?, held=max(held-?, 0), at=? where key=? and sample=?",
            (
                *(said.state, said.body, said.reason, said.tokens_in, said.tokens_out),
                *(said.cost, freed, now(), key, sample),
            ),
        )
        if not done.rowcount:
            raise Damaged("answer_without_intent", key=key)

    def spent(self, purpose: str | None = None) -> dict[str, Spending]:
        """By currency ("" = no price was given) what a purpose cost so far; None: the tape's own."""
        query = (
            "select currency, count(*), coalesce(sum(cost), 0), coalesce(sum(held), 0) from said"
            " where purpose=? group by 1 order by 1"
        )
        rows = self._db.execute(query, (self.purpose if purpose is None else purpose,))
        return {row[0]: Spending(requests=row[1], paid=row[2], held=row[3]) for row in rows}

    def in_doubt(self) -> list[Doubt]:
        """Requests in flight at a kill that were not asked again since, by key."""
        query = "select key, sample, model, held from said where state='asked' order by 1, 2"
        return [Doubt(**dict(row)) for row in self._db.execute(query)]

    def doubted(self) -> int:
        """How often a request was asked again after a kill: what may have been paid twice, at most."""
        return int(self._db.execute("select coalesce(sum(doubts), 0) from said").fetchone()[0])

    def counts(self) -> dict[str, int]:
        """How many requests are in each state."""
        query = "select state, count(*) from said group by 1 order by 1"
        return {state: int(n) for state, n in self._db.execute(query)}

    def erase(self, ids: Iterable[bytes]) -> int:
        """Delete what was asked with these records in it, and what was said; returns how many requests went.

        What they cost stays counted, without a word of what they were about.
        """
        gone: set[tuple[str, int]] = set()
        with self.change("erased answers"):
            for record in ids:
                query = "select key, sample from made_from where record=?"
                gone |= {(row[0], row[1]) for row in self._db.execute(query, (record,))}
            for at, (key, sample) in enumerate(sorted(gone)):
                self._anonymous(key, sample, at)
        self._db.execute("pragma wal_checkpoint(truncate)")
        return len(gone)

    def _anonymous(self, key: str, sample: int, at: int) -> None:
        """Replace a request by its cost alone, under a name that says nothing."""
        name = f"erased:{now()}:{at}"
        kept = "model, purpose, tokens_in, tokens_out, cost, held, currency"
        self._db.execute(
            f"insert into said (key, sample, asked, state, at, {kept})"  # noqa: S608  names of columns
            f" select ?, 0, '', 'erased', ?, {kept} from said where key=? and sample=?",
            (name, now(), key, sample),
        )
        for table in ("said", "made_from"):
            self._db.execute(f"delete from {table} where key=? and sample=?", (key, sample))  # noqa: S608

    # ------------------------------------------------------------ a tape of core.exchange

    def recall(self, key: str, step: int) -> tuple[str, Answers] | None:
        row = self._db.execute("select asked, body, state from said where key=? and sample=?", (key, step))
        found = row.fetchone()
        if found is None or found["state"] != ANSWERED:
            return None
        return found["asked"], Answers(unpacked(found["body"]))

    def intend(self, key: str, step: int, asked: str) -> None:
        with self.change("machine intent"):
            self.leave(Intent(key=key, sample=step), asked)

    def withdraw(self, key: str, step: int) -> None:
        with self.change("withdrawn machine intent"):
            self._db.execute("update said set state='open' where key=? and sample=?", (key, step))

    def keep(self, key: str, step: int, asked: str, got: Answers) -> None:
        fault.point("machine answer arrived")
        with self.change("machine answer"):
            self.settle(key, step, Said(state=ANSWERED, body=packed(got)), 0)
            self._db.execute("update said set asked=? where key=? and sample=?", (asked, key, step))
