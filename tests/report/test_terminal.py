"""Text for terminals keeps its columns, Korean too, and data cannot steer them."""

from hypothesis import given
from hypothesis import strategies as st

from bapsim.report.terminal import clipped, plain, table, width, wrapped

words = st.lists(st.text(st.sampled_from("abc가나다"), min_size=1, max_size=8), min_size=1, max_size=30)


@given(words, st.integers(20, 80))
def test_wrapping_keeps_every_word_and_the_margin(said: list[str], columns: int) -> None:
    lines = wrapped(" ".join(said), columns, first="- ", rest="  ").split("\n")
    assert " ".join(line[2:] for line in lines).split() == said
    assert all(width(line) <= columns for line in lines)


def test_korean_is_two_columns_wide() -> None:
    assert width("가a\x1b[1mb\x1b[0m") == 4
    assert table([["가", "1"], ["abc", "22"]], right=[1]) == "  가    1\n  abc  22"


@given(st.text(st.sampled_from("ab가나"), max_size=40), st.integers(2, 30))
def test_clipping_never_exceeds(said: str, columns: int) -> None:
    cut = clipped(said, columns)
    assert width(cut) <= columns
    assert cut == said or cut.endswith("…")


def test_data_cannot_steer_a_terminal() -> None:
    assert plain("a\x1b[2Jb\nc\u202e") == "a�[2Jb c�"
