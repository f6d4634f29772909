# SPDX-License-Identifier: Apache-2.0
"""Which attributes of Cells a trace reads: a change of any other is no reason to compile again."""

import sys
import threading

from rutile.nn._effects import GONE as _MISSING, holds_traced, same as _same

_INTERNAL = frozenset(("construct", "training"))
_lock = threading.Lock()
_traces = []  # those that are going on: (thread, {id of a Cell: (Cell, {attribute: _Touched})})


class _Touched:
    """An attribute as a trace found it, and whether the trace wrote it before it read it."""

    __slots__ = ("before", "written")

    def __init__(self, before, written):
        self.before, self.written = before, written


def _touch(cell, name, written):
    thread = threading.get_ident()
    for owner, names in list(_traces):
        if owner == thread:
            touched = names.setdefault(id(cell), (cell, {}))[1]
            if name not in touched:
                touched[name] = _Touched(object.__getattribute__(cell, "__dict__").get(name, _MISSING), written)


def _recording(self, name):
    if name != "__dict__" or (sys._getframe(1).f_globals.get("__name__") or "").split(".")[0] != "rutile":
        _touch(self, name, False)
        if name == "__dict__":
            for each in list(object.__getattribute__(self, name)):
                _touch(self, each, False)
    return object.__getattribute__(self, name)


def writing(cell, name):
    """A Cell's attribute is about to be set."""
    if _traces:
        _touch(cell, name, True)


def begin(cell_class, names):
    """A trace begins; `names`, a dict, gets what it reads."""
    with _lock:
        _traces.append((threading.get_ident(), names))
        cell_class.__getattribute__ = _recording


def end(cell_class, names):
    """The trace ends, whether it has begun or not."""
    with _lock:
        _traces[:] = [t for t in _traces if t[1] is not names]
        if not _traces and "__getattribute__" in cell_class.__dict__:
            del cell_class.__getattribute__


def _touched(names):
    for cell, touched in names.values():
        for name, t in touched.items():
            if not (name.startswith("__") or name in _INTERNAL or name in type(cell)._own_names):
                yield cell, name, t, cell.__dict__.get(name, _MISSING)


def notice(names, before):
    """What was set past __setattr__; before: {id of a Cell: (Cell, its __dict__ then)}."""
    for number, (cell, then) in before.items():
        now, touched = cell.__dict__, names.setdefault(number, (cell, {}))[1]
        for name in {**then, **now}:
            first = touched[name].before if name in touched else now.get(name, _MISSING)
            if first is not then.get(name, _MISSING):
                touched[name] = _Touched(then.get(name, _MISSING), True)


def changes(names):
    """(Cell, attribute, value now, whether it was read before it was set) of what the trace set to another value, or set at all
    before it read it."""
    return [(cell, name, now, not t.written) for cell, name, t, now in _touched(names) if t.written or not _same(now, t.before)]


def restore(names, traced_alone=False):
    """Attributes are again as the trace found them; traced_alone: those that hold tensors of the trace."""
    for cell, name, t, now in list(_touched(names)):
        if traced_alone and not holds_traced(now):
            continue
        if t.before is _MISSING:
            cell.__dict__.pop(name, None)
        else:
            cell.__dict__[name] = t.before


def learn(names):
    """The Cells keep what was read of them; whether that is news."""
    news = False
    for cell, touched in names.values():
        known = cell.__dict__["_read_names"]
        all_ = [n for n in cell.__dict__ if not n.startswith("_")] if "__dict__" in touched else []
        for name in all_ + [n for n, t in touched.items() if not t.written]:
            if not name.startswith("__") and name not in type(cell)._own_names and name not in known:
                known[name] = True
                news = True
    return news


class Reads:
    """The attributes that traces read of the Cells of a network, with the values that they had."""

    def __init__(self):
        self._values, self._any = {}, False

    def add(self, names, cells):
        """What a trace read of these Cells, by id."""
        for number in names.keys() & cells.keys():
            found = cells[number].__dict__
            for name, t in names[number][1].items():
                if name == "__dict__":
                    self._values[number, name] = dict(found)
                elif name in _INTERNAL or name in type(cells[number])._own_names:
                    self._values[number, name] = found.get(name, _MISSING)
                elif not (name.startswith("__") or t.written):
                    self._values[number, name] = t.before
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
