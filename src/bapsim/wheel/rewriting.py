"""Changes to a user's recipe.py by the places of its syntax tree: comments, blanks and line ends stay.

Only what is recognised is touched: `recipe = Recipe(...)` with the calls and dicts that `new` writes. For all
else the caller says in words what would be changed. Pure functions, text in, text out.
"""

from __future__ import annotations

import ast
import codecs
import difflib
import io
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bapsim.mods import Money, money
from bapsim.wheel.founding import quoted

LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT}
FORMS: Mapping[str, tuple[str, str, str, int | None]] = {  # keyword of Recipe, function, parameter, its place
    "budget": ("questions", "worth_asking", "budget", 0),
    "exam_share": ("questions", "worth_asking", "exam_share", None),
    "exam": ("exam", "exam", "size", 0),
    "copies": ("surveys", "near_duplicates", "threshold", 0),
}
WIDE, BREAK = 80, "\0"  # a longer dict stands on lines of its own: where one begins
IMPORTS = {
    "labels": "from bapsim.refine.label_errors import label_errors",
    "people": "from bapsim.gather.people import people",
}
ADDED = {  # what is added to a dict of Recipe: its keyword, key, and the function that is called
    "labels": ("surveys", '"labels"', "label_errors"),
    "people": ("sources", '"people"', "people"),
}

Splice = tuple[int, int, str]  # from, to, what stands there then: characters of the text


@dataclass(frozen=True, eq=False)
class Form:
    """A recipe as it is written: its text, the call that makes it, tokens, and where lines begin."""

    text: str
    tree: ast.Module
    call: ast.Call
    tokens: list[tokenize.TokenInfo]
    starts: list[int]

    def at(self, line: int, column: int) -> int:
        """The character at a place of the syntax tree, whose columns are bytes."""
        begin = self.starts[line - 1]
        return begin + len(self.text[begin:].split("\n", 1)[0].encode()[:column].decode())

    def span(self, node: ast.expr) -> tuple[int, int]:
        return self.at(node.lineno, node.col_offset), self.at(node.end_lineno or 0, node.end_col_offset or 0)

    def place(self, where: tuple[int, int]) -> int:
        """The character at a token's place, whose columns are characters."""
        return self.starts[where[0] - 1] + where[1]


def form_of(text: str) -> Form | None:
    """What is recognised in a recipe's text; None where its recipe is made in another way."""
    try:
        tree = ast.parse(text)
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (SyntaxError, ValueError, tokenize.TokenError):
        return None
    calls = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and any(isinstance(t, ast.Name) and t.id == "recipe" for t in _targets(node))
    ]
    if len(calls) != 1 or not isinstance(calls[0], ast.Call) or _name(calls[0]) != "Recipe":
        return None
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    return Form(text, tree, calls[0], tokens, starts)


def _targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


# --------------------------------------------------------------------------- one change


def splices(form: Form, change: Mapping[str, Any]) -> list[Splice] | None:
    """What one change replaces; None where its place is not recognised.

    change: `what` (a name of FORMS with `value`, source text; `weights`, `guideline`, `merged` with `items`,
    source texts by key; `labels`: the survey of wrong labels; `people`: the source of what the rooms give).
    """
    what = change["what"]
    if what in FORMS:
        keyword, function, parameter, place = FORMS[what]
        whole = _argument(form.call, keyword)
        calls = [] if whole is None else [n for n in ast.walk(whole) if isinstance(n, ast.Call)]
        calls = [one for one in calls if _name(one) == function]
        return _set(form, calls[0], parameter, place, change) if len(calls) == 1 else None
    if what in ADDED:
        keyword, key, function = ADDED[what]
        said = _put(form, form.call, keyword, {key: f"{function}()"})
        bound = {a.asname or a.name for n in form.tree.body if isinstance(n, ast.ImportFrom) for a in n.names}
        return said if said is None or function in bound else [*said, _import(form, IMPORTS[what])]
    if what == "merged":
        task = _argument(form.call, "task")
        known = isinstance(task, ast.Call) and _name(task) == "Task"
        return _put(form, task, "merged", change["items"]) if known else None  # type: ignore[arg-type]
    return _put(form, form.call, what, change["items"])


def _argument(call: ast.Call, name: str) -> ast.expr | None:
    return next((one.value for one in call.keywords if one.arg == name), None)


def _open(call: ast.Call) -> bool:
    """Whether some arguments are not written here."""
    return any(one.arg is None for one in call.keywords) or any(isinstance(a, ast.Starred) for a in call.args)


def _set(
    form: Form, call: ast.Call, name: str, place: int | None, change: Mapping[str, Any]
) -> list[Splice] | None:
    """The argument of a call replaced, if it is a literal, or added; a sum of money keeps its currency."""
    value = str(change["value"])
    old = _argument(call, name)
    if old is None and place is not None and place < len(call.args):
        old = call.args[place]
    if old is None:
        return None if _open(call) else _inserted(form, call, f"{name}={value}")
    if isinstance(old, ast.Constant) and isinstance(old.value, str):
        value = quoted(_scaled(old.value, int(value), int(change["old"])))
    return [(*form.span(old), value)] if isinstance(old, ast.Constant) else None


