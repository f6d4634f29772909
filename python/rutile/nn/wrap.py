# SPDX-License-Identifier: Apache-2.0
"""Cells around a network: with its loss, as a training step, for evaluation."""

from rutile import _rutile
from rutile import ops
from rutile._rutile import Parameter, Tensor, updates
from rutile.nn.cell import Cell
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["DynamicLossScaleUpdateCell", "FixedLossScaleUpdateCell", "ForwardValueAndGrad",
           "ParameterUpdate", "TrainOneStepCell", "TrainOneStepWithLossScaleCell", "WithEvalCell", "WithLossCell"]


class WithLossCell(Cell):
    """loss_fn(backbone(data), label)"""

    def __init__(self, backbone, loss_fn):
        super().__init__(auto_prefix=False)
        self._backbone = backbone
        self._loss_fn = loss_fn

    def construct(self, data, label):
        return self._loss_fn(self._backbone(data), label)

    @property
    def backbone_network(self):
        """The network."""
        return self._backbone


class WithEvalCell(Cell):
    """(loss, outputs, label)"""

    def __init__(self, network, loss_fn, add_cast_fp32=False):
        super().__init__(auto_prefix=False)
        self._network, self._loss_fn, self.add_cast_fp32 = network, loss_fn, bool(add_cast_fp32)

    def construct(self, data, label):
        outputs = self._network(data)
        if self.add_cast_fp32:
            outputs = outputs.cast("float32")
        return self._loss_fn(outputs, label), outputs, label


class ForwardValueAndGrad(Cell):
    """(loss, gradients) of a network by inputs (get_all) and weights (get_by_list)."""

    def __init__(self, network, weights=None, get_all=False, get_by_list=False, sens_param=False):
        super().__init__(auto_prefix=False)
        if sens_param:
            raise _errors.UnsupportedError("[ForwardValueAndGrad] sens_param is not supported")
        self.network, self.get_all, self.get_by_list = network, get_all, get_by_list
        self.__dict__["weights"] = tuple(network.trainable_params() if weights is None else weights)

    def construct(self, *inputs):
        position = tuple(range(len(inputs))) if self.get_all else None if self.get_by_list else 0
        return ops.value_and_grad(self.network, position, self.weights if self.get_by_list else None)(*inputs)


class TrainOneStepCell(Cell):
    """One training step: the loss of the network (which returns it), its gradients, the optimizer. Returns the loss.

    In GRAPH_MODE the step is one compiled graph that writes the parameters in place. sens multiplies the gradients.

    >>> import rutile
    >>> from rutile import nn
    >>> net = nn.Dense(1, 1, weight_init="ones", has_bias=False)
    >>> step = nn.TrainOneStepCell(nn.WithLossCell(net, nn.MSELoss()), nn.SGD(net.trainable_params(), 0.1))
    >>> float(step(rutile.Tensor([[1.0]]), rutile.Tensor([[0.0]]))), net.weight.asnumpy().tolist()
    (1.0, [[0.800000011920929]])
    """

    def __init__(self, network, optimizer, sens=1.0, return_grad=False):
        super().__init__(auto_prefix=False)
        self.network, self.optimizer = network, optimizer
        self.sens, self.return_grad = sens, bool(return_grad)
        self.network.set_grad()

    @property
    def weights(self):
        """The parameters that the optimizer updates."""
        return self.optimizer.parameters

    def _loss_and_grads(self, inputs, scale):
        """The network's result and the gradients of it (its first entry) times scale."""

        def scaled(*inputs):
            out = self.network(*inputs)
            loss = out[0] if isinstance(out, tuple) else out
            return loss if scale is None else loss * scale.cast(loss.dtype), out

        (_, out), grads = ops.value_and_grad(scaled, None, self.weights, has_aux=True)(*inputs)
        return out, grads

    def construct(self, *inputs):
        scale = None if self.sens == 1.0 else Tensor(float(self.sens))
        loss, grads = self._loss_and_grads(inputs, scale)
        self.optimizer(grads)
        return (loss, {p.name: g for p, g in zip(self.weights, grads)}) if self.return_grad else loss


class DynamicLossScaleUpdateCell(Cell):
    """A loss scale that halves (scale_factor) on overflow and grows after scale_window good steps."""

    def __init__(self, loss_scale_value, scale_factor, scale_window):
        super().__init__()
        self.loss_scale_value, self.scale_factor, self.scale_window = loss_scale_value, scale_factor, scale_window
        self.__dict__["_good"] = Parameter(Tensor(0, "int64"), name="good_steps", requires_grad=False)

    def get_loss_scale(self):
        """The first scale."""
        return self.loss_scale_value

    def construct(self, loss_scale, overflow):
        updates.update_loss_scale(loss_scale, self._good, overflow, growth=float(self.scale_factor),
                                  backoff=1.0 / self.scale_factor, interval=int(self.scale_window))
        loss_scale.set_data(table.clip(loss_scale.value(), min=1.0))
        return overflow


class FixedLossScaleUpdateCell(Cell):
    """A loss scale that stays."""

    def __init__(self, loss_scale_value):
        super().__init__()
        self.loss_scale_value = loss_scale_value

    def get_loss_scale(self):
        """The scale."""
        return self.loss_scale_value

    def construct(self, loss_scale, overflow):
        return overflow


class TrainOneStepWithLossScaleCell(TrainOneStepCell):
    """A step with a scaled loss: returns (loss, overflow, scale). A step whose gradients overflow changes nothing.

    scale_sense: a Tensor with the scale, or a DynamicLossScaleUpdateCell or FixedLossScaleUpdateCell.
    """

    def __init__(self, network, optimizer, scale_sense):
        super().__init__(network, optimizer)
        self.loss_scaling_manager = scale_sense if isinstance(scale_sense, Cell) else None
        value = scale_sense.get_loss_scale() if isinstance(scale_sense, Cell) else scale_sense
        self.scale_sense = Parameter(Tensor(float(value), "float32"), name="scale_sense", requires_grad=False)

    def construct(self, *inputs):
        scale = self.scale_sense.value()
        loss, grads = self._loss_and_grads(inputs, scale)
        overflow, *grads = table.unscale_and_check(scale, list(grads))
        self.optimizer.step_unless(overflow, grads)
        if self.loss_scaling_manager is not None:
            self.loss_scaling_manager(self.scale_sense, overflow)
        return loss, overflow, scale


class ParameterUpdate(Cell):
    """Gives a Parameter the value that it is called with."""

    def __init__(self, param):
        super().__init__(auto_prefix=False)
        self.param = param

    def construct(self, x):
        self.param.set_data(x)
        return x
