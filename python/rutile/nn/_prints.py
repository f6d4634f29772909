# SPDX-License-Identifier: Apache-2.0
"""What a traced function prints: each run of the compiled function prints it, with the values of that run."""

import builtins as _builtins
import functools as _functools
import threading as _threading

from rutile import _rutile
from rutile._rutile import Parameter, Tensor
from rutile.nn import _effects

_print = _builtins.print
_lock, _going = _threading.Lock(), []  # of traces
_thread = _threading.local()


def _kept(value, text):
    """What a run needs of an argument: tensors of the trace, alone or in lists and dicts, which may change later; else the text."""
    if isinstance(value, Parameter):
        value = _rutile.ops.stop_gradient(value)
    if not _effects.holds_traced(value):
        return text(value)
    if isinstance(value, Tensor):
        return value
    if type(value) in (list, tuple):
        return type(value)(_Text(_kept(v, repr)) if not isinstance(v, Tensor) else _kept(v, repr) for v in value)
    if type(value) is dict:
        return {k: _Text(_kept(v, repr)) if not isinstance(v, Tensor) else _kept(v, repr) for k, v in value.items()}
    return text(value)


def _Text(value):  # noqa: N802
    return _Quoted(value) if isinstance(value, str) else value


class _Quoted(str):
    """A text that stands in a list as it is."""

    __repr__ = str.__str__


def in_each_run(function, arguments, text=str):
    """Calls function(*arguments): in a trace not now but after each run, with its values."""
    lines = getattr(_thread, "lines", None)
    if not lines:
        function(*arguments)
    else:
        lines[-1].append((function, tuple(_kept(a, text) for a in arguments)))


def _print_in_each_run(*values, **how):
    if getattr(_thread, "lines", None):
        in_each_run(_functools.partial(_print, **how), values)
    else:
        _print(*values, **how)


class Printed:
    """The lines of one trace."""

    def __init__(self):
        self.lines = []

    def begin(self):
        """Takes the lines from now on."""
        _thread.__dict__.setdefault("lines", []).append(self.lines)
        with _lock:
            _going.append(self)
            if _builtins.print is _print:
                _builtins.print = _print_in_each_run

    def end(self):
        """The lines, as (function, arguments). Whether it has begun, and how far this came before: an interrupt may cut both short."""
        if hasattr(_thread, "lines"):
            _thread.lines[:] = [v for v in _thread.lines if v is not self.lines]
        with _lock:
            _going[:] = [p for p in _going if p is not self]
            if not _going and _builtins.print is _print_in_each_run:
                _builtins.print = _print
        return self.lines
