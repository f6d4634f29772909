# SPDX-License-Identifier: Apache-2.0
"""Distributions, bijectors and Bayesian layers, by the names of mindspore.nn.probability."""

from rutile.nn.probability import bijector, bnn_layers, distribution

__all__ = ["bijector", "bnn_layers", "distribution"]
