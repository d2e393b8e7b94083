"""Appeals and statements: who objects is heard, what was wrong is made good, and all of it can be read."""

import csv
import io
import json
import re
import shutil
from datetime import UTC, date, datetime, timedelta

import pytest

from bapsim.core.errors import InputError
from bapsim.mods import Money
from bapsim.report.paid import BRIEF, amount, duration, section, table, why_in_words
from bapsim.report.statement import data, page, sheet, write_statement
from bapsim.store.entries import balances, unbalanced
from bapsim.store.project import opened
from bapsim.wheel.audit import check
from bapsim.wheel.pay import enter, settle
from bapsim.wheel.pay_appeals import (
    appeal,
    appeals,
    decide,
    forget_words,
    open_appeals,
    paid,
    standing,
    unpaid,
)
from bapsim.wheel.pay_costs import costs_of_people, keep_costs, kept_costs
from bapsim.wheel.pay_statement import statement, status
from bapsim.wheel.pay_tests import records_of_tests
from bapsim.wheel.pay_words import rule_in_words
from tests.cli.conftest import run, said
from tests.wheel.people_world import (
    COLLEAGUE,
    CONSENTS,
    EXPERT,
    LIAR,
    RULE,
    consent,
    example,
    give,
    hired,
    known,
    line,
    staffed,
    vote,
)
from tests.wheel.world import founded, turns

RECIPE = """from tests.wheel.people_world import staffed

recipe = staffed()
"""


@pytest.fixture(scope="module")
def worked(tmp_path_factory):
    """A bank after a turn and a settlement; the liar failed two tests."""
    root = founded(tmp_path_factory.mktemp("appeals") / "bank")
    (root / "recipe.py").write_text(RECIPE)
    hired(root)
    turns(root, staffed(), 1)
    with opened(root) as project:
        stock, rows = known(project, staffed(), 2)
        for n, row in enumerate(rows):
            label = next(one for one in ("card", "loan") if one != stock.labels[row])
            name = stock.ids[row].tobytes().hex()
            give(root, LIAR, [vote(f"t{n}", LIAR, 800, name, label, blind="gold", confidence=1.0 - n / 2)])
        give(root, LIAR, [line("=cmd()", LIAR, 810, kind="vote")])
        settle(project, staffed())
    return root


@pytest.fixture
def bank(worked, tmp_path):
    shutil.copytree(worked, tmp_path / "bank")
    return tmp_path / "bank"


# ------------------------------------------------------------------ appeals


def test_a_test_that_was_wrong_is_paid_in_full(bank):
    with opened(bank) as project:
        ledger = project.ledger
        before = balances(ledger)[LIAR]["KRW"]
        old = ledger.row("select minor from entry where what='bonus' and ref like '%/t1'")["minor"]
        assert standing(ledger, f"{CONSENTS[LIAR]}/t1", LIAR) == "none"
        row = appeal(project, LIAR, "t1", " the known answer\x00 is wrong\u202e ")
        assert (row["ref"], row["why"], row["state"]) == (
            f"{CONSENTS[LIAR]}/t1",
            "the known answer is wrong",
            "appealed",
        )
        assert [one["ref"] for one in open_appeals(ledger)] == [row["ref"]]
        decide(
            project,
            row["ref"],
            by="owner",
            upheld=True,
            why="so it is",
            amount=Money(minor=50, currency="KRW"),
        )
        # wrong and half sure: (.5 - .125) / 1.5 of 600; right and half sure: (.5 + .5 + .375) / 1.5
        assert old == 150
        assert balances(ledger)[LIAR]["KRW"] == before - 150 + 550 + 50
        assert standing(ledger, row["ref"], LIAR) == "upheld"
        assert (records_of_tests(ledger)[LIAR].right, records_of_tests(ledger)[LIAR].tests) == (1, 2)
        assert open_appeals(ledger) == unbalanced(ledger) == check(project, staffed())["findings"] == []
        kinds = balances(ledger, "bonus")[""]["KRW"], balances(ledger, "appeal")[""]["KRW"]
        assert kinds == (-550, -50)


def test_a_test_that_paid_nothing_has_nothing_to_undo(bank):
    with opened(bank) as project:
        before = balances(project.ledger)[LIAR]["KRW"]
        appeal(project, LIAR, f"{CONSENTS[LIAR]}/t0", "no")
        decide(project, "t0", by="owner", upheld=True, why="yes")
        assert balances(project.ledger)[LIAR]["KRW"] == before + 600


