# SPDX-License-Identifier: Apache-2.0
"""Primitives made from the table of functions, vjp and jvp."""

import numpy as np
import pytest

from rutile import Parameter, Tensor, jit, jvp, ops, vjp
from rutile.ops import operations as P
from rutile.ops._primitives import TABLE

X = np.random.RandomState(0).randn(3, 4).astype(np.float32)


def test_each_row_names_a_function():
    for name, (function, given) in TABLE.items():
        modules = (ops.function, ops.function.exact, ops.function.factors, ops.table)
        found = next((getattr(m, function) for m in modules if hasattr(m, function)), None)
        if found is None:  # waits for an op of the table
            assert not hasattr(P, name)
            continue
        p = getattr(P, name)
        assert callable(found), name
        if all("=" in item for item in given.split()):
            assert repr(p()).startswith(f"Prim[{name}]")
        else:
            with pytest.raises(TypeError):
                p()
        assert p.__doc__


def test_values():
    x = Tensor(X)
    for got, want in ((P.GatherNd()(x, Tensor([[0, 1]])), X[0, 1:2]), (P.Roll(1, 0)(x), np.roll(X, 1, 0)),
                      (P.UnsortedSegmentSum()(x, Tensor([0, 0, 1]), 2), np.stack([X[0] + X[1], X[2]])),
                      (P.TensorScatterAdd()(x, Tensor([[0, 0]]), Tensor([1.0])), X + np.eye(12)[0].reshape(3, 4)),
                      (P.CumProd()(x, 1), np.cumprod(X, 1)), (P.Einsum("ij->ji")((x,)), X.T), (P.Cummax(0)(x)[0], np.maximum.accumulate(X)),
                      (P.LeftShift()(Tensor([1]), Tensor([3])), [8]), (P.Bucketize([0.0])(x), (X > 0).astype(int)),
                      (P.SquareSumAll()(x, x)[1], (X ** 2).sum()), (P.ReduceStd(axis=1)(x)[0], X.std(1, ddof=1))):
        np.testing.assert_allclose(got.asnumpy(), want, rtol=1e-5)
    p = Parameter(x, name="p")
    P.ScatterNdAdd(use_locking=True)(p, Tensor([[1, 1]]), Tensor([2.0]))
    assert p.asnumpy()[1, 1] == X[1, 1] + 2


