"""The reverse arrow as a person types it: a diff with its evidence, taken over, undone by nobody."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import run, said, sentences, write_csv

PAIR = ('송금 "급"', "이체 '일반'")  # people call the same things by either name


def rows(count: int) -> list[dict[str, str]]:
    """Three classes that differ, and two that nobody tells apart."""
    rng = np.random.default_rng(5)
    found = sentences(count, 5)
    for one in found:
        if one["label"] == "account":
            one["label"] = PAIR[int(rng.integers(2))]
    return found


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after one turn."""
    place = tmp_path_factory.mktemp("bank")
    write_csv(place / "bank.csv", rows(600))
    with pytest.MonkeyPatch.context() as here:
        here.chdir(place)
        run("new", "p", "--from", "bank.csv", "--lang", "ko")
        run("-C", "p", "turn", "--lang", "ko")
    return place / "p"


@pytest.fixture
def project(bank: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bank, tmp_path / "p"))


def test_a_turn_ends_with_a_diff_that_patch_takes(project: Path, tmp_path: Path) -> None:
    folder = project / "reports/turn-001"
    diff = (folder / "recipe.diff").read_text("utf-8")
    assert "+    guideline={\n" in diff
    report = json.loads((folder / "report.json").read_text("utf-8"))
    rule = next(one for one in report["proposal"]["changes"] if one["what"] == "guideline")
    assert set(rule["pair"]) == set(PAIR)
    assert "송금" not in json.dumps(rule["ids"]), "texts stay in the records"
    page = (folder / "index.html").read_text("utf-8")
    assert "이번 턴이 레시피에서 바꾸자는 것" in page
    assert "다음 답의 값어치" in page
    assert "여기에 규칙을 적으세요" in page
    trial = tmp_path / "trial"
    trial.mkdir()
    shutil.copy(project / "recipe.py", trial)
    done = subprocess.run(["patch", "-p1"], cwd=trial, input=diff.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()
    assert "guideline={" in (trial / "recipe.py").read_text("utf-8")


@pytest.fixture(scope="module")
def applied(bank: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The project after a second turn, for which a person wrote the rule, and what was told of it."""
    project = Path(shutil.copytree(bank, tmp_path_factory.mktemp("applied") / "p"))
    diff = (project / "reports/turn-001/recipe.diff").read_bytes()
    subprocess.run(["patch", "-p1"], cwd=project, input=diff, capture_output=True, check=True)
    recipe = project / "recipe.py"
    recipe.write_text(recipe.read_text("utf-8").replace("여기에 규칙을 적으세요", "급한 것만"), "utf-8")
    return project, said("-C", project, "turn")


def test_a_rule_that_nobody_wrote_is_not_taken_over(project: Path) -> None:
    old = (project / "recipe.py").read_bytes()
    error = said("-C", project, "turn", "--apply", code=2)["error"]
    assert error["key"] == "rules_to_write"
    assert "recipe.diff" in error["next"]
    assert (project / "recipe.py").read_bytes() == old
    told = run("-C", project, "show").stdout
    assert "stubs with examples are in reports/turn-001/recipe.diff" in " ".join(told.split())
    assert "--apply" not in told


def test_a_rule_that_a_person_wrote_asks_about_older_labels_again(
    applied: tuple[Path, dict[str, Any]],
) -> None:
    _, told = applied
    assert told["turn"] == 2
    assert told["asked"].get("guideline", {"count": 0})["count"] > 0, "older labels are asked about again"


def test_people_who_had_the_rule_and_still_differ_are_offered_one_class(
    applied: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    project = Path(shutil.copytree(applied[0], tmp_path / "p"))
    told = said("-C", project, "turn")
    assert told["turn"] == 3
    merge = [one for one in told["proposal"]["changes"] if one["what"] == "merged"]
    assert [set(one["pair"]) for one in merge] == [set(PAIR)]
    before, old = said("-C", project, "show"), (project / "recipe.py").read_bytes()
    after = said("-C", project, "turn", "--apply")
    assert after["applied"]["changed"]
    assert (after["applied"]["changes"], after["applied"]["to_write"]) == (["merged"], [])
    assert (project / "reports/turn-003/recipe.before.py").read_bytes() == old
    new = (project / "recipe.py").read_bytes().splitlines()
    changed = [line for line in old.splitlines() if line not in new]
    assert [b"task=Task(" in line for line in changed] == [True], "what was written by hand stays"
    lost = project / "reports/turn-003"
    files = {path.name: path.read_bytes() for path in lost.iterdir()}
    (lost / "recipe.diff").unlink()
    run("-C", project, "show", "--turn", "3")
    assert {path.name: path.read_bytes() for path in lost.iterdir()} == files
    assert after["classes"] == before["classes"] - 1
    gone = merge[0]["pair"][0]
    assert "merged={" in (project / "recipe.py").read_text("utf-8")
    labels = {row["label"] for row in rows(600)}
    assert gone in labels
    assert gone in json.dumps(said("-C", project, "show", "--turn", "1"), ensure_ascii=False)
    check = said("-C", project, "check")
    assert check["ok"]


def test_a_recipe_that_somebody_changed_is_refused(project: Path) -> None:
    recipe = project / "recipe.py"
    recipe.write_text(recipe.read_text("utf-8") + "# mine\n", "utf-8")
    error = said("-C", project, "turn", "--apply", code=2)["error"]
    assert error["key"] == "recipe_changed"
    assert "recipe.diff" in error["next"]
    assert recipe.read_text("utf-8").endswith("# mine\n")
    assert said("-C", project, "turn")["turn"] == 2, "the turn runs without it"


def test_a_dry_run_takes_nothing_over(project: Path) -> None:
    old = (project / "recipe.py").read_bytes()
    assert said("-C", project, "turn", "--apply", "--dry-run")["dry_run"]
    assert (project / "recipe.py").read_bytes() == old


def test_what_more_rows_are_worth_is_told_by_source(project: Path) -> None:
    told = said("-C", project, "show", "--worth-next", "300")
    assert [one["source"] for one in told["sources"]] == ["data"]
    one = told["sources"][0]
    assert one["more"] == 300
    assert one["low"] <= one["gain"] <= one["high"]
    assert said("-C", project, "show", "--worth-next", "300") == told
    shown = run("-C", project, "show", "--worth-next", "0", "--lang", "ko").stdout
    assert re.search(r"답 \d+개", shown)
    assert "출처" in shown
