# SPDX-License-Identifier: Apache-2.0
"""Layers and losses as functions with PyTorch's arguments, as mindspore.mint.nn.functional has them.

>>> from rutile import Tensor, mint
>>> mint.nn.functional.softmax(Tensor([[0.0, 0.0]]), dim=-1).asnumpy().tolist()
[[0.5, 0.5]]
"""

from rutile import _rutile
from rutile import ops as _ops
from rutile._rutile import Tensor as _Tensor
from rutile._rutile import ops as _table
from rutile.mint import broadcast_to, clamp, sigmoid, tanh  # noqa: F401
from rutile.ops import (group_norm, hardshrink, hardsigmoid, hardswish, l1_loss, layer_norm, mse_loss, prelu, relu,
                        selu, soft_margin_loss, softshrink)  # noqa: F401

_errors = _rutile.errors


def _many(v, n):
    v = tuple(v) if isinstance(v, (tuple, list)) else (v,)
    return v * n if len(v) == 1 else v


def _batched(function, x, spatial):
    """function of a batch; x may lack its first dimension."""
    if x.ndim == spatial + 2:
        return function(x)
    if x.ndim != spatial + 1:
        raise _errors.ValueError(f"expects {spatial + 1} or {spatial + 2} dimensions, got {x.ndim}")
    y = function(x.reshape(1, *x.shape))
    return tuple(v.reshape(v.shape[1:]) for v in y) if isinstance(y, tuple) else y.reshape(y.shape[1:])


def _in_place(input, y, inplace):
    return input._rebind(y) if inplace else y


# ---- Activations

def relu_(input):
    """max(input, 0), written into the tensor."""
    return input._rebind(_table.relu(input))


def relu6(input, inplace=False):
    """Limited to [0, 6]; inplace: written into the tensor."""
    return _in_place(input, _table.relu6(input), inplace)


def silu(input, inplace=False):
    """x * sigmoid(x); inplace: written into the tensor."""
    return _in_place(input, _table.silu(input), inplace)


def gelu(input, *, approximate="none"):
    """x * P(X <= x) of a standard normal X; approximate "tanh" for the cheaper form."""
    return _table.gelu(input, approximate)


def logsigmoid(input):
    """log(sigmoid(x))"""
    return _table.logsigmoid(input)


def mish(input):
    """x * tanh(softplus(x))"""
    return _table.mish(input)


def elu(input, alpha=1.0, inplace=False):
    """x above zero, alpha * (exp(x) - 1) below; inplace: written into the tensor."""
    return _in_place(input, _table.elu(input, alpha), inplace)


def elu_(input, alpha=1.0):
    """elu, written into the tensor."""
    return elu(input, alpha, True)


def leaky_relu(input, negative_slope=0.01):
    """x above zero, negative_slope * x below."""
    return _table.leaky_relu(input, negative_slope)


def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    """Limited to [min_val, max_val]; inplace: written into the tensor."""
    return _in_place(input, _table.hardtanh(input, float(min_val), float(max_val)), inplace)


def hardtanh_(input, min_val=-1, max_val=1):
    """hardtanh, written into the tensor."""
    return hardtanh(input, min_val, max_val, True)


def threshold(input, threshold, value, inplace=False):
    """x where it is above the threshold, else value; inplace: written into the tensor."""
    return _in_place(input, _table.threshold(input, threshold, value), inplace)


def threshold_(input, threshold, value):
    """threshold, written into the tensor."""
    return input._rebind(_table.threshold(input, threshold, value))


def sigmoid_(input):
    """1 / (1 + exp(-x)), written into the tensor."""
    return input._rebind(_table.sigmoid(input))


def softplus(input, beta=1, threshold=20):
    """log(1 + exp(beta * x)) / beta, x itself where beta * x is above the threshold."""
    return _ops.softplus(input, beta, threshold)


def glu(input, dim=-1):
    """The first half of a dimension times the sigmoid of the second."""
    return _table.glu(input, dim)


def _implicit(rank):
    return 0 if rank in (0, 1, 3) else 1


def softmax(input, dim=None, dtype=None):
    """exp(x) / sum(exp(x)) along a dimension; None: 0 of 0, 1 or 3 dimensions, else 1."""
    dim = _implicit(input.ndim) if dim is None else dim
    if not isinstance(dim, int):
        raise _errors.TypeError(f"softmax: dim is an int, got {dim!r}")
    x = input if dtype is None else input.cast(dtype)
    return _table.exp(x - x) if x.ndim == 0 else _table.softmax(x, dim)


