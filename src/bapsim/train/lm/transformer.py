"""A decoder-only transformer of torch's parts, in the shape and with the names of Llama.

Root mean square norms (Zhang and Sennrich 2019), rotary positions (Su et al. 2021), gated feed-forward layers
(Shazeer 2020), input and output embeddings tied. A folder of its weights is a Llama checkpoint to everybody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from bapsim.core.errors import InputError
from bapsim.train.lm.parts import part

EPS = 1e-5
BASE = 10_000.0  # of the rotary angles


@dataclass(frozen=True, kw_only=True)
class Shape:
    """width: of each token's vector; heads: they share it evenly; context: tokens that are looked at."""

    layers: int = 4
    width: int = 128
    heads: int = 4
    context: int = 256

    def __post_init__(self) -> None:
        if min(self.layers, self.width, self.heads, self.context - 1) < 1 or self.width % (2 * self.heads):
            raise InputError("lm_shape", layers=self.layers, width=self.width, heads=self.heads)

    @property
    def inner(self) -> int:
        """Of the feed-forward layers: as many weights as four widths without a gate."""
        return max(8, round(self.width * 8 / 3 / 8) * 8)

    def config(self, vocabulary: int) -> dict[str, Any]:
        """What config.json says of it, for transformers, llama.cpp and others."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": vocabulary,
            "hidden_size": self.width,
            "intermediate_size": self.inner,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.heads,
            "head_dim": self.width // self.heads,
            "max_position_embeddings": self.context,
            "rms_norm_eps": EPS,
            "rope_theta": BASE,
            "rope_parameters": {"rope_type": "default", "rope_theta": BASE},
            "tie_word_embeddings": True,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "pad_token_id": 1,
            "dtype": "float32",
        }


def _parts(shape: Shape, both_ways: bool) -> tuple[Any, Any, Any]:
    """The classes of a norm, an attention and a feed-forward part."""
    t = part("torch")
    nn, F = t.nn, t.nn.functional
    one, turned = shape.width // shape.heads, turning()

    class Norm(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(t.ones(shape.width))

        def forward(self, x: Any) -> Any:
            return F.rms_norm(x, (shape.width,), self.weight, EPS)

    class Attention(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            for name in ("q", "k", "v", "o"):
                self.add_module(f"{name}_proj", nn.Linear(shape.width, shape.width, bias=False))

        def forward(self, x: Any, turn: Any, mask: Any, past: Any) -> Any:
            b, n = x.shape[:2]
            whole = (self.q_proj(x), self.k_proj(x), self.v_proj(x))
            q, k, v = (y.view(b, n, shape.heads, one).transpose(1, 2) for y in whole)
            q, k = turned(q, *turn), turned(k, *turn)
            if past is not None:
                k, v = past(k, v)
            alone = mask is None and past is None and not both_ways
            said = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=alone)
            return self.o_proj(said.transpose(1, 2).reshape(b, n, shape.width))

    class Gated(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.gate_proj = nn.Linear(shape.width, shape.inner, bias=False)
            self.up_proj = nn.Linear(shape.width, shape.inner, bias=False)
            self.down_proj = nn.Linear(shape.inner, shape.width, bias=False)

        def forward(self, x: Any) -> Any:
            return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))

    return Norm, Attention, Gated


def built(shape: Shape, vocabulary: int, *, both_ways: bool = False) -> Any:
    """A module: `forward(ids, mask)` gives hidden states, `logits(hidden)` scores of the next token.

    ids: int64[b, t]; mask: bool[b, 1, t, t], who sees whom, None = each sees all before it (both_ways: all).
    """
    t = part("torch")
    nn = t.nn
    Norm, Attention, Gated = _parts(shape, both_ways)

    class Layer(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.self_attn, self.mlp = Attention(), Gated()
            self.input_layernorm, self.post_attention_layernorm = Norm(), Norm()

        def forward(self, x: Any, turn: Any, mask: Any, past: Any) -> Any:
            x = x + self.self_attn(self.input_layernorm(x), turn, mask, past)
            return x + self.mlp(self.post_attention_layernorm(x))

    class Decoder(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.embed_tokens = nn.Embedding(vocabulary, shape.width)
            self.layers = nn.ModuleList([Layer() for _ in range(shape.layers)])
            self.norm = Norm()
            for name, one in zip(
                ("cos", "sin"), angles(shape.context, shape.width // shape.heads), strict=True
            ):
                self.register_buffer(name, one, persistent=False)
            started(self, shape.layers)

        def forward(self, ids: Any, mask: Any = None, past: Any = None, turn: Any = None) -> Any:
            """past: one function a layer, which keeps keys and values and gives all so far."""
            n, x = ids.shape[1], self.embed_tokens(ids)
            if mask is not None:  # once, and not in every layer
                mask = t.zeros(mask.shape, dtype=x.dtype, device=x.device).masked_fill(~mask, -t.inf)
            turn = (self.cos[:n], self.sin[:n]) if turn is None else turn
            for layer, kept in zip(self.layers, past or [None] * shape.layers, strict=True):
                x = layer(x, turn, mask, kept)
            return self.norm(x)

        def logits(self, hidden: Any) -> Any:
            return nn.functional.linear(hidden, self.embed_tokens.weight)

    return Decoder()


def started(module: Any, layers: int) -> None:
    """Normal weights of spread .02, less where they add to the stream (Radford et al. 2019)."""
    t = part("torch")
    for name, weight in module.named_parameters():
        if weight.dim() > 1:
            into = name.endswith(("o_proj.weight", "down_proj.weight"))
            t.nn.init.normal_(weight, std=0.02 / math.sqrt(2 * layers) if into else 0.02)


def angles(count: int, one: int, begin: int = 0) -> tuple[Any, Any]:
    """Cosines and sines float32[count, one] of positions, as rotary embeddings of heads of width `one`."""
    t = part("torch")
    speed = 1.0 / BASE ** (t.arange(0, one, 2, dtype=t.float32) / one)
    angle = t.outer(t.arange(begin, begin + count, dtype=t.float32), speed)
    angle = t.cat([angle, angle], 1)
    return angle.cos(), angle.sin()


@cache
def turning() -> Any:
    """A function of queries or keys [b, heads, t, one], cosines and sines: them, turned by their positions.

    Made once, and outside of what is compiled: an import would cut a compiled graph in two.
    """
    t = part("torch")

    def turn(x: Any, cos: Any, sin: Any) -> Any:
        half = x.shape[-1] // 2
        out = x * cos.to(x.dtype)
        sin = sin.to(x.dtype)
        out[..., :half].addcmul_(x[..., half:], sin[:, :half], value=-1)
        out[..., half:].addcmul_(x[..., :half], sin[:, half:])
        return out

    class Turn(t.autograd.Function):  # type: ignore[misc, name-defined]
        """A rotation, whose gradient is turned back: cheaper than what would be derived."""

        @staticmethod
        def forward(ctx: Any, x: Any, cos: Any, sin: Any) -> Any:
            ctx.save_for_backward(cos, sin)
            return turn(x, cos, sin)

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            cos, sin = ctx.saved_tensors
            return turn(grad, cos, -sin), None, None

    def turned(x: Any, cos: Any, sin: Any) -> Any:
        if not t.compiler.is_compiling():
            return Turn.apply(x, cos, sin)
        first, second = x.chunk(2, dim=-1)  # a compiler fuses the formula, and what is derived of it
        return x * cos.to(x.dtype) + t.cat([-second, first], -1) * sin.to(x.dtype)

    return turned


def within(text: Any) -> Any:
    """bool[b, 1, t, t]: each token sees itself and those before it of its own text; text: int64[b, t], which
    text each token belongs to.
    """
    return (text[:, :, None] == text[:, None, :]).tril()[:, None]


def weights_of(module: Any) -> dict[str, Any]:
    """The weights by the names that Llama gives them, on the CPU."""
    return {f"model.{name}": value.detach().cpu().contiguous() for name, value in module.named_parameters()}
