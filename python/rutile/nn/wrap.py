# SPDX-License-Identifier: Apache-2.0
"""Cells around a network: with its loss, as a training step, for evaluation."""

from rutile import _rutile
from rutile import context, ops
from rutile._rutile import Parameter, Tensor, updates
from rutile.nn import _shards
from rutile.nn.cell import Cell
from rutile.ops import table
from rutile.ops.transform import value_and_grad_sending

_errors = _rutile.errors

__all__ = ["DistributedGradReducer", "DynamicLossScaleUpdateCell", "FixedLossScaleUpdateCell", "ForwardValueAndGrad",
           "GradAccumulationCell", "Jvp", "ParameterUpdate", "TimeDistributed", "TrainOneStepCell",
           "TrainOneStepWithLossScaleCell", "Vjp", "WithEvalCell", "WithGradCell", "WithLossCell"]


def _times(out, sens):
    """The first result of a network, or all of them, times the gradients given for them."""
    if isinstance(out, (tuple, list)):
        sens = sens if isinstance(sens, (tuple, list)) else (sens,) * len(out)
        return tuple(_times(y, s) for y, s in zip(out, sens))
    return out * (sens.cast(out.dtype) if isinstance(sens, Tensor) else sens)


class WithLossCell(Cell):
    """loss_fn(backbone(data), label)"""

    def __init__(self, backbone, loss_fn):
        super().__init__(auto_prefix=False)
        self._backbone = backbone
        self._loss_fn = loss_fn

    def construct(self, data, label):
        out = self._backbone(data)
        if out is None:
            raise _errors.TypeError(f"[WithLossCell] construct() of {type(self._backbone).__name__} returned None: has it no return?")
        return self._loss_fn(out, label)

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
    """(loss, gradients) of a network by inputs (get_all) and weights (get_by_list).

    With sens_param the last input is what the gradient of the result is, else ones.
    """

    def __init__(self, network, weights=None, get_all=False, get_by_list=False, sens_param=False):
        super().__init__(auto_prefix=False)
        self.network, self.get_all, self.get_by_list = network, get_all, get_by_list
        self.sens_param = bool(sens_param)
        self.__dict__["weights"] = tuple(network.trainable_params() if weights is None else weights)

    def construct(self, *inputs):
        sens = None
        if self.sens_param:
            *inputs, sens = inputs
        position = tuple(range(len(inputs))) if self.get_all else None if self.get_by_list else 0

        def scaled(*inputs):
            out = self.network(*inputs)
            return out if sens is None else _times(out, sens), out

        (_, out), grads = ops.value_and_grad(scaled, position, self.weights if self.get_by_list else None,
                                             has_aux=True)(*inputs)
        return out, grads


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
        # For steps of one's own, written on this one.
        self.grad, self.grad_no_sens = ops.GradOperation(get_by_list=True, sens_param=True), ops.GradOperation(get_by_list=True)
        self.hyper_map, self.reducer_flag = ops.HyperMap(), False
        self.__dict__.update(_together=True, _reducer=None, _spread=False)
        if context.get_auto_parallel_context("parallel_mode") in (context.ParallelMode.DATA_PARALLEL, context.ParallelMode.HYBRID_PARALLEL):
            self.reducer_flag = True
            self.__dict__.update(_together=False, _reducer=DistributedGradReducer(self.weights))
            self._spread_gradients()

    def _spread_gradients(self):
        """Where nobody but an optimizer with states in shards sees the gradients, each process gets its parts of them only."""
        construct = type(self).construct
        own = (construct is TrainOneStepCell.construct or construct is TrainOneStepWithLossScaleCell.construct) and (
            type(self).grad_reducer is TrainOneStepCell.grad_reducer)
        takes_parts = getattr(self.optimizer, "takes_parts", None)
        parts = takes_parts() if own and takes_parts is not None and not self.return_grad else ()
        if any(parts):
            self._reducer._reducer.scatter(list(parts))
            self.__dict__["_spread"] = True

    @property
    def weights(self):
        """The parameters that the optimizer updates."""
        return self.optimizer.parameters

    def grad_reducer(self, grads):
        """In data parallel training the sum or mean over all processes (set_auto_parallel_context), else the gradients."""
        return self._reducer(grads) if self.reducer_flag else grads

    def _start_together(self):
        """All processes begin with the values of rank 0."""
        if _rutile.inside_transform():
            return
        self.__dict__["_together"] = True
        if _rutile.dist.size() > 1 and context.get_auto_parallel_context("parameter_broadcast"):
            own = {id(p): p for p in (*self.get_parameters(), *self.weights) if not _shards.is_shard(p)}
            _rutile.dist.broadcast_states([(p.name, p) for p in own.values()])

    def __call__(self, *inputs, **kwargs):
        if not self.__dict__.get("_together", True):
            self._start_together()
        return super().__call__(*inputs, **kwargs)

    def _loss_and_grads(self, inputs, scale):
        """The network's result and the gradients of it (its first entry) times scale."""

        def scaled(*inputs):
            out = self.network(*inputs)
            loss = out[0] if isinstance(out, tuple) else out
            # As in C++: nothing would be learnt, and nobody told.
            if isinstance(loss, Tensor) and not _rutile.tracked(loss):
                raise _rutile.errors.ValueError(
                    "the loss depends on no parameter that is trained: is it made of the network's outputs, by functions that "
                    "have a gradient (not argmax, comparisons, integers)?")
            return loss if scale is None else loss * scale.cast(loss.dtype), out

        if not any(p.requires_grad for p in self.weights):
            raise _rutile.errors.ValueError(f"all parameters of the {type(self.optimizer).__name__} are frozen: there is nothing to "
                                            "train; set requires_grad = True")
        (_, out), grads = value_and_grad_sending(scaled, self.weights, self._sender())(*inputs)
        return out, grads

    def _sender(self):
        """What grad_reducer() will reduce by, to start while backward runs; None where it is something else."""
        reducer = self.grad_reducer
        if getattr(reducer, "__func__", None) is TrainOneStepCell.grad_reducer:
            reducer = self._reducer
        return reducer._reducer if isinstance(reducer, DistributedGradReducer) else None

    def construct(self, *inputs):
        scale = None if self.sens == 1.0 else Tensor(float(self.sens))
        loss, grads = self._loss_and_grads(inputs, scale)
        grads = self.grad_reducer(grads)
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

    scale_sense: a Tensor with the scale, or a DynamicLossScaleUpdateCell or FixedLossScaleUpdateCell. skipped_steps
    counts those that changed nothing; the logger "rutile" hears of each, and gets a warning of ten in a row.
    """

    def __init__(self, network, optimizer, scale_sense):
        super().__init__(network, optimizer)
        self.loss_scaling_manager = scale_sense if isinstance(scale_sense, Cell) else None
        value = scale_sense.get_loss_scale() if isinstance(scale_sense, Cell) else scale_sense
        if isinstance(value, (bool, str)) or not isinstance(value, (int, float, Tensor)):
            raise _errors.TypeError(f"[TrainOneStepWithLossScaleCell] scale_sense must be a Tensor, a number or a Cell that updates it, "
                                    f"got {type(value).__name__}")
        self.scale_sense = Parameter(Tensor(float(value), "float32"), name="scale_sense", requires_grad=False)
        self.__dict__.update(_skipped=0, _in_a_row=0)  # no part of the network: a trace does not look at them

    @property
    def skipped_steps(self):
        """How many calls changed nothing, because gradients overflowed."""
        return self._skipped

    def __call__(self, *inputs, **kwargs):
        out = super().__call__(*inputs, **kwargs)
        # A class of one's own may return what it likes.
        if not _rutile.inside_transform() and isinstance(out, tuple) and len(out) == 3 and out[1].dtype == "bool":
            self._note(bool(out[1]), out[2])
        return out

    def _note(self, overflow, scale):
        values = self.__dict__
        values["_in_a_row"] = values["_in_a_row"] + 1 if overflow else 0
        if overflow:
            import logging
            values["_skipped"] += 1
            log = logging.getLogger("rutile")
            log.info("step skipped: gradients overflow at the loss scale %g (%d so far)", float(scale), values["_skipped"])
            if values["_in_a_row"] % 10 == 0:
                log.warning("the last %d steps were skipped: gradients overflow at the loss scale %g, too large a scale or a "
                            "NaN in the network (rutile.debug.detect_anomaly finds it)", values["_in_a_row"], float(scale))

    def set_sense_scale(self, sens):
        """Another scale, a Tensor."""
        if not isinstance(sens, Tensor):
            raise _errors.TypeError(f"[{type(self).__name__}] the scale must be a Tensor, got {type(sens).__name__}")
        self.scale_sense.set_data(sens.cast("float32").reshape(()))

    def start_overflow_check(self, pre_cond, compute_input):
        """(status, compute_input): what get_overflow_status takes; nothing has to be cleared first."""
        return Tensor(False), compute_input

    def get_overflow_status(self, status, compute_output):
        """Whether a gradient is infinite or NaN, or an element of status is not 0: a bool Tensor."""
        status = table.any(status.cast("bool"))
        for x in compute_output if isinstance(compute_output, (tuple, list)) else (compute_output,):
            status = table.logical_or(status, table.logical_not(table.all(table.isfinite(x))))
        return status

    def process_loss_scale(self, overflow):
        """Gives the manager of the scale its say; returns overflow."""
        if self.loss_scaling_manager is not None:
            return self.loss_scaling_manager(self.scale_sense, overflow)
        return overflow

    def construct(self, *inputs):
        scale = self.scale_sense.value()
        loss, grads = self._loss_and_grads(inputs, scale)
        overflow, *grads = table.unscale_and_check(scale, list(self.grad_reducer(grads)))
        if self._spread:
            overflow = table.all_reduce(overflow, reduce="max")  # each process looks at its parts
        self.optimizer.step_unless(overflow, grads)
        self.process_loss_scale(overflow)
        return loss, overflow, scale


class ParameterUpdate(Cell):
    """Gives a Parameter the value that it is called with."""

    def __init__(self, param):
        super().__init__(auto_prefix=False)
        if not isinstance(param, Parameter):
            raise _errors.TypeError(f"[ParameterUpdate] param must be a Parameter, got {type(param).__name__}")
        self.param = param

    def construct(self, x):
        self.param.set_data(x)
        return x


class WithGradCell(Cell):
    """The gradients of a network's weights: of network(data), or of loss_fn(network(data), label).

    sens: what the gradient of the result is, ones unless given.
    """

    def __init__(self, network, loss_fn=None, sens=None):
        super().__init__(auto_prefix=False)
        self.network, self.loss_fn, self.sens = network, loss_fn, sens
        self.__dict__["weights"] = tuple(network.trainable_params())
        self.network_with_loss = network if loss_fn is None else WithLossCell(network, loss_fn)
        self.network_with_loss.set_train()

    def construct(self, *inputs):
        def scaled(*inputs):
            out = self.network_with_loss(*inputs)
            return out if self.sens is None else _times(out, self.sens)

        return ops.grad(scaled, None, self.weights)(*inputs)


class TimeDistributed(Cell):
    """A layer applied to every slice of an input along time_axis.

    reshape_with_axis: a neighbouring dimension that the time joins instead, so that the layer is called once; it must keep
    that dimension.
    """

    def __init__(self, layer, time_axis, reshape_with_axis=None):
        if not callable(layer):
            raise _errors.TypeError(f"[TimeDistributed] layer must be a Cell or a primitive, got {type(layer).__name__}")
        super().__init__()
        for key, v in (("time_axis", time_axis), ("reshape_with_axis", reshape_with_axis)):
            if isinstance(v, bool) or not isinstance(v, (int, type(None)) if key != "time_axis" else int):
                raise _errors.TypeError(f"[TimeDistributed] {key} must be an int, got {type(v).__name__}")
        self.layer, self.time_axis, self.reshape_with_axis = layer, time_axis, reshape_with_axis

    def construct(self, inputs):
        if inputs.ndim < 3:
            raise _errors.ValueError(f"[TimeDistributed] expects 3 dimensions at least, got {inputs.shape}")
        axis = self.time_axis % inputs.ndim
        if self.reshape_with_axis is not None:
            return self._joined(inputs, axis, self.reshape_with_axis % inputs.ndim)
        return ops.stack([self.layer(inputs[(slice(None),) * axis + (t,)]) for t in range(inputs.shape[axis])], axis)

    def _joined(self, x, time, other):
        """The time stands beside `other`, the two as one dimension while the layer runs."""
        beside = x.ndim - 2 if other == x.ndim - 1 else other + 1 if time > other else other - 1
        at = min(beside, other)
        low, high = min(beside, time), max(beside, time)
        order = (*range(low), high, *range(low, high), *range(high + 1, x.ndim))
        x = table.transpose(x, order)
        y = self.layer(x.reshape((*x.shape[:at], -1, *x.shape[at + 2:])))
        if at >= y.ndim or y.shape[at] != x.shape[at] * x.shape[at + 1]:
            raise _errors.ValueError(f"[TimeDistributed] the layer must keep dimension {at}, got {y.shape} of {x.shape}")
        return y.reshape((*y.shape[:at], *x.shape[at:at + 2], *y.shape[at + 1:]))


class Jvp(Cell):
    """(outputs of fn, their derivative along v): called with the inputs of fn, then v."""

    def __init__(self, fn):
        super().__init__()
        self.fn = fn

    def construct(self, *args):
        return ops.jvp(self.fn, args[:-1], args[-1])


class Vjp(Cell):
    """(outputs of fn, gradients): called with the inputs of fn, then what the gradient of the outputs is."""

    def __init__(self, fn):
        super().__init__()
        self.fn = fn

    def construct(self, *args):
        out, pull = ops.vjp(self.fn, *args[:-1])
        grads = pull(*(args[-1] if isinstance(args[-1], tuple) else (args[-1],)))
        return out, grads if len(grads) > 1 else grads[0]


class GradAccumulationCell(Cell):
    """The sum of a network's results over micro_size parts of its inputs, cut along the first dimension."""

    def __init__(self, network, micro_size):
        super().__init__(auto_prefix=False)
        if not isinstance(network, Cell):
            raise _errors.TypeError(f"[GradAccumulationCell] network must be a Cell, got {type(network).__name__}")
        if isinstance(micro_size, bool) or not isinstance(micro_size, int):
            raise _errors.TypeError(f"[GradAccumulationCell] micro_size must be an int, got {type(micro_size).__name__}")
        if micro_size <= 0:
            raise _errors.ValueError(f"[GradAccumulationCell] micro_size must be positive, got {micro_size}")
        self.network, self.micro_size = network, micro_size

    def construct(self, *inputs):
        for x in inputs:
            if x.shape[0] % self.micro_size:
                raise _errors.ValueError(f"[GradAccumulationCell] {self.micro_size} parts do not divide {x.shape[0]}")
        total = None
        for i in range(self.micro_size):
            parts = (x[i * (x.shape[0] // self.micro_size):(i + 1) * (x.shape[0] // self.micro_size)] for x in inputs)
            out = self.network(*parts)
            total = out if total is None else total + out
        return total


class DistributedGradReducer(Cell):
    """Gradients added up or (mean) averaged over the processes of a group, in few large messages.

    parameters: those that the gradients are of. mean: None takes that of set_auto_parallel_context, whose settings of messages
    count too. degree: the number of processes, or None. Called with the gradients, in the order of the parameters; None
    stands for zeros where another process has a gradient, and stays None where none has.

    >>> import rutile
    >>> from rutile import nn
    >>> reducer = nn.DistributedGradReducer(nn.Dense(1, 1).trainable_params(), mean=True)
    >>> [g.asnumpy().tolist() for g in reducer((rutile.Tensor([2.0]),))]
    [[2.0]]
    """

    def __init__(self, parameters, mean=None, degree=None, fusion_type=1, group="world"):
        super().__init__(auto_prefix=False)
        from rutile import communication, context
        name = communication._name(group)
        size = _rutile.dist.size(name)
        if degree is not None and degree != size:
            raise _errors.ValueError(f"[DistributedGradReducer] the group {name!r} has {size} processes, got the degree {degree}")
        self.degree = size
        self.mean = context.get_auto_parallel_context("gradients_mean") if mean is None else bool(mean)
        mb, split, wire = context.gradient_messages()
        self.__dict__["_reducer"] = _rutile.dist.Reducer(self.mean, name, mb, split, wire)
        self.__dict__["_parameters"] = tuple(parameters)

    def construct(self, grads):
        if len(grads) == len(self._parameters):
            return tuple(self._reducer.reduce(tuple(grads), self._parameters))
        present = tuple(g for g in grads if g is not None)
        reduced = iter(self._reducer.reduce(present))
        return tuple(g if g is None else next(reduced) for g in grads)
