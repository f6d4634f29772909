# SPDX-License-Identifier: Apache-2.0
"""Branches and loops on tensor values that update Parameters: what training steps of MindSpore's model zoo do where nothing
overflowed. They are compiled, and equal the same code as it is written."""

import numpy as np
import pytest

import rutile as ms
from rutile import Parameter, Tensor, nn, ops


class Step(nn.TrainOneStepWithLossScaleCell):
    """kind: how the model zoo's versions write the update."""

    def __init__(self, network, optimizer, scale, kind):
        super().__init__(network, optimizer, scale)
        self.kind, self.depend = kind, ops.Depend()

    def construct(self, x, y):
        loss = self.network(x, y)
        status, scale = self.start_overflow_check(loss, self.scale_sense)
        grads = self.grad(self.network, self.weights)(x, y, scale)
        grads = tuple(g / scale for g in grads)
        overflow = self.process_loss_scale(self.get_overflow_status(status, grads))
        if self.kind == "statement":
            if not overflow:
                self.optimizer(grads)
        elif self.kind == "flag":
            if overflow:
                done = False
            else:
                done = self.optimizer(grads)
            loss = self.depend(loss, done)
        else:
            done = False
            if not overflow:
                done = self.optimizer(grads)
            loss = ops.depend(loss, done)
        return loss, overflow, scale.value()


def results(mode, kind):
    ms.set_context(mode=mode, jit_syntax_level=ms.STRICT)
    try:
        net = nn.Dense(2, 1, weight_init=Tensor([[1.0, -1.0]]), bias_init="zeros")
        optimizer = nn.Momentum(net.trainable_params(), nn.ExponentialDecayLR(0.1, 0.5, 1), 0.9)
        step = Step(nn.WithLossCell(net, nn.MSELoss()), optimizer, nn.DynamicLossScaleUpdateCell(2.0**10, 2, 2), kind).set_train()
        out = []
        for x in ([1.0, 2.0], [3.0, 1.0], [float("inf"), 1.0], [1.0, 1.0]):
            step(Tensor([x]), Tensor([[1.0]]))
            out.append([*net.weight.asnumpy().ravel(), float(net.bias), float(step.scale_sense), float(optimizer.global_step)])
        return np.array(out)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE, jit_syntax_level=ms.LAX)


@pytest.mark.parametrize("kind", ["statement", "flag", "flag before"])
def test_updates_where_nothing_overflowed(kind):
    eager, graph = results(ms.PYNATIVE_MODE, kind), results(ms.GRAPH_MODE, kind)
    np.testing.assert_allclose(graph, eager, rtol=1e-6)
    assert eager[:, -1].tolist() == [1, 2, 2, 3] and (eager[1, :3] == eager[2, :3]).all(), "the third step overflowed"


class Counts(nn.Cell):
    def __init__(self):
        super().__init__()
        self.last, self.n = Parameter(Tensor([1.0]), name="last"), Parameter(Tensor(0, ms.int32), name="n")

    def construct(self, x, y):
        while x < y:
            self.last = x * 2
            self.n += 1
            x = self.last + 1
        if x > 100:
            self.n = self.n * 2
            self.last = ops.ones((1,), ms.int32)
        return x


def test_parameters_are_assigned_in_branches_and_loops():
    def run(mode):
        ms.set_context(mode=mode, jit_syntax_level=ms.STRICT)
        try:
            net, out = Counts(), []
            for y in (20.0, 0.5, 200.0):
                out.append([float(net(Tensor([1.0]), Tensor([y]))), float(net.last), int(net.n)])
            return out
        finally:
            ms.set_context(mode=ms.PYNATIVE_MODE, jit_syntax_level=ms.LAX)

    assert run(ms.GRAPH_MODE) == run(ms.PYNATIVE_MODE) == [[31, 30, 4], [1, 30, 4], [255, 1, 22]]


class Keeps(nn.Cell):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.kept, self.w, self.seen = kind, None, Parameter(Tensor([1.0]), name="w"), []

    def note(self, x):
        self.seen.append(1)

    def construct(self, x):
        if x.sum() > 0:
            if self.kind == "attribute":
                self.kept = x + 1
            elif self.kind == "method":
                self.note(x)
            else:
                self.kept = 1
        return x


@pytest.mark.parametrize("kind", ["attribute", "method", "number"])
def test_other_effects_run_as_written(kind):
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        net = Keeps(kind)
        net(Tensor([-1.0]))
        assert net.kept is None and net.seen == []
        net(Tensor([1.0]))
        assert net.seen == [1] if kind == "method" else float(net.kept) == (2 if kind == "attribute" else 1)
        ms.set_context(jit_syntax_level=ms.STRICT)
        with pytest.raises(RuntimeError, match="under a condition|in a branch"):
            Keeps(kind)(Tensor([1.0]))
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE, jit_syntax_level=ms.LAX)
