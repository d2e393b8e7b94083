"""Base pay: the time of every line that people gave, written down with the turn that meets it, or before.

Tests, answers that nobody took, and lines that could not be read are work like others. What was written down
stays, also when the line itself is erased.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from bapsim.core.recipe import Recipe
from bapsim.judge.pay import Pay, clocked, spent, understood, wage
from bapsim.store.entries import OWED, Due, Transfer, book, entries_of, obligation
from bapsim.store.ledger import Ledger, Row
from bapsim.store.terms import Terms, people, read_terms, stem

TIME = "time"
PEOPLE = "people"  # what work is for where no source of the recipe reads what people gave
RULE = "compensation_rule_id"  # where a consent names the rule under which its person works
KNOWN = "pay rule"


class Work(NamedTuple):
    """One line as work: whose it is, when it was given (seconds since 1970), what it says it took, and where
    in its file it stands.
    """

    consent: str
    line: str
    number: int
    person: str
    at: float
    seconds: object


def work_lines(inbox: Path) -> Iterator[Work]:
    """Every line of people's files that says whose it is, whatever else is wrong with it."""
    for path in sorted(people(inbox).glob("*.jsonl")):
        for number, body in enumerate(path.read_bytes().split(b"\n"), 1):
            one = _object(body)
            named = [one.get(name) for name in ("id", "person")]
            if all(isinstance(name, str) and _named(name) for name in named):
                line, person = map(str, named)
                at = seconds_of(one.get("at"), one.get("approved"))
                yield Work(path.stem, line, number, person, at, one.get("seconds"))


def _named(said: str) -> bool:
    """Whether a ledger can hold this as a name: half of a surrogate pair is no text."""
    return 0 < len(said) <= 80 and not any("\ud800" <= letter <= "\udfff" for letter in said)


def _object(body: bytes) -> dict[str, Any]:
    try:
        one = json.loads(body.decode())
    except (ValueError, RecursionError):
        return {}
    return one if isinstance(one, dict) else {}


def seconds_of(*said: object) -> float:
    """Seconds since 1970 of the first of these that is an ISO time; 0 where none is."""
    for one in said:
        try:
            at = datetime.fromisoformat(str(one))
        except ValueError:
            continue
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return 0.0


def now_turn(ledger: Ledger) -> int:
    """The last turn that had begun, 0 before the first."""
    return int(ledger.value("select coalesce(max(n), 0) from turn"))


def people_source(recipe: Recipe) -> str:
    """The name of the source that reads what people gave in the rooms."""
    paths = {name: str(getattr(source, "path", "")).strip("/") for name, source in recipe.sources.items()}
    return next((name for name, path in paths.items() if path == people(Path()).name), PEOPLE)


# --------------------------------------------------------------------------- rules


def rules(ledger: Ledger) -> dict[str, Pay]:
    """Every rule of pay that was ever in force, by its id."""
    rows = ledger.rows("select key, output from stage where name=? order by rowid", KNOWN)
    return {row["key"].removeprefix(f"{KNOWN}:"): understood(json.loads(row["output"])) for row in rows}


def enter_rule(ledger: Ledger, rule: Pay | None, turn: int) -> None:
    """Remember a rule, inside `ledger.change`: it stays for who consented under it, whatever comes after.

    It is in force from the open turn on, else from the next one: nobody is owed for a turn before it.
    """
    if rule is None or rule.id in rules(ledger):
        return
    since = turn + (ledger.value("select state from turn where n=?", turn) != "open")
    said = json.dumps(rule.said(), sort_keys=True)
    ledger.add("stage", key=f"{KNOWN}:{rule.id}", name=KNOWN, turn=since, output=said)


def in_force(ledger: Ledger, turn: int) -> dict[str, Pay]:
    """The rules that were known when a turn was made."""
    rows = ledger.rows("select key from stage where name=? and turn <= ?", KNOWN, turn)
    names = {row["key"].removeprefix(f"{KNOWN}:") for row in rows}
    return {name: rule for name, rule in rules(ledger).items() if name in names}


def rule_of(terms: Terms | None, rule: Pay | None) -> str | None:
    """The id of the rule under which somebody works: what the consent names, else that of the project."""
    named = None if terms is None else terms.record.get(RULE)
    return str(named) if named else (None if rule is None else rule.id)


# --------------------------------------------------------------------------- entering


def enter_work(ledger: Ledger, recipe: Recipe, inbox: Path, turn: int) -> int:
    """Write down the lines that are new as work, and what is owed for the time; returns how many they are.

    One change of the ledger. Where no rule of pay is declared, and no consent names one, there is nothing to
    write down. Under a rule that is not known here the time is kept, and owed once the rule is known.
    """
    new, late = list(_new(ledger, recipe, inbox)), _unpaid(ledger)
    unknown = recipe.pay is not None and recipe.pay.id not in rules(ledger)
    if not new and not unknown and not any(rule in rules(ledger) for _, rule in late):
        return 0
    with ledger.change("work"):
        enter_rule(ledger, recipe.pay, turn)
        for row in new:
            ledger.add("worked", **row, turn=turn)
        for person, rule in sorted({(row["person"], row["rule"]) for row in new} | late):
            _owe(ledger, person, rules(ledger).get(rule), turn)
    return len(new)


def _new(ledger: Ledger, recipe: Recipe, inbox: Path) -> Iterator[Row]:
    source, terms = people_source(recipe), {stem(n): t for n, t in read_terms(inbox).items()}
    known = {(r["consent"], r["line"]) for r in ledger.rows("select consent, line from worked")}
    for one in work_lines(inbox):
        grant = terms.get(one.consent)
        rule = rule_of(grant, recipe.pay)
        if rule is not None and (one.consent, one.line) not in known:
            known.add((one.consent, one.line))
            person = one.person if grant is None else grant.person
            about = {"person": person, "source": source, "said": one.at, "ms": spent(one.seconds)}
            yield {"consent": one.consent, "line": one.line, **about, "rule": rule}


def _unpaid(ledger: Ledger) -> set[tuple[str, str]]:
    """Persons with time for which nothing was written down, as their rule was not known."""
    booked = ledger.rows("select distinct person, ref from entry where account=? and what=?", OWED, TIME)
    paid = {(row["person"], row["ref"].partition("/")[2]) for row in booked}
    rows = ledger.rows("select distinct person, rule from worked")
    return {(row["person"], row["rule"]) for row in rows} - paid


def _owe(ledger: Ledger, person: str, rule: Pay | None, turn: int) -> None:
    """What somebody's time under a rule comes to, less what was written down before: one clock, however many
    consents it is under.
    """
    if rule is None:
        return
    rows = ledger.rows("select * from worked where person=? and rule=? order by rowid", person, rule.id)
    worked = clocked(((row["said"], row["ms"]) for row in rows), rule.idle)
    ref, source = f"{rows[-1]['consent']}/{rule.id}", str(rows[-1]["source"])
    before = sum(row["minor"] for row in entries_of(ledger, person) if _is_time(row, rule))
    more = wage(worked, rule.hour) - before
    if more > 0:
        figures = {"lines": len(rows), "ms": worked, "said": sum(row["ms"] for row in rows)}
        about = Transfer(
            name=f"{TIME}:{person}/{rule.id}:{worked}",
            currency=rule.hour.currency,
            what=TIME,
            ref=ref,
            turn=turn,
            why=json.dumps(figures),
        )
        book(ledger, obligation(Due(person=person, source=source, minor=more), about))


def _is_time(row: Row, rule: Pay) -> bool:
    return bool(row["what"] == TIME and str(row["ref"]).partition("/")[2] == rule.id)
