"""Malformed files, in small; `benchmarks/abuse.py` runs thousands, each in a process of its own."""

import importlib
import itertools
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
abuse, made, sources = map(importlib.import_module, ("abuse", "abuse_cases", "abuse_sources"))
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
        itertools.chain(made.mutants(20, 100 + part), made.columnar_mutants(5, 200 + part))
    ):
        (tmp_path / str(i)).mkdir()
        check(case, tmp_path / str(i))


def test_mutated_workbooks_logs_and_votes(tmp_path):
    kinds = (sources.workbook_mutants(20, 300), sources.log_mutants(30, 400), sources.vote_mutants(15, 500))
    for i, case in enumerate(itertools.chain(*kinds)):
        (tmp_path / str(i)).mkdir()
        check(case, tmp_path / str(i))


def test_sources_by_hand(tmp_path):
    slow = {
        "cells.xlsx",
        "texts.xlsx",
        "sheets.xlsx",
        "rows.xlsx",
        "again.jsonl",
        "zeros.xlsx",
        "consents.jsonl",
    }
    said = {}
    for i, case in enumerate(one for one in sources.sources_by_hand() if one.name not in slow):
        if case.kind.endswith("bomb") or ".." in case.name or case.name in ("long.jsonl", "bomb.jsonl.gz"):
            continue  # the benchmark runs these, each in a process of its own
        (tmp_path / str(i)).mkdir()
        said[case.name] = check(case, tmp_path / str(i)).said
    assert (said["locked.xlsx"], said["old.xlsx"]) == ("error locked_workbook", "error old_workbook")
    assert said["packed.xlsx.gz"] == said["html.xlsx"] == "error not_workbook"


def test_files_by_hand(tmp_path):
    said = {}
    for i, (name, body) in enumerate(made.texts_by_hand()):
        (tmp_path / str(i)).mkdir()
        said[name] = check(made.Case("by hand", name, made.put(body)), tmp_path / str(i))
    assert said["ragged.csv"].unread == {"cells": 2}
    assert said["formulas.csv"].rows == 4
    assert said["half.jsonl"].unread == {"encoding": 3}
    assert said["deep.jsonl"].rows == 1
    assert said["zip.csv"].said == "error workbook"
    assert said["unknown.xlsx"].said == "error not_workbook"


def test_sheets_of_answers(tmp_path):
    for i, (name, body) in enumerate(made.texts_by_hand()):
        (tmp_path / str(i)).mkdir()
        check(made.Case("by hand", name, made.put(body)), tmp_path / str(i), abuse.through_answers)


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(made.TEXTS)),
    st.lists(st.binary(max_size=20) | st.sampled_from([b'"', b"\0", b"[{"])),
)
def test_any_bytes(tmp_path_factory, ending, parts):
    case = made.Case("any bytes", f"a{ending}", made.put(b"\n".join(parts)))
    check(case, tmp_path_factory.mktemp("any"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dictionary.parquet", "rows.csv.zst", "often.xlsx"])
def test_bombs_do_not_fill_the_memory(name):
    """In a process of its own: the peak is that of this one, which may have run many tests, and one chunk."""
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    here = pages * os.sysconf("SC_PAGE_SIZE") >> 20
    cases = itertools.chain(made.by_hand(), sources.sources_by_hand())
    case = next(case for case in cases if case.name == name)
    found = abuse.apart(case)
    assert found.said == "error expands"
    assert found.wrong == ""
    assert found.megabytes - here < 400
