# SPDX-License-Identifier: Apache-2.0
"""Several processes, started by rutile.launch: groups, data parallel training, failures."""

import os
import re
import subprocess
import sys
import textwrap
import time

import pytest

import rutile
from rutile import _rutile

needs_gloo = pytest.mark.skipif(bool(_rutile.dist.plugin_error("gloo")), reason="Gloo is not installed")


def launch(tmp_path, ranks, text, *arguments, **variables):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text))
    command = [sys.executable, "-m", "rutile.launch", "-n", str(ranks), str(script), *arguments]
    env = {**os.environ, "RUTILE_NUM_THREADS": "1", **variables}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)


def lines_of(done, rank):
    return [line[4:] for line in done.stdout.splitlines() if line.startswith(f"[{rank}] ")]


@needs_gloo
def test_groups_and_functions(tmp_path):
    done = launch(tmp_path, 3, """
        import rutile as ms
        from rutile import Tensor, ops, communication as comm
        from rutile.communication import comm_func
        comm.init()
        comm.init()
        r, n = comm.get_rank(), comm.get_group_size()
        assert (n, comm.get_local_rank(), comm.get_local_rank_size()) == (3, r, 3)
        x = Tensor([float(r), 1.0])
        for wrap in (lambda f: f, ms.jit):
            assert wrap(ops.AllReduce())(x).asnumpy().tolist() == [3.0, 3.0]
            assert wrap(ops.AllReduce(ops.ReduceOp.MAX))(x).asnumpy().tolist() == [2.0, 1.0]
            assert wrap(ops.AllGather())(x).asnumpy().tolist() == [0.0, 1.0, 1.0, 1.0, 2.0, 1.0]
            assert wrap(ops.ReduceScatter())(ops.AllGather()(x)).asnumpy().tolist() == [3.0 * r, 3.0]
            assert wrap(ops.Broadcast(2))((x,))[0].asnumpy().tolist() == [2.0, 1.0]
            assert wrap(ops.AlltoAll(3, 0, 1))(Tensor([[10.0 * r], [10.0 * r + 1], [10.0 * r + 2]])).asnumpy().tolist() == [
                [float(r), 10.0 + r, 20.0 + r]]
        assert comm_func.all_reduce(x, "prod")[0].asnumpy().tolist() == [0.0, 1.0]
        assert comm_func.all_gather_into_tensor(x)[0].shape == (6,)
        assert comm_func.broadcast(x, 1).asnumpy().tolist() == [1.0, 1.0]
        comm.create_group("pair", [2, 0])
        assert comm.get_rank("pair") == {0: 1, 1: -1, 2: 0}[r] and comm.get_group_size("pair") == 2
        assert comm.get_process_group_ranks("pair") == [2, 0] and comm.get_world_rank_from_group_rank("pair", 1) == 0
        if r != 1:
            assert ops.AllReduce(group="pair")(x).asnumpy().tolist() == [2.0, 2.0]
        if r == 0:
            comm_func.send(x, 1)
        if r == 1:
            assert comm_func.recv(x, 0).asnumpy().tolist() == [0.0, 1.0]
        comm_func.barrier()
        grad = ms.grad(lambda x: (ops.AllReduce()(x) * (r + 1)).sum())(x)
        assert grad.asnumpy().tolist() == [6.0, 6.0]
        ms.set_auto_parallel_context(device_num=3, global_rank=r)
        print("well", ms.get_auto_parallel_context("device_num"))
    """)
    assert done.returncode == 0, done.stderr
    assert all(lines_of(done, r) == ["well 3"] for r in range(3))


@needs_gloo
def test_every_rank_of_a_ring_sends_before_it_receives(tmp_path):
    done = launch(tmp_path, 3, """
        from rutile import Tensor, communication as comm
        from rutile.communication import comm_func
        comm.init()
        r = comm.get_rank()
        for step in range(3):
            sent = comm_func.isend(Tensor([float(r), float(step)]), (r + 1) % 3)
            got, came = comm_func.irecv(Tensor([0.0, 0.0]), (r + 2) % 3)
            came.wait()
            assert came.is_completed() and got.asnumpy().tolist() == [float((r + 2) % 3), float(step)]
            sent.wait()
        comm.release()
    """)
    assert done.returncode == 0, done.stderr


