"""Rights in a turn: refusals by reason, licences that are mended later, deals that end and what they cost."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.errors import InputError, NotEnough, RecipeError
from bapsim.core.records import Draft, Rows
from bapsim.core.turn import Turn
from bapsim.gather.augment import misspell
from bapsim.gather.deal import deal
from bapsim.gather.files import files
from bapsim.gather.masked import masked
from bapsim.refine.rights import rights
from bapsim.store.project import opened
from bapsim.wheel import state
from bapsim.wheel.audit import check
from bapsim.wheel.deals import deals, terms_begun
from bapsim.wheel.state import stop
from bapsim.wheel.stock import adds_up, exam_ids, load_stock
from bapsim.wheel.turn import run_turn
from tests.wheel.test_sources import by_name
from tests.wheel.world import Clerk, bank, batch, founded, killed_run, origin, sentence


@dataclass(frozen=True)
class Bought:
    """Rows of somebody else: numbers of sentences, with labels or without, from the first turn on."""

    numbers: tuple[int, ...]
    labelled: bool = True

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        yield Draft(rows=batch(list(self.numbers), self.labelled), origin=origin("file", "news"))


@dataclass(frozen=True)
class Licensed:
    """Rows with a licence each."""

    licences: tuple[str | None, ...]

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        rows = batch(range(5000, 5000 + len(self.licences)), True)
        column = pa.array(self.licences, pa.string())
        yield Draft(rows=Rows(rows.append_column("license", column)), origin=origin("file", "pages"))


def on(monkeypatch: pytest.MonkeyPatch, day: str) -> None:
    monkeypatch.setattr(state, "now", lambda: f"{day}T12:00:00.000+00:00")


NEWS = tuple(range(3000, 3060))


def test_refusals_are_counted_by_reason_in_the_accounts_and_the_sources_table(tmp_path: Path) -> None:
    said = ("MIT", "CC-BY-NC-4.0", "CC-BY-SA-4.0", None, "none-stated", "GPL-2+ or Artistic", "own") * 4
    sources = {**bank().sources, "pages": Licensed(said)}
    wanted = rights(uses=("train", "publish_weights"), column="license")
    with opened(founded(tmp_path / "p")) as project:
        recipe = bank(sources=sources, checks={**bank().checks, "rights": wanted})
        told = run_turn(project, recipe)
        reasons = {"licence_forbids": 4, "share_alike": 8, "licence_unknown": 4}
        assert {name: told["reasons"][name] for name in reasons} == reasons
        assert by_name(told)["pages"]["refused"].items() >= reasons.items()
        assert adds_up(told["accounts"])
        assert check(project, recipe)["ok"]
        free = replace(recipe, checks={**bank().checks, "rights": rights(column="license", commercial=False)})
        told = run_turn(project, free)
        assert {k: v for k, v in told["reasons"].items() if k in reasons} == {"licence_unknown": 4}


def test_a_licence_that_is_read_later_is_that_of_the_rows_that_came_before(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    lines = [json.dumps({"text": sentence(i)[0], "intent": sentence(i)[1]}) for i in range(300)]
    for name in ("a", "b"):
        place = root / "inbox" / "data" / name
        place.mkdir(parents=True)
        mine = lines[:200] if name == "a" else lines[200:]
        (place / "rows.jsonl").write_text("\n".join(mine) + "\n", encoding="utf-8")
    (root / "inbox" / "data" / "a" / "LICENSE").write_text("This data is under CC BY 4.0.\n")
    recipe = bank(
        sources={"data": files("data/", rights="detect")},
        checks={"rights": rights()},
        questions=None,
    )
    with opened(root) as project:
        first = run_turn(project, recipe)
        assert first["reasons"]["licence_unknown"] == 100
        assert by_name(first)["data"]["rights"] == {"CC-BY-4.0": 200, "unknown": 100}
        (root / "inbox" / "data" / "b" / "README.md").write_text("# B\n\n## License\n\nMIT\n")
        second = run_turn(project, recipe)
        assert "licence_unknown" not in second["reasons"]
        assert by_name(second)["data"]["rights"] == {"CC-BY-4.0": 200, "MIT": 100}
        assert by_name(second)["data"]["fresh"] == 0
        (row,) = project.ledger.rows("select turn, output from stage where name='rights'")
        assert (row["turn"], json.loads(row["output"])["was"]) == (2, "unknown")
        assert json.loads(row["output"])["is"] == "MIT"
        assert check(project, recipe)["ok"]
        stated = replace(recipe, sources={"data": files("data/", rights="CC-BY-NC-4.0")})
        with pytest.raises(NotEnough):
            run_turn(project, stated)
        stop(project)
        rows = project.ledger.rows("select distinct rights from origin")
        assert [row["rights"] for row in rows] == ["CC-BY-NC-4.0"]
        wide = replace(stated, checks={"rights": rights(commercial=False)})
        last = run_turn(project, wide)
        assert (last["accounts"]["lines"], last["accounts"]["unread"]) == (302, 2), (
            "README and LICENSE are no rows"
        )
        assert "licence_forbids" not in last["reasons"]


def test_rows_of_a_deal_are_refused_after_it_expired_and_come_back_when_it_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def under(**terms: Any) -> Any:
        return {**bank().sources, "news": masked(deal(Bought(NEWS), "news-2026", **terms))}

    root = founded(tmp_path / "p")
    held: list[int] = []
    with opened(root) as project:
        for day, terms, why in (
            ("2026-03-01", {"expires": "2026-03-31"}, None),
            ("2026-03-31", {"expires": "2026-03-31"}, None),
            ("2026-04-01", {"expires": "2026-03-31"}, "deal_expired"),
            ("2026-04-02", {"expires": "2026-12-31"}, None),
            ("2026-04-03", {"expires": "2026-12-31", "revoked": "2026-04-03"}, "deal_revoked"),
            ("2026-04-04", {"scope": ("evaluate",)}, "licence_forbids"),
        ):
            on(monkeypatch, day)
            told = run_turn(project, bank(sources=under(**terms)))
            row = by_name(told)["news"]
            assert row["rights"] == {"LicenseRef-deal-news-2026": 60}
            assert row["lines"] == 60, "a record stays one"
            assert row["refused"].get(why or "", 0) == (60 if why else 0), (day, row)
            assert adds_up(told["accounts"])
            stock = load_stock(project, bank().task)
            mine = stock.of_origins(lambda _, o: o.source == "news")
            held.append(int((stock.rows_with(exam_ids(project.ledger)) & mine).sum()))
        assert held[0] > 0, "bought items were examined with"
        assert held[2:] == [0] * 4, "and left the exam when the deal ended"
        assert check(project, bank(sources=under()))["ok"]


def test_what_was_made_of_bought_rows_ends_with_the_deal_also_what_people_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sources(expires: str) -> Any:
        pool = deal(Bought(tuple(range(1000, 1150)), labelled=False), "pool", expires=expires)
        return {**bank().sources, "pool": pool, "typos": misspell("pool", share=0.5), "clerk": Clerk()}

    on(monkeypatch, "2026-03-01")
    with opened(founded(tmp_path / "p")) as project:
        for _ in range(2):
            run_turn(project, bank(sources=sources("2026-06-30")))
        stock = load_stock(project, bank().task)
        pool = stock.of_origins(lambda _, o: o.source == "pool")
        answers = np.zeros(len(stock), bool)
        for row, mums in stock.parents:
            answers[row] = (
                bool(pool[list(mums)].any()) and stock.origins[int(stock.origin[row])].source == "clerk"
            )
        assert answers.any(), "somebody labelled bought rows"
        on(monkeypatch, "2026-07-01")
        told = run_turn(project, bank(sources=sources("2026-06-30")))
        refused = by_name(told)
        assert refused["clerk"]["refused"]["deal_expired"] >= int(answers.sum())
        pool_rows = refused["pool"]
        assert pool_rows["refused"]["deal_expired"] + pool_rows["superseded"] == 150
        assert (pool_rows["pool"], pool_rows["trained"], pool_rows["exam"]) == (0, 0, 0)


def test_the_price_of_a_deal_is_a_cost_of_its_source_once_a_term(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recipe(**terms: Any) -> Any:
        terms = {"price": "1,200 USD", "term": "month"} | terms
        return bank(sources={**bank().sources, "news": deal(Bought(NEWS), "news", **terms)})

    with opened(founded(tmp_path / "p")) as project:
        costs = []
        for day, terms in (
            ("2026-01-31", {}),
            ("2026-02-27", {}),
            ("2026-02-28", {}),
            ("2026-04-01", {"price": "1,500 USD"}),
            ("2026-09-01", {"price": "1,500 USD", "expires": "2026-04-15"}),
        ):
            on(monkeypatch, day)
            row = by_name(run_turn(project, recipe(**terms)))["news"]
            costs.append(row["costs"]["USD"])
        assert costs == [120_000, 120_000, 120_000, 420_000, 420_000]
        (known,) = deals(project.ledger)
        assert (known["begins"], known["paid"], known["expires"]) == ("2026-01-31", 3, "2026-04-15")
        gone = bank(sources=bank().sources)
        told = run_turn(project, gone)
        left = by_name(told)["news"]
        assert left["refused"]["deal_expired"] >= 55, "terms outlive the recipe"
        assert (left["trained"], left["exam"]) == (0, 0)


@pytest.mark.parametrize("die", range(1, 14, 2))
def test_a_killed_turn_pays_a_deal_once(tmp_path: Path, die: int) -> None:
    sources = {"history": bank().sources["history"], "news": deal(Bought(NEWS), "news", price="300,000 KRW")}
    recipe = bank(sources=sources, questions=None)
    root = founded(tmp_path / "p")
    assert killed_run(root, recipe, 1, die)
    killed_run(root, recipe, 1, None)
    with opened(root) as project:
        assert [r["minor"] for r in project.ledger.rows("select minor from cost")] == [300_000]
        assert len(deals(project.ledger)) == 1
        assert project.ledger.verify() == []


@pytest.mark.parametrize(
    ("term", "begins", "day", "begun"),
    [
        ("once", "2026-01-01", "2029-01-01", 1),
        ("once", "2026-01-02", "2026-01-01", 0),
        ("month", "2026-01-31", "2026-02-28", 1),
        ("month", "2026-01-15", "2026-03-15", 3),
        ("year", "2024-02-29", "2026-02-28", 2),
        ("year", "2024-02-29", "2026-03-01", 3),
    ],
)
def test_terms_begin_on_their_day(term: str, begins: str, day: str, begun: int) -> None:
    terms = {"term": term, "begins": begins, "expires": None, "revoked": None}
    assert terms_begun(terms, day) == begun
    assert terms_begun({**terms, "revoked": "2023-12-31"}, day) == 0


def test_terms_of_a_deal_are_checked_where_they_are_written(tmp_path: Path) -> None:
    inner = Bought(NEWS)
    for key, terms in (
        ("deal_day", {"expires": "31.12.2026"}),
        ("deal_day", {"revoked": "2026-02-30"}),
        ("deal_day", {"begins": "20260101"}),
        ("deal_term", {"term": "week"}),
        ("unknown_use", {"scope": ("train", "sell")}),
    ):
        with pytest.raises(RecipeError) as caught:
            deal(inner, "news", **terms)
        assert caught.value.key == key
    with pytest.raises(RecipeError):
        deal(inner, "news 2026/../x")
    with pytest.raises(InputError):
        deal(inner, "news", price="a lot")
    twice = {"a": deal(inner, "news", price="1 USD"), "b": deal(inner, "news", price="2 USD")}
    with opened(founded(tmp_path / "p")) as project, pytest.raises(RecipeError) as caught:
        run_turn(project, bank(sources={**bank().sources, **twice}))
    assert caught.value.key == "deal_twice"
