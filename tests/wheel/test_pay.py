"""What people earn, on a small bank: nothing twice, nothing lost, and whose data it was decides the share."""

import itertools
import json
import os
import shutil
import signal
import traceback
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.gather.people_lines import read_people
from bapsim.judge.pay import pay, pot
from bapsim.store import fault
from bapsim.store.entries import OWED, balances, unbalanced
from bapsim.store.project import opened
from bapsim.store.terms import write_withdrawal
from bapsim.wheel.audit import check
from bapsim.wheel.pay import enter, settle, unshared
from bapsim.wheel.pay_appeals import appeal, appeals
from bapsim.wheel.pay_costs import keep_costs, kept_costs
from bapsim.wheel.pay_makers import Player, makers
from bapsim.wheel.pay_reasons import fates
from bapsim.wheel.pay_share import accepted
from bapsim.wheel.pay_statement import carried, statement, status
from bapsim.wheel.pay_tests import Checked, enter_tests, records_of_tests
from bapsim.wheel.pay_work import in_force, rules, work_lines
from bapsim.wheel.withdrawing import withdraw
from tests.wheel.people_world import (
    COLLEAGUE,
    CONSENTS,
    EXPERT,
    LIAR,
    RULE,
    consent,
    give,
    hired,
    known,
    line,
    open_questions,
    staffed,
    truth,
    vote,
)
from tests.wheel.world import differences, founded, state_of, turns

