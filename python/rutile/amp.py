# SPDX-License-Identifier: Apache-2.0
"""Mixed precision and loss scales, for training with Cells and with functions.

>>> import rutile
>>> from rutile import amp
>>> scaler = amp.StaticLossScaler(4.0)
>>> [float(x) for x in scaler.unscale((scaler.scale(rutile.Tensor(2.0)),))]
[2.0]
"""

from rutile import _rutile
from rutile._rutile import Parameter, Tensor
from rutile.ops import table as _table
from rutile.train.amp import (auto_mixed_precision, build_train_network, custom_mixed_precision, get_black_list,
                              get_white_list)
from rutile.train.loss_scale_manager import DynamicLossScaleManager, FixedLossScaleManager, LossScaleManager

_errors = _rutile.errors

__all__ = ["DynamicLossScaleManager", "DynamicLossScaler", "FixedLossScaleManager", "LossScaleManager", "LossScaler",
           "StaticLossScaler", "all_finite", "auto_mixed_precision", "build_train_network", "custom_mixed_precision",
           "get_black_list", "get_white_list"]


def _map(fn, x):
    return tuple(_map(fn, v) for v in x) if isinstance(x, (tuple, list)) else fn(x)


def _grad_scale_map(scale, inputs):
    """A Tensor or a tuple of them times a scale: what loss scalers of one's own import, as the next."""
    return _map(lambda x: x * scale.cast(x.dtype), inputs)


def _grad_unscale_map(scale, inputs):
    return _grad_scale_map(1.0 / scale.cast("float32"), inputs)


def all_finite(inputs):
    """Whether no element of some tensors is infinite or NaN: a bool Tensor.

    >>> import rutile
    >>> from rutile import amp
    >>> bool(amp.all_finite((rutile.Tensor([1.0]), rutile.Tensor([float("inf")]))))
    False
    """
    good = Tensor(True)
    for x in inputs if isinstance(inputs, (tuple, list)) else (inputs,):
        part = all_finite(x) if isinstance(x, (tuple, list)) else _table.all(_table.isfinite(x))
        good = _table.logical_and(good, part)
    return good


class LossScaler:
    """scale() before the gradient, unscale() after it, adjust() to what it gave."""

    def scale(self, inputs):
        """Times the scale."""
        raise NotImplementedError

    def unscale(self, inputs):
        """Divided by the scale."""
        raise NotImplementedError

    def adjust(self, grads_finite):
        """Learns whether the gradients were finite."""
        raise NotImplementedError


def _scale(value, name):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _errors.TypeError(f"[{name}] scale_value must be a number, got {value!r}")
    if value < 1:
        raise _errors.ValueError(f"[{name}] scale_value must be at least 1, got {value}")
    return Parameter(Tensor(float(value), "float32"), name="scale_value", requires_grad=False)


class StaticLossScaler(LossScaler):
    """A scale that stays."""

    def __init__(self, scale_value):
        self.scale_value = _scale(scale_value, "StaticLossScaler")

    def scale(self, inputs):
        """Times the scale, a Tensor or a tuple of them."""
        return _grad_scale_map(self.scale_value.value(), inputs)

    def unscale(self, inputs):
        """Divided by the scale, a Tensor or a tuple of them."""
        return _grad_unscale_map(self.scale_value.value(), inputs)

    def adjust(self, grads_finite):
        """Nothing; False."""
        return False


class DynamicLossScaler(StaticLossScaler):
    """A scale divided by scale_factor (at least 1) when gradients overflow, and multiplied by it after scale_window good
    steps.

    >>> import rutile
    >>> from rutile import amp
    >>> scaler = amp.DynamicLossScaler(scale_value=8, scale_factor=2, scale_window=1)
    >>> adjusted = scaler.adjust(rutile.Tensor(False))
    >>> float(scaler.scale_value)
    4.0
    """

    def __init__(self, scale_value, scale_factor, scale_window):
        self.scale_value = _scale(scale_value, "DynamicLossScaler")
        for name, v in (("scale_factor", scale_factor), ("scale_window", scale_window)):
            if isinstance(v, bool) or not isinstance(v, int) or v <= 0:
                raise _errors.ValueError(f"[DynamicLossScaler] {name} must be a positive int, got {v!r}")
        self.scale_factor, self.scale_window = scale_factor, scale_window
        self.counter = Parameter(Tensor(0, "int32"), name="counter", requires_grad=False)

    def adjust(self, grads_finite):
        """True; the scale follows whether the gradients were finite, a bool or a bool Tensor."""
        good = grads_finite if isinstance(grads_finite, Tensor) else Tensor(bool(grads_finite))
        good = good.reshape(()).cast("bool")
        scale, count = self.scale_value.value(), self.counter.value()
        larger = scale * float(self.scale_factor)
        larger = _table.where(_table.isfinite(larger), larger, scale)
        smaller = _table.clip(scale * (1.0 / self.scale_factor), min=1.0)
        kept = _table.where(count == self.scale_window - 1, larger, scale)
        self.scale_value.set_data(_table.where(good, kept, smaller))
        following = _table.remainder(count + 1, Tensor(self.scale_window, "int32"))
        self.counter.set_data(following * good.cast("int32"))
        return True
