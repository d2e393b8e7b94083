"""Non-inferiority: a margin declared before the look, a level that holds, and no certainty out of nothing."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import InputError
from bapsim.core.records import Scores
from bapsim.judge.compare import NORMAL
from bapsim.judge.inferior import alike, can_prove, detectable, not_inferior, tango


def scores(said: np.ndarray, groups: np.ndarray | None = None, numeric: bool = False) -> Scores:
    n = len(said)
    gold = np.zeros(n) if numeric else np.full(n, "1")
    columns = {
        "_id": pa.array([i.to_bytes(16, "big") for i in range(n)], pa.binary(16)),
        "gold": pa.array(gold),
        "prediction": pa.array(said if numeric else np.where(said, "1", "0")),
        "loss": pa.array(np.abs(said).astype(float) if numeric else np.full(n, np.nan), from_pandas=True),
        "group": pa.array([str(g) for g in (np.arange(n) if groups is None else groups)]),
    }
    answer = "number" if numeric else "class"
    batch = pa.RecordBatch.from_pydict(columns).replace_schema_metadata({"answer": answer, "calibrated": "1"})
    return Scores(batch if numeric else batch.replace_schema_metadata({"answer": answer, "calibrated": "0"}))


def pair(wins: int, losses: int, n: int) -> tuple[Scores, Scores]:
    old, new = np.ones(n, bool), np.ones(n, bool)
    old[:wins], new[wins : wins + losses] = False, False
    return scores(old), scores(new)


def test_tango_by_hand():
    assert tango(0, 0, 1000, 0.01) == pytest.approx(np.sqrt(1000 * 0.01 / 0.99))  # no difference at all
    assert tango(5, 5, 400, 0.0) == 0
    assert tango(9, 1, 400, 0.0) == pytest.approx(8 / np.sqrt(10))  # McNemar's z


@given(st.integers(0, 30), st.integers(0, 30), st.integers(100, 2000), st.floats(0.002, 0.2))
def test_the_spread_is_that_of_the_likeliest_null(wins, losses, items, margin):
    """Tango's z with the chance of a loss found by trying: P(win) = P(loss) - margin."""
    q = np.linspace(margin + 1e-9, (1 + margin) / 2 - 1e-9, 400_001)
    rest = items - wins - losses
    like = wins * np.log(q - margin) + losses * np.log(q) + rest * np.log(1 - 2 * q + margin)
    best = q[like.argmax()]
    z = (wins - losses + items * margin) / np.sqrt(items * (2 * best - margin - margin**2))
    assert tango(wins, losses, items, margin) == pytest.approx(z, rel=2e-3, abs=1e-3)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(100, 2000), st.floats(0.002, 0.2))
def test_more_margin_and_fewer_losses_are_never_worse(wins, losses, items, margin):
    z = tango(wins, losses, items, margin)
    assert tango(wins, losses, items, margin * 1.1) >= z - 1e-9
    assert tango(wins, losses + 1, items, margin) <= z + 1e-9
    assert tango(wins + 1, losses, items, margin) >= z - 1e-9


def test_the_level_holds_where_the_file_is_just_too_bad():
    rng, level, items, margin, fine = np.random.default_rng(5), 0.05, 600, 0.02, 0
    for _ in range(4000):
        wins, losses, _same = rng.multinomial(items, [0.01, 0.03, 0.96])
        fine += tango(int(wins), int(losses), items, margin) >= NORMAL.inv_cdf(1 - level)
    assert 0.02 < fine / 4000 < 0.065


@pytest.mark.parametrize(
    ("wins", "losses", "items", "verdict"),
    [
        (0, 0, 1000, "ok"),
        (0, 0, 300, "cannot_tell"),
        (3, 4, 2000, "ok"),
        (2, 30, 1000, "worse"),
        (4, 12, 800, "cannot_tell"),
    ],
)
def test_verdicts(wins, losses, items, verdict):
    seen = not_inferior(*pair(wins, losses, items), 0.01, 0.005, differ=wins + losses, rows=items)
    assert seen.verdict == verdict
    assert (seen.wins, seen.losses, seen.items) == (wins, losses, items)
    assert seen.gain == pytest.approx((wins - losses) / items)
    assert seen.low <= seen.gain <= seen.high


def test_rows_without_labels_tell_that_all_answers_are_the_same():
    old, new = pair(0, 0, 300)
    assert not_inferior(old, new, 0.01, 0.005, differ=0, rows=600).verdict == "ok"
    assert not_inferior(old, new, 0.01, 0.005, differ=1, rows=600).verdict == "cannot_tell"
    assert alike(528, 0.01, 0.005)
    assert not alike(526, 0.01, 0.005)


def test_an_exam_that_can_prove_nothing_is_known_beforehand():
    assert not can_prove(300, 400, 0.01, 0.005)
    assert can_prove(300, 600, 0.01, 0.005)
    assert can_prove(700, 700, 0.01, 0.005)
    assert detectable(700, 0.0, 0.005) <= 0.01 < detectable(600, 0.0, 0.005)
    assert detectable(1000, 0.04, 0.005) > detectable(1000, 0.01, 0.005)


def test_near_duplicates_count_once():
    groups = np.repeat(np.arange(100), 10)
    old = np.ones(1000, bool)
    alone = not_inferior(scores(old), scores(old), 0.01, 0.005, differ=1, rows=1000)
    tied = not_inferior(scores(old, groups), scores(old, groups), 0.01, 0.005, differ=1, rows=1000)
    assert (alone.verdict, tied.verdict) == ("ok", "cannot_tell")
    new = old.copy()
    new[:30] = False
    lost = not_inferior(scores(old, groups), scores(new, groups), 0.01, 0.005, differ=30, rows=1000)
    assert lost.verdict == "cannot_tell", "three clusters, not thirty items"


def test_numbers():
    rng = np.random.default_rng(1)
    truth, off = rng.normal(0, 1, 900), rng.normal(0, 0.2, 900)

    def said(errors: np.ndarray) -> Scores:
        batch = scores(errors, numeric=True)
        gold, name = pa.array(truth), batch.schema.names.index("gold")
        batch = batch.set_column(name, "gold", gold)
        at = batch.schema.names.index("prediction")
        return Scores(batch.set_column(at, "prediction", pa.array(truth + errors)))

    same = not_inferior(said(off), said(off), 0.02, 0.005, differ=0, rows=900)
    assert same.verdict == "ok"
    assert same.gain == 0
    near = not_inferior(said(off), said(off + 1e-4 * rng.normal(size=900)), 0.02, 0.005, differ=900, rows=900)
    assert near.verdict == "ok"
    bad = not_inferior(said(off), said(off * 3), 0.02, 0.005, differ=900, rows=900)
    assert bad.verdict == "worse"
    assert bad.high < 0


@pytest.mark.parametrize("margin", [0.0, 1.0, -0.1])
def test_a_margin_is_a_share(margin):
    with pytest.raises(InputError, match="margin"):
        not_inferior(*pair(0, 0, 10), margin, 0.005, differ=0, rows=10)
