"""Malformed files, in small; `benchmarks/abuse.py` runs thousands, each in a process of its own."""

import importlib
import itertools
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
abuse = importlib.import_module("abuse")
sys.path.pop(0)


def check(case, folder: Path, through=abuse.through_source):
    inbox = folder / "inbox"
    inbox.mkdir()
    case.make(inbox / case.name)
    found = abuse.outcome(case, inbox, through)
    assert not found.wrong, f"{case.kind} {case.name!r}: {found.wrong}"
    return found


@pytest.mark.parametrize("part", range(6))
def test_mutated_files(tmp_path, part):
    """Other seeds than the benchmark's."""
    for i, case in enumerate(
        itertools.chain(abuse.mutants(20, 100 + part), abuse.columnar_mutants(5, 200 + part))
    ):
        (tmp_path / str(i)).mkdir()
        check(case, tmp_path / str(i))


def test_files_by_hand(tmp_path):
    said = {}
    for i, (name, body) in enumerate(abuse.texts_by_hand()):
        (tmp_path / str(i)).mkdir()
        said[name] = check(abuse.Case("by hand", name, abuse.put(body)), tmp_path / str(i))
    assert said["ragged.csv"].unread == {"cells": 2}
    assert said["formulas.csv"].rows == 4
    assert said["half.jsonl"].unread == {"encoding": 3}
    assert said["deep.jsonl"].rows == 1
    assert said["zip.csv"].said == "error workbook"


def test_sheets_of_answers(tmp_path):
    for i, (name, body) in enumerate(abuse.texts_by_hand()):
        (tmp_path / str(i)).mkdir()
        check(abuse.Case("by hand", name, abuse.put(body)), tmp_path / str(i), abuse.through_answers)


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(abuse.TEXTS)),
    st.lists(st.binary(max_size=20) | st.sampled_from([b'"', b"\0", b"[{"])),
)
def test_any_bytes(tmp_path_factory, ending, parts):
    case = abuse.Case("any bytes", f"a{ending}", abuse.put(b"\n".join(parts)))
    check(case, tmp_path_factory.mktemp("any"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dictionary.parquet", "rows.csv.zst"])
def test_bombs_do_not_fill_the_memory(name):
    """In a process of its own: the peak is that of the interpreter and one chunk."""
    case = next(case for case in abuse.by_hand() if case.name == name)
    found = abuse.apart(case)
    assert found.said == "error expands"
    assert found.wrong == ""
    assert found.megabytes < 600
