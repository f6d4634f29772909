# SPDX-License-Identifier: Apache-2.0
"""Matrices under PyTorch's names, as mindspore.mint.linalg has them.

>>> from rutile import Tensor, mint
>>> mint.linalg.vector_norm(Tensor([3.0, 4.0])).item()
5.0
"""

from rutile import ops as _ops

__all__ = ["inv", "matrix_norm", "norm", "qr", "vector_norm"]


def inv(input):
    """The inverse of square matrices [..., n, n]; RuntimeError where one is singular."""
    return _ops.inverse(input)


def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None):
    """(sum |x|^ord)^(1 / ord) over dimensions (None: all)."""
    return _ops.vector_norm(x, ord, dim, keepdim, dtype=dtype)


def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None):
    """The norm of matrices: "fro", "nuc", inf, -inf, 1, -1, 2 or -2."""
    return _ops.matrix_norm(A, ord, dim, keepdim, dtype=dtype)


def norm(A, ord=None, dim=None, keepdim=False, *, dtype=None):
    """A vector's norm where one dimension is meant, a matrix's where two are."""
    return _ops.norm(A, ord, dim, keepdim, dtype=dtype)


def qr(A, mode="reduced"):
    """(Q, R) with A = Q R; mode "reduced", "complete" or "r" (Q is empty then)."""
    if mode == "r":
        r = _ops.qr(A, "reduced")[1]
        return _ops.zeros((0,), A.dtype), r
    return _ops.qr(A, mode)
