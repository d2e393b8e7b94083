"""A client of `bapsim serve`: ask, and say what was right. Blocking, over httpx.

    with Client("http://127.0.0.1:8000") as client:
        said = client.predict(text="Where is my card?")
        client.feedback(said.request, correction="card_arrival", by="desk-7")

Asked again is only what the service said it did not take (429, 503 with Retry-After), or what cannot have
reached it: a lost connection leaves open whether a line was written, and is an error.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from datetime import time as clock
from pathlib import Path
from typing import Any, Self, overload

import httpx

from bapsim.core.errors import BapsimError, InputError

TRIES = 4
LONGEST = 5.0  # seconds that are waited before the next try


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the service says of one row. prediction: a label, a list of labels, or a number; low, high: four
    of five true numbers lie between them; in_scope: below .5 the row is unlike the training rows.
    """

    request: str
    prediction: Any
    model: str
    confidence: float | None = None
    in_scope: float | None = None
    low: float | None = None
    high: float | None = None


class ServiceError(BapsimError):
    """The service refused: its status, key, place, and words."""

    def __init__(self, status: int, said: Mapping[str, Any]) -> None:
        super().__init__(f"refused_{said.get('key')}", **said)
        self.status, self.where = status, said.get("where")
        self.reason, self.what, self.next = said.get("key"), said.get("what"), said.get("next")

    def say(self, lang: str = "en") -> str:
        """The words of the service, in the language that the client asked for."""
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what}" + (f"\n{self.next}" if self.next else "")


class Client:
    """See the module. key: who asks, for a canary's share (header X-Client); lang: of what is refused."""

    def __init__(self, url: str, *, key: str | None = None, lang: str = "en", timeout: float = 30.0) -> None:
        self.url = url.rstrip("/")
        headers = {"accept-language": lang} | ({} if key is None else {"x-client": key})
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    @overload
    def predict(self, *, text: str) -> Answer: ...
    @overload
    def predict(self, *, picture: Path | str | bytes) -> Answer: ...
    @overload
    def predict(self, *, row: Mapping[str, Any]) -> Answer: ...
    @overload
    def predict(self, *, rows: Sequence[Mapping[str, Any]]) -> list[Answer]: ...
    def predict(
        self,
        *,
        text: str | None = None,
        row: Mapping[str, Any] | None = None,
        rows: Sequence[Mapping[str, Any]] | None = None,
        picture: Path | str | bytes | None = None,
    ) -> Answer | list[Answer]:
        """The answer to a text, a row, a picture (bytes, or the path of a file), or to each of several rows.

        A text stands for the row {"text": ...}: with a column of another name, say `row`. Dates and times
        of datetime are sent as ISO text. Raises
        ServiceError for what the service refuses, InputError where it cannot be reached.
        """
        if sum(one is not None for one in (text, row, rows, picture)) != 1:
            raise InputError("client_what")
        if picture is not None:
            body = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
            kind = {"content-type": "application/octet-stream"}
            said = self._ask("POST", "/predict", content=body, headers=kind)
        elif rows is not None:
            said = self._ask("POST", "/predict", **_json({"rows": [dict(one) for one in rows]}))
            return [Answer(**one) for one in said["answers"]]
        else:
            said = self._ask("POST", "/predict", **_json({"text": text} if row is None else dict(row)))
        return Answer(**said)

    def feedback(
        self,
        request: str,
        *,
        correction: Any = None,
        thumbs: int | None = None,
        out_of_scope: bool | None = None,
        comment: str | None = None,
        by: str | None = None,
    ) -> None:
        """Say of an answer what would have been right, or how it was; kept for good when this returns."""
        said = {"correction": correction, "thumbs": thumbs, "out_of_scope": out_of_scope}
        said |= {"comment": comment, "by": by}
        body = {"request": request} | {name: value for name, value in said.items() if value is not None}
        self._ask("POST", "/feedback", json=body)

    def health(self) -> dict[str, Any]:
        """How the service stands."""
        return self._ask("GET", "/health")

    def _ask(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        for left in range(TRIES - 1, -1, -1):
            try:
                got = self._http.request(method, path, **sent)
            except httpx.ConnectError as why:  # nothing was sent
                if not left:
                    raise InputError("client_unreachable", url=self.url, why=str(why)) from why
                time.sleep(min(0.1 * 2 ** (TRIES - left), LONGEST))
                continue
            except httpx.HTTPError as why:
                raise InputError("client_unreachable", url=self.url, why=str(why) or repr(why)) from why
            if got.status_code in (429, 503) and left and "retry-after" in got.headers:
                time.sleep(_seconds(got.headers["retry-after"]))
                continue
            return self._said(got)
        raise AssertionError("the last try returns or raises")  # pragma: no cover

    def _said(self, got: httpx.Response) -> dict[str, Any]:
        try:
            said = got.json()
            error = said.get("error")
        except (ValueError, AttributeError) as why:
            raise InputError("client_answer", url=self.url, status=got.status_code) from why
        if isinstance(error, dict):
            raise ServiceError(got.status_code, error)
        if not got.is_success:
            raise InputError("client_answer", url=self.url, status=got.status_code)
        return dict(said)


def _json(said: Mapping[str, Any]) -> dict[str, Any]:
    """A body of JSON, dates and times as ISO text."""
    body = json.dumps(said, ensure_ascii=False, allow_nan=False, default=_iso).encode()
    return {"content": body, "headers": {"content-type": "application/json"}}


def _iso(value: Any) -> str:
    if isinstance(value, date | clock):  # a datetime is a date
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no value of JSON")


def _seconds(said: str) -> float:
    """Seconds to wait; a date is not one that our service says."""
    return min(float(said), LONGEST) if said.isdigit() else 1.0
