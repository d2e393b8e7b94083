"""For whom the model is worse, turn by turn: declared groups on rows that nobody picked, out of fold.

Never from exam items: questions may be chosen by it. Whether a gap became smaller is asked of both models on
the same rows, about the pair of values that the last report named.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import numbers
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Recipe
from bapsim.core.records import Records, Rows
from bapsim.core.turn import Turn
from bapsim.judge.compare import wilson
from bapsim.judge.exam import right
from bapsim.judge.gaps import Gap, gap, means, narrowed
from bapsim.judge.gate import OOF_INFLATION
from bapsim.wheel.candidates import Candidate
from bapsim.wheel.held_out import as_scores, eaten, held_out
from bapsim.wheel.judging import Opponent, random_rows
from bapsim.wheel.stock import ASKED, Scene, Stock

MOST = 30  # values of a group that are told, the most frequent ones
PAST = 20  # turns that a report goes back
Row = dict[str, Any]


def known_groups(recipe: Recipe) -> None:
    """Raises RecipeError for a group that is no column of the task and no function, and for questions that
    are to close the gap of a group which nobody declared.
    """
    task = recipe.task
    known = [one for one in task.columns if task.kind != "image" or one not in task.inputs]
    for name, one in recipe.groups.items():
        if not callable(one) and one not in known:
            raise RecipeError("group_column", name=name, column=one, known=", ".join(known))
    closes = getattr(recipe.questions, "closes", None)
    if closes is not None and closes not in recipe.groups:
        raise RecipeError("group_closes", name=closes, known=", ".join(recipe.groups) or "-")


def values_of(scene: Scene, name: str, at: np.ndarray) -> list[str | None]:
    """Of whom the rows `at` are, by a declared group; None: nobody said.

    Raises RecipeError for a function that does not give each record a value.
    """
    turn = replace(scene.turn, origins=scene.stock.origins)
    return group_values(scene.recipe, scene.stock, turn, name, at)


def group_values(recipe: Recipe, stock: Stock, turn: Turn, name: str, at: np.ndarray) -> list[str | None]:
    """The same where no turn is being judged; turn: with all origins."""
    group = recipe.groups[name]
    if isinstance(group, str):
        column = stock.records.column(group).take(pa.array(at, pa.int64()))
        cells: list[Any] = column.to_pylist()
    else:
        said = group(_as_asked(stock, at), turn)
        whole = said.to_pylist() if hasattr(said, "to_pylist") else said  # a column's nulls are nobody's
        cells = list(whole) if isinstance(whole, Iterable) else []
        if len(cells) != len(at):
            raise RecipeError("group_values", name=name, values=len(cells), records=len(at))
    names = ["" if one is None or one != one else str(one) for one in cells]  # noqa: PLR0124  nan is nobody's
    return [name if name.strip() else None for name in names]


def _as_asked(stock: Stock, at: np.ndarray) -> Records:
    """The rows `at`, answers with the origin of what was asked about: a pool row is of the same group before
    and after somebody labelled it.
    """
    rows, origin = stock.part(at), stock.origin.copy()
    for row, mums in stock.parents:  # parents come before their children
        if mums and stock.origins[int(origin[row])].method.startswith(ASKED):
            origin[row] = origin[mums[0]]
    place = rows.schema.get_field_index("_origin")
    return Records(rows.set_column(place, rows.schema.field(place), pa.array(origin[at], pa.int32())))


def gaps(scene: Scene, model: Candidate, opponent: Opponent) -> list[Row]:
    """What a report says of each group: values with their scores, the gap, how it came, and who answered."""
    if not scene.recipe.groups:
        return []
    at = np.flatnonzero(random_rows(scene) & model.rows)
    scored = _scored(scene, model.model, model.oof, at)
    learnt = np.flatnonzero(model.rows & scene.stock.by_people)
    persons = _persons(scene, learnt)
    before, found = _last(scene), []
    for name in scene.recipe.groups:
        said = values_of(scene, name, at) if len(at) else []
        names, codes = _coded(said)
        mine = codes >= 0
        told = means(
            scored[mine],
            codes[mine].tolist(),
            scene.groups[at[mine]],
            share=_is_share(scene),
            smaller=not _is_share(scene),
        )
        rows = np.bincount(codes[mine], minlength=len(names)).tolist()
        one = gap(names, rows, told)
        past = before.get(name, {})
        found.append(
            {
                "name": name,
                **_plain(one),
                "unknown": sum(value is None for value in said),
                "left": len({value for value in said if value is not None}) - len(names),
                "views": views(persons, values_of(scene, name, learnt) if len(learnt) else [], names),
                "change": _change(scene, model, opponent, at, codes, names, past),
                "past": [*past.get("past", []), _point(past)][-PAST:] if past else [],
            }
        )
    return found


def _is_share(scene: Scene) -> bool:
    return scene.stock.task.answer != "number"


def _scored(scene: Scene, model: Any, oof: Any, at: np.ndarray) -> np.ndarray:
    """float64[n]: 1 where an answer is right, of numbers how far it is off."""
    stock = scene.stock
    told = as_scores(held_out(model, oof, stock, at), stock, at, scene.groups[at])
    return right(told).astype(np.float64) if _is_share(scene) else numbers(told.column("loss"))


def _coded(said: Sequence[str | None]) -> tuple[list[str], np.ndarray]:
    """Values in the order of their names, and int64[n]: the place of each row's, -1 where it has none."""
    counts = Counter(one for one in said if one is not None)
    names = sorted(name for name, _ in counts.most_common(MOST))
    place: dict[str | None, int] = {name: i for i, name in enumerate(names)}
    return names, np.array([place.get(one, -1) for one in said], np.int64)


