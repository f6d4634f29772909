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


def _key(seed):
    """A key of its own for a seed, None for the default generator."""
    if seed is None:
        return None
    if isinstance(seed, Tensor):
        seed = int(seed.asnumpy().item())
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise _errors.TypeError(f"seed is an int or None, got {seed!r}")
    if seed < 0:
        raise _errors.ValueError(f"seed must not be negative, got {seed}")
    return Tensor([seed], "uint64")


def _seeded(op, *args, seed=None, **kwargs):
    key = _key(seed)
    return op(*args, **kwargs) if key is None else op(*args, **kwargs, key=key)


def _drawn(op, generator, *args, **kwargs):
    """A random op with the next key of a generator, None: of the default one."""
    return op(*args, **kwargs) if generator is None else op(*args, **kwargs, key=generator.next_key())
