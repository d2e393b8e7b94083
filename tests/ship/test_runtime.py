"""The runtime that devices get: the same features bit for bit, the same answers, and nothing of bapsim."""

import ast
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.ship import runtime
from bapsim.ship.pack import DEVICE
from bapsim.text import features
from bapsim.text.features import Spec
from bapsim.text.targets import joined
from bapsim.train.student import Student, bucketed
from tests.ship.shipped import STRINGS, made, put, reduced, rows
from tests.text.test_features import ODD, in_c, in_javascript

TEXTS = st.lists(
    st.text(
        st.one_of(st.sampled_from("ab카드 \n.e\u0301\u1112\u1161\u11abㅋ!"), st.characters()), max_size=30
    ),
    min_size=1,
    max_size=5,
)
KINDS = ("class", "labels", "number")


def device_features(answer: str, student: bool = False) -> runtime.Features:
    return runtime.Features(made(answer, student).parts.features())


@settings(max_examples=150)
@given(TEXTS)
def test_features_are_those_of_bapsim_bit_for_bit(texts):
    model = made("class").model
    columns, values, coverage = DEVICE_FEATURES(texts)
    entries, expected = model.vectorise(texts)
    ends = np.searchsorted(entries.groups, 2 * np.arange(len(texts) + 1))
    for i, (a, b) in enumerate(pairwise(ends)):
        assert columns[i, : b - a].tolist() == entries.columns[a:b].tolist()
        assert values[i, : b - a].tobytes() == expected[a:b].tobytes()
        assert not values[i, b - a :].any()
    assert coverage.tolist() == entries.coverage.tolist()


@settings(max_examples=60)
@given(TEXTS, st.sampled_from([16, 1 << 10, 1 << 14]))
def test_a_students_features_are_those_of_bapsim_bit_for_bit(texts, buckets):
    spec = Spec()
    device = runtime.Features(made("class", True).parts.features())
    device.buckets = buckets
    columns, values, _ = device(texts)
    x = bucketed(texts, spec, buckets)
    for i, (a, b) in enumerate(pairwise(x.indptr)):
        assert columns[i, : b - a].tolist() == x.indices[a:b].tolist()
        assert values[i, : b - a].tobytes() == x.data[a:b].tobytes()


DEVICE_FEATURES = device_features("class")


def test_what_is_remembered_changes_nothing(monkeypatch):
    monkeypatch.setattr(runtime, "REMEMBERED", 3)
    forgetful = runtime.Features(made("class").parts.features())
    for got, expected in zip(forgetful(ODD), DEVICE_FEATURES(ODD), strict=True):
        assert got.tobytes() == expected.tobytes()


def test_one_text_at_a_time_is_the_same():
    columns, values, coverage = DEVICE_FEATURES(ODD)
    for i, text in enumerate(ODD):
        one = DEVICE_FEATURES([text])
        used = one[0].shape[1]
        assert one[0][0].tolist() == columns[i, :used].tolist()
        assert one[1][0].tobytes() == values[i, :used].tobytes()
        assert one[2][0] == coverage[i]


@pytest.mark.parametrize("target", ["onnx", "folder"])
@pytest.mark.parametrize("answer", KINDS)
def test_every_answer_is_that_of_the_model(answer, target, tmp_path):
    one = made(answer)
    device = runtime.Model(put(one.parts, target, tmp_path))
    texts = [*one.texts, *STRINGS, *ODD]
    expected = one.model(rows(texts))
    whole = [t.encode("utf-8", "replace").decode() for t in texts]
    said = [answered for at in range(0, len(whole), 7) for answered in device(whole[at : at + 7])]
    for key in ("confidence", "in_scope"):
        got = np.array([row[key] for row in said])
        assert np.abs(got - expected.column(key).to_numpy()).max() <= 2e-7
    told = expected.column("prediction").to_pylist()
    if answer == "number":
        for key in ("prediction", "low", "high"):
            got = np.array([row[key] for row in said])
            assert np.abs(got - expected.column(key).to_numpy()).max() <= 1e-9
    elif answer == "labels":
        assert [joined(row["prediction"]) for row in said] == told
    else:
        assert [row["prediction"] for row in said] == told


