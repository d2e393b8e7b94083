"""Jobs of the desk: the project's own questions, likely items to confirm, and files that were brought.

The project's questions are read without its lock, after each turn; what is no longer asked goes, what was
answered stays.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bapsim.core.errors import BapsimError, InputError
from bapsim.core.recipe import Recipe
from bapsim.gather.jobs import Job
from bapsim.gather.voices import Item, Kind, Span
from bapsim.serve.people.desk_tables import done, guideline, item, job, lease
from bapsim.serve.people.names import hashed, new_job
from bapsim.store.ledger import now
from bapsim.store.project import Project, opened
from bapsim.wheel.desk_items import known_items, likely_items, questions
from bapsim.wheel.founding import load_recipe
from bapsim.wheel.sheet import known_labels

PROJECT = "project"
TESTS = 60  # items of a job whose answer is known
LIKELY = 120  # items of a job to confirm
PART = 500  # rows of one insert


@dataclass(frozen=True, kw_only=True)
class Brought:
    """A job as it comes from a project or a file; turn: the newest one that was read."""

    kind: Kind
    answer: str
    title: str
    origin: str
    items: Sequence[Item]
    tests: Sequence[Item] = ()
    labels: Sequence[str] = ()
    guideline: dict[str, str] = field(default_factory=dict)
    turn: int | None = None


def of_project(root: Path) -> Brought | None:
    """The open questions of a project as a job; None where it has made no turn yet."""
    recipe = load_recipe(root)
    if not (root / "wheel" / "ledger.sqlite").exists():
        return None
    with opened(root, writing=False) as project:
        return Brought(
            kind="label",
            answer=recipe.task.answer,
            title=recipe.task.target,
            origin=PROJECT,
            items=questions(project, recipe),
            tests=known_items(project, recipe, TESTS),
            labels=_labels(project, recipe),
            guideline=dict(recipe.guideline),
            turn=newest_turn(project),
        )


def to_confirm(root: Path, label: str, decided: Collection[str] = ()) -> Brought:
    """The pool's likeliest items of a class as a job, but for those that were decided before (ids).

    Raises InputError where there are none.
    """
    recipe = load_recipe(root)
    with opened(root, writing=False) as project:
        items = likely_items(project, recipe, label, LIKELY + len(decided))
        turn = newest_turn(project)
    left = [one for one in items if one.key not in decided][:LIKELY]
    if not left:
        raise InputError("nothing_in_pool")
    return Brought(
        kind="confirm",
        answer="class",
        title=label,
        origin=PROJECT,
        items=left,
        labels=[label],
        guideline={name: rule for name, rule in recipe.guideline.items() if name == label},
        turn=turn,
    )


def decided(connection: sa.Connection, label: str) -> set[str]:
    """Items that somebody kept as this label, or rejected, in any job of likely ones."""
    query = sa.select(done.c.item).join(job, job.c.id == done.c.job)
    query = query.where(job.c.kind == "confirm", job.c.title == label, done.c.line.is_not(None))
    return {str(one) for one in connection.execute(query).scalars()}


def of_file(found: Job, name: str) -> Brought:
    """A file's job; items that somebody declared right are its blind tests."""
    tests = [one for one in found.items if any(voice.gold for voice in one.voices)]
    known = {one.key for one in tests}
    return Brought(
        kind=found.kind,
        answer="class",
        title=Path(name).stem[:200],
        origin=name[:200],
        items=[one for one in found.items if one.key not in known],
        tests=tests,
        labels=found.labels,
    )


def newest_turn(project: Project) -> int:
    """The number of the last turn that is done."""
    return int(project.ledger.value("select coalesce(max(n), 0) from turn where state='done'"))


def turn_now(root: Path) -> int | None:
    """The number of the project's last turn; None before the first."""
    try:
        with opened(root, writing=False) as project:
            return newest_turn(project) or None
    except BapsimError:
        return None


def _labels(project: Project, recipe: Recipe) -> list[str]:
    if recipe.task.answer == "number":
        return []
    known = known_labels(project, recipe.task)
    return sorted(set(known) | set(recipe.guideline))


# ---------------------------------------------------------------- into the database


def add(connection: sa.Connection, brought: Brought, by: str | None) -> str:
    """A new job with its items; returns its id."""
    name = new_job()
    row: dict[str, Any] = {"id": name, "kind": brought.kind, "answer": brought.answer, "title": brought.title}
    row |= {"origin": brought.origin, "labels": _json(list(brought.labels)), "turn": brought.turn}
    connection.execute(job.insert().values(**row, state="open", made=now(), by=by))
    _insert(connection, name, brought)
    for label, rule in brought.guideline.items():
        tell_label(connection, name, label, rule, (), None)
    return name


