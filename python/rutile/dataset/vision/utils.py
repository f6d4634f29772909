# SPDX-License-Identifier: Apache-2.0
"""Choices of the vision transforms."""

import enum as _enum

__all__ = ["AutoAugmentPolicy", "Border", "ConvertMode", "ImageBatchFormat", "ImageReadMode", "Inter", "SliceMode"]


class AutoAugmentPolicy(str, _enum.Enum):
    """The data set for which AutoAugment's policy was found."""

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"


class Inter(_enum.IntEnum):
    """How pixels between pixels are computed."""

    NEAREST = 0
    ANTIALIAS = 1
    LINEAR = 2
    BILINEAR = 2
    CUBIC = 3
    BICUBIC = 3
    AREA = 4
    PILCUBIC = 5


class Border(str, _enum.Enum):
    """What stands beyond the edge: a value, the edge's pixel, or the image mirrored (with or without its last row)."""

    CONSTANT = "constant"
    EDGE = "edge"
    REFLECT = "reflect"
    SYMMETRIC = "symmetric"


class ConvertMode(_enum.IntEnum):
    """Colour conversions of ConvertColor."""

    COLOR_BGR2BGRA = 0
    COLOR_RGB2RGBA = 0
    COLOR_BGRA2BGR = 1
    COLOR_RGBA2RGB = 1
    COLOR_BGR2RGBA = 2
    COLOR_RGB2BGRA = 2
    COLOR_RGBA2BGR = 3
    COLOR_BGRA2RGB = 3
    COLOR_BGR2RGB = 4
    COLOR_RGB2BGR = 4
    COLOR_BGRA2RGBA = 5
    COLOR_RGBA2BGRA = 5
    COLOR_BGR2GRAY = 6
    COLOR_RGB2GRAY = 7
    COLOR_GRAY2BGR = 8
    COLOR_GRAY2RGB = 8
    COLOR_GRAY2BGRA = 9
    COLOR_GRAY2RGBA = 9
    COLOR_BGRA2GRAY = 10
    COLOR_RGBA2GRAY = 11


class ImageBatchFormat(_enum.IntEnum):
    """Where the channels of a batch of images stand."""

    NHWC = 0
    NCHW = 1


class ImageReadMode(_enum.IntEnum):
    """Colours of decoded images."""

    UNCHANGED = 0
    GRAYSCALE = 1
    COLOR = 2


class SliceMode(_enum.IntEnum):
    """What SlicePatches does with an edge that is no multiple: add pixels or leave some out."""

    PAD = 0
    DROP = 1
