# SPDX-License-Identifier: Apache-2.0
"""Several processes that train: loss scales with shards, and parameters that are compared."""

import os
import subprocess
import sys
import textwrap

import pytest

import rutile
from rutile import _rutile

needs_gloo = pytest.mark.skipif(bool(_rutile.dist.plugin_error("gloo")), reason="Gloo is not installed")


def launch(tmp_path, ranks, text, *arguments):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text))
    command = [sys.executable, "-m", "rutile.launch", "-n", str(ranks), str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "RUTILE_NUM_THREADS": "1"})


def lines_of(done, rank):
    return [line[4:] for line in done.stdout.splitlines() if line.startswith(f"[{rank}] ")]


@needs_gloo
def test_loss_scales_with_optimizers_in_shards(tmp_path):
    done = launch(tmp_path, 2, """
        import numpy as np
        import rutile as ms
        from rutile import _rutile, nn, communication as comm
        comm.init()
        rank = comm.get_rank()

        class Weighted(nn.Cell):
            def __init__(self):
                super().__init__()
                self.dense = nn.Dense(6, 4, weight_init="ones", has_bias=False)

            def construct(self, x, w):
                return (self.dense(x) * w).sum()

        def run(mode, shard):
            ms.set_context(mode=mode)
            ms.set_auto_parallel_context(parallel_mode="data_parallel", gradients_mean=True, enable_parallel_optimizer=shard,
                                         parallel_optimizer_config={"parallel_optimizer_threshold": 0})
            net = Weighted()
            step = nn.TrainOneStepWithLossScaleCell(net, nn.Adam(net.trainable_params(), 0.01),
                                                    nn.DynamicLossScaleUpdateCell(1024.0, 2, 2))
            seen = []
            before = _rutile.dist.stats()["bytes_of"].get("all_reduce", 0)
            for k in range(5):
                # In the second step row 0 overflows, which is in the part of process 0, by what process 1 has.
                w = np.array([3e38 if k == 1 and rank == 1 else 1.0, 2.0, -1.0, k], np.float32)
                x = np.full((2, 6), 1.0 + rank, np.float32)
                _, overflow, scale = step(ms.Tensor(x), ms.Tensor(w))
                seen.append((bool(overflow), float(scale)))
            sent = _rutile.dist.stats()["bytes_of"].get("all_reduce", 0) - before
            return net.dense.weight.asnumpy(), seen, sent, step.skipped_steps

        for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
            want, seen, sent, skipped = run(mode, False)
            assert skipped == 1 and seen[1] == (True, 1024.0) and seen[2] == (False, 512.0), seen
            got, again, less, skipped = run(mode, True)
            assert again == seen and skipped == 1, (again, seen)
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)
            assert less < sent / 2, (less, sent)
        print("well")
    """)
    assert done.returncode == 0, done.stderr
    assert all(lines_of(done, r) == ["well"] for r in range(2))


@needs_gloo
def test_parameters_are_compared_every_so_many_steps(tmp_path):
    done = launch(tmp_path, 2, """
        import sys
        import numpy as np
        import rutile as ms
        from rutile import nn, communication as comm
        comm.init()
        ms.set_auto_parallel_context(parallel_mode="data_parallel", gradients_mean=True)
        net = nn.SequentialCell(nn.Dense(4, 3), nn.BatchNorm1d(3), nn.Dense(3, 2))
        data = [(ms.Tensor(np.full((2, 4), k + comm.get_rank(), np.float32)), ms.Tensor(np.ones((2, 2), np.float32))) for k in range(7)]

        class Drifts(ms.Callback):
            def on_train_step_end(self, run_context):
                step = run_context.original_args().cur_step_num
                if sys.argv[1] == "drifts" and step == 4 and comm.get_rank() == 1:
                    p = net.trainable_params()[-1]
                    p.set_data(p.value() + 1e-7)
                print("step", step, flush=True)

        model = ms.Model(net, nn.MSELoss(), nn.SGD(net.trainable_params(), 0.1))
        model.train(1, data, callbacks=[Drifts(), ms.train.ReplicaCheck(3)])
    """, "drifts")
    assert done.returncode != 0
    for rank in range(2):
        assert lines_of(done, rank)[-1] == "step 6", done.stdout
    assert done.stderr.count("of rank 0 differs from that of rank 1") >= 1 and "2.bias" in done.stderr, done.stderr
    whole = launch(tmp_path, 2, (tmp_path / "script.py").read_text(), "stays")
    assert whole.returncode == 0, whole.stderr
    with pytest.raises(ValueError, match="must be positive"):
        rutile.train.ReplicaCheck(0)
    with pytest.raises(TypeError, match="must be an int"):
        rutile.train.ReplicaCheck(1.5)
