"""A factory: pictures in folders, a pool, people's answers, and a wheel that turns with them."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bapsim.store.project import opened
from bapsim.wheel.founding import load_recipe
from bapsim.wheel.inbox import Added
from bapsim.wheel.pictures import add_pictures
from bapsim.wheel.stock import load_stock
from tests.cli.conftest import run, said
from tests.image.pictures import encoded, kind_of, part, write_parts


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after its first turn: 120 labelled pictures, 80 in the pool, one broken file."""
    place = tmp_path_factory.mktemp("factory")
    write_parts(place / "부품", range(120))
    (place / "부품" / "crack" / "half.png").write_bytes(encoded(part(1, "crack"))[:300])
    write_parts(place / "line", range(120, 200), labelled=False)
    run("new", place / "wheel", "--from", place / "부품", "--target", "defect")
    recipe = place / "wheel" / "recipe.py"
    recipe.write_text(recipe.read_text("utf-8").replace("budget=200", "budget=30"), "utf-8")
    run("-C", place / "wheel", "add", place / "line")
    run("-C", place / "wheel", "turn")
    return place


def test_new_writes_a_recipe_for_pictures(factory: Path) -> None:
    recipe = load_recipe(factory / "wheel")
    assert (recipe.task.inputs, recipe.task.target, recipe.task.kind) == (("image",), "defect", "image")
    assert list(recipe.sources) == ["pictures", "pool", "experts", "served"]
    inbox = factory / "wheel" / "inbox"
    assert len(list((inbox / "data" / "free").glob("*.png"))) == 72
    assert len(list((inbox / "pool" / "line").glob("*.png"))) == 80


def test_a_turn_counts_and_shows_no_bytes(factory: Path) -> None:
    told = said("-C", factory / "wheel", "show")
    counts = told["accounts"]
    assert counts["lines"] == 201
    assert counts["unread"] == 1
    assert counts["exam"] >= 30
    assert counts["pool"] >= 70
    (unread,) = said("-C", factory / "wheel", "show", "--list", "unread")["unread"]
    assert (unread["file"], unread["reason"]) == ("crack/half.png", "truncated")
    assert said("-C", factory / "wheel", "check")["ok"]


def test_why_finds_a_picture_by_its_file(factory: Path) -> None:
    about = said("-C", factory / "wheel", "why", "part0007.png")
    body = (factory / "부품" / kind_of(7) / "part0007.png").read_bytes()
    assert about["row"]["image"]["bytes"] == len(body)
    assert about["row"]["file"] == f"{kind_of(7)}/part0007.png"
    words = run("-C", factory / "wheel", "why", "part0007.png").stdout
    assert "part0007.png" in words
    assert "\\x" not in words


