"""A bank with an expert whose words are everywhere: what a withdrawal has to find, and has to leave alone.

Each text of the expert holds a canary of its own that nobody else says. They are planted in rows, a pool,
the exam, answers, votes, comments, rationales, a log, questions, exports, pages, tapes, caches, a snapshot.
"""

from __future__ import annotations

import bz2
import gzip
import html
import io
import json
import lzma
import os
import pickle
import shutil
import signal
import sqlite3
import tarfile
import traceback
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bapsim.compose.asking import worth_asking
from bapsim.compose.plan import exam
from bapsim.core.arrow import concat, take
from bapsim.core.recipe import Recipe
from bapsim.core.records import Answers, Draft, Origin, Records, Rows, Task, derive
from bapsim.core.turn import Turn
from bapsim.gather.answers import answers, write_questions
from bapsim.gather.augment import misspell
from bapsim.gather.files import files
from bapsim.gather.service import service
from bapsim.judge.exam import accuracy, per_item
from bapsim.judge.gate import paired
from bapsim.refine.duplicates import near_duplicates
from bapsim.ship.release import Wanted
from bapsim.store import fault
from bapsim.store.project import Project, opened
from bapsim.store.sealing import Keys
from bapsim.store.tape import LedgerTape
from bapsim.store.terms import Terms, write_terms
from bapsim.train.text import text_linear
from bapsim.wheel.exporting import export
from bapsim.wheel.sheet import open_questions
from bapsim.wheel.turn import run_turn
from tests.wheel.world import sentence

EXPERT, PERSON = "c-expert234567", "p-expert2345"
OTHER = "c-other2345672"
SHARED = "shared words that the bank and the expert both say about a lost card"
MOOD = ["차분하게", "급하게", "again and again", "since last Friday", "지점 창구에서", "with my old phone"]


def canary(kind: str, i: int) -> str:
    """A name that stands nowhere else: 20 characters with digits."""
    return f"zq{kind}{(i * 7919 + 104729) % 1000003:07d}{'vwxk'[i % 4]}"


def told(kind: str, i: int) -> str:
    """A sentence of the expert with its canary, about intent `sentence(i)`."""
    said, _ = sentence(5000 + i)
    return f'{said}, {MOOD[i % 6]} 제 번호는 {canary(kind, i)} 입니다 & <b>"{MOOD[(i + 1) % 6]}"</b>'


def row(kind: str, i: int, *, labelled: bool = True) -> dict[str, Any]:
    return {"text": told(kind, i), "intent": sentence(5000 + i)[1] if labelled else None}


def bank_rows(numbers: range, *, labelled: bool = True) -> list[dict[str, Any]]:
    said = [sentence(i) for i in numbers]
    return [{"text": text, "intent": label if labelled else None} for text, label in said]


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows), "utf-8")
    return path


@dataclass(frozen=True)
class Rephrase:
    """A machine that makes rows of the expert's and others': near copies, mixtures, and bare thoughts."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n != 2:
            return
        made = replace(ORIGIN, input_maker="machine", target_maker="machine", method="rephrase")
        view = next(iter(turn.data.values()))
        whole = Records(concat([take(b, k) for b, k in zip(view.batches(), view.kept(), strict=True)]))
        mine = np.isin(whole.column("_origin").to_numpy(), list(turn.origins_of("expert")))
        mine &= np.array([label is not None for label in whole.column("intent").to_pylist()])
        experts, others = np.flatnonzero(mine)[:12], np.flatnonzero(~mine)[:12]
        texts: list[str] = whole.column("text").to_pylist()
        plans = [
            ([[int(i)] for i in experts[:4]], [f"well: {texts[i]}" for i in experts[:4]]),  # verbatim
            (
                [[int(i)] for i in experts[4:8]],
                [f"a thought number {i}" for i in experts[4:8]],
            ),  # nothing left
            (
                [[int(a), int(b)] for a, b in zip(experts[8:], others, strict=False)],
                [f"both ask: {texts[b]}" for b in others[:4]],  # another parent vouches
            ),
        ]
        for of, said in plans:
            labels = [whole.column("intent")[mums[0]].as_py() for mums in of]
            rows = Rows(pa.record_batch({"text": pa.array(said), "intent": pa.array(labels)}))
            yield derive(whole, of, rows, changed=frozenset({"input"}), origin=made)


ORIGIN = Origin(
    source="rephrase", input_maker="machine", target_maker="machine", method="m", rights="derived"
)


@dataclass(frozen=True)
class Jury:
    """Questions that the expert and another person settled together."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        ids = sorted(one for one, draw in turn.asked.items() if draw == "chosen")[:6]
        if turn.n != 2 or not ids:
            return
        said = pa.record_batch(
            {
                "intent": pa.array(["card"] * len(ids)),
                "why": pa.array([f"{told('jury', i)}" for i in range(len(ids))]),
            }
        )
        made = replace(
            ORIGIN, source="jury", input_maker="person", target_maker="person", method="asked:chosen"
        )
        yield Draft(
            rows=Rows(said.select(["intent"])),
            origin=made,
            asked=ids,
            places=[("jury", i) for i in range(len(ids))],
            consents=[[EXPERT, OTHER]] * len(ids),
        )


