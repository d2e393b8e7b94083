"""The verb ship: the file itself is judged, the look is paid, and a folder is there whole or not at all."""

import json
import os
import shutil
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bapsim.core.arrow import id_bytes
from bapsim.core.errors import InputError, MissingExtra, StoreError
from bapsim.ship.parts import TextParts
from bapsim.store import fault
from bapsim.store.project import opened
from bapsim.train import student
from bapsim.wheel import making, shipping
from bapsim.wheel.founding import load_recipe
from bapsim.wheel.making import distil, machine_labelled
from bapsim.wheel.shipping import Wanted, rest_of, ship, version_of
from bapsim.wheel.state import current_model
from bapsim.wheel.stock import exam_ids, load_stock
from bapsim.wheel.turn import silent
from tests.cli.conftest import run, said, sentences, write_csv


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after one turn: 600 labelled rows, 60 without a label."""
    place = tmp_path_factory.mktemp("edge")
    rows = [*sentences(600, 1), *({**row, "label": ""} for row in sentences(60, 2))]
    run(
        "new",
        place / "p",
        "--from",
        write_csv(place / "rows.csv", rows),
        "--text",
        "text",
        "--target",
        "label",
    )
    run("-C", place / "p", "turn")
    return place / "p"


@pytest.fixture
def project(founded: Path, tmp_path: Path) -> Path:
    """A copy of it, so that looks are counted from none."""
    return Path(shutil.copytree(founded, tmp_path / "p"))


def looks(root: Path) -> list[dict[str, Any]]:
    with opened(root, writing=False) as project:
        return project.ledger.rows("select * from look order by rowid")[1:]  # the first is the turn's


def files(folder: Path) -> dict[str, bytes]:
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    found.pop("measured.json")
    return found


def shipped(root: Path, out: Path, **wanted: Any) -> dict[str, Any]:
    with opened(root) as project:
        return ship(project, load_recipe(root), Wanted(**wanted), out, "en", silent)


def test_a_file_that_answers_alike_is_accepted_and_costs_nothing(project: Path, tmp_path: Path) -> None:
    told = said("-C", project, "ship", "-o", tmp_path / "a")
    assert told["verdict"] == "ok"
    assert told["judged"]["differ"] == 0
    assert told["served"]["same"] == told["served"]["rows"] > 400
    [look] = looks(project)
    assert (look["verdict"], look["alpha"]) == ("accept", 0.0)
    assert look["candidate"] == told["look"]["file"]
    assert told["bytes"]["total"] > told["bytes"]["head.onnx"] > 0
    assert set(told["measured"]) == {
        "p50_ms",
        "p95_ms",
        "cpu_ms",
        "batch32_ms_per_row",
        "peak_mb",
    }
    card = (tmp_path / "a" / "README.md").read_text("utf-8")
    assert told["data"] in card
    assert "ok: it answered all" in card
    assert run("-C", project, "check").exit_code == 0
    again = said("-C", project, "ship", "-o", tmp_path / "b")
    assert again["look"]["again"]
    assert len(looks(project)) == 1, "the same file is one look"
    assert files(tmp_path / "a") == files(tmp_path / "b"), "the same bytes"
    shipped(project, tmp_path / "c", target="onnx", margin=0.02)
    assert len({look["candidate"] for look in looks(project)}) == 2, "another margin is another question"


def test_an_exam_that_is_too_small_is_not_looked_at(project: Path, tmp_path: Path) -> None:
    told = shipped(project, tmp_path / "a", target="onnx-int8", margin=0.001)
    assert (told["verdict"], told["look"]["reason"]) == ("cannot_tell", "too_small")
    assert looks(project) == []
    assert "no look was spent" in (tmp_path / "a" / "README.md").read_text("utf-8")


def spoilt(parts: TextParts, texts: Any, real: Any = making.small) -> TextParts:
    """A quantised file whose table is another one's."""
    made = real(parts, texts)
    made.table[:] = np.roll(made.table, 1, axis=1)
    return made


def test_a_worse_file_is_refused_and_its_look_is_paid(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "small", spoilt)
    told = said("-C", project, "ship", "--target", "onnx-int8", "-o", tmp_path / "a", code=1)
    assert (told["verdict"], told["written"], told["ok"]) == ("worse", None, False)
    assert not (tmp_path / "a").exists()
    [look] = looks(project)
    assert look["verdict"] == "refuse"
    assert look["alpha"] == told["look"]["level"] > 0
    assert told["look"]["budget"] == pytest.approx(0.05 - look["alpha"])


