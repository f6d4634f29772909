# SPDX-License-Identifier: Apache-2.0
"""What the functions share."""

from rutile import _rutile
from rutile._rutile import Tensor

errors = _rutile.errors


def _small(x):
    """Whether these are Python's ints alone, which int32 holds."""
    if isinstance(x, (list, tuple)):
        return len(x) > 0 and all(map(_small, x))
    return isinstance(x, int) and -2**31 <= x < 2**31


def tensor(x):
    """A Tensor of what NumPy calls array-like; Python's floats give float32, as everywhere in this package, its ints int32,
    as in mindspore.numpy alone."""
    if isinstance(x, Tensor):
        return x
    y = Tensor(x)
    return y.cast("int32") if y.dtype.name == "int64" and _small(x) else y


def is_float(x):
    return x.dtype.name.startswith(("float", "bfloat", "complex"))


def has_nan(x):
    """Whether there can be a NaN: integers and bools have none, and keep their dtype."""
    return tensor(x).dtype.name.startswith(("float", "bfloat", "complex"))


def floating(x):
    """x as floats: integers and bools become float32."""
    x = tensor(x)
    return x if is_float(x) else x.cast("float32")


def axes(axis):
    """An axis, several, or None (all), as the table's axes."""
    return () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)


def place(axis, rank, name="axis"):
    if not isinstance(axis, int) or not -max(rank, 1) <= axis < max(rank, 1):
        raise errors.ValueError(f"{name} {axis} is out of range for {rank} dimensions")
    return axis % rank if rank else 0


def cast(x, dtype):
    return x if dtype is None else x.cast(dtype)


def names(scope, imported):
    return [n for n, v in list(scope.items()) if callable(v) and not n.startswith("_") and n not in imported]
