# SPDX-License-Identifier: Apache-2.0
"""Layers, losses, schedules and initializers against NumPy and against MindSpore's known values, in both modes."""

import math

import numpy as np
import pytest

import rutile as ms
from rutile import Tensor, nn, ops
from rutile.common.initializer import (Constant, Dirac, HeNormal, HeUniform, Identity, Normal, Orthogonal,
                                       TruncatedNormal, Uniform, VarianceScaling, XavierNormal, XavierUniform,
                                       initializer)

RNG = np.random.default_rng(7)


@pytest.fixture(params=[1, 0], ids=["pynative", "graph"], autouse=True)
def mode(request):
    ms.set_context(mode=request.param)
    yield request.param
    ms.set_context(mode=1)


def close(tensor, array, tolerance=1e-5):
    np.testing.assert_allclose(tensor.asnumpy(), array, rtol=tolerance, atol=tolerance)


def sample(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def conv_reference(x, w, stride, dilation, pads, groups):
    (pt, pb), (pl, pr) = pads
    x = np.pad(x, ((0, 0), (0, 0), (pt, pb), (pl, pr)))
    n, c, h, width = x.shape
    o, cg, kh, kw = w.shape
    oh = (h - (kh - 1) * dilation[0] - 1) // stride[0] + 1
    ow = (width - (kw - 1) * dilation[1] - 1) // stride[1] + 1
    y = np.zeros((n, o, oh, ow))
    for g in range(groups):
        xs, ws = x[:, g * cg:(g + 1) * cg], w[g * (o // groups):(g + 1) * (o // groups)]
        for i in range(oh):
            for j in range(ow):
                a, b = i * stride[0], j * stride[1]
                patch = xs[:, :, a:a + (kh - 1) * dilation[0] + 1:dilation[0], b:b + (kw - 1) * dilation[1] + 1:dilation[1]]
                y[:, g * (o // groups):(g + 1) * (o // groups), i, j] = np.einsum("ncij,ocij->no", patch, ws)
    return y


def same(n, k, s, d):
    total = max((math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n, 0)
    return total // 2, total - total // 2


@pytest.mark.parametrize("options", [
    {}, {"stride": 2}, {"kernel_size": 7, "stride": 2, "padding": 0, "pad_mode": "same"}, {"pad_mode": "valid"},
    {"pad_mode": "pad", "padding": 1}, {"pad_mode": "pad", "padding": (1, 2, 0, 3)}, {"group": 2, "has_bias": True},
    {"dilation": 2}, {"kernel_size": (1, 3), "stride": (2, 1)}, {"kernel_size": 2, "stride": 3}])
def test_conv2d(options):
    options = dict({"kernel_size": 3}, **options)
    layer = nn.Conv2d(4, 6, **options)
    x = sample(2, 4, 9, 8)
    if layer.has_bias:
        layer.bias.set_data(sample(6))
    k, s, d = layer.kernel_size, layer.stride, layer.dilation
    if layer.pad_mode == "same":
        pads = [same(x.shape[2 + i], k[i], s[i], d[i]) for i in (0, 1)]
    else:
        p = layer.padding if isinstance(layer.padding, tuple) else (layer.padding,) * 4
        pads = [(p[0], p[1]), (p[2], p[3])]
    want = conv_reference(x, layer.weight.asnumpy(), s, d, pads, layer.group)
    if layer.has_bias:
        want = want + layer.bias.asnumpy().reshape(1, -1, 1, 1)
    close(layer(Tensor(x)), want, 1e-4)


def test_conv2d_same_pads_after():
    layer = nn.Conv2d(1, 1, 3, stride=2, weight_init="ones")
    assert layer(Tensor(np.ones((1, 1, 4, 4), np.float32))).asnumpy().tolist() == [[[[9, 6], [6, 4]]]]
    assert nn.Conv2d(3, 64, 7, 2, weight_init="normal")(Tensor(np.zeros((1, 3, 224, 224), np.float32))).shape == (
        1, 64, 112, 112)


def test_conv2d_transpose():
    layer = nn.Conv2dTranspose(1, 1, 3, stride=2, weight_init="ones")
    x = Tensor(np.ones((1, 1, 2, 2), np.float32))
    assert layer(x).asnumpy().tolist() == [[[[1, 1, 2, 1], [1, 1, 2, 1], [2, 2, 4, 2], [1, 1, 2, 1]]]]
    x = sample(2, 4, 5, 3)
    weight = sample(4, 3, 2, 2)
    layer = nn.Conv2dTranspose(4, 3, 2, stride=2, pad_mode="pad", output_padding=(1, 0), has_bias=True,
                               weight_init=Tensor(weight), bias_init="ones")
    want = np.zeros((2, 3, 11, 6), np.float32)  # output_padding adds zeros, as in MindSpore
    want[:, :, :10] = 1 + np.einsum("nchw,coij->nohiwj", x, weight).reshape(2, 3, 10, 6)
    close(layer(Tensor(x)), want, 1e-4)
    assert nn.Conv2dTranspose(4, 3, 1, stride=3)(Tensor(x)).shape == (2, 3, 15, 9)
    assert nn.Conv2dTranspose(4, 3, 4, stride=2, pad_mode="valid")(Tensor(x)).shape == (2, 3, 12, 8)


def test_pools():
    x = sample(2, 3, 7, 7)
    assert nn.MaxPool2d(3, 2, "same")(Tensor(x)).shape == (2, 3, 4, 4)
    assert nn.MaxPool2d(2)(Tensor(x)).shape == (2, 3, 6, 6)  # the stride is 1 unless given
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    want = np.array([[[[padded[n, c, 2 * i:2 * i + 3, 2 * j:2 * j + 3].max() for j in range(4)] for i in range(4)]
                      for c in range(3)] for n in range(2)])
    close(nn.MaxPool2d(3, 2, "same")(Tensor(x)), want)
    close(nn.MaxPool2d(3, 2, "pad", 1)(Tensor(x)), want)
    x = sample(1, 1, 4, 4)
    want = [[[[x[0, 0, 2 * i:2 * i + 3, 2 * j:2 * j + 3].mean() for j in range(2)] for i in range(2)]]]
    close(nn.AvgPool2d(3, 2, "same")(Tensor(x)), want)
    close(nn.AvgPool2d(2, 2)(Tensor(x)), x.reshape(1, 1, 2, 2, 2, 2).mean((3, 5)))
    close(nn.AdaptiveAvgPool2d((1, None))(Tensor(x)), x.mean(2, keepdims=True))
    y, where = nn.MaxPool2d(2, 2, return_indices=True)(Tensor(x))
    assert y.shape == where.shape == (1, 1, 2, 2)


def test_batch_norm():
    x = sample(4, 3, 2, 2) * 2 + 5
    bn = nn.BatchNorm2d(3, eps=1e-4, momentum=0.9, gamma_init=1, beta_init=0, moving_mean_init=0, moving_var_init=1)
    assert [p.name for p in bn.get_parameters()] == ["mean", "variance", "gamma", "beta"]
    assert [p.name for p in nn.SequentialCell(nn.BatchNorm2d(3)).get_parameters()][:2] == ["0.moving_mean", "0.moving_variance"]
    assert [p.requires_grad for p in bn.get_parameters()] == [False, False, True, True]
    close(bn(Tensor(x)), x / np.sqrt(1 + 1e-4))  # not training: by the moving statistics
    bn.set_train()
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    r = (1, 3, 1, 1)
    close(bn(Tensor(x)), (x - mean.reshape(r)) / np.sqrt(var.reshape(r) + 1e-4), 1e-4)
    close(bn.moving_mean, 0.1 * mean)
    close(bn.moving_variance, 0.9 + 0.1 * x.var((0, 2, 3), ddof=1), 1e-4)
    fixed = nn.BatchNorm2d(3, affine=False)
    assert not fixed.trainable_params()
    with pytest.raises(ValueError):
        nn.BatchNorm2d(3)(Tensor(sample(2, 3)))
    flat = nn.BatchNorm1d(3)
    flat.set_train()
    y = flat(Tensor(sample(50, 3))).asnumpy()
    assert np.abs(y.mean(0)).max() < 1e-5 and np.abs(y.var(0) - 1).max() < 1e-2


def test_other_layers():
    x = sample(4, 6)
    layer = nn.LayerNorm((6,))
    close(layer(Tensor(x)), (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True), 1e-4)
    group = nn.GroupNorm(2, 4)
    z = sample(2, 4, 3, 3)
    g = z.reshape(2, 2, -1)
    close(group(Tensor(z)), ((g - g.mean(2, keepdims=True)) / np.sqrt(g.var(2, keepdims=True) + 1e-5)).reshape(z.shape), 1e-4)
    dense = nn.Dense(6, 3, activation="relu")
    close(dense(Tensor(x)), np.maximum(x @ dense.weight.asnumpy().T + dense.bias.asnumpy(), 0), 1e-4)
    bound = 1 / math.sqrt(6)
    assert np.abs(dense.weight.asnumpy()).max() <= bound and np.abs(dense.bias.asnumpy()).max() <= bound
    table = nn.Embedding(10, 4, padding_idx=0)
    out = table(Tensor([[1, 0]])).asnumpy()
    assert (out[0, 1] == 0).all() and out.shape == (1, 2, 4)
    # As MindSpore's it is trained like other rows; that of mint.nn.Embedding is not.
    for layer, counts in ((table, 2), (ms.mint.nn.Embedding(10, 4, padding_idx=0), 0)):
        grad, = ms.grad(lambda i: layer(i).sum(), None, layer.trainable_params())(Tensor([[1, 0, 0]]))
        assert grad.asnumpy()[:, 0].tolist() == [counts, 1] + [0] * 8
    assert nn.Flatten()(Tensor(sample(2, 3, 4))).shape == (2, 12)
    close(nn.ZeroPad2d((1, 0, 2, 0))(Tensor(z)), np.pad(z, ((0, 0), (0, 0), (2, 0), (1, 0))))
    close(nn.Pad(((1, 1), (0, 2)))(Tensor(x)), np.pad(x, ((1, 1), (0, 2))))
    close(nn.PReLU(4, 0.5)(Tensor(z)), np.where(z > 0, z, z * 0.5))
    assert nn.Identity()(Tensor(2.0)).item() == 2


def test_dropout():
    drop = nn.Dropout(p=0.25)
    x = Tensor(np.ones(2000, np.float32))
    assert (drop(x).asnumpy() == 1).all()
    drop.set_train()
    y = drop(x).asnumpy()
    assert 0.15 < (y == 0).mean() < 0.35 and np.allclose(y[y != 0], 1 / 0.75)
    assert (drop(x).asnumpy() != y).any()
    assert nn.Dropout(0.9).p == pytest.approx(0.1) and nn.Dropout(keep_prob=0.9).p == pytest.approx(0.1)


A = sample(3, 4) * 2
sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
ACTIVATIONS = {
    "ReLU": lambda x: np.maximum(x, 0), "ReLU6": lambda x: np.clip(x, 0, 6), "Sigmoid": sigmoid, "Tanh": np.tanh,
    "SiLU": lambda x: x * sigmoid(x), "HSigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "HSwish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1), "Hardtanh": lambda x: np.clip(x, -1, 1),
    "HShrink": lambda x: np.where(np.abs(x) > 0.5, x, 0), "SoftShrink": lambda x: x - np.clip(x, -0.5, 0.5),
    "LeakyReLU": lambda x: np.where(x > 0, x, 0.2 * x), "ELU": lambda x: np.where(x > 0, x, np.expm1(x)),
    "CELU": lambda x: np.where(x > 0, x, np.expm1(x)), "Softsign": lambda x: x / (1 + np.abs(x)),
    "SeLU": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    "Softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True), "LogSigmoid": lambda x: np.log(sigmoid(x)),
    "Softmin": lambda x: np.exp(-x) / np.exp(-x).sum(-1, keepdims=True),
    "LogSoftmax": lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True)), "Softplus": lambda x: np.log1p(np.exp(x)),
    "Mish": lambda x: x * np.tanh(np.log1p(np.exp(x))), "Tanhshrink": lambda x: x - np.tanh(x),
    "GLU": lambda x: x[:, :2] * sigmoid(x[:, 2:]),
    "GELU": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    close(getattr(nn, name)()(Tensor(A)), ACTIVATIONS[name](A), 1e-4)
    value, grad = ms.value_and_grad(lambda x: ops.sum(getattr(nn, name)()(x)))(Tensor(A))
    assert np.isfinite(grad.asnumpy()).all()


def test_activation_attributes():
    close(nn.LeakyReLU(0.1)(Tensor(A)), np.where(A > 0, A, 0.1 * A))
    close(nn.GELU(approximate=False)(Tensor([1.0])), [0.8413447], 1e-5)
    close(nn.Softmax(axis=0)(Tensor(A)), np.exp(A) / np.exp(A).sum(0))
    assert repr(nn.LeakyReLU(alpha=0.5)) == "LeakyReLU(alpha=0.5)"
    for call in (lambda: nn.ReLU(3), lambda: nn.LeakyReLU(beta=1), lambda: nn.get_activation("nothing")):
        with pytest.raises((TypeError, ValueError)):
            call()
    assert isinstance(nn.get_activation("relu"), nn.ReLU)


LOGITS, CLASSES = sample(5, 4), np.array([0, 3, 1, 1, 2])
P, Y = sigmoid(sample(3, 4)).astype(np.float32), (RNG.random((3, 4)) > 0.5).astype(np.float32)
logs = LOGITS - np.log(np.exp(LOGITS).sum(1, keepdims=True))
per_row = -logs[np.arange(5), CLASSES]
d = P - Y
LOSSES = [
    (nn.SoftmaxCrossEntropyWithLogits(sparse=True), LOGITS, CLASSES, per_row),
    (nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"), LOGITS, CLASSES, per_row.mean()),
    (nn.SoftmaxCrossEntropyWithLogits(reduction="sum"), LOGITS, np.eye(4, dtype=np.float32)[CLASSES], per_row.sum()),
    (nn.CrossEntropyLoss(), LOGITS, CLASSES, per_row.mean()),
    (nn.CrossEntropyLoss(ignore_index=1), LOGITS, CLASSES, per_row[[0, 1, 4]].mean()),
    (nn.CrossEntropyLoss(label_smoothing=0.1), LOGITS, CLASSES, (0.9 * per_row - 0.1 * logs.mean(1)).mean()),
    (nn.CrossEntropyLoss(), LOGITS, np.eye(4, dtype=np.float32)[CLASSES], per_row.mean()),
    (nn.NLLLoss(), logs, CLASSES, per_row.mean()),
    (nn.MSELoss(), P, Y, (d**2).mean()), (nn.MSELoss("sum"), P, Y, (d**2).sum()), (nn.L1Loss(), P, Y, np.abs(d).mean()),
    (nn.MAELoss("none"), P, Y, np.abs(d)), (nn.RMSELoss(), P, Y, np.sqrt((d**2).mean())),
    (nn.SmoothL1Loss(), P, Y, np.where(np.abs(d) < 1, 0.5 * d * d, np.abs(d) - 0.5)),
    (nn.HuberLoss(delta=0.5), P, Y, np.where(np.abs(d) < 0.5, 0.5 * d * d, 0.5 * (np.abs(d) - 0.25)).mean()),
    (nn.BCELoss(reduction="mean"), P, Y, -(Y * np.log(P) + (1 - Y) * np.log(1 - P)).mean()),
    (nn.BCEWithLogitsLoss(), A, Y, -(Y * np.log(sigmoid(A)) + (1 - Y) * np.log(1 - sigmoid(A))).mean()),
    (nn.KLDivLoss(), np.log(P), P[::-1].copy(), (P[::-1] * (np.log(P[::-1]) - np.log(P))).mean()),
    (nn.SoftMarginLoss(), P, 2 * Y - 1, np.log1p(np.exp(-(2 * Y - 1) * P)).mean()),
    (nn.HingeEmbeddingLoss(), P, 2 * Y - 1, np.where(Y == 1, P, np.maximum(0, 1 - P)).mean())]


@pytest.mark.parametrize("i", range(len(LOSSES)))
def test_losses(i):
    loss, x, y, want = LOSSES[i]
    close(loss(Tensor(x), Tensor(y)), want, 1e-4)


def test_known_values_of_mindspore():
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    assert float(loss(Tensor([[1.0, 2.0, 3.0], [1.0, 0.0, 0.0]]), Tensor([2, 0], ms.int32))) == pytest.approx(0.47952467, rel=2e-6)
    with pytest.raises(TypeError):
        loss(Tensor([[1.0, 2.0]]), Tensor([0], ms.uint32))


STEP = Tensor([0, 1, 5, 10, 25], "int32")
SCHEDULES = [
    (nn.ExponentialDecayLR(0.1, 0.9, 4), lambda s: 0.1 * 0.9 ** (s / 4)),
    (nn.ExponentialDecayLR(0.1, 0.9, 4, True), lambda s: 0.1 * 0.9 ** (s // 4)),
    (nn.NaturalExpDecayLR(0.1, 0.9, 4), lambda s: 0.1 * np.exp(-0.9 * s)),
    (nn.InverseDecayLR(0.1, 0.9, 4), lambda s: 0.1 / (1 + 0.9 * s / 4)),
    (nn.CosineDecayLR(0.01, 0.1, 20), lambda s: 0.01 + 0.045 * (1 + np.cos(np.pi * np.minimum(s, 20) / 20))),
    (nn.PolynomialDecayLR(0.1, 0.01, 20, 2.0), lambda s: 0.09 * (1 - np.minimum(s, 20) / 20) ** 2 + 0.01),
    (nn.WarmUpLR(0.1, 10), lambda s: 0.1 * np.minimum(s, 10) / 10)]


@pytest.mark.parametrize("i", range(len(SCHEDULES)))
def test_schedules(i):
    schedule, want = SCHEDULES[i]
    close(schedule(STEP), want(STEP.asnumpy().astype(float)), 1e-5)


def test_rates_as_lists():
    assert nn.piecewise_constant_lr([2, 5], [0.1, 0.05]) == [0.1, 0.1, 0.05, 0.05, 0.05]
    assert nn.exponential_decay_lr(0.1, 0.9, 4, 2, 1) == pytest.approx([0.1, 0.1, 0.09, 0.09])
    assert nn.warmup_lr(0.1, 4, 1, 2) == pytest.approx([0, 0.05, 0.1, 0.1])
    assert nn.cosine_decay_lr(0.01, 0.1, 4, 2, 2) == pytest.approx([0.1, 0.1, 0.055, 0.055])
    assert nn.polynomial_decay_lr(0.1, 0.01, 4, 2, 2, 0.5)[0] == pytest.approx(0.1)
    assert nn.inverse_decay_lr(0.1, 0.5, 4, 1, 1, True)[-1] == pytest.approx(0.1 / 2.5)
    assert nn.natural_exp_decay_lr(0.1, 0.9, 4, 2, 2, True) == pytest.approx([0.1] * 4)


SHAPE = (64, 32, 3, 3)
FAN_IN, FAN_OUT = 32 * 9, 64 * 9
INITIALIZERS = [
    (Normal(0.5, 1.0), 1.0, 0.5), ("normal", 0, 0.01), (Uniform(0.3), 0, 0.3 / math.sqrt(3)),
    (XavierUniform(), 0, math.sqrt(2 / (FAN_IN + FAN_OUT))), (XavierNormal(2), 0, 2 * math.sqrt(2 / (FAN_IN + FAN_OUT))),
    (HeUniform(math.sqrt(5)), 0, math.sqrt(2 / 6 / FAN_IN)), ("HeNormal", 0, math.sqrt(2 / FAN_IN)),
    (HeNormal(0, "fan_out", "relu"), 0, math.sqrt(2 / FAN_OUT)), (TruncatedNormal(1.0), 0, 0.8796),
    (VarianceScaling(2.0), 0, math.sqrt(2 / FAN_IN)), (VarianceScaling(1.0, "fan_avg", "uniform"), 0, math.sqrt(2 / (FAN_IN + FAN_OUT))),
    (Constant(3), 3, 0), (0.5, 0.5, 0), ("zeros", 0, 0), ("One", 1, 0)]


@pytest.mark.parametrize("i", range(len(INITIALIZERS)))
def test_initializers(i):
    init, mean, deviation = INITIALIZERS[i]
    ms.set_seed(11)
    a = initializer(init, SHAPE, ms.float32).asnumpy()
    assert a.shape == SHAPE and a.dtype == np.float32
    assert a.mean() == pytest.approx(mean, abs=max(deviation, 1e-6) * 0.03)
    assert a.std() == pytest.approx(deviation, rel=0.02, abs=1e-6)
    ms.set_seed(11)
    np.testing.assert_array_equal(a, initializer(init, SHAPE).asnumpy())


def test_matrix_initializers():
    q = initializer(Orthogonal(2.0), (3, 8)).asnumpy()
    np.testing.assert_allclose(q @ q.T, 4 * np.eye(3), atol=1e-5)
    np.testing.assert_array_equal(initializer(Identity(), (2, 3)).asnumpy(), np.eye(2, 3))
    x = sample(1, 4, 5, 5)
    conv = nn.Conv2d(4, 4, 3, weight_init=Dirac())
    close(conv(Tensor(x)), x)
    assert Tensor(shape=(2, 2), dtype=ms.float32, init="ones").asnumpy().tolist() == [[1, 1], [1, 1]]
    for call in (lambda: initializer("nothing", (1,)), lambda: initializer("ones"), lambda: initializer(None, (1,)),
                 lambda: initializer(Tensor([1.0]), (2,)), lambda: initializer(XavierNormal(), (2,))):
        with pytest.raises((ValueError, TypeError)):
            call()


@pytest.mark.parametrize("call", [
    lambda: nn.Conv2d(3, 4, 3, pad_mode="same", padding=1), lambda: nn.Conv2d(3, 4, 3, pad_mode="none"),
    lambda: nn.Conv2dTranspose(3, 4, 3, padding=1), lambda: nn.Conv2dTranspose(3, 4, 3, group=2),
    lambda: nn.Conv2d(3, 4, 3, group=2), lambda: nn.Conv2d(0, 4, 3), lambda: nn.Conv2d("a", 4, 3),
    lambda: nn.Conv2d(3, 4, 3, data_format="NHWC"), lambda: nn.Dense(3, -1), lambda: nn.Dense(3, 2, activation="none"),
    lambda: nn.Dense(3, 2, weight_init=Tensor([1.0])), lambda: nn.BatchNorm2d(3, momentum=2), lambda: nn.Dropout(p=1),
    lambda: nn.MaxPool2d(2, pad_mode="valid", padding=1), lambda: nn.MSELoss("average"), lambda: nn.GroupNorm(3, 4),
    lambda: nn.ExponentialDecayLR(-1, 0.9, 1), lambda: nn.CosineDecayLR(0.1, 0.01, 5)])
def test_wrong_arguments(call):
    with pytest.raises((ValueError, TypeError, NotImplementedError)) as info:
        call()
    assert isinstance(info.value, ms.Error)
