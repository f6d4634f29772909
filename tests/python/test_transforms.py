# SPDX-License-Identifier: Apache-2.0
"""jit and value_and_grad over nested structures, static arguments, parameters; eager and compiled."""

import collections
import json
import threading

import numpy as np
import pytest

import rutile
from rutile import Parameter, Tensor, ops

Point = collections.namedtuple("Point", "x y")


def arrays(o):
    if isinstance(o, Tensor):
        return o.asnumpy().tolist()
    if isinstance(o, dict):
        return {k: arrays(v) for k, v in o.items()}
    if isinstance(o, Point):
        return Point(*map(arrays, o))
    return type(o)(map(arrays, o)) if isinstance(o, (list, tuple)) else o


T = Tensor([1.0, -2.0])


@pytest.mark.parametrize("args", [
    ((T, T),), ([T, [T, (T,)]],), ({"a": T, "b": [T]},), (Point(T, 3),), (T, None, "sum", 2, 1.5, True, (1, "a")),
    ({},), ((), T), (np.ones(2, np.float32),)])
def test_structures_in_and_out(args):
    def f(*a):
        tensors = []

        def walk(o):
            if isinstance(o, Tensor):
                tensors.append(o)
                return o * 2.0
            if isinstance(o, np.ndarray):
                return Tensor(o) * 2.0
            if isinstance(o, dict):
                return {k: walk(v) for k, v in o.items()}
            if isinstance(o, Point):
                return Point(*map(walk, o))
            return type(o)(map(walk, o)) if isinstance(o, (list, tuple)) else o

        return walk(a)

    g = rutile.jit(f)
    for _ in range(2):
        out = g(*args)
        assert arrays(out) == arrays(f(*args))
    assert g.compilations == 1
    assert type(out[0]) is type(f(*args)[0])


def test_static_arguments_are_part_of_the_key():
    calls = []

    @rutile.jit
    def f(x, mode, *, scale=1.0):
        calls.append((mode, scale))
        return (ops.sum(x) if mode == "sum" else ops.mean(x)) * scale

    x = Tensor([1.0, 3.0])
    assert [float(f(x, m)) for m in ("sum", "mean", "sum", "mean")] == [4, 2, 4, 2]
    assert float(f(x, "sum", scale=2.0)) == 8 and float(f(x, "sum", scale=2)) == 8
    assert float(f(x, "sum", scale=True)) == 4 and float(f(x, mode="sum")) == 4
    assert f.compilations == 6 and len(calls) == 8  # as eagerly
    for _ in range(3):
        assert float(f(x, "mean", scale=float("nan"))) != 0
    assert f.compilations == 7


def test_recompiles_are_bounded():
    f = rutile.jit(lambda x, n: x + n)
    for n in range(200):
        assert float(f(Tensor(1.0), n)) == n + 1
    assert f.compilations == 200 and float(f(Tensor(1.0), 199)) == 200 and f.compilations == 200
    assert float(f(Tensor(1.0), 0)) == 1 and f.compilations == 201  # forgotten meanwhile


def test_captured_tensors():
    w = Tensor([1.0, 2.0])

    @rutile.jit
    def f(x):
        return x * w

    one = Tensor([1.0, 1.0])
    assert f(one).asnumpy().tolist() == [1, 2]
    w = Tensor([5.0, 6.0])  # rebound: no stale constant
    assert f(one).asnumpy().tolist() == [5, 6]
    assert f(one).asnumpy().tolist() == [5, 6] and f.compilations == 2


def test_parameters_are_read_and_written():
    w, n = Parameter(Tensor([1.0, 2.0]), name="w"), Parameter(Tensor(0.0), name="n", requires_grad=False)

    def step(x):
        loss, g = rutile.value_and_grad(lambda: ops.sum((w * x) ** 2), None, [w])()
        w.set_data(w - 0.1 * g[0])
        n.set_data(n + 1.0)
        return loss

    compiled = rutile.jit(step, passes_off="all")
    x = Tensor([1.0, 0.5])
    eager = [float(step(x)) for _ in range(3)]
    state = w.asnumpy().copy(), float(n)
    w.set_data([1.0, 2.0])
    n.set_data(0.0)
    assert [float(compiled(x)) for _ in range(3)] == eager
    np.testing.assert_array_equal(w.asnumpy(), state[0])
    assert float(n) == state[1] == 3 and compiled.compilations == 1
    w.set_data(Tensor([1.0, 2.0]))  # a change from outside is seen
    assert float(compiled(x)) == eager[0]


