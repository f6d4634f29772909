# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C while a function is traced: what the trace needed is gone, and the interrupt is not."""

import builtins
import linecache
import sys
import types

import numpy as np
import pytest

import rutile
from rutile import Tensor, nn, ops


class Net(nn.Cell):
    """Prints, reads and sets attributes."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(3, 3, weight_init="ones", has_bias=False)
        self.scale, self.last = 2.0, None

    def construct(self, x):
        print("sum", ops.sum(x))
        y = self.dense(x) * self.scale
        self.last = y
        return y


class Interrupt:
    """As Ctrl-C at the n-th line that runs in a file. Python lets none come between a `with` and its block."""

    def __init__(self, file, n):
        self.file, self.n, self.lines = file, n, 0

    def __call__(self, frame, event, arg):
        return self.line if frame.f_code.co_filename.endswith(self.file) else None

    def line(self, frame, event, arg):
        if event == "line" and "with " not in linecache.getline(frame.f_code.co_filename, frame.f_lineno):
            self.lines += 1
            if self.lines == self.n:
                raise KeyboardInterrupt
        return self.line


@pytest.fixture
def graph_mode():
    rutile.set_context(mode=rutile.GRAPH_MODE)
    yield
    rutile.set_context(mode=rutile.PYNATIVE_MODE)


@pytest.mark.parametrize("file", ["_traces.py", "_prints.py", "_reads.py"])
def test_anywhere_in_what_surrounds_a_trace(graph_mode, file, capfd):
    x = Tensor(np.ones((2, 3), np.float32))
    printing, n, came = builtins.print, 0, True
    while came:
        n += 1
        net, interrupt = Net(), Interrupt(file, n)
        sys.settrace(interrupt)
        try:
            net(x)
            came = False
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        assert builtins.print is printing and "__getattribute__" not in vars(nn.Cell), n
        capfd.readouterr()
        print("seen")
        assert capfd.readouterr().out == "seen\n", n
        y = net(x)
        assert np.allclose(y.asnumpy(), 6.0) and np.allclose(net.last.asnumpy(), 6.0), n
        assert net.scale == 2.0 and capfd.readouterr().out == "sum 6.0\n", n
    assert n > 10, "it interrupted nothing"


class Number:
    """A value; comparing it is interrupted."""

    __slots__ = ("n",)

    def __init__(self, n):
        self.n = n

    def __eq__(self, other):
        raise KeyboardInterrupt

    def __hash__(self):
        return 1


def test_while_it_is_looked_for_what_has_changed():
    number = Number(1.0)
    f = rutile.jit(lambda x: x * number.n)
    assert float(f(Tensor(3.0))) == 3.0
    number = Number(2.0)
    with pytest.raises(KeyboardInterrupt):
        f(Tensor(3.0))
        ops.ones(3)
    number = types.SimpleNamespace(n=5.0)
    assert float(f(Tensor(3.0))) == 15.0
