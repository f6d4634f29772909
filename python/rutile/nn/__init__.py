# SPDX-License-Identifier: Apache-2.0
"""Networks: Cell, layers, losses, optimizers and training steps, by MindSpore's names."""

from rutile.nn.cell import Cell
from rutile.nn.container import *  # noqa: F401,F403
from rutile.nn.layer import *  # noqa: F401,F403
from rutile.nn.more_layers import *  # noqa: F401,F403
from rutile.nn.learning_rate_schedule import *  # noqa: F401,F403
from rutile.nn.loss import *  # noqa: F401,F403
from rutile.nn.optimizer import *  # noqa: F401,F403
from rutile.nn.wrap import *  # noqa: F401,F403
from rutile.nn import container, layer, learning_rate_schedule, loss, more_layers, optim, optimizer, wrap  # noqa: F401

__all__ = ["Cell"] + sum((m.__all__ for m in (container, layer, learning_rate_schedule, loss, more_layers, optimizer, wrap)), [])
