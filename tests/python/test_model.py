# SPDX-License-Identifier: Apache-2.0
"""Model: train, eval, fit, predict, callbacks, metrics, loss scales, in both modes."""

import re

import numpy as np
import pytest

import rutile as ms
from rutile import Model, Tensor, nn, train
from rutile.train import Callback, EarlyStopping, LambdaCallback, LossMonitor, TimeMonitor
from rutile.train.loss_scale_manager import DynamicLossScaleManager, FixedLossScaleManager

RNG = np.random.default_rng(2)
X = RNG.normal(size=(40, 3)).astype(np.float32)
Y = (X @ np.array([[1.0], [-2.0], [0.5]], np.float32) > 0).astype(np.int32).reshape(-1)
BATCHES = [(X[k:k + 10], Y[k:k + 10]) for k in range(0, 40, 10)]


@pytest.fixture(params=[1, 0], ids=["pynative", "graph"], autouse=True)
def mode(request):
    ms.set_context(mode=request.param)
    yield request.param
    ms.set_context(mode=1)


class Data:
    """A dataset as MindSpore's are."""

    def get_dataset_size(self):
        return 4

    def create_tuple_iterator(self, num_epochs=-1):
        return iter([(Tensor(x), Tensor(y)) for x, y in BATCHES])


def make(**options):
    ms.set_seed(5)
    net = nn.SequentialCell(nn.Dense(3, 8, activation="relu"), nn.Dense(8, 2))
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    scale = options.pop("scale", 1.0)
    return net, Model(net, loss_fn=loss, optimizer=nn.Momentum(net.trainable_params(), 0.2, 0.9, loss_scale=scale), **options)


@pytest.mark.parametrize("data", [Data(), BATCHES], ids=["dataset", "list"])
def test_train_and_eval(data, capsys):
    net, model = make(metrics={"acc", "loss"})
    before = model.eval(data)
    history = model.train(6, data, callbacks=[LossMonitor(), TimeMonitor(data_size=4)], dataset_sink_mode=True)
    after = model.eval(data)
    assert set(after) == {"acc", "loss"} and after["acc"] > 0.9 and after["loss"] < before["loss"]
    out = capsys.readouterr().out
    lines = re.findall(r"^epoch: (\d+) step: (\d+), loss is ([0-9.e-]+)$", out, re.M)
    assert [(int(e), int(s)) for e, s, _ in lines] == [(e, s) for e in range(1, 7) for s in range(1, 5)]
    assert len(re.findall(r"^Train epoch time: +[0-9.]+ ms, per step time: +[0-9.]+ ms$", out, re.M)) == 6
    assert history.epoch["epoch"] == list(range(1, 7)) and float(lines[-1][2]) == history.history["net_output"][-1]
    logits = model.predict(Tensor(X))
    assert (logits.asnumpy().argmax(1) == Y).mean() == pytest.approx(after["acc"])


def test_equals_the_loop():
    net, model = make()
    history = model.train(3, BATCHES)
    ms.set_seed(5)
    twin = nn.SequentialCell(nn.Dense(3, 8, activation="relu"), nn.Dense(8, 2))
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    step = nn.TrainOneStepCell(nn.WithLossCell(twin, loss), nn.Momentum(twin.trainable_params(), 0.2, 0.9)).set_train()
    losses = [[float(step(Tensor(x), Tensor(y))) for x, y in BATCHES][-1] for _ in range(3)]
    assert history.history["net_output"] == losses
    for p, q in zip(net.get_parameters(), twin.get_parameters()):
        np.testing.assert_array_equal(p.asnumpy(), q.asnumpy())


@pytest.mark.parametrize("manager", [None, FixedLossScaleManager(1024, drop_overflow_update=False), FixedLossScaleManager(1024), DynamicLossScaleManager(1024, 2, 10)],
                         ids=["none", "fixed", "dropping", "dynamic"])
def test_loss_scales(manager):
    fixed = manager is not None and manager.get_update_cell() is None
    _, model = make(loss_scale_manager=manager, scale=1024.0 if fixed else 1.0)
    found = model.train(4, BATCHES).history["net_output"]
    _, plain = make()
    np.testing.assert_allclose(found, plain.train(4, BATCHES).history["net_output"], rtol=1e-3)


