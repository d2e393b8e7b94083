"""Trees over columns: the members that vote in every table model, fitted fold by fold, and kept in files."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bapsim.core.arrow import cells, take
from bapsim.core.errors import Damaged, InputError
from bapsim.core.recipe import Mixture
from bapsim.core.records import Rows, rows_of
from bapsim.train.columns import Column, column_of, encode, learn_column, strangeness, used

MEMBERS = ("boosted", "extra", "forest")
TRUSTED = (  # what skops may build besides its own defaults; anything else in a file is refused
    "functools.partial",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
)
_NAME = re.compile(r"[a-z]+(-[0-9]+)?")  # a member's file lies in the model's folder


@dataclass(frozen=True, kw_only=True)
class Size:
    """trees: of each forest; rounds: of boosting."""

    trees: int = 200
    rounds: int = 150


def estimator(name: str, x: np.ndarray, categories: Sequence[bool], outcomes: int, size: Size) -> Any:
    """An unfitted member; large tables cost each tree a sample and bounded leaves, never unbounded memory.

    outcomes: numbers at a leaf: classes, labels, or 0 for one that is no share (regression).
    """
    from sklearn import ensemble

    kind, (rows, width), wide = "Classifier" if outcomes else "Regressor", x.shape, max(outcomes, 1)
    if name == "boosted":
        rounds = size.rounds if wide <= 10 else max(30, size.rounds * 10 // wide)
        return getattr(ensemble, f"HistGradientBoosting{kind}")(
            max_iter=rounds,
            learning_rate=min(0.3, 12.0 / rounds),
            l2_regularization=1.0,
            max_features=0.5,
            early_stopping=False,
            categorical_features=list(categories) if any(categories) else None,
        )
    leaves = max(1024, 12_000 // wide)
    cap = None if rows <= leaves else leaves
    sample = None if rows <= 50_000 else 50_000
    if name == "extra":
        narrow = width if kind == "Regressor" else min(width, max(32, int(width**0.5)))
        return getattr(ensemble, f"ExtraTrees{kind}")(
            size.trees,
            max_features=narrow,
            max_leaf_nodes=cap,
            bootstrap=sample is not None,
            max_samples=sample,
        )
    return getattr(ensemble, f"RandomForest{kind}")(size.trees, max_leaf_nodes=cap, max_samples=sample)


@cache
def _threads() -> Any:
    import sklearn.ensemble  # noqa: F401  the controller knows only libraries that are loaded
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_thread() -> Any:
    """A context in which sums are added in one order, and small batches do not wait for idle threads."""
    return _threads().limit(limits=1)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What one training run learned: how to read the columns, the members by name, and what is said where
    none of them votes: class frequencies, shares of labels, or the median.
    """

    columns: tuple[Column, ...]
    members: Mapping[str, Any]
    prior: np.ndarray


def unequal(weight: np.ndarray) -> np.ndarray | None:
    """Weights of mean 1, or None where all are equal: boosting bins columns ten times faster without."""
    return None if np.ptp(weight) == 0 else weight / weight.mean()


def columns_of(rows: Rows) -> tuple[Column, ...]:
    """What all columns look like, from n >= 1 rows."""
    return tuple(learn_column(name, rows.column(name)) for name in rows.schema.names)


