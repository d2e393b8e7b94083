"""Copies are refused in favour of rows that stay: which one stays, and what is never a copy."""

import gzip
import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.arrow import concat
from bapsim.core.records import VERDICT, Numbering, Origin, Records, Rows, Task, certify, source
from bapsim.core.turn import Turn
from bapsim.refine.duplicates import exact_copies, exact_duplicates, near_copies, near_duplicates
from bapsim.text.minhash import jaccard, shingles
from tests.image import pictures
from tests.image.pictures import encoded

TEXT = Turn(n=1, seed=0, task=Task(input="text", target="label"))
TABLE = Turn(n=1, seed=0, task=Task(input=("a", "b"), target="label", kind="table"))


@dataclass(frozen=True)
class Batches:
    """A dataset in memory, in several batches."""

    parts: tuple[Records, ...]
    keep: np.ndarray
    name: str = "all"

    def __len__(self):
        return len(self.keep)

    def batches(self, columns=None):
        for part in self.parts:
            own = [c for c in part.schema.names if c.startswith("_")]
            yield Records(part if columns is None else part.select([*columns, *own]))

    def kept(self):
        start = 0
        for part in self.parts:
            yield self.keep[start : start + len(part)]
            start += len(part)

    def find(self, ids):
        raise AssertionError("no survey of copies looks up ids")


def dataset(columns, makers=None, keep=None, size=3):
    """Rows with certificates, in batches of three; makers: person, machine or unknown for each row."""
    rows = pa.RecordBatch.from_pydict(columns)
    parts = []
    for i in range(len(rows)):
        maker = "person" if makers is None else makers[i]
        draft = source(Rows(rows.slice(i, 1)), name=maker, maker=maker, rights="own")
        parts.append(certify(draft, secret=b"k", origin=0, numbering=Numbering()))
    whole = concat(parts)
    cut = tuple(Records(whole.slice(i, size)) for i in range(0, len(whole), size))
    return Batches(cut, np.ones(len(rows), bool) if keep is None else np.array(keep))


def said(survey, data, turn=TEXT):
    parts = list(survey(data, turn))
    assert [len(p) for p in parts] == [len(p) for p in data.parts]
    assert all(p.schema == VERDICT for p in parts)
    return concat(parts)


def refused(survey, data, turn=TEXT):
    return [i for i, keep in enumerate(said(survey, data, turn).column("keep").to_pylist()) if keep is False]


def test_the_earliest_of_equal_rows_stays_and_contradictions_stay():
    data = dataset({"text": ["a", "a", "a", "A", "b", "a"], "label": ["x", "x", "y", "x", "x", "y"]})
    assert refused(exact_duplicates(), data) == [1, 5]
    verdict = said(exact_duplicates(), data)
    assert verdict.column("reason").to_pylist() == [
        None,
        "exact_duplicate",
        None,
        None,
        None,
        "exact_duplicate",
    ]


def test_what_people_made_stays_before_what_machines_made():
    makers = ["machine", "unknown", "person", "person"]
    data = dataset({"text": ["a"] * 4, "label": ["x"] * 4}, makers)
    assert refused(exact_duplicates(), data) == [0, 1, 3]
    data = dataset({"text": ["a"] * 2, "label": ["x"] * 2}, ["machine", "unknown"])
    assert refused(exact_duplicates(), data) == [0]


def test_a_labelled_row_stays_before_the_pool_whoever_made_it():
    data = dataset({"text": ["a", "a", "a", "b", "b"], "label": [None, None, "x", None, None]})
    assert refused(exact_duplicates(), data) == [0, 1, 4]
    data = dataset({"text": ["a", "a", "a"], "label": [None, "x", "y"]})
    assert refused(exact_duplicates(), data) == [0]


def test_a_text_that_somebody_labelled_is_not_asked_again():
    texts = [LONG, "short", LONG + " sir", LONG, "short", "short"]
    data = dataset({"text": texts, "label": [None, None, None, "x", "x", "y"]})
    assert said(near_duplicates(), data).column("keep").to_pylist() == [False, False, True, True, True, True]


