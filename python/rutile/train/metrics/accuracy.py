# SPDX-License-Identifier: Apache-2.0
"""Metrics of right answers: Accuracy, the top k, precision, recall and F-scores."""

import sys as _sys

from rutile import _rutile
from rutile.train.metrics._base import EvaluationBase, Metric, classes, rearrange_inputs

_errors = _rutile.errors

__all__ = ["Accuracy", "F1", "Fbeta", "Precision", "Recall", "Top1CategoricalAccuracy", "Top5CategoricalAccuracy",
           "TopKCategoricalAccuracy"]

# The smallest that a division by nothing is replaced with.
_EPS = _sys.float_info.min


class Accuracy(EvaluationBase):
    """The part of right answers: outputs [n, c, ...] against classes [n, ...] or one-hot labels; eval_type
    "multilabel": all of a row's labels must be right.

    >>> from rutile.train import Accuracy
    >>> acc = Accuracy()
    >>> acc.update([[0.2, 0.8], [0.6, 0.4], [0.9, 0.1]], [1, 0, 1])
    >>> round(acc.eval(), 4)
    0.6667
    """

    def __init__(self, eval_type="classification"):
        super().__init__(eval_type)
        self.clear()

    def clear(self):
        """Forgets what was seen."""
        self._correct_num, self._total_num, self._class_num = 0, 0, 0

    @rearrange_inputs
    def update(self, *inputs):
        """Takes outputs and labels in."""
        y_pred, y = self._pair(inputs)
        if self._type == "classification":
            right = (y_pred.argmax(1) == y).reshape(-1)
        else:
            rows = [a.swapaxes(1, a.ndim - 1).reshape(-1, self._class_num) for a in (y_pred, y)]
            right = (rows[0] == rows[1]).all(1)
        self._correct_num += int(right.sum())
        self._total_num += right.size

    def eval(self):
        """The part of right answers."""
        self._some(self._total_num)
        return self._correct_num / self._total_num


class TopKCategoricalAccuracy(Metric):
    """The part of samples whose class is among the k largest outputs.

    >>> from rutile.train import TopKCategoricalAccuracy
    >>> TopKCategoricalAccuracy(2)([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], [1, 0])
    0.5
    """

    def __init__(self, k):
        super().__init__()
        if isinstance(k, bool) or not isinstance(k, int):
            raise _errors.TypeError(f"[{type(self).__name__}] k must be an int, got {k!r}")
        if k < 1:
            raise _errors.ValueError(f"[{type(self).__name__}] k must be at least 1, got {k}")
        self.k = k
        self.clear()

    def clear(self):
        """Forgets what was seen."""
        self._correct_num, self._samples_num = 0, 0

    @rearrange_inputs
    def update(self, *inputs):
        """Takes outputs and labels in."""
        y_pred, y = self._inputs(inputs, 2)
        best = (-y_pred).argsort(1, kind="stable")[:, :self.k]
        y = classes(y_pred, y).reshape(-1, 1)
        self._correct_num += int((best == y).any(1).sum())
        self._samples_num += len(y)

    def eval(self):
        """The part of samples."""
        self._some(self._samples_num)
        return self._correct_num / self._samples_num


class Top1CategoricalAccuracy(TopKCategoricalAccuracy):
    """TopKCategoricalAccuracy(1)"""

    def __init__(self):
        super().__init__(1)


class Top5CategoricalAccuracy(TopKCategoricalAccuracy):
    """TopKCategoricalAccuracy(5)"""

    def __init__(self):
        super().__init__(5)


def _counts(y_pred, y, n, multilabel):
    """(right, predicted, actual) per class; of several labels per sample [c, n] columns."""
    import numpy as np
    if multilabel:
        y_pred, y = (a.swapaxes(1, 0).reshape(n, -1) for a in (y_pred, y))
    else:
        y, y_pred = np.eye(n)[y.reshape(-1)], np.eye(n)[y_pred.argmax(1).reshape(-1)]
    return (y * y_pred).sum(0), y_pred.sum(0), y.sum(0)


class _Ratio(EvaluationBase):
    """Right ones of those predicted or of those that are."""

    _of = 0

    def __init__(self, eval_type="classification"):
        super().__init__(eval_type)
        self.clear()

    def clear(self):
        """Forgets what was seen."""
        self._class_num, self._right, self._all = 0, [], []

    @rearrange_inputs
    def update(self, *inputs):
        """Takes outputs and labels in."""
        y_pred, y = self._pair(inputs)
        right, *both = _counts(y_pred, y, self._class_num, self._type == "multilabel")
        self._right.append(right)
        self._all.append(both[self._of])

    def eval(self, average=False):
        """One number per class (multilabel: per sample), with average their mean."""
        import numpy as np
        self._some(self._class_num)
        if not isinstance(average, bool):
            raise _errors.TypeError(f"[{type(self).__name__}] average must be a bool, got {average!r}")
        join = np.concatenate if self._type == "multilabel" else sum
        result = join(self._right) / (join(self._all) + _EPS)
        return result.mean() if average else result


class Precision(_Ratio):
    """Right ones of those predicted, per class.

    >>> from rutile.train import Precision
    >>> precision = Precision()
    >>> precision([[0.2, 0.8], [0.6, 0.4], [0.9, 0.1]], [1, 0, 1]).tolist()
    [0.5, 1.0]
    """


class Recall(_Ratio):
    """Right ones of those that are, per class.

    >>> from rutile.train import Recall
    >>> Recall()([[0.2, 0.8], [0.6, 0.4], [0.9, 0.1]], [1, 0, 1]).tolist()
    [1.0, 0.5]
    """

    _of = 1


class Fbeta(EvaluationBase):
    """(1 + beta^2) right / (beta^2 actual + predicted), per class.

    >>> from rutile.train import F1
    >>> F1()([[0.2, 0.8], [0.6, 0.4], [0.9, 0.1]], [1, 0, 1]).round(4).tolist()
    [0.6667, 0.6667]
    """

    def __init__(self, beta):
        super().__init__("classification")
        if beta <= 0:
            raise _errors.ValueError(f"[{type(self).__name__}] beta must be positive, got {beta}")
        self.beta = beta
        self.clear()

    def clear(self):
        """Forgets what was seen."""
        self._class_num, self._right, self._predicted, self._actual = 0, 0, 0, 0

    @rearrange_inputs
    def update(self, *inputs):
        """Takes outputs and labels in."""
        y_pred, y = self._pair(inputs)
        right, predicted, actual = _counts(y_pred, y, self._class_num, False)
        self._right, self._predicted, self._actual = (self._right + right, self._predicted + predicted,
                                                      self._actual + actual)

    def eval(self, average=False):
        """One number per class, with average their mean."""
        self._some(self._class_num)
        if not isinstance(average, bool):
            raise _errors.TypeError(f"[{type(self).__name__}] average must be a bool, got {average!r}")
        b = self.beta ** 2
        result = (1.0 + b) * self._right / (b * self._actual + self._predicted + _EPS)
        return result.mean() if average else result


class F1(Fbeta):
    """Fbeta(1)"""

    def __init__(self):
        super().__init__(1.0)
