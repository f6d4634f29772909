# SPDX-License-Identifier: Apache-2.0
"""Forms of calls of mint that PyTorch's own samples make, against NumPy."""

import numpy as np
import pytest

import rutile
from rutile import Tensor, mint, ops

X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def same(got, want, **tolerance):
    np.testing.assert_allclose(got.asnumpy(), want, **({"rtol": 1e-5, "atol": 1e-6} | tolerance))


def test_spreads():
    x = Tensor(X)
    for name, f in (("var", np.var), ("std", np.std)):
        ours = getattr(mint, name)
        same(ours(x, False), f(X))
        same(ours(x, unbiased=True), f(X, ddof=1))
        same(ours(x, 1, False), f(X, axis=1))
        same(ours(x, 1, correction=None), f(X, axis=1, ddof=1))
        same(ours(x, (0, 1), correction=1.5, keepdim=True), f(X, ddof=1.5, keepdims=True))
        spread, mean = getattr(mint, name + "_mean")(x, True)
        same(spread, f(X, ddof=1)), same(mean, X.mean())
        spread, mean = getattr(mint, name + "_mean")(x, 0, keepdim=True)
        same(spread, f(X, axis=0, ddof=1, keepdims=True)), same(mean, X.mean(0, keepdims=True))


def test_shapes():
    x = Tensor(X)
    assert mint.squeeze(x.reshape(1, 3, 1, 4), 1).shape == (1, 3, 1, 4)  # a size other than 1 stays
    assert mint.squeeze(x.reshape(1, 3, 1, 4), (0, 1)).shape == (3, 1, 4)
    assert mint.squeeze(x.reshape(1, 3, 1, 4)).shape == (3, 4)
    with pytest.raises(ValueError, match="squeeze: dim 2"):
        mint.squeeze(x, 2)
    same(mint.flip(x, ()), X), same(mint.flip(x, (0, 1)), X[::-1, ::-1])
    same(mint.diff(x, 0, prepend=x), X), same(mint.diff(x, 1, 1, x[:, :1]), np.diff(X, 1, 1, prepend=X[:, :1]))
    assert mint.transpose(Tensor(2.0), 0, -1).shape == ()
    assert [v.asnumpy().tolist() for v in mint.nonzero(Tensor(3.0), as_tuple=True)] == [[0]]
    same(mint.index_select(Tensor(2.0), 0, Tensor([0])), 2.0)
    same(mint.take(x, Tensor([[-1, 2], [0, -12]])), np.take(X, [[-1, 2], [0, -12]]))
    with pytest.raises(IndexError, match="index 12"):
        mint.take(x, Tensor([12]))
    values, places = mint.sort(x, 0, True)
    same(values, -np.sort(-X, 0)), same(mint.gather(x, 0, places), -np.sort(-X, 0))


def test_unique_slices():
    x = Tensor(np.array([[1, 2], [3, 4], [1, 2]]))
    values, inverse, counts = mint.unique(x, return_inverse=True, return_counts=True, dim=0)
    assert values.asnumpy().tolist() == [[1, 2], [3, 4]]
    assert inverse.asnumpy().tolist() == [0, 1, 0] and counts.asnumpy().tolist() == [2, 1]
    assert mint.unique(x, dim=1).asnumpy().tolist() == [[1, 2], [3, 4], [1, 2]]


def test_scatter():
    at, zeros = Tensor([[0, 1, 0], [2, 0, 1]]), mint.zeros((3, 3))
    src = np.arange(9.0, dtype=np.float32).reshape(3, 3)
    want = np.zeros((3, 3), np.float32)
    np.add.at(want, ([[0, 1, 0], [2, 0, 1]], [[0, 1, 2]]), src[:2])
    same(mint.scatter_add(zeros, 0, at, Tensor(src)), want)  # src may be larger than the indices
    same(mint.scatter(zeros, 0, at, Tensor(src), reduce="add"), want)
    same(mint.scatter(mint.ones((3, 3)), 0, at, value=2.0, reduce="multiply"), np.where(np.isin(np.arange(9), [0, 1, 2, 4, 5, 6]), 2, 1).reshape(3, 3))
    with pytest.raises(ValueError, match="add"):
        mint.scatter(zeros, 0, at, Tensor(src), reduce="max")
    same(mint.index_add(Tensor(X), 0, Tensor(2), Tensor(X[:1])), X + np.array([[0], [0], [1]]) * X[:1])
    same(mint.index_add(Tensor(1.0), 0, Tensor([0]), Tensor([2.0])), 3.0)


