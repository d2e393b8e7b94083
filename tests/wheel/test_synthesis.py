"""Language models as sources of a wheel: what is asked, paid, kept back, erased, and found again after a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")

from bapsim.gather.endpoint import Endpoint, Price, endpoint
from bapsim.gather.rephrase import rephrase
from bapsim.mods import money
from bapsim.store.machine_tape import FILE, MachineTape
from bapsim.store.project import opened
from bapsim.wheel.audit import check
from bapsim.wheel.costs import costs_by_source
from bapsim.wheel.preview import preview
from tests.faulty import Proxy
from tests.wheel.world import Letters, Vouches, bank, differences, founded, killed_run, state_of, turns

PRICE = Price(reads=money("1,000 KRW"), writes=money("4,000 KRW"))


def reply(body: Mapping[str, Any]) -> str:
    """Another text for each prompt, the same one for the same prompt."""
    said = str(body["messages"][-1]["content"]).split("text:\n")[-1]
    return json.dumps({"text": f"다시 말해 {said[::-1]}"})


def to(address: str, **how: Any) -> Endpoint:
    return endpoint(address, model="writer", backoff=0.01, price=PRICE, **how)


def recipe(address: str, **how: Any) -> Any:
    sources = {
        "letters": Letters((tuple(range(3000, 3060)), tuple(range(3060, 3070)))),
        "variants": rephrase("letters", by=to(address, **how), share=0.5),
    }
    return bank(sources={**bank().sources, **sources}, checks={**bank().checks, "vouches": Vouches()})


def test_a_turn_asks_once_pays_into_the_ledger_and_counts_all(tmp_path: Path) -> None:
    root = founded(tmp_path / "bank")
    with Proxy("", reply=reply, faults=["ok"] * 5 + ["no_schema"]) as proxy:
        turns(root, recipe(proxy.address), 2)
        asked = len(proxy.bodies)
        turns(root, recipe(proxy.address), 3)
        later = len(proxy.bodies) - asked
        with opened(root) as project:
            said = preview(project, recipe(proxy.address))["sources"]["variants"]
    assert 20 <= asked <= 40
    assert 1 <= later <= 9, "what came in the second turn"
    everything = json.dumps(proxy.bodies, ensure_ascii=False)
    assert "naver.com" not in everything
    assert "010-1234" not in everything
    assert said["requests"] == said["taped"] == asked + later
    assert (said["doubtful"], said["tokens"], said["money"]) == (0, 0, "0 KRW")
    with opened(root) as project:
        costs = costs_by_source(project.ledger, {"variants"})["variants"]
        tape = MachineTape(project.wheel / FILE, "variants")
        spent = tape.spent()["KRW"]
        tape.close()
        assert costs == {"KRW": -(-spent.paid // 1_000_000)}
        rows = project.ledger.rows("select reason, count(*) n from unread where source='variants' group by 1")
        assert [(r["reason"], r["n"]) for r in rows] == [("not_json", 1)]
        brought = sum(
            r["fresh"] for r in project.ledger.rows("select fresh from batch where source='variants'")
        )
        assert brought + 1 == asked + later
        assert check(project, recipe(proxy.address))["ok"]


def test_a_killed_turn_asks_for_nothing_twice_and_ends_as_it_would_have(tmp_path: Path) -> None:
    with Proxy("", reply=reply) as proxy:
        whole = founded(tmp_path / "whole")
        turns(whole, recipe(proxy.address, concurrency=3), 2)
        once = dict(proxy.asked)
        names = _points(tmp_path / "log", proxy.address)
        first = names.index("before commit machine answers and intents") + 1
        for k, at in enumerate((first, first + 7)):
            proxy.asked.clear()
            root = founded(tmp_path / f"killed{k}")
            assert killed_run(root, recipe(proxy.address, concurrency=3), 2, at)
            tape = MachineTape(root / "wheel" / FILE)
            doubts = len(tape.in_doubt())
            tape.close()
            assert doubts <= 3
            assert not killed_run(root, recipe(proxy.address, concurrency=3), 2, None)
            assert proxy.asked.keys() == once.keys()
            assert sum(proxy.asked.values()) <= sum(once.values()) + doubts
            left, right = (_without_machine(state_of(one)) for one in (whole, root))
            assert left == right, differences(left, right)


def _points(log: Path, address: str) -> list[str]:
    root = founded(log.parent / "counted")
    os.environ["BAPSIM_FAULT_LOG"] = str(log)
    try:
        assert not killed_run(root, recipe(address, concurrency=3), 2, None)
    finally:
        del os.environ["BAPSIM_FAULT_LOG"]
    return log.read_text().splitlines()


def _without_machine(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if FILE not in name}
