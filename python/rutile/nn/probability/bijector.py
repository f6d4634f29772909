# SPDX-License-Identifier: Apache-2.0
"""Bijectors: functions with an inverse, and the logarithms of their slopes.

>>> import rutile
>>> import rutile.nn.probability.bijector as msb
>>> double = msb.ScalarAffine(2.0, 1.0)
>>> x = rutile.Tensor([1.0, 2.0])
>>> double.forward(x).asnumpy().tolist(), double.inverse(double.forward(x)).asnumpy().tolist()
([3.0, 5.0], [1.0, 2.0])
"""

import numpy as _np

from rutile import _rutile, ops
from rutile._rutile import Tensor
from rutile.nn.cell import Cell

_errors = _rutile.errors

__all__ = ["Bijector", "Exp", "GumbelCDF", "Invert", "PowerTransform", "ScalarAffine", "Softplus"]


class Bijector(Cell):
    """The base of bijectors. A class of one's own defines `_forward`, `_inverse`, and `_forward_log_jacobian` or
    `_inverse_log_jacobian`. Called with a Distribution it gives the TransformedDistribution, with a name
    ("forward", "inverse", "forward_log_jacobian", "inverse_log_jacobian") and a value that function's."""

    def __init__(self, is_constant_jacobian=False, is_injective=True, name=None, dtype=None, param=None):
        super().__init__()
        for what, value in (("is_constant_jacobian", is_constant_jacobian), ("is_injective", is_injective)):
            if not isinstance(value, bool):
                raise _errors.TypeError(f"{type(self).__name__}: {what} must be a bool, got {type(value).__name__}")
        if name is not None and not isinstance(name, str):
            raise _errors.TypeError(f"{type(self).__name__}: name must be a str, got {type(name).__name__}")
        self._name, self._dtype, self._parameters = name or type(self).__name__, dtype, dict(param or {})
        self._is_constant_jacobian, self._is_injective = is_constant_jacobian, is_injective
        given = [v for v in self._parameters.get("param_dict", {}).values() if v is not None]
        self._is_scalar_batch = all(isinstance(v, (int, float)) for v in given)

    @property
    def name(self):
        """The bijector's name."""
        return self._name

    @property
    def dtype(self):
        """The type of its parameters; None: that of values."""
        return self._dtype

    @property
    def parameters(self):
        """The arguments that it was made with."""
        return self._parameters

    @property
    def is_constant_jacobian(self):
        """Whether its slope is constant."""
        return self._is_constant_jacobian

    @property
    def is_injective(self):
        """Whether each value comes from one."""
        return self._is_injective

    @property
    def is_scalar_batch(self):
        """Whether all parameters are numbers."""
        return self._is_scalar_batch

    def _add_parameter(self, value, name):
        return value if isinstance(value, Tensor) else Tensor(_np.asarray(value, _np.float32))

    def _value(self, value):
        if not isinstance(value, Tensor):
            raise _errors.TypeError(f"{self._name}: value must be a Tensor, got {type(value).__name__}")
        return value if value.dtype.name.startswith(("float", "bfloat")) else value.cast("float32")

    def _need(self, *names):
        for name in names:
            if hasattr(type(self), name):
                return getattr(self, name)
        raise _errors.UnsupportedError(f"{self._name} has none of {', '.join(names)}")

    def forward(self, value, *args, **kwargs):
        """The function's value."""
        return self._need("_forward")(self._value(value), *args, **kwargs)

    def inverse(self, value, *args, **kwargs):
        """Whence the value comes."""
        return self._need("_inverse")(self._value(value), *args, **kwargs)

    def forward_log_jacobian(self, value, *args, **kwargs):
        """The logarithm of the function's slope at a value."""
        value = self._value(value)
        f = self._need("_forward_log_jacobian", "_inverse_log_jacobian")
        if f.__name__ == "_forward_log_jacobian":
            return f(value, *args, **kwargs)
        return -f(self.forward(value, *args, **kwargs), *args, **kwargs)

    def inverse_log_jacobian(self, value, *args, **kwargs):
        """The logarithm of the inverse's slope at a value."""
        value = self._value(value)
        f = self._need("_inverse_log_jacobian", "_forward_log_jacobian")
        if f.__name__ == "_inverse_log_jacobian":
            return f(value, *args, **kwargs)
        return -f(self.inverse(value, *args, **kwargs), *args, **kwargs)

    def __call__(self, *args, **kwargs):
        from rutile.nn.probability.distribution import Distribution, TransformedDistribution
        if args and isinstance(args[0], Distribution):
            return TransformedDistribution(self, args[0], args[0].seed, f"{self._name}_{args[0].name}")
        return super().__call__(*args, **kwargs)

    def construct(self, name, *args, **kwargs):
        """The function of a name with its arguments."""
        if name not in ("forward", "inverse", "forward_log_jacobian", "inverse_log_jacobian"):
            raise _errors.UnsupportedError(f"{self._name} has no function {name!r}")
        return getattr(self, name)(*args, **kwargs)


