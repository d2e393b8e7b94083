"""Withdrawal: nothing of a consent is found in any file after decoding every format, also after kills."""

from __future__ import annotations

import json
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import InputError
from bapsim.report.facts import facts
from bapsim.report.words import story
from bapsim.store.lake import read_batch
from bapsim.store.project import opened
from bapsim.store.sealing import is_sound
from bapsim.store.terms import is_withdrawn, read_terms
from bapsim.text.verbatim import said_by, traces_of
from bapsim.wheel.audit import check
from bapsim.wheel.closure import closure
from bapsim.wheel.scrub_files import without
from bapsim.wheel.sought import Sought
from bapsim.wheel.stock import load_stock
from bapsim.wheel.tainting import newest_clean, stained
from bapsim.wheel.turn import run_turn
from bapsim.wheel.withdrawal_report import report_of
from bapsim.wheel.withdrawing import unfinished, withdraw
from tests.cli.conftest import run, said
from tests.scanner import scan
from tests.wheel.withdrawals import (
    EXPERT,
    OTHER,
    PERSON,
    SHARED,
    bank_rows,
    canary,
    founded,
    in_a_child,
    lines,
    lived,
    planted,
    recipe,
    scattered,
    told,
)

BROKEN = {"a.parquet": b"PAR1 no", "a.zip": b"PK\x03\x04", "a.gz": b"\x1f\x8b", "a.jsonl": b"\xff{"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank after two turns, with the expert's words in every kind of file."""
    root = founded(tmp_path_factory.mktemp("withdrawing") / "bank")
    lived(root)
    scattered(root)
    for name, body in BROKEN.items():
        (root / "exports" / name).write_bytes(body)
    return root


@pytest.fixture
def bank(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(world, tmp_path / "bank")
    monkeypatch.syspath_prepend(tmp_path / "bank")
    return tmp_path / "bank"


@dataclass(frozen=True)
class Gone:
    """A bank from which the expert's consent was taken back, and what was said of it before and after."""

    root: Path
    would: dict[str, Any]
    report: dict[str, Any]
    resting: int
    others: list[str]
    pickled: int

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = self.report["body"]
        return body


@pytest.fixture(scope="module")
def gone(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Gone:
    root = tmp_path_factory.mktemp("gone") / "bank"
    shutil.copytree(world, root)
    with opened(root, writing=False) as project:
        assert "withdrawn" not in facts(project, 2)
        query = "select count(distinct id) from descendant where consent=?"
        resting = int(project.ledger.value(query, EXPERT))
    others = rows_of_others(root)
    would = said("-C", root, "withdraw", "--consent", EXPERT, "--dry-run")
    assert rows_of_others(root) == others
    assert scan(root / "inbox", [canary("row", 0)]), "a rehearsal changes nothing"
    report = said("-C", root, "withdraw", "--consent", EXPERT, "--by", PERSON)
    pickled = (world / "exports" / "old" / "seen.pkl").stat().st_size
    return Gone(root, would, report, resting, others, pickled)


def taken_back(root: Path, consent: str = EXPERT) -> dict[str, Any]:
    with opened(root) as project:
        done: dict[str, Any] = withdraw(project, recipe(), consent)
    return done


def test_the_scanner_finds_what_is_there(world: Path) -> None:
    hits = scan(world, planted())
    assert len({name for _, name in hits}) > 80  # the rest never came in
    assert {canary("rule", 2), canary("rationale", 1), canary("log", 3)} <= {name for _, name in hits}
    files = {path.name for path in (world / "exports" / "old").iterdir()}
    files |= {"notes.txt", "page.html", "mixed.jsonl", "mixed.csv", "sheet.xlsx", "people.sqlite"}
    files |= {"stopped.sqlite-wal", "answers.bin", "ledger.sqlite"}
    assert not files - {Path(file).name for file, _ in hits}, "it opens every format"


def test_nothing_is_found_afterwards_and_others_keep_theirs(gone: Gone) -> None:
    assert gone.body["state"] == "done"
    assert gone.body["verification"]["found"] == []
    assert not scan(gone.root, planted()), "nor in the pages that are made anew"
    assert rows_of_others(gone.root) == gone.others, "what others gave stays as it was"
    assert SHARED in "\n".join(gone.others)
    with opened(gone.root, writing=False) as project:
        assert not check(project, recipe()).get("broken")
    assert is_withdrawn(gone.root / "inbox", EXPERT)
    assert OTHER in read_terms(gone.root / "inbox")
    assert (gone.root / "inbox" / "people" / f"{OTHER}.jsonl").exists()
    old = gone.root / "exports" / "old"
    assert len((old / "seen.pkl").read_bytes()) == gone.pickled, "blanked where it stood"
    assert np.load(old / "arrays.npz")["n"].tolist() == [0, 1]
    kept = {Path(file).name for file, _ in scan(old, ["what somebody else said, which has to stay"])}
    assert kept >= {"rows.parquet", "coded.parquet", "arrays.npz", "rows.jsonl.zst", "rows.zip", "rows.arrow"}
    for name, body in BROKEN.items():
        assert (gone.root / "exports" / name).read_bytes() == body, "what nobody can read ends nothing"


def rows_of_others(root: Path) -> list[str]:
    """What the bank's own history says, as it lies in the records."""
    with opened(root, writing=False) as project:
        stock = load_stock(project, recipe().task)
        mine = stock.of_origins(lambda _, origin: origin.source == "history")
        return sorted(str(stock.told[i]) for i in np.flatnonzero(mine))


def test_every_record_that_rests_on_it_has_an_action_and_the_counts_add_up(gone: Gone) -> None:
    body = gone.body
    assert sum(body["records"].values()) == len(body["actions"]) == gone.resting
    assert body["records"] == gone.would["records"]
    assert body["by"] == PERSON
    kinds = {name.split(".")[0] for name in body["records"]}
    assert kinds == {"delete", "drop", "keep", "re-verify"}
    assert len({one["id"] for one in body["actions"]}) == gone.resting


def test_models_and_sets_are_clean_or_tainted_with_a_remedy_and_nothing_is_unlearnt(gone: Gone) -> None:
    assert is_sound(gone.report)
    assert not is_sound({**gone.report, "body": {**gone.body, "state": "better"}})
    models = {one["name"]: one for one in gone.body["consumers"] if one["kind"] == "model"}
    assert models
    for one in models.values():
        assert (one["state"] == "tainted") == (one["remedy"] is not None)
    assert models["t001-people"]["state"] == "tainted"
    assert models["t001-people"]["remedy"] == "retrain"
    sent = [one for one in gone.body["consumers"] if one["kind"] == "export"]
    assert {one["remedy"] for one in sent} == {"cannot_be_remedied"}
    assert gone.body["serving"]["state"] == "tainted"
    page = run("-C", gone.root, "withdraw", "--consent", EXPERT)
    text = (gone.root / "reports" / "withdrawals" / EXPERT / "index.html").read_text("utf-8")
    for said_of_it in (json.dumps(gone.report), page.output, text):
        assert "unlearn" not in said_of_it.lower()
    assert "t001-people" in text
    assert "cannot be remedied" in text


def test_reports_of_turns_name_what_was_withdrawn_and_what_is_tainted(gone: Gone) -> None:
    root = gone.root
    report = json.loads((root / "reports" / "turn-002" / "report.json").read_text("utf-8"))
    (one,) = report["withdrawn"]["consents"]
    assert (one["consent"], one["person"], one["state"]) == (EXPERT, PERSON, "done")
    assert sum(one["records"].values()) == len(gone.body["actions"])
    models = [each for each in gone.body["consumers"] if each["kind"] == "model"]
    marked = {each["name"]: each["rows"] for each in models if each["state"] == "tainted"}
    assert {each["version"]: each["rows"] for each in report["withdrawn"]["models"]} == marked
    serves = report["serves"]["version"]
    for lang, words in (("ko", "그 뒤 철회된 기록"), ("en", "that were taken back since")):
        assert words in run("-C", root, "--lang", lang, "show").output
        page = (root / "reports" / "turn-002" / "index.html").read_text("utf-8")
        assert page.count(EXPERT) == 1
        assert "<q></q>" not in page, "a record that is gone is not shown empty"
        assert words in page
    why = said("-C", root, "why", serves)["tainted"]
    assert [(each["consent"], each["rows"]) for each in why] == [(EXPERT, marked[serves])]
    assert EXPERT in run("-C", root, "why", serves).output


def test_pages_of_databases_that_were_freed_hold_nothing(gone: Gone) -> None:
    paths = sorted(gone.root.rglob("*.sqlite"))
    assert {path.name for path in paths} == {"ledger.sqlite", "people.sqlite", "stopped.sqlite"}
    for path in paths:
        assert canary("row", 5).encode() not in path.read_bytes()
        db = sqlite3.connect(path)
        assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
        db.close()


def test_the_next_turn_learns_without_it_and_reads_nothing_of_it(bank: Path) -> None:
    taken_back(bank)
    lines(
        bank / "inbox" / "people" / f"{EXPERT}.jsonl",
        [{"id": "7", "kind": "rationale", "text": told("row", 3)}],
    )
    lines(bank / "inbox" / "new.jsonl", bank_rows(range(700, 760)))
    with opened(bank) as project:
        before = stained(project.ledger)
        assert before is not None
        assert newest_clean(project.ledger) is None, "nothing was proven without it"
        told_of_it = run_turn(project, recipe())
        assert told_of_it["verdict"] != "refuse"
        assert stained(project.ledger) is None, "what learnt from it serves no longer"
        served = project.ledger.value("select version from used order by n desc limit 1")
        for lang, words in (("en", "serves in its place"), ("ko", "대신 서비스합니다")):
            assert f"{before}" in (line := " ".join(story(facts(project), lang).sentences))
            assert words in line
            assert str(served) in line
        eaten = {row["version"] for row in project.ledger.rows("select version from model where turn=3")}
        left = {row["name"] for row in project.ledger.rows("select name from taint where kind='model'")}
        assert eaten
        assert not eaten & left
        assert not unfinished(project, recipe())
    assert not scan(bank, planted())


def test_the_closure_is_what_a_walk_over_all_parents_finds(world: Path) -> None:
    with opened(world, writing=False) as project:
        for consent in (EXPERT, OTHER):
            query = "select n from origin where consent=?"
            own = {row["n"] for row in project.ledger.rows(query, consent)}
            joint = {
                row["id"] for row in project.ledger.rows("select id from descendant where consent=?", consent)
            }
            names = ["_id", "_origin", "_parents"]
            batches = [
                read_batch(project.wheel / shard.path, names).to_pylist() for shard in project.shards()
            ]
            rows = [row for batch in batches for row in batch]
            found = {row["_id"] for row in rows if row["_origin"] in own} | joint
            for _ in range(8):  # deeper than anything there
                found |= {row["_id"] for row in rows if found & set(row["_parents"] or ())}
            assert {one.id for one in closure(project, consent).members} == found
            assert found


def test_twice_is_once(gone: Gone) -> None:
    files = {path: path.stat().st_mtime_ns for path in gone.root.rglob("*.parquet")}
    assert taken_back(gone.root) == gone.report
    assert {path: path.stat().st_mtime_ns for path in gone.root.rglob("*.parquet")} == files


@pytest.mark.parametrize("name", ["c-nobody", "", "../../etc/passwd", "c-\x00", "x" * 5000, "🍚"])
def test_a_name_that_is_none_changes_nothing(world: Path, name: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in world.rglob("*") if path.is_file()}
    with opened(world) as project, pytest.raises(InputError):
        withdraw(project, recipe(), name)
    after = {path: path.stat().st_mtime_ns for path in world.rglob("*") if path.is_file()}
    assert {k for k in before if "ledger" not in k.name and "lock" not in k.name} <= set(after)
    assert not list((world / "inbox" / "people").glob("*.withdrawn.json"))


@pytest.mark.parametrize("step", [2, 13, 26])
def test_killed_at_any_step_the_next_run_finishes_it(world: Path, tmp_path: Path, step: int) -> None:
    """A run that dies at step k, then one that dies at a step of what is left, then one to the end; all steps
    are in benchmarks/withdraw_kills.py.
    """
    root = tmp_path / "bank"
    shutil.copytree(world, root)
    died = in_a_child(lambda: taken_back(root), step)
    in_a_child(lambda: taken_back(root), 3 + step % 5)
    done = taken_back(root)
    assert done["body"]["state"] == "done"
    assert not scan(root, SOME)
    with opened(root, writing=False) as project:
        assert report_of(project, EXPERT) == done
        assert not unfinished(project, recipe())
    assert died


SOME = [canary("row", 0), canary("row", 41), canary("pool", 5), canary("log", 2), canary("rule", 1)]


def test_a_name_that_nobody_gave_is_told_with_those_that_are_known(gone: Gone) -> None:
    wrong = run("-C", gone.root, "withdraw", "--consent", "c-nobody", code=2)
    assert "Nobody gave a consent named c-nobody" in wrong.stderr
    assert OTHER in wrong.stderr
    assert "Missing option" in run("-C", gone.root, "withdraw", code=2).stderr


@given(
    before=st.binary(max_size=40),
    after=st.binary(max_size=40),
    encoding=st.sampled_from(["utf-8", "cp949", "utf-16-le", "utf-16-be", "utf-32-le"]),
)
def test_words_in_a_format_that_nobody_reads_are_blanked_where_they_stand(
    before: bytes, after: bytes, encoding: str
) -> None:
    secret, words = b"k" * 32, "제 카드 번호는 zq17abc9931xyz 인데 어제부터 결제가 되지 않습니다"
    sought = Sought(secret=secret, traces=traces_of(said_by([words]), secret), consent=EXPERT)
    said_in_it = f" {words} ".encode(encoding)
    body = b"\x00\xfe\x80\x00" + before + b"\x00\x00\x00" + said_in_it + b"\x00\x00\x00" + after
    done = without(body, "seen.bin", sought, given=True)
    assert done is not None
    assert done.body is not None
    assert len(done.body) == len(body)
    assert "zq17abc9931xyz".encode(encoding) not in done.body
    assert without(done.body, "seen.bin", sought, given=True) is None, "done once is done"
