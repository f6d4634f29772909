# SPDX-License-Identifier: Apache-2.0
"""Convolutions and optimizers of complex numbers, projections of LSTMs, bits read as other types, second derivatives."""

import numpy as np
import pytest

import rutile
from rutile import Parameter, Tensor, errors, nn, ops
from rutile.experimental import optim
from rutile.ops import table

RNG = np.random.default_rng(5)


def drawn(*shape, dtype=np.complex128):
    x = RNG.standard_normal(shape)
    return (x + 1j * RNG.standard_normal(shape)).astype(dtype) if np.issubdtype(dtype, np.complexfloating) else x.astype(dtype)


def correlated(x, w, stride=1, pad=0):
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    n, _, h, wide = x.shape
    o, _, kh, kw = w.shape
    y = np.zeros((n, o, (h - kh) // stride + 1, (wide - kw) // stride + 1), x.dtype)
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            window = x[:, :, i * stride:i * stride + kh, j * stride:j * stride + kw]
            y[:, :, i, j] = np.einsum("ncij,ocij->no", window, w)
    return y


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_convolutions_of_complex_numbers(dtype):
    x, w, b = drawn(2, 3, 6, 5, dtype=dtype), drawn(4, 3, 3, 2, dtype=dtype), drawn(4, dtype=dtype)
    want = correlated(x, w, 2, 1) + b.reshape(1, 4, 1, 1)
    got = table.conv2d(Tensor(x), Tensor(w), Tensor(b), stride=2, pad=1)
    np.testing.assert_allclose(got.asnumpy(), want, rtol=1e-4, atol=1e-4)
    compiled = rutile.jit(lambda x, w: table.conv2d(x, w, stride=2, pad=1))(Tensor(x), Tensor(w))
    np.testing.assert_allclose(compiled.asnumpy(), want - b.reshape(1, 4, 1, 1), rtol=1e-4, atol=1e-4)
    # A real weight is as good as one without imaginary parts.
    np.testing.assert_allclose(table.conv2d(Tensor(x), Tensor(w.real.copy())).asnumpy(), correlated(x, w.real), rtol=1e-4, atol=1e-4)


def test_gradients_of_complex_convolutions_are_those_of_their_parts():
    x, w = drawn(1, 2, 5, 5), drawn(3, 2, 3, 3)
    xr, xi, wr, wi = (Tensor(v) for v in (x.real.copy(), x.imag.copy(), w.real.copy(), w.imag.copy()))

    def whole(x, w):
        return ops.sum(ops.square(ops.abs(table.conv2d(x, w, pad=1))))

    def parts(xr, xi, wr, wi):
        re = table.conv2d(xr, wr, pad=1) - table.conv2d(xi, wi, pad=1)
        im = table.conv2d(xr, wi, pad=1) + table.conv2d(xi, wr, pad=1)
        return ops.sum(re * re + im * im)

    dx, dw = rutile.grad(whole, (0, 1))(Tensor(x), Tensor(w))
    pxr, pxi, pwr, pwi = (g.asnumpy() for g in rutile.grad(parts, (0, 1, 2, 3))(xr, xi, wr, wi))
    np.testing.assert_allclose(dx.asnumpy(), pxr + 1j * pxi, rtol=1e-10)
    np.testing.assert_allclose(dw.asnumpy(), pwr + 1j * pwi, rtol=1e-10)


def test_lerp_of_complex_numbers():
    a, b = drawn(7), drawn(7)
    for w in (0.2 + 0.1j, 0.9 - 0.3j):
        got = ops.lerp(Tensor(a), Tensor(b), Tensor(np.full(7, w)))
        np.testing.assert_allclose(got.asnumpy(), a + w * (b - a), rtol=1e-12)


@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, 0.1, momentum=0.9), lambda p: optim.Adam(p, 0.1),
                                  lambda p: optim.Rprop(p, 0.1), lambda p: nn.AdaMax(p, 0.1), lambda p: nn.AdaMax(p, 0.1, weight_decay=0.1),
                                  lambda p: nn.Rprop(p, 0.1), lambda p: optim.Adagrad(p, 0.1, initial_accumulator_value=0.5)])
