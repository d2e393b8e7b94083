"""Shipped models of pictures: the graph is the net, int8 is a third of it, and broken files get the prior."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.errors import InputError
from bapsim.core.recipe import Mixture
from bapsim.core.records import Records, Rows, Task
from bapsim.ship import runtime
from bapsim.ship.pack import write
from bapsim.ship.pictures import picture_files, picture_head, picture_vectors, quantised_head
from bapsim.train.image import ImageModel, image_linear, made_up
from bapsim.train.image_cnn import UNIT, ImageNet, load, read, scores_of
from bapsim.train.text import Calibration
from bapsim.wheel.device import Device
from bapsim.wheel.making import Rest, make
from bapsim.wheel.portable import picture_parts
from tests.image.pictures import encoded, kind_of, part
from tests.image.test_convolve import made

TASK = Task(input="image", target="label", kind="image")


def pictures(count: int, seed: int = 0) -> tuple[list[bytes], list[str]]:
    numbers = range(1000 * seed, 1000 * seed + count)
    return [encoded(part(i, kind_of(i))) for i in numbers], [kind_of(i) for i in numbers]


def rows(bodies: list[bytes]) -> Rows:
    return Rows(pa.RecordBatch.from_pydict({"image": pa.array(bodies, pa.binary())}))


@pytest.fixture(scope="module")
def linear() -> ImageModel:
    bodies, labels = pictures(80)
    records = Records(pa.RecordBatch.from_pydict({"image": pa.array(bodies, pa.binary()), "label": labels}))
    model = image_linear()(None, Mixture(task=TASK, records=records), 0)
    assert isinstance(model, ImageModel)
    return model


def net(pooled: bool = False) -> ImageNet:
    said = Calibration(cost=0.0, slope=2.0, bend=0.5, shift=0.3, low=-0.2, middle=0.4)
    prior = np.array([0.1, 0.2, 0.3, 0.4])
    return ImageNet(
        classes=("a", "b", "c", "d"),
        inputs=("image",),
        side=16,
        net=made(3, pooled),
        prior=prior,
        calibration=said,
    )


def put(model: ImageModel | ImageNet, folder: Path, head: bytes | None = None) -> Path:
    parts = picture_parts(model)
    write(folder, picture_files(parts, head or picture_head(parts), made_up()), picture_vectors)
    return folder


@pytest.mark.parametrize("kind", ["net", "pooled", "linear"])
def test_files_answer_as_their_model(kind, linear, tmp_path):
    model = linear if kind == "linear" else net(kind == "pooled")
    device = runtime.Model(put(model, tmp_path))
    bodies = [*pictures(40, 1)[0], *made_up(), b"", b"no picture", encoded(np.zeros((1, 1), np.uint8))]
    expected = model(rows(bodies))
    probs, scope = device.raw(bodies)
    told = np.asarray(expected.column("probs").flatten()).reshape(len(bodies), -1)
    assert np.abs(probs - told).max() <= 2e-6
    assert np.abs(scope - expected.column("in_scope").to_numpy()).max() <= 2e-5
    assert [one["prediction"] for one in device(bodies)] == expected.column("prediction").to_pylist()
    assert device(bodies)[-2]["in_scope"] == 0


def test_a_device_of_pictures_in_a_process_of_its_own(linear, tmp_path):
    folder = put(linear, tmp_path / "m")
    device = Device(folder=folder, inputs=("image",), answer="class", classes=linear.classes, kind="image")
    bodies = [*pictures(5, 2)[0], b"broken"]
    assert (
        device(rows(bodies)).column("prediction").to_pylist()
        == linear(rows(bodies)).column("prediction").to_pylist()
    )
    assert device.measured(rows(bodies))["p50_ms"] > 0
    vectors = json.loads((folder / "vectors.json").read_text("utf-8"))
    assert [one["file"] for one in vectors] == [f"pictures/{i}.png" for i in range(4)]
    assert not list(folder.rglob("__pycache__"))


def test_int8_convolutions_are_a_third_and_close(tmp_path):
    from bapsim.image.convolve import Net
    from tests.image.test_convolve import Block, conv

    rng = np.random.default_rng(0)
    blocks = tuple(Block(conv(rng, 32, 32, 3), conv(rng, 32, 32, 3)) for _ in range(3))
    ends = np.full(3, 0.5, np.float32)
    wide = Net(
        conv(rng, 3, 32, 3),
        False,
        blocks,
        rng.normal(size=(32, 4)).astype(np.float32),
        np.zeros(4, np.float32),
        ends,
        ends,
    )
    model = net()
    model = ImageNet(**{**{f: getattr(model, f) for f in model.__dataclass_fields__}, "net": wide})
    parts = picture_parts(model)
    squares, _ = read(rows(pictures(120, 4)[0]), ("image",), 16)
    head = picture_head(parts)
    small = quantised_head(head, squares)
    assert len(small) <= 0.36 * len(head)
    assert small == quantised_head(head, squares), "the same bytes"
    before = runtime.Model(put(model, tmp_path / "a")).raw(pictures(60, 5)[0])[0]
    after = runtime.Model(put(model, tmp_path / "b", small)).raw(pictures(60, 5)[0])[0]
    assert np.abs(before - after).max() < 0.1


def test_a_net_is_stored_and_answers_as_before(tmp_path):
    model = net()
    model.save(tmp_path)
    again, bodies = load(tmp_path), pictures(9)[0]
    assert again(rows(bodies)).equals(model(rows(bodies)))
    squares, known = read(rows(bodies), ("image",), 16)
    assert known.all()
    assert scores_of(model.net, squares) == pytest.approx(model.net.scores(squares) / UNIT, abs=1e-6)


@pytest.mark.parametrize("target", ["student", "folder", "onnx-int8"])
def test_targets_that_pictures_do_not_have_are_named(target, linear, tmp_path):
    class Stock:
        task = TASK

    rest = Rest(
        stock=Stock(), eaten=np.zeros(0, bool), pool=np.zeros(0, bool), weight=np.zeros(0), secret=b""
    )  # type: ignore[arg-type]
    with pytest.raises(InputError, match="onnx"):
        make(linear, rest, target, tmp_path)
