# SPDX-License-Identifier: Apache-2.0
"""More optimizers, by MindSpore's names, defaults, formulas and names of states."""

from rutile import _rutile
from rutile._rutile import Parameter, Tensor, updates
from rutile.common.parameter import ParameterTuple
from rutile.nn import _low
from rutile.nn.optimizer import Optimizer, _check_betas, _is_number, _write
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["ASGD", "AdaFactor", "AdaMax", "Adadelta", "Adagrad", "FTRL", "LARS", "Lamb", "ProximalAdagrad", "RMSProp", "Rprop"]


def _numbers(name, least=0.0, **values):
    for key, v in values.items():
        if not _is_number(v):
            raise _errors.TypeError(f"[{name}] {key} must be a number, got {type(v).__name__}")
        if v < least:
            raise _errors.ValueError(f"[{name}] {key} must be at least {least}, got {v}")


def _decayed(parameter, gradient, weight_decay):
    """(p, g with weight decay), in the parameter's dtype."""
    p = parameter.value()
    g = gradient.cast(p.dtype)
    return p, g + p * weight_decay if weight_decay else g


class Adagrad(Optimizer):
    """s += g^2 (with update_slots), p -= lr * g / sqrt(s); s starts at accum (Duchi et al., 2011)."""

    def __init__(self, params, accum=0.1, learning_rate=0.001, update_slots=True, loss_scale=1.0, weight_decay=0.0):
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        _numbers("Adagrad", accum=accum)
        if not isinstance(update_slots, bool):
            raise _errors.TypeError(f"[Adagrad] update_slots must be a bool, got {type(update_slots).__name__}")
        self.update_slots = update_slots
        self.accum = self._slots("accum", float(accum))

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        if self.update_slots:
            # Without lr_decay the step is not looked at.
            updates.adagrad(parameter, self.accum[i], gradient, lr, Tensor(1), skip, eps=0.0, weight_decay=weight_decay)
            return
        p, g = _decayed(parameter, gradient, weight_decay)
        _write(parameter, p - g * lr * table.rsqrt(self.accum[i].value()), skip)


class Adadelta(Optimizer):
    """s = rho s + (1 - rho) g^2, d = sqrt(a + epsilon) / sqrt(s + epsilon) g, a = rho a + (1 - rho) d^2, p -= lr * d
    (Zeiler, 2012)."""

    def __init__(self, params, learning_rate=1.0, rho=0.9, epsilon=1e-6, loss_scale=1.0, weight_decay=0.0):
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        _numbers("Adadelta", rho=rho, epsilon=epsilon)
        if rho > 1:
            raise _errors.ValueError(f"[Adadelta] rho must be in [0, 1], got {rho}")
        self.rho, self.epsilon = float(rho), float(epsilon)
        self.accum, self.accum_update = self._slots("accum"), self._slots("accum_update")

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        updates.adadelta(parameter, self.accum[i], self.accum_update[i], gradient, lr, skip=skip, rho=self.rho,
                         eps=self.epsilon, weight_decay=weight_decay)


class AdaMax(Optimizer):
    """m = beta1 m + (1 - beta1) g, u = max(beta2 u, |g|), p -= lr / (1 - beta1^t) * m / (u + eps) (Kingma and Ba, 2015)."""

    def __init__(self, params, learning_rate=0.001, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, loss_scale=1.0):
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        _check_betas("AdaMax", beta1, beta2, eps)
        self.beta1, self.beta2, self.eps = beta1, beta2, float(eps)
        self.beta1_power = Parameter(Tensor([1.0], "float32"), name="beta1_power", requires_grad=False)
        self.moment1, self.moment2 = self._slots("moment1"), self._slots("moment2")

    def _begin(self, rates, skip):
        power = self.beta1_power.value() * self.beta1
        _write(self.beta1_power, power, skip)
        rates[:] = [r / (1.0 - power.reshape(())) for r in rates]

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        p, g = (_low.parts(v) for v in _decayed(parameter, gradient, weight_decay))
        m = _low.parts(self.moment1[i].value()) * self.beta1 + g * (1 - self.beta1)
        u = table.maximum(_low.parts(self.moment2[i].value()) * self.beta2, table.abs(g))
        for state, new in ((parameter, p - m * lr / (u + self.eps)), (self.moment1[i], m), (self.moment2[i], u)):
            _write(state, _low.joined(new, parameter.dtype), skip)


