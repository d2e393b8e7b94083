"""Dialogues: taped answers are replayed, never asked again; intents tell what is in doubt."""

import itertools

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.errors import ExchangeError, Spent, Waiting
from bapsim.core.exchange import asked_fingerprint, converse, converse_all
from bapsim.core.records import Answers, Rows
from bapsim.store.ledger import Ledger
from bapsim.store.tape import LedgerTape, in_doubt


class MemoryTape:
    """The protocol with nothing behind it."""

    def __init__(self):
        self.answers, self.intents = {}, {}

    def recall(self, key, step):
        return self.answers.get((key, step))

    def intend(self, key, step, asked):
        self.intents[key, step] = self.intents.get((key, step), 0) + 1

    def withdraw(self, key, step):
        self.intents[key, step] -= 1

    def keep(self, key, step, asked, got):
        self.answers[key, step] = asked, got

    def doubts(self):
        return sorted(k for k, n in self.intents.items() if n > (k in self.answers))


@pytest.fixture(params=["memory", "ledger"])
def tape(request, tmp_path):
    if request.param == "memory":
        yield MemoryTape()
        return
    ledger = Ledger(tmp_path / "ledger.sqlite", b"k" * 32)
    yield LedgerTape(ledger)
    assert ledger.verify() == []
    ledger.close()


def doubts(tape):
    return tape.doubts() if isinstance(tape, MemoryTape) else in_doubt(tape.ledger)


def asks(*texts):
    return Rows(pa.record_batch({"text": pa.array(texts, pa.string())}))


def said(answers):
    return answers.column("prediction").to_pylist()


class Person:
    """Answers in capitals; after `patience` calls, raises what it is told to."""

    def __init__(self, patience=10**6, error=None):
        self.calls, self.patience, self.error = [], patience, error

    def __call__(self, rows):
        if len(self.calls) >= self.patience:
            raise self.error or Waiting("waiting", questions=len(rows))
        self.calls.append(rows.column("text").to_pylist())
        return Answers(pa.record_batch({"prediction": [t.upper() for t in self.calls[-1]]}))


def dialogue(name, sizes, first="a"):
    """Asks sizes[i] questions in round i, each naming the last answer."""
    heard, last = [], first
    for i, size in enumerate(sizes):
        got = yield asks(*[f"{name}{i}{j}{last[-1:]}" for j in range(size)])
        heard += said(got)
        last = heard[-1] if heard else last
    return heard


SIZES = st.dictionaries(st.sampled_from("pqrs"), st.lists(st.integers(0, 3), max_size=4), max_size=4)


def alone(name, sizes):
    """What a dialogue hears when it is driven by hand."""
    exchange, person = dialogue(name, sizes), Person()
    try:
        questions = next(exchange)
        while True:
            questions = exchange.send(person(questions))
    except StopIteration as end:
        return end.value


@given(SIZES)
def test_in_lock_step_each_hears_what_it_would_alone(plan):
    person, tape = Person(), MemoryTape()
    made = converse_all({n: dialogue(n, sizes) for n, sizes in plan.items()}, person, tape)
    assert made == {n: alone(n, sizes) for n, sizes in plan.items()}
    assert list(made) == list(plan)
    assert len(person.calls) == max((len(sizes) for sizes in plan.values()), default=0)  # one call a round
    again = Person(patience=0)
    assert converse_all({n: dialogue(n, sizes) for n, sizes in plan.items()}, again, tape) == made
    assert tape.doubts() == []


@given(SIZES, st.integers(0, 5))
def test_nothing_is_asked_twice_however_often_it_stops(plan, stop):
    """Stopped after `stop` rounds and taken up again, a dialogue hears the same."""
    tape, patient = MemoryTape(), Person()
    hasty = Person(patience=stop)
    try:
        converse_all({n: dialogue(n, s) for n, s in plan.items()}, hasty, tape)
    except Waiting:
        assert len(hasty.calls) == stop
    made = converse_all({n: dialogue(n, s) for n, s in plan.items()}, patient, tape)
    assert made == {n: alone(n, s) for n, s in plan.items()}
    rounds = hasty.calls + patient.calls
    assert len(rounds) == max((len(s) for s in plan.values()), default=0)
    expected = [question for n, s in plan.items() for question in asked_by(n, s)]
    assert sorted(itertools.chain(*rounds)) == sorted(expected)


def asked_by(name, sizes):
    person = Person()
    converse(name, dialogue(name, sizes), person, MemoryTape())
    return itertools.chain(*person.calls)


