# SPDX-License-Identifier: Apache-2.0
"""profile: some of the steps of a training, by a schedule."""

import enum as _enum
import os as _os
import platform as _platform
import time as _time

from rutile import _rutile
from rutile.profiler.profiler import Profiler

_errors = _rutile.errors

__all__ = ["ProfilerAction", "profile", "schedule", "tensorboard_trace_handler"]


class ProfilerAction(_enum.Enum):
    """What a schedule says of a step."""

    NONE = 0
    WARM_UP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def schedule(*, wait, active, warmup=0, repeat=0, skip_first=0):
    """A function of the step's number: after skip_first steps, again and again (repeat times, 0: without end) `wait` steps
    without recording, `warmup` steps that are recorded and dropped, `active` steps that are kept.

    >>> from rutile.profiler import schedule
    >>> plan = schedule(wait=1, warmup=1, active=2, repeat=1)
    >>> [plan(i).name for i in range(5)]
    ['NONE', 'WARM_UP', 'RECORD', 'RECORD_AND_SAVE', 'NONE']
    """
    for name, value, least in (("wait", wait, 0), ("active", active, 1), ("warmup", warmup, 0), ("repeat", repeat, 0),
                               ("skip_first", skip_first, 0)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise _errors.TypeError(f"[schedule] {name} must be an int, got {type(value).__name__}")
        if value < least:
            raise _errors.ValueError(f"[schedule] {name} must be at least {least}, got {value}")

    def action(step):
        step -= skip_first
        if step < 0:
            return ProfilerAction.NONE
        length = wait + warmup + active
        cycle, at = divmod(step, length)
        if repeat and cycle >= repeat or at < wait:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARM_UP
        return ProfilerAction.RECORD_AND_SAVE if at == length - 1 else ProfilerAction.RECORD

    return action


def tensorboard_trace_handler(dir_name=None, worker_name=None, analyse_flag=True, async_mode=False):
    """An on_trace_ready that writes <dir_name>/<worker>.<ms>.pt.trace.json for TensorBoard's profiler, Chrome and Perfetto.

    dir_name: "./data" by default; worker_name: host and process by default.
    """
    folder = _os.fspath(dir_name or "./data")
    worker = worker_name or f"{_platform.node()}_{_os.getpid()}"

    def handler(prof):
        _os.makedirs(folder, exist_ok=True)
        prof.write(_os.path.join(folder, f"{worker}.{_time.time_ns() // 1000000}.pt.trace.json"))

    return handler


class profile:
    """As torch.profiler.profile and mindspore.profiler.profile: step() after each step; the steps that `schedule` names are
    recorded (all of them without one), and on_trace_ready(self) is called at the end of each such part.

    table, events, to_json and write are of the latest part. Other keywords are taken and change nothing.

    >>> import rutile
    >>> from rutile.profiler import profile, schedule
    >>> seen, x = [], rutile.ops.ones((2, 2))
    >>> with profile(schedule=schedule(wait=1, active=1), on_trace_ready=lambda p: seen.append(len(p.events()))) as p:
    ...     for i in range(4):
    ...         y = rutile.ops.relu(x)
    ...         p.step()
    >>> seen
    [1, 1]
    """

    def __init__(self, activities=None, schedule=None, on_trace_ready=None, start_profile=True, record_shapes=True, **kwargs):
        for name, value in (("schedule", schedule), ("on_trace_ready", on_trace_ready)):
            if value is not None and not callable(value):
                raise _errors.TypeError(f"[profile] {name} must be a function, got {type(value).__name__}")
        self._plan = schedule or (lambda step: ProfilerAction.RECORD)
        self._ready, self._shapes, self._auto = on_trace_ready, bool(record_shapes), start_profile
        self._step, self._action, self._prof = 0, ProfilerAction.NONE, None

    def __enter__(self):
        if self._auto:
            self.start()
        return self

    def __exit__(self, *error):
        self.stop()

    def start(self):
        """Begins with step 0."""
        self._step = 0
        self._enter(self._plan(0))

    def _enter(self, action):
        recording = self._prof is not None and self._prof._running
        if action == ProfilerAction.NONE:
            if recording:
                self._prof.stop()
        elif not recording or self._action == ProfilerAction.WARM_UP:
            # What is kept begins here; a warm-up is recorded for its cost alone.
            if recording:
                self._prof.stop()
            self._prof = Profiler(shapes=self._shapes)
        self._action = action

    def _save(self):
        if self._prof is not None and self._prof._running and self._action != ProfilerAction.WARM_UP:
            self._prof.stop()
            if self._ready is not None:
                self._ready(self)

    def step(self):
        """A step ends here."""
        if self._prof is not None and self._action != ProfilerAction.NONE and self._action != ProfilerAction.RECORD_AND_SAVE:
            self._prof.step()
        if self._action == ProfilerAction.RECORD_AND_SAVE:
            self._save()
        self._step += 1
        self._enter(self._plan(self._step))

    def stop(self):
        """Ends recording; what was recorded of an unfinished part is handed to on_trace_ready."""
        self._save()
        if self._prof is not None and self._prof._running:
            self._prof.stop()
        self._action = ProfilerAction.NONE

    def _latest(self):
        if self._prof is None:
            raise _errors.RuntimeError("[profile] nothing was recorded")
        return self._prof

    def table(self, rows=25):
        """Time by op and by Cell, as text."""
        return self._latest().table(rows)

    def events(self):
        """What was recorded, a dict for each event."""
        return self._latest().events()

    def to_json(self):
        """The trace as JSON."""
        return self._latest().to_json()

    def write(self, path):
        """Writes the trace for Chrome and Perfetto."""
        self._latest().write(path)

    export_chrome_trace = write
