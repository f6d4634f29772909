# SPDX-License-Identifier: Apache-2.0
"""The optimizers of experimental.optim: PyTorch's arguments and formulas, each update one op of the C++ table."""

from rutile import _rutile
from rutile._rutile import Parameter, Tensor, updates
from rutile.common.parameter import ParameterTuple
from rutile.experimental.optim.optimizer import Optimizer, number
from rutile.nn._low import joined, parts
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD"]

# Of the adam op: after so many steps its own corrections are exactly one.
_NO_CORRECTION = 10**9


def _betas(name, betas):
    if not isinstance(betas, (tuple, list)) or len(betas) != 2 or not all(0 <= b < 1 for b in betas):
        raise _errors.ValueError(f"[{name}] betas are two numbers in [0, 1), got {betas!r}")


def _write(parameter, value, skip):
    parameter.set_data(value if skip is None else table.where(skip, parameter.value(), value))


def _wide(parameter, gradient, group):
    """(p, g with its sign and weight decay), in the parameter's dtype."""
    p = parameter.value()
    g = gradient.cast(p.dtype)
    g = -g if group["maximize"] else g
    return p, g + p * group["weight_decay"] if group["weight_decay"] else g


class SGD(Optimizer):
    """v = momentum v + (1 - dampening) g (the first v is g), p -= lr v, or with nesterov p -= lr (g + momentum v)."""

    def __init__(self, params, lr, momentum=0, dampening=0, weight_decay=0.0, nesterov=False, *, maximize=False):
        number("SGD", "momentum", momentum)
        number("SGD", "dampening", dampening)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise _errors.ValueError("[SGD] nesterov needs a momentum and no dampening")
        super().__init__(params, {"lr": lr, "momentum": float(momentum), "dampening": float(dampening),
                                  "weight_decay": weight_decay, "nesterov": nesterov, "maximize": maximize})
        self.accum = self._slots("accum")
        self._counter()

    def _update(self, i, parameter, gradient, lr, group, skip):
        common = {"weight_decay": group["weight_decay"], "maximize": bool(group["maximize"])}
        if not group["momentum"]:
            updates.sgd(parameter, gradient, lr, skip=skip, **common)
            return
        updates.momentum(parameter, self.accum[i], gradient, lr, self.step_t.value(), skip, momentum=group["momentum"],
                         dampening=group["dampening"], nesterov=bool(group["nesterov"]), **common)


class _Adam(Optimizer):
    _name, _decay = "Adam", 0.0

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False, *, maximize=False):
        name = type(self).__name__
        _betas(name, betas)
        number(name, "eps", eps)
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay,
                                  "amsgrad": amsgrad, "maximize": maximize})
        self.exp_avg, self.exp_avg_sq = self._slots("exp_avg"), self._slots("exp_avg_sq")
        if any(g["amsgrad"] for g in self.param_groups):
            self.max_exp_avg_sq = self._slots("max_exp_avg_sq")
        self._counter("state_step")

    def _apply(self, plain, largest, i, parameter, gradient, lr, group, skip, step):
        options = {"beta1": group["betas"][0], "beta2": group["betas"][1], "eps": group["eps"],
                   "weight_decay": group["weight_decay"], "maximize": bool(group["maximize"])}
        slots = (parameter, self.exp_avg[i], self.exp_avg_sq[i])
        if group["amsgrad"]:
            largest(*slots, self.max_exp_avg_sq[i], gradient, lr, step, skip, **options)
        else:
            plain(*slots, gradient, lr, step, skip, **options)


class Adam(_Adam):
    """Kingma and Ba, 2015; eps is added to sqrt(v) before its correction, as nn.Adam does. amsgrad: the largest v so far."""

    def _update(self, i, parameter, gradient, lr, group, skip):
        step = self.step_t.value().cast("float32")
        beta1, beta2 = group["betas"]
        power1, power2 = (table.pow(Tensor(b, "float32"), step) for b in (beta1, beta2))
        lr = lr * table.sqrt(1.0 - power2) / (1.0 - power1)
        self._apply(updates.adam, updates.adam_amsgrad, i, parameter, gradient, lr, group, skip, Tensor(_NO_CORRECTION))


