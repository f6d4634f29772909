# SPDX-License-Identifier: Apache-2.0
"""What all distributions share."""

import numpy as _np

from rutile import _rutile
from rutile._rutile import Parameter, Tensor
from rutile.nn.cell import Cell

_errors = _rutile.errors

__all__ = ["Distribution", "Known"]

_FLOATS = ("float16", "float32", "float64", "bfloat16")


def name_of(dtype):
    """The name of an element type."""
    return str(getattr(dtype, "name", dtype))


def parameter(name, doc):
    """A property that reads a parameter of a distribution."""
    return property(lambda self: getattr(self, f"_{name}_value"), doc=doc)


def nan_like(x):
    """NaN everywhere, of x's shape and type."""
    from rutile import ops
    return ops.full_like(x, float("nan"))


class Distribution(Cell):
    """The base of distributions. A class of one's own defines what it knows of `_prob`, `_log_prob`, `_cdf`, `_log_cdf`,
    `_survival_function`, `_log_survival`, `_mean`, `_mode`, `_sd`, `_var`, `_entropy`, `_kl_loss`, `_cross_entropy`, `_sample`;
    what follows from another one needs no definition.

    seed: of samples, 0 draws from the generator of all. dtype: of values and samples. param: the arguments, a dict.
    """

    def __init__(self, seed, dtype, name, param):
        super().__init__()
        if not isinstance(name, str):
            raise _errors.TypeError(f"{type(self).__name__}: name must be a str, got {type(name).__name__}")
        seed = 0 if seed is None else seed
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise _errors.TypeError(f"{name}: seed must be an int, got {type(seed).__name__}")
        if seed < 0:
            raise _errors.ValueError(f"{name}: seed must not be negative, got {seed}")
        self._name, self._seed, self._dtype = name, seed, dtype
        self._parameters = {k: v for k, v in param.items() if k != "self" and not k.startswith("_")}
        self.default_parameters, self.parameter_names = [], []
        self.parameter_type = name_of(dtype) if name_of(dtype) in _FLOATS else "float32"
        given = [v for v in self._parameters.get("param_dict", {}).values() if v is not None]
        self._is_scalar_batch = all(isinstance(v, (int, float)) for v in given)
        self._batch_shape = None if not given or len(given) < len(self._parameters.get("param_dict", {})) else _np.broadcast_shapes(
            *(tuple(v.shape) if isinstance(v, Tensor) else _np.shape(v) for v in given))
        self._broadcast_shape = self._batch_shape

    @property
    def name(self):
        """The distribution's name."""
        return self._name

    @property
    def dtype(self):
        """The type of values and samples."""
        return self._dtype

    @property
    def seed(self):
        """The seed of samples."""
        return self._seed

    @property
    def parameters(self):
        """The arguments that it was made with."""
        return self._parameters

    @property
    def is_scalar_batch(self):
        """Whether all parameters are numbers."""
        return self._is_scalar_batch

    @property
    def batch_shape(self):
        """The parameters' shape; None where some are missing."""
        return self._batch_shape

    @property
    def broadcast_shape(self):
        """The shape of one sample."""
        return self._broadcast_shape

    def _add_parameter(self, value, name):
        if value is not None and not isinstance(value, Parameter):
            value = (value if isinstance(value, Tensor) else Tensor(_np.asarray(value))).cast(self.parameter_type)
        self.default_parameters.append(value)
        self.parameter_names.append(name)
        return value

    def _check_value(self, value, name):
        if not isinstance(value, Tensor):
            raise _errors.TypeError(f"{self._name}: {name} must be a Tensor, got {type(value).__name__}")
        return value

    def _check_param_type(self, *args):
        from rutile import ops
        out = []
        for arg, name, default in zip(args, self.parameter_names, self.default_parameters):
            if arg is None and default is None:
                raise _errors.TypeError(f"{self._name}: there is no {name}: it was given neither to the constructor nor to this call")
            out.append((default if arg is None else self._check_value(arg, name)).cast(self.parameter_type))
        if len(out) == 1:
            return out[0]
        shape = _np.broadcast_shapes(*(tuple(v.shape) for v in out))
        return tuple(v if tuple(v.shape) == shape else ops.broadcast_to(v, shape) for v in out)

    def _known(self, name):
        return getattr(self, "_" + name, None) if hasattr(type(self), "_" + name) else None

    def _first(self, what, *ways):
        for name, change in ways:
            f = self._known(name)
            if f is not None:
                return lambda *args, **kwargs: change(f(*args, **kwargs))
        raise _errors.UnsupportedError(f"{self._name} has no {what}")

    def prob(self, value, *args, **kwargs):
        """The probability (or its density) of a value; parameters of the distribution may follow, here and below."""
        from rutile import ops
        return self._first("prob", ("prob", _same), ("log_prob", ops.exp))(value, *args, **kwargs)

    def log_prob(self, value, *args, **kwargs):
        """The logarithm of prob."""
        from rutile import ops
        return self._first("log_prob", ("log_prob", _same), ("prob", ops.log))(value, *args, **kwargs)

    def cdf(self, value, *args, **kwargs):
        """The probability of all values up to this one."""
        from rutile import ops
        return self._first("cdf", ("cdf", _same), ("log_cdf", ops.exp), ("survival_function", lambda s: 1 - s),
                           ("log_survival", lambda s: -ops.expm1(s)))(value, *args, **kwargs)

    def log_cdf(self, value, *args, **kwargs):
        """The logarithm of cdf."""
        from rutile import ops
        return self._first("log_cdf", ("log_cdf", _same), ("cdf", ops.log), ("survival_function", lambda s: ops.log1p(-s)),
                           ("log_survival", lambda s: ops.log(-ops.expm1(s))))(value, *args, **kwargs)

    def survival_function(self, value, *args, **kwargs):
        """The probability of all values above this one."""
        from rutile import ops
        return self._first("survival_function", ("survival_function", _same), ("log_survival", ops.exp), ("cdf", lambda c: 1 - c),
                           ("log_cdf", lambda c: -ops.expm1(c)))(value, *args, **kwargs)

    def log_survival(self, value, *args, **kwargs):
        """The logarithm of survival_function."""
        from rutile import ops
        return self._first("log_survival", ("log_survival", _same), ("survival_function", ops.log), ("cdf", lambda c: ops.log1p(-c)),
                           ("log_cdf", lambda c: ops.log(-ops.expm1(c))))(value, *args, **kwargs)

    def mean(self, *args, **kwargs):
        """The mean."""
        return self._first("mean", ("mean", _same))(*args, **kwargs)

    def mode(self, *args, **kwargs):
        """The most probable value."""
        return self._first("mode", ("mode", _same))(*args, **kwargs)

    def sd(self, *args, **kwargs):
        """The standard deviation."""
        from rutile import ops
        return self._first("sd", ("sd", _same), ("var", ops.sqrt))(*args, **kwargs)

    def var(self, *args, **kwargs):
        """The variance."""
        return self._first("var", ("var", _same), ("sd", lambda s: s * s))(*args, **kwargs)

    def entropy(self, *args, **kwargs):
        """The entropy, in nats."""
        return self._first("entropy", ("entropy", _same))(*args, **kwargs)

    def kl_loss(self, dist, *args, **kwargs):
        """The divergence of Kullback and Leibler from a distribution of the kind dist (its name) with the parameters that follow;
        behind them parameters of this one may follow."""
        return self._first("kl_loss", ("kl_loss", _same))(dist, *args, **kwargs)

    def cross_entropy(self, dist, *args, **kwargs):
        """entropy + kl_loss, with kl_loss's arguments."""
        return self._first("cross_entropy", ("cross_entropy", _same))(dist, *args, **kwargs)

    def sample(self, *args, **kwargs):
        """Values drawn: the first argument is a shape, in front of that of the parameters."""
        return self._first("sample", ("sample", _same))(*args, **kwargs)

    def get_dist_args(self, *args, **kwargs):
        """The parameters: those given, or the distribution's own, as a tuple."""
        values = list(args) + [None] * (len(self.parameter_names) - len(args))
        for k, v in kwargs.items():
            values[self.parameter_names.index(k)] = v
        return tuple(d if v is None else self._check_value(v, n) for v, d, n in zip(values, self.default_parameters,
                                                                                   self.parameter_names))

    def get_dist_type(self):
        """The kind's name."""
        return type(self).__name__

    def construct(self, name, *args, **kwargs):
        """The function of a name with its arguments: "prob", "log_prob", "cdf", "mean", "sample" and so on."""
        if name not in _FUNCTIONS:
            raise _errors.UnsupportedError(f"{self._name} has no function {name!r}, there are {', '.join(_FUNCTIONS)}")
        return getattr(self, name)(*args, **kwargs)


