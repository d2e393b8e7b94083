"""Whether anything is still there: every file of the project is opened and looked into again."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from bapsim.core.arrow import strings
from bapsim.store.lake import read_batch
from bapsim.store.project import Project
from bapsim.text.verbatim import holds
from bapsim.wheel.scrub_database import in_pages, is_database
from bapsim.wheel.scrub_files import without
from bapsim.wheel.scrubbing import files_of, looked_into, sought_in
from bapsim.wheel.sought import Sought
from bapsim.wheel.withdrawal_plan import Plan


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A file in which something still stands."""

    path: str
    what: str


def verified(project: Project, plan: Plan, told: Collection[str]) -> list[Hit]:
    """All files in which something is found that went, but for those that are told as left."""
    found = [*_records(project, plan), *_models(project, plan)]
    for path in files_of(project):
        said = path.relative_to(project.root).as_posix()
        if said not in told and not path.is_symlink() and looked_into(path, said):
            found += [Hit(path=said, what=one) for one in _in_file(path, said, plan)]
    for path in sorted(project.wheel.glob(f"{project.ledger.path.name}*")):
        if in_pages(path, plan.sought):
            found.append(Hit(path=path.relative_to(project.root).as_posix(), what="pages"))
    return found


def _in_file(path: Path, said: str, plan: Plan) -> Iterator[str]:
    if is_database(path):
        if in_pages(path, plan.sought):
            yield "pages"
        return
    given = said.startswith("inbox/")
    there = given and said.removeprefix("inbox/") in plan.files
    if there or without(path.read_bytes(), path.name, sought_in(plan, said), given=given) is not None:
        yield "file"


def _records(project: Project, plan: Plan) -> Iterator[Hit]:
    for place, _, names in os.walk(project.wheel / "records"):
        for name in sorted(names):
            path = Path(place) / name
            if path.suffix == ".parquet" and _in_columns(read_batch(path), plan.sought):
                yield Hit(path=path.relative_to(project.root).as_posix(), what="rows")


def _in_columns(batch: pa.RecordBatch, sought: Sought) -> bool:
    for column in batch.columns:
        if pa.types.is_string(column.type) and holds(sought.traces, strings(column), "strict").any():
            return True
    return False


def _models(project: Project, plan: Plan) -> Iterator[Hit]:
    for path in sorted(p for p in project.models.rglob("*") if p.is_file()):
        if without(path.read_bytes(), path.name, plan.sought, given=False) is not None:
            yield Hit(path=path.relative_to(project.root).as_posix(), what="file")