class AdamW(_Adam):
    """Loshchilov and Hutter, 2019: weight decay is taken from the parameter, not added to the gradient."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, amsgrad=False, *, maximize=False):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)

    def _update(self, i, parameter, gradient, lr, group, skip):
        self._apply(updates.adamw, updates.adamw_amsgrad, i, parameter, gradient, lr, group, skip, self.step_t.value())


class _Simple(Optimizer):
    """One op with the group's options."""

    _options = ()

    def _common(self, group):
        return {**{k: group[k] for k in self._options}, "weight_decay": group["weight_decay"],
                "maximize": bool(group["maximize"])}


class Adadelta(_Simple):
    """Zeiler, 2012."""

    _options = ("rho", "eps")

    def __init__(self, params, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0, *, maximize=False):
        number("Adadelta", "rho", rho)
        number("Adadelta", "eps", eps, above=True)
        if rho > 1:
            raise _errors.ValueError(f"[Adadelta] rho must be in [0, 1], got {rho}")
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize})
        self.accum, self.accum_update = self._slots("accum"), self._slots("accum_update")

    def _begin(self, skip):
        pass

    def _update(self, i, parameter, gradient, lr, group, skip):
        updates.adadelta(parameter, self.accum[i], self.accum_update[i], gradient, lr, skip=skip, **self._common(group))


class Adagrad(_Simple):
    """Duchi et al., 2011: s += g^2, p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)."""

    _options = ("lr_decay", "eps")

    def __init__(self, params, lr=0.01, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, *,
                 maximize=False):
        number("Adagrad", "lr_decay", lr_decay)
        number("Adagrad", "initial_accumulator_value", initial_accumulator_value)
        number("Adagrad", "eps", eps, above=True)
        super().__init__(params, {"lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
                                  "initial_accumulator_value": initial_accumulator_value, "maximize": maximize})
        self.accum = self._slots("accum", float(initial_accumulator_value))
        self._counter()

    def _update(self, i, parameter, gradient, lr, group, skip):
        updates.adagrad(parameter, self.accum[i], gradient, lr, self.step_t.value(), skip, **self._common(group))


class _WithBetas(_Simple):
    def _common(self, group):
        return {"beta1": group["betas"][0], "beta2": group["betas"][1], **super()._common(group)}


class Adamax(_WithBetas):
    """Kingma and Ba, 2015, section 7: u = max(beta2 u, |g| + eps), p -= lr / (1 - beta1^t) m / u."""

    _options = ("eps",)

    def __init__(self, params, lr=0.002, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, *, maximize=False):
        _betas("Adamax", betas)
        number("Adamax", "eps", eps, above=True)
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay,
                                  "maximize": maximize})
        self.exp_avg, self.exp_inf = self._slots("exp_avg"), self._slots("exp_inf")
        self._counter()

    def _update(self, i, parameter, gradient, lr, group, skip):
        updates.adamax(parameter, self.exp_avg[i], self.exp_inf[i], gradient, lr, self.step_t.value(), skip,
                       **self._common(group))


class NAdam(_WithBetas):
    """Dozat, 2016: Adam with Nesterov's momentum."""

    _options = ("eps", "momentum_decay")

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, momentum_decay=4e-3):
        _betas("NAdam", betas)
        number("NAdam", "eps", eps, above=True)
        number("NAdam", "momentum_decay", momentum_decay)
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay,
                                  "momentum_decay": momentum_decay, "maximize": False})
        self.exp_avg, self.exp_avg_sq = self._slots("exp_avg"), self._slots("exp_avg_sq")
        self._counter()

    def _update(self, i, parameter, gradient, lr, group, skip):
        updates.nadam(parameter, self.exp_avg[i], self.exp_avg_sq[i], gradient, lr, self.step_t.value(), skip,
                      **self._common(group))


class RAdam(_WithBetas):
    """Liu et al., 2020: Adam with a rectified variance."""

    _options = ("eps",)

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        _betas("RAdam", betas)
        number("RAdam", "eps", eps, above=True)
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay,
                                  "maximize": False})
        self.exp_avg, self.exp_avg_sq = self._slots("exp_avg"), self._slots("exp_avg_sq")
        self._counter()

    def _update(self, i, parameter, gradient, lr, group, skip):
        updates.radam(parameter, self.exp_avg[i], self.exp_avg_sq[i], gradient, lr, self.step_t.value(), skip,
                      **self._common(group))


