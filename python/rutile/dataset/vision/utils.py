# SPDX-License-Identifier: Apache-2.0
"""Choices of the vision transforms."""

import enum as _enum

__all__ = ["Border", "ConvertMode", "ImageReadMode", "Inter"]


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

    COLOR_BGR2RGB = 4
    COLOR_RGB2BGR = 5
    COLOR_RGB2GRAY = 7
    COLOR_GRAY2RGB = 8


class ImageReadMode(_enum.IntEnum):
    """Colours of decoded images."""

    UNCHANGED = 0
    GRAYSCALE = 1
    COLOR = 2
