"""Follow wrong labels through a wheel in which machines write rows from rows, depth by depth.

Some of people's rows are seeds. At each depth every row of the depth before is written anew several times:
half of it stays, the rest a trigram model of people's texts writes, or another row of the same label lends
it; the label is carried over. A few seeds have a wrong label: so has all that is written from them. Rows,
parents and ids are the wheel's own, as are the tree that leads back and the quarantine.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.compose.plan import exam
from bapsim.core.arrow import concat, strings
from bapsim.core.errors import InputError
from bapsim.core.recipe import Recipe
from bapsim.core.records import Draft, Origin, Records, Rows, Task, derive
from bapsim.core.turn import Turn, named_seed
from bapsim.judge.exam import accuracy, per_item
from bapsim.judge.gate import paired
from bapsim.store.project import Project, opened
from bapsim.text import ngram_lm
from bapsim.train.text import text_linear
from bapsim.wheel.candidates import mixture_of
from bapsim.wheel.gathering import gather
from bapsim.wheel.lineage import ancestors
from bapsim.wheel.quarantine import quarantined
from bapsim.wheel.setting_aside import put_aside
from bapsim.wheel.state import begin, stop
from bapsim.wheel.stock import Stock, load_stock

LEAST, PEOPLE, HELD = 90, 300, 2_000  # rows
TASK = Task(input="text", target="label")
ORIGIN = Origin(source="", input_maker="person", target_maker="person", method="file", rights="own")


@dataclass(frozen=True, kw_only=True)
class People:
    """Rows by people, named by their numbers; the first ones are the seeds."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        if turn.n == 1:
            rows = pa.record_batch({"text": pa.array(self.texts), "label": pa.array(self.labels)})
            yield Draft(rows=Rows(rows), origin=ORIGIN, keys=[str(i) for i in range(len(self.texts))])


@dataclass(frozen=True, kw_only=True)
class Rewriter:
    """In turn n rows of depth n - 1: `each` of every row of the depth before, of `seeds` of people's; one in
    `lent` has a second parent, whose latter half it takes.
    """

    seeds: int
    each: int = 3
    lent: int = 4
    seed: int = 0

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        parts = [part for view in turn.data.values() for part in view.batches(["text", "label"])]
        if not parts:
            return
        known = Records(concat(parts))
        depth = np.array(known.column("_input_depth").to_pylist())
        keys = strings(known.column("_key"))
        mums = np.flatnonzero(depth == turn.n - 2)
        if turn.n == 2:
            mums = np.array([m for m in mums.tolist() if int(keys[m] or 0) < self.seeds])
        texts = [one or "" for one in strings(known.column("text"))]
        labels = np.array(strings(known.column("label")), object)
        rng = np.random.default_rng(named_seed("rewriter", self.seed, turn.n))
        mine = np.repeat(mums, self.each)
        dads = np.array([rng.choice(mums[labels[mums] == labels[m]]) for m in mine.tolist()])
        lent = rng.integers(self.lent, size=len(mine)) == 0
        said = written(texts, depth == 0, mine, rng)
        for k in np.flatnonzero(lent).tolist():
            said[k] = spliced(texts[int(mine[k])], texts[int(dads[k])])
        of = [[int(m), int(d)] if two else [int(m)] for m, d, two in zip(mine, dads, lent, strict=True)]
        rows = pa.record_batch({"text": pa.array(said), "label": pa.array(labels[mine], pa.string())})
        made = replace(ORIGIN, input_maker="machine", method="rewritten", batch=f"depth-{turn.n - 1}")
        names = [f"{keys[int(m)]}.{k}" for k, m in enumerate(mine)]
        yield derive(known, of, Rows(rows), changed=frozenset({"input"}), origin=made, keys=names)


