"""A text that says another one whole is found, whatever stands around it; a phrase in common is none."""

from hypothesis import given
from hypothesis import strategies as st

from bapsim.text.quoted import FEWEST, quoting, words_of

WORD = st.text(st.characters(categories=["Ll", "Lo", "Nd"]), min_size=1, max_size=5)
TEXT = st.lists(WORD, min_size=0, max_size=12).map(" ".join)


def test_a_greeting_hides_nothing() -> None:
    items = ["Where is my new card?", "카드가 아직 안 왔는데 언제 와요", "thank you"]
    texts = [
        "Hello there!! where is MY new card, please - thanks",
        "저기요, 카드가 아직 안 왔는데 언제 와요?? 답변 부탁드립니다",
        "where is my new debit card",
        "many thank you to all of you",
        "",
        "Where is my new cards",
    ]
    assert quoting(texts, items).tolist() == [True, True, False, False, False, False]
    assert quoting([], items).tolist() == []
    assert quoting(texts, []).tolist() == [False] * 6


@given(TEXT, st.lists(TEXT, max_size=4), TEXT, TEXT)
def test_what_is_wrapped_is_found_if_it_is_long_enough(item: str, others: list[str], a: str, b: str) -> None:
    long = len(words_of(item)) >= FEWEST
    assert quoting([f"{a} {item}! {b}"], [*others, item])[0] or not long


@given(st.text(), st.lists(st.text(), max_size=3))
def test_only_whole_items_count(text: str, items: list[str]) -> None:
    said = f" {' '.join(words_of(text))} "
    within = any(len(words_of(one)) >= FEWEST and f" {' '.join(words_of(one))} " in said for one in items)
    assert quoting([text], items)[0] == within
