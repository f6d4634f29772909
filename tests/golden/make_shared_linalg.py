# SPDX-License-Identifier: Apache-2.0
"""Writes shared_linalg.json: decompositions, solves, norms and functions of matrices (needs torch)."""

import numpy as np
import torch
from shared_ops import SharedOps, complexes, real, values

L = torch.linalg
ops = SharedOps("linalg")
rng = np.random.default_rng(7)


def regular(*shape):
    return values(rng.uniform(-1, 1, shape) + 3 * np.eye(shape[-2], shape[-1]) * np.where(np.arange(shape[-1]) % 2, -1, 1))


def positive(*shape):
    x = rng.uniform(-0.3, 0.3, shape)
    return values(x + np.swapaxes(x, -1, -2) + np.diag(2.0 * np.arange(1, shape[-1] + 1)))


def signed(u, *others):
    """Turns vectors as Rutile does: the element of largest magnitude of each column of u is positive."""
    at = u.detach().abs().argmax(-2, keepdim=True)
    sign = u.detach().gather(-2, at).sign()
    return (u * sign, *(o * (sign if along == "columns" else sign.mT) for o, along in others))


for upper in (False, True):
    ops.case("cholesky", lambda x, u=upper: L.cholesky(x, upper=u), [positive(2, 4, 4)], upper=upper)
    ops.case("eigvalsh", lambda x, u=upper: L.eigvalsh(x, UPLO="U" if u else "L"), [positive(2, 4, 4)], upper=upper)
    ops.case("cholesky_solve", lambda b, f, u=upper: torch.cholesky_solve(b, f, u), [real(2, 3, 2), regular(2, 3, 3)],
             gradient=False, upper=upper)
    for transpose in (False, True):
        for unit in (False, True):
            ops.case("solve_triangular",
                     lambda a, b, u=upper, t=transpose, n=unit: L.solve_triangular(
                         a.mT if t else a, b, upper=u != t, unitriangular=n),
                     [regular(2, 3, 3), real(2, 3, 2)], upper=upper, transpose=transpose, unitriangular=unit)


def eigh(x):
    w, v = L.eigh(x)
    return w, signed(v)[0]


def svd(x, full):
    u, s, vh = L.svd(x, full_matrices=full)
    u, vh = signed(u, (vh, "rows"))
    return u, s, vh


ops.case("eigh", eigh, [positive(2, 4, 4)])
ops.case("svd", lambda x: svd(x, False), [regular(2, 5, 3)], full_matrices=False)
ops.case("svd", lambda x: svd(x, False), [regular(3, 5)], full_matrices=False)
ops.case("svd", lambda x: svd(x, True), [positive(4, 4)], full_matrices=True)
ops.case("svdvals", L.svdvals, [regular(2, 5, 3)])
ops.case("qr", L.qr, [regular(2, 5, 3)])
ops.case("qr", L.qr, [regular(3, 5)])
ops.case("qr", L.qr, [regular(4, 4)])
ops.case("qr", lambda x: L.qr(x, mode="complete"), [regular(5, 3)], gradient=False, complete=True)
ops.case("lu_factor", L.lu_factor, [regular(2, 4, 4)])
ops.case("lu_factor", L.lu_factor, [regular(5, 3)], gradient=False)
ops.case("lu", L.lu, [regular(2, 4, 4)])
ops.case("lu", L.lu, [regular(3, 5)], gradient=False)
ops.case("inverse", L.inv, [regular(2, 4, 4)])
ops.case("solve", L.solve, [regular(2, 3, 3), real(2, 3, 2)])
ops.case("solve", L.solve, [regular(2, 3, 3), real(2, 3)])
ops.case("solve", L.solve, [regular(2, 3, 3), real(3)])
ops.case("solve", L.solve, [regular(3, 3), real(2, 3, 4)])
ops.case("pinv", L.pinv, [regular(2, 5, 3)])
ops.case("pinv", L.pinv, [regular(3, 5)])
ops.case("pinv", L.pinv, [values([[1.0, 2, 3], [2, 4, 6], [1, 0, 1]])])
ops.case("lstsq", lambda a, b: L.lstsq(a, b).solution, [regular(2, 5, 3), real(2, 5, 2)])
ops.case("det", L.det, [regular(2, 4, 4)])
ops.case("det", L.det, [values([[1.0, 2, 3], [2, 4, 6], [1, 0, 1]])], gradient=False)
ops.case("slogdet", L.slogdet, [regular(2, 4, 4)])
ops.case("logdet", torch.logdet, [positive(2, 4, 4)])
ops.case("matrix_rank", L.matrix_rank, [values([[1.0, 2, 3], [2, 4, 6], [1, 0, 1]])], gradient=False)
for order in (2.0, 1.0, 3.0, 0.5, -1.0, float("inf"), -float("inf")):
    ops.case("vector_norm", lambda x, o=order: L.vector_norm(x, o, dim=1), [real(3, 5)], ord=order, axes=[1])
