"""A wheel over rows that several raters labelled: learnt from the votes, judged by the settled label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import numbers
from bapsim.core.records import Draft, Rows, Task
from bapsim.core.turn import Turn
from bapsim.gather.answers import answers, write_questions
from bapsim.store.lake import read_batch
from bapsim.store.project import opened
from bapsim.wheel.audit import check
from bapsim.wheel.sheet import open_questions
from bapsim.wheel.stock import load_stock
from bapsim.wheel.turn import run_turn
from tests.wheel.world import ASKS, bank, founded, origin, sentence

NAMES = list(ASKS)


def votes(i: int) -> list[str]:
    """Five raters: every third text divides them, always between the same two intents."""
    truth = NAMES.index(sentence(i)[1])
    other = NAMES[truth ^ 1]
    return [NAMES[truth]] * 3 + [other] * 2 if i % 3 == 0 else [NAMES[truth]] * 5


@dataclass(frozen=True)
class Crowd:
    """Labelled rows with votes, as a list and as text, and a pool without."""

    listed: bool

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n > 1:
            return
        kind = pa.list_(pa.string()) if self.listed else pa.string()
        for at, labelled in ((range(240), True), (range(240, 320), False)):
            said = [votes(i) if self.listed else ";".join(votes(i)) for i in at]
            rows = {
                "text": pa.array([sentence(i)[0] for i in at]),
                "intent": pa.array(
                    [Counter(votes(i)).most_common()[0][0] if labelled else None for i in at], pa.string()
                ),
                "raters": pa.array(said if labelled else [None] * len(at), kind),
            }
            yield Draft(rows=Rows(pa.record_batch(rows)), origin=origin("file", "crowd"))


def lived(root: Path, *, listed: bool, counted: bool) -> np.ndarray:
    """Two turns; returns the out-of-fold confidence in divided rows of the first."""
    task = Task(input="text", target="intent", votes="raters" if counted else None)
    recipe = bank(task=task, sources={"crowd": Crowd(listed), "experts": answers("answers/")})
    (root / "inbox/answers").mkdir(parents=True)
    with opened(founded(root / "p")) as project:
        first = run_turn(project, recipe)
        assert first["classes"] == 4
        stock = load_stock(project, task)
        oof = read_batch(project.models / "main/t001-people/judged/oof.parquet")
        assert len(oof) == first["train_rows"], "one answer a row, however many voted"
        assert oof["prediction"].null_count == 0
        sheet = open_questions(project, task)
        file = project.root / "inbox/answers/1.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_questions(file, sheet)
        text = file.read_text("utf-8-sig").splitlines()
        filled = [f"{line[:-1]}{NAMES[0]}," if i else line for i, line in enumerate(text)]
        assert all(line.endswith(",") for line in text[1:])
        file.write_text("\n".join(filled) + "\n", "utf-8")
        second = run_turn(project, recipe)
        assert second["fresh"]["experts"] == len(text) - 1
        assert check(project, recipe)["ok"]
        divided = {
            i.tobytes() for i, t in zip(stock.ids, stock.texts, strict=True) if int(t.split()[-1]) % 3 == 0
        }
        mine = np.array([one in divided for one in oof["_id"].to_pylist()])
        return numbers(oof["confidence"])[mine]


def test_divided_votes_make_a_model_doubt(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("BAPSIM_KEY", "3" * 64)
    settled = lived(tmp_path / "settled", listed=True, counted=False)
    listed = lived(tmp_path / "listed", listed=True, counted=True)
    assert listed.mean() < settled.mean()
    texts = lived(tmp_path / "texts", listed=False, counted=True)
    assert texts.mean() < settled.mean(), "between semicolons, too"
