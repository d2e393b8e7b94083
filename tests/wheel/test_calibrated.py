"""A loss decides only where both models are calibrated: a user's own trainer may be too sure of itself."""

from pathlib import Path

import pytest

from bapsim.store import artifacts
from tests.wheel.world import bank, founded, turns

BOAST = '''"""A user's own trainer, much too sure of itself."""

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from bapsim.judge.exam import probs_of
from bapsim.store import artifacts
from bapsim.train.text import text_linear


@dataclass(frozen=True)
class Loud:
    inner: object

    @property
    def classes(self):
        return self.inner.classes

    def __call__(self, rows):
        said = self.inner(rows)
        probs = probs_of(said).astype(float) ** POWER
        probs = (probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)
        column = pa.FixedSizeListArray.from_arrays(pa.array(probs.ravel()), probs.shape[1])
        return said.set_column(said.schema.names.index("probs"), "probs", column)

    def save(self, folder):
        self.inner.save(folder / "inner")
        (folder / "model.json").write_text(json.dumps({"loader": "NAME:load"}))


@dataclass(frozen=True)
class Boastful:
    def __call__(self, parent, mixture, seed):
        return Loud(text_linear()(None, mixture, seed))


def load(folder):
    return Loud(artifacts.load(folder / "inner"))
'''


@pytest.mark.parametrize(
    ("name", "power", "decides"), [("honest_loud", "1", True), ("boastful", "25", False)]
)
def test_losses_of_a_model_that_is_too_sure_decide_nothing(
    name: str, power: str, decides: bool, tmp_path: Path
) -> None:
    root = founded(tmp_path / "p")
    (root / f"{name}.py").write_text(BOAST.replace("POWER", power).replace("NAME", name), "utf-8")
    recipe = bank(train=artifacts.import_file(root / f"{name}.py").Boastful())
    (told,) = turns(root, recipe, 1)
    assert told["verdict"] == "accept", "right and wrong are enough against the majority class"
    assert ("loss_gain" in told["values"]) == decides
