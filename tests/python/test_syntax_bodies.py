# SPDX-License-Identifier: Apache-2.0
"""Bodies of branches and loops are run more than once while a function is traced: to see what they give, then for the
graph. Nothing may come of the first: no state, no random number, no effect, no error of a body that the function handles."""

import numpy as np
import pytest

import rutile
from rutile import Parameter, Tensor, nn, ops

X = Tensor(np.arange(1.0, 7.0, dtype=np.float32).reshape(2, 3))
CASES = {}


def case(make):
    CASES[make.__name__] = make
    return make


@case
def random_numbers_in_one_branch():
    drop = nn.Dropout(p=0.5).set_train()

    def f(x):
        y = drop(x) if x.sum() > 0 else x * 2.0
        return y + ops.dropout(x, 0.5)
    return f, lambda: 0


@case
def random_numbers_in_a_loop():
    drop = nn.Dropout(p=0.3).set_train()

    def f(x):
        while x.sum() > 1:
            x = drop(x) * 0.3
        return x + ops.dropout(x, 0.5)
    return f, lambda: 0


@case
def random_numbers_in_bodies_by_hand():
    drop = nn.Dropout(p=0.5).set_train()

    def f(x):
        last, kept = ops.scan(lambda c, u: (c + drop(u), c), ops.zeros((3,)), x)
        _, looped = ops.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, drop(c[1]) + c[1]), (Tensor(0), x), max_iterations=5)
        return last.sum() + kept.sum() + looped.sum() + ops.cond(x.sum() > 0, drop, lambda u: u, x).sum()
    return f, lambda: 0


@case
def states_that_both_branches_write():
    p = Parameter(Tensor([0.0, 0.0, 0.0]), name="p")

    def f(x):
        if x.sum() > 0:
            ops.assign_add(p, x.sum(0))
        else:
            ops.assign(p, p * 2.0)
        return p + 0.0
    return f, lambda: p.asnumpy()


@case
def states_that_a_loop_writes():
    p = Parameter(Tensor(0.0), name="p")

    def f(x):
        i = Tensor(0.0)
        while (x * i).sum() < 30 and i < 5:
            ops.assign_add(p, i)
            i = i + 1
        return i + p
    return f, lambda: p.asnumpy()


@case
def statistics_in_a_branch():
    norm = nn.BatchNorm1d(3).set_train()

    def f(x):
        if x.sum() > 0:
            x = norm(x)
        return x
    return f, lambda: np.stack([norm.moving_mean.asnumpy(), norm.moving_variance.asnumpy()])


@case
def loops_in_branches_in_loops():
    def f(x):
        while x.sum() > 1:
            if x.max() > 2:
                x = x * 0.5
                continue
            z = x
            while z.sum() > 0.5:
                z = z * 0.5
            x = x * 0.9 - z * 0.1
        return x
    return f, lambda: 0


@case
def an_error_of_a_body_that_is_handled():
    def f(x):
        try:
            y = ops.cond(x.sum() > 0, lambda u: ops.matmul(u, u), lambda u: ops.matmul(u, u), x)
        except ValueError:
            y = x + 1.0
        return ops.cond(y.sum() > 0, lambda u: u * 2.0, lambda u: u, y)
    return f, lambda: 0


def run(make, compiled):
    rutile.set_seed(3)
    f, look = make()
    f = rutile.jit(f, fullgraph=True) if compiled else f
    for x in (X, -X, X * 0.1, X):
        yield f(x).asnumpy(), look()
    assert not compiled or f.compilations == 1


@pytest.mark.parametrize("name", CASES)
def test_bodies_leave_what_they_leave_eagerly(name):
    for i, (right, got) in enumerate(zip(list(run(CASES[name], False)), run(CASES[name], True), strict=True)):
        np.testing.assert_allclose(got[0], right[0], rtol=1e-5, atol=1e-6, err_msg=f"result of call {i}")
        np.testing.assert_allclose(got[1], right[1], rtol=1e-5, atol=1e-6, err_msg=f"left by call {i}")


@pytest.mark.parametrize("way", ["helper", "hook"])
def test_effects_of_bodies_happen_once(way, capfd):
    seen, dense = [], nn.Dense(3, 3)
    dense.register_forward_hook(lambda cell, args, out: seen.append("hook"))

    def double(x):
        seen.append("helper")
        return x * 2.0

    inner = double if way == "helper" else dense

    @rutile.jit
    def f(x):
        return inner(x) if x.sum() > 0 else x

    f(X)
    assert seen == [way]
    f(-X)
    assert seen == [way]
    f(X)
    assert seen == [way] * 2
    assert "runs as it is written" in capfd.readouterr().err


def test_an_error_in_a_body_names_its_line_and_leaves_later_calls_working():
    class Net(nn.Cell):
        def construct(self, x):
            while x.sum() > 1:
                x = ops.matmul(x, x)
            return x

    class Outer(nn.Cell):
        def __init__(self):
            super().__init__()
            self.blocks = nn.CellList([nn.ReLU(), Net()])

        def construct(self, x):
            for block in self.blocks:
                x = block(x)
            return x

    net = Outer()
    f = rutile.jit(lambda x: net(x), fullgraph=True)
    with pytest.raises(RuntimeError, match=r"(?s)RUTILE-E0101.*\[matmul\] inner sizes differ: 3 and 2.*in Cell Outer.blocks.1.*test_syntax_bodies.py:\d+"):
        f(X)
    with pytest.raises(ValueError, match=r"\[matmul\] inner sizes differ"):
        net(X)
    square = Tensor(np.full((2, 2), 0.4, np.float32))
    np.testing.assert_allclose(f(square).asnumpy(), net(square).asnumpy(), rtol=1e-5)


def test_what_stands_in_the_way_is_shown():
    @rutile.jit(fullgraph=True)
    def f(x):
        mode = "small"
        if x.sum() > 1:
            mode = "large"
        return x * (2.0 if mode == "large" else 3.0)

    with pytest.raises(RuntimeError, match="mode is 'large' in one branch and 'small' in the other"):
        f(X)


class Halves(nn.Cell):
    def construct(self, x):
        while x.sum() > 1:
            x = x * 0.5
        return x


class Signed(nn.Cell):
    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(3, 3)

    def construct(self, x):
        if x.sum() > 0:
            return self.dense(x)
        return -self.dense(x)


def test_cells_that_a_compiled_function_calls():
    net, halves = nn.SequentialCell(Signed(), nn.ReLU()), Halves()
    optimizer = nn.SGD(net.trainable_params(), 0.1)
    gradients = rutile.value_and_grad(lambda x: (net(x) ** 2).sum(), None, net.trainable_params())

    def step(x):
        loss, g = gradients(x)
        optimizer(g)
        return halves(x) + loss if x.max() > 1 else x * loss

    def steps(run):
        for p, value in zip(net.trainable_params(), start):
            p.set_data(Tensor(value))
        return [run(x).asnumpy() for x in (X, -X, X * 0.1)] + [p.asnumpy() for p in net.trainable_params()]

    start = [p.asnumpy() for p in net.trainable_params()]
    compiled = rutile.jit(step, fullgraph=True)
    for right, got in zip(steps(step), steps(compiled), strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-6)
    assert compiled.compilations == 1
    assert "construct" not in vars(net[0]) and "construct" not in vars(halves)
