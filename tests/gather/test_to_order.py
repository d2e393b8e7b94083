"""An order filled by a writer line by line, and by a generator; what was delivered is not ordered again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")

from bapsim.core.errors import InputError, RecipeError
from bapsim.core.turn import Turn
from bapsim.gather.to_order import to_order
from bapsim.store.order_file import Line, Order, write_order
from tests.faulty import Proxy
from tests.gather.test_drawn import people as drawn_people
from tests.gather.test_drawn import turn as drawing
from tests.gather.test_writing import INTENT, ROWS, people, seen, to, user


def ordered(place: Path, *lines: Line) -> Path:
    write_order(place / "order.json", Order(project="p", turn=1, target="intent", lines=lines))
    return place


def asked(turn: Turn, place: Path) -> Turn:
    return replace(turn, inbox=place)


def line(value: str, rows: int, **how: Any) -> Line:
    return Line(**{"kind": "class", "why": "few", "value": value, "have": 1, "rows": rows, **how})


def echo(body: Mapping[str, Any]) -> str:
    return json.dumps({"text": f"new {hash(user(body))} {body.get('seed')}"})


def test_each_line_is_written_after_its_own_examples(tmp_path: Path) -> None:
    records = people()
    ids: list[Any] = records.column("_id").to_pylist()
    cluster = line("card did", 4, kind="errors", why="confused", examples=(ids[1], ids[3]))
    nobody = line("loans", 9)
    with Proxy("", reply=echo) as proxy:
        source = to_order("order.json", by=to(proxy), shots=2)
        turn = asked(seen(None, INTENT, records), ordered(tmp_path, line("card", 3), cluster, nobody))
        (draft,) = source(turn)
        assert source.preview(turn) is not None
    assert [key.rsplit(":", 1)[0] for key in draft.keys or ()] == ["class: card"] * 3 + [
        "errors: card did"
    ] * 4
    labels = draft.rows.column("intent").to_pylist()
    assert labels[:3] == ["card"] * 3
    assert set(labels[3:]) == {"card", "loan"}, "of the class of the example that was drawn first"
    assert draft.parents is not None
    mums = draft.parents.ids.to_pylist()
    assert all(len(one) == 2 for one in mums[:3])
    assert all(set(one) <= {ids[1], ids[3]} and len(one) == 1 for one in mums[3:]), "of one class each"
    assert "010-1234" not in json.dumps(proxy.bodies, ensure_ascii=False)
    assert len(ROWS) == 5


def test_no_rows_no_people_no_order(tmp_path: Path) -> None:
    with Proxy("", reply=echo) as proxy:
        source = to_order("order.json", by=to(proxy))
        assert list(source(asked(seen(None, INTENT), ordered(tmp_path, line("card", 3))))) == []
        assert list(source(asked(seen(None, INTENT, people()), ordered(tmp_path, line("card", 0))))) == []
        (tmp_path / "order.json").write_text("no")
        with pytest.raises(InputError, match="is no order"):
            list(source(asked(seen(None, INTENT, people()), tmp_path)))
        with pytest.raises(RecipeError):
            to_order("order.json", by=to(proxy), shots=0)


def test_a_generator_fills_the_lines_of_classes(tmp_path: Path) -> None:
    place = ordered(
        tmp_path, line("rare", 7), line("rare", 3, kind="group", column="c", examples=(bytes(16),))
    )
    now = replace(drawing(drawn_people()), inbox=place)
    (draft,) = to_order("order.json", by="drawer")(now)
    assert draft.rows.column("label").to_pylist() == ["rare"] * 7
    assert draft.origin.method.startswith("drawn:drawer:")
