"""A tokenizer that loses nothing, whatever is written."""

import os
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bapsim.core.errors import Damaged, InputError, MissingExtra
from bapsim.train.lm.bpe import MARKS, SMALLEST, TEXT, Bpe, learnt

TEXTS = ["배송이 늦어요, 언제 오나요?", "the parcel came late", "<|text|> is text", "\n\t  x  \r\n"] * 20
CODER = learnt(TEXTS, 400)


@given(st.text(max_size=200))
@example("")
@example("".join(MARKS))
@example("\x00\u200b\ufeff\U0001f468\u200d\U0001f469 ᄀ가각")
def test_every_text_comes_back(text: str) -> None:
    (ids,) = CODER.encode([text])
    assert CODER.decode(ids.tolist()) == text
    assert (ids >= len(MARKS)).all(), "what looks like a mark in a text is text"
    assert (ids < len(CODER)).all()


def test_half_a_pair_is_a_question_mark_and_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert CODER.decode(CODER.encode(["a\ud800b"])[0].tolist()) == "a?b"
    letters = learnt(["x"], SMALLEST)
    (ids,) = letters.encode(["가"])
    assert (len(ids), letters.decode([TEXT, *ids.tolist()])) == (3, "가")
    assert "\ufffd" in letters.decode(ids[:2].tolist())


def test_the_same_texts_give_the_same_tokenizer_in_any_process() -> None:
    said = "from tests.train.lm.test_bpe import CODER; print(CODER.said, end='')"
    env = {**os.environ, "PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "2", "TOKENIZERS_PARALLELISM": "true"}
    other = subprocess.run([sys.executable, "-c", said], env=env, capture_output=True, text=True, check=True)
    assert other.stdout == CODER.said
    assert len(CODER) <= 400
    assert Bpe(said=CODER.said).encode(TEXTS)[0].tolist() == CODER.encode(TEXTS)[0].tolist()


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(InputError, match="259"):
        learnt(TEXTS, SMALLEST - 1)
    with pytest.raises(Damaged):
        Bpe(said="{").encode(["a"])
    assert CODER.encode([]) == []
    assert len(learnt([], 300)) == SMALLEST, "no text, no pairs"


def test_without_the_package_it_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtra, match=r"bapsim\[lm\]"):
        learnt(TEXTS, 400)
