"""What later rows make of earlier ones: laws over histories, and corrections through whole turns."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.compose.plan import exam
from bapsim.core.arrow import take
from bapsim.core.errors import InputError
from bapsim.core.records import CERTIFICATE, Draft, Records, Rows, Task, derive, rows_of, verdicts
from bapsim.core.turn import Turn
from bapsim.gather.augment import misspell
from bapsim.store.project import opened
from bapsim.wheel.audit import check, stands, why_record
from bapsim.wheel.settling import Settled, settle
from bapsim.wheel.state import state, stop
from bapsim.wheel.stock import (
    PENDING,
    POOL,
    REFUSED,
    SUPERSEDED,
    TRAINED,
    Stock,
    adds_up,
    exam_ids,
    load_stock,
)
from bapsim.wheel.turn import run_turn
from tests.wheel.world import ASKS, Books, History, Vouches, bank, batch, founded, origin, sentence, wrong

Said = tuple[int, str, str]  # turn, key, label


def stock_of(said: list[Said], refused: frozenset[int] = frozenset()) -> Stock:
    """A keyed source that said these things about one text, one delivery a turn."""
    n = len(said)
    columns = {
        "text": pa.array(["a text"] * n),
        "label": pa.array([label for _, _, label in said], pa.string()),
        "_id": pa.array([i.to_bytes(16, "big") for i in range(n)], pa.binary(16)),
        "_origin": pa.array([turn for turn, *_ in said], pa.int32()),
        "_key": pa.array([key for _, key, _ in said], pa.string()),
        "_input_depth": pa.array([0] * n, pa.int8()),
        "_target_depth": pa.array([0] * n, pa.int8()),
        "_parents": pa.nulls(n, CERTIFICATE.field("_parents").type),
    }
    numbers = range(6)
    return Stock(
        task=Task(input="text", target="label"),
        shards=(),
        records=Records(pa.record_batch(columns)),
        origins={k: origin("file") for k in numbers},
        states={k: "refused" if k in refused else "kept" for k in numbers},
        turns={k: k for k in numbers},
        keyed=frozenset(numbers),
    )


HISTORY = st.lists(
    st.tuples(st.integers(1, 5), st.sampled_from("pq"), st.sampled_from("xyz")), min_size=1, max_size=12
).map(sorted)


def standing(said: list[Said], settled: Settled, out: np.ndarray) -> dict[str, list[str]]:
    left = ~settled.replaced & ~settled.conflicting & ~out
    return {key: [s[2] for s, ok in zip(said, left, strict=True) if ok and s[1] == key] for key in "pq"}


@given(HISTORY, st.data())
def test_what_stands_is_what_was_last_said_with_one_voice(said: list[Said], data: st.DataObject) -> None:
    unfit = np.array(data.draw(st.lists(st.booleans(), min_size=len(said), max_size=len(said))))
    settled = settle(stock_of(said), unfit)
    assert not (settled.replaced & settled.conflicting).any()
    assert not ((settled.replaced | settled.conflicting) & unfit).any(), "a refused row settles nothing"
    for key, labels in standing(said, settled, unfit).items():
        fit = [s for s, bad in zip(said, unfit, strict=True) if s[1] == key and not bad]
        voices = [{s[2] for s in fit if s[0] == turn} for turn in sorted({s[0] for s in fit})]
        last = next((v for v in reversed(voices) if len(v) == 1), set())
        assert labels == sorted(last), "one row, or none before a turn spoke with one voice"
    for row in np.flatnonzero(settled.heir >= 0):
        assert settled.replaced[row]
        assert not settled.replaced[settled.heir[row]]


@given(HISTORY, st.integers(1, 5))
def test_a_refused_delivery_leaves_things_as_if_it_had_not_come(said: list[Said], bad: int) -> None:
    rest = [s for s in said if s[0] != bad]
    whole = settle(stock_of(said, frozenset({bad})), np.zeros(len(said), bool))
    out = np.array([s[0] == bad for s in said])
    without = settle(stock_of(rest), np.zeros(len(rest), bool)) if rest else None
    assert not ((whole.replaced | whole.conflicting) & out).any()
    for name in ("replaced", "conflicting"):
        assert getattr(whole, name)[~out].tolist() == (getattr(without, name).tolist() if without else [])


AT = range(1000, 1120)


@dataclass(frozen=True)
class Known:
    """A check: the label is one of the four."""

    def __call__(self, records: Records, turn: Turn) -> object:
        said = records.column("intent").to_pylist()
        return verdicts(np.array([s is None or s in ASKS for s in said], bool), "unknown")


def recipe_of(*by_turn: list[tuple[int, str | None]], alone: bool = False, **more: object) -> object:
    """alone: the right rows come from the books, too, so that no other source tells on them."""
    rest = [(i, None) for i in range(2000, 2220)] if alone else []
    books = Books(tuple(tuple(said) for said in ([*by_turn[0], *rest], *by_turn[1:])))
    sources = {"books": books} if alone else {"history": History(220, 0), "books": books}
    return bank(questions=None, **{"sources": sources, "checks": {"known": Known()}} | more)


def rows_of_key(project: object, recipe: object, key: str) -> list[tuple[str, int]]:
    """Label and standing of every row with this key, in the order of delivery."""
    stock = load_stock(project, recipe.task)
    state = stands(project, stock)
    at = [i for i, k in enumerate(stock.records.column("_key").to_pylist()) if k == key]
    return [(stock.labels[i], int(state[i])) for i in at]


def test_true_corrections_are_no_harmful_delivery(tmp_path: Path) -> None:
    """The model knows the wrong labels by heart; asked out of fold, it does not contradict the right ones."""
    bad = list(AT)[:40]
    recipe = recipe_of(
        [(i, wrong(i) if i in bad else None) for i in AT], [(i, None) for i in bad], alone=True
    )
    books = replace(recipe.sources["books"], by_heart=True)
    recipe = replace(recipe, sources={**recipe.sources, "books": books})
    with opened(founded(tmp_path / "p")) as project:
        run_turn(project, recipe)
        told = run_turn(project, recipe)
        assert told["suspects"] == []
        assert told["accounts"]["superseded"] == 40
        assert check(project, recipe)["ok"]


def test_a_harmful_delivery_of_corrections_is_refused_and_replaces_nothing(tmp_path: Path) -> None:
    """What it would have replaced stands again, with the verdicts that it had."""
    bad, typos = list(AT)[:60], list(AT)[60:70]
    recipe = recipe_of(
        [(i, "TYPO" if i in typos else None) for i in AT],
        [*((i, wrong(i)) for i in bad), *((i, None) for i in typos)],
    )
    with opened(founded(tmp_path / "p")) as project:
        before = run_turn(project, recipe)["accounts"]
        assert before["refused"] >= 10
        told = run_turn(project, recipe)
        assert [one["refused"] for one in told["suspects"]] == [True]
        assert told["accounts"]["superseded"] == 0
        assert told["accounts"]["refused"] == before["refused"] + 70
        assert told["accounts"]["trained"] == before["trained"]
        for i in typos:
            assert rows_of_key(project, recipe, f"k{i}")[0] == ("TYPO", REFUSED)


@dataclass(frozen=True)
class Missing:
    """A source that fails once, in the second turn that is begun."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == 2:
            raise InputError("os", why="on purpose", path="-")
        return iter(())


