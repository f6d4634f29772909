# SPDX-License-Identifier: Apache-2.0
"""Names of MindSpore's top level: what they do, and those that are refused."""

import os

import numpy as np
import pytest

import rutile as ms
from rutile import Tensor, _refused, nn
from rutile import dataset as ds


def test_no_grad():
    @ms.no_grad()
    def constant(x):
        return x * 3

    def f(x):
        with ms._no_grad():
            y = x * x
            with ms.no_grad():
                y = y + x
        return x * y + constant(x)

    assert float(ms.grad(f)(Tensor(2.0))) == 6.0 and float(ms.jit(ms.grad(f))(Tensor(2.0))) == 6.0
    net = nn.Dense(2, 1)
    values, grads = ms.value_and_grad(lambda x: ms.no_grad()(net)(x).sum(), None, net.trainable_params())(Tensor(np.ones((3, 2), np.float32)))
    assert all(not g.asnumpy().any() for g in grads)
    with pytest.raises(ZeroDivisionError):
        with ms.no_grad():
            1 / 0
    assert float(ms.grad(lambda x: x * x)(Tensor(2.0))) == 4.0


def data():
    return ds.NumpySlicesDataset({"x": np.arange(6, dtype=np.float32).reshape(3, 2), "y": np.arange(3, dtype=np.int32)}, shuffle=False)


def test_data_sink():
    step = ms.data_sink(lambda x, y: (x.sum() + y), data(), sink_size=2)
    assert [float(step()) for _ in range(3)] == [6.0, 1.0, 11.0]
    compiled = ms.data_sink(lambda x, y: x.sum() + y, data(), 1, ms.JitConfig())
    assert [float(compiled()) for _ in range(4)] == [1.0, 6.0, 11.0, 1.0]
    for error, call in ((ValueError, lambda: ms.data_sink(len, data(), 0)), (TypeError, lambda: ms.data_sink(len, data(), 1.5))):
        with pytest.raises(error, match="sink_size"):
            call()


def test_dataset_helper():
    helper = ms.DatasetHelper(data(), dataset_sink_mode=False)
    assert [float(y) for _, y in helper] == [0, 1, 2] == [float(y) for _, y in helper] and helper.sink_size() == 1
    assert helper.types_shapes() == ([ms.float32, ms.int32], [[2], []])
    net = nn.Dense(2, 1)
    assert ms.connect_network_with_dataset(net, helper) is net
    sunk = ms.DatasetHelper(data(), True, sink_size=2, epoch_num=3)
    assert [[float(y) for _, y in sunk] for _ in range(3)] == [[0, 1], [2, 0], [1, 2]] and sunk.sink_size() == 2
    assert ms.DatasetHelper(data()).sink_size() == 3
    helper.stop_send(), helper.release(), helper.continue_send()
    for call in (lambda: ms.connect_network_with_dataset(3, helper), lambda: ms.connect_network_with_dataset(net, 3), lambda: ms.DatasetHelper(data(), 1)):
        with pytest.raises(TypeError):
            call()


def test_streams_and_events():
    s = ms.Stream()
    with ms.StreamCtx(s):
        assert ms.current_stream() is s
        x = Tensor([1.0]) + 1
    assert ms.current_stream() is ms.default_stream() and float(x) == 2 and s.query()
    start, end = ms.Event(enable_timing=True), ms.runtime.Event(enable_timing=True)
    start.record(s)
    s.wait_event(start), s.wait_stream(ms.default_stream()), s.synchronize()
    assert s.record_event(end) is end and end.query() and start.elapsed_time(end) >= 0
    with pytest.raises(RuntimeError, match="enable_timing"):
        ms.Event().elapsed_time(end)
    with pytest.raises(TypeError, match="must be a Stream"):
        ms.set_cur_stream(3)
    ms.synchronize(), ms.launch_blocking(), ms.dispatch_threads_num(2), ms.set_kernel_launch_group(2, 8)
    with pytest.raises(ValueError, match="positive"):
        ms.dispatch_threads_num(0)
    big = Tensor(np.zeros((256, 256), np.float32)) + 1
    assert ms.memory_allocated() >= big.nbytes and ms.max_memory_allocated() >= ms.memory_allocated()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinities")
