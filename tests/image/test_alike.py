"""The same picture saved again is near; another part of the same kind is not."""

import io
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bapsim.image import alike
from tests.image.pictures import encoded, kind_of, part

PARTS = [part(i, kind_of(i)) for i in range(40)]


def again(pixels: np.ndarray) -> list[bytes]:
    """The same picture as a JPEG, smaller, brighter, and in another format."""
    small = Image.fromarray(pixels).resize((36, 36))
    out = io.BytesIO()
    small.save(out, "PNG")
    bright = np.clip(pixels * 1.2 + 10, 0, 255).astype(np.uint8)
    return [encoded(pixels, "JPEG", quality=80), out.getvalue(), encoded(bright), encoded(pixels, "BMP")]


def test_copies_are_found_and_others_are_not() -> None:
    bodies = [encoded(p) for p in PARTS]
    copies = [body for p in PARTS[:8] for body in again(p)]
    found = alike.groups(alike.sketches([*bodies, *copies]), 0.9)
    assert found.threshold == 0.9
    assert (found.of[:40] == np.arange(40)).all()
    assert (found.of[40:] == np.repeat(np.arange(8), 4)).mean() > 0.9
    known = alike.sketches(bodies[:4])
    hit = alike.near(known, alike.sketches([*copies[:16], *bodies[8:]]), 0.9)
    assert hit[:16].mean() > 0.9
    assert not hit[16:].any()


def test_order_decides_nothing_and_copies_of_bytes_are_one() -> None:
    bodies = [encoded(p) for p in PARTS[:10]] * 2
    whole = alike.sketches(bodies)
    order = np.random.default_rng(0).permutation(20)
    straight, mixed = alike.groups(whole).of, alike.groups(whole.part(order)).of
    assert (straight[10:] == straight[:10]).all()
    same = straight[order][:, None] == straight[order][None]
    assert (same == (mixed[:, None] == mixed[None])).all()


def test_what_cannot_be_seen_is_like_nothing_but_itself() -> None:
    flat, other = (encoded(np.full((9, 9), level, np.uint8)) for level in (7, 99))
    found = alike.sketches([b"", None, b"no picture", flat, other, flat, encoded(PARTS[0])])
    assert alike.groups(found).of.tolist() == [0, 1, 2, 3, 4, 3, 6]
    pairs = np.array([0, 3, 3, 6]), np.array([1, 5, 4, 6])
    assert alike.likeness(found, *pairs).tolist() == [0, 1, 0, 1]
    assert len(alike.groups(alike.sketches([])).of) == 0
    assert alike.near(found.part(np.zeros(7, bool)), found).tolist() == [False] * 7


def test_one_camera_on_one_part_ties_nothing_together() -> None:
    scene = part(1, "free").astype(float)
    rng = np.random.default_rng(5)
    seen = [np.clip(scene + rng.normal(0, 3, scene.shape), 0, 255).astype(np.uint8) for _ in range(120)]
    twin = encoded(seen[0], "BMP")
    found = alike.groups(alike.sketches([*(encoded(s) for s in seen), twin]), 0.8)
    assert found.threshold > 0.8
    assert np.bincount(found.of).max() <= 50
    assert found.of[120] == 0


@given(st.integers(0, 10**6))
def test_likeness_is_exact_whatever_adds_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = rng.integers(-127, 128, (9, 256)).astype(np.int8)
    found = alike.Sketches(edges, np.zeros(9, np.int16))
    left, right = rng.integers(9, size=5), rng.integers(9, size=5)
    for i, likeness in enumerate(alike.likeness(found, left, right)):
        a, b = edges[left[i]].astype(object), edges[right[i]].astype(object)
        assert likeness == max((a * b).sum(), 0) ** 2 / ((a * a).sum() * (b * b).sum())


def test_exposures_of_a_tile_meet(data: Path) -> None:
    """At .8 most pictures meet another one of the same tile; few clusters span tiles."""
    with np.load(data / "defect_tiles" / "tiles96.npz") as tiles:
        pictures, group = tiles["image"][:300], tiles["group"][:300]
    of = alike.groups(alike.sketches([encoded(p) for p in pictures])).of
    same, joined = group[:, None] == group[None], of[:, None] == of[None]
    np.fill_diagonal(same, False)
    met = (same & joined).any(axis=1)[same.any(axis=1)]
    spans = [len(set(group[of == k].tolist())) > 1 for k in np.unique(of)]
    assert met.mean() > 0.7
    assert np.mean(spans) < 0.1
