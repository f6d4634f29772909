# SPDX-License-Identifier: Apache-2.0
"""x[key] and x[key] = value against NumPy."""

import random
import warnings

import numpy as np
import pytest

import rutile as ms
from rutile import Parameter, Tensor, ops

A = np.arange(120, dtype=np.float32).reshape(4, 5, 6)
MASK = A % 7 < 3
KEYS = [
    0, -1, np.int64(2), slice(-9, None, -1), (slice(None), slice(-6, -9, -2)), slice(None), slice(1, 3), slice(None, None, -1), ..., None, (0, 1, 2), (slice(None), 2), (..., 0), (0, ..., 0),
    (None, 0, None), (slice(3, 0, -2), slice(None), slice(1, 100, 2)), [0, 2], [-1, 0, -1], np.array([[0, 1], [3, 2]]), [True, False, True, True],
    ([0, 1], [2, 3]), ([0, 1], slice(None), [2, 3]), (slice(None), [0, 1], [2, 3]), (slice(1, 3), [0, 4]), (0, [1, 2]), (0, slice(None), [1, 2]),
    ([0, 1], 2), ([[0], [1]], [2, 3]), (None, [0, 1]), ([0, 1], None, [2, 3]), (..., [0, 5]), MASK, (slice(None), slice(None), MASK[0, 0]), (0, MASK[0]), (MASK[:, 0, 0],),
    (slice(None), MASK[0]), (MASK[:, :, 0], 0), (MASK[:, :, 0], [1]), np.zeros((4,), bool), [], (slice(0, 0),), ([2],), (slice(None), np.array([], np.int64)),
    True, False, np.True_, (True, 0), (0, True), (slice(None), False), (..., True), ([0, 1], True), (True, slice(None), [0, 2]), (None, True, None)]


def to_tensor(key):
    """The same key with Tensors for arrays."""
    if isinstance(key, tuple):
        return tuple(map(to_tensor, key))
    return Tensor(key) if isinstance(key, np.ndarray) else key


@pytest.mark.parametrize("n", range(len(KEYS)))
@pytest.mark.parametrize("form", ["numpy", "tensor"])
def test_keys(n, form):
    key = KEYS[n]
    want, x = A[key], Tensor(A)
    used = to_tensor(key) if form == "tensor" else key
    got = x[used]
    assert got.shape == want.shape
    np.testing.assert_array_equal(got.asnumpy(), want)
    for value in (9, -1.5, np.arange(want.size, dtype=np.float32).reshape(want.shape) - 1000):
        b, y = A.copy(), Tensor(A)
        b[key] = value
        y[used] = Tensor(value) if isinstance(value, np.ndarray) else value
        np.testing.assert_array_equal(y.asnumpy(), b)
    np.testing.assert_array_equal(x.asnumpy(), A)


def random_key(rng, shape):
    key, axis = [], 0
    length = rng.choice([1, 2, 3])
    for _ in range(rng.randrange(1, len(shape) + 1)):
        n = shape[axis]
        kind = rng.randrange(6)
        if kind == 0:
            key.append(rng.randrange(-n, n))
        elif kind == 1:
            key.append(slice(rng.choice([None, -n - 2, -n, 0, 1, n]), rng.choice([None, -n - 1, -1, n, n + 3]), rng.choice([None, 1, 2, -1, -2])))
        elif kind == 2:
            key.append(np.array([rng.randrange(-n, n) for _ in range(length)]))
        elif kind == 3:
            key.append(np.array([[rng.randrange(-n, n)] for _ in range(2)]))
        elif kind == 4:
            key.append(None)
            axis -= 1
        else:
            mask = np.zeros(n, bool)
            mask[:min(n, length)] = True
            if mask.sum() != length:
                mask[:] = False
                key.append(slice(None))
            else:
                key.append(mask)
        axis += 1
    if rng.random() < 0.3:
        key.insert(rng.randrange(len(key) + 1), ...)
        if axis > len(shape):
            key.pop()
    return tuple(key)


def test_random_keys():
    rng = random.Random(3)
    done = 0
    for _ in range(1500):
        shape = tuple(rng.randrange(1, 5) for _ in range(rng.randrange(1, 5)))
        a = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
        key = random_key(rng, shape)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # out of range where the result is empty: an error one day
                want = a[key]
        except (IndexError, DeprecationWarning):
            with pytest.raises((IndexError, ValueError)):
                Tensor(a)[key]
            continue
        done += 1
        np.testing.assert_array_equal(Tensor(a)[key].asnumpy(), want, err_msg=str((shape, key)))
        values = np.random.default_rng(done).normal(size=want.shape[want.ndim and rng.randrange(want.ndim):])
        b, y = a.copy(), Tensor(a)
        b[key] = values
        y[key] = values
        np.testing.assert_array_equal(y.asnumpy(), b, err_msg=str((shape, key)))
    assert done > 1000


def test_assignment_rebinds():
    x = Tensor([1.0, 2.0, 3.0])
    view, same, kept = x[1:], x, x.asnumpy()
    x[1] = 9
    assert x.asnumpy().tolist() == [1, 9, 3] and view.asnumpy().tolist() == [2, 3] and kept.tolist() == [1, 2, 3]
    assert same is x
    x[:] = [4, 5, 6]
    assert x.asnumpy().tolist() == [4, 5, 6] and x.dtype == ms.float32
    x[[0, 0]] = Tensor([7.0, 8.0])
    assert float(x[0]) == 8  # the last one stays
    p = Parameter(Tensor([1.0, 2.0]), name="p")
    p[0] = 5
    assert isinstance(p, Parameter) and p.asnumpy().tolist() == [5, 2]
    n = Tensor([1, 2])
    n[0] = 3.7
    assert n.asnumpy().tolist() == [3, 2]


