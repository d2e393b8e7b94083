"""Pictures as small squares that a generator is taught and draws: bytes of a file there, a PNG back."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.errors import NotEnough
from bapsim.core.recipe import Mixture
from bapsim.core.records import Answers, Rows
from bapsim.train.drawing import heard
from bapsim.train.image_cnn import read, side_of
from bapsim.train.labels import Labels

Bytes = NDArray[np.uint8]


class Lesson(NamedTuple):
    """Squares uint8[n, c, side, side] (c = 1 where all are grey), class positions int64[n], rows by class."""

    squares: Bytes
    y: NDArray[np.int64]
    able: dict[int, int]


def lesson(mixture: Mixture, labels: Labels, side: int | None, least: int) -> Lesson:
    """What pictures teach a generator; NotEnough where too few can be read."""
    rows, inputs = Rows(mixture.records), mixture.task.inputs
    size = side or (side_of(rows, inputs[0]) if inputs[0] in rows.schema.names else 16)
    seen, known = read(rows, inputs, size)
    able, mine = heard(labels, known), known & (labels.weight > 0)
    if max(able.values()) < least:
        raise NotEnough("drawn_no_picture", rows=len(rows), unread=int((~known).sum()), least=least)
    squares = np.rint(255 * seen[mine]).astype(np.uint8)
    if np.ptp(squares.astype(np.int16), axis=1).max() <= 2:  # what a JPEG makes of grey
        squares = squares[:, :1]
    return Lesson(squares, labels.y[mine], able)


def signed(squares: Bytes) -> NDArray[np.float32]:
    """float32 in [-1, 1] of bytes."""
    return squares.astype(np.float32) / np.float32(127.5) - np.float32(1)


def byte(values: NDArray[np.float32]) -> Bytes:
    """Bytes of float32 in [-1, 1]; what lies outside is held to it."""
    return np.asarray(np.clip(np.rint((values + 1) * 127.5), 0, 255), np.uint8)


def png(square: Bytes) -> bytes:
    """The file of one square uint8[c, side, side]."""
    from PIL import Image

    body = io.BytesIO()
    Image.fromarray(square[0] if len(square) == 1 else square.transpose(1, 2, 0)).save(body, "PNG")
    return body.getvalue()


def answered(name: str, made: Iterable[Bytes]) -> Answers:
    """The answers of a generator of pictures: one column of PNG files."""
    column = pa.array([png(one) for one in made], pa.binary())
    return Answers(pa.RecordBatch.from_arrays([column], names=[name]))
