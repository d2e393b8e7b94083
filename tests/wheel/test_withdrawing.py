"""Withdrawal: nothing of a consent is found in any file after decoding every format, also after kills."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bapsim.core.errors import InputError
from bapsim.report.facts import facts
from bapsim.store.project import opened
from bapsim.store.terms import is_withdrawn, read_terms
from bapsim.wheel.audit import check
from bapsim.wheel.stock import load_stock
from bapsim.wheel.turn import run_turn
from bapsim.wheel.withdrawal_report import is_sound, report_of
from bapsim.wheel.withdrawing import rehearsed, unfinished, withdraw
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


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank after two turns, with the expert's words in every kind of file."""
    root = founded(tmp_path_factory.mktemp("withdrawing") / "bank")
    lived(root)
    scattered(root)
    return root


@pytest.fixture
def bank(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(world, tmp_path / "bank")
    monkeypatch.syspath_prepend(tmp_path / "bank")
    return tmp_path / "bank"


def taken_back(root: Path, consent: str = EXPERT) -> dict[str, Any]:
    with opened(root) as project:
        done: dict[str, Any] = withdraw(project, recipe(), consent)
    return done


def test_the_scanner_finds_what_is_there(world: Path) -> None:
    found = {name for _, name in scan(world, planted())}
    assert len(found) > 80  # of rows, a pool, remarks, votes, rules, a log; the rest never came in
    assert {canary("rule", 2), canary("rationale", 1), canary("log", 3)} <= found


def test_nothing_is_found_afterwards_and_others_keep_theirs(bank: Path) -> None:
    wanted = planted()
    before = rows_of_others(bank)
    body = taken_back(bank)["body"]
    assert body["state"] == "done"
    assert body["verification"]["found"] == []
    assert not scan(bank, wanted)
    assert rows_of_others(bank) == before, "what others gave stays as it was"
    assert SHARED in "\n".join(before)
    with opened(bank, writing=False) as project:
        assert not check(project, recipe()).get("broken")
    terms = read_terms(bank / "inbox")
    assert is_withdrawn(bank / "inbox", EXPERT)
    assert OTHER in terms
    assert (bank / "inbox" / "people" / f"{OTHER}.jsonl").exists()


def rows_of_others(root: Path) -> list[str]:
    """What the bank's own history says, as it lies in the records."""
    with opened(root, writing=False) as project:
        stock = load_stock(project, recipe().task)
        mine = stock.of_origins(lambda _, origin: origin.source == "history")
        return sorted(str(stock.told[i]) for i in np.flatnonzero(mine))


def test_every_record_that_rests_on_it_has_an_action_and_the_counts_add_up(bank: Path) -> None:
    with opened(bank, writing=False) as project:
        query = "select count(distinct id) n from descendant where consent=?"
        resting = int(project.ledger.rows(query, EXPERT)[0]["n"])
        told_before = rehearsed(project, recipe(), EXPERT)
    body = taken_back(bank)["body"]
    assert sum(body["records"].values()) == len(body["actions"]) == resting
    assert body["records"] == told_before["records"]
    kinds = {name.split(".")[0] for name in body["records"]}
    assert kinds == {"delete", "drop", "keep", "re-verify"}
    assert len({one["id"] for one in body["actions"]}) == resting


def test_models_and_sets_are_clean_or_tainted_with_a_remedy_and_nothing_is_unlearnt(bank: Path) -> None:
    done = taken_back(bank)
    assert is_sound(done)
    assert not is_sound({**done, "body": {**done["body"], "state": "better"}})
    told_of = done["body"]["consumers"]
    models = {one["name"]: one for one in told_of if one["kind"] == "model"}
    assert models
    for one in models.values():
        assert (one["state"] == "tainted") == (one["remedy"] is not None)
    assert models["t001-people"]["state"] == "tainted"
    assert models["t001-people"]["remedy"] == "retrain"
    sent = [one for one in told_of if one["kind"] == "export"]
    assert {one["remedy"] for one in sent} == {"cannot_be_remedied"}
    assert done["body"]["serving"]["state"] == "tainted"
    page = run("-C", bank, "withdraw", "--consent", EXPERT)
    text = (bank / "reports" / "withdrawals" / EXPERT / "index.html").read_text("utf-8")
    for one in (json.dumps(done), page.output, text):
        assert "unlearn" not in one.lower()
    assert "t001-people" in text
    assert "cannot be remedied" in text


def test_reports_of_turns_name_what_was_withdrawn_and_what_is_tainted(bank: Path) -> None:
    with opened(bank, writing=False) as project:
        assert "withdrawn" not in facts(project, 2)
        eaten = {row["version"] for row in project.ledger.rows("select version from model")}
    body = said("-C", bank, "withdraw", "--consent", EXPERT)["body"]
    assert not scan(bank, planted()), "nor in the pages that are made anew"
    report = json.loads((bank / "reports" / "turn-002" / "report.json").read_text("utf-8"))
    (one,) = report["withdrawn"]["consents"]
    assert (one["consent"], one["person"], one["state"]) == (EXPERT, PERSON, "done")
    assert sum(one["records"].values()) == len(body["actions"])
    marked = {
        each["name"]: each["rows"] for each in body["consumers"] if each["kind"] == "model" and each["rows"]
    }
    assert {each["version"]: each["rows"] for each in report["withdrawn"]["models"]} == marked
    assert set(marked) <= eaten
    serves = report["serves"]["version"]
    for lang, words in (("en", "that were taken back since"), ("ko", "그 뒤 철회된 기록")):
        assert words in run("-C", bank, "--lang", lang, "show").output
        page = (bank / "reports" / "turn-002" / "index.html").read_text("utf-8")
        assert page.count(EXPERT) == 1
        assert words in page
        assert f"{serves} " in page
    why = said("-C", bank, "why", serves)["tainted"]
    assert [(each["consent"], each["rows"]) for each in why] == [(EXPERT, marked[serves])]
    assert EXPERT in run("-C", bank, "why", serves).output


def test_the_next_turn_learns_without_it_and_reads_nothing_of_it(bank: Path) -> None:
    taken_back(bank)
    lines(
        bank / "inbox" / "people" / f"{EXPERT}.jsonl",
        [{"id": "7", "kind": "rationale", "text": told("row", 3)}],
    )
    lines(bank / "inbox" / "new.jsonl", bank_rows(range(700, 760)))
    with opened(bank) as project:
        run_turn(project, recipe())
        eaten = {row["version"] for row in project.ledger.rows("select version from model where turn=3")}
        left = {row["name"] for row in project.ledger.rows("select name from taint where kind='model'")}
        assert eaten
        assert not eaten & left
        assert not unfinished(project, recipe())
    assert not scan(bank, planted())


def test_twice_is_once(bank: Path) -> None:
    first = taken_back(bank)
    files = {path: path.stat().st_mtime_ns for path in bank.rglob("*.parquet")}
    assert taken_back(bank) == first
    assert {path: path.stat().st_mtime_ns for path in bank.rglob("*.parquet")} == files


@pytest.mark.parametrize("name", ["c-nobody", "", "../../etc/passwd", "c-\x00", "x" * 5000, "🍚"])
def test_a_name_that_is_none_changes_nothing(world: Path, name: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in world.rglob("*") if path.is_file()}
    with opened(world) as project, pytest.raises(InputError):
        withdraw(project, recipe(), name)
    after = {path: path.stat().st_mtime_ns for path in world.rglob("*") if path.is_file()}
    assert {k for k in before if "ledger" not in k.name and "lock" not in k.name} <= set(after)
    assert not list((world / "inbox" / "people").glob("*.withdrawn.json"))


@pytest.mark.parametrize("step", [2, 9, 17, 26])
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


def test_the_verb_says_what_it_did_and_what_it_would_do(bank: Path) -> None:
    would = said("-C", bank, "withdraw", "--consent", EXPERT, "--dry-run")
    assert scan(bank, [canary("row", 0)]), "nothing was changed"
    done = said("-C", bank, "withdraw", "--consent", EXPERT, "--by", PERSON)
    assert done["body"]["by"] == PERSON
    assert done["body"]["records"] == would["records"]
    wrong = run("-C", bank, "withdraw", "--consent", "c-nobody", code=2)
    assert "Nobody gave a consent named c-nobody" in wrong.stderr
    assert OTHER in wrong.stderr
    assert "Missing option" in run("-C", bank, "withdraw", code=2).stderr


def test_pages_of_databases_that_were_freed_hold_nothing(bank: Path) -> None:
    taken_back(bank)
    for path in bank.rglob("*.sqlite"):
        body = path.read_bytes()
        assert canary("row", 5).encode() not in body
        db = sqlite3.connect(path)
        assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
        db.close()


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("broken.parquet", b"PAR1 no"),
        ("broken.zip", b"PK\x03\x04"),
        ("x.gz", b"\x1f\x8b"),
        ("a.jsonl", b"\xff{"),
    ],
)
def test_files_that_cannot_be_read_end_nothing(bank: Path, name: str, body: bytes) -> None:
    (bank / "exports" / name).write_bytes(body)
    assert taken_back(bank)["body"]["state"] == "done"
    assert (bank / "exports" / name).read_bytes() == body
