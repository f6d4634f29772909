# SPDX-License-Identifier: Apache-2.0
"""PyTorch's functions over ours: ADAPTERS[name] takes PyTorch's arguments and calls rutile.ops.table.

For torch_samples.py. Only names, orders of arguments and defaults are translated here: what is computed is ours.
"""

import functools
import math

import numpy as np
import torch
from rutile import Tensor, ops
from rutile.ops import table as t


class Unmapped(Exception):
    """A form of the call that ours does not have."""


def ints(v, n):
    return tuple(v) * (n if len(v) == 1 else 1) if isinstance(v, (list, tuple)) else (v,) * n


def axes_of(dim):
    return () if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)


def number(v, like):
    """A 0-d tensor of a Python number, in a tensor's dtype."""
    return v if isinstance(v, Tensor) else Tensor(v, like.dtype)


# ---- Elementwise -------------------------------------------------------------------------------------------------

def scaled(f, first=False):
    def call(x, y, *, alpha=1):
        x, y = (x * alpha, y) if first else (x, y * alpha if alpha != 1 else y)
        return f(y, x) if first else f(x, y)
    return call


def divide(x, y, *, rounding_mode=None):
    return {None: t.div, "floor": t.floor_div, "trunc": t.trunc_div}[rounding_mode](x, y)


def rounded(x, *, decimals=0):
    return t.round(x) if decimals == 0 else t.round(x * 10.0**decimals) / 10.0**decimals


def clamped(x, min=None, max=None):
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        return t.clamp(x, *(None if v is None else number(v, x) for v in (min, max)))
    return t.clip(x, **{k: v for k, v in (("min", min), ("max", max)) if v is not None})


def selected(cond, x, y):
    like = x if isinstance(x, Tensor) else y
    return t.where(cond, number(x, like), number(y, like))


# ---- Reductions and order ----------------------------------------------------------------------------------------

def extremum(reduce, place, pairwise):
    def call(x, *args, dim=None, keepdim=False, other=None):
        if args and isinstance(args[0], Tensor) or other is not None:
            return pairwise(x, args[0] if args else other)
        dim, keepdim = args[0] if args else dim, args[1] if len(args) > 1 else keepdim
        if dim is None:
            return reduce(x)
        if x.ndim == 0:
            return reduce(x), place(x)
        at = place(x, axes=(dim,), keepdims=True)
        value = t.take_along_axis(x, at, axis=dim)
        return (value, at) if keepdim else (ops.squeeze(value, dim), ops.squeeze(at, dim))
    return call


def spread(f, with_mean=False):
    def call(x, dim=None, unbiased=None, keepdim=False, *, correction=None):
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        correction = 1 if correction is None and unbiased is not False else correction or 0
        if correction != int(correction):
            raise Unmapped("a correction that is no integer")
        a = {"axes": axes_of(dim), "keepdims": keepdim}
        y = f(x, correction=int(correction), **a)
        return (y, t.mean(x, **a)) if with_mean else y
    return call


def middle(f):
    def call(x, dim=None, keepdim=False):
        y = f(x, axes=axes_of(dim), keepdims=keepdim)
        return y[0] if dim is None else y
    return call


def quantile(f):
    def call(x, q, dim=None, keepdim=False, *, interpolation="linear"):
        return f(x, number(q, x), axes=axes_of(dim), keepdims=keepdim, interpolation=interpolation)
    return call


def unique(x, sorted=True, return_inverse=False, return_counts=False, dim=None, consecutive=False):
    if dim is not None:
        rows = ops.movedim(x, dim, 0).reshape(x.shape[dim], math.prod(n for i, n in enumerate(x.shape) if i != dim % x.ndim))
        places, inverse, counts, n = t.unique_rows(rows, consecutive=consecutive)
        n = int(n)
        values = t.gather(x, t.slice(places, starts=(0,), ends=(n,)), axis=dim)
        kept = [values] + [inverse] * return_inverse + [t.slice(counts, starts=(0,), ends=(n,))] * return_counts
        return kept if len(kept) > 1 else kept[0]
    values, inverse, counts, n = (t.unique_consecutive if consecutive else t.unique)(x)
    n = int(n)
    out = [t.slice(values, starts=(0,), ends=(n,)), inverse, t.slice(counts, starts=(0,), ends=(n,))]
    kept = [out[0]] + [out[1]] * return_inverse + [out[2]] * return_counts
    return kept if len(kept) > 1 else kept[0]


