# SPDX-License-Identifier: Apache-2.0
"""Which attributes of Cells a trace reads: a change of any other is no reason to compile again."""

import struct
import sys
import threading

_MISSING = object()
_PLAIN = (bool, int, float, complex, str, bytes)
_lock = threading.Lock()
_traces = []  # those that are going on: {id of a Cell: names}


def _same(a, b):
    if a is b:
        return True
    if type(a) is not type(b) or type(a) not in _PLAIN:
        return False
    return struct.pack("d", a) == struct.pack("d", b) if type(a) is float else a == b


def _recording(self, name):
    if name != "__dict__" or (sys._getframe(1).f_globals.get("__name__") or "").split(".")[0] != "rutile":
        for names in list(_traces):
            names.setdefault(id(self), set()).add(name)
    return object.__getattribute__(self, name)


def begin(cell_class):
    """A trace begins; what end() takes."""
    names = {}
    with _lock:
        _traces.append(names)
        cell_class.__getattribute__ = _recording
    return names


def end(cell_class, names):
    """The trace ends."""
    with _lock:
        _traces[:] = [t for t in _traces if t is not names]
        if not _traces and "__getattribute__" in cell_class.__dict__:
            del cell_class.__getattribute__


class Reads:
    """The attributes that traces read of the Cells of a network, with the values that they had."""

    def __init__(self):
        self._values, self._any = {}, False

    def add(self, names, cells):
        """What a trace read of these Cells, by id."""
        for number in names.keys() & cells.keys():
            found = cells[number].__dict__
            for name in names[number]:
                if name == "__dict__":
                    self._values[number, name] = dict(found)
                elif not name.startswith("__"):
                    self._values[number, name] = found.get(name, _MISSING)
        self._any = True

    def hold(self, cells):
        """Whether a trace was there, and these Cells still have those values."""
        if not self._any:
            return False
        for (number, name), value in self._values.items():
            if number not in cells:
                return False
            found = cells[number].__dict__
            if name == "__dict__":
                now = {k: v for k, v in found.items() if not k.startswith("_")}
                then = {k: v for k, v in value.items() if not k.startswith("_")}
                if now.keys() != then.keys() or not all(_same(now[k], then[k]) for k in now):
                    return False
            elif not _same(found.get(name, _MISSING), value):
                return False
        return True
