# SPDX-License-Identifier: Apache-2.0
"""More losses, by MindSpore's names and defaults."""

from rutile import _rutile
from rutile import ops
from rutile._rutile import Tensor
from rutile.nn.cell import Cell
from rutile.nn.activation import get_activation
from rutile.nn.loss import L1Loss, LossBase
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["CTCLoss", "DiceLoss", "FocalLoss", "GaussianNLLLoss", "L1LossExt", "MultiClassDiceLoss",
           "MultiLabelSoftMarginLoss", "MultilabelMarginLoss", "PoissonNLLLoss", "SampledSoftmaxLoss", "TripletMarginLoss",
           "TripletMarginWithDistanceLoss"]


def _tensors(name, **values):
    for key, v in values.items():
        if not isinstance(v, Tensor):
            raise _errors.TypeError(f"[{name}] {key} must be a Tensor, got {type(v).__name__}")


class L1LossExt(L1Loss):
    """|logits - labels|"""


class DiceLoss(LossBase):
    """1 - 2 sum(logits labels) / (sum(logits^2) + sum(labels^2) + smooth)"""

    def __init__(self, smooth=1e-5):
        super().__init__()
        if isinstance(smooth, bool) or not isinstance(smooth, (int, float)):
            raise _errors.TypeError(f"[DiceLoss] smooth must be a float, got {type(smooth).__name__}")
        if smooth <= 0:
            raise _errors.ValueError(f"[DiceLoss] smooth must be positive, got {smooth}")
        self.smooth = smooth

    def construct(self, logits, label):
        _tensors("DiceLoss", logits=logits, label=label)
        if logits.shape != label.shape:
            raise _errors.ValueError(f"[DiceLoss] logits and label must have one shape, got {logits.shape} and {label.shape}")
        for x in (logits, label):
            if x.dtype.name == "uint8":
                raise _errors.TypeError("[DiceLoss] logits and label must not be uint8")
        total = table.sum(table.square(logits)) + table.sum(table.square(label))
        return 1.0 - table.sum(logits * label) * 2.0 / (total + self.smooth)


class MultiClassDiceLoss(LossBase):
    """The mean of DiceLoss over the classes, dimension 1, after an activation; weights [classes, 1] multiply them."""

    def __init__(self, weights=None, ignore_indiex=None, activation="softmax"):
        super().__init__()
        if weights is not None:
            _tensors("MultiClassDiceLoss", weights=weights)
            if weights.ndim != 2:
                raise _errors.ValueError(f"[MultiClassDiceLoss] weights must have 2 dimensions, got {weights.shape}")
        if ignore_indiex is not None and not isinstance(ignore_indiex, int):
            raise _errors.TypeError(f"[MultiClassDiceLoss] ignore_indiex must be an int, got {type(ignore_indiex).__name__}")
        known = ("softmax", "logsoftmax", "relu", "relu6", "tanh", "sigmoid")
        if isinstance(activation, str) and activation not in known:
            raise _errors.ValueError(f"[MultiClassDiceLoss] activation is one of {known}, got {activation!r}")
        if activation is not None and not isinstance(activation, (str, Cell)):
            raise _errors.TypeError(f"[MultiClassDiceLoss] activation must be a name or a Cell, got "
                                    f"{type(activation).__name__}")
        self.weights, self.ignore_indiex = weights, ignore_indiex
        self.activation = get_activation(activation) if isinstance(activation, str) else activation
        self.binarydiceloss = DiceLoss(1e-5)

    def construct(self, logits, label):
        _tensors("MultiClassDiceLoss", logits=logits, label=label)
        if logits.shape != label.shape or logits.ndim < 2:
            raise _errors.ValueError(f"[MultiClassDiceLoss] logits and label must have one shape of 2 dimensions at least, got "
                                     f"{logits.shape} and {label.shape}")
        if self.weights is not None and self.weights.shape[0] != label.shape[1]:
            raise _errors.ValueError(f"[MultiClassDiceLoss] {self.weights.shape[0]} weights do not fit {label.shape[1]} classes")
        logits = logits if self.activation is None else self.activation(logits)
        total = 0.0
        for i in range(label.shape[1]):
            if i != self.ignore_indiex:
                one = self.binarydiceloss(logits[:, i], label[:, i])
                total = total + (one if self.weights is None else one * self.weights[i])
        return total / label.shape[1]


