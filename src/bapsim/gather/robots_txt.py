"""robots.txt beyond allow and disallow: preferences about use, and where licence terms are.

Groups and paths follow RFC 9309, `Content-Usage` draft-ietf-aipref-attach (with a path in front, or, as in
its first drafts, without), `Content-Signal` the lines of the same form that content networks write, `License`
RSL 1.0. Who may fetch is Protego's business (`allowed`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

LIMIT = 500 * 1024  # letters: what RFC 9309 asks a crawler to read at least
PREFERENCES = ("content-usage", "content-signal")
_YES, _NO = frozenset({"y", "yes", "1", "true", "allow"}), frozenset({"n", "no", "0", "false", "disallow"})


class Line(NamedTuple):
    """One line: its key in small letters, its value, and the agents of its group (none: before any group)."""

    key: str
    value: str
    agents: tuple[str, ...]

    @property
    def raw(self) -> str:
        return f"{self.key}: {self.value}"


def lines(text: str) -> Iterator[Line]:
    """All lines that say something, each with the agents of its group in small letters."""
    agents: tuple[str, ...] = ()
    open_ = False
    for said in text[:LIMIT].lstrip("\ufeff").splitlines():
        key, mark, value = said.partition("#")[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if not mark:
            continue
        if key == "user-agent":
            agents = (*(agents if open_ else ()), value.partition("/")[0].strip().lower())
        else:
            yield Line(key, value, agents)
        open_ = key == "user-agent"


def lines_for(text: str, agent: str) -> list[Line]:
    """The lines that speak to an agent: those of its own groups, else of `*`, and those before any group."""
    every = list(lines(text))
    token = agent.partition("/")[0].strip().lower()
    own = any(token in one.agents for one in every)
    return [one for one in every if not one.agents or (token if own else "*") in one.agents]


def names(text: str, agent: str) -> bool:
    """Whether an agent is named, rather than meant by `*`."""
    return (
        re.search(rf"(?im)^\s*user-agent\s*:\s*{re.escape(agent)}(?:/\S*)?\s*(?:#|$)", text[:LIMIT])
        is not None
    )


def allowed(text: str, url: str, agent: str) -> bool:
    """Whether an agent may fetch an address, by Protego; an address that is none may not be fetched."""
    from protego import Protego

    try:
        return bool(Protego.parse(text[:LIMIT].lstrip("\ufeff")).can_fetch(url, agent))
    except ValueError:
        return False


def preferences(text: str, url: str, agent: str) -> list[tuple[Line, dict[str, bool]]]:
    """What lines of PREFERENCES say of an address to an agent, for each key those of the longest path."""
    path = path_of(url)
    found: list[tuple[Line, dict[str, bool]]] = []
    for key in PREFERENCES:
        said = []
        for one in lines_for(text, agent):
            if one.key == key:
                place, _, rest = (
                    one.value.partition(" ") if one.value.startswith("/") else ("", "", one.value)
                )
                if matches(place, path):
                    said.append((len(place), one, labels(rest)))
        longest = max((size for size, _, _ in said), default=0)
        found += [(one, prefs) for size, one, prefs in said if size == longest]
    return found


def labels(said: str) -> dict[str, bool]:
    """Preferences "train-ai=n, search=y" by label; of a label said twice, the no holds."""
    found: dict[str, bool] = {}
    for name, value in re.findall(r"([A-Za-z][\w*-]{0,60})\s*=\s*\"?([A-Za-z0-9]{1,10})", said[:4000]):
        word = value.lower()
        if word in _YES or word in _NO:
            found[name.lower()] = found.get(name.lower(), True) and word in _YES
    return found


def path_of(url: str) -> str:
    """The path and query of an address, unquoted, as patterns are compared with it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "/"
    return unquote(parts.path or "/") + (f"?{unquote(parts.query)}" if parts.query else "")


def matches(pattern: str, path: str) -> bool:
    """Whether a path begins as a pattern says: `*` is anything, `$` at its end the end of the path."""
    end = pattern.endswith("$")
    first, *rest = unquote(pattern.removesuffix("$")).split("*")
    if not path.startswith(first):
        return False
    at = len(first)
    for i, part in enumerate(rest):
        if end and i == len(rest) - 1:
            return path.endswith(part) and len(path) - len(part) >= at
        at = path.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return not end or at == len(path)