def renew(connection: sa.Connection, name: str, brought: Brought) -> None:
    """The questions of a newer turn: what is still asked stays where it is, what is not goes unless somebody
    answered it, what is new comes.
    """
    there = {row.id: row.state for row in connection.execute(sa.select(item).where(item.c.job == name))}
    wanted = {_id(brought, one): place for place, one in enumerate(brought.items)}
    gone = [one for one, state in there.items() if state == "open" and one not in wanted]
    mine = item.c.job == name
    for part in _parts(gone):
        connection.execute(
            item.update().where(mine, item.c.id.in_(part), item.c.gold.is_(None)).values(state="gone")
        )
    back = [one for one, state in there.items() if state == "gone" and one in wanted]
    for part in _parts(back):
        connection.execute(item.update().where(mine, item.c.id.in_(part)).values(state="open"))
    for one, place in wanted.items():
        if one in there:
            connection.execute(item.update().where(mine, item.c.id == one).values(place=place))
    _insert(connection, name, brought, known=frozenset(there))
    new = {"turn": brought.turn, "labels": _json(list(brought.labels))}
    connection.execute(job.update().where(job.c.id == name).values(**new))
    connection.execute(lease.delete().where(lease.c.job == name, lease.c.item.in_(gone[:PART])))
    told = rules(connection, name)
    for label, rule in brought.guideline.items():
        if label not in told:
            tell_label(connection, name, label, rule, (), None)


def _insert(
    connection: sa.Connection, name: str, brought: Brought, known: frozenset[str] = frozenset()
) -> None:
    rows = []
    for place, one in enumerate(brought.items):
        if _id(brought, one) not in known:
            rows.append(_row(name, brought, one, place, None))
    tests = {_id(brought, one) for one in brought.items}
    for one in brought.tests:
        gold = next(voice.said for voice in one.voices if voice.gold)
        if _id(brought, one) not in known | tests:
            rows.append(_row(name, brought, one, 0, gold))
    for part in _parts(rows):
        connection.execute(item.insert(), part)


def _row(name: str, brought: Brought, one: Item, place: int, gold: Any) -> dict[str, Any]:
    row = {"id": _id(brought, one), "job": name, "key": one.key[:200], "place": place, "state": "open"}
    guess = None if one.guess is None else _json(one.guess)
    return row | {
        "shows": _json(dict(one.shows)),
        "guess": guess,
        "gold": None if gold is None else _json(gold),
    }


def _id(brought: Brought, one: Item) -> str:
    """A record's id, or one of this file's item: the same item of the same file is not asked twice."""
    if brought.origin == PROJECT:
        return one.key
    return hashed(f"{brought.origin}\0{one.key}")[:32]


def _parts(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (rows[at : at + PART] for at in range(0, len(rows), PART))


def _json(value: Any) -> str:
    if isinstance(value, tuple | list) and value and isinstance(value[0], Span):
        value = [list(span) for span in value]
    return json.dumps(value, ensure_ascii=False)


# ---------------------------------------------------------------- guideline


def tell_label(
    connection: sa.Connection,
    name: str,
    label: str,
    rule: str,
    examples: Sequence[str],
    by: str | None,
    *,
    consent: str | None = None,
) -> None:
    """A new version of what people are told of a label; what an expert worded stands under a consent."""
    row = {
        "job": name,
        "label": label,
        "rule": rule,
        "examples": _json(list(examples)),
        "by": by,
        "consent": consent,
        "at": now(),
    }
    connection.execute(guideline.insert().values(**row))


def rules(connection: sa.Connection, name: str) -> dict[str, dict[str, Any]]:
    """What people are told of each label now: rule, examples, version (from 1), who wrote it, when."""
    found: dict[str, dict[str, Any]] = {}
    query = sa.select(guideline).where(guideline.c.job == name).order_by(guideline.c.seq)
    for row in connection.execute(query).mappings():
        version = found.get(row["label"], {}).get("version", 0) + 1
        about = {"rule": row["rule"], "examples": json.loads(row["examples"]), "version": version}
        found[row["label"]] = about | {"by": row["by"], "at": row["at"]}
    return found


def versions(connection: sa.Connection, name: str) -> list[dict[str, Any]]:
    """Everything that people were told of labels, newest first: label, rule, version, who wrote it, when."""
    found: list[dict[str, Any]] = []
    count: Counter[str] = Counter()
    query = sa.select(guideline).where(guideline.c.job == name).order_by(guideline.c.seq)
    for row in connection.execute(query).mappings():
        count[row["label"]] += 1
        about = {one: row[one] for one in ("label", "rule", "by", "at")}
        found.append(about | {"version": count[row["label"]]})
    return found[::-1]


def told_before(connection: sa.Connection, label: str) -> dict[str, Any] | None:
    """What people are told of a label among the project's own questions, and under which consent."""
    query = sa.select(guideline).join(job, job.c.id == guideline.c.job)
    query = query.where(job.c.origin == PROJECT, job.c.kind == "label", guideline.c.label == label)
    row = connection.execute(query.order_by(guideline.c.seq.desc())).mappings().first()
    return None if row is None else dict(row)


def with_labels(brought: Brought, labels: Sequence[str]) -> Brought:
    """A job that offers these labels, and those that its file has."""
    return replace(brought, labels=list(dict.fromkeys([*labels, *brought.labels])))
