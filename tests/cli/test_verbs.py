"""Each verb as a person types it, on one small project that goes through two turns."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bapsim.store.project import opened
from tests.cli.conftest import run, said, sentences, write_csv


def test_a_turn_decides_and_leaves_a_page(project: Path) -> None:
    report = json.loads((project / "reports/turn-001/report.json").read_text("utf-8"))
    page = (project / "reports/turn-001/index.html").read_text("utf-8")
    assert report["decision"]["verdict"] == "accept"
    assert report["decision"]["reason"] == "decision.better"
    assert report["opponent"] == "majority"
    assert report["serves"]["version"] == "t001-people"
    counts = report["accounts"]
    parts = ("exam", "superseded", "refused", "pool", "pending", "trained", "unread")
    assert counts["lines"] == 360 == sum(counts[name] for name in parts)
    assert report["chain"] in page
    assert not re.search(r"(src|href)=|url\(|@import|<script", page), "the page loads nothing"
    assert page.count("<svg") == 2


def test_a_lost_report_is_made_again_to_the_byte(project: Path) -> None:
    folder = project / "reports/turn-001"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    run("show", "-C", project)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    shutil.rmtree(folder)
    run("turn", "-C", project, "--dry-run")
    assert not folder.exists(), "a dry run writes nothing"
    run("show", "--turn", "1", "-C", project)


def test_show_speaks_both_languages(project: Path) -> None:
    assert "Accepted: the new model is better" in run("-C", project, "show").stdout
    korean = run("-C", project, "show", "--lang", "ko").stdout
    assert "채택: 새 모델이" in korean
    assert "시험 문항" in korean
    page = (project / "reports/turn-001/index.html").read_text("utf-8")
    assert '<html lang="ko">' in page
    run("-C", project, "show")
    assert said("-C", project, "show", "--turn", "7", code=2)["error"]["key"] == "unknown_turn"


def test_predictions_stand_line_by_line_against_the_file(project: Path, tmp_path: Path) -> None:
    lines = ['{"text": "카드 분실 재발급"}', "{broken", '{"text": null}', '{"text": "loan interest", "x": 1}']
    file, out = tmp_path / "in.jsonl", tmp_path / "deep" / "out.jsonl"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    done = said("predict", file, "-o", out, "-C", project)
    answers = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert done["lines"] == len(answers) == 4
    assert done["unread"] == 2
    assert [a["prediction"] for a in answers] == ["card", None, None, "loan"]
    assert [set(a) - {"error"} for a in answers] == [{"prediction", "confidence", "in_scope"}] * 4
    assert answers[1]["error"].startswith("line 2: json")
    for a in (answers[0], answers[3]):
        assert 0 <= a["in_scope"] <= 1
        assert 1 / 3 < a["confidence"] <= 1
    said("predict", file, "-o", tmp_path / "답.csv", "-C", project)
    with (tmp_path / "답.csv").open(encoding="utf-8-sig", newline="") as sheet:
        cells = list(csv.DictReader(sheet))
    assert cells == [{k: "" if a.get(k) is None else str(a[k]) for k in cells[0]} for a in answers]
    assert (tmp_path / "답.csv").read_bytes().startswith(b"\xef\xbb\xbf"), (
        "a spreadsheet sees that it is UTF-8"
    )
    assert [p.name for p in out.parent.iterdir()] == ["out.jsonl"]
    said("predict", file, "-o", tmp_path / "k.csv", "--keep", "x,text", "-C", project)
    with (tmp_path / "k.csv").open(encoding="utf-8-sig", newline="") as sheet:
        beside = list(csv.DictReader(sheet))
    assert list(beside[0])[:3] == ["x", "text", "prediction"]
    assert [row["text"] for row in beside] == ["카드 분실 재발급", "", "", "loan interest"]
    assert [row["x"] for row in beside] == ["", "", "", "1"]
    for keep, key in (("nope", "input_missing"), ("prediction", "keep_taken"), ("text,text", "keep_taken")):
        refused = said("predict", file, "-o", tmp_path / "n.csv", "--keep", keep, "-C", project, code=2)
        assert refused["error"]["key"] == key


def test_a_file_without_the_input_column_is_refused_and_nothing_is_written(
    project: Path, tmp_path: Path
) -> None:
    file = write_csv(tmp_path / "other.csv", [{"sentence": "카드"}])
    error = said("predict", file, "-o", tmp_path / "out.jsonl", "-C", project, code=2)["error"]
    assert error["key"] == "input_missing"
    assert "sentence" in error["next"]
    assert not (tmp_path / "out.jsonl").exists()


def test_add_copies_once_and_names_what_it_refuses(project: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(project, root)
    file = write_csv(tmp_path / "more.csv", sentences(5, 9))
    first = said("-C", root, "add", file)["added"][0]
    assert (first["kind"], first["new"], first["rows"]) == ("data", True, 5)
    assert said("-C", root, "add", file)["added"][0]["new"] is False
    write_csv(file, sentences(6, 10))
    assert said("-C", root, "add", file)["added"][0]["path"] == "inbox/data/more-2.csv"
    assert file.exists(), "files are copied, never moved"
    (tmp_path / "sheet.xlsx").write_bytes(b"PK\x03\x04rest")
    assert said("-C", root, "add", tmp_path / "sheet.xlsx", code=2)["error"]["key"] == "not_workbook"
    assert said("-C", root, "add", tmp_path / "gone.csv", code=2)["error"]["key"] == "not_there"
    strange = write_csv(tmp_path / "strange.csv", [{"a": "1", "label": "card"}])
    assert said("-C", root, "add", strange, code=2)["error"]["key"] == "input_missing"
    beside = write_csv(tmp_path / "asked.guideline.txt", [{"text": "1"}])
    assert said("-C", root, "add", beside, code=2)["error"]["key"] == "beside_a_sheet"
    assert not list((root / "inbox").rglob("strange*")), "what no model could read is not kept"
    assert not [p for p in (root / "inbox").iterdir() if p.name.startswith(".")]


def test_add_says_which_lines_it_cannot_read(project: Path, tmp_path: Path) -> None:
    root, file = tmp_path / "copy", tmp_path / "broken.csv"
    shutil.copytree(project, root)
    file.write_text("text,label\na,card\n" + "too,many,cells\n" * 7 + "b,loan\n", "utf-8")
    assert said("-C", root, "add", file)["added"][0]["places"] == {"cells": [3, 4, 5, 6, 7]}
    assert "(line 3, 4, 5, 6, 7 …)" in " ".join(run("-C", root, "add", file).stdout.split())


def test_a_slip_in_a_label_is_named_before_it_becomes_one(project: Path, tmp_path: Path) -> None:
    root, sheet = tmp_path / "copy", tmp_path / "sheet.csv"
    shutil.copytree(project, root)
    said("-C", root, "ask", "-o", sheet)
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        rows = [row | {"label": "card"} for row in csv.DictReader(file)]
    rows[0]["label"], rows[1]["label"], rows[2]["label"] = "crad", "?", "모름"
    write_csv(sheet, rows, "cp949")
    assert said("-C", root, "add", sheet)["added"][0]["new_labels"] == {"crad": 1}
    note = " ".join(run("-C", root, "add", sheet, "--lang", "ko").stdout.split())
    assert "지금까지 없던 라벨이 있습니다: crad (1)" in note
    assert "inbox/answers/sheet.csv" in note


@pytest.mark.parametrize("words", [("trun",), ("predict",), ("use", "t001"), ("turn", "--dry-rum")])
def test_what_is_mistyped_is_an_error_like_others(words: tuple[str, ...]) -> None:
    error = said(*words, code=2)["error"]
    assert error["key"] == "usage"
    assert error["next"].endswith("--help")
    assert "실행하지 않았습니다" in run(*words, "--lang", "ko", code=2).stderr


def test_questions_go_out_and_answers_come_back(project: Path, tmp_path: Path) -> None:
    root, sheet = tmp_path / "copy", tmp_path / "질문.csv"
    shutil.copytree(project, root)
    asked = said("-C", root, "ask", "-o", sheet)
    assert asked["questions"] > 0
    assert said("-C", root, "ask", "-o", sheet, code=2)["error"]["key"] == "file_exists"
    truth = {row["text"]: row["label"] for row in sentences(90, 2)}
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        rows = [row | {"label": truth[row["text"]]} for row in csv.DictReader(file)]
    rows[0]["label"], rows[1]["label"] = "", "모름"
    write_csv(sheet, rows, "cp949")  # as a Korean spreadsheet saves it
    added = said("-C", root, "add", sheet)["added"][0]
    assert (added["kind"], added["rows"], added["blanks"]) == ("answers", len(rows) - 1, 1)
    dry = said("-C", root, "turn", "--dry-run")
    assert dry["sources"]["experts"]["fresh"] == len(rows) - 2
    shutil.rmtree(root / "reports")
    turn = said("-C", root, "turn")
    assert turn["turn"] == 2
    assert (root / "reports/turn-001/index.html").exists(), "a report that a kill took is made up for"
    assert turn["fresh"]["experts"] == len(rows) - 2
    assert turn["unread"]["cannot_tell"] == 1
    assert turn["accounts"]["superseded"] == len(rows) - 2
    assert [point["turn"] for point in turn["curve"]] == [1, 2]
    said("-C", root, "ask", "-o", tmp_path / "next.csv")
    with (tmp_path / "next.csv").open(encoding="utf-8-sig", newline="") as file:
        asked_next = {row["_ask"] for row in csv.DictReader(file)}
    assert asked_next & {row["_ask"] for row in rows} == {rows[0]["_ask"]}, "left blank: asked again"
    assert said("-C", root, "check")["ok"]


def test_check_finds_what_was_changed(project: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(project, root)
    head = json.loads((root / "reports/turn-001/report.json").read_text("utf-8"))["chain"]
    assert said("-C", root, "check", "--head", head)["ok"]
    assert (
        said("-C", root, "check", "--head", "1 " + "0" * 64, code=1)["findings"][0]["kind"] == "head_unknown"
    )
    shard = next((root / "wheel/records").rglob("*.parquet"))
    body = bytearray(shard.read_bytes())
    body[len(body) // 2] ^= 1
    shard.write_bytes(body)
    found = said("-C", root, "check", code=1)
    assert [one["kind"] for one in found["findings"]] == ["file_changed"]
    assert shard.name in run("-C", root, "check", code=1).stdout


def test_use_is_on_the_record(project: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(project, root)
    assert said("-C", root, "use", "t009", "--reason", "x", code=2)["error"]["key"] == "unknown_version"
    assert (
        said("-C", root, "use", "t001-people", "--reason", " ", code=2)["error"]["key"] == "reason_is_empty"
    )
    assert said("-C", root, "use", "t001-people", "--reason", "same")["before"] == "t001-people"
    with opened(root) as one, one.ledger.change("a second model for the test") as ledger:
        row = one.ledger.rows("select * from model")[0] | {
            "version": "t000-old",
            "state": "refused",
            "served": None,
        }
        ledger.add("model", **row)
        ledger.add("used", n=9, version="t000-old", reason="test", turn=1)
    assert said("-C", root, "use", "t000-old", "--reason", "x", code=2)["error"]["key"] == "not_servable"
    said("-C", root, "use", "t001-people", "--reason", "고객이 원함")
    with opened(root, writing=False) as one:
        last = one.ledger.rows("select * from used order by n")[-1]
        assert (last["version"], last["reason"]) == ("t001-people", "person: 고객이 원함")
        assert one.ledger.verify() == []


def test_why_tells_of_records_and_models(project: Path) -> None:
    model = said("-C", project, "why", "t001-people")
    assert model["serves"]
    with opened(project, writing=False) as one:
        item = one.ledger.value("select hex(id) from exam_item").lower()
    record = said("-C", project, "why", item[:16])
    assert record["stands"] == "exam"
    assert record["eaten_by"] == []
    assert "사람" in run("-C", project, "why", item, "--lang", "ko").stdout
    assert "accepted" in run("-C", project, "why", "t001-people").stdout
    assert said("-C", project, "why", "t777-people", code=2)["error"]["key"] == "nothing_found"
    assert said("-C", project, "why", "0123456789abcdef", code=2)["error"]["key"] == "record_not_found"


def test_errors_say_what_why_and_what_next(tmp_path: Path) -> None:
    done = run("-C", tmp_path, "turn", code=2)
    assert done.stdout == ""
    assert len(done.stderr.strip().split("\n")) >= 3
    assert "recipe.py" in done.stderr
    assert "레시피" in run("-C", tmp_path, "turn", "--lang", "ko", code=2).stderr
    (tmp_path / "recipe.py").write_text("recipe = (\n", "utf-8")
    assert said("-C", tmp_path, "turn", code=2)["error"]["key"] == "recipe_syntax"
    (tmp_path / "recipe.py").write_text("import os\nfrom bapsim.core import nonsense\n", "utf-8")
    error = said("-C", tmp_path, "turn", code=2)["error"]
    assert error["key"] == "recipe_fails"
    assert "line 2" in error["what"]
    (tmp_path / "recipe.py").write_text("recipe = 3\n", "utf-8")
    assert said("-C", tmp_path, "turn", code=2)["error"]["key"] == "no_recipe"


def test_nothing_escapes_as_a_stack_trace(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("bapsim.wheel.audit.check", broken)
    error = said("-C", project, "check", code=2)["error"]
    assert error["key"] == "unexpected"
    assert "ZeroDivisionError: planted" in error["what"]
    assert "Traceback" not in run("-C", project, "check", code=2).output
    monkeypatch.setenv("BAPSIM_TRACE", "1")
    assert "Traceback" in run("-C", project, "check", code=2).stderr


def test_help_follows_the_language() -> None:
    assert "질문" in run("--lang", "ko", "--help").stdout
    korean = run("turn", "--help", "--lang", "ko").stdout
    assert "끊긴 턴은" in korean
    assert not re.search("Usage|Options|Show this", korean), "click's own words are translated, too"
    assert not re.search("Commands|Show the", run("--lang", "ko", "--help").stdout)
    assert "interrupted turn" in run("turn", "--help").stdout
    assert run("--help").stdout.split("Commands:")[1].split()[0] == "audit"


def test_the_incumbent_is_beaten_or_not(project: Path, rows: list[dict[str, str]], tmp_path: Path) -> None:
    root = tmp_path / "fresh"
    file = write_csv(tmp_path / "data.csv", [row for row in rows if row["label"]])
    run("new", root, "--from", file, "--text", "text", "--target", "label")
    perfect = [{"text": row["text"], "prediction": row["label"]} for row in rows if row["label"]]
    theirs = write_csv(tmp_path / "theirs.csv", perfect[1:])
    error = said("-C", root, "turn", "--incumbent", theirs, code=2)["error"]
    assert error["key"] == "incumbent_has_gaps"
    assert "1 of 270" in error["what"]
    write_csv(theirs, perfect)
    turn = said("-C", root, "turn", "--incumbent", theirs)
    assert turn["opponent"] == "incumbent"
    assert turn["decision"]["verdict"] != "accept"
    wrong = write_csv(tmp_path / "wrong.csv", [{"text": "a", "label": "card"}])
    assert said("-C", root, "turn", "--incumbent", wrong, code=2)["error"]["key"] == "input_missing"


def test_who_adds_what_was_missing_is_not_stuck(tmp_path: Path) -> None:
    few = [{"text": "카드 분실", "label": "card"}, {"text": "loan interest", "label": "loan"}]
    run("new", tmp_path / "p", "--from", write_csv(tmp_path / "few.csv", few))
    write_csv(tmp_path / "p/inbox/data/few.csv", few[:1])
    assert said("-C", tmp_path / "p", "turn", code=2)["error"]["key"] == "one_class"
    run("-C", tmp_path / "p", "add", write_csv(tmp_path / "more.csv", sentences(60, 4)))
    done = said("-C", tmp_path / "p", "turn")
    assert (done["turn"], done["fresh"]["data"]) == (2, 60)
    assert said("-C", tmp_path / "p", "check")["ok"]
    assert said("-C", tmp_path / "p", "show")["turn"] == 2


def test_the_demonstration_is_played_by_the_verbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bapsim.demo.LABELLED", 150)
    monkeypatch.setattr("bapsim.demo.POOL", 120)
    monkeypatch.setattr("bapsim.demo.LATE", 60)
    smaller = (("table_boosted()", "table_boosted(trees=10, rounds=3)"), ("budget=200", "budget=40"))
    monkeypatch.setattr("bapsim.demo.EDITS", smaller)
    monkeypatch.setenv("BAPSIM_KEY", "00" * 32)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/mine.txt").write_text("not the demo's")
    done = run("demo", tmp_path / "demo")
    assert done.stdout.count("$ bapsim") == 11
    assert "confused on purpose" in done.stdout
    place = tmp_path / "demo-2"
    assert str(place / "digits/reports/turn-003/index.html") in done.stdout
    assert said("-C", place / "digits", "check")["ok"]
    assert len(said("-C", place / "digits", "show")["curve"]) == 3
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["mine.txt"]


def test_a_corrected_row_and_a_corrected_answer_take_the_place_of_the_old(tmp_path: Path) -> None:
    rows = [{"uid": f"u-{i:03d}"} | row for i, row in enumerate(sentences(300, 1))]
    for row in rows[240:]:
        row["label"] = ""
    for row in rows[:5]:
        row["label"] = "loan" if row["label"] == "card" else "card"
    root, wrong = tmp_path / "wheel", rows[:5]
    run("new", root, "--from", write_csv(tmp_path / "a.csv", rows), "--target", "label")
    recipe = (root / "recipe.py").read_text("utf-8")
    assert "  # key='uid' before turn 1: corrections replace" in recipe
    (root / "recipe.py").write_text(recipe.replace("  # key", " key='uid',  # key"), "utf-8")
    run("-C", root, "turn")
    sheet = tmp_path / "1.csv"
    run("-C", root, "ask", "-o", sheet)
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        asked = [row | {"label": "card"} for row in csv.DictReader(file)]
    pool = {row["text"] for row in rows[240:]}
    write_csv(tmp_path / "1.csv", [row for row in asked if row["text"] in pool][:10])
    right = [row | {"label": truth["label"]} for row, truth in zip(wrong, sentences(300, 1), strict=False)]
    run("-C", root, "add", tmp_path / "1.csv", write_csv(tmp_path / "b.csv", right))
    turn = said("-C", root, "turn")
    counts = turn["accounts"]
    assert not any(one["refused"] for one in turn["suspects"])
    assert counts["superseded"] == 10 + 5, "ten questions, and five wrong rows, exam items or not"
    for row in right:
        one, other = said("-C", root, "why", row["uid"])["found"]
        assert (one["stands"], one["target"] == row["label"]) == ("superseded", False)
        assert (other["stands"] in ("trained", "exam"), other["target"]) == (True, row["label"])
    write_csv(tmp_path / "2.csv", [row | {"label": "loan"} for row in asked[:2]])
    run("-C", root, "add", tmp_path / "2.csv")
    later = said("-C", root, "turn")
    assert later["accounts"]["unread"] == 0
    assert later["accounts"]["lines"] == counts["lines"] + 2, "each line counts once"
    assert said("-C", root, "check")["ok"]


def test_rows_are_found_by_words_and_what_was_left_out_is_listed(tmp_path: Path) -> None:
    root, rows = tmp_path / "wheel", sentences(150, 1)
    rows += [rows[0], rows[1]]
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n", "utf-8")
    run("new", root, "--from", file, "--target", "label")
    run("-C", root, "turn")
    (line,) = said("-C", root, "show", "--list", "unread")["unread"]
    assert (line["file"], line["line"], line["reason"]) == ("data/a.jsonl", 153, "json")
    assert "a.jsonl:153" in run("-C", root, "show", "--list", "unread").stdout
    counts = said("-C", root, "show")["accounts"]
    refused = said("-C", root, "show", "--list", "refused")["refused"]
    assert len(refused) == counts["refused"] >= 1
    assert {one["reason"] for one in refused} <= {"near_duplicate", "exam_leak"}
    assert refused[0]["id"][:8] in run("-C", root, "show", "--list", "refused").stdout
    words = " ".join(rows[0]["text"].split()[:5])
    assert len(said("-C", root, "why", words.upper())["found"]) == 2
    assert "2 records" in run("-C", root, "why", words).stdout
    alone = said("-C", root, "why", rows[7]["text"])
    assert alone["row"]["text"] == rows[7]["text"]


def test_what_to_type_next_names_the_project(tmp_path: Path) -> None:
    root = tmp_path / "wheel"
    run("new", root, "--from", write_csv(tmp_path / "a.csv", sentences(60, 1)), "--target", "label")
    assert f"bapsim -C {root} turn" in said("-C", root, "show", code=2)["error"]["next"]


def test_show_says_that_a_turn_was_interrupted(project: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(project, root)
    command = [sys.executable, "-c", "from bapsim.cli import main; main()", "-C", str(root), "turn"]
    died = subprocess.run(command, env={**os.environ, "BAPSIM_FAULT": "12"}, capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL
    assert said("-C", root, "show")["interrupted"] == 2
    assert "interrupted" in run("-C", root, "show").stdout
    run("-C", root, "turn")
    assert said("-C", root, "show")["interrupted"] is None


def test_a_project_is_exported_as_its_turn_left_it(project: Path, tmp_path: Path) -> None:
    told = said("-C", project, "export", tmp_path / "out", "--what", "all")
    counts = json.loads((project / "reports/turn-001/report.json").read_text("utf-8"))["accounts"]
    names = {"train": "trained", "test": "exam", "unlabelled": "pool", "refused": "refused"}
    assert {names[split]: rows for split, rows in told["splits"].items()} == {
        name: counts[name] for name in names.values() if counts[name]
    }
    assert (tmp_path / "out" / "README.md").is_file()


def test_asking_when_nothing_is_open_says_so(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "copy")
    recipe = tmp_path / "copy" / "recipe.py"
    recipe.write_text(recipe.read_text("utf-8").replace("budget=200", "budget=0"), "utf-8")
    run("-C", tmp_path / "copy", "turn")
    assert said("-C", tmp_path / "copy", "ask", "-o", tmp_path / "none.csv") == {"questions": 0, "path": None}
    missing = tmp_path / "no" / "such" / "q.csv"
    assert said("-C", project, "ask", "-o", missing, code=2)["error"]["key"] == "no_such_folder"
    assert not missing.parent.exists()


def test_blank_sheets_wide_marks_and_mended_slips(project: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(project, root)
    sheet = tmp_path / "q.csv"
    run("-C", root, "ask", "-o", sheet)
    assert said("-C", root, "add", sheet, code=2)["error"]["key"] == "sheet_is_blank"
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        asked = list(csv.DictReader(file))
    for i, one in enumerate(asked):
        one["label"] = "？" if i % 2 else "crad" if i == 0 else "card"
    said("-C", root, "add", write_csv(tmp_path / "filled.csv", asked))
    run("-C", root, "turn")
    run("-C", root, "ask", "-o", tmp_path / "q2.csv")
    assert "？" not in (tmp_path / "q2.classes.txt").read_text("utf-8")
    asked[0]["label"] = "card"
    said("-C", root, "add", write_csv(tmp_path / "mended.csv", asked))
    run("-C", root, "turn")
    run("-C", root, "ask", "-o", tmp_path / "q3.csv")
    assert "crad" not in (tmp_path / "q3.classes.txt").read_text("utf-8"), "nobody says it any more"