_FUNCTIONS = ("prob", "log_prob", "cdf", "log_cdf", "survival_function", "log_survival", "mean", "mode", "sd", "var", "entropy", "kl_loss",
              "cross_entropy", "sample", "get_dist_args", "get_dist_type")


def _same(x):
    return x


class Known(Distribution):
    """A distribution by its formulas: methods at_prob(x, *parameters) and so on, whose arguments are Tensors that broadcast."""

    _names = ()
    _positive = ()  # parameters that are above 0
    _within = ()  # parameters of 0 to 1
    _types = "float"

    def _setup(self, seed, dtype, name, **values):
        kinds = {"float": _FLOATS, "any": _FLOATS + ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")}
        if name_of(dtype) not in kinds[self._types]:
            raise _errors.TypeError(f"{type(self).__name__}: dtype must be one of {', '.join(kinds[self._types])}, got {dtype}")
        Distribution.__init__(self, seed, dtype, name, {"param_dict": values, "seed": seed, "dtype": dtype, "name": name})
        for key, value in values.items():
            made = self._add_parameter(value, key)
            setattr(self, f"_{key}_value", made)
            if made is None or not isinstance(made, Tensor) or isinstance(made, Parameter):
                continue
            numbers = made.asnumpy()
            if key in self._positive and not (numbers > 0).all():
                raise _errors.ValueError(f"{name}: {key} must be greater than zero, got {value}")
            if key in self._within and not ((numbers >= 0) & (numbers <= 1)).all():
                raise _errors.ValueError(f"{name}: {key} must be within 0 and 1, got {value}")

    def extend_repr(self):
        """The parameters, for repr."""
        if self.is_scalar_batch:
            return ", ".join(f"{n} = {v}" for n, v in zip(self._names, self.default_parameters))
        return f"batch_shape = {self._broadcast_shape}"

    def _parameters_of(self, args, kwargs):
        values = list(args) + [None] * (len(self._names) - len(args))
        if len(args) > len(self._names) or not set(kwargs) <= set(self._names):
            raise _errors.TypeError(f"{self._name}: the parameters are {', '.join(self._names)}, got {len(args)} of them and "
                                    f"{sorted(kwargs)}")
        for k, v in kwargs.items():
            values[self._names.index(k)] = v
        out = self._check_param_type(*values)
        return out if isinstance(out, tuple) else (out,)

    def _values(self, value):
        return self._check_value(value, "value").cast(self.parameter_type)

    def _others(self, args, kwargs):
        # Those of the other distribution come first, or by their names with _b.
        names = self._names
        first = [self._check_value(v, f"{n}_b") for v, n in zip(args, names)]
        first += [self._check_value(kwargs.pop(f"{n}_b", None), f"{n}_b") for n in names[len(first):]]
        kwargs = {k[:-2] if k.endswith("_a") else k: v for k, v in kwargs.items()}
        return tuple(v.cast(self.parameter_type) for v in first), self._parameters_of(args[len(names):], kwargs)

    def _known(self, name):
        f = getattr(type(self), "at_" + name, None)
        if f is None and name == "cross_entropy" and hasattr(type(self), "at_kl_loss"):
            return lambda dist, *args, **kwargs: self.entropy(*args[len(self._names):]) + self.kl_loss(dist, *args, **kwargs)
        if f is None:
            return None
        if name in ("mean", "mode", "sd", "var", "entropy"):
            return lambda *args, **kwargs: f(self, *self._parameters_of(args, kwargs))
        if name == "sample":
            return lambda shape=(), *args, **kwargs: self._drawn(f, shape, self._parameters_of(args, kwargs))
        if name == "kl_loss":
            return lambda dist, *args, **kwargs: self._diverged(f, dist, *self._others(args, kwargs))
        return lambda value, *args, **kwargs: f(self, self._values(value), *self._parameters_of(args, kwargs))

    def _diverged(self, f, dist, others, own):
        if dist != type(self).__name__:
            raise _errors.ValueError(f"{self._name}: the divergence is that of another {type(self).__name__}, got {dist!r}")
        return f(self, own, others)

    def _drawn(self, f, shape, params):
        if not isinstance(shape, (tuple, list)):
            raise _errors.TypeError(f"{self._name}: shape must be a tuple, got {type(shape).__name__}")
        return f(self, tuple(shape) + tuple(params[0].shape), *params).cast(name_of(self._dtype))

    def _seed_of(self, draw):
        # Each draw of a sample has a seed of its own, or what it draws is not independent of the others.
        return self._seed + draw if self._seed else None

    def uniform01(self, shape):
        """Numbers above 0 and below 1."""
        from rutile import ops
        return ops.uniform(shape, Tensor(_np.float32(1e-7)), Tensor(_np.float32(1)), self._seed_of(0)).cast(self.parameter_type)
