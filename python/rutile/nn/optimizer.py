# SPDX-License-Identifier: Apache-2.0
"""Optimizers, by MindSpore's names, defaults and formulas. The update of a parameter is one op of the C++ table."""

from rutile import _hints, _rutile
from rutile._rutile import Parameter, Tensor, updates
from rutile.common.parameter import ParameterTuple
from rutile.nn import _low, _shards
from rutile.nn.cell import Cell
from rutile.nn.learning_rate_schedule import LearningRateSchedule
from rutile.ops import operations as _P
from rutile.ops import table
from rutile.ops.composite import HyperMap, Map

_errors = _rutile.errors

__all__ = ["Adam", "AdamOffload", "AdamWeightDecay", "LazyAdam", "Momentum", "Optimizer", "SGD"]

_KEYS = ("params", "lr", "weight_decay", "grad_centralization")


class _NoKey(_errors.ValueError, KeyError):
    """MindSpore raises a KeyError here."""

    __str__ = _errors.ValueError.__str__


_NoKey.__name__ = _NoKey.__qualname__ = "KeyError"


class _NoDuplicate(_errors.ValueError, RuntimeError):
    """MindSpore raises a RuntimeError here for groups, a ValueError else."""

    __str__ = _errors.ValueError.__str__


_NoDuplicate.__name__ = _NoDuplicate.__qualname__ = "ValueError"


class _ListOfRates(LearningRateSchedule):
    """A rate per step, a Parameter of the optimizer; the last one stays."""

    def __init__(self, rates, name):
        super().__init__()
        self.learning_rate = Parameter(rates, name=name, requires_grad=False)

    def construct(self, global_step):
        rates = self.learning_rate.value()
        return table.gather(rates, table.clip(global_step, max=rates.size - 1), axis=0)


def _is_number(v):
    return isinstance(v, (int, float)) and not isinstance(v, bool)


