# SPDX-License-Identifier: Apache-2.0
"""Learning rates for the optimizers of experimental.optim: step() sets the rate of each group, usually once an epoch.

>>> import rutile
>>> from rutile.experimental import optim
>>> optimizer = optim.SGD([rutile.Parameter(rutile.Tensor([1.0]), name="w")], lr=0.5)
>>> scheduler = optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
>>> scheduler.step()
True
>>> [float(lr) for lr in scheduler.get_last_lr()]
[0.25]
"""

import bisect as _bisect
import math as _math

from rutile import _rutile
from rutile._rutile import Tensor
from rutile.experimental.optim.optimizer import Optimizer
from rutile.nn.optimizer import _NoKey

_errors = _rutile.errors

__all__ = ["ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR", "LRScheduler",
           "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "PolynomialLR", "ReduceLROnPlateau", "SequentialLR",
           "StepLR"]


def _check_type(name, kinds, **values):
    for key, v in values.items():
        if isinstance(v, bool) or not isinstance(v, kinds):
            kinds = kinds if isinstance(kinds, tuple) else (kinds,)
            raise _errors.TypeError(f"[{name}] {key} must be {' or '.join(k.__name__ for k in kinds)}, got {type(v).__name__}")


def _optimizer(name, optimizer):
    if not isinstance(optimizer, Optimizer):
        raise _errors.TypeError(f"[{name}] optimizer must be one of experimental.optim, got {type(optimizer).__name__}")


def _float(v):
    return float(v.asnumpy()) if isinstance(v, Tensor) else float(v)


