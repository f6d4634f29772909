# SPDX-License-Identifier: Apache-2.0
"""MindSpore's place for models that are sharded over devices. Training here is data-parallel (rutile.communication,
nn.DistributedGradReducer), so what splits a model by a strategy can be imported and raises an error when it is used."""

from rutile import _refused
from rutile.train import load_segmented_checkpoints

__all__ = ["load_segmented_checkpoints"]


def __getattr__(name):
    if name in _refused.OF_PARALLEL:
        return globals().setdefault(name, _refused.refused(name))
    raise AttributeError(f"module 'rutile.parallel' has no attribute {name!r}")