class Optimizer(Cell):
    """Updates `parameters` by their gradients: optimizer(grads).

    parameters: Parameters, or groups as dicts with "params" and optionally "lr", "weight_decay" and
    "grad_centralization" (the mean over all dimensions but the first is taken from a gradient whose second one 16 divides);
    {"order_params": parameters} says in which order gradients come. learning_rate: a number, a Tensor, a list or other
    iterable with a rate per step, or a LearningRateSchedule. weight_decay: a number, or a Cell of the step. It is left out
    for parameters with beta or gamma in their names unless groups are given. loss_scale: gradients are divided by it.

    Optimizers of one's own define construct(grads), with get_lr(), decay_weight, gradients_centralization and scale_grad.

    >>> import rutile
    >>> from rutile import nn, ops
    >>> class Descent(nn.Optimizer):
    ...     def construct(self, grads):
    ...         lr = self.get_lr()
    ...         for p, g in zip(self.parameters, self.decay_weight(grads)):
    ...             ops.assign_sub(p, lr * g)
    ...         return True
    >>> w = rutile.Parameter(rutile.Tensor([1.0]), name="w")
    >>> Descent(0.5, [w])((rutile.Tensor([1.0]),))
    True
    >>> w.asnumpy().tolist()
    [0.5]
    """

    # Whether weight decay is part of the update, not of the gradient.
    _decoupled = False
    # Whether the update treats each element of a parameter by itself, and whether states may be kept in shards.
    _by_element, _shardable = True, True

    def __init__(self, learning_rate, parameters, weight_decay=0.0, loss_scale=1.0):
        super().__init__(auto_prefix=False)
        name = type(self).__name__
        if not _is_number(loss_scale) or loss_scale <= 0:
            raise _errors.ValueError(f"[{name}] loss_scale must be a positive number, got {loss_scale!r}")
        self.loss_scale, self.need_scale = float(loss_scale), loss_scale != 1
        self._check_weight_decay(weight_decay)
        self.weight_decay = weight_decay if isinstance(weight_decay, Cell) else float(weight_decay)
        if parameters is None:
            raise _errors.ValueError(f"[{name}] parameters must not be None")
        if isinstance(parameters, Parameter) or not hasattr(parameters, "__iter__"):
            hint = ": pass its trainable_params()" if isinstance(parameters, Cell) else ""
            raise _errors.TypeError(f"[{name}] parameters must be iterable, got {type(parameters).__name__}{hint}")
        parameters = list(parameters)
        if not parameters:
            raise _errors.ValueError(f"[{name}] there are no parameters to optimize: Optimizer got an empty parameter list")
        self.is_group = isinstance(parameters[0], dict)
        self.is_group_params_ordered = self.is_group and any("order_params" in g for g in parameters)
        self.is_group_lr = self.is_group and any("lr" in g for g in parameters)
        found, decays, rates, central = self._groups(parameters, learning_rate)
        if len({id(p) for p in found}) != len(found):
            raise _NoDuplicate(f"[{name}] a parameter is given twice")
        names = [p.name for p in found if p.name]
        if len(set(names)) != len(names):
            raise _errors.ValueError(f"[{name}] two parameters are named {next(n for n in names if names.count(n) > 1)!r}")
        for i, p in enumerate(found):
            if not p.name:
                p.name = f"parameter_{i}"
        self.__dict__["parameters"] = self.__dict__["_parameters"] = ParameterTuple(found)
        self.__dict__["_shards"] = self._make_shards(found)
        self.__dict__["_wide"] = _low.Wide()
        self._wide.prepare([p if self._shards is None or self._shards.kind(i) == "whole" else None for i, p in enumerate(found)])
        self.__dict__["_decays"] = decays
        self.__dict__["_central"] = central
        self.dynamic_weight_decay = any(isinstance(d, Cell) for d in decays)
        for i, cell in enumerate({id(d): d for d in decays if isinstance(d, Cell)}.values()):
            setattr(self, f"_decay_{i}", cell)
        self.decay_flags = tuple(isinstance(d, Cell) or d > 0 for d in decays) if self.is_group else tuple(
            "beta" not in p.name and "gamma" not in p.name for p in found)
        self.exec_weight_decay = any(isinstance(d, Cell) or d > 0 for d in decays)
        self.grad_centralization_flags = tuple(central)
        self.global_step = Parameter(Tensor([0], "int32"), name="global_step", requires_grad=False)
        self.__dict__["global_step_increase_tensor"] = Tensor([1], "int32")
        self._rates = self._make_rates(rates)

    def _make_shards(self, parameters):
        if not _shards.wanted():
            return None
        if type(self)._update is Optimizer._update or not self._shardable:
            raise _errors.RuntimeError(f"[{type(self).__name__}] its states cannot be kept in shards: leave enable_parallel_optimizer "
                                       "of set_auto_parallel_context False")
        return _shards.of(parameters, self._by_element)

    def _check_weight_decay(self, weight_decay):
        if not _is_number(weight_decay) and not isinstance(weight_decay, Cell):
            raise _errors.TypeError(f"[{type(self).__name__}] weight_decay must be a number or a Cell, got "
                                    f"{type(weight_decay).__name__}")
        if _is_number(weight_decay) and weight_decay < 0:
            raise _errors.ValueError(f"[{type(self).__name__}] weight_decay must not be negative, got {weight_decay}")

    def _groups(self, parameters, learning_rate):
        """(Parameters, weight decay of each, (learning rate, its name) of each, whether its gradient is centred)"""
        name = type(self).__name__
        default = (learning_rate, "learning_rate")
        if not self.is_group:
            for p in parameters:
                if not isinstance(p, Parameter):
                    raise _errors.TypeError(f"[{name}] expects Parameters, got {type(p).__name__}")
            decays = [0.0 if "beta" in p.name or "gamma" in p.name else self.weight_decay for p in parameters]
            return parameters, decays, [default] * len(parameters), [False] * len(parameters)
        rows, order = [], None
        for number, group in enumerate(parameters):
            if not isinstance(group, dict):
                raise _errors.TypeError(f"[{name}] all groups are dicts, got {type(group).__name__}")
            if "order_params" in group:
                if len(group) > 1 or not hasattr(group["order_params"], "__iter__"):
                    raise _errors.ValueError(f"[{name}] 'order_params' stands alone in its dict and is iterable")
                order = list(group["order_params"])
                continue
            if set(group) - set(_KEYS) or "params" not in group:
                raise _NoKey(f"[{name}] a group has 'params' and may have 'lr', 'weight_decay' and 'grad_centralization', "
                             f"got {sorted(group)}")
            decay, central = group.get("weight_decay", self.weight_decay), group.get("grad_centralization", False)
            self._check_weight_decay(decay)
            if not isinstance(central, bool):
                raise _errors.TypeError(f"[{name}] grad_centralization must be a bool, got {type(central).__name__}")
            rate = (group["lr"], f"learning_rate_group_{number}") if "lr" in group else default
            members = list(group["params"])
            if not members:
                raise _errors.ValueError(f"[{name}] there are no parameters to optimize in a group")
            for p in members:
                if not isinstance(p, Parameter):
                    raise _errors.TypeError(f"[{name}] expects Parameters, got {type(p).__name__}")
                rows.append((p, decay if isinstance(decay, Cell) else float(decay), rate, central))
        if order is not None:
            place = {id(row[0]): row for row in rows}
            if {id(p) for p in order} != set(place):
                raise _errors.ValueError(f"[{name}] order_params must name the parameters of the groups")
            rows = [place[id(p)] for p in order]
        if not rows:
            raise _errors.ValueError(f"[{name}] there are no parameters to optimize: Optimizer got an empty parameter list")
        return tuple(list(column) for column in zip(*rows))

    def _make_rates(self, rates):
        """Keeps each learning rate once; gives the number of its rate for every parameter."""
        self.__dict__["_rate_list"], numbers, known = [], [], {}
        for rate, name in rates:
            if name not in known:
                known[name] = len(self._rate_list)
                self._rate_list.append(self._make_rate(rate, name))
            numbers.append(known[name])
        self.dynamic_lr = any(not isinstance(r, Parameter) for r in self._rate_list)
        if "learning_rate" not in self._params and "learning_rate" not in self._cells:
            self.__dict__["learning_rate"] = tuple(self._rate_list[i] for i in numbers)
        return tuple(numbers)

    def _make_rate(self, rate, name):
        who = type(self).__name__
        if not isinstance(rate, LearningRateSchedule):
            if isinstance(rate, (bool, str, Cell)) or not (
                    isinstance(rate, (int, float, Tensor)) or hasattr(rate, "__iter__")):
                raise _errors.TypeError(f"[{who}] learning_rate must be a number, a Tensor, an iterable or a "
                                        f"LearningRateSchedule, got {type(rate).__name__}")
            if isinstance(rate, Tensor) and rate.ndim > 1:
                raise _errors.ValueError(f"[{who}] learning_rate must have 0 or 1 dimensions, got {rate.shape}")
            if isinstance(rate, Tensor) and rate.ndim == 1 or not isinstance(rate, (int, float, Tensor)):
                rate = rate.cast("float32") if isinstance(rate, Tensor) else Tensor([float(r) for r in rate], "float32")
                if rate.size == 0:
                    raise _errors.ValueError(f"[{who}] the list of learning rates is empty")
                rate = _ListOfRates(rate, name)
            else:
                value = float(rate)
                if value < 0:
                    raise _errors.ValueError(f"[{who}] learning_rate must not be negative, got {value}")
                rate = Parameter(Tensor(value, "float32"), name=name, requires_grad=False)
        setattr(self, name, rate)
        return rate

    # ---- For optimizers of one's own

    assignadd = _P.AssignAdd()
    map_, hyper_map = Map(), HyperMap()
    map_reverse, hyper_map_reverse = Map(), HyperMap()

    @property
    def unique(self):
        """Of sparse gradients; there are none."""
        return True

    @property
    def target(self):
        """Where updates run."""
        return "CPU"

    @target.setter
    def target(self, value):
        if not isinstance(value, str):
            raise _errors.TypeError(f"[{type(self).__name__}] target must be a str, got {type(value).__name__}")
        if value != "CPU":
            raise _errors.ValueError(f"[{type(self).__name__}] target is 'CPU', got {value!r}")

    @property
    def reciprocal_scale(self):
        """1 / loss_scale"""
        return Tensor(1.0 / self.loss_scale, "float32")

    def get_weight_decay(self):
        """The weight decay of the coming step times loss_scale; with groups a tuple, one for each parameter."""
        step = self.global_step.value().reshape(())

        def now(decay):
            return (decay(step).reshape(()) if isinstance(decay, Cell) else Tensor(decay, "float32")) * self.loss_scale

        return tuple(now(d) for d in self._decays) if self.is_group else now(self.weight_decay)

    def decay_weight(self, gradients):
        """Gradients with weight decay, as if they were still scaled by loss_scale."""
        if not self.exec_weight_decay:
            return gradients
        step = self.global_step.value().reshape(())
        out = []
        for p, g, d in zip(self._parameters, gradients, self._decays):
            if isinstance(d, Cell) or d:
                d = d(step).reshape(()) if isinstance(d, Cell) else d
                g = g + p.value() * (d * self.loss_scale)
            out.append(g)
        return tuple(out)

    def flatten_gradients(self, gradients):
        """As they are."""
        return gradients

    def broadcast_params(self, optim_result):
        """As it is: with states in shards the update itself sends what it changed."""
        return optim_result

    def gradients_centralization(self, gradients):
        """Gradients less their means, for groups that ask for it."""
        return tuple(_centred(g) if c else g for g, c in zip(gradients, self._central))

    def scale_grad(self, gradients):
        """Gradients divided by loss_scale."""
        return tuple(g * (1.0 / self.loss_scale) for g in gradients) if self.need_scale else gradients

    def get_lr(self):
        """The learning rate of the coming step; with rates of groups a tuple, one for each parameter."""
        rates = self._rates_now()
        return tuple(rates[i] for i in self._rates) if self.is_group_lr else rates[0]

    def get_lr_parameter(self, param):
        """The learning rate of a Parameter (or of several, as a list): a Parameter or a Cell."""
        if not isinstance(param, Parameter):
            return [self.get_lr_parameter(p) for p in param]
        for p, i in zip(self._parameters, self._rates):
            if p is param:
                return self._rate_list[i]
        raise _errors.ValueError(f"[{type(self).__name__}] {param.name} is not one of the parameters")

    def _rates_now(self):
        step = self.global_step.value().reshape(())
        return [rate.value() if isinstance(rate, Parameter) else rate(step).reshape(()) for rate in self._rate_list]

    def _derived(self, step, lr):
        """What states (by id) are behind so many steps that follow from their number; None: they stay."""
        own = self._params.get("momentum")
        return {} if own is None else {id(own): None}

    def _slots(self, prefix, init="zeros"):
        if self._shards is not None:
            return _shards.slots(self._shards, self._parameters, prefix, init)
        return _low.slots_of(self._parameters, prefix, init)

    # ---- A step

    def construct(self, gradients=None):
        if type(self)._update is Optimizer._update:
            raise NotImplementedError(f"{type(self).__name__} says not how it updates")
        gradients = [gradients] if isinstance(gradients, Tensor) else list(gradients)
        if len(gradients) != len(self._parameters):
            raise _errors.ValueError(f"[{type(self).__name__}] has {len(self._parameters)} parameters, got "
                                     f"{len(gradients)} gradients")
        return _rutile.in_optimizer(lambda: self._step(gradients, None))

    def takes_parts(self):
        """Of which parameters this process's part of the gradient is enough: with states in shards, where nothing looks at whole ones."""
        own = (type(self).construct is Optimizer.construct and type(self)._step is Optimizer._step
               and type(self).scale_grad is Optimizer.scale_grad)
        if self._shards is None or not own or any(self._central) or any(isinstance(d, (Cell, Tensor)) for d in self._decays):
            return ()
        return tuple(self._shards.kind(i) == "part" for i in range(len(self._parameters)))

    def step_unless(self, skip, gradients):
        """As calling it, but nothing changes where `skip` (a bool Tensor of one element) is true."""
        skip = skip.reshape(())
        if type(self)._update is not Optimizer._update:
            return _rutile.in_optimizer(lambda: self._step(list(gradients), skip))
        # An optimizer of one's own: what it wrote is taken back.
        states = list({id(p): p for p in (*self._parameters, *self.get_parameters())}.values())
        before = [p.value() for p in states]
        done = self.construct(tuple(gradients))
        for p, old in zip(states, before):
            p.set_data(table.where(skip, old, p.value()))
        return done

    def _step(self, gradients, skip):
        rates = self._rates_now()
        step = self.global_step.value().reshape(())
        dynamic = {id(d): d(step).reshape(()) for d in self._decays if isinstance(d, Cell)}
        one = Tensor([1], "int32")
        updates.assign_add(self.global_step, one if skip is None else table.where(skip, Tensor([0], "int32"), one))
        gradients = self.scale_grad(gradients)
        self._begin(rates, skip)
        for i, (p, g, decay) in enumerate(zip(self._parameters, gradients, self._decays)):
            decay = dynamic.get(id(decay), decay)
            if not self._decoupled and (isinstance(decay, Tensor) or self._central[i] and decay):
                g, decay = g + p.value() * decay, 0.0
            g = _centred(g) if self._central[i] else g
            if isinstance(decay, Tensor):
                self._decay_apart(i, p, rates[self._rates[i]], skip, decay)
                decay = 0.0
            rate = rates[self._rates[i]]
            self._update_own(i, p, g, lambda p, g: self._update(i, p, g, rate, skip, decay))
        if self._shards is not None:
            self._shards.finish(list(range(len(self._parameters))))
        return True

    def _update_own(self, i, parameter, gradient, run):
        """run(parameter, gradient), with this process's part of both where states are in shards."""
        part = parameter
        if self._shards is not None:
            part, gradient = self._shards.begin(i, gradient)
        if part is parameter:
            self._wide.update(i, parameter, gradient, run)
        elif part is not None:
            run(part, gradient)

    def _decay_apart(self, i, parameter, lr, skip, decay):
        """Weight decay that changes with the step, where it is no part of the gradient."""
        _write(parameter, parameter.value() * (1.0 - lr * decay), skip)

    def _begin(self, rates, skip):
        """What is done once for all parameters; may replace the rates."""

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        raise NotImplementedError


