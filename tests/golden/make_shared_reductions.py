# SPDX-License-Identifier: Apache-2.0
"""Writes shared_reductions.json: scans, order statistics, searching and counting (needs torch)."""

import torch
from shared_ops import SharedOps, index, real, values

NAN, INF = float("nan"), float("inf")
ops = SharedOps("reductions")

ops.case("cumprod", lambda x: x.cumprod(1), [real(3, 5)], axis=1)
ops.case("cumprod", lambda x: x.cumprod(0), [values([[2.0, 0.0, 3.0], [1.0, 0.0, 0.0], [4.0, 5.0, 2.0]])], axis=0)
ops.case("cumprod", lambda x: x.cumprod(0), [index(9, modulo=7)], axis=0)
for name in ("cummax", "cummin"):
    f = getattr(torch, name)
    ops.case(name, lambda x, f=f: f(x, 1), [real(3, 7)], axis=1)
    ops.case(name, lambda x, f=f: f(x, 0), [values([1.0, 1.0, 2.0, NAN, 5.0, NAN, 0.0])], gradient=False, axis=0)
    ops.case(name, lambda x, f=f: f(x, 0), [index(12, modulo=4)], axis=0)
ops.case("logcumsumexp", lambda x: x.logcumsumexp(1), [real(3, 5, bound=4.0)], axis=1)
ops.case("logcumsumexp", lambda x: x.logcumsumexp(0), [values([-INF, 1.0, 800.0, -800.0, INF])], gradient=False, axis=0)
ops.case("diff", lambda x: x.diff(n=2, dim=0), [real(5, 3)], n=2, axis=0)
ops.case("diff", torch.diff, [index(9, modulo=20)])
ops.case("trapezoid", lambda y: torch.trapezoid(y, dx=0.3), [real(3, 5)], dx=0.3)
ops.case("trapezoid", lambda y, x: torch.trapezoid(y, x), [real(3, 5), real(5)])
ops.case("trapezoid", lambda y, x: torch.trapezoid(y, x, dim=0), [real(3, 5), real(3, 5)], axis=0)

ops.case("kthvalue", lambda x: x.kthvalue(3, 1), [real(4, 9)], k=3, axis=1)
ops.case("median", lambda x: x.median(1), [real(4, 8)], axes=[1])
ops.case("median", lambda x: [x.median()], [real(4, 7)], axes=[])
ops.case("median", lambda x: [x.median(1)[0]], [values([[1.0, NAN, 2.0], [3.0, 1.0, 2.0]])], gradient=False, axes=[1])
ops.case("nanmedian", lambda x: x.nanmedian(1), [values([[1.0, NAN, 2.0, 5.0], [3.0, 1.0, 2.0, 4.0]])], axes=[1])
ops.case("mode", lambda x: [x.mode(1)[0]], [values([[1.0, 2.0, 2.0, 1.0, 3.0], [5.0, 4.0, 5.0, 0.0, 1.0]])],
         gradient=False, axis=1)
Q = values([0.0, 0.3, 0.5, 1.0])
for mode in ("linear", "lower", "higher", "midpoint", "nearest"):
    ops.case("quantile", lambda x, q, mode=mode: torch.quantile(x, q.detach(), 1, interpolation=mode), [real(3, 8), Q],
             axes=[1], interpolation=mode)
ops.case("quantile", lambda x, q: torch.quantile(x, q.detach()), [real(3, 8), values(0.7)])
ops.case("quantile", lambda x, q: torch.quantile(x, q.detach(), 0, True), [values([[1.0, NAN], [2.0, 3.0]]), Q],
         gradient=False, axes=[0], keepdims=True)
ops.case("nanquantile", lambda x, q: torch.nanquantile(x, q.detach(), 1),
         [values([[1.0, NAN, 4.0, 2.5], [2.0, 3.0, NAN, NAN], [NAN, NAN, NAN, NAN]]), Q], gradient=False, axes=[1])

LINE = values([-0.5, 0.0, 0.0, 0.25, 1.0])
for right in (False, True):
    ops.case("searchsorted", lambda s, v, r=right: torch.searchsorted(s, v, right=r),
             [LINE, values([[-1.0, 0.0, 0.25], [0.3, 1.0, 2.0]])], gradient=False, right=right)
    ops.case("bucketize", lambda v, s, r=right: torch.bucketize(v, s, right=r), [real(3, 4), LINE], gradient=False,
             right=right)
ops.case("isin", torch.isin, [index(3, 9, modulo=20), index(6, modulo=20)])
ops.case("isin", lambda x, t: torch.isin(x, t, invert=True), [index(9, modulo=20), index(6, modulo=20)], invert=True)
ops.case("bincount", lambda x: torch.bincount(x, minlength=9), [index(30, modulo=9)], length=9)
ops.case("bincount", lambda x, w: torch.bincount(x, w.detach(), minlength=9), [index(30, modulo=9), real(30)],
         gradient=False, length=9)
ops.case("histc", lambda x: torch.histc(x, 6, -0.5, 1.0), [real(40)], gradient=False, bins=6, min=-0.5, max=1.0)
ops.case("histc", lambda x: torch.histc(x, 5), [real(40)], gradient=False, bins=5)
for name in ("nansum", "nanmean"):
    f = getattr(torch, name)
    ops.case(name, lambda x, f=f: f(x, 1), [values([[1.0, NAN, 2.0], [3.0, 1.0, 2.0]])], axes=[1])
    ops.case(name, lambda x, f=f: f(x, (0, 2), keepdim=True), [real(2, 3, 4)], axes=[0, 2], keepdims=True)
ops.case("count_nonzero", lambda x: x.count_nonzero(1), [index(3, 9, modulo=3)], axes=[1])
ops.case("aminmax", lambda x: torch.aminmax(x, dim=1), [real(3, 5)], axes=[1])
for name in ("sum", "mean", "logsumexp"):
    ops.case(name, lambda x, n=name: getattr(torch, n)(x, (0, -1)), [real(2, 3, 4)], axes=[0, -1])
for name in ("max", "min"):
    ops.case(name, lambda x, n=name: getattr(torch, "a" + n)(x, (0, 2)), [values([[[1.0, 2.0], [2.0, 0.0]], [[2.0, 1.0], [0.0, 0.0]]])],
             axes=[0, 2])
ops.case("prod", lambda x: x.prod(1), [values([[1.0, 0.0, 3.0], [2.0, -1.0, 4.0], [0.0, 0.0, 1.0]])], axes=[1])
for correction in (0, 1):
    ops.case("var", lambda x, c=correction: x.var((0, 2), correction=c), [real(2, 3, 4)], axes=[0, 2], correction=correction)
    ops.case("std", lambda x, c=correction: x.std(1, correction=c, keepdim=True), [real(2, 3, 4)], axes=[1], correction=correction, keepdims=True)
ops.case("argmax", lambda x: x.argmax(1), [real(4, 6)], gradient=False, axes=[1])
ops.case("cumsum", lambda x: x.cumsum(0), [real(4, 6)], axis=0)
ops.case("sort", lambda x: x.sort(1, descending=True), [real(4, 6)], axis=1, descending=True)
ops.case("topk", lambda x: x.topk(3, 1), [real(4, 6)], k=3, axis=1)
ops.case("norm", lambda x: x.norm(2, 1), [real(4, 6)], axes=[1])
ops.case("cov", torch.cov, [real(3, 9)])
ops.case("cov", lambda x: torch.cov(x, correction=0), [real(9)], correction=0)
ops.case("corrcoef", torch.corrcoef, [real(3, 9)], gradient=False)
ops.write()