@needs_gloo
def test_a_gradient_that_one_process_has_is_given_to_all(tmp_path):
    done = launch(tmp_path, 2, """
        import rutile as ms
        from rutile import Tensor, nn, communication as comm
        comm.init()
        r = comm.get_rank()
        params = nn.Dense(2, 1).trainable_params() + nn.Dense(1, 1).trainable_params()
        reduce = nn.DistributedGradReducer(params, mean=True)
        grads = [None, Tensor([4.0]) if r == 0 else None, Tensor([[2.0]]), None]
        out = reduce(grads)
        assert out[0] is None and out[3] is None
        assert out[1].asnumpy().tolist() == [2.0] and out[2].asnumpy().tolist() == [[2.0]]
    """)
    assert done.returncode == 0, done.stderr


@needs_gloo
def test_sync_batch_norm(tmp_path):
    done = launch(tmp_path, 2, """
        import numpy as np
        import rutile as ms
        from rutile import nn, communication as comm
        comm.init()
        r = comm.get_rank()
        x = np.sin(np.arange(4 * 3 * 2 * 2, dtype=np.float32)).reshape(4, 3, 2, 2)
        whole, sync, own = nn.BatchNorm2d(3), nn.SyncBatchNorm(3), nn.SyncBatchNorm(3, process_groups=[[0], [1]])
        for net in (whole, sync, own):
            net.set_train()
        want = whole(ms.Tensor(x)).asnumpy()
        for f in (sync, ms.jit(sync)):
            np.testing.assert_allclose(f(ms.Tensor(x[2 * r:2 * r + 2])).asnumpy(), want[2 * r:2 * r + 2], atol=1e-5)
        whole(ms.Tensor(x))
        np.testing.assert_allclose(sync.moving_variance.asnumpy(), whole.moving_variance.asnumpy(), atol=1e-6)
        alone = nn.BatchNorm2d(3).set_train()(ms.Tensor(x[r:r + 1])).asnumpy()
        np.testing.assert_allclose(own(ms.Tensor(x[r:r + 1])).asnumpy(), alone, atol=1e-6)
    """)
    assert done.returncode == 0, done.stderr


@needs_gloo
def test_sync_batch_norm_of_mint(tmp_path):
    done = launch(tmp_path, 2, """
        import numpy as np
        import rutile as ms
        from rutile import communication as comm, mint
        comm.init()
        r = comm.get_rank()
        comm.create_group("one", [0]) if r == 0 else comm.create_group("other", [1])
        x = np.sin(np.arange(4 * 3 * 2 * 2, dtype=np.float32)).reshape(4, 3, 2, 2)
        mine = ms.Tensor(x[2 * r:2 * r + 2])
        for settings in ({}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}):
            whole, sync = mint.nn.BatchNorm2d(3, **settings), mint.nn.SyncBatchNorm(3, **settings)
            for net in (whole, sync):
                net.set_train()
            for f in (sync, ms.jit(sync)):
                want = whole(ms.Tensor(x)).asnumpy()
                np.testing.assert_allclose(f(mine).asnumpy(), want[2 * r:2 * r + 2], atol=1e-5)
            if sync.track_running_stats:
                np.testing.assert_allclose(sync.running_mean.asnumpy(), whole.running_mean.asnumpy(), atol=1e-6)
                np.testing.assert_allclose(sync.running_var.asnumpy(), whole.running_var.asnumpy(), atol=1e-5)
                assert int(sync.num_batches_tracked) == 2
                want = whole.set_train(False)(mine).asnumpy()
                np.testing.assert_allclose(sync.set_train(False)(mine).asnumpy(), want, atol=1e-5)
        alone = mint.nn.BatchNorm2d(3).set_train()(mine).asnumpy()
        own = mint.nn.SyncBatchNorm(3, process_group="one" if r == 0 else "other").set_train()
        np.testing.assert_allclose(own(mine).asnumpy(), alone, atol=1e-6)
        try:
            mint.nn.SyncBatchNorm(3, process_group=[0, 1])
            assert False
        except TypeError as e:
            assert "a group's name" in str(e)
    """)
    assert done.returncode == 0, done.stderr


