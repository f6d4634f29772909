# SPDX-License-Identifier: Apache-2.0
"""Arithmetic, matrices and reductions."""

import builtins as _b
import math as _math

from rutile import _hints
from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops.function._util import _INTEGERS, _axes, _errors, _tensor
from rutile.ops.function.creation import full_like, ones_like, zeros_like

_imported = set(globals())


# ---- Arithmetic

def _binary(name, op, doc):
    def function(input, other):
        return op(input, other)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def tensor_div(input, other, *, rounding_mode=None):
    """input / other; rounding_mode None, "floor" or "trunc"."""
    if rounding_mode is None:
        return _table.div(input, other)
    if rounding_mode == "floor":
        return _table.floor_div(input, other)
    if rounding_mode == "trunc":
        return _table.trunc_div(input, other)
    raise _errors.ValueError(f"div: rounding_mode is None, 'floor' or 'trunc', got {rounding_mode!r}")


div = tensor_div
divide = tensor_div


def true_divide(dividend, divisor):
    """dividend / divisor"""
    return _table.div(dividend, divisor)


def subtract(input, other, *, alpha=1):
    """input - alpha * other"""
    return _table.sub(input, other) if alpha == 1 else _table.sub(input, other * alpha)


def floor_mod(x, y):
    """The remainder, with the sign of the divisor."""
    return _table.remainder(x, y)


multiply = _binary("multiply", _table.mul, "input * other.")
floor_divide = _binary("floor_divide", _table.floor_div, "The quotient rounded down.")
mod = _binary("mod", _table.remainder, "The remainder, with the sign of the divisor.")
ne = _binary("ne", _table.not_equal, "input != other, by element.")
eq = _binary("eq", _table.equal, "input == other, by element.")
gt = _binary("gt", _table.greater, "input > other, by element.")
ge = _binary("ge", _table.greater_equal, "input >= other, by element.")
lt = _binary("lt", _table.less, "input < other, by element.")
le = _binary("le", _table.less_equal, "input <= other, by element.")
arctan2 = _binary("arctan2", _table.atan2, "The angle of (other, input).")
absolute, negative = _table.abs, _table.neg
arccos, arcsin, arctan = _table.acos, _table.asin, _table.atan
arccosh, arcsinh, arctanh = _table.acosh, _table.asinh, _table.atanh


def addcmul(input, tensor1, tensor2, value=1):
    """input + value * tensor1 * tensor2"""
    return input + tensor1 * tensor2 * value


def addcdiv(input, tensor1, tensor2, value=1):
    """input + value * tensor1 / tensor2"""
    return input + tensor1 / tensor2 * value


def lerp(input, end, weight):
    """input + weight * (end - input)"""
    return _table.lerp(input, end, weight)


def xlogy(input, other):
    """input * log(other), zero where input is zero."""
    return _table.xlogy(input, other)


def hypot(input, other):
    """sqrt(input^2 + other^2)"""
    return _table.hypot(input, other)


def square_difference(input, other):
    """(input - other)^2"""
    return _table.square(input - other)


def clamp(input, min=None, max=None):
    """Limited to [min, max], either of them a number, a Tensor or None."""
    if min is None and max is None:
        raise _errors.ValueError("clamp: needs min or max")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        if min is not None:
            input = _table.maximum(input, min)
        return input if max is None else _table.minimum(input, max)
    if input.dtype.name.startswith(("int", "uint")) and (type(min) is float or type(max) is float):
        input = input.cast("float32")
    return _table.clip(input, min=-_math.inf if min is None else min, max=_math.inf if max is None else max)


clip = clamp


def clip_by_value(x, clip_value_min=None, clip_value_max=None):
    """Limited to [clip_value_min, clip_value_max], in x's dtype; a tuple or list of tensors gives a tuple."""
    if isinstance(x, (tuple, list)):
        return tuple(clip_by_value(v, clip_value_min, clip_value_max) for v in x)
    y = clamp(x, clip_value_min, clip_value_max)
    return y if y.dtype == x.dtype else y.cast(x.dtype)


def clip_by_norm(x, max_norm, norm_type=2.0, error_if_nonfinite=False):
    """A tensor, or several with their common norm, scaled down to a norm of at most max_norm."""
    tensors = [x] if isinstance(x, Tensor) else list(x)
    if not tensors:
        return []
    flat = _table.concat([t.reshape(-1).cast("float32") for t in tensors], axis=0)
    n = _table.vector_norm(flat, float(norm_type))
    if error_if_nonfinite and not bool(_table.isfinite(n)):
        raise _errors.RuntimeError(f"clip_by_norm: the norm is {n.asnumpy().item()}")
    scale = _table.clip(float(max_norm) / (n + 1e-6), min=0.0, max=1.0)
    scaled = [t * scale.cast(t.dtype) for t in tensors]
    return scaled[0] if isinstance(x, Tensor) else scaled


