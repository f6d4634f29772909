# SPDX-License-Identifier: Apache-2.0
"""Householder factors, eigenvalues, stft, betainc, ctc_loss; rutile.scipy.linalg, rutile.numpy.fft; generators."""

import numpy as np
import pytest

import rutile as ms
import rutile.numpy as rnp
import rutile.scipy.linalg as sl
from rutile import Tensor, errors, mint, ops
from rutile.ops import operations as P

RNG = np.random.RandomState(2)


def near(got, want, tol=1e-9):
    np.testing.assert_allclose(got.asnumpy(), want, rtol=tol, atol=tol)


@pytest.mark.parametrize("complex_", (False, True))
def test_householder_factors(complex_):
    a = RNG.randn(2, 5, 3) + (1j * RNG.randn(2, 5, 3) if complex_ else 0)
    h, tau = P.Geqrf()(Tensor(a))
    q = P.Orgqr()(h, tau)
    near(ops.matmul(q, Tensor(np.triu(h.asnumpy()[:, :3]))), a)
    near(ops.matmul(ops.adjoint(q), q), np.broadcast_to(np.eye(3), (2, 3, 3)))
    whole = np.linalg.qr(a[0], mode="complete")[0]
    other = RNG.randn(5, 4) + (1j * RNG.randn(5, 4) if complex_ else 0)
    near(P.Ormqr()(h[0], tau[0], Tensor(other)), whole @ other)
    near(ops.ormqr(h[0], tau[0], Tensor(other), transpose=True), whole.conj().T @ other)
    near(ops.ormqr(h[0], tau[0], Tensor(other.T.copy()), left=False), other.T @ whole)
    near(ops.ormqr(h[0], tau[0], Tensor(other.T.copy()), False, True), other.T @ whole.conj().T)
    for wrong in (lambda: ops.orgqr(h[:, :2], tau), lambda: ops.geqrf(tau[0]), lambda: ops.ormqr(h[0], tau[0], Tensor(other[:4]))):
        with pytest.raises(errors.ValueError):
            wrong()


def test_orgqr_has_a_gradient():
    h, tau = ops.geqrf(Tensor(RNG.randn(4, 2)))
    w = RNG.randn(4, 2)
    f = lambda h: (ops.orgqr(h, tau) * Tensor(w)).sum()
    g, eps = ms.grad(f)(h).asnumpy(), 1e-6
    for i, j in ((1, 0), (3, 1), (2, 1)):
        d = np.zeros((4, 2))
        d[i, j] = eps
        assert abs((float(f(h + Tensor(d))) - float(f(h - Tensor(d)))) / (2 * eps) - g[i, j]) < 1e-6


def test_eigenvalues_of_general_matrices():
    a = RNG.randn(3, 4, 4)
    values, vectors = P.Eig(True)(Tensor(a))
    near(ops.matmul(Tensor(a.astype(complex)), vectors), values.asnumpy()[:, None] * vectors.asnumpy())
    near(ops.eigvals(Tensor(a)), values.asnumpy())
    assert ops.eigvals(Tensor(a.astype(np.float32))).dtype == ms.complex64
    x = np.array([[2.0, 1.0], [0.0, 3.0]]) + 0j
    y = P.MatrixLogarithm()(Tensor(x)).asnumpy()
    w, v = np.linalg.eig(y)
    np.testing.assert_allclose((v * np.exp(w)) @ np.linalg.inv(v), x, atol=1e-9)


def test_short_time_fourier_transform():
    x, window = RNG.randn(2, 40), np.hanning(6)
    padded = np.pad(x, ((0, 0), (4, 4)), mode="reflect")
    frames = np.stack([padded[:, i:i + 8] * np.pad(window, 1) for i in range(0, 41, 3)], 2)
    near(ops.stft(Tensor(x), 8, 3, 6, Tensor(window), return_complex=True), np.fft.rfft(frames, axis=1))
    y = ops.stft(Tensor(x[0]), 8, center=False, normalized=True)
    assert y.shape == (5, 17, 2)
    near(y[..., 0], np.real(np.fft.rfft(np.stack([x[0, i:i + 8] for i in range(0, 33, 2)], 1), axis=0)) / np.sqrt(8))
    near(P.STFT(8, 2, 8, False, True, True)(Tensor(x), Tensor(np.ones(8))), np.fft.rfft(np.stack([x[:, i:i + 8] for i in range(0, 33, 2)], 2), axis=1))
    with pytest.raises(errors.ValueError):
        ops.stft(Tensor(x), 8, win_length=9)


def test_incomplete_beta_function():
    # The binomial distribution: I_p(k, n - k + 1) is the chance of at least k of n.
    from math import comb
    for n, k, p in ((5, 2, 0.3), (40, 35, 0.9), (300, 120, 0.42)):
        want = sum(comb(n, i) * p ** i * (1 - p) ** (n - i) for i in range(k, n + 1))
        near(P.Betainc()(*(Tensor(np.array([v], np.float64)) for v in (k, n - k + 1, p))), [want], 1e-11)
    edges = ops.betainc(Tensor([1.0, 1.0, 1.0, -1.0]), Tensor([2.0] * 4), Tensor([0.0, 1.0, 1.5, 0.5])).asnumpy()
    assert edges[:2].tolist() == [0, 1] and np.isnan(edges[2:]).all()
    near(ms.grad(lambda x: ops.betainc(Tensor([2.0]), Tensor([3.0]), x))(Tensor([0.3])), [12 * 0.3 * 0.49], 1e-5)


