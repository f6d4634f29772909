# SPDX-License-Identifier: Apache-2.0
"""Less usual things that a compiled function changes as it runs."""

import array
import collections
import copy
import dataclasses
import decimal
import enum
import functools
import heapq
import itertools
import types
import weakref

import numpy as np
import pytest

from rutile import Parameter, Tensor, nn, ops

from stale_cases import WAYS, Net, check

CASES = {}


def case(make):
    CASES[make.__name__] = make
    return make


class Mode(enum.Enum):
    A = 1
    B = 2


@case
def enum_toggle():
    s = types.SimpleNamespace(m=Mode.A)

    def f(x):
        s.m = Mode.B if s.m is Mode.A else Mode.A
        return x * s.m.value
    return f, None, lambda: s.m


@case
def enum_cell():

    def run(self, x):
        self.m = Mode.B if self.m is Mode.A else Mode.A
        return self.dense(x) * self.m.value
    n = Net(run, m=Mode.A)
    return n, None, lambda: n.m


@case
def frozen_replace():

    @dataclasses.dataclass(frozen=True)
    class S:
        n: int = 0
    box = [S()]

    def f(x):
        box[0] = dataclasses.replace(box[0], n=(box[0].n + 1) % 2)
        return x * (box[0].n + 1)
    return f, None, lambda: box[0].n


@case
def partial_state():

    def a(k, x):
        return x * k
    s = types.SimpleNamespace(p=functools.partial(a, 1.0))

    def f(x):
        s.p = functools.partial(a, s.p.args[0] + 1)
        return s.p(x)
    return f, None, lambda: s.p.args


@case
def bound_toggle():

    class N(nn.Cell):

        def __init__(self):
            super().__init__()
            self.now = self.a

        def a(self, x):
            return x * 2.0

        def b(self, x):
            return x * 3.0

        def construct(self, x):
            y = self.now(x)
            self.now = self.b if self.now == self.a else self.a
            return y
    n = N()
    return n, None, lambda: n.now.__name__


@case
def text_log():
    s = types.SimpleNamespace(log="")

    def f(x):
        s.log += "x"
        return x * len(s.log)
    return f, None, lambda: s.log


@case
def lru_dict():
    d = collections.OrderedDict()

    def f(x):
        k = x.shape[0]
        if k in d:
            d.move_to_end(k)
        else:
            d[k] = float(k)
        if len(d) > 1:
            d.popitem(last=False)
        return x * d[k]
    return f, None, lambda: list(d.items())


@case
def heap():
    h = [5.0, 7.0, 9.0]

    def f(x):
        v = heapq.heappop(h)
        heapq.heappush(h, v + 3.0)
        return x * v
    return f, None, lambda: list(h)


@case
def sort_reverse():
    l = [3.0, 1.0, 2.0]

    def f(x):
        l.reverse()
        return x * l[0]
    return f, None, lambda: list(l)


@case
def slice_assign():
    l = [1.0, 2.0, 3.0]

    def f(x):
        l[:] = l[1:] + l[:1]
        return x * l[0]
    return f, None, lambda: list(l)


@case
def insert_front():
    l = []

    def f(x):
        l.insert(0, x * 1.0)
        del l[3:]
        return x * len(l)
    return f, None, lambda: [t.asnumpy() for t in l]


@case
def iadd_list():
    s = types.SimpleNamespace(l=[])

    def f(x):
        s.l += [1]
        return x * len(s.l)
    return f, None, lambda: list(s.l)


@case
def byte_array():
    b = bytearray(b"\x01\x02")

    def f(x):
        b[0] = (b[0] + 1) % 5
        return x * b[0]
    return f, None, lambda: bytes(b)


@case
def array_array():
    b = array.array("f", [1.0])

    def f(x):
        b[0] = (b[0] + 1) % 5
        return x * b[0]
    return f, None, lambda: list(b)


@case
def user_dict():
    d = collections.UserDict(n=0)

    def f(x):
        d["n"] = (d["n"] + 1) % 3
        return x * d["n"]
    return f, None, lambda: dict(d)


@case
def chain_map():
    d = collections.ChainMap({}, {"n": 1})

    def f(x):
        d["n"] = d["n"] % 3 + 1
        return x * d["n"]
    return f, None, lambda: dict(d)


@case
def class_list():

    class N(nn.Cell):
        hist = []

        def construct(self, x):
            self.hist.append(1)
            return x * len(self.hist)
    N.hist = []
    return N(), None, lambda: list(N.hist)


@case
def weak_dict():

    class K:
        pass
    k = K()
    d = weakref.WeakKeyDictionary({k: 1})

    def f(x):
        d[k] = d[k] % 3 + 1
        return x * d[k]
    return f, None, lambda: d[k]


@case
def deep_nonlocal():
    n = 0

    def outer(x):

        def inner(y):
            nonlocal n
            n = (n + 1) % 3
            return y * n
        return inner(x) + inner(x)
    return outer, None, lambda: n


@case
def copy_state():
    s = {"w": Tensor([1.0, 2.0, 3.0])}

    def f(x):
        old = copy.copy(s)
        s["w"] = old["w"] + 1.0
        return x * old["w"]
    return f, None, lambda: s["w"].asnumpy()


@case
def walrus_and_comp():
    seen = set()

    def f(x):
        new = [k for k in ("a", x.shape[0]) if k not in seen and (not seen.add(k))]
        return x * (len(new) + 1)
    return f, None, lambda: set(seen)


