# SPDX-License-Identifier: Apache-2.0
"""Gradients of several steps, added up before the optimizer runs."""

from rutile import ops
from rutile._rutile import Parameter, Tensor
from rutile.nn.cell import Cell
from rutile.ops import composite as _composite

__all__ = ["GradientAccumulation", "gradient_accumulation_op", "gradient_clear_op"]

gradient_accumulation_op = _composite.MultitypeFuncGraph("gradient_accumulation_op")
gradient_clear_op = _composite.MultitypeFuncGraph("gradient_clear_op")


@gradient_accumulation_op.register("Int64", "Tensor", "Tensor")
def _add(steps, total, grad):
    return ops.assign_add(total, (grad / steps).astype(total.dtype))


@gradient_clear_op.register("Tensor")
def _clear(total):
    return ops.assign(total, ops.zeros_like(total))


class GradientAccumulation(Cell):
    """Called with (loss, grads) adds the gradients up, each divided by max_accumulation_step, and runs the optimizer at
    every max_accumulation_step-th call; returns the loss.

    >>> import rutile
    >>> from rutile import boost, nn
    >>> net = nn.Dense(2, 1, has_bias=False, weight_init="zeros")
    >>> step = boost.GradientAccumulation(2, nn.SGD(net.trainable_params(), 1.0))
    >>> for value in (1.0, 3.0):
    ...     loss = step(rutile.Tensor(0.0), (rutile.ops.full((1, 2), value),))
    >>> net.weight.asnumpy().tolist()
    [[-2.0, -2.0]]
    """

    def __init__(self, max_accumulation_step, optimizer):
        super().__init__()
        self._max_accumulation_step = max_accumulation_step
        self.optimizer = optimizer
        self.weights = optimizer.parameters
        self.hyper_map = _composite.HyperMap()
        self._grad_accumulation = self.weights.clone(prefix="grad_accumulation", init="zeros")
        self._accumulation_step = Parameter(Tensor(0, "int32"), name="accumulation_step")

    def construct(self, loss, grads):
        self.hyper_map(ops.partial(gradient_accumulation_op, self._max_accumulation_step), self._grad_accumulation, grads)
        ops.assign_add(self._accumulation_step, Tensor(1, "int32"))
        if self._accumulation_step >= self._max_accumulation_step:
            self.optimizer(self._grad_accumulation)
            self.hyper_map(gradient_clear_op, self._grad_accumulation)
            ops.assign(self._accumulation_step, Tensor(0, "int32"))
        return loss
