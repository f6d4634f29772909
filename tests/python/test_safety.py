# SPDX-License-Identifier: Apache-2.0
"""What must hold beside right numbers: threads, memory, nesting of jit and gradients, NumPy beside Tensor."""

import gc
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest

import rutile
from rutile import Tensor
from rutile.ops import table as ops


def in_threads(n, work):
    errors = []

    def run(i):
        try:
            work(i)
        except BaseException as e:  # a thread's failure must fail the test
            errors.append(e)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not any(t.is_alive() for t in threads), "deadlock"
    assert not errors, errors


def test_threads_share_a_compiled_function():
    @rutile.jit
    def f(a):
        return ops.sum(a * 2.0 + 1.0)

    def work(i):
        for n in range(1, 30):
            assert float(f(Tensor(np.ones(n + i, np.float32)))) == 3.0 * (n + i)

    in_threads(4, work)


def test_threads_differentiate_by_one_tensor():
    x = Tensor(np.arange(1, 5, dtype=np.float32))
    grad = rutile.value_and_grad(lambda v: ops.sum(v * v * v))

    def work(i):
        for _ in range(200):
            np.testing.assert_allclose(grad(x)[1].asnumpy(), [3, 12, 27, 48])

    in_threads(4, work)


def test_large_ops_in_threads():
    a = np.random.default_rng(0).normal(size=(150, 150)).astype(np.float32)
    x = Tensor(a)

    def work(i):
        for _ in range(10):
            np.testing.assert_allclose((x @ x).asnumpy(), a @ a, rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose(ops.matmul(x, x).asnumpy(), a @ a, rtol=1e-3, atol=1e-3)

    in_threads(3, work)


def test_gradient_through_a_compiled_function():
    square = rutile.jit(lambda v: ops.sum(v * v))
    x = Tensor([1.0, 2.0])
    square(x)  # compiled already
    value, g = rutile.value_and_grad(lambda v: square(v))(x)
    assert float(value) == 5.0
    np.testing.assert_array_equal(g.asnumpy(), [2, 4])


def test_compiled_gradient_and_nested_jit():
    inner = rutile.jit(lambda v: ops.tanh(v))
    step = rutile.value_and_grad(lambda w, x: ops.sum(inner(x @ w)))
    w, x = Tensor([[1.0], [2.0]]), Tensor([[0.5, -0.5], [0.25, 0.0]])
    compiled = rutile.jit(step, passes_off="all")
    with pytest.raises(TypeError):
        rutile.jit(lambda v: {v.shape})(x)
    with pytest.raises(TypeError):
        rutile.jit(lambda v: (v, object()))(x)
    for _ in range(2):
        for a, b in zip(compiled(w, x), step(w, x)):
            np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())


def test_one_tensor_in_two_places():
    x = Tensor([3.0])
    _, (first, second) = rutile.value_and_grad(lambda a, b: ops.sum(a * a * b), argnums=(0, 1))(x, x)
    assert (first[0].item(), second[0].item()) == (18.0, 9.0)
    value, _ = rutile.value_and_grad(lambda a, scale: ops.sum(a * scale))(x, scale=2.0)
    assert float(value) == 6.0


@pytest.mark.parametrize("call,dtype", [
    (lambda b, i, f: ops.add(b, 1), "int64"), (lambda b, i, f: ops.add(1, b), "int64"),
    (lambda b, i, f: ops.add(i, 1.5), "float32"), (lambda b, i, f: ops.mul(2, f), "float32"),
    (lambda b, i, f: b + 1, "int64"), (lambda b, i, f: 1.5 * i, "float32"),
])
def test_numbers_are_weak(call, dtype):
    b, i, f = Tensor([True]), Tensor([3]), Tensor([0.5])
    assert call(b, i, f).dtype == dtype


def test_numpy_beside_a_tensor():
    a, t = np.array([1.0, 2.0], np.float32), Tensor([3.0, 5.0])
    for result in (a + t, t + a, a * t, np.float32(2) * t, a - t, a < t):
        assert isinstance(result, Tensor)
    np.testing.assert_array_equal((a - t).asnumpy(), [-2, -3])
    assert isinstance(np.add(a, t), Tensor)
    for result, want in ((np.add(t, a), [4, 7]), (np.abs(t - 4), [1, 1]), (np.equal(t, [3, 4]), [True, False]), (np.maximum(a, t), [3, 5]),
                         (np.add.reduce(t), 8), (np.multiply(t, t, dtype=np.float64), [9, 25]), (np.power(2, np.sqrt(t * t)), [8, 32])):
        assert not isinstance(result, Tensor)
        np.testing.assert_array_equal(result, want)
    a += t
    np.testing.assert_array_equal(a, [4, 7])
    with pytest.raises(TypeError):
        np.add(a, a, out=t)
    with pytest.raises(TypeError):
        np.add(np.array(["x", "y"]), t)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "uint16", "int16", "int32", "uint32", "int64",
                                   "uint64", "float16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3)])
def test_arrays_there_and_back(dtype, shape):
    a = (np.arange(np.prod(shape, dtype=int)) % 2).reshape(shape).astype(dtype)
    b = Tensor(a).asnumpy()
    assert b.dtype == a.dtype and b.shape == a.shape and b.flags.writeable
    np.testing.assert_array_equal(a, b)


def test_buffers():
    t = Tensor(np.arange(12, dtype=np.float32).reshape(3, 4))
    view = memoryview(t.T)
    assert view.readonly and view.shape == (4, 3)
    np.testing.assert_array_equal(np.asarray(t[::-1, 1:]), np.asarray(t)[::-1, 1:])
    with pytest.raises(BufferError):
        memoryview(Tensor([1.0], "bfloat16"))
    np.testing.assert_array_equal(Tensor([1.5], "bfloat16").asnumpy(), [1.5])
    with pytest.raises(RuntimeError):
        rutile.jit(lambda v: Tensor(v.asnumpy()), fullgraph=True)(t)


