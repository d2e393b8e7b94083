"""The loop that teaches a network rows of tokens: one step after the other, from any step on.

AdamW with a linear warm-up and a cosine (Loshchilov and Hutter 2017), gradients of norm 1 at most. Started by
torchrun, the processes share the rows of each step and add up their gradients.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import Any

from bapsim.core.errors import Damaged
from bapsim.store import fault
from bapsim.train.lm.parts import part

LEAST = 0.1  # of the largest rate, at the end
BETAS = (0.9, 0.95)
KEPT = 31 * 2**20  # bytes: glibc's threshold grows to 32 MB at most


@dataclass(frozen=True, kw_only=True)
class Plan:
    """steps: of how many rows each (batch), in so many parts one after the other; rate: the largest, reached
    after `warm` of the steps; decay: of weights that are matrices; threads: of the CPU, for other sums add up
    otherwise; bf16: sums of products in half the bits; compiled: by torch.compile, which needs a C++ compiler
    (both None: on a GPU only, where there is one); every: steps between checkpoints, which lie in the folder
    `checkpoints` (None = none); processes: of torchrun, that share the rows of each step.
    """

    steps: int
    batch: int = 32
    parts: int = 1
    rate: float = 3e-3
    warm: float = 0.05
    decay: float = 0.1
    threads: int = 1
    bf16: bool | None = None
    compiled: bool | None = None
    every: int = field(default=100, metadata={"identity": False})
    device: str | None = field(default=None, metadata={"identity": False})
    checkpoints: str | None = field(default=None, metadata={"identity": False})
    processes: int = field(default=1, metadata={"identity": False})


def rate_at(plan: Plan, step: int) -> float:
    """The learning rate of a step, 0 <= step < steps."""
    warm = max(1, round(plan.warm * plan.steps))
    if step < warm:
        return plan.rate * (step + 1) / warm
    along = (step - warm) / max(1, plan.steps - warm)
    return plan.rate * (LEAST + (1 - LEAST) * 0.5 * (1 + math.cos(math.pi * along)))


# --- where it runs ----------------------------------------------------------------------------------


def device_of(said: str | None) -> Any:
    """The device of this process: what was said, else a GPU where there is one."""
    t = part("torch")
    if said is None and t.cuda.is_available():
        said = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return t.device(said or "cpu")


@contextmanager
def steady(device: Any, threads: int, seed: int) -> Iterator[None]:
    """On the CPU the same seed gives the same bytes; what was set before is set again."""
    t = part("torch")
    before = t.get_num_threads(), t.are_deterministic_algorithms_enabled()
    filled = t.utils.deterministic.fill_uninitialized_memory
    if device.type == "cpu":
        # Freed once, a block of this size teaches glibc to keep such memory: else the large tensors of each
        # step are given back to the system, and taken again page by page (thousands of faults a step).
        t.empty(KEPT, dtype=t.uint8)
        t.set_num_threads(threads)
        t.use_deterministic_algorithms(True)
        t.utils.deterministic.fill_uninitialized_memory = False  # nothing here reads what it has not written
    try:
        with t.random.fork_rng():
            t.manual_seed(seed)
            yield
    finally:
        t.set_num_threads(before[0])
        t.use_deterministic_algorithms(before[1])
        t.utils.deterministic.fill_uninitialized_memory = filled


# Modules that processes share. Freeing one ends its process group, and joins a thread of gloo that may be
# waiting for the interpreter: such a process hung for ever, about one in a hundred. It ends by `os._exit`.
_NEVER_FREED: list[Any] = []


@contextmanager
def company(device: Any) -> Iterator[tuple[int, int]]:
    """(number of this process, how many there are), as torchrun started them."""
    dist = part("torch").distributed
    many = int(os.environ.get("WORLD_SIZE", "1"))
    if many > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    yield int(os.environ.get("RANK", "0")), many
    if many > 1:
        dist.barrier()  # nobody goes while another still waits for him


# --- checkpoints ------------------------------------------------------------------------------------


def optimiser_of(module: Any, plan: Plan) -> Any:
    """AdamW; norms and biases do not decay."""
    t = part("torch")
    weights = list(module.parameters())
    groups = [
        {"params": [w for w in weights if w.dim() > 1], "weight_decay": plan.decay},
        {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0},
    ]
    return t.optim.AdamW(groups, lr=plan.rate, betas=BETAS, fused=True)


def write_checkpoint(path: Path, module: Any, optimiser: Any, losses: list[float]) -> None:
    """Weights, moments, and the losses so far, whole or not at all."""
    tensors = {}
    for name, weight in module.named_parameters():
        state = optimiser.state[weight]
        tensors[f"weight.{name}"] = weight.detach()
        tensors |= {f"{key}.{name}": state[key] for key in ("exp_avg", "exp_avg_sq")}
    whole = {name: one.cpu().contiguous() for name, one in tensors.items()}
    fault.write(path, part("safetensors.torch").save(whole, {"losses": json.dumps(losses)}))


def read_checkpoint(path: Path, module: Any, optimiser: Any) -> list[float]:
    """Puts a checkpoint into a module and its optimiser; the losses so far, none without a file."""
    if not path.is_file():
        return []
    t = part("torch")
    try:
        with part("safetensors").safe_open(path, "pt") as file:
            losses: list[float] = json.loads(file.metadata()["losses"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
        with t.no_grad():
            for name, weight in module.named_parameters():
                weight.copy_(tensors[f"weight.{name}"])
                moments = {k: tensors[f"{k}.{name}"].to(weight.device) for k in ("exp_avg", "exp_avg_sq")}
                step = t.tensor(float(len(losses)), device=weight.device)
                optimiser.state[weight] = {"step": step, **moments}
    except (part("safetensors").SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise Damaged(
            "lm_checkpoint", path=str(path), why=str(error).split("\n", maxsplit=1)[0][:80]
        ) from error
    return losses


# --- learning ---------------------------------------------------------------------------------------


def learn(
    module: Any,
    batch_of: Callable[[int], tuple[list[Any], float]],
    plan: Plan,
    checkpoint: Path | None = None,
) -> list[float]:
    """Teaches `module` in place; the loss of every step. From the checkpoint on, where there is one.

    batch_of: of a step, what `module` is called with (tensors whose first axis are the rows), and the sum of
    the rows' weights; `module` gives the weighted sum of losses.
    """
    t = part("torch")
    device = device_of(plan.device)
    module.to(device).train()
    optimiser = optimiser_of(module, plan)
    with company(device) as (me, many):
        losses = [] if checkpoint is None else read_checkpoint(checkpoint, module, optimiser)
        whole = _wrapped(module, device, many, plan)
        for step in range(len(losses), plan.steps):
            for group in optimiser.param_groups:
                group["lr"] = rate_at(plan, step)
            losses.append(_step(whole, batch_of(step), plan, device, (me, many)))
            t.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            if checkpoint is not None and me == 0 and (step + 1) % plan.every == 0:
                write_checkpoint(checkpoint, module, optimiser, losses)
    module.eval()
    return losses


def _wrapped(module: Any, device: Any, many: int, plan: Plan) -> Any:
    t = part("torch")
    on_gpu = device.type == "cuda" and any(map(which, (os.environ.get("CC", "cc"), "gcc", "clang")))
    whole = (
        t.compile(module, dynamic=False) if (on_gpu if plan.compiled is None else plan.compiled) else module
    )
    if many == 1:
        return whole
    ids = [device] if device.type == "cuda" else None
    _NEVER_FREED.append(t.nn.parallel.DistributedDataParallel(whole, device_ids=ids))
    return _NEVER_FREED[-1]


def _step(
    whole: Any, batch: tuple[list[Any], float], plan: Plan, device: Any, place: tuple[int, int]
) -> float:
    """Gradients of one step's mean loss, in parts; the loss."""
    t = part("torch")
    (tensors, total), (me, many) = batch, place
    mine = [one[me::many] for one in tensors]
    size = max(1, -(-len(mine[0]) // plan.parts))
    begins = range(0, max(1, len(mine[0])), size)
    cuda = device.type == "cuda"
    bf16 = cuda if plan.bf16 is None else plan.bf16
    lost = t.zeros((), dtype=t.float64, device=device)
    for begin in begins:
        some = [one[begin : begin + size].to(device, non_blocking=cuda) for one in mine]
        last = begin == begins[-1]
        with whole.no_sync() if many > 1 and not last else nullcontext():
            with t.autocast(device.type, t.bfloat16, enabled=bf16):
                loss = whole(*some) / max(total, 1e-9)
            (loss * many).backward()  # processes take the mean of their gradients
        lost += loss.detach()
    if many > 1:
        t.distributed.all_reduce(lost)
    return float(lost)
