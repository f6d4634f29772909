# SPDX-License-Identifier: Apache-2.0
"""Losses, by MindSpore's names and defaults."""

from rutile import _rutile
from rutile import ops
from rutile.nn.cell import Cell
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["BCELoss", "BCEWithLogitsLoss", "CosineEmbeddingLoss", "CrossEntropyLoss", "HingeEmbeddingLoss", "HuberLoss",
           "KLDivLoss", "L1Loss", "LossBase", "MAELoss", "MSELoss", "MarginRankingLoss", "NLLLoss", "RMSELoss",
           "SmoothL1Loss", "SoftMarginLoss", "SoftmaxCrossEntropyWithLogits"]


def __getattr__(name):
    # MindSpore's module has the other losses, too.
    from rutile.nn import more_losses
    if name in more_losses.__all__:
        return getattr(more_losses, name)
    raise AttributeError(f"module 'rutile.nn.loss' has no attribute {name!r}")


class LossBase(Cell):
    """A loss: get_loss(x, weights) reduces as `reduction` says ("mean", "sum" or "none")."""

    def __init__(self, reduction="mean"):
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise _errors.ValueError(f"[{type(self).__name__}] reduction is 'mean', 'sum' or 'none', got {reduction!r}")
        self.reduction = reduction

    def get_axis(self, x):
        """All axes of x, to reduce over."""
        return tuple(range(x.ndim))

    def get_loss(self, x, weights=1.0):
        """x times weights, reduced."""
        return ops.function._reduce(x if isinstance(weights, float) and weights == 1.0 else x * weights,
                                    self.reduction)

    def extend_repr(self):
        return f"reduction={self.reduction}"


class SoftmaxCrossEntropyWithLogits(LossBase):
    """-log softmax of the class: labels are classes (sparse) or probabilities [n, c]. No reduction unless asked."""

    def __init__(self, sparse=False, reduction="none"):
        super().__init__(reduction)
        self.sparse = sparse

    def construct(self, logits, labels):
        if not self.sparse:
            return self.get_loss(-table.sum(table.log_softmax(logits) * labels, (1,)))
        if labels.dtype.name not in ("int32", "int64"):
            raise _errors.TypeError(f"[SoftmaxCrossEntropyWithLogits] labels must be int32 or int64, got {labels.dtype}: "
                                    "with sparse=True they are numbers of classes, probabilities go with sparse=False")
        return ops.cross_entropy(logits, labels, reduction=self.reduction)


class CrossEntropyLoss(LossBase):
    """The same with class weights, a class to ignore and smoothed labels."""

    def __init__(self, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
        super().__init__(reduction)
        self.weight, self.ignore_index, self.label_smoothing = weight, ignore_index, label_smoothing

    def construct(self, logits, labels):
        return ops.cross_entropy(logits, labels, self.weight, self.ignore_index, self.reduction, self.label_smoothing)


class NLLLoss(LossBase):
    """The negative log-probability of the class."""

    def __init__(self, weight=None, ignore_index=-100, reduction="mean"):
        super().__init__(reduction)
        self.weight, self.ignore_index = weight, ignore_index

    def construct(self, logits, labels):
        return ops.nll_loss(logits, labels, self.weight, self.ignore_index, self.reduction)


class MSELoss(LossBase):
    """(logits - labels)^2"""

    def construct(self, logits, labels):
        return self.get_loss(table.square(logits - labels))


class RMSELoss(LossBase):
    """The root of the mean of squares."""

    def __init__(self):
        super().__init__()

    def construct(self, logits, label):
        return table.sqrt(table.mean(table.square(logits - label)))


class L1Loss(LossBase):
    """|logits - labels|"""

    def construct(self, logits, labels):
        return self.get_loss(table.abs(logits - labels))


class MAELoss(L1Loss):
    """|logits - labels|"""


class SmoothL1Loss(LossBase):
    """Quadratic below beta, linear above. No reduction unless asked."""

    def __init__(self, beta=1.0, reduction="none"):
        super().__init__(reduction)
        self.beta = beta

    def construct(self, logits, labels):
        return ops.smooth_l1_loss(logits, labels, self.beta, self.reduction)


class HuberLoss(LossBase):
    """Quadratic below delta, linear above."""

    def __init__(self, reduction="mean", delta=1.0):
        super().__init__(reduction)
        self.delta = delta

    def construct(self, logits, labels):
        return ops.huber_loss(logits, labels, self.reduction, self.delta)


class SoftMarginLoss(LossBase):
    """log(1 + exp(-labels * logits))"""

    def construct(self, logits, labels):
        return ops.soft_margin_loss(logits, labels, self.reduction)


class BCELoss(LossBase):
    """-(y log p + (1 - y) log(1 - p))"""

    def __init__(self, weight=None, reduction="mean"):
        super().__init__(reduction)
        self.weight = weight

    def construct(self, logits, labels):
        return ops.binary_cross_entropy(logits, labels, self.weight, self.reduction)


class BCEWithLogitsLoss(LossBase):
    """The same of sigmoid(logits)."""

    def __init__(self, reduction="mean", weight=None, pos_weight=None):
        super().__init__(reduction)
        self.weight, self.pos_weight = weight, pos_weight

    def construct(self, logits, labels):
        return ops.binary_cross_entropy_with_logits(logits, labels, self.weight, self.pos_weight, self.reduction)


class KLDivLoss(LossBase):
    """labels * (log(labels) - logits)"""

    def __init__(self, reduction="mean"):
        super().__init__("mean" if reduction == "batchmean" else reduction)
        self.reduction = reduction

    def construct(self, logits, labels):
        return ops.kl_div(logits, labels, self.reduction)


class HingeEmbeddingLoss(LossBase):
    """The input where the label is 1, max(0, margin - input) where it is -1."""

    def __init__(self, margin=1.0, reduction="mean"):
        super().__init__(reduction)
        self.margin = margin

    def construct(self, logits, labels):
        return ops.hinge_embedding_loss(logits, labels, self.margin, self.reduction)


class MarginRankingLoss(LossBase):
    """max(0, -target * (input1 - input2) + margin)"""

    def __init__(self, margin=0.0, reduction="mean"):
        super().__init__(reduction)
        self.margin = margin

    def construct(self, input1, input2, target):
        return ops.margin_ranking_loss(input1, input2, target, self.margin, self.reduction)


class CosineEmbeddingLoss(LossBase):
    """1 - cosine where the label is 1, max(0, cosine - margin) where it is -1."""

    def __init__(self, margin=0.0, reduction="mean"):
        super().__init__(reduction)
        self.margin = margin

    def construct(self, logits_x1, logits_x2, labels):
        return ops.cosine_embedding_loss(logits_x1, logits_x2, labels, self.margin, self.reduction)
