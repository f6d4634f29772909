# SPDX-License-Identifier: Apache-2.0
"""vmap, Jacobians, higher derivatives, gradients of one's own, hooks, ops of Python and C functions."""

import shutil
import subprocess

import numpy as np
import pytest

import rutile as ms
from rutile import Parameter, Tensor, nn, ops

X = np.random.RandomState(0).randn(3, 4, 5)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("in_axes,out_axes,want", [
    (0, 0, lambda x, y: np.einsum("bij,bij->bj", x, y)), ((1, 1), 0, lambda x, y: np.einsum("ibj,ibj->bj", x, y)),
    ((-1, 2), 1, lambda x, y: np.einsum("ijb,ijb->jb", x, y)), ((0, None), -1, lambda x, y: np.einsum("bij,ij->jb", x, y[0]))])
def test_vmap(compiled, in_axes, out_axes, want):
    x, y = Tensor(X), Tensor(X[::-1].copy())
    if in_axes == (0, None):
        y = y[0]
    f = ms.vmap(lambda a, b: (a * b).sum(0), in_axes, out_axes)
    g = ms.value_and_grad(f)
    f, g = (ms.jit(f), ms.jit(g)) if compiled else (f, g)
    expected = want(X, X[::-1])
    np.testing.assert_allclose(f(x, y).asnumpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(g(x, y)[1].asnumpy(), np.broadcast_to(y.asnumpy(), X.shape), rtol=1e-12)


def per_sample(net, loss, x, y):
    """Gradients of each sample's loss by the weights, one sample at a time."""
    step = ms.value_and_grad(lambda a, b: loss(net(a.reshape(1, *a.shape)), b.reshape(1)), None, net.trainable_params())
    grads = [step(x[i], y[i])[1] for i in range(x.shape[0])]
    return [np.stack([g[k].asnumpy() for g in grads]) for k in range(len(grads[0]))], step


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_vmap_gives_gradients_of_each_sample(compiled):
    ms.set_seed(3)
    net = nn.SequentialCell(nn.Conv2d(2, 4, 3, has_bias=True), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool2d(2, 2), nn.Flatten(), nn.LayerNorm((16,)),
                            nn.Dense(16, 5))
    rng = np.random.RandomState(1)
    x, y = Tensor(rng.randn(6, 2, 4, 4).astype(np.float32)), Tensor(rng.randint(0, 5, 6).astype(np.int32))
    want, step = per_sample(net, nn.CrossEntropyLoss(), x, y)
    f = ms.vmap(lambda a, b: step(a, b)[1])
    got = (ms.jit(f) if compiled else f)(x, y)
    for g, w in zip(got, want):
        np.testing.assert_allclose(g.asnumpy(), w, rtol=1e-4, atol=1e-5)


def test_vmap_calls_the_function_once():
    calls = []

    def fn(x):
        calls.append(x.shape)
        return (x * 2).sum()

    assert ms.vmap(fn)(Tensor(np.ones((50, 3), np.float32))).shape == (50,)
    assert calls == [(3,)]


def test_vmap_runs_slices_where_python_reads_values():
    f = ms.vmap(lambda x: x if x.sum() > 0 else -x)
    assert f(Tensor([[1.0, 2.0], [-3.0, -4.0]])).asnumpy().tolist() == [[1, 2], [3, 4]]
    norm = nn.BatchNorm2d(2, momentum=0.5)  # writes its statistics slice by slice
    norm.set_train()
    x = Tensor(np.stack([np.full((2, 2, 3, 3), k, np.float32) for k in (0, 4)]))
    ms.vmap(lambda v: norm(v))(x)
    np.testing.assert_allclose(norm.moving_mean.asnumpy(), [2, 2])
    with pytest.raises(IndexError):
        ms.vmap(lambda x, i: ops.gather(x, i, 0))(Tensor([[1.0, 2.0], [3.0, 4.0]]), Tensor(np.array([0, 5])))
    with pytest.raises(ZeroDivisionError):
        ms.vmap(lambda x: x / (1 // 0))(Tensor([1.0]))
    with pytest.raises(KeyboardInterrupt):
        ms.vmap(stop)(Tensor([1.0]))


def stop(x):
    raise KeyboardInterrupt


def test_vmap_over_networks_and_attention():
    ms.set_seed(5)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)
    layer.set_train(False)
    x = np.random.RandomState(2).randn(3, 2, 4, 8).astype(np.float32)
    want = np.stack([layer(Tensor(v)).asnumpy() for v in x])
    np.testing.assert_allclose(ms.vmap(layer)(Tensor(x)).asnumpy(), want, rtol=2e-5, atol=2e-5)
    cell = nn.LSTM(3, 4)
    z = np.random.RandomState(2).randn(2, 5, 1, 3).astype(np.float32)
    want = np.stack([cell(Tensor(v))[0].asnumpy() for v in z])
    np.testing.assert_allclose(ms.vmap(lambda v: cell(v)[0])(Tensor(z)).asnumpy(), want, rtol=2e-5, atol=2e-5)


def test_vmap_nests_and_takes_structures():
    a, b = Tensor(X[0]), Tensor(X[1])
    outer = ms.vmap(ms.vmap(lambda u, v: u * v, (None, 0)), (0, None))(a[:, 0], b[:, 1])
    np.testing.assert_allclose(outer.asnumpy(), np.outer(X[0][:, 0], X[1][:, 1]))
    both = ms.vmap(lambda p, s: (p[0] + p[1] * s, p[0].sum()), ((0, None), None), (1, 0))((a, b[0]), 2.0)
    np.testing.assert_allclose(both[0].asnumpy(), (X[0] + X[1][0] * 2).T)
    np.testing.assert_allclose(both[1].asnumpy(), X[0].sum(1))
    nets = nn.CellList([nn.Dense(5, 2), nn.Dense(5, 2)])
    y = ms.vmap(nets)(Tensor(X[:2].astype(np.float32)))
    np.testing.assert_allclose(y[1].asnumpy(), nets[1](Tensor(X[1].astype(np.float32))).asnumpy(), rtol=1e-6)
    for call, kind in ((lambda: ms.vmap(3), TypeError), (lambda: ms.vmap(lambda x: x, 5)(a), ValueError), (lambda: ms.vmap(lambda x: x, None)(a), ValueError),
                       (lambda: ms.vmap(lambda x, y: x)(a, b[:2]), ValueError), (lambda: ms.vmap(lambda x: x, (0, 0))(a), ValueError),
                       (lambda: ms.vmap(lambda x: x.sum(), 0, 3)(a), ValueError)):
        with pytest.raises(kind) as info:
            call()
        assert isinstance(info.value, ms.Error)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_jacobians(compiled):
    x, w = Tensor(X[0, :, 0]), Tensor(X[0, :, :2])

    def f(x, w):
        return ops.matmul(x * x, w), ops.sin(x)

    want = (np.stack([2 * X[0, :, 0] * X[0, :, k] for k in range(2)]), np.diag(np.cos(X[0, :, 0])))
    for jacobian in (ms.jacrev, ms.jacfwd):
        j = jacobian(f, (0, 1))
        (a, b), (c, d) = (ms.jit(j) if compiled else j)(x, w)
        np.testing.assert_allclose(a.asnumpy(), want[0], rtol=1e-12)
        np.testing.assert_allclose(c.asnumpy(), want[1], rtol=1e-12, atol=1e-15)
        assert b.shape == (2, 4, 2) and d.shape == (4, 4, 2) and not d.asnumpy().any()
        j, aux = jacobian(lambda v: (v * 2, 7), has_aux=True)(x)
        np.testing.assert_array_equal(j.asnumpy(), 2 * np.eye(4))
        assert aux == 7
        hessian = jacobian(ms.jacrev(lambda v: (v * v * v).sum()))(x)
        np.testing.assert_allclose(hessian.asnumpy(), np.diag(6 * X[0, :, 0]), rtol=1e-12, atol=1e-15)
        with pytest.raises(ValueError):
            jacobian(f, 2)(x, w)


def test_higher_derivatives():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    y, d = ops.derivative(lambda v: ops.exp(ops.sin(v)), Tensor(x, ms.float32), 3)
    np.testing.assert_allclose(d.asnumpy(), [[-4.0515366, 3.6724353], [0.5053504, -0.52061415]], rtol=1e-4)
    series = np.zeros((3, 2, 2))
    series[0] = 1
    y, s = ops.jet(lambda v: ops.exp(ops.sin(v)), Tensor(x), Tensor(series))
    np.testing.assert_allclose(y.asnumpy(), np.exp(np.sin(x)))
    np.testing.assert_allclose(s[2].asnumpy(), d.asnumpy(), rtol=1e-4)
    with pytest.raises(ValueError):
        ops.derivative(ops.sin, Tensor(x), 0)


def test_the_last_argument_may_scale_the_result():
    x = Tensor([1.0, 2.0])
    g = ms.grad(lambda v: v * v, sens_param=True)(x, Tensor([10.0, 100.0]))
    assert g.asnumpy().tolist() == [20, 400]
    g = ms.grad(lambda v: (v * v, v, 3), has_aux=True)(x)
    assert g[0].asnumpy().tolist() == [2, 4] and g[1][1] == 3
    ids = ms.grad(lambda v, w: v * w, (0, 1), return_ids=True)(x, x)
    assert ms.get_grad(ids, 1).asnumpy().tolist() == [1, 2]
    with pytest.raises(RuntimeError):
        ms.get_grad(ids, 5)


class Clipped(nn.Cell):
    def construct(self, x, y):
        return x * y

    def bprop(self, x, y, out, dout):
        return dout * 10 + out, dout * y


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE])
def test_cells_with_a_bprop(mode):
    ms.set_context(mode=mode)
    try:
        net, x, y = Clipped(), Tensor(2.0), Tensor(3.0)
        assert float(net(x, y)) == 6
        f = ms.grad(lambda a, b: net(a, b) * 5, (0, 1))
        for call in (f, ms.jit(f)):
            gx, gy = call(x, y)
            assert (float(gx), float(gy)) == (56.0, 15.0)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


