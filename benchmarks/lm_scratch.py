"""A language model from scratch trains as fast as a nanoGPT-type loop, and as well: time, loss, memory.

    python benchmarks/lm_scratch.py [--quick] [--data DIR]

The peer is written here after nanoGPT: learned positions, layer norms, GELU, windows at random places of one
stream, attention across texts, AdamW, a cosine with warm-up. Both have the same layers, width, heads,
context, vocabulary, tokenizer, rows a step and steps; loss is nats a byte of held-out speeches, each read
alone. Each run has a process of its own, on one thread; they take turns, 3 seeds. The same once more in half
the bits, and compiled (with a C++ compiler), as a GPU does by itself. Writes
docs/results/lm_scratch.{json,md}. About 3 CPU-minutes.
"""

import argparse
import gzip
import json
import math
import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from bapsim.train.lm.bpe import Bpe, learnt
from bapsim.train.lm.foreseen import nats
from bapsim.train.lm.learning import BETAS, Plan, device_of, rate_at
from bapsim.train.lm.packing import corpus_of
from bapsim.train.lm.sampling import drawn
from bapsim.train.lm.together import taught
from bapsim.train.lm.transformer import Shape

ROOT = Path(__file__).parents[1]
SEEDS = (1, 2, 3)
VOCABULARY = 1000
BAR = 1.15
OTHER: dict[str, dict[str, Any]] = {"bf16": {"bf16": True}, "compiled": {"compiled": True}}


def set_up(quick: bool) -> tuple[Shape, Plan]:
    shape = Shape(layers=3, width=96, heads=4, context=128)
    return shape, Plan(steps=12 if quick else 160, batch=12, rate=3e-3)


class Peer(nn.Module):
    """GPT-2's block, as nanoGPT has it, without dropout."""

    def __init__(self, shape: Shape, size: int) -> None:
        super().__init__()
        d, self.heads = shape.width, shape.heads
        self.wte, self.wpe = nn.Embedding(size, d), nn.Embedding(shape.context, d)
        self.blocks = nn.ModuleList()
        for _ in range(shape.layers):
            parts = {
                "one": nn.LayerNorm(d, bias=False),
                "qkv": nn.Linear(d, 3 * d, bias=False),
                "out": nn.Linear(d, d, bias=False),
                "two": nn.LayerNorm(d, bias=False),
                "up": nn.Linear(d, 4 * d, bias=False),
                "down": nn.Linear(4 * d, d, bias=False),
            }
            self.blocks.append(nn.ModuleDict(parts))
        self.norm = nn.LayerNorm(d, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                into = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * shape.layers) if into else 0.02)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        b, n = ids.shape
        x = self.wte(ids) + self.wpe(torch.arange(n, device=ids.device))
        for block in self.blocks:
            q, k, v = block["qkv"](block["one"](x)).split(x.shape[2], dim=2)
            q, k, v = (one.view(b, n, self.heads, -1).transpose(1, 2) for one in (q, k, v))
            said = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + block["out"](said.transpose(1, 2).reshape(b, n, -1))
            x = x + block["down"](F.gelu(block["up"](block["two"](x))))
        return self.norm(x)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return F.linear(hidden, self.wte.weight)


