# SPDX-License-Identifier: Apache-2.0
"""Functions under PyTorch's names and arguments, as mindspore.mint has them: those of rutile.ops where they agree.

>>> from rutile import mint
>>> mint.sum(mint.ones((2, 3)), dim=1, keepdim=True).asnumpy().tolist()
[[3.0], [3.0]]
"""

import builtins as _b
import inspect as _inspect

from rutile import _rutile
from rutile import ops as _ops
from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops.function._util import _drawn

_errors = _rutile.errors

# The function of ops of the same name, which may call dim axis, keepdim keepdims or keep_dims.
_SAME = """
abs absolute acos acosh addbmm addcdiv addcmul addmm addmv all allclose amax amin any arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax asin
asinh atan atan2 atanh baddbmm bincount bitwise_and bitwise_not bitwise_or bitwise_xor bmm broadcast_to ceil chunk clamp clip concat cos cosh cross cummax
cumprod cumsum deepcopy diff div divide dot einsum eq equal erf erfc erfinv exp exp2 expm1 eye flip float_power floor floor_divide fmod frac full full_like gcd ge
greater greater_equal gt histc index_select inverse isclose isfinite isinf isnan isneginf le less less_equal lerp log log10 log1p log2 logaddexp logaddexp2
logical_and logical_not logical_or logical_xor logsumexp lt masked_select matmul maximum mean meshgrid minimum mm mul mv nan_to_num nansum narrow ne neg negative
nonzero not_equal ones ones_like outer permute pow prod ravel reciprocal remainder reshape roll rsqrt scatter_add searchsorted sigmoid
sign sin sinc sinh split sqrt square squeeze stack swapaxes t tan tanh tile topk tril triu trunc unbind unique_consecutive unsqueeze where xlogy zeros
zeros_like conv2d kthvalue round softmax real imag polar cdist
""".split()
_TWINS = {"dim": ("axis", "dims", "axes"), "keepdim": ("keepdims", "keep_dims"), "dims": ("axis", "dim"), "correction": ("ddof",), "size": ("shape",),
          "other": ("y", "vec2", "input2"), "input": ("x", "input_x"), "tensors": ("inputs",)}


