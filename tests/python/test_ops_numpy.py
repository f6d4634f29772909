# SPDX-License-Identifier: Apache-2.0
"""Functions of rutile.ops by MindSpore's arguments, against NumPy."""

import numpy as np
import pytest

from rutile import Parameter, Tensor, ops

R = np.random.RandomState(0)
X = R.randn(3, 4).astype(np.float32)
Y = R.randn(3, 4).astype(np.float32)
V = R.randn(5).astype(np.float32)
I = R.randint(0, 6, 9)
N = X.copy()
N[1, 2] = np.nan
IMAGE = R.randn(2, 3, 4, 6).astype(np.float32)
inf = float("inf")

CASES = [
    ("quantile", (X, 0.3), {"axis": 1}, np.quantile(X, 0.3, 1)), ("nanmean", (N,), {"axis": 0}, np.nanmean(N, 0)),
    ("nansum", (N,), {}, np.nansum(N)), ("nanquantile", (N, 0.5), {"axis": 1}, np.nanquantile(N, 0.5, 1)),
    ("aminmax", (X,), {"axis": 1}, (X.min(1), X.max(1))), ("std_mean", (X,), {"axis": 0, "ddof": 1}, (X.std(0, ddof=1), X.mean(0))),
    ("var_mean", (X, 1), {}, (X.var(1), X.mean(1))), ("cumprod", (X, 1), {}, np.cumprod(X, 1)),
    ("bincount", (I,), {"minlength": 10}, np.bincount(I, minlength=10)),
    ("diff", (X,), {"axis": 0, "prepend": Y}, np.diff(X, axis=0, prepend=Y)), ("histc", (X,), {"bins": 4, "min": -1.0, "max": 1.0},
     np.histogram(X, 4, (-1, 1))[0]), ("cov", (X,), {}, np.cov(X)),
    ("cov", (X,), {"fweights": np.array([1, 2, 1, 3]), "aweights": np.array([.1, .2, .3, .4], np.float32)},
     np.cov(X, fweights=[1, 2, 1, 3], aweights=[.1, .2, .3, .4])),
    ("trapz", (X,), {"dx": 0.5}, np.trapz(X, dx=0.5) if hasattr(np, "trapz") else np.trapezoid(X, dx=0.5)),
    ("unique", (I, True, True), {}, np.unique(I, return_inverse=True)), ("msort", (X,), {}, np.sort(X, 0)),
    ("searchsorted", (np.sort(V), X), {"side": "right"}, np.searchsorted(np.sort(V), X, "right")),
    ("bucketize", (X, [-0.5, 0.5]), {}, np.digitize(X, [-0.5, 0.5], right=True)),
    ("einsum", ("ij,kj->ik", X, Y), {}, X @ Y.T), ("tensor_dot", (X, Y, ((1,), (1,))), {}, X @ Y.T),
    ("addmv", (X[:, 0], X, Y[0]), {"beta": 2}, 2 * X[:, 0] + X @ Y[0]), ("vecdot", (X, Y), {}, (X * Y).sum(-1)),
    ("addr", (X, X[:, 0], Y[0]), {"alpha": 3}, X + 3 * np.outer(X[:, 0], Y[0])),
    ("matrix_power", (X[:, :3], 5), {}, np.linalg.matrix_power(X[:, :3], 5)), ("adjoint", (X,), {}, X.T),
    ("dist", (X, Y), {"p": 3}, (np.abs(X - Y) ** 3).sum() ** (1 / 3)), ("dist", (X, Y, inf), {}, np.abs(X - Y).max()),
    ("vander", (V,), {"N": 3}, np.vander(V, 3)), ("cross", (X[:, :3], Y[:, :3]), {"dim": 1}, np.cross(X[:, :3], Y[:, :3])),
    ("block_diag", (X[:1], Y[:2]), {}, np.block([[X[:1], np.zeros((1, 4))], [np.zeros((2, 4)), Y[:2]]])),
    ("vector_norm", (X,), {"ord": 3, "axis": 1}, np.linalg.norm(X, 3, 1)), ("vector_norm", (X, inf), {}, np.abs(X).max()),
    ("tensor_scatter_add", (X, np.array([[0, 1], [0, 1]]), V[:2]), {}, X + V[:2].sum() * np.eye(12)[1].reshape(3, 4)),
    ("tensor_scatter_max", (X, np.array([[0, 1]]), V[:1] * 0 + 9), {}, np.where(np.eye(12)[1].reshape(3, 4), 9, X)),
    ("gather_nd", (X, np.array([[0, 1], [2, 3]])), {}, X[[0, 2], [1, 3]]), ("masked_select", (X, X > 0), {}, X[X > 0]),
    ("argwhere", (I,), {}, np.argwhere(I)), ("take", (X, np.array([1, 99])), {}, X.reshape(-1)[[1, 11]]),
    ("unsorted_segment_sum", (X, np.array([1, 0, 1]), 2), {}, np.stack([X[1], X[0] + X[2]])),
    ("unsorted_segment_prod", (X, np.array([1, 0, 1]), 2), {}, np.stack([X[1], X[0] * X[2]])),
    ("unsorted_segment_min", (X, np.array([1, 0, 1]), 2), {}, np.stack([X[1], np.minimum(X[0], X[2])])),
    ("narrow", (X, 1, 1, 2), {}, X[:, 1:3]), ("strided_slice", (X, (0, 3), (3, 0), (2, -1)), {}, X[::2, 3:0:-1]),
    ("hstack", ((X, Y),), {}, np.hstack((X, Y))), ("vstack", ((V, V),), {}, np.vstack((V, V))), ("dstack", ((X, Y),), {}, np.dstack((X, Y))),
    ("column_stack", ((V, V),), {}, np.column_stack((V, V))), ("hsplit", (X, 2), {}, tuple(np.hsplit(X, 2))),
    ("vsplit", (X, 3), {}, tuple(np.vsplit(X, 3))), ("atleast_3d", (V,), {}, np.atleast_3d(V)), ("atleast_3d", (X,), {}, np.atleast_3d(X)),
    ("atleast_2d", (V,), {}, np.atleast_2d(V)), ("ravel", (X,), {}, X.ravel()), ("flipud", (X,), {}, np.flipud(X)),
    ("moveaxis", (IMAGE, (0, 1), (3, 2)), {}, np.moveaxis(IMAGE, (0, 1), (3, 2))), ("fliplr", (X,), {}, np.fliplr(X)),
    ("rot90", (X,), {"k": 3}, np.rot90(X, 3)), ("reverse", (X, 1), {}, X[:, ::-1]), ("tril_indices", (3, 4, 1), {}, np.stack(np.tril_indices(3, 1, 4))),
    ("triu_indices", (3, 4, -1), {}, np.stack(np.triu_indices(3, -1, 4))), ("diag_embed", (V,), {"offset": 1}, np.diag(V, 1)),
    ("diagonal", (X,), {"offset": 1}, np.diagonal(X, 1)), ("diagflat", (X,), {}, np.diagflat(X)),
    ("sequence_mask", (np.array([1, 3]),), {}, [[True, False, False], [True, True, True]]),
    ("select_scatter", (X, Y[1], 0, 2), {}, np.stack([X[0], X[1], Y[1]])), ("fills", (X, 3), {}, np.full_like(X, 3)),
    ("slice", (X, (1, 0), (-1, 2)), {}, X[1:, :2]), ("matrix_band_part", (X, 1, 0), {}, np.tril(np.triu(X, -1))),
    ("reverse_sequence", (X, np.array([1, 2, 4]), 1), {}, np.stack([X[0], np.r_[X[1, 1::-1], X[1, 2:]], X[2, ::-1]])),
    ("combinations", (I,), {}, [[I[a], I[b]] for a in range(9) for b in range(a + 1, 9)]),
    ("cartesian_prod", (V[:2], V[2:]), {}, [[a, b] for a in V[:2] for b in V[2:]]),
    ("intopk", (X, np.array([0, 1, 2]), 2), {}, [(X[i] > X[i, i]).sum() < 2 for i in range(3)]),
    ("adaptive_max_pool2d", (IMAGE, (2, None)), {}, IMAGE.reshape(2, 3, 2, 2, 6).max(3)),
    ("avg_pool1d", (X[None], 2, 2), {}, X[None].reshape(1, 3, 2, 2).mean(3)), ("group_norm", (IMAGE, 3), {},
     (IMAGE - IMAGE.mean((2, 3), keepdims=True)) / np.sqrt(IMAGE.var((2, 3), keepdims=True) + 1e-5)),
    ("swiglu", (X,), {}, X[:, :2] / (1 + np.exp(-X[:, :2])) * X[:, 2:]), ("interpolate", (IMAGE,), {"scale_factor": 2.0},
     IMAGE.repeat(2, 2).repeat(2, 3)), ("deepcopy", (X,), {}, X), ("identity", (X,), {}, X)]


