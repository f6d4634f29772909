# SPDX-License-Identifier: Apache-2.0
"""Transforms of images, for Dataset.map or to be called: arrays [h, w, c], Tensors or PIL images.

>>> import numpy as np
>>> import rutile.dataset.vision as vision
>>> image = np.zeros((40, 30, 3), np.uint8)
>>> vision.HWC2CHW()(vision.Resize((32, 32))(image)).shape
(3, 32, 32)
"""

from rutile.dataset.vision import random, transforms, utils
from rutile.dataset.vision.random import *  # noqa: F401,F403
from rutile.dataset.vision.transforms import *  # noqa: F401,F403
from rutile.dataset.vision.utils import *  # noqa: F401,F403
from rutile.dataset.vision import c_transforms, py_transforms

__all__ = ["c_transforms", "py_transforms"] + random.__all__ + transforms.__all__ + utils.__all__
