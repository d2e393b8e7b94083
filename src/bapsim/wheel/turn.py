"""One turn: a straight line from what came in to a decision, resumable at every step.

Every durable step is addressed by what went into it. Kill the process anywhere and call `run_turn` again:
predictions, ledger and report are those of an undisturbed turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bapsim.core.errors import NotEnough
from bapsim.core.recipe import Recipe, Respondent
from bapsim.core.records import verdicts
from bapsim.core.turn import Turn
from bapsim.judge.collapse import outside
from bapsim.judge.exam import known_passage
from bapsim.judge.opponents import uninformed
from bapsim.store import artifacts
from bapsim.store.project import Project
from bapsim.wheel.admitting import needs_word
from bapsim.wheel.candidates import NAME, Candidate, candidate, refit
from bapsim.wheel.closing import finish, summarise, tidy
from bapsim.wheel.deals import ENDED, by_deal, deals, enter_deals
from bapsim.wheel.dueling import told
from bapsim.wheel.examining import WITHHELD, compose_exam, withheld
from bapsim.wheel.fusing import Fused, composer_of, fuse, none_passed
from bapsim.wheel.gapping import known_groups
from bapsim.wheel.gathering import gather, unread_in
from bapsim.wheel.generating import with_generators
from bapsim.wheel.guarding import guarded
from bapsim.wheel.held_out import OOF
from bapsim.wheel.judging import Judged, Opponent, judge_candidates, may_serve, screen
from bapsim.wheel.kin import kin
from bapsim.wheel.mending import mend, menders
from bapsim.wheel.merging import merging_opponent
from bapsim.wheel.pay import enter
from bapsim.wheel.permits import enter_permits
from bapsim.wheel.pools import apart
from bapsim.wheel.purposes import known_purposes
from bapsim.wheel.quarantine import holding, told_quarantines
from bapsim.wheel.refining import Opinions, leaks, refine, write_opinions
from bapsim.wheel.state import begin, the_champion, the_newest, unseen
from bapsim.wheel.stock import PENDING, TRAINED, Scene, Stock, exam_ids, examined, load_stock, standing
from bapsim.wheel.suspicion import judge_deliveries
from bapsim.wheel.tainting import newest_clean, stained
from bapsim.wheel.weighing import weighed_sources
from bapsim.wheel.withdrawing import finish_withdrawals

Say = Callable[..., None]


def silent(step: str, **values: Any) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, kw_only=True)
class Incumbent:
    """The model that the user has now, as the first opponent: a respondent and what identifies it."""

    respond: Respondent
    fingerprint: str


def run_turn(
    project: Project, recipe: Recipe, *, incumbent: Incumbent | None = None, say: Say = silent
) -> dict[str, Any]:
    """Run the next turn, or go on with the one that was interrupted; returns what was decided.

    Raises NotEnough when there is too little people-made data for a model, Waiting when people are asked.
    """
    started = time.perf_counter()
    menders(recipe)  # a recipe that cannot run is told before anybody is asked
    weighed_sources(recipe)
    known_purposes(recipe)
    known_groups(recipe)
    known_passage(recipe.judge, recipe.task)
    tidy(project)  # what a kill after the last commit left behind
    finish_withdrawals(project, recipe, say)
    turn = begin(project, recipe)
    enter(project, recipe, turn.inbox)  # before anything is erased: who withdraws is owed for the time
    enter_permits(project, turn)
    enter_deals(project.ledger, recipe, turn)
    turn = with_generators(project, recipe, turn, say)
    say("gather")
    fresh = gather(project, dict(recipe.sources), turn) | mend(project, recipe, turn)
    for reason, lines in unread_in(project.ledger, turn.n).items():
        say("unread", unread=reason, lines=lines)
    fought, turn = told(project, recipe, turn)
    say("refine", fresh=sum(fresh.values()))
    scene, opinions, suspects = refined(project, recipe, turn)
    judged_by = unseen(scene.stock, scene.exam)
    scene = replace(scene, recipe=replace(recipe, train=apart(recipe.train, scene.stock, judged_by, say)))
    champion = the_champion(project, recipe.task)
    opponent = champion or first_opponent(scene, incumbent)
    say("train", rows=int(trainable(scene, PENDING).sum() + trainable(scene, TRAINED).sum()))
    trained, fused = candidates(scene)
    screened = [screen(scene, opponent, one) for one in trained]
    say("judge", items=int(scene.exam.sum()))
    judged = judge_candidates(scene, opponent, screened)
    judged = with_service(scene, judged)
    if judged.serves is not None:
        say("refit")
        refit(scene, judged.serves)
    summary = summarise(scene, opinions, judged, opponent, fresh, suspects) | {"duel": fought}
    summary["fused"] = (
        None if fused is None else fused.told() | fused.guard() | made_of(scene, fused, trained)
    )
    read = getattr(next((one for one in trained if one.people_only), trained[0]).model, "budget", None)
    if read is not None:  # a language model: what it read, and how often
        summary["budget"] = read.told()
    if holding(project.ledger):
        summary["quarantines"] = told_quarantines(project.ledger, scene.stock)
    return finish(scene, opinions, judged, summary, started, say)


# --------------------------------------------------------------------------- refine and compose


def refined(project: Project, recipe: Recipe, turn: Turn) -> tuple[Scene, Opinions, list[dict[str, Any]]]:
    """Verdicts on every row, suspect deliveries, the exam, and what leaks from it."""
    stock = load_stock(project, recipe.task)
    before = stock.rows_with(exam_ids(project.ledger, before=turn.n))
    opinions = _judged(project, recipe, turn, stock, before)
    groups = _grouped(opinions, recipe, before)
    scene = Scene(
        project=project,
        recipe=recipe,
        turn=turn,
        stock=stock,
        refused=opinions.refused(),
        superseded=opinions.settled.superseded,
        exam=before,
        groups=groups,
        pruned=opinions.refused_for("label_error"),
        withheld=np.zeros(len(stock), bool),
    )
    champion = the_champion(project, recipe.task)
    model = champion or the_newest(project, turn.n, recipe.task)
    suspects = judge_deliveries(scene, opinions.settled, model, proven=champion is not None)
    bad = {n: "refused" for one in suspects if one["refused"] for n in one["origins"]}
    if bad:  # what they replaced stands again, and was not compared with the others
        stock = replace(stock, states=stock.states | bad)
        opinions = _judged(project, recipe, turn, stock, before)
        groups = _grouped(opinions, recipe, before)
    exam = compose_exam(project, recipe, turn, opinions, groups)
    among = ~unseen(stock, exam) & ~opinions.refused()
    opinions.add("exam_leak", leaks(stock, exam, among, groups, recipe.exam.near))
    write_opinions(project, opinions, turn.n)
    scene = replace(
        scene,
        stock=stock,
        exam=exam,
        refused=opinions.refused() & ~exam,
        superseded=opinions.settled.superseded,
        groups=groups,
        pruned=opinions.refused_for("label_error") & ~exam,
        withheld=opinions.says_no(WITHHELD) & ~opinions.says_no("exam_leak"),
    )
    return scene, opinions, suspects


def _judged(project: Project, recipe: Recipe, turn: Turn, stock: Stock, exam: np.ndarray) -> Opinions:
    """Verdicts on every row and, after those of the recipe, on whole deliveries."""
    hidden = exam | stock.rows_with(examined(project.ledger, before=turn.n))
    opinions = refine(project, recipe, turn, stock, unseen(stock, hidden), exam)
    if deals(project.ledger):
        opinions.add(ENDED, by_deal(project.ledger, recipe, turn, stock))
    _by_origin(opinions, stock, recipe.weights)
    if needs_word(stock).any():
        most = composer_of(recipe).depth
        deep = np.nan_to_num(stock.depth) > most
        opinions.add("too_deep", verdicts(~deep, "too_deep", value=stock.depth, limit=most))
    kept = withheld(stock, recipe.questions) & ~opinions.refused() & ~opinions.settled.superseded
    opinions.add(WITHHELD, verdicts(~kept, WITHHELD))
    return opinions


def _grouped(opinions: Opinions, recipe: Recipe, exam: np.ndarray) -> np.ndarray:
    """int64[N]: rows of one number go to one side of any split."""
    compared = opinions.stock.labelled & ~opinions.refused() | exam
    return kin(opinions.stock, compared, recipe.exam.near)


def _by_origin(opinions: Opinions, stock: Stock, weights: Mapping[str, float]) -> None:
    """The wheel's own verdicts on whole deliveries, and on sources that the recipe leaves out."""
    harmful = stock.with_offspring(stock.of_refused_deliveries & ~stock.by_machine)
    opinions.add("harmful_delivery", verdicts(~harmful, "harmful_delivery"))
    opinions.add("turn_refused", verdicts(~(stock.refused_deliveries & ~harmful), "turn_refused"))
    if none := {name for name, weight in weights.items() if not weight}:
        left = stock.of_origins(lambda _, origin: origin.source in none)
        opinions.add("left_out", verdicts(~left, "left_out"))