def flat(x):
    return [flat(v) for v in x] if isinstance(x, tuple) else np.asarray(x.asnumpy() if isinstance(x, Tensor) else x, np.float64)


def tensors(v):
    if isinstance(v, np.ndarray):
        return Tensor(v)
    return type(v)(tensors(x) for x in v) if isinstance(v, (tuple, list)) else v


@pytest.mark.parametrize("name, args, kwargs, want", CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)])
def test_function(name, args, kwargs, want):
    got = flat(getattr(ops, name)(*tensors(args), **{k: tensors(v) for k, v in kwargs.items()}))
    want = flat(want)
    for a, b in zip(got, want) if isinstance(want, list) else [(got, want)]:
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_keywords_of_mindspore():
    x = Tensor(X)
    for a, b in ((ops.add(input=x, other=x), 2 * X), (ops.pow(input=x, exponent=2), X ** 2), (ops.exp(input=x), np.exp(X)),
                 (ops.tril(input=x, diagonal=1), np.tril(X, 1)), (ops.bitwise_and(input=Tensor(I), other=Tensor(3)), I & 3)):
        np.testing.assert_allclose(a.asnumpy(), b, rtol=1e-5)
    with pytest.raises(TypeError, match="has no argument nothing"):
        ops.exp(nothing=x)


