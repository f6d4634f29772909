# SPDX-License-Identifier: Apache-2.0
"""Order statistics, running extremes, counts and sums of products, by MindSpore's arguments."""

from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops.function._util import _axes, _errors, _tensor

_imported = set(globals())


def nanmean(input, axis=None, keepdims=False, *, dtype=None):
    """The mean without NaNs."""
    return _table.nanmean(input, axes=_axes(axis), keepdims=bool(keepdims), dtype=dtype)


def nansum(input, axis=None, keepdims=False, *, dtype=None):
    """The sum without NaNs."""
    y = _table.nansum(input, axes=_axes(axis), keepdims=bool(keepdims), dtype=dtype)
    return y.cast(input.dtype) if dtype is None and input.dtype.name.startswith(("int", "uint")) else y


def aminmax(input, *, axis=0, keepdims=False):
    """(smallest, largest) along an axis."""
    return _table.aminmax(input, axes=_axes(axis), keepdims=bool(keepdims))


def cummax(input, axis):
    """(running maximum, its place)"""
    return _table.cummax(input, axis=axis)


def cummin(input, axis):
    """(running minimum, its place in int32)"""
    values, places = _table.cummin(input, axis=axis)
    return values, places.cast("int32")


def cumprod(input, dim, dtype=None):
    """Running products."""
    return _table.cumprod(input if dtype is None else input.cast(dtype), axis=dim)


def diff(x, n=1, axis=-1, prepend=None, append=None):
    """Differences of neighbours, n times."""
    parts = [p for p in (prepend, x, append) if p is not None]
    return _table.diff(_table.concat(parts, axis=axis) if len(parts) > 1 else x, n=n, axis=axis)


def histc(input, bins=100, min=0.0, max=0.0):
    """Counts in equal bins between min and max (equal ones: of the data)."""
    if "int" in input.dtype.name:
        return _table.histc(input.cast("float64"), bins=bins, min=float(min), max=float(max)).cast(input.dtype)
    return _table.histc(input, bins=bins, min=float(min), max=float(max))


def cov(input, *, correction=1, fweights=None, aweights=None):
    """The covariance of rows, which are variables."""
    x = input.reshape(1, -1) if input.ndim < 2 else input
    n = x.shape[1]
    w = None
    for extra in (fweights, aweights):
        if extra is not None:
            w = extra.cast(x.dtype) if w is None else w * extra.cast(x.dtype)
    if w is None:
        d = x - _table.mean(x, (1,), True)
        y = _table.matmul(d, _table.transpose(d, (1, 0))) / float(max(n - correction, 0) or float("nan"))
    else:
        total = _table.sum(w)
        d = x - _table.sum(x * w, (1,), True) / total
        if aweights is None:
            factor = total - float(correction)
        else:
            factor = total - float(correction) * _table.sum(w * aweights.cast(x.dtype)) / total
        y = _table.matmul(d * w, _table.transpose(d, (1, 0))) / factor
    return y.reshape(()) if input.ndim < 2 else y


def trapz(y, x=None, *, dx=1.0, dim=-1):
    """The integral by trapezoids."""
    return _table.trapezoid(y, x, dx=float(dx), axis=dim)


def searchsorted(sorted_sequence, values, *, out_int32=False, right=False, side=None, sorter=None):
    """Where values belong in a sorted sequence."""
    if side not in (None, "left", "right"):
        raise _errors.ValueError(f"searchsorted: side is 'left' or 'right', got {side!r}")
    if sorter is not None:
        sorted_sequence = _table.take_along_axis(sorted_sequence, sorter, axis=-1)
    return _table.searchsorted(sorted_sequence, _tensor(values), right=bool(right) or side == "right", out_int32=bool(out_int32))


def bucketize(input, boundaries, *, right=False):
    """The bucket of each element between sorted boundaries."""
    bounds = boundaries if isinstance(boundaries, Tensor) else Tensor(list(boundaries), input.dtype)
    return _table.bucketize(input, bounds, right=bool(right), out_int32=True)


def msort(input):
    """Sorted along the first dimension."""
    return _table.sort(input, 0, False)[0]


def top_k(input_x, k, sorted=True):
    """(the k largest of the last dimension, their places)"""
    values, indices = _table.topk(input_x, k, -1, True)
    return values, indices.cast("int32")


