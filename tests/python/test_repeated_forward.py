# SPDX-License-Identifier: Apache-2.0
"""loss = net(x); grads = grad(net)(x): one forward, as MindSpore counts it."""

import gc
import weakref

import numpy as np
import pytest
import rutile as ms
from rutile import ParameterTuple, Tensor, nn, ops

X = np.random.RandomState(0).randn(6, 4).astype(np.float32) + 1


class _Loss(nn.Cell):
    def __init__(self, dropped=0.0):
        super().__init__()
        self.bn, self.dense = nn.BatchNorm1d(4, momentum=0.9), nn.Dense(4, 8)
        self.dropout = nn.Dropout(p=dropped)
        self.set_train()

    def construct(self, x):
        return self.dropout(self.dense(self.bn(x))).sum()

    def updates(self):
        return round(float(np.log(1 - self.bn.moving_mean.asnumpy()[0] / X.mean(0)[0]) / np.log(0.9)), 3)


class _Step(nn.Cell):
    """The step of MindSpore's model zoo."""

    def __init__(self, network, optimizer):
        super().__init__(auto_prefix=False)
        self.network, self.optimizer = network, optimizer
        self.network.set_grad()
        self.weights = optimizer.parameters
        self.grad = ops.GradOperation(get_by_list=True, sens_param=True)

    def construct(self, x):
        loss = self.network(x)
        grads = self.grad(self.network, self.weights)(x, ops.ones_like(loss))
        return ops.depend(loss, self.optimizer(grads))


@pytest.fixture(params=["pynative", "graph"], autouse=True)
def mode(request):
    ms.set_context(mode=ms.GRAPH_MODE if request.param == "graph" else ms.PYNATIVE_MODE)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


def test_statistics_count_once():
    net = _Loss()
    step = _Step(net, nn.SGD(net.trainable_params(), 0.0))
    for n in (1, 2, 3):
        step(Tensor(X))
        assert net.updates() == n


def test_loss_and_gradient_have_one_mask():
    net = _Loss(0.5)
    for p in net.trainable_params():
        p.set_data(ops.ones(p.shape))

    class Both(nn.Cell):
        def __init__(self):
            super().__init__(auto_prefix=False)
            self.net, self.weights = net, ParameterTuple([net.dense.bias])
            net.set_grad()

        def construct(self, x):
            return self.net(x), ops.GradOperation(get_by_list=True)(self.net, self.weights)(x)

    for _ in range(4):
        loss, (grad,) = Both()(Tensor(X))
        # Each kept output counts twice its 1 + sum(bn), which is 1 + 4 * 1 (beta) on average over the rows.
        kept = grad.asnumpy().sum() / 2
        assert 0 < kept < 48
        again = net(Tensor(X))
        assert float(again) != float(loss)  # the generator has moved on, by one draw
    assert net.updates() == 8


def test_what_is_another_call_counts():
    for change in ("tensor", "value", "parameters", "twice", "function"):
        net = _Loss()
        net.set_grad()
        x = Tensor(X)

        class Net(nn.Cell):
            def __init__(self):
                super().__init__(auto_prefix=False)
                self.net, self.weights = net, ParameterTuple(net.trainable_params())

            def construct(self, x):
                grad, y = ops.GradOperation(get_by_list=True), x
                if change == "function":
                    return self.net(x), ops.GradOperation(get_by_list=True)(lambda v: self.net(v), self.weights)(x)
                loss = self.net(x)
                if change == "twice":
                    loss = self.net(x) + loss
                if change == "tensor":
                    y = x * 1.0
                if change == "value":
                    x[0] = x[0] * 1.0
                if change == "parameters":
                    self.net.dense.bias.set_data(self.net.dense.bias + 1.0)
                return loss, grad(self.net, self.weights)(y)

        Net()(x)
        assert net.updates() == 2, change


def test_gradients_are_those_of_one_call():
    a, b = _Loss(), _Loss()
    for p, q in zip(a.get_parameters(), b.get_parameters()):
        q.set_data(p.value())
    step = _Step(a, nn.Momentum(a.trainable_params(), 0.01, 0.9))
    whole = nn.TrainOneStepCell(b, nn.Momentum(b.trainable_params(), 0.01, 0.9))
    for _ in range(4):
        np.testing.assert_allclose(step(Tensor(X)).asnumpy(), whole(Tensor(X)).asnumpy(), rtol=1e-5)
    for p, q in zip(a.get_parameters(), b.get_parameters()):
        np.testing.assert_allclose(p.asnumpy(), q.asnumpy(), rtol=1e-4, atol=1e-6)


def test_cells_are_not_kept():
    net = _Loss()
    net.set_grad()
    net(Tensor(X))
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None