def test_what_is_kept_of_a_parameter_stays():
    w = Parameter(np.ones(3, np.float32), name="w")
    kept, shared = w.value(), w.asnumpy()
    add = rutile.jit(lambda: [w.set_data(w + 1.0)] and None)
    for _ in range(3):
        add()
    assert kept.asnumpy().tolist() == [1, 1, 1] and shared.tolist() == [1, 1, 1] and w.asnumpy().tolist() == [4, 4, 4]


def test_parameter_is_a_tensor():
    w = Parameter(Tensor([[1.0, 2.0]]), name="fc.weight")
    assert isinstance(w, Tensor) and w.name == "fc.weight" and w.requires_grad
    assert w.shape == (1, 2) and w.dtype == "float32" and w.ndim == 2 and w.size == 2 and len(w) == 1
    assert repr(w) == "Parameter (name=fc.weight, shape=(1, 2), dtype=Float32, requires_grad=True)"
    assert type(w + 1) is Tensor and type(w[0]) is Tensor and type(ops.relu(w)) is Tensor
    assert (1 - w).asnumpy().tolist() == [[0, -1]] and (w @ w.T).asnumpy().tolist() == [[5]]
    assert [r.asnumpy().tolist() for r in w] == [[1, 2]]
    with pytest.raises(ValueError):
        w.set_data(Tensor([1.0]))
    with pytest.raises(rutile.Error):
        w.name = 3
    w.requires_grad = False
    assert not w.requires_grad and len({w, w}) == 1
    w.data = [[3, 4]]
    assert w.data.asnumpy().tolist() == [[3, 4]] and w.data.dtype == "float32"


class Scaler:
    def __init__(self, k):
        self.k = k

    @rutile.jit
    def __call__(self, x):
        """Times k."""
        return x * self.k


def test_methods():
    two, three = Scaler(2.0), Scaler(3.0)
    assert float(two(Tensor(1.0))) == 2 and float(three(Tensor(1.0))) == 3
    assert Scaler.__call__.__name__ == "__call__" and Scaler.__call__.__doc__ == "Times k."


def test_gradient_structures():
    p = {"w": Tensor([2.0, 3.0]), "rest": [Tensor(1.0), None]}

    def loss(p, x):
        return ops.sum(p["w"] * x + p["rest"][0])

    x = Tensor([4.0, 5.0])
    for wrap in (lambda f: f, lambda f: rutile.jit(f, passes_off="all")):
        value, g = wrap(rutile.value_and_grad(loss))(p, x)
        assert float(value) == 25 and arrays(g) == {"w": [4, 5], "rest": [2.0, None]}
        value, (g, gx) = wrap(rutile.value_and_grad(loss, (0, -1)))(p, x)
        assert arrays(gx) == [2, 3] and arrays(g)["w"] == [4, 5]
        assert arrays(wrap(rutile.grad(loss, 1))(p, x)) == [2, 3]


def test_weights_and_aux():
    w, b = Parameter(Tensor([2.0]), name="w"), Parameter(Tensor([1.0]), name="b")

    def f(x):
        y = w * x + b
        return ops.sum(y * y), y, "note"

    x = Tensor([3.0])
    for wrap in (lambda f: f, lambda f: rutile.jit(f, passes_off="all")):
        (loss, y, note), (gx, gw) = wrap(rutile.value_and_grad(f, 0, [w, b], has_aux=True))(x)
        assert float(loss) == 49 and arrays(y) == [7] and note == "note"
        assert arrays(gx) == [28] and arrays(gw) == ([42], [14])
        (_, _, _), gw = wrap(rutile.value_and_grad(f, None, (w, b), has_aux=True))(x)
        assert arrays(gw) == ([42], [14])
        g, aux = wrap(rutile.grad(f, has_aux=True))(x)
        assert arrays(g) == [28] and aux[1] == "note"


