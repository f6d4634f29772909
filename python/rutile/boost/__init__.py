# SPDX-License-Identifier: Apache-2.0
"""MindSpore's place for ways to train faster: accumulation of gradients. Its other ones raise an error when they are used."""

from rutile import _refused
from rutile.boost.grad_accumulation import GradientAccumulation

__all__ = ["GradientAccumulation"]


def __getattr__(name):
    if name in _refused.OF_BOOST:
        return globals().setdefault(name, _refused.refused(name))
    raise AttributeError(f"module 'rutile.boost' has no attribute {name!r}")