class FocalLoss(LossBase):
    """-(1 - p)^gamma log p of the class's probability p (Lin et al., 2017).

    logits [n, c, ...]; labels classes [n, 1, ...] or as logits. weight [c] multiplies the classes.
    """

    def __init__(self, weight=None, gamma=2.0, reduction="mean"):
        super().__init__(reduction)
        if isinstance(gamma, bool) or not isinstance(gamma, (int, float)):
            raise _errors.TypeError(f"[FocalLoss] gamma must be a float, got {type(gamma).__name__}")
        if weight is not None:
            _tensors("FocalLoss", weight=weight)
            if weight.ndim != 1:
                raise _errors.ValueError(f"[FocalLoss] weight must have 1 dimension, got {weight.shape}")
        self.weight, self.gamma = weight, gamma

    def construct(self, logits, labels):
        _tensors("FocalLoss", logits=logits, labels=labels)
        if logits.ndim < 2 or labels.ndim != logits.ndim or labels.shape[1] not in (1, logits.shape[1]) or (
                logits.shape[0] != labels.shape[0] or logits.shape[2:] != labels.shape[2:]):
            raise _errors.ValueError(f"[FocalLoss] labels must be as logits or have one channel, got {labels.shape} for "
                                     f"{logits.shape}")
        n, c = logits.shape[:2]
        classes = labels.shape[1] == 1
        logs = table.log_softmax(logits.reshape(n, c, -1), 1)
        labels = labels.reshape(n, labels.shape[1], -1)
        weight = None if self.weight is None else table.broadcast_to(self.weight.reshape(1, c, 1), logs.shape)
        if classes:
            at = labels.cast("int64")
            logs = table.take_along_axis(logs, at, axis=1).squeeze(1)
            weight = None if weight is None else table.take_along_axis(weight, at, axis=1).squeeze(1)
        focus = (1.0 - table.exp(logs)) ** float(self.gamma)
        loss = -focus * (logs if weight is None else logs * weight)
        return self.get_loss(table.mean(loss, (1,)) if classes else table.mean(loss * labels, (2,)))


class GaussianNLLLoss(LossBase):
    """(log(max(var, eps)) + (logits - labels)^2 / max(var, eps)) / 2, with full + log(2 pi) / 2."""

    def __init__(self, *, full=False, eps=1e-6, reduction="mean"):
        super().__init__(reduction)
        if not isinstance(full, bool):
            raise _errors.TypeError(f"[GaussianNLLLoss] full must be a bool, got {type(full).__name__}")
        if not isinstance(eps, float):
            raise _errors.TypeError(f"[GaussianNLLLoss] eps must be a float, got {type(eps).__name__}")
        if not 0 < eps < float("inf"):
            raise _errors.ValueError(f"[GaussianNLLLoss] eps must be positive, got {eps}")
        self.full, self.eps = full, eps

    def construct(self, logits, labels, var):
        _tensors("GaussianNLLLoss", logits=logits, labels=labels, var=var)
        return ops.gaussian_nll_loss(logits, labels, var, self.full, self.eps, self.reduction)


