# SPDX-License-Identifier: Apache-2.0
"""Activations, layers as functions and losses."""

import builtins as _b

from rutile import _rutile
from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops.function._util import _INTEGERS, _axes, _errors, _pair
from rutile.ops.function.creation import ones, zeros_like
from rutile.ops.function.arithmetic import xlogy

_imported = set(globals())


# ---- Networks

def relu(input, inplace=False):
    """max(input, 0); inplace: written into the tensor."""
    y = _table.relu(input)
    return input._rebind(y) if inplace else y


def gelu(input, approximate="none"):
    """x * P(X <= x) of a standard normal X; approximate "tanh" for the cheaper form."""
    return _table.gelu(input, approximate)


def softmax(input, axis=-1, *, dtype=None):
    """exp(x) / sum(exp(x)) along an axis."""
    return _table.softmax(input if dtype is None else input.cast(dtype), axis)


def log_softmax(logits, axis=-1):
    """log(softmax)"""
    return _table.log_softmax(logits, axis)


def softmin(x, axis=-1, *, dtype=None):
    """softmax(-x)"""
    return softmax(-x, axis, dtype=dtype)


def elu(input_x, alpha=1.0):
    """x above zero, alpha * (exp(x) - 1) below."""
    return _table.elu(input_x, alpha)


def leaky_relu(input, alpha=0.2):
    """x above zero, alpha * x below."""
    return _table.leaky_relu(input, alpha)


def selu(input_x):
    """Klambauer et al., 2017."""
    return _table.selu(input_x)


def celu(x, alpha=1.0):
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1))"""
    return _table.celu(x, alpha)


def prelu(input, weight):
    """x above zero, weight * x below; one weight or one per channel."""
    return _table.prelu(input, weight)


def hardsigmoid(input):
    """clip(x / 6 + 1/2, 0, 1)"""
    return _table.hsigmoid(input)


def hardswish(input):
    """x * hardsigmoid(x)"""
    return _table.hswish(input)


def hardtanh(input, min_val=-1.0, max_val=1.0):
    """Limited to [min_val, max_val]."""
    return _table.hardtanh(input, min_val, max_val)


def hardshrink(input, lambd=0.5):
    """Zero where |x| <= lambd."""
    return _table.hardshrink(input, lambd)


def softshrink(input, lambd=0.5):
    """Moved by lambd towards zero."""
    return _table.softshrink(input, lambd)


def softsign(x):
    """x / (1 + |x|)"""
    return _table.softsign(x)


def tanhshrink(input):
    """x - tanh(x)"""
    return _table.tanhshrink(input)


def mish(x):
    """x * tanh(softplus(x))"""
    return _table.mish(x)


def silu(input):
    """x * sigmoid(x)"""
    return _table.silu(input)


swish = silu


def logsigmoid(x):
    """log(sigmoid(x))"""
    return _table.logsigmoid(x)


def glu(x, axis=-1):
    """The first half times the sigmoid of the second."""
    return _table.glu(x, axis)


def dropout(input, p=0.5, training=True, seed=None):
    """Zeros with probability p, the rest divided by 1 - p."""
    if not 0 <= p < 1:
        raise _errors.ValueError(f"dropout: p must be in [0, 1), got {p}")
    return _table.dropout(input, p)[0] if training and p > 0 else input


def _around(n, kernel, stride, dilation):
    """Padding (before, after) that gives ceil(n / stride); the odd one goes after."""
    total = _b.max((-(-n // stride) - 1) * stride + (kernel - 1) * dilation + 1 - n, 0)
    return total // 2, total - total // 2


def _padding(x, kernel, stride, dilation, pad_mode, padding):
    """(before, after) of height and width by MindSpore's pad_mode."""
    if pad_mode == "same":
        return tuple(zip(*(_around(x.shape[2 + i], kernel[i], stride[i], dilation[i]) for i in (0, 1))))
    if pad_mode == "valid":
        return (0, 0), (0, 0)
    if pad_mode != "pad":
        raise _errors.ValueError(f"pad_mode is 'same', 'valid' or 'pad', got {pad_mode!r}")
    p = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
    if len(p) == 2:
        p = (p[0], p[0], p[1], p[1])
    if len(p) != 4:
        raise _errors.ValueError(f"padding is an int, or 2 or 4 of them, got {padding!r}")
    return (p[0], p[2]), (p[1], p[3])


def _spatial_pad(x, before, after, value=0):
    return _table.pad(x, before=(0, 0, *before), after=(0, 0, *after), value=value)


