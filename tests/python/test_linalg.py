# SPDX-License-Identifier: Apache-2.0
"""Linear algebra against NumPy's, and errors that name the matrix."""
import numpy as np
import pytest
import rutile
from rutile.ops import table as ops

RNG = np.random.default_rng(3)
X = RNG.standard_normal((2, 4, 4))
TALL = RNG.standard_normal((2, 5, 3))
S = X @ X.swapaxes(-1, -2) + np.eye(4)


def tensor(x):
    return rutile.Tensor(np.ascontiguousarray(x))


def close(got, want):
    np.testing.assert_allclose(got.asnumpy(), want, rtol=1e-10, atol=1e-12)


def test_factors_and_solutions_are_those_of_numpy():
    close(ops.cholesky(tensor(S)), np.linalg.cholesky(S))
    close(ops.inverse(tensor(X)), np.linalg.inv(X))
    close(ops.solve(tensor(X), tensor(X[:, :, :2])), np.linalg.solve(X, X[:, :, :2]))
    close(ops.det(tensor(X)), np.linalg.det(X))
    close(ops.eigvalsh(tensor(S)), np.linalg.eigvalsh(S))
    close(ops.svdvals(tensor(TALL)), np.linalg.svd(TALL, compute_uv=False))
    close(ops.pinv(tensor(TALL)), np.linalg.pinv(TALL))
    close(ops.matrix_power(tensor(X), n=3), np.linalg.matrix_power(X, 3))
    for order in ("fro", "nuc"):
        close(ops.matrix_norm(tensor(TALL), ord=order), np.linalg.norm(TALL, order, axis=(1, 2)))
    q, r = ops.qr(tensor(TALL))
    close(ops.matmul(q, r), TALL)
    w, v = ops.eigh(tensor(S))
    close(ops.matmul(tensor(S), v), v.asnumpy() * w.asnumpy()[:, None])


def test_errors_name_the_matrix():
    singular = X.copy()
    singular[1] = 0
    with pytest.raises(ValueError, match="matrix 1 of the batch is singular"):
        ops.inverse(tensor(singular))
    with pytest.raises(ValueError, match="not positive definite"):
        ops.cholesky(tensor(-S))
    with pytest.raises(TypeError, match="expects f32, f64 or complex numbers"):
        ops.det(tensor(X.astype(np.float16)))


def test_gradients_by_equal_and_complex_eigenvalues():
    """Of a circulant matrix: complex eigenvalues, and equal singular ones."""
    c = np.stack([np.roll([1.0, 2.0, 0.5, -0.7], i) for i in range(4)])
    weights = RNG.standard_normal((4, 4))

    def rebuilt(x):
        w, v = ops.eig(x)
        return ops.sum(ops.real(ops.matmul(v * ops.exp(w).reshape(1, 4), ops.inverse(v))) * tensor(weights))

    cases = [(c, lambda x: ops.sum(ops.abs(ops.eig(x)[0]))), (c, rebuilt), (c, lambda x: ops.sum(ops.exp(ops.svd(x)[1]))),
             (c, lambda x: ops.sum(ops.exp(ops.svdvals(x)))), ((c + c.T) / 2, lambda x: ops.sum(ops.exp(ops.eigh((x + ops.transpose(x)) * 0.5)[0])))]
    for x, f in cases:
        want = np.zeros_like(x)
        for i in np.ndindex(x.shape):
            step = np.zeros_like(x)
            step[i] = 1e-6
            want[i] = (float(f(tensor(x + step))) - float(f(tensor(x - step)))) / 2e-6
        np.testing.assert_allclose(rutile.grad(f)(tensor(x)).asnumpy(), want, rtol=1e-5, atol=1e-6)
