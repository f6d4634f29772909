# SPDX-License-Identifier: Apache-2.0
"""Reductions over axes."""

from rutile import ops as _ops
from rutile._tensor_methods._register import method
from rutile.ops import table as _table
from rutile.ops.function._util import _axes


def _extreme(name, doc):
    of_axes, with_places, initialised = getattr(_table, name), getattr(_ops, name), getattr(_ops, "a" + name)

    def extreme(self, axis=None, keepdims=False, *, initial=None, where=True, return_indices=False):
        if return_indices:
            return with_places(self, axis, keepdims)
        if initial is not None or where is not True:
            return initialised(self, axis, keepdims, initial=initial, where=None if where is True else where)
        return of_axes(self, _axes(axis), bool(keepdims))

    extreme.__doc__ = doc
    method(name)(extreme)


_extreme("max", "The largest over an axis (None: of all); with return_indices also its place.")
_extreme("min", "The smallest over an axis (None: of all); with return_indices also its place.")


@method("sum")
def total(self, axis=None, dtype=None, keepdims=False, initial=None, *, dim=None, keepdim=None):
    """The sum over axes (None: all), and a number to begin with; sum(dim, keepdim) with a bool second as well."""
    if isinstance(dtype, bool):
        dtype, keepdims = None, dtype
    y = _table.sum(self, _axes(axis if dim is None else dim), bool(keepdims if keepdim is None else keepdim), dtype)
    return y if initial is None else y + initial


@method
def std(self, axis=None, ddof=0, keepdims=False, *, correction=None):
    """The standard deviation over axes, divided by n - ddof."""
    return _ops.std(self, axis, ddof if correction is None else correction, keepdims)


@method
def var(self, axis=None, ddof=0, keepdims=False, *, correction=None):
    """The variance over axes, divided by n - ddof."""
    return _ops.var(self, axis, ddof if correction is None else correction, keepdims)


@method
def ptp(self, axis=None, keepdims=False):
    """The largest minus the smallest, over axes."""
    return _ops.amax(self, axis, keepdims) - _ops.amin(self, axis, keepdims)


@method
def trace(self, offset=0, axis1=0, axis2=1, dtype=None):
    """The sum of a diagonal."""
    y = _table.sum(_ops.diagonal(self, offset, axis1, axis2), (-1,))
    return y if dtype is None else y.cast(dtype)


@method
def cumsum(self, axis=None, dtype=None):
    """Running sums along an axis; without one of all elements."""
    return _ops.cumsum(self.reshape(-1) if axis is None else self, 0 if axis is None else axis, dtype)


def _with_place(name, doc):
    of_axes, place, of_all = getattr(_table, name), getattr(_table, "arg" + name), getattr(_ops, name)

    def with_place(self, axis=0, keep_dims=False):
        if axis is None:
            return of_all(self)
        return of_axes(self, (axis,), bool(keep_dims)), place(self, (axis,), bool(keep_dims))

    with_place.__doc__ = doc
    method(f"arg{name}_with_value")(with_place)


_with_place("max", "(value, place) of the largest.")
_with_place("min", "(value, place) of the smallest.")
