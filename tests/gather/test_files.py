"""Files as a source: the inbox and nothing else, pools, keys, declared types, every record accounted for."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pytest

from bapsim.core.errors import InputError, RecipeError
from bapsim.core.fingerprint import fingerprint
from bapsim.core.records import Task
from bapsim.core.turn import Turn
from bapsim.gather.files import files


def turn_in(inbox: Path) -> Turn:
    return Turn(n=1, seed=0, task=Task(input="text", target="label"), inbox=inbox)


def rows_of(source, turn):
    drafts = list(source(turn))
    return [row for d in drafts for row in d.rows.to_pylist()], [u for d in drafts for u in d.unread], drafts


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def test_a_labelled_file_is_peoples(inbox):
    (inbox / "a.csv").write_text("id,text,label\n007,good,1\n008,so so,\n009,bad,0\n010,worse,x\n")
    source = files("a.csv", rights="own", key="id", types={"label": "int64"})
    rows, unread, (draft,) = rows_of(source, turn_in(inbox))
    assert rows == [
        {"id": "007", "text": "good", "label": 1},
        {"id": "008", "text": "so so", "label": None},
        {"id": "009", "text": "bad", "label": 0},
    ]
    assert draft.keys == ["007", "008", "009"]
    assert (draft.origin.input_maker, draft.origin.target_maker, draft.origin.rights) == (
        "person",
        "person",
        "own",
    )
    assert [(u.file, u.line, u.reason) for u in unread] == [("a.csv", 5, "type")]


def test_pools(inbox):
    (inbox / "a.jsonl").write_text('{"text": "x"}\n{"text": "y"}\n')
    rows, _, (draft,) = rows_of(files("a.jsonl"), turn_in(inbox))
    assert rows == [{"text": "x", "label": None}, {"text": "y", "label": None}]
    assert draft.rows.schema.field("label").type == pa.string()
    assert draft.keys is None
    (inbox / "b.jsonl").write_text('{"text": "x", "label": "a"}\n{"text": "y", "label": " "}\n')
    assert [row["label"] for row in rows_of(files("b.jsonl"), turn_in(inbox))[0]] == ["a", None]
    assert [row["label"] for row in rows_of(files("b.jsonl", labelled=False), turn_in(inbox))[0]] == [
        None,
        None,
    ]


def test_a_folder_is_read_as_one(inbox):
    (inbox / "in" / "deep").mkdir(parents=True)
    (inbox / "in" / "b.csv").write_text("text,label,n\ny,b,1.5\n")
    (inbox / "in" / "a.jsonl").write_text('{"text": "x", "label": "a", "n": 1}\n{\n')
    (inbox / "in" / "deep" / "c.tsv").write_text("text\tlabel\nz\tc\n")
    (inbox / "in" / "d.xyz").write_text("?")
    (inbox / "in" / ".hidden").write_text("?")
    rows, unread, _ = rows_of(files("in/"), turn_in(inbox))
    assert rows == [
        {"text": "x", "label": "a", "n": 1.0},
        {"text": "y", "label": "b", "n": 1.5},
        {"text": "z", "label": "c", "n": None},
    ]
    assert [(u.file, u.line, u.reason) for u in unread] == [
        ("in/a.jsonl", 2, "json"),
        ("in/d.xyz", 0, "format"),
    ]
    names = [path.relative_to(inbox).as_posix() for path in files("in/").reads(turn_in(inbox))]
    assert names == ["in/a.jsonl", "in/b.csv", "in/d.xyz", "in/deep/c.tsv"]


def test_all_chunks_have_one_schema(inbox):
    lines = [{"text": f"{i}", "label": "a"} | ({"late": i} if i > 9000 else {}) for i in range(10_000)]
    (inbox / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    drafts = list(files("a.jsonl")(turn_in(inbox)))
    assert len(drafts) == 2
    assert drafts[0].rows.schema == drafts[1].rows.schema
    assert drafts[1].rows.schema.field("late").type == pa.int64()


def test_names_stay_in_the_inbox(inbox, tmp_path):
    (tmp_path / "secret.csv").write_text("text\nx\n")
    (inbox / "link.csv").symlink_to(tmp_path / "secret.csv")
    (inbox / "folder").mkdir()
    (inbox / "folder" / "link.csv").symlink_to("/etc/passwd")
    (inbox / "loop.csv").symlink_to("loop.csv")
    for name in (
        "../secret.csv",
        str(tmp_path / "secret.csv"),
        "link.csv",
        "folder/",
        "a\0.csv",
        "x/../../secret.csv",
    ):
        with pytest.raises(InputError, match="leads out"):
            list(files(name)(turn_in(inbox)))
    for name in ("loop.csv", "missing.csv"):
        with pytest.raises(InputError):
            files(name).reads(turn_in(inbox))
    assert list(files("not-yet/")(turn_in(inbox))) == []


def test_a_link_inside_the_inbox_is_fine(inbox):
    (inbox / "a.csv").write_text("text,label\nx,a\n")
    (inbox / "b.csv").symlink_to("a.csv")
    assert rows_of(files("b.csv"), turn_in(inbox))[0] == [{"text": "x", "label": "a"}]


def test_pipes_and_folders_named_like_files(inbox):
    os.mkfifo(inbox / "a.csv")
    with pytest.raises(InputError, match="not a file"):
        files("a.csv").reads(turn_in(inbox))
    (inbox / "b.csv").mkdir()
    assert list(files("b.csv")(turn_in(inbox))) == []


def test_rows_without_a_key(inbox):
    (inbox / "a.csv").write_text("id,text\n1,x\n,y\n1,x\n")
    _, unread, (draft,) = rows_of(files("a.csv", key="id"), turn_in(inbox))
    assert draft.keys == ["1", "1"]
    assert [(u.line, u.reason, u.detail) for u in unread] == [(3, "no_key", "id")]
    with pytest.raises(InputError, match="no column 'nr'"):
        list(files("a.csv", key="nr")(turn_in(inbox)))


def test_what_is_declared(inbox):
    (inbox / "a.csv").write_text("_id,text,n,label\n1,NA,NA,a\n")
    rows, _, (draft,) = rows_of(
        files("a.csv", rename={"_id": "nr"}, nulls=("NA",), types={"n": "float64"}, maker="unknown"),
        turn_in(inbox),
    )
    assert rows == [{"nr": 1, "text": None, "n": None, "label": "a"}]
    assert draft.rows.schema.field("n").type == pa.float64()
    assert draft.origin.target_maker == "unknown"
    with pytest.raises(RecipeError, match="not known"):
        files("a.csv", maker="alien")
    with pytest.raises(InputError, match="no type named"):
        files("a.csv", types={"a": "number"})


def test_identity():
    assert fingerprint(files("a.csv")) == fingerprint(files("a.csv"))
    assert fingerprint(files("a.csv")) != fingerprint(files("a.csv", types={"a": "string"}))
