"""The survey: out of fold where the model learnt the row, directly where not; no row comes and goes."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from bapsim.compose.oof import crossfit
from bapsim.core.arrow import concat, id_bytes, take
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Mixture
from bapsim.core.records import (
    VERDICT,
    Numbering,
    Origin,
    Records,
    Rows,
    Task,
    certify,
    derive,
    rows_of,
    source,
)
from bapsim.core.turn import Turn
from bapsim.refine.ambiguity import ambiguous_pairs
from bapsim.refine.label_errors import LabelErrors, label_errors, left_out, listen
from bapsim.train.text import text_linear
from tests.refine.test_duplicates import Batches
from tests.wheel.world import ASKS, ENDS, WORDS

TASK = Task(input="text", target="label")


def texts_of(n, seed=0):
    rng, names = np.random.default_rng(seed), list(ASKS)
    y = rng.integers(4, size=n)
    words = [" ".join(rng.choice(WORDS, 3)) for _ in range(n)]
    texts = [
        f"{w} {ASKS[names[c]].split('|')[i % 5]}{ENDS[i % 10]} {i}"
        for i, (c, w) in enumerate(zip(y, words, strict=True))
    ]
    return texts, np.array(names)[y]


def wrong(labels, rate, seed=0):
    """Labels of which this share is another one."""
    rng, names = np.random.default_rng(seed), np.array(list(ASKS))
    at = rng.choice(len(labels), round(rate * len(labels)), replace=False)
    said = labels.astype(object)
    said[at] = [rng.choice(names[names != labels[i]]) for i in at]
    return said


def records(texts, labels, maker="person", target=None):
    rows = pa.record_batch({"text": pa.array(texts), "label": pa.array(list(labels), target or pa.string())})
    draft = source(Rows(rows), name="x", maker=maker, rights="own")
    return certify(draft, secret=b"k", origin=0, numbering=Numbering())


def table(whole, keep=None, size=100):
    parts = tuple(Records(whole.slice(i, size)) for i in range(0, len(whole), size))
    return Batches(parts, np.ones(len(whole), bool) if keep is None else keep)


def champion(whole, eaten):
    """A turn whose champion was trained on these rows (positions)."""
    mixture = Mixture(task=TASK, records=Records(take(whole, eaten)))
    folds = np.random.default_rng(0).integers(5, size=len(eaten)).astype(np.int8)
    fitted = crossfit(text_linear(cost=1.0), None, mixture, folds, 0)
    oof = fitted.answers.append_column("_id", mixture.records.column("_id"))
    return Turn(n=2, seed=0, task=TASK, models={"champion": fitted.model}, oof=oof)


def said(survey, data, turn):
    parts = list(survey(data, turn))
    assert [len(p) for p in parts] == [len(p) for p in data.parts]
    assert all(p.schema == VERDICT for p in parts)
    return concat(parts).to_pydict()


TEXTS, TRUE = texts_of(600)


def test_with_few_wrong_labels_it_says_how_likely_each_is_wrong_and_refuses_none():
    labels = wrong(TRUE, 0.08)
    whole = records(TEXTS, labels)
    verdict = said(label_errors(weigh=False), table(whole), champion(whole, np.arange(500)))
    bad = labels != TRUE
    value, reason = np.array(verdict["value"]), np.array(verdict["reason"], object)
    assert False not in verdict["keep"]
    assert value[bad].mean() > 5 * value[~bad].mean()
    flagged = reason == "label_error"
    assert bad[flagged].mean() > 0.8
    assert {verdict["keep"][i] for i in np.flatnonzero(flagged)} == {None}
    assert {verdict["keep"][i] for i in np.flatnonzero(~flagged)} == {True}
    assert (value[flagged] >= np.array(verdict["limit"])[flagged]).all()
    assert flagged[500:].sum() > 0  # rows that the champion did not learn are judged alike
    assert flagged[500:].mean() == pytest.approx(flagged[:500].mean(), abs=0.08)


def test_with_many_it_leaves_out_and_machine_made_labels_too():
    labels = wrong(TRUE, 0.3)
    for maker in ("person", "machine"):
        whole = records(TEXTS, labels, maker)
        turn = champion(whole, np.arange(600))
        verdict = said(label_errors(weigh=False), table(whole), turn)
        out = np.array([keep is False for keep in verdict["keep"]])
        assert out.sum() > 100
        assert (labels != TRUE)[out].mean() > 0.9
        assert {verdict["reason"][i] for i in np.flatnonzero(out)} == {"label_error"}
        assert False not in said(label_errors(prune_above=1.0), table(whole), turn)["keep"]


def test_an_answer_to_a_random_question_is_never_left_out():
    labels = wrong(TRUE, 0.3)
    questions = records([f"{text} ?" for text in TEXTS], [None] * 600)
    asked = Origin(source="a", input_maker="person", target_maker="person", method="asked", rights="own")
    rows = pa.record_batch({"text": pa.array(TEXTS), "label": pa.array(list(labels))})
    draft = derive(
        questions, [[i] for i in range(600)], Rows(rows), changed=frozenset({"target"}), origin=asked
    )
    whole = certify(draft, secret=b"k", origin=0, numbering=Numbering())
    turn = champion(whole, np.arange(600))
    ids = questions.column("_id").to_pylist()
    draws = {one: "random" if i % 3 == 0 else "chosen" for i, one in enumerate(ids)}
    verdict = said(label_errors(weigh=False), table(whole), replace(turn, asked=draws))
    out = np.array([keep is False for keep in verdict["keep"]])
    random = np.arange(600) % 3 == 0
    assert out[~random].sum() > 60
    assert not out[random].any()
    suspect = np.array([reason == "label_error" for reason in verdict["reason"]])
    assert suspect[random].mean() == pytest.approx(suspect[~random].mean(), abs=0.1)


@dataclass(frozen=True)
class Last:
    """Last turn's records, and what was refused then."""

    whole: Records
    refused: np.ndarray

    def batches(self, columns=None):
        yield self.whole

    def kept(self):
        yield ~self.refused


