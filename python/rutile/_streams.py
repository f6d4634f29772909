# SPDX-License-Identifier: Apache-2.0
"""Streams and events by MindSpore's names. Work has one order here: on the CPU calls return when theirs is done, on another
device recording an event and waiting for a stream wait for the device."""

import os as _os
import time as _time

from rutile import _rutile

_errors = _rutile.errors

__all__ = ["Event", "Stream", "StreamCtx", "current_stream", "default_stream", "dispatch_threads_num", "launch_blocking",
           "set_cpu_affinity", "set_cur_stream", "set_kernel_launch_group"]


def _wait():
    _rutile._synchronize(_rutile._device_in_force())


class Event:
    """A point in time.

    >>> import rutile
    >>> start, end = rutile.runtime.Event(enable_timing=True), rutile.runtime.Event(enable_timing=True)
    >>> start.record(); end.record()
    >>> end.query() and start.elapsed_time(end) >= 0
    True
    """

    def __init__(self, enable_timing=False, blocking=False):
        for name, value in (("enable_timing", enable_timing), ("blocking", blocking)):
            if not isinstance(value, bool):
                raise _errors.TypeError(f"Event: {name} must be a bool, got {type(value).__name__}")
        self._timing, self._at = enable_timing, None

    def record(self, stream=None):
        """The event is now: what was begun is done."""
        _wait()
        self._at = _time.perf_counter()

    def wait(self, stream=None):
        """Lets a stream wait for the event: it has happened."""

    def synchronize(self):
        """Waits for the event: it has happened."""

    def query(self):
        """Whether what came before the event is done."""
        return True

    def elapsed_time(self, end_event):
        """Milliseconds to another event; both need enable_timing and a record."""
        if not isinstance(end_event, Event):
            raise _errors.TypeError(f"Event: elapsed_time takes an Event, got {type(end_event).__name__}")
        if not (self._timing and end_event._timing) or self._at is None or end_event._at is None:
            raise _errors.RuntimeError("Event: elapsed_time needs two events with enable_timing=True that were recorded")
        return (end_event._at - self._at) * 1000


class Stream:
    """A sequence of work."""

    def __init__(self, priority=0, **kwargs):
        if isinstance(priority, bool) or not isinstance(priority, int):
            raise _errors.TypeError(f"Stream: priority must be an int, got {type(priority).__name__}")
        if priority > 0:
            raise _errors.ValueError(f"Stream: priority must be 0 or less, got {priority}")
        self.priority = priority

    def record_event(self, event=None):
        """An event at the stream's end."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        """Waits for an event: it has happened."""

    def wait_stream(self, stream):
        """Waits for another stream: it is empty."""

    def synchronize(self):
        """Waits for the stream's work."""
        _wait()

    def query(self):
        """Whether all work is done."""
        return True


_default = Stream()
_current = _default


def default_stream():
    """The stream that all work is in at first."""
    return _default


def current_stream():
    """The stream in force."""
    return _current


def set_cur_stream(stream):
    """Puts a stream in force; None changes nothing."""
    global _current
    if stream is None:
        return
    if not isinstance(stream, Stream):
        raise _errors.TypeError(f"set_cur_stream: the argument must be a Stream, got {type(stream).__name__}")
    _current = stream


class StreamCtx:
    """A stream in force inside `with`."""

    def __init__(self, ctx_stream):
        if ctx_stream is not None and not isinstance(ctx_stream, Stream):
            raise _errors.TypeError(f"StreamCtx: the argument must be a Stream, got {type(ctx_stream).__name__}")
        self.stream, self._before = ctx_stream, None

    def __enter__(self):
        self._before = current_stream()
        set_cur_stream(self.stream)

    def __exit__(self, *error):
        set_cur_stream(self._before)


def launch_blocking():
    """Lets every call wait for its work: on the CPU they do; on other devices nothing changes (synchronize() waits)."""


def dispatch_threads_num(threads_num):
    """The number of threads that begin work, positive; on the CPU the caller's thread does."""
    _positive("dispatch_threads_num", "threads_num", threads_num)


def set_kernel_launch_group(thread_num=2, kernel_group_num=8):
    """Groups of kernels that threads begin, positive numbers; on the CPU the caller's thread does."""
    _positive("set_kernel_launch_group", "thread_num", thread_num)
    _positive("set_kernel_launch_group", "kernel_group_num", kernel_group_num)


def _positive(function, name, value):
    if isinstance(value, bool) or not isinstance(value, int):
        raise _errors.TypeError(f"{function}: {name} must be an int, got {type(value).__name__}")
    if value <= 0:
        raise _errors.ValueError(f"{function}: {name} must be positive, got {value}")


def set_cpu_affinity(enable_affinity, affinity_cpu_list=None, module_to_cpu_dict=None, bind_file=None):
    """Binds the process's threads to cores: affinity_cpu_list as ["0-3", "8"], None: those it may run on already; False frees
    them again. The other arguments are MindSpore's for NPUs.

    >>> import rutile
    >>> rutile.runtime.set_cpu_affinity(True)
    """
    if not isinstance(enable_affinity, bool):
        raise _errors.TypeError(f"set_cpu_affinity: enable_affinity must be a bool, got {type(enable_affinity).__name__}")
    if bind_file is not None:
        raise _errors.UnsupportedError("set_cpu_affinity: files of bindings are not read; give affinity_cpu_list")
    if isinstance(affinity_cpu_list, dict):
        affinity_cpu_list = next(iter(affinity_cpu_list.values()), None)
    cores = set()
    for part in affinity_cpu_list or ():
        ends = str(part).split("-")
        if len(ends) > 2 or not all(e.strip().isdigit() for e in ends):
            raise _errors.ValueError(f"set_cpu_affinity: cores are given as '0-3' or '8', got {part!r}")
        cores |= set(range(int(ends[0]), int(ends[-1]) + 1))
    every = set(range(_os.cpu_count() or 1))
    if not cores <= every:
        raise _errors.ValueError(f"set_cpu_affinity: there are {len(every)} cores, got {sorted(cores - every)}")
    if hasattr(_os, "sched_setaffinity") and (cores or not enable_affinity):
        _os.sched_setaffinity(0, cores if enable_affinity else every)