def trainable(scene: Scene, code: int) -> np.ndarray:
    """bool[N]: rows that stand at this state."""
    return np.asarray(standing(scene.stock, scene.exam, scene.refused, scene.superseded) == code)


def candidates(scene: Scene) -> tuple[list[Candidate], Fused | None]:
    """One of people's rows alone; and one of both, where a way of putting machine-made rows to them won."""
    machine = scene.stock.by_machine
    rows = trainable(scene, TRAINED) & ~machine
    made = (trainable(scene, PENDING) | trainable(scene, TRAINED)) & machine
    if not rows.any():
        raise NotEnough("nothing_to_train", records=len(scene.stock))
    found = [candidate(scene, rows)]
    if not made.any():
        return found, none_passed(scene)
    signals = guarded(scene, rows, made)
    fused = replace(fuse(scene, found[0], made, suspect=bool(outside(signals))), signals=signals)
    if fused.way is not None:
        found.append(candidate(scene, rows | fused.rows, fused.way))
    return found, fused


def made_of(scene: Scene, fused: Fused, trained: list[Candidate]) -> dict[str, int]:
    """How many machine-made rows there were, and joined; beside how many of people; and the deepest
    of them.
    """
    machine, stock = scene.stock.by_machine, scene.stock
    made = (trainable(scene, PENDING) | trainable(scene, TRAINED)) & machine
    deepest = int(np.nan_to_num(stock.depth[fused.rows]).max(initial=0))
    counts = {"made": int(made.sum()), "taken": int(fused.rows.sum()), "deepest": deepest}
    return counts | {"people": int(trained[0].rows.sum())}


