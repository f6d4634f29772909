# SPDX-License-Identifier: Apache-2.0
"""MindSpore 1.x's name of the transforms of arrays."""

from rutile.dataset.vision import boxes, more_random, more_transforms, policies, random, transforms, utils
from rutile.dataset.vision.boxes import *  # noqa: F401,F403
from rutile.dataset.vision.more_random import *  # noqa: F401,F403
from rutile.dataset.vision.more_transforms import *  # noqa: F401,F403
from rutile.dataset.vision.policies import *  # noqa: F401,F403
from rutile.dataset.vision.random import *  # noqa: F401,F403
from rutile.dataset.vision.transforms import *  # noqa: F401,F403
from rutile.dataset.vision.utils import *  # noqa: F401,F403

__all__ = [name for part in (boxes, more_random, more_transforms, policies, random, transforms, utils) for name in part.__all__]