ops.case("vector_norm", lambda x: L.vector_norm(x, 0), [values([[1.0, 0.0], [2.0, 0.0]])], gradient=False, ord=0.0)
ops.case("vector_norm", lambda x: L.vector_norm(x, 3, dim=1), [values([[0.0, 0.0], [2.0, -1.0]])], ord=3.0, axes=[1])
for order in ("fro", "nuc", "inf", "-inf", "1", "-1", "2", "-2"):
    number = order if order in ("fro", "nuc") else float(order)
    ops.case("matrix_norm", lambda x, o=number: L.matrix_norm(x, o), [regular(2, 4, 3)], ord=order)
    ops.case("linalg_cond", lambda x, o=number: L.cond(x, o), [regular(2, 3, 3)], gradient=order in ("2", "-2"), p=order)
for n in (0, 1, 2, 5, -1, -3):
    ops.case("matrix_power", lambda x, n=n: L.matrix_power(x, n), [regular(2, 3, 3)], gradient=n != 0, n=n)
ops.case("matrix_exp", L.matrix_exp, [real(2, 3, 3)])
ops.case("matrix_exp", L.matrix_exp, [real(4, 4, bound=6.0)])
ops.case("multi_dot", lambda *x: L.multi_dot(x), [real(3, 5), real(5, 2), real(2, 7), real(7, 4)])
ops.case("multi_dot", lambda *x: L.multi_dot(x), [real(5), real(5, 2), real(2)])

# Complex matrices. Vectors are turned so that the element of largest magnitude is real and positive.
def z(*shape):
    x = rng.uniform(-1, 1, shape) + 1j * rng.uniform(-1, 1, shape)
    return values(x + (3 + 1j) * np.eye(shape[-2], shape[-1]), "complex128")


def hermitian(*shape):
    x = 0.3 * (rng.uniform(-1, 1, shape) + 1j * rng.uniform(-1, 1, shape))
    return values(x + np.conj(np.swapaxes(x, -1, -2)) + np.diag(2.0 * np.arange(1, shape[-1] + 1)), "complex128")


def phase(u):
    peak = u.gather(-2, u.detach().abs().argmax(-2, keepdim=True))
    return peak.conj() / peak.abs()


def turned_svd(x):
    u, s, vh = L.svd(x, full_matrices=False)
    return u * phase(u), s, vh * phase(u).mT.conj()


def turned_eigh(x):
    w, v = L.eigh(x)
    return w, v * phase(v)


def sorted_eig(x):
    w, v = L.eig(x)
    order = w.detach().real.argsort(-1)
    v = v.gather(-1, order.unsqueeze(-2).expand(v.shape))
    return w.gather(-1, order), v * phase(v)


for upper in (False, True):
    ops.case("cholesky", lambda x, u=upper: L.cholesky(x, upper=u), [hermitian(2, 4, 4)], upper=upper)
    ops.case("cholesky_solve", lambda b, f, u=upper: torch.cholesky_solve(b, f, u), [complexes(2, 3, 2), z(2, 3, 3)], gradient=False,
             upper=upper)
    ops.case("solve_triangular", lambda a, b, u=upper: L.solve_triangular(a, b, upper=u), [z(2, 3, 3), complexes(2, 3, 2)], upper=upper)
ops.case("eigh", turned_eigh, [hermitian(2, 4, 4)])
ops.case("eigvalsh", L.eigvalsh, [hermitian(2, 4, 4)])
ops.case("eig", sorted_eig, [z(2, 4, 4)])
ops.case("eigvals", lambda x: sorted_eig(x)[0], [z(2, 4, 4)])
for shape in ((2, 4, 4), (5, 3), (3, 5)):
    ops.case("svd", turned_svd, [z(*shape)], full_matrices=False)
    ops.case("qr", L.qr, [z(*shape)])
    ops.case("pinv", L.pinv, [z(*shape)])
ops.case("svdvals", L.svdvals, [z(2, 5, 3)])
ops.case("inverse", L.inv, [z(2, 4, 4)])
ops.case("solve", L.solve, [z(2, 3, 3), complexes(2, 3, 2)])
ops.case("solve", L.solve, [z(2, 3, 3), complexes(2, 3)])
ops.case("lstsq", lambda a, b: L.lstsq(a, b).solution, [z(2, 5, 3), complexes(2, 5, 2)])
ops.case("det", L.det, [z(2, 4, 4)])
ops.case("slogdet", L.slogdet, [z(2, 4, 4)])
ops.case("logdet", torch.logdet, [z(2, 4, 4)])
ops.case("matrix_exp", L.matrix_exp, [complexes(2, 3, 3)])
ops.case("matrix_power", lambda x: L.matrix_power(x, -3), [z(2, 3, 3)], n=-3)
for order in ("fro", "nuc", "inf", "-1", "2"):
    ops.case("matrix_norm", lambda x, o=order if order in ("fro", "nuc") else float(order): L.matrix_norm(x, o), [z(2, 4, 3)], ord=order)
for order in (2.0, 1.0, 3.0):
    ops.case("vector_norm", lambda x, o=order: L.vector_norm(x, o, dim=1), [complexes(3, 5)], ord=order, axes=[1])
ops.case("householder_product", L.householder_product, [complexes(2, 5, 3), complexes(2, 3)])
ops.case("householder_product", L.householder_product, [real(5, 3), real(2)])
ops.write()
