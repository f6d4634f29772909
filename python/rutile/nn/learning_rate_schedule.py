# SPDX-License-Identifier: Apache-2.0
"""Learning rates: Cells of the step (an optimizer calls them in the graph), and lists with a rate per step."""

import math as _math

from rutile import _rutile
from rutile.nn.cell import Cell
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["CosineDecayLR", "ExponentialDecayLR", "InverseDecayLR", "LearningRateSchedule", "NaturalExpDecayLR",
           "PolynomialDecayLR", "WarmUpLR", "cosine_decay_lr", "exponential_decay_lr", "inverse_decay_lr",
           "natural_exp_decay_lr", "piecewise_constant_lr", "polynomial_decay_lr", "warmup_lr"]


def _check(name, **values):
    for key, v in values.items():
        if isinstance(v, bool) or not isinstance(v, (int, float)):
            raise _errors.TypeError(f"[{name}] {key} must be a number, got {type(v).__name__}")
        if v < 0 or (v == 0 and key.endswith("steps")):
            raise _errors.ValueError(f"[{name}] {key} must be positive, got {v}")


def _check_bool(name, **values):
    for key, v in values.items():
        if not isinstance(v, bool):
            raise _errors.TypeError(f"[{name}] {key} must be a bool, got {type(v).__name__}")


class LearningRateSchedule(Cell):
    """A learning rate that depends on the step: construct(global_step) gives it."""

    def construct(self, global_step):
        raise NotImplementedError


class _Decay(LearningRateSchedule):
    def __init__(self, learning_rate, decay_rate, decay_steps, is_stair=False):
        super().__init__()
        _check(type(self).__name__, learning_rate=learning_rate, decay_rate=decay_rate, decay_steps=decay_steps)
        _check_bool(type(self).__name__, is_stair=is_stair)
        self.learning_rate, self.decay_rate, self.decay_steps = learning_rate, decay_rate, decay_steps
        self.is_stair = is_stair

    def _part(self, step):
        part = step.cast("float32") / self.decay_steps
        return table.floor(part) if self.is_stair else part


class ExponentialDecayLR(_Decay):
    """lr * decay_rate ^ (step / decay_steps), the exponent rounded down with is_stair."""

    def construct(self, global_step):
        return self.learning_rate * self.decay_rate ** self._part(global_step)


class NaturalExpDecayLR(_Decay):
    """lr * e ^ (-decay_rate * step); with is_stair the step counts in periods of decay_steps."""

    def construct(self, global_step):
        step = global_step.cast("float32")
        step = self._part(global_step) * self.decay_steps if self.is_stair else step
        return self.learning_rate * table.exp(step * -self.decay_rate)


class InverseDecayLR(_Decay):
    """lr / (1 + decay_rate * step / decay_steps)"""

    def construct(self, global_step):
        return self.learning_rate / (self._part(global_step) * self.decay_rate + 1.0)


class CosineDecayLR(LearningRateSchedule):
    """From max_lr to min_lr over decay_steps, along a cosine."""

    def __init__(self, min_lr, max_lr, decay_steps):
        super().__init__()
        _check("CosineDecayLR", min_lr=min_lr, max_lr=max_lr, decay_steps=decay_steps)
        if min_lr >= max_lr:
            raise _errors.ValueError(f"[CosineDecayLR] min_lr {min_lr} must be below max_lr {max_lr}")
        self.min_lr, self.max_lr, self.decay_steps = min_lr, max_lr, decay_steps

    def construct(self, global_step):
        step = table.clip(global_step.cast("float32"), max=float(self.decay_steps))
        wave = table.cos(step * (_math.pi / self.decay_steps)) + 1.0
        return wave * (0.5 * (self.max_lr - self.min_lr)) + self.min_lr


class PolynomialDecayLR(LearningRateSchedule):
    """From learning_rate to end_learning_rate over decay_steps, by a power; update_decay_steps starts anew."""

    def __init__(self, learning_rate, end_learning_rate, decay_steps, power, update_decay_steps=False):
        super().__init__()
        _check("PolynomialDecayLR", learning_rate=learning_rate, end_learning_rate=end_learning_rate,
               decay_steps=decay_steps, power=power)
        _check_bool("PolynomialDecayLR", update_decay_steps=update_decay_steps)
        self.learning_rate, self.end_learning_rate = learning_rate, end_learning_rate
        self.decay_steps, self.power, self.update_decay_steps = decay_steps, power, update_decay_steps

    def construct(self, global_step):
        step = global_step.cast("float32")
        if self.update_decay_steps:
            periods = table.maximum(table.ceil(step / self.decay_steps), 1.0)
            part = step / (periods * self.decay_steps)
        else:
            part = table.clip(step, max=float(self.decay_steps)) / self.decay_steps
        return (1.0 - part) ** self.power * (self.learning_rate - self.end_learning_rate) + self.end_learning_rate


class WarmUpLR(LearningRateSchedule):
    """From zero to learning_rate over warmup_steps, in a line."""

    def __init__(self, learning_rate, warmup_steps):
        super().__init__()
        _check("WarmUpLR", learning_rate=learning_rate, warmup_steps=warmup_steps)
        self.learning_rate, self.warmup_steps = learning_rate, warmup_steps

    def construct(self, global_step):
        step = table.clip(global_step.cast("float32"), max=float(self.warmup_steps))
        return step * (self.learning_rate / self.warmup_steps)


