# SPDX-License-Identifier: Apache-2.0
"""Pipelines of data, by MindSpore's names: sources, map, batch, shuffle, shards, iterators.

>>> import rutile.dataset as ds
>>> data = ds.NumpySlicesDataset({"x": [1.0, 2.0, 3.0, 4.0]}, shuffle=False).map(lambda x: x / 2).batch(2)
>>> [x.asnumpy().tolist() for x, in data]
[[0.5, 1.0], [1.5, 2.0]]
"""

from rutile.dataset import config, engine, text, transforms, vision
from rutile.dataset.engine import *  # noqa: F401,F403
from rutile.dataset import c_transforms, py_transforms

__all__ = ["c_transforms", "config", "engine", "py_transforms", "text", "transforms", "vision"] + engine.__all__
