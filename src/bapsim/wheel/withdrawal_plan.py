"""What a withdrawal will do, worked out whole before anything is changed, and kept until it is done.

The plan names records by id and holds digests of what they say, no text: a withdrawal that is killed after
half of the texts are gone still knows what it is looking for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import strings
from bapsim.core.errors import BapsimError, messages
from bapsim.core.recipe import Recipe
from bapsim.core.turn import Turn
from bapsim.gather.answers import ASK, NOTE, SUGGESTED
from bapsim.gather.read import read
from bapsim.gather.service import Service
from bapsim.gather.unpack import Cut, lines
from bapsim.store.lake import is_erased, read_batch
from bapsim.store.project import Project
from bapsim.store.terms import PEOPLE, stem
from bapsim.text.escaped import unescaped
from bapsim.text.verbatim import Said, holds, said_by, shares, spared, traces_of
from bapsim.wheel.closure import Action, Closure, closure, decided, erases
from bapsim.wheel.scrub_text import decoded
from bapsim.wheel.sought import Sought, as_bytes, digest, from_bytes, leaves, row_digest, texts_in

SHEET = {name: name.strip("_") for name in (ASK, SUGGESTED, NOTE)}  # columns of a sheet of answers
ALIKE = 0.8  # share of its spans from which on a record of another says what a withdrawn one said
Actions = dict[bytes, tuple[Action, str]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """consent: whose; actions: for each record that rests on it; files: of the inbox that go whole; logs:
    those whose lines are under the consent where they name no other; quoted: records of others in which the
    same words stand (they stay, and are told).
    """

    consent: str
    sought: Sought
    actions: Actions
    files: tuple[str, ...]
    logs: tuple[str, ...]
    quoted: tuple[str, ...]

    @property
    def erased(self) -> frozenset[bytes]:
        """Records whose content goes."""
        return frozenset(one for one, action in self.actions.items() if erases(action))

    @property
    def left_out(self) -> frozenset[bytes]:
        """Records that stay as they are, and are used no more."""
        no_use = {"drop", "re-verify"}
        return frozenset(one for one, a in self.actions.items() if a[0] in no_use and not erases(a))

    @property
    def freed(self) -> frozenset[bytes]:
        """Records that rest on others alone from now on."""
        return frozenset(one for one, action in self.actions.items() if action[0] == "keep")


def written(plan: Plan) -> bytes:
    """For the disk."""
    said = {
        "consent": plan.consent,
        "actions": [[one.hex(), *action] for one, action in plan.actions.items()],
        "files": plan.files,
        "logs": plan.logs,
        "quoted": plan.quoted,
        "sought": as_bytes(plan.sought).decode(),
    }
    return json.dumps(said).encode()


def from_disk(body: bytes, secret: bytes) -> Plan:
    """As it was written."""
    said = json.loads(body)
    return Plan(
        consent=said["consent"],
        actions={bytes.fromhex(one): (action, why) for one, action, why in said["actions"]},
        files=tuple(said["files"]),
        logs=tuple(said["logs"]),
        quoted=tuple(said["quoted"]),
        sought=from_bytes(said["sought"].encode(), secret),
    )


# ---------------------------------------------------------------------- working it out


def planned(project: Project, recipe: Recipe, consent: str) -> Plan:
    """Everything that a withdrawal of this consent will do; nothing is changed."""
    found = closure(project, consent)
    files, logs = consent_files(project, recipe, consent)
    own = {one.id for one in found.members if one.own or one.joint}
    under = Under(project, recipe, consent, logs)
    for name in files:
        under.file(project.inbox / name)
    under.lines()
    known = [text for one in _batches(project, found, own) for text in _texts(one)]
    said = _spared(project, found, said_by([*known, *under.texts]))
    traced, hinted = _traced(project, found, said)
    actions = decided(found, traced, hinted)
    gone = {one for one, action in actions.items() if erases(action)}
    texts = [text for one in _batches(project, found, gone - own) for text in _texts(one)]
    said = _spared(project, found, said_by([*known, *under.texts, *texts]))
    sought = Sought(
        secret=project.secret,
        traces=traces_of(said, project.secret),
        consent=consent,
        fields=_fields(recipe),
        ids=frozenset(one.hex() for one in gone),
        requests=frozenset(under.requests),
        blobs=frozenset(under.blobs) | _blobs(project, found, gone),
        rows=_rows(project, recipe, found, gone),
        inputs=recipe.task.inputs,
    )
    whole = said_by([*known, *under.texts, *texts])
    quoted = _quoted(project, found, whole, said)
    return Plan(consent=consent, sought=sought, actions=actions, files=files, logs=logs, quoted=quoted)


def _batches(project: Project, found: Closure, wanted: Iterable[bytes]) -> Iterator[pa.RecordBatch]:
    """The user's columns of these members, shard by shard."""
    ids = frozenset(wanted)
    for i, shard in enumerate(found.shards):
        rows = found.rows(i, ids)
        if len(rows):
            yield _own(read_batch(project.wheel / shard.path)).take(pa.array(rows))


