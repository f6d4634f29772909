# SPDX-License-Identifier: Apache-2.0
"""Layers and losses with PyTorch's arguments and defaults, as mindspore.mint.nn has them.

>>> from rutile import mint, ops
>>> mint.nn.Linear(3, 2)(ops.ones((4, 3))).shape
(4, 2)
"""

from rutile.mint.nn import functional
from rutile.mint.nn.layers import *  # noqa: F401,F403
from rutile.mint.nn.norms import *  # noqa: F401,F403
from rutile.mint.nn.convolutions import *  # noqa: F401,F403
from rutile.mint.nn import convolutions, layers, norms
from rutile.nn import (EmbeddingExt as Embedding, DropoutExt as Dropout, Dropout2dExt as Dropout2d, Linear, MaxPool2dExt as MaxPool2d, PReLUExt as PReLU)

__all__ = ["Dropout", "Dropout2d", "Embedding", "Linear", "MaxPool2d", "PReLU", "functional"] + convolutions.__all__ + layers.__all__ + norms.__all__
