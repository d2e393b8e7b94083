"""The network in numpy: convolutions by hand, and a net that survives being taken apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.image.convolve import Block, Conv, Net, arrays, convolved, from_arrays


def conv(rng: np.random.Generator, into: int, out: int, k: int, stride: int = 1) -> Conv:
    weight = rng.normal(0, 1 / np.sqrt(into * k * k), (out, into, k, k)).astype(np.float32)
    return Conv(weight, rng.normal(0, 0.1, out).astype(np.float32), stride)


def made(seed: int = 0, pooled: bool = False, classes: int = 4) -> Net:
    """A net of two blocks with random weights."""
    rng = np.random.default_rng(seed)
    blocks = (
        Block(conv(rng, 8, 8, 3), conv(rng, 8, 8, 3)),
        Block(conv(rng, 8, 12, 3, 2), conv(rng, 12, 12, 3), conv(rng, 8, 12, 1, 2)),
    )
    stem = conv(rng, 3, 8, 7 if pooled else 3, 2 if pooled else 1)
    weights = rng.normal(0, 0.5, (12, classes)).astype(np.float32)
    bias = rng.normal(0, 0.5, classes).astype(np.float32)
    return Net(stem, pooled, blocks, weights, bias, np.full(3, 0.5, np.float32), np.full(3, 0.2, np.float32))


def plain(x: np.ndarray, one: Conv) -> np.ndarray:
    """A convolution as it is defined, pixel by pixel."""
    out, _, k, _ = one.weight.shape
    wide = np.pad(x, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    high = (x.shape[2] + 2 * (k // 2) - k) // one.stride + 1
    found = np.zeros((len(x), out, high, high))
    for i in range(high):
        for j in range(high):
            part = wide[:, :, i * one.stride : i * one.stride + k, j * one.stride : j * one.stride + k]
            found[:, :, i, j] = np.einsum("ncab,ocab->no", part, one.weight) + one.bias
    return found


@given(st.integers(1, 9), st.sampled_from([1, 3, 7]), st.sampled_from([1, 2]), st.integers(0, 99))
def test_convolutions_are_what_they_are_defined_to_be(side, k, stride, seed):
    rng = np.random.default_rng(seed)
    x, one = rng.random((2, 3, side, side)).astype(np.float32), conv(rng, 3, 4, k, stride)
    assert convolved(x, one) == pytest.approx(plain(x, one), abs=1e-5)


@pytest.mark.parametrize("pooled", [False, True])
def test_a_net_that_was_taken_apart_is_the_same(pooled):
    net, x = made(1, pooled), np.random.default_rng(2).random((5, 3, 16, 16)).astype(np.float32)
    again = from_arrays(arrays(net))
    assert again.scores(x).tobytes() == net.scores(x).tobytes()
    assert net.scores(x).shape == (5, 4)
    one = np.concatenate([net.scores(x[i : i + 1]) for i in range(5)])
    assert one == pytest.approx(net.scores(x), abs=1e-5)
