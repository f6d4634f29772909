# SPDX-License-Identifier: Apache-2.0
"""Sums, order, statistics, products and searches."""

import builtins as _b

from rutile import ops as _ops
from rutile._rutile import Tensor as _Tensor
from rutile._rutile import ops as _table
from rutile.numpy import _util as _u

_imported = set(globals())


def _extreme(name, op, join):
    def function(a, axis=None, keepdims=False, initial=None, where=True):
        a = _u.tensor(a)
        if where is not True:
            if initial is None:
                raise _u.errors.ValueError(f"{name}: where goes with initial")
            a = _ops.where(_u.tensor(where), a, _table.full((), initial, a.dtype))
        y = op(a, _u.axes(axis), bool(keepdims))
        return y if initial is None else join(y, _Tensor(initial, y.dtype))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The {'largest' if 'max' in name else 'smallest'} over axes."
    return function


amax, amin = _extreme("amax", _table.max, _table.maximum), _extreme("amin", _table.min, _table.minimum)
max, min = _extreme("max", _table.max, _table.maximum), _extreme("min", _table.min, _table.minimum)


def sum(a, axis=None, dtype=None, keepdims=False, initial=None):
    """The sum over axes."""
    y = _table.sum(_u.cast(_u.tensor(a), dtype), _u.axes(axis), bool(keepdims))
    return y if initial is None else y + initial


def mean(a, axis=None, keepdims=False, dtype=None):
    """The mean over axes."""
    return _u.cast(_table.mean(_u.floating(a), _u.axes(axis), bool(keepdims)), dtype)


def average(x, axis=None, weights=None, returned=False):
    """The mean with weights; returned: also the sum of the weights."""
    x = _u.floating(x)
    if weights is None:
        y = mean(x, axis)
        total = y * 0 + float(x.size) / float(_b.max(y.size, 1))
    else:
        w = _u.floating(weights)
        if w.shape != x.shape:
            if axis is None or w.ndim != 1:
                raise _u.errors.ValueError(f"average: weights of shape {w.shape} for {x.shape} along {axis}")
            w = w.reshape([-1 if i == _u.place(axis, x.ndim) else 1 for i in range(x.ndim)])
        w = _table.broadcast_to(w, x.shape)
        total = _table.sum(w, _u.axes(axis))
        y = _table.sum(x * w, _u.axes(axis)) / total
    return (y, total) if returned else y


builtin_max = __builtins__["max"] if isinstance(__builtins__, dict) else __builtins__.max


def std(x, axis=None, ddof=0, keepdims=False):
    """The standard deviation over axes."""
    return _table.std(_u.floating(x), _u.axes(axis), bool(keepdims), int(ddof))


def var(x, axis=None, ddof=0, keepdims=False):
    """The variance over axes."""
    return _table.var(_u.floating(x), _u.axes(axis), bool(keepdims), int(ddof))


def ptp(x, axis=None, keepdims=False):
    """The largest minus the smallest."""
    return amax(x, axis, keepdims) - amin(x, axis, keepdims)


def argmax(a, axis=None):
    """The place of the largest."""
    return _ops.argmax(_u.tensor(a), axis)


def argmin(a, axis=None):
    """The place of the smallest."""
    return _ops.argmin(_u.tensor(a), axis)


def count_nonzero(x, axis=None, keepdims=False):
    """How many are not zero."""
    return _table.sum((_u.tensor(x) != 0).cast("int32"), _u.axes(axis), bool(keepdims)).cast("int32")


def sometrue(a, axis=None, keepdims=False):
    """Whether any is true."""
    return _table.any(_u.tensor(a), _u.axes(axis), bool(keepdims))


def cumsum(a, axis=None, dtype=None):
    """Running sums, without an axis of all elements."""
    a = _u.tensor(a)
    dtype = "int32" if dtype is None and a.dtype.name == "bool" else dtype
    a = a.cast("int32") if a.dtype.name == "bool" else a
    return _u.cast(_table.cumsum(_u.cast(a.reshape(-1) if axis is None else a, dtype), axis=0 if axis is None else axis), dtype)