def intopk(x1, x2, k):
    """Whether each class is among the k largest of its row."""
    picked = _table.take_along_axis(x1, x2.reshape(-1, 1).cast("int64"), axis=1)
    larger = _table.sum((x1 > picked).cast("int32"), (1,))
    return _table.logical_and(larger < k, _table.isfinite(picked.reshape(-1)))


# ---- Products

def tensor_dot(x1, x2, axes):
    """The product over the last `axes` dimensions of the first and the first of the second, or over given ones."""
    if isinstance(axes, int):
        a, b = tuple(range(x1.ndim - axes, x1.ndim)), tuple(range(axes))
    else:
        a, b = ((v,) if isinstance(v, int) else tuple(v) for v in axes)
    return _table.tensordot(x1, x2, axes_x=a, axes_y=b)


def _weighted(x, beta, y, alpha):
    """beta x + alpha y; with beta = 0 whatever x holds is left out."""
    y = y if alpha == 1 else y * alpha
    return y if beta == 0 else (x if beta == 1 else x * beta) + y


def addbmm(input, batch1, batch2, *, beta=1, alpha=1):
    """beta * input + alpha * the sum of batch1 @ batch2"""
    return _weighted(input, beta, _table.sum(_table.matmul(batch1, batch2), (0,)), alpha)


def addmv(input, mat, vec, *, beta=1, alpha=1):
    """beta * input + alpha * (mat @ vec)"""
    return _weighted(input, beta, _table.matmul(mat, vec), alpha)


def addr(x, vec1, vec2, *, beta=1, alpha=1):
    """beta * x + alpha * the outer product"""
    return _weighted(x, beta, vec1.reshape(-1, 1) * vec2.reshape(1, -1), alpha)


def vecdot(x, y, *, axis=-1):
    """The products of vectors along an axis, of the conjugates of complex x."""
    return _table.sum((_table.conj(x) if x.dtype.name.startswith("complex") else x) * y, (axis,))


def matrix_power(input, n):
    """A square matrix multiplied n times with itself."""
    if n < 0:
        raise _errors.UnsupportedError(f"matrix_power: n must not be negative, got {n}")
    if n == 0:
        eye = _table.eye(n=input.shape[-1], dtype=input.dtype)
        return _table.broadcast_to(eye, input.shape)
    result = None
    while n:
        if n & 1:
            result = input if result is None else _table.matmul(result, input)
        n >>= 1
        if n:
            input = _table.matmul(input, input)
    return result


def adjoint(x):
    """The last two dimensions exchanged, conjugated."""
    axes = tuple(range(x.ndim - 2)) + (x.ndim - 1, x.ndim - 2)
    y = _table.transpose(x, axes)
    return _table.conj(y) if x.dtype.name.startswith("complex") else y


def dist(input, other, p=2):
    """The p-norm of the difference."""
    d = _table.abs(input - other)
    if p == float("inf"):
        return _table.max(d)
    if p == float("-inf"):
        return _table.min(d)
    return _table.sum((d != 0).cast(d.dtype)) if p == 0 else _table.pow(_table.sum(_table.pow(d, float(p))), 1.0 / p)


def cdist(x1, x2, p=2.0):
    """The p-distance of each row of one to each of the other."""
    return _table.cdist(x1, x2, p=float(p))


def vander(x, N=None):
    """Powers of x as columns, the highest first."""
    return _table.vander(x, n=-1 if N is None else N)


def cross(input, other, dim=None):
    """Cross products along a dimension of 3 (None: the first such)."""
    if dim is None:
        dim = next((i for i, s in enumerate(input.shape) if s == 3), -1)
    return _table.cross(input, other, axis=dim)


def vector_norm(x, ord=2, axis=None, keepdims=False, *, dtype=None):
    """The norm of vectors: sum(|x|^ord)^(1/ord), the largest (inf), the smallest (-inf), how many are not zero (0)."""
    x = _table.abs(x if dtype is None else x.cast(dtype))
    a, k = _axes(axis), bool(keepdims)
    if ord == 2:
        return _table.norm(x, a, k)
    if ord in (float("inf"), float("-inf")):
        return (_table.max if ord > 0 else _table.min)(x, a, k)
    if ord == 0:
        return _table.sum((x != 0).cast(x.dtype), a, k)
    return _table.pow(_table.sum(_table.pow(x, float(ord)), a, k), 1.0 / ord)


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n not in _imported]