def test_refused_rows_stand_for_nobody_and_get_no_second_verdict():
    data = dataset({"text": ["a", "a", "a"], "label": ["x", "x", "x"]}, keep=[False, True, True])
    for survey in (exact_duplicates(), near_duplicates()):
        assert said(survey, data).column("keep").to_pylist() == [None, True, False]
    nobody = dataset({"text": ["a", "a"], "label": ["x", "x"]}, keep=[False, False])
    assert said(near_duplicates(), nobody).column("keep").to_pylist() == [None, None]


def test_tables_have_exact_copies_only():
    columns = {"a": [1.0, 1.0, None, None, 1.5], "b": ["u", "u", "u", "u", "u"], "label": [1, 1, 1, 1, 1]}
    assert refused(exact_duplicates(), dataset(columns), TABLE) == [1, 3]
    assert said(near_duplicates(), dataset(columns), TABLE).column("keep").null_count == 5


LONG = "where is the card that I ordered two weeks ago, please"


def test_near_copies_need_the_same_target_and_say_how_alike_they_are():
    texts = [LONG, LONG + "!!", LONG.upper() + " now", LONG + " sir", "something else altogether"]
    data = dataset({"text": texts, "label": ["x", "x", "x", "y", "x"]})
    verdict = said(near_duplicates(0.7), data)
    assert verdict.column("keep").to_pylist() == [True, False, False, True, True]
    exact = jaccard(shingles(texts), np.array([0, 0]), np.array([1, 2]))
    assert verdict.column("value").to_pylist() == [None, *np.float32(exact).tolist(), None, None]
    assert verdict.column("limit").to_pylist()[1:4] == [np.float32(0.7), np.float32(0.7), None]
    assert refused(near_duplicates(1.0), data) == [1]


def test_several_text_columns_are_one_text():
    task = Turn(n=1, seed=0, task=Task(input=("a", "b"), target="label"))
    data = dataset({"a": [LONG, LONG, LONG], "b": ["one", None, "One."], "label": ["x"] * 3})
    assert refused(near_duplicates(), data, task) == [1, 2]
    assert refused(near_duplicates(1.0), data, task) == [2]


def test_no_rows():
    empty = Batches((), np.empty(0, bool))
    assert list(exact_duplicates()(empty, TEXT)) == list(near_duplicates()(empty, TEXT)) == []


def test_a_chain_is_not_refused_for_an_end_that_it_does_not_resemble():
    words = "".join(chr(0xAC00 + i) for i in range(200))
    texts = [words[i : i + 60] for i in range(0, 100, 4)]
    verdict = said(near_duplicates(), dataset({"text": texts, "label": ["x"] * len(texts)}))
    value = [v for v in verdict.column("value").to_pylist() if v is not None]
    assert value
    assert min(value) >= np.float32(0.8)
    stays = np.flatnonzero(list(verdict.column("keep").to_pylist()))
    assert 5 < len(stays) < len(texts)


labels = st.lists(st.integers(-1, 2), min_size=1, max_size=30)


@given(labels, st.integers(0, 99))
def test_every_exact_copy_has_a_row_that_stays_and_no_two_stay(targets, seed):
    rng = np.random.default_rng(seed)
    n = len(targets)
    targets, inputs = np.array(targets), rng.integers(0, 4, n)
    rank, alive = rng.integers(0, 3, n).astype(float), rng.random(n) < 0.8
    copies = exact_copies(inputs, targets, rank, alive)
    assert not copies[~alive].any()
    stays = alive & ~copies
    for i in np.flatnonzero(alive):
        same = stays & (inputs == inputs[i]) & (targets == targets[i])
        labelled = stays & (inputs == inputs[i]) & (targets >= 0)
        if targets[i] < 0 and (alive & (inputs == inputs[i]) & (targets >= 0)).any():
            assert labelled.any() and not same.any()  # noqa: PT018
        else:
            assert same.sum() == 1
            assert rank[same][0] <= rank[i]


