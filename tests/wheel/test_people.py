"""What people gave in the rooms, through a wheel: settled, derived, counted, kept for others, taken back."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bapsim.core.records import Task
from bapsim.gather.people import people
from bapsim.report.page import write_report
from bapsim.store.project import Project, opened
from bapsim.store.terms import SCOPES, Terms, write_terms, write_withdrawal
from bapsim.wheel.audit import check, stands
from bapsim.wheel.pay_reasons import fates
from bapsim.wheel.stock import SUPERSEDED, Stock, adds_up, exam_ids, load_stock
from bapsim.wheel.turn import run_turn
from tests.wheel.world import ASKS, History, bank, founded, sentence

A, B, C = "c-aaaaaaaaaaaa", "c-bbbbbbbbbbbb", "c-cccccccccccc"


class Room:
    """The files of the rooms, as these would write them."""

    def __init__(self, root: Path) -> None:
        self.inbox = root / "inbox"
        self.said: dict[str, list[dict[str, Any]]] = {}

    def consents(self, *names: str) -> None:
        for name in names:
            scope = frozenset(SCOPES)
            terms = Terms(
                consent=name, person=f"p-{name[2:]}", given="2026-11-23", scope=scope, licence="CC0-1.0"
            )
            write_terms(self.inbox, terms)

    def say(self, consent: str, kind: str, **body: Any) -> None:
        lines = self.said.setdefault(consent, [])
        at = f"2026-11-23T09:{len(lines) // 60:02}:{len(lines) % 60:02}+00:00"
        head = {"id": f"l-{consent[2:4]}{len(lines)}", "kind": kind, "person": f"p-{consent[2:]}"}
        lines.append({**head, "at": at, "approved": at, **body})
        text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines)
        (self.inbox / "people" / f"{consent}.jsonl").write_text(text)

    def vote(self, consent: str, question: bytes, said: Any, **more: Any) -> None:
        self.say(consent, "vote", question=question.hex(), said=said, **more)


def recipe_of(**changes: Any) -> Any:
    sources = {"history": History(220, 120), "people": people()}
    return bank(sources=sources, questions=replace(bank().questions, budget=40, exam_share=0.3), **changes)


def asked(project: Project) -> dict[bytes, str]:
    """Questions with the truth."""
    stock = load_stock(project, Task(input="text", target="intent"))
    ids = [r["id"] for r in project.ledger.rows("select id from question order by id")]
    return {one: sentence(int(stock.texts[stock.place[one]].split()[-1]))[1] for one in ids}


def row_of(stock: Stock, question: bytes) -> int:
    """The answer to a question."""
    made = [row for row, mums in stock.parents if stock.ids[mums[0]].tobytes() == question]
    (row,) = [row for row in made if stock.labelled[row]]
    return row


def wrong(label: str) -> str:
    names = sorted(ASKS)
    return names[(names.index(label) + 1) % len(names)]


def test_votes_settle_and_withdrawing_one_settles_anew(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    recipe, room = recipe_of(), Room(root)
    with opened(root) as project:
        told = run_turn(project, recipe)
        assert told["fresh"]["people"] == 0, "a project without rooms is as ever"
        truth = asked(project)
        room.consents(A, B, C)
        ids = list(truth)
        for one in ids[:20]:
            room.vote(A, one, truth[one], confidence=0.9, peers=0.8, seconds=3.5)
        for one in ids[:10]:
            room.vote(B, one, wrong(truth[one]))
        for one in ids[:5]:
            room.vote(C, one, truth[one])
        room.vote(A, ids[20], None, cannot_tell=True)
        room.vote(A, ids[21], wrong(truth[ids[21]]))
        room.vote(A, ids[21], truth[ids[21]])  # thought better of it
        room.vote(B, ids[22], truth[ids[22]], blind="gold")
        room.vote(B, b"\1" * 16, "card")
        told = run_turn(project, recipe)
        # 5 settled by three, 5 tied (no answer), 10 of A alone, the one of A that was corrected
        assert told["fresh"]["people"] == 5 + 10 + 1
        reasons = [r["reason"] for r in project.ledger.rows("select reason from unread order by reason")]
        assert reasons == ["cannot_tell", "unknown_question"]
        stock = load_stock(project, recipe.task)
        for one in [*ids[:5], *ids[10:20], ids[21]]:
            assert stock.labels[row_of(stock, one)] == truth[one]
        of = {r["consent"] for r in project.ledger.rows("select consent from descendant")}
        assert of == {A, B, C}
        three = stock.ids[row_of(stock, ids[0])].tobytes()
        mine = [r["consent"] for r in project.ledger.rows("select consent from descendant where id=?", three)]
        assert sorted(mine) == [A, B, C]
        single = stock.ids[row_of(stock, ids[12])].tobytes()
        mine = [
            r["consent"] for r in project.ledger.rows("select consent from descendant where id=?", single)
        ]
        assert mine == [A]
        assert stock.origins[int(stock.origin[row_of(stock, ids[12])])].rights == "CC0-1.0"
        assert adds_up(told["accounts"])
        assert check(project, recipe)["ok"]
        again = run_turn(project, recipe)
        assert again["fresh"]["people"] == 0
        write_withdrawal(room.inbox, B, "p-" + B[2:], "test")
        told = run_turn(project, recipe)
        stock = load_stock(project, recipe.task)
        assert stock.labels[row_of(stock, ids[7])] == truth[ids[7]], "without B there is no tie"


def test_what_is_confirmed_of_the_pool_is_answered_and_what_is_rejected_is_kept(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    recipe, room = recipe_of(), Room(root)
    with opened(root) as project:
        run_turn(project, recipe)
        stock, known = load_stock(project, recipe.task), set(asked(project))
        pool = [i.tobytes() for i in stock.ids[~stock.labelled] if i.tobytes() not in known]
        truth = {one: sentence(int(stock.texts[stock.place[one]].split()[-1]))[1] for one in pool}
        room.consents(A, B)
        for one in pool[:6]:
            room.vote(A, one, truth[one], cannot_tell=False)
        for one in pool[6:10]:
            room.vote(A, one, None, cannot_tell=False, **{"not": [wrong(truth[one])]})
        room.vote(A, pool[10], truth[pool[10]])
        room.vote(A, pool[10], None, **{"not": [truth[pool[10]]]})  # thought better of it
        room.vote(B, pool[0], wrong(truth[pool[0]]))  # undecided
        room.vote(B, pool[11], None)  # says nothing at all
        room.vote(B, min(exam_ids(project.ledger)), "card")
        room.say(B, "vote", question=pool[12].hex(), said=None, **{"not": []})
        told = run_turn(project, recipe)
        assert told["fresh"]["people"] == 5 + 5
        reasons = [r["reason"] for r in project.ledger.rows("select reason from unread order by reason")]
        assert reasons == ["field", "field", "unknown_question"], (
            "of an exam item nobody is told that it is one"
        )
        stock = load_stock(project, recipe.task)
        for one in pool[1:6]:
            row = row_of(stock, one)
            assert stock.labels[row] == truth[one]
            assert stock.origins[int(stock.origin[row])].method == "asked:chosen"
        kept = [o for o in stock.origins.values() if o.method == "room:not"]
        assert [one.consent for one in kept] == [A]
        assert adds_up(told["accounts"])
        assert check(project, recipe)["ok"]
        assert run_turn(project, recipe)["fresh"]["people"] == 0


def test_what_experts_make_of_records(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    recipe, room = recipe_of(), Room(root)
    with opened(root) as project:
        run_turn(project, recipe)
        stock = load_stock(project, recipe.task)
        exam = exam_ids(project.ledger)
        seen = [i.tobytes() for i in stock.ids if i.tobytes() not in exam]
        mum, item = seen[0], min(exam)
        text = stock.texts[stock.place[mum]]
        room.consents(A)
        room.say(
            A, "example", input={"text": text}, target="loan", why="그 말이 대출입니다", parents=[mum.hex()]
        )
        room.say(
            A, "example", input={"text": text + " 한도"}, target="card", parents=[mum.hex(), seen[1].hex()]
        )
        room.say(A, "example", input={"text": "전혀 새로운 말"}, target="login", dialogue="d-aaaaaaaaaa/7")
        room.say(A, "example", input={"text": "시험 문항에서"}, target="login", parents=[item.hex()])
        room.say(A, "example", input={"text": "x", "other": 1}, target="login")
        room.say(A, "example", input={"text": "x"}, target=["card"])
        room.say(
            A, "rule", rule={"any": ["카드", "card"]}, text="카드면 카드", label="card", parents=[mum.hex()]
        )
        room.say(A, "qa", question_text="이자는?", answer_text="3%")
        room.say(A, "pair", prompt="a", chosen="b", rejected="c")
        room.say(A, "instruction", messages=[{"role": "user", "content": "안녕"}])
        room.say(A, "rationale", text="왜냐하면", parents=[mum.hex()])
        room.say(A, "view", input={"text": "애매"}, distribution={"card": 0.7, "loan": 0.3})
        told = run_turn(project, recipe)
        assert told["fresh"]["people"] == 4 + 5
        reasons = sorted(r["reason"] for r in project.ledger.rows("select reason from unread"))
        assert reasons == ["field", "field", "unknown_parent"]
        assert adds_up(told["accounts"])
        stock = load_stock(project, recipe.task)
        assert int(stock.other_task.sum()) == 5
        by_text = {text: i for i, text in enumerate(stock.texts) if stock.parents}
        row = by_text["전혀 새로운 말"]
        assert (stock.labels[row], stock.depth[row]) == ("login", 0)
        mums = dict(stock.parents)
        edited = by_text[text + " 한도"]
        assert {stock.ids[m].tobytes() for m in mums[edited]} == {mum, seen[1]}
        # only what was asked about and derived stands under the consent
        held = project.ledger.value("select count(*) from descendant where consent=?", A)
        assert held == 9
        told = run_turn(project, recipe)  # other tables do not disturb questions, sources and surveys
        assert told["fresh"]["people"] == 0
        assert check(project, recipe)["ok"]


def test_reasons_and_rules_stand_when_what_they_are_about_is_answered(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    recipe, room = recipe_of(), Room(root)
    with opened(root) as project:
        run_turn(project, recipe)
        truth = asked(project)
        room.consents(A)
        for one in list(truth)[:6]:
            about = {"parents": [one.hex()], "dialogue": "d-aaaaaaaaaa/3"}
            room.vote(A, one, truth[one])
            room.say(A, "rationale", text="그 말이 그 뜻입니다", **about)
            room.say(A, "rule", rule={"any": ["카드"]}, text="카드면 카드", label="card", **about)
            room.say(A, "qa", question_text="이것은?", answer_text=truth[one], **about)
            room.say(A, "instruction", messages=[{"role": "user", "content": "안녕"}], **about)
            room.say(A, "pair", prompt="a", chosen="b", rejected="c", **about)
        for _ in range(2):  # the second time nothing is new, and nothing changed
            told = run_turn(project, recipe)
            stock = load_stock(project, recipe.task)
            assert int(stock.other_task.sum()) == 30
            assert not (stands(project, stock)[stock.other_task] == SUPERSEDED).any()
            assert adds_up(told["accounts"])
            became = Counter(one.became for one in fates(project, recipe))
            assert became == {"taken": 36}


def test_hidden_tests_say_who_settles_and_views_are_shares(tmp_path: Path) -> None:
    """Of two who differ the one stands whose tests were right; a view is a distribution to train on."""
    root = founded(tmp_path / "p")
    task = replace(bank().task, votes="votes")
    recipe, room = recipe_of(task=task), Room(root)
    with opened(root) as project:
        run_turn(project, recipe)
        truth = asked(project)
        stock = load_stock(project, recipe.task)
        exam = exam_ids(project.ledger) | set(truth)
        known = [r for r, i in enumerate(stock.ids) if stock.labelled[r] and i.tobytes() not in exam][:12]
        room.consents(A, B, C)
        ids = list(truth)
        for row in known:
            one, label = stock.ids[row].tobytes(), str(stock.labels[row])
            room.vote(A, one, label, blind="gold")
            room.vote(B, one, wrong(label), blind="gold")
        for one in ids[:8]:
            room.vote(A, one, truth[one])
            room.vote(B, one, wrong(truth[one]))
        room.vote(A, ids[8], truth[ids[8]])
        shares = {truth[ids[8]]: 0.66, wrong(truth[ids[8]]): 0.34}
        room.say(C, "view", question=ids[8].hex(), distribution=shares)
        room.say(C, "view", input={"text": "카드 대출 어느 쪽"}, distribution={"card": 0.7, "loan": 0.3})
        room.say(C, "view", input={"text": "x"}, distribution={"card": 0.7, "loan": 0.7})
        told = run_turn(project, recipe)
        stock = load_stock(project, recipe.task)
        assert [stock.labels[row_of(stock, one)] for one in ids[:8]] == [truth[one] for one in ids[:8]]
        votes = stock.records.column("votes").to_pylist()
        assert sorted(votes[row_of(stock, ids[0])]) == sorted([truth[ids[0]], wrong(truth[ids[0]])])
        both = votes[row_of(stock, ids[8])]
        assert (both.count(truth[ids[8]]), both.count(wrong(truth[ids[8]]))) == (17, 3)
        (row,) = [r for r, text in enumerate(stock.texts) if text == "카드 대출 어느 쪽"]
        assert (stock.labels[row], sorted(votes[row])) == ("card", ["card"] * 7 + ["loan"] * 3)
        assert [r["reason"] for r in project.ledger.rows("select reason from unread")] == ["field"]
        rated = {one["person"]: one for one in told["raters"]["people"]}
        assert [(rated[who]["gold"]["hits"], rated[who]["gold"]["of"]) for who in sorted(rated)] == [
            (12, 12),
            (0, 12),
        ]
        assert rated["p-" + A[2:]]["skill"]["low"] > rated["p-" + B[2:]]["skill"]["high"]
        assert told["raters"]["agreement"]["rate"] == 0
        shown = write_report(project, told["turn"], "en").read_text("utf-8")
        assert "Who is right, as far as anything shows it" in shown
        assert adds_up(told["accounts"])
        assert check(project, recipe)["ok"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\xff\xfe", "encoding"),
        (b"{", "json"),
        (b'{"id": NaN}', "json"),
        (b"[]", "object"),
        (b"[" * 5000, "deep"),
        (b'{"id": "l-1"}', "field"),
        (b'{"id": "l-1", "kind": "spell", "person": "p-1", "at": "2026"}', "unknown_kind"),
        (b'{"id": "l-1", "kind": "vote", "person": "p-1", "at": "2026", "question": "zz"}', "field"),
        (b'{"id": "l-1", "kind": "qa", "person": "p-1", "at": "2026", "question_text": "\\ud800"}', "field"),
        (b'{"id": "l-1", "kind": "qa", "person": "p-1", "at": "2026", "seconds": 1%0400d}' % 0, "field"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: bytes, reason: str) -> None:
    from bapsim.gather.people_lines import read_people

    (tmp_path / "people").mkdir()
    whole = {
        "id": "l-0",
        "kind": "qa",
        "person": "p-1",
        "at": "2026",
        "question_text": "q",
        "answer_text": "a",
    }
    good = json.dumps(whole).encode()
    (tmp_path / "people" / f"{A}.jsonl").write_bytes(line + b"\n" + good + b"\n" + good)
    unread: list[Any] = []
    found = read_people(tmp_path, unread)
    assert [one.id for one in found[A]] == ["l-0"]
    assert [(one.reason, one.line) for one in unread] == [(reason, 1), ("duplicate_key", 3)]