def _write(parameter, value, skip):
    """Gives a Parameter a value, unless skip is true."""
    parameter.set_data(value if skip is None else table.where(skip, parameter.value(), value))


def _centred(gradient):
    """Less its mean over all dimensions but the first, where 16 divides the second (Yong et al., 2020)."""
    if gradient.ndim < 2 or gradient.shape[1] % 16:
        return gradient
    return gradient - table.mean(gradient, tuple(range(1, gradient.ndim)), True)


class Momentum(Optimizer):
    """v = momentum * v + g, p -= lr * v; with use_nesterov p -= lr * (g + momentum * v). g includes weight decay."""

    def __init__(self, params, learning_rate, momentum, weight_decay=0.0, loss_scale=1.0, use_nesterov=False):
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        if isinstance(momentum, bool) or not isinstance(momentum, (int, float)):
            raise _errors.TypeError(f"[Momentum] momentum must be a number, got {type(momentum).__name__}")
        if momentum < 0:
            raise _errors.ValueError(f"[Momentum] momentum must not be negative, got {momentum}")
        self.momentum = Parameter(Tensor(float(momentum), "float32"), name="momentum", requires_grad=False)
        self.__dict__["_momentum"] = float(momentum)
        self.use_nesterov = bool(use_nesterov)
        self.moments = self._slots("moments")

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        updates.momentum(parameter, self.moments[i], gradient, lr, skip=skip, momentum=self._momentum,
                         nesterov=self.use_nesterov, weight_decay=weight_decay)