@given(st.integers(1, 40), st.integers(0, 99))
def test_every_near_copy_is_alike_to_a_row_that_stays(n, seed):
    rng = np.random.default_rng(seed)
    place = rng.integers(0, 12, n)
    groups, rank = rng.integers(0, 3, n), rng.integers(0, 3, n).astype(float)

    def alike(a, b):
        return 1 - np.abs(place[a] - place[b]) / 10

    value = near_copies(groups, rank, np.ones(n, bool), alike, 0.8)
    stays = np.isnan(value)
    for i in np.flatnonzero(~stays):
        other = np.flatnonzero(stays & (groups == groups[i]) & (rank <= rank[i]))
        assert value[i] in alike(other, np.full(len(other), i))
        assert value[i] >= 0.8
    a, b = np.meshgrid(np.flatnonzero(stays), np.flatnonzero(stays))
    together = (a < b) & (groups[a] == groups[b])
    assert (alike(a[together], b[together]) < 0.8).all()


def test_origin_of_rows_decides_by_the_worse_of_input_and_target():
    rows = Rows(pa.RecordBatch.from_pydict({"text": ["a"], "label": ["x"]}))
    mixed = Origin(source="s", input_maker="person", target_maker="machine", method="m", rights="own")
    person = source(rows, name="p", maker="person", rights="own")
    drafts = [type(person)(rows=rows, origin=mixed), person]
    parts = [certify(d, secret=b"k", origin=i, numbering=Numbering()) for i, d in enumerate(drafts)]
    assert refused(exact_duplicates(), Batches(tuple(parts), np.ones(2, bool))) == [0]


@pytest.mark.data
def test_real_reviews(data):
    with gzip.open(data / "nsmc_ko" / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for _, line in zip(range(6000), lines, strict=False)]
    found = {"text": [r["text"] for r in rows], "label": [r["label"] for r in rows]}
    plain = source(Rows(pa.RecordBatch.from_pydict(found)), name="n", maker="person", rights="own")
    records = certify(plain, secret=b"k", origin=0, numbering=Numbering())
    whole = Batches((records,), np.ones(len(records), bool))
    exact = np.array(said(exact_duplicates(), whole).column("keep").to_pylist())
    labelled = {(t, y) for t, y in zip(found["text"], found["label"], strict=True) if y is not None}
    pool = {t for t, y in zip(found["text"], found["label"], strict=True) if y is None} - {
        t for t, _ in labelled
    }
    assert exact.sum() == len(labelled) + len(pool)
    rest = Batches((records,), exact)
    near = said(near_duplicates(), rest)
    again = exact & (np.array(near.column("keep").to_pylist(), object) == True)  # noqa: E712
    assert 0 < (exact & ~again).sum() < 200
    settled = said(near_duplicates(), Batches((records,), again))
    assert not [k for k in settled.column("keep").to_pylist() if k is False]


PICTURES = Turn(n=1, seed=0, task=Task(input="image", target="label", kind="image"))


def test_a_picture_that_was_saved_again_is_a_copy():
    one, two = (pictures.part(i, "crack") for i in (1, 2))
    bodies = [
        encoded(one),
        encoded(one, "BMP"),
        encoded(one, "JPEG", quality=85),
        encoded(two),
        b"no picture",
    ]
    labels = ["crack", "crack", None, "crack", "crack"]
    data = dataset({"image": pa.array([*bodies, bodies[0]], pa.large_binary()), "label": [*labels, "free"]})
    survey = near_duplicates(0.9)
    assert refused(survey, data, PICTURES) == [1]
    verdict = said(survey, data, PICTURES)
    assert verdict.column("value")[1].as_py() > 0.99
    assert verdict.column("limit")[1].as_py() == pytest.approx(0.9)
    assert refused(exact_duplicates(), data, PICTURES) == []
    twice = dataset(
        {"image": pa.array([bodies[0]] * 3, pa.large_binary()), "label": ["crack", None, "crack"]}
    )
    assert refused(exact_duplicates(), twice, PICTURES) == [1, 2]
    assert refused(survey, twice, PICTURES) == [1, 2]
