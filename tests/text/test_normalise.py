"""Folding: one spelling for every way to write the same text."""

import unicodedata
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import Damaged
from bapsim.text import normalise
from bapsim.text.normalise import BLANK, code_points, fold, is_word
from bapsim.text.words import strings, words

KOREAN = st.text(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), max_size=20)
# What composes, decomposes, vanishes or stands alone, more often than chance would have it.
ODD = st.text(
    st.one_of(
        st.sampled_from(
            "aeiouAEIİıſßΣςñÅΩ\u212a\u212bㅋㅠ각가\u1100\u1161\u11a8\u1112\uffa1\uffbbㄱ㉠½ﬁ①ＡｂΆ"
            "\u0301\u0302\u0308\u0323\u0307\u0338\u200d\ufe0f\u00ad\u3164\u115f\ufffd👨👩 \t\r\n\0"
        ),
        st.characters(exclude_categories=("Cs",)),
    ),
    max_size=30,
)


def folded(texts: Sequence[str | None]) -> list[str]:
    return fold(texts).strings()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \t\r\n\v\0\x1f\x7f\x85\u00a0\u3000\u2028", ""),
        ("  two   words ", "two words"),
        ("ＦＵＬＬ　ｗｉｄｔｈ１２", "full width12"),
        ("line\none", "line one"),
        ("nul\0nul", "nul nul"),
        ("한글", "한글"),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", "한글"),  # decomposed, as macOS names files
        ("각", "각"),
        ("ㅋㅋㅠㅠ", "ㅋㅋㅠㅠ"),  # NFKC would make a syllable of it
        ("\u110f큐\u1172", "ㅋ큐ㅠ"),
        ("\uffbb\uffbb", "ㅋㅋ"),
        ("Straße ﬁx ½", "strasse fix 1\u20442"),
        ("ΟΔΟΣ οδος", "οδοσ οδοσ"),
        ("İ", "i\u0307"),
        ("a\u0323\u0302", "ậ"),
        ("\u00c5 \u212b A\u030a", "å å å"),
        ("\u212a", "k"),
        ("don´t", "don´t"),
        ("👨\u200d👩\u200d👧 ❤\ufe0f", "👨👩👧 ❤"),
        ("so\u00adft zero\u200bwidth", "soft zerowidth"),
        ("\ud800 \udfff", "\ufffd \ufffd"),
    ],
)
def test_examples(text, expected):
    assert folded([text]) == [expected]


def test_every_code_point_folds_the_same_composed_decomposed_and_folded_again():
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    once = folded(points)
    assert folded(once) == once
    for form in ("NFC", "NFD"):
        changed = [i for i, c in enumerate(points) if unicodedata.normalize(form, c) != c]
        assert len(changed) > 1000
        assert folded([unicodedata.normalize(form, points[i]) for i in changed]) == [once[i] for i in changed]


@given(st.lists(st.one_of(ODD, st.none()), max_size=8))
def test_a_corpus_folds_like_its_texts(texts):
    alone = [folded([t])[0] for t in texts]
    assert folded(texts) == alone
    for kind in (pa.string(), pa.large_string()):
        array = pa.array(texts, kind)
        assert folded(array) == alone
        assert folded(array[1:]) == alone[1:]
        assert folded(pa.chunked_array([array[:2], array[2:]], kind)) == alone


@given(ODD)
def test_folding_ends_in_one_step_without_doubled_blanks(text):
    once = folded([text])[0]
    assert folded([once]) == [once]
    assert once == " ".join(once.split())
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in once)


@given(KOREAN)
def test_hangul_jamo_become_syllables(text):
    assert folded([unicodedata.normalize("NFD", text)]) == [text]


@given(st.text(st.characters(max_codepoint=0x24F, exclude_categories=("Cc",)), max_size=20))
def test_latin_agrees_with_the_unicode_library(text):
    expected = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    got = folded([text])[0]
    # Our two exceptions: soft hyphens vanish, spacing accents stay whole.
    if not any(c in "\u00ad\u00a8\u00af\u00b4\u00b8" for c in text) and "i\u0307" not in expected:
        assert got == " ".join(expected.split())


def test_layout_of_codes():
    codes = fold(["a b", "", None, "가"])
    assert len(codes) == 4
    assert [chr(c) for c in codes.points] == list(" a b   가 ")
    assert codes.starts.tolist() == [1, 5, 6, 7, 9]
    assert codes.points.dtype == np.uint32
    assert (codes.points[codes.starts - 1] == BLANK).all()
    assert len(fold([])) == 0
    assert fold(pa.array([None, None], pa.string())).strings() == ["", ""]
    assert fold(pa.array([], pa.string())).strings() == []


def test_only_the_first_code_points_count():
    texts = ["가" * 50, "x" * 100, "👍" * 11, "ab", None, "é" * 10]
    expected = [(t or "")[:10] for t in texts]
    assert fold(texts, limit=10).strings() == expected
    assert fold(pa.array(texts), limit=10).strings() == expected
    points, bounds = code_points(pa.array(texts)[1:3], limit=10)
    assert bounds.tolist() == [0, 10, 20]
    assert len(points) == 20


def test_one_huge_line_costs_no_more_than_its_limit():
    line = pa.array(["카드 " * 3_000_000, "끝"])
    codes = fold(line)
    assert len(codes.points) < 66_000
    assert codes.strings()[1] == "끝"


def test_null_slots_may_hide_bytes():
    hidden = pa.StringArray.from_buffers(
        3, pa.py_buffer(np.array([0, 1, 4, 5], np.int32)), pa.py_buffer(b"axyzb")
    )
    masked = pa.StringArray.from_buffers(
        3, hidden.buffers()[1], hidden.buffers()[2], pa.py_buffer(bytes([0b101])), 1
    )
    assert masked.to_pylist() == ["a", None, "b"]
    assert folded(masked) == ["a", "", "b"]


def test_many_marks_are_linear():
    text = "i" + "\u0307" * 30_000 + "a" + "\u0301" * 30_000
    assert folded([text]) == ["i" + "\u0307" * 30_000 + "á" + "\u0301" * 29_999]


def test_words_are_runs_of_letters_marks_and_digits():
    codes = fold(["Where's my 카드(card)?", "", "  ", "ㅋㅋ 3,000원!! 네", "नमस्ते, दुनिया", "👍ok"])
    found = words(codes)
    assert strings(codes, found) == (
        ["where", "s", "my", "카드", "card", "ㅋㅋ", "3", "000원", "네", "नमस्ते", "दुनिया", "ok"]
    )
    assert found.texts.tolist() == [0] * 5 + [3] * 4 + [4] * 2 + [5]
    assert is_word(np.array([0x61, 0x20, 0x2E, 0xAC00], np.uint32)).tolist() == [True, False, False, True]
    assert len(words(fold([])).starts) == 0


def test_another_table_is_refused(monkeypatch, tmp_path):
    changed = tmp_path / "fold.json"
    changed.write_bytes(normalise.TABLE.read_bytes().replace(b"14.0.0", b"15.0.0"))
    monkeypatch.setattr(normalise, "TABLE", changed)
    normalise._table.cache_clear()
    with pytest.raises(Damaged, match="fold"):
        fold(["a"])
    normalise._table.cache_clear()
    monkeypatch.undo()
    assert fold(["A"]).strings() == ["a"]