def test_amp():
    net, model = make(amp_level="O2", loss_scale_manager=DynamicLossScaleManager(1024), metrics={"acc"})
    model.train(6, BATCHES)
    assert model.predict(Tensor(X)).dtype == ms.float16 and model.eval(BATCHES)["acc"] > 0.9


def test_fit_and_callbacks(capsys):
    events = []

    class Watch(Callback):
        def begin(self, c):
            events.append("begin")

        def epoch_end(self, c):
            events.append(("epoch", c.original_args().cur_epoch_num))

        def step_end(self, c):
            events.append(("step", c.original_args().cur_step_num))

        def end(self, c):
            events.append("end")

    _, model = make(metrics={"accuracy"})
    steps = []
    history = model.fit(3, BATCHES, BATCHES, valid_frequency=2, callbacks=[
        Watch(), LossMonitor(3), LambdaCallback(on_train_step_end=lambda c: steps.append(c.original_args().cur_step_num))])
    assert events == ["begin", *[("step", i) for i in range(1, 5)], ("epoch", 1), *[("step", i) for i in range(5, 9)],
                      "begin", *[("step", i) for i in range(1, 5)], ("epoch", 2), "end", ("epoch", 2),  # the evaluation
                      *[("step", i) for i in range(9, 13)], ("epoch", 3), "end"]
    assert steps == list(range(1, 13)) and len(history.history["accuracy"]) == 1
    out = capsys.readouterr().out
    assert out.count("loss is") == 4 and "Eval result: epoch 2, metrics: {'accuracy': " in out


def test_stopping():
    _, model = make(metrics={"loss"})
    seen = []

    class Stop(Callback):
        def step_end(self, c):
            seen.append(c.original_args().cur_step_num)
            if len(seen) == 6:
                c.request_stop()

    model.train(10, BATCHES, Stop())
    assert len(seen) == 6
    early = EarlyStopping("loss", min_delta=100, patience=2, restore_best_weights=True)
    history = model.fit(20, BATCHES, BATCHES, callbacks=early)
    assert early.stopped_epoch == 3 and len(history.epoch["epoch"]) == 3
    assert model.train(5, BATCHES, initial_epoch=3).epoch["epoch"] == [4, 5]


def test_a_loss_that_is_not_finite():
    net, model = make()
    with pytest.raises(ValueError) as info:
        model.train(1, [(X * np.inf, Y)], LossMonitor())
    assert "In epoch: 1 step: 1, loss is NAN or INF, training process cannot continue, terminating training." in str(info.value)


def test_networks_with_their_own_loss():
    class WithLoss(nn.Cell):
        def __init__(self):
            super().__init__()
            self.net, self.loss = nn.Dense(3, 2), nn.CrossEntropyLoss()

        def construct(self, x, y):
            return self.loss(self.net(x), y)

    net = WithLoss()
    model = Model(net, optimizer=nn.Adam(net.trainable_params(), 0.05), metrics={"loss"})
    first = model.eval(BATCHES)["loss"]
    model.train(5, BATCHES)
    assert model.eval(BATCHES)["loss"] < first


def test_metrics():
    logits = Tensor([[0.1, 0.9, 0.0], [0.8, 0.1, 0.1], [0.2, 0.3, 0.5]])
    labels = Tensor([1, 0, 1])
    acc = train.Accuracy()
    acc.update(logits, labels)
    assert acc.eval() == pytest.approx(2 / 3)
    acc.update(logits, Tensor(np.eye(3, dtype=np.float32)))
    assert acc.eval() == pytest.approx((2 + 1) / 6)
    acc.clear()
    with pytest.raises(RuntimeError):
        acc.eval()
    top = train.TopKCategoricalAccuracy(2)
    top.update(logits, labels)
    assert top.eval() == 1
    for metric, want in ((train.MAE(), 0.5), (train.MSE(), 0.1875)):
        metric.update(Tensor([[0.25, 0.75], [1.0, 0.5]]), np.array([[0.0, 1.0], [1.0, 1.0]]))
        assert metric.eval() == pytest.approx(want)
    multi = train.Accuracy("multilabel")
    multi.update(np.array([[1, 0], [1, 1]]), np.array([[1, 0], [0, 1]]))
    assert multi.eval() == 0.5
    swapped = train.Accuracy().set_indexes([2, 1])
    swapped.update("loss", labels, logits)
    assert swapped.eval() == pytest.approx(2 / 3) and swapped.indexes == [2, 1]
    for call in (lambda: train.Accuracy("x"), lambda: train.get_metric_fn("no"), lambda: acc.update(logits), lambda: acc.update(labels, labels),
                 lambda: train.TopKCategoricalAccuracy(0)):
        with pytest.raises((ValueError, TypeError)):
            call()


