"""A real OpenAI-compatible server for tests: llama.cpp with a small random model that is made here.

Run as a program (`python tests/llama.py MODEL PORT`) it serves until its standard input ends.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

WIDE, DEEP, HEADS, WIDER = 64, 2, 4, 128
SLOTS, CONTEXT = 4, 1024  # tokens a slot
TEMPLATE = (
    "{% for one in messages %}<|{{ one['role'] }}|>\n{{ one['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def byte_letters() -> list[str]:
    """The 256 letters that stand for bytes in a byte-level vocabulary (GPT-2)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(spare)) for byte in range(256)]


def write_model(path: Path, seed: int = 0) -> None:
    """A Llama of random weights, 2 layers of 64, over bytes: half a megabyte that says nothing sensible."""
    import gguf

    rng = np.random.default_rng(seed)
    letters = byte_letters()
    pairs = [(a, b) for a in letters[97:110] for b in letters[97:103]]
    marks = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    tokens = [*letters, *(a + b for a, b in pairs), *marks]
    kinds = [gguf.TokenType.NORMAL] * (len(tokens) - len(marks)) + [gguf.TokenType.CONTROL] * len(marks)
    out = gguf.GGUFWriter(str(path), "llama")
    out.add_context_length(SLOTS * CONTEXT)
    out.add_embedding_length(WIDE)
    out.add_block_count(DEEP)
    out.add_feed_forward_length(WIDER)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_rope_dimension_count(WIDE // HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(len(tokens))
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(tokens)
    out.add_token_types(kinds)
    out.add_token_merges([f"{a} {b}" for a, b in pairs])
    out.add_eos_token_id(tokens.index("<|end|>"))
    out.add_bos_token_id(tokens.index("<|end|>"))
    out.add_add_bos_token(False)
    out.add_chat_template(TEMPLATE)
    for name, shape in _shapes(len(tokens)).items():
        ones = name.endswith("norm.weight")
        weights = np.ones(shape) if ones else rng.normal(0, 0.08, shape)
        out.add_tensor(name, weights.astype(np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def _shapes(tokens: int) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {"token_embd.weight": (tokens, WIDE), "output_norm.weight": (WIDE,)}
    for i in range(DEEP):
        found |= {f"blk.{i}.{n}_norm.weight": (WIDE,) for n in ("attn", "ffn")}
        found |= {f"blk.{i}.attn_{n}.weight": (WIDE, WIDE) for n in ("q", "k", "v", "output")}
        found |= {f"blk.{i}.ffn_{n}.weight": (WIDER, WIDE) for n in ("gate", "up")}
        found[f"blk.{i}.ffn_down.weight"] = (WIDE, WIDER)
    return found


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def serving(model: Path) -> Iterator[str]:
    """The server in a process of its own; gives its address up to /v1."""
    port = free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(
        [sys.executable, __file__, str(model), str(port)], stdin=subprocess.PIPE, **quiet
    ) as process:
        try:
            _until_ready(f"http://127.0.0.1:{port}/health", process)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


def _until_ready(url: str, process: subprocess.Popen[bytes], patience: float = 30.0) -> None:
    end = time.monotonic() + patience
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("llama.cpp did not start")


def main() -> None:
    import xllamacpp

    said = xllamacpp.CommonParams()
    said.model.path = sys.argv[1]
    said.hostnames, said.port = ["127.0.0.1"], int(sys.argv[2])
    said.n_parallel, said.n_ctx = SLOTS, SLOTS * CONTEXT
    said.warmup, said.use_jinja = False, True
    said.cpuparams.n_threads = 1
    server = xllamacpp.Server(said)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    main()
