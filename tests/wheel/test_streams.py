"""Streams of corrections from the service: one delivery each, over all turns; and what the market says."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bapsim.compose.asking import worth_asking
from bapsim.gather.answers import answers, write_questions
from bapsim.gather.service import service
from bapsim.store import artifacts
from bapsim.store.project import opened
from bapsim.wheel.aside import set_aside
from bapsim.wheel.audit import check
from bapsim.wheel.candidates import NAME
from bapsim.wheel.cross_check import SAMPLE, unclear
from bapsim.wheel.served import market
from bapsim.wheel.sheet import open_questions
from bapsim.wheel.stock import load_stock
from bapsim.wheel.turn import run_turn
from bapsim.wheel.using import use
from tests.wheel.world import ASKS, History, bank, batch, founded, sentence

NAMES = list(ASKS)


def recipe() -> Any:
    sources = {"history": History(260, 0), "served": service("service/", rights="own")}
    return replace(bank(), sources=sources, checks={}, surveys={}, questions=None)


def say(root: Path, turn: int, streams: dict[str, Any], rows: int = 40, model: Any = None) -> None:
    """Requests of one turn, answered by a model or rightly in 70 %, and what each stream says of some:
    `streams[name](i, truth, said)`.
    """
    lines: list[dict[str, Any]] = []
    for k, (name, correct) in enumerate(streams.items()):
        start = 10_000 * turn + 1000 * k
        for i in range(start, start + rows):
            text, truth = sentence(i)
            said = truth if i % 10 < 7 else NAMES[(NAMES.index(truth) + 1) % 4]
            said = said if model is None else model(batch([i], False)).column("prediction")[0].as_py()
            at = f"2026-11-22T10:00:00.{i:06d}+00:00"
            about = {"request": f"r{i}", "at": at, "deployment": "app", "purpose": None, "consent": None}
            asked = {"model": f"v{turn}", "input": {"text": text}, "prediction": said, "confidence": 0.7}
            lines.append(about | asked)
            told = correct(i, truth, said)
            if told is not None:
                lines.append({"request": f"r{i}", "at": at, "deployment": "app", "by": name, **told})
    path = root / "inbox" / "service" / f"app-w0-{turn:06d}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def truly(i: int, truth: str, said: str) -> dict[str, Any]:
    return {"correction": truth}


def poisoned(i: int, truth: str, said: str) -> dict[str, Any]:
    return {"correction": NAMES[(NAMES.index(truth) + 1 + i % 3) % 4] if i % 5 < 2 else truth}


def only_errors(i: int, truth: str, said: str) -> dict[str, Any] | None:
    return {"correction": truth} if said != truth else None


def suspects(told: dict[str, Any]) -> list[str]:
    return [one["name"] for one in told["suspects"] if one["refused"]]


def test_a_poisoned_stream_is_found_over_its_turns_and_stays_aside_until_it_is_taken_back(
    tmp_path: Path,
) -> None:
    root, wanted = founded(tmp_path / "p"), {"kim": truly, "lee": truly, "bad": poisoned}
    with opened(root) as project:
        run_turn(project, recipe())
    found: list[list[str]] = []
    for turn in (2, 3, 4, 5):
        say(root, turn, wanted, rows=25)
        with opened(root) as project:
            found.append(suspects(run_turn(project, recipe())))
    bad = "service/by:bad"
    first = found.index([bad])
    assert first <= 2, "25 corrections a turn add up"
    assert found == [[]] * first + [[bad]] * (4 - first), "a good one is never named, the bad one for good"
    with opened(root) as project:
        assert len(set_aside(project.ledger)[bad]) == 4, "all that it ever said"
        stock = load_stock(project, recipe().task)
        mine = stock.of_origins(lambda _, o: o.batch == bad)
        assert mine.sum() == 100
        assert (mine & stock.of_refused_deliveries).sum() == 100
        assert check(project, recipe())["ok"]
        use(project, bad, "we asked them")
    say(root, 6, wanted, rows=25)
    with opened(root) as project:
        assert suspects(run_turn(project, recipe())) == [], "the owner's word holds"


def test_who_only_corrects_errors_is_not_taken_for_a_liar(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")

    def confused(i: int, truth: str, said: str) -> dict[str, Any] | None:
        others = [name for name in NAMES if name not in (said, truth)]
        return {"correction": others[i % 2]} if said != truth else None

    with opened(root) as project:
        run_turn(project, recipe())
        version = project.ledger.value("select version from used order by n desc limit 1")
    model = artifacts.load(root / "wheel" / "models" / NAME / version / "served")
    say(root, 2, {"kim": only_errors, "lee": only_errors}, rows=300, model=model)
    with opened(root) as project:
        told = run_turn(project, recipe())
        assert not suspects(told)
        (noise,) = (one["noise"] for one in told["sources"] if one["name"] == "served")
        assert noise is None or noise["share"] < 0.2, "nobody would hear of it where the service was right"
    say(root, 3, {"kim": only_errors, "lee": only_errors, "liar": confused}, rows=200)
    with opened(root) as project:
        told = run_turn(project, recipe())
        assert suspects(told) == ["service/by:liar"]


def test_who_contradicts_right_answers_only_is_found(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")

    def contrary(i: int, truth: str, said: str) -> dict[str, Any] | None:
        return {"correction": NAMES[(NAMES.index(truth) + 1 + i % 3) % 4]} if said == truth else None

    with opened(root) as project:
        run_turn(project, recipe())
    say(root, 2, {"kim": truly, "lee": truly, "evil": contrary}, rows=150)
    with opened(root) as project:
        assert suspects(run_turn(project, recipe())) == ["service/by:evil"]


def test_people_tell_who_corrects_errors_from_who_contradicts_right_answers(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    sources = {**recipe().sources, "history": History(45, 0)}  # that teach little
    sources |= {"experts": answers("answers/", rights="own")}
    asking = replace(recipe(), sources=sources, questions=worth_asking(60, repair_share=0.8))
    with opened(root) as project:
        run_turn(project, asking)
        version = project.ledger.value("select version from used order by n desc limit 1")
    model = artifacts.load(root / "wheel" / "models" / NAME / version / "served")
    say(root, 2, {"kim": only_errors, "sly": only_errors}, rows=700, model=model)
    with opened(root) as project:
        assert not suspects(run_turn(project, asking))
        assert unclear(project.ledger, 2) == ("service/by:kim", "service/by:sly")
        run_turn(project, asking)
        assert unclear(project.ledger, 3) == unclear(project.ledger, 2), "a turn before people answered"
        sheet = open_questions(project, asking.task)
        stock = load_stock(project, asking.task)
        whose = {one: stock.origins[int(stock.origin[stock.place[one]])].batch for one in sheet.ids}
        samples = Counter(batch for batch in whose.values() if batch is not None and "by:" in batch)
        assert samples.keys() == {"service/by:kim", "service/by:sly"}
        assert min(samples.values()) >= SAMPLE
        path = root / "inbox" / "answers" / "ask.jsonl"
        write_questions(path, sheet)
        assert all(one["intent"] is None for one in map(json.loads, path.read_text().splitlines())), "blindly"
    asked = [json.loads(line) for line in path.read_text().splitlines()]
    said = {f"q{one.hex()}": batch for one, batch in whose.items()}
    truth = {sentence(i)[0]: sentence(i)[1] for i in (*range(300), *range(20_000, 22_000))}
    for one in asked:
        right = truth[one["text"]]
        sly = said[one["_ask"]] == "service/by:sly"
        one["intent"] = NAMES[(NAMES.index(right) + 1) % 4] if sly else right  # people side with the service
    path.write_text("".join(json.dumps(one) + "\n" for one in asked))
    with opened(root) as project:
        told = run_turn(project, asking)
    (one,) = told["suspects"]
    assert (one["name"], one["noise"], one["rows"] > 20) == ("service/by:sly", 1.0, True)
    assert one["low"] > 0.5


def test_the_market_counts_each_request_once_and_says_who_spoke(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")

    def thumbs(i: int, truth: str, said: str) -> dict[str, Any] | None:
        return {"thumbs": 1 if said == truth else -1} if i % 2 else None

    def strange(i: int, truth: str, said: str) -> dict[str, Any] | None:
        return {"out_of_scope": True} if i % 10 == 0 else None

    say(root, 1, {"kim": truly, "lee": thumbs, "park": strange})
    with opened(root) as project:
        run_turn(project, recipe())
    say(root, 1, {"kim": truly, "lee": truly, "park": strange})  # more is said of the same requests later
    with opened(root) as project:
        run_turn(project, recipe())
        (row,) = market(load_stock(project, recipe().task))
    assert (row["version"], row["requests"], row["spoke"]) == ("v1", 120, 84)
    assert row["content"] == 56, "of 80 corrections 56 say what the model had said"
    assert row["low"] < row["share"] < row["high"]
    assert np.isclose(row["share"], 56 / 84)
