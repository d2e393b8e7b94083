"""The canonical form: equal values have equal bytes whatever their physical types, unequal ones never."""

import datetime
import itertools
import math
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.arrow import cells
from bapsim.core.errors import InputError

# Letters that a careless form would use as separators, next to Korean, NUL and an astral letter.
NASTY = st.text('ab1:;,\x1f\0"\\{}[] 가😀', max_size=6)
FEW = settings(max_examples=max(settings.default.max_examples // 5, 1))  # each casts a dozen times
SMALL = st.integers(-100, 100)
HALVES = st.floats(width=16)


def encoded(column):
    return column.dictionary_encode()


def cast(kind):
    return lambda column: column.cast(kind)


UNITS = ("s", "ms", "us", "ns")
FORMS = {
    "int": (
        st.integers(-128, 127),
        pa.int8(),
        [cast(t) for t in (pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64())]
        + [cast(pa.decimal128(9, 3)), cast(pa.decimal256(60, 3)), encoded],
    ),
    "unsigned": (st.integers(0, 2**64 - 1), pa.uint64(), [cast(pa.decimal128(20, 0)), encoded]),
    "float": (HALVES, pa.float64(), [cast(pa.float16()), cast(pa.float32()), encoded]),
    "text": (
        NASTY,
        pa.string(),
        [
            cast(pa.large_string()),
            cast(pa.string_view()),
            encoded,
            lambda c: encoded(c.cast(pa.large_string())),
        ],
    ),
    "bytes": (
        st.binary(min_size=2, max_size=2),
        pa.binary(),
        [cast(pa.large_binary()), cast(pa.binary_view()), cast(pa.binary(2)), encoded],
    ),
    "instant": (
        SMALL,
        pa.timestamp("s"),
        [cast(pa.timestamp(u)) for u in UNITS] + [cast(pa.timestamp("ns", "UTC"))],
    ),
    "date": (
        st.dates(datetime.date(1800, 1, 1)),
        pa.date32(),
        [cast(pa.date64()), cast(pa.timestamp("ms")), encoded],
    ),
    "time": (
        st.integers(0, 86399),
        pa.time32("s"),
        [cast(t) for t in (pa.time32("ms"), pa.time64("us"), pa.time64("ns"))],
    ),
    "span": (SMALL, pa.duration("s"), [cast(pa.duration(u)) for u in UNITS]),
    "bool": (st.booleans(), pa.bool_(), [encoded]),
    "texts": (st.lists(NASTY, max_size=3), pa.list_(pa.string()), [cast(pa.large_list(pa.large_string()))]),
    "numbers": (
        st.lists(st.none() | st.integers(-100, 100), min_size=2, max_size=2),
        pa.list_(pa.int8()),
        [cast(t) for t in (pa.list_(pa.float32()), pa.large_list(pa.int64()), pa.list_(pa.decimal128(9, 2)))]
        + [cast(pa.list_(pa.int8(), 2)), lambda c: pa.array(c.to_pylist(), pa.list_view(pa.int16()))],
    ),
    "moments": (
        st.lists(SMALL, max_size=2),
        pa.list_(pa.timestamp("s")),
        [cast(pa.list_(pa.timestamp(u))) for u in UNITS],
    ),
    "record": (
        st.fixed_dictionaries({"a": st.none() | SMALL, "b": st.none() | NASTY}),
        pa.struct([("a", pa.int8()), ("b", pa.string())]),
        [cast(pa.struct([("a", pa.int64()), ("b", pa.large_string())]))],
    ),
    "pairs": (
        st.dictionaries(NASTY, SMALL, max_size=2).map(lambda d: list(d.items())),
        pa.map_(pa.string(), pa.int8()),
        [cast(pa.map_(pa.large_string(), pa.int64()))],
    ),
}


def canonical(batch):
    offsets, body = cells(batch)
    return [bytes(body[a:b]) for a, b in itertools.pairwise(offsets)]


def of(*columns):
    return pa.record_batch(list(columns), names=[f"c{i}" for i in range(len(columns))])


@pytest.mark.parametrize("kind", FORMS)
@FEW
@given(data=st.data())
def test_the_physical_type_is_no_part_of_a_value(kind, data):
    values, base, others = FORMS[kind]
    column = pa.array(data.draw(st.lists(st.none() | values, min_size=1, max_size=5)), base)
    said = canonical(of(column))
    for other in others:
        assert canonical(of(other(column))) == said
    assert canonical(of(pa.concat_arrays([column, column])[len(column) :])) == said  # a slice, with an offset
    assert [s == b"" for s in said] == [v is None for v in column.to_pylist()]  # a null leaves no trace


@pytest.mark.parametrize("kind", FORMS)
@FEW
@given(data=st.data())
def test_equal_bytes_mean_equal_values(kind, data):
    values, base, _ = FORMS[kind]
    pair = data.draw(st.lists(st.none() | values, min_size=2, max_size=2))
    a, b = canonical(of(pa.array(pair, base)))
    assert (a == b) == (plain(pair[0]) == plain(pair[1]))


def plain(value):
    match value:
        case float() if math.isnan(value):
            return "nan"
        case dict():  # a null member of a struct is as good as absent
            return {k: v for k, v in value.items() if v is not None}
    return value


ROWS = st.dictionaries(NASTY, st.none() | NASTY, max_size=3)


@given(ROWS, ROWS)
def test_no_name_and_value_can_imitate_others(a, b):
    def one(row):
        names = list(row)
        return pa.record_batch([pa.array([row[n]], pa.string()) for n in names], names=names)

    said = [canonical(one(row)) if row else [b""] for row in (a, b)]
    assert (said[0] == said[1]) == ({k: v for k, v in a.items() if v is not None} == plain(b))


@given(st.permutations(list("abcd")), st.lists(NASTY, min_size=4, max_size=4))
def test_neither_order_of_columns_nor_empty_ones_matter(order, values):
    whole = pa.record_batch([pa.array([v]) for v in values], names=list("abcd"))
    other = (
        whole.select(order).append_column("zero", pa.nulls(1)).append_column("n", pa.nulls(1, pa.float64()))
    )
    assert canonical(other) == canonical(whole)


def test_examples_stay_what_they_are():
    """Ids on disk depend on these bytes: a change here makes every record a new one."""
    row = {
        "text": "가",
        "n": 7,
        "x": 0.5,
        "big": 2.0**60,
        "at": datetime.datetime(2026, 3, 1, 0, 0, 0, 500000, datetime.UTC),
        "money": Decimal("1.50"),
        "raw": b"\xff",
        "said": [{"role": "user", "n": 1.0}],
        "yes": True,
        "nothing": None,
    }
    (said,) = canonical(pa.RecordBatch.from_pylist([row]))
    assert said == (
        b"2:at\x1f20\x1f1772323200.500000000" b"3:big\x1f21\x1f0x1.0000000000000p+60"
        b"5:money\x1f3\x1f1.5" b"1:n\x1f1\x1f7" b"3:raw\x1f1\x1f\xff"
        b'4:said\x1f28\x1f[{"n": "1", "role": "user"}]' b"4:text\x1f3\x1f\xea\xb0\x80"
        b"1:x\x1f20\x1f0x1.0000000000000p-1" b"3:yes\x1f4\x1ftrue"
    )  # fmt: skip


def test_zero_has_no_sign_and_nan_is_a_value():
    zero, minus, nan, odd, null = canonical(of(pa.array([0.0, -0.0, math.nan, -math.nan, None])))
    assert zero == minus != nan == odd != null == b""
    assert len(set(canonical(of(pa.array([math.inf, -math.inf, math.nan, 5e-324, 0.0]))))) == 5


def test_long_numbers_are_not_rounded():
    digits = [Decimal("12345678901234567890123456789.1"), Decimal("12345678901234567890123456789.2")]
    assert len(set(canonical(of(pa.array(digits))))) == 2
    assert len(set(canonical(of(pa.array([2**53, 2**53 + 1]))))) == 2
    near = pa.array([0, 1, 1_000_000_000], pa.timestamp("ns"))
    assert len(set(canonical(of(near)))) == 3
    nested = pa.array([[0], [1]], pa.list_(pa.int64())).cast(pa.list_(pa.timestamp("ns")))
    assert len(set(canonical(of(nested)))) == 2
    whole = [Decimal("100"), Decimal("10"), Decimal("1")]
    assert len(set(canonical(of(pa.array(whole, pa.decimal128(5, 0)))))) == 3


def test_before_1970_time_runs_forward():
    assert canonical(of(pa.array([-1], pa.timestamp("ms")))) == [b"2:c0\x1f12\x1f-1.999000000"]


def test_bytes_that_are_no_text_stay_apart_inside_lists():
    lists = pa.array([[b"\xff"], [b"\xfe"], [b"\xc3\xbf"], ["ÿ".encode()]], pa.list_(pa.binary()))
    a, b, c, d = canonical(of(lists))
    assert len({a, b, c}) == 3
    assert c == d


def test_dictionaries_of_lists_and_nulls_in_nested():
    lists = pa.array([["a"], [None], []])
    column = pa.DictionaryArray.from_arrays(pa.array([0, None, 2, 1]), lists)
    assert canonical(of(column)) == canonical(of(pa.array([["a"], None, [], [None]])))
    assert len(set(canonical(of(column)))) == 4


def test_what_has_no_canonical_form_is_refused():
    runs = pa.RunEndEncodedArray.from_arrays([2], ["a"])
    spans = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    either = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    for column in (runs, spans, either):
        with pytest.raises(InputError) as caught:
            cells(of(column))
        assert caught.value.values == {"kind": str(column.type)}
        assert caught.value.key == "no_canonical_form"


def test_no_columns_and_no_rows():
    offsets, body = cells(pa.RecordBatch.from_pylist([{}, {}], schema=pa.schema([])))
    assert len(body) == 0
    assert not offsets.any()
    offsets, body = cells(pa.record_batch({"a": pa.array([], pa.float32())}))
    assert (offsets.tolist(), len(body)) == ([0], 0)
    offsets, body = cells(pa.record_batch({"a": pa.nulls(2)}))
    assert (offsets.tolist(), len(body)) == ([0, 0, 0], 0)


@given(st.dictionaries(NASTY, st.none() | NASTY, min_size=1, max_size=4))
def test_one_row_of_texts_is_as_among_others(row):
    names = list(row)
    schema = pa.schema([(name, pa.string()) for name in names])
    one = pa.RecordBatch.from_pylist([row], schema=schema)
    several = pa.RecordBatch.from_pylist([row, row], schema=schema)
    assert canonical(one) * 2 == canonical(several)
    assert canonical(one) == canonical(one.cast(pa.schema([(name, pa.large_string()) for name in names])))
    assert (cells(one)[0].dtype, len(cells(one)[0])) == (cells(several)[0].dtype, 2)
