"""A request that is refused: an HTTP status, what was wrong, where in the request, what to send instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bapsim.core.errors import InputError, messages, text


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request may bring, and how much may wait. body, picture: bytes; text, comment, label, by:
    characters; waiting: rows that are not answered yet; seconds: to send a body; rate: requests a second of
    one client, None = any.
    """

    body: int = 8 << 20
    rows: int = 1024
    text: int = 100_000
    picture: int = 16 << 20
    pictures: int = 16
    pixels: int = 25_000_000
    label: int = 200
    labels: int = 100
    comment: int = 4000
    by: int = 100
    waiting: int = 4096
    seconds: float = 30.0
    rate: float | None = None


class Refused(InputError):
    """Its message is `error.refused_<key>`; where: the place in the request, as `rows[3].text`."""

    def __init__(self, status: int, key: str, /, where: str = "", **values: object) -> None:
        super().__init__(f"refused_{key}", **values)
        self.status, self.where = status, where
        self.headers: Mapping[str, str] = {"retry-after": "1"} if status in (429, 503) else {}

    def say(self, lang: str = "en") -> str:
        """As every error; kinds of values are said in the language too."""
        values = {"send": self.values.get("wanted"), **self.values}
        kinds = {n: v for n, v in values.items() if n in ("wanted", "found", "send")}
        known = {n: text(f"kind.{v}", lang) for n, v in kinds.items() if f"kind.{v}" in messages()}
        return text(f"error.{self.key}", lang, **{**values, **known})

    def body(self, lang: str) -> dict[str, Any]:
        """What the client reads."""
        what, *more = self.say(lang).split("\n")
        said = {"key": self.key.removeprefix("refused_"), "where": self.where or None, "what": what}
        return {"error": said | {"next": more[-1] if more else None}}


def bad(key: str, where: str = "", **values: object) -> Refused:
    """422: the request was read, and what it says cannot be used."""
    return Refused(422, key, where, **values)


def kind_of(value: Any) -> str:
    """How a JSON value is called: the end of a message key `kind.*`."""
    names = {bool: "truth", int: "number", float: "number", str: "text", list: "list"}
    return "null" if value is None else names.get(type(value), "object")