TRAIN = """
    import sys
    import numpy as np
    import rutile as ms
    from rutile import nn, communication as comm
    import rutile.dataset as ds

    mode, ranks = sys.argv[1], int(sys.argv[2])
    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    if ranks > 1:
        comm.init()
        ms.set_auto_parallel_context(parallel_mode=ms.ParallelMode.DATA_PARALLEL, gradients_mean=True,
                                     all_reduce_fusion_config=[1, 3] if mode == "graph" else [])
    ms.set_seed(1 + comm.get_rank())
    x = np.sin(np.arange(16 * 12, dtype=np.float32)).reshape(16, 12)
    y = (np.arange(16) % 3).astype(np.int32)
    net = nn.SequentialCell(nn.Dense(12, 8), nn.ReLU(), nn.Dense(8, 3))
    rng = np.random.default_rng(5)
    if comm.get_rank() == 0:
        for p in net.trainable_params():
            p.set_data(ms.Tensor(rng.normal(0, 0.3, p.shape).astype(np.float32)))
    data = ds.NumpySlicesDataset({"x": x, "y": y}, shuffle=False, num_shards=comm.get_group_size(), shard_id=comm.get_rank())
    data = data.batch(8 // comm.get_group_size())
    model = ms.Model(net, nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"),
                     nn.Momentum(net.trainable_params(), 0.1, 0.9))
    model.train(3, data, dataset_sink_mode=False)
    if comm.get_rank() == ranks - 1:
        np.save(sys.argv[3], np.concatenate([p.asnumpy().reshape(-1) for p in net.trainable_params()]))
"""


@needs_gloo
@pytest.mark.parametrize("mode", ["graph", "pynative"])
def test_model_train_gives_the_parameters_of_one_process(tmp_path, mode):
    import numpy as np
    results = []
    for ranks in (1, 2, 4):
        path = tmp_path / f"{mode}{ranks}.npy"
        done = launch(tmp_path, ranks, TRAIN, mode, str(ranks), str(path))
        assert done.returncode == 0, done.stderr
        results.append(np.load(path))
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=0, atol=1e-6)


