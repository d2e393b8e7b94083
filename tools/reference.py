"""Write docs/reference.md from the code: every public name, every verb, every text of a verdict or an error.

Run by `make docs`; a test fails when the page does not say what the code says. `--check` only compares.
"""

import argparse
import ast
import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = Path("docs/reference.md")
HEAD = """# Reference

Written by `make docs` from the code; edit the docstrings, the commands or the messages instead.
"""
Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign | ast.AsyncFunctionDef


def modules(package: Path) -> dict[str, Path]:
    """Public modules by dotted name: no part of it starts with an underscore."""
    found = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        if not any(part.startswith("_") for part in name.split(".")):
            found[name] = file
    return found


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.AnnAssign):
        return [node.target.id] if isinstance(node.target, ast.Name) else []
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def _declared(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if "__all__" in _names(node):
            return list(ast.literal_eval(node.value))  # type: ignore[attr-defined]
    return None


def public(tree: ast.Module) -> dict[str, ast.stmt]:
    """What a module defines for others: the names in `__all__`, else functions and classes without `_`."""
    defined = {name: node for node in tree.body for name in _names(node)}
    declared = _declared(tree)
    if declared is not None:
        return {name: defined[name] for name in declared if name in defined}
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {
        n: node for n, node in defined.items() if (isinstance(node, kinds) and n[0] != "_") or _is_type(n)
    }


def _is_type(name: str) -> bool:
    """Names of type aliases, by the way they are written: Rows, not ROWS, not _Rows."""
    return name[0].isupper() and any(letter.islower() for letter in name)


def _heading(name: str, node: ast.stmt) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return f"{name}({ast.unparse(node.args)}){returns}"
    if isinstance(node, ast.ClassDef):
        fields = [f"{f.target.id}: {ast.unparse(f.annotation)}" for f in _fields(node)]
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {name}({', '.join(fields) or bases})"
    return ast.unparse(node)


def _fields(node: ast.ClassDef) -> Iterator[Any]:
    for child in node.body:
        named = isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name)
        if named and not child.target.id.startswith("_"):
            yield child


def _document(node: ast.stmt) -> str:
    documented = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    return (ast.get_docstring(node) or "") if documented else ""


def library(package: Path) -> Iterator[str]:
    for name, file in modules(package).items():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = public(tree)
        about = ast.get_docstring(tree) or ""
        if not names and not about:
            continue
        yield f"## {name}\n"
        if about:
            yield about + "\n"
        for member, node in names.items():
            yield f"**`{_heading(member, node)}`**\n"
            if _document(node):
                yield _document(node) + "\n"


def program() -> Any:
    """The command line's click group, after it has said its help in English."""
    from click.testing import CliRunner

    main: Any = importlib.import_module("bapsim.cli").main
    CliRunner().invoke(main, ["--lang", "en", "--help"])
    return main


def _options(command: Any, known: set[str]) -> Iterator[str]:
    for parameter in command.params:
        option = parameter.param_type_name == "option"
        if option and parameter.name not in known:
            about = re.sub(r"\s+", " ", parameter.help or "").strip()
            yield f"- `{', '.join(parameter.opts)}`{': ' + about if about else ''}"


def commands(package: Path) -> Iterator[str]:
    """Verbs, arguments and options, asked from click itself."""
    if not (package / "cli").exists():
        return
    main = program()
    shared = {parameter.name for parameter in main.params}
    yield "## Commands\n"
    yield "Every verb has these:\n"
    yield from _options(main, set())
    yield ""
    for verb, command in main.commands.items():
        if command.hidden:
            continue
        arguments = [p.make_metavar(None) for p in command.params if p.param_type_name == "argument"]
        yield f"**`{' '.join(['bapsim', verb, *arguments])}`**\n"
        yield re.sub(r"\s+", " ", command.help or "").strip() + "\n"
        yield from _options(command, shared)
        yield ""


def messages(package: Path) -> Iterator[str]:
    """The texts of verdicts and errors, by key."""
    texts: dict[str, Any] = {}
    for file in sorted((package / "messages").glob("*.json")):
        texts |= json.loads(file.read_text(encoding="utf-8"))
    for kind, title in (("verdict.", "Reasons of verdicts"), ("error.", "Errors")):
        chosen = {key: said for key, said in sorted(texts.items()) if key.startswith(kind)}
        if not chosen:
            continue
        yield f"## {title}\n"
        yield "| key | English | 한국어 |\n|---|---|---|"
        for key, said in chosen.items():
            cells = [
                " ".join(said[lang]) if isinstance(said[lang], list) else said[lang] for lang in ("en", "ko")
            ]
            yield "| `{}` | {} | {} |".format(
                key, *(cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
            )
        yield ""


def page(package: Path) -> str:
    body = [HEAD, *commands(package), *messages(package), *library(package)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(body)).rstrip() + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; fail when the page is stale")
    parser.add_argument("--root", type=Path, default=ROOT)
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.root / "src"))
    written, wanted = arguments.root / PAGE, page(arguments.root / "src" / "bapsim")
    if arguments.check:
        stale = not written.exists() or written.read_text(encoding="utf-8") != wanted
        print(f"{PAGE}: stale; run `make docs`" if stale else f"{PAGE}: says what the code says")
        return int(stale)
    written.write_text(wanted, encoding="utf-8")
    print(f"{PAGE}: {wanted.count(chr(10))} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
