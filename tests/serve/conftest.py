"""Projects after one turn, and services of them, made once for all tests of a process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve import world
from tests.serve.world import Running, copied, serving


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.text_project(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.table_project(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.picture_project(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def texts(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that every test leaves as it found it: what it serves, and that it is well."""
    options = ("--rights", "terms-2026-03", "--purpose", "better answers", "--consent", "c7")
    with serving(copied(text, tmp_path_factory.mktemp("served") / "text"), *options) as running:
        yield running
