# SPDX-License-Identifier: Apache-2.0
"""Attributes of Cells that construct changes as it runs."""

import numpy as np
import pytest

import rutile
from rutile import Tensor, nn, ops

from stale_cases import WAYS, Net, check

CASES = {}


def case(make):
    CASES[make.__name__] = make
    return make


# ---- Cells


@case
def modulo_counter_of_a_cell():
    def run(self, x):
        self.step = (self.step + 1) % 4
        return self.dense(x) * (self.step + 1)
    net = Net(run, step=0)
    return net, None, lambda: net.step


@case
def list_of_a_cell():
    def run(self, x):
        y = self.dense(x)
        self.losses.append(y.mean())
        return y
    net = Net(run, losses=[])
    return net, None, lambda: [float(v) for v in net.losses]


@case
def list_of_a_cell_that_is_read():
    def run(self, x):
        self.scales.append(self.scales[-1] * 0.5)
        return self.dense(x) * self.scales[-1]
    net = Net(run, scales=[1.0])
    return net, None, lambda: list(net.scales)


@case
def private_list_of_a_cell():
    def run(self, x):
        self._scales.append(self._scales[-1] * 0.5)
        return self.dense(x) * self._scales[-1]
    net = Net(run, _scales=[1.0])
    return net, None, lambda: list(net._scales)


@case
def last_output_of_a_cell():
    def run(self, x):
        y = self.dense(x)
        self.last, self.features = y, [y, {"twice": y * 2.0}]
        return y + 1.0
    net = Net(run)
    return net, None, lambda: (net.last.asnumpy(), net.features[1]["twice"].asnumpy())


@case
def shape_kept_by_a_cell():
    def run(self, x):
        self.rows = x.shape[0]
        return self.dense(x) / self.rows
    net = Net(run)
    return net, None, lambda: net.rows


@case
def schedule_of_a_cell():
    net = Net(lambda self, x: self.dense(x) * self.warmup, warmup=0.0)
    return net, lambda i: setattr(net, "warmup", min(1.0, i / 4)), None


@case
def dict_of_a_cell_changed_outside():
    net = Net(lambda self, x: self.dense(x) * self.config["gain"], config={"gain": 1.0, "unused": []})
    return net, lambda i: net.config.update(gain=1.0 + i // 3), None


@case
def numpy_buffer_of_a_cell():
    def run(self, x):
        self.total += 1.0
        return self.dense(x) + Tensor(self.total)
    net = Net(run, total=np.zeros(3, np.float32))
    return net, None, lambda: net.total.copy()


@case
def cache_of_a_cell():
    def run(self, x):
        n = x.shape[0]
        if n not in self.masks:
            self.masks[n] = ops.ones((n, 1)) * 0.5
        return self.dense(x) * self.masks[n]
    net = Net(run, masks={})
    return net, None, lambda: sorted(net.masks)


@case
def object_of_a_cell():
    class Memory:
        def __init__(self):
            self.calls, self.last = 0, None

        def remember(self, y):
            self.calls += 1
            self.last = y

    def run(self, x):
        y = self.dense(x)
        self.memory.remember(y)
        return y * self.memory.calls
    net = Net(run, memory=Memory())
    return net, None, lambda: (net.memory.calls, net.memory.last.asnumpy())


@case
def object_of_a_cell_that_is_only_written():
    class Memory:
        pass

    def run(self, x):
        y = self.dense(x)
        self.memory.last = y
        return y
    net = Net(run, memory=Memory())
    return net, None, lambda: net.memory.last.asnumpy()


@case
def closure_of_a_function_in_a_cell():
    calls = 0

    def run(self, x):
        nonlocal calls
        calls += 1
        return self.dense(x) * calls
    return Net(run), None, lambda: calls


@case
def deleted_attribute_of_a_cell():
    def run(self, x):
        if hasattr(self, "warm"):
            del self.warm
            return self.dense(x) * 2.0
        self.warm = True
        return self.dense(x)
    net = Net(run)
    return net, None, lambda: hasattr(net, "warm")


@case
def class_attribute_of_a_cell():
    class Counted(nn.Cell):
        calls = 0

        def construct(self, x):
            Counted.calls += 1
            return x * Counted.calls
    return Counted(), None, lambda: Counted.calls


@case
def property_of_a_cell():
    class Scheduled(nn.Cell):
        def __init__(self):
            super().__init__()
            self._rate = 1.0

        @property
        def rate(self):
            self._rate *= 0.5
            return self._rate

        def construct(self, x):
            return x * self.rate
    net = Scheduled()
    return net, None, lambda: net._rate


@case
def getattr_of_a_cell():
    class Gains(nn.Cell):
        def __init__(self):
            super().__init__()
            self.table = {"gain": 2.0}

        def __getattr__(self, name):
            if name.startswith("get_"):
                return self.table[name[4:]]
            return super().__getattr__(name)

        def construct(self, x):
            return x * self.get_gain
    net = Gains()
    return net, lambda i: net.table.update(gain=2.0 + i // 2), None


@case
def parameters_swapped_between_cells():
    net = nn.SequentialCell(nn.Dense(3, 3, weight_init="ones"), nn.Dense(3, 3, weight_init="zeros", bias_init="ones"))

    def between(i):
        if i % 3 == 2:
            a, b = net[0].weight, net[1].weight
            net[0].weight, net[1].weight = b, a
    return net, between, None


@case
def train_and_hooks_and_precision_in_between():
    net = nn.SequentialCell(nn.Dense(3, 3, weight_init="ones"), nn.BatchNorm1d(3), nn.ReLU())
    handles = []

    def between(i):
        net.set_train(i % 2 == 0)
        if i == 3:
            handles.append(net[0].register_forward_hook(lambda cell, args, out: out * 2.0))
        if i == 6:
            handles.pop().remove()
        if i == 8:
            net[0].to_float(rutile.float16)
        if i == 10:
            net[0].to_float(rutile.float32)
    return net, between, lambda: net[1].moving_mean.asnumpy()


@case
def hook_that_keeps_what_it_saw():
    net, seen = nn.SequentialCell(nn.Dense(3, 3, weight_init="ones"), nn.ReLU()), []
    net[0].register_forward_hook(lambda cell, args, out: seen.append(out))
    return net, None, lambda: [t.asnumpy() for t in seen]


@case
def moving_average_in_a_python_float():
    def run(self, x):
        self.average = 0.9 * self.average + 0.1 * x.shape[0]
        return self.dense(x) * self.average
    net = Net(run, average=1.0)
    return net, None, lambda: net.average


@case
def one_of_several_blocks_by_turns():
    def run(self, x):
        self.turn = (self.turn + 1) % len(self.blocks)
        return self.blocks[self.turn](x)
    net = Net(run, turn=0, blocks=nn.CellList([nn.Dense(3, 3, weight_init="ones"), nn.Dense(3, 3, weight_init="zeros", bias_init="ones")]))
    return net, None, lambda: net.turn


@case
def state_of_a_recurrent_cell():
    def run(self, x):
        self.hidden = ops.tanh(self.dense(x) + (0.0 if self.hidden is None else self.hidden))
        return self.hidden
    net = Net(run, hidden=None)
    return net, lambda i: setattr(net, "hidden", None) if i in (0, 3, 4, 5, 9, 11) else None, None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_compiled_as_eagerly(name, way):
    check(CASES[name], way)
