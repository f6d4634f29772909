# SPDX-License-Identifier: Apache-2.0
"""Convolutions of signals and volumes, and transposed ones, by MindSpore's names, defaults and weight shapes."""

import math as _math

from rutile import _rutile
from rutile import ops
from rutile._rutile import Parameter, Tensor
from rutile.common.initializer import HeUniform, initializer
from rutile.nn.cell import Cell
from rutile.nn.activation import LeakyReLU, get_activation
from rutile.nn.layer import BatchNorm1d, BatchNorm2d, Conv2d, Dense, _bias, _positive
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["Conv1d", "Conv1dTranspose", "Conv2dBnAct", "Conv3d", "Conv3dTranspose", "DenseBnAct"]


def _many(cell, name, v, n):
    v = (v,) * n if isinstance(v, int) and not isinstance(v, bool) else v
    if not isinstance(v, (tuple, list)) or len(v) != n:
        raise _errors.TypeError(f"[{cell}] {name} must be an int or {n} of them, got {v!r}")
    return tuple(v)


class _Conv(Cell):
    """Weights, and what all convolutions check. The weight of a signal has a height of one, as in MindSpore's files."""

    def _setup(self, n, in_channels, out_channels, kernel_size, stride, pad_mode, padding, dilation, group, has_bias,
               weight_init, bias_init, dtype, transposed):
        name = type(self).__name__
        kernel, stride, dilation = (_many(name, k, v, n) for k, v in (
            ("kernel_size", kernel_size), ("stride", stride), ("dilation", dilation)))
        _positive(name, in_channels=in_channels, out_channels=out_channels, kernel_size=kernel, stride=stride,
                  dilation=dilation, group=group)
        if in_channels % group or out_channels % group:
            raise _errors.ValueError(f"[{name}] group {group} must divide {in_channels} and {out_channels} channels")
        if pad_mode not in ("same", "valid", "pad"):
            raise _errors.ValueError(f"[{name}] pad_mode is 'same', 'valid' or 'pad', got {pad_mode!r}")
        pads = padding if isinstance(padding, (tuple, list)) else (padding,)
        if any(isinstance(p, bool) or not isinstance(p, int) for p in pads):
            raise _errors.TypeError(f"[{name}] padding must be an int or a tuple of them, got {padding!r}")
        if any(p < 0 for p in pads):
            raise _errors.ValueError(f"[{name}] padding must not be negative, got {padding}")
        if pad_mode != "pad" and any(pads):
            raise _errors.ValueError(f"[{name}] padding {padding} goes with pad_mode='pad', not {pad_mode!r}")
        if len(pads) not in (1, 2 * n):
            raise _errors.ValueError(f"[{name}] padding is an int or {2 * n} of them, got {padding}")
        pads = tuple(pads) * (2 * n) if len(pads) == 1 else tuple(pads)
        self.in_channels, self.out_channels, self.group, self.has_bias = in_channels, out_channels, group, has_bias
        self.kernel_size, self.stride, self.dilation = kernel, stride, dilation
        self.pad_mode, self.padding = pad_mode, padding
        self._before, self._after = pads[::2], pads[1::2]
        field = (1, *kernel) if n == 1 else kernel
        shape = (in_channels, out_channels // group, *field) if transposed else (out_channels, in_channels // group, *field)
        if n == 1 and isinstance(weight_init, Tensor) and weight_init.ndim == 3:
            weight_init = weight_init.reshape((*weight_init.shape[:2], 1, weight_init.shape[2]))
        weight_init = HeUniform(_math.sqrt(5)) if weight_init is None else weight_init
        self.weight = Parameter(initializer(weight_init, shape, dtype))
        self.bias = _bias(bias_init, _math.prod(shape[1:]), (out_channels,), dtype) if has_bias else None

    def extend_repr(self):
        return (f"input_channels={self.in_channels}, output_channels={self.out_channels}, "
                f"kernel_size={self.kernel_size}, stride={self.stride}, pad_mode={self.pad_mode}, "
                f"padding={self.padding}, dilation={self.dilation}, group={self.group}, has_bias={self.has_bias}")


class Conv1d(_Conv):
    """1-D convolution of [n, c, l]; weight [out, in / group, 1, kernel]. pad_mode "same" gives ceil(l / stride).

    >>> from rutile import nn, ops
    >>> nn.Conv1d(4, 2, 3, stride=2)(ops.ones((1, 4, 9))).shape
    (1, 2, 5)
    """

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, pad_mode="same", padding=0, dilation=1, group=1,
                 has_bias=False, weight_init=None, bias_init=None, dtype="float32"):
        super().__init__()
        self._setup(1, in_channels, out_channels, kernel_size, stride, pad_mode, padding, dilation, group, has_bias,
                    weight_init, bias_init, dtype, False)

    def construct(self, x):
        if x.ndim != 3:
            raise _errors.ValueError(f"[Conv1d] expects 3 dimensions, got {x.shape}")
        y = ops.conv2d(x.expand_dims(2), self.weight, self.bias, (1, *self.stride), self.pad_mode,
                       (0, 0, *self._before, *self._after) if self.pad_mode == "pad" else 0, (1, *self.dilation), self.group)
        return y.squeeze(2)


