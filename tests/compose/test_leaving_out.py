"""The leave-out rule on worlds where the worth of each source is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.compose.leaving_out import chooses, leave_out

NAMES = ("a", "b", "c")


def world(harm, rows=3000, seed=0):
    """Held-out losses where each source adds its harm times its weight to the chance of a miss."""
    rng = np.random.default_rng(seed)
    of = rng.choice(np.array([*NAMES, "d"], object), rows)
    luck = rng.random(rows)
    asked = []

    def losses(weights):
        asked.append(dict(weights))
        miss = 0.2 + sum(harm.get(name, 0) * weights.get(name, 1.0) for name in NAMES)
        return (luck < miss).astype(float)

    return losses, of, asked


def test_what_harms_is_left_out_and_the_gain_is_told_by_other_rows():
    losses, of, asked = world({"b": 0.08})
    found = leave_out(NAMES, losses, of, np.arange(len(of)))
    assert found.weights == {"b": 0.0}
    assert found.low < 0.08 < found.high
    assert found.gain == pytest.approx(0.08, abs=0.02)
    assert found.rows == int((~chooses(np.arange(len(of))) & (of != "b")).sum())
    assert found.fits == len(asked) == 4  # all of them, and all without each
    assert [one.source for one in found.tried] == list(NAMES)


def test_what_helps_or_does_nothing_stays():
    losses, of, _ = world({"a": -0.05})
    found = leave_out(NAMES, losses, of, np.arange(len(of)))
    assert found.weights == {}
    assert (found.gain, found.optimism, found.rows) == (0, 0, 0)


def test_a_lower_weight_is_tried_where_leaving_out_does_not_help():
    _, of, _ = world({})

    def losses(weights):  # less of it is best
        return np.full(len(of), {1.0: 0.3, 0.5: 0.2, 0.0: 0.4}[weights.get("c", 1.0)])

    found = leave_out(NAMES, losses, of, np.arange(len(of)), weights=(0.0, 0.5))
    assert found.weights == {"c": 0.5}
    assert found.gain == pytest.approx(0.1)


def test_few_rows_choose_nothing():
    losses, of, _ = world({"b": 0.5}, rows=60)
    assert leave_out(NAMES, losses, of, np.arange(60)).weights == {}


@given(seed=st.integers(0, 10_000), groups=st.integers(2, 400))
@settings(max_examples=30, deadline=None)
def test_groups_stay_on_one_side_and_names_of_groups_do_not_matter(seed, groups):
    rng = np.random.default_rng(seed)
    group = rng.integers(groups, size=500)
    side = chooses(group)
    for one in np.unique(group):
        assert len(set(side[group == one].tolist())) == 1
    other = rng.permutation(groups)[group]
    assert (chooses(other) == side).all()


def test_optimism_is_near_nothing_on_average_where_no_source_matters():
    gains = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        of = rng.choice(np.array([*NAMES, "d"], object), 600)
        table = {name: rng.random(600) for name in ("", *NAMES)}

        def losses(weights, table=table):
            return table["".join(sorted(weights))[:1]]

        found = leave_out(NAMES, losses, of, np.arange(600))
        gains += [(found.optimism, found.gain)] if found.weights else []
    optimism, gain = np.mean(gains, axis=0)
    assert optimism > 0.01  # what was chosen looks better where it was chosen
    assert abs(gain) < 0.01  # and is told as it is
