# SPDX-License-Identifier: Apache-2.0
"""Metrics: clear(), update(outputs, labels) for each batch, eval().

>>> from rutile.train import get_metric_fn
>>> get_metric_fn("mse")([1.0, 2.0], [1.0, 4.0])
2.0
"""

from rutile import _hints, _rutile
from rutile.train.metrics import accuracy, confusion_matrix, regression, roc, surface, text  # noqa: F401
from rutile.train.metrics._base import EvaluationBase, Metric, rearrange_inputs  # noqa: F401
from rutile.train.metrics.accuracy import *  # noqa: F401,F403
from rutile.train.metrics.confusion_matrix import *  # noqa: F401,F403
from rutile.train.metrics.regression import *  # noqa: F401,F403
from rutile.train.metrics.roc import *  # noqa: F401,F403
from rutile.train.metrics.surface import *  # noqa: F401,F403
from rutile.train.metrics.text import *  # noqa: F401,F403

_errors = _rutile.errors

__all__ = sorted(["Metric", "get_metric_fn", "get_metrics", "names", "rearrange_inputs"] + accuracy.__all__
                 + confusion_matrix.__all__ + regression.__all__ + roc.__all__ + surface.__all__ + text.__all__)

_NAMES = {
    "F1": accuracy.F1, "acc": accuracy.Accuracy, "accuracy": accuracy.Accuracy, "auc": roc.auc, "bleu_score": text.BleuScore,
    "confusion_matrix": confusion_matrix.ConfusionMatrix,
    "confusion_matrix_metric": confusion_matrix.ConfusionMatrixMetric, "cosine_similarity": regression.CosineSimilarity,
    "dice": regression.Dice, "hausdorff_distance": surface.HausdorffDistance, "loss": regression.Loss, "mae": regression.MAE,
    "mean_surface_distance": surface.MeanSurfaceDistance, "mse": regression.MSE,
    "occlusion_sensitivity": surface.OcclusionSensitivity, "perplexity": text.Perplexity, "precision": accuracy.Precision,
    "recall": accuracy.Recall, "roc": roc.ROC, "root_mean_square_distance": surface.RootMeanSquareDistance,
    "top_1_accuracy": accuracy.Top1CategoricalAccuracy, "top_5_accuracy": accuracy.Top5CategoricalAccuracy,
    "topk": accuracy.TopKCategoricalAccuracy}


class _NoMetric(_errors.ValueError, KeyError):
    """MindSpore raises a KeyError here; names in Model's metrics are values."""

    __str__ = Exception.__str__


_NoMetric.__name__ = _NoMetric.__qualname__ = "KeyError"


def names():
    """The names that Model's metrics may have."""
    return sorted(_NAMES)


def get_metric_fn(name, *args, **kwargs):
    """A new metric by its name."""
    if name not in _NAMES:
        raise _NoMetric(f"there is no metric {name!r}{_hints.close(name, _NAMES)}; known are {names()}")
    return _NAMES[name](*args, **kwargs)


def get_metrics(metrics):
    """Metrics by name, from a dict of metrics (or their names) or a set of names."""
    if metrics is None:
        return {}
    if isinstance(metrics, dict):
        found = {k: get_metric_fn(m) if isinstance(m, str) else m for k, m in metrics.items()}
    elif isinstance(metrics, set):
        found = {m: get_metric_fn(m) for m in metrics}
    else:
        raise _errors.TypeError(f"metrics must be a dict or a set of names, got {type(metrics).__name__}: {{'accuracy'}}")
    for name, m in found.items():
        if not isinstance(m, Metric):
            raise _errors.TypeError(f"metric {name} must be a Metric, got {type(m).__name__}")
    return found
