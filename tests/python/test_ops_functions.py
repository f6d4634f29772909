# SPDX-License-Identifier: Apache-2.0
"""rutile.ops under MindSpore's names: functions and primitives against NumPy, in both modes of execution."""

import math

import numpy as np
import pytest

import rutile as ms
from rutile import Parameter, Tensor, ops
from rutile.ops import operations as P

RNG = np.random.default_rng(9)
A = RNG.normal(size=(3, 4)).astype(np.float32)
B = RNG.uniform(0.5, 2, size=(3, 4)).astype(np.float32)
C = RNG.normal(size=(2, 3, 4)).astype(np.float32)
I = np.array([[3, 1, 0, 2], [0, 0, 1, 3], [2, 2, 1, 0]])
a, b, c, i = Tensor(A), Tensor(B), Tensor(C), Tensor(I)

FUNCTIONS = {
    "zeros": (lambda: ops.zeros((2, 3)), lambda: np.zeros((2, 3), np.float32)),
    "ones": (lambda: ops.ones(3, ms.int32), lambda: np.ones(3, np.int32)),
    "full": (lambda: ops.full((2,), 7), lambda: np.full(2, 7)),
    "fill": (lambda: ops.fill(ms.float32, (2,), 7), lambda: np.full(2, 7, np.float32)),
    "like": (lambda: ops.zeros_like(a) + ops.ones_like(a) + ops.full_like(a, 2), lambda: np.full((3, 4), 3, np.float32)),
    "arange": (lambda: ops.arange(2, 10, 3), lambda: np.arange(2, 10, 3)),
    "linspace": (lambda: ops.linspace(0, 1, 5), lambda: np.linspace(0, 1, 5).astype(np.float32)),
    "eye": (lambda: ops.eye(2, 3), lambda: np.eye(2, 3, dtype=np.float32)),
    "one_hot": (lambda: ops.one_hot(Tensor([1, 9]), 3, 5, -1), lambda: np.array([[-1, 5, -1], [-1, -1, -1]])),
    "one_hot_axis": (lambda: ops.one_hot(i, 4, 1.0, 0.0, 0), lambda: np.moveaxis(np.eye(4, dtype=np.float32)[I], -1, 0)),
    "expand_dims": (lambda: ops.expand_dims(a, -1), lambda: A[..., None]),
    "squeeze": (lambda: ops.squeeze(Tensor(A[:, None, :1])), lambda: A[:, 0]),
    "squeeze_axis": (lambda: ops.squeeze(Tensor(A[:, None]), 1), lambda: A),
    "flatten": (lambda: ops.flatten(c), lambda: C.reshape(2, 12)),
    "transpose": (lambda: ops.transpose(c, (2, 0, 1)), lambda: C.transpose(2, 0, 1)),
    "permute": (lambda: ops.permute(c, (1, 0, 2)), lambda: C.transpose(1, 0, 2)),
    "swapaxes": (lambda: ops.swapaxes(c, 0, -1), lambda: C.swapaxes(0, -1)),
    "movedim": (lambda: ops.movedim(c, (0, 1), (2, 0)), lambda: np.moveaxis(C, (0, 1), (2, 0))),
    "concat": (lambda: ops.cat((a, b), 1), lambda: np.concatenate([A, B], 1)),
    "stack": (lambda: ops.stack([a, b], -1), lambda: np.stack([A, B], -1)),
    "split": (lambda: ops.split(a, 3, 1), lambda: [A[:, :3], A[:, 3:]]),
    "split_sizes": (lambda: ops.split(a, [1, 3], 1), lambda: [A[:, :1], A[:, 1:]]),
    "chunk": (lambda: ops.chunk(a, 2), lambda: [A[:2], A[2:]]),
    "tensor_split": (lambda: ops.tensor_split(a, 3, 1), lambda: np.array_split(A, 3, 1)),
    "tensor_split_at": (lambda: ops.tensor_split(a, (1, 3), 1), lambda: np.split(A, (1, 3), 1)),
    "unstack": (lambda: ops.unstack(a), lambda: list(A)),
    "tile": (lambda: ops.tile(a, (2, 1, 3)), lambda: np.tile(A, (2, 1, 3))),
    "tile_deep": (lambda: ops.tile(Tensor(C[None, None]), (1, 2, 1, 1, 2)), lambda: np.tile(C[None, None], (1, 2, 1, 1, 2))),
    "repeat": (lambda: ops.repeat_interleave(a, 2, 0), lambda: np.repeat(A, 2, 0)),
    "repeat_list": (lambda: ops.repeat_interleave(a, [0, 2, 1], 0), lambda: np.repeat(A, [0, 2, 1], 0)),
    "repeat_flat": (lambda: ops.repeat_interleave(a, 3), lambda: np.repeat(A, 3)),
    "broadcast_to": (lambda: ops.broadcast_to(a, (2, -1, 4)), lambda: np.broadcast_to(A, (2, 3, 4))),
    "roll": (lambda: ops.roll(a, (1, -1), (0, 1)), lambda: np.roll(A, (1, -1), (0, 1))),
    "roll_flat": (lambda: ops.roll(a, 5), lambda: np.roll(A, 5)),
    "flip": (lambda: ops.flip(a, (0,)), lambda: A[::-1]),
    "pad": (lambda: ops.pad(a, (1, 2, 0, 1), value=5), lambda: np.pad(A, ((0, 1), (1, 2)), constant_values=5)),
    "pad_cut": (lambda: ops.pad(a, (-1, 1)), lambda: np.pad(A[:, 1:], ((0, 0), (0, 1)))),
    "meshgrid": (lambda: ops.meshgrid(Tensor([1, 2]), Tensor([3, 4, 5])), lambda: np.meshgrid([1, 2], [3, 4, 5])),
    "div": (lambda: ops.div(a, b, rounding_mode="trunc"), lambda: np.trunc(A / B)),
    "floor_divide": (lambda: ops.floor_divide(a, b), lambda: np.floor(A / B)),
    "floor_mod": (lambda: ops.floor_mod(i, 3), lambda: I % 3),
    "addcmul": (lambda: ops.addcmul(a, b, b, 2), lambda: A + 2 * B * B),
    "addcdiv": (lambda: ops.addcdiv(a, b, b, 2), lambda: A + 2),
    "lerp": (lambda: ops.lerp(a, b, 0.25), lambda: A + 0.25 * (B - A)),
    "xlogy": (lambda: ops.xlogy(Tensor([0.0, 2.0]), Tensor([0.0, 3.0])), lambda: np.array([0, 2 * math.log(3)], np.float32)),
    "hypot": (lambda: ops.hypot(a, b), lambda: np.hypot(A, B)),
    "clamp": (lambda: ops.clamp(a, -0.5, None), lambda: np.maximum(A, -0.5)),
    "clip_by_value": (lambda: ops.clip_by_value(a, Tensor(-1.0), Tensor(0.5)), lambda: np.clip(A, -1, 0.5)),
    "clip_by_norm": (lambda: ops.clip_by_norm(a, 0.1), lambda: A * 0.1 / np.linalg.norm(A)),
    "clip_by_global_norm": (lambda: ops.clip_by_global_norm((a, b), 1.0),
                            lambda: [x / math.sqrt((A**2).sum() + (B**2).sum()) for x in (A, B)]),
    "isclose": (lambda: ops.isclose(a, a + 1e-9), lambda: np.ones((3, 4), bool)),
    "matmul": (lambda: ops.matmul(c, Tensor(C.transpose(0, 2, 1))), lambda: C @ C.transpose(0, 2, 1)),
    "mv": (lambda: ops.mv(a, b[0]), lambda: A @ B[0]), "dot": (lambda: ops.dot(a[0], b[0]), lambda: A[0] @ B[0]),
    "outer": (lambda: ops.outer(a[0], b[0]), lambda: np.outer(A[0], B[0])),
    "addmm": (lambda: ops.addmm(a, a, Tensor(np.eye(4, dtype=np.float32)), beta=2), lambda: 3 * A),
    "mean": (lambda: ops.mean(c, (0, 2), True), lambda: C.mean((0, 2), keepdims=True)),
    "sum": (lambda: ops.sum(c, -1, True), lambda: C.sum(-1, keepdims=True)),
    "reduce": (lambda: ops.reduce_max(c, 1) + ops.reduce_min(c, 1) + ops.reduce_sum(c, 1), lambda: C.max(1) + C.min(1) + C.sum(1)),
    "prod": (lambda: ops.prod(b, 1), lambda: B.prod(1)),
    "all": (lambda: ops.all(a > 0, 1), lambda: (A > 0).all(1)), "any": (lambda: ops.any(a > 0), lambda: (A > 0).any()),
    "std": (lambda: ops.std(a, 1), lambda: A.std(1)), "var": (lambda: ops.var(a, 1, 1), lambda: A.var(1, ddof=1)),
    "max": (lambda: ops.max(a, 1), lambda: [A.max(1), A.argmax(1)]),
    "min": (lambda: ops.min(a, axis=0, keepdims=True), lambda: [A.min(0, keepdims=True), A.argmin(0)[None]]),
    "max_all": (lambda: ops.max(a)[0], lambda: A.max()),
    "argmax": (lambda: ops.argmax(a), lambda: A.argmax()), "argmin": (lambda: ops.argmin(a, 1), lambda: A.argmin(1).astype(np.int32)),
    "argmax_with_value": (lambda: ops.argmax_with_value(a, 1), lambda: [A.argmax(1), A.max(1)]),
    "norm": (lambda: ops.norm(a, dim=1), lambda: np.linalg.norm(A, axis=1)),
    "cumsum": (lambda: ops.cumsum(a, 1), lambda: A.cumsum(1)),
    "count_nonzero": (lambda: ops.count_nonzero(i, 1), lambda: (I != 0).sum(1).astype(np.int32)),
    "topk": (lambda: ops.topk(a, 2)[0], lambda: -np.sort(-A, -1)[:, :2]),
    "sort": (lambda: ops.sort(a, 0), lambda: [np.sort(A, 0), A.argsort(0).astype(np.int32)]),
    "argsort": (lambda: ops.argsort(a, descending=True), lambda: (-A).argsort(-1).astype(np.int32)),
    "gather": (lambda: ops.gather(a, Tensor([2, 0]), 0), lambda: A[[2, 0]]),
    "gather_d": (lambda: ops.gather_d(a, 1, i), lambda: np.take_along_axis(A, I, 1)),
    "index_select": (lambda: ops.index_select(a, 1, Tensor([3, 1])), lambda: A[:, [3, 1]]),
    "masked_fill": (lambda: ops.masked_fill(a, a > 0, 9), lambda: np.where(A > 0, np.float32(9), A)),
    "where": (lambda: ops.where(a > 0, a, 0.0), lambda: np.where(A > 0, A, np.float32(0))),
    "relu": (lambda: ops.relu(a), lambda: np.maximum(A, 0)),
    "softmax": (lambda: ops.softmax(a, axis=0), lambda: np.exp(A) / np.exp(A).sum(0)),
    "layer_norm": (lambda: ops.layer_norm(a, (4,), Tensor(B[0]), Tensor(B[1])),
                   lambda: (A - A.mean(1, keepdims=True)) / np.sqrt(A.var(1, keepdims=True) + 1e-5) * B[0] + B[1]),
    "l2_normalize": (lambda: ops.l2_normalize(a, 1), lambda: A / np.linalg.norm(A, axis=1, keepdims=True)),
    "dense": (lambda: ops.dense(a, b, Tensor(A[:, 0])), lambda: A @ B.T + A[:, 0]),
    "dense_of_one_feature": (lambda: ops.dense(a, b[0], Tensor(0.5)), lambda: A @ B[0] + np.float32(0.5)),
    "cosine_similarity": (lambda: ops.cosine_similarity(a, b),
                          lambda: (A * B).sum(1) / np.linalg.norm(A, axis=1) / np.linalg.norm(B, axis=1)),
    "nll_weight": (lambda: ops.nll_loss(a, Tensor([0, 3, 1]), Tensor(B[0])),
                   lambda: -(A[[0, 1, 2], [0, 3, 1]] * B[0, [0, 3, 1]]).sum() / B[0, [0, 3, 1]].sum()),
    "margin": (lambda: ops.margin_ranking_loss(a, b, ops.ones_like(a), 0.5), lambda: np.maximum(B - A + 0.5, 0).mean()),
    "softshrink": (lambda: ops.softshrink(a, 0.2), lambda: A - np.clip(A, -0.2, 0.2)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_functions(name, compiled):
    call, want = FUNCTIONS[name]
    got, want = (ms.jit(lambda: call()) if compiled else call)(), want()
    got, want = (got, want) if isinstance(got, tuple) else ([got], [want])
    assert len(got) == len(want)
    for x, y in zip(got, want):
        assert x.shape == np.shape(y) and x.asnumpy().dtype == np.asarray(y).dtype, (x.dtype, np.asarray(y).dtype)
        np.testing.assert_allclose(x.asnumpy(), y, rtol=2e-5, atol=2e-6)


PRIMITIVES = {
    "Add": (lambda: P.Add()(a, b), lambda: A + B), "Mul": (lambda: P.Mul()(a, 2.0), lambda: A * 2),
    "RealDiv": (lambda: P.RealDiv()(a, b), lambda: A / B), "ReLU": (lambda: P.ReLU()(a), lambda: np.maximum(A, 0)),
    "MatMul": (lambda: P.MatMul(transpose_b=True)(a, b), lambda: A @ B.T),
    "BatchMatMul": (lambda: P.BatchMatMul(True)(c, c), lambda: C.transpose(0, 2, 1) @ C),
    "Reshape": (lambda: ops.Reshape(input_shape=(3, 4), output_shape=(2, 6))(a, (2, 6)), lambda: A.reshape(2, 6)),
    "Transpose": (lambda: P.Transpose()(a, (1, 0)), lambda: A.T),
    "Concat": (lambda: P.Concat(1)((a, b)), lambda: np.concatenate([A, B], 1)),
    "Stack": (lambda: P.Stack(1)((a, b)), lambda: np.stack([A, B], 1)),
    "Split": (lambda: P.Split(1, 2)(a), lambda: np.split(A, 2, 1)), "Unstack": (lambda: P.Unstack(1)(a), lambda: list(A.T)),
    "ReduceMean": (lambda: P.ReduceMean(keep_dims=True)(c, (1, 2)), lambda: C.mean((1, 2), keepdims=True)),
    "ReduceSum": (lambda: P.ReduceSum()(c), lambda: C.sum()), "ReduceMax": (lambda: P.ReduceMax()(c, -1), lambda: C.max(-1)),
    "Argmax": (lambda: P.Argmax()(a), lambda: A.argmax(-1).astype(np.int32)),
    "ArgMaxWithValue": (lambda: P.ArgMaxWithValue(1)(a), lambda: [A.argmax(1), A.max(1)]),
    "Softmax": (lambda: P.Softmax()(a), lambda: np.exp(A) / np.exp(A).sum(-1, keepdims=True)),
    "Cast": (lambda: P.Cast()(i, ms.float32), lambda: I.astype(np.float32)),
    "Squeeze": (lambda: P.Squeeze(1)(Tensor(A[:, None])), lambda: A), "ExpandDims": (lambda: P.ExpandDims()(a, 0), lambda: A[None]),
    "Slice": (lambda: P.Slice()(a, (1, 0), (2, 3)), lambda: A[1:, :3]),
    "StridedSlice": (lambda: P.StridedSlice(shrink_axis_mask=1, end_mask=2)(a, (1, 0), (2, 0), (1, 2)), lambda: A[1, ::2]),
    "Tile": (lambda: P.Tile()(a, (2, 2)), lambda: np.tile(A, (2, 2))), "Pad": (lambda: P.Pad(((1, 0), (0, 2)))(a), lambda: np.pad(A, ((1, 0), (0, 2)))),
    "OneHot": (lambda: P.OneHot()(i, 4, Tensor(1.0), Tensor(0.0)), lambda: np.eye(4, dtype=np.float32)[I]),
    "Gather": (lambda: P.Gather()(a, Tensor([1]), 1), lambda: A[:, [1]]), "TopK": (lambda: P.TopK()(a, 1)[0], lambda: A.max(1, keepdims=True)),
    "CumSum": (lambda: P.CumSum()(a, 0), lambda: A.cumsum(0)), "Select": (lambda: P.Select()(a > 0, a, b), lambda: np.where(A > 0, A, B)),
    "AddN": (lambda: P.AddN()((a, b, a)), lambda: A + B + A), "L2Loss": (lambda: P.L2Loss()(a), lambda: (A**2).sum() / 2),
    "Conv2D": (lambda: P.Conv2D(1, 3, pad_mode="same")(Tensor(np.ones((1, 1, 3, 3), np.float32)), Tensor(np.ones((1, 1, 3, 3), np.float32))),
               lambda: np.array([[[[4, 6, 4], [6, 9, 6], [4, 6, 4]]]], np.float32)),
    "MaxPool": (lambda: P.MaxPool(2, 2)(Tensor(C[None])), lambda: C[None, :, :2].reshape(1, 2, 1, 2, 2, 2).max((3, 5))),
    "LayerNorm": (lambda: P.LayerNorm(begin_norm_axis=-1)(a, Tensor(np.ones(4, np.float32)), Tensor(np.zeros(4, np.float32)))[0],
                  lambda: (A - A.mean(1, keepdims=True)) / A.std(1, keepdims=True)),
    "SoftmaxCrossEntropyWithLogits": (lambda: P.SoftmaxCrossEntropyWithLogits()(a, Tensor(np.eye(3, 4, dtype=np.float32)))[0],
                                      lambda: np.log(np.exp(A).sum(1)) - A[np.arange(3), np.arange(3)]),
    "Eye": (lambda: P.Eye()(2, 2, ms.float32), lambda: np.eye(2, dtype=np.float32)),
    "DivNoNan": (lambda: P.DivNoNan()(Tensor([1.0, 2.0]), Tensor([0.0, 4.0])), lambda: np.array([0, 0.5], np.float32)),
}


@pytest.mark.parametrize("name", PRIMITIVES)
def test_primitives(name):
    call, want = PRIMITIVES[name]
    got, want = call(), want()
    got, want = (got, want) if isinstance(got, tuple) else ([got], [want])
    for x, y in zip(got, want):
        assert x.shape == np.shape(y) and x.asnumpy().dtype == np.asarray(y).dtype
        np.testing.assert_allclose(x.asnumpy(), y, rtol=1e-4, atol=1e-5)


def test_primitives_as_objects():
    assert ops.Conv2D is P.Conv2D and ops.Add()(a, b).shape == (3, 4)
    assert repr(P.ReduceSum(keep_dims=True)) == "Prim[ReduceSum]<keep_dims=True>"
    assert len(P.__all__) > 130
    for call in (lambda: P.Conv2D(), lambda: P.Add(3), lambda: P.ReduceSum(nothing=1)):
        with pytest.raises(TypeError):
            call()


def test_random_functions():
    ms.set_seed(4)
    for x, low, high in ((ops.rand(1000), 0, 1), (ops.uniform((1000,), -2.0, 3.0), -2, 3), (ops.randint(5, 9, (1000,)), 5, 9)):
        v = x.asnumpy()
        assert v.min() >= low and v.max() < high and v.shape == (1000,)
    assert abs(float(ops.mean(ops.normal((4000,), 2.0, 0.5))) - 2) < 0.05
    assert sorted(ops.randperm(10).asnumpy().tolist()) == list(range(10))
    assert ops.randn(2, 3).shape == ops.randn((2, 3)).shape == ops.rand_like(a[:2, :3]).shape == (2, 3)
    y = ops.dropout(ops.ones((1000,)), 0.5)
    assert 300 < (y.asnumpy() == 0).sum() < 700 and (ops.dropout(a, 0.5, training=False).asnumpy() == A).all()


def test_parameters():
    p = Parameter(Tensor([1.0, 2.0]), name="p")
    assert ops.assign(p, Tensor([3.0, 4.0])) is p and p.asnumpy().tolist() == [3, 4]
    ops.assign_add(p, 1)
    ops.assign_sub(p, Tensor([0.0, 1.0]))
    assert p.asnumpy().tolist() == [4, 4]
    assert ops.is_tensor(p) and not ops.is_tensor(3) and ops.shape(p) == (2,) and ops.rank(p) == 1 and ops.size(p) == 2


def test_gradients():
    f = ops.GradOperation(get_all=True)(lambda x, y: x * x * y)
    assert [g.asnumpy().tolist() for g in f(Tensor([2.0]), Tensor([3.0]))] == [[12], [4]]
    f = ops.GradOperation(sens_param=True)(lambda x: x * x)
    assert f(Tensor([2.0]), Tensor([10.0])).asnumpy().tolist() == [40]
    both = ms.grad(lambda x, y: (2 * x, 3 * x * y), (0, 1))(Tensor(1.0), Tensor(1.0))
    assert [float(g) for g in both] == [5, 3]
    w = Parameter(Tensor(2.0), name="w")
    (_, g) = ms.value_and_grad(lambda x: x * w, 0, [w], return_ids=True)(Tensor(3.0))
    assert g[0][0] == 0 and g[1][0][0] == "w" and float(g[1][0][1]) == 3
    assert float(ms.grad(lambda x: ops.stop_gradient(x) * x)(Tensor(3.0))) == 3


def test_structures():
    add = ops.MultitypeFuncGraph("add")

    @add.register("Tensor", "Number")
    def _(x, y):
        return x + y

    @add.register("Tensor", "Tensor")
    def _(x, y):
        return x * y

    out = ops.HyperMap(add)((Tensor(2.0), (Tensor(3.0),)), (1, (Tensor(4.0),)))
    assert (float(out[0]), float(out[1][0])) == (3, 12)
    with pytest.raises(TypeError):
        add("a", "b")
    with pytest.raises(ValueError):
        ops.HyperMap(add)((1, 2), (1,))
    assert ops.Map(max)([1, 5], [3, 2]) == (3, 5)


@pytest.mark.parametrize("call", [
    lambda: ops.squeeze(a, 9), lambda: ops.split(a, [1, 1], 1), lambda: ops.pad(a, (1, 2, 3)), lambda: ops.expand_dims(a, 9),
    lambda: ops.clamp(a), lambda: ops.one_hot(i, 4, axis=9), lambda: ops.norm(Tensor(C), 1), lambda: ops.div(a, b, rounding_mode="up"),
    lambda: ops.mean(a, nothing=1), lambda: ops.dropout(a, 2.0), lambda: ops.conv2d(a, b), lambda: ops.mse_loss(a, b, "avg"),
    lambda: ops.conv2d(Tensor(C[None]), Tensor(C[None]), pad_mode="same", padding=1), lambda: ops.stack([]), lambda: ops.linspace(0, 1, 0),
    lambda: ops.matmul(a, b), lambda: ops.transpose(a, (0, 0)), lambda: ops.reshape(a, (5, 5)), lambda: ops.value_and_grad(3),
    lambda: ops.tile(a, (-1, 2)), lambda: ops.meshgrid(a[0], indexing="no"), lambda: ops.concat([])])
def test_wrong_arguments(call):
    with pytest.raises((ValueError, TypeError, IndexError, NotImplementedError)) as info:
        call()
    assert isinstance(info.value, ms.Error), type(info.value)
    assert "test_ops_functions.py" in str(info.value) or "rutile" not in str(info.value)