class ASGD(Optimizer):
    """p = p (1 - lambd e) - e g, e = lr / (1 + lambd lr t)^alpha; ax is their average from step t0 on (Polyak and Juditsky,
    1992)."""

    def __init__(self, params, learning_rate=0.1, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0.0):
        super().__init__(learning_rate, params, weight_decay)
        for key, v in (("lambd", lambd), ("alpha", alpha), ("t0", t0)):
            if not isinstance(v, float):
                raise _errors.TypeError(f"[ASGD] {key} must be a float, got {type(v).__name__}")
        self.lambd, self.alpha, self.t0 = lambd, alpha, t0
        self.mu = ParameterTuple(Parameter(Tensor(1.0, "float32"), name=f"mu_{p.name}", requires_grad=False)
                                 for p in self._parameters)
        self.eta = ParameterTuple(Parameter(Tensor(0.0, "float32"), name=f"eta_{p.name}", requires_grad=False)
                                  for p in self._parameters)
        self.ax = self._slots("ax_")

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        step = self.global_step.value().reshape(()).cast("float32")
        p, g = _decayed(parameter, gradient, weight_decay)
        eta = table.where(step == 1.0, lr, self.eta[i].value())
        mu, ax = self.mu[i].value(), self.ax[i].value()
        new = p * (1.0 - eta * self.lambd) - g * eta
        _write(self.ax[i], table.where(mu == 1.0, new, ax + (new - ax) * mu), skip)
        _write(self.eta[i], lr / (1.0 + lr * self.lambd * step) ** self.alpha, skip)
        _write(self.mu[i], 1.0 / table.clip(step - self.t0, min=1.0), skip)
        _write(parameter, new, skip)

    def _derived(self, step, lr):
        lr = float((self._rates_now()[0] if lr is None else lr).asnumpy().reshape(-1)[0])
        eta = lr / (1.0 + lr * self.lambd * step) ** self.alpha
        return {**{id(p): eta for p in self.eta}, **{id(p): 1.0 / max(step - self.t0, 1.0) for p in self.mu}}


class Rprop(Optimizer):
    """The size of a step grows by etas[1] where g has the sign of the one before, shrinks by etas[0] where not, and there g
    counts as zero; p -= sign(g) * size. The first size is lr (Riedmiller and Braun, 1993)."""

    def __init__(self, params, learning_rate=0.1, etas=(0.5, 1.2), step_sizes=(1e-6, 50.0), weight_decay=0.0):
        super().__init__(learning_rate, params, weight_decay)
        for key, v in (("etas", etas), ("step_sizes", step_sizes)):
            if not isinstance(v, tuple):
                raise _errors.TypeError(f"[Rprop] {key} must be a tuple, got {type(v).__name__}")
            if len(v) != 2:
                raise _errors.ValueError(f"[Rprop] {key} has 2 entries, got {v}")
            _numbers("Rprop", **{f"{key}[{i}]": x for i, x in enumerate(v)})
        if not 0 < etas[0] < 1 < etas[1] or step_sizes[0] > step_sizes[1]:
            raise _errors.ValueError(f"[Rprop] etas are below and above 1, step_sizes ascend, got {etas} and {step_sizes}")
        self.etaminus, self.etaplus = (float(v) for v in etas)
        self.step_size_min, self.step_size_max = (float(v) for v in step_sizes)
        self.prev, self.step_size = self._slots("prev"), self._slots("step_size")

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        first = self.global_step.value().reshape(()) == 1
        p, g = (_low.parts(v) for v in _decayed(parameter, gradient, weight_decay))
        size = _low.parts(self.step_size[i].value())
        size = table.where(first, size * 0.0 + lr, size)
        product = g * _low.parts(self.prev[i].value())
        turned = product < 0.0
        factor = table.where(product > 0.0, product * 0.0 + self.etaplus, table.where(
            turned, product * 0.0 + self.etaminus, product * 0.0 + 1.0))
        size = table.clip(size * factor, min=self.step_size_min, max=self.step_size_max)
        g = table.where(turned, g * 0.0, g)
        for state, new in ((parameter, p - table.sign(g) * size), (self.prev[i], g), (self.step_size[i], size)):
            _write(state, _low.joined(new, parameter.dtype), skip)


