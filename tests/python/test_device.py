# SPDX-License-Identifier: Apache-2.0
"""Devices from Python, on the pretended one: its memory cannot be read by the host, its work is done later."""

import numpy as np
import pytest

import rutile
from rutile import _rutile, nn, ops

pytestmark = pytest.mark.skipif(_rutile._device_count("fake") == 0, reason="librutile_fake.so is not built")


@pytest.fixture
def fake():
    rutile.set_context(device_target="FAKE")
    yield
    rutile.set_context(device_target="CPU", device_id=0, mode=rutile.PYNATIVE_MODE)


def test_transfers():
    x = rutile.Tensor([[1.0, 2.0], [3.0, 4.0]])
    y = x.move_to("FAKE")
    assert (x.device, y.device, (y * 2 + x[0, 0]).device) == ("CPU", "FAKE:0", "FAKE:0")
    assert np.array_equal(y.asnumpy(), x.asnumpy()) and y.move_to("FAKE:1").move_to("CPU").device == "CPU"
    assert repr(y) == repr(x) and float(y[1, 1]) == 4.0 and y.tolist() == [[1, 2], [3, 4]]
    with pytest.raises(ValueError, match="different devices"):
        y + x
    with pytest.raises(ValueError, match="Ascend"):
        x.move_to("Ascend")
    assert [t.device for t in (x.to("FAKE:1"), x.to(device="FAKE"), y.to("cpu"), y.to("float16"))] == ["FAKE:1", "FAKE:0", "CPU", "FAKE:0"]
    both = x.to("FAKE", "int32")
    assert (both.device, both.dtype, both.tolist()) == ("FAKE:0", rutile.int32, [[1, 2], [3, 4]])
    with pytest.raises(ValueError, match="there is no device 'NPU'"):
        x.to("NPU")
    g = rutile.grad(lambda t: (t.move_to("FAKE") ** 2).sum())(x)
    assert g.device == "CPU" and np.array_equal(g.asnumpy(), 2 * x.asnumpy())


def test_gpu_says_what_is_missing():
    if _rutile._device_count("cuda"):
        pytest.skip("there is a GPU")
    with pytest.raises(RuntimeError, match="cuda:0 cannot be used"):
        rutile.set_context(device_target="GPU")
    with pytest.raises(RuntimeError, match="cuda:1 cannot be used"):
        rutile.Tensor([1.0]).to("cuda:1")
    assert rutile.get_context("device_target") == "CPU" and rutile.Tensor([1.0]).device == "CPU"


def test_context(fake):
    assert rutile.Tensor([1.0]).device == "FAKE:0" and ops.zeros((2,)).device == "FAKE:0"
    assert nn.Dense(2, 3).weight.device == "FAKE:0"
    x = rutile.Tensor(np.arange(12, dtype=np.float32).reshape(3, 4))
    assert x[1:, ::2].asnumpy().tolist() == [[4, 6], [8, 10]] and x[x > 9].asnumpy().tolist() == [10, 11]
    x[0] = 7
    assert x.sum().asnumpy() == 28 + 4 + 5 + 6 + 7 + 8 + 9 + 10 + 11


def losses(mode):
    rutile.set_seed(3)
    rutile.set_context(mode=mode)
    net = nn.SequentialCell(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dense(4 * 64, 5))
    step = nn.TrainOneStepCell(nn.WithLossCell(net, nn.CrossEntropyLoss()),
                               nn.Momentum(net.trainable_params(), 0.05, 0.9))
    step.set_train()
    rng = np.random.default_rng(0)
    out = []
    for _ in range(4):
        x = rutile.Tensor(rng.standard_normal((6, 1, 8, 8)).astype(np.float32))
        y = rutile.Tensor(rng.integers(0, 5, 6).astype(np.int32))
        out.append(float(step(x, y)))
    return out


@pytest.mark.parametrize("mode", [rutile.PYNATIVE_MODE, rutile.GRAPH_MODE])
def test_training_gives_the_losses_of_the_cpu(mode):
    want = losses(mode)
    rutile.set_context(mode=rutile.PYNATIVE_MODE, device_target="FAKE")
    try:
        assert losses(mode) == want
    finally:
        rutile.set_context(device_target="CPU", mode=rutile.PYNATIVE_MODE)