def searchsorted(lines, values, *, out_int32=False, right=False, side=None, sorter=None):
    lines = lines if sorter is None else t.take_along_axis(lines, sorter, axis=-1)
    return t.searchsorted(lines, number(values, lines), right=right or side == "right", out_int32=out_int32)


def nonzero(x, *, as_tuple=False):
    if x.ndim == 0 and as_tuple:
        raise Unmapped("numbers")
    places, n = t.nonzero(x)
    places = t.slice(places, starts=(0, 0), ends=(int(n), x.ndim))
    return [select(places, 1, i) for i in range(x.ndim)] if as_tuple and x.ndim else places


def masked_select(x, mask):
    values, n = t.masked_select(x, mask)
    return t.slice(values, starts=(0,), ends=(int(n),))


def diff(x, n=1, dim=-1, prepend=None, append=None):
    parts = [v for v in (prepend, x, append) if v is not None] if n else [x]
    if any(p.ndim != x.ndim for p in parts):
        raise Unmapped("numbers to prepend or append")
    return t.diff(t.concat(parts, axis=dim) if len(parts) > 1 else x, n=n, axis=dim)


def bincount(x, weights=None, minlength=0):
    length = max(minlength, int(t.max(x)) + 1 if x.size else 0)
    return t.bincount(x, weights, length=length)


def histogram(x, bins=100, *, range=None, weight=None, density=False):
    if isinstance(bins, (list, tuple)):
        raise Unmapped("bins of several dimensions")
    if isinstance(bins, Tensor):
        return t.histogram(x, bins, weight, density=density)
    lo, hi = range or (0.0, 0.0)
    return t.histogram(x, None, weight, bins=bins, min=lo, max=hi, density=density)


def gradient(x, *, spacing=1, dim=None, edge_order=1):
    dims = list(range(x.ndim)) if dim is None else list(axes_of(dim))
    spacing = list(spacing) if isinstance(spacing, (list, tuple)) else [1 if spacing is None else spacing] * len(dims)
    out = []
    for d, h in zip(dims, spacing, strict=True):
        a = {"axis": d, "edge_order": edge_order}
        out.append(t.gradient(x, h, **a) if isinstance(h, Tensor) else t.gradient(x, spacing=h, **a))
    return out


# ---- Places ------------------------------------------------------------------------------------------------------

def along(f):
    return lambda x, dim, index, **_: f(x, index, axis=dim)


def scatter(x, dim, index, src=None, *, value=None, reduce=None):
    src = value if src is None else src
    src = src if isinstance(src, Tensor) else t.full(shape=index.shape, value=src, dtype=x.dtype)
    src = t.slice(src, starts=(0,) * index.ndim, ends=index.shape) if src.shape != index.shape else src
    return t.scatter(x, index, src, axis=dim, reduce={None: "none", "add": "add", "multiply": "mul"}[reduce])


def combined(f):
    def call(x, dim, index, src, reduce=None, *, include_self=True):
        if f is t.scatter_add:
            cut = t.slice(src, starts=(0,) * index.ndim, ends=index.shape) if index.ndim else src
            return f(x, index, cut, axis=dim)
        if index.ndim and f is t.scatter_reduce:
            src = t.slice(src, starts=(0,) * index.ndim, ends=index.shape)
        return f(x, index, src, axis=dim, reduce=reduce, include_self=include_self)
    return call


def index_add(x, dim, index, source, *, alpha=1):
    if x.ndim == 0 or index.ndim == 0:
        raise Unmapped("numbers")
    shape = [1] * x.ndim
    shape[dim] = index.size
    places = ops.broadcast_to(index.reshape(tuple(shape)), source.shape)
    return t.scatter_add(x, places, source * alpha if alpha != 1 else source, axis=dim)


def index_fill(x, dim, index, value):
    if x.ndim == 0 or index.ndim == 0 or isinstance(value, Tensor):
        raise Unmapped("numbers, or a value that is a tensor")
    return t.index_fill(x, index, axis=dim, value=value)


def take_along_dim(x, index, dim=None):
    if dim is None:
        x, index, dim = x.reshape(-1), index.reshape(-1), 0
    shape = list(np.broadcast_shapes(*(s[:dim] + (1,) + s[dim:][1:] for s in (x.shape, index.shape)))) if x.ndim else []
    d = dim % x.ndim

    def wide(v):
        return ops.broadcast_to(v, tuple(v.shape[d] if i == d else n for i, n in enumerate(shape)))
    return t.take_along_axis(wide(x), wide(index), axis=d)


