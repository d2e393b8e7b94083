"""What a turn says and leaves behind: its summary, and the one transaction that makes it done."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from bapsim.core.arrow import numbers
from bapsim.core.records import Scores
from bapsim.judge.compare import NORMAL, wilson
from bapsim.judge.exam import accuracy, mean_absolute_error, of_numbers, right
from bapsim.store import artifacts
from bapsim.store.ledger import now
from bapsim.store.project import Project
from bapsim.wheel.admitting import words
from bapsim.wheel.applying import recipe_digest
from bapsim.wheel.asking import ask_next, expire_and_answer
from bapsim.wheel.candidates import NAME, Candidate
from bapsim.wheel.doubting import doubted, new_rules
from bapsim.wheel.dueling import begun, open_duel
from bapsim.wheel.forecasting import next_turn
from bapsim.wheel.gapping import gaps
from bapsim.wheel.held_out import as_scores, held_out
from bapsim.wheel.judging import Judged, Opponent, random_rows
from bapsim.wheel.noticing import SHOWN, notice
from bapsim.wheel.proposing import proposals
from bapsim.wheel.rating import raters_table
from bapsim.wheel.refining import Opinions
from bapsim.wheel.ruling import rules_table
from bapsim.wheel.served import market
from bapsim.wheel.sources import sources_table
from bapsim.wheel.stock import REFUSED, Scene, accounts, standing
from bapsim.wheel.tainting import newest_clean, stained
from bapsim.wheel.vouching import as_values

Say = Callable[..., None]


def summarise(
    scene: Scene,
    opinions: Opinions,
    judged: Judged,
    opponent: Opponent,
    fresh: dict[str, int],
    suspects: list[dict[str, Any]],
) -> dict[str, Any]:
    """The turn as plain values: what the ledger keeps and every report is made of."""
    people = judged.screened[0]
    stood = standing(scene.stock, scene.exam, scene.refused, scene.superseded)
    rows = np.flatnonzero(random_rows(scene) & people.candidate.rows)
    said = held_out(people.candidate.model, people.candidate.oof, scene.stock, rows)
    told = as_scores(said, scene.stock, rows, scene.groups[rows])
    decision = asdict(judged.decision)
    looked = judged.looked or people.candidate
    heard = words(scene.recipe, scene.stock, opinions.named)
    return {
        "turn": scene.turn.n,
        **decision,
        "values": dict(decision["values"]),
        "candidate": looked.version,
        "looked": judged.looked is not None,
        "opponent": opponent.name,
        "serves": None if judged.serves is None else judged.serves.version,
        "back_to": back_to(scene, judged),
        "stained": stained(scene.project.ledger),
        "provisional": None if judged.provisional is None else _plain(asdict(judged.provisional)),
        "screen": [
            {"candidate": s.candidate.version, "z": _finite(s.z), "rows": s.rows, "look": s.look}
            for s in judged.screened
        ],
        "wear": asdict(judged.wear) | {"level": judged.level},
        "fits": sum(s.candidate.fits for s in judged.screened) + (judged.serves is not None),
        "train_rows": int(looked.rows.sum()),
        "answer": scene.stock.task.answer,
        **_held_out(told, len(rows)),
        "fresh": fresh,
        "reasons": opinions.reasons(stood == REFUSED),
        "suspects": [_plain(one) for one in suspects],
        "classes": len(looked.model.classes),
        "gaps": gaps(scene, people.candidate, opponent),
        **({"verifiers": as_values(opinions.audits)} if opinions.audits else {}),
        **({} if heard is None else {"vouchers": heard}),
    }


def _held_out(told: Scores, rows: int) -> dict[str, Any]:
    """What a candidate gets right of `rows` held-out rows, or how far off its numbers are, with 95 %."""
    if not of_numbers(told):
        low, high = wilson(int(right(told).sum()), rows) if rows else (None, None)
        return {"oof_accuracy": _finite(accuracy(told)), "oof_error": None, "oof_rows": rows} | {
            "oof_low": low,
            "oof_high": high,
        }
    mean, off = -mean_absolute_error(told), numbers(told.column("loss"))
    half = NORMAL.inv_cdf(0.975) * float(off.std(ddof=1)) / rows**0.5 if rows > 1 else float("nan")
    ends = {"oof_low": _finite(mean - half), "oof_high": _finite(mean + half)}
    return {"oof_accuracy": None, "oof_error": _finite(mean), "oof_rows": rows} | ends


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values that JSON can hold: no infinities, no nan."""
    return {k: _finite(v) if isinstance(v, float) else v for k, v in values.items()}


