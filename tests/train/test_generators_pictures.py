"""Generators of pictures: files that open, of the class that was asked, and nothing from rubbish."""

import io
from importlib.util import find_spec

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from bapsim.core.errors import Damaged, InputError, NotEnough, RecipeError
from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Records, Rows, Task
from bapsim.image.pixels import look, square
from bapsim.store import artifacts
from bapsim.train.drawing import taught
from bapsim.train.image_augment import image_augment, shown
from bapsim.train.image_diffusion import basis, image_diffusion
from bapsim.train.image_gan import image_gan
from bapsim.train.squares import byte, lesson, signed

TRAINERS = {
    "augment": image_augment(),
    "diffusion": image_diffusion(steps=30, hidden=16, side=8),
    "gan": image_gan(steps=20, wide=8, side=8),
}


NO_TORCH = pytest.mark.skipif(
    find_spec("torch") is None, reason="torch is not installed (the extra [vision])"
)
NAMES = ["augment", *(pytest.param(name, marks=NO_TORCH) for name in ("diffusion", "gan"))]


def picture(rng: np.random.Generator, rare: bool, grey: bool) -> bytes:
    """A dark square of 12 pixels with a light half: on the left, in rare ones on the right."""
    values = rng.integers(0, 40, (12, 12, 1 if grey else 3))
    half = slice(6, 12) if rare else slice(0, 6)
    values[:, half] += 180
    body = io.BytesIO()
    pixels = values.astype(np.uint8)
    Image.fromarray(pixels[..., 0] if grey else pixels).save(body, "PNG")
    return body.getvalue()


def mixture(n: int, rare: int, *, grey: bool = False, broken: int = 0, answer: str = "class") -> Mixture:
    rng = np.random.default_rng(0)
    bodies = [picture(rng, i < rare, grey) for i in range(n)]
    for i in range(broken):
        bodies[-1 - i] = (b"", b"no picture", bodies[-1 - i][:40], None)[i % 4]
    label = ["crack" if i < rare else "fine" for i in range(n)]
    rows = pa.RecordBatch.from_pydict({"image": pa.array(bodies, pa.binary()), "defect": label})
    task = Task(input="image", target="defect", kind="image", answer=answer)
    return Mixture(task=task, records=Records(rows))


def asks(label: str, seeds) -> Rows:
    said = {"defect": pa.array([label] * len(seeds), pa.string()), "_seed": pa.array(list(seeds), pa.int64())}
    return Rows(pa.RecordBatch.from_pydict(said))


class Models(dict):
    """Each is trained when a test first asks for it."""

    def __missing__(self, name: str) -> Model:
        self[name] = TRAINERS[name](None, mixture(60, 12), 1)
        return self[name]


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


@pytest.mark.parametrize("name", NAMES)
def test_files_that_open_from_a_seed_kept_and_read_again(models, name, tmp_path):
    drawn = models[name](asks("crack", range(5)))
    assert drawn.schema.names == ["image"]
    bodies = drawn.column("image").to_pylist()
    side = 16 if name == "augment" else 8
    assert {(look(b).format, look(b).width, look(b).height) for b in bodies} == {("PNG", side, side)}
    assert len(set(bodies)) == 5
    artifacts.save(tmp_path / "a", models[name].save)
    again = artifacts.load(tmp_path / "a")
    assert again(asks("crack", [4, 1])).column("image").to_pylist() == [bodies[4], bodies[1]]
    twin = TRAINERS[name](None, mixture(60, 12), 1)
    assert twin(asks("crack", range(5))).column("image").to_pylist() == bodies
    assert (
        TRAINERS[name](None, mixture(60, 12), 2)(asks("crack", [0])).column("image").to_pylist() != bodies[:1]
    )
    if name != "augment":
        said = dict(np.load(tmp_path / "a" / "drawn.npz"))
        np.savez(tmp_path / "a" / "drawn.npz", **{n: v for n, v in said.items() if "weight" not in n})
        with pytest.raises(Damaged):
            artifacts.load(tmp_path / "a")


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_learnt_or_asked(models, name):
    trainer = TRAINERS[name]
    with pytest.raises(InputError, match="never seen"):
        models[name](asks("fray", [1]))
    with pytest.raises(NotEnough, match="cannot be read"):
        trainer(None, mixture(12, 4, broken=12), 0)
    with pytest.raises(NotEnough, match="two"):
        trainer(None, mixture(12, 12), 0)
    with pytest.raises(RecipeError, match="draws rows of a class"):
        trainer(None, mixture(12, 4, answer="labels"), 0)
    half = trainer(None, mixture(16, 14, broken=2), 0)  # all of the class "fine" is broken
    with pytest.raises(NotEnough, match="'fine' has 0 rows"):
        half(asks("fine", [1]))
    assert len(half(asks("crack", [1]))) == 1


def test_components_lead_to_pictures_and_back():
    rng = np.random.default_rng(0)
    flat = (rng.normal(size=(50, 3)) @ rng.normal(size=(3, 40)) + 5).astype(np.float32)
    found = basis(flat, np.full(50, 1 / 50), 0)
    assert len(found.parts) <= 3
    told = found.told(flat)
    assert told.std(axis=0) == pytest.approx(1, abs=0.02)
    lost = ((found.shown(told) - flat) ** 2).sum() / ((flat - flat.mean(axis=0)) ** 2).sum()
    assert lost < 0.02
    alike = np.ones((4, 6), np.float32)  # pictures that do not differ have nothing to be drawn by
    same = basis(alike, np.full(4, 0.25), 0)
    assert np.allclose(same.shown(same.told(alike)), alike)


def test_grey_pictures_are_drawn_grey():
    drawn = TRAINERS["augment"](None, mixture(12, 4, grey=True), 0)(asks("crack", range(3)))
    for body in drawn.column("image").to_pylist():
        assert Image.open(io.BytesIO(body)).mode == "L"
    assert lesson(mixture(12, 4), taught(mixture(12, 4), 1), None, 1).squares.shape == (12, 3, 16, 16)


def test_bytes_and_numbers_lead_to_each_other():
    every = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    assert np.array_equal(byte(signed(every)), every)
    assert byte(np.array([-9, 9], np.float32)).tolist() == [0, 255]


def test_a_picture_seen_anew_is_the_same_picture():
    rng = np.random.default_rng(0)
    one = rng.integers(0, 256, (3, 16, 16)).astype(np.uint8)
    assert np.array_equal(shown(one, 0, 0, 0, False, rng), one)
    mirrored = [shown(one, 0, 0, 0, True, rng) for _ in range(20)]
    assert {m.tobytes() for m in mirrored} == {one.tobytes(), one[:, :, ::-1].tobytes()}
    smooth = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (1, 16, 1))
    moved = shown(smooth, 5, 0.1, 0.1, False, rng)
    assert np.abs(moved.astype(int) - smooth).mean() < 40
    assert not np.array_equal(moved, smooth)


@NO_TORCH
def test_diffusion_learns_which_class_is_which():
    trainer = image_diffusion(steps=300, hidden=32, side=8)
    model = trainer(None, mixture(60, 12, grey=True), 0)
    for label, half in (("crack", slice(4, 8)), ("fine", slice(0, 4))):
        drawn = np.stack(
            [square(b, 8)[..., 0] for b in model(asks(label, range(24))).column("image").to_pylist()]
        )
        other = slice(0, 4) if half.start else slice(4, 8)
        right = drawn[:, :, half].mean(axis=(1, 2)) > drawn[:, :, other].mean(axis=(1, 2))
        assert right.mean() > 0.8, label
