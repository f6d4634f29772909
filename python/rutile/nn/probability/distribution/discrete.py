# SPDX-License-Identifier: Apache-2.0
"""Distributions of whole numbers. Values that are none count as the next below."""

import numpy as _np

from rutile import _rutile, ops
from rutile._rutile import Tensor
from rutile.nn.probability.distribution.base import Known, name_of, nan_like, parameter

__all__ = ["Bernoulli", "Categorical", "Geometric", "Poisson"]

_errors = _rutile.errors


def _step(x):
    return ops.floor(x)


class Bernoulli(Known):
    """1 with a probability, else 0."""

    _names, _within, _types = ("probs",), ("probs",), "any"

    def __init__(self, probs=None, seed=None, dtype="int32", name="Bernoulli"):
        self._setup(seed, dtype, name, probs=probs)

    probs = parameter("probs", "The probability of 1.")

    def at_mean(self, p):
        """p"""
        return p

    def at_mode(self, p):
        """1 from p above 1/2 on."""
        return (p > 0.5).cast(self.parameter_type)

    def at_var(self, p):
        """p (1 - p)"""
        return p * (1 - p)

    def at_entropy(self, p):
        """-p log(p) - (1 - p) log(1 - p)"""
        return -ops.xlogy(p, p) - ops.xlogy(1 - p, 1 - p)

    def at_log_prob(self, x, p):
        """x log(p) + (1 - x) log(1 - p)"""
        x = _step(x)
        return ops.xlogy(x, p) + ops.xlogy(1 - x, 1 - p)

    def at_cdf(self, x, p):
        """0 below 0, 1 - p below 1, 1 above."""
        x = _step(x) + ops.zeros_like(p)
        return ops.where(x < 0, ops.zeros_like(x), ops.where(x >= 1, ops.ones_like(x), 1 - p + ops.zeros_like(x)))

    def at_kl_loss(self, own, others):
        """pa log(pa / pb) + (1 - pa) log((1 - pa) / (1 - pb))"""
        (a,), (b,) = own, others
        return ops.xlogy(a, a) - ops.xlogy(a, b) + ops.xlogy(1 - a, 1 - a) - ops.xlogy(1 - a, 1 - b)

    def at_sample(self, shape, p):
        """Numbers drawn."""
        return self.uniform01(shape) < p


class Geometric(Known):
    """The number of failures in front of the first success, of a probability."""

    _names, _within, _types = ("probs",), ("probs",), "any"

    def __init__(self, probs=None, seed=None, dtype="int32", name="Geometric"):
        self._setup(seed, dtype, name, probs=probs)

    probs = parameter("probs", "The probability of success.")

    def at_mean(self, p):
        """(1 - p) / p"""
        return (1 - p) / p

    def at_mode(self, p):
        """0"""
        return ops.zeros_like(p)

    def at_var(self, p):
        """(1 - p) / p^2"""
        return (1 - p) / (p * p)

    def at_entropy(self, p):
        """-(p log(p) + (1 - p) log(1 - p)) / p"""
        return -(ops.xlogy(p, p) + ops.xlogy(1 - p, 1 - p)) / p

    def at_prob(self, x, p):
        """(1 - p)^x p from 0 on."""
        x = _step(x) + ops.zeros_like(p)
        return ops.where(x >= 0, ops.exp(ops.xlogy(ops.relu(x), 1 - p)) * p, ops.zeros_like(x))

    def at_cdf(self, x, p):
        """1 - (1 - p)^(x + 1)"""
        x = _step(x) + ops.zeros_like(p)
        return ops.where(x >= 0, -ops.expm1(ops.xlogy(ops.relu(x) + 1, 1 - p)), ops.zeros_like(x))

    def at_kl_loss(self, own, others):
        """log(pa / pb) + (1 - pa) / pa log((1 - pa) / (1 - pb))"""
        (a,), (b,) = own, others
        return ops.log(a) - ops.log(b) + (1 - a) / a * (ops.log1p(-a) - ops.log1p(-b))

    def at_sample(self, shape, p):
        """Numbers drawn."""
        return ops.floor(ops.log(self.uniform01(shape)) / ops.log1p(-p))


