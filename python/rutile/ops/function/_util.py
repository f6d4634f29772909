# SPDX-License-Identifier: Apache-2.0
"""What the functions share."""

import builtins as _b

from rutile import _rutile
from rutile._rutile import Tensor

_errors = _rutile.errors
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def _tensor(x):
    return x if isinstance(x, Tensor) else Tensor(x)


def _axes(axis):
    """An axis, several or None (all), as the table's axes."""
    if axis is None:
        return ()
    return (axis,) if isinstance(axis, int) else tuple(axis)


def _axis(axis, rank, name="axis"):
    if not isinstance(axis, int) or not -rank <= axis < _b.max(rank, 1):
        raise _errors.ValueError(f"{name} {axis} is out of range for {rank} dimensions")
    return axis + rank if axis < 0 else axis


def _pair(v):
    return (v, v) if isinstance(v, int) else tuple(v)
