# SPDX-License-Identifier: Apache-2.0
"""Writes shared_arrange.json: indexing, arrangements and products (needs torch)."""

import torch
from shared_ops import SharedOps, index, real, values

ops = SharedOps("arrange")
I64 = "int64"
DTYPE = torch.float64

APART = values([[0, 4, 2], [3, 1, 0]], I64)
ops.case("scatter", lambda x, i, s: x.scatter(1, i, s), [real(2, 5), APART, real(2, 3)], axis=1)
for ours, theirs in (("add", "sum"), ("mul", "prod"), ("amax", "amax"), ("amin", "amin")):
    ops.case("scatter", lambda x, i, s, r=theirs: x.scatter_reduce(0, i, s, r), [real(4, 3), index(7, 3, modulo=4), real(7, 3)],
             axis=0, reduce=ours)
TIES = values([1.0, 2.0, 3.0, 0.0])
for ours, theirs in (("amax", "amax"), ("amin", "amin"), ("mul", "prod")):
    ops.case("scatter", lambda x, i, s, r=theirs: x.scatter_reduce(0, i, s, r),
             [TIES, values([0, 0, 1, 2, 3], I64), values([1.0, 1.0, 2.0, 0.0, 5.0])], axis=0, reduce=ours)
ops.case("scatter_add", lambda x, i, s: x.scatter_add(0, i, s), [real(4, 3), index(7, 3, modulo=4), real(7, 3)], axis=0)
ops.case("take_along_axis", lambda x, i: x.gather(1, i), [real(3, 5), index(3, 4, modulo=5)], axis=1)
ops.case("index_copy", lambda x, i, s: x.index_copy(1, i, s), [real(3, 5), values([4, 1], I64), real(3, 2)], axis=1)
ops.case("index_fill", lambda x, i: x.index_fill(1, i, 0.7), [real(3, 5), values([4, 1, 4], I64)], axis=1, value=0.7)
ops.case("gather", lambda x, i: x.index_select(1, i), [real(3, 5), index(4, modulo=5)], axis=1)
ops.case("gather_nd", lambda x, i: x[i[..., 0], i[..., 1]], [real(5, 6, 2), index(3, 4, 2, modulo=5)])
ops.case("tensor_scatter", lambda x, i, u: x.index_put((i[:, 0], i[:, 1]), u),
         [real(3, 4), values([[0, 1], [2, 3], [1, 0]], I64), real(3)])
ops.case("tensor_scatter", lambda x, i, u: x.index_put((i[:, 0],), u, accumulate=True),
         [real(3, 4), index(6, 1, modulo=3), real(6, 4)], reduce="add")
ops.case("scatter_nd", lambda i, u: torch.zeros(3, 4, dtype=DTYPE).index_put((i[:, 0], i[:, 1]), u, accumulate=True),
         [index(6, 2, modulo=3), real(6)], shape=[3, 4])
ops.case("index_put", lambda x, v, i, j: x.index_put((i, j), v), [real(3, 4, 2), real(2), values([[0], [2]], I64), values([1, 3], I64)])
ops.case("index_put", lambda x, v, i: x.index_put((i,), v, accumulate=True), [real(3, 4), real(6, 4), index(6, modulo=3)],
         accumulate=True)
MASK = values([[1, 0, 1], [0, 1, 1]], "bool")
ops.case("masked_scatter", lambda x, m, s: x.masked_scatter(m, s), [real(2, 3), MASK, real(5)])

for offset in (0, 1, -1):
    ops.case("diagonal", lambda x, o=offset: x.diagonal(o, 0, 2), [real(3, 2, 4)], offset=offset, axis1=0, axis2=2)
    ops.case("diag_embed", lambda x, o=offset: torch.diag_embed(x, o), [real(2, 3)], offset=offset)
    ops.case("diag", lambda x, o=offset: torch.diag(x, o), [real(3, 4)], offset=offset)
    ops.case("diag", lambda x, o=offset: torch.diag(x, o), [real(3)], offset=offset)
