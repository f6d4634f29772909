# SPDX-License-Identifier: Apache-2.0
"""Writes shared_rest.json: what the other scripts leave of the ops that PyTorch has, too (needs torch)."""

import torch
import torch.nn.functional as F
from shared_ops import SharedOps, complexes, index, real, values

ops = SharedOps("rest")
DTYPE, I32, I64 = torch.float64, "int32", "int64"
NAN, INF = float("nan"), float("inf")
EDGES = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -2.5, 30.0]
BOOLS = [values([1, 0, 1, 1, 0, 0], "bool"), values([1, 1, 0, 1, 0, 1], "bool")]


def unary(op, function, bound=3.0, offset=0.0, edges=(), gradient=True, **attrs):
    ops.case(op, function, [real(3, 4, bound=bound, offset=offset)], gradient=gradient, **attrs)
    if edges:
        ops.case(op, function, [values(list(edges))], gradient=False, **attrs)


def binary(op, function, a=2.0, b=2.0, offset=0.0, gradient=True, edges=False):
    ops.case(op, function, [real(3, 4, bound=a), real(4, bound=b, offset=offset)], gradient=gradient)
    if edges:
        pairs = [(x, y) for x in (NAN, INF, -INF, 0.0, 2.5) for y in (NAN, INF, 0.0, 1.0, -2.0)]
        ops.case(op, function, [values([p[0] for p in pairs]), values([p[1] for p in pairs])], gradient=False)


def padded(x, n, value=0):
    """With rows of `value` up to n, as ours gives what depends on numbers."""
    return torch.cat([x, torch.full((n - x.shape[0], *x.shape[1:]), value, dtype=x.dtype)])


# ---- Elementwise

unary("relu", F.relu, edges=EDGES[3:])
unary("leaky_relu", lambda x: F.leaky_relu(x, 0.2), edges=EDGES, alpha=0.2)
unary("softplus", F.softplus, edges=EDGES)
unary("clip", lambda x: torch.clamp(x, -1.0, 2.0), edges=EDGES, min=-1.0, max=2.0)
for name in ("floor", "ceil", "round", "trunc", "sign"):
    unary(name, getattr(torch, name), edges=EDGES[1:], gradient=False)
unary("erf", torch.erf, edges=EDGES)
unary("erfc", torch.erfc, edges=EDGES)
unary("erfcx", torch.special.erfcx, edges=[INF, 0.0, 1.0, -1.0, 30.0])
unary("entr", torch.special.entr, bound=1.0, offset=1.5, edges=[NAN, INF, 0.0, -1.0, 2.0])
unary("ndtr", torch.special.ndtr, edges=[NAN, INF, -INF, 0.0])
unary("ndtri", torch.special.ndtri, bound=0.45, offset=0.5, edges=[0.0, 1.0, 0.5])
unary("log_ndtr", torch.special.log_ndtr, edges=[NAN, INF, 0.0, -30.0])
unary("i0e", torch.special.i0e, bound=15.0)
unary("i1e", torch.special.i1e, bound=15.0)
for name in ("isnan", "isinf", "isfinite"):
    unary(name, getattr(torch, name), edges=EDGES)
unary("frexp", torch.frexp, edges=EDGES[3:])
unary("frexp_mantissa", lambda x: torch.frexp(x)[0], gradient=False)
unary("frexp_exponent", lambda x: torch.frexp(x)[1].to(DTYPE), gradient=False)
unary("mvlgamma", lambda x: torch.mvlgamma(x, 2), bound=1.0, offset=3.0, p=2)
binary("atan2", torch.atan2, edges=True)
binary("maximum", torch.maximum, edges=True)
binary("minimum", torch.minimum, edges=True)
binary("fmax", torch.fmax, edges=True)
binary("fmin", torch.fmin, edges=True)
binary("remainder", torch.remainder, a=9.0, b=0.5, offset=2.0)
binary("floor_div", torch.floor_divide, a=9.0, b=0.5, offset=2.0, gradient=False)
ops.case("igamma", torch.igamma, [real(3, 4, offset=2.0), real(4, offset=2.0)], gradient=False)
ops.case("igammac", torch.igammac, [real(3, 4, offset=2.0), real(4, offset=2.0)], gradient=False)
ops.case("zeta", torch.special.zeta, [real(3, 4, offset=3.0), real(4, offset=2.0)], gradient=False)
for name in ("greater", "greater_equal", "less", "less_equal"):
    binary(name, getattr(torch, name), edges=True)
