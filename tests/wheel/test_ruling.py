"""Rules of people in whole turns: they label the pool, refuse what machines made, have people asked again."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.errors import RecipeError
from bapsim.core.records import Task
from bapsim.core.turn import Turn
from bapsim.gather.rules import by_rules
from bapsim.refine.rules import keeps_rules
from bapsim.report.facts import facts
from bapsim.report.page import write_report
from bapsim.store.project import opened
from bapsim.store.terms import Terms, write_terms, write_withdrawal
from bapsim.wheel.audit import check, stands
from bapsim.wheel.stock import PENDING, POOL, REFUSED, TRAINED, load_stock
from tests.wheel.world import Clerk, History, bank, founded, turns

CONSENT = "c-aaaaaaaaaaaa"
TRANSFER = {"any": ["송금", "transfer", "send money", "이체"]}


def ruled(**changes):
    sources = {"history": History(260, 160), "clerk": Clerk(), "rules": by_rules()}
    return bank(**{"sources": sources, "surveys": {"rules": keeps_rules()}, **changes})


def state(root, *rules, consent=CONSENT):
    folder = root / "inbox" / "people"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {"id": f"l-{i}", "kind": "rule", "person": "p-aaaaaaaaaa", "rule": rule, "label": label, "text": "말"}
        for i, (rule, label) in enumerate(rules)
    ]
    (folder / f"{consent}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    scope = frozenset({"train"})
    write_terms(
        root / "inbox", Terms(consent=consent, person="p-aaaaaaaaaa", given="2026", scope=scope, licence="x")
    )


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    """Three turns: rules are stated before the second, and withdrawn before the third."""
    root = founded(tmp_path_factory.mktemp("ruling") / "bank")
    turns(root, ruled(), 1)
    state(root, (TRANSFER, "transfer"), ({"all": ["카드"]}, "login"), ({}, "card"))
    told = turns(root, ruled(), 2)
    return root, told[-1]


def of_rules(stock):
    return stock.of_origins(lambda _, origin: origin.method.startswith("rule:"))


def test_a_firm_rule_labels_the_pool_one_hand_deep(life):
    root, told = life
    with opened(root, writing=False) as project:
        stock, state_ = load_stock(project, ruled().task), stands(project, load_stock(project, ruled().task))
        mine = np.flatnonzero(of_rules(stock))
        assert len(mine) > 10
        assert set(stock.labels[mine]) == {"transfer"}  # the other rule is wrong too often
        assert (stock.depth[mine] == 1).all()
        assert set(state_[mine]) <= {PENDING, TRAINED}  # never an exam item
        parents = dict(stock.parents)
        assert all(not stock.labelled[list(parents[i])].any() for i in mine.tolist())
        assert {stock.origins[int(stock.origin[i])].consent for i in mine} == {CONSENT}
        found = {r["id"] for r in project.ledger.rows("select id from descendant where consent=?", CONSENT)}
        assert {stock.ids[i].tobytes() for i in mine} <= found  # withdrawal finds them
        assert project.ledger.value("select count(*) from unread where reason='rule'") == 1
        assert check(project, ruled())["ok"]
    assert told["fresh"]["rules"] == len(mine)


def test_people_who_contradict_it_are_asked_again_and_never_changed(life):
    root, told = life
    assert told["asked"]["rule"]["count"] > 0
    with opened(root, writing=False) as project:
        stock = load_stock(project, ruled().task)
        asked = {r["id"] for r in project.ledger.rows("select id from asking where why='rule'")}
        rows = np.flatnonzero(stock.rows_with(asked))
        assert len(rows)
        assert (stock.labels[rows] != "transfer").all()
        assert all(any(t in stock.texts[i] for t in TRANSFER["any"]) for i in rows.tolist())
        assert not (stands(project, stock)[rows] == REFUSED).any()


def test_the_report_says_how_each_rule_fares_without_keeping_its_words(life):
    root, told = life
    first, second = told["rules"]
    assert (first["label"], first["firm"], second["firm"]) == ("transfer", True, False)
    assert first["taught"] > 0 == second["taught"]
    assert first["precision"]["low"] >= first["least"] > second["precision"]["low"]
    assert first["against"] == first["matched"] - first["right"]
    assert "이체" not in json.dumps(told, ensure_ascii=False)
    with opened(root) as project:
        said = facts(project)
        assert said["rules"] == told["rules"]
        for lang, words in (("en", "Rules that people stated"), ("ko", "사람이 말한 규칙")):
            page = write_report(project, 2, lang).read_text("utf-8")
            assert words in page
            assert "이체" in page


def test_the_same_turn_again_brings_nothing_new(life):
    root, _ = life
    told = turns(root, ruled(), 3)[-1]
    assert told["fresh"]["rules"] <= 3  # a few rows of the pool that firm rules reach by now
    write_withdrawal(root / "inbox", CONSENT, "p-aaaaaaaaaa", "p-aaaaaaaaaa")
    told = turns(root, ruled(), 4)[-1]
    assert told["rules"] == []
    with opened(root) as project:
        stock = load_stock(project, ruled().task)
        gone = np.flatnonzero(of_rules(stock))
        assert (stands(project, stock)[gone] == REFUSED).all()  # a rule that is withdrawn teaches nothing
        assert told["reasons"].get("rule_gone") or told["reasons"].get("turn_refused")
        page = write_report(project, 2, "en").read_text("utf-8")
        assert "이체" not in page
        assert "(withdrawn)" in page


def test_what_machines_made_against_a_rule_is_refused(tmp_path):
    """Labels of another machine: variants of rows that people labelled against the rule."""
    from bapsim.gather.augment import misspell

    root = founded(tmp_path / "bank")
    state(root, (TRANSFER, "transfer"))
    sources = {"history": History(260, 0), "slips": misspell("history", share=0.9, changes=1)}
    recipe = ruled(sources=sources, questions=None)
    turns(root, recipe, 2)
    with opened(root, writing=False) as project:
        stock, now = load_stock(project, recipe.task), stands(project, load_stock(project, recipe.task))
        slips = stock.by_machine
        against = np.array([any(t in text for t in TRANSFER["any"]) for text in stock.texts]) & (
            stock.labels != "transfer"
        )
        assert (slips & against).any()
        assert (now[slips & against] == REFUSED).all()
        assert (now[stock.by_people & against] != REFUSED).any()


def test_without_the_steps_rules_do_nothing(tmp_path):
    root = founded(tmp_path / "bank")
    state(root, (TRANSFER, "transfer"))
    recipe = bank(sources={"history": History(200, 80)})
    told = turns(root, recipe, 1)[-1]
    assert told["rules"] == []
    with opened(root) as project:
        stock = load_stock(project, recipe.task)
        assert not of_rules(stock).any()
        assert (stands(project, stock) == POOL).sum() == 80


def test_rules_need_texts_of_one_class(tmp_path):
    state(tmp_path, (TRANSFER, "transfer"))
    turn = Turn(n=1, seed=0, task=Task(input="a", target="b", kind="table"), inbox=tmp_path / "inbox")

    class Table:
        name = "rows"

        def __len__(self):
            return 1

        def batches(self, columns=None):
            yield pa.record_batch(
                {
                    "a": ["1"],
                    "b": ["x"],
                    "_input_depth": pa.array([0], pa.int8()),
                    "_target_depth": pa.array([0], pa.int8()),
                }
            )

        def kept(self):
            yield np.ones(1, bool)

    with pytest.raises(RecipeError, match="Rules of words"):
        list(by_rules()(replace(turn, data={"rows": Table()})))
    for least in (0, 1.5, -1):
        with pytest.raises(RecipeError):
            by_rules(least=least)
        with pytest.raises(RecipeError):
            keeps_rules(least=least)
