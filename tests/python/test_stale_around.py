# SPDX-License-Identifier: Apache-2.0
"""Whatever a compiled function finds around it may be another at the next call; it is compiled anew then."""

import collections
import enum
import fractions
import functools
import types

import numpy as np
import pytest

import rutile
from rutile import Tensor, nn, ops

X = Tensor(np.arange(1.0, 7.0, dtype=np.float32))


class Mode(enum.Enum):
    A = 1
    B = 2


class Number(enum.IntEnum):
    A = 1
    B = 2


class Float(float):
    pass


class Holder:
    def __init__(self, k):
        self.k = k

    def __getitem__(self, i):
        return self.k

    def times(self, x):
        return x * 2.0


Pair = collections.namedtuple("Pair", "k")


def scaled(k):
    return eval(f"lambda x: x * {k}")


# What it is before and after, and how a function reads it.
REBOUND = {
    "lambda": (scaled(2.0), scaled(3.0), lambda x, v: v(x)),
    "closure": (*(functools.partial(lambda k: lambda x: x * k)(k) for k in (2.0, 3.0)), lambda x, v: v(x)),
    "op": (ops.relu, ops.sigmoid, lambda x, v: v(x - 2.0)),
    "NumPy function": (np.sin, np.cos, lambda x, v: x * float(v(1.0))),
    "class": (nn.ReLU, nn.Sigmoid, lambda x, v: v()(x - 3.0)),
    "dtype": (rutile.float16, rutile.float64, lambda x, v: x.astype(v)),
    "NumPy type": (np.float32, np.float64, lambda x, v: Tensor(np.ones(2, v))),
    "Enum": (Mode.A, Mode.B, lambda x, v: x * 2.0 if v == Mode.A else x),
    "value of an Enum": (Mode.A, Mode.B, lambda x, v: x * v.value),
    "IntEnum": (Number.A, Number.B, lambda x, v: x * int(v)),
    "namedtuple": (Pair(2.0), Pair(3.0), lambda x, v: x * v.k),
    "range": (range(2), range(3), lambda x, v: x * len(v)),
    "slice": (slice(0, 2), slice(0, 3), lambda x, v: x[v]),
    "complex": (1 + 2j, 5 + 2j, lambda x, v: x * v.real),
    "Fraction": (fractions.Fraction(1, 2), fractions.Fraction(3, 2), lambda x, v: x * float(v)),
    "subclass of float": (Float(2.0), Float(3.0), lambda x, v: x * float(v)),
    "object": (Holder(2.0), Holder(3.0), lambda x, v: x * v[0]),
    "list of functions": ([scaled(2.0)], [scaled(3.0)], lambda x, v: v[0](x)),
    "gradient": (*(rutile.grad(lambda x, k=k: (x * k).sum()) for k in (2.0, 3.0)), lambda x, v: v(x)),
}


@pytest.mark.parametrize("what", REBOUND)
def test_rebound(what):
    before, after, read = REBOUND[what]
    value = before
    f = rutile.jit(lambda x: read(x, value))
    for value in (before, before, after, before, after):
        got, right = f(X), read(X, value)
        assert got.dtype == right.dtype
        np.testing.assert_array_equal(got.asnumpy(), right.asnumpy())
    assert f.compilations == 2


