"""A turn's proposal as a change of recipe.py: the diff, and taking it over, whole or not at all."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bapsim.core.errors import InputError, RecipeError, text
from bapsim.core.fingerprint import digest, forget
from bapsim.core.recipe import Recipe
from bapsim.core.records import Task
from bapsim.store import fault
from bapsim.store.artifacts import import_file
from bapsim.store.project import Project
from bapsim.text.pii import scrub
from bapsim.wheel.founding import quoted
from bapsim.wheel.rewriting import diff, read_recipe, rewritten
from bapsim.wheel.stock import load_stock

RECIPE, BEFORE, DIFF = "recipe.py", "recipe.before.py", "recipe.diff"
STUB = "guideline"  # the change that a person has to write
LONGEST = 60  # characters of an example in a rule
EXAMPLES = 2

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """What a turn would change: the changes, which of them found their place, the texts and their diff.

    old, new: bytes of recipe.py; without a recipe that is as it was when the turn ended both are empty. The
    diff has stubs of rules, too; new has none, for a stub is no rule until somebody has written it.
    """

    turn: int
    changes: tuple[Mapping[str, Any], ...]
    placed: tuple[bool, ...] = ()
    old: bytes = b""
    new: bytes = b""
    diff: str = ""


def recipe_digest(root: Path) -> str | None:
    """The identity of the recipe's file as it is now; None where there is none."""
    path = root / RECIPE
    return digest(path.read_bytes()) if path.is_file() else None


def folder(project: Project, n: int) -> Path:
    """Where the report of turn n lies."""
    return project.root / "reports" / f"turn-{n:03d}"


def proposed(project: Project, n: int) -> Proposed | None:
    """The proposal of a turn that ended, against the recipe that it was made for; None of older versions."""
    said = json.loads(project.ledger.value("select decision from turn where n=?", n) or "{}")
    proposal = said.get("proposal")
    if proposal is None:
        return None
    changes = tuple(proposal["changes"])
    old = _as_it_was(project, n, proposal["recipe"])
    if old is None or not changes:
        return Proposed(turn=n, changes=changes)
    try:
        body, encoding = read_recipe(old)
    except (SyntaxError, UnicodeDecodeError):
        return Proposed(turn=n, changes=changes, placed=(False,) * len(changes))
    known = said["task"]
    task = Task(
        input=tuple(known["inputs"]), target=known["target"], kind=known["kind"], answer=known["answer"]
    )
    texts = resolved(project, task, changes, _language(body))
    after, placed = rewritten(body, texts)
    taken, _ = rewritten(body, [one for one in texts if one["what"] != STUB])
    try:
        after.encode(encoding)
        new = taken.encode(encoding)
    except UnicodeEncodeError:  # a label that the file's encoding does not have
        return Proposed(turn=n, changes=changes, placed=(False,) * len(changes))
    return Proposed(turn=n, changes=changes, placed=tuple(placed), old=old, new=new, diff=diff(body, after))


def _language(body: str) -> str:
    """The language of a recipe's comments: columns and labels may have names in another one."""
    comments = [line.partition("#")[2] for line in body.splitlines() if line.lstrip().startswith("#")]
    return "ko" if 2 * sum(bool(re.search("[가-힣]", one)) for one in comments) > len(comments) else "en"


def _as_it_was(project: Project, n: int, name: str | None) -> bytes | None:
    """The recipe's file of that digest: as it is now, or as it was kept when a proposal was taken over."""
    for path in (project.root / RECIPE, folder(project, n) / BEFORE):
        if path.is_file() and digest(path.read_bytes()) == name:
            return path.read_bytes()
    return None


