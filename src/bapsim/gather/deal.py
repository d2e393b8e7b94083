"""A licence deal around a source: what it brings came under terms that were paid for, and that may end.

Its rows have the rights `LicenseRef-deal-NAME`. They are records for good; from the day after the
deal expired, or from the day on which it was revoked, they are refused, and trained on no more. The price is
a cost of the source.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args

from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Source
from bapsim.core.records import Draft
from bapsim.core.turn import Turn
from bapsim.mods import money
from bapsim.text.licence_uses import DEAL, USES

Term = Literal["once", "month", "year"]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,60}")
_NOT_IDENTITY: Any = {"identity": False}  # other terms are no other rows: nothing is read anew for them


@dataclass(frozen=True)
class Deal:
    """The drafts of another source under a licence deal.

    price: of each term that begins, as people write it ("1,200 USD"); term: once, month or year, counted from
    `begins` (an ISO date; else the day of the first turn); expires: the last day; revoked: the first day on
    which it no longer holds; scope: the uses that were bought. Days are those on which a turn began. Raises
    RecipeError for a name, day, term or use that is none, InputError for a price.
    """

    source: Source
    name: str
    _: KW_ONLY
    price: str | None = field(default=None, metadata=_NOT_IDENTITY)
    term: Term = field(default="once", metadata=_NOT_IDENTITY)
    begins: str | None = field(default=None, metadata=_NOT_IDENTITY)
    expires: str | None = field(default=None, metadata=_NOT_IDENTITY)
    revoked: str | None = field(default=None, metadata=_NOT_IDENTITY)
    scope: tuple[str, ...] = field(default=USES, metadata=_NOT_IDENTITY)

    def __post_init__(self) -> None:
        if self.price is not None:
            money(self.price)
        if not _NAME.fullmatch(self.name):
            raise RecipeError("deal_name", name=self.name[:80])
        for what in ("begins", "expires", "revoked"):
            _day(self.name, what, getattr(self, what))
        if self.term not in get_args(Term):
            raise RecipeError("deal_term", name=self.name, term=self.term, known=", ".join(get_args(Term)))
        if strange := [use for use in self.scope if use not in USES]:
            raise RecipeError("unknown_use", uses=", ".join(strange), known=", ".join(USES))

    @property
    def rights(self) -> str:
        """The rights of its rows."""
        return DEAL + self.name

    @property
    def reads(self) -> Callable[[Turn], list[Path]] | None:
        """What the inner source reads, if it says so."""
        reads: Callable[[Turn], list[Path]] | None = getattr(self.source, "reads", None)
        return reads

    @property
    def types(self) -> Mapping[str, str]:
        """The types that the inner source declares."""
        types: Mapping[str, str] = getattr(self.source, "types", {})
        return types

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        for draft in self.source(turn):
            yield replace(draft, origin=replace(draft.origin, rights=self.rights))


deal = Deal


def _day(name: str, what: str, said: str | None) -> None:
    try:
        good = said is None or date.fromisoformat(said).isoformat() == said
    except (TypeError, ValueError):
        good = False
    if not good:
        raise RecipeError("deal_day", name=name, what=what, day=str(said)[:40])
