"""The contract suite: it lets good functions pass, and each law catches the function that breaks it."""

import itertools
import json
import random
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bapsim import testing
from bapsim.core.arrow import strings, take
from bapsim.core.errors import ExchangeError, NotEnough, RecipeError
from bapsim.core.records import Answers, Draft, Origin, Rows, Scores, Task, Unread, derive, verdicts
from bapsim.judge.exam import per_item
from bapsim.store.schema import VOLATILE
from bapsim.testing import (
    Broken,
    check_check,
    check_judge,
    check_source,
    check_trainer,
    dataset_of,
    mixture_of,
    records_of,
    turn_of,
)

TASK = Task(input="text", target="label")
ROWS = [
    {"text": t, "label": y}
    for t, y in zip(["a", "bb", "ccc", None, "a"], ["x", "y", "x", "y", None], strict=True)
]
RECORDS = records_of(ROWS)
MIXTURE = mixture_of(ROWS[:4], TASK, weight=[1, 2, 1, 1])
TURN = turn_of(TASK, RECORDS)


def breaks(law, check, *arguments):
    with pytest.raises(Broken) as caught:
        check(*arguments)
    assert caught.value.key == f"broken_{law}"
    assert isinstance(caught.value, AssertionError)
    for lang in ("en", "ko"):
        assert len(caught.value.say(lang).splitlines()) >= 3


# ------------------------------------------------------------------ helpers


def test_small_worlds():
    assert testing.VOLATILE is VOLATILE
    assert RECORDS.column("_key").to_pylist() == ["0"] * 5
    assert records_of([{"a": 1}, {"b": 2}]).column("a").to_pylist() == [1, None]
    assert records_of([{"a": 1}], keys=["k"], maker="machine", origin=7).to_pylist()[0] | {"_id": 0} == {
        "a": 1,
        "_id": 0,
        "_origin": 7,
        "_key": "k",
        "_input_depth": 1,
        "_target_depth": 1,
        "_parents": None,
    }
    assert len(records_of([], schema=pa.schema([("a", pa.int8())]))) == 0
    assert len(MIXTURE) == 4
    assert MIXTURE.weight.dtype == np.float32
    assert mixture_of(ROWS, TASK).weight is None
    assert TURN.origins_of("rows") == {0}
    assert turn_of(TASK).data == {}


def test_a_dataset_in_memory():
    table = dataset_of(RECORDS, records_of([{"text": "z", "label": "w"}]), name="t")
    assert (table.name, len(table)) == ("t", 6)
    assert [len(keep) for keep in table.kept()] == [5, 1]
    assert all(keep.all() for keep in table.kept())
    assert next(iter(table.batches(["label"]))).schema.names[0] == "label"
    assert "text" not in next(iter(table.batches(["label"]))).schema.names
    wanted = RECORDS.column("_id").take(pa.array([2, 0]))
    assert table.find(wanted).column("text").to_pylist() == ["ccc", "a"]
    assert len(table.find(pa.array([b"?" * 16], pa.binary(16)))) == 0


# ------------------------------------------------------------------ sources

OWN = Origin(source="s", input_maker="person", target_maker="person", method="mine", rights="own")
counter = itertools.count()


def batch(*texts):
    return Rows(pa.record_batch({"text": pa.array(texts, pa.string())}))


def good_source(turn):
    texts = [f"{turn.rng('mine').integers(1000)}", "b", "b"]
    yield Draft(rows=batch(*texts), origin=OWN, unread=(Unread(file="f", line=1, reason="r"),))
    yield Draft(rows=batch("b"), origin=OWN, keys=["k"])
    for records in turn.data["rows"].batches():
        yield derive(records, [[0]], batch("c"), changed=frozenset({"input"}), origin=OWN)


def no_rows(turn):
    return [Draft(rows=batch(), origin=OWN)]


def changing_value(turn):
    yield Draft(rows=batch(f"{next(counter)}"), origin=OWN)


def changing_columns(turn):
    yield Draft(rows=Rows(pa.record_batch({f"c{next(counter)}": ["a"]})), origin=OWN)


