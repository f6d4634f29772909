# SPDX-License-Identifier: Apache-2.0
"""The ops that benchmarks/compare_ops.py times: one line each, what PyTorch calls beside what Rutile calls.

Inputs are written "x=n:64,64 i=i512:64": a name, a kind and a shape. Kinds: n normal, u uniform in (0, 1), p uniform in
(0.5, 1.5), s uniform in (-0.9, 0.9), b bool, o ones, z zeros, e symmetric positive definite matrices, iK integers below K.
`by`: the inputs that are differentiated. Expressions see the inputs by name; torch, F (torch.nn.functional), L
(torch.linalg) on one side, O (rutile.ops.table), P (rutile.ops) on the other.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    name: str
    inputs: str
    torch: str
    ours: str
    by: str = ""


SMALL, LARGE = "64,64", "1024,1024"

# (names, kind): PyTorch and Rutile give the op one name.
UNARY = (
    ("abs cos deg2rad erf erfc exp exp2 expm1 rad2deg sigmoid sin sinc sinh square tan tanh atan asinh cosh i0 digamma lgamma", "n"),
    ("log log10 log1p log2 reciprocal rsqrt sqrt", "p"),
    ("acos asin atanh erfinv", "s"),
)
UNARY_FLAT = "ceil floor round sign trunc frac isnan isinf isfinite signbit isposinf isneginf logical_not"
BINARY = ("add atan2 div fmod hypot logaddexp logaddexp2 maximum minimum mul remainder sub copysign", "n")
BINARY_FLAT = (
    "floor_divide:floor_div heaviside nextafter eq:equal ne:not_equal lt:less le:less_equal gt:greater ge:greater_equal"
)
ACTIVATIONS = (
    "relu relu6 leaky_relu elu selu celu gelu silu hardswish:hswish hardsigmoid:hsigmoid mish softplus softsign hardtanh"
    " softshrink hardshrink logsigmoid tanhshrink"
)
LOSSES = (
    ("mse_loss l1_loss smooth_l1_loss huber_loss", "n", "n"),
    ("binary_cross_entropy", "u", "u"),
    ("binary_cross_entropy_with_logits kl_div poisson_nll_loss multilabel_soft_margin_loss", "n", "u"),
    ("soft_margin_loss hinge_embedding_loss", "n", "o"),
)


def pairs(names):
    for entry in names.split():
        theirs, _, ours = entry.partition(":")
        yield theirs, ours or theirs


def by_size():
    for shape in (SMALL, LARGE):
        for names, kind in UNARY:
            for n, o in pairs(names):
                yield Case(n, f"x={kind}:{shape}", f"torch.{n}(x)", f"O.{o}(x)", "x")
        for n, o in pairs(UNARY_FLAT):
            yield Case(n, f"x=n:{shape}", f"torch.{n}(x)", f"O.{o}(x)")
        for n, o in pairs(BINARY[0]):
            yield Case(n, f"x=n:{shape} y=n:{shape}", f"torch.{n}(x, y)", f"O.{o}(x, y)", "x y")
        for n, o in pairs(BINARY_FLAT):
            yield Case(n, f"x=n:{shape} y=n:{shape}", f"torch.{n}(x, y)", f"O.{o}(x, y)")
        for n, o in pairs(ACTIVATIONS):
            yield Case(n, f"x=n:{shape}", f"F.{n}(x)", f"O.{o}(x)", "x")
        for names, kx, ky in LOSSES:
            for n, o in pairs(names):
                yield Case(n, f"x={kx}:{shape} t={ky}:{shape}", f"F.{n}(x, t)", f"O.{o}(x, t)", "x")
        yield from sized(shape)


def sized(s):
    """Ops over a matrix; s is its shape."""
    rows, columns = (int(v) for v in s.split(","))
    x, xy, xi = f"x=n:{s}", f"x=n:{s} y=n:{s}", f"x=n:{s} i=i{rows}:{s}"
    p = f"x=p:{s}"
    lines = [
        ("pow", f"x=p:{s} y=n:{s}", "torch.pow(x, y)", "O.pow(x, y)", "x y"),
        ("pow scalar", p, "x ** 2.5", "x ** 2.5", "x"),
        ("add scalar", x, "x + 1.5", "x + 1.5", "x"),
        ("broadcast add", f"x=n:{s} y=n:{columns}", "x + y", "x + y", "x y"),
        ("xlogy", f"x=n:{s} y=p:{s}", "torch.xlogy(x, y)", "O.xlogy(x, y)", "x y"),
        ("polygamma", p, "torch.polygamma(1, x)", "O.polygamma(x, n=1)", ""),
        ("i1", x, "torch.special.i1(x)", "O.i1(x)", ""),
        ("logit", f"x=u:{s}", "torch.logit(x, 1e-6)", "O.logit(x, eps=1e-6)", "x"),
        ("lerp", f"{xy} w=u:{s}", "torch.lerp(x, y, w)", "O.lerp(x, y, w)", "x y w"),
        ("addcmul", f"{xy} w=u:{s}", "torch.addcmul(x, y, w)", "O.addcmul(x, y, w)", "x y w"),
        ("addcdiv", f"{xy} w=p:{s}", "torch.addcdiv(x, y, w)", "O.addcdiv(x, y, w)", "x y w"),
        ("clamp", x, "torch.clamp(x, -1, 1)", "O.clip(x, -1.0, 1.0)", "x"),
        ("where", f"{xy} c=b:{s}", "torch.where(c, x, y)", "O.where(c, x, y)", "x y"),
        ("masked_fill", f"{x} c=b:{s}", "x.masked_fill(c, 0.0)", "P.masked_fill(x, c, 0.0)", "x"),
        ("nan_to_num", x, "torch.nan_to_num(x)", "O.nan_to_num(x)", "x"),
        ("isclose", xy, "torch.isclose(x, y)", "O.isclose(x, y)", ""),
        ("cast bf16", x, "x.to(torch.bfloat16)", "O.cast(x, dtype='bf16')", ""),
        ("cast i64", x, "x.to(torch.int64)", "O.cast(x, dtype='i64')", ""),
        ("bitwise_and", f"x=i1000:{s} y=i1000:{s}", "x & y", "O.bitwise_and(x, y)", ""),
        ("int floor_div", f"x=i1000:{s} y=i9:1", "x // (y + 3)", "O.floor_div(x, y + 3)", ""),
        ("gcd", f"x=i1000:{s} y=i1000:{s}", "torch.gcd(x, y)", "O.gcd(x, y)", ""),
        ("glu", x, "F.glu(x)", "O.glu(x)", "x"),
        ("threshold", x, "F.threshold(x, 0.1, 0.0)", "O.threshold(x, threshold=0.1, value=0.0)", "x"),
        ("prelu", f"{x} w=u:{columns}", "F.prelu(x, w)", "O.prelu(x, w)", "x w"),
        ("softmax", x, "F.softmax(x, -1)", "O.softmax(x)", "x"),
        ("softmax axis 0", x, "F.softmax(x, 0)", "O.softmax(x, axis=0)", "x"),
        ("log_softmax", x, "F.log_softmax(x, -1)", "O.log_softmax(x)", "x"),
        ("softmin", x, "F.softmin(x, -1)", "O.softmin(x)", "x"),
        ("sum all", x, "x.sum()", "O.sum(x)", "x"),
        ("sum axis 1", x, "x.sum(1)", "O.sum(x, axes=(1,))", "x"),
        ("sum axis 0", x, "x.sum(0)", "O.sum(x, axes=(0,))", "x"),
        ("mean all", x, "x.mean()", "O.mean(x)", "x"),
        ("mean axis 1", x, "x.mean(1)", "O.mean(x, axes=(1,))", "x"),
        ("nansum", x, "x.nansum()", "O.nansum(x)", "x"),
        ("nanmean", x, "x.nanmean(1)", "O.nanmean(x, axes=(1,))", "x"),
        ("prod", p, "x.prod(1)", "O.prod(x, axes=(1,))", "x"),
        ("max axis 1", x, "x.amax(1)", "O.max(x, axes=(1,))", "x"),
        ("max axis 0", x, "x.amax(0)", "O.max(x, axes=(0,))", "x"),
        ("min all", x, "x.min()", "O.min(x)", "x"),
        ("aminmax", x, "torch.stack(tuple(torch.aminmax(x, dim=1)))", "P.stack(O.aminmax(x, axes=(1,)))", ""),
        ("argmax axis 1", x, "x.argmax(1)", "O.argmax(x, axes=(1,))", ""),
        ("argmax axis 0", x, "x.argmax(0)", "O.argmax(x, axes=(0,))", ""),
        ("argmin all", x, "x.argmin()", "O.argmin(x)", ""),
        ("any", f"x=b:{s}", "x.any(1)", "O.any(x, axes=(1,))", ""),
        ("all", f"x=b:{s}", "x.all(1)", "O.all(x, axes=(1,))", ""),
        ("count_nonzero", x, "torch.count_nonzero(x, 1)", "O.count_nonzero(x, axes=(1,))", ""),
        ("var", x, "x.var(1)", "O.var(x, axes=(1,))", "x"),
        ("std all", x, "x.std()", "O.std(x)", "x"),
        ("norm", x, "x.norm(dim=1)", "O.norm(x, axes=(1,))", "x"),
        ("vector_norm 3", x, "L.vector_norm(x, 3, dim=1)", "O.vector_norm(x, ord=3.0, axes=(1,))", "x"),
        ("matrix_norm", x, "L.matrix_norm(x)", "O.matrix_norm(x)", "x"),
        ("logsumexp", x, "x.logsumexp(1)", "O.logsumexp(x, axes=(1,))", "x"),
        ("normalize", x, "F.normalize(x)", "O.normalize(x)", "x"),
        ("cosine_similarity", xy, "F.cosine_similarity(x, y)", "O.cosine_similarity(x, y)", "x y"),
        ("pairwise_distance", xy, "F.pairwise_distance(x, y)", "O.pairwise_distance(x, y)", "x y"),
        ("cumsum axis 1", x, "x.cumsum(1)", "O.cumsum(x, axis=1)", "x"),
        ("cumsum axis 0", x, "x.cumsum(0)", "O.cumsum(x, axis=0)", "x"),
        ("cumprod", p, "x.cumprod(1)", "O.cumprod(x, axis=1)", ""),
        ("cummax", x, "x.cummax(1)[0]", "O.cummax(x, axis=1)[0]", "x"),
        ("logcumsumexp", x, "x.logcumsumexp(1)", "O.logcumsumexp(x, axis=1)", "x"),
        ("diff", x, "x.diff()", "O.diff(x)", "x"),
        ("trapezoid", x, "torch.trapezoid(x)", "O.trapezoid(x)", "x"),
        ("cov", x, "torch.cov(x)", "O.cov(x)", ""),
        ("sort", x, "x.sort()[0]", "O.sort(x)[0]", "x"),
        ("sort axis 0", x, "x.sort(0)[0]", "O.sort(x, axis=0)[0]", ""),
        ("sort flat", x, "x.view(-1).sort()[0]", "O.sort(P.reshape(x, (-1,)))[0]", ""),
        ("argsort int", f"x=i100000:{s}", "x.argsort()", "O.sort(x)[1]", ""),
        ("topk", x, "x.topk(10)[0]", "O.topk(x, k=10)[0]", "x"),
        ("kthvalue", x, "x.kthvalue(20)[0]", "O.kthvalue(x, k=20)[0]", ""),
        ("median", x, "x.median(1)[0]", "O.median(x, axes=(1,))[0]", "x"),
        ("quantile", x, "x.quantile(torch.tensor([0.3]), 1)", "O.quantile(x, QUANTILE, axes=(1,))", ""),
        ("mode", f"x=i100:{s}", "x.mode(1)[0]", "O.mode(x, axis=1)[0]", ""),
        ("unique", f"x=i5000:{s}", "x.unique()", "P.unique(x)[0]", ""),
        ("unique_consecutive", f"x=i2:{s}", "torch.unique_consecutive(x)", "P.unique_consecutive(x)", ""),
        ("bincount", f"x=i5000:{rows * columns}", "x.bincount()", "P.bincount(x)", ""),
        ("histc", x, "x.histc(100, -3, 3)", "O.histc(x, bins=100, min=-3.0, max=3.0)", ""),
        ("searchsorted", f"v=n:{s}", "torch.searchsorted(GRID, v)", "O.searchsorted(GRID, v)", ""),
        ("bucketize", f"v=n:{s}", "torch.bucketize(v, GRID)", "O.bucketize(v, GRID)", ""),
        ("isin", f"x=i5000:{s} t=i5000:100", "torch.isin(x, t)", "O.isin(x, t)", ""),
        ("nonzero", f"x=b:{s}", "x.nonzero()", "P.nonzero(x)", ""),
        ("masked_select", f"{x} m=b:{s}", "x.masked_select(m)", "P.masked_select(x, m)", ""),
        ("masked_scatter", f"{xy} m=b:{s}", "x.masked_scatter(m, y)", "O.masked_scatter(x, m, y)", ""),
        ("take_along_axis 1", f"x=n:{s} i=i{columns}:{s}", "x.gather(1, i)", "O.take_along_axis(x, i, axis=1)", "x"),
        ("take_along_axis 0", xi, "x.gather(0, i)", "O.take_along_axis(x, i, axis=0)", "x"),
        ("scatter", f"{xi} y=n:{s}", "x.scatter(0, i, y)", "O.scatter(x, i, y, axis=0)", ""),
        ("scatter_add 0", f"{xi} y=n:{s}", "x.scatter_add(0, i, y)", "O.scatter_add(x, i, y, axis=0)", "x y"),
        ("scatter_add 1", f"x=n:{s} i=i{columns}:{s} y=n:{s}", "x.scatter_add(1, i, y)", "O.scatter_add(x, i, y, axis=1)", "x y"),
        ("scatter amax", f"{xi} y=n:{s}", "x.scatter_reduce(0, i, y, 'amax')", "O.scatter(x, i, y, axis=0, reduce='amax')", ""),
        ("index_select 0", f"x=n:{s} i=i{rows}:{rows}", "x.index_select(0, i)", "O.gather(x, i, axis=0)", "x"),
        ("index_select 1", f"x=n:{s} i=i{columns}:{columns}", "x.index_select(1, i)", "O.gather(x, i, axis=1)", "x"),
        ("index_add", f"{xy} i=i{rows}:{rows}", "x.index_add(0, i, y)", "x + O.index_add(y, i, axis=0, size=x.shape[0])", ""),
        ("index_copy", f"{xy} i=i{rows}:{rows}", "x.index_copy(0, i, y)", "O.index_copy(x, i, y, axis=0)", ""),
        ("index_fill", f"{x} i=i{rows}:{rows}", "x.index_fill(0, i, 1.5)", "O.index_fill(x, i, axis=0, value=1.5)", ""),
        ("index_put", f"x=n:{s} i=i{rows}:{rows} v=n:{s}", "x.index_put((i,), v)", "O.index_put(x, v, [i])", ""),
        ("gather_nd", f"x=n:{s} i=i{rows}:{rows * columns // 4},2", "x[i[:, 0], i[:, 1]]", "O.gather_nd(x, i)", "x"),
        ("embedding", f"i=i{rows}:{rows * 2} x=n:{s}", "F.embedding(i, x)", "O.embedding(i, x)", "x"),
        ("one_hot", f"i=i64:{rows * columns // 64}", "F.one_hot(i, 64)", "O.one_hot(i, depth=64)", ""),
        ("concat", xy, "torch.cat([x, y])", "O.concat([x, y])", "x y"),
        ("concat axis 1", xy, "torch.cat([x, y], 1)", "O.concat([x, y], axis=1)", "x y"),
        ("stack", xy, "torch.stack([x, y])", "P.stack([x, y])", "x y"),
        ("tile", x, "x.repeat(2, 2)", "P.tile(x, (2, 2))", "x"),
        ("repeat_interleave", x, "x.repeat_interleave(2, 1)", "P.repeat_interleave(x, 2, 1)", "x"),
        ("transpose copy", x, "x.t().contiguous()", "O.contiguous(x.T)", "x"),
        ("flip", x, "x.flip(1)", "O.flip(x, axes=(1,))", "x"),
        ("roll", x, "x.roll(3, 1)", "O.roll(x, shifts=(3,), axes=(1,))", "x"),
        ("rot90", x, "x.rot90()", "O.rot90(x)", ""),
        ("tril", x, "x.tril()", "O.tril(x)", "x"),
        ("diag_embed", f"x=n:{rows}", "torch.diag_embed(x)", "O.diag_embed(x)", "x"),
        ("trace", x, "x.trace()", "O.trace(x)", "x"),
        ("pad constant", x, "F.pad(x, (1, 1, 1, 1))", "O.pad(x, before=(1, 1), after=(1, 1))", "x"),
        ("kron", f"x=n:{rows // 16},{columns // 16} y=n:16,16", "torch.kron(x, y)", "O.kron(x, y)", "x y"),
        ("outer", f"x=n:{rows} y=n:{columns}", "torch.outer(x, y)", "P.outer(x, y)", "x y"),
        ("eye", "", f"torch.eye({rows})", f"O.eye(n={rows})", ""),
        ("arange", "", f"torch.arange({rows * columns})", f"O.arange(stop={rows * columns})", ""),
        ("linspace", "", f"torch.linspace(0, 1, {rows * columns})", f"O.linspace(0.0, 1.0, steps={rows * columns})", ""),
        ("full", "", f"torch.full(({s}), 1.5)", f"O.full(shape=({s}), value=1.5)", ""),
        ("meshgrid", f"x=n:{rows} y=n:{columns}", "torch.stack(torch.meshgrid(x, y, indexing='ij'))",
         "P.stack(P.meshgrid(x, y, indexing='ij'))", ""),
        ("vander", f"x=s:{rows}", "torch.vander(x, 16)", "O.vander(x, n=16)", ""),
        ("cross entropy", f"x=n:{s} t=i{columns}:{rows}", "F.cross_entropy(x, t)", "O.cross_entropy(x, t)[0]", "x"),
        ("nll_loss", f"x=n:{s} t=i{columns}:{rows}", "F.nll_loss(x, t)", "O.nll_loss(x, t)", "x"),
        ("multi_margin_loss", f"x=n:{s} t=i{columns}:{rows}", "F.multi_margin_loss(x, t)", "O.multi_margin_loss(x, t)", "x"),
        ("gaussian_nll_loss", f"{xy} v=p:{s}", "F.gaussian_nll_loss(x, y, v)", "O.gaussian_nll_loss(x, y, v)", "x"),
        ("triplet_margin_loss", f"{xy} z=n:{s}", "F.triplet_margin_loss(x, y, z)", "O.triplet_margin_loss(x, y, z)", "x"),
        ("cosine_embedding_loss", f"{xy} t=o:{rows}", "F.cosine_embedding_loss(x, y, t)", "O.cosine_embedding_loss(x, y, t)", "x"),
        ("margin_ranking_loss", f"{xy} t=o:{s}", "F.margin_ranking_loss(x, y, t)", "O.margin_ranking_loss(x, y, t)", "x"),
        ("rand", "", f"torch.rand({s})", f"P.rand({s})", ""),
        ("randn", "", f"torch.randn({s})", f"P.randn({s})", ""),
        ("randint", "", f"torch.randint(0, 100, ({s}))", f"P.randint(0, 100, ({s}))", ""),
        ("randperm", "", f"torch.randperm({rows * columns})", f"P.randperm({rows * columns})", ""),
        ("bernoulli", f"x=u:{s}", "torch.bernoulli(x)", "P.bernoulli(x)", ""),
        ("exponential", "", f"torch.empty({s}).exponential_()", f"P.random_exponential(shape=({s}))", ""),
        ("poisson", p, "torch.poisson(x)", f"P.poisson(({s}), x)", ""),
        ("gamma", p, "torch._standard_gamma(x)", f"P.gamma(({s}), x, ONE)", ""),
        ("multinomial", p, "torch.multinomial(x, 4, True)", "O.multinomial(x, num_samples=4)", ""),
        ("dropout", x, "F.dropout(x)", "P.dropout(x, 0.5)", "x"),
    ]
    for line in lines:
        yield Case(*line)


LAYERS = (
    ("linear", "x=n:64,512 w=n:512,512 b=n:512", "F.linear(x, w, b)", "O.linear(x, w, b)", "x w b"),
    ("matmul 512", "x=n:512,512 y=n:512,512", "x @ y", "x @ y", "x y"),
    ("matmul 64", "x=n:64,64 y=n:64,64", "x @ y", "x @ y", "x y"),
    ("matmul batched", "x=n:32,64,64 y=n:32,64,64", "x @ y", "x @ y", "x y"),
    ("matvec", "x=n:1024,1024 y=n:1024", "x @ y", "x @ y", "x y"),
    ("dot", "x=n:65536 y=n:65536", "x @ y", "x @ y", "x y"),
    ("addmm", "x=n:256 a=n:256,256 b=n:256,256", "torch.addmm(x, a, b)", "O.addmm(x, a, b)", "x a b"),
    ("baddbmm", "x=n:16,64,64 a=n:16,64,64 b=n:16,64,64", "torch.baddbmm(x, a, b)", "O.baddbmm(x, a, b)", "x a b"),
    ("einsum ij,kj->ik", "x=n:256,256 y=n:256,256", "torch.einsum('ij,kj->ik', x, y)", "O.einsum([x, y], equation='ij,kj->ik')", "x y"),
    ("einsum bij,bjk", "x=n:16,64,64 y=n:16,64,64", "torch.einsum('bij,bjk->bik', x, y)", "O.einsum([x, y], equation='bij,bjk->bik')", "x y"),
    ("tensordot", "x=n:16,8,32 y=n:8,32,64", "torch.tensordot(x, y, 2)", "O.tensordot(x, y, axes_x=(1, 2), axes_y=(0, 1))", "x y"),
    ("cdist", "x=n:512,64 y=n:512,64", "torch.cdist(x, y)", "O.cdist(x, y)", "x y"),
    ("cdist 1", "x=n:128,64 y=n:128,64", "torch.cdist(x, y, 1.0)", "O.cdist(x, y, p=1.0)", "x y"),
    ("cross", "x=n:4096,3 y=n:4096,3", "L.cross(x, y)", "O.cross(x, y)", "x y"),
    ("conv1d", "x=n:16,64,512 w=n:64,64,5", "F.conv1d(x, w, padding=2)", "O.conv1d(x, w, pad=2)", "x w"),
    ("conv2d 3x3", "x=n:8,32,56,56 w=n:32,32,3,3", "F.conv2d(x, w, padding=1)", "O.conv2d(x, w, pad=(1, 1))", "x w"),
    ("conv2d 1x1", "x=n:8,64,28,28 w=n:128,64,1,1", "F.conv2d(x, w)", "O.conv2d(x, w)", "x w"),
    ("conv2d small", "x=n:1,8,14,14 w=n:8,8,3,3", "F.conv2d(x, w, padding=1)", "O.conv2d(x, w, pad=(1, 1))", "x w"),
    ("conv2d depthwise", "x=n:8,32,56,56 w=n:32,1,3,3", "F.conv2d(x, w, padding=1, groups=32)", "O.conv2d(x, w, pad=(1, 1), groups=32)", "x w"),
    ("conv2d dilated", "x=n:8,16,56,56 w=n:16,16,3,3", "F.conv2d(x, w, padding=2, dilation=2)", "O.conv2d(x, w, pad=(2, 2), dilation=(2, 2))", "x w"),
    ("conv3d", "x=n:4,16,12,28,28 w=n:16,16,3,3,3", "F.conv3d(x, w, padding=1)", "O.conv3d(x, w, pad=(1, 1, 1))", "x w"),
    ("conv_transpose1d", "x=n:16,32,256 w=n:32,32,4", "F.conv_transpose1d(x, w, stride=2)", "O.conv_transpose1d(x, w, stride=2)", "x w"),
    ("conv_transpose2d", "x=n:8,32,28,28 w=n:32,32,2,2", "F.conv_transpose2d(x, w, stride=2)", "O.conv_transpose2d(x, w, stride=(2, 2))", "x w"),
    ("max_pool1d", "x=n:16,64,512", "F.max_pool1d(x, 2)", "O.max_pool1d(x, kernel=2)[0]", "x"),
    ("max_pool2d", "x=n:8,32,56,56", "F.max_pool2d(x, 2)", "O.max_pool2d(x, kernel=(2, 2))[0]", "x"),
    ("max_pool2d 3/2", "x=n:8,32,56,56", "F.max_pool2d(x, 3, 2, 1)", "O.max_pool2d(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1))[0]", "x"),
    ("max_pool3d", "x=n:4,16,12,28,28", "F.max_pool3d(x, 2)", "O.max_pool3d(x, kernel=(2, 2, 2))[0]", "x"),
    ("avg_pool1d", "x=n:16,64,512", "F.avg_pool1d(x, 2)", "O.avg_pool1d(x, kernel=2)", "x"),
    ("avg_pool2d", "x=n:8,32,56,56", "F.avg_pool2d(x, 2)", "O.avg_pool2d(x, kernel=(2, 2))", "x"),
    ("avg_pool3d", "x=n:4,16,12,28,28", "F.avg_pool3d(x, 2)", "O.avg_pool3d(x, kernel=(2, 2, 2))", "x"),
    ("lp_pool2d", "x=p:8,32,28,28", "F.lp_pool2d(x, 2.0, 2)", "O.lp_pool2d(x, norm_type=2.0, kernel=(2, 2))", "x"),
    ("adaptive_avg_pool1d", "x=n:16,64,512", "F.adaptive_avg_pool1d(x, 7)", "O.adaptive_avg_pool1d(x, output_size=7)", "x"),
    ("adaptive_avg_pool2d", "x=n:8,32,56,56", "F.adaptive_avg_pool2d(x, 7)", "O.adaptive_avg_pool2d(x, output_size=(7, 7))", "x"),
    ("adaptive_avg_pool3d", "x=n:4,16,12,28,28", "F.adaptive_avg_pool3d(x, 4)", "O.adaptive_avg_pool3d(x, output_size=(4, 4, 4))", "x"),
    ("adaptive_max_pool2d", "x=n:8,32,56,56", "F.adaptive_max_pool2d(x, 7)", "O.adaptive_max_pool2d(x, output_size=(7, 7))[0]", "x"),
    ("global_avg_pool", "x=n:8,32,56,56", "x.mean((2, 3), keepdim=True)", "O.global_avg_pool(x)", "x"),
    ("max_unpool2d", "x=n:8,32,28,28", "F.max_unpool2d(x, UNPOOL, 2)", "O.max_unpool2d(x, UNPOOL, kernel=(2, 2))", "x"),
    ("batch_norm", "x=n:8,32,56,56 w=u:32 b=u:32", "F.batch_norm(x, None, None, w, b, True)", "O.batch_norm(x, w, b)[0]", "x w b"),
    ("batch_norm inference", "x=n:8,32,56,56 w=u:32 b=u:32", "F.batch_norm(x, w, b, w, b)", "O.batch_norm_inference(x, w, b, w, b)", ""),
    ("layer_norm", "x=n:512,384 w=u:384 b=u:384", "F.layer_norm(x, (384,), w, b)", "O.layer_norm(x, w, b)[0]", "x w b"),
    ("rms_norm", "x=n:512,384 w=u:384", "F.rms_norm(x, (384,), w)", "O.rms_norm(x, w)[0]", "x w"),
    ("group_norm", "x=n:8,32,56,56 w=u:32 b=u:32", "F.group_norm(x, 8, w, b)", "O.group_norm(x, w, b, num_groups=8)[0]", "x w b"),
    ("instance_norm", "x=n:8,32,56,56", "F.instance_norm(x)", "O.instance_norm(x)[0]", "x"),
    ("local_response_norm", "x=n:8,32,28,28", "F.local_response_norm(x, 5)", "O.local_response_norm(x, size=5)", "x"),
    ("prelu images", "x=n:8,32,56,56 w=u:32", "F.prelu(x, w)", "O.prelu(x, w)", "x w"),
    ("nearest", "x=n:8,32,28,28", "F.interpolate(x, scale_factor=2)", "O.interpolate(x, scale_factor=2.0)", "x"),
    ("bilinear", "x=n:8,32,28,28", "F.interpolate(x, scale_factor=2, mode='bilinear')", "O.interpolate(x, scale_factor=2.0, mode='bilinear')", "x"),
    ("bicubic", "x=n:8,32,28,28", "F.interpolate(x, scale_factor=2, mode='bicubic')", "O.interpolate(x, scale_factor=2.0, mode='bicubic')", "x"),
    ("area", "x=n:8,32,28,28", "F.interpolate(x, size=(14, 14), mode='area')", "O.interpolate(x, size=(14, 14), mode='area')", "x"),
    ("linear 1d", "x=n:16,32,128", "F.interpolate(x, scale_factor=2, mode='linear')", "O.interpolate(x, scale_factor=2.0, mode='linear')", "x"),
    ("trilinear", "x=n:2,16,8,14,14", "F.interpolate(x, scale_factor=2, mode='trilinear')", "O.interpolate(x, scale_factor=2.0, mode='trilinear')", "x"),
    ("grid_sample", "x=n:8,32,28,28 g=s:8,28,28,2", "F.grid_sample(x, g, align_corners=False)", "O.grid_sample(x, g)", "x g"),
    ("grid_sample nearest", "x=n:8,32,28,28 g=s:8,28,28,2", "F.grid_sample(x, g, 'nearest', align_corners=False)", "O.grid_sample(x, g, mode='nearest')", "x"),
    ("affine_grid", "t=n:8,2,3", "F.affine_grid(t, (8, 3, 28, 28), align_corners=False)", "O.affine_grid(t, size=(8, 3, 28, 28))", "t"),
    ("unfold", "x=n:8,16,28,28", "F.unfold(x, 3, padding=1)", "O.unfold(x, kernel=(3, 3), pad=(1, 1))", "x"),
    ("fold", "x=n:8,144,784", "F.fold(x, (28, 28), 3, padding=1)", "O.fold(x, output_size=(28, 28), kernel=(3, 3), pad=(1, 1))", "x"),
    ("pixel_shuffle", "x=n:8,32,28,28", "F.pixel_shuffle(x, 2)", "O.pixel_shuffle(x, upscale_factor=2)", "x"),
    ("pixel_unshuffle", "x=n:8,32,28,28", "F.pixel_unshuffle(x, 2)", "O.pixel_unshuffle(x, downscale_factor=2)", "x"),
    ("channel_shuffle", "x=n:8,32,28,28", "F.channel_shuffle(x, 4)", "O.channel_shuffle(x, groups=4)", "x"),
    ("pad reflect", "x=n:8,32,28,28", "F.pad(x, (1, 1, 1, 1), mode='reflect')", "O.pad(x, before=(0, 0, 1, 1), after=(0, 0, 1, 1), mode='reflect')", "x"),
    ("pad replicate", "x=n:8,32,28,28", "F.pad(x, (1, 1, 1, 1), mode='replicate')", "O.pad(x, before=(0, 0, 1, 1), after=(0, 0, 1, 1), mode='replicate')", "x"),
    ("attention", "q=n:4,6,128,64 k=n:4,6,128,64 v=n:4,6,128,64", "F.scaled_dot_product_attention(q, k, v, is_causal=True)", "O.scaled_dot_product_attention(q, k, v, causal=True)[0]", "q k v"),
    ("fft", "x=n:64,1024", "torch.fft.fft(x).real", "P.real(P.fft(x))", "x"),
    ("fft 997", "x=n:64,997", "torch.fft.fft(x).real", "P.real(P.fft(x))", ""),
    ("rfft", "x=n:65536", "torch.fft.rfft(x).real", "P.real(P.rfft(x))", "x"),
    ("fft2", "x=n:8,64,64", "torch.fft.fft2(x).real", "P.real(P.fft2(x))", ""),
    ("inverse", "x=e:64,64", "L.inv(x)", "O.inverse(x)", "x"),
    ("inverse batched", "x=e:64,8,8", "L.inv(x)", "O.inverse(x)", "x"),
    ("inverse 512", "x=e:512,512", "L.inv(x)", "O.inverse(x)", ""),
    ("solve", "x=e:64,64 b=n:64,8", "L.solve(x, b)", "O.solve(x, b)", "x b"),
    ("solve_triangular", "x=e:256,256 b=n:256,64", "L.solve_triangular(x, b, upper=True)", "O.solve_triangular(x, b, upper=True)", "x b"),
    ("cholesky", "x=e:64,64", "L.cholesky(x)", "O.cholesky(x)", "x"),
    ("cholesky 512", "x=e:512,512", "L.cholesky(x)", "O.cholesky(x)", ""),
    ("cholesky_solve", "x=e:64,64 b=n:64,8", "torch.cholesky_solve(b, x)", "O.cholesky_solve(b, x)", "b"),
    ("det", "x=e:64,64", "L.det(x)", "O.det(x)", "x"),
    ("slogdet", "x=e:64,64", "L.slogdet(x)[1]", "O.slogdet(x)[1]", "x"),
    ("lu_factor", "x=e:128,128", "L.lu_factor(x)[0]", "O.lu_factor(x)[0]", ""),
    ("qr", "x=n:128,64", "L.qr(x)[0]", "O.qr(x)[0]", "x"),
    ("svd", "x=n:64,64", "L.svd(x, full_matrices=False)[0]", "O.svd(x, full_matrices=False)[0]", ""),
    ("svdvals", "x=n:64,64", "L.svdvals(x)", "O.svdvals(x)", "x"),
    ("eigh", "x=e:64,64", "L.eigh(x)[0]", "O.eigh(x)[0]", "x"),
    ("eigvalsh", "x=e:64,64", "L.eigvalsh(x)", "O.eigvalsh(x)", ""),
    ("pinv", "x=n:64,32", "L.pinv(x)", "O.pinv(x)", ""),
    ("lstsq", "x=n:64,32 b=n:64,4", "L.lstsq(x, b)[0]", "O.lstsq(x, b)", ""),
    ("matrix_exp", "x=s:32,32", "torch.matrix_exp(x)", "O.matrix_exp(x)", "x"),
    ("matrix_power", "x=s:64,64", "L.matrix_power(x, 5)", "O.matrix_power(x, n=5)", "x"),
    ("multi_dot", "x=n:64,128 y=n:128,32 z=n:32,64", "L.multi_dot([x, y, z])", "O.multi_dot([x, y, z])", "x y z"),
)  # fmt: skip


def cases():
    yield from by_size()
    for line in LAYERS:
        yield Case(*line)
