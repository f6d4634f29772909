# SPDX-License-Identifier: Apache-2.0
"""What a traced function does besides computing its results: lists that it fills, attributes, globals and closures that it
sets. A trace leaves all of it as it was; each run of the compiled function does it again, as the function itself would."""

import array as _array
import collections as _collections
import dis as _dis
import functools as _functools
import struct as _struct
import sys as _sys
import types as _types

from rutile import _rutile

GONE = object()  # an attribute that is not there
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_FILLING = frozenset(("append", "add", "extend", "update", "appendleft"))
_NAMING = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "IMPORT_NAME", "IMPORT_FROM")
_SILENT = ("CACHE", "EXTENDED_ARG", "NOP", "PRECALL", "RESUME")


# ---- What code does with the names in it


def _is_fill(instructions, at):
    """Whether what instruction `at` loads is filled, by x.append(...) or x[key] = ..., and not looked at."""
    after = instructions[at + 1:at + 3]
    if not after:
        return False
    if after[0].opname in ("LOAD_METHOD", "LOAD_ATTR"):
        return after[0].argval in _FILLING
    return len(after) == 2 and after[0].opname in ("LOAD_CONST", "LOAD_FAST") and after[1].opname == "STORE_SUBSCR"


def _is_unnamed(instructions, at):
    """Whether instruction `at` is vars or __dict__, of which more is looked at than one item of a constant key."""
    i, after = instructions[at], instructions[at + 1:at + 3]
    if i.argval == "__dict__" and i.opname == "LOAD_ATTR":
        return not (len(after) == 2 and after[0].opname == "LOAD_CONST" and after[1].opname in ("BINARY_SUBSCR", "STORE_SUBSCR", "BINARY_OP")
                    or _is_fill(instructions, at))
    return i.argval in ("vars", "dir") and i.opname in ("LOAD_GLOBAL", "LOAD_NAME")


@_functools.lru_cache(maxsize=4096)
def names_of(code):
    """The names that a code object, with the functions in it, loads, fills and sets, each as a frozenset; last, whether it looks
    at attributes without naming them, by vars(o) or o.__dict__."""
    loaded, filled, stored = set(), set(), set()
    instructions = [i for i in _dis.get_instructions(code) if i.opname not in _SILENT]
    for at, i in enumerate(instructions):
        if i.opname.startswith(("STORE_", "DELETE_")):
            if isinstance(i.argval, str) and i.opname not in ("STORE_FAST", "DELETE_FAST"):
                stored.add(i.argval)
        elif i.opname in _NAMING or ("DEREF" in i.opname and isinstance(i.argval, str)):
            (filled if _is_fill(instructions, at) else loaded).add(i.argval)
    unnamed = any(_is_unnamed(instructions, at) for at in range(len(instructions)))
    for c in code.co_consts:
        if isinstance(c, _types.CodeType):
            *theirs, theirs_unnamed = names_of(c)
            unnamed = unnamed or theirs_unnamed
            for mine, its in zip((loaded, filled, stored), theirs):
                mine |= its
        elif isinstance(c, str) and c.isidentifier():
            loaded.add(c)  # getattr(o, "gain"), vars(o)["gain"]
    return frozenset(loaded), frozenset(filled), frozenset(stored), unnamed


