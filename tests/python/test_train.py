# SPDX-License-Identifier: Apache-2.0
"""Optimizers against their formulas, training steps in both modes, loss scales, older and newer ways to train."""

import math

import numpy as np
import pytest

import rutile as ms
from rutile import Parameter, Tensor, nn, ops

RNG = np.random.default_rng(5)


@pytest.fixture(params=[1, 0], ids=["pynative", "graph"], autouse=True)
def mode(request):
    ms.set_context(mode=request.param)
    yield request.param
    ms.set_context(mode=1)


P0 = RNG.normal(size=(3, 2)).astype(np.float32)
GRADS = [RNG.normal(size=(3, 2)).astype(np.float32) for _ in range(10)]


def run(make, rates, update, state):
    """Ten steps of an optimizer beside its formula in float64."""
    p = Parameter(Tensor(P0), name="w")
    optimizer = make([p])
    want, state = P0.astype(np.float64), dict(state)
    for t, g in enumerate(GRADS):
        optimizer((Tensor(g),))
        want = update(want, g.astype(np.float64), rates(t), t + 1, state)
        np.testing.assert_allclose(p.asnumpy(), want, rtol=2e-5, atol=2e-6)
    assert int(optimizer.global_step) == 10
    return optimizer


def momentum(mu, wd=0.0, nesterov=False, dampening=0.0):
    def update(p, g, lr, t, s):
        g = g + wd * p
        s["v"] = mu * s["v"] + (g if t == 1 and dampening else g * (1 - dampening))
        return p - lr * (g + mu * s["v"] if nesterov else s["v"])
    return update


def adam(b1, b2, eps, wd=0.0):
    def update(p, g, lr, t, s):
        g = g + wd * p
        s["m"] = b1 * s["m"] + (1 - b1) * g
        s["v"] = b2 * s["v"] + (1 - b2) * g * g
        return p - lr * math.sqrt(1 - b2**t) / (1 - b1**t) * s["m"] / (np.sqrt(s["v"]) + eps)
    return update


def adam_weight_decay(b1, b2, eps, wd):
    def update(p, g, lr, t, s):
        s["m"] = b1 * s["m"] + (1 - b1) * g
        s["v"] = b2 * s["v"] + (1 - b2) * g * g
        return p - lr * (s["m"] / (np.sqrt(s["v"]) + eps) + wd * p)
    return update


LIST = [0.1, 0.05, 0.01]
CASES = {
    "momentum": (lambda p: nn.Momentum(p, 0.1, 0.9), lambda t: 0.1, momentum(0.9)),
    "decay": (lambda p: nn.Momentum(p, 0.1, 0.9, 0.01), lambda t: 0.1, momentum(0.9, 0.01)),
    "nesterov": (lambda p: nn.Momentum(p, 0.1, 0.9, use_nesterov=True), lambda t: 0.1, momentum(0.9, nesterov=True)),
    "list": (lambda p: nn.Momentum(p, LIST, 0.9), lambda t: LIST[min(t, 2)], momentum(0.9)),
    "schedule": (lambda p: nn.Momentum(p, nn.ExponentialDecayLR(0.1, 0.9, 2), 0.9), lambda t: 0.1 * 0.9 ** (t / 2), momentum(0.9)),
    "tensor": (lambda p: nn.SGD(p, Tensor(0.1)), lambda t: 0.1, momentum(0.0)),
    "sgd": (lambda p: nn.SGD(p, 0.1, weight_decay=0.1), lambda t: 0.1, momentum(0.0, 0.1)),
    "sgd_momentum": (lambda p: nn.SGD(params=p, learning_rate=0.1, momentum=0.9, dampening=0.5), lambda t: 0.1,
                     momentum(0.9, dampening=0.5)),
    "adam": (lambda p: nn.Adam(p, 0.01), lambda t: 0.01, adam(0.9, 0.999, 1e-8)),
    "adam_options": (lambda p: nn.Adam(p, 0.01, 0.8, 0.99, 0.5, weight_decay=0.1), lambda t: 0.01, adam(0.8, 0.99, 0.5, 0.1)),
    "adam_schedule": (lambda p: nn.Adam(p, nn.CosineDecayLR(0.001, 0.01, 5)),
                      lambda t: 0.001 + 0.0045 * (1 + math.cos(math.pi * min(t, 5) / 5)), adam(0.9, 0.999, 1e-8)),
    "adam_weight_decay": (lambda p: nn.AdamWeightDecay(p, 0.01, weight_decay=0.1), lambda t: 0.01,
                          adam_weight_decay(0.9, 0.999, 1e-6, 0.1)),
}


