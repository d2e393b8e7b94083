"""Pictures without what a camera wrote: no places, times, texts, thumbnails, and nothing behind the end.

Of a JPEG and a PNG the compressed pixels stay as they are, and only known parts beside them are kept: colours
and how the camera was held. A file that is unusual, or of another format and not bare, is written anew from
its pixels. What is kept shows the same pixels, or ValueError is raised.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from bapsim.image.pixels import FORMATS, ORIENTATION, orientation

PNG = b"\x89PNG\r\n\x1a\n"
KEPT = b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP sBIT bKGD hIST pHYs acTL fcTL fdAT".split()
EXIF = b"Exif\0\0"
TELLING = (b"EXIF", b"Exif", b"XMP", b"!\xfe")  # in a WebP, GIF, TIFF or BMP; the last begins a comment
PLAIN = ("1", "L", "LA", "RGB", "RGBA", "I", "I;16", "F")  # modes that PNG or TIFF can hold
MARK = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")  # in compressed pixels: what is no part of them


def bare(body: bytes) -> bytes:
    """The picture without EXIF, XMP, comments and the like; raises ValueError where that cannot be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cut = _cut(body)
        if cut == body:
            return body
        if cut is not None and _same(body, cut, quick=True):
            return cut
        for kind in ("PNG", "TIFF"):  # the second for numbers that the first cannot hold
            try:
                made = _anew(body, kind)
            except (OSError, ValueError):
                continue
            if _same(body, made, quick=False):
                return made
    raise ValueError("a picture that cannot be kept without what its camera wrote")


def _cut(body: bytes) -> bytes | None:
    """The same file without the parts that tell something; None for one that has to be written anew."""
    if body.startswith(PNG):
        return _bare_png(body)
    if body.startswith(b"\xff\xd8"):
        return _bare_jpeg(body)
    with _opened(body) as picture:
        telling = {"xmp", "comment", "exif"} & set(picture.info) or any(one in body for one in TELLING)
        return None if telling or _tags(picture) != {} or not _ends(str(picture.format), body) else body


def _ends(kind: str, body: bytes) -> bool:
    """Whether a file ends where it says; a TIFF, which may hold anything anywhere, is written anew."""
    ends = {
        "WEBP": len(body) == int.from_bytes(body[4:8], "little") + 8,
        "BMP": len(body) == int.from_bytes(body[2:6], "little"),
        "GIF": body.endswith(b"\0;"),
    }
    return ends.get(kind, False)


# --- what is seen ---------------------------------------------------------------------------------


def _opened(body: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(body), formats=list(FORMATS))


def _tags(picture: Any) -> dict[int, Any] | None:
    """The EXIF of a picture; None where it cannot be read."""
    try:
        return dict(picture.getexif())
    except Exception:  # noqa: BLE001  bytes from outside
        return None


def _turn_of(body: bytes) -> int:
    """1 to 8: how the camera was held."""
    with _opened(body) as picture:
        return orientation(picture)


def _same(one: bytes, other: bytes, *, quick: bool) -> bool:
    """Whether both show the same; quick: of two JPEG, at an eighth of their size."""
    try:
        a, b = _seen(one, quick=quick), _seen(other, quick=quick)
    except Exception:  # noqa: BLE001  bytes from outside: a decoder may raise anything
        return False
    return a[0] == b[0] and np.array_equal(a[1], b[1], equal_nan=True)


def _seen(body: bytes, *, quick: bool) -> tuple[int, np.ndarray]:
    turn = _turn_of(body)
    with _opened(body) as picture:
        if quick:
            picture.draft(None, (32, 32))
        return turn, np.asarray(_plain(picture))


