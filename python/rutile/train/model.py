# SPDX-License-Identifier: Apache-2.0
"""Model: trains, evaluates and predicts with a network."""

import types as _types

from rutile import _rutile
from rutile import nn
from rutile._rutile import Tensor
from rutile.train.callback import Callback, History, RunContext
from rutile.train.loss_scale_manager import LossScaleManager
from rutile.train.metrics import Loss, get_metrics

_errors = _rutile.errors


def _batches(dataset):
    """The batches as tuples of Tensors, from a dataset with create_tuple_iterator or any iterable of tuples."""
    if hasattr(dataset, "create_tuple_iterator"):
        dataset = dataset.create_tuple_iterator(num_epochs=1)
    for batch in dataset:
        batch = tuple(batch.values()) if isinstance(batch, dict) else batch
        batch = batch if isinstance(batch, (tuple, list)) else (batch,)
        yield tuple(x if isinstance(x, Tensor) else Tensor(x) for x in batch)


def _count(dataset):
    for name in ("get_dataset_size", "__len__"):
        if hasattr(dataset, name):
            return int(getattr(dataset, name)())
    raise _errors.TypeError(f"a dataset has get_dataset_size() or a length, {type(dataset).__name__} has neither")


class _Callbacks:
    def __init__(self, callbacks):
        callbacks = [] if callbacks is None else [callbacks] if isinstance(callbacks, Callback) else list(callbacks)
        for c in callbacks:
            if not isinstance(c, Callback):
                raise _errors.TypeError(f"callbacks must be Callbacks, got {type(c).__name__}")
        self._all = callbacks

    def __call__(self, event, context):
        for c in self._all:
            getattr(c, event)(context)