def changing_type(turn):
    kind = pa.int8() if next(counter) % 2 else pa.int16()
    yield Draft(rows=Rows(pa.record_batch({"a": pa.array([1], kind)})), origin=OWN)


def global_chance(turn):
    yield Draft(rows=batch(f"{random.random()}"), origin=OWN)


def changing_keys(turn):
    yield Draft(rows=batch("a"), origin=OWN, keys=[f"{next(counter)}"])


def changing_origin(turn):
    yield Draft(rows=batch("a"), origin=replace(OWN, method=f"{next(counter)}"))


def changing_number(turn):
    for _ in range(next(counter) % 2):
        yield Draft(rows=batch("a"), origin=OWN)


def changing_mother(turn):
    for records in turn.data["rows"].batches():
        yield derive(records, [[next(counter) % 2]], batch("c"), changed=frozenset({"input"}), origin=OWN)


def once_only(turn, kept=iter([Draft(rows=batch("a"), origin=OWN)])):  # noqa: B008
    return kept


def bare_rows(turn):
    yield batch("a")


def without_rights(turn):
    yield Draft(rows=batch("a"), origin=replace(OWN, rights=""))


def without_method(turn):
    yield Draft(rows=batch("a"), origin=replace(OWN, method=""))


def same_keys(turn):
    yield Draft(rows=batch("a", "a"), origin=OWN, keys=["k", "k"])


def same_keys_later(turn):
    for _ in range(2):
        yield Draft(rows=batch("a"), origin=OWN, keys=["k"])


def writes_into_turn(turn):
    turn.asked[b"x"] = "random"
    yield Draft(rows=batch("a"), origin=OWN)


def test_good_sources_pass():
    check_source(good_source, TURN)
    check_source(no_rows, TURN)


@pytest.mark.parametrize(
    ("law", "source"),
    [
        ("repeat", changing_value),
        ("repeat", changing_columns),
        ("repeat", changing_type),
        ("repeat", global_chance),
        ("repeat", changing_keys),
        ("repeat", changing_origin),
        ("repeat", changing_number),
        ("repeat", changing_mother),
        ("repeat", once_only),
        ("draft", bare_rows),
        ("origin", without_rights),
        ("origin", without_method),
        ("twice", same_keys),
        ("twice", same_keys_later),
        ("mutation", writes_into_turn),
    ],
)
def test_bad_sources_are_caught(law, source):
    breaks(law, check_source, source, turn_of(TASK, RECORDS))


def test_a_step_without_identity_is_refused():
    for check, rest in (
        (check_source, (TURN,)),
        (check_check, (RECORDS, TURN)),
        (check_trainer, (MIXTURE,)),
        (check_judge, (Majority(("x",), 1.0), MIXTURE)),
    ):
        with pytest.raises(RecipeError):
            check(lambda *_: [], *rest)


# ------------------------------------------------------------------ checks


def lengths(records):
    return np.array([len(t or "") for t in strings(records.column("text"))], float)


@dataclass(frozen=True)
class Long:
    limit: int = 2

    def __call__(self, records, turn):
        size = lengths(records)
        return verdicts(size <= self.limit, "long", value=size, limit=self.limit)


def relative(records, turn):
    size = lengths(records)
    return verdicts(size <= (size.mean() if len(size) else 0), "longer than usual")


def by_position(records, turn):
    return verdicts(np.arange(len(records)) % 2 == 0, "odd")


def by_chance(records, turn):
    return verdicts(np.full(len(records), next(counter) % 2 == 0), "chance")


def silent(records, turn):
    said = verdicts(np.zeros(len(records), bool), "x")
    return said.set_column(1, said.schema.field(1), pa.nulls(len(records), pa.string()))


def one_short(records, turn):
    return verdicts(np.ones(max(len(records) - 1, 0), bool), "x")


def drops_nulls(records, turn):
    return verdicts(np.ones(sum(t is not None for t in strings(records.column("text"))), bool), "x")


def drops_null_labels(records, turn):
    return verdicts(np.ones(len(records) if records.column("label").null_count < 5 else 0, bool), "x")