def written(texts: Sequence[str], people: np.ndarray, of: np.ndarray, rng: np.random.Generator) -> list[str]:
    """The first half of each of these texts, and as much again by a trigram model of people's."""
    words = [ngram_lm.tokens(one) for one in texts]
    flat = [word for one, own in zip(words, people.tolist(), strict=True) if own for word in one]
    codes, names = ngram_lm.numbered([*flat, *(word for one in words for word in one)])
    place = {word: code for code, word in enumerate(names)}
    cut = len(flat) * 9 // 10
    model = ngram_lm.learn(codes[:cut], len(names), codes[cut : len(flat)])
    kept = [words[m][: max(len(words[m]) // 2, 1)] for m in of.tolist()]
    ends = [[names[0], *one][-2:] for one in kept]
    one, two = (np.array([place[end[k]] for end in ends], np.int64) for k in (0, 1))
    longest = max((len(words[m]) - len(head) for m, head in zip(of.tolist(), kept, strict=True)), default=0)
    rest = ngram_lm.continued(model, one, two, longest, rng)
    return [
        " ".join([*head, *(names[c] for c in row[: len(words[m]) - len(head)].tolist())])
        for m, head, row in zip(of.tolist(), kept, rest, strict=True)
    ]


def spliced(mum: str, dad: str) -> str:
    """The first half of one text and the latter half of another."""
    first, second = ngram_lm.tokens(mum), ngram_lm.tokens(dad)
    return " ".join([*first[: max(len(first) // 2, 1)], *second[len(second) // 2 :]])


@dataclass(kw_only=True)
class Spread:
    """A wheel with rows of all depths; root: int64[N], from which of people's rows each has its label; wrong:
    bool[N], that label is wrong; depth: int64[N].
    """

    project: Project
    recipe: Recipe
    stock: Stock
    root: np.ndarray
    wrong: np.ndarray
    depth: np.ndarray
    planted: tuple[bytes, ...] = field(default=())


def spread(
    project: Project,
    texts: Sequence[str],
    labels: Sequence[str],
    wrong: Sequence[int],
    plan: Rewriter,
    depth: int,
) -> Spread:
    """Gather people's rows, those in `wrong` with another label, and write on from them `depth` times."""
    kinds = sorted(set(labels))
    other = {one: kinds[(k + 1) % len(kinds)] for k, one in enumerate(kinds)}
    said = tuple(other[one] if i in set(wrong) else one for i, one in enumerate(labels))
    people = People(texts=tuple(texts), labels=said)
    recipe = Recipe(
        task=TASK,
        sources={"people": people, "rewritten": plan},
        train=text_linear(),
        judge=per_item(),
        metric=accuracy,
        gate=paired(),
        exam=exam(),
    )
    for _ in range(depth + 1):
        gather(project, dict(recipe.sources), begin(project, recipe))
        stop(project)
    stock = load_stock(project, TASK)
    keys = [one or "" for one in strings(stock.records.column("_key"))]
    root = np.array([int(one.partition(".")[0]) for one in keys])
    bad = np.isin(root, list(wrong))
    deep = np.asarray(stock.records.column("_input_depth").to_numpy(), np.int64)
    planted = tuple(stock.ids[i].tobytes() for i in np.flatnonzero(bad & (deep == 0)))
    return Spread(
        project=project, recipe=recipe, stock=stock, root=root, wrong=bad, depth=deep, planted=planted
    )


def error(of: Spread, rows: np.ndarray, texts: Sequence[str], labels: Sequence[str]) -> float:
    """What a model of these rows (bool[N]) gets wrong of people's held-out rows, as a share."""
    mixture, _ = mixture_of(of.stock, rows)
    model = of.recipe.train(None, mixture, named_seed("propagation", int(rows.sum())) % 2**31)
    said = model(Rows(pa.record_batch({"text": pa.array(list(texts))}))).column("prediction").to_pylist()
    return float(np.mean([a != b for a, b in zip(said, labels, strict=True)]))


def as_many(of: Spread, rows: np.ndarray) -> np.ndarray:
    """bool[N]: as many rows of each depth as these (bool[N]), drawn at random."""
    rng, found = np.random.default_rng(named_seed("as many", int(rows.sum()))), np.zeros(len(rows), bool)
    for depth in np.unique(of.depth).tolist():
        here = np.flatnonzero(of.depth == depth)
        found[rng.choice(here, int(rows[here].sum()), replace=False)] = True
    return found


def traced(of: Spread) -> dict[str, Any]:
    """Whether every wrong row that a machine wrote leads back to the wrong record that it has its label from;
    how many of people's rows the tree names, and how many are left if three wrong rows are compared.
    """
    rows = np.flatnonzero(of.wrong & (of.depth > 0))
    roots: dict[int, set[int]] = {}
    begun = time.process_time()
    for row in rows.tolist():
        roots[row] = {int(of.root[one.row]) for one in ancestors(of.stock, row) if of.depth[one.row] == 0}
    seconds = time.process_time() - begun
    found = [int(of.root[row]) in roots[row] for row in rows.tolist()]
    rng = np.random.default_rng(0)
    left = []
    for source in np.unique(of.root[rows]).tolist():
        some = rng.permutation(rows[of.root[rows] == source])[:3].tolist()
        left.append(len(set.intersection(*(roots[row] for row in some))))
    named = {
        d: float(np.mean([len(roots[r]) for r in rows[of.depth[rows] == d].tolist()]))
        for d in np.unique(of.depth[rows]).tolist()
    }
    return {
        "rows": len(rows),
        "found": int(sum(found)),
        "milliseconds": 1000 * seconds / max(len(rows), 1),
        "candidates": named,
        "after_three": float(np.mean(left)) if left else 0.0,
    }


def followed(
    folder: Path,
    texts: Sequence[str],
    labels: Sequence[str],
    held: tuple[Sequence[str], Sequence[str]],
    wrong: Sequence[int],
    plan: Rewriter,
    depth: int = 4,
) -> dict[str, Any]:
    """The whole experiment in a new project: rows and errors by depth, the way back, and the quarantine.

    by_depth: of each depth its rows, how many of them are wrong, and the error of a model of all rows up to
    it; records_only, quarantine: the error of a model of all depths without the wrong records alone, and
    without all that came of them; taken: how many rows the quarantine takes, and how many of these were
    right.
    """
    folder.mkdir(parents=True)
    (folder / "recipe.py").write_text("# the recipe of the laboratory is a value\n")
    with opened(folder) as project:
        of = spread(project, texts, labels, wrong, plan, depth)
        by_depth = []
        for d in range(depth + 1):
            here = of.depth == d
            one = {"depth": d, "rows": int(here.sum()), "wrong": int((here & of.wrong).sum())}
            by_depth.append(one | {"error": error(of, of.depth <= d, *held)})
        told: dict[str, Any] = {"planted": len(of.planted), "by_depth": by_depth}
        if not of.planted:
            return told
        told["traced"] = traced(of)
        every = np.ones(len(of.stock), bool)
        told["records_only"] = error(of, every & ~of.stock.rows_with(set(of.planted)), *held)
        begun = time.process_time()
        for bad in of.planted:
            put_aside(project, of.recipe, bad.hex(), "planted")
        told["quarantine_seconds"] = (time.process_time() - begun) / len(of.planted)
        out = quarantined(project.ledger, of.stock)
        told["taken"] = {"rows": int(out.sum()), "right": int((out & ~of.wrong).sum())}
        told["left_wrong"] = int((of.wrong & ~out).sum())
        told["quarantine"] = error(of, ~out, *held)
        told["chance"] = error(of, ~as_many(of, out), *held)
        return told


def propagation(
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    depth: int = 4,
    say: Callable[..., None] = lambda *_, **__: None,
) -> dict[str, Any]:
    """The experiment on labelled texts, each seed with other rows: at most 300 by people, of which every
    fifth is a seed and one seed in ten wrong; at most 2,000 others are held out. Each seed is run without
    wrong ones, too.

    Returns people, held, planted, depth, and `runs`: `followed` of each seed, clean: its errors by depth
    without wrong rows. Raises InputError for fewer than 90 rows, or one label.
    """
    if len(texts) < LEAST or len(set(labels)) < 2:
        raise InputError("lab_too_few_rows", rows=len(texts), least=LEAST, labels=len(set(labels)))
    people = min(PEOPLE, len(texts) // 3)
    some = people // 5
    planted = max(some // 10, 1)
    runs = []
    for seed in seeds:
        at = np.random.default_rng(named_seed("propagation", seed)).permutation(len(texts))
        mine = at[:people].tolist()
        out = at[people : people + HELD].tolist()
        held = [texts[i] for i in out], [labels[i] for i in out]
        given = [texts[i] for i in mine], [labels[i] for i in mine]
        both = []
        for wrong in (0, planted):
            say("propagation", wrong=wrong, seed=seed)
            with tempfile.TemporaryDirectory() as folder:
                plan = Rewriter(seeds=some, seed=seed)
                both.append(followed(Path(folder) / "p", *given, held, range(wrong), plan, depth))
        runs.append(both[1] | {"seed": seed, "clean": [one["error"] for one in both[0]["by_depth"]]})
    return {"people": people, "held": len(out), "planted": planted, "depth": depth, "runs": runs}