def _scaled(said: str, new: int, old: int) -> str:
    """So much money for `new` questions as for `old` ones."""
    have = money(said)
    return str(Money(minor=have.minor * new // old, currency=have.currency).amount) + f" {have.currency}"


def _put(form: Form, call: ast.Call, name: str, items: Mapping[str, str]) -> list[Splice] | None:
    """Items (source texts) set in the dict that is an argument of a call; it is added where there is none."""
    old = _argument(call, name)
    if old is None:
        whole = "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"
        if len(whole) > WIDE:
            whole = (
                "{" + "".join(f"{BREAK}    {key}: {value}," for key, value in items.items()) + f"{BREAK}}}"
            )
        return None if _open(call) else _inserted(form, call, f"{name}={whole}")
    if not isinstance(old, ast.Dict):
        return None
    known = {
        one.value: value
        for one, value in zip(old.keys, old.values, strict=True)
        if isinstance(one, ast.Constant)
    }
    found: list[Splice] = []
    fresh = []
    for key, value in items.items():
        there = known.get(ast.literal_eval(key))
        if there is None:
            fresh.append(f"{key}: {value}")
        else:
            found.append((*form.span(there), value))
    if any(one is None for one in old.keys):  # what a `**` brings is not known
        return None
    return found + (_inserted(form, old, *fresh) if fresh else [])


def _inserted(form: Form, node: ast.Call | ast.Dict, *items: str) -> list[Splice]:
    """Items as the last ones of a call or dict: on lines of their own where its last one is."""
    end = form.span(node)[1]
    close = next(i for i, t in enumerate(form.tokens) if form.place(t.end) == end and t.string in (")", "}"))
    last = next(t for t in reversed(form.tokens[:close]) if t.type not in LAYOUT)
    empty, comma = last.string in ("(", "{"), last.string == ","
    shut, behind = form.tokens[close], form.place(last.end)
    flat = ", ".join(items).replace(f"{BREAK}    ", " ").replace(f",{BREAK}", "")
    if empty:
        return [(form.place(shut.start), form.place(shut.start), flat)]
    if last.end[0] == shut.start[0]:
        return [(behind, behind, (" " if comma else ", ") + flat)]
    line = form.text[form.starts[last.end[0] - 1] : form.starts[last.end[0]] - 1]
    ending = "\r\n" if line.endswith("\r") else "\n"
    at = form.starts[last.end[0] - 1] + len(line.removesuffix("\r"))
    indent = _indent(form, node, shut)
    added = "".join(f"{BREAK}{item}," for item in items).replace(BREAK, ending + indent)
    if not comma and at == behind:
        return [(at, at, "," + added)]
    return [*([] if comma else [(behind, behind, ",")]), (at, at, added)]


def _indent(form: Form, node: ast.Call | ast.Dict, shut: tokenize.TokenInfo) -> str:
    """The blanks before the last item that begins a line; else four more than before the closing bracket."""
    starts: Sequence[Any] = node.keys if isinstance(node, ast.Dict) else [*node.args, *node.keywords]
    for one in reversed([one for one in starts if one is not None]):
        before = form.text[form.starts[one.lineno - 1] : form.at(one.lineno, one.col_offset)]
        if not before.strip():
            return before
    line = form.text[form.starts[shut.start[0] - 1] : form.place(shut.start)]
    return line[: len(line) - len(line.lstrip())] + "    "


def _import(form: Form, said: str) -> Splice:
    """A line after the last import of the module."""
    ends = [n.end_lineno or 0 for n in form.tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    at = form.starts[max(ends, default=0)]
    ending = "\r\n" if form.text[:at].endswith("\r\n") else "\n"
    return at, at, said + ending


# --------------------------------------------------------------------------- the whole


def rewritten(text: str, changes: Sequence[Mapping[str, Any]]) -> tuple[str, list[bool]]:
    """The text with all changes that find their place, one after the other, and which of them did.

    A change that would leave no readable program is not made.
    """
    body = text.removeprefix("\ufeff")
    done = []
    for change in changes:
        form = form_of(body)
        parts = None if form is None else splices(form, change)
        new = body
        for start, end, said in sorted(parts or [], reverse=True):
            new = new[:start] + said + new[end:]
        fine = parts is not None and new != body and form_of(new) is not None
        body = new if fine else body
        done.append(fine)
    return ("\ufeff" if text.startswith("\ufeff") else "") + body, done


def read_recipe(body: bytes) -> tuple[str, str]:
    """The text of a recipe's file, and its encoding; raises SyntaxError where it cannot be read."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(body).readline)
    marked = body.startswith(codecs.BOM_UTF8)
    return body.decode("utf-8" if marked else encoding), "utf-8" if marked else encoding


def diff(old: str, new: str, name: str = "recipe.py") -> str:
    """A unified diff that `patch -p1` and `git apply` take; empty where nothing differs."""
    before, after = (_lines(one) for one in (old, new))
    found = []
    for line in difflib.unified_diff(before, after, f"a/{name}", f"b/{name}"):
        found.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(found)


def _lines(text: str) -> list[str]:
    """Lines as patch knows them: only a line feed ends one."""
    *whole, last = text.split("\n")
    return [f"{line}\n" for line in whole] + ([last] if last else [])