def mask_only(records, turn):
    return np.ones(len(records), bool)


def other_columns(records, turn):
    return pa.record_batch({"keep": pa.array([True] * len(records))})


def fails_on_nothing(records, turn):
    return verdicts(np.ones(len(records) or 1, bool), "x")


def writes_into_records(records, turn):
    offsets = np.frombuffer(records.column("_id").buffers()[1], np.uint8)
    address = offsets.__array_interface__["data"][0]
    import ctypes

    ctypes.memset(address, next(counter) % 256, 1)
    return verdicts(np.ones(len(records), bool), "x")


def test_good_checks_pass():
    check_check(Long(), RECORDS, TURN)
    check_check(Long(), records_of([], schema=pa.schema([("text", pa.string())])), TURN)


@pytest.mark.parametrize(
    ("law", "check"),
    [
        ("batch", relative),
        ("batch", by_position),
        ("repeat", by_chance),
        ("reason", silent),
        ("count", one_short),
        ("count", drops_nulls),
        ("count", drops_null_labels),
        ("count", fails_on_nothing),
        ("verdicts", mask_only),
        ("verdicts", other_columns),
        ("mutation", writes_into_records),
    ],
)
def test_bad_checks_are_caught(law, check):
    breaks(law, check_check, check, records_of(ROWS), TURN)


# ------------------------------------------------------------------ trainers


@dataclass(frozen=True)
class Majority:
    """Answers by the length of a text; `flaw` says how it goes wrong."""

    classes: tuple[str, ...]
    share: float
    flaw: str = ""

    def __call__(self, rows):
        size = [len(t or "") for t in strings(rows.column("text"))]
        said = [self.classes[n % len(self.classes)] if n or self.flaw != "null" else None for n in size]
        share = [self.share if n else None for n in size]
        if self.flaw == "chance":
            share = [next(counter) % 7 / 7] * len(size)
        if self.flaw == "neighbours":
            said = [self.classes[0] if len(size) == 4 else self.classes[-1]] * len(size)
        if self.flaw == "batch noise":
            share = [0.5 + 1e-3 * len(size)] * len(size)
        if self.flaw == "rounding":
            share = [0.5 + 1e-8 * len(size)] * len(size)
        if self.flaw == "short on null" and not any(size):
            said, share = said[1:], share[1:]
        if self.flaw == "stranger":
            said = ["?"] * len(size)
        if self.flaw == "sure":
            share = [1.5] * len(size)
        name = "label" if self.flaw == "other column" else "prediction"
        columns = {name: pa.array(said, pa.string()), "confidence": pa.array(share, pa.float32())}
        two = pa.array([[s or 0, 1 - (s or 0)] for s in share], pa.list_(pa.float32(), 2))
        return Answers(pa.record_batch(columns | {"probs": two}))

    def save(self, folder):
        share = round(self.share, 0 if self.flaw == "lossy" else 9)
        body = {"loader": "test_testing:load", "classes": self.classes, "share": share, "flaw": self.flaw}
        (folder / "model.json").write_text(json.dumps(body))


def load(folder):
    said = json.loads((folder / "model.json").read_text())
    return Majority(tuple(said["classes"]), said["share"], said["flaw"])


@dataclass(frozen=True)
class Train:
    flaw: str = ""

    def __call__(self, parent, mixture, seed):
        labels = [y for y in strings(mixture.records.column("label")) if y is not None]
        if self.flaw == "little":
            labels[0]
        if len(set(labels)) < 1 + (self.flaw != "one is enough"):
            if self.flaw == "one is enough":
                labels = ["nothing"]
            else:
                raise NotEnough("waiting", questions=1)
        if self.flaw == "weights":
            mixture.weight[:] = 0
        if self.flaw == "no model":
            return len
        share = (
            next(counter) / 1e4
            if self.flaw == "seedless"
            else Counter(labels).most_common()[0][1] / len(labels)
        )
        return Majority(tuple(sorted(set(labels))), share / 3, self.flaw)


