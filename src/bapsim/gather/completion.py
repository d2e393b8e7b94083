"""What one HTTP answer of a chat endpoint amounts to: an answer, a refusal, another try, or the end of all.

A server may ignore the schema with status 200: what it wrote is checked here, never believed. No text of
the server stands in a reason: some repeat the key in their errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from bapsim.gather.endpoint import Endpoint
from bapsim.text.json_schema import NotJson, fits, parsed

OK = 200
LIMIT = 4 * 1024 * 1024  # bytes of an answer that are read
AGAIN = frozenset({408, 409, 425, 429})
SERVER = 500
REFUSED = frozenset({400, 406, 410, 411, 413, 414, 415, 422, 431, 451})  # of this request; others: of all
MOST = 10**9  # tokens of one answer that are believed
_CODE = re.compile(r"[a-z][a-z_]{2,39}")
_ENDED = {"length": "cut_off", "content_filter": "filtered"}


@dataclass(frozen=True, kw_only=True)
class Reply:
    """kind: what follows; reason: why there is no text; tokens: None where the server did not say (then the
    most that was possible counts); billed: whether it may have cost something; after: seconds that the server
    asks to wait.
    """

    kind: Literal["answered", "refused", "again", "stop"]
    text: str | None = None
    reason: str = ""
    tokens: tuple[int, int] | None = None
    billed: bool = True
    after: float | None = None


def judged(endpoint: Endpoint, status: int, headers: Mapping[str, str], raw: bytes) -> Reply:
    """A whole HTTP answer."""
    if status != OK:
        return _failed(status, headers, raw)
    if len(raw) > LIMIT:
        return Reply(kind="refused", reason="too_big")
    try:
        said = json.loads(raw)
        choice = said["choices"][0]
        message = choice["message"]
        content, ended = message.get("content"), choice.get("finish_reason")
        tokens, declined = _tokens(said.get("usage")), message.get("refusal")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return Reply(kind="again", reason="not_a_completion")
    reason = _ENDED.get(ended if isinstance(ended, str) else "", "") or ("declined" if declined else "")
    if reason:
        return Reply(kind="refused", reason=reason, tokens=tokens)
    text, reason = _checked(endpoint, content)
    return Reply(kind="refused" if reason else "answered", text=text, reason=reason, tokens=tokens)


def _failed(status: int, headers: Mapping[str, str], raw: bytes) -> Reply:
    reason, code = f"http_{status}", _code(raw)
    if code == "insufficient_quota":
        return Reply(kind="stop", reason=code, billed=False)
    if status in AGAIN or status >= SERVER:
        return Reply(kind="again", reason=reason, billed=status != 429, after=_wait(headers))
    if status in REFUSED:
        return Reply(
            kind="refused", reason=f"{reason}:{code}" if code else reason, tokens=(0, 0), billed=False
        )
    return Reply(kind="stop", reason=reason, billed=False)


def _code(raw: bytes) -> str:
    """The code of an error in lower-case words; "" for anything else."""
    try:
        error = json.loads(raw[:LIMIT])["error"]
        said = [error.get(name) for name in ("code", "type")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    return next((one for one in said if isinstance(one, str) and _CODE.fullmatch(one)), "")


def _wait(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds: a number or a date; None where it says nothing that can be kept to."""
    said = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", said):
        return float(said)
    try:
        then = parsedate_to_datetime(said)
    except (ValueError, TypeError, IndexError):
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max((then - datetime.now(UTC)).total_seconds(), 0.0)


def _tokens(usage: Any) -> tuple[int, int] | None:
    if not isinstance(usage, dict):
        return None
    found = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    for one in found:
        if not isinstance(one, int) or isinstance(one, bool) or not 0 <= one < MOST:
            return None
    return int(found[0]), int(found[1])  # type: ignore[arg-type]


def _checked(endpoint: Endpoint, content: Any) -> tuple[str | None, str]:
    """The text that counts, or why none does."""
    if not isinstance(content, str) or not content.strip():
        return None, "empty"
    try:
        content.encode()
        if endpoint.schema is None:
            return content, ""
        value = parsed(content)
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        text.encode()
        return (text, "") if fits(value, endpoint.schema) else (None, "not_by_schema")
    except UnicodeEncodeError:
        return None, "not_text"
    except NotJson:
        return None, "not_json"
    except (ArithmeticError, ValueError, RecursionError):  # 1e999 where a whole number is looked for
        return None, "not_by_schema"
