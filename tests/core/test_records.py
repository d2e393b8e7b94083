"""Certificates: ids, keys, depths and lineage; verdicts."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.arrow import concat, id_bytes
from bapsim.core.errors import InputError
from bapsim.core.records import (
    CERTIFICATE,
    SERVICE_LOG,
    VERDICT,
    Draft,
    Numbering,
    Origin,
    Records,
    Rows,
    Task,
    abstained,
    certify,
    derive,
    identify,
    rows_of,
    source,
    verdicts,
)

SECRET = b"k" * 32
NASTY = st.text('ab0\x00\x1f:"[], 가', max_size=5)
MAKERS = ("person", "machine", "unknown")
BOTH = frozenset({"input", "target"})


def origin(name="s", method="file", who="person", target=None):
    return Origin(
        source=name,
        input_maker=who,
        target_maker=who if target is None else target,
        method=method,
        rights="own",
    )


def rows(*texts, **more):
    return Rows(pa.record_batch({"text": pa.array(texts, pa.string()), **more}))


def records(*texts, who="person", target=None, keys=None):
    draft = Draft(rows=rows(*texts), origin=origin(who=who, target=target), keys=keys)
    return certify(draft, secret=SECRET, origin=3, numbering=Numbering())


def ids(draft, secret=SECRET, numbering=None):
    return identify(draft, secret=secret, numbering=numbering or Numbering())[0].to_pylist()


def with_depths(input_depth, target_depth):
    """Records as long use may have left them."""
    whole = records(*[f"r{i}" for i in range(len(input_depth))])
    for name, values in (("_input_depth", input_depth), ("_target_depth", target_depth)):
        whole = whole.set_column(whole.schema.get_field_index(name), name, pa.array(values, pa.int8()))
    return Records(whole)


def depths(draft):
    made = certify(draft, secret=SECRET, origin=0, numbering=Numbering())
    return list(
        zip(made.column("_input_depth").to_pylist(), made.column("_target_depth").to_pylist(), strict=True)
    )


# ------------------------------------------------------------------ identity


@given(st.tuples(NASTY, NASTY, NASTY, NASTY), st.tuples(NASTY, NASTY, NASTY, NASTY))
def test_ids_are_equal_only_if_value_source_method_and_key_are(a, b):
    def one(text, name, method, key):
        return ids(Draft(rows=rows(text), origin=origin(name, method), keys=[key]))

    assert (one(*a) == one(*b)) == (a == b)


@given(st.sets(st.integers(0, 5), min_size=1), st.sets(st.integers(0, 5), min_size=1))
def test_parents_are_part_of_the_id_and_their_order_is_not(a, b):
    mothers = records(*"abcdef")

    def child(of, key="0"):
        draft = derive(mothers, [of], rows("x"), changed=BOTH, origin=origin(), keys=[key])
        return ids(draft)

    assert (child(sorted(a)) == child(sorted(b))) == (a == b)
    assert child(sorted(a)) == child(sorted(a, reverse=True)) == child(sorted(a) * 2)
    assert child(sorted(a)) != ids(Draft(rows=rows("x"), origin=origin(), keys=["0"]))


def test_nobody_can_guess_ids_without_the_key():
    draft = Draft(rows=rows("010-1234-5678"), origin=origin())
    assert ids(draft, secret=b"a" * 32) != ids(draft, secret=b"b" * 32)


def test_rights_and_makers_are_no_part_of_the_id():
    """A licence is mended, a consent withdrawn: the record stays the record."""
    draft = Draft(rows=rows("x"), origin=origin())
    other = Origin(
        source="s", input_maker="unknown", target_maker="machine", method="file", rights="?", consent="c"
    )
    assert ids(draft) == ids(Draft(rows=rows("x"), origin=other))


def test_an_id_stays_what_it_is():
    """Ids are on users' disks: a change of this value makes every record there a new one."""
    assert ids(Draft(rows=rows("밥심"), origin=origin()))[0].hex() == "bef71a1d4c4ebade615f7e87ea296fcf"


@given(st.lists(st.sampled_from("ab"), max_size=12), st.lists(st.integers(1, 5), max_size=6))
def test_identical_rows_are_numbered_and_a_second_pass_finds_the_same(texts, cuts):
    def passed(sizes):
        numbering, found, keys = Numbering(), [], []
        start = 0
        for size in [*sizes, len(texts)]:
            part = texts[start : start + size]
            start += len(part)
            made, said = identify(
                Draft(rows=rows(*part), origin=origin()), secret=SECRET, numbering=numbering
            )
            found += made.to_pylist()
            keys += said.to_pylist()
        return found, keys

    found, keys = passed([])
    assert len(set(found)) == len(texts)
    assert keys == [str(texts[:i].count(text)) for i, text in enumerate(texts)]
    assert passed(cuts) == (found, keys)  # however the rows are cut into drafts