class Conv3d(_Conv):
    """3-D convolution of [n, c, d, h, w]; weight [out, in / group, *kernel]. padding: an int or six of them."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, pad_mode="same", padding=0, dilation=1, group=1,
                 has_bias=False, weight_init=None, bias_init=None, data_format="NCDHW", dtype="float32"):
        super().__init__()
        if data_format != "NCDHW":
            raise _errors.UnsupportedError(f"[Conv3d] data_format is NCDHW, got {data_format!r}")
        self._setup(3, in_channels, out_channels, kernel_size, stride, pad_mode, padding, dilation, group, has_bias,
                    weight_init, bias_init, dtype, False)

    def construct(self, x):
        if x.ndim != 5:
            raise _errors.ValueError(f"[Conv3d] expects 5 dimensions, got {x.shape}")
        padding = tuple(p for pair in zip(self._before, self._after) for p in pair) if self.pad_mode == "pad" else 0
        return ops.conv3d(x, self.weight, self.bias, self.stride, self.pad_mode, padding, self.dilation, self.group)


def transposed(op, x, weight, bias, kernel, stride, dilation, groups, pad_mode, before, after, more):
    """A transposed convolution by MindSpore's pad_mode: "same" gives size * stride, "valid" at least that."""
    field = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    if pad_mode == "same":
        over = [f - s for f, s in zip(field, stride)]
        before, after, more = [max(n, 0) // 2 for n in over], [(max(n, 0) + 1) // 2 for n in over], [max(-n, 0) for n in over]
    elif pad_mode == "valid":
        more = [max(s - f, 0) for f, s in zip(field, stride)]
    # What is more after than before is cut off.
    y = op(x, weight, bias, stride=tuple(stride), pad=tuple(min(b, a) for b, a in zip(before, after)),
           output_pad=tuple(more), dilation=tuple(dilation), groups=groups)
    if list(before) == list(after):
        return y
    cut = tuple(slice(max(b - a, 0), n - max(a - b, 0)) for b, a, n in zip(before, after, y.shape[2:]))
    return y[(slice(None), slice(None), *cut)]


class Conv1dTranspose(_Conv):
    """Transposed 1-D convolution of [n, c, l]; weight [in, out / group, 1, kernel]. pad_mode "same" gives l * stride."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, pad_mode="same", padding=0, dilation=1, group=1,
                 has_bias=False, weight_init=None, bias_init=None, dtype="float32"):
        super().__init__()
        self._setup(1, in_channels, out_channels, kernel_size, stride, pad_mode, padding, dilation, group, has_bias,
                    weight_init, bias_init, dtype, True)

    def construct(self, x):
        if x.ndim != 3:
            raise _errors.ValueError(f"[Conv1dTranspose] expects 3 dimensions, got {x.shape}")
        y = transposed(table.conv_transpose2d, x.expand_dims(2), self.weight, self.bias, (1, *self.kernel_size),
                       (1, *self.stride), (1, *self.dilation), self.group, self.pad_mode, (0, *self._before),
                       (0, *self._after), (0, 0))
        return y.squeeze(2)


class Conv3dTranspose(_Conv):
    """Transposed 3-D convolution of [n, c, d, h, w]; weight [in, out / group, *kernel]. pad_mode "same" gives size *
    stride; output_padding goes with "pad"."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, pad_mode="same", padding=0, dilation=1, group=1,
                 output_padding=0, has_bias=False, weight_init=None, bias_init=None, data_format="NCDHW", dtype="float32"):
        super().__init__()
        if data_format != "NCDHW":
            raise _errors.UnsupportedError(f"[Conv3dTranspose] data_format is NCDHW, got {data_format!r}")
        self._setup(3, in_channels, out_channels, kernel_size, stride, pad_mode, padding, dilation, group, has_bias,
                    weight_init, bias_init, dtype, True)
        self.output_padding = _many("Conv3dTranspose", "output_padding", output_padding, 3)
        if pad_mode != "pad" and any(self.output_padding):
            raise _errors.ValueError(f"[Conv3dTranspose] output_padding goes with pad_mode='pad', not {pad_mode!r}")

    def construct(self, x):
        if x.ndim != 5:
            raise _errors.ValueError(f"[Conv3dTranspose] expects 5 dimensions, got {x.shape}")
        return transposed(table.conv_transpose3d, x, self.weight, self.bias, self.kernel_size, self.stride, self.dilation,
                          self.group, self.pad_mode, self._before, self._after, self.output_padding)


