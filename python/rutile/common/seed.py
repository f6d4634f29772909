# SPDX-License-Identifier: Apache-2.0
"""The seed of the process: initializers, random ops, and pipelines without a seed of their own."""

from rutile import _rutile

__all__ = ["get_seed", "set_seed"]

_state = {"seed": None, "edition": 0}


def set_seed(seed):
    """Random ops, initializers, dataset pipelines and numpy.random start again from this number (an int of at least 0).

    >>> import rutile
    >>> rutile.set_seed(3)
    >>> rutile.common.seed.get_seed()
    3
    """
    restart(seed)
    import numpy
    numpy.random.seed(int(seed) & 0xFFFFFFFF)


def restart(seed):
    """That of this package alone."""
    _rutile.set_seed(seed)
    _state["seed"] = int(seed)
    _state["edition"] += 1


def get_seed():
    """The number that set_seed got; None before."""
    return _state["seed"]


def _get_global_and_op_seed():
    """(the process's number, an op's own): random ops draw from the process's stream."""
    return get_seed() or 0, 0


def _get_graph_seed(op_seed, kernel_name):
    """As _get_global_and_op_seed, with the seed that an op was given."""
    return get_seed() or 0, op_seed or 0


def edition():
    """Changes with each call of set_seed."""
    return _state["edition"]