def test_a_harmful_delivery_does_not_slip_through_a_turn_that_was_stopped(tmp_path: Path) -> None:
    bad = list(AT)[:60]
    recipe = recipe_of([(i, None) for i in AT], [(i, wrong(i)) for i in bad])
    recipe = replace(recipe, sources={**recipe.sources, "missing": Missing()})
    with opened(founded(tmp_path / "p")) as project:
        before = run_turn(project, recipe)["accounts"]
        with pytest.raises(InputError):
            run_turn(project, recipe)
        stop(project)
        told = run_turn(project, recipe)
        assert [(one["name"], one["refused"]) for one in told["suspects"]] == [("books@2", True)]
        assert (told["accounts"]["superseded"], told["accounts"]["trained"]) == (0, before["trained"])


@dataclass(frozen=True)
class Looks:
    """A source that writes down which texts it sees, and how many of them were refused."""

    seen: list[set[str]]
    marked: list[int]

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        batches = [b for view in turn.data.values() for b in view.batches()]
        self.seen.append({t for b in batches for t in b.column("text").to_pylist()})
        kept = [k for view in turn.data.values() for k in view.kept()]
        self.marked.append(int(sum((~k).sum() for k in kept)))
        return iter(())


def test_nobody_sees_the_text_of_an_exam_item_that_was_corrected(tmp_path: Path) -> None:
    recipe = recipe_of([(i, wrong(i)) for i in AT], [(i, None) for i in AT], [], [], alone=True)
    looks = Looks([], [])
    with opened(founded(tmp_path / "p")) as project:
        for n in range(1, 4):
            run_turn(project, recipe)
            looks(state(project, recipe, n + 1))
            stock = load_stock(project, recipe.task)
            exam = stock.rows_with(exam_ids(project.ledger))
            texts = {t for t, e in zip(stock.texts, exam, strict=True) if e}
            assert texts
            assert not texts & looks.seen[-1]
        corrected = exam & (stock.turn_of_origin[stock.origin] > 1)
        assert corrected.any()
        assert looks.marked[1] >= 120 - corrected.sum(), "replaced rows are marked"
        assert looks.marked[2] == looks.marked[1]


