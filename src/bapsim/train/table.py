"""Classification of tables: boosted trees and two forests, blended and calibrated out of fold.

Measured (docs/results/table_defaults.md): no single kind of tree is best on every table, so each votes with
the weight that its out-of-fold log loss earns. The class frequencies vote too: the loss stays finite.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import Column as Values
from bapsim.core.arrow import cells, concat, positions, strings, take
from bapsim.core.errors import Damaged, InputError
from bapsim.core.recipe import CrossFit, Mixture, Model
from bapsim.core.records import Answers, Rows, rows_of
from bapsim.train.labels import labels_of

MEMBERS = ("boosted", "extra", "forest")
LOADER = "bapsim.train.table:load"
CODES = 254  # categories of a column with a code of their own: what one bin table of the booster holds
BINS = 20  # bins of a number for the out-of-scope score
TRUSTED = (  # what skops may build besides its own defaults; anything else in a file is refused
    "functools.partial",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
)


@dataclass(frozen=True, kw_only=True)
class Column:
    """What one input column looked like in training.

    values: categories seen at least twice, most frequent first (code i + 1; code 0 = rare or never seen);
    centre, scale, low, high: of arcsinh((x - centre) / scale); mass: share of the training rows in each bin
    or code, nulls last; gap: what a cell that fits no training row adds to the row's strangeness, by bin.
    """

    name: str
    kind: Literal["number", "category"]
    values: tuple[str, ...] = ()
    centre: float = 0.0
    scale: float = 1.0
    low: float = 0.0
    high: float = 0.0
    mass: tuple[float, ...] = ()
    gap: tuple[float, ...] = ()
    varies: bool = True


@dataclass(frozen=True, kw_only=True)
class Size:
    """trees: of each forest; rounds: of boosting."""

    trees: int = 200
    rounds: int = 150


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What one training run learned: how to read the columns, the trees by name, the class frequencies."""

    columns: tuple[Column, ...]
    members: Mapping[str, Any]
    prior: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Constants that come from out-of-fold rows only.

    blend: a weight for each of MEMBERS and, last, the class frequencies; temperature: divides log
    probabilities; strange, outside: ascending quantiles of the two out-of-scope measures, float64[<= 10,001].
    """

    blend: tuple[float, ...]
    temperature: float
    strange: np.ndarray
    outside: np.ndarray


# --- columns: arrays in, arrays out ---------------------------------------------------------------


def floats(column: Values, name: str) -> np.ndarray:
    """A column of numbers, truth values or times as float64[n]; nulls and NaN are NaN, infinity is clipped.

    Raises InputError for text that is not a number and for columns that hold no numbers.
    """
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_time64(kind) or pa.types.is_duration(kind):
        column = column.cast(pa.int64())
    elif pa.types.is_date(kind) or pa.types.is_time32(kind):
        column = column.cast(pa.timestamp("s") if pa.types.is_date(kind) else pa.int32()).cast(pa.int64())
    try:
        wide = column.cast(pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as e:
        raise InputError("table_not_a_number", column=name, type=str(kind)) from e
    # the forests read float32
    return np.clip(np.array(wide.to_numpy(zero_copy_only=False), np.float64), -3e38, 3e38)


def _kind(column: Values, name: str) -> Literal["number", "category"]:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "category"
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise InputError("table_column_type", column=name, type=str(kind))
    return "number"


def _text(column: Values) -> Values:
    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    return plain.cast(pa.string())


def _codes(column: Column, values: Values) -> np.ndarray:
    """float64[n]: 0 rare or unseen, 1.. a known category, NaN null."""
    said = _text(values)
    code = (positions(said, pa.array(column.values, pa.string())) + 1).astype(np.float64)
    code[np.asarray(said.is_null().to_numpy(zero_copy_only=False), bool)] = np.nan
    return code


def read(column: Column, values: Values) -> np.ndarray:
    """One column as the trees read it: float64[n], NaN = null."""
    return _codes(column, values) if column.kind == "category" else floats(values, column.name)


def encode(columns: Sequence[Column], rows: pa.RecordBatch) -> np.ndarray:
    """float64[n, columns]; raises InputError where a column is missing or of another kind."""
    absent = [c.name for c in columns if c.name not in rows.schema.names]
    if absent:
        raise InputError(
            "table_column_missing", columns=", ".join(absent), available=", ".join(rows.schema.names)
        )
    return np.column_stack([read(c, rows.column(c.name)) for c in columns])


def _spread(column: Column, x: np.ndarray) -> np.ndarray:
    """Numbers on the scale of the histogram: linear near the centre, logarithmic far away."""
    return np.arcsinh((x - column.centre) / column.scale)


def bins(column: Column, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64[n]: each cell's bin, nulls in the last; float64[n]: bins between it and all of training."""
    null = np.isnan(x)
    if column.kind == "category":
        return np.where(null, len(column.values) + 1, x).astype(np.int64), np.zeros(len(x))
    u = _spread(column, np.where(null, column.centre, x))
    width = (column.high - column.low) / BINS or 1 / BINS
    beyond = np.maximum(0, np.maximum(u - column.high, column.low - u)) / width
    place = np.clip((u - column.low) / width, 0, BINS - 1).astype(np.int64)
    return np.where(null, BINS, place), np.where(null, 0, beyond)


