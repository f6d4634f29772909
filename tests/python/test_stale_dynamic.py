# SPDX-License-Identifier: Apache-2.0
"""What compiled functions read without naming it: attributes asked for by computed names, modules that they import
themselves, the environment, context variables. It may be another at the next call."""

import builtins
import configparser
import contextvars
import operator
import os
import sys
import threading
import types

import numpy as np
import pytest

import rutile
from rutile import Tensor, nn, ops

X = Tensor(np.arange(1.0, 7.0, dtype=np.float32).reshape(2, 3))
CHOSEN = "gain"
HELD = types.SimpleNamespace(gain=2.0, gain0=2.0, gain1=3.0)
PACKAGE, PART = types.ModuleType("users_package"), types.ModuleType("users_package.part")
PACKAGE.part, PART.gain = PART, 2.0
VARIABLE = contextvars.ContextVar("variable", default=2.0)
LOCAL = threading.local()
LOCAL.gain = 2.0
SETTINGS = configparser.ConfigParser()
SETTINGS.read_dict({"a": {"gain": "2.0"}})
ASK = operator.attrgetter("part.depth")
NESTED = types.SimpleNamespace(part=types.SimpleNamespace(depth=2.0))
sys.modules.update({"users_package": PACKAGE, "users_package.part": PART})


class Meta(type):
    @property
    def gain(cls):
        return cls.hidden


class WithMeta(metaclass=Meta):
    hidden = 2.0


def imports_a_module(x):
    import users_package
    return x * users_package.part.gain


def imports_from_a_module(x):
    from users_package.part import gain
    return x * gain


def imports_under_another_name(x):
    import users_package.part as p
    return x * p.gain


def sums_all(x):
    for v in vars(HELD).values():
        x = x * v
    return x


# How a function reads it, and what changes then.
READS = {
    "getattr of a global's name": (lambda x: x * getattr(HELD, CHOSEN), lambda: setattr(HELD, "gain", 3.0)),
    "getattr of names in a row": (lambda x: sum(x * getattr(HELD, f"gain{i}") for i in range(2)), lambda: setattr(HELD, "gain1", 7.0)),
    "hasattr": (lambda x: x * 2.0 if hasattr(HELD, "ga" + CHOSEN[2:] + "9") else x, lambda: setattr(HELD, "gain9", 1.0)),
    "getattr with a default": (lambda x: x * getattr(HELD, CHOSEN + "8", 1.0), lambda: setattr(HELD, "gain8", 4.0)),
    "vars": (sums_all, lambda: setattr(HELD, "gain0", 5.0)),
    "one more in vars": (sums_all, lambda: setattr(HELD, "more", 5.0)),
    "how many in __dict__": (lambda x: x * len(HELD.__dict__), lambda: setattr(HELD, "yet_more", 5.0)),
    "attrgetter": (lambda x: x * ASK(NESTED), lambda: setattr(NESTED.part, "depth", 5.0)),
    "import": (imports_a_module, lambda: setattr(PART, "gain", 3.0)),
    "from import": (imports_from_a_module, lambda: setattr(PART, "gain", 4.0)),
    "import as": (imports_under_another_name, lambda: setattr(PART, "gain", 5.0)),
    "a module in a module": (lambda x: x * PACKAGE.part.gain, lambda: setattr(PART, "gain", 6.0)),
    "getattr of a module": (lambda x: x * getattr(PACKAGE.part, CHOSEN), lambda: setattr(PART, "gain", 8.0)),
    "metaclass": (lambda x: x * WithMeta.gain, lambda: setattr(WithMeta, "hidden", 4.0)),
    "context variable": (lambda x: x * VARIABLE.get(), lambda: VARIABLE.set(3.0)),
    "thread's own": (lambda x: x * LOCAL.gain, lambda: setattr(LOCAL, "gain", 3.0)),
    "environ": (lambda x: x * float(os.environ.get("USERS_GAIN", "2")), lambda: os.environ.__setitem__("USERS_GAIN", "3")),
    "getenv": (lambda x: x * float(os.getenv("USERS_GAIN", "2")), lambda: os.environ.__setitem__("USERS_GAIN", "4")),
    "config file": (lambda x: x * SETTINGS.getfloat("a", "gain"), lambda: SETTINGS.set("a", "gain", "3.0")),
}


