# SPDX-License-Identifier: Apache-2.0
"""MindSpore 1.x's name of the transforms: those of transforms.c_transforms and vision.c_transforms together."""

from rutile.dataset.transforms import c_transforms as _general
from rutile.dataset.transforms.c_transforms import *  # noqa: F401,F403
from rutile.dataset.vision import c_transforms as _vision
from rutile.dataset.vision.c_transforms import *  # noqa: F401,F403

__all__ = sorted({*_general.__all__, *_vision.__all__})