def test_predict_a_folder_and_one_picture(factory: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "new", range(300, 310))
    (tmp_path / "new" / "free" / "notes.txt").write_text("no picture")
    done = said("-C", factory / "wheel", "predict", tmp_path / "new", "-o", tmp_path / "out.csv")
    assert (done["lines"], done["unread"]) == (11, 1)
    with (tmp_path / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    right = [row["prediction"] == row["file"].split("/")[0] for row in lines if row["prediction"]]
    assert np.mean(right) >= 0.7
    assert [row["error"] for row in lines if not row["prediction"]] == ["not_a_picture"]
    one = tmp_path / "new" / "free" / "part0300.png"
    run("-C", factory / "wheel", "predict", one, "-o", tmp_path / "one.jsonl")
    assert json.loads((tmp_path / "one.jsonl").read_text())["file"] == "part0300.png"


def test_questions_go_out_with_pictures_and_come_back(factory: Path, tmp_path: Path) -> None:
    root = tmp_path / "wheel"
    shutil.copytree(factory / "wheel", root)
    sheet = tmp_path / "questions.csv"
    said("-C", root, "ask", "-o", sheet)
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        asked = list(csv.DictReader(file))
    assert 20 <= len(asked) <= 30
    page = (tmp_path / "questions.html").read_text("utf-8")
    assert page.count("<img ") == len(asked)
    assert "http" not in page, "it loads nothing"
    for i, row in enumerate(asked):
        assert row["picture"] == f"questions/{i + 1:04d}.png"
        body = (tmp_path / row["picture"]).read_bytes()
        name = Path(row["file"]).name
        (source,) = [path for path in factory.rglob(name) if "wheel" not in path.parts]
        assert body == source.read_bytes()
        row["defect"] = kind_of(int(row["file"][-8:-4]))
    asked[0]["defect"] = "?"
    run("-C", root, "ask", "-o", tmp_path / "questions.csv", code=2)
    run("-C", root, "ask", "-o", tmp_path / "other.pdf", code=2)
    assert not list(tmp_path.glob("other*")), "no pictures without their sheet"
    with sheet.open("w", encoding="cp949", newline="") as file:
        writer = csv.DictWriter(file, list(asked[0]))
        writer.writeheader()
        writer.writerows(asked)
    assert said("-C", root, "add", sheet)["added"][0]["kind"] == "answers"
    told = said("-C", root, "turn")
    assert told["accounts"]["superseded"] == len(asked) - 1
    assert told["fresh"]["experts"] == len(asked) - 1
    with opened(root, writing=False) as project:
        stock = load_stock(project, load_recipe(root).task)
        exam = np.array([r["id"] for r in project.ledger.rows("select id from exam_item")], object)
    answers = stock.of_origins(lambda _, origin: origin.method.startswith("asked:"))
    assert [stock.labels[i] for i in np.flatnonzero(answers)] == [
        kind_of(int(stock.told[i][-8:-4])) for i in np.flatnonzero(answers)
    ]
    assert len(exam) > 0


def test_a_picture_that_is_moved_is_corrected(factory: Path, tmp_path: Path) -> None:
    root = tmp_path / "wheel"
    shutil.copytree(factory / "wheel", root)
    data = root / "inbox" / "data"
    (data / "crack" / "part0002.png").rename(data / "hole" / "part0002.png")
    run("-C", root, "turn")
    with opened(root, writing=False) as project:
        stock = load_stock(project, load_recipe(root).task)
    two = [i for i, name in enumerate(stock.told) if name.endswith("part0002.png")]
    assert [(stock.told[i], stock.labels[i]) for i in two] == [
        ("crack/part0002.png", "crack"),
        ("hole/part0002.png", "hole"),
    ]
    why = said("-C", root, "why", stock.ids[two[0]].tobytes().hex())
    assert why["stands"] in ("superseded", "exam")


def test_bytes_stay_in_their_shards(factory: Path) -> None:
    root = factory / "wheel"
    with opened(root, writing=False) as project:
        recipe = load_recipe(root)
        stock = load_stock(project, recipe.task)
        assert "image" not in stock.records.schema.names
        rows = np.array([150, 3, 77, 3])
        part_of = stock.part(rows)
        shards = [pq.read_table(project.wheel / s.path) for s in stock.shards]
    whole = {
        i: b
        for t in shards
        for i, b in zip(*(t.column(n).to_pylist() for n in ("_id", "image")), strict=True)
    }
    assert [whole[i] for i in part_of.column("_id").to_pylist()] == part_of.column("image").to_pylist()
    assert part_of.schema.names[:2] == ["image", "defect"]
    assert len(stock.part(np.zeros(len(stock), bool))) == 0


def added(root: Path, place: Path) -> Added:
    return add_pictures(root, place, load_recipe(root).task)


def test_pictures_are_added_once_and_never_over_another(factory: Path, tmp_path: Path) -> None:
    root = tmp_path / "wheel"
    shutil.copytree(factory / "wheel", root)
    inbox = root / "inbox"
    write_parts(tmp_path / "more", range(115, 125))
    (tmp_path / "more" / "scratch").mkdir()
    (tmp_path / "more" / "scratch" / "a.png").write_bytes(encoded(part(900, "crack")))
    (tmp_path / "more" / "b.png").write_bytes(encoded(part(901, "free")))
    first = added(root, tmp_path / "more")
    assert (first.kind, first.new, first.rows, first.blanks) == ("pictures", True, 12, 1)
    assert first.labels == {"scratch": 1}, "a class that was not there before is said"
    assert (inbox / "data" / "scratch" / "more" / "a.png").is_file()
    assert (inbox / "pool" / "more" / "b.png").is_file()
    assert not list((inbox / "data").rglob("*115.png"))[1:], "what was there in its class is not copied"
    again = added(root, tmp_path / "more")
    assert not again.new
    (tmp_path / "more" / "b.png").write_bytes(encoded(part(902, "free")))
    added(root, tmp_path / "more" / "b.png")
    added(root, tmp_path / "more")
    assert sorted(p.relative_to(inbox).as_posix() for p in (inbox / "pool").rglob("b*.png")) == [
        "pool/b.png",
        "pool/more/b.png",
    ]
    assert not list(inbox.glob(".*"))


def test_what_new_and_add_refuse(factory: Path, tmp_path: Path) -> None:
    def key(*words: object) -> str:
        return str(json.loads(run(*words, "--json", code=2).stdout)["error"]["key"])

    write_parts(tmp_path / "flat", range(4), labelled=False)
    assert key("new", tmp_path / "p", "--from", tmp_path / "flat") == "no_classes"
    for split in ("train", "test"):
        write_parts(tmp_path / "set" / split, range(10))
    assert key("new", tmp_path / "p", "--from", tmp_path / "set") == "folders_are_parts"
    assert (
        key("new", tmp_path / "p", "--from", tmp_path / "set" / "train", "--text", "x")
        == "pictures_have_no_columns"
    )
    part = tmp_path / "set" / "train"
    assert key("new", tmp_path / "p", "--from", part, "--answer", "number") == "pictures_are_classes"
    (tmp_path / "none" / "a").mkdir(parents=True)
    (tmp_path / "none" / "a" / "x.txt").write_text("x")
    assert key("new", tmp_path / "p", "--from", tmp_path / "none") == "no_pictures"
    assert not (tmp_path / "p").exists()
    assert key("-C", factory / "wheel", "add", tmp_path / "none") == "no_pictures"
    assert key("-C", factory / "wheel", "add", tmp_path / "gone.png") == "not_there"
