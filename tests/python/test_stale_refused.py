# SPDX-License-Identifier: Apache-2.0
"""What cannot be compiled for more than one call says so once, with file, line and cure; what can is compiled no more often than
needed."""

import itertools
import random
import time
import types

import numpy as np
import pytest

import rutile
from rutile import Tensor, nn, ops

X = Tensor([[1.0, 2.0, 3.0]])
STATE = types.SimpleNamespace(n=0, last=None)
NUMBERS = []


@pytest.fixture
def graph_mode():
    rutile.set_context(mode=rutile.GRAPH_MODE)
    yield
    rutile.set_context(mode=rutile.PYNATIVE_MODE)


def counter(x):
    STATE.n += 1
    return x * STATE.n


def kept(x):
    STATE.last = x if STATE.last is None else STATE.last + x
    return STATE.last * 1.0


def longer(x):
    NUMBERS.append(1)
    return x * len(NUMBERS)


def pythons_random(x):
    return x * random.random()


def numpys_random(x):
    return x + Tensor(np.random.rand(3).astype(np.float32))


ITERATOR = itertools.count(1)


def taken(x):
    return x * next(ITERATOR)


# The line, counted from that of def, and what the text says.
CHANGING = {counter: (1, "reads n"), kept: (1, "reads last"), longer: (1, "reads NUMBERS"), pythons_random: (1, "random numbers"),
            numpys_random: (1, "random numbers"), taken: (1, "takes from ITERATOR, of type count")}


def _call_often(f):
    STATE.n, STATE.last = 0, None
    for _ in range(12):
        f(X)


@pytest.mark.parametrize("function", CHANGING, ids=lambda f: f.__name__)
def test_a_function_that_changes_in_each_call(function, capfd):
    line, text = CHANGING[function]
    place = f"test_stale_refused.py:{function.__code__.co_firstlineno + line}"
    f = rutile.jit(function)
    _call_often(f)
    said = capfd.readouterr().err
    assert said.count("runs as it is written") == 1 and place in said and text in said and "RUTILE-E0109" in said
    assert f.compilations <= 8
    with pytest.raises(RuntimeError, match="RUTILE-E0109") as e:
        _call_often(rutile.jit(fullgraph=True)(function))
    assert place in str(e.value) and text in str(e.value)
    assert float(rutile.jit(lambda x: x.sum())(X)) == 6.0  # nothing is left of it


def test_values_that_come_back_are_compiled_once_each():
    state = types.SimpleNamespace(turn=0)

    @rutile.jit
    def f(x):
        state.turn = (state.turn + 1) % 3
        return x * state.turn

    for i in range(30):
        assert float(f(Tensor(1.0))) == (i + 1) % 3
    assert f.compilations == 3


def test_a_cache_settles():
    cache = {}

    @rutile.jit
    def f(x):
        n = x.shape[0]
        if n not in cache:
            cache[n] = ops.arange(n).astype(rutile.float32)
        return x + cache[n]

    for _ in range(30):
        for n in (2, 3, 4):
            assert f(Tensor(np.zeros(n, np.float32))).asnumpy().tolist() == list(range(n))
    compilations = f.compilations
    for n in (2, 3, 4):
        f(Tensor(np.zeros(n, np.float32)))
    assert f.compilations == compilations <= 9


def test_a_function_that_stopped_changing_is_compiled_again():
    state = types.SimpleNamespace(n=0)

    def f(x):
        state.n = min(state.n + 1, 20)
        return x * state.n

    compiled = rutile.jit(f)
    for i in range(200):
        assert float(compiled(Tensor(1.0))) == min(i + 1, 20)
    assert compiled.compilations <= 12 and compiled.kernels >= 0
    before = compiled.compilations
    for _ in range(50):
        compiled(Tensor(1.0))
    assert compiled.compilations == before


def test_what_no_trace_reads_compiles_nothing(graph_mode):
    class Net(nn.Cell):
        def __init__(self):
            super().__init__()
            self.dense, self.history, self._private, self.gains = nn.Dense(3, 2), [], {}, [1.0]

        def construct(self, x):
            return self.dense(x) * self.gains[0]

    net = Net()
    for i in range(10):
        net(X)
        net.history.append(i)
        net._private[i] = i
        net.epoch = i
    assert net._jit.compilations == 1
    net.gains[0] = 2.0
    net(X)
    assert net._jit.compilations == 2


def test_lists_that_are_only_filled_compile_once(graph_mode):
    class Net(nn.Cell):
        def __init__(self):
            super().__init__()
            self.dense, self.losses, self.by_name = nn.Dense(3, 2), [], {}

        def construct(self, x):
            y = self.dense(x)
            self.losses.append(y.mean())
            self.by_name["last"] = y
            self.output = y
            return y

    net = Net()
    for i in range(5):
        y = net(X * float(i))
        assert len(net.losses) == i + 1 and np.isclose(float(net.losses[-1]), y.asnumpy().mean())
        np.testing.assert_array_equal(net.by_name["last"].asnumpy(), y.asnumpy())
        np.testing.assert_array_equal(net.output.asnumpy(), y.asnumpy())
    assert net._jit.compilations == 1