def test_vjp_and_jvp():
    a, b = Tensor(X), Tensor(X[:, :3])
    w = np.random.RandomState(1).randn(3, 4).astype(np.float32)

    def f(x, y):
        return ops.matmul(y, ops.sin(x)), ops.exp(y)

    (m, e), pull = vjp(f, a, b)
    u = Tensor(w), Tensor(w[:, :3])
    gx, gy = pull(*u)
    np.testing.assert_allclose(gx.asnumpy(), X[:, :3].T @ w * np.cos(X), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(gy.asnumpy(), w @ np.sin(X).T + w[:, :3] * np.exp(X[:, :3]), rtol=2e-5, atol=1e-6)
    v = Tensor(w), Tensor(w[:, 1:])
    _, (dm, de) = jvp(f, (a, b), v)
    np.testing.assert_allclose(dm.asnumpy(), w[:, 1:] @ np.sin(X) + X[:, :3] @ (np.cos(X) * w), rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(de.asnumpy(), np.exp(X[:, :3]) * w[:, 1:], rtol=2e-5)
    _, one, aux = jvp(lambda x: (ops.tanh(x), 7), a, Tensor(w), has_aux=True)
    np.testing.assert_allclose(one.asnumpy(), w / np.cosh(X) ** 2, rtol=1e-4, atol=1e-6)
    assert aux == 7
    traced = jit(lambda x, t: jvp(ops.tanh, x, t)[1])(a, Tensor(w))
    np.testing.assert_allclose(traced.asnumpy(), one.asnumpy(), rtol=1e-5)
    scale = Parameter(Tensor(2.0), name="scale")
    gx, (gw,) = vjp(lambda x: x * scale, a, weights=[scale])[1](Tensor(w))
    np.testing.assert_allclose(gw.asnumpy(), (X * w).sum(), rtol=1e-5)
    with pytest.raises(ValueError):
        pull(Tensor(w))
    with pytest.raises(ValueError):
        jvp(ops.sin, a, b)


def _updated(op, *inputs, seed=1, shape=(2, 3, 4)):
    r = np.random.default_rng(seed)
    make = lambda name, shape, draw: Parameter(Tensor(draw(size=shape).astype(np.float32)), name=name)
    param, avg, sq = make("param", shape, r.normal), make("avg", shape, r.normal), make("sq", shape, r.uniform)
    row, col = make("row", shape[:-1] or (1,), r.uniform), make("col", shape[:-2] + shape[-1:], r.uniform)
    grad = Tensor(r.normal(size=shape).astype(np.float32))
    op((1e-30, 1e-3), 1.0, 0.9, 0.8, 1e-2, 0.03, grad, param, avg, row, col, sq, *inputs)
    return [p.asnumpy().reshape(-1)[:4] for p in (param, avg, sq, row, col)]


def test_ada_factor():
    # MindSpore 2.10's numbers.
    want = [[2.786089, 2.521576, 0.486971, -0.923358], [-2.44057, -1.700113, -0.156596, -0.379554], [0.819627, 0.683287, 0.787097, 0.191616],
            [0.344796, 0.478878, 0.069203, 0.565251], [0.732868, 0.583027, 0.198861, 0.61788]]
    for got, w in zip(_updated(P.FusedAdaFactorWithGlobalNorm(True, True, True), Tensor([2.5])), want):
        np.testing.assert_allclose(got, w, atol=2e-6)
    got = _updated(P.FusedAdaFactor(), shape=(4,))
    np.testing.assert_allclose(got[0], [0.357781, 0.879634, 0.339674, -1.303507], atol=2e-6)
    np.testing.assert_allclose(got[2], [0.456781, 0.144323, 0.61604, 0.430528], atol=2e-6)


@pytest.mark.parametrize("norm, m, v, var", [(1.0, 1.2, 1.0079999, 0.99880475), (2.0, 1.05, 1.00125, 0.99895066), (4.0, 0.975, 0.9995625, 0.9990248)])
def test_cast_adam_divides_by_the_norm(norm, m, v, var):
    from rutile import float16
    for dtype, tolerance in ((float16, 1e-3), (Tensor([1.0]).dtype, 1e-6)):
        ps = [Parameter(ops.ones((2, 2), t), name=n) for n, t in (("var", dtype), ("m", "float32"), ("v", "float32"))]
        P.FusedCastAdamWeightDecay()(*ps, 0.001, 0.9, 0.999, 1e-8, 0.0, ops.full((2, 2), 3.0, dtype=float16), norm)
        for p, want in zip(ps, (var, m, v)):
            np.testing.assert_allclose(p.asnumpy().astype(np.float64), want, rtol=tolerance if p is ps[0] else 1e-6)
        assert ps[0].dtype == dtype


def test_parts_of_images():
    size, boxes = Tensor([640, 480, 3], "int32"), Tensor([[[0.38, 0.17, 0.95, 0.40]]])
    draw = P.SampleDistortedBoundingBoxV2(seed=1, seed2=1, aspect_ratio_range=(0.9, 1.1), area_range=(0.1, 1.0))
    seen = set()
    for _ in range(20):
        (y, x, none), (h, w, rest), box = (v.asnumpy() for v in draw(size, boxes, Tensor([0.8])))
        assert none == 0 and rest == -1 and 0 <= y and y + h <= 640 and 0 <= x and x + w <= 480
        assert 0.1 <= h * w / (640 * 480) <= 1 and (0.88 < w / h < 1.12 or (h, w) == (640, 480))
        np.testing.assert_allclose(box.reshape(-1), [y / 640, x / 480, (y + h) / 640, (x + w) / 480], rtol=1e-6)
        inside = max(min(y + h, 608) - max(y, 243.2), 0) * max(min(x + w, 192) - max(x, 81.6), 0)
        assert inside >= 0.8 * 364.8 * 110.4
        seen.add((y, x, h, w))
    assert len(seen) > 5
    again = P.SampleDistortedBoundingBoxV2(seed=1, seed2=1, aspect_ratio_range=(0.9, 1.1), area_range=(0.1, 1.0))
    assert tuple(np.concatenate([v.asnumpy()[:2] for v in again(size, boxes, Tensor([0.8]))[:2]])) in seen
    none = Tensor(np.zeros((1, 0, 4), np.float32))
    with pytest.raises(ValueError, match="no bounding boxes"):
        draw(size, none, Tensor([0.8]))
    P.SampleDistortedBoundingBoxV2(use_image_if_no_bounding_boxes=True)(size, none, Tensor([0.1]))


@pytest.mark.parametrize("wrap", [lambda f: f, jit], ids=["eager", "jit"])
def test_triplet_margins_are_inputs(wrap):
    a, b, c = (Tensor(np.random.default_rng(i).normal(size=(5, 4)).astype(np.float32)) for i in range(3))
    for reduction in ("mean", "sum", "none"):
        for swap in (False, True):
            want = ops.triplet_margin_loss(a, b, c, margin=1.5, swap=swap, reduction=reduction)
            op = P.TripletMarginLoss(swap=swap, reduction=reduction)
            for margin in (1.5, Tensor(1.5), Tensor([1.5])):
                np.testing.assert_allclose(wrap(lambda *x: op(*x, margin))(a, b, c).asnumpy(), want.asnumpy(), rtol=1e-5)


def test_rows_that_are_not_there_are_left_out():
    for indices, row in (([1], 0.2), ([0], 0.1007368)):
        ps = [Parameter(Tensor([[v]], "float32"), name=n) for v, n in ((0.2, "var"), (0.1, "accum"), (0.6, "linear"))]
        P.SparseApplyFtrl(lr=0.01, l1=0.0, l2=0.0, lr_power=-0.5)(*ps, Tensor([[0.7]]), Tensor(indices, "int32"))
        assert ps[0].asnumpy()[0, 0] == pytest.approx(row)
    var, accum = Parameter(ops.full((2, 1), 0.2)), Parameter(ops.full((2, 1), 1.2))
    P.SparseApplyAdagrad(lr=0.1)(var, accum, Tensor([[0.7], [0.5]]), Tensor([0, 2], "int32"))
    np.testing.assert_allclose(np.concatenate([var.asnumpy(), accum.asnumpy()]).ravel(), [0.14615385, 0.2, 1.69, 1.2], rtol=1e-6)


def test_numbers_and_counts():
    from rutile import bool_, int64
    from rutile.ops import functional as F
    assert ops.scalar_cast(-3.5, int64) == -3 and ops.scalar_cast(2, bool_) is True and type(ops.scalar_cast(3, "float64")) is float
    assert P.ScalarCast()(3.5, int64) == 3 and ops.count_nonzero(input=Tensor([[0, 1], [2, 3]]), dim=1).asnumpy().tolist() == [1, 2]
    assert F.scalar_max(2, 3) == 3 and F.tuple_setitem((1, 2), 0, 5) == (5, 2) and F.dict_setitem({"a": 1}, "b", 2) == {"a": 1, "b": 2}
    with pytest.raises(TypeError, match="cast"):
        ops.scalar_cast(Tensor(3.5), int64)
    with pytest.raises(ValueError):
        ops.scalar_cast(3.5, "complex64")
    with pytest.raises(ValueError, match="depth"):
        ops.one_hot(Tensor([1, 2]), -3)
    x = Tensor([[1, 2], [3, 4]])
    assert x.cumsum().asnumpy().tolist() == [1, 3, 6, 10] and x.cumsum(0).asnumpy().tolist() == [[1, 2], [4, 6]]
    assert ops.t(ops.ones((2, 3, 4))).shape == (2, 3, 4)
    y = Tensor([3.0, 4.0])
    assert isinstance(ops.clip_by_global_norm(y, 1.0), Tensor) and np.allclose(ops.clip_by_global_norm(y, 1.0).asnumpy(), [0.6, 0.8])
    z = y
    ops.assign_add(y, Tensor([1.0, 1.0]))
    ops.assign_sub(y, Tensor([0.5, 0.5]))
    assert z.asnumpy().tolist() == [3.5, 4.5] and ops.assign(z, Tensor([1, 2])).dtype == z.dtype and y.asnumpy().tolist() == [1, 2]
    with pytest.raises(ValueError, match="shape"):
        ops.assign(y, Tensor([1.0]))
    assert ops.full_like(y, Tensor(0.5)).asnumpy().tolist() == [0.5, 0.5] and ops.arange(Tensor(2.5)).shape == (3,)
