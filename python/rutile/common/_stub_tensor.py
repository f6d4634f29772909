# SPDX-License-Identifier: Apache-2.0
"""MindSpore's tensors whose values are still being computed: every Tensor can be one here."""

from rutile._rutile import Tensor

StubTensor = Tensor
