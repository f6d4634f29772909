# SPDX-License-Identifier: Apache-2.0
"""Functions of rutile.ops.function.selection, and ops whose results depend on values, against NumPy."""

import numpy as np
import pytest

import rutile as ms
from rutile import Tensor, ops

RNG = np.random.default_rng(3)
A = RNG.normal(size=(3, 4)).astype(np.float32)
B = RNG.normal(size=(4, 5)).astype(np.float32)
I = RNG.integers(0, 5, size=(4, 6))
a, b, i = Tensor(A), Tensor(B), Tensor(I)

CASES = {
    "einsum": (lambda: ops.einsum("ij,jk->ki", a, b), lambda: np.einsum("ij,jk->ki", A, B)),
    "einsum_dots": (lambda: ops.einsum("...i->...", a), lambda: A.sum(-1)),
    "tensordot": (lambda: ops.tensordot(a, b, 1), lambda: np.tensordot(A, B, 1)),
    "tensordot_axes": (lambda: ops.tensordot(a, a, ((0, 1), (0, 1))), lambda: np.tensordot(A, A, ((0, 1), (0, 1)))),
    "var_mean": (lambda: ops.var_mean(a, 1), lambda: [A.var(1), A.mean(1)]),
    "std_mean": (lambda: ops.std_mean(a, 1, 1), lambda: [A.std(1, ddof=1), A.mean(1)]),
    "median": (lambda: ops.median(a, 0)[0], lambda: np.median(A, 0)),
    "quantile": (lambda: ops.quantile(a, [0.25, 0.5], 1), lambda: np.quantile(A, [0.25, 0.5], 1).astype(np.float32)),
    "unique": (lambda: ops.unique(i, return_inverse=True, return_counts=True),
               lambda: [v.reshape(I.shape) if k == 1 else v for k, v in enumerate(
                   np.unique(I, return_inverse=True, return_counts=True))]),
    "unique_consecutive": (lambda: ops.unique_consecutive(Tensor([1, 1, 2, 1])), lambda: np.array([1, 2, 1])),
    "masked_select": (lambda: ops.masked_select(a, a > 0), lambda: A[A > 0]),
    "bincount": (lambda: ops.bincount(i), lambda: np.bincount(I.ravel())),
    "bincount_weights": (lambda: ops.bincount(Tensor([0, 2, 2]), Tensor([1.0, 2.0, 4.0]), 5), lambda: np.array([1, 0, 6, 0, 0], np.float32)),
    "block_diag": (lambda: ops.block_diag(Tensor([[1, 2]]), Tensor([[3], [4]])), lambda: np.array([[1, 2, 0], [0, 0, 3], [0, 0, 4]])),
    "cartesian_prod": (lambda: ops.cartesian_prod(Tensor([1, 2]), Tensor([3, 4])), lambda: np.array([[1, 3], [1, 4], [2, 3], [2, 4]])),
    "unflatten": (lambda: ops.unflatten(a, 1, (2, -1)), lambda: A.reshape(3, 2, 2)),
    "tril_indices": (lambda: ops.tril_indices(3, 4, 1), lambda: np.stack(np.tril_indices(3, 1, 4))),
    "triu_indices": (lambda: ops.triu_indices(3, 4), lambda: np.stack(np.triu_indices(3, 0, 4))),
    "index_put": (lambda: ops.index_put(a, (Tensor([0, 2]), Tensor([1, 3])), 7.0), lambda: _put(A, ([0, 2], [1, 3]), 7)),
    "searchsorted": (lambda: ops.searchsorted(Tensor([1.0, 3.0, 5.0]), Tensor([0.0, 3.0, 9.0])), lambda: np.array([0, 1, 3])),
    "gcd": (lambda: ops.gcd(i, 6), lambda: np.gcd(I, 6)),
    "logaddexp": (lambda: ops.logaddexp(a, 0.5), lambda: np.logaddexp(A, np.float32(0.5))),
    "nan_to_num": (lambda: ops.nan_to_num(Tensor([np.nan, 1.0, np.inf]), posinf=3.0), lambda: np.array([0, 1, 3], np.float32)),
    "rot90": (lambda: ops.rot90(a), lambda: np.rot90(A)),
    "diagonal": (lambda: ops.diagonal(a, 1), lambda: np.diagonal(A, 1)),
    "kron": (lambda: ops.kron(a, b), lambda: np.kron(A, B)),
    "cumprod": (lambda: ops.cumprod(a, 1), lambda: np.cumprod(A, 1)),
    "scatter": (lambda: ops.scatter(a, 1, Tensor([[0], [2], [1]]), Tensor([[9.0], [8.0], [7.0]])),
                lambda: _put(A, ([0, 1, 2], [0, 2, 1]), [9, 8, 7])),
    "gather_nd": (lambda: ops.gather_nd(a, Tensor([[0, 1], [2, 3]])), lambda: A[[0, 2], [1, 3]]),
}


def _put(x, at, values):
    x = x.copy()
    x[at] = values
    return x


@pytest.mark.parametrize("name", CASES)
def test_function(name):
    ours, theirs = (f() for f in CASES[name])
    ours = ours if isinstance(ours, (tuple, list)) else [ours]
    theirs = theirs if isinstance(theirs, (tuple, list)) else [theirs]
    assert len(ours) == len(theirs)
    for x, y in zip(ours, theirs):
        assert x.shape == tuple(np.shape(y))
        np.testing.assert_allclose(x.asnumpy(), y, rtol=2e-5, atol=1e-6)


def test_allclose():
    assert ops.allclose(a, a + 1e-9)
    assert not ops.allclose(a, a + 1)


def test_errors():
    with pytest.raises(ValueError, match="negative"):
        ops.bincount(Tensor([-1, 2]))
    with pytest.raises(ValueError, match="dimensions"):
        ops.dropout2d(a)
    with pytest.raises(IndexError, match="out of range"):
        ops.gather_nd(a, Tensor([[0, 9]]))


def test_random_functions_repeat_with_the_seed():
    def draw():
        ms.set_seed(5)
        return [ops.multinomial(Tensor([0.2, 0.3, 0.5]), 20), ops.randperm(30), ops.random_gamma((2,), Tensor([1.0, 2.0])),
                ops.shuffle(a), ops.dropout2d(Tensor(np.ones((4, 5, 2, 2), np.float32))), ops.rrelu(a, training=True)]

    for x, y in zip(draw(), draw()):
        assert np.array_equal(x.asnumpy(), y.asnumpy())
