"""860 numbers: what they answer to, and what they do not."""

import numpy as np

from bapsim.image.features import BLOCKS, WIDTH, features, measured
from bapsim.image.pixels import square
from tests.image.pictures import encoded, part


def blocks(row: np.ndarray) -> dict[str, np.ndarray]:
    edges = np.cumsum([0, *BLOCKS.values()])
    return {name: row[a:b] for name, a, b in zip(BLOCKS, edges[:-1], edges[1:], strict=True)}


def test_what_cannot_be_read_is_zero_and_said() -> None:
    x, known = features([encoded(part(1, "free")), b"no", None])
    assert x.shape == (3, WIDTH) == (3, sum(BLOCKS.values()))
    assert known.tolist() == [True, False, False]
    assert not x[1:].any()
    assert np.isfinite(x).all()
    assert features([])[0].shape == (0, WIDTH)


def test_batches_and_neighbours_change_nothing() -> None:
    bodies = [encoded(part(i, "hole")) for i in range(70)]
    whole = features(bodies)[0]
    assert np.array_equal(whole[66], features(bodies[66:67])[0][0])


def test_directions_are_where_edges_point() -> None:
    y, x = np.mgrid[0:64, 0:64]
    found = {}
    for name, ramp in {"right": x, "down": y, "left": 63 - x, "up": 63 - y}.items():
        row = measured(np.repeat((ramp / 63).astype(np.float32)[None, ..., None], 3, axis=3))[0]
        found[name] = int(blocks(row)["edges2"].reshape(2, 2, 8).sum(axis=(0, 1)).argmax())
    assert found == {"right": 0, "down": 2, "left": 4, "up": 6}


def test_colour_and_contrast_have_their_own_numbers() -> None:
    grey = part(3, "crack")
    red = np.stack([grey, grey // 2, grey // 2], axis=-1)
    a, b = (blocks(row) for row in features([encoded(grey), encoded(red)])[0])
    assert np.abs(a["colour"][:32]).max() < 1e-6 < np.abs(b["colour"][:32]).max()
    dark, light = (blocks(row) for row in features([encoded(grey // 2), encoded(grey)])[0])
    assert (
        np.abs(dark["edges8"] - light["edges8"]).mean()
        < 0.02
        < np.abs(dark["contrast"] - light["contrast"]).mean()
    )


def test_a_crack_is_seen_at_any_size() -> None:
    plain, cracked = part(12, "free"), part(12, "crack")
    rows, _ = features(
        [encoded(plain), encoded(cracked), encoded(np.kron(cracked, np.ones((3, 3), np.uint8)))]
    )
    assert np.linalg.norm(rows[1] - rows[0]) > 3 * np.linalg.norm(rows[2] - rows[1])
    assert square(encoded(plain), 64).dtype == np.float32
