"""The small parts of the core: arrow helpers, errors, turns and their seeds, restricted checks."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core import arrow, errors
from bapsim.core.errors import BapsimError, InputError, RecipeError, Waiting
from bapsim.core.recipe import Mixture, Only, only
from bapsim.core.records import Origin, Records, Task, abstained, verdicts
from bapsim.core.turn import Turn, named_seed
from bapsim.testing import mixture_of, records_of

TASK = Task(input="text", target="label")
SEED = 263528927260506515730789729073357221864  # of 'split', 1: runs on users' machines depend on it

# ------------------------------------------------------------------ arrow


def test_strings_and_numbers():
    assert arrow.strings(pa.array(["a", None])) == ["a", None]
    assert arrow.strings(pa.array(["a", None], pa.large_string()).dictionary_encode()) == ["a", None]
    assert arrow.strings(pa.array([7, None])) == ["7", None]
    assert arrow.numbers(pa.array([1, None]), -5).tolist() == [1, -5]
    assert np.isnan(arrow.numbers(pa.array([None], pa.int8()))).tolist() == [True]
    for missing in (True, False):
        assert arrow.booleans(pa.array([True, None, False]), missing).tolist() == [True, missing, False]
    assert arrow.valid(pa.array([1, None])).tolist() == [True, False]


def test_positions_say_where_or_minus_one():
    found = arrow.positions(pa.array(["b", "z", "a"]), pa.array(["a", "b"]))
    assert found.tolist() == [1, -1, 0]
    assert found.dtype == np.int64


@given(st.lists(st.booleans(), max_size=6))
def test_take_by_mask_is_take_by_position(mask):
    batch = pa.record_batch({"a": pa.array(range(len(mask)), pa.int64())})
    picked = np.flatnonzero(mask)
    assert arrow.take(batch, np.array(mask, bool)).equals(arrow.take(batch, picked))
    assert arrow.take(batch, picked.tolist()).column(0).to_pylist() == picked.tolist()


def test_concat_needs_a_schema_for_nothing():
    schema = arrow.schema(a=pa.int8(), b=pa.string())
    assert schema.names == ["a", "b"]
    assert (len(arrow.concat([], schema)), arrow.concat([], schema).schema) == (0, schema)
    with pytest.raises(ValueError, match="no schema"):
        arrow.concat([])
    one = pa.record_batch({"a": [1]})
    assert arrow.concat([one, one]).column(0).to_pylist() == [1, 1]


def test_ids_as_columns_and_as_bytes():
    column = arrow.ids_array(b"a" * 16 + b"b" * 16, 2)
    assert column.type == arrow.ID
    assert [i.tobytes() for i in arrow.id_bytes(column)] == [b"a" * 16, b"b" * 16]
    assert [i.tobytes() for i in arrow.id_bytes(column.slice(1))] == [b"b" * 16]
    assert len(arrow.id_bytes(column.slice(2))) == 0
    assert arrow.id_bytes(pa.array([], arrow.ID)).dtype == np.dtype("V16")


# ------------------------------------------------------------------ errors


def leaves(kind):
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in leaves(child))]


def test_the_tree_of_errors_is_the_one_that_is_drawn():
    drawn = errors.__doc__
    ours = [kind for kind in leaves(BapsimError) if kind.__module__ == errors.__name__]
    assert len(ours) == 11
    assert not [kind.__name__ for kind in ours if kind.__name__ not in drawn]
    assert issubclass(Waiting, errors.ExchangeError)


def test_an_error_speaks_both_languages():
    error = InputError("keys_do_not_fit", rows=2, keys=3, source="mine")
    assert str(error).splitlines()[0] == "2 rows came with 3 keys."
    assert len(str(error).splitlines()) == 3
    assert error.say("ko").splitlines()[0] == "행 2개에 키가 3개입니다."
    assert (error.key, error.values) == ("keys_do_not_fit", {"rows": 2, "keys": 3, "source": "mine"})


def test_a_text_may_be_one_line(monkeypatch):
    monkeypatch.setattr(errors, "messages", lambda: {"k": {"en": "{a} b", "ko": ["{a}", "", "c"]}})
    assert errors.text("k", a="{x}") == "{x} b"
    assert errors.text("k", "ko", a=1) == "1\nc"


# ------------------------------------------------------------------ turns

NAMES = st.lists(st.text(max_size=3) | st.integers(), max_size=3)


@given(NAMES, NAMES)
def test_seeds_by_name(a, b):
    same = [str(x) for x in a] == [str(x) for x in b]
    assert (named_seed(*a) == named_seed(*b)) == same
    assert 0 <= named_seed(*a) < 2**128


def test_a_seed_stays_what_it_is_and_each_purpose_has_its_own():
    assert named_seed("split", 1) == SEED
    turn = Turn(n=1, seed=0, task=TASK)
    assert turn.rng("a").integers(10**9) == turn.rng("a").integers(10**9)
    draws = {
        one.rng(*name).integers(10**12)
        for one in (turn, Turn(n=2, seed=0, task=TASK), Turn(n=1, seed=1, task=TASK))
        for name in (("a",), ("b",), ("a", "b"), ("a", 1))
    }
    assert len(draws) == 12


def test_seeds_are_the_same_in_every_process():
    script = "from bapsim.core.turn import named_seed; print(named_seed('split', 1))"
    made = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(made.stdout) == SEED


def made_by(source):
    return Origin(source=source, input_maker="person", target_maker="person", method="m", rights="own")


ORIGINS = {0: made_by("a"), 1: made_by("b"), 2: made_by("a")}


def test_origins_of_a_source():
    turn = Turn(n=1, seed=0, task=TASK, origins=ORIGINS)
    assert turn.origins_of("a") == {0, 2}
    assert turn.origins_of("z") == frozenset()


# ------------------------------------------------------------------ only, mixtures


def too_long(records, turn):
    size = np.array([len(t) for t in records.column("text").to_pylist()], float)
    return verdicts(size < 3, "long", value=size, limit=3)


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.sampled_from(["a", "aaaa"])), max_size=6))
def test_only_speaks_about_one_source(rows):
    turn = Turn(n=1, seed=0, task=TASK, origins=ORIGINS)
    schema = pa.schema([("text", pa.string())])
    records = records_of([{"text": t} for _, t in rows], schema=schema)
    column = pa.array([n for n, _ in rows], pa.int32())
    records = Records(records.set_column(records.schema.get_field_index("_origin"), "_origin", column))
    said = only("a", too_long)(records, turn)
    assert said.column("keep").to_pylist() == [None if n == 1 else len(t) < 3 for n, t in rows]
    everything, nothing = too_long(records, turn).to_pylist(), abstained(1).to_pylist()[0]
    assert said.to_pylist() == [
        nothing if n == 1 else row for (n, _), row in zip(rows, everything, strict=True)
    ]


def test_only_does_not_hide_a_missing_verdict():
    turn = Turn(n=1, seed=0, task=TASK, origins=ORIGINS)
    short = Only(source="a", check=lambda records, turn: abstained(len(records) - 1))
    with pytest.raises(RecipeError) as caught:
        short(records_of([{"text": "x"}, {"text": "y"}]), turn)
    assert caught.value.values == {"name": "only('a')", "rows": 2, "verdicts": 1}


def test_a_mixture_has_the_length_of_its_records():
    mixture = mixture_of([{"text": "x", "label": "y"}], TASK)
    assert len(mixture) == 1
    assert isinstance(mixture, Mixture)


def test_tokens_tell_values_apart():
    bodies = [b"\xff\x00", b"\xff\x00", b"\xff", b"", None]
    for kind in (pa.binary(), pa.large_binary()):
        a, b, c, d, e = arrow.tokens(pa.array(bodies, kind))
        assert a == b
        assert len({a, c, d}) == 3
        assert e is None
    assert arrow.tokens(pa.array([7, None])) == ["7", None]
