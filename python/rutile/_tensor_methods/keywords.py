# SPDX-License-Identifier: Apache-2.0
"""Names of arguments that are another here: those of older releases of MindSpore (x.repeat(repeats=2, axis=0), x.tile(reps=(2, 1))) and
what PyTorch and MindSpore call differently (dim and axis)."""

import functools as _functools
import inspect as _inspect

from rutile import ops as _ops
from rutile._rutile import Tensor
from rutile._rutile import errors as _errors

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
    # scatter_add(dim, index, src); scatter_add(indices, updates)
    @_functools.wraps(method)
    def scatter_add(self, *args, **kwargs):
        if "indices" in kwargs or "updates" in kwargs or len(args) == 2 and not isinstance(args[0], int) and not kwargs:
            return _ops.tensor_scatter_add(self, *args, **kwargs)
        return method(self, *args, **kwargs)

    return scatter_add


def _extreme(method, function):
    # max(1), max(dim=1), max(1, keepdim=True): the values and their places; max(axis=1), max((0, 1)): the values.
    @_functools.wraps(method)
    def extreme(self, *args, **kwargs):
        if args and isinstance(args[0], Tensor):
            name = method.__name__
            raise _errors.TypeError(f"[{name}] expects an int dim or axis, got a Tensor; the {name} of two Tensors by element is {name}imum(x, y)")
        of_dim = bool(args) and not kwargs and isinstance(args[0], int) and not isinstance(args[0], bool)
        if not of_dim and "dim" not in kwargs and "keepdim" not in kwargs:
            return method(self, *args, **kwargs)
        args, kwargs = renamed({"dim": None} if "dim" in kwargs else {}, args, kwargs)
        return function(self, *args, **{"keepdims" if k == "keepdim" else k: v for k, v in kwargs.items()})

    return extreme


def _in_parts(method):
    # split(split_size=2, dim=1)
    @_functools.wraps(method)
    def split(self, *args, split_size=None, **kwargs):
        return method(self, *(args if split_size is None else (split_size, *args)), **kwargs)

    return split


def _many(method):
    # expand(2, -1) and tile(2, 1) as well as expand((2, -1)) and tile((2, 1))
    @_functools.wraps(method)
    def many(self, *sizes, **kwargs):
        return method(self, *((sizes,) if len(sizes) > 1 and all(isinstance(n, int) for n in sizes) else sizes), **kwargs)

    return many


# PyTorch's and MindSpore's names for one argument: what is given under one is looked for under the others.
_TWINS = (("dim", "axis", "dims"), ("keepdim", "keepdims", "keep_dims"), ("other", "x"))


def _either(method, names):
    def call(self, *args, **kwargs):
        for key in list(kwargs):
            if key not in names:
                for group in _TWINS:
                    twin = next((n for n in group if key in group and n in names), None)
                    if twin:
                        kwargs[twin] = kwargs.pop(key)
        return method(self, *args, **kwargs)

    call.__name__ = call.__qualname__ = method.__name__
    call.__doc__ = method.__doc__
    return call


def _accept_twins():
    for name in ("argmax argmin argsort chunk count_nonzero cumsum cummax cummin cumprod expand_as max min median nanmedian nansum nanmean repeat_interleave scatter "
                 "scatter_add std var mean prod all any amax amin logsumexp unbind split tensor_split narrow index_select select roll flip sum "
                 "argmax_with_value argmin_with_value quantile nanquantile diff norm renorm kthvalue unique_consecutive").split():
        method = getattr(Tensor, name, None)
        if method is None:
            continue
        function = getattr(_ops, name, None)
        own = method if hasattr(method, "__code__") and "kwargs" not in method.__code__.co_varnames else function
        try:
            names = set(_inspect.signature(own).parameters)
        except (TypeError, ValueError):
            continue
        setattr(Tensor, name, _either(method, names))


def install():
    """Teaches the methods, when all are there."""
    _accept_twins()
    for name, older in _OF_OTHERS.items():
        setattr(Tensor, name, _with_older(getattr(Tensor, name), older))
    for name, wrap in (("repeat", _repeat), ("select", _select), ("scatter_add", _scatter_add)):
        setattr(Tensor, name, wrap(getattr(Tensor, name)))
    for name in ("max", "min"):
        setattr(Tensor, name, _extreme(getattr(Tensor, name), getattr(_ops, name)))
    for name in ("expand", "tile"):
        setattr(Tensor, name, _many(getattr(Tensor, name)))
    Tensor.split = _in_parts(Tensor.split)
