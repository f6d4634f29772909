# SPDX-License-Identifier: Apache-2.0
"""Initial values: statistics, names, errors."""

import math

import numpy as np
import pytest

import rutile as ms
from rutile import Tensor
from rutile.common import initializer as init

SHAPE = (64, 32, 3, 3)
FAN_IN, FAN_OUT = 32 * 9, 64 * 9
CUT = 0.87962566103423978  # the deviation of a standard normal cut at -2 and 2


@pytest.mark.parametrize("name, make, mean, deviation, limit", [
    ("normal", init.Normal(), 0, 0.01, None), ("normal", init.Normal(0.3, 1.5), 1.5, 0.3, None),
    ("uniform", init.Uniform(), 0, 0.07 / math.sqrt(3), 0.07), ("uniform", init.Uniform(0.4), 0, 0.4 / math.sqrt(3), 0.4),
    ("truncated", init.TruncatedNormal(0.2), 0, 0.2 * CUT, 0.4),
    ("xavier_uniform", init.XavierUniform(2), 0, 2 * math.sqrt(2 / (FAN_IN + FAN_OUT)), 2 * math.sqrt(6 / (FAN_IN + FAN_OUT))),
    ("xavier_normal", init.XavierNormal(), 0, math.sqrt(2 / (FAN_IN + FAN_OUT)), None),
    ("he_uniform", init.HeUniform(math.sqrt(5)), 0, 1 / math.sqrt(3 * FAN_IN), 1 / math.sqrt(FAN_IN)),
    ("he_normal", init.HeNormal(mode="fan_out", nonlinearity="relu"), 0, math.sqrt(2 / FAN_OUT), None),
    ("he_normal", init.HeNormal(nonlinearity="tanh"), 0, 5 / 3 / math.sqrt(FAN_IN), None),
    ("scaling", init.VarianceScaling(2.0), 0, math.sqrt(2 / FAN_IN), None),
    ("scaling", init.VarianceScaling(1.0, "fan_avg", "uniform"), 0, math.sqrt(2 / (FAN_IN + FAN_OUT)), None),
    ("scaling", init.VarianceScaling(1.0, "fan_out", "untruncated_normal"), 0, math.sqrt(1 / FAN_OUT), None)])
def test_statistics(name, make, mean, deviation, limit):
    ms.set_seed(7)
    x = init.initializer(make, SHAPE).asnumpy()
    assert x.shape == SHAPE and x.dtype == np.float32
    assert x.mean() == pytest.approx(mean, abs=5 * deviation / math.sqrt(x.size))
    assert x.std() == pytest.approx(deviation, rel=0.02)
    if limit is not None:
        assert 0.98 * limit < np.abs(x - mean).max() <= limit * (1 + 1e-6)
    ms.set_seed(7)
    np.testing.assert_array_equal(init.initializer(make, SHAPE).asnumpy(), x)


def test_matrices():
    q = init.initializer(init.Orthogonal(2.0), (6, 3, 4)).asnumpy().reshape(6, 12)
    np.testing.assert_allclose(q @ q.T, 4 * np.eye(6), atol=1e-5)
    q = init.initializer("orthogonal", (9, 4)).asnumpy()
    np.testing.assert_allclose(q.T @ q, np.eye(4), atol=1e-5)
    np.testing.assert_array_equal(init.initializer("identity", (2, 3)).asnumpy(), np.eye(2, 3))
    s = init.initializer(init.Sparse(0.25, 0.5), (40, 300)).asnumpy()
    assert ((s == 0).sum(0) == 10).all() and s[s != 0].std() == pytest.approx(0.5, rel=0.03)
    x = np.random.RandomState(0).randn(2, 4, 5, 5).astype(np.float32)
    w = init.initializer(init.Dirac(), (4, 4, 3, 3))
    np.testing.assert_allclose(ms.ops.conv2d(Tensor(x), w, pad_mode="same").asnumpy(), x)
    w = init.initializer(init.Dirac(2), (4, 2, 3))
    assert w.asnumpy().sum() == 4 and w.asnumpy()[2, 0, 1] == 1


def test_names_and_errors():
    for name in ("zeros", "Zero", "ones", "ONE", "normal", "uniform", "xavier_uniform", "XavierNormal", "he_uniform", "he_normal",
                 "TruncatedNormal", "orthogonal", "VarianceScaling"):
        assert init.initializer(name, [3, 4], ms.float16).dtype == ms.float16
    assert init.initializer(2, 3).asnumpy().tolist() == [2, 2, 2] and init.initializer(Tensor([1.0]), (1,)).shape == (1,)
    for wrong, error in ((lambda: init.initializer("wrong", (2,)), ValueError), (lambda: init.initializer([1], (2,)), TypeError),
                         (lambda: init.initializer(Tensor([1.0]), (2,)), ValueError),
                         (lambda: init.initializer("xavier_uniform", (2,)), ValueError),
                         (lambda: init.initializer("identity", (2, 2, 2)), ValueError),
                         (lambda: init.initializer(init.Sparse(0.1), (2, 2, 2)), ValueError), (lambda: init.HeNormal(mode="x"), ValueError),
                         (lambda: init.HeUniform(nonlinearity="x"), ValueError), (lambda: init.VarianceScaling(0), ValueError)):
        with pytest.raises(error):
            wrong()
