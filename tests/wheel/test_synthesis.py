"""Language models as sources of a wheel: what is asked, paid, kept back, erased, found after a kill."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")

from bapsim.gather.endpoint import Endpoint, Price, endpoint
from bapsim.gather.people import people
from bapsim.gather.rephrase import rephrase
from bapsim.mods import money
from bapsim.store.machine_tape import FILE, MachineTape
from bapsim.store.project import opened
from bapsim.wheel.audit import check
from bapsim.wheel.costs import costs_by_source
from bapsim.wheel.preview import preview
from bapsim.wheel.turn import run_turn
from bapsim.wheel.withdrawing import withdraw
from tests.faulty import Proxy
from tests.wheel.test_permits import CONSENT, GRANTED, given, on
from tests.wheel.test_permits import recipe as permitted
from tests.wheel.world import (
    History,
    Letters,
    Vouches,
    bank,
    differences,
    founded,
    killed_run,
    sentence,
    state_of,
    turns,
)

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


def test_a_killed_turn_asks_for_nothing_twice_and_ends_as_it_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy("", reply=reply) as proxy:
        whole, root = founded(tmp_path / "whole"), founded(tmp_path / "killed")
        monkeypatch.setenv("BAPSIM_FAULT_LOG", str(tmp_path / "log"))
        assert not killed_run(whole, recipe(proxy.address, concurrency=3), 2, None)
        monkeypatch.delenv("BAPSIM_FAULT_LOG")
        once = dict(proxy.asked)
        names = (tmp_path / "log").read_text().splitlines()
        proxy.asked.clear()
        at = names.index("before commit machine answers and intents") + 8
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


def _without_machine(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if FILE not in name}


def of_experts(by: Endpoint) -> Any:
    """Experts under consents of their own, each allowed something else."""
    variants = {"history": History(60, 0), "experts": people(), "variants": rephrase("experts", by=by)}
    checks = {**bank().checks, "vouches": Vouches()}
    return permitted(sources=variants, checks=checks)


def test_what_may_not_be_used_so_is_not_asked_with_and_goes_with_its_consent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, "2026-12-25")
    root = founded(tmp_path / "p")
    allowed = {"scope": GRANTED | {"third_party"}}
    given(root, "a", allowed, range(5000, 5006))
    given(root, "b", {"never_synthesise": True}, range(5100, 5106))
    given(root, "c", {}, range(5200, 5206))
    with Proxy("", reply=reply) as proxy, opened(root) as project:
        ours = of_experts(to(proxy.address))
        run_turn(project, ours)
        run_turn(project, ours)
        assert set(_about(proxy)) == {50, 52}, "nothing is made of what may not be"
        outside = of_experts(_Outside(proxy.address, model="other", price=PRICE))
        first = sum(one == 50 for one in _about(proxy))
        proxy.bodies.clear()
        run_turn(project, outside)
        assert set(_about(proxy)) == {50}, "only what may go to others goes out of the house"
        before = MachineTape(project.wheel / FILE).counts()["answered"]
        report = withdraw(project, outside, CONSENT.format("a" * 12))
        tape = MachineTape(project.wheel / FILE)
        counts = tape.counts()
        tape.close()
        gone = first + len(proxy.bodies)
        assert counts["erased"] == gone
        assert counts["answered"] == before - gone
        assert report["body"]["dialogues"] == gone
        for path in root.glob("wheel/machine.sqlite*"):
            body = path.read_bytes()
            assert not any(sentence(i)[0].encode() in body for i in range(5000, 5006))
        assert check(project, outside)["ok"]


class _Outside(Endpoint):
    """An endpoint of this machine that counts as somebody else's."""

    outside = True  # type: ignore[assignment]


def _about(proxy: Proxy) -> list[int]:
    """The hundreds of the sentences that were asked with."""
    said: list[Any] = proxy.bodies
    return [int(one["messages"][-1]["content"].split()[-1]) // 100 for one in said]
