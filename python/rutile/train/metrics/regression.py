# SPDX-License-Identifier: Apache-2.0
"""Metrics of distances: MAE, MSE, the loss, similarity of rows, dice."""

from rutile import _rutile
from rutile.train.metrics._base import Metric, rearrange_inputs

_errors = _rutile.errors

__all__ = ["CosineSimilarity", "Dice", "Loss", "MAE", "MSE"]


class _Mean(Metric):
    """A sum over samples divided by their number."""

    def __init__(self):
        super().__init__()
        self.clear()

    def clear(self):
        """Forgets what was seen."""
        self._sum, self._n = 0.0, 0

    def eval(self):
        """The mean over samples."""
        self._some(self._n)
        return self._sum / self._n


class MAE(_Mean):
    """The sum of |outputs - labels| over the number of samples.

    >>> from rutile.train import MAE
    >>> MAE()([0.5, 1.0], [1.0, 0.0])
    0.75
    """

    @rearrange_inputs
    def update(self, *inputs):
        """Takes outputs and labels in."""
        y, labels = self._inputs(inputs, 2)
        self._sum += float(abs(labels.reshape(y.shape) - y).sum())
        self._n += len(labels)


class MSE(_Mean):
    """The sum of (outputs - labels)^2 over the number of samples."""

    @rearrange_inputs
    def update(self, *inputs):
        """Takes outputs and labels in."""
        y, labels = self._inputs(inputs, 2)
        self._sum += float(((labels.reshape(y.shape) - y) ** 2).sum())
        self._n += len(labels)


class Loss(_Mean):
    """The mean of the losses, each a number or a vector."""

    @rearrange_inputs
    def update(self, *inputs):
        """Takes a loss in."""
        (loss,) = self._inputs(inputs, 1)
        if loss.ndim > 1:
            raise _errors.ValueError(f"[Loss] a loss is a number or a vector, got {loss.shape}")
        self._sum += float(loss.mean())
        self._n += 1


class Dice(_Mean):
    """2 |outputs * labels| / (|outputs|^2 + |labels|^2 + smooth), summed over batches and divided by the samples.

    >>> from rutile.train import Dice
    >>> round(Dice()([[1.0, 0.0]], [[1.0, 1.0]]), 4)
    0.6667
    """

    def __init__(self, smooth=1e-5):
        if isinstance(smooth, bool) or not isinstance(smooth, float):
            raise _errors.TypeError(f"[Dice] smooth must be a float, got {smooth!r}")
        if smooth <= 0:
            raise _errors.ValueError(f"[Dice] smooth must be positive, got {smooth}")
        self.smooth = smooth
        super().__init__()

    @rearrange_inputs
    def update(self, *inputs):
        """Takes outputs and labels in."""
        y, labels = self._inputs(inputs, 2)
        if y.shape != labels.shape:
            raise _errors.ValueError(f"[Dice] outputs {y.shape} and labels {labels.shape} differ in shape")
        y, n, labels = y.reshape(-1), len(labels), labels.reshape(-1)
        self._sum += 2 * float(y.dot(labels)) / float(y.dot(y) + labels.dot(labels) + self.smooth)
        self._n += n


class CosineSimilarity(Metric):
    """Products of all rows with each other, [n, n]: of their directions ("cosine") or of themselves ("dot").

    reduction: "none", "sum" or "mean" over the last dimension; zero_diagonal: a row with itself counts zero.

    >>> from rutile.train import CosineSimilarity
    >>> CosineSimilarity()([[1.0, 0.0], [3.0, 4.0]]).round(2).tolist()
    [[0.0, 0.6], [0.6, 0.0]]
    """

    def __init__(self, similarity="cosine", reduction="none", zero_diagonal=True):
        super().__init__()
        if similarity not in ("dot", "cosine") or reduction not in ("none", "sum", "mean"):
            raise _errors.ValueError("[CosineSimilarity] similarity is 'dot' or 'cosine', reduction 'none', 'sum' or "
                                     f"'mean', got {similarity!r} and {reduction!r}")
        if not isinstance(zero_diagonal, bool):
            raise _errors.TypeError(f"[CosineSimilarity] zero_diagonal must be a bool, got {zero_diagonal!r}")
        self.similarity, self.reduction, self.zero_diagonal = similarity, reduction, zero_diagonal
        self.clear()

    def clear(self):
        """Forgets what was seen."""
        self.sqr_mtx_res, self._is_update = 0, False

    @rearrange_inputs
    def update(self, *inputs):
        """Takes rows in; those of the last batch count."""
        import numpy as np
        (x,) = self._inputs(inputs, 1)
        if self.similarity == "cosine":
            x = x / np.linalg.norm(x, ord=2, axis=1)[:, None]
        self.sqr_mtx_res, self._is_update = x.dot(x.T), True

    def eval(self):
        """The products."""
        import numpy as np
        self._some(self._is_update)
        m = np.array(self.sqr_mtx_res)
        if self.zero_diagonal:
            np.fill_diagonal(m, 0)
        return m if self.reduction == "none" else m.mean(-1) if self.reduction == "mean" else m.sum(-1)
