"""Executable verifiers: what is wrong is refused, what is right kept, what they cannot judge left alone."""

import gzip
import json
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import RecipeError
from bapsim.core.fingerprint import fingerprint
from bapsim.core.records import Task
from bapsim.core.turn import Turn
from bapsim.refine.arithmetic import right_arithmetic
from bapsim.refine.code import before_function, passes_tests, program, same_program
from bapsim.refine.forms import answer_length, json_answer, pattern_answer
from bapsim.refine.known_answer import is_answer, known_answer
from bapsim.refine.mutation import admits, audit
from bapsim.refine.query import Unanswered, rows_of_query, same_result
from bapsim.refine.sandbox import confined
from bapsim.testing import check_check, records_of, turn_of
from bapsim.text.canonical import canonical
from bapsim.text.units import quantity

TASK = Task(input="question", target="answer")
TURN: Turn = turn_of(TASK)


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


# --------------------------------------------------------------------------- known answers


@pytest.mark.parametrize(
    ("right", "said", "good"),
    [
        ("72", "The steps: 48+24=72\n#### 72", True),
        ("72", "#### 72 or maybe not", False),
        ("72", "#### 27", False),
        ("(B)", "So the answer is (B).", True),
        ("(B)", "b", True),
        ("(B)", "(B) or (C)", False),
        ("(B)", "(B) or maybe not", False),
        ("valid", "Valid.", True),
        ("valid", "invalid", False),
        ("1.5 km", "1,500 m", True),
        ("1.5 km", "1,500 km", False),
        ("2 시간", "120분", True),
        ("5000원", "5천원", True),
        ("a b c", "a c b", False),
        ("72", "", False),
        ("72", "7" * 100_000, False),
        ("", "72", None),
    ],
)
def test_a_known_answer(right: str, said: str, good: bool | None) -> None:
    verify = known_answer("key")
    assert verify.accepts({"key": right}, said) is good
    assert verify.accepts(right, said) is good


@given(st.text(max_size=30), st.text(max_size=30))
def test_another_answer_is_never_taken(right: str, said: str) -> None:
    """Equal in canonical form, or the same quantity, or the same letter: nothing else."""
    taken = known_answer("key").accepts(right, said)
    if taken and not (right.strip().startswith("(") or quantity(right)):
        marked = any(mark in text for text in (right, said) for mark in "#:=은는\\")
        assert canonical(right) == canonical(said) or marked or "answer is" in right + said
    assert is_answer(right, right) or len(right) > 30


@pytest.mark.data
def test_formats_of_bbh_and_gsm8k(data: Path) -> None:
    for name, key in (("bbh/bbh.jsonl.gz", "target"), ("gsm8k/dev.jsonl.gz", "answer")):
        verify = known_answer(key)
        items = [(row, row[key]) for row in rows(data / name)[::5]]
        said = audit(verify.accepts, items)
        assert said.refused == 0
        assert said.taken == 0
        worked = [(row, row.get("solution", row[key])) for row in rows(data / name)[::5]]
        assert all(verify.accepts(row, text) for row, text in worked)


# --------------------------------------------------------------------------- arithmetic


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        ("48/2 = <<48/2=24>>24 and 24+48 = 72\n#### 72", True),
        ("48/2 = <<48/2=25>>25\n#### 25", False),
        ("48/2 = <<48/2=24>>42\n#### 24", False),
        ("48/2 = 24\n#### 42", False),
        ("48/2 = 24\n#### 24 or maybe not", False),
        ("10/3 = 3.33\nA: 3.33", True),
        ("<<1/0=0>>0", False),
        ("No sums here. #### 5", None),
        ("", None),
        ("1+1=2 " * 20_000, False),
    ],
)
def test_arithmetic(answer: str, good: bool | None) -> None:
    assert right_arithmetic().accepts("q", answer) is good


