# SPDX-License-Identifier: Apache-2.0
"""Convolutions with PyTorch's arguments and defaults."""

import math as _math

from rutile import _rutile
from rutile._rutile import Parameter
from rutile.common.initializer import HeUniform, Uniform, initializer
from rutile.mint.nn import functional as F
from rutile.nn.basic import _positive
from rutile.nn.cell import Cell

_errors = _rutile.errors

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d"]


def _sizes(cell, name, v, n):
    v = tuple(v) if isinstance(v, (tuple, list)) else (v,)
    v = v * n if len(v) == 1 else v
    if len(v) != n or any(isinstance(i, bool) or not isinstance(i, int) for i in v):
        raise _errors.ValueError(f"[{cell}] {name} is an int or {n} of them, got {v!r}")
    return v


class _Conv(Cell):
    _n, _transposed = 2, False

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True, padding_mode="zeros", dtype=None):
        super().__init__()
        name, n = type(self).__name__, self._n
        _positive(name, in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise _errors.ValueError(f"[{name}] {groups} groups do not divide {in_channels} and {out_channels} channels")
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise _errors.ValueError(f"[{name}] padding_mode is 'zeros', 'reflect', 'replicate' or 'circular', got {padding_mode!r}")
        self.in_channels, self.out_channels, self.groups, self.has_bias = in_channels, out_channels, groups, bias
        self.kernel_size, self.stride = _sizes(name, "kernel_size", kernel_size, n), _sizes(name, "stride", stride, n)
        self.dilation, self.padding_mode = _sizes(name, "dilation", dilation, n), padding_mode
        _positive(name, kernel_size=self.kernel_size, stride=self.stride, dilation=self.dilation)
        self.padding = self._pads(name, padding)
        shape = (in_channels, out_channels // groups) if self._transposed else (out_channels, in_channels // groups)
        shape += self.kernel_size
        dtype = "float32" if dtype is None else dtype
        self.weight = Parameter(initializer(HeUniform(_math.sqrt(5)), shape, dtype), name="weight")
        self.bias = None
        if bias:
            bound = 1 / _math.sqrt(_math.prod(shape[1:]))
            self.bias = Parameter(initializer(Uniform(bound), (out_channels,), dtype), name="bias")

    def _pads(self, name, padding):
        if not isinstance(padding, str):
            padding = _sizes(name, "padding", padding, self._n)
            if min(padding) < 0:
                raise _errors.ValueError(f"[{name}] padding must not be negative, got {padding}")
        elif padding not in ("same", "valid"):
            raise _errors.ValueError(f"[{name}] padding is numbers, 'same' or 'valid', got {padding!r}")
        elif padding == "same" and any(s != 1 for s in self.stride):
            raise _errors.ValueError(f"[{name}] padding='same' goes with a stride of 1, got {self.stride}")
        return padding

    def _around(self):
        """The padding of each side, from the last dimension on, as pad takes it."""
        sides = []
        for i in reversed(range(self._n)):
            total = 0
            if self.padding == "same":
                total = self.dilation[i] * (self.kernel_size[i] - 1)
            elif self.padding != "valid":
                total = 2 * self.padding[i]
            sides += [total // 2, total - total // 2]
        return tuple(sides)

    def construct(self, input):
        function = (F.conv1d, F.conv2d, F.conv3d)[self._n - 1]
        if self.padding_mode == "zeros":
            return function(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        x = F.pad(input, self._around(), self.padding_mode)
        return function(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)

    def extend_repr(self):
        return (f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
                f"dilation={self.dilation}, groups={self.groups}, bias={self.has_bias}, padding_mode={self.padding_mode!r}")


class Conv1d(_Conv):
    """1-D convolution of [n, c, l] or [c, l]; weight [out, in / groups, length]."""

    _n = 1


class Conv2d(_Conv):
    """2-D convolution of [n, c, h, w] or [c, h, w]; weight [out, in / groups, height, width]. padding: numbers, "same" or "valid"."""


class Conv3d(_Conv):
    """3-D convolution of [n, c, d, h, w] or [c, d, h, w]; weight [out, in / groups, depth, height, width]."""

    _n = 3


class ConvTranspose2d(_Conv):
    """Transposed 2-D convolution of [n, c, h, w] or [c, h, w]; weight [in, out / groups, height, width]."""

    _transposed = True

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1, bias=True, dilation=1,
                 padding_mode="zeros", dtype=None):
        if padding_mode != "zeros" or isinstance(padding, str):
            raise _errors.ValueError("[ConvTranspose2d] padding is numbers, padding_mode 'zeros'")
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, dtype)
        self.output_padding = _sizes("ConvTranspose2d", "output_padding", output_padding, 2)

    def construct(self, input, output_size=None):
        return F.conv_transpose2d(input, self.weight, self.bias, self.stride, self.padding, self._extra(input, output_size), self.groups, self.dilation)

    def _extra(self, x, output_size):
        """output_padding, or what gives a size that is asked for."""
        if output_size is None:
            return self.output_padding
        wanted, extra = tuple(output_size)[-2:], []
        for i in range(2):
            least = (x.shape[i - 2] - 1) * self.stride[i] - 2 * self.padding[i] + self.dilation[i] * (self.kernel_size[i] - 1) + 1
            if not least <= wanted[i] < least + self.stride[i]:
                raise _errors.ValueError(f"[ConvTranspose2d] output_size {wanted[i]} is not in [{least}, {least + self.stride[i]})")
            extra.append(wanted[i] - least)
        return tuple(extra)
