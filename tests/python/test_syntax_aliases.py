# SPDX-License-Identifier: Apache-2.0
"""Assignments in place behind branches and loops over traced tensors: each name of the tensor sees them, and no other."""

import numpy as np
import pytest

import rutile
from rutile import Tensor, nn, ops

CASES = {}


def case(f):
    CASES[f.__name__] = f
    return f


@case
def rebound_in_one_branch(x, y):
    a = x * 1
    t = (a, y)
    if x.sum() > 0:
        a = a * 2
    a[0] = 9.0
    return t[0], a


@case
def older_name_is_assigned(x, y):
    a = x * 1
    z = a
    if x.sum() > 0:
        a = a * 2
    z[0] = 9.0
    return z, a


@case
def argument_itself(x, y):
    z = x
    if y.sum() > 0:
        z = x + 1
    z[1] = 7.0
    return x, z


@case
def one_of_two(x, y):
    a, b = x * 1, y * 1
    c = a if x.sum() > y.sum() else b
    c[0] = 5.0
    return a, b, c


@case
def one_of_two_by_statements(x, y):
    a, b = x * 1, y * 1
    t = [a, b]
    if x.sum() > y.sum():
        c = a
        d = b
    else:
        c = b
        d = b
    d[1] = 3.0
    c[0] = 5.0
    return a, b, c, d, t[0], t[1]


@case
def one_of_two_by_their_truth(x, y):
    a, b = x[:1] * 1, y[:1] * 1
    c = a or b
    d = (a > 1) and (b > 1)
    c[0] = 5.0
    d[0] = True
    return a, b, c, d.astype("int32")


@case
def two_choices(x, y):
    a, b = x * 1, y * 1
    c = a if x.sum() > 0 else b
    d = a if y.sum() > 0 else b
    c[0] = 5.0
    d[1] = 6.0
    b[0] = 7.0
    return a, b, c, d


@case
def one_new_tensor_of_two_names(x, y):
    a = b = x
    if x.sum() > 0:
        a = b = x * 2
    else:
        a = x * 3
        b = a
    a[0] = 4.0
    return a, b, x


@case
def one_new_tensor_in_one_branch(x, y):
    a, b = x * 1, y * 1
    if x.sum() > 0:
        a = x * 2
        b = a
    else:
        a = x * 3
        b = x * 4
    a[0] = 4.0
    return a, b


@case
def both_branches_leave_it(x, y):
    a = x * 1
    z = a
    if x.sum() > 0:
        a = a
        b = a
    else:
        b = z
    b[0] = 4.0
    a[1] = 5.0
    return a, b, z


@case
def equal_values_of_two_tensors(x, y):
    a, b = x.copy(), x.copy()
    c = a if x.sum() > 0 else b
    c[0] = 4.0
    return a, b, c


@case
def tuples_of_them(x, y):
    a, b = x * 1, y * 1
    if x.sum() > 0:
        t = (a, b)
    else:
        t = (b, y * 5)
    t[0][0] = 8.0
    a[1] = 6.0
    return a, b, t[0], t[1]


@case
def nested_branches(x, y):
    a = x * 1
    z = a
    if x.sum() > 0:
        if y.sum() > 0:
            a = a * 2
    a[0] = 9.0
    return a, z


@case
def one_after_another(x, y):
    a = x * 1
    z = a
    for i in range(4):
        if x.sum() > i - 1:
            a = a * 2
    a[0] = 9.0
    return a, z


@case
def loop(x, y):
    a = x * 1
    t = (a, y)
    while a.sum() < 10 and a.sum() > 0:
        a = a * 2
    a[0] = 9.0
    return a, t[0]


@case
def loop_with_one_new_tensor(x, y):
    a, b = x * 1, y * 1
    c, d = a, b
    while a.sum() < 10 and a.sum() > 0:
        a = a * 2
        b = a
    b[0] = 9.0
    a[1] = 8.0
    return a, b, c, d


@case
def loop_that_swaps(x, y):
    a, b, i = x * 1, y * 1, x.sum()
    t = (a, b)
    while i < 10:
        a, b = b, a
        i = i + 3
    a[0] = 9.0
    return a, b, t[0], t[1]


@case
def loop_with_the_one_before(x, y):
    p = h = x * 1
    z = h
    while h.sum() < 10 and h.sum() > 0:
        p = h
        h = h * 2
    p[0] = 9.0
    return p, h, z


@case
def loop_that_keeps_one_of_two_names(x, y):
    a = b = x * 1
    i = x.sum()
    while i < 10:
        a = a
        b = b * 2
        i = i + 4
    a[0] = 9.0
    return a, b


@case
def loop_over_a_tuple(x, y):
    h = x * 1
    t = (h, y)
    while h.sum() < 10 and h.sum() > 0:
        t = (h, t[0])
        h = h * 2
    h[0] = 9.0
    return h, t[0], t[1], y


