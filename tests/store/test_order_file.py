"""Orders as files: what is written is read again, and what is no order is refused with what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.errors import InputError
from bapsim.store.order_file import FORM, Line, Order, read_order, write_order

SHARES = st.floats(0, 1).map(lambda x: round(x, 4)) | st.just(float("nan"))
LINES = st.builds(
    Line,
    kind=st.just("group"),
    why=st.sampled_from(["few", "weak", "confused", "behind"]),
    value=st.text(min_size=1).filter(lambda t: t.strip() and t.isprintable()),
    column=st.sampled_from(["지역", "age"]),
    have=st.integers(0, 10**6),
    rows=st.integers(0, 10**6),
    score=SHARES,
    low=SHARES,
    examples=st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=3).map(tuple),
)


@settings(max_examples=60)
@given(st.lists(LINES, max_size=4, unique_by=lambda one: one.name))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, lines: list[Line]) -> None:
    path = tmp_path_factory.mktemp("orders") / "order.json"
    whole = Order(project="p", turn=3, target="intent", lines=tuple(lines))
    digest = write_order(path, whole)
    assert repr(read_order(path)) == repr(replace(whole, digest=digest)), "nan is not equal to itself"
    assert write_order(path, whole) == digest


def line(**changes: Any) -> dict[str, Any]:
    return {"kind": "class", "value": "card", "rows": 300, **changes}


def test_people_write_orders_as_well(tmp_path: Path) -> None:
    path = tmp_path / "order.json"
    path.write_text(json.dumps({"form": FORM, "lines": [line()]}))
    (one,) = read_order(path).lines
    assert (one.name, one.rows, one.have, one.why) == ("class: card", 300, 0, "few")


@pytest.mark.parametrize(
    "bad",
    [
        line(kind="cat"),
        line(value=""),
        line(value=3),
        line(rows=-1),
        line(rows=True),
        line(rows=10**9),
        line(rows=None),
        line(column="region"),
        line(kind="group"),
        line(kind="group", column="region"),
        line(kind="errors"),
        line(kind="errors", examples=["zz"]),
        line(kind="errors", examples=3),
        {"kind": "class"},
        7,
    ],
)
def test_a_line_that_cannot_be_filled_is_named(tmp_path: Path, bad: Any) -> None:
    path = tmp_path / "order.json"
    path.write_text(json.dumps({"form": FORM, "lines": [line(), bad]}))
    with pytest.raises(InputError, match=r"Line 2 of the order order\.json"):
        read_order(path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"form": "bapsim order 1", "lines": 3}', "[" * 100_000, "\x00", "{" * 9]
)
def test_a_file_that_is_no_order(tmp_path: Path, text: str) -> None:
    path = tmp_path / "order.json"
    path.write_text(text)
    with pytest.raises(InputError, match="is no order"):
        read_order(path)
    with pytest.raises(InputError, match="is no order"):
        read_order(tmp_path / "none.json")


def test_two_lines_of_one_name_and_a_file_too_large(tmp_path: Path) -> None:
    path = tmp_path / "order.json"
    path.write_text(json.dumps({"form": FORM, "lines": [line(), line(rows=2)]}))
    with pytest.raises(InputError, match="class: card"):
        read_order(path)
    with path.open("wb") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(InputError, match="is no order"):
        read_order(path)
