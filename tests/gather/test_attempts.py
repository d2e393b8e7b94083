"""Attempts at prompts without an answer: whose children they are, and who is asked, again or not at all."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.arrow import booleans
from bapsim.core.errors import RecipeError
from bapsim.core.records import Answers, Numbering, Records, Rows, Task, certify
from bapsim.core.turn import Turn
from bapsim.gather.attempts import attempts, tried
from bapsim.refine.code import passes_tests
from bapsim.refine.forms import json_answer
from bapsim.refine.known_answer import known_answer
from bapsim.refine.mutation import audit
from bapsim.refine.query import same_result
from bapsim.refine.sandbox import confined
from bapsim.refine.sorting import sorted_answer
from bapsim.refine.verifying import verified_by
from bapsim.testing import check_source, dataset_of, records_of, turn_of

TASK = Task(input="ask", target="reply", answer="text")


@dataclass(frozen=True)
class Sorter:
    """Sorts one time in three, by the row's seed; never at temperature 0."""

    asked: list[Rows] = field(default_factory=list, compare=False)
    classes: tuple[str, ...] = ()

    def __call__(self, rows: Rows) -> Answers:
        self.asked.append(rows)
        said = []
        for row in rows.to_pylist():
            rng = np.random.default_rng(row["_seed"])
            listed = row["ask"].partition(": ")[2].split()
            good = row["_temperature"] > 0 and rng.random() < 1 / 3
            said.append(" ".join(sorted(listed) if good else rng.permutation(listed).tolist()))
        return Answers(pa.record_batch({"prediction": said}))

    def save(self, folder: Path) -> None:
        (folder / "model.json").write_text('{"loader": "none:none"}')


def people(count: int = 30) -> Records:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(count):
        digits = [str(d) for d in rng.integers(0, 10, 4)]
        answered = " ".join(sorted(digits)) if i < 5 else None
        rows.append({"ask": f"ascending: {' '.join(digits)}", "reply": answered, "from": f"page {i}"})
    return records_of(rows)


def turn(*parts: Records, n: int = 1, **models: Any) -> Turn:
    base = turn_of(TASK, *parts, n=n)
    given = {"n": n, "seed": 0, "task": TASK, "data": base.data, "origins": base.origins}
    return Turn(**given | {"models": models})


def test_an_attempt_is_the_child_of_its_prompt_with_a_target_by_a_machine() -> None:
    records = people()
    source, now = attempts(tries=4), turn(records, current=Sorter())
    check_source(source, now)
    (draft,) = source(now)
    ids = records.column("_id").to_pylist()
    for row, (mum,) in zip(draft.rows.to_pylist(), draft.parents.ids.to_pylist(), strict=True):
        prompt = records.slice(ids.index(mum), 1).to_pylist()[0]
        assert (row["ask"], row["from"]) == (prompt["ask"], prompt["from"])
        assert prompt["reply"] is None
        assert sorted(row["reply"].split()) == sorted(prompt["ask"].partition(": ")[2].split())
    assert set(draft.parents.input_depth.to_pylist()) == {0}
    assert set(draft.parents.target_depth.to_pylist()) == {1}
    assert (draft.origin.input_maker, draft.origin.target_maker) == ("person", "machine")
    assert draft.origin.method.startswith("attempt:current:")
    assert len(set(draft.keys)) == len(draft.keys)


def test_what_is_kept_is_right_and_its_prompt_is_asked_no_more() -> None:
    records, check = people(), sorted_answer()
    made, kept = [], []
    for n in range(1, 5):
        table = Half(parts=(records, *made), keep=(np.ones(len(records), bool), *kept))
        now = Turn(n=n, seed=0, task=TASK, models={"current": Sorter()}, data={"rows": table})
        for draft in attempts(tries=3, until=check)(now):
            part = certify(draft, secret=b"k", origin=n, numbering=Numbering())
            made.append(part)
            kept.append(booleans(check(part, now).column("keep"), False))
    right = [(r, k) for p, ks in zip(made, kept, strict=True) for r, k in zip(p.to_pylist(), ks, strict=True)]
    for row, keep in right:
        listed = row["ask"].partition(": ")[2].split()
        assert keep == (row["reply"].split() == sorted(listed))
    solved = [bytes(row["_parents"][0]) for row, keep in right if keep]
    assert len(solved) == len(set(solved)) > 15
    last = {bytes(row["_parents"][0]) for row in made[-1].to_pylist()}
    assert not last & set(solved[: int(sum(k.sum() for k in kept[:-1]))])


