# SPDX-License-Identifier: Apache-2.0
"""What surrounds a trace: what it reads of Cells, what it changes, and what makes it good for one call alone."""

import functools as _functools
import random as _random
import threading as _threading
import types as _types

from rutile.nn import _effects, _prints, _reads

_CURE = "Hold it in a Parameter with requires_grad=False, return it, or pass it as an argument (RUTILE-E0109)"
_CLOCKS = frozenset(("time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time", "now", "today", "utcnow"))
_HEAP = 1 << 9  # of types: made in Python
_LIBRARIES = ("rutile", "numpy", "builtins", "functools", "collections")


def _is_users(f):
    return (f.__globals__.get("__name__") or "").split(".")[0] not in _LIBRARIES


def _reads_clock(f):
    """The name by which a function reads the clock; None where it does not."""
    for name in f.__code__.co_names:
        o = f.__globals__.get(name)
        module = o.__name__ if isinstance(o, _types.ModuleType) else getattr(o, "__module__", None)
        if module in ("time", "datetime"):
            if isinstance(o, _types.BuiltinFunctionType):
                return name if name in _CLOCKS else None
            return next((n for n in _effects.attributes_of(f.__code__) if n in _CLOCKS), None)
    return None


def _random_state():
    """Of Python's and NumPy's generators."""
    np = _effects.numpy()
    if np is None:
        return _random.getstate()
    _, keys, *rest = np.random.get_state()
    return _random.getstate(), keys.tobytes(), rest


def _may_draw(f):
    """Whether a function names a generator of random numbers, or a function of one."""
    for name in _effects.names_of(f.__code__)[0]:
        owner = getattr(f.__globals__.get(name), "__self__", None)
        if name == "random" or (owner is not None and not isinstance(owner, _types.ModuleType) and _state_of(owner) is not None):
            return True
    return False


def _state_of(o, depth=0):
    """How far an iterator or a generator of random numbers has come; None for anything else."""
    if isinstance(o, _random.Random):
        return o.getstate()
    np = _effects.numpy()
    if np and isinstance(o, np.random.Generator):
        return repr(o.bit_generator.state)
    if np and isinstance(o, np.random.RandomState):
        return o.get_state()[1].tobytes(), o.get_state()[2:]
    if isinstance(o, _types.GeneratorType):
        frame = o.gi_frame
        return "done" if frame is None else (frame.f_lasti, {k: v if isinstance(v, (int, float, str)) else id(v) for k, v in frame.f_locals.items()})
    if hasattr(type(o), "cache_info"):  # of functools.lru_cache: what is kept is not made again
        return o.cache_info().misses
    if not hasattr(type(o), "__next__") or type(o).__flags__ & _HEAP or depth == 4:
        return None
    try:
        if hasattr(o, "tell"):
            return o.tell()
        parts = o.__reduce__()
    except Exception:
        return None
    flat = [p for part in parts[1:] for p in (part if isinstance(part, tuple) else (part,))]
    return [_state_of(p, depth + 1) or (p if isinstance(p, (int, float, str, bool)) else len(p) if isinstance(p, list) else None) for p in flat]


class _Structure:
    """What of a Cell is no attribute of its own: Parameters and Cells, training, requires_grad."""

    def __init__(self, cell, changed):
        self.cell, self._changed, self.name = cell, changed, type(cell).__name__
        self.before = self._now()

    def _now(self):
        c = self.cell
        return c.training, dict(c._params), dict(c._cells), [(p, p.requires_grad) for p in c._params.values() if p is not None]

    def _is(self, state):
        """The same training, and the same objects under the same names."""
        now = self._now()
        return now[0] == state[0] and all(
            list(a) == list(b) and all(a[k] is b[k] for k in a) for a, b in zip(now[1:3], state[1:3])) and (
                [needed for _, needed in now[3]] == [needed for _, needed in state[3]])

    def changes(self):
        return [] if self._is(self.before) else [("layers, parameters, training or requires_grad", None)]

    def _set(self, state):
        training, params, cells, required = state
        self.cell.__dict__["training"] = training
        for kind, now in ((self.cell._params, params), (self.cell._cells, cells)):
            kind.clear()
            kind.update(now)
        for p, needed in required:
            p.requires_grad = needed

    def undo(self):
        if self.changes():
            self._set(self.before)

    def _again(self, state):
        if not self._is(state):
            self._set(state)
            self._changed(self.cell)

    def again(self):
        return [(self._again, (_Opaque(self._now()),))] if self.changes() else []


class _Opaque(tuple):
    """Taken as it is, whatever it holds."""


