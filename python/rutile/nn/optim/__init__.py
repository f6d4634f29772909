# SPDX-License-Identifier: Apache-2.0
"""MindSpore's place for the optimizers."""

from rutile.nn.optim import momentum
from rutile.nn.optimizer import Adam, AdamWeightDecay, Momentum, Optimizer, SGD

__all__ = ["Adam", "AdamWeightDecay", "Momentum", "Optimizer", "SGD", "momentum"]
