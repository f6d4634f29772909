# SPDX-License-Identifier: Apache-2.0
"""Optimizers: steps that are left out, formulas that MindSpore has no kernels for on CPU, groups, errors."""

import importlib.util
import pathlib

import numpy as np
import pytest

import rutile as ms
from rutile import Parameter, Tensor, nn, ops

_spec = importlib.util.spec_from_file_location("optimizer_dumps", pathlib.Path(__file__).parent / "dumps" / "optimizers.py")
dumps = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(dumps)


@pytest.mark.parametrize("expression", dumps.names_of(dumps.OPTIMIZERS))
def test_steps_that_are_left_out(expression):
    def states(optimizer):
        optimizer = getattr(optimizer, "opt", optimizer)
        return {q.name: q.asnumpy().copy() for q in (*optimizer.parameters, *optimizer.get_parameters())}

    p, q = dumps.parameters(ms), dumps.parameters(ms)
    one, two = (eval(expression, {"p": x, **dumps._world(ms)}) for x in (p, q))
    for o in (one, two):
        o(dumps.gradients(ms, 0))
    before = states(one)
    one.step_unless(Tensor(True), dumps.gradients(ms, 1))
    for key, v in states(one).items():
        np.testing.assert_array_equal(v, before[key], err_msg=key)
    one.step_unless(Tensor(False), dumps.gradients(ms, 1))
    two(dumps.gradients(ms, 1))
    after = states(two)
    for key, v in states(one).items():
        np.testing.assert_allclose(v, after[key], rtol=1e-6, atol=1e-7, err_msg=key)


def descend(make, rule, shape=(3, 4), steps=5):
    r = np.random.RandomState(3)
    x = r.randn(*shape).astype(np.float32)
    p = Parameter(Tensor(x), name="weight")
    optimizer, state = make([p]), {}
    x = x.astype(np.float64)
    for t in range(1, steps + 1):
        g = r.randn(*shape).astype(np.float32)
        optimizer((Tensor(g),))
        x = rule(x, g.astype(np.float64), state, t)
        np.testing.assert_allclose(p.asnumpy(), x, rtol=1e-5, atol=1e-6)


def test_formulas():
    def lamb(x, g, s, t):
        s["m"], s["v"] = 0.9 * s.get("m", 0) + 0.1 * g, 0.999 * s.get("v", 0) + 0.001 * g * g
        u = s["m"] / (1 - 0.9**t) / (np.sqrt(s["v"] / (1 - 0.999**t)) + 1e-6) + 0.1 * x
        return x - 0.01 * np.linalg.norm(x) / np.linalg.norm(u) * u

    descend(lambda p: nn.Lamb(p, 0.01, weight_decay=0.1), lamb)

    def lars(clip):
        def rule(x, g, s, t):
            r = 0.02 * np.linalg.norm(x) / (np.linalg.norm(g) + 0.1 * np.linalg.norm(x) + 1e-5)
            r = min(r / 0.5, 1) if clip else r
            s["v"] = 0.9 * s.get("v", 0) + r * (g + 0.1 * x)
            return x - 0.5 * s["v"]
        return rule

    for clip in (False, True):
        descend(lambda p: nn.LARS(nn.Momentum(p, 0.5, 0.9, weight_decay=0.1), coefficient=0.02, use_clip=clip), lars(clip))

    def nesterov(x, g, s, t):
        s["v"] = 0.9 * s.get("v", 0) + g
        return x - 0.1 * (g + 0.9 * s["v"])

    descend(lambda p: nn.Momentum(p, 0.1, 0.9, use_nesterov=True), nesterov)
    descend(lambda p: nn.Adagrad(p, 0.25, 0.1, update_slots=False), lambda x, g, s, t: x - 0.1 * g / 0.5)

    def ftrl(x, g, s, t):
        n, z = s.get("n", 0.1), s.get("z", 0.0)
        s["n"] = n + g * g
        s["z"] = z + g - (np.sqrt(s["n"]) - np.sqrt(n)) / 0.1 * x
        y = (np.sign(s["z"]) * 0.5 - s["z"]) / (np.sqrt(s["n"]) / 0.1 + 2 * 0.3)
        return np.where(np.abs(s["z"]) > 0.5, y, 0)

    descend(lambda p: nn.FTRL(p, 0.1, 0.1, l1=0.5, l2=0.3), ftrl)