def log_softmax(input, dim=None, *, dtype=None):
    """log(softmax) along a dimension; None: 0 of 0, 1 or 3 dimensions, else 1."""
    dim = _implicit(input.ndim) if dim is None else dim
    return _table.log_softmax(input if dtype is None else input.cast(dtype), dim)


def normalize(input, p=2.0, dim=1, eps=1e-12):
    """x / max(its p-norm along a dimension, eps)"""
    return _table.normalize(input, p=float(p), axis=dim, eps=float(eps))


# ---- Layers

def linear(input, weight, bias=None):
    """input @ weight.T + bias; a weight [features] gives one number for each row."""
    return _ops.dense(input, weight, bias)


def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False):
    """Rows of a table."""
    return _ops.embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)


def one_hot(tensor, num_classes=-1):
    """int64 zeros with a one at each class; -1: as many classes as the largest one asks for."""
    if tensor.dtype.name not in ("int32", "int64"):
        raise _errors.TypeError(f"one_hot: expects int32 or int64, got {tensor.dtype}")
    if num_classes == -1:
        num_classes = int(_table.max(tensor)) + 1
    return _table.one_hot(tensor, depth=num_classes, dtype="int64")


def flatten(input, start_dim=0, end_dim=-1):
    """Dimensions start_dim to end_dim as one."""
    return _ops.flatten(input, start_dim=start_dim, end_dim=end_dim)


