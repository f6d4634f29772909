# SPDX-License-Identifier: Apache-2.0
"""Tensor, op functions, value_and_grad and jit."""

import doctest

import numpy as np
import pytest

import rutile
from rutile import Tensor
from rutile.ops import table as ops


def close(tensor, array, tolerance=1e-6):
    np.testing.assert_allclose(tensor.asnumpy(), array, rtol=tolerance, atol=tolerance)


def test_doctests():
    result = doctest.testmod(rutile)
    assert result.attempted > 3 and result.failed == 0


@pytest.mark.parametrize("data,dtype,shape", [
    (1.5, "float32", ()), (3, "int64", ()), (True, "bool", ()),
    ([1, 2], "int64", (2,)), ([[1.0], [2.0]], "float32", (2, 1)), ([], "float32", (0,)),
    (np.arange(6, dtype=np.int32).reshape(2, 3).T, "int32", (3, 2)),
])
def test_construction(data, dtype, shape):
    t = Tensor(data)
    assert (t.dtype, t.shape, t.ndim) == (dtype, shape, len(shape))
    np.testing.assert_array_equal(t.asnumpy(), np.array(data).reshape(shape))


@pytest.mark.parametrize("bad", [[[1, 2], [3]], [1, [2]], "text", object(), {1: 2}])
def test_bad_construction(bad):
    with pytest.raises((TypeError, ValueError)):
        Tensor(bad)


def test_arithmetic_follows_numpy():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(3, 4)).astype(np.float32)
    b = rng.uniform(0.5, 2, size=(4,)).astype(np.float32)
    x, y = Tensor(a), Tensor(b)
    for f in (lambda p, q: p + q, lambda p, q: p - q, lambda p, q: p * q, lambda p, q: p / q,
              lambda p, q: p // q, lambda p, q: p % q, lambda p, q: -p, lambda p, q: abs(p),
              lambda p, q: 2 - p, lambda p, q: 3.0 * q, lambda p, q: 1 / q, lambda p, q: q ** 2):
        close(f(x, y), f(a, b), 1e-5)
    for f in (lambda p, q: p < q, lambda p, q: p >= q, lambda p, q: p == p, lambda p, q: p != q):
        np.testing.assert_array_equal(f(x, y).asnumpy(), f(a, b))
    close(x @ Tensor(a.T), a @ a.T, 1e-5)
    assert (x + 1).dtype == "float32" and (Tensor([1]) + 1.5).dtype == "float32"


@pytest.mark.parametrize("key", [
    0, -1, slice(1, 3), slice(None, None, -1), slice(4, None, -2), Ellipsis, None, (0, 1),
    (slice(None), 2), (Ellipsis, 0), (None, 1), (1, slice(0, 4, 2), None), (Ellipsis, slice(1, None)),
])
def test_indexing_follows_numpy(key):
    a = np.arange(5 * 4 * 3).reshape(5, 4, 3)
    np.testing.assert_array_equal(Tensor(a)[key].asnumpy(), a[key])


@pytest.mark.parametrize("key,error", [(5, IndexError), ((0, 0, 0, 0), IndexError), ("a", IndexError)])
def test_bad_index(key, error):
    with pytest.raises(error):
        Tensor(np.zeros((5, 4, 3)))[key]


def test_numpy_shares_memory():
    t = Tensor([1.0, 2.0])
    a, seen = t.asnumpy(), np.asarray(t)
    assert a.flags.writeable and not seen.flags.writeable and np.shares_memory(a, seen)
    del t
    np.testing.assert_array_equal(a, [1, 2])
    assert np.asarray(Tensor([1]), dtype=np.float64).dtype == np.float64


def test_functions_take_attributes_by_place_and_name():
    x = Tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    close(ops.sum(x, axes=1, keepdims=True), [[3], [12]])
    close(ops.softmax(x, -1), ops.softmax(x, axis=-1).asnumpy())
    close(ops.concat([x, x], axis=0), np.concatenate([x.asnumpy()] * 2))
    assert ops.cast(x, dtype="int32").dtype == "int32"
    assert [t.shape for t in ops.batch_norm(Tensor(np.ones((2, 3, 2, 2), np.float32)))] == [
        (2, 3, 2, 2), (3,), (3,)]


@pytest.mark.parametrize("call,error,text", [
    (lambda x: ops.matmul(x, Tensor([[1.0, 2.0]])), ValueError, "[matmul]"),
    (lambda x: ops.softmax(x, axis=7), IndexError, "[softmax]"),
    (lambda x: ops.softmax(x, nonsense=1), TypeError, "nonsense"),
    (lambda x: ops.relu(), (ValueError, TypeError), "relu"),
    (lambda x: ops.relu(x, x, x), TypeError, "relu"),
    (lambda x: ops.embedding(Tensor([9]), x), IndexError, "[embedding]"),
])
def test_errors(call, error, text):
    with pytest.raises(error) as info:
        call(Tensor(np.ones((2, 3), np.float32)))
    assert text in str(info.value)
    if error is not TypeError:
        assert isinstance(info.value, rutile.Error)


def test_value_and_grad():
    x, w = Tensor([[1.0, 2.0], [3.0, 4.0]]), Tensor([[0.5, 1.0], [1.0, -1.0]])
    f = rutile.value_and_grad(lambda a, b: ops.sum(ops.tanh(a @ b)), argnums=(0, 1))
    value, (dx, dw) = f(x, w)
    t = 1 - np.tanh(x.asnumpy() @ w.asnumpy()) ** 2
    close(dx, t @ w.asnumpy().T, 1e-4)
    close(dw, x.asnumpy().T @ t, 1e-4)
    with pytest.raises(TypeError):
        rutile.value_and_grad(lambda a: 3)(x)


def test_gradient_of_a_gradient():
    inner = rutile.value_and_grad(lambda v: ops.sum(v * v * v))
    _, second = rutile.value_and_grad(lambda v: ops.sum(inner(v)[1]))(Tensor([1.0, 2.0]))
    close(second, [6, 12])


def test_jit_matches_eager_and_recompiles_for_new_shapes():
    def f(a, b):
        return ops.relu(a - b) * 2.0, ops.sum(a)

    g = rutile.jit(f, passes_off="all")
    for n in (3, 3, 5):
        a, b = Tensor(np.arange(n, dtype=np.float32)), Tensor(np.ones(n, np.float32))
        for compiled, eager in zip(g(a, b), f(a, b)):
            np.testing.assert_array_equal(compiled.asnumpy(), eager.asnumpy())
    assert g.compilations == 2
    assert "relu" in g.graph_text()


def test_reading_a_value_in_a_trace_names_this_file():
    @rutile.jit(fullgraph=True)
    def f(a):
        if ops.sum(a).item() > 0:
            return a
        return -a

    with pytest.raises(RuntimeError) as info:
        f(Tensor([1.0]))
    assert "test_first_extension.py" in str(info.value)
    assert float(Tensor(2.0) + 1) == 3.0  # nothing is left of the trace


def test_exception_of_the_function_passes_through():
    @rutile.jit
    def f(a):
        raise KeyError("mine")

    with pytest.raises(KeyError):
        f(Tensor([1.0]))


def test_no_leaks():
    import resource
    x = Tensor(np.ones(1000, np.float32))

    def work():
        for _ in range(2000):
            y = ops.sum(x * 2.0 + x[::2][0])
            y.asnumpy()
            try:
                ops.matmul(x, Tensor([[1.0]]))
            except ValueError:
                pass

    work()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work()
    work()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4096
