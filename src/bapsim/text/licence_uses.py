"""What a licence permits: by use, commercial or not, and under which conditions; unknown is never a yes.

The table (licences.json) names families of licences with a reason and a source each, and which family a
licence belongs to; one that is not named there has the family of its category in ScanCode's index, which
license-expression carries. It is a tool for sorting rows, no legal advice.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from bapsim.text.spdx import expression, table

USES = ("train", "evaluate", "synthesise", "publish_text", "publish_weights", "ship_edge", "third_party")
CONDITIONS = ("attribution", "notice", "share-alike")
UNKNOWN, FORBIDS, SHARE_ALIKE = "licence_unknown", "licence_forbids", "share_alike"
DEAL = "LicenseRef-deal-"  # rights of rows that were bought: the wheel knows their terms
_DEAL = re.compile(rf"{re.escape(DEAL)}[\w.-]+")
HOUSE = ("own", "LicenseRef-expert")  # given to the house: under its consents, if any
_BEST = (None, SHARE_ALIKE, FORBIDS, UNKNOWN)  # of a choice, the first that holds
_WORST = (FORBIDS, UNKNOWN, SHARE_ALIKE, None)  # of what holds together


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What rows are to be used for, and which terms are taken.

    uses: of USES; accept: licences and names of the house that are taken whatever the table says, and
    "share-alike" for that condition; refuse: licences, families or conditions that are not taken.
    """

    uses: tuple[str, ...] = ("train",)
    commercial: bool = True
    accept: frozenset[str] = field(default=frozenset())
    refuse: frozenset[str] = field(default=frozenset())


def family_of(licence: str) -> str | None:
    """The family of an SPDX identifier, or None where nobody knows it."""
    named: dict[str, str] = table()["ids"]
    return named.get(licence) or table()["categories"].get(_category().get(licence))


@cache
def _category() -> dict[str, str]:
    from license_expression import get_license_index

    found = {}
    for one in get_license_index():
        name = str(one.get("spdx_license_key") or "")
        if name and not name.startswith("LicenseRef") and not one.get("is_exception"):
            found[name] = str(one.get("category"))
    return found


def against(said: str, wanted: Wanted) -> str | None:
    """Why rows under these rights may not be used as wanted (`licence_unknown`, `licence_forbids`,
    `share_alike`), or None where they may.

    Of "A OR B" one has to permit it, of "A AND B" both; an exception (WITH) only permits more.
    """
    plain = said.split(";", 1)[0].strip()
    if plain and _named(plain, wanted.refuse):
        return FORBIDS
    if plain in HOUSE or _DEAL.fullmatch(plain) is not None or _named(plain, wanted.accept):
        return None
    spelt = expression(said)
    if spelt is None:
        return UNKNOWN
    from license_expression import Licensing

    return _tree(Licensing().parse(spelt), wanted)


def _named(name: str, among: Collection[str]) -> bool:
    return name in among or (bool(among) and expression(name) in among)


def _tree(node: Any, wanted: Wanted) -> str | None:
    kind = type(node).__name__
    if kind == "OR":
        return min((_tree(one, wanted) for one in node.args), key=_BEST.index)
    if kind == "AND":
        return min((_tree(one, wanted) for one in node.args), key=_WORST.index)
    if kind == "LicenseWithExceptionSymbol":
        whole = node.render()
        return None if whole in wanted.accept else _leaf(node.license_symbol.key, wanted)
    return _leaf(node.key, wanted)


def _leaf(name: str, wanted: Wanted) -> str | None:
    family = family_of(name)
    if name in wanted.refuse or family in wanted.refuse:
        return FORBIDS
    if name in HOUSE or _DEAL.fullmatch(name) is not None or name in wanted.accept:
        return None
    if family is None:
        return UNKNOWN
    row = table()["families"][family]
    permitted: dict[str, list[str]] = row["uses"]
    if (wanted.commercial and not row["commercial"]) or not set(wanted.uses) <= set(permitted):
        return FORBIDS
    conditions = {one for use in wanted.uses for one in permitted[use]}
    if conditions & wanted.refuse - {"share-alike"}:
        return FORBIDS
    return SHARE_ALIKE if "share-alike" in conditions - wanted.accept else None


def worst(reasons: Collection[str | None]) -> str | None:
    """What stands against rows under several rights at once: their own and those of their parents."""
    return min(reasons, key=_WORST.index, default=None)