@dataclass(frozen=True, kw_only=True)
class Half:
    """A dataset of which some rows were refused."""

    parts: tuple[Records, ...]
    keep: tuple[np.ndarray, ...]
    name: str = "rows"

    def batches(self, columns: Sequence[str] | None = None) -> Any:
        for part in self.parts:
            own = [name for name in part.schema.names if name.startswith("_")]
            yield part if columns is None else Records(part.select([*columns, *own]))

    def kept(self) -> Any:
        yield from self.keep


def test_who_is_asked_how_warm_and_with_which_numbers() -> None:
    model = Sorter()
    now = turn(people(), current=model)
    (first,) = attempts(tries=4, temperatures=(0.5, 1.5))(now)
    assert [set(rows.column("_temperature").to_pylist()) for rows in model.asked] == [{0.5}] * 2 + [{1.5}] * 2
    assert [len(rows) for rows in model.asked] == [25] * 4
    assert "reply" not in model.asked[0].schema.names
    seeds = [one for rows in model.asked for one in rows.column("_seed").to_pylist()]
    assert len(set(seeds)) == 100
    (again,) = attempts(tries=4, temperatures=(0.5, 1.5))(turn(people(), current=Sorter()))
    assert again.rows.equals(first.rows)
    assert again.keys == first.keys
    (later,) = attempts(tries=4, temperatures=(0.5, 1.5))(turn(people(), n=2, current=Sorter()))
    assert not later.rows.equals(first.rows)


def test_what_is_not_asked() -> None:
    records = people()
    assert list(attempts()(turn(records))) == []  # no model yet
    assert list(attempts(most=0)(turn(records, current=Sorter()))) == []
    assert list(attempts()(turn(Records(records.slice(0, 5)), current=Sorter()))) == []  # all answered
    model = Sorter()
    (some,) = attempts(tries=1, most=7)(turn(records, current=model))
    assert len(model.asked[0]) == len(some.rows) == 7
    refused = Half(parts=(records,), keep=(np.arange(len(records)) < 12,))
    model = Sorter()
    list(attempts(tries=1)(Turn(n=1, seed=0, task=TASK, models={"current": model}, data={"rows": refused})))
    assert len(model.asked[0]) == 7
    blank = records_of([{"ask": " ", "reply": None}, {"ask": None, "reply": None}])
    assert list(attempts()(turn(blank, current=Sorter()))) == []


def test_no_answer_is_no_attempt_and_the_same_one_counts_once() -> None:
    def mute(rows: Rows) -> Answers:
        said = [None, "", "  ", "x" * 70_000, "later", "same"]
        status = ["answered"] * 4 + ["pending", "answered"]
        return Answers(pa.record_batch({"prediction": said, "_status": status}))

    model = Said(mute)
    records = records_of([{"ask": f"q{i}", "reply": None} for i in range(6)])
    (draft,) = attempts(tries=5)(turn(records, current=model))
    assert draft.rows.column("reply").to_pylist() == ["same"]


@dataclass(frozen=True)
class Said:
    """A model of a function."""

    say: Callable[[Rows], Answers]
    classes: tuple[str, ...] = ()

    def __call__(self, rows: Rows) -> Answers:
        return self.say(rows)

    def save(self, folder: Path) -> None:
        (folder / "model.json").write_text("{}")