def test_dismissed_it_changes_nothing_and_may_be_appealed_again(bank):
    with opened(bank) as project:
        before = balances(project.ledger)
        appeal(project, LIAR, "t0", "first")
        with pytest.raises(InputError):
            appeal(project, LIAR, "t0", "again")
        decide(project, "t0", by="owner", upheld=False, why="looked at twice")
        assert balances(project.ledger) == before
        appeal(project, LIAR, "t0", "second")
        decide(project, "t0", by="owner", upheld=True, why="you are right")
        with pytest.raises(InputError):
            appeal(project, LIAR, "t0", "third")
        assert [row["state"] for row in appeals(project.ledger, LIAR)] == [
            "appealed",
            "dismissed",
            "appealed",
            "upheld",
        ]
        assert appeals(project.ledger, EXPERT) == []


def test_a_share_can_be_appealed_against(bank):
    with opened(bank) as project:
        before = balances(project.ledger)[EXPERT]["KRW"]
        row = appeal(project, EXPERT, "t001-people", "my rows were the good ones")
        decide(
            project, row["ref"], by="owner", upheld=True, why="true", amount=Money(minor=1234, currency="KRW")
        )
        assert balances(project.ledger)[EXPERT]["KRW"] == before + 1234
        said = statement(project, staffed(), EXPERT)
        assert said["currencies"]["KRW"]["appeal"] == 1234
        assert said["other"][0]["what"] == "appeal"


def test_a_share_of_nothing_is_told_with_its_interval_and_may_be_appealed_against(tmp_path):
    root = founded(tmp_path / "bank")
    for k, person in enumerate((EXPERT, LIAR)):
        numbers = range(5000 + 200 * k, 5040 + 170 * k)  # of the liar so few that no turn can tell
        consent(root, person)
        give(root, person, [example(f"e{i}", person, 10 * n, i) for n, i in enumerate(numbers, 1)])
    turns(root, staffed(), 1)
    with opened(root) as project:
        ledger = project.ledger
        settle(project, staffed())
        assert ledger.rows("select * from entry where what='share' and person=?", LIAR) == []
        said = statement(project, staffed(), LIAR)
        [share] = said["shares"]
        assert (share["minor"], share["n"], share["currency"], share["least"]) == (0, None, "KRW", 0)
        assert share["most"] == int(share["figures"]["pot"] * share["mine"]["high"])
        assert share["of"]["version"] == "t001-people"
        assert said["currencies"]["KRW"]["share"] == 0
        assert "t001-people" in page(said, "en")
        assert ",share,t001-people,0,KRW," in sheet(said, "en")
        assert json.loads(data(said, "ko"))["shares"] == [share]
        later = statement(project, staffed(), LIAR, since=date(2100, 1, 1))
        assert later["shares"] == []
        row = appeal(project, LIAR, "t001-people", "my rows were new")
        decide(project, row["ref"], by="owner", upheld=False, why="all of them were wrong")
        with pytest.raises(InputError):
            appeal(project, "p-nobody", "t001-people", "x")


def test_two_who_appeal_against_shares_of_one_gain_are_both_decided(bank):
    with opened(bank) as project:
        ledger = project.ledger
        won = Money(minor=5, currency="KRW")
        for person in (EXPERT, COLLEAGUE):
            appeal(project, person, "t001-people", f"more is due to {person}")
        with pytest.raises(InputError) as raised:
            decide(project, "t001-people", by="owner", upheld=True, why="whose?")
        assert EXPERT in str(raised.value)
        assert COLLEAGUE in str(raised.value)
        before = balances(ledger)
        said = {"by": "owner", "why": "looked at"}
        decide(project, "t001-people", upheld=True, person=COLLEAGUE, amount=won, **said)
        assert [row["person"] for row in open_appeals(ledger)] == [EXPERT]
        assert balances(ledger)[COLLEAGUE]["KRW"] == before[COLLEAGUE]["KRW"] + 5
        assert balances(ledger)[EXPERT] == before[EXPERT]
        with pytest.raises(InputError):
            decide(project, "t001-people", upheld=True, person=COLLEAGUE, **said)
        decide(project, "t001-people", upheld=False, **said)
        assert open_appeals(ledger) == unbalanced(ledger) == []


