# SPDX-License-Identifier: Apache-2.0
"""Matrices and their diagonals, distances and norms."""

import builtins as _b

from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops.function._util import _axis, _errors, _tensor

_imported = set(globals())


def matrix_solve(matrix, rhs, adjoint=False):
    """X with matrix @ X = rhs, with the matrix transposed for adjoint."""
    if adjoint:
        matrix = _table.transpose(matrix, (*_b.range(matrix.ndim - 2), matrix.ndim - 1, matrix.ndim - 2))
    return _table.solve(matrix, rhs)


def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True):
    """(P, L, U) of what a factorisation with exchanged rows gives in one matrix; pivots count from 1.

    Without unpack_data L and U are empty tensors, without unpack_pivots P is.
    """
    n, m = LU_data.shape[-2:]
    k = _b.min(n, m)
    none = _table.full((0,), 0, LU_data.dtype)
    p = l = u = none
    if unpack_data:
        l = _table.tril(LU_data[..., :, :k], -1) + _table.eye(n, k, "float32").cast(LU_data.dtype)
        u = _table.triu(LU_data[..., :k, :], 0)
    if unpack_pivots:
        p = _permutation(LU_pivots, n).cast(LU_data.dtype)
    return p, l, u


def _permutation(pivots, n):
    """P with A = P L U of the exchanges of rows, counted from 1."""
    order = _table.broadcast_to(_table.arange(0, n, 1, "int64"), (*pivots.shape[:-1], n))
    pivots = pivots.cast("int64") - 1
    at = _table.arange(0, n, 1, "int64")
    for i in _b.range(pivots.shape[-1]):
        j = pivots[..., i:i + 1]
        first, second = order[..., i:i + 1], _table.take_along_axis(order, j, axis=-1)
        order = _table.where(at == j, first, _table.where(at == i, second, order))
    return order.reshape(*order.shape[:-1], 1, n) == at.reshape(n, 1)


def batch_dot(x1, x2, axes=None):
    """Products of samples: the sum over one axis of each, the first dimension is that of the samples."""
    if axes is None:
        axes = (x1.ndim - 1, x2.ndim - 2 if x2.ndim > 2 else x2.ndim - 1)
    axes = (axes, axes) if isinstance(axes, int) else tuple(axes)
    a, b = _axis(axes[0], x1.ndim), _axis(axes[1], x2.ndim)
    if a == 0 or b == 0:
        raise _errors.ValueError("batch_dot: the first dimension is that of the samples, not one to sum over")
    if x1.shape[0] != x2.shape[0] or x1.shape[a] != x2.shape[b]:
        raise _errors.ValueError(f"batch_dot: shapes {x1.shape} and {x2.shape} do not fit along axes {axes}")
    letters = "bcdefghijklmno"
    left = ["a", *letters[:x1.ndim - 1]]
    right = ["a", *letters[x1.ndim - 1:x1.ndim + x2.ndim - 2]]
    left[a] = right[b] = "z"
    out = [v for v in left if v != "z"] + [v for v in right[1:] if v != "z"]
    y = _table.einsum([x1, x2], equation=f"{''.join(left)},{''.join(right)}->{''.join(out)}")
    return y.reshape(-1, 1) if y.ndim == 1 else y


def bidense(input1, input2, weight, bias=None):
    """y[.., o] = sum over i, j of input1[.., i] * weight[o, i, j] * input2[.., j], plus bias"""
    lead = input1.shape[:-1]
    y = _table.einsum([input1.reshape(-1, input1.shape[-1]), weight, input2.reshape(-1, input2.shape[-1])], equation="ni,oij,nj->no")
    y = y.reshape(*lead, weight.shape[0])
    return y if bias is None else y + bias


def pdist(input, p=2.0):
    """The p-distances of all pairs of rows: those of row 0 first."""
    n = input.shape[-2]
    first = [i for i in _b.range(n) for _ in _b.range(i + 1, n)]
    second = [j for i in _b.range(n) for j in _b.range(i + 1, n)]
    if not first:
        return _table.full((*input.shape[:-2], 0), 0, input.dtype)
    axis = input.ndim - 2
    d = _table.gather(input, Tensor(first, "int64"), axis=axis) - _table.gather(input, Tensor(second, "int64"), axis=axis)
    return _table.vector_norm(d, ord=float(p), axes=-1)


def renorm(input, p, axis, maxnorm):
    """Slices along an axis scaled down to a p-norm of at most maxnorm."""
    at = _axis(axis, input.ndim)
    rest = tuple(i for i in _b.range(input.ndim) if i != at)
    norm = _table.vector_norm(input, ord=float(p), axes=rest, keepdims=True)
    return input * _table.where(norm > maxnorm, maxnorm / (norm + 1e-7), _table.full((), 1, norm.dtype))


def add_layer_norm(x1, x2, gamma, beta, epsilon=1e-05, additional_output=False):
    """(layer_norm(x1 + x2), mean, 1 / deviation, x1 + x2 with additional_output, else zeros)"""
    total = x1 + x2
    y, mean, rstd = _table.layer_norm(total, gamma, beta, axes=gamma.ndim, eps=epsilon)
    lead = total.shape[:total.ndim - gamma.ndim] + (1,) * gamma.ndim
    return y, mean.reshape(lead), rstd.reshape(lead), total if additional_output else total * 0


