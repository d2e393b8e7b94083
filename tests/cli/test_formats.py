"""Workbooks, service logs and votes through the verbs."""

import json
import shutil
import sys
from pathlib import Path

import openpyxl

from bapsim.gather.service import Service
from bapsim.wheel.founding import load_recipe
from tests.cli.conftest import run, said, sentences, write_csv
from tests.gather.test_service import pair


def write_xlsx(path: Path, rows: list[dict[str, str]], sheet: str = "data") -> Path:
    book = openpyxl.load_workbook(path) if path.exists() else openpyxl.Workbook()
    if not path.exists():
        book.remove(book.active)
    made = book.create_sheet(sheet)
    made.append(list(rows[0]))
    for row in rows:
        made.append(list(row.values()))
    book.save(path)
    return path


def write_log(path: Path, *records: dict) -> Path:
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), "utf-8")
    return path


def test_new_from_a_workbook(tmp_path: Path) -> None:
    file = write_xlsx(tmp_path / "문의.xlsx", [*sentences(60, 3), {"text": "no label", "label": "#N/A"}])
    write_xlsx(file, [{"a": "1"}, {"a": "2"}], "메모")
    found = said("new", tmp_path / "bank", "--from", file)
    assert (found["format"], found["input"], found["target"]) == ("xlsx", ["text"], "label")
    assert (found["rows"], found["sheets"], found["workloads"]) == (61, ["data", "메모"], None)
    assert found["slips"] == {"#N/A": 1}, "an error of a spreadsheet is no label"
    words = " ".join(run("new", tmp_path / "other", "--from", file, "--lang", "ko").stdout.split())
    assert "data 시트를 읽습니다. 읽지 않는 시트: 메모." in words
    assert load_recipe(tmp_path / "bank").sources["data"].path == "data/"


def test_questions_out_and_answers_in_as_a_workbook(project: Path, tmp_path: Path) -> None:
    root, sheet = tmp_path / "copy", tmp_path / "ask.xlsx"
    shutil.copytree(project, root)
    asked = said("-C", root, "ask", "-o", sheet)["questions"]
    assert not (tmp_path / "ask.classes.txt").exists(), "the labels are in the workbook"
    book = openpyxl.load_workbook(sheet)
    book["questions"]["D2"].value, book["questions"]["D3"].value = "card", "?"
    book.save(sheet)
    added = said("-C", root, "add", sheet)["added"][0]
    assert (added["kind"], added["rows"], added["blanks"]) == ("answers", 2, asked - 2)
    said("-C", root, "turn", "--dry-run")
    assert said("-C", root, "turn", "--dry-run")["sources"]["experts"]["fresh"] == 1


def test_predict_about_a_workbook(project: Path, tmp_path: Path) -> None:
    file = write_xlsx(tmp_path / "new.xlsx", sentences(5, 9))
    done = said("-C", project, "predict", file, "-o", tmp_path / "out.jsonl")
    assert (done["lines"], done["unread"]) == (5, 0)
    (tmp_path / "broken.xlsx").write_bytes(b"PK\x03\x04rest")
    error = said("-C", project, "add", tmp_path / "broken.xlsx", code=2)["error"]
    assert error["key"] == "not_workbook"


def test_new_from_a_service_log(tmp_path: Path) -> None:
    workloads = ["intent", "intent", "summary"]
    lines = [pair(i, one["text"], workload_id=workloads[i % 3]) for i, one in enumerate(sentences(30, 3))]
    file = write_log(tmp_path / "traffic.jsonl", *lines)
    found = said("new", tmp_path / "bank", "--from", file, "--text", "request_text", "--target", "intent")
    assert (found["format"], found["input"], found["target"]) == ("log", ["request_text"], "intent")
    assert (found["rows"], found["labelled"], found["pool"]) == (20, 0, 20)
    assert found["workloads"] == {"intent": 20, "summary": 10}
    recipe = load_recipe(tmp_path / "bank")
    source = recipe.sources["service"]
    assert isinstance(source, Service)
    assert (source.path, source.where, source.rights) == ("log/", {"workload_id": "intent"}, "unknown")
    assert (tmp_path / "bank/inbox/log/traffic.jsonl").exists()
    words = " ".join(run("new", tmp_path / "other", "--from", file).stdout.split())
    assert "There are others: summary." in words
    assert "What a model answered is no label" in words
    assert said("-C", tmp_path / "bank", "turn", code=2)["error"]["key"] == "nothing_to_train"
    for lang in ("en", "ko"):
        run("new", tmp_path / lang, "--from", file, "--lang", lang)
        assert max(map(len, (tmp_path / lang / "recipe.py").read_text("utf-8").splitlines())) <= 110
    error = said("new", tmp_path / "wrong", "--from", file, "--key", "id", code=2)["error"]
    assert error["key"] == "no_such_column"


def test_add_takes_logs_and_votes_to_their_sources(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a.jsonl", *(pair(i, f"문의 {i}") for i in range(3)))
    root = tmp_path / "bank"
    run("new", root, "--from", log, "--target", "label")
    recipe = (root / "recipe.py").read_text("utf-8")
    import_votes = "from bapsim.gather.votes import votes\n"
    recipe = recipe.replace("from bapsim.judge.exam", import_votes + "from bapsim.judge.exam")
    crowd = '"crowd": votes("votes/", vote="said", rater="who", item="id"),\n        "service"'
    fields = 'rights="unknown", fields=OPENAI | {"correction": "fixed"}'
    recipe = recipe.replace('"service"', crowd).replace('rights="unknown"', fields)
    (root / "recipe.py").write_text(recipe, "utf-8")
    rotated = write_log(
        tmp_path / "a.jsonl.1", pair(7, "어제"), {"response": {"id": "chatcmpl-1"}, "fixed": "x"}
    )
    votes = write_csv(
        tmp_path / "v.csv",
        [
            {"id": "1", "text": "a", "who": "kim", "said": "x"},
            {"id": "1", "text": "a", "who": "lee", "said": "x"},
            {"id": "", "text": "b", "who": "lee", "said": "y"},
        ],
    )
    plain = write_csv(tmp_path / "plain.csv", sentences(4, 1))
    added = said("-C", root, "add", rotated, votes, plain)["added"]
    assert [(one["kind"], one["path"], one["rows"], one["unread"]) for one in added] == [
        ("source", "inbox/log/a.jsonl.1", 2, {}),
        ("source", "inbox/votes/v.csv", 1, {"no_key": 1}),
        ("data", "inbox/data/plain.csv", 4, {}),
    ]
    assert said("-C", root, "add", rotated)["added"][0]["new"] is False
    assert "where the recipe reads such files" in run("-C", root, "add", rotate(rotated)).stdout
    broken = (root / "recipe.py").read_text("utf-8").replace('item="id"', 'item="id", items="gone.csv"')
    (root / "recipe.py").write_text(broken, "utf-8")
    sys.modules.pop("recipe")  # a process reads a recipe once
    more = write_csv(tmp_path / "w.csv", [{"id": "1", "text": "a", "who": "kim", "said": "x"}])
    assert said("-C", root, "add", more, code=2)["error"]["key"] == "no_such_file"
    assert not (root / "inbox/votes/w.csv").exists(), "what cannot be used is not kept"


def rotate(file: Path) -> Path:
    file.write_text(file.read_text("utf-8") + "\n", "utf-8")
    return file
