"""What a check refuses and can mend: gathered once, a machine's, never of the exam (kills: test_kills.py)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bapsim.compose.asking import worth_asking
from bapsim.compose.plan import exam
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Recipe, only
from bapsim.core.records import Draft, Origin, Records, Rows, Verdicts, derive, rows_of, verdicts
from bapsim.core.turn import Turn
from bapsim.refine.pii import personal_data
from bapsim.store.project import opened
from bapsim.wheel.audit import check, why_record
from bapsim.wheel.gathering import gather
from bapsim.wheel.mending import mend, menders
from bapsim.wheel.state import begin, stop
from bapsim.wheel.stock import Stock, exam_ids, load_stock
from bapsim.wheel.turn import run_turn
from tests.wheel.world import (
    HOLDS,
    Clerk,
    History,
    Letters,
    Shorter,
    bank,
    founded,
    letter,
    origin,
    sentence,
    turns,
)


def recipe(letters: Letters, **changes: Any) -> Recipe:
    """A small bank with letters and a check that masks."""
    sources = {"history": History(90, 30), "letters": letters}
    checks = {"short": Shorter(90), "pii": personal_data()}
    small = {"sources": sources, "checks": checks, "questions": None, "exam": exam(20, near=0.9), "folds": 2}
    return bank(**small | changes)


LETTERS = Letters((tuple(range(3000, 3030)), tuple(range(3030, 3042))))


def made(stock: Stock, source: str = "pii") -> np.ndarray:
    return np.flatnonzero(stock.of_origins(lambda _, o: o.source == source))


def stock_of(root: Path, task: Any) -> Stock:
    with opened(root) as project:
        return load_stock(project, task)


def batches(root: Path) -> dict[tuple[int, str], tuple[int, int]]:
    with opened(root) as project:
        rows = project.ledger.rows("select * from batch")
    return {(r["turn"], r["source"]): (r["fresh"], r["again"]) for r in rows}


def gathered(root: Path, wheel: Recipe) -> dict[str, int]:
    """The first half of a turn, which is then stopped: new records by source and check."""
    with opened(root) as project:
        turn = begin(project, wheel)
        fresh = gather(project, dict(wheel.sources), turn) | mend(project, wheel, turn)
        assert mend(project, wheel, turn) == {n: fresh[n] for n in fresh if n not in wheel.sources}, "resumed"
        stop(project)
    return fresh


def test_masked_rows_are_gathered_once_and_pending_until_proven(tmp_path: Path) -> None:
    root, wheel = founded(tmp_path / "p"), recipe(LETTERS)
    pool = Letters((tuple(range(3100, 3112)),), labels="none")
    wheel = replace(wheel, sources={**wheel.sources, "pool": pool})
    told = turns(root, wheel, 2)
    assert [one["fresh"]["pii"] for one in told] == [14, 4]
    assert told[0]["reasons"] == {"personal_data": 14}
    stock = stock_of(root, wheel.task)
    rows = made(stock)
    assert len(rows) == 18
    parents = dict(stock.parents)
    for row in rows.tolist():
        (mum,) = parents[row]
        assert stock.origins[stock.origin[mum]].source in {"letters", "pool"}
        assert stock.labels[row] == stock.labels[mum]
        assert stock.texts[row] != stock.texts[mum]
        assert stock.texts[row].endswith(sentence(int(stock.texts[mum].split()[-1]))[0])
        assert stock.texts[row][0] == "[" or stock.texts[row].startswith("서버 [IP]에서")
    assert stock.by_machine[rows].all()
    origins = {stock.origins[n] for n in set(stock.origin[rows].tolist())}
    assert {(o.method, o.input_maker, o.target_maker, o.rights) for o in origins} == {
        ("masked", "machine", "person", "own")
    }
    assert [one["accounts"]["refused"] for one in told] == [14, 18]
    assert [one["accounts"]["pool"] for one in told] == [30 + 12] * 2, "masked rows of the pool are in it"
    assert [one["accounts"]["pending"] for one in told] == [10, 14], "no model that ate them was proven"
    with opened(root) as project:
        assert check(project, wheel)["findings"] == []
        said = why_record(project, wheel, stock.ids[rows[0]].tobytes().hex())
        assert not {i.tobytes() for i in stock.ids[rows]} & exam_ids(project.ledger)
    assert said["certificate"]["method"] == "masked"
    assert said["certificate"]["input_depth"] == 1
    assert [(v["check"], v["keep"]) for v in said["verdicts"]][:2] == [("short", True), ("pii", True)]
    assert gathered(root, wheel)["pii"] == 0
    assert batches(root)[3, "letters"] == (0, 42)
    assert (3, "pii") not in batches(root), "nothing new to look at"


def test_a_new_check_mends_what_came_before_but_nothing_of_the_exam(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    many, pool = Letters((tuple(range(3000, 3090)),)), Letters((tuple(range(4000, 4060)),), labels="none")
    sources = {"letters": many, "asked": pool, "clerk": Clerk()}
    wheel = recipe(many, sources=sources, questions=worth_asking(30, exam_share=0.4))
    turns(root, replace(wheel, checks={}), 2)  # an exam of them, and answers to questions about them
    turns(root, wheel, 3)
    stock = stock_of(root, wheel.task)
    holds = np.array([t != "" and any(t.startswith(h.split("{")[0]) for h in HOLDS) for t in stock.texts])
    with opened(root) as project:
        examined = stock.rows_with(exam_ids(project.ledger))
    parents = dict(stock.parents)
    mothers = {mum for row in made(stock).tolist() for mum in parents[row]}
    hidden = examined.copy()
    for row in np.flatnonzero(examined):
        hidden[list(parents.get(int(row), ()))] = True
    assert (holds & examined).any()
    assert (holds & hidden & ~examined).any(), "questions that became exam items"
    assert not mothers & set(np.flatnonzero(hidden).tolist())
    by_answer = {
        m for r, mums in parents.items() for m in mums if stock.origins[stock.origin[r]].source == "clerk"
    }
    assert (holds[list(by_answer)]).any()
    assert not mothers & by_answer, "a question that is answered: its answer is mended"
    wanted = set(np.flatnonzero(holds & ~hidden).tolist()) - by_answer
    assert mothers == wanted
    assert turns(root, wheel, 4)[0]["fresh"]["pii"] == 0


SEEN: list[str] = []


@dataclass(frozen=True)
class Spy:
    """Refuses every text with a digit two, mends none of them, and writes down what it saw."""

    lineage: bool = True

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        SEEN.extend(records.column("text").to_pylist())
        return verdicts(np.array(["2" not in t for t in records.column("text").to_pylist()], bool), "two")

    def mend(self, records: Records, origin: Origin, turn: Turn) -> Draft:
        assert all("2" in text for text in records.column("text").to_pylist()), "only what it refuses"
        assert {turn.origins[n] for n in records.column("_origin").to_pylist()} == {origin}
        draft = derive(records, [], Rows(rows_of(records).slice(0, 0)), changed=frozenset(), origin=origin)
        return draft if self.lineage else replace(draft, parents=None)


def test_a_check_that_mends_sees_nothing_of_the_exam_nor_copies_of_it(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    numbers = tuple(range(3000, 3045))
    wheel = recipe(Letters((numbers,)), checks={})
    turns(root, wheel, 1)
    with opened(root) as project:
        items = exam_ids(project.ledger)
    stock = stock_of(root, wheel.task)
    examined = [stock.texts[row] for row in np.flatnonzero(stock.rows_with(items))]
    SEEN.clear()
    gathered(root, replace(wheel, checks={"spy": Spy()}))
    assert len(SEEN) > 100
    assert not set(SEEN) & set(examined)
    held = [text for text in examined if any(text.startswith(h.split("{")[0]) for h in HOLDS)]
    assert held
    copies = Copies(tuple(f"{text}." for text in held))
    sources = {**wheel.sources, "copies": copies}
    fresh = gathered(root, recipe(Letters((numbers,)), sources=sources))
    assert fresh["copies"] == len(held)
    stock = stock_of(root, wheel.task)
    parents = dict(stock.parents)
    mothers = {stock.texts[mum] for row in made(stock).tolist() for mum in parents[row]}
    assert mothers
    assert not mothers & set(copies.texts), "a copy of an exam item comes back in no disguise"


@dataclass(frozen=True)
class Copies:
    """These texts, with a label."""

    texts: tuple[str, ...]

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        rows = pa.record_batch({"text": list(self.texts), "intent": ["card"] * len(self.texts)})
        yield Draft(rows=Rows(rows), origin=origin("file"))


def test_mended_rows_say_of_which_they_were_made(tmp_path: Path) -> None:
    wheel = recipe(LETTERS, checks={"spy": Spy(lineage=False)})
    with opened(founded(tmp_path / "p")) as project, pytest.raises(RecipeError) as caught:
        run_turn(project, wheel)
    assert caught.value.key == "mended_not_derived"


def test_another_version_makes_anew_only_what_it_does_not_keep(tmp_path: Path) -> None:
    root, wheel = founded(tmp_path / "p"), recipe(LETTERS)
    mail = {"short": Shorter(90), "pii": personal_data(kinds=("email", "phone"))}
    first = gathered(root, replace(wheel, checks=mail))["pii"]
    stock = stock_of(root, wheel.task)
    before = {stock.texts[row] for row in made(stock).tolist()}
    assert 0 < first == len(before) < 10
    assert gathered(root, wheel)["pii"] == (10 - first) + 4, (
        "the other kinds of the first turn, and all of the second"
    )
    assert gathered(root, replace(wheel, checks=mail))["pii"] == 0
    assert gathered(root, wheel)["pii"] == 0
    stock = stock_of(root, wheel.task)
    assert len(made(stock)) == len({stock.texts[row] for row in made(stock).tolist()}) == 14


def test_a_narrower_version_is_content_with_what_a_wider_one_made(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    wide = recipe(LETTERS, sources={"copies": Copies(("minsu@naver.com, 10.0.0.77", "seo@daum.net"))})
    narrow = replace(wide, checks={"pii": personal_data(kinds=("email",))})
    assert [gathered(root, one)["pii"] for one in (wide, narrow, wide)] == [2, 0, 0]
    root = founded(tmp_path / "q")
    assert [gathered(root, one)["pii"] for one in (narrow, wide, narrow)] == [2, 1, 0]
    renamed = replace(wide, checks={"privacy": personal_data()})
    assert gathered(root, renamed)["privacy"] == 0, "the same check under another name"
    assert gathered(root, wide)["pii"] == 0
    two = {"mail": personal_data(kinds=("email",)), "net": personal_data(kinds=("ip",))}
    root = founded(tmp_path / "r")
    assert list(gathered(root, replace(wide, checks=two)).values())[-2:] == [2, 2]
    stock = stock_of(root, wide.task)
    texts = sorted(stock.texts[row] for name in two for row in made(stock, name).tolist())
    assert texts == ["[EMAIL]", "[EMAIL], 10.0.0.77", "[EMAIL], [IP]", "minsu@naver.com, [IP]"]
    assert gathered(root, replace(wide, checks=two)) == {"copies": 0, "mail": 0, "net": 0}


def test_a_corrected_row_corrects_what_was_made_of_it(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    numbers = tuple(range(3000, 3012))
    wheel = recipe(Letters((numbers, numbers), labels="corrected", keyed=True))
    turns(root, wheel, 2)
    stock = stock_of(root, wheel.task)
    rows = made(stock)
    assert len(rows) == 8
    with opened(root) as project:
        stand = {
            row: why_record(project, wheel, stock.ids[row].tobytes().hex())["stands"] for row in rows.tolist()
        }
    for row in rows.tolist():
        number = int(stock.texts[row].split()[-1])
        old = stock.labels[row] == sentence(number)[1]
        assert (stand[row] == "superseded") == old
    keys = [k for r, k in enumerate(stock.records.column("_key").to_pylist()) if r in set(rows.tolist())]
    assert not any("k30" in key for key in keys), "a key may be a person's name"
    assert len(set(keys)) == 4


def test_what_was_made_of_a_refused_delivery_is_refused(tmp_path: Path) -> None:
    root, wheel = founded(tmp_path / "p"), recipe(LETTERS)
    gathered(root, wheel)
    stock = stock_of(root, wheel.task)
    mother = next(n for n, o in stock.origins.items() if o.source == "letters")
    assert not stock.refused_deliveries.any()
    bad = replace(stock, states=stock.states | {mother: "refused"})
    assert bad.refused_deliveries[made(bad)].all()
    assert bad.refused_deliveries.sum() == 30 + 10
    assert (bad.with_offspring(bad.of_refused_deliveries & ~bad.by_machine) == bad.refused_deliveries).all()


def test_only_one_source_is_mended_and_judged_from_its_first_turn(tmp_path: Path) -> None:
    root, wheel = founded(tmp_path / "p"), recipe(LETTERS)
    other = Letters((tuple(range(3100, 3109)),))
    wheel = replace(
        wheel,
        sources={**wheel.sources, "other": other},
        checks={"pii": only("letters", personal_data(kinds=("phone",)))},
    )
    (told,) = turns(root, wheel, 1)
    phones = sum("010-" in str(letter(i, None)["text"]) for i in range(3000, 3030))
    assert phones > 0
    assert told["fresh"]["pii"] == phones
    assert told["reasons"] == {"personal_data": phones}


def test_consent_goes_along(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    gathered(root, recipe(replace(LETTERS, consent="form-7")))
    stock = stock_of(root, bank().task)
    with opened(root) as project:
        held = {r["id"] for r in project.ledger.rows("select id from descendant where consent='form-7'")}
    assert {i.tobytes() for i in stock.ids[made(stock)]} <= held
    assert len(held) == 40


def test_rows_with_more_columns_stay_in_their_folder(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    wheel = recipe(LETTERS)
    gathered(root, wheel)
    with opened(root) as project:
        folders = {r["source"]: r["folder"] for r in project.ledger.rows("select source, folder from shard")}
        stages = [
            json.loads(r["output"])
            for r in project.ledger.rows("select output from stage where name='mend:pii'")
        ]
    assert folders["pii"] == folders["letters"]
    assert [s["fresh"] for s in stages] == [10]


def test_a_check_that_mends_is_not_named_like_a_source(tmp_path: Path) -> None:
    wheel = recipe(LETTERS, checks={"letters": personal_data()})
    with pytest.raises(RecipeError) as caught:
        menders(wheel)
    assert caught.value.key == "check_named_like_source"
    with opened(founded(tmp_path / "p")) as project, pytest.raises(RecipeError):
        run_turn(project, wheel)
    assert menders(recipe(LETTERS, checks={"history": Shorter(3)})) == []