def _own(batch: pa.RecordBatch) -> pa.RecordBatch:
    names = [name for name in batch.schema.names if not name.startswith("_")]
    return batch.select([*names, "_key"])


def _texts(batch: pa.RecordBatch) -> list[str]:
    """All texts of some rows."""
    found: list[str] = []
    for column in batch.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            found += [one for one in strings(column) if one]
        elif pa.types.is_nested(column.type) or pa.types.is_dictionary(column.type):
            found += texts_in(column.to_pylist())
    return [*found, *_inner(found)]


def _inner(texts: Sequence[str]) -> Iterator[str]:
    """What stands in texts that are JSON: nested cells, messages."""
    for one in texts:
        if one[:1] in "[{":
            try:
                yield from texts_in(json.loads(one))
            except (ValueError, RecursionError):
                yield unescaped(one).text


def _living(project: Project, found: Closure) -> Iterator[pa.RecordBatch]:
    """The user's columns of all records that have nothing to do with the consent, but for erased ones."""
    for i, shard in enumerate(found.shards):
        batch = read_batch(project.wheel / shard.path)
        stays = ~is_erased(batch)
        stays[found.rows(i)] = False
        yield batch.filter(pa.array(stays))


def _spared(project: Project, found: Closure, said: Said) -> Said:
    """What is said, without what others say, and without what the program itself says."""
    own: list[str] = list(texts_in(messages()))
    for row in project.ledger.rows("select source, method, rights, batch from origin"):
        own += [str(one) for one in row.values() if one]
    for batch in _living(project, found):
        said = spared(said, [*batch.schema.names, *_texts(_own(batch))])
    return spared(said, own)


def _traced(project: Project, found: Closure, said: Said) -> tuple[set[bytes], set[bytes]]:
    """Derived records in which a trace stands, and those that have a rare word."""
    traces = traces_of(said, project.secret)
    derived = {one.id for one in found.members if not (one.own or one.joint)}
    traced: set[bytes] = set()
    hinted: set[bytes] = set()
    for i, shard in enumerate(found.shards):
        rows = found.rows(i, derived)
        if not len(rows):
            continue
        batch = read_batch(project.wheel / shard.path).take(pa.array(rows))
        ids: list[Any] = batch.column("_id").to_pylist()
        for at, one in enumerate(ids):
            texts = _texts(_own(batch.slice(at, 1)))
            if holds(traces, texts, "values").any():
                traced.add(one)
            elif holds(traces, texts, "prose").any():
                hinted.add(one)
    return traced, hinted


def _quoted(project: Project, found: Closure, whole: Said, said: Said) -> tuple[str, ...]:
    """Records of others that say nearly the same: the words are theirs as well, and stay. A record that was
    answered is its own.
    """
    asked = {mum for one in found.members for mum in one.parents}
    shared = np.setdiff1d(whole.spans, said.spans)
    if not len(shared):
        return ()
    empty = shared[:0]
    only = replace(whole, spans=shared, wholes=empty, names=empty, words=empty, single=empty)
    traces = traces_of(only, project.secret)
    hits: list[str] = []
    for batch in _living(project, found):
        ids: list[Any] = batch.column("_id").to_pylist()
        for name in batch.schema.names:
            if pa.types.is_string(batch.schema.field(name).type) and not name.startswith("_"):
                mask = shares(traces, strings(batch.column(name))) >= ALIKE
                hits += [ids[i].hex() for i in np.flatnonzero(mask).tolist() if ids[i] not in asked]
    return tuple(dict.fromkeys(hits))


def _blobs(project: Project, found: Closure, gone: Iterable[bytes]) -> frozenset[str]:
    """Digests of pictures that only erased records have."""

    def of(batches: Iterable[pa.RecordBatch]) -> set[str]:
        bodies = (body for batch in batches for column in batch.columns for body in _bodies(column))
        return {digest(project.secret, body) for body in bodies}

    mine = of(_batches(project, found, gone))
    return frozenset(mine - of(_living(project, found))) if mine else frozenset()


def _bodies(column: Any) -> Iterator[bytes]:
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        yield from (one for one in column.to_pylist() if one)


