"""What an install from a wheel has beside modules: every file that lies among them here."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_no_file_beside_the_modules_is_left_out_of_a_wheel() -> None:
    about = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    package = ROOT / "src" / "bapsim"
    taken = {
        path
        for pattern in about["tool"]["setuptools"]["package-data"]["bapsim"]
        for path in package.glob(pattern)
    }
    there = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert there
    assert not sorted(str(path.relative_to(package)) for path in there - taken)
