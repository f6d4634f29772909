# SPDX-License-Identifier: Apache-2.0
"""Callbacks that follow a number over epochs, and those that change the learning rate."""

import logging as _logging
import math as _math

from rutile import _rutile
from rutile._rutile import Parameter, Tensor
from rutile.train.callback._callback import Callback, _loss_of
from rutile.train.progress import say as _say

_errors, _log = _rutile.errors, _logging.getLogger("rutile")

__all__ = ["EarlyStopping", "LearningRateScheduler", "ReduceLROnPlateau"]

_SMALLER_IS_BETTER = ("hausdorff_distance", "mae", "mse", "loss", "perplexity", "mean_surface_distance",
                      "root_mean_square_distance", "eval_loss")


def _check(name, **values):
    """(value, kinds) by argument."""
    for key, (value, kinds) in values.items():
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in (kinds if isinstance(kinds, tuple) else (kinds,))):
            raise _errors.TypeError(f"[{name}] {key} must not be {value!r}")


class _Watch(Callback):
    """Whether `monitor` (a metric of fit()'s evaluation, or "loss") gets better."""

    def _watch(self, monitor, min_delta, mode):
        name = type(self).__name__
        _check(name, monitor=(monitor, str), mode=(mode, str), min_delta=(min_delta, (int, float)))
        if mode not in ("auto", "min", "max"):
            raise _errors.ValueError(f"[{name}] mode is 'auto', 'min' or 'max', got {mode!r}")
        self.monitor, self.min_delta, self.mode = monitor, abs(min_delta), mode
        self._falls = mode == "min" or (mode == "auto" and monitor in _SMALLER_IS_BETTER)
        self._start()

    def _start(self):
        self.best, self.wait = _math.inf if self._falls else -_math.inf, 0

    def is_improvement(self, value, best):
        """Better by more than min_delta."""
        return value < best - self.min_delta if self._falls else value > best + self.min_delta

    def _value(self, args):
        if self.monitor == "loss":
            return _loss_of(args)
        results = args.eval_results or {}
        # "eval_loss" is also what the metric that is named "loss" gives.
        value = results.get(self.monitor, results.get(self.monitor.removeprefix("eval_")))
        if value is None:
            _log.warning("%s watches %s, which is not there; there are %s", type(self).__name__, self.monitor,
                         ["loss", *results])
            return None
        if getattr(value, "size", 1) != 1:
            raise _errors.ValueError(f"[{type(self).__name__}] {self.monitor} is no number")
        return float(value)


class EarlyStopping(_Watch):
    """Ends fit() when `monitor` has not got better by min_delta for `patience` epochs.

    mode "min", "max" or "auto" (by the monitor's name). baseline: only what is better than it counts.
    restore_best_weights: the network goes back to the best epoch.

    >>> from rutile.train import EarlyStopping
    >>> EarlyStopping(monitor="loss", patience=3).patience
    3
    """

    def __init__(self, monitor="eval_loss", min_delta=0, patience=0, verbose=False, mode="auto", baseline=None,
                 restore_best_weights=False):
        _check("EarlyStopping", patience=(patience, int), verbose=(verbose, bool), restore_best_weights=(restore_best_weights, bool))
        if patience < 0:
            raise _errors.ValueError(f"[EarlyStopping] patience must not be negative, got {patience}")
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.stopped_epoch, self._weights = restore_best_weights, 0, None
        self._watch(monitor, min_delta, mode)

    def on_train_begin(self, run_context):
        self.stopped_epoch, self._weights = 0, None
        self._start()

    def _keep(self, args):
        if self.restore_best_weights:
            self._weights = [(p, p.value()) for p in args.train_network.get_parameters()]

    def on_train_epoch_end(self, run_context):
        args = run_context.original_args()
        value = self._value(args)
        if value is None:
            return
        if self._weights is None:
            self._keep(args)
        self.wait += 1
        if self.is_improvement(value, self.best):
            self.best = value
            self._keep(args)
            if self.baseline is None or self.is_improvement(value, self.baseline):
                self.wait = 0
        if self.wait >= max(self.patience, 1):
            self.stopped_epoch = args.cur_epoch_num
            run_context.request_stop()
            if self._weights and self.verbose:
                _say("Restoring model weights from the end of the best epoch.")
            for p, v in self._weights or []:
                p.set_data(v)

    def on_train_end(self, run_context):
        if self.verbose and self.stopped_epoch:
            _say(f"Epoch {self.stopped_epoch:05d}: early stopping")


def _rate(optimizer, name):
    """The Parameter of a fixed learning rate."""
    rate = optimizer.learning_rate if hasattr(optimizer, "learning_rate") else None
    if not isinstance(rate, Parameter) or getattr(optimizer, "is_group_lr", False):
        raise _errors.ValueError(f"[{name}] needs an optimizer with one learning rate, which is a number")
    return rate


class ReduceLROnPlateau(_Watch):
    """Multiplies the learning rate by `factor` when `monitor` has not got better for `patience` epochs.

    cooldown: epochs after that in which nothing is counted; min_lr: the least rate.

    >>> from rutile.train import ReduceLROnPlateau
    >>> ReduceLROnPlateau(monitor="loss", factor=0.5).factor
    0.5
    """

    def __init__(self, monitor="eval_loss", factor=0.1, patience=10, verbose=False, mode="auto", min_delta=1e-4,
                 cooldown=0, min_lr=0):
        _check("ReduceLROnPlateau", factor=(factor, float), patience=(patience, int), verbose=(verbose, bool),
               cooldown=(cooldown, int), min_lr=(min_lr, (int, float)))
        if not 0 < factor < 1 or patience < 0 or cooldown < 0:
            raise _errors.ValueError("[ReduceLROnPlateau] factor is in (0, 1), patience and cooldown are not negative")
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr, self.cooldown_counter = cooldown, min_lr, 0
        self._watch(monitor, min_delta, mode)

    def on_train_begin(self, run_context):
        self.cooldown_counter = 0
        self._start()

    def on_train_epoch_end(self, run_context):
        args = run_context.original_args()
        rate = _rate(args.optimizer, "ReduceLROnPlateau")
        value = self._value(args)
        if value is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.is_improvement(value, self.best):
            self.best, self.wait = value, 0
            return
        if self.cooldown_counter > 0:
            return
        self.wait += 1
        if self.wait < self.patience:
            return
        now = float(rate.asnumpy())
        if now > self.min_lr:
            new = max(now * self.factor, self.min_lr)
            rate.set_data(Tensor(new, "float32"))
            if self.verbose:
                _say(f"Epoch {args.cur_epoch_num:05d}: ReduceLROnPlateau reducing learning rate to {new}.")
        self.cooldown_counter, self.wait = self.cooldown, 0


class LearningRateScheduler(Callback):
    """After each step the learning rate becomes learning_rate_function(rate, step number).

    >>> from rutile.train import LearningRateScheduler
    >>> halve = LearningRateScheduler(lambda lr, step: lr / 2 if step % 100 == 0 else lr)
    """

    def __init__(self, learning_rate_function):
        if not callable(learning_rate_function):
            raise _errors.TypeError("[LearningRateScheduler] takes a function of the rate and the step")
        self.learning_rate_function = learning_rate_function

    def step_end(self, run_context):
        args = run_context.original_args()
        rate = _rate(args.optimizer, "LearningRateScheduler")
        # As its decimal digits say, not as the nearest double of a float32.
        now = float(str(rate.asnumpy()))
        new = self.learning_rate_function(now, args.cur_step_num)
        if not _math.isclose(now, new, rel_tol=1e-10):
            rate.set_data(Tensor(float(new), "float32"))