@pytest.mark.parametrize(
    ("person", "name", "words"),
    [
        (EXPERT, "t0", "not mine"),
        (LIAR, "nothing", "x"),
        ("p-nobody", "t0", "x"),
        (LIAR, f"{CONSENTS[EXPERT]}/t0", "x"),
        (LIAR, "t0", "\u200b \x00"),
        (LIAR, "t0", "x" * 2001),
        (LIAR, "", "x"),
    ],
)
def test_nobody_appeals_against_what_is_not_theirs_or_without_words(bank, person, name, words):
    with opened(bank) as project:
        head = project.ledger.head()
        with pytest.raises(InputError):
            appeal(project, person, name, words)
        assert project.ledger.head() == head


def test_only_an_open_appeal_can_be_decided(bank):
    with opened(bank) as project:
        won = Money(minor=1, currency="KRW")
        with pytest.raises(InputError):
            decide(project, "t0", by="owner", upheld=True, why="x")
        appeal(project, LIAR, "t0", "x")
        for bad in (
            {"upheld": False, "amount": won},
            {"upheld": True, "why": " "},
            {"upheld": True, "by": ""},
            {"upheld": True, "by": LIAR, "amount": won},
            {"upheld": True, "by": f" {LIAR}\u200b"},
        ):
            with pytest.raises(InputError):
                decide(project, "t0", **{"by": "owner", "why": "y"} | bad)
        assert len(appeals(project.ledger)) == 1


def test_what_somebody_said_can_be_forgotten_and_that_they_did_stays(bank):
    with opened(bank) as project:
        appeal(project, LIAR, "t0", "my secret")
        decide(project, "t0", by="owner", upheld=False, why="no")
        with project.ledger.change("forget"):
            assert forget_words(project.ledger, LIAR) == 1
        assert [row["why"] for row in appeals(project.ledger)] == ["", "no"]
        assert project.ledger.verify() == []


def test_that_somebody_was_paid_is_written_once(bank):
    with opened(bank) as project:
        before = balances(project.ledger)[LIAR]["KRW"]
        sum_ = Money(minor=100, currency="KRW")
        assert paid(project, LIAR, sum_, by="owner", note="bank, 30 November")
        assert not paid(project, LIAR, sum_, by="owner", note="bank, 30 November")
        assert paid(project, LIAR, sum_, by="owner", note="bank, 31 December")
        assert balances(project.ledger)[LIAR]["KRW"] == before - 200
        assert unbalanced(project.ledger) == []
        for person, minor in (("p-nobody", 1), (LIAR, 0)):
            with pytest.raises(InputError):
                paid(project, person, Money(minor=minor, currency="KRW"), by="owner", note="x")


def test_a_payment_that_was_none_is_undone_beside_it(bank):
    with opened(bank) as project:
        before, rows = balances(project.ledger), project.ledger.rows("select * from entry")
        sum_, said = Money(minor=10**9, currency="KRW"), {"by": "owner", "note": "bank, 30 November"}
        with pytest.raises(InputError):
            unpaid(project, LIAR, sum_, **said)
        assert paid(project, LIAR, sum_, **said)
        for other in ({"note": "bank, 1 December"}, {"by": " "}):
            with pytest.raises(InputError):
                unpaid(project, LIAR, sum_, **said | other)
        with pytest.raises(InputError):
            unpaid(project, EXPERT, sum_, **said)
        assert unpaid(project, LIAR, sum_, **said)
        assert not unpaid(project, LIAR, sum_, **said)
        assert balances(project.ledger) == before | {LIAR: before[LIAR]}
        assert project.ledger.rows("select * from entry")[: len(rows)] == rows
        assert unbalanced(project.ledger) == check(project, staffed())["findings"] == []
        assert statement(project, staffed(), LIAR)["currencies"]["KRW"]["paid"] == 0
        for lang in ("en", "ko"):
            told = page(statement(project, staffed(), LIAR), lang)
            assert told.count("1,000,000,000 KRW") == 2
            assert {"en": "not paid after all", "ko": "되돌림"}[lang] in told


# ------------------------------------------------------------------ statements


