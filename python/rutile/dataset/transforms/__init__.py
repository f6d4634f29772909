# SPDX-License-Identifier: Apache-2.0
"""Transforms of any values, for Dataset.map or to be called."""

from rutile.dataset.transforms import basic
from rutile.dataset.transforms.basic import *  # noqa: F401,F403
from rutile.dataset.transforms import c_transforms, py_transforms

__all__ = ["c_transforms", "py_transforms"] + basic.__all__
