"""Rows that a few passes find sound are those that looking at each value finds sound."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.client import _json
from bapsim.core.records import Task
from bapsim.gather.types import arrow_type
from bapsim.serve.asked import Columns, _checked, _sound, batch, rows_asked
from bapsim.serve.openapi import _word
from bapsim.serve.refused import Limits, Refused

said = st.text(max_size=6) | st.sampled_from(
    ["", " ", "\u3000", "\ud83d", "\udc4d", "카드", "a" * 9, None, 1, True]
)
LIMITS = Limits(text=8)


def looked_at(rows: list[dict[str, Any]], task: Task) -> Columns | Refused:
    try:
        return _checked(rows, task, {}, LIMITS, many=True)
    except Refused as why:
        return why


@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), said), min_size=1, max_size=4), st.booleans()
)
def test_both_ways_agree(rows: list[dict[str, Any]], pair: bool) -> None:
    task = Task(input=("a", "b") if pair else "a", target="t")
    quick, slow = _sound(rows, task, {}, LIMITS), looked_at(rows, task)
    assert quick is None or quick == slow
    try:
        asked: Columns | Refused = rows_asked({"rows": rows}, task, {}, LIMITS).columns
    except Refused as why:
        asked = why
    if isinstance(slow, Refused):
        assert isinstance(asked, Refused)
        assert (asked.key, asked.where) == (slow.key, slow.where)
    else:
        assert asked == slow


TABLE = Task(input=("a", "b"), target="t", kind="table")
KINDS = {
    "integer": ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"],
    "number": ["halffloat", "float", "double", "float64"],
}


def asked(kind: str, value: Any) -> Any:
    types = {"a": kind, "b": "bool"}
    columns = rows_asked({"a": value, "b": True}, TABLE, types, Limits()).columns
    rows = batch([columns], TABLE, types)
    assert rows.column("a").type == arrow_type(kind)
    return rows.column("a").to_pylist()[0]


@pytest.mark.parametrize("kind", [one for some in KINDS.values() for one in some])
def test_numbers_of_every_width(kind: str) -> None:
    word = _word(kind)
    assert kind in KINDS[word]
    assert asked(kind, 3.0) == asked(kind, 3) == 3
    assert asked(kind, None) is None
    for value, key in [
        ("inf", "value_kind"),
        ("3", "value_kind"),
        (True, "value_kind"),
        (10**400, "number_"),
    ]:
        with pytest.raises(Refused) as why:
            asked(kind, value)
        assert why.value.key.startswith(f"refused_{key}")
    if word == "integer":
        most = 2 ** (arrow_type(kind).bit_width - (kind[0] == "i")) - 1
        assert asked(kind, most) == most
        with pytest.raises(Refused, match="out of the range"):
            asked(kind, most + 1)
        with pytest.raises(Refused) as fraction:
            asked(kind, 2.5)
        assert "fraction" in fraction.value.say()
        assert "null" in fraction.value.say()
    elif kind != "float64":
        assert asked(kind, 0.5) == 0.5


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("timestamp[us]", "2026-03-12T09:30:00,"),
        ("timestamp[us, tz=UTC]", "2026-03-12T09:30:00+09:00"),
        ("date32[day]", "2026-03-12,"),
        ("time64[us]", "09:30:00"),
    ],
)
def test_times_are_said_in_plain_words(kind: str, how: str) -> None:
    with pytest.raises(Refused) as why:
        asked(kind, "yesterday")
    for lang in ("en", "ko"):
        assert how.rstrip(",") in why.value.say(lang)
        assert "null" in why.value.say(lang)
        assert kind not in why.value.say(lang)
    assert asked(kind, how.rstrip(",")) is not None


def test_the_client_sends_times_as_text() -> None:
    (row,) = pa.table(
        {"a b": [datetime.fromisoformat("2026-03-12T09:30:00")], "date": [date(2026, 3, 12)]}
    ).to_pylist()
    assert _json(row)["content"] == b'{"a b": "2026-03-12T09:30:00", "date": "2026-03-12"}'
    with pytest.raises(TypeError, match="object"):
        _json({"a": object()})
