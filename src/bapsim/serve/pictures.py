"""Pictures that are sent: multipart or raw bytes, whole and not too large."""

from __future__ import annotations

from bapsim.image.pixels import FORMATS, PIECES, SCANS, NoPicture, in_pieces, look
from bapsim.serve.refused import Limits, Refused, bad


def checked(body: bytes, where: str, limits: Limits) -> bytes:
    """The bytes of a whole picture; raises Refused."""
    if len(body) > limits.picture:
        raise Refused(413, "picture_too_large", where, most=f"{limits.picture:,}")
    try:
        in_pieces(body)
    except NoPicture as why:
        raise bad("too_many_pieces", where, scans=SCANS, pieces=f"{PIECES:,}") from why
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
