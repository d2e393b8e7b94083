"""What every test gets: the shared data (or a skip), one thread, repeatable properties, honest counts."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

# Before numpy is imported: two workers on two cores, and the same sums everywhere.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Ids, draws and splits derive from a project's key: a test that makes one draws the same every time.
os.environ.setdefault("BAPSIM_KEY", "62" * 32)

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
REQUIRED = os.environ.get("BAPSIM_REQUIRE_DATA", "") == "1"

# CI must not be a lottery: the same examples every time; `thorough` looks further (make prove).
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.register_profile(
    "thorough", deadline=None, database=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("BAPSIM_HYPOTHESIS", "repeatable"))


def data_folder() -> Path:
    """Where the shared data sets would lie: BAPSIM_DATA (relative to the repository), else ../shared/data."""
    return (ROOT / os.environ.get("BAPSIM_DATA", "../shared/data")).resolve()


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the shared data sets; without it the test is skipped and counted as not run."""
    folder = data_folder()
    if not folder.is_dir():
        pytest.skip("no shared data")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium that starts; without one the story is skipped and counted as not run."""
    script = ROOT / "tools" / "browser.sh"
    path = subprocess.run(["sh", script], capture_output=True, text=True, check=True).stdout.strip()
    if not path:
        pytest.skip("no Chromium")
    return path


class Counted:
    """Counts tests of a kind by what happened to them, under pytest-xdist too.

    needs: the marker; required: none may be left out, for this reason.
    """

    def __init__(self, needs: str, said: str, required: str | None) -> None:
        self.needs, self.said, self.required = needs, said, required
        self.seen: set[str] = set()
        self.ran: set[str] = set()
        # Of this process; each xdist worker collects the same tests, so the largest count is the count.
        self.deselected = 0

    @property
    def not_run(self) -> int:
        return len(self.seen - self.ran) + self.deselected

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.deselected += sum(item.get_closest_marker(self.needs) is not None for item in items)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report = yield  # xdist carries what it says to the controller
        setattr(report, f"needs_{self.needs}", item.get_closest_marker(self.needs) is not None)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if getattr(report, f"needs_{self.needs}", False):
            self.seen.add(report.nodeid)
            if report.when == "call" and report.outcome != "skipped":
                self.ran.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[f"{self.needs}_deselected"] = self.deselected
        elif self.required and self.not_run and session.exitstatus in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        there = getattr(node, "workeroutput", {}).get(f"{self.needs}_deselected", 0)
        self.deselected = max(self.deselected, there)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_line(f"{self.said}: {len(self.ran)} run, {self.not_run} not run")
        if self.required and self.not_run:
            terminalreporter.write_line(f"FAILED: {self.required}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    why = f"BAPSIM_REQUIRE_DATA=1 says that every data test runs (data: {data_folder()})"
    config.pluginmanager.register(Counted("data", "data tests", why if REQUIRED else None), "data-tests")
    config.pluginmanager.register(Counted("browser", "stories in a browser", None), "browser-tests")


@pytest.hookimpl(tryfirst=True)  # before `-m` deselects: who uses the data is a data test, marked or not
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture, marker in (("data", pytest.mark.data), ("chromium", pytest.mark.browser)):
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)
