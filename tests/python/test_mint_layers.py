# SPDX-License-Identifier: Apache-2.0
"""rutile.mint's nn, nn.functional, optim, linalg and special: PyTorch's arguments, defaults and numbers."""

import numpy as np
import pytest

from rutile import Parameter, Tensor, errors, jit, mint, ops, value_and_grad
from rutile.mint import nn, optim
from rutile.mint.nn import functional as F

RNG = np.random.RandomState(3)
X = RNG.randn(2, 4, 6, 5).astype(np.float32)
T = Tensor


def near(got, want, tol=1e-5):
    np.testing.assert_allclose(got.asnumpy(), want, rtol=tol, atol=tol)


def soft(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def test_softmax_has_pytorchs_implicit_dimension():
    for x, dim in ((X, 1), (X[0], 0), (X[0, 0], 1), (X[0, 0, 0], 0)):
        near(F.softmax(T(x)), soft(x, dim))
        near(nn.LogSoftmax()(T(x)), np.log(soft(x, dim)), 1e-4)
    near(F.softmax(T(X), dim=-1), soft(X, -1))


def test_in_place_activations_write_into_the_tensor():
    for name in ("relu", "relu6", "silu", "elu", "hardtanh"):
        x = T(X.copy())
        y = getattr(F, name)(x) if name == "relu" else getattr(F, name)(T(X), inplace=False)
        kept = T(X.copy())
        getattr(F, name)(kept, inplace=True)
        near(kept, y.asnumpy())
    x = T(X.copy())
    F.threshold_(x, 0.5, 7.0)
    near(x, np.where(X > 0.5, X, 7))


def convolved(x, w, stride=1):
    n, c, h, k = x.shape[0], x.shape[1], x.shape[2], w.shape[2]
    rows = [np.einsum("ncl,ocl->no", x[:, :, i:i + k], w) for i in range(0, h - k + 1, stride)]
    return np.stack(rows, 2)


def test_convolutions_pad_as_pytorch_does():
    x, w = X[0].astype(np.float32), RNG.randn(3, 6, 4).astype(np.float32)
    near(F.conv1d(T(x), T(w), padding="valid"), convolved(x, w), 1e-4)
    near(F.conv1d(T(x), T(w), padding="same"), convolved(np.pad(x, ((0, 0), (0, 0), (1, 2))), w), 1e-4)
    near(F.conv1d(T(x[0]), T(w), padding=1), convolved(np.pad(x, ((0, 0), (0, 0), (1, 1))), w)[0], 1e-4)
    layer = nn.Conv1d(6, 3, 4, padding=2, padding_mode="circular", bias=False)
    layer.weight.set_data(T(w))
    near(layer(T(x)), convolved(np.pad(x, ((0, 0), (0, 0), (2, 2)), mode="wrap"), w), 1e-4)
    assert [p.name for p in nn.Conv2d(1, 2, 3).get_parameters()] == ["weight", "bias"]
    assert nn.Conv2d(4, 8, 3, 2, 1)(T(X)).shape == (2, 8, 3, 3)
    assert nn.Conv3d(1, 2, 2)(ops.ones((1, 3, 3, 3))).shape == (2, 2, 2, 2)
    up = nn.ConvTranspose2d(4, 8, 3, 2)
    assert up(T(X)).shape == (2, 8, 13, 11) and up(T(X), output_size=(14, 11)).shape == (2, 8, 14, 11)
    for wrong in (lambda: up(T(X), output_size=(15, 11)), lambda: nn.Conv2d(4, 8, 3, 2, "same"), lambda: nn.Conv2d(4, 6, 3, groups=4),
                  lambda: nn.Conv2d(4, 8, 3, padding_mode="zero")):
        with pytest.raises(errors.ValueError):
            wrong()


def test_pools_and_paddings():
    near(F.avg_pool2d(T(X), 2), X[:, :, :6, :4].reshape(2, 4, 3, 2, 2, 2).mean((3, 5)))
    near(nn.AvgPool2d(2)(T(X[0])), X[0, :, :6, :4].reshape(4, 3, 2, 2, 2).mean((2, 4)))
    y, at = F.max_pool2d(T(X), 2, return_indices=True)
    near(y, X[:, :, :6, :4].reshape(2, 4, 3, 2, 2, 2).max((3, 5)))
    back = nn.MaxUnpool2d(2)(y, at, (6, 5)).asnumpy()
    assert back.shape == X.shape and np.count_nonzero(back) == y.size and (back[back != 0] == X[back != 0]).all()
    near(F.adaptive_avg_pool2d(T(X), (None, 1)), X.mean(3, keepdims=True))
    near(nn.AdaptiveMaxPool1d(1)(T(X[0])), X[0].max(-1, keepdims=True))
    for name, mode in (("ReflectionPad2d", "reflect"), ("ReplicationPad2d", "edge"), ("ZeroPad2d", "constant")):
        near(getattr(nn, name)((1, 2, 0, 1))(T(X)), np.pad(X, ((0, 0), (0, 0), (0, 1), (1, 2)), mode=mode))
    near(nn.ConstantPad1d((-1, 2), 3.0)(T(X)), np.pad(X[..., 1:], ((0, 0),) * 3 + ((0, 2),), constant_values=3))
    for wrong in (lambda: nn.ZeroPad2d((1, 2)), lambda: nn.ReflectionPad1d(-1), lambda: F.avg_pool2d(T(X), 2, divisor_override=0)):
        with pytest.raises(errors.ValueError):
            wrong()


def test_losses():
    logits, at = X[:, :, 0], RNG.randint(0, 4, (2, 5))
    logs = np.log(soft(logits, 1))
    per = -np.take_along_axis(logs, at[:, None], 1)[:, 0]
    near(F.cross_entropy(T(logits), T(at)), per.mean())
    near(F.nll_loss(T(logs), T(at), reduction="none"), per)
    near(nn.CrossEntropyLoss(reduction="sum")(T(logits[0, :, 0]), T(at[0, 0])), per[0, 0])
    near(F.kl_div(T(logs), T(soft(X[:, :, 1], 1)), reduction="batchmean"), (soft(X[:, :, 1], 1) * (np.log(soft(X[:, :, 1], 1)) - logs)).sum() / 2, 1e-4)
    near(F.kl_div(T(logs), T(logs * 2), reduction="none", log_target=True), np.exp(logs * 2) * logs, 1e-4)
    near(F.smooth_l1_loss(T(X), T(X + 2)), 1.5)
    near(F.one_hot(T(at)), np.eye(at.max() + 1)[at])
    for wrong in (lambda: nn.MSELoss("average"), lambda: F.cross_entropy(T(logits), T(at), label_smoothing=2.0)):
        with pytest.raises(errors.ValueError):
            wrong()


@pytest.mark.parametrize("compiled", (False, True))
def test_batch_norm_keeps_pytorchs_statistics(compiled):
    for momentum in (0.1, None):
        layer = nn.BatchNorm2d(4, momentum=momentum)
        layer.set_train()
        run = jit(lambda x: layer(x)) if compiled else layer
        mean, var = np.zeros(4), np.ones(4)
        for i, x in enumerate((X, X * 2 + 1)):
            near(run(T(x)), (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5), 1e-4)
            share = 1 / (i + 1) if momentum is None else momentum
            mean = mean * (1 - share) + x.mean((0, 2, 3)) * share
            var = var * (1 - share) + x.var((0, 2, 3), ddof=1) * share
        near(layer.running_mean, mean, 1e-4)
        near(layer.running_var, var, 1e-4)
        assert int(layer.num_batches_tracked) == 2
        layer.set_train(False)
        near(layer(T(X)), (X - mean.reshape(4, 1, 1)) / np.sqrt(var.reshape(4, 1, 1) + 1e-5), 1e-4)
    free = nn.BatchNorm1d(4, affine=False, track_running_stats=False)
    assert not list(free.get_parameters()) and abs(free(T(X[0].transpose(1, 0, 2))).asnumpy().mean()) < 1e-6
    with pytest.raises(errors.ValueError):
        layer(T(X[0]))


@pytest.mark.parametrize("name", ("Adam", "AdamW", "FusedAdamW", "SGD"))
def test_optimizers(name):
    w0, gs = RNG.randn(3), RNG.randn(4, 3)
    w = Parameter(T(w0), name="w")
    opt = getattr(optim, name)([w], lr=0.1, weight_decay=0.2, **({"momentum": 0.9} if name == "SGD" else {}))
    p, m, v = w0.copy(), 0, 0
    for t, g in enumerate(gs, 1):
        opt((T(g),))
        if name == "SGD":
            m = 0.9 * m + g + 0.2 * p
            p = p - 0.1 * m
            continue
        g = g if name.endswith("W") else g + 0.2 * p
        p = p * (1 - 0.1 * 0.2) if name.endswith("W") else p
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p = p - 0.1 * (m / (1 - 0.9 ** t)) / (np.sqrt(v / (1 - 0.999 ** t)) + 1e-8)
    near(w, p, 1e-6)


def test_linalg_and_special():
    a = RNG.randn(4, 4).astype(np.float32)
    near(mint.linalg.inv(T(a)) @ T(a), np.eye(4), 1e-3)
    q, r = mint.linalg.qr(T(a))
    near(q @ r, a, 1e-4)
    assert mint.linalg.qr(T(a), "r")[0].shape == (0,)
    for order in (None, "fro", "nuc", 2, 1, np.inf):
        near(mint.linalg.norm(T(a), order), np.linalg.norm(a, order), 1e-4)
    near(mint.linalg.vector_norm(T(X), 3, dim=(1, 2)), (np.abs(X) ** 3).sum((1, 2)) ** (1 / 3), 1e-4)
    near(mint.special.log1p(T(np.abs(X))), np.log1p(np.abs(X)))


def test_a_network_of_mint_trains():
    net = nn.Linear(5, 2)
    opt = optim.AdamW(net.trainable_params(), lr=0.05)
    x, y = T(X[:, 0].reshape(-1, 5)), T(RNG.randint(0, 2, 12))
    step = jit(lambda a, b: (lambda loss, grads: (opt(grads), loss)[1])(*value_and_grad(lambda a, b: F.cross_entropy(net(a), b), None, opt.parameters)(a, b)))
    losses = [float(step(x, y)) for _ in range(30)]
    assert losses[-1] < losses[0] * 0.8
