"""Sets and numbers through the verbs: three turns on real rows, asked and answered, and a bad sheet."""

import csv
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bapsim.gather.answers import unescaped
from tests.cli.conftest import run, said

Row = dict[str, Any]
Truth = Callable[[Row], str]
KEY = "5" * 64


def lines(path: Path, count: int) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        found = [json.loads(next(file)) for _ in range(count)]
    return [row for row in found if row["text"]]


def project(place: Path, rows: list[Row], *options: str, **changes: str) -> Path:
    """A new project; `changes` replace parts of its recipe, as a user would edit it."""
    file = place / "rows.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    root = place / "wheel"
    run("new", root, "--from", file, *options)
    recipe = (root / "recipe.py").read_text("utf-8")
    for old, new in {"budget=200": "budget=60", **changes}.items():
        assert old in recipe
        recipe = recipe.replace(old, new)
    (root / "recipe.py").write_text(recipe, "utf-8")
    return root


def answered(root: Path, target: str, truth: Truth, name: str = "questions.csv") -> list[Row]:
    """Ask, fill in the sheet as people do, and add it."""
    out = root / name
    run("-C", root, "ask", "-o", out)
    with out.open(encoding="utf-8-sig", newline="") as sheet:
        rows = list(csv.DictReader(sheet))
    for row in rows:
        row[target] = truth({k: unescaped(v) for k, v in row.items()})
    with out.open("w", encoding="utf-8-sig", newline="") as sheet:
        writer = csv.DictWriter(sheet, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    run("-C", root, "add", out)
    return rows


def test_sets_of_labels(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments with several tags: whom they hit, and how hard."""
    monkeypatch.setenv("BAPSIM_KEY", KEY)

    def tags(row: Row) -> list[str]:
        named = {row["bias"], row["hate"]} - {"none"}
        return sorted(named | ({"gender words"} if row["gender_bias"] else set()))

    comments = lines(data / "hate_ko/labeled.jsonl.gz", 900)
    truth = {row["text"]: tags(row) for row in comments}
    rows = [{"text": r["text"], "tags": tags(r) if i < 600 else None} for i, r in enumerate(comments)]
    root = project(tmp_path, rows)
    recipe = (root / "recipe.py").read_text("utf-8")
    assert 'target="tags", answer="labels"' in recipe
    assert '"tags": "list<string>"' in recipe
    first = said("-C", root, "turn")
    assert first["answer"] == "labels"
    assert first["opponent"] == "majority"
    assert first["classes"] == 5
    assert first["decision"]["test"] == "log-loss sign flip"
    asked = answered(root, "tags", lambda r: "|".join(reversed(truth[r["text"]])) or "[]")
    assert len(asked) == 60
    labels = (root / "questions.classes.txt").read_text("utf-8").split("\n")
    assert labels == ["gender", "gender words", "hate", "offensive", "others", ""], "each label by itself"
    second = said("-C", root, "turn")
    assert second["fresh"]["experts"] == 60
    assert second["suspects"] == []
    assert second["accounts"]["superseded"] == 60
    answered(root, "tags", lambda r: json.dumps(truth[r["text"]], ensure_ascii=False), "again.csv")
    third = said("-C", root, "turn")
    assert third["accounts"]["unread"] == 0
    assert third["accounts"]["superseded"] == 120
    assert third["exam"]["items"] > second["exam"]["items"] > first["exam"]["items"]
    found = root / "like.csv"
    run("-C", root, "ask", "--like", "offensive", "--count", 20, "-o", found)
    with found.open(encoding="utf-8-sig", newline="") as sheet:
        like = [truth[unescaped(row["text"])] for row in csv.DictReader(sheet)]
    assert len(like) == 20
    assert sum("offensive" in one for one in like) / 20 > np.mean(["offensive" in t for t in truth.values()])
    assert said("-C", root, "check")["ok"]
    run("-C", root, "predict", tmp_path / "rows.jsonl", "-o", root / "out.jsonl")
    out = [json.loads(line) for line in (root / "out.jsonl").read_text("utf-8").splitlines()]
    assert all(isinstance(one["prediction"], list) for one in out)
    assert {"prediction", "confidence", "in_scope"} == set(out[0])
    right = np.mean([one["prediction"] == tags(row) for one, row in zip(out, comments, strict=True)])
    assert right > 0.5
    run("-C", root, "predict", tmp_path / "rows.jsonl", "-o", root / "out.csv")
    with (root / "out.csv").open(encoding="utf-8-sig", newline="") as sheet:
        cells = [row["prediction"] for row in csv.DictReader(sheet)]
    assert "[]" in cells
    assert [json.dumps(one["prediction"]) for one in out] == [
        json.dumps([] if cell == "[]" else cell.split("; ")) for cell in cells
    ]
    assert "whole set" in re.sub(r"\s+", " ", run("-C", root, "show", "--turn", 1).stdout)


def test_numbers_of_texts(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reviews and the stars that came with them; one sheet has its numbers mixed up."""
    monkeypatch.setenv("BAPSIM_KEY", KEY)
    reviews = lines(data / "nsmc_ko/train.jsonl.gz", 3000)
    truth = {row["text"]: row["rating"] for row in reviews}
    rows = [{"text": r["text"], "rating": r["rating"] if i < 2400 else None} for i, r in enumerate(reviews)]
    changes = {"exam_share=0.2": "exam_share=0.1", "exam=exam()": "exam=exam(800)"}
    root = project(tmp_path, rows, "--target", "rating", "--answer", "number", **changes)
    first = said("-C", root, "turn")
    decision = first["decision"]
    assert (first["opponent"], decision["verdict"]) == ("median", "accept")
    assert decision["test"] == "absolute error sign flip"
    assert decision["values"]["unit"] == "number"
    assert 0.1 < decision["gain"] < 2
    assert first["curve"][0]["oof_accuracy"] is None
    assert 1 < first["curve"][0]["oof_error"] < 3
    filled = iter(["?", "nine", "8,5"])
    asked = answered(root, "rating", lambda r: next(filled, str(truth[r["text"]])))
    assert re.fullmatch(r"\d+(\.\d+)?", next(r["_suggested"] for r in asked if r["_suggested"]))
    second = said("-C", root, "turn")
    assert second["fresh"]["experts"] == 57
    assert second["accounts"]["unread"] == 3
    assert second["suspects"] == []
    answered(root, "rating", lambda r: str(11 - truth[r["text"]]), "upside-down.csv")
    third = said("-C", root, "turn")
    assert [(one["name"], one["refused"]) for one in third["suspects"]] == [
        ("answers/upside-down.csv@3", True)
    ]
    assert third["refused"]["harmful_delivery"] == 60
    assert said("-C", root, "ask", "--like", "9", code=2)["error"]["key"] == "like_number"
    assert said("-C", root, "check")["ok"]
    told = re.sub(r"\s+", " ", run("-C", root, "show").stdout)
    assert "of the numbers in answers" in told
    assert "held-out error" in told
    far = root / "far.csv"
    far.write_text(
        "_ask,rating\n"
        + "".join(f"{row['_ask']},{n}\n" for row, n in zip(asked, (9, 4000, "x"), strict=False))
    )
    assert said("-C", root, "add", far)["added"][0]["new_labels"] == {"4000": 1, "x": 1}
    run("-C", root, "predict", tmp_path / "rows.jsonl", "-o", root / "out.jsonl")
    out = [json.loads(line) for line in (root / "out.jsonl").read_text("utf-8").splitlines()]
    assert set(out[0]) == {"prediction", "low", "high", "in_scope"}
    assert all(1 <= one["low"] <= one["prediction"] <= one["high"] <= 10 for one in out)
    page = (root / "reports/turn-001/index.html").read_text("utf-8")
    assert "Mean absolute error" in page
    assert page.count("<svg") == 2


def test_numbers_of_tables(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The torque of real machines; the user's own model comes first."""
    monkeypatch.setenv("BAPSIM_KEY", KEY)
    with gzip.open(data / "ai4i2020/ai4i.csv.gz", "rt") as file:
        machines = list(csv.DictReader(file))
    inputs = ["Type", "Rotational speed [rpm]", "Air temperature [K]", "Tool wear [min]"]
    order = np.random.default_rng(0).permutation(len(machines))[:700]

    def key(row: Row) -> tuple[str, ...]:
        return tuple(f"{float(row[c]):g}" if c != "Type" else row[c] for c in inputs)

    truth = {key(machines[i]): machines[i]["Torque [Nm]"] for i in order}
    some = [machines[i] for i in order]
    rows = [{c: r[c] if c == "Type" else float(r[c]) for c in inputs} for r in some]
    torque = [float(truth[key(r)]) for r in some]
    labelled = [
        row | {"torque": t if i < 500 else None} for i, (row, t) in enumerate(zip(rows, torque, strict=True))
    ]
    small = {"table_boosted()": "table_boosted(trees=8, rounds=10)"}
    root = project(tmp_path, labelled, "--target", "torque", **small)
    assert 'kind="table", answer="number"' in (root / "recipe.py").read_text("utf-8")
    theirs = tmp_path / "theirs.jsonl"
    theirs.write_text("".join(json.dumps(row | {"prediction": 40}) + "\n" for row in rows), "utf-8")
    first = said("-C", root, "turn", "--incumbent", theirs)
    assert (first["opponent"], first["decision"]["verdict"]) == ("incumbent", "accept")
    assert first["decision"]["gain"] > 3, "newton metres"
    for name in ("one.csv", "two.csv"):
        answered(root, "torque", lambda r: truth[key(r)], name)
        last = said("-C", root, "turn")
        assert last["fresh"]["experts"] == 60
    assert last["accounts"]["trained"] + last["accounts"]["exam"] == 500 + 120
    assert last["suspects"] == []
    assert said("-C", root, "check")["ok"]
    odd = tmp_path / "odd.jsonl"
    odd.write_text("".join(json.dumps(row | {"prediction": "many"}) + "\n" for row in rows), "utf-8")
    (tmp_path / "again").mkdir()
    again = project(tmp_path / "again", labelled, "--target", "torque", **small)
    error = said("-C", again, "turn", "--incumbent", odd, code=2)["error"]
    assert error["key"] == "answer_no_number"
    assert "many" in error["what"]
