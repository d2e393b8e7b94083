"""Laws of the exam and the folds: whole groups, classes left for training, sizes, order of rows, time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.compose.exam import STRATUM, Frame, draw, exam_size, folds, groups


@st.composite
def frames(draw_, timed=False, grouped=False):
    n = draw_(st.integers(1, 150))
    rng = np.random.default_rng(draw_(st.integers(0, 2**32)))
    spread = draw_(st.sampled_from([2, n // 3 + 1, n, 5 * n]))
    return Frame(
        labels=rng.integers(-1 if draw_(st.booleans()) else 0, draw_(st.integers(1, 6)), n),
        clusters=rng.integers(0, spread, n),
        roots=rng.integers(0, 3 * n, n),
        group=rng.integers(-1, max(n // 4, 1), n) if grouped else None,
        time=rng.integers(2000, 2010, n).astype(float) if timed else None,
        eligible=rng.random(n) < draw_(st.sampled_from([0.3, 0.9, 1.0])),
        ids=rng.permutation(n),
    )


def alone(labels, **more):
    rows = np.arange(len(labels))
    return Frame(labels=np.asarray(labels), clusters=rows, roots=rows, **more)


def counted(frame):
    return frame.eligible & (frame.labels >= 0)


@given(frames(), st.integers(0, 120), st.integers(0, 9))
def test_exam_takes_whole_groups_of_eligible_rows_and_leaves_half_of_each_class(frame, size, seed):
    exam = draw(frame, size, np.random.default_rng(seed))
    assert not (exam & ~counted(frame)).any()
    group = groups(frame)
    assert np.array_equal(exam, np.isin(group, group[exam]) & counted(frame))
    for label in range(6):
        mine = counted(frame) & (frame.labels == label)
        assert 2 * (exam & mine).sum() <= mine.sum()
        assert mine.sum() >= 3 or not (exam & mine).any()
    for values in (frame.clusters, frame.roots):
        assert not np.isin(values[exam], values[counted(frame) & ~exam]).any()
    if exam.sum() > size:  # one group too many, because it comes nearer than without it
        parts = np.unique(group[exam], return_counts=True)[1]
        assert any(size - (exam.sum() - part) > exam.sum() - size for part in parts)


@given(frames(timed=True, grouped=True), st.integers(1, 60), st.integers(0, 9))
def test_order_of_rows_decides_nothing(frame, size, seed):
    order = np.random.default_rng(seed).permutation(len(frame))
    shuffled = Frame(**{name: value[order] for name, value in vars(frame).items()})
    kept, moved = (draw(f, size, np.random.default_rng(seed)) for f in (frame, shuffled))
    assert np.array_equal(kept[order], moved)
    kept, moved = (folds(f, 3, np.random.default_rng(seed)) for f in (frame, shuffled))
    assert np.array_equal(kept[order], moved)


@given(st.integers(1, 900), st.integers(1, 5), st.integers(1, 300), st.integers(0, 9))
def test_single_rows_give_an_exam_of_the_size_asked_for_large_classes_in_proportion(n, kinds, size, seed):
    labels = np.random.default_rng(seed).integers(0, kinds, n)
    exam = draw(alone(labels), size, np.random.default_rng(seed))
    totals = np.bincount(labels, minlength=kinds)
    caps = np.where(totals >= 3, totals // 2, 0)
    assert exam.sum() == min(size, caps.sum())
    taken = np.bincount(labels[exam], minlength=kinds)
    if size * totals.max() / n < 0.4 * totals.min():  # no class is short
        large = totals >= STRATUM
        assert (np.abs(taken - size * totals / n) < 1)[large].all()


def test_an_exam_of_many_small_classes_does_not_repeat_what_training_is_rich_in():
    """Else a young model looks better than it is: rows for training and for the exam must go up apart."""
    taught, asked = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 40, 600)
        exam = draw(alone(labels), 120, rng)
        taught.append(np.bincount(labels[~exam], minlength=40))
        asked.append(np.bincount(labels[exam], minlength=40))
    assert abs(np.corrcoef(np.ravel(taught), np.ravel(asked))[0, 1]) < 0.05  # in proportion: .9
    assert np.mean(asked) == pytest.approx(3)
    assert np.var(asked) == pytest.approx(3, rel=0.1)  # as of independent draws from all the service's rows


def test_draws_are_random_and_repeatable():
    frame = alone(np.zeros(1000, np.int64))
    seen = [draw(frame, 200, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])
    often = sum(draw(frame, 200, np.random.default_rng(seed)) for seed in range(200))
    assert often.min() >= 15
    assert often.max() <= 70


def test_large_groups_are_taken_when_that_comes_nearer_to_the_size():
    hospital = np.repeat([0, 1, 2, 3], 30)
    frame = alone(np.tile([0, 1], 60), group=hospital)
    exam = draw(frame, 24, np.random.default_rng(0))
    assert exam.sum() == 30
    assert len(np.unique(hospital[exam])) == 1
    assert not draw(frame, 10, np.random.default_rng(0)).any()  # 30 is no nearer to 10 than none
    two = alone(np.tile([0, 1], 60), group=np.repeat([0, 1], [59, 61]))
    assert draw(two, 50, np.random.default_rng(0)).sum() in (0, 59)


def test_a_group_whose_classes_have_no_room_is_passed_over_for_one_that_fits():
    labels = np.repeat([0, 1], [10, 30])
    frame = alone(labels, group=np.repeat([0, 1, 2, 3], [8, 12, 10, 10]))
    exam = draw(frame, 10, np.random.default_rng(3))
    assert exam.sum() == 10
    assert set(frame.group[exam]) <= {2, 3}


def test_with_times_the_exam_is_the_latest_period_and_groups_that_began_earlier_stay():
    time = np.arange(300.0)
    roots = np.arange(300)
    roots[299] = 0  # the last row descends from the first
    frame = Frame(labels=np.arange(300) % 2, clusters=np.arange(300), roots=roots, time=time)
    exam = draw(frame, 50, np.random.default_rng(0))
    assert np.flatnonzero(exam).tolist() == list(range(249, 299))
    many = alone(np.zeros(300, np.int64), time=np.repeat([1, 2], 150).astype("datetime64[Y]"))
    exam = draw(many, 50, np.random.default_rng(0))
    assert exam.sum() == 50
    assert not exam[:150].any()
    unknown = alone(np.zeros(4, np.int64), time=np.array([1.0, np.nan, np.nan, 2.0]))
    assert draw(unknown, 2, np.random.default_rng(0)).tolist() == [True, False, False, True]
    text = alone(np.zeros(4, np.int64), time=np.array(["2024-02", "2023-01", "2024-10", "2022-12"], object))
    assert draw(text, 2, np.random.default_rng(0)).tolist() == [True, False, True, False]


def test_no_rows_and_no_room_give_an_empty_exam():
    assert draw(alone(np.empty(0, np.int64)), 10, np.random.default_rng(0)).shape == (0,)
    assert not draw(alone([0, 0, 1, 1]), 10, np.random.default_rng(0)).any()
    assert not draw(alone([-1, -1, -1]), 10, np.random.default_rng(0)).any()
    assert not draw(alone([0] * 9), 0, np.random.default_rng(0)).any()


def test_groups_join_clusters_roots_and_declared_groups_of_any_chain():
    frame = Frame(
        labels=np.zeros(40, np.int64),
        clusters=np.array([0, 0, *range(2, 40)]),
        roots=np.array([0, 1, 1, *range(3, 40)]),
        group=np.array([-1, -1, 7, 7, *[-1] * 36]),
    )
    assert groups(frame).tolist() == [0, 0, 0, 0, *range(4, 40)]


def test_texts_that_everybody_writes_do_not_make_one_group_of_all_declared_groups():
    film = np.repeat(np.arange(100), 20)
    clusters = np.arange(2000)
    clusters[::20] = 0  # each film has one "great!"
    clusters[[1, 21]] = 1  # and two have a review in common
    frame = Frame(labels=film % 2, clusters=clusters, roots=np.arange(2000), group=film)
    found = groups(frame)
    assert found[0] == found[21]
    assert len(np.unique(found)) == 99


@given(frames(), st.integers(2, 7), st.integers(0, 9))
def test_folds_keep_groups_together_and_every_class_in_training(frame, k, seed):
    fold = folds(frame, k, np.random.default_rng(seed))
    assert fold.dtype == np.int8
    assert fold.min() >= 0
    assert fold.max() < k
    group = groups(frame)
    assert len(np.unique(np.stack([group, fold]), axis=1).T) == len(np.unique(group))
    if len(np.unique(group)) >= k and np.bincount(group).max() == 1:
        assert len(np.unique(fold)) == k
    for label in np.unique(frame.labels):
        mine = frame.labels == label
        pure = ~np.isin(group, group[~mine]) & mine
        if len(np.unique(group[pure])) > 1:  # it could be in training whichever fold is held out
            assert len(np.unique(fold[mine])) > 1


@given(st.integers(2, 300), st.integers(1, 9), st.integers(2, 6), st.integers(0, 9))
def test_folds_of_single_rows_are_level_in_classes_and_in_size(n, kinds, k, seed):
    labels = np.random.default_rng(seed).integers(-1, kinds, n)
    fold = folds(alone(labels), k, np.random.default_rng(seed))
    for label in np.unique(labels):
        assert np.ptp(np.bincount(fold[labels == label], minlength=k)) <= 1
    assert np.ptp(np.bincount(fold, minlength=k)) <= 1


def test_folds_balance_groups_of_different_sizes_and_classes():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(300), rng.integers(1, 12, 300))
    labels = (group % 3 + (rng.random(len(group)) < 0.2)) % 3
    fold = folds(alone(labels, group=group), 5, rng)
    table = np.histogram2d(labels, fold, (3, 5))[0]
    assert (np.abs(table / table.sum(axis=1, keepdims=True) - 0.2) < 0.02).all()
    with pytest.raises(ValueError, match="folds"):
        folds(alone(labels), 1, rng)


def test_exam_size_is_a_fifth_within_bounds():
    assert [exam_size(n) for n in (0, 10, 200, 340, 500, 3000, 10_000, 121_798)] == [
        0, 3, 60, 100, 100, 600, 2000, 2000,
    ]  # fmt: skip
    sizes = [exam_size(n) for n in range(2000)]
    assert sizes == sorted(sizes)