class SGD(Optimizer):
    """p -= lr * v with v = momentum * v + (1 - dampening) * g; the first v is g."""

    def __init__(self, params, learning_rate=0.1, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False,
                 loss_scale=1.0):
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        if not _is_number(momentum) or not _is_number(dampening):
            raise _errors.TypeError("[SGD] momentum and dampening must be numbers, got "
                                    f"{type(momentum).__name__} and {type(dampening).__name__}")
        if momentum < 0 or dampening < 0:
            raise _errors.ValueError("[SGD] momentum and dampening must not be negative")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise _errors.ValueError("[SGD] nesterov needs a momentum and no dampening")
        if self.dynamic_weight_decay:
            raise _errors.TypeError("[SGD] weight_decay must be a number, not a Cell")
        self.dampening, self.nesterov = float(dampening), bool(nesterov)
        self.__dict__["_momentum"] = float(momentum)
        self.momentum = Parameter(Tensor(float(momentum), "float32"), name="momentum", requires_grad=False)
        self.accum = self._slots("accum")

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        if self._momentum == 0:
            updates.sgd(parameter, gradient, lr, skip=skip, weight_decay=weight_decay)
            return
        step = self.global_step.value().reshape(())
        updates.momentum(parameter, self.accum[i], gradient, lr, step, skip, momentum=self._momentum,
                         dampening=self.dampening, nesterov=self.nesterov, weight_decay=weight_decay)


