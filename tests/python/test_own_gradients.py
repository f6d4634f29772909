# SPDX-License-Identifier: Apache-2.0
"""Gradients of one's own (bprop, hooks, custom_vjp): in control flow, in vmap, of Parameters."""

import numpy as np
import pytest
import rutile
from rutile import Parameter, Tensor, nn, ops

X = Tensor([1.0, 2.0])


class _Cube(nn.Cell):
    def construct(self, x):
        return x * x * x

    def bprop(self, x, out, dout):
        return (dout * 100,)


CUBE, BACK = _Cube(), nn.Dense(2, 2)
BACK.register_backward_hook(lambda cell, into, out: (into[0] * 10,))
TENFOLD, INSERTED = ops.HookBackward(lambda g: g[0] * 10), ops.InsertGradientOf(lambda g: g * 10)


def by_if(f):
    def g(x):
        if x.sum() > 0:
            y = f(x)
        else:
            y = x
        return y.sum()
    return g


WAYS = {
    "if": by_if,
    "cond": lambda f: lambda x: ops.cond(x.sum() > 0, f, lambda v: v, x).sum(),
    "scan": lambda f: lambda x: ops.scan(lambda c, v: (c + f(v).sum(), c), Tensor(0.0), x.reshape(1, 2))[0],
    "fori_loop": lambda f: lambda x: ops.fori_loop(0, 1, lambda i, v: v + f(x), x * 0.0).sum(),
    "vmap": lambda f: lambda x: rutile.vmap(f)(x.reshape(1, 2)).sum(),
    "vmap in cond": lambda f: lambda x: ops.cond(x.sum() > 0, lambda v: rutile.vmap(f)(v.reshape(1, 2)).sum(), lambda v: v.sum(), x),
    "recompute": lambda f: lambda x: rutile.recompute(f, x).sum()}
FUNCTIONS = {"bprop": CUBE, "hook of a Cell": BACK, "HookBackward": lambda v: TENFOLD(v * 2), "InsertGradientOf": lambda v: INSERTED(v * v)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_control_flow_keeps_them(way, name):
    f = FUNCTIONS[name]
    want = rutile.grad(lambda x: f(x).sum())(X).asnumpy()
    assert abs(want).min() > 0.1
    g = WAYS[way](f)
    for grad in (rutile.grad(g), rutile.jit(rutile.grad(g)), rutile.jit(rutile.grad(rutile.jit(g)))):
        np.testing.assert_allclose(grad(X).asnumpy(), want, rtol=1e-5)
    np.testing.assert_allclose(rutile.jit(g)(X).asnumpy(), g(X).asnumpy(), rtol=1e-6)


def test_strict_functions_say_so():
    with pytest.raises(rutile.Error, match="bprop, a hook.*E0104"):
        rutile.jit(rutile.grad(WAYS["cond"](CUBE)), fullgraph=True)(X)
    # Without gradients the graph is whole.
    assert float(rutile.jit(WAYS["cond"](CUBE), fullgraph=True)(X)) == 9


class _Scaled(nn.Cell):
    """MindSpore's forms of what bprop returns for Parameters."""

    def __init__(self, form, listed=True):
        super().__init__()
        self.w = Parameter(np.full(2, 3, np.float32), name="w")
        self.form = form
        if listed:
            self.internal_params = [self.w]

    def construct(self, x, y):
        return x * self.w * y

    def bprop(self, x, y, out, dout):
        dx, dy, dw = dout * 7, dout * 8, dout * 5
        return {"dict": ((dx, dy), {self.w: dw}), "pair": ((dx, dy), (dw,)), "flat": (dx, dy, dw), "inputs": (dx, dy), "nested": ((dx, dy),),
                "short": dx, "tuple": ((dx,), dy, dw)}[self.form]


@pytest.mark.parametrize("wrap", [lambda f: f, rutile.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("form", ["dict", "pair", "flat"])
def test_parameters_listed(wrap, form):
    net = _Scaled(form)
    (dx, dy), (dw,) = wrap(rutile.grad(lambda x, y: net(x, y).sum(), (0, 1), net.trainable_params()))(X, X + 1)
    assert (dx.asnumpy().tolist(), dy.asnumpy().tolist(), dw.asnumpy().tolist()) == ([7, 7], [8, 8], [5, 5])
    assert wrap(rutile.grad(lambda x, y: net(x, y).sum(), None, net.trainable_params()))(X, X)[0].asnumpy().tolist() == [5, 5]


@pytest.mark.parametrize("form", ["dict", "flat", "inputs", "nested"])
def test_parameters_not_listed_have_none(form):
    net = _Scaled(form, listed=False)
    f = lambda x, y: net(x, y).sum()
    assert [g.asnumpy().tolist() for g in rutile.grad(f, (0, 1))(X, X)] == [[7, 7], [8, 8]]
    # Whatever else is differentiated by.
    assert rutile.grad(f, None, net.trainable_params())(X, X)[0].asnumpy().tolist() == [0, 0]
    assert rutile.grad(f, 0, net.trainable_params())(X, X)[1][0].asnumpy().tolist() == [0, 0]


@pytest.mark.parametrize("form", ["inputs", "nested", "short", "tuple"])
def test_too_few_gradients_are_errors(form):
    net = _Scaled(form)
    with pytest.raises(TypeError, match="bprop"):
        rutile.grad(lambda x, y: net(x, y).sum(), 0)(X, X)


def test_custom_vjp():
    from rutile.ops import custom_vjp

    @custom_vjp
    def muladd(x, y):
        return 2 * x + y

    assert float(rutile.grad(muladd)(Tensor(1.0), Tensor(3.0))) == 2
    muladd.defbwd(lambda x, y, out, dout: (dout * 20, y * 2))
    for wrap in (lambda f: f, rutile.jit):
        assert [float(g) for g in wrap(rutile.grad(lambda x, y: muladd(x, y) + x, (0, 1)))(Tensor(1.0), Tensor(3.0))] == [21, 6]
    assert float(custom_vjp()(lambda x: x + 1)(Tensor(1.0))) == 2
    with pytest.raises(TypeError):
        custom_vjp(3)
