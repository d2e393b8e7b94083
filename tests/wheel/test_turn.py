"""What one turn promises: nothing lost, nothing leaked, every verdict with a reason."""

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.errors import InputError, NotEnough, RecipeError
from bapsim.core.recipe import Dataset
from bapsim.core.records import Draft, Origin, Records, Rows, Unread, Verdicts, derive, rows_of, verdicts
from bapsim.core.turn import Turn
from bapsim.judge.gate import Provisional, paired
from bapsim.judge.opponents import predicted
from bapsim.refine.duplicates import exact_duplicates
from bapsim.refine.schema import schema
from bapsim.store.project import opened
from bapsim.wheel.audit import check, why_model, why_record
from bapsim.wheel.stock import adds_up, exam_ids, load_stock
from bapsim.wheel.turn import Incumbent, run_turn
from tests.wheel.world import ASKS, Clerk, History, Shorter, bank, batch, founded, origin, sentence, turns

SEEN: list[tuple[int, frozenset[str]]] = []


@dataclass(frozen=True)
class Spy:
    """A source that writes down every text that it can see."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        texts = [t for view in turn.data.values() for b in view.batches() for t in b["text"].to_pylist()]
        SEEN.append((turn.n, frozenset(texts)))
        return iter(())


@dataclass(frozen=True)
class SpySurvey:
    """A survey that writes down every text that it can see."""

    def __call__(self, data: Dataset, turn: Turn) -> Iterator[Verdicts]:
        for b in data.batches():
            SEEN.append((turn.n, frozenset(b["text"].to_pylist())))
            yield verdicts(np.ones(len(b), bool), "never")


@dataclass(frozen=True)
class Rowsful:
    """A source of given rows at one turn."""

    n: int
    texts: tuple[str, ...]
    labels: tuple[str | None, ...]
    maker: Any = "person"
    consent: str | None = None

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == self.n:
            rows = pa.record_batch({"text": list(self.texts), "intent": pa.array(self.labels, pa.string())})
            made = Origin(
                source="x",
                input_maker=self.maker,
                target_maker=self.maker,
                method="file",
                rights="own",
                consent=self.consent,
            )
            yield Draft(rows=Rows(rows), origin=made)


def exam_texts(root: Path) -> set[str]:
    with opened(root) as project:
        stock = load_stock(project, bank().task)
        exam = stock.rows_with(exam_ids(project.ledger))
        return {t for t, e in zip(stock.texts, exam, strict=True) if e}


def test_three_turns_keep_their_books(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    told = turns(root, bank(), 3)
    assert [t["turn"] for t in told] == [1, 2, 3]
    for t in told:
        assert adds_up(t["accounts"])
        assert t["fits"] >= 4
    assert told[0]["opponent"] == "majority"
    assert told[0]["verdict"] == "accept"
    assert told[1]["accounts"]["pending"] > 0 or told[1]["verdict"] == "accept"
    assert told[1]["accounts"]["superseded"] == 30
    assert told[1]["accounts"]["exam"] == 60 + 6
    assert json.loads(json.dumps(told)) == told
    with opened(root) as project:
        said = check(project, bank())
        assert said["ok"], said["findings"]
        assert said["accounts"] == told[2]["accounts"]


def test_nothing_that_gathers_or_refines_sees_the_exam(tmp_path: Path) -> None:
    SEEN.clear()
    root = founded(tmp_path / "p")
    recipe = bank(sources=dict(bank().sources) | {"spy": Spy()}, surveys={"spy": SpySurvey()})
    turns(root, recipe, 1)
    first = exam_texts(root)
    seen_before = len(SEEN)
    turns(root, recipe, 3)
    later = SEEN[seen_before:]
    assert len(first) == 60
    assert len(later) > 4
    for n, texts in later:
        assert not texts & first, f"turn {n} showed exam items"
    last = exam_texts(root)
    fresh = last - first
    assert fresh
    turns(root, recipe, 4)
    assert all(not texts & last for n, texts in SEEN if n == 4)


def test_the_exam_is_people_made_and_never_trained_on(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    turns(root, bank(), 3)
    with opened(root) as project:
        stock = load_stock(project, bank().task)
        exam = stock.rows_with(exam_ids(project.ledger))
        assert (stock.depth[exam] == 0).all()
        for row in project.ledger.rows("select version from model"):
            version = row["version"]
            eaten = project.ledger.rows("select shard, mask from eaten where version=?", version)
            assert eaten
            assert why_model(project, version)["version"] == version
        ids = [i.tobytes().hex() for i in stock.ids[exam]]
        said = why_record(project, bank(), ids[0])
        assert said["stands"] == "exam"
        assert said["eaten_by"] == []


def test_a_copy_of_an_exam_item_is_left_out_with_that_reason(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    recipe = bank()
    turns(root, recipe, 1)
    leaked = sorted(exam_texts(root))[:5]
    wrapped = [f"Good day! {t}. Thanks" for t in leaked]
    texts = (*(t.upper() for t in leaked), *wrapped)
    told = turns(root, bank(sources=dict(recipe.sources) | {"copies": Rowsful(2, texts, ("card",) * 10)}), 2)
    assert told[-1]["reasons"]["exam_leak"] >= 10
    assert adds_up(told[-1]["accounts"])


def test_a_delivery_of_wrong_labels_is_refused_and_kept(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    names = list(ASKS)
    rows = [sentence(i) for i in range(5000, 5120)]
    wrong = tuple(names[(names.index(label) + 1) % 4] for _, label in rows)
    bad = Rowsful(3, tuple(t for t, _ in rows), wrong)
    recipe = bank(sources=dict(bank().sources) | {"bad": bad})
    told = turns(root, recipe, 3)
    (suspect,) = told[2]["suspects"]
    assert suspect["name"] == "bad@3"
    assert suspect["refused"]
    assert told[2]["reasons"]["harmful_delivery"] == 120
    assert adds_up(told[2]["accounts"])
    later = turns(root, recipe, 4)[-1]
    with opened(root) as project:
        about = "question join asking using (id) where why='set_aside' and state='answered'"
        looked = project.ledger.value(f"select count(distinct id) from {about}")
    assert 0 < looked <= 30  # a sample of it was asked about, and what people said stands in its place
    assert later["reasons"]["harmful_delivery"] == 120 - looked
    assert later["suspects"] == []


def test_wrong_answers_do_not_reach_the_exam(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    recipe = bank(
        sources=dict(bank().sources) | {"clerk": Clerk(slip=2)},
        questions=replace(bank().questions, budget=100),
    )
    told = turns(root, recipe, 2)
    assert any(s["refused"] for s in told[1]["suspects"])
    assert told[1]["accounts"]["exam"] == 60


def test_a_turn_without_anything_new_is_no_new_draw(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    recipe = bank(sources={"history": History(220, 0)}, questions=None)
    told = turns(root, recipe, 3)
    assert [t["reason"] for t in told[1:]] == ["decision.nothing_new"] * 2
    assert told[2]["wear"]["looks"] == 1
    assert told[2]["fits"] == told[0]["fits"] - 1


def test_progress_is_told_step_by_step(tmp_path: Path) -> None:
    said: list[tuple[str, dict[str, Any]]] = []
    with opened(founded(tmp_path / "p")) as project:
        told = run_turn(project, bank(), say=lambda step, **values: said.append((step, values)))
    assert [step for step, _ in said] == [
        "gather",
        "refine",
        "train",
        "judge",
        "refit",
        "ask",
        "forecast",
        "done",
    ]
    values = dict(said)
    counts = told["accounts"]
    assert values["refine"] == {"fresh": sum(told["fresh"].values())}
    assert values["train"] == {"rows": counts["trained"] + counts["pending"]}
    assert values["judge"] == {"items": counts["exam"]}
    assert values["done"] == {"verdict": told["verdict"]}


@dataclass(frozen=True)
class Stops:
    """A source that fails."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        raise InputError("os", why="on purpose", path="-")


