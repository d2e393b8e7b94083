"""Particles follow what stands before them, and nothing else of a sentence changes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import messages, text
from bapsim.core.particles import settled

BOTH = re.compile(r"[이은을과]\([가는를와]\)|\([으이]\)[로라가]")


@pytest.mark.parametrize(
    ("said", "is_"),
    [
        ("환불이(가) 은(는)", "환불이 은(는)"),
        ("배송을(를) 문의은(는) 취소과(와)", "배송을 문의는 취소와"),
        ("서울(으)로 부산(으)로 제주(으)로", "서울로 부산으로 제주로"),
        ("1(으)로 2(으)로 3(으)로 10(으)로", "1로 2로 3으로 10으로"),
        ("[80.1 %, 82.0 %](이)가 3(이)라", "[80.1 %, 82.0 %]가 3이라"),
        ("`배송`이(가) “문의”을(를) (환불)과(와)", "`배송`이 “문의”를 (환불)과"),
        ("v3-a이(가) recipe.py을(를)", "v3-a이(가) recipe.py을(를)"),
    ],
)
def test_particles_follow_the_word_before_them(said: str, is_: str) -> None:
    assert settled(said) == is_


@given(st.text())
def test_settled_is_settled_and_other_text_stays(said: str) -> None:
    once = settled(said)
    assert settled(once) == once
    assert BOTH.search(said) is not None or once == said


def test_no_message_in_korean_says_both_forms_after_a_korean_value() -> None:
    for key, langs in messages().items():
        names = set(re.findall(r"(?<!{){(\w+)(?:![a-z])?(?::[^}]*)?}(?!})", str(langs["ko"])))
        try:
            said = text(key, "ko", **dict.fromkeys(names, "환불"))
        except (KeyError, IndexError, ValueError, AttributeError):
            continue  # a number's format, or parts of its own
        assert not re.search(r"[가-힣]" + BOTH.pattern.replace("|", "|[가-힣]"), said), (key, said)