def test_a_dataset_that_counts_its_batches_begins_again():
    class Counts:
        def __init__(self):
            self.at, self.resets = 0, 0

        def get_dataset_size(self):
            return 2

        def __iter__(self):
            return self

        def __next__(self):
            if self.at == 2:
                raise StopIteration
            self.at += 1
            return Tensor([[1.0]]), Tensor([[2.0]])

        def reset(self):
            self.at, self.resets = 0, self.resets + 1

    net, data = nn.Dense(1, 1), Counts()
    model = Model(net, nn.MSELoss(), nn.SGD(net.trainable_params(), 0.1), metrics={"mse"})
    model.train(3, data)
    model.eval(data)
    model.train(1, data)
    assert data.resets == 5 and data.at == 0


def test_wrong_uses():
    net = nn.Dense(1, 1)
    optimizer = nn.SGD(net.trainable_params())
    _, model = make()
    for call in (lambda: Model(3), lambda: Model(net, loss_fn=lambda a, b: a), lambda: Model(net, optimizer=3), lambda: Model(net, metrics={"no"}),
                 lambda: Model(net, amp_level="O9"), lambda: Model(net).train(1, BATCHES), lambda: model.train(0, BATCHES),
                 lambda: model.train(1, 3), lambda: model.eval(BATCHES), lambda: model.train(1, BATCHES, [3]), lambda: LossMonitor(-1),
                 lambda: TimeMonitor("a"), lambda: EarlyStopping(mode="x"), lambda: LambdaCallback(nothing=print),
                 lambda: FixedLossScaleManager(0), lambda: DynamicLossScaleManager(scale_window=0), lambda: model.fit(1, BATCHES, BATCHES),
                 lambda: Model(net, nn.MSELoss(), nn.SGD(net.trainable_params(), loss_scale=2.0), loss_scale_manager=FixedLossScaleManager())):
        with pytest.raises((ValueError, TypeError)) as info:
            call()
        assert isinstance(info.value, ms.Error)
    assert optimizer is not None


def test_networks_that_are_steps_of_their_own(tmp_path):
    from rutile.train import Callback, CheckpointConfig, LearningRateScheduler, LossMonitor, ModelCheckpoint

    class Losses(Callback):
        def __init__(self):
            super().__init__()
            self.seen = []

        def step_end(self, run_context):
            args = run_context.original_args()
            out = args.net_outputs
            self.seen.append(float(out[0] if isinstance(out, tuple) else out))
            assert args.optimizer is not None

    class Own(nn.Cell):
        def __init__(self, network, optimizer):
            super().__init__()
            self.network, self.optimizer = network, optimizer
            self.grad = ms.value_and_grad(network, None, optimizer.parameters)

        def construct(self, x, y):
            loss, grads = self.grad(x, y)
            self.optimizer(grads)
            return loss

    x = np.random.RandomState(0).randn(16, 4).astype(np.float32)
    data = [(Tensor(x[i:i + 4]), Tensor(x[i:i + 4].sum(1, keepdims=True))) for i in range(0, 16, 4)]
    runs = []
    for make in (lambda n, o: (Model(n, nn.MSELoss(), o),), lambda n, o: (Model(nn.TrainOneStepCell(nn.WithLossCell(n, nn.MSELoss()), o)),),
                 lambda n, o: (Model(nn.TrainOneStepWithLossScaleCell(nn.WithLossCell(n, nn.MSELoss()), o, Tensor(8.0))),),
                 lambda n, o: (Model(Own(nn.WithLossCell(n, nn.MSELoss()), o)),)):
        ms.set_seed(1)
        net = nn.Dense(4, 1)
        model, = make(net, nn.Momentum(net.trainable_params(), 0.05, 0.9))
        losses = Losses()
        model.train(3, data, callbacks=[losses, LossMonitor(100), LearningRateScheduler(lambda lr, step: 0.05),
                                        ModelCheckpoint("own", str(tmp_path), CheckpointConfig(save_checkpoint_steps=100))])
        runs.append(losses.seen)
    assert len(runs[0]) == 12 and runs[0][-1] < 0.5 * runs[0][0]
    for run in runs[1:]:
        np.testing.assert_allclose(run, runs[0], rtol=1e-5)
    with pytest.raises(ValueError, match="needs an optimizer"):
        Model(nn.WithLossCell(net, nn.MSELoss())).train(1, data)