class Model:
    """A network with its loss, optimizer and metrics.

    train(epoch, dataset, callbacks), eval(dataset), fit(epoch, train_dataset, valid_dataset), predict(data). A dataset
    gives batches (data, label): one with create_tuple_iterator and get_dataset_size, or any sized iterable of tuples.
    Without loss_fn the network itself gives the loss. metrics: a set of names or a dict of names and metrics. In
    GRAPH_MODE a step is one compiled graph. amp_level "O0" computes in full precision, "O2", "O3" and "auto" in float16
    where that is safe.

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
                 amp_level="O0", boost_level="O0", loss_scale_manager=None, keep_batchnorm_fp32=None):
        for name, value, kind in (("network", network, nn.Cell), ("loss_fn", loss_fn, nn.Cell),
                                  ("optimizer", optimizer, nn.Optimizer), ("eval_network", eval_network, nn.Cell),
                                  ("loss_scale_manager", loss_scale_manager, LossScaleManager)):
            if (value is not None or name == "network") and not isinstance(value, kind):
                raise _errors.TypeError(f"[Model] {name} must be a {kind.__name__}, got {type(value).__name__}")
        if amp_level not in ("O0", "O2", "O3", "auto"):
            raise _errors.ValueError(f"[Model] amp_level is 'O0', 'O2', 'O3' or 'auto', got {amp_level!r}")
        if boost_level != "O0":
            raise _errors.UnsupportedError(f"[Model] boost_level is 'O0', got {boost_level!r}")
        self._network, self._loss_fn, self._optimizer = network, loss_fn, optimizer
        self._metrics, self._scaler = get_metrics(metrics), loss_scale_manager
        self._eval_indexes = eval_indexes
        if amp_level != "O0":
            from rutile.dtype import float16
            network.to_float(float16)
            if loss_fn is not None:
                from rutile.dtype import float32
                loss_fn.to_float(float32)
        self._train_network = self._build_train() if optimizer is not None else None
        self._eval_network = self._build_eval(eval_network)

    def _build_train(self):
        network = nn.WithLossCell(self._network, self._loss_fn) if self._loss_fn is not None else self._network
        if self._scaler is None:
            return nn.TrainOneStepCell(network, self._optimizer).set_train()
        update = self._scaler.get_update_cell()
        if update is not None:
            if self._optimizer.loss_scale != 1.0:
                raise _errors.ValueError("[Model] the loss is scaled and unscaled by the step: the optimizer's loss_scale "
                                         f"must be 1, got {self._optimizer.loss_scale}")
            return nn.TrainOneStepWithLossScaleCell(network, self._optimizer, update).set_train()
        return nn.TrainOneStepCell(network, self._optimizer, self._scaler.get_loss_scale()).set_train()

    def _build_eval(self, eval_network):
        if eval_network is not None:
            return eval_network
        if not self._metrics or self._loss_fn is None:
            return self._network
        return nn.WithEvalCell(self._network, self._loss_fn)

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

        dataset_sink_mode changes nothing on the CPU. sink_size limits the steps of an epoch where it is positive.
        """
        return self._fit(epoch, train_dataset, None, 1, callbacks, initial_epoch,
                         sink_size if dataset_sink_mode else -1)

    def fit(self, epoch, train_dataset, valid_dataset=None, valid_frequency=1, callbacks=None,
            dataset_sink_mode=False, valid_dataset_sink_mode=False, sink_size=-1, initial_epoch=0):
        """Trains and evaluates every valid_frequency epochs (or in the epochs of a list)."""
        if valid_dataset is not None and not self._metrics:
            raise _errors.ValueError("[Model] fit evaluates by metrics; none were given")
        return self._fit(epoch, train_dataset, valid_dataset, valid_frequency, callbacks, initial_epoch,
                         sink_size if dataset_sink_mode else -1)

    def _fit(self, epoch, dataset, valid, frequency, callbacks, initial_epoch, limit):
        if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch <= 0:
            raise _errors.ValueError(f"[Model] epoch must be a positive int, got {epoch!r}")
        if not 0 <= initial_epoch < epoch:
            raise _errors.ValueError(f"[Model] initial_epoch {initial_epoch} must be below epoch {epoch}")
        if self._train_network is None:
            raise _errors.ValueError("[Model] training needs an optimizer")
        history = History()
        callbacks = callbacks if isinstance(callbacks, (list, tuple)) else [] if callbacks is None else [callbacks]
        call = _Callbacks([history, *callbacks])
        batch_num = _count(dataset) if limit <= 0 else min(limit, _count(dataset))
        args = _types.SimpleNamespace(
            network=self._network, train_network=self._train_network, loss_fn=self._loss_fn, optimizer=self._optimizer,
            batch_num=batch_num, epoch_num=epoch, cur_epoch_num=initial_epoch, mode="train", net_outputs=None,
            cur_step_num=initial_epoch * batch_num, train_dataset=dataset, valid_dataset=valid, train_dataset_element=None,
            dataset_sink_mode=False, eval_results={}, metrics=self._metrics, list_callback=callbacks)
        context = RunContext(args)
        self._train_network.set_train()
        call("on_train_begin", context)
        for number in range(initial_epoch + 1, epoch + 1):
            args.cur_epoch_num, args.eval_results = number, {}
            call("on_train_epoch_begin", context)
            for i, batch in enumerate(_batches(dataset)):
                if i == batch_num:
                    break
                args.cur_step_num += 1
                args.train_dataset_element = batch
                call("on_train_step_begin", context)
                args.net_outputs = self._train_network(*batch)
                call("on_train_step_end", context)
                if context.get_stop_requested():
                    break
            due = number in frequency if isinstance(frequency, (list, tuple)) else number % frequency == 0
            if valid is not None and due:
                args.eval_results = self.eval(valid)
                self._train_network.set_train()
            call("on_train_epoch_end", context)
            if context.get_stop_requested():
                break
        call("on_train_end", context)
        return history

    def eval(self, valid_dataset, callbacks=None, dataset_sink_mode=False):
        """The metrics over a dataset, by their names."""
        if not self._metrics:
            raise _errors.ValueError("[Model] eval needs metrics")
        call = _Callbacks(callbacks)
        args = _types.SimpleNamespace(
            network=self._network, eval_network=self._eval_network, batch_num=_count(valid_dataset), mode="eval",
            cur_step_num=0, cur_epoch_num=1, epoch_num=1, net_outputs=None, valid_dataset=valid_dataset, metrics={},
            eval_results={}, dataset_sink_mode=False)
        context = RunContext(args)
        was_training = self._network.training
        self._eval_network.set_train(False)
        for m in self._metrics.values():
            m.clear()
        call("on_eval_begin", context)
        call("on_eval_epoch_begin", context)
        for batch in _batches(valid_dataset):
            args.cur_step_num += 1
            call("on_eval_step_begin", context)
            args.net_outputs = self._eval_network(*batch)
            self._update(args.net_outputs)
            call("on_eval_step_end", context)
        args.metrics = args.eval_results = {name: m.eval() for name, m in self._metrics.items()}
        call("on_eval_epoch_end", context)
        call("on_eval_end", context)
        self._network.set_train(was_training)
        return args.metrics

    def _update(self, outputs):
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        for m in self._metrics.values():
            if self._eval_indexes is not None and len(self._eval_indexes) == 3:
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