def seen_by_trees(columns: Sequence[Column], rows: Rows) -> tuple[np.ndarray, list[bool]]:
    """float64[n, used columns], and which of them are categories; a column without values is 0."""
    chosen = [columns[j] for j in used(columns)]
    x = encode(chosen, rows)
    return np.where(np.isnan(x).all(0), 0.0, x), [column.kind == "category" for column in chosen]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What members that did not see them say of n rows: member float64[m, n, ...]; strange, outside
    float64[n]; held, heard: bool[n], rows that were asked about, and those of them that count.
    """

    member: np.ndarray
    strange: np.ndarray
    outside: np.ndarray
    held: np.ndarray
    heard: np.ndarray
    fits: int


def hold_out(
    rows: Rows,
    folds: np.ndarray,
    weight: np.ndarray,
    member: np.ndarray,
    fit: Callable[[np.ndarray], Fit],
    say: Callable[[Fit, np.ndarray], np.ndarray],
) -> HeldOut:
    """Fits on bool[n] rows, and what each fit says of encoded rows, fold by fold; folds int8[n], -1 = never
    held out; member: what stands where nobody is asked.
    """
    strange, outside, held = np.zeros(len(rows)), np.zeros(len(rows)), folds >= 0
    member = member.copy()
    for fold in np.unique(folds[held]):
        mine = folds == fold
        seen = ~mine & (weight > 0)
        if not seen.any():
            continue
        fitted = fit(seen)
        x = encode(fitted.columns, take(rows, mine))
        member[:, mine] = say(fitted, x)
        strange[mine], outside[mine] = strangeness(fitted.columns, x)
    heard, fits = held & (weight > 0), len(np.unique(folds[held]))
    return HeldOut(member=member, strange=strange, outside=outside, held=held, heard=heard, fits=fits)


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


def blended(member: np.ndarray, blend: Sequence[float]) -> np.ndarray:
    """The members' weighted mean float64[n, ...] of float64[m, n, ...], added in one fixed order."""
    total = np.zeros(member.shape[1:])
    for share, said in zip(blend, member, strict=True):
        if share:
            total += share * said
    return total


def input_columns(mixture: Mixture) -> Rows:
    """The input columns of a mixture; InputError where one is missing."""
    absent = [name for name in mixture.task.inputs if name not in mixture.records.schema.names]
    if absent:
        available = ", ".join(mixture.records.schema.names)
        raise InputError("table_column_missing", columns=", ".join(absent), available=available)
    return rows_of(mixture.records, mixture.task.inputs)


# --- on disk --------------------------------------------------------------------------------------


def write(folder: Path, fitted: Fit, scope: Any, said: dict[str, Any]) -> None:
    """model.json (`said` and how columns are read), scope.npz, and one .skops for each member that votes."""
    import skops.io
    from sklearn import __version__ as version

    folder.mkdir(parents=True, exist_ok=True)
    for name, member in fitted.members.items():
        skops.io.dump(member, folder / f"{name}.skops", compression=zipfile.ZIP_DEFLATED, compresslevel=6)
    np.savez(folder / "scope.npz", strange=scope.strange, outside=scope.outside)
    whole = {
        "scikit-learn": version,
        "columns": [asdict(column) for column in fitted.columns],
        "members": sorted(fitted.members),
        "prior": fitted.prior.tolist(),
    }
    (folder / "model.json").write_text(json.dumps(said | whole, ensure_ascii=False, indent=1), "utf-8")


def stored(folder: Path) -> tuple[dict[str, Any], Fit, dict[str, np.ndarray]]:
    """What `write` wrote: model.json, the fit, scope.npz; Damaged for more than trees, InputError for another
    scikit-learn.
    """
    from sklearn import __version__ as version

    said = json.loads((folder / "model.json").read_text("utf-8"))
    made = said["scikit-learn"]
    if made.split(".")[:2] != version.split(".")[:2]:  # trees of another release may answer otherwise
        raise InputError("table_model_version", folder=str(folder), made=made, here=version)
    members = {name: _member(folder / f"{name}.skops") for name in said["members"] if _NAME.fullmatch(name)}
    columns = tuple(column_of(column) for column in said["columns"])
    with np.load(folder / "scope.npz", allow_pickle=False) as scope:
        measured = {name: scope[name] for name in ("strange", "outside")}
    return said, Fit(columns=columns, members=members, prior=np.asarray(said["prior"])), measured


def _member(path: Path) -> Any:
    """One saved member; Damaged if the file would build anything but the trees we save."""
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.io.load(path, trusted=list(TRUSTED))
    except (UntrustedTypesFoundException, KeyError, TypeError, zipfile.BadZipFile) as e:
        raise Damaged("table_model_untrusted", file=str(path), detail=str(e)) from e


def own_folds(rows: Rows, seed: int, folds: int = 5) -> np.ndarray:
    """int8[n]: identical rows share a fold."""
    offsets, body = cells(rows)
    key = seed.to_bytes(16, "little", signed=False)
    digests = (
        hashlib.blake2b(body[offsets[i] : offsets[i + 1]], digest_size=8, key=key).digest()
        for i in range(len(rows))
    )
    return np.array([int.from_bytes(d, "little") % folds for d in digests], np.int8)
