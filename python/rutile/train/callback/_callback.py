# SPDX-License-Identifier: Apache-2.0
"""Callbacks of Model: what happens around epochs and steps."""

import math as _math
import time as _time

from rutile import _rutile
from rutile._rutile import Tensor
from rutile.train.progress import say as _say

_errors = _rutile.errors

__all__ = ["Callback", "History", "LambdaCallback", "LossMonitor", "RunContext", "TimeMonitor"]


class InternalCallbackParam(dict):
    """The state of a run: entries that are attributes too."""

    def __getattr__(self, name):
        if name not in self:
            raise AttributeError(f"the run has no {name!r}; it has {sorted(self)}")
        return self[name]

    def __setattr__(self, name, value):
        self[name] = value


class _InternalCallbackParam(InternalCallbackParam):
    """The state of a run as scripts make one for callbacks that they call themselves: what they leave out is None."""

    def __getattr__(self, name):
        return self.get(name)


class RunContext:
    """What a callback sees: original_args() has cur_epoch_num, cur_step_num, batch_num, net_outputs and others."""

    def __init__(self, original_args):
        if isinstance(original_args, (int, float, str, type(None))):
            raise _errors.TypeError(f"RunContext takes the state of a run, got {type(original_args).__name__}")
        self._args, self._stop = original_args, False

    def original_args(self):
        """The state of the run, by attributes."""
        return self._args

    def request_stop(self):
        """Ends the run after this step."""
        self._stop = True

    def get_stop_requested(self):
        """Whether a callback asked for the end."""
        return self._stop


class Callback:
    """Override what is needed: begin, epoch_begin, epoch_end, step_begin, step_end, end, or their on_train_* and
    on_eval_* forms."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def begin(self, run_context):
        """Before the run."""

    def epoch_begin(self, run_context):
        """Before an epoch."""

    def epoch_end(self, run_context):
        """After an epoch."""

    def step_begin(self, run_context):
        """Before a step."""

    def step_end(self, run_context):
        """After a step."""

    def end(self, run_context):
        """After the run."""

    def on_train_begin(self, run_context):
        """Before training."""
        self.begin(run_context)

    def on_train_epoch_begin(self, run_context):
        """Before an epoch of training."""
        self.epoch_begin(run_context)

    def on_train_epoch_end(self, run_context):
        """After an epoch of training."""
        self.epoch_end(run_context)

    def on_train_step_begin(self, run_context):
        """Before a step of training."""
        self.step_begin(run_context)

    def on_train_step_end(self, run_context):
        """After a step of training."""
        self.step_end(run_context)

    def on_train_end(self, run_context):
        """After training."""
        self.end(run_context)

    def on_eval_begin(self, run_context):
        """Before an evaluation."""
        self.begin(run_context)

    def on_eval_epoch_begin(self, run_context):
        """Before the batches of an evaluation."""
        self.epoch_begin(run_context)

    def on_eval_epoch_end(self, run_context):
        """After the batches of an evaluation."""
        self.epoch_end(run_context)

    def on_eval_step_begin(self, run_context):
        """Before a batch of an evaluation."""
        self.step_begin(run_context)

    def on_eval_step_end(self, run_context):
        """After a batch of an evaluation."""
        self.step_end(run_context)

    def on_eval_end(self, run_context):
        """After an evaluation."""
        self.end(run_context)


def _loss_of(args):
    """The loss among a step's outputs."""
    out = args.net_outputs
    out = out[0] if isinstance(out, (tuple, list)) else out
    return float(out.asnumpy().mean()) if isinstance(out, Tensor) else float(out)


class LossMonitor(Callback):
    """Prints the loss every per_print_times steps; a loss that is NaN or infinite ends the run with ValueError.

    has_trained_epoch is added to the number of the epoch.
    """

    def __init__(self, per_print_times=1, has_trained_epoch=0):
        if isinstance(has_trained_epoch, bool) or not isinstance(has_trained_epoch, int) or has_trained_epoch < 0:
            raise _errors.ValueError(f"[LossMonitor] has_trained_epoch must be an int of at least 0, got {has_trained_epoch!r}")
        self._trained = has_trained_epoch
        if isinstance(per_print_times, bool) or not isinstance(per_print_times, int):
            raise _errors.TypeError(f"[LossMonitor] per_print_times must be an int, got {type(per_print_times).__name__}")
        if per_print_times < 0:
            raise _errors.ValueError(f"[LossMonitor] per_print_times must be at least 0, got {per_print_times}")
        self._every, self._last = per_print_times, 0

    def step_end(self, run_context):
        args = run_context.original_args()
        step = (args.cur_step_num - 1) % args.batch_num + 1
        loss = _loss_of(args)
        if _math.isnan(loss) or _math.isinf(loss):
            raise _errors.ValueError(f"In epoch: {args.cur_epoch_num} step: {step}, loss is NAN or INF, training process "
                                     "cannot continue, terminating training.")
        self._last = min(self._last, args.cur_step_num - 1)
        if self._every and args.cur_step_num - self._last >= self._every:
            self._last = args.cur_step_num
            _say(f"epoch: {args.cur_epoch_num + self._trained} step: {step}, loss is {loss}")

    def on_train_begin(self, run_context):
        self._last = 0

    def on_train_epoch_end(self, run_context):
        args = run_context.original_args()
        if args.metrics:
            _say(f"Eval result: epoch {args.cur_epoch_num}, metrics: {args.metrics}")


