"""What must not be in the repository, and what the lock files promise."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Written in pieces, so that this file is no find of its own.
FORBIDDEN = re.compile(
    "|".join(
        [
            r"(?<![\w./-])/(?:work|root|home)" + r"/\w",
            "pypi" + r"\.org",
            "python" + "hosted",
            "npm" + r"js\.(?:org|com)",
            "--(?:extra-)?index" + "-url",
            r"BEGIN [A-Z ]*PRIVATE " + "KEY",
        ]
    )
)
REQUIREMENT = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([\w.!+]+)(?: ; [^\\]+)? \\$")


def tracked() -> list[Path]:
    if shutil.which("git") is None:
        pytest.skip("no git")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.split("\0") if name]


def test_no_file_names_a_machine_or_an_index() -> None:
    found = []
    for file in tracked():
        if not file.is_file():  # removed and not yet committed
            continue
        text = file.read_bytes().decode("utf-8", "ignore")
        found += [f"{file.relative_to(ROOT)}: {match[0]}" for match in FORBIDDEN.finditer(text)]
    assert not found


def test_forbidden_words_are_found_when_they_are_there() -> None:
    assert FORBIDDEN.search("see /" + "work/main")
    assert FORBIDDEN.search("--index" + "-url x")
    assert not FORBIDDEN.search("their/work/here, homework, docs/root")


def pinned(name: str) -> dict[str, str]:
    """Names and versions of a lock file that holds nothing but pinned names and hashes."""
    found = {}
    for line in (ROOT / name).read_text("utf-8").splitlines():
        if line.startswith("#") or re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", line):
            continue
        match = REQUIREMENT.fullmatch(line)
        assert match, f"{name}: {line}"
        found[match[1]] = match[2]
    return found


def test_lock_files_pin_every_dependency_and_agree() -> None:
    run, dev = pinned("requirements-run.lock"), pinned("requirements.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = [re.split(r"[<>=\[ ;]", line)[0].lower() for line in project["dependencies"]]
    wanted = [re.split(r"[<>=\[ ;]", line)[0].lower() for line in project["optional-dependencies"]["dev"]]
    assert not set(needed) - set(run)
    assert not set(wanted) - set(dev)
    assert run.items() <= dev.items()
    assert not set(wanted) & set(run), "tools for developers are no burden for users"
