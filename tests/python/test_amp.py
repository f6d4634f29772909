# SPDX-License-Identifier: Apache-2.0
"""Mixed precision: levels, lists, loss scales, functional loops; accumulated gradients."""

import numpy as np
import pytest

import rutile as ms
from rutile import Model, Parameter, Tensor, amp, nn, ops

X = np.random.RandomState(0).randn(16, 3, 8, 8).astype(np.float32)
Y = np.random.RandomState(1).randint(0, 4, 16).astype(np.int32)


@pytest.fixture(params=["pynative", "graph"], autouse=True)
def mode(request):
    ms.set_context(mode=ms.GRAPH_MODE if request.param == "graph" else ms.PYNATIVE_MODE)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.relu = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()
        self.flat, self.fc = nn.Flatten(), nn.Dense(8 * 64, 4)
        self.seen = {}

    def construct(self, x):
        y = self.conv(x)
        z = self.relu(self.bn(y))
        out = self.fc(self.flat(z))
        self.seen.update(conv=str(y.dtype), bn=str(z.dtype), fc=str(out.dtype))
        return out


def make():
    ms.set_seed(1)
    return Net().set_train()


@pytest.mark.parametrize("level, conv, fc, out", [("O0", "Float32", "Float32", "Float32"), ("O1", "Float32", "Float32", "Float32"),
                                                  ("O2", "Float16", "Float16", "Float32"), ("O3", "Float16", "Float16", "Float32"),
                                                  ("auto", "Float16", "Float16", "Float16")])
def test_levels(level, conv, fc, out):
    net = amp.auto_mixed_precision(make(), level)
    y = net(Tensor(X))
    assert (net.seen["conv"], net.seen["fc"], str(y.dtype)) == (conv, fc, out)
    np.testing.assert_allclose(y.asnumpy(), make()(Tensor(X)).asnumpy(), atol=0.02)
    exact = level == "O0"
    assert (np.abs(y.asnumpy() - make()(Tensor(X)).asnumpy()).max() == 0) == exact


def test_lists():
    assert nn.Conv2d in amp.get_white_list() and nn.Dense in amp.get_white_list() and ops.MatMul in amp.get_white_list()
    assert nn.BatchNorm2d in amp.get_black_list() and nn.LayerNorm in amp.get_black_list()
    amp.get_white_list().clear()
    assert amp.get_white_list()
    net = amp.custom_mixed_precision(make(), white_list=[nn.Dense])
    y = net(Tensor(X))
    assert net.seen["conv"] == "Float32" and np.abs(y.asnumpy() - make()(Tensor(X)).asnumpy()).max() > 0
    net = amp.custom_mixed_precision(make(), black_list=amp.get_black_list() + [nn.Dense], dtype=ms.bfloat16)
    y = net(Tensor(X))
    assert net.seen["conv"] == "BFloat16" and net.seen["fc"] == "Float32" and y.dtype == ms.float32
    for wrong, error in ((lambda: amp.custom_mixed_precision(make()), ValueError),
                         (lambda: amp.custom_mixed_precision(make(), white_list=[nn.Dense], black_list=[]), ValueError),
                         (lambda: amp.custom_mixed_precision(3, white_list=[]), TypeError),
                         (lambda: amp.custom_mixed_precision(make(), white_list=[3]), TypeError),
                         (lambda: amp.auto_mixed_precision(make(), "O5"), ValueError),
                         (lambda: amp.auto_mixed_precision(3, "O1"), TypeError),
                         (lambda: amp.auto_mixed_precision(make(), "O1", ms.float64), ValueError)):
        with pytest.raises(error):
            wrong()


def test_a_function():
    w = Tensor(np.eye(4, dtype=np.float32))
    low = amp.auto_mixed_precision(lambda x: ops.matmul(x, w), "auto", ms.bfloat16)
    assert low(ops.ones((2, 4))).dtype == ms.bfloat16