def _plain(picture: Any) -> Any:
    """The first frame in one of the modes PLAIN, with its transparency and nothing else beside."""
    mode, clear = picture.mode, "transparency" in picture.info
    if mode in ("PA", "La", "RGBa") or (clear and mode in ("1", "L", "P", "RGB")):
        mode = "RGBA"
    elif mode not in PLAIN:
        mode = "I" if mode.startswith("I;") else "RGB"
    fresh = picture.convert(mode) if mode != picture.mode else picture.copy()
    fresh.info = {}
    return fresh


def _anew(body: bytes, kind: str) -> bytes:
    """A file of this kind of the pixels, and how the camera was held."""
    turn, out = _turn_of(body), io.BytesIO()
    with _opened(body) as picture:
        _plain(picture).save(out, kind)
    return _png_turned(out.getvalue(), turn) if kind == "PNG" else out.getvalue()


def _exif(turn: int) -> bytes:
    """The smallest EXIF that says how a camera was held."""
    entry = struct.pack(">HHIHH", ORIENTATION, 3, 1, turn, 0)
    return b"MM\0*" + struct.pack(">I", 8) + struct.pack(">H", 1) + entry + struct.pack(">I", 0)


# --- PNG ------------------------------------------------------------------------------------------


def _chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and bytes of each chunk to the last; raises ValueError where they do not follow one another."""
    at, kind = len(PNG), b""
    while kind != b"IEND":
        end = at + 12 + int.from_bytes(body[at : at + 4])
        kind = body[at + 4 : at + 8]
        if end > len(body) or (kind == b"IHDR") != (at == len(PNG)):
            raise ValueError("no chunk")
        yield kind, body[at:end]
        at = end


def _bare_png(body: bytes) -> bytes | None:
    try:
        kept = PNG + b"".join(whole for kind, whole in _chunks(body) if kind in KEPT)
    except ValueError:
        return None
    return _png_turned(kept, _turn_of(body))


def _png_turned(body: bytes, turn: int) -> bytes:
    if turn == 1:
        return body
    said = b"eXIf" + _exif(turn)
    chunk = struct.pack(">I", len(said) - 4) + said + struct.pack(">I", zlib.crc32(said))
    head = len(PNG) + 12 + 13
    return body[:head] + chunk + body[head:]


# --- JPEG -----------------------------------------------------------------------------------------


def _segments(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and bytes of each segment from the start of the picture to its end, with what is compressed
    behind it; raises ValueError where they do not follow one another.
    """
    at = 2
    while body[at : at + 2] != b"\xff\xd9":
        mark, size = body[at + 1 : at + 2], int.from_bytes(body[at + 2 : at + 4])
        end = at + 2 + size
        if body[at : at + 1] != b"\xff" or mark < b"\xc0" or b"\xd0" <= mark <= b"\xd9" or size < 2:
            raise ValueError("no segment")
        if mark == b"\xda":
            found = MARK.search(body, end)
            end = len(body) if found is None else found.start(1) - 1
        if end > len(body) - 2:
            raise ValueError("cut off")
        yield mark[0], body[at:end]
        at = end


def _bare_jpeg(body: bytes) -> bytes | None:
    """With the tables and the compressed pixels, JFIF without its thumbnail, ICC and Adobe's colours."""
    turn = _turn_of(body)
    said = EXIF + _exif(turn)
    out = [body[:2]] if turn == 1 else [body[:2], b"\xff\xe1" + struct.pack(">H", len(said) + 2) + said]
    try:
        for mark, whole in _segments(body):
            if mark == 0xE0 and whole[4:9] == b"JFIF\0" and len(whole) >= 18:
                out.append(whole[:2] + b"\0\x10" + whole[4:16] + b"\0\0")
            elif mark < 0xE0 or (mark == 0xE2 and whole[4:16] == b"ICC_PROFILE\0"):
                out.append(whole)
            elif mark == 0xEE and whole[4:9] == b"Adobe":
                out.append(whole[:2] + b"\0\x0e" + whole[4:16])
    except ValueError:
        return None
    return b"".join([*out, b"\xff\xd9"])
