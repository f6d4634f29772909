# SPDX-License-Identifier: Apache-2.0
"""Calls between which nothing changes are recognised by what the one before read; a change after some of them is seen, whatever
kind of place it is in, and also where the new object lies where the old one did."""

import gc
import weakref

import numpy as np
import pytest

import rutile
from rutile import Tensor, nn, ops

import steady_objects  # noqa: F401: more cases
from stale_cases import WAYS, Net, _run
from steady_cases import CASES

STEADY = 5  # calls before each change


def values(make, way, compiled, searches=None):
    rutile.set_context(mode=rutile.GRAPH_MODE if compiled else rutile.PYNATIVE_MODE)
    try:
        rutile.set_seed(1)
        f, change = make()
        run = _run(f, way, compiled)
        for i in range(4 * STEADY):
            if i and i % STEADY == 0:
                change(i // STEADY - 1)
            x = Tensor(np.arange(12, dtype=np.float32).reshape(4, 3) / 5)
            yield run(x).asnumpy()
    finally:
        rutile.set_context(mode=rutile.PYNATIVE_MODE)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_a_change_after_steady_calls_is_seen(name, way):
    eager = list(values(CASES[name], way, False))
    for i, (right, got) in enumerate(zip(eager, values(CASES[name], way, True))):
        np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-4, err_msg=f"call {i}")


# Looked for anew in each call: what they read can be followed no other way.
SEARCHED = {"functions_of_a_single_dispatch", "array_of_objects", "view_of_a_dict", "ordered_dict", "a_deque", "context_variable", "environment", "imported_in_the_function"}


@pytest.mark.parametrize("name", CASES)
def test_steady_calls_are_recognised(name):
    f, _ = CASES[name]()
    rutile.set_context(mode=rutile.GRAPH_MODE)
    try:
        compiled = rutile.jit(f) if not isinstance(f, nn.Cell) else f
        x = Tensor(np.ones((4, 3), np.float32))
        for _ in range(4):
            compiled(x)
        jit = f._jit if isinstance(f, nn.Cell) else compiled
        before = jit.searches
        for _ in range(5):
            compiled(x)
        assert (jit.searches == before) == (name not in SEARCHED)
    finally:
        rutile.set_context(mode=rutile.PYNATIVE_MODE)


def test_a_counter_beside_what_is_read_costs_no_search():
    """As in scripts, whose loops set globals: the dict changes, what is read of it does not."""
    namespace = {"ops": ops, "gain": 2.0, "step": 0}
    exec("def f(x):\n    return ops.relu(x) * gain", namespace)
    f = rutile.jit(namespace["f"])
    x = Tensor([1.0, 2.0])
    for _ in range(3):
        f(x)
    before = f.searches
    for namespace["step"] in range(10):
        assert f(x).asnumpy().tolist() == [2.0, 4.0]
    assert f.searches == before
    namespace["gain"] = 3.0
    assert f(x).asnumpy().tolist() == [3.0, 6.0]


def test_alternating_calls_are_recognised():
    f = rutile.jit(lambda x, up: x * 2.0 if up else x * 3.0)
    x = Tensor([1.0])
    for i in range(6):
        f(x, i % 2 == 0)
    before = f.searches
    assert [f(x, i % 2 == 0).item() for i in range(6)] == [2.0, 3.0] * 3
    assert f.searches == before


def test_other_shapes_are_recognised_as_the_same_call():
    f = rutile.jit(lambda x: x * 2.0)
    for n in (1, 2, 3, 1, 2, 3):
        f(Tensor(np.ones(n, np.float32)))
    before = f.searches
    for n in (3, 2, 1):
        assert f(Tensor(np.ones(n, np.float32))).shape == (n,)
    assert f.searches == before


def test_what_was_read_is_not_kept_alive():
    """By no more than the graph itself needs: neither objects nor lists, and a Cell of a cycle goes, too."""
    gone = []

    class Held:
        gain = 2.0

    def make():
        held = Held()
        held.me = [held]
        n = Net(lambda self, x: self.dense(x) * self.held.gain, held=held)
        weakref.finalize(held, gone.append, "object")
        weakref.finalize(n, gone.append, "cell")
        rutile.set_context(mode=rutile.GRAPH_MODE)
        for _ in range(5):
            n(Tensor(np.ones((4, 3), np.float32)))
        assert n._jit.searches <= 2
    try:
        make()
    finally:
        rutile.set_context(mode=rutile.PYNATIVE_MODE)
    gc.collect()
    assert sorted(gone) == ["cell", "object"]


def test_a_step_of_training_is_recognised():
    net = nn.SequentialCell(nn.Dense(3, 4), nn.ReLU(), nn.Dense(4, 2))
    step = nn.TrainOneStepCell(nn.WithLossCell(net, nn.MSELoss()), nn.Adam(net.trainable_params(), learning_rate=0.1))
    step.set_train()
    x, y = Tensor(np.ones((4, 3), np.float32)), Tensor(np.zeros((4, 2), np.float32))
    rutile.set_context(mode=rutile.GRAPH_MODE)
    try:
        losses = [step(x, y).item() for _ in range(3)]
        before, compilations = step._jit.searches, step._jit.compilations
        losses += [step(x, y).item() for _ in range(5)]
        assert step._jit.searches == before and losses[-1] < losses[0]
        net[0].weight.requires_grad = False
        step(x, y)
        assert step._jit.searches > before and step._jit.compilations > compilations
    finally:
        rutile.set_context(mode=rutile.PYNATIVE_MODE)
