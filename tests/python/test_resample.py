# SPDX-License-Identifier: Apache-2.0
"""ScaleAndTranslate, its gradient and ExtractGlimpse against loops over pixels and MindSpore's own examples."""

import math

import numpy as np
import pytest

import rutile as ms
from rutile import Tensor, ops
from rutile.ops import _grad_ops
from rutile.ops import operations as P


def lanczos(radius):
    return lambda d: 1.0 if d < 1e-3 else radius * math.sin(math.pi * d) * math.sin(math.pi * d / radius) / (math.pi * d) ** 2


def keys(d):
    return 1.5 * d ** 3 - 2.5 * d ** 2 + 1 if d < 1 else -0.5 * d ** 3 + 2.5 * d ** 2 - 4 * d + 2


def mitchell(d):
    return 7 / 6 * d ** 3 - 2 * d ** 2 + 8 / 9 if d < 1 else -7 / 18 * d ** 3 + 2 * d ** 2 - 10 / 3 * d + 16 / 9


KERNELS = {"lanczos1": (1, lanczos(1)), "lanczos3": (3, lanczos(3)), "lanczos5": (5, lanczos(5)),
           "gaussian": (1.5, lambda d: math.exp(-2 * d * d)), "box": (1, lambda d: 1.0 if d < 0.5 else 0.5 if d == 0.5 else 0.0),
           "triangle": (1, lambda d: 1 - d), "keyscubic": (2, keys), "mitchellcubic": (2, mitchell)}


def weights(n, m, scale, translation, kernel, antialias):
    """What each of m pixels takes of n."""
    radius, value = KERNELS[kernel]
    wide = max(1 / scale, 1) if antialias else 1
    out = np.zeros((m, n))
    for o in range(m):
        at = (o + 0.5 - translation) / scale
        if 0 <= at <= n:
            out[o] = [value(abs(i + 0.5 - at) / wide) if abs(i + 0.5 - at) < radius * wide else 0 for i in range(n)]
            out[o] /= out[o].sum() or 1
    return out


X = np.random.default_rng(3).normal(size=(2, 5, 7, 3)).astype(np.float32)
SIZES = [((1.37, 0.61), (-1.21, 0.83), (6, 4)), ((0.5, 0.5), (0.0, 0.0), (3, 4)), ((2.0, 3.0), (0.25, -2.0), (12, 9))]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("antialias", [True, False])
def test_scale_and_translate(kernel, antialias):
    for scale, translation, size in SIZES:
        rows, columns = (weights(X.shape[k + 1], size[k], scale[k], translation[k], kernel, antialias) for k in (0, 1))
        vectors = Tensor(np.float32(scale)), Tensor(np.float32(translation))
        y = P.ScaleAndTranslate(kernel, antialias)(Tensor(X), Tensor(np.int32(size)), *vectors)
        np.testing.assert_allclose(y.asnumpy(), np.einsum("oh,nhwc,pw->nopc", rows, X, columns), atol=2e-5)
        dy = np.random.default_rng(5).normal(size=y.shape).astype(np.float32)
        want = np.einsum("oh,nopc,pw->nhwc", rows, dy, columns)
        dx = _grad_ops.ScaleAndTranslateGrad(kernel, antialias)(Tensor(dy), Tensor(X), *vectors)
        np.testing.assert_allclose(dx.asnumpy(), want, atol=2e-5)
        forward = lambda x, s, t: (P.ScaleAndTranslate(kernel, antialias)(x, Tensor(np.int32(size)), s, t) * Tensor(dy)).sum()
        for make in (lambda f: f, ms.jit):
            gx, gs, gt = make(ms.grad(forward, (0, 1, 2)))(Tensor(X), *vectors)
            np.testing.assert_allclose(gx.asnumpy(), want, atol=2e-5)
            assert not gs.asnumpy().any() and not gt.asnumpy().any()


def test_mindspore_examples():
    image = Tensor(np.array([[[[9.0], [5.0], [2.0], [1.0]], [[6.0], [1.0], [9.0], [7.0]]]], np.float32))
    one = Tensor(np.float32([1, 1]))
    y = ops.ScaleAndTranslate()(image, Tensor(np.int32([2, 2])), one, one)
    np.testing.assert_allclose(y.asnumpy().reshape(2, 2), [[0, 0], [0, 9]], atol=1e-5)
    x = Tensor(np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1))
    y = P.ExtractGlimpse(False, False, False, "uniform")(x, Tensor((2, 2), ms.int32), Tensor([[1, 1]], ms.float32))
    assert y.asnumpy().reshape(2, 2).tolist() == [[0, 1], [3, 4]]


OFFSETS = [[[1, 1], [2, 3]], [[0.3, -0.4], [-0.9, 1.3]], [[-1.7, 2.6], [3.5, -2.5]], [[0, 0], [0.5, 0.5]], [[50, -50], [-3, 9]]]


def glimpse(size, offsets, centered, normalized):
    n, h, w, c = X.shape
    out, inside = np.zeros((n, *size, c), np.float32), np.zeros((n, *size), bool)
    for k, (row, column) in enumerate(offsets):
        begin = []
        for at, pixels, window in ((row, h, size[0]), (column, w, size[1])):
            at = at * pixels if normalized else at
            at = at / 2 + pixels / 2 if centered else at
            begin.append(int(at - window / 2))
        for i in range(size[0]):
            for j in range(size[1]):
                r, s = begin[0] + i, begin[1] + j
                if 0 <= r < h and 0 <= s < w:
                    out[k, i, j], inside[k, i, j] = X[k, r, s], True
    return out, inside


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("normalized", [True, False])
def test_extract_glimpse(centered, normalized):
    for offsets in OFFSETS:
        for size in ((2, 2), (4, 3), (6, 9)):
            want, inside = glimpse(size, offsets, centered, normalized)
            at = Tensor(np.float32(offsets)), Tensor(np.int32(size))
            f = lambda x, noise="zero": P.ExtractGlimpse(centered, normalized, False, noise)(x, at[1], at[0])
            for run in (f, ms.jit(f)):
                np.testing.assert_array_equal(run(Tensor(X)).asnumpy(), want)
            for noise in ("uniform", "gaussian"):
                y = f(Tensor(X), noise).asnumpy()
                np.testing.assert_array_equal(y[inside], want[inside])
                if noise == "uniform":
                    assert y.min() >= X.min() and y.max() <= X.max()
            counts = ms.grad(lambda x: f(x).sum())(Tensor(X)).asnumpy()
            assert counts.sum() == inside.sum() * X.shape[3] and set(np.unique(counts)) <= {0, 1}


def test_mistakes():
    two, x = Tensor(np.float32([1, 1])), Tensor(X)
    size = Tensor(np.int32([2, 2]))
    for call, text in ((lambda: P.ScaleAndTranslate("cubic")(x, size, two, two), "kernel_type must be one of lanczos1"),
                       (lambda: P.ScaleAndTranslate()(x[0], size, two, two), "images must be"),
                       (lambda: P.ScaleAndTranslate()(x, Tensor(np.int32([2, 0])), two, two), "2 positive integers"),
                       (lambda: P.ScaleAndTranslate()(x, size, two[:1], two), "of 2 elements"),
                       (lambda: P.ExtractGlimpse(True, True, True, "zero")(x, size, two), "uniform with uniform_noise=True"),
                       (lambda: P.ExtractGlimpse(noise="uniform")(x, size, two), r"offsets \[n, 2\]")):
        with pytest.raises(ValueError, match=text):
            call()
