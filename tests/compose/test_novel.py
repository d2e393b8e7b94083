"""Likely new classes: clusters of what the model does not know, named by their words, asked about in part."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from bapsim.compose.asking import EXAMPLES, worth_asking
from bapsim.compose.novel import FEWEST, proposals
from bapsim.core.records import Answers, Numbering, Rows, Task, certify, source
from bapsim.core.turn import Turn
from tests.compose.test_asking import Pool

POLITE, HURRIED = (
    ("please", "hello I would like", "can you", "kindly"),
    ("혹시", "지금", "저기요", "오늘", "방금"),
)
COINS = ("yen", "won", "euro", "pound")
NEW = tuple(f"{word} the exchange rate of the {coin}" for word in POLITE for coin in COINS)
KOREAN = tuple(f"{word} 주차 등록 하고 싶어요 {i}층" for word in HURRIED for i in (1, 2))
OLD = tuple(f"my card number {i * 7919} is lost since {i}" for i in range(40))


def test_clusters_of_doubtful_rows_are_proposed_with_a_name_from_their_words() -> None:
    texts = [*OLD, *NEW, *KOREAN]
    doubt = np.array([0.1] * len(OLD) + [0.7] * (len(NEW) + len(KOREAN)))
    found = proposals(texts, doubt, OLD, 10)
    places = {
        len(OLD): range(len(OLD), len(OLD) + len(NEW)),
        len(OLD) + len(NEW): range(len(OLD) + len(NEW), 200),
    }
    for one in found:
        start = max(at for at in places if at <= one.rows.min())
        assert set(one.rows.tolist()) <= set(places[start]), "no cluster holds two kinds"
    names = " ".join(one.name for one in found)
    assert "rate" in names or "exchange" in names
    assert "주차" in names or "등록" in names
    assert not proposals(texts, np.zeros(len(texts)), OLD, 10), "a model that is sure proposes nothing"
    assert not proposals([], np.zeros(0), OLD, 10)
    assert not proposals(texts, doubt, OLD, 0)


def test_what_is_known_already_is_proposed_last() -> None:
    texts, doubt = [*KOREAN, *NEW], np.full(len(KOREAN) + len(NEW), 0.6)
    first = proposals(texts, doubt, NEW, 1)
    assert set(first[0].rows.tolist()) <= set(range(len(KOREAN)))


ODD = st.sampled_from(["", " ", "...", "!!!", "……", "?? ??", "ㅋㅋㅋ", "👍👍"])


@given(st.lists(st.text(max_size=12) | ODD, max_size=30), st.data())
def test_every_proposal_is_of_distinct_doubtful_rows(texts: list[str], data: st.DataObject) -> None:
    doubt = np.array(data.draw(st.lists(st.floats(0, 1), min_size=len(texts), max_size=len(texts))), float)
    found = proposals(texts, doubt, texts[:3], 4)
    rows = [int(i) for one in found for i in one.rows]
    assert len(found) <= 4
    assert len(rows) == len(set(rows))
    assert all(doubt[i] > 0.2 for i in rows)
    assert all(len(one.rows) >= FEWEST and one.name for one in found)


def foreign(rows: Rows) -> Answers:
    """A model of two classes that knows cards, and says that the rest fits nothing."""
    card = np.array(["card" in text for text in rows.column(0).to_pylist()])
    first = np.where(card, 0.95, 0.55).astype(np.float32)
    probs = pa.FixedSizeListArray.from_arrays(pa.array(np.stack([first, 1 - first], 1).ravel()), 2)
    columns = {"prediction": ["card"] * len(rows), "confidence": first, "probs": probs}
    return Answers(pa.record_batch({**columns, "in_scope": np.where(card, 0.9, 0.2).astype(np.float32)}))


foreign.classes = ("card", "loan")


def test_a_few_examples_of_each_are_asked_about_under_the_name() -> None:
    texts = [*OLD, *NEW, *KOREAN]
    draft = source(Rows(pa.record_batch({"text": texts})), name="log", maker="person", rights="own")
    pool = certify(draft, secret=b"1" * 32, origin=0, numbering=Numbering())
    turn = Turn(n=1, seed=3, task=Task(input="text", target="label"), models={"current": foreign})
    asked = worth_asking(60, exam_share=0.1)(Pool(pool), turn).to_pylist()
    new = [one for one in asked if one["why"] == "new_class"]
    place = {i: n for n, i in enumerate(pool.column("_id").to_pylist())}
    assert 0 < len(new) <= 0.15 * 54
    assert all(place[one["_id"]] >= len(OLD) for one in new)
    assert (
        max(sum(one["prediction"] == name for one in new) for name in {o["prediction"] for o in new})
        <= EXAMPLES
    )
    assert all(one["draw"] == "chosen" for one in new)
    assert len({one["_id"] for one in asked}) == len(asked) <= 60
