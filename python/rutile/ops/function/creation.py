# SPDX-License-Identifier: Apache-2.0
"""Functions that make tensors."""

import builtins as _b

from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops.function._util import _INTEGERS, _axis, _errors, _tensor, _seeded

_imported = set(globals())


def zeros(size, dtype=None):
    """Zeros of a shape."""
    return _table.full(_shape(size), 0, dtype or "float32")


def ones(shape, dtype=None):
    """Ones of a shape."""
    return _table.full(_shape(shape), 1, dtype or "float32")


def full(size, fill_value, *, dtype=None):
    """A tensor of one value; the dtype is that of the value."""
    if isinstance(fill_value, complex):
        kind = str(dtype or "complex64").lower()
        part = "float64" if kind.endswith("128") else "float32"
        y = _table.complex(*(_table.full(_shape(size), v, part) for v in (fill_value.real, fill_value.imag)))
        return y.cast(dtype or "complex64")
    if dtype is None:
        kind = type(fill_value)
        dtype = "bool" if kind is bool else "int64" if kind is int else "float32"
    return _table.full(_shape(size), fill_value, dtype)


def _shape(size):
    if isinstance(size, Tensor):
        size = size.asnumpy().tolist()
    return (size,) if isinstance(size, int) else tuple(size)


def fill(type, shape, value):
    """A tensor of one value with a dtype."""
    return _table.full(_shape(shape), value, type)


def zeros_like(input, *, dtype=None):
    """Zeros with the shape (and dtype) of another."""
    return _table.full(input.shape, 0, dtype or input.dtype)


def ones_like(input, *, dtype=None):
    """Ones with the shape (and dtype) of another."""
    return _table.full(input.shape, 1, dtype or input.dtype)


def full_like(input, fill_value, *, dtype=None):
    """One value with the shape (and dtype) of another."""
    return _table.full(input.shape, fill_value, dtype or input.dtype)


def arange(start=0, end=None, step=1, *, dtype=None):
    """start, start + step, ... below end; one argument is the end."""
    if end is None:
        start, end = 0, start
    return _table.arange(start, end, step, dtype)


def range(start, end=None, step=1, maxlen=1000000):
    """As arange; scalar Tensors are taken too."""
    start, end, step = (v.asnumpy().item() if isinstance(v, Tensor) else v for v in (start, end, step))
    return arange(start, end, step)


def logspace(start, end, steps, base=10, *, dtype=None):
    """base to the powers from start to end, `steps` of them."""
    start, end = (v.asnumpy().item() if isinstance(v, Tensor) else v for v in (start, end))
    return _table.logspace(float(start), float(end), steps=steps, base=float(base)).cast("float32" if dtype is None else dtype)


def linspace(start, end, steps):
    """`steps` numbers from start to end, both included."""
    if steps < 1:
        raise _errors.ValueError(f"linspace: steps must be positive, got {steps}")
    if steps == 1:
        return full((1,), float(start))
    i = _table.arange(0, steps, 1, "float32")
    return i * ((end - start) / (steps - 1)) + start


def eye(n, m=None, dtype=None):
    """Ones on the diagonal."""
    if "complex" in str(dtype).lower():
        return _table.eye(n, -1 if m is None else m, "float32").cast(dtype)
    return _table.eye(n, -1 if m is None else m, dtype or "float32")


def one_hot(indices, depth, on_value=1, off_value=0, axis=-1):
    """A one (on_value) at each index; rows of zeros (off_value) for an index outside [0, depth)."""
    indices = _tensor(indices)
    if not indices.dtype.name.startswith(("int", "uint")):
        raise _errors.TypeError(f"[one_hot] indices must be integers, got {indices.dtype}")
    if not isinstance(depth, Tensor) and depth < 0:
        raise _errors.ValueError(f"[one_hot] depth must not be negative, got {depth}")
    rank = indices.ndim
    at = _axis(axis, rank + 1)
    dtype = on_value.dtype if isinstance(on_value, Tensor) else "int64" if isinstance(on_value, int) else "float32"
    hit = indices.reshape(*indices.shape, 1) == _table.arange(0, depth)
    hit = _table.where(hit, _tensor(on_value).cast(dtype), _tensor(off_value).cast(dtype))
    if at == rank:
        return hit
    return _table.transpose(hit, (*_b.range(at), rank, *_b.range(at, rank)))


def rand(*size, dtype=None, seed=None):
    """Uniform in [0, 1)."""
    return _seeded(_table.random_uniform, _shape(size[0] if len(size) == 1 else size), 0.0, 1.0, dtype or "float32", seed=seed)


def randn(*size, dtype=None, seed=None):
    """Standard normal."""
    return _seeded(_table.random_normal, _shape(size[0] if len(size) == 1 else size), 0.0, 1.0, dtype or "float32", seed=seed)


def randint(low, high, size, seed=None, *, dtype=None):
    """Integers in [low, high)."""
    return _seeded(_table.random_randint, _shape(size), low, high, dtype or "int64", seed=seed)


def rand_like(input, seed=None, *, dtype=None):
    """rand with the shape of another."""
    return rand(input.shape, dtype=dtype or input.dtype, seed=seed)


def randn_like(input, seed=None, *, dtype=None):
    """randn with the shape of another."""
    return randn(input.shape, dtype=dtype or input.dtype, seed=seed)


def standard_normal(shape, seed=None):
    """Standard normal."""
    return randn(shape)


def uniform(shape, minval, maxval, seed=None, dtype="float32"):
    """Uniform between two numbers (or tensors)."""
    if str(getattr(dtype, "name", dtype)) in _INTEGERS:
        return _table.random_randint(_shape(shape), minval, maxval, dtype)
    return _table.random_uniform(_shape(shape), 0.0, 1.0, dtype) * (maxval - minval) + minval


def normal(shape, mean, stddev, seed=None):
    """Normal around mean; a negative stddev is an error."""
    return randn(shape) * _positive(stddev, "normal's stddev") + mean


def _positive(value, what):
    """A parameter of a distribution, a number or Tensor; ValueError where it is negative, when it runs."""
    if isinstance(value, Tensor):
        value = value if value.dtype.name.startswith(("float", "bfloat")) else value.cast("float32")
        return _table.require_range(value, min=0.0, what=what)
    if value < 0:
        raise _errors.ValueError(f"{what} must not be negative, got {value}")
    return value


def randperm(n, seed=0, offset=0, dtype="int64"):
    """A random order of 0 ... n - 1."""
    return _table.randperm(n, dtype)


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n not in _imported]
