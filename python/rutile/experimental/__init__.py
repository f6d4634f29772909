# SPDX-License-Identifier: Apache-2.0
"""MindSpore's place for what may change: optim, optimizers with groups that can be looked at and changed."""

from rutile.experimental import optim

__all__ = ["optim"]
