# SPDX-License-Identifier: Apache-2.0
"""Layers, by MindSpore's names and defaults."""

import math as _math

from rutile import _rutile
from rutile import ops
from rutile._rutile import Parameter, Tensor
from rutile.common.initializer import HeUniform, Uniform, initializer
from rutile.nn.activation import get_activation
from rutile.nn.cell import Cell
from rutile.ops import table
from rutile.ops.function import _pair, _padding
from rutile.ops.operations import pool

_errors = _rutile.errors


def _positive(cell, **sizes):
    for name, n in sizes.items():
        for v in n if isinstance(n, tuple) else (n,):
            if isinstance(v, bool) or not isinstance(v, int):
                raise _errors.TypeError(f"[{cell}] {name} must be an int, got {type(v).__name__}")
            if v <= 0:
                raise _errors.ValueError(f"[{cell}] {name} must be positive, got {n}")


def _bias(init, fan_in, shape, dtype):
    """Uniform within 1 / sqrt(fan_in) unless an initial value is given."""
    if init is None:
        init = Uniform(1 / _math.sqrt(fan_in)) if fan_in else "zeros"
    return Parameter(initializer(init, shape, dtype))


def _nchw(cell, data_format):
    if data_format != "NCHW":
        raise _errors.UnsupportedError(f"[{cell}] data_format is NCHW (the compiler chooses the layout in memory), "
                                       f"got {data_format!r}")


class Dense(Cell):
    """y = x @ weight.T + bias, weight [out_channels, in_channels]."""

    def __init__(self, in_channels, out_channels, weight_init=None, bias_init=None, has_bias=True, activation=None,
                 dtype="float32"):
        super().__init__()
        _positive("Dense", in_channels=in_channels, out_channels=out_channels)
        if not isinstance(has_bias, bool):
            raise _errors.TypeError(f"[Dense] has_bias must be a bool, got {has_bias!r}")
        self.in_channels, self.out_channels, self.has_bias = in_channels, out_channels, has_bias
        weight_init = HeUniform(_math.sqrt(5)) if weight_init is None else weight_init
        self.weight = Parameter(initializer(weight_init, (out_channels, in_channels), dtype))
        self.bias = _bias(bias_init, in_channels, (out_channels,), dtype) if has_bias else None
        self.activation = get_activation(activation) if isinstance(activation, str) else activation

    def construct(self, x):
        x = table.linear(x, self.weight, self.bias)
        return x if self.activation is None else self.activation(x)

    def extend_repr(self):
        text = f"input_channels={self.in_channels}, output_channels={self.out_channels}, has_bias={self.has_bias}"
        return text if self.activation is None else f"{text}, activation={type(self.activation).__name__}"


