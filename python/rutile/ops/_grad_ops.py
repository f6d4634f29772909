# SPDX-License-Identifier: Apache-2.0
"""The primitives that MindSpore computes gradients with, for scripts that call them: from what forward gave and the gradient of
its output the gradients of its inputs."""

from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops import function as _f
from rutile.ops import operations as _p
from rutile.ops._late_primitives import scale_and_translate_grad as _scale_and_translate_grad

__all__ = []


def _pull(function, inputs, dy):
    from rutile.ops.transform import vjp
    out = vjp(function, *inputs)[1](dy)
    return out[0] if isinstance(out, tuple) and len(out) == 1 else out


def _define(name, attributes, call, doc):
    globals()[name] = _p._made(name, attributes, call, doc, __name__)
    __all__.append(name)


# By formulas of the output y, or of the input x.
for _name, _rule in {
        "SigmoidGrad": lambda y, dy: dy * y * (1 - y), "TanhGrad": lambda y, dy: dy * (1 - y * y),
        "SqrtGrad": lambda y, dy: dy / (2 * y), "RsqrtGrad": lambda y, dy: dy * y * y * y * -0.5,
        "ReciprocalGrad": lambda y, dy: -dy * y * y, "InvGrad": lambda y, dy: -dy * y * y,
        "AsinhGrad": lambda y, dy: dy / _table.cosh(y), "AcoshGrad": lambda y, dy: dy / _table.sinh(y),
        "AsinGrad": lambda x, dy: dy * _table.rsqrt(1 - x * x), "ACosGrad": lambda x, dy: -dy * _table.rsqrt(1 - x * x),
        "AtanGrad": lambda x, dy: dy / (1 + x * x), "AbsGrad": lambda x, dy: dy * _table.sign(x),
        "ReluGrad": lambda dy, x: _table.where(x > 0, dy, dy * 0), "ReLUGrad": lambda dy, x: _table.where(x > 0, dy, dy * 0),
        "ReLU6Grad": lambda dy, x: _table.where(_table.logical_and(x > 0, x < 6), dy, dy * 0),
        "EluGrad": lambda dy, y: _table.where(y < 0, dy * (y + 1), dy)}.items():
    _define(_name, {}, lambda self, a, b, rule=_rule: rule(a, b), "A gradient from what forward gave and that of its output.")

# By the forward function, of (dy, x) or, with one more input that is not read, (dy, x, y).
for _name, _forward in {"GeLUGrad": lambda x: _table.gelu(x, "tanh"), "SoftplusGrad": _table.softplus, "HSigmoidGrad": _table.hsigmoid,
                        "HSwishGrad": _table.hswish, "SiLUGrad": _table.silu, "FastGeLUGrad": _f.fast_gelu}.items():
    _define(_name, {}, lambda self, dy, x, y=None, forward=_forward: _pull(forward, (x,), dy), "The gradient of the input.")
for _name, _forward in {"SoftShrinkGrad": _f.softshrink, "HShrinkGrad": _f.hardshrink}.items():
    _define(_name, {"lambd": 0.5}, lambda self, dy, x, forward=_forward: _pull(lambda v: forward(v, self.lambd), (x,), dy),
            "The gradient of the input.")
for _name, _forward in {"MaximumGrad": _table.maximum, "MinimumGrad": _table.minimum}.items():
    _define(_name, {"grad_x": True, "grad_y": True}, lambda self, x, y, dy, forward=_forward: tuple(
        g for g, wanted in zip(_pull(forward, (x, y), dy), (self.grad_x, self.grad_y)) if wanted), "The gradients of both inputs.")
_define("LogSoftmaxGrad", {"axis": -1}, lambda self, y, dy: dy - _table.exp(y) * _table.sum(dy, (self.axis,), True),
        "The gradient of the input.")
