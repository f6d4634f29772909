# SPDX-License-Identifier: Apache-2.0
"""Networks: Cell, layers, losses, optimizers and training steps, by MindSpore's names."""

from rutile.nn.cell import Cell
from rutile.nn.container import *  # noqa: F401,F403
from rutile.nn.activation import *  # noqa: F401,F403
from rutile.nn.layer import *  # noqa: F401,F403
from rutile.nn.layer_table import *  # noqa: F401,F403
from rutile.nn.basic import *  # noqa: F401,F403
from rutile.nn.convolutions import *  # noqa: F401,F403
from rutile.nn.pools import *  # noqa: F401,F403
from rutile.nn.paddings import *  # noqa: F401,F403
from rutile.nn.normalizations import *  # noqa: F401,F403
from rutile.nn.recurrent import *  # noqa: F401,F403
from rutile.nn.transformer import *  # noqa: F401,F403
from rutile.nn.image import *  # noqa: F401,F403
from rutile.nn.math import *  # noqa: F401,F403
from rutile.nn.learning_rate_schedule import *  # noqa: F401,F403
from rutile.nn.loss import *  # noqa: F401,F403
from rutile.nn.more_losses import *  # noqa: F401,F403
from rutile.nn.optimizer import *  # noqa: F401,F403
from rutile.nn.more_optimizers import *  # noqa: F401,F403
from rutile.nn.wrap import *  # noqa: F401,F403
from rutile.nn import (activation, basic, container, convolutions, image, layer, learning_rate_schedule,  # noqa: F401
                       loss, math, layer_table, more_losses, more_optimizers, normalizations, optim, optimizer,
                       paddings, pools, recurrent, transformer, wrap)

__all__ = ["Cell"] + sum((m.__all__ for m in (
    activation, basic, container, convolutions, image, layer, learning_rate_schedule, loss, math, layer_table,
    more_losses, more_optimizers, normalizations, optimizer, paddings, pools, recurrent, transformer, wrap)), [])


_Loss = LossBase  # noqa: F405  r1.1's name, which scripts of that time import


def __getattr__(name):
    if name == "probability":  # seldom used, so loaded when it is asked for
        import importlib
        return importlib.import_module("rutile.nn.probability")
    # MindSpore has the metrics here as well; they are built on this module.
    from rutile.train import metrics
    if name in metrics.__all__:
        return getattr(metrics, name)
    raise AttributeError(f"module 'rutile.nn' has no attribute {name!r}")
