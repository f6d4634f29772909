# SPDX-License-Identifier: Apache-2.0
"""The receiver operating characteristic and areas under curves."""

from rutile import _rutile
from rutile.train.metrics._base import Metric, rearrange_inputs

_errors = _rutile.errors

__all__ = ["ROC", "auc"]


class ROC(Metric):
    """(false positive rates, true positive rates, thresholds) of scores against labels; of several classes lists.

    Scores [n] against labels of which pos_label (1) is the positive one, or [n, class_num] against classes.

    >>> from rutile.train import ROC
    >>> fpr, tpr, thresholds = ROC(pos_label=1)([3.0, 1.0, 4.0, 2.0], [0, 1, 0, 1])
    >>> fpr.tolist(), tpr.tolist(), thresholds.tolist()
    ([0.0, 0.5, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.5, 1.0], [5.0, 4.0, 3.0, 2.0, 1.0])
    """

    def __init__(self, class_num=None, pos_label=None):
        super().__init__()
        for key, value in (("class_num", class_num), ("pos_label", pos_label)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise _errors.TypeError(f"[ROC] {key} must be an int, got {value!r}")
        self.class_num, self.pos_label = class_num, pos_label
        self.clear()

    def clear(self):
        """Forgets what was seen."""
        self.y_pred, self.y, self._is_update = 0, 0, False

    @rearrange_inputs
    def update(self, *inputs):
        """Takes scores and labels in; those of the last batch count."""
        y_pred, y = self._inputs(inputs, 2)
        if y_pred.ndim == y.ndim:
            if self.class_num not in (None, 1):
                raise _errors.ValueError(f"[ROC] scores and labels of one shape have one class, not {self.class_num}")
            self.class_num, self.pos_label = 1, 1 if self.pos_label is None else self.pos_label
            y_pred = y_pred.reshape(-1)
        elif y_pred.ndim == y.ndim + 1:
            if self.pos_label is not None:
                raise _errors.ValueError("[ROC] pos_label goes with scores of one class")
            if self.class_num != y_pred.shape[1]:
                raise _errors.ValueError(f"[ROC] class_num is {self.class_num}, scores are of {y_pred.shape[1]} classes")
            y_pred = y_pred.swapaxes(0, 1).reshape(self.class_num, -1).swapaxes(0, 1)
        else:
            raise _errors.ValueError(f"[ROC] scores {y_pred.shape} do not go with labels {y.shape}")
        self.y_pred, self.y, self._is_update = y_pred, y.reshape(-1), True

    def eval(self):
        """The curve, or a list of each of its three parts per class."""
        self._some(self._is_update)
        if self.class_num == 1:
            return _curve(self.y_pred, self.y == self.pos_label)
        return tuple(list(x) for x in zip(*(_curve(self.y_pred[:, c], self.y == c) for c in range(self.class_num))))


def _curve(scores, positive):
    """The rates at each different score, from the largest down."""
    import numpy as np
    order = np.argsort(-scores, kind="stable")
    scores, positive = scores[order], positive[order].astype(np.int64)
    last = np.append(np.where(np.diff(scores))[0], len(scores) - 1)
    true = np.append(0, np.cumsum(positive)[last])
    false = np.append(0, 1 + last) - true
    for n, what in ((false[-1], "negative"), (true[-1], "positive")):
        if n <= 0:
            raise _errors.ValueError(f"[ROC] there are no {what} samples")
    return false / false[-1], true / true[-1], np.append(scores[0] + 1, scores[last])


def auc(x, y, reorder=False):
    """The area under a curve, by trapezoids; reorder sorts by x first.

    >>> import numpy as np
    >>> from rutile.train import auc
    >>> float(auc(np.array([0.0, 0.5, 1.0]), np.array([0.0, 1.0, 1.0])))
    0.75
    """
    import numpy as np
    if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray):
        raise _errors.TypeError(f"[auc] takes arrays, got {type(x).__name__} and {type(y).__name__}")
    for a in (x, y):
        if not (a.ndim == 1 or (a.ndim == 2 and a.shape[1] == 1)):
            raise _errors.ValueError(f"[auc] takes vectors, got {a.shape}")
    x, y = x.reshape(-1), y.reshape(-1)
    if len(x) != len(y) or len(x) < 2:
        raise _errors.ValueError(f"[auc] takes vectors of one length of at least 2, got {len(x)} and {len(y)}")
    if reorder:
        order = np.lexsort((y, x))
        x, y = x[order], y[order]
    dx = np.diff(x)
    if (dx < 0).any() and (dx > 0).any():
        raise _errors.ValueError("[auc] x must rise or fall all along")
    return (dx * (y[1:] + y[:-1]) / 2).sum() * (-1 if (dx < 0).any() else 1)
