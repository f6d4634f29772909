# SPDX-License-Identifier: Apache-2.0
"""ParameterTuple."""

from rutile import _rutile
from rutile._rutile import Parameter

__all__ = ["Parameter", "ParameterTuple"]


class ParameterTuple(tuple):
    """A tuple of Parameters.

    >>> import rutile
    >>> w = rutile.Parameter(rutile.Tensor([1.0, 2.0]), name="w")
    >>> rutile.ParameterTuple([w]).clone(prefix="m", init="zeros")[0]
    Parameter (name=m.w, shape=(2,), dtype=Float32, requires_grad=True)
    """

    def __new__(cls, iterable):
        items = tuple(iterable)
        for p in items:
            if not isinstance(p, Parameter):
                raise _rutile.errors.TypeError(f"ParameterTuple holds Parameters, got {type(p).__name__}")
        return super().__new__(cls, items)

    def clone(self, prefix, init="same"):
        """Parameters of their own, named prefix.name, with equal values or those of an initializer."""
        return ParameterTuple(clone(p, prefix, init) for p in self)


def clone(parameter, prefix="", init="same"):
    """A Parameter of its own with the name prefix.name; init: "same" for an equal value, or an initializer."""
    from rutile.common.initializer import initializer
    value = parameter.value() if isinstance(init, str) and init == "same" else initializer(
        init, parameter.shape, parameter.dtype)
    name = f"{prefix}.{parameter.name}" if prefix else parameter.name
    return Parameter(value, name=name, requires_grad=parameter.requires_grad)
