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
    p = rutile.profiler.Profiler(start_profile=False)
    with pytest.raises(RuntimeError, match="not started"):
        p.table()
    with pytest.raises(RuntimeError, match="not started"):
        p.analyse()
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


def test_profiler_as_mindspore(tmp_path):
    import csv
    net, x = Net(), rutile.Tensor(np.ones((2, 4), np.float32))
    p = rutile.Profiler(output_path=str(tmp_path), profiler_level=rutile.profiler.ProfilerLevel.Level0, profile_memory=False)
    p.add_metadata("who", "me")
    p.add_metadata_json("run", '{"n": 1}')
    for _ in range(3):
        net(x)
        p.step()
    p.analyse()
    assert p.op_analyse("relu")["relu"]["op_occurrences"] == 3 and p.op_analyse(["nothing"])["nothing"]["op_occurrences"] == 0
    rows = lambda name: list(csv.DictReader((tmp_path / "profiler" / name).open()))  # noqa: E731
    types = {r["op_type"]: r for r in rows("cpu_op_type_info_0.csv")}
    assert types["linear"]["op_occurrences"] == "3" and sum(float(r["proportion"]) for r in types.values()) == pytest.approx(1)
    assert any(r["op_full_name"] == "Net/linear" or r["op_full_name"].endswith("fc/linear") for r in rows("cpu_op_detail_info_0.csv"))
    steps = rows("step_trace_raw_0_detail_time.csv")
    assert [r["step_num"] for r in steps] == ["1", "2", "3"] and all(float(r["total"]) > 0 for r in steps)
    assert json.loads((tmp_path / "profiler" / "cpu_timeline_display_0.json").read_text())["traceEvents"]
    assert json.loads((tmp_path / "profiler" / "profiler_metadata.json").read_text()) == {"who": "me", "run": {"n": 1}}
    for bad, error in (({"nothing": 1}, TypeError), ({"output_path": 3}, TypeError), ({"start_profile": 1}, TypeError)):
        with pytest.raises(error):
            rutile.Profiler(**bad)
    with pytest.raises(ValueError):
        p.add_metadata_json("x", "{")


def test_profile_by_schedule(tmp_path):
    from rutile.profiler import ProfilerActivity, mstx, profile, schedule, tensorboard_trace_handler
    plan = schedule(skip_first=1, wait=1, warmup=1, active=2, repeat=2)
    assert [plan(i).value for i in range(11)] == [0, 0, 1, 2, 3, 0, 1, 2, 3, 0, 0]
    for bad, error in ((dict(wait=-1, active=1), ValueError), (dict(wait=0, active=0), ValueError), (dict(wait="1", active=1), TypeError)):
        with pytest.raises(error):
            schedule(**bad)
    x, seen = rutile.ops.ones((2, 2)), []
    handler = tensorboard_trace_handler(str(tmp_path), "w")

    def ready(p):
        seen.append([e["name"] for e in p.events() if e["kind"] != "span" or e["name"] == "mark"])
        handler(p)

    with profile(activities=[ProfilerActivity.CPU], schedule=plan, on_trace_ready=ready) as p:
        for i in range(10):
            ops.relu(x) if i % 2 else ops.tanh(x)
            mstx.mark("mark")
            p.step()
    assert seen == [["relu", "mark", "tanh", "mark"], ["relu", "mark", "tanh", "mark"]]
    assert len(list(tmp_path.glob("w.*.pt.trace.json"))) >= 1
    with profile() as p:
        number = mstx.range_start("outer")
        ops.relu(x)
        mstx.range_end(number)
    assert [e["name"] for e in p.events()] == ["outer", "relu"] and "relu" in p.table()


def test_summary_of_a_network():
    net = nn.SequentialCell(nn.Conv2d(3, 4, 3, pad_mode="same"), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dense(64, 2))
    net.set_train()
    for mode in (rutile.PYNATIVE_MODE, rutile.GRAPH_MODE):
        rutile.set_context(mode=mode)
        try:
            s = rutile.summary(net, (2, 3, 4, 4))
        finally:
            rutile.set_context(mode=rutile.PYNATIVE_MODE)
        assert [(r.type, r.output, r.parameters) for r in s.rows] == [
            ("SequentialCell", "[2, 2]", 0), ("Conv2d", "[2, 4, 4, 4]", 108), ("BatchNorm2d", "[2, 4, 4, 4]", 16),
            ("ReLU", "[2, 4, 4, 4]", 0), ("Flatten", "[2, 64]", 0), ("Dense", "[2, 2]", 130)]
        assert (s.parameters, s.trainable) == (254, 246) and "Dense (4)" in str(s)
    assert net.training and all(not c._hooks and not c._pre_hooks for _, c in net.cells_and_names())
    for bad in (3, "x"):
        with pytest.raises(TypeError):
            rutile.summary(net, bad)
    with pytest.raises(TypeError):
        rutile.summary(len, (1, 2))


@pytest.mark.parametrize("what", ["cell", "function", "compiled"])
def test_verify_and_explain_of_anything(what):
    net, x = Net(), rutile.Tensor(np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32))
    fn = {"cell": net, "function": lambda v: net(v) * 2, "compiled": rutile.jit(lambda v: net(v) * 2)}[what]
    report = rutile.verify(fn, x)
    assert report.ok and len(report.nodes) >= 1
    with pytest.raises(TypeError):
        rutile.verify(3, x)
    if what == "cell":
        explanation = rutile.explain(fn, x)
        assert "linear" in str(explanation) and json.loads(explanation.to_json())
