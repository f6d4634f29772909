# SPDX-License-Identifier: Apache-2.0
"""Control flow over tensor values in compiled functions: as written in Python, as ops, or not compiled at all."""

import numpy as np
import pytest

import rutile
from rutile import Parameter, Tensor, jit, nn, ops

P = Tensor([1.0, 2.0])
N = Tensor([-1.0, -2.0])


@pytest.fixture(autouse=True)
def graph_mode():
    rutile.set_context(mode=rutile.GRAPH_MODE)
    yield
    rutile.set_context(mode=rutile.PYNATIVE_MODE, jit_syntax_level=rutile.LAX)


def check(fn, *cases, strict=True):
    f = jit(fn, fullgraph=strict)
    for args in cases:
        want = fn(*[a for a in args])
        got = f(*args)
        w = [want] if not isinstance(want, (list, tuple)) else list(want)
        g = [got] if not isinstance(got, (list, tuple)) else list(got)
        assert len(w) == len(g)
        for a, b in zip(w, g):
            np.testing.assert_allclose(
                np.asarray(b.asnumpy() if isinstance(b, Tensor) else b),
                np.asarray(a.asnumpy() if isinstance(a, Tensor) else a),
                rtol=1e-6,
            )


def test_if():
    def f(x):
        if x.sum() > 0:
            y = x * 2
        else:
            y = -x
        return y

    check(f, (P,), (N,))


def test_early_return():
    def f(x):
        if x.sum() > 0:
            return x * 2
        y = x - 1
        if y.sum() < -4:
            return y * 3
        return y

    check(f, (P,), (N,), (Tensor([-0.1, -0.1]),))


def test_elif_and():
    def f(x, y):
        if x.sum() > 0 and y.sum() > 0:
            z = x + y
        elif x.sum() > 0 or not y.sum() > 0:
            z = x - y
        else:
            z = x * y
        return z

    check(f, (P, P), (P, N), (N, P), (N, N))


def test_ifexp():
    check(lambda_f, (P,), (N,))


def lambda_f(x):
    return x * 2 if x.sum() > 0 else x * 3


def test_while():
    def f(x, n):
        i = 0
        while i < n:
            x = x * 2
            i += 1
        return x, i

    check(f, (P, Tensor(3)), (P, Tensor(0)))


def test_while_break_continue():
    def f(x):
        i = 0
        s = x * 0
        while i < 10:
            i += 1
            if i == 3:
                continue
            s = s + x * i
            if s.sum() > 20:
                break
        return s

    check(f, (P,), (N,))


def test_while_tensor_break():
    def f(x, n):
        i = Tensor(0)
        s = x * 0
        while i < n:
            i = i + 1
            if i == 3:
                continue
            s = s + x * i
            if s.sum() > 20:
                break
        return s, i

    check(f, (P, Tensor(20)), (N, Tensor(5)))


def test_for_break():
    def f(x, y, z):
        out = z
        for _ in range(5):
            if 2 * x < y:
                if 3 * x < y:
                    out = out + out
                    x = x + 1
                out = ops.relu(out)
            if x + 6 == y:
                break
        return ops.relu(out)

    check(f, (Tensor(2), Tensor(10), Tensor(np.ones([4, 4], np.float32))), (Tensor(1), Tensor(7), P))


def test_for_range_tensor():
    def f(x, n):
        for i in range(n):
            x = x + i
        return x

    check(lambda x, n: x, (P, Tensor(3)))
    g = jit(f, fullgraph=True)
    np.testing.assert_allclose(g(P, Tensor(4)).asnumpy(), [7, 8])


def test_return_in_loop():
    def f(x, n):
        for i in range(4):
            x = x * 2
            if x.sum() > n:
                return x
        return -x

    check(f, (P, Tensor(10.0)), (P, Tensor(1000.0)))


def test_return_in_while():
    def f(x, n):
        i = Tensor(0)
        while i < n:
            x = x * 2
            i = i + 1
            if x.sum() > 20:
                return x + 100
        return x

    check(f, (P, Tensor(2)), (P, Tensor(9)))


