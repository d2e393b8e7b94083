"""What all sources have in common that ask a language model for rows: who is asked, with which words, what
becomes of the answers.

Only redacted text is asked with. Each answer is a row with its parents, or is unread with a reason: nothing
is lost in silence. A source that asks is run in each turn; what it asked before is on the tape, and is free.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import Column, concat, numbers, strings, take, valid
from bapsim.core.errors import RecipeError
from bapsim.core.fingerprint import digest
from bapsim.core.records import Draft, Origin, Part, Records, Rows, Unread, derive, rows_of
from bapsim.core.turn import Turn, named_seed
from bapsim.gather.asking import Outcome, Preview, ask, preview
from bapsim.gather.drawn import identity
from bapsim.gather.endpoint import Endpoint, Request
from bapsim.store.machine_tape import MachineTape
from bapsim.text.json_schema import NotJson, fits, parsed
from bapsim.text.pii import PEOPLE, scrub

Writer = Endpoint | str  # an endpoint, or the name of a generator of the recipe
Value = Mapping[str, Any]  # what a writer answered, by the schema
SAMPLE = "_seed"


class Refused(Exception):
    """An answer that no row is made of; the reason in lower-case words."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One thing to write: the words, of which of the records shown (positions) it is a child, the number of
    the sample of these words; key: its name in an order (None: the words and the sample are its name).
    """

    messages: tuple[tuple[str, str], ...]
    parents: tuple[int, ...]
    sample: int = 0
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Writing:
    """One source's work in one turn.

    name, words: of the method and all that it says to every writer, which make its fingerprint; schema: of an
    answer; row: makes an answer a row (columns by name), or raises Refused; changed: which parts it made.
    """

    name: str
    words: str
    schema: Mapping[str, Any]
    people: Records
    jobs: Sequence[Job]
    row: Callable[[Job, Value], Mapping[str, Any]]
    changed: frozenset[Part] = frozenset({"input", "target"})
    rights: str = "derived"


def answer_of(**properties: Any) -> dict[str, Any]:
    """The schema of an object that has exactly these."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


TEXT = {"type": "string", "minLength": 1}


def shown(
    turn: Turn, of: str | None = None, *, labelled: bool = True, also: Sequence[str] = ()
) -> Records | None:
    """What people made and nothing refused, in the order of ids: of one source or of all, with a target or
    without; None without any.
    """
    wanted = list(dict.fromkeys([*turn.task.inputs, turn.task.target, *also]))
    mine = None if of is None else list(turn.origins_of(of))
    parts: list[pa.RecordBatch] = []
    for view in turn.data.values():
        for batch, keep in zip(view.batches(wanted), view.kept(), strict=True):
            there = keep & (numbers(batch.column("_input_depth")) == 0)
            if labelled:
                there &= valid(batch.column(turn.task.target))
                there &= numbers(batch.column("_target_depth")) == 0
            if mine is not None:
                there &= np.isin(batch.column("_origin").to_numpy(), mine)
            parts.append(take(batch, there))
    parts = [part for part in parts if part.schema.equals(parts[0].schema)]
    if not sum(map(len, parts)):
        return None
    whole = concat(parts)
    ids: list[Any] = whole.column("_id").to_pylist()
    return Records(take(whole, np.array(sorted(range(len(ids)), key=ids.__getitem__))))


def redacted(people: Records, column: str) -> list[str]:
    """A column as it may leave: without names, addresses and numbers of people; empty where there is none."""
    return [one or "" for one in scrub(strings(people.column(column)), PEOPLE)[0]]


def text_inputs(turn: Turn, people: Records) -> tuple[str, ...]:
    """The inputs that can be written; raises RecipeError where there are none."""
    kinds = {name: people.schema.field(name).type for name in turn.task.inputs}
    found = tuple(name for name, kind in kinds.items() if pa.types.is_string(kind))
    if not found:
        raise RecipeError("nothing_to_write", inputs=", ".join(turn.task.inputs))
    return found


def some_of(people: Records, share: float, *name: object) -> list[int]:
    """Positions of a share of the records, by their ids: the same ones in every turn."""
    ids: list[Any] = people.column("_id").to_pylist()
    return [i for i, one in enumerate(ids) if named_seed("share", *name, one.hex()) % 10**6 < share * 10**6]


def method_of(writing: Writing, by: Writer, turn: Turn) -> str:
    """The method's name and the fingerprint of its words, its schema and who is asked: of what was asked, not
    of the code that asks.
    """
    said = [writing.words, json.dumps(writing.schema, sort_keys=True, ensure_ascii=False)]
    if isinstance(by, str):
        model = turn.models.get(by)
        said.append("" if model is None else identity(model))
    else:
        said.append(replace(by, schema=None).stem().decode())
    return f"{writing.name}:{digest(json.dumps(said).encode())}"


def requests_of(writing: Writing) -> list[Request]:
    """What would be asked; each with the ids of the records whose text stands in it."""
    ids: list[Any] = writing.people.column("_id").to_pylist()
    return [
        Request(job.messages, sample=job.sample, made_from=tuple(ids[i] for i in job.parents))
        for job in writing.jobs
    ]


def foreseen(writing: Writing | None, by: Writer, turn: Turn) -> Preview | None:
    """What asking would take; None where nobody outside is asked."""
    if writing is None or isinstance(by, str):
        return None
    return preview(replace(by, schema=writing.schema), requests_of(writing), tape_of(turn))