def test_a_delivered_file_that_differs_from_its_model_is_refused(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judged file is sound, and what is made from served/ is not."""
    calls = []
    real = making.small

    def second(parts: TextParts, texts: Any) -> TextParts:
        calls.append(1)
        return spoilt(parts, texts, real) if len(calls) > 1 else real(parts, texts)

    monkeypatch.setattr(making, "small", second)
    with pytest.raises(StoreError, match="delivered file"):
        shipped(project, tmp_path / "a", target="onnx-int8")
    assert not (tmp_path / "a").exists()


def test_a_student_learns_from_the_pool_and_never_from_the_exam(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(student, "FEWEST", 100)  # steps: enough for three words of which one tells
    told = shipped(project, tmp_path / "a", target="student", margin=0.05)
    assert told["verdict"] in ("ok", "cannot_tell")
    assert told["bytes"]["total"] <= 1_000_000
    with opened(project, writing=False) as wheel:
        stock = load_stock(wheel, load_recipe(project).task)
        rest = rest_of(wheel, stock, version_of(wheel, None))
        exam = stock.rows_with(exam_ids(wheel.ledger))
        assert exam.any()
        assert rest.pool.sum() == 60
        assert not (exam & (rest.eaten | rest.pool)).any()
        asked = {i.tobytes() for i in id_bytes(rest.some(10_000).column("_id"))}
        assert not asked & exam_ids(wheel.ledger)
        found = current_model(wheel)
        assert found is not None
        pool = stock.part(np.flatnonzero(rest.pool))
        derived = machine_labelled(found[1], pool, stock.task, wheel.secret)
        assert set(derived.column("_target_depth").to_pylist()) == {1}
        assert set(derived.column("_input_depth").to_pylist()) == {0}
        parents = [p[0] for p in derived.column("_parents").to_pylist()]
        assert parents == pool.column("_id").to_pylist()
        alone = replace(rest, pool=np.zeros(len(stock), bool))
        assert distil(found[1], alone).classes == found[1].classes, "without a pool it learns the labels"


def killed(root: Path, out: Path, die: int | None) -> bool:
    """Ship in a process of its own that dies at its `die`-th durable step; True if it died."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            fault._passed = 0
            if die is not None:
                os.environ["BAPSIM_FAULT"] = str(die)
            shipped(root, out, target="folder")
            status = 0
        except Exception:  # noqa: BLE001  a forked child must not run the parent's tests
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def test_killed_half_way_there_is_all_or_nothing(project: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    undisturbed = Path(shutil.copytree(project, tmp_path / "q"))
    assert not killed(undisturbed, whole, None)
    deaths, out = 0, tmp_path / "out"
    for die in (1, 4, 8, 12, 13):  # later ones pass fewer steps: the look is told once
        deaths += killed(project, out, die)
        assert not out.exists() or files(out) == files(whole)
        shutil.rmtree(out, ignore_errors=True)
    assert deaths >= 4
    assert not killed(project, out, None)
    assert files(out) == files(whole)
    assert not list(tmp_path.glob(".*.tmp"))
    assert [(k["candidate"], k["alpha"]) for k in looks(project)] == [
        (k["candidate"], k["alpha"]) for k in looks(undisturbed)
    ]


@pytest.mark.parametrize("place", ["wheel/x", "inbox/x", "wheel/models", "taken", "link", "recipe.py"])
def test_places_that_are_refused(project: Path, place: str) -> None:
    (project / "taken").mkdir()
    (project / "taken" / "mine.txt").write_text("mine")
    (project / "link").symlink_to(project / "taken")
    before = sorted(p.as_posix() for p in project.rglob("*"))
    with pytest.raises(InputError):
        shipped(project, project / place, target="folder")
    assert sorted(p.as_posix() for p in project.rglob("*")) == before


def test_what_cannot_be_shipped_is_said(project: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="t009"):
        shipped(project, tmp_path / "a", target="onnx", version="t009-people")
    with pytest.raises(InputError, match="onnxruntime-web"):
        shipped(project, tmp_path / "a", target="onnx", browser=tmp_path)
    assert not (tmp_path / "a").exists()
    with opened(project) as wheel, wheel.ledger.change("a turn began"):
        wheel.ledger.add("turn", n=2, state="open", recipe="x", started="", pid=1)
    told = said("-C", project, "ship", "-o", tmp_path / "a", code=2)
    assert told["error"]["key"] == "turn_open"


def test_a_missing_extra_says_what_installs_it(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"bapsim\[edge\]"):
        shipped(project, tmp_path / "a", target="onnx")
    assert not (tmp_path / "a").exists()
    shipped(project, tmp_path / "a", target="folder")


def test_words_in_korean_and_any_name_of_a_folder(project: Path, tmp_path: Path) -> None:
    place = tmp_path / "-o %s.{} 한글 a b;$(touch x)"
    done = run("-C", project, "ship", "--target", "folder", "-o", place, "--lang", "ko")
    assert "넘게 잃지" in " ".join(done.stdout.split())
    assert "넘게 잃지" in (place / "README.md").read_text("utf-8")
    assert json.loads((place / "spec.json").read_text("utf-8"))["answer"] == "class"
    assert not list(Path.cwd().glob("x"))


@pytest.mark.parametrize("answer", ["labels", "number"])
def test_sets_and_numbers_are_shipped_too(answer: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = []
    for row in sentences(300, 5):
        more = "urgent" if rng.random() < 0.5 else ""
        said = "; ".join(sorted({row["label"], more} - {""}))
        value = f"{len(row['label']) + 5 * bool(more) + rng.normal(0, 0.3):.2f}"
        rows.append({"text": f"{row['text']} {more}", "said": said if answer == "labels" else value})
    sheet = write_csv(tmp_path / "rows.csv", rows)
    run("new", tmp_path / "p", "--from", sheet, "--text", "text", "--target", "said", "--answer", answer)
    run("-C", tmp_path / "p", "turn")
    with opened(tmp_path / "p") as project:
        if project.ledger.value("select 1 from used") is None:
            pytest.fail("nothing serves")
    told = shipped(tmp_path / "p", tmp_path / "a", target="onnx", margin=0.3)
    assert told["verdict"] == "ok"
    assert told["served"]["same"] == told["served"]["rows"]
    assert told["unit"] == ("number" if answer == "number" else "points")
    assert "ok: it answered all" in (tmp_path / "a" / "README.md").read_text("utf-8")


def test_checked_rows_are_enough_to_see_a_difference() -> None:
    assert shipping.EXACT["onnx-int8"] == 0.995
    assert shipping.CHECKED >= 1_000
