# SPDX-License-Identifier: Apache-2.0
"""Sets and histograms. Results whose size depends on values exist outside of compiled functions only."""

import numbers as _numbers

from rutile import ops as _ops
from rutile._rutile import Tensor as _Tensor
from rutile._rutile import ops as _table
from rutile.numpy import _util as _u
from rutile.numpy.arrays import linspace as _linspace

_imported = set(globals())


def unique(x, return_inverse=False):
    """The distinct elements in order; return_inverse: and where each element stands."""
    x = _u.tensor(x)
    y = _ops.unique(x, return_inverse=bool(return_inverse))
    return (y[0], y[1].reshape(x.shape).cast("int32")) if return_inverse else y


def isin(element, test_elements, invert=False):
    """Whether each element is among others."""
    y = _table.isin(*(v.cast(d) for v, d in _common(element, test_elements)))
    return _table.logical_not(y) if invert else y


def _common(a, b):
    a, b = _u.tensor(a), _u.tensor(b)
    d = _table.add(_table.full((0,), 0, a.dtype), _table.full((0,), 0, b.dtype)).dtype
    return (a, d), (b.reshape(-1), d)


def in1d(ar1, ar2, invert=False):
    """isin of vectors."""
    return isin(_u.tensor(ar1).reshape(-1), ar2, invert)


def setdiff1d(ar1, ar2, assume_unique=False):
    """What the first has and the second has not."""
    x = _u.tensor(ar1).reshape(-1)
    x = x if assume_unique else unique(x)
    return _ops.masked_select(x, in1d(x, ar2, True))


def intersect1d(ar1, ar2, assume_unique=False, return_indices=False):
    """What both have; return_indices: and where it first comes in each."""
    a, b = _u.tensor(ar1).reshape(-1), _u.tensor(ar2).reshape(-1)
    ua, ub = (a, b) if assume_unique else (unique(a), unique(b))
    y = _ops.masked_select(ua, in1d(ua, ub))
    y = _ops.sort(y)[0] if assume_unique else y
    if not return_indices:
        return y
    first = lambda x: _ops.argmax((x.reshape(1, -1) == y.reshape(-1, 1)).cast("int32"), 1)
    return y, first(a), first(b)


def array_equal(a1, a2, equal_nan=False):
    """Whether shapes and elements are equal."""
    a, b = _u.tensor(a1), _u.tensor(a2)
    if a.shape != b.shape:
        return _Tensor(False)
    same = a == b
    if equal_nan:
        same = _table.logical_or(same, _table.logical_and(_table.isnan(_u.floating(a)), _table.isnan(_u.floating(b))))
    return _table.all(same)


def array_equiv(a1, a2):
    """Whether they are equal in their common shape."""
    a, b = _u.tensor(a1), _u.tensor(a2)
    try:
        return _table.all(a == b)
    except ValueError:
        return _Tensor(False)


def _is_count(bins):
    return isinstance(bins, _numbers.Integral)


def histogram_bin_edges(a, bins=10, range=None, weights=None):
    """The edges of equal bins between the smallest and largest (or a range); given edges as they are."""
    if not _is_count(bins):
        return _u.floating(bins)
    bins = int(bins)
    x = _u.floating(a).reshape(-1)
    low, high = (float(_table.min(x)), float(_table.max(x))) if range is None and x.size else (0.0, 1.0) if range is None else map(float, range)
    if low == high:
        low, high = low - 0.5, high + 0.5
    ends = _table.full((), low, x.dtype), _table.full((), high, x.dtype)
    edges = _linspace(*ends, bins + 1)
    return _table.concat([edges[:bins], ends[1].reshape(1)], axis=0)


def histogram(a, bins=10, range=None, weights=None, density=False):
    """(how many fall into each bin, the edges)"""
    x = _u.floating(a).reshape(-1)
    counts, edges = histogramdd(x.reshape(-1, 1), [histogram_bin_edges(x, bins, range)], None, None if weights is None else _u.tensor(weights).reshape(-1), density)
    return counts, edges[0] if _is_count(bins) else _u.tensor(bins)


def histogram2d(x, y, bins=10, range=None, weights=None, density=False):
    """(counts [x, y], edges of x, edges of y)"""
    sample = _ops.stack([_u.floating(x).reshape(-1), _u.floating(y).reshape(-1)], 1)
    if not _is_count(bins) and len(bins) != 2:
        bins = [bins, bins]
    counts, edges = histogramdd(sample, bins, range, weights, density)
    return counts, edges[0], edges[1]


def histogramdd(sample, bins=10, range=None, weights=None, density=False):
    """(counts, edges of each dimension) of points [n, dimensions], or of a list of coordinates."""
    x = _ops.stack([_u.floating(s).reshape(-1) for s in sample], 1) if isinstance(sample, (tuple, list)) else _u.floating(sample)
    n, d = x.shape
    bins = [bins] * d if _is_count(bins) else list(bins)
    range = [None] * d if range is None else list(range)
    edges = [histogram_bin_edges(x[:, k], bins[k], range[k]) for k, _ in enumerate(bins)]
    place, inside, total = 0, None, 1
    for k, e in enumerate(edges):
        count = e.shape[0] - 1
        i = _ops.searchsorted(e, _table.contiguous(x[:, k]), right=True) - 1
        i = _ops.where(x[:, k] == e[-1], _table.full((), count - 1, "int64"), i)
        ok = _table.logical_and(i >= 0, i < count)
        inside = ok if inside is None else _table.logical_and(inside, ok)
        place, total = place * count + _ops.clamp(i, 0, count - 1), total * count
    w = _table.full((n,), 1, "float32") if weights is None else _u.floating(weights).reshape(-1)
    w = _ops.where(inside, w, _table.full((), 0, w.dtype))
    counts = _table.scatter_nd(place.reshape(-1, 1), w, shape=(total,)).reshape(tuple(e.shape[0] - 1 for e in edges))
    if density:
        for k, e in enumerate(edges):
            counts = counts / _ops.diff(e).reshape([-1 if i == k else 1 for i, _ in enumerate(edges)])
        counts = counts / _table.sum(w)
    return counts, edges


__all__ = _u.names(globals(), _imported)
