# SPDX-License-Identifier: Apache-2.0
"""Functions that arrange elements anew, choose and assign them."""

import builtins as _b
import math as _math

from rutile import _rutile
from rutile._rutile import Parameter, Tensor
from rutile._rutile import ops as _table
from rutile.ops.function._util import _axes, _axis, _errors, _tensor
from rutile.ops.function.creation import zeros

_imported = set(globals())


# ---- Shapes

def bitcast(input, dtype):
    """The bits as another dtype, copied; of another size, the last dimension becomes longer or shorter.

    >>> from rutile import Tensor, ops
    >>> ops.bitcast(Tensor([1.0, -2.0], "float32"), "int32").asnumpy().tolist()
    [1065353216, -1073741824]
    """
    return _table.bitcast(_tensor(input), dtype)


def shape(input_x):
    """The shape as a tuple."""
    return input_x.shape


def rank(input_x):
    """The number of dimensions."""
    return input_x.ndim


def size(input_x):
    """The number of elements."""
    return input_x.size


def expand_dims(input_x, axis):
    """A new dimension of size 1 before `axis`."""
    at = _axis(axis, input_x.ndim + 1)
    return input_x.reshape(*input_x.shape[:at], 1, *input_x.shape[at:])


def unsqueeze(input, dim):
    """A new dimension of size 1 before `dim`."""
    return expand_dims(input, dim)


def squeeze(input, axis=None):
    """Without the dimensions of size 1: all, or those of the named that have it."""
    named = range(input.ndim) if axis is None else [_axis(a, input.ndim) for a in _axes(axis)]
    drop = {a for a in named if input.shape[a] == 1}
    return input.reshape(tuple(n for i, n in enumerate(input.shape) if i not in drop))


def flatten(input, order="C", *, start_dim=1, end_dim=-1):
    """Dimensions start_dim to end_dim as one; order "F": of the dimensions reversed."""
    if order not in ("C", "F"):
        raise _errors.ValueError(f"flatten: order is 'C' or 'F', got {order!r}")
    if order == "F":
        input = _table.transpose(input, tuple(_b.range(input.ndim))[::-1])
    if input.ndim == 0:
        return input.reshape(1)
    a, z = _axis(_b.min(start_dim, input.ndim - 1), input.ndim), _axis(end_dim, input.ndim)
    if a >= z:
        return input
    return input.reshape(*input.shape[:a], _math.prod(input.shape[a:z + 1]), *input.shape[z + 1:])


def transpose(input, dims):
    """The dimensions in another order."""
    return _table.transpose(input, tuple(int(d) for d in dims))


def permute(input, axis, *more):
    """The dimensions in another order."""
    return _table.transpose(input, (axis, *more) if isinstance(axis, int) else tuple(axis))


def swapaxes(input, axis0, axis1):
    """Two dimensions exchanged."""
    order = list(_b.range(input.ndim))
    a, b = _axis(axis0, input.ndim), _axis(axis1, input.ndim)
    order[a], order[b] = b, a
    return _table.transpose(input, tuple(order))


def swapdims(input, dim0, dim1):
    """Two dimensions exchanged."""
    return swapaxes(input, dim0, dim1)


def movedim(x, source, destination):
    """Dimensions moved to other places."""
    source = [_axis(a, x.ndim) for a in _axes(source)]
    destination = [_axis(a, x.ndim) for a in _axes(destination)]
    rest = [i for i in _b.range(x.ndim) if i not in source]
    for d, s in sorted(zip(destination, source)):
        rest.insert(d, s)
    return _table.transpose(x, tuple(rest))


def t(input):
    """A matrix transposed; what has another number of dimensions as it is."""
    return swapaxes(input, 0, 1) if input.ndim == 2 else input


def concat(tensors, axis=0):
    """Joined along an axis; different dtypes take their common one."""
    if isinstance(tensors, Tensor):
        raise _errors.TypeError("[concat] takes a tuple or list of Tensors, got one Tensor: write concat((x, y), axis)")
    return _table.concat(list(tensors), axis=axis)