def conv2d(input, weight, bias=None, stride=1, pad_mode="valid", padding=0, dilation=1, groups=1):
    """2-D convolution, NCHW. pad_mode "same": ceil(size / stride) outputs; "valid": no padding; "pad": `padding`, an
    int or (top, bottom, left, right)."""
    stride, dilation = _pair(stride), _pair(dilation)
    if input.ndim != 4 or weight.ndim != 4:
        return _table.conv2d(input, weight, bias)  # which says what is wrong
    if pad_mode != "pad" and padding not in (0, (0, 0), (0, 0, 0, 0)):
        raise _errors.ValueError(f"conv2d: padding {padding} goes with pad_mode='pad', not {pad_mode!r}")
    before, after = _padding(input, weight.shape[2:], stride, dilation, pad_mode, padding)
    if before != after:
        input, before = _spatial_pad(input, before, after), (0, 0)
    return _table.conv2d(input, weight, bias, stride=stride, pad=before, dilation=dilation, groups=groups)


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False):
    """The largest of each window."""
    kernel = _pair(kernel_size)
    y, indices = _table.max_pool2d(x, kernel=kernel, stride=kernel if stride is None else _pair(stride),
                                   pad=_pair(padding), dilation=_pair(dilation), ceil_mode=bool(ceil_mode))
    return (y, indices.cast("int64")) if return_indices else y


def avg_pool2d(input_x, kernel_size=1, stride=1, padding=0, ceil_mode=False, count_include_pad=True,
               divisor_override=0):
    """The mean of each window."""
    return _table.avg_pool2d(input_x, kernel=_pair(kernel_size), stride=_pair(stride), pad=_pair(padding),
                             ceil_mode=bool(ceil_mode), count_include_pad=bool(count_include_pad),
                             divisor_override=divisor_override or 0)