@pytest.mark.data
def test_arithmetic_alone_does_not_admit(data: Path) -> None:
    """What it takes of GPT-3's solutions is wrong more often than right, and its audit says so beforehand."""
    solutions = rows(data / "gsm8k/model_solutions.jsonl.gz")[::4]
    verify = right_arithmetic()
    taken = Counter(one["is_correct"] for one in solutions if verify.accepts("q", one["solution"]))
    assert taken[True] < taken[False]
    train = rows(data / "gsm8k/train.jsonl.gz")[:200]
    said = audit(verify.accepts, [(row["question"], row["solution"]) for row in train])
    assert said.false_refuse < 0.1
    assert not admits(said)
    assert {kind.name for kind in said.kinds if kind.low > 0.02} >= {"other", "digit", "order"}
    assert next(kind for kind in said.kinds if kind.name == "suffix").taken == 0


# --------------------------------------------------------------------------- forms


def test_json_is_a_form_and_no_truth() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    part, whole = json_answer(schema), json_answer(schema, whole=True)
    assert [part.accepts("q", one) for one in ('{"n": 1}', '{"n": "1"}', '{"n": 1} or')] == [
        None,
        False,
        False,
    ]
    assert [whole.accepts("q", one) for one in ('{"n": 1}', '{"n": "1"}', "")] == [True, False, False]
    records = records_of([{"question": f"q{n}", "answer": json.dumps({"n": n})} for n in range(200)])
    assert part.mutated(records, TURN).answers == 0
    said = whole.mutated(records, TURN)
    assert said.equal > 200
    assert admits(said)
    with pytest.raises(RecipeError, match="unevaluatedItems"):
        json_answer({"unevaluatedItems": False})


def test_a_pattern_has_a_time_limit() -> None:
    assert pattern_answer(r"\d+ km", whole=True).accepts("q", " 12 km ") is True
    assert pattern_answer(r"\d+ km").accepts("q", "12 km") is None
    assert pattern_answer(r"\d+ km").accepts("q", "12 km or so") is False
    slow = pattern_answer(r"(a+)+")
    started = time.monotonic()
    assert slow.accepts("q", "a" * 60 + "b") is False
    assert time.monotonic() - started < 5
    with pytest.raises(RecipeError, match="cannot be read"):
        pattern_answer("(")


def test_a_length_lets_nothing_in() -> None:
    check = answer_length(2, 5)
    machine = records_of(
        [{"question": "q", "answer": a} for a in ("a", "ab", "abcdef", None)], maker="machine"
    )
    said = check(machine, TURN)
    assert said.column("keep").to_pylist() == [False, None, False, None]
    assert set(said.column("reason").to_pylist()) == {"answer_length", None}
    with pytest.raises(RecipeError):
        answer_length(5, 2)


# --------------------------------------------------------------------------- queries


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.sqlite"
    base = sqlite3.connect(path)
    base.executescript("create table sale (id integer, item text, won real);")
    base.executemany("insert into sale values (?, ?, ?)", [(n, "abc"[n % 3], n * 10.0) for n in range(30)])
    base.commit()
    base.close()
    return path


def test_queries_are_compared_by_what_they_find(shop: Path) -> None:
    verify = same_result("sql", str(shop))
    known = "select item, sum(won) from sale group by item"
    assert verify.accepts({"sql": known}, known + " order by 2 desc") is True
    assert verify.accepts(known, "```sql\nSELECT item, SUM(won) FROM sale GROUP BY 1\n```") is True
    assert verify.accepts(known, "select item, sum(id) from sale group by item") is False
    assert verify.accepts(known, "select item from sale") is False
    ordered = "select id from sale order by won desc"
    assert verify.accepts(ordered, "select id from sale") is False
    assert verify.accepts(ordered, "select id from sale order by id desc") is True
    assert verify.accepts("select id from sale where won < 0", "select 1 where 0") is None
    assert verify.accepts("select nothing", "select 1") is None
    assert verify.accepts("", "select 1") is None
    with pytest.raises(RecipeError):
        same_result("sql")
    with pytest.raises(RecipeError):
        same_result("sql", str(shop) + "x")


