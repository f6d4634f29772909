# SPDX-License-Identifier: Apache-2.0
"""Shapes, joins, splits, choices."""

import builtins as _b

from rutile import ops as _ops
from rutile._rutile import Tensor as _Tensor
from rutile._rutile import ops as _table
from rutile.numpy import _util as _u

_imported = set(globals())


def _row(name, function):
    """A function whose first argument is array-like."""
    def call(x, *args, **kwargs):
        return function(_u.tensor(x), *args, **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = (function.__doc__ or name).split("--\n\n")[-1]
    return call


broadcast_to, fliplr, flipud = _row("broadcast_to", _ops.broadcast_to), _row("fliplr", _ops.fliplr), _row("flipud", _ops.flipud)
swapaxes, moveaxis, ravel, tile = _row("swapaxes", _ops.swapaxes), _row("moveaxis", _ops.moveaxis), _row("ravel", _ops.ravel), _row("tile", _ops.tile)
argwhere, squeeze = _row("argwhere", _ops.argwhere), _row("squeeze", _ops.squeeze)


def expand_dims(a, axis):
    """New dimensions of size 1 at the places that they have in the result."""
    a = _u.tensor(a)
    n = a.ndim + len(_u.axes(axis))
    for at in sorted(_u.place(v, n) for v in _u.axes(axis)):
        a = _ops.expand_dims(a, at)
    return a


def reshape(x, new_shape):
    """The elements in another shape."""
    return _table.reshape(_u.tensor(x), (new_shape,) if isinstance(new_shape, int) else tuple(new_shape))


def transpose(a, axes=None):
    """The dimensions in another order, or reversed."""
    return _table.transpose(_u.tensor(a)) if axes is None else _table.transpose(_u.tensor(a), tuple(axes))


def rollaxis(x, axis, start=0):
    """An axis moved before another."""
    x = _u.tensor(x)
    at = _u.place(axis, x.ndim)
    start = start + x.ndim if start < 0 else start
    return _ops.movedim(x, at, start - 1 if at < start else start)


def flip(m, axis=None):
    """Reversed along axes (all)."""
    m = _u.tensor(m)
    return _table.flip(m, tuple(range(m.ndim)) if axis is None else _u.axes(axis))


def rot90(a, k=1, axes=(0, 1)):
    """Turned by quarters."""
    return _ops.rot90(_u.tensor(a), k, axes)


def roll(a, shift, axis=None):
    """Moved round."""
    a = _u.tensor(a)
    if isinstance(shift, (tuple, list)) and isinstance(axis, int):
        axis = (axis,) * len(shift)
    if isinstance(shift, int) and isinstance(axis, (tuple, list)):
        shift = (shift,) * len(axis)
    return _ops.roll(a, shift, axis)


def size(a, axis=None):
    """The number of elements, or along an axis."""
    a = _u.tensor(a)
    return a.size if axis is None else a.shape[axis]


def atleast_1d(*arys):
    """At least one dimension; a list for several."""
    out = [_u.tensor(a) for a in arys]
    out = [a.reshape(1) if a.ndim == 0 else a for a in out]
    return out[0] if len(out) == 1 else out


def atleast_2d(*arys):
    """At least two dimensions; a list for several."""
    out = [a.reshape(1, -1) if a.ndim == 1 else a for a in (atleast_1d(v) for v in arys)]
    return out[0] if len(out) == 1 else out


def atleast_3d(*arys):
    """At least three dimensions; a list for several."""
    out = []
    for a in arys:
        a = atleast_1d(a)
        out.append(a.reshape(1, -1, 1) if a.ndim == 1 else a.reshape(*a.shape, 1) if a.ndim == 2 else a)
    return out[0] if len(out) == 1 else out


def concatenate(arrays, axis=0):
    """Joined along an axis; None: as vectors."""
    arrays = list(arrays) if isinstance(arrays, _Tensor) else [_u.tensor(a) for a in arrays]
    return _ops.concat([a.reshape(-1) for a in arrays], 0) if axis is None else _ops.concat(arrays, axis)


def append(arr, values, axis=None):
    """Joined along an axis; None: as vectors."""
    return concatenate((arr, values), axis)


def stack(arrays, axis=0):
    """Joined along a new axis."""
    return _ops.stack([_u.tensor(a) for a in arrays], axis)


def hstack(tup):
    """Joined along the second axis, vectors along the first."""
    return _ops.hstack([_u.tensor(a) for a in tup])


def vstack(tup):
    """Joined along the first axis, vectors as rows."""
    return _ops.vstack([_u.tensor(a) for a in tup])


def dstack(tup):
    """Joined along the third axis."""
    return _ops.dstack([_u.tensor(a) for a in tup])


def column_stack(tup):
    """Joined along the second axis, vectors as columns."""
    return _ops.column_stack([_u.tensor(a) for a in tup])


def array_split(x, indices_or_sections, axis=0):
    """Parts as equal as can be, or cut at indices."""
    return _ops.tensor_split(_u.tensor(x), indices_or_sections, axis)


def split(x, indices_or_sections, axis=0):
    """Equal parts, or cut at indices."""
    x = _u.tensor(x)
    if isinstance(indices_or_sections, int) and x.shape[axis] % indices_or_sections:
        raise _u.errors.ValueError(f"split: {x.shape[axis]} elements are not {indices_or_sections} equal parts")
    return _ops.tensor_split(x, indices_or_sections, axis)


def hsplit(x, indices_or_sections):
    """split along the second axis (of a vector the first)."""
    x = _u.tensor(x)
    return split(x, indices_or_sections, 0 if x.ndim == 1 else 1)


def vsplit(x, indices_or_sections):
    """split along the first axis."""
    return split(x, indices_or_sections, 0)


def dsplit(x, indices_or_sections):
    """split along the third axis."""
    return split(x, indices_or_sections, 2)


def repeat(a, repeats, axis=None):
    """Every element repeated."""
    a = _u.tensor(a)
    if isinstance(repeats, _Tensor):
        repeats = repeats.asnumpy().tolist()
    if isinstance(repeats, (tuple, list)) and len(repeats) == 1:
        repeats = repeats[0]
    return _ops.repeat_interleave(a, repeats, axis)


def broadcast_arrays(*args):
    """All in their common shape, as a list."""
    args = [_u.tensor(a) for a in args]
    shape = _table.full(args[0].shape, False, "bool")
    for a in args[1:]:
        shape = _table.logical_or(shape, _table.full(a.shape, False, "bool"))
    return [_table.broadcast_to(a, shape.shape) for a in args]


def diag(v, k=0):
    """A matrix's diagonal, or a matrix from one."""
    return _table.diag(_u.tensor(v), offset=k)


def diagflat(v, k=0):
    """A matrix with the elements on a diagonal."""
    return _ops.diagflat(_u.tensor(v), k)


def diagonal(a, offset=0, axis1=0, axis2=1):
    """The diagonal of two axes, as the last."""
    return _ops.diagonal(_u.tensor(a), offset, axis1, axis2)


def take(a, indices, axis=None, mode="clip"):
    """Elements by their places along an axis (None: of all)."""
    return _ops.take(_u.tensor(a), _u.tensor(indices), axis, mode)


def take_along_axis(arr, indices, axis):
    """One element for each index along an axis."""
    arr, indices = _u.tensor(arr), _u.tensor(indices)
    if axis is None:
        arr, indices, axis = arr.reshape(-1), indices.reshape(-1), 0
    if arr.ndim == indices.ndim:  # they broadcast but for the axis
        axis = _u.place(axis, arr.ndim)
        shape = [max(n, m) if n and m else 0 for n, m in zip(arr.shape, indices.shape)]
        arr = _table.broadcast_to(arr, (*shape[:axis], arr.shape[axis], *shape[axis + 1:]))
        indices = _table.broadcast_to(indices, (*shape[:axis], indices.shape[axis], *shape[axis + 1:]))
    return _table.take_along_axis(arr, indices, axis=axis)


def choose(a, choices, mode="clip"):
    """Elements of choices by integers."""
    return _u.tensor(a).choose([_u.tensor(c) for c in choices], mode)


def select(condlist, choicelist, default=0):
    """The first choice whose condition holds, by element."""
    conditions, choices = [_u.tensor(c) for c in condlist], [_u.tensor(c) for c in choicelist]
    y = _u.tensor(default)
    y = y.cast(choices[0].dtype) if not isinstance(default, _Tensor) else y
    for c, x in zip(reversed(conditions), reversed(choices)):
        y = _ops.where(c, x, y)
    return y


def piecewise(x, condlist, funclist, *args, **kw):
    """Functions (or numbers) where their conditions hold; one function more than conditions: elsewhere."""
    x = _u.tensor(x)
    conditions = [_u.tensor(c) for c in (condlist if isinstance(condlist, (tuple, list)) else [condlist])]
    value = lambda f: f(x, *args, **kw).cast(x.dtype) if callable(f) else _table.full(x.shape, f, x.dtype)
    if len(funclist) not in (len(conditions), len(conditions) + 1):
        raise _u.errors.ValueError(f"piecewise: {len(funclist)} functions for {len(conditions)} conditions")
    y = value(funclist[-1]) if len(funclist) > len(conditions) else x * 0
    for c, f in zip(conditions, funclist):
        y = _ops.where(c, value(f), y)
    return y


def ravel_multi_index(multi_index, dims, mode="clip", order="C"):
    """Coordinates as places in a flat array."""
    parts, place = [_u.tensor(i).cast("int64") for i in multi_index], 0
    pairs = list(zip(parts, dims))
    for i, n in pairs if order == "C" else reversed(pairs):
        if mode == "raise" and bool(_table.any(_table.logical_or(i < 0, i >= n))):
            raise _u.errors.ValueError(f"ravel_multi_index: a coordinate is outside of [0, {n})")
        i = _table.remainder(i, _Tensor(n, "int64")) if mode == "wrap" else _ops.clamp(i, 0, n - 1)
        place = place * n + i
    return place


def unravel_index(indices, shape, order="C"):
    """Places in a flat array as coordinates."""
    indices = _u.tensor(indices)
    rest, out = indices.cast("int64"), []
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    for n in reversed(sizes) if order == "C" else sizes:
        out.append(_table.remainder(rest, _Tensor(n, "int64")))
        rest = _table.floor_div(rest, _Tensor(n, "int64"))
    return tuple(x.cast(indices.dtype) for x in (out[::-1] if order == "C" else out))


def pad(arr, pad_width, mode="constant", stat_length=None, constant_values=0, end_values=0, reflect_type="even", **kwargs):
    """A border: mode "constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "maximum", "minimum", "mean", "empty"."""
    x = _u.tensor(arr)

    def pairs(v):
        v = v.asnumpy().tolist() if isinstance(v, _Tensor) else v
        if not isinstance(v, (tuple, list)):
            return [(v, v)] * x.ndim
        if not isinstance(v[0], (tuple, list)):
            return [(v[0], v[-1])] * x.ndim
        return [(p[0], p[-1]) for p in (v * x.ndim if len(v) == 1 else v)]

    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "maximum", "minimum", "mean", "empty") or reflect_type != "even":
        raise _u.errors.ValueError(f"pad: mode {mode!r} with reflect_type {reflect_type!r} is not known")
    widths, constants, ends = pairs(pad_width), pairs(constant_values), pairs(end_values)
    for axis, (before, after) in enumerate(widths):
        n = x.shape[axis]
        if not (before or after):
            continue
        if mode in ("edge", "reflect", "symmetric", "wrap"):
            i = _table.arange(-before, n + after, 1, "int64")
            if mode == "edge":
                i = _ops.clamp(i, 0, n - 1)
            elif mode == "wrap":
                i = _table.remainder(i, _Tensor(n, "int64"))
            else:
                period = _b.max(2 * (n - 1), 1) if mode == "reflect" else 2 * n
                i = _table.remainder(i, _Tensor(period, "int64"))
                i = _ops.where(i >= n, (period - i) if mode == "reflect" else (period - 1 - i), i)
            x = _table.gather(x, i, axis=axis)
            continue
        edge = lambda at: _ops.narrow(x, axis, at, 1)
        parts = [x]
        for width, front in ((before, True), (after, False)):
            if not width:
                continue
            shape = tuple(width if i == axis else s for i, s in enumerate(x.shape)) if front or len(parts) == 1 else tuple(
                width if i == axis else s for i, s in enumerate(parts[-1].shape))
            if mode in ("constant", "empty"):
                part = _table.full(shape, (constants[axis][0 if front else 1] if mode == "constant" else 0), x.dtype)
            elif mode == "linear_ramp":
                end = float(ends[axis][0 if front else 1])
                t = _table.arange(0, width, 1, "float32").reshape([-1 if i == axis else 1 for i in range(x.ndim)]) / float(width)
                t = 1 - t if front else (t * width + 1) / float(width)
                inner = edge(0 if front else n - 1)
                part = (inner + (end - inner) * t).cast(x.dtype)
            else:
                op = {"maximum": _table.max, "minimum": _table.min, "mean": lambda v, a, k: _table.mean(_u.floating(v), a, k)}[mode]
                source = x if stat_length is None else _ops.narrow(x, axis, 0 if front else n - pairs(stat_length)[axis][1], pairs(stat_length)[axis][0 if front else 1])
                value = op(source, (axis,), True)
                value = _table.round(value).cast(x.dtype) if mode == "mean" and not _u.is_float(x) else value
                part = _table.broadcast_to(value.cast(x.dtype), shape)
            parts = [part] + parts if front else parts + [part]
        x = _table.concat(parts, axis=axis)
    return x


__all__ = _u.names(globals(), _imported)
