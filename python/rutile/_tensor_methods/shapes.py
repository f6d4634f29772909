# SPDX-License-Identifier: Apache-2.0
"""Shapes: views, dimensions in another order, sizes and strides."""

from rutile import ops as _ops
from rutile._rutile import Tensor, errors as _errors
from rutile._tensor_methods._register import add_method, add_property, method
from rutile.ops import table as _table


@method
def view(self, *shape):
    """The elements in another shape; view(dtype): their bits as another dtype (ops.bitcast)."""
    if len(shape) == 1 and isinstance(shape[0], (str, type(self.dtype))):
        return _table.bitcast(self, shape[0])
    return _table.reshape(self, shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)


@method
def view_as(self, other):
    """The elements in the shape of another tensor."""
    return _table.reshape(self, other.shape)


Tensor.reshape_as = view_as


@method
def permute(self, *axes):
    """The dimensions in another order; without arguments reversed."""
    return _table.transpose(self, axes[0] if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes)


@method
def transpose(self, *axes):
    """The dimensions in another order (all, or none for the reverse); two dimensions of more exchanged."""
    if len(axes) == 2 and self.ndim > 1 and all(isinstance(a, int) for a in axes):
        return _ops.swapaxes(self, *axes)
    return _table.transpose(self, tuple(axes[0]) if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes)


@method
def flatten(self, start_dim=0, end_dim=-1, order="C"):
    """Dimensions start_dim to end_dim as one; order "F": columns first."""
    order, start_dim = (start_dim, 0) if isinstance(start_dim, str) else (order, start_dim)
    if order not in ("C", "F"):
        raise _errors.ValueError(f"flatten: order is 'C' or 'F', got {order!r}")
    x = _table.transpose(self) if order == "F" else self
    return _ops.flatten(x, start_dim=start_dim, end_dim=end_dim)


@method
def squeeze(self, *args, axis=None):
    """Without dimensions of size 1: all, or those named."""
    axis = args if axis is None else axis
    axis = tuple(axis[0]) if isinstance(axis, tuple) and len(axis) == 1 and isinstance(axis[0], (tuple, list)) else axis
    return _ops.squeeze(self, None if axis in ((), (None,)) else axis)


@method
def unsqueeze(self, dim):
    """A new dimension of size 1."""
    return _ops.unsqueeze(self, dim)


@method
def repeat(self, *repeats, axis=None):
    """Every element repeated (along an axis, or of all); several numbers repeat the whole along each dimension."""
    if len(repeats) == 2 and axis is None and self.ndim < 2 or len(repeats) > 2 or len(repeats) == 1 and isinstance(
            repeats[0], (tuple, list)) and axis is None and len(repeats[0]) != self.size:
        return _ops.tile(self, repeats[0] if len(repeats) == 1 else repeats)
    repeats, axis = repeats[0], repeats[1] if len(repeats) == 2 else axis
    return _ops.repeat_interleave(self, repeats, axis)


@method
def resize(self, *new_shape):
    """The elements in another shape, with zeros for those that lack."""
    shape = tuple(new_shape[0]) if len(new_shape) == 1 and isinstance(new_shape[0], (tuple, list)) else new_shape
    n = 1
    for v in shape:
        n *= v
    flat = self.reshape(-1)
    if n > self.size:
        flat = _table.concat([flat, _table.full((n - self.size,), 0, self.dtype)], axis=0)
    return flat[:n].reshape(shape)


@method
def sum_to_size(self, *size):
    """Summed over the dimensions in which `size` is 1 or lacks."""
    size = tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    return _table.sum_to_shape(self, size)


@method
def numel(self):
    """The number of elements."""
    return self.size


@method
def dim(self):
    """The number of dimensions."""
    return self.ndim


Tensor.ndimension = dim


@method
def stride(self, dim=None):
    """Elements from one to the next of each dimension, or of one."""
    steps = [s // self.itemsize for s in self.strides]
    return steps if dim is None else steps[dim]


@method
def is_contiguous(self):
    """Whether the elements lie in row-major order without gaps."""
    want, expected = [], 1
    for n in reversed(self.shape):
        want.append(expected)
        expected *= max(n, 1)
    return self.size == 0 or all(n == 1 or s == w for n, s, w in zip(self.shape, stride(self), reversed(want)))


add_method("nelement", lambda self: self.size, "The number of elements.")
add_method("storage_offset", lambda self: 0, "0: a tensor begins at its memory's start, as far as it shows.")
add_property("mT", lambda self: _ops.swapaxes(self, -1, -2), "The last two dimensions exchanged.")
add_property("mH", lambda self: _ops.adjoint(self), "The last two dimensions exchanged, conjugated.")
add_property("H", lambda self: _ops.adjoint(self), "A matrix transposed, conjugated.")
