# SPDX-License-Identifier: Apache-2.0
"""Initial values of parameters, by MindSpore's names. Random ones draw from the default generator (set_seed)."""

import math as _math

from rutile import _hints, _rutile
from rutile._rutile import Tensor

_table = _rutile.ops

__all__ = ["Constant", "Dirac", "HeNormal", "HeUniform", "Identity", "Initializer", "Normal", "One", "Orthogonal",
           "Sparse", "TruncatedNormal", "Uniform", "VarianceScaling", "XavierNormal", "XavierUniform", "Zero", "initializer"]


def _error(text):
    return _rutile.errors.ValueError(text)


class Initializer:
    """Makes a tensor of some shape and dtype: __call__(shape, dtype). One's own has __call__, or as MindSpore's
    _initialize(arr), which fills a NumPy array.

    >>> from rutile.common.initializer import Initializer, initializer
    >>> class Two(Initializer):
    ...     def _initialize(self, arr):
    ...         arr[:] = 2
    >>> initializer(Two(), (2,)).asnumpy().tolist()
    [2.0, 2.0]
    """

    def __init__(self, **kwargs):
        self._kwargs = kwargs

    def _initialize(self, arr):
        raise NotImplementedError(f"{type(self).__name__} has neither __call__(shape, dtype) nor _initialize(arr)")

    def __call__(self, shape, dtype):
        import numpy as np
        empty = _table.full(tuple(shape), 0, dtype)
        arr = np.array((empty.cast("float32") if empty.dtype.name == "bfloat16" else empty).asnumpy())
        made = self._initialize(arr)
        return Tensor(arr if made is None else made, empty.dtype)

    def __repr__(self):
        return type(self).__name__


def _fans(shape):
    if len(shape) < 2:
        raise _error(f"an initializer by fan needs at least two dimensions, got {tuple(shape)}")
    field = _math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


_calculate_fan_in_and_fan_out = _fans  # MindSpore's name, which networks with initial values of their own import


def _assignment(arr, num):
    """Writes a number, or an array of its shape, into an array: how Initializers of one's own fill what they get."""
    arr[...] = num
    return arr


def _init_random_normal(mean, sigma, shape):
    return Normal(sigma, mean)(shape, "float32").asnumpy()


def _init_random_uniform(low, high, shape):
    return (Uniform(1.0)(shape, "float32").asnumpy() + 1) * ((high - low) / 2) + low


def _calculate_correct_fan(shape, mode):
    if mode.lower() not in ("fan_in", "fan_out"):
        raise _error(f"mode must be fan_in or fan_out, got {mode!r}")
    return _fans(shape)[mode.lower() == "fan_out"]


def _gain(nonlinearity, slope):
    slope = 0.01 if slope is None else slope
    if isinstance(slope, bool) or not isinstance(slope, (int, float)):
        raise _error(f"negative_slope must be a number, got {slope!r}")
    gains = {"sigmoid": 1, "linear": 1, "tanh": 5 / 3,
             **{f"conv{way}{n}d": 1 for n in (1, 2, 3) for way in ("", "_transpose")}, "relu": _math.sqrt(2), "leaky_relu": _math.sqrt(2 / (1 + slope**2))}
    if nonlinearity not in gains:
        raise _error(f"nonlinearity must be one of {sorted(gains)}, got {nonlinearity!r}")
    return gains[nonlinearity]


class Constant(Initializer):
    """Every element is `value`."""

    def __init__(self, value):
        self.value = value

    def __call__(self, shape, dtype):
        return _table.full(tuple(shape), self.value, dtype)


class Zero(Constant):
    """Zeros."""

    def __init__(self):
        super().__init__(0)


class One(Constant):
    """Ones."""

    def __init__(self):
        super().__init__(1)


class Normal(Initializer):
    """Normal with deviation sigma around mean."""

    def __init__(self, sigma=0.01, mean=0.0):
        self.sigma, self.mean = sigma, mean

    def __call__(self, shape, dtype):
        return _table.random_normal(tuple(shape), self.mean, self.sigma, dtype)