def recipe() -> Recipe:
    return Recipe(
        task=Task(input="text", target="intent"),
        sources={
            "history": files("history.jsonl", rights="own"),
            "expert": files("expert/", rights="LicenseRef-expert", consent=EXPERT),
            "answers": answers("answers/", consent=EXPERT),
            "log": service("service/", rights="terms", deployment="main"),
            "slips": misspell("expert", share=0.2),
            "rephrase": Rephrase(),
            "jury": Jury(),
        },
        surveys={"copies": near_duplicates(0.8)},
        questions=worth_asking(24),
        train=text_linear(),
        judge=per_item(),
        metric=accuracy,
        gate=paired(),
        exam=exam(60, near=0.9),
        folds=3,
    )


def log_line(i: int, text: str, consent: str | None) -> dict[str, Any]:
    at = f"2026-11-2{i % 3}T01:02:03.000004+00:00"
    said = {"request": f"r{i:04d}", "at": at, "model": "t001-people", "input": {"text": text}}
    return said | {"prediction": "card", "confidence": 0.5, "consent": consent, "deployment": "main"}


def founded(root: Path) -> Path:
    """A project with everything in its inbox."""
    inbox = root / "inbox"
    lines(
        inbox / "history.jsonl",
        [
            *bank_rows(range(170)),
            *bank_rows(range(170, 240), labelled=False),
            {"text": SHARED, "intent": "card"},
        ],
    )
    expert = [row("row", i) for i in range(60)] + [row("pool", i, labelled=False) for i in range(12)]
    expert += [
        {"text": f"{SHARED} {canary('twin', 0)}", "intent": "card"},
        {"text": sentence(3)[0] + ".", "intent": sentence(3)[1]},
    ]
    lines(inbox / "expert" / "rows.jsonl", expert)
    (inbox / "expert" / "broken.jsonl").write_text(f'{{"text": "{told("broken", 1)[:60]}\n', "utf-8")
    said = [log_line(i, told("log", i), EXPERT) for i in range(8)]
    said += [log_line(100 + i, sentence(900 + i)[0], None) for i in range(8)]
    said += [
        {"request": "r0001", "at": "2026-11-22T02:00:00+00:00", "comment": told("logcomment", 1), "thumbs": 1}
    ]
    lines(inbox / "service" / "main-w0-20261122T010203-000000.jsonl", said)
    (inbox / "answers").mkdir()
    person = {"person": PERSON, "at": "2026-11-22T01:00:00+00:00"}
    lines(
        inbox / "people" / f"{EXPERT}.jsonl",
        [
            {
                "id": "1",
                "kind": "vote",
                "question": "ab" * 16,
                "said": "card",
                "comment": told("comment", 1),
                **person,
            },
            {"id": "2", "kind": "rationale", "text": told("rationale", 1), "parents": [], **person},
            {
                "id": "3",
                "kind": "rule",
                "rule": {"any": [told("rule", 1)]},
                "text": told("rule", 2),
                "label": "card",
                **person,
            },
            {
                "id": "4",
                "kind": "pair",
                "prompt": told("prompt", 1),
                "chosen": told("chosen", 1),
                "rejected": "x",
                **person,
            },
        ],
    )
    lines(
        inbox / "people" / f"{OTHER}.jsonl",
        [{"id": "9", "kind": "rationale", "text": "another person's own words", "parents": []}],
    )
    grant = {
        "given": "2026-11-22T00:00:00+00:00",
        "licence": "LicenseRef-expert",
        "scope": frozenset({"train", "evaluate", "synthesise"}),
    }
    write_terms(inbox, Terms(consent=EXPERT, person=PERSON, **grant))
    write_terms(inbox, Terms(consent=OTHER, person="p-other23456", **grant))
    (root / "recipe.py").write_text(
        "from tests.wheel.withdrawals import recipe as made\n\nrecipe = made()\n", "utf-8"
    )
    return root