@pytest.mark.parametrize("level", ["O0", "O1", "O2", "O3"])
def test_training(level):
    net = make()
    step = amp.build_train_network(net, nn.Momentum(net.trainable_params(), 0.05, 0.9), nn.CrossEntropyLoss(), level=level)
    losses = []
    for _ in range(30):
        out = step(Tensor(X), Tensor(Y))
        losses.append(float((out[0] if isinstance(out, tuple) else out).asnumpy()))
    assert isinstance(out, tuple) == (level == "O2") and net.conv.weight.dtype == ms.float32
    assert losses[-1] < 0.5 * losses[0]


def test_model_levels():
    for level in ("O1", "O2", "O3", "auto"):
        net = make()
        model = Model(net, nn.CrossEntropyLoss(), nn.Momentum(net.trainable_params(), 0.05, 0.9), amp_level=level, metrics={"acc", "loss"})
        model.train(30, [(X, Y)])
        assert model.eval([(X, Y)])["loss"] < 1.0
    with pytest.raises(ValueError, match="needs an optimizer"):
        Model(make(), nn.CrossEntropyLoss(), amp_level="O2")


def test_scalers():
    for scaler in (amp.StaticLossScaler(8), amp.DynamicLossScaler(8, 2, 2)):
        grads = (Tensor([1.0]), (Tensor([2.0], ms.float16),))
        scaled = scaler.scale(grads)
        assert float(scaled[0].asnumpy()[0]) == 8 and scaled[1][0].dtype == ms.float16
        assert [float(g.asnumpy()[0]) for g in (scaler.unscale(scaled)[0], scaler.unscale(scaled)[1][0])] == [1, 2]
    values = []
    for good in (True, True, False, False, True, True, False, False, False, False, False, False):
        scaler.adjust(Tensor(good))
        values.append(float(scaler.scale_value.asnumpy()))
    assert values == [8, 16, 8, 4, 4, 8, 4, 2, 1, 1, 1, 1]
    assert bool(amp.all_finite((Tensor([1.0]), (Tensor([2.0]),)))) and not bool(amp.all_finite([Tensor([np.nan])]))
    for wrong in (lambda: amp.StaticLossScaler(0.5), lambda: amp.DynamicLossScaler(2, 0, 1)):
        with pytest.raises(ValueError):
            wrong()


def test_functional_loop(mode):
    net = amp.auto_mixed_precision(make(), "O2")
    loss_fn, optimizer = nn.CrossEntropyLoss(), nn.Momentum(net.trainable_params(), 0.05, 0.9)
    scaler = amp.DynamicLossScaler(scale_value=2**16, scale_factor=2, scale_window=50)

    def forward_fn(data, label):
        logits = net(data)
        return scaler.scale(loss_fn(logits, label)), logits

    grad_fn = ms.value_and_grad(forward_fn, None, optimizer.parameters, has_aux=True)

    def train_step(data, label):
        (loss, _), grads = grad_fn(data, label)
        loss = scaler.unscale(loss)
        is_finite = amp.all_finite(grads)
        if mode == "pynative":
            if is_finite:
                optimizer(scaler.unscale(grads))
        else:
            optimizer.step_unless(ops.logical_not(is_finite), scaler.unscale(grads))
        scaler.adjust(is_finite)
        return loss

    step = ms.jit(train_step) if mode == "graph" else train_step
    losses = [float(step(Tensor(X), Tensor(Y)).asnumpy()) for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]


