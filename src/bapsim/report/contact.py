"""The contact sheet of a question sheet: every picture with its number, on one page that loads nothing."""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import quote

from bapsim.core.errors import text
from bapsim.gather.answers import Sheet
from bapsim.report.words import number
from bapsim.store import fault
from bapsim.wheel.pictures import Shown

HERE = Path(__file__).parent
MOST = 40  # classes that are listed


def write_contact(out: Path, sheet: Sheet, shown: list[Shown], lang: str) -> Path:
    """Write the page beside the sheet, under its name with .html; returns its path."""
    place = out.with_suffix(".html")
    fault.write(place, contact(out.name, sheet, shown, lang).encode())
    return place


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
        folder=quote(Path(name).stem),
        pictures=pictures,
    )
