# SPDX-License-Identifier: Apache-2.0
"""Transforms of images, for Dataset.map or to be called: arrays [h, w, c], Tensors or PIL images.

>>> import numpy as np
>>> import rutile.dataset.vision as vision
>>> image = np.zeros((40, 30, 3), np.uint8)
>>> vision.HWC2CHW()(vision.Resize((32, 32))(image)).shape
(3, 32, 32)
"""

from rutile.dataset.transforms.basic import not_random
from rutile.dataset.vision import boxes, files, more_random, more_transforms, policies, random, transforms, utils
from rutile.dataset.vision.boxes import *  # noqa: F401,F403
from rutile.dataset.vision.files import *  # noqa: F401,F403
from rutile.dataset.vision.more_random import *  # noqa: F401,F403
from rutile.dataset.vision.more_transforms import *  # noqa: F401,F403
from rutile.dataset.vision.policies import *  # noqa: F401,F403
from rutile.dataset.vision.random import *  # noqa: F401,F403
from rutile.dataset.vision.transforms import *  # noqa: F401,F403
from rutile.dataset.vision.utils import *  # noqa: F401,F403
from rutile.dataset.vision import c_transforms, py_transforms

__all__ = ["c_transforms", "not_random", "py_transforms"] + [name for part in (
    boxes, files, more_random, more_transforms, policies, random, transforms, utils) for name in part.__all__]