def test_what_is_left_out_stays_out_over_three_turns():
    labels = wrong(TRUE, 0.3)
    whole = records(TEXTS, labels)
    turn, eaten, outs = champion(whole, np.arange(600)), np.arange(600), []
    for _ in range(3):
        verdict = said(label_errors(weigh=False), table(whole), turn)
        out = np.array([keep is False for keep in verdict["keep"]])
        outs.append(out)
        eaten = np.flatnonzero(~out)
        turn = replace(champion(whole, eaten), data={"all": Last(whole, out)})
    bad = labels != TRUE
    for before, after in pairwise(outs):
        assert (before & after).sum() > 0.9 * before.sum()
        assert (before & ~after & bad).sum() <= 0.05 * before.sum()


def test_at_the_level_itself_nothing_comes_and_goes():
    labels = wrong(TRUE, 0.2)
    whole = records(TEXTS, labels)
    turn = champion(whole, np.arange(600))
    low = listen(table(whole), turn).suspicion().noise.low
    just_above, just_below = label_errors(prune_above=0.98 * low), label_errors(prune_above=1.02 * low)
    out = np.array([keep is False for keep in said(just_above, table(whole), turn)["keep"]])
    assert out.any()
    assert False not in said(just_below, table(whole), turn)["keep"]
    later = replace(turn, data={"all": Last(whole, out)})
    assert [keep is False for keep in said(just_below, table(whole), later)["keep"]] == out.tolist()
    far = label_errors(prune_above=1.3 * low)
    assert False not in said(far, table(whole), later)["keep"]
    assert left_out(later, id_bytes(whole.column("_id"))).tolist() == out.tolist()
    assert not left_out(turn, id_bytes(whole.column("_id"))).any()


def test_contradictions_are_named_and_not_refused_and_copies_count():
    labels = TRUE.astype(object)
    texts = [*TEXTS, "the same thing", "the same thing", "the same thing", "The same thing!"]
    labels = np.array([*labels, "card", "card", "card", "loan"], object)
    whole = records(texts, labels)
    keep = np.ones(604, bool)
    keep[601:603] = False  # an earlier survey refused the copies
    verdict = said(label_errors(weigh=False), table(whole, keep), champion(whole, np.flatnonzero(keep)))
    assert verdict["reason"][603] == "contradiction"
    assert verdict["keep"][603] is None
    assert verdict["value"][603] == pytest.approx(0.75)
    assert verdict["reason"][600:603] == [None, None, None]
    assert verdict["keep"][601:603] == [None, None]
    assert verdict["value"][601:603] == [None, None]