class Shared:
    """Another library's array: passes on what a Tensor gives, and keeps the stream that was named."""

    def __init__(self, tensor):
        self.tensor, self.stream = tensor, None

    def __dlpack__(self, stream=None, max_version=None):
        self.stream = stream
        return self.tensor.__dlpack__(stream=stream, max_version=max_version)

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()


def test_dlpack_shares_memory():
    x = (rutile.Tensor(np.arange(12, dtype=np.float32).reshape(3, 4)).move_to("FAKE:1") * 2).T
    assert x.__dlpack_device__() == (12, 1)
    for make in (lambda t: t, Shared, lambda t: t.__dlpack__(), lambda t: t.__dlpack__(max_version=(1, 0))):
        y = rutile.from_dlpack(make(x))
        assert y.device == "FAKE:1" and y.shape == (4, 3)
        assert np.array_equal((y + 1).asnumpy(), 2 * np.arange(12).reshape(3, 4).T + 1)
    other = Shared(x)
    live = _rutile._device_memory("fake:1")["live"]
    y = rutile.from_dlpack(other)
    assert isinstance(other.stream, int) and _rutile._device_memory("fake:1")["live"] == live  # no copy
    z = y + 1
    del x, other, y  # work on it is queued still
    assert float(z.sum()) == 2 * 66 + 12
    bf = rutile.Tensor([1.5], "bfloat16").move_to("FAKE")
    assert rutile.from_dlpack(bf).dtype == "bfloat16"


def test_dlpack_says_what_is_wrong():
    x = rutile.Tensor([1.0, 2.0]).move_to("FAKE")
    for stream, error in ((0, ValueError), ("1", TypeError), (12345, ValueError)):
        with pytest.raises(error, match="stream"):
            x.__dlpack__(stream=stream)
    x.__dlpack__(stream=-1)
    with pytest.raises(BufferError):
        x.__dlpack__(dl_device=(2, 0))
    with pytest.raises(BufferError):
        x.__dlpack__(dl_device=(12, 1))
    with pytest.raises((BufferError, RuntimeError, ValueError)):
        np.from_dlpack(x)
    assert rutile.from_dlpack(x.__dlpack__(dl_device=(1, 0))).asnumpy().tolist() == [1, 2]
    assert x.__dlpack__(dl_device=(12, 0)) is not None


def test_memory(fake):
    from rutile import runtime
    runtime.empty_cache()
    runtime.reset_peak_memory_stats()
    before = runtime.memory_allocated()
    x = ops.zeros((256, 1024))
    assert runtime.memory_allocated() - before == 1 << 20
    assert runtime.max_memory_allocated() >= before + (1 << 20) and runtime.memory_reserved() >= runtime.memory_allocated()
    del x
    assert runtime.memory_allocated() == before and "Idle memory" in runtime.memory_summary()
    runtime.set_memory(max_size="8MB")
    try:
        with pytest.raises(rutile.errors.OutOfMemoryError, match=r"out of memory on fake:0: requested 64\.00 MiB .*limit 8\.00 MiB.*raise the limit"):
            ops.zeros((4096, 4096))
        assert ops.zeros((64, 64)).sum().asnumpy() == 0  # the next smaller request works
    finally:
        runtime.set_memory(max_size="1024GB")
    assert ops.zeros((4096, 4096)).shape == (4096, 4096)
    runtime.synchronize()


def test_errors_come_when_somebody_waits(fake):
    from rutile import runtime
    x, at = rutile.Tensor([1.0, 2.0]), rutile.Tensor([7], rutile.int64)
    y = ops.gather(x, at, 0)
    with pytest.raises(IndexError, match="queued by gather"):
        runtime.synchronize()
    runtime.synchronize()
    rutile.set_logs("sync")
    try:
        with pytest.raises(IndexError, match=r"\[gather\]"):
            ops.gather(x, at, 0)
    finally:
        rutile.set_logs("")
    assert y.shape == (1,)