def _convolution(op, spatial, name, input, weight, bias, stride, padding, dilation, groups):
    one = (lambda v: v[0]) if spatial == 1 else (lambda v: v)
    stride, dilation = _many(stride, spatial), _many(dilation, spatial)
    extra = 0
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise _errors.ValueError(f"{name}: padding is numbers, 'same' or 'valid', got {padding!r}")
        if padding == "same" and any(s != 1 for s in stride):
            raise _errors.ValueError(f"{name}: padding='same' goes with a stride of 1, got {stride}")
        total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilation, weight.shape[2:])]
        padding = tuple(t // 2 for t in total)
        extra = tuple(t % 2 for t in total)
        if any(extra):  # the odd one goes after
            input = _table.pad(input, before=(0,) * input.ndim, after=(0,) * (input.ndim - spatial) + extra)
    pad = _many(padding, spatial)
    return _batched(lambda x: op(x, weight, bias, stride=one(stride), pad=one(pad), dilation=one(dilation), groups=groups), input, spatial)


def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """1-D convolution of [n, c, l] or [c, l]; padding: numbers, "same" (stride 1) or "valid"."""
    return _convolution(_table.conv1d, 1, "conv1d", input, weight, bias, stride, padding, dilation, groups)


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """2-D convolution of [n, c, h, w] or [c, h, w]; padding: numbers, "same" (stride 1) or "valid"."""
    return _convolution(_table.conv2d, 2, "conv2d", input, weight, bias, stride, padding, dilation, groups)


def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """3-D convolution of [n, c, d, h, w] or [c, d, h, w]; padding: numbers, "same" (stride 1) or "valid"."""
    return _convolution(_table.conv3d, 3, "conv3d", input, weight, bias, stride, padding, dilation, groups)


def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Transposed 2-D convolution of [n, c, h, w] or [c, h, w]; weight [in, out / groups, h, w]."""
    options = {"stride": _many(stride, 2), "pad": _many(padding, 2), "output_pad": _many(output_padding, 2), "dilation": _many(dilation, 2)}
    return _batched(lambda x: _table.conv_transpose2d(x, weight, bias, groups=groups, **options), input, 2)


def _average(op, spatial, input, kernel_size, stride, padding, ceil_mode, count_include_pad, **more):
    one = (lambda v: v[0]) if spatial == 1 else (lambda v: v)
    kernel = _many(kernel_size, spatial)
    stride = kernel if stride is None or stride == () else _many(stride, spatial)
    pad = one(_many(padding, spatial))
    return _batched(lambda x: op(x, kernel=one(kernel), stride=one(stride), pad=pad, ceil_mode=bool(ceil_mode),
                                 count_include_pad=bool(count_include_pad), **more), input, spatial)


def _divisor(v):
    if v is not None and v == 0:
        raise _errors.ValueError("divisor_override must not be 0")
    return {"divisor_override": v or 0}


def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """The mean of each window; the stride is the kernel unless given."""
    return _average(_table.avg_pool1d, 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
    """The mean of each window; the stride is the kernel unless given."""
    return _average(_table.avg_pool2d, 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, **_divisor(divisor_override))


def avg_pool3d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
    """The mean of each window; the stride is the kernel unless given."""
    return _average(_table.avg_pool3d, 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, **_divisor(divisor_override))


def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest of each window, and with return_indices where it stood in its plane."""
    stride = kernel_size if stride is None or stride == () else stride
    return _batched(lambda x: _ops.max_pool2d(x, kernel_size, stride, padding, dilation, return_indices, ceil_mode), input, 2)


def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """What a max pool took, back at its place, zeros elsewhere."""
    if input.ndim == 3:
        return max_unpool2d(input.expand_dims(0), indices.expand_dims(0), kernel_size, stride, padding, output_size)[0]
    return _ops.max_unpool2d(input, indices, kernel_size, stride, padding, output_size)


def pixel_shuffle(input, upscale_factor):
    """Channels [c r^2] spread over pixels: height and width times r."""
    return _ops.pixel_shuffle(input, upscale_factor)


def _output_sizes(input, output_size, spatial):
    sizes = _many(output_size, spatial)
    return tuple(n if s is None or s == -1 else s for s, n in zip(sizes, input.shape[-spatial:]))


def adaptive_avg_pool1d(input, output_size):
    """Means over as many windows as the output has."""
    return _batched(lambda x: _table.adaptive_avg_pool1d(x, output_size=_output_sizes(x, output_size, 1)[0]), input, 1)


def adaptive_avg_pool2d(input, output_size):
    """Means over as many windows as the output has; None keeps a size."""
    return _batched(lambda x: _table.adaptive_avg_pool2d(x, output_size=_output_sizes(x, output_size, 2)), input, 2)


def adaptive_avg_pool3d(input, output_size):
    """Means over as many windows as the output has; None keeps a size."""
    return _batched(lambda x: _table.adaptive_avg_pool3d(x, output_size=_output_sizes(x, output_size, 3)), input, 3)


def adaptive_max_pool1d(input, output_size, return_indices=False):
    """The largest of as many windows as the output has, and where it stood."""
    y = _batched(lambda x: tuple(_table.adaptive_max_pool1d(x, output_size=_output_sizes(x, output_size, 1)[0])), input, 1)
    return y if return_indices else y[0]


def adaptive_max_pool2d(input, output_size, return_indices=False):
    """The largest of as many windows as the output has, and where it stood in its plane."""
    y = _batched(lambda x: tuple(_table.adaptive_max_pool2d(x, output_size=_output_sizes(x, output_size, 2))), input, 2)
    return y if return_indices else y[0]


def dropout(input, p=0.5, training=True, inplace=False):
    """Zeros with probability p, the rest divided by 1 - p; inplace: written into the tensor."""
    _check_probability("dropout", p)
    y = input if not training or p == 0 else input * 0.0 if p == 1 else _table.dropout(input, p)[0]
    return _in_place(input, y, inplace)


def dropout2d(input, p=0.5, training=True, inplace=False):
    """Channels of zeros with probability p, the rest divided by 1 - p; inplace: written into the tensor."""
    _check_probability("dropout2d", p)
    y = input if not training or p == 0 else input * 0.0 if p == 1 else _ops.dropout2d(input, p, True)
    return _in_place(input, y, inplace)


def _check_probability(name, p):
    if not 0 <= p <= 1:
        raise _errors.ValueError(f"{name}: p must be in [0, 1], got {p}")


def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """Normalised by channel: training by the batch, moving running statistics that are given by `momentum`."""
    if training and (running_mean is None or running_var is None):
        return _table.batch_norm(input, weight, bias, eps=eps)[0]
    return _ops.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def pad(input, pad, mode="constant", value=None):
    """Padded from the last dimension on: (left, right, top, bottom, ...); modes "constant", "reflect", "replicate", "circular"."""
    if not isinstance(input, _Tensor):
        raise _errors.TypeError(f"pad: the input is a Tensor, got {type(input).__name__}")
    if isinstance(pad, tuple) and not pad:
        return input
    if mode != "constant" and value not in (None, 0):
        raise _errors.ValueError(f"pad: a value goes with mode 'constant', not {mode!r}")
    return _ops.pad(input, pad, mode, value)


def interpolate(input, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None):
    """Another size: mode "nearest", "nearest-exact", "area", "linear", "bilinear", "bicubic" or "trilinear"."""
    modes = ("nearest", "linear", "bilinear", "bicubic", "trilinear", "nearest-exact", "area")
    if mode not in modes:
        raise _errors.ValueError(f"interpolate: mode is one of {modes}, got {mode!r}")
    if mode in ("nearest", "nearest-exact", "area") and align_corners is not None:
        raise _errors.ValueError("interpolate: align_corners goes with linear, bilinear, bicubic and trilinear")
    if recompute_scale_factor and size is not None:
        raise _errors.ValueError("interpolate: recompute_scale_factor goes with a scale_factor, not with a size")
    return _ops.interpolate(input, size, scale_factor, mode, align_corners, recompute_scale_factor, _as_torch=True)


def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    """As interpolate."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    """An image read at positions in [-1, 1]: grid [n, h, w, 2] or [n, d, h, w, 3]."""
    return _ops.grid_sample(input, grid, mode, padding_mode, bool(align_corners))


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Columns of windows [n, c k, windows] or [c k, windows] summed back into an image."""
    return _batched(lambda x: _ops.fold(x, output_size, kernel_size, dilation, padding, stride), input, 1)


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """Each window of an image [n, c, h, w] or [c, h, w] as a column."""
    return _batched(lambda x: _ops.unfold(x, kernel_size, dilation, padding, stride), input, 2)


# ---- Losses

def binary_cross_entropy(input, target, weight=None, reduction="mean"):
    """-(y log p + (1 - y) log(1 - p)); logarithms are at least -100."""
    return _ops.binary_cross_entropy(input, target, weight, reduction)


def binary_cross_entropy_with_logits(input, target, weight=None, reduction="mean", pos_weight=None):
    """The same of sigmoid(input)."""
    return _ops.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction)