def test_python_protocols():
    t = Tensor([[1, 2], [3, 4]])
    assert [row.asnumpy().tolist() for row in t] == [[1, 2], [3, 4]]
    assert "abcd"[Tensor(2)] == "c" and int(Tensor(2**62 + 1)) == 2**62 + 1
    assert f"{Tensor(0.5):.2f}" == "0.50" and int(Tensor(-1.5)) == -1
    for bad in (lambda: iter(Tensor(1.0)), lambda: len(Tensor(1.0)), lambda: "ab"[Tensor(1.0)]):
        with pytest.raises(TypeError):
            bad()
    with pytest.raises(ValueError):
        bool(t)


def test_wrong_arguments():
    x = Tensor([1.0])
    for call in (lambda: ops.add(x, x, x=x), lambda: ops.reshape(x, shape="\ud800"),
                 lambda: ops.reshape(x, shape=2**70), lambda: ops.softmax(x, axis=1.5), lambda: ops.add(x)):
        with pytest.raises((TypeError, ValueError, IndexError, OverflowError)):
            call()
    assert ops.softmax(x, axis=np.int64(0)).shape == (1,)


def test_memory_stays():
    x, z = Tensor(np.ones(64, np.float32)), Tensor(np.ones((8, 8), np.float32))
    f = rutile.jit(lambda v: (v + 1.0, ops.sum(v)))

    def work():
        for _ in range(300):
            memoryview(x[::2]).release()
            (x[1:] * 2.0).asnumpy()
            list(z)
            f(x)
            rutile.value_and_grad(lambda v: ops.mean(v * v))(x)
            for bad in (lambda: ops.matmul(x, z[:3]), lambda: x["a"], lambda: ops.relu(x, nothing=1)):
                with pytest.raises((TypeError, ValueError)):
                    bad()

    work()
    gc.collect()
    tracemalloc.start()
    work()
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    work()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000, grown


def test_import_leaves_numpy_alone():
    code = "import sys, rutile; assert 'numpy' not in sys.modules; print(float(rutile.Tensor(2.0) * 3))"
    out = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, timeout=60)
    assert out.returncode == 0 and out.stdout == "6.0\n" and not out.stderr, out


def test_in_and_round():
    x = Tensor([[1.25, 2.5], [3.5, -0.5]])
    assert 2.5 in x and 4 not in x and Tensor(3.5) in x
    assert round(x).asnumpy().tolist() == [[1, 2], [4, 0]] and round(Tensor([1.234, 5.678]), 1).asnumpy().tolist() == pytest.approx([1.2, 5.7])
    f = rutile.jit(lambda v: round(v) + 1)
    assert f(x).asnumpy().tolist() == [[2, 3], [5, 1]]


def test_results_with_plain_values():
    """Numbers and texts beside the tensors are handed on; gradients are those of the tensors."""
    def f(v):
        return v * 2, ({"a": v * v, "b": 2}, (1, "text", None)), np.int64(3)

    x = Tensor([3.0])
    assert float(rutile.grad(f)(x)) == float(rutile.grad(rutile.jit(f))(x)) == 8
    (first, (mapping, rest), number), g = rutile.value_and_grad(f)(x)
    assert float(first) == 6 and mapping["b"] == 2 and rest == (1, "text", None) and number == 3 and float(g) == 8
    assert rutile.jit(f)(x)[2] == 3 and rutile.jit(lambda v: max(np.array([1, 5])))(x) == 5
    with pytest.raises(rutile.errors.TypeError, match="must return a Tensor, got int"):
        rutile.grad(lambda v: 3)(x)


@pytest.mark.parametrize("lists, dtype", [
    ([1.0, np.float32(2)], "float32"), ((np.float32(1), 2.5), "float32"), ([1, np.int32(2)], "int64"), ([[1, 2], [np.int64(3), 4]], "int64"),
    ([True, np.int32(2)], "int64"), ([np.bool_(True), False], "bool_"), ([np.ones(3), (1, 2, 3), [4, 5, 6]], "float32"),
    ([(1, 2, 3), np.ones(3)], "float32"), ([[np.ones(2), [1, 2]], [[3, 4], (5, 6)]], "float32"), ([np.ones(2, np.int32)] * 2, "int64"),
    ([np.ones(2, np.float16), [1, 2]], "float32"), ([np.ones(2, np.uint8)] * 2, "uint8"), ([np.float64(1), 2], "float32"),
    ([1 + 2j, np.complex64(1)], "complex128"), ([Tensor(1.0), 2.0], "float32"), ([Tensor([1]), Tensor([2])], "int64")])
def test_lists_of_all_kinds(lists, dtype):
    """Values and dtypes as MindSpore 2.10 has them."""
    t = Tensor(lists)
    assert t.dtype == getattr(rutile, dtype)
    np.testing.assert_array_equal(t.asnumpy(), np.array([np.asarray(x) for x in lists]))
    assert Tensor(lists, rutile.float64).dtype == rutile.float64 if dtype != "complex128" else True


@pytest.mark.parametrize("lists", [[np.ones(3), (1, 2)], [np.ones(3), 1], [(1, 2), np.ones(3)], [1, np.ones(2)]])
def test_ragged_lists_of_arrays(lists):
    with pytest.raises(rutile.errors.ValueError, match="different shapes"):
        Tensor(lists)