numbers = itertools.count()
FEW = settings(max_examples=max(settings.default.max_examples // 10, 1))
SECOND = RULE.hour.minor // 3600


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A new project at each call."""
    root = tmp_path_factory.mktemp("pay")
    return lambda: founded(root / f"bank{next(numbers)}")


@pytest.fixture(scope="module")
def first(place):
    """A bank whose first turn was accepted: history, and examples of three people."""
    root = place()
    hired(root)
    said = turns(root, staffed(), 1)
    assert said[0]["verdict"] == "accept"
    return root


@pytest.fixture
def bank(first, tmp_path):
    shutil.copytree(first, tmp_path / "bank")
    return tmp_path / "bank"


@pytest.fixture(scope="module")
def second(first, tmp_path_factory):
    """The bank after a second turn: questions answered, people tested, and all that can become of a line."""
    root = tmp_path_factory.mktemp("second") / "bank"
    shutil.copytree(first, root)
    recipe = staffed()
    with opened(root) as project:
        asked = open_questions(project)
        stock, tests = known(project, recipe, 6)
    said = {name: truth(stock, name) for name in asked}
    wrong = {name: next(one for one in ("card", "loan") if one != label) for name, label in said.items()}
    give(root, EXPERT, [vote(f"q{i}", EXPERT, 600 + 10 * i, q, said[q]) for i, q in enumerate(asked[:10])])
    give(root, COLLEAGUE, [vote("out", COLLEAGUE, 601, asked[0], wrong[asked[0]])])
    give(root, LIAR, [vote("same", LIAR, 602, asked[0], said[asked[0]])])
    give(root, COLLEAGUE, [vote("tie", COLLEAGUE, 611, asked[1], wrong[asked[1]])])
    give(root, COLLEAGUE, [vote("dont", COLLEAGUE, 700, asked[11], None)])
    again = [
        vote("old", COLLEAGUE, 710, asked[12], wrong[asked[12]]),
        vote("new", COLLEAGUE, 720, asked[12], said[asked[12]]),
    ]
    give(root, COLLEAGUE, [*again, vote("twice", COLLEAGUE, 730, asked[12], wrong[asked[12]], blind="again")])
    give(root, COLLEAGUE, [vote("thrice", COLLEAGUE, 740, asked[12], said[asked[12]], blind="again")])
    give(root, EXPERT, [line("bad", EXPERT, 750, kind="vote", question="nonsense")])
    for n, row in enumerate(tests):
        name, label = stock.ids[row].tobytes().hex(), str(stock.labels[row])
        give(root, EXPERT, [vote(f"t{n}", EXPERT, 800 + n, name, label, blind="gold")])
        other = next(one for one in ("card", "loan") if one != label)
        give(root, LIAR, [vote(f"t{n}", LIAR, 800 + n, name, other, blind="gold", confidence=1.0)])
        give(root, COLLEAGUE, [vote(f"t{n}", COLLEAGUE, 800 + n, name, None if n else label, blind="gold")])
    turns(root, recipe, 2)
    return root


# ------------------------------------------------------------------ time


def test_a_turn_writes_down_the_time_of_everybody(first):
    with opened(first, writing=False) as project:
        assert balances(project.ledger) == {person: {"KRW": 40 * 10 * SECOND} for person in CONSENTS}
        assert set(rules(project.ledger)) == {RULE.id}
        assert unbalanced(project.ledger) == []
        assert check(project, staffed())["findings"] == []


def test_a_bank_without_a_rule_writes_nothing_down(place):
    root = place()
    hired(root, 5)
    turns(root, staffed(pay=None), 1)
    with opened(root) as project:
        assert project.ledger.rows("select * from worked") == project.ledger.rows("select * from entry") == []
        assert settle(project, staffed(pay=None)) == {"lines": 0, "tests": 0, "shares": []}


LINES = st.lists(
    st.tuples(
        st.sampled_from(sorted(CONSENTS)),
        st.integers(0, 5),
        st.integers(0, 3000),
        st.one_of(st.floats(0, 400), st.sampled_from([None, "much", -1, True])),
    ),
    max_size=12,
)


@FEW
@given(LINES, st.lists(st.integers(0, 12), max_size=3), st.randoms(use_true_random=False))
def test_order_and_resumption_do_not_change_what_is_owed(place, said, cuts, random):
    """Lines of a consent may come in any pieces, in any order, and be met again: the same is owed."""
    unique = {(person, name): (at, seconds) for person, name, at, seconds in said}
    found = []
    for pieces in ([0], sorted({0, *cuts})):
        root, recipe = place(), staffed()
        items = list(unique.items())
        random.shuffle(items)
        with opened(root) as project:
            for start, end in itertools.pairwise([*pieces, len(items)]):
                for (person, name), (at, seconds) in items[start:end]:
                    give(root, person, [line(f"l{name}", person, at, kind="vote", seconds=seconds)])
                enter(project, recipe, project.inbox)
            before = balances(project.ledger)
            assert enter(project, recipe, project.inbox)["lines"] == 0
            assert balances(project.ledger) == before
            assert project.ledger.verify() == unbalanced(project.ledger) == []
        found.append({person: owed for person, owed in before.items() if any(owed.values())})
    assert found[0] == found[1]


def test_lines_that_nobody_can_read_are_work_too(place):
    root, recipe = place(), staffed()
    path = give(
        root, EXPERT, [line("a", EXPERT, 10, kind="unheard"), {"id": "b", "person": EXPERT, "seconds": 10}]
    )
    give(root, EXPERT, [line("long", EXPERT, 30, kind="unheard", seconds=10**400)])
    with path.open("ab") as file:
        file.write(
            b'[1]\n{"id": 7, "person": "p"}\n{"id": "\\ud800", "person": "p"}\n\xff\n'
            + b"[" * 100_000
            + b"\n"
            + '{"id": "c"}\n'.encode("cp949")
        )
        file.write(json.dumps({**line("d", EXPERT, 20), "at": "yesterday", "approved": None}).encode())
    with opened(root) as project:
        assert [one.line for one in work_lines(project.inbox)] == ["a", "b", "long", "d"]
        assert enter(project, recipe, project.inbox)["lines"] == 4
        assert balances(project.ledger) == {EXPERT: {"KRW": (30 + 300) * SECOND}}


def test_a_consent_names_its_rule_and_another_rule_later_changes_nothing(place):
    root, other = place(), pay(hour="72,000 KRW")
    consent(root, EXPERT, RULE.id)
    consent(root, LIAR, "pay-of-another-house")
    for person in (EXPERT, COLLEAGUE, LIAR):
        give(root, person, [line("a", person, 10, kind="vote")])
    with opened(root) as project:
        enter(project, staffed(), project.inbox)
        assert balances(project.ledger) == {person: {"KRW": 10 * SECOND} for person in (EXPERT, COLLEAGUE)}
        for person in (EXPERT, COLLEAGUE, LIAR):
            give(root, person, [line("b", person, 20, kind="vote")])
        enter(project, staffed(pay=other), project.inbox)
        owed = {EXPERT: {"KRW": 20 * SECOND}, COLLEAGUE: {"KRW": (10 + 20) * SECOND}}
        assert balances(project.ledger) == owed
        assert status(project, staffed())["unknown"] == ["pay-of-another-house"]
        assert set(in_force(project.ledger, 1)) == {RULE.id, other.id}
        assert in_force(project.ledger, 0) == {}


def test_one_person_has_one_clock_under_however_many_consents(place):
    """Nobody is in two sittings at once: claims under a second consent are held against the same minutes."""
    root, others = place(), [f"c-{letter * 12}" for letter in "defgh"]
    give(root, EXPERT, [line("a", EXPERT, 10, kind="vote", seconds=300)])
    first = root / "inbox" / "people" / f"{CONSENTS[EXPERT]}.jsonl"
    for n, name in enumerate(others):
        said = line("a", EXPERT, 20 + n, kind="vote", seconds=300)
        first.with_stem(name).write_text(json.dumps(said) + "\n")
    with opened(root) as project:
        enter(project, staffed(), project.inbox)
        whole = {EXPERT: {"KRW": (300 + 14) * SECOND}}  # the clock says 14 seconds, and up to 300 before them
        assert balances(project.ledger) == whole
        head = project.ledger.head()
        enter(project, staffed(), project.inbox)
        assert (balances(project.ledger), project.ledger.head()) == (whole, head)


def test_two_persons_in_one_file_have_the_same_coming_each(place):
    root = place()
    give(root, EXPERT, [line("a", EXPERT, 10, kind="vote"), line("b", LIAR, 10, kind="vote")])
    with opened(root) as project:
        enter(project, staffed(), project.inbox)
        assert balances(project.ledger) == {person: {"KRW": 10 * SECOND} for person in (EXPERT, LIAR)}


def test_time_under_a_rule_that_becomes_known_is_owed_then(place):
    root = place()
    consent(root, EXPERT, RULE.id)
    give(root, EXPERT, [line("a", EXPERT, 10, kind="vote")])
    with opened(root) as project:
        enter(project, staffed(pay=pay(hour="1 KRW")), project.inbox)
        assert balances(project.ledger) == {}
        enter(project, staffed(), project.inbox)
        assert balances(project.ledger) == {EXPERT: {"KRW": 10 * SECOND}}


# ------------------------------------------------------------------ tests and shares


def test_tests_pay_by_how_right_and_how_sure(second):
    with opened(second, writing=False) as project:
        ledger = project.ledger
        query = "select sum(minor) from entry where what='bonus' and account=? and person=?"
        owed = {person: ledger.value(query, OWED, person) for person in CONSENTS}
        found = records_of_tests(ledger)
    # right at .9: (.5 + .5 + .495) / 1.5 of 600; not told: a third; wrong and sure: nothing
    assert owed == {EXPERT: 6 * 598, COLLEAGUE: 598 + 5 * 200, LIAR: 0}
    assert (found[EXPERT].tests, found[EXPERT].right) == (6, 6)
    assert (found[COLLEAGUE].right, found[COLLEAGUE].untold) == (1, 5)
    assert (found[LIAR].tests, found[LIAR].right) == (6, 0)


def test_one_question_tests_a_person_once(second, tmp_path):
    """Who answers again, also after taking the line back, may have read in their statement what is right."""
    root = tmp_path / "bank"
    shutil.copytree(second, root)
    with opened(root) as project:
        stock, tests = known(project, staffed(), 7)
        name, label = stock.ids[tests[0]].tobytes().hex(), str(stock.labels[tests[0]])
        new, right = stock.ids[tests[6]].tobytes().hex(), str(stock.labels[tests[6]])
        before = balances(project.ledger)[LIAR]["KRW"]
        path = root / "inbox" / "people" / f"{CONSENTS[LIAR]}.jsonl"
        lines = path.read_text("utf-8").splitlines()
        path.write_text("".join(one + "\n" for one in lines if '"id": "t0"' not in one), "utf-8")
        again = [vote(f"again{n}", LIAR, 900 + n, name, label, blind="gold") for n in range(3)]
        twice = [
            vote(f"new{n}", LIAR, 910 + n, new, said, blind="gold") for n, said in enumerate(("?", right))
        ]
        give(root, LIAR, [*again, *twice])
        assert enter(project, staffed(), project.inbox) == {"lines": 5, "tests": 1}
        ledger = project.ledger
        query = "select ref, minor from entry where what='bonus' and account=? and ref like '%/new%'"
        assert [(row["ref"][-4:], row["minor"]) for row in ledger.rows(query, OWED)] == [("new0", 38)]
        assert balances(ledger)[LIAR]["KRW"] == before + 5 * 10 * SECOND + 38
        found = {one.ref[-4:]: one.became for one in fates(project, staffed(), LIAR)}
        assert (found["new0"], found["new1"]) == ("declined", "tested")
        said = [one for one in read_people(project.inbox)[CONSENTS[EXPERT]] if one.id in ("q0", "q1")]
        [one, other] = [
            Checked(said=replace(one, body={"question": "0" * 32}), right=True, outcome=True) for one in said
        ]
        late = replace(other, right=False)
        assert enter_tests(ledger, [one, late], rules(ledger), 2) == 1
        assert enter_tests(ledger, [one, late], rules(ledger), 2) == 0
        assert records_of_tests(ledger)[EXPERT].tests == 7
        assert records_of_tests(ledger)[EXPERT].right == 6  # the last word was another one


@pytest.fixture(scope="module")
def settled(second, tmp_path_factory):
    root = tmp_path_factory.mktemp("settled") / "bank"
    shutil.copytree(second, root)
    steps = []
    with opened(root) as project:
        done = settle(project, staffed(), lambda step, **said: steps.append((step, said)))
        keep_costs(project, staffed())
    assert done["shares"][0] == "t001-people"
    assert len(steps) > 2
    return root


def test_who_gave_what_is_paid_and_the_pot_holds_it(settled):
    with opened(settled, writing=False) as project:
        ledger = project.ledger
        one = accepted(ledger)[0]
        said = json.loads(ledger.value("select output from stage where key=?", f"share:{one.version}"))
        query = "select account, person, source, minor from entry where what='share' and ref=?"
        rows = ledger.rows(query, one.version)
    share = {player["person"]: player["share"] for player in said["players"]}
    assert sum(share.values()) == pytest.approx(1)
    assert share[EXPERT] > 0
    assert share[""] > share[EXPERT] > share.get(LIAR, 0)  # 160 rows of history
    whole = pot(said["points"], RULE)
    owed = {row["person"]: row["minor"] for row in rows if row["account"] == OWED}
    kept = sum(row["minor"] for row in rows if row["account"] == "kept")
    assert sum(row["minor"] for row in rows) == 0
    assert whole == sum(owed.values()) + kept
    assert owed[EXPERT] == pytest.approx(whole * share[EXPERT], abs=1)
    assert {row["source"] for row in rows if row["person"]} == {"experts"}
    assert said["opponent"] == "majority"
    assert all(player["low"] <= player["share"] <= player["high"] for player in said["players"])


def test_a_share_is_of_the_rule_under_which_the_turn_was_made(first, tmp_path):
    """A new rule between a turn and its settlement takes nothing from who worked under the old one."""
    owed = []
    for rule in (RULE, pay(hour="72,000 KRW")):
        root = tmp_path / rule.id
        shutil.copytree(first, root)
        for person in CONSENTS:
            give(root, person, [line("later", person, 900, kind="vote")])
        with opened(root) as project:
            settle(project, staffed(pay=rule))
            query = "select person, minor from entry where what='share' and account='owed'"
            rows = project.ledger.rows(query)
        owed.append({row["person"]: row["minor"] for row in rows})
    assert owed[0][EXPERT] > 0
    assert owed[1] == owed[0]


def test_settled_twice_it_adds_nothing(settled, tmp_path):
    shutil.copytree(settled, tmp_path / "bank")
    with opened(tmp_path / "bank") as project:
        before = project.ledger.head()
        assert settle(project, staffed()) == {"lines": 0, "tests": 0, "shares": []}
        keep_costs(project, staffed())
        assert project.ledger.head() == before
        assert unshared(project.ledger) == []
        assert check(project, staffed())["findings"] == []


def test_killed_anywhere_it_ends_the_same(second, tmp_path):
    """Settling dies at each of its durable steps, and goes on: the ledger is that of an undisturbed one."""

    def settle_in(root):
        with opened(root) as project:
            settle(project, staffed())

    whole = tmp_path / "whole"
    shutil.copytree(second, whole)
    settle_in(whole)
    expected = state_of(whole)
    died = 0
    for die in itertools.count(1):
        root = tmp_path / f"die{die}"
        shutil.copytree(second, root)
        if not _dies(root, die, settle_in):
            break
        died += 1
        settle_in(root)
        assert differences(expected, state_of(root)) == ""
    assert died >= 4


def _dies(root, die, act):
    """Run in a child that dies at its `die`-th durable step; whether it did."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            fault._passed = 0
            os.environ["BAPSIM_FAULT"] = str(die)
            act(root)
            status = 0
        except Exception:  # noqa: BLE001  a forked child must not run the parent's tests
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def test_an_answer_is_all_of_those_who_gave_it(second):
    with opened(second, writing=False) as project:
        stock, _ = known(project, staffed(), 1)
        answered = stock.of_origins(lambda _, origin: origin.method.startswith("asked:"))
        made = makers(project, staffed(), stock, answered)
    both = (Player(EXPERT, "experts"), Player(LIAR, "experts"))
    assert both in made.values()
    assert (Player(EXPERT, "experts"),) in made.values()


def test_what_an_undecided_turn_ate_waits(second):
    with opened(second, writing=False) as project:
        if accepted(project.ledger)[-1].turn == 2:
            pytest.skip("the second turn was accepted")
        waiting = carried(project, staffed())
        assert waiting == sum(carried(project, staffed(), person) for person in (EXPERT, COLLEAGUE)) > 0


# ------------------------------------------------------------------ what became of lines


def test_everything_has_a_reason(second):
    with opened(second, writing=False) as project:
        found = {(one.ref.partition("/")[2], one.person): one for one in fates(project, staffed())}
    told = {
        ("out", COLLEAGUE): "pay.reason.outvoted",
        ("tie", COLLEAGUE): "pay.reason.undecided",
        ("dont", COLLEAGUE): "pay.reason.cannot_tell",
        ("old", COLLEAGUE): "pay.reason.revised",
        ("twice", COLLEAGUE): "pay.reason.again_differs",
        ("bad", EXPERT): "unread.field",
        ("t0", LIAR): "pay.reason.gold_failed",
    }
    assert {key: found[key].reason for key in told} == told
    assert {found[key].became for key in told} == {"declined"}
    assert found["thrice", COLLEAGUE].became == found["t0", EXPERT].became == "tested"
    assert found["new", COLLEAGUE].became in ("taken", "declined")
    assert found["q3", EXPERT].became == "taken"
    assert found["same", LIAR].record == found["q0", EXPERT].record != ""
    lines = sum(1 for person in CONSENTS for one in found.values() if one.person == person)
    assert lines == len(found) == 3 * 40 + 10 + 9 + 18


def test_a_refused_delivery_says_so(bank):
    give(bank, LIAR, [line("x", LIAR, 999, kind="example", input={"text": "a" * 99}, target="card")])
    turns(bank, staffed(), 2)
    with opened(bank, writing=False) as project:
        one = next(f for f in fates(project, staffed(), LIAR) if f.ref.endswith("/x"))
        assert (one.became, one.reason) == ("declined", "verdict.too_long")
        assert fates(project, staffed(), EXPERT)[0].became == "taken"


def test_who_withdraws_keeps_what_was_earned(bank):
    give(bank, EXPERT, [line("late", EXPERT, 900, kind="vote")])
    write_withdrawal(bank / "inbox", CONSENTS[EXPERT], EXPERT, EXPERT)
    with opened(bank) as project:
        enter(project, staffed(), project.inbox)  # before anything is erased
        before = balances(project.ledger)[EXPERT]
        assert before == {"KRW": 41 * 10 * SECOND}
        (bank / "inbox" / "people" / f"{CONSENTS[EXPERT]}.jsonl").unlink()
        settle(project, staffed())
        assert balances(project.ledger)[EXPERT]["KRW"] >= before["KRW"]
        gone = fates(project, staffed(), EXPERT)
        assert len(gone) == 41
        assert {one.reason for one in gone} == {"pay.reason.withdrawn"}
        said = statement(project, staffed(), EXPERT)
        assert said["currencies"]["KRW"]["time"] == before["KRW"]
        assert "card" not in json.dumps(
            [said["time"], said["tests"], project.ledger.rows("select * from entry")]
        )


def test_who_withdraws_before_a_turn_is_owed_for_what_they_did(bank):
    """The work, the test and the words of an appeal were given after the turn; the words go with the rest."""
    consent(bank, EXPERT)
    with opened(bank) as project:
        ledger, recipe = project.ledger, staffed()
        stock, [row] = known(project, recipe, 1)
        name, label = stock.ids[row].tobytes().hex(), str(stock.labels[row])
        give(bank, EXPERT, [line("late", EXPERT, 900, kind="vote")])
        give(bank, EXPERT, [vote("test", EXPERT, 910, name, label, blind="gold")])
        appeal(project, EXPERT, "e5000", "words that only an expert says")
        appeal(project, COLLEAGUE, "e5200", "words of somebody else")
        before = balances(ledger)
        withdraw(project, recipe, CONSENTS[EXPERT])
        assert balances(ledger) == before | {EXPERT: {"KRW": before[EXPERT]["KRW"] + 20 * SECOND + 598}}
        assert [one["why"] for one in appeals(ledger)] == ["", "words of somebody else"]
        assert not (bank / "inbox" / "people" / f"{CONSENTS[EXPERT]}.jsonl").exists()
        assert check(project, recipe)["findings"] == []
        assert statement(project, recipe, EXPERT)["currencies"]["KRW"]["bonus"] == 598
    assert b"only an expert" not in b"".join(one.read_bytes() for one in bank.rglob("*.sqlite*"))


# ------------------------------------------------------------------ costs


def test_costs_are_told_by_person_and_source(settled):
    with opened(settled, writing=False) as project:
        said = kept_costs(project.ledger, 2)
    people = {one["name"]: one for one in said["people"]}
    source = {one["name"]: one for one in said["sources"]}["experts"]
    assert set(people) == set(CONSENTS)
    expert, liar = people[EXPERT], people[LIAR]
    assert expert["accepted"]["KRW"]["each"] == expert["owed"]["KRW"] / expert["taken"]
    for cost in (expert["accepted"]["KRW"], expert["point"]["KRW"]):
        assert cost["low"] <= cost["each"]
        assert cost["high"] is None or cost["each"] <= cost["high"]
    assert source["owed"]["KRW"] == sum(one["owed"]["KRW"] for one in people.values())
    assert source["point"]["KRW"]["each"] is not None
    assert (liar["tests"], liar["right"]) == (6, 0)
