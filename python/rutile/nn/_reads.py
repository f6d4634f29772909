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
        return self._any and self.first_change(cells) is None

    def first_change(self, cells):
        """(id of a Cell, attribute, value then, value now) of one that is another now; None: all are the same."""
        for (number, name), value in self._values.items():
            if number not in cells:
                return number, name, value, _MISSING
            found = cells[number].__dict__
            if name == "__dict__":
                now = {k: v for k, v in found.items() if not k.startswith("_")}
                then = {k: v for k, v in value.items() if not k.startswith("_")}
                for k in {**then, **now}:
                    if not _same(then.get(k, _MISSING), now.get(k, _MISSING)):
                        return number, k, then.get(k, _MISSING), now.get(k, _MISSING)
            elif not _same(found.get(name, _MISSING), value):
                return number, name, value, found.get(name, _MISSING)
        return None


def _shown(value):
    text = "nothing" if value is _MISSING else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def difference(root, structure, before):
    """": scale 1.0 -> 2.0": how a network differs from what its version before stands for; "" without one."""
    if before is None:
        return ""
    paths = {id(cell): path + "." if path else "" for path, cell in root.cells_and_names()}
    if len(structure) != len(before.structure) or structure[0] != before.structure[0]:
        return ": other layers, parameters or hooks"
    walk = iter(root._walk())
    cell, parameters = None, iter(())
    for now, then in zip(structure[1:], before.structure[1:]):
        if len(now) == 2:
            name, p = next(parameters)
            if now != then:
                what = f"requires_grad {then[1]} -> {now[1]}" if now[0] == then[0] else "another Parameter"
                return f": {paths[id(cell)]}{name} {what}"
            continue
        cell = next(walk)
        parameters = ((name, p) for name, p in cell._params.items() if p is not None)
        if now != then:
            other = f"{paths[id(cell)]}training {then[1]} -> {now[1]}"
            return f": {other}" if now[1] != then[1] else f": {paths[id(cell)] or 'its '}layers, parameters or hooks"
    changed = before.reads.first_change({id(c): c for c in root._walk()})
    if changed is None:
        return ": another attribute"
    number, name, then, now = changed
    return f": {paths.get(number, '')}{name} {_shown(then)} -> {_shown(now)}"