@_functools.lru_cache(maxsize=4096)
def globals_of(code):
    """The names that a code object, with the functions in it, may look up in its module: no attributes, as `step` in self.step;
    but all that it names where it looks into namespaces itself."""
    names = {i.argval for i in _dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for c in code.co_consts:
        if isinstance(c, _types.CodeType):
            names |= globals_of(c)
    if names & {"globals", "locals", "vars", "eval", "exec"}:
        names |= names_of(code)[0] | names_of(code)[1]
    return frozenset(names)


@_functools.lru_cache(maxsize=4096)
def imports_of(code):
    """The (name, level) that import statements of a code object, with the functions in it, give."""
    found, instructions = [], [i for i in _dis.get_instructions(code) if i.opname not in _SILENT]
    for at, i in enumerate(instructions):
        if i.opname == "IMPORT_NAME":  # behind its level and the names that are taken from it
            level = instructions[at - 2].argval
            found.append((i.argval, level if isinstance(level, int) else 0))
    for c in code.co_consts:
        if isinstance(c, _types.CodeType):
            found += imports_of(c)
    return tuple(found)


def imported(code, module_globals):
    """The modules that import statements of a code object find."""
    found = []
    for name, level in imports_of(code):
        if level:
            above = (module_globals.get("__package__") or "").rsplit(".", level - 1)[0]
            name = f"{above}.{name}" if name else above
        parts = name.split(".")
        names = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
        found += [_sys.modules[n] for n in sorted(names) if n in _sys.modules]
    return found


def attributes_of(code):
    """The attributes that a code object itself loads."""
    return [i.argval for i in _dis.get_instructions(code) if i.opname in ("LOAD_ATTR", "LOAD_METHOD")]


def where(codes, name, owner=""):
    """" at file.py:12": where one of these code objects sets a name, or reads or fills it, methods of the class `owner` first; ""
    where none does."""
    best, open_ = None, list(codes)
    while open_:
        code = open_.pop()
        open_ += [c for c in code.co_consts if isinstance(c, _types.CodeType)]
        if name not in code.co_names + code.co_freevars + code.co_cellvars:
            continue
        other = f"{owner}." not in getattr(code, "co_qualname", "")
        line = 0
        for i in _dis.get_instructions(code):
            line = i.starts_line if type(i.starts_line) is int else getattr(i, "line_number", None) or line
            if i.argval == name and line:
                rank = code.co_name == "__init__", other, not i.opname.startswith("STORE_"), line
                if best is None or rank < best[0]:
                    best = rank, f" at {code.co_filename}:{line}"
    return best[1] if best else ""


# ---- Values


def numpy():
    """NumPy, where somebody has imported it."""
    return _sys.modules.get("numpy")


def same(a, b):
    """Whether two values are the same object or equal plain ones, floats by their bits."""
    if a is b:
        return True
    if type(a) is not type(b) or type(a) not in _PLAIN:
        return False
    return _struct.pack("d", a) == _struct.pack("d", b) if type(a) is float else a == b


def holds_traced(value, depth=0):
    """Whether a value is a tensor of a trace, or holds one. Parameters and Cells are looked at by themselves."""
    if isinstance(value, _rutile.Tensor):
        return not isinstance(value, _rutile.Parameter) and _rutile.is_traced(value)
    if depth == 4 or type(value) in _PLAIN:
        return False
    if isinstance(value, dict):
        return any(holds_traced(v, depth + 1) for v in value.values())
    if isinstance(value, (tuple, list, set, frozenset, _collections.deque)):
        return any(holds_traced(v, depth + 1) for v in value)
    module = type(value).__module__.split(".")[0]
    inside = getattr(value, "__dict__", None) if module not in ("rutile", "numpy", "builtins") else None
    return isinstance(inside, dict) and "_read_names" not in inside and not isinstance(value, (type, _types.FunctionType, _types.ModuleType)) and any(
        holds_traced(v, depth + 2) for v in list(inside.values()))


def _fresh(value, known, memo):
    """A list, dict or set that the trace made is made again; what was there before stays itself."""
    if type(value) not in (list, dict, set, tuple) or id(value) in known:
        return value
    if id(value) not in memo:
        if type(value) is dict:
            memo[id(value)] = made = {}
            made.update((k, _fresh(v, known, memo)) for k, v in value.items())
        elif type(value) is list:
            memo[id(value)] = made = []
            made.extend(_fresh(v, known, memo) for v in value)
        else:
            memo[id(value)] = set(value) if type(value) is set else tuple(_fresh(v, known, memo) for v in value)
    return memo[id(value)]


class _Run:
    """The n-th of the values that a run of the graph gives."""

    __slots__ = ("number",)

    def __init__(self, number):
        self.number = number


# ---- Places that a function may change: each knows what was there, and gives what to do again as (function, arguments)


class Names:
    """Attributes of an object, or globals of a module: some names of a dict."""

    def __init__(self, owner, names, chosen=None):
        self.owner, self.names, self.chosen = owner, names, chosen
        self.before = dict(names) if chosen is None else {n: names[n] for n in chosen if n in names}

    def _set(self, name, value):
        if isinstance(self.owner, type):  # the dict of a class is written through the class
            type.__delattr__(self.owner, name) if value is GONE else type.__setattr__(self.owner, name, value)
        elif value is GONE:
            self.names.pop(name, None)
        else:
            self.names[name] = value

    def changes(self):
        for n in list(self.names) + [n for n in self.before if n not in self.names]:
            then, now = self.before.get(n, GONE), self.names.get(n, GONE)
            if (self.chosen is None or n in self.chosen) and not same(then, now):
                yield n, now

    def undo(self):
        for n, _ in list(self.changes()):
            self._set(n, self.before.get(n, GONE))

    def again(self):
        return [(self._set, (n, now)) for n, now in self.changes()]


class Variable:
    """A variable of a closure."""

    def __init__(self, name, cell):
        self.name, self.cell, self.before = name, cell, self._now(cell)

    @staticmethod
    def _now(cell):
        try:
            return cell.cell_contents
        except ValueError:
            return GONE

    def _set(self, value):
        if value is GONE:
            del self.cell.cell_contents
        else:
            self.cell.cell_contents = value

    def changes(self):
        now = self._now(self.cell)
        return [] if same(self.before, now) else [(self.name, now)]

    def undo(self):
        if self.changes():
            self._set(self.before)

    def again(self):
        return [(self._set, (now,)) for _, now in self.changes()]


class Slot:
    """An attribute in a slot."""

    def __init__(self, owner, name, slot):
        self.owner, self.name, self.slot = owner, name, slot
        self.before = self._now()

    def _now(self):
        try:
            return self.slot.__get__(self.owner)
        except AttributeError:
            return GONE

    def _set(self, value):
        if value is GONE:
            self.slot.__delete__(self.owner)
        else:
            self.slot.__set__(self.owner, value)

    changes = lambda self: [] if same(self.before, self._now()) else [(self.name, self._now())]  # noqa: E731

    def undo(self):
        if self.changes():
            self._set(self.before)

    def again(self):
        return [(self._set, (now,)) for _, now in self.changes()]


class Map:
    """A dict."""

    def __init__(self, owner, name, filled):
        self.owner, self.name, self.before = owner, name, dict(owner)
        self.kind = _collections.OrderedDict if isinstance(owner, _collections.OrderedDict) else dict

    def _changed(self):
        now = self.owner
        return ([(k, v) for k, v in now.items() if not same(self.before.get(k, GONE), v)],
                [k for k in self.before if k not in now])

    def changes(self):
        set_, gone = self._changed()
        return [(self.name, [v for _, v in set_])] if set_ or gone else []

    def undo(self):
        if self.changes() or list(self.owner) != list(self.before):
            self.kind.clear(self.owner)
            for k, v in self.before.items():
                self.kind.__setitem__(self.owner, k, v)

    def _remove(self, key):
        if key in self.owner:
            self.kind.__delitem__(self.owner, key)

    def again(self):
        set_, gone = self._changed()
        return [(self._remove, (k,)) for k in gone] + [(lambda k, v: self.kind.__setitem__(self.owner, k, v), kv) for kv in set_]


class Items:
    """A list or deque. filled: nobody reads it, so that what a run adds does not depend on what is there."""

    def __init__(self, owner, name, filled):
        self.owner, self.name, self.filled, self.before = owner, name, filled, list(owner)

    def _is(self, items):
        now = list(self.owner)
        return len(now) == len(items) and all(map(same, now, items))

    def changes(self):
        return [] if self._is(self.before) else [(self.name, [v for v in self.owner if not any(v is b for b in self.before)])]

    def _assign(self, *items):
        if isinstance(self.owner, list):
            list.__setitem__(self.owner, slice(None), items)
        else:
            self.owner.clear()
            self.owner.extend(items)

    def undo(self):
        if not self._is(self.before):
            self._assign(*self.before)

    def _add(self, *items):
        list.extend(self.owner, items) if isinstance(self.owner, list) else self.owner.extend(items)

    def again(self):
        if self._is(self.before):
            return []
        now = list(self.owner)
        if not self.filled:
            return [(self._assign, tuple(now))]
        for dropped in range(len(self.before) + 1):  # a deque with maxlen drops what came first
            kept = self.before[dropped:]
            if len(now) >= len(kept) and all(a is b for a, b in zip(kept, now)) and (dropped == 0 or not isinstance(self.owner, list)):
                return [(self._add, tuple(now[len(kept):]))]
        return None


class Members:
    """A set."""

    def __init__(self, owner, name, filled):
        self.owner, self.name, self.before = owner, name, set(owner)

    def changes(self):
        return [(self.name, list(self.owner - self.before))] if self.owner != self.before else []

    def undo(self):
        if self.changes():
            self.owner.clear()
            self.owner.update(self.before)

    def again(self):
        more, less = self.owner - self.before, self.before - self.owner
        return [(self.owner.add, (v,)) for v in more] + [(self.owner.discard, (v,)) for v in less]


class Array:
    """An array of NumPy."""

    def __init__(self, owner, name, filled):
        self.owner, self.name, self.before = owner, name, owner.copy()

    def changes(self):
        return [] if self.before.tobytes() == self.owner.tobytes() else [(self.name, None)]

    def _set(self, value):
        self.owner[...] = value

    def undo(self):
        if self.changes():
            self._set(self.before)

    def again(self):
        return [(self._set, (self.owner.copy(),))] if self.changes() else []


class Buffer:
    """A bytearray or array of the standard library."""

    def __init__(self, owner, name, filled):
        self.owner, self.name, self.before = owner, name, owner[:]

    def changes(self):
        return [] if self.before == self.owner else [(self.name, None)]

    def _set(self, value):
        self.owner[:] = value

    def undo(self):
        if self.changes():
            self._set(self.before)

    def again(self):
        return [(self._set, (self.owner[:],))] if self.changes() else []


class Handle:
    """A Tensor, to which x[i] = v gives another value."""

    def __init__(self, owner, name, filled):
        self.owner, self.name, self.before = owner, name, _rutile.new_handle(owner)

    def changes(self):
        return [] if _rutile.is_same(self.owner, self.before) else [(self.name, self.owner)]

    def undo(self):
        self.owner._rebind(self.before)

    def again(self):
        return [(self.owner._rebind, (_rutile.new_handle(self.owner),))] if self.changes() else []


MAX_ARRAY = 64 << 10


def place_of(o, name, filled):
    """The place that a container is; None for another object."""
    if isinstance(o, dict):
        return Map(o, name, filled)
    if isinstance(o, (list, _collections.deque)):
        return Items(o, name, filled)
    if isinstance(o, set):
        return Members(o, name, filled)
    if isinstance(o, (bytearray, _array.array)):
        return Buffer(o, name, filled)
    if isinstance(o, _rutile.Tensor):
        return None if isinstance(o, _rutile.Parameter) else Handle(o, name, filled)
    np = numpy()
    if np and isinstance(o, np.ndarray) and o.flags.writeable and o.nbytes <= MAX_ARRAY and o.dtype != object:
        return Array(o, name, filled)
    return None


class Effects:
    """What each run does besides giving results."""

    def __init__(self, steps, known):
        self._values, self._steps, self._known = [], [], known
        for function, arguments in steps:
            self._steps.append((function, tuple(self._argument(a) for a in arguments)))

    def _argument(self, value):
        if not holds_traced(value):
            return value
        self._values.append(value)
        return _Run(len(self._values) - 1)

    def take_values(self):
        """Once: what holds tensors of the trace, which become results of the graph."""
        values, self._values = self._values, []
        return values

    def apply(self, values):
        """After a run that gave these values."""
        memo = {}
        for function, arguments in self._steps:
            function(*(values[a.number] if type(a) is _Run else _fresh(a, self._known, memo) for a in arguments))