class TruncatedNormal(Initializer):
    """Normal, cut at a and b (in deviations)."""

    def __init__(self, sigma=0.01, mean=0.0, a=-2.0, b=2.0):
        self.sigma, self.mean, self.a, self.b = sigma, mean, a, b

    def __call__(self, shape, dtype):
        return _table.truncated_normal(tuple(shape), self.mean, self.sigma, self.a, self.b, dtype)


class Uniform(Initializer):
    """Uniform in [-scale, scale]."""

    def __init__(self, scale=0.07):
        self.scale = scale

    def __call__(self, shape, dtype):
        return _table.random_uniform(tuple(shape), -self.scale, self.scale, dtype)


class XavierUniform(Initializer):
    """Glorot and Bengio, 2010: uniform, variance gain^2 * 2 / (fan_in + fan_out)."""

    def __init__(self, gain=1):
        self.gain = gain

    def __call__(self, shape, dtype):
        fan_in, fan_out = _fans(shape)
        return Uniform(self.gain * _math.sqrt(6 / (fan_in + fan_out)))(shape, dtype)


class XavierNormal(Initializer):
    """The same variance, normal."""

    def __init__(self, gain=1):
        self.gain = gain

    def __call__(self, shape, dtype):
        fan_in, fan_out = _fans(shape)
        return Normal(self.gain * _math.sqrt(2 / (fan_in + fan_out)))(shape, dtype)


class _He(Initializer):
    def __init__(self, negative_slope=0, mode="fan_in", nonlinearity="leaky_relu"):
        mode = mode.lower() if isinstance(mode, str) else mode
        if mode not in ("fan_in", "fan_out"):
            raise _error(f"mode must be fan_in or fan_out, got {mode!r}")
        self.gain, self.mode = _gain(nonlinearity, negative_slope), mode

    def deviation(self, shape):
        return self.gain / _math.sqrt(_fans(shape)[self.mode == "fan_out"])


class HeUniform(_He):
    """He et al., 2015: uniform, variance gain^2 / fan."""

    def __call__(self, shape, dtype):
        return Uniform(_math.sqrt(3) * self.deviation(shape))(shape, dtype)


class HeNormal(_He):
    """The same variance, normal."""

    def __call__(self, shape, dtype):
        return Normal(self.deviation(shape))(shape, dtype)


class VarianceScaling(Initializer):
    """Variance scale / n, n being fan_in, fan_out or their mean."""

    def __init__(self, scale=1.0, mode="fan_in", distribution="truncated_normal"):
        if scale <= 0 or mode not in ("fan_in", "fan_out", "fan_avg"):
            raise _error("VarianceScaling: scale is positive, mode is fan_in, fan_out or fan_avg")
        if distribution not in ("uniform", "untruncated_normal", "truncated_normal"):
            raise _error(f"VarianceScaling: no distribution {distribution!r}")
        self.scale, self.mode, self.distribution = scale, mode, distribution

    def __call__(self, shape, dtype):
        fan_in, fan_out = _fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1, n)
        if self.distribution == "uniform":
            return Uniform(_math.sqrt(3 * variance))(shape, dtype)
        if self.distribution == "untruncated_normal":
            return Normal(_math.sqrt(variance))(shape, dtype)
        # A normal cut at two deviations has 0.8796 of its own.
        return TruncatedNormal(_math.sqrt(variance) / 0.87962566103423978)(shape, dtype)


class Orthogonal(Initializer):
    """Rows (or columns, of a taller matrix) that are orthonormal, times gain (Saxe et al., 2013)."""

    def __init__(self, gain=1.0):
        self.gain = gain

    def __call__(self, shape, dtype):
        import numpy as np
        if len(shape) < 2:
            raise _error("Orthogonal needs at least two dimensions")
        rows, columns = shape[0], _math.prod(shape[1:])
        draws = _table.random_normal((max(rows, columns), min(rows, columns)), dtype="float64").asnumpy()
        q, r = np.linalg.qr(draws)
        q = q * np.sign(np.diag(r))
        return Tensor(self.gain * (q.T if rows < columns else q).reshape(shape), dtype)


