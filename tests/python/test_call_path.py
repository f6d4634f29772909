# SPDX-License-Identifier: Apache-2.0
"""What a call from Python costs, in counts: times are in docs/benchmarks.md (benchmarks/dispatch/python_add.py)."""

import gc
import sys

import pytest

import rutile
from rutile import Tensor

CALLS = 1000


def blocks_per_call(call):
    """Blocks of Python's allocator that are left by a call whose result is kept."""
    kept = [None] * CALLS
    for i in range(CALLS):
        kept[i] = call()
    kept = [None] * CALLS
    gc.collect()
    gc.disable()
    before = sys.getallocatedblocks()
    for i in range(CALLS):
        kept[i] = call()
    after = sys.getallocatedblocks()
    gc.enable()
    return (after - before) / CALLS


X, Y = Tensor([1.0, 2.0, 3.0, 4.0]), Tensor([4.0, 3.0, 2.0, 1.0])


@pytest.mark.parametrize("call", [lambda: X + Y, lambda: rutile.ops.table.add(X, Y), lambda: X * 2.0, lambda: -X, lambda: X @ Y],
                         ids=["operator", "function", "number", "unary", "matmul"])
def test_a_result_is_one_object(call):
    assert blocks_per_call(call) < 1.1


def test_no_more_inside_a_gradient():
    seen = []

    def loss(x):
        seen.append(blocks_per_call(lambda: x + Y))
        return rutile.ops.sum(x)

    rutile.value_and_grad(loss)(X)
    assert seen[0] < 1.1


def frames_of(call):
    """Python functions entered during a call."""
    names = []

    def profile(frame, event, _):
        if event == "call":
            names.append(frame.f_code.co_qualname if hasattr(frame.f_code, "co_qualname") else frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return names


def test_operators_run_no_python_code():
    for call in (lambda: X + Y, lambda: X - 1, lambda: X[1], lambda: X > Y, lambda: X.shape, lambda: rutile.ops.table.relu(X)):
        assert len(frames_of(call)) == 1, frames_of(call)  # the lambda


def test_a_step_in_graph_mode_runs_little_python_code():
    """Once compiled, a training step neither traces nor walks the network."""
    from rutile import nn
    rutile.set_context(mode=rutile.GRAPH_MODE)
    try:
        net = nn.SequentialCell(*[nn.Dense(4, 4) for _ in range(20)])
        step = nn.TrainOneStepCell(nn.WithLossCell(net, nn.MSELoss()), nn.Momentum(net.trainable_params(), 0.1, 0.9))
        x = Tensor([[1.0, 2.0, 3.0, 4.0]])
        for _ in range(3):
            step(x, x)
        calls = frames_of(lambda: step(x, x))
        assert len(calls) <= 12, calls
    finally:
        rutile.set_context(mode=rutile.PYNATIVE_MODE)
