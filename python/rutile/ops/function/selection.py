# SPDX-License-Identifier: Apache-2.0
"""Choosing, counting, drawing and combining: what takes other arguments than its op, or is made of several."""

from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops.function._util import _axes, _axis, _errors, _tensor
from rutile.ops.function.arrange import meshgrid
from rutile.ops.function.drawn import _seeded

_imported = set(globals())


# ---- Sums over names

def _letter(number):
    if not isinstance(number, int) or not 0 <= number < 52:
        raise _errors.ValueError(f"einsum: a dimension's number is 0 to 51, got {number!r}")
    return chr(number + 65 if number < 26 else number + 71)


def einsum(equation, *operands):
    """Einstein's summation: einsum("ij,jk->ik", a, b), or by numbers for letters: einsum(a, [0, 1], b, [1, 2], [0, 2])."""
    if not isinstance(equation, str):
        rest = (equation, *operands)
        terms = ["".join("..." if n is ... else _letter(n) for n in term) for term in (*rest[1::2], *rest[-1:][:len(rest) % 2])]
        pairs = len(rest) // 2
        equation, operands = ",".join(terms[:pairs]) + "".join("->" + out for out in terms[pairs:]), rest[:2 * pairs:2]
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = operands[0]
    return _table.einsum(list(operands), equation=equation)


def tensordot(x1, x2, axes=2):
    """The sum over pairs of axes: a number of the last and first ones, or (axes of x1, axes of x2)."""
    if isinstance(axes, int):
        axes = (tuple(range(-axes, 0)), tuple(range(axes)))
    return _table.tensordot(x1, x2, _axes(axes[0]), _axes(axes[1]))


def baddbmm(input, batch1, batch2, beta=1, alpha=1):
    """beta * input + alpha * (batch1 @ batch2)"""
    return _table.baddbmm(input, batch1, batch2, beta, alpha)


# ---- Comparing and measuring