# An object, what changes in it, and how a function reads it.
CHANGED = {
    "OrderedDict": (collections.OrderedDict(k=2.0), lambda v: v.update(k=3.0), lambda x, v: x * v["k"]),
    "order of an OrderedDict": (collections.OrderedDict(a=2.0, b=3.0), lambda v: v.move_to_end("a"), lambda x, v: x * next(iter(v.values()))),
    "defaultdict": (collections.defaultdict(float, k=2.0), lambda v: v.update(k=3.0), lambda x, v: x * v["k"]),
    "deque": (collections.deque([2.0]), lambda v: v.__setitem__(0, 3.0), lambda x, v: x * v[0]),
    "dict of ops": ({"act": ops.relu}, lambda v: v.update(act=ops.sigmoid), lambda x, v: v["act"](x - 2.0)),
    "mapping": (types.MappingProxyType(HELD := {"k": 2.0}), lambda v: HELD.update(k=3.0), lambda x, v: x * v["k"]),
    "behind an operator": (Holder(2.0), lambda v: setattr(v, "k", 3.0), lambda x, v: x * v[0]),
    "op in an attribute": (types.SimpleNamespace(act=ops.relu), lambda v: setattr(v, "act", ops.sigmoid), lambda x, v: v.act(x - 2.0)),
    "by getattr": (types.SimpleNamespace(k=2.0), lambda v: setattr(v, "k", 3.0), lambda x, v: x * getattr(v, "k")),
    "in a comprehension": (types.SimpleNamespace(k=2.0), lambda v: setattr(v, "k", 3.0), lambda x, v: sum(x * v.k for _ in range(2))),
}


@pytest.mark.parametrize("what", CHANGED)
@pytest.mark.parametrize("how", ["around", "in an object", "in a Cell"])
def test_changed(what, how):
    import copy
    value, change, read = CHANGED[what]
    if what != "mapping":
        value = copy.deepcopy(value)
    HELD.update(k=2.0)
    if how == "in a Cell":
        class Net(nn.Cell):
            def __init__(self):
                super().__init__()
                self.held = value

            def construct(self, x):
                return read(x, self.held)

        f = rutile.jit(Net())
    elif how == "in an object":
        held = Holder(value)
        f = rutile.jit(lambda x: read(x, held.k))
    else:
        f = rutile.jit(lambda x: read(x, value))
    before = f(X).asnumpy()
    np.testing.assert_array_equal(before, read(X, value).asnumpy())
    f(X)
    assert f.compilations == 1
    change(value)
    np.testing.assert_array_equal(f(X).asnumpy(), read(X, value).asnumpy())
    assert not np.array_equal(f(X).asnumpy(), before) and f.compilations == 2


GAIN = 2.0


def times_gain(x):
    return x * GAIN


def rebind_gain(value):
    globals()["GAIN"] = value


def test_arguments():
    config = Holder(2.0)
    f = rutile.jit(lambda x, c: x * c.k)
    g = rutile.jit(lambda x, h: h(x))
    h = rutile.jit(lambda x, *, k={"k": 2.0}: x * k["k"])
    try:
        for k in (2.0, 3.0):
            config.k = h.__wrapped__.__kwdefaults__["k"]["k"] = k
            rebind_gain(k)
            for y in (f(X, config), g(X, times_gain), h(X), rutile.jit(lambda x: g(x, times_gain))(X)):
                np.testing.assert_array_equal(y.asnumpy(), X.asnumpy() * k)
    finally:
        rebind_gain(2.0)


def test_a_global_of_an_inner_function():
    inner = rutile.jit(times_gain)
    fs = [rutile.jit(lambda x: sum(x * GAIN for _ in range(1))), rutile.jit(lambda x: inner(x)),
          rutile.jit(lambda x: rutile.grad(lambda y: (y * GAIN).sum())(x) * x)]
    try:
        for k in (2.0, 5.0):
            rebind_gain(k)
            for f in fs:
                np.testing.assert_array_equal(f(X).asnumpy(), X.asnumpy() * k)
    finally:
        rebind_gain(2.0)


def test_a_method_that_its_class_gets_anew():
    holder, was = Holder(1.0), Holder.times
    f = rutile.jit(lambda x: holder.times(x))
    f(X)
    Holder.times = lambda self, x: x * 7.0
    try:
        np.testing.assert_array_equal(f(X).asnumpy(), X.asnumpy() * 7.0)
    finally:
        Holder.times = was


def test_what_the_function_itself_makes_is_no_reason_to_compile_again():
    state = types.SimpleNamespace(last=None)

    @rutile.jit
    def f(x):
        state.last = Holder(1.0)
        return x * state.last.k

    for _ in range(5):
        f(X)
    assert f.compilations <= 2
