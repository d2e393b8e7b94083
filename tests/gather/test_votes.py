"""Several raters: one record an item, its label settled, every vote kept, and every line accounted for."""

import csv
import gzip
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.errors import InputError, RecipeError
from bapsim.core.records import Task
from bapsim.core.turn import Turn
from bapsim.gather.chunk import NotRead
from bapsim.gather.votes import votes, votes_in
from bapsim.raters.lines import said_of_votes
from bapsim.raters.votes import counted, majority, pairs_of

TASK = Task(input="text", target="label")


@pytest.fixture
def turn(tmp_path):
    return Turn(n=1, seed=0, task=TASK, inbox=tmp_path)


def gathered(source, turn):
    drafts = list(source(turn))
    rows = [row for d in drafts for row in d.rows.to_pylist()]
    return rows, [(u.line, u.reason, u.detail) for d in drafts for u in d.unread], drafts


LONG = (
    "id,text,who,vote,seconds\n1,a,kim,x,3\n1,a,lee,x,4\n2,b,lee,y,2\n1,a,park,y,9\n2,b,kim,x,1\n3,c,kim,,5\n"
)


def test_a_vote_a_line(turn):
    (turn.inbox / "v.csv").write_text(LONG)
    source = votes("v.csv", vote="vote", rater="who", item="id", rights="own")
    rows, unread, drafts = gathered(source, turn)
    assert rows == [
        {"id": 1, "text": "a", "label": "x", "votes": ["x", "x", "y"], "raters": ["kim", "lee", "park"]},
        {"id": 2, "text": "b", "label": None, "votes": ["x", "y"], "raters": ["kim", "lee"]},
        {"id": 3, "text": "c", "label": None, "votes": [], "raters": []},
    ]
    assert unread == []
    (draft,) = drafts
    assert draft.keys == ["1", "2", "3"], "an item has one name, whoever rated it"
    said = said_of_votes(pairs_of(draft.rows.column("votes"), draft.rows.column("raters")))
    told = sorted((one.person, one.item, one.label) for one in said)
    assert told == [
        ("kim", "0", "x"),
        ("kim", "1", "x"),
        ("lee", "0", "x"),
        ("lee", "1", "y"),
        ("park", "0", "y"),
    ]
    assert draft.rows.schema.field("votes").type == pa.list_(pa.string())
    assert (draft.origin.method, draft.origin.target_maker, draft.origin.batch) == (
        "votes",
        "person",
        "v.csv",
    )
    shuffled = LONG.splitlines()[:1] + LONG.splitlines()[:0:-1]
    (turn.inbox / "v.csv").write_text("\n".join(shuffled))
    again, _, _ = gathered(source, turn)
    assert sorted(again, key=lambda row: row["id"]) == rows, "the order of lines is no part of a record"


def test_a_column_a_rater(turn):
    (turn.inbox / "v.csv").write_text("text,a,b,c\none,x,x,y\ntwo,x,,y\nthree, ,,\n")
    rows, _, (draft,) = gathered(votes("v.csv", vote=("a", "b", "c")), turn)
    assert [(r["text"], r["label"], r["votes"], r["raters"]) for r in rows] == [
        ("one", "x", ["x", "x", "y"], ["a", "b", "c"]),
        ("two", None, ["x", "y"], ["a", "c"]),
        ("three", None, [], []),
    ]
    assert draft.keys is None


def test_a_list_of_votes(turn):
    lines = [
        {"text": "one", "said": ["x", "y", "x"], "by": ["k", "l", "m"], "gold": "y", "n": 1.5},
        {"text": "two", "said": [1, 1, None], "by": ["k", "l", "m"], "gold": None},
        {"text": "three", "said": ["x"], "by": ["k", "l"]},
        {"text": "four", "said": {"x": 2, "y": 1}},
        {"text": "five", "said": {"x": -1}},
    ]
    (turn.inbox / "v.jsonl").write_text("\n".join(map(json.dumps, lines)))
    rows, unread, _ = gathered(votes("v.jsonl", vote="said", rater="by"), turn)
    assert rows == [
        {
            "text": "one",
            "gold": "y",
            "n": 1.5,
            "label": "x",
            "votes": ["x", "y", "x"],
            "raters": ["k", "l", "m"],
        },
        {"text": "two", "gold": None, "n": None, "label": "1", "votes": ["1", "1"], "raters": ["k", "l"]},
        {
            "text": "four",
            "gold": None,
            "n": None,
            "label": "x",
            "votes": ["x", "x", "y"],
            "raters": [None] * 3,
        },
    ]
    assert [(line, reason) for line, reason, _ in unread] == [(3, "raters"), (5, "raters")]
    settled, _, _ = gathered(votes("v.jsonl", vote="said", rater="by", settled="gold"), turn)
    assert [(row["label"], "gold" in row) for row in settled] == [("y", False), (None, False), (None, False)]


