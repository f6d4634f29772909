# SPDX-License-Identifier: Apache-2.0
"""Devices, streams, events and memory by the names of MindSpore 2.2 to 2.4; later ones call it rutile.runtime and
rutile.device_context.

>>> import rutile
>>> rutile.hal.is_available("CPU"), rutile.hal.device_count("CPU"), rutile.hal.get_device_name(0, "CPU")
(True, 1, 'CPU')
"""

from rutile import context as _context, device_context as _devices, errors as _errors
from rutile.runtime import (Event, Stream, StreamCtx, current_stream, default_stream, empty_cache, max_memory_allocated,
                            max_memory_reserved, memory_allocated, memory_reserved, memory_stats, memory_summary,
                            reset_max_memory_allocated, reset_max_memory_reserved, reset_peak_memory_stats, set_cur_stream,
                            synchronize)

__all__ = ["Event", "Stream", "StreamCtx", "current_stream", "default_stream", "device_count", "empty_cache", "get_arch_list",
           "get_device_capability", "get_device_name", "get_device_properties", "is_available", "is_initialized", "max_memory_allocated", "max_memory_reserved",
           "memory_allocated", "memory_reserved", "memory_stats", "memory_summary", "reset_max_memory_allocated",
           "reset_max_memory_reserved", "reset_peak_memory_stats", "set_cur_stream", "synchronize"]


def _kind(device_target):
    target = _context.get_context("device_target") if device_target is None else device_target
    if target not in ("CPU", "GPU", "Ascend"):
        raise _errors.ValueError(f"hal: device_target must be one of ['CPU', 'GPU', 'Ascend'], got {target!r}")
    return {"CPU": _devices.cpu, "GPU": _devices.gpu}.get(target)


def is_available(device_target):
    """Whether there is a device of that kind ("CPU", "GPU") that can be used."""
    kind = _kind(device_target)
    return kind is not None and kind.is_available()


def is_initialized(device_target):
    """Whether it was made ready: that of `is_available`; devices are made ready when they are first used."""
    return is_available(device_target)


def device_count(device_target=None):
    """How many there are; without a name, of the kind in force."""
    kind = _kind(device_target)
    return kind.device_count() if kind is not None else 0


def get_device_name(device_id, device_target=None):
    """The name of a device: "CPU", "GPU:0"."""
    count = device_count(device_target)
    if isinstance(device_id, bool) or not isinstance(device_id, int) or not 0 <= device_id < count:
        raise _errors.ValueError(f"hal: there is no device {device_id!r} of {count}")
    return "CPU" if _kind(device_target) is _devices.cpu else f"GPU:{device_id}"


def get_device_capability(device_id, device_target=None):
    """None, as MindSpore's of the CPU."""
    get_device_name(device_id, device_target)


get_device_properties = get_device_capability


def get_arch_list(device_target=None):
    """None: kernels are not listed by the devices that they were compiled for."""
    _kind(device_target)