def cumprod(a, axis=None, dtype=None):
    """Running products, without an axis of all elements."""
    a = _u.tensor(a)
    return _table.cumprod(_u.cast(a.reshape(-1) if axis is None else a, dtype), axis=0 if axis is None else axis)


def nancumsum(a, axis=None, dtype=None):
    """cumsum with NaN as 0."""
    if not _u.has_nan(a):
        return cumsum(a, axis, dtype)
    a = _u.floating(a)
    return cumsum(_ops.where(_table.isnan(a), _table.full((), 0, a.dtype), a), axis, dtype)


def nansum(a, axis=None, dtype=None, keepdims=False):
    """The sum with NaN as 0."""
    if not _u.has_nan(a):
        return sum(a, axis, dtype, keepdims)
    return _u.cast(_table.nansum(_u.floating(a), _u.axes(axis), bool(keepdims)), dtype)


def nanmean(a, axis=None, dtype=None, keepdims=False):
    """The mean without NaN."""
    return _u.cast(_table.nanmean(_u.floating(a), _u.axes(axis), bool(keepdims)), dtype)


def _without_nan(a, value):
    a = _u.floating(a)
    return _ops.where(_table.isnan(a), _table.full((), value, a.dtype), a)


def nanmax(a, axis=None, dtype=None, keepdims=False):
    """The largest without NaN."""
    if not _u.has_nan(a):
        return _u.cast(max(a, axis, keepdims), dtype)
    return _u.cast(_table.max(_without_nan(a, float("-inf")), _u.axes(axis), bool(keepdims)), dtype)


def nanmin(a, axis=None, dtype=None, keepdims=False):
    """The smallest without NaN."""
    if not _u.has_nan(a):
        return _u.cast(min(a, axis, keepdims), dtype)
    return _u.cast(_table.min(_without_nan(a, float("inf")), _u.axes(axis), bool(keepdims)), dtype)


def nanvar(a, axis=None, dtype=None, ddof=0, keepdims=False):
    """The variance without NaN."""
    a = _u.floating(a)
    d = a - _table.nanmean(a, _u.axes(axis), True)
    d = _ops.where(_table.isnan(a), _table.full((), 0, a.dtype), d)
    n = _table.sum(_table.logical_not(_table.isnan(a)).cast(a.dtype), _u.axes(axis), bool(keepdims))
    return _u.cast(_table.sum(d * d, _u.axes(axis), bool(keepdims)) / (n - float(ddof)), dtype)


def nanstd(a, axis=None, dtype=None, ddof=0, keepdims=False):
    """The standard deviation without NaN."""
    return _table.sqrt(nanvar(a, axis, dtype, ddof, keepdims))


def diff(a, n=1, axis=-1, prepend=None, append=None):
    """Differences of neighbours."""
    a = _u.tensor(a)

    def edge(v):
        v = _u.tensor(v).cast(a.dtype)
        return v if v.ndim else _table.broadcast_to(v, tuple(1 if i == _u.place(axis, a.ndim) else s for i, s in enumerate(a.shape)))

    return _ops.diff(a, n, axis, None if prepend is None else edge(prepend), None if append is None else edge(append))


def ediff1d(ary, to_end=None, to_begin=None):
    """Differences of neighbours of all elements, with something before and after."""
    x = _u.tensor(ary).reshape(-1)
    parts = [_u.tensor(v).reshape(-1).cast(x.dtype) for v in (to_begin,) if v is not None] + [_ops.diff(x)]
    parts += [_u.tensor(v).reshape(-1).cast(x.dtype) for v in (to_end,) if v is not None]
    return _table.concat(parts, axis=0)