def test_own_gradients():
    x = Tensor(X[0])
    twice = ms.grad(ms.grad(lambda v: ops.custom.with_gradient(lambda a: a * a, lambda a, out, dout: (dout * a * a,), v).sum()))

    def inner(v):
        return ops.custom.with_gradient(lambda a: ops.exp(a), lambda a, out, dout: dout * a * a, v)

    np.testing.assert_allclose(ms.grad(lambda v: ms.grad(inner)(v).sum())(x).asnumpy(), 2 * X[0], rtol=1e-12)
    assert twice is not None
    inf = ms.grad(lambda v: ops.custom.with_gradient(lambda a: a * 0.0, lambda a, out, dout: dout + 1, v))(Tensor([np.inf, 1.0]))
    assert inf.asnumpy().tolist() == [2, 2]
    with pytest.raises(ValueError):
        ms.grad(lambda v: ops.custom.with_gradient(lambda a: a, lambda a, out, dout: dout.sum(), v))(x)


def test_hooks():
    seen = []
    hook = ops.HookBackward(lambda g: seen.append(g))
    grads = ms.grad(lambda x, y: hook(x * y) * y, (0, 1))(Tensor(1.0), Tensor(2.0))
    assert [float(g) for g in grads] == [4, 4] and float(seen[0][0]) == 2
    pair = ops.HookBackward(lambda g: (g[0] * 2, g[1] * 3))
    grads = ms.grad(lambda x, y: sum(v.sum() for v in pair(x, y)), (0, 1))(Tensor(1.0), Tensor(2.0))
    assert [float(g) for g in grads] == [2, 3]

    def f(x):
        y = x * 3
        y.register_hook(lambda g: g * 10)
        return y * 2

    assert float(ms.grad(f)(Tensor(1.0))) == 60 and float(ms.jit(ms.grad(f))(Tensor(1.0))) == 60
    with pytest.raises(TypeError):
        ops.InsertGradientOf(3)


