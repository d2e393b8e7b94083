"""Every durable step is a fault point, and a writer that dies at any of them loses nothing."""

import ast
import hashlib
import os
import signal
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.exchange import converse
from bapsim.core.records import Answers, Rows, verdicts
from bapsim.store import artifacts, fault
from bapsim.store.lake import verdict_path, write_shard, write_verdicts
from bapsim.store.project import opened
from bapsim.store.schema import GUARDED, VOLATILE
from bapsim.store.tape import LedgerTape, in_doubt
from bapsim.testing import records_of

PACKAGE = Path(fault.__file__).parents[1]
DURABLE = {"fsync", "fdatasync", "rename", "renames", "move", "commit"}

# ------------------------------------------------------------------ nothing bypasses the points


def bypasses(tree):
    """Calls that make something durable without passing a fault point: line and what is called."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        said = ast.unparse(node.func)
        name = said.rsplit(".", 1)[-1]
        if said.startswith("fault."):
            continue
        positional = [ast.unparse(a) for a in node.args]
        durable = name in DURABLE
        durable |= (
            name == "replace" and "." in said and len(positional) == 1 and not node.keywords
        )  # Path.replace
        durable |= said == "os.replace"
        durable |= name in {"execute", "executescript"} and "commit" in " ".join(positional).lower()
        if durable:
            found.append((node.lineno, said))
    return found


FILES = sorted(
    path
    for part in ("store", "engine", "wheel")
    for path in (PACKAGE / part).rglob("*.py")
    if path != Path(fault.__file__)
)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_no_write_bypasses_the_fault_points(path):
    assert bypasses(ast.parse(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "code",
    [
        "os.fsync(f)",
        "os.rename(a, b)",
        "os.replace(a, b)",
        "old.replace(new)",
        "Path(a).rename(b)",
        "db.commit()",
        "self.db.execute('commit')",
        "shutil.move(a, b)",
        "from os import fsync\nfsync(f)",
    ],
)
def test_a_bypass_is_noticed(code):
    assert len(bypasses(ast.parse(code))) == 1


@pytest.mark.parametrize(
    "code",
    [
        "fault.commit(db, 'x')",
        "fault.write(path, body)",
        "text.replace('a', 'b')",
        "replace(draft, rows=rows)",
        "temporary.write_bytes(body)",
        "db.execute('begin')",
    ],
)
def test_what_is_no_bypass(code):
    assert bypasses(ast.parse(code)) == []


# ------------------------------------------------------------------ dying and going on


def rows(*texts):
    return Rows(pa.record_batch({"text": pa.array(texts, pa.string())}))


def answering(asked):
    return Answers(pa.record_batch({"prediction": [t.upper() for t in asked.column("text").to_pylist()]}))


def dialogue():
    first = yield rows("a", "b")
    second = yield rows(first.column("prediction")[0].as_py())
    return second.column("prediction").to_pylist()


def turn(root):
    """A small turn: every step looks in the ledger whether it was done."""
    with opened(root) as project:
        ledger = project.ledger
        for n in range(1):
            path = f"records/rows/t{n}.g0.parquet"
            if ledger.value("select 1 from shard where path=?", path) is None:
                shard = write_shard(project.wheel, path, records_of([{"text": f"{n}{i}"} for i in range(3)]))
                place = {"folder": "rows", "generation": 0, "turn": n, "source": "s"}
                with ledger.change("gathered"):
                    ledger.add("shard", path=path, rows=shard.rows, sha256=shard.sha256, **place)
            said = verdict_path(path, n)
            if ledger.value("select verdicts from shard where path=?", path) is None:
                sha = write_verdicts(project.wheel, said, {"c": verdicts(np.arange(3) > 0, "first")})
                with ledger.change("refined"):
                    ledger.amend("shard", {"path": path}, verdicts=said, verdicts_sha256=sha)
        assert converse("d", dialogue(), answering, LedgerTape(ledger, owner="kim")) == ["A"]
        if ledger.value("select 1 from model") is None:
            sha = artifacts.save(project.models / "m", lambda place: (place / "w").write_text("1"))
            row = {
                "name": "m",
                "turn": 1,
                "fingerprint": "f",
                "data": "d",
                "state": "proven",
                "details": "{}",
            }
            with ledger.change("trained"):
                ledger.add("model", version="1", sha256=sha, **row)
                ledger.add("question", id=b"q" * 16, turn=1, draw="random", state="open")
        if ledger.value("select 1 from question") is not None:
            with ledger.change("erased"):
                ledger.erase("question", {"id": b"q" * 16})


def killed(root, at):
    """The turn in a process of its own, dead at fault point `at`; how it ended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads: the child only writes
        child = os.fork()
    if child == 0:
        try:
            fault._passed = 0
            os.environ["BAPSIM_FAULT"] = str(at)
            turn(root)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1]