for name in ("logical_and", "logical_or", "logical_xor"):
    binary(name, getattr(torch, name), edges=True)
    ops.case(name, getattr(torch, name), BOOLS)
ops.case("logical_not", torch.logical_not, [values(EDGES)])
ops.case("logical_not", torch.logical_not, BOOLS[:1])
for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    ops.case(name, getattr(torch, name), [index(24, modulo=60), index(24, modulo=40)])
    ops.case(name, getattr(torch, name), BOOLS)
ops.case("bitwise_not", torch.bitwise_not, [index(24, modulo=60)])
ops.case("bitwise_not", torch.bitwise_not, BOOLS[:1])
ops.case("where", torch.where, [BOOLS[0], real(6), real(1)])
ops.case("where", torch.where, [BOOLS[0], real(4, 6), real(4, 1)])

for name, function in (("silu", lambda x: x * torch.sigmoid(x)), ("softsign", F.softsign), ("sinc", torch.sinc)):
    ops.case(name, function, [complexes(3, 4, bound=2.0)])
ops.case("sinc", torch.sinc, [values([0.0, 1.0 + 0.5j], "complex128")], gradient=False)
ops.case("logaddexp", torch.logaddexp, [complexes(3, 4, bound=2.0), complexes(4, bound=2.0)])
ops.case("l1_loss", F.l1_loss, [complexes(3, 4), complexes(3, 4)], reduction="mean")

# ---- Shapes, places, order

ops.case("reshape", lambda x: x.reshape(2, 6), [real(3, 4)], shape=[2, 6])
ops.case("broadcast_to", lambda x: x.broadcast_to(2, 3, 4), [real(3, 1)], shape=[2, 3, 4])
ops.case("sum_to_shape", lambda x: x.sum_to_size(3, 1), [real(2, 3, 4)], shape=[3, 1])
ops.case("concat", lambda *xs: torch.cat(xs, 1), [real(2, 3), real(2, 1), real(2, 4)], axis=1)
ops.case("split", lambda x: x.split([2, 3], 1), [real(2, 5)], sizes=[2, 3], axis=1)
ops.case("slice", lambda x: x[1:3, 0:4:2], [real(4, 5)], starts=[1, 0], ends=[3, 4], steps=[1, 2])
for mode in ("constant", "reflect", "replicate", "circular"):
    ops.case("pad", lambda x, m=mode: F.pad(x, (1, 2, 2, 0), m), [real(2, 3, 4, 5)], before=[0, 0, 2, 1], after=[0, 0, 0, 2], mode=mode)