def test_rows_that_a_machine_labelled_wait_even_if_nobody_knows_who_wrote_them(tmp_path: Path) -> None:
    weak = Weak()
    recipe = bank(
        sources={"history": History(220, 0), "weak": weak}, questions=None, checks={"vouch": Vouches()}
    )
    with opened(founded(tmp_path / "p")) as project:
        told = run_turn(project, recipe)
        stock = load_stock(project, recipe.task)
        mine = stock.of_origins(lambda _, o: o.source == "weak")
        assert stock.by_machine[mine].tolist() == stock.labelled[mine].tolist()
        assert not (mine & stock.rows_with(exam_ids(project.ledger))).any()
        waits = PENDING if not told["candidate"].endswith("-pending") else TRAINED  # or was proven with them
        assert set(stands(project, stock)[mine & stock.labelled].tolist()) == {waits}
        assert set(stands(project, stock)[mine & ~stock.labelled].tolist()) == {POOL}
        assert check(project, recipe)["ok"]


@dataclass(frozen=True)
class Weak:
    """Machine-made labels on texts of unknown makers; it abstains on some."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == 1:
            for at, labelled in ((range(3000, 3040), True), (range(3040, 3060), False)):
                made = replace(origin("weak", "weak"), input_maker="unknown", target_maker="machine")
                yield Draft(rows=batch(list(at), labelled), origin=made)


def test_corrections_that_are_unfit_taken_back_or_at_odds(tmp_path: Path) -> None:
    slip, back, odds = 1001, 1002, 1003
    recipe = recipe_of(
        [(i, None) for i in AT],
        [(slip, "no such label"), (back, wrong(back)), (odds, wrong(odds)), (odds, "card"), (odds, "loan")],
        [(back, None), (odds, None)],
        exam=replace(bank().exam, size=20),
    )
    with opened(founded(tmp_path / "p")) as project:
        for n in (1, 2):
            told = run_turn(project, recipe)
            assert adds_up(told["accounts"]), n
        first, second = rows_of_key(project, recipe, f"k{slip}")
        assert first[1] != SUPERSEDED
        assert second[1] == REFUSED, "a correction that a check refuses corrects nothing"
        assert [s for _, s in rows_of_key(project, recipe, f"k{odds}")][1:] == [REFUSED] * (
            len(rows_of_key(project, recipe, f"k{odds}")) - 1
        ), "a delivery at odds with itself corrects nothing"
        told = run_turn(project, recipe)
        truth = sentence(back)[1]
        said = rows_of_key(project, recipe, f"k{back}")
        assert [label for label, _ in said] == [truth, wrong(back), truth], "going back is news"
        assert [state == SUPERSEDED for _, state in said] == [True, True, False]
        assert rows_of_key(project, recipe, f"k{odds}")[0][1] != SUPERSEDED, "the third says what stands"
        assert told["fresh"]["books"] == 2
        assert run_turn(project, recipe)["fresh"]["books"] == 0, "the same files again are nothing new"
        assert adds_up(told["accounts"])
        assert check(project, recipe)["ok"]


def test_what_a_machine_made_of_a_replaced_row_goes_with_it(tmp_path: Path) -> None:
    recipe = recipe_of([(i, wrong(i)) for i in AT], [], [(i, None) for i in AT], alone=True)
    recipe = replace(recipe, sources={**recipe.sources, "slips": misspell("books", share=0.5)})
    with opened(founded(tmp_path / "p")) as project:
        for _ in range(3):
            told = run_turn(project, recipe)
        stock = load_stock(project, recipe.task)
        state = stands(project, stock)
        children = [(row, mums) for row, mums in stock.parents]
        assert children
        for row, mums in children:
            if any(state[m] == SUPERSEDED for m in mums):
                assert state[row] not in (PENDING, TRAINED)
        gone = next(row for row, mums in children if any(state[m] == SUPERSEDED for m in mums))
        assert why_record(project, recipe, stock.ids[gone].tobytes().hex())["stands"] in (
            "superseded",
            "refused",
        )
        assert adds_up(told["accounts"])


@dataclass(frozen=True)
class Named:
    """Rows with keys of their own; at a later turn some of them come again with another label."""

    again: int
    keyed: bool = True
    slip: bool = False

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        at = {1: range(1000, 1040), self.again: range(1000, 1040, 2)}.get(turn.n, range(0))
        said = [sentence(i)[1] for i in at]
        if turn.n == self.again:
            names = sorted(ASKS)
            said = [names[(names.index(s) + 1) % 4] for s in said]
        rows = batch(list(at), True).set_column(1, "intent", pa.array(said, pa.string()))
        yield Draft(
            rows=Rows(rows),
            origin=origin("file", "named"),
            keys=[f"k{i % 7}" for i in at] if self.keyed else None,  # a key may say who, not which
        )


@pytest.mark.parametrize("keyed", [True, False])
def test_a_row_that_comes_again_under_its_key_replaces_the_old_one(keyed: bool, tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    recipe = bank(sources={"history": History(220, 0), "named": Named(2, keyed)}, exam=exam(60, near=0.9))
    with opened(root) as project:
        run_turn(project, recipe)
        first = exam_ids(project.ledger)
        told = run_turn(project, recipe)
        stock = load_stock(project, recipe.task)
        state = stands(project, stock)
        old = stock.part(state == SUPERSEDED)
        assert set(old.column("_origin").to_pylist()) <= {1}
        assert told["accounts"]["superseded"] == 20 * keyed
        gone = first - exam_ids(project.ledger)
        assert gone <= set(old.column("_id").to_pylist())
        assert bool(gone) == keyed, "this draw has some of them: the test would show nothing without"
        exam_now = stock.rows_with(exam_ids(project.ledger))
        assert exam_now.sum() == len(first) == told["items"]
        took = {s for s, e, o in zip(stock.texts, exam_now, stock.origin, strict=True) if e and o == 2}
        assert took == {s for s, one in zip(stock.texts, stock.rows_with(gone), strict=True) if one}
        assert exam_ids(project.ledger, before=2) == first
        assert project.ledger.value("select fresh from exam where version=2") in ((0,) if keyed else (None,))
        assert adds_up(told["accounts"])
        assert check(project, recipe)["ok"]


@dataclass(frozen=True)
class Votes:
    """People's answers to the first question: at each turn these labels."""

    by_turn: tuple[tuple[str, ...], ...]

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        ids = pa.array(sorted(turn.asked)[:1], pa.binary(16))
        for view in turn.data.values():
            asked = view.find(ids)
            if len(asked):
                said = [label for labels in self.by_turn[: turn.n] for label in labels]
                rows = Rows(take(rows_of(asked), np.zeros(len(said), np.int64)))
                rows = Rows(rows.set_column(1, "intent", pa.array(said, pa.string())))
                of = [[0]] * len(said)
                changed = frozenset({"target"})
                yield derive(asked, of, rows, changed=changed, origin=origin("asked:chosen"))


def test_answers_that_differ_leave_the_question_open_and_the_last_delivery_counts(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    votes = Votes(((), ("card", "loan"), ("card",), (), ("login",)))
    asked = replace(bank().questions, budget=1, exam_share=0.0, repair_share=0.0)
    recipe = bank(sources={"history": History(220, 1), "votes": votes}, questions=asked)
    open_then, standing_then = [], []
    for _ in range(5):
        with opened(root) as project:
            told = run_turn(project, recipe)
            open_then.append(told["questions"])
            stock = load_stock(project, recipe.task)
            counts = told["accounts"]
            standing_then.append((counts["superseded"], told["reasons"].get("conflict", 0)))
            assert adds_up(counts)
            assert check(project, recipe)["ok"]
    assert open_then == [1, 1, 0, 0, 0], "two answers that differ: it is asked again"
    # the question and two answers that differ; then the third; nothing; another answer in its place
    assert standing_then == [(0, 0), (0, 2), (3, 0), (3, 0), (4, 0)]
    assert stock.labels[-1] == "login"
