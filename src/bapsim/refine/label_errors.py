"""The survey of wrong labels: what the last proven model, out of fold, holds against each row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import concat, id_bytes, numbers, positions, strings, take, valid
from bapsim.core.errors import RecipeError
from bapsim.core.recipe import Dataset, Model, Survey
from bapsim.core.records import VERDICT, Answers, Verdicts, abstained, rows_of
from bapsim.core.turn import Turn
from bapsim.refine.duplicates import digests, input_texts, numbered
from bapsim.refine.labels import PRUNE_ABOVE, Flagged, Suspicion, flag, suspicion
from bapsim.refine.noise import Ints, Mask
from bapsim.text.minhash import clusters
from bapsim.text.vectors import unit_vectors

NEAR = 0.95  # Jaccard similarity: equal but for spelling; at .8 most pairs of other labels are right
STILL = 0.8  # of the level: what was left out before comes back only when the noise is well below it


@dataclass(frozen=True, kw_only=True, eq=False)
class Heard:
    """All labelled rows as arrays, in the order of the records.

    rows: int64[n], their places among all records; ids: void16[n]; alive: bool[n], nothing refused the row
    so far; labels: int64[n], positions in `classes`, the k of the model first, then those that it does not
    know; probs: float32[n, k], out of fold where the model was trained on the row, nan where it gave no
    answer or was not asked, as about refused rows; groups: int64[n], equal inputs, refused copies included,
    for those that agree count; features: CSR of unit rows, or None; random: bool[n], answers to questions
    that were drawn at random.
    """

    rows: Ints
    ids: np.ndarray
    alive: Mask
    labels: Ints
    classes: tuple[str, ...]
    probs: np.ndarray
    groups: Ints
    features: Any
    random: Mask

    def suspicion(self) -> Suspicion:
        """What is said against each label; nothing against those of refused rows."""
        said = suspicion(self.probs, self.labels, groups=self.groups, features=self.features)
        return replace(said, contradicted=np.where(self.alive, said.contradicted, 0))


@dataclass(frozen=True, kw_only=True)
class LabelErrors:
    """Says how likely each label is wrong, and refuses rows with the reason label_error only where so many
    are wrong that leaving them out beats training on them until people were asked. It never changes a label.

    weigh: the wheel lets doubtful labels count for less (`wheel.weighing`), which beats leaving them out.

    value: that likelihood; limit: from it on rows are asked about. A row whose equal input has another label
    gets the reason contradiction, and is not refused for that. An answer to a question that was drawn at
    random is never refused: it may become an exam item, and no model may choose those. Rows that the last
    proven model was trained on are judged by its out-of-fold answers, the others directly, so that a row that
    was left out is judged as before. Abstains without such a model, about rows without a label or of a class
    that is new to the model, and where the target is not one class.
    """

    prune_above: float = 1.0
    near: float = NEAR
    weigh: bool = True

    def __call__(self, dataset: Dataset, turn: Turn) -> Iterator[Verdicts]:
        sizes = [len(mask) for mask in dataset.kept()]
        heard = listen(dataset, turn, self.near)
        if heard is None:
            yield from map(abstained, sizes)
            return
        said = heard.suspicion()
        place = np.full(sum(sizes), len(heard.rows), np.int64)
        place[heard.rows] = np.arange(len(heard.rows))
        whole = take(concat([opinions(said, self.decide(said, heard, turn)), abstained(1)]), place)
        for end, size in zip(np.cumsum(sizes).tolist(), sizes, strict=True):
            yield Verdicts(whole.slice(end - size, size))

    def decide(self, said: Suspicion, heard: Heard, turn: Turn) -> Flagged:
        """What is flagged, and whether to leave it out. Where most of what would be left out was left out
        last time, the level is a fifth lower: at the level itself rows would come and go with every turn.
        """
        found = flag(said, heard.labels, prune_above=self.prune_above)
        again = left_out(turn, heard.ids[found.rows[found.prunable]])
        if not found.prune and 2 * again.sum() > len(again):
            found = flag(said, heard.labels, prune_above=STILL * self.prune_above)
        return replace(found, prunable=found.prunable & ~heard.random[found.rows])


def listen(dataset: Dataset, turn: Turn, near: float = NEAR) -> Heard | None:
    """The labelled rows, and what the last proven model says of those that nothing refused so far.

    None without such a model, without rows, or where it gives no probabilities of classes. Texts whose
    shingles are at least `near` alike are one input; other inputs are if they are equal.
    """
    champion = turn.models.get("champion")
    if champion is None or turn.oof is None or len(champion.classes) < 2 or turn.task.answer != "class":
        return None
    task, parts, rows, masks, start = turn.task, [], [], [], 0
    for batch, mask in zip(dataset.batches([*task.inputs, task.target]), dataset.kept(), strict=True):
        here = np.flatnonzero(valid(batch.column(task.target)))
        parts.append(take(batch, here))
        rows.append(start + here)
        masks.append(mask[here])
        start += len(batch)
    parts = [part for part in parts if len(part)]
    if not parts:
        return None
    whole, alive = concat(parts), np.concatenate(masks)
    told = np.full((len(whole), len(champion.classes)), np.nan, np.float32)
    asked = answered(take(whole, alive), champion, task.inputs, turn.oof)
    if asked is None:
        return None
    told[alive] = asked
    names = strings(whole.column(task.target))
    classes = tuple(dict.fromkeys([*champion.classes, *sorted({str(name) for name in names})]))
    texts = input_texts(whole, task)
    return Heard(
        rows=np.concatenate(rows),
        ids=id_bytes(whole.column("_id")),
        alive=alive,
        labels=positions(pa.array(names, pa.string()), pa.array(classes, pa.string())),
        classes=classes,
        probs=told,
        groups=numbered(digests(whole, task.inputs)) if texts is None else clusters(texts, near),
        features=None if texts is None else unit_vectors(texts),
        random=random_answers(whole, turn),
    )


def random_answers(records: pa.RecordBatch, turn: Turn) -> Mask:
    """bool[n]: rows derived from a question that was drawn at random."""
    parents: Any = records.column("_parents")
    drawn = [question for question, draw in turn.asked.items() if draw == "random"]
    hit = np.isin(id_bytes(parents.flatten()), np.array(drawn, "V16"))
    of = np.repeat(np.arange(len(records)), numbers(parents.value_lengths(), 0).astype(np.int64))
    return np.bincount(of, hit, len(records)) > 0


def answered(whole: pa.RecordBatch, model: Model, inputs: tuple[str, ...], oof: Answers) -> np.ndarray | None:
    """float32[n, k]: out-of-fold probabilities of rows that the model was trained on, direct ones of others;
    nan where it gave none. None where it never gives any.
    """
    place = positions(whole.column("_id"), oof.column("_id"))
    found = np.full((len(whole), len(model.classes)), np.nan, np.float32)
    new = np.flatnonzero(place < 0)
    asked = model(rows_of(take(whole, new), inputs)) if len(new) else None
    for answers, at, of in ((oof, np.flatnonzero(place >= 0), place[place >= 0]), (asked, new, None)):
        if answers is None or not len(at):
            continue
        said = probabilities(answers, len(model.classes))
        if said is None:
            return None
        found[at] = said if of is None else said[of]
    return found


def probabilities(answers: Answers, count: int) -> np.ndarray | None:
    """float32[n, count], nan for rows without an answer; None without such a column."""
    if "probs" not in answers.schema.names:
        return None
    column: Any = answers.column("probs")
    there = valid(column)
    found = np.full((len(answers), count), np.nan, np.float32)
    found[there] = column.filter(pa.array(there)).flatten().to_numpy().reshape(-1, count)
    return found


def left_out(turn: Turn, ids: np.ndarray) -> Mask:
    """bool[n]: rows that the last turn refused, for whatever reason."""
    out = []
    for view in turn.data.values():
        for batch, mask in zip(view.batches([]), view.kept(), strict=True):
            out.append(id_bytes(batch.column("_id"))[~mask])
    return np.isin(ids, np.concatenate(out)) if out else np.zeros(len(ids), bool)


def opinions(said: Suspicion, found: Flagged) -> Verdicts:
    """What is flagged as verdicts about all n rows: no opinion (keep = null) about flagged rows that are not
    left out, but their reason, value and limit.
    """
    n = len(said.wrong)
    reason, opinion = np.full(n, None, object), np.zeros(n, np.int8)
    reason[found.rows] = np.where(found.contradiction, "contradiction", "label_error")
    opinion[found.rows] = 1
    if found.prune:
        gone = found.rows[found.prunable]
        reason[gone], opinion[gone] = "label_error", 2
    keep = pa.array(opinion == 0, mask=np.isnan(said.wrong) & (opinion == 0) | (opinion == 1))
    value = np.fmax(said.wrong, np.where(said.contradicted > 0, said.contradicted, np.nan))
    limit = np.where(np.isnan(said.wrong), np.nan, said.limit)
    columns = [
        keep,
        pa.array(reason.tolist(), pa.string()),
        pa.array(value, pa.float32(), from_pandas=True),
        pa.array(limit, pa.float32(), from_pandas=True),
    ]
    return Verdicts(pa.RecordBatch.from_arrays(columns, schema=VERDICT))


def label_errors(prune_above: float | None = None, *, near: float = NEAR, weigh: bool = True) -> Survey:
    """The survey `LabelErrors`. weigh: doubtful labels count for less, which a trainer that reads no weights
    ignores; prune_above: the share of wrong labels from which on doubtful rows are left out, None = never
    where they are weighed (it costs, docs/results/wheel.md), else .15; 1 asks only.
    """
    if prune_above is None:
        prune_above = 1.0 if weigh else PRUNE_ABOVE
    if not (0 <= prune_above <= 1 and 0 < near <= 1):
        raise RecipeError("label_errors_out_of_range", prune_above=prune_above, near=near)
    return LabelErrors(prune_above=prune_above, near=near, weigh=weigh)
