"""Drawn rows: whose children they are, what is said of their maker, and when nothing is drawn."""

import numpy as np
import pytest

from bapsim.core.errors import InputError
from bapsim.core.recipe import Mixture
from bapsim.core.records import Records, Task, derive, rows_of
from bapsim.core.turn import Turn
from bapsim.gather.drawn import drawn_by
from bapsim.testing import check_source, records_of, turn_of
from bapsim.train.table_copula import table_copula
from bapsim.train.table_smote import table_smote

TASK = Task(input=("x", "c"), target="label", kind="table")
COPULA = table_copula()


def people(n: int = 60, rare: int = 12) -> Records:
    rng = np.random.default_rng(0)
    return records_of(
        [
            {
                "x": float(rng.normal(9 if i < rare else 0)),
                "c": "p" if i < rare else str(rng.choice(["q", "r"])),
                "label": "rare" if i < rare else "fine",
                "note": f"row {i}",
            }
            for i in range(n)
        ]
    )


def turn(records: Records, trainer=COPULA, seed: int = 0, **more) -> Turn:
    base = turn_of(TASK, records, seed=seed)
    model = trainer(None, Mixture(task=TASK, records=records), 0)
    given = {"n": 1, "seed": seed, "task": TASK, "data": base.data, "origins": base.origins}
    return Turn(**given | {"models": {"drawer": model}} | more)


def test_drawn_rows_are_children_of_the_closest_real_row_of_their_class():
    records = people()
    source, now = drawn_by("drawer", only=("rare",), count=40), turn(records)
    check_source(source, now)
    (draft,) = source(now)
    assert draft.rows.schema.names == ["x", "c", "label"]
    assert len(draft.rows) == 40
    assert set(draft.rows.column("label").to_pylist()) == {"rare"}
    assert draft.parents.input_depth.to_pylist() == draft.parents.target_depth.to_pylist() == [1] * 40
    assert draft.origin.method.startswith("drawn:drawer:")
    assert (draft.origin.input_maker, draft.origin.target_maker) == ("machine", "machine")
    ids, x = records.column("_id").to_pylist(), np.array(records.column("x"))
    for made, (mum,) in zip(np.array(draft.rows.column("x")), draft.parents.ids.to_pylist(), strict=True):
        assert ids.index(mum) < 12
        assert abs(x[ids.index(mum)] - made) == pytest.approx(np.abs(x[:12] - made).min())


def test_the_same_generator_fills_an_order_once_and_another_anew():
    records = people()
    source = drawn_by("drawer", only=("rare",), count=5)
    first, later = (next(iter(source(turn(records, n=n)))) for n in (1, 7))
    assert first.rows.equals(later.rows)
    assert first.keys == later.keys
    assert first.origin == later.origin
    other = next(iter(source(turn(records, table_smote()))))
    assert other.origin.method != first.origin.method
    assert not next(iter(source(turn(records, seed=1)))).rows.equals(first.rows)


def test_nothing_is_drawn_where_there_is_no_generator_or_nothing_to_be_a_child_of():
    records = people()
    source = drawn_by("drawer")
    (both,) = source(turn(records))
    assert both.rows.column("label").to_pylist() == ["fine"] * 100 + ["rare"] * 100
    assert list(source(turn(records, models={}))) == []
    assert list(source(turn(records, data={}))) == []
    assert list(drawn_by("drawer", count=0)(turn(records))) == []
    common = turn_of(TASK, Records(records.slice(12)))
    (one,) = source(turn(records, data=common.data))
    assert set(one.rows.column("label").to_pylist()) == {"fine"}
    with pytest.raises(InputError, match="never seen"):
        list(drawn_by("drawer", only=("fray",))(turn(records)))
    with pytest.raises(InputError, match="cannot be drawn"):
        drawn_by("drawer", count=-1)


def test_machines_rows_are_nobodys_parents():
    records = people()
    draft = next(iter(drawn_by("drawer", only=("rare",), count=30)(turn(records))))
    made = derive(
        records, [[0]] * 30, draft.rows, changed=frozenset({"input", "target"}), origin=draft.origin
    )
    assert made.parents is not None
    assert set(made.parents.input_depth.to_pylist()) == {1}
    whole = turn(records)
    machine = records_of(rows_of(records, ["x", "c", "label", "note"]).to_pylist(), maker="machine")
    both = turn_of(TASK, records, machine)
    again = next(iter(drawn_by("drawer", only=("rare",), count=30)(turn(records, data=both.data))))
    assert again.parents.ids.to_pylist() == draft.parents.ids.to_pylist()
    assert again.rows.equals(draft.rows)
    assert whole.models.keys() == {"drawer"}