def test_custom_python():
    x = Tensor(X[0].astype(np.float32))
    two = ops.Custom(lambda a, b: (a + b, a * b), lambda s, t: (s, t), lambda s, t: (s, t), "pyfunc",
                     bprop=lambda a, b, out, dout: (dout[0] + dout[1] * b, dout[0] + dout[1] * a))
    total, product = two(x, x + 1)
    np.testing.assert_allclose(product.asnumpy(), (X[0] * (X[0] + 1)).astype(np.float32), rtol=1e-5)
    g = ms.grad(lambda v: two(v, v)[1].sum())(x)
    np.testing.assert_allclose(g.asnumpy(), 2 * X[0], rtol=1e-5)
    for call, kind in ((lambda: ops.Custom(lambda a: a, lambda s: (1,), lambda t: t)(x), ValueError), (lambda: ops.Custom("x", func_type="pyfunc"), TypeError),
                       (lambda: ops.Custom("none.so:f", func_type="aot"), ValueError), (lambda: ops.Custom(ops.sin, func_type="tbe"), ValueError)):
        with pytest.raises(kind):
            call()
    assert ops.PyFunc(lambda a: a + 1, [ms.float32], [(2,)], [ms.float32], [(2,)])([Tensor([1.0, 2.0])])[0].asnumpy().tolist() == [2, 3]


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_custom_c(tmp_path):
    source, library = tmp_path / "add.c", tmp_path / "add.so"
    source.write_text("""
#include <stdint.h>
#include <string.h>
int add(int n, void **params, int *ndims, int64_t **shapes, const char **dtypes, void *stream, void *extra) {
  if (n != 3 || strcmp(dtypes[0], "float32")) return 5;
  int64_t size = 1;
  for (int i = 0; i < ndims[2]; ++i) size *= shapes[2][i];
  for (int64_t i = 0; i < size; ++i) ((float *)params[2])[i] = ((float *)params[0])[i] + ((float *)params[1])[i];
  return 0;
}
""")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    add = ops.Custom(f"{library}:add", lambda a, b: a, lambda a, b: a, "aot", bprop=lambda a, b, out, dout: (dout, dout * 2))
    x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert add(x, x.T).asnumpy().tolist() == [[2, 5], [5, 8]]
    assert [float(g.sum()) for g in ms.grad(lambda a, b: add(a, b), (0, 1))(x, x)] == [4, 8]
    with pytest.raises(RuntimeError, match="returned 5"):
        add(x.astype(ms.float64), x.astype(ms.float64))
    with pytest.raises(ValueError, match="no function and no op .none.; functions of C"):
        ops.Custom(f"{library}:none", lambda a: a, lambda a: a, "aot")


