# SPDX-License-Identifier: Apache-2.0
"""Normalisations with PyTorch's arguments, parameters and defaults."""

from rutile import _rutile
from rutile import ops
from rutile._rutile import Parameter, Tensor, dist as _dist
from rutile.common.initializer import initializer
from rutile.mint.nn import functional as F
from rutile.nn.basic import _positive
from rutile.nn.cell import Cell
from rutile.nn.normalizations import LayerNormExt
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "GroupNorm", "LayerNorm", "SyncBatchNorm"]


class LayerNorm(LayerNormExt):
    """Normalised over the last dimensions (Ba et al., 2016)."""


class _BatchNorm(Cell):
    _ranks = ()

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, dtype=None):
        super().__init__()
        _positive(type(self).__name__, num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        dtype = "float32" if dtype is None else dtype
        self.weight = Parameter(initializer("ones", (num_features,), dtype), name="weight") if affine else None
        self.bias = Parameter(initializer("zeros", (num_features,), dtype), name="bias") if affine else None
        self.running_mean = self.running_var = self.num_batches_tracked = None
        if track_running_stats:
            self.running_mean = Parameter(initializer("zeros", (num_features,), dtype), name="running_mean", requires_grad=False)
            self.running_var = Parameter(initializer("ones", (num_features,), dtype), name="running_var", requires_grad=False)
            self.num_batches_tracked = Parameter(Tensor(0, "int64"), name="num_batches_tracked", requires_grad=False)

    def reset_running_stats(self):
        """Mean 0, variance 1, no batches."""
        if self.track_running_stats:
            self.running_mean.set_data(ops.zeros_like(self.running_mean))
            self.running_var.set_data(ops.ones_like(self.running_var))
            self.num_batches_tracked.set_data(Tensor(0, "int64"))

    def reset_parameters(self):
        """The statistics as new ones, weight 1, bias 0."""
        self.reset_running_stats()
        if self.affine:
            self.weight.set_data(ops.ones_like(self.weight))
            self.bias.set_data(ops.zeros_like(self.bias))

    def _check(self, x):
        if x.ndim not in self._ranks:
            raise _errors.ValueError(f"[{type(self).__name__}] expects {' or '.join(map(str, self._ranks))} dimensions, got {x.shape}")

    def construct(self, input):
        self._check(input)
        momentum = self.momentum
        if self.training and self.track_running_stats:
            ops.assign_add(self.num_batches_tracked, Tensor(1, "int64"))
            if momentum is None:  # the plain mean of all batches
                return self._averaged(input)
        by_batch = self.training or self.running_mean is None
        used = not self.training or self.track_running_stats
        return F.batch_norm(input, self.running_mean if used else None, self.running_var if used else None, self.weight, self.bias, by_batch,
                            0.0 if momentum is None else momentum, self.eps)

    def _averaged(self, x):
        axes = tuple(i for i in range(x.ndim) if i != 1)
        self._average(ops.mean(x, axes), ops.var(x, axes, 1))
        return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)

    def _average(self, mean, var):
        share = 1.0 / self.num_batches_tracked.value().cast(self.running_mean.dtype)
        for kept, now in ((self.running_mean, mean), (self.running_var, var)):
            ops.assign(kept, kept.value() + (ops.stop_gradient(now).cast(kept.dtype) - kept.value()) * share)

    def extend_repr(self):
        return (f"num_features={self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
                f"track_running_stats={self.track_running_stats}")


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of [n, c] or [n, c, l] (Ioffe and Szegedy, 2015). running = running * (1 - momentum) + batch * momentum."""

    _ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of [n, c, h, w]. running = running * (1 - momentum) + batch * momentum, variance unbiased."""

    _ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of [n, c, d, h, w]. running = running * (1 - momentum) + batch * momentum, variance unbiased."""

    _ranks = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation of [n, c, ...] by the statistics of the batches of all processes of a group together, in training.

    process_group: a group's name; None: all processes. Running statistics move as if every process had as many samples as this one.
    """

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, process_group=None, dtype=None):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)
        if process_group is not None and not isinstance(process_group, str):
            raise _errors.TypeError(f"[SyncBatchNorm] process_group is a group's name or None, got {process_group!r}")
        self.process_group = process_group
        self._group = process_group or "world"

    def _check(self, x):
        if x.ndim < 2:
            raise _errors.ValueError(f"[SyncBatchNorm] expects at least 2 dimensions, got {x.shape}")

    def construct(self, input):
        size = _dist.size(self._group)
        if not self.training or size == 1:
            return super().construct(input)
        self._check(input)
        y, mean, rstd = table.sync_batch_norm(input, self.weight, self.bias, eps=self.eps, group=self._group)
        if self.track_running_stats:
            ops.assign_add(self.num_batches_tracked, Tensor(1, "int64"))
            count = input.size // max(input.shape[1], 1) * size
            if self.momentum is None:
                self._average(mean, (1 / (rstd * rstd) - self.eps) * (count / max(count - 1, 1)))
            else:
                _rutile.updates.batch_norm_update_stats(self.running_mean, self.running_var, mean, rstd, momentum=self.momentum,
                                                        eps=self.eps, count=count)
        return y


class GroupNorm(Cell):
    """Normalised over groups of channels (Wu and He, 2018)."""

    def __init__(self, num_groups, num_channels, eps=1e-5, affine=True, dtype=None):
        super().__init__()
        _positive("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise _errors.ValueError(f"[GroupNorm] {num_groups} groups do not divide {num_channels} channels")
        if not isinstance(eps, float):
            raise _errors.TypeError(f"[GroupNorm] eps is a float, got {eps!r}")
        if not isinstance(affine, bool):
            raise _errors.TypeError(f"[GroupNorm] affine is a bool, got {affine!r}")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        dtype = "float32" if dtype is None else dtype
        self.weight = Parameter(initializer("ones", (num_channels,), dtype), name="weight", requires_grad=affine)
        self.bias = Parameter(initializer("zeros", (num_channels,), dtype), name="bias", requires_grad=affine)

    def construct(self, input):
        return ops.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extend_repr(self):
        return f"num_groups={self.num_groups}, num_channels={self.num_channels}, eps={self.eps}, affine={self.affine}"