def learn_column(name: str, values: Values) -> Column:
    """What one column of training rows looks like: n >= 1 rows, all of them null at worst."""
    if _kind(values, name) == "category":
        coded = _text(values).drop_null().dictionary_encode()
        counts = np.bincount(coded.indices.to_numpy(), minlength=len(coded.dictionary))
        often = [(-int(n), v) for n, v in zip(counts, strings(coded.dictionary), strict=True) if n > 1]
        column = Column(name=name, kind="category", values=tuple(str(v) for _, v in sorted(often)[:CODES]))
        x = _codes(column, values)
    else:
        x = floats(values, name)
        seen = x[~np.isnan(x)]
        low, centre, high = np.quantile(seen, [0.25, 0.5, 0.75]) if len(seen) else (0.0, 0.0, 0.0)
        scale = high - low or (float(np.ptp(seen)) if len(seen) else 0.0) or max(1.0, abs(centre))
        column = Column(name=name, kind="number", centre=float(centre), scale=float(scale))
        u = _spread(column, seen) if len(seen) else np.zeros(1)
        column = replace(column, low=float(u.min()), high=float(u.max()))
    size = len(column.values) + 2 if column.kind == "category" else BINS + 1
    count = np.bincount(bins(column, x)[0], minlength=size).astype(np.float64)
    gap = np.zeros(size)
    if column.kind == "category":
        gap[0] = count[0] == 0  # never seen, where training had no rare values either
    elif count[:-1].sum() == 0:
        gap[:-1] = 1.0
    gap[-1] = count[-1] == 0
    mass = (count + 0.5) / (len(x) + 0.5 * size)
    distinct = len(np.unique(x[~np.isnan(x)])) + bool(np.isnan(x).any())
    return replace(column, mass=tuple(mass.tolist()), gap=tuple(gap.tolist()), varies=distinct > 1)