def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether all elements are close."""
    return bool(_table.all(_table.isclose(input, other, rtol, atol, equal_nan)))


def var_mean(input, axis=None, ddof=0, keepdims=False):
    """(variance, mean) over axes."""
    axes = _axes(axis)
    return _table.var(input, axes, bool(keepdims), int(ddof)), _table.mean(input, axes, bool(keepdims))


def std_mean(input, axis=None, ddof=0, keepdims=False):
    """(standard deviation, mean) over axes."""
    axes = _axes(axis)
    return _table.std(input, axes, bool(keepdims), int(ddof)), _table.mean(input, axes, bool(keepdims))


def median(input, axis=-1, keepdims=False):
    """(middle elements along an axis, their places); axis None: of all."""
    return tuple(_table.median(input, _axes(axis), bool(keepdims)))


def nanmedian(input, axis=-1, keepdims=False):
    """As median, of the elements that are no NaN."""
    return tuple(_table.nanmedian(input, _axes(axis), bool(keepdims)))


def quantile(input, q, axis=None, keepdims=False, interpolation="linear"):
    """The quantiles q of each line, or of all."""
    q = q if isinstance(q, Tensor) else Tensor(q, input.dtype)
    return _table.quantile(input, q, _axes(axis), bool(keepdims), interpolation)


def nanquantile(input, q, axis=None, keepdims=False, interpolation="linear"):
    """As quantile, of the elements that are no NaN."""
    q = q if isinstance(q, Tensor) else Tensor(q, input.dtype)
    return _table.nanquantile(input, q, _axes(axis), bool(keepdims), interpolation)


# ---- Results whose size depends on values

def _unique(op, input, inverse, counts):
    values, places, counted, n = op(input)
    n = int(n)
    out = [values[:n]] + ([places] if inverse else []) + ([counted[:n]] if counts else [])
    return out[0] if len(out) == 1 else tuple(out)


def unique(input, sorted=True, return_inverse=None, return_counts=False):
    """(the distinct elements in the order in which they come, where each element stands). With return_inverse or
    return_counts given the elements in ascending order, followed by what they ask for."""
    if return_inverse is None and not return_counts:
        values, places = _unique(_table.unique, input, True, False)
        n, flat = values.size, _table.reshape(places, shape=(-1,))
        first = _table.scatter(_table.full(shape=(n,), value=flat.size, dtype="i64"), flat, _table.arange(stop=flat.size), axis=0, reduce="amin")
        order = _table.sort(first)[1]
        places = _table.gather(_table.scatter(order, order, _table.arange(stop=n), axis=0), places)
        return _table.gather(values, order, axis=0), places if input.dtype.name == "int64" else _table.cast(places, dtype="i32")
    return _unique(_table.unique, input, return_inverse, return_counts)


def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """The elements with equal neighbours taken together; along a dimension its slices."""
    if dim is not None:
        import numpy as np
        at = _axis(dim, input.ndim)
        x = np.moveaxis(input.asnumpy(), at, 0)
        new = np.ones(len(x), bool)
        new[1:] = (x[1:] != x[:-1]).reshape(len(x) - 1, -1).any(1)
        starts = np.flatnonzero(new)
        out = [_table.gather(input, Tensor(starts), axis=at)] + ([Tensor(np.cumsum(new) - 1)] if return_inverse else [])
        out += [Tensor(np.diff(np.append(starts, len(x))))] if return_counts else []
        return out[0] if len(out) == 1 else tuple(out)
    return _unique(_table.unique_consecutive, input, return_inverse, return_counts)


def masked_select(input, mask):
    """The elements where the mask is true."""
    values, n = _table.masked_select(input, mask)
    return values[:int(n)]


def bincount(input, weights=None, minlength=0):
    """How often each number from 0 on comes, in float32 as MindSpore counts, or the sums of their weights."""
    counts = _counted(input, weights, minlength)
    return counts if weights is not None else counts.cast("float32")


def _counted(input, weights=None, minlength=0):
    """bincount with whole numbers."""
    largest = int(_table.max(input)) if input.size else -1
    length = max(largest + 1, minlength)
    if largest >= 1 << 36:  # half a TiB of counts
        raise _errors.ValueError(f"bincount: number {largest} is too large to count")
    try:
        return _table.bincount(input, weights, length=length)
    except IndexError:
        raise _errors.ValueError("bincount: numbers must not be negative") from None


# ---- Arranging

def block_diag(*inputs):
    """Matrices along the diagonal of one."""
    return _table.block_diag(list(inputs))


def cartesian_prod(*inputs):
    """All tuples of elements of vectors."""
    if len(inputs) == 1:
        return inputs[0]
    columns = [g.reshape(-1, 1) for g in meshgrid(*inputs, indexing="ij")]
    return _table.concat(columns, axis=1)


def unflatten(input, axis, sizes):
    """One dimension as several, of which one may be -1."""
    at = _axis(axis, input.ndim)
    n, sizes = input.shape[at], list(sizes)
    if -1 in sizes:
        i, known = sizes.index(-1), 1
        for k in sizes[:i] + sizes[i + 1:]:
            known *= k
        sizes[i] = n // known if known else 0
    return input.reshape(*input.shape[:at], *sizes, *input.shape[at + 1:])


def tril_indices(row, col, offset=0, *, dtype="int64"):
    """Rows and columns of the lower triangle, [2, k]."""
    return _places(_table.tril(_table.full((row, col), True, "bool"), offset)).cast(dtype)


def triu_indices(row, col, offset=0, *, dtype="int64"):
    """Rows and columns of the upper triangle, [2, k]."""
    return _places(_table.triu(_table.full((row, col), True, "bool"), offset)).cast(dtype)


def _places(mask):
    rows, n = _table.nonzero(mask)
    return _table.contiguous(_table.transpose(rows[:int(n)], (1, 0)))


def index_put(input, indices, values, accumulate=False):
    """A copy with input[indices] = values, or with them added."""
    values = values if isinstance(values, Tensor) else Tensor(values, input.dtype)
    return _table.index_put(input, values, [_tensor(i) for i in indices], accumulate=bool(accumulate))


# ---- Random

def _channels(name, input, p, training, rank):
    if input.ndim not in (rank, rank - 1):
        raise _errors.ValueError(f"{name}: expects {rank - 1} or {rank} dimensions, got {input.ndim}")
    if not training or p <= 0:
        return input
    if input.ndim == rank:
        return _table.feature_dropout(input, p)
    return _table.feature_dropout(input.reshape(1, *input.shape), p).reshape(input.shape)


def dropout1d(input, p=0.5, training=True):
    """Whole channels of [n, c, l] set to zero."""
    return _channels("dropout1d", input, p, training, 3)


def dropout2d(input, p=0.5, training=True):
    """Whole channels of [n, c, h, w] set to zero."""
    return _channels("dropout2d", input, p, training, 4)


def dropout3d(input, p=0.5, training=True):
    """Whole channels of [n, c, d, h, w] set to zero."""
    return _channels("dropout3d", input, p, training, 5)


def alpha_dropout(input, p=0.5, training=True):
    """Dropout that keeps mean and deviation."""
    return _table.alpha_dropout(input, p) if training and p > 0 else input


def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False):
    """leaky_relu with a random slope for each element; without training with the mean slope."""
    return _table.rrelu(input, lower, upper) if training else _table.leaky_relu(input, (lower + upper) / 2)


def multinomial(input, num_samples, replacement=True, seed=None):
    """Classes drawn by weights, int32."""
    weights = input if input.dtype.name.startswith(("float", "bfloat")) else input.cast("float32")
    return _seeded(_table.multinomial, weights, num_samples, bool(replacement), seed=seed).cast("int32")


def random_categorical(logits, num_sample, seed=0, dtype="int64"):
    """Classes drawn by exp(logits)."""
    return _seeded(_table.multinomial, _table.softmax(logits), num_sample, seed=seed or None).cast(dtype)


def shuffle(x, seed=None):
    """The slices along the first dimension in random order."""
    return _table.gather(x, _seeded(_table.randperm, x.shape[0], seed=seed), axis=0) if x.ndim else x


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n not in _imported]
