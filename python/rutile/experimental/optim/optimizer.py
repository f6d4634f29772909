# SPDX-License-Identifier: Apache-2.0
"""Optimizer: groups of Parameters with options of their own, whose learning rates are Parameters."""

from rutile import _rutile
from rutile._rutile import Parameter, Tensor
from rutile.common.parameter import ParameterTuple
from rutile.nn import _low
from rutile.nn.cell import Cell
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["Optimizer"]


def number(name, key, v, least=0.0, above=False):
    """Checks a number."""
    if isinstance(v, bool) or not isinstance(v, (int, float)):
        raise _errors.TypeError(f"[{name}] {key} must be a number, got {type(v).__name__}")
    if v < least or above and v == least:
        raise _errors.ValueError(f"[{name}] {key} must be {'above' if above else 'at least'} {least}, got {v}")


class Optimizer(Cell):
    """param_groups holds dicts with "params", "lr" (a Parameter) and further options, those not given from `defaults`.

    params: Parameters, or such dicts. Optimizers of one's own define construct(gradients).

    >>> import rutile
    >>> from rutile.experimental import optim
    >>> w = rutile.Parameter(rutile.Tensor([1.0]), name="w")
    >>> optimizer = optim.SGD([w], lr=0.5)
    >>> optimizer((rutile.Tensor([1.0]),)), w.asnumpy().tolist(), float(optimizer.param_groups[0]["lr"])
    (True, [0.5], 0.5)
    """

    def __init__(self, params, defaults):
        super().__init__(auto_prefix=False)
        name = type(self).__name__
        if params is None:
            raise _errors.ValueError(f"[{name}] params must not be None")
        if not hasattr(params, "__iter__"):
            raise _errors.TypeError(f"[{name}] params must be iterable, got {type(params).__name__}")
        groups = list(params)
        if not groups:
            raise _errors.ValueError(f"[{name}] there are no parameters to optimize")
        self.defaults, self.state = defaults, {}
        self.param_groups, self.lrs, self.group_start_id = [], [], [0]
        self.__dict__["parameters"], self.__dict__["_wide"] = ParameterTuple(()), _low.Wide()
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group):
        """Adds a group, a dict with "params" and options; the optimizer's own states are made when it is."""
        name = type(self).__name__
        if not isinstance(param_group, dict):
            raise _errors.TypeError(f"[{name}] a group is a dict, got {type(param_group).__name__}")
        group = {**self.defaults, **param_group}
        params = group.get("params")
        if isinstance(params, set):
            raise _errors.TypeError(f"[{name}] parameters have an order, got a set")
        params = [params] if isinstance(params, Parameter) else list(params)
        for p in params:
            if not isinstance(p, Parameter):
                raise _errors.TypeError(f"[{name}] expects Parameters, got {type(p).__name__}")
        if {id(p) for p in params} & {id(p) for p in self.parameters}:
            raise _errors.ValueError(f"[{name}] a parameter is in two groups")
        rate = group.get("lr")
        if isinstance(rate, bool) or not isinstance(rate, (int, float, Tensor)):
            raise _errors.TypeError(f"[{name}] lr must be a number or a Tensor, got {type(rate).__name__}")
        if isinstance(rate, Tensor) and rate.ndim:
            raise _errors.ValueError(f"[{name}] lr must have no dimensions, got {rate.shape}")
        if float(rate) < 0:
            raise _errors.ValueError(f"[{name}] lr must not be negative, got {float(rate)}")
        number(name, "weight_decay", group.get("weight_decay", 0.0))
        lr_name = f"learning_rate_group_{len(self.param_groups)}"
        lr = Parameter(Tensor(float(rate), "float32"), name=lr_name, requires_grad=False)
        setattr(self, lr_name, lr)
        group.update(params=params, lr=lr, weight_decay=float(group.get("weight_decay", 0.0)))
        self.lrs.append(lr)
        self.param_groups.append(group)
        self.group_start_id.append(self.group_start_id[-1] + len(params))
        self.__dict__["parameters"] = ParameterTuple((*self.parameters, *params))
        self._wide.prepare(params, len(self.parameters) - len(params))

    def _slots(self, prefix, init="zeros"):
        return _low.slots_of(self.parameters, prefix, init)

    def construct(self, gradients):
        gradients = [gradients] if isinstance(gradients, Tensor) else list(gradients)
        if len(gradients) != len(self.parameters):
            raise _errors.ValueError(f"[{type(self).__name__}] has {len(self.parameters)} parameters, got "
                                     f"{len(gradients)} gradients")
        return _rutile.in_optimizer(lambda: self._step(gradients, None))

    def step_unless(self, skip, gradients):
        """As calling it, but nothing changes where `skip` (a bool Tensor of one element) is true."""
        return _rutile.in_optimizer(lambda: self._step(list(gradients), skip.reshape(())))

    def _step(self, gradients, skip):
        self._begin(skip)
        for group, start in zip(self.param_groups, self.group_start_id):
            rate = group["lr"]
            rate = rate.value() if isinstance(rate, Parameter) else Tensor(float(rate), "float32")
            for i, p in enumerate(group["params"], start):
                self._wide.update(i, p, gradients[i], lambda p, g: self._update(i, p, g, rate, group, skip))
        return True

    def _begin(self, skip):
        """Counts the step."""
        step = self.step_t.value()
        more = step + 1
        self.step_t.set_data(more if skip is None else table.where(skip, step, more))

    def _counter(self, name="step_t"):
        self.step_t = Parameter(Tensor(0, "int32"), name=name, requires_grad=False)

    def _update(self, i, parameter, gradient, lr, group, skip):
        raise NotImplementedError

    def __repr__(self):
        lines = []
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {v.value() if isinstance(v, Parameter) else v}" for k, v in sorted(group.items()) if k != "params"]
        return f"{type(self).__name__} (\n" + "\n".join(lines) + ")"