class _BnAct(Cell):
    def _finish(self, norm, has_bn, activation, alpha):
        self.has_bn, self.has_act = bool(has_bn), activation is not None
        if self.has_bn:
            self.batchnorm = norm()
        self.activation = LeakyReLU(alpha) if activation == "leakyrelu" else (
            get_activation(activation) if isinstance(activation, str) else activation)
        if self.activation is not None and not callable(self.activation):
            raise _errors.TypeError(f"[{type(self).__name__}] activation must be a name, a Cell or a primitive, got "
                                    f"{type(activation).__name__}")

    def _end(self, x):
        x = self.batchnorm(x) if self.has_bn else x
        return self.activation(x) if self.has_act else x


class Conv2dBnAct(_BnAct):
    """Conv2d, then BatchNorm2d (has_bn) and an activation, if any."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, pad_mode="same", padding=0, dilation=1, group=1,
                 has_bias=False, weight_init="normal", bias_init="zeros", has_bn=False, momentum=0.997, eps=1e-5,
                 activation=None, alpha=0.2, after_fake=True):
        super().__init__()
        self.conv = Conv2d(in_channels, out_channels, kernel_size, stride, pad_mode, padding, dilation, group, has_bias,
                           weight_init, bias_init)
        self._finish(lambda: BatchNorm2d(out_channels, eps, momentum), has_bn, activation, alpha)

    def construct(self, x):
        return self._end(self.conv(x))


class DenseBnAct(_BnAct):
    """Dense, then BatchNorm1d (has_bn) and an activation, if any."""

    def __init__(self, in_channels, out_channels, weight_init="normal", bias_init="zeros", has_bias=True, has_bn=False,
                 momentum=0.9, eps=1e-5, activation=None, alpha=0.2, after_fake=True):
        super().__init__()
        self.dense = Dense(in_channels, out_channels, weight_init, bias_init, has_bias)
        self._finish(lambda: BatchNorm1d(out_channels, eps, momentum), has_bn, activation, alpha)

    def construct(self, x):
        return self._end(self.dense(x))
