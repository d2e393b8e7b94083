"""A source that finds other types than the records have is read in theirs, and never ends a turn."""

import datetime as dt
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bapsim.compose.plan import exam
from bapsim.core.errors import InputError
from bapsim.core.recipe import Recipe
from bapsim.core.records import Draft, Rows, Task, source
from bapsim.core.turn import Turn
from bapsim.gather.files import files
from bapsim.gather.service import service
from bapsim.gather.types import agreed, arrow_type, cast, common, name_of
from bapsim.refine.label_errors import label_errors
from bapsim.serve.asked import rows_asked
from bapsim.serve.openapi import About
from bapsim.serve.refused import Limits
from bapsim.store import artifacts
from bapsim.store.project import Project, opened
from bapsim.train.table import table_boosted
from bapsim.wheel.candidates import NAME
from bapsim.wheel.column_types import alike, input_types, known_types
from bapsim.wheel.gathering import gather
from bapsim.wheel.preview import preview
from bapsim.wheel.state import begin, state, stop
from bapsim.wheel.stock import load_stock
from bapsim.wheel.turn import run_turn
from tests.wheel.world import bank, founded

KINDS = {
    "x": pa.float64(),
    "small": pa.float32(),
    "whole": pa.int64(),
    "code": pa.string(),
    "flag": pa.bool_(),
    "day": pa.date32(),
    "at_noon": pa.time64("us"),
    "when": pa.timestamp("us"),
    "utc": pa.timestamp("ns", "UTC"),
}
WIDER = KINDS | {"small": pa.float64(), "whole": pa.float64()}
TASK = Task(input=tuple(KINDS), target="label", kind="table")
GOOD = {"x": 1, "small": 0.5, "whole": 3, "code": "12", "flag": True, "day": "2026-03-12"}
GOOD |= {"at_noon": "12:00:00", "when": "2026-03-12T12:00:00", "utc": "2026-03-12T12:00:00Z"}