def test_parameters_keep_their_own_gradients_beside():
    w = Parameter(Tensor([2.0]), name="w")
    f = lambda x: ops.custom.with_gradient(lambda v: v * 2, lambda v, out, dout: dout * 7, x * w)
    gx, gw = ms.grad(f, 0, [w])(Tensor([3.0]))
    assert gx.asnumpy().tolist() == [14] and gw[0].asnumpy().tolist() == [21]


@pytest.mark.parametrize("wrap", [lambda f: f, ms.jit], ids=["eager", "jit"])
def test_loops_and_branches_of_all_slices(wrap):
    r = np.random.RandomState(3)
    x, h, w = (Tensor(r.randn(*s).astype(np.float32)) for s in ((4, 5, 3), (4, 3), (3, 3)))

    def one(x, h):
        last, ys = ops.scan(lambda c, v: (ops.tanh(c @ w + v), c.sum()), h, x)
        y = ops.fori_loop(0, 3, lambda i, v: v * 0.5 + i, last)
        y = ops.cond(w.sum() > 0, lambda v: v * 2.0, lambda v: v - 1.0, y)  # the same for all slices
        y = ops.cond(y.sum() > 0, lambda v: v * 3.0, lambda v: v, y)  # each its own
        return y, ys

    def loss(x, h, many):
        y, ys = many(x, h)
        return (y * y).sum() + ys.sum()

    slices = lambda x, h: tuple(ops.stack(v) for v in zip(*(one(x[i], h[i]) for i in range(4))))
    for got, want in zip(wrap(ms.vmap(one))(x, h), slices(x, h)):
        np.testing.assert_allclose(got.asnumpy(), want.asnumpy(), rtol=1e-5, atol=1e-6)
    for got, want in zip(wrap(ms.grad(lambda x, h: loss(x, h, ms.vmap(one)), (0, 1)))(x, h),
                         ms.grad(lambda x, h: loss(x, h, slices), (0, 1))(x, h)):
        np.testing.assert_allclose(got.asnumpy(), want.asnumpy(), rtol=1e-4, atol=1e-5)
    each = wrap(ms.vmap(ms.grad(lambda x, h: one(x, h)[0].sum())))(x, h)
    for i in range(4):
        np.testing.assert_allclose(each[i].asnumpy(), ms.grad(lambda x, h: one(x, h)[0].sum())(x[i], h[i]).asnumpy(), rtol=1e-4, atol=1e-5)
