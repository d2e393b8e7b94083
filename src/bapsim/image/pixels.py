"""The bytes of a picture as pixels: what it is, whether all of it can be read, squares of numbers,
thumbnails.

Pictures come from outside: a file may be cut off, be something else, or unpack to more than a machine holds.
Only the decoders of FORMATS are tried. The first frame of an animation or of a many-page file counts.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMATS = {"PNG": ".png", "JPEG": ".jpg", "BMP": ".bmp", "GIF": ".gif", "WEBP": ".webp", "TIFF": ".tif"}
ENDINGS = (*FORMATS.values(), ".jpeg", ".tiff")  # of names; what a file is, its bytes say
BYTES = 64 << 20  # a larger file is no small picture
PIXELS = 64_000_000  # 192 MB once it is unpacked
ORIENTATION = 0x0112  # the EXIF tag that says how a camera was held
SCANS = 32  # of a JPEG; a progressive one has about 10, and each costs as much as all pixels
PIECES = 10_000  # segments, chunks or blocks of a file; an encoder writes some thousands at most
FULL = (1.0, 255.0, 65535.0)  # what is white in pictures of more than 8 bits: the least that holds all pixels

Picture = Any  # PIL.Image.Image, which is imported where it is used


class NoPicture(ValueError):
    """Bytes that are no picture that can be used; reason: empty_file, not_a_picture, too_large, truncated or
    damaged.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture is: format (of FORMATS), width and height in pixels as it is shown; turned: its file
    holds it in another orientation.
    """

    format: str
    width: int
    height: int
    turned: bool


def look(body: bytes, *, whole: bool = True) -> Look:
    """What these bytes are; `whole` decodes all of them, else the head has to do. Raises NoPicture."""
    with _guarded(), _opened(body) as picture:
        kind = "JPEG" if picture.format == "MPO" else str(picture.format)  # a JPEG with more behind it
        turn = orientation(picture)
        width, height = picture.size
        if whole:
            if kind == "PNG":  # the only one with checksums, which decoding does not look at
                with _opened(body) as again:
                    again.verify()
            picture.draft(None, (32, 32))  # a JPEG is read to its end all the same, at an eighth of the work
            picture.load()
    return Look(kind, *((height, width) if turn > 4 else (width, height)), turn != 1)


def in_pieces(body: bytes) -> None:
    """Raises NoPicture (too_large) for a file of more scans or pieces than an encoder writes: a decoder would
    work on them for seconds. Decodes nothing.
    """
    if body.startswith(b"\xff\xd8"):
        pieces, scans = _of_jpeg(body)
        if scans > SCANS:
            raise NoPicture("too_large", f"more than {SCANS} scans")
    else:
        pieces = _of_png(body) if body.startswith(b"\x89PNG") else _of_gif(body) if body[:3] == b"GIF" else 0
    if pieces > PIECES:
        raise NoPicture("too_large", f"more than {PIECES:,} pieces")


def square(body: bytes, side: int) -> NDArray[np.float32]:
    """float32[side, side, 3] in [0, 1]: red, green, blue of the picture as it is shown, squeezed onto a
    square by a triangle filter; transparent parts are white. Raises NoPicture.
    """
    with _guarded(), _opened(body) as picture:
        turn = orientation(picture)
        picture.draft("RGB", (2 * side, 2 * side))
        return _turned(_resized(_plain(picture), side), turn)


def grey(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32[...]: the luminance (ITU-R 601) of float32[..., 3]."""
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return np.asarray(np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue)


def thumbnail(body: bytes, side: int) -> tuple[str, bytes]:
    """Media type and bytes of the picture as it is shown, at most `side` pixels wide and high.

    Nothing but pixels is left of the file: no EXIF, no place, no camera. Raises NoPicture.
    """
    from PIL import Image

    with _guarded(), _opened(body) as picture:
        turn = orientation(picture)
        picture.draft("RGB", (2 * side, 2 * side))
        plain = _plain(picture)
        if isinstance(plain, np.ndarray):
            plain = Image.fromarray((255 * plain).astype(np.uint8))
        plain.thumbnail((side, side))
        if turn != 1:
            plain = plain.transpose(_ways()[turn])
        out, small = io.BytesIO(), max(plain.size) <= 64
        bare = Image.fromarray(np.asarray(plain))
        bare.save(out, "PNG" if small else "JPEG", quality=85)
    return ("image/png" if small else "image/jpeg"), out.getvalue()


# --- how ------------------------------------------------------------------------------------------