ops.case("transpose", lambda x: x.permute(2, 0, 1), [real(2, 3, 4)], perm=[2, 0, 1])
ops.case("contiguous", torch.clone, [real(2, 3)])
ops.case("stop_gradient", lambda x: x.detach(), [real(2, 3)])
ops.case("bitcast", lambda x: x.view(torch.int64), [real(2, 3)], gradient=False, dtype="int64")
ops.case("full", lambda: torch.full((2, 3), 1.5, dtype=DTYPE), [], shape=[2, 3], value=1.5, dtype="float64")
ops.case("flip", lambda x: x.flip(0, 2), [real(2, 3, 4)], axes=[0, 2])
ops.case("eye", lambda: torch.eye(3, 4, dtype=DTYPE), [], n=3, m=4, dtype="float64")
ops.case("arange", lambda: torch.arange(1.0, 9.0, 2.5, dtype=DTYPE), [], start=1.0, stop=9.0, step=2.5, dtype="float64")
ops.case("one_hot", lambda i: F.one_hot(i, 5), [index(3, 4, modulo=5)], depth=5, dtype="int64")
ops.case("unravel_index", lambda i: torch.unravel_index(i, (3, 4)), [index(7, modulo=12)], shape=[3, 4])
ops.case("argmin", lambda x: x.argmin(1), [real(3, 4, 2)], axes=[1])
ops.case("diagonal_scatter", lambda x, s: x.diagonal_scatter(s, 1), [real(3, 4), real(3)], offset=1)
ops.case("select_scatter", lambda x, s: x.select_scatter(s, 1, 2), [real(3, 4), real(3)], axis=1, index=2)
ops.case("slice_scatter", lambda x, s: x.slice_scatter(s, 1, 0, 4, 2), [real(3, 4), real(3, 2)], axis=1, start=0, end=4, step=2)
ops.case("index_add", lambda x, i: torch.zeros(3, 4, dtype=DTYPE).index_add(0, i, x), [real(6, 4), index(6, modulo=3)], axis=0,
         size=3)
for kind in ("prod", "mean", "amax", "amin"):
    for included in (True, False):
        attrs = {"axis": 0, "reduce": kind, "include_self": included}
        ops.case("index_reduce", lambda x, i, s, k=kind, c=included: x.index_reduce(0, i, s, k, include_self=c),
                 [real(3, 4), index(7, modulo=3), real(7, 4)], **attrs)
        ops.case("scatter_reduce", lambda x, i, s, k=kind, c=included: x.scatter_reduce(0, i, s, k, include_self=c),
                 [real(3, 4), index(7, 4, modulo=3), real(7, 4)], **attrs)
ops.case("put", lambda x, i, s: x.put(i, s), [real(3, 4), values([7, 0, 3], I64), real(3)])
ops.case("put", lambda x, i, s: x.put(i, s, True), [real(3, 4), values([7, 0, 7], I64), real(3)], accumulate=True)
ops.case("masked_select", lambda x, m: (padded(x[m], 6), m.sum()), [real(6), BOOLS[0]])
ops.case("nonzero", lambda x: (padded(x.nonzero(), 4, -1), x.count_nonzero()), [values([[0, 1], [2, 0]], I64)])


def unique(function):
    def call(x):
        v, inverse, counts = function(x, return_inverse=True, return_counts=True)
        return padded(v, x.numel()), inverse, padded(counts, x.numel()), torch.tensor(len(v))
    return call


def unique_rows(x):
    rows, inverse, counts = torch.unique(x, dim=0, return_inverse=True, return_counts=True)
    places = torch.stack([(inverse == i).nonzero()[0, 0] for i in range(len(rows))])
    return padded(places, len(x)), inverse, padded(counts, len(x)), torch.tensor(len(rows))


AGAIN = values([3.0, 1.0, 1.0, 2.0, 3.0, 3.0])
ops.case("unique", unique(torch.unique), [AGAIN], gradient=False)
ops.case("unique_consecutive", unique(torch.unique_consecutive), [AGAIN], gradient=False)
ops.case("unique_rows", unique_rows, [values([[3.0, 1.0], [1.0, 1.0], [3.0, 1.0], [1.0, 0.0]])], gradient=False)

# ---- Sums and products

ops.case("cumulative_trapezoid", lambda y: torch.cumulative_trapezoid(y, dx=0.5, dim=1), [real(3, 5)], dx=0.5, axis=1)
ops.case("cumulative_trapezoid", torch.cumulative_trapezoid, [real(3, 5), real(5)])
for order in (1, 2):
    ops.case("gradient", lambda x, o=order: torch.gradient(x, spacing=0.5, dim=1, edge_order=o), [real(3, 5)], spacing=0.5, axis=1,
             edge_order=order)
