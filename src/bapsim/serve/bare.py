"""Pictures without what a camera wrote: no places, times, texts, thumbnails, and nothing behind the end.

Of a JPEG, a PNG and a WebP of one frame the compressed pixels stay as they are, with the few parts without
which they cannot be read and how the camera was held; every part that is not known is left out. Of all else
(GIF, BMP, TIFF, an animation, anything unusual) the first frame, which is what a model sees, is written anew
from its pixels. What is kept shows the same pixels, or ValueError is raised.

ICC profiles and gammas are left out: image.pixels, which models and pages see through, does not look at them,
and a profile may hold any text.

Not found is what somebody hides among what is kept: in the pixels, in entries of a table or a palette that no
pixel uses, between the restarts and scans of a JPEG, behind the last scan of a progressive one, in a gap
between the partitions of a WebP. No camera is known to write there.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from bapsim.image.pixels import FORMATS, ORIENTATION, in_pieces, orientation

PNG = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the colour type of a PNG; 3 has a palette
CLEAR = {0: 2, 2: 6}  # bytes that say which colour of a PNG is transparent
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
PIECE = 1 << 20  # bytes that are unpacked at a time
EXIF = b"Exif\0\0"
PROGRESSIVE = 0xC2
FRAMES = (0xC0, 0xC1, PROGRESSIVE)  # of a JPEG; the others are baseline and extended
HUFFMAN, SCAN, LEVELS, RESTARTS = 0xC4, 0xDA, 0xDB, 0xDD
JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"  # by which a decoder knows the colours; of no density
PLAIN = ("1", "L", "LA", "RGB", "RGBA", "I", "I;16", "F")  # modes that PNG or TIFF can hold
MARK = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")  # in compressed pixels: what is no part of them

Cut = tuple[bytes, bytes]  # what is kept; the same without its last bytes, which are needed if all are pixels


def bare(body: bytes) -> bytes:
    """The picture without EXIF, XMP, comments and the like; raises ValueError where that cannot be."""
    in_pieces(body)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(Exception):  # bytes from outside: a decoder may raise anything
            cut, less = _cut(body)
            if (cut == body or _same(body, cut, quick=True)) and not _loads(less):
                return cut
        for kind in ("PNG", "TIFF"):  # the second for numbers that the first cannot hold
            with suppress(Exception):
                made = _anew(body, kind)
                if _same(body, made, quick=False):
                    return made
    raise ValueError("a picture that cannot be kept without what its camera wrote")


def _cut(body: bytes) -> Cut:
    """The same file without the parts that tell something; raises ValueError for one that has to be written
    anew.
    """
    if body.startswith(PNG):
        return _bare_png(body)
    if body.startswith(b"\xff\xd8"):
        return _bare_jpeg(body)
    if body[8:12] == b"WEBP":
        return _bare_webp(body)
    raise ValueError("a format that may hold anything anywhere")


# --- what is seen ---------------------------------------------------------------------------------


def _opened(body: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(body), formats=list(FORMATS))


def _turn_of(body: bytes) -> int:
    """1 to 8: how the camera was held."""
    with _opened(body) as picture:
        return orientation(picture)


def _same(one: bytes, other: bytes, *, quick: bool) -> bool:
    """Whether both show the same; quick: of two JPEG, at an eighth of their size."""
    a, b = _seen(one, quick=quick), _seen(other, quick=quick)
    return a[0] == b[0] and np.array_equal(a[1], b[1], equal_nan=True)


def _seen(body: bytes, *, quick: bool) -> tuple[int, np.ndarray]:
    turn = _turn_of(body)
    with _opened(body) as picture:
        if quick:
            picture.draft(None, (32, 32))
        return turn, np.asarray(_plain(picture))


def _loads(body: bytes) -> bool:
    """Whether all pixels can be read."""
    with suppress(Exception):
        _seen(body, quick=True)
        return True
    return False


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
        _plain(picture).save(out, kind, compress_level=1)  # half the time, a tenth more bytes
    return _png_turned(out.getvalue(), turn) if kind == "PNG" else out.getvalue()


def _exif(turn: int) -> bytes:
    """The smallest EXIF that says how a camera was held."""
    entry = struct.pack(">HHIHH", ORIENTATION, 3, 1, turn, 0)
    return b"MM\0*" + struct.pack(">I", 8) + struct.pack(">H", 1) + entry + struct.pack(">I", 0)


# --- PNG ------------------------------------------------------------------------------------------


def _chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each chunk to the last; raises ValueError where they do not follow one another."""
    at, kind = len(PNG), b""
    while kind != b"IEND":
        end = at + 12 + int.from_bytes(body[at : at + 4])
        kind = body[at + 4 : at + 8]
        if end > len(body) or (kind == b"IHDR") != (at == len(PNG)):
            raise ValueError("no chunk")
        yield kind, body[at + 8 : end - 4]
        at = end


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _bare_png(body: bytes) -> Cut:
    """With its palette, what is transparent, and pixels that unpack to as many bytes as they are."""
    parts: dict[bytes, list[bytes]] = {}
    for kind, content in _chunks(body):
        parts.setdefault(kind, []).append(content)
    (head,), (palette,) = parts[b"IHDR"], parts.get(b"PLTE", [b""])
    depth, colour = struct.unpack(">8xBB3x", head)
    kept = [(b"IHDR", head)]
    if colour == 3:
        kept.append((b"PLTE", palette))
    if colour < 4 and b"tRNS" in parts:
        (clear,) = parts[b"tRNS"]
        kept.append((b"tRNS", clear))
        if len(clear) != CLEAR.get(colour, min(len(clear), len(palette) // 3)):
            raise ValueError("transparent colours that are none")
    size = _unpacked(head, depth * CHANNELS[colour])
    if len(palette) > 3 << depth or not _fills(parts[b"IDAT"], size):
        raise ValueError("more than the pixels")
    kept += [(b"IDAT", content) for content in parts[b"IDAT"]]
    kept.append((b"IEND", b""))
    return _png_turned(PNG + b"".join(_chunk(*one) for one in kept), _turn_of(body)), b""


def _unpacked(head: bytes, bits: int) -> int:
    """Bytes of all rows, each with its filter; bits: of a pixel."""
    width, height, laced = struct.unpack(">II4xB", head)
    passes = PASSES if laced else ((0, 0, 1, 1),)
    sizes = [(-((x - width) // dx), -((y - height) // dy)) for x, y, dx, dy in passes]
    return sum(high * (1 + (wide * bits + 7) // 8) for wide, high in sizes if wide > 0)


def _fills(parts: list[bytes], size: int) -> bool:
    """Whether these are one stream of so many bytes with nothing behind it."""
    stream, found = zlib.decompressobj(), 0
    for part in parts:
        rest = part
        while rest and found <= size:
            found += len(stream.decompress(rest, PIECE))
            rest = stream.unconsumed_tail
    return stream.eof and found == size and not stream.unused_data


def _png_turned(body: bytes, turn: int) -> bytes:
    head = len(PNG) + 12 + 13
    return body if turn == 1 else body[:head] + _chunk(b"eXIf", _exif(turn)) + body[head:]


# --- JPEG -----------------------------------------------------------------------------------------


def _segments(body: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Marker and content of each segment from the start of the picture to its end, and what is compressed
    behind it; raises ValueError where they do not follow one another.
    """
    at = 2
    while body[at : at + 2] != b"\xff\xd9":
        mark, size = body[at + 1 : at + 2], int.from_bytes(body[at + 2 : at + 4])
        end = after = at + 2 + size
        if body[at : at + 1] != b"\xff" or mark < b"\xc0" or b"\xd0" <= mark <= b"\xd9" or size < 2:
            raise ValueError("no segment")
        if mark[0] == SCAN and (found := MARK.search(body, end)) is not None:
            end, after = found.start(), found.start(1) - 1
        if after > len(body) - 2:
            raise ValueError("cut off")
        yield mark[0], body[at + 4 : at + 2 + size], body[at + 2 + size : end]
        at = after


def _segment(mark: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, mark, len(content) + 2) + content


def _bare_jpeg(body: bytes) -> Cut:
    """With one frame and its scans, the tables that they use, and what says which colours these are."""
    turn, frame = _turn_of(body), b""
    out = [b"\xff\xd8", *([_segment(0xE1, EXIF + _exif(turn))] if turn != 1 else [])]
    tables: dict[tuple[int, int], bytes] = {}  # by marker and name, until a scan uses them
    done: set[bytes] = set()
    for mark, content, pixels in _segments(body):
        if mark in (HUFFMAN, LEVELS, RESTARTS):
            tables |= _tables(mark, content)
        elif mark == SCAN:
            used = _used(frame, content, done)
            out += [_segment(one[0], tables.pop(one)) for one in used if one in tables]
            out += [_segment(mark, content), pixels]
        elif mark in FRAMES:
            frame = bytes([mark]) + content
            out.append(_segment(mark, content))
        elif mark == 0xE0 and content[:5] == b"JFIF\0":
            out.append(JFIF)
        elif mark == 0xEE and content[:5] == b"Adobe" and content[11] < 3:
            out.append(_segment(mark, b"Adobe\0\x64\0\0\0\0" + content[11:12]))
        elif mark < 0xE0:
            raise ValueError("a kind of JPEG that is not known")
    kept = b"".join([*out, b"\xff\xd9"])
    return kept, b"" if frame[0] == PROGRESSIVE else kept[:-3]  # the first is never read without its end


def _tables(mark: int, content: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Each table of a segment by itself, by its marker and its name."""
    while content:
        name, size = (0, 2) if mark == RESTARTS else (content[0], 65)
        if mark == LEVELS:
            name, size = name & 15, 129 if name > 15 else 65
        elif mark == HUFFMAN:
            size = 17 + sum(content[1:17])
        yield (mark, name), content[:size]
        content = content[size:]


def _used(frame: bytes, scan: bytes, done: set[bytes]) -> list[tuple[int, int]]:
    """The tables that a scan uses; raises ValueError where it says again what was `done`, which would hide
    it.
    """
    levels = {frame[at]: frame[at + 2] for at in range(7, len(frame), 3)}  # by component
    steps = scan[-3:] if frame[0] == PROGRESSIVE else b"\0\x3f\0"  # which frequencies, and which bits of them
    used = [(RESTARTS, 0)]
    for which, names in zip(scan[1:-3:2], scan[2:-3:2], strict=True):
        part = bytes([which]) + steps
        if part in done or which not in levels:
            raise ValueError("a scan that is none")
        done.add(part)
        used += [(LEVELS, levels[which])]
        used += [(HUFFMAN, names >> 4)] if steps[0] == 0 else []
        used += [(HUFFMAN, 16 | names & 15)] if steps[1] > 0 else []
    return list(dict.fromkeys(used))


# --- WebP -----------------------------------------------------------------------------------------


def _bare_webp(body: bytes) -> Cut:
    """One frame and nothing else; where a mask, a turn or another frame is needed, the pixels differ."""
    at, found = 12, []
    while at + 8 <= len(body):
        kind, size = body[at : at + 4], int.from_bytes(body[at + 4 : at + 8], "little")
        if kind in (b"VP8 ", b"VP8L"):
            found.append((kind, body[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    ((kind, pixels),) = found
    return _webp(kind, pixels), _webp(kind, pixels[:-4])


def _webp(kind: bytes, pixels: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", len(pixels)) + pixels + b"\0" * (len(pixels) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body
