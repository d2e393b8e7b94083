"""Pictures that are sent: multipart or raw bytes, whole and not too large; and without what a camera wrote.

Of a JPEG and a PNG the pixels stay as they are, and only the parts are left out that hold text, places and
times; how the camera was held stays. Another format that holds such parts is kept as a PNG of its pixels.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

from bapsim.image.pixels import FORMATS, NoPicture, look
from bapsim.serve.refused import Limits, Refused, bad

PNG = b"\x89PNG\r\n\x1a\n"
TALKING = (b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tIME")  # chunks of a PNG that are no pixels
EXIF = b"Exif\0\0"


def checked(body: bytes, where: str, limits: Limits) -> bytes:
    """The bytes of a whole picture; raises Refused."""
    if len(body) > limits.picture:
        raise Refused(413, "picture_too_large", where, most=f"{limits.picture:,}")
    try:
        seen = look(body, whole=False)
        if seen.width * seen.height > limits.pixels:
            size = f"{seen.width:,} x {seen.height:,}"
            raise bad("too_many_pixels", where, size=size, most=f"{limits.pixels:,}")
        look(body)
    except NoPicture as why:
        known = ", ".join(FORMATS)
        raise bad("no_picture", where, why=f"{why.reason} {why.detail}".strip(), known=known) from why
    return body


def ending_of(body: bytes) -> str:
    """How the file of a picture is to end."""
    return FORMATS.get(look(body, whole=False).format, ".bin")


def bare(body: bytes) -> bytes:
    """The picture without EXIF, XMP, comments and the like, its pixels and its orientation as they were."""
    if body.startswith(PNG):
        return _bare_png(body)
    if body.startswith(b"\xff\xd8"):
        return _bare_jpeg(body)
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(body), formats=list(FORMATS)) as picture:
            turned = _turn_of(body)  # a head that cannot be read is one that has to go
            if (
                turned == 1
                and not ({"xmp", "comment", "exif"} & set(picture.info))
                and not _has_exif(picture)
            ):
                return body
            out = io.BytesIO()
            plain = (
                picture
                if picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")
                else picture.convert("RGB")
            )
            fresh = plain.copy()
            fresh.info = {}
            fresh.save(out, "PNG")
    return _png_turned(out.getvalue(), turned if isinstance(turned, int) else 1)


def _exif(turn: int) -> bytes:
    """The smallest EXIF that says how a camera was held."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, turn, 0)
    return b"MM\0*" + struct.pack(">I", 8) + struct.pack(">H", 1) + entry + struct.pack(">I", 0)


def _has_exif(picture: Any) -> bool:
    try:
        return bool(picture.getexif())
    except Exception:  # noqa: BLE001  bytes from outside
        return True


def _turn_of(body: bytes) -> int:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(body)) as picture:
            said = picture.getexif().get(0x0112, 1)
    except Exception:  # noqa: BLE001  bytes from outside: the picture itself was found sound
        return 1
    return said if isinstance(said, int) and 1 <= said <= 8 else 1


def _chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(PNG)
    while at + 8 <= len(body):
        size = int.from_bytes(body[at : at + 4])
        whole = body[at : at + 12 + size]
        yield body[at + 4 : at + 8], whole
        at += len(whole)
        if whole[4:8] == b"IEND":
            return


def _bare_png(body: bytes) -> bytes:
    turn = _turn_of(body)
    kept = PNG + b"".join(whole for kind, whole in _chunks(body) if kind not in TALKING)
    return _png_turned(kept, turn)


def _png_turned(body: bytes, turn: int) -> bytes:
    if turn == 1:
        return body
    said = b"eXIf" + _exif(turn)
    chunk = struct.pack(">I", len(said) - 4) + said + struct.pack(">I", zlib.crc32(said))
    head = len(PNG) + 12 + 13
    return body[:head] + chunk + body[head:]


def _bare_jpeg(body: bytes) -> bytes:
    """Without APP1 (EXIF, XMP), APP3 to APP13, APP15 and comments; colour profile and JFIF stay."""
    turn = _turn_of(body)
    out = [body[:2]]
    if turn != 1:
        said = EXIF + _exif(turn)
        out.append(b"\xff\xe1" + struct.pack(">H", len(said) + 2) + said)
    at = 2
    while at + 4 <= len(body) and body[at] == 0xFF and body[at + 1] != 0xDA:
        mark = body[at + 1]
        if mark in (0x01, 0xFF) or 0xD0 <= mark <= 0xD8:
            at += 1 if mark == 0xFF else 2
            continue
        end = at + 2 + int.from_bytes(body[at + 2 : at + 4])
        if not (mark == 0xE1 or 0xE3 <= mark <= 0xED or mark in (0xEF, 0xFE)):
            out.append(body[at:end])
        at = end
    return b"".join([*out, body[at:]])
