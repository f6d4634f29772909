# SPDX-License-Identifier: Apache-2.0
"""Distributions around the normal one."""

import math as _math

from rutile import ops
from rutile.nn.probability.distribution.base import Known, nan_like, parameter

__all__ = ["HalfNormal", "LogNormal", "Normal", "StudentT"]

_LOG_2PI = _math.log(2 * _math.pi)


class Normal(Known):
    """The normal distribution with a mean and a standard deviation.

    >>> import rutile
    >>> import rutile.nn.probability.distribution as msd
    >>> n = msd.Normal(0.0, 2.0)
    >>> one = rutile.Tensor(1.0)
    >>> round(float(n.kl_loss("Normal", one, one)), 4), float(n.sd())
    (1.3069, 2.0)
    """

    _names, _positive = ("mean", "sd"), ("sd",)

    def __init__(self, mean=None, sd=None, seed=None, dtype="float32", name="Normal"):
        self._setup(seed, dtype, name, mean=mean, sd=sd)

    def at_mean(self, mean, sd):
        """The mean."""
        return mean

    at_mode = at_mean

    def at_sd(self, mean, sd):
        """The standard deviation."""
        return sd

    def at_entropy(self, mean, sd):
        """log(sd sqrt(2 pi e))"""
        return 0.5 * (1 + _LOG_2PI) + ops.log(sd)

    def at_log_prob(self, x, mean, sd):
        """-((x - mean) / sd)^2 / 2 - log(sd sqrt(2 pi))"""
        z = (x - mean) / sd
        return -0.5 * z * z - 0.5 * _LOG_2PI - ops.log(sd)

    def at_cdf(self, x, mean, sd):
        """erfc(-(x - mean) / (sd sqrt(2))) / 2"""
        return 0.5 * ops.erfc((mean - x) / (sd * _math.sqrt(2)))

    def at_survival_function(self, x, mean, sd):
        """erfc((x - mean) / (sd sqrt(2))) / 2"""
        return 0.5 * ops.erfc((x - mean) / (sd * _math.sqrt(2)))

    def at_kl_loss(self, own, others):
        """((ma - mb) / sb)^2 / 2 + (sa / sb)^2 / 2 - 1/2 - log(sa / sb)"""
        (ma, sa), (mb, sb) = own, others
        z, log = (ma - mb) / sb, ops.log(sa) - ops.log(sb)
        return 0.5 * z * z + 0.5 * ops.expm1(2 * log) - log

    def at_sample(self, shape, mean, sd):
        """Numbers drawn."""
        return ops.standard_normal(shape, self._seed_of(0)).cast(self.parameter_type) * sd + mean


class LogNormal(Known):
    """The distribution of exp(x), x normal around loc with standard deviation scale."""

    _names, _positive = ("loc", "scale"), ("scale",)

    def __init__(self, loc=None, scale=None, seed=0, dtype="float32", name="LogNormal"):
        self._setup(seed, dtype, name, loc=loc, scale=scale)

    loc = parameter("loc", "The mean of the logarithms.")
    scale = parameter("scale", "The standard deviation of the logarithms.")

    def at_mean(self, loc, scale):
        """exp(loc + scale^2 / 2)"""
        return ops.exp(loc + 0.5 * scale * scale)

    def at_mode(self, loc, scale):
        """exp(loc - scale^2)"""
        return ops.exp(loc - scale * scale)

    def at_var(self, loc, scale):
        """(exp(scale^2) - 1) exp(2 loc + scale^2)"""
        return ops.expm1(scale * scale) * ops.exp(2 * loc + scale * scale)

    def at_entropy(self, loc, scale):
        """loc + log(scale sqrt(2 pi e))"""
        return loc + 0.5 * (1 + _LOG_2PI) + ops.log(scale)

    def at_log_prob(self, x, loc, scale):
        """The normal one's of log(x), less log(x)."""
        return Normal.at_log_prob(self, ops.log(x), loc, scale) - ops.log(x)

    def at_cdf(self, x, loc, scale):
        """The normal one's of log(x)."""
        return Normal.at_cdf(self, ops.log(x), loc, scale)

    def at_survival_function(self, x, loc, scale):
        """The normal one's of log(x)."""
        return Normal.at_survival_function(self, ops.log(x), loc, scale)

    def at_kl_loss(self, own, others):
        """The normal one's."""
        return Normal.at_kl_loss(self, own, others)

    def at_sample(self, shape, loc, scale):
        """Numbers drawn."""
        return ops.exp(Normal.at_sample(self, shape, loc, scale))