def embedding_bag(table, ids, offsets=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, mode="mean", sparse=False,
                  per_sample_weights=None, include_last_offset=False, padding_idx=None):
    if max_norm is not None or scale_grad_by_freq or sparse:
        raise Unmapped("max_norm, scale_grad_by_freq, sparse")
    return t.embedding_bag(ids, table, offsets, per_sample_weights, mode=mode, include_last_offset=include_last_offset,
                           padding_idx=-1 if padding_idx is None else padding_idx % table.shape[0])


def embedding(table, ids, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    if max_norm is not None or scale_grad_by_freq or sparse:
        raise Unmapped("max_norm, scale_grad_by_freq, sparse")
    return t.embedding(ids, table, padding_idx=-1 if padding_idx is None else padding_idx % table.shape[0])


# ---- Shapes ------------------------------------------------------------------------------------------------------

def select(x, dim, index):
    return x[(slice(None),) * (dim % x.ndim) + (index,)]


def split(x, size, dim=0):
    n = x.shape[dim]
    sizes = list(size) if isinstance(size, (list, tuple)) else [size] * (n // size) + [n % size] * (n % size > 0)
    return t.split(x, sizes=sizes or [0], axis=dim)


def pad(x, pad, mode="constant", value=None):
    before, after = [0] * x.ndim, [0] * x.ndim
    for i in range(len(pad) // 2):
        before[-1 - i], after[-1 - i] = pad[2 * i], pad[2 * i + 1]
    if min(pad, default=0) < 0:
        x = t.slice(x, starts=tuple(max(0, -b) for b in before), ends=tuple(n + min(0, a) for n, a in zip(x.shape, after)))
        before, after = [max(0, b) for b in before], [max(0, a) for a in after]
    return t.pad(x, before=tuple(before), after=tuple(after), mode=mode, value=value or 0)


def reshaped(x, *shape):
    return ops.reshape(x, tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (list, tuple)) else shape)


def squeeze(x, dim=None):
    dims = [d for d in axes_of(dim) if x.ndim and x.shape[d] == 1] if dim is not None else None
    return ops.squeeze(x) if dim is None else ops.squeeze(x, tuple(dims)) if dims else x


# ---- Windows -----------------------------------------------------------------------------------------------------

def batched(n):
    """Calls with a batch dimension added where PyTorch takes one image."""
    def wrap(f):
        @functools.wraps(f)
        def call(x, *args, **kwargs):
            if x.ndim != n + 1:
                return f(x, *args, **kwargs)
            y = f(ops.expand_dims(x, 0), *args, **kwargs)
            return [ops.squeeze(v, 0) for v in y] if isinstance(y, (list, tuple)) else ops.squeeze(y, 0)
        return call
    return wrap


def scalar_or(v, n):
    return ints(v, n)[0] if n == 1 else ints(v, n)


def pooled(n, maximum):
    f = getattr(t, f"{'max' if maximum else 'avg'}_pool{n}d")

    def max_pool(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        y = f(x, kernel=scalar_or(kernel_size, n), stride=scalar_or(stride or 0, n), pad=scalar_or(padding, n),
              dilation=scalar_or(dilation, n), ceil_mode=ceil_mode)
        return list(y) if return_indices else y[0]

    def avg_pool(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
        more = {"divisor_override": divisor_override or 0} if n > 1 else {}
        return f(x, kernel=scalar_or(kernel_size, n), stride=scalar_or(stride or 0, n), pad=scalar_or(padding, n),
                 ceil_mode=ceil_mode, count_include_pad=count_include_pad, **more)
    return batched(n)(max_pool if maximum else avg_pool)


def adaptive(n, maximum):
    f = getattr(t, f"adaptive_{'max' if maximum else 'avg'}_pool{n}d")

    def call(x, output_size, return_indices=False):
        size = [x.shape[x.ndim - n + i] if s is None else s for i, s in enumerate(ints(output_size, n))]
        y = f(x, output_size=size[0] if n == 1 else size)
        return y if not maximum else list(y) if return_indices else y[0]
    return batched(n)(call)


def unpooled(n):
    f = getattr(t, f"max_unpool{n}d")

    @batched(n)
    def call(x, indices, kernel_size, stride=None, padding=0, output_size=None):
        indices = ops.expand_dims(indices, 0) if indices.ndim < x.ndim else indices
        return f(x, indices, kernel=scalar_or(kernel_size, n), stride=scalar_or(stride or 0, n), pad=scalar_or(padding, n),
                 output_size=tuple(output_size or ())[-n:])
    return call


def convolved(n, transposed=False):
    f = getattr(t, f"conv{'_transpose' if transposed else ''}{n}d")

    @batched(n)
    def forward(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        if isinstance(padding, str):
            total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(ints(dilation, n), weight.shape[2:])]
            zeros = (0, 0)
            x = t.pad(x, before=zeros + tuple(v // 2 for v in total), after=zeros + tuple(v - v // 2 for v in total))
            padding = 0
        return f(x, weight, bias, stride=scalar_or(stride, n), pad=scalar_or(padding, n), dilation=scalar_or(dilation, n), groups=groups)

    @batched(n)
    def backward(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        return f(x, weight, bias, stride=scalar_or(stride, n), pad=scalar_or(padding, n), dilation=scalar_or(dilation, n),
                 output_pad=scalar_or(output_padding, n), groups=groups)
    return backward if transposed else forward


def fractional(n):
    f = getattr(t, f"fractional_max_pool{n}d", None)

    def call(x, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
        if f is None or _random_samples is None:
            raise Unmapped("random numbers")
        if output_size is None:
            output_size = [int(s * r) for s, r in zip(x.shape[-n:], ints(output_ratio, n))]
        y = f(x, _random_samples, kernel=ints(kernel_size, n), output_size=ints(output_size, n))
        return list(y) if return_indices else y[0]
    return call


# ---- Norms, losses, attention ------------------------------------------------------------------------------------

def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    n = len(normalized_shape)
    if n > 1 and (weight is not None or bias is not None):
        weight, bias = (None if v is None else v.reshape(tuple(normalized_shape)) for v in (weight, bias))
    return t.layer_norm(x, weight, bias, axes=n, eps=eps)[0]


def rms_norm(x, normalized_shape, weight=None, eps=None):
    return t.rms_norm(x, weight, axes=len(normalized_shape), eps=np.finfo(np.float64).eps if eps is None else eps)[0]


def batch_norm(x, mean, var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    if training:
        return t.batch_norm(x, weight, bias, eps=eps)[0]
    return t.batch_norm_inference(x, mean, var, weight, bias, eps=eps)


def instance_norm(x, mean=None, var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5):
    if not use_input_stats:
        raise Unmapped("running statistics")
    return t.instance_norm(x, weight, bias, eps=eps)[0]


def cross_entropy(x, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean", label_smoothing=0.0):
    if target.dtype == x.dtype:
        return ops.cross_entropy(x, target, weight, ignore_index, reduction, label_smoothing)
    return t.cross_entropy(x, target, weight, label_smoothing=label_smoothing, ignore_index=ignore_index, reduction=reduction)[0]


def ctc_loss(x, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False):
    lengths = (v if isinstance(v, Tensor) else Tensor(np.asarray(v, np.int64)) for v in (input_lengths, target_lengths))
    return t.ctc_loss(x, targets, *lengths, blank=blank, reduction=reduction, zero_infinity=zero_infinity)


def attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    if dropout_p or q.ndim != 4:
        raise Unmapped("dropout, or another rank")
    if enable_gqa and k.shape[1] != q.shape[1]:
        raise Unmapped("groups of heads")
    a = {} if scale is None else {"scale": scale}
    return t.scaled_dot_product_attention(q, k, v, attn_mask, causal=is_causal, **a)[0]


def softplus(x, beta=1, threshold=20):
    scaled = x * beta
    return t.where(t.greater(scaled, number(threshold, x)), x, t.softplus(scaled) / beta)


# ---- Linear algebra ----------------------------------------------------------------------------------------------

def svd(x, some=True, compute_uv=True):
    u, s, vh = t.svd(x, full_matrices=not some)
    if not compute_uv:
        raise Unmapped("compute_uv=False")
    return u, s, ops.conj(ops.swapaxes(vh, -1, -2))


def solve_triangular(a, b, *, upper, left=True, unitriangular=False):
    if left:
        return t.solve_triangular(a, b, upper=upper, unitriangular=unitriangular)
    y = t.solve_triangular(a, ops.swapaxes(b, -1, -2), upper=upper, transpose=True, unitriangular=unitriangular)
    return ops.swapaxes(y, -1, -2)


def norm(x, p="fro", dim=None, keepdim=False, dtype=None):
    if isinstance(p, str) and p == "nuc":
        raise Unmapped("the nuclear norm over dimensions")
    return t.vector_norm(x, ord=2.0 if isinstance(p, str) or p is None else float(p), axes=axes_of(dim), keepdims=keepdim)


def matrix_norm(x, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None):
    x = ops.movedim(x, tuple(dim), (-2, -1))
    y = t.matrix_norm(x, ord=ord if isinstance(ord, str) else f"{ord:g}", keepdims=False)
    for d in sorted(d % x.ndim for d in dim) if keepdim else ():
        y = ops.expand_dims(y, d)
    return y


def lu_solve(lu, pivots, b, *, left=True, adjoint=False):
    if not left or adjoint:
        raise Unmapped("from the right, or transposed")
    return t.lu_solve(lu, pivots, b)


def pivoted(f):
    def call(x, pivot=True, get_infos=False, **_):
        if not pivot:
            raise Unmapped("no pivots")
        y = list(f(x))
        return y + [Tensor(np.zeros(x.shape[:-2], np.int32))] if get_infos else y
    return call


def renamed(f, order=None, drop=(), **names):
    """f with PyTorch's positional arguments `order`, keywords renamed, some dropped."""
    def call(x, *args, **kwargs):
        kwargs = {**dict(zip(order or (), args)), **kwargs} if order else kwargs
        kwargs = {names.get(k, k): v for k, v in kwargs.items() if k not in drop and v is not None}
        return f(x, **kwargs) if order else f(x, *args, **kwargs)
    return call


def special(name, ours=None):
    return {f"special.{name}": lambda *args: getattr(t, ours or name)(*args)}


def each(f):
    return lambda *xs: f(list(xs[0]) if len(xs) == 1 and isinstance(xs[0], (list, tuple)) else list(xs))


def reversed_binary(f):
    return lambda x, y: f(number(y, x), x)


ADAPTERS = {
    "add": scaled(t.add), "sub": scaled(t.sub), "rsub": scaled(t.sub, first=True), "div": divide, "round": rounded,
    "__radd__": reversed_binary(t.add), "__rsub__": reversed_binary(t.sub), "__rmul__": reversed_binary(t.mul),
    "__rdiv__": reversed_binary(t.div), "__rpow__": reversed_binary(t.pow), "__rmod__": reversed_binary(t.remainder),
    "__ror__": reversed_binary(t.bitwise_or), "__rxor__": reversed_binary(t.bitwise_xor), "__rmatmul__": lambda x, y: t.matmul(y, x),
    "clamp": clamped, "clamp_min": lambda x, v: clamped(x, min=v), "clamp_max": lambda x, v: clamped(x, max=v), "where": lambda x, cond, other: selected(cond, x, other),
    "positive": lambda x: x, "sgn": t.sign, "clone": lambda x, **_: t.contiguous(x), "isreal": lambda x: t.equal(x, x),
    "max": extremum(t.max, t.argmax, t.maximum), "min": extremum(t.min, t.argmin, t.minimum),
    "std": spread(t.std), "var": spread(t.var), "std_mean": spread(t.std, True), "var_mean": spread(t.var, True),
    "median": middle(t.median), "nanmedian": middle(t.nanmedian), "quantile": quantile(t.quantile),
    "nanquantile": quantile(t.nanquantile), "unique": unique, "unique_consecutive": functools.partial(unique, consecutive=True),
    "searchsorted": searchsorted, "nonzero": nonzero, "masked_select": masked_select, "diff": diff, "bincount": bincount,
    "histogram": histogram, "gradient": gradient, "sort": renamed(t.sort, ("dim", "descending"), ("stable",), dim="axis"),
    "argsort": renamed(lambda x, **k: t.sort(x, **k)[1], ("dim", "descending"), ("stable",), dim="axis"),
    "topk": renamed(t.topk, ("k", "dim", "largest", "sorted"), ("sorted",), dim="axis"),
    "gather": along(t.take_along_axis), "index_select": lambda x, dim, index: t.gather(x, index, axis=dim) if x.ndim else x, "scatter": scatter, "scatter_add": combined(t.scatter_add),
    "scatter_reduce": combined(t.scatter_reduce), "index_reduce": combined(t.index_reduce), "index_add": index_add,
    "index_copy": lambda x, dim, index, src: t.index_copy(x, index, src, axis=dim), "index_fill": index_fill,
    "index_put": lambda x, indices, values, accumulate=False: t.index_put(x, values, *indices, accumulate=accumulate),
    "take": lambda x, index: t.gather(x.reshape(-1), index), "take_along_dim": take_along_dim,
    "put": lambda x, index, src, accumulate=False: t.put(x, index, src, accumulate=accumulate),
    "nn.functional.embedding": embedding, "nn.functional.embedding_bag": embedding_bag,
    "unravel_index": lambda x, shape: list(t.unravel_index(x, shape=shape if isinstance(shape, tuple) else (shape,))),
    "select_scatter": renamed(t.select_scatter, ("src", "dim", "index"), dim="axis"),
    "slice_scatter": renamed(t.slice_scatter, ("src", "dim", "start", "end", "step"), dim="axis"),
    "diagonal_scatter": renamed(t.diagonal_scatter, ("src", "offset", "dim1", "dim2"), dim1="axis1", dim2="axis2"),
    "split": split, "split_with_sizes": split, "unsafe_split": split, "squeeze": squeeze, "flip": lambda x, dims: t.flip(x, axes=axes_of(dims)) if axes_of(dims) else x,
    "transpose": lambda x, a, b: ops.swapaxes(x, a, b) if x.ndim else x, "select": select, "select_copy": select, "flatten": lambda x, start_dim=0, end_dim=-1: x.reshape(
        x.shape[:start_dim % max(x.ndim, 1)] + (math.prod(x.shape[start_dim % max(x.ndim, 1):end_dim % max(x.ndim, 1) + 1]),) + x.shape[end_dim % max(x.ndim, 1) + 1:]),
    "view": reshaped, "reshape": reshaped, "view_copy": reshaped, "reshape_as": lambda x, y: x.reshape(y.shape), "view_as": lambda x, y: x.reshape(y.shape),
    "t": lambda x: ops.swapaxes(x, 0, 1) if x.ndim > 1 else x, "T": lambda x: t.transpose(x), "mT": lambda x: ops.swapaxes(x, -1, -2),
    "H": lambda x: ops.swapaxes(x, 0, 1) if x.ndim > 1 else x, "mH": lambda x: ops.swapaxes(x, -1, -2),
    "repeat": lambda x, *n: ops.tile(x, tuple(n[0]) if isinstance(n[0], (list, tuple)) else n),
    "sum_to_size": lambda x, *size: t.sum_to_shape(x, shape=tuple(size[0]) if isinstance(size[0], (list, tuple)) else size),
    "block_diag": each(t.block_diag), "nn.functional.pad": pad, "constant_pad_nd": lambda x, pad_, value=0: pad(x, pad_, value=value),
    "narrow": lambda x, dim, start, length: ops.narrow(x, dim, int(start), length),
    "nn.functional.one_hot": lambda x, num_classes=-1: t.one_hot(x, depth=num_classes if num_classes > 0 else int(t.max(x)) + 1, dtype="int64"),
    "repeat_interleave": lambda x, repeats, dim=None, **_: ops.repeat_interleave(x, repeats, dim),
    **{f"nn.functional.max_pool{n}d": pooled(n, True) for n in (1, 2, 3)}, **{f"nn.functional.avg_pool{n}d": pooled(n, False) for n in (1, 2, 3)},
    **{f"nn.functional.adaptive_max_pool{n}d": adaptive(n, True) for n in (1, 2, 3)},
    **{f"nn.functional.adaptive_avg_pool{n}d": adaptive(n, False) for n in (1, 2, 3)},
    **{f"nn.functional.max_unpool{n}d": unpooled(n) for n in (1, 2, 3)}, **{f"nn.functional.conv{n}d": convolved(n) for n in (1, 2, 3)},
    **{f"nn.functional.conv_transpose{n}d": convolved(n, True) for n in (1, 2, 3)},
    **{f"nn.functional.fractional_max_pool{n}d": fractional(n) for n in (2, 3)},
    "nn.functional.layer_norm": layer_norm, "nn.functional.rms_norm": rms_norm, "nn.functional.batch_norm": batch_norm,
    "nn.functional.instance_norm": instance_norm, "nn.functional.cross_entropy": cross_entropy, "nn.functional.softplus": softplus,
    "nn.functional.scaled_dot_product_attention": attention, "nn.functional.bilinear": lambda *a: t.bilinear(*[v for v in a if v is not None]),
    "nn.functional.pdist": lambda x, p=2.0: t.pdist(x, p=p), "nn.functional.ctc_loss": ctc_loss,
    "cdist": lambda x, y, p=2.0, compute_mode=None: t.cdist(x, y, p=p), "renorm": lambda x, p, dim, maxnorm: t.renorm(x, p=float(p), axis=dim, maxnorm=float(maxnorm)),
    "vdot": t.inner, "dist": lambda x, y, p=2: t.vector_norm(x - y, ord=float(p)), "mvlgamma": lambda x, p: t.mvlgamma(x, p=p),
    "special.multigammaln": lambda x, p: t.mvlgamma(x, p=p),
    "svd": svd, "norm": norm, "linalg.norm": lambda x, *a, **k: ops.norm(x, *a, **k), "linalg.matrix_norm": matrix_norm, "lu": pivoted(t.lu_factor), "linalg.lu": pivoted(t.lu),
    "linalg.lu_factor": pivoted(t.lu_factor), "linalg.solve_triangular": solve_triangular, "linalg.inv": t.inverse, "linalg.svdvals": t.svdvals,
    "linalg.lu_solve": lu_solve, "lu_solve": lambda b, lu, pivots: t.lu_solve(lu, pivots, b), "pinverse": renamed(t.pinv, ("rcond",), rcond="rtol"),
    "linalg.eigh": renamed(lambda x, UPLO="L": t.eigh(x, upper=UPLO.upper() == "U")), "linalg.lstsq": lambda a, b, driver=None: t.lstsq(a, b),
    "linalg.eigvalsh": renamed(lambda x, UPLO="L": t.eigvalsh(x, upper=UPLO.upper() == "U")),
    "linalg.diagonal": lambda x, offset=0, dim1=-2, dim2=-1: t.diagonal(x, offset=offset, axis1=dim1, axis2=dim2),
    "tensordot": lambda x, y, dims=2: t.tensordot(x, y, axes_x=dims[0], axes_y=dims[1]) if isinstance(dims, (list, tuple)) else t.tensordot(
        x, y, axes_x=tuple(range(-dims, 0)), axes_y=tuple(range(dims))),
    **{f"nn.functional.{n}": getattr(t, f) for n, f in (("hardswish", "hswish"), ("hardsigmoid", "hsigmoid"))},
    **{k: v for n in "entr erfcx i0e i1e ndtr ndtri log_ndtr zeta bessel_j0 bessel_j1 bessel_y0 bessel_y1 xlog1py".split() for k, v in special(n).items()},
    **{k: v for n in (0, 1) for k, v in (special(f"modified_bessel_k{n}", f"bessel_k{n}") | special(f"scaled_modified_bessel_k{n}", f"bessel_k{n}e")
                                         | special(f"modified_bessel_i{n}", f"i{n}")).items()},
}
for _name, _like in {"permute": "permute_copy", "expand_dims": "unsqueeze_copy"}.items():
    ADAPTERS[_like] = getattr(ops, _name)
ADAPTERS |= {"t_copy": ADAPTERS["t"], "transpose_copy": ADAPTERS["transpose"], "squeeze_copy": squeeze, "expand_copy": lambda x, *s: ops.broadcast_to(x, tuple(s[0]) if isinstance(s[0], (list, tuple)) else s),
             "split_with_sizes_copy": split, "narrow_copy": ADAPTERS["narrow"], "diagonal": renamed(t.diagonal, ("offset", "dim1", "dim2"), dim1="axis1", dim2="axis2"),
             "diagonal_copy": renamed(t.diagonal, ("offset", "dim1", "dim2"), dim1="axis1", dim2="axis2")}
# Cast to dtype first, as PyTorch does, where ours has no such argument.
CASTS = {"softmax", "log_softmax", "nn.functional.softmin", "cumsum", "cumprod", "prod", "sum", "mean", "nansum", "nanmean", "softmax.dtype"}
DROPPED = ("device", "layout", "requires_grad", "pin_memory", "memory_format", "non_blocking", "copy", "low", "high")