def test_settings_of_gpus():
    first = _rutile._device_settings()
    gpu = rutile.device_context.gpu
    try:
        rutile.set_context(gpu_config={"matmul_allow_tf32": True, "conv_allow_tf32": True, "conv_fprop_algo": "performance"})
        assert _rutile._device_settings() == {"tf32_matmul": True, "tf32_conv": True, "autotune": True}
        assert rutile.get_context("gpu_config")["matmul_allow_tf32"]
        gpu.op_precision.matmul_allow_tf32(False)
        gpu.op_tuning.conv_dgrad_algo("normal")
        assert _rutile._device_settings() == {"tf32_matmul": False, "tf32_conv": True, "autotune": False}
        for config, error in (({"conv_allow_tf32": 1}, TypeError), ({"conv_fprop_algo": "fastest"}, ValueError), ({"tf32": True}, ValueError),
                              ("tf32", TypeError)):
            with pytest.raises(error, match="gpu_config"):
                rutile.set_context(gpu_config=config)
    finally:
        _rutile._change_device_settings(first)
        rutile.set_context(gpu_config={})
    assert gpu.device_count() == _rutile._device_count("cuda") and gpu.is_available() == (gpu.device_count() > 0)
    assert rutile.device_context.cpu.is_available() and rutile.device_context.cpu.device_count() == 1
    rutile.device_context.cpu.op_tuning.threads_num(rutile.num_threads())


def test_asking_for_a_gpu_names_each_file_once():
    if _rutile._device_count("cuda"):
        pytest.skip("there is a GPU")
    with pytest.raises(RuntimeError) as caught:
        rutile.set_context(device_target="GPU")
    tried = [line.strip() for line in str(caught.value).splitlines()[1:] if line.startswith("  ")]
    assert tried and len({line.rpartition(": ")[2] for line in tried}) == len(tried), tried


def test_profiles_have_the_devices_kernels(fake, tmp_path):
    rutile.set_context(mode=rutile.GRAPH_MODE)
    net = nn.SequentialCell(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 1))
    step = nn.TrainOneStepCell(nn.WithLossCell(net, nn.MSELoss()), nn.Adam(net.trainable_params()))
    x, y = ops.ones((2, 4)), ops.zeros((2, 1))
    for _ in range(3):
        step(x, y)
    p = rutile.Profiler(output_path=str(tmp_path))
    for _ in range(2):
        step(x, y)
    p.analyse()
    kernels = [e for e in p.events() if e["kind"] == "device" and e["name"] != "copy"]
    assert kernels and {e["device"] for e in kernels} == {"fake:0"}
    assert not [e for e in p.events() if e["kind"] == "kernel"], "the host looks at no kernel"
    assert f"2 launches of {len(kernels)} kernels" in p.devices() and p.devices() in p.table()
    with open(tmp_path / "profiler" / "gpu_activity_data_0.csv", encoding="utf-8") as f:
        rows = f.read().splitlines()
    assert rows[0].startswith("op_side,name,op_full_name,stream_id,op_occurrences") and len(rows) > 2
    with rutile.profiler.Profiler(device=False) as p:
        step(x, y)
    assert not [e for e in p.events() if e["kind"] == "device"] and p.devices() == ""
    assert [e for e in p.events() if e["kind"] == "kernel"]


def test_loops_and_branches_on_a_device(fake):
    @rutile.jit
    def f(x):
        total = ops.zeros_like(x)
        while ops.ReduceSum()(total) < 10:
            total = total + x
            if total[0] > 2:
                total = total + 1
        for _ in range(3):
            total = total * 2
        return total

    def plain(x):
        total = np.zeros_like(x)
        while total.sum() < 10:
            total = total + x
            if total[0] > 2:
                total = total + 1
        return total * 8

    for v in ([1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [0.5, 0.5], [11.0, 0.0]):
        v = np.array(v, np.float32)
        assert np.array_equal(f(rutile.Tensor(v)).asnumpy(), plain(v))
