"""What people gave in the rooms, as it lies in the inbox: `people/CONSENT.jsonl`, an object a line.

A line that cannot be understood is quarantined with its place and reason; a consent that was withdrawn gives
nothing, whatever still lies there.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bapsim.core.records import Unread
from bapsim.gather.chunk import NotRead
from bapsim.gather.unpack import shown
from bapsim.store.terms import people as folder_of
from bapsim.store.terms import withdrawals

LONGEST = 16 << 20  # bytes of a line
ID = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[!-~]{1,80}")
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Said:
    """One line: its name, kind, person, consent, when it was given, all its fields, and its place."""

    id: str
    kind: str
    person: str
    consent: str
    at: str
    body: Mapping[str, Any]
    file: str
    line: int

    def unread(self, reason: str, detail: str = "") -> Unread:
        return Unread(file=self.file, line=self.line, reason=reason, detail=detail)


def rejects(one: Said) -> list[str]:
    """The labels of which an answer says that none is right: a likely item that was rejected."""
    return list(one.body.get("not") or []) if one.kind == "vote" and one.body.get("blind") is None else []


def files_of(inbox: Path) -> list[Path]:
    """The files of all consents that stand, by name."""
    gone = set(withdrawals(inbox))
    return [path for path in sorted(folder_of(inbox).glob("*.jsonl")) if path.stem not in gone]


def read_people(inbox: Path, unread: list[Unread] | None = None) -> dict[str, list[Said]]:
    """All lines by consent, in the order in which they were approved; what is not read goes to `unread`."""
    found: dict[str, list[Said]] = {}
    for path in files_of(inbox):
        name = path.relative_to(inbox).as_posix()
        for one in _read(path, name, [] if unread is None else unread):
            found.setdefault(path.stem, []).append(one)
    return found


def _read(path: Path, name: str, unread: list[Unread]) -> Iterator[Said]:
    seen: set[str] = set()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                one = _said(line, path.stem, name, number)
                if one.id in seen:
                    raise NotRead("duplicate_key", shown(one.id))
            except NotRead as why:
                unread.append(why.at(name, number))
                continue
            seen.add(one.id)
            yield one


def _said(line: bytes, consent: str, name: str, number: int) -> Said:
    body = _object(line)
    for field in ("id", "kind", "person", "at"):
        if not isinstance(body.get(field), str) or not _NAME.fullmatch(body[field]):
            raise NotRead("field", field)
    if body["kind"] not in FIELDS:
        raise NotRead("unknown_kind", shown(body["kind"]))
    for field, fits in {**SHARED, **FIELDS[body["kind"]]}.items():
        if not fits(body.get(field)):
            raise NotRead("field", field)
    told = {field: body[field] for field in ("id", "kind", "person", "at")}
    return Said(**told, consent=consent, body=body, file=name, line=number)


def _object(line: bytes) -> Json:
    if len(line) > LONGEST:
        raise NotRead("long", "")
    try:
        body = json.loads(line.decode(), parse_constant=_no_number)
    except UnicodeDecodeError as why:
        raise NotRead("encoding", "") from why
    except RecursionError as why:
        raise NotRead("deep", "") from why
    except ValueError as why:
        raise NotRead("json", "") from why
    if not isinstance(body, dict):
        raise NotRead("object", "")
    return body


def _no_number(said: str) -> None:
    raise ValueError(said)


# ---------------------------------------------------------------- fields

Fits = Callable[[Any], bool]


def _text(said: Any) -> bool:
    return isinstance(said, str) and bool(said.strip()) and _whole(said)


def _whole(said: str) -> bool:
    """Half of a surrogate pair is no text, and no file could hold it."""
    return not any("\ud800" <= letter <= "\udfff" for letter in said)


def _number(said: Any) -> bool:
    """A whole number may be of any length in JSON; one that no float can hold is none of ours."""
    return isinstance(said, int | float) and not isinstance(said, bool) and abs(said) <= sys.float_info.max


def _share(said: Any) -> bool:
    return _number(said) and 0 <= said <= 1


def _id(said: Any) -> bool:
    return isinstance(said, str) and ID.fullmatch(said) is not None


def _label(said: Any) -> bool:
    """What a target may be: a label, labels, or a number."""
    if isinstance(said, list):
        return len(said) <= 1000 and all(_text(one) for one in said)
    return _text(said) or _number(said)


def _row(said: Any) -> bool:
    plain = (str, int, float, bool, type(None))
    return (
        isinstance(said, dict)
        and bool(said)
        and all(isinstance(v, plain) and (not isinstance(v, str) or _whole(v)) for v in said.values())
        and not any(name.startswith("_") or not _whole(name) for name in said)
    )


def _rule(said: Any) -> bool:
    """{"all": [terms], "any": [terms], "none": [terms]}, with one term at least."""
    if not isinstance(said, dict) or not set(said) <= {"all", "any", "none"}:
        return False
    lists = list(said.values())
    return all(isinstance(one, list) and all(_text(term) for term in one) for one in lists) and any(lists)


def _messages(said: Any) -> bool:
    def one(turn: Any) -> bool:
        return isinstance(turn, dict) and _text(turn.get("role")) and _text(turn.get("content"))

    return isinstance(said, list) and bool(said) and all(one(turn) for turn in said)


def _shares(said: Any) -> bool:
    """Shares by label that add up to one."""
    return (
        isinstance(said, dict)
        and bool(said)
        and all(_text(label) and _share(share) for label, share in said.items())
        and abs(sum(said.values()) - 1) < 0.01
    )


def _ids(said: Any) -> bool:
    return isinstance(said, list) and all(_id(one) for one in said)


def _or_none(fits: Fits) -> Fits:
    return lambda said: said is None or fits(said)


SHARED: Mapping[str, Fits] = {
    "dialogue": _or_none(_text),
    "comment": _or_none(lambda said: isinstance(said, str) and _whole(said)),
    "seconds": _or_none(lambda said: _number(said) and said >= 0),
    "parents": _or_none(_ids),
}
FIELDS: Mapping[str, Mapping[str, Fits]] = {
    "vote": {
        "question": _id,
        "said": _or_none(_label),
        "cannot_tell": _or_none(lambda said: isinstance(said, bool)),
        "confidence": _or_none(_share),
        "peers": _or_none(_share),
        "blind": lambda said: said in (None, "gold", "again"),
        "not": _or_none(lambda said: isinstance(said, list) and bool(said) and all(map(_text, said))),
    },
    "example": {"input": _row, "target": _label, "why": _or_none(_text)},
    "rule": {"rule": _rule, "text": _text, "label": _label},
    "rationale": {"text": _text, "question": _or_none(_id)},
    "pair": {"prompt": _text, "chosen": _text, "rejected": _text},
    "qa": {"question_text": _text, "answer_text": _text},
    "instruction": {"messages": _messages},
    "guideline": {"label": _label, "text": _text},
    "view": {"distribution": _shares, "question": _or_none(_id), "input": _or_none(_row)},
}