def table(n: int) -> pa.Table:
    when = [dt.datetime(2026, 1, 1) + dt.timedelta(hours=i) for i in range(n)]  # noqa: DTZ001  a naive column
    made = {name: pa.array(np.arange(n)).cast(kind) for name, kind in list(KINDS.items())[:4]}
    made |= {"flag": pa.array([i % 2 == 0 for i in range(n)]), "day": pa.array([w.date() for w in when])}
    made |= {"at_noon": pa.array([w.time() for w in when], KINDS["at_noon"])}
    made |= {name: pa.array(when, pa.timestamp("us")).cast(KINDS[name]) for name in ("when", "utc")}
    return pa.table(made | {"label": pa.array(["a", "b"] * (n // 2))})


def line(number: int, **cells: object) -> str:
    about = {"request": f"r{number}", "at": "2026-11-22T10:00:00+00:00", "model": "v1"}
    return json.dumps(about | {"input": GOOD | cells, "prediction": "a", "confidence": 0.9}) + "\n"


@pytest.fixture
def log(tmp_path: Path) -> tuple[Path, Recipe]:
    root = founded(tmp_path / "p")
    sources = {"data": files("data/", rights="own"), "served": service("service/", rights="own")}
    recipe = replace(bank(), task=TASK, sources=sources, checks={})
    for folder in ("data", "service"):
        (root / "inbox" / folder).mkdir(parents=True)
    pq.write_table(table(40), root / "inbox" / "data" / "a.parquet")
    return root, recipe


def turned(root: Path, recipe: Recipe) -> tuple[dict[str, int], pa.RecordBatch, list[str]]:
    with opened(root) as project:
        turn = begin(project, recipe)
        fresh = gather(project, dict(recipe.sources), turn)
        unread = [r["detail"] for r in project.ledger.rows("select detail from unread order by rowid")]
        return fresh, load_stock(project, recipe.task).records, unread


def test_a_log_is_read_in_the_types_of_the_records(log: tuple[Path, Recipe]) -> None:
    root, recipe = log
    turned(root, recipe)
    odd = [line(2, when="yesterday"), line(3, whole=2.5), line(4, code=7, flag=None)]
    (root / "inbox" / "service" / "a.jsonl").write_text("".join([line(1), *odd]))
    with opened(root) as project:
        foretold = preview(project, recipe)["sources"]
        stop(project)
    fresh, records, unread = turned(root, recipe)
    assert fresh == {"data": 0, "served": 3}
    assert foretold == {
        "data": {"fresh": 0, "again": 40, "unread": 0},
        "served": {"fresh": 3, "again": 0, "unread": 1},
    }
    assert {name: records.schema.field(name).type for name in KINDS} == WIDER
    assert unread == ["when: not timestamp[us]"]
    assert records.column("code").to_pylist()[-1] == "7"
    with opened(root) as project:
        types = input_types(project.ledger, TASK)
    assert types == {name: name_of(kind) for name, kind in WIDER.items()}
    about = About(title="", version="", task=TASK, types=types, limits=Limits())
    assert rows_asked(about.row, TASK, types, Limits()).count == 1, "the example can be sent"


@dataclass(frozen=True)
class Made:
    drafts: tuple[dict[str, list[object]], ...]

    def __call__(self, turn: Turn) -> list[Draft]:
        rows = [Rows(pa.record_batch(one)) for one in self.drafts]
        return [source(one, name="made", maker="person", rights="own") for one in rows]


def test_a_function_is_read_in_the_types_of_the_records(tmp_path: Path) -> None:
    root, recipe = founded(tmp_path / "p"), replace(bank(), checks={})
    made = Made(({"text": [12, 13], "intent": ["card", "loan"]},))
    with opened(root) as project:
        turn = begin(project, recipe)
        gather(project, {**recipe.sources, "made": made}, turn)
        records = load_stock(project, recipe.task).records
    assert records.schema.field("text").type == pa.string()
    assert {"12", "13"} <= set(records.column("text").to_pylist())


def with_types(recipe: Recipe, **types: str) -> Recipe:
    return replace(recipe, sources={"data": files("data/", rights="own", types=types)})


def test_a_function_s_odd_row_is_unread_in_its_place(log: tuple[Path, Recipe]) -> None:
    root, recipe = log
    drafts = ({"x": ["1.5"], "label": ["a"]}, {"x": ["much", None], "label": ["a", "b"]})
    with opened(root) as project:
        turn = begin(project, recipe)
        gather(project, dict(recipe.sources), turn)
        fresh = gather(project, {"made": Made(drafts)}, turn)
        found = project.ledger.rows("select source, line, reason, detail from unread")
        assert [tuple(r.values()) for r in found] == [("made", 2, "type", "x: not float64")]
        assert fresh == {"made": 2}
        assert load_stock(project, TASK).records.column("x").to_pylist()[-2:] == [1.5, None]


@pytest.mark.parametrize(
    ("said", "then", "kind"),
    [
        (["7", "8"], "string", pa.string()),  # a recipe that changed a type: 007 is text
        (["2026-01-01", "2026-01-02"], "date32[day]", pa.date32()),
        (["x1", "x2"], "int64", pa.string()),  # what does not fit is not lost
    ],
)
def test_a_recipe_that_changes_a_type_is_followed(
    log: tuple[Path, Recipe], said: list[str], then: str, kind: pa.DataType
) -> None:
    root, recipe = log
    task = Task(input="x", target="label", kind="table")
    recipe = replace(recipe, task=task)
    (root / "inbox" / "data" / "a.parquet").unlink()
    first = root / "inbox" / "data" / "a.csv"
    first.write_text("x,label\n" + "".join(f"{cell},a\n" for cell in said))
    turned(root, with_types(recipe, x="int64" if said[0].isdigit() else "string", label="string"))
    later = {"string": "007", "date32[day]": "2026-02-01", "int64": "5"}[then]
    first.write_text(f"x,label\n{later},b\n")
    with opened(root) as project, project.ledger.change("turn ended") as ledger:
        ledger.amend("turn", {"n": 1}, state="done")
    _, records, unread = turned(root, with_types(recipe, x=then, label="string"))
    assert records.schema.field("x").type == kind
    assert records.num_rows == 3
    assert not unread


def stamped(root: Path, unit: str, first: int, name: str, n: int = 60) -> None:
    """Rows of which a time of that unit says the label."""
    when = [dt.datetime(2026, 1, 1) + dt.timedelta(hours=first + i) for i in range(n)]  # noqa: DTZ001  naive
    label = pa.array(["night" if w.hour < 12 else "day" for w in when])
    moments = pa.array([w.replace(day=1) for w in when], pa.timestamp(unit))
    pq.write_table(pa.table({"when": moments, "label": label}), root / "inbox" / name)


@pytest.mark.parametrize(("first", "then"), [("s", "us"), ("ms", "ns"), ("ns", "ms")])
def test_times_of_several_units_are_one_column(tmp_path: Path, first: str, then: str) -> None:
    root = founded(tmp_path / "p")
    for folder in ("data", "more"):
        (root / "inbox" / folder).mkdir(parents=True)
    sources = {"data": files("data/", rights="own"), "more": files("more/", rights="own")}
    task = Task(input="when", target="label", kind="table")
    train = table_boosted(trees=5, rounds=5)
    recipe = replace(
        bank(), task=task, sources=sources, checks={}, train=train, questions=None, exam=exam(None)
    )
    recipe = replace(recipe, surveys={"labels": label_errors()})
    stamped(root, first, 0, "data/a.parquet", 300)
    with opened(root) as project:
        assert run_turn(project, recipe)["serves"] is not None
        before = predicted(project, recipe)
    stamped(root, then, 5, "more/b.parquet")
    with opened(root) as project:
        told = run_turn(project, recipe)
        assert told["accounts"]["trained"] > 0
        assert predicted(project, recipe) == before, "what was learnt in one unit is read in any"


def predicted(project: Project, recipe: Recipe) -> list[str | None]:
    """What the first model says of two days in the unit of the newest records, as a service would ask it."""
    types = input_types(project.ledger, recipe.task)
    column, _ = cast(pa.array([f"2026-01-01T{hour:02d}:30:00" for hour in range(24)]), types["when"])
    version = project.ledger.value("select version from used order by n limit 1")
    model = artifacts.load(project.models / NAME / version / "judged")
    return model(Rows(pa.record_batch({"when": column}))).column("prediction").to_pylist()


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        (pa.array([dt.datetime(9999, 12, 31)], pa.timestamp("us")), pa.array([0], pa.timestamp("ns")), "us"),  # noqa: DTZ001
        (pa.array([2**53 + 1023]), pa.array([1.5]), "string"),
        (pa.array([2**53]), pa.array([1.5]), "double"),
    ],
)
def test_a_type_that_holds_both_has_to_hold_every_cell(one: pa.Array, other: pa.Array, kind: str) -> None:
    task = Task(input="x", target="label", kind="table")
    made = alike([pa.table({"x": one}), pa.table({"x": other})], task)
    whole = pa.concat_tables(made, promote_options="permissive").column("x")
    assert kind in str(whole.type)
    assert whole.null_count == 0


def test_what_the_recipe_declares_comes_first(log: tuple[Path, Recipe]) -> None:
    root, recipe = log
    turned(root, recipe)
    with opened(root) as project:
        assert known_types(project.ledger, TASK)["code"] == "string"
        assert state(project, with_types(recipe, code="int64"), 2).types["code"] == "int64"


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_type_s_name_says_it(kind: pa.DataType) -> None:
    assert arrow_type(name_of(kind)) == kind
    assert common(kind, kind) == kind
    column, misfit = cast(pa.array(["nonsense"]), name_of(kind))
    assert misfit.tolist() == [kind != pa.string()]
    assert column.null_count == (kind != pa.string())


def test_types_that_agree() -> None:
    assert agreed({"a": "int64", "b": "int64"}, {"a": "float64", "b": "string", "c": "bool"}) == {
        "a": "float64",
        "b": "string",
    }
    with pytest.raises(InputError):
        agreed({"a": "int64"}, {"a": "nonsense"})
