# SPDX-License-Identifier: Apache-2.0
"""MindSpore's further names of functions, and its small functions of one line."""

from rutile._rutile import Parameter, Tensor
from rutile._rutile import ops as _table
from rutile.ops.function import arithmetic as _a
from rutile.ops.function import arrange as _r
from rutile.ops.function import creation as _c
from rutile.ops.function import network as _n
from rutile.ops.function import selection as _s
from rutile.ops.function import spatial as _p
from rutile.ops.function import statistics as _t
from rutile.ops.function._util import _errors, _tensor

_imported = set(globals())

tensor_add, tensor_sub, tensor_mul, tensor_muls = _table.add, _table.sub, _table.mul, _table.mul
tensor_pow, pows, tensor_exp, tensor_expm1 = _table.pow, _table.pow, _table.exp, _table.expm1
tensor_floordiv, floordiv, floormod, tensor_mod = _table.floor_div, _table.floor_div, _table.remainder, _table.remainder
tensor_ge, tensor_gt, tensor_le, tensor_lt = _table.greater_equal, _table.greater, _table.less_equal, _table.less
truncate_div, truncate_mod, invert = _table.trunc_div, _table.fmod, _table.bitwise_not
inv, matrix_determinant, log_matrix_determinant = _table.reciprocal, _table.det, _table.slogdet
bessel_i0, bessel_i0e, bessel_i1, bessel_i1e = _table.i0, _table.i0e, _table.i1, _table.i1e
tensor_range, float_power_ext = _c.range, _table.float_power
einsum_ext, baddbmm_ext, mse_loss_ext = _s.einsum, _s.baddbmm, _n.mse_loss
adaptive_avg_pool2d_ext, soft_shrink = _n.adaptive_avg_pool2d, _n.softshrink


def tensor_slice(input, begin, size):
    """A part from `begin` of a size; -1: all that follows."""
    return _table.slice(input, tuple(begin), tuple(n if s == -1 else b + s for b, s, n in zip(begin, size, input.shape)))


def shape_(x):
    """The shape as a tuple."""
    return x.shape


def isnan_ext(tensor):
    """Which elements are NaN."""
    return _table.isnan(tensor)


def shape_mul(input_data):
    """The product of the numbers of a shape."""
    total = 1
    for n in input_data:
        total *= n
    return total


def dyn_shape(input_x):
    """The shape as an int64 Tensor."""
    return Tensor(list(input_x.shape), "int64")


def addn(x):
    """The sum of several tensors."""
    tensors = [x] if isinstance(x, Tensor) else list(x)
    if not tensors:
        raise _errors.ValueError("addn: needs at least one tensor")
    total = _tensor(tensors[0])
    for t in tensors[1:]:
        total = total + t
    return total


accumulate_n = addn


def hyper_add(x, y):
    """The sums of the leaves of two structures of tuples."""
    if isinstance(x, (tuple, list)):
        return tuple(hyper_add(a, b) for a, b in zip(x, y))
    return x + y


def positive(input):
    """input"""
    return input


def sgn(input):
    """-1, 0 or 1; of complex numbers z / |z|."""
    if not str(input.dtype.name).startswith("complex"):
        return _table.sign(input)
    size = _table.abs(input)
    return input / _table.where(size == 0, _table.full((), 1, size.dtype), size)


def fmax(input, other):
    """The larger one; a number beside NaN is taken."""
    input, other = _tensor(input), _tensor(other)
    y = _table.maximum(input, other)
    return _table.where(_table.isnan(input), other.cast(y.dtype), _table.where(_table.isnan(other), input.cast(y.dtype), y))


def fmin(input, other):
    """The smaller one; a number beside NaN is taken."""
    input, other = _tensor(input), _tensor(other)
    y = _table.minimum(input, other)
    return _table.where(_table.isnan(input), other.cast(y.dtype), _table.where(_table.isnan(other), input.cast(y.dtype), y))


def xdivy(x, y):
    """x / y, zero where x is zero, whatever y is."""
    x, y = _tensor(x), _tensor(y)
    zero = x == 0
    safe = _table.where(_table.logical_and(zero, y == 0), _table.full((), 1, y.dtype), y)
    quotient = _table.div(x, safe)
    return _table.where(zero, _table.full((), 0, quotient.dtype), quotient)


def approximate_equal(x, y, tolerance=1e-5):
    """|x - y| < tolerance"""
    return _table.abs(x - y) < tolerance


def population_count(input_x):
    """How many bits of each integer are 1, uint8."""
    if input_x.dtype.name not in ("int16", "uint16", "int8", "uint8", "int32", "int64", "uint32", "uint64"):
        raise _errors.TypeError(f"population_count: expects integers, got {input_x.dtype}")
    return sum((_table.bitwise_and(_table.bitwise_right_shift(input_x, Tensor(i, input_x.dtype)), Tensor(1, input_x.dtype))
                for i in range(1, 8 * input_x.dtype.itemsize)), _table.bitwise_and(input_x, Tensor(1, input_x.dtype))).cast("uint8")