def test_the_clock_is_warned_of(capfd):
    @rutile.jit
    def f(x):
        return x * (time.time() - time.time() + 1.0)

    f(X), f(X)
    said = capfd.readouterr().err
    assert said.count("reads the clock") == 1 and f"test_stale_refused.py:{f.__wrapped__.__code__.co_firstlineno + 2}" in said


def test_compiling_alone_changes_nothing():
    state = types.SimpleNamespace(n=0, seen=[])

    @rutile.jit
    def f(x):
        state.n += 1
        state.seen.append(x)
        return x * state.n

    f.prepare(X)
    assert (state.n, state.seen) == (0, [])
    f(X)
    assert state.n == 1 and len(state.seen) == 1
    f.explain(X)
    assert state.n == 1 and len(state.seen) == 1


def test_a_failed_trace_leaves_no_symbols(graph_mode):
    class Net(nn.Cell):
        def __init__(self):
            super().__init__()
            self.last, self.seen, self.fail, self.calls = None, [], True, 0

        def construct(self, x):
            self.calls += 1
            self.seen.append(x * 2.0)
            self.last = x if self.last is None else self.last + x
            if self.fail:
                raise KeyError("not yet")
            return x * 1.0

    net = Net()
    for _ in range(2):
        with pytest.raises(KeyError):
            net(X)
    assert net.last is None and net.seen == [] and net.calls == 2
    net.fail = False
    for i in range(3):
        net(X)
        np.testing.assert_array_equal(net.last.asnumpy(), (i + 1) * X.asnumpy())
    assert len(net.seen) == 3


# ---- Attributes that have a method's name


def test_attributes_win_over_methods_of_cell(graph_mode):
    class Net(nn.Cell):
        head = None

        def __init__(self):
            super().__init__()
            self.cells = nn.CellList([nn.Dense(3, 3, weight_init="ones", bias_init="zeros"), nn.Dense(3, 2, weight_init="ones", bias_init="zeros")])
            self.parameters = Tensor([1.0, 2.0])
            self.head = nn.ReLU()
            self.state_dict = rutile.Parameter(Tensor([0.5, 0.5]), name="s")

        def construct(self, x):
            for cell in self.cells:
                x = cell(x)
            return self.head(x) + self.parameters + self.state_dict

    net = Net()
    np.testing.assert_allclose(net(X).asnumpy(), [[19.5, 20.5]])
    seen = []
    net.apply(lambda c: seen.append(type(c).__name__))
    assert seen == ["Dense", "Dense", "CellList", "ReLU", "Net"]
    assert [p.name for p in net.trainable_params()] == ["s", "cells.0.weight", "cells.0.bias", "cells.1.weight", "cells.1.bias"]
    net.cells[1].weight.set_data(ops.zeros((2, 3)))
    np.testing.assert_allclose(net(X).asnumpy(), [[1.5, 2.5]])
    net.cells = nn.CellList([nn.Dense(3, 2, weight_init="zeros", bias_init="zeros")])
    np.testing.assert_allclose(net(X).asnumpy(), [[1.5, 2.5]])
    del net.cells
    assert net.cells() == [net.head] and callable(net.cells)


def test_what_cell_keeps_for_itself_is_refused():
    with pytest.raises(AttributeError, match="_hooks is kept by Cell itself"):
        nn.ReLU()._hooks = []


def test_random_numbers_that_another_thread_draws(capfd):
    from threading import Event, Thread
    stop = Event()

    def draw():
        while not stop.is_set():
            np.random.rand()

    thread = Thread(target=draw)
    thread.start()
    try:
        f = rutile.jit(lambda x: ops.relu(x) * 2.0)
        for _ in range(12):
            f(X)
            time.sleep(0.001)
    finally:
        stop.set()
        thread.join()
    assert f.compilations == 1 and not capfd.readouterr().err


def test_tensors_of_a_body_that_are_kept(capfd):
    last = types.SimpleNamespace(carry=None)

    @rutile.jit
    def f(x):
        def body(carry, v):
            last.carry = carry
            return carry + v, carry
        return ops.scan(body, Tensor(0.0), x)[0]

    for _ in range(3):
        assert float(f(X[0])) == 6.0 and float(last.carry) == 3.0
    assert "a tensor that the body of a loop" in capfd.readouterr().err


def test_calls_from_several_threads():
    from threading import Thread
    state, wrong = types.SimpleNamespace(n=0), []

    @rutile.jit
    def f(x):
        state.n = (state.n + 1) % 2
        return x * 2.0

    def call():
        try:
            wrong.extend(y for y in (float(f(Tensor(3.0))) for _ in range(100)) if y != 6.0)
        except Exception as e:
            wrong.append(e)

    threads = [Thread(target=call) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong and f.compilations <= 8