ops.case("diag_embed", lambda x: torch.diag_embed(x, 0, 0, 2), [real(2, 3)], axis1=0, axis2=2)
ops.case("trace", torch.trace, [real(3, 4)])
ops.case("block_diag", torch.block_diag, [real(2, 3), real(2), real(), real(1, 2)])
ops.case("linspace", lambda: torch.linspace(-1.0, 2.5, 7, dtype=DTYPE), [], start=-1.0, end=2.5, steps=7, dtype="float64")
ops.case("logspace", lambda: torch.logspace(-1.0, 2.0, 5, 2.0, dtype=DTYPE), [], start=-1.0, end=2.0, steps=5, base=2.0,
         dtype="float64")
ops.case("vander", torch.vander, [real(4)], gradient=False)
ops.case("vander", lambda x: torch.vander(x, 3, True), [real(4)], gradient=False, n=3, increasing=True)
for k in (1, 2, 3):
    ops.case("rot90", lambda x, k=k: torch.rot90(x, k, (0, 2)), [real(2, 3, 4)], k=k, axes=[0, 2])
ops.case("roll", lambda x: torch.roll(x, (1, -2), (0, 1)), [real(3, 4)], shifts=[1, -2], axes=[0, 1])
ops.case("roll", lambda x: torch.roll(x, 5), [real(3, 4)], shifts=[5], axes=[])
ops.case("tril", lambda x: x.tril(1), [real(3, 4)], diagonal=1)
ops.case("triu", lambda x: x.triu(-1), [real(3, 4)], diagonal=-1)

for equation, shapes in (
    ("ij,jk->ik", ((3, 4), (4, 5))), ("ij,jk", ((3, 4), (4, 5))), ("bij,bjk->kbi", ((2, 3, 4), (2, 4, 5))),
    ("...ij,...jk->...ik", ((2, 1, 3, 4), (5, 4, 2))), ("...ij->...ji", ((2, 3, 4),)), ("ii", ((3, 3),)), ("iij->ji", ((3, 3, 2),)),
    ("ij->", ((3, 4),)), ("i,j->ji", ((3,), (4,))), ("ab,bc,cad->d", ((2, 3), (3, 4), (4, 2, 5))),
    ("ijk,ijk->jk", ((2, 3, 4), (2, 3, 4))), ("ba,b", ((3, 2), (3,))), ("zY,Yb", ((2, 3), (3, 2))),
):
    ops.case("einsum", lambda *xs, e=equation: torch.einsum(e, *xs), [real(*s) for s in shapes], equation=equation)
ops.case("tensordot", lambda x, y: torch.tensordot(x, y, ([1, 2], [1, 0])), [real(2, 3, 4), real(4, 3, 5)], axes_x=[1, 2],
         axes_y=[1, 0])
ops.case("inner", torch.inner, [real(2, 3), real(4, 3)])
ops.case("kron", torch.kron, [real(2, 3), real(2)])
ops.case("cross", lambda x, y: torch.linalg.cross(x, y, dim=1), [real(2, 3, 2), real(2, 3, 2)], axis=1)
for p in (0.0, 1.0, 1.5, 2.0, 3.0, float("inf")):
    ops.case("cdist", lambda x, y, p=p: torch.cdist(x, y, p), [real(4, 3), real(2, 5, 3)], p=p)
ops.case("cdist", torch.cdist, [values([[1.0, 2.0], [0.0, 0.0]]), values([[1.0, 2.0], [3.0, 1.0]])])
ops.case("addmm", lambda x, a, b: torch.addmm(x, a, b, beta=0.5, alpha=2.0), [real(5), real(3, 4), real(4, 5)], beta=0.5, alpha=2.0)
ops.case("baddbmm", lambda x, a, b: torch.baddbmm(x, a, b, beta=0.5, alpha=2.0), [real(2, 3, 5), real(2, 3, 4), real(2, 4, 5)],
         beta=0.5, alpha=2.0)
ops.write()
