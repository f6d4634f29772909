# SPDX-License-Identifier: Apache-2.0
"""The base of convolutions of one's own: the weights, as MindSpore's constructor takes them."""

from rutile._rutile import Parameter
from rutile import _checkparam as _check, _inner
from rutile.common.initializer import HeUniform, Uniform, _fans, initializer
from rutile.nn import Cell, Conv1d, Conv1dTranspose, Conv2d, Conv2dTranspose, Conv3d, Conv3dTranspose

__all__ = ["Conv1d", "Conv1dTranspose", "Conv2d", "Conv2dTranspose", "Conv3d", "Conv3dTranspose"]


class _Conv(Cell):
    """The arguments as attributes, weight and bias as Parameters; kernel_size, stride and dilation are tuples."""

    def __init__(self, in_channels, out_channels, kernel_size, stride, pad_mode, padding, dilation, group, has_bias,
                 weight_init=None, bias_init=None, data_format="NCHW", transposed=False, dtype="float32"):
        super().__init__()
        self.in_channels = _check.check_positive_int(in_channels, "in_channels", self.cls_name)
        self.out_channels = _check.check_positive_int(out_channels, "out_channels", self.cls_name)
        self.kernel_size, self.stride, self.pad_mode, self.padding = kernel_size, stride, pad_mode, padding
        self.dilation, self.has_bias, self.data_format, self.format = dilation, has_bias, data_format, data_format
        self.group = _check.check_positive_int(group, "group", self.cls_name)
        if in_channels % group or out_channels % group:
            raise ValueError(f"For {self.cls_name!r}, group {group} must divide {in_channels} and {out_channels} channels")
        if transposed:
            shape = (in_channels, out_channels // group, *kernel_size)
        elif data_format == "NHWC":
            shape = (out_channels, *kernel_size, in_channels // group)
        else:
            shape = (out_channels, in_channels // group, *kernel_size)
        self.weight_init = HeUniform(5 ** 0.5) if weight_init is None else weight_init
        self.weight = Parameter(initializer(self.weight_init, shape, dtype), name="weight")
        self.bias_init = Uniform(_fans(shape)[0] ** -0.5) if has_bias and bias_init is None else bias_init
        self.bias = Parameter(initializer(self.bias_init, (out_channels,), dtype), name="bias") if has_bias else None


def _deconv_output_length(is_valid, is_same, is_pad, input_length, filter_size, stride_size, dilation_size, padding):
    """The length that a transposed convolution makes of input_length."""
    if is_valid:
        return input_length * stride_size + max((filter_size - 1) * dilation_size + 1 - stride_size, 0)
    if is_same:
        return input_length * stride_size
    return input_length * stride_size - padding + (filter_size - 1) * dilation_size + 1 - stride_size


__getattr__ = _inner.from_nn(__name__)
