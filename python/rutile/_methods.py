# SPDX-License-Identifier: Apache-2.0
"""Methods of Tensor whose name or arguments differ from the ops of the table (which are methods too)."""

from rutile import _older_keywords, _rutile
from rutile import ops as _ops
from rutile._rutile import Tensor, from_numpy as _from_numpy
from rutile.ops import table as _table
from rutile.ops.function._util import _axes

_errors = _rutile.errors


def _as_method(function, name=None):
    older = _older_keywords.RENAMED.get(name)
    if older is None:
        def method(self, *args, **kwargs):
            return function(self, *args, **kwargs)
    else:
        def method(self, *args, **kwargs):
            if kwargs:
                args, kwargs = _older_keywords.renamed(older, args, kwargs)
            return function(self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name or function.__name__
    method.__doc__ = function.__doc__
    return method


# What array + Tensor is asked of the Tensor by.
_REFLECTED = {"add": "__radd__", "subtract": "__rsub__", "multiply": "__rmul__", "matmul": "__rmatmul__", "divide": "__rtruediv__",
              "true_divide": "__rtruediv__", "floor_divide": "__rfloordiv__", "remainder": "__rmod__", "power": "__rpow__",
              "left_shift": "__rlshift__", "right_shift": "__rrshift__", "bitwise_and": "__rand__", "bitwise_or": "__ror__",
              "bitwise_xor": "__rxor__", "less": "__gt__", "less_equal": "__ge__", "greater": "__lt__", "greater_equal": "__le__",
              "equal": "__eq__", "not_equal": "__ne__"}


def array_ufunc(self, ufunc, method, *inputs, out=(), **kwargs):
    """NumPy's functions of elements: operators of an array and a Tensor give a Tensor, other calls NumPy's array."""
    if any(isinstance(o, Tensor) for o in out):
        return NotImplemented
    reflected = _REFLECTED.get(ufunc.__name__) if method == "__call__" and not out and not kwargs else None
    if reflected and not isinstance(inputs[0], Tensor):
        return getattr(self, reflected)(inputs[0])
    arrays = [x.asnumpy() if isinstance(x, Tensor) else x for x in inputs]
    return getattr(ufunc, method)(*arrays, **({"out": out} if out else {}), **kwargs)


def contains(self, element):
    """Whether an element equals a value: value in x."""
    return bool((self == element).any())


def rounded(self, ndigits=None):
    """round(x), round(x, 2): to whole numbers, halves to the even one, or to decimal places."""
    return _ops.round(self) if ndigits is None else _ops.round(self, decimals=ndigits)


def astype(self, dtype, copy=True):
    """The same values in another dtype."""
    return _table.cast(self, dtype)


def to(self, dtype):
    """The same values in another dtype."""
    return _table.cast(self, dtype)


def view(self, *shape):
    """The elements in another shape; view(dtype): their bits as another dtype (ops.bitcast)."""
    if len(shape) == 1 and isinstance(shape[0], (str, type(self.dtype))):
        return _table.bitcast(self, shape[0])
    return _table.reshape(self, shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)


def view_as(self, other):
    """The elements in the shape of another tensor."""
    return _table.reshape(self, other.shape)


def transpose(self, *axes):
    """The dimensions in another order; without arguments reversed."""
    return _table.transpose(self, axes[0] if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes)


def tolist(self):
    """The values as nested lists, or a number."""
    return self.asnumpy().tolist()


def copy(self):
    """A Tensor of the same value."""
    return self[...] if isinstance(self, _rutile.Parameter) else self.__copy__()


def fill(self, value):
    """A tensor of this shape and dtype with one value."""
    return _table.full(self.shape, value, self.dtype)


def repeat(self, *repeats, axis=None):
    """Every element repeated (along an axis, or of all); several numbers repeat the whole along each dimension."""
    if len(repeats) == 2 and axis is None and self.ndim < 2 or len(repeats) > 2 or len(repeats) == 1 and isinstance(
            repeats[0], (tuple, list)) and axis is None and len(repeats[0]) != self.size:
        return _ops.tile(self, repeats[0] if len(repeats) == 1 else repeats)
    repeats, axis = repeats[0], repeats[1] if len(repeats) == 2 else axis
    return _ops.repeat_interleave(self, repeats, axis)


def maximum_of(self, axis=None, keepdims=False, *, initial=None, where=True, return_indices=False):
    """The largest over an axis (None: of all); with return_indices also its place."""
    if return_indices:
        return _ops.max(self, axis, keepdims)
    if initial is not None or where is not True:
        return _ops.amax(self, axis, keepdims, initial=initial, where=None if where is True else where)
    return _table.max(self, _axes(axis), bool(keepdims))


def minimum_of(self, axis=None, keepdims=False, *, initial=None, where=True, return_indices=False):
    """The smallest over an axis (None: of all); with return_indices also its place."""
    if return_indices:
        return _ops.min(self, axis, keepdims)
    if initial is not None or where is not True:
        return _ops.amin(self, axis, keepdims, initial=initial, where=None if where is True else where)
    return _table.min(self, _axes(axis), bool(keepdims))


def total(self, axis=None, dtype=None, keepdims=False, initial=None, *, dim=None, keepdim=None):
    """The sum over axes (None: all), and a number to begin with; sum(dim, keepdim) with a bool second as well."""
    if isinstance(dtype, bool):
        dtype, keepdims = None, dtype
    y = _table.sum(self, _axes(axis if dim is None else dim), bool(keepdims if keepdim is None else keepdim), dtype)
    return y if initial is None else y + initial


def from_numpy(array):
    """As rutile.from_numpy."""
    return _from_numpy(array)


def register_hook(self, hook):
    """hook(gradient) sees the gradient by this tensor, and may return another, until remove() of what is returned here.

    Within a differentiated function the tensor is one that it made; outside, one that is handed to such functions as an argument
    to differentiate by. A Parameter keeps its hooks: they see its gradients among those by weights.

    >>> import rutile
    >>> def f(x):
    ...     y = x * 3
    ...     handle = y.register_hook(lambda g: g * 10)
    ...     return y
    >>> float(rutile.grad(f)(rutile.Tensor(1.0)))
    30.0
    """
    if not callable(hook):
        raise _errors.TypeError(f"a hook is a function, got {type(hook).__name__}")
    if isinstance(self, _rutile.Parameter):
        from rutile.ops.transform import ParameterHook
        return ParameterHook(self, hook)
    from rutile.ops.transform import TensorHook
    return TensorHook(self, hook)


def numel(self):
    """The number of elements."""
    return self.size


def dim(self):
    """The number of dimensions."""
    return self.ndim


def _cast_to(name, dtype):
    def method(self):
        return _table.cast(self, dtype)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"The same values as {dtype}."
    return method


def _install():
    methods = {"astype": astype, "to": to, "view": view, "view_as": view_as, "reshape_as": view_as, "transpose": transpose,
               "permute": transpose, "tolist": tolist, "copy": copy, "fill": fill, "repeat": repeat, "max": maximum_of,
               "min": minimum_of, "sum": total}
    for name in ("addcdiv", "addcmul", "all", "amax", "amin", "any", "argmax", "argmin", "argsort", "bmm", "broadcast_to", "chunk",
                 "clamp", "clip", "count_nonzero", "cumsum", "div", "divide", "dot", "eq", "expand", "expand_as", "expand_dims",
                 "flatten", "flip", "floor_divide", "gather", "gather_elements", "ge", "gt", "hardshrink", "index_select", "inverse",
                 "isclose", "le", "lerp", "logsumexp", "lt", "masked_fill", "mean", "mm", "movedim", "multiply", "mv", "ne",
                 "negative", "new_ones", "nonzero", "norm", "outer", "prod", "repeat_interleave", "roll", "softmax", "sort", "split",
                 "squeeze", "std", "subtract", "swapaxes", "swapdims", "t", "tensor_split", "tile", "topk", "true_divide", "unbind",
                 "unsqueeze", "var", "xlogy"):
        if hasattr(_ops, name):
            methods[name] = _as_method(getattr(_ops, name), name)
    for name, dtype in (("float", "float32"), ("double", "float64"), ("half", "float16"), ("int", "int32"), ("long", "int64"),
                        ("short", "int16"), ("byte", "uint8"), ("bool", "bool"), ("bfloat16", "bfloat16")):
        methods[name] = _cast_to(name, dtype)
    methods["absolute"] = _as_method(_table.abs, "absolute")
    methods["pow"] = _as_method(_table.pow, "pow")
    for name, method in methods.items():
        setattr(Tensor, name, method)
    for name, fn in {"new_zeros": _ops.zeros, "new_ones": _ops.ones}.items():
        def new(self, size, dtype=None, fn=fn):
            return fn(size, dtype or self.dtype)
        new.__name__, new.__doc__ = name, f"{fn.__doc__[:-1]}, in this dtype unless given."
        setattr(Tensor, name, new)
    Tensor.__contains__, Tensor.__round__ = contains, rounded
    Tensor.register_hook, Tensor.__array_ufunc__ = register_hook, array_ufunc
    Tensor.from_numpy = staticmethod(from_numpy)
    Tensor.numel, Tensor.dim, Tensor.ndimension = numel, dim, dim
    Tensor.itemsize = property(lambda self: self.dtype.itemsize, doc="Bytes of an element.")
    Tensor.nbytes = property(lambda self: self.dtype.itemsize * self.size, doc="Bytes of all elements.")
    Tensor.mT = property(lambda self: _ops.swapaxes(self, -1, -2), doc="The last two dimensions exchanged.")


_install()

from rutile import _more_methods  # noqa: E402

_more_methods.install()

_older_keywords.install()