@pytest.mark.parametrize(
    "hostile",
    [
        "drop table sale",
        "delete from sale",
        "insert into sale values (1, 'a', 1)",
        "select 1; drop table sale",
        "attach '/etc/passwd' as x",
        "attach 'new.sqlite' as x",
        "pragma writable_schema=1",
        "select * from pragma_database_list",
        "select load_extension('x')",
        "with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t",
        "with recursive t(n) as (select 1 union all select n + 1 from t) select n from t",
        "select count(*) from sale a, sale b, sale c, sale d, sale e, sale f",
        "select zeroblob(1000000000)",
        "select hex(randomblob(1000))",
        "select printf('%.*c', 100000000, 'x')",
        "vacuum into 'copy.sqlite'",
        "create temp table x (a)",
        "begin exclusive",
        "select 1 -- " + "x" * 20_000,
        "",
        "\0",
    ],
)
def test_hostile_queries(shop: Path, hostile: str) -> None:
    before = shop.read_bytes()
    started = time.monotonic()
    try:
        found: Any = [row for row in rows_of_query(str(shop), hostile, 0.5) if row != (None,)]
    except Unanswered:
        found = []
    assert found == []
    assert time.monotonic() - started < 3
    assert shop.read_bytes() == before
    assert [one.name for one in shop.parent.iterdir()] == ["shop.sqlite"]


# --------------------------------------------------------------------------- code


@pytest.mark.skipif(not confined(), reason="no seccomp here")
def test_code_by_its_tests() -> None:
    row = {
        "prompt": 'import math\ndef area(r):\n    """Of a circle."""\n',
        "test": "def check(candidate):\n    assert round(candidate(1), 3) == 3.142\n",
        "entry_point": "area",
    }
    verify = passes_tests()
    assert verify.accepts(row, "    return math.pi * r * r\n") is True
    assert verify.accepts(row, "```python\ndef area(r):\n    return math.pi * r ** 2\n```") is True
    assert verify.accepts(row, "    return math.pi * r + 1\n") is False
    assert verify.accepts(row, "    pass\nimport os\nos._exit(0)") is False
    assert verify.accepts({**row, "test": ""}, "x") is None
    assert verify.accepts("only a prompt", "x") is None
    assert verify.accepts(row, "#" * 100_000) is False
    task = Task(input=("prompt", "test", "entry_point"), target="answer")
    said = verify.mutated(records_of([{**row, "answer": "    return math.pi * r * r\n"}]), turn_of(task))
    assert said.refused == 0
    assert said.taken == 0
    machine = records_of([{**row, "answer": "    return 3\n"}], maker="machine")
    assert verify(machine, turn_of(task)).column("reason").to_pylist() == ["fails_tests"]


@pytest.mark.data
@pytest.mark.skipif(not confined(), reason="no seccomp here")
def test_humaneval_runs(data: Path) -> None:
    verify = passes_tests()
    for row in rows(data / "humaneval/humaneval.jsonl.gz")[::25]:
        assert verify.accepts(row, row["canonical_solution"]) is True
        assert verify.accepts(row, "    return None\n") is False


def test_programs() -> None:
    assert (
        program("import a\ndef f(x):\n", "def f(x):\n    return 1", "f")
        == "import a\ndef f(x):\n    return 1"
    )
    assert program("def f(x):\n", "    return 1", "f") == "def f(x):\n    return 1"
    assert (
        before_function("import a\ndef g():\n    pass\ndef f(x):\n", "f") == "import a\ndef g():\n    pass\n"
    )
    assert before_function("Write f.", "f") == ""
    assert same_program("x = 1  # one", "x  =  1")
    assert same_program("def f():\n    return 0", "def f():\n    return -0")
    assert not same_program("x = 1", "x = 1.0")
    assert not same_program("x = 1", "x = ")


# --------------------------------------------------------------------------- laws of all


@pytest.mark.parametrize(
    "check",
    [
        right_arithmetic(),
        known_answer("question"),
        json_answer({"type": "integer"}, whole=True),
        pattern_answer(r"\d+", whole=True),
        answer_length(1, 3),
    ],
)
def test_a_verifier_is_a_check(check: Any) -> None:
    some = [{"question": "7", "answer": a} for a in ("7", "1+6=7", "1+6=8", "long text", "", None)]
    for maker in ("machine", "person"):
        check_check(check, records_of(some, maker=maker), TURN)
    assert fingerprint(check) == fingerprint(type(check)(**vars(check)))
    assert hash(check) == hash(type(check)(**vars(check)))
    assert check(records_of(some), TURN).column("keep").null_count == len(some)
