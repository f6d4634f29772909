# SPDX-License-Identifier: Apache-2.0
"""The same in objects, classes, modules, arrays, tensors and Cells."""

import abc
import array
import collections
import contextvars
import dataclasses
import enum
import functools
import gc
import os
import sys
import types
import weakref

import numpy as np

from rutile import Parameter, Tensor, nn, ops

from stale_cases import Net
from steady_cases import case

MODULE = types.ModuleType("steady_settings")
MODULE.gain, MODULE.inner = 1.0, types.SimpleNamespace(gain=1.0)
sys.modules["steady_settings"] = MODULE


@case
def object_attribute():
    s = types.SimpleNamespace(inner=types.SimpleNamespace(gain=1.0))

    def change(k):
        if k == 1:
            s.inner = None
            s.inner = types.SimpleNamespace(gain=9.0)
        else:
            s.inner.gain = 2.0 + k
    return lambda x: x * s.inner.gain, change


class Plain:
    shared = 1.0

    def __init__(self, gain):
        self.gain = gain

    def times(self, x):
        return x * self.gain * self.shared


@case
def object_where_the_old_one_was():
    box = [Plain(1.0)]

    def change(k):
        box[0] = None
        gc.collect()
        box[0] = Plain(2.0 + k)
    return lambda x: box[0].times(x), change


@case
def dict_of_an_object():
    p = Plain(1.0)

    def change(k):
        p.__dict__ = {"gain": 2.0 + k}
    return lambda x: p.times(x), change


@case
def class_of_an_object():
    class A:
        def go(self, x):
            return x * 2.0

    class B:
        def go(self, x):
            return x * 5.0
    p = A()
    return lambda x: p.go(x), lambda k: setattr(p, "__class__", (B, A, B)[k])


@case
def class_attribute():
    class A(Plain):
        pass
    p = A(1.0)
    changes = [lambda: setattr(A, "shared", 4.0), lambda: delattr(A, "shared"), lambda: setattr(A, "gain", 3.0)]
    return lambda x: p.times(x), lambda k: changes[k]()


@case
def method_of_a_base():
    class Base:
        def go(self, x):
            return x * 2.0

    class A(Base):
        pass
    p = A()
    makers = [lambda self, x: x * 3.0, lambda self, x: x * 4.0, lambda self, x: x * 5.0]
    return lambda x: p.go(x), lambda k: setattr(Base, "go", makers[k])


@case
def bases_of_a_class():
    class One:
        def go(self, x):
            return x * 2.0

    class Two:
        def go(self, x):
            return x * 3.0

    class Over(One):
        pass
    p = Over()

    def change(k):
        Over.__bases__ = (Two, One) if k % 2 == 0 else (One, Two)
    return lambda x: p.go(x), change


@case
def a_property():
    class A:
        @property
        def gain(self):
            return 1.0
    p = A()
    return lambda x: x * p.gain, lambda k: setattr(A, "gain", property(lambda self: 2.0 + k))


@case
def static_and_class_methods():
    class A:
        @staticmethod
        def one():
            return 1.0

        @classmethod
        def two(cls):
            return 2.0
    changes = [lambda: setattr(A, "one", staticmethod(lambda: 3.0)), lambda: setattr(A, "two", classmethod(lambda cls: 4.0)),
               lambda: setattr(A, "one", staticmethod(lambda: 5.0))]
    return lambda x: x * A.one() * A.two(), lambda k: changes[k]()


@case
def metaclass_attribute():
    class Meta(type):
        gain = 1.0

    class A(metaclass=Meta):
        pass
    return lambda x: x * A.gain, lambda k: setattr(Meta, "gain", 2.0 + k)


@case
def abstract_class():
    class A(abc.ABC):
        gain = 1.0

    class B(A):
        pass
    b = B()
    return lambda x: x * b.gain, lambda k: setattr(A, "gain", 2.0 + k)


@case
def slots():
    class A:
        __slots__ = ("gain", "__weakref__")
    p = A()
    p.gain = 1.0
    return lambda x: x * p.gain, lambda k: setattr(p, "gain", 2.0 + k)


@case
def slots_alone():
    class A:
        __slots__ = ("gain",)
    box = [A()]
    box[0].gain = 1.0

    def change(k):
        if k == 1:
            box[0] = None
            box[0] = A()
        box[0].gain = 2.0 + k
    return lambda x: x * box[0].gain, change