@pytest.mark.parametrize("what", READS)
def test_what_no_code_names_is_seen(what, monkeypatch):
    monkeypatch.delenv("USERS_GAIN", raising=False)
    function, change = READS[what]
    compiled = rutile.jit(function, fullgraph=True)
    np.testing.assert_allclose(compiled(X).asnumpy(), function(X).asnumpy(), rtol=1e-6)
    compiled(X)
    assert compiled.compilations == 1  # and nothing else is taken for a change
    before = compiled(X).asnumpy()
    change()
    assert not np.array_equal(function(X).asnumpy(), before)
    np.testing.assert_allclose(compiled(X).asnumpy(), function(X).asnumpy(), rtol=1e-6)
    assert compiled.compilations == 2


def test_other_variables_of_the_environment_compile_nothing(monkeypatch):
    monkeypatch.setenv("USERS_GAIN", "2")
    compiled = rutile.jit(lambda x: x * float(os.environ["USERS_GAIN"]))
    compiled(X)
    monkeypatch.setenv("ANOTHER_OF_THE_USERS", "1")
    compiled(X)
    assert compiled.compilations == 1


def test_attributes_that_nobody_asks_for_compile_nothing():
    held = types.SimpleNamespace(gain=2.0, calls=0)
    compiled = rutile.jit(lambda x: x * getattr(held, CHOSEN))
    for _ in range(3):
        held.calls += 1
        compiled(X)
    assert compiled.compilations == 1


def test_getattr_is_pythons_own_again_behind_a_trace():
    own = builtins.getattr, builtins.hasattr
    seen = []

    @rutile.jit
    def f(x):
        seen.append(getattr(HELD, CHOSEN, None))
        return getattr(x, "reshape")(3, 2)

    f(X)
    assert (builtins.getattr, builtins.hasattr) == own and len(seen) == 1

    @rutile.jit
    def fails(x):
        return getattr(x, "nothing_of_that_name" + CHOSEN)

    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        fails(X)
    with pytest.raises(TypeError, match="getattr expected at least 2 arguments"):
        rutile.jit(lambda x: getattr(x))(X)
    assert (builtins.getattr, builtins.hasattr) == own


def test_getattr_in_a_branch_on_a_value():
    @rutile.jit(fullgraph=True)
    def f(x):
        if x.sum() > 0:
            return getattr(ops, "re" + "lu")(x) * getattr(HELD, CHOSEN)
        return x

    first = f(X).asnumpy()
    HELD.gain *= 2.0
    np.testing.assert_allclose(f(X).asnumpy(), first * 2.0)


def test_a_cell_that_asks_for_parts_of_its_settings():
    class Net(nn.Cell):
        def __init__(self, settings):
            super().__init__()
            self.settings = settings
            self.dense = nn.Dense(3, 3)

        def construct(self, x):
            for i in range(2):
                x = self.dense(x) * getattr(self.settings, f"scale_{i}")
            return x

    settings = types.SimpleNamespace(scale_0=1.0, scale_1=2.0)
    net = Net(settings)
    rutile.set_context(mode=rutile.GRAPH_MODE)
    try:
        first = net(X).asnumpy()
        settings.scale_1 = 6.0
        np.testing.assert_allclose(net(X).asnumpy(), first * 3.0, rtol=1e-5)
    finally:
        rutile.set_context(mode=rutile.PYNATIVE_MODE)


class Scaled(nn.Cell):
    def __init__(self):
        super().__init__()
        self.step, self.loss = 2.0, nn.MSELoss()

    def construct(self, x):
        return self.loss(x, x * self.step)


step = loss = None


def test_variables_of_the_module_are_not_attributes_of_that_name():
    """A training loop of a script: `loss = net(x)` for each `step`, and the network has attributes of these names."""
    global step, loss
    net = rutile.jit(Scaled())
    for step in range(5):
        loss = net(X)
        loss = float(loss.asnumpy()) + step
    assert net.compilations == 1


gain = 1.0


def test_variables_of_the_module_are_seen_where_a_function_looks_for_them():
    global gain

    @rutile.jit
    def named(x):
        return x * gain

    @rutile.jit
    def looked_up(x):
        return x * globals()["gain"]

    for f in (named, looked_up):
        for gain in (2.0, 3.0):
            assert f(Tensor(np.float32(1))).item() == gain
