# SPDX-License-Identifier: Apache-2.0
"""Linear algebra with SciPy's arguments, as mindspore.scipy.linalg has it. overwrite_* is taken and nothing is overwritten.

>>> from rutile import Tensor
>>> import rutile.scipy.linalg as sl
>>> sl.solve_triangular(Tensor([[2.0, 0.0], [1.0, 1.0]]), Tensor([2.0, 3.0]), lower=True).asnumpy().tolist()
[1.0, 2.0]
"""

from rutile import _rutile
from rutile import ops
from rutile._rutile import Tensor
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["block_diag", "cho_factor", "cho_solve", "cholesky", "det", "eigh", "inv", "lstsq", "lu", "lu_factor", "lu_solve",
           "solve_triangular"]


def _square(name, a, check_finite=False):
    if not isinstance(a, Tensor):
        raise _errors.TypeError(f"{name}: expects a Tensor, got {type(a).__name__}")
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise _errors.ValueError(f"{name}: expects square matrices, got {a.shape}")
    a = a if a.dtype.name.startswith(("float", "complex")) else a.cast("float64")
    return a


def _turned(x):
    return ops.conj(ops.swapaxes(x, -1, -2))


def block_diag(*arrs):
    """Matrices along the diagonal of a larger one."""
    return table.block_diag([ops.atleast_2d(a) for a in arrs]) if arrs else ops.zeros((1, 0))


def inv(a, overwrite_a=False, check_finite=True):
    """The inverse of a square matrix; RuntimeError where it is singular."""
    return ops.inverse(_square("inv", a))


def cholesky(a, lower=False, overwrite_a=False, check_finite=True):
    """The upper triangle U with a = U^H U, or the lower one L with a = L L^H."""
    return ops.cholesky(_square("cholesky", a), not lower)


def cho_factor(a, lower=False, overwrite_a=False, check_finite=True):
    """(the triangle of cholesky, lower), for cho_solve."""
    return cholesky(a, lower), lower


def cho_solve(c_and_lower, b, overwrite_b=False, check_finite=True):
    """The x of a x = b, from cho_factor(a)."""
    c, lower = c_and_lower
    if c.shape[-1] != b.shape[0 if b.ndim == 1 else -2]:
        raise _errors.ValueError(f"cho_solve: {c.shape} does not go with {b.shape}")
    return solve_triangular(c, solve_triangular(c, b, 0 if lower else 2, lower), 2 if lower else 0, lower)


def solve_triangular(a, b, trans=0, lower=False, unit_diagonal=False, overwrite_b=False, debug=None, check_finite=True):
    """The x of a x = b for a triangle a; trans 1 or "T": of a^T x = b, 2 or "C": of a^H x = b."""
    a = _square("solve_triangular", a)
    kinds = {0: 0, 1: 1, 2: 2, "N": 0, "T": 1, "C": 2}
    if trans not in kinds:
        raise _errors.ValueError(f"solve_triangular: trans is 0, 1, 2, 'N', 'T' or 'C', got {trans!r}")
    if kinds[trans] == 2 and a.dtype.name.startswith("complex"):
        a = ops.conj(a)
    column = b.ndim == 1 and a.ndim == 2
    x = table.solve_triangular(a, b.reshape(-1, 1) if column else b, upper=not lower, transpose=kinds[trans] != 0, unitriangular=bool(unit_diagonal))
    return x.reshape(-1) if column else x


def eigh(a, b=None, lower=True, eigvals_only=False, overwrite_a=False, overwrite_b=False, turbo=True, eigvals=None, type=1, check_finite=True):
    """(eigenvalues, eigenvectors as columns) of a symmetric or Hermitian matrix, of which one triangle is read."""
    a = _square("eigh", a)
    if b is not None or eigvals is not None or type != 1:
        raise _errors.ValueError("eigh: b, eigvals and type other than 1 are not supported")
    half = ops.tril(a, -1) if lower else ops.triu(a, 1)
    whole = half + _turned(half) + a * table.eye(a.shape[-1], a.shape[-1], "float32").cast(a.dtype)
    if eigvals_only:
        return table.eigvalsh(whole)
    return tuple(table.eigh(whole))


def lu_factor(a, overwrite_a=False, check_finite=True):
    """(L below and U on and above the diagonal, the rows exchanged, int32)."""
    lu, pivots = table.lu_factor(_square("lu_factor", a))
    return lu, (pivots - 1).cast("int32")


def lu(a, permute_l=False, overwrite_a=False, check_finite=True):
    """(P in int32, L, U) with a = P L U; permute_l: (P L, U)."""
    factors, pivots = table.lu_factor(_square("lu", a))
    p, low, up = ops.lu_unpack(factors, pivots)
    return (table.matmul(p, low), up) if permute_l else (p.cast("int32"), low, up)


def lu_solve(lu_and_piv, b, trans=0, overwrite_b=False, check_finite=True):
    """The x of a x = b, from lu_factor(a); trans 1 or "T": of a^T x = b, 2 or "C": of a^H x = b."""
    factors, rows = lu_and_piv
    if factors.shape[-1] != b.shape[0 if b.ndim == 1 else -2]:
        raise _errors.ValueError(f"lu_solve: {factors.shape} does not go with {b.shape}")
    p, low, up = ops.lu_unpack(factors, rows.cast("int32") + 1)
    x = b.reshape(-1, 1) if b.ndim == 1 else b
    if trans in (0, "N"):
        x = solve_triangular(low, table.matmul(ops.swapaxes(p, -1, -2), x), 0, True, True)
        x = solve_triangular(up, x)
    else:
        x = solve_triangular(low, solve_triangular(up, x, trans), trans, True, True)
        x = table.matmul(p, x)
    return x.reshape(-1) if b.ndim == 1 else x


def det(a, overwrite_a=False, check_finite=True):
    """The determinant of a square matrix."""
    return ops.det(_square("det", a))


def lstsq(A, B, rcond=None, driver=None):
    """(the x of the smallest |A x - B|, the sums of squares left, the rank, singular values)."""
    import numpy as np
    if A.ndim < 2:
        raise _errors.ValueError(f"lstsq: expects a matrix, got {A.shape}")
    x, rest, rank, values = np.linalg.lstsq(A.asnumpy(), B.asnumpy(), rcond=rcond)
    return tuple(Tensor(np.asarray(v)) for v in (x, rest, np.int64(rank), values))
