# SPDX-License-Identifier: Apache-2.0
"""MindSpore's core module, of which published code imports the class of tensors."""

from rutile._rutile import Tensor

__all__ = ["Tensor"]