def peer(tokens: np.ndarray, size: int, shape: Shape, plan: Plan, seed: int) -> Any:
    torch.manual_seed(seed)
    device = device_of(None)
    net = Peer(shape, size).to(device)
    groups = [
        {"params": [p for p in net.parameters() if p.dim() > 1], "weight_decay": plan.decay},
        {"params": [p for p in net.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=plan.rate, betas=BETAS, fused=True)
    stream = torch.from_numpy(tokens.astype(np.int64))
    whole = torch.compile(net) if device.type == "cuda" else net
    for step in range(plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(plan, step)
        at = torch.randint(len(stream) - shape.context - 1, (plan.batch,))
        x = torch.stack([stream[i : i + shape.context] for i in at]).to(device)
        y = torch.stack([stream[i + 1 : i + 1 + shape.context] for i in at]).to(device)
        with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
            logits = net.logits(whole(x)).flatten(0, 1)
            loss = F.cross_entropy(logits.float(), y.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        loss.item()
    return net.eval()


def speeches(data: Path) -> tuple[list[str], list[str]]:
    """Speeches to learn from, and every tenth to be foreseen."""
    with gzip.open(data / "tinyshakespeare/input.txt.gz", "rt", encoding="utf-8") as file:
        said = [one for one in file.read().split("\n\n") if one.strip()]
    return [one for i, one in enumerate(said) if i % 10], said[::10]


def one_run(who: str, seed: int, data: Path, quick: bool) -> dict[str, Any]:
    torch.set_num_threads(1)
    shape, plan = set_up(quick)
    train, held = speeches(data)
    bpe: Bpe = learnt(train, VOCABULARY)
    ids = bpe.encode(train)
    corpus = corpus_of(ids, np.ones(len(ids), np.float32))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    if who != "peer":
        net, _ = taught(corpus, len(bpe), shape, replace(plan, **OTHER.get(who, {})), seed)
    else:
        net = peer(corpus.tokens, len(bpe), shape, plan, seed)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    coded = bpe.encode(held)
    lost = nats(net, shape, coded, [0] * len(coded)).sum()
    tokens = plan.steps * plan.batch * shape.context
    said = {
        "who": who,
        "seed": seed,
        "wall_s": wall,
        "cpu_s": cpu,
        "tokens_s": tokens / cpu,
        "loss": lost / sum(len(one.encode()) + 1 for one in held),
        "peak_mb": peak / 1024,
        "grew_mb": (peak - before) / 1024,
        "parameters": sum(p.numel() for p in net.parameters()),
    }
    if who == "ours" and seed == SEEDS[0]:
        begun, uniform = time.perf_counter(), [np.random.default_rng(i).random(64) for i in range(128)]
        written = drawn(net, shape, [np.zeros(0, np.int32)] * 128, uniform)
        said["ms_a_token_written"] = 1000 * (time.perf_counter() - begun) / sum(map(len, written))
    return said


def page(runs: list[dict[str, Any]], quick: bool) -> tuple[str, dict[str, Any]]:
    shape, plan = set_up(quick)

    def of(who: str, what: str) -> np.ndarray:
        return np.array([run[what] for run in runs if run["who"] == who])

    ratio = float(np.median(of("ours", "cpu_s") / of("peer", "cpu_s")))
    walls = float(np.median(of("ours", "wall_s") / of("peer", "wall_s")))
    gap = of("ours", "loss") - of("peer", "loss")
    spread = float(np.hypot(of("ours", "loss").std(ddof=1), of("peer", "loss").std(ddof=1)))
    told = {
        "ratio_cpu": ratio,
        "ratio_wall": walls,
        "gap": float(gap.mean()),
        "spread": spread,
        "fast_enough": ratio <= BAR,
        "as_good": bool(gap.mean() <= 2 * spread),
        "runs": runs,
        "machine": f"{platform.machine()}, torch {torch.__version__}, one thread",
    }
    written = next(run["ms_a_token_written"] for run in runs if "ms_a_token_written" in run)
    lines = [
        "# A language model from scratch beside a nanoGPT-type loop",
        "",
        f"`python benchmarks/lm_scratch.py{' --quick' if quick else ''}`: {shape.layers} layers, width "
        f"{shape.width}, context {shape.context}, {VOCABULARY} tokens, {plan.steps} steps of "
        f"{plan.batch} rows, tinyshakespeare by speeches; {told['machine']}.",
        "",
        "| | parameters | CPU-s | tokens a CPU-s | held-out nats a byte, by seed | peak memory, MB |",
        "|---|---|---|---|---|---|",
    ]
    names = {"ours": "bapsim", "peer": "nanoGPT-type loop"}
    names |= {"bf16": "bapsim, bf16", "compiled": "bapsim, compiled (that included)"}
    for who, name in names.items():
        losses = " · ".join(f"{one:.4f}" for one in of(who, "loss"))
        lines.append(
            f"| {name} | {int(of(who, 'parameters')[0]):,} | {np.median(of(who, 'cpu_s')):.1f} | "
            f"{np.median(of(who, 'tokens_s')):,.0f} | {losses} | {of(who, 'peak_mb').max():.0f} |"
        )
    lines += [
        "",
        f"Time {ratio:.2f} of the peer's in CPU-seconds, {walls:.2f} on the clock (bar {BAR}): "
        f"{'kept' if told['fast_enough'] else 'NOT kept'}. Loss {told['gap']:+.4f} nats a byte beside "
        f"the peer's, spread over seeds {spread:.4f}: {'not worse' if told['as_good'] else 'WORSE'}. "
        f"Written in batches of 128: {written:.3f} ms a token.",
        "",
    ]
    return "\n".join(lines), told


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("BAPSIM_DATA", ROOT / "../shared/data"))
    )
    parser.add_argument("--one", nargs=2)
    said = parser.parse_args()
    if said.one:
        print(json.dumps(one_run(said.one[0], int(said.one[1]), said.data, said.quick)))
        return
    runs = []
    for seed in SEEDS:
        for who in (*(("ours", "peer") if seed % 2 else ("peer", "ours")), *OTHER):
            call = [sys.executable, __file__, "--data", str(said.data), "--one", who, str(seed)]
            out = subprocess.run(
                [*call, *["--quick"][: said.quick]], check=True, capture_output=True, text=True
            )
            runs.append(json.loads(out.stdout.splitlines()[-1]))
            print({k: v for k, v in runs[-1].items() if k in ("who", "seed", "cpu_s", "loss")}, flush=True)
    text, told = page(runs, said.quick)
    print(text)
    if not said.quick:
        folder = ROOT / "docs/results"
        (folder / "lm_scratch.md").write_text(text, "utf-8")
        (folder / "lm_scratch.json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    if not (said.quick or (told["fast_enough"] and told["as_good"])):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
