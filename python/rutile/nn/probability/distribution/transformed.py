# SPDX-License-Identifier: Apache-2.0
"""A distribution seen through a bijector."""

from rutile import _rutile, ops
from rutile.nn.probability.distribution.base import Distribution

__all__ = ["TransformedDistribution"]

_errors = _rutile.errors


class TransformedDistribution(Distribution):
    """The distribution of bijector.forward(x), x of a distribution; with a bijector of constant slope its mean is known.

    >>> import rutile
    >>> import rutile.nn.probability.bijector as msb
    >>> import rutile.nn.probability.distribution as msd
    >>> log_normal = msd.TransformedDistribution(msb.Exp(), msd.Normal(0.0, 1.0))
    >>> x = rutile.Tensor([0.5, 2.0])
    >>> bool((log_normal.prob(x) - msd.LogNormal(0.0, 1.0).prob(x)).abs().max() < 1e-6)
    True
    """

    def __init__(self, bijector, distribution, seed=None, name="transformed_distribution"):
        from rutile.nn.probability.bijector import Bijector
        if not isinstance(bijector, Bijector):
            raise _errors.TypeError(f"{name}: bijector must be a Bijector, got {type(bijector).__name__}")
        if not isinstance(distribution, Distribution):
            raise _errors.TypeError(f"{name}: distribution must be a Distribution, got {type(distribution).__name__}")
        super().__init__(seed, distribution.dtype, name, {"bijector": bijector, "distribution": distribution, "seed": seed, "name": name})
        self._bijector, self._distribution = bijector, distribution
        self._is_linear_transformation = bijector.is_constant_jacobian
        self.default_parameters, self.parameter_names = distribution.default_parameters, distribution.parameter_names
        self._batch_shape, self._broadcast_shape = distribution.batch_shape, distribution.broadcast_shape
        self._is_scalar_batch = distribution.is_scalar_batch

    @property
    def bijector(self):
        """The bijector."""
        return self._bijector

    @property
    def distribution(self):
        """The distribution behind it."""
        return self._distribution

    @property
    def is_linear_transformation(self):
        """Whether the bijector's slope is constant."""
        return self._is_linear_transformation

    def _cdf(self, value, *args, **kwargs):
        return self.distribution.cdf(self.bijector.inverse(value), *args, **kwargs)

    def _log_prob(self, value, *args, **kwargs):
        inner = self.distribution.log_prob(self.bijector.inverse(value), *args, **kwargs)
        out = inner + self.bijector.inverse_log_jacobian(value)
        return ops.where(inner == float("-inf"), inner + ops.zeros_like(out), out)

    def _sample(self, *args, **kwargs):
        return self.bijector.forward(self.distribution.sample(*args, **kwargs))

    def _mean(self, *args, **kwargs):
        if not self.is_linear_transformation:
            raise _errors.UnsupportedError(f"{self.name} has no mean: its bijector's slope is not constant")
        return self.bijector.forward(self.distribution.mean(*args, **kwargs))