class Trace:
    """One trace. An interrupt may come anywhere in begin() and finish(); cancel() then makes good what they left."""

    def __init__(self, cell_class, set_again, changed):
        self._cell_class, self._set_again, self._changed = cell_class, set_again, changed
        self._places, self._states, self._seen, self._keys, self._dicts = [], [], {}, (), {}
        self._names, self._printed, self._done = {}, _prints.Printed(), False

    def begin(self, keys, holders):
        """keys: of the Cells that it may read; holders: (name, object, whether it is filled alone)."""
        self._keys = keys
        self._functions = functions = [o for _, o, _ in holders if isinstance(o, _types.FunctionType) and _is_users(o)]
        self._stored = frozenset().union(*(_effects.names_of(f.__code__)[2] for f in functions))
        for name, o, filled in holders:
            self._watch(name, o, filled)
        for key in keys:
            for cell in key.root()._walk() if key.root() is not None else ():
                if id(cell) not in self._seen:
                    self._seen[id(cell)] = cell
                    self._places.append(_Structure(cell, self._changed))
                    self._dicts[id(cell)] = cell, dict(cell.__dict__)
        self._random = _random_state()
        _reads.begin(self._cell_class, self._names)
        self._printed.begin()

    def _watch(self, name, o, filled):
        if id(o) in self._seen or isinstance(o, self._cell_class):
            return
        self._seen[id(o)] = o  # keeps it: another may not get its id
        place = _effects.place_of(o, name, filled)
        if place is not None:
            self._places.append(place)
        if isinstance(o, _types.FunctionType):
            if _is_users(o):
                self._watch_function(o)
        elif isinstance(o, (_types.ModuleType, type)):
            if isinstance(o, _types.ModuleType) or o.__flags__ & _HEAP:
                self._places.append(_effects.Names(o, vars(o), self._stored))
        else:
            self._watch_object(name, o)

    def _watch_function(self, f):
        stored = _effects.names_of(f.__code__)[2]
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or ()):
            self._places.append(_effects.Variable(name, cell))
        if stored:
            self._places.append(_effects.Names(None, f.__globals__, stored))
        self._places.append(_effects.Names(f, f.__dict__))

    def _watch_object(self, name, o):
        state = _state_of(o)
        if state is not None:
            self._states.append((name, o, state))
        try:
            own = object.__getattribute__(o, "__dict__")
        except AttributeError:
            own = None
        if isinstance(own, dict):
            self._places.append(_effects.Names(o, own))
        for c in type(o).__mro__:
            if c.__module__.split(".")[0] not in _LIBRARIES:
                for n, slot in vars(c).items():
                    if isinstance(slot, _types.MemberDescriptorType):
                        self._places.append(_effects.Slot(o, n, slot))

    def learn(self):
        """Whether it read more of Cells than was known."""
        news = _reads.learn(self._names)
        self._look_around()
        return news

    def _look_around(self):
        for key in self._keys:
            root = key.root()
            if root is not None:
                key.around = root._around()

    def finish(self, codes):
        """(what it changed, whether it is good for this call alone, whether it changed what it reads of Cells, whether to a tensor,
        Effects or None, what to warn of); all is as it was before."""
        printed = self._printed.end()
        _reads.end(self._cell_class, self._names)
        _reads.notice(self._names, self._dicts)
        cells = _reads.changes(self._names)
        places = [(p, name, now) for p in self._places for name, now in p.changes()]
        steps, repeatable = [], True
        for place in dict.fromkeys(p for p, _, _ in places):
            again = place.again()
            repeatable = repeatable and again is not None
            steps += again or ()
        steps += [(_functools.partial(self._set_again, cell, name), (now,)) for cell, name, now, _ in cells]
        steps += printed
        known = frozenset(self._seen)
        effects = _effects.Effects(steps, known) if steps else None
        once = self._good_once(codes)
        text = once or self._text(cells, places, codes)
        self._undo()
        self._done = True
        for place, _, _ in places:
            place.before = None  # the steps keep the place
        for key in self._keys:
            root = key.root()
            if root is not None:
                key.reads.add(self._names, {id(c): c for c in root._walk()})
        read = [now for _, _, now, first in cells if first]
        return text, bool(once) or not repeatable, bool(read), any(map(_effects.holds_traced, read)), effects, self._clock()

    def _undo(self):
        for place in reversed(self._places):
            place.undo()
        _reads.restore(self._names)
        self._look_around()

    def cancel(self, refused):
        """It failed. refused: the function runs in another way; else its changes are the user's, but for tensors without a value."""
        printed = self._printed.end()
        _reads.end(self._cell_class, self._names)
        if self._done:
            return
        _reads.notice(self._names, self._dicts)
        if refused:
            self._undo()
            return
        for function, arguments in printed:
            function(*arguments)
        for place in reversed(self._places):
            if any(_effects.holds_traced(now) for _, now in place.changes()):
                place.undo()
        _reads.restore(self._names, traced_alone=True)

    def _clock(self):
        for f in self._functions:
            name = _reads_clock(f)
            if name:
                at = _effects.where([f.__code__], name)
                return f"reads the clock{at}: compiled, it is the time of the trace. Read it outside, and pass it as an argument"
        return ""

    def _good_once(self, codes):
        # Other threads draw, too: those of a data pipeline.
        if _random_state() != self._random and (_threading.active_count() == 1 or any(map(_may_draw, self._functions))):
            at = _effects.where(codes, "random")
            return (f"it draws from the random numbers of Python or NumPy{at}: compiled, they would be those of the first call. Draw them "
                    "by ops.rand, ops.randint or nn.Dropout, or pass them as an argument (RUTILE-E0109)")
        for name, o, state in self._states:
            if _state_of(o) != state:
                at = _effects.where(codes, name) if isinstance(name, str) else ""
                return (f"it takes from {name}, of type {type(o).__name__}{at}: compiled, that would be what the first call took. Take from it "
                        "outside, and pass what it gives as an argument (RUTILE-E0109)")
        return None

    def _text(self, cells, places, codes):
        found = [(type(cell).__name__, name, now, read) for cell, name, now, read in cells]
        found += [(None, name, now, True) for _, name, now in places]
        found.sort(key=lambda f: not (f[3] and _effects.holds_traced(f[2])))
        for owner, name, now, read in found:
            if not read and not _effects.holds_traced(now):
                continue
            at = _effects.where(codes, name, owner or "") if isinstance(name, str) else ""
            of = f"{owner} reads its attribute {name}" if owner else f"it reads {name}"
            return f"{of} and sets it to another value in each call{at}: compiled, it would be that of the first call. {_CURE}"
        return ""
