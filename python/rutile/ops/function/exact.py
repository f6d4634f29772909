# SPDX-License-Identifier: Apache-2.0
"""Functions whose op of the table has other arguments, or another order of them."""

import builtins as _b
import math as _math

from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops.function._util import _axes, _axis, _errors, _tensor
from rutile.ops.function.creation import _positive, _shape
from rutile.ops.function.drawn import _seeded, _wide

_imported = set(globals())


# ---- Matrices

def qr(input, mode="reduced"):
    """(Q, R) with Q R = input; mode "reduced" or "complete"."""
    if mode not in ("reduced", "complete"):
        raise _errors.ValueError(f"qr: mode is 'reduced' or 'complete', got {mode!r}")
    return tuple(_table.qr(input, mode == "complete"))


def svd(input, full_matrices=False, compute_uv=True):
    """(s, u, v) with u diag(s) v' = input, s in falling order; without compute_uv s alone.

    >>> import rutile
    >>> rutile.ops.svd(rutile.Tensor([[3.0, 0.0], [0.0, 4.0]]), compute_uv=False).asnumpy().tolist()
    [4.0, 3.0]
    """
    if not compute_uv:
        return _table.svdvals(input)
    u, s, vh = _table.svd(input, bool(full_matrices))
    return s, u, _adjoint(vh)


def _adjoint(x):
    y = _table.transpose(x, (*_b.range(x.ndim - 2), x.ndim - 1, x.ndim - 2))
    return _table.conj(y) if x.dtype.name.startswith("complex") else y


def lstsq(input, A):
    """X that minimises |input @ X - A|, for input of full rank."""
    single = A.ndim == 1
    y = _table.lstsq(input, A.reshape(-1, 1) if single else A)
    y = y[0] if isinstance(y, tuple) else y
    return y


def lu_solve(b, LU_data, LU_pivots):
    """X with A X = b from A's factors in one matrix and its exchanges of rows, counted from 1."""
    return _table.lu_solve(LU_data, LU_pivots.cast("int32"), b)


def pinv(x, *, atol=None, rtol=None, hermitian=False):
    """The Moore-Penrose inverse; singular values up to max(atol, rtol * the largest) count as zero."""
    if atol is None and not isinstance(rtol, Tensor):
        return _table.pinv(x, -1.0 if rtol is None else float(rtol), bool(hermitian))
    u, s, vh = _table.svd(x, False)
    limit = _table.maximum(_limits(0.0 if atol is None else atol, s), _limits(0.0 if rtol is None else rtol, s) * s[..., :1]) if s.size else s
    kept = s > limit
    scale = _table.where(kept, 1 / _table.where(kept, s, _table.full((), 1, s.dtype)), _table.full((), 0, s.dtype))
    return _table.matmul(_adjoint(vh) * scale.cast(x.dtype).reshape(*s.shape[:-1], 1, s.shape[-1]), _adjoint(u))


def _limits(v, s):
    """A tolerance for all matrices, or one for each."""
    v = _tensor(v).cast(s.dtype)
    return v.reshape(*v.shape, 1) if v.ndim else v


def matrix_rank(A, tol=None, hermitian=False, *, atol=None, rtol=None):
    """How many singular values of matrices are larger than max(atol, rtol times the largest), i64; tolerances are numbers or tensors of one for each matrix."""
    atol = tol if atol is None else atol
    if not isinstance(atol, Tensor) and not isinstance(rtol, Tensor):
        return _table.matrix_rank(A, atol=0.0 if atol is None else float(atol), rtol=-1.0 if rtol is None else float(rtol), hermitian=bool(hermitian))
    s = _table.abs(_table.eigvalsh(A)) if hermitian else _table.svdvals(A)
    if not s.size:
        return _table.full(tuple(s.shape[:-1]), 0, "int64")
    if rtol is None:
        import numpy as np
        rtol = 0.0 if atol is not None else _b.max(A.shape[-2:]) * float(np.finfo(s.asnumpy().dtype).eps)
    limit = _table.maximum(_limits(0.0 if atol is None else atol, s), _limits(rtol, s) * _table.max(s, (-1,), True))
    return _table.sum((s > limit).cast("int64"), (-1,))


def inverse(input):
    """The inverse of square matrices."""
    return _table.inverse(input)


def cholesky_inverse(input_x, upper=False):
    """The inverse of A from its Cholesky factor."""
    return _table.cholesky_inverse(input_x, bool(upper))


def cholesky_solve(input, input2, upper=False):
    """X with A X = input from A's Cholesky factor input2."""
    return _table.cholesky_solve(input, input2, bool(upper))


def matrix_norm(A, ord="fro", axis=(-2, -1), keepdims=False, *, dtype=None):
    """The norm of matrices over two axes: "fro", "nuc", inf, -inf, 1, -1, 2 or -2."""
    if not isinstance(axis, (tuple, list)) or len(axis) != 2:
        raise _errors.ValueError(f"matrix_norm: axis is two dimensions, got {axis!r}")
    A = A if dtype is None else A.cast(dtype)
    a, b = (_axis(v, A.ndim) for v in axis)
    if a == b:
        raise _errors.ValueError(f"matrix_norm: the axes {tuple(axis)} are the same")
    rest = [i for i in _b.range(A.ndim) if i not in (a, b)]
    y = _table.matrix_norm(_table.transpose(A, (*rest, a, b)), ord if isinstance(ord, str) else _order(ord))
    return y.reshape(tuple(1 if i in (a, b) else n for i, n in enumerate(A.shape))) if keepdims else y