@needs_gloo
def test_optimizers_in_shards(tmp_path):
    done = launch(tmp_path, 2, """
        import sys
        import numpy as np
        import rutile as ms
        from rutile import _rutile, nn, communication as comm
        comm.init()
        rank, folder = comm.get_rank(), sys.argv[1]
        x = np.sin(np.arange(8 * 12, dtype=np.float32)).reshape(8, 12)[4 * rank:4 * rank + 4]
        y = (np.arange(4) % 3).astype(np.int32)

        def train(make, shard, steps=3):
            ms.set_auto_parallel_context(parallel_mode="data_parallel", gradients_mean=True, enable_parallel_optimizer=shard,
                                         parallel_optimizer_config={"parallel_optimizer_threshold": 0})
            net = nn.SequentialCell(nn.Dense(12, 9), nn.Tanh(), nn.Dense(9, 3))
            rng = np.random.default_rng(5)
            for p in net.trainable_params():
                p.set_data(ms.Tensor(rng.normal(0, 0.3, p.shape).astype(np.float32)))
            step = nn.TrainOneStepCell(nn.WithLossCell(net, nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")),
                                       make(net.trainable_params()))
            for k in range(steps):
                step(ms.Tensor(x + k), ms.Tensor(y))
            return step, np.concatenate([p.asnumpy().astype(np.float64).reshape(-1) for p in net.trainable_params()])

        optimizers = {
            "SGD": lambda p: nn.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
            "Momentum": lambda p: nn.Momentum(p, 0.1, 0.9, use_nesterov=True),
            "Adam": lambda p: nn.Adam(p, 0.01, weight_decay=0.1), "nesterov": lambda p: nn.Adam(p, 0.01, use_nesterov=True),
            "amsgrad": lambda p: nn.Adam(p, 0.01, use_amsgrad=True), "AdamWeightDecay": lambda p: nn.AdamWeightDecay(p, 0.01),
            "Lamb": lambda p: nn.Lamb(p, 0.01), "LARS": lambda p: nn.LARS(nn.Momentum(p, 0.1, 0.9)),
            "Adagrad": lambda p: nn.Adagrad(p), "Adadelta": lambda p: nn.Adadelta(p), "AdaMax": lambda p: nn.AdaMax(p),
            "ASGD": lambda p: nn.ASGD(p), "Rprop": lambda p: nn.Rprop(p), "RMSProp": lambda p: nn.RMSProp(p, centered=True),
            "FTRL": lambda p: nn.FTRL(p), "ProximalAdagrad": lambda p: nn.ProximalAdagrad(p)}
        bytes_of = lambda kind: _rutile.dist.stats()["bytes_of"].get(kind, 0)  # noqa: E731
        for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
            ms.set_context(mode=mode)
            before = bytes_of("all_reduce"), bytes_of("reduce_scatter")
            train(optimizers["Adam"], True)
            # Gradients are reduced to the processes that update them.
            assert bytes_of("reduce_scatter") - before[1] >= 3 * 4 * (12 * 9 + 9 + 9 * 3 + 3), mode
            assert bytes_of("all_reduce") - before[0] <= 3 * 4 * 5, mode
            for name, make in optimizers.items() if mode == ms.PYNATIVE_MODE else list(optimizers.items())[5:7]:
                (whole, want), (own, got) = train(make, False), train(make, True)
                np.testing.assert_allclose(got, want, rtol=0, atol=1e-6, err_msg=name)
                if name in ("Momentum", "Adam"):
                    n = got.size * (1 if name == "Momentum" else 2)
                    kept = sum(p.size for p in own.optimizer.get_parameters() if p.name.startswith("moment"))
                    full = sum(p.size for p in whole.optimizer.get_parameters() if p.name.startswith("moment"))
                    assert full - n in (0, 1) and kept <= n / 2 + 10, (name, kept, full, n)
        # A file has whole states, and each process takes its part of them.
        step, _ = train(optimizers["Adam"], True)
        path = f"{folder}/{rank}.ckpt"
        ms.save_checkpoint(step, path)
        whole, want = train(optimizers["Adam"], False, steps=4)
        again, _ = train(optimizers["Adam"], True, steps=0)
        assert ms.load_param_into_net(again, ms.load_checkpoint(path), strict_load=True) == ([], [])
        again(ms.Tensor(x + 3), ms.Tensor(y))
        got = np.concatenate([p.asnumpy().reshape(-1) for p in again.network.trainable_params()])
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)
        for p in whole.get_parameters():
            assert ms.load_checkpoint(path)[p.name].shape == p.shape, p.name
        try:
            nn.AdaFactor(whole.network.trainable_params())
        except RuntimeError as e:
            assert "cannot be kept in shards" in str(e)
        else:
            raise AssertionError("AdaFactor")
        print("well")
    """, str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert all(lines_of(done, r) == ["well"] for r in range(2))


@needs_gloo
def test_gradients_travel_while_backward_runs(tmp_path):
    done = launch(tmp_path, 2, """
        import numpy as np
        import rutile as ms
        from rutile import _rutile, nn, ops, communication as comm
        comm.init()
        ms.set_auto_parallel_context(parallel_mode="data_parallel", gradients_mean=True,
                                     comm_fusion={"allreduce": {"mode": "size", "config": 1e-6}})
        ms.set_seed(1)

        class Net(nn.Cell):
            def __init__(self):
                super().__init__()
                self.last, self.first = nn.Dense(4, 4, has_bias=False), nn.Dense(4, 4, has_bias=False)

            def construct(self, x):
                return ops.square(self.last(self.first(x))).mean()

        class Clipped(nn.TrainOneStepCell):
            def construct(self, x):
                loss, grads = self._loss_and_grads((x,), None)
                grads = self.grad_reducer(tuple(ops.clip_by_value(g, -1e-3, 1e-3) for g in grads))
                self.optimizer(grads)
                return loss

        for kind in (nn.TrainOneStepCell, Clipped):
            results = []
            for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
                ms.set_context(mode=mode)
                ms.set_seed(2)
                net = Net()
                step = kind(net, nn.SGD(net.trainable_params(), 0.1))
                for k in range(3):
                    before = _rutile.dist.stats()["calls"]
                    step(ms.Tensor(np.full((2, 4), 1.0 + comm.get_rank() + k, np.float32)))
                    calls = _rutile.dist.stats()["calls"] - before
                results.append(np.concatenate([p.asnumpy() for p in net.trainable_params()]))
                if mode == ms.PYNATIVE_MODE:
                    # What is used last is ready, and sent, first.
                    assert step._reducer._reducer.buckets() == [[0], [1]], step._reducer._reducer.buckets()
                    assert calls == (2 if kind is nn.TrainOneStepCell else 4), calls
            np.testing.assert_allclose(results[0], results[1], atol=1e-6)
        print("well")
    """)
    assert done.returncode == 0, done.stderr
    assert all(lines_of(done, r) == ["well"] for r in range(2))


RESUME = """
    import os, signal, sys
    import numpy as np
    import rutile as ms
    from rutile import nn, communication as comm
    import rutile.dataset as ds

    folder, kill = sys.argv[1], len(sys.argv) > 2 and sys.argv[2] == "kill"
    ms.set_context(mode=ms.GRAPH_MODE)
    comm.init()
    rank, ranks = comm.get_rank(), comm.get_group_size()
    ms.set_auto_parallel_context(parallel_mode="data_parallel", gradients_mean=True, enable_parallel_optimizer=True,
                                 parallel_optimizer_config={"parallel_optimizer_threshold": 0})
    ms.set_seed(1)
    x = np.sin(np.arange(24 * 12, dtype=np.float32)).reshape(24, 12)
    y = (np.arange(24) % 3).astype(np.int32)
    net = nn.SequentialCell(nn.Dense(12, 8), nn.ReLU(), nn.Dense(8, 3))
    rng = np.random.default_rng(5)
    for p in net.trainable_params():
        p.set_data(ms.Tensor(rng.normal(0, 0.3, p.shape).astype(np.float32)))
    data = ds.NumpySlicesDataset({"x": x, "y": y}, shuffle=True, num_shards=ranks, shard_id=rank).batch(4 // ranks)

    class Killed(ms.Callback):
        def on_train_step_end(self, run_context):
            if kill and rank == 1 and run_context.original_args().cur_step_num in (9, 13) and os.environ[
                    "TORCHELASTIC_RESTART_COUNT"] == ("0" if run_context.original_args().cur_step_num == 9 else "1"):
                os.kill(os.getpid(), signal.SIGKILL)

    model = ms.Model(net, nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"), nn.Adam(net.trainable_params(), 0.01))
    resumable = ms.train.ResumableCheckpoint(folder, 2)
    stop = int(sys.argv[3]) if len(sys.argv) > 3 else 4
    model.train(stop, data, callbacks=[resumable, Killed()])
    if rank == 0:
        print("from", resumable.resumed_from)
        np.save(folder + "/end.npy", np.concatenate([p.asnumpy().reshape(-1) for p in net.trainable_params()]))
"""


@needs_gloo
def test_a_run_whose_ranks_are_killed_goes_on(tmp_path):
    import numpy as np
    ends = []
    for name, how in (("whole", ""), ("killed", "kill")):
        folder = tmp_path / name
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(RESUME))
        command = [sys.executable, "-m", "rutile.launch", "-n", "2", "--max-restarts", "3", str(script), str(folder), how]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "RUTILE_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr
        ends.append(np.load(folder / "end.npy"))
    assert "[0] from 12" in done.stdout and done.stderr.count("starting the ranks again") == 2, done.stderr
    np.testing.assert_array_equal(ends[0], ends[1])


