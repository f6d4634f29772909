# SPDX-License-Identifier: Apache-2.0
"""Optimizers with PyTorch's arguments and groups, and learning rates for them (lr_scheduler)."""

from rutile.experimental.optim.optimizer import Optimizer
from rutile.experimental.optim.optimizers import *  # noqa: F401,F403
from rutile.experimental.optim import lr_scheduler, optimizers

__all__ = ["Optimizer", "lr_scheduler"] + optimizers.__all__