def test_made():
    same(mint.linspace(0, 1, 7, dtype=rutile.float64), np.linspace(0, 1, 7), rtol=1e-15)
    assert mint.linspace(-2, 8, 5, dtype=rutile.int64).asnumpy().tolist() == [-2, 0, 3, 5, 8]
    assert mint.linspace(0, 1, 0).shape == (0,)
    same(mint.linspace(Tensor(0.1, rutile.float64), 1, 7, dtype=rutile.float64), np.linspace(0.1, 1, 7), rtol=1e-15)
    same(mint.linspace(0, 1 + 1j, 3), [0, 0.5 + 0.5j, 1 + 1j])
    same(ops.full((2,), 1 + 2j), [1 + 2j] * 2)
    same(ops.eye(2, 3, rutile.complex64), np.eye(2, 3))


def test_products():
    v, w = Tensor(X[0]), Tensor(X[1])
    same(mint.nn.functional.linear(Tensor(X), v, Tensor(1.0)), X @ X[0] + 1)
    wrong = Tensor(np.full((4, 4), np.nan, np.float32))
    same(mint.addr(wrong, v, w, beta=0), np.outer(X[0], X[1])) if hasattr(mint, "addr") else None
    same(ops.addr(wrong, v, w, beta=0), np.outer(X[0], X[1]))
    same(mint.addbmm(wrong, Tensor(X.reshape(1, 4, 3)), Tensor(X.reshape(1, 3, 4)), beta=0), X.reshape(4, 3) @ X)
    a = ops.addmm(Tensor(np.ones((2, 2), np.int64)), Tensor([[1, 2], [3, 4]]), Tensor([[1, 0], [0, 1]]), beta=2, alpha=3)
    assert a.asnumpy().tolist() == [[5, 8], [11, 14]]
    same(mint.norm(Tensor(X), "nuc"), np.linalg.norm(X, "nuc"))
    same(mint.cdist(Tensor(X), Tensor(X[:2]), 1.0, "donot_use_mm_for_euclid_dist"), np.abs(X[:, None] - X[:2]).sum(-1))


def test_tolerances_of_each_matrix():
    x = np.stack([np.diag([4.0, 1, 0.1]), np.diag([5.0, 2, 1])])
    assert ops.matrix_rank(Tensor(x), atol=Tensor([0.5, 3.0])).asnumpy().tolist() == [2, 1]
    assert ops.matrix_rank(Tensor(x)).asnumpy().tolist() == [3, 3]
    want = np.stack([np.diag([0.25, 1, 0]), np.diag([0.2, 0, 0])])
    same(ops.pinv(Tensor(x), rtol=Tensor([0.1, 0.5])), want)
    z = np.array([[1 + 1j, 2], [0, 1j], [1, 1]])
    same(ops.pinv(Tensor(z), atol=0.01), np.linalg.pinv(z), rtol=1e-10)
    s, u, v = ops.svd(Tensor(z))
    same(u, u.asnumpy()), same(ops.matmul(u * s.astype(u.dtype), ops.conj(ops.swapaxes(v, -1, -2))), z)


def test_numbers_as_lapack_and_pytorch_choose():
    lu, pivots = ops.table.lu_factor(Tensor(np.array([[5, 1], [3 + 3j, 1]], np.complex128)))
    assert pivots.asnumpy().tolist() == [2, 2]  # |re| + |im|
    zero = ops.table.floor_div(Tensor([0.0]), Tensor([-2.0])).asnumpy()
    assert zero[0] == 0 and np.signbit(zero[0])
    for f in (ops.table.expm1, ops.table.elu):
        assert np.signbit(f(Tensor(np.full(9, -0.0, np.float32))).asnumpy()).all()
    for t in (np.float16, np.float64):
        same(ops.angle(Tensor(np.array([-1, 2, np.nan], t))), np.array([np.pi, 0, np.nan], t))
    assert ops.table.histc(Tensor([0.0, 5e-06, 1e-05], "float64"), bins=1000, min=0.0, max=1e-5).asnumpy().nonzero()[0].tolist() == [0, 499, 999]
    counts = ops.table.bincount(Tensor([1, 2, 2]), Tensor([1, 2, 3]), length=4)
    assert counts.dtype == rutile.float64 and counts.asnumpy().tolist() == [0, 1, 5, 0]
    spectrum = np.random.default_rng(1).normal(size=(6, 3)) + 1j
    whole = np.concatenate([spectrum, spectrum[1:3][::-1]])[:6]
    half = ops.table.istft(Tensor(spectrum[:4]), n_fft=6, hop_length=2)
    same(ops.table.istft(Tensor(np.concatenate([spectrum[:4], whole[:2]])), n_fft=6, hop_length=2, onesided=False), half.asnumpy())
