"""An audit finds what was planted, says nothing of what it cannot judge, and leaves one page to mail."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from bapsim.wheel.auditing import write_suspects
from tests.cli.conftest import WORDS, run, said, sentences, write_csv

PHONE, RESIDENT = "문의 010-1234-5678로 주세요", "번호는 900101-1234568 입니다"


def planted(count: int = 480) -> list[dict[str, str]]:
    """Rows in two splits: 5 contradictions, 8 copies, 6 leaks, 4 with personal data, 20 swapped labels."""
    rows = [one | {"split": "train"} for one in sentences(count, 1)]
    names = list(WORDS)
    for one in rows[:20]:
        one["label"] = names[(names.index(one["label"]) + 1) % 3]
    rows += [one | {"label": names[(names.index(one["label"]) + 1) % 3]} for one in rows[30:35]]
    rows += [dict(one) for one in rows[40:48]]
    rows += [dict(one) | {"split": "test"} for one in rows[60:66]]
    rows += [{"text": f"{PHONE} {i}", "label": "card", "split": "train"} for i in range(3)]
    return [*rows, {"text": RESIDENT, "label": "loan", "split": "train"}]


def page_of(path: Path) -> str:
    html = path.read_text("utf-8")
    assert not re.search(r'(src|href)="(?!#|data:)', html), "nothing is loaded from anywhere"
    assert "<script" not in html
    return html


def test_each_planted_fault_is_counted(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "planted.csv", planted())
    found = said("audit", file, "-o", tmp_path / "page.html", "--suspects", tmp_path / "sheet.csv")
    assert (found["target"], found["kind"], found["answer"]) == ("label", "text", "class")
    assert found["contradictions"]["groups"] == 5
    assert found["copies"]["exact"] == 14, "eight copies, and the six that leak"
    (leak,) = found["leaks"]["between"]
    assert (leak["rows"], leak["inside"]) == (6, "test")
    assert found["personal"]["rows"] == 4
    assert found["personal"]["kinds"] == {"phone": 3, "resident": 1} or len(found["personal"]["kinds"]) == 2
    lines = {line for _, line in found["lines"]["suspicious"][:40]}
    assert sum(n in lines for n in range(2, 22)) >= 14, "most swapped labels are among the first 2x suspects"
    assert found["touched"] >= 4 + 10
    html = page_of(tmp_path / "page.html")
    assert "010-1234-5678" not in html
    assert "900101-1234568" not in html
    written = (tmp_path / "sheet.csv").read_text("utf-8-sig").count("\n") - 1
    assert written == found["suspicious"]["count"] > 10
    write_suspects(tmp_path / "sheet.xlsx", found)
    sheet = openpyxl.load_workbook(tmp_path / "sheet.xlsx").active
    assert [cell.value for cell in sheet[1]] == ["file", "line", "text", "label", "suggested", "chance wrong"]
    assert sheet.max_row - 1 == written
    assert {cell.value for cell in sheet["D"][1:]} <= set(WORDS)
    assert not list(tmp_path.glob("wheel")), "no project"


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_the_page_speaks_and_hostile_texts_stay_texts(tmp_path: Path, lang: str) -> None:
    rows = (
        planted(120) + [{"text": "<img src=x onerror=alert(1)>", "label": "<b>x</b>", "split": "train"}] * 12
    )
    file = write_csv(tmp_path / "hostile.csv", rows)
    done = run("audit", file, "-o", tmp_path / "p.html", "--lang", lang)
    html = page_of(tmp_path / "p.html")
    assert "onerror=alert" not in re.sub(r"&lt;.*?&gt;", "", html)
    assert "<b>x</b>" not in html
    assert ("deserve a look" in done.stdout) == (lang == "en")
    assert f'<html lang="{lang}">' in html


def test_korean_files_name_their_columns_in_korean(tmp_path: Path) -> None:
    rows = [{"리뷰": r["text"], "감성": r["label"], "분할": r["split"]} for r in planted()]
    file = write_csv(tmp_path / "점검.csv", rows, encoding="cp949")
    found = said("audit", file, "-o", tmp_path / "p.html")
    assert found["target"] == "감성"
    assert found["splits"] == {"train": 490, "test": 6} or set(found["splits"]) == {"train", "test"}
    assert found["leaks"]["between"][0]["rows"] == 6
    book = openpyxl.Workbook()
    for row in [list(rows[0]), *(list(one.values()) for one in rows)]:
        book.active.append(row)
    book.save(tmp_path / "점검.xlsx")
    again = said("audit", tmp_path / "점검.xlsx", "-o", tmp_path / "p2.html")
    for name in ("target", "rows", "touched", "splits"):
        assert again[name] == found[name]


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def test_sets_of_labels_are_counted_and_not_judged_row_by_row(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {
            "text": one["text"],
            "tags": [one["label"], *(["more"] if i % 2 else []), *(["big"] if i % 4 else [])],
        }
        for i, one in enumerate(sentences(120, 3))
    ]
    rows += [rows[0] | {"tags": ["more"]}]
    listed = said("audit", jsonl(tmp_path / "sets.jsonl", rows), "-o", tmp_path / "p.html")
    written = [one | {"tags": "; ".join(sorted(one["tags"]))} for one in rows]
    joined = said("audit", write_csv(tmp_path / "sets.csv", written), "-o", tmp_path / "p.html")
    for found in (listed, joined):
        assert (found["target"], found["answer"]) == ("tags", "labels")
        assert found["labels"]["classes"] == {"big": 90, "more": 61, "account": 40, "card": 40, "loan": 40}
        assert found["contradictions"]["groups"] == 1
        assert "suspicious" not in found
        assert "confused" not in found
    html = page_of(tmp_path / "p.html")
    assert "sets of labels" in html
    one = said("audit", tmp_path / "sets.csv", "--answer", "class", "-o", tmp_path / "p.html")
    assert one["answer"] == "class"
    assert "suspicious" in one


def test_numbers_are_no_classes(tmp_path: Path) -> None:
    rows = [{"a": str(i % 37), "b": str(i * 7 % 101), "y": f"{i * 0.37 + 1:.2f}"} for i in range(300)]
    found = said("audit", write_csv(tmp_path / "n.csv", rows), "--target", "y", "-o", tmp_path / "p.html")
    assert found["answer"] == "number"
    assert found["touched"] == 0
    assert found["labels"]["classes"] == {}
    assert "suspicious" not in found
    assert "contradictions" not in found
    assert "holds numbers" in page_of(tmp_path / "p.html")


def test_where_a_model_cannot_tell_no_label_is_called_suspicious(tmp_path: Path) -> None:
    rows = [{"text": f"{i * 7919:x} {i * 104729:x}", "label": ["a", "b"][i * 31 % 7 % 2]} for i in range(200)]
    found = said("audit", write_csv(tmp_path / "noise.csv", rows), "-o", tmp_path / "p.html")
    assert found["model"]["weak"]
    assert found["touched"] == 0
    assert "--suspects" not in page_of(tmp_path / "p.html")


def test_files_without_labels_and_without_rows(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "free.csv", [{"text": f"{one['text']}"} for one in sentences(40, 5)])
    found = said("audit", file, "-o", tmp_path / "p.html")
    assert (found["target"], found["labels"]) == (None, None)
    page_of(tmp_path / "p.html")
    (tmp_path / "empty.csv").write_text("text,label\n")
    assert said("audit", tmp_path / "empty.csv", code=2)["error"]["key"] == "nothing_to_read"
    assert said("audit", file, "--target", "gone", code=2)["error"]["key"] == "no_such_column"
    assert said("audit", tmp_path / "not there", code=2)["error"]["key"]


def test_several_files_are_several_splits(tmp_path: Path) -> None:
    rows = [{"text": r["text"], "label": r["label"]} for r in sentences(90, 7)]
    train, test = write_csv(tmp_path / "train.csv", rows), write_csv(tmp_path / "test.csv", rows[:9])
    found = said("audit", train, test, "-o", tmp_path / "p.html")
    assert found["splits"] == {"train.csv": 90, "test.csv": 9}
    assert sum(one["rows"] for one in found["leaks"]["between"]) == 9
