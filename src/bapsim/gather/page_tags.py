"""The tags of a page that say something about its use: meta, and links; no comment, script or style is read.

A few linear passes instead of a parser: nothing here needs the tree, and a page may be broken on purpose.
"""

from __future__ import annotations

import html
import re

LIMIT = 2_000_000  # letters of a page that are looked at
_TAG = re.compile(r"<(meta|link|a)\s([^<>]{0,4000})>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"([a-zA-Z][\w:-]{0,60})\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))")
_OPENS = re.compile(r"<!--|<(script|style|textarea|noscript)\b", re.IGNORECASE)

Tag = tuple[str, dict[str, str]]


def tags(page: str | bytes) -> list[Tag]:
    """meta tags, links, and anchors that have a rel, by name in small letters, with their attributes.

    Bytes may be in any encoding in which tags are ASCII, and in UTF-16: what is read of them here is ASCII.
    """
    found = []
    text = page[:LIMIT].decode("latin-1") if isinstance(page, bytes) else page[:LIMIT]
    for name, inner in _TAG.findall(_plain(text.replace("\0", ""))):
        said = {k.lower(): html.unescape(a or b or c) for k, a, b, c in _ATTRIBUTE.findall(inner)}
        if name.lower() != "a" or "rel" in said:
            found.append((name.lower(), said))
    return found


def _plain(page: str) -> str:
    """A page without what browsers do not read as tags."""
    parts, at = [], 0
    while (m := _OPENS.search(page, at)) is not None:
        parts.append(page[at : m.start()])
        close = re.compile("-->" if m[1] is None else f"</{m[1]}", re.IGNORECASE).search(page, m.end())
        at = len(page) if close is None else close.end()
    return "".join([*parts, page[at:]])