@pytest.mark.parametrize("answer", KINDS)
def test_a_students_file_answers_as_the_student(answer, tmp_path):
    one = made(answer, True)
    assert isinstance(one.model, Student)
    device = runtime.Model(put(one.parts, "student", tmp_path))
    texts = [t.encode("utf-8", "replace").decode() for t in [*one.texts, *STRINGS]]
    expected, said = one.model(rows(texts)), device(texts)
    scope = np.array([row["in_scope"] for row in said])
    assert np.abs(scope - expected.column("in_scope").to_numpy()).max() <= 2e-7
    told = expected.column("prediction").to_pylist()
    got = [joined(row["prediction"]) if answer == "labels" else row["prediction"] for row in said]
    assert got == (told if answer != "number" else pytest.approx(told, abs=1e-9))


def test_int8_is_a_quarter_and_answers_alike(tmp_path):
    one = made("class")
    full, less = put(one.parts, "onnx", tmp_path / "a"), put(reduced(one), "onnx-int8", tmp_path / "b")
    texts = list(one.texts)
    before, after = (runtime.Model(folder).raw(texts)[0].argmax(1) for folder in (full, less))
    assert (before == after).mean() >= 0.99
    table = one.parts.table.nbytes
    saved = (full / "head.onnx").stat().st_size - (less / "head.onnx").stat().st_size
    assert saved >= 0.75 * table - 200


def test_the_runtime_imports_numpy_and_nothing_that_a_device_lacks():
    tree = ast.parse(Path(runtime.__file__).read_text("utf-8"))
    named = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    named |= {str(n.module).split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert named - set(sys.stdlib_module_names) == {"numpy", "onnxruntime"}


def test_the_command_answers_lines_in_a_process_of_its_own(tmp_path):
    one = made("class")
    folder = put(one.parts, "onnx", tmp_path)
    command = [sys.executable, "-I", "-B", str(folder / "bapsim_runtime.py")]
    told = one.model(rows(["카드 lost", "loan rate"])).column("prediction").to_pylist()
    asked = "카드 lost\nloan rate\n".encode()
    done = subprocess.run([*command, str(folder)], input=asked, capture_output=True, check=True, timeout=60)
    assert [json.loads(line)["prediction"] for line in done.stdout.splitlines()] == told
    asked = b'"one\\ntwo"\nno\n"\\ud800"\n\n5\n'
    done = subprocess.run(
        [*command, "--json", str(folder)], input=asked, capture_output=True, check=True, timeout=60
    )
    assert ["error" in json.loads(line) for line in done.stdout.splitlines()] == [
        False,
        True,
        False,
        True,
        True,
    ]
    done = subprocess.run(
        [*command, "--json", "--measure", str(folder)],
        input=asked,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"not measured: no JSON" in done.stderr
    assert b"Traceback" not in done.stderr
    done = subprocess.run([*command, "--what"], capture_output=True, check=False, timeout=60)
    assert done.returncode == 2
    assert b"bapsim_runtime.py" in done.stderr


def test_each_line_has_its_answer_in_its_place(tmp_path):
    device = runtime.Model(put(made("class").parts, "onnx", tmp_path))
    lines = runtime.lines_of(b"\xef\xbb\xbfcard lost\r\n\n\xff\nloan rate")
    first, blank, broken, last = runtime.answers(device, lines)
    assert [first, blank, last] == device(["card lost", "", "loan rate"])
    assert blank["in_scope"] == 0
    assert "utf-8" in broken["error"]
    assert runtime.lines_of(b"") == []


def test_c_and_javascript_lie_where_they_are_shipped_from():
    assert {p.name for p in DEVICE.iterdir()} >= {"features.c", "features.js", "index.html"}
    assert features.Spec().json()["fold"] in json.dumps(made("class").parts.about())


@pytest.mark.parametrize("program", [in_c, in_javascript])
def test_other_languages_compute_a_students_features(program, tmp_path, monkeypatch):
    one = made("class", True)
    (tmp_path / "features.bin").write_bytes(one.parts.features())
    monkeypatch.setattr("tests.text.test_features.flat", lambda *_: [str(tmp_path / "features.bin")])
    texts = [*ODD, "카드 card card ㅋㅋ"]
    lines = program(one.model, texts, tmp_path).split("\n")[:-1]
    assert len(lines) == 3 * len(texts), "without a head there is no answer"
    columns, values, _ = runtime.Features(one.parts.features())(texts)
    for i in range(len(texts)):
        said = [pair.split(":") for pair in lines[3 * i + 2].split()]
        used = int((values[i] != 0).sum())
        assert [int(column) for column, _ in said] == columns[i, :used].tolist()
        assert (
            np.array([float(value) for _, value in said], np.float32).tobytes() == values[i, :used].tobytes()
        )