@needs_gloo
def test_another_number_of_processes_goes_on(tmp_path):
    import numpy as np
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder, ranks, epochs in ((whole, 1, 4), (parts, 4, 1), (parts, 2, 3), (parts, 1, 4)):
        done = launch(tmp_path, ranks, RESUME, str(folder), "", str(epochs))
        assert done.returncode == 0, done.stderr
    assert "from 18" in done.stdout
    np.testing.assert_allclose(np.load(parts / "end.npy"), np.load(whole / "end.npy"), rtol=0, atol=2e-6)
    with pytest.raises(ValueError):
        rutile.train.ResumableCheckpoint(str(parts), 0)
    index = next(parts.glob("*.index.safetensors"), None)
    assert index is None or index.stat().st_size > 0


@needs_gloo
def test_a_rank_that_fails_ends_the_job_and_is_named(tmp_path):
    done = launch(tmp_path, 2, """
        from rutile import Tensor, ops, communication as comm
        comm.init()
        for step in range(100):
            if step == 3 and comm.get_rank() == 1:
                raise LookupError("no such file")
            ops.AllReduce()(Tensor([1.0, 2.0]))
    """)
    assert done.returncode == 1
    assert re.search(r"\[0\] .*rank 1 \(.*\) ended: LookupError: no such file", done.stderr), done.stderr
    assert "was at collective 4 of group 'world', all_reduce (sum) of f32[2]" in done.stderr


