# SPDX-License-Identifier: Apache-2.0
"""Layers that are one function of mint.nn.functional with attributes: each row of a table makes a Cell."""

from rutile import _rutile
from rutile.mint.nn import functional as F
from rutile.nn.activation import _NEEDED, constructor
from rutile.nn.cell import Cell

_errors = _rutile.errors
_pad = F.pad


def _layer(name, function, doc=None, **attributes):
    """A Cell whose construct is function(*inputs, **attributes)."""
    keys = list(attributes)

    def construct(self, *inputs):
        return function(*inputs, **{key: getattr(self, key) for key in keys})

    def extend_repr(self):
        return ", ".join(f"{key}={getattr(self, key)}" for key in keys)

    doc = doc or (function.__doc__ or name).split("--\n\n")[-1]
    return type(name, (Cell,), {"__init__": constructor(attributes), "construct": construct, "extend_repr": extend_repr, "__doc__": doc,
                                "__module__": __name__})


def _loss(name, function, doc=None, **attributes):
    """As _layer; the reduction is checked when it is made."""
    cls = _layer(name, function, doc, **attributes)
    made = cls.__init__

    def __init__(self, *args, **kwargs):
        made(self, *args, **kwargs)
        if self.reduction not in ("mean", "sum", "none") and not (self.reduction == "batchmean" and name == "KLDivLoss"):
            raise _errors.ValueError(f"[{name}] reduction is 'mean', 'sum' or 'none', got {self.reduction!r}")

    __init__.__signature__ = _signature(made)
    cls.__init__ = __init__
    return cls


def _signature(function):
    import inspect
    return inspect.signature(function)


ELU = _layer("ELU", F.elu, alpha=1.0, inplace=False)
Flatten = _layer("Flatten", F.flatten, start_dim=1, end_dim=-1)
GELU = _layer("GELU", F.gelu, approximate="none")
Hardshrink = _layer("Hardshrink", F.hardshrink, lambd=0.5)
Hardsigmoid = _layer("Hardsigmoid", F.hardsigmoid)
Hardswish = _layer("Hardswish", F.hardswish)
Hardtanh = _layer("Hardtanh", F.hardtanh, min_val=-1.0, max_val=1.0, inplace=False)
LeakyReLU = _layer("LeakyReLU", F.leaky_relu, negative_slope=0.01)
LogSigmoid = _layer("LogSigmoid", F.logsigmoid)
LogSoftmax = _layer("LogSoftmax", F.log_softmax, dim=None)
Mish = _layer("Mish", F.mish)
ReLU = _layer("ReLU", F.relu)
ReLU6 = _layer("ReLU6", F.relu6, inplace=False)
SELU = _layer("SELU", F.selu)
SiLU = _layer("SiLU", F.silu, inplace=False)
Sigmoid = _layer("Sigmoid", F.sigmoid)
Softmax = _layer("Softmax", F.softmax, dim=None)
Softshrink = _layer("Softshrink", F.softshrink, lambd=0.5)
Softplus = _layer("Softplus", F.softplus, beta=1, threshold=20)
GLU = _layer("GLU", F.glu, dim=-1)
Tanh = _layer("Tanh", F.tanh)
Threshold = _layer("Threshold", F.threshold, threshold=_NEEDED, value=_NEEDED, inplace=False)

AdaptiveAvgPool1d = _layer("AdaptiveAvgPool1d", F.adaptive_avg_pool1d, output_size=_NEEDED)
AdaptiveAvgPool2d = _layer("AdaptiveAvgPool2d", F.adaptive_avg_pool2d, output_size=_NEEDED)
AdaptiveAvgPool3d = _layer("AdaptiveAvgPool3d", F.adaptive_avg_pool3d, output_size=_NEEDED)
AdaptiveMaxPool1d = _layer("AdaptiveMaxPool1d", F.adaptive_max_pool1d, output_size=_NEEDED, return_indices=False)
AdaptiveMaxPool2d = _layer("AdaptiveMaxPool2d", F.adaptive_max_pool2d, output_size=_NEEDED, return_indices=False)
_WINDOW = {"kernel_size": _NEEDED, "stride": None, "padding": 0}
AvgPool1d = _layer("AvgPool1d", F.avg_pool1d, **_WINDOW, ceil_mode=False, count_include_pad=True)
AvgPool2d = _layer("AvgPool2d", F.avg_pool2d, **_WINDOW, ceil_mode=False, count_include_pad=True, divisor_override=None)
AvgPool3d = _layer("AvgPool3d", F.avg_pool3d, **_WINDOW, ceil_mode=False, count_include_pad=True, divisor_override=None)
Fold = _layer("Fold", F.fold, output_size=_NEEDED, kernel_size=_NEEDED, dilation=1, padding=0, stride=1)
Unfold = _layer("Unfold", F.unfold, kernel_size=_NEEDED, dilation=1, padding=0, stride=1)
PixelShuffle = _layer("PixelShuffle", F.pixel_shuffle, upscale_factor=_NEEDED)
Upsample = _layer("Upsample", F.interpolate, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None)
UpsamplingNearest2d = _layer("UpsamplingNearest2d", F.interpolate, "Another size: the nearest pixel.", size=None, scale_factor=None)
UpsamplingBilinear2d = _layer("UpsamplingBilinear2d", lambda x, size, scale_factor: F.interpolate(x, size, scale_factor, "bilinear", True),
                              "Another size: between pixels, corners on corners.", size=None, scale_factor=None)

