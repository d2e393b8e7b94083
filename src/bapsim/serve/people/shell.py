"""Templates of the rooms: made on the server, escaped, Korean or English, nothing from elsewhere."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from bapsim.core.errors import messages, text

HERE = Path(__file__).parent
KINDS = {".css": "text/css", ".js": "text/javascript", ".txt": "text/plain", ".svg": "image/svg+xml"}


@cache
def _templates() -> Any:
    import jinja2

    found = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FileSystemLoader(HERE / "pages"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found.globals["asset"] = asset
    return found


def rendered(template: str, lang: str, **values: Any) -> str:
    """A template of `pages/` with its values; `t(key, ...)` in it is the message `people.<key>`."""

    def t(key: str, **more: object) -> str:
        return text(f"people.{key}", lang, **more)

    def known(key: str) -> bool:
        return f"people.{key}" in messages()

    return str(_templates().get_template(template).render(lang=lang, t=t, known=known, **values))


@cache
def files() -> dict[str, tuple[bytes, str]]:
    """What the pages load, by name: body and media type."""
    found = {}
    for path in sorted((HERE / "static").iterdir()):
        if path.suffix in KINDS:
            found[path.name] = (path.read_bytes(), KINDS[path.suffix])
    return found


def asset(name: str) -> str:
    """The address of a file that pages load; another file has another address, so that it can be kept."""
    return f"/people/static/{name}?{hashlib.sha256(files()[name][0]).hexdigest()[:12]}"
