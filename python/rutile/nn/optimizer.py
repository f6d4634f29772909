# SPDX-License-Identifier: Apache-2.0
"""Optimizers, by MindSpore's names, defaults and formulas. The update of a parameter is one op of the C++ table."""

from rutile import _rutile
from rutile._rutile import Parameter, Tensor, updates
from rutile.common.parameter import ParameterTuple
from rutile.nn.cell import Cell
from rutile.nn.learning_rate_schedule import LearningRateSchedule
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["Adam", "AdamWeightDecay", "Momentum", "Optimizer", "SGD"]


class Optimizer(Cell):
    """Updates `parameters` by their gradients: optimizer(grads).

    parameters: Parameters, or groups as dicts with "params" and optionally "lr", "weight_decay". learning_rate: a
    number, a Tensor, a list or other iterable with a rate per step, or a LearningRateSchedule. Weight decay is left out
    for parameters with beta or gamma in their names unless groups are given. loss_scale: gradients are divided by it.
    """

    def __init__(self, learning_rate, parameters, weight_decay=0.0, loss_scale=1.0):
        super().__init__(auto_prefix=False)
        name = type(self).__name__
        if isinstance(loss_scale, bool) or not isinstance(loss_scale, (int, float)) or loss_scale <= 0:
            raise _errors.ValueError(f"[{name}] loss_scale must be a positive number, got {loss_scale!r}")
        self.loss_scale = float(loss_scale)
        self._check_weight_decay(weight_decay)
        self.weight_decay = float(weight_decay)
        parameters = [parameters] if isinstance(parameters, Parameter) else list(parameters)
        if not parameters:
            raise _errors.ValueError(f"[{name}] there are no parameters to optimize")
        self.is_group = isinstance(parameters[0], dict)
        found, decays, rates = self._groups(parameters, learning_rate)
        if len({id(p) for p in found}) != len(found):
            raise _errors.ValueError(f"[{name}] a parameter is given twice")
        for i, p in enumerate(found):
            if not p.name:
                p.name = f"parameter_{i}"
        self.__dict__["parameters"] = self.__dict__["_parameters"] = ParameterTuple(found)
        self.__dict__["_decays"] = decays
        self.global_step = Parameter(Tensor([0], "int32"), name="global_step", requires_grad=False)
        self._rates = self._make_rates(rates)

    def _check_weight_decay(self, weight_decay):
        if isinstance(weight_decay, bool) or not isinstance(weight_decay, (int, float)):
            raise _errors.TypeError(f"[{type(self).__name__}] weight_decay must be a number, got "
                                    f"{type(weight_decay).__name__}")
        if weight_decay < 0:
            raise _errors.ValueError(f"[{type(self).__name__}] weight_decay must not be negative, got {weight_decay}")

    def _groups(self, parameters, learning_rate):
        """(Parameters, weight decay of each, learning rate of each)"""
        name = type(self).__name__
        if not self.is_group:
            for p in parameters:
                if not isinstance(p, Parameter):
                    raise _errors.TypeError(f"[{name}] expects Parameters, got {type(p).__name__}")
            decays = [0.0 if "beta" in p.name or "gamma" in p.name else self.weight_decay for p in parameters]
            return parameters, decays, [learning_rate] * len(parameters)
        found, decays, rates, order = [], [], [], None
        for group in parameters:
            if "order_params" in group:
                order = list(group["order_params"])
                continue
            unknown = set(group) - {"params", "lr", "weight_decay", "grad_centralization"}
            if unknown or "params" not in group:
                raise _errors.ValueError(f"[{name}] a group has 'params' and may have 'lr' and 'weight_decay', "
                                         f"got {sorted(group)}")
            if group.get("grad_centralization"):
                raise _errors.UnsupportedError(f"[{name}] grad_centralization is not supported")
            decay = group.get("weight_decay", self.weight_decay)
            self._check_weight_decay(decay)
            for p in group["params"]:
                if not isinstance(p, Parameter):
                    raise _errors.TypeError(f"[{name}] expects Parameters, got {type(p).__name__}")
                found.append(p)
                decays.append(float(decay))
                rates.append(group.get("lr", learning_rate))
        if order is not None:
            place = {id(p): i for i, p in enumerate(found)}
            if {id(p) for p in order} != set(place):
                raise _errors.ValueError(f"[{name}] order_params must name the parameters of the groups")
            found, decays, rates = (list(x) for x in zip(*((p, decays[place[id(p)]], rates[place[id(p)]])
                                                          for p in order)))
        return found, decays, rates

    def _make_rates(self, rates):
        """Keeps each learning rate once; gives the number of its rate for every parameter."""
        self.__dict__["_rate_list"], numbers, known = [], [], {}
        for rate in rates:
            key = id(rate) if not isinstance(rate, (int, float)) else float(rate)
            if key not in known:
                known[key] = len(self._rate_list)
                self._rate_list.append(self._make_rate(rate, len(self._rate_list)))
            numbers.append(known[key])
        return tuple(numbers)

    def _make_rate(self, rate, i):
        suffix = "" if i == 0 else f"_{i}"
        if isinstance(rate, LearningRateSchedule):
            setattr(self, f"schedule{suffix}", rate)
            return rate
        if isinstance(rate, Tensor) and rate.ndim == 1 or not isinstance(rate, (int, float, Tensor)):
            rate = Tensor(list(rate) if not isinstance(rate, Tensor) else rate, "float32")
            if rate.size == 0:
                raise _errors.ValueError(f"[{type(self).__name__}] the list of learning rates is empty")
            return rate
        value = float(rate)
        if value < 0:
            raise _errors.ValueError(f"[{type(self).__name__}] learning_rate must not be negative, got {value}")
        p = Parameter(Tensor(value, "float32"), name=f"learning_rate{suffix}", requires_grad=False)
        setattr(self, f"learning_rate{suffix}", p)
        return p

    def get_lr(self):
        """The learning rate of the coming step; with several groups a tuple, one for each parameter."""
        rates = self._rates_now()
        return rates[0] if len(rates) == 1 else tuple(rates[i] for i in self._rates)

    def _rates_now(self):
        rates = []
        step = self.global_step.value().reshape(())
        for rate in self._rate_list:
            if isinstance(rate, Parameter):
                rates.append(rate.value())
            elif isinstance(rate, Tensor):
                rates.append(table.gather(rate, table.clip(step, max=rate.size - 1), axis=0))
            else:
                rates.append(rate(step).reshape(()))
        return rates

    def _slots(self, prefix, init="zeros"):
        slots = self._parameters.clone(prefix, init)
        for p in slots:
            p.requires_grad = False
        return slots

    def construct(self, gradients):
        gradients = [gradients] if isinstance(gradients, Tensor) else list(gradients)
        if len(gradients) != len(self._parameters):
            raise _errors.ValueError(f"[{type(self).__name__}] has {len(self._parameters)} parameters, got "
                                     f"{len(gradients)} gradients")
        return _rutile.in_optimizer(lambda: self._step(gradients, None))

    def step_unless(self, skip, gradients):
        """As calling it, but nothing changes where `skip` (a bool Tensor of one element) is true."""
        return _rutile.in_optimizer(lambda: self._step(list(gradients), skip.reshape(())))

    def _step(self, gradients, skip):
        rates = self._rates_now()
        one = Tensor([1], "int32")
        updates.assign_add(self.global_step, one if skip is None else table.where(skip, Tensor([0], "int32"), one))
        if self.loss_scale != 1.0:
            gradients = [g * (1.0 / self.loss_scale) for g in gradients]
        self._begin(rates, skip)
        for i, (p, g, decay) in enumerate(zip(self._parameters, gradients, self._decays)):
            self._update(i, p, g, rates[self._rates[i]], skip, decay)
        return True

    def _begin(self, rates, skip):
        """What is done once for all parameters; may replace the rates."""

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        raise NotImplementedError


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
        if momentum < 0 or dampening < 0:
            raise _errors.ValueError("[SGD] momentum and dampening must not be negative")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise _errors.ValueError("[SGD] nesterov needs a momentum and no dampening")
        if not self.is_group:  # unlike the other optimizers it decays all
            self.__dict__["_decays"] = [self.weight_decay] * len(self._parameters)
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
        if not isinstance(v, float) or not 0 < v < 1:
            raise _errors.ValueError(f"[{name}] {key} must be a float in (0, 1), got {v!r}")
    if not isinstance(eps, (int, float)) or eps <= 0:
        raise _errors.ValueError(f"[{name}] eps must be positive, got {eps!r}")