class RMSProp(Optimizer):
    """s = decay s + (1 - decay) g^2, m = momentum m + lr * g / sqrt(s + epsilon), p -= m; s starts at one (Tieleman and Hinton,
    2012). centered: s - a^2 under the root with a = decay a + (1 - decay) g (Graves, 2013)."""

    def __init__(self, params, learning_rate=0.1, decay=0.9, momentum=0.0, epsilon=1e-10, use_locking=False, centered=False,
                 loss_scale=1.0, weight_decay=0.0):
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        _numbers("RMSProp", decay=decay, momentum=momentum, epsilon=epsilon)
        if epsilon == 0:
            raise _errors.ValueError("[RMSProp] epsilon must be positive, got 0")
        for key, v in (("use_locking", use_locking), ("centered", centered)):
            if not isinstance(v, bool):
                raise _errors.TypeError(f"[RMSProp] {key} must be a bool, got {type(v).__name__}")
        self.decay, self.momentum, self.epsilon, self.centered = float(decay), float(momentum), float(epsilon), centered
        if centered:
            self.mg = self._slots("mean_grad")
        self.ms, self.moment = self._slots("mean_square", "ones"), self._slots("moment")

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        p, g = _decayed(parameter, gradient, weight_decay)
        s = self.ms[i].value() * self.decay + g * g * (1 - self.decay)
        under = s
        if self.centered:
            a = self.mg[i].value() * self.decay + g * (1 - self.decay)
            _write(self.mg[i], a, skip)
            under = s - a * a
        m = self.moment[i].value() * self.momentum + g * lr * table.rsqrt(under + self.epsilon)
        _write(parameter, p - m, skip)
        _write(self.ms[i], s, skip)
        _write(self.moment[i], m, skip)


class FTRL(Optimizer):
    """With q = lr_power, n' = n + g^2: z += g - (n'^-q - n^-q) / lr p; p = (sign(z) l1 - z) / (n'^-q / lr + 2 l2) where
    |z| > l1, else 0; n starts at initial_accum (McMahan et al., 2013)."""

    def __init__(self, params, initial_accum=0.1, learning_rate=0.001, lr_power=-0.5, l1=0.0, l2=0.0, use_locking=False,
                 loss_scale=1.0, weight_decay=0.0):
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        _numbers("FTRL", initial_accum=initial_accum, l1=l1, l2=l2)
        if self.dynamic_lr or self.is_group_lr:
            raise _errors.ValueError("[FTRL] learning_rate must be one number")
        if not _is_number(lr_power):
            raise _errors.TypeError(f"[FTRL] lr_power must be a number, got {type(lr_power).__name__}")
        if lr_power > 0:
            raise _errors.ValueError(f"[FTRL] lr_power must not be positive, got {lr_power}")
        if not isinstance(use_locking, bool):
            raise _errors.TypeError(f"[FTRL] use_locking must be a bool, got {type(use_locking).__name__}")
        self.l1, self.l2, self.lr_power = float(l1), float(l2), float(lr_power)
        # Norms decay as well.
        self.__dict__["_decays"] = self._decays if self.is_group else [self.weight_decay] * len(self._parameters)
        self.moments, self.linear = self._slots("moments", float(initial_accum)), self._slots("linear")

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        updates.ftrl(parameter, self.moments[i], self.linear[i], gradient, lr, skip=skip, l1=self.l1, l2=self.l2,
                     lr_power=self.lr_power, weight_decay=weight_decay)


class ProximalAdagrad(Optimizer):
    """s += g^2, r = lr / sqrt(s), q = p - r g, p = sign(q) max(|q| - r l1, 0) / (1 + r l2); s starts at accum (Duchi and Singer,
    2009)."""

    def __init__(self, params, accum=0.1, learning_rate=0.001, l1=0.0, l2=0.0, use_locking=False, loss_scale=1.0,
                 weight_decay=0.0):
        super().__init__(learning_rate, params, weight_decay, loss_scale)
        _numbers("ProximalAdagrad", accum=accum, l1=l1, l2=l2)
        if not isinstance(use_locking, bool):
            raise _errors.TypeError(f"[ProximalAdagrad] use_locking must be a bool, got {type(use_locking).__name__}")
        self.l1, self.l2 = float(l1), float(l2)
        self.accum = self._slots("accum", float(accum))

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        p, g = _decayed(parameter, gradient, weight_decay)
        s = self.accum[i].value() + g * g
        rate = lr * table.rsqrt(s)
        q = p - g * rate
        if self.l1:
            q = table.sign(q) * table.relu(table.abs(q) - rate * self.l1)
        _write(parameter, q / (1.0 + rate * self.l2) if self.l2 else q, skip)
        _write(self.accum[i], s, skip)


class Lamb(Optimizer):
    """With m, v and their corrections as Adam's, u = m / (sqrt(v) + eps) + weight_decay p: p -= lr |p| / |u| u (You et al.,
    2020)."""

    _decoupled, _by_element = True, False

    def __init__(self, params, learning_rate, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.0):
        super().__init__(learning_rate, params, weight_decay)
        _check_betas("Lamb", beta1, beta2, eps)
        self.beta1, self.beta2, self.eps = beta1, beta2, float(eps)
        self.moments1, self.moments2 = self._slots("lamb_m"), self._slots("lamb_v")
        if self.dynamic_weight_decay:
            raise _errors.UnsupportedError("[Lamb] weight_decay is a number, not a Cell")

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        step = self.global_step.value().reshape(())
        updates.lamb(parameter, self.moments1[i], self.moments2[i], gradient, lr, step, skip, beta1=self.beta1,
                     beta2=self.beta2, eps=self.eps, weight_decay=weight_decay)


