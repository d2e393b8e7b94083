"""Whatever a person can call, type or be told is in the docs, and the generated page is fresh."""

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "bapsim"
REFERENCE = ROOT / "docs" / "reference.md"

sys.path.insert(0, str(ROOT / "tools"))
reference = importlib.import_module("reference")
sys.path.pop(0)


def written(generated: bool) -> str:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return "\n".join(page.read_text("utf-8") for page in pages if generated or page != REFERENCE)


def says(word: str, text: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", text) is not None


def test_the_reference_says_what_the_code_says() -> None:
    command = [sys.executable, str(ROOT / "tools/reference.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_verb_is_explained_by_a_person() -> None:
    main = reference.program()
    verbs = [verb for verb, command in main.commands.items() if not command.hidden]
    text = written(generated=False)
    assert verbs
    assert not [verb for verb in verbs if not says(f"bapsim {verb}", text)]


def test_every_verb_says_what_it_does_and_every_option_too() -> None:
    main = reference.program()
    silent = [verb for verb, command in main.commands.items() if not command.help]
    options = [
        f"{verb} {parameter.opts[0]}"
        for verb, command in main.commands.items()
        for parameter in command.params
        if parameter.param_type_name == "option" and not parameter.help
    ]
    assert not silent + options


@pytest.mark.parametrize("module", sorted(reference.modules(PACKAGE)))
def test_every_public_name_is_documented(module: str) -> None:
    tree = ast.parse(reference.modules(PACKAGE)[module].read_text("utf-8"))
    names = reference.public(tree)
    text = written(generated=True)
    assert not [name for name in names if not says(name, text)]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    bare = [name for name, node in names.items() if isinstance(node, kinds) and not ast.get_docstring(node)]
    assert not bare, "a public name says its purpose"
    assert not tree.body or ast.get_docstring(tree), "a module says what its one idea is"


def test_every_reason_of_a_verdict_is_documented() -> None:
    texts: dict[str, object] = {}
    for file in (PACKAGE / "messages").glob("*.json"):
        texts |= json.loads(file.read_text("utf-8"))
    reasons = [key for key in texts if key.startswith("verdict.")]
    text = written(generated=True)
    assert reasons
    assert not [key for key in reasons if not says(key, text)]


def test_the_page_of_what_was_reached_says_what_the_results_say() -> None:
    command = [sys.executable, str(ROOT / "benchmarks/reached.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