def test_converse_returns_the_result(tape):
    assert converse("k", dialogue("n", [1, 2]), Person(), tape) == ["N00A", "N10A", "N11A"]
    assert doubts(tape) == []


def test_an_exchange_that_asks_nothing(tape):
    assert converse("k", dialogue("n", []), Person(patience=0), tape) == []


def test_a_changed_question_is_an_error(tape):
    converse("k", dialogue("n", [1, 1]), Person(), tape)
    with pytest.raises(ExchangeError) as caught:
        converse("k", dialogue("m", [1, 1]), Person(), tape)
    assert (caught.value.key, caught.value.values) == ("question_changed", {"key": "k", "step": 0})
    with pytest.raises(ExchangeError) as caught:
        converse("k", dialogue("n", [1, 2]), Person(), tape)
    assert caught.value.values == {"key": "k", "step": 1}
    assert converse("other", dialogue("m", [1]), Person(), tape) == ["M00A"]


@pytest.mark.parametrize("size", [0, 1, 3])
def test_answers_that_do_not_fit(tape, size):
    def odd(rows):
        return Answers(pa.record_batch({"prediction": pa.array(["x"] * size, pa.string())}))

    with pytest.raises(ExchangeError) as caught:
        converse_all({"p": dialogue("p", [1]), "q": dialogue("q", [1])}, odd, tape)
    assert (caught.value.key, caught.value.values) == ("answers_do_not_fit", {"asked": 2, "answered": size})
    assert doubts(tape) == [("p", 0), ("q", 0)]  # something was asked, nothing could be kept
    assert tape.recall("p", 0) is None


@pytest.mark.parametrize("error", [Waiting("waiting", questions=1), Spent("spent")])
def test_who_waits_keeps_earlier_answers_and_leaves_no_doubt(tape, error):
    with pytest.raises(type(error)):
        converse_all({"p": dialogue("p", [1, 1]), "q": dialogue("q", [1, 1])}, Person(1, error), tape)
    assert said(tape.recall("p", 0)[1]) == ["P00A"]
    assert tape.recall("p", 1) is None
    for _ in range(3):  # turn after turn
        with pytest.raises(type(error)):
            converse_all({"p": dialogue("p", [1, 1]), "q": dialogue("q", [1, 1])}, Person(0, error), tape)
        assert doubts(tape) == []
    person = Person()
    assert converse("p", dialogue("p", [1, 1]), person, tape) == ["P00A", "P10A"]
    assert person.calls == [["p10A"]]
    assert doubts(tape) == []


def test_a_request_cut_in_flight_is_in_doubt_for_ever(tape):
    with pytest.raises(ConnectionError):
        converse("p", dialogue("p", [1, 1]), Person(1, ConnectionError("cut")), tape)
    assert doubts(tape) == [("p", 1)]
    assert converse("p", dialogue("p", [1, 1]), Person(), tape) == ["P00A", "P10A"]
    assert doubts(tape) == [("p", 1)]  # it was asked twice, and may have been paid twice


def test_dialogues_of_different_ages_meet(tape):
    """One dialogue has two answers on tape, another none: both are asked together as far as possible."""
    with pytest.raises(Waiting):
        converse("p", dialogue("p", [1, 1, 1]), Person(2), tape)
    person = Person()
    made = converse_all({"p": dialogue("p", [1, 1, 1]), "q": dialogue("q", [1, 1, 1])}, person, tape)
    assert made == {"p": alone("p", [1, 1, 1]), "q": alone("q", [1, 1, 1])}
    assert person.calls == [["q00a"], ["q10A"], ["p20A", "q20A"]]


def test_an_error_inside_an_exchange_comes_out(tape):
    def failing():
        yield asks("a")
        raise KeyError("mine")

    with pytest.raises(KeyError):
        converse("k", failing(), Person(), tape)
    assert said(tape.recall("k", 0)[1]) == ["A"]


@settings(max_examples=20)
@given(st.lists(st.text("ab", max_size=2), max_size=3), st.lists(st.text("ab", max_size=2), max_size=3))
def test_a_question_is_its_rows(a, b):
    assert (asked_fingerprint(asks(*a)) == asked_fingerprint(asks(*b))) == (a == b)


def test_a_question_is_not_where_its_rows_lie():
    whole = asks("x", "a", "b", "y")
    assert asked_fingerprint(whole.slice(1, 2)) == asked_fingerprint(asks("a", "b"))
    large = Rows(pa.record_batch({"text": pa.array(["a", "b"], pa.large_string())}))
    assert asked_fingerprint(large) == asked_fingerprint(asks("a", "b"))
