"""People at the small bank: an expert, a colleague who errs, and a liar, as files of the inbox."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from bapsim.core.recipe import Recipe
from bapsim.gather.people import people
from bapsim.judge.pay import pay
from bapsim.store.project import Project
from bapsim.store.terms import SCOPES, Terms, write_terms
from bapsim.wheel.stock import TRAINED, Stock, load_stock
from tests.wheel.world import ASKS, History, bank, sentence

EXPERT, COLLEAGUE, LIAR = "p-aaaaaaaaaa", "p-bbbbbbbbbb", "p-cccccccccc"
CONSENTS = {EXPERT: "c-aaaaaaaaaaaa", COLLEAGUE: "c-bbbbbbbbbbbb", LIAR: "c-cccccccccccc"}
RIGHT = {EXPERT: 1.0, COLLEAGUE: 0.8, LIAR: 0.0}
RULE = pay(hour="36,000 KRW", bonus="600 KRW", share=0.1, worth="100,000 KRW")  # 10 won a second


def staffed(**changes: Any) -> Recipe:
    """The bank with a source of what people gave, and a rule of pay."""
    said: dict[str, Any] = {"sources": {"history": History(160, 90), "experts": people()}, "pay": RULE}
    return bank(**said | changes)


def when(second: int) -> str:
    """A time on one morning."""
    return f"2026-11-02T09:{second // 60:02d}:{second % 60:02d}+00:00"


def line(name: str, person: str, at: int, **said: Any) -> dict[str, Any]:
    """One line of a person, ten seconds of work."""
    whole = {"id": name, "person": person, "at": when(at), "approved": when(at), "seconds": 10.0}
    return whole | said


def vote(name: str, person: str, at: int, question: str, said: Any, **more: Any) -> dict[str, Any]:
    """An answer to a question, or a test of it."""
    about = {"kind": "vote", "question": question, "said": said, "cannot_tell": said is None, "blind": None}
    return line(name, person, at, **about | {"confidence": 0.9, "peers": None} | more)


def example(name: str, person: str, at: int, i: int, **more: Any) -> dict[str, Any]:
    """Sentence number i with the label that this person gives it."""
    text, label = sentence(i)
    names = list(ASKS)
    rng = np.random.default_rng([i, 3])
    if rng.random() >= RIGHT[person]:
        label = names[(names.index(label) + 1 + int(rng.integers(3))) % 4]
    return line(name, person, at, **{"kind": "example", "input": {"text": text}, "target": label} | more)


def give(root: Path, person: str, lines: list[dict[str, Any]], more: bool = True) -> Path:
    """Append lines to the file of a person's consent."""
    path = root / "inbox" / "people" / f"{CONSENTS[person]}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a" if more else "w", encoding="utf-8") as file:
        file.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in lines)
    return path


def consent(root: Path, person: str, rule: str | None = None) -> None:
    """A person's terms, under a rule of pay."""
    record = {} if rule is None else {"compensation_rule_id": rule}
    terms = Terms(
        consent=CONSENTS[person],
        person=person,
        given="2026-11-01T00:00:00+00:00",
        scope=frozenset(SCOPES),
        licence="LicenseRef-expert",
        record=record,
    )
    write_terms(root / "inbox", terms)


def hired(root: Path, rows: int = 40) -> None:
    """Everybody gives examples, ten seconds each; who has no terms so far allows everything."""
    for k, person in enumerate(CONSENTS):
        if not (root / "inbox" / "people" / f"{CONSENTS[person]}.terms.json").exists():
            consent(root, person)
        numbers = range(5000 + 200 * k, 5000 + 200 * k + rows)
        give(root, person, [example(f"e{i}", person, 10 * n, i) for n, i in enumerate(numbers, 1)])


def known(project: Project, recipe: Recipe, count: int) -> tuple[Stock, list[int]]:
    """Rows of history that are trained on: what people can be tested with."""
    from bapsim.wheel.audit import stands

    stock = load_stock(project, recipe.task)
    history = stock.of_origins(lambda _, origin: origin.source == "history")
    rows = np.flatnonzero((stands(project, stock) == TRAINED) & history & stock.labelled)
    return stock, rows[:count].tolist()


def open_questions(project: Project) -> list[str]:
    """Ids of what is asked now, in hex."""
    rows = project.ledger.rows("select id from question where state='open' order by id")
    return [row["id"].hex() for row in rows]


def truth(stock: Stock, question: str) -> str:
    """The label of a question of the small bank."""
    text = stock.texts[stock.place[bytes.fromhex(question)]]
    return sentence(int(text.split()[-1]))[1]
