"""Models of pictures as files: a convolutional network, or measured features under a linear head."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bapsim.core.errors import MissingExtra
from bapsim.image import features, pixels
from bapsim.image.convolve import Conv, Floats32, Net
from bapsim.ship import runtime
from bapsim.ship.graph import Graph, calibrated, scope
from bapsim.ship.pack import RUNTIME, as_json

NAMES = {"picture_pixels.py": pixels, "picture_features.py": features}


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """centre, spread float32[860] of the features; basis float32[860, m]; weights float64[v, k]; bias."""

    centre: Floats32
    spread: Floats32
    reach: float
    basis: Floats32
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    far: float
    strange: float


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureParts:
    """A model of pictures: a net over squares of `side` pixels, or a head over measured features."""

    classes: tuple[str, ...]
    inputs: tuple[str, ...]
    model: Net | Measured
    side: int
    unit: float  # scores are logits divided by it
    said: Mapping[str, Any]

    def about(self) -> dict[str, Any]:
        """spec.json of the folder."""
        given = {"features": isinstance(self.model, Measured), "side": self.side}
        return {
            "kind": "image",
            "answer": "class",
            "classes": list(self.classes),
            "inputs": list(self.inputs),
            "input": given,
            **self.said,
        }


def picture_files(parts: PictureParts, head: bytes, made_up: Sequence[bytes]) -> dict[str, bytes]:
    """The files of a model of pictures by name, without vectors and card; made_up: pictures to try it on."""
    files = {"spec.json": as_json(parts.about()), "head.onnx": head}
    files[RUNTIME] = Path(runtime.__file__).read_bytes()
    for name, module in NAMES.items():
        if name == "picture_pixels.py" or isinstance(parts.model, Measured):
            body = Path(str(module.__file__)).read_text("utf-8")
            files[name] = body.replace(
                "from bapsim.image.pixels import", "from picture_pixels import"
            ).encode()
    return files | {f"pictures/{i}.png": body for i, body in enumerate(made_up)}


def picture_vectors(folder: Path) -> bytes:
    """vectors.json: what this very folder answers to the pictures in it."""
    model = runtime.Model(folder)
    paths = sorted((folder / "pictures").glob("*.png"))
    said = model([path.read_bytes() for path in paths])
    return as_json(
        [{"file": f"pictures/{p.name}", "answer": told} for p, told in zip(paths, said, strict=True)]
    )


# --- graphs ---------------------------------------------------------------------------------------


def picture_head(parts: PictureParts) -> bytes:
    """head.onnx: pictures (or features) float32 and which could be read -> probs, in_scope."""
    g = Graph()
    if isinstance(parts.model, Measured):
        score, strange = _measured(g, parts.model)
        given: tuple[str, list[Any]] = ("FLOAT", ["n", features.WIDTH])
    else:
        logits = network(g, parts.model)
        score, strange = g.scaled(g.wide(logits), 1 / parts.unit), None
        given = ("FLOAT", ["n", 3, parts.side, parts.side])
    c = parts.said["calibration"]
    g.narrow(calibrated(g, parts.said, score, "known"), "probs")
    measure = g.node("ReduceMax", score, axes=[1], keepdims=0)
    if strange is not None:
        measure = g.node("Add", measure, g.scaled(strange, c["words_known"]))
    g.narrow(scope(g, c, measure, "known"), "in_scope")
    inputs = {"pictures": given, "known": ("BOOL", ["n"])}
    outputs = {"probs": ("FLOAT", ["n", len(parts.classes)]), "in_scope": ("FLOAT", ["n"])}
    return g.body(inputs, outputs)


def network(g: Graph, net: Net) -> str:
    """Logits float32[n, k] of squares float32[n, 3, side, side]."""
    centre, spread = (g.constant(one[None, :, None, None], np.float32) for one in (net.centre, net.spread))
    x = g.node("Div", g.node("Sub", "pictures", centre), spread)
    x = g.node("Relu", _convolution(g, x, net.stem))
    if net.pooled:
        x = g.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for block in net.blocks:
        past = x if block.around is None else _convolution(g, x, block.around)
        inside = g.node("Relu", _convolution(g, x, block.first))
        x = g.node("Relu", g.node("Add", _convolution(g, inside, block.second), past))
    flat = g.node("Flatten", g.node("GlobalAveragePool", x), axis=1)
    return g.node("Gemm", flat, g.constant(net.weights, np.float32), g.constant(net.bias, np.float32))


def _convolution(g: Graph, x: str, conv: Conv) -> str:
    k = conv.weight.shape[-1]
    weight, bias = g.constant(conv.weight, np.float32), g.constant(conv.bias, np.float32)
    sides: dict[str, Any] = {"kernel_shape": [k, k], "strides": [conv.stride] * 2, "pads": [k // 2] * 4}
    return g.node("Conv", x, weight, bias, **sides)


def _measured(g: Graph, head: Measured) -> tuple[str, str]:
    """Scores float64[n, k], and how far from training each picture is, float64[n]."""
    width = head.basis.shape[0]
    z = g.node("Sub", "pictures", g.constant(head.centre, np.float32))
    z = g.wide(g.node("Div", z, g.constant(head.spread, np.float32)))
    inside = _shortened(g, z, head.reach)
    limit = head.far / np.sqrt(width)
    z = g.clipped(z, -limit, limit)
    z = g.node("Mul", z, _shortened(g, z, head.reach))
    main = g.node("MatMul", z, g.constant(head.basis.astype(np.float64)))
    a, b = np.triu_indices(head.basis.shape[1])
    left, right = (g.node("Gather", main, g.constant(at, np.int64), axis=1) for at in (a, b))
    products = g.scaled(g.node("Mul", left, right), np.where(a == b, 1.0, np.sqrt(2.0)))
    weights = [g.wide(g.constant(w, np.float32)) for w in (head.weights[:width], head.weights[width:])]
    score = g.node("Add", g.node("MatMul", z, weights[0]), g.node("MatMul", products, weights[1]))
    far = g.scaled(g.moved(inside, -1.0), head.strange)
    return g.moved(score, head.bias), g.node("Squeeze", far, g.constant([1], np.int64))


def _shortened(g: Graph, z: str, reach: float) -> str:
    """float64[n, 1] in (0, 1]: what brings rows to the length `reach` at most."""
    length = g.node("Sqrt", g.total(g.node("Mul", z, z), 1, keep=1))
    share = g.node("Div", g.constant(reach), g.node("Max", length, g.constant(1e-9)))
    return g.node("Min", share, g.constant(1.0))


# --- int8 -----------------------------------------------------------------------------------------


def quantised_head(head: bytes, squares: Floats32, *, per_channel: bool = True) -> bytes:
    """The same graph with int8 convolutions (static, QDQ), scales from squares that calibrate it."""
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingExtra("missing_edge", package="onnxruntime") from error

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows = iter(np.array_split(squares, max(1, len(squares) // 32)))

        def get_next(self) -> dict[str, Any] | None:
            some = next(self.rows, None)
            return None if some is None else {"pictures": some, "known": np.ones(len(some), bool)}

    with tempfile.TemporaryDirectory() as room:
        plain, ready, small = (Path(room) / f"{name}.onnx" for name in ("plain", "ready", "small"))
        plain.write_bytes(head)
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        quantization.quantize_static(
            str(ready),
            str(small),
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm", "Add"],
            per_channel=per_channel,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return small.read_bytes()
