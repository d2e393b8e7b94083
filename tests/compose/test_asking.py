"""Questions of a recipe: random ones come from rows that nobody picks from, chosen ones never."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pytest

from bapsim.compose.asking import reserved, worth_asking
from bapsim.core.errors import InputError, RecipeError
from bapsim.core.records import Answers, Numbering, Records, Rows, Task, certify, source
from bapsim.core.turn import Turn
from tests.image.pictures import encoded, part


def records(count: int) -> Records:
    rows = Rows(pa.record_batch({"text": [f"질문 {i} about {i * 7919}" for i in range(count)]}))
    draft = source(rows, name="pool", maker="person", rights="own")
    return certify(draft, secret=b"1" * 32, origin=0, numbering=Numbering())


class Pool:
    """A dataset of one batch."""

    name = "pool"

    def __init__(self, batch: Records) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return len(self.batch)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Records]:
        yield self.batch

    def kept(self) -> Iterator[np.ndarray]:
        yield np.ones(len(self.batch), bool)

    def find(self, ids: pa.Array) -> Records:
        return self.batch


def unsure(rows: Rows) -> Answers:
    """Confidence falls along the pool: the last rows are the ones worth asking."""
    first = np.linspace(0.99, 0.5, len(rows), dtype=np.float32)
    probs = np.stack([first, 1 - first], axis=1)
    column = pa.FixedSizeListArray.from_arrays(pa.array(probs.ravel()), 2)
    return Answers(pa.record_batch({"prediction": ["a"] * len(rows), "probs": column}))


def turn(n: int) -> Turn:
    return Turn(n=n, seed=3, task=Task(input="text", target="label"), models={"current": unsure})


def test_random_and_chosen_questions_come_from_disjoint_rows_for_ever() -> None:
    pool = records(2000)
    kept = dict(zip(pool.column("_id").to_pylist(), reserved(pool, 0.25).tolist(), strict=True))
    for n in (1, 2, 3):
        asked = worth_asking(80, exam_share=0.25)(Pool(pool), turn(n)).to_pylist()
        assert len(asked) == 80
        assert sum(q["draw"] == "random" for q in asked) == 20
        assert all(kept[q["_id"]] == (q["draw"] == "random") for q in asked)
    assert 0.2 < np.mean(list(kept.values())) < 0.3


def test_chosen_questions_are_the_unsure_ones_and_random_ones_are_not() -> None:
    pool = records(2000)
    place = {i: n for n, i in enumerate(pool.column("_id").to_pylist())}
    asked = worth_asking(200, exam_share=0.5)(Pool(pool), turn(1)).to_pylist()
    where = {d: np.mean([place[q["_id"]] for q in asked if q["draw"] == d]) for d in ("random", "chosen")}
    assert where["chosen"] > 1400
    assert 800 < where["random"] < 1200


def test_a_small_pool_is_asked_once_each() -> None:
    asked = worth_asking(50, exam_share=0.2)(Pool(records(12)), turn(1)).to_pylist()
    ids = [q["_id"] for q in asked]
    assert len(set(ids)) == len(ids) <= 12


@pytest.mark.parametrize(("budget", "share"), [(-1, 0.2), (10, 1.5), (10, -0.1)])
def test_a_wrong_budget_is_refused_in_words(budget: int, share: float) -> None:
    with pytest.raises(RecipeError, match="worth_asking"):
        worth_asking(budget, exam_share=share)


def test_one_question_for_pictures_that_are_nearly_the_same() -> None:
    """Exposures of one part are asked about once; the pool comes in several batches."""
    bodies = [
        encoded(np.clip(part(i, "crack") * f, 0, 255).astype(np.uint8)) for f in (0.8, 1.1) for i in range(12)
    ]
    rows = Rows(pa.record_batch({"image": pa.array(bodies, pa.large_binary())}))
    whole = certify(
        source(rows, name="pool", maker="person", rights="own"),
        secret=b"1" * 32,
        origin=0,
        numbering=Numbering(),
    )

    class Batches(Pool):
        def batches(self, columns: Sequence[str] | None = None) -> Iterator[Records]:
            yield Records(self.batch.slice(0, 5))
            yield Records(self.batch.slice(5))

    task = Task(input="image", target="label", kind="image")
    now = Turn(n=1, seed=3, task=task, models={"current": unsure})
    asked = worth_asking(20, exam_share=0.3)(Batches(whole), now)
    place = {one: i % 12 for i, one in enumerate(whole.column("_id").to_pylist())}
    parts = [place[one] for one in asked.column("_id").to_pylist()]
    assert len(set(parts)) == len(parts) > 8


def test_a_budget_may_be_money() -> None:
    assert worth_asking("60,000 KRW", each="300 KRW").budget == 200
    assert worth_asking("10 USD", each="0.30 USD").budget == 33
    assert worth_asking("299 KRW", each="300 KRW").budget == 0
    for budget, each in (("60000 KRW", None), ("60000 KRW", "1 USD"), ("60000 KRW", "0 KRW")):
        with pytest.raises(RecipeError):
            worth_asking(budget, each=each)
    with pytest.raises(InputError):
        worth_asking("much", each="300 KRW")
