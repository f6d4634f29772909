# SPDX-License-Identifier: Apache-2.0
"""Activations, by MindSpore's names and defaults."""

from rutile import _hints, _rutile
from rutile import ops
from rutile._rutile import Parameter, Tensor
from rutile.common.initializer import initializer
from rutile.nn.cell import Cell
from rutile.ops import table

_errors = _rutile.errors


_NEEDED = object()


def _check_axis(name, axis):
    if isinstance(axis, bool) or not isinstance(axis, (int, tuple, list)):
        raise _errors.TypeError(f"[{name}] axis is an int, got {axis!r}")


def constructor(attributes):
    """An __init__ that takes attributes and keeps them; those whose default is _NEEDED must be given."""
    arguments = "".join(f", {k}" if d is _NEEDED else f", {k}=_defaults[{k!r}]" for k, d in attributes.items())
    kept = "".join(f"\n    self.{k} = {k}" for k in attributes)
    space = {"_Cell": Cell, "_defaults": attributes, "_check": _check_axis}
    checked = "\n    _check(type(self).__name__, axis)" if "axis" in attributes else ""
    exec(f"def __init__(self{arguments}):\n    _Cell.__init__(self){checked}{kept}", space)
    return space["__init__"]


def _activation(name, function, **defaults):
    """A Cell around function(x, *attributes)."""

    def construct(self, x):
        return function(x, *(getattr(self, key) for key in defaults))

    def extend_repr(self):
        return ", ".join(f"{key}={getattr(self, key)}" for key in defaults)

    doc = (function.__doc__ or "").split("--\n\n")[-1]
    return type(name, (Cell,), {"__init__": constructor(defaults), "construct": construct, "extend_repr": extend_repr,
                                "__doc__": doc, "__module__": __name__})


ReLU = _activation("ReLU", table.relu)
ReLU6 = _activation("ReLU6", table.relu6)
Sigmoid = _activation("Sigmoid", table.sigmoid)
Tanh = _activation("Tanh", table.tanh)
SiLU = _activation("SiLU", table.silu)
HSigmoid = _activation("HSigmoid", table.hsigmoid)
HSwish = _activation("HSwish", table.hswish)
Hardtanh = _activation("Hardtanh", ops.hardtanh, min_val=-1.0, max_val=1.0)
HShrink = _activation("HShrink", ops.hardshrink, lambd=0.5)
SoftShrink = _activation("SoftShrink", ops.softshrink, lambd=0.5)
LeakyReLU = _activation("LeakyReLU", ops.leaky_relu, alpha=0.2)
ELU = _activation("ELU", table.elu, alpha=1.0)
CELU = _activation("CELU", ops.celu, alpha=1.0)
SeLU = _activation("SeLU", ops.selu)
Softmax = _activation("Softmax", table.softmax, axis=-1)
Softmin = _activation("Softmin", ops.softmin, axis=-1)
LogSoftmax = _activation("LogSoftmax", table.log_softmax, axis=-1)
LogSigmoid = _activation("LogSigmoid", ops.logsigmoid)
Softsign = _activation("Softsign", ops.softsign)
Softplus = _activation("Softplus", table.softplus)
Mish = _activation("Mish", ops.mish)
Tanhshrink = _activation("Tanhshrink", ops.tanhshrink)
GLU = _activation("GLU", ops.glu, axis=-1)


def _gelu(x, approximate):
    """x * P(X <= x) of a standard normal X; approximate (the default): its cheaper form."""
    return table.gelu(x, "tanh" if approximate else "none")


GELU = _activation("GELU", _gelu, approximate=True)


class PReLU(Cell):
    """x above zero, w * x below; one w or one per channel."""

    def __init__(self, channel=1, w=0.25):
        super().__init__()
        if isinstance(channel, bool) or not isinstance(channel, int):
            raise _errors.TypeError(f"[PReLU] channel must be an int, got {type(channel).__name__}")
        if channel <= 0:
            raise _errors.ValueError(f"[PReLU] channel must be positive, got {channel}")
        if isinstance(w, list):
            w = Tensor(w, "float32")
        if isinstance(w, Tensor) and w.shape != (channel,):
            raise _errors.ValueError(f"[PReLU] w must have the shape {(channel,)}, got {w.shape}")
        # On its own; within another Cell it is named by its attribute.
        self.w = Parameter(w if isinstance(w, Tensor) else initializer(float(w), (channel,)), name="a")

    def construct(self, x):
        return ops.prelu(x, self.w)


_ACTIVATIONS = {"relu": ReLU, "relu6": ReLU6, "sigmoid": Sigmoid, "tanh": Tanh, "softmax": Softmax, "elu": ELU,
                "logsoftmax": LogSoftmax, "gelu": GELU, "silu": SiLU, "swish": SiLU, "leakyrelu": LeakyReLU,
                "hsigmoid": HSigmoid, "hswish": HSwish, "logsigmoid": LogSigmoid, "prelu": PReLU, "selu": SeLU,
                "softsign": Softsign, "mish": Mish, "softmin": Softmin, "tanhshrink": Tanhshrink, "hardtanh": Hardtanh,
                "softshrink": SoftShrink, "hshrink": HShrink}


class _NoActivation(_errors.ValueError, KeyError):
    """MindSpore raises a KeyError here."""

    __str__ = _errors.ValueError.__str__


_NoActivation.__name__ = _NoActivation.__qualname__ = "KeyError"


def get_activation(name, prim_name=None):
    """A new activation by its name; None for None and for no name.

    >>> from rutile import nn
    >>> nn.get_activation("relu")
    ReLU()
    """
    if name is None or name == "":
        return None
    if name not in _ACTIVATIONS:
        raise _NoActivation(f"there is no activation {name!r}{_hints.close(name, _ACTIVATIONS)}; known are {sorted(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]()


__all__ = [_n for _n, _v in list(globals().items())
           if isinstance(_v, type) and issubclass(_v, Cell) and _v is not Cell and not _n.startswith("_")]
__all__.append("get_activation")