_define("PReLUGrad", {}, lambda self, dy, x, w: _pull(_f.prelu, (x, w), dy), "The gradients of input and weight.")
_define("LRNGrad", {"depth_radius": 5, "bias": 1.0, "alpha": 1.0, "beta": 0.5}, lambda self, dy, x, y: _pull(
    lambda v: _f.lrn(v, self.depth_radius, self.bias, self.alpha, self.beta), (x,), dy), "The gradient of the input.")
_define("BiasAddGrad", {"data_format": "NCHW"}, lambda self, dy: _table.sum(dy, tuple(
    i for i in range(dy.ndim) if i != (dy.ndim - 1 if self.data_format == "NHWC" else 1))), "The gradient of the bias.")
_define("SmoothL1LossGrad", {"beta": 1.0, "reduction": "none"}, lambda self, x, y, dy: _pull(
    lambda v: _f.smooth_l1_loss(v, y, self.beta, self.reduction), (x,), dy), "The gradient of the prediction.")
_define("BinaryCrossEntropyGrad", {"reduction": "mean"}, lambda self, x, y, dy, weight=None: _pull(
    lambda v: _f.binary_cross_entropy(v, y, weight, self.reduction), (x,), dy), "The gradient of the prediction.")
_define("KLDivLossGrad", {"reduction": "mean"}, lambda self, dy, x, y: _pull(
    lambda v: _f.kl_div(v, y, self.reduction), (x,), dy), "The gradient of the prediction.")
_define("SigmoidCrossEntropyWithLogitsGrad", {}, lambda self, x, y, dy: (_table.sigmoid(x) - y) * dy, "The gradient of the logits.")
_define("LayerNormGrad", {"begin_norm_axis": 1, "begin_params_axis": 1}, lambda self, x, dy, variance, mean, gamma: _layer_norm(
    self, x, dy, variance, mean, gamma), "(gradients of the input, of gamma, of beta).")


def _layer_norm(p, x, dy, variance, mean, gamma):
    first, lead = p.begin_norm_axis % x.ndim, p.begin_params_axis % x.ndim
    inner, outer = tuple(range(first, x.ndim)), tuple(range(lead))
    rstd = _table.rsqrt(variance + 1e-12)
    normed, scaled = (x - mean) * rstd, dy * gamma
    dx = rstd * (scaled - _table.mean(scaled, inner, True) - normed * _table.mean(scaled * normed, inner, True))
    return dx, _table.sum(dy * normed, outer), _table.sum(dy, outer)


_define("ScaleAndTranslateGrad", {"kernel_type": "lanczos3", "antialias": True}, _scale_and_translate_grad, "The gradient of the images.")
_WINDOW = {"kernel_size": 1, "strides": 1, "pad_mode": "VALID", "data_format": "NCHW"}
for _name in ("MaxPool", "AvgPool"):
    _define(f"{_name}Grad", _WINDOW, lambda self, x, y, dy, forward=getattr(_p, _name): _pull(
        forward(self.kernel_size, self.strides, self.pad_mode, self.data_format), (x,), dy), "The gradient of the input.")
_define("Conv2DBackpropFilter", {"out_channel": _p._NEEDED, "kernel_size": _p._NEEDED, "pad_mode": "valid", "pad": 0, "pad_list": None,
                                 "mode": 1, "stride": 1, "dilation": 1, "group": 1, "data_format": "NCHW"},
        lambda self, dy, x, size: _weights(self, dy, x, size), "The gradient of a convolution's weight.")


def _weights(p, dy, x, size):
    size = tuple(size.asnumpy().tolist()) if isinstance(size, Tensor) else tuple(size)
    two = [v[-2:] if isinstance(v, (tuple, list)) else v for v in (p.stride, p.dilation)]
    forward = _p.Conv2D(p.out_channel, p.kernel_size, 1, p.pad_mode, p.pad, *two, p.group)
    return _pull(lambda w: forward(x, w), (_table.full(size, 0, x.dtype),), dy)
