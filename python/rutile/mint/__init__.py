# SPDX-License-Identifier: Apache-2.0
"""Functions under PyTorch's names and arguments, as mindspore.mint has them: those of rutile.ops where they agree.

>>> from rutile import mint
>>> mint.sum(mint.ones((2, 3)), dim=1, keepdim=True).asnumpy().tolist()
[[3.0], [3.0]]
"""

import builtins as _b
import inspect as _inspect
import math as _math

from rutile import _rutile
from rutile import ops as _ops
from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops.function import selection as _selection
from rutile.ops.function._util import _drawn

_errors = _rutile.errors

# The function of ops of the same name, which may call dim axis, keepdim keepdims or keep_dims.
_SAME = """
abs absolute acos acosh addbmm addcdiv addcmul addmm addmv all allclose amax amin any arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax asin
asinh atan atan2 atanh baddbmm bitwise_and bitwise_not bitwise_or bitwise_xor bmm broadcast_to ceil chunk clamp clip concat cos cosh cross cummax
cumprod cumsum deepcopy div divide dot einsum eq equal erf erfc erfinv exp exp2 expm1 eye float_power floor floor_divide fmod frac full full_like gcd ge
greater greater_equal gt histc inverse isclose isfinite isinf isnan isneginf le less less_equal lerp log log10 log1p log2 logaddexp logaddexp2
logical_and logical_not logical_or logical_xor logsumexp lt masked_select matmul maximum mean meshgrid minimum mm mul mv nan_to_num nansum narrow ne neg negative
not_equal ones ones_like outer permute pow prod ravel reciprocal remainder reshape roll rsqrt searchsorted sigmoid
sign sin sinc sinh split sqrt square stack swapaxes t tan tanh tile topk tril triu trunc unbind unique_consecutive unsqueeze where xlogy zeros
zeros_like conv2d kthvalue round softmax real imag polar
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
bincount = _renamed("bincount", _selection._counted)
cat = globals()["concat"]
fix = globals()["trunc"]


def arange(start=0, end=None, step=1, *, dtype=None):
    """start, start + step, ... below end; one argument is the end."""
    return _ops.arange(start, end, step, dtype=dtype)


def linspace(start, end, steps, *, dtype=None):
    """`steps` numbers from start to end; of integers rounded towards 0."""
    if isinstance(start, Tensor) or isinstance(end, Tensor):
        part = _table.linspace(0.0, 1.0, steps, "float64")
        return (part * (end - start) + start).cast(dtype or "float32")
    kind = str(dtype or "float32").lower()
    made = kind if "float" in kind else "float64"
    if isinstance(start, _b.complex) or isinstance(end, _b.complex) or "complex" in kind:
        part = _table.linspace(0.0, 1.0, steps, "float64")
        y = part * (_b.complex(end) - _b.complex(start)) + _b.complex(start)
        return y.cast(dtype or "complex64")
    return _table.linspace(float(start), float(end), steps, made).cast(dtype or "float32")


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


def sort(input, dim=-1, descending=False, *, stable=False):
    """(sorted values, their places); equal elements keep their order."""
    return tuple(_table.sort(input, dim, _b.bool(descending)))


def cummin(input, dim):
    """(running minimum, its place)"""
    return tuple(_table.cummin(input, axis=dim))


def median(input, dim=None, keepdim=False):
    """The middle element; with a dimension (values, places)."""
    return _ops.median(input.reshape(-1), 0)[0] if dim is None else _ops.median(input, dim, keepdim)


def _spread(root):
    def function(input, dim=None, unbiased=None, keepdim=False, *, correction=1):
        if isinstance(dim, _b.bool):
            dim, unbiased = None, dim
        correction = 1 if correction is None else correction
        correction = correction if unbiased is None else int(unbiased)
        axes = () if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
        whole = correction == int(correction)
        a = {"axes": axes, "keepdims": _b.bool(keepdim), "correction": int(correction) if whole else 0}
        y = (_table.std if root and whole else _table.var)(input, **a)
        if not whole:
            n = _math.prod(input.shape[d] for d in axes or range(input.ndim))
            left = n - correction
            y = y * (n / left if left > 0 else _math.inf)
        return _table.sqrt(y) if root and not whole else y

    function.__name__ = function.__qualname__ = "std" if root else "var"
    function.__doc__ = f"The {'standard deviation' if root else 'variance'} over dimensions (None: all), divided by n - correction."
    return function


std, var = _spread(True), _spread(False)


def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=1):
    """(standard deviation, mean)"""
    return std(input, dim, unbiased, keepdim, correction=correction), _mean_over(input, dim, keepdim)


def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=1):
    """(variance, mean)"""
    return var(input, dim, unbiased, keepdim, correction=correction), _mean_over(input, dim, keepdim)


def _mean_over(input, dim, keepdim):
    dim = None if isinstance(dim, _b.bool) else dim
    return _table.mean(input, () if dim is None else (dim,) if isinstance(dim, int) else tuple(dim), _b.bool(keepdim))


def norm(input, p="fro", dim=None, keepdim=False, *, dtype=None):
    """The p-norm over dimensions (None: of all elements)."""
    x = input if dtype is None else input.cast(dtype)
    if p == "nuc":
        return _ops.matrix_norm(x, "nuc", (0, 1) if dim is None else tuple(dim), keepdim)
    return _table.vector_norm(x, 2.0 if p == "fro" else float(p), () if dim is None else (dim,) if isinstance(dim, int) else tuple(dim), _b.bool(keepdim))


def gather(input, dim, index):
    """One element for each index along a dimension."""
    return _ops.gather_elements(input, dim, index)


def scatter(input, dim, index, src=None, *, value=None, reduce=None):
    """src (or value) put along a dimension at the places of index; reduce "add" or "multiply": joined with what is there."""
    src = value if src is None else src
    if reduce is None:
        return _ops.scatter(input, dim, index, src)
    if reduce not in ("add", "multiply"):
        raise _errors.ValueError(f'scatter: reduce is "add" or "multiply", got {reduce!r}')
    src = src if isinstance(src, Tensor) else _ops.full(index.shape, src, dtype=input.dtype)
    return _table.scatter(input, index, _leading(src, index.shape), axis=dim, reduce="add" if reduce == "add" else "mul")


def _leading(x, shape):
    """The part of x at its beginning."""
    return x if tuple(x.shape) == tuple(shape) else x[tuple(slice(0, n) for n in shape)]


def scatter_add(input, dim, index, src):
    """input with src added along a dimension at the places of index."""
    return _table.scatter_add(input, index, _leading(src, index.shape), axis=dim)


def index_select(input, dim, index):
    """The slices along a dimension that indices name."""
    y = _ops.index_select(input.reshape(1) if input.ndim == 0 else input, dim, index.reshape(-1))
    return y.reshape(()) if input.ndim == 0 else y


def nonzero(input, *, as_tuple=False):
    """The places of what is not zero, [n, dimensions]; as_tuple: one tensor for each dimension."""
    return _ops.nonzero(input.reshape(1) if input.ndim == 0 and as_tuple else input, as_tuple)


def squeeze(input, dim=()):
    """Without the dimensions of size 1: all (), or those of them that are named."""
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    for d in dims:
        if not -_b.max(input.ndim, 1) <= d < _b.max(input.ndim, 1):
            raise _errors.ValueError(f"squeeze: dim {d} is out of range for {input.ndim} dimensions")
    drop = {d % _b.max(input.ndim, 1) for d in dims} if dims else set(range(input.ndim))
    return input.reshape(tuple(n for i, n in enumerate(input.shape) if i not in drop or n != 1))


def flip(input, dims):
    """Reversed along dimensions; along none it is the input."""
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    return _ops.flip(input, dims) if dims else input


def diff(input, n=1, dim=-1, prepend=None, append=None):
    """Differences of neighbours along a dimension, n times; n = 0 is the input alone."""
    return input if n == 0 else _ops.diff(input, n, dim, prepend, append)


def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """The p-norm distances of all rows of x1 and x2, however they are computed best."""
    return _ops.cdist(x1, x2, p)


def index_add(input, dim, index, source, *, alpha=1):
    """input with source added to the slices of index along a dimension."""
    source = source if alpha == 1 else source * alpha
    if input.ndim == 0:
        return index_add(input.reshape(1), 0, index.reshape(-1), source.reshape(-1)).reshape(())
    if index.ndim == 0:
        index, source = index.reshape(1), source.reshape(tuple(1 if d == dim % input.ndim else n for d, n in enumerate(input.shape)))
    return _ops.index_add(input, index, source, dim)


def select(input, dim, index):
    """One entry of a dimension."""
    return input.select(dim, index)


def take(input, index):
    """Elements by their places in row-major order; negative ones count from the end, others are an IndexError."""
    return _table.gather(input.reshape(-1), index, axis=0)


def transpose(input, dim0, dim1):
    """Two dimensions exchanged."""
    return input if input.ndim == 0 and {dim0, dim1} <= {0, -1} else _ops.swapaxes(input, dim0, dim1)


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
        return _unique_slices(input, dim, return_inverse, return_counts)
    out = _ops.unique(input, return_inverse=_b.bool(return_inverse), return_counts=return_counts)
    return (out[0], out[1].reshape(input.shape), *out[2:]) if return_inverse else out


def _unique_slices(input, dim, return_inverse, return_counts):
    rows = _ops.movedim(input, dim, 0)
    width = _math.prod(rows.shape[1:])
    if width == 0 and rows.shape[0] != 0:
        raise _errors.ValueError(f"unique: slices of dimension {dim} of {input.shape} hold no elements")
    places, inverse, counts, n = _table.unique_rows(rows.reshape(rows.shape[0], width))
    values = _table.gather(input, places[:int(n)], axis=dim)
    kept = [values] + [inverse] * _b.bool(return_inverse) + [counts[:int(n)]] * _b.bool(return_counts)
    return kept[0] if len(kept) == 1 else tuple(kept)


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


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n != "Tensor"] + ["distributed", "linalg", "nn", "optim", "special"]

from rutile.mint import distributed, linalg, nn, optim, special  # noqa: E402,F401
