"""Which delivery is bad: two models' residuals name it, one retrain without it confirms or clears it.

One model learnt none of its labels: the last proven one, else the last that was trained, else (in a first
turn) one of the other deliveries. The other learnt from all deliveries, and answers out of fold: what agrees
with itself is another way of speaking, or a class that the first model hardly knew, not a fault.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from bapsim.core.fingerprint import fingerprint
from bapsim.gather.service import STREAM
from bapsim.judge.exam import Heard, contradicts, knows
from bapsim.judge.residual import FEWEST, Delivery, flagged, residuals
from bapsim.store.ledger import Ledger
from bapsim.wheel import cross_check
from bapsim.wheel.aside import set_aside
from bapsim.wheel.candidates import data_fingerprint
from bapsim.wheel.contrast import contrast, unkept
from bapsim.wheel.held_out import eaten, held_out
from bapsim.wheel.judging import Opponent, random_rows
from bapsim.wheel.served import Logged, logged
from bapsim.wheel.settling import Settled, settle
from bapsim.wheel.stock import AGAIN, Scene, Stock
from bapsim.wheel.weighing import coded

DOUBT = 0.5  # z of a delivery by a model that learnt from it, too, from which on it is worth a retrain
REQUESTS = 2000  # or rows that it learnt, that say how sure a model is where it errs
BEYOND = 2.0  # standard errors by which a stream contradicts more than is expected, to be cross-checked
FEW = 5  # contradictions of a stream, from which on it says what others contradict
SURER = 3.0  # standard errors above that, from which corrections are held against the model as they are
MOST = 20.0  # the logarithm of how much likelier people may speak of a wrong answer
HELPS = 1.0  # z of the retrain with the suspect against the one without, from which on it may stay


def delivery_names(scene: Scene) -> dict[int, str]:
    """The delivery of each origin: the file that it came in; small ones of one source and turn together.

    A bad sheet is told from the good ones that came with it, if it has as many labels as it takes to tell. A
    stream of corrections is one delivery, whatever turns it came in, and however small: it goes on.
    """
    rows = scene.project.ledger.rows("select n, source, turn, batch from origin")
    stock = scene.stock
    told = stock.labelled & ~scene.refused & ~scene.superseded & ~scene.exam
    labels = np.bincount(stock.origin[told], minlength=len(rows))
    sizes: Counter[tuple[str, str, int | None]] = Counter()
    parts = {r["n"]: (r["source"], r["batch"], None if is_stream(r["batch"]) else r["turn"]) for r in rows}
    for r in rows:
        sizes[parts[r["n"]]] += int(labels[r["n"]])
    alone = {p for p, count in sizes.items() if p[1] is not None and (count >= FEWEST or is_stream(p[1]))}
    together = {r["n"]: f"{r['source']}@{r['turn']}" for r in rows if parts[r["n"]] not in alone}
    named = {n: batch if turn is None else f"{batch}@{turn}" for n, (_, batch, turn) in parts.items()}
    return named | together


def is_stream(batch: str | None) -> bool:
    """Whether a batch is a stream of corrections by one person or place, which goes on from turn to turn."""
    return batch is not None and f"/{STREAM}" in batch


def judge_deliveries(
    scene: Scene, settled: Settled, model: Opponent | None, *, proven: bool
) -> list[dict[str, Any]]:
    """This turn's deliveries whose labels look wrong, each with what the retrain said.

    model: what they are held against, None = one another. A delivery that is refused is not trained on and
    not examined with; its records are kept. The finding is a stage: a resumed turn reads it; the deliveries'
    states change when the turn is done. Rows that were picked for being difficult or that a machine labelled
    are judged as well: the model's own confidence says what to expect of them. Answers about labels are not:
    those labels were asked about because the model contradicts them.
    """
    ledger = scene.project.ledger
    key = f"suspects:{scene.turn.n}:{fingerprint(scene.recipe)}"  # under another recipe it is judged anew
    staged = ledger.value("select output from stage where key=?", key)
    if staged is not None:
        return list(json.loads(staged))
    again = known_streams(ledger)
    judged, excused = _judge(scene, settled, model, proven)
    found = [*again, *judged]
    with ledger.change("deliveries judged"):
        ledger.add("stage", key=key, name="suspects", turn=scene.turn.n, output=json.dumps(found))
        key = f"{cross_check.NAME}:{scene.turn.n}:{fingerprint(scene.recipe)}"
        ledger.add("stage", key=key, name=cross_check.NAME, turn=scene.turn.n, output=json.dumps(excused))
    return found


def known_streams(ledger: Ledger) -> list[dict[str, Any]]:
    """What was found of streams that are set aside and have gone on since: they stay aside as a whole."""
    found = []
    rows = ledger.rows("select n, batch, state from origin where batch is not null order by n")
    for name, before in set_aside(ledger).items():
        origins = tuple(int(r["n"]) for r in rows if is_stream(name) and r["batch"] == name)
        if len(origins) > len(before):
            query = "select output from stage where name='suspects' order by turn desc, rowid desc"
            said = (one for row in ledger.rows(query) for one in json.loads(row["output"]))
            last = next(one for one in said if one["name"] == name)
            found.append(last | {"origins": origins, "points": None})
    return found


def trusted(ledger: Ledger) -> set[str]:
    """Streams that their owner took back: they are not judged again."""
    said = ledger.rows("select output from stage where name='taken back'")
    return {name for row in said if is_stream(name := json.loads(row["output"])["name"])}


@dataclass(frozen=True, kw_only=True)
class Claims:
    """The labels that are judged: rows bool[N], all that stand or stood; at int64[n], those that stand;
    delivery str[n]; fresh: deliveries since the last turn that ended, also of turns that were stopped.
    """

    rows: np.ndarray
    at: np.ndarray
    delivery: np.ndarray
    fresh: frozenset[str]
    origins: dict[str, tuple[int, ...]]


def _claims(scene: Scene, settled: Settled) -> Claims:
    stock, names, ledger = scene.stock, delivery_names(scene), scene.project.ledger
    stuck = [n for one in known_streams(ledger) for n in one["origins"]]
    rows = stock.labelled & ~scene.refused & ~scene.exam & ~np.isin(stock.origin, stuck)
    again = stock.of_origins(lambda _, o: o.method == AGAIN)
    at = np.flatnonzero(rows & ~settled.superseded & ~again)
    delivery = np.array([names[int(o)] for o in stock.origin[at]], str)
    done = int(ledger.value("select coalesce(max(n), 0) from turn where state='done'"))
    new = {names[n] for n, turn in stock.turns.items() if turn > done} - trusted(ledger)
    origins: dict[str, tuple[int, ...]] = {}
    told = set(stock.origin[rows].tolist())  # the pool is nobody's claim, whatever it came with
    for number, name in names.items():
        origins[name] = (*origins.get(name, ()), *([number] if number in told else []))
    return Claims(
        rows=rows, at=at, delivery=delivery, fresh=frozenset(new & set(delivery.tolist())), origins=origins
    )


def _judge(
    scene: Scene, settled: Settled, model: Opponent | None, proven: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """The suspects, and streams that only people can tell from honest ones."""
    claims = _claims(scene, settled)
    fits: dict[str, Opponent] = {}
    judged, named, excused = _by_models(scene, settled, claims, model, fits, proven=proven)
    there = sorted(set(filter(is_stream, claims.delivery.tolist())) - trusted(scene.project.ledger))
    earlier = cross_check.unclear(scene.project.ledger, scene.turn.n - 1)  # nobody has answered yet
    excused = {*excused, *(name for name in earlier if name in there and name not in claims.fresh)}
    seen = logged(scene.stock) if there else None
    told = {n: cross_check.compared(scene.stock, seen, n, settled.unfit) for n in there if seen is not None}
    by_people = {name: one for name, one in told.items() if one is not None}
    judged, named = judged | by_people, tuple(dict.fromkeys([*named, *by_people]))
    if not named:
        return [], sorted(excused)
    said = with_and_without(scene, settled, claims, named, fits)
    points = said["points"] if len(named) == 1 else None  # of all of them together: of none
    told_of = {"z_with": said["z"], "points": points, "refused": bool(said["z"] < HELPS)}
    kept = () if told_of["refused"] else filter(is_stream, named)  # a retrain alone cleared them
    unclear = {*(name for name in excused if name not in named), *kept} - by_people.keys()
    found = [asdict(judged[name]) | {"origins": claims.origins[name]} | told_of for name in named]
    return found, sorted(unclear)


def _by_models(
    scene: Scene,
    settled: Settled,
    claims: Claims,
    model: Opponent | None,
    fits: dict[str, Opponent],
    *,
    proven: bool,
) -> tuple[dict[str, Delivery], tuple[str, ...], Collection[str]]:
    """Fresh deliveries as models see them, the names of bad ones, and streams that were excused."""
    if not claims.fresh:
        return {}, (), ()
    if model is None:
        return *_among_themselves(scene, settled, claims, fits), ()
    judged, excused = read(scene.stock, claims, settled, model, proven=proven)
    named = flagged(judged, claims.fresh)
    named = named and _doubtful(scene, settled, claims, named, fits, said=named)
    return judged, named, [name for name in excused & claims.fresh if is_stream(name)]


def _everything(scene: Scene, claims: Claims) -> np.ndarray:
    """bool[N]: what would be trained on if nothing were set aside."""
    return np.asarray(claims.rows & ~scene.stock.by_machine & ~scene.superseded)


def _doubtful(
    scene: Scene,
    settled: Settled,
    claims: Claims,
    names: Collection[str],
    fits: dict[str, Opponent],
    said: Collection[str] = (),
) -> tuple[str, ...]:
    """Those of these deliveries that a model of everything contradicts, too; said: what another one named."""
    whole = _once(scene, _everything(scene, claims), fits)
    seen, _ = read(scene.stock, claims, settled, whole, proven=False, named=said)
    return tuple(name for name in names if seen[name].z > DOUBT)


def _among_themselves(
    scene: Scene, settled: Settled, claims: Claims, fits: dict[str, Opponent]
) -> tuple[dict[str, Delivery], tuple[str, ...]]:
    """Deliveries held against one another, and the names of bad ones; it takes two with labels enough."""
    stock, counts = scene.stock, Counter(claims.delivery.tolist())
    if sum(count >= FEWEST for count in counts.values()) < 2 or not _teaches(
        stock, _everything(scene, claims)
    ):
        return {}, ()
    doubtful = _doubtful(scene, settled, claims, sorted(claims.fresh), fits)
    left = without(scene, settled, claims, doubtful)
    if not doubtful or not _teaches(stock, left):
        return {}, ()
    judged, _ = read(stock, claims, settled, _once(scene, left, fits), proven=False)
    return judged, flagged(judged, doubtful, of=len(claims.fresh))


def _teaches(stock: Stock, rows: np.ndarray) -> bool:
    return len(set(stock.labels[rows].tolist())) > 1


def read(
    stock: Stock,
    claims: Claims,
    settled: Settled,
    model: Opponent,
    *,
    proven: bool,
    named: Collection[str] = (),
) -> tuple[dict[str, Delivery], frozenset[str]]:
    """Every delivery as a model sees it, and those that were excused (`Expected`).

    named: what a model that learnt nothing of it found to be wrong.

    A correction is held against what the model, out of fold, said of the row that it replaces: it ate that
    row, and by heart it would contradict every correction.
    """
    asked_of, heirs = np.arange(len(stock)), np.flatnonzero(settled.heir >= 0)
    heirs = heirs[eaten(model.oof, stock, heirs)]
    asked_of[settled.heir[heirs]] = heirs
    said = held_out(model.respond, model.oof, stock, asked_of[claims.at])
    own = eaten(model.oof, stock, claims.at)
    asked = np.where(np.isin(claims.delivery, list(named)), "", claims.delivery)
    probs, label, excused = expected(stock, claims.at, asked, said, model)
    classes = said.answer == "class"
    judged = residuals(claims.delivery, probs, label, own, proven=proven, among=claims.fresh, classes=classes)
    return judged, excused


class Expected(NamedTuple):
    """What a model expects of labels, float[n, k], and these, int64[n]; excused: streams that contradict it
    more often than it expects, which is taken for that they tell of errors rather than of the rest.
    """

    probs: np.ndarray
    label: np.ndarray
    excused: frozenset[str] = frozenset()


def expected(stock: Stock, at: np.ndarray, delivery: np.ndarray, said: Heard, model: Opponent) -> Expected:
    """What a model expects of the labels of stock rows int64[n], and these: see `held_against`.

    Of streams (delivery str[n]; "" = whatever it is) given that they tell of errors rather than of the rest.
    """
    probs, label = held_against(said, stock.labels[at])
    if said.answer != "class":
        return Expected(probs, label)
    seen = logged(stock)
    served = seen, coded(said.classes, seen.prediction)
    usual = usual_errors(model, stock, seen)
    return where_errors_are_told(Expected(probs, label), (at, delivery), served, usual)


class Usual(NamedTuple):
    """How sure a model is where it errs: mean, spread, and of how many errors; and on how many requests it
    errs.
    """

    mean: float
    spread: float
    seen: float
    errors: float

    def allows(self, sure: np.ndarray, others: Sequence[np.ndarray]) -> bool:
        """Whether errors of which a model was so sure, float64[n], may be what it usually errs on, or what
        others, float64[each], contradict.
        """
        theirs = float(np.median([one.mean() for one in others])) if others else 0.0
        error = self.spread * np.sqrt(1 / len(sure) + 1 / self.seen)
        return bool(sure.mean() <= max(self.mean, theirs) + SURER * error)


def usual_errors(model: Opponent, stock: Stock, seen: Logged) -> Usual:
    """What is usual where a model errs, by its own calibrated chances.

    Where it errs on requests, or out of fold on what it learnt from if it is surer there: among strangers and
    bots it is not sure of anything, nobody names their class, and beside them whoever corrects real errors
    would seem to pick on sure answers.
    """
    sure = _sureness(model, stock, seen.at)
    learnt = np.flatnonzero(stock.labelled & ~np.isin(np.arange(len(stock)), seen.at))
    kinds = [sure, _sureness(model, stock, learnt[eaten(model.oof, stock, learnt)])]
    usual = max((_where_it_errs(one) for one in kinds if len(one)), default=(1.0, 0.0, 1.0))
    return Usual(*usual, float((1 - sure).sum() / max(len(sure), 1) * len(seen.at)))


def _sureness(model: Opponent, stock: Stock, rows: np.ndarray) -> np.ndarray:
    """float64[<= REQUESTS]: the greatest probability of some of these stock rows, evenly spread."""
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), REQUESTS)).astype(np.int64)]
    if not len(some):
        return np.empty(0)
    said = probabilities(held_out(model.respond, model.oof, stock, some))
    return np.asarray(said.max(axis=1, initial=0.0), np.float64)


def _where_it_errs(sure: np.ndarray) -> tuple[float, float, float]:
    """Mean and spread of sureness, each row by its chance of being an error, and how many rows that is worth
    (Kish 1965).
    """
    errs = np.maximum(1 - sure, 1e-9)
    mean = float((sure * errs).sum() / errs.sum())
    spread = float(np.sqrt(((sure - mean) ** 2 * errs).sum() / errs.sum()))
    return mean, spread, float(errs.sum() ** 2 / (errs**2).sum())


def where_errors_are_told(
    given: Expected,
    told: tuple[np.ndarray, np.ndarray],
    served: tuple[Logged, np.ndarray],
    usual: Usual,
) -> Expected:
    """The same given that people speak of wrong answers more often than of right ones.

    Who corrects mostly what is wrong contradicts the model often, and is right. By how much more often they
    speak of it is what makes as many confirmations expected as there were; what is left to ask of them is
    which other class they name. Not where the model is surer of what they contradict than it usually is where
    it errs, and than of what the others contradict, nor where they find more errors than it makes on all
    requests: then they contradict right answers.
    told: rows of the stock, and the delivery of each, "" = not asked; served: the log, and its answers among
    the classes.
    """
    (probs, label, _), (at, delivery), (seen, answered) = given, told, served
    there = np.flatnonzero(np.isin(at, seen.at) & (delivery != ""))
    place = np.searchsorted(seen.at, at[there])  # in the order of the stock, both
    said = answered[place]
    there, said = there[said >= 0], said[said >= 0]
    found = probs.astype(np.float64)
    parts = {name: delivery[there] == name for name in np.unique(delivery[there])}
    against = label[there] != said
    sure = {name: probs[there[mine & against]].max(axis=1, initial=0.0) for name, mine in parts.items()}
    most = usual.errors + SURER * np.sqrt(usual.errors)
    excused = set()
    for name, mine in parts.items():
        rows, was = there[mine], said[mine]
        right = found[rows, was]
        least = likelier(right, int((mine & ~against).sum()))
        many = (probs[rows].argmax(axis=1) == was)[against[mine]].sum() > most
        others = [one for other, one in sure.items() if other != name and len(one) >= FEW]
        if least > 1 and not many and usual.allows(sure[name], others):
            beyond = (mine & against).sum() - (1 - right).sum()
            excused |= {str(name)} if beyond > BEYOND * np.sqrt((right * (1 - right)).sum()) else set()
            share = right + least * (1 - right)
            found[rows] *= (least / share)[:, None]
            found[rows, was] = right / share
    return Expected(found, label, frozenset(excused))


def likelier(right: np.ndarray, confirmed: int) -> float:
    """How much likelier people speak of a wrong answer than of a right one, at least 1, so that as many are
    confirmed as were; right: float[n], chances that each answer is right.
    """
    low, high = 0.0, MOST
    if right.sum() <= confirmed:
        return 1.0
    for _ in range(60):  # halved in the logarithm
        middle = (low + high) / 2
        fits = (right / (right + np.exp(middle) * (1 - right))).sum() <= confirmed
        low, high = (low, middle) if fits else (middle, high)
    return float(np.exp(high))


def held_against(said: Heard, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a model expects and what labels say: probs float[n, k]; label int64[n], -1 = it cannot say that.

    Of classes, those. Of sets and numbers two: the label agrees with the answer (0), of a number it lies in
    its interval, or contradicts it (1).
    """
    if said.answer == "class":
        return probabilities(said), coded(said.classes, labels)
    gold = labels.tolist()
    sure = said.confidence
    label = np.where(knows(said, gold), contradicts(said, gold), -1)
    return np.stack([sure, 1 - sure], axis=1), label.astype(np.int64)


