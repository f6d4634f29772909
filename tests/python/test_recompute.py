# SPDX-License-Identifier: Apache-2.0
"""Memory for time: recompute() of functions and Cells, jit(remat=...)."""

import numpy as np
import pytest

import rutile
from rutile import nn, ops


class Block(nn.Cell):
    def __init__(self):
        super().__init__()
        self.calls = []
        self.fc = nn.Dense(8, 8)
        self.drop = nn.Dropout(p=0.3)

    def construct(self, x, scale=1.0):
        self.calls.append(scale)
        return self.drop(ops.gelu(self.fc(x))) * scale


def gradients(recompute, mode):
    rutile.set_context(mode=mode)
    try:
        rutile.set_seed(4)
        block = Block()
        block.set_train()
        if recompute:
            assert block.recompute() is block
        x = rutile.Tensor(np.linspace(-1, 1, 16, dtype=np.float32).reshape(2, 8))
        weights = list(block.trainable_params())
        run = rutile.value_and_grad(lambda v: block(v, scale=2.0).sum(), None, weights)
        value, grads = run(x)
        return [value.asnumpy()] + [g.asnumpy() for g in grads], len(block.calls)
    finally:
        rutile.set_context(mode=rutile.PYNATIVE_MODE)


@pytest.mark.parametrize("mode", [rutile.PYNATIVE_MODE, rutile.GRAPH_MODE])
def test_a_cell_is_run_again_in_backward(mode):
    kept, calls = gradients(False, mode)
    again, calls_again = gradients(True, mode)
    assert calls_again == calls + 1
    for a, b in zip(kept, again):
        np.testing.assert_array_equal(a, b)


def test_a_function_of_nested_arguments():
    def block(pair, *, power):
        return {"y": pair[0] ** power * pair[1]}

    def loss(x, y, keep):
        out = block((x, y), power=2) if keep else rutile.recompute(block, (x, y), power=2)
        return out["y"].sum()

    x, y = rutile.Tensor([1.0, 2.0]), rutile.Tensor([3.0, 4.0])
    for keep in (True, False):
        gx, gy = rutile.grad(loss, (0, 1))(x, y, keep)
        assert gx.asnumpy().tolist() == [6.0, 16.0] and gy.asnumpy().tolist() == [1.0, 4.0]


def test_jit_with_remat_gives_the_same_bits():
    x = rutile.Tensor(np.random.default_rng(0).standard_normal((64, 512)).astype(np.float32))
    def loss(v):
        for _ in range(3):
            v = ops.tanh(ops.matmul(v, v.T) @ v * 1e-3)
        return v.sum()
    results = [rutile.jit(rutile.grad(loss), remat=remat)(x).asnumpy() for remat in ("off", "cheap", "100000")]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    with pytest.raises(ValueError, match="remat"):
        rutile.jit(loss, remat="some")
