"""Checkpoints of others: a folder in Hugging Face's form, or a hub's id that is already on this machine."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bapsim.core.errors import InputError, RecipeError
from bapsim.train.lm.parts import part

UNTRAINED = 0.9  # of the logarithm of the vocabulary: a base that is so unsure of everything knows nothing
CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{% if m['role'] == 'assistant' %}{% generation %}"
    "{{ m['content'] }}{{ eos_token }}{% endgeneration %}{% else %}"
    "{{ m['content'] }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def transformers() -> Any:
    """The package, quiet and asking no hub."""
    package = part("transformers")
    package.utils.logging.set_verbosity_error()
    package.utils.logging.disable_progress_bar()
    return package


@contextmanager
def quiet() -> Iterator[None]:
    """Without what the libraries say of one another's old names: nobody here can heed it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@contextmanager
def reading(start: str) -> Iterator[None]:
    """InputError for what is no checkpoint, or is not here."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, part("safetensors").SafetensorError) as error:
        why = str(error).split("\n", maxsplit=1)[0][:120]
        raise InputError("lm_start", start=start, why=why) from error


def tokenizer_of(start: str) -> Any:
    """Its tokenizer; a text is padded with the end of texts where there is nothing else."""
    with reading(start):
        tokenizer = transformers().AutoTokenizer.from_pretrained(start, trust_remote_code=False)
    if tokenizer.eos_token is None and tokenizer.sep_token is None:
        raise InputError("lm_start", start=start, why="its tokenizer has no token that ends a text")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.sep_token
    return tokenizer


def network(start: str, kind: str, tokenizer: Any, **more: Any) -> Any:
    """A network of `AutoModelFor` + kind, on the CPU, only from safetensors, without anybody's code."""
    with reading(start):
        auto = getattr(transformers(), f"AutoModelFor{kind}")
        net = auto.from_pretrained(
            start, trust_remote_code=False, use_safetensors=True, dtype=part("torch").float32, **more
        )
    config = net.config
    config.pad_token_id = tokenizer.pad_token_id
    if getattr(net, "generation_config", None) is not None:
        net.generation_config.pad_token_id = tokenizer.pad_token_id
        net.generation_config.eos_token_id = tokenizer.eos_token_id
    return net.eval()


def identity(start: str) -> str:
    """The digest of a folder's files; a hub's id is its own name."""
    folder = Path(start)
    if not folder.is_dir():
        return start
    whole = hashlib.blake2b(digest_size=8)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        whole.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


def trained(net: Any, tokenizer: Any, texts: Sequence[str], start: str) -> None:
    """RecipeError for a base that holds every token for about as likely: a few weights beside random ones
    learn nothing, whatever the loss says. That it foresees these texts badly is no sign: they may be news.
    """
    t = part("torch")
    some = [one for one in texts if one.strip()][:16]
    if not some:
        return
    coded = tokenizer(some, return_tensors="pt", padding=True, truncation=True, max_length=longest(net, 128))
    with t.inference_mode():
        logits = net(input_ids=coded["input_ids"], attention_mask=coded["attention_mask"]).logits.float()
    there = coded["attention_mask"].bool()
    unsure = float(t.distributions.Categorical(logits=logits[there]).entropy().mean())
    chance = math.log(logits.shape[-1])
    if unsure > UNTRAINED * chance:
        raise RecipeError("lora_untrained", start=start, unsure=f"{unsure:.2f}", chance=f"{chance:.2f}")


def longest(net: Any, most: int) -> int:
    """Tokens that it can look at, `most` at the most."""
    return int(min(most, getattr(net.config, "max_position_embeddings", most) or most))


def lora(rank: int, kind: str) -> Any:
    """A few weights beside every linear layer but the head (Hu et al. 2021), which is learnt whole."""
    return part("peft").LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type=kind
    )
