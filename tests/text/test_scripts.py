"""Letters by script: what counts as a letter, and of which script."""

from hypothesis import given
from hypothesis import strategies as st

from bapsim.text.scripts import SCRIPTS, letters, script


def test_letters_by_script() -> None:
    assert letters(["안녕 ㅋㅋ, card é Ａ 1234 😀", None, "漢字 ярд ｱ"]) == {
        "hangul": 4,
        "latin": 6,
        "other": 6,
    }
    assert letters([]) == {"hangul": 0, "latin": 0, "other": 0}
    assert script("ﾡ") == "hangul", "half-width letters, too"


@given(st.lists(st.text(max_size=9), max_size=4))
def test_every_letter_is_counted_once(texts: list[str]) -> None:
    found = letters(texts)
    assert sum(found.values()) == sum(c.isalpha() for text in texts for c in text)
    assert found == {name: sum(script(c) == name for t in texts for c in t) for name in SCRIPTS}
