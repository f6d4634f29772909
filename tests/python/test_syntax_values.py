# SPDX-License-Identifier: Apache-2.0
"""Rewritten control flow: lists and dicts that have several names, the values of and and or, gradients of what branches."""

import numpy as np
import pytest
import rutile
from rutile import Tensor, ops


def _list(x, y):
    a = [x, y]
    b = a
    z = x
    if x > y:
        a[0] = y * 3
        z = b[0] + 1
    return z, b[0], a[1]


def _dict(x, y):
    a = {"p": x}
    b = a
    if x > y:
        a["p"] = y
    else:
        a["p"] = b["p"] * 2
    return b["p"], a["p"]


def _rebound(x, y):
    a = [x]
    b = a
    if x > y:
        a = [y]
    return a[0], b[0]


def _loop(x, y):
    a = [x, y]
    b = a
    while a[0] < 6:
        a[0] = b[0] + 1
    return b[0], a[0], b[1]


def _nested(x, y):
    a = [x]
    b = [a, [y]]
    if x > -5:
        if x > y:
            a[0] = a[0] + 1
        a[0] = b[0][0] * 2
    return b[0][0], b[1][0]


def _two_names(x, y):
    a = [x]
    b = a
    if x > y:
        a[0] = y
        b[0] = a[0] + 5
    return a[0], b[0]


def _values(x, y):
    n = ops.abs(x).astype(rutile.int32)
    w = 1 if n and x > 0 else -1
    return (x and y), (x or 3.0), (not x or y > 1), (x > 0 or y > 0), x * w


@pytest.mark.parametrize("f", [_list, _dict, _rebound, _loop, _nested, _two_names, _values])
def test_as_python_has_it(f):
    compiled = rutile.jit(f)
    for x, y in [(1.0, 2.0), (2.0, 1.0), (-3.0, 0.5), (0.0, 0.0), (5.0, 0.0)]:
        got, wanted = compiled(Tensor(x), Tensor(y)), f(Tensor(x), Tensor(y))
        assert [float(v) for v in got] == [float(v) for v in wanted], (x, y)


def test_one_branch_changes_and_one_rebinds():
    def f(x, y):
        a = [x]
        b = a
        if x > y:
            a = [y]
        else:
            a[0] = y * 4
        return a[0], b[0]

    with pytest.raises(RuntimeError):
        rutile.jit(f, fullgraph=True)(Tensor(1.0), Tensor(2.0))
    assert [float(v) for v in rutile.jit(f)(Tensor(1.0), Tensor(2.0))] == [8, 8]


def test_gradients_of_what_branches():
    def f(x, y):
        if x > y:
            return x * x
        return x * y

    for make in (rutile.grad, lambda g, at: lambda *a: rutile.value_and_grad(g, at)(*a)[1]):
        g = make(f, (0, 1))
        assert [float(v) for v in rutile.jit(rutile.grad(f, (0, 1)), fullgraph=True)(Tensor(3.0), Tensor(2.0))] == [6, 0]
        assert [float(v) for v in g(Tensor(1.0), Tensor(2.0))] == [2, 1]
    second = rutile.jit(rutile.grad(rutile.grad(f)), fullgraph=True)
    assert float(second(Tensor(3.0), Tensor(2.0))) == 2 and float(second(Tensor(1.0), Tensor(2.0))) == 0


def test_ops_of_the_table_in_branches():
    """Functions and methods without Python code, NumPy's constants, and gradients made in a branch."""
    def f(x):
        if x.sum() > 0:
            y = ops.tanh(x) + x.exp() * np.sqrt(2.0) + ops.table.relu(x).reshape(1, 2).reshape(2) * np.float32(0.5)
        else:
            y = rutile.vmap(ops.tanh)(x) * np.ones(2, np.float32) + ops.grad(lambda z: ops.abs(z).sum())(x)
        turns = 0
        while ops.abs(y).sum() > 0.5 and turns < 10:
            y = ops.sin(y) * 0.5
            turns = turns + 1
        return y

    compiled = rutile.jit(f, fullgraph=True)
    for x in (Tensor([1.0, 2.0]), Tensor([-1.0, -2.0])):
        np.testing.assert_allclose(compiled(x).asnumpy(), f(x).asnumpy(), rtol=1e-6)

    array = np.zeros(2)

    def writes(x):
        if x.sum() > 0:
            np.add(array, 1.0, array)
        return x * 2

    assert rutile.jit(writes)(Tensor([1.0])).asnumpy() == [2] and array.tolist() == [1, 1]
    with pytest.raises(rutile.Error, match="add"):
        rutile.jit(writes, fullgraph=True)(Tensor([1.0]))


def test_table_functions_are_known():
    """Each function of the table may stand in a branch."""
    from rutile._syntax.functions import _computes
    assert all(_computes(f) for n, f in vars(ops.table).items() if not n.startswith("_"))
