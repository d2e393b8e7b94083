"""What a client says of an answer, by its request's name: a correction, thumbs, out of scope, a comment.

A label that nobody has used yet may be a new class and is taken; it has to be plausible as text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bapsim.core.records import Task
from bapsim.serve.refused import Limits, bad, kind_of
from bapsim.text.pii import find
from bapsim.text.targets import LARGEST


@dataclass(frozen=True, kw_only=True, slots=True)
class Feedback:
    """One line about a request. correction: a label, a sorted list of labels, or a number, by the task."""

    request: str
    correction: Any = None
    thumbs: int | None = None
    out_of_scope: bool | None = None
    comment: str | None = None
    by: str | None = None

    def line(self) -> dict[str, Any]:
        """Its part of a line of the log: what was not said is left out."""
        names = ("correction", "thumbs", "out_of_scope", "comment")
        said = {name: value for name in names if (value := getattr(self, name)) is not None}
        return {"by": self.by, **said}


def feedback_in(said: Mapping[str, Any], task: Task, limits: Limits, *, masking: bool) -> Feedback:
    """The feedback of a request; raises Refused. masking: no personal data may stand in `by` or in labels."""
    request = said.get("request")
    if not isinstance(request, str):
        raise bad("value_kind", "request", wanted="text", found=kind_of(request))
    found = Feedback(
        request=request,
        correction=_correction(said.get("correction"), task, limits),
        thumbs=_thumbs(said.get("thumbs")),
        out_of_scope=_flag(said.get("out_of_scope")),
        comment=_text(said.get("comment"), "comment", limits.comment, lines=True),
        by=_text(said.get("by"), "by", limits.by),
    )
    if masking:
        said_of = found.correction if isinstance(found.correction, list) else [found.correction]
        for where, names in (("by", [found.by]), ("correction", said_of)):
            if len(find([name for name in names if isinstance(name, str)]).texts):
                raise bad(f"{where}_is_personal", where)
    if all(getattr(found, name) is None for name in ("correction", "thumbs", "out_of_scope", "comment")):
        raise bad("nothing_said")
    return found


def _correction(value: Any, task: Task, limits: Limits) -> Any:
    if value is None:
        return None
    if task.answer == "number":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise bad("correction_kind", "correction", wanted="number", found=kind_of(value))
        if not abs(value) <= LARGEST:
            raise bad("number_too_large", "correction")
        return value
    if task.answer == "labels":
        if not isinstance(value, list):
            raise bad("correction_kind", "correction", wanted="list", found=kind_of(value))
        if len(value) > limits.labels:
            raise bad("too_many_labels", "correction", labels=len(value), most=limits.labels)
        return sorted({_label(one, f"correction[{i}]", limits) for i, one in enumerate(value)})
    return _label(value, "correction", limits)


def _label(value: Any, where: str, limits: Limits) -> str:
    if not isinstance(value, str):
        raise bad("correction_kind", where, wanted="text", found=kind_of(value))
    said = _text(value, where, limits.label)
    if said is None:
        raise bad("label_blank", where)
    return said


def _text(value: Any, where: str, most: int, *, lines: bool = False) -> str | None:
    """A text as it may be logged: trimmed; None where there is none."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise bad("value_kind", where, wanted="text", found=kind_of(value))
    said = value.strip()
    if len(said) > most:
        raise bad("text_too_long", where, size=f"{len(said):,}", most=f"{most:,}")
    allowed = "\n\r\t" if lines else ""
    for at, sign in enumerate(said):
        if unicodedata.category(sign) in ("Cc", "Cs", "Cn") and sign not in allowed:
            raise bad("strange_character", where, at=at, code=f"U+{ord(sign):04X}")
    return said or None


def _thumbs(value: Any) -> int | None:
    said = {"up": 1, "down": -1}.get(value, value) if isinstance(value, str) else value
    if said is None or (type(said) is int and said in (1, -1)):
        return said
    raise bad("thumbs", "thumbs")


def _flag(value: Any) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise bad("value_kind", "out_of_scope", wanted="truth", found=kind_of(value))
    return value