def test_the_files_own_label_is_not_overwritten(turn):
    """A column with the target's name is the settled label, also where nobody says so."""
    (turn.inbox / "v.csv").write_text("text,a,b,label\none,x,x,y\ntwo,x,x,\n")
    rows, _, _ = gathered(votes("v.csv", vote=("a", "b")), turn)
    assert [row["label"] for row in rows] == ["y", None]
    (turn.inbox / "w.csv").write_text("id,text,label\n1,a,x\n1,a,x\n1,a,y\n")
    rows, _, _ = gathered(votes("w.csv", vote="label", item="id"), turn)
    assert [(row["label"], row["votes"]) for row in rows] == [("x", ["x", "x", "y"])]


def test_items_in_a_file_of_their_own(turn):
    (turn.inbox / "v.csv").write_text("id,who,vote\n1,kim,x\n9,kim,x\n,lee,x\n1,lee,x\n")
    (turn.inbox / "items.jsonl").write_text(
        '{"id": "1", "text": "a"}\n{"id": "2", "text": "b"}\n{"id": "1", "text": "c"}\n{"text": "d"}\n'
    )
    source = votes("v.csv", vote="vote", rater="who", item="id", items="items.jsonl")
    rows, unread, drafts = gathered(source, turn)
    assert rows == [
        {"id": "1", "text": "a", "label": "x", "votes": ["x", "x"], "raters": ["kim", "lee"]},
        {"id": "2", "text": "b", "label": None, "votes": [], "raters": []},
    ]
    assert sorted(unread) == [
        (3, "item", "1"),
        (3, "unknown_item", "9"),
        (4, "no_key", "id"),
        (4, "no_key", "id"),
    ]
    assert [path.name for path in source.reads(turn)] == ["v.csv", "items.jsonl"]
    assert {d.origin.batch for d in drafts} == {None, "items.jsonl"}


def test_lines_that_disagree_about_an_item(turn):
    (turn.inbox / "v.csv").write_text("id,text,who,vote,when\n1,a,kim,x,1\n1,b,lee,y,2\n1,,park,x,3\n")
    rows, unread, _ = gathered(votes("v.csv", vote="vote", rater="who", item="id"), turn)
    assert [(row["text"], row["votes"]) for row in rows] == [("a", ["x", "x"])]
    assert "when" not in rows[0], "what differs between the votes is not of the item"
    assert unread == [(3, "item", "1: text")]


def test_types_nulls_and_words(turn):
    (turn.inbox / "v.csv").write_text("id,n,vote,settled\n1,5,x,3.5\n2,six,NA,4\n1,5,NA,3.5\n")
    task = Task(input=("n",), target="score", kind="table")
    turn = Turn(n=1, seed=0, task=task, inbox=turn.inbox)
    source = votes("v.csv", vote="vote", item="id", settled="settled", types={"n": "int64"}, nulls=("NA",))
    rows, unread, _ = gathered(source, turn)
    assert rows == [{"id": 1, "n": 5, "score": 3.5, "votes": ["x"], "raters": [None]}]
    assert [(line, reason) for line, reason, _ in unread] == [(3, "type")]


def test_what_cannot_be(turn):
    (turn.inbox / "v.csv").write_text("id,text,vote,votes\n1,a,x,y\n")
    with pytest.raises(InputError, match="no column who"):
        list(votes("v.csv", vote="vote", rater="who")(turn))
    with pytest.raises(InputError, match="columns named votes"):
        list(votes("v.csv", vote="vote")(turn))
    rows, _, _ = gathered(votes("v.csv", vote="vote", rename={"votes": "theirs"}), turn)
    assert rows[0]["theirs"] == "y"
    for wrong in ({"settle": "vibes"}, {"settle": "one_coin"}, {"items": "i.csv"}):
        with pytest.raises(RecipeError):
            votes("v.csv", vote="vote", **wrong)
    (turn.inbox / "i.csv").write_text("name,text\n1,a\n")
    with pytest.raises(InputError, match="no column id"):
        list(votes("v.csv", vote="vote", item="id", items="i.csv")(turn))
    assert list(votes("not-yet/", vote="v")(turn)) == []
    (turn.inbox / "odd").mkdir()
    (turn.inbox / "odd" / "x.pdf").write_text("?")
    assert gathered(votes("odd/", vote="v"), turn)[1] == [(0, "format", "unknown kind of file")]


def test_whose_file_it_is(turn):
    (turn.inbox / "v.csv").write_text(LONG)
    assert votes("votes/", vote="vote", rater="who", item="id").takes(turn.inbox / "v.csv", TASK)
    assert not votes("votes/", vote="vote", rater="name").takes(turn.inbox / "v.csv", TASK)
    assert not votes("votes/", vote="vote").takes(turn.inbox / "absent.csv", TASK)


