# SPDX-License-Identifier: Apache-2.0
"""Confusion matrices and what is computed from them."""

from rutile import _rutile
from rutile.train.metrics._base import Metric, rearrange_inputs

_errors = _rutile.errors

__all__ = ["ConfusionMatrix", "ConfusionMatrixMetric"]


class ConfusionMatrix(Metric):
    """How often class j was predicted where class i was right, [num_classes, num_classes].

    Outputs are classes, or scores: [n, c, ...] (the largest counts), or one per sample (threshold). normalize: "no_norm",
    "target" (rows sum to one), "prediction" (columns do) or "all".

    >>> from rutile.train import ConfusionMatrix
    >>> ConfusionMatrix(2)([1, 0, 1, 0], [1, 0, 0, 1]).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """

    def __init__(self, num_classes, normalize="no_norm", threshold=0.5):
        super().__init__()
        if isinstance(num_classes, bool) or not isinstance(num_classes, int):
            raise _errors.TypeError(f"[ConfusionMatrix] num_classes must be an int, got {num_classes!r}")
        if normalize not in ("target", "prediction", "all", "no_norm"):
            raise _errors.ValueError(f"[ConfusionMatrix] normalize is 'target', 'prediction', 'all' or 'no_norm', got {normalize!r}")
        if not isinstance(threshold, float):
            raise _errors.TypeError(f"[ConfusionMatrix] threshold must be a float, got {threshold!r}")
        self.num_classes, self.normalize, self.threshold = num_classes, normalize, threshold
        self.clear()

    def clear(self):
        """Forgets what was seen."""
        import numpy as np
        self.confusion_matrix, self._is_update = np.zeros((self.num_classes, self.num_classes)), False

    @rearrange_inputs
    def update(self, *inputs):
        """Takes outputs and labels in."""
        import numpy as np
        y_pred, y = self._inputs(inputs, 2)
        if y_pred.ndim not in (y.ndim, y.ndim + 1):
            raise _errors.ValueError(f"[ConfusionMatrix] outputs {y_pred.shape} do not go with labels {y.shape}")
        if y_pred.ndim == y.ndim + 1:
            y_pred = y_pred.argmax(1)
        elif y_pred.dtype.kind == "f":
            y_pred = (y_pred >= self.threshold).astype(int)
        n = self.num_classes
        if y_pred.size != y.size or any(a.size and not 0 <= a.min() <= a.max() < n for a in (y, y_pred)):
            raise _errors.ValueError(f"[ConfusionMatrix] outputs {y_pred.shape} and labels {y.shape} must be as many "
                                     f"classes below {n}")
        places = (y.reshape(-1) * n + y_pred.reshape(-1)).astype(int)
        self.confusion_matrix += np.bincount(places, minlength=n * n).reshape(n, n)
        self._is_update = True

    def eval(self):
        """The matrix."""
        import numpy as np
        self._some(self._is_update)
        m = self.confusion_matrix.astype(float)
        if self.normalize == "no_norm":
            return m
        axis = {"target": 1, "prediction": 0, "all": None}[self.normalize]
        total = m.sum(axis=axis, keepdims=True)
        return np.divide(m, total, out=np.zeros_like(m), where=total != 0)


_NAMES = {
    "tpr": "sensitivity recall hit_rate true_positive_rate", "tnr": "specificity selectivity true_negative_rate",
    "ppv": "precision positive_predictive_value", "npv": "negative_predictive_value",
    "fnr": "miss_rate false_negative_rate", "fpr": "fall_out false_positive_rate", "fdr": "false_discovery_rate",
    "for": "false_omission_rate", "pt": "prevalence_threshold", "ts": "threat_score critical_success_index csi",
    "acc": "accuracy", "ba": "balanced_accuracy", "f1": "f1_score", "mcc": "matthews_correlation_coefficient",
    "fm": "fowlkes_mallows_index", "bm": "informedness bookmaker_informedness", "mk": "markedness deltap"}


def _short_name(name):
    name = name.replace(" ", "_").lower()
    for short, names in _NAMES.items():
        if name == short or name in names.split():
            return short
    raise _errors.UnsupportedError(f"[ConfusionMatrixMetric] there is no {name!r}; known are {sorted(_NAMES)}")


def _ratio(a, b):
    import numpy as np
    a, b = np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float))
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=b != 0)


def _measure(name, counts):
    """What a name stands for, from (tp, fp, tn, fn) in the last dimension."""
    import numpy as np
    tp, fp, tn, fn = (counts[..., i] for i in range(4))
    p, n = tp + fn, fp + tn
    if name == "mcc":
        return _ratio(tp * tn - fp * fn, np.sqrt((tp + fp) * p * n * (tn + fn)))
    plain = {"tpr": (tp, p), "tnr": (tn, n), "ppv": (tp, tp + fp), "npv": (tn, tn + fn), "fnr": (fn, p), "fpr": (fp, n),
             "fdr": (fp, tp + fp), "for": (fn, tn + fn), "ts": (tp, tp + fn + fp), "acc": (tp + tn, p + n),
             "f1": (2 * tp, 2 * tp + fn + fp)}
    if name in plain:
        return _ratio(*plain[name])
    tpr, tnr, ppv, npv = (_ratio(*plain[k]) for k in ("tpr", "tnr", "ppv", "npv"))
    if name == "pt":
        return _ratio(np.sqrt(tpr * (1 - tnr)) + tnr - 1, tpr + tnr - 1)
    return {"ba": (tpr + tnr) / 2, "fm": np.sqrt(ppv * tpr), "bm": tpr + tnr - 1, "mk": ppv + npv - 1}[name]