class TimeMonitor(Callback):
    """Prints the time of each epoch and of a step of it; data_time: also how long a step waited for its data."""

    def __init__(self, data_size=None, data_time=False):
        if data_size is not None and (isinstance(data_size, bool) or not isinstance(data_size, int) or data_size <= 0):
            raise _errors.ValueError(f"[TimeMonitor] data_size must be a positive int, got {data_size!r}")
        if not isinstance(data_time, bool):
            raise _errors.TypeError(f"[TimeMonitor] data_time must be a bool, got {data_time!r}")
        self.data_size, self.data_time, self._waited = data_size, data_time, 0.0

    def epoch_begin(self, run_context):
        self._start = self._idle = _time.perf_counter()
        self._waited = 0.0

    def on_train_step_begin(self, run_context):
        self._waited += _time.perf_counter() - self._idle

    def on_train_step_end(self, run_context):
        self._idle = _time.perf_counter()

    def epoch_end(self, run_context):
        args = run_context.original_args()
        ms = (_time.perf_counter() - self._start) * 1000
        steps = args.batch_num or self.data_size or 1
        text = f"{args.mode.title()} epoch time: {ms:5.3f} ms, per step time: {ms / steps:5.3f} ms"
        if self.data_time and args.mode == "train":
            text += f" (data time: {self._waited * 1000 / steps:5.3f} ms)"
        _say(text)


class LambdaCallback(Callback):
    """Functions of the run context as callbacks: LambdaCallback(on_train_step_end=lambda c: ...).

    >>> from rutile.train import LambdaCallback
    >>> callback = LambdaCallback(on_train_epoch_end=lambda run: print(run.original_args().cur_epoch_num))
    """

    def __init__(self, on_train_epoch_begin=None, on_train_epoch_end=None, on_train_step_begin=None, on_train_step_end=None,
                 on_train_begin=None, on_train_end=None, on_eval_epoch_begin=None, on_eval_epoch_end=None,
                 on_eval_step_begin=None, on_eval_step_end=None, on_eval_begin=None, on_eval_end=None,
                 **unknown):
        if unknown:
            raise _errors.TypeError(f"[LambdaCallback] there is no {next(iter(unknown))}")
        for name, fn in dict(locals()).items():
            if name.startswith("on_"):
                setattr(self, name, fn or (lambda run_context: None))


class History(Callback):
    """Keeps in `epoch` and `history` what each epoch ended with."""

    def __init__(self):
        self.history, self.epoch = {}, {"epoch": []}

    def begin(self, run_context):
        self.history, self.epoch = {}, {"epoch": []}

    def epoch_end(self, run_context):
        args = run_context.original_args()
        self.epoch["epoch"].append(args.cur_epoch_num)
        self.history.setdefault("net_output", []).append(_loss_of(args))
        for name, value in (args.get("metrics") or {}).items():
            self.history.setdefault(name, []).append(value)


class _CallbackManager(Callback):
    """Several callbacks as one: each method calls that of all, in order."""

    def __init__(self, callbacks):
        self._callbacks = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
        for c in self._callbacks:
            if not isinstance(c, Callback):
                raise _errors.TypeError(f"callbacks are Callbacks, got {type(c).__name__}")

    def __enter__(self):
        for c in self._callbacks:
            c.__enter__()
        return self

    def __exit__(self, *error):
        for c in reversed(self._callbacks):
            c.__exit__(*error)


def _for_all(name):
    def call(self, run_context):
        for c in self._callbacks:
            getattr(c, name)(run_context)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = getattr(Callback, name).__doc__
    return call


for _name in [n for n, f in vars(Callback).items() if callable(f) and not n.startswith("_")]:
    setattr(_CallbackManager, _name, _for_all(_name))
