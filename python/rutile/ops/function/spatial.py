# SPDX-License-Identifier: Apache-2.0
"""Convolutions, pools, sampling and norms beyond two dimensions, by MindSpore's arguments."""

import builtins as _b

from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops.function._util import _errors

_imported = set(globals())


def _many(v, n):
    return (v,) * n if isinstance(v, int) else tuple(v)


def _pads(name, x, kernel, stride, dilation, pad_mode, padding):
    """(before, after) of each spatial dimension by MindSpore's pad_mode."""
    n = len(kernel)
    if pad_mode == "valid":
        return (0,) * n, (0,) * n
    if pad_mode == "same":
        before, after = [], []
        for size, k, s, d in zip(x.shape[2:], kernel, stride, dilation):
            total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
            before.append(total // 2)
            after.append(total - total // 2)
        return tuple(before), tuple(after)
    if pad_mode != "pad":
        raise _errors.ValueError(f"{name}: pad_mode is 'same', 'valid' or 'pad', got {pad_mode!r}")
    p = (padding,) * n if isinstance(padding, int) else tuple(padding)
    if len(p) == 2 * n and n > 1:
        return p[::2], p[1::2]
    p = p * n if len(p) == 1 else p
    if len(p) != n:
        raise _errors.ValueError(f"{name}: padding is an int, or {n} or {2 * n} of them, got {padding!r}")
    return p, p


def _conv(name, op, n, x, weight, bias, stride, pad_mode, padding, dilation, groups):
    stride, dilation = _many(stride, n), _many(dilation, n)
    if x.ndim != n + 2 or weight.ndim != n + 2:
        return op(x, weight, bias)  # which says what is wrong
    if pad_mode != "pad" and padding not in (0, (0,) * n, (0,) * 2 * n):
        raise _errors.ValueError(f"{name}: padding {padding} goes with pad_mode='pad', not {pad_mode!r}")
    before, after = _pads(name, x, weight.shape[2:], stride, dilation, pad_mode, padding)
    if before != after:
        x, before = _table.pad(x, before=(0, 0, *before), after=(0, 0, *after)), (0,) * n
    one = (lambda v: v[0]) if n == 1 else (lambda v: v)
    return op(x, weight, bias, stride=one(stride), pad=one(before), dilation=one(dilation), groups=groups)


def conv1d(input, weight, bias=None, stride=1, pad_mode="valid", padding=0, dilation=1, groups=1):
    """1-D convolution of [n, c, l]; pad_mode as conv2d's.

    >>> from rutile import ops
    >>> ops.conv1d(ops.ones((1, 1, 4)), ops.ones((1, 1, 3)), pad_mode="same").asnumpy().tolist()
    [[[2.0, 3.0, 3.0, 2.0]]]
    """
    return _conv("conv1d", _table.conv1d, 1, input, weight, bias, stride, pad_mode, padding, dilation, groups)


def conv3d(input, weight, bias=None, stride=1, pad_mode="valid", padding=0, dilation=1, groups=1):
    """3-D convolution of [n, c, d, h, w]; pad_mode as conv2d's, padding an int, 3 or 6 of them."""
    return _conv("conv3d", _table.conv3d, 3, input, weight, bias, stride, pad_mode, padding, dilation, groups)


def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Transposed 2-D convolution."""
    return _table.conv_transpose2d(input, weight, bias, stride=_many(stride, 2), pad=_many(padding, 2),
                                   output_pad=_many(output_padding, 2), dilation=_many(dilation, 2), groups=groups)


def conv3d_transpose(inputs, weight, pad_mode="valid", padding=0, stride=1, dilation=1, group=1, output_padding=0):
    """Transposed 3-D convolution."""
    if pad_mode not in ("valid", "pad"):
        raise _errors.UnsupportedError(f"conv3d_transpose: pad_mode is 'valid' or 'pad', got {pad_mode!r}")
    return _table.conv_transpose3d(inputs, weight, None, stride=_many(stride, 3), pad=_many(padding, 3),
                                   output_pad=_many(output_padding, 3), dilation=_many(dilation, 3), groups=group)


def _pool_stride(kernel, stride, n):
    return _many(kernel if stride is None else stride, n)


def avg_pool1d(input_x, kernel_size=1, stride=1, padding=0, ceil_mode=False, count_include_pad=True):
    """The mean of each window of [n, c, l]."""
    return _table.avg_pool1d(input_x, kernel=kernel_size, stride=stride, pad=padding, ceil_mode=bool(ceil_mode),
                             count_include_pad=bool(count_include_pad))


def avg_pool3d(input_x, kernel_size=1, stride=1, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=0):
    """The mean of each window of [n, c, d, h, w]."""
    return _table.avg_pool3d(input_x, kernel=_many(kernel_size, 3), stride=_many(stride, 3), pad=_many(padding, 3),
                             ceil_mode=bool(ceil_mode), count_include_pad=bool(count_include_pad),
                             divisor_override=divisor_override or 0)


def max_pool3d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest of each window of [n, c, d, h, w]."""
    y, indices = _table.max_pool3d(x, kernel=_many(kernel_size, 3), stride=_pool_stride(kernel_size, stride, 3),
                                   pad=_many(padding, 3), dilation=_many(dilation, 3), ceil_mode=bool(ceil_mode))
    return (y, indices.cast("int64")) if return_indices else y


def _sizes(x, output_size, n):
    sizes = (output_size,) * n if output_size is None or isinstance(output_size, int) else tuple(output_size)
    return tuple(x.shape[x.ndim - n + i] if s is None else s for i, s in enumerate(sizes))


def adaptive_avg_pool3d(input, output_size):
    """Means over as many windows as the output has; None keeps a size."""
    return _table.adaptive_avg_pool3d(input, output_size=_sizes(input, output_size, 3))


def adaptive_max_pool1d(input, output_size):
    """The largest of as many windows as the output has."""
    return _table.adaptive_max_pool1d(input, output_size=output_size)[0]


def adaptive_max_pool2d(input, output_size, return_indices=False):
    """The largest of as many windows as the output has; None keeps a size."""
    y, indices = _table.adaptive_max_pool2d(input, output_size=_sizes(input, output_size, 2))
    return (y, indices.cast("int64")) if return_indices else y


def adaptive_max_pool3d(input, output_size, return_indices=False):
    """The largest of as many windows as the output has; None keeps a size."""
    y, indices = _table.adaptive_max_pool3d(input, output_size=_sizes(input, output_size, 3))
    return (y, indices.cast("int64")) if return_indices else y


def _unpool(op, n, x, indices, kernel_size, stride, padding, output_size):
    one = (lambda v: v[0]) if n == 1 else (lambda v: v)
    size = () if output_size is None else tuple(output_size)[-n:]
    return op(x, indices, kernel=one(_many(kernel_size, n)), stride=one(_pool_stride(kernel_size, stride, n)),
              pad=one(_many(padding, n)), output_size=size)


def max_unpool1d(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    """What a max pool took, back at its place, zeros elsewhere."""
    return _unpool(_table.max_unpool1d, 1, x, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    """What a max pool took, back at its place, zeros elsewhere."""
    return _unpool(_table.max_unpool2d, 2, x, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    """What a max pool took, back at its place, zeros elsewhere."""
    return _unpool(_table.max_unpool3d, 3, x, indices, kernel_size, stride, padding, output_size)


def lp_pool1d(x, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The p-norm of each window."""
    return _table.lp_pool1d(x, norm_type=float(norm_type), kernel=kernel_size, stride=kernel_size if stride is None else stride,
                            ceil_mode=bool(ceil_mode))


def lp_pool2d(x, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The p-norm of each window."""
    return _table.lp_pool2d(x, norm_type=float(norm_type), kernel=_many(kernel_size, 2),
                            stride=_pool_stride(kernel_size, stride, 2), ceil_mode=bool(ceil_mode))


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Columns of windows summed back into an image."""
    return _table.fold(input, output_size=_many(output_size, 2), kernel=_many(kernel_size, 2), dilation=_many(dilation, 2),
                       pad=_many(padding, 2), stride=_many(stride, 2))


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """Each window of an image as a column."""
    return _table.unfold(input, kernel=_many(kernel_size, 2), dilation=_many(dilation, 2), pad=_many(padding, 2),
                         stride=_many(stride, 2))


def interpolate(input, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None, *, _as_torch=False):
    """Another size: mode "nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear" or "area".

    "bicubic" to a size without align_corners takes MindSpore's slopes, -0.5, elsewhere those of PyTorch and of mint, -0.75.
    With scale_factor, a number or one for each dimension, positions follow from the factor as it is given, as in PyTorch;
    from the sizes with recompute_scale_factor, as in MindSpore (which refuses some modes otherwise), and in mode "area".
    """
    n = input.ndim - 2
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise _errors.ValueError(f"interpolate: align_corners has no meaning in mode {mode!r}; leave it out")
    if size is not None and recompute_scale_factor:
        raise _errors.ValueError("interpolate: recompute_scale_factor needs scale_factor, but size was given")
    options = {"mode": mode, "align_corners": bool(align_corners), "recompute_scale_factor": bool(recompute_scale_factor)}
    if (size is None) == (scale_factor is None):
        raise _errors.ValueError("interpolate: needs either size or scale_factor")
    if size is not None:
        size = _many(size, n)
        if mode == "bicubic" and not align_corners and n == 2 and not _as_torch:
            from rutile.ops._small_primitives import _cubic_between
            return _cubic_between(input, size)
        return _table.interpolate(input, size=size, **options)
    factors = [float(f) for f in scale_factor] if isinstance(scale_factor, (tuple, list)) else [float(scale_factor)] * n
    if len(factors) != n:
        raise _errors.ValueError(f"interpolate: scale_factor has {len(factors)} numbers for {n} dimensions")
    if recompute_scale_factor and mode == "bicubic":
        return interpolate(input, tuple(int(s * f) for s, f in zip(input.shape[2:], factors)), None, mode, align_corners, _as_torch=_as_torch)
    if len(set(factors)) == 1:
        return _table.interpolate(input, scale_factor=factors[0], **options)
    size = tuple(int(s * f) for s, f in zip(input.shape[2:], factors))
    if recompute_scale_factor or align_corners or mode == "area" or _b.min(size) < 1:
        return _table.interpolate(input, size=size, **options)
    return _scaled(input, size, factors, mode)


def _scaled(x, size, factors, mode):
    """Positions by a factor of its own for each dimension."""
    import numpy as np
    if mode.startswith("nearest"):
        for axis, (count, factor) in enumerate(zip(size, factors), 2):
            offset = 0.5 if mode == "nearest-exact" else 0.0
            at = np.floor((np.arange(count) + offset) * np.float32(1 / factor)).astype(np.int64)
            x = _table.gather(x, Tensor(np.minimum(at, x.shape[axis] - 1)), axis=axis)
        return x
    lines = []
    for before, count, factor in zip(x.shape[2:], size, factors):
        at = (np.arange(count) + 0.5) / factor - 0.5
        at = at if mode == "bicubic" else np.maximum(at, 0)
        lines.append(at * 2 / _b.max(before - 1, 1) - 1)
    grid = np.stack(np.meshgrid(*lines, indexing="ij")[::-1], -1)
    grid = _table.broadcast_to(Tensor(grid[None], x.dtype), (x.shape[0], *grid.shape))
    kind = "bicubic" if mode == "bicubic" else "bilinear"
    return _table.grid_sample(x, grid, mode=kind, padding_mode="border", align_corners=True)


upsample = interpolate


def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=False):
    """An image read at positions in [-1, 1]: grid [n, h, w, 2] or [n, d, h, w, 3]."""
    return _table.grid_sample(input, grid, mode=mode, padding_mode=padding_mode, align_corners=bool(align_corners))


def affine_grid(theta, size, align_corners=False):
    """The grid of an affine map, for grid_sample."""
    return _table.affine_grid(theta, size=tuple(size), align_corners=bool(align_corners))


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Normalised over groups of channels."""
    return _first(_table.group_norm(input, weight, bias, num_groups=num_groups, eps=eps))


def rms_norm(x, gamma, epsilon=1e-6):
    """(x / sqrt(mean(x^2) + epsilon) * gamma, 1 / sqrt(...)) over the dimensions of gamma."""
    axes = tuple(range(x.ndim - gamma.ndim, x.ndim))
    rstd = _table.rsqrt(_table.mean(_table.square(x.cast("float32")), axes, True) + epsilon)
    return _first(_table.rms_norm(x, gamma, axes=gamma.ndim, eps=epsilon)), rstd


def lrn(x, depth_radius=5, bias=1.0, alpha=1.0, beta=0.5, norm_region="ACROSS_CHANNELS"):
    """x / (bias + alpha * sum of squares over 2 depth_radius + 1 channels)^beta"""
    if norm_region != "ACROSS_CHANNELS":
        raise _errors.ValueError(f"lrn: norm_region is 'ACROSS_CHANNELS', got {norm_region!r}")
    size = 2 * depth_radius + 1
    return _first(_table.local_response_norm(x, size=size, alpha=alpha * size, beta=beta, k=bias))


def _first(y):
    return y[0] if isinstance(y, tuple) else y


def multi_margin_loss(input, target, p=1, margin=1, weight=None, reduction="mean"):
    """sum(max(0, margin - x[class] + x)^p) / c over the other classes."""
    return _table.multi_margin_loss(input, target, weight, p=p, margin=float(margin), reduction=reduction)


def swiglu(input, dim=-1):
    """The silu of the first half times the second."""
    a, b = _table.split(input, sections=2, axis=dim)
    return _table.silu(a) * b


def col2im(input_x, output_size, kernel_size, dilation, padding_value, stride):
    """Columns [n, c, kernel, windows] summed back into an image."""
    n, c, k, windows = input_x.shape
    return fold(input_x.reshape(n, c * k, windows), _ints(output_size), kernel_size, dilation, padding_value, stride)


def _ints(v):
    return tuple(int(i) for i in v.asnumpy()) if hasattr(v, "asnumpy") else v


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n not in _imported]
