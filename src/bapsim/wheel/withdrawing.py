"""Withdrawal: a consent is taken back, and everything that rests on it goes, or is told.

The tombstone is written before anything else, so that nothing of it comes in again; then the keys of what was
never approved go; then the plan is worked out and kept, and each of its steps can be done again. Whoever
next holds the project's lock finishes what was begun: this verb, the service, or the next turn before it
gathers. Nothing here makes a model forget: models are marked, and their remedy is named.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bapsim.core.errors import InputError, StoreError
from bapsim.core.recipe import Recipe
from bapsim.store import fault
from bapsim.store.ledger import now
from bapsim.store.machine_tape import FILE, MachineTape
from bapsim.store.project import Project
from bapsim.store.sealing import Keys, signed
from bapsim.store.terms import (
    PEOPLE,
    Terms,
    Withdrawal,
    is_withdrawn,
    read_terms,
    stem,
    withdrawals,
    write_withdrawal,
)
from bapsim.wheel.closing import tidy
from bapsim.wheel.erasing import (
    erase_dialogues,
    erase_in_ledger,
    erase_shards,
    remove,
    settle_accounts,
    settle_inbox,
)
from bapsim.wheel.half_trained import forget, half_trained
from bapsim.wheel.pay import enter
from bapsim.wheel.pay_appeals import forget_words
from bapsim.wheel.permits import permits
from bapsim.wheel.scrub_database import rewritten
from bapsim.wheel.scrubbing import Outcome, scrubbed
from bapsim.wheel.snapshot import inventory, taken
from bapsim.wheel.state import stop
from bapsim.wheel.tainting import clean_models, delete_generators, enter_taints, find_taints
from bapsim.wheel.verifying import verified
from bapsim.wheel.withdrawal_plan import Plan, consent_files, from_disk, planned, shown_actions, written
from bapsim.wheel.withdrawal_report import Told, body_of, counted, place_of, report_of, serving

Say = Callable[..., None]
BEGUN, DONE, LEFT = "begun", "done", "left"  # left: done, but for files that nobody here can rewrite
PATIENCE = 20_000  # milliseconds for readers of the ledger to let go


def silent(step: str, **values: Any) -> None:
    """Progress that nobody watches."""


@dataclass(kw_only=True)
class _Work:
    """One withdrawal under way; journal: what was done, also by runs that were killed."""

    project: Project
    recipe: Recipe
    tombstone: Withdrawal
    journal: list[dict[str, Any]] = field(default_factory=list)

    @property
    def consent(self) -> str:
        return self.tombstone.consent

    def path(self, ending: str) -> Path:
        return self.project.wheel / "withdrawals" / f"{stem(self.consent)}.{ending}"

    def note(self, step: str, **values: Any) -> None:
        """Enter what a step did; a line that a kill cut off is left out when it is read."""
        self.journal.append({"step": step, **values})
        with self.path("journal").open("a", encoding="utf-8") as out:
            out.write(json.dumps(self.journal[-1], ensure_ascii=False) + "\n")

    def recall(self) -> None:
        path = self.path("journal")
        for line in path.read_text("utf-8").splitlines() if path.exists() else ():
            with suppress(ValueError):
                self.journal.append(json.loads(line))

    def of(self, step: str) -> list[dict[str, Any]]:
        """What was noted of a step, each thing once."""
        said = [{k: v for k, v in one.items() if k != "step"} for one in self.journal if one["step"] == step]
        return list({json.dumps(one, sort_keys=True): one for one in said}.values())


def withdraw(
    project: Project, recipe: Recipe, consent: str, by: str = "owner", say: Say = silent
) -> dict[str, Any]:
    """Take a consent back and erase what rests on it; goes on with one that was killed. Returns the report;
    of one that is done, as it was.

    Raises InputError for a consent that nobody knows, StoreError where a reader keeps the ledger from being
    written anew.
    """
    person = whose(project, recipe, consent)
    try:
        enter(project, recipe, project.inbox)  # whoever withdraws is owed for what they did until now
    finally:
        tombstone = write_withdrawal(project.inbox, consent, person, by)
    state = project.ledger.value("select state from withdrawal where consent=?", consent)
    if state == DONE and not came_again(project, recipe, consent):
        done = report_of(project, consent)
        if done is not None:
            return done
    work = _Work(project=project, recipe=recipe, tombstone=tombstone)
    _begin(work)
    work.recall()
    _keys(work)
    plan = _plan(work)
    say("erase", records=len(plan.erased))
    enter_taints(project.ledger, consent, find_taints(project, plan))
    erase_shards(project, plan)
    if count := erase_in_ledger(project, plan) + _forget_words(work):
        work.note("ledger", cells=count)
    if count := _forget_asked(project, plan):
        work.note("machines", requests=count)
    for one in clean_models(project, plan):
        work.note("model", **one)
    delete_generators(project, consent)
    for path in half_trained(work.recipe):
        work.note(
            "file", **asdict(Outcome(path=_place(project, path), how="deleted", parts=0, why="half_trained"))
        )
        forget(path)
    say("scrub")
    scrubbed(project, plan, lambda one: work.note("file", **asdict(one)))
    _settle(work, plan)
    _write_anew(project)
    say("verify")
    return _finish(work, plan)


def _place(project: Project, path: Path) -> str:
    """A path as reports say it: below the project where it lies there."""
    whole, root = path.resolve(), project.root.resolve()
    return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else str(whole)


def whose(project: Project, recipe: Recipe, consent: str) -> str:
    """Whose a consent is, by pseudonym, or "unknown"; raises InputError for one that nobody named."""
    known = _terms(project)
    if consent in known:
        return known[consent].person
    rows = project.ledger.rows("select distinct consent from descendant")
    there = {str(row["consent"]) for row in rows} | set(filter(None, map(_of, recipe.sources.values())))
    if consent not in there and not is_withdrawn(project.inbox, consent):
        names = sorted({*known, *there})
        some = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
        raise InputError("no_such_consent", consent=consent, known=some or "-")
    return "unknown"


def _terms(project: Project) -> dict[str, Terms]:
    """All terms that can be read: one that cannot must not keep anybody from withdrawing."""
    found = permits(project.ledger)
    with suppress(InputError):
        found |= read_terms(project.inbox)
    return found


def _of(source: Any) -> str | None:
    while source is not None:
        if getattr(source, "consent", None) is not None:
            return str(source.consent)
        source = getattr(source, "source", None)
    return None


# ---------------------------------------------------------------------- steps


def _begin(work: _Work) -> None:
    """The ledger knows; an open turn ends without a decision, and its copy of the inbox goes."""
    project, ledger = work.project, work.project.ledger
    work.path("plan").parent.mkdir(parents=True, exist_ok=True)
    state = ledger.value("select state from withdrawal where consent=?", work.consent)
    if state is None:
        number = int(ledger.value("select coalesce(max(n), 0) from consent")) + 1
        one = work.tombstone
        with ledger.change("withdrawal begun"):
            ledger.add("withdrawal", **vars(one), state=BEGUN, report=None, ended=None)
            ledger.add("consent", n=number, person=one.person, scope=one.consent, kind="withdrawn", at=one.at)
    elif state != BEGUN:
        with ledger.change("withdrawal begun again"):
            ledger.amend("withdrawal", {"consent": work.consent}, state=BEGUN)
    stop(project)
    tidy(project)
    shutil.rmtree(project.wheel / "snapshot", ignore_errors=True)
    fault.point("after snapshot")


def _keys(work: _Work) -> None:
    """The key of the consent goes, and the person's where nothing else of theirs stands."""
    project = work.project
    keys = Keys(project.root / "people" / "keys")
    owners = {stem(work.consent)} | ({work.tombstone.person} if _nothing_stands(work) else set())
    for owner in sorted(owners):
        with suppress(StoreError):  # what cannot be a key's name has none
            if keys.has(owner):
                work.note("key", owner=owner)
            keys.destroy(owner)
    if count := erase_dialogues(project.ledger, owners | {work.consent}):
        work.note("dialogue", answers=count)


