"""Groups of rows that a recipe may declare beside columns: the language of a text, the source of a row.

A group is a column's name, or a function of records that gives each a value or None: whoever needs another
one writes a function.
"""

from __future__ import annotations

from dataclasses import dataclass

from bapsim.core.arrow import Column, strings
from bapsim.core.records import Records
from bapsim.core.turn import Turn
from bapsim.text.scripts import languages


@dataclass(frozen=True, kw_only=True)
class ByLanguage:
    """A group: the language of each row's text, by its letters; see `by_language`."""

    column: str | None
    latin: str

    def __call__(self, records: Records, turn: Turn) -> list[str | None]:
        wanted = turn.task.inputs if self.column is None else (self.column,)
        cells = [_texts(records.column(name)) for name in wanted if name in records.schema.names]
        said = [" ".join(one or "" for one in row) for row in zip(*cells, strict=True)]
        found = languages(said) if cells else [None] * len(records)
        return [self.latin if one == "latin" else one for one in found]


def by_language(column: str | None = None, *, latin: str = "en") -> ByLanguage:
    """A group: the language of a text, `ko`, `ja`, `zh`, `other`, or `latin` for what is in Latin letters.

    column: the one to read, None = all inputs that are text; latin: what texts in Latin letters are. Told
    from letters alone (`text.scripts.languages`); a text without letters has no language.
    """
    return ByLanguage(column=column, latin=latin)


@dataclass(frozen=True)
class BySource:
    """A group: the source that each row came from; see `by_source`."""

    def __call__(self, records: Records, turn: Turn) -> list[str | None]:
        names = {number: origin.source for number, origin in turn.origins.items()}
        numbers: list[int] = records.column("_origin").to_pylist()  # type: ignore[assignment]
        return [names[number] for number in numbers]


def by_source() -> BySource:
    """A group: the source of the recipe that a row came from; an answer is of its question's source."""
    return BySource()


def _texts(column: Column) -> list[str | None]:
    """A column's texts; numbers and pictures say nothing."""
    kind = str(column.type)
    return strings(column) if kind in ("string", "large_string") else [None] * len(column)
