# SPDX-License-Identifier: Apache-2.0
"""The seed of the process: initializers, random ops, and pipelines without a seed of their own."""

from rutile import _rutile

__all__ = ["get_seed", "set_seed"]

_state = {"seed": None, "edition": 0}


def set_seed(seed):
    """Random ops, initializers and dataset pipelines start again from this number (an int of at least 0).

    >>> import rutile
    >>> rutile.set_seed(3)
    >>> rutile.common.seed.get_seed()
    3
    """
    _rutile.set_seed(seed)
    _state["seed"] = int(seed)
    _state["edition"] += 1


def get_seed():
    """The number that set_seed got; None before."""
    return _state["seed"]


def edition():
    """Changes with each call of set_seed."""
    return _state["edition"]
