"""A folder in memory where the machine has one: these tests commit thousands of times."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SHARED = Path("/dev/shm")


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for many small projects; a signal loses nothing that was written, on disk or in memory."""
    if SHARED.is_dir() and os.access(SHARED, os.W_OK):
        with tempfile.TemporaryDirectory(dir=SHARED, prefix="bapsim-tests-") as folder:
            yield Path(folder)
    else:
        yield tmp_path_factory.mktemp("quick")
