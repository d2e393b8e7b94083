"""A duel decides between what is proven and what the exam left undecided, on requests drawn at random."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bapsim.compose.asking import reserved, worth_asking
from bapsim.core.arrow import strings
from bapsim.core.records import Draft, Rows, derive, rows_of
from bapsim.core.turn import Turn
from bapsim.gather.service import service
from bapsim.store import artifacts
from bapsim.store.project import opened
from bapsim.wheel.audit import check
from bapsim.wheel.candidates import NAME
from bapsim.wheel.dueling import drawn_from
from bapsim.wheel.state import state
from bapsim.wheel.stock import POOL, load_stock, standing
from bapsim.wheel.turn import refined, run_turn
from tests.wheel.test_suspicion import Never
from tests.wheel.world import bank, batch, founded, origin, sentence


@dataclass(frozen=True)
class Stream:
    """Some labelled rows at first, more of them and many requests in the second turn."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == 1:
            yield Draft(rows=batch(range(60), True), origin=origin("file"))
        if turn.n == 2:
            yield Draft(rows=batch(range(1000, 1160), True), origin=origin("file"))
            yield Draft(rows=batch(range(5000, 5400), False), origin=origin("file"))


@dataclass(frozen=True)
class Partisan:
    """Answers all questions as one of two models does, or none of them."""

    root: str
    version: str | None

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if self.version is None or turn.n < 3:
            return
        model = artifacts.load(Path(self.root) / "wheel" / "models" / NAME / self.version / "judged")
        for view in turn.data.values():
            asked = view.find(pa.array(sorted(turn.asked), pa.binary(16)))
            if len(asked):
                said = model(rows_of(asked, ["text"])).column("prediction")
                rows = Rows(rows_of(asked).set_column(1, "intent", said.cast(pa.string())))
                made = replace(origin("asked:chosen"), source="partisan")
                yield derive(
                    asked, [[i] for i in range(len(asked))], rows, changed=frozenset({"target"}), origin=made
                )


def two_turns(root: Path) -> tuple[Any, str, str, list[dict[str, Any]]]:
    """A proven model, a provisional one that serves, and a duel between them that was asked."""
    recipe = bank(sources={"stream": Stream()}, questions=worth_asking(100), checks={}, surveys={})
    with opened(root) as project:
        assert run_turn(project, recipe)["verdict"] == "accept"
        recipe = replace(recipe, gate=Never())
        told = run_turn(project, recipe)
        assert (told["verdict"], told["duel"]) == ("undecided", None)
        first = project.ledger.value("select version from model where state='proven'")
        body = json.loads(project.ledger.value("select output from stage where name='duel'"))
        assert (body["first"], body["second"]) == (first, told["candidate"])
        query = "select q.draw, q.suggested from question q join asking a on a.id = q.id where a.why='duel'"
        asked = project.ledger.rows(query)
        assert 8 <= len(asked) <= 20, "at most a fifth of the questions"
        assert all((one["draw"], one["suggested"]) == ("chosen", None) for one in asked), "nobody is led"
        assert all(one["first"] != one["second"] for one in body["asked"])
        assert len(body["asked"]) < body["items"] <= 400
    return recipe, body["first"], body["second"], body["asked"]


