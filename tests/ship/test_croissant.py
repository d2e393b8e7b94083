"""Croissant: mlcroissant finds no fault, and reads the rows that pyarrow reads; nobody reaches a network."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bapsim.core.records import Task
from bapsim.ship.croissant import croissant, field_ids, license_of
from bapsim.ship.release import Wanted
from bapsim.store.project import opened
from bapsim.wheel.exporting import export
from tests.ship.given import brings, gathered, label_of

HOSTILE = 'a/b "c" <d>#?\n|%20\\'
TEXT = {"text": ["card lost", "", None, "a\nb|`"] * 3, "label": ["x", None, "y", "x"] * 3}
TABLE = {
    "i": pa.array([1, None, 3, 2**40] * 3),
    "small": pa.array([1, 2, None, -1] * 3, pa.int8()),
    "f": [1.5, None, float("nan"), -0.0] * 3,
    "b": [True, False, None, True] * 3,
    "at": pa.array([0, 1, None, 3] * 3, pa.timestamp("us")),
    "tags": pa.array([["a", "b"], [], None, ["c"]] * 3),
    "label": ["yes", "no", None, "no"] * 3,
}
KOREAN = {
    "글": ["안녕", None, "ㅋㅋ", "카드"] * 3,
    "영화 번호": ["007", "8", None, "9"] * 3,
    "감정": ["긍정", "부정", None, "긍정"] * 3,
}
STRANGE = {
    HOSTILE: ["p", "q", None, "r"] * 3,
    "split": ["s"] * 12,
    "..": [1] * 12,
    "@id": ["k", "l", "m", None] * 3,
}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and no git to run."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("it tried to reach a network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setenv("PATH", "")


@pytest.mark.usefixtures("alone")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # mlcroissant's own, about rdflib and pandas
@pytest.mark.parametrize(
    ("rows", "task", "lang"),
    [
        (TEXT, Task(input="text", target="label"), "en"),
        (TABLE, Task(input=("i", "small", "f", "b", "at", "tags"), target="label", kind="table"), "en"),
        (KOREAN, Task(input="글", target="감정"), "ko"),
        (STRANGE, Task(input=(HOSTILE, "split", ".."), target="@id", kind="table"), "en"),
    ],
    ids=["text", "table", "korean", "strange"],
)
def test_mlcroissant_reads_what_pyarrow_reads(
    rows: dict[str, Any], task: Task, lang: str, tmp_path: Path
) -> None:
    import mlcroissant

    recipe = gathered(tmp_path / "wheel", task, {"desk": brings(pa.record_batch(rows))})
    with opened(tmp_path / "wheel", writing=False) as project:
        export(project, recipe, Wanted(all_columns=True), tmp_path / "out", lang)
    dataset = mlcroissant.Dataset(str(tmp_path / "out" / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    assert not issues.warnings
    fields = {f.id: f.source.extract.column for f in dataset.metadata.record_sets[1].fields}
    read: dict[str, list[dict[str, Any]]] = {"train": [], "unlabelled": []}
    for row in dataset.records("default"):
        cells = {fields[key]: simple(value) for key, value in row.items()}
        read[cells.pop(None)].append(cells)
    for split, found in read.items():
        wanted = pq.read_table(tmp_path / "out" / "data" / f"{split}-00000.parquet").to_pylist()
        assert found == [{name: simple(value) for name, value in row.items()} for row in wanted]
        assert found


def simple(value: Any) -> Any:
    """A value as both sides have it: pandas has one word for null and nan, mlcroissant bytes for text."""
    if isinstance(value, list | np.ndarray):
        return [simple(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return None if np.isnan(value) else value
    return value.decode() if isinstance(value, bytes) else value


def test_every_file_is_named_with_its_checksum() -> None:
    said = croissant(label_of(), "en")
    files = [one for one in said["distribution"] if one["@type"] == "cr:FileObject"]
    assert [one["sha256"] for one in files] == ["0" * 64] * 2
    splits = said["recordSet"][0]
    assert [(row["splits/name"], row["splits/url"]) for row in splits["data"]] == [
        ("train", "cr:TrainingSplit"),
        ("test", "cr:TestSplit"),
    ]
    label = next(one for one in said["recordSet"][1]["field"] if one["name"] == "label")
    assert label["dataType"] == ["sc:Text", "cr:Label"]
    assert "exam" in " ".join(said["rai:dataLimitations"])
    assert json.dumps(said)


def test_names_that_an_iri_cannot_hold_get_another() -> None:
    names = ["text", "영화 번호", "a/b", "..", "split", "column-2", "", "한글.1"]
    found = field_ids(names)
    assert found["text"] == "text"
    assert found["한글.1"] == "한글.1"
    assert found["영화 번호"] == "column-2-2", "column-2 is somebody's"
    assert len(set(found.values())) == len(found)
    assert all(not set(one) & set(' /"<>#?') for one in found.values())


def test_licences_are_pages_where_spdx_has_one() -> None:
    assert license_of("cc by-sa 4.0") == "https://spdx.org/licenses/CC-BY-SA-4.0.html"
    assert license_of("Apache-2.0") == "https://spdx.org/licenses/Apache-2.0.html"
    assert license_of("own\n") == "own\\u000a"