class LARS(Optimizer):
    """Another optimizer whose gradients become r (g + weight_decay p), r = coefficient |p| / (|g| + weight_decay |p| + epsilon),
    1 where a norm is 0 (You et al., 2017). use_clip: r is min(r / lr, 1). lars_filter says which parameters take part."""

    def __init__(self, optimizer, epsilon=1e-5, coefficient=0.001, use_clip=False,
                 lars_filter=lambda x: "LayerNorm" not in x.name and "bias" not in x.name):
        if not isinstance(optimizer, Optimizer):
            raise _errors.TypeError(f"[LARS] optimizer must be an Optimizer, got {type(optimizer).__name__}")
        super().__init__(0.0, list(optimizer.parameters))
        for name in ("learning_rate", "global_step"):
            del self._params[name]
        _numbers("LARS", epsilon=epsilon, coefficient=coefficient)
        if not isinstance(use_clip, bool):
            raise _errors.TypeError(f"[LARS] use_clip must be a bool, got {type(use_clip).__name__}")
        self.opt, self.epsilon, self.coefficient, self.use_clip = optimizer, float(epsilon), float(coefficient), use_clip
        self.lars_flag = tuple(bool(lars_filter(p)) for p in optimizer.parameters)
        # This one decays and unscales in place of the optimizer.
        self.loss_scale, self.need_scale = optimizer.loss_scale, optimizer.need_scale
        self.__dict__["_decays"] = list(optimizer._decays)
        if any(not _is_number(d) for d in self._decays):
            raise _errors.UnsupportedError("[LARS] weight_decay of the optimizer is a number, not a Cell")
        optimizer.loss_scale, optimizer.need_scale, optimizer.exec_weight_decay = 1.0, False, False
        optimizer.__dict__["_decays"] = [0.0] * len(self._decays)

    def _make_shards(self, parameters):
        return None  # the states are the optimizer's

    @property
    def global_step(self):
        """The optimizer's."""
        return self.opt.global_step

    @property
    def learning_rate(self):
        """The optimizer's."""
        return self.opt.learning_rate

    def get_lr(self):
        """The optimizer's."""
        return self.opt.get_lr()

    def _scaled(self, gradients):
        rates = self.opt._rates_now() if self.use_clip else None
        out = []
        for i, (p, g, decay) in enumerate(zip(self._parameters, self.scale_grad(gradients), self._decays)):
            if self.lars_flag[i]:
                value = p.value()
                wide = g.cast(value.dtype)
                of_p, of_g = table.norm(value), table.norm(wide)
                rate = of_p * self.coefficient / (of_g + of_p * decay + self.epsilon)
                rate = table.where(table.logical_and(of_p > 0.0, of_g > 0.0), rate, rate * 0.0 + 1.0)
                if self.use_clip:
                    rate = table.clip(rate / rates[self.opt._rates[i]], max=1.0)
                g = (wide + value * decay if decay else wide) * rate
            out.append(g)
        return tuple(out)

    def construct(self, gradients):
        return self.opt(_rutile.in_optimizer(lambda: self._scaled(tuple(gradients))))

    def step_unless(self, skip, gradients):
        """As calling it, but nothing changes where `skip` (a bool Tensor of one element) is true."""
        return self.opt.step_unless(skip, _rutile.in_optimizer(lambda: self._scaled(tuple(gradients))))


