# SPDX-License-Identifier: Apache-2.0
"""Groups of processes, under MindSpore's names.

init() joins the processes that torchrun, mpirun, srun or `python -m rutile.launch` started together, as their
environment variables say; without a launcher this process is all there is.

>>> from rutile.communication import get_group_size, get_rank, init
>>> init()
>>> get_rank(), get_group_size()
(0, 1)
"""

import sys as _sys

from rutile import _rutile, context as _context
from rutile._rutile import dist as _dist

_errors = _rutile.errors

__all__ = ["GlobalComm", "HCCL_WORLD_COMM_GROUP", "MCCL_WORLD_COMM_GROUP", "NCCL_WORLD_COMM_GROUP", "create_group",
           "destroy_group", "get_comm_name", "get_group_rank_from_world_rank", "get_group_size", "get_local_rank", "get_local_rank_size",
           "get_process_group_ranks", "get_rank", "get_world_rank_from_group_rank", "init", "release"]

HCCL_WORLD_COMM_GROUP, NCCL_WORLD_COMM_GROUP = "hccl_world_group", "nccl_world_group"
MCCL_WORLD_COMM_GROUP = "mccl_world_group"
_WORLD = (None, "", "world", HCCL_WORLD_COMM_GROUP, NCCL_WORLD_COMM_GROUP, MCCL_WORLD_COMM_GROUP)
_BACKENDS = {"mccl": "gloo", "gloo": "gloo", "nccl": "nccl"}


class GlobalComm:
    """The group of all processes."""

    BACKEND = ""
    INITED = False
    WORLD_COMM_GROUP = "world"


def _name(group):
    """The library's name of a group."""
    if group is not None and not isinstance(group, str):
        raise _errors.TypeError(f"a group is named by a str, got {type(group).__name__}")
    return "world" if group in _WORLD else group


_hook_before = None


def _tell_others(kind, value, trace):
    """An uncaught exception of this process is what the others hear."""
    if not issubclass(kind, KeyboardInterrupt):
        text = str(value).strip().splitlines()
        _dist.report_failure(kind.__name__ + (": " + text[0] if text else ""))
    (_hook_before or _sys.__excepthook__)(kind, value, trace)


def _set_hook():
    global _hook_before
    if _sys.excepthook is not _tell_others:
        _hook_before, _sys.excepthook = _sys.excepthook, _tell_others


def _take_hook():
    global _hook_before
    if _sys.excepthook is _tell_others:
        _hook_before, _sys.excepthook = None, _hook_before or _sys.__excepthook__


def init(backend_name=None):
    """Joins the other processes. backend_name: "mccl" or "gloo" for the processor's memory; "nccl" for that of GPUs, of which this
    process then uses the one of its number on its machine. None: by the context's device_target.

    RuntimeError: they did not come in time, a port is in use, the plugin is not there. ValueError: an environment variable
    is missing or wrong. A second call does nothing.
    """
    if isinstance(backend_name, str) and backend_name == "hccl":
        raise _errors.RuntimeError("communication.init: there is no backend for Ascend devices; leave backend_name out")
    if backend_name is not None and backend_name not in _BACKENDS:
        raise _errors.ValueError(f"communication.init: backend_name must be one of 'mccl', 'gloo', 'nccl' or None, got {backend_name!r}")
    if _dist.initialized():
        return
    if backend_name is None:
        backend_name = "nccl" if _context.get_context("device_target").startswith("GPU") else "mccl"
    _dist.init(_BACKENDS[backend_name])
    GlobalComm.BACKEND, GlobalComm.INITED = backend_name, True
    if _dist.device() != "cpu":
        _rutile._set_device(_dist.device())
    _set_hook()


def release():
    """Leaves the other processes."""
    _dist.finalize()
    GlobalComm.BACKEND, GlobalComm.INITED = "", False
    _take_hook()


def get_rank(group=GlobalComm.WORLD_COMM_GROUP):
    """This process's number in the group, -1 if it is not in it."""
    return _dist.rank(_name(group))


def get_group_size(group=GlobalComm.WORLD_COMM_GROUP):
    """How many processes the group has."""
    return _dist.size(_name(group))


def get_local_rank(group=GlobalComm.WORLD_COMM_GROUP):
    """This process's number among those of its machine."""
    _dist.size(_name(group))
    return _dist.local_rank()


def get_local_rank_size(group=GlobalComm.WORLD_COMM_GROUP):
    """How many processes run on this machine."""
    _dist.size(_name(group))
    return _dist.local_size()


def get_world_rank_from_group_rank(group, group_rank_id):
    """The number among all processes of one that the group numbers so."""
    return _dist.world_rank(_name(group), group_rank_id)


def get_group_rank_from_world_rank(world_rank_id, group):
    """The group's number of a process."""
    return _dist.group_rank(_name(group), world_rank_id)


def get_process_group_ranks(group=GlobalComm.WORLD_COMM_GROUP):
    """The processes of a group, in its order."""
    return _dist.group_ranks(_name(group))


def get_comm_name(group=GlobalComm.WORLD_COMM_GROUP):
    """The library's own name of a group."""
    if not isinstance(group, str):
        raise _errors.TypeError(f"get_comm_name: group must be a str, got {type(group).__name__}")
    _dist.size(_name(group))
    return _name(group)


def create_group(group, rank_ids, options=None):
    """A group of these processes, made by all of them (others may make it too and are not in it)."""
    if not isinstance(rank_ids, (list, tuple)) or not rank_ids:
        raise _errors.TypeError(f"create_group: rank_ids must be a list of ranks, got {rank_ids!r}")
    if _name(group) == "world":
        raise _errors.ValueError("create_group: the group of all processes is there already")
    _dist.create_group(group, list(rank_ids))


def destroy_group(group):
    """Takes a group away."""
    if _name(group) == "world":
        raise _errors.ValueError("destroy_group: release() ends the group of all processes")
    _dist.destroy_group(group)


def __getattr__(name):
    if name == "comm_func":
        import importlib
        return importlib.import_module("rutile.communication.comm_func")
    raise AttributeError(f"module 'rutile.communication' has no attribute {name!r}")