def answered(project: Project) -> None:
    """The expert answers half of the questions, with remarks, in a sheet of the inbox."""
    sheet = open_questions(project, recipe().task)
    asked: list[str] = sheet.rows.column("text").to_pylist()
    said = [
        {"_ask": "q" + one.hex(), "text": text, "intent": "card", "_note": told("note", i)}
        for i, (one, text) in enumerate(zip(sheet.ids, asked, strict=True))
        if i % 2
    ]
    lines(project.inbox / "answers" / "expert.jsonl", said)


def scattered(root: Path) -> list[str]:
    """Copies of the expert's words in every kind of file that a project may have; their canaries."""
    kinds = []

    def plant(kind: str) -> str:
        kinds.append(canary("row", len(kinds)))
        return told("row", len(kinds) - 1)

    other = {"text": "what somebody else said, which has to stay", "n": 1}
    made = root / "exports" / "old"
    made.mkdir(parents=True)
    rows = [{"text": plant("parquet"), "n": 2}, other]
    pq.write_table(pa.Table.from_pylist(rows), made / "rows.parquet")
    coded = pa.table({"text": pa.array([plant("dictionary"), other["text"]]).dictionary_encode()})
    pq.write_table(coded, made / "coded.parquet")
    with pa.OSFile(str(made / "rows.arrow"), "wb") as sink, pa.ipc.new_file(sink, coded.schema) as out:
        out.write_table(coded)
    body = json.dumps({"text": plant("gzip")}) + "\n" + json.dumps(other) + "\n"
    (made / "rows.jsonl.gz").write_bytes(gzip.compress(body.encode()))
    (made / "rows.csv.bz2").write_bytes(
        bz2.compress(
            f'text,n\n"{plant("bz2").replace(chr(34), chr(34) * 2)}",1\nkept,2\n'.encode("cp949", "ignore")
        )
    )
    with (
        pa.OSFile(str(made / "rows.jsonl.zst"), "wb") as file,
        pa.CompressedOutputStream(file, "zstd") as out,
    ):
        out.write(
            (json.dumps({"text": plant("zstd")}, ensure_ascii=False) + "\n" + json.dumps(other)).encode()
        )
    with zipfile.ZipFile(made / "rows.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "inner/rows.jsonl", json.dumps({"text": plant("zip")}) + "\n" + json.dumps(other) + "\n"
        )
        inner = io.BytesIO()
        with zipfile.ZipFile(inner, "w") as deeper:
            deeper.writestr("page.html", f"<p>{html.escape(plant('nested'))}</p>")
        archive.writestr("deeper.zip", inner.getvalue())
    np.savez_compressed(made / "arrays.npz", said=np.array([plant("npz"), other["text"]]), n=np.arange(2))
    (made / "seen.pkl").write_bytes(pickle.dumps({"seen": [plant("pickle")]}))
    (made / "rows.jsonl.xz").write_bytes(lzma.compress(json.dumps({"text": plant("xz")}).encode()))
    with tarfile.open(made / "rows.tar.gz", "w:gz") as tar:
        inside = tarfile.TarInfo("rows/one.txt")
        text = plant("tar").encode()
        inside.size = len(text)
        tar.addfile(inside, io.BytesIO(text))
    (root / "notes.txt").write_text(f"He said: {plant('txt')}. And I agreed.\n", "utf-16")
    (root / "page.html").write_text(
        f'<p title="{html.escape(plant("attribute"))}">{html.escape(json.dumps(plant("page")))}</p>', "utf-8"
    )
    (root / "bapsim.audit.html").write_text(f"<td>{html.escape(plant('clipped')[:70])}…</td>", "utf-8")
    lines(root / "inbox" / "mixed.jsonl", [{"text": plant("mixed")}, other])
    (root / "inbox" / "mixed.csv").write_bytes(
        f'text,intent\n"{plant("csv")}"\n'.replace("입니다", "입니다\n").encode("utf-8-sig")
        + "다른 사람의 말,card\n".encode()
    )
    book(root / "questions" / "sheet.xlsx", [["text", "n"], [plant("xlsx"), 1], [other["text"], 2]])
    db = sqlite3.connect(root / "people.sqlite")
    db.execute("pragma journal_mode=wal")
    db.execute("create table said(id text primary key, text text not null, more blob) without rowid")
    db.executemany(
        "insert into said values(?,?,?)",
        [("1", plant("sqlite"), plant("blob").encode()), ("2", other["text"], None)],
    )
    db.execute("create table freed(text text)")
    db.execute("insert into freed values(?)", (plant("free") * 50,))
    db.execute("delete from freed")
    db.commit()
    db.close()
    stopped(root / "stopped.sqlite", plant("log"), other["text"])
    cache = root / "wheel" / "cache"
    cache.mkdir()
    (cache / "answers.bin").write_bytes(b"\0\1\2\xff" + plant("binary").encode("utf-16-le"))
    return kinds


