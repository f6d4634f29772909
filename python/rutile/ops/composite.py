# SPDX-License-Identifier: Apache-2.0
"""Functions over nested tuples, as MindSpore's scripts use them."""

from functools import partial  # noqa: F401

from rutile import _rutile
from rutile._rutile import Tensor as _Tensor
from rutile.ops import function as _F
from rutile.ops.transform import GradOperation  # noqa: F401


__all__ = ["GradOperation", "HyperMap", "Map", "MultitypeFuncGraph", "make_list", "make_range", "make_tuple", "partial", "switch", "switch_layer",
           "tail", "tuple_getitem", "tuple_len", "tuple_to_array"]


def __getattr__(name):
    # MindSpore's scripts look for functions here, too.
    if hasattr(_F, name) and not name.startswith("_"):
        return getattr(_F, name)
    raise AttributeError(f"module 'rutile.ops.composite' has no attribute {name!r}")


def make_tuple(*values):
    """The values as a tuple."""
    return values


def make_list(*values):
    """The values as a list."""
    return list(values)


def tuple_getitem(values, index):
    """values[index]."""
    return values[index]


list_getitem = tuple_getitem


def tuple_len(values):
    """len(values)."""
    return len(values)


def make_range(*bounds):
    """range(*bounds) as a tuple.

    >>> from rutile.ops import functional as F
    >>> F.make_range(0, 3), F.tuple_len((1, 2))
    ((0, 1, 2), 2)
    """
    return tuple(range(*bounds))


def tuple_to_array(values):
    """A tuple of numbers as a Tensor of one dimension; whole ones are int32.

    >>> from rutile.ops import functional as F
    >>> F.tuple_to_array((1, 2, 3)).asnumpy().tolist()
    [1, 2, 3]
    """
    whole = all(isinstance(v, int) and not isinstance(v, bool) for v in values)
    return _Tensor(list(values), "int32" if whole else None)


def tail(values):
    """All but the first entry of a tuple or list."""
    return values[1:]


def switch(condition, then, other):
    """then where the condition holds, other where not: values of one type, or functions of which one is chosen.

    >>> import rutile
    >>> from rutile.ops import functional as F
    >>> F.switch(rutile.Tensor(False), rutile.Tensor(1), rutile.Tensor(5)).asnumpy().item()
    5
    """
    if not isinstance(condition, _Tensor):
        return then if condition else other
    if _rutile.is_traced(condition) and isinstance(then, _Tensor) and isinstance(other, _Tensor):
        return _F.select(condition.reshape(()) if condition.ndim else condition, then, other)
    return then if bool(condition) else other


def switch_layer(index, layers):
    """A function that calls the layer of this number.

    >>> import rutile
    >>> from rutile.ops import functional as F
    >>> float(F.switch_layer(rutile.Tensor(1), (rutile.ops.neg, rutile.ops.square))(rutile.Tensor(3.0)))
    9.0
    """
    return lambda *args: layers[index](*args)


class HyperMap:
    """Applies a function to the leaves of tuples and lists: HyperMap(fn)(xs, ys) or HyperMap()(fn, xs, ys).

    >>> from rutile.ops import HyperMap
    >>> HyperMap(lambda a, b: a + b)((1, (2, 3)), (10, (20, 30)))
    (11, (22, 33))
    """

    def __init__(self, ops=None, reverse=False):
        self._fn = ops

    def __call__(self, *args):
        fn, args = (self._fn, args) if self._fn is not None else (args[0], args[1:])
        return self._walk(fn, args)

    def _walk(self, fn, args):
        nested = [a for a in args if isinstance(a, (tuple, list))]
        if not nested:
            return fn(*args)
        if len({len(a) for a in nested}) != 1:
            raise _rutile.errors.ValueError("HyperMap: the structures have different lengths")
        return tuple(self._walk(fn, [a[i] if isinstance(a, (tuple, list)) else a for a in args])
                     for i in range(len(nested[0])))


class Map(HyperMap):
    """The same for one level of tuples."""

    def _walk(self, fn, args):
        return tuple(fn(*a) for a in zip(*args))


class MultitypeFuncGraph:
    """A function with one body per argument types: register("Tensor", "Number") decorates a body.

    Types are named "Tensor", "Number", "Bool", "String", "Tuple", "List", "Dict", "None", or given as classes.
    """

    def __init__(self, name, read_value=False):
        self.name, self._bodies = name, []

    def register(self, *types):
        """Decorates the body for arguments of these types."""

        def add(fn):
            self._bodies.append((types, fn))
            return self

        return add

    def __call__(self, *args):
        for types, fn in self._bodies:
            if len(types) == len(args) and all(_is(a, t) for a, t in zip(args, types)):
                return fn(*args)
        raise _rutile.errors.TypeError(f"{self.name} has no body for ({', '.join(type(a).__name__ for a in args)})")


def _is(value, kind):
    if not isinstance(kind, str):
        return isinstance(value, kind) if isinstance(kind, type) else False
    kinds = {"Tensor": _rutile.Tensor, "Number": (int, float), "Bool": bool, "Int": int, "Float": float, "String": str,
             "Tuple": tuple, "List": list, "Dict": dict, "None": type(None)}
    # As graphs name Python's numbers.
    kinds |= {f"{name}{bits}": kinds[name] for name in ("Int", "Float") for bits in (8, 16, 32, 64)}
    if kind not in kinds:
        raise _rutile.errors.ValueError(f"there is no type {kind!r}")
    return isinstance(value, kinds[kind])