class PowerTransform(Bijector):
    """(1 + power x)^(1 / power), with power 0 exp(x); power is not negative."""

    def __init__(self, power=0., name="PowerTransform"):
        super().__init__(name=name, param={"param_dict": {"power": power}})
        self._power = self._add_parameter(power, "power")
        if not (self._power.asnumpy() >= 0).all():
            raise _errors.ValueError(f"{name}: power must not be negative, got {power}")
        self._zero = not self._power.asnumpy().any()

    @property
    def power(self):
        """The power."""
        return self._power

    def _split(self, x, of_zero, of_others):
        if self._zero:
            return of_zero(x) + ops.zeros_like(self._power)
        c = ops.where(self._power == 0, ops.ones_like(self._power), self._power).cast(x.dtype)
        return ops.where(self._power == 0, of_zero(x), of_others(x, c))

    def _forward(self, x):
        return self._split(x, ops.exp, lambda x, c: ops.exp(ops.log1p(x * c) / c))

    def _inverse(self, y):
        return self._split(y, ops.log, lambda y, c: ops.expm1(ops.log(y) * c) / c)

    def _forward_log_jacobian(self, x):
        return self._split(x, lambda x: x, lambda x, c: (1 / c - 1) * ops.log1p(x * c))

    def _inverse_log_jacobian(self, y):
        return (self._power.cast(y.dtype) - 1) * ops.log(y)


class Exp(PowerTransform):
    """exp(x)"""

    def __init__(self, name="Exp"):
        super().__init__(0., name)


class ScalarAffine(Bijector):
    """scale * x + shift"""

    def __init__(self, scale=1.0, shift=0.0, name="ScalarAffine"):
        super().__init__(True, True, name, param={"param_dict": {"scale": scale, "shift": shift}})
        self._scale, self._shift = self._add_parameter(scale, "scale"), self._add_parameter(shift, "shift")

    @property
    def scale(self):
        """The factor."""
        return self._scale

    @property
    def shift(self):
        """What is added."""
        return self._shift

    def _forward(self, x):
        return self._scale.cast(x.dtype) * x + self._shift.cast(x.dtype)

    def _inverse(self, y):
        return (y - self._shift.cast(y.dtype)) / self._scale.cast(y.dtype)

    def _forward_log_jacobian(self, x):
        return ops.log(ops.abs(self._scale.cast(x.dtype)))

    def _inverse_log_jacobian(self, y):
        return -ops.log(ops.abs(self._scale.cast(y.dtype)))


class Softplus(Bijector):
    """log(1 + exp(sharpness x)) / sharpness"""

    def __init__(self, sharpness=1.0, name="Softplus"):
        super().__init__(name=name, param={"param_dict": {"sharpness": sharpness}})
        self._sharpness = self._add_parameter(sharpness, "sharpness")

    @property
    def sharpness(self):
        """The sharpness."""
        return self._sharpness

    def _forward(self, x):
        k = self._sharpness.cast(x.dtype)
        return -ops.logsigmoid(-k * x) / k

    def _inverse(self, y):
        k = self._sharpness.cast(y.dtype)
        return y + ops.log(-ops.expm1(-k * y)) / k

    def _forward_log_jacobian(self, x):
        return ops.logsigmoid(self._sharpness.cast(x.dtype) * x)

    def _inverse_log_jacobian(self, y):
        return -ops.log(-ops.expm1(-self._sharpness.cast(y.dtype) * y))


class GumbelCDF(Bijector):
    """exp(-exp(-(x - loc) / scale))"""

    def __init__(self, loc=0.0, scale=1.0, name="GumbelCDF"):
        super().__init__(name=name, param={"param_dict": {"loc": loc, "scale": scale}})
        self._loc, self._scale = self._add_parameter(loc, "loc"), self._add_parameter(scale, "scale")
        if not (self._scale.asnumpy() > 0).all():
            raise _errors.ValueError(f"{name}: scale must be greater than zero, got {scale}")

    @property
    def loc(self):
        """The middle."""
        return self._loc

    @property
    def scale(self):
        """The scale."""
        return self._scale

    def _forward(self, x):
        return ops.exp(-ops.exp(-(x - self._loc.cast(x.dtype)) / self._scale.cast(x.dtype)))

    def _inverse(self, y):
        return self._loc.cast(y.dtype) - self._scale.cast(y.dtype) * ops.log(-ops.log(y))

    def _forward_log_jacobian(self, x):
        z = (x - self._loc.cast(x.dtype)) / self._scale.cast(x.dtype)
        return -z - ops.exp(-z) - ops.log(self._scale.cast(x.dtype))

    def _inverse_log_jacobian(self, y):
        return ops.log(self._scale.cast(y.dtype) / (-ops.log(y) * y))


class Invert(Bijector):
    """The inverse of a bijector."""

    def __init__(self, bijector, name=""):
        if not isinstance(bijector, Bijector):
            raise _errors.TypeError(f"Invert: bijector must be a Bijector, got {type(bijector).__name__}")
        super().__init__(bijector.is_constant_jacobian, bijector.is_injective, name or f"Invert{bijector.name}",
                         param={"param_dict": {"bijector": bijector}})
        self._bijector, self._is_scalar_batch = bijector, bijector.is_scalar_batch

    @property
    def bijector(self):
        """The bijector whose inverse it is."""
        return self._bijector

    def _forward(self, x):
        return self._bijector.inverse(x)

    def _inverse(self, y):
        return self._bijector.forward(y)

    def _forward_log_jacobian(self, x):
        return self._bijector.inverse_log_jacobian(x)

    def _inverse_log_jacobian(self, y):
        return self._bijector.forward_log_jacobian(y)
