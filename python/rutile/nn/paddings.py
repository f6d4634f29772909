# SPDX-License-Identifier: Apache-2.0
"""Paddings, by MindSpore's names. Numbers stand before and after the last dimension, then the one before it."""

from rutile import _rutile
from rutile import ops
from rutile.nn.cell import Cell

_errors = _rutile.errors

__all__ = ["ConstantPad1d", "ConstantPad2d", "ConstantPad3d", "ReflectionPad1d", "ReflectionPad2d", "ReflectionPad3d",
           "ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d", "ZeroPad2d"]


class _Pad(Cell):
    _n, _mode, _ranks = 1, "constant", None

    def _setup(self, padding, value=0):
        name = type(self).__name__
        if isinstance(padding, bool) or not isinstance(padding, (int, tuple)):
            raise _errors.TypeError(f"[{name}] padding must be an int or a tuple, got {type(padding).__name__}")
        padding = (padding,) * (2 * self._n) if isinstance(padding, int) else padding
        if any(isinstance(p, bool) or not isinstance(p, int) for p in padding):
            raise _errors.TypeError(f"[{name}] padding must hold ints, got {padding}")
        if len(padding) % 2 or len(padding) > 2 * self._n or (self._n == 1 and len(padding) != 2):
            raise _errors.ValueError(f"[{name}] padding is an int or {2 * self._n} of them, got {padding}")
        if self._mode == "reflect" and any(p < 0 for p in padding):
            raise _errors.ValueError(f"[{name}] padding must not be negative, got {padding}")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _errors.TypeError(f"[{name}] value must be a number, got {type(value).__name__}")
        self.padding, self.value = padding, value

    def __init__(self, padding):
        super().__init__()
        self._setup(padding)

    def construct(self, x):
        if self._mode != "constant" and x.ndim not in (self._n + 1, self._n + 2):
            raise _errors.ValueError(f"[{type(self).__name__}] expects {self._n + 1} or {self._n + 2} dimensions, got "
                                     f"{x.shape}")
        return ops.pad(x, self.padding, self._mode, self.value)

    def extend_repr(self):
        return f"padding={self.padding}" + (f", value={self.value}" if self._mode == "constant" else "")


class _ConstantPad(_Pad):
    def __init__(self, padding, value):
        Cell.__init__(self)
        self._setup(padding, value)


class ConstantPad1d(_ConstantPad):
    """`value` around the last dimension: an int or (left, right). Negative numbers cut off."""


class ConstantPad2d(_ConstantPad):
    """`value` around the last two dimensions: an int or (left, right, top, bottom).

    >>> from rutile import nn, ops
    >>> nn.ConstantPad2d((1, 0, 0, 1), 7)(ops.zeros((1, 2))).asnumpy().tolist()
    [[7.0, 0.0, 0.0], [7.0, 7.0, 7.0]]
    """

    _n = 2


class ConstantPad3d(_ConstantPad):
    """`value` around the last three dimensions: an int or (left, right, top, bottom, front, back)."""

    _n = 3


class ZeroPad2d(_Pad):
    """Zeros around the last two dimensions: an int or (left, right, top, bottom)."""

    _n = 2


class ReflectionPad1d(_Pad):
    """The border reflected, without the last element itself; [n, c, l] or [c, l]."""

    _mode = "reflect"


class ReflectionPad2d(ReflectionPad1d):
    """The border reflected, without the last element itself; [n, c, h, w] or [c, h, w]."""

    _n = 2


class ReflectionPad3d(ReflectionPad1d):
    """The border reflected, without the last element itself; [n, c, d, h, w] or [c, d, h, w]."""

    _n = 3


class ReplicationPad1d(_Pad):
    """The border repeated; [n, c, l] or [c, l]."""

    _mode = "replicate"


class ReplicationPad2d(ReplicationPad1d):
    """The border repeated; [n, c, h, w] or [c, h, w]."""

    _n = 2


class ReplicationPad3d(ReplicationPad1d):
    """The border repeated; [n, c, d, h, w] or [c, d, h, w]."""

    _n = 3
