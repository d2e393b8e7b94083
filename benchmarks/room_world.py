"""A room in a box: texts whose labels are confused between neighbouring classes, an expert who knows better.

Used by interview.py and lesson.py. What people give reaches a turn by `Given`, a source of votes and examples
in the inbox, and by the product's own steps for rules. The project lies in memory (lab.new_folder).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.compose.asking import worth_asking
from bapsim.compose.dialogue import Question, Reply, advance
from bapsim.compose.harvest import Dialogue, taught
from bapsim.compose.interview import Manner, interview
from bapsim.compose.plan import exam
from bapsim.core.recipe import Recipe
from bapsim.core.records import Draft, Rows, Task, derive, rows_of
from bapsim.core.turn import Turn
from bapsim.gather.rules import by_rules
from bapsim.judge.exam import accuracy, per_item
from bapsim.judge.gate import paired
from bapsim.refine.label_errors import label_errors
from bapsim.refine.rules import keeps_rules
from bapsim.store import artifacts
from bapsim.store.project import opened
from bapsim.text.rules import fit_of, folded, matching, rule_of
from bapsim.text.telling import suggestion
from bapsim.train.text import text_linear
from bapsim.wheel.candidates import NAME
from bapsim.wheel.consulting import Alone, consulted
from bapsim.wheel.lesson import Classroom, prepare
from bapsim.wheel.topics import topics
from bapsim.wheel.turn import run_turn
from lab import nearest_class, new_folder, origin, rows_in

CLASSES, START, KNOWN, TEST = (
    40,
    15,
    25,
    30,
)  # classes; rows of each: labelled, in the expert's mind, untouched
CONFUSED = 0.2  # of the labels of the start say the class next door


@dataclass(frozen=True)
class World:
    """One room: rows at hand with what their labels say, a pool, what the expert knows, untouched rows."""

    name: str
    seed: int

    def parts(self) -> dict[str, np.ndarray]:
        return _parts(self.name, self.seed)

    def said(self) -> np.ndarray:
        """What the labels of the start say: some are those of the class next door."""
        labels, near = rows_in(self.name)[1], nearest_class(self.name)
        at = self.parts()["start"]
        wrong = np.random.default_rng([self.seed, 7]).random(len(at)) < CONFUSED
        said = labels[at].copy()
        said[wrong] = [near[c] if near[c] in self.classes() else c for c in said[wrong]]
        return said

    def classes(self) -> set[str]:
        return set(rows_in(self.name)[1][self.parts()["start"]].tolist())


@cache
def _parts(name: str, seed: int) -> dict[str, np.ndarray]:
    labels, near = rows_in(name)[1], nearest_class(name)
    rng = np.random.default_rng(seed)
    chosen: list[str] = []
    for label in rng.permutation(np.unique(labels[labels != "oos"])).tolist():  # neighbours come together
        chosen += [one for one in (label, near[label]) if one not in chosen and one != "oos"]
    found: dict[str, list[np.ndarray]] = {"start": [], "mind": [], "test": [], "pool": []}
    ends = np.cumsum([START, KNOWN, TEST])
    for label in chosen[:CLASSES]:
        mine = rng.permutation(np.flatnonzero(labels == label))
        for part, rows in zip(found, np.split(mine, ends), strict=True):
            found[part].append(rows)
    return {part: rng.permutation(np.concatenate(rows)) for part, rows in found.items()}


@dataclass(frozen=True)
class Start:
    """The user's rows, and those of the service."""

    world: World

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == 1:
            texts, parts = rows_in(self.world.name)[0], self.world.parts()
            for part, said in (("start", self.world.said().tolist()), ("pool", None)):
                at = parts[part]
                labels = pa.nulls(len(at), pa.string()) if said is None else pa.array(said, pa.string())
                rows = Rows(pa.record_batch({"text": pa.array(texts[at].tolist()), "label": labels}))
                yield Draft(rows=rows, origin=origin("file"), keys=[f"{part}{i}" for i in at])