def strangeness(columns: Sequence[Column], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two measures of how little a row resembles training, float64[n] each: larger is stranger.

    First the sum over columns of -log share of the cell's bin (histogram-based outlier score, Goldstein and
    Dengel 2012), then how far its cells lie outside all that training saw: ranges, categories, nulls.
    """
    strange, outside = np.zeros(len(x)), np.zeros(len(x))
    for j, column in enumerate(columns):
        place, beyond = bins(column, x[:, j])
        strange -= np.log(np.asarray(column.mass))[place]
        outside += beyond + np.asarray(column.gap)[place]
    return strange, outside


def in_scope(calibration: Calibration, strange: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """float64[n] in (0, 1]: .5 where a row is stranger than 99 % of held-out training rows.

    p / (p + .01), p = share of held-out training rows at least as strange, by the more alarming measure;
    p cannot fall below 1 / (rows + 1): 100 rows of training can only just call a row out of scope.
    """
    share = [
        (1 + len(seen) - np.searchsorted(seen, measure - 1e-9)) / (len(seen) + 1)
        for seen, measure in ((calibration.strange, strange), (calibration.outside, outside))
    ]
    p = np.minimum(*share)
    return p / (p + 0.01)


# --- members, blend, temperature ------------------------------------------------------------------


def blend_weights(member: np.ndarray, weight: np.ndarray, rounds: int = 100) -> np.ndarray:
    """Shares of a mixture with the least log loss, by expectation-maximisation.

    member: float64[m, n], each member's probability of the right class; weight: float64[n]. One pseudo-row
    a member keeps few rows from deciding alone. Members below 2 % leave, except the last (frequencies).
    """
    m, total = len(member), weight.sum()
    share = np.full(m, 1 / m)
    for _ in range(rounds):
        part = share[:, None] * member
        part /= np.maximum(part.sum(0), 1e-300)
        share = ((part * weight).sum(1) + 1) / (total + m)
    share[:-1][share[:-1] < 0.02] = 0
    return np.asarray(share / share.sum())


def cooled(probs: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities float64[n, k] whose logarithms are divided by a temperature."""
    log = np.log(np.maximum(probs, 1e-300)) / temperature
    raised = np.exp(log - log.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True))