def state(root):
    """Every file and every row, but what may differ."""
    wheel = root / "wheel"
    files = {
        path.relative_to(wheel).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in wheel.rglob("*")
        if path.is_file() and not path.name.startswith(("ledger.sqlite", "head"))
    }
    with opened(root, writing=False) as project:
        ledger = project.ledger
        assert ledger.verify() == []
        assert ledger.head() == ledger.kept_head()
        tables = {
            table: [
                {k: v for k, v in row.items() if k not in VOLATILE.get(table, ())}
                for row in ledger.rows(f"select rowid, * from {table}")
            ]
            for table in (*GUARDED, "event")
        }
        return files, tables, in_doubt(ledger)


@pytest.fixture
def home(quick, request):
    folder = quick / request.node.name
    folder.mkdir()
    return folder


@pytest.fixture
def root(home, monkeypatch):
    monkeypatch.setenv("BAPSIM_KEY", "11" * 32)
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # a killed process loses no page cache; quicker

    def made(name):
        folder = home / name
        folder.mkdir()
        (folder / "recipe.py").write_text("")
        return folder

    return made


def test_killed_at_every_point_it_ends_the_same(root, home, monkeypatch):
    log = home / "points"
    monkeypatch.setenv("BAPSIM_FAULT_LOG", str(log))
    turn(root("undisturbed"))
    points = log.read_text().splitlines()
    monkeypatch.delenv("BAPSIM_FAULT_LOG")
    whole = state(home / "undisturbed")
    assert len(points) > 60
    assert {"before rename", "after rename", "answer arrived", "after commit taped answer"} <= set(points)
    doubtful = set()
    for at, point in enumerate(points, 1):
        folder = root(f"at{at}")
        assert killed(folder, at) == signal.SIGKILL, point
        turn(folder)
        files, tables, doubts = state(folder)
        assert (files, tables) == whole[:2], (at, point)
        assert len(doubts) <= 1
        doubtful.update(doubts)
    assert whole[2] == []
    assert doubtful == {("d", 0), ("d", 1)}


def test_killed_again_and_again_it_still_ends(root, home):
    turn(root("undisturbed"))
    folder = root("chained")
    ends = [killed(folder, at) for at in range(1, 40)]
    assert ends.count(signal.SIGKILL) > 10
    turn(folder)
    assert state(folder)[:2] == state(home / "undisturbed")[:2]


def test_a_whole_file_or_none(tmp_path):
    fault.write(tmp_path / "a" / "b", b"1")
    fault.write(tmp_path / "a" / "b", b"22")
    assert (tmp_path / "a" / "b").read_bytes() == b"22"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b"]


def test_points_are_logged(tmp_path, monkeypatch):
    monkeypatch.setenv("BAPSIM_FAULT_LOG", str(tmp_path / "log"))
    fault.write(tmp_path / "x.json", b"1")
    expected = ["before sync .tmp", "before rename", "before sync folder", "after rename"]
    assert (tmp_path / "log").read_text().splitlines() == expected
