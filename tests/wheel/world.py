"""A small bank written by us: four intents in two languages, an expert who knows, and a wheel over it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from bapsim.compose.asking import worth_asking
from bapsim.compose.plan import exam
from bapsim.core.recipe import Recipe
from bapsim.core.records import Draft, Origin, Records, Rows, Task, Verdicts, derive, rows_of, verdicts
from bapsim.core.turn import Turn
from bapsim.gather.augment import misspell
from bapsim.judge.exam import accuracy, per_item
from bapsim.judge.gate import paired
from bapsim.refine.label_errors import label_errors
from bapsim.refine.near_parent import near_parent
from bapsim.refine.pii import personal_data
from bapsim.store import fault
from bapsim.store.project import opened
from bapsim.store.schema import VOLATILE
from bapsim.train.text import text_linear
from bapsim.wheel.closing import tidy
from bapsim.wheel.turn import run_turn

ASKS = {
    "card": "카드를 잃었어요|카드 언제 와요|my card is blocked|the card did not arrive|카드 암호 변경",
    "loan": "대출 이자 얼마|전세 대출 돼요|what is the loan rate|I want to pay back my loan|대출 한도 상향",
    "transfer": "송금이 안 돼요|해외 송금|the transfer failed|send money abroad|이체 한도 얼마죠",
    "login": "로그인이 안 돼요|비밀번호 잊음|I cannot log in|the app asks for a code|인증 번호 안 옴",
}
ENDS = [
    "",
    "?",
    " 부탁드립니다",
    " please",
    " 급해요",
    " 어제부터",
    " since Monday",
    " 지점에서",
    " 앱에서",
    " 안내해 주세요",
]
WORDS = ["오늘", "혹시", "hello", "저기요", "again", "still", "정말", "제가", "방금", "now", "근데", "sorry"]


def sentence(i: int) -> tuple[str, str]:
    """Text and intent number i: the same ones on every machine."""
    rng = np.random.default_rng([7, i])
    label = list(ASKS)[int(rng.integers(len(ASKS)))]
    words = [WORDS[int(k)] for k in rng.integers(len(WORDS), size=int(rng.integers(1, 5)))]
    text = ASKS[label].split("|")[int(rng.integers(5))] + ENDS[int(rng.integers(len(ENDS)))]
    wrong = rng.random() < 0.1
    return f"{' '.join(words)} {text} {i}", list(ASKS)[int(rng.integers(4))] if wrong else label


def batch(at: range | list[int], labelled: bool) -> Rows:
    said = [sentence(i) for i in at]
    labels = [label if labelled else None for _, label in said]
    return Rows(
        pa.record_batch({"text": pa.array([t for t, _ in said]), "intent": pa.array(labels, pa.string())})
    )


def origin(method: str, source: str = "bank") -> Origin:
    return Origin(source=source, input_maker="person", target_maker="person", method=method, rights="own")


@dataclass(frozen=True)
class History:
    """Rows with labels on the first turn, and rows without."""

    labelled: int
    pool: int

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == 1:
            yield Draft(rows=batch(range(self.labelled), True), origin=origin("file"))
            rest = range(self.labelled, self.labelled + self.pool)
            yield Draft(rows=batch(rest, False), origin=origin("file"))


@dataclass(frozen=True)
class Part:
    """Rows of the bank at one turn; `wrong` of ten labels are the next intent, or all of them new ones."""

    start: int
    count: int
    wrong: int = 0
    at_turn: int = 1
    new: bool = False
    maker: Any = "person"

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == self.at_turn:
            rows = [sentence(i) for i in range(self.start, self.start + self.count)]
            said = [self._said(k, label) for k, (_, label) in enumerate(rows)]
            batch = pa.record_batch({"text": [t for t, _ in rows], "intent": pa.array(said, pa.string())})
            made = replace(origin("file"), input_maker=self.maker, target_maker=self.maker)
            yield Draft(rows=Rows(batch), origin=made)

    def _said(self, k: int, label: str) -> str:
        if self.new:
            return f"new {list(ASKS).index(label)}"
        return list(ASKS)[(list(ASKS).index(label) + 1) % 4] if k % 10 < self.wrong else label


@dataclass(frozen=True)
class Clerk:
    """Answers every question; with `slip` every answer of that turn is another intent."""

    slip: int = 0

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        names = list(ASKS)
        for view in turn.data.values():
            for draw in ("random", "chosen", "repair"):
                ids = sorted(i for i, d in turn.asked.items() if d == draw)
                asked = view.find(pa.array(ids, pa.binary(16)))
                if not len(asked):
                    continue
                truth = [sentence(int(t.split()[-1]))[1] for t in asked.column("text").to_pylist()]
                if turn.n == self.slip:
                    truth = [names[(names.index(t) + 1) % 4] for t in truth]
                rows = Rows(rows_of(asked).set_column(1, "intent", pa.array(truth)))
                yield derive(
                    asked,
                    [[i] for i in range(len(asked))],
                    rows,
                    changed=frozenset({"target"}),
                    origin=replace(origin(f"asked:{draw}"), source="clerk"),
                )


def wrong(i: int) -> str:
    """Another label than that of sentence number i."""
    return sorted(ASKS)[(sorted(ASKS).index(sentence(i)[1]) + 1) % 4]


@dataclass(frozen=True)
class Books:
    """A keyed source: at each turn these rows (numbers of sentences) with these labels; None = the truth."""

    by_turn: tuple[tuple[tuple[int, str | None], ...], ...]
    by_heart: bool = (
        False  # texts (of numbers below 2000) that share no word: a model can learn them by heart
    )

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        for said in self.by_turn[: turn.n]:  # as a folder of files: all of it is read each turn
            labels = [sentence(i)[1] if label is None else label for i, label in said]
            rows = batch([i for i, _ in said], True).set_column(1, "intent", pa.array(labels, pa.string()))
            if self.by_heart:
                words = [" ".join(f"{7919 * i + 31 * k:x}" for k in range(6)) for i, _ in said]
                words = [w if i < 2000 else sentence(i)[0] for w, (i, _) in zip(words, said, strict=True)]
                rows = rows.set_column(0, "text", pa.array(words))
            yield Draft(rows=Rows(rows), origin=origin("file", "books"), keys=[f"k{i}" for i, _ in said])


HOLDS = ("010-1234-56{:02}로", "minsu{}@naver.com으로", "900101-1234568", "서버 10.0.0.{}에서")


def letter(i: int, label: str | None) -> dict[str, str | None]:
    """Sentence number i with a label; every third one holds personal data."""
    text = sentence(i)[0]
    return {"text": text if i % 3 else f"{HOLDS[i % 4].format(i % 90)} {text}", "intent": label}


@dataclass(frozen=True)
class Letters:
    """Rows by turn: numbers of sentences, with the truth as label, none, or one corrected in the second."""

    by_turn: tuple[tuple[int, ...], ...]
    labels: str = "truth"
    keyed: bool = False
    consent: str | None = None

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        kind = pa.schema({"text": pa.string(), "intent": pa.string()})
        for n, numbers in enumerate(self.by_turn[: turn.n], 1):
            said = {i: None if self.labels == "none" else sentence(i)[1] for i in numbers}
            if self.labels == "corrected" and n > 1:
                said = {i: wrong(i) for i in numbers}
            rows = pa.RecordBatch.from_pylist([letter(i, label) for i, label in said.items()], schema=kind)
            keys = [f"k{i}" for i in numbers] if self.keyed else None
            yield Draft(rows=Rows(rows), origin=replace(origin("file"), consent=self.consent), keys=keys)


@dataclass(frozen=True)
class Shorter:
    """A check: no text is longer than this."""

    most: int

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        size = np.array([len(t or "") for t in records.column("text").to_pylist()], float)
        return verdicts(size <= self.most, "too_long", value=size, limit=self.most)


@dataclass(frozen=True)
class Vouches:
    """A verifier that believes everything: what machines made is judged by the gate alone."""

    verifies: ClassVar[bool] = True

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        return verdicts(np.ones(len(records), bool), "vouched")


def bank(**changes: Any) -> Recipe:
    sources = {"history": History(220, 120), "clerk": Clerk(), "slips": misspell("history", share=0.1)}
    recipe = Recipe(
        task=Task(input="text", target="intent"),
        sources=sources,
        checks={"short": Shorter(70), "alike": near_parent(0.5)},
        questions=worth_asking(30),
        train=text_linear(),
        judge=per_item(),
        metric=accuracy,
        gate=paired(),
        exam=exam(60, near=0.9),
        folds=3,
    )
    return replace(recipe, **changes)


def corrected_bank() -> Recipe:
    """The bank, with rows that are corrected in the second turn and, some of them, put back in the third, and
    letters with personal data, which is masked.
    """
    first, second, third = range(2000, 2040), range(2000, 2010), range(2000, 2004)
    said = (
        tuple((i, wrong(i) if i in second else None) for i in first),
        tuple((i, None) for i in second),
        tuple((i, wrong(i)) for i in third),
    )
    letters = Letters((tuple(range(3000, 3012)), tuple(range(3012, 3018))))
    checks = {**bank().checks, "pii": personal_data()}
    surveys = {"labels": label_errors()}  # a second fit, with weights
    return bank(
        sources={**bank().sources, "books": Books(said), "letters": letters}, checks=checks, surveys=surveys
    )


def founded(root: Path) -> Path:
    (root / "inbox").mkdir(parents=True)
    (root / "recipe.py").write_text("# the recipe of this test is a value\n")
    return root


def turns(root: Path, recipe: Recipe, upto: int) -> list[dict[str, Any]]:
    """Run turns until `upto` are done, as a user who types the command again would."""
    found = []
    while True:
        with opened(root) as project:
            if int(project.ledger.value("select count(*) from turn where state='done'")) >= upto:
                tidy(project)  # as the next turn would: a kill after the last commit leaves files behind
                return found
            found.append(run_turn(project, recipe))


def killed_run(root: Path, recipe: Recipe, upto: int, die: int | None) -> bool:
    """Run in a process of its own that dies by signal 9 at its `die`-th durable step; True if it died."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            fault._passed = 0
            if die is not None:
                os.environ["BAPSIM_FAULT"] = str(die)
            turns(root, recipe, upto)
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