def test_a_statement_adds_up_by_period(bank):
    with opened(bank) as project:
        today = datetime.now(UTC).date()
        whole = statement(project, staffed(), LIAR)
        sums = whole["currencies"]["KRW"]
        assert sums["balance"] == sum(
            sums[name] for name in ("before", "time", "bonus", "share", "appeal", "paid")
        )
        assert sums["balance"] == balances(project.ledger)[LIAR]["KRW"]
        assert sums["balance"] == sum(
            one["minor"] for kind in ("time", "tests", "shares", "other") for one in whole[kind]
        )
        later = statement(project, staffed(), LIAR, since=today + timedelta(days=1))
        assert (
            later["currencies"]["KRW"]["before"] == later["currencies"]["KRW"]["balance"] == sums["balance"]
        )
        assert later["time"] == later["tests"] == later["declined"] == []
        morning = statement(project, staffed(), LIAR, since=date(2026, 11, 2), until=date(2026, 11, 2))
        assert [day["day"] for day in morning["days"]] == ["2026-11-02"]
        assert whole["lines"]["declined"] == len(whole["declined"]) >= 2
        assert whole["rules"] == [{"id": RULE.id, **RULE.said()}]
        with pytest.raises(InputError):
            statement(project, staffed(), "p-nobody")


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_a_statement_can_be_read_printed_and_opened(bank, tmp_path, lang):
    with opened(bank) as project:
        appeal(project, LIAR, "t0", "<script>alert(1)</script>")
        appeal(project, LIAR, "t1", "and this")
        decide(project, "t1", by="owner", upheld=True, why="yes")
        paid(project, LIAR, Money(minor=100, currency="KRW"), by="owner", note="bank")
        for person in (LIAR, EXPERT, COLLEAGUE):
            told = statement(project, staffed(), person)
            html = page(told, lang)
            assert not re.search(r"(src|href)=|url\(|@import|<script", html), (
                "the page loads and runs nothing"
            )
            assert "{" not in re.sub(r"<style>.*</style>", "", html, flags=re.DOTALL)
            assert amount(told["currencies"]["KRW"]["balance"], "KRW") in html
            assert told["head"] in html
            for sentence in rule_in_words(RULE, lang):
                assert sentence in html.replace("&#39;", "'").replace("&#34;", '"')
            rows = list(csv.DictReader(io.StringIO(sheet(told, lang))))
            sums = [int(row["minor"].removeprefix("'")) for row in rows if row["kind"] == "entry"]
            assert sum(sums) == told["currencies"]["KRW"]["balance"]
            assert not any(cell.startswith(("=", "@", "+")) for row in rows for cell in row.values())
            assert json.loads(data(told, lang))["person"] == person
        for ending in ("html", "csv", "json"):
            write_statement(tmp_path / f"s.{ending}", told, lang)
        with pytest.raises(InputError):
            write_statement(tmp_path / "s.pdf", told, lang)


def test_what_is_told_in_words():
    assert (amount(1250, "USD"), amount(-30, "KRW")) == ("12.50 USD", "−30 KRW")
    assert duration(3_660_000, "en") == "1 h 1 min"
    assert duration(59_000, "ko") == "1분"
    assert why_in_words("verdict.my_own_check", "en") == "my_own_check"
    assert why_in_words("pay.reason.revised", "ko").endswith("씁니다")
    bare = rule_in_words(
        type(RULE)(**{**vars(RULE), "bonus": Money(minor=0, currency="KRW"), "share": 0.0}), "en"
    )
    assert len(bare) == 4
    assert "no bonus" in bare[1]
    assert "no share" in bare[2]
    assert section({}, "en") is None


# ------------------------------------------------------------------ costs and the verb


def test_costs_stand_in_the_report_until_the_next_turn(bank):
    with opened(bank) as project:
        assert (
            keep_costs(project, staffed())
            == kept_costs(project.ledger, 1)
            == costs_of_people(project, staffed())
        )
        told = kept_costs(project.ledger, 1)
        for lang in ("en", "ko"):
            assert len(table(told, lang)) == 1 + len(CONSENTS) + 1
            assert len(table(told, lang, BRIEF)[0]) == len(BRIEF)
        assert section({"people": told}, "en")["rows"][0][0] == EXPERT
        assert kept_costs(project.ledger, 2) is None


def test_every_turn_reports_what_people_cost(bank):
    run("-C", bank, "turn")
    report = json.loads((bank / "reports/turn-002/report.json").read_text("utf-8"))
    expert = next(one for one in report["people"]["people"] if one["name"] == EXPERT)
    assert expert["owed"]["KRW"] > 0
    assert expert["accepted"]["KRW"]["each"] == expert["owed"]["KRW"] / expert["taken"]
    page = (bank / "reports/turn-002/index.html").read_text("utf-8")
    assert "What people earned, and what it brought" in page
    assert run("-C", bank, "check").exit_code == 0