def test_a_prompt_of_a_machine_stays_one() -> None:
    made = records_of([{"ask": "descending: 1 2 3", "reply": None}], maker="machine")
    (draft,) = attempts(tries=1)(turn(made, current=Sorter()))
    assert draft.origin.input_maker == "machine"
    assert draft.parents.input_depth.to_pylist() == [1]
    assert draft.parents.target_depth.to_pylist() == [2]


@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "", None]), min_size=4, max_size=4), min_size=1, max_size=5),
    st.integers(1, 4),
)
def test_tries_end_where_an_answer_is_taken(said: list[list[str | None]], tries: int) -> None:
    asked: list[tuple[int, int]] = []

    def ask(which: Sequence[int], n: int) -> list[str | None]:
        asked.extend((i, n) for i in which)
        return [said[i][n] for i in which]

    found = tried(len(said), tries, ask, lambda i, answer: answer == "b")
    for i, answers in enumerate(said):
        mine = answers[:tries]
        end = mine.index("b") + 1 if "b" in mine else tries
        assert [n for j, n in asked if j == i] == list(range(end))
        assert [one.answer for one in found if one.prompt == i] == list(
            dict.fromkeys(one for one in mine[:end] if one)
        )


def test_a_verifier_that_raises_ends_no_source() -> None:
    def broken(row: Any, answer: str) -> bool:
        raise ValueError

    (draft,) = attempts(tries=2, until=broken)(turn(people(), current=Sorter()))
    assert len(draft.rows) > 25