def test_centred_gradients_of_groups():
    a, b = (Parameter(Tensor(np.zeros(s, np.float32)), name=n) for s, n in (((2, 16), "a"), ((2, 3), "b")))
    optimizer = nn.SGD([{"params": [a, b], "grad_centralization": True}], 1.0)
    g, h = (np.random.RandomState(0).randn(*p.shape).astype(np.float32) for p in (a, b))
    optimizer((Tensor(g), Tensor(h)))
    np.testing.assert_allclose(a.asnumpy(), -(g - g.mean(1, keepdims=True)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(b.asnumpy(), -h, rtol=1e-6)  # 16 does not divide 3


def test_an_optimizer_of_ones_own():
    class Own(nn.Optimizer):
        def __init__(self, params, learning_rate, weight_decay=0.0, loss_scale=1.0):
            super().__init__(learning_rate, params, weight_decay, loss_scale)
            self.moments = self.parameters.clone(prefix="moments", init="zeros")

        def construct(self, gradients):
            gradients = self.scale_grad(self.gradients_centralization(self.decay_weight(gradients)))
            lr = self.get_lr()
            self.assignadd(self.global_step, self.global_step_increase_tensor)
            for p, m, g in zip(self.parameters, self.moments, gradients):
                ops.assign(m, m * 0.9 + g)
                ops.assign_sub(p, m * lr)
            return True

    p, q = dumps.parameters(ms), dumps.parameters(ms)
    own, known = Own(p, [0.1, 0.2, 0.3], 0.1, 2.0), nn.Momentum(q, [0.1, 0.2, 0.3], 0.9, 0.1, 2.0)
    step = ms.jit(lambda g: own(g))
    for t in range(3):
        step(dumps.gradients(ms, t))
        known(dumps.gradients(ms, t))
    for x, y in zip(p, q):
        np.testing.assert_allclose(x.asnumpy(), y.asnumpy(), rtol=1e-5, atol=1e-6)
    before = p[0].asnumpy().copy()
    own.step_unless(Tensor(True), dumps.gradients(ms, 3))
    assert (p[0].asnumpy() == before).all() and int(own.global_step.asnumpy()[0]) == 3
    assert known.get_lr_parameter(q[0]) is known.learning_rate and float(known.get_lr().asnumpy()) == pytest.approx(0.3)


def test_errors():
    p = [Parameter(Tensor([1.0]), name="w")]
    for wrong, error in ((lambda: nn.Adagrad(p, accum=-1.0), ValueError), (lambda: nn.Adagrad(p, accum="1"), TypeError),
                         (lambda: nn.Adagrad(p, update_slots=1), TypeError), (lambda: nn.Adadelta(p, rho=2.0), ValueError),
                         (lambda: nn.AdaMax(p, beta1=1.0), ValueError), (lambda: nn.ASGD(p, lambd=1), TypeError),
                         (lambda: nn.Rprop(p, etas=[0.5, 1.2]), TypeError), (lambda: nn.Rprop(p, etas=(1.5, 1.2)), ValueError),
                         (lambda: nn.RMSProp(p, epsilon=0.0), ValueError), (lambda: nn.FTRL(p, lr_power=0.5), ValueError),
                         (lambda: nn.FTRL(p, learning_rate=[0.1, 0.2]), ValueError), (lambda: nn.ProximalAdagrad(p, l1=-1.0), ValueError),
                         (lambda: nn.LARS(p), TypeError), (lambda: nn.AdaFactor(p, 0.1), ValueError),
                         (lambda: nn.AdaFactor(p, warmup_init=True, relative_step=False), ValueError),
                         (lambda: nn.Adam(p, use_lazy=True, use_offload=True), ValueError), (lambda: nn.Adam(p, other=1), KeyError),
                         (lambda: nn.SGD([{"params": p, "other": 1}]), KeyError), (lambda: nn.SGD(None), ValueError),
                         (lambda: nn.SGD(p, "fast"), (TypeError, ValueError)), (lambda: nn.SGD(p, Tensor([[0.1]])), ValueError),
                         (lambda: nn.SGD(p, weight_decay=nn.WarmUpLR(0.1, 2)), TypeError),
                         (lambda: nn.SGD([{"params": p}, {"params": p}]), RuntimeError)):
        with pytest.raises(error):
            wrong()


@pytest.mark.parametrize("dtype", ("float16", "bfloat16"))
@pytest.mark.parametrize("name", ("ASGD", "AdaFactor", "AdaMax", "Adadelta", "Adagrad", "Adam", "AdamWeightDecay", "FTRL", "Lamb", "Momentum",
                                  "ProximalAdagrad", "RMSProp", "Rprop", "SGD"))
def test_narrow_parameters(name, dtype):
    rng = np.random.RandomState(1)
    w0, grads = rng.randn(3, 4), rng.randn(4, 3, 4)
    more = {"Momentum": {"learning_rate": 0.1, "momentum": 0.9}, "AdaFactor": {"learning_rate": None}, "Lamb": {"learning_rate": 0.1}}.get(name, {})

    def trained(kind, compiled):
        w = ms.Parameter(ms.Tensor(w0, kind), name="w")
        opt = getattr(nn, name)([w], **more)
        step = ms.jit(lambda g: opt((g,))) if compiled else lambda g: opt((g,))
        for g in grads:
            step(ms.Tensor(g, kind))
        assert w.dtype == getattr(ms, kind)
        return w.astype(ms.float32).asnumpy()

    want = trained("float32", False)
    tol = 2e-2 if dtype == "float16" else 1e-1
    eager = trained(dtype, False)
    np.testing.assert_allclose(eager, want, rtol=tol, atol=tol)
    np.testing.assert_array_equal(trained(dtype, True), eager)
