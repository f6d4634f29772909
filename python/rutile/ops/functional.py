# SPDX-License-Identifier: Apache-2.0
"""MindSpore's older place for the functions of rutile.ops."""

import math as _math
import operator as _operator

from rutile._rutile import ops as _table

# Python's operators under the names that graphs have for them.
_SCALARS = {"add": "add", "sub": "sub", "mul": "mul", "div": "truediv", "floordiv": "floordiv", "mod": "mod", "pow": "pow",
            "eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge", "uadd": "pos", "usub": "neg"}
globals().update({f"scalar_{n}": getattr(_operator, f) for n, f in _SCALARS.items()})
bool_not, scalar_log, scalar_max, scalar_min = _operator.not_, _math.log, max, min
bool_eq = string_eq = tuple_equal = list_equal = _operator.eq
string_concat, list_len, dict_getitem = _operator.add, len, _operator.getitem


def is_(x, y):
    """Whether both are the same object."""
    return x is y


def is_not(x, y):
    """Whether they are two objects."""
    return x is not y


def bool_and(x, y):
    """Whether both are true."""
    return bool(x and y)


def bool_or(x, y):
    """Whether one is true."""
    return bool(x or y)


def in_dict(key, mapping):
    """Whether a dict has a key."""
    return key in mapping


def not_in_dict(key, mapping):
    """Whether a dict has not a key."""
    return key not in mapping


def tuple_setitem(values, index, value):
    """A tuple with another entry.

    >>> from rutile.ops import functional as F
    >>> F.tuple_setitem((1, 2, 3), 1, 5), F.tuple_reversed((1, 2)), F.list_len([1])
    ((1, 5, 3), (2, 1), 1)
    """
    entries = list(values)
    entries[index] = value
    return type(values)(entries)


def tuple_reversed(values):
    """The entries of a tuple from the last to the first."""
    return tuple(reversed(values))


list_setitem = tuple_setitem


def dict_setitem(mapping, key, value):
    """A dict with another entry."""
    return {**mapping, key: value}


def make_dict(keys, values):
    """A dict of keys and values."""
    return dict(zip(keys, values))


def make_slice(start, stop, step):
    """start:stop:step"""
    return slice(start, stop, step)


# The table first, as in rutile.ops.
globals().update({n: f for n, f in vars(_table).items() if not n.startswith("_") and not n.endswith("_grad")})

from rutile.ops.composite import list_getitem, make_list, make_range, make_tuple, partial, switch, switch_layer, tail, tuple_getitem, tuple_len, tuple_to_array  # noqa: E402,F401
from rutile.ops.function import *  # noqa: E402,F401,F403
from rutile.ops.function import __all__  # noqa: E402,F401
from rutile.ops.batching import derivative, get_grad, jacfwd, jacrev, jet, linearize, vmap  # noqa: E402,F401
from rutile.ops.transform import grad, jvp, value_and_grad, vjp  # noqa: E402,F401


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    from rutile import ops
    return getattr(ops, name)
