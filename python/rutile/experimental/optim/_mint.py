# SPDX-License-Identifier: Apache-2.0
"""The optimizers of mint.optim: PyTorch's arguments and formulas."""

from rutile._rutile import updates
from rutile.experimental.optim.optimizers import SGD, AdamW, _Adam

__all__ = ["Adam", "AdamW", "FusedAdamW", "SGD"]


class Adam(_Adam):
    """Kingma and Ba, 2015: p -= lr m' / (sqrt(v') + eps), m' and v' corrected. amsgrad: the largest v so far."""

    def _update(self, i, parameter, gradient, lr, group, skip):
        self._apply(updates.adam, updates.adam_amsgrad, i, parameter, gradient, lr, group, skip, self.step_t.value())


class FusedAdamW(AdamW):
    """AdamW; compiled steps update all parameters at once anyway."""