class HalfNormal(Known):
    """The upper half of the normal distribution with this mean and standard deviation."""

    _names, _positive = ("mean", "sd"), ("sd",)

    def __init__(self, mean=None, sd=None, seed=None, dtype="float32", name="HalfNormal"):
        self._setup(seed, dtype, name, mean=mean, sd=sd)

    def at_mean(self, mean, sd):
        """mean + sd sqrt(2 / pi)"""
        return mean + sd * _math.sqrt(2 / _math.pi)

    def at_mode(self, mean, sd):
        """mean"""
        return mean

    def at_var(self, mean, sd):
        """sd^2 (1 - 2 / pi)"""
        return sd * sd * (1 - 2 / _math.pi)

    def at_entropy(self, mean, sd):
        """log(sd sqrt(pi e / 2))"""
        return 0.5 * (1 + _math.log(_math.pi / 2)) + ops.log(sd)

    def at_prob(self, x, mean, sd):
        """Twice the normal one's, from mean on."""
        z = (x - mean) / sd
        return ops.where(z >= 0, _math.sqrt(2 / _math.pi) / sd * ops.exp(-0.5 * z * z), ops.zeros_like(z))

    def at_cdf(self, x, mean, sd):
        """erf((x - mean) / (sd sqrt(2))), from mean on."""
        z = (x - mean) / (sd * _math.sqrt(2))
        return ops.where(z >= 0, ops.erf(z), ops.zeros_like(z))

    def at_sample(self, shape, mean, sd):
        """Numbers drawn."""
        return mean + sd * ops.abs(ops.standard_normal(shape, self._seed_of(0)).cast(self.parameter_type))


class StudentT(Known):
    """Student's distribution with df degrees of freedom, moved by mean and scaled by sd."""

    _names, _positive = ("df", "mean", "sd"), ("df", "sd")

    def __init__(self, df=None, mean=None, sd=None, seed=None, dtype="float32", name="StudentT"):
        self._setup(seed, dtype, name, df=df, mean=mean, sd=sd)

    def at_log_prob(self, x, df, mean, sd):
        """-(df + 1) / 2 log(1 + y^2 / df) - log(sd sqrt(df pi) Gamma(df / 2) / Gamma((df + 1) / 2)), y = (x - mean) / sd"""
        y = (x - mean) / sd
        norm = ops.log(ops.abs(sd)) + 0.5 * ops.log(df) + 0.5 * _math.log(_math.pi) + ops.lgamma(0.5 * df) - ops.lgamma(0.5 * (df + 1))
        return -0.5 * (df + 1) * ops.log1p(y * y / df) - norm

    def at_mean(self, df, mean, sd):
        """mean; NaN up to df 1."""
        return ops.where(df > 1, mean, nan_like(mean))

    def at_mode(self, df, mean, sd):
        """mean"""
        return mean

    def at_var(self, df, mean, sd):
        """sd^2 df / (df - 2); infinite up to df 2, NaN up to df 1."""
        some = ops.where(df > 2, sd * sd * df / ops.where(df > 2, df - 2, ops.ones_like(df)), ops.full_like(df, float("inf")))
        return ops.where(df > 1, some, nan_like(df))

    def at_sample(self, shape, df, mean, sd):
        """Numbers drawn."""
        normal = ops.standard_normal(shape, self._seed_of(0)).cast(self.parameter_type)
        chi2 = 2 * ops.random_gamma(shape[:len(shape) - df.ndim], 0.5 * df, self._seed_of(1))
        return mean + sd * normal / ops.sqrt(chi2 / df)
