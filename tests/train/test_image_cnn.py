"""Networks for pictures: learnt by torch where it is installed, and the same from the same seed."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bapsim.core.errors import InputError, MissingExtra, RecipeError
from bapsim.core.fingerprint import fingerprint
from bapsim.core.recipe import Mixture
from bapsim.core.records import Task
from bapsim.image.convolve import arrays
from bapsim.judge.calibrate import calibration_error
from bapsim.train import image_net
from bapsim.train.image_cnn import ImageNet, image_cnn, read, side_of
from bapsim.train.image_net import Shape
from tests.image.pictures import encoded
from tests.train.test_image import mixture, parts, rows_of


def test_without_torch_it_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"bapsim\[vision\]"):
        image_cnn()(None, mixture(*parts(range(10))), 0)


def test_the_square_is_as_large_as_most_pictures() -> None:
    for size, side in ((8, 16), (16, 16), (20, 32), (48, 64), (300, 64)):
        body = encoded(np.zeros((size, size // 2), np.uint8))
        assert side_of(rows_of([body, None, b"broken"]), "image") == side
    assert side_of(rows_of([None]), "image") == 64


def test_a_checkpoint_is_known_by_its_content(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        image_cnn(checkpoint=tmp_path / "a.pth")
    names = []
    for folder, body in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "w.pth").write_bytes(body)
        names.append(fingerprint(image_cnn(checkpoint=tmp_path / folder / "w.pth")))
    assert names[0] == names[1] != names[2]
    assert fingerprint(image_cnn()) not in names


@pytest.fixture(scope="module")
def lesson() -> Mixture:
    pytest.importorskip("torch", reason="torch is not installed (the extra [vision])")
    return mixture(*parts(range(150)))


def test_it_learns_out_of_fold_and_is_the_same_from_the_same_seed(lesson: Mixture) -> None:
    folds = (np.arange(150) // 5 % 2).astype(np.int8)
    trainer = image_cnn(epochs=12, side=16)
    fitted = trainer.crossfit(None, lesson, folds, 3)
    gold = np.array(lesson.records.column("label").to_pylist())
    right = np.array(fitted.answers.column("prediction").to_pylist()) == gold
    assert right.mean() > 0.6, "more than the most frequent class has"
    assert fitted.fits == 3
    assert calibration_error(np.array(fitted.answers.column("confidence"), np.float64), right) < 0.12
    again = trainer(fitted.model, lesson, 3)
    other = trainer(fitted.model, lesson, 4)
    assert isinstance(fitted.model, ImageNet)
    assert isinstance(again, ImageNet)
    assert isinstance(other, ImageNet)
    same, new = arrays(again.net), arrays(other.net)
    for name, value in arrays(fitted.model.net).items():
        assert np.array_equal(value, same[name]), "the parent's constants, and the same fit"
    assert not np.array_equal(same["stem.weight"], new["stem.weight"])
    said = fitted.model(rows_of([None, b"broken"]))
    assert said.column("in_scope").to_pylist() == [0, 0]


@pytest.mark.parametrize("ending", ["pth", "tar"])
def test_numpy_answers_as_torch_and_a_checkpoint_is_a_start(
    ending: str, lesson: Mixture, tmp_path: Path
) -> None:
    torch = image_net.torch()
    torch.manual_seed(1)
    shape = Shape(stem=(7, 2), pooled=True, blocks=(2, 2, 1), widths=(8, 12, 16))
    module = image_net.built(shape, 5)
    module.train()
    for _ in range(3):
        module(torch.rand(8, 3, 32, 32))  # statistics that are no longer 0 and 1
    state = module.state_dict()
    torch.save(state if ending == "pth" else {"state_dict": state}, tmp_path / f"net.{ending}")
    found, seen = image_net.checkpoint(tmp_path / f"net.{ending}")
    assert seen == shape
    assert not [name for name in found if name.startswith("fc.")]
    module.eval()
    squares, _ = read(rows_of(parts(range(6))[0]), ("image",), 32)
    net = image_net.folded(module, shape, image_net.PLAIN)
    with torch.no_grad():
        expected = module((torch.from_numpy(squares) - 0.5) / 0.25).numpy()
    assert net.scores(squares) == pytest.approx(expected, abs=1e-4)
    model = image_cnn(epochs=1, side=32, checkpoint=tmp_path / f"net.{ending}")(None, lesson, 0)
    assert isinstance(model, ImageNet)
    assert model.net.stem.weight.shape == (8, 3, 7, 7)
    assert model.net.pooled


def test_what_is_no_checkpoint_is_refused(lesson: Mixture, tmp_path: Path) -> None:
    torch = image_net.torch()
    cases = {"text": b"no weights", "other": None}
    torch.save({"a.weight": torch.zeros(3)}, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_bytes(cases["text"] or b"")
    for name in cases:
        with pytest.raises(InputError, match="no start"):
            image_cnn(epochs=1, checkpoint=tmp_path / f"{name}.pth")(None, lesson, 0)


def test_pictures_have_one_class(lesson: Mixture) -> None:
    task = Task(input="image", target="label", kind="image", answer="labels")
    with pytest.raises(RecipeError):
        image_cnn()(None, Mixture(task=task, records=lesson.records), 0)