def state_of(root: Path) -> dict[str, Any]:
    """Everything that a wheel holds but what may differ between two undisturbed runs."""
    db = sqlite3.connect(root / "wheel" / "ledger.sqlite")
    db.row_factory = sqlite3.Row
    found: dict[str, Any] = {}
    names = [r[0] for r in db.execute("select name from sqlite_master where type='table' order by name")]
    for table in names:
        rows = [dict(r) for r in db.execute(f"select * from {table} order by rowid")]
        hidden = VOLATILE.get(table, ())
        found[table] = [{k: _plain(v) for k, v in r.items() if k not in hidden} for r in rows]
    db.close()
    for path in sorted((root / "wheel").rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and path.name not in {"lock", "head"} and "ledger.sqlite" not in path.name:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def differences(a: dict[str, Any], b: dict[str, Any]) -> str:
    """The first difference, for a test's message."""
    for key in [*a, *b]:
        if a.get(key) != b.get(key):
            said = (json.dumps(x.get(key), ensure_ascii=False, default=str) for x in (a, b))
            left, right = said
            at = next((i for i, (p, q) in enumerate(zip(left, right, strict=False)) if p != q), 0)
            return f"{key}: ...{left[max(0, at - 80) : at + 80]} != ...{right[max(0, at - 80) : at + 80]}"
    return ""


def points(root: Path, run: Callable[[], Any]) -> list[str]:
    """The names of the durable steps that a run passes, in order."""
    log = root / "faults.txt"
    os.environ["BAPSIM_FAULT_LOG"] = str(log)
    try:
        run()
    finally:
        del os.environ["BAPSIM_FAULT_LOG"]
    return log.read_text().split("\n")[:-1]
