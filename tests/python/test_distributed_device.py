# SPDX-License-Identifier: Apache-2.0
"""Several processes, each with a device of its own: the plugin for NCCL over a stand-in for NCCL, between pretended devices."""

import os
import subprocess
import sys
import textwrap

import pytest

from rutile import _rutile

needs_plugins = pytest.mark.skipif(
    bool(_rutile.dist.plugin_error("gloo") or _rutile.dist.plugin_error("nccl_fake")), reason="the plugins are not built")

TRAIN = """
    import sys
    import numpy as np
    import rutile as ms
    from rutile import _rutile, nn, ops, communication as comm
    import rutile.dataset as ds

    folder = sys.argv[1]

    def train(mode, ranks, rank, shard):
        ms.set_context(mode=mode)
        ms.set_auto_parallel_context(parallel_mode="data_parallel" if ranks > 1 else "stand_alone", gradients_mean=True,
                                     enable_parallel_optimizer=shard, parallel_optimizer_config={"parallel_optimizer_threshold": 0})
        x = np.sin(np.arange(16 * 12, dtype=np.float32)).reshape(16, 12)
        y = (np.arange(16) % 3).astype(np.int32)
        net = nn.SequentialCell(nn.Dense(12, 9), nn.Tanh(), nn.Dense(9, 3))
        rng = np.random.default_rng(5)
        for p in net.trainable_params():
            p.set_data(ms.Tensor(rng.normal(0, 0.3, p.shape).astype(np.float32)))
        data = ds.NumpySlicesDataset({"x": x, "y": y}, shuffle=False, num_shards=ranks, shard_id=rank).batch(8 // ranks)
        model = ms.Model(net, nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"), nn.Adam(net.trainable_params(), 0.01))
        model.train(3, data)
        return np.concatenate([p.asnumpy().astype(np.float64).reshape(-1) for p in net.trainable_params()])

    want = train(ms.GRAPH_MODE, 1, 0, False)
    _rutile.dist.init("nccl_fake")
    rank = comm.get_rank()
    assert _rutile.dist.device() == f"fake:{rank}", _rutile.dist.device()
    ms.set_context(device_target="FAKE", device_id=rank)
    x = ms.Tensor([float(rank), 2.0])
    assert x.device.upper().startswith("FAKE"), x.device
    assert ops.AllReduce()(x).asnumpy().tolist() == [1.0, 4.0]
    assert ops.AllGather()(x).asnumpy().tolist() == [0.0, 2.0, 1.0, 2.0]
    for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
        for shard in (False, True):
            np.testing.assert_allclose(train(mode, 2, rank, shard), want, rtol=0, atol=1e-6)
    before = _rutile.dist.stats()
    assert before["calls"] > 0 and before["bytes"] > 0
    print("well")
"""


@needs_plugins
def test_processes_with_devices_train_as_one_without(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(TRAIN))
    done = subprocess.run([sys.executable, "-m", "rutile.launch", "-n", "2", str(script), str(tmp_path)], capture_output=True, text=True,
                          timeout=200, env={**os.environ, "RUTILE_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("well") == 2


FAILED = """
    import ctypes, os, sys
    import numpy as np
    import rutile as ms
    from rutile import _rutile, nn, communication as comm

    folder, mode = sys.argv[1], sys.argv[2]
    _rutile.dist.init("nccl_fake")
    rank = comm.get_rank()
    ms.set_context(device_target="FAKE", device_id=rank, mode=getattr(ms, mode))
    ms.set_auto_parallel_context(parallel_mode="data_parallel", gradients_mean=True)
    ms.set_seed(1)
    net = nn.Dense(4, 3)
    data = [(ms.Tensor(np.full((2, 4), 1.0 + k, np.float32)), ms.Tensor(np.ones((2, 3), np.float32))) for k in range(4)]

    class Breaks(ms.Callback):
        def on_train_step_end(self, run_context):
            if run_context.original_args().cur_step_num != 3:
                return
            net.weight.asnumpy()
            comm.comm_func.barrier()
            if rank == 1:
                with open("/proc/self/maps") as f:
                    path = next(line.split()[-1] for line in f if "librutile_nccl_fake" in line)
                ctypes.CDLL(path, mode=os.RTLD_NOLOAD | os.RTLD_NOW).rutile_nccl_break_next()

    callbacks = [Breaks()]
    if rank == 0:
        callbacks.insert(0, ms.ModelCheckpoint("net", folder, ms.CheckpointConfig(save_checkpoint_steps=1, keep_checkpoint_max=1)))
    model = ms.Model(net, nn.MSELoss(), nn.Momentum(net.trainable_params(), 0.1, 0.9))
    try:
        model.train(1, data, callbacks=callbacks)
        net.weight.asnumpy()
    except RuntimeError as e:
        assert "group 'world', all_reduce" in str(e), e
        print("told")
"""


@needs_plugins
@pytest.mark.parametrize("mode", ["PYNATIVE_MODE", "GRAPH_MODE"])
def test_what_a_failed_collective_left_is_not_saved(tmp_path, mode):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(FAILED))
    done = subprocess.run([sys.executable, "-m", "rutile.launch", "-n", "2", str(script), str(tmp_path / "run"), mode], capture_output=True,
                          text=True, timeout=200, env={**os.environ, "RUTILE_NUM_THREADS": "1"})
    assert done.stdout.count("told") == 2, (done.stdout, done.stderr)
    # The file of the last good step stays, although only one is kept.
    assert [p.name for p in (tmp_path / "run").glob("*.ckpt")] == ["net-1_3.ckpt"]


def test_backends_are_named():
    import rutile
    with pytest.raises(rutile.errors.ValueError, match="must be one of 'mccl', 'gloo', 'nccl'"):
        rutile.communication.init("carrier pigeons")