def _order(ord):
    if ord in (_math.inf, -_math.inf):
        return "inf" if ord > 0 else "-inf"
    return str(int(ord)) if float(ord).is_integer() else str(ord)


def norm(A, ord=None, dim=None, keepdim=False, *, dtype=None):
    """The norm of vectors (one dim) or matrices (two); without ord the 2-norm of all over dim.

    >>> import rutile
    >>> x = rutile.Tensor([[3.0, -4.0], [0.0, 0.0]])
    >>> float(rutile.ops.norm(x)), rutile.ops.norm(x, 1, 1).asnumpy().tolist()
    (5.0, [7.0, 0.0])
    """
    A = A if dtype is None else A.cast(dtype)
    A = A.cast("float32") if A.dtype.name.startswith(("int", "uint")) else A
    if ord is None:
        return _table.norm(A, _axes(dim), bool(keepdim))
    axes = tuple(_axis(a, A.ndim) for a in _axes(dim))
    if len(axes) == 2 or (not axes and A.ndim == 2):
        return matrix_norm(A, ord, axes or (0, 1), keepdim)
    if isinstance(ord, str):
        raise _errors.ValueError(f"norm: {ord!r} is the norm of matrices, got {A.ndim} dimensions and dim={dim!r}")
    if len(axes) > 1 or (not axes and A.ndim != 1):
        raise _errors.ValueError(f"norm: ord={ord!r} is the norm of vectors or matrices, got {A.ndim} dimensions and dim={dim!r}")
    return _table.vector_norm(A, float(ord), axes, bool(keepdim))


def diag(input):
    """A vector as the diagonal of a matrix; a tensor of n dimensions as that of 2n: y[i.., i..] = input[i..].

    >>> import rutile
    >>> rutile.ops.diag(rutile.Tensor([1, 2])).asnumpy().tolist()
    [[1, 0], [0, 2]]
    """
    return _table.diag(input.reshape(-1)).reshape(*input.shape, *input.shape)


# ---- Elements

def polygamma(n, input):
    """The n-th derivative of digamma."""
    order = n.asnumpy().item() if isinstance(n, Tensor) else n
    if int(order) != order or order < 0:
        raise _errors.ValueError(f"polygamma: n is a whole number from 0 on, got {order}")
    return _table.polygamma(input, n=int(order))


def round(input, *, decimals=0):
    """To the nearest integer, half to even; to `decimals` digits."""
    if not decimals:
        return _table.round(input)
    if isinstance(decimals, bool) or not isinstance(decimals, int):
        raise _errors.TypeError(f"round: decimals is an int, got {decimals!r}")
    scale = 10.0 ** abs(decimals)
    return _table.round(input * scale) / scale if decimals > 0 else _table.round(input / scale) * scale


def softplus(input, beta=1, threshold=20):
    """log(1 + exp(beta * input)) / beta, the input itself where beta * input is above threshold."""
    if beta == 1 and threshold >= 20:  # log(1 + exp(20)) - 20 is below float32's rounding
        return _table.softplus(input)
    y = _table.softplus(input * float(beta)) / float(beta)
    return _table.where(input * float(beta) > float(threshold), input, y)


def threshold(input, thr, value):
    """The input where it is above thr, else value."""
    return _table.threshold(input, float(thr), float(value))


def stop_gradient(value):
    """value itself; no gradient flows through it."""
    if isinstance(value, (tuple, list)):
        return type(value)(stop_gradient(v) for v in value)
    return _table.stop_gradient(value) if isinstance(value, Tensor) else value


def diff_ext(input, n=1, dim=-1, prepend=None, append=None):
    """Differences of neighbours along a dimension, n times."""
    from rutile.ops.function.statistics import diff
    return diff(input, n, dim, prepend, append)


# ---- Places

def index_add(x, indices, y, axis, use_lock=True, check_index_bound=True):
    """x with the slices of y added at the indices along an axis; of a Parameter written into it."""
    from rutile._rutile import Parameter
    at = _axis(axis, x.ndim)
    order = (at, *(i for i in _b.range(x.ndim) if i != at))
    back = tuple(order.index(i) for i in _b.range(x.ndim))
    moved = _table.index_put(_table.transpose(x, order), _table.transpose(y, order), [indices.cast("int64")], accumulate=True)
    total = _table.transpose(moved, back)
    return x.set_data(total).value() if isinstance(x, Parameter) else total


