# SPDX-License-Identifier: Apache-2.0
"""Distances between the surfaces of two regions of an image, and what a network looks at."""

from rutile import _rutile
from rutile._rutile import Tensor
from rutile.train.metrics._base import Metric, rearrange_inputs

_errors = _rutile.errors

__all__ = ["HausdorffDistance", "MeanSurfaceDistance", "OcclusionSensitivity", "RootMeanSquareDistance"]


def _edges(mask):
    """What of a region has a neighbour outside of it; beyond the image is outside."""
    import numpy as np
    inner = np.pad(mask, 1)
    middle = tuple(slice(1, -1) for _ in range(mask.ndim))
    inside = mask.copy()
    for axis in range(mask.ndim):
        for move in (-1, 1):
            inside &= np.roll(inner, move, axis)[middle]
    return inside ^ mask


def _distances(edges, others, metric):
    """From each point of one surface the distance to the nearest of the other."""
    import numpy as np
    a, b = np.argwhere(edges), np.argwhere(others)
    if len(a) == 0:
        return np.array([])
    if len(b) == 0:
        return np.full(len(a), np.inf)
    nearest = np.empty(len(a), np.float64 if metric == "euclidean" else np.int32)
    rows = max(1, 2_000_000 // (len(b) * max(b.shape[1], 1)))
    for i in range(0, len(a), rows):
        d = abs(a[i:i + rows, None] - b[None])
        if metric == "euclidean":
            nearest[i:i + rows] = np.sqrt((d * d).sum(-1).min(1))
        else:
            nearest[i:i + rows] = (d.max(-1) if metric == "chessboard" else d.sum(-1)).min(1)
    return nearest


class _Surface(Metric):
    _crop = False

    def _setup(self, distance_metric):
        if distance_metric not in ("euclidean", "chessboard", "taxicab"):
            raise _errors.ValueError(f"[{type(self).__name__}] distance_metric is 'euclidean', 'chessboard' or 'taxicab', "
                                     f"got {distance_metric!r}")
        self.distance_metric = distance_metric
        self.clear()

    def clear(self):
        """Forgets what was seen."""
        self._y_pred_edges, self._y_edges, self._is_update = 0, 0, False

    @rearrange_inputs
    def update(self, *inputs):
        """Takes two images of labels and the label of the region in; those of the last call count."""
        import numpy as np
        name = type(self).__name__
        if len(inputs) != 3:
            raise _errors.ValueError(f"[{name}] update takes 3 arguments, got {len(inputs)}")
        y_pred, y, label = self._convert_data(inputs[0]), self._convert_data(inputs[1]), inputs[2]
        if not isinstance(label, (int, float)):
            raise _errors.ValueError(f"[{name}] the label is a number, got {type(label).__name__}")
        if label not in y_pred and label not in y:
            raise _errors.ValueError(f"[{name}] label {label} is in neither of the images")
        if y_pred.size == 0 or y_pred.shape != y.shape:
            raise _errors.ValueError(f"[{name}] the images {y_pred.shape} and {y.shape} must be of one shape and not empty")
        y_pred, y = (a if a.dtype == bool else a == label for a in (y_pred, y))
        if self._crop and (y_pred | y).any():
            at = np.nonzero(y_pred | y)
            box = tuple(slice(i.min(), i.max() + 1) for i in at)
            y_pred, y = y_pred[box].squeeze(), y[box].squeeze()
        self._y_pred_edges, self._y_edges, self._is_update = _edges(y_pred), _edges(y), True

    def _both_ways(self, reduce):
        """reduce(distances) there and back; inf where there is no surface."""
        import numpy as np
        self._some(self._is_update)
        for a, b in ((self._y_pred_edges, self._y_edges), (self._y_edges, self._y_pred_edges)):
            d = _distances(a, b, self.distance_metric)
            yield reduce(d) if d.size else np.inf


class HausdorffDistance(_Surface):
    """The largest distance from one region's surface to the other's; percentile: not the largest but that one.

    update(outputs, labels, label of the region). directed: only from the outputs to the labels.

    >>> from rutile.train import HausdorffDistance
    >>> float(HausdorffDistance()([[1, 0, 0], [0, 0, 0]], [[0, 0, 1], [0, 0, 0]], 1))
    2.0
    """

    def __init__(self, distance_metric="euclidean", percentile=None, directed=False, crop=True):
        super().__init__()
        if percentile is not None and not isinstance(percentile, float):
            raise _errors.TypeError(f"[HausdorffDistance] percentile must be a float, got {percentile!r}")
        if percentile is not None and not 0 <= percentile <= 100:
            raise _errors.ValueError(f"[HausdorffDistance] percentile must be in [0, 100], got {percentile}")
        self.percentile, self.directed, self.crop, self._crop = percentile, directed, crop, bool(crop)
        self._setup(distance_metric)

    def eval(self):
        """The distance."""
        import numpy as np
        there, back = self._both_ways(lambda d: np.percentile(d, self.percentile) if self.percentile else d.max())
        return there if self.directed else max(there, back)


class MeanSurfaceDistance(_Surface):
    """The mean distance from the outputs' surface to the labels'; symmetric: the mean of there and back."""

    def __init__(self, symmetric=False, distance_metric="euclidean"):
        super().__init__()
        self.symmetric = symmetric
        self._setup(distance_metric)

    def eval(self):
        """The distance."""
        import numpy as np
        there, back = self._both_ways(lambda d: d.mean())
        return np.mean((there, back)) if self.symmetric and np.isfinite(there) else there


class RootMeanSquareDistance(_Surface):
    """The mean of the squared distances to the labels' surface; symmetric: the root of the mean of there and back."""

    def __init__(self, symmetric=False, distance_metric="euclidean"):
        super().__init__()
        self.symmetric = symmetric
        self._setup(distance_metric)

    def eval(self):
        """The distance."""
        import numpy as np
        there, back = self._both_ways(lambda d: (d ** 2).mean())
        return np.sqrt(np.mean((there, back))) if self.symmetric else there


class OcclusionSensitivity(Metric):
    """How much a network's score of a label falls when a part of the image is covered.

    update(network, image [1, ...], label); eval() gives the baseline's score minus that with each place covered by
    pad_val, `margin` to each side. b_box: [min, max] of each dimension limits the places.

    >>> import numpy as np
    >>> from rutile import nn, train
    >>> net = nn.Dense(3, 1, weight_init="ones", has_bias=False)
    >>> train.OcclusionSensitivity(margin=1)(net, np.array([[1.0, 2.0, 4.0]], np.float32), 0).tolist()
    [1.0, 3.0, 6.0]
    """

    def __init__(self, pad_val=0.0, margin=2, n_batch=128, b_box=None):
        super().__init__()
        for key, value, kinds in (("pad_val", pad_val, float), ("margin", margin, (int, list)), ("n_batch", n_batch, int),
                                  ("b_box", b_box, (list, type(None)))):
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise _errors.TypeError(f"[OcclusionSensitivity] {key} has the wrong type {type(value).__name__}")
        self.pad_val, self.margin, self.n_batch, self.b_box = pad_val, margin, n_batch, b_box
        self.clear()

    def clear(self):
        """Forgets what was seen."""
        self._baseline, self._sensitivity_im, self._is_update = 0, 0, False

    @rearrange_inputs
    def update(self, *inputs):
        """Takes a network, an image and its label in."""
        import numpy as np
        if len(inputs) != 3:
            raise _errors.ValueError(f"[OcclusionSensitivity] update takes 3 arguments, got {len(inputs)}")
        model, image, label = inputs[0], self._convert_data(inputs[1]), int(np.asarray(self._convert_data(inputs[2])).item())
        if image.shape[0] != 1:
            raise _errors.RuntimeError(f"[OcclusionSensitivity] takes one image, got {image.shape[0]}")
        size = np.array(image.shape[1:])
        low, high = self._box(size)
        self._baseline = float(model(Tensor(image)).asnumpy()[0, label])
        margin = [self.margin] * len(size) if isinstance(self.margin, int) else self.margin
        covered, scores = [], []
        places = np.ndindex(*(high - low + 1))
        for place in places:
            at = np.array(place) + low
            one = image.copy()
            one[(0, *(slice(max(0, i - m), min(n, i + m)) for i, m, n in zip(at, margin, size)))] = self.pad_val
            covered.append(one)
            if len(covered) == self.n_batch:
                scores.append(model(Tensor(np.concatenate(covered))).asnumpy()[:, label])
                covered = []
        if covered:
            scores.append(model(Tensor(np.concatenate(covered))).asnumpy()[:, label])
        self._sensitivity_im, self._is_update = np.concatenate(scores).reshape(high - low + 1), True

    def _box(self, size):
        import numpy as np
        if self.b_box is None:
            return np.zeros_like(size), size - 1
        if len(self.b_box) != 2 * len(size):
            raise _errors.ValueError(f"[OcclusionSensitivity] b_box has {len(self.b_box)} limits for {len(size)} dimensions")
        low, high = np.maximum(self.b_box[::2], 0), np.array(self.b_box[1::2])
        high = np.where(high < 0, size - 1, high)
        if (high >= size).any() or (low > high).any():
            raise _errors.ValueError(f"[OcclusionSensitivity] b_box {self.b_box} is outside of {tuple(size)} or empty")
        return low, high

    def eval(self):
        """What the score falls by, at each place."""
        self._some(self._is_update)
        return self._baseline - self._sensitivity_im.squeeze()
