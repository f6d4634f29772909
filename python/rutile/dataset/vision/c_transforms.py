# SPDX-License-Identifier: Apache-2.0
"""MindSpore 1.x's name of the transforms of arrays."""

from rutile.dataset.vision import random, transforms, utils
from rutile.dataset.vision.random import *  # noqa: F401,F403
from rutile.dataset.vision.transforms import *  # noqa: F401,F403
from rutile.dataset.vision.utils import *  # noqa: F401,F403

__all__ = random.__all__ + transforms.__all__ + utils.__all__