class Conv2d(Cell):
    """2-D convolution, NCHW; weight [out, in / group, height, width]. pad_mode "same" gives ceil(size / stride)."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, pad_mode="same", padding=0, dilation=1, group=1,
                 has_bias=False, weight_init=None, bias_init=None, data_format="NCHW", dtype="float32"):
        super().__init__()
        kernel = _pair(kernel_size)
        _positive("Conv2d", in_channels=in_channels, out_channels=out_channels, kernel_size=kernel,
                  stride=_pair(stride), dilation=_pair(dilation), group=group)
        _nchw("Conv2d", data_format)
        if in_channels % group or out_channels % group:
            raise _errors.ValueError(f"[Conv2d] group {group} must divide {in_channels} and {out_channels} channels")
        if pad_mode not in ("same", "valid", "pad"):
            raise _errors.ValueError(f"[Conv2d] pad_mode is 'same', 'valid' or 'pad', got {pad_mode!r}")
        if pad_mode != "pad" and padding not in (0, (0, 0, 0, 0)):
            raise _errors.ValueError(f"[Conv2d] padding {padding} goes with pad_mode='pad', not {pad_mode!r}")
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel
        self.stride, self.dilation, self.group = _pair(stride), _pair(dilation), group
        self.pad_mode, self.padding, self.has_bias = pad_mode, padding, has_bias
        shape = (out_channels, in_channels // group, *kernel)
        weight_init = HeUniform(_math.sqrt(5)) if weight_init is None else weight_init
        self.weight = Parameter(initializer(weight_init, shape, dtype))
        self.bias = _bias(bias_init, _math.prod(shape[1:]), (out_channels,), dtype) if has_bias else None

    def construct(self, x):
        return ops.conv2d(x, self.weight, self.bias, self.stride, self.pad_mode, self.padding, self.dilation,
                          self.group)

    def extend_repr(self):
        return (f"input_channels={self.in_channels}, output_channels={self.out_channels}, "
                f"kernel_size={self.kernel_size}, stride={self.stride}, pad_mode={self.pad_mode}, "
                f"padding={self.padding}, dilation={self.dilation}, group={self.group}, has_bias={self.has_bias}")


class Conv2dTranspose(Cell):
    """Transposed 2-D convolution, NCHW; weight [in, out / group, height, width]. pad_mode "same" gives size * stride.

    output_padding adds zeros after the result, as in MindSpore; ops.conv_transpose2d computes what stands there."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, pad_mode="same", padding=0, output_padding=0,
                 dilation=1, group=1, has_bias=False, weight_init=None, bias_init=None, dtype="float32"):
        super().__init__()
        kernel = _pair(kernel_size)
        _positive("Conv2dTranspose", in_channels=in_channels, out_channels=out_channels, kernel_size=kernel,
                  stride=_pair(stride), dilation=_pair(dilation), group=group)
        if in_channels % group or out_channels % group:
            raise _errors.ValueError(
                f"[Conv2dTranspose] group {group} must divide {in_channels} and {out_channels} channels")
        if pad_mode not in ("same", "valid", "pad"):
            raise _errors.ValueError(f"[Conv2dTranspose] pad_mode is 'same', 'valid' or 'pad', got {pad_mode!r}")
        if pad_mode != "pad" and (padding != 0 or output_padding != 0):
            raise _errors.ValueError(
                f"[Conv2dTranspose] padding and output_padding go with pad_mode='pad', not {pad_mode!r}")
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel
        self.stride, self.dilation, self.group = _pair(stride), _pair(dilation), group
        self.pad_mode, self.padding, self.output_padding = pad_mode, padding, output_padding
        self.has_bias = has_bias
        shape = (in_channels, out_channels // group, *kernel)
        weight_init = HeUniform(_math.sqrt(5)) if weight_init is None else weight_init
        self.weight = Parameter(initializer(weight_init, shape, dtype))
        self.bias = _bias(bias_init, _math.prod(shape[1:]), (out_channels,), dtype) if has_bias else None

    def construct(self, x):
        if self.pad_mode != "same":
            before, after = _padding(x, self.kernel_size, self.stride, self.dilation, self.pad_mode, self.padding)
            more, zeros = (0, 0), _pair(self.output_padding)
            if self.pad_mode == "valid":  # at least size * stride
                more = tuple(max(s - d * (k - 1) - 1, 0) for k, s, d in zip(self.kernel_size, self.stride, self.dilation))
            y = table.conv_transpose2d(x, self.weight, self.bias, stride=self.stride,
                                       pad=tuple(map(min, before, after)), output_pad=more, dilation=self.dilation,
                                       groups=self.group)
            if before != after:
                cut = (slice(max(b - a, 0), n - max(a - b, 0)) for b, a, n in zip(before, after, y.shape[2:]))
                y = y[(slice(None), slice(None), *cut)]
            # As MindSpore has it: zeros after the result, where other frameworks compute more of it.
            return table.pad(y, before=(0,) * 4, after=(0, 0, *zeros)) if any(zeros) else y
        # What is too much is cut off, the odd pixel after; what lacks is added after.
        over = [d * (k - 1) + 1 - s for k, s, d in zip(self.kernel_size, self.stride, self.dilation)]
        y = table.conv_transpose2d(x, self.weight, self.bias, stride=self.stride,
                                   pad=tuple(max(n, 0) // 2 for n in over), output_pad=tuple(max(-n, 0) for n in over),
                                   dilation=self.dilation, groups=self.group)
        return y[:, :, :x.shape[2] * self.stride[0], :x.shape[3] * self.stride[1]]

    def extend_repr(self):
        return (f"input_channels={self.in_channels}, output_channels={self.out_channels}, "
                f"kernel_size={self.kernel_size}, stride={self.stride}, pad_mode={self.pad_mode}, "
                f"padding={self.padding}, output_padding={self.output_padding}, dilation={self.dilation}, "
                f"group={self.group}, has_bias={self.has_bias}")


class _BatchNorm(Cell):
    _ranks = ()

    def __init__(self, num_features, eps=1e-5, momentum=0.9, affine=True, gamma_init="ones", beta_init="zeros",
                 moving_mean_init="zeros", moving_var_init="ones", use_batch_statistics=None, data_format="NCHW",
                 dtype="float32"):
        super().__init__()
        name = type(self).__name__
        _positive(name, num_features=num_features)
        if not 0 <= momentum <= 1:
            raise _errors.ValueError(f"[{name}] momentum must be in [0, 1], got {momentum}")
        self.num_features, self.eps, self.momentum, self.affine = num_features, eps, momentum, affine
        self.use_batch_statistics = use_batch_statistics
        shape = (num_features,)
        # On its own a layer's statistics have these names; within another Cell those of their attributes.
        self.moving_mean = Parameter(initializer(moving_mean_init, shape, dtype), name="mean", requires_grad=False)
        self.moving_variance = Parameter(initializer(moving_var_init, shape, dtype), name="variance", requires_grad=False)
        self.gamma = Parameter(initializer(gamma_init, shape, dtype), requires_grad=affine)
        self.beta = Parameter(initializer(beta_init, shape, dtype), requires_grad=affine)

    def construct(self, x):
        if self._ranks and x.ndim not in self._ranks:
            raise _errors.ValueError(f"[{type(self).__name__}] expects {' or '.join(map(str, self._ranks))} dimensions, "
                                     f"got {x.shape}")
        by_batch = self.training if self.use_batch_statistics is None else self.use_batch_statistics
        return ops.batch_norm(x, self.moving_mean, self.moving_variance, self.gamma, self.beta, by_batch,
                              1 - self.momentum, self.eps)

    def extend_repr(self):
        return (f"num_features={self.num_features}, eps={self.eps}, momentum={self.momentum}, gamma={self.gamma}, "
                f"beta={self.beta}, moving_mean={self.moving_mean}, moving_variance={self.moving_variance}")


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of [n, c] (Ioffe and Szegedy, 2015). moving = moving * momentum + batch * (1 - momentum)."""

    _ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of [n, c, h, w]. moving = moving * momentum + batch * (1 - momentum), variance unbiased."""

    _ranks = (4,)


class BatchNorm3d(Cell):
    """Batch normalisation of [n, c, d, h, w]; its Parameters are those of a BatchNorm2d inside, bn2d, as in MindSpore."""

    def __init__(self, num_features, eps=1e-5, momentum=0.9, affine=True, gamma_init="ones", beta_init="zeros",
                 moving_mean_init="zeros", moving_var_init="ones", use_batch_statistics=None, dtype="float32"):
        super().__init__()
        self.bn2d = BatchNorm2d(num_features, eps, momentum, affine, gamma_init, beta_init, moving_mean_init,
                                moving_var_init, use_batch_statistics, dtype=dtype)

    def construct(self, x):
        if x.ndim != 5:
            raise _errors.ValueError(f"[BatchNorm3d] expects 5 dimensions, got {x.shape}")
        n, c, d, h, w = x.shape
        return self.bn2d(x.reshape(n, c, d * h, w)).reshape(x.shape)


class LayerNorm(Cell):
    """Normalised over the dimensions from begin_norm_axis on (Ba et al., 2016)."""

    def __init__(self, normalized_shape, begin_norm_axis=-1, begin_params_axis=-1, gamma_init="ones", beta_init="zeros",
                 epsilon=1e-7, dtype="float32"):
        super().__init__()
        if not isinstance(normalized_shape, (tuple, list)):
            raise _errors.TypeError(f"[LayerNorm] normalized_shape is a tuple or list, got {normalized_shape!r}")
        shape = tuple(normalized_shape)
        _positive("LayerNorm", normalized_shape=shape)
        self.normalized_shape, self.begin_norm_axis, self.epsilon = shape, begin_norm_axis, epsilon
        self.begin_params_axis = begin_params_axis
        self.gamma = Parameter(initializer(gamma_init, shape, dtype))
        self.beta = Parameter(initializer(beta_init, shape, dtype))

    def construct(self, x):
        first = self.begin_norm_axis % x.ndim if x.ndim else 0
        return table.layer_norm(x, self.gamma, self.beta, axes=x.ndim - first, eps=self.epsilon)[0]

    def extend_repr(self):
        return f"normalized_shape={self.normalized_shape}, begin_norm_axis={self.begin_norm_axis}"


class GroupNorm(Cell):
    """Normalised over groups of channels (Wu and He, 2018)."""

    def __init__(self, num_groups, num_channels, eps=1e-5, affine=True, gamma_init="ones", beta_init="zeros",
                 dtype="float32"):
        super().__init__()
        _positive("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise _errors.ValueError(f"[GroupNorm] {num_groups} groups do not divide {num_channels} channels")
        if not isinstance(eps, float):
            raise _errors.TypeError(f"[GroupNorm] eps is a float, got {eps!r}")
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.gamma = Parameter(initializer(gamma_init, (num_channels,), dtype), requires_grad=affine)
        self.beta = Parameter(initializer(beta_init, (num_channels,), dtype), requires_grad=affine)

    def construct(self, x):
        grouped = x.reshape(x.shape[0], self.num_groups, -1)
        y = table.layer_norm(grouped, axes=1, eps=self.eps)[0].reshape(x.shape)
        per_channel = (1, self.num_channels) + (1,) * (x.ndim - 2)
        return y * self.gamma.reshape(per_channel) + self.beta.reshape(per_channel)

    def extend_repr(self):
        return f"num_groups={self.num_groups}, num_channels={self.num_channels}"


class Embedding(Cell):
    """Rows of embedding_table [vocab_size, embedding_size]; that of padding_idx starts as zeros, and is trained like the others."""

    def __init__(self, vocab_size, embedding_size, use_one_hot=False, embedding_table="normal", dtype="float32",
                 padding_idx=None):
        super().__init__()
        _positive("Embedding", vocab_size=vocab_size, embedding_size=embedding_size)
        self.vocab_size, self.embedding_size = vocab_size, embedding_size
        self.use_one_hot, self.padding_idx = use_one_hot, padding_idx
        value = initializer(embedding_table, (vocab_size, embedding_size), dtype)
        if padding_idx is not None:
            keep = (table.arange(0, vocab_size) != padding_idx).reshape(-1, 1)
            value = value * keep.cast(dtype)
        self.embedding_table = Parameter(value)

    def construct(self, ids):
        return ops.embedding(ids, self.embedding_table)

    def extend_repr(self):
        return f"vocab_size={self.vocab_size}, embedding_size={self.embedding_size}, use_one_hot={self.use_one_hot}"


class Dropout(Cell):
    """In training: zeros with probability p (older scripts: 1 - keep_prob), the rest divided by 1 - p."""

    def __init__(self, keep_prob=0.5, p=None, dtype="float32"):
        super().__init__()
        self.p = 1 - keep_prob if p is None else p
        if not 0 <= self.p < 1:
            raise _errors.ValueError(f"[Dropout] p must be in [0, 1), got {self.p}")

    def construct(self, x):
        return ops.dropout(x, self.p, self.training)

    def extend_repr(self):
        return f"p={self.p}"


class Flatten(Cell):
    """Dimensions start_dim to end_dim as one."""

    def __init__(self, start_dim=1, end_dim=-1):
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def construct(self, x):
        return ops.flatten(x, start_dim=self.start_dim, end_dim=self.end_dim)


class Identity(Cell):
    """Its input."""

    def construct(self, x):
        return x


class _Pool2d(Cell):
    _kind = ""

    def _setup(self, kernel_size, stride, pad_mode, padding, ceil_mode, data_format):
        name = type(self).__name__
        _nchw(name, data_format)
        pad_mode = pad_mode.lower()
        if pad_mode not in ("same", "valid", "pad"):
            raise _errors.ValueError(f"[{name}] pad_mode is 'same', 'valid' or 'pad', got {pad_mode!r}")
        if pad_mode != "pad" and padding not in (0, (0, 0)):
            raise _errors.ValueError(f"[{name}] padding {padding} goes with pad_mode='pad', not {pad_mode!r}")
        _positive(name, kernel_size=_pair(kernel_size), stride=_pair(stride))
        self.kernel_size, self.stride = _pair(kernel_size), _pair(stride)
        self.pad_mode, self.padding, self.ceil_mode = pad_mode, padding, ceil_mode

    def _pool(self, x, **options):
        if x.ndim == 3:
            return self._pool(x.reshape(1, *x.shape), **options)[0]
        before, after = _padding(x, self.kernel_size, self.stride, (1, 1), self.pad_mode, self.padding)
        return pool(x, self.kernel_size, self.stride, before, after, self._kind, self.ceil_mode, **options)

    def extend_repr(self):
        return f"kernel_size={self.kernel_size}, stride={self.stride}, pad_mode={self.pad_mode.upper()}"


class MaxPool2d(_Pool2d):
    """The largest of each window; the stride is 1 unless given."""

    _kind = "max"

    def __init__(self, kernel_size=1, stride=1, pad_mode="valid", padding=0, dilation=1, return_indices=False,
                 ceil_mode=False, data_format="NCHW"):
        super().__init__()
        self._setup(kernel_size, stride, pad_mode, padding, ceil_mode, data_format)
        self.dilation, self.return_indices = _pair(dilation), return_indices
        if (return_indices or self.dilation != (1, 1)) and self.pad_mode == "same":
            raise _errors.ValueError("[MaxPool2d] dilation and return_indices go with pad_mode 'valid' or 'pad'")

    def construct(self, x):
        if self.return_indices or self.dilation != (1, 1):
            padding = self.padding if self.pad_mode == "pad" else 0
            return ops.max_pool2d(x, self.kernel_size, self.stride, padding, self.dilation, self.return_indices,
                                  self.ceil_mode)
        return self._pool(x)


class AvgPool2d(_Pool2d):
    """The mean of each window; the stride is 1 unless given."""

    _kind = "avg"

    def __init__(self, kernel_size=1, stride=1, pad_mode="valid", padding=0, ceil_mode=False, count_include_pad=True,
                 divisor_override=None, data_format="NCHW"):
        super().__init__()
        self._setup(kernel_size, stride, pad_mode, padding, ceil_mode, data_format)
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def construct(self, x):
        return self._pool(x, count_include_pad=self.pad_mode == "pad" and self.count_include_pad,
                          divisor=self.divisor_override or 0)


class AdaptiveAvgPool2d(Cell):
    """Means over as many windows as the output has."""

    def __init__(self, output_size):
        super().__init__()
        self.output_size = output_size

    def construct(self, x):
        return ops.adaptive_avg_pool2d(x, self.output_size)

    def extend_repr(self):
        return f"output_size={self.output_size}"


class Pad(Cell):
    """Padding around: ((before, after), ...) for every dimension; mode CONSTANT (zeros), REFLECT (the border reflected without
    its last element) or SYMMETRIC (with it)."""

    def __init__(self, paddings, mode="CONSTANT"):
        super().__init__()
        if not isinstance(paddings, tuple):
            raise _errors.TypeError(f"[Pad] paddings must be a tuple, got {type(paddings).__name__}")
        self.paddings, self.mode = tuple(tuple(p) for p in paddings), mode
        if any(len(p) != 2 for p in self.paddings):
            raise _errors.ValueError(f"[Pad] paddings are pairs (before, after), got {paddings}")
        if mode not in ("CONSTANT", "REFLECT", "SYMMETRIC"):
            raise _errors.ValueError(f"[Pad] mode is CONSTANT, REFLECT or SYMMETRIC, got {mode!r}")

    def construct(self, x):
        if self.mode != "SYMMETRIC":
            return table.pad(x, before=tuple(p[0] for p in self.paddings), after=tuple(p[1] for p in self.paddings),
                             mode=self.mode.lower())
        if len(self.paddings) != x.ndim or any(max(p) > n for p, n in zip(self.paddings, x.shape)):
            raise _errors.ValueError(f"[Pad] paddings {self.paddings} do not fit {x.shape}")
        for axis, ((before, after), n) in enumerate(zip(self.paddings, x.shape)):
            if before or after:
                at = [*range(before - 1, -1, -1), *range(n), *range(n - 1, n - 1 - after, -1)]
                x = table.gather(x, Tensor(at, "int64"), axis=axis)
        return x


__all__ = [_n for _n, _v in list(globals().items())
           if isinstance(_v, type) and issubclass(_v, Cell) and _v is not Cell and not _n.startswith("_")]


def __getattr__(name):
    # MindSpore's folder of all layers.
    from rutile import compat, nn
    if f"nn.layer.{name}" in compat.MOVED:
        return compat.moved(f"nn.layer.{name}")
    if not name.startswith("__") and name in nn.__all__:
        return getattr(nn, name)
    raise AttributeError(f"module 'rutile.nn.layer' has no attribute {name!r}")