class Identity(Initializer):
    """Ones on the diagonal of a matrix."""

    def __call__(self, shape, dtype):
        import numpy as np
        if len(shape) != 2:
            raise _error("Identity makes matrices")
        return Tensor(np.eye(*shape), dtype)


class Sparse(Initializer):
    """A matrix, normal with deviation sigma, where `sparsity` of each column's elements are zero (Martens, 2010)."""

    def __init__(self, sparsity, sigma=0.01):
        if not 0 <= sparsity <= 1:
            raise _error(f"Sparse: sparsity must be in [0, 1], got {sparsity}")
        self.sparsity, self.sigma = sparsity, sigma

    def __call__(self, shape, dtype):
        if len(shape) != 2:
            raise _error("Sparse makes matrices")
        # The rows that are zero are those of a column's smallest draws.
        order = _table.random_uniform(tuple(shape), 0.0, 1.0, "float32").asnumpy().argsort(0).argsort(0)
        kept = Tensor((order >= _math.ceil(self.sparsity * shape[0])).astype("float32"), dtype)
        return _table.random_normal(tuple(shape), 0.0, self.sigma, dtype) * kept


class Dirac(Initializer):
    """A convolution weight that passes its input on, in each of `groups`."""

    def __init__(self, groups=1):
        self.groups = groups

    def __call__(self, shape, dtype):
        import numpy as np
        if len(shape) not in (3, 4, 5) or shape[0] % self.groups:
            raise _error("Dirac makes weights of 3 to 5 dimensions whose first one the groups divide")
        a = np.zeros(shape)
        each = shape[0] // self.groups
        centre = tuple(n // 2 for n in shape[2:])
        for g in range(self.groups):
            for i in range(min(each, shape[1])):
                a[(g * each + i, i) + centre] = 1
        return Tensor(a, dtype)


_NAMES = {c.__name__.lower(): c for c in (Dirac, HeNormal, HeUniform, Identity, Normal, One, Orthogonal,
                                          TruncatedNormal, Uniform, VarianceScaling, XavierNormal, XavierUniform,
                                          Zero)}
_NAMES.update(ones=One, zeros=Zero, he_normal=HeNormal, he_uniform=HeUniform, xavier_normal=XavierNormal,
              xavier_uniform=XavierUniform)


def _register(*aliases):
    """A decorator: the class's name in small letters, and these, become names that initializer() takes."""
    def named(cls):
        for name in (cls.__name__.lower(), *aliases):
            _NAMES.setdefault(name, cls)
        return cls
    return named


def _assignment(arr, num):
    """Fills a NumPy array."""
    arr[...] = num
    return arr


def initializer(init, shape=None, dtype="float32"):
    """A tensor by an Initializer, its name in any case, a number or a tensor of that shape.

    >>> from rutile.common.initializer import initializer
    >>> initializer("ones", (2,)).asnumpy().tolist(), initializer(0.5, [1]).asnumpy().tolist()
    ([1.0, 1.0], [0.5])
    """
    if isinstance(init, Tensor):
        if shape is not None and tuple(shape) != init.shape:
            raise _error(f"the initial value has shape {init.shape}, expected {tuple(shape)}")
        return init if shape is None else init.cast(dtype)
    if shape is None:
        raise _error("initializer needs a shape")
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if isinstance(init, str):
        if init.lower() not in _NAMES:
            raise _error(f"there is no initializer {init!r}{_hints.close(init, _NAMES)}; known are {sorted(_NAMES)}")
        init = _NAMES[init.lower()]()
    elif isinstance(init, (int, float)):
        init = Constant(init)
    elif not callable(init):
        raise _rutile.errors.TypeError(f"initializer takes a name, a number, a Tensor or an Initializer, got "
                                       f"{type(init).__name__}")
    return init(shape, dtype if dtype is not None else "float32")
