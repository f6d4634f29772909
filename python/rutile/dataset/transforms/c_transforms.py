# SPDX-License-Identifier: Apache-2.0
"""MindSpore 1.x's name of rutile.dataset.transforms."""

from rutile.dataset.transforms import basic
from rutile.dataset.transforms.basic import *  # noqa: F401,F403


__all__ = basic.__all__