@dataclass(frozen=True)
class Given:
    """Votes and examples of people, as the inbox has them."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        lines = given(turn.inbox)
        votes = {
            bytes.fromhex(one["question"]): one["said"]
            for one in lines
            if one["kind"] == "vote" and one["said"]
        }
        for view in turn.data.values():
            asked = view.find(pa.array(sorted(votes), pa.binary(16)))
            for pooled in (True, False) if len(asked) else ():
                there = (
                    ~np.asarray(asked.column("label").is_valid())
                    if pooled
                    else np.asarray(asked.column("label").is_valid())
                )
                some = asked.filter(pa.array(there))
                if not len(some):
                    continue
                said = [votes[one] for one in some.column("_id").to_pylist()]
                at = some.schema.get_field_index("label")
                rows = Rows(rows_of(some).set_column(at, "label", pa.array(said, pa.string())))
                made = replace(origin(f"asked:{'chosen' if pooled else 'repair'}"), source="given")
                yield derive(
                    some, [[i] for i in range(len(some))], rows, changed=frozenset({"target"}), origin=made
                )
        own = [(one["input"]["text"], one["target"]) for one in lines if one["kind"] == "example"]
        if own:
            texts, labels = zip(*own, strict=True)
            rows = Rows(pa.record_batch({"text": pa.array(texts), "label": pa.array(labels)}))
            yield Draft(rows=rows, origin=replace(origin("example"), source="given"))


def given(inbox: Path) -> list[dict[str, Any]]:
    """Lines of people's files."""
    files = sorted((inbox / "people").glob("*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text("utf-8").splitlines()]


def give(root: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Put lines into the inbox of a project."""
    folder = root / "inbox" / "people"
    folder.mkdir(parents=True, exist_ok=True)
    body = "".join(json.dumps(dict(one), ensure_ascii=False) + "\n" for one in lines)
    (folder / "c-aaaaaaaaaaaa.jsonl").write_text(body, "utf-8")


def recipe(world: World, questions: int = 0) -> Recipe:
    """The product's recipe, as `new` writes it, with rules."""
    return Recipe(
        task=Task(input="text", target="label"),
        sources={"start": Start(world), "given": Given(), "rules": by_rules()},
        surveys={"labels": label_errors(), "rules": keeps_rules()},
        questions=worth_asking(questions) if questions else None,
        train=text_linear(),
        judge=per_item(),
        metric=accuracy,
        gate=paired(),
        exam=exam(None),
        seed=world.seed,
    )


def first_turn(world: World, questions: int = 0) -> tuple[Path, dict[str, Any]]:
    """A project after its first turn, and what that said."""
    root = new_folder()
    (root / "recipe.py").write_text("# in memory\n")
    with opened(root) as project:
        return root, run_turn(project, recipe(world, questions))


def next_turn(
    root: Path, world: World, lines: Sequence[Mapping[str, Any]], questions: int = 0
) -> dict[str, dict[str, Any]]:
    """A turn of a copy of the project with these lines: by candidate ("people", "pending", "looked"), what it
    gets right of untouched rows: accuracy, bool[n].
    """
    copy = new_folder()
    shutil.rmtree(copy)
    shutil.copytree(root, copy)
    try:
        give(copy, lines)
        found: dict[str, dict[str, Any]] = {}

        def look(step: str, **_: Any) -> None:
            if step == "judge":
                for folder in sorted((copy / "wheel" / "models" / NAME).glob("t002-*")):
                    found[folder.name.removeprefix("t002-")] = measured(folder / "judged", world)

        with opened(copy) as project:
            told = run_turn(project, recipe(world, questions), say=look)
        looked = str(told["candidate"]).removeprefix("t002-")
        before = (
            measured(next(iter(sorted((copy / "wheel" / "models" / NAME).glob("t001-*")))) / "judged", world)
            if not found
            else None
        )
        found.setdefault("people", before or found.get("released") or next(iter(found.values())))
        found["looked"] = found.get(looked, found["people"])
        return found
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def measured(folder: Path, world: World) -> dict[str, Any]:
    """What a model gets right of untouched rows."""
    texts, labels = rows_in(world.name)
    at = world.parts()["test"]
    answers = artifacts.load(folder)(Rows(pa.record_batch({"text": pa.array(texts[at].tolist())})))
    right = np.array(answers["prediction"].to_pylist(), object) == labels[at]
    return {"accuracy": 100 * float(right.mean()), "right": right}


def room_of(root: Path, world: World) -> Classroom:
    with opened(root, writing=False) as project:
        return prepare(project, recipe(world))


# --------------------------------------------------------------------------- the expert


@dataclass(frozen=True, eq=False)
class Expert:
    """Knows the truth of every text of the set, and rules from rows that nobody else has.

    rules: whether this one states any.
    """

    world: World
    rules: bool = True

    def truth(self, text: str) -> str:
        return _truth(self.world.name).get(text, "other")

    def mind(self) -> tuple[Any, np.ndarray]:
        texts, labels = rows_in(self.world.name)
        at = self.world.parts()["mind"]
        return folded(texts[at].tolist()), labels[at]

    def __call__(self, question: Question) -> dict[str, Any]:
        about = question.about
        match question.kind:
            case "choose":
                return {"said": about["topics"][0]["id"]}
            case "case" | "counter":
                return {"said": self.truth(about["case"]["text"])}
            case "rule":
                return {"said": self._rule(about)}
            case "holds":
                return {"said": "keep"}
            case "own":
                return {"said": "both"}
            case "sure":
                return {"said": 0.9, "peers": 0.9}
            case _:
                return {"said": "because of what is asked"}

    def _rule(self, about: Mapping[str, Any]) -> Any:
        """The rule that is suggested if it holds in what the expert knows, else one of the expert's own."""
        texts, labels = self.mind()
        if not self.rules or about["round"]:
            return "none" if not self.rules else about["rule"]
        if about.get("rule"):
            fit = fit_of(matching(rule_of(about["rule"]), texts), labels, about["label"])
            if fit.right >= 0.85 * max(fit.matched, 1) and fit.matched >= 3:
                return about["rule"]
        mine = labels == about["label"]
        near = np.isin(labels.astype(str), list(about["against"]))
        own = suggestion(texts, mine, near if near.any() else ~mine, ~mine)
        return "none" if own is None else own.json()


@cache
def _truth(name: str) -> dict[str, str]:
    texts, labels = rows_in(name)
    return dict(zip((" ".join(t.split()) for t in texts.tolist()), labels.tolist(), strict=True))


class Memory:
    """A tape that nobody kills."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, int], Any] = {}

    def recall(self, key: str, step: int) -> Any:
        return self.kept.get((key, step))

    def intend(self, key: str, step: int, asked: str) -> None:
        """Nothing to do."""

    def withdraw(self, key: str, step: int) -> None:
        """Nothing to do."""

    def keep(self, key: str, step: int, asked: str, got: Any) -> None:
        self.kept[key, step] = asked, got


def session(
    room: Classroom, answer: Callable[[Question], dict[str, Any]], replies: int, seed: int = 0
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """A dialogue of so many replies, of whatever kind: its lines, and how many replies went where."""
    data = consulted(room, topics(room, seed=seed), Alone())
    tape, reply, seen = Memory(), None, []
    counts: dict[str, int] = {}
    while sum(counts.values()) - counts.get("choose", 0) < replies:
        question, _ = advance("d-aaaaaaaaaa", interview(Manner(), seen.append), tape, data, reply)
        if question is None:
            break
        counts[question.kind] = counts.get(question.kind, 0) + 1
        reply = Reply(said=answer(question), at="2026-11-23T00:00:00Z", seconds=5.0)
    advance("d-aaaaaaaaaa", interview(Manner(), seen.append), tape, data, reply)
    who = Dialogue(id="d-aaaaaaaaaa", person="p-aaaaaaaaaa", column="text", lang="en")
    return taught(seen[-1], who, ("vote", "example", "rule")), counts
