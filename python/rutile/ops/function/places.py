# SPDX-License-Identifier: Apache-2.0
"""Picking, placing, stacking and reordering, by MindSpore's arguments."""

import builtins as _b

from rutile import dtype as _dtype
from rutile._rutile import Parameter, Tensor
from rutile._rutile import ops as _table
from rutile.ops.function._util import _axis, _errors, _tensor
from rutile.ops.function.arrange import concat, movedim, stack, tensor_split

_imported = set(globals())


# ---- Scatter

def _scatter_nd(name, how, doc):
    def function(input_x, indices, updates):
        return _table.tensor_scatter(input_x, indices, updates, reduce=how)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


tensor_scatter_add = _scatter_nd("tensor_scatter_add", "add", "Updates added at the places that rows of indices name.")
tensor_scatter_max = _scatter_nd("tensor_scatter_max", "amax", "The larger of what is there and the update.")
tensor_scatter_min = _scatter_nd("tensor_scatter_min", "amin", "The smaller of what is there and the update.")
tensor_scatter_mul = _scatter_nd("tensor_scatter_mul", "mul", "Multiplied by the updates at their places.")
tensor_scatter_update = _scatter_nd("tensor_scatter_update", "none", "Updates put at the places that rows of indices name.")


def tensor_scatter_sub(input_x, indices, updates):
    """Updates subtracted at the places that rows of indices name."""
    return _table.tensor_scatter(input_x, indices, -updates, reduce="add")


def tensor_scatter_div(input_x, indices, updates):
    """Divided by the updates at their places."""
    if not input_x.dtype.name.startswith(("int", "uint")):
        return _table.tensor_scatter(input_x, indices, 1 / updates, reduce="mul")
    # Divisors of one place multiply: in their own dtype they would overflow.
    wide = _dtype.int64
    divisor = _table.tensor_scatter(_table.full(input_x.shape, 1, wide), indices, updates.cast(wide), reduce="mul")
    return _table.trunc_div(input_x.cast(wide), divisor).cast(input_x.dtype)


def _in_place(name, function, rows):
    def assign(input_x, indices, updates, use_locking=False):
        if not isinstance(input_x, Parameter):
            raise _errors.TypeError(f"{name}: input_x must be a Parameter, got {type(input_x).__name__}")
        if rows:  # indices of rows, of any shape
            updates = updates.reshape(indices.size, *input_x.shape[1:])
            indices = indices.reshape(-1, 1)
        input_x.set_data(function(input_x.value(), indices, updates))
        return input_x.value()

    assign.__name__ = assign.__qualname__ = name
    assign.__doc__ = f"As {function.__name__}, written into a Parameter" + (", by rows." if rows else ".")
    return assign


scatter_update, scatter_add, scatter_sub, scatter_mul, scatter_div, scatter_max, scatter_min = (
    _in_place(f"scatter_{n}", globals()[f"tensor_scatter_{n}"], True)
    for n in ("update", "add", "sub", "mul", "div", "max", "min"))
scatter_nd_update, scatter_nd_add, scatter_nd_sub, scatter_nd_mul, scatter_nd_div, scatter_nd_max, scatter_nd_min = (
    _in_place(f"scatter_nd_{n}", globals()[f"tensor_scatter_{n}"], False)
    for n in ("update", "add", "sub", "mul", "div", "max", "min"))


def scatter_nd(indices, updates, shape):
    """Zeros with updates added at the places that rows of indices name."""
    return _table.scatter_nd(indices, updates, shape=tuple(shape))


def scatter(input, axis, index, src):
    """src put along an axis at the places of index."""
    src = src if isinstance(src, Tensor) else _table.full(shape=index.shape, value=src, dtype=input.dtype)
    if src.shape != index.shape and src.ndim == index.ndim and all(n <= m for n, m in zip(index.shape, src.shape)):
        src = src[tuple(slice(0, n) for n in index.shape)]  # what lies behind index is not used
    return _table.scatter(input, index.cast("int64"), src, axis=axis)


def gather_nd(input_x, indices):
    """What rows of indices name."""
    return _table.gather_nd(input_x, indices)


def argwhere(input):
    """The places that are not zero, as rows."""
    from rutile.ops.function.arrange import nonzero
    return nonzero(input)


