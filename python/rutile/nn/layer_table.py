# SPDX-License-Identifier: Apache-2.0
"""Layers that are one function of rutile.ops with attributes: each row of a table makes a Cell."""

from rutile import _rutile
from rutile import ops
from rutile.nn.activation import _NEEDED, constructor
from rutile.nn.cell import Cell

_errors = _rutile.errors

def _layer(name, function, **attributes):
    """A Cell whose construct is function(*inputs, **attributes)."""
    keys = list(attributes)

    def construct(self, *inputs):
        return function(*inputs, **{key: getattr(self, key) for key in keys})

    def extend_repr(self):
        return ", ".join(f"{key}={getattr(self, key)}" for key in keys)

    doc = (function.__doc__ or name).split("--\n\n")[-1]
    return type(name, (Cell,), {"__init__": constructor(attributes), "construct": construct, "extend_repr": extend_repr, "__doc__": doc,
                                "__module__": __name__})


AdaptiveAvgPool3d = _layer("AdaptiveAvgPool3d", ops.adaptive_avg_pool3d, output_size=_NEEDED)
AdaptiveMaxPool1d = _layer("AdaptiveMaxPool1d", ops.adaptive_max_pool1d, output_size=_NEEDED)
AdaptiveMaxPool2d = _layer("AdaptiveMaxPool2d", ops.adaptive_max_pool2d, output_size=_NEEDED, return_indices=False)
AdaptiveMaxPool3d = _layer("AdaptiveMaxPool3d", ops.adaptive_max_pool3d, output_size=_NEEDED, return_indices=False)
ChannelShuffle = _layer("ChannelShuffle", ops.channel_shuffle, groups=_NEEDED)
LPPool1d = _layer("LPPool1d", ops.lp_pool1d, norm_type=_NEEDED, kernel_size=_NEEDED, stride=None, ceil_mode=False)
LPPool2d = _layer("LPPool2d", ops.lp_pool2d, norm_type=_NEEDED, kernel_size=_NEEDED, stride=None, ceil_mode=False)
MaxUnpool1d = _layer("MaxUnpool1d", ops.max_unpool1d, kernel_size=_NEEDED, stride=None, padding=0)
MaxUnpool2d = _layer("MaxUnpool2d", ops.max_unpool2d, kernel_size=_NEEDED, stride=None, padding=0)
MaxUnpool3d = _layer("MaxUnpool3d", ops.max_unpool3d, kernel_size=_NEEDED, stride=None, padding=0)
MultiMarginLoss = _layer("MultiMarginLoss", lambda x, y, p, margin, reduction, weight: ops.multi_margin_loss(
    x, y, p, margin, weight, reduction), p=1, margin=1.0, reduction="mean", weight=None)
MultiMarginLoss.__doc__ = ops.multi_margin_loss.__doc__
PixelShuffle = _layer("PixelShuffle", ops.pixel_shuffle, upscale_factor=_NEEDED)
PixelUnshuffle = _layer("PixelUnshuffle", ops.pixel_unshuffle, downscale_factor=_NEEDED)
Tril = _layer("Tril", ops.tril)
Triu = _layer("Triu", ops.triu)
Threshold = _layer("Threshold", ops.table.threshold, threshold=_NEEDED, value=_NEEDED)
Upsample = _layer("Upsample", ops.interpolate, size=None, scale_factor=None, mode="nearest", align_corners=None,
                  recompute_scale_factor=None)


def _dropout(name, function):
    def __init__(self, p=0.5):
        Cell.__init__(self)
        if not 0 <= p <= 1:
            raise _errors.ValueError(f"[{name}] p must be in [0, 1], got {p}")
        self.p = p

    def construct(self, x):
        return function(x, self.p, self.training)

    return type(name, (Cell,), {"__init__": __init__, "construct": construct, "__doc__": function.__doc__, "__module__": __name__,
                                "extend_repr": lambda self: f"p={self.p}"})


Dropout1d = _dropout("Dropout1d", ops.dropout1d)
Dropout2d = _dropout("Dropout2d", ops.dropout2d)
Dropout3d = _dropout("Dropout3d", ops.dropout3d)

__all__ = [_n for _n, _v in list(globals().items())
           if isinstance(_v, type) and issubclass(_v, Cell) and _v is not Cell and not _n.startswith("_")]