def test_gradients_and_traces():
    def f(x, v):
        y = x * 2.0
        y[1:3] = v
        y[[0, 0]] = v * 3.0
        return ops.sum(y[[0, 2, 2]] * x[::-1][:3] + y[x.shape[0] - 1])

    x, v = Tensor([1.0, 2.0, 3.0, 4.0]), Tensor([10.0, 20.0])
    grad = ms.value_and_grad(f, (0, 1))
    value, (gx, gv) = grad(x, v)
    # y = [60, 10, 20, 8]: 60 * 4 + 20 * 3 + 20 * 2 + 3 * 8
    assert float(value) == 364
    assert gx.asnumpy().tolist() == [0, 20, 20, 66] and gv.asnumpy().tolist() == [0, 17]
    compiled = ms.jit(grad)
    for _ in range(2):
        again, (hx, hv) = compiled(x, v)
        assert float(again) == 364 and hx.asnumpy().tolist() == gx.asnumpy().tolist() and hv.asnumpy().tolist() == gv.asnumpy().tolist()


def test_symbolic_indices():
    @ms.jit
    def f(x, i):
        return x[i], x[i - 4, 0]

    a, k = np.arange(12.0).reshape(4, 3), np.array([[0, 3], [1, 2]])
    x = Tensor(a)
    rows, firsts = f(x, Tensor(k))
    np.testing.assert_array_equal(rows.asnumpy(), a[k])
    np.testing.assert_array_equal(firsts.asnumpy(), a[k - 4, 0])

    @ms.jit(fullgraph=True)
    def g(x):
        return x[x > 1]

    with pytest.raises((RuntimeError, NotImplementedError)) as info:
        g(x)
    assert "test_indexing.py" in str(info.value)

    @ms.jit(fullgraph=True)
    def h(x, i):
        x[i] = 0
        return x

    changed = h(x, Tensor([1, -1])).asnumpy()
    np.testing.assert_array_equal(x.asnumpy(), changed)  # as eagerly
    assert not changed[[1, 3]].any() and np.array_equal(changed[[0, 2]], a[[0, 2]])
    with pytest.raises(IndexError):
        h(x, Tensor([9]))


@pytest.mark.parametrize("write", [
    lambda x, i, m, v: x.__setitem__(m, 0.0), lambda x, i, m, v: x.__setitem__((m,), v[0, 0]), lambda x, i, m, v: x.__setitem__(m[:, 0], v),
    lambda x, i, m, v: x.__setitem__(m[:, 0], 7), lambda x, i, m, v: x.__setitem__(i, v * 2), lambda x, i, m, v: x.__setitem__((i, 1), v[0, 1]),
    lambda x, i, m, v: x.__setitem__((slice(None), i), 5), lambda x, i, m, v: x.__setitem__((slice(1, 3), None, i), 1.5),
    lambda x, i, m, v: x.__setitem__((i, i), 9), lambda x, i, m, v: x.__setitem__(([0, 1], i), -1)])
def test_assignment_by_what_is_known_when_the_graph_runs(write):
    a, k, mask = np.arange(12.0).reshape(4, 3) + 100, np.array([0, 2]), np.arange(12).reshape(4, 3) % 5 < 2
    v = np.arange(3.0).reshape(1, 3) + 20

    def f(x, i, m, v):
        x = x * 1.0
        write(x, i, m, v)
        return x

    want = a.copy()
    write(want, k, mask, v)
    got, grad = ms.jit(ms.value_and_grad(lambda x, *rest: f(x, *rest)))(Tensor(a), Tensor(k), Tensor(mask), Tensor(v))
    np.testing.assert_array_equal(got.asnumpy(), want)
    np.testing.assert_array_equal(f(Tensor(a), Tensor(k), Tensor(mask), Tensor(v)).asnumpy(), want)
    np.testing.assert_array_equal(grad.asnumpy(), want == a)


def test_a_mask_that_is_only_known_later_takes_one_value():
    f = ms.jit(lambda x, m, v: x.__setitem__(m, v) or x)
    with pytest.raises(ValueError, match="masked_scatter"):
        f(Tensor([1.0, 2.0]), Tensor([True, False]), Tensor([1.0, 2.0]))
    with pytest.raises(IndexError):
        f(Tensor([1.0, 2.0]), Tensor([True, False, True]), Tensor(1.0))


@pytest.mark.parametrize("key", [4, -5, (0, 5), (0, 0, 0, 0), [4], ([0], [5]), "a", 1.5, (..., ...), np.zeros((3,), bool), np.zeros((4, 4), bool),
                                 [1.0], ([0, 1], [0, 1, 2]), 2**70, {}, b"a", slice("a", 2), Tensor([0.5]), [[0], [1, 2]]])
def test_wrong_keys(key):
    x = Tensor(A)
    with pytest.raises((IndexError, TypeError, ValueError)) as info:
        x[key]
    assert isinstance(info.value, ms.Error)
    with pytest.raises((IndexError, TypeError, ValueError)):
        x[key] = 1
    np.testing.assert_array_equal(x.asnumpy(), A)


def test_wrong_values():
    x = Tensor(A)
    for call in (lambda: x.__setitem__(0, Tensor([1.0, 2.0])), lambda: x.__setitem__(0, "a"), lambda: x.__delitem__(0)):
        with pytest.raises((ValueError, TypeError)):
            call()
