"""Bytes from outside become pixels, or a reason."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bapsim.image.pixels import FORMATS, NoPicture, in_pieces, look, square, thumbnail
from tests.image.pictures import encoded, part

COLOUR = np.stack([part(1, "free"), part(2, "hole"), part(3, "crack")], axis=-1)[:, :32]


def reason(body: bytes) -> str:
    with pytest.raises(NoPicture) as caught:
        look(body)
    return caught.value.reason


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read_and_measured(kind: str) -> None:
    seen = look(encoded(COLOUR, kind))
    assert (seen.format, seen.width, seen.height, seen.turned) == (kind, 32, 48, False)
    pixels = square(encoded(COLOUR, kind), 16)
    assert pixels.shape == (16, 16, 3)
    exact = square(encoded(COLOUR), 16)
    assert np.abs(pixels - exact).mean() < (0.001 if kind in ("PNG", "BMP", "TIFF") else 0.12)


def test_what_is_no_picture_has_a_reason() -> None:
    whole = encoded(part(1, "free"))
    assert reason(b"") == "empty_file"
    assert reason(b"hello, I am text") == "not_a_picture"
    assert reason(whole[: len(whole) // 2]) == "truncated"
    assert reason(encoded(COLOUR, "JPEG")[:-200]) == "truncated"
    broken = bytearray(whole)
    broken[60:90] = bytes(30)
    assert reason(bytes(broken)) == "damaged"
    assert reason(b"%PDF-1.4" + whole) == "not_a_picture"


def test_a_bomb_is_refused_by_its_head() -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    assert reason(bomb) == "too_large"
    small = chunk(b"IHDR", struct.pack(">IIBBBBB", 9_000, 9_000, 8, 0, 0, 0, 0))
    assert reason(b"\x89PNG\r\n\x1a\n" + small + chunk(b"IDAT", b"") + chunk(b"IEND", b"")) == "too_large"


@given(st.integers(0, 2**31), st.sampled_from(sorted(FORMATS)))
def test_broken_bytes_never_raise_anything_else(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    body = bytearray(encoded(COLOUR[:16, :16], kind))
    for at in rng.integers(len(body), size=int(rng.integers(1, 8))):
        body[at] = int(rng.integers(256))
    try:
        seen = look(bytes(body))
        assert square(bytes(body), 8).shape == (8, 8, 3)
        assert seen.width > 0
    except NoPicture as no:
        assert no.reason in {"not_a_picture", "too_large", "truncated", "damaged"}  # noqa: PT017


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_turned_picture_is_seen_as_it_is_shown(turn: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = turn
    body = encoded(COLOUR, "PNG", exif=exif.tobytes())
    with Image.open(io.BytesIO(body)) as picture:
        shown = ImageOps.exif_transpose(picture)
    seen = look(body)
    assert (seen.width, seen.height) == shown.size
    assert seen.turned == (turn != 1)
    plain = io.BytesIO()
    Image.fromarray(np.asarray(shown)).save(plain, "PNG")
    assert np.allclose(square(body, 16), square(plain.getvalue(), 16), atol=0.01)
    small = np.asarray(Image.open(io.BytesIO(thumbnail(body, 24)[1])))
    assert small.shape[:2] == np.asarray(Image.open(io.BytesIO(thumbnail(plain.getvalue(), 24)[1]))).shape[:2]


def test_deep_and_transparent_pictures_are_seen() -> None:
    light = part(5, "hole").astype(np.uint16)
    for scale, name in ((257, "16 bit"), (1, "8 bit in 16")):
        body = encoded((light * scale).astype(np.uint16))
        assert np.allclose(square(body, 16), square(encoded(part(5, "hole")), 16), atol=0.02), name
    clear = np.zeros((20, 20, 4), np.uint8)
    assert (square(encoded(clear), 4) == 1).all(), "nothing to be seen is white, whatever lies beneath"
    assert square(encoded(part(1, "free") > 128), 8).shape == (8, 8, 3)
    assert np.isfinite(square(encoded(np.full((6, 6), np.nan, np.float32), "TIFF"), 4)).all()


def test_a_thumbnail_is_small_and_bare() -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera with a name"
    wide = np.tile(COLOUR, (4, 20, 1))
    media, body = thumbnail(encoded(wide, "JPEG", exif=exif.tobytes()), 100)
    with Image.open(io.BytesIO(body)) as picture:
        assert max(picture.size) == 100
        assert not picture.getexif()
    assert media == "image/jpeg"
    assert thumbnail(encoded(COLOUR), 100)[0] == "image/png", "a tiny picture keeps its pixels"
    assert b"a camera" not in body


def test_a_picture_of_countless_pieces_is_none_before_it_is_decoded() -> None:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(
        out, "JPEG", progressive=True
    )
    body = out.getvalue()
    last = body[body.rindex(b"\xff\xda") : -2]
    in_pieces(body)
    for odd in (
        body[:-2] + 100 * last + b"\xff\xd9",
        body[:2] + 20_000 * b"\xff\xe1\0\x02" + body[2:],
        b"\x89PNG\r\n\x1a\n" + 20_000 * (b"\0\0\0\0tEXt" + b"\0" * 4),
    ):
        with pytest.raises(NoPicture, match="more than"):
            in_pieces(odd)
        with pytest.raises(NoPicture, match="more than"):
            square(odd, 8)
