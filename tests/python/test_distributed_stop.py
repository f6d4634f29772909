# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM while a job trains: all processes stop after the same step, and what they save together goes on."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from rutile import _rutile

needs_gloo = pytest.mark.skipif(bool(_rutile.dist.plugin_error("gloo")), reason="Gloo is not installed")

TRAIN = """
    import os, sys, time
    import numpy as np
    import rutile as ms
    from rutile import nn, communication as comm
    import rutile.dataset as ds

    folder, epochs = sys.argv[1], int(sys.argv[2])
    ms.set_context(mode=ms.PYNATIVE_MODE)
    comm.init()
    rank, ranks = comm.get_rank(), comm.get_group_size()
    if ranks > 1:
        ms.set_auto_parallel_context(parallel_mode="data_parallel", gradients_mean=True, enable_parallel_optimizer=True,
                                     parallel_optimizer_config={"parallel_optimizer_threshold": 0})
    ms.set_seed(1)
    x = np.sin(np.arange(24 * 12, dtype=np.float32)).reshape(24, 12)
    y = (np.arange(24) % 3).astype(np.int32)
    net = nn.SequentialCell(nn.Dense(12, 8), nn.ReLU(), nn.Dense(8, 3))
    rng = np.random.default_rng(5)
    for p in net.trainable_params():
        p.set_data(ms.Tensor(rng.normal(0, 0.3, p.shape).astype(np.float32)))
    data = ds.NumpySlicesDataset({"x": x, "y": y}, shuffle=False, num_shards=ranks, shard_id=rank).batch(4 // ranks)

    class Slow(ms.Callback):
        def on_train_step_end(self, run_context):
            if epochs > 100:
                step = run_context.original_args().cur_step_num
                if step == 3:
                    print("pid", os.getpid(), flush=True)
                time.sleep(0.01 if rank == 0 else 0.013)

    model = ms.Model(net, nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"), nn.Adam(net.trainable_params(), 0.01))
    resumable = ms.train.ResumableCheckpoint(folder, 100000)
    try:
        model.train(epochs, data, callbacks=[Slow(), resumable])
    except KeyboardInterrupt as e:
        print("stopped", e, flush=True)
        sys.exit(7)
    if rank == 0:
        print("from", resumable.resumed_from)
        np.save(folder + "/end.npy", np.concatenate([p.asnumpy().reshape(-1) for p in net.trainable_params()]))
"""


def start(tmp_path, folder, epochs, ranks):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(TRAIN))
    command = [sys.executable, "-m", "rutile.launch", "-n", str(ranks), str(script), str(folder), str(epochs)]
    if ranks == 1:
        command = [sys.executable, "-u", str(script), str(folder), str(epochs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "RUTILE_NUM_THREADS": "1"})


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=needs_gloo)])
@pytest.mark.parametrize("whom", ["one", "all"])
def test_all_stop_after_the_same_step_and_go_on(tmp_path, ranks, whom):
    import numpy as np
    folder = tmp_path / "run"
    job = start(tmp_path, folder, 100000, ranks)
    lines = [job.stdout.readline() for _ in range(ranks)]
    time.sleep(0.1)
    os.kill(job.pid if whom == "all" else int(lines[-1].split()[-1]), signal.SIGINT)
    out, err = job.communicate(timeout=60)
    steps = set(re.findall(r"stopped after step (\d+), which is saved", out))
    assert len(steps) == 1 and out.count("stopped") == ranks, (out, err)
    assert job.returncode in (7, 130), err
    step = int(steps.pop())
    saved = [p.name for p in folder.iterdir() if p.name.endswith(".index.safetensors" if ranks > 1 else ".safetensors")]
    assert len(saved) == 1 and f"{step:08d}" in saved[0], saved
    # The run goes on from there, to the parameters of one that nobody stopped.
    epochs = step // 6 + 2
    for where, at in ((folder, ranks), (tmp_path / "whole", 1)):
        done = start(tmp_path, where, epochs, at)
        out, err = done.communicate(timeout=60)
        assert done.returncode == 0, err
        if where == folder:
            assert f"from {step}" in out
    np.testing.assert_allclose(np.load(folder / "end.npy"), np.load(tmp_path / "whole" / "end.npy"), rtol=0, atol=2e-5)


def test_sigterm_saves_and_a_second_signal_ends_at_once(tmp_path):
    folder = tmp_path / "run"
    job = start(tmp_path, folder, 100000, 1)
    os.kill(int(job.stdout.readline().split()[-1]), signal.SIGTERM)
    job.communicate(timeout=60)
    assert job.returncode == 143 and len(list(folder.glob("*.safetensors"))) == 1
    script = tmp_path / "hangs.py"
    script.write_text(textwrap.dedent("""
        import sys, time
        import rutile as ms
        from rutile import nn
        net = nn.Dense(1, 1)
        class Hangs(ms.Callback):
            def on_train_step_end(self, run_context):
                print("ready", flush=True)
                for _ in range(6000):
                    time.sleep(0.01)
        model = ms.Model(net, nn.MSELoss(), nn.SGD(net.trainable_params(), 0.1))
        model.train(1, [(ms.Tensor([[1.0]]), ms.Tensor([[2.0]]))], callbacks=[Hangs(), ms.train.ResumableCheckpoint(sys.argv[1])])
    """))
    job = subprocess.Popen([sys.executable, str(script), str(tmp_path / "hangs")], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           text=True)
    job.stdout.readline()
    job.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert job.poll() is None
    job.send_signal(signal.SIGINT)
    job.communicate(timeout=60)
    assert job.returncode != 0 and not list((tmp_path / "hangs").glob("*.safetensors"))