NAME, LABEL = st.sampled_from("klm"), st.sampled_from("xyz")


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 4), NAME, LABEL | st.just("")), max_size=25))
def test_every_line_is_a_vote_or_blank(tmp_path_factory, lines):
    inbox = tmp_path_factory.mktemp("votes")
    with (inbox / "v.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["id", "text", "who", "vote"], *([i, f"t{i}", r, v] for i, r, v in lines)]
        )
    turn = Turn(n=1, seed=0, task=TASK, inbox=inbox)
    rows, unread, _ = gathered(votes("v.csv", vote="vote", rater="who", item="id"), turn)
    assert unread == []
    assert sum(len(row["votes"]) for row in rows) == sum(v != "" for _, _, v in lines)
    assert {row["id"] for row in rows} == {i for i, _, _ in lines}
    for row in rows:
        pairs = list(zip(row["raters"], row["votes"], strict=True))
        assert row["label"] == majority(pairs)


# ---------------------------------------------------------------- settling


def test_cells_of_votes():
    assert votes_in("x", "kim") == [("kim", "x")]
    assert votes_in(" ", "kim") == votes_in(None, None) == []
    assert votes_in('["a", 2, null, ""]', None) == [(None, "a"), (None, "2")]
    assert votes_in('["a", "b"]', '["k", null]') == [("k", "a"), (None, "b")]
    assert votes_in('["a", "b"]', "kim") == [("kim", "a"), ("kim", "b")]
    assert votes_in("[not json", None) == [(None, "[not json")]
    assert votes_in('{"a": 2, "b": 0}', None) == [(None, "a"), (None, "a")]
    for wrong in ('{"a": 1e9}', '{"a": true}', '{"a": 100000}'):
        with pytest.raises(NotRead):
            votes_in(wrong, None)


def test_majority():
    assert majority([("k", "x"), ("l", "y"), ("m", "x")]) == "x"
    assert majority([("k", "x"), ("l", "y")]) is None
    assert majority([]) is None
    assert majority([("k", "x"), ("k", "y"), ("l", "y")]) == "y", "a rater's last vote counts"
    assert majority([(None, "x"), (None, "x"), (None, "y")]) == "x", (
        "nobody knows whose they are: each counts"
    )
    assert counted([("k", "x"), ("l", "y"), ("k", "z")]) == [("l", "y"), ("k", "z")]


def test_what_is_known_of_some_items_settles_the_others(turn):
    """Two who know and three who share a mistake: `gold` speaks for the two; it is no column of a record."""
    lines = ["id,text,who,vote,known"]
    for i in range(60):
        for who in "abcde":
            vote = "y" if who in "cde" and i % 3 else "x"
            lines.append(f"{i},t{i},{who},{vote},{'x' if i < 10 else ''}")
    (turn.inbox / "v.csv").write_text("\n".join(lines))
    found = {}
    for how in ("majority", "weighted", "tested"):
        source = votes("v.csv", vote="vote", rater="who", item="id", gold="known", settle=how)
        rows, unread, _ = gathered(source, turn)
        assert unread == []
        assert "known" not in rows[0]
        assert all(row["label"] == "x" for row in rows[:10]), "what is known stands"
        found[how] = [row["label"] for row in rows[10:]].count("x")
    assert found == {"majority": 16, "weighted": 50, "tested": 50}
    with pytest.raises(RecipeError, match="gold"):
        votes("v.csv", vote="vote", rater="who", settle="tested")
    with pytest.raises(InputError, match="no column absent"):
        gathered(votes("v.csv", vote="vote", rater="who", item="id", gold="absent", settle="tested"), turn)


def test_real_crowds(data, turn):
    """KLUE: the settled label of the file; a film-review crowd: a label for each item but for ties."""
    turn = Turn(n=1, seed=0, task=Task(input=("premise", "hypothesis"), target="gold"), inbox=data)
    rows, unread, _ = gathered(votes("klue_nli_ko/annot.jsonl.gz", vote="raters", item="id"), turn)
    assert (len(rows), unread) == (1986, [])
    assert all(len(row["votes"]) == 4 for row in rows)
    agree = [row["gold"] == majority([(None, v) for v in [*row["votes"], row["author"]]]) for row in rows]
    assert np.mean(agree) == 1, "KLUE settles by its author and four raters"
    turn = Turn(n=1, seed=0, task=Task(input="task", target="label"), inbox=data)
    rows, _, _ = gathered(votes("crowd/cf/labels.csv.gz", vote="label", rater="worker", item="task"), turn)
    with gzip.open(data / "crowd/cf/gold.csv.gz", "rt") as file:
        truth = {int(row["task"]): row["gold"] for row in csv.DictReader(file)}
    right = [row["label"] == truth[row["task"]] for row in rows if row["label"] is not None]
    assert (len(rows), len(right)) == (203, 184)
    assert np.mean(right) > 0.9
