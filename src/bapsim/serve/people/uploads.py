"""Files that are sent with a form: a few, in memory, of a limited size."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from bapsim.serve.refused import bad

FILES, FIELDS, PART = 8, 200, 64 << 10


class Upload(NamedTuple):
    """A file: the field that it came in, its name, its body."""

    field: str
    name: str
    body: bytes


async def multipart(request: Request, body: bytes) -> tuple[dict[str, list[str]], tuple[Upload, ...]]:
    """The fields and files of a form; nothing goes to a temporary file. Raises Refused for another body."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(
        request.headers, stream(), max_files=FILES, max_fields=FIELDS, max_part_size=PART
    )
    parser.spool_max_size = len(body) + 1
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError, AssertionError) as why:
        said = getattr(why, "message", str(why)) or type(why).__name__
        raise bad("not_a_form", "body", why=said) from why
    fields: dict[str, list[str]] = {}
    files = []
    for name, value in form.multi_items():
        if isinstance(value, str):
            fields.setdefault(name, []).append(value)
        else:
            files.append(Upload(name, value.filename or "", await value.read()))
    await form.close()
    return fields, tuple(files)