def _nothing_stands(work: _Work) -> bool:
    """Whether this was the last consent of its person."""
    person, inbox = work.tombstone.person, work.project.inbox
    theirs = [one.consent for one in _terms(work.project).values() if one.person == person]
    return person != "unknown" and all(is_withdrawn(inbox, one) for one in theirs)


def _forget_words(work: _Work) -> int:
    """What the person said in appeals about lines of the consent, and of all where nothing else of theirs
    stands; that there were any stays, and what was decided. Returns how many.
    """
    ledger = work.project.ledger
    if ledger.value("select 1 from appeal where why <> ''") is None:
        return 0
    with ledger.change("words of appeals"):
        if _nothing_stands(work):
            return forget_words(ledger, person=work.tombstone.person)
        return forget_words(ledger, consent=stem(work.consent))


def _plan(work: _Work) -> Plan:
    path, project = work.path("plan"), work.project
    if path.exists():
        return from_disk(path.read_bytes(), project.secret)
    plan = planned(project, work.recipe, work.consent)
    fault.write(path, written(plan))
    return plan


def _settle(work: _Work, plan: Plan) -> None:
    """What the inbox holds now is no news; files that came after the withdrawal are on the record as such."""
    project, ledger = work.project, work.project.ledger
    before = ledger.value("select report from withdrawal where consent=?", work.consent)
    for name in plan.files if before is not None else ():
        row = {"source": "withdrawn", "file": name, "line": 0, "reason": "withdrawn"}
        query = "select 1 from unread where source=? and file=? and line=? and reason=?"
        if ledger.value(query, *row.values()) is None:
            turn = int(ledger.value("select coalesce(max(n), 0) from turn"))
            with ledger.change("refused as withdrawn"):
                ledger.add("unread", **row, detail="", turn=turn)
    paths = [str(one["path"]) for one in work.of("file")]
    settle_inbox(project, {one.removeprefix("inbox/") for one in paths if one.startswith("inbox/")})
    settle_accounts(project, work.recipe)


