"""What lacks becomes an order, a source fills it, a certificate goes with it, another project takes it in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

pytest.importorskip("httpx")

from bapsim.core.errors import InputError
from bapsim.core.records import Draft, Rows
from bapsim.core.turn import Turn
from bapsim.gather.delivered import CERTIFICATE, delivered
from bapsim.gather.endpoint import Price, endpoint
from bapsim.gather.few_shot import few_shot
from bapsim.gather.masked import masked
from bapsim.gather.to_order import to_order
from bapsim.mods import money
from bapsim.ship.release import Wanted
from bapsim.store.order_file import read_order, write_order
from bapsim.store.project import opened
from bapsim.store.sealing import is_sound, public_key
from bapsim.wheel.audit import check
from bapsim.wheel.exporting import export
from bapsim.wheel.ordering import order
from bapsim.wheel.permits import asks_outside
from bapsim.wheel.preview import preview
from tests.faulty import Proxy
from tests.wheel.world import Vouches, bank, founded, origin, sentence, turns

RARE = "login"
PRICE = Price(reads=money("1,000 KRW"), writes=money("4,000 KRW"))


@dataclass(frozen=True)
class Uneven:
    """A bank whose customers seldom ask about logins; those of the south are answered with noise."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == 1:
            said = [(i, *sentence(i)) for i in range(400)]
            rows = [one for one in said if one[2] != RARE or one[0] % 6 == 0]
            names = ["card", "loan", "transfer"]
            south = [one[0] % 3 == 0 and one[2] != RARE for one in rows]
            labels = [names[one[0] // 3 % 3] if bad else one[2] for one, bad in zip(rows, south, strict=True)]
            batch = pa.record_batch(
                {
                    "text": pa.array([one[1] for one in rows]),
                    "intent": pa.array(labels),
                    "region": pa.array(["south" if bad else "north" for bad in south]),
                }
            )
            yield Draft(rows=Rows(batch), origin=origin("file"))


def recipe(**changes: Any) -> Any:
    task = replace(bank().task, slices=("region",))
    return replace(
        bank(sources={"history": Uneven()}, task=task, checks={}), groups={"region": "region"}, **changes
    )


def reply(body: Any) -> str:
    said = str(body["messages"][-1]["content"])
    return json.dumps({"text": f"{said[::-1][:40]} {body.get('seed', '')} {len(said)}"})


def test_what_lacks_is_ordered_filled_certified_and_taken_in_elsewhere(tmp_path: Path) -> None:
    root = founded(tmp_path / "bank")
    with opened(root) as project, pytest.raises(InputError, match="No turn has ended"):
        order(project, recipe())
    turns(root, recipe(), 1)
    with opened(root) as project:
        found = order(project, recipe())
        write_order(root / "inbox" / "order.json", found)
    lines = {line.name: line for line in found.lines}
    rare = lines[f"class: {RARE}"]
    assert rare.why == "few"
    assert rare.have < 20 < rare.rows
    south = lines["region: south"]
    assert south.why == "behind"
    assert south.high < south.others
    assert len(south.examples) == min(south.have, 200)
    assert any(line.kind == "errors" for line in found.lines)
    whole = read_order(root / "inbox" / "order.json")
    assert [line.name for line in whole.lines] == list(lines)

    small = replace(found, lines=tuple(replace(line, rows=4) for line in found.lines))
    write_order(root / "inbox" / "order.json", small)
    with Proxy("", reply=reply, faults=["ok"] * 5 + ["no_schema"]) as proxy:
        by = endpoint(proxy.address, model="large", backoff=0.01, price=PRICE)
        filling = recipe(checks={"vouches": Vouches()})
        filling = replace(filling, sources={**filling.sources, "made": masked(to_order("order.json", by=by))})
        with opened(root) as project:
            assert preview(project, filling)["sources"]["made"]["requests"] == 4 * len(lines)
        turns(root, filling, 2)
        turns(root, filling, 3)
    out = tmp_path / "out"
    with opened(root) as project:
        export(project, filling, Wanted(source="made"), out)
        with pytest.raises(InputError, match="nobody"):
            export(project, filling, Wanted(source="nobody"), tmp_path / "none")
    said = json.loads((out / CERTIFICATE).read_text())
    assert is_sound(said)
    body = said["body"]
    assert body["brought"] == body["rows"] + sum(body["refused"].values())
    assert {one["by"] for one in body["makers"]} == {"large"}
    assert all(one["method"].startswith("to_order:") for one in body["makers"])
    assert body["depth"] == {"input": 1, "target": 1}
    assert body["order"]["digest"] == read_order(root / "inbox" / "order.json").digest
    assert [one["ordered"] for one in body["order"]["lines"]] == [4] * len(lines)
    assert sum(one["delivered"] for one in body["order"]["lines"]) == body["rows"] > 4
    assert body["parents"]["rows"] == body["rows"]
    assert body["costs"]["KRW"] > 0
    assert body["requests"] >= 4 * len(lines)
    assert [(one["name"], one["kept"]) for one in body["verifiers"]] == [("vouches", body["brought"])]
    assert 0 <= body["closeness"]["low"] <= body["closeness"]["copies"] <= body["closeness"]["high"] <= 1
    assert str(said["public_key"]) == public_key(root / "people")

    other = founded(tmp_path / "other")
    shutil.copytree(out, other / "inbox" / "vendor")
    takes = recipe()
    source = delivered("vendor", signer=said["public_key"])
    takes = replace(takes, sources={**takes.sources, "vendor": source})
    done = turns(other, takes, 1)[0]
    row = next(one for one in done["sources"] if one["name"] == "vendor")
    assert row["made"]["machine"] == body["rows"]
    assert row["refused"] == {"unverified": body["rows"]}
    with opened(other) as project:
        assert check(project, takes)["ok"]


def test_what_wraps_a_source_hides_neither_its_purpose_nor_whom_it_asks() -> None:
    source = masked(few_shot("card", by=endpoint("https://api.example.com/v1", model="m")))
    assert asks_outside(source)
    assert not asks_outside(masked(few_shot("card", by=endpoint("http://localhost:1/v1", model="m"))))