cat = concat


def stack(tensors, axis=0):
    """Joined along a new axis."""
    tensors = [_tensor(x) for x in tensors]
    if not tensors:
        raise _errors.ValueError("stack: needs at least one tensor")
    for i, x in enumerate(tensors):
        if x.shape != tensors[0].shape:
            raise _errors.ValueError(f"[stack] tensors have one shape, but number {i} has {x.shape} and the first {tensors[0].shape}")
    return _table.concat([expand_dims(x, axis) for x in tensors], axis=axis)


def split(tensor, split_size_or_sections, axis=0):
    """Parts of a size (the last may be smaller), or of given sizes."""
    n = tensor.shape[_axis(axis, tensor.ndim)]
    if isinstance(split_size_or_sections, int):
        each = split_size_or_sections
        if each <= 0:
            raise _errors.ValueError(f"split: the size must be positive, got {each}")
        sizes = tuple(_b.min(each, n - i) for i in _b.range(0, n, each))
    else:
        sizes = tuple(split_size_or_sections)
    return _parts(tensor, sizes, axis)


def _parts(tensor, sizes, axis):
    at, out, start = _axis(axis, tensor.ndim), [], 0
    if _b.sum(sizes) != tensor.shape[at] or _b.min(sizes, default=0) < 0:
        raise _errors.ValueError(f"split: sizes {sizes} do not add up to {tensor.shape[at]}")
    for n in sizes:
        out.append(tensor[(slice(None),) * at + (slice(start, start + n),)])
        start += n
    return tuple(out)


