# SPDX-License-Identifier: Apache-2.0
"""Callbacks: what they print, which files they leave, what they change."""

import os
import re
import signal

import numpy as np
import pytest

import rutile as ms
from rutile import Model, Tensor, nn, train

X = np.random.RandomState(0).randn(32, 3).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int32)
BATCHES = [(X[i:i + 8], Y[i:i + 8]) for i in range(0, 32, 8)]
HAS_FILES = True
try:
    from rutile.train import serialization  # noqa: F401
except ImportError:
    HAS_FILES = False


@pytest.fixture(params=["pynative", "graph"], autouse=True)
def mode(request):
    ms.set_context(mode=ms.GRAPH_MODE if request.param == "graph" else ms.PYNATIVE_MODE)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


def make(lr=0.1, metrics=("accuracy",), **kwargs):
    ms.set_seed(3)
    net = nn.SequentialCell(nn.Dense(3, 8), nn.ReLU(), nn.Dense(8, 2))
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    return Model(net, loss, nn.Momentum(net.trainable_params(), lr, 0.9), metrics=set(metrics), **kwargs)


def test_lines(capsys):
    model = make()
    model.train(2, BATCHES, [train.LossMonitor(), train.TimeMonitor(4)])
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(r"\d+\.\d+(e-\d+)?", "N", line) for line in lines] == sum((
        [f"epoch: {e} step: {s}, loss is N" for s in range(1, 5)] + ["Train epoch time: N ms, per step time: N ms"]
        for e in (1, 2)), [])
    model.fit(1, BATCHES, BATCHES, callbacks=[train.LossMonitor(4), train.TimeMonitor(data_time=True)])
    out = capsys.readouterr().out
    assert re.search(r"Eval epoch time: .* ms\n", out) and re.search(r"per step time: .* \(data time: .* ms\)\n", out)
    assert re.search(r"Eval result: epoch 1, metrics: \{'accuracy': [\d.]+\}", out)


def test_state_of_the_run():
    seen = []

    class Look(train.Callback):
        def on_train_step_end(self, run_context):
            args = run_context.original_args()
            seen.append((args.cur_step_num, args["cur_epoch_num"], args.get("nothing", 7), args.batch_num, args.epoch_num))
            assert args.train_network is not None and args.optimizer is not None and args.mode == "train"
            with pytest.raises(AttributeError, match="nothing"):
                args.nothing  # noqa: B018

    make().train(2, BATCHES, Look())
    assert seen[4] == (5, 2, 7, 4, 2)


def test_reduce_lr_on_plateau(capsys):
    model = make()
    callback = train.ReduceLROnPlateau("eval_loss", factor=0.5, patience=1, min_delta=100.0, verbose=True, cooldown=1, min_lr=0.03)
    model.fit(6, BATCHES, BATCHES, callbacks=callback)
    # Epoch 1 is the best; 2 reduces, 3 cools down and reduces as well, 4 and later are at the least rate.
    out = capsys.readouterr().out
    assert out.startswith("Epoch 00002: ReduceLROnPlateau reducing learning rate to 0.05") and out.count("reducing") == 2
    assert float(model.train_network.optimizer.learning_rate.asnumpy()) == pytest.approx(0.03)
    scheduled = make(lr=nn.ExponentialDecayLR(0.1, 0.9, 4))
    with pytest.raises(ValueError):
        scheduled.fit(1, BATCHES, BATCHES, callbacks=callback)
    for wrong in (lambda: train.ReduceLROnPlateau(factor=1.5), lambda: train.ReduceLROnPlateau(mode="x"),
                  lambda: train.ReduceLROnPlateau(patience=-1)):
        with pytest.raises(ValueError):
            wrong()


def test_learning_rate_scheduler():
    model, seen = make(), []

    def rate(lr, step):
        seen.append((lr, step))
        return lr / 2 if step % 4 == 0 else lr

    model.train(2, BATCHES, train.LearningRateScheduler(rate))
    assert seen[0] == (0.1, 1) and seen[4] == (0.05, 5) and len(seen) == 8
    assert float(model.train_network.optimizer.learning_rate.asnumpy()) == pytest.approx(0.025)


