# SPDX-License-Identifier: Apache-2.0
"""What users expect, by the ids of docs/users_behaviours.md; what other tests show is named there."""

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

import rutile
from rutile import Model, Tensor, nn, ops
from rutile import dataset as ds

ROOT = pathlib.Path(__file__).resolve().parents[2]
X = Tensor(np.ones((2, 4), np.float32))


@pytest.fixture
def graph_mode():
    rutile.set_context(mode=rutile.GRAPH_MODE)
    yield
    rutile.set_context(mode=rutile.PYNATIVE_MODE, jit_syntax_level=rutile.LAX)


def test_every_named_test_exists():
    page = (ROOT / "docs/users_behaviours.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([A-Z]\d) \|(.*)\|(.*)\|(.*)\|$", page, re.M)
    assert len(rows) > 45 and len({r[0] for r in rows}) == len(rows)
    for number, _, tests, state in rows:
        state = state.strip()
        assert tests.strip() or state.startswith(("partly", "not there", "with the")), number
        for test in filter(None, (t.strip() for t in tests.split(","))):
            path, name = test.split("::")
            text = (ROOT / "tests" / path).read_text(encoding="utf-8")
            suite, _, case = name.partition(".")
            wanted = rf"TEST(_[FP])?\({suite}, {case}\)" if case else rf"^def {name}\("
            assert re.search(wanted, text, re.M), test


def test_M3_bare_ops_run_eagerly(graph_mode):
    y = ops.add(X, X)  # not in a Cell: nothing is compiled
    assert float(y.sum()) == 16


def test_M5_train_returns_what_happened():
    data = ds.NumpySlicesDataset({"data": np.ones((8, 4), np.float32), "label": np.zeros((8, 1), np.float32)}).batch(4)
    histories = []
    for sink in (False, True):
        rutile.set_seed(1)
        net = nn.Dense(4, 1)
        model = Model(net, nn.MSELoss(), nn.SGD(net.trainable_params(), 0.01))
        histories.append(model.train(3, data, dataset_sink_mode=sink).history["net_output"])
    assert histories[0] == histories[1] and len(histories[0]) == 3 and histories[0][2] < histories[0][0]


def test_M6_workers():
    assert 1 <= ds.config.get_num_parallel_workers() <= 8
    rows = list(ds.GeneratorDataset([1, 2, 3], ["a"], num_parallel_workers=64, shuffle=False))
    assert [int(r[0]) for r in rows] == [1, 2, 3]


class Block(nn.Cell):
    def __init__(self, act):
        super().__init__()
        self.fc, self.act, self.seen = nn.Dense(4, 4), act, []

    def construct(self, x):
        return self.act(self, self.fc(x))


class Net(nn.Cell):
    def __init__(self, act):
        super().__init__()
        self.block, self.scale, self.note = Block(act), 1.0, "a"

    def construct(self, x):
        return self.block(x) * self.scale


def reads(cell, x):
    return x * float(x.sum())


def keeps(cell, x):
    if x.sum() > 0:
        cell.seen.append(x)
    return x


def masks(cell, x):
    return x[x > 0]


def shapes(cell, x):
    return ops.matmul(x, X)


# What: (the line that is named, parts of the message, its code)
REFUSED = {
    "a value": (reads, ["item() at", "    return x * float(x.sum())", "It comes from sum", "where()"], "RUTILE-E0101"),
    "an effect": (keeps, ["    if x.sum() > 0:", "It comes from greater", "as ops (RUTILE-E0104): ", "append"], "RUTILE-E0101"),
    "a shape": (masks, ["    return x[x > 0]", "number of elements would depend on values"], "RUTILE-E0103"),
    "shapes": (shapes, ["[matmul] inner sizes differ: 4 and 2 | x f32[2,4]@cpu, y f32[2,4]@cpu"], "RUTILE-E0002")}


@pytest.mark.parametrize("name", REFUSED)
def test_G1_what_cannot_be_compiled(graph_mode, name):
    act, parts, code = REFUSED[name]
    rutile.set_context(jit_syntax_level=rutile.STRICT)
    net = Net(act)
    with pytest.raises(rutile.Error) as info:
        net(X)
    text = str(info.value)
    line = act.__code__.co_firstlineno + 1
    for part in [*parts, "in Cell Net.block", f"test_behaviours.py:{line}"]:
        assert part in text, text
    assert info.value.code == code and len(text.splitlines()) <= 6
    assert rutile.errors.explain(code).startswith(code)
    net.block.act = lambda cell, x: ops.relu(x)  # later calls work
    assert net(X).shape == (2, 4)