def _forget_asked(project: Project, plan: Plan) -> int:
    """What machines were asked with these records, and what they said, goes; returns how many requests."""
    tape = MachineTape(project.wheel / FILE)
    if not tape.is_there:
        return 0
    with closing(tape):
        return tape.erase(sorted(plan.erased | plan.left_out))


def _write_anew(project: Project) -> None:
    """The ledger's pages anew: nothing in free pages, nothing in its log."""
    project.ledger.db.execute(f"pragma busy_timeout={PATIENCE}")
    try:
        rewritten(project.ledger.db)
    except sqlite3.OperationalError as error:
        raise StoreError("database_in_use", path=project.ledger.path.name, why=str(error)) from error


def _finish(work: _Work, plan: Plan) -> dict[str, Any]:
    """The signed report, then the ledger's word that it is done; the plan goes last."""
    project, ledger = work.project, work.project.ledger
    files = [Outcome(**one) for one in work.of("file")]
    left = [one for one in files if one.how == "left" and (project.root / one.path).exists()]
    hits = verified(project, plan, {one.path for one in left})
    again = bool(hits) or any(one.why == "in_use" for one in left)
    state = BEGUN if again else LEFT if left else DONE
    told = Told(
        keys=[str(one["owner"]) for one in work.of("key")],
        dialogues=sum(int(one["answers"]) for one in work.of("dialogue"))
        + sum(int(one["requests"]) for one in work.of("machines")),
        cells=sum(int(one["cells"]) for one in work.of("ledger")),
        models=work.of("model"),
        files=[one for one in files if one.how != "left" or one in left],
        quoted=plan.quoted,
    )
    said = signed(project.root / PEOPLE, body_of(project, work.tombstone, told, hits, state))
    text = json.dumps(said, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    folder = place_of(project, work.consent)
    fault.write(folder / "report.json", text.encode())
    (folder / "index.html").unlink(missing_ok=True)  # it is made anew from report.json
    with ledger.change("withdrawal done"):
        changes = {"report": said["digest"], "ended": now()} if state != BEGUN else {}
        ledger.amend("withdrawal", {"consent": work.consent}, state=state, **changes)
        ledger.note("withdrawal reported", json.dumps([work.consent]), str(said["digest"]))
    if state != BEGUN:
        for ending in ("plan", "journal"):
            if work.path(ending).exists():
                remove(work.path(ending))
    found: dict[str, Any] = json.loads(text)
    return found


def rehearsed(project: Project, recipe: Recipe, consent: str) -> dict[str, Any]:
    """What a withdrawal would do; nothing is changed."""
    person = whose(project, recipe, consent)
    plan = planned(project, recipe, consent)
    actions = shown_actions(plan)
    return {
        "consent": consent,
        "person": person,
        "records": counted(actions),
        "actions": actions,
        "quoted": list(plan.quoted),
        "files": list(plan.files),
        "logs": list(plan.logs),
        "consumers": [asdict(one) for one in find_taints(project, plan)],
        "serving": serving(project),
    }


# ---------------------------------------------------------------------- others who finish it


def unfinished(project: Project, recipe: Recipe) -> list[Withdrawal]:
    """Withdrawals that were asked for and are not done, and those of which something came again."""
    states = {r["consent"]: r["state"] for r in project.ledger.rows("select consent, state from withdrawal")}
    asked = withdrawals(project.inbox)
    return [
        one
        for name, one in asked.items()
        if states.get(name, BEGUN) == BEGUN or came_again(project, recipe, name)
    ]


def came_again(project: Project, recipe: Recipe, consent: str) -> bool:
    """Whether files of a withdrawn consent lie in the inbox, or lines of it in what no turn has taken."""
    if consent_files(project, recipe, consent)[0]:
        return True
    known, mark = taken(project.ledger), consent.encode()
    for name, size in inventory(project.inbox).items():
        fresh = name not in known or known[name][:2] != size
        if fresh and ".jsonl" in name and mark in (project.inbox / name).read_bytes():
            return True
    return False


def finish_withdrawals(project: Project, recipe: Recipe, say: Say = silent) -> list[dict[str, Any]]:
    """Finish what was begun; the next turn does so before it gathers."""
    return [withdraw(project, recipe, one.consent, one.by, say) for one in unfinished(project, recipe)]
