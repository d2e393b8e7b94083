"""Texts that somebody plants in the parts of a picture, and what is left of them: nothing."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from bapsim.image.pixels import look, square
from bapsim.serve.bare import bare
from tests.image.pictures import encoded, part

SECRET = b"GPS 37.5665,126.9780 Jane Doe"
LONG = SECRET * 8
GREY = part(1, "crack")
COLOURS = np.stack([GREY, part(2, "hole"), GREY[::-1]], -1)


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + SECRET


def made(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(COLOURS).convert(mode).save(out, kind, **options)
    return out.getvalue()


def png(*parts: tuple[bytes, bytes], head: bytes | None = None, pixels: bytes | None = None) -> bytes:
    """A picture with these chunks before its pixels, or with another head and other pixels."""
    body = encoded(COLOURS)
    head = body[16:29] if head is None else head
    at = body.index(b"IDAT")
    pixels = body[at + 4 : at + 4 + int.from_bytes(body[at - 4 : at])] if pixels is None else pixels
    all_parts = [(b"IHDR", head), *parts, (b"IDAT", pixels), (b"IEND", b"")]
    return body[:8] + b"".join(
        struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in all_parts
    )


def rows() -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in COLOURS)


def segment(mark: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 255, mark, len(content) + 2) + content


def jpeg(*parts: bytes, before: bytes = b"\xff\xda", **options: Any) -> bytes:
    """A picture with these segments before that one."""
    body = made("JPEG", **options)
    at = body.rindex(before)
    return body[:at] + b"".join(parts) + body[at:]


def scanned_twice() -> bytes:
    """A first scan of text, which the real one overwrites."""
    body = made("JPEG", progressive=True)
    at = body.index(b"\xff\xda")
    return body[:at] + body[at : at + 2 + body[at + 3]] + LONG + body[at:]


def laced(width: int, height: int, behind: bytes = b"") -> bytes:
    """A black picture of 2 bits a pixel in seven passes, which grow out of one another."""
    sizes = [
        len(range(y, height, down)) * (1 + -(-2 * len(range(x, width, right)) // 8)) * (x < width)
        for x, y, right, down in SEVEN
    ]
    head = struct.pack(">IIBBBBB", width, height, 2, 0, 0, 0, 1)
    return png(head=head, pixels=zlib.compress(bytes(sum(sizes)) + behind, 0))


def webp(*, behind: bytes = b"", inside: bytes = b"", **options: Any) -> bytes:
    """A picture with these bytes as chunks behind its pixels, or behind them in their own."""
    body = made("WEBP", **options)
    size = int.from_bytes(body[16:20], "little")
    pixels = body[20 : 20 + size] + inside
    inner = (
        b"WEBP" + body[12:16] + struct.pack("<I", len(pixels)) + pixels + b"\0" * (len(pixels) % 2) + behind
    )
    return b"RIFF" + struct.pack("<I", len(inner)) + inner


def masked() -> bytes:
    picture, out = Image.fromarray(COLOURS), io.BytesIO()
    picture.putalpha(Image.fromarray(GREY))
    picture.save(out, "WEBP", exif=b"Exif\0\0" + SECRET)
    return out.getvalue()


def riff(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def gif(extension: bytes) -> bytes:
    body = made("GIF", "P")
    at = 13 + 3 * 2 ** ((body[10] & 7) + 1)
    return body[:at] + b"!" + extension + bytes([len(SECRET)]) + SECRET + b"\0" + body[at:]


def bmp() -> bytes:
    body = made("BMP")
    (start,) = struct.unpack("<I", body[10:14])
    head = struct.pack("<2sI4xI", b"BM", len(body) + len(SECRET), start + len(SECRET))
    return head + body[14:start] + SECRET + body[start:]


def animated(kind: str) -> bytes:
    """A second frame that holds a text."""
    second = GREY.copy()
    second.ravel()[: len(SECRET)] = np.frombuffer(SECRET, np.uint8)
    return encoded(
        GREY, kind, save_all=True, append_images=[Image.fromarray(second)], **LOSSLESS.get(kind, {})
    )


LOSSLESS: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "PNG": {"compress_level": 0}}
SEVEN = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
TABLE = b"\3" + LONG[:64]
CODES = b"\x13" + bytes(15) + bytes([len(LONG)]) + LONG
CODING = b"".join(b"\x10%c" % letter for letter in SECRET)  # of a coding that this picture does not use

AS_THEY_ARE: dict[str, Callable[[], bytes]] = {  # of which the compressed pixels can stay
    "png text": lambda: png((b"tEXt", b"Comment\0" + SECRET)),
    "png packed text": lambda: png((b"zTXt", b"Comment\0\0" + zlib.compress(SECRET))),
    "png profile": lambda: made("PNG", icc_profile=profile()),
    "png gamma": lambda: png((b"gAMA", b"\0\0\xb1\x8f" + SECRET)),
    "png density": lambda: png((b"pHYs", b"\0\0\x0b\x13\0\0\x0b\x13\1" + SECRET)),
    "png colours": lambda: png((b"cHRM", LONG[:32]), (b"sBIT", SECRET), (b"bKGD", SECRET), (b"sRGB", SECRET)),
    "png palette of no use": lambda: png((b"PLTE", LONG[:30])),
    "png unknown": lambda: png((b"caMr", SECRET)),
    "png animated": lambda: animated("PNG"),
    "jpeg comment": lambda: jpeg(segment(0xFE, SECRET)),
    "jpeg first thing": lambda: jpeg(segment(0xFE, SECRET), before=b"\xff\xe0"),
    "jpeg profile": lambda: made("JPEG", icc_profile=profile()),
    "jpeg adobe": lambda: jpeg(segment(0xEE, b"Adobe\0\x64" + SECRET[:4] + b"\1" + SECRET)),
    "jpeg thumbnail": lambda: jpeg(segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\3\3" + LONG[:27])),
    "jpeg more of it": lambda: jpeg(segment(0xE0, b"JFXX\0\x13" + SECRET)),
    "jpeg levels of no use": lambda: jpeg(segment(0xDB, TABLE)),
    "jpeg levels said twice": lambda: jpeg(segment(0xDB, b"\0" + TABLE[1:]), before=b"\xff\xdb\0\x43\0"),
    "jpeg codes of no use": lambda: jpeg(segment(0xC4, CODES)),
    "jpeg progressive": lambda: jpeg(segment(0xC4, CODES), segment(0xDB, TABLE), progressive=True),
    "jpeg restarts": lambda: jpeg(segment(0xFE, SECRET), restart_marker_blocks=2),
    "jpeg behind its end": lambda: made("JPEG") + SECRET,
    "jpeg several": lambda: animated("MPO") + SECRET,
    "webp unknown": lambda: webp(behind=riff(b"META", SECRET), lossless=True),
    "webp exif": lambda: made("WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + SECRET, xmp=SECRET),
    "webp profile": lambda: made("WEBP", icc_profile=profile()),
    "webp behind its end": lambda: made("WEBP") + riff(b"META", SECRET),
    **{f"jpeg {n:#x}": lambda n=n: jpeg(segment(n, SECRET)) for n in range(0xE0, 0xF0)},  # type: ignore[misc]
}
ANEW: dict[str, Callable[[], bytes]] = {
    "png behind its stream": lambda: png(pixels=zlib.compress(rows()) + SECRET),
    "png in another chunk": lambda: png((b"IDAT", zlib.compress(rows()))),
    "png more rows": lambda: png(pixels=zlib.compress(rows() + LONG, 0)),
    "png more rows, laced": lambda: laced(48, 48, LONG),
    "png long palette": lambda: png(
        (b"PLTE", bytes(6) + LONG),
        head=struct.pack(">IIBBBBB", 8, 1, 1, 3, 0, 0, 0),
        pixels=zlib.compress(b"\0U"),
    ),
    "png clear": lambda: png((b"tRNS", bytes(6) + SECRET)),
    "jpeg other": lambda: jpeg(segment(0xDC, SECRET)),
    "jpeg arithmetic": lambda: jpeg(segment(0xCC, CODING)),
    "jpeg behind its pixels": lambda: jpeg(SECRET, before=b"\xff\xd9"),
    "jpeg behind a restart": lambda: jpeg(b"\xff\xd0" + SECRET, before=b"\xff\xd9"),
    "jpeg scan said again": scanned_twice,
    "webp behind its pixels": lambda: webp(inside=SECRET),
    "webp behind its pixels, lossless": lambda: webp(inside=SECRET, lossless=True),
    "webp with a mask": masked,
    "webp animated": lambda: animated("WEBP"),
    "gif application": lambda: gif(b"\xff\x0bCAMERADAT10"),
    "gif plain text": lambda: gif(b"\x01\x0c" + bytes(12)),
    "gif comment": lambda: gif(b"\xfe"),
    "gif blocks behind its pixels": lambda: made("GIF", "P")[:-2] + bytes([len(SECRET)]) + SECRET + b"\0;",
    "gif animated": lambda: animated("GIF"),
    "bmp gap": bmp,
    "tiff gap": lambda: made("TIFF") + SECRET,
    "tiff profile": lambda: made("TIFF", icc_profile=profile(), description=SECRET.decode()),
}


def told(body: bytes) -> bytes:
    """All that a file says, with what is packed in it."""
    said, at = [body], 8
    while body.startswith(b"\x89PNG") and at < len(body):
        size, kind = struct.unpack(">I4s", body[at : at + 8])
        assert kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf")
        said += [zlib.decompress(body[at + 8 : at + 8 + size])] if kind == b"IDAT" else []
        at += 12 + size
    return b"\n".join(said)


def shown(body: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(body)) as picture:
        return np.asarray(picture.convert("RGBA"))


@pytest.mark.parametrize("case", [*AS_THEY_ARE, *ANEW])
def test_nothing_planted_is_left(case: str) -> None:
    body = (AS_THEY_ARE | ANEW)[case]()
    kept = bare(body)
    assert not any(SECRET[at : at + 8] in told(kept) for at in range(len(SECRET) - 8))
    assert np.array_equal(shown(body), shown(kept))
    assert bare(kept) == kept
    if case in AS_THEY_ARE:
        assert look(kept).format == look(body).format
        assert np.array_equal(square(body, 16), square(kept, 16))
    else:
        assert look(kept).format == "PNG"


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (5, 3), (9, 8), (16, 17)])
def test_a_laced_picture_stays(size: tuple[int, int]) -> None:
    body = laced(*size)
    assert not shown(body)[..., :3].any()
    assert bare(body) == body


def test_what_is_no_picture_is_not_kept() -> None:
    for body in (b"", SECRET, b"RIFF\0\0\0\0WEBP" + SECRET, b"\xff\xd8\xff\xde" + SECRET, png()[:60]):
        with pytest.raises(ValueError, match="cannot be kept"):
            bare(body)