def index_fill(x, axis, index, value):
    """x with the slices of index along an axis set to a value."""
    axis = int(axis.asnumpy()) if isinstance(axis, Tensor) else axis
    index = index if isinstance(index, Tensor) else Tensor(index, "int64")
    at = _axis(axis, x.ndim)
    hit = _table.any(index.reshape(-1, 1).cast("int64") % x.shape[at] == _table.arange(0, x.shape[at], 1, "int64"), (0,))
    shape = tuple(n if i == at else 1 for i, n in enumerate(x.shape))
    return _table.where(hit.reshape(shape), _tensor(value).cast(x.dtype), x)


# ---- Random numbers

def bernoulli(input, p=0.5, seed=None):
    """1 with probability p (a number or tensor like the input), else 0, in the input's dtype."""
    p = _tensor(p).cast("float32")
    return _seeded(_table.bernoulli, _table.broadcast_to(p, input.shape), seed=seed).cast(input.dtype)


def random_gamma(shape, alpha, seed=None):
    """Numbers of the gamma distribution, scale 1: [*shape, *alpha's shape]; alpha must not be negative."""
    alpha = _positive(_tensor(alpha), "random_gamma's alpha")
    return _seeded(_table.random_gamma, _table.broadcast_to(alpha, (*_shape(shape), *alpha.shape)), seed=seed)


def random_poisson(shape, rate, seed=None, dtype="float32"):
    """Whole numbers of Poisson's distribution: [*shape, *rate's shape]."""
    rate = _positive(_tensor(rate), "random_poisson's rate")
    return _seeded(_table.random_poisson, _table.broadcast_to(rate, (*_shape(shape), *rate.shape)), seed=seed).cast(dtype)


# ---- What primitives call

def _lu_solve(b, lu, pivots):
    return lu_solve(b, lu, pivots)


def _bucketize(input, boundaries):
    from rutile.ops.function.statistics import bucketize
    return bucketize(input, boundaries, right=True)


def _adaptive_max_pool2d(x, output_size):
    from rutile.ops.function.spatial import adaptive_max_pool2d
    if x.ndim == 3:
        return tuple(v.reshape(v.shape[1:]) for v in _adaptive_max_pool2d(x.reshape(1, *x.shape), output_size))
    y, places = adaptive_max_pool2d(x, output_size, True)
    return y, places.cast("int64")


def _adaptive_max_pool3d(x, output_size):
    from rutile.ops.function.spatial import adaptive_max_pool3d
    sizes = tuple(int(v) for v in output_size.asnumpy()) if isinstance(output_size, Tensor) else output_size
    single = x.ndim == 4
    y, places = adaptive_max_pool3d(x.reshape(1, *x.shape) if single else x, sizes, True)
    places = places.cast("int32")
    return (y.reshape(y.shape[1:]), places.reshape(places.shape[1:])) if single else (y, places)


def _im2col(x, **attributes):
    from rutile.ops.function.spatial import unfold
    y = unfold(x, **attributes)
    return y.reshape(x.shape[0], x.shape[1], y.shape[1] // x.shape[1], y.shape[2])


def _bincount(array, size, weights):
    n = int(size)
    inside = array.cast("int64") < n
    weights = weights if weights.size else _table.full(array.shape, 1, "int32")
    place = _table.where(inside, array.cast("int64"), _table.full((), n, "int64"))
    return _table.scatter_nd(place.reshape(-1, 1), weights.reshape(-1), shape=(n + 1,))[:n]


def _multi_margin_loss(x, target, weight=None, **attributes):
    from rutile.ops.function.spatial import multi_margin_loss
    return multi_margin_loss(x, target, weight=weight, **attributes)


def _triplet_margin_loss(x, positive, negative, margin, **attributes):
    if not isinstance(margin, Tensor):
        return _table.triplet_margin_loss(x, positive, negative, margin, **attributes)
    p, eps, reduction = attributes["p"], attributes["eps"], attributes["reduction"]
    if margin.size != 1:
        raise _errors.ValueError(f"[TripletMarginLoss] margin is one number, got the shape {margin.shape}")

    def apart(a, b):
        return _table.pairwise_distance(a, b, p=float(p), eps=float(eps))

    near, far = apart(x, positive), apart(x, negative)
    if attributes["swap"]:
        far = _table.minimum(far, apart(positive, negative))
    y = _table.relu(near - far + margin.reshape(()).cast(near.dtype))
    if reduction not in ("none", "sum", "mean"):
        raise _errors.ValueError(f"[TripletMarginLoss] reduction is 'mean', 'sum' or 'none', got {reduction!r}")
    return y if reduction == "none" else _table.sum(y) if reduction == "sum" else _table.mean(y)


def _logspace(start, end, steps=10, base=10, dtype="float32"):
    return _table.logspace(float(start), float(end), steps=steps, base=float(base)).cast(dtype)


def _split_v(x, size_splits, split_dim, num_split):
    from rutile.ops.function.arrange import split
    sizes = list(size_splits)
    if -1 in sizes:
        sizes[sizes.index(-1)] = x.shape[split_dim] - sum(sizes) - 1
    return split(x, sizes, split_dim)


def _select_view(x, index, axis):
    return x[(slice(None),) * _axis(axis, x.ndim) + (int(index),)]


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n not in _imported]
