"""The checks themselves fail when they should: each violation is planted in a small tree of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
CLEAN = {
    "src/bapsim/__init__.py": '"""A tree that breaks no rule."""\n',
    "src/bapsim/cli.py": "def main() -> None:\n    print('usage')\n",
    **{
        f"src/bapsim/{folder}/__init__.py": ""
        for folder in ("core", "text", "store", "gather", "train", "judge", "wheel", "report")
    },
    "src/bapsim/core/records.py": "def derive() -> int:\n    return 1\n",
    "src/bapsim/store/lake.py": "from bapsim.core.records import derive\n\nONE = derive()\n",
    "src/bapsim/train/text.py": "from bapsim.core.records import derive\n\nONE = derive()\n",
    "src/bapsim/gather/files.py": "from bapsim.core import records\n\nONE = records.derive()\n",
    "src/bapsim/wheel/turn.py": "from bapsim.gather import files\nfrom bapsim.train import text\n\n"
    "TWO = files.ONE + text.ONE\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in CLEAN.items():
        plant(tmp_path, name, text)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(tree: Path, name: str, text: str) -> None:
    file = tree / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def output(command: list[str], tree: Path) -> tuple[int, str]:
    environment = {"PATH": "", "PYTHONPATH": str(tree / "src")}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def ratchets(tree: Path, *options: str) -> tuple[int, str]:
    return output([sys.executable, str(ROOT / "tools/ratchets.py"), "--root", str(tree), *options], tree)


def contract(tree: Path) -> tuple[int, str]:
    return output([str(BIN / "lint-imports"), "--no-cache"], tree)


def lint(tree: Path) -> tuple[int, str]:
    return output([str(BIN / "ruff"), "check", "--no-cache", "--output-format=concise", "src"], tree)


def test_a_clean_tree_passes_every_check(tree: Path) -> None:
    for status, printed in (ratchets(tree), contract(tree), lint(tree)):
        assert status == 0, printed


def lines(count: int) -> str:
    return "".join(f"x{i} = {i}\n" for i in range(count))


SLOW = "import time\n\nwhile time.process_time() < 0.35: ...\n\ndef main() -> None: ...\n"
NOT_CODE = '''"""Purpose.

More
of it.
"""

# a reason


def f() -> int:
    """One."""
    return 1  # one
'''


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("src/bapsim/mods.py", lines(201), "mods: 201 code lines, 200 allowed"),
        ("src/bapsim/gather/crawl.py", lines(501), "src/bapsim/gather/crawl.py: 501 code lines, 500 allowed"),
        ("tools/long.py", lines(501), "tools/long.py: 501 code lines"),
        ("src/bapsim/managers.py", lines(1), "managers.py: belongs to 0 parts"),
        (
            "src/bapsim/core/records.py",
            "from bapsim.store import lake\n",
            "cycle: bapsim.core.records, bapsim.store.lake",
        ),
        (
            "src/bapsim/core/records.py",
            "def derive() -> object:\n    from ..store.lake import derive\n    return derive\n",
            "import cycle: bapsim.core.records, bapsim.store.lake",
        ),
    ],
    ids=["part", "file", "tool", "homeless", "cycle", "cycle inside a function"],
)
def test_a_broken_ratchet_is_named(tree: Path, name: str, text: str, says: str) -> None:
    plant(tree, name, text)
    status, printed = ratchets(tree, "--no-start")
    assert status == 1
    assert says in printed


def test_imports_for_type_checkers_are_no_cycle(tree: Path) -> None:
    only = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from bapsim.store import lake\n"
    plant(tree, "src/bapsim/core/records.py", CLEAN["src/bapsim/core/records.py"] + only)
    assert ratchets(tree, "--no-start")[0] == 0


def test_comments_docstrings_and_blank_lines_are_free(tree: Path) -> None:
    plant(tree, "src/bapsim/mods.py", NOT_CODE)
    assert "mods                     2 / 200" in ratchets(tree, "--no-start")[1]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("src/bapsim/cli.py", "import numba\n\ndef main() -> None: ...\n", "bapsim --help: loads numba"),
        ("src/bapsim/__init__.py", "import numba\n", "import bapsim: loads numba"),
        ("src/bapsim/cli.py", SLOW, "CPU-s, 0.3 allowed"),
        ("src/bapsim/cli.py", "import absent\n", "does not start: ModuleNotFoundError"),
    ],
    ids=["help loads", "import loads", "slow", "broken"],
)
def test_a_heavy_start_is_named(tree: Path, name: str, text: str, says: str) -> None:
    plant(tree, "src/numba.py", "")
    plant(tree, name, text)
    status, printed = ratchets(tree)
    assert status == 1
    assert says in printed


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "src/bapsim/core/records.py",
            "from bapsim.text import words\n",
            "bapsim.core.records -> bapsim.text",
        ),
        (
            "src/bapsim/gather/files.py",
            "def f() -> None:\n    import bapsim.train.text\n",
            "bapsim.gather.files -> bapsim.train.text",
        ),
        ("src/bapsim/wheel/turn.py", "import bapsim.report\n", "bapsim.wheel.turn -> bapsim.report"),
        ("src/bapsim/store/lake.py", "import bapsim.judge\n", "bapsim.store.lake -> bapsim.judge"),
        ("src/bapsim/core/records.py", "import scipy\n", "bapsim.core.records -> scipy"),
        ("src/bapsim/helpers.py", "", "bapsim.helpers"),
    ],
    ids=["core to text", "stage to stage", "wheel to report", "store to stage", "heavy core", "new place"],
)
def test_a_broken_contract_is_named(tree: Path, name: str, text: str, says: str) -> None:
    plant(tree, name, text)
    status, printed = contract(tree)
    assert status == 1
    assert says in printed


BRANCHES = (
    "def f(x: int) -> int:\n"
    + "".join(f"    if x == {i}:\n        x += 1\n" for i in range(10))
    + "    return x\n"
)
STATEMENTS = "def f(x: int) -> int:\n" + "    x += 1\n" * 51 + "    return x\n"
PARAMETERS = "def f(a: int, b: int, c: int, d: int, *, e: int, f: int, g: int, h: int) -> None: ...\n"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (BRANCHES, "C901"),
        (STATEMENTS, "PLR0915"),
        (PARAMETERS, "PLR0913"),
        ("try:\n    x = 1\nexcept Exception:\n    x = 2\n", "BLE001"),
        ("x = " + "1 + " * 40 + "1\n", "E501"),
        ("def f(x): return x\n", "ANN001"),
    ],
    ids=["complexity", "statements", "parameters", "blind except", "long line", "no types"],
)
def test_a_broken_function_rule_is_named(tree: Path, text: str, rule: str) -> None:
    plant(tree, "src/bapsim/mods.py", text)
    status, printed = lint(tree)
    assert status == 1
    assert rule in printed