def gradient(f, *varargs, axis=None, edge_order=1):
    """Slopes by central differences, one tensor for each axis."""
    if edge_order != 1:
        raise _u.errors.ValueError(f"gradient: edge_order must be 1, got {edge_order}")
    f = _u.floating(f)
    axes = tuple(range(f.ndim)) if axis is None else tuple(_u.place(a, f.ndim) for a in _u.axes(axis))
    steps = varargs * len(axes) if len(varargs) == 1 else varargs or (1.0,) * len(axes)
    out = []
    for a, h in zip(axes, steps):
        n = f.shape[a]
        if n < 2:
            raise _u.errors.ValueError(f"gradient: an axis of {n} elements has no slope")
        first = _ops.narrow(f, a, 1, 1) - _ops.narrow(f, a, 0, 1)
        last = _ops.narrow(f, a, n - 1, 1) - _ops.narrow(f, a, n - 2, 1)
        middle = (_ops.narrow(f, a, 2, n - 2) - _ops.narrow(f, a, 0, n - 2)) / 2 if n > 2 else None
        out.append(_table.concat([v for v in (first, middle, last) if v is not None], axis=a) / h)
    return out[0] if len(out) == 1 else tuple(out)


def trapz(y, x=None, dx=1.0, axis=-1):
    """The integral by trapezoids."""
    return _ops.trapz(_u.floating(y), None if x is None else _u.floating(x), dx=dx, dim=axis)


# ---- Products


def matmul(x1, x2, dtype=None):
    """The product of matrices."""
    return _u.cast(_table.matmul(_u.tensor(x1), _u.tensor(x2)), dtype)


def dot(a, b):
    """The sum over the last axis of a and the last but one of b; with a number the product."""
    a, b = _u.tensor(a), _u.tensor(b)
    return a * b if a.ndim == 0 or b.ndim == 0 else _ops.dot(a, b)


def inner(a, b):
    """The sum over the last axes of both."""
    a, b = _u.tensor(a), _u.tensor(b)
    return a * b if a.ndim == 0 or b.ndim == 0 else _table.inner(a, b)


def outer(a, b):
    """All products of elements."""
    return _u.tensor(a).reshape(-1, 1) * _u.tensor(b).reshape(1, -1)


def kron(a, b):
    """Kronecker's product."""
    return _table.kron(_u.tensor(a), _u.tensor(b))


def tensordot(a, b, axes=2):
    """The sum over pairs of axes."""
    return _ops.tensordot(_u.tensor(a), _u.tensor(b), axes)


def multi_dot(arrays):
    """The product of a chain of matrices."""
    out = _u.tensor(arrays[0])
    for x in arrays[1:]:
        out = _table.matmul(out, _u.tensor(x))
    return out


def cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """Products of vectors of 3 (or 2) along an axis."""
    a, b = _u.tensor(a), _u.tensor(b)
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = _ops.movedim(a, axisa, -1), _ops.movedim(b, axisb, -1)
    if a.shape[-1] not in (2, 3) or b.shape[-1] not in (2, 3):
        raise _u.errors.ValueError(f"cross: vectors have 2 or 3 elements, got {a.shape[-1]} and {b.shape[-1]}")
    flat = a.shape[-1] == 2 and b.shape[-1] == 2
    part = lambda x, i: x[..., i] if i < x.shape[-1] else x[..., 0] * 0
    z = part(a, 0) * part(b, 1) - part(a, 1) * part(b, 0)
    if flat:
        return z
    y = _ops.stack([part(a, 1) * part(b, 2) - part(a, 2) * part(b, 1), part(a, 2) * part(b, 0) - part(a, 0) * part(b, 2), z], -1)
    return _ops.movedim(y, -1, axisc)


