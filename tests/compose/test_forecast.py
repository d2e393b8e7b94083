"""What more rows are worth: laws of the forecast, and that it finds a power law that is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.compose.forecast import SHARE, SLOPE, curve_of, forecast, widened, winkler


def samples(slope, rows=2000, judged=1500, level=0.2, rng=None):
    """What a power law gives at four fifths, half and a quarter; with `rng`, as `judged` rows tell it."""
    size = [0.8 * rows, 0.5 * rows, 0.25 * rows]
    loss = np.array([level * (s / rows) ** -slope for s in size])
    shared = 0.6 * np.sqrt(np.outer(loss * (1 - loss), loss * (1 - loss)))
    cov = (shared + np.diag(0.4 * loss * (1 - loss))) / judged
    if rng is not None:
        loss = np.clip(rng.multivariate_normal(loss, cov), 0.01, 0.95)
    return {"size": size, "loss": loss.tolist(), "cov": cov.tolist(), "rows": judged, "all": rows}


LAWS = {"slope": st.floats(0, 0.8), "rows": st.integers(200, 50_000), "judged": st.integers(100, 5000)}


@given(**LAWS, more=st.integers(1, 20_000))
@settings(max_examples=40, deadline=None)
def test_intervals_hold_their_middles_and_errors_are_read_as_they_are(slope, rows, judged, more):
    said = forecast(curve_of(samples(slope, rows, judged)), 0.21, more)
    assert said.low <= said.gain <= said.high
    for middle, low, high in (said.fresh, said.reported):
        assert low <= middle <= high
    assert said == forecast(curve_of(samples(slope, rows, judged)), 0.21, more)


@given(slope=st.floats(0.1, 0.8), more=st.integers(50, 3000), times=st.integers(2, 4))
@settings(max_examples=25, deadline=None)
def test_more_rows_are_worth_more_and_picked_ones_no_less(slope, more, times):
    law = curve_of(samples(slope))
    small, large = (forecast(law, 0.2, n) for n in (more, times * more))
    assert large.gain > small.gain
    assert forecast(law, 0.2, more, picked=1.0).gain > small.gain
    assert forecast(law, 0.2, more, worth=(0.0, 0.0)).gain == pytest.approx(0, abs=0.002)
    assert forecast(law, 0.2, more, worth=(-1.0, 0.0)).gain < 0 < small.gain


def test_a_known_law_is_found_and_covered():
    rng, hits = np.random.default_rng(3), 0
    for _ in range(200):
        law = curve_of(samples(0.3, rng=rng))
        said = forecast(law, 0.2, 600)
        hits += said.low <= 0.2 * (1 - (2600 / 2000) ** -0.3) <= said.high
    assert hits / 200 >= 0.85  # wider than the law alone: answers and trainings differ, too
    told = curve_of(samples(0.3, judged=10**7))
    assert (told.slope, math.exp(told.level)) == (pytest.approx(0.3, abs=0.02), pytest.approx(0.2, abs=0.002))


def test_it_says_so_where_it_cannot_tell():
    assert curve_of(None) is None
    assert curve_of({**samples(0.3), "loss": [0.0, 0.1, 0.2]}) is None  # no error to tell from
    vague = curve_of({**samples(0.3), "cov": (np.eye(3) * 4).tolist()})
    assert vague.slope == pytest.approx(SLOPE[0], abs=0.05)
    assert not forecast(vague, 0.2, 100).tells
    law = curve_of(samples(0.3))
    assert forecast(law, 0.2, 500).tells
    assert not forecast(law, 0.2, 8001).tells  # too far
    assert not forecast(law, 0.2, 0).tells


@given(st.lists(st.floats(-10, 10), max_size=30))
def test_earlier_misses_widen_and_hits_narrow(past):
    wide = widened(past)
    assert 0.3 < wide < 3
    assert widened([*past, wide]) == pytest.approx(wide)  # one as far off as was expected changes nothing
    assert widened([]) == 1
    assert widened([0.0] * 4) < 1 < widened([3.0] * 4)


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(-2, 2))
def test_winkler_is_the_width_plus_what_was_missed(low, width, truth):
    high, score = low + width, winkler(low, low + width, truth)
    assert score >= high - low
    off = max(low - truth, truth - high, 0)
    assert score == pytest.approx(high - low + 2 / (1 - SHARE) * off)