def best_temperature(probs: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """The temperature in [1/3, 3] with the least log loss of classes y; few rows are held near 1."""
    from scipy.optimize import minimize_scalar

    def loss(log_t: float) -> float:
        right = cooled(probs, float(np.exp(log_t)))[np.arange(len(y)), y]
        return float(-(weight * np.log(np.maximum(right, 1e-12))).sum() + log_t**2)

    found = minimize_scalar(loss, bounds=(-np.log(3), np.log(3)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def _estimator(name: str, x: np.ndarray, categories: Sequence[bool], classes: int, size: Size) -> Any:
    """An unfitted member; large tables cost each tree a sample and bounded leaves, never unbounded memory."""
    from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier

    rows, width = x.shape
    if name == "boosted":
        rounds = size.rounds if classes <= 10 else max(30, size.rounds * 10 // classes)
        return HistGradientBoostingClassifier(
            max_iter=rounds,
            learning_rate=min(0.3, 12.0 / rounds),
            l2_regularization=1.0,
            max_features=0.5,
            early_stopping=False,
            categorical_features=list(categories) if any(categories) else None,
        )
    leaves = max(1024, 12_000 // classes)
    cap = None if rows <= leaves else leaves
    sample = None if rows <= 50_000 else 50_000
    if name == "extra":
        width = min(width, max(32, int(width**0.5)))
        return ExtraTreesClassifier(
            size.trees,
            max_features=width,
            max_leaf_nodes=cap,
            bootstrap=sample is not None,
            max_samples=sample,
        )
    return RandomForestClassifier(size.trees, max_leaf_nodes=cap, max_samples=sample)


@cache
def _threads() -> Any:
    import sklearn.ensemble  # noqa: F401  the controller knows only libraries that are loaded
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_thread() -> Any:
    """A context in which sums are added in one order, and small batches do not wait for idle threads."""
    return _threads().limit(limits=1)


def _used(columns: Sequence[Column]) -> list[int]:
    """Positions of the columns that the trees read: a constant teaches nothing (one stays, for the shape)."""
    return [j for j, c in enumerate(columns) if c.varies] or [0]


def fit(
    rows: Rows, y: np.ndarray, weight: np.ndarray, classes: int, members: Sequence[str], size: Size, seed: int
) -> Fit:
    """Learn columns, class frequencies and the named members from n >= 1 rows.

    y: int64[n] class positions; weight: float64[n], > 0. One class only: no members, frequencies alone.
    """
    columns = tuple(learn_column(name, rows.column(name)) for name in rows.schema.names)
    weight = weight / weight.mean()
    prior = np.bincount(y, weight, classes) + 0.5
    fitted: dict[str, Any] = {}
    if len(np.unique(y)) > 1:
        used = _used(columns)
        x = encode([columns[j] for j in used], rows)
        x = np.where(np.isnan(x).all(0), 0.0, x)
        categories = [columns[j].kind == "category" for j in used]
        with one_thread():
            for name in members:
                model = _estimator(name, x, categories, classes, size)
                fitted[name] = model.set_params(random_state=seed % 2**32).fit(x, y, weight)
    return Fit(columns=columns, members=fitted, prior=prior / prior.sum())


def member_probs(fitted: Fit, x: np.ndarray, names: Sequence[str] = MEMBERS) -> np.ndarray:
    """float64[len(names) + 1, n, k]; last the class frequencies, which also stand in for absentees."""
    out = np.tile(fitted.prior, (len(names) + 1, len(x), 1))
    used = x[:, _used(fitted.columns)]
    voting = [(i, name) for i, name in enumerate(names) if name in fitted.members and len(x)]
    with one_thread():
        for i, name in voting:
            model = fitted.members[name]
            out[i] = 0
            out[i][:, np.asarray(model.classes_, np.int64)] = model.predict_proba(used)
    return out


def outer_probs(member: np.ndarray, blend: Sequence[float]) -> np.ndarray:
    """float64[n, k] from float64[m, n, k]: the members' weighted mean, added in one fixed order."""
    total = np.zeros(member.shape[1:])
    for share, probs in zip(blend, member, strict=True):
        if share:
            total += share * probs
    return total


def calibrate(
    member: np.ndarray, y: np.ndarray, weight: np.ndarray, strange: np.ndarray, outside: np.ndarray
) -> Calibration:
    """Constants from held-out rows: member float64[m, n, k], the rest [n]. No rows: plain averages."""
    names = len(MEMBERS)
    if not len(y):
        blend, temperature = (*[1 / names] * names, 0.0), 1.0
    else:
        weight = weight / weight.mean()
        blend = tuple(blend_weights(member[:, np.arange(len(y)), y], weight).tolist())
        temperature = best_temperature(outer_probs(member, blend), y, weight)
    points = np.linspace(0, len(strange) - 1, min(len(strange), 10_001)).astype(np.int64)
    return Calibration(
        blend=blend,
        temperature=temperature,
        strange=np.sort(strange)[points],
        outside=np.sort(outside)[points],
    )


# --- the model and its trainer --------------------------------------------------------------------


def answer(
    classes: Sequence[str], probs: np.ndarray, scope: np.ndarray, asked: np.ndarray | None = None
) -> Answers:
    """Answers of n rows: probs float64[n, k], scope float64[n]; null where `asked` bool[n] is false."""
    import pyarrow.compute as pc

    asked = np.ones(len(probs), bool) if asked is None else asked
    narrow = probs.astype(np.float32)
    best = narrow.argmax(1) if len(narrow) else np.zeros(0, np.int64)
    silent = ~asked
    flat = pa.array(narrow.ravel(), pa.float32())
    vectors = pa.FixedSizeListArray.from_arrays(flat, len(classes), mask=pa.array(silent))
    named = pa.array(list(classes), pa.string()).take(pa.array(best, pa.int64(), mask=silent))
    status = pc.if_else(pa.array(asked), "answered", pa.scalar(None, pa.string()))
    return Answers(
        pa.RecordBatch.from_arrays(
            [
                named,
                pa.array(narrow.max(1, initial=0.0), pa.float32(), mask=silent),
                pa.array(scope.astype(np.float32), pa.float32(), mask=silent),
                vectors,
                status,
            ],
            names=["prediction", "confidence", "in_scope", "probs", "_status"],
        )
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class TableModel:
    """A respondent over the columns it was trained on; others are ignored, missing ones are an InputError."""

    classes: tuple[str, ...]
    fitted: Fit
    calibration: Calibration

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.fitted.columns)

    def __call__(self, rows: Rows, /) -> Answers:
        size = max(1, 2_000_000 // len(self.classes))
        parts = [self._part(rows.slice(at, size)) for at in range(0, max(1, len(rows)), size)]
        return Answers(concat(parts))

    def _part(self, rows: pa.RecordBatch) -> Answers:
        x = encode(self.fitted.columns, rows)
        total = outer_probs(member_probs(self.fitted, x), self.calibration.blend)
        scope = in_scope(self.calibration, *strangeness(self.fitted.columns, x))
        return answer(self.classes, cooled(total, self.calibration.temperature), scope)

    def save(self, folder: Path) -> None:
        """model.json (names the loader), scope.npz, and one .skops for each member that votes."""
        import skops.io
        from sklearn import __version__ as version

        folder.mkdir(parents=True, exist_ok=True)
        for name, member in self.fitted.members.items():
            skops.io.dump(member, folder / f"{name}.skops", compression=zipfile.ZIP_DEFLATED, compresslevel=6)
        np.savez(folder / "scope.npz", strange=self.calibration.strange, outside=self.calibration.outside)
        said = {
            "loader": LOADER,
            "scikit-learn": version,
            "classes": self.classes,
            "columns": [asdict(column) for column in self.fitted.columns],
            "members": sorted(self.fitted.members),
            "prior": self.fitted.prior.tolist(),
            "blend": self.calibration.blend,
            "temperature": self.calibration.temperature,
        }
        (folder / "model.json").write_text(json.dumps(said, ensure_ascii=False, indent=1), "utf-8")


def _column(said: Mapping[str, Any]) -> Column:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in said.items()}
    return Column(**fields)


def _member(path: Path) -> Any:
    """One saved member; Damaged if the file would build anything but the trees we save."""
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.io.load(path, trusted=list(TRUSTED))
    except (UntrustedTypesFoundException, KeyError, TypeError, zipfile.BadZipFile) as e:
        raise Damaged("table_model_untrusted", file=str(path), detail=str(e)) from e


def load(folder: Path) -> TableModel:
    """The model in a folder; Damaged for more than trees, InputError for another scikit-learn."""
    from sklearn import __version__ as version

    said = json.loads((folder / "model.json").read_text("utf-8"))
    made = said["scikit-learn"]
    if made.split(".")[:2] != version.split(".")[:2]:  # trees of another release may answer otherwise
        raise InputError("table_model_version", folder=str(folder), made=made, here=version)
    columns = tuple(_column(column) for column in said["columns"])
    members = {name: _member(folder / f"{name}.skops") for name in MEMBERS if name in said["members"]}
    with np.load(folder / "scope.npz", allow_pickle=False) as scope:
        calibration = Calibration(
            blend=tuple(said["blend"]),
            temperature=said["temperature"],
            strange=scope["strange"],
            outside=scope["outside"],
        )
    fitted = Fit(columns=columns, members=members, prior=np.asarray(said["prior"]))
    return TableModel(classes=tuple(said["classes"]), fitted=fitted, calibration=calibration)


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A mixture as arrays: the input columns, class positions int64[n], weights float64[n]."""

    rows: Rows
    classes: tuple[str, ...]
    y: np.ndarray
    weight: np.ndarray


def lesson(mixture: Mixture) -> Lesson:
    """What the trees learn from; NotEnough below two classes, InputError for rows without a target."""
    classes, y, weight = labels_of(mixture)
    absent = [name for name in mixture.task.inputs if name not in mixture.records.schema.names]
    if absent:
        available = ", ".join(mixture.records.schema.names)
        raise InputError("table_column_missing", columns=", ".join(absent), available=available)
    return Lesson(
        rows=rows_of(mixture.records, mixture.task.inputs),
        classes=classes,
        y=y,
        weight=weight,
    )


def _own_folds(rows: Rows, seed: int, folds: int = 5) -> np.ndarray:
    """int8[n]: identical rows share a fold."""
    offsets, body = cells(rows)
    key = seed.to_bytes(16, "little", signed=False)
    digests = (
        hashlib.blake2b(body[offsets[i] : offsets[i + 1]], digest_size=8, key=key).digest()
        for i in range(len(rows))
    )
    return np.array([int.from_bytes(d, "little") % folds for d in digests], np.int8)


@dataclass(frozen=True, kw_only=True)
class TableBoosted:
    """Trainer of tables; see `table_boosted`."""

    size: Size = field(default_factory=Size)

    def __call__(self, parent: Model | None, mixture: Mixture, seed: int) -> TableModel:
        """One fit with the parent's calibration where its columns and classes are ours, else a cross-fit."""
        taught = lesson(mixture)
        if not isinstance(parent, TableModel) or parent.inputs != mixture.task.inputs:
            folds = _own_folds(taught.rows, seed)
            return self._crossfit(taught, folds, seed)[0]
        return self._final(taught, parent.calibration, seed)

    def crossfit(self, parent: Model | None, mixture: Mixture, folds: np.ndarray, seed: int) -> CrossFit:
        """One fit a fold and one on all rows; folds int8[n], -1 = never held out (its answer is null)."""
        taught = lesson(mixture)
        model, answers, fits = self._crossfit(taught, folds, seed)
        return CrossFit(model=model, answers=answers, fits=fits)

    def _fit(self, taught: Lesson, chosen: np.ndarray, members: Sequence[str], seed: int) -> Fit:
        rows = Rows(take(taught.rows, chosen))
        k = len(taught.classes)
        return fit(rows, taught.y[chosen], taught.weight[chosen], k, members, self.size, seed)

    def _final(self, taught: Lesson, calibration: Calibration, seed: int) -> TableModel:
        voting = [name for name, share in zip(MEMBERS, calibration.blend, strict=False) if share > 0]
        fitted = self._fit(taught, taught.weight > 0, voting, seed)
        return TableModel(classes=taught.classes, fitted=fitted, calibration=calibration)

    def _crossfit(self, taught: Lesson, folds: np.ndarray, seed: int) -> tuple[TableModel, Answers, int]:
        n, k = len(taught.y), len(taught.classes)
        member = np.zeros((len(MEMBERS) + 1, n, k))
        member[:] = 1 / k
        strange, outside, held = np.zeros(n), np.zeros(n), folds >= 0
        for fold in np.unique(folds[held]):
            mine = folds == fold
            seen = ~mine & (taught.weight > 0)
            if not seen.any():
                continue
            fitted = self._fit(taught, seen, MEMBERS, seed)
            x = encode(fitted.columns, take(taught.rows, mine))
            member[:, mine] = member_probs(fitted, x)
            strange[mine], outside[mine] = strangeness(fitted.columns, x)
        heard = held & (taught.weight > 0)
        calibration = calibrate(
            member[:, heard], taught.y[heard], taught.weight[heard], strange[heard], outside[heard]
        )
        probs = cooled(outer_probs(member, calibration.blend), calibration.temperature)
        answers = answer(taught.classes, probs, in_scope(calibration, strange, outside), held)
        model = self._final(taught, calibration, seed)
        return model, answers, len(np.unique(folds[held])) + 1


def table_boosted(trees: int = 200, rounds: int = 150) -> TableBoosted:
    """Boosting, extra trees and a random forest over columns of any type, calibrated out of fold.

    trees: of each forest; rounds: of boosting (fewer above 10 classes). Texts are categories (numbers held
    as text stay text), nulls are information, values never seen are treated like rare ones.
    """
    return TableBoosted(size=Size(trees=trees, rounds=rounds))
