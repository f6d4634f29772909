# SPDX-License-Identifier: Apache-2.0
"""Metrics: clear(), update(outputs, labels) for each batch, eval()."""

from rutile import _rutile
from rutile._rutile import Tensor

_errors = _rutile.errors

__all__ = ["Accuracy", "Loss", "MAE", "MSE", "Metric", "Top1CategoricalAccuracy", "Top5CategoricalAccuracy",
           "TopKCategoricalAccuracy", "get_metric_fn", "get_metrics", "names"]


def _array(x):
    import numpy as np
    return x.asnumpy() if isinstance(x, Tensor) else np.asarray(x)


class Metric:
    """A number about outputs and labels."""

    def __init__(self):
        self._indexes = None
        self.clear()

    @property
    def indexes(self):
        """Which of update's arguments are used; None: the first ones."""
        return self._indexes

    def set_indexes(self, indexes):
        """Uses these of update's arguments; returns the metric."""
        self._indexes = list(indexes)
        return self

    def _inputs(self, inputs, n):
        inputs = [inputs[i] for i in self._indexes] if self._indexes else inputs
        if len(inputs) != n:
            raise _errors.ValueError(f"[{type(self).__name__}] update takes {n} arguments, got {len(inputs)}")
        return [_array(x) for x in inputs]

    def clear(self):
        """Forgets what was seen."""
        raise NotImplementedError

    def update(self, *inputs):
        """Takes a batch in."""
        raise NotImplementedError

    def eval(self):
        """The number for all batches."""
        raise NotImplementedError


class _Mean(Metric):
    """A sum over samples divided by their number."""

    def clear(self):
        self._sum, self._n = 0.0, 0

    def eval(self):
        if self._n == 0:
            raise _errors.RuntimeError(f"[{type(self).__name__}] there are no samples: update() was not called")
        return self._sum / self._n


class Accuracy(_Mean):
    """The part of right answers: outputs [n, c] against classes or rows of one-hot labels; eval_type "multilabel": all
    of a row's labels must be right."""

    def __init__(self, eval_type="classification"):
        super().__init__()
        if eval_type not in ("classification", "multilabel"):
            raise _errors.TypeError(f"[Accuracy] eval_type is 'classification' or 'multilabel', got {eval_type!r}")
        self.eval_type = eval_type

    def update(self, *inputs):
        y, labels = self._inputs(inputs, 2)
        if self.eval_type == "multilabel":
            if y.shape != labels.shape:
                raise _errors.ValueError(f"[Accuracy] outputs {y.shape} and labels {labels.shape} differ in shape")
            right = (y == labels).reshape(len(y), -1).all(1)
        else:
            labels = labels.argmax(1) if labels.ndim == y.ndim and labels.ndim > 1 else labels
            if y.ndim != labels.ndim + 1 or len(y) != len(labels):
                raise _errors.ValueError(f"[Accuracy] outputs {y.shape} do not go with labels {labels.shape}")
            right = y.argmax(1) == labels
        self._sum += float(right.sum())
        self._n += right.size


class TopKCategoricalAccuracy(_Mean):
    """The part of samples whose class is among the k largest outputs."""

    def __init__(self, k):
        super().__init__()
        if isinstance(k, bool) or not isinstance(k, int) or k <= 0:
            raise _errors.ValueError(f"[TopKCategoricalAccuracy] k must be a positive int, got {k!r}")
        self.k = k

    def update(self, *inputs):
        y, labels = self._inputs(inputs, 2)
        labels = labels.argmax(1) if labels.ndim == y.ndim else labels
        best = (-y).argsort(1, kind="stable")[:, :self.k]
        self._sum += float((best == labels.reshape(-1, 1)).any(1).sum())
        self._n += len(y)


class Top1CategoricalAccuracy(TopKCategoricalAccuracy):
    """TopKCategoricalAccuracy(1)"""

    def __init__(self):
        super().__init__(1)


class Top5CategoricalAccuracy(TopKCategoricalAccuracy):
    """TopKCategoricalAccuracy(5)"""

    def __init__(self):
        super().__init__(5)


class MAE(_Mean):
    """The sum of |outputs - labels| per sample, over the number of samples."""

    def update(self, *inputs):
        y, labels = self._inputs(inputs, 2)
        self._sum += float(abs(y - labels.reshape(y.shape)).sum())
        self._n += len(y)


class MSE(_Mean):
    """The sum of (outputs - labels)^2 per sample, over the number of samples."""

    def update(self, *inputs):
        y, labels = self._inputs(inputs, 2)
        self._sum += float(((y - labels.reshape(y.shape)) ** 2).sum())
        self._n += len(y)


class Loss(_Mean):
    """The mean of the losses."""

    def update(self, *inputs):
        (loss,) = self._inputs(inputs, 1)
        self._sum += float(loss.mean())
        self._n += 1


_NAMES = {"acc": Accuracy, "accuracy": Accuracy, "loss": Loss, "mae": MAE, "mse": MSE, "topk": TopKCategoricalAccuracy,
          "top_1_accuracy": Top1CategoricalAccuracy, "top_5_accuracy": Top5CategoricalAccuracy}


def names():
    """The names that Model's metrics may have."""
    return sorted(_NAMES)


def get_metric_fn(name, *args, **kwargs):
    """A new metric by its name."""
    if name not in _NAMES:
        raise _errors.ValueError(f"there is no metric {name!r}; known are {names()}")
    return _NAMES[name](*args, **kwargs)


def get_metrics(metrics):
    """Metrics by name, from a dict of metrics (or their names) or a set of names."""
    if metrics is None:
        return {}
    if isinstance(metrics, dict):
        found = {k: get_metric_fn(m) if isinstance(m, str) else m for k, m in metrics.items()}
    elif isinstance(metrics, (set, list, tuple)):
        found = {m: get_metric_fn(m) for m in metrics}
    else:
        raise _errors.TypeError(f"metrics are a dict or a set of names, got {type(metrics).__name__}")
    for name, m in found.items():
        if not isinstance(m, Metric):
            raise _errors.TypeError(f"metric {name} must be a Metric, got {type(m).__name__}")
    return found
