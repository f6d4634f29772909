# SPDX-License-Identifier: Apache-2.0
"""Attributes of objects, functions, classes and modules, and variables, that a compiled function changes as it runs."""

import dataclasses
import types

import pytest

import rutile
from rutile import Tensor

from stale_cases import WAYS, check

COUNT = 0
MODULE = types.ModuleType("settings_of_a_user")
CASES = {}


def case(make):
    CASES[make.__name__] = make
    return make


# ---- Attributes of objects, functions, classes and modules; variables


@case
def attribute_of_the_function():
    def f(x):
        f.count = getattr(f, "count", 0) + 1
        return x * f.count
    return f, None, lambda: f.count


@case
def attribute_of_another_function():
    def helper(x):
        helper.calls += 1
        return x * helper.calls
    helper.calls = 0
    return lambda x: helper(x), None, lambda: helper.calls


@case
def attribute_of_a_function_changed_outside():
    def scaled(x):
        return x * scaled.gain
    scaled.gain = 2.0
    return lambda x: scaled(x), lambda i: setattr(scaled, "gain", 2.0 + i // 2), None


@case
def attribute_of_a_compiled_function():
    @rutile.jit
    def inner(x):
        inner.calls += 1
        return x * inner.calls
    inner.calls = 0
    return lambda x: inner(x), None, lambda: inner.calls


@case
def object_that_counts():
    state = types.SimpleNamespace(step=0, last=None)

    def f(x):
        state.step += 1
        state.last = x * 2.0
        return x * state.step
    return f, None, lambda: (state.step, state.last.asnumpy())


@case
def object_with_a_tensor():
    state = types.SimpleNamespace(mean=Tensor([1.0, 1.0, 1.0]))

    def f(x):
        state.mean = state.mean * 0.5 + x.mean(0) * 0.5
        return x - state.mean
    return f, None, lambda: state.mean.asnumpy()


@case
def tensor_of_an_object_changed_outside():
    state = types.SimpleNamespace(shift=Tensor([1.0, 1.0, 1.0]))
    return lambda x: x + state.shift, lambda i: setattr(state, "shift", Tensor([float(i), 1.0, 1.0])), None


@case
def modulo_counter():
    state = types.SimpleNamespace(step=0)

    def f(x):
        state.step = (state.step + 1) % 3
        return x * (state.step + 1)
    return f, None, lambda: state.step


@case
def slots():
    class Slots:
        __slots__ = ("n", "last")

    s = Slots()
    s.n = 0

    def f(x):
        s.n = (s.n + 1) % 2
        s.last = x + 1.0
        return x * (s.n + 1)
    return f, None, lambda: (s.n, s.last.asnumpy())


@case
def dataclass():
    @dataclasses.dataclass
    class Schedule:
        rate: float = 1.0
        history: list = dataclasses.field(default_factory=list)

        def step(self):
            self.rate *= 0.5
            self.history.append(self.rate)
            return self.rate

    schedule = Schedule()
    return lambda x: x * schedule.step(), None, lambda: (schedule.rate, list(schedule.history))


@case
def method_that_counts():
    class Meter:
        def __init__(self):
            self.total, self.n = 0.0, 0

        def update(self, v):
            self.total += v
            self.n += 1

        @property
        def mean(self):
            return self.total / max(self.n, 1)

    meter = Meter()

    def f(x):
        meter.update(x.shape[0])
        return x * meter.mean + meter.n
    return f, None, lambda: (meter.total, meter.n)


@case
def class_attribute():
    class Counted:
        calls = 0

    def f(x):
        Counted.calls += 1
        return x * Counted.calls
    return f, None, lambda: Counted.calls


@case
def global_variable():
    globals()["COUNT"] = 0

    def f(x):
        global COUNT
        COUNT += 1
        return x * COUNT
    return f, None, lambda: COUNT


@case
def nonlocal_variable():
    n = 0

    def f(x):
        nonlocal n
        n += 1
        return x * n
    return f, None, lambda: n


@case
def nonlocal_tensor():
    hidden = Tensor([0.0, 0.0, 0.0])

    def f(x):
        nonlocal hidden
        hidden = hidden * 0.5 + x.sum(0)
        return x + hidden
    return f, None, lambda: hidden.asnumpy()


@case
def nonlocal_that_is_only_set():
    last = None

    def f(x):
        nonlocal last
        last = x * 3.0
        return x
    return f, None, lambda: last.asnumpy()


@case
def module_attribute():
    MODULE.calls = 0

    def f(x):
        MODULE.calls += 1
        return x * MODULE.calls
    return f, None, lambda: MODULE.calls


@case
def getattr_of_a_class():
    class Lazy:
        def __init__(self):
            self.made = {}

        def __getattr__(self, name):
            made = self.__dict__["made"]
            made[name] = made.get(name, 0.0) + 1.0
            return made[name]

    lazy = Lazy()
    return lambda x: x * lazy.anything, None, lambda: dict(lazy.made)


@case
def deleted_attribute():
    state = types.SimpleNamespace()

    def f(x):
        if hasattr(state, "warm"):
            del state.warm
            return x * 2.0
        state.warm = True
        return x
    return f, None, lambda: dict(vars(state))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_compiled_as_eagerly(name, way):
    check(CASES[name], way)