@pytest.mark.parametrize("flaw", ["", "null", "rounding", "one is enough"])
def test_good_trainers_pass(flaw):
    check_trainer(Train(flaw), MIXTURE)
    check_trainer(Train(flaw), mixture_of(ROWS, TASK))


@pytest.mark.parametrize(
    ("law", "flaw"),
    [
        ("repeat", "chance"),
        ("repeat", "seedless"),
        ("batch", "neighbours"),
        ("batch", "batch noise"),
        ("count", "short on null"),
        ("classes", "stranger"),
        ("share", "sure"),
        ("prediction", "other column"),
        ("saved", "lossy"),
        ("little", "little"),
        ("mutation", "weights"),
        ("model", "no model"),
    ],
)
def test_bad_trainers_are_caught(law, flaw):
    breaks(law, check_trainer, Train(flaw), mixture_of(ROWS[:4], TASK, weight=[1, 2, 1, 1]))


def test_our_own_trainer_keeps_the_contract():
    from bapsim.train.table import table_boosted

    rng = np.random.default_rng(0)
    task = Task(input=("a", "b"), target="label", kind="table")
    rows = [
        {"a": float(v), "b": w, "label": "x" if v > 0 else "y"}
        for v, w in zip(rng.normal(size=60), "uv" * 30, strict=True)
    ]
    check_trainer(table_boosted(trees=4, rounds=3), mixture_of(rows, task))


# ------------------------------------------------------------------ judges


@dataclass(frozen=True)
class Judged:
    """A judge of our own making; `flaw` says how it goes wrong."""

    flaw: str = ""

    def __call__(self, who, exam):
        records = exam.records
        rows = records if self.flaw == "peek" else records.select(["text"])
        answers = who(Rows(rows))
        if self.flaw == "pads":
            answers = (
                take(answers, np.minimum(np.arange(len(rows)), max(len(answers) - 1, 0)))
                if len(rows)
                else answers
            )
        if len(answers) != len(rows):
            raise ExchangeError("answers_do_not_fit", asked=len(rows), answered=len(answers))
        said, gold = answers.column("prediction"), records.column("label")
        if self.flaw == "gold from elsewhere":
            gold = said
        names = {"_id": records.column("_id"), "gold": gold, "prediction": said}
        if self.flaw == "relative":
            names["loss"] = pa.array([float(len(rows))] * len(rows))
        if self.flaw == "chance":
            names["loss"] = pa.array([float(next(counter))] * len(rows))
        if self.flaw == "no prediction":
            del names["prediction"]
        scores = pa.record_batch(names)
        if self.flaw == "sorted":
            scores = take(scores, np.arange(len(rows))[::-1])
        if self.flaw == "right only":
            scores = scores.filter(
                pa.array([g == s for g, s in zip(strings(gold), strings(said), strict=True)])
            )
        return Scores(scores)


KNOWS = Majority(("x", "y"), 0.5)


def test_good_judges_pass():
    check_judge(Judged(), KNOWS, MIXTURE)
    check_judge(per_item(), KNOWS, MIXTURE)
    check_judge(per_item(), lambda rows: KNOWS(rows).select(["prediction"]), MIXTURE)
    check_judge(per_item(), KNOWS, replace(MIXTURE, records=MIXTURE.records.slice(0, 0)))


@pytest.mark.parametrize(
    ("law", "flaw"),
    [
        ("peek", "peek"),
        ("misfit", "pads"),
        ("place", "gold from elsewhere"),
        ("place", "sorted"),
        ("batch", "relative"),
        ("repeat", "chance"),
        ("scores", "no prediction"),
        ("count", "right only"),
    ],
)
def test_bad_judges_are_caught(law, flaw):
    breaks(law, check_judge, Judged(flaw), KNOWS, mixture_of(ROWS[:4], TASK))


def test_every_law_has_a_planted_breach():
    """Of all messages, each is reached above: a law that nothing can break is no law."""
    texts = json.loads((Path(testing.__file__).parent / "messages" / "testing.json").read_text("utf-8"))
    said = Path(__file__).read_text("utf-8")
    assert texts
    assert not [key for key in texts if f'("{key.removeprefix("error.broken_")}", ' not in said]