@pytest.mark.parametrize("name", CASES)
def test_optimizers(name):
    make, rates, update = CASES[name]
    zeros = {"v": np.zeros_like(P0, np.float64), "m": np.zeros_like(P0, np.float64)}
    optimizer = run(make, rates, update, zeros)
    assert float(optimizer.get_lr()) == pytest.approx(rates(10), rel=1e-5)


def test_loss_scale_leaves_weight_decay():
    p = Parameter(Tensor([1.0]), name="w")
    optimizer = nn.Momentum([p], 0.1, 0.9, 0.01, 1024.0)
    optimizer((Tensor([1024.0]),))
    assert float(p[0]) == pytest.approx(0.899)
    optimizer((Tensor([1024.0]),))
    assert float(p[0]) == pytest.approx(0.707201)


def test_adam_is_not_corrected_for_eps():
    p = Parameter(Tensor([1.0]), name="w")
    nn.Adam([p], 0.1, eps=1.0)((Tensor([0.5]),))
    assert 1 - float(p[0]) == pytest.approx(0.0015565, rel=1e-3)


def test_no_decay_of_norms_and_states():
    net = nn.SequentialCell(nn.BatchNorm2d(2), nn.Dense(2, 2))
    optimizer = nn.Momentum(filter(lambda p: p.requires_grad, net.get_parameters()), 0.1, 0.9, 0.5)
    assert optimizer._decays == [0, 0, 0.5, 0.5]  # gamma, beta, weight, bias
    assert [p.name for p in optimizer.get_parameters()] == [
        "0.gamma", "0.beta", "1.weight", "1.bias"][:0] + ["global_step", "learning_rate", "momentum", "moments.0.gamma",
                                                          "moments.0.beta", "moments.1.weight", "moments.1.bias"]
    names = [p.name for p in nn.Adam(net.trainable_params()).get_parameters()]
    assert names[:4] == ["global_step", "learning_rate", "beta1_power", "beta2_power"]
    assert "moment1.1.weight" in names and "moment2.1.bias" in names


def test_groups():
    a, b, c = (Parameter(Tensor([1.0]), name=n) for n in "abc")
    groups = [{"params": [a], "lr": 0.1, "weight_decay": 0.5}, {"params": [b, c]}, {"order_params": [c, a, b]}]
    optimizer = nn.Momentum(groups, learning_rate=0.01, momentum=0.0, weight_decay=0.0)
    assert [p.name for p in optimizer.parameters] == ["c", "a", "b"]
    optimizer((Tensor([3.0]), Tensor([1.0]), Tensor([2.0])))
    assert [float(p[0]) for p in (a, b, c)] == pytest.approx([1 - 0.1 * 1.5, 1 - 0.02, 1 - 0.03])
    assert [round(float(r), 4) for r in optimizer.get_lr()] == [0.01, 0.1, 0.01]


def test_wrong_optimizers():
    p = Parameter(Tensor([1.0]), name="w")
    for call in (lambda: nn.Momentum([], 0.1, 0.9), lambda: nn.Momentum([p, p], 0.1, 0.9), lambda: nn.SGD([Tensor(1.0)]),
                 lambda: nn.Momentum([p], -1, 0.9), lambda: nn.Momentum([p], 0.1, -1), lambda: nn.SGD([p], loss_scale=0),
                 lambda: nn.Adam([p], beta1=1.0), lambda: nn.Adam([p], eps=0), lambda: nn.SGD([p], weight_decay="a"),
                 lambda: nn.SGD([p], []), lambda: nn.SGD([{"lr": 1}]), lambda: nn.SGD([p])((Tensor([1.0]),) * 2),
                 lambda: nn.SGD([p], nesterov=True), lambda: nn.SGD([p])((Tensor([1.0, 2.0]),))):
        with pytest.raises((ValueError, TypeError)):
            call()