def cross_entropy(input, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """-log softmax(input) of the class (integers), or its sum against probabilities; input [c], [n, c] or [n, c, ...]."""
    if not isinstance(input, _Tensor) or not isinstance(target, _Tensor):
        raise _errors.TypeError("cross_entropy: input and target are Tensors")
    if not 0 <= label_smoothing <= 1:
        raise _errors.ValueError(f"cross_entropy: label_smoothing must be in [0, 1], got {label_smoothing}")
    if input.ndim == 0 or input.shape[0] == 0:
        raise _errors.ValueError(f"cross_entropy: there is nothing in an input of shape {input.shape}")
    if input.ndim == 1 and target.ndim == 0:
        y = _ops.cross_entropy(input.expand_dims(0), target.reshape(1), weight, ignore_index, reduction, label_smoothing)
        return y.reshape(()) if reduction == "none" else y
    return _ops.cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)


def nll_loss(input, target, weight=None, ignore_index=-100, reduction="mean"):
    """The negative log-probability of the class; input [c], [n, c] or [n, c, ...]."""
    if input.ndim == 1:
        y = _ops.nll_loss(input.expand_dims(0), target.reshape(1), weight, ignore_index, reduction)
        return y.reshape(()) if reduction == "none" else y
    if input.shape[0] != target.shape[0]:
        raise _errors.ValueError(f"nll_loss: a batch of {input.shape[0]} with {target.shape[0]} targets")
    if input.ndim == 2:
        return _ops.nll_loss(input, target, weight, ignore_index, reduction)
    rows = _table.transpose(input, (0, *range(2, input.ndim), 1)).reshape(-1, input.shape[1])
    y = _ops.nll_loss(rows, target.reshape(-1), weight, ignore_index, reduction)
    return y.reshape(target.shape) if reduction == "none" else y


def kl_div(input, target, reduction="mean", log_target=False):
    """target * (log(target) - input), or exp(target) * (target - input); "batchmean" divides the sum by the batch."""
    if reduction == "batchmean":
        total = _table.kl_div(input, target, reduction="sum", log_target=bool(log_target))
        return total / input.shape[0] if input.ndim else total
    return _table.kl_div(input, target, reduction=reduction, log_target=bool(log_target))


def smooth_l1_loss(input, target, reduction="mean", beta=1.0):
    """Half the square over beta where |input - target| < beta, the distance minus beta / 2 elsewhere."""
    return _ops.smooth_l1_loss(input, target, beta, reduction)


def cosine_embedding_loss(input1, input2, target, margin=0.0, reduction="mean"):
    """1 - cosine where the target is 1, max(0, cosine - margin) where it is -1."""
    return _ops.cosine_embedding_loss(input1, input2, target, margin, reduction)


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_")]