def test_affinity():
    before = os.sched_getaffinity(0)
    try:
        ms.set_cpu_affinity(True, [str(min(before))])
        assert os.sched_getaffinity(0) == {min(before)}
        with pytest.raises(ValueError, match="cores"):
            ms.set_cpu_affinity(True, ["0-9999"])
        with pytest.raises(ValueError, match="cores are given"):
            ms.set_cpu_affinity(True, ["a"])
    finally:
        os.sched_setaffinity(0, before)


def test_settings():
    assert ms.COMPATIBLE == 1
    ms.set_context(jit_syntax_level=ms.COMPATIBLE)
    ms.set_context(jit_syntax_level=ms.LAX)
    ms.ms_memory_recycle()
    ms.set_recursion_limit(900)
    with pytest.raises(ValueError, match="positive"):
        ms.set_recursion_limit(0)
    with ms.DeviceCtx("CPU", 0) as ctx:
        assert ctx.name == "CPU" and ms.get_current_device().device_target == "CPU" and ms.get_current_device().device_id == 0
    with pytest.raises(ValueError, match="must be one of"):
        with ms.DeviceCtx("TPU"):
            pass
    assert ms.get_level() in "01234" and "GLOG_v" in ms.get_log_config()


def test_symbols():
    s = ms.Symbol(max=64, min=8, divisor=8, unique=True)
    assert s.to_dict() == {"max": 64, "min": 8, "divisor": 8, "unique": True} and str(ms.Symbol(divisor=8)) == "{'divisor': 8}"
    for error, call in ((TypeError, lambda: ms.Symbol(max="a")), (ValueError, lambda: ms.Symbol(min=0)), (ValueError, lambda: ms.Symbol(max=3, min=4)),
                        (ValueError, lambda: ms.Symbol(divisor=2, remainder=2)), (TypeError, lambda: ms.Symbol(unique=1))):
        with pytest.raises(error, match="Symbol"):
            call()

    @ms.enable_dynamic(x=Tensor(shape=[None, 2], dtype=ms.float32))
    def double(x):
        return x * 2
    assert double(Tensor([[1.0, 2.0]])).shape == (1, 2)
    with pytest.raises(ValueError, match="no argument 'z'"):
        ms.enable_dynamic(z=Tensor([1.0]))(lambda x: x)


def test_loading_later_and_from_several_files(tmp_path):
    a, b = nn.Dense(2, 3), nn.Dense(2, 3)
    path = str(tmp_path / "a.ckpt")
    ms.save_checkpoint(a, path)
    found = ms.load_checkpoint_async(path, b).result()
    assert set(found) == {"weight", "bias"} and np.array_equal(b.weight.asnumpy(), a.weight.asnumpy())
    with pytest.raises(ValueError, match="does not exist"):
        ms.load_checkpoint_async(str(tmp_path / "none.ckpt")).result()
    parts = tmp_path / "parts"
    parts.mkdir()
    ms.save_checkpoint([{"name": "weight", "data": a.weight}], str(parts / "0.ckpt"))
    ms.save_checkpoint([{"name": "bias", "data": a.bias}], str(parts / "1.ckpt"))
    c = nn.Dense(2, 3)
    assert set(ms.load_segmented_checkpoints(str(parts), c)) == {"weight", "bias"}
    assert np.array_equal(c.weight.asnumpy(), a.weight.asnumpy())
    with pytest.raises(ValueError, match="no folder"):
        ms.load_segmented_checkpoints(str(tmp_path / "no"))


@pytest.mark.parametrize("name", sorted(_refused.REASONS))
def test_refused_names_say_so(name):
    thing = getattr(ms, name)
    assert thing is getattr(ms, name) and thing.__name__ == name
    with pytest.raises(NotImplementedError, match=f"{name} is not supported: "):
        thing()
    for module, names in ((ms.runtime, _refused.OF_RUNTIME), (ms.train, _refused.OF_TRAIN)):
        if name in names:
            with pytest.raises(NotImplementedError, match=name):
                getattr(module, name)(1, a=2)
