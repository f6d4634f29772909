# SPDX-License-Identifier: Apache-2.0
"""Optimizers with PyTorch's arguments, as mindspore.mint.optim has them: those of rutile.experimental.optim.

>>> from rutile import Parameter, mint, ops
>>> w = Parameter(ops.ones((1,)), name="w")
>>> _ = mint.optim.SGD([w], lr=0.5)((ops.ones((1,)),))
>>> w.asnumpy().tolist()
[0.5]
"""

from rutile.experimental.optim import SGD, AdamW
from rutile.experimental.optim.optimizers import _Adam
from rutile._rutile import updates

__all__ = ["Adam", "AdamW", "FusedAdamW", "SGD"]


class Adam(_Adam):
    """Kingma and Ba, 2015, as PyTorch computes it: eps is added to the square root of the corrected second moment."""

    def _update(self, i, parameter, gradient, lr, group, skip):
        self._apply(updates.adam, updates.adam_amsgrad, i, parameter, gradient, lr, group, skip, self.step_t.value())


class FusedAdamW(AdamW):
    """AdamW; every optimizer here updates all parameters in one pass where a compiled step does."""