def take(input, index, axis=None, mode="clip"):
    """Elements by their places along an axis (None: of all); places out of range are clipped, or wrapped ("wrap")."""
    if axis is None:
        input, axis = input.reshape(-1), 0
    n = input.shape[axis]
    indices = _tensor(index)
    if mode == "raise":
        return _table.gather(input, indices, axis=axis)
    if mode not in ("clip", "wrap"):
        raise _errors.ValueError(f"take: mode is 'clip', 'wrap' or 'raise', got {mode!r}")
    limited = _table.clip(indices, min=0, max=n - 1) if mode == "clip" else _table.remainder(indices, Tensor(n, indices.dtype))
    return _table.gather(input, limited, axis=axis)


def _segment(name, kind, doc, start=None):
    def function(x, segment_ids, num_segments):
        input_x, n = x, int(num_segments)
        shape = (n + 1, *input_x.shape[segment_ids.ndim:])
        rows = input_x.reshape(segment_ids.size, *input_x.shape[segment_ids.ndim:])
        floating = input_x.dtype.name.startswith(("float", "bfloat"))
        value = start(input_x.dtype) if callable(start) else start
        base = _table.full(shape=shape, value=value if floating or not callable(start) else int(value), dtype=input_x.dtype)
        # Rows of negative ids go into a segment behind the last; what is too large stays out of range.
        ids = segment_ids.reshape(-1, 1)
        ids = _table.where(ids < 0, Tensor(n, ids.dtype), ids + (ids >= n).cast(ids.dtype))
        try:
            return _table.tensor_scatter(base, ids, rows, reduce=kind)[:n]
        except _errors.IndexError:
            raise _errors.IndexError(f"[{name}] segment_ids must be below num_segments, {n}, got "
                                     f"{int(_table.max(segment_ids))}") from None

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def _limit(sign):
    def value(dtype):
        import numpy as np
        kind = "float32" if dtype.name == "bfloat16" else dtype.name
        info = np.finfo(kind) if kind.startswith("float") else np.iinfo(kind)
        return info.max if sign > 0 else info.min

    return value


unsorted_segment_sum = _segment("unsorted_segment_sum", "add", "Sums of the rows of each segment.", 0)
unsorted_segment_prod = _segment("unsorted_segment_prod", "mul", "Products of the rows of each segment.", 1)
unsorted_segment_max = _segment("unsorted_segment_max", "amax", "The largest of each segment, the least number for none.", _limit(-1))
unsorted_segment_min = _segment("unsorted_segment_min", "amin", "The smallest of each segment, the largest number for none.", _limit(1))


def narrow(input, axis, start, length):
    """`length` entries of an axis from `start`."""
    axis = _axis(axis, input.ndim)
    return input[(_b.slice(None),) * axis + (_b.slice(start, start + length),)]


def select_scatter(input, src, axis, index):
    """src in place of one entry of an axis."""
    axis = _axis(axis, input.ndim)
    y = input.copy()
    y[(_b.slice(None),) * axis + (index,)] = src
    return y


def slice_scatter(input, src, axis=0, start=None, end=None, step=1):
    """src in place of a slice of an axis."""
    axis = _axis(axis, input.ndim)
    y = input.copy()
    y[(_b.slice(None),) * axis + (_b.slice(start, end, step),)] = src
    return y


def slice(input_x, begin, size):
    """A part from `begin` of a size; -1: all that follows."""
    return _table.slice(input_x, tuple(begin), tuple(n if s == -1 else b + s for b, s, n in zip(begin, size, input_x.shape)))


def strided_slice(input_x, begin, end, strides, begin_mask=0, end_mask=0, ellipsis_mask=0, new_axis_mask=0, shrink_axis_mask=0):
    """x[begin:end:stride] per dimension; bits of the masks leave an end open, or stand for ..., None or one entry."""
    key = []
    for i, (b, e, s) in enumerate(zip(begin, end, strides)):
        bit = 1 << i
        key.append(... if ellipsis_mask & bit else None if new_axis_mask & bit else b if shrink_axis_mask & bit else
                   _b.slice(None if begin_mask & bit else b, None if end_mask & bit else e, s))
    return input_x[tuple(key)]


# ---- Stacks and splits