def adaptive_avg_pool2d(input, output_size):
    """Means over as many windows as the output has; None keeps a size."""
    h, w = _pair(output_size) if output_size is not None else (None, None)
    return _table.adaptive_avg_pool2d(input, output_size=(input.shape[2] if h is None else h,
                                                          input.shape[3] if w is None else w))


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions."""
    return _table.layer_norm(input, weight, bias, axes=len(tuple(normalized_shape)), eps=eps)[0]


def batch_norm(input_x, running_mean, running_var, weight, bias, training=False, momentum=0.1, eps=1e-5):
    """Normalised by channel; training: by the batch, and running statistics that are Parameters move by `momentum`."""
    if not training:
        return _table.batch_norm_inference(input_x, running_mean, running_var, weight, bias, eps=eps)
    y, mean, rstd = _table.batch_norm(input_x, weight, bias, eps=eps)
    if isinstance(running_mean, _rutile.Parameter) and isinstance(running_var, _rutile.Parameter):
        count = input_x.size // _b.max(input_x.shape[1], 1)
        _rutile.updates.batch_norm_update_stats(running_mean, running_var, mean, rstd, momentum=momentum, eps=eps,
                                                count=count)
    return y


def l2_normalize(input_x, axis=0, epsilon=1e-4):
    """x / sqrt(max(sum(x^2), epsilon)) along an axis."""
    total = _table.sum(input_x * input_x, _axes(axis), True)
    return input_x * _table.rsqrt(_table.clip(total, min=epsilon))


def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False):
    """Rows of a table."""
    if max_norm is not None or scale_grad_by_freq:
        raise _errors.UnsupportedError("embedding: max_norm and scale_grad_by_freq are not supported")
    return _table.embedding(input, weight, padding_idx=-1 if padding_idx is None else padding_idx)


# ---- Losses

def _reduce(x, reduction):
    if reduction == "none":
        return x
    if reduction not in ("mean", "sum"):
        raise _errors.ValueError(f"reduction is 'mean', 'sum' or 'none', got {reduction!r}")
    return _table.mean(x) if reduction == "mean" else _table.sum(x)


def cross_entropy(input, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """-log softmax(input) of the target class (integers [n]), or its sum against class probabilities [n, c]."""
    for name, t in (("input", input), ("target", target), ("weight", weight)):
        if not isinstance(t, Tensor) and not (name == "weight" and t is None):
            raise _errors.TypeError(f"cross_entropy: {name} is a Tensor, got {type(t).__name__}")
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
        raise _errors.TypeError(f"cross_entropy: ignore_index is an int, got {ignore_index!r}")
    if target.dtype.name in _INTEGERS:
        return _by_class(input, target, weight, ignore_index, reduction, label_smoothing)
    logs = _table.log_softmax(input, 1 if input.ndim > 1 else 0)
    c = input.shape[1 if input.ndim > 1 else 0]
    target = target * (1 - label_smoothing) + label_smoothing / c if label_smoothing else target
    if weight is not None:
        logs = logs * weight.reshape((1, -1) + (1,) * (input.ndim - 2))
    per = -_table.sum(logs * target, (1 if input.ndim > 1 else 0,))
    return _table.sum(per) / (per.size or 1) if reduction == "mean" else _reduce(per, reduction)


def _by_class(logits, target, weight, ignore_index, reduction, smoothing):
    if logits.ndim > 2:  # [n, c, ...] -> [n ..., c]
        logits = _table.transpose(logits, (0, *_b.range(2, logits.ndim), 1))
        per_shape = logits.shape[:-1]
        logits, target = logits.reshape(-1, logits.shape[-1]), target.reshape(-1)
    else:
        per_shape = logits.shape[:-1]
    loss = _table.cross_entropy(logits, target, weight, label_smoothing=smoothing, ignore_index=ignore_index,
                                reduction=reduction)[0]
    return loss.reshape(per_shape) if reduction == "none" else loss


def nll_loss(inputs, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """The negative log-probability of the target class: inputs [c], [n, c] or [n, c, ...] with targets [], [n] or [n, ...].

    IndexError for a target outside [0, c) that is not ignore_index."""
    if not label_smoothing:
        return _table.nll_loss(inputs, target, weight, ignore_index=ignore_index, reduction=reduction)
    per = _table.nll_loss(inputs, target, weight, ignore_index=ignore_index, reduction="none")
    at = 1 if inputs.ndim > 1 else 0
    shape = [1] * inputs.ndim
    shape[at] = -1
    mask = target != ignore_index
    classes = inputs if weight is None else inputs * weight.reshape(shape)
    smooth = _table.where(mask, -_table.sum(classes, (at,)), zeros_like(per))
    per = per * (1 - label_smoothing) + smooth * (label_smoothing / inputs.shape[at])
    if reduction != "mean":
        return _reduce(per, reduction)
    safe = _table.where(mask, target, zeros_like(target))
    weights = ones(safe.shape, inputs.dtype) if weight is None else _table.gather(weight, safe, axis=0)
    return _table.sum(per) / _table.sum(_table.where(mask, weights, zeros_like(weights)))


def mse_loss(input, target, reduction="mean"):
    """(input - target)^2"""
    return _reduce(_table.square(input - target), reduction)


def l1_loss(input, target, reduction="mean"):
    """|input - target|"""
    return _reduce(_table.abs(input - target), reduction)


def smooth_l1_loss(input, target, beta=1.0, reduction="none"):
    """Half the square over beta where |input - target| < beta, the distance minus beta / 2 elsewhere."""
    d = _table.abs(input - target)
    if beta == 0:
        return _reduce(d, reduction)
    return _reduce(_table.where(d < beta, d * d * (0.5 / beta), d - 0.5 * beta), reduction)


def huber_loss(input, target, reduction="mean", delta=1.0):
    """Half the square where |input - target| < delta, delta times (distance - delta / 2) elsewhere."""
    d = _table.abs(input - target)
    return _reduce(_table.where(d < delta, d * d * 0.5, (d - 0.5 * delta) * delta), reduction)


def soft_margin_loss(input, target, reduction="mean"):
    """log(1 + exp(-target * input))"""
    return _reduce(_table.softplus(-target * input), reduction)


def binary_cross_entropy(logits, labels, weight=None, reduction="mean"):
    """-(y log p + (1 - y) log(1 - p)); logarithms are at least -100."""
    def log(p):
        return _table.clip(_table.log(p), min=-100.0)

    per = -(labels * log(logits) + (1 - labels) * log(1 - logits))
    return _reduce(per if weight is None else per * weight, reduction)


def binary_cross_entropy_with_logits(input, target, weight=None, pos_weight=None, reduction="mean"):
    """The same of sigmoid(input)."""
    logits, label = input, target
    positive = 1 if pos_weight is None else pos_weight
    per = label * _table.softplus(-logits) * positive + (1 - label) * _table.softplus(logits)
    return _reduce(per if weight is None else per * weight, reduction)


def kl_div(logits, labels, reduction="mean"):
    """labels * (log(labels) - logits)"""
    per = xlogy(labels, labels) - labels * logits
    return _table.sum(per) / logits.shape[0] if reduction == "batchmean" else _reduce(per, reduction)


def hinge_embedding_loss(inputs, targets, margin=1.0, reduction="mean"):
    """The input where the target is 1, max(0, margin - input) where it is -1."""
    return _reduce(_table.where(targets == 1, inputs, _table.relu(margin - inputs)), reduction)


def margin_ranking_loss(input1, input2, target, margin=0.0, reduction="mean"):
    """max(0, -target * (input1 - input2) + margin)"""
    return _reduce(_table.relu(-target * (input1 - input2) + margin), reduction)


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """x1 . x2 / (|x1| |x2|) along a dimension."""
    axes = (dim,)
    n1, n2 = _table.norm(x1, axes), _table.norm(x2, axes)
    return _table.sum(x1 * x2, axes) / _table.clip(n1 * n2, min=eps)


def cosine_embedding_loss(input1, input2, target, margin=0.0, reduction="mean"):
    """1 - cosine where the target is 1, max(0, cosine - margin) where it is -1."""
    c = cosine_similarity(input1, input2, 1 if input1.ndim > 1 else 0)
    return _reduce(_table.where(target == 1, 1 - c, _table.relu(c - margin)), reduction)


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n not in _imported]