class AdaFactor(Optimizer):
    """Adam's second moment of a matrix as the product of its rows' and columns' means (Shazeer and Stern, 2018).

    learning_rate None with relative_step: min(0.01, 1 / sqrt(t)), with warmup_init min(1e-6 t, 1 / sqrt(t)). scale_parameter
    multiplies it by max(eps[1], root mean square of the parameter); an update's is at most clip_threshold. beta1 > 0 keeps
    a first moment.
    """

    _decoupled, _shardable = True, False

    def __init__(self, params, learning_rate=None, eps=(1e-30, 1e-3), clip_threshold=1.0, decay_rate=0.8, beta1=0.9,
                 weight_decay=0.0, scale_parameter=True, relative_step=True, warmup_init=False, compression=False,
                 loss_scale=1.0):
        if learning_rate is not None and relative_step:
            raise _errors.ValueError(f"[AdaFactor] learning_rate {learning_rate} does not go with relative_step")
        if warmup_init and not relative_step:
            raise _errors.ValueError("[AdaFactor] warmup_init goes with relative_step")
        if learning_rate is None and not relative_step:
            raise _errors.ValueError("[AdaFactor] needs a learning_rate without relative_step")
        super().__init__(0.0 if learning_rate is None else learning_rate, params, weight_decay, loss_scale)
        if not isinstance(eps, (tuple, list)):
            raise _errors.TypeError(f"[AdaFactor] eps must be a tuple, got {type(eps).__name__}")
        if len(eps) != 2:
            raise _errors.ValueError(f"[AdaFactor] eps has 2 entries, got {eps}")
        beta1 = 0.0 if beta1 is None else beta1
        _numbers("AdaFactor", clip_threshold=clip_threshold, decay_rate=decay_rate, beta1=beta1, eps0=eps[0], eps1=eps[1])
        if not 0 < decay_rate < 1 or not isinstance(self.weight_decay, float) or self.weight_decay >= 1:
            raise _errors.ValueError(f"[AdaFactor] decay_rate is in (0, 1) and weight_decay in [0, 1), got {decay_rate} and "
                                     f"{weight_decay}")
        self.eps, self.clip_threshold, self.decay_rate = tuple(float(e) for e in eps), float(clip_threshold), float(decay_rate)
        self.beta1, self.relative_step, self.warmup_init, self.compression = float(beta1), relative_step, warmup_init, compression
        # Norms decay as well. A schedule of rates is taken as it is.
        self.__dict__["_decays"] = [self.weight_decay] * len(self._parameters)
        self.scale_lr = not self.dynamic_lr
        self.scale_parameter = scale_parameter and self.scale_lr
        self.use_first_moment = beta1 > 0
        if self.use_first_moment:
            self.exp_avg = self._slots("exp_avg")
        kinds = {"exp_avg_sq_row": lambda s: s[:-1] if len(s) > 1 else (1,),
                 "exp_avg_sq_col": lambda s: (*s[:-2], s[-1]) if len(s) > 1 else (1,),
                 "exp_avg_sq": lambda s: (1,) if len(s) > 1 else s}
        for key, shape in kinds.items():
            setattr(self, key, ParameterTuple(
                Parameter(table.full(tuple(shape(p.shape)), 0.0, p.dtype.name), name=f"{key}_{p.name}", requires_grad=False)
                for p in self._parameters))
        self.step = Parameter(Tensor([0.0], "float32"), name="afactor_step", requires_grad=False)

    def _begin(self, rates, skip):
        step = self.step.value() + 1.0
        _write(self.step, step, skip)
        step = step.reshape(())
        self.__dict__["_beta2"] = 1.0 - step ** -self.decay_rate
        if self.scale_lr and self.relative_step:
            least = step * 1e-6 if self.warmup_init else step * 0.0 + 0.01
            rates[:] = [table.minimum(least, table.rsqrt(step)) for _ in rates]

    def _update(self, i, parameter, gradient, lr, skip, weight_decay):
        p, beta2 = parameter.value(), self._beta2
        g = gradient.cast(p.dtype)
        if self.scale_parameter:
            lr = lr * table.clip(_root_mean_square(p), min=self.eps[1])
        square = g * g + self.eps[0]
        if p.ndim > 1:
            row = self.exp_avg_sq_row[i].value() * beta2 + table.mean(square, (p.ndim - 1,)) * (1.0 - beta2)
            col = self.exp_avg_sq_col[i].value() * beta2 + table.mean(square, (p.ndim - 2,)) * (1.0 - beta2)
            _write(self.exp_avg_sq_row[i], row, skip)
            _write(self.exp_avg_sq_col[i], col, skip)
            along = table.rsqrt(row / table.mean(row, (row.ndim - 1,), True)).expand_dims(row.ndim)
            update = g * along * table.rsqrt(col).expand_dims(col.ndim - 1)
        else:
            s = self.exp_avg_sq[i].value() * beta2 + square * (1.0 - beta2)
            _write(self.exp_avg_sq[i], s, skip)
            update = g * table.rsqrt(s)
        update = update * lr / table.clip(_root_mean_square(update) / self.clip_threshold, min=1.0)
        if self.use_first_moment:
            update = self.exp_avg[i].value() * self.beta1 + update * (1 - self.beta1)
            _write(self.exp_avg[i], update, skip)
        p = p - p * lr * weight_decay if weight_decay else p
        _write(parameter, p - update, skip)


def _root_mean_square(x):
    return table.sqrt(table.mean(table.square(x)))
