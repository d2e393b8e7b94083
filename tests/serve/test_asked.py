"""Rows that a few passes find sound are those that looking at each value finds sound."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.records import Task
from bapsim.serve.asked import Columns, _checked, _sound, rows_asked
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
