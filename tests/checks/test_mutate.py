"""The mutation score counts what tests miss: a weak test lets its mutants live, a strong one does not."""

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
mutate = importlib.import_module("mutate")
sys.path.pop(0)

CODE = """def strong(x: int) -> bool:
    return x > 3


def weak(x: int) -> int:
    return x * 2
"""
TESTS = """
from bapsim.small import strong, weak

def test_strong():
    assert [strong(x) for x in (2, 3, 4)] == [False, False, True]

def test_weak():
    assert weak(0) == 0
"""
TARGET = """
floor = 0.8

[target.small]
file = "src/bapsim/small.py"
tests = ["tests"]
"""


@pytest.mark.parametrize(
    ("source", "becomes"),
    [
        ("x = a < b", ["x = (a <= b)", "x = (a >= b)"]),
        ("x = a and not b", ["x = (a or not b)", "x = a and (b)"]),
        ("x = a + 1", ["x = (a - 1)", "x = a + 2"]),
        ("x = f'{a:>3}' + 'text'", []),
        ("x: int = True", ["x: int = False"]),
        ("def f(x: 'a < b' = 1) -> int:\n    return x", ["= 2) -> int", "    return None"]),
        ("@d(frozen=True)\nclass C: ...", []),
        ("f(a)", ["pass"]),
        ("'가', 1 < 2", ["'가', (1 <= 2)", "'가', (1 >= 2)", "'가', 2 < 2", "'가', 1 < 3"]),
        ("if TYPE_CHECKING:\n    x = 1", []),
    ],
)
def test_every_kind_of_fault_is_planted_where_it_belongs(source: str, becomes: list[str]) -> None:
    found = [mutate.mutated(source, mutant) for mutant in mutate.mutants(source)]
    assert len(found) == len(becomes)
    assert all(text in other for text, other in zip(becomes, found, strict=True))
    for other in found:
        compile(other, "mutant", "exec")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in {
        "src/bapsim/__init__.py": "",
        "src/bapsim/small.py": CODE,
        "tests/test_small.py": TESTS,
        "tools/mutants.toml": TARGET,
        "README.md": "",
        "pyproject.toml": (ROOT / "pyproject.toml").read_text(),
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_survivors_are_those_that_no_test_notices(tree: Path) -> None:
    driver = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r}); import mutate, pathlib\n"
        f"mutate.ROOT = pathlib.Path({str(tree)!r})\n"
        "sys.exit(mutate.main())\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", driver], env=environment, capture_output=True, text=True, check=False
    )
    assert "| src/bapsim/small.py | 7 | 5 | 0 | 2 | 71.4% |" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("->") == 2
    assert "small.py:6: x * 2  ->  (x / 2)" in done.stdout
    assert "small.py:6: 2  ->  3" in done.stdout
    assert done.returncode == 1, "below the floor"


def test_tests_that_never_end_are_ended(tree: Path) -> None:
    (tree / "tests/test_small.py").write_text("import time\n\ndef test_spins(): time.sleep(60)\n")
    start = time.monotonic()
    assert mutate.run_tests(tree, ["tests"], 0.3) is None
    assert time.monotonic() - start < 10