def test_nested_while():
    def f(x, n):
        i = Tensor(0)
        while i < n:
            j = Tensor(0)
            while j < i:
                x = x + j
                j = j + 1
            i = i + 1
        return x

    check(f, (P, Tensor(4)))


def test_cell():
    class Net(nn.Cell):
        def __init__(s):
            super().__init__()
            s.w = Parameter(Tensor([2.0, 3.0]), name="w")
            s.d = nn.Dense(2, 2)

        def construct(s, x):
            if x.sum() > 0:
                y = s.d(x * s.w)
            else:
                y = s.d(x) - s.w
            return y

    class Outer(nn.Cell):
        def __init__(s):
            super().__init__()
            s.n = Net()

        def construct(s, x):
            return s.n(x) * 2

    net = Outer()
    rutile.set_context(jit_syntax_level=rutile.STRICT)
    try:
        a = net(Tensor([[1.0, 2.0]])), net(Tensor([[-1.0, -2.0]]))
    finally:
        rutile.set_context(jit_syntax_level=rutile.LAX)
    rutile.set_context(mode=rutile.PYNATIVE_MODE)
    b = net(Tensor([[1.0, 2.0]])), net(Tensor([[-1.0, -2.0]]))
    rutile.set_context(mode=rutile.GRAPH_MODE)
    for u, v in zip(a, b):
        np.testing.assert_allclose(u.asnumpy(), v.asnumpy(), rtol=1e-6)
    assert net._jit.compilations == 1
    np.testing.assert_allclose(net(Tensor([[1.0, 2.0]])).asnumpy(), b[0].asnumpy(), rtol=1e-6)
    assert net._jit.compilations == 1


def test_closure_defaults_kw():
    k = 3.0

    def f(x, *, s=2.0, t=k):
        if x.sum() > 0:
            x = x * s
        return x * t * k

    g = jit(f, fullgraph=True)
    np.testing.assert_allclose(g(P).asnumpy(), f(P).asnumpy())
    np.testing.assert_allclose(g(P, s=5.0).asnumpy(), f(P, s=5.0).asnumpy())


def test_refused_runs_as_written(capfd):
    def f(x):
        out = []
        if x.sum() > 0:
            out.append(x)
        else:
            out.append(-x)
        return out[0]

    check(f, (P,), (N,), strict=False)
    err = capfd.readouterr().err
    assert "runs as it is written" in err and "test_syntax.py" in err, err
    with pytest.raises(RuntimeError):
        jit(f, fullgraph=True)(P)


def test_dynamic():
    check(lambda x: ops.masked_select(x, x > 0), (P,), (N,), strict=False)
    check(lambda x: x[x > 0], (P,), (N,), strict=False)


def test_raise():
    def f(x):
        if x.sum() < 0:
            raise ValueError("negative")
        return x * 2

    g = jit(f)
    assert g(P).asnumpy().tolist() == [2, 4]
    with pytest.raises(ValueError, match="negative"):
        g(N)


def test_grad_of_cell():
    class Net(nn.Cell):
        def construct(s, x):
            if x.sum() > 0:
                return (x * x).sum()
            return (x * 3).sum()

    class G(nn.Cell):
        def __init__(s, n):
            super().__init__()
            s.n = n

        def construct(s, x):
            return rutile.grad(s.n)(x)

    g = G(Net())
    assert g(P).asnumpy().tolist() == [2, 4] and g(N).asnumpy().tolist() == [3, 3]
    assert g._jit.compilations == 1


def test_vars_in_one_branch():
    def f(x):
        if x.sum() > 0:
            t = x * 2
            y = t + 1
        else:
            y = x
        return y

    check(f, (P,), (N,))


def test_subscript():
    def f(x):
        if x.sum() > 0:
            x[0] = 5.0
        return x

    g = jit(f)
    assert g(Tensor([1.0, 2.0])).asnumpy().tolist() == [5, 2]
    assert g(Tensor([-1.0, -2.0])).asnumpy().tolist() == [-1, -2]


def test_tree_recursion():
    def f(x, n):
        return x if n.sum() <= 0 else f(x * 2, n - 1)

    check(f, (P, Tensor(3)), strict=False)