def resolved(project: Project, task: Task, changes: Sequence[Mapping[str, Any]], lang: str) -> list[Row]:
    """Changes as `wheel.rewriting` takes them: with source texts, and examples from the records."""
    ids = [one for change in changes for one in change.get("ids", ())]
    records = _shown(project, task, ids) if ids else {}
    found = []
    for change in changes:
        items = {}
        if change["what"] == "weights":
            items = {quoted(change["source"]): change["value"]}
        elif change["what"] == "merged":
            items = {quoted(change["pair"][0]): quoted(change["pair"][1])}
        elif change["what"] == "guideline":
            first, second = change["pair"]
            some = [records[one] for one in change["ids"] if one in records][:EXAMPLES]
            told = "; ".join(text("arrow.rule.example", lang, text=said, label=label) for said, label in some)
            rule = text("arrow.rule", lang, second=second, examples=told or "–")
            items = {quoted(first): quoted(rule)}
        found.append({**change, "items": items})
    return found


def _shown(project: Project, task: Task, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """What records that are still there say, on one line, and their labels."""
    stock = load_stock(project, task)
    found = {}
    for one in dict.fromkeys(ids):
        at = stock.place.get(bytes.fromhex(one))
        if at is not None:
            said = " ".join((scrub([stock.told[at]])[0][0] or "").split())
            said = said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"
            found[one] = (said, str(stock.labels[at]))
    return found


def write_diff(project: Project, said: Proposed) -> Path | None:
    """The diff beside the turn's report, if there is one; returns its path."""
    path = folder(project, said.turn) / DIFF
    if said.diff:
        fault.write(path, said.diff.encode("utf-8", "surrogatepass"))
    return path if path.exists() else None


def take_over(project: Project) -> Row:
    """Change recipe.py as the last turn proposed; the old one is kept beside that turn's report.

    turn, changed (False = it was taken over before), backup, changes: those made; left: those that did not
    find their place; to_write: classes whose rules a person has to write. Killed at any moment, recipe.py is
    the old one or the new one. Raises InputError where nothing is proposed but rules to write, nothing finds
    its place, or recipe.py was changed since; RecipeError where the new one would not load.
    """
    n = project.ledger.value("select max(n) from turn where state='done'")
    said = None if n is None else proposed(project, int(n))
    if said is None or not said.changes:
        raise InputError("nothing_proposed")
    path = (project.root / RECIPE).resolve()
    if not said.old:
        raise InputError("recipe_changed", path=str(path), diff=str(folder(project, said.turn) / DIFF))
    pairs = list(zip(said.changes, said.placed, strict=True))
    to_write = [str(c["pair"][0]) for c, there in pairs if there and c["what"] == STUB]
    if said.new == said.old:
        diff = str(folder(project, said.turn) / DIFF)
        if not to_write:
            raise InputError("proposal_unplaced", path=str(path))
        raise InputError("rules_to_write", path=str(path), labels=", ".join(to_write), diff=diff)
    backup = folder(project, said.turn) / BEFORE
    told = {
        "turn": said.turn,
        "backup": str(backup),
        "changes": [c["what"] for c, there in pairs if there and c["what"] != STUB],
        "left": [c["what"] for c, there in pairs if not there],
        "to_write": to_write,
    }
    now = path.read_bytes()
    if now == said.new:
        return told | {"changed": False}
    if now != said.old:
        raise InputError("recipe_changed", path=str(path), diff=str(folder(project, said.turn) / DIFF))
    loads(path, said.new)
    fault.write(backup, said.old)
    fault.write(path, said.new)
    sys.modules.pop(path.stem, None)  # for whoever runs the next turn in this very process
    forget()
    return told | {"changed": True}


def loads(path: Path, body: bytes) -> None:
    """Raises RecipeError unless the new recipe is one: tried beside the old one, for what it imports."""
    trial = path.with_name("_proposed_recipe.py")
    try:
        trial.write_bytes(body)
        fine = isinstance(getattr(import_file(trial), "recipe", None), Recipe)
    except Exception as error:
        raise RecipeError("proposal_breaks", path=str(path), why=str(error)) from error
    finally:
        trial.unlink(missing_ok=True)
        sys.modules.pop(trial.stem, None)
    if not fine:
        raise RecipeError("proposal_breaks", path=str(path), why="-")
