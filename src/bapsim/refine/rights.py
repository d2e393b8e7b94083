"""Rows that may not be used as the recipe wants to: by the rights they came under, and by what sites said.

A verdict is made once for each distinct right, not for each row. What was derived stands under the rights of
its parents as well; what a site reserves goes before its licence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import ID, strings, valid
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Check
from bapsim.core.records import Records, Verdicts, verdicts
from bapsim.core.turn import Turn
from bapsim.text.licence_uses import UNKNOWN, USES, Wanted, against, worst
from bapsim.text.spdx import expression

RESERVED = "rights_reserved"  # the column in which a source (gather.signalled) says what a page reserves
DERIVED = ("derived", "as parents")  # rights that say nothing of their own: those of the parents hold
_GENERATIONS = 64  # that are looked back, at most


class Terms(NamedTuple):
    """Under which rights one row stands, and what its site reserves (a line for each reason)."""

    rights: str
    reserved: str


@dataclass(frozen=True, kw_only=True)
class Rights:
    """Refuses rows whose rights do not permit these uses, by reason.

    uses: of train, evaluate, synthesise, publish_text, publish_weights, ship_edge, third_party; commercial:
    whether any of it is; accept: licences, names of the house and addresses of terms that are taken as they
    are, reasons of sites that are waived, and "share-alike" for that condition; refuse: licences, families
    or conditions that are not taken; column: with each row's own licence; where it has none, its origin's.
    """

    uses: tuple[str, ...] = ("train",)
    commercial: bool = True
    accept: tuple[str, ...] = ()
    refuse: tuple[str, ...] = ()
    column: str | None = None

    def __post_init__(self) -> None:
        strange = [use for use in self.uses if use not in USES]
        if strange or not self.uses:
            raise RecipeError("unknown_use", uses=", ".join(strange) or "()", known=", ".join(USES))

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        self._spelt_alike(records.schema.names)
        wanted = Wanted(
            uses=self.uses,
            commercial=self.commercial,
            accept=frozenset(_spelt(self.accept)),
            refuse=frozenset(_spelt(self.refuse)),
        )
        terms = self._terms(records, turn)
        reasons = {one: why_not(frozenset({one}), wanted) for one in set(terms)}
        said = [reasons[one] for one in terms]
        for row, theirs in self._with_parents(records, turn, terms).items():
            said[row] = why_not(theirs, wanted)
        return verdicts(np.array([one is None for one in said], bool), said)

    def _spelt_alike(self, names: Sequence[str]) -> None:
        """A table may lack the column, but have none that is called nearly so: nobody would read it."""
        if self.column is not None and self.column not in names:
            near = get_close_matches(self.column, [one for one in names if not one.startswith("_")], 1, 0.75)
            if near:
                raise RecipeError("no_rights_column", column=self.column, near=near[0])

    def _terms(self, records: Records, turn: Turn) -> list[Terms]:
        """The terms of each row alone."""
        by_origin = {n: origin.rights for n, origin in turn.origins.items()}
        rights = [by_origin.get(n, "") for n in records.column("_origin").to_numpy().tolist()]
        if self.column is not None and self.column in records.schema.names:
            own = strings(records.column(self.column))
            rights = [
                one if one is not None and one.strip() else r for one, r in zip(own, rights, strict=True)
            ]
        if RESERVED not in records.schema.names:
            return [Terms(one, "") for one in rights]
        said = strings(records.column(RESERVED))
        return [Terms(one, reserved or "") for one, reserved in zip(rights, said, strict=True)]

    def _with_parents(self, records: Records, turn: Turn, terms: list[Terms]) -> dict[int, frozenset[Terms]]:
        """The terms of derived rows, with those of all that they were made from."""
        column = records.column("_parents")
        mums: dict[int, list[bytes]] = {
            row: column[row].as_py() for row in np.flatnonzero(valid(column)).tolist()
        }
        book = self._ancestors({one for theirs in mums.values() for one in theirs}, turn)
        found = {}
        for row, theirs in mums.items():
            line, left = {terms[row]}, list(theirs)
            seen = set(left)
            while left:
                one = book.get(left.pop())
                if one is not None:
                    line.add(one[0])
                    left += [mum for mum in one[1] if mum not in seen]
                    seen.update(one[1])
            found[row] = frozenset(line)
        return found

    def _ancestors(self, ids: set[bytes], turn: Turn) -> dict[bytes, tuple[Terms, list[bytes]]]:
        """Terms and parents of earlier records, and of what those were made from."""
        book: dict[bytes, tuple[Terms, list[bytes]]] = {}
        for _ in range(_GENERATIONS):
            ids = ids - book.keys()
            if not ids:
                break
            wanted: Any = pa.array(sorted(ids), ID)
            before = len(book)
            for view in turn.data.values():
                there = view.find(wanted)
                terms = self._terms(there, turn)
                names: list[Any] = there.column("_id").to_pylist()
                mums: list[Any] = there.column("_parents").to_pylist()
                book |= {n: (t, m or []) for n, t, m in zip(names, terms, mums, strict=True)}
            if len(book) == before:
                break
            ids = {mum for _, theirs in book.values() for mum in theirs}
        return book


@lru_cache(1 << 16)
def why_not(all_of: frozenset[Terms], wanted: Wanted) -> str | None:
    """Why rows under all these terms may not be used as wanted; None = they may.

    The first reservation that stands against a use, else the worst that a licence says.
    """
    for one in sorted(all_of):
        for line in one.reserved.splitlines():
            reason, uses, policy = [*line.split(" "), "", ""][:3]
            waived = reason in wanted.accept or (policy != "" and policy in wanted.accept)
            if not waived and set(uses.split(",")) & set(wanted.uses):
                return reason
    rights = {one.rights for one in all_of if one.rights not in DERIVED}
    return worst([against(one, wanted) for one in rights]) if rights else UNKNOWN


def _spelt(names: Iterable[str]) -> Iterable[str]:
    """Names as they were written, and licences among them in the one spelling."""
    for name in names:
        yield name
        if (known := expression(name)) is not None:
            yield known


def rights(
    *,
    uses: tuple[str, ...] = ("train",),
    commercial: bool = True,
    accept: tuple[str, ...] = (),
    refuse: tuple[str, ...] = (),
    column: str | None = None,
) -> Check:
    """The check `Rights`: what rows may be used for, by their licence and by what their site reserves."""
    return Rights(uses=uses, commercial=commercial, accept=accept, refuse=refuse, column=column)