def test_several_elements_are_summed():
    _, g = rutile.value_and_grad(lambda x: (x * x, [x]))(Tensor([1.0, 2.0]))
    assert arrays(g) == [3, 5]
    value, g = rutile.value_and_grad(lambda x: x * x)(Tensor([1.0, 2.0]))
    assert arrays(value) == [1, 4] and arrays(g) == [2, 4]


def test_derivatives_of_any_order():
    d = rutile.grad
    cube = lambda x: x * x * x * x  # noqa: E731
    x = Tensor(2.0)
    for wrap in (lambda f: f, rutile.jit):
        assert [float(wrap(f)(x)) for f in (d(cube), d(d(cube)), d(d(d(cube))))] == [32, 48, 48]
    w = Parameter(Tensor(2.0), name="w")
    inner = rutile.value_and_grad(lambda: w * w * w, None, w)
    _, second = rutile.value_and_grad(lambda: inner()[1], None, w)()
    assert float(second) == 12


def test_wrong_uses():
    f = rutile.value_and_grad(lambda x, *a, **k: ops.sum(x))
    x = Tensor([1.0])
    for call, kind in [(lambda: f(3), TypeError), (lambda: f("a"), TypeError),
                       (lambda: f(), IndexError), (lambda: f({"a": {1}}), TypeError),
                       (lambda: rutile.value_and_grad(f, None)(x), ValueError),
                       (lambda: rutile.value_and_grad(f, 1.5)(x), TypeError),
                       (lambda: rutile.value_and_grad(f, weights=3)(x), TypeError),
                       (lambda: rutile.value_and_grad(lambda v: v, has_aux=True)(x), TypeError),
                       (lambda: rutile.jit(3), TypeError)]:
        with pytest.raises(kind):
            call()
    deep = []
    deep.append(deep)
    with pytest.raises(ValueError):
        rutile.jit(lambda v: x)(deep)


def test_exceptions_leave_later_calls_working():
    w = Parameter(Tensor(1.0), name="w")

    @rutile.jit
    def f(x, fail):
        w.set_data(w + 1.0)
        if fail:
            raise KeyError("mine")
        return x + w

    with pytest.raises(KeyError):
        f(Tensor(1.0), True)
    assert float(w) == 1
    assert float(f(Tensor(1.0), False)) == 3 and float(w) == 2


def test_threads_with_static_arguments():
    w = Parameter(Tensor(1.0), name="w")
    f = rutile.jit(lambda x, k: ops.sum(x * k) + w)
    errors = []

    def work(i):
        try:
            for n in range(1, 40):
                assert float(f(Tensor(np.ones(n % 3 + 1, np.float32)), i)) == (n % 3 + 1) * i + 1
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not errors and not any(t.is_alive() for t in threads)


def test_jit_explains_what_was_compiled(tmp_path):
    w = Parameter(Tensor(np.ones((8, 8), np.float32)), name="w")

    @rutile.jit
    def f(x):
        y = ops.relu(ops.matmul(x, w) * 2.0 + 1.0)
        ops.assign(w, w * 0.5)
        return y

    x = Tensor(np.ones((4, 8), np.float32))
    e = f.explain(x)
    assert f.compilations == 1
    np.testing.assert_array_equal(w.asnumpy(), np.ones((8, 8)))  # nothing has run
    text = str(e)
    for part in ("f: ", "Passes", "Memory: arena", "matmul", "test_transforms.py:"):
        assert part in text, text
    assert max(map(len, text.splitlines())) <= 100
    assert e.step_ms > 0 and e.limit_ms > 0
    assert json.loads(e.to_json())["name"] == "f"
    e.write(str(tmp_path / "why"))
    assert (tmp_path / "why" / "memory.svg").read_text() == e.memory_svg
    np.testing.assert_array_equal(f(x).asnumpy(), np.full((4, 8), 17.0))
    assert f.compilations == 1
