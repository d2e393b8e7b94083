"""Pictures: learns what can be seen, is honest about its doubts, is saved without a picture in it."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.errors import Damaged, InputError, NotEnough
from bapsim.core.recipe import Mixture
from bapsim.core.records import Rows, Task
from bapsim.judge.calibrate import calibration_error
from bapsim.store.artifacts import load as load_model
from bapsim.train import image
from bapsim.train.image import ImageModel, image_linear, load, scaled, solve, sums
from tests.image.pictures import encoded, kind_of, part

TASK = Task(input="image", target="label", kind="image")


def rows_of(bodies: list[bytes | None]) -> Rows:
    return Rows(pa.record_batch({"image": pa.array(bodies, pa.large_binary())}))


def mixture(bodies: list[bytes | None], labels: list[str], weight: np.ndarray | None = None) -> Mixture:
    records = rows_of(bodies).append_column("label", pa.array(labels, pa.string()))
    return Mixture(task=TASK, records=records, weight=weight)  # type: ignore[arg-type]


def parts(numbers: range) -> tuple[list[bytes | None], list[str]]:
    return [encoded(part(i, kind_of(i))) for i in numbers], [kind_of(i) for i in numbers]


@pytest.fixture(scope="module")
def lesson() -> Mixture:
    return mixture(*parts(range(150)))


@pytest.fixture(scope="module")
def folds() -> np.ndarray:
    return (np.arange(150) // 5 % 5).astype(np.int8)


@pytest.fixture(scope="module")
def model(lesson: Mixture, folds: np.ndarray) -> ImageModel:
    return image_linear().crossfit(None, lesson, folds, 0).model  # type: ignore[return-value]


def test_it_learns_and_knows_how_sure_it_may_be(
    lesson: Mixture, folds: np.ndarray, model: ImageModel
) -> None:
    fitted = image_linear().crossfit(None, lesson, folds, 7)
    gold = np.array(lesson.records.column("label").to_pylist())
    right = np.array(fitted.answers.column("prediction").to_pylist()) == gold
    sure = np.array(fitted.answers.column("confidence"), np.float64)
    assert right.mean() > 0.85, "out of fold"
    assert calibration_error(sure, right) < 0.08
    bodies, labels = parts(range(1000, 1080))
    said = model(rows_of(bodies))
    assert np.mean(np.array(said.column("prediction").to_pylist()) == np.array(labels)) > 0.85
    probs = np.array(said.column("probs").flatten()).reshape(80, 3)
    assert np.allclose(probs.sum(axis=1), 1, atol=1e-5)


def test_out_of_fold_answers_did_not_see_the_row(lesson: Mixture, folds: np.ndarray) -> None:
    """The sums less a fold's are those of a fit on the other rows, and labels of held-out rows do nothing."""
    taught = image.learn_from(lesson)
    scale = image.learn_scale(taught.x, taught.weight)
    every = np.arange(150)
    seen = sums(taught, scale, every).less(sums(taught, scale, every[folds == 2]))
    plain = sums(taught, scale, every[folds != 2])
    assert np.allclose(solve(seen, 0.1).weights, solve(plain, 0.1).weights, atol=1e-8)
    assert np.allclose(solve(seen, 0.1).bias, solve(plain, 0.1).bias, atol=1e-8)