def test_early_stopping_restores():
    model = make()
    early = train.EarlyStopping("accuracy", patience=2, restore_best_weights=True, min_delta=10)
    before = []

    class Keep(train.Callback):
        def on_train_epoch_end(self, run_context):
            before.append(run_context.original_args().network.get_parameters().__next__().asnumpy().copy())

    model.fit(9, BATCHES, BATCHES, callbacks=[Keep(), early])
    assert early.stopped_epoch == 3
    np.testing.assert_array_equal(next(model.predict_network.get_parameters()).asnumpy(), before[0])


@pytest.mark.skipif(not HAS_FILES, reason="files of weights are not there")
def test_model_checkpoint(tmp_path, mode):
    def run(prefix="net", epochs=2, **config):
        callback = train.ModelCheckpoint(prefix, str(tmp_path), train.CheckpointConfig(**config))
        make().train(epochs, BATCHES, callback)
        return sorted(f for f in os.listdir(tmp_path) if f.endswith((".ckpt", ".safetensors")))

    assert run(save_checkpoint_steps=3, keep_checkpoint_max=2) == ["net-2_2.ckpt", "net-2_4.ckpt"]
    assert (tmp_path / "net-graph.meta").exists() == (mode == "graph")
    found = run(save_checkpoint_steps=8, append_info=["epoch_num", {"lr": 0.5}])
    assert found == ["net-2_2.ckpt", "net-2_4.ckpt", "net_1-2_4.ckpt"]
    values = train.load_checkpoint(str(tmp_path / "net_1-2_4.ckpt"))
    assert int(values["epoch_num"].asnumpy()) == 2 and float(values["lr"].asnumpy()) == 0.5
    assert "0.weight" in values and "moments.0.weight" in values and "global_step" in values
    assert "net_2-1_4.ckpt" in run(epochs=1, save_checkpoint_steps=100)
    net = nn.Dense(2, 2)
    assert "only-1_4.safetensors" in run("only", 1, save_checkpoint_steps=4, saved_network=net, format="safetensors")
    by_name = train.ModelCheckpoint(lambda args: f"step{args.cur_step_num}", lambda args: str(tmp_path / "own"),
                                    train.CheckpointConfig(save_checkpoint_steps=4))
    make().train(1, BATCHES, by_name)
    assert by_name.latest_ckpt_file_name == str(tmp_path / "own" / "step4.ckpt")


def test_checkpoint_config():
    config = train.CheckpointConfig(keep_checkpoint_max=0, keep_checkpoint_per_n_minutes=3)
    assert config.get_checkpoint_policy() == {"save_checkpoint_steps": 1, "save_checkpoint_seconds": None, "keep_checkpoint_max": None,
                                              "keep_checkpoint_per_n_minutes": 3, "saved_network": None}
    for wrong, error in ((lambda: train.CheckpointConfig(save_checkpoint_steps=-1), ValueError),
                         (lambda: train.CheckpointConfig(0, 0, 0, 0), ValueError),
                         (lambda: train.CheckpointConfig(integrated_save=1), TypeError),
                         (lambda: train.CheckpointConfig(saved_network=3), TypeError),
                         (lambda: train.CheckpointConfig(append_info=["x"]), ValueError),
                         (lambda: train.ModelCheckpoint("a/b"), ValueError), (lambda: train.ModelCheckpoint(config=3), TypeError)):
        with pytest.raises(error):
            wrong()


@pytest.mark.skipif(not HAS_FILES, reason="files of weights are not there")
def test_request_exit(tmp_path):
    class Send(train.Callback):
        def step_end(self, run_context):
            if run_context.original_args().cur_step_num == 6:
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    model = make()
    leave = train.OnRequestExit(file_name="net", directory=str(tmp_path))
    history = model.train(9, BATCHES, [Send(), leave])
    assert history.epoch["epoch"] == [1, 2] and (tmp_path / "net_train.ckpt").exists()
    assert signal.getsignal(signal.SIGTERM) is before
    again = make()
    again.train(1, BATCHES[:1], train.OnRequestExit(file_name="net", directory=str(tmp_path)))
    assert int(again.train_network.optimizer.global_step.asnumpy()[0]) == 7


def test_build():
    model = make()
    model.build(BATCHES, BATCHES)
    before = [p.asnumpy().copy() for p in model.train_network.get_parameters()]
    for a, b in zip(before, model.train_network.get_parameters()):
        np.testing.assert_array_equal(a, b.asnumpy())
    assert model.train(1, BATCHES).epoch["epoch"] == [1]