def probabilities(said: Heard) -> np.ndarray:
    """float[n, k]; a model that gives none is sure of its answers."""
    if said.probs is not None:
        return said.probs
    at = coded(said.classes, said.prediction)
    return np.asarray(at[:, None] == np.arange(len(said.classes)), np.float32)


def without(scene: Scene, settled: Settled, claims: Claims, names: Collection[str]) -> np.ndarray:
    """bool[N]: people's rows but for these deliveries; what they replace stands again."""
    stock = scene.stock
    bad = [n for name in names for n in claims.origins[name]]
    left = settle(replace(stock, states=stock.states | dict.fromkeys(bad, "refused")), settled.unfit)
    return np.asarray(claims.rows & ~stock.by_machine & ~np.isin(stock.origin, bad) & ~left.superseded)


def with_and_without(
    scene: Scene, settled: Settled, claims: Claims, names: Collection[str], fits: dict[str, Opponent]
) -> dict[str, Any]:
    """What training with the suspects gives on random rows of the others."""
    left, whole = without(scene, settled, claims, names), _everything(scene, claims)
    at = np.flatnonzero(random_rows(scene) & left & whole)
    before, after = (_once(scene, rows, fits) for rows in (left, whole))
    return contrast(scene.stock, scene.groups, before, after, at)


def _once(scene: Scene, rows: np.ndarray, fits: dict[str, Opponent]) -> Opponent:
    """One fit for the same rows, however often it is needed."""
    data = data_fingerprint(scene.stock, rows)
    if data not in fits:
        fits[data] = unkept(scene.recipe, scene.stock, scene.groups, rows)
    return fits[data]
