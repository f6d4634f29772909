# SPDX-License-Identifier: Apache-2.0
"""MindSpore's names for groups of processes. There is one process: rank 0 of 1.

>>> from rutile.communication import get_group_size, get_rank
>>> get_rank(), get_group_size()
(0, 1)
"""

from rutile import _rutile

__all__ = ["GlobalComm", "get_group_size", "get_local_rank", "get_local_rank_size", "get_rank", "init", "release"]


class GlobalComm:
    """The group of all processes."""

    BACKEND = ""
    INITED = False
    WORLD_COMM_GROUP = ""


def init(backend_name=None):
    """RuntimeError: training on several machines or devices is not there."""
    raise _rutile.errors.RuntimeError("communication.init: Rutile runs in one process; leave init() out")


def release():
    """Nothing to give back."""


def get_rank(group=""):
    """0."""
    return 0


def get_group_size(group=""):
    """1."""
    return 1


get_local_rank, get_local_rank_size = get_rank, get_group_size