def test_accumulated_gradients(mode):
    @ms.jit_class
    class Accumulator:
        def __init__(self, optimizer, accumulate_step):
            self.optimizer = optimizer
            self.inner_grads = optimizer.parameters.clone(prefix="accumulate_", init="zeros")
            self.zeros = optimizer.parameters.clone(prefix="zeros_", init="zeros")
            self.counter = Parameter(Tensor(1, ms.int32), "counter_")
            self.accumulate_step = accumulate_step
            self.map = ops.HyperMap()

        def __call__(self, grads):
            self.map(ops.partial(ops.assign_add), self.inner_grads, grads)
            if self.counter % self.accumulate_step == 0:
                self.optimizer(self.inner_grads)
                self.map(ops.partial(ops.assign), self.inner_grads, self.zeros)
            ops.assign_add(self.counter, Tensor(1, ms.int32))
            return True

    def train(parts):
        ms.set_seed(2)
        net = nn.Dense(3, 2)
        optimizer = nn.SGD(net.trainable_params(), 0.1)
        accumulate, loss_fn = Accumulator(optimizer, parts), nn.MSELoss()
        grad_fn = ms.value_and_grad(lambda x, y: loss_fn(net(x), y) / parts, None, optimizer.parameters)

        def step(x, y):
            loss, grads = grad_fn(x, y)
            accumulate(grads)
            return loss

        step = ms.jit(step) if mode == "graph" else step
        data = np.random.RandomState(0).randn(12, 3).astype(np.float32)
        for _ in range(3):
            for x in np.split(data, parts):
                step(Tensor(x), ops.ones((len(x), 2)))
        return net.weight.asnumpy()

    np.testing.assert_allclose(train(4), train(1), rtol=1e-5)


def test_jit_class():
    with pytest.raises(TypeError, match="Decorator jit_class is used for user-defined classes and cannot be used for nn.Cell"):
        ms.jit_class(Net)
    with pytest.raises(TypeError):
        ms.jit_class(lambda: 3)


class Two(nn.Cell):
    def __init__(self):
        super().__init__()
        self.fc, self.last = nn.Dense(4, 4), nn.Dense(4, 4)
        self.w = Parameter(Tensor(np.eye(4, dtype=np.float32)), name="w")

    def construct(self, x):
        y = self.fc(x)
        z = ops.matmul(y, self.w)
        return y, z, self.last(z)


def kinds(net):
    x = Tensor(np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4))
    return [str(t.dtype) for t in net(x)]


LOW = [("fp16", "Float16", ms.float16), ("bf16", "BFloat16", ms.bfloat16)]


@pytest.mark.parametrize("flag, name, dtype", LOW)
def test_flags_say_the_precision(flag, name, dtype):
    ms.set_seed(2)
    plain, low, cast = Two(), Two(), Two()
    for a, b, c in zip(plain.get_parameters(), low.get_parameters(), cast.get_parameters()):
        b.set_data(a.value()), c.set_data(a.value())
    assert low.add_flags_recursive(**{flag: True}) is low and getattr(low.fc, flag) is True
    cast.to_float(dtype)
    assert kinds(low) == kinds(cast) == [name] * 3 and kinds(plain) == ["Float32"] * 3
    x = Tensor(np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4))
    for a, b in zip(low(x), cast(x)):
        assert a.float().asnumpy().tolist() == b.float().asnumpy().tolist()
    value, grads = ms.value_and_grad(lambda v: low(v)[2].float().sum(), None, list(low.trainable_params()))(x)
    assert str(grads[0].dtype) == "Float32" and np.isfinite(float(value))


def test_the_last_precision_counts():
    net = Two()
    net.last.to_float(ms.float32)
    net.to_float(ms.float16)  # for all below, whatever they had
    assert kinds(net) == ["Float16"] * 3
    net.last.add_flags_recursive(fp32=True)
    assert kinds(net)[:2] == ["Float16"] * 2 and net.last.fp32 is True
    net.add_flags_recursive(fp16=False)  # turns nothing off
    assert kinds(net)[:2] == ["Float16"] * 2
    net.to_float(ms.float32)
    assert kinds(net) == ["Float32"] * 3
    net.fc.add_flags(bf16=True)
    assert kinds(net)[0] == "BFloat16"


def test_flags_of_the_constructor():
    class Low(Two):
        def __init__(self):
            nn.Cell.__init__(self, flags={"fp16": True})
            self.fc = nn.Dense(4, 4)

        def construct(self, x):
            return ops.matmul(x, self.fc.weight)

    assert str(Low()(Tensor(np.ones((2, 4), np.float32))).dtype) == "Float16"