def test_complex_parameters_are_updated_as_their_parts(make):
    z = drawn(4, 3)
    pairs = np.stack([z.real, z.imag], -1)
    one, two = Parameter(Tensor(z), name="z"), Parameter(Tensor(pairs), name="z")
    own, real = make([one]), make([two])
    for _ in range(4):
        g = drawn(4, 3)
        own((Tensor(g),))
        real((Tensor(np.stack([g.real, g.imag], -1)),))
    got = one.asnumpy()
    assert np.array_equal(np.stack([got.real, got.imag], -1), two.asnumpy())


def test_bits_read_as_another_type():
    x = drawn(3, 4, dtype=np.float32)
    for dtype in ("int32", "uint8", "int16", "float64", "complex64"):
        assert np.array_equal(ops.bitcast(Tensor(x), dtype).asnumpy(), x.view(dtype))
        assert np.array_equal(Tensor(x).view(dtype).asnumpy(), x.view(dtype))
    assert ops.bitcast(Tensor(np.array([0, 2, 255], np.uint8)), "bool").asnumpy().tolist() == [False, True, True]
    with pytest.raises(errors.ValueError, match="multiple of 8"):
        ops.bitcast(Tensor(x[:, :3]), "float64")


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def test_projections_of_an_lstm():
    cell = nn.LSTM(3, 5, num_layers=2, bidirectional=True, proj_size=2)
    shapes = {p.name: p.shape for p in cell.trainable_params()}
    assert shapes["weight_hr_l0"] == (2, 5) and shapes["weight_hh_l1_reverse"] == (20, 2) and shapes["weight_ih_l1"] == (20, 4)
    y, (h, c) = cell(Tensor(drawn(4, 2, 3, dtype=np.float32)))
    assert y.shape == (4, 2, 4) and h.shape == (4, 2, 2) and c.shape == (4, 2, 5)
    single = nn.LSTM(3, 5, proj_size=2)
    w = {p.name.rsplit("_l0", 1)[0]: p.asnumpy() for p in single.trainable_params()}
    x = drawn(4, 2, 3, dtype=np.float32)
    y, (h, c) = single(Tensor(x))
    ht, ct = np.zeros((2, 2), np.float32), np.zeros((2, 5), np.float32)
    for t in range(4):
        i, f, g, o = np.split(x[t] @ w["weight_ih"].T + w["bias_ih"] + ht @ w["weight_hh"].T + w["bias_hh"], 4, 1)
        ct = sigmoid(f) * ct + sigmoid(i) * np.tanh(g)
        ht = (sigmoid(o) * np.tanh(ct)) @ w["weight_hr"].T
        np.testing.assert_allclose(y.asnumpy()[t], ht, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(c.asnumpy()[0], ct, rtol=1e-4, atol=1e-5)
    with pytest.raises(errors.ValueError, match="for an LSTM"):
        nn.GRU(3, 5, proj_size=2)
    with pytest.raises(errors.ValueError, match="below hidden_size"):
        nn.LSTM(3, 5, proj_size=5)


def test_derivatives_that_are_differences():
    a, x, h = Tensor(np.array([0.3, 2.0, 40.0])), Tensor(np.array([0.5, 3.0, 30.0])), 1e-5
    slope = rutile.grad(lambda a, x: ops.sum(ops.igamma(a, x)))(a, x).asnumpy()
    want = (ops.igamma(a + h, x) - ops.igamma(a - h, x)).asnumpy() / (2 * h)
    np.testing.assert_allclose(slope, want, rtol=1e-6)

    targets, lengths = Tensor(np.array([[1, 2], [2, 2]])), (Tensor(np.array([5, 4])), Tensor(np.array([2, 2])))
    logits, along = drawn(5, 2, 3, dtype=np.float64), drawn(5, 2, 3, dtype=np.float64)

    def loss(v):
        return ops.sum(table.ctc_loss(ops.log_softmax(v, -1), targets, *lengths, reduction="sum"))

    def slope_along(v):
        return ops.sum(rutile.grad(loss)(v) * Tensor(along))

    second = rutile.grad(slope_along)(Tensor(logits)).asnumpy()
    ahead, behind = (rutile.grad(loss)(Tensor(logits + s * along)).asnumpy() for s in (h, -h))
    np.testing.assert_allclose(second, (ahead - behind) / (2 * h), rtol=1e-5, atol=1e-8)
