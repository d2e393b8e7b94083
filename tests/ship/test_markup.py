"""A user's words are words in Markdown and YAML, whatever is in them."""

import html
import json
import re

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bapsim.ship.markup import code, scalar, table, title, visible, yaml

words = st.text(max_size=6) | st.text(alphabet="`|\\<>\n\t*_[]()!-#\"': ~&가\u202e\u2028", max_size=9)
rendered = MarkdownIt("commonmark").enable("table").render


@given(st.lists(words, min_size=1, max_size=4))
@example(["a\\|b", "\\", "|", "`|`"])
@example(["<script>alert(1)</script>", "[x](http://x)", "---", "\n\n# head"])
def test_a_cell_holds_a_word_and_nothing_else(said: list[str]) -> None:
    page = rendered(table(["a", "b"], [[code(one), "next"] for one in said]))
    cells = re.findall(r"<td>(.*?)</td>", page)
    assert len(cells) == 2 * len(said)
    assert cells[1::2] == ["next"] * len(said)
    for one, cell in zip(said, cells[::2], strict=True):
        found = re.fullmatch(r"<code>(.*)</code>", cell)
        assert found, (one, cell)
        shown = visible(one).replace("\\|", "\\u005c|")
        assert html.unescape(found[1]) == (shown if shown.strip() else json.dumps(shown))


def test_a_long_word_is_cut() -> None:
    assert code("x" * 500) == "`" + "x" * 119 + "…`"


@given(words)
def test_a_title_is_one_line_without_markup(said: str) -> None:
    page = rendered(f"# {title(said)}\n")
    assert re.fullmatch(r"<h1>(<code>[^<]*</code>|[^<]*)</h1>\n", page), page


@given(words)
def test_a_scalar_is_json_of_what_was_said_on_one_printable_line(said: str) -> None:
    line = scalar(said)
    assert line.isprintable()
    assert (
        json.loads(re.sub(r"\\U([0-9a-f]{8})", lambda m: json.dumps(chr(int(m[1], 16)))[1:-1], line)) == said
    )


def test_yaml_is_blocks_of_quoted_values() -> None:
    said = {"a": "x: y", "b": [{"c": "1", "d": [{"e": 2}]}, {"c": "z"}], "f": ["g"], "h": True}
    assert yaml(said) == (
        'a: "x: y"\nb:\n  - c: "1"\n    d:\n      - e: 2\n  - c: "z"\nf:\n  - "g"\nh: true\n'
    )