def _at_least(n, x):
    if x.ndim >= n:
        return x
    if n == 3 and x.ndim == 2:
        return x.reshape(*x.shape, 1)
    return x.reshape(((1,) * n)[:n - 1] + (x.size,) if n < 3 else (1, x.size, 1)) if x.ndim == 1 else x.reshape((1,) * n)


def _at_least_function(n):
    def function(inputs):
        if isinstance(inputs, (tuple, list)):
            return tuple(_at_least(n, x) for x in inputs)
        return _at_least(n, inputs)

    function.__name__ = function.__qualname__ = f"atleast_{n}d"
    function.__doc__ = f"At least {n} dimensions; a tuple for several."
    return function


atleast_1d, atleast_2d, atleast_3d = (_at_least_function(n) for n in (1, 2, 3))


def hstack(tensors):
    """Joined along the second dimension, vectors along the first."""
    tensors = atleast_1d(tuple(tensors))
    return concat(tensors, 0 if tensors[0].ndim == 1 else 1)


def vstack(inputs):
    """Joined along the first dimension, vectors as rows."""
    return concat(atleast_2d(tuple(inputs)), 0)


def row_stack(tensors):
    """As vstack."""
    return vstack(tensors)


def dstack(tensors):
    """Joined along the third dimension."""
    return concat(atleast_3d(tuple(tensors)), 2)


def column_stack(tensors):
    """Joined along the second dimension, vectors as columns."""
    return concat([x.reshape(-1, 1) if x.ndim < 2 else x for x in tensors], 1)


def _split_function(name, axis_of):
    def function(input, indices_or_sections):
        return tensor_split(input, indices_or_sections, axis_of(input))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "tensor_split along its dimension."
    return function


hsplit = _split_function("hsplit", lambda x: 0 if x.ndim == 1 else 1)
vsplit = _split_function("vsplit", lambda x: 0)
dsplit = _split_function("dsplit", lambda x: 2)


# ---- Order

def ravel(input):
    """As a vector."""
    return input.reshape(-1)


def moveaxis(x, source, destination):
    """Dimensions moved to other places."""
    return movedim(x, source, destination)


def flipud(input):
    """The rows in reverse order."""
    return _table.flip(input, (0,))


def fliplr(input):
    """The columns in reverse order."""
    return _table.flip(input, (1,))


def reverse(x, axis):
    """Reversed along axes."""
    return _table.flip(x, (axis,) if isinstance(axis, int) else tuple(axis))


def rot90(input, k=1, dims=(0, 1)):
    """Turned by 90 degrees k times in the plane of two dimensions."""
    return _table.rot90(input, k=k, axes=tuple(dims))


def combinations(input, r=2, with_replacement=False):
    """All choices of r elements of a vector, as rows."""
    import itertools
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(pick(range(input.size), r))
    if not rows:
        return _table.full(shape=(0, r), value=0, dtype=input.dtype)
    return _table.gather(input, Tensor(rows, "int64"), axis=0)


def sequence_mask(lengths, maxlen=None):
    """Whether a place is before the length: [..., maxlen]."""
    n = int(lengths.max().asnumpy()) if maxlen is None else int(maxlen)
    return _table.arange(0, n).cast("int64") < lengths.cast("int64").reshape(*lengths.shape, 1)


def reverse_sequence(x, seq_lengths, seq_dim, batch_dim=0):
    """The first seq_lengths entries of seq_dim reversed, for each entry of batch_dim."""
    n = x.shape[seq_dim]
    place = _table.arange(0, n).cast("int64").reshape([-1 if i == _axis(seq_dim, x.ndim) else 1 for i in _b.range(x.ndim)])
    length = seq_lengths.cast("int64").reshape([-1 if i == _axis(batch_dim, x.ndim) else 1 for i in _b.range(x.ndim)])
    index = _table.where(place < length, length - 1 - place, place + length * 0)
    return _table.take_along_axis(x, _table.broadcast_to(index, x.shape), axis=seq_dim)


def diag_embed(input, offset=0, dim1=-2, dim2=-1):
    """The last dimension as diagonals."""
    return _table.diag_embed(input, offset=offset, axis1=dim1, axis2=dim2)


def diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonal of two dimensions, as the last."""
    return _table.diagonal(input, offset=offset, axis1=dim1, axis2=dim2)


def diagflat(input, offset=0):
    """A matrix with the elements on its diagonal."""
    return _table.diag(input.reshape(-1), offset=offset)


def diagonal_scatter(input, src, offset=0, dim1=0, dim2=1):
    """src in place of the diagonal."""
    with_src = _diag_like(input, src, offset, dim1, dim2)
    mask = _diag_like(input, _table.full(shape=src.shape, value=1, dtype="float32"), offset, dim1, dim2)
    return _table.where(mask != 0, with_src.cast(input.dtype), input)


def _diag_like(input, values, offset, dim1, dim2):
    """Values on the diagonal of zeros of a shape."""
    y = _table.diag_embed(values, offset=offset, axis1=dim1, axis2=dim2)
    after = tuple(want - have for want, have in zip(input.shape, y.shape))
    return _table.pad(y, before=(0,) * y.ndim, after=tuple(_b.max(a, 0) for a in after))


def space_to_batch_nd(input_x, block_size, paddings):
    """Blocks of the spatial dimensions moved into the first one."""
    blocks = (block_size,) * (input_x.ndim - 2) if isinstance(block_size, int) else tuple(block_size)
    m, n = len(blocks), input_x.shape[0]
    first = input_x.ndim - m
    x = _table.pad(input_x, before=(0,) * first + tuple(p[0] for p in paddings), after=(0,) * first + tuple(p[1] for p in paddings))
    middle, sizes = x.shape[1:first], [s // b for s, b in zip(x.shape[first:], blocks)]
    x = x.reshape(n, *middle, *(v for pair in zip(sizes, blocks) for v in pair))
    order = [first + 2 * i + 1 for i in _b.range(m)] + list(_b.range(first)) + [first + 2 * i for i in _b.range(m)]
    return _table.transpose(x, tuple(order)).reshape(-1, *middle, *sizes)


def batch_to_space_nd(input_x, block_shape, crops):
    """The inverse of space_to_batch_nd; crops are cut off."""
    blocks = (block_shape,) * (input_x.ndim - 2) if isinstance(block_shape, int) else tuple(block_shape)
    m, total = len(blocks), 1
    for b in blocks:
        total *= b
    first = input_x.ndim - m
    n, middle, sizes = input_x.shape[0] // total, input_x.shape[1:first], input_x.shape[first:]
    x = input_x.reshape(*blocks, n, *middle, *sizes)
    order = [m + i for i in _b.range(first)] + [v for i in _b.range(m) for v in (m + first + i, i)]
    x = _table.transpose(x, tuple(order)).reshape(n, *middle, *(s * b for s, b in zip(sizes, blocks)))
    return x[(_b.slice(None),) * first + tuple(_b.slice(a, s * k - e) for (a, e), s, k in zip(crops, sizes, blocks))]


# ---- Small questions and copies

def numel(input):
    """The number of elements."""
    return input.size


def is_floating_point(input):
    """Whether the dtype is of floats."""
    return input.dtype.name.startswith(("float", "bfloat"))


def is_complex(input):
    """Whether the dtype is of complex numbers."""
    return input.dtype.name.startswith("complex")


def is_nonzero(input):
    """Whether the one element is not zero."""
    return bool(input.asnumpy().item())


def dtype(x):
    """The dtype."""
    return x.dtype


def typeof(x):
    """The dtype of a Tensor, else the type."""
    return x.dtype if isinstance(x, Tensor) else type(x)


def identity(x):
    """Its input."""
    return x


def fills(x, value):
    """A tensor of x's shape and dtype with one value."""
    return _table.full(shape=x.shape, value=value.asnumpy().item() if isinstance(value, Tensor) else value, dtype=x.dtype)


def deepcopy(input_x):
    """A Tensor of the same value."""
    return input_x.copy()


def type_as(input, other):
    """In the other's dtype."""
    return input.cast(other.dtype)


def view_as(input, other):
    """In the other's shape."""
    return input.reshape(other.shape)


def repeat_elements(x, rep, axis=0):
    """Every element rep times along an axis."""
    from rutile.ops.function.arrange import repeat_interleave
    return repeat_interleave(x, rep, axis)


def matrix_band_part(x, lower, upper):
    """The diagonals from `lower` below to `upper` above, the rest zero; negative: all."""
    if not isinstance(lower, Tensor) and lower >= 0:
        x = _table.triu(x, -int(lower))
    return _table.tril(x, int(upper)) if upper >= 0 else x


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n not in _imported]
