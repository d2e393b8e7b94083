"""A database query is right when it gives the same rows as the known one, on every database that there is.

Queries run on SQLite files that cannot be written, with only reading allowed, and within limits.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bapsim.core.errors import RecipeError
from bapsim.core.records import Records, Verdicts
from bapsim.core.turn import Turn
from bapsim.refine.mutation import TEXT_KINDS, Audit
from bapsim.refine.verifying import Asked, audited, judged

REASON = "query_differs"
ROWS, BYTES, TEXT = 100_000, 1 << 26, 1 << 16  # of a result; of one value: more is slow in one call
LONGEST = 10_000  # characters of a query
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_BARRED = {"load_extension", "random", "randomblob", "readfile", "writefile", "edit", "fts3_tokenizer"}
_FENCED = re.compile(r"```(?:sql|sqlite)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)
_ORDERED = re.compile(r"(?is)\border\s+by\b[^()]*\Z")


class Unanswered(ValueError):
    """A query that cannot be run, writes, takes too long or gives too much."""


@dataclass(frozen=True, kw_only=True)
class SameResult:
    """The verifier `same_result`: a query with other rows than the known one's is refused (`query_differs`).

    key: column of the known query; databases: SQLite files; the more and the more different they are, the
    fewer wrong queries agree by chance. The order of rows counts where the known query orders them at its
    end. Silent where there is no known query, it fails, or it finds nothing in any database.
    """

    key: str
    databases: tuple[str, ...]
    seconds: float = 2.0
    verifies: ClassVar[bool] = True

    def accepts(self, asked: Asked, answer: str) -> bool | None:
        """asked: the row with the column `key`, or the known query itself."""
        known = asked.get(self.key) if isinstance(asked, Mapping) else asked
        if not known:
            return None
        found = False
        for path in self.databases:
            try:
                right = rows_of_query(path, str(known), self.seconds)
            except Unanswered:
                return None
            found |= bool(right)
            try:
                said = rows_of_query(path, answer, self.seconds)
            except Unanswered:
                return False
            if not equal_rows(right, said, ordered=_ORDERED.search(str(known)) is not None):
                return False
        return True if found else None

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        seconds = 4 * self.seconds * len(self.databases)
        return judged(records, turn, self.accepts, REASON, seconds=seconds)

    def mutated(self, records: Records, turn: Turn) -> Audit:
        seconds = 4 * self.seconds * len(self.databases)
        return audited(records, turn, self.accepts, kinds=TEXT_KINDS, seconds=seconds)


def same_result(key: str, *databases: str, seconds: float = 2.0) -> SameResult:
    """The verifier `SameResult`; raises RecipeError for a database that is not there."""
    missing = [path for path in databases if not Path(path).is_file()]
    if missing or not databases:
        raise RecipeError("no_database", path=", ".join(missing) or "-")
    return SameResult(key=key, databases=databases, seconds=seconds)


def rows_of_query(path: str, query: str, seconds: float = 2.0) -> list[tuple[Any, ...]]:
    """All rows of one SELECT on a file that is opened for reading; raises Unanswered."""
    if fenced := _FENCED.search(query):
        query = fenced[1]
    if len(query) > LONGEST:
        raise Unanswered("too long")
    address = Path(path).resolve().as_uri() + "?mode=ro"
    base = sqlite3.connect(address, uri=True, isolation_level=None)
    try:
        return _fetched(base, query, time.monotonic() + seconds)
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError) as why:
        raise Unanswered(str(why)) from why
    finally:
        base.close()


def _fetched(base: sqlite3.Connection, query: str, until: float) -> list[tuple[Any, ...]]:
    base.execute("pragma query_only=1")
    base.execute("pragma trusted_schema=0")
    limits = {sqlite3.SQLITE_LIMIT_LENGTH: TEXT, sqlite3.SQLITE_LIMIT_ATTACHED: 0}
    limits |= {sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100, sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50}
    for name, most in limits.items():
        base.setlimit(name, most)
    base.set_authorizer(_authorised)
    base.set_progress_handler(lambda: int(time.monotonic() > until), 1000)
    found: list[tuple[Any, ...]] = []
    size = 0
    for row in base.execute(query):
        size += 64 + sum(len(one) if isinstance(one, str | bytes) else 8 for one in row)
        if len(found) >= ROWS or size > BYTES:
            raise Unanswered("too many rows")
        found.append(row)
    return found


def _authorised(action: int, one: str | None, two: str | None, *where: str | None) -> int:
    barred = action == sqlite3.SQLITE_FUNCTION and (two or "").lower() in _BARRED
    return sqlite3.SQLITE_OK if action in _ALLOWED and not barred else sqlite3.SQLITE_DENY


def equal_rows(right: list[tuple[Any, ...]], said: list[tuple[Any, ...]], *, ordered: bool) -> bool:
    """Whether two results hold the same rows, equally often; 1 is 1.0 and not '1'."""
    return right == said if ordered else Counter(right) == Counter(said)