ops.case("histogram", lambda x: torch.histogram(x, 5, range=(-1.0, 1.0)), [real(40)], gradient=False, bins=5, min=-1.0, max=1.0)
ops.case("global_norm", lambda *xs: torch.sqrt(sum((x * x).sum() for x in xs)), [real(3), real(2, 2)])
ops.case("pdist", F.pdist, [real(4, 3)])
ops.case("pdist", lambda x: F.pdist(x, 3.0), [real(4, 3)], p=3.0)
ops.case("renorm", lambda x: torch.renorm(x, 2, 0, 0.9), [real(4, 3)], p=2.0, axis=0, maxnorm=0.9)
ops.case("addbmm", lambda x, a, b: torch.addbmm(x, a, b, beta=0.5, alpha=2.0), [real(3, 5), real(2, 3, 4), real(2, 4, 5)], beta=0.5,
         alpha=2.0)
ops.case("addmv", lambda x, a, b: torch.addmv(x, a, b, beta=0.5, alpha=2.0), [real(3), real(3, 4), real(4)], beta=0.5, alpha=2.0)
ops.case("addr", lambda x, a, b: torch.addr(x, a, b, beta=0.5, alpha=2.0), [real(3, 4), real(3), real(4)], beta=0.5, alpha=2.0)
ops.case("bilinear", F.bilinear, [real(5, 3), real(5, 4), real(2, 3, 4), real(2)])
ops.case("cholesky_inverse", torch.cholesky_inverse, [values([[2.0, 0.0, 0.0], [0.3, 1.5, 0.0], [-0.4, 0.7, 1.2]])], gradient=False)
ops.case("lu_solve", torch.linalg.lu_solve, [real(3, 3, offset=2.0), values([2, 2, 3], I32), real(3, 2)])

# ---- Layers


def attention(causal):
    def call(q, k, v):
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if causal:
            scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -INF)
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal), scores.logsumexp(-1)
    return call


def rms_norm(x, weight):
    return F.rms_norm(x, (4,), weight, 1e-5), torch.rsqrt((x * x).mean(-1) + 1e-5)


ops.case("linear", F.linear, [real(2, 3, 4), real(5, 4), real(5)])
ops.case("global_avg_pool", lambda x: F.adaptive_avg_pool2d(x, 1), [real(2, 3, 4, 5)])
for causal in (False, True):
    ops.case("scaled_dot_product_attention", attention(causal), [real(2, 3, 5, 4)] * 3, causal=causal)
ops.case("rms_norm", rms_norm, [real(2, 3, 4), real(4)], axes=1, eps=1e-5)
ops.case("batch_norm_inference", lambda x, m, v, w, b: F.batch_norm(x, m.detach(), v.detach(), w, b),
         [real(2, 3, 4, 5), real(3), real(3, offset=2.0), real(3), real(3)])
for mode in ("sum", "mean", "max"):
    ops.case("embedding_bag", lambda i, t, m=mode: F.embedding_bag(i, t, mode=m), [index(3, 4, modulo=6), real(6, 5)], mode=mode)
ops.case("upsample_nearest2d", lambda x: F.interpolate(x, scale_factor=2), [real(2, 3, 4, 5)], scale=[2, 2])
ops.case("fractional_max_pool2d", lambda x, s: F.fractional_max_pool2d(x, 2, output_size=(3, 2), return_indices=True, _random_samples=s.detach()),
         [real(2, 3, 7, 6), real(2, 3, 2, bound=0.45, offset=0.5)], kernel=[2, 2], output_size=[3, 2])
ops.case("fractional_max_pool3d",
         lambda x, s: F.fractional_max_pool3d(x, 2, output_size=(2, 3, 2), return_indices=True, _random_samples=s.detach()),
         [real(2, 3, 5, 7, 6), real(2, 3, 3, bound=0.45, offset=0.5)], kernel=[2, 2, 2], output_size=[2, 3, 2])
ops.write()
