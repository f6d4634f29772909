# SPDX-License-Identifier: Apache-2.0
"""Further continuous distributions."""

import math as _math

from rutile import ops
from rutile.nn.probability.distribution.base import Known, nan_like, parameter

__all__ = ["Beta", "Cauchy", "Exponential", "Gamma", "Gumbel", "Laplace", "Logistic", "Uniform"]

_EULER = 0.5772156649015329


def _inside(x, inside, value, outside):
    return ops.where(inside, value, ops.full_like(value, outside))


class Uniform(Known):
    """The uniform distribution between low and high."""

    _names = ("low", "high")

    def __init__(self, low=None, high=None, seed=None, dtype="float32", name="Uniform"):
        self._setup(seed, dtype, name, low=low, high=high)
        if low is not None and high is not None and not bool((self._low_value < self._high_value).all()):
            from rutile import errors
            raise errors.ValueError(f"{name}: low must be less than high, got {low} and {high}")

    low = parameter("low", "The lower bound.")
    high = parameter("high", "The upper bound.")

    def at_mean(self, low, high):
        """(low + high) / 2"""
        return (low + high) / 2

    def at_var(self, low, high):
        """(high - low)^2 / 12"""
        return (high - low) * (high - low) / 12

    def at_entropy(self, low, high):
        """log(high - low)"""
        return ops.log(high - low)

    def at_prob(self, x, low, high):
        """1 / (high - low) inside."""
        one = 1 / (high - low) + ops.zeros_like(x)
        return _inside(x, ops.logical_and(x >= low, x <= high), one, 0.0)

    def at_cdf(self, x, low, high):
        """(x - low) / (high - low), within 0 and 1."""
        return ops.clamp((x - low) / (high - low), 0.0, 1.0)

    def at_kl_loss(self, own, others):
        """log((hb - lb) / (ha - la)); infinite where the other one does not contain this one."""
        (la, ha), (lb, hb) = own, others
        value = ops.log(hb - lb) - ops.log(ha - la)
        return _inside(value, ops.logical_and(lb <= la, ha <= hb), value, float("inf"))

    def at_sample(self, shape, low, high):
        """Numbers drawn."""
        return low + (high - low) * self.uniform01(shape)


class Exponential(Known):
    """The exponential distribution with a rate."""

    _names, _positive = ("rate",), ("rate",)

    def __init__(self, rate=None, seed=None, dtype="float32", name="Exponential"):
        self._setup(seed, dtype, name, rate=rate)

    rate = parameter("rate", "The rate.")

    def at_mean(self, rate):
        """1 / rate"""
        return 1 / rate

    def at_mode(self, rate):
        """0"""
        return ops.zeros_like(rate)

    at_sd = at_mean

    def at_entropy(self, rate):
        """1 - log(rate)"""
        return 1 - ops.log(rate)

    def at_log_prob(self, x, rate):
        """log(rate) - rate x from 0 on."""
        value = ops.log(rate) - rate * x
        return _inside(x, value.isfinite().logical_and(x + ops.zeros_like(rate) >= 0), value, float("-inf"))

    def at_cdf(self, x, rate):
        """1 - exp(-rate x)"""
        return -ops.expm1(-rate * ops.relu(x))

    def at_log_survival(self, x, rate):
        """-rate x"""
        return -rate * ops.relu(x)

    def at_kl_loss(self, own, others):
        """log(ra / rb) + rb / ra - 1"""
        (a,), (b,) = own, others
        return ops.log(a) - ops.log(b) + b / a - 1

    def at_sample(self, shape, rate):
        """Numbers drawn."""
        return -ops.log(self.uniform01(shape)) / rate