def test_numbering_counts_by_source_method_and_parents():
    numbering = Numbering()
    keys = [
        identify(draft, secret=SECRET, numbering=numbering)[1].to_pylist()
        for draft in (
            Draft(rows=rows("x", "x"), origin=origin()),
            Draft(rows=rows("x"), origin=origin("other")),
            Draft(rows=rows("x"), origin=origin(method="other")),
            derive(records("p"), [[0]], rows("x"), changed=BOTH, origin=origin()),
            Draft(rows=rows("x"), origin=origin()),
        )
    ]
    assert keys == [["0", "1"], ["0"], ["0"], ["0"], ["2"]]


def test_a_row_without_its_own_key_is_numbered():
    draft = Draft(rows=rows("x", "x", "x"), origin=origin(), keys=["a", None, None])
    assert identify(draft, secret=SECRET, numbering=Numbering())[1].to_pylist() == ["a", "0", "1"]
    assert len(set(ids(draft))) == 3


# ------------------------------------------------------------------ certificates


def test_a_certificate_follows_the_rows():
    made = records("x", "y", who="machine", target="person", keys=["k1", "k2"])
    assert made.schema.names == ["text", *CERTIFICATE.names]
    assert made.schema.field("_id").type == pa.binary(16)
    first = made.to_pylist()[0]
    assert first.pop("_id") == id_bytes(made.column("_id"))[0].tobytes()
    assert first == {
        "text": "x",
        "_origin": 3,
        "_key": "k1",
        "_input_depth": 1,
        "_target_depth": 0,
        "_parents": None,
    }


def test_no_rows_have_no_certificates():
    assert len(records()) == 0
    assert len(derive(records("a"), [], rows(), changed=BOTH, origin=origin()).rows) == 0


@pytest.mark.parametrize(("maker", "depth"), [("person", 0), ("machine", 1), ("unknown", None)])
def test_first_depth(maker, depth):
    assert depths(Draft(rows=rows("x"), origin=origin(who=maker))) == [(depth, depth)]


def refused(**draft):
    with pytest.raises(InputError) as caught:
        certify(Draft(origin=origin(), **draft), secret=SECRET, origin=0, numbering=Numbering())
    return caught.value.key, caught.value.values


def test_what_cannot_be_certified_is_said():
    reserved = Rows(pa.record_batch({"_id": ["x"], "_x": ["y"], "a": ["z"]}))
    assert refused(rows=reserved) == ("reserved_column", {"columns": "_id, _x"})
    twice = Rows(pa.RecordBatch.from_arrays([pa.array(["x"])] * 3, names=["b", "a", "b"]))
    assert refused(rows=twice) == ("column_twice", {"columns": "b"})
    assert refused(rows=rows("x"), keys=["a", "b"]) == (
        "keys_do_not_fit",
        {"rows": 1, "keys": 2, "source": "s"},
    )
    for key in ("\ud800", 7):
        said, values = refused(rows=rows("x"), keys=[key])
        assert said == "key_is_not_text"
        assert values["source"] == "s"


# ------------------------------------------------------------------ depth

# part, maker, changed -> what becomes of depths 0, 2 and unknown
TABLE = {
    ("input", "person", True): (0, 2, None),  # an edit does not undo machine hands
    ("input", "machine", True): (1, 3, None),
    ("input", "unknown", True): (None, None, None),
    ("target", "person", True): (0, 0, 0),  # a person's answer is a person's answer
    ("target", "machine", True): (1, 3, None),
    ("target", "unknown", True): (None, None, None),
} | {(part, maker, False): (0, 2, None) for part in ("input", "target") for maker in MAKERS}


@pytest.mark.parametrize(("part", "maker", "changed"), TABLE)
def test_the_rule_of_depth(part, maker, changed):
    mothers = with_depths([0, 2, None], [0, 2, None])
    who = origin(who=maker)
    draft = derive(
        mothers,
        [[0], [1], [2]],
        rows(*"xyz"),
        changed=frozenset({part}) if changed else frozenset(),
        origin=who,
    )
    at = 0 if part == "input" else 1
    assert tuple(pair[at] for pair in depths(draft)) == TABLE[part, maker, changed]
    assert [pair[1 - at] for pair in depths(draft)] == [0, 2, None]  # the part that stayed keeps its depth
    assert draft.changed == (frozenset({part}) if changed else frozenset())


DEPTH = st.none() | st.integers(0, 127)


@given(st.lists(st.tuples(DEPTH, DEPTH), min_size=1, max_size=5), st.data())
def test_laws_of_depth(pairs, data):
    mothers = with_depths(*zip(*pairs, strict=True))
    of = data.draw(
        st.lists(st.lists(st.integers(0, len(pairs) - 1), min_size=1, max_size=3), min_size=1, max_size=4)
    )
    changed = data.draw(st.frozensets(st.sampled_from(sorted(BOTH))))
    kinds = data.draw(st.tuples(*[st.sampled_from(MAKERS)] * 2))
    draft = derive(
        mothers, of, rows(*["x"] * len(of)), changed=changed, origin=origin(who=kinds[0], target=kinds[1])
    )
    for mums, after in zip(of, depths(draft), strict=True):
        for part, maker, at in (("input", kinds[0], 0), ("target", kinds[1], 1)):
            before = [pairs[m][at] for m in mums]
            if part == "target" and maker == "person" and part in changed:
                assert after[at] == 0
            elif None in before or (maker == "unknown" and part in changed):  # unknown propagates
                assert after[at] is None
            else:
                step = maker == "machine" and part in changed
                assert after[at] == min(max(before) + step, 127)


