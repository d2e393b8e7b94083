"""Questions about pictures as people get them: the files, and a page with all of them and their numbers."""

from __future__ import annotations

import base64
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pyarrow as pa

from bapsim.core.arrow import strings
from bapsim.core.errors import InputError, text
from bapsim.core.records import Rows
from bapsim.gather.answers import Sheet, write_questions
from bapsim.image.pixels import FORMATS, look, thumbnail
from bapsim.report.words import number
from bapsim.store import fault
from bapsim.wheel.stock import FILE

HERE = Path(__file__).parent
MOST = 40  # classes that are listed
THUMBNAIL = 160  # pixels


class Shown(NamedTuple):
    """One question on the contact sheet: the file's name, media type and bytes of its thumbnail, what the
    model says (None: nobody is to be led).
    """

    name: str
    media: str
    body: bytes
    suggested: str | None


def write_asked(out: Path, sheet: Sheet, lang: str) -> Path:
    """Write the pictures of a question sheet, the page that shows them, and the sheet; returns the page.

    All of it or nothing: people would fill in a sheet without its pictures.
    """
    sheet, shown = write_pictures(out, sheet)
    page = out.with_suffix(".html")
    try:
        fault.write(page, contact(out.name, sheet, shown, lang).encode())
        write_questions(out, sheet)
    except BaseException:
        page.unlink(missing_ok=True)
        shutil.rmtree(out.with_suffix(""))
        raise
    return page


def write_pictures(out: Path, sheet: Sheet) -> tuple[Sheet, list[Shown]]:
    """Writes the pictures of a question sheet into a folder of its name, as 0001.png, 0002.jpg, ...

    Returns the sheet with the columns `picture` (its new place) and `file` (its old one) in place of the
    bytes, and the thumbnails. Raises InputError where the folder is there already.
    """
    folder = out.with_suffix("")
    if folder.exists():
        raise InputError("file_exists", path=str(folder))
    bodies: Any = sheet.rows.column(0).to_pylist()
    wide = max(4, len(str(len(bodies))))
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    found = []
    try:
        temporary.mkdir(parents=True)
        for i, body in enumerate(bodies):
            name = f"{i + 1:0{wide}d}{FORMATS[look(body, whole=False).format]}"
            (temporary / name).write_bytes(body)
            media, small = thumbnail(body, THUMBNAIL)
            said = None if sheet.suggested is None else sheet.suggested[i]
            found.append(Shown(name, media, small, None if said is None else str(said)))
        fault.rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    columns = {"picture": pa.array([f"{folder.name}/{one.name}" for one in found], pa.string())}
    if FILE in sheet.rows.schema.names:
        names = [None if name is None else Path(name).name for name in strings(sheet.rows.column(FILE))]
        columns[FILE] = pa.array(names, pa.string())  # its folder may be the label that is asked about
    rows = Rows(pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns)))
    return replace(sheet, rows=rows), found


def contact(name: str, sheet: Sheet, shown: list[Shown], lang: str) -> str:
    """The page of thumbnails; it needs no other file, and leads to the pictures themselves."""
    import jinja2
    from markupsafe import Markup

    pictures = [
        {
            "number": i,
            "name": one.name,
            "media": one.media,
            "data": base64.b64encode(one.body).decode(),
            "suggested": one.suggested,
        }
        for i, one in enumerate(shown, 1)
    ]
    values = {"sheet": name, "target": sheet.target, "questions": number(len(shown))}
    environment = jinja2.Environment(autoescape=True, loader=jinja2.FileSystemLoader(HERE))
    return environment.get_template(
        "contact.html.j2"
    ).render(
        lang=lang,
        css=Markup((HERE / "page.css").read_text("utf-8")),  # noqa: S704  our own text
        title=text("contact.title", lang, **values),
        sentences=text("contact.sentences", lang, **values).split("\n"),
        classes=sheet.classes[:MOST],
        guideline=sheet.guideline,
        folder=quote(Path(name).stem),
        pictures=pictures,
    )
