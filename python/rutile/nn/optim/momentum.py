# SPDX-License-Identifier: Apache-2.0
"""MindSpore's place for Momentum."""

from rutile.nn.optimizer import Momentum

__all__ = ["Momentum"]