@case
def a_dataclass():
    @dataclasses.dataclass
    class Settings:
        gain: float = 1.0
        sizes: tuple = (1, 2)
    s = Settings()
    changes = [lambda: setattr(s, "gain", 4.0), lambda: setattr(s, "sizes", (5, 2)), lambda: setattr(s, "gain", 6.0)]
    return lambda x: x * s.gain * s.sizes[0], lambda k: changes[k]()


class Mode(enum.Enum):
    A = 1
    B = 2
    C = 3


@case
def an_enum():
    s = types.SimpleNamespace(mode=Mode.A)
    return lambda x: x * s.mode.value, lambda k: setattr(s, "mode", (Mode.B, Mode.C, Mode.A)[k])


@case
def named_tuple():
    Sizes = collections.namedtuple("Sizes", "a b")
    box = [Sizes(1.0, 2.0)]
    return lambda x: x * box[0].b, lambda k: box.__setitem__(0, box[0]._replace(b=4.0 + k))


@case
def module_attribute():
    MODULE.gain = 1.0
    return lambda x: x * MODULE.gain, lambda k: setattr(MODULE, "gain", 2.0 + k)


@case
def object_in_a_module():
    MODULE.inner.gain = 1.0
    return lambda x: x * MODULE.inner.gain, lambda k: setattr(MODULE.inner, "gain", 2.0 + k)


@case
def imported_in_the_function():
    MODULE.gain = 1.0

    def f(x):
        import steady_settings
        return x * steady_settings.gain
    return f, lambda k: setattr(MODULE, "gain", 2.0 + k)


@case
def numpy_array_in_place():
    a = np.ones(3, np.float32)
    return lambda x: x * Tensor(a), lambda k: a.__setitem__(k, 5.0)


@case
def numpy_array_where_the_old_one_was():
    s = types.SimpleNamespace(a=np.ones(3, np.float32))

    def change(k):
        s.a = None
        s.a = np.full(3, 2.0 + k, np.float32)
    return lambda x: x * Tensor(s.a), change


@case
def numpy_number():
    s = types.SimpleNamespace(a=np.float32(1.0))
    return lambda x: x * float(s.a), lambda k: setattr(s, "a", np.float32(2.0 + k))


@case
def arrays_of_python():
    b, a = bytearray(b"\x01"), array.array("d", [1.0])
    changes = [lambda: b.__setitem__(0, 3), lambda: a.__setitem__(0, 2.0), lambda: a.append(4.0)]
    return lambda x: x * b[0] * sum(a), lambda k: changes[k]()


@case
def tensor_assigned():
    t = Tensor(np.ones(3, np.float32))
    return lambda x: x * t, lambda k: t.__setitem__(k, 5.0)


@case
def tensor_replaced():
    box = [Tensor(np.ones(3, np.float32))]

    def change(k):
        box[0] = None
        box[0] = Tensor(np.full(3, 2.0 + k, np.float32))
    return lambda x: x * box[0], change


@case
def parameter_replaced():
    box = [Parameter(Tensor(np.ones(3, np.float32)), name="p")]

    def change(k):
        box[0] = None
        box[0] = Parameter(Tensor(np.full(3, 2.0 + k, np.float32)), name="p")
    return lambda x: x * box[0], change


@case
def parameter_value():
    p = Parameter(Tensor(np.ones(3, np.float32)), name="p")
    return lambda x: x * p, lambda k: p.set_data(Tensor(np.full(3, 2.0 + k, np.float32)))


@case
def bound_method():
    one, two = Plain(1.0), Plain(4.0)
    s = types.SimpleNamespace(call=one.times)
    changes = [lambda: setattr(s, "call", two.times), lambda: setattr(two, "gain", 6.0), lambda: setattr(s, "call", one.times)]
    return lambda x: s.call(x), lambda k: changes[k]()


@case
def a_partial():
    def g(k, x, more=0.0):
        return x * k + more
    s = types.SimpleNamespace(p=functools.partial(g, 2.0, more=1.0))
    changes = [lambda: s.p.keywords.__setitem__("more", 3.0), lambda: setattr(s, "p", functools.partial(g, 4.0)),
               lambda: s.p.keywords.__setitem__("more", 5.0)]
    return lambda x: s.p(x=x), lambda k: changes[k]()


