# SPDX-License-Identifier: Apache-2.0
"""Functions by element: rows of tables (name: op of the table, whether integers become floats first)."""

import math as _math

from rutile import ops as _ops
from rutile._rutile import Tensor as _Tensor
from rutile._rutile import ops as _table
from rutile.numpy import _util as _u

_imported = set(globals())

_UNARY = {"abs": ("abs", 0), "absolute": ("abs", 0), "fabs": ("abs", 1), "arccos": ("acos", 1), "arccosh": ("acosh", 1), "arcsin": ("asin", 1), "arcsinh": ("asinh", 1),
          "arctan": ("atan", 1), "arctanh": ("atanh", 1), "cbrt": ("cbrt", 1), "ceil": ("ceil", 1), "cos": ("cos", 1), "cosh": ("cosh", 1), "deg2rad": ("deg2rad", 1),
          "radians": ("deg2rad", 1), "rad2deg": ("rad2deg", 1), "exp": ("exp", 1), "exp2": ("exp2", 1), "expm1": ("expm1", 1), "floor": ("floor", 1), "log": ("log", 1),
          "log10": ("log10", 1), "log1p": ("log1p", 1), "log2": ("log2", 1), "negative": ("neg", 0), "reciprocal": ("reciprocal", 1), "rint": ("round", 1),
          "sign": ("sign", 0), "sin": ("sin", 1), "sinh": ("sinh", 1), "sqrt": ("sqrt", 1), "square": ("square", 0), "tan": ("tan", 1), "tanh": ("tanh", 1),
          "trunc": ("trunc", 1), "fix": ("trunc", 1), "invert": ("bitwise_not", 0), "bitwise_not": ("bitwise_not", 0), "logical_not": ("logical_not", 0),
          "isfinite": ("isfinite", 0), "isinf": ("isinf", 0), "isnan": ("isnan", 0), "isneginf": ("isneginf", 1), "isposinf": ("isposinf", 1), "signbit": ("signbit", 1)}
_BINARY = {"add": ("add", 0), "arctan2": ("atan2", 1), "bitwise_and": ("bitwise_and", 0), "bitwise_or": ("bitwise_or", 0), "bitwise_xor": ("bitwise_xor", 0),
           "copysign": ("copysign", 1), "divide": ("div", 1), "true_divide": ("div", 1), "equal": ("equal", 0), "floor_divide": ("floor_div", 0), "fmod": ("fmod", 0),
           "gcd": ("gcd", 0), "lcm": ("lcm", 0), "greater": ("greater", 0), "greater_equal": ("greater_equal", 0), "heaviside": ("heaviside", 1), "hypot": ("hypot", 1),
           "less": ("less", 0), "less_equal": ("less_equal", 0), "logaddexp": ("logaddexp", 1), "logaddexp2": ("logaddexp2", 1), "logical_and": ("logical_and", 0),
           "logical_or": ("logical_or", 0), "logical_xor": ("logical_xor", 0), "maximum": ("maximum", 0), "minimum": ("minimum", 0), "mod": ("remainder", 0),
           "remainder": ("remainder", 0), "multiply": ("mul", 0), "not_equal": ("not_equal", 0), "power": ("pow", 0), "subtract": ("sub", 0)}


def _unary(name, op, as_float):
    op = getattr(_table, op)

    def function(x, dtype=None):
        return _u.cast(op(_u.floating(x) if as_float else _u.tensor(x)), dtype)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (op.__doc__ or name).split("--\n\n")[-1]
    return function


def _both(x1, x2, as_float):
    """Two operands: a Python number takes the dtype of a Tensor beside it."""
    if as_float:
        x1 = x1 if isinstance(x1, (int, float)) and isinstance(x2, _Tensor) and _u.is_float(x2) else _u.floating(x1)
        x2 = x2 if isinstance(x2, (int, float)) and isinstance(x1, _Tensor) and _u.is_float(x1) else _u.floating(x2)
    if not isinstance(x1, _Tensor) and not (isinstance(x2, _Tensor) and isinstance(x1, (bool, int, float))):
        x1 = _u.tensor(x1)
    if not isinstance(x2, (_Tensor, bool, int, float)):
        x2 = _u.tensor(x2)
    return x1, x2


def _binary(name, op, as_float):
    op = getattr(_table, op)

    def function(x1, x2, dtype=None):
        return _u.cast(op(*_both(x1, x2, as_float)), dtype)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (op.__doc__ or name).split("--\n\n")[-1]
    return function


globals().update({_n: _unary(_n, *_row) for _n, _row in _UNARY.items()})
globals().update({_n: _binary(_n, *_row) for _n, _row in _BINARY.items()})


def positive(a, dtype=None):
    """a"""
    return _u.cast(_u.tensor(a), dtype)


def float_power(x1, x2, dtype=None):
    """x1 to the power x2, in floats."""
    return _u.cast(_table.pow(*_both(x1, x2, True)), dtype)


def around(a, decimals=0):
    """To the nearest integer, half to even; to `decimals` digits."""
    return _ops.round(_u.tensor(a), decimals=decimals)


