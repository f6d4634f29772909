# SPDX-License-Identifier: Apache-2.0
"""Tensors in place, layers, hooks and steps that a compiled network changes as it runs."""

import collections
import functools
import types

import numpy as np
import pytest

import rutile
from rutile import Parameter, Tensor, nn, ops

from stale_cases import WAYS, AsIs, Net, check

CASES = {}


def case(make):
    CASES[make.__name__] = make
    return make


# ---- Tensors in place, structure, and what surrounds a network


@case
def tensor_of_a_cell_changed_in_place_outside():
    net = Net(lambda self, x: self.dense(x) + self.shift, shift=Tensor([1.0, 1.0, 1.0]))

    def between(i):
        if i % 2:
            net.shift[0] = float(i)
    return net, between, None


@case
def tensor_in_a_closure_changed_in_place_outside():
    shift = Tensor([1.0, 1.0, 1.0])

    def between(i):
        if i % 2:
            shift[0] = float(i)
    return lambda x: x + shift, between, None


@case
def tensor_of_a_cell_changed_in_place():
    def run(self, x):
        y = self.dense(x)
        self.last[1] = y.mean()
        return y + self.last
    net = Net(run, last=Tensor([1.0, 1.0, 1.0]))
    return net, None, lambda: net.last.asnumpy()


@case
def tensor_in_a_closure_changed_in_place():
    last = Tensor([1.0, 1.0, 1.0])

    def f(x):
        last[0] = x.mean()
        return x + last
    return f, None, lambda: last.asnumpy()


@case
def tensor_in_a_closure_that_is_only_written_in_place():
    last = Tensor([1.0, 1.0, 1.0])

    def f(x):
        last[0] = x.mean()
        return x
    return f, None, lambda: last.asnumpy()


@case
def tensor_that_is_added_to_in_place():
    last = [Tensor([1.0, 1.0, 1.0])]

    def f(x):
        last[0] += x.mean(0)
        return x
    return f, None, lambda: last[0].asnumpy()


@case
def argument_changed_in_place():
    kept = []

    def inner(x):
        x[0] = 7.0
        return x * 2.0
    compiled = rutile.jit(inner)

    def run(x):
        first = x * 1.0
        run_it = compiled if rutile.get_context("mode") == rutile.GRAPH_MODE else inner
        y = run_it(first)
        kept[:] = [first]
        return y
    return AsIs(run), None, lambda: kept[0].asnumpy()


@case
def list_that_is_handed_over():
    kept = []

    def inner(xs):
        xs.append(xs[0] * 2.0)
        return xs[-1] + 1.0
    compiled = rutile.jit(inner)

    def run(x):
        kept[:] = [x]
        return (compiled if rutile.get_context("mode") == rutile.GRAPH_MODE else inner)(kept)
    return AsIs(run), None, lambda: [t.asnumpy() for t in kept]


@case
def layers_made_in_the_first_call():
    def run(self, x):
        if self.head is None:
            self.head = nn.Dense(x.shape[1], 2, weight_init="ones")
        return self.head(x)
    net = Net(run, head=None)
    return net, None, lambda: sorted(p.name for p in net.get_parameters())


@case
def cells_in_a_list_that_is_no_celllist():
    net = Net(lambda self, x: sum(c(x) for c in self.layers), layers=[nn.Dense(3, 3, weight_init="ones"), nn.Dense(3, 3, weight_init="ones")])

    def between(i):
        if i == 3:
            net.layers.append(nn.Dense(3, 3, weight_init="zeros", bias_init="ones"))
        if i == 6:
            net.layers[0].weight.set_data(Tensor(np.eye(3, dtype=np.float32)))
        if i == 8:
            net.layers[1].weight = Parameter(Tensor(np.eye(3, dtype=np.float32)), name="another")
    return net, between, None


@case
def training_that_construct_switches_off():
    def run(self, x):
        self.norm.set_train(False)
        return self.norm(self.dense(x))
    net = Net(run, norm=nn.BatchNorm1d(3))
    return net, lambda i: net.set_train(i % 3 == 0), lambda: (net.norm.training, net.norm.moving_mean.asnumpy())


