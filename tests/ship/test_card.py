"""The dataset card: what must be said is said, counts add up, and a user's words are only words."""

import json
import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bapsim.ship.card import card, front_matter, licenses, percent, rights_notes, unknown_command
from bapsim.ship.certificate import Terms
from bapsim.ship.label import Agreement, Label, Split, Tally
from tests.ship.given import PEOPLE, label_of

QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
LINE = re.compile(r'( *)(- )?([a-z_]+:)?( ?("(?:[^"\\]|\\.)*"|\d+|true|false))?')


def parts(label: Label, lang: str = "en") -> tuple[str, str]:
    """Front matter and body."""
    whole = card(label, lang)
    _, front, body = whole.split("---\n", 2)
    return front, body


def skeleton(label: Label) -> tuple[str, list[tuple[str, str]]]:
    """The front matter, and the tags of the rendered body."""
    front, body = parts(label)
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    flat = [one for token in tokens for one in [token, *(token.children or ())]]
    return front, [(one.type, one.tag) for one in flat]


WORDS = st.text(max_size=9) | st.text('"\\\n\t#:-|`<>[]()!*_{}&~@$가\u202e\u2028', max_size=9)


@given(st.tuples(WORDS, WORDS, WORDS, WORDS))
@settings(max_examples=30)
def test_a_users_words_change_no_markup(said: tuple[str, str, str, str]) -> None:
    column, label, source, right = said
    hostile = label_of(
        names=(column, column + "1"), labels=(label, "2"), source=source, rights=("x" + right, "own")
    )
    front, tags = skeleton(hostile)
    assert not {tag for kind, tag in tags if kind in ("html_block", "html_inline", "link_open", "image")}
    for line in front.splitlines():
        assert line.isprintable()
        assert LINE.fullmatch(line), line
    if not list(rights_notes(hostile, "en")):
        tame = label_of(names=("a", "1"), labels=("b", "2"), source="c", rights=("d", "own"))
        assert QUOTED.sub('""', front) == QUOTED.sub('""', skeleton(tame)[0])
        assert tags == skeleton(tame)[1]


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_the_card_of_a_rich_project(lang: str) -> None:
    tally = Tally()
    tally.classes = {"train": Counter(card=30, loan=30), "test": Counter(card=40)}
    tally.letters.update(hangul=9, latin=90, other=1)
    tally.votes = Agreement(questions=8, agreed=5)
    for name, rights, hands, rows in (
        ("wiki", "CC BY-SA 4.0", (0, 0, True), 60),
        ("crawl", "unknown", (0, 0, True), 10),
        ("crawl", "unknown", (1, 0, True), 25),
        ("crawl", "unknown", (None, None, True), 5),
        ("desk", "own", (0, None, False), 50),
    ):
        tally.rows[(replace(PEOPLE, source=name), Terms((rights,), ("form 7",)), hands)] = rows
    split = Split(name="refused", config="set_aside", state="refused", rows=50, files=())
    label = label_of(
        tally=tally,
        splits=(*label_of().splits, split),
        columns={"default": label_of().columns["default"], "set_aside": label_of().columns["default"]},
        agreement=Agreement(questions=40, agreed=39),
        refused={"conflict": 4, "my own | reason": 46},
        unread={"json": 2},
        accounts=label_of().accounts | {"lines": 152, "refused": 50, "unread": 2},
        columns_left_out=("customer",),
        only_rights=("own",),
        other_rights=7,
        lost=3,
    )
    front, body = parts(label, lang)
    for word in (
        "CC BY-SA 4.0",
        "customer",
        "`my own \\| reason`",
        "97.5",
        "62.5",
        "7318675412df088c",
        "189 7a7a",
    ):
        assert word in body, word
    lines = re.search(r"(?s)\n\| (?:where|상태).*?\n\n", body)
    assert lines
    counts = [int(one.replace(",", "")) for one in re.findall(r"\| ([\d,]+) \|$", lines[0], re.MULTILINE)]
    assert sum(counts) == 152, "every line of the project is in one row of the table"
    said = {
        "en": [
            "is the exam of the project",
            "Nobody has said under which rights 40 of the 150 rows",
            "25 of 150 rows (16.7 %) have a machine's hand",
            "names itself share-alike",
            "150 rows rest on a consent",
            "Latin 90 %",
            "equals or nearly" if False else "one of several different labels",
        ],
        "ko": [
            "프로젝트의 시험입니다",
            "150행 가운데 40행은 어떤 권리로",
            "150행 가운데 25행(16.7%)",
            "동일조건변경허락",
            "150행은 동의를 딛고",
            "로마자 90%",
            "서로 다르게 달린 라벨",
        ],
    }[lang]
    assert not [one for one in said if one not in body]
    assert ('"cc-by-sa-4.0"' in front) is ('"unknown"' in front) is True
    assert front_matter(label)["configs"][1]["data_files"][0]["path"] == "set_aside/refused-*.parquet"
    assert "language" not in front_matter(label), "the script of 9 % does not make it Korean"
    assert front_matter(label_of())["language"] == ["ko"]


