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
from bapsim.store.schema import GUARDED, MIGRATIONS, VOLATILE

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


@dataclass(frozen=True)
class Finding:
    """One thing that `check` found wrong: what, where."""

    kind: str
    where: str


class Ledger:
    """Open SQLite ledger of a project; `change()` is the only way to write."""

    def __init__(self, path: Path, secret: bytes, *, writing: bool = True) -> None:
        self.path, self._secret, self._head = path, secret, path.with_name("head")
        target = path if writing else f"file:{path}?mode=ro"
        self.db = sqlite3.connect(target, isolation_level=None, uri=not writing)
        self.db.row_factory = sqlite3.Row
        if writing:
            self._prepare()

    def _prepare(self) -> None:
        for pragma in ("journal_mode=wal", "synchronous=full", "secure_delete=on", "foreign_keys=on"):
            self.db.execute(f"pragma {pragma}")
        (version,) = self.db.execute("pragma user_version").fetchone()
        if version > len(MIGRATIONS):
            raise Damaged("ledger_is_newer", found=version, known=len(MIGRATIONS))
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            self.db.execute("begin immediate")
            for statement in script.split(";"):
                if statement.strip():
                    self.db.execute(statement)
            self.db.execute(f"pragma user_version={number}")
            fault.commit(self.db, "migration")
        self._mend_head()

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
        except BaseException:
            self.db.execute("rollback")
            raise
        fault.commit(self.db, what)
        self._write_head()

    def add(self, table: str, **row: object) -> None:
        """Insert one row into a guarded table, and its event into the chain."""
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        self.db.execute(f"insert into {table}({names}) values({marks})", list(row.values()))
        self._seal(table, row)

    def amend(self, table: str, key: Mapping[str, object], **changes: object) -> None:
        """Change columns of one row of a guarded table; the change is an event of its own."""
        sets = ", ".join(f"{name}=?" for name in changes)
        where = " and ".join(f"{name}=?" for name in key)
        self.db.execute(f"update {table} set {sets} where {where}", [*changes.values(), *key.values()])  # noqa: S608
        self._seal(table, key)

    def erase(self, table: str, key: Mapping[str, object]) -> None:
        """Delete one row of a guarded table; that it is gone is an event."""
        where = " and ".join(f"{name}=?" for name in key)
        self.db.execute(f"delete from {table} where {where}", list(key.values()))  # noqa: S608
        self.note(f"erased {table}", subject_of(table, key), START)

    def note(self, kind: str, subject: str, digest: str) -> None:
        """Append one event to the chain."""
        seq, previous = self.head()
        at = now()
        mac = self._mac(seq + 1, at, kind, subject, digest, previous)
        row = (seq + 1, at, kind, subject, digest, previous, mac)
        self.db.execute("insert into event values(?,?,?,?,?,?,?)", row)

    def _seal(self, table: str, key: Mapping[str, object]) -> None:
        names = GUARDED[table]
        where = " and ".join(f"{name}=?" for name in names)
        row = self.row(f"select * from {table} where {where}", *(key[name] for name in names))  # noqa: S608
        if row is None:
            raise Damaged("row_is_gone", table=table, key=subject_of(table, key))
        self.note(table, subject_of(table, row), row_digest(table, row))

    # ------------------------------------------------------------------ the chain
    def head(self) -> tuple[int, str]:
        """Number and mac of the last event."""
        row = self.db.execute("select seq, mac from event order by seq desc limit 1").fetchone()
        return (row["seq"], row["mac"]) if row is not None else (0, START)

    def _mac(self, *parts: object) -> str:
        body = json.dumps(parts, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, body, hashlib.sha256).hexdigest()

    def _write_head(self) -> None:
        seq, mac = self.head()
        fault.write(self._head, f"{seq} {mac}\n".encode())

    def _mend_head(self) -> None:
        """After a crash between commit and head file the chain is ahead; anything else is damage."""
        seq, mac = self.kept_head()
        if self.head() != (seq, mac) and self.knows(seq, mac):
            self._write_head()

    def kept_head(self) -> tuple[int, str]:
        """The head as the file beside the ledger has it."""
        if not self._head.exists():
            return 0, START
        said = self._head.read_text("ascii", errors="replace").split()
        return (int(said[0]), said[1]) if len(said) == 2 and said[0].isdigit() else (-1, "")

    def knows(self, seq: int, mac: str) -> bool:
        """True if the chain has this event at this place."""
        return (seq, mac) == (0, START) or self.value("select mac from event where seq=?", seq) == mac

    def verify(self) -> list[Finding]:
        """Everything wrong with the chain and with the rows that it guards; empty when all is well."""
        found: list[Finding] = []
        previous, latest = START, {}
        for number, row in enumerate(self.rows("select * from event order by seq"), 1):
            body = (row["seq"], row["at"], row["kind"], row["subject"], row["digest"], previous)
            if row["seq"] != number or row["previous"] != previous or row["mac"] != self._mac(*body):
                return [Finding("chain_broken", f"event {number}")]
            previous = row["mac"]
            kind = row["kind"].removeprefix("erased ")
            latest[kind, row["subject"]] = None if kind != row["kind"] else row["digest"]
        if not self.knows(*self.kept_head()):
            found.append(Finding("chain_cut", f"event {self.kept_head()[0]}"))
        for table in GUARDED:
            found += self._verify_table(table, {s: d for (t, s), d in latest.items() if t == table})
        return found

    def _verify_table(self, table: str, expected: dict[str, str | None]) -> list[Finding]:
        found = []
        for row in self.rows(f"select * from {table}"):  # noqa: S608
            subject = subject_of(table, row)
            if expected.pop(subject, None) != row_digest(table, row):
                found.append(Finding("row_changed", f"{table} {subject}"))
        found += [Finding("row_lost", f"{table} {s}") for s, d in expected.items() if d is not None]
        return found
