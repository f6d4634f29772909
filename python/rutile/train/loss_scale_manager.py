# SPDX-License-Identifier: Apache-2.0
"""What Model scales the loss by."""

from rutile import _rutile
from rutile import nn

_errors = _rutile.errors

__all__ = ["DynamicLossScaleManager", "FixedLossScaleManager", "LossScaleManager"]

_MOST_OVERFLOWS = 1000  # in a row


class LossScaleManager:
    """get_loss_scale() gives the scale, update_loss_scale(overflow) sets the next one, get_update_cell() is the Cell that a
    training step keeps it by, or None."""

    def get_loss_scale(self):
        """The first scale."""
        raise NotImplementedError

    def update_loss_scale(self, overflow):
        """Goes on to the scale of the next step."""
        raise NotImplementedError

    def get_update_cell(self):
        """A Cell for TrainOneStepWithLossScaleCell, or None."""
        raise NotImplementedError


class FixedLossScaleManager(LossScaleManager):
    """A scale that stays. With drop_overflow_update steps whose gradients overflow are skipped; without, the optimizer
    must have the same loss_scale and nothing is checked."""

    def __init__(self, loss_scale=128.0, drop_overflow_update=True):
        if loss_scale < 1:
            raise _errors.ValueError(f"[FixedLossScaleManager] loss_scale must be at least 1, got {loss_scale}")
        self._scale, self._drop = float(loss_scale), bool(drop_overflow_update)

    def get_loss_scale(self):
        """The scale."""
        return self._scale

    def get_drop_overflow_update(self):
        """Whether steps that overflow are skipped."""
        return self._drop

    def update_loss_scale(self, overflow):
        """Nothing: the scale stays."""

    def get_update_cell(self):
        """A FixedLossScaleUpdateCell, or None without drop_overflow_update."""
        return nn.FixedLossScaleUpdateCell(self._scale) if self._drop else None


class DynamicLossScaleManager(LossScaleManager):
    """A scale that shrinks on overflow and grows after scale_window good steps.

    >>> import rutile
    >>> manager = rutile.DynamicLossScaleManager(2048, 2, 2)
    >>> [(manager.update_loss_scale(overflow), manager.get_loss_scale())[1] for overflow in (True, False, False, True)]
    [1024.0, 1024.0, 2048.0, 1024.0]
    """

    def __init__(self, init_loss_scale=2**24, scale_factor=2, scale_window=2000):
        if init_loss_scale < 1 or scale_factor <= 0 or scale_window <= 0:
            raise _errors.ValueError("[DynamicLossScaleManager] init_loss_scale is at least 1, the others positive")
        self.loss_scale, self.scale_factor, self.scale_window = float(init_loss_scale), scale_factor, scale_window
        self._good_steps, self._overflows = 0, 0

    def get_loss_scale(self):
        """The scale."""
        return self.loss_scale

    def update_loss_scale(self, overflow):
        """Goes on to the scale of the next step: for loops of one's own."""
        if overflow:
            self.loss_scale = max(self.loss_scale / self.scale_factor, 1.0)
            self._good_steps, self._overflows = 0, self._overflows + 1
            if self._overflows > _MOST_OVERFLOWS:
                raise _errors.RuntimeError(f"[DynamicLossScaleManager] {self._overflows} steps in a row overflowed: the training diverged")
            return
        self._good_steps, self._overflows = self._good_steps + 1, 0
        if self._good_steps == self.scale_window:
            self.loss_scale, self._good_steps = self.loss_scale * self.scale_factor, 0

    def get_drop_overflow_update(self):
        """True."""
        return True

    def get_update_cell(self):
        """A DynamicLossScaleUpdateCell."""
        return nn.DynamicLossScaleUpdateCell(self.loss_scale, self.scale_factor, self.scale_window)
