# SPDX-License-Identifier: Apache-2.0
"""Control flow over Python functions, eager and compiled."""

import numpy as np
import pytest

import rutile
from rutile import nn, ops


def both(fn):
    return [fn, rutile.jit(fn)]


def test_cond_runs_one_function():
    def fn(x, d):
        return ops.cond(x.sum() > 0, lambda v, e: {"y": v * 2, "z": e["b"]}, lambda v, e: {"y": v, "z": v}, x, d)

    for f in both(fn):
        x = rutile.Tensor(np.float32([1, 2]))
        d = {"b": rutile.Tensor(np.float32([5, 6]))}
        assert f(x, d)["y"].asnumpy().tolist() == [2, 4]
        assert f(-x, d)["z"].asnumpy().tolist() == [-1, -2]
    assert ops.cond(True, lambda: 3, lambda: 4) == 3


def test_loops_give_values_and_gradients():
    w = rutile.Parameter(rutile.Tensor(np.float32([0.5, -0.25])), name="w")

    def looped(x):
        i, y = ops.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, ops.tanh(c[1] * w)), (0, x), max_iterations=5)
        y = ops.fori_loop(0, 2, lambda i, v: v + i * x, y)
        last, ys = ops.scan(lambda c, v: (c + v * w, {"c": c}), y, ops.stack([x, y]))
        return (last * last).sum() + ys["c"].sum() + i

    def unrolled(x):
        y = x
        for _ in range(3):
            y = ops.tanh(y * w)
        y = y + x
        c, total = y, 0
        for v in (x, y):
            total = total + c.sum()
            c = c + v * w
        return (c * c).sum() + total + 3

    x = rutile.Tensor(np.float32([0.3, 0.9]))
    want, want_grads = rutile.value_and_grad(unrolled, 0, [w])(x)
    for f in both(lambda v: rutile.value_and_grad(looped, 0, [w])(v)):
        got, grads = f(x)
        np.testing.assert_allclose(float(got), float(want), rtol=1e-6)
        for a, b in zip((grads[0], *grads[1]), (want_grads[0], *want_grads[1])):
            np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=1e-5)


def test_a_tensor_bound_and_mindspore_classes():
    for f in both(lambda n: ops.fori_loop(0, n, lambda i, v: v + i, rutile.Tensor(0, rutile.int64))):
        assert int(f(rutile.Tensor(5))) == 10
    assert int(ops.WhileLoop()(lambda v: v < 10, lambda v: v + 3, rutile.Tensor(0))) == 12
    assert int(ops.ForiLoop()(0, 4, lambda i, v: v + i, rutile.Tensor(0, rutile.int64))) == 6
    carry, ys = ops.Scan()(lambda c, v: (c + v, c * v), rutile.Tensor(1), [1, 2, 3])
    assert int(carry) == 7 and [int(y) for y in ys] == [1, 4, 12]


def test_dropout_inside_a_compiled_loop():
    class Net(nn.Cell):
        def __init__(self):
            super().__init__()
            self.fc, self.drop = nn.Dense(4, 4), nn.Dropout(p=0.5)

        def construct(self, x):
            return ops.fori_loop(0, 3, lambda i, v: self.drop(self.fc(v)), x)

    def run(mode):
        rutile.set_context(mode=mode)
        try:
            rutile.set_seed(3)
            net = Net()
            net.set_train()
            x = rutile.Tensor(np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4))
            value, grads = rutile.value_and_grad(lambda v: net(v).sum(), None, list(net.trainable_params()))(x)
            return [value.asnumpy()] + [g.asnumpy() for g in grads]
        finally:
            rutile.set_context(mode=rutile.PYNATIVE_MODE)

    for a, b in zip(run(rutile.PYNATIVE_MODE), run(rutile.GRAPH_MODE)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_errors():
    x = rutile.Tensor(np.float32([1, 2]))
    for f in both(lambda v: ops.while_loop(lambda c: c.sum() < 9, lambda c: (c, c), v)):
        with pytest.raises(ValueError, match="the carry is x, the body returns"):
            f(x)
    with pytest.raises(ValueError, match="the predicate is one bool"):
        ops.cond(x, lambda: x, lambda: x)
    with pytest.raises(TypeError, match="returns a carry and an output"):
        ops.scan(lambda c, v: c, x, x)


UNEQUAL = [(lambda v: ops.cond(v.sum() > 0, lambda: (v, v), lambda: v), TypeError),
           (lambda v: ops.cond(v.sum() > 0, lambda: v, lambda: v.astype("int32")), TypeError),
           (lambda v: ops.cond(v.sum() > 0, lambda: v, lambda: v.sum()), ValueError)]


@pytest.mark.parametrize("f, error", UNEQUAL)
def test_branches_that_give_unequal_results(f, error):
    """As if and else: Python runs one, a graph holds none; compiled or not, the numbers are Python's."""
    compiled, strict = rutile.jit(f), rutile.jit(f, fullgraph=True)
    for values in ([1.0, 2.0], [-1.0, -2.0]):
        x = rutile.Tensor(values)
        eager, graph = f(x), compiled(x)
        assert type(eager) is type(graph)
        for a, b in zip(eager, graph) if isinstance(eager, tuple) else [(eager, graph)]:
            assert a.dtype == b.dtype and a.asnumpy().tolist() == b.asnumpy().tolist()
        with pytest.raises(error, match=r"(?s)where the predicate holds.*where it does not.*test_control.py"):
            strict(x)


def test_a_cell_with_unequal_branches():
    class Net(nn.Cell):
        def construct(self, x):
            y = ops.cond(x.sum() > 0, lambda: x, lambda: x.sum())
            return y * 2

    for mode in (rutile.PYNATIVE_MODE, rutile.GRAPH_MODE):
        rutile.set_context(mode=mode)
        try:
            assert Net()(rutile.Tensor([1.0, 2.0])).asnumpy().tolist() == [2, 4]
            assert Net()(rutile.Tensor([-1.0, -2.0])).asnumpy().tolist() == -6
        finally:
            rutile.set_context(mode=rutile.PYNATIVE_MODE)


@pytest.mark.parametrize("low", [False, True])
def test_a_recomputed_cell_with_a_loop(low):
    class Block(nn.Cell):
        def __init__(self):
            super().__init__()
            self.fc, self.drop = nn.Dense(4, 4), nn.Dropout(p=0.3)

        def construct(self, x):
            c, ys = ops.scan(lambda c, v: (self.drop(ops.tanh(self.fc(c))) + v, c), x[0], x)
            return (c * c).sum() + ys.sum()

    def run(mode, again):
        rutile.set_context(mode=mode)
        try:
            rutile.set_seed(1)
            block = Block()
            block.set_train()
            if again:
                block.recompute()
            if low:
                block.to_float(rutile.bfloat16)
            x = rutile.Tensor(np.linspace(-1, 1, 24, dtype=np.float32).reshape(3, 2, 4))
            value, grads = rutile.value_and_grad(block, None, list(block.trainable_params()))(x)
            return [value.asnumpy()] + [g.asnumpy() for g in grads]
        finally:
            rutile.set_context(mode=rutile.PYNATIVE_MODE)

    want = run(rutile.PYNATIVE_MODE, False)
    for mode in (rutile.PYNATIVE_MODE, rutile.GRAPH_MODE):
        for again in (False, True):
            for a, b in zip(run(mode, again), want):
                np.testing.assert_allclose(a, b, rtol=2e-2 if low else 1e-5, atol=1e-5)