def convolve(a, v, mode="full"):
    """The convolution of vectors; mode "full", "same" or "valid"."""
    a, v = _u.tensor(a).reshape(-1), _u.tensor(v).reshape(-1)
    if mode not in ("full", "same", "valid"):
        raise _u.errors.ValueError(f"convolve: mode is 'full', 'same' or 'valid', got {mode!r}")
    if v.size > a.size:
        a, v = v, a
    n, k = a.size, v.size
    dtype = _table.mul(a[:1], v[:1]).dtype
    padded = _table.pad(a.cast(dtype), before=(k - 1,), after=(k - 1,))
    y = padded[:n + k - 1] * v[k - 1].cast(dtype)
    for i in range(1, k):
        y = y + padded[i:i + n + k - 1] * v[k - 1 - i].cast(dtype)
    if mode == "full":
        return y
    return y[(k - 1) // 2:(k - 1) // 2 + n] if mode == "same" else y[k - 1:n]


def correlate(a, v, mode="valid"):
    """The correlation of vectors."""
    a, v = _u.tensor(a).reshape(-1), _u.tensor(v).reshape(-1)
    if v.size > a.size:
        return _table.flip(convolve(_table.flip(a, (0,)), v, mode), (0,))
    return convolve(a, _table.flip(v, (0,)), mode)


def matrix_power(a, n):
    """Square matrices to a whole power of at least 0."""
    return _ops.matrix_power(_u.tensor(a), n)


def norm(x, ord=None, axis=None, keepdims=False):
    """The norm of vectors or matrices."""
    return _ops.norm(_u.floating(x), ord, axis, keepdims)


def trace(a, offset=0, axis1=0, axis2=1, dtype=None):
    """The sum of a diagonal."""
    return _u.cast(_table.sum(_ops.diagonal(_u.tensor(a), offset, axis1, axis2), (-1,)), dtype)


def _rows(m, y, rowvar):
    m = _u.floating(m)
    m = m.reshape(1, -1) if m.ndim < 2 else m if rowvar else _table.transpose(m, (1, 0))
    if y is not None:
        m = _table.concat([m, _rows(y, None, rowvar)], axis=0)
    return m


def cov(m, y=None, rowvar=True, bias=False, ddof=None, fweights=None, aweights=None, dtype=None):
    """Covariances of rows (columns without rowvar)."""
    x = _rows(m, y, rowvar)
    ddof = (0 if bias else 1) if ddof is None else ddof
    c = _ops.cov(x, correction=ddof, fweights=None if fweights is None else _u.tensor(fweights), aweights=None if aweights is None else _u.tensor(aweights))
    return _u.cast(c.reshape(()) if x.shape[0] == 1 else c, dtype)


def corrcoef(x, y=None, rowvar=True, dtype=None):
    """Correlations of rows (columns without rowvar)."""
    c = cov(x, y, rowvar)
    if c.ndim == 0:
        return _u.cast(c / c, dtype)
    d = _table.sqrt(_table.diag(c))
    return _u.cast(c / (d.reshape(-1, 1) * d), dtype)


def apply_along_axis(func1d, axis, arr, *args, **kwargs):
    """A function of every line along an axis."""
    arr = _u.tensor(arr)
    at = _u.place(axis, arr.ndim)
    moved = _ops.movedim(arr, at, -1)
    lines = moved.reshape(-1, moved.shape[-1])
    out = [_u.tensor(func1d(lines[i], *args, **kwargs)) for i in range(lines.shape[0])]
    y = _ops.stack(out).reshape(*moved.shape[:-1], *out[0].shape)
    k = out[0].ndim
    return y if k == 0 else _ops.movedim(y, tuple(range(y.ndim - k, y.ndim)), tuple(range(at, at + k)))


def apply_over_axes(func, a, axes):
    """A function of each axis in turn, whose dimensions stay."""
    a = _u.tensor(a)
    for axis in _u.axes(axes):
        y = func(a, axis)
        a = y if y.ndim == a.ndim else _ops.expand_dims(y, axis)
    return a


def searchsorted(a, v, side="left", sorter=None):
    """Where values belong in a sorted vector."""
    places = _ops.searchsorted(_u.tensor(a), _u.tensor(v), side=side, sorter=None if sorter is None else _u.tensor(sorter))
    return places.cast("int32")


def digitize(x, bins, right=False):
    """The bin of each element; bins rise or fall."""
    x, bins = _u.tensor(x), _u.tensor(bins)
    rising = bins.size < 2 or bool(bins[-1] >= bins[0])
    if rising:
        return _ops.searchsorted(bins, x, right=not right).cast("int32")
    return (bins.size - _ops.searchsorted(_table.flip(bins, (0,)), x, right=bool(right))).cast("int32")


def bincount(x, weights=None, minlength=0, length=None):
    """How often each number comes."""
    return _ops.bincount(_u.tensor(x), None if weights is None else _u.tensor(weights), minlength if length is None else length)


__all__ = _u.names(globals(), _imported)
