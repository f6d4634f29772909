# SPDX-License-Identifier: Apache-2.0
"""Parameters in float16 and bfloat16 under optimizers, whose updates compute in float32 or float64 and keep float32 states."""

from rutile._rutile import Parameter
from rutile.common.parameter import ParameterTuple
from rutile.ops import table

_LOW = ("float16", "bfloat16")


def slots_of(parameters, prefix, init):
    """States like the parameters, without gradients."""
    slots = parameters.clone(prefix, init)
    if any(p.dtype.name in _LOW for p in slots):
        slots = ParameterTuple([Parameter(p.value().cast("float32"), name=p.name) if p.dtype.name in _LOW else p for p in slots])
    for p in slots:
        p.requires_grad = False
    return slots


class Wide:
    """float32 stand-ins of the parameters that are narrower."""

    def __init__(self):
        self._kept = {}

    def prepare(self, parameters, first=0):
        """Those from number `first` on; to be called outside of compiled functions, where Parameters can be made."""
        for i, p in enumerate(parameters, first):
            if p.dtype.name in _LOW:
                self._kept[i] = Parameter(table.cast(p.value(), "float32"), name=p.name, requires_grad=False)

    def update(self, i, parameter, gradient, run):
        """run(parameter, gradient) of parameter i, in float32 where that is narrower."""
        wide = self._kept.get(i)
        if wide is None:
            return run(parameter, gradient)
        wide.set_data(table.cast(parameter.value(), "float32"))
        run(wide, table.cast(gradient, "float32"))
        parameter.set_data(table.cast(wide.value(), parameter.dtype))
        return None