def first_opponent(scene: Scene, incumbent: Incumbent | None) -> Opponent:
    """On the first turn: the user's own model, or what can be said of the training rows without looking."""
    if incumbent is not None:
        name = incumbent.fingerprint
        theirs = Opponent(name="incumbent", fingerprint=name, respond=incumbent.respond, oof=None)
        return merging_opponent(theirs, scene.recipe.task)
    labels = scene.stock.labels[trainable(scene, TRAINED)].astype(str).tolist()
    if not labels:
        raise NotEnough("nothing_to_train", records=len(scene.stock))
    answer = scene.stock.task.answer
    name = {"number": "median", "text": "bytes"}.get(answer, "majority")
    respond = uninformed(labels, answer, scene.stock.task.target)
    return Opponent(name=name, fingerprint=name, respond=respond, oof=None)


# --------------------------------------------------------------------------- what may serve


def with_service(scene: Scene, judged: Judged) -> Judged:
    """Adds what serves after this turn: the accepted candidate, or a provisional one of people's data.

    What serves may have learnt from what was withdrawn. Then this turn's candidate takes its place where it
    may serve, held against what was proven alone; and where nothing clean was proven, unless it was refused.
    """
    if judged.decision.verdict == "accept":
        return replace(judged, serves=judged.looked)
    people = judged.screened[0]
    if judged.decision.verdict == "refuse" and judged.looked is people.candidate:
        return judged
    ledger = scene.project.ledger
    current, dirty = ledger.value("select version from used order by n desc limit 1"), stained(ledger)
    against = None
    nothing_new = judged.decision.reason == "decision.nothing_new"
    if nothing_new and (dirty is None or newest_clean(ledger) is not None):
        return judged
    if current == people.candidate.version:
        return judged
    if current is not None and dirty is None:
        folder = scene.project.models / NAME / str(current) / "judged"
        model = artifacts.load(folder, scene.project.root)
        rival = Opponent(name=str(current), fingerprint="", respond=model, oof=folder / OOF)
        against = screen(scene, merging_opponent(rival, scene.recipe.task), people.candidate)
    said = may_serve(judged, people, against)
    if dirty is not None and said.reason == "provisional.may_be_worse" and newest_clean(ledger) is None:
        said = replace(said, allowed=True, reason="provisional.withdrawn")
    return replace(judged, provisional=said, serves=people.candidate if said.allowed else None)
