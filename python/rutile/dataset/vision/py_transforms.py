# SPDX-License-Identifier: Apache-2.0
"""MindSpore 1.x's transforms of PIL images: those of rutile.dataset.vision, but Decode gives a PIL image and Normalize takes
channels first, as ToTensor leaves them.

>>> import numpy as np
>>> from rutile.dataset import py_transforms
>>> both = py_transforms.Compose([py_transforms.ToTensor(), py_transforms.Normalize(mean=[0.5], std=[0.25])])
>>> both(np.full((2, 2, 1), 255, np.uint8)).tolist()
[[[2.0, 2.0], [2.0, 2.0]]]
"""

from rutile.dataset.vision import boxes, more_random, more_transforms, policies, random, transforms, utils
from rutile.dataset.vision.boxes import *  # noqa: F401,F403
from rutile.dataset.vision.more_random import *  # noqa: F401,F403
from rutile.dataset.vision.more_transforms import *  # noqa: F401,F403
from rutile.dataset.vision.policies import *  # noqa: F401,F403
from rutile.dataset.vision.random import *  # noqa: F401,F403
from rutile.dataset.vision.transforms import *  # noqa: F401,F403
from rutile.dataset.vision.transforms import Decode as _Decode
from rutile.dataset.vision.transforms import HWC2CHW as _HWC2CHW
from rutile.dataset.vision.transforms import Normalize as _Normalize
from rutile.dataset.vision.utils import *  # noqa: F401,F403


class Decode(_Decode):
    """The bytes of a JPEG, PNG or BMP file as a PIL image."""

    def __init__(self):
        super().__init__(to_pil=True)


class Normalize(_Normalize):
    """(x - mean) / std of [c, h, w], float32."""

    def __init__(self, mean, std):
        super().__init__(mean, std, is_hwc=False)


class HWC2CHW(_HWC2CHW):
    """[h, w, c] as [c, h, w]."""


__all__ = sorted(name for part in (boxes, more_random, more_transforms, policies, random, transforms, utils) for name in part.__all__)
