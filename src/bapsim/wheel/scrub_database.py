"""A database of SQLite without what is sought: cells emptied, pages rewritten, no free list, no log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from bapsim.core.errors import StoreError
from bapsim.store import fault
from bapsim.text.verbatim import holds
from bapsim.wheel.scrub_files import without
from bapsim.wheel.sought import Sought

SQLITE = b"SQLite format 3\0"
ROWS = 1_000
PAGES = 1 << 24  # bytes of a database looked at together
PATIENCE = 10.0  # seconds for others to let go of it


def log_of(path: Path) -> Path:
    """Where a database that is in use keeps its newest pages."""
    return path.with_name(f"{path.name}-wal")


def is_database(path: Path) -> bool:
    """Whether a file is an SQLite database."""
    with path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE


def scrub_database(path: Path, sought: Sought) -> int:
    """Empty all cells in which something stands that is sought, and delete rows that it is the name of (a
    cell of a unique index); returns how many.

    Raises StoreError where others do not let go of the database.
    """
    with closing(sqlite3.connect(path, isolation_level=None, timeout=PATIENCE)) as db:
        try:
            found = list(_going(db, sought))
            if not found:
                if any(in_pages(one, sought) for one in (path, log_of(path)) if one.exists()):
                    rewritten(db)  # the rows are gone, their pages are not
                return 0
            db.execute("pragma secure_delete=on")
            db.execute("begin immediate")
            for table, where, key, name, empty in found:
                if name is None:
                    db.execute(f"delete from {table} where {where}", key)  # noqa: S608
                else:
                    db.execute(f"update {table} set {name}=? where {where}", [empty, *key])  # noqa: S608
            fault.commit(db, "scrubbed")
            rewritten(db)
        except sqlite3.OperationalError as error:
            raise StoreError("database_in_use", path=path.name, why=str(error)) from error
    return len(found)


def in_pages(path: Path, sought: Sought) -> bool:
    """Whether something stands in the raw bytes of a database: pages, free list, log."""
    size = path.stat().st_size
    with path.open("rb") as file:
        for start in range(0, max(size, 1), PAGES):
            file.seek(max(0, start - 4096))
            body = file.read(PAGES + 4096)
            for encoding in ("utf-8", "utf-16-le"):
                text = body.decode(encoding, "replace").replace("\ufffd", " ")
                if holds(sought.traces, [text], "strict").any():
                    return True
    return False


def rewritten(db: sqlite3.Connection) -> None:
    """Write all pages anew and cut the log: what was deleted is in no free page and no frame.

    Raises sqlite3.OperationalError where somebody reads meanwhile.
    """
    fault.point("before vacuum")
    db.execute("vacuum")
    busy = db.execute("pragma wal_checkpoint(truncate)").fetchone()
    if busy is not None and busy[0]:
        raise sqlite3.OperationalError("somebody reads an older state")
    fault.point("after vacuum")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _unique(db: sqlite3.Connection, table: str) -> set[str]:
    """Columns of unique indices: several of them cannot be emptied."""
    found: set[str] = set()
    for index in db.execute(f"pragma index_list({_quoted(table)})").fetchall():
        if index[2]:
            found |= {row[2] for row in db.execute(f"pragma index_info({_quoted(index[1])})") if row[2]}
    return found


def _going(db: sqlite3.Connection, sought: Sought) -> Iterator[tuple[str, str, list[Any], str | None, Any]]:
    """Table, the condition and values of a row, the column (none: the row goes), and what is put into it."""
    tables = db.execute("select name, sql from sqlite_master where type='table' and name not like 'sqlite_%'")
    for table, sql in tables.fetchall():
        about = db.execute(f"pragma table_info({_quoted(table)})").fetchall()
        if not about or "virtual table" in str(sql).lower():
            continue
        keys = [_quoted(row[1]) for row in sorted(about, key=lambda row: row[5]) if row[5]]
        keys = keys if "without rowid" in str(sql).lower() else ["rowid"]
        where = " and ".join(f"{name} is ?" for name in keys)
        columns = [row for row in about if not row[5]]
        names = ", ".join([*keys, *(_quoted(row[1]) for row in columns)])
        unique = _unique(db, table)
        rows = db.execute(f"select {names} from {_quoted(table)}")  # noqa: S608
        while some := rows.fetchmany(ROWS):
            for row in some:
                key, cells = list(row[: len(keys)]), row[len(keys) :]
                for column, cell in zip(columns, cells, strict=True):
                    if _hit(cell, sought):
                        empty: Any = (b"" if isinstance(cell, bytes) else "") if column[3] else None
                        name = None if column[1] in unique else _quoted(column[1])
                        yield _quoted(table), where, key, name, empty


def _hit(cell: Any, sought: Sought) -> bool:
    if isinstance(cell, str):
        gone = bool(sought.goes([cell], made=False)[0])
        return gone or without(cell.encode(), "cell.html", sought, given=False) is not None
    return isinstance(cell, bytes) and without(cell, "cell", sought, given=False) is not None