def _plain(one: Gap) -> Row:
    """Plain values, without nan."""
    parts = [{k: _number(v) for k, v in asdict(part).items()} for part in one.parts]
    ends = {name: _number(getattr(one, name)) for name in ("gap", "low", "high")}
    named = {"best": one.parts[one.best].name, "worst": one.parts[one.worst].name} if one.told else {}
    return {"parts": parts, **ends, "best": named.get("best"), "worst": named.get("worst")}


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _last(scene: Scene) -> dict[str, Row]:
    """The gaps of the last turn that ended, by group."""
    query = "select decision from turn where state='done' order by n desc limit 1"
    said = json.loads(scene.project.ledger.value(query) or "{}")
    return {one["name"]: {**one, "turn": said.get("turn")} for one in said.get("gaps", ())}


def _point(past: Row) -> Row:
    return {key: past.get(key) for key in ("turn", "gap", "low", "high", "best", "worst")}


def _change(
    scene: Scene,
    model: Candidate,
    opponent: Opponent,
    at: np.ndarray,
    codes: np.ndarray,
    names: Sequence[str],
    past: Row,
) -> Row | None:
    """By how much the gap of the last report's pair became smaller, both models on the same rows."""
    pair = (past.get("best"), past.get("worst"))
    if None in pair or any(one not in names for one in pair) or opponent.oof is None:
        return None
    mine = eaten(opponent.oof, scene.stock, at) & (codes >= 0)
    rows = at[mine]
    if not len(rows):
        return None
    diffs = _scored(scene, model.model, model.oof, rows) - _scored(
        scene, opponent.respond, opponent.oof, rows
    )
    places = names.index(str(pair[0])), names.index(str(pair[1]))
    sign = 1.0 if _is_share(scene) else -1.0
    kin, share = scene.groups[rows], _is_share(scene)
    among = sum(part["score"] is not None for part in past["parts"])
    of = codes[mine].tolist()
    said = narrowed(sign * diffs, of, places, kin, share=share, inflation=OOF_INFLATION, among=among)
    ends = dict(zip(("gap", "low", "high"), map(_number, said), strict=True))
    return None if ends["gap"] is None else {"best": pair[0], "worst": pair[1], "rows": len(rows), **ends}


# ---------------------------------------------------------------- whose views these are


def views(persons: Sequence[set[str]], said: Sequence[str | None], names: Sequence[str]) -> list[Row]:
    """For each value: rows that are learnt from and of which it is known who said what they are, how many
    persons these were, and the share of rows of the one who gave most, with its interval.

    persons, said: who gave each row that is learnt from, and of whom it is.
    """
    found = []
    for name in names:
        mine = [who for who, value in zip(persons, said, strict=True) if who and value == name]
        given = Counter(one for who in mine for one in who)
        most = max(given.values(), default=0)
        low, high = wilson(most, len(mine)) if mine else (None, None)
        share = {"most": most / len(mine) if mine else None, "low": low, "high": high}
        found.append({"name": name, "rows": len(mine), "people": len(given), **share})
    return found


def _persons(scene: Scene, at: np.ndarray) -> list[set[str]]:
    """Who said what each row is, by pseudonym, or by consent where no grant names a person."""
    ledger, stock = scene.project.ledger, scene.stock
    names = {row["consent"]: row["person"] for row in ledger.rows("select consent, person from permit")}
    beside: dict[bytes, set[str]] = {}
    for row in ledger.rows("select id, consent from descendant"):
        beside.setdefault(row["id"], set()).add(row["consent"])
    found = []
    for i in at.tolist():
        own = stock.origins[int(stock.origin[i])].consent
        consents = beside.get(stock.ids[i].tobytes(), set()) | ({own} if own is not None else set())
        found.append({names.get(one, one) for one in consents})
    return found


# ---------------------------------------------------------------- questions that close one


def behind(scene: Scene, told: Sequence[Row], pool: np.ndarray) -> Rows | None:
    """Rows of the pool (bool[N]) of the value that is worst, of the group that questions are to close."""
    closes = getattr(scene.recipe.questions, "closes", None)
    worst = next((one["worst"] for one in told if one["name"] == closes), None)
    if closes is None or worst is None:
        return None
    at = np.flatnonzero(pool)
    said = values_of(scene, closes, at) if len(at) else []
    mine = at[[one == worst for one in said]] if len(at) else at
    return Rows(
        pa.record_batch({"_id": scene.stock.records.column("_id").take(pa.array(mine.tolist(), pa.int64()))})
    )
