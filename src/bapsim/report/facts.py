"""The facts of one turn, from the ledger alone: report.json, and what every page and sentence is made of."""

from __future__ import annotations

import json
from typing import Any

from bapsim.core.errors import InputError
from bapsim.store.ledger import Ledger
from bapsim.store.project import Project
from bapsim.wheel.audit import chain_at
from bapsim.wheel.costs import costs_of_turn
from bapsim.wheel.pay_costs import kept_costs
from bapsim.wheel.tainting import told_withdrawals
from bapsim.wheel.worth import told_worth

WEIGHED = (
    *("verdict", "reason", "values", "gain", "low", "high", "p_better", "p_worse", "test"),
    *("discordance", "items", "detectable", "missing"),
)
SUMMED = (
    *("candidate", "opponent", "looked", "provisional", "screen", "suspects", "questions"),
    *("fits", "train_rows", "classes", "asked", "notice", "task"),
)

DRAWN = ("verdict", "reason", "gain", "low", "high", "oof_accuracy", "oof_rows", "train_rows")


def facts(project: Project, n: int | None = None) -> dict[str, Any]:
    """Turn n (default: the last one that ended) as plain values; the same whenever it is asked for.

    Raises InputError where that turn has not ended.
    """
    ledger = project.ledger
    turn = _turn(ledger, n)
    said: dict[str, Any] = json.loads(turn["decision"])
    number = int(turn["n"])
    serves = _serves(ledger, said, number)
    return {
        "project": project.root.resolve().name,
        "turn": number,
        "ended": turn["ended"],
        "seconds": turn["seconds"],
        "answer": said.get("answer", "class"),
        "decision": {name: said[name] for name in WEIGHED},
        "serves": serves,
        "back_to": said.get("back_to"),
        "stained": said.get("stained"),
        **{name: said[name] for name in SUMMED},
        "exam": said["wear"],
        "accounts": said["accounts"],
        "fresh": said["fresh"],
        "sources": _sources(ledger, said, number),
        "market": said.get("market", []),
        "duel": said.get("duel"),
        "rules": said.get("rules", []),
        "gaps": said.get("gaps", []),
        "raters": said.get("raters", {}),
        "fused": said.get("fused"),
        "fused_turns": _fused(ledger, number),
        "refused": _sorted(said["reasons"]),
        "unread": _unread(ledger, number),
        "curve": curve(ledger, number),
        **{name: said[name] for name in ("forecast", "proposal") if name in said},  # older turns have none
        **({"people": paid} if (paid := kept_costs(ledger, number)) is not None else {}),
        **{name: said[name] for name in ("verifiers", "vouchers", "budget") if name in said},
        **({"quarantines": said["quarantines"]} if "quarantines" in said else {}),
        **({"withdrawn": gone} if (gone := told_withdrawals(ledger, number)) is not None else {}),
        "recipe": turn["recipe"],
        "chain": chain_at(ledger, number),
    }


def turns(ledger: Ledger) -> list[int]:
    """The numbers of all turns that ended."""
    return [int(row["n"]) for row in ledger.rows("select n from turn where state='done' order by n")]


def _turn(ledger: Ledger, n: int | None) -> dict[str, Any]:
    ended = turns(ledger)
    if not ended:
        raise InputError("no_turn_ended")
    if n is not None and n not in ended:
        raise InputError("unknown_turn", turn=n, known=", ".join(map(str, ended)))
    return ledger.rows("select * from turn where n=?", ended[-1] if n is None else n)[0]


def _serves(ledger: Ledger, said: dict[str, Any], n: int) -> dict[str, Any] | None:
    """What served when the turn ended: its own model, or the one that did before."""
    version = said["serves"]
    new = version is not None
    if not new:
        before = (
            "select version from used where turn < ? or turn = ? and reason = 'duel' order by n desc limit 1"
        )
        version = said.get("back_to") or ledger.value(before, n, n)
    if version is None:
        return None
    row = ledger.row("select fingerprint, data from model where version=?", version) or {}
    state = "proven" if said["verdict"] == "accept" else "provisional"
    return {"version": version, "new": new, "state": state if new else None, **row}


def _sources(ledger: Ledger, said: dict[str, Any], n: int) -> list[dict[str, Any]]:
    """What each source gave and cost, with what was asked about its worth since."""
    worth = {one["source"]: one for one in told_worth(ledger, n)}
    people = {one["name"]: one for one in (kept_costs(ledger, n) or {"sources": []})["sources"] if one["ms"]}
    found = []
    for row in said.get("sources", []):  # turns of earlier versions have none
        asked, paid = worth.get(row["name"]), people.get(row["name"])
        more = {} if paid is None else _paid(paid)
        found.append(row | more | ({} if asked is None else {"points": asked}))
    return found


def _paid(one: dict[str, Any]) -> dict[str, Any]:
    """The costs of a source with what people have coming for it."""
    each = {currency: cost["each"] for currency, cost in one["accepted"].items() if cost["each"] is not None}
    return {"costs": one["owed"], "cost_per_accepted": each}


def _fused(ledger: Ledger, n: int) -> list[dict[str, Any]]:
    """What became of machine-made rows in each turn up to n that had any."""
    rows = ledger.rows("select n, decision from turn where state='done' and n<=? order by n", n)
    told = [(row["n"], json.loads(row["decision"]).get("fused")) for row in rows]
    return [{"turn": turn, **said} for turn, said in told if said is not None]


def _sorted(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _unread(ledger: Ledger, n: int) -> dict[str, int]:
    query = "select reason, count(*) lines from unread where turn <= ? group by reason"
    return _sorted({row["reason"]: int(row["lines"]) for row in ledger.rows(query, n)})


def curve(ledger: Ledger, n: int) -> list[dict[str, Any]]:
    """Each turn up to n: verdict, accuracy out of fold on people's rows (how many), rows trained on, costs.

    oof_error: of numbers, the mean absolute error in place of the accuracy; oof_low, oof_high: the 95 % of
    either; unit: that of the gain.
    """
    found = []
    for row in ledger.rows("select n, decision from turn where state='done' and n <= ? order by n", n):
        said = json.loads(row["decision"])
        more = {"unit": said["values"].get("unit", "points"), "oof_error": said.get("oof_error")}
        more |= {"costs": costs_of_turn(ledger, row["n"])}
        more |= {name: said.get(name) for name in ("oof_low", "oof_high")}
        found.append({"turn": row["n"], **{name: said[name] for name in DRAWN}, **more})
    return found


def serving(ledger: Ledger) -> dict[str, Any] | None:
    """The version that serves now, and why."""
    return ledger.row("select version, reason, turn from used order by n desc limit 1")