@pytest.mark.parametrize("name, numpy", [("update", None), ("add", np.add), ("sub", np.subtract), ("mul", np.multiply), ("div", np.divide),
                                         ("max", np.maximum), ("min", np.minimum)])
def test_scatters_into_parameters(name, numpy):
    rows, at = np.array([[2, 0]]), np.array([[2, 1], [0, 3]])
    by_rows, by_places = X.copy(), X.copy()
    if numpy is None:
        by_rows[rows], by_places[tuple(at.T)] = Y[None, :2], V[:2]
    else:
        numpy.at(by_rows, rows, Y[None, :2])
        numpy.at(by_places, tuple(at.T), V[:2])
    p, q = Parameter(Tensor(X), name="p"), Parameter(Tensor(X), name="q")
    getattr(ops, f"scatter_{name}")(p, Tensor(rows), Tensor(Y[None, :2]))
    getattr(ops, f"scatter_nd_{name}")(q, Tensor(at), Tensor(V[:2]))
    np.testing.assert_allclose(p.asnumpy(), by_rows, rtol=1e-5)
    np.testing.assert_allclose(q.asnumpy(), by_places, rtol=1e-5)
    with pytest.raises(TypeError):
        getattr(ops, f"scatter_{name}")(Tensor(X), Tensor(rows), Tensor(Y[None, :2]))


def test_blocks_and_pools():
    x = Tensor(IMAGE)
    y = ops.space_to_batch_nd(x, [2, 3], [[0, 0], [1, 2]])
    assert y.shape == (12, 3, 2, 3)
    np.testing.assert_array_equal(ops.batch_to_space_nd(y, [2, 3], [[0, 0], [1, 2]]).asnumpy(), IMAGE)
    assert ops.max_pool3d(x.reshape(1, 2, 3, 4, 6), 2).shape == (1, 2, 1, 2, 3)
    y, at = ops.max_pool2d(x, 2, return_indices=True)
    back = ops.max_unpool2d(y, at, 2).asnumpy()
    np.testing.assert_array_equal(np.where(back != 0, IMAGE, 0), back)
    one = np.ones((1, 1, 5, 5), np.float32)
    windows = ops.fold(ops.unfold(Tensor(one), 3), 5, 3).asnumpy()[0, 0]
    np.testing.assert_array_equal(windows, np.outer([1, 2, 3, 2, 1], [1, 2, 3, 2, 1]))
    for drop, shape in ((ops.dropout1d, (64, 8, 3)), (ops.dropout2d, (64, 8, 3, 2)), (ops.dropout3d, (64, 8, 3, 2, 2))):
        z = drop(ops.ones(shape), 0.25).asnumpy().reshape(64 * 8, -1)
        assert (z.min(1) == z.max(1)).all() and 0.15 < (z[:, 0] == 0).mean() < 0.35 and z.max() == pytest.approx(4 / 3)
        assert drop(ops.ones(shape), 0.25, training=False).asnumpy().min() == 1
    with pytest.raises(ValueError):
        ops.conv1d(ops.ones((1, 1, 4)), ops.ones((1, 1, 3)), padding=1)
    assert ops.conv3d(ops.ones((1, 2, 5, 5, 5)), ops.ones((3, 2, 3, 3, 3)), pad_mode="same", stride=2).shape == (1, 3, 3, 3, 3)