class Adam(Optimizer):
    """m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2,
    p -= lr * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + eps); g includes weight decay."""

    def __init__(self, params, learning_rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, use_locking=False,
                 use_nesterov=False, weight_decay=0.0, loss_scale=1.0, use_amsgrad=False):
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        _check_betas("Adam", beta1, beta2, eps)
        if use_nesterov or use_amsgrad:
            raise _errors.UnsupportedError("[Adam] use_nesterov and use_amsgrad are not supported")
        self.beta1, self.beta2, self.eps = beta1, beta2, float(eps)
        self.beta1_power = Parameter(Tensor(1.0, "float32"), name="beta1_power", requires_grad=False)
        self.beta2_power = Parameter(Tensor(1.0, "float32"), name="beta2_power", requires_grad=False)
        self.moment1, self.moment2 = self._slots("moment1"), self._slots("moment2")

    def _begin(self, rates, skip):
        power1, power2 = self.beta1_power * self.beta1, self.beta2_power * self.beta2
        self.beta1_power.set_data(power1 if skip is None else table.where(skip, self.beta1_power.value(), power1))
        self.beta2_power.set_data(power2 if skip is None else table.where(skip, self.beta2_power.value(), power2))
        scale = table.sqrt(1.0 - power2) / (1.0 - power1)
        rates[:] = [r * scale for r in rates]

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        updates.adam(parameter, self.moment1[i], self.moment2[i], gradient, lr, Tensor(_NO_CORRECTION), skip,
                     beta1=self.beta1, beta2=self.beta2, eps=self.eps, weight_decay=weight_decay)


class AdamWeightDecay(Optimizer):
    """p -= lr * (m / (sqrt(v) + eps) + weight_decay * p), without bias correction."""

    def __init__(self, params, learning_rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.0):
        super().__init__(learning_rate, params, weight_decay)
        _check_betas("AdamWeightDecay", beta1, beta2, eps)
        self.beta1, self.beta2, self.eps = beta1, beta2, float(eps)
        self.moments1, self.moments2 = self._slots("adam_m"), self._slots("adam_v")

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        updates.adamw(parameter, self.moments1[i], self.moments2[i], gradient, lr, Tensor(_NO_CORRECTION), skip,
                      beta1=self.beta1, beta2=self.beta2, eps=self.eps, weight_decay=weight_decay)
