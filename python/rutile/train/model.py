# SPDX-License-Identifier: Apache-2.0
"""Model: trains, evaluates and predicts with a network."""

import contextlib as _contextlib
import itertools as _itertools
import logging as _logging

from rutile import _hints, _rutile
from rutile import context as _context
from rutile import nn
from rutile._rutile import Tensor
from rutile.train import amp as _amp
from rutile.train.callback import Callback, History, LossMonitor, ProgressBar, RunContext, TimeMonitor, _progress
from rutile.train.callback import __all__ as _callback_names
from rutile.train.callback._callback import InternalCallbackParam
from rutile.train.loss_scale_manager import DynamicLossScaleManager, LossScaleManager
from rutile.train.metrics import Loss, get_metrics

_errors, _log = _rutile.errors, _logging.getLogger("rutile")


def _batches(dataset):
    """The batches as tuples of Tensors, from a dataset with create_tuple_iterator or any iterable of tuples."""
    if hasattr(dataset, "create_tuple_iterator"):
        dataset = dataset.create_tuple_iterator(num_epochs=1)
    for batch in dataset:
        batch = tuple(batch.values()) if isinstance(batch, dict) else batch
        batch = batch if isinstance(batch, (tuple, list)) else (batch,)
        yield tuple(x if isinstance(x, Tensor) else Tensor(x) for x in batch)


def _open(dataset, first_epoch):
    """What gives the batches of epoch after epoch: of a rutile.dataset one iterator, so that each has an order of its own."""
    if not getattr(dataset, "_numbers_epochs", False):
        return dataset
    iterator = dataset.create_tuple_iterator()
    iterator.start_at(first_epoch)
    return iterator