def _rows(project: Project, recipe: Recipe, found: Closure, gone: Iterable[bytes]) -> frozenset[str]:
    """Digests of the inputs of rows that only erased records have."""
    inputs = recipe.task.inputs
    if recipe.task.kind == "image":
        return frozenset()

    def of(batches: Iterable[pa.RecordBatch]) -> set[str]:
        there = (batch.select(list(inputs)) for batch in batches if set(inputs) <= set(batch.schema.names))
        return {row_digest(project.secret, row.values()) for batch in there for row in batch.to_pylist()}

    mine = of(_batches(project, found, gone))
    return frozenset(mine - of(_living(project, found))) if mine else frozenset()


# ---------------------------------------------------------------------- files under the consent


def _sources(recipe: Recipe) -> Iterator[Any]:
    """The recipe's sources, and those that they are made of."""
    for one in recipe.sources.values():
        inner: Any = one
        while inner is not None:
            yield inner
            inner = getattr(inner, "source", None)


def _fields(recipe: Recipe) -> frozenset[str]:
    """How fields are called that name a consent."""
    paths = [one.layout.get("consent") for one in _sources(recipe) if isinstance(one, Service)]
    return frozenset({"consent", *(str(path).rpartition(".")[2] for path in paths if path)})


def consent_files(project: Project, recipe: Recipe, consent: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Files of the inbox that are under a consent as a whole, and logs that are where they say no other."""
    turn = Turn(n=0, seed=0, task=recipe.task, inbox=project.inbox)
    whole: dict[str, None] = {}
    logs: dict[str, None] = {}
    room = f"{PEOPLE}/{stem(consent)}.jsonl"
    if (project.inbox / room).exists():
        whole[room] = None
    for one in _sources(recipe):
        if getattr(one, "consent", None) == consent and hasattr(one, "reads"):
            goal = logs if isinstance(one, Service) else whole
            goal |= dict.fromkeys(_relative(project, _read_by(one, turn)))
    query = "select batch from origin where method not like 'service%' and batch is not null"
    query += " group by source, batch having min(coalesce(consent, ''))=? and max(coalesce(consent, ''))=?"
    for row in project.ledger.rows(query, consent, consent):
        path = project.inbox / str(row["batch"])
        if path.is_file() and path.resolve().is_relative_to(project.inbox.resolve()):
            whole |= dict.fromkeys(_relative(project, [path]))
    return tuple(whole), tuple(logs)


def _read_by(source: Any, turn: Turn) -> list[Path]:
    try:
        return list(source.reads(turn) or [])
    except BapsimError:  # its files are gone already, or not there yet
        return []


def _relative(project: Project, paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if one.is_file():
                yield one.relative_to(project.inbox).as_posix()


class Under:
    """What files say under a consent: texts, requests of a log, pictures."""

    def __init__(self, project: Project, recipe: Recipe, consent: str, logs: Sequence[str]) -> None:
        self.texts: list[str] = []
        self.requests: set[str] = set()
        self.blobs: set[str] = set()
        self._project, self._consent, self._logs = project, consent, frozenset(logs)
        self._fields = _fields(recipe)

    def file(self, path: Path) -> None:
        """A file that is under it as a whole."""
        body = path.read_bytes()
        self.blobs.add(digest(self._project.secret, body))
        try:
            for chunk in read(path, rename=SHEET):
                self.texts += _texts(chunk.rows)
        except BapsimError:
            text = decoded(body)
            for line in [] if text is None else text.lines:
                self.texts += texts_in(_parsed(line))

    def lines(self) -> None:
        """Lines of the inbox that name it, and requests that they are about."""
        for path in sorted(self._project.inbox.rglob("*.jsonl*")):
            if path.is_file() and not path.is_symlink():
                name = path.relative_to(self._project.inbox).as_posix()
                self._log(path, default=name in self._logs)

    def _log(self, path: Path, *, default: bool) -> None:
        try:
            for line in lines(path):
                if line and (default or self._consent in line):
                    self._line(line, default)
        except (BapsimError, Cut):
            return

    def _line(self, line: str, default: bool) -> None:
        said = _parsed(line)
        named = [value for key, value in leaves(said) if key in self._fields and value]
        if self._consent in named or (default and not named):
            self.texts += texts_in(said)
            request = said.get("request") if isinstance(said, dict) else None
            if isinstance(request, str):
                self.requests.add(digest(self._project.secret, request))


def _parsed(line: str) -> Any:
    """A line as JSON, or as it is."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line


def shown_actions(plan: Plan) -> list[dict[str, str]]:
    """The actions as a report lists them."""
    return [{"id": one.hex(), "action": a, "reason": why} for one, (a, why) in plan.actions.items()]