def add_rms_norm(x1, x2, gamma, epsilon=1e-06):
    """(rms_norm(x1 + x2), 1 / root of the mean square, x1 + x2)"""
    from rutile.ops.function.spatial import rms_norm
    total = x1 + x2
    return (*rms_norm(total, gamma, epsilon), total)


def rotary_position_embedding(x, cos, sin, mode=0):
    """x * cos + turned(x) * sin, where turned is the halves (mode 0) or neighbours (1) as (-second, first)."""
    n = x.shape[-1]
    if mode == 0:
        turned = _table.concat([-x[..., n // 2:], x[..., :n // 2]], axis=-1)
    elif mode == 1:
        pair = x.reshape(*x.shape[:-1], n // 2, 2)
        turned = _table.concat([-pair[..., 1:], pair[..., :1]], axis=-1).reshape(x.shape)
    else:
        raise _errors.ValueError(f"rotary_position_embedding: mode is 0 or 1, got {mode!r}")
    return x * cos + turned * sin


# ---- Bands of diagonals

_ALIGN = {"LEFT_RIGHT": (True, False), "LEFT_LEFT": (True, True), "RIGHT_LEFT": (False, True), "RIGHT_RIGHT": (False, False)}


def _number(v):
    return v.asnumpy().item() if isinstance(v, Tensor) else v


def _band(name, k, rows, cols, align):
    """(lowest, highest, [(diagonal, place in it, row, column)]) of a band, places counted as `align` has them."""
    ks = k.asnumpy().reshape(-1).tolist() if isinstance(k, Tensor) else [k] if isinstance(k, int) else list(k)
    low, high = (ks * 2)[:2] if len(ks) == 1 else ks
    if align not in _ALIGN:
        raise _errors.ValueError(f"{name}: align is one of {sorted(_ALIGN)}, got {align!r}")
    if low > high or not -rows < low <= high < cols and (rows, cols) != (0, 0):
        raise _errors.ValueError(f"{name}: diagonals {low} to {high} of a matrix [{rows}, {cols}]")
    sizes = {d: _b.min(rows + _b.min(d, 0), cols - _b.max(d, 0)) for d in _b.range(low, high + 1)}
    longest = _b.max(sizes.values())
    upper_left, lower_left = _ALIGN[align]
    places = []
    for d, size in sizes.items():
        left = upper_left if d > 0 else lower_left if d < 0 else (upper_left or lower_left)
        shift = 0 if left else longest - size
        places += [(high - d, i + shift, i - _b.min(d, 0), i + _b.max(d, 0)) for i in _b.range(size)]
    return low, high, longest, places


def matrix_diag(x, k=0, num_rows=-1, num_cols=-1, padding_value=0, align="RIGHT_LEFT"):
    """Matrices with x on diagonals: one (x's last dimension) or k[0] to k[1] (the last two, the highest first)."""
    import numpy as np
    ks = k.asnumpy().reshape(-1).tolist() if isinstance(k, Tensor) else [k] if isinstance(k, int) else list(k)
    low, high = ks[0], ks[-1]
    n = x.shape[-1]
    rows, cols = int(_number(num_rows)), int(_number(num_cols))
    least_rows, least_cols = n - _b.min(high, 0), n + _b.max(low, 0)
    if rows == -1 and cols == -1:
        rows = cols = _b.max(least_rows, least_cols)
    elif rows == -1:
        rows = least_rows
    elif cols == -1:
        cols = least_cols
    _, _, _, places = _band("matrix_diag", [low, high], rows, cols, align)
    bands = x if low != high else x.reshape(*x.shape[:-1], 1, n)
    index, inside = np.zeros((rows, cols), np.int64), np.zeros((rows, cols), bool)
    for d, i, r, c in places:
        index[r, c], inside[r, c] = d * n + i, True
    flat = bands.reshape(*bands.shape[:-2], -1)
    y = _table.gather(flat, Tensor(index), axis=flat.ndim - 1)
    return _table.where(Tensor(inside), y, _tensor(padding_value).cast(x.dtype))


def matrix_diag_part(x, k, padding_value, align="RIGHT_LEFT"):
    """The diagonals k[0] to k[1] of matrices as rows, the highest first; one diagonal as a vector."""
    import numpy as np
    rows, cols = x.shape[-2:]
    low, high, longest, places = _band("matrix_diag_part", k, rows, cols, align)
    index, inside = np.zeros((high - low + 1, longest), np.int64), np.zeros((high - low + 1, longest), bool)
    for d, i, r, c in places:
        index[d, i], inside[d, i] = r * cols + c, True
    flat = x.reshape(*x.shape[:-2], -1)
    y = _table.where(Tensor(inside), _table.gather(flat, Tensor(index), axis=flat.ndim - 1), _tensor(padding_value).cast(x.dtype))
    return y.reshape(*x.shape[:-2], longest) if low == high else y


def matrix_set_diag(x, diagonal, k=0, align="RIGHT_LEFT"):
    """Matrices with their diagonals k[0] to k[1] replaced by the rows of another tensor."""
    import numpy as np
    rows, cols = x.shape[-2:]
    low, high, longest, places = _band("matrix_set_diag", k, rows, cols, align)
    index, inside = np.zeros((rows, cols), np.int64), np.zeros((rows, cols), bool)
    for d, i, r, c in places:
        index[r, c], inside[r, c] = d * longest + i, True
    flat = diagonal.reshape(*x.shape[:-2], -1)
    return _table.where(Tensor(inside), _table.gather(flat, Tensor(index), axis=flat.ndim - 1), x)


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n not in _imported]
