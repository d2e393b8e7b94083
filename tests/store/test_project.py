"""A project on disk: one writer, many readers, a key of its own, nothing half-written."""

import json
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bapsim.core.errors import Damaged, InputError, Locked, RecipeError, StoreError
from bapsim.store import artifacts
from bapsim.store.lake import Shard
from bapsim.store.project import is_project, opened
from bapsim.testing import Table


@pytest.fixture
def root(tmp_path):
    (tmp_path / "recipe.py").write_text("")
    return tmp_path


def test_a_project_is_a_folder_with_a_recipe(tmp_path):
    assert not is_project(tmp_path)
    with pytest.raises(InputError) as caught, opened(tmp_path):
        pass
    assert caught.value.key == "no_project"
    (tmp_path / "recipe.py").write_text("")
    assert is_project(tmp_path)
    with pytest.raises(InputError) as caught, opened(tmp_path, writing=False):
        pass
    assert caught.value.key == "no_turn_yet"
    assert not (tmp_path / "wheel").exists()


def test_where_things_lie(root):
    with opened(root) as project:
        assert (project.wheel, project.inbox) == (root / "wheel", root / "inbox")
        assert project.models == root / "wheel" / "models"
        row = {"folder": "rows", "generation": 0, "turn": 1, "source": "s"}
        for path in ("b", "a"):
            with project.ledger.change("x") as ledger:
                ledger.add("shard", path=path, rows=2, sha256=f"sha {path}", **row)
        assert project.shards() == [Shard(path=p, rows=2, sha256=f"sha {p}") for p in ("b", "a")]


def test_the_key_is_secret_and_stays(root):
    with opened(root) as project:
        first = project.secret
    key = root / "wheel" / "key"
    assert (key.stat().st_mode & 0o777, key.read_bytes(), len(first)) == (0o600, first, 32)
    for writing in (True, False):
        with opened(root, writing=writing) as project:
            assert project.secret == first
            assert project.ledger.verify() == []


def test_a_key_can_be_given(root, monkeypatch):
    monkeypatch.setenv("BAPSIM_KEY", "ab" * 32)
    with opened(root) as project:
        assert project.secret == b"\xab" * 32


@pytest.mark.parametrize("lose", [Path.unlink, lambda key: key.write_bytes(b"")])
def test_a_lost_key_is_not_replaced(root, lose):
    with opened(root):
        pass
    lose(root / "wheel" / "key")
    for writing in (True, False):
        with pytest.raises(StoreError) as caught, opened(root, writing=writing):
            pass
        assert caught.value.key == "key_is_gone"


HOLD = """
import sys
from pathlib import Path
from bapsim.store.project import opened
with opened(Path(sys.argv[1])) as project:
    with project.ledger.change("held") as ledger:
        ledger.add("stage", key="held", name="n", turn=1, output="{}")
    print("open", flush=True)
    sys.stdin.read()
"""


