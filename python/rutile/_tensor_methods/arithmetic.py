# SPDX-License-Identifier: Apache-2.0
"""Arithmetic and functions of ops whose arguments differ as methods, and NumPy's functions of a Tensor."""

from rutile import ops as _ops
from rutile._rutile import Tensor, errors as _errors
from rutile._tensor_methods._register import method
from rutile.ops import table as _table


def _given(name, other):
    if other is None:
        raise _errors.TypeError(f"{name}() needs other, a Tensor or a number")
    return other


@method
def add(self, other=None, *, alpha=1, y=None):
    """self + alpha * other; y is an older name of other."""
    if other is None:
        other = _given("add", y)
    return _table.add(self, other if alpha == 1 else other * alpha)


@method
def sub(self, other=None, *, alpha=1, y=None):
    """self - alpha * other; y is an older name of other."""
    if other is None:
        other = _given("sub", y)
    return _table.sub(self, other if alpha == 1 else other * alpha)


@method
def remainder(self, other=None, divisor=None):
    """The remainder, with the sign of the divisor."""
    return _table.remainder(self, other if divisor is None else divisor)


@method
def equal(self, other):
    """Whether elements are equal."""
    return self == other


@method
def round(self, decimals=0):
    """To the nearest integer, half to even; to `decimals` digits."""
    return _ops.round(self, decimals=decimals)


@method("__round__")
def rounded(self, ndigits=None):
    """round(x), round(x, 2): to whole numbers, halves to the even one, or to decimal places."""
    return _ops.round(self) if ndigits is None else _ops.round(self, decimals=ndigits)


@method
def softmax(self, axis=-1, dtype=None, **kwargs):
    """exp(x) / sum(exp(x)) along an axis."""
    x = self if dtype is None else self.cast(dtype)
    return _table.softmax(x, kwargs.get("dim", axis))


@method
def triangular_solve(self, A, upper=True, transpose=False, unitriangular=False):
    """(X with A X = this, A)"""
    return _table.solve_triangular(A, self, upper=upper, transpose=transpose, unitriangular=unitriangular), A


@method
def col2im(self, output_size, kernel_size, dilation, padding_value, stride):
    """Columns summed back into an image."""
    return _ops.col2im(self, output_size, kernel_size, dilation, padding_value, stride)


# What array + Tensor is asked of the Tensor by.
_REFLECTED = {"add": "__radd__", "subtract": "__rsub__", "multiply": "__rmul__", "matmul": "__rmatmul__", "divide": "__rtruediv__",
              "true_divide": "__rtruediv__", "floor_divide": "__rfloordiv__", "remainder": "__rmod__", "power": "__rpow__",
              "left_shift": "__rlshift__", "right_shift": "__rrshift__", "bitwise_and": "__rand__", "bitwise_or": "__ror__",
              "bitwise_xor": "__rxor__", "less": "__gt__", "less_equal": "__ge__", "greater": "__lt__", "greater_equal": "__le__",
              "equal": "__eq__", "not_equal": "__ne__"}


@method("__array_ufunc__")
def array_ufunc(self, ufunc, method, *inputs, out=(), **kwargs):
    """NumPy's functions of elements: operators of an array and a Tensor give a Tensor, other calls NumPy's array."""
    if any(isinstance(o, Tensor) for o in out):
        return NotImplemented
    reflected = _REFLECTED.get(ufunc.__name__) if method == "__call__" and not out and not kwargs else None
    if reflected and not isinstance(inputs[0], Tensor):
        return getattr(self, reflected)(inputs[0])
    arrays = [x.asnumpy() if isinstance(x, Tensor) else x for x in inputs]
    return getattr(ufunc, method)(*arrays, **({"out": out} if out else {}), **kwargs)