BCELoss = _loss("BCELoss", F.binary_cross_entropy, weight=None, reduction="mean")
BCEWithLogitsLoss = _loss("BCEWithLogitsLoss", F.binary_cross_entropy_with_logits, weight=None, reduction="mean", pos_weight=None)
CosineEmbeddingLoss = _loss("CosineEmbeddingLoss", F.cosine_embedding_loss, margin=0.0, reduction="mean")
CrossEntropyLoss = _loss("CrossEntropyLoss", F.cross_entropy, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0)
KLDivLoss = _loss("KLDivLoss", F.kl_div, reduction="mean", log_target=False)
L1Loss = _loss("L1Loss", F.l1_loss, reduction="mean")
MSELoss = _loss("MSELoss", F.mse_loss, reduction="mean")
NLLLoss = _loss("NLLLoss", F.nll_loss, weight=None, ignore_index=-100, reduction="mean")
SmoothL1Loss = _loss("SmoothL1Loss", F.smooth_l1_loss, reduction="mean", beta=1.0)
SoftMarginLoss = _loss("SoftMarginLoss", F.soft_margin_loss, reduction="mean")


class Identity(Cell):
    """Its input; whatever it is made with."""

    def __init__(self, *args, **kwargs):
        super().__init__()

    def construct(self, input):
        return input


class MaxUnpool2d(Cell):
    """What a max pool took, back at its place, zeros elsewhere."""

    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def construct(self, input, indices, output_size=None):
        return F.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


def _sides(name, padding, n):
    if isinstance(padding, bool) or not isinstance(padding, (int, tuple, list)):
        raise _errors.ValueError(f"[{name}] padding is an int or {2 * n} of them, got {padding!r}")
    sides = (padding,) * (2 * n) if isinstance(padding, int) else tuple(padding)
    if len(sides) != 2 * n:
        raise _errors.ValueError(f"[{name}] padding is an int or {2 * n} of them, got {padding!r}")
    if any(isinstance(s, bool) or not isinstance(s, int) for s in sides):
        raise _errors.TypeError(f"[{name}] padding is an int or {2 * n} of them, got {padding!r}")
    return sides


def _padding(name, n, mode, doc, value=False):
    """A Cell that pads the last n dimensions."""
    def construct(self, input):
        return _pad(input, self.padding, mode, self.value)

    def with_value(self, padding, value):
        Cell.__init__(self)
        self.padding, self.value = _sides(name, padding, n), value

    def without(self, padding):
        Cell.__init__(self)
        self.padding, self.value = _sides(name, padding, n), 0 if mode == "constant" else None
        if mode != "constant" and min(self.padding) < 0:
            raise _errors.ValueError(f"[{name}] padding must not be negative, got {padding!r}")

    def extend_repr(self):
        return f"padding={self.padding}" + (f", value={self.value}" if value else "")

    return type(name, (Cell,), {"__init__": with_value if value else without, "construct": construct, "extend_repr": extend_repr,
                                "__doc__": doc, "__module__": __name__})


for _i in (1, 2, 3):
    _where = "the last dimension" if _i == 1 else f"the last {_i} dimensions"
    globals()[f"ConstantPad{_i}d"] = _padding(f"ConstantPad{_i}d", _i, "constant", f"`value` around {_where}; negative numbers cut off.", True)
    globals()[f"ZeroPad{_i}d"] = _padding(f"ZeroPad{_i}d", _i, "constant", f"Zeros around {_where}; negative numbers cut off.")
    globals()[f"ReflectionPad{_i}d"] = _padding(f"ReflectionPad{_i}d", _i, "reflect", f"The border of {_where} reflected, without the last element itself.")
    globals()[f"ReplicationPad{_i}d"] = _padding(f"ReplicationPad{_i}d", _i, "replicate", f"The border of {_where} repeated.")

__all__ = [_n for _n, _v in list(globals().items())
           if isinstance(_v, type) and issubclass(_v, Cell) and _v is not Cell and not _n.startswith("_")]