def tape_of(turn: Turn) -> MachineTape | None:
    """The tape that the wheel gave; None outside a wheel."""
    return turn.tape if isinstance(turn.tape, MachineTape) else None


def written(writing: Writing | None, by: Writer, turn: Turn) -> Iterator[Draft]:
    """Ask for all jobs; a draft of the rows, with what came to none among its unread."""
    if writing is None or not writing.jobs:
        return
    requests = requests_of(writing)
    method = method_of(writing, by, turn)
    outcomes = answered(by, requests, writing.schema, turn)
    schema = writing.schema if isinstance(by, str) else None  # which the driver has looked at
    rows: list[Mapping[str, Any]] = []
    made: list[tuple[Job, str]] = []
    unread: list[Unread] = []
    for job, request, outcome in zip(writing.jobs, requests, outcomes, strict=True):
        key = job.key or f"{digest(json.dumps(request.messages).encode())}:{job.sample}"
        try:
            rows.append(_row(writing, job, outcome, schema))
            made.append((job, key))
        except Refused as why:
            unread.append(Unread(file=f"{method}:{key}", line=0, reason=str(why)))
    yield _draft(writing, method, rows, made, turn, tuple(unread))


def _row(writing: Writing, job: Job, outcome: Outcome, schema: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The row of one answer; schema: by which it was not yet looked at."""
    if outcome.text is None:
        raise Refused(outcome.reason)
    try:
        value = parsed(outcome.text)
    except NotJson as why:
        only = list(writing.schema["properties"])
        if schema is None or len(only) > 1:
            raise Refused("not_json") from why
        value = {only[0]: outcome.text.strip()}  # a small model writes the one text that is asked for
    if schema is not None and not fits(value, schema):
        raise Refused("not_by_schema")
    return writing.row(job, value)


def _draft(
    writing: Writing,
    method: str,
    rows: Sequence[Mapping[str, Any]],
    made: Sequence[tuple[Job, str]],
    turn: Turn,
    unread: tuple[Unread, ...],
) -> Draft:
    people = writing.people
    names = list(dict.fromkeys([*turn.task.inputs, turn.task.target, *(n for row in rows for n in row)]))
    kinds = {field.name: field.type for field in people.schema}
    columns = [pa.array([row.get(n) for row in rows], kinds.get(n, pa.string())) for n in names]
    origin = Origin(
        source="written",
        input_maker="machine",
        target_maker="machine" if "target" in writing.changed else "person",
        method=method,
        rights=writing.rights,
    )
    draft = derive(
        people,
        [job.parents for job, _ in made],
        Rows(pa.RecordBatch.from_arrays(columns, names=names)),
        changed=writing.changed,
        origin=origin,
        keys=[key for _, key in made],
    )
    return replace(draft, unread=unread)


def answered(
    by: Writer, requests: Sequence[Request], schema: Mapping[str, Any] | None, turn: Turn
) -> Sequence[Outcome]:
    """What a writer says to each request."""
    if isinstance(by, str):
        return said_by(by, requests, turn)
    return ask(replace(by, schema=schema), requests, tape_of(turn)).outcomes


def said_by(name: str, requests: Sequence[Request], turn: Turn) -> list[Outcome]:
    """What a generator of the recipe says: asked with the columns `prompt` and `_seed`, and the prompt once
    more under the name of its only input.
    """
    model: Any = turn.models.get(name)
    if model is None:  # it waits for rows to learn from
        return [Outcome(reason="generator_waits")] * len(requests)
    task = getattr(getattr(model, "model", model), "task", turn.task)
    prompts = ["\n\n".join(text for _, text in one.messages) for one in requests]
    seeds = [named_seed(turn.seed, "written", one.messages, one.sample) % 2**31 for one in requests]
    columns: dict[str, Column] = {"prompt": pa.array(prompts, pa.string())}
    columns[SAMPLE] = pa.array(seeds, pa.int64())
    if len(task.inputs) == 1:
        columns[task.inputs[0]] = columns["prompt"]
    said = strings(model(Rows(pa.record_batch(columns))).column("prediction"))
    return [Outcome(text=one) if one and one.strip() else Outcome(reason="empty") for one in said]


def same(one: str, other: str) -> bool:
    """Whether two texts say the same letters, whatever their case, points and blanks."""
    return _letters(one) == _letters(other)


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())


def values_of(people: Records, i: int) -> dict[str, Any]:
    """The user's columns of one record."""
    rows = rows_of(people)
    return {name: rows.column(name)[i].as_py() for name in rows.schema.names}


def delivered(turn: Turn, method: str) -> set[str]:
    """The keys of what this method brought in earlier turns, trained on or not: an order is filled once."""
    mine = [n for n, origin in turn.origins.items() if origin.method == method]
    found: set[str] = set()
    for view in turn.data.values() if mine else ():
        for batch in view.batches([]):
            there = np.isin(batch.column("_origin").to_numpy(), mine)
            found.update(key for key in strings(take(batch, there).column("_key")) if key is not None)
    return found


def still_wanted(writing: Writing, by: Writer, turn: Turn) -> Writing:
    """The order without what was delivered."""
    have = delivered(turn, method_of(writing, by, turn))
    return replace(writing, jobs=[job for job in writing.jobs if job.key not in have])


def drawn_shots(ids: Sequence[bytes], among: Sequence[int], count: int, *name: object) -> list[int]:
    """Positions of `count` records by the lot of each one's id: a record more seldom changes the draw."""
    lots = {i: named_seed("shot", *name, ids[i].hex()) for i in among}
    return sorted(among, key=lots.__getitem__)[:count]
