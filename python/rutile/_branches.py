# SPDX-License-Identifier: Apache-2.0
"""`if` over tensor values in compiled functions: the source of a function is rewritten so that such an `if` becomes cond.

    if x.sum() > 0:          def yes(y): y = x * 2; return (y,)
        y = x * 2            def no(y): y = x; return (y,)
    else:            ->      (y,) = branch(x.sum() > 0, yes, no, (current(lambda: y),))
        y = x

Eagerly, and where the test is no tensor of a trace, `branch` runs one of the two as the `if` would have. What a rewrite
cannot keep (break, continue, a return that not both ways have, attributes or items that are set) stays an `if`.
"""

import functools as _functools
import types as _types

from rutile import _rutile
from rutile._rutile import Tensor

_errors = _rutile.errors

# The name of this module in functions that were rewritten.
HELPERS = "__rutile_branches__"


class _Unset:
    def __repr__(self):
        return "<not set>"


UNSET = _Unset()


def current(read):
    """The value of a variable, or UNSET."""
    try:
        return read()
    except NameError:
        return UNSET


def branch(test, yes, no, values):
    """What `if test` does: yes(*values) or no(*values); over a tensor of a trace both become parts of a cond."""
    known = _truth(test)
    if known is None:
        return _cond(test, yes, no, values)
    return yes(*values) if known else no(*values)


def negate(test):
    """`not test`, of a trace's tensor too."""
    known = _truth(test)
    return _rutile.ops.logical_not(test) if known is None else not known


def joined(conjunction, first, *others):
    """`first and ...` or `first or ...`, of a trace's tensors too; the others are functions, called if they matter."""
    value = first
    for other in others:
        known = _truth(value)
        if known is None:
            op = _rutile.ops.logical_and if conjunction else _rutile.ops.logical_or
            value = op(value.cast("bool"), _as_bool(other()))
        elif known != conjunction:
            return value
        else:
            value = other()
    return value


def _truth(value):
    """bool(value), or None for a tensor of a trace."""
    if not isinstance(value, Tensor) or value.size != 1:
        return bool(value)
    try:
        return bool(value)
    except _errors.RuntimeError:
        if not _rutile.inside_transform():
            raise
        return None


def _as_bool(v):
    return v.cast("bool") if isinstance(v, Tensor) else Tensor(bool(v))


def _cond(test, yes, no, values):
    """The results are the variables that both ways set: tensors and numbers by cond, other things must be the same."""
    others, kinds = [], []

    def run(way):
        def body():
            found = way(*values)
            # Numbers are tensors from here on, as either way may have computed them.
            found = [Tensor(v) if isinstance(v, (bool, int, float)) else v for v in found]
            others.append([None if _is_tensors(v) else v for v in found])
            kinds.append([_is_tensors(v) for v in found])
            for a, b, x, y in zip(kinds[0], kinds[-1], others[0], others[-1]):
                if a != b or (not a and x is not y and x != y):
                    raise _errors.ValueError(
                        "an if over a tensor's value sets a variable to a tensor in one way and to something else (or not at "
                        "all) in the other; set it to tensors of one shape and dtype in both")
            return tuple(v for v in found if _is_tensors(v))
        return body

    results = iter(_rutile.cond(test.reshape(()).cast("bool"), run(yes), run(no), ()))
    return tuple(next(results) if tensor else other for tensor, other in zip(kinds[0], others[0]))


def _is_tensors(v):
    if isinstance(v, Tensor):
        return True
    return type(v) in (tuple, list) and len(v) > 0 and all(_is_tensors(x) for x in v)


def rewritten(fn):
    """fn, or a function like it whose ifs may be over tensor values."""
    if isinstance(fn, _types.MethodType):
        inner = rewritten(fn.__func__)
        return fn if inner is fn.__func__ else _types.MethodType(inner, fn.__self__)
    if not isinstance(fn, _types.FunctionType) or HELPERS in fn.__code__.co_names:
        return fn
    from rutile import _rewrite  # which needs modules that a bare import does not load
    code = _rewrite.new_code(fn.__code__)
    if code is None:
        return fn
    fn.__globals__.setdefault(HELPERS, _module())
    new = _types.FunctionType(code, fn.__globals__, fn.__name__, fn.__defaults__, fn.__closure__)
    new.__kwdefaults__ = fn.__kwdefaults__
    return _functools.update_wrapper(new, fn)


def rewrite_construct(cls):
    """Does so with construct of a Cell's class."""
    for base in cls.__mro__:
        construct = vars(base).get("construct")
        if construct is not None and not base.__module__.startswith("rutile."):
            new = rewritten(construct)
            if new is not construct:
                base.construct = new


def rewrite_cells(fn, depth=4):
    """Does so with the Cells that a function, or one that it closes over, knows."""
    from rutile.nn.cell import Cell
    fn = getattr(fn, "__wrapped__", fn)
    known = [getattr(fn, "__self__", None)]
    inner = getattr(fn, "__func__", fn)
    for cell in getattr(inner, "__closure__", None) or ():
        try:
            known.append(cell.cell_contents)
        except ValueError:  # not set yet
            pass
    if isinstance(inner, _types.FunctionType):
        known += [inner.__globals__[n] for n in inner.__code__.co_names if n in inner.__globals__]
    for value in known:
        if isinstance(value, Cell):
            for cell in value._walk():
                rewrite_construct(type(cell))
        elif depth and isinstance(value, (_types.FunctionType, _types.MethodType)) and (
                not (value.__module__ or "").startswith("rutile.") or hasattr(value, "__wrapped__")):
            rewrite_cells(value, depth - 1)


def rewrite_class(cls):
    """Does so with the methods that a class defines itself."""
    for name, member in list(vars(cls).items()):
        if isinstance(member, _types.FunctionType):
            new = rewritten(member)
            if new is not member:
                setattr(cls, name, new)


def _module():
    import sys
    return sys.modules[__name__]