def _several(name, optimizer, key, value):
    """One value for each group."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (tuple, list)):
        return [value] * count
    if len(value) != count:
        raise _errors.ValueError(f"[{name}] expects {count} of {key}, got {len(value)}")
    return list(value)


def _outside(name):
    if _rutile.inside_transform():
        raise _errors.RuntimeError(f"[{name}] step() belongs outside of compiled functions and gradients")


class LRScheduler:
    """A rate for each group of an optimizer: get_lr() gives those of self.last_epoch from self.base_lrs and get_last_lr()."""

    def __init__(self, optimizer, last_epoch=-1):
        name = type(self).__name__
        _optimizer(name, optimizer)
        _check_type(name, int, last_epoch=last_epoch)
        if last_epoch < -1:
            raise _errors.ValueError(f"[{name}] last_epoch must be at least -1, got {last_epoch}")
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", _float(group["lr"]))
            elif "initial_lr" not in group:
                raise _NoKey(f"[{name}] group {i} has no initial_lr to go on from")
        self.optimizer, self.last_epoch = optimizer, last_epoch
        self.base_lrs = [_float(g["initial_lr"]) for g in optimizer.param_groups]
        self.groups_num = len(self.base_lrs)
        self.step()

    def get_lr(self):
        """The rates of self.last_epoch."""
        raise NotImplementedError

    def get_last_lr(self):
        """The rates as they are, a Tensor for each group."""
        return [g["lr"].value() for g in self.optimizer.param_groups]

    _last_lr = property(get_last_lr)  # what get_lr() of one's own classes reads

    def _last(self):
        return [_float(lr) for lr in self.get_last_lr()]

    def _set(self, values):
        for group, v in zip(self.optimizer.param_groups, values):
            group["lr"].set_data(Tensor(_float(v), "float32"))

    def step(self, epoch=None):
        """Goes on by one epoch, or to one."""
        _outside(type(self).__name__)
        if epoch is None:
            self.last_epoch += 1
            values = self.get_lr()
        else:
            self.last_epoch = int(_float(epoch))
            values = self._closed() if hasattr(self, "_closed") else self.get_lr()
        self._set(values)
        return True


class StepLR(LRScheduler):
    """Times gamma every step_size epochs."""

    def __init__(self, optimizer, step_size, gamma=0.1, last_epoch=-1):
        _check_type("StepLR", int, step_size=step_size)
        _check_type("StepLR", (float, int), gamma=gamma)
        if step_size <= 0:
            raise _errors.ValueError(f"[StepLR] step_size must be positive, got {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        """The rates of self.last_epoch."""
        turn = self.last_epoch and self.last_epoch % self.step_size == 0
        return [lr * self.gamma if turn else lr for lr in self._last()]

    def _closed(self):
        return [lr * self.gamma ** (self.last_epoch // self.step_size) for lr in self.base_lrs]


class LinearLR(LRScheduler):
    """From start_factor to end_factor times the first rate over total_iters epochs, in a line."""

    def __init__(self, optimizer, start_factor=1.0 / 3, end_factor=1.0, total_iters=5, last_epoch=-1):
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise _errors.ValueError(f"[LinearLR] factors are in [0, 1], the first one positive, got {start_factor} and "
                                     f"{end_factor}")
        _check_type("LinearLR", int, total_iters=total_iters)
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        """The rates of self.last_epoch."""
        last, e = self._last(), self.last_epoch
        if e == 0:
            return [lr * self.start_factor for lr in last]
        if e > self.total_iters:
            return last
        rise = self.end_factor - self.start_factor
        return [lr * (1 + rise / (self.total_iters * self.start_factor + (e - 1) * rise)) for lr in last]

    def _closed(self):
        part = min(self.total_iters, self.last_epoch) / self.total_iters
        return [lr * (self.start_factor + (self.end_factor - self.start_factor) * part) for lr in self.base_lrs]


class ExponentialLR(LRScheduler):
    """Times gamma every epoch."""

    def __init__(self, optimizer, gamma, last_epoch=-1):
        _check_type("ExponentialLR", float, gamma=gamma)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        """The rates of self.last_epoch."""
        return [lr * self.gamma if self.last_epoch else lr for lr in self._last()]

    def _closed(self):
        return [lr * self.gamma**self.last_epoch for lr in self.base_lrs]


class PolynomialLR(LRScheduler):
    """To zero over total_iters epochs, by a power."""

    def __init__(self, optimizer, total_iters=5, power=1.0, last_epoch=-1):
        _check_type("PolynomialLR", float, power=power)
        _check_type("PolynomialLR", int, total_iters=total_iters)
        if power < 0:
            raise _errors.ValueError(f"[PolynomialLR] power must not be negative, got {power}")
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        """The rates of self.last_epoch."""
        last, e, n = self._last(), self.last_epoch, self.total_iters
        if e == 0 or e > n:
            return last
        return [lr * ((1 - e / n) / (1 - (e - 1) / n)) ** self.power for lr in last]

    def _closed(self):
        return [lr * (1 - min(self.total_iters, self.last_epoch) / self.total_iters) ** self.power for lr in self.base_lrs]


class LambdaLR(LRScheduler):
    """The first rate times a function of the epoch."""

    def __init__(self, optimizer, lr_lambda, last_epoch=-1):
        _optimizer("LambdaLR", optimizer)
        self.lr_lambdas = _several("LambdaLR", optimizer, "lr_lambda", lr_lambda)
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        """The rates of self.last_epoch."""
        return [lr * _float(f(self.last_epoch)) for f, lr in zip(self.lr_lambdas, self.base_lrs)]


class MultiplicativeLR(LRScheduler):
    """Times a function of the epoch, every epoch."""

    def __init__(self, optimizer, lr_lambda, last_epoch=-1):
        _optimizer("MultiplicativeLR", optimizer)
        self.lr_lambdas = _several("MultiplicativeLR", optimizer, "lr_lambda", lr_lambda)
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        """The rates of self.last_epoch."""
        last = self._last()
        return [lr * _float(f(self.last_epoch)) for f, lr in zip(self.lr_lambdas, last)] if self.last_epoch > 0 else last


class MultiStepLR(LRScheduler):
    """Times gamma at each milestone, as often as it is given."""

    def __init__(self, optimizer, milestones, gamma=0.1, last_epoch=-1):
        _check_type("MultiStepLR", list, milestones=milestones)
        for m in milestones:
            _check_type("MultiStepLR", int, milestone=m)
        _check_type("MultiStepLR", (float, int), gamma=gamma)
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        """The rates of self.last_epoch."""
        return [lr * self.gamma ** self.milestones.count(self.last_epoch) for lr in self._last()]

    def _closed(self):
        return [lr * self.gamma ** _bisect.bisect_right(self.milestones, self.last_epoch) for lr in self.base_lrs]


class ConstantLR(LRScheduler):
    """factor times the first rate for total_iters epochs, then that rate."""

    def __init__(self, optimizer, factor=1.0 / 3, total_iters=5, last_epoch=-1):
        if not 0 <= factor <= 1:
            raise _errors.ValueError(f"[ConstantLR] factor must be in [0, 1], got {factor}")
        _check_type("ConstantLR", int, total_iters=total_iters)
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        """The rates of self.last_epoch."""
        last = self._last()
        if self.last_epoch == 0:
            return [lr * self.factor for lr in last]
        return [lr / self.factor for lr in last] if self.last_epoch == self.total_iters else last

    def _closed(self):
        return [lr * (1 if self.last_epoch >= self.total_iters else self.factor) for lr in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """To eta_min over T_max epochs and back, along a cosine (Loshchilov and Hutter, 2017)."""

    def __init__(self, optimizer, T_max, eta_min=0.0, last_epoch=-1):
        _check_type("CosineAnnealingLR", (float, int), eta_min=eta_min)
        _check_type("CosineAnnealingLR", int, T_max=T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        """The rates of self.last_epoch."""
        last, e, n = self._last(), self.last_epoch, self.T_max
        if e == 0:
            return last
        if (e - 1 - n) % (2 * n) == 0:
            return [lr + (base - self.eta_min) * (1 - _math.cos(_math.pi / n)) / 2 for base, lr in zip(self.base_lrs, last)]
        factor = (1 + _math.cos(_math.pi * e / n)) / (1 + _math.cos(_math.pi * (e - 1) / n))
        return [factor * (lr - self.eta_min) + self.eta_min for lr in last]

    def _closed(self):
        wave = (1 + _math.cos(_math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (lr - self.eta_min) * wave for lr in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """To eta_min over T_0 epochs along a cosine, then anew over T_mult times as many, and so on."""

    def __init__(self, optimizer, T_0, T_mult=1, eta_min=0, last_epoch=-1):
        for key, v in (("T_0", T_0), ("T_mult", T_mult)):
            if isinstance(v, bool) or not isinstance(v, int) or v < 1:
                raise _errors.ValueError(f"[CosineAnnealingWarmRestarts] {key} must be a positive int, got {v!r}")
        _check_type("CosineAnnealingWarmRestarts", (float, int), eta_min=eta_min)
        self.T_0, self.T_i, self.T_mult, self.T_cur, self.eta_min = T_0, T_0, T_mult, last_epoch, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        """The rates of self.last_epoch."""
        wave = (1 + _math.cos(_math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (lr - self.eta_min) * wave for lr in self.base_lrs]

    def step(self, epoch=None):
        """Goes on by one epoch, or to one, which may be a fraction."""
        _outside("CosineAnnealingWarmRestarts")
        epoch = 0 if epoch is None and self.last_epoch < 0 else epoch
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = _float(epoch)
            if epoch < 0:
                raise _errors.ValueError(f"[CosineAnnealingWarmRestarts] epoch must not be negative, got {epoch}")
            n = 0 if self.T_mult == 1 else int(_math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_i = self.T_0 * self.T_mult**n
            gone = self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1) if self.T_mult > 1 else epoch // self.T_0 * self.T_0
            self.T_cur = epoch - gone
        self.last_epoch = _math.floor(epoch)
        self._set(self.get_lr())
        return True


class CyclicLR(LRScheduler):
    """Between base_lr and max_lr in step_size_up and step_size_down epochs (Smith, 2017). mode: "triangular", "triangular2"
    (half as high each cycle) or "exp_range" (times gamma^epoch); scale_fn: a function of the cycle or, with scale_mode
    "iterations", of the epoch instead."""

    def __init__(self, optimizer, base_lr, max_lr, step_size_up=2000, step_size_down=None, mode="triangular", gamma=1.0,
                 scale_fn=None, scale_mode="cycle", last_epoch=-1):
        _optimizer("CyclicLR", optimizer)
        base = _several("CyclicLR", optimizer, "base_lr", base_lr)
        self.max_lrs = [_float(v) for v in _several("CyclicLR", optimizer, "max_lr", max_lr)]
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base):
                group["lr"].set_data(Tensor(_float(lr), "float32"))
        down = float(step_size_up if step_size_down is None else step_size_down)
        self.total_step_size = float(step_size_up) + down
        self.step_up_ratio = float(step_size_up) / self.total_step_size
        modes = {"triangular": (lambda k: 1.0, "cycle"), "triangular2": (lambda k: 1 / 2.0 ** (k - 1), "cycle"),
                 "exp_range": (lambda k: gamma**k, "iterations")}
        if scale_fn is None and mode not in modes:
            raise _errors.ValueError(f"[CyclicLR] mode is one of {sorted(modes)}, got {mode!r}")
        self.mode, self.gamma = mode, gamma
        self.scale_fn, self.scale_mode = modes[mode] if scale_fn is None else (scale_fn, scale_mode)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = [_float(v) for v in base]

    def get_lr(self):
        """The rates of self.last_epoch."""
        cycle = _math.floor(1 + self.last_epoch / self.total_step_size)
        x = 1 + self.last_epoch / self.total_step_size - cycle
        height = x / self.step_up_ratio if x <= self.step_up_ratio else (x - 1) / (self.step_up_ratio - 1)
        scale = _float(self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch))
        return [base + (top - base) * height * scale for base, top in zip(self.base_lrs, self.max_lrs)]


class SequentialLR:
    """Schedulers one after the other: the next begins at each milestone."""

    def __init__(self, optimizer, schedulers, milestones, last_epoch=-1):
        for i, s in enumerate(schedulers):
            if s.optimizer is not optimizer:
                raise _errors.ValueError(f"[SequentialLR] scheduler {i} has another optimizer")
        if len(milestones) != len(schedulers) - 1:
            raise _errors.ValueError(f"[SequentialLR] {len(schedulers)} schedulers do not fit {len(milestones)} milestones")
        self.optimizer, self._schedulers, self.milestones = optimizer, list(schedulers), list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"].set_data(Tensor(_float(group["initial_lr"]), "float32"))
        for s in schedulers:
            s.last_epoch -= 1
        self._schedulers[0].step()

    def step(self):
        """Goes on by one epoch."""
        self.last_epoch += 1
        at = _bisect.bisect_right(self.milestones, self.last_epoch)
        if at and self.milestones[at - 1] == self.last_epoch:
            self._schedulers[at].step(0)
        else:
            self._schedulers[at].step()

    def get_last_lr(self):
        """The rates as they are, a Tensor for each group."""
        return [g["lr"].value() for g in self.optimizer.param_groups]


class ReduceLROnPlateau:
    """Times factor (at least min_lr) when step(metrics) has seen no better value for more than `patience` epochs."""

    def __init__(self, optimizer, mode="min", factor=0.1, patience=10, threshold=1e-4, threshold_mode="rel", cooldown=0,
                 min_lr=0, eps=1e-8):
        _optimizer("ReduceLROnPlateau", optimizer)
        if factor >= 1:
            raise _errors.ValueError(f"[ReduceLROnPlateau] factor must be below 1, got {factor}")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise _errors.ValueError(f"[ReduceLROnPlateau] mode is 'min' or 'max', threshold_mode 'rel' or 'abs', got {mode!r} and "
                                     f"{threshold_mode!r}")
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown, self.eps = threshold, threshold_mode, cooldown, eps
        self.min_lrs = [_float(v) for v in _several("ReduceLROnPlateau", optimizer, "min_lr", min_lr)]
        self.best = _math.inf if mode == "min" else -_math.inf
        self.last_epoch = self.wait = self.cooldown_counter = 0

    def step(self, metrics):
        """Learns a value, a number or a Tensor."""
        _outside("ReduceLROnPlateau")
        current = _float(metrics)
        self.last_epoch += 1
        if self._better(current):
            self.best, self.wait = current, 0
        else:
            self.wait += 1
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.wait > self.patience:
            for group, least in zip(self.optimizer.param_groups, self.min_lrs):
                old = _float(group["lr"])
                new = max(old * self.factor, least)
                if old > new + self.eps:
                    group["lr"].set_data(Tensor(new, "float32"))
            self.cooldown_counter, self.wait = self.cooldown, 0
        return True

    def in_cooldown(self):
        """Whether the last change was less than `cooldown` epochs ago."""
        return self.cooldown_counter > 0

    def _better(self, current):
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "abs":
            return sign * (current - self.best) > self.threshold
        # Infinity times anything stays, whatever the threshold.
        return sign * current > sign * self.best * (1 + sign * self.threshold)

    def get_last_lr(self):
        """The rates as they are, a Tensor for each group."""
        return [g["lr"].value() for g in self.optimizer.param_groups]
