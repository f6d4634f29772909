# SPDX-License-Identifier: Apache-2.0
"""What MindSpore's own tests of its operators rely on: dtypes of primitives, attributes, variables made of one tensor."""

import numpy as np
import pytest

import rutile as ms
from rutile import nn, ops
from rutile.ops import operations as P


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8"])
def test_integers_stay_integers(dtype):
    x, y = np.array([7, 100, 9], dtype), np.array([2, 3, 10], dtype)
    for primitive in (P.RealDiv(), P.DivNoNan()):
        got = primitive(ms.Tensor(x), ms.Tensor(y)).asnumpy()
        assert got.dtype == x.dtype and (got == x // y).all()
    for got, want in ((P.ReduceSum()(ms.Tensor(y), 0), 15), (P.ReduceProd()(ms.Tensor(y), 0), 60), (P.ReduceMean()(ms.Tensor(y), 0), 5),
                      (P.CumSum()(ms.Tensor(y), 0), [2, 5, 15]), (P.CumProd()(ms.Tensor(y), 0), [2, 6, 60]),
                      (P.Trace()(ms.Tensor(np.full((3, 3), 5, dtype))), 15), (P.Inv()(ms.Tensor(y)), [0, 0, 0])):
        assert got.asnumpy().dtype == x.dtype and (got.asnumpy() == np.array(want)).all()
    assert (P.RealDiv()(ms.Tensor(x), 2).asnumpy() == x // 2).all()
    for quotient in (P.Div()(ms.Tensor(x), ms.Tensor(y)), P.Div()(ms.Tensor(x), 2)):  # since 2.x
        assert quotient.dtype == ms.float32
    np.testing.assert_allclose(P.Div()(ms.Tensor(x), ms.Tensor(y)).asnumpy(), x / y, rtol=1e-6)
    assert P.DivNoNan()(ms.Tensor(x), ms.Tensor(np.zeros(3, dtype))).asnumpy().tolist() == [0, 0, 0]
    assert ops.tensor_scatter_div(ms.Tensor(x), ms.Tensor([[0], [0]], ms.int32), ms.Tensor(np.array([2, 2], dtype))).asnumpy().tolist() == [1, 100, 9]


def test_attributes():
    x = ms.Tensor(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    assert P.BroadcastTo((2, -1, 4))(x[:1]).shape == (2, 3, 4)
    rows = P.Gather(1)(x, ms.Tensor([[0, 2], [1, 1]], ms.int32), 1)
    assert (rows.asnumpy()[1] == x.asnumpy()[1, [1, 1]]).all()
    nan = ms.Tensor([np.nan, 1.0])
    assert P.IsClose(equal_nan=True)(nan, nan).asnumpy().all() and not P.IsClose(equal_nan=False)(nan, nan).asnumpy().all()
    assert np.allclose(P.BesselI0e()(ms.Tensor([1.0])).asnumpy(), 0.46575963)
    assert np.allclose(P.Softmax((1,))(x).asnumpy().sum(1), 1)
    assert P.Sort()(x)[1].dtype == ms.int32
    values, places = P.Unique()(ms.Tensor([3, 1, 3, 2], ms.int32))
    assert values.asnumpy().tolist() == [3, 1, 2] and places.asnumpy().tolist() == [0, 1, 0, 2]
    assert P.Range()(ms.Tensor(10.0), ms.Tensor(0.0), ms.Tensor(-4.0)).asnumpy().tolist() == [10, 6, 2]


def test_channels_last():
    image = np.random.RandomState(0).rand(2, 6, 6, 3).astype(np.float32)
    weight = np.random.RandomState(1).rand(4, 3, 3, 3).astype(np.float32)
    last, first = ms.Tensor(image), ms.Tensor(image.transpose(0, 3, 1, 2).copy())
    for a, b in ((P.MaxPool(2, 2, "valid", "NHWC")(last), P.MaxPool(2, 2)(first)), (P.AvgPool(3, 2, "same", "NHWC")(last), P.AvgPool(3, 2, "same")(first)),
                 (P.Conv2D(4, 3, data_format="NHWC")(last, ms.Tensor(weight)), P.Conv2D(4, 3)(first, ms.Tensor(weight.transpose(0, 3, 1, 2).copy()))),
                 (P.BiasAdd("NHWC")(last, ms.Tensor([1.0, 2.0, 3.0])), P.BiasAdd()(first, ms.Tensor([1.0, 2.0, 3.0])))):
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy().transpose(0, 2, 3, 1), rtol=1e-5)


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_variables_made_of_one_tensor_have_gradients_of_their_own(mode):
    start = ms.Tensor(np.ones(3, np.float32))

    class Net(nn.Cell):
        def __init__(self):
            super().__init__()
            self.w, self.b = ms.Parameter(start, name="w"), ms.Parameter(start, name="b")

        def construct(self, x):
            return (self.w * x + 3 * self.b).sum()

    before = ms.get_context("mode")
    ms.set_context(mode=mode)
    try:
        net = Net()
        for x, scale in ((ms.Tensor(np.full(3, 2, np.float32)), 2), (start, 1)):
            w, b = ops.grad(net, None, net.trainable_params())(x)
            assert w.asnumpy().tolist() == [scale] * 3 and b.asnumpy().tolist() == [3] * 3
        net.b.set_data(net.w.value())
        w, b = ops.grad(net, None, net.trainable_params())(start)
        assert w.asnumpy().tolist() == [1] * 3 and b.asnumpy().tolist() == [3] * 3
    finally:
        ms.set_context(mode=before)


@pytest.mark.parametrize("dtype", [ms.float16, ms.bfloat16])
def test_parameters_of_low_precision(dtype):
    p = ms.Parameter(ms.ops.ones((2, 2), dtype), name="p")
    P.AssignAdd()(p, ms.ops.ones((2, 2), dtype))
    P.ApplyFtrl()(p, ms.Parameter(ops.ones((2, 2), dtype)), ms.Parameter(ops.ones((2, 2), dtype)), ms.ops.ones((2, 2), dtype),
                  ms.Tensor(0.1), 0.0, 0.0, -0.5)
    assert p.dtype == dtype


def test_tensors_that_say_what_an_input_is():
    net = nn.ReLU()
    net.set_inputs(ms.Tensor(shape=[None, 3], dtype=ms.float32))
    assert net(ms.Tensor(np.ones((2, 3), np.float32))).shape == (2, 3)
    assert ms.Tensor(dtype=ms.float32, shape=None).dtype == ms.float32
    with pytest.raises(TypeError):
        ms.Tensor(dtype=ms.float32)
    with pytest.raises(TypeError):
        ms.Tensor(shape=["a"], dtype=ms.float32)


def test_functions_on_edges():
    i = ms.Tensor([[1, 2, 3], [4, 5, 6]], ms.int32)
    assert ops.clamp(i, 2.5).asnumpy().tolist() == [[2.5, 2.5, 3], [4, 5, 6]] and ops.clamp(i, 2, 4).dtype == ms.int32
    np.testing.assert_array_equal(ops.flatten(i, order="F").asnumpy(), [[1, 4], [2, 5], [3, 6]])
    assert ops.logspace(ms.Tensor(0.0), ms.Tensor(2.0), 3).asnumpy().tolist() == [1, 10, 100]
    assert ops.cumsum(i, 0).dtype == ms.int32 and ms.mint.cumsum(i, 0).dtype == ms.int64
    assert ops.adjoint(ms.Tensor(np.array([[1 + 2j, 3]], np.complex64))).asnumpy().tolist() == [[1 - 2j], [3]]
    assert np.allclose(ops.bessel_i1e(ms.Tensor([1.0])).asnumpy(), 0.20791042)
    assert ms.dtype_to_pytype(ms.uint8) is int and ms.get_py_obj_dtype(1.5) == ms.float64
    assert repr(ms.Tensor(np.float16([[1.5]]))) == "Tensor(shape=[1, 1], dtype=Float16, value=\n[[ 1.5000e+00]])"
    assert ops.functional.scalar_add(1, 2) == 3 and ops.functional.in_dict("a", {"a": 1})
    assert [v.shape for v in P.LayerNorm()(ops.ones((2, 3)), ops.ones(3), ops.zeros(3))] == [(2, 3), (2, 1), (2, 1)]


def test_ctc_loss_of_logits():
    """Against MindSpore 2.10's numbers."""
    x = ms.Tensor(np.random.RandomState(0).rand(4, 2, 4).astype(np.float32))
    labels = ms.Tensor([[0, 0], [0, 1], [1, 0]], ms.int64), ms.Tensor([2, 2, 1], ms.int32), ms.Tensor([4, 3], ms.int32)
    loss, gradient = P.CTCLoss()(x, *labels)
    np.testing.assert_allclose(loss.asnumpy(), [4.0315657, 1.9530811], rtol=1e-5)
    want = [0.23626554, 0.2790336, -0.56101537, 0.0457163, 0.20576614, -0.18104762, 0.20865302, -0.2333715]
    np.testing.assert_allclose(gradient.asnumpy().reshape(-1)[:8], want, rtol=1e-4, atol=1e-6)
    assert np.allclose(P.CTCLoss(preprocess_collapse_repeated=True)(x, *labels)[0].asnumpy(), [2.9531689, 1.9530811])
    volume = ms.Tensor(np.arange(54, dtype=np.float32).reshape(1, 2, 3, 3, 3))
    patches = P.ExtractVolumePatches([1, 1, 2, 2, 2], [1, 1, 1, 1, 1], "VALID")(volume).asnumpy()
    assert patches.shape == (1, 16, 2, 2, 2) and patches[0, :6, 0, 0, 0].tolist() == [0, 27, 1, 28, 3, 30]
    same = P.ExtractVolumePatches([1, 1, 2, 2, 2], [1, 1, 2, 2, 2], "SAME")(volume).asnumpy()
    assert same[0, :3, 1, 1, 1].tolist() == [26, 53, 0]


def test_gradient_primitives():
    from rutile.ops import _grad_ops as G
    rng = np.random.RandomState(0)
    x, dy = ms.Tensor(rng.rand(2, 3).astype(np.float32) * 0.8 + 0.1), ms.Tensor(rng.randn(2, 3).astype(np.float32))

    def want(forward, *inputs, sens=dy):
        out = ops.GradOperation(get_all=True, sens_param=True)(forward)(*inputs, sens)
        return out if len(out) > 1 else out[0]

    def equal(got, expected):
        for a, b in zip(got if isinstance(got, tuple) else (got,), expected if isinstance(expected, tuple) else (expected,)):
            np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=1e-4, atol=1e-5)

    for name in ("Sigmoid", "Tanh", "Sqrt", "Rsqrt", "Reciprocal", "Inv", "Asinh"):  # of the output
        forward = getattr(P, name)()
        equal(getattr(G, f"{name}Grad")()(forward(x), dy), want(forward, x))
    for name in ("Asin", "ACos", "Atan", "Abs"):  # of the input
        equal(getattr(G, f"{name}Grad")()(x, dy), want(getattr(P, name)(), x))
    for name in ("ReLU", "ReLU6", "Softplus", "HSigmoid", "HSwish", "SiLU", "SoftShrink", "HShrink"):
        equal(getattr(G, f"{name}Grad")()(dy, x), want(getattr(P, name)(), x))
    equal(G.GeLUGrad()(dy, x, x), want(P.GeLU(), x))
    equal(G.MaximumGrad()(x, dy, x), want(P.Maximum(), x, dy, sens=x))
    equal(G.LogSoftmaxGrad()(P.LogSoftmax()(x), dy), want(P.LogSoftmax(), x))
    gamma, beta = ms.Tensor([1.0, 2.0, 3.0]), ms.Tensor([0.0, 0.0, 0.0])
    _, mean, variance = P.LayerNorm(epsilon=1e-12)(x, gamma, beta)
    equal(G.LayerNormGrad()(x, dy, variance, mean, gamma), want(lambda *a: P.LayerNorm(epsilon=1e-12)(*a)[0], x, gamma, beta))
    image, weight = ms.Tensor(rng.rand(2, 3, 6, 6).astype(np.float32)), ms.Tensor(rng.rand(4, 3, 3, 3).astype(np.float32))
    ones = ops.ones((2, 4, 4, 4))
    equal(G.Conv2DBackpropFilter(4, 3)(ones, image, (4, 3, 3, 3)), want(lambda w: P.Conv2D(4, 3)(image, w), weight, sens=ones))
    pooled = P.MaxPool(2, 2)(image)
    equal(G.MaxPoolGrad(2, 2)(image, pooled, pooled), want(P.MaxPool(2, 2), image, sens=pooled))
    equal(G.BiasAddGrad()(image), image.sum((0, 2, 3)))


def test_log(capfd, monkeypatch):
    from rutile import log
    monkeypatch.setenv("GLOG_v", "1")
    log.info("epoch %d", 3)
    log.debug("not written")
    err = capfd.readouterr().err
    assert "epoch 3" in err and "not written" not in err and log.get_level() == "1"


def test_wrong_attributes():
    x = ops.ones((2, 3))
    for wrong, kind in ((lambda: P.ReduceSum(keep_dims=1), TypeError), (lambda: P.Conv2D(0, 3), ValueError), (lambda: P.Conv2D("a", 3), TypeError),
                        (lambda: P.Argmax(output_type=ms.float16)(x), TypeError), (lambda: P.Concat(axis=5)((x, x)), ValueError)):
        with pytest.raises(kind):
            wrong()


def test_batch_norm_of_plain_tensors():
    x = ms.Tensor(np.random.RandomState(0).rand(4, 2, 3, 3).astype(np.float32))
    one, zero = ms.Tensor([1.0, 1.0]), ms.Tensor([0.0, 0.0])
    y = ops.batch_norm(x, zero, one, one, zero, training=True).asnumpy()
    np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-5)
    assert zero.asnumpy().tolist() == [0, 0]
    mean, variance = ms.Parameter(zero), ms.Parameter(one)
    ops.batch_norm(x, mean, variance, one, zero, training=True)
    assert (mean.asnumpy() != 0).all()