@pytest.mark.parametrize(("side", "verdict"), [(1, "accept"), (0, "refuse")])
def test_what_people_say_decides(side: int, verdict: str, tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    recipe, *both, asked = two_turns(root)
    recipe = replace(recipe, sources={**recipe.sources, "people": Partisan(str(root), both[side])})
    with opened(root) as project:
        told = run_turn(project, recipe)
        said = told["duel"]
        assert (said["verdict"], said["labels"]) == (verdict, len(asked))
        assert (said["gain"] > 0) == (verdict == "accept")
        states = {r["version"]: r["state"] for r in project.ledger.rows("select version, state from model")}
        assert states[both[1]] == ("proven" if verdict == "accept" else "refused")
        assert project.ledger.value("select version from used order by n desc limit 1") is not None
        assert told["opponent"] == both[side], "the winner is what candidates are compared with"
        assert check(project, recipe)["ok"]
        again = run_turn(project, recipe)
        assert again["duel"] is None, "a duel is told once"


def test_a_duel_that_nobody_answers_decides_nothing_and_a_killed_turn_reads_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = founded(tmp_path / "p")
    recipe, _, second, _ = two_turns(root)
    with opened(root) as project:
        assert run_turn(project, replace(recipe, sources={**recipe.sources, "more": Late()}))["duel"] is None
    answered = replace(
        recipe, sources={**recipe.sources, "more": Late(), "people": Partisan(str(root), second)}
    )
    with opened(root) as project:
        with monkeypatch.context() as broken:
            broken.setattr("bapsim.wheel.turn.refined", lambda *given: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                run_turn(project, answered)
        said = run_turn(project, answered)["duel"]
        assert said is not None
        assert said["verdict"] == "accept"


@dataclass(frozen=True)
class Late:
    """One more row, so that the turn has something to do."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n >= 3:
            yield Draft(rows=batch([9000], True), origin=origin("file"))


def asks(root: Path, turn: int, at: range, corrected: Callable[[int], bool]) -> None:
    """Requests of one turn, and corrections of some of them; also of those whose requests came a turn ago."""
    lines: list[dict[str, Any]] = []
    when = {"at": "2026-11-22T10:00:00.000000+00:00", "deployment": "app"}
    for i in at:
        text, _ = sentence(i)
        about = {"request": f"r{i}", **when, "purpose": None, "consent": None, "model": "v1"}
        lines.append(about | {"input": {"text": text}, "prediction": "card", "confidence": 0.5})
    for i in (*at, *(i - 1000 for i in at)):
        if corrected(i):
            lines.append({"request": f"r{i}", **when, "by": "desk", "correction": sentence(i)[1]})
    path = root / "inbox" / "service" / f"app-w0-2026112{turn}T100000-000000.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_what_people_corrected_is_fought_over_as_everything_that_came(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    sources = {"stream": Stream(), "served": service("service/", rights="own")}
    recipe = bank(sources=sources, questions=worth_asking(100), checks={}, surveys={})
    with opened(root) as project:
        run_turn(project, recipe)
    asks(root, 2, range(20_000, 20_300), lambda i: i % 4 == 0 and i >= 20_000)
    with opened(root) as project:
        told = run_turn(project, replace(recipe, gate=Never()))
        assert told["verdict"] == "undecided"
        stock = load_stock(project, recipe.task)
        body = json.loads(project.ledger.value("select output from stage where name='duel'"))
        at = [stock.place[bytes.fromhex(one["id"])] for one in body["asked"]]
        assert 0 < stock.labelled[at].sum() < len(at), "requests that people corrected, and others"
        query = "select id, why from asking where turn=2"
        asked = {row["id"]: row["why"] for row in project.ledger.rows(query)}
        desk = stock.labelled & stock.of_origins(lambda _, origin: origin.method == "service:chosen")
        kept = reserved(stock.records, 0.2)
        others = {asked.get(stock.ids[i].tobytes()) for i in np.flatnonzero(desk & ~kept)} - {None}
        assert others <= {"duel", "label_error"}, "for nothing else: they have a label"
    asks(root, 3, range(21_000, 21_300), lambda i: i % 4 == 1)
    with opened(root) as project:
        told = run_turn(project, recipe)
        stock = load_stock(project, recipe.task)
        scene, _, _ = refined(project, recipe, replace(state(project, recipe, 3), n=3))
        none = np.zeros(len(stock), bool)
        pool = standing(stock, scene.exam, scene.refused, scene.superseded) == POOL
        drawn = drawn_from(scene, pool & ~scene.withheld, none)
        keys = {f"r{i}" for i in range(21_000, 21_300)}
        names = [one for one, mine in zip(strings(stock.records.column("_key")), drawn, strict=True) if mine]
        assert set(names) <= keys, "a request of the last turn that is corrected now was picked"
        assert len(names) == len(set(names)) > 0.6 * len(keys)
