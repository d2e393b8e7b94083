"""A server that ignores the schema with status 200 gets nothing past the driver: `transformers serve`.

    python -m venv /tmp/serve && /tmp/serve/bin/pip install "transformers[serving]==5.23.0" torch==2.13.0
    python benchmarks/synthesis_ignoring.py --serve /tmp/serve/bin/python

The model is made here, of random weights: what it says is no JSON. Each answer has to be refused with a
reason, once, and paid for once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bapsim.gather.asking import ask
from bapsim.gather.endpoint import Request, endpoint
from bapsim.store.machine_tape import MachineTape

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.llama import free_port  # noqa: E402

SCHEMA = {
    "type": "object",
    "properties": {"n": {"enum": [1, 2, 3]}},
    "required": ["n"],
    "additionalProperties": False,
}
START = "from transformers.cli.transformers import main; main()"
TEMPLATE = (
    "{% for one in messages %}{{ one['role'] }}: {{ one['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def write_checkpoint(folder: Path) -> None:
    """A Llama of random weights with a byte-level tokenizer, as Hugging Face reads it."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    learnt = ByteLevelBPETokenizer()
    learnt.train_from_iterator(["what was said was said again"] * 10, 300, special_tokens=["<end>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=learnt._tokenizer, eos_token="<end>", bos_token="<end>", pad_token="<end>"
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=1024,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(shape)
    model.generation_config.do_sample = True  # greedy, a random model goes round for ever
    model.save_pretrained(folder)


@contextmanager
def serving(folder: Path, port: int, python: str) -> Iterator[str]:
    """The server in a process of its own; gives its address up to /v1."""
    hub = folder.parent / "hub"
    hub.mkdir(exist_ok=True)  # without it the list of models is an error
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(hub), "OMP_NUM_THREADS": "1"}
    call = [python, "-c", START, "serve", "--port", str(port), "--device", "cpu", str(folder)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(call, env=env, **quiet) as process:
        try:
            _until_ready(f"http://127.0.0.1:{port}/health", process)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def _until_ready(url: str, process: subprocess.Popen[bytes], patience: float = 180.0) -> None:
    end = time.monotonic() + patience
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("transformers serve did not start")


def main() -> int:
    say = argparse.ArgumentParser(description=__doc__)
    say.add_argument("--serve", help='python of a venv with "transformers[serving]"')
    say.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "synthesis_ignoring")
    args = say.parse_args()
    if not args.serve:
        print("not run: --serve names no python")
        return 0
    count = 30
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        write_checkpoint(model)
        with serving(model, free_port(), args.serve) as url:
            to = endpoint(url, model=str(model), schema=SCHEMA, max_tokens=600, concurrency=2, timeout=60)
            tape = MachineTape(Path(folder) / "machine.sqlite")
            wanted = [Request((("user", f"Number {i}"),)) for i in range(count)]
            first, again = ask(to, wanted, tape), ask(to, wanted, tape)
            tape.close()
    said = {"count": count, "answered": first.answered, "refused": first.refused, "sent": first.sent}
    said |= {"again": again.sent}
    why = ", ".join(f"{n} {reason}" for reason, n in first.refused.items())
    lines = ["# A server that ignores the schema", "", (__doc__ or "").split("\n\n", 1)[0], ""]
    lines += ["`python benchmarks/synthesis_ignoring.py --serve PYTHON`", ""]
    told = f"{count} requests with a schema, all answered with status 200: {first.answered} taken, "
    lines += [f"{told}refused: {why}; "]
    lines[-1] += f"{first.sent} sent, {again.sent} when asked for again."
    print("\n".join(lines))
    args.out.with_suffix(".json").write_text(json.dumps(said, indent=1) + "\n", "utf-8")
    args.out.with_suffix(".md").write_text("\n".join(lines) + "\n", "utf-8")
    return int(first.answered + sum(first.refused.values()) != count or again.sent > 0)


if __name__ == "__main__":
    sys.exit(main())