def clip_by_global_norm(x, clip_norm=1.0, use_norm=None):
    """Several tensors scaled down to a common norm of at most clip_norm."""
    if isinstance(x, Tensor):
        return clip_by_global_norm((x,), clip_norm, use_norm)[0]
    n = _table.global_norm(list(x))
    scale = clip_norm / _table.maximum(n, Tensor(clip_norm, n.dtype))
    return tuple(g * scale.cast(g.dtype) for g in x)


def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """|input - other| <= atol + rtol * |other|"""
    return _table.isclose(input, other, rtol, atol, equal_nan)


def bias_add(input_x, bias):
    """A bias [c] for dimension 1, of c channels."""
    if bias.ndim != 1 or input_x.ndim < 2 or bias.shape[0] != input_x.shape[1]:
        raise _errors.ValueError(f"bias_add: bias has one number for each channel (dimension 1) of input_x {input_x.shape}, "
                                 f"got shape {bias.shape}")
    return input_x + bias.reshape((1, -1) + (1,) * (input_x.ndim - 2))


# ---- Matrices

def matmul(input, other):
    """The product of matrices, vectors and stacks of them."""
    return _table.matmul(input, other)


def bmm(input_x, mat2):
    """The product of two stacks of matrices."""
    return _table.matmul(input_x, mat2)


batch_matmul = bmm


def mm(input, mat2):
    """The product of two matrices."""
    return _table.matmul(input, mat2)


def mv(mat, vec):
    """Matrix times vector."""
    return _table.matmul(mat, vec)


def dot(input, other):
    """The sum over the last dimension of one and the last but one (of a vector: the only one) of the other."""
    if input.ndim == other.ndim == 1:
        return _table.sum(input * other, axes=-1)
    return _table.tensordot(input, other, axes_x=(input.ndim - 1,), axes_y=(other.ndim - 2 if other.ndim > 1 else 0,))


def outer(input, vec2):
    """All products of two vectors' elements."""
    return input.reshape(-1, 1) * vec2.reshape(1, -1)


ger = outer


def addmm(input, mat1, mat2, *, beta=1, alpha=1):
    """beta * input + alpha * (mat1 @ mat2)"""
    return input * beta + _table.matmul(mat1, mat2) * alpha


def dense(input, weight, bias=None):
    """input @ weight.T + bias; a weight [features] gives one number for each row."""
    if weight.ndim == 1:
        y = _table.matmul(input, weight)
        return y if bias is None else y + bias
    return _table.linear(input, weight, bias)


# ---- Reductions

def _given(name, axis, keep, kwargs):
    """(axes, whether they stay) under any of the names that versions of MindSpore use."""
    keep = kwargs.pop("keepdims", kwargs.pop("keepdim", kwargs.pop("keep_dims", keep)))
    axis = kwargs.pop("dim", kwargs.pop("axis", axis))
    if kwargs:
        wrong = next(iter(kwargs))
        raise _errors.TypeError(f"[{name}] there is no argument {wrong!r}{_hints.close(wrong, ('axis', 'dim', 'keepdims'))}")
    return _axes(axis), bool(keep)


def _reduction(name, op, doc):
    def function(input, axis=None, keep_dims=False, **kwargs):
        return op(input, *_given(name, axis, keep_dims, kwargs))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def mean(x, axis=None, keep_dims=False, **kwargs):
    """The mean over axes (None: all), in the dtype of x: that of integers is cut off."""
    axis, keep = _given("mean", axis, keep_dims, kwargs)
    y = _table.mean(x, axis, keep)
    return y if x.dtype.name.startswith(("float", "bfloat", "complex")) else y.cast(x.dtype)


def prod(input, axis=None, keep_dims=False, dtype=None, **kwargs):
    """The product over axes (None: all)."""
    axis, keep = _given("prod", axis, keep_dims, kwargs)
    return _table.prod(input if dtype is None else input.cast(dtype), axis, keep)


all = _reduction("all", lambda x, a, k: _table.all(x, a, k), "Whether all are true, over axes (None: all).")
any = _reduction("any", lambda x, a, k: _table.any(x, a, k), "Whether any is true, over axes (None: all).")

def _chosen(name, input, initial, where, lowest):
    """The elements that count: `initial` where `where` is false, and everywhere at least (at most) `initial`."""
    if where is not None:
        if initial is None:
            raise _errors.ValueError(f"{name}: where goes with initial, the value of what is left out")
        input = _table.where(where, input, Tensor(initial, input.dtype))
    if initial is not None:
        input = (_table.maximum if lowest else _table.minimum)(input, Tensor(initial, input.dtype))
    return input


def amax(input, axis=None, keepdims=False, *, initial=None, where=None, **kwargs):
    """The largest over axes (None: all), at least `initial`; where: which elements count."""
    return _table.max(_chosen("amax", input, initial, where, True), *_given("amax", axis, keepdims, kwargs))


def amin(input, axis=None, keepdims=False, *, initial=None, where=None, **kwargs):
    """The smallest over axes (None: all), at most `initial`; where: which elements count."""
    return _table.min(_chosen("amin", input, initial, where, False), *_given("amin", axis, keepdims, kwargs))


