"""The ledger: one SQLite file, one writer, every row in a chain that shows any edit.

Each change of a guarded table appends an event: the digest of the row as it stands, chained by HMAC-SHA256
under `wheel/key`. The chain holds hashes only. The head of the chain is printed in every report: whoever
keeps a report can prove that nothing before it was changed, cut or rewritten, even by the key's owner.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bapsim.core.errors import Damaged
from bapsim.store import fault
from bapsim.store.schema import APPEND_ONLY, GUARDED, MIGRATIONS, VOLATILE

START = "0" * 64
Row = dict[str, Any]


def now() -> str:
    """The time of day, UTC, for columns that are volatile."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _said(value: object) -> object:
    return {"b": value.hex()} if isinstance(value, bytes) else value


def row_digest(table: str, row: Mapping[str, Any]) -> str:
    """sha256 of a row's columns by name; volatile ones are left to the event's own time."""
    kept = {k: _said(v) for k, v in row.items() if k not in VOLATILE.get(table, ())}
    body = json.dumps(kept, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()


def subject_of(table: str, row: Mapping[str, Any]) -> str:
    """The key of a row as text."""
    return json.dumps([_said(row[k]) for k in GUARDED[table]], ensure_ascii=False)


def _strange(db: sqlite3.Connection) -> set[str]:
    """Names of tables, indices and triggers that are not as the migrations make them, and of their number.

    Statistics that SQLite keeps for its own planner (`analyze`) are nobody's.
    """
    own = sqlite3.connect(":memory:")
    try:
        own.executescript("\n".join(MIGRATIONS))
        here, there = (
            {tuple(row) for row in one.execute("select name, type, sql from sqlite_master")}
            for one in (db, own)
        )
    finally:
        own.close()
    version = db.execute("pragma user_version").fetchone()[0]
    names = {str(name) for name, *_ in here ^ there if not str(name).startswith("sqlite_stat")}
    return names if version == len(MIGRATIONS) else names | {"user_version"}


def _may_change(table: str) -> None:
    if table in APPEND_ONLY:
        raise Damaged("append_only", table=table)


@dataclass(frozen=True)
class Finding:
    """One thing that `check` found wrong: what, where."""

    kind: str
    where: str


class Ledger:
    """Open SQLite ledger of a project; `change()` is the only way to write."""

    def __init__(self, path: Path, secret: bytes, *, writing: bool = True) -> None:
        self.path, self._secret, self._head = path, secret, path.with_name("head")
        target = path if writing else f"{path.resolve().as_uri()}?mode=ro"
        self.db = sqlite3.connect(target, isolation_level=None, uri=not writing)
        self.db.row_factory = sqlite3.Row
        try:
            self._prepare(writing)
        except BaseException:
            self.db.close()
            raise

    def _prepare(self, writing: bool) -> None:
        try:
            version = self.value("pragma user_version")
        except sqlite3.DatabaseError as error:
            raise Damaged("ledger_unreadable", path=str(self.path), why=str(error)) from error
        if version > len(MIGRATIONS):
            raise Damaged("ledger_is_newer", found=version, known=len(MIGRATIONS))
        if not writing:
            return
        for pragma in ("journal_mode=wal", "synchronous=full", "secure_delete=on", "foreign_keys=on"):
            self.db.execute(f"pragma {pragma}")
        if version == 0 and not self._head.exists():  # from here on a missing head is a finding
            fault.write(self._head, self._sealed(0, START))
        try:
            self._migrate(version)
        except sqlite3.OperationalError as error:
            raise Damaged("ledger_unreadable", path=str(self.path), why=str(error)) from error
        self._write_head()  # after a crash between commit and head file the chain is ahead

    def _migrate(self, version: int) -> None:
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            self.db.execute("begin immediate")
            for statement in script.split(";"):
                if statement.strip():
                    self.db.execute(statement)
            self.db.execute(f"pragma user_version={number}")
            fault.commit(self.db, "migration")

    def close(self) -> None:
        self.db.close()

    # ------------------------------------------------------------------ reading
    def rows(self, query: str, *values: object) -> list[Row]:
        """All rows of a query as dictionaries."""
        return [dict(row) for row in self.db.execute(query, values)]

    def row(self, query: str, *values: object) -> Row | None:
        """The first row of a query, or None."""
        found = self.db.execute(query, values).fetchone()
        return dict(found) if found is not None else None

    def value(self, query: str, *values: object) -> Any:
        """The first column of the first row, or None."""
        found = self.db.execute(query, values).fetchone()
        return found[0] if found is not None else None

    # ------------------------------------------------------------------ writing
    @contextmanager
    def change(self, what: str) -> Iterator[Ledger]:
        """One transaction: all of it or nothing; the head file follows it."""
        self.db.execute("begin immediate")
        try:
            yield self
            fault.commit(self.db, what)
        finally:
            if self.db.in_transaction:
                self.db.execute("rollback")
        self._write_head()

    def add(self, table: str, /, **row: object) -> None:
        """Insert one row into a guarded table, and its event into the chain."""
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        self.db.execute(f"insert into {table}({names}) values({marks})", list(row.values()))
        self._seal(table, row)

    def amend(self, table: str, key: Mapping[str, object], /, **changes: object) -> None:
        """Change columns of one row of a guarded table; the change is an event of its own.

        Raises Damaged for a row of a table that only grows.
        """
        _may_change(table)
        sets = ", ".join(f"{name}=?" for name in changes)
        where = " and ".join(f"{name}=?" for name in key)
        query = f"update {table} set {sets} where {where}"  # noqa: S608
        if self.db.execute(query, [*changes.values(), *key.values()]).rowcount != 1:
            raise Damaged("row_is_gone", table=table, key=str(dict(key)))
        self._seal(table, key)

    def erase(self, table: str, key: Mapping[str, object]) -> None:
        """Delete one row of a guarded table; that it is gone is an event.

        Raises Damaged for a row of a table that only grows.
        """
        _may_change(table)
        row = self._guarded(table, key)
        where = " and ".join(f"{name}=?" for name in key)
        self.db.execute(f"delete from {table} where {where}", list(key.values()))  # noqa: S608
        self.note(f"erased {table}", subject_of(table, row), START)

    def note(self, kind: str, subject: str, digest: str) -> None:
        """Append one event to the chain."""
        seq, previous = self.head()
        at = now()
        mac = self._mac(seq + 1, at, kind, subject, digest, previous)
        row = (seq + 1, at, kind, subject, digest, previous, mac)
        self.db.execute("insert into event values(?,?,?,?,?,?,?)", row)

    def _seal(self, table: str, key: Mapping[str, object]) -> None:
        row = self._guarded(table, key)
        self.note(table, subject_of(table, row), row_digest(table, row))

    def _guarded(self, table: str, key: Mapping[str, object]) -> Row:
        names = GUARDED[table]
        where = " and ".join(f"{name}=?" for name in names)
        row = self.row(f"select * from {table} where {where}", *(key[name] for name in names))  # noqa: S608
        if row is None:
            raise Damaged("row_is_gone", table=table, key=subject_of(table, key))
        return row

    # ------------------------------------------------------------------ the chain
    def head(self) -> tuple[int, str]:
        """Number and mac of the last event."""
        row = self.db.execute("select seq, mac from event order by seq desc limit 1").fetchone()
        return (row["seq"], row["mac"]) if row is not None else (0, START)

    def _mac(self, *parts: object) -> str:
        body = json.dumps(parts, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, body, hashlib.sha256).hexdigest()

    def _write_head(self) -> None:
        """The head file follows the chain; one that the chain does not know is evidence, and stays."""
        kept = self.kept_head()
        if kept != self.head() and self.knows(*kept):
            fault.write(self._head, self._sealed(*self.head()))

    def _sealed(self, seq: int, mac: str) -> bytes:
        """A head as its file has it: who cuts the chain has no key to seal a shorter one with."""
        return f"{seq} {mac} {self._mac('head', seq, mac)}\n".encode()

    def kept_head(self) -> tuple[int, str]:
        """The head as the file beside the ledger has it; (-1, "") when there is none, or without its seal."""
        said = self._head.read_bytes() if self._head.exists() else b""
        words = said.decode("ascii", errors="replace").split()
        if len(words) != 3 or not words[0].isdigit() or len(words[0]) > 18:
            return -1, ""
        seq, mac = int(words[0]), words[1]
        return (seq, mac) if hmac.compare_digest(said, self._sealed(seq, mac)) else (-1, "")

    def knows(self, seq: int, mac: str) -> bool:
        """True if the chain has this event at this place."""
        return (seq, mac) == (0, START) or self.value("select mac from event where seq=?", seq) == mac

    def verify(self) -> list[Finding]:
        """Everything wrong with the chain and with the rows that it guards; empty when all is well.

        All of it is seen at one moment, also while another process writes.
        """
        kept = self.kept_head()  # before the moment: the chain may be ahead of the file, never behind
        alone = not self.db.in_transaction
        if alone:
            self.db.execute("begin")
        try:
            return self._verify(kept)
        except sqlite3.DatabaseError as error:
            return [Finding("ledger_unreadable", str(error))]
        finally:
            if alone:
                self.db.execute("rollback")

    def _verify(self, kept: tuple[int, str]) -> list[Finding]:
        previous = START
        latest: dict[str, dict[str, tuple[int, str]]] = {table: {} for table in GUARDED}
        rewritten: list[Finding] = []
        for number, row in enumerate(self.rows("select * from event order by seq"), 1):
            body = (row["seq"], row["at"], row["kind"], row["subject"], row["digest"], previous)
            if row["seq"] != number or row["previous"] != previous or row["mac"] != self._mac(*body):
                return [Finding("chain_broken", f"event {number}")]
            previous = row["mac"]
            table = row["kind"].removeprefix("erased ")
            rows = latest.get(table, {})
            if table in APPEND_ONLY and row["subject"] in rows:
                rewritten.append(Finding("rewritten", f"{table} {row['subject']}"))
            first, _ = rows.get(row["subject"], (number, ""))
            if row["kind"].startswith("erased "):
                rows.pop(row["subject"], None)
            else:
                rows[row["subject"]] = (first, row["digest"])
        found = rewritten if self.knows(*kept) else [*rewritten, Finding("chain_cut", f"event {kept[0]}")]
        found += [Finding("schema_changed", name) for name in sorted(_strange(self.db))]
        for table, expected in latest.items():
            found += self._verify_table(table, expected)
        return found

    def _verify_table(self, table: str, expected: dict[str, tuple[int, str]]) -> list[Finding]:
        found, order, keys = [], [], GUARDED[table]
        for row in self.rows(f"select * from {table} order by rowid"):  # noqa: S608
            subject = subject_of(table, row)
            first, digest = expected.pop(subject, (0, ""))
            if len(keys) > 1 or not isinstance(row[keys[0]], int):  # a number says its own place
                order.append(first)
            if digest != row_digest(table, row):
                found.append(Finding("row_changed", f"{table} {subject}"))
        if not found and order != sorted(order):  # the order of shards is the order of records
            found.append(Finding("rows_reordered", table))
        return found + [Finding("row_lost", f"{table} {subject}") for subject in expected]