@given(st.lists(st.tuples(st.sampled_from(MAKERS), st.frozensets(st.sampled_from(sorted(BOTH)))), max_size=6))
def test_an_input_never_loses_machine_hands(steps):
    """Whatever is done to a record, the depth of its input never falls, and unknown stays unknown."""
    current, before = records("x", who="machine"), 1
    for maker, changed in steps:
        draft = derive(current, [[0]], rows("y"), changed=changed, origin=origin(who=maker))
        current = certify(draft, secret=SECRET, origin=0, numbering=Numbering())
        after = current.column("_input_depth").to_pylist()[0]
        assert after is None if before is None else (after is None or after >= before)
        before = after


def test_a_mother_is_named_once_in_order_of_ids():
    mothers = records("a", "b")
    draft = derive(mothers, [[1, 0, 1]], rows("x"), changed=BOTH, origin=origin())
    assert draft.parents.ids.to_pylist() == [sorted(mothers.column("_id").to_pylist())]


def test_lineage_that_does_not_fit():
    mothers = records("a", "b")
    for of in ([[0]], [[0], []], [[0], [1], [0]]):
        with pytest.raises(InputError) as caught:
            derive(mothers, of, rows("x", "y"), changed=BOTH, origin=origin())
        assert (caught.value.key, caught.value.values) == (
            "lineage_does_not_fit",
            {"rows": 2, "parents": len(of)},
        )
    for position in (-1, 2):
        with pytest.raises(InputError) as caught:
            derive(mothers, [[0], [position]], rows("x", "y"), changed=BOTH, origin=origin())
        assert (caught.value.key, caught.value.values) == (
            "parent_not_there",
            {"position": position, "records": 2},
        )


# ------------------------------------------------------------------ verdicts, tasks, rows


def test_verdicts_give_a_reason_only_where_they_refuse():
    said = verdicts(np.array([True, False, False]), "short", value=np.array([5.0, 1.0, np.nan]), limit=2)
    assert said.schema == VERDICT
    assert said.to_pylist() == [
        {"keep": True, "reason": None, "value": 5.0, "limit": 2.0},
        {"keep": False, "reason": "short", "value": 1.0, "limit": 2.0},
        {"keep": False, "reason": "short", "value": None, "limit": 2.0},
    ]
    mixed = verdicts(np.array([False, True]), ["a", "b"])
    assert mixed.column("reason").to_pylist() == ["a", None]
    assert mixed.column("value").null_count == mixed.column("limit").null_count == 2
    with pytest.raises(ValueError, match="shorter"):
        verdicts(np.array([False, True]), ["a"])


def test_an_abstention_says_nothing():
    assert abstained(2).to_pylist() == [dict.fromkeys(VERDICT.names)] * 2
    assert concat([abstained(2), verdicts(np.array([True]), "x")]).schema == VERDICT


def test_a_task_names_its_columns_once():
    task = Task(input=("a", "b"), target="y", group="a", time="t", slices=("y", "s"))
    assert task.inputs == ("a", "b")
    assert task.columns == ("a", "b", "y", "s", "t")
    assert Task(input="a", target="y").inputs == ("a",)
    assert Task(input="a", target="y").columns == ("a", "y")


def test_rows_of_leaves_certificates_behind():
    made = records("x")
    assert rows_of(made).schema.names == ["text"]
    assert rows_of(made, ["_key"]).to_pylist() == [{"_key": "0"}]


def test_a_plain_function_makes_a_draft():
    draft = source(rows("x"), name="mine", maker="unknown", rights="?")
    assert draft.origin == Origin(
        source="mine", input_maker="unknown", target_maker="unknown", method="function", rights="?"
    )
    assert draft.keys is draft.parents is None
    assert draft.unread == ()


def test_a_log_line_has_a_certificate_of_its_own():
    """One schema for every service; the columns are the ones that the loop reads."""
    wanted = "request at deployment purpose model input prediction confidence in_scope out_of_scope"
    assert set(SERVICE_LOG.names) == {*wanted.split(), "correction", "thumbs", "consent", "by", "comment"}
    assert {str(f.type) for f in SERVICE_LOG} == {"string", "float", "bool", "int8", "timestamp[us, tz=UTC]"}
    assert not [name for name in SERVICE_LOG.names if name.startswith("_")]


def test_the_four_makers_times_two_parts_are_all_in_the_table():
    assert set(TABLE) == set(itertools.product(("input", "target"), MAKERS, (True, False)))
