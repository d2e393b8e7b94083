"""Label Studio's task JSON, in and out: choices, pairs and spans of texts, with annotators and predictions.

Format: labelstud.io/guide/task_format and its result types `choices`, `pairwise`, `labels`. Its text offsets
count UTF-16 units, ours code points: they differ behind an emoji. Regions of pictures are not read: no desk
of ours draws them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bapsim.core.records import Unread
from bapsim.gather.chunk import Chunk, NotRead
from bapsim.gather.types import written
from bapsim.gather.voices import Item, Kind, Span, Voice

SIDES = {"left": "a", "right": "b"}
NAMES: dict[Kind, str] = {"label": "choices", "pair": "pairwise", "spans": "labels", "confirm": "choices"}


def is_tasks(names: Sequence[str]) -> bool:
    """Whether the columns of a JSON list are those of tasks."""
    return "data" in names and bool({"annotations", "predictions", "completions"} & set(names))


def read_tasks(chunk: Chunk, items: list[Item], unread: list[Unread]) -> Kind | None:
    """Adds the tasks of a chunk to `items`, and those that are none to `unread`; returns their kind."""
    names = chunk.rows.schema.names
    columns = [written(column).to_pylist() for column in chunk.rows.columns]
    kind: Kind | None = None
    for line, *row in zip(chunk.lines.tolist(), *columns, strict=True):
        try:
            item, said = _task(
                {n: one for n, one in zip(names, row, strict=True) if one is not None}, len(items)
            )
        except NotRead as why:
            unread.append(why.at(chunk.file, line))
            continue
        kind = kind or said
        items.append(item)
    return kind


def _task(cells: Mapping[str, str], number: int) -> tuple[Item, Kind | None]:
    data = _json(cells["data"]) if "data" in cells else None
    if not isinstance(data, dict):
        raise NotRead("object", "data")
    shows = {
        str(n): one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)
        for n, one in data.items()
    }
    if not any(text.strip() for text in shows.values()):
        raise NotRead("no_input", "data")
    annotations = _json(cells.get("annotations") or cells.get("completions") or "[]")
    predictions = _json(cells.get("predictions") or "[]")
    voices, kind = [], None
    for one in _objects(annotations):
        said, found = _said(one.get("result"), shows)
        kind = kind or found
        voices.append(_voice(one, said))
    guesses = [_said(one.get("result"), shows) for one in _objects(predictions)]
    guess, guessed = next(((said, found) for said, found in guesses if said is not None), (None, None))
    key = cells.get("id") or str(number + 1)
    return Item(key=key, shows=shows, voices=tuple(voices), guess=guess), kind or guessed


def _json(said: str) -> Any:
    try:
        return json.loads(said)
    except (ValueError, RecursionError) as why:
        raise NotRead("json", said[:40]) from why


def _objects(listed: Any) -> Iterable[Mapping[str, Any]]:
    """The objects of a list; anything else is no task of this format."""
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise NotRead("object", "annotations")
    return listed


def _voice(one: Mapping[str, Any], said: Any) -> Voice:
    by, lead = one.get("completed_by"), one.get("lead_time")
    if isinstance(by, dict):  # newer exports say who it is at length
        by = by.get("id")
    seconds = float(lead) if isinstance(lead, int | float) and not isinstance(lead, bool) else None
    skipped = one.get("was_cancelled") is True
    return Voice(
        said=None if skipped else said,
        by=None if by is None else str(by),
        at=one["created_at"] if isinstance(one.get("created_at"), str) else None,
        seconds=seconds,
        comment=next((_text(r) for r in one.get("result") or () if _type(r) == "textarea"), None),
        gold=one.get("ground_truth") is True,
        skipped=skipped,
    )


def _type(result: Any) -> str:
    return str(result.get("type")) if isinstance(result, dict) else ""


def _text(result: Mapping[str, Any]) -> str | None:
    said = _value(result).get("text")
    return " ".join(map(str, said)) if isinstance(said, list) else said if isinstance(said, str) else None


def _value(result: Mapping[str, Any]) -> Mapping[str, Any]:
    value = result.get("value")
    return value if isinstance(value, dict) else {}


def _said(results: Any, shows: Mapping[str, str]) -> tuple[Any, Kind | None]:
    """What the results of one annotation say, and of which kind they are; (None, None) where they say nothing
    that a desk of ours asks."""
    if results is None:
        return None, None
    spans: list[Span] = []
    for result in _objects(results):
        value = _value(result)
        if _type(result) == "choices" and isinstance(value.get("choices"), list) and value["choices"]:
            labels = tuple(str(one) for one in value["choices"])
            return (labels[0] if len(labels) == 1 else labels), "label"
        if _type(result) == "pairwise":
            return SIDES.get(str(value.get("selected")), "tie"), "pair"
        if _type(result) == "labels":
            spans += _spans(value, shows.get(str(result.get("to_name")), next(iter(shows.values()))))
    return (tuple(sorted(set(spans))), "spans") if spans else (None, None)


def _spans(value: Mapping[str, Any], text: str) -> Iterable[Span]:
    """Spans in code points. Raises NotRead where a place does not hold the text that it should."""
    start, end, labels = value.get("start"), value.get("end"), value.get("labels")
    if not (type(start) is int and type(end) is int and isinstance(labels, list)):
        raise NotRead("spans", json.dumps(dict(value), ensure_ascii=False)[:40])
    said = value.get("text")
    places = [(_points(text, start), _points(text, end)), (start, end)]
    for a, b in places if isinstance(said, str) else places[:1]:
        if 0 <= a < b <= len(text) and (not isinstance(said, str) or text[a:b] == said):
            return [Span(a, b, str(label)) for label in labels]
    raise NotRead("spans", f"{start}-{end}")


def _points(text: str, units: int) -> int:
    """The number of code points in the first UTF-16 units of a text; -1 beyond its end."""
    body = text.encode("utf-16-le", "surrogatepass")
    if not 0 <= units <= len(body) // 2:
        return -1
    return len(body[: 2 * units].decode("utf-16-le", "ignore"))


# ---------------------------------------------------------------- out


def as_tasks(items: Iterable[Item], kind: Kind) -> list[dict[str, Any]]:
    """Items as tasks that Label Studio imports, voices as annotations, the guess as a prediction."""
    return [_as_task(item, kind) for item in items]


def _as_task(item: Item, kind: Kind) -> dict[str, Any]:
    made = [_annotation(voice, item, kind) for voice in item.voices]
    guess = [] if item.guess is None else [{"result": _results(item.guess, item, kind)}]
    number = int(item.key) if item.key.isdigit() and len(item.key) < 16 else item.key
    return {"id": number, "data": dict(item.shows), "annotations": made, "predictions": guess}


def _annotation(voice: Voice, item: Item, kind: Kind) -> dict[str, Any]:
    result = [] if voice.said is None else _results(voice.said, item, kind)
    if voice.comment:
        value = {"text": [voice.comment]}
        result.append(
            {"from_name": "comment", "to_name": _shown(item, kind), "type": "textarea", "value": value}
        )
    told = {"completed_by": voice.by, "created_at": voice.at, "lead_time": voice.seconds}
    whole = {"result": result, "was_cancelled": voice.skipped, "ground_truth": voice.gold}
    return whole | {name: one for name, one in told.items() if one is not None}


def _shown(item: Item, kind: Kind) -> str:
    return "a,b" if kind == "pair" else next(iter(item.shows))


def _results(said: Any, item: Item, kind: Kind) -> list[dict[str, Any]]:
    about = {"from_name": "label", "to_name": _shown(item, kind), "type": NAMES[kind], "origin": "manual"}
    if kind == "spans":
        text = next(iter(item.shows.values()))
        return [about | {"value": _place(span, text)} for span in said]
    if kind == "pair":
        sides = {ours: theirs for theirs, ours in SIDES.items()}
        return [about | {"value": {"selected": sides.get(said, "tie")}}]
    return [about | {"value": {"choices": [said] if isinstance(said, str) else list(said)}}]


def _place(span: Span, text: str) -> dict[str, Any]:
    start, end = (len(text[:at].encode("utf-16-le", "surrogatepass")) // 2 for at in span[:2])
    return {"start": start, "end": end, "text": text[span.start : span.end], "labels": [span.label]}