def test_it_abstains_where_nothing_can_be_said():
    whole = records([*TEXTS[:300], "no label", "new class"], [*TRUE[:300], None, "unheard"])
    nobody = Turn(n=1, seed=0, task=TASK)
    turn = champion(whole, np.arange(300))
    for one in (nobody, replace(turn, models={}), replace(turn, oof=None)):
        verdict = said(label_errors(weigh=False), table(whole), one)
        assert set(verdict["keep"]) == set(verdict["value"]) == {None}
    bare = replace(turn, oof=turn.oof.drop_columns(["probs"]))
    assert set(said(label_errors(weigh=False), table(whole), bare)["keep"]) == {None}
    verdict = said(label_errors(weigh=False), table(whole), turn)
    assert verdict["keep"][300:] == [None, None]
    assert verdict["value"][300:] == [None, None]
    assert None not in verdict["keep"][:290]
    nothing = table(records(["a"], [None]))
    assert said(label_errors(weigh=False), nothing, turn)["keep"] == [None]
    empty = Batches((), np.ones(0, bool))
    assert list(label_errors(weigh=False)(empty, turn)) == []
    refused = table(whole, np.zeros(302, bool))
    assert set(said(label_errors(weigh=False), refused, turn)["keep"]) == {None}


def test_a_row_that_was_learnt_but_never_held_out_cannot_be_judged():
    whole = records(TEXTS[:300], TRUE[:300])
    turn = champion(whole, np.arange(300))
    gone = np.arange(300) % 3 == 0
    answers = turn.oof.take(pa.array(np.where(gone, -1, np.arange(300)), pa.int64(), mask=gone))
    at = answers.schema.get_field_index("_id")
    turn = replace(turn, oof=answers.set_column(at, "_id", whole.column("_id")))
    value = said(label_errors(weigh=False), table(whole), turn)["value"]
    assert [v is None for v in value] == gone.tolist()


def test_numbers_as_labels_and_tables_as_inputs():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=200)
    labels = np.where(np.arange(200) < 10, 1 - y, y)
    whole = records(TEXTS[:200], labels, target=pa.int64())
    words = np.array(["yes no maybe", "card loan app"], object)
    texts = [f"{words[c]} {i}" for i, c in enumerate(y)]
    whole = Records(whole.set_column(0, "text", pa.array(texts)))
    heard = listen(table(whole), champion(whole, np.arange(200)))
    assert heard.classes == ("0", "1")
    assert heard.labels.tolist() == labels.tolist()
    assert ambiguous_pairs(heard.probs, heard.labels, heard.classes, groups=heard.groups) == ()

    task = Task(input=("a", "b"), target="label", kind="table")
    rows = pa.record_batch({"a": [1.0, 1.0, 2.0], "b": ["x", "x", "x"], "label": ["u", "v", "u"]})
    draft = source(Rows(rows), name="x", maker="person", rights="own")
    whole = certify(draft, secret=b"k", origin=0, numbering=Numbering())
    model = Sayer(("u", "v"))
    oof = model(rows_of(take(whole, [0]))).append_column("_id", take(whole, [0]).column("_id"))
    turn = Turn(n=2, seed=0, task=task, models={"champion": model}, oof=oof)
    heard = listen(table(whole), turn)
    assert heard.features is None
    assert heard.groups[0] == heard.groups[1] != heard.groups[2]
    assert said(label_errors(weigh=False), table(whole), turn)["reason"] == [None, "contradiction", None]


@dataclass(frozen=True)
class Sayer:
    """A model of a table, sure of the first class."""

    classes: tuple[str, ...]

    def __call__(self, rows):
        probs = pa.FixedSizeListArray.from_arrays(pa.array([0.9, 0.1] * len(rows), pa.float32()), 2)
        return pa.record_batch({"prediction": pa.array(["u"] * len(rows)), "probs": probs})


def test_levels_that_cannot_be():
    assert label_errors(0.3, near=0.8) == LabelErrors(prune_above=0.3, near=0.8)
    for bad in ({"prune_above": -0.1}, {"prune_above": 1.5}, {"near": 0.0}, {"near": 1.1}):
        with pytest.raises(RecipeError) as caught:
            label_errors(**bad)
        assert "label_errors" in str(caught.value)
