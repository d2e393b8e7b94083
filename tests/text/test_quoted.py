"""A text that says another one whole is found, whatever stands around it; a phrase in common is none."""

from hypothesis import given
from hypothesis import strategies as st

from bapsim.text.quoted import CUT, FEWEST, partial, quoting, words_of

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


@given(st.lists(WORD, min_size=CUT, max_size=14), st.data())
def test_an_item_that_was_cut_is_found_wherever_it_was_cut(words: list[str], data: st.DataObject) -> None:
    item = " ".join(words)
    said = words_of(item)
    for text in (
        item[: data.draw(st.integers(1, len(item)))],
        item[data.draw(st.integers(0, len(item) - 1)) :],
    ):
        left = words_of(text)
        if len(left) >= CUT and 2 * len(left) >= len(said):
            assert partial([text, "x"], ["y", item]).tolist() == [True, False]


def test_what_only_begins_alike_is_none() -> None:
    item = "my card was swallowed by the machine at the corner of the street this morning"
    texts = [
        "my card was swallowed by the",
        "my card was swallowed yesterday by a cat",
        "the street this morning",
    ]
    assert partial(texts, [item]).tolist() == [False] * 3
    assert not partial(["give me order number 1"], ["give me order number 12"])[0]
    assert partial([item[:40], item[30:]], [item]).tolist() == [True, True]
    assert partial([], [item]).tolist() == partial([], []).tolist() == []
