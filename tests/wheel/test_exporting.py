"""An export holds the rows that the project has, where they stand, and nothing that must stay at home."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bapsim.core.errors import InputError
from bapsim.core.recipe import Recipe
from bapsim.core.records import Draft, Task
from bapsim.core.turn import Turn
from bapsim.refine.duplicates import near_duplicates
from bapsim.ship.label import SPLITS, Agreement, Label
from bapsim.ship.release import Wanted
from bapsim.store import fault
from bapsim.store.project import opened
from bapsim.wheel.audit import stands, why_record
from bapsim.wheel.exporting import export
from bapsim.wheel.listing import refused
from bapsim.wheel.state import begin
from bapsim.wheel.stock import STATES, load_stock
from tests.ship.given import brings, gathered, untrained
from tests.wheel.world import ASKS, Clerk, History, Shorter, Vouches, bank, batch, founded, origin

EVERYTHING = Wanted(states=tuple(SPLITS))
CONSENT = "form of Kim Min-ji, 010-1234-5678"


@dataclass(frozen=True)
class Interviews:
    """Rows that rest on a consent, with keys that name people, out of a file that names one, too."""

    def __call__(self, turn: Turn) -> Any:
        made = replace(
            origin("file", "interviews"), rights="CC-BY-SA-4.0", consent=CONSENT, batch="kim-min-ji.csv"
        )
        rows = batch(range(900, 930), turn.n == 1)
        yield Draft(rows=rows, origin=made, keys=[f"customer-{i}@bank.example" for i in range(30)])


@dataclass(frozen=True)
class Second:
    """Another clerk, who answers four of the questions too, and errs at one."""

    def __call__(self, turn: Turn) -> Any:
        for draft in sorted(Clerk()(turn), key=lambda one: len(one.rows))[-1:]:
            some, names = pa.array(range(4)), sorted(ASKS)
            said = draft.rows.column("intent").to_pylist()[:4]
            said[0] = next(name for name in names if name != said[0])
            rows = draft.rows.take(some)
            rows = rows.set_column(rows.schema.get_field_index("intent"), "intent", pa.array(said))
            parts = {one.name: getattr(draft.parents, one.name).take(some) for one in fields(draft.parents)}
            made = replace(draft.origin, source="second")
            yield replace(draft, rows=rows, parents=replace(draft.parents, **parts), origin=made)


def recipe_of() -> Recipe:
    recipe = bank(checks={"short": Shorter(45), "vouch": Vouches()}, surveys={"copies": near_duplicates(0.5)})
    sources = {
        **recipe.sources,
        "interviews": Interviews(),
        "second": Second(),
        "history": History(120, 60),
    }
    return replace(recipe, sources=sources)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two turns without training: a file, a pool, two clerks (one errs), a machine's rows, a consent."""
    root = founded(tmp_path_factory.mktemp("export") / "은행")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAPSIM_KEY", "5e" * 32)
        untrained(root, recipe_of(), exam=40, ask=16)
        untrained(root, recipe_of())
    return root


def exported(
    root: Path, out: Path, wanted: Wanted = EVERYTHING, lang: str = "en", recipe: Any = None
) -> Label:
    with opened(root, writing=False) as one:
        return export(one, recipe or recipe_of(), wanted, out, lang)


