"""`bapsim export` as a person types it."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from bapsim.core.records import Task
from tests.cli.conftest import run, said
from tests.ship.given import brings, gathered

RECIPE = """
from bapsim.core.records import Task
from tests.wheel.world import bank

recipe = bank(task=Task(input="t", target="y"), sources={})
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six rows of ours and six of a crawl: two in the exam, a third without label."""
    root = tmp_path_factory.mktemp("verb") / "bank"
    rows = pa.record_batch(
        {
            "t": ["카드", "대출", "a", "b", "c", "d"],
            "y": ["x", "y", "x", "y", None, None],
            "who": list("abcdef"),
        }
    )
    sources = {"ours": brings(rows), "crawl": brings(rows, rights="unknown", input_maker="unknown")}
    gathered(root, Task(input="t", target="y"), sources, exam=2)
    (root / "recipe.py").write_text(RECIPE)
    return root


def test_what_is_dangerous_is_said_aloud(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "내보내기"
    told = " ".join(run("-C", project, "export", out).stdout.split())
    assert "12 rows in 3 files: train 6, test 2, unlabelled 4" in told
    assert "test is this project's exam. Once these 2 rows are public" in told
    assert "NOBODY HAS SAID under which rights 6 of these rows may be used" in told
    assert '--rights "own"' in told
    assert "play no part in the task stayed behind: who" in told
    assert "equal exam items" not in told, "nothing is set aside"
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "croissant.json", "data"]
    assert said("-C", project, "export", out, code=2)["error"]["key"] == "export_folder"


def test_the_json_of_the_verb(project: Path, tmp_path: Path) -> None:
    told = said("-C", project, "export", tmp_path / "a", "--what", "trained", "--what", "pool")
    assert told == {
        "out": str(tmp_path / "a"),
        "turn": 1,
        "splits": {"train": 6, "unlabelled": 4},
        "files": ["data/train-00000.parquet", "data/unlabelled-00000.parquet"],
        "left_out": {"exam": 2},
        "other_rights": 0,
        "unknown_rights": 6,
        "columns_left_out": ["who"],
        "lost": 0,
    }
    told = said(
        "-C", project, "export", tmp_path / "b", "--rights", "own", "--what", "all", "--columns", "all"
    )
    assert told["splits"] == {"train": 2, "test": 2, "unlabelled": 2}
    assert (told["unknown_rights"], told["other_rights"], told["columns_left_out"]) == (0, 6, [])
    error = said("-C", project, "export", tmp_path / "c", "--rights", "MIT", code=2)["error"]
    assert error["key"] == "export_rights"
    assert "own, unknown" in error["next"]


def test_json_lines_without_certificates_in_korean(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--format", "jsonl", "--no-certificates", "--lang", "ko", "--what", "trained")
    told = run("-C", project, "export", out, *options).stdout
    assert "경고: 이 가운데 4행은" in told
    lines = (out / "data/train-00000.jsonl").read_text("utf-8").splitlines()
    assert json.loads(lines[0]) == {"t": "a", "y": "x"}
    assert "## 출처와 권리" in (out / "README.md").read_text("utf-8")
    assert json.loads((out / "croissant.json").read_text("utf-8"))["@context"]["@language"] == "ko"
