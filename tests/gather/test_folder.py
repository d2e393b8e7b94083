"""A folder of pictures as a source: classes, pools, names, links, and everything that is no picture."""

import unicodedata
from pathlib import Path

import pytest

from bapsim.core.errors import InputError, RecipeError
from bapsim.core.records import Draft, Task
from bapsim.core.turn import Turn
from bapsim.gather.folder import folder
from tests.image.pictures import encoded, kind_of, part, write_parts

TASK = Task(input="image", target="label", kind="image")


def drafts(inbox: Path, path: str = "data/", *, labelled: bool = True) -> list[Draft]:
    return list(folder(path, labelled=labelled)(Turn(n=1, seed=0, task=TASK, inbox=inbox)))


def rows(found: list[Draft]) -> list[dict[str, object]]:
    return [row for draft in found for row in draft.rows.to_pylist()]


def unread(found: list[Draft]) -> dict[str, str]:
    return {one.file: one.reason for draft in found for one in draft.unread}


def test_a_sub_folder_is_a_class(tmp_path: Path) -> None:
    write_parts(tmp_path / "data", range(10))
    (tmp_path / "data" / "loose.png").write_bytes(encoded(part(99, "free")))
    found = rows(drafts(tmp_path))
    assert len(found) == 11
    for row in found[:-1]:
        i = int(str(row["file"])[-8:-4])
        assert row["label"] == kind_of(i)
        assert row["image"] == (tmp_path / "data" / str(row["file"])).read_bytes()
        assert (row["width"], row["height"], row["turned"]) == (48, 48, False)
    assert (found[-1]["label"], found[-1]["file"]) == (None, "loose.png")
    keys = [key for draft in drafts(tmp_path) for key in draft.keys or ()]
    assert keys == [str(row["file"]).rpartition("/")[2] for row in found]


def test_a_pool_has_no_classes_and_may_not_be_there_yet(tmp_path: Path) -> None:
    assert drafts(tmp_path, "pool/") == []
    write_parts(tmp_path / "pool" / "line", range(5))
    found = rows(drafts(tmp_path, "pool/", labelled=False))
    assert [row["label"] for row in found] == [None] * 5


def test_deliveries_are_told_apart(tmp_path: Path) -> None:
    for name in ("monday", "friday"):
        for kind in ("free", "crack"):
            place = tmp_path / "data" / kind / name
            place.mkdir(parents=True)
            (place / "a.png").write_bytes(encoded(part(len(name), kind)))
    found = drafts(tmp_path)
    assert {(d.origin.batch, d.rows.column("label")[0].as_py()) for d in found} == {
        (name, kind) for name in ("monday", "friday") for kind in ("free", "crack")
    }


def test_whatever_is_no_picture_is_named(tmp_path: Path) -> None:
    place = tmp_path / "data" / "crack"
    place.mkdir(parents=True)
    whole = encoded(part(1, "crack"))
    (place / "good.png").write_bytes(whole)
    (place / "wrong-name.jpg").write_bytes(whole)
    (place / "half.png").write_bytes(whole[: len(whole) // 2])
    (place / "empty.png").write_bytes(b"")
    (place / "notes.txt").write_text("균열")
    (place / ".DS_Store").write_bytes(b"hidden")
    (tmp_path / "secret.png").write_bytes(whole)
    (place / "away.png").symlink_to(tmp_path / "secret.png")
    (place / "nowhere.png").symlink_to(place / "gone.png")
    (place / "round").symlink_to(tmp_path / "data")
    (place / "near.png").symlink_to(place / "good.png")
    found = drafts(tmp_path)
    assert [row["file"] for row in rows(found)] == [f"crack/{n}.png" for n in ("good", "near")] + [
        "crack/wrong-name.jpg"
    ]
    assert unread(found) == {
        "crack/half.png": "truncated",
        "crack/empty.png": "empty_file",
        "crack/notes.txt": "not_a_picture",
        "crack/away.png": "outside",
        "crack/nowhere.png": "outside",
        "crack/round": "outside",
    }


def test_names_of_macos_and_of_nobody(tmp_path: Path) -> None:
    for name in ("NFC", "NFD"):
        place = tmp_path / "data" / unicodedata.normalize(name, f"균열{name[:0]}")
        place.mkdir(parents=True)
        (place / unicodedata.normalize(name, f"사진-{name}.png")).write_bytes(
            encoded(part(len(name), "crack"))
        )
    strange = tmp_path / "data" / "free"
    strange.mkdir()
    (Path(str(strange)) / "\udcb1\udcd5.png").write_bytes(encoded(part(3, "free")))
    found = drafts(tmp_path)
    assert {row["label"] for row in rows(found)} == {"균열"}
    assert {row["file"] for row in rows(found)} == {"균열/사진-NFC.png", "균열/사진-NFD.png"}
    assert list(unread(found).values()) == ["encoding"]


def test_a_folder_is_meant(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(encoded(part(1, "free")))
    with pytest.raises(InputError, match="not a folder"):
        drafts(tmp_path)
    with pytest.raises(InputError, match="leads out"):
        drafts(tmp_path, "../")
    two = Turn(n=1, seed=0, task=Task(input=("a", "b"), target="c", kind="image"), inbox=tmp_path)
    with pytest.raises(RecipeError, match="one input column"):
        list(folder("x/")(two))
    with pytest.raises(RecipeError):
        folder("x/", maker="robot")  # type: ignore[arg-type]


def test_a_table_may_say_the_classes(tmp_path: Path) -> None:
    write_parts(tmp_path / "photos" / "a", range(4), labelled=False)
    table = tmp_path / "labels.csv"
    names = ["a/part0000.png", ".\\a\\part0001.png", "a/part0002.png", "a/part0002.png", "a/gone.png"]
    lines = "\n".join(
        f"{name},{kind}" for name, kind in zip(names, ["x", "균열", " ", "x", "x"], strict=True)
    )
    table.write_text(f"file,label\n{lines}\n", "cp949")
    turn = Turn(n=1, seed=0, task=TASK, inbox=tmp_path)
    source = folder("photos/", labels="labels.csv")
    found = list(source(turn))
    assert [(row["file"], row["label"]) for row in rows(found)] == [
        ("a/part0000.png", "x"),
        ("a/part0001.png", "균열"),
        ("a/part0002.png", None),
        ("a/part0003.png", None),
    ]
    lost = [(one.line, one.reason, one.detail) for draft in found for one in draft.unread]
    assert lost == [(5, "duplicate_key", "a/part0002.png"), (6, "no_picture", "a/gone.png")]
    assert source.reads(turn)[0] == table
    table.write_text("name,label\nx,y\n")
    with pytest.raises(InputError, match="file"):
        list(source(turn))
