"""One type carries it all: a game, an expert, a model and a plain function through the same functions."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.arrow import strings
from bapsim.core.errors import Spent
from bapsim.core.exchange import converse_all
from bapsim.core.records import Answers, Rows, Task
from bapsim.judge.exam import accuracy, per_item
from bapsim.mods import LedgerTill, Money, meter
from bapsim.store.ledger import Ledger
from bapsim.store.tape import LedgerTape
from bapsim.testing import mixture_of
from bapsim.train.table import table_boosted

TASK = Task(input=("a", "b", "c"), target="move", kind="table")
Heap = tuple[int, int, int]


def best(heap: Heap) -> str:
    """Nim's rule: leave heaps whose bitwise sum is zero; else take one from the largest."""
    total = heap[0] ^ heap[1] ^ heap[2]
    for i, size in enumerate(heap):
        if size ^ total < size:
            return f"{'abc'[i]}{size - (size ^ total)}"
    return f"{'abc'[int(np.argmax(heap))]}1"


def rows_of(heaps: list[Heap], who: str = "") -> Rows:
    columns = {name: pa.array([h[i] for h in heaps], pa.int8()) for i, name in enumerate("abc")}
    return Rows(pa.record_batch(columns | {"who": pa.array([who] * len(heaps), pa.string())}))


def heaps_of(rows: Rows) -> list[Heap]:
    return list(zip(*(rows.column(name).to_pylist() for name in "abc"), strict=True))


def function(rows: Rows) -> Answers:
    """A plain function: takes one from the first heap that has one."""
    moves = [f"{next(n for n, size in zip('abc', h, strict=True) if size)}1" for h in heaps_of(rows)]
    return Answers(pa.record_batch({"prediction": moves}))


@dataclass
class Expert:
    """A simulated person who knows the rule, and counts how often somebody asks."""

    asked: int = 0

    def __call__(self, rows: Rows) -> Answers:
        self.asked += len(rows)
        return Answers(pa.record_batch({"prediction": [best(h) for h in heaps_of(rows)]}))


def nim(heap: Heap, first: str, second: str):
    """A game as an exchange: yields the board and whose move it is, ends with the winner."""
    names = (first, second)
    for turn in range(sum(heap)):
        said = yield rows_of([heap], names[turn % 2])
        move = strings(said.column("prediction"))[0] or "a1"
        at, taken = "abc".index(move[0]), int(move[1:])
        if not 1 <= taken <= heap[at]:
            return names[1 - turn % 2]  # an illegal move loses
        heap = tuple(size - taken * (i == at) for i, size in enumerate(heap))
        if not sum(heap):
            return names[turn % 2]
    return None


def table(players):
    """Players as one respondent: each row goes to whoever is named in it."""

    def ask(rows: Rows) -> Answers:
        who = strings(rows.column("who"))
        said = [strings(players[w](rows.slice(i, 1)).column("prediction"))[0] for i, w in enumerate(who)]
        return Answers(pa.record_batch({"prediction": pa.array(said, pa.string())}))

    return ask


HEAPS: list[Heap] = [(1, 2, 4), (3, 4, 5), (1, 1, 2), (2, 3, 4)]  # each can be won by whoever begins
BOARDS = [(a, b, c) for a in range(4) for b in range(4) for c in range(4) if a + b + c]
EXAM = mixture_of([dict(zip("abc", h, strict=True)) | {"move": best(h)} for h in BOARDS], TASK)


@pytest.fixture(scope="module")
def model():
    return table_boosted(trees=20, rounds=20)(None, EXAM, 0)


def test_whoever_is_asked_is_judged_by_the_same_judge(model):
    share = {
        n: accuracy(per_item()(who, EXAM)) for n, who in {"f": function, "e": Expert(), "m": model}.items()
    }
    assert share["e"] == 1 > share["m"] > share["f"]


def test_games_run_in_lock_step_on_a_tape_under_a_mod(tmp_path, model):
    ledger = Ledger(tmp_path / "ledger.sqlite", b"k" * 32)
    expert, tape = Expert(), LedgerTape(ledger)

    def games(opponent):
        return {f"{opponent} {h}": nim(h, "expert", opponent) for h in HEAPS}

    for name, opponent in (("function", function), ("model", model), ("expert", expert)):
        won = converse_all(games(name), table({"expert": expert, name: opponent}), tape)
        assert set(won.values()) == {"expert"}
    asked, till = expert.asked, LedgerTill(ledger, 1)
    money = {"price": Money(minor=50, currency="KRW"), "ceiling": Money(minor=120, currency="KRW")}
    paid = meter("expert", **money, till=till)(expert)
    replayed = converse_all(games("model"), table({"expert": paid, "model": model}), tape)
    assert set(replayed.values()) == {"expert"}
    assert (expert.asked, till.spent("expert", "KRW")) == (asked, 0)  # a taped answer is never paid again
    with pytest.raises(Spent):
        converse_all(
            {"new": nim((7, 8, 9), "expert", "model")}, table({"expert": paid, "model": function}), tape
        )
    assert till.spent("expert", "KRW") == 100  # two moves were paid, and are on the tape
    assert tape.recall("new", 2) is not None
    assert ledger.verify() == []
    ledger.close()
