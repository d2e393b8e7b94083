"""Policy around a respondent, as an onion: a mod takes a respondent and returns another.

Money is whole minor units of one currency (cents, won): nothing is rounded, nothing is converted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from bapsim.core.errors import InputError, Spent, Waiting
from bapsim.core.recipe import Mod, Respondent
from bapsim.core.records import Answers, Rows
from bapsim.store.ledger import Ledger, now

MINOR = {"KRW": 0, "JPY": 0, "VND": 0, "CLP": 0, "BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3}  # ISO 4217
SIGNS = {"원": "KRW", "₩": "KRW", "€": "EUR", "£": "GBP"}  # a dollar or a yen sign is several countries'
_AMOUNT = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")
MOST = 10**15  # minor units: what a ledger adds up without loss


@dataclass(frozen=True, kw_only=True)
class Money:
    """An amount that is not negative: `minor` whole units of a currency by its three letters."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        whole = isinstance(self.minor, int) and not isinstance(self.minor, bool) and self.minor >= 0
        letters = len(self.currency) == 3 and self.currency.isascii() and self.currency.isupper()
        if not whole or not letters:
            raise InputError("not_money", minor=self.minor, currency=self.currency)

    def __str__(self) -> str:
        return f"{self.minor} {self.currency}"

    @property
    def amount(self) -> str:
        """As people write it: 240,000 or 12.50."""
        digits = MINOR.get(self.currency, 2)
        return f"{Decimal(self.minor).scaleb(-digits):,.{digits}f}"


def money(said: str) -> Money:
    """An amount as people write it: "240,000 KRW", "KRW 240000", "240000원", "12.50 USD".

    Raises InputError for anything else, and for parts of a minor unit: nothing is rounded.
    """
    number, bare = _AMOUNT.search(said), re.sub(r"[\d.,\s]", "", said)
    currency = SIGNS.get(bare, bare.upper())
    if (
        len(said) < 40
        and number is not None
        and re.sub(r"[^\d.,]", "", said) == number[0]
        and re.fullmatch("[A-Z]{3}", currency)
    ):
        minor = Decimal(number[0].replace(",", "")).scaleb(MINOR.get(currency, 2))
        if minor == minor.to_integral_value() and minor < MOST:
            return Money(minor=int(minor), currency=currency)
    raise InputError("not_an_amount", said=said[:40])


class Till(Protocol):
    """Where costs are written down."""

    def spent(self, what: str, currency: str) -> int:
        """Minor units so far for this purpose."""

    def pay(self, what: str, cost: Money, calls: int) -> int:
        """Write a cost down; returns the number of the receipt."""

    def give_back(self, receipt: int) -> None:
        """Take a receipt back: nothing was asked after all."""


@dataclass(frozen=True)
class LedgerTill:
    """The costs of one turn in the ledger; each is in the audit chain."""

    ledger: Ledger
    turn: int

    def spent(self, what: str, currency: str) -> int:
        query = "select coalesce(sum(minor), 0) from cost where turn=? and what=? and currency=?"
        return int(self.ledger.value(query, self.turn, what, currency))

    def pay(self, what: str, cost: Money, calls: int) -> int:
        with self.ledger.change("cost") as ledger:
            n = int(ledger.value("select coalesce(max(n), 0) + 1 from cost"))
            money = {"minor": cost.minor, "currency": cost.currency}
            ledger.add("cost", n=n, turn=self.turn, what=what, **money, calls=calls, at=now())
        return n

    def give_back(self, receipt: int) -> None:
        with self.ledger.change("cost given back") as ledger:
            ledger.erase("cost", {"n": receipt})


@dataclass(frozen=True)
class Metered:
    """A respondent whose every call is paid before it is made."""

    respondent: Respondent
    meter: Meter

    @property
    def classes(self) -> Sequence[str]:
        """Those of the respondent, if it is a model."""
        classes: Sequence[str] = getattr(self.respondent, "classes", ())
        return classes

    def __call__(self, rows: Rows, /) -> Answers:
        meter = self.meter
        cost = Money(minor=meter.price.minor * len(rows), currency=meter.price.currency)
        before = meter.till.spent(meter.what, cost.currency)
        if before + cost.minor > meter.ceiling.minor:
            left = meter.ceiling.minor - before
            raise Spent("spent", what=meter.what, cost=cost, left=left, ceiling=meter.ceiling)
        receipt = meter.till.pay(meter.what, cost, 1)
        try:
            return self.respondent(rows)
        except (Waiting, Spent):  # nobody was asked; after any other error the money may be gone
            meter.till.give_back(receipt)
            raise


@dataclass(frozen=True, kw_only=True)
class Meter:
    """A mod: a price for each row that is asked, and a ceiling for what all rows may cost together."""

    what: str
    price: Money
    ceiling: Money = field(metadata={"identity": False})
    till: Till = field(metadata={"identity": False})

    def __call__(self, respondent: Respondent, /) -> Respondent:
        return Metered(respondent, self)


def meter(what: str, *, price: Money, ceiling: Money, till: Till) -> Mod:
    """Counts calls and money; raises Spent before a call that would pass the ceiling, and asks nothing.

    price: of one row; ceiling: of everything that the till has under `what`. A call is paid before it is
    made, so that a kill in between can count a call too many, never one too few.
    Raises InputError when price and ceiling are in two currencies.
    """
    if price.currency != ceiling.currency:
        raise InputError("two_currencies", price=price, ceiling=ceiling)
    return Meter(what=what, price=price, ceiling=ceiling, till=till)