def _sunk(dataset, size, given):
    """For each epoch its `size` batches: they go on where those of the epoch before ended, and begin again at the end.
    given: how many the epochs before these had."""
    count = _count(dataset)
    if count <= 0:
        raise _errors.ValueError("[Model] the dataset has no batches")
    data, skipped = _open(dataset, given // count), given % count

    def endless():
        while True:
            some = False
            for some in _batches(data):
                yield some
            if not some:
                raise _errors.ValueError("[Model] the dataset has no batches")
            _reset(dataset)

    batches = _itertools.islice(endless(), skipped, None)
    while True:
        yield _itertools.islice(batches, size)


def _check_sinking(dataset_sink_mode, sink_size):
    """The steps of an epoch; -1: as many as the dataset has batches."""
    if not isinstance(dataset_sink_mode, bool):
        raise _errors.TypeError(f"[Model] dataset_sink_mode must be a bool, got {type(dataset_sink_mode).__name__}")
    if isinstance(sink_size, bool) or not isinstance(sink_size, int):
        raise _errors.TypeError(f"[Model] sink_size must be an int, got {type(sink_size).__name__}")
    if sink_size < -1 or sink_size == 0:
        raise _errors.ValueError(f"[Model] sink_size must be -1 or positive, got {sink_size}")
    return sink_size if dataset_sink_mode else -1


def _reset(dataset):
    """A dataset that counts its own batches, as MindSpore's do, begins again."""
    if hasattr(dataset, "reset"):
        dataset.reset()


def _count(dataset):
    for name in ("get_dataset_size", "__len__"):
        if hasattr(dataset, name):
            return int(getattr(dataset, name)())
    raise _errors.TypeError(f"a dataset has get_dataset_size() or a length, {type(dataset).__name__} has neither")


class _Callbacks:
    """The callbacks of a run; `with` enters and leaves each."""

    def __init__(self, callbacks):
        callbacks = [] if callbacks is None else [callbacks] if isinstance(callbacks, Callback) else list(callbacks)
        for c in callbacks:
            if not isinstance(c, Callback):
                raise _errors.TypeError(f"callbacks must be Callbacks, got {type(c).__name__}")
        self._all, self._stack = callbacks, _contextlib.ExitStack()

    def __enter__(self):
        with _contextlib.ExitStack() as stack:
            entered = [stack.enter_context(c) for c in self._all]
            self._all = [c if e is None else e for c, e in zip(self._all, entered)]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    def __call__(self, event, context):
        for c in self._all:
            getattr(c, event)(context)

    def of_eval(self):
        """Those that also see the evaluation within fit(): the user's own, and the clock."""
        return [c for c in self._all if isinstance(c, TimeMonitor) or type(c).__name__ not in _callback_names]

    def show_progress(self):
        """Adds a line of progress where nothing else shows the loss."""
        if not any(isinstance(c, (LossMonitor, ProgressBar)) for c in self._all) and _progress.wanted():
            self._all.append(ProgressBar())


class Model:
    """A network with its loss, optimizer and metrics.

    train(epoch, dataset, callbacks), eval(dataset), fit(epoch, train_dataset, valid_dataset), predict(data). A dataset
    gives batches (data, label): one with create_tuple_iterator and get_dataset_size, or any sized iterable of tuples.
    Without loss_fn the network itself gives the loss; without an optimizer as well it is the whole step (nn.TrainOneStepCell). metrics: a set of names or a dict of names and metrics. In
    GRAPH_MODE a step is one compiled graph. amp_level: as rutile.amp.auto_mixed_precision, with the loss in float32; "O2"
    scales the loss by a DynamicLossScaleManager unless another or None is given. boost_level and the keywords of other
    devices are taken and change nothing.

    >>> import rutile
    >>> from rutile import nn
    >>> net = nn.Dense(1, 1)
    >>> model = rutile.Model(net, nn.MSELoss(), nn.SGD(net.trainable_params(), 0.1), metrics={"mse"})
    >>> data = [(rutile.Tensor([[1.0]]), rutile.Tensor([[2.0]]))] * 50
    >>> history = model.train(1, data)
    >>> model.eval(data)["mse"] < 1e-3
    True
    """

    def __init__(self, network, loss_fn=None, optimizer=None, metrics=None, eval_network=None, eval_indexes=None,
                 amp_level="O0", boost_level="O0", **kwargs):
        known = ("loss_scale_manager", "keep_batchnorm_fp32", "boost_config_dict", "acc_level")
        for name in kwargs:
            if name not in known:
                named = ("loss_fn", "optimizer", "metrics", "eval_network", "eval_indexes", "amp_level", *known)
                raise _errors.ValueError(f"[Model] there is no argument {name!r}{_hints.close(name, named)}; others are "
                                         f"{list(known)}")
        scaler = kwargs.get("loss_scale_manager")
        for name, value, kind in (("network", network, nn.Cell), ("loss_fn", loss_fn, nn.Cell),
                                  ("optimizer", optimizer, nn.Optimizer), ("eval_network", eval_network, nn.Cell),
                                  ("loss_scale_manager", scaler, LossScaleManager)):
            if (value is not None or name == "network") and not isinstance(value, kind):
                raise _errors.TypeError(f"[Model] {name} must be a {kind.__name__}, got {type(value).__name__}")
        if boost_level not in ("O0", "O1", "O2"):
            raise _errors.ValueError(f"[Model] boost_level is 'O0', 'O1' or 'O2', got {boost_level!r}")
        if boost_level != "O0" or kwargs.get("boost_config_dict"):
            _log.warning("Model: boost_level %s changes nothing here", boost_level)
        if amp_level not in _amp.LEVELS:
            raise _errors.ValueError(f"[Model] amp_level is one of {list(_amp.LEVELS)}, got {amp_level!r}")
        self._network, self._loss_fn, self._optimizer = network, loss_fn, optimizer
        self._metrics, self._eval_indexes, self._scaler = get_metrics(metrics), eval_indexes, scaler
        self._amp_level = amp_level
        if eval_indexes is not None and (not isinstance(eval_indexes, list) or len(eval_indexes) != 3):
            raise _errors.ValueError(f"[Model] eval_indexes is a list of three: loss, output and label; got {eval_indexes!r}")
        if amp_level != "O0":
            if optimizer is None:
                raise _errors.ValueError(f"[Model] amp_level {amp_level!r} needs an optimizer")
            _amp.prepare(network, loss_fn, amp_level, kwargs.get("keep_batchnorm_fp32"))
            if amp_level == "O2" and "loss_scale_manager" not in kwargs:
                self._scaler = DynamicLossScaleManager()
        self._train_network = self._build_train() if optimizer is not None else network if self._trains_itself() else None
        self._eval_network = self._build_eval(eval_network)

    def _trains_itself(self):
        """Whether the network is a step with an optimizer of its own, as nn.TrainOneStepCell is; its optimizer is kept."""
        if self._loss_fn is not None:
            return False
        from rutile.experimental.optim import Optimizer
        kinds = (nn.Optimizer, Optimizer)
        held = (v for _, cell in self._network.cells_and_names() for v in (cell, *vars(cell).values()))
        self._optimizer = next((v for v in held if isinstance(v, kinds)), None)
        return self._optimizer is not None

    def _build_train(self):
        network = nn.WithLossCell(self._network, self._loss_fn) if self._loss_fn is not None else self._network
        return _amp.training_step(network, self._optimizer, self._scaler, "Model")

    def _build_eval(self, eval_network):
        if eval_network is not None:
            return eval_network
        if self._loss_fn is None and any(not isinstance(m, Loss) and not m.indexes for m in self._metrics.values()):
            raise _errors.ValueError(f"[Model] {', '.join(self._metrics)} compare outputs with labels: metrics need a loss_fn or an "
                                     "eval_network that returns both")
        if not self._metrics or self._loss_fn is None:
            return self._network
        return nn.WithEvalCell(self._network, self._loss_fn, self._amp_level != "O0")

    @property
    def train_network(self):
        """The training step."""
        return self._train_network

    @property
    def eval_network(self):
        """What eval() calls."""
        return self._eval_network

    @property
    def predict_network(self):
        """The network."""
        return self._network

    def train(self, epoch, train_dataset, callbacks=None, dataset_sink_mode=False, sink_size=-1, initial_epoch=0):
        """Trains for epochs initial_epoch + 1 to epoch. Returns a History with each epoch's last loss.

        With dataset_sink_mode a positive sink_size is the number of steps of an epoch: each goes on in the dataset where
        the last one ended, through its end as often as it takes. Callbacks see each step.
        """
        return self._fit(epoch, train_dataset, None, 1, callbacks, initial_epoch, _check_sinking(dataset_sink_mode, sink_size))

    def fit(self, epoch, train_dataset, valid_dataset=None, valid_frequency=1, callbacks=None,
            dataset_sink_mode=False, valid_dataset_sink_mode=False, sink_size=-1, initial_epoch=0):
        """Trains and evaluates every valid_frequency epochs (or in the epochs of a list)."""
        if valid_dataset is not None and not self._metrics:
            raise _errors.ValueError("[Model] fit evaluates by metrics; none were given")
        return self._fit(epoch, train_dataset, valid_dataset, valid_frequency, callbacks, initial_epoch,
                         _check_sinking(dataset_sink_mode, sink_size))

    def _fit(self, epoch, dataset, valid, frequency, callbacks, initial_epoch, limit):
        if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch <= 0:
            kind = _errors.ValueError if type(epoch) is int else _errors.TypeError
            raise kind(f"[Model] epoch must be a positive int, got {epoch!r}")
        if isinstance(initial_epoch, bool) or not isinstance(initial_epoch, int):
            raise _errors.TypeError(f"[Model] initial_epoch must be an int, got {type(initial_epoch).__name__}")
        if not 0 <= initial_epoch < epoch:
            raise _errors.ValueError(f"[Model] initial_epoch {initial_epoch} must be below epoch {epoch}")
        if self._train_network is None:
            raise _errors.ValueError("[Model] training needs an optimizer")
        if isinstance(dataset, Tensor) or type(dataset).__module__ == "numpy":
            raise _errors.TypeError(f"[Model] a dataset gives batches of columns, got {type(dataset).__name__}: "
                                    "dataset.NumpySlicesDataset({'data': x, 'label': y}).batch(n)")
        history = History()
        callbacks = callbacks if isinstance(callbacks, (list, tuple)) else [] if callbacks is None else [callbacks]
        call = _Callbacks([history, *callbacks])
        call.show_progress()
        batch_num = _count(dataset) if limit < 0 else limit
        args = InternalCallbackParam(
            network=self._network, train_network=self._train_network, loss_fn=self._loss_fn, optimizer=self._optimizer,
            batch_num=batch_num, epoch_num=epoch, cur_epoch_num=initial_epoch, mode="train", net_outputs=None,
            cur_step_num=initial_epoch * batch_num, train_dataset=dataset, valid_dataset=valid, train_dataset_element=None,
            dataset_sink_mode=False, eval_results={}, metrics={}, list_callback=callbacks, parallel_mode="stand_alone",
            device_number=1, loss_scale_mananger=self._scaler, eval_network=self._eval_network)
        context = RunContext(args)
        self._train_network.set_train()
        with call:
            self._epochs(range(initial_epoch + 1, epoch + 1), limit, frequency, call, context)
        return history

    def _epochs(self, numbers, limit, frequency, call, context):
        args = context.original_args()
        dataset, valid = args.train_dataset, args.valid_dataset
        call("on_train_begin", context)
        # A callback may have put the steps of an earlier run in place.
        whole, skipped = divmod(args.cur_step_num, args.batch_num) if args.batch_num else (0, 0)
        numbers = range(max(numbers[0], whole + 1), numbers[-1] + 1)
        if limit > 0:
            epochs = _sunk(dataset, limit, (numbers[0] - 1) * limit) if numbers else ()
        else:
            data = _open(dataset, numbers[0] - 1) if numbers else None
            epochs = (_batches(data) for _ in numbers)
        for number, batches in zip(numbers, epochs):
            args.cur_epoch_num, args.eval_results, args.metrics = number, {}, {}
            call("on_train_epoch_begin", context)
            self._epoch(batches, args.batch_num, args, call, context, skipped)
            skipped = 0
            due = number in frequency if isinstance(frequency, (list, tuple)) else number % frequency == 0
            if valid is not None and due:
                args.metrics, args.eval_results = self._evaluate(valid, call.of_eval(), args.cur_epoch_num, True)
                self._train_network.set_train()
            call("on_train_epoch_end", context)
            if limit < 0:
                _reset(dataset)
            if context.get_stop_requested():
                break
        call("on_train_end", context)

    def _epoch(self, batches, batch_num, args, call, context, skipped=0):
        for i, batch in enumerate(batches):
            if i == batch_num:
                break
            if i < skipped:
                continue
            if self._loss_fn is not None and len(batch) != 2:
                raise _errors.ValueError(f"[Model] with a loss_fn a batch is (data, label), got {len(batch)} entries")
            if self._loss_fn is None and i == skipped:
                self._check_columns(batch)
            args.cur_step_num += 1
            args.train_dataset_element = batch
            call("on_train_step_begin", context)
            args.net_outputs = self._train_network(*batch)
            call("on_train_step_end", context)
            if context.get_stop_requested():
                break

    def _check_columns(self, batch):
        import inspect
        try:
            inspect.signature(self._network.construct).bind(*batch)
        except TypeError as e:
            raise _errors.TypeError(f"[Model] without a loss_fn {type(self._network).__name__}.construct() takes all {len(batch)} columns "
                                    f"of the dataset and returns the loss: {e}") from None

    def eval(self, valid_dataset, callbacks=None, dataset_sink_mode=False):
        """The metrics over a dataset, by their names."""
        if not self._metrics:
            raise _errors.ValueError("[Model] eval needs metrics")
        return self._evaluate(valid_dataset, callbacks, 1)[0]

    def _evaluate(self, valid_dataset, callbacks, epoch, entered=False):
        """(metrics, metrics with "eval_loss"); entered: the callbacks are those of fit(), within it."""
        call = _Callbacks(callbacks)
        args = InternalCallbackParam(
            network=self._network, eval_network=self._eval_network, batch_num=_count(valid_dataset), mode="eval",
            cur_step_num=0, cur_epoch_num=epoch, epoch_num=1, net_outputs=None, valid_dataset=valid_dataset, metrics={},
            eval_results={}, dataset_sink_mode=False, list_callback=callbacks, eval_dataset_element=None,
            train_network=self._train_network, optimizer=self._optimizer, loss_fn=self._loss_fn)
        context = RunContext(args)
        was_training = self._network.training
        self._eval_network.set_train(False)
        for m in self._metrics.values():
            m.clear()
        try:
            if entered:
                self._eval_epoch(call, context)
            else:
                with call:
                    self._eval_epoch(call, context)
        finally:
            self._network.set_train(was_training)
        return args.metrics, args.eval_results

    def _eval_epoch(self, call, context):
        args, losses = context.original_args(), Loss()
        call("on_eval_begin", context)
        call("on_eval_epoch_begin", context)
        for batch in _batches(args.valid_dataset):
            args.cur_step_num += 1
            args.eval_dataset_element = batch
            call("on_eval_step_begin", context)
            args.net_outputs = self._eval_network(*batch)
            self._update(args.net_outputs, losses)
            call("on_eval_step_end", context)
            if context.get_stop_requested():
                break
        call("on_eval_epoch_end", context)
        _reset(args.valid_dataset)
        args.metrics = {name: m.eval() for name, m in self._metrics.items()}
        args.eval_results = dict(args.metrics)
        if losses._n and "eval_loss" not in args.eval_results:
            args.eval_results["eval_loss"] = losses.eval()
        call("on_eval_end", context)

    def _update(self, outputs, losses):
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        at = self._eval_indexes[0] if self._eval_indexes is not None and len(self._eval_indexes) == 3 else 0
        if (self._eval_indexes is not None or self._loss_fn is not None) and outputs[at].ndim < 2:
            losses.update(outputs[at])
        for m in self._metrics.values():
            if m.indexes:
                m.update(*outputs)
            elif self._eval_indexes is not None and len(self._eval_indexes) == 3:
                loss, y, label = self._eval_indexes
                m.update(*([outputs[loss]] if isinstance(m, Loss) else [outputs[y], outputs[label]]))
            elif isinstance(m, Loss) and self._loss_fn is not None:
                m.update(outputs[0])
            else:
                m.update(*(outputs[1:] if self._loss_fn is not None and len(outputs) == 3 else outputs))

    def predict(self, *predict_data, backend=None):
        """The network's outputs in evaluation mode."""
        was_training = self._network.training
        self._network.set_train(False)
        try:
            return self._network(*predict_data)
        finally:
            self._network.set_train(was_training)

    def build(self, train_dataset=None, valid_dataset=None, sink_size=-1, epoch=1, sink_mode=True):
        """Compiles the training step and the evaluation for the first batches of these datasets, without running them;
        in PYNATIVE_MODE there is nothing to compile."""
        for dataset, network, training in ((train_dataset, self._train_network, True),
                                           (valid_dataset, self._eval_network, False)):
            if dataset is None:
                continue
            if network is None:
                raise _errors.ValueError("[Model] training needs an optimizer")
            if _context.get_context("mode") == _context.GRAPH_MODE:
                network.set_train(training)
                network.compile(*next(iter(_batches(dataset))))

    def infer_train_layout(self, train_dataset, dataset_sink_mode=True, sink_size=-1):
        """How parameters lie on several devices: there is one, UnsupportedError."""
        raise _errors.UnsupportedError("[Model] parameters lie on one device: there are no layouts to infer")

    def infer_predict_layout(self, *predict_data, skip_backend_compile=False):
        """How parameters lie on several devices: there is one, UnsupportedError."""
        raise _errors.UnsupportedError("[Model] parameters lie on one device: there are no layouts to infer")