class Gamma(Known):
    """The gamma distribution with a concentration and a rate."""

    _names, _positive = ("concentration", "rate"), ("concentration", "rate")

    def __init__(self, concentration=None, rate=None, seed=None, dtype="float32", name="Gamma"):
        self._setup(seed, dtype, name, concentration=concentration, rate=rate)

    concentration = parameter("concentration", "The concentration.")
    rate = parameter("rate", "The rate.")

    def at_mean(self, a, rate):
        """concentration / rate"""
        return a / rate

    def at_var(self, a, rate):
        """concentration / rate^2"""
        return a / (rate * rate)

    def at_mode(self, a, rate):
        """(concentration - 1) / rate; NaN up to concentration 1."""
        return ops.where(a > 1, (a - 1) / rate, nan_like(a))

    def at_entropy(self, a, rate):
        """a - log(rate) + log Gamma(a) + (1 - a) psi(a)"""
        return a - ops.log(rate) + ops.lgamma(a) + (1 - a) * ops.digamma(a)

    def at_log_prob(self, x, a, rate):
        """(a - 1) log(x) - rate x + a log(rate) - log Gamma(a)"""
        return ops.xlogy(a - 1, x) - rate * x + a * ops.log(rate) - ops.lgamma(a)

    def at_cdf(self, x, a, rate):
        """The regularised incomplete gamma function of rate x."""
        x = ops.relu(rate * x)
        return ops.igamma(a + ops.zeros_like(x), x)

    def at_kl_loss(self, own, others):
        """(aa - ab) psi(aa) - log Gamma(aa) + log Gamma(ab) + ab log(ra / rb) + aa (rb / ra - 1)"""
        (a, r), (b, s) = own, others
        return (a - b) * ops.digamma(a) + ops.lgamma(b) - ops.lgamma(a) + b * (ops.log(r) - ops.log(s)) + a * (s / r - 1)

    def at_sample(self, shape, a, rate):
        """Numbers drawn."""
        return ops.random_gamma(shape[:len(shape) - a.ndim], a, self._seed_of(0)).cast(self.parameter_type) / rate


class Beta(Known):
    """The beta distribution with concentrations at 1 and at 0."""

    _names, _positive = ("concentration1", "concentration0"), ("concentration1", "concentration0")

    def __init__(self, concentration1=None, concentration0=None, seed=None, dtype="float32", name="Beta"):
        self._setup(seed, dtype, name, concentration1=concentration1, concentration0=concentration0)

    concentration1 = parameter("concentration1", "The concentration at 1.")
    concentration0 = parameter("concentration0", "The concentration at 0.")

    def at_mean(self, a, b):
        """a / (a + b)"""
        return a / (a + b)

    def at_var(self, a, b):
        """a b / ((a + b)^2 (a + b + 1))"""
        s = a + b
        return a * b / (s * s * (s + 1))

    def at_mode(self, a, b):
        """(a - 1) / (a + b - 2); NaN unless both are above 1."""
        inside = ops.logical_and(a > 1, b > 1)
        return ops.where(inside, (a - 1) / ops.where(inside, a + b - 2, ops.ones_like(a)), nan_like(a))

    def _log_beta(self, a, b):
        return ops.lgamma(a) + ops.lgamma(b) - ops.lgamma(a + b)

    def at_entropy(self, a, b):
        """log B(a, b) - (a - 1) psi(a) - (b - 1) psi(b) + (a + b - 2) psi(a + b)"""
        return (self._log_beta(a, b) - (a - 1) * ops.digamma(a) - (b - 1) * ops.digamma(b) + (a + b - 2) * ops.digamma(a + b))

    def at_log_prob(self, x, a, b):
        """(a - 1) log(x) + (b - 1) log(1 - x) - log B(a, b)"""
        return ops.xlogy(a - 1, x) + ops.xlogy(b - 1, 1 - x) - self._log_beta(a, b)

    def at_cdf(self, x, a, b):
        """The regularised incomplete beta function."""
        x = ops.clamp(x, 0.0, 1.0)
        zero = ops.zeros_like(x + a)
        return ops.betainc(a + zero, b + zero, x + zero)

    def at_kl_loss(self, own, others):
        """log(B(ab, bb) / B(aa, ba)) + (aa - ab) psi(aa) + (ba - bb) psi(ba) + (ab - aa + bb - ba) psi(aa + ba)"""
        (a, b), (c, d) = own, others
        return (self._log_beta(c, d) - self._log_beta(a, b) + (a - c) * ops.digamma(a) + (b - d) * ops.digamma(b)
                + (c - a + d - b) * ops.digamma(a + b))

    def at_sample(self, shape, a, b):
        """Numbers drawn."""
        front = shape[:len(shape) - a.ndim]
        x, y = (ops.random_gamma(front, v, self._seed_of(i)).cast(self.parameter_type) for i, v in enumerate((a, b)))
        return x / (x + y)


