# SPDX-License-Identifier: Apache-2.0
"""Compiled functions print in each run, with its values."""

import builtins
import threading

import pytest

import rutile as ms
from rutile import Parameter, Tensor, nn, ops


@pytest.fixture(params=[ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["eager", "graph"])
def mode(request):
    ms.set_context(mode=request.param)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.show, self.w = ops.Print(), Parameter(Tensor(1), name="w")

    def construct(self, x):
        y = x * 2
        self.show("y:", y, (1, 2))
        print("pair", (y, 1), [x], {"a": y}, 0.5, sep="; ")
        print("before", self.show is None)
        self.w = x
        self.show(self.w)
        return y


def test_each_run_prints_its_values(mode, capsys):
    net = Net()
    for i in (3, 4, 3):
        assert int(net(Tensor(i))) == 2 * i
        t = [f"Tensor(shape=[], dtype=Int64, value= {v})" for v in (i, 2 * i)]
        assert capsys.readouterr().out.splitlines() == [
            "y:", t[1], "(1, 2)", f"pair; ({t[1]}, 1); [{t[0]}]; {{'a': {t[1]}}}; 0.5", "before False", t[0]]
    assert builtins.print.__module__ == "builtins", "print is Python's again"


class Loop(nn.Cell):
    def __init__(self):
        super().__init__()
        self.show = ops.Print()

    def construct(self, x, y):
        while x < y:
            self.show("x", x)
            x = x + 1
        if x > 4:
            print("large")
        return x


def test_loops_and_branches(mode, capsys):
    net = Loop()
    for start in (1, 3):
        assert int(net(Tensor(start), Tensor(5))) == 5
        out = capsys.readouterr().out
        assert [f"value= {i})" in out for i in range(1, 6)] == [start <= i < 5 for i in range(1, 6)] and out.endswith("large\n")


def test_training_and_gradients(capsys):
    net = nn.Dense(2, 1, weight_init="ones", bias_init="zeros")

    def loss(x, y):
        value = ((net(x) - y) ** 2).mean()
        print("loss", value)
        return value

    optimizer = nn.SGD(net.trainable_params(), 0.1)
    grad = ms.value_and_grad(loss, None, optimizer.parameters)

    @ms.jit
    def step(x, y):
        value, grads = grad(x, y)
        optimizer(grads)
        return value

    losses = [step(Tensor([[1.0, 2.0]]), Tensor([[1.0]])) for _ in range(3)]
    assert capsys.readouterr().out.splitlines() == [f"loss {v}" for v in losses] and losses[2] < losses[0]


def test_an_error_leaves_what_was_printed(mode, capsys):
    class Fails(nn.Cell):
        def construct(self, x):
            print("shape", x.shape)
            return ops.matmul(x, x)

    with pytest.raises(ValueError):
        Fails()(Tensor([[1.0, 2.0, 3.0]]))
    assert capsys.readouterr().out == "shape (1, 3)\n" and builtins.print.__module__ == "builtins"


def test_prints_of_other_threads_are_theirs(capsys):
    def function(x):
        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
        return x + 1

    assert int(ms.jit(function)(Tensor(1))) == 2
    assert "from a thread" in capsys.readouterr().out
