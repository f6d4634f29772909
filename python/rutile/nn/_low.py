# SPDX-License-Identifier: Apache-2.0
"""Parameters in float16 and bfloat16 under optimizers, whose updates compute in float32 or float64 and keep float32 states,
and complex ones, which are updated as pairs of real numbers."""

from rutile._rutile import Parameter
from rutile.common.parameter import ParameterTuple
from rutile.ops import table

_LOW = ("float16", "bfloat16")
_COMPLEX = ("complex64", "complex128")


def slots_of(parameters, prefix, init):
    """States like the parameters, without gradients."""
    slots = parameters.clone(prefix, init)
    if any(p.dtype.name in _LOW for p in slots):
        slots = ParameterTuple([Parameter(p.value().cast("float32"), name=p.name) if p.dtype.name in _LOW else p for p in slots])
    for p in slots:
        p.requires_grad = False
        if p.dtype.name in _COMPLEX and isinstance(init, float):  # in both parts
            p.set_data(joined(parts(p.value()) * 0.0 + init, p.dtype))
    return slots


def parts(value):
    """Complex numbers as pairs of real ones; real numbers as they are."""
    return table.view_as_real(value) if value.dtype.name in _COMPLEX else value


def joined(value, dtype):
    """Back from parts()."""
    return table.view_as_complex(value) if dtype.name in _COMPLEX else value


class Wide:
    """float32 stand-ins of the parameters that are narrower."""

    def __init__(self):
        self._kept = {}

    def prepare(self, parameters, first=0):
        """Those from number `first` on (None: needs none); to be called outside of compiled functions, where Parameters can be made."""
        for i, p in enumerate(parameters, first):
            if p is not None and p.dtype.name in _LOW:
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