class PoissonNLLLoss(LossBase):
    """exp(input) - target * input; without log_input input - target * log(input + eps). full adds Stirling's term."""

    def __init__(self, log_input=True, full=False, eps=1e-8, reduction="mean"):
        super().__init__(reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def construct(self, input, target):
        _tensors("PoissonNLLLoss", input=input, target=target)
        return table.poisson_nll_loss(input, target.cast(input.dtype), log_input=bool(self.log_input), full=bool(self.full),
                                      eps=float(self.eps), reduction=self.reduction)


class MultiLabelSoftMarginLoss(LossBase):
    """The mean over the classes of binary_cross_entropy_with_logits."""

    def __init__(self, weight=None, reduction="mean"):
        super().__init__(reduction)
        self.weight = weight

    def construct(self, x, target):
        return ops.multilabel_soft_margin_loss(x, target, self.weight, self.reduction)


class MultilabelMarginLoss(LossBase):
    """sum(max(0, 1 - (x[y] - x[i]))) / classes over labels y (up to the first negative one) and other classes i."""

    def construct(self, x, target):
        return table.multilabel_margin_loss(x, target, reduction=self.reduction)


class TripletMarginLoss(LossBase):
    """max(|x - positive|_p - |x - negative|_p + margin, 0); swap: the distance of positive and negative, if smaller."""

    def __init__(self, p=2, swap=False, eps=1e-6, reduction="mean", margin=1.0):
        super().__init__(reduction)
        self.p, self.swap, self.eps, self.margin = p, swap, eps, margin

    def construct(self, x, positive, negative, margin=1.0):
        margin = self.margin if self.margin != 1.0 else margin
        return ops.triplet_margin_loss(x, positive, negative, margin=float(margin), p=self.p, eps=self.eps, swap=self.swap,
                                       reduction=self.reduction)


class TripletMarginWithDistanceLoss(LossBase):
    """max(d(x, positive) - d(x, negative) + margin, 0) of any distance, Euclid's along dimension 1 unless given."""

    def __init__(self, distance_function=None, swap=False, reduction="mean", margin=1.0):
        super().__init__(reduction)
        if not isinstance(swap, bool):
            raise _errors.TypeError(f"[TripletMarginWithDistanceLoss] swap must be a bool, got {type(swap).__name__}")
        if not isinstance(margin, float):
            raise _errors.TypeError(f"[TripletMarginWithDistanceLoss] margin must be a float, got {type(margin).__name__}")
        self.distance_function = distance_function or (lambda a, b: table.norm(a - b, (1,)))
        self.swap, self.margin = swap, margin

    def construct(self, x, positive, negative):
        _tensors("TripletMarginWithDistanceLoss", x=x, positive=positive, negative=negative)
        near, far = self.distance_function(x, positive), self.distance_function(x, negative)
        if self.swap:
            far = table.minimum(far, self.distance_function(positive, negative))
        return self.get_loss(table.relu(near - far + self.margin))


class SampledSoftmaxLoss(LossBase):
    """Softmax loss [n] over the classes of labels [n, num_true] and num_sampled others drawn at random.

    Called with (weights [num_classes, d], biases [num_classes], labels, logits [n, d]). sampled_values: (classes, expected
    count of the labels [n, num_true], expected count of the classes) instead of classes drawn, each with the same chance and
    once at most; remove_accidental_hits leaves out the labels themselves.
    """

    def __init__(self, num_sampled, num_classes, num_true=1, sampled_values=None, remove_accidental_hits=True, seed=0,
                 reduction="none"):
        super().__init__(reduction)
        if num_true < 1 or seed < 0 or num_sampled > num_classes or num_true > num_classes:
            raise _errors.ValueError(f"[SampledSoftmaxLoss] num_true {num_true} and num_sampled {num_sampled} must be positive "
                                     f"and at most num_classes {num_classes}, seed {seed} not negative")
        if sampled_values is not None and not isinstance(sampled_values, (list, tuple)):
            raise _errors.TypeError(f"[SampledSoftmaxLoss] sampled_values must be a tuple, got {type(sampled_values).__name__}")
        if sampled_values is not None and len(sampled_values) != 3:
            raise _errors.ValueError(f"[SampledSoftmaxLoss] sampled_values has 3 entries, got {len(sampled_values)}")
        self.num_sampled, self.num_classes, self.num_true, self.seed = num_sampled, num_classes, num_true, seed
        self.sampled_values, self.remove_accidental_hits = sampled_values, remove_accidental_hits

    def _sample(self, labels):
        # A class's order among random numbers; labels come last, so that they are drawn only if nothing else is left.
        draws = table.random_uniform((self.num_classes,), 0.0, 1.0, "float32")
        if self.remove_accidental_hits:
            taken = table.isin(table.arange(0, self.num_classes).cast(labels.dtype), labels.reshape(-1))
            draws = draws + taken.cast("float32") * 2.0
        sampled = table.sort(draws)[1][:self.num_sampled]
        expected = self.num_sampled / self.num_classes
        return (sampled, table.full(labels.shape, expected, "float32"),
                table.full((self.num_sampled,), expected, "float32"))

    def construct(self, weights, biases, labels, logits):
        _tensors("SampledSoftmaxLoss", weights=weights, biases=biases, labels=labels, logits=logits)
        if labels.dtype.name not in ("int32", "int64"):
            raise _errors.TypeError(f"[SampledSoftmaxLoss] labels must be int32 or int64, got {labels.dtype}")
        labels = labels.reshape(-1, self.num_true).cast("int64")
        sampled, of_true, of_sampled = self.sampled_values if self.sampled_values is not None else self._sample(labels)
        sampled, n = sampled.cast("int64"), labels.shape[0]
        true_w = table.gather(weights, labels.reshape(-1), axis=0).reshape(n, self.num_true, -1)
        true = table.sum(logits.expand_dims(1) * true_w, (2,)) + table.gather(biases, labels.reshape(-1), axis=0).reshape(
            n, self.num_true) - table.log(of_true)
        other = table.matmul(logits, table.gather(weights, sampled, axis=0).swapaxes(0, 1)) + table.gather(
            biases, sampled, axis=0) - table.log(of_sampled)
        logs = table.log_softmax(table.concat((true, other), axis=1), 1)
        return self.get_loss(-table.sum(logs[:, :self.num_true], (1,)) / self.num_true)


def ctc(log_probs, targets, input_lengths, target_lengths, blank, zero_infinity):
    """-log of the probability of each target over all alignments, [n]: log_probs [t, n, c], targets [n, s]."""
    targets, steps, lengths = (v if v.dtype.name in ("int32", "int64") else v.cast("int64")
                               for v in (targets, input_lengths.reshape(-1), target_lengths.reshape(-1)))
    return table.ctc_loss(log_probs, targets, steps, lengths, blank=blank, reduction="none", zero_infinity=zero_infinity)


class CTCLoss(LossBase):
    """Connectionist temporal classification of log_probs [t, n, c] and targets [n, s] (Graves et al., 2006).

    Targets may be one after the other, too: [sum(target_lengths)]. "mean" divides by the target's length first. Without a batch [t, c] and [s].

    >>> import rutile
    >>> from rutile import nn, ops
    >>> logs = ops.log_softmax(ops.zeros((4, 1, 3)))
    >>> loss = nn.CTCLoss(reduction="sum")(logs, rutile.Tensor([[1, 2]]), rutile.Tensor([4]), rutile.Tensor([2]))
    >>> round(float(loss), 4)
    1.6864
    """

    def __init__(self, blank=0, reduction="mean", zero_infinity=False):
        super().__init__(reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def construct(self, log_probs, targets, input_lengths, target_lengths):
        _tensors("CTCLoss", log_probs=log_probs, targets=targets)
        input_lengths, target_lengths = (v if isinstance(v, Tensor) else Tensor(v, "int64")
                                         for v in (input_lengths, target_lengths))
        batched = log_probs.ndim == 3
        if log_probs.ndim == 2:
            log_probs, targets = log_probs.expand_dims(1), targets.reshape(1, -1)
        if log_probs.ndim != 3 or targets.ndim not in (1, 2) or targets.ndim == 2 and targets.shape[0] != log_probs.shape[1]:
            raise _errors.ValueError(f"[CTCLoss] expects log_probs [t, n, c] and targets [n, s], or [sum(target_lengths)] one "
                                     f"after the other, got {log_probs.shape} and {targets.shape}")
        if not 0 <= self.blank < log_probs.shape[2]:
            raise _errors.ValueError(f"[CTCLoss] blank {self.blank} is not one of {log_probs.shape[2]} classes")
        loss = ctc(log_probs, targets, input_lengths, target_lengths, self.blank, self.zero_infinity)
        if self.reduction == "mean":
            return table.mean(loss / table.clip(target_lengths.reshape(-1), min=1).cast(loss.dtype))
        loss = self.get_loss(loss)
        return loss if batched or self.reduction != "none" else loss.squeeze(0)
