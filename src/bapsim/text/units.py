"""Quantities: a number and its unit, compared exactly whatever the unit: 1.5 km is 1,500 m."""

from __future__ import annotations

import re
from fractions import Fraction

from bapsim.text.canonical import canonical, number

# Each line: a dimension, then units and how many of its first one each is. Two currencies are two dimensions.
_UNITS = """
length m=1 km=1000 cm=1/100 mm=1/1000 inch=127/5000 inches=127/5000 foot=381/1250 feet=381/1250 ft=381/1250
length mile=201168/125 miles=201168/125 meter=1 meters=1 metre=1 metres=1 미터=1 킬로미터=1000 센티미터=1/100
mass g=1 kg=1000 mg=1/1000 t=1000000 lb=45359237/100000 gram=1 grams=1 그램=1 킬로그램=1000 톤=1000000
time s=1 sec=1 second=1 seconds=1 min=60 minute=60 minutes=60 h=3600 hour=3600 hours=3600 day=86400
time days=86400 week=604800 weeks=604800 ms=1/1000 초=1 분=60 시간=3600 일=86400 주=604800
volume l=1 ml=1/1000 liter=1 liters=1 리터=1 밀리리터=1/1000
won 원=1 krw=1 천원=1000 만원=10000 억원=100000000
dollar dollar=1 dollars=1 usd=1 달러=1 cent=1/100 cents=1/100
share %=1/100 percent=1/100 퍼센트=1/100
"""


def _table() -> dict[str, tuple[str, Fraction]]:
    found = {}
    for line in _UNITS.strip().splitlines():
        kind, *units = line.split()
        for one in units:
            name, _, size = one.partition("=")
            found[name] = kind, Fraction(size)
    return found


_OF = _table()
_QUANTITY = re.compile(r"(-?\d+(?:/\d+)?)\s*([^\W\d]+|%)")


def quantity(text: str) -> tuple[str, Fraction] | None:
    """(dimension, amount in its first unit) of a text that is one number and one known unit; else None."""
    found = _QUANTITY.fullmatch(canonical(text))
    if found is None or found[2] not in _OF:
        return None
    amount = number(found[1])
    kind, size = _OF[found[2]]
    return None if amount is None else (kind, amount * size)