def test_a_new_project_owes_nothing(tmp_path):
    root = founded(tmp_path / "new")
    (root / "recipe.py").write_text(RECIPE)
    with opened(root) as project:
        assert status(project, staffed())["people"] == []
        assert enter(project, staffed(), project.inbox) == {"lines": 0, "tests": 0}
        assert keep_costs(project, staffed()) == {"people": [], "sources": []}
    assert "settle" in run("-C", root, "pay").stdout


def test_the_verb_says_what_is_owed_and_writes_what_it_is_told(bank, tmp_path):
    told = said("-C", bank, "pay")
    assert told["balances"][LIAR]["KRW"] > 0
    assert "잔액" in run("-C", bank, "pay", "--lang", "ko").stdout
    run("-C", bank, "pay", "--appeal", "t0", "--of", LIAR, "--reason", "정답이 틀렸습니다")
    assert "정답이 틀렸습니다" in run("-C", bank, "pay").stdout
    assert (
        said("-C", bank, "pay", "--uphold", "t0", "--by", "owner", "--reason", "맞습니다")["state"]
        == "upheld"
    )
    noted = ("-C", bank, "pay", "--paid", LIAR, "--amount", "1,000 KRW", "--by", "owner", "--reason", "bank")
    assert said(*noted)["new"]
    assert not said(*noted)["new"]
    assert "before" in run(*noted).stdout
    much = ("--amount", "1,000,000 KRW", "--by", "owner", "--reason", "too much")
    assert "more than was owed" in run("-C", bank, "pay", "--paid", LIAR, *much).stdout
    assert "Undone" in run("-C", bank, "pay", "--unpaid", LIAR, *much).stdout
    done = said("-C", bank, "pay", "--settle")
    assert (done["lines"], done["tests"], done["shares"]) == (0, 0, [])
    run("-C", bank, "pay", "--settle", "--lang", "ko")
    out = tmp_path / "s.html"
    assert said("-C", bank, "pay", "--statement", LIAR, "-o", out)["path"] == str(out)
    assert LIAR in out.read_text("utf-8")
    report = json.loads((bank / "reports/turn-001/report.json").read_text("utf-8"))
    assert {one["name"] for one in report["people"]["people"]} == set(CONSENTS)
    assert next(one for one in report["sources"] if one["name"] == "experts")["costs"]["KRW"] > 0
    assert LIAR in run("-C", bank, "show").stdout
    assert run("-C", bank, "check").exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--settle", "--by", "x"),
        ("--statement", LIAR),
        ("--settle", "--statement", LIAR, "-o", "x.html"),
        ("--uphold", "t0", "--by", "x"),
        ("--dismiss", "t0", "--by", "x", "--reason", "y", "--amount", "1 KRW"),
        ("--paid", LIAR, "--by", "x", "--reason", "y"),
        ("--amount", "1 KRW"),
        ("--appeal", "t0", "--reason", "x"),
        ("--statement", "p-nobody", "-o", "x.html"),
        ("--statement", LIAR, "-o", "x.pdf"),
        ("--paid", LIAR, "--amount", "much", "--by", "x", "--reason", "y"),
        ("--statement", LIAR, "-o", "x.html", "--since", "yesterday"),
    ],
)
def test_what_does_not_go_together_is_said(bank, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert "error" in said("-C", bank, "pay", *words, code=2)
    assert not list(tmp_path.glob("x.*"))


def test_a_project_without_a_rule_says_how_to_declare_one(tmp_path):
    root = founded(tmp_path / "bare")
    (root / "recipe.py").write_text(RECIPE.replace("staffed()", "staffed(pay=None)"))
    with opened(root):
        pass
    assert said("-C", root, "pay", code=2)["error"]["key"] == "no_pay_rule"


def test_tampering_with_the_books_is_found(bank):
    with opened(bank) as project:
        with project.ledger.change("cheat"):
            row = project.ledger.row("select * from entry order by n desc limit 1")
            project.ledger.add("entry", **{**row, "n": row["n"] + 1, "person": "p-x", "minor": 5})
        kinds = {one["kind"] for one in check(project, staffed())["findings"]}
    assert kinds == {"unbalanced"}
    assert "does not sum to zero" in run("-C", bank, "check", code=1).stdout
