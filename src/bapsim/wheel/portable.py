"""Models as what a device needs of them: the one place that knows both trainers and targets."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bapsim.core.errors import InputError
from bapsim.core.recipe import Model
from bapsim.image.features import SIDE
from bapsim.ship.parts import Layer, TextParts
from bapsim.ship.pictures import Measured, PictureParts
from bapsim.train.image import FAR, STRANGE, ImageModel
from bapsim.train.image_cnn import UNIT, ImageNet
from bapsim.train.linear import WORDS_KNOWN
from bapsim.train.student import Student
from bapsim.train.text import KNEE, TextModel
from bapsim.train.text_labels import TextLabels
from bapsim.train.text_number import TextNumber


def text_parts(model: Model) -> TextParts:
    """A model of texts in parts; InputError for one that cannot be shipped."""
    if isinstance(model, TextModel):
        return _linear(model, "class", {"prior": model.prior.tolist()}, {"knee": KNEE})
    if isinstance(model, TextLabels):
        return _linear(model, "labels", {"prior": model.prior.tolist()}, {})
    if isinstance(model, TextNumber):
        return _linear(model, "number", {"median": model.median}, {})
    if isinstance(model, Student):
        return _student(model)
    raise InputError("ship_kind", kind=type(model).__name__)


def _linear(model: Any, answer: str, said: dict[str, Any], more: dict[str, Any]) -> TextParts:
    constants = {**asdict(model.calibration), **more, "words_known": WORDS_KNOWN}
    return TextParts(
        answer=answer,
        classes=tuple(model.classes),
        inputs=tuple(model.inputs),
        spec=model.spec,
        hashes=model.head.hashes,
        idf=model.head.idf,
        table=model.head.weights,
        bias=model.head.bias,
        said={**said, "calibration": constants},
    )


def _student(model: Student) -> TextParts:
    return TextParts(
        answer=model.answer,
        classes=model.classes,
        inputs=model.inputs,
        spec=model.spec,
        table=model.net.table,
        bias=model.net.bias,
        then=Layer(weights=model.net.weights, bias=model.net.last),
        buckets=model.buckets,
        said={**model.said, "calibration": {**model.said["calibration"], "words_known": 0.0}},
    )


def picture_parts(model: ImageModel | ImageNet) -> PictureParts:
    """A model of pictures in parts."""
    constants = {**asdict(model.calibration), "knee": KNEE, "words_known": WORDS_KNOWN}
    said = {"prior": model.prior.tolist(), "calibration": constants}
    common: dict[str, Any] = {"classes": model.classes, "inputs": model.inputs, "said": said}
    if isinstance(model, ImageNet):
        return PictureParts(model=model.net, side=model.side, unit=UNIT, **common)
    scale, head = model.scale, model.head
    measured = Measured(
        centre=scale.centre,
        spread=scale.spread,
        reach=scale.reach,
        basis=scale.basis,
        weights=head.weights,
        bias=head.bias,
        far=FAR,
        strange=STRANGE,
    )
    return PictureParts(model=measured, side=SIDE, unit=1.0, **common)
