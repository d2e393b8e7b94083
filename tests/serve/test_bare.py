"""What is kept of a picture shows the same, whatever was done to its file, and tells nothing beside."""

from __future__ import annotations

import io
import struct
import time
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bapsim.image.pixels import NoPicture, look, square
from bapsim.serve.bare import bare
from tests.image.pictures import many_scans, part

SECRET = b"37.5665N 126.9780E"
COMMENT = b"\xff\xfe" + struct.pack(">H", len(SECRET) + 2) + SECRET
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jpeg": ("JPEG", "L", {}),
    "colours": ("JPEG", "RGB", {"quality": 60, "dpi": (72, 72)}),
    "progressive": ("JPEG", "RGB", {"progressive": True}),
    "restarts": ("JPEG", "RGB", {"restart_marker_blocks": 2}),
    "inks": ("JPEG", "CMYK", {}),
    "several": ("MPO", "RGB", {"save_all": True}),
    "png": ("PNG", "RGB", {}),
    "palette": ("PNG", "P", {"transparency": 3}),
    "deep": ("PNG", "I;16", {}),
    "webp": ("WEBP", "RGB", {"lossless": True}),
    "tiff": ("TIFF", "RGB", {}),
    "float": ("TIFF", "F", {}),
    "gif": ("GIF", "P", {"comment": SECRET}),
    "bmp": ("BMP", "RGB", {}),
}


def made(kind: str, turn: int) -> bytes:
    """A picture that tells where it was taken."""
    name, mode, options = KINDS[kind]
    picture, out = Image.fromarray(part(turn, "crack")).convert(mode), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = turn, SECRET.decode()
    more = {"append_images": [picture.copy()]} if name == "MPO" else {}
    about = {"exif": exif.tobytes()} if name not in ("GIF", "BMP") else {}
    if name == "JPEG":
        about["comment"] = SECRET
    picture.save(out, name, **options, **more, **about)
    return out.getvalue()


def seen(body: bytes) -> tuple[int, np.ndarray, np.ndarray]:
    """How it is turned, all its pixels, and what a model sees of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        turn = look(body).turned
        with Image.open(io.BytesIO(body)) as picture:
            deep = picture.mode.startswith("I") or picture.mode == "F"
            pixels = np.asarray(
                picture if deep else picture.convert("RGBA" if picture.mode != "CMYK" else "RGB")
            )
    return turn, pixels[..., :3] if pixels.ndim == 3 else pixels, square(body, 64)


def holds(body: bytes, *, mangled: bool = False) -> bool:
    """Whether what is kept shows the same; False where the file is none that a service takes. mangled: bytes
    of a note may have come to lie among the pixels, where they are not told from them.
    """
    try:
        before = seen(body)
    except (NoPicture, OSError, ValueError, SyntaxError):
        return False
    kept = bare(body)
    after = seen(kept)
    assert before[0] == after[0]
    assert np.array_equal(before[1], after[1], equal_nan=True)
    if look(body).format == look(kept).format:  # a JPEG is read at an eighth of its size, a PNG is not
        assert np.array_equal(before[2], after[2])
    assert mangled or SECRET not in kept
    assert bare(kept) == kept
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_the_pixels_stay_and_nothing_is_told(kind: str) -> None:
    for turn in (1, 6):
        assert holds(made(kind, turn))
        assert holds(made(kind, turn) + SECRET)


@pytest.mark.parametrize("kind", ["jpeg", "progressive", "restarts", "several"])
def test_unusual_jpegs(kind: str) -> None:
    body = made(kind, 3)
    scan = body.index(b"\xff\xda")
    assert holds(body[:scan] + b"\xff\xff\xff" + body[scan + 1 :]), "filled"
    assert holds(body[:scan] + b"\0\1\2" + body[scan:]), "between segments"
    assert holds(body[:scan] + COMMENT + body[scan:]), "just before the pixels"
    assert not holds(body[: body.index(b"\xff\xd9")]), "no end: it is not taken at all"


def test_files_of_more_pieces_than_an_encoder_writes_cost_no_work() -> None:
    jpeg, png, gif = made("jpeg", 1), made("png", 1), made("gif", 1)
    text, comment = b"\0\0\0\0tEXt\0\0\0\0", b"\x21\xfe" + b"\1a" * 3_000_000 + b"\0"
    frame = gif.index(b"\x21")
    bodies = [
        many_scans(),
        jpeg[:2] + b"\xff\xe1\0\2" * 3_000_000 + jpeg[2:],
        jpeg[:2] + b"\xff" * 12_000_000 + jpeg[2:],
        png[:33] + text * 1_000_000 + png[33:],
        gif[:frame] + comment + gif[frame:],
    ]
    begun = time.process_time()
    for body in bodies:
        with pytest.raises(NoPicture, match="too_large"):
            bare(body)
        with pytest.raises(NoPicture, match="too_large"):
            look(body, whole=False)
    assert time.process_time() - begun < 5


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.integers(1, 8), st.data())
def test_whatever_is_done_to_a_file(kind: str, turn: int, data: st.DataObject) -> None:
    body = made(kind, turn)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(2, len(body)))
        some = data.draw(
            st.sampled_from([b"", b"\xff", b"\xff\xff", b"\xff\xd9", b"\xff\xd0", b"\0", COMMENT])
        )
        body = body[:at] + some + body[at + data.draw(st.integers(0, 2)) :]
    holds(body, mangled=True)
