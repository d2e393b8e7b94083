"""The distance to the closest record: what is one away, what a scale does, what cannot be compared."""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from bapsim.image.closest import Points, axes, closest, points
from tests.image.pictures import encoded


def gap(rows: pa.RecordBatch, a: int, b: int) -> float:
    scale = axes(rows, rows.schema.names)
    at = points(scale, rows).at
    return float(np.sqrt(((at[a] - at[b]) ** 2).sum()))


def test_categories_and_empty_cells_are_one_away_and_numbers_by_their_quartiles():
    one = pa.RecordBatch.from_pydict({"c": ["a", "b", None, "a"]})
    assert gap(one, 0, 1) == gap(one, 0, 2) == pytest.approx(1)
    assert gap(one, 0, 3) == 0
    x = pa.RecordBatch.from_pydict({"x": [*range(9), 1e12, None]})
    near, outlier = gap(x, 0, 1), gap(x, 0, 9)
    assert 0 < near < 0.5
    assert 20 < outlier < 60  # an outlier is far, and does not make all others alike
    hundred = pa.RecordBatch.from_pydict(
        {"x": [100.0 * v if v is not None else None for v in [*range(9), 1e12, None]]}
    )
    assert gap(hundred, 0, 5) == pytest.approx(gap(x, 0, 5))  # whatever the unit
    wide = pa.RecordBatch.from_pydict({f"c{i}": ["a", "b"] for i in range(9)})
    assert gap(wide, 0, 1) == pytest.approx(1)  # and however many columns


def test_every_type_has_a_place_and_what_was_never_seen_too():
    rows = pa.RecordBatch.from_pydict(
        {
            "t": pa.array([datetime(2026, 1, d) for d in (1, 2, 9)], pa.timestamp("us")),  # noqa: DTZ001
            "b": [True, False, None],
            "l": [["x"], ["y"], None],
            "n": pa.nulls(3),
            "h": [1e308, float("inf"), float("nan")],
            "d": pa.array(["p", "q", "p"]).dictionary_encode(),
        }
    )
    scale = axes(rows, rows.schema.names)
    assert np.isfinite(points(scale, rows).at).all()
    other = pa.RecordBatch.from_pydict(
        {name: pa.nulls(2, rows.schema.field(name).type) for name in rows.schema.names}
    )
    assert np.isfinite(points(scale, other).at).all()
    new = rows.set_column(5, "d", pa.array(["z", "z", None]))
    assert not np.array_equal(points(scale, new).at, points(scale, rows).at)


def test_the_closest_is_found_in_blocks_and_what_is_apart_is_not_compared(monkeypatch):
    monkeypatch.setattr("bapsim.image.closest.BLOCK", 64)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 3)), rng.normal(size=(30, 3))
    among = Points(b, np.arange(30) != 4)
    far, which = closest(Points(a, np.arange(20) != 7), among)
    brute = np.sqrt(((a[:, None] - b[None]) ** 2).sum(2))
    brute[:, 4] = np.inf
    seen = np.arange(20) != 7
    assert np.allclose(far[seen], brute.min(1)[seen])
    assert np.array_equal(which[seen], brute.argmin(1)[seen])
    assert (far[7], which[7]) == (np.inf, -1)
    own, at = closest(Points(b, np.ones(30, bool)), Points(b, np.ones(30, bool)), np.eye(30, dtype=bool))
    assert (own > 0).all()
    assert (at != np.arange(30)).all()
    none, nobody = closest(Points(a, np.ones(20, bool)), Points(np.zeros((0, 3)), np.zeros(0, bool)))
    assert np.isinf(none).all()
    assert (nobody == -1).all()


def test_pictures_lie_by_their_pixels_and_rubbish_nowhere():
    dark, light = (encoded(np.full((20, 20, 3), v, np.uint8)) for v in (0, 255))
    rows = pa.RecordBatch.from_pydict({"image": pa.array([dark, light, b"no picture", None], pa.binary())})
    scale = axes(rows, ["image"])
    found = points(scale, rows)
    assert found.known.tolist() == [True, True, False, False]
    assert np.sqrt(((found.at[0] - found.at[1]) ** 2).sum()) == pytest.approx(1)
