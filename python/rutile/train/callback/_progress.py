# SPDX-License-Identifier: Apache-2.0
"""A line that shows how far a training is."""

from rutile.train.callback._callback import Callback, _loss_of
from rutile.train.progress import ProgressLine, style_of

__all__ = ["ProgressBar"]


class ProgressBar(Callback):
    """Shows the epoch, its steps, the speed, the time left and the loss on standard error, by tqdm's conventions: in
    place on a terminal and in a notebook, plain lines every ten seconds elsewhere.

    Model.train and fit add one of their own where no callback prints the loss. RUTILE_PROGRESS=0 shows nothing. Other
    arguments: as ProgressLine (leave, file, mininterval, ...).

    >>> from rutile.train import ProgressBar
    >>> callback = ProgressBar(leave=False)
    """

    def __init__(self, **options):
        self._options, self._line = options, None
        ProgressLine(disable=True, **options)  # says what is wrong with them

    def _begin(self, total, desc):
        self._end()
        self._line = ProgressLine(total=total, desc=desc, unit="step", **self._options)

    def _end(self):
        if self._line is not None:
            self._line.close()
            self._line = None

    def __exit__(self, *error):
        self._end()

    def on_train_epoch_begin(self, run_context):
        args = run_context.original_args()
        self._begin(args.batch_num, f"Epoch {args.cur_epoch_num}/{args.epoch_num}")

    def on_train_step_end(self, run_context):
        line = self._line
        if line._style != "off":
            import time
            if time.perf_counter() - line._shown >= line._interval:  # reading the loss waits for it
                line.set_postfix(loss=_loss_of(run_context.original_args()))
        line.update()

    def on_train_epoch_end(self, run_context):
        args = run_context.original_args()
        if self._line is not None and self._line._style != "off":
            scalars = {"eval_loss" if k == "loss" else k: v for k, v in (args.metrics or {}).items() if isinstance(v, float)}
            self._line.set_postfix({"loss": _loss_of(args), **scalars})
        self._end()

    def on_eval_begin(self, run_context):
        args = run_context.original_args()
        if self._line is None:  # within fit() the line of the epoch stands
            self._begin(args.batch_num, "Eval")

    def on_eval_step_end(self, run_context):
        if self._line is not None and self._line.desc == "Eval":
            self._line.update()

    def on_eval_end(self, run_context):
        if self._line is not None and self._line.desc == "Eval":
            self._end()


def wanted():
    """Whether there is anything to be shown."""
    import sys
    return sys.stderr is not None and style_of(sys.stderr) != "off"