@needs_gloo
def test_ranks_that_disagree_are_told_how(tmp_path):
    done = launch(tmp_path, 2, """
        from rutile import Tensor, ops, communication as comm
        comm.init()
        ops.AllReduce()(ops.zeros((2 + comm.get_rank(),), "float32"))
    """)
    assert done.returncode != 0
    for rank in range(2):
        text = "".join(line for line in done.stderr.splitlines() if line.startswith(f"[{rank}] "))
        assert "all_reduce (sum) of f32[2]" in text and "all_reduce (sum) of f32[3]" in text


def test_launch_passes_output_status_and_signals(tmp_path):
    done = launch(tmp_path, 2, """
        import os, sys
        print("rank", os.environ["RANK"], "of", os.environ["WORLD_SIZE"], *sys.argv[1:])
        sys.exit(7 if os.environ["LOCAL_RANK"] == "1" else 0)
    """, "-x", "1")
    assert done.returncode == 7
    assert sorted(done.stdout.splitlines()) == ["[0] rank 0 of 2 -x 1", "[1] rank 1 of 2 -x 1"]
    assert "rank 1 (process" in done.stderr and "exit status 7" in done.stderr


def test_launch_passes_progress_bars_and_endless_lines(tmp_path):
    done = launch(tmp_path, 1, """
        import os, time
        os.write(1, b"10%\\r")
        os.write(1, b"20%\\r\\n")
        os.write(1, b"x" * 200000 + b"\\n")
        os.write(1, b"no end")
    """)
    assert done.returncode == 0
    # Read as text, "\\r" is an end of a line too.
    assert done.stdout == "[0] 10%\n[0] 20%\n[0] " + "x" * 200000 + "\n[0] no end\n", done.stdout[:100]


def test_what_a_rank_leaves_behind_ends_with_the_job(tmp_path):
    done = launch(tmp_path, 2, """
        import os, subprocess, sys
        if os.environ["RANK"] == "0":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            print(child.pid)
    """)
    assert done.returncode == 0
    pid = int(lines_of(done, 0)[0])
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as f:
                if f.read().rsplit(")", 1)[1].split()[0] == "Z":
                    break
        except FileNotFoundError:
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the process lives")


def test_the_hook_for_uncaught_errors_is_the_one_at_init():
    before = sys.excepthook
    seen = []
    try:
        sys.excepthook = lambda *a: seen.append(a[1])
        mine = sys.excepthook
        rutile.communication.init()
        sys.excepthook(ValueError, ValueError("a"), None)
        assert [str(e) for e in seen] == ["a"]
        rutile.communication.release()
        assert sys.excepthook is mine
    finally:
        sys.excepthook = before


def test_a_missing_variable_is_named(tmp_path):
    env = {k: v for k, v in os.environ.items() if k not in ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE")}
    run = lambda **more: subprocess.run([sys.executable, "-c", "import rutile; rutile.communication.init()"],  # noqa: E731
                                        capture_output=True, text=True, env={**env, **more}).stderr
    assert "WORLD_SIZE is not set, but RANK is" in run(RANK="0")
    assert "MASTER_ADDR is not set" in run(RANK="0", WORLD_SIZE="2")
    assert "MASTER_PORT is not set" in run(RANK="0", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1")
    assert "RANK='two' is no number" in run(RANK="two", WORLD_SIZE="2")


def test_settings_are_checked():
    with pytest.raises(TypeError):
        rutile.set_auto_parallel_context(all_reduce_fusion_config=[1, -2])
    with pytest.raises(ValueError):
        rutile.set_auto_parallel_context(comm_fusion={"allreduce": {"mode": "often"}})
    with pytest.raises(ValueError):
        rutile.ops.AllReduce("mode")
    with pytest.raises(ValueError):
        rutile.ops.AllReduce(group="nobody")(rutile.Tensor([1.0]))
    with pytest.raises(ValueError):
        rutile.communication.init("carrier pigeons")