def finish(
    scene: Scene, opinions: Opinions, judged: Judged, summary: dict[str, Any], started: float, say: Say
) -> dict[str, Any]:
    """One transaction makes the turn: states, what serves, questions, accounts, decision."""
    project, ledger, n = scene.project, scene.project.ledger, scene.turn.n
    before = {r["n"]: r["state"] for r in ledger.rows("select n, state from origin")}
    states = dict(scene.stock.states)
    _settle(scene, judged, states)
    stock = replace(scene.stock, states=states, proven=_proven(scene, judged))
    refused = scene.refused | stock.refused_deliveries
    newest = judged.serves or judged.screened[0].candidate
    found = doubted(scene, newest)
    asked, drawn = ask_next(scene, judged, found, summary["gaps"], say)
    stood = standing(stock, scene.exam, refused & ~scene.exam, scene.superseded)
    counts = accounts(ledger, stood)
    late = counts["refused"] - sum(summary["reasons"].values())  # machine-made, by this turn's verdict
    if late:
        summary["reasons"] = summary["reasons"] | {"turn_refused": late}
    people = judged.screened[0].candidate
    summary["sources"] = sources_table(scene, opinions, people, stood, summary["suspects"])
    summary |= {"accounts": counts, "questions": len(asked), "asked": by_reason(asked)}
    task = scene.recipe.task
    summary |= {
        "task": {"inputs": list(task.inputs), "target": task.target, "kind": task.kind, "answer": task.answer}
    }
    summary |= {"notice": notice(scene, newest, found), "market": market(stock)}
    summary |= {"rules": rules_table(scene), "raters": raters_table(scene)}
    say("forecast")
    summary["forecast"] = next_turn(scene, people, random_rows(scene), asked, summary)
    changes = proposals(scene, opinions, judged, people, summary)
    summary["proposal"] = {"changes": changes, "recipe": recipe_digest(project.root)}
    with ledger.change("turn done"):
        for number, value in states.items():
            if value != before[number]:
                ledger.amend("origin", {"n": number}, state=value)
        _release(scene, judged)
        expire_and_answer(scene, asked)
        begun(scene, drawn, asked)
        for label, rule in list(new_rules(ledger, scene.recipe)):
            ledger.add("guideline", label=label, turn=n, rule=rule)
        body = json.dumps(summary, ensure_ascii=False, sort_keys=True)
        ledger.amend(
            "turn",
            {"n": n},
            state="done",
            decision=body,
            accounts=json.dumps(counts),
            ended=now(),
            seconds=time.perf_counter() - started,
        )
    tidy(project)
    say("done", verdict=summary["verdict"])
    return summary


def by_reason(asked: list[dict[str, Any]]) -> dict[str, Any]:
    """How many questions are asked for each reason, and the first few of them by id."""
    found: dict[str, Any] = {}
    for one in asked:
        mine = found.setdefault(one["why"], {"count": 0, "ids": []})
        mine["count"] += 1
        mine["ids"] += [one["_id"].hex()] if len(mine["ids"]) < SHOWN else []
    return found


def _settle(scene: Scene, judged: Judged, states: dict[int, str]) -> None:
    """Machine-made deliveries share the fate of the model that ate them."""
    if judged.looked is None or judged.looked.people_only or judged.decision.verdict == "undecided":
        return
    fate = "released" if judged.decision.verdict == "accept" else "refused"
    for number in set(scene.stock.origin[judged.looked.rows & scene.stock.by_machine].tolist()):
        if states[number] == "pending":
            states[number] = fate


def _proven(scene: Scene, judged: Judged) -> np.ndarray | None:
    """bool[N]: rows that a proven model ate, this turn's too; None where machines made none of them."""
    before = scene.stock.proven
    if judged.looked is None or judged.looked.people_only or judged.decision.verdict != "accept":
        return before
    return judged.looked.rows if before is None else before | judged.looked.rows


def _release(scene: Scene, judged: Judged) -> None:
    """Release states of models; older candidates and refused ones shrink to their fingerprints."""
    ledger = scene.project.ledger
    for one in {s.candidate.version: s.candidate for s in judged.screened}.values():
        row = ledger.row("select state from model where version=?", one.version)
        if row is not None and row["state"] != "proven":
            new = _model_state(one, judged)
            changes: dict[str, Any] = {"state": new} if new != row["state"] else {}
            if judged.serves is one:
                changes["served"] = artifacts.folder_digest(one.folder / "served")
            if new == "refused":
                changes["judged"] = None
            if changes:
                ledger.amend("model", {"version": one.version}, **changes)
    number = int(ledger.value("select coalesce(max(n), 0) from used")) + 1
    back, dirty = back_to(scene, judged), stained(ledger)
    if judged.serves is not None:
        reason = "proven" if judged.decision.verdict == "accept" else "provisional"
        ledger.add("used", n=number, version=judged.serves.version, reason=reason, turn=scene.turn.n)
    elif back is not None:
        reason = "refused" if dirty is None else "withdrawn"
        ledger.add("used", n=number, version=back, reason=reason, turn=scene.turn.n)
    query = "select version from model where state='candidate' and judged is not null and turn < ?"
    fights = open_duel(ledger)
    for row in ledger.rows(query, scene.turn.n):
        if fights is None or row["version"] != fights["second"]:
            ledger.amend("model", {"version": row["version"]}, judged=None)


def back_to(scene: Scene, judged: Judged) -> str | None:
    """What serves again where the refused candidate is what serves, or where that learnt from what was
    withdrawn and nothing takes its place: the last proven version that is clean.
    """
    ledger = scene.project.ledger
    if judged.serves is not None:
        return None
    refused = judged.looked.version if judged.decision.verdict == "refuse" and judged.looked else None
    serving = ledger.value("select version from used order by n desc limit 1")
    wanted = (refused is not None and refused == serving) or stained(ledger) is not None
    return newest_clean(ledger) if wanted else None


def _model_state(one: Candidate, judged: Judged) -> str:
    if judged.looked is one and judged.decision.verdict != "undecided":
        return "proven" if judged.decision.verdict == "accept" else "refused"
    return "provisional" if judged.serves is one else "candidate"


def tidy(project: Project) -> None:
    """Remove what no row of the ledger names any more; safe to run again.

    While a turn is open its sources and checks may still read what the turn before it refused.
    """
    ledger = project.ledger
    newest = ledger.value("select state from turn order by n desc limit 1")
    named = {r["verdicts"] for r in ledger.rows("select verdicts from shard where verdicts is not null")}
    for path in sorted((project.wheel / "verdicts").rglob("*.parquet")):
        if newest != "open" and path.relative_to(project.wheel).as_posix() not in named:
            path.unlink()
    for row in ledger.rows("select version from model where judged is null and served is null"):
        shutil.rmtree(project.models / NAME / row["version"], ignore_errors=True)
    if newest == "done":
        shutil.rmtree(project.wheel / "snapshot", ignore_errors=True)