def test_assign_param():
    class Net(nn.Cell):
        def __init__(s):
            super().__init__()
            s.n = Parameter(Tensor(0.0), name="n")

        def construct(s, x):
            if x.sum() > 0:
                s.n += 1
                y = x
            else:
                ops.assign(s.n, s.n - 10)
                y = -x
            return y

    net = Net()
    net(P)
    net(P)
    net(N)
    assert float(net.n.asnumpy()) == -8


def positive(v):
    if v.sum() > 0:
        return v * 2
    return v


def test_helper():
    check(lambda_free, (P,), (N,))


def lambda_free(x):
    return positive(x) + positive(-x)


def test_method():
    class Net(nn.Cell):
        def pick(self, x):
            if x.max() > 1.5:
                return x + 1
            return x - 1

        def construct(self, x):
            return self.pick(x) * 3

    rutile.set_context(jit_syntax_level=rutile.STRICT)
    assert Net()(P).asnumpy().tolist() == [6, 9] and Net()(N).asnumpy().tolist() == [-6, -9]


def test_gradient():
    def loss(x):
        y = x * x
        if x.sum() < 0:
            y = x * 5
        return y.sum()

    for g in (jit(rutile.value_and_grad(loss), fullgraph=True), jit(lambda_step(loss), fullgraph=True)):
        for x, want in ((P, [2, 4]), (N, [5, 5])):
            assert g(x)[1].asnumpy().tolist() == want


def lambda_step(loss):
    step = rutile.value_and_grad(loss)

    def run(x):
        value, gradient = step(x)
        return value, gradient

    return run


LOG = []


def logged(v):
    LOG.append(1)
    return v * 2


def test_effects_in_a_branch_happen_once():
    def f(x):
        if x.sum() > 0:
            return logged(x)
        return x

    assert jit(f)(P).asnumpy().tolist() == [2, 4] and LOG == [1]
    jit(f)(N)
    assert LOG == [1]
    with pytest.raises(RuntimeError, match="needs the value"):
        jit(f, fullgraph=True)(P)


def test_python_condition_in_a_traced_one():
    def f(x, deep):
        seen = []
        if x.sum() > 0:
            if deep:
                seen.append(1)
            x = x * 2
        return x, len(seen)

    assert jit(f)(P, True)[1] == 1 and jit(f)(N, True)[1] == 0


def test_none_on_some_ways():
    def f(x):
        if x.sum() > 0:
            return x * 2

    assert jit(f)(N) is None and jit(f)(P).asnumpy().tolist() == [2, 4]


def test_while_true():
    def f(x):
        while True:
            x = x * 2
            if x.sum() > 50:
                break
        return x

    check(f, (P,), (Tensor([30.0, 30.0]),))


def test_match():
    def f(x, kind):
        if x.sum() > 0:
            match kind:
                case "double":
                    return x * 2
        return x

    assert jit(f)(P, "double").asnumpy().tolist() == [2, 4] and jit(f)(N, "double").asnumpy().tolist() == [-1, -2]


def test_containers_and_iteration():
    def f(xs, table):
        total = xs[0] * 0
        for i, (x, name) in enumerate(zip(xs, ("a", "b"))):
            if x.sum() > 0:
                total += x * table[name]
            else:
                total -= x * (i + 1)
        return {"total": total, "parts": [total * 2, (x, name)][:1]}

    g = jit(f, fullgraph=True)
    for xs in ([P, N], [N, P], [P, P]):
        want, got = f(xs, {"a": P, "b": N}), g(xs, {"a": P, "b": N})
        np.testing.assert_allclose(got["total"].asnumpy(), want["total"].asnumpy())
        np.testing.assert_allclose(got["parts"][0].asnumpy(), want["parts"][0].asnumpy())


def test_super_and_closures():
    class Base(nn.Cell):
        def construct(self, x):
            if x.sum() > 0:
                return x * 2
            return x * 3

    class Net(Base):
        def construct(self, x):
            y = super().construct(x)
            scale = lambda v: v * y.sum()  # noqa: E731
            if y.sum() > 5:
                y = scale(y)
            return y

    net = Net()
    assert net(P).asnumpy().tolist() == [12, 24] and net(N).asnumpy().tolist() == [-3, -6]
