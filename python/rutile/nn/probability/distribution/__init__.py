# SPDX-License-Identifier: Apache-2.0
"""Distributions: probabilities, moments, divergences and samples, as compositions of ops (with gradients, eager and compiled).

>>> import rutile
>>> import rutile.nn.probability.distribution as msd
>>> n = msd.Normal(0.0, 1.0)
>>> round(float(n.cdf(rutile.Tensor(1.96))), 3), n.sample((2, 3)).shape
(0.975, (2, 3))
"""

from rutile.nn.probability.distribution import base as distribution  # noqa: F401  MindSpore's file of the base class
from rutile.nn.probability.distribution.base import Distribution
from rutile.nn.probability.distribution.discrete import Bernoulli, Categorical, Geometric, Poisson
from rutile.nn.probability.distribution.normals import HalfNormal, LogNormal, Normal, StudentT
from rutile.nn.probability.distribution.others import Beta, Cauchy, Exponential, Gamma, Gumbel, Laplace, Logistic, Uniform
from rutile.nn.probability.distribution.transformed import TransformedDistribution

__all__ = ["Bernoulli", "Beta", "Categorical", "Cauchy", "Distribution", "Exponential", "Gamma", "Geometric", "Gumbel", "HalfNormal",
           "Laplace", "LogNormal", "Logistic", "Normal", "Poisson", "StudentT", "TransformedDistribution", "Uniform"]
