"""A file that is set aside, what it cost, what it is worth, and how its owner takes it back, as typed."""

import json
from pathlib import Path

from tests.cli.conftest import run, said, sentences, write_csv


def spoiled(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Two labels of five are another one."""
    labels = sorted({row["label"] for row in rows})
    other = dict(zip(labels, [*labels[1:], labels[0]], strict=True))
    return [row | {"label": other[row["label"]]} if i % 5 < 2 else row for i, row in enumerate(rows)]


def test_a_bad_file_is_set_aside_with_its_cost_and_taken_back(tmp_path: Path) -> None:
    root = tmp_path / "wheel"
    run("new", root, "--from", write_csv(tmp_path / "a.csv", sentences(240, 1)), "--target", "label")
    bad = write_csv(tmp_path / "bought.csv", spoiled(sentences(100, 2)))
    done = said("-C", root, "add", bad, "--cost", "240,000 KRW")
    assert done["added"][0]["cost"] == {"minor": 240_000, "currency": "KRW", "new": True}
    assert "It cost 240,000 KRW" in run("-C", root, "add", bad, "--cost", "240000원").stdout
    turn = said("-C", root, "turn")
    (one,) = turn["suspects"]
    assert (one["name"], one["refused"]) == ("data/bought.csv@1", True)
    (source,) = [row for row in turn["sources"] if row["name"] == "data"]
    assert source["costs"] == {"KRW": 240_000}
    assert source["cost_per_accepted"] == {}, "nothing that was paid for was accepted"
    assert turn["curve"][0]["costs"] == {"KRW": 240_000}
    assert (
        json.loads((root / "reports/turn-001/report.json").read_text("utf-8"))["sources"] == turn["sources"]
    )
    words = " ".join(run("-C", root, "show").stdout.split())
    assert "of the labels in data/bought.csv@1 look wrong" in words
    assert "use 'data/bought.csv@1' --reason TEXT" in words
    assert "따로 두었습니다" in " ".join(run("-C", root, "show", "--lang", "ko").stdout.split())
    assert (
        said("-C", root, "use", "data/bought.csv@2", "--reason", "x", code=2)["error"]["key"]
        == "unknown_version"
    )
    back = run("-C", root, "use", "data/bought.csv@1", "--reason", "their codes differ, we checked")
    assert "trained on from the next turn" in back.stdout
    turn = said("-C", root, "turn")
    assert (turn["suspects"], turn["accounts"]["refused"]) == ([], 0)
    assert said("-C", root, "check")["ok"]


def test_a_cost_belongs_to_one_file_and_is_an_amount(tmp_path: Path) -> None:
    root = tmp_path / "wheel"
    first = write_csv(tmp_path / "a.csv", sentences(60, 1))
    run("new", root, "--from", first, "--target", "label")
    more = [write_csv(tmp_path / f"{n}.csv", sentences(30, n)) for n in (2, 3)]
    assert said("-C", root, "add", *more, "--cost", "3 USD", code=2)["error"]["key"] == "cost_of_several"
    assert said("-C", root, "add", more[0], "--cost", "cheap", code=2)["error"]["key"] == "not_an_amount"
    assert sorted(path.name for path in (root / "inbox/data").iterdir()) == ["a.csv"], "nothing was copied"


def test_the_worth_of_a_source_is_told_when_asked(tmp_path: Path) -> None:
    root = tmp_path / "wheel"
    run("new", root, "--from", write_csv(tmp_path / "a.csv", sentences(200, 1)), "--target", "label")
    recipe = (root / "recipe.py").read_text("utf-8")
    assert '"data": files(' in recipe
    recipe = recipe.replace('"data": files(', '"more": files("more/"), "data": files(')
    (root / "recipe.py").write_text(recipe, "utf-8")
    (root / "inbox/more").mkdir()
    write_csv(root / "inbox/more/b.csv", sentences(60, 2))
    run("-C", root, "turn")
    told = said("-C", root, "show", "--worth", "more")
    assert told["low"] <= told["gain"] <= told["high"]
    assert told["tells"] or "Cannot tell what more gives" in run("-C", root, "show", "--worth", "more").stdout
    (row,) = [one for one in said("-C", root, "show")["sources"] if one["name"] == "more"]
    assert row["points"] == told
    error = said("-C", root, "show", "--worth", "nobody", code=2)["error"]
    assert error["key"] == "nothing_without"
    assert "data, more" in error["next"]
