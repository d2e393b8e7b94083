"""One training by several processes: torchrun starts them on a folder, and they leave the weights there.

python -m torch.distributed.run --nproc-per-node 2 -m bapsim.train.lm.together FOLDER
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bapsim.core.errors import BapsimError
from bapsim.train.lm.learning import Plan, device_of, learn, steady
from bapsim.train.lm.lost import losing
from bapsim.train.lm.packing import Corpus, Rows
from bapsim.train.lm.parts import part
from bapsim.train.lm.transformer import Shape, built, within


class Broken(BapsimError):
    """A process of a shared training ended before it was done."""


def taught(
    corpus: Corpus, size: int, shape: Shape, plan: Plan, seed: int, checkpoint: Path | None = None
) -> tuple[Any, list[float]]:
    """A decoder of `size` tokens that learnt from a corpus, and the loss of every step."""
    with steady(device_of(plan.device), plan.threads, seed):
        whole = foreseeing(built(shape, size))
        losses = learn(whole, batches(corpus, shape, plan, seed), plan, checkpoint)
    return whole.decoder, losses


def foreseeing(decoder: Any) -> Any:
    """A module that gives the weighted sum of nats of tokens behind others, each seen with its own text."""
    t, lost = part("torch"), losing()

    class Foreseeing(t.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.decoder = decoder

        def forward(self, seen: Any, behind: Any, weight: Any, text: Any) -> Any:
            return lost(self.decoder(seen, within(text)), self.decoder.embed_tokens.weight, behind, weight)

    return Foreseeing()


def batches(corpus: Corpus, shape: Shape, plan: Plan, seed: int) -> Any:
    """A function of a step: its rows as tensors (tokens, those behind, weights, number of the text)."""
    t = part("torch")
    rows = Rows(corpus=corpus, context=shape.context, seed=seed)

    def batch_of(step: int) -> tuple[list[Any], float]:
        seen, behind, weight = rows(step * plan.batch, plan.batch)
        text = np.cumsum(seen == 0, axis=1)
        tensors = [
            t.from_numpy(one) for one in (seen.astype(np.int64), behind.astype(np.int64), weight, text)
        ]
        return tensors, float(weight.sum())

    return batch_of


def by_many(
    corpus: Corpus,
    size: int,
    shape: Shape,
    plan: Plan,
    seed: int,
    checkpoint: Path | None = None,
) -> tuple[Any, list[float]]:
    """The same as `taught`, by processes of this machine that share the rows of each step."""
    t = part("torch")
    with TemporaryDirectory() as place:
        folder = Path(place)
        np.savez(folder / "corpus.npz", **vars(corpus))
        said = {"size": size, "shape": asdict(shape), "plan": asdict(plan), "seed": seed}
        said["checkpoint"] = None if checkpoint is None else str(checkpoint.resolve())
        (folder / "run.json").write_text(json.dumps(said), "utf-8")
        call = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        call += ["--nproc-per-node", str(plan.processes), "-m", "bapsim.train.lm.together", str(folder)]
        paths = os.pathsep.join(p for p in sys.path if p)
        done = subprocess.run(  # noqa: S603  our own module, by the same interpreter
            call, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            why = [line for line in done.stderr.splitlines() if "Error: " in line] or [done.stderr[-200:]]
            raise Broken("lm_process", code=done.returncode, why=why[0][:200])
        decoder = built(shape, size)
        weights = part("safetensors.torch").load_file(folder / "weights.safetensors")
        with t.no_grad():
            for name, weight in decoder.named_parameters():
                weight.copy_(weights[name])
        losses: list[float] = json.loads((folder / "losses.json").read_text("utf-8"))
    return decoder.to(device_of(plan.device)).eval(), losses


def main(folder: Path) -> None:
    """What each process does; the first one writes what was learnt."""
    said = json.loads((folder / "run.json").read_text("utf-8"))
    with np.load(folder / "corpus.npz", allow_pickle=False) as file:
        corpus = Corpus(**{name: file[name] for name in ("tokens", "starts", "weight")})
    checkpoint = None if said["checkpoint"] is None else Path(said["checkpoint"])
    shape, plan = Shape(**said["shape"]), Plan(**said["plan"])
    decoder, losses = taught(corpus, said["size"], shape, plan, said["seed"], checkpoint)
    if os.environ.get("RANK", "0") == "0":
        weights = {name: one.detach().cpu().contiguous() for name, one in decoder.named_parameters()}
        part("safetensors.torch").save_file(weights, folder / "weights.safetensors")
        (folder / "losses.json").write_text(json.dumps(losses), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # nothing of a process group is freed: see train.lm.learning
