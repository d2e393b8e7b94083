"""What the OpenAPI page says: schemas of this task's rows and answers, with examples that can be sent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from bapsim.core.records import Task
from bapsim.gather.types import arrow_type
from bapsim.serve.refused import Limits

Json = dict[str, Any]
REFUSALS = {
    403: "A page of another site sent this.",
    404: "No such request was answered here, or it is older than what is kept.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The content type is none of those that are read.",
    422: "The request was read and cannot be used; `where` says which part of it.",
    429: "This client asks too often; see the header Retry-After.",
    500: "The model failed on this input, or a fault of ours.",
    503: "Too much waits, or the log cannot be written; nothing was kept. See the header Retry-After.",
}


@dataclass(frozen=True, kw_only=True)
class About:
    """What a service is about; example: one row that can be sent; classes: names of labels, some of them."""

    title: str
    version: str
    task: Task
    types: dict[str, str]
    limits: Limits
    classes: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """The head of the page."""
        said = {"number": "a number with an interval", "labels": "a set of labels", "class": "one label"}
        return (
            f"Answers `{self.task.target}`, {said[self.task.answer]}, for {', '.join(self.task.inputs)}."
            " Every answer has a request id; what people say of it comes back by POST /feedback and is what"
            " the next model learns from."
        )

    @property
    def row(self) -> Json:
        """One row that can be sent."""
        return {name: _sample(self.types.get(name, "string"), self.task.kind) for name in self.task.inputs}

    @property
    def prediction(self) -> Any:
        """One answer."""
        some = self.classes[0] if self.classes else "card_arrival"
        return {"number": 12.5, "labels": [some], "class": some}[self.task.answer]


def _sample(kind: str, of: str) -> Any:
    """A value that a column of this type takes."""
    made = arrow_type(kind) or pa.string()
    if pa.types.is_boolean(made) or pa.types.is_integer(made) or pa.types.is_floating(made):
        return True if pa.types.is_boolean(made) else 3 if pa.types.is_integer(made) else 1.5
    if pa.types.is_timestamp(made) or pa.types.is_date(made):
        zone = "Z" if pa.types.is_timestamp(made) and made.tz else ""
        return "2026-03-12" if pa.types.is_date(made) else f"2026-03-12T09:30:00{zone}"
    if pa.types.is_time(made) or pa.types.is_duration(made):
        return "09:30:00" if pa.types.is_time(made) else "90"
    return "Where is my card?" if of == "text" else "a"


def _word(kind: str) -> str:
    """The JSON type of a column of this type; times are text."""
    made = arrow_type(kind) or pa.string()
    if pa.types.is_boolean(made):
        return "boolean"
    return "integer" if pa.types.is_integer(made) else "number" if pa.types.is_floating(made) else "string"


def _row(about: About) -> Json:
    columns = {}
    for name in about.task.inputs:
        kind: Json = {"type": _word(about.types.get(name, "string"))}
        if kind["type"] == "string":
            kind["maxLength"] = about.limits.text
            if about.task.kind == "text" and len(about.task.inputs) == 1:
                kind |= {"minLength": 1, "pattern": r"\S"}
        if about.task.kind == "table":
            kind["type"] = [kind["type"], "null"]
        columns[name] = kind
    return {
        "type": "object",
        "properties": columns,
        "required": list(about.task.inputs),
        "description": "One row; other fields are ignored and not kept.",
    }


def _target(about: About) -> Json:
    kinds: dict[str, Json] = {
        "number": {"type": "number"},
        "labels": {"type": "array", "items": {"type": "string"}},
        "class": {"type": "string"},
    }
    return kinds[about.task.answer]


def _answer(about: About) -> tuple[Json, Json]:
    """Schema and example of an answer."""
    share = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
    beside: Json = {"confidence": share}
    example: Json = {"confidence": 0.93}
    if about.task.answer == "number":
        beside = {name: {"type": ["number", "null"]} for name in ("low", "high")}
        example = {"low": 9.1, "high": 15.8}
    fields = {
        "request": {"type": "string", "description": "Its name: send it with feedback."},
        "prediction": _target(about) | {"description": f"The {about.task.target} that the model says."},
        **beside,
        "in_scope": share | {"description": "Below .5: unlike what the model was trained on."},
        "model": {"type": "string", "description": "The version that answered."},
    }
    schema = {"type": "object", "properties": fields, "required": list(fields)}
    name = "0193a1b2c3d00a1b2c3d4e5f607-8899aabbccddeeff"
    return schema, {
        "request": name,
        "prediction": about.prediction,
        **example,
        "in_scope": 0.97,
        "model": "t003-people",
    }


def _said(description: str, schema: Json, example: Json) -> Json:
    return {
        "description": description,
        "content": {"application/json": {"schema": schema, "example": example}},
    }


def _refusals(*statuses: int) -> dict[int | str, Json]:
    words = {"type": ["string", "null"]}
    error = {
        "type": "object",
        "properties": {"key": {"type": "string"}, "where": words, "what": {"type": "string"}, "next": words},
        "required": ["key", "what"],
    }
    schema = {"type": "object", "properties": {"error": error}, "required": ["error"]}
    example = {
        "error": {
            "key": "column_missing",
            "where": "rows[0]",
            "what": "There is no column text.",
            "next": "Send all of: text",
        }
    }
    return {status: _said(REFUSALS[status], schema, example) for status in statuses}


def _body(content: Json) -> Json:
    return {"requestBody": {"required": True, "content": content}}


CLIENT = {
    "name": "X-Client",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 200, "pattern": "^[!-~]+$"},
    "description": "Who asks: the same client always gets the same model while one is tried on some clients.",
}


def predict(about: About) -> Json:
    """POST /predict."""
    schema, example = _answer(about)
    limits = about.limits
    many = {
        "type": "object",
        "properties": {"answers": {"type": "array", "items": schema}},
        "required": ["answers"],
    }
    either = {"oneOf": [schema, many]}
    if about.task.kind == "image":
        binary = {"schema": {"type": "string", "format": "binary"}}
        form = {
            "type": "object",
            "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
        }
        content: Json = {"image/png": binary, "image/jpeg": binary, "multipart/form-data": {"schema": form}}
        how = f"A picture as the body, or up to {limits.pictures} as the files of a form."
    else:
        row = _row(about)
        rows = {
            "type": "object",
            "properties": {"rows": {"type": "array", "items": row, "minItems": 1, "maxItems": limits.rows}},
            "required": ["rows"],
        }
        samples = {
            "one row": {"value": about.row},
            "many rows": {"value": {"rows": [about.row, about.row]}},
        }
        content = {"application/json": {"schema": {"anyOf": [row, rows]}, "examples": samples}}
        how = (
            f"One row, or up to {limits.rows:,} as `rows`. A field `key` names the client, as X-Client does."
        )
    return {
        "summary": "Answer one row or many",
        "description": how,
        "operation_id": "predict",
        "responses": {
            200: _said("An answer, or `answers` in the order of the rows.", either, example),
            **_refusals(403, 408, 413, 415, 422, 429, 500, 503),
        },
        "openapi_extra": _body(content) | {"parameters": [CLIENT]},
    }


def feedback(about: About) -> Json:
    """POST /feedback."""
    limits = about.limits
    _, example = _answer(about)
    fields = {
        "request": {"type": "string", "description": "The request id of the answer."},
        "correction": _target(about) | {"description": "What would have been right; a new label is welcome."},
        "thumbs": {"enum": [1, -1, "up", "down"], "description": "1 or up: good, -1 or down: bad."},
        "out_of_scope": {"type": "boolean", "description": "No label fits."},
        "comment": {"type": "string", "maxLength": limits.comment},
        "by": {
            "type": "string",
            "maxLength": limits.by,
            "description": "Who says so: a pseudonym or a stream.",
        },
    }
    schema = {"type": "object", "properties": fields, "required": ["request"]}
    sample = {"request": example["request"], "correction": about.prediction, "by": "desk-7"}
    kept = {"type": "object", "properties": {"request": {"type": "string"}, "kept": {"const": True}}}
    return {
        "summary": "Say what was right",
        "description": "By the id of a request. The answer comes when it is on the disk.",
        "operation_id": "feedback",
        "responses": {
            200: _said("It was kept.", kept, {"request": example["request"], "kept": True}),
            **_refusals(403, 404, 408, 413, 415, 422, 429, 500, 503),
        },
        "openapi_extra": _body({"application/json": {"schema": schema, "example": sample}})
        | {"parameters": [CLIENT]},
    }


def health(about: About) -> Json:
    """GET /health."""
    example = {"ok": True, "serves": "t003-people", "deployment": "main", "worker": 0, "waiting": 0}
    example |= {"log": {"failing": None, "lost": 0}, "warnings": {}}
    said = _said("It answers; `ok` is false where something needs a look.", {"type": "object"}, example)
    return {
        "summary": "Whether it works",
        "description": "503 only where nothing can be answered: a durable log that cannot be written.",
        "operation_id": "health",
        "responses": {200: said, 503: said | {"description": "It cannot answer."}},
    }


def figures() -> Json:
    """GET /metrics."""
    return {
        "summary": "Figures for Prometheus",
        "operation_id": "metrics",
        "responses": {
            200: {"description": "Text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
        },
    }


def status() -> Json:
    """GET /status."""
    return {
        "summary": "What the live page shows, as JSON",
        "operation_id": "status",
        "responses": {
            200: {
                "description": "As `bapsim serve --status --json`.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            }
        },
    }


def curl(about: About, base: str) -> str:
    """The line that asks for one answer."""
    if about.task.kind == "image":
        return f"curl {base}/predict -H 'content-type: image/png' --data-binary @picture.png"
    said = json.dumps(about.row, ensure_ascii=False).replace("'", "'\\''")
    return f"curl {base}/predict -H 'content-type: application/json' -d '{said}'"