def test_what_a_kill_left_behind_is_gone_before_a_turn_begins(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    turns(root, bank(), 1)
    left = root / "wheel/verdicts/rows/left.parquet"
    left.write_bytes(b"half")
    with opened(root) as project, pytest.raises(InputError):
        run_turn(project, bank(sources={"stops": Stops()}))
    assert not left.exists()


def test_a_wheel_whose_rows_are_all_refused_says_so(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    turns(root, bank(), 1)
    for place, recipe in ((root, bank(checks={"short": Shorter(0)})), (founded(tmp_path / "q"), bank())):
        strict = replace(recipe, checks={"short": Shorter(0)})
        with opened(place) as project, pytest.raises(NotEnough) as caught:
            run_turn(project, strict)
        assert caught.value.key == "nothing_to_train"


def test_a_row_that_a_check_refused_is_not_told_of_as_a_leak(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    turns(root, bank(), 1)
    (item, *_) = sorted(exam_texts(root))
    copy = Rowsful(2, (item, item + " " * 80), ("card", "card"))
    recipe = bank(sources=dict(bank().sources) | {"copy": copy})
    turns(root, recipe, 2)
    with opened(root) as project:
        stock = load_stock(project, recipe.task)
        rows = list(stock.ids[stock.of_origins(lambda _, o: o.source == "copy")])
        said = [why_record(project, recipe, i.tobytes().hex())["verdicts"] for i in rows]
    no = [[one["reason"] for one in about if not one["keep"]] for about in said]
    assert no == [["exam_leak"], ["too_long"]]


def test_the_incumbent_is_the_first_opponent(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    rows = batch(range(340), True)
    perfect = predicted(Rows(rows.select(["text"])), rows["intent"].to_pylist())
    with opened(root) as project:
        told = run_turn(project, bank(), incumbent=Incumbent(respond=perfect, fingerprint="inc"))
    assert told["opponent"] == "incumbent"
    assert told["reason"] == "decision.screened"
    assert told["serves"] is None
    assert told["wear"]["looks"] == 0


def test_rows_of_unknown_makers_are_trained_on_but_never_examined(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    crawl = Rowsful(1, tuple(f"crawled {i} card" for i in range(40)), ("card",) * 40, "unknown")
    told = turns(root, bank(sources=dict(bank().sources) | {"crawl": crawl}), 1)[-1]
    with opened(root) as project:
        stock = load_stock(project, bank().task)
        exam = stock.rows_with(exam_ids(project.ledger))
        unknown = np.isnan(stock.depth)
        assert unknown.sum() == 40
        assert not (exam & unknown).any()
    assert told["accounts"]["trained"] == 220 - 60 + 40


def test_consent_follows_derived_records(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    asked = Rowsful(
        1, tuple(f"동의한 사람의 질문 {i} 번 카드" for i in range(9)), (None,) * 9, consent="c-17"
    )
    recipe = bank(
        sources={"history": History(220, 0), "asked": asked, "clerk": Answerer()},
        questions=replace(bank().questions, budget=9, exam_share=0.0, repair_share=0.0),
    )
    turns(root, recipe, 2)
    with opened(root) as project:
        rows = project.ledger.rows("select * from descendant where consent='c-17'")
        assert len(rows) == 18


@dataclass(frozen=True)
class Answerer:
    """Answers every question with one label."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        for view in turn.data.values():
            asked = view.find(pa.array(sorted(turn.asked), pa.binary(16)))
            if len(asked):
                rows = Rows(rows_of(asked).set_column(1, "intent", pa.array(["card"] * len(asked))))
                yield derive(
                    asked,
                    [[i] for i in range(len(asked))],
                    rows,
                    changed=frozenset({"target"}),
                    origin=origin("asked:chosen"),
                )


@dataclass(frozen=True)
class Broken:
    """A source that delivers unread lines, the same ones each turn."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        lines = tuple(Unread(file="a.csv", line=i, reason="encoding") for i in (3, 7))
        yield Draft(rows=batch(range(0), True), origin=origin("file"), unread=lines)


def test_unread_lines_are_counted_once(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    told = turns(root, bank(sources=dict(bank().sources) | {"broken": Broken()}), 2)
    assert [t["accounts"]["unread"] for t in told] == [2, 2]
    assert adds_up(told[1]["accounts"])


@pytest.mark.parametrize(
    ("sources", "error", "said"),
    [
        ({"none": Rowsful(9, (), ())}, NotEnough, "None of 0 records"),
        ({"pool": Rowsful(1, ("a", "b"), (None, None))}, NotEnough, "None of 2 records"),
        ({"one": Rowsful(1, tuple("abcdefgh"), ("x",) * 8)}, NotEnough, "only this label: x"),
        ({"bad": Rowsful(1, ("a",), ("x",)), "odd": lambda turn: [1]}, RecipeError, "identity"),
    ],
)
def test_too_little_data_is_said_in_words(
    sources: dict, error: type[Exception], said: str, tmp_path: Path
) -> None:
    root = founded(tmp_path / "p")
    with opened(root) as project, pytest.raises(error, match=said):
        run_turn(project, bank(sources=sources))


def gives_a_number(turn: Turn) -> Iterator[int]:
    yield 1


@dataclass(frozen=True)
class Half:
    """A check that forgets half of the rows."""

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        return verdicts(np.ones(len(records) // 2, bool), "half")


def test_a_bad_program_stops_the_turn(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    with opened(root) as project:
        with pytest.raises(InputError, match="not a Draft"):
            run_turn(project, bank(sources={"odd": gives_a_number}))
        with pytest.raises(RecipeError, match="gave 170 verdicts about 340 rows"):
            run_turn(project, bank(checks={"half": Half()}))
    told = turns(root, bank(), 1)[-1]
    assert told["verdict"] == "accept"


def test_why_says_what_cannot_be_found(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    turns(root, bank(), 1)
    with opened(root) as project:
        with pytest.raises(InputError, match="t001-people"):
            why_model(project, "t009-people")
        with pytest.raises(InputError):
            why_record(project, bank(), "zz")
        with pytest.raises(InputError):
            why_record(project, bank(), "00000000")


def test_check_finds_a_changed_shard_model_and_head(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    turns(root, bank(), 1)
    with opened(root) as project:
        head = check(project, bank())["head"]
        assert check(project, bank(), head)["ok"]
        assert not check(project, bank(), "3 " + "0" * 64)["ok"]
    shard = next((root / "wheel" / "records").rglob("*.parquet"))
    body = shard.read_bytes()
    shard.write_bytes(body[:100] + bytes([body[100] ^ 1]) + body[101:])
    (root / "wheel" / "models" / "main" / "t001-people" / "served" / "extra").write_text("x")
    with opened(root) as project:
        said = check(project, bank())
    assert {f["kind"] for f in said["findings"]} == {"file_changed"}
    assert len(said["findings"]) == 2


def test_a_declared_group_is_trained_on_or_examined_never_both(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    recipe = bank(
        task=replace(bank().task, group="branch"),
        sources={"history": Branches(240, 0), "later": Branches(300, 240), "clerk": Branchy()},
    )
    turns(root, recipe, 3)
    with opened(root) as project:
        stock = load_stock(project, recipe.task)
        exam = stock.rows_with(exam_ids(project.ledger))
        branch = np.array(stock.records.column("branch").to_pylist())
        newest = project.ledger.value("select version from model order by rowid desc limit 1")
        trained = np.zeros(len(stock), bool)
        for i, shard in enumerate(stock.shards):
            mask = project.ledger.value(
                "select mask from eaten where version=? and shard=?", newest, shard.path
            )
            if mask is not None:
                bits = np.unpackbits(np.frombuffer(zlib.decompress(mask), np.uint8))[: shard.rows]
                trained[stock.starts[i] : stock.starts[i + 1]] = bits.astype(bool)
    assert exam.any()
    assert trained.sum() > 100
    assert not set(branch[exam]) & set(branch[trained])


@dataclass(frozen=True)
class Branches:
    """Rows of a bank's branches: with labels up to `start`, without from there on."""

    upto: int
    start: int

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == 1:
            at = range(self.start, self.upto)
            rows = batch(at, labelled=self.start == 0)
            branch = pa.array([f"branch {i % 40}" for i in at])
            yield Draft(rows=Rows(rows.append_column("branch", branch)), origin=origin("file"))


@dataclass(frozen=True)
class Branchy:
    """Answers every question with the truth, in a table with branches."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        return Clerk()(turn)


def test_refusals_by_reason_add_up_to_the_accounts(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    again = tuple(sentence(i)[0] for i in range(20))
    copies = Rowsful(2, again, tuple(sentence(i)[1] for i in range(20)))
    recipe = bank(sources=dict(bank().sources) | {"copies": copies}, surveys={"copies": exact_duplicates()})
    for told in turns(root, recipe, 3):
        assert sum(told["reasons"].values()) == told["accounts"]["refused"]
    assert told["reasons"]["exact_duplicate"] >= 10


def test_a_turn_that_goes_on_under_another_recipe_gathers_once_more(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    first = bank(sources={"history": History(200, 100)}, checks={"half": Half()})
    with opened(root) as project, pytest.raises(RecipeError):
        run_turn(project, first)
    second = bank(sources={"history": History(200, 160)})
    told = turns(root, second, 1)[-1]
    assert adds_up(told["accounts"])
    assert told["accounts"]["lines"] == 360
    with opened(root) as project:
        assert check(project, second)["ok"]


@dataclass(frozen=True)
class Foreign:
    """Rows of another shape: no text at all."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == 1:
            yield Draft(rows=Rows(pa.record_batch({"price": [1.5, 2.5]})), origin=origin("file"))


def test_rows_without_the_input_column_are_refused_in_words(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    recipe = bank(sources=dict(bank().sources) | {"foreign": Foreign()}, checks={"schema": schema()})
    told = turns(root, recipe, 1)[-1]
    assert told["reasons"]["other_task"] == 2
    assert adds_up(told["accounts"])


def test_a_pipe_in_the_inbox_is_refused_in_words(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    os.mkfifo(root / "inbox" / "pipe.csv")
    with opened(root) as project, pytest.raises(InputError, match="neither a file nor a folder"):
        run_turn(project, bank())
    (root / "inbox" / "pipe.csv").unlink()
    assert turns(root, bank(), 1)[-1]["verdict"] == "accept"


@dataclass(frozen=True)
class Stubborn:
    """The product's gate, but each turn's verdict is given: the code around the gate is what is tested."""

    verdicts: tuple[str, ...]

    budget: float = 0.05

    def level(self, wear: Any) -> float:
        return paired().level(wear)

    def screen(self, diffs: np.ndarray, groups: np.ndarray | None = None) -> Any:
        return replace(paired().screen(diffs, groups), look=True)

    def __call__(self, before: Any, after: Any, metric: Any, wear: Any) -> Any:
        said = paired()(before, after, metric, wear)
        return replace(said, verdict=self.verdicts[wear.looks])


def test_a_refused_model_stops_serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = Provisional(allowed=True, reason="provisional.serves", gain=0.0, low=0.0, limit=-0.1)
    monkeypatch.setattr("bapsim.wheel.turn.may_serve", lambda *given: free)
    root = founded(tmp_path / "p")
    sources = {"history": History(220, 120), "clerk": OnlyRandom()}
    recipe = bank(sources=sources, gate=Stubborn(("accept", "undecided", "refuse", "undecided")))
    recipe = replace(recipe, questions=replace(recipe.questions, exam_share=0.5))
    extra = replace(
        recipe,
        sources=sources | {"more": Rowsful(2, tuple(sentence(i)[0] for i in range(900, 960)), LABELS)},
    )
    told = turns(root, extra, 3)
    assert [t["verdict"] for t in told] == ["accept", "undecided", "refuse"]
    assert told[1]["serves"] == "t002-people"
    assert told[2]["candidate"] == "t002-people"
    assert told[2]["back_to"] == "t001-people"
    assert told[2]["provisional"] is None, "who was refused is not asked whether it may serve meanwhile"
    with opened(root) as project:
        used = project.ledger.rows("select version, reason from used order by n")
        assert used[-1] == {"version": "t001-people", "reason": "refused"}
        assert check(project, extra)["ok"]


LABELS = tuple(sentence(i)[1] for i in range(900, 960))


@dataclass(frozen=True)
class OnlyRandom:
    """Answers the random questions alone: the training rows stay what they are, the exam grows."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        asked = {i: d for i, d in turn.asked.items() if d == "random"}
        yield from Clerk()(replace(turn, asked=asked))


def test_another_gate_does_not_ask_the_same_question_again(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    sources = {
        "history": History(220, 0),
        "more": Rowsful(2, tuple(sentence(i)[0] for i in range(900, 960)), LABELS),
    }
    strict = bank(sources=sources, questions=None, gate=Stubborn(("accept", "undecided")))
    assert [t["verdict"] for t in turns(root, strict, 2)] == ["accept", "undecided"]
    generous = replace(strict, gate=paired(alpha=0.3, budget=0.9, veto=0.001, screen_z=-9))
    told = turns(root, generous, 3)[-1]
    assert told["reason"] == "decision.nothing_new"
    with opened(root) as project:
        looks = project.ledger.rows("select verdict, alpha from look order by rowid")
        assert looks[1] == {"verdict": "undecided", "alpha": 0.005}


def test_nobody_is_led_on_what_becomes_the_exam(tmp_path: Path) -> None:
    root, names = founded(tmp_path / "p"), list(ASKS)
    slips = [sentence(i) for i in range(24)]  # texts that the history has with another label
    wrong = tuple(names[(names.index(label) + 1) % 4] for _, label in slips)
    recipe = bank(sources=dict(bank().sources) | {"slips": Rowsful(1, tuple(t for t, _ in slips), wrong)})
    turns(root, recipe, 1)
    with opened(root) as project:
        rows = project.ledger.rows("select draw, suggested from question")
    assert {r["draw"] for r in rows} == {"random", "chosen", "repair"}
    assert all((r["suggested"] is None) == (r["draw"] != "chosen") for r in rows)


def test_a_report_of_another_history_is_found(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    turns(root, bank(), 1)
    folder = root / "reports" / "turn-001"
    folder.mkdir(parents=True)
    with opened(root) as project:
        head = check(project, bank())["head"]
        (folder / "report.json").write_text(json.dumps({"chain": head}))
        assert check(project, bank())["ok"]
        (folder / "report.json").write_text(json.dumps({"chain": "9 " + "0" * 64}))
        assert [f["kind"] for f in check(project, bank())["findings"]] == ["report_unknown"]
