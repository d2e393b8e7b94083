"""Books of pay: transfers balance, nothing is written twice or rewritten, and all of it is guarded."""

import itertools
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.errors import Damaged, InputError
from bapsim.store.entries import (
    MOST,
    OWED,
    Due,
    Entry,
    Transfer,
    balances,
    book,
    entries_of,
    has_entries,
    obligation,
    unbalanced,
)
from bapsim.store.ledger import Finding, Ledger

numbers = itertools.count()
FEW = settings(max_examples=max(settings.default.max_examples // 5, 1))
DUES = st.lists(
    st.tuples(
        st.integers(0, 7),
        st.sampled_from(["p-a", "p-b"]),
        st.integers(-(10**9), 10**9),
        st.sampled_from(["KRW", "USD"]),
    ),
    max_size=8,
)


def opened(folder):
    return Ledger(folder / "ledger.sqlite", b"s" * 32)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("books")

    def new():
        folder = root / str(next(numbers))
        folder.mkdir()
        return folder

    return new


def transfer(name, minor, person="p-a", currency="KRW", what="time"):
    about = Transfer(name=name, currency=currency, what=what, ref="c-1", turn=1)
    return obligation(Due(person=person, source="experts", minor=minor), about)


@FEW
@given(DUES, st.randoms(use_true_random=False))
def test_whatever_is_booked_balances_once_in_any_order(place, dues, random):
    """Every transfer sums to zero, totals add up, and neither order nor repetition changes them."""
    unique = {f"t{n}{person}{currency}": (person, minor, currency) for n, person, minor, currency in dues}
    totals = []
    for again in (False, True):
        ledger = opened(place())
        said = [transfer(name, minor, person, currency) for name, (person, minor, currency) in unique.items()]
        random.shuffle(said)
        for one in said * (1 + again):
            with ledger.change("pay"):
                book(ledger, one)
        assert unbalanced(ledger) == ledger.verify() == []
        assert ledger.value("select coalesce(sum(minor), 0) from entry") == 0
        totals.append(balances(ledger))
        ledger.close()
    expected = {}
    for person, minor, currency in unique.values():
        mine = expected.setdefault(person, {})
        mine[currency] = mine.get(currency, 0) + minor
    assert totals == [expected, expected]


def test_a_transfer_that_does_not_sum_to_zero_is_refused(tmp_path):
    ledger = opened(tmp_path)
    bad = (
        (Entry(account=OWED, minor=5, person="p"), Entry(account="time", minor=-4)),
        (),
        (Entry(account=OWED, minor=MOST + 1, person="p"), Entry(account="time", minor=-MOST - 1)),
    )
    for entries in bad:
        one = Transfer(name="x", currency="KRW", what="time", ref="", turn=1, entries=entries)
        with pytest.raises(InputError), ledger.change("pay"):
            book(ledger, one)
    assert ledger.rows("select * from entry") == []
    ledger.close()


def test_what_stands_is_read_by_person(tmp_path):
    ledger = opened(tmp_path)
    with ledger.change("pay"):
        assert book(ledger, transfer("a", 100))
        assert not book(ledger, transfer("a", 100))
        assert book(ledger, transfer("b", -30))
        assert book(ledger, transfer("c", 7, "p-b", "USD"))
    assert [row["minor"] for row in entries_of(ledger, "p-a")] == [100, -30]
    assert balances(ledger) == {"p-a": {"KRW": 70}, "p-b": {"USD": 7}}
    assert balances(ledger, "time") == {"": {"KRW": -70, "USD": -7}}
    ledger.close()


@pytest.mark.parametrize("table", ["entry", "worked"])
def test_nothing_is_rewritten(tmp_path, table):
    ledger = opened(tmp_path)
    key = {"n": 1} if table == "entry" else {"consent": "c", "line": "l"}
    with ledger.change("pay"):
        book(ledger, transfer("a", 100))
        work = {"person": "p", "source": "s", "said": 1.0, "ms": 5, "rule": "r", "turn": 1}
        ledger.add("worked", consent="c", line="l", **work)
    with pytest.raises(Damaged), ledger.change("cheat"):
        ledger.amend(table, key, turn=9)
    with pytest.raises(Damaged), ledger.change("cheat"):
        ledger.erase(table, key)
    assert ledger.verify() == []
    # A program with the key that goes round that leaves a second event of the row.
    with ledger.change("cheat"):
        ledger.db.execute(f"update {table} set turn=9 where rowid=1")
        ledger._seal(table, key)
    assert {one.kind for one in ledger.verify()} == {"rewritten"}
    ledger.close()


def test_erasing_behind_its_back_is_seen(tmp_path):
    ledger = opened(tmp_path)
    with ledger.change("pay"):
        book(ledger, transfer("a", 100))
    with ledger.change("cheat"):
        ledger.db.execute("delete from entry")
        ledger.note("erased entry", "[1]", "0" * 64)
        ledger.note("erased entry", "[2]", "0" * 64)
    assert [one.kind for one in ledger.verify()] == ["rewritten", "rewritten"]
    ledger.close()


def test_books_that_do_not_balance_are_found(tmp_path):
    ledger = opened(tmp_path)
    with ledger.change("pay"):
        book(ledger, transfer("a", 100))
        book(ledger, transfer("b", 50))
    with ledger.change("cheat"):
        row = ledger.row("select * from entry where n=1")
        ledger.add(
            "entry", **{**row, "n": 9, "transfer": "b", "person": "p-x", "minor": 1, "currency": "USD"}
        )
    assert unbalanced(ledger) == [Finding("unbalanced", "b")]
    ledger.close()


def test_an_older_ledger_has_no_books_and_is_no_fault(tmp_path):
    ledger = opened(tmp_path)
    assert has_entries(ledger)
    ledger.close()
    db = sqlite3.connect(tmp_path / "ledger.sqlite")
    db.execute("drop table entry")
    db.commit()
    db.close()
    ledger = Ledger(tmp_path / "ledger.sqlite", b"s" * 32, writing=False)
    assert not has_entries(ledger)
    assert unbalanced(ledger) == []
    ledger.close()