def test_G2_recompilations_are_told():
    program = """
import numpy as np, rutile
f = rutile.jit(lambda x: x * 2)
rutile.set_logs("recompiles")
for n in (1, 2): f(rutile.Tensor(np.ones(n, np.float32)))
rutile.set_logs("")
for n in range(3, 15): f(rutile.Tensor(np.ones(n, np.float32)))
assert f.compilations == 14
"""
    lines = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True).stderr.splitlines()
    assert any("[rutile recompiles]" in line and "input 0 was f32[1]@cpu and is f32[2]@cpu" in line for line in lines), lines
    assert [line for line in lines if "was compiled 9 times" in line] == [lines[-1]]
    with pytest.raises(ValueError, match="recompiles"):
        rutile.set_logs("nonsense")


def test_G2_reasons_name_what_changed():
    program = """
import numpy as np, rutile
from rutile import Tensor, nn
class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.fc, self.scale = nn.Dense(2, 2), 1.0
    def construct(self, x):
        return self.fc(x) * self.scale
net, x = Net(), Tensor(np.ones((1, 2), np.float32))
rutile.set_logs("recompiles")
rutile.set_context(mode=rutile.GRAPH_MODE)
for change in (lambda: None, lambda: setattr(net, "scale", 2.0), net.set_train, lambda: setattr(net.fc.weight, "requires_grad", False),
               lambda: setattr(net, "fc", nn.Dense(2, 2))):
    change()
    net(x)
rutile.set_context(mode=rutile.PYNATIVE_MODE)
factor = 3
f = rutile.jit(lambda x: net(x) * factor)
f(x)
factor = 4
f(x)
net.scale = 5.0
f(x)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    reasons = [line for line in run.stderr.splitlines() if "compiled again" in line]
    parts = ["<Net: scale 1.0 -> 2.0>", "<Net: training False -> True>", "<Net: fc.weight requires_grad True -> False>",
             "<Net: its layers, parameters or hooks>", "a value around, 3 before, 4 now", "<Net: scale 2.0 -> 5.0>"]
    assert len(reasons) == len(parts) and all(part in line for part, line in zip(parts, reasons)), run.stderr


def plain(cell, x):
    return ops.relu(x)


def test_G3_unread_attributes_compile_nothing(graph_mode):
    net = Net(plain)
    net(X)
    compiled = net._compiled_function()
    for change in (lambda: setattr(net, "note", "b"), lambda: setattr(net.block, "loss", 3.0), lambda: setattr(net.block.fc, "step", 7),
                   lambda: setattr(net, "note", "c"), lambda: setattr(net, "scale", 1.0)):
        change()
        net(X)
        assert compiled.compilations == 1
    net.scale = 2.0
    assert float(net(X).sum()) == pytest.approx(2 * float(ops.relu(net.block.fc(X)).sum())) and compiled.compilations == 2
    net.note = "d"
    net(X)
    assert compiled.compilations == 2
    net.scale = 1.0  # what was compiled for it is still there
    once = float(net(X).sum())
    assert once == pytest.approx(float(ops.relu(net.block.fc(X)).sum())) and compiled.compilations <= 3
    net.block.act = lambda cell, x: x * 0
    assert float(net(X).sum()) == 0
    net.block.fc = nn.Dense(4, 3)
    net.block.act = plain
    assert net(X).shape == (2, 3)


def test_G3_what_is_read_by_others_is_read(graph_mode):
    def through_dict(cell, x):
        return x * cell.__dict__["factor"]

    def by_name(cell, x):
        return x * getattr(cell, "fac" + "tor")

    def twice(cell):
        return cell.factor * 2

    def in_a_function(cell, x):
        return x * twice(cell)

    def if_there(cell, x):
        return x * (cell.factor if hasattr(cell, "factor") else 5.0)

    for act in (through_dict, by_name, in_a_function, if_there):
        net = Net(act)
        net.block.factor = 1.0
        once = net(X).asnumpy()
        net.block.factor = 3.0
        np.testing.assert_allclose(net(X).asnumpy(), 3 * once, rtol=1e-6)
    del net.block.factor
    np.testing.assert_allclose(net(X).asnumpy(), 5 * once, rtol=1e-6)
    step = rutile.jit(lambda x: net(x) + net.scale)
    rutile.set_context(mode=rutile.PYNATIVE_MODE)
    before = step(X).asnumpy()
    net.note = "x"
    np.testing.assert_array_equal(step(X).asnumpy(), before)
    assert step.compilations == 1
    net.scale = 2.0
    assert not np.array_equal(step(X).asnumpy(), before) and step.compilations == 2


class Tree(nn.Cell):
    def __init__(self):
        super().__init__()
        self.fc = nn.Dense(4, 4)

    def construct(self, node):
        if isinstance(node, tuple):
            return ops.tanh(self.fc(self.construct(node[0]) + self.construct(node[1])))
        return self.fc(node)


def test_G8_a_tree(graph_mode):
    tree, node = Tree(), ((X, X), (X, (X, X)))
    compiled = tree(node).asnumpy()
    rutile.set_context(mode=rutile.PYNATIVE_MODE)
    np.testing.assert_allclose(compiled, tree(node).asnumpy(), rtol=1e-5)


def test_C4_files_in_parts(tmp_path):
    net = nn.SequentialCell(nn.Dense(4, 3), nn.Dense(3, 2))
    items = list(net.parameters_dict().items())
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for name, part in zip(names, (items[:2], items[2:])):
        rutile.save_checkpoint(dict(part), str(tmp_path / name), format="safetensors")
    where = {key: names[k >= 2] for k, (key, _) in enumerate(items)}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    other = nn.SequentialCell(nn.Dense(4, 3), nn.Dense(3, 2))
    values = rutile.load_checkpoint(str(index), other)
    assert list(values) == [key for key, _ in items]
    for (_, a), b in zip(items, other.get_parameters()):
        np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())
    for wrong, message in (({**where, "more": names[0]}, "more"), ({"a": "../x.safetensors"}, "beside it"), ([], "weight_map")):
        index.write_text(json.dumps({"weight_map": wrong}))
        with pytest.raises(ValueError, match=message):
            rutile.load_checkpoint(str(index))


def test_R2_datasets_leave_the_generator():
    rutile.set_deterministic(True)
    rutile.set_seed(3)
    first = ops.randn((4,)).asnumpy()
    rutile.set_seed(3)
    list(ds.NumpySlicesDataset(list(range(10)), shuffle=True).batch(3))
    np.testing.assert_array_equal(ops.randn((4,)).asnumpy(), first)
    with pytest.raises(TypeError):
        rutile.set_deterministic("ON")
    rutile.set_deterministic(False)


def test_H1_out_of_memory():
    with pytest.raises(MemoryError) as info:
        ops.zeros((1 << 20, 1 << 20))
    for part in ("[full] out of memory on cpu: requested 4.00 TiB", "live", "cached", "largest free block", "system free", "hint: "):
        assert part in str(info.value)
    assert info.value.code == "RUTILE-E0006" and float(ops.ones((4,)).sum()) == 4


def test_H2_memory():
    runtime = rutile.runtime
    runtime.empty_cache()
    before = runtime.memory_allocated()
    x = ops.ones((1 << 20,))
    assert runtime.memory_allocated() - before >= 4 << 20 and runtime.max_memory_allocated() >= runtime.memory_allocated()
    assert runtime.memory_reserved() >= runtime.memory_allocated() and "Allocated memory" in runtime.memory_summary()
    del x
    assert runtime.memory_allocated() - before < 4 << 20
    runtime.empty_cache()
    assert runtime.memory_stats()["total_idle_memory"] < 4 << 20
    runtime.reset_peak_memory_stats()
    assert runtime.max_memory_allocated() - runtime.memory_allocated() < 1 << 20
    runtime.set_memory(max_size="1MB")
    try:
        with pytest.raises(MemoryError, match="limit"):
            ops.ones((1 << 22,))
    finally:
        runtime.set_memory()
    assert ops.ones((1 << 20,)).size == 1 << 20
    with pytest.raises(ValueError, match="max_size"):
        runtime.set_memory(max_size="much")


def test_G8_strict_is_an_error_where_it_ran_as_written_before():
    seen = []

    @rutile.jit
    def f(x):
        if x.sum() > 0:
            seen.append(1)
        return x

    f(X)
    rutile.set_context(jit_syntax_level=rutile.STRICT)
    try:
        with pytest.raises(RuntimeError) as info:
            f(X)
    finally:
        rutile.set_context(jit_syntax_level=rutile.LAX)
    line = f.__wrapped__.__code__.co_firstlineno + 3
    assert f".append() in line {line} under a condition" in str(info.value)
    f(X)
    assert seen == [1, 1]