@case
def weak_reference():
    one, two = Plain(2.0), Plain(3.0)
    s = types.SimpleNamespace(to=weakref.ref(one), keep=[one, two])
    changes = [lambda: setattr(s, "to", weakref.ref(two)), lambda: setattr(two, "gain", 7.0), lambda: setattr(s, "to", weakref.ref(one))]
    return lambda x: s.to().times(x), lambda k: changes[k]()


@case
def context_variable():
    v = contextvars.ContextVar("v", default=1.0)
    return lambda x: x * v.get(), lambda k: v.set(2.0 + k)


@case
def environment():
    os.environ["STEADY_GAIN"] = "1"
    return lambda x: x * float(os.environ["STEADY_GAIN"]), lambda k: os.environ.__setitem__("STEADY_GAIN", str(2 + k))


@case
def computed_name():
    s = types.SimpleNamespace(gain0=1.0, gain1=2.0)
    return lambda x: x * sum(getattr(s, f"gain{i}") for i in range(2)), lambda k: setattr(s, f"gain{k % 2}", 5.0 + k)


@case
def looks_at_all_attributes():
    s = types.SimpleNamespace(a=1.0)
    return lambda x: x * sum(vars(s).values()), lambda k: setattr(s, f"more{k}", 2.0)


@case
def cell_attribute():
    n = Net(lambda self, x: self.dense(x) * self.gain, gain=1.0)
    return n, lambda k: setattr(n, "gain", 2.0 + k)


@case
def list_in_a_cell():
    n = Net(lambda self, x: self.dense(x) * sum(self.gains), gains=[1.0])
    return n, lambda k: n.gains.append(2.0 + k)


@case
def object_in_a_cell():
    n = Net(lambda self, x: self.dense(x) * self.config.gain, config=types.SimpleNamespace(gain=1.0))

    def change(k):
        if k == 1:
            n.config = types.SimpleNamespace(gain=7.0)
        else:
            n.config.gain = 2.0 + k
    return n, change


@case
def cell_in_training():
    n = Net(lambda self, x: self.dense(x) * (2.0 if self.training else 3.0))
    return n, lambda k: n.set_train(k % 2 == 0)


@case
def layer_of_a_cell():
    n = Net(lambda self, x: self.dense(x))
    return n, lambda k: setattr(n, "dense", nn.Dense(3, 3, weight_init=float(2 + k)))


@case
def hook_of_a_cell():
    n = Net(lambda self, x: self.dense(x))
    return n, lambda k: n.register_forward_hook(lambda cell, args, out: out * (2.0 + k))


@case
def method_of_a_cell():
    class Scaled(nn.Cell):
        def factor(self):
            return 1.0

        def construct(self, x):
            return x * self.factor()
    return Scaled(), lambda k: setattr(Scaled, "factor", lambda self: 2.0 + k)


@case
def cell_around_a_function():
    n = Net(lambda self, x: self.dense(x) * self.gain, gain=1.0)
    return lambda x: n(x), lambda k: setattr(n, "gain", 2.0 + k)


@case
def cell_replaced():
    box = [nn.Dense(3, 3, weight_init="ones")]

    def change(k):
        box[0] = None
        gc.collect()
        box[0] = nn.Dense(3, 3, weight_init=float(k + 2))
    return lambda x: box[0](x), change


@case
def cached_function():
    scale = [1.0]

    @functools.lru_cache
    def g():
        return scale[0]

    def f(x):
        g.cache_clear()
        return x * g()
    return f, lambda k: scale.__setitem__(0, 2.0 + k)


@case
def function_given_to_a_library():
    scale = [1.0]
    d = ops.grad(lambda x: (x * x * scale[0]).sum())
    return lambda x: d(x), lambda k: scale.__setitem__(0, 2.0 + k)


@case
def name_of_a_module():
    s = types.SimpleNamespace(module=MODULE)
    other = types.ModuleType("steady_other")
    other.gain = 8.0
    MODULE.gain = 1.0

    def change(k):
        s.module = (other, MODULE, other)[k]
    return lambda x: x * s.module.gain, change
