"""Rows with a column `prompt`, answered by an endpoint: a machine as a respondent among others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from bapsim.core.arrow import Column, strings
from bapsim.core.errors import InputError
from bapsim.core.records import Answers, Rows
from bapsim.gather.asking import Outcome, ask
from bapsim.gather.endpoint import Endpoint, Request
from bapsim.store.machine_tape import MachineTape


@dataclass(frozen=True, kw_only=True)
class Prompted:
    """The respondent; see `prompted`."""

    endpoint: Endpoint
    tape: MachineTape | None = field(default=None, metadata={"identity": False}, compare=False, repr=False)

    def __call__(self, rows: Rows, /) -> Answers:
        return answers_of(ask(self.endpoint, requests_of(rows), self.tape).outcomes)


def prompted(endpoint: Endpoint, tape: MachineTape | None = None) -> Prompted:
    """Asks an endpoint for each row: column `prompt`, and if there are such `system` (text) and `_sample`
    (number).

    Answers hold `prediction` (text, or JSON by the schema with sorted names), `reason` (why there is none),
    `tokens_in`, `tokens_out`, `cost` (millionths of a minor unit), `_status`. Raises InputError without the
    column `prompt`.
    """
    return Prompted(endpoint=endpoint, tape=tape)


def requests_of(rows: Rows) -> list[Request]:
    """Rows as requests."""
    names = rows.schema.names
    if "prompt" not in names:
        raise InputError("prompt_missing", columns=", ".join(names))
    empty: Sequence[str | None] = [None] * len(rows)
    system = strings(rows.column("system")) if "system" in names else empty
    samples = rows.column("_sample").to_pylist() if "_sample" in names else [0] * len(rows)
    found = []
    for prompt, first, sample in zip(strings(rows.column("prompt")), system, samples, strict=True):
        head = (("system", first),) if first else ()
        found.append(Request((*head, ("user", prompt or "")), sample=int(sample or 0)))
    return found


def answers_of(outcomes: Sequence[Outcome]) -> Answers:
    """Outcomes of the driver as answers, in their order."""
    status = ["declined" if one.text is None else "answered" for one in outcomes]
    columns: dict[str, Column] = {
        "prediction": pa.array([one.text for one in outcomes], pa.string()),
        "reason": pa.array([one.reason for one in outcomes], pa.string()),
        "_status": pa.array(status, pa.string()),
        "tokens_in": pa.array([one.tokens_in for one in outcomes], pa.int64()),
        "tokens_out": pa.array([one.tokens_out for one in outcomes], pa.int64()),
        "cost": pa.array([one.cost for one in outcomes], pa.int64()),
    }
    return Answers(pa.record_batch(columns))
