"""What foreseeing tokens cost, without keeping the scores of a whole vocabulary for every place.

Scores are made a few rows at a time, and their gradient in the same pass, so that they stay in the
processor's cache: a batch's scores, its largest tensors by far, are never there at once (Wijmans et al. 2025,
"Cut your losses in large-vocabulary language models", whose kernel is for GPUs). The plain sum is left to a
compiler, which fuses it, and to half precision.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from bapsim.train.lm.parts import part

TOGETHER = 2**18  # scores made at once: 1 MB
FEWEST = 64  # rows, so that products of matrices pay


@cache
def losing() -> Any:
    """A function of hidden, table, behind, weight: the weighted sum of nats of tokens, a scalar that can be
    differentiated once by hidden and table.

    hidden: float[..., width]; table: float[vocabulary, width], one row a token; behind: int64[...], the
    tokens that came; weight: float32[...], of each. Made once, and outside of what is compiled: an import
    would cut a compiled graph in two.
    """
    t = part("torch")
    F = t.nn.functional

    class Lost(t.autograd.Function):  # type: ignore[misc, name-defined]
        """Gradients are made on the way: the scores are at hand then."""

        @staticmethod
        def forward(ctx: Any, hidden: Any, table: Any, behind: Any, weight: Any) -> Any:
            by_hidden, by_table = t.empty_like(hidden), t.zeros_like(table)
            whole = hidden.new_zeros((), dtype=t.float64)
            step = max(FEWEST, TOGETHER // len(table))
            for begin in range(0, len(hidden), step):
                at = slice(begin, begin + step)
                scores = t.log_softmax(hidden[at] @ table.T, 1)
                came, counts = behind[at, None], weight[at, None]
                whole -= (scores.gather(1, came) * counts).sum()
                scores.exp_().mul_(counts).scatter_add_(1, came, -counts)
                t.mm(scores, table, out=by_hidden[at])
                by_table.addmm_(scores.T, hidden[at])
            ctx.save_for_backward(by_hidden, by_table)
            return whole.to(hidden.dtype)

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            by_hidden, by_table = ctx.saved_tensors
            return by_hidden * grad, by_table * grad, None, None

    def lost(hidden: Any, table: Any, behind: Any, weight: Any) -> Any:
        hidden, behind, weight = hidden.flatten(0, -2), behind.flatten(), weight.flatten()
        half = t.is_autocast_enabled(hidden.device.type)
        if hidden.device.type != "cpu" or half or t.compiler.is_compiling():
            scores = F.linear(hidden, table).float()
            return (F.cross_entropy(scores, behind, reduction="none") * weight).sum()
        at = weight.nonzero().flatten()  # what counts nothing is not foreseen at all
        counted = (one.index_select(0, at) for one in (behind, weight))
        return Lost.apply(hidden.index_select(0, at), table, *counted)

    return lost