def rows_in(out: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(out.glob("*/*.parquet")):
        found.setdefault(path.name.rsplit("-", 1)[0], []).extend(pq.read_table(path).to_pylist())
    return found


def files_in(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def test_every_row_stands_in_one_split_as_it_is(project: Path, tmp_path: Path) -> None:
    label = exported(project, tmp_path / "out")
    found = rows_in(tmp_path / "out")
    with opened(project, writing=False) as one:
        state = stands(one, load_stock(one, recipe_of().task)).tolist()
        shards = [row for s in one.shards() for row in pq.read_table(one.wheel / s.path).to_pylist()]
        why = list(refused(one, recipe_of()))
        looked = [why_record(one, recipe_of(), rows[i]["row_id"]) for rows in found.values() for i in (0, -1)]
    assert set(found) == {split for split, _ in SPLITS.values()}
    at = {row["row_id"]: (split, row) for split, rows in found.items() for row in rows}
    assert len(at) == len(shards) == label.rows
    for record, code in zip(shards, state, strict=True):
        split, row = at[record["_id"].hex()]
        assert split == SPLITS[STATES[code]][0]
        assert (row["text"], row["intent"]) == (record["text"], record["intent"])
    assert Counter(one["reason"] for one in why) == Counter(row["refused_for"] for row in found["refused"])
    assert {one["id"]: one["check"] for one in why} == {
        r["row_id"]: r["refused_by"] for r in found["refused"]
    }
    assert {row["refused_for"] for row in found["superseded"]} <= {"answered", "replaced"}
    for said in looked:
        row, about = at[said["id"]][1], said["certificate"]
        for name in ("source", "input_maker", "method", "turn", "input_depth"):
            assert row[name] == about[name]
        assert (row["parents"] or []) == said["parents"]


def test_counts_of_the_card_add_up(project: Path, tmp_path: Path) -> None:
    label = exported(project, tmp_path / "out", Wanted())
    assert sorted(rows_in(tmp_path / "out")) == ["test", "train", "unlabelled"]
    counts = {split.state: split.rows for split in label.splits} | dict(label.left_out)
    assert counts == {name: n for name, n in label.accounts.items() if name in counts and n}
    assert sum(counts.values()) + label.accounts["unread"] == label.accounts["lines"]
    assert sum(label.refused.values()) == label.accounts["refused"]
    assert sum(one.rows for one in label.sources) == label.rows == sum(label.tally.hands.values())
    assert label.agreement == Agreement(questions=4, agreed=3)
    assert label.machine_made == sum(row["input_depth"] == 1 for row in rows_in(tmp_path / "out")["train"])


def test_nothing_leaves_that_must_stay(project: Path, tmp_path: Path) -> None:
    exported(project, tmp_path / "out")
    exported(project, tmp_path / "lines", replace(EVERYTHING, form="jsonl"))
    said = "\n".join(body.decode("utf-8", "replace") for body in files_in(tmp_path / "out").values())
    said += json.dumps(rows_in(tmp_path / "out"), ensure_ascii=False)
    said += "\n".join(body.decode() for body in files_in(tmp_path / "lines").values())
    for secret in ("Kim Min-ji", "010-1234-5678", "kim-min-ji", "customer-", "5e" * 32, "^" * 32):
        assert secret not in said
    consents = {tuple(r["consents"]) for rows in rows_in(tmp_path / "out").values() for r in rows}
    assert sorted(map(len, consents)) == [0, 1]
    assert "form" not in str(consents)


def test_the_same_bytes_each_time_and_in_each_language(project: Path, tmp_path: Path) -> None:
    exported(project, tmp_path / "a")
    exported(project, tmp_path / "b")
    exported(project, tmp_path / "k", lang="ko")
    assert files_in(tmp_path / "a") == files_in(tmp_path / "b")
    english, korean = files_in(tmp_path / "a"), files_in(tmp_path / "k")
    assert {name for name in english if english[name] != korean[name]} == {"README.md", "croissant.json"}
    assert "은행" in korean["README.md"].decode()


def test_json_lines_hold_the_same_rows(project: Path, tmp_path: Path) -> None:
    exported(project, tmp_path / "a")
    exported(project, tmp_path / "b", replace(EVERYTHING, form="jsonl"))
    lines: dict[str, list[Any]] = {}
    for path in sorted((tmp_path / "b").glob("*/*.jsonl")):
        lines[path.name.rsplit("-", 1)[0]] = [
            json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]
        ]
    assert lines == rows_in(tmp_path / "a")


def test_rights_hold_back_what_was_made_under_others(project: Path, tmp_path: Path) -> None:
    whole = exported(project, tmp_path / "all")
    own = exported(project, tmp_path / "own", replace(EVERYTHING, rights=("own",)))
    assert own.rows + own.other_rights == whole.rows
    assert own.other_rights == sum(n for name, n in whole.rights.items() if name == "CC-BY-SA-4.0") > 30
    found = [row for rows in rows_in(tmp_path / "own").values() for row in rows]
    assert {tuple(row["rights"]) for row in found} == {("own",)}
    mixed = [row for rows in rows_in(tmp_path / "all").values() for row in rows if len(row["rights"]) > 1]
    assert {row["source"] for row in mixed} <= {"clerk", "second"}, (
        "an answer stands under its question's rights"
    )
    with pytest.raises(InputError) as error:
        exported(project, tmp_path / "none", replace(EVERYTHING, rights=("MIT",)))
    assert error.value.key == "export_rights"
    assert "CC-BY-SA-4.0" in str(error.value)


def test_without_certificates(project: Path, tmp_path: Path) -> None:
    exported(project, tmp_path / "out", Wanted(certificates=False))
    assert [*rows_in(tmp_path / "out")["train"][0]] == ["text", "intent"]
    assert "row_id" not in (tmp_path / "out/README.md").read_text("utf-8")


# --------------------------------------------------------------------------- places, kills, turns


def test_nothing_is_overwritten_and_nothing_is_left_behind(project: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    tiny = gathered(
        small, Task(input="t", target="y"), {"one": brings(pa.record_batch({"t": ["a"], "y": ["b"]}))}
    )
    empty, full, file, link = (tmp_path / name for name in ("empty", "full", "file", "link"))
    empty.mkdir()
    full.mkdir()
    (full / "theirs.txt").write_text("theirs")
    file.write_text("theirs")
    link.symlink_to(empty)
    for place in (full, file, link):
        with pytest.raises(InputError) as error:
            exported(project, place)
        assert error.value.key == "export_folder"
    for place in (project / "wheel/out", project / "inbox/data/out"):
        with pytest.raises(InputError) as error:
            exported(project, place)
        assert error.value.key == "export_place"
    with pytest.raises(InputError) as error:
        exported(small, tmp_path / "none", replace(EVERYTHING, states=("pending",)), recipe=tiny)
    assert error.value.key == "export_nothing"
    assert "trained 1" in str(error.value)
    exported(project, empty)
    exported(project, project / "exports" / "first")
    shutil.rmtree(project / "exports")
    assert files_in(full) == {"theirs.txt": b"theirs"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full", "link", "small"]


def test_killed_at_any_step_it_is_whole_or_not_there(tmp_path: Path) -> None:
    project, rows = tmp_path / "wheel", pa.record_batch({"t": ["a", "b"], "y": ["c", None]})
    recipe = gathered(project, Task(input="t", target="y"), {"one": brings(rows)})
    exported(project, tmp_path / "undisturbed", recipe=recipe)
    wanted, out, deaths = files_in(tmp_path / "undisturbed"), tmp_path / "out", 0
    while True:
        child = os.fork()
        if child == 0:
            fault._passed = 0
            os.environ["BAPSIM_FAULT"] = str(deaths + 1)
            exported(project, out, recipe=recipe)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            break
        deaths += 1
        assert not out.exists() or files_in(out) == wanted
        if out.exists():
            shutil.rmtree(out)
    assert os.waitstatus_to_exitcode(status) == 0
    assert deaths > 10
    assert files_in(out) == wanted
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "undisturbed", "wheel"]


def test_a_turn_that_has_not_ended_is_not_exported(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    with opened(copy) as one:
        begin(one, recipe_of())
    with pytest.raises(InputError) as error:
        exported(copy, tmp_path / "out")
    assert error.value.key == "export_unfinished"
    fresh = founded(tmp_path / "fresh")
    with opened(fresh):
        pass
    with pytest.raises(InputError) as error:
        exported(fresh, tmp_path / "out")
    assert error.value.key == "no_turn_ended"


# --------------------------------------------------------------------------- columns of every kind


def test_files_of_different_columns_become_one_table(tmp_path: Path) -> None:
    first = pa.record_batch({"text": ["a", "b"], "n": [1, 2], "source": ["theirs"] * 2, "label": ["x", None]})
    second = pa.record_batch({"label": ["y"], "text": ["c"], "n": [0.5], "Turn": [7]})
    task = Task(input=("text", "n"), target="label", kind="table", group="source")
    recipe = gathered(
        tmp_path / "wheel", task, {"one": brings(first), "two": brings(second, rights="unknown")}
    )
    label = exported(tmp_path / "wheel", tmp_path / "out", Wanted(), recipe=recipe)
    (pooled,) = rows_in(tmp_path / "out")["unlabelled"]
    both = rows_in(tmp_path / "out")["train"]
    assert [(r["text"], r["n"], r["source"], r["label"]) for r in both] == [
        ("a", 1.0, "theirs", "x"),
        ("c", 0.5, None, "y"),
    ]
    assert [r["record_source"] for r in both] == ["one", "two"], "a user's column keeps its name"
    assert "Turn" not in both[0], "it plays no part"
    assert (pooled["target_maker"], pooled["target_depth"]) == (None, None)
    assert label.columns_left_out == ("Turn",)
    assert label.unknown_rights == 1
    exported(tmp_path / "wheel", tmp_path / "more", Wanted(all_columns=True), recipe=recipe)
    row = rows_in(tmp_path / "more")["train"][1]
    assert row["Turn"] == 7
    assert row["record_turn"] == 1


def test_pictures_are_written_as_others_read_them(tmp_path: Path) -> None:
    rows = pa.record_batch(
        {"image": [b"\x89PNG one", None, b"\xff\xd8 two"], "kind": ["crack", "fray", None]}
    )
    task = Task(input="image", target="kind", kind="image")
    recipe = gathered(tmp_path / "wheel", task, {"tiles": brings(rows)})
    label = exported(tmp_path / "wheel", tmp_path / "out", Wanted(certificates=False), recipe=recipe)
    assert rows_in(tmp_path / "out")["train"] == [
        {"image": {"bytes": b"\x89PNG one", "path": None}, "kind": "crack"},
        {"image": None, "kind": "fray"},
    ]
    card = (tmp_path / "out/README.md").read_text("utf-8")
    assert '- name: "image"\n        dtype: "image"' in card
    assert '"image-classification"' in card
    fields = json.loads((tmp_path / "out/croissant.json").read_text("utf-8"))["recordSet"][1]["field"]
    assert fields[1]["dataType"] == "sc:ImageObject"
    assert label.scripts == {}
    with pytest.raises(InputError) as error:
        exported(tmp_path / "wheel", tmp_path / "lines", Wanted(form="jsonl"), recipe=recipe)
    assert error.value.key == "export_bytes"
    assert not (tmp_path / "lines").exists()