class Cauchy(Known):
    """Cauchy's distribution around loc with a scale; it has no mean and no variance."""

    _names, _positive = ("loc", "scale"), ("scale",)

    def __init__(self, loc=None, scale=None, seed=None, dtype="float32", name="Cauchy"):
        self._setup(seed, dtype, name, loc=loc, scale=scale)

    loc = parameter("loc", "The middle.")
    scale = parameter("scale", "The scale.")

    def at_mean(self, loc, scale):
        """NaN"""
        return nan_like(loc)

    at_sd = at_var = at_mean

    def at_mode(self, loc, scale):
        """loc"""
        return loc

    def at_entropy(self, loc, scale):
        """log(4 pi scale)"""
        return ops.log(4 * _math.pi * scale)

    def at_log_prob(self, x, loc, scale):
        """-log(pi scale (1 + z^2))"""
        z = (x - loc) / scale
        return -_math.log(_math.pi) - ops.log(scale) - ops.log1p(z * z)

    def at_cdf(self, x, loc, scale):
        """1/2 + atan(z) / pi"""
        return 0.5 + ops.atan((x - loc) / scale) / _math.pi

    def at_survival_function(self, x, loc, scale):
        """1/2 - atan(z) / pi"""
        return 0.5 - ops.atan((x - loc) / scale) / _math.pi

    def at_kl_loss(self, own, others):
        """log(((sa + sb)^2 + (la - lb)^2) / (4 sa sb))"""
        (la, sa), (lb, sb) = own, others
        return ops.log((sa + sb) * (sa + sb) + (la - lb) * (la - lb)) - ops.log(4 * sa * sb)

    def at_sample(self, shape, loc, scale):
        """Numbers drawn."""
        return loc + scale * ops.tan(_math.pi * (self.uniform01(shape) - 0.5))


class Laplace(Known):
    """Laplace's distribution around mean with the scale sd."""

    _names, _positive = ("mean", "sd"), ("sd",)

    def __init__(self, mean=None, sd=None, seed=None, dtype="float32", name="Laplace"):
        self._setup(seed, dtype, name, mean=mean, sd=sd)

    def at_mean(self, mean, sd):
        """mean"""
        return mean

    at_mode = at_mean

    def at_var(self, mean, sd):
        """2 sd^2"""
        return 2 * sd * sd

    def at_entropy(self, mean, sd):
        """1 + log(2 sd)"""
        return 1 + ops.log(2 * sd)

    def at_log_prob(self, x, mean, sd):
        """-|x - mean| / sd - log(2 sd)"""
        return -ops.abs(x - mean) / sd - ops.log(2 * sd)

    def at_cdf(self, x, mean, sd):
        """exp(-|z|) / 2 below mean, 1 less that above."""
        z = (x - mean) / sd
        half = 0.5 * ops.exp(-ops.abs(z))
        return ops.where(z < 0, half, 1 - half)

    def at_kl_loss(self, own, others):
        """log(sb / sa) + |ma - mb| / sb + sa / sb exp(-|ma - mb| / sa) - 1"""
        (ma, sa), (mb, sb) = own, others
        far = ops.abs(ma - mb)
        return ops.log(sb) - ops.log(sa) + far / sb + sa / sb * ops.exp(-far / sa) - 1

    def at_sample(self, shape, mean, sd):
        """Numbers drawn."""
        u = self.uniform01(shape) - 0.5
        return mean - sd * ops.sign(u) * ops.log1p(-2 * ops.abs(u))