@contextmanager
def _guarded() -> Iterator[None]:
    """Whatever a decoder says of broken bytes becomes NoPicture; its warnings are nobody's business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except NoPicture:
            raise
        except Exception as error:  # bytes from outside: a decoder may raise anything
            said = str(error).split("\n", maxsplit=1)[0][:80]
            reason = "truncated" if "truncat" in said.lower() else "damaged"
            raise NoPicture(reason, said or type(error).__name__) from error


def _of_jpeg(body: bytes) -> tuple[int, int]:
    """Segments to the end of the picture, with the bytes that fill gaps before the first scan, and scans."""
    said = np.frombuffer(body, np.uint8)
    at = np.flatnonzero(said[:-1] == 0xFF)
    mark = said[at + 1]
    marks = at[(mark >= 0xC0) & (mark < 0xFF) & ((mark < 0xD0) | (mark > 0xD8))]
    here, pieces, scans = 2, 0, 0
    while pieces <= PIECES and scans <= SCANS and (next_ := int(np.searchsorted(marks, here))) < len(marks):
        start = int(marks[next_])
        if body[start + 1] == 0xD9:
            break
        pieces += 1 + (0 if scans else start - here)
        scans += body[start + 1] == 0xDA
        here = start + 2 + int.from_bytes(body[start + 2 : start + 4])
    return pieces, scans


def _of_png(body: bytes) -> int:
    """Chunks to the end."""
    at, pieces = 8, 0
    while at + 8 <= len(body) and pieces <= PIECES:
        at, pieces = at + 12 + int.from_bytes(body[at : at + 4]), pieces + 1
    return pieces


def _of_gif(body: bytes) -> int:
    """Blocks before the first frame."""
    at, pieces = 13 + (3 << (body[10] & 7) + 1 if len(body) > 10 and body[10] & 0x80 else 0), 0
    while at < len(body) and body[at] not in b"\x2c\x3b" and pieces <= PIECES:
        pieces += 1
        at, within = (at + 2, True) if body[at] == 0x21 else (at + 1, False)
        while within and at < len(body) and pieces <= PIECES:
            at, within, pieces = at + 1 + body[at], body[at] > 0, pieces + 1
    return pieces


def _opened(body: bytes) -> Picture:
    """A picture of which only the head was read."""
    from PIL import Image, UnidentifiedImageError

    if not body:
        raise NoPicture("empty_file")
    if len(body) > BYTES:
        raise NoPicture("too_large", f"{len(body):,} bytes")
    in_pieces(body)
    try:
        picture = Image.open(io.BytesIO(body), formats=list(FORMATS))
    except UnidentifiedImageError as error:
        raise NoPicture("not_a_picture") from error
    except Image.DecompressionBombError as error:
        raise NoPicture("too_large", str(error)[:80]) from error
    width, height = picture.size
    if width * height > PIXELS:
        raise NoPicture("too_large", f"{width:,} x {height:,} pixels")
    return picture


def orientation(picture: Picture) -> int:
    """1 to 8, 1 = as it lies in the file; a note that cannot be read says nothing. A TIFF is turned by its
    decoder.
    """
    if picture.format == "TIFF":
        return 1
    try:
        said = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # noqa: BLE001  bytes from outside: the picture itself may be sound
        return 1
    return said if isinstance(said, int) and 1 <= said <= 8 else 1


def _ways() -> dict[int, Any]:
    from PIL.Image import Transpose as Way

    left = {2: Way.FLIP_LEFT_RIGHT, 3: Way.ROTATE_180, 4: Way.FLIP_TOP_BOTTOM, 5: Way.TRANSPOSE}
    return left | {6: Way.ROTATE_270, 7: Way.TRANSVERSE, 8: Way.ROTATE_90}


def _plain(picture: Picture) -> Picture | NDArray[np.float32]:
    """A picture in mode L or RGB; one of more than 8 bits as float32[h, w] in [0, 1]."""
    from PIL import Image

    mode = picture.mode
    if mode.startswith("I") or mode == "F":
        values = np.nan_to_num(np.asarray(picture, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        peak = float(values.max(initial=0.0))
        full = next((most for most in FULL if peak <= most), peak)
        return np.asarray(np.clip(values / np.float32(full), 0, 1))
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        over = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
    return picture.convert("L" if mode in ("1", "L") else "RGB")


def _resized(plain: Picture | NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """float32[side, side, 3] in [0, 1]."""
    from PIL import Image

    smooth = Image.Resampling.BILINEAR
    if isinstance(plain, np.ndarray):
        made = np.asarray(Image.fromarray(plain).resize((side, side), smooth), np.float32)
    else:
        made = np.asarray(plain.resize((side, side), smooth), np.float32) / np.float32(255)
    return made if made.ndim == 3 else np.repeat(made[..., None], 3, axis=2)


def _turned(pixels: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    """A square as it is shown, from one as it lies in the file."""
    if turn in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