def test_ctc_loss_gives_the_chances_of_beginnings():
    logs = np.log(RNG.dirichlet(np.ones(5), (7, 3)))
    steps, lengths = (7, 6, 7), (3, 2, 3)
    loss, alpha = ops.ctc_loss(Tensor(logs), Tensor([[1, 2, 2], [3, 1, 0], [4, 4, 4]]), Tensor(steps), Tensor(lengths), reduction="none")
    assert alpha.shape == (3, 7, 7)
    a = alpha.asnumpy()
    near(loss, [-np.logaddexp(a[i, t - 1, 2 * n], a[i, t - 1, 2 * n - 1]) for i, (t, n) in enumerate(zip(steps, lengths))])
    mean = ops.ctc_loss(Tensor(logs), Tensor([[1, 2, 2], [3, 1, 0], [4, 4, 4]]), steps, lengths)[0]
    near(mean, (loss.asnumpy() / lengths).mean())
    near(P.CTCLossV2()(Tensor(logs), Tensor([[1, 2, 2], [3, 1, 0], [4, 4, 4]]), Tensor(steps), Tensor(lengths))[0], loss.asnumpy())


def test_scipys_linear_algebra():
    a = RNG.randn(4, 4)
    s = a @ a.T + np.eye(4)
    for lower in (False, True):
        near(sl.cho_solve(sl.cho_factor(Tensor(s), lower), Tensor(a)), np.linalg.solve(s, a))
        near(sl.cho_solve(sl.cho_factor(Tensor(s), lower), Tensor(a[:, 0].copy())), np.linalg.solve(s, a[:, 0]))
    p, low, up = sl.lu(Tensor(a))
    near(p @ low @ up, a)
    near(sl.inv(Tensor(a)) @ Tensor(a), np.eye(4))
    w, v = sl.eigh(Tensor(np.tril(s)))
    near(ops.matmul(v * w, ops.adjoint(v)), s)
    near(sl.eigh(Tensor(np.triu(s)), lower=False, eigvals_only=True), np.linalg.eigvalsh(s))
    triangle = np.tril(s)
    for trans, m in ((0, triangle), ("T", triangle.T), (2, triangle.T)):
        near(sl.solve_triangular(Tensor(triangle), Tensor(a), trans, lower=True), np.linalg.solve(m, a))
    near(sl.block_diag(Tensor([[1.0, 2.0]]), Tensor([3.0])), [[1, 2, 0], [0, 0, 3]])
    near(sl.lstsq(Tensor(a[:, :2].copy()), Tensor(a[:, 3].copy()))[0], np.linalg.lstsq(a[:, :2], a[:, 3], rcond=None)[0])
    with pytest.raises(errors.ValueError):
        sl.inv(Tensor(a[:2]))


def test_numpys_fourier_transforms():
    x = RNG.randn(3, 4, 6)
    for name in ("fft", "ifft", "rfft", "ihfft", "fft2", "rfft2", "fftn", "rfftn"):
        near(getattr(rnp.fft, name)(Tensor(x)), getattr(np.fft, name)(x))
    near(rnp.fft.fft(Tensor(x), 5, axis=1, norm="ortho"), np.fft.fft(x, 5, 1, "ortho"))
    near(rnp.fft.irfftn(Tensor(x + 0j), axes=(0, 1)), np.fft.irfftn(x, axes=(0, 1)))
    near(rnp.fft.fftshift(Tensor(x), axes=(1,)), np.fft.fftshift(x, 1))
    near(rnp.fft.rfftfreq(5, 0.5), np.fft.rfftfreq(5, 0.5), 1e-6)


def test_generators():
    g = ms.Generator().manual_seed(4)
    first, state = mint.rand(3, generator=g), g.get_state()
    second = mint.randn(3, generator=g)
    g.set_state(state)
    assert (second == mint.randn(3, generator=g)).all() and g.initial_seed() == 4
    assert (first == mint.rand(3, generator=g.manual_seed(4))).all()
    for draw in (lambda: mint.randint(0, 9, (20,), generator=g), lambda: mint.randperm(20, generator=g), lambda: ops.zeros(20).uniform_(generator=g),
                 lambda: ops.zeros(20).normal_(generator=g), lambda: mint.bernoulli(ops.full((20,), 0.5), generator=g),
                 lambda: mint.normal(0.0, 1.0, (20,), g), lambda: mint.multinomial(ops.ones(9), 5, generator=g)):
        g.manual_seed(1)
        one, other = draw(), draw()
        g.manual_seed(1)
        assert (one == draw()).all() and not (one == other).all()
    f = ms.jit(lambda x: x + mint.rand(3, generator=g))
    x = ops.zeros(3)
    g.manual_seed(6)
    values = [f(x).asnumpy().tolist() for _ in range(2)]
    g.manual_seed(6)
    assert values[0] != values[1] and [f(x).asnumpy().tolist() for _ in range(2)] == values
    ms.manual_seed(7)
    one, state = ops.rand(3), ms.get_rng_state()
    two = ops.rand(3)
    ms.set_rng_state(state)
    assert (two == ops.rand(3)).all() and ms.initial_seed() == 7
    ms.set_seed(7)
    assert (one == ops.rand(3)).all()
    assert (ops.rand(3, seed=3) == ops.rand(3, seed=3)).all() and (ops.randint(0, 99, (5,), seed=1) == ops.randint(0, 99, (5,), seed=1)).all()
    with pytest.raises(errors.TypeError):
        g.manual_seed(1.5)
