"""Releases: one file that all processes agree on; a switch loses no request; what is bad goes by itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import BapsimError
from bapsim.serve import release
from bapsim.serve.lineup import draws_canary
from bapsim.store.project import opened
from bapsim.wheel.using import use
from tests.serve.world import Running, add_model, copied, serving, until


@pytest.fixture
def root(text: Path, tmp_path: Path) -> Path:
    return copied(text, tmp_path / "text")


def test_the_release_file(root: Path) -> None:
    add_model(root, "next")
    assert release.serving(root, release.read(root)) == "t001-people"
    first = release.change(root, "canary", "next", "to try", share=0.2)
    assert (first.n, first.canary, first.share, first.serves) == (1, "next", 0.2, None)
    second = release.change(root, "promote", None, "it is good")
    assert (second.n, second.canary, second.serves) == (2, None, "next")
    assert second.history[-1].version == "next"
    third = release.change(root, "rollback", None, "it is not")
    assert (third.serves, third.history[-1].version) == ("t001-people", "next")
    assert release.change(root, "rollback", "next", "again").n == 3, "what runs no more"
    with pytest.raises(BapsimError, match="No other model served before"):
        release.change(root, "rollback", None, "further")
    assert release.change(root, "shadow", "next", "to see").shadow == "next"
    assert release.change(root, "rollback", "next", "it fails").shadow is None
    assert release.change(root, "shadow", "next", "to see").shadow == "next"
    now = release.change(root, "switch", "next", "it is better")
    assert (now.serves, now.shadow) == ("next", None), "no shadow of itself"
    assert release.change(root, "switch", None, "follow the ledger").serves is None
    assert release.read(root).n == 8
    for version in ("next", "t001-people"):
        release.change(root, "switch", version, "by hand")
    assert release.change(root, "rollback", None, "back").serves == "next", "rolled back once, chosen since"
    release.change(root, "promote", "t001-people", "as the ledger says")
    said = json.loads((root / "service" / "release.json").read_text("utf-8"))
    assert set(said) == {"n", "serves", "shadow", "canary", "share", "history"}
    assert set(said["history"][0]) == {"at", "what", "version", "reason"}


@pytest.mark.parametrize(
    ("what", "version", "fields"),
    [
        ("switch", "gone", {}),
        ("shadow", "../../wheel", {}),
        ("canary", "other", {"share": 1.0}),
        ("canary", "other", {"share": float("nan")}),
        ("shadow", "t001-people", {}),
        ("sing", None, {}),
    ],
)
def test_what_cannot_be_changed_changes_nothing(
    root: Path, what: Any, version: str | None, fields: Any
) -> None:
    add_model(root, "other")
    with pytest.raises(BapsimError):
        release.change(root, what, version, "why", **fields)
    with pytest.raises(BapsimError):
        release.change(root, "shadow", None, "  ")
    assert release.read(root) == release.Release()


def test_many_processes_change_it_one_after_another(root: Path) -> None:
    add_model(root, "next")

    def change(k: int) -> None:
        for i in range(10):
            release.change(root, "shadow", "next", f"{k}-{i}")

    threads = [threading.Thread(target=change, args=(k,)) for k in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    found = release.read(root)
    assert found.n == 40
    assert len({one.reason for one in found.history}) == 40


@given(st.text(max_size=20), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_client_stays_in_a_share_that_grows(client: str, a: float, b: float) -> None:
    key, low, high = b"k" * 32, min(a, b), max(a, b)
    assert draws_canary(key, "v", low, client) <= draws_canary(key, "v", high, client)


def test_the_share_is_the_share() -> None:
    drawn = sum(draws_canary(b"k" * 32, "v", 0.1, f"client {i}") for i in range(20_000))
    assert 1850 < drawn < 2150


@pytest.fixture(scope="module")
def running(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = copied(text, tmp_path_factory.mktemp("served") / "text")
    for version, trouble in {
        "same": {},
        "raising": {"raises": True},
        "slow": {"seconds": 0.08},
        "late": {"raises": True, "after": 30},
        "broken": {"broken": True},
    }.items():
        add_model(root, version, **trouble)
    with serving(root) as found:
        yield found


def roles(running: Running) -> dict[str, Any]:
    said = running.http.get("/metrics").text.splitlines()
    return {
        line.split('role="')[1].split('"')[0]: line.split('model="')[1].split('"')[0]
        for line in said
        if line.startswith("bapsim_release{") and line.endswith(" 1.0")
    }


def load(running: Running, enough: Any, clients: int = 4) -> list[dict[str, Any]]:
    """Clients that ask until `enough()`, hundreds of times a second; each of their requests has to be
    answered.
    """
    found: list[dict[str, Any]] = []
    failed: list[str] = []
    ending = threading.Event()

    def ask(k: int) -> None:
        with httpx.Client(base_url=running.url, timeout=30, verify=False) as http:
            i = 0
            while not ending.wait(0.005):
                i += 1
                got = http.post("/predict", json={"text": "카드 분실"}, headers={"x-client": f"{k}-{i}"})
                if got.status_code != 200:
                    failed.append(got.text)
                else:
                    found.append(got.json())

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(clients)]
    for one in threads:
        one.start()
    try:
        until(enough, bool)
    finally:
        ending.set()
        for one in threads:
            one.join()
    assert not failed, failed[:3]
    return found


def test_a_switch_under_load_loses_nothing(running: Running) -> None:
    state = {"i": 0}
    order = ["same", "t001-people"]

    def step() -> bool:
        if state["i"] == len(order):
            return True
        wanted = order[state["i"]]
        now = running.http.get("/health").json()["serves"]
        if now == wanted:
            state["i"] += 1
        elif state.get("asked") != state["i"]:
            state["asked"] = state["i"]
            release.change(running.root, "switch", wanted, "to and fro")
        return False

    found = load(running, step)
    assert {one["model"] for one in found} == {"same", "t001-people"}
    assert {one["prediction"] for one in found} == {"card"}
    assert len({one["request"] for one in found}) == len(found)


def test_a_shadow_is_logged_and_not_shown(running: Running) -> None:
    release.change(running.root, "shadow", "same", "to compare")
    until(lambda: roles(running).get("shadow"), lambda who: who == "same")
    one = running.predict(text="대출 이자")
    assert one["model"] == "t001-people"
    lines = running.logged(lambda log: any(line["request"] == one["request"] for line in log))
    (line,) = [line for line in lines if line["request"] == one["request"]]
    assert line["shadow"] == {"model": "same", "prediction": "loan", "confidence": one["confidence"]}
    facts = running.http.get("/status").json()
    assert facts["agreement"][0]["share"] == 1.0
    release.change(running.root, "shadow", None, "seen")
    until(lambda: roles(running).get("shadow"), lambda who: who is None)


def test_a_canary_answers_its_clients(running: Running) -> None:
    release.change(running.root, "canary", "same", "to try", share=0.5)
    until(lambda: roles(running).get("canary"), lambda who: who == "same")
    by_client: dict[str, set[str]] = {}
    for i in range(60):
        client = f"client {i % 20}"
        row = {"text": "카드 분실", "key": client}
        by_client.setdefault(client, set()).add(running.predict(**row)["model"])
    assert all(len(models) == 1 for models in by_client.values()), "sticky"
    assert set.union(*by_client.values()) == {"same", "t001-people"}
    lines = running.logged(lambda log: sum("canary" in line for line in log) >= 3)
    assert {line["model"] for line in lines if line.get("canary")} == {"same"}
    release.change(running.root, "rollback", "same", "enough")
    until(lambda: roles(running).get("canary"), lambda who: who is None)


@pytest.mark.parametrize(("version", "why"), [("raising", "errors:"), ("slow", "latency:")])
def test_a_bad_canary_is_rolled_back_and_costs_no_answer(running: Running, version: str, why: str) -> None:
    for _ in range(120):
        running.predict(text="계좌 이체")  # what is usual
    release.change(running.root, "canary", version, "to try", share=0.5)
    found = load(running, lambda: release.read(running.root).canary is None, clients=2)
    last = release.read(running.root).history[-1]
    assert (last.what, last.version) == ("rollback", version)
    assert last.reason.startswith(f"automatic: {why}")
    assert {one["prediction"] for one in found} == {"card"}
    health = running.http.get("/health").json()
    assert not health["ok"]
    assert why in health["warnings"][version]
    assert why in running.http.get("/").text


def test_a_sound_canary_stays_whatever_is_asked_of_it(running: Running) -> None:
    for _ in range(120):
        running.predict(text="계좌 이체")
    release.change(running.root, "canary", "same", "to try", share=0.99)
    until(lambda: roles(running).get("canary"), lambda who: who == "same")
    long = " ".join(f"단어{i}" for i in range(2900))
    assert 19_000 < len(long) < 20_000
    said = [running.predict(text=long, key=f"c{i}")["model"] for i in range(50)]  # slow, and so is the other
    assert said.count("same") > 40
    rows = {"rows": [{"text": long}] * 2}
    got = [running.http.post("/predict", json=rows, headers={"x-client": f"d{i}"}).json() for i in range(5)]
    assert {row["model"] for one in got for row in one["answers"]} == {"t001-people"}, "large: not tried"
    assert release.read(running.root).canary == "same", release.read(running.root).history[-1]
    release.change(running.root, "rollback", "same", "enough")
    until(lambda: roles(running).get("canary"), lambda who: who is None)


def test_a_new_model_that_fails_gives_way_to_the_one_before(running: Running) -> None:
    release.change(running.root, "switch", "late", "a mistake")
    until(lambda: roles(running).get("serves"), lambda who: who == "late")
    found = load(running, lambda: release.read(running.root).serves == "t001-people", clients=2)
    assert {"late", "t001-people"} == {one["model"] for one in found}
    assert roles(running)["serves"] == "t001-people"


def test_a_model_that_does_not_load_never_serves(running: Running) -> None:
    release.change(running.root, "switch", "broken", "a mistake")
    until(lambda: release.read(running.root).serves, lambda who: who == "t001-people")
    assert running.predict(text="카드")["model"] == "t001-people"
    health = running.http.get("/health").json()
    assert "cannot be loaded" in health["warnings"]["broken"]
    assert release.read(running.root).history[-1].what == "rollback"


def test_the_ledgers_choice_is_followed(running: Running) -> None:
    root = running.root
    add_model(root, "t002-people")
    release.change(root, "switch", None, "follow the ledger")
    with opened(root) as project:
        row = project.ledger.row("select * from model where version='t001-people'")
        assert row is not None
        with project.ledger.change("another model") as ledger:
            ledger.add("model", **{**row, "version": "t002-people", "fingerprint": "f2"})
        use(project, "t002-people", "a test")
        until(lambda: running.http.get("/health").json()["serves"], lambda who: who == "t002-people")
        assert running.predict(text="카드")["model"] == "t002-people"
        assert release.before_that(root, release.read(root)) == "t001-people"
    release.change(root, "switch", "t001-people", "as it was")
    until(lambda: roles(running).get("serves"), lambda who: who == "t001-people")
