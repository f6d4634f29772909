# SPDX-License-Identifier: Apache-2.0
"""Norms beside those of batches, layers and groups, by MindSpore's names."""

from rutile import _rutile
from rutile import ops
from rutile._rutile import Parameter
from rutile._rutile import dist as _dist
from rutile.common.initializer import initializer
from rutile.nn.cell import Cell
from rutile.nn.layer import _BatchNorm, _positive
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LRN", "LayerNormExt", "SyncBatchNorm"]


class _InstanceNorm(Cell):
    _rank = 4

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, gamma_init="ones", beta_init="zeros",
                 dtype="float32"):
        super().__init__()
        name = type(self).__name__
        _positive(name, num_features=num_features)
        for key, v in (("eps", eps), ("momentum", momentum)):
            if isinstance(v, bool) or not isinstance(v, (int, float)):
                raise _errors.TypeError(f"[{name}] {key} must be a number, got {type(v).__name__}")
        if not 0 <= momentum <= 1:
            raise _errors.ValueError(f"[{name}] momentum must be in [0, 1], got {momentum}")
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        shape = (num_features,)
        self.moving_mean = Parameter(initializer("zeros", shape, dtype), name="mean", requires_grad=False)
        self.moving_variance = Parameter(initializer("ones", shape, dtype), name="variance", requires_grad=False)
        self.gamma = Parameter(initializer(gamma_init, shape, dtype), requires_grad=affine)
        self.beta = Parameter(initializer(beta_init, shape, dtype), requires_grad=affine)

    def construct(self, x):
        if x.ndim != self._rank or x.shape[1] != self.num_features:
            raise _errors.ValueError(f"[{type(self).__name__}] expects {self._rank} dimensions and {self.num_features} "
                                     f"channels, got {x.shape}")
        return table.instance_norm(x, self.gamma, self.beta, eps=self.eps)[0]

    def extend_repr(self):
        return (f"num_features={self.num_features}, eps={self.eps}, momentum={self.momentum}, gamma={self.gamma}, "
                f"beta={self.beta}, moving_mean={self.moving_mean}, moving_variance={self.moving_variance}")


class InstanceNorm1d(_InstanceNorm):
    """Every channel of every [n, c, l] on its own (Ulyanov et al., 2016), by its own statistics, in training or not."""

    _rank = 3


class InstanceNorm2d(_InstanceNorm):
    """Every channel of every image [n, c, h, w] on its own, by its own statistics, in training or not."""

    _rank = 4


class InstanceNorm3d(_InstanceNorm):
    """Every channel of every volume [n, c, d, h, w] on its own, by its own statistics, in training or not."""

    _rank = 5


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation of [n, c] or [n, c, h, w] by the statistics of the batches of all processes together.

    process_groups: lists of ranks that share theirs; every process is in one of them. None: all share. Running statistics move
    as if every process had as many samples as this one.
    """

    _ranks = (2, 4)

    def __init__(self, num_features, eps=1e-5, momentum=0.9, affine=True, gamma_init="ones", beta_init="zeros",
                 moving_mean_init="zeros", moving_var_init="ones", use_batch_statistics=None, process_groups=None,
                 dtype="float32"):
        super().__init__(num_features, eps, momentum, affine, gamma_init, beta_init, moving_mean_init, moving_var_init,
                         use_batch_statistics, dtype=dtype)
        process_groups = process_groups or None
        if process_groups is not None and not isinstance(process_groups, list):
            raise _errors.TypeError(f"[SyncBatchNorm] process_groups must be a list of lists of ranks, got {process_groups!r}")
        self.process_groups = process_groups
        self.group = "world" if process_groups is None else self._group(process_groups)

    @property
    def group_size(self):
        """Processes whose batches count together: 1 until communication begins."""
        return _dist.size(self.group)

    @staticmethod
    def _group(process_groups):
        """The name of the group that this process is in, made where it is not there."""
        size, rank = _dist.size(), _dist.rank()
        ranks = [r for group in process_groups for r in group]
        if sorted(ranks) != list(range(size)):
            raise _errors.ValueError(f"[SyncBatchNorm] process_groups must hold every rank from 0 to {size - 1} once, got {process_groups}")
        mine = next(list(group) for group in process_groups if rank in group)
        if len(mine) == size:
            return "world"
        name = "sync_batch_norm_" + "_".join(map(str, mine))
        if name not in _made:
            _dist.create_group(name, mine)
            _made.add(name)
        return name

    def construct(self, x):
        by_batch = self.training if self.use_batch_statistics is None else self.use_batch_statistics
        if not by_batch or self.group_size == 1 or x.ndim not in self._ranks:
            return super().construct(x)
        y, mean, rstd = table.sync_batch_norm(x, self.gamma, self.beta, eps=self.eps, group=self.group)
        count = x.size // max(x.shape[1], 1) * self.group_size
        _rutile.updates.batch_norm_update_stats(self.moving_mean, self.moving_variance, mean, rstd, momentum=1 - self.momentum,
                                                eps=self.eps, count=count)
        return y


_made = set()  # groups of SyncBatchNorm


class LayerNormExt(Cell):
    """LayerNorm with the arguments of mint.nn: eps 1e-5, weight and bias by those names."""

    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, dtype=None):
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        if not isinstance(shape, (tuple, list)):
            raise _errors.TypeError(f"[LayerNormExt] normalized_shape must be an int or a tuple, got {normalized_shape!r}")
        if not shape:
            raise _errors.ValueError("[LayerNormExt] normalized_shape must have one dimension at least")
        shape = tuple(shape)
        _positive("LayerNormExt", normalized_shape=shape)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        dtype = "float32" if dtype is None else dtype
        self.weight = Parameter(initializer("ones", shape, dtype)) if elementwise_affine else None
        self.bias = Parameter(initializer("zeros", shape, dtype)) if elementwise_affine and bias else None

    def construct(self, input):
        n = len(self.normalized_shape)
        if input.shape[input.ndim - n:] != self.normalized_shape:
            raise _errors.ValueError(f"[LayerNormExt] expects {self.normalized_shape} as last dimensions, got {input.shape}")
        return table.layer_norm(input, self.weight, self.bias, axes=n, eps=self.eps)[0]

    def extend_repr(self):
        return f"normalized_shape={self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class LRN(Cell):
    """x / (bias + alpha * sum of squares over 2 depth_radius + 1 channels)^beta (Krizhevsky et al., 2012)."""

    def __init__(self, depth_radius=5, bias=1.0, alpha=1.0, beta=0.5, norm_region="ACROSS_CHANNELS"):
        super().__init__()
        self.depth_radius, self.bias, self.alpha, self.beta = depth_radius, bias, alpha, beta
        self.norm_region = norm_region

    def construct(self, input_x):
        return ops.lrn(input_x, self.depth_radius, self.bias, self.alpha, self.beta, self.norm_region)