# Of the adam op: after so many steps its own corrections are exactly one.
_NO_CORRECTION = 10**9


def _check_betas(name, beta1, beta2, eps):
    for key, v in {"beta1": beta1, "beta2": beta2}.items():
        if not isinstance(v, float):
            raise _errors.TypeError(f"[{name}] {key} must be a float in (0, 1), got {v!r}")
        if not 0 < v < 1:
            raise _errors.ValueError(f"[{name}] {key} must be a float in (0, 1), got {v!r}")
    if not isinstance(eps, (int, float)) or eps <= 0:
        raise _errors.ValueError(f"[{name}] eps must be positive, got {eps!r}")


class Adam(Optimizer):
    """m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2,
    p -= lr * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + eps); g includes weight decay.

    use_nesterov: beta1 m + (1 - beta1) g in place of m. use_amsgrad: the largest v so far in place of v. use_locking, use_lazy
    and use_offload change nothing here.
    """

    def __init__(self, params, learning_rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, use_locking=False,
                 use_nesterov=False, weight_decay=0.0, loss_scale=1.0, use_amsgrad=False, **kwargs):
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        name = type(self).__name__
        _check_betas(name, beta1, beta2, eps)
        for key in kwargs:
            if key not in ("use_lazy", "use_offload"):
                hint = _hints.close(key, _hints.parameters_of(Adam.__init__, True))
                raise _NoKey(f"[{name}] there is no argument {key!r}{hint or '; others are use_lazy and use_offload'}")
        flags = dict(use_locking=use_locking, use_nesterov=use_nesterov, use_amsgrad=use_amsgrad, use_lazy=False,
                     use_offload=False)
        flags.update(kwargs)
        for key, v in flags.items():
            if not isinstance(v, bool):
                raise _errors.TypeError(f"[{name}] {key} must be a bool, got {type(v).__name__}")
        if flags["use_lazy"] and flags["use_offload"] or use_amsgrad and (flags["use_lazy"] or flags["use_offload"]):
            raise _errors.ValueError(f"[{name}] use_lazy, use_offload and use_amsgrad exclude each other")
        self.use_nesterov, self.use_amsgrad = use_nesterov, use_amsgrad
        self.beta1, self.beta2, self.eps = beta1, beta2, float(eps)
        shape = self._power_shape
        self.beta1_power = Parameter(table.full(shape, 1.0, "float32"), name="beta1_power", requires_grad=False)
        self.beta2_power = Parameter(table.full(shape, 1.0, "float32"), name="beta2_power", requires_grad=False)
        self.moment1, self.moment2 = self._slots("moment1"), self._slots("moment2")
        if use_amsgrad:
            self.vhat = self._slots("vhat")

    _power_shape = ()

    def _begin(self, rates, skip):
        power1, power2 = self.beta1_power * self.beta1, self.beta2_power * self.beta2
        _write(self.beta1_power, power1, skip)
        _write(self.beta2_power, power2, skip)
        scale = (table.sqrt(1.0 - power2) / (1.0 - power1)).reshape(())
        rates[:] = [r * scale for r in rates]

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        options = {"beta1": self.beta1, "beta2": self.beta2, "eps": self.eps, "weight_decay": weight_decay}
        slots = (parameter, self.moment1[i], self.moment2[i])
        if self.use_nesterov:
            self._nesterov(*slots, gradient, lr, skip, weight_decay)
        elif self.use_amsgrad:
            updates.adam_amsgrad(*slots, self.vhat[i], gradient, lr, Tensor(_NO_CORRECTION), skip, **options)
        else:
            updates.adam(*slots, gradient, lr, Tensor(_NO_CORRECTION), skip, **options)

    def _nesterov(self, parameter, moment1, moment2, g, lr, skip, weight_decay):
        p, m, v = (_low.parts(s.value()) for s in (parameter, moment1, moment2))
        g = _low.parts(g.cast(parameter.dtype))
        g = g + p * weight_decay if weight_decay else g
        m = m * self.beta1 + g * (1 - self.beta1)
        v = v * self.beta2 + g * g * (1 - self.beta2)
        p = p - (m * self.beta1 + g * (1 - self.beta1)) * lr / (table.sqrt(v) + self.eps)
        for state, value in ((parameter, p), (moment1, m), (moment2, v)):
            _write(state, _low.joined(value, parameter.dtype), skip)


class AdamOffload(Adam):
    """Adam; MindSpore's computes on the host."""

    _power_shape = (1,)

    def __init__(self, params, learning_rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, use_locking=False,
                 use_nesterov=False, weight_decay=0.0, loss_scale=1.0):
        super().__init__(params, learning_rate, beta1, beta2, eps, use_locking, use_nesterov, weight_decay, loss_scale)


class LazyAdam(AdamOffload):
    """Adam; MindSpore's updates only the rows that a sparse gradient has, and gradients are dense here."""


class AdamWeightDecay(Optimizer):
    """p -= lr * (m / (sqrt(v) + eps) + weight_decay * p), without bias correction."""

    _decoupled = True

    def __init__(self, params, learning_rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.0):
        super().__init__(learning_rate, params, weight_decay)
        _check_betas("AdamWeightDecay", beta1, beta2, eps)
        self.beta1, self.beta2, self.eps = beta1, beta2, float(eps)
        self.moments1, self.moments2 = self._slots("adam_m"), self._slots("adam_v")

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        updates.adamw(parameter, self.moments1[i], self.moments2[i], gradient, lr, Tensor(_NO_CORRECTION), skip,
                      beta1=self.beta1, beta2=self.beta2, eps=self.eps, weight_decay=weight_decay)