def divmod(x1, x2, dtype=None):
    """(the quotient rounded down, the remainder)"""
    x1, x2 = _both(x1, x2, False)
    return _u.cast(_table.floor_div(x1, x2), dtype), _u.cast(_table.remainder(x1, x2), dtype)


def clip(x, xmin, xmax, dtype=None):
    """Limited to [xmin, xmax]; None leaves a side open."""
    x = _u.tensor(x)
    bounds = [v if v is None or isinstance(v, (int, float, _Tensor)) else _u.tensor(v) for v in (xmin, xmax)]
    return _u.cast(_ops.clamp(x, *bounds), dtype)


def nan_to_num(x, nan=0.0, posinf=None, neginf=None):
    """Finite numbers in place of NaN and infinities."""
    given = {k: v for k, v in (("nan", nan), ("posinf", posinf), ("neginf", neginf)) if v is not None}
    return _ops.nan_to_num(_u.floating(x), **given)


def isclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
    """|a - b| <= atol + rtol * |b|"""
    return _ops.isclose(_u.floating(a), _u.floating(b), rtol, atol, equal_nan)


def where(condition, x=None, y=None):
    """x where the condition is true, else y; the condition alone: the places where it is."""
    condition = _u.tensor(condition)
    if x is None and y is None:
        return _ops.nonzero(condition, True)
    if x is None or y is None:
        raise _u.errors.ValueError("where takes x and y, or neither")
    x, y = _both(x, y, False)
    return _ops.where(condition if condition.dtype.name == "bool" else condition != 0, x, y)


def interp(x, xp, fp, left=None, right=None):
    """Values at x of the lines between points (xp, fp); left and right: outside of them."""
    x, xp, fp = (_u.floating(v) for v in (x, xp, fp))
    n = xp.shape[0]
    if n == 1:
        y = x * 0 + fp[0]
    else:
        i = _ops.clamp(_ops.searchsorted(xp, x, right=True), 1, n - 1)
        x0, x1, y0, y1 = (_table.gather(v, k, axis=0) for v, k in ((xp, i - 1), (xp, i), (fp, i - 1), (fp, i)))
        y = y0 + (y1 - y0) * ((_ops.clamp(x, xp[0], xp[-1]) - x0) / (x1 - x0))
    y = y if left is None else _ops.where(x < xp[0], _table.full((), left, y.dtype), y)
    return y if right is None else _ops.where(x > xp[-1], _table.full((), right, y.dtype), y)


def unwrap(p, discont=_math.pi, axis=-1):
    """Angles without jumps of more than discont: whole turns are added."""
    p = _u.floating(p)
    at = _u.place(axis, p.ndim)
    d = _ops.diff(p, 1, at)
    turn = _table.remainder(d + _math.pi, _Tensor(2 * _math.pi, d.dtype)) - _math.pi
    turn = _ops.where(_table.logical_and(turn == -_math.pi, d > 0), _table.full((), _math.pi, d.dtype), turn)
    jump = _ops.where(_table.abs(d) < discont, _table.full((), 0, d.dtype), turn - d)
    first = _ops.narrow(p, at, 0, 1)
    return _table.concat([first, _ops.narrow(p, at, 1, p.shape[at] - 1) + _table.cumsum(jump, axis=at)], axis=at)


# ---- Polynomials, the highest power first

def polyval(p, x):
    """The polynomial's value at x."""
    p, x = _u.tensor(p), _u.tensor(x)
    y = x * 0
    for i in range(p.shape[0]):
        y = y * x + p[i]
    return y


def _aligned(a1, a2):
    a1, a2 = (v.reshape(-1) for v in _both(a1, a2, False))
    n = max(a1.size, a2.size)
    return [_table.concat([_table.full((n - v.size,), 0, v.dtype), v], axis=0) if v.size < n else v for v in (a1, a2)]


def polyadd(a1, a2):
    """The sum of polynomials."""
    a, b = _aligned(_u.tensor(a1), _u.tensor(a2))
    return a + b


def polysub(a1, a2):
    """The difference of polynomials."""
    a, b = _aligned(_u.tensor(a1), _u.tensor(a2))
    return a - b


def polymul(a1, a2):
    """The product of polynomials."""
    from rutile.numpy.reductions import convolve
    return convolve(a1, a2)


def polyder(p, m=1):
    """The m-th derivative of a polynomial."""
    p = _u.tensor(p)
    for _ in range(m):
        n = p.size - 1
        p = p[:n] * _Tensor(list(range(n, 0, -1)), p.dtype if p.dtype.name != "bool" else "int32") if n > 0 else p[:0]
    return p


def polyint(p, m=1, k=None):
    """The m-th integral of a polynomial, with constants k."""
    p = _u.floating(p)
    constants = [0.0] * m if k is None else [float(v) for v in (k.asnumpy().reshape(-1) if isinstance(k, _Tensor) else [k] * m if isinstance(k, (int, float)) else k)]
    for c in constants:
        p = _table.concat([p / _Tensor([float(v) for v in range(p.size, 0, -1)], p.dtype), _table.full((1,), c, p.dtype)], axis=0)
    return p


__all__ = _u.names(globals(), _imported)