def test_what_is_not_known_is_not_said() -> None:
    plain = label_of(columns={"default": label_of().columns["default"][:2]})
    _, body = parts(plain)
    assert "birth certificate" not in body.lower()
    assert "says where it came from" not in body
    assert "No question was answered twice" in body
    assert "No row has a machine's hand" in body
    everything_unknown = label_of(rights=("unknown",))
    assert unknown_command(everything_unknown) == ""
    assert "under which rights these rows may be used" in parts(everything_unknown)[1]
    assert unknown_command(label_of(rights=("own",))) == '--rights "own"'
    tally = Tally(range=(-1.5, 2.0))
    assert "Numbers from -1.5 to 2" in parts(label_of(tally=tally, kind="table"))[1]
    assert front_matter(label_of(tally=tally, kind="table"))["task_categories"] == ["tabular-regression"]
    assert "More than 10,000" in parts(label_of(tally=Tally(too_many=True)))[1]
    assert "The inputs hold no letters" in parts(label_of(tally=Tally()))[1]


def test_many_classes_are_cut_and_counted() -> None:
    _, body = parts(label_of(labels=[f"c{i:03d}" for i in range(140)]))
    assert body.count("| `c0") == 100
    assert "40 more labels, each with 40 rows or fewer." in body


def test_only_rows_set_aside() -> None:
    split = Split(name="refused", config="set_aside", state="refused", rows=3, files=())
    label = label_of(splits=(split,), columns={"set_aside": label_of().columns["default"]})
    _, body = parts(label)
    assert 'load_dataset("PATH/OF/THIS/FOLDER", "set_aside")' in body
    assert 'data["refused"][0]' in body


def test_rights_as_others_name_them() -> None:
    assert licenses(label_of(rights=("CC BY-SA 4.0", "mit", "own", "unknown", "terms-2026"))) == [
        "cc-by-sa-4.0",
        "mit",
        "other",
        "unknown",
    ]
    notes = list(rights_notes(label_of(rights=("CC-BY-NC-ND-4.0", "GPL-3.0", "TERMS AND CONDITIONS")), "en"))
    assert [note.split(" ")[-1] for note in notes] == ["non-commercial.", "on.", "terms."]


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (0, 10, "0"),
        (1, 3, "33.3"),
        (10, 10, "100"),
        (1, 10_000, "< 0.1"),
        (9_999, 10_000, "> 99.9"),
        (0, 0, "0"),
    ],
)
def test_percent(part: int, whole: int, expected: str) -> None:
    assert percent(part, whole) == expected


def test_the_card_is_the_same_each_time() -> None:
    assert card(label_of(), "en") == card(label_of(), "en")
    assert json.loads(QUOTED.search(parts(label_of())[0])[0]) == "bank"