def _decrease(values, how):
    """[batch, class, ...] reduced without its NaNs: (result, how many numbers went in)."""
    import numpy as np
    seen = (~np.isnan(values)).astype(float)
    values = np.where(np.isnan(values), 0.0, values)

    def mean(values, seen, axis):
        n = seen.sum(axis=axis)
        return np.divide(values.sum(axis=axis), n, out=np.zeros_like(n), where=n > 0), n

    if how == "mean":
        by_class, n = mean(values, seen, 1)
        return mean(by_class, (n > 0).astype(float), 0)
    if how == "sum":
        return values.sum(axis=(0, 1)), seen.sum(axis=(0, 1))
    if how == "none":
        return values, seen
    axis = 0 if how.endswith("_batch") else 1
    return mean(values, seen, axis) if how.startswith("mean") else (values.sum(axis=axis), seen.sum(axis=axis))


class ConfusionMatrixMetric(Metric):
    """A measure over true and false positives and negatives of outputs and labels of 0 and 1, [batch, class, ...].

    metric_name: "sensitivity", "specificity", "precision", "f1_score", "accuracy", "balanced_accuracy",
    "matthews_correlation_coefficient", ... and their short forms. calculation_method: the measure of every sample,
    reduced as `decrease` says ("none", "mean", "sum" and these with "_batch" or "_channel"), instead of that of all
    counts together. Without skip_channel the first class is left out.

    >>> from rutile.train import ConfusionMatrixMetric
    >>> import numpy as np
    >>> metric = ConfusionMatrixMetric(metric_name="accuracy")
    >>> metric.update(np.array([[[0], [1]], [[1], [0]]]), np.array([[[0], [1]], [[0], [1]]]))
    >>> metric.eval().tolist()
    [0.5]
    """

    def __init__(self, skip_channel=True, metric_name="sensitivity", calculation_method=False, decrease="mean"):
        super().__init__()
        for key, value, kind in (("skip_channel", skip_channel, bool), ("metric_name", metric_name, str),
                                 ("calculation_method", calculation_method, bool), ("decrease", decrease, str)):
            if not isinstance(value, kind):
                raise _errors.TypeError(f"[ConfusionMatrixMetric] {key} must be a {kind.__name__}, got {value!r}")
        if decrease not in ("none", "mean", "sum", "mean_batch", "sum_batch", "mean_channel", "sum_channel"):
            raise _errors.ValueError(f"[ConfusionMatrixMetric] there is no decrease={decrease!r}")
        self.skip_channel, self.metric_name, self._name = skip_channel, metric_name, _short_name(metric_name)
        self.calculation_method, self.decrease = calculation_method, decrease
        self.clear()

    def clear(self):
        """Forgets what was seen."""
        import numpy as np
        self._total_num, self._class_num, self._counts = 0.0, 0, np.zeros(4)

    @rearrange_inputs
    def update(self, *inputs):
        """Takes outputs and labels in."""
        import numpy as np
        y_pred, y = self._inputs(inputs, 2)
        if not (y.astype(np.uint8) == y).all():
            raise _errors.ValueError("[ConfusionMatrixMetric] labels are 0 or 1")
        if y_pred.ndim < 2 or y_pred.shape != y.shape:
            raise _errors.ValueError(f"[ConfusionMatrixMetric] outputs {y_pred.shape} and labels {y.shape} must be of one "
                                     "shape of at least 2 dimensions")
        flat = y_pred.ndim == 2 or (y_pred.ndim == 3 and y_pred.shape[-1] == 1)
        if not self.skip_channel and y.shape[1] > 1:
            y, y_pred = y[:, 1:], y_pred[:, 1:]
        y, y_pred = (a.astype(float).reshape(*a.shape[:2], -1) for a in (y, y_pred))
        tp, tn = (y_pred + y == 2).sum(2), (y_pred + y == 0).sum(2)
        p = y.sum(2)
        counts = np.stack([tp, y.shape[-1] - p - tn, tn, p - tp], -1).astype(float)
        if self.calculation_method and not flat:
            score, n = _decrease(_measure(self._name, counts), self.decrease)
            n = int(np.asarray(n).item())
            self._total_num += float(np.asarray(score).item()) * n
            self._class_num += n
        else:
            self._counts += counts.sum((0, 1))
            self._flat = flat

    def eval(self):
        """The measure."""
        if self.calculation_method and not getattr(self, "_flat", False):
            self._some(self._class_num)
            return self._total_num / self._class_num
        return _measure(self._name, self._counts[None])
