"""The loss of tokens in parts is the plain one, and so are its gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from bapsim.train.lm.lost import losing  # noqa: E402


def plain(hidden, table, behind, weight):
    scores = (hidden @ table.T).flatten(0, -2)
    nats = torch.nn.functional.cross_entropy(scores, behind.flatten(), reduction="none")
    return (nats * weight.flatten()).sum()


@settings(max_examples=40, deadline=None)
@given(
    places=st.tuples(st.integers(1, 5), st.integers(1, 90)),
    vocabulary=st.sampled_from([2, 7, 5000]),
    zeros=st.floats(0, 1),
    seed=st.integers(0, 2**16),
)
def test_parts_give_the_plain_loss_and_its_gradients(places, vocabulary, zeros, seed):
    rng = np.random.default_rng(seed)
    hidden = torch.tensor(rng.normal(size=(*places, 6)), requires_grad=True)
    table = torch.tensor(rng.normal(size=(vocabulary, 6)), requires_grad=True)
    behind = torch.tensor(rng.integers(0, vocabulary, places))
    weight = torch.tensor(np.where(rng.random(places) < zeros, 0, rng.random(places) * 3))
    said = []
    for how in (losing(), plain):
        whole = how(hidden, table, behind, weight)
        said.append((whole, *torch.autograd.grad(whole / 7, (hidden, table))))
    for ours, theirs in zip(*said, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


def test_a_batch_of_nothing_but_padding_costs_nothing():
    hidden, table = torch.ones(1, 4, 6, requires_grad=True), torch.ones(9, 6, requires_grad=True)
    whole = losing()(hidden, table, torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, 4))
    whole.backward()
    assert float(whole.detach()) == 0.0
    assert not hidden.grad.any()
    assert not table.grad.any()