class LeNet5(nn.Cell):
    def __init__(self, num_class=10, num_channel=1):
        super(LeNet5, self).__init__()
        self.conv1 = nn.Conv2d(num_channel, 6, 5, pad_mode="valid", weight_init="normal")
        self.conv2 = nn.Conv2d(6, 16, 5, pad_mode="valid", weight_init="normal")
        self.fc1 = nn.Dense(16 * 5 * 5, 120, weight_init="normal")
        self.fc2 = nn.Dense(120, 84, weight_init="normal")
        self.fc3 = nn.Dense(84, num_class, weight_init="normal")
        self.relu = nn.ReLU()
        self.max_pool2d = nn.MaxPool2d(kernel_size=2, stride=2)
        self.flatten = nn.Flatten()

    def construct(self, x):
        x = self.max_pool2d(self.relu(self.conv1(x)))
        x = self.max_pool2d(self.relu(self.conv2(x)))
        x = self.flatten(x)
        x = self.relu(self.fc1(x))
        x = self.relu(self.fc2(x))
        return self.fc3(x)


IMAGES = RNG.normal(size=(16, 1, 32, 32)).astype(np.float32)
LABELS = (np.arange(16) % 10).astype(np.int32)


def losses_of(steps, make):
    ms.set_seed(1)
    net = LeNet5()
    step = make(net)
    x, y = Tensor(IMAGES), Tensor(LABELS)
    return [float(step(x, y)) for _ in range(steps)], net


def one_step_cell(net):
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    step = nn.TrainOneStepCell(nn.WithLossCell(net, loss), nn.Momentum(net.trainable_params(), 0.05, 0.9))
    return step.set_train()


def functional(net):
    loss_fn = nn.CrossEntropyLoss()
    optimizer = nn.Momentum(net.trainable_params(), 0.05, 0.9)

    def forward_fn(data, label):
        logits = net(data)
        return loss_fn(logits, label), logits

    grad_fn = ms.value_and_grad(forward_fn, None, optimizer.parameters, has_aux=True)

    def train_step(data, label):
        (loss, _), grads = grad_fn(data, label)
        optimizer(grads)
        return loss

    return ms.jit(train_step) if ms.get_context("mode") == ms.GRAPH_MODE else train_step


def grad_operation(net):
    class Step(nn.Cell):
        def __init__(self, network, optimizer):
            super().__init__(auto_prefix=False)
            self.network, self.optimizer = network, optimizer
            self.grad = ops.GradOperation(get_by_list=True)

        def construct(self, *inputs):
            loss = self.network(*inputs)
            grads = self.grad(self.network, self.optimizer.parameters)(*inputs)
            return ops.depend(loss, self.optimizer(grads))

    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    return Step(nn.WithLossCell(net, loss), nn.Momentum(net.trainable_params(), 0.05, 0.9))


def test_training_in_all_ways():
    reference, net = losses_of(12, one_step_cell)
    assert reference[-1] < reference[0] - 0.02, reference
    for make in (functional, grad_operation):
        found, other = losses_of(12, make)
        np.testing.assert_allclose(found, reference, rtol=1e-5)
        for p, q in zip(net.get_parameters(), other.get_parameters()):
            np.testing.assert_allclose(p.asnumpy(), q.asnumpy(), rtol=1e-3, atol=1e-5)
    ms.set_context(mode=1 - ms.get_context("mode"))
    found, _ = losses_of(12, one_step_cell)
    np.testing.assert_allclose(found, reference, rtol=1e-5)


def test_a_step_is_one_graph(mode):
    if mode == ms.PYNATIVE_MODE:
        return
    ms.set_seed(1)
    net = LeNet5()
    step = one_step_cell(net)
    for _ in range(3):
        step(Tensor(IMAGES), Tensor(LABELS))
    assert step._jit.compilations == 1
    text = step._jit.graph_text()
    assert "conv2d_weight_grad" in text and "momentum" in text
    origins = "\n".join(step._jit.origins())
    assert "test_train.py" in origins and "TrainOneStepCell.network._backbone.conv1" in origins, origins
    step(Tensor(IMAGES[:8]), Tensor(LABELS[:8]))
    assert step._jit.compilations == 2


def test_sens_and_returned_gradients():
    net = nn.Dense(1, 1, weight_init="ones", has_bias=False)
    step = nn.TrainOneStepCell(nn.WithLossCell(net, nn.MSELoss()), nn.SGD(net.trainable_params(), 0.1, loss_scale=4.0),
                               sens=4.0, return_grad=True)
    loss, grads = step(Tensor([[1.0]]), Tensor([[0.0]]))
    assert float(loss) == 1 and float(grads["weight"][0, 0]) == 8 and float(net.weight[0, 0]) == pytest.approx(0.8)


