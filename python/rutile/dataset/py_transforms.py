# SPDX-License-Identifier: Apache-2.0
"""MindSpore 1.x's name of the transforms: those of transforms.py_transforms and vision.py_transforms together."""

from rutile.dataset.transforms import py_transforms as _general
from rutile.dataset.transforms.py_transforms import *  # noqa: F401,F403
from rutile.dataset.vision import py_transforms as _vision
from rutile.dataset.vision.py_transforms import *  # noqa: F401,F403

__all__ = sorted({*_general.__all__, *_vision.__all__})