def test_one_writer_many_readers(root):
    command = [sys.executable, "-c", HOLD, str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "open\n"
        (root / "wheel" / "half.tmp").write_text("the writer's")
        with pytest.raises(Locked) as caught, opened(root):
            pass
        assert str(root / "wheel") in str(caught.value)
        assert (root / "wheel" / "half.tmp").exists()  # who is refused sweeps nothing
        with opened(root, writing=False) as project:
            assert project.ledger.value("select key from stage") == "held"
            assert project.ledger.verify() == []
        assert (root / "wheel" / "half.tmp").exists()
        holder.kill()
        holder.communicate()
    with opened(root) as project:  # a killed writer holds nothing
        assert project.ledger.verify() == []


def test_a_writer_sweeps_what_a_killed_one_left(root):
    with opened(root):
        pass
    wheel = root / "wheel"
    (wheel / "models" / "v.tmp" / "inner").mkdir(parents=True)
    (wheel / "models" / "v.tmp" / "inner" / "w.json.tmp").write_text("x")
    (wheel / "models" / "v.tmp" / "z.tmp").mkdir()
    (wheel / "s.parquet.tmp").write_text("x")
    (wheel / "kept.json").write_text("x")
    with opened(root):
        assert not list(wheel.rglob("*.tmp"))
        assert (wheel / "kept.json").exists()


# ------------------------------------------------------------------ artifacts


def test_an_artifact_is_whole_and_has_a_digest(tmp_path):
    def write(folder):
        (folder / "a").mkdir()
        (folder / "a" / "x").write_text("1")
        (folder / "y").write_text("2")

    folder = tmp_path / "model" / "judged"
    first = artifacts.save(folder, write)
    assert first == artifacts.folder_digest(folder)
    assert artifacts.save(tmp_path / "other", write) == first
    (folder / "stale").write_text("x")
    assert artifacts.folder_digest(folder) != first
    assert artifacts.save(folder, write) == first  # what was there before is gone
    (folder / "y").rename(folder / "z")
    assert artifacts.folder_digest(folder) != first


def test_a_save_that_fails_leaves_the_old_one(tmp_path):
    folder = tmp_path / "m"
    first = artifacts.save(folder, lambda place: (place / "x").write_text("1"))
    with pytest.raises(ZeroDivisionError):
        artifacts.save(folder, lambda place: 1 / 0)
    assert artifacts.folder_digest(folder) == first


def model(tmp_path, body):
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    (folder / "model.json").write_text(body if isinstance(body, str) else json.dumps(body))
    return folder


@pytest.mark.parametrize("body", ["", "[]", "{}", "null", '{"loader": "bapsim', "\udcff"])
def test_a_broken_model_is_damage(tmp_path, body):
    folder = tmp_path / "model"
    folder.mkdir()
    if body:
        (folder / "model.json").write_bytes(body.encode("utf-8", "surrogateescape"))
    with pytest.raises(Damaged) as caught:
        artifacts.load(folder)
    assert caught.value.key == "unreadable_model"


@pytest.mark.parametrize(
    "loader",
    [
        "os:system",
        "subprocess:run",
        "builtins:eval",
        "bapsim:nothing",
        "bapsim.nowhere:load",
        "bapsim.store.artifacts:shutil",
        "bapsim.store.artifacts:import_module",
        "bapsim.store.artifacts:fault.write",
        "bapsim.store.project:opened.__wrapped__",
        "bapsim.store.lake:View",
        "bapsim.store.project:StoreError",
        "../evil:load",
        "/tmp/evil:load",
        "beside.evil:load",
        "beside",
        "beside:missing",
        "beside:json",
        ":load",
        "",
        7,
    ],
)
def test_loaders_that_point_elsewhere_are_refused(tmp_path, loader, monkeypatch):
    """A model's folder may have come from anywhere: it names a loader, it does not choose code."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "beside.py").write_text("import json\n")
    (tmp_path / "evil.py").write_text("raise SystemExit('executed')\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = model(tmp_path, {"loader": loader})
    for beside in (None, home):
        with pytest.raises(RecipeError) as caught:
            artifacts.load(folder, beside)
        assert caught.value.values == {"loader": str(loader)}
    sys.modules.pop("beside", None)


def test_loaders_beside_the_recipe_and_ours(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "beside_recipe.py").write_text(
        "from help_beside import found\ndef load(folder):\n    return found\n"
    )
    (tmp_path / "help_beside.py").write_text("found = 'found'\n")
    assert artifacts.load(model(tmp_path, {"loader": "beside_recipe:load"}), tmp_path) == "found"
    assert artifacts.load(model(tmp_path, {"loader": "bapsim.store.artifacts:folder_digest"}))
    first = artifacts.import_file(tmp_path / "beside_recipe.py")
    assert artifacts.import_file(tmp_path / "beside_recipe.py") is first
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "beside_recipe.py").write_text("x = 1\n")
    assert artifacts.import_file(elsewhere / "beside_recipe.py").x == 1
    for name in ("beside_recipe", "help_beside"):
        sys.modules.pop(name)


def test_half_a_module_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "half_recipe.py"
    path.write_text("x = 1\nraise KeyError\n")
    for _ in range(2):
        with pytest.raises(KeyError):
            artifacts.import_file(path)
    assert "half_recipe" not in sys.modules


def test_nobody_finds_half_a_module(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "slow_recipe.py"
    path.write_text("import time\ntime.sleep(0.2)\nrecipe = 1\n")
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(artifacts.import_file, [path] * 4))
    assert [getattr(one, "recipe", None) for one in found] == [1] * 4
    sys.modules.pop("slow_recipe")


SAVE = """
import sys
from pathlib import Path
from bapsim.store import artifacts
artifacts.save(Path(sys.argv[1]), lambda place: (place / "x").write_text(sys.argv[2]))
"""


@pytest.mark.parametrize("at", range(1, 6))
def test_a_killed_save_leaves_the_old_the_new_or_nothing(tmp_path, at):
    """Never half a folder: what the ledger does not name yet is written again."""
    folder = tmp_path / "m"
    artifacts.save(folder, lambda place: (place / "x").write_text("old"))
    old = artifacts.folder_digest(folder)
    command = [sys.executable, "-c", textwrap.dedent(SAVE), str(folder), "new"]
    done = subprocess.run(command, env={**os.environ, "BAPSIM_FAULT": str(at)}, check=False)
    assert done.returncode == -9
    if folder.exists():
        assert (folder / "x").read_text() == ("old" if at <= 2 else "new")
        assert (artifacts.folder_digest(folder) == old) == (at <= 2)
    artifacts.save(folder, lambda place: (place / "x").write_text("new"))
    assert (folder / "x").read_text() == "new"
    assert not folder.with_name("m.tmp").exists()


def test_a_table_in_memory_is_a_dataset_like_a_view():
    """What a check is tested with has the methods of what the wheel gives it."""
    from bapsim.core.recipe import Dataset
    from bapsim.store.lake import View

    wanted = {name for name in vars(Dataset) if not name.startswith("_")} - {"name"}
    assert wanted == {"batches", "kept", "find"}
    for kind in (Table, View):
        assert wanted <= set(vars(kind))