class Logistic(Known):
    """The logistic distribution around loc with a scale."""

    _names, _positive = ("loc", "scale"), ("scale",)

    def __init__(self, loc=None, scale=None, seed=None, dtype="float32", name="Logistic"):
        self._setup(seed, dtype, name, loc=loc, scale=scale)

    loc = parameter("loc", "The middle.")
    scale = parameter("scale", "The scale.")

    def at_mean(self, loc, scale):
        """loc"""
        return loc

    at_mode = at_mean

    def at_sd(self, loc, scale):
        """scale pi / sqrt(3)"""
        return scale * (_math.pi / _math.sqrt(3))

    def at_entropy(self, loc, scale):
        """log(scale) + 2"""
        return ops.log(scale) + 2

    def at_log_prob(self, x, loc, scale):
        """-z - 2 log(1 + exp(-z)) - log(scale)"""
        z = (x - loc) / scale
        return -z + 2 * ops.logsigmoid(z) - ops.log(scale)

    def at_cdf(self, x, loc, scale):
        """1 / (1 + exp(-z))"""
        return ops.sigmoid((x - loc) / scale)

    def at_log_cdf(self, x, loc, scale):
        """-log(1 + exp(-z))"""
        return ops.logsigmoid((x - loc) / scale)

    def at_survival_function(self, x, loc, scale):
        """1 / (1 + exp(z))"""
        return ops.sigmoid((loc - x) / scale)

    def at_log_survival(self, x, loc, scale):
        """-log(1 + exp(z))"""
        return ops.logsigmoid((loc - x) / scale)

    def at_sample(self, shape, loc, scale):
        """Numbers drawn."""
        u = self.uniform01(shape)
        return loc + scale * (ops.log(u) - ops.log1p(-u))


class Gumbel(Known):
    """Gumbel's distribution (of maxima) around loc with a scale."""

    _names, _positive = ("loc", "scale"), ("scale",)

    def __init__(self, loc, scale, seed=0, dtype="float32", name="Gumbel"):
        self._setup(seed, dtype, name, loc=loc, scale=scale)

    loc = parameter("loc", "The most probable value.")
    scale = parameter("scale", "The scale.")

    def at_mean(self, loc, scale):
        """loc + 0.5772 scale"""
        return loc + scale * _EULER

    def at_mode(self, loc, scale):
        """loc"""
        return loc

    def at_sd(self, loc, scale):
        """scale pi / sqrt(6)"""
        return scale * (_math.pi / _math.sqrt(6))

    def at_entropy(self, loc, scale):
        """1 + 0.5772 + log(scale)"""
        return 1 + _EULER + ops.log(scale)

    def at_log_prob(self, x, loc, scale):
        """-z - exp(-z) - log(scale)"""
        z = (x - loc) / scale
        return -z - ops.exp(-z) - ops.log(scale)

    def at_log_cdf(self, x, loc, scale):
        """-exp(-z)"""
        return -ops.exp((loc - x) / scale)

    def at_kl_loss(self, own, others):
        """log(sb / sa) + 0.5772 (sa / sb - 1) + exp((lb - la) / sb) Gamma(sa / sb + 1) - 1 + (la - lb) / sb"""
        (la, sa), (lb, sb) = own, others
        return (ops.log(sb) - ops.log(sa) + _EULER * (sa / sb - 1) + ops.expm1((lb - la) / sb + ops.lgamma(sa / sb + 1)) + (la - lb) / sb)

    def at_sample(self, shape, loc, scale):
        """Numbers drawn."""
        return loc - scale * ops.log(-ops.log(self.uniform01(shape)))