def logsumexp(input, dim=None, keepdim=False, **kwargs):
    """log(sum(exp)) over dimensions."""
    return _table.logsumexp(input, *_given("logsumexp", dim, keepdim, kwargs))


reduce_prod = prod


def reduce_mean(x, axis=(), keep_dims=False):
    """The mean over axes (none: all)."""
    return mean(x, axis, keep_dims)


def reduce_max(x, axis=(), keep_dims=False):
    """The largest over axes (none: all)."""
    return _table.max(x, _axes(axis), bool(keep_dims))


def reduce_min(x, axis=(), keep_dims=False):
    """The smallest over axes (none: all)."""
    return _table.min(x, _axes(axis), bool(keep_dims))


reduce_all, reduce_any = all, any


def sum(input, dim=None, keepdim=False, *, dtype=None, **kwargs):
    """The sum over axes (None: all)."""
    dim, keepdim = kwargs.pop("axis", dim), kwargs.pop("keepdims", kwargs.pop("keep_dims", keepdim))
    if kwargs:
        wrong = next(iter(kwargs))
        raise _errors.TypeError(f"[sum] there is no argument {wrong!r}{_hints.close(wrong, ('axis', 'dim', 'keepdims', 'dtype'))}")
    return _table.sum(input, _axes(dim), bool(keepdim), dtype)


def reduce_sum(x, axis=None, keep_dims=False):
    """The sum over axes (None: all)."""
    return _table.sum(x, _axes(axis), bool(keep_dims))


def _floating(x):
    """Integers and bools as float32."""
    return x.cast("float32") if x.dtype.name.startswith(("int", "uint", "bool")) else x


def std(input, axis=None, ddof=0, keepdims=False):
    """The standard deviation over axes, divided by n - ddof."""
    return _table.std(_floating(input), _axes(axis), bool(keepdims), int(ddof))


def var(input, axis=None, ddof=0, keepdims=False):
    """The variance over axes, divided by n - ddof."""
    return _table.var(_floating(input), _axes(axis), bool(keepdims), int(ddof))


def max(input, axis=None, keepdims=False, *, initial=None, where=None):
    """(largest values, their places) along an axis; without one of all, and 0."""
    input = _chosen("max", input, initial, where, True)
    if axis is None:
        return _table.max(input), Tensor(0, "int64")
    return _table.max(input, (axis,), bool(keepdims)), _table.argmax(input, (axis,), bool(keepdims))


def min(input, axis=None, keepdims=False, *, initial=None, where=None):
    """(smallest values, their places) along an axis; without one of all, and 0."""
    input = _chosen("min", input, initial, where, False)
    if axis is None:
        return _table.min(input), Tensor(0, "int64")
    return _table.min(input, (axis,), bool(keepdims)), _table.argmin(input, (axis,), bool(keepdims))


def argmax(input, dim=None, keepdim=False):
    """The place of the largest along a dimension (None: of all)."""
    return _table.argmax(input.reshape(-1)) if dim is None else _table.argmax(input, (dim,), bool(keepdim))


def argmin(input, axis=None, keepdims=False):
    """The place of the smallest along an axis (None: of all), int32 as in MindSpore."""
    places = _table.argmin(input.reshape(-1)) if axis is None else _table.argmin(input, (axis,), bool(keepdims))
    return places.cast("int32")


def argmax_with_value(x, axis=0, keep_dims=False):
    """(place, value) of the largest."""
    return _table.argmax(x, (axis,), bool(keep_dims)), _table.max(x, (axis,), bool(keep_dims))


def cumsum(x, axis, dtype=None):
    """Running sums along an axis."""
    return _table.cumsum(x if dtype is None else x.cast(dtype), axis=axis).cast(x.dtype if dtype is None else dtype)


def count_nonzero(x=None, axis=(), keep_dims=False, dtype="int32", *, input=None, dim=None):
    """How many are not zero; also by the names input and dim."""
    x, axis = input if x is None else x, axis if dim is None else dim
    return _table.sum((x != 0).cast("int64"), _axes(axis), bool(keep_dims)).cast(dtype)


def topk(input, k, dim=None, largest=True, sorted=True):
    """(the k largest along a dimension, their places)"""
    values, indices = _table.topk(input, k, -1 if dim is None else dim, bool(largest))
    return values, indices.cast("int32")


def sort(input_x, axis=-1, descending=False):
    """(sorted values, their places in int32)"""
    values, places = _table.sort(input_x, axis, bool(descending))
    return values, places.cast("int32")


def argsort(input, axis=-1, descending=False):
    """The order that sorts, int32."""
    return _table.sort(input, axis, bool(descending))[1].cast("int32")


def frac(input):
    """What follows the point; zeros of integers."""
    return input * 0 if input.dtype.name.startswith(("int", "uint")) else _table.frac(input)


def trace(input):
    """The sum of a matrix's diagonal, in its dtype."""
    y = _table.trace(input)
    return y.cast(input.dtype) if input.dtype.name.startswith(("int", "uint")) else y


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n not in _imported]