def eps(x):
    """The distance from 1 to the next number of x's dtype, in x's shape."""
    sizes = {"float16": 2.0 ** -10, "bfloat16": 2.0 ** -7, "float32": 2.0 ** -23, "float64": 2.0 ** -52}
    if x.dtype.name not in sizes:
        raise _errors.TypeError(f"eps: expects floats, got {x.dtype}")
    return _table.full(x.shape, sizes[x.dtype.name], x.dtype)


def mvlgamma(input, p):
    """The logarithm of the multivariate gamma function of dimension p; every element is above (p - 1) / 2."""
    import math
    if not isinstance(p, int) or isinstance(p, bool) or p < 1:
        raise _errors.ValueError(f"mvlgamma: p is a positive int, got {p!r}")
    terms = (_table.lgamma(input - j / 2) for j in range(p))
    return sum(terms, _table.full((), p * (p - 1) / 4 * math.log(math.pi), input.dtype))


def mixed_precision_cast(dst_dtype, x):
    """Floating tensors of nested tuples, lists and dicts in another dtype, the rest as it is."""
    if isinstance(x, Tensor):
        return x.cast(dst_dtype) if x.dtype.name.startswith(("float", "bfloat")) else x
    if isinstance(x, (tuple, list)):
        return type(x)(mixed_precision_cast(dst_dtype, v) for v in x)
    return {k: mixed_precision_cast(dst_dtype, v) for k, v in x.items()} if isinstance(x, dict) else x


def move_to(input, to="CPU", blocking=True):
    """The tensor in the memory of a device: "CPU", "GPU" or "GPU:1"; differentiable.

    blocking: waits until the copy is there. A RuntimeError where the device cannot be used.

    >>> import rutile
    >>> rutile.ops.move_to(rutile.Tensor([1.0, 2.0]), "CPU").device
    'CPU'
    """
    from rutile import _rutile
    from rutile.context import _device_name
    name = _device_name(to)
    moved = _rutile._move_to(input, name)
    if blocking and name != "cpu":
        _rutile._synchronize(name)
    return moved


def fast_gelu(x):
    """x / (1 + exp(-1.702 |x|)) * exp(0.851 (x - |x|))"""
    size = _table.abs(x)
    return x / (1 + _table.exp(size * -1.702)) * _table.exp((x - size) * 0.851)


def print_(*input_x):
    """Prints values, one below the other, those of a compiled function after each of its runs."""
    from rutile.nn import _prints

    def show(*values):
        print(*(repr(v) if isinstance(v, Tensor) else v for v in values), sep="\n")
    values = [_table.stop_gradient(v) if isinstance(v, Parameter) else v for v in input_x]
    _prints.in_each_run(show, values, lambda v: repr(v) if isinstance(v, Tensor) else str(v))


def tensordump(file_name, tensor, mode="out"):
    """Writes a tensor to file_name_<number>.npy, counting up; eager functions only."""
    import itertools
    import os
    import numpy as np
    if mode not in ("out", "in", "all"):
        raise _errors.ValueError(f"tensordump: mode is 'out', 'in' or 'all', got {mode!r}")
    stem = file_name[:-4] if file_name.endswith(".npy") else file_name
    name = next(n for n in (f"{stem}_{i}.npy" for i in itertools.count()) if not os.path.exists(n))
    np.save(name, tensor.asnumpy())


def constexpr(fn=None, get_instance=True, name=None, reuse_result=True, check=True):
    """Decorates a function of plain values; it runs while a function is traced, as any Python does."""
    return (lambda f: f) if fn is None else fn


def add_flags(fn=None, **flags):
    """Gives a function or Cell the flags as attributes."""
    def add(f):
        for key, value in flags.items():
            setattr(f, key, value)
        return f

    return add if fn is None else add(fn)


def prim_attr_register(fn):
    """Decorates __init__ of a primitive: its arguments become attributes."""
    import functools
    import inspect

    @functools.wraps(fn)
    def init(self, *args, **kwargs):
        from rutile.ops.operations import Primitive
        Primitive.__init__(self)
        bound = inspect.signature(fn).bind(self, *args, **kwargs)
        bound.apply_defaults()
        for key, value in list(bound.arguments.items())[1:]:
            setattr(self, key, value)
        return fn(self, *args, **kwargs)

    return init


def prim_arg_register(fn):
    """Decorates __init__ of a primitive; its arguments are kept by itself."""
    return fn


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n not in _imported]