class RMSprop(_Simple):
    """Tieleman and Hinton, 2012; centered: Graves, 2013."""

    _options = ("alpha", "eps", "momentum")

    def __init__(self, params, lr=0.01, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False, maximize=False):
        number("RMSprop", "alpha", alpha)
        number("RMSprop", "eps", eps, above=True)
        number("RMSprop", "momentum", momentum)
        super().__init__(params, {"lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
                                  "weight_decay": weight_decay, "maximize": maximize})
        self.mean_square = self._slots("mean_square")
        if any(g["centered"] for g in self.param_groups):
            self.mean_grad = self._slots("mean_grad")
        if any(g["momentum"] for g in self.param_groups):
            self.moment = self._slots("moment")

    def _begin(self, skip):
        pass

    def _update(self, i, parameter, gradient, lr, group, skip):
        slots, name = [self.mean_square[i]], "rmsprop"
        if group["centered"]:
            slots, name = [*slots, self.mean_grad[i]], name + "_centered"
        if group["momentum"]:
            slots, name = [*slots, self.moment[i]], name + "_momentum"
        getattr(updates, name)(parameter, *slots, gradient, lr, skip=skip, **self._common(group))


class Rprop(Optimizer):
    """Riedmiller and Braun, 1993: sizes grow by etas[1] while a gradient keeps its sign and shrink by etas[0] when not."""

    def __init__(self, params, lr=0.01, etas=(0.5, 1.2), step_sizes=(1e-6, 50), *, maximize=False):
        if not 0 < etas[0] < 1 < etas[1]:
            raise _errors.ValueError(f"[Rprop] etas are below and above 1, got {etas}")
        super().__init__(params, {"lr": lr, "etas": tuple(etas), "step_sizes": tuple(step_sizes), "maximize": maximize})
        self.prev, self.step_size = self._slots("prev"), self._slots("step_size")
        self._counter()

    def _update(self, i, parameter, gradient, lr, group, skip):
        p, g = (parts(v) for v in _wide(parameter, gradient, group))
        size = parts(self.step_size[i].value())
        size = table.where(self.step_t.value() == 1, size * 0.0 + lr, size)
        product = g * parts(self.prev[i].value())
        less, more = group["etas"]
        factor = table.where(product > 0.0, product * 0.0 + more, table.where(
            product < 0.0, product * 0.0 + less, product * 0.0 + 1.0))
        size = table.clip(size * factor, min=float(group["step_sizes"][0]), max=float(group["step_sizes"][1]))
        g = table.where(product < 0.0, g * 0.0, g)
        for state, value in ((parameter, p - table.sign(g) * size), (self.prev[i], g), (self.step_size[i], size)):
            _write(state, joined(value, parameter.dtype), skip)


class ASGD(Optimizer):
    """Polyak and Juditsky, 1992: ax is the average of the parameter from step t0 on."""

    def __init__(self, params, lr=0.01, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0.0, maximize=False):
        for key, v in (("lambd", lambd), ("t0", t0)):
            if not isinstance(v, float):
                raise _errors.TypeError(f"[ASGD] {key} must be a float, got {type(v).__name__}")
        super().__init__(params, {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay,
                                  "maximize": maximize})
        for key, first in (("mu", 1.0), ("eta", 0.0)):
            setattr(self, key, ParameterTuple(Parameter(Tensor(first, "float32"), name=f"{key}_{p.name}", requires_grad=False)
                                              for p in self.parameters))
        self.ax = self._slots("ax")
        self._counter()

    def _update(self, i, parameter, gradient, lr, group, skip):
        step = self.step_t.value().cast("float32")
        p, g = _wide(parameter, gradient, group)
        eta = table.where(step == 1.0, lr, self.eta[i].value())
        mu, ax = self.mu[i].value(), self.ax[i].value()
        new = p * (1.0 - eta * group["lambd"]) - g * eta
        _write(self.ax[i], table.where(mu == 1.0, new, ax + (new - ax) * mu), skip)
        _write(self.eta[i], lr / (1.0 + lr * group["lambd"] * step) ** group["alpha"], skip)
        _write(self.mu[i], 1.0 / table.clip(step - group["t0"], min=1.0), skip)
        _write(parameter, new, skip)
