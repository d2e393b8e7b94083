"""Policy around a respondent, as an onion: a mod takes a respondent and returns another.

Money is whole minor units of one currency (cents, won): nothing is rounded, nothing is converted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import cells, strings, take
from bapsim.core.errors import InputError, Spent, Waiting
from bapsim.core.fingerprint import digest
from bapsim.core.recipe import Mod, Respondent
from bapsim.core.records import Answers, Rows
from bapsim.core.turn import named_seed
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


# --- the best of several answers ----------------------------------------------------------------------

Otherwise = Literal["decline", "likeliest"]


@dataclass(frozen=True)
class Chosen:
    """A respondent that answers with what a verifier takes; see `best_of`."""

    respondent: Respondent
    how: BestOf

    @property
    def classes(self) -> Sequence[str]:
        """Those of the respondent, if it is a model."""
        classes: Sequence[str] = getattr(self.respondent, "classes", ())
        return classes

    def __call__(self, rows: Rows, /) -> Answers:
        listed = rows.to_pylist()
        seeds = _seeds(rows)
        said: list[list[str]] = [[] for _ in listed]
        word: list[list[bool | None]] = [[] for _ in listed]
        for n in range(self.how.n):
            which = [i for i in range(len(listed)) if self.how.majority or True not in word[i]]
            for i, answer in zip(which, self._asked(rows, which, seeds, n), strict=True):
                if answer is not None:
                    said[i].append(answer)
                    word[i].append(_word(self.how.verify, listed[i], answer))
        return _told([self._pick(one, what) for one, what in zip(said, word, strict=True)], said, word)

    def _asked(self, rows: Rows, which: list[int], seeds: list[str], n: int) -> list[str | None]:
        """The n-th answer to these rows: the likeliest first, then drawn ones."""
        if not which:
            return []
        some = take(rows.select([c for c in rows.schema.names if c not in ("_seed", "_temperature")]), which)
        drawn = [named_seed("best of", seeds[i], n) % 2**63 for i in which]
        heat = pa.array([self.how.temperature if n else 0.0] * len(which), pa.float64())
        some = some.append_column("_seed", pa.array(drawn, pa.int64())).append_column("_temperature", heat)
        answers = self.respondent(Rows(some))
        found = strings(answers.column("prediction"))
        if "_status" not in answers.schema.names:
            return found
        status = strings(answers.column("_status"))
        return [one if how in (None, "answered") else None for one, how in zip(found, status, strict=True)]

    def _pick(self, said: list[str], word: list[bool | None]) -> tuple[str | None, bool | None]:
        """What is answered, and whether it was verified: True, False (refused), None (nobody could tell)."""
        if True in word:
            return said[word.index(True)], True
        if None in word:  # the first of which the verifier knows nothing bad
            return said[word.index(None)], None
        return (said[0] if said and self.how.otherwise == "likeliest" else None), False


@dataclass(frozen=True, kw_only=True)
class BestOf:
    """A mod: of several answers to each row the first that a verifier takes."""

    n: int
    verifier: Any
    temperature: float = 0.8
    otherwise: Otherwise = "decline"
    majority: bool = True

    @property
    def verify(self) -> Callable[[Mapping[str, Any], str], Any]:
        verify: Callable[[Mapping[str, Any], str], Any] = getattr(self.verifier, "accepts", self.verifier)
        return verify

    def __call__(self, respondent: Respondent, /) -> Respondent:
        return Chosen(respondent, self)


def best_of(
    n: int,
    verifier: Any,
    *,
    temperature: float = 0.8,
    otherwise: Otherwise = "decline",
    majority: bool = True,
) -> Mod:
    """Asks up to n times, the likeliest answer first, and answers with the first that the verifier takes.

    verifier: one of bapsim's, or a function of a row and an answer that says True, False or None. Where it
    refuses all, nothing is answered (`_status` declined): what an executable verifier refuses is known to be
    wrong; otherwise="likeliest" gives the likeliest answer, with `verified` false. Where it can say nothing,
    the first such answer is given, with `verified` null. majority=False asks a row no more once an answer
    passed; else the commonest answer stands beside it, with the share of the tries that agree: a majority of
    one model is no verifier (docs/results/selftrain.md). Raises InputError for settings under which nothing
    is asked.
    """
    if n < 1 or temperature < 0 or otherwise not in ("decline", "likeliest"):
        raise InputError("best_of_settings", n=n, temperature=temperature, otherwise=otherwise)
    return BestOf(n=n, verifier=verifier, temperature=temperature, otherwise=otherwise, majority=majority)


def _seeds(rows: Rows) -> list[str]:
    """What names each row's random numbers: its own seed, else what it says, whoever else is asked."""
    if "_seed" in rows.schema.names:
        return [str(one) for one in rows.column("_seed").to_pylist()]
    offsets, body = cells(rows)
    return [digest(bytes(body[offsets[i] : offsets[i + 1]])) for i in range(len(rows))]


def _word(verify: Callable[[Mapping[str, Any], str], Any], row: Mapping[str, Any], said: str) -> bool | None:
    try:
        word = verify(row, said)
    except Exception:  # noqa: BLE001  whatever somebody's verifier raises is a refusal
        return False
    return None if word is None else bool(word == 1)


def _told(
    picked: list[tuple[str | None, bool | None]], said: list[list[str]], word: list[list[bool | None]]
) -> Answers:
    most = [Counter(one).most_common(1)[0] if one else (None, 0) for one in said]
    share = [count / max(1, len(one)) for (_, count), one in zip(most, said, strict=True)]
    columns: dict[str, Any] = {
        "prediction": pa.array([one for one, _ in picked], pa.string()),
        "verified": pa.array([good for _, good in picked], pa.bool_()),
        "passed": pa.array([sum(one is True for one in what) for what in word], pa.int32()),
        "tries": pa.array([len(one) for one in said], pa.int32()),
        "likeliest": pa.array([one[0] if one else None for one in said], pa.string()),
        "majority": pa.array([one for one, _ in most], pa.string()),
        "agreement": pa.array(np.array(share), pa.float64()),
        "_status": pa.array(["declined" if one is None else "answered" for one, _ in picked], pa.string()),
    }
    return Answers(pa.record_batch(columns))