# ---- A rate per step, as a list

def _epochs(total_step, step_per_epoch, **other):
    for key, v in {"total_step": total_step, "step_per_epoch": step_per_epoch, **other}.items():
        if isinstance(v, bool) or not isinstance(v, int):
            raise _errors.TypeError(f"{key} must be an int, got {type(v).__name__}")
        if v <= 0:
            raise _errors.ValueError(f"{key} must be positive, got {v}")
    return (i // step_per_epoch for i in range(total_step))


def _stairs(epoch, decay_epoch, is_stair):
    return epoch // decay_epoch if is_stair else epoch / decay_epoch


def piecewise_constant_lr(milestone, learning_rates):
    """learning_rates[i] below step milestone[i]."""
    for name, values, kinds in (("milestone", milestone, int), ("learning_rates", learning_rates, float)):
        if not isinstance(values, (tuple, list)):
            raise _errors.TypeError(f"[piecewise_constant_lr] {name} must be a tuple or list, got {type(values).__name__}")
        for v in values:
            if isinstance(v, bool) or not isinstance(v, kinds):
                raise _errors.TypeError(f"[piecewise_constant_lr] {name} holds {kinds.__name__}s, got {v!r}")
    if len(milestone) != len(learning_rates) or list(milestone) != sorted(milestone):
        raise _errors.ValueError("piecewise_constant_lr: as many rates as milestones, which ascend")
    lr, last = [], 0
    for end, rate in zip(milestone, learning_rates):
        lr += [rate] * (end - last)
        last = end
    return lr


def exponential_decay_lr(learning_rate, decay_rate, total_step, step_per_epoch, decay_epoch, is_stair=False):
    """lr * decay_rate ^ (epoch / decay_epoch)"""
    _check("exponential_decay_lr", learning_rate=learning_rate, decay_rate=decay_rate)
    _check_bool("exponential_decay_lr", is_stair=is_stair)
    return [learning_rate * decay_rate ** _stairs(e, decay_epoch, is_stair)
            for e in _epochs(total_step, step_per_epoch, decay_epoch=decay_epoch)]


def natural_exp_decay_lr(learning_rate, decay_rate, total_step, step_per_epoch, decay_epoch, is_stair=False):
    """lr * e ^ (-decay_rate * epoch)"""
    _check("natural_exp_decay_lr", learning_rate=learning_rate, decay_rate=decay_rate)
    _check_bool("natural_exp_decay_lr", is_stair=is_stair)
    return [learning_rate * _math.exp(-decay_rate * (e // decay_epoch * decay_epoch if is_stair else e))
            for e in _epochs(total_step, step_per_epoch, decay_epoch=decay_epoch)]


def inverse_decay_lr(learning_rate, decay_rate, total_step, step_per_epoch, decay_epoch, is_stair=False):
    """lr / (1 + decay_rate * epoch / decay_epoch)"""
    _check("inverse_decay_lr", learning_rate=learning_rate, decay_rate=decay_rate)
    _check_bool("inverse_decay_lr", is_stair=is_stair)
    return [learning_rate / (1 + decay_rate * _stairs(e, decay_epoch, is_stair))
            for e in _epochs(total_step, step_per_epoch, decay_epoch=decay_epoch)]


def cosine_decay_lr(min_lr, max_lr, total_step, step_per_epoch, decay_epoch):
    """From max_lr to min_lr over decay_epoch epochs, along a cosine."""
    _check("cosine_decay_lr", min_lr=min_lr, max_lr=max_lr)
    return [min_lr + 0.5 * (max_lr - min_lr) * (1 + _math.cos(_math.pi * min(e, decay_epoch) / decay_epoch))
            for e in _epochs(total_step, step_per_epoch, decay_epoch=decay_epoch)]


def polynomial_decay_lr(learning_rate, end_learning_rate, total_step, step_per_epoch, decay_epoch, power,
                        update_decay_epoch=False):
    """From learning_rate to end_learning_rate over decay_epoch epochs, by a power."""
    _check("polynomial_decay_lr", learning_rate=learning_rate, end_learning_rate=end_learning_rate, power=power)
    _check_bool("polynomial_decay_lr", update_decay_epoch=update_decay_epoch)
    lr = []
    for e in _epochs(total_step, step_per_epoch, decay_epoch=decay_epoch):
        period = decay_epoch * max(_math.ceil(e / decay_epoch), 1) if update_decay_epoch else decay_epoch
        part = min(e, period) / period
        lr.append((learning_rate - end_learning_rate) * (1 - part) ** power + end_learning_rate)
    return lr


def warmup_lr(learning_rate, total_step, step_per_epoch, warmup_epoch):
    """From zero to learning_rate over warmup_epoch epochs, in a line."""
    _check("warmup_lr", learning_rate=learning_rate)
    return [learning_rate * min(e, warmup_epoch) / warmup_epoch
            for e in _epochs(total_step, step_per_epoch, warmup_epoch=warmup_epoch)]