@pytest.mark.parametrize("manager", ["fixed", "dynamic", "tensor"])
def test_loss_scale_cell(manager):
    net = nn.Dense(1, 1, weight_init="ones", has_bias=False)
    scale = {"fixed": nn.FixedLossScaleUpdateCell(1024.0), "tensor": Tensor(1024.0),
             "dynamic": nn.DynamicLossScaleUpdateCell(1024.0, 2, 3)}[manager]
    step = nn.TrainOneStepWithLossScaleCell(nn.WithLossCell(net, nn.MSELoss()), nn.Momentum(net.trainable_params(), 0.1, 0.9), scale)
    loss, overflow, used = step(Tensor([[1.0]]), Tensor([[0.0]]))
    assert float(loss) == 1 and not bool(overflow) and float(used) == 1024
    assert float(net.weight[0, 0]) == pytest.approx(0.8)
    before, count = net.weight.asnumpy().copy(), int(step.optimizer.global_step)
    _, overflow, _ = step(Tensor([[float("inf")]]), Tensor([[0.0]]))
    assert bool(overflow) and int(step.optimizer.global_step) == count
    np.testing.assert_array_equal(net.weight.asnumpy(), before)
    assert float(step.scale_sense) == (512 if manager == "dynamic" else 1024)
    for _ in range(4):
        step(Tensor([[1.0]]), Tensor([[0.0]]))
    assert float(step.scale_sense) == 1024


def test_skipped_steps_are_counted_and_named(caplog):
    net = nn.Dense(1, 1, weight_init="ones", has_bias=False)
    step = nn.TrainOneStepWithLossScaleCell(nn.WithLossCell(net, nn.MSELoss()), nn.Momentum(net.trainable_params(), 0.1, 0.9),
                                            nn.DynamicLossScaleUpdateCell(2.0**20, 2, 100))
    with caplog.at_level("INFO", "rutile"):
        for i in range(25):
            step(Tensor([[float("inf") if i not in (0, 12) else 1.0]]), Tensor([[0.0]]))
    assert step.skipped_steps == 23
    levels = [r.levelname for r in caplog.records if "skipped" in r.getMessage()]
    assert levels.count("INFO") == 23 and levels.count("WARNING") == 2


def test_eval_cell_and_forward_value_and_grad():
    net = nn.Dense(1, 1, weight_init="ones", has_bias=False)
    loss, outputs, label = nn.WithEvalCell(net, nn.MSELoss())(Tensor([[3.0]]), Tensor([[1.0]]))
    assert (float(loss), float(outputs[0, 0]), float(label[0, 0])) == (4, 3, 1)
    with_loss = nn.WithLossCell(net, nn.MSELoss())
    assert with_loss.backbone_network is net
    loss, grads = nn.ForwardValueAndGrad(with_loss, get_by_list=True)(Tensor([[3.0]]), Tensor([[1.0]]))
    assert float(loss) == 4 and float(grads[0][0, 0]) == 12
    loss, grads = nn.ForwardValueAndGrad(with_loss)(Tensor([[3.0]]), Tensor([[1.0]]))
    assert float(grads[0, 0]) == 4


def test_gradient_accumulation():
    class Accumulator:
        def __init__(self, optimizer, steps):
            self.optimizer, self.steps = optimizer, steps
            self.inner = optimizer.parameters.clone(prefix="accumulate_", init="zeros")
            self.zeros = optimizer.parameters.clone(prefix="zeros_", init="zeros")
            self.counter = Parameter(Tensor(1, ms.int32), "counter_", requires_grad=False)
            self.map = ops.HyperMap()

        def __call__(self, grads):
            self.map(ops.partial(ops.assign_add), self.inner, grads)
            if int(self.counter) % self.steps == 0:
                self.optimizer(tuple(p.value() for p in self.inner))
                self.map(ops.partial(ops.assign), self.inner, self.zeros)
            ops.assign_add(self.counter, Tensor(1, ms.int32))

    net = nn.Dense(2, 1, weight_init="ones", bias_init="zeros")
    optimizer = nn.SGD(net.trainable_params(), 0.1)
    accumulator = Accumulator(optimizer, 2)
    grad_fn = ms.value_and_grad(lambda x: ops.sum(net(x)) / 2, None, optimizer.parameters)
    for i in range(4):
        loss, grads = grad_fn(Tensor([[1.0, 2.0]]))
        accumulator(grads)
        assert net.weight.asnumpy()[0] == pytest.approx(np.array([1.0, 1.0]) - 0.1 * np.array([1, 2]) * ((i + 1) // 2))
    assert accumulator.inner[0].name == "accumulate_.weight"
