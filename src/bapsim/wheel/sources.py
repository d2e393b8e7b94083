"""What each source gave and cost: one plain row a source, for the turn's summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bapsim.judge.compare import wilson
from bapsim.judge.exam import Heard
from bapsim.judge.residual import FEWEST, Delivery, residuals
from bapsim.wheel.aside import agreed, set_aside, to_check
from bapsim.wheel.candidates import Candidate
from bapsim.wheel.costs import Costs, costs_by_source, paid_files
from bapsim.wheel.held_out import held_out
from bapsim.wheel.judging import Opponent
from bapsim.wheel.refining import Opinions
from bapsim.wheel.stock import ASKED, EXAM, REFUSED, STATES, TRAINED, Scene, Stock
from bapsim.wheel.suspicion import expected, is_stream

Row = dict[str, Any]


def sources_table(
    scene: Scene, opinions: Opinions, model: Candidate, state: np.ndarray, suspects: Sequence[Row]
) -> list[Row]:
    """One row a source, the recipe's first; state int8[N]: where each row stands (STATES).

    Each: name; lines = fresh rows + unread, which stand in exactly one place; refused and unread by reason;
    made: rows by people, machines, or nobody knows; answers to questions, and questions that nobody could
    tell; noise: the share of its labels that looks wrong beside the others; new: how far labels of classes
    that no other source has agree with one another; checked: what people said of its rows that were set
    aside; points that training with it gives; paid: what each file cost, and its
    accepted rows; costs, and what an accepted record cost, in minor units by
    currency. None = cannot tell.
    """
    stock, ledger = scene.stock, scene.project.ledger
    of = np.array([stock.origins[int(n)].source for n in stock.origin], object)
    names = list(dict.fromkeys([*scene.recipe.sources, *of.tolist()]))
    at = np.flatnonzero(_read_rows(scene, model))
    said = held_out(model.model, model.oof, stock, at)
    noise = noise_of(stock, at, of, said, model)
    new = new_classes(stock, at, of, said, model)
    checked = _checked(scene, of, opinions)
    paid = costs_by_source(ledger, names)
    table = []
    for name in names:
        mine = of == name
        row = {"name": name, **_counts(scene, opinions, mine, state), **_unread(scene, name)}
        row["lines"] = int(mine.sum()) + sum(row["unread"].values())
        row |= {"noise": noise.get(name), "new": new.get(name), "checked": checked.get(name)}
        row |= {"points": _points(stock, name, suspects), "paid": _paid(scene, name, state)}
        table.append(row | _costs(paid.get(name, {}), row))
    if None in paid:  # so that what was paid adds up
        table.append({"name": None, **_costs(paid[None], None)})
    return table


def _read_rows(scene: Scene, model: Candidate) -> np.ndarray:
    """bool[N]: labels that can be held against the model: what it ate, and what was set aside."""
    stock = scene.stock
    aside = [n for origins in set_aside(scene.project.ledger, stock.states).values() for n in origins]
    among = model.rows | np.isin(stock.origin, aside)
    return np.asarray(stock.labelled & among & ~scene.exam & ~scene.superseded)


def _counts(scene: Scene, opinions: Opinions, mine: np.ndarray, state: np.ndarray) -> Row:
    stock = scene.stock
    refused = mine & (state == REFUSED)
    reasons = opinions.reasons(refused)
    late = int(refused.sum()) - sum(reasons.values())  # machine-made, by this turn's verdict
    reasons |= {"turn_refused": reasons.get("turn_refused", 0) + late} if late else {}
    people, machine = mine & stock.by_people, mine & stock.by_machine
    asked = stock.of_origins(lambda _, origin: origin.method.startswith(ASKED))
    return {
        **{name: int((mine & (state == code)).sum()) for code, name in enumerate(STATES) if code != REFUSED},
        "refused": reasons,
        "made": {
            "people": int(people.sum()),
            "machine": int(machine.sum()),
            "unknown": int((mine & ~people & ~machine).sum()),
        },
        "rights": _by_rights(stock, mine),
        "answers": int((mine & asked).sum()),
    }


def _by_rights(stock: Stock, mine: np.ndarray) -> dict[str, int]:
    rows = np.bincount(stock.origin[mine], minlength=1)
    found: dict[str, int] = {}
    for number in np.flatnonzero(rows).tolist():
        rights = stock.origins[number].rights
        found[rights] = found.get(rights, 0) + int(rows[number])
    return found


def _unread(scene: Scene, name: str) -> Row:
    ledger = scene.project.ledger
    query = "select reason, count(*) lines from unread where source=? group by reason order by reason"
    unread = {str(r["reason"]): int(r["lines"]) for r in ledger.rows(query, name)}
    met = ledger.row("select fresh, again from batch where turn=? and source=?", scene.turn.n, name)
    return {"unread": unread, "fresh": met["fresh"] if met else 0, "again": met["again"] if met else 0}


def _paid(scene: Scene, name: str, state: np.ndarray) -> list[Row]:
    """What each file of a source cost, and how many of its rows were accepted."""
    stock, found = scene.stock, []
    for path, minor, currency in paid_files(scene.project.ledger):
        rows = stock.of_origins(
            lambda _, o, path=path: (
                o.source == name
                and o.batch is not None
                and (o.batch == path or o.batch.startswith(f"{path}/"))
            )
        )
        if rows.any():
            accepted = int((rows & np.isin(state, [EXAM, TRAINED])).sum())
            money = {"minor": minor, "currency": currency}
            found.append({"file": path, "rows": int(rows.sum()), "accepted": accepted, **money})
    return found


def bought(row: Row, currency: str, otherwise: int) -> int:
    """How many rows were bought by what was paid for a source in a currency: accepted ones of the files that
    cost anything, else those that are counted `otherwise`.
    """
    files = [one["accepted"] for one in row.get("paid", ()) if one["currency"] == currency]
    return sum(files) if files else otherwise


def _costs(costs: Costs, row: Row | None) -> Row:
    each: dict[str, float] = {}
    for currency, minor in costs.items():
        accepted = 0 if row is None else bought(row, currency, row["trained"] + row["exam"])
        each |= {currency: minor / accepted} if accepted else {}
    return {"costs": costs, "cost_per_accepted": each}


# --------------------------------------------------------------------------- what its labels are worth


def noise_of(stock: Stock, at: np.ndarray, of: np.ndarray, said: Heard, model: Candidate) -> dict[str, Row]:
    """The share of labels that looks wrong, by source, beyond what is usual in the others; it takes two.

    Of streams of corrections that tell of errors only, given that there was one: see `suspicion.expected`.
    Labels of classes that only one source has are left out: see `new_classes`.
    """
    own, classes = model.rows[at], said.answer == "class"
    them = Opponent(name=model.version, fingerprint=model.fingerprint, respond=model.model, oof=model.oof)
    probs, label, _ = expected(stock, at, _by_stream(stock, at), said, them)
    if classes:
        shared = [name for name, sources in _sources_of(stock, at[own], of).items() if len(sources) > 1]
        label = np.where(np.isin(stock.labels[at].astype(str), shared), label, -1)
    judged = residuals(of[at].astype(str), probs, label, own, proven=False, among=(), classes=classes)
    told = {name: one for name, one in judged.items() if not np.isnan(one.noise)}
    return {name: _share(one) for name, one in told.items()} if len(told) > 1 else {}


def _by_stream(stock: Stock, rows: np.ndarray) -> np.ndarray:
    """str[n]: the stream of corrections that each row is of, else its source; "" of what was set aside."""
    name = {n: o.batch if is_stream(o.batch) else o.source for n, o in stock.origins.items()}
    name |= {n: "" for n in name if stock.states[n] == "refused"}
    return np.array([name[n] for n in stock.origin[rows].tolist()], str)


def _sources_of(stock: Stock, rows: np.ndarray, of: np.ndarray) -> dict[str, set[str]]:
    """Which sources have rows of each class."""
    found: dict[str, set[str]] = {}
    for label, source in zip(stock.labels[rows], of[rows], strict=True):
        found.setdefault(str(label), set()).add(source)
    return found


def _share(one: Delivery) -> Row:
    """A share that chance took below 0 is 0, and may be as much as its error allows."""
    half = (one.high - one.low) / 2
    share = min(max(one.noise, 0.0), 1.0)
    return {"share": share, "low": max(share - half, 0.0), "high": min(share + half, 1.0), "rows": one.rows}


def new_classes(
    stock: Stock, at: np.ndarray, of: np.ndarray, said: Heard, model: Candidate
) -> dict[str, Row]:
    """How often the model, out of fold, says what the label says: rows of classes of one source alone.

    There is nobody to hold them against, so only agreement among themselves can be told.
    """
    eaten = model.rows[at]
    rows = at[eaten]
    known = _sources_of(stock, rows, of)
    if said.answer != "class" or len({source for sources in known.values() for source in sources}) < 2:
        return {}
    alone = np.array([len(known[str(label)]) == 1 for label in stock.labels[rows]], bool)
    right = np.array([a == b for a, b in zip(stock.labels[rows], said.prediction[eaten], strict=True)], bool)
    found = {}
    for name in dict.fromkeys(of[rows[alone]].tolist()):
        mine = alone & (of[rows] == name)
        if mine.sum() >= FEWEST:
            classes = len(set(stock.labels[rows[mine]].tolist()))
            found[name] = _agreement(int(right[mine].sum()), int(mine.sum())) | {"classes": classes}
    return found


def _agreement(agree: int, rows: int) -> Row:
    low, high = wilson(agree, rows)
    return {"agree": agree, "rows": rows, "share": agree / rows, "low": low, "high": high}


def _checked(scene: Scene, of: np.ndarray, opinions: Opinions) -> dict[str, Row]:
    """What people answered about the sample of rows that were set aside, by source."""
    stock = scene.stock
    aside = set_aside(scene.project.ledger, stock.states)
    sample = np.zeros(len(stock), bool)
    for rows in to_check(stock, aside, np.zeros(len(stock), bool)).values():
        sample[rows] = True
    said = agreed(stock, sample, opinions.settled.unfit | opinions.settled.conflicting)
    found: dict[str, list[bool]] = {}
    for row, same in said.items():
        found.setdefault(str(of[row]), []).append(same)
    return {name: _agreement(sum(same), len(same)) for name, same in found.items()}


def _points(stock: Stock, name: str, suspects: Sequence[Mapping[str, Any]]) -> Row | None:
    """What the retrain of a suspect delivery said of its source, where it was the only one."""
    for one in suspects:
        if one["points"] is not None and {stock.origins[n].source for n in one["origins"]} == {name}:
            return dict(one["points"]) | {"delivery": one["name"]}
    return None