@case
def frozen_in_construct():
    def run(self, x):
        self.calls += 1
        if self.calls == 3:
            self.dense.weight.requires_grad = False
        return self.dense(x)
    net = Net(run, calls=0)
    return net, None, lambda: [p.requires_grad for p in net.get_parameters()]


@case
def private_names_of_an_attention():
    def run(self, x):
        return self._key(x) + self.cells[0](x) + self.parameters_dict_(x)
    return Net(run, _key=nn.Dense(3, 3, weight_init="ones"), cells=nn.CellList([nn.Dense(3, 3, weight_init="ones")]),
               parameters_dict_=nn.ReLU()), None, None


@case
def hooks_that_read_what_changes():
    net, gains = nn.SequentialCell(nn.Dense(3, 3, weight_init="ones"), nn.ReLU()), [1.0]
    net[0].register_forward_hook(lambda cell, args, out: out * gains[0])
    return net, lambda i: gains.__setitem__(0, 1.0 + i // 2), None


@case
def hook_that_counts():
    net, calls = nn.SequentialCell(nn.Dense(3, 3, weight_init="ones"), nn.ReLU()), {"n": 0}

    def hook(cell, args, out):
        calls["n"] += 1
        return out * calls["n"]
    net[0].register_forward_hook(hook)
    return net, None, lambda: dict(calls)


@case
def gradients_with_a_log():
    log, w = [], Parameter(Tensor([1.0, 2.0, 3.0]), name="w")

    def forward(x):
        y = x * w
        log.append(y.mean())
        return (y * y).sum()

    gradient = rutile.value_and_grad(forward, None, [w])

    def f(x):
        loss, (g,) = gradient(x)
        ops.assign_sub(w, g * 0.001)
        return loss
    return f, None, lambda: [float(v) for v in log]


@case
def gradients_with_a_counter_in_the_network():
    class Scaled(nn.Cell):
        def __init__(self):
            super().__init__()
            self.dense, self.calls, self.last = nn.Dense(3, 1, weight_init="ones"), 0, None

        def construct(self, x):
            self.calls = (self.calls + 1) % 2
            self.last = self.dense(x) * (1.0 + self.calls)
            return self.last.mean()

    net = Scaled()
    step = nn.TrainOneStepCell(net, nn.Adam(net.trainable_params(), 0.01))
    return step, None, lambda: (net.calls, net.last.asnumpy(), net.dense.weight.asnumpy())


@case
def learning_rate_by_a_python_schedule():
    class Schedule(nn.learning_rate_schedule.LearningRateSchedule):
        def __init__(self):
            super().__init__()
            self.table = [0.1, 0.01]

        def construct(self, step):
            return ops.where(step < 3, Tensor(self.table[0]), Tensor(self.table[1]))

    schedule = Schedule()
    net = nn.WithLossCell(nn.Dense(3, 1, weight_init="ones"), lambda y, x: y.mean())
    train = nn.TrainOneStepCell(net, nn.SGD(net.trainable_params(), schedule))
    pair = Net(lambda self, x: self.train(x, x), train=train)
    return pair, lambda i: schedule.table.__setitem__(0, 0.1 + i), lambda: net.trainable_params()[0].asnumpy()


@case
def recomputed_block_that_keeps_its_output():
    class Block(nn.Cell):
        def __init__(self):
            super().__init__()
            self.dense, self.last = nn.Dense(3, 3, weight_init="ones"), None

        def construct(self, x):
            self.last = self.dense(x)
            return self.last * 2.0

    block = Block()
    block.recompute()
    net = nn.TrainOneStepCell(nn.SequentialCell(block, nn.Dense(3, 1, weight_init="ones")), nn.SGD(block.trainable_params(), 0.01))
    return net, None, None


@case
def list_filled_in_a_branch():
    log = []

    def f(x):
        if x.mean() > 1.0:
            log.append(1)
            return x * 2.0
        return x
    return f, None, lambda: list(log)


@case
def two_functions_that_share_a_state():
    state = types.SimpleNamespace(turn=0, last=None)

    @rutile.jit
    def first(x):
        state.turn = (state.turn + 1) % 2
        state.last = x * 2.0
        return x

    @rutile.jit
    def second(x):
        return x * (state.turn + 1)

    return AsIs(lambda x: second(first(x))), None, lambda: (state.turn, state.last.asnumpy())


@case
def keyword_only_default():
    def f(x, *, state={"n": 0}):  # noqa: B006
        state["n"] = (state["n"] + 1) % 3
        return x * state["n"]
    return f, None, lambda: f.__kwdefaults__["state"]["n"]


@case
def list_subclass():
    class History(list):
        def __init__(self):
            super().__init__()
            self.total = 0

        def add(self, v):
            self.append(v)
            self.total += v

    history = History()

    def f(x):
        history.add(1)
        return x * history.total * len(history)
    return f, None, lambda: (list(history), history.total)


@case
def lru_cache():
    calls = []

    @functools.lru_cache
    def table(n):
        calls.append(n)
        return np.arange(n, dtype=np.float32)
    return lambda x: x + Tensor(table(x.shape[1])), None, lambda: list(calls)


@case
def cached_property():

    class Lazy:
        made = 0

        @functools.cached_property
        def table(self):
            self.made += 1
            return ops.ones((3,)) * 0.5

    lazy = Lazy()
    return lambda x: x + lazy.table, None, lambda: lazy.made


@case
def weight_list_grown_from_outside():
    kept = []
    return lambda x: x * len(kept), lambda i: kept.append(i) if i % 4 == 0 else None, None


@case
def exponential_average_of_weights():
    net = nn.Dense(3, 3, weight_init="ones")
    average = {"w": Tensor(np.zeros((3, 3), np.float32))}

    def f(x):
        average["w"] = average["w"] * 0.9 + net.weight * 0.1
        return net(x)
    return f, None, lambda: average["w"].asnumpy()


@case
def named_tuple_state():
    State = collections.namedtuple("State", "step last")
    box = types.SimpleNamespace(state=State(0, None))

    def f(x):
        box.state = State((box.state.step + 1) % 2, x * 2.0)
        return x * (1 + box.state.step)
    return f, None, lambda: (box.state.step, box.state.last.asnumpy())


@case
def exception_in_the_second_call():
    state = types.SimpleNamespace(n=0, seen=[])

    def inner(x):
        state.n = (state.n + 1) % 4
        state.seen.append(x * 1.0)
        if state.n == 2:
            raise KeyError("at two")
        return x * state.n

    class Guarded(nn.Cell):
        def construct(self, x):
            return inner(x)

    guarded = Guarded()

    class Safe:
        def __call__(self, x):
            try:
                return guarded(x)
            except KeyError:
                return x * -1.0

    return AsIs(Safe()), None, lambda: state.n


@case
def mixed_precision_in_between():
    from rutile import amp
    net = nn.SequentialCell(nn.Dense(3, 3, weight_init="ones"), nn.ReLU())

    def between(i):
        if i == 4:
            amp.auto_mixed_precision(net, "O3")
        if i == 7:
            net.to_float(rutile.float32)
    return Net(lambda self, x: self.net(x).astype(rutile.float32), net=net), between, None


@case
def weight_decay_and_rate_of_an_optimizer():
    net = nn.Dense(3, 1, weight_init="ones")
    opt = nn.SGD(net.trainable_params(), 0.01, weight_decay=0.0)
    step = nn.TrainOneStepCell(nn.WithLossCell(net, lambda y, x: y.mean()), opt)

    def between(i):
        if i == 4:
            opt.learning_rate.set_data(Tensor(0.5))
        if i == 8:
            net.weight.requires_grad = False
    return Net(lambda self, x: self.step(x, x), step=step), between, lambda: net.weight.asnumpy()


@case
def sens_and_network_of_a_step():
    net = nn.Dense(3, 1, weight_init="ones")
    step = nn.TrainOneStepCell(nn.WithLossCell(net, lambda y, x: (y * y).mean()), nn.SGD(net.trainable_params(), 0.001), sens=1.0)

    def between(i):
        step.sens = 1.0 + i // 3
    return Net(lambda self, x: self.step(x, x), step=step), between, lambda: net.weight.asnumpy()


@case
def own_step_with_gradients_by_hand():
    class Step(nn.Cell):
        def __init__(self):
            super().__init__()
            self.net = nn.Dense(3, 1, weight_init="ones")
            self.velocity = [ops.zeros_like(p) for p in self.net.trainable_params()]
            self.momentum = 0.9
            self.gradient = rutile.value_and_grad(lambda x: self.net(x).mean(), None, self.net.trainable_params())

        def construct(self, x):
            loss, grads = self.gradient(x)
            for i, (p, g) in enumerate(zip(self.net.trainable_params(), grads)):
                self.velocity[i] = self.momentum * self.velocity[i] + g
                ops.assign_sub(p, 0.01 * self.velocity[i])
            return loss

    step = Step()
    return step, lambda i: setattr(step, "momentum", 0.9 if i < 6 else 0.5), lambda: [v.asnumpy() for v in step.velocity]


@case
def parameter_of_a_closure_in_a_list():
    weights = [Parameter(Tensor([1.0, 2.0, 3.0]), name="a"), Parameter(Tensor([3.0, 2.0, 1.0]), name="b")]

    def between(i):
        if i % 4 == 3:
            weights[0], weights[1] = weights[1], Parameter(Tensor([float(i)] * 3), name=f"p{i}")
    return lambda x: x * weights[0] + weights[1], between, None


@case
def inherited_construct_with_super():
    class Base(nn.Cell):
        scale = 1.0

        def __init__(self):
            super().__init__()
            self.offset = 0.0

        def construct(self, x):
            return x * self.scale + self.offset

    class Derived(Base):
        def construct(self, x):
            self.offset = (self.offset + 1.0) % 2
            return super().construct(x) * 2.0

    net = Derived()

    def between(i):
        if i == 5:
            Base.scale = 3.0
        if i == 8:
            Derived.scale = 4.0
    return net, between, lambda: net.offset


@case
def cell_handed_over_as_an_argument():
    blocks = [nn.Dense(3, 3, weight_init="ones"), nn.Dense(3, 3, weight_init="zeros", bias_init="ones")]
    run = rutile.jit(lambda x, block: block(x) * 2.0)

    def between(i):
        if i == 5:
            blocks[0].weight.set_data(Tensor(np.eye(3, dtype=np.float32)))
        if i == 7:
            blocks[0].register_forward_hook(lambda cell, args, out: out + 1.0)
    calls = [0]

    def turn(x):
        calls[0] += 1
        return run(x, blocks[calls[0] % 2])
    return AsIs(turn), between, None


@case
def object_handed_over_as_an_argument():
    class Options:
        def __init__(self):
            self.gain, self.calls = 1.0, 0

    options = Options()

    def scaled(x, o):
        o.calls = (o.calls + 1) % 3
        return x * o.gain * o.calls
    run = rutile.jit(scaled)
    return AsIs(lambda x: run(x, options)), lambda i: setattr(options, "gain", 1.0 + i // 5), lambda: options.calls


@case
def function_in_an_attribute_replaced():
    net = Net(lambda self, x: self.act(self.dense(x)), act=ops.relu)
    return net, lambda i: setattr(net, "act", (ops.relu, ops.tanh, lambda x: x * 2.0)[i // 5]), None


@case
def method_replaced_on_the_object():
    net = Net(lambda self, x: self.dense(x))

    def between(i):
        if i == 4:
            net.construct = lambda x: net.dense(x) * 3.0
        if i == 8:
            del net.construct
    return net, between, None


@case
def moving_statistics_by_hand():
    class Norm(nn.Cell):
        def __init__(self):
            super().__init__()
            self.mean = Parameter(Tensor([0.0, 0.0, 0.0]), name="mean", requires_grad=False)
            self.calls = Parameter(Tensor(0.0), name="calls", requires_grad=False)

        def construct(self, x):
            if self.training:
                self.mean = self.mean * 0.9 + x.mean(0) * 0.1
                ops.assign_add(self.calls, Tensor(1.0))
            return x - self.mean

    net = Norm()
    return net, lambda i: net.set_train(i % 3 != 0), lambda: (net.mean.asnumpy(), float(net.calls))


@case
def context_manager_that_counts():
    class Scope:
        depth, entered = 0, 0

        def __enter__(self):
            self.depth += 1
            self.entered = (self.entered + 1) % 4

        def __exit__(self, *error):
            self.depth -= 1

    scope = Scope()

    def f(x):
        with scope:
            return x * scope.depth * scope.entered
    return f, None, lambda: (scope.depth, scope.entered)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_compiled_as_eagerly(name, way):
    check(CASES[name], way)
