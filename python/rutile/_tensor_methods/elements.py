# SPDX-License-Identifier: Apache-2.0
"""Elements by their places: read, picked, sorted, and copies with some of them changed."""

import functools as _functools

from rutile import ops as _ops
from rutile._rutile import Tensor, errors as _errors
from rutile._tensor_methods._register import method, named
from rutile.ops import table as _table

_item = Tensor.item  # the extension's, which the one here adds places to


@method
def item(self, index=None):
    """The single element, or that at a place (counted in row-major order, or a tuple), as a Python number."""
    if index is None:
        return _item(self)
    if isinstance(index, int):
        if not -self.size <= index < self.size:
            raise _errors.IndexError(f"item: place {index} of {self.size} elements")
        return _item(self.reshape(-1)[index])
    return _item(self[tuple(index)])


@method
def itemset(self, *args):
    """A copy with one element (by its place, or the only one) changed."""
    if not 1 <= len(args) <= 2:
        raise _errors.ValueError(f"itemset takes (value) or (place, value), got {len(args)} arguments")
    y = self[...].copy()
    if len(args) == 1:
        if self.size != 1:
            raise _errors.ValueError(f"itemset: a tensor of {self.size} elements needs a place")
        return _table.full(self.shape, args[0], self.dtype)
    place = args[0]
    if isinstance(place, int):
        if not -self.size <= place < self.size:
            raise _errors.IndexError(f"itemset: place {place} of {self.size} elements")
        y = y.reshape(-1)
        y[place] = args[1]
        return y.reshape(self.shape)
    y[tuple(place)] = args[1]
    return y


@method
def index(self, indices):
    """self[indices], for a tuple of Tensors.

    >>> import rutile
    >>> rutile.Tensor([[1, 2], [3, 4]]).index((rutile.Tensor([1, 0]), rutile.Tensor([0, 1]))).asnumpy().tolist()
    [3, 2]
    """
    if not isinstance(indices, (tuple, list)) or not all(isinstance(i, Tensor) for i in indices):
        raise _errors.TypeError(f"index takes a tuple of Tensors, got {indices.__class__.__name__}")
    return self[tuple(indices)]


@method
def choose(self, choices, mode="clip"):
    """Elements of choices by this tensor's integers: choices[self[i]][i]."""
    choices = [c if isinstance(c, Tensor) else Tensor(c) for c in choices]
    if not choices or mode not in ("raise", "wrap", "clip"):
        raise _errors.ValueError(f"[choose] expects choices and the mode 'raise', 'wrap' or 'clip', got {len(choices)} and {mode!r}")
    n, place = len(choices), self.cast("int64")
    if mode == "raise" and self.size and not bool(_table.all(_table.logical_and(place >= 0, place < n))):
        raise _errors.ValueError(f"[choose] an index is outside of 0 to {n - 1}; mode='wrap' and mode='clip' bring it back")
    place = _ops.clamp(place, 0, n - 1) if mode == "clip" else _table.remainder(place, Tensor(n, "int64"))
    shape = _functools.reduce(_table.add, (_table.full(c.shape, 0, "int8") for c in (*choices, place))).shape
    kind = _functools.reduce(_table.add, (_table.full((), 0, c.dtype) for c in choices)).dtype
    many = _ops.stack([_table.broadcast_to(c.cast(kind), shape) for c in choices])
    return _table.take_along_axis(many, _table.broadcast_to(place, shape).reshape(1, *shape), axis=0).reshape(shape)


@method
def take(self, indices, axis=None, mode="clip"):
    """Elements by their places along an axis (None: of all)."""
    return _ops.take(self, indices, axis, mode)


@method
def select(self, dim, index=None, *rest):
    """One entry of a dimension; with a condition in its place (condition, other) as ops.select."""
    if isinstance(dim, Tensor) and dim.dtype.name == "bool":
        return _ops.select(dim, self, index)
    at = dim % self.ndim
    return self[(slice(None),) * at + (int(index),)]


@method
def where(self, condition, y):
    """This where the condition is true, else y."""
    return _ops.where(condition, self, y)


@method
def nonzero(self, *, as_tuple=False):
    """The places that are not zero, as rows; as_tuple: one tensor for each dimension."""
    return _ops.nonzero(self, as_tuple)


@method
def gather(self, *args, dim=None, index=None, input_indices=None, axis=None, batch_dims=0):
    """gather(dim, index): one element of a dimension for each of index; gather(indices, axis): slices along it."""
    if args and isinstance(args[0], int) or dim is not None:
        return _ops.gather_elements(self, args[0] if args else dim, index if index is not None else args[-1])
    indices = input_indices if input_indices is not None else args[0]
    axis = axis if axis is not None else args[1] if len(args) > 1 else 0
    return _ops.gather(self, indices, int(axis), args[2] if len(args) > 2 else batch_dims)


def _as_far_as(index, src):
    # src may be larger than index: what lies behind it is not used.
    if src.shape == index.shape or src.ndim != index.ndim or any(n > m for n, m in zip(index.shape, src.shape)):
        return src
    return src[tuple(slice(0, n) for n in index.shape)]


def scattered(self, dim, index, src=None, *, value=None, reduce=None):
    src = value if src is None else src
    if not isinstance(src, Tensor):
        src = _table.full(index.shape, src, self.dtype)
    how = {None: "none", "add": "add", "multiply": "mul"}.get(reduce, reduce)
    return _table.scatter(self, index.cast("int64"), _as_far_as(index, src).cast(self.dtype), axis=dim, reduce=how)


def scatter_added(self, dim, index, src):
    return _table.scatter_add(self, index.cast("int64"), _as_far_as(index, src), axis=dim)


def diagonal_filled(self, fill_value, wrap=False):
    from rutile.ops.operations import FillDiagonal
    return FillDiagonal(float(fill_value), bool(wrap))(self)


@method
def scatter(self, dim=None, index=None, src=None, **kwargs):
    """A copy with src put at the places of index along a dimension."""
    dim = kwargs.pop("axis", dim)
    return scattered(self, dim, index, src, **kwargs)


@method
def fill_diagonal(self, fill_value, wrap=False):
    """A copy with one value on the diagonal."""
    return diagonal_filled(self, fill_value, wrap)


@method
def diagonal(self, offset=0, axis1=0, axis2=1):
    """The diagonal of two dimensions, as the last."""
    return _ops.diagonal(self, offset, axis1, axis2)


@method
def searchsorted(self, v, side="left", sorter=None):
    """Where the values of v belong in this sorted tensor, int32."""
    return _ops.searchsorted(self, v if isinstance(v, Tensor) else Tensor(v), side=side, sorter=sorter, out_int32=True)


@method
def sort(self, axis=-1, descending=False, *, dim=None, stable=False):
    """(sorted values, their places)"""
    return _ops.sort(self, axis if dim is None else dim, descending)


@method
def topk(self, k, dim=-1, largest=True, sorted=True):
    """(the k largest along a dimension, their places)"""
    return _ops.topk(self, k, dim, largest, sorted)


@method("__contains__")
def contains(self, element):
    """Whether an element equals a value: value in x."""
    return bool((self == element).any())


def _copy_with_updates(name, function):
    def updated(self, *args, **kwargs):
        return function(self, *args, **kwargs)

    setattr(Tensor, name, named(updated, name, f"A copy with updates at places: {name}."))


_copy_with_updates("scatter_add", scatter_added)
for _name in ("scatter_sub", "scatter_mul", "scatter_div", "scatter_max", "scatter_min"):
    _copy_with_updates(_name, getattr(_ops, f"tensor_{_name}"))