def test_the_same_rows_give_the_same_bytes(
    lesson: Mixture, folds: np.ndarray, model: ImageModel, tmp_path: Path
) -> None:
    again = image_linear().crossfit(None, lesson, folds, 99).model
    for name, one in (("a", model), ("b", again)):
        one.save(tmp_path / name)
    for file in ("head.npz", "model.json", "vectors.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_saved_model_answers_as_before_and_holds_no_picture(model: ImageModel, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    asked = rows_of(parts(range(300, 310))[0])
    loaded = load_model(tmp_path / "m")
    assert loaded(asked).equals(model(asked))
    assert {p.name for p in (tmp_path / "m").iterdir()} == {"head.npz", "model.json", "vectors.json"}
    assert sum(p.stat().st_size for p in (tmp_path / "m").iterdir()) < 200_000
    said = json.loads((tmp_path / "m" / "model.json").read_text())
    said["prior"] = said["prior"][::-1]
    said["calibration"]["slope"] *= 2
    (tmp_path / "m" / "model.json").write_text(json.dumps(said))
    with pytest.raises(Damaged, match="test pictures"):
        load(tmp_path / "m")


def test_what_is_no_picture_gets_the_class_frequencies(model: ImageModel) -> None:
    said = model(rows_of([b"no picture", None, encoded(part(3, "free"))]))
    probs = np.array(said.column("probs").flatten()).reshape(3, 3)
    assert np.allclose(probs[:2], model.prior, atol=1e-6)
    assert said.column("in_scope").to_pylist()[:2] == [0, 0]
    assert len(model(rows_of([]))) == 0


def test_what_training_never_saw_is_out_of_scope(model: ImageModel) -> None:
    rng = np.random.default_rng(1)
    strange = [encoded(rng.integers(0, 256, (40, 40, 3)).astype(np.uint8)) for _ in range(20)]
    own = np.array(model(rows_of(parts(range(400, 440))[0])).column("in_scope"))
    other = np.array(model(rows_of(strange)).column("in_scope"))
    assert np.mean(own > 0.5) > 0.8
    assert np.mean(other < 0.5) > 0.9
    z, inside = scaled(model.scale, np.full((1, 860), 1e6, np.float32))
    assert np.sqrt((z**2).sum()) <= model.scale.reach * (1 + 1e-9)
    assert inside[0] < 0.1


def test_weights_and_unreadable_rows(lesson: Mixture) -> None:
    bodies, labels = parts(range(60))
    weight = np.ones(120)
    weight[60:] = 0
    wrong = mixture([*bodies, *bodies], [*labels, *labels[1:], labels[0]], weight)
    heard = image_linear(ridge=0.1)(None, wrong, 0)
    plain = image_linear(ridge=0.1)(None, mixture(bodies, labels), 0)
    asked = rows_of(parts(range(500, 540))[0])
    a, b = heard(asked).column("prediction"), plain(asked).column("prediction")
    assert np.mean(np.array(a.to_pylist()) == np.array(b.to_pylist())) > 0.9
    with pytest.raises(NotEnough, match="one class"):
        image_linear()(None, mixture([*bodies[:5], b"bad"], ["free"] * 5 + ["crack"]), 0)


def test_a_refit_takes_the_constants_along(lesson: Mixture, model: ImageModel) -> None:
    refitted = image_linear()(model, lesson, 0)
    assert refitted.calibration == model.calibration
    assert np.allclose(refitted.head.weights, model.head.weights, atol=1e-6)


@pytest.mark.parametrize(
    ("columns", "key"),
    [({"text": pa.array(["a"])}, "picture_column_missing"), ({"image": pa.array(["a.png"])}, "not_bytes")],
)
def test_a_column_of_something_else_is_refused(
    model: ImageModel, columns: dict[str, pa.Array], key: str
) -> None:
    with pytest.raises(InputError) as caught:
        model(Rows(pa.record_batch(columns)))
    assert caught.value.key == key


def test_digits_by_hand(data: Path) -> None:
    """700 of mnist's pictures teach nine digits of ten and more."""
    with np.load(data / "mnist_label_errors" / "mnist.npz") as mnist:
        pictures, given = mnist["image"][:900], mnist["given"][:900]
    bodies: list[bytes | None] = [encoded(p) for p in pictures]
    labels = [str(g) for g in given]
    fitted = image_linear(ridge=0.3)(None, mixture(bodies[:700], labels[:700]), 0)
    said = fitted(rows_of(bodies[700:])).column("prediction").to_pylist()
    assert np.mean(np.array(said) == np.array(labels[700:])) > 0.92
