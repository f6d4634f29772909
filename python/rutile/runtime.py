# SPDX-License-Identifier: Apache-2.0
"""Memory of the process's tensors on the device in force (set_context(device_target=...)), streams and events, by
MindSpore 2.x's names.

>>> import rutile
>>> before = rutile.runtime.memory_allocated()
>>> x = rutile.ops.zeros((1024, 1024))
>>> rutile.runtime.memory_allocated() - before >= 4 * 1024 * 1024
True
>>> del x
>>> rutile.runtime.empty_cache()
"""

import re as _re

from rutile import _rutile, _streams
from rutile._streams import *  # noqa: F401,F403

_errors = _rutile.errors

__all__ = ["empty_cache", "max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved", "memory_stats",
           "memory_summary", "reset_max_memory_allocated", "reset_max_memory_reserved", "reset_peak_memory_stats", "set_memory",
           "synchronize"] + _streams.__all__

_most_reserved = {}  # by device
_UNITS = {"": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}


def _device():
    return _rutile._device_in_force()


def _numbers():
    s = _rutile._device_memory(_device())
    reserved = s["live"] + s["cached"]
    most = _most_reserved[_device()] = max(_most_reserved.get(_device(), 0), reserved, s["peak_live"])
    return {"total_reserved_memory": reserved, "total_allocated_memory": s["live"], "total_idle_memory": s["cached"],
            "total_eager_free_memory": 0, "max_reserved_memory": most, "max_allocated_memory": s["peak_live"],
            "largest_idle_block": s["largest_cached"], "requests": s["requests"], "system_requests": s["system_requests"]}


def memory_stats():
    """All numbers, bytes: allocated is what tensors hold, idle what is kept for the next ones, reserved both."""
    return _numbers()


def memory_allocated():
    """Bytes that tensors hold."""
    return _numbers()["total_allocated_memory"]


def memory_reserved():
    """Bytes that tensors hold or that are kept for the next ones."""
    return _numbers()["total_reserved_memory"]


def max_memory_allocated():
    """The most that tensors held since the start or reset_peak_memory_stats()."""
    return _numbers()["max_allocated_memory"]


def max_memory_reserved():
    """The most that was reserved, as far as these functions saw it."""
    return _numbers()["max_reserved_memory"]


def reset_peak_memory_stats():
    """The peaks begin again with what there is."""
    _rutile._device_reset_peak(_device())
    _most_reserved.pop(_device(), None)


reset_max_memory_allocated = reset_max_memory_reserved = reset_peak_memory_stats


def empty_cache():
    """Gives memory that no tensor holds back to the system; of a GPU: waits for its work, and others can have it."""
    _rutile._device_empty_cache(_device())


def memory_summary():
    """The numbers as a table."""
    names = {"total_reserved_memory": "Reserved memory", "total_allocated_memory": "Allocated memory",
             "total_idle_memory": "Idle memory", "max_reserved_memory": "Max reserved memory",
             "max_allocated_memory": "Max allocated memory"}
    found = _numbers()
    rows = [f"| {text:<20} | {found[key] / 2**20:>14.1f} MB |" for key, text in names.items()]
    line = "|" + "=" * 42 + "|"
    return "\n".join([line, f"|{'Memory summary':^42}|", line, *rows, line]) + "\n"


def set_memory(init_size="2GB", increase_size="2GB", max_size="1024GB", optimize_level="O0", huge_page_reserve_size="0GB"):
    """Tensors may hold max_size ("4GB") together on the device in force; more is an OutOfMemoryError. Memory grows as it is needed: the rest is MindSpore's.

    >>> import rutile
    >>> rutile.runtime.set_memory(max_size="64GB")
    """
    size = _re.fullmatch(r"([0-9.]+)\s*([KMGT]B)?", max_size) if isinstance(max_size, str) else None
    if size is None:
        raise _errors.ValueError(f"set_memory: max_size is a size as '4GB', got {max_size!r}")
    _rutile._device_memory_limit(_device(), int(float(size.group(1)) * _UNITS[size.group(2) or ""]))


def synchronize():
    """Waits for what was begun on the device in force, and raises its first error. On the CPU all is done when a call returns."""
    _rutile._synchronize(_device())


def __getattr__(name):
    from rutile import _refused
    if name in _refused.OF_RUNTIME:
        return _refused.refused(name)
    raise AttributeError(f"module 'rutile.runtime' has no attribute {name!r}")
