"""Quarantine: what somebody found to be bad, and all that was made of it, is not trained on until released.

Nothing is erased (that is `withdraw`): the rows stay, with the verdict `quarantined`, and the ledger knows
who said so, when and why. What a name covers is worked out anew each time, so that rows which come later, and
what is made of them, are in it too.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from bapsim.core.errors import InputError
from bapsim.core.records import Verdicts, verdicts
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project
from bapsim.wheel.stock import Stock

NAME, REASON = "quarantine", "quarantined"  # the verdict, and its reason
STAGE, RELEASED = "quarantine", "quarantine released"
LEAST = 8  # hex digits by which a record may be named
Kind = Literal["record", "source", "generator", "batch"]


@dataclass(frozen=True, kw_only=True)
class Quarantine:
    """One entry that holds: its number, what it names (the whole id of a record) and as what, who said so,
    why and when.

    A name may be that of a source and of a generator at once: then it is both. batch: a file, a delivery, or
    the version of a generator.
    """

    number: int
    name: str
    kinds: tuple[Kind, ...]
    source: str | None = None  # of a batch that is named with its source
    by: str
    reason: str
    at: str = ""


def holding(ledger: Ledger) -> list[Quarantine]:
    """The entries that hold, the oldest first."""
    over = {
        int(json.loads(row["output"])["number"])
        for row in ledger.rows("select output from stage where name=?", RELEASED)
    }
    found = []
    for row in ledger.rows("select key, output from stage where name=? order by rowid", STAGE):
        said = json.loads(row["output"])
        if said["number"] not in over:
            query = "select at from event where kind='stage' and subject=?"
            at = str(ledger.value(query, json.dumps([row["key"]])))
            found.append(Quarantine(**{**said, "kinds": tuple(said["kinds"])}, at=at))
    return found


def named(ledger: Ledger, stock: Stock, one: Quarantine) -> np.ndarray:
    """bool[N]: the rows that an entry names, without what was made of them."""
    if one.kinds == ("record",):
        return stock.rows_with({bytes.fromhex(one.name)})
    batches = {one.name} if "batch" in one.kinds else set[str]()
    if "generator" in one.kinds:
        batches |= {str(r["version"]) for r in ledger.rows("select * from generator where name=?", one.name)}
    whole = "source" in one.kinds

    def covered(origin: Any) -> bool:
        mine = one.source in (None, origin.source)
        return bool((whole and origin.source == one.name) or (origin.batch in batches and mine))

    return stock.of_origins(lambda _, origin: covered(origin))


def quarantined(ledger: Ledger, stock: Stock) -> np.ndarray:
    """bool[N]: rows that some entry names, and all that was made of them."""
    rows = np.zeros(len(stock), bool)
    for one in holding(ledger):
        rows |= named(ledger, stock, one)
    return stock.with_descendants(rows)


def by_quarantine(rows: np.ndarray) -> Verdicts:
    """A no for these rows (bool[N]); of others nothing is said."""
    said = verdicts(~rows, REASON)
    keep = pa.array(np.zeros(len(rows), bool), mask=~rows)
    return Verdicts(said.set_column(said.schema.get_field_index("keep"), "keep", keep))


def about(project: Project, stock: Stock, row: int) -> list[dict[str, Any]]:
    """The entries that a row stands under, and whether it is named itself."""
    found = []
    for one in holding(project.ledger):
        mine = named(project.ledger, stock, one)
        if stock.with_descendants(mine)[row]:
            found.append(asdict(one) | {"kinds": list(one.kinds), "itself": bool(mine[row])})
    return found


def told_quarantines(ledger: Ledger, stock: Stock) -> list[dict[str, Any]]:
    """Each entry that holds, with how many rows it names, and how many were made of these."""
    found = []
    for one in holding(ledger):
        mine = named(ledger, stock, one)
        made = int(stock.with_descendants(mine).sum()) - int(mine.sum())
        said = {k: v for k, v in asdict(one).items() if k != "at"} | {"kinds": list(one.kinds)}
        found.append(said | {"rows": int(mine.sum()), "made": made})
    return found


def resolved(ledger: Ledger, stock: Stock, said: str) -> dict[str, Any]:
    """What somebody means: a source, a generator or a version of it, a batch (`SOURCE/BATCH` where several
    sources have one of that name), or a record by its id or the beginning of it.

    Raises InputError where it is nothing, or more than one record.
    """
    wanted = said.strip()
    origins = list(stock.origins.values())
    makers = ledger.rows("select name, version from generator")
    kinds: list[Kind] = []
    if any(origin.source == wanted for origin in origins):
        kinds.append("source")
    if any(row["name"] == wanted for row in makers):
        kinds.append("generator")
    if any(row["version"] == wanted for row in makers) or any(o.batch == wanted for o in origins):
        kinds.append("batch")
    if kinds:
        return {"name": wanted, "kinds": kinds, "source": None}
    for origin in origins:
        if origin.batch is not None and wanted == f"{origin.source}/{origin.batch}":
            return {"name": origin.batch, "kinds": ["batch"], "source": origin.source}
    digits = wanted.lower().removeprefix("q")
    hits = [one for one in stock.place if one.hex().startswith(digits)] if len(digits) >= LEAST else []
    if len(hits) == 1:
        return {"name": hits[0].hex(), "kinds": ["record"], "source": None}
    if hits:
        raise InputError("record_not_found", said=said, hits=len(hits))
    known = sorted({origin.source for origin in origins} | {str(row["version"]) for row in makers})
    raise InputError("nothing_to_quarantine", said=said, known=", ".join(known) or "-")


def meant(ledger: Ledger, said: str) -> Quarantine | None:
    """The entry that is called so, whole or by the first digits of its record; None: there is none."""
    wanted = said.strip()
    every = holding(ledger)
    exact = [one for one in every if wanted in (one.name, f"{one.source}/{one.name}")]
    digits = wanted.lower().removeprefix("q")
    begun = [one for one in every if one.kinds == ("record",) and one.name.startswith(digits)]
    found = exact or (begun if len(digits) >= LEAST else [])
    return found[0] if len(found) == 1 else None