@pytest.mark.parametrize("how", [{"tries": 0}, {"most": -1}, {"temperatures": ()}, {"temperatures": (-1.0,)}])
def test_settings_that_ask_nothing(how: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        attempts(**how)


# --------------------------------------------------------------------------- formats of real sets


def lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def replayed(said: dict[str, list[str]], column: str) -> Said:
    """A model that wrote these answers to each question, one a try, as they were told."""
    tries: dict[str, int] = {}

    def say(rows: Rows) -> Answers:
        found = []
        for row in rows.to_pylist():
            answers = said[row[column]]
            tries[row[column]] = tries.get(row[column], -1) + 1
            found.append(answers[tries[row[column]] % len(answers)])
        return Answers(pa.record_batch({"prediction": found}))

    return Said(say)


def drafted(task: Task, rows: list[dict[str, Any]], model: Said, check: Any) -> tuple[Records, np.ndarray]:
    """What a source of attempts at these rows brings, and what the verifier keeps of it."""
    now = Turn(n=1, seed=0, task=task, models={"current": model}, data={"rows": dataset_of(records_of(rows))})
    (draft,) = attempts(tries=4, until=check)(now)
    made = certify(draft, secret=b"k", origin=1, numbering=Numbering())
    return made, booleans(check(made, now).column("keep"), False)


def test_gsm8k_solutions_of_gpt3_are_kept_by_their_last_line(data: Path) -> None:
    """The answer is known, the way is not: real models' solutions, right by the set's own flags."""
    task = Task(input="question", target="solution", answer="text")
    golden = {row["id"]: row for row in lines(data / "gsm8k/dev.jsonl.gz")}
    said: dict[str, list[str]] = {}
    flags: dict[tuple[str, str], bool] = {}
    for row in lines(data / "gsm8k/model_solutions.jsonl.gz")[:600]:
        gold = golden.get(row["id"])
        if gold is not None and row["solution"].strip():
            said.setdefault(gold["question"], []).append(row["solution"])
            flags[gold["question"], row["solution"].rstrip()] = row["is_correct"]
    assert len(said) > 100
    keys = {row["question"]: row["answer"] for row in golden.values()}
    rows = [{"question": q, "key": keys[q], "solution": None} for q in said]
    made, kept = drafted(task, rows, replayed(said, "question"), known_answer("key"))
    right = [flags[row["question"], row["solution"]] for row in made.to_pylist()]
    assert np.mean(np.array(right) == kept) > 0.99
    assert 0.1 < kept.mean() < 0.9


def test_bbh_answers_of_each_form_are_read(data: Path) -> None:
    task = Task(input="input", target="worked", answer="text")
    every = lines(data / "bbh/bbh.jsonl.gz")
    by_task = {row["task"]: row for row in every}
    rows = [
        {"input": r["input"], "task": r["task"], "key": r["target"], "worked": None} for r in by_task.values()
    ]
    others = {
        r["task"]: next(o["target"] for o in every if o["task"] == r["task"] and o["target"] != r["target"])
        for r in by_task.values()
    }
    said = {
        r["input"]: [
            f"Let us see.\nSo the answer is {others[r['task']]}.",
            f"Let us see.\nSo the answer is {r['key']}.",
        ]
        for r in rows
    }
    made, kept = drafted(task, rows, replayed(said, "input"), known_answer("key"))
    assert kept.tolist() == [
        key in worked for key, worked in ((f"is {r['key']}.", r["worked"]) for r in made.to_pylist())
    ]
    assert kept.sum() == len(rows) == made.num_rows / 2


@pytest.mark.skipif(not confined(), reason="needs seccomp")
def test_humaneval_completions_are_kept_by_their_tests(data: Path) -> None:
    task = Task(input="prompt", target="solution", answer="text")
    golden = lines(data / "humaneval/humaneval.jsonl.gz")[:4]
    rows = [{n: r[n] for n in ("prompt", "test", "entry_point")} | {"solution": None} for r in golden]
    said = {r["prompt"]: ["    return None\n", r["canonical_solution"]] for r in golden}
    made, kept = drafted(task, rows, replayed(said, "prompt"), passes_tests())
    assert kept.tolist() == [row["solution"] != "    return None" for row in made.to_pylist()]
    assert kept.sum() == 4


def test_the_verifier_of_sorting_stands_its_audit() -> None:
    items = [
        (f"descending: {' '.join(map(str, ds))}", " ".join(map(str, sorted(ds, reverse=True))))
        for ds in np.random.default_rng(1).integers(0, 10, (200, 6)).tolist()
    ]
    assert audit(sorted_answer().accepts, items).upper < 0.02


# --------------------------------------------------------------------------- verifiers of a user's own tasks


def adds_up(row: Any, answer: str) -> bool:
    said = json.loads(answer)
    listed = [int(word) for word in row["ask"].split() if word.isdigit()]
    return said["items"] == listed and said["total"] == sum(listed)


def test_json_of_a_schema_and_of_the_right_content() -> None:
    whole = {"type": "array", "items": {"type": "integer"}}
    schema = {"type": "object", "required": ["items"], "properties": {"items": whole}}
    ask = "paid 12 for paper and 30 for ink"
    tries = ["42", '{"items": [12], "total": 12}', '{"items": "12"}', '{"items": [12, 30], "total": 42}']
    rows = [{"ask": ask, "reply": None}]
    made, kept = drafted(TASK, rows, replayed({ask: tries}, "ask"), verified_by(adds_up))
    assert kept.tolist() == [False, False, False, True]
    said = json_answer(schema)(made, turn_of(TASK)).column("keep").to_pylist()
    assert said == [False, None, False, None]  # a form refuses; it lets nothing in


def test_queries_by_what_they_find(tmp_path: Path) -> None:
    paths = []
    for n in range(2):
        paths.append(str(tmp_path / f"{n}.sqlite"))
        base = sqlite3.connect(paths[-1])
        base.execute("create table sale (item text, won int)")
        base.executemany("insert into sale values (?, ?)", [("ink", 3 + n), ("ink", 5), ("pen", 9 - n)])
        base.commit()
        base.close()
    gold = "select item, sum(won) from sale group by item"
    tries = [
        "select item, max(won) from sale group by item",
        "drop table sale",
        "nonsense",
        f"{gold} order by 2",
    ]
    rows = [{"ask": "sales by item", "gold": gold, "reply": None}]
    _, kept = drafted(TASK, rows, replayed({"sales by item": tries}, "ask"), same_result("gold", *paths))
    assert kept.tolist() == [False, False, False, True]
