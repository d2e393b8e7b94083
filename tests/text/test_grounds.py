"""What a passage says of a claim: it stands there, is denied, is not there, or may be meant."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.text.grounds import claims, negations, support, tokens

KO = (
    "한빛 은행은 1998년 3월에 서울에서 설립되었다. 본점은 2,400명이 일하는 중구에 있다. "
    "해외 지점은 운영하지 않는다."
)
EN = "The bank was founded in Seoul in March 1998. It employs 2,400 people. It does not run a branch abroad."


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ("1998년", "supported"),
        ("서울", "supported"),
        ("1998년 3월에 서울에서 설립되었다", "supported"),
        ("본점은 2400명이 일하는 중구", "supported"),
        ("1999년", "unsupported"),
        ("본점은 2,401명이 일하는 중구에 있다.", "unsupported"),
        ("한빛 은행은 부산 해운대 상가에 있다", "unsupported"),
        ("해외 지점은 운영하지 않는다", "supported"),
        ("한빛 은행은 서울에서 설립되지 않았다", "contradicted"),
        ("", "unsupported"),
    ],
)
def test_korean(claim: str, said: str) -> None:
    assert support(claim, KO) == said


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ("March 1998", "supported"),
        ("March of 1998", "unclear"),
        ("1998 March", "unclear"),
        ("the bank was founded in Seoul", "supported"),
        ("It employs 2400 people.", "supported"),
        ("It employs 2,410 people.", "unsupported"),
        ("The bank was never founded in Seoul in March 1998", "contradicted"),
        ("It does run a branch abroad", "contradicted"),
        ("The founder liked sailing very much", "unsupported"),
        ("Tokyo", "unsupported"),
    ],
)
def test_english(claim: str, said: str) -> None:
    assert support(claim, EN) == said


def test_words() -> None:
    assert tokens("1998년에는 서울은행이 KB에서 2,400.0명을") == [
        "1998",
        "년",
        "서울은행",
        "kb",
        "2400",
        "명",
    ]
    assert tokens("5만 명, 1.5억원, 3만큼") == ["50000", "명", "150000000", "원", "3", "만큼"]
    assert tokens("The bank's 3% — it isn't") == ["the", "bank", "3", "%", "it", "isn", "t"]
    assert claims("A b. C d!\n\n...\nE") == ["A b.", "C d!", "E"]
    assert negations(tokens("없다 않았다 not never 안 가다")) == 5


@given(st.text(max_size=80), st.text(max_size=80))
def test_anything_can_be_asked(claim: str, passage: str) -> None:
    assert support(claim, passage) in {"supported", "contradicted", "unsupported", "unclear"}
    for one in claims(passage):
        assert support(one, passage) == "supported"


def test_floods() -> None:
    started = time.process_time()
    for flood in ("a ", "1 ", "가 ", "a. ", "not "):
        support(flood * 5000 + "b", flood * 20_000)
    assert time.process_time() - started < 8