def chunk(input, chunks, axis=0):
    """At most `chunks` parts of equal size (the last may be smaller)."""
    if not isinstance(chunks, int):
        raise _errors.TypeError(f"chunk: chunks is an int, got {type(chunks).__name__}")
    if chunks < 1:
        raise _errors.ValueError(f"chunk: chunks must be positive, got {chunks}")
    n = input.shape[_axis(axis, input.ndim)]
    return split(input, _b.max(1, -(-n // chunks)), axis)


def tensor_split(input, indices_or_sections, axis=0):
    """Parts as equal as can be, or cut at indices."""
    n = input.shape[_axis(axis, input.ndim)]
    if isinstance(indices_or_sections, int):
        k = indices_or_sections
        sizes = tuple(n // k + (i < n % k) for i in _b.range(k))
    else:
        cuts = [0, *(_b.min(_b.max(i + n if i < 0 else i, 0), n) for i in indices_or_sections), n]
        sizes = tuple(_b.max(b - a, 0) for a, b in zip(cuts, cuts[1:]))
    return _parts(input, sizes, axis)


def unstack(input_x, axis=0):
    """The slices along an axis."""
    at = _axis(axis, input_x.ndim)
    return tuple(input_x[(slice(None),) * at + (i,)] for i in _b.range(input_x.shape[at]))


def unbind(input, dim=0):
    """The slices along a dimension."""
    return unstack(input, dim)


def tile(input, dims):
    """The whole repeated along each dimension."""
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    n = _b.max(len(dims), input.ndim)
    old, reps = (1,) * (n - input.ndim) + input.shape, (1,) * (n - len(dims)) + dims
    if 2 * n <= 8:
        wide = input.reshape(tuple(v for d in old for v in (1, d)))
        wide = broadcast_to(wide, tuple(v for r, d in zip(reps, old) for v in (r, d)))
        return wide.reshape(tuple(r * d for r, d in zip(reps, old)))
    out = input.reshape(old)
    for axis, r in enumerate(reps):
        out = _table.concat([out] * r, axis=axis)
    return out


def repeat_interleave(input, repeats, axis=None, *, output_size=None):
    """Every element (slice) repeated: so often, or as often as its own entry of repeats says."""
    if axis is None:
        input, axis = input.reshape(-1), 0
    at = _axis(axis, input.ndim)
    if not isinstance(repeats, int):
        repeats = repeats.reshape(-1).asnumpy().tolist() if isinstance(repeats, Tensor) else list(repeats)
        repeats = repeats[0] if len(repeats) == 1 else repeats
    if _b.any(r < 0 for r in ([repeats] if isinstance(repeats, int) else repeats)):
        raise _errors.ValueError(f"repeat_interleave: repeats must not be negative, got {repeats}")
    if not isinstance(repeats, int) and len(repeats) != input.shape[at]:
        raise _errors.ValueError(f"repeat_interleave: axis {axis} has {input.shape[at]} entries, repeats has {len(repeats)}")
    if isinstance(repeats, int):
        wide = expand_dims(input, at + 1)
        wide = broadcast_to(wide, wide.shape[:at + 1] + (repeats,) + wide.shape[at + 2:])
        return wide.reshape(input.shape[:at] + (-1,) + input.shape[at + 1:]) if wide.size else zeros(
            input.shape[:at] + (input.shape[at] * repeats,) + input.shape[at + 1:], input.dtype)
    index = [i for i, r in enumerate(repeats) for _ in _b.range(r)]
    return _table.gather(input, Tensor(index, "int64"), axis=at)


def broadcast_to(input, shape):
    """To a shape that the dimensions allow; -1 keeps a size."""
    shape = tuple(shape)
    lead = len(shape) - input.ndim
    shape = tuple(input.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(shape))
    return _table.broadcast_to(input, shape)


def expand(input_x, size):
    """As broadcast_to."""
    return broadcast_to(input_x, size.asnumpy().tolist() if isinstance(size, Tensor) else size)


def expand_as(input, other):
    """broadcast_to the shape of another."""
    return _table.broadcast_to(input, other.shape)


def roll(input, shifts, dims=None):
    """Shifted along dimensions, what leaves comes in at the other end."""
    if dims is None:
        return roll(input.reshape(-1), shifts, 0).reshape(input.shape)
    for shift, dim in zip(_axes(shifts), _axes(dims)):
        at = _axis(dim, input.ndim)
        n = input.shape[at]
        k = shift % n if n else 0
        if k:
            head = input[(slice(None),) * at + (slice(n - k, n),)]
            tail = input[(slice(None),) * at + (slice(0, n - k),)]
            input = _table.concat([head, tail], axis=at)
    return input


def flip(input, dims):
    """Reversed along dimensions."""
    return _table.flip(input, _axes(dims))


def pad(input_x, padding, mode="constant", value=None):
    """padding: (before, after) of the last dimension, then of the one before it, ...; pairs of all dimensions from the first
    on, as releases of MindSpore before 2.0 have it."""
    padding = tuple(padding.asnumpy().tolist()) if isinstance(padding, Tensor) else tuple(padding)
    if padding and all(isinstance(pair, (tuple, list)) for pair in padding):
        if len(padding) != input_x.ndim or any(len(pair) != 2 for pair in padding):
            raise _errors.ValueError(f"pad: {padding} are not (before, after) of each of {input_x.ndim} dimensions")
        padding = tuple(n for pair in reversed(padding) for n in pair)
    if len(padding) % 2 or len(padding) > 2 * input_x.ndim:
        raise _errors.ValueError(f"pad: {len(padding)} numbers do not fit {input_x.ndim} dimensions")
    before, after = [0] * input_x.ndim, [0] * input_x.ndim
    for i in _b.range(len(padding) // 2):
        before[-1 - i], after[-1 - i] = padding[2 * i], padding[2 * i + 1]
    if any(n < 0 for n in before + after):
        cut = tuple(slice(_b.max(-b, 0), n - _b.max(-a, 0)) for b, a, n in zip(before, after, input_x.shape))
        input_x = input_x[cut]
        before, after = [_b.max(n, 0) for n in before], [_b.max(n, 0) for n in after]
    return _table.pad(input_x, before=tuple(before), after=tuple(after), mode=mode, value=value or 0)


def meshgrid(*inputs, indexing="xy"):
    """Coordinates of a grid."""
    if indexing not in ("xy", "ij"):
        raise _errors.ValueError(f"meshgrid: indexing is 'xy' or 'ij', got {indexing!r}")
    inputs = inputs[0] if len(inputs) == 1 and isinstance(inputs[0], (tuple, list)) else inputs
    n = len(inputs)
    swap = indexing == "xy" and n > 1
    order = [1, 0, *_b.range(2, n)] if swap else list(_b.range(n))
    shape = tuple(inputs[i].size for i in order)
    return tuple(_table.broadcast_to(x.reshape(tuple(x.size if order[a] == i else 1 for a in _b.range(n))), shape)
                 for i, x in enumerate(inputs))


# ---- Indexing

def gather(input_params, input_indices, axis, batch_dims=0):
    """The slices along an axis that indices name."""
    input_indices = _tensor(input_indices)
    if not batch_dims:
        return _table.gather(input_params, input_indices, axis=axis)
    # The batches as rows of one tensor, the indices counted through all of them.
    at, b = _axis(axis, input_params.ndim), _axis(batch_dims, input_indices.ndim + 1)
    if at < b or input_params.shape[:b] != input_indices.shape[:b]:
        raise _errors.ValueError(f"gather: batch_dims {batch_dims} with axis {axis} and shapes {input_params.shape}, {input_indices.shape}")
    n, batches = input_params.shape[at], _math.prod(input_params.shape[:b])
    order = (*_b.range(b), at, *(i for i in _b.range(b, input_params.ndim) if i != at))
    moved = _table.transpose(input_params, order)
    rest = moved.shape[b + 1:]
    first = (_table.arange(0, batches, 1, "int64") * n).reshape(batches, *[1] * (input_indices.ndim - b))
    index = input_indices.cast("int64").reshape(batches, *input_indices.shape[b:])
    y = _table.gather(moved.reshape(batches * n, *rest), _table.where(index < 0, index + n, index) + first, axis=0)
    y = y.reshape(*input_indices.shape, *rest)
    # The dimensions between the batches and the axis come before those of the indices.
    k, between = input_indices.ndim, at - b
    return _table.transpose(y, (*_b.range(b), *_b.range(k, k + between), *_b.range(b, k), *_b.range(k + between, y.ndim)))


def gather_elements(input, dim, index):
    """result[.., i, ..] = input[.., index[.., i, ..], ..]"""
    return _table.take_along_axis(input, index, axis=dim)


def gather_d(x, dim, index):
    """As gather_elements."""
    return gather_elements(x, dim, index)


def index_select(input, axis, index):
    """The slices along an axis that indices name."""
    return _table.gather(input, index, axis=axis)


def masked_fill(input_x, mask, value):
    """value where the mask is true."""
    value = value if isinstance(value, Tensor) else Tensor(value)
    return _table.where(mask, value.cast(input_x.dtype), input_x)


def select(condition, input, other):
    """input where the condition is true, other elsewhere; a number takes the dtype of the tensor beside it."""
    return where(condition, input, other)


def nonzero(input, as_tuple=False):
    """The places of what is not zero, [n, dimensions]; as_tuple: one tensor for each dimension."""
    rows, count = _table.nonzero(input)
    rows = rows[:int(count)]
    return unstack(rows, 1) if as_tuple else rows


def where(condition, input, other):
    """input where the condition is true, other elsewhere."""
    if not isinstance(other, Tensor) and isinstance(input, Tensor):
        other = Tensor(other) if isinstance(other, float) and input.dtype.name.startswith("int") else Tensor(other, input.dtype)
    elif not isinstance(input, Tensor) and isinstance(other, Tensor):
        input = Tensor(input) if isinstance(input, float) and other.dtype.name.startswith("int") else Tensor(input, other.dtype)
    elif not isinstance(input, Tensor):
        input, other = Tensor(input), Tensor(other)
    if input.dtype != other.dtype:
        both = _table.add(_table.full((0,), 0, input.dtype), _table.full((0,), 0, other.dtype)).dtype
        input, other = input.cast(both), other.cast(both)
    if condition.dtype.name != "bool":
        condition = condition != 0
    return _table.where(condition, input, other)


def tensor_scatter_elements(input_x, indices, updates, axis=0, reduction="none"):
    """input with updates put (reduction "none") or added ("add") at places along an axis."""
    if reduction not in ("none", "add"):
        raise _errors.ValueError(f"tensor_scatter_elements: reduction is 'none' or 'add', got {reduction!r}")
    return _table.scatter(input_x, indices.cast("int64"), updates, axis=axis, reduce=reduction)


# ---- Parameters

def _fits(name, variable, value):
    """Refuses a Tensor of floats for a Parameter of integers, and any but bools for one of bools."""
    if isinstance(value, Tensor) and value.dtype != variable.dtype:
        to, of = variable.dtype.name, value.dtype.name
        if to == "bool" or "int" in to and "int" not in of and of != "bool":
            raise _errors.TypeError(f"{name}: a {of} Tensor for a Parameter of {to}; cast() it first")


def _rebound(name, variable, value):
    """A Tensor with another value, as x[...] = value gives it."""
    if value.shape != variable.shape:
        raise _errors.ValueError(f"[{name}] the Tensor has the shape {variable.shape}, its new value {value.shape}")
    return variable._rebind(value.cast(variable.dtype))


def assign(variable, value):
    """Gives a Parameter another value; returns it."""
    _fits("assign", variable, value)
    if not isinstance(variable, Parameter):
        return _rebound("assign", variable, _tensor(value))
    variable.set_data(value)
    return variable


def assign_add(variable, value):
    """Adds to a Parameter; returns it."""
    _fits("assign_add", variable, value)
    value = _tensor(value).cast(variable.dtype)
    if value.shape != variable.shape:
        value = _table.broadcast_to(value, variable.shape)
    if not isinstance(variable, Parameter):
        return _rebound("assign_add", variable, variable + value)
    if _rutile.tracked(variable):  # differentiated by: what is read afterwards counts
        variable.set_data(variable + value)
    else:
        _rutile.updates.assign_add(variable, value)
    return variable


def assign_sub(variable, value):
    """Subtracts from a Parameter; returns it."""
    _fits("assign_sub", variable, value)
    if not isinstance(variable, Parameter):
        return _rebound("assign_sub", variable, variable - value)
    variable.set_data(variable - value)
    return variable


def depend(value, expr):
    """value; what expr did happens before, as everything in the order of the program."""
    return value


def is_tensor(obj):
    """Whether it is a Tensor."""
    return isinstance(obj, Tensor)


def scalar_cast(input_x, input_y):
    """A number as an int, float or bool, by a dtype."""
    if isinstance(input_x, Tensor) or not isinstance(input_x, (bool, int, float)):
        raise _errors.TypeError(f"[scalar_cast] expects a number, got {type(input_x).__name__}; Tensors have cast(dtype)")
    kind = str(getattr(input_y, "name", input_y)).rstrip("_")
    kind = next((k for k in (bool, int, float) if kind.startswith(k.__name__)), int if kind.startswith("uint") else None)
    if kind is None:
        raise _errors.ValueError(f"[scalar_cast] expects an integer, float or bool dtype, got {input_y}")
    return kind(input_x)


def scalar_to_tensor(input_x, dtype="float32"):
    """A number as a Tensor without dimensions."""
    return Tensor(input_x, dtype)


def cast(input, dtype):
    """The same values in another dtype."""
    return _table.cast(_tensor(input), dtype)


def reshape(input, shape):
    """The elements in another shape; one size may be -1."""
    return _table.reshape(input, tuple(shape))


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n not in _imported]