def _renamed(name, function):
    names = set(_inspect.signature(function).parameters)

    def call(*args, **kwargs):
        for key in list(kwargs):
            if key not in names:
                twin = next((n for n in _TWINS.get(key, ()) if n in names), None)
                if twin:
                    kwargs[twin] = kwargs.pop(key)
        return function(*args, **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = (function.__doc__ or name).split("--\n\n")[-1]
    return call


for _name in _SAME:
    if hasattr(_ops, _name):
        globals()[_name] = _renamed(_name, getattr(_ops, _name))
cat = globals()["concat"]
fix = globals()["trunc"]


def arange(start=0, end=None, step=1, *, dtype=None):
    """start, start + step, ... below end; one argument is the end."""
    return _ops.arange(start, end, step, dtype=dtype)


def linspace(start, end, steps, *, dtype=None):
    """`steps` numbers from start to end."""
    y = _ops.linspace(start, end, steps)
    return y if dtype is None else y.cast(dtype)


def flatten(input, start_dim=0, end_dim=-1):
    """Dimensions start_dim to end_dim as one."""
    n = _b.max(input.ndim, 1)
    if start_dim % n > end_dim % n:
        raise _errors.ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    return _ops.flatten(input, start_dim=start_dim, end_dim=end_dim)


def sub(input, other, *, alpha=1):
    """input - alpha * other"""
    return _table.sub(input, other if alpha == 1 else other * alpha)


def addr_(input, vec1, vec2, *, beta=1, alpha=1):
    """beta * input + alpha * the outer product of two vectors, written into the tensor."""
    y = _ops.addr(input, vec1, vec2, beta=beta, alpha=alpha)
    return input._rebind(y.cast(input.dtype))


def clone(input):
    """A Tensor of the same value."""
    return input.copy()


def empty(*size, dtype=None, device=None):
    """A tensor whose values do not matter: zeros."""
    return _ops.zeros(size[0] if len(size) == 1 and not isinstance(size[0], int) else size, dtype)


def empty_like(input, *, dtype=None, device=None):
    """A tensor like another whose values do not matter: zeros."""
    return _ops.zeros_like(input, dtype=dtype)


def sum(input, dim=None, keepdim=False, *, dtype=None):
    """The sum over dimensions (None: all)."""
    return _ops.sum(input, dim, keepdim, dtype=dtype)


def _extreme(name, pick, places, join):
    def function(input, dim=None, keepdim=False):
        if dim is None:
            return pick(input)
        if isinstance(dim, Tensor):
            return join(input, dim)
        return pick(input, (dim,), _b.bool(keepdim)), places(input, (dim,), _b.bool(keepdim))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The {name} of all; with a dimension (values, places); with another tensor by element."
    return function


max = _extreme("max", _table.max, _table.argmax, _table.maximum)
min = _extreme("min", _table.min, _table.argmin, _table.minimum)


def argmin(input, dim=None, keepdim=False):
    """The place of the smallest along a dimension (None: of all)."""
    return _table.argmin(input.reshape(-1)) if dim is None else _table.argmin(input, (dim,), _b.bool(keepdim))


def argsort(input, dim=-1, descending=False, stable=False):
    """The order that sorts; equal elements keep theirs."""
    return _table.sort(input, dim, _b.bool(descending))[1]


def sort(input, *, dim=-1, descending=False, stable=False):
    """(sorted values, their places); equal elements keep their order."""
    return tuple(_table.sort(input, dim, _b.bool(descending)))


def cummin(input, dim):
    """(running minimum, its place)"""
    return tuple(_table.cummin(input, axis=dim))


def median(input, dim=None, keepdim=False):
    """The middle element; with a dimension (values, places)."""
    return _ops.median(input.reshape(-1), 0)[0] if dim is None else _ops.median(input, dim, keepdim)


def std(input, dim=None, *, correction=1, keepdim=False):
    """The standard deviation over dimensions, divided by n - correction."""
    return _ops.std(input, dim, correction, keepdim)


def var(input, dim=None, *, correction=1, keepdim=False):
    """The variance over dimensions, divided by n - correction."""
    return _ops.var(input, dim, correction, keepdim)


def std_mean(input, dim=None, *, correction=1, keepdim=False):
    """(standard deviation, mean)"""
    return std(input, dim, correction=correction, keepdim=keepdim), globals()["mean"](input, dim, keepdim)


def var_mean(input, dim=None, *, correction=1, keepdim=False):
    """(variance, mean)"""
    return var(input, dim, correction=correction, keepdim=keepdim), globals()["mean"](input, dim, keepdim)


def norm(input, p="fro", dim=None, keepdim=False, *, dtype=None):
    """The p-norm over dimensions (None: of all elements)."""
    x = input if dtype is None else input.cast(dtype)
    return _table.vector_norm(x, 2.0 if p == "fro" else float(p), () if dim is None else (dim,) if isinstance(dim, int) else tuple(dim), _b.bool(keepdim))


def gather(input, dim, index):
    """One element for each index along a dimension."""
    return _ops.gather_elements(input, dim, index)


def scatter(input, dim, index, src):
    """src put along a dimension at the places of index."""
    return _ops.scatter(input, dim, index, src)


def index_add(input, dim, index, source, *, alpha=1):
    """input with source added to the slices of index along a dimension."""
    return _ops.index_add(input, index, source if alpha == 1 else source * alpha, dim)


def select(input, dim, index):
    """One entry of a dimension."""
    return input.select(dim, index)


def take(input, index):
    """Elements by their places in row-major order."""
    return _ops.take(input, index)


def transpose(input, dim0, dim1):
    """Two dimensions exchanged."""
    return _ops.swapaxes(input, dim0, dim1)


def count_nonzero(input, dim=None):
    """How many are not zero."""
    return _table.sum((input != 0).cast("int64"), () if dim is None else (dim,) if isinstance(dim, int) else tuple(dim), False)


def diag(input, diagonal=0):
    """A matrix's diagonal, or a matrix from one."""
    return _table.diag(input, offset=diagonal)


def trace(input):
    """The sum of a matrix's diagonal."""
    return _table.trace(input)


def dstack(tensors):
    """Joined along the third dimension."""
    return _ops.dstack(tensors)


def hstack(tensors):
    """Joined along the second dimension, vectors along the first."""
    return _ops.hstack(tensors)


def add(input, other, *, alpha=1):
    """input + alpha * other"""
    return _table.add(input, other if alpha == 1 else other * alpha)


def repeat_interleave(input, repeats, dim=None, *, output_size=None):
    """Each entry along a dimension several times in a row; without one, of the flat tensor."""
    out = _ops.repeat_interleave(input, repeats, dim)
    if output_size is not None and out.shape[0 if dim is None else dim] != output_size:
        raise _errors.ValueError(f"repeat_interleave: the result has {out.shape[0 if dim is None else dim]} entries, not "
                                 f"{output_size}")
    return out


def cumsum(input, dim, dtype=None):
    """Running sums along a dimension; those of integers are int64."""
    return _table.cumsum(input, axis=dim) if dtype is None else _table.cumsum(input.cast(dtype), axis=dim).cast(dtype)


def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The distinct elements in order, where each stands, and how often each comes."""
    if dim is not None:
        raise _errors.UnsupportedError("unique: dim is not supported")
    out = _ops.unique(input, return_inverse=_b.bool(return_inverse), return_counts=return_counts)
    return (out[0], out[1].reshape(input.shape), *out[2:]) if return_inverse else out


def bernoulli(input, *, generator=None):
    """1 with the probability of each element, else 0."""
    return _ops.bernoulli_ext(input, generator=generator)


def multinomial(input, num_samples, replacement=False, *, generator=None):
    """Classes drawn by the weights of each row, int64."""
    return _drawn(_table.multinomial, generator, input, num_samples, _b.bool(replacement))


def normal(mean=0.0, std=1.0, size=None, generator=None):
    """Normal numbers around mean; of a size, or of the shape of mean and std."""
    shape = size if size is not None else (mean * 0 + std).shape
    return randn(tuple(shape), generator=generator) * std + mean


def _sizes(size):
    return tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size


def rand(*size, generator=None, dtype=None, device=None):
    """Uniform numbers in [0, 1)."""
    return _drawn(_table.random_uniform, generator, _sizes(size), 0.0, 1.0, dtype or "float32")


def randn(*size, generator=None, dtype=None, device=None):
    """Standard normal numbers."""
    return _drawn(_table.random_normal, generator, _sizes(size), 0.0, 1.0, dtype or "float32")


def rand_like(input, *, dtype=None, device=None):
    """Uniform numbers in another's shape."""
    return rand(input.shape, dtype=dtype or input.dtype)


def randn_like(input, *, dtype=None, device=None):
    """Standard normal numbers in another's shape."""
    return randn(input.shape, dtype=dtype or input.dtype)


def randint(*args, generator=None, dtype=None, device=None):
    """randint([low,] high, size): integers in [low, high)."""
    low, high, size = args if len(args) == 3 else (0, *args)
    return _drawn(_table.random_randint, generator, tuple(size), low, high, "int64").cast(dtype or "int64")


def randint_like(input, *args, dtype=None, device=None):
    """randint_like(input, [low,] high): integers in another's shape."""
    low, high = args if len(args) == 2 else (0, *args)
    return _ops.randint_like(input, low, high, dtype=dtype)


def randperm(n, *, generator=None, dtype=None):
    """A random order of 0 ... n - 1."""
    return _drawn(_table.randperm, generator, n, "int64").cast(dtype or "int64")


def triangular_solve(b, A, upper=True, transpose=False, unitriangular=False):
    """(X with A X = b, A)"""
    return b.triangular_solve(A, upper, transpose, unitriangular)


def vdot(input, other):
    """The product of two vectors."""
    return _ops.dot(input, other)


def npu_gelu(input, approximate="none"):
    """gelu"""
    return _ops.gelu(input, approximate)


def item(input):
    """The single element as a Python number."""
    return input.item()


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n != "Tensor"] + ["linalg", "nn", "optim", "special"]

from rutile.mint import linalg, nn, optim, special  # noqa: E402,F401
