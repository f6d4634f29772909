# SPDX-License-Identifier: Apache-2.0
"""Every function of the table with bad arguments: an exception at worst, never the end of the process."""

import gc
import random
import resource
import sys

import numpy as np
import pytest

import rutile
from rutile import Tensor
from rutile.ops import table as ops

FINE = (rutile.Error, TypeError, ValueError, IndexError, RuntimeError, MemoryError, OverflowError)
FUNCTIONS = sorted(n for n in vars(ops) if not n.startswith("_"))


@pytest.fixture(autouse=True, scope="module")
def little_memory():
    """Arguments ask for results of any size: those of more than 2 GiB are refused, as on a small machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as f:
        now = int(f.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (2 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def tensors():
    out = []
    for dtype in ("float32", "float64", "int64", "int32", "bool", "uint8", "float16", "bfloat16", "uint64"):
        for shape in ((), (0,), (1,), (3,), (2, 3), (0, 3), (2, 3, 4), (1, 2, 5, 5), (1, 1, 1, 1, 1)):
            a = np.arange(int(np.prod(shape))).reshape(shape)
            out.append(Tensor(a.astype(np.float32), dtype))
    out += [t.T for t in out[:9]] + [Tensor(np.array([2**63 - 1, -2**63])), Tensor([float("nan"), float("inf")])]
    return out


VALUES = [None, True, False, 0, 1, -1, 2, 7, -9, 2**31, -2**31, 2**62, 2**63, -2**63, 2**64, 2**200, 0.0, 1.5, -1.5,
          float("nan"), float("inf"), "", "mean", "sum", "float32", "no such thing", "\ud800", b"", (), (1,), (1, 1), (0, 0),
          (-1, -1), (2**40, 2**40), (2**62, 2**62), (1, 2, 3), (1,) * 9, [1, [2]], [[]], {}, {1: 2}, set(), object(),
          np.float32(1), np.int64(2), np.ones(2), np.array("a"), Tensor, int, float, len, ..., slice(1), 1j,
          rutile.Parameter(Tensor([1.0]), name="p")]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bad_arguments(name):
    rng = random.Random(name)
    pool = tensors()
    names = [w.split("=")[0] for w in (ops.__dict__[name].__text_signature__ or "()")[1:-1].replace("*, ", "").split(", ")]
    function = getattr(ops, name)
    done = 0
    for i in range(150):
        def value(tensor):
            kind = rng.random()
            if kind < tensor:
                return rng.choice(pool)
            if kind < tensor + 0.1:
                return [rng.choice(pool) for _ in range(rng.randrange(4))]
            return rng.choice(VALUES)

        args = [value(0.8 if k < 2 else 0.4) for k in range(rng.randrange(5))]
        kwargs = {rng.choice(names + ["nothing", "axis"]): value(0.2) for _ in range(rng.randrange(3))}
        kwargs.pop("", None)
        try:
            function(*args, **kwargs)
            done += 1
        except FINE:
            pass
    function_doc = function.__doc__
    assert function_doc


def test_operators_and_methods():
    rng = random.Random(1)
    pool = tensors()
    methods = sorted(n for n in dir(Tensor) if not n.startswith("__"))
    binary = ["__add__", "__sub__", "__mul__", "__truediv__", "__floordiv__", "__mod__", "__pow__", "__matmul__",
              "__getitem__", "__eq__", "__lt__", "__radd__", "__rpow__", "__format__", "__reduce_ex__", "__deepcopy__"]
    for _ in range(4000):
        x, y = rng.choice(pool), rng.choice(pool + VALUES)
        try:
            if rng.random() < 0.5:
                getattr(x, rng.choice(binary))(y)
            else:
                m = getattr(x, rng.choice(methods))
                if callable(m):
                    m(*[rng.choice(pool + VALUES) for _ in range(rng.randrange(3))])
        except FINE + (AttributeError, BufferError):
            pass


def test_bad_structures():
    for fn in (rutile.jit, rutile.value_and_grad, rutile.grad, rutile.from_numpy, rutile.from_dlpack, Tensor,
               rutile.Parameter, rutile.set_seed):
        for v in VALUES:
            try:
                made = fn(v)
                if callable(made):
                    made(v, Tensor([1.0]))
            except FINE + (AttributeError, BufferError):
                pass
    rutile.set_seed(0)


def resident_kb():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4


@pytest.mark.parametrize("work", ["calls", "errors", "gradients", "compiled", "interop"])
def test_memory_is_flat(work):
    x, w = Tensor(np.ones(4, np.float32)), rutile.Parameter(Tensor(np.ones(4, np.float32)), name="w")
    a = np.ones(4, np.float32)
    f = rutile.jit(lambda v, k: {"a": (v + w, k), "b": [v * 2.0]})
    step = rutile.value_and_grad(lambda p: ops.sum(p["x"] * w), 0, [w])

    def failing():
        for bad in (lambda: ops.matmul(x, Tensor([[1.0]])), lambda: ops.softmax(x, axis="a"), lambda: x[9],
                    lambda: f(x, {1}), lambda: Tensor([[1], [2, 3]])):
            try:
                bad()
            except rutile.Error:
                pass

    once = {
        "calls": lambda: (ops.add(x, x), x + 1.0, ops.sum(x, axes=0), x[1:], ops.concat([x, x]), w * x),
        "errors": failing,
        "gradients": lambda: step({"x": x}),
        "compiled": lambda: f(x, "static"),
        "interop": lambda: (Tensor(a), rutile.from_numpy(a), rutile.from_dlpack(x), x.asnumpy(), x.__dlpack__()),
    }[work]
    for _ in range(1000):
        once()
    gc.collect()
    counts = [sys.getrefcount(o) for o in (x, w, a, None, f, Tensor, rutile.Parameter)]
    before = resident_kb()
    for _ in range(10_000 if work != "errors" else 2_000):
        once()
    gc.collect()
    assert resident_kb() - before < 1024, resident_kb() - before
    after = [sys.getrefcount(o) for o in (x, w, a, None, f, Tensor, rutile.Parameter)]
    assert all(abs(p - q) < 50 for p, q in zip(counts, after)), (counts, after)
