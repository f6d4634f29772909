# SPDX-License-Identifier: Apache-2.0
"""`if` over tensor values in compiled functions, methods of jit_class and construct."""

import numpy as np
import pytest

import rutile as ms
from rutile import Parameter, Tensor, nn, ops


def test_variables_and_returns():
    offset = Tensor([10.0, 10.0])

    @ms.jit
    def f(x, flag=True):
        y = x
        if flag:  # no tensor: as always
            y = y + 0.0
        if x.sum() > 0:
            y = x * 2
            z = y + offset
        elif x.sum() < -5:
            z = x - offset
        else:
            z = x
        return y, z

    def want(x):
        y = x * 2 if x.sum() > 0 else x
        return y, y + 10 if x.sum() > 0 else x - 10 if x.sum() < -5 else x

    for v in ([1.0, 2.0], [-1.0, -9.0], [-1.0, 0.5]):
        x = np.array(v, np.float32)
        for ours, theirs in zip(f(Tensor(x)), want(x)):
            np.testing.assert_allclose(ours.asnumpy(), theirs)
    assert f.compilations == 1

    @ms.jit
    def g(x):
        if x.sum() > 0:
            return x * 2
        y = x - 1
        return y

    assert g(Tensor([1.0])).asnumpy() == 2 and g(Tensor([-1.0])).asnumpy() == -2
    grad = ms.jit(lambda x: ms.grad(lambda v: g(v).sum())(x))
    assert grad(Tensor([1.0])).asnumpy() == 2 and grad(Tensor([-1.0])).asnumpy() == 1


def test_states_change_in_one_way_only():
    w, count = Parameter(Tensor([1.0]), name="w"), Parameter(Tensor(0, ms.int32), name="count")

    @ms.jit_class
    class EverySecond:
        def __init__(self, step):
            self.step = step

        def __call__(self, x):
            ops.assign_add(count, Tensor(1, ms.int32))
            if count % self.step == 0:
                ops.assign_add(w, x)
            return count.value()

    f = ms.jit(lambda x, h=EverySecond(2): h(x))
    seen = []
    for _ in range(4):
        f(Tensor([3.0]))
        seen.append(float(w.asnumpy()[0]))
    assert seen == [1, 4, 4, 7] and f.compilations == 1


def test_construct():
    class Net(nn.Cell):
        def __init__(self):
            super().__init__()
            self.fc = nn.Dense(2, 2, weight_init="ones", bias_init="zeros")

        def construct(self, x):
            y = self.fc(x)
            if y.mean() > 1:
                y = y / y.max()
            return y

    jitted = Net()
    forward = ms.jit(lambda v: jitted(v))
    net = Net()
    x = [Tensor(np.full((1, 2), v, np.float32)) for v in (3.0, 0.1)]
    eager = [net(v).asnumpy() for v in x]
    for v, want in zip(x, eager):
        np.testing.assert_allclose(forward(v).asnumpy(), want, rtol=1e-6)
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        for v, want in zip(x, eager):
            np.testing.assert_allclose(net(v).asnumpy(), want, rtol=1e-6)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


def test_not_and_or():
    @ms.jit
    def f(x):
        if not x.sum() > 0 and x.max() > 1 or x.min() < -7:
            return x * 2
        return x

    for v in ([1.0, 2.0], [-4.0, 2.0], [-4.0, 0.0], [-8.0, 20.0]):
        x = np.array(v, np.float32)
        twice = not x.sum() > 0 and x.max() > 1 or x.min() < -7
        np.testing.assert_allclose(f(Tensor(x)).asnumpy(), x * (2 if twice else 1))


def test_what_cannot_be_runs_as_written():
    def one_way(x):
        if x.sum() > 0:
            y = x
        return y  # noqa: F821

    assert ms.jit(one_way)(Tensor([1.0])).asnumpy() == 1
    with pytest.raises(UnboundLocalError):
        ms.jit(one_way)(Tensor([-1.0]))
    with pytest.raises(RuntimeError, match="needs the value"):  # the error that names file, line and cure
        ms.jit(one_way, fullgraph=True)(Tensor([1.0]))
