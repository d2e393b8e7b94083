"""Projects after one turn, made once for all tests of a process."""

from pathlib import Path

import pytest

from tests.serve import world


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.text_project(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.table_project(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.picture_project(tmp_path_factory.mktemp("pictures"))
