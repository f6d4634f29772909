# SPDX-License-Identifier: Apache-2.0
"""Whether several processes still train the same network."""

from rutile import _rutile
from rutile.train.callback._callback import Callback

_errors = _rutile.errors

__all__ = ["ReplicaCheck"]


class ReplicaCheck(Callback):
    """Compares the trainable parameters of all processes, bit by bit by a hash, every so many steps and at the end.

    Where they differ, RuntimeError in every process names the first parameter that does and the processes. All processes have
    the callback.

    >>> import rutile
    >>> from rutile import nn
    >>> net = nn.Dense(1, 1)
    >>> model = rutile.Model(net, nn.MSELoss(), nn.SGD(net.trainable_params(), 0.1))
    >>> data = [(rutile.Tensor([[1.0]]), rutile.Tensor([[2.0]]))] * 4
    >>> history = model.train(1, data, callbacks=rutile.train.ReplicaCheck(2))
    """

    def __init__(self, every_steps=1000):
        if isinstance(every_steps, bool) or not isinstance(every_steps, int):
            raise _errors.TypeError(f"[ReplicaCheck] every_steps must be an int, got {every_steps!r}")
        if every_steps < 1:
            raise _errors.ValueError(f"[ReplicaCheck] every_steps must be positive, got {every_steps}")
        self._every, self._last = every_steps, -1

    def _compare(self, args):
        self._last = args.cur_step_num
        _rutile.dist.check_replicas([(p.name, p) for p in args.train_network.trainable_params()])

    def on_train_step_end(self, run_context):
        args = run_context.original_args()
        if args.cur_step_num % self._every == 0:
            self._compare(args)

    def on_train_end(self, run_context):
        args = run_context.original_args()
        if args.cur_step_num > 0 and args.cur_step_num != self._last:
            self._compare(args)