class _Rows(Callback):
    """What each step of each epoch was given."""

    def __init__(self):
        self.rows, self.sizes = [], []

    def on_train_epoch_begin(self, run_context):
        self.rows.append([])

    def on_train_step_begin(self, run_context):
        args = run_context.original_args()
        self.rows[-1].append(int(args.train_dataset_element[0].asnumpy()[0, 0]))
        self.sizes.append((args.batch_num, args.cur_epoch_num, args.cur_step_num))


def _numbered(kind):
    x, y = np.arange(5, dtype=np.float32).reshape(5, 1, 1), np.zeros((5, 1, 1), np.float32)
    if kind == "list":
        return [(Tensor(a), Tensor(b)) for a, b in zip(x, y)]
    import rutile.dataset as ds
    return ds.NumpySlicesDataset((x[:, 0], y[:, 0]), ["x", "y"], shuffle=False).batch(1)


def _small():
    net = nn.Dense(1, 1)
    return Model(net, nn.MSELoss(), nn.SGD(net.trainable_params(), 0.0))


@pytest.mark.parametrize("kind", ["list", "dataset"])
def test_sink_size_counts_the_steps_of_an_epoch(kind):
    """As MindSpore says of dataset_sink_mode: sink_size steps each, going on in the dataset where the last epoch ended."""
    for size, want in ((2, [[0, 1], [2, 3], [4, 0]]), (7, [[0, 1, 2, 3, 4, 0, 1], [2, 3, 4, 0, 1, 2, 3]]), (-1, [[0, 1, 2, 3, 4]] * 2)):
        seen = _Rows()
        _small().train(len(want), _numbered(kind), seen, dataset_sink_mode=True, sink_size=size)
        steps = size if size > 0 else 5
        assert seen.rows == want
        assert seen.sizes == [(steps, 1 + i // steps, i + 1) for i in range(len(want) * steps)]
    seen = _Rows()
    _small().train(2, _numbered(kind), seen, sink_size=2)  # without dataset_sink_mode it says nothing
    assert seen.rows == [[0, 1, 2, 3, 4]] * 2
    seen = _Rows()
    _small().train(4, _numbered(kind), seen, dataset_sink_mode=True, sink_size=2, initial_epoch=2)
    assert seen.rows == [[4, 0], [1, 2]]


def test_sink_size_with_evaluation_and_shuffling():
    import rutile.dataset as ds
    x = np.arange(6, dtype=np.float32).reshape(6, 1)
    ms.dataset.config.set_seed(3)
    data = ds.NumpySlicesDataset((x, x * 0), ["x", "y"], shuffle=True).batch(1)
    net, seen = nn.Dense(1, 1), _Rows()
    model = Model(net, nn.MSELoss(), nn.SGD(net.trainable_params(), 0.0), metrics={"mse"})
    model.fit(6, data, data, valid_frequency=2, callbacks=seen, dataset_sink_mode=True, sink_size=4)
    flat = [row for rows in seen.rows for row in rows]
    walks = [flat[i:i + 6] for i in range(0, 24, 6)]
    assert [len(rows) for rows in seen.rows] == [4] * 6
    assert all(sorted(walk) == list(range(6)) for walk in walks) and len({tuple(w) for w in walks}) > 1


def test_wrong_sink_sizes():
    for size, error in ((0, ValueError), (-2, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="sink_size"):
            _small().train(1, _numbered("list"), sink_size=size)
        with pytest.raises(error, match="sink_size"):
            _small().fit(1, _numbered("list"), dataset_sink_mode=True, sink_size=size)
    with pytest.raises(ValueError, match="no batches"):
        _small().train(1, [], dataset_sink_mode=True, sink_size=2)