@case
def branch_in_a_loop(x, y):
    a = x * 1
    z = a
    i = x.sum()
    while i < 10:
        if i > 3:
            a = a + 1
        i = i + 4
    a[0] = 9.0
    return a, z


@case
def methods_in_place(x, y):
    a = x * 1
    z = a
    if x.sum() > 0:
        a = a * 2
    a.fill_(5.0)
    return a, z


@case
def method_in_place_in_a_branch(x, y):
    a = x * 1
    z = a
    if x.sum() > 0:
        b = a.fill_(5.0)
    else:
        b = a
    return a, b, z


@case
def method_in_place_of_a_name_assigned_in_the_branch(x, y):
    a = x * 1
    z = a
    if x.sum() > 0:
        a = a.fill_(5.0)
    return a, z


@case
def in_a_function(x, y):
    def put(t):
        t[0] = 4.0
        return t

    a = x * 1
    z = a
    if x.sum() > 0:
        a = y
    put(a)
    return a, z, y


@case
def early_return(x, y):
    z = x
    if x.sum() > 0:
        z = x * 2
        if y.sum() > 0:
            return z, x
    z[0] = 1.0
    return z, x


INPUTS = [([1.0, 2.0], [3.0, 4.0]), ([-1.0, -2.0], [3.0, 4.0]), ([1.0, 2.0], [-3.0, -4.0]), ([-1.0, 0.5], [-3.0, 4.0]),
          ([0.0, 1.0], [2.0, 0.0]), ([6.0, 5.0], [1.0, 1.0]), ([0.5, 1.0], [0.0, 0.0])]


def run(f, x, y):
    x, y = Tensor(x), Tensor(y)
    return [t.asnumpy().tolist() for t in f(x, y)] + [x.asnumpy().tolist(), y.asnumpy().tolist()]


@pytest.mark.parametrize("name", CASES)
def test_each_name_sees_it(name):
    compiled = rutile.jit(CASES[name])
    for x, y in INPUTS:
        assert run(compiled, x, y) == run(CASES[name], x, y), (x, y)


LOOPS = ("loop_that_swaps", "loop_with_the_one_before", "loop_over_a_tuple", "branch_in_a_loop")
BODIES = ("method_in_place_in_a_branch", "method_in_place_of_a_name_assigned_in_the_branch")


@pytest.mark.parametrize("name", [n for n in CASES if n not in LOOPS + BODIES + ("nested_branches", "early_return")])
def test_it_compiles(name):
    compiled = rutile.jit(CASES[name], fullgraph=True)
    for x, y in INPUTS:
        assert run(compiled, x, y) == run(CASES[name], x, y), (x, y)


@pytest.mark.parametrize("name", LOOPS)
def test_what_turns_decide_is_an_error(name):
    with pytest.raises(RuntimeError, match=r"(?s)test_syntax_aliases.py:\d+, which may be that of another name.*x = x.copy\(\)"):
        rutile.jit(CASES[name], fullgraph=True)(Tensor([1.0, 2.0]), Tensor([3.0, 4.0]))


def test_a_name_of_its_own_compiles():
    def f(x):
        p = h = x * 1
        while h.sum() < 10:
            p = h
            h = h * 2
        p = p.copy()
        p[0] = 9.0
        return p, h

    compiled = rutile.jit(f, fullgraph=True)
    for v in ([1.0, 2.0], [30.0, 1.0]):
        assert [t.asnumpy().tolist() for t in compiled(Tensor(v))] == [t.asnumpy().tolist() for t in f(Tensor(v))]


def test_cells_and_gradients():
    class Net(nn.Cell):
        def construct(self, x):
            a = x * 2
            z = a
            if x.sum() > 0:
                a = a * x
            a[0] = x[1] * 3
            return (a + z * z).sum()

    got = {}
    for mode in (rutile.PYNATIVE_MODE, rutile.GRAPH_MODE):
        rutile.set_context(mode=mode)
        try:
            got[mode] = [rutile.value_and_grad(Net())(Tensor(v)) for v in ([1.0, 2.0], [-1.0, -2.0])]
        finally:
            rutile.set_context(mode=rutile.PYNATIVE_MODE)
    for eager, graph in zip(got[rutile.PYNATIVE_MODE], got[rutile.GRAPH_MODE]):
        for a, b in zip(eager, graph):
            np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=1e-6)


def test_results_of_cond_are_tensors_of_their_own():
    def f(x):
        a = x * 1
        b = ops.cond(x.sum() > 0, lambda: a, lambda: a * 2)
        b[0] = 9.0
        return a, b

    for v in ([1.0, 2.0], [-1.0, 2.0]):
        eager, graph = f(Tensor(v)), rutile.jit(f, fullgraph=True)(Tensor(v))
        assert [t.asnumpy().tolist() for t in eager] == [t.asnumpy().tolist() for t in graph]
