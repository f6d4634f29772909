# SPDX-License-Identifier: Apache-2.0
"""Transforms of any values, for Dataset.map or to be called."""

from rutile.dataset.transforms import basic
from rutile.dataset.transforms.basic import *  # noqa: F401,F403
from rutile.dataset.transforms import c_transforms, py_transforms

__all__ = ["c_transforms", "py_transforms"] + basic.__all__


def __getattr__(name):
    # The bases of transforms of one's own.
    from rutile._inner import operations
    if name in ("Implementation", "PyTensorOperation"):
        return getattr(operations, name)
    raise AttributeError(f"module 'rutile.dataset.transforms' has no attribute {name!r}")
