# SPDX-License-Identifier: Apache-2.0
"""Keywords that methods of Tensor had in older releases of MindSpore: x.repeat(repeats=2, axis=0), x.tile(reps=(2, 1))."""

import functools as _functools

from rutile import ops as _ops
from rutile._rutile import Tensor

# Method: {older keyword: the one it has here}; None: the first one, whatever its name. add() and sub() know theirs themselves, and
# so do methods that are ops of the table.
RENAMED = {"isclose": {"x2": None}, "tile": {"reps": None}, "div": {"value": "other"}, "true_divide": {"value": None},
           "xlogy": {"y": None}, "subtract": {"other": None, "y": None}, "pow": {"power": None}}
for _name in ("gt", "ge", "lt", "le", "eq", "ne"):
    RENAMED[_name] = {"x": None, "other": None}
_OF_OTHERS = {"index_add": {"dim": "axis", "index": "indices", "source": "y"},
              "unique_consecutive": {"return_idx": "return_inverse", "axis": "dim"}}


def renamed(older, args, kwargs):
    """The arguments of a call that has keywords, by the names they have here."""
    for old, new in older.items():
        if old in kwargs:
            value = kwargs.pop(old)
            if new is None:
                args = (value, *args)
            else:
                kwargs[new] = value
    return args, kwargs


def _with_older(method, older):
    @_functools.wraps(method)
    def call(self, *args, **kwargs):
        if kwargs:
            args, kwargs = renamed(older, args, kwargs)
        return method(self, *args, **kwargs)

    return call


def _repeat(method):
    @_functools.wraps(method)
    def repeat(self, *args, repeats=None, **kwargs):
        return method(self, *args, **kwargs) if repeats is None else _ops.repeat_interleave(self, repeats, kwargs.get("axis"))

    return repeat


def _select(method):
    @_functools.wraps(method)
    def select(self, *args, condition=None, y=None, **kwargs):
        return method(self, *args, **kwargs) if condition is None else _ops.select(condition, self, y)

    return select


def _scatter_add(method):
    @_functools.wraps(method)
    def scatter_add(self, *args, indices=None, updates=None, **kwargs):
        return method(self, *args, **kwargs) if indices is None else _ops.tensor_scatter_add(self, indices, updates)

    return scatter_add


def install():
    """Teaches the methods."""
    for name, older in _OF_OTHERS.items():
        setattr(Tensor, name, _with_older(getattr(Tensor, name), older))
    for name, wrap in (("repeat", _repeat), ("select", _select), ("scatter_add", _scatter_add)):
        setattr(Tensor, name, wrap(getattr(Tensor, name)))
