"""The counts of data tests are honest: a skipped or deselected one is not run, and CI can demand them all."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import pytest

def test_plain(): pass

@pytest.mark.data
def test_marked(data): assert data.is_dir()

def test_only_the_fixture(data): assert data.is_dir()

@pytest.mark.data
def test_gives_up(): pytest.skip("not today")
"""


GIVES_UP = 'pytest.skip("not today")'


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("BAPSIM_DATA", str(pytester.path / "nowhere"))
    monkeypatch.delenv("BAPSIM_REQUIRE_DATA", raising=False)
    pytester.path.joinpath("pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    tests = pytester.mkdir("tests")
    tests.joinpath("conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    tests.joinpath("test_some.py").write_text(TESTS)
    return pytester


def demand_all(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAPSIM_DATA", str(project.path))
    monkeypatch.setenv("BAPSIM_REQUIRE_DATA", "1")


def test_without_data_nothing_of_it_ran(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess()
    result.assert_outcomes(passed=1, skipped=3)
    result.stdout.fnmatch_lines(["data tests: 0 run, 3 not run"])


def test_a_skip_fails_where_all_are_demanded(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    demand_all(project, monkeypatch)
    result = project.runpytest_inprocess()
    assert result.ret == 1
    result.assert_outcomes(passed=3, skipped=1)
    result.stdout.fnmatch_lines(["data tests: 2 run, 1 not run", "*every data test runs*"])


def test_a_skip_is_no_failure_where_none_is_demanded(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAPSIM_DATA", str(project.path))
    result = project.runpytest_inprocess()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["data tests: 2 run, 1 not run"])


def test_a_deselected_one_is_not_run(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    demand_all(project, monkeypatch)
    result = project.runpytest_inprocess("-m", "not data")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["data tests: 0 run, 3 not run"])


def test_all_run_is_a_pass(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    demand_all(project, monkeypatch)
    project.path.joinpath("tests/test_some.py").write_text(TESTS.replace(GIVES_UP, "pass"))
    result = project.runpytest_inprocess()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["data tests: 3 run, 0 not run"])


def test_workers_report_what_they_ran_and_left_out(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    demand_all(project, monkeypatch)
    result = project.runpytest_subprocess("-n", "2", "--deselect", "tests/test_some.py::test_gives_up")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["data tests: 2 run, 1 not run", "*every data test runs*"])
