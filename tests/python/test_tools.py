# SPDX-License-Identifier: Apache-2.0
"""detect_anomaly, the profiler and verify from Python."""
import inspect
import json

import numpy as np
import pytest

import rutile
from rutile import nn, ops


def line():
    return inspect.currentframe().f_back.f_lineno


def test_anomaly_names_the_users_line():
    x = rutile.Tensor([1.0, -1.0])
    with rutile.debug.detect_anomaly():
        with pytest.raises(ValueError) as e:
            at = line() + 1
            ops.log(x)
    assert f"test_tools.py:{at}" in str(e.value) and "[log] gives 1 nan" in str(e.value)
    assert np.isnan(ops.log(x).asnumpy()[1])


@pytest.mark.parametrize("compiled", [False, True])
def test_anomaly_in_backward_names_the_forward_line(compiled):
    lines = {}

    def loss(x):
        lines["at"] = line() + 1
        return ops.sum(ops.sqrt(x))

    f = rutile.value_and_grad(loss)
    if compiled:
        f = rutile.jit(f)
    x = rutile.Tensor([4.0, 0.0])
    f(x)
    with rutile.debug.detect_anomaly():
        with pytest.raises(ValueError) as e:
            f(x)
    assert f"test_tools.py:{lines['at']}" in str(e.value), str(e.value)


def test_inf_may_pass():
    with rutile.debug.detect_anomaly(inf=False):
        ops.log(rutile.Tensor([0.0]))
    with rutile.debug.detect_anomaly(), pytest.raises(ValueError):
        ops.log(rutile.Tensor([0.0]))


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.fc = nn.Dense(4, 3)

    def construct(self, x):
        return ops.relu(self.fc(x))


@pytest.mark.parametrize("compiled", [False, True])
def test_profiler(compiled, tmp_path):
    net = Net()
    f = rutile.jit(net) if compiled else net
    x = rutile.Tensor(np.ones((2, 4), np.float32))
    f(x)
    with rutile.profiler.Profiler() as p:
        with rutile.profiler.Span("mine"):
            f(x)
    f(x)
    names = [e["name"] for e in p.events()]
    assert names[0] == "mine" and len(names) >= 3
    work = [e for e in p.events() if e["kind"] == ("kernel" if compiled else "op")]
    assert work and all(e["us"] >= 0 for e in work)
    assert any("fc" in e["cell"] for e in work)
    assert "fc" in p.table()
    p.write(str(tmp_path / "trace.json"))
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert sum(e["ph"] == "X" for e in trace["traceEvents"]) == len(names)


def test_profiler_misuse():
    p = rutile.profiler.Profiler()
    with pytest.raises(RuntimeError, match="not started"):
        p.table()
    with p, pytest.raises(RuntimeError, match="runs in this thread"):
        rutile.profiler.Profiler().start()


def test_verify():
    net = Net()
    x = rutile.Tensor(np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32))
    step = rutile.jit(rutile.value_and_grad(lambda v: ops.sum(ops.tanh(net(v)) ** 2)))
    before = step(x)
    report = step.verify(x)
    assert report.ok, str(report)
    assert len(report.nodes) > 2 and all(n.ok for n in report.nodes)
    assert "compiled and eager agree" in str(report)
    after = step(x)
    assert before[0].item() == after[0].item()


def test_anomaly_scopes_cannot_be_entered_twice_or_left_elsewhere():
    import threading

    a = rutile.debug.detect_anomaly()
    with a:
        with pytest.raises(RuntimeError, match="open already"):
            a.__enter__()
        errors = []

        def leave():
            try:
                a.__exit__(None, None, None)
            except RuntimeError as e:
                errors.append(str(e))

        thread = threading.Thread(target=leave)
        thread.start()
        thread.join()
        assert "thread that entered" in errors[0]
        with pytest.raises(ValueError):
            ops.log(rutile.Tensor([-1.0]))
    ops.log(rutile.Tensor([-1.0]))