@case
def np_scalar():
    s = types.SimpleNamespace(n=np.float32(1.0))

    def f(x):
        s.n = s.n * np.float32(0.5)
        return x * float(s.n)
    return f, None, lambda: float(s.n)


@case
def decimal_state():
    s = types.SimpleNamespace(n=decimal.Decimal("1"))

    def f(x):
        s.n = (s.n + 1) % 3
        return x * float(s.n)
    return f, None, lambda: s.n


@case
def recursion_depth():
    calls = [0]

    def rec(x, k):
        calls[0] += 1
        return x if k == 0 else rec(x, k - 1) * 1.5

    def f(x):
        return rec(x, calls[0] % 3)
    return f, None, lambda: calls[0]


@case
def np_view():
    base = np.zeros((2, 3), np.float32)
    row = base[0]

    def f(x):
        row[1] += 1.0
        return x + Tensor(base[0])
    return f, None, lambda: base.copy()


@case
def zip_state():
    z = zip([1.0, 2.0, 3.0] * 20, [2.0] * 60)

    def f(x):
        a, b = next(z)
        return x * a + b
    return f, None, None


@case
def reversed_it():
    z = reversed([float(i) for i in range(60)])
    return lambda x: x * next(z), None, None


@case
def map_it():
    z = map(lambda v: v * 2.0, [float(i) for i in range(60)])
    return lambda x: x * next(z), None, None


@case
def islice_it():
    z = itertools.islice(itertools.count(1), 60)
    return lambda x: x * next(z), None, None


@case
def gen_in_cell_attr_list():

    def g():
        v = 1.0
        while True:
            yield v
            v *= 0.5
    n = Net(lambda self, x: self.dense(x) * next(self.its[0]), its=[g()])
    return n, None, None


@case
def shuffle_np():
    order = np.arange(3)
    np.random.seed(0)

    def f(x):
        np.random.shuffle(order)
        return x[:, [int(i) for i in order]]
    return f, None, lambda: order.copy()


@case
def ema_of_params():

    class E(nn.Cell):

        def __init__(self):
            super().__init__()
            self.net = nn.Dense(3, 3, weight_init="ones")
            self.ema = {}
            self.decay = 0.9

        def construct(self, x):
            y = self.net(x)
            for n, p in self.net.parameters_and_names():
                self.ema[n] = p * 1.0 if n not in self.ema else self.ema[n] * self.decay + p * 0.1
            return y
    e = E()
    return e, lambda i: setattr(e, "decay", 0.9 - i * 0.01), lambda: {k: v.asnumpy() for k, v in e.ema.items()}


@case
def getattr_default_flag():

    def run(self, x):
        if not getattr(self, "_init", False):
            self._init = True
            self.scale = 2.0
        return self.dense(x) * self.scale
    n = Net(run)
    return n, None, lambda: (n._init, n.scale)


@case
def buffer_mean():

    class B(nn.Cell):

        def __init__(self):
            super().__init__()
            self.register_buffer("mean", Tensor([0.0, 0.0, 0.0]))

        def construct(self, x):
            self.mean = self.mean * 0.9 + x.mean(0) * 0.1
            return x - self.mean
    b = B()
    return b, None, lambda: b.mean.asnumpy()


@case
def kwargs_dict_closure():
    opts = {"axis": 0}

    def f(x):
        return x.sum(**opts) * 1.0 + x
    return lambda x: x * 1.0 + x.sum(**opts).mean(), lambda i: opts.update(axis=i % 2), None


@case
def tensor_index_list():
    sel = [0, 1]
    return lambda x: x[sel] * 1.0, lambda i: sel.__setitem__(0, i % 2), None


@case
def append_parameter_value():
    w = Parameter(Tensor([1.0, 2.0, 3.0]), name="w")
    snaps = []

    def f(x):
        snaps.append(w * 1.0)
        ops.assign_add(w, Tensor([0.1, 0.1, 0.1]))
        return x * w
    return f, None, lambda: [s.asnumpy() for s in snaps]


@case
def append_parameter_itself():
    w = Parameter(Tensor([1.0, 2.0, 3.0]), name="w")
    snaps = []

    def f(x):
        snaps.append(w)
        return x * w
    return f, None, lambda: len(snaps)


@case
def append_argument():
    kept = []

    def f(x):
        kept.append(x)
        return x * 2.0
    return f, None, lambda: [t.asnumpy() for t in kept]


@case
def counter_in_default_and_hook():
    n = nn.SequentialCell(nn.Dense(3, 3, weight_init="ones"))

    def hook(c, a, o, state={"k": 0}):
        state["k"] = (state["k"] + 1) % 2
        return o * (state["k"] + 1)
    n[0].register_forward_hook(hook)
    return n, None, lambda: hook.__defaults__[0]["k"]


@case
def attributes_set_past_setattr():
    def run(self, x):
        y = self.dense(x)
        self.__dict__["last"] = y
        object.__setattr__(self, "shape", y.shape)
        vars(self)["calls"] = (self.__dict__["calls"] + 1) % 2
        return y * (1.0 + self.calls)
    net = Net(run, calls=0)
    return net, None, lambda: (net.last.asnumpy(), net.shape, net.calls)


@case
def cached_property_of_a_cell():
    class Lazy(nn.Cell):
        @functools.cached_property
        def table(self):
            return ops.ones((3,)) * 0.5

        def construct(self, x):
            return x + self.table
    net = Lazy()
    return net, None, lambda: net.table.asnumpy()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_compiled_as_eagerly(name, way):
    check(CASES[name], way)
