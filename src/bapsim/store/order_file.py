"""An order for data as a file: what is missing, in lines, for people, vendors and machines to fill.

It names classes, groups and words, and people's rows by their ids alone: no text leaves with it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from bapsim.core.errors import InputError
from bapsim.core.fingerprint import digest
from bapsim.store import fault

FORM = "bapsim order 1"
LARGEST = 16 << 20  # bytes of a file
MOST = 1_000_000  # rows of a line

Kind = Literal["class", "errors", "group"]
Why = Literal["few", "weak", "confused", "behind"]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing to order.

    name: its own within an order; column: of a group, else None; value: the class, the words of a cluster,
    or the group's value; have: people's rows of it; rows: how many more; score with its 95 % limits: the
    share of them that was right out of fold (nan: not known), beside `others`, of all rows; examples: ids of
    people's rows that it is about (none: all of the class).
    """

    kind: Kind
    why: Why
    value: str
    have: int
    rows: int
    column: str | None = None
    score: float = math.nan
    low: float = math.nan
    high: float = math.nan
    others: float = math.nan
    examples: tuple[bytes, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.column or self.kind}: {self.value}"


@dataclass(frozen=True, kw_only=True)
class Order:
    """Lines of one project after one turn; digest: 16 hex digits of the file."""

    project: str
    turn: int
    target: str
    lines: tuple[Line, ...]
    digest: str = ""


def write_order(path: Path, order: Order) -> str:
    """Write an order as JSON; returns its digest. The same order gives the same bytes."""
    lines = [
        {"name": one.name, **{key: _plain(value) for key, value in vars(one).items()}} for one in order.lines
    ]
    about = {"project": order.project, "turn": order.turn, "target": order.target}
    said = {"form": FORM, **about, "lines": lines}
    body = (json.dumps(said, ensure_ascii=False, indent=1) + "\n").encode()
    fault.write(path, body)
    return digest(body)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return [one.hex() for one in value] if isinstance(value, tuple) else value


def read_order(path: Path) -> Order:
    """An order as it was written, by this program or by hand; raises InputError with what is wrong in it."""
    try:
        if path.stat().st_size > LARGEST:
            raise InputError("order_unreadable", path=path.name, what="size")
        body = path.read_bytes()
        said = json.loads(body)
    except (OSError, ValueError, RecursionError) as why:
        raise InputError("order_unreadable", path=path.name, what=type(why).__name__) from why
    if not isinstance(said, dict) or said.get("form") != FORM or not isinstance(said.get("lines"), list):
        raise InputError("order_unreadable", path=path.name, what="form")
    lines = tuple(_line(path, n, one) for n, one in enumerate(said["lines"], 1))
    names = [one.name for one in lines]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError("order_unreadable", path=path.name, what=twice)
    return Order(
        project=str(said.get("project", "")),
        turn=_count(said.get("turn", 0)) or 0,
        target=str(said.get("target", "")),
        lines=lines,
        digest=digest(body),
    )


def _line(path: Path, n: int, said: Any) -> Line:
    """A line; only what it is about and how many rows must be there, for people write orders as well."""
    try:
        kind, value, rows = said["kind"], said["value"], _count(said["rows"])
        column = said.get("column")
        examples = tuple(bytes.fromhex(one) for one in said.get("examples") or ())
        good = kind in get_args(Kind) and isinstance(value, str) and bool(value.strip()) and rows is not None
        good &= (isinstance(column, str) and bool(column)) == (kind == "group")
        good &= kind == "class" or bool(examples)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError("order_line", path=path.name, line=n) from error
    if not good:
        raise InputError("order_line", path=path.name, line=n)
    why: Why = said["why"] if said.get("why") in get_args(Why) else "few"
    shares = {key: _share(said.get(key)) for key in ("score", "low", "high", "others")}
    have = _count(said.get("have", 0)) or 0
    return Line(
        kind=kind, why=why, value=value, have=have, rows=rows or 0, column=column, examples=examples, **shares
    )


def _count(said: Any) -> int | None:
    return said if isinstance(said, int) and not isinstance(said, bool) and 0 <= said <= MOST else None


def _share(said: Any) -> float:
    return float(said) if isinstance(said, (int, float)) and 0 <= said <= 1 else math.nan
