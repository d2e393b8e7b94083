"""The meter: whole minor units, never past the ceiling, nothing asked when it would be."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.errors import InputError, Spent, Waiting
from bapsim.core.fingerprint import fingerprint
from bapsim.core.records import Answers, Rows
from bapsim.mods import LedgerTill, Money, meter, money
from bapsim.store.ledger import Ledger

KRW = "KRW"


class Tin:
    """A till in memory."""

    def __init__(self):
        self.receipts = {}
        self.number = 0

    def spent(self, what, currency):
        return sum(c.minor for w, c, _ in self.receipts.values() if (w, c.currency) == (what, currency))

    def pay(self, what, cost, calls):
        self.number += 1
        self.receipts[self.number] = (what, cost, calls)
        return self.number

    def give_back(self, receipt):
        del self.receipts[receipt]


class Parrot:
    """Answers with what it was asked, and remembers how often."""

    classes = ("a", "b")

    def __init__(self, error=None):
        self.rows, self.error = 0, error

    def __call__(self, rows):
        if self.error is not None:
            raise self.error
        self.rows += len(rows)
        return Answers(pa.record_batch({"prediction": rows.column(0)}))


def ask(count):
    return Rows(pa.record_batch({"text": pa.array(["x"] * count, pa.string())}))


def won(minor):
    return Money(minor=minor, currency=KRW)


@given(st.integers(0, 10**20), st.integers(0, 10**21), st.lists(st.integers(0, 5), max_size=20))
def test_the_total_never_passes_the_ceiling(price, ceiling, sizes):
    till, parrot = Tin(), Parrot()
    asked = meter("llm", price=won(price), ceiling=won(ceiling), till=till)(parrot)
    total = 0
    for size in sizes:
        before = parrot.rows
        if total + price * size > ceiling:
            with pytest.raises(Spent):
                asked(ask(size))
            assert parrot.rows == before
        else:
            assert asked(ask(size)).column(0).to_pylist() == ["x"] * size
            total += price * size
        assert till.spent("llm", KRW) == total <= ceiling
        assert type(till.spent("llm", KRW)) is int
    assert parrot.rows * price == total


@settings(max_examples=10)
@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 4)), max_size=6))
def test_the_ledger_counts_by_turn_and_purpose(tmp_path_factory, calls):
    ledger = Ledger(tmp_path_factory.mktemp("till") / "ledger.sqlite", b"k" * 32)
    parrot = Parrot()
    for turn in (1, 2):
        till = LedgerTill(ledger, turn)
        done = {"a": 0, "b": 0}
        for what, size in calls:
            asked = meter(what, price=won(7), ceiling=won(30), till=till)(parrot)
            if done[what] + 7 * size > 30:
                with pytest.raises(Spent) as caught:
                    asked(ask(size))
                assert caught.value.values["left"] == 30 - done[what]
            else:
                asked(ask(size))
                done[what] += 7 * size
        assert {what: till.spent(what, KRW) for what in done} == done
        assert till.spent("a", "USD") == 0
    rows = ledger.rows("select minor, currency, calls from cost")
    assert sum(r["minor"] for r in rows) == 7 * parrot.rows
    assert {(r["currency"], r["calls"]) for r in rows} <= {(KRW, 1)}
    assert ledger.verify() == []
    ledger.close()


@pytest.mark.parametrize("error", [Waiting("waiting", questions=1), Spent("spent")])
def test_what_was_not_asked_is_not_paid(tmp_path, error):
    ledger = Ledger(tmp_path / "ledger.sqlite", b"k" * 32)
    till = LedgerTill(ledger, 1)
    asked = meter("people", price=won(5), ceiling=won(100), till=till)(Parrot(error))
    with pytest.raises(type(error)):
        asked(ask(2))
    assert till.spent("people", KRW) == 0
    assert ledger.verify() == []
    ledger.close()


def test_what_may_have_been_asked_stays_paid():
    till = Tin()
    asked = meter("llm", price=won(5), ceiling=won(100), till=till)(Parrot(ConnectionError("cut")))
    with pytest.raises(ConnectionError):
        asked(ask(2))
    assert till.spent("llm", KRW) == 10


def test_a_call_is_paid_before_it_is_made():
    till = Tin()
    seen = []
    asked = meter("llm", price=won(5), ceiling=won(10), till=till)(
        lambda rows: seen.append(till.spent("llm", KRW))
    )
    asked(ask(2))
    assert seen == [10]  # and exactly the ceiling is allowed


def test_the_refusal_says_what_is_missing():
    asked = meter("rephrase", price=won(30), ceiling=won(100), till=Tin())(Parrot())
    with pytest.raises(Spent) as caught:
        asked(ask(4))
    assert str(caught.value).startswith(
        "rephrase would cost 120 KRW more; 100 of the ceiling 100 KRW are left."
    )
    assert "100" in caught.value.say("ko")


@pytest.mark.parametrize(
    ("minor", "currency"), [(1.5, KRW), (True, KRW), (-1, KRW), (1, "won"), (1, "WO"), (1, "₩₩₩"), ("1", KRW)]
)
def test_what_is_no_money(minor, currency):
    with pytest.raises(InputError) as caught:
        Money(minor=minor, currency=currency)
    assert caught.value.key == "not_money"
    assert str(caught.value)


def test_two_currencies_are_not_compared():
    with pytest.raises(InputError) as caught:
        meter("x", price=won(1), ceiling=Money(minor=1, currency="USD"), till=Tin())
    assert "1 KRW" in str(caught.value)
    assert "1 USD" in str(caught.value)


def test_a_model_keeps_its_classes_and_a_ceiling_is_no_identity():
    one = meter("x", price=won(1), ceiling=won(1), till=Tin())
    assert one(Parrot()).classes == ("a", "b")
    assert one(len).classes == ()
    other = meter("x", price=won(1), ceiling=won(2), till=Tin())
    assert (
        fingerprint(one)
        == fingerprint(other)
        != fingerprint(meter("x", price=won(2), ceiling=won(2), till=Tin()))
    )


@pytest.mark.parametrize(
    ("said", "minor", "currency", "shown"),
    [
        ("240000 KRW", 240_000, "KRW", "240,000"),
        ("240,000 krw", 240_000, "KRW", "240,000"),
        ("KRW 240000", 240_000, "KRW", "240,000"),
        ("240000원", 240_000, "KRW", "240,000"),
        ("₩1,240,000", 1_240_000, "KRW", "1,240,000"),
        ("12.50 USD", 1250, "USD", "12.50"),
        ("3 usd", 300, "USD", "3.00"),
        ("0.5 KWD", 500, "KWD", "0.500"),
        ("€ 7", 700, "EUR", "7.00"),
        ("0 KRW", 0, "KRW", "0"),
    ],
)
def test_an_amount_is_read_as_people_write_it(said, minor, currency, shown):
    assert money(said) == Money(minor=minor, currency=currency)
    assert money(said).amount == shown
    assert money(f"{shown} {currency}") == money(said)


@pytest.mark.parametrize(
    "said",
    ["", "KRW", "12", "$12", "-5 KRW", "1.5 KRW", "12.505 USD", "1e9 KRW", "24,00 KRW", "12 34 USD",
     "9" * 20 + " KRW", "1 KRW" + " " * 60, "12.50 US", "십만원", "1 KRW 2", "nan USD"],
)  # fmt: skip
def test_what_is_no_amount_is_refused_in_words(said):
    with pytest.raises(InputError, match="is not an amount"):
        money(said)


@given(st.integers(0, 10**14), st.sampled_from(["KRW", "USD", "KWD"]))
def test_what_is_shown_can_be_read_again(minor, currency):
    one = Money(minor=minor, currency=currency)
    assert money(f"{one.amount} {currency}") == one