class Poisson(Known):
    """Poisson's distribution with a rate."""

    _names, _positive, _types = ("rate",), ("rate",), "any"

    def __init__(self, rate=None, seed=None, dtype="float32", name="Poisson"):
        self._setup(seed, dtype, name, rate=rate)

    rate = parameter("rate", "The rate.")

    def at_mean(self, rate):
        """rate"""
        return rate

    at_var = at_mean

    def at_mode(self, rate):
        """The whole part of rate."""
        return ops.floor(rate)

    def at_log_prob(self, x, rate):
        """x log(rate) - rate - log(x!) from 0 on."""
        whole = _step(x) + ops.zeros_like(rate)
        value = ops.relu(whole) * ops.log(rate) - rate - ops.lgamma(ops.relu(whole) + 1)
        return ops.where(whole >= 0, value, ops.full_like(value, float("-inf")))

    def at_cdf(self, x, rate):
        """The upper regularised incomplete gamma function of x + 1."""
        whole = _step(x) + ops.zeros_like(rate)
        value = ops.igammac(ops.relu(whole) + 1, rate + ops.zeros_like(whole))
        return ops.where(whole >= 0, value, ops.zeros_like(value))

    def at_sample(self, shape, rate):
        """Numbers drawn."""
        return ops.random_poisson(shape[:len(shape) - rate.ndim], rate, self._seed_of(0))


class Categorical(Known):
    """0, 1, ... with the probabilities [..., classes], which sum up to 1."""

    _names, _within, _types = ("probs",), ("probs",), "any"

    def __init__(self, probs=None, seed=None, dtype="int32", name="Categorical"):
        if probs is not None:
            if len(probs.shape if hasattr(probs, "shape") else _np.shape(probs)) < 1:
                raise _errors.ValueError(f"{name}: probs must have one dimension at least, got the number {probs}")
            sums = (probs.asnumpy() if isinstance(probs, Tensor) else _np.asarray(probs, _np.float64)).sum(-1)
            if not _np.allclose(sums, 1, atol=1e-5):
                raise _errors.ValueError(f"{name}: probs must sum up to 1, got {sums}")
        self._setup(seed, dtype, name, probs=probs)
        if probs is not None:
            self._broadcast_shape = self._broadcast_shape[:-1]
            self._is_scalar_batch = self._broadcast_shape == ()

    probs = parameter("probs", "The probabilities.")

    @staticmethod
    def _classes(p):
        return ops.arange(p.shape[-1]).cast(p.dtype)

    def at_mean(self, p):
        """The sum of i p[i], [..., 1]."""
        return (self._classes(p) * p).sum(-1, keepdims=True)

    def at_mode(self, p):
        """The class with the largest probability."""
        return ops.argmax(p, -1).cast(name_of(self._dtype))

    def at_var(self, p):
        """The sum of i^2 p[i] less the mean's square, [..., 1]."""
        i = self._classes(p)
        mean = (i * p).sum(-1, keepdims=True)
        return (i * i * p).sum(-1, keepdims=True) - mean * mean

    def at_entropy(self, p):
        """The sum of -p log(p)."""
        return -ops.xlogy(p, p).sum(-1)

    def _picked(self, table, x):
        # The entries of table [..., classes] at whole numbers of any shape that broadcasts with [...].
        n = table.shape[-1]
        shape = _np.broadcast_shapes(tuple(x.shape), tuple(table.shape[:-1]))
        x = ops.broadcast_to(x, shape)
        at = ops.clamp(x, 0.0, float(n - 1)).cast("int32").expand_dims(-1)
        return x, ops.gather_elements(ops.broadcast_to(table, (*shape, n)), len(shape), at).squeeze(-1)

    def at_log_prob(self, x, p):
        """log(p[x]); NaN where there is no such class."""
        x = ops.where(ops.logical_and(x < 0, x > -1), ops.zeros_like(x), _step(x))
        x, out = self._picked(ops.log(p), x)
        return ops.where(ops.logical_and(x >= 0, x <= p.shape[-1] - 1), out, nan_like(out))

    def at_cdf(self, x, p):
        """The sum of p up to x."""
        x = ops.where(ops.logical_and(x < 0, x > -1), ops.zeros_like(x), _step(x))
        x, out = self._picked(ops.cumsum(p, -1), x)
        return ops.where(x < 0, ops.zeros_like(out), out)

    def at_kl_loss(self, own, others):
        """The sum of pa log(pa / pb)."""
        (a,), (b,) = own, others
        return (ops.xlogy(a, a) - ops.xlogy(a, b)).sum(-1)

    def _drawn(self, f, shape, params):
        (p,) = params
        shape, front = tuple(shape), tuple(p.shape[:-1])
        count = int(_np.prod(shape, dtype=_np.int64))
        out = ops.multinomial(p.reshape(-1, p.shape[-1]), count, True, self._seed_of(0))
        return out.swapaxes(0, 1).reshape(*shape, *front).cast(name_of(self._dtype))

    def at_sample(self, shape, p):
        """Numbers drawn (by _drawn)."""