def stopped(path: Path, said: str, other: str) -> None:
    """A database whose program was killed: what it wrote last stands in the log beside it."""
    db = sqlite3.connect(path)
    db.execute("pragma journal_mode=wal")
    db.execute("create table said(text text)")
    db.execute("insert into said values(?)", (other,))
    db.commit()
    db.execute("pragma wal_checkpoint(truncate)")
    db.execute("insert into said values(?)", (said,))
    db.commit()
    kept = {
        one: one.read_bytes() for one in path.parent.glob(f"{path.name}*") if not one.name.endswith("-shm")
    }
    db.close()
    for one, body in kept.items():
        one.write_bytes(body)


def book(path: Path, rows: list[list[Any]]) -> None:
    from openpyxl import Workbook

    path.parent.mkdir(parents=True, exist_ok=True)
    made = Workbook()
    for one in rows:
        made.active.append(one)
    made.save(path)


def lived(root: Path) -> None:
    """Two turns, questions, answers, an export, a sheet, taped dialogue, a turn that was interrupted."""
    with opened(root) as project:
        run_turn(project, recipe())
        answered(project)
        run_turn(project, recipe())
        export(project, recipe(), Wanted(form="jsonl"), root / "exports" / "jsonl")
        export(
            project, recipe(), Wanted(certificates=False, all_columns=True), root.parent / f"{root.name}-out"
        )
        write_questions(root / "questions" / "turn-002.csv", open_questions(project, recipe().task))
        keys = Keys(root / "people" / "keys")
        tape = LedgerTape(project.ledger, owner=PERSON, seal=keys.seal, unseal=keys.unseal)
        plain = LedgerTape(project.ledger)
        for one, kind in ((tape, "sealed"), (plain, "taped")):
            said = Answers(pa.record_batch({"prediction": pa.array([told("row", 20)])}))
            one.intend(f"d-{kind}", 0, "asked")
            one.keep(f"d-{kind}", 0, "asked", said)
        with project.ledger.change("used") as ledger:
            ledger.add(
                "used", n=99, version="t001-people", reason=f"person: he said {told('row', 21)}", turn=2
            )
    shutil.copytree(root / "inbox", root / "wheel" / "snapshot" / "t003")


def planted() -> list[str]:
    """Every canary of the expert."""
    found = [canary("row", i) for i in range(60)] + [canary("pool", i) for i in range(12)]
    found += [
        canary(kind, 1)
        for kind in ("broken", "logcomment", "comment", "rationale", "rule", "prompt", "chosen")
    ]
    return [
        *found,
        canary("rule", 2),
        canary("twin", 0),
        *(canary(k, i) for k in ("log", "note") for i in range(8)),
    ]


def in_a_child(run: Callable[[], Any], die: int | None) -> bool:
    """Run in a process of its own that dies by signal 9 at its `die`-th durable step; True if it died."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            fault._passed = 0
            if die is not None:
                os.environ["BAPSIM_FAULT"] = str(die)
            run()
            status = 0
        except Exception:  # noqa: BLE001  a forked child must not run the parent's tests
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "a run that was not killed failed"
    return False
