"""The certificate that goes with a source's rows: what a vendor signs when data are delivered to an order.

Maker, method with the fingerprint of its words, parents, depth, cost, what verifiers and people refused, how
close the rows come to people's own; signed with the project's key. Everything is counted from the ledger and
the rows that are delivered, nothing is declared.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import numpy as np

from bapsim.core.arrow import booleans, numbers, strings
from bapsim.core.recipe import Recipe
from bapsim.core.records import Records
from bapsim.gather.delivered import FORM
from bapsim.gather.drawn import DrawnBy
from bapsim.gather.to_order import ToOrder
from bapsim.image.closest import axes, closest, points
from bapsim.refine.closeness import left_out
from bapsim.refine.mutation import bounds
from bapsim.refine.novelty import closeness
from bapsim.store.project import Project
from bapsim.wheel.admitting import verifiers
from bapsim.wheel.costs import costs_by_source
from bapsim.wheel.permits import inner
from bapsim.wheel.refining import stored_verdicts
from bapsim.wheel.stock import PENDING, TRAINED, Stock, load_stock

FEWEST = 200  # people's texts, below which closeness says nothing
Row = dict[str, Any]


def certificate(
    project: Project, recipe: Recipe, source: str, given: np.ndarray, files: Sequence[Row]
) -> Row:
    """The body of the certificate of a source's rows.

    given: bool[N], the rows that are delivered; files: their path, sha256 and rows.
    """
    ledger, stock = project.ledger, load_stock(project, recipe.task)
    last = ledger.row("select n, ended, decision from turn where state='done' order by n desc limit 1") or {}
    decision = json.loads(last["decision"])
    told: Row = next((one for one in decision["sources"] if one["name"] == source), {})
    every = stock.of_origins(lambda _, origin: origin.source == source)
    task = recipe.task
    return {
        "form": FORM,
        "project": project.root.resolve().name,
        "source": source,
        "turn": last["n"],
        "made": str(last["ended"])[:10],
        "program": f"bapsim {version('bapsim')}",
        "files": list(files),
        "rows": int(given.sum()),
        "task": {"kind": str(task.kind), "inputs": list(task.inputs), "target": task.target},
        "targets": _targets(stock, given) if task.answer == "class" else None,
        "makers": makers(recipe, source, stock, given),
        "order": _ordered(project, recipe, source, stock, given),
        "parents": _parents(stock, given),
        "depth": _depth(stock, given),
        "rights": sorted({stock.origins[n].rights for n in np.unique(stock.origin[given]).tolist()}),
        "costs": costs_by_source(ledger, {source}).get(source, {}),
        "requests": int(ledger.value("select coalesce(sum(calls), 0) from cost where what=?", source) or 0),
        "brought": int(every.sum()),
        "refused": told.get("refused", {}),
        "unread": told.get("unread", {}),
        "verifiers": _verified(project, recipe, stock, every, decision.get("verifiers", {})),
        "closeness": _closeness(stock, given),
        "verdict": {"verdict": decision["verdict"], "reason": decision["reason"].removeprefix("decision.")},
    }


def makers(recipe: Recipe, source: str, stock: Stock, given: np.ndarray) -> list[Row]:
    """Who made the rows, by which method; the method of what was asked for ends in the fingerprint of its
    words, its schema and who was asked.
    """
    found: Counter[tuple[str, str, str]] = Counter()
    for n in stock.origin[given].tolist():
        one = stock.origins[n]
        found[one.method, one.input_maker, one.target_maker] += 1
    by = _writer(recipe, source)
    return [
        {"method": method, "input_maker": said, "target_maker": target, "by": by, "rows": rows}
        for (method, said, target), rows in sorted(found.items())
    ]


def _writer(recipe: Recipe, source: str) -> str | None:
    """The model or generator that a source asks; None where it asks none."""
    one: Any = inner(recipe.sources.get(source))
    if isinstance(one, DrawnBy):
        return one.of
    by = getattr(one, "by", None)
    return by if isinstance(by, str) else getattr(by, "model", None)


def _targets(stock: Stock, given: np.ndarray) -> dict[str, int]:
    return dict(sorted(Counter(str(one) for one in stock.labels[given] if one is not None).items()))


def _ordered(project: Project, recipe: Recipe, source: str, stock: Stock, given: np.ndarray) -> Row | None:
    """The order that the source fills, line by line: asked for, delivered; None without one."""
    one: Any = inner(recipe.sources.get(source))
    if not isinstance(one, ToOrder):
        return None
    order = one.read(project.root / "inbox")
    keys = strings(stock.records.column("_key").filter(given.tolist()))
    have = Counter(key.rsplit(":", 1)[0] for key in keys if key)
    lines = []
    for line in order.lines:
        named = have[line.name] + (have[line.value] if line.kind == "class" else 0)
        lines.append({"name": line.name, "ordered": line.rows, "delivered": named})
    return {"file": one.file, "digest": order.digest, "lines": lines}


def _parents(stock: Stock, given: np.ndarray) -> Row:
    """Rows that name parents, how many records these are, and how many at most of one row."""
    column: list[Any] = stock.records.column("_parents").filter(given.tolist()).to_pylist()
    named = [mums for mums in column if mums]
    distinct = {mum for mums in named for mum in mums}
    return {"rows": len(named), "records": len(distinct), "most": max(map(len, named), default=0)}


def _depth(stock: Stock, given: np.ndarray) -> Row:
    """The greatest number of machine hands on inputs and on targets; None: of some rows nobody knows."""
    found = {}
    for part in ("input", "target"):
        there = given & stock.labelled if part == "target" else given
        depths = numbers(stock.records.column(f"_{part}_depth"))[there]
        unknown = not len(depths) or np.isnan(depths).any()
        found[part] = None if unknown else int(depths.max())
    return found


def _verified(
    project: Project, recipe: Recipe, stock: Stock, every: np.ndarray, audits: Mapping[str, Row]
) -> list[Row]:
    """What each verifier said of all that the source brought, with its own audit where there is one."""
    names = sorted(verifiers(recipe))
    said = {name: Counter[str]() for name in names}
    for shard, (start, end) in zip(stock.shards, pairwise(stock.starts.tolist()), strict=True):
        mine = every[start:end]
        if not mine.any():
            continue
        stored = stored_verdicts(project, shard)
        for name in names:
            rows = int(mine.sum())
            kept = refused = 0
            if name in stored:
                keep = stored[name].column("keep")
                kept = int((booleans(keep, False) & mine).sum())
                refused = int((~booleans(keep, True) & mine).sum())
            said[name].update(kept=kept, refused=refused, abstained=rows - kept - refused)
    return [{"name": name, **said[name], "audit": audits.get(name)} for name in names]


# --- how close the rows come to people's own


def _closeness(stock: Stock, given: np.ndarray) -> Row | None:
    """The share of the rows that lie closer to a row of people's than all but a hundredth of people's own do,
    with one-sided 95 % bounds, and both medians; None where too little is there to compare.
    """
    machine, people = given & stock.by_machine, stock.by_people & stock.labelled & ~given
    if stock.task.kind == "text":
        return _of_texts(stock, np.flatnonzero(machine), np.flatnonzero(people))
    return _of_places(stock, np.flatnonzero(machine), np.flatnonzero(people))


def _of_texts(stock: Stock, machine: np.ndarray, people: np.ndarray) -> Row | None:
    if len(people) < FEWEST or not len(machine):
        return None
    texts = stock.texts
    rng = np.random.default_rng(0)
    said = closeness([texts[i] for i in machine], [texts[i] for i in people], rng)
    return _told(said.machine, said.people, said.copies, said.low, said.high)


def _of_places(stock: Stock, machine: np.ndarray, people: np.ndarray) -> Row | None:
    rng = np.random.default_rng(0)
    machine, people = (rng.permutation(one)[:2000] for one in (machine, people))
    if len(people) < FEWEST or not len(machine):
        return None
    real, made = (Records(stock.part(np.sort(one))) for one in (people, machine))
    scale = axes(real, stock.task.inputs)
    known = points(scale, real)
    own = left_out(known, np.arange(len(people)))
    gaps, _ = closest(points(scale, made), known)
    gaps = gaps[np.isfinite(gaps)]
    if not len(own) or not len(gaps):
        return None
    hits = int((gaps < np.quantile(own, 0.01)).sum())
    return _told(gaps, own, hits / len(gaps), *bounds(hits, len(gaps)))


def _told(made: np.ndarray, own: np.ndarray, copies: float, low: float, high: float) -> Row:
    medians = {"median": float(np.median(made)), "median_people": float(np.median(own))}
    return {
        name: round(one, 4) for name, one in {"copies": copies, "low": low, "high": high, **medians}.items()
    }


def delivered_rows(stock: Stock, source: str, state: np.ndarray) -> np.ndarray:
    """bool[N]: rows of a source that nothing refused; state int8[N] (STATES)."""
    mine = stock.of_origins(lambda _, origin: origin.source == source)
    return np.asarray(mine & np.isin(state, (TRAINED, PENDING)))
