# SPDX-License-Identifier: Apache-2.0
"""What the metrics share."""

import functools as _functools

from rutile import _rutile
from rutile._rutile import Tensor

_errors = _rutile.errors


def array(x, name="Metric"):
    """A Tensor, list or array as an array."""
    import numpy as np
    if isinstance(x, Tensor):
        return x.asnumpy()
    if isinstance(x, (list, tuple, np.ndarray, np.generic, int, float)):
        return np.asarray(x)
    raise _errors.TypeError(f"[{name}] takes Tensors, lists and arrays, got {type(x).__name__}")


def rearrange_inputs(func):
    """Decorates update(): it gets those of its arguments that set_indexes() names."""

    @_functools.wraps(func)
    def update(self, *inputs):
        indexes = self.indexes
        return func(self, *([inputs[i] for i in indexes] if indexes else inputs))

    return update


class Metric:
    """A number about outputs and labels: clear(), update(outputs, labels) for each batch, eval()."""

    def __init__(self):
        self._indexes = None

    @property
    def indexes(self):
        """Which of update's arguments are used; None: all."""
        return getattr(self, "_indexes", None)

    def set_indexes(self, indexes):
        """Uses these of update's arguments; returns the metric."""
        if not isinstance(indexes, list) or not all(isinstance(i, int) for i in indexes):
            raise _errors.ValueError(f"[{type(self).__name__}] indexes must be a list of int, got {indexes!r}")
        self._indexes = indexes
        return self

    def __call__(self, *inputs):
        self.clear()
        self.update(*inputs)
        return self.eval()

    def _convert_data(self, data):
        return array(data, type(self).__name__)

    def _inputs(self, inputs, n):
        if len(inputs) != n:
            raise _errors.ValueError(f"[{type(self).__name__}] update takes {n} arguments, got {len(inputs)}")
        return [self._convert_data(x) for x in inputs]

    def _some(self, n):
        if not n:
            raise _errors.RuntimeError(f"[{type(self).__name__}] there are no samples: update() was not called")

    def clear(self):
        """Forgets what was seen."""
        raise NotImplementedError

    def update(self, *inputs):
        """Takes a batch in."""
        raise NotImplementedError

    def eval(self):
        """The number for all batches."""
        raise NotImplementedError


class EvaluationBase(Metric):
    """A metric of classes or, with eval_type "multilabel", of several yes and no per sample."""

    def __init__(self, eval_type):
        super().__init__()
        if eval_type not in ("classification", "multilabel"):
            raise _errors.TypeError(f"[{type(self).__name__}] eval_type is 'classification' or 'multilabel', "
                                    f"got {eval_type!r}")
        self._type, self._class_num = eval_type, 0

    def _pair(self, inputs):
        """(outputs, labels) of a batch, checked; one-hot labels as classes."""
        y_pred, y = self._inputs(inputs, 2)
        name = type(self).__name__
        if self._type == "classification":
            y = classes(y_pred, y)
            if y_pred.ndim != y.ndim + 1 or y.shape != y_pred.shape[:1] + y_pred.shape[2:]:
                raise _errors.ValueError(f"[{name}] outputs {y_pred.shape} do not go with labels {y.shape}")
        else:
            if y_pred.shape != y.shape:
                raise _errors.ValueError(f"[{name}] outputs {y_pred.shape} and labels {y.shape} differ in shape")
            if not ((y_pred ** 2 == y_pred).all() and (y ** 2 == y).all()):
                raise _errors.ValueError(f"[{name}] outputs and labels of several labels are 0 or 1")
        self._same_classes(y_pred, y if self._type == "classification" else None)
        return y_pred, y

    def _same_classes(self, y_pred, y):
        name, n = type(self).__name__, y_pred.shape[1]
        if self._class_num not in (0, n):
            raise _errors.ValueError(f"[{name}] {n} classes after a batch of {self._class_num}")
        if y is not None and y.size and y.max() >= n:
            raise _errors.ValueError(f"[{name}] label {y.max()} is out of range for {n} classes")
        self._class_num = n


def classes(y_pred, y):
    """Rows of one-hot labels as classes; what is none as it is."""
    one_hot = y_pred.ndim == y.ndim and y.ndim > 1 and (y ** 2 == y).all() and (y.sum(1) == 1).all()
    return y.argmax(1) if one_hot else y
