# SPDX-License-Identifier: Apache-2.0
"""Primitives made from the table of functions, vjp and jvp."""

import numpy as np
import pytest

from rutile import Parameter, Tensor, jit, jvp, ops, vjp
from rutile.ops import operations as P
from rutile.ops._primitives import TABLE

X = np.random.RandomState(0).randn(3, 4).astype(np.float32)


def test_each_row_names_a_function():
    for name, (function, given) in TABLE.items():
        modules = (ops.function, ops.function.exact, ops.function.factors, ops.table)
        found = next((getattr(m, function) for m in modules if hasattr(m, function)), None)
        if found is None:  # waits for an op of the table
            assert not hasattr(P, name)
            continue
        p = getattr(P, name)
        assert callable(found), name
        if all("=" in item for item in given.split()):
            assert repr(p()).startswith(f"Prim[{name}]")
        else:
            with pytest.raises(TypeError):
                p()
        assert p.__doc__


def test_values():
    x = Tensor(X)
    for got, want in ((P.GatherNd()(x, Tensor([[0, 1]])), X[0, 1:2]), (P.Roll(1, 0)(x), np.roll(X, 1, 0)),
                      (P.UnsortedSegmentSum()(x, Tensor([0, 0, 1]), 2), np.stack([X[0] + X[1], X[2]])),
                      (P.TensorScatterAdd()(x, Tensor([[0, 0]]), Tensor([1.0])), X + np.eye(12)[0].reshape(3, 4)),
                      (P.CumProd()(x, 1), np.cumprod(X, 1)), (P.Einsum("ij->ji")((x,)), X.T), (P.Cummax(0)(x)[0], np.maximum.accumulate(X)),
                      (P.LeftShift()(Tensor([1]), Tensor([3])), [8]), (P.Bucketize([0.0])(x), (X > 0).astype(int)),
                      (P.SquareSumAll()(x, x)[1], (X ** 2).sum()), (P.ReduceStd(axis=1)(x)[0], X.std(1, ddof=1))):
        np.testing.assert_allclose(got.asnumpy(), want, rtol=1e-5)
    p = Parameter(x, name="p")
    P.ScatterNdAdd(use_locking=True)(p, Tensor([[1, 1]]), Tensor([2.0]))
    assert p.asnumpy()[1, 1] == X[1, 1] + 2


def test_vjp_and_jvp():
    a, b = Tensor(X), Tensor(X[:, :3])
    w = np.random.RandomState(1).randn(3, 4).astype(np.float32)

    def f(x, y):
        return ops.matmul(y, ops.sin(x)), ops.exp(y)

    (m, e), pull = vjp(f, a, b)
    u = Tensor(w), Tensor(w[:, :3])
    gx, gy = pull(*u)
    np.testing.assert_allclose(gx.asnumpy(), X[:, :3].T @ w * np.cos(X), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(gy.asnumpy(), w @ np.sin(X).T + w[:, :3] * np.exp(X[:, :3]), rtol=2e-5, atol=1e-6)
    v = Tensor(w), Tensor(w[:, 1:])
    _, (dm, de) = jvp(f, (a, b), v)
    np.testing.assert_allclose(dm.asnumpy(), w[:, 1:] @ np.sin(X) + X[:, :3] @ (np.cos(X) * w), rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(de.asnumpy(), np.exp(X[:, :3]) * w[:, 1:], rtol=2e-5)
    _, one, aux = jvp(lambda x: (ops.tanh(x), 7), a, Tensor(w), has_aux=True)
    np.testing.assert_allclose(one.asnumpy(), w / np.cosh(X) ** 2, rtol=1e-4, atol=1e-6)
    assert aux == 7
    traced = jit(lambda x, t: jvp(ops.tanh, x, t)[1])(a, Tensor(w))
    np.testing.assert_allclose(traced.asnumpy(), one.asnumpy(), rtol=1e-5)
    scale = Parameter(Tensor(2.0), name="scale")
    gx, (gw,) = vjp(lambda x: x * scale, a, weights=[scale])[1](Tensor(w))
    np.testing.assert_allclose(gw.asnumpy(), (X * w).sum(), rtol=1e-5)
    with pytest.raises(ValueError):
        pull(Tensor(w))
    with pytest.raises(ValueError):
        jvp(ops.sin, a, b)
