"""Slices: what is worse than elsewhere is found, what is not is not, and chance seldom is."""

from __future__ import annotations

import numpy as np

from bapsim.judge.slices import LEVEL, worst


def counted(member, wrong):
    return member.sum(axis=1), (member & wrong).sum(axis=1), len(wrong), int(wrong.sum())


def test_a_slice_that_is_worse_is_found_first():
    rng = np.random.default_rng(0)
    wrong = rng.random(2000) < 0.1
    member = rng.random((30, 2000)) < 0.1
    wrong |= member[7] & (rng.random(2000) < 0.4)
    found = worst(*counted(member, wrong))
    assert found[0].at == 7
    assert found[0].wrong > found[0].elsewhere + 0.2
    assert found[0].excess > 40
    assert found[0].p < 1e-6


def test_chance_is_seldom_taken_for_a_slice():
    rng, hits = np.random.default_rng(1), 0
    for _ in range(200):
        wrong, member = rng.random(600) < 0.2, rng.random((20, 600)) < 0.15
        hits += bool(worst(*counted(member, wrong)))
    assert hits <= 200 * LEVEL + 3 * np.sqrt(200 * LEVEL)


def test_small_slices_and_all_rows_are_no_slices():
    wrong = np.ones(100, bool)
    member = np.stack([np.arange(100) < 19, np.ones(100, bool)])
    assert worst(*counted(member, wrong)) == ()
    assert worst(np.array([50]), np.array([0]), 100, 0) == ()
