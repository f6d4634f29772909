# SPDX-License-Identifier: Apache-2.0
"""Transforms of any values."""

import enum as _enum

import numpy as _np

from rutile import _rutile
from rutile.dataset._random import rng as _rng

_errors = _rutile.errors

__all__ = ["Compose", "Concatenate", "Duplicate", "Fill", "Mask", "OneHot", "PadEnd", "Plugin", "RandomApply", "RandomChoice", "RandomOrder",
           "Relational", "Slice", "TypeCast", "Unique", "not_random"]


def _array(x):
    return x.asnumpy() if isinstance(x, _rutile.Tensor) else _np.asarray(x)


def _operations(name, transforms):
    transforms = list(transforms) if isinstance(transforms, (list, tuple)) else [transforms]
    if not transforms:
        raise _errors.ValueError(f"[{name}] transforms list can not be empty.")
    for i, t in enumerate(transforms):
        if not (callable(t) or (isinstance(t, tuple) and len(t) == 2)):
            raise _errors.TypeError(f"[{name}] transforms[{i}] is neither a transforms op (TensorOperation) nor a callable pyfunc. "
                                    f"Got {type(t).__name__}")
    return transforms


def _call(op, values):
    out = op(*values)
    return out if isinstance(out, tuple) else (out,)


def _result(values):
    return values[0] if len(values) == 1 else values


class Compose:
    """Transforms one after the other; called with one value it gives one back.

    >>> from rutile.dataset import transforms
    >>> transforms.Compose([lambda x: x + 1, lambda x: x * 2])(3)
    8
    """

    def __init__(self, transforms):
        self.transforms = _operations("Compose", transforms)

    def __call__(self, *values):
        for op in self.transforms:
            values = _call(op, values)
        return _result(values)


class RandomApply:
    """All of the transforms, with a probability, or none."""

    def __init__(self, transforms, prob=0.5):
        self.transforms = _operations("RandomApply", transforms)
        if not 0 <= prob <= 1:
            raise _errors.ValueError(f"[RandomApply] prob must be 0 to 1, got {prob}")
        self.prob = prob

    def __call__(self, *values):
        if _rng().random() < self.prob:
            for op in self.transforms:
                values = _call(op, values)
        return _result(values)


class RandomChoice:
    """One of the transforms."""

    def __init__(self, transforms):
        self.transforms = _operations("RandomChoice", transforms)

    def __call__(self, *values):
        return _result(_call(self.transforms[int(_rng().integers(len(self.transforms)))], values))


class RandomOrder:
    """All of the transforms in a random order."""

    def __init__(self, transforms):
        self.transforms = _operations("RandomOrder", transforms)

    def __call__(self, *values):
        for i in _rng().permutation(len(self.transforms)):
            values = _call(self.transforms[i], values)
        return _result(values)


class TypeCast:
    """The values with another element type (rutile's, NumPy's or a name).

    >>> import rutile
    >>> from rutile.dataset import transforms
    >>> transforms.TypeCast(rutile.int32)(7).dtype
    dtype('int32')
    """

    def __init__(self, data_type):
        self.data_type = _np.dtype(getattr(data_type, "name", data_type))

    def __call__(self, *values):
        return _result(tuple(_array(v).astype(self.data_type) for v in values))


class OneHot:
    """Class numbers [], [n] or [n, 1] as [num_classes] or [n, num_classes] of zeros and a one, in their type; with smoothing_rate r
    float64, (1 - r) times that plus r / num_classes."""

    def __init__(self, num_classes, smoothing_rate=0.0):
        if isinstance(num_classes, bool) or not isinstance(num_classes, int):
            raise _errors.TypeError(f"[OneHot] num_classes must be an int, got {type(num_classes).__name__}")
        if num_classes < 1 or not 0 <= smoothing_rate <= 1:
            raise _errors.ValueError(f"[OneHot] num_classes must be positive and smoothing_rate 0 to 1, got {num_classes} and "
                                     f"{smoothing_rate}")
        self.num_classes, self.smoothing_rate = num_classes, smoothing_rate

    def __call__(self, *values):
        return _result(tuple(self._one(_array(v)) for v in values))

    def _one(self, x):
        x = x.reshape(-1) if x.ndim == 2 and x.shape[1] == 1 else x
        if x.dtype.kind not in "ui" or x.ndim > 1:
            raise _errors.RuntimeError(f"[OneHot] takes class numbers, got {x.dtype} {list(x.shape)}")
        if x.size and not 0 <= int(x.min()) <= int(x.max()) < self.num_classes:
            raise _errors.RuntimeError(f"[OneHot] there are {self.num_classes} classes, got number {int(x.max())}")
        out = _np.zeros((*x.shape, self.num_classes), x.dtype)
        _np.put_along_axis(out, x[..., None].astype(_np.int64), 1, -1)
        r = self.smoothing_rate
        return out if not r else out * (1 - r) + r / self.num_classes


class Fill:
    """Every value replaced by one."""

    def __init__(self, fill_value):
        self.fill_value = fill_value

    def __call__(self, x):
        x = _array(x)
        return _np.full(x.shape, self.fill_value, x.dtype)


class PadEnd:
    """Values behind the ends (or cut off) up to a shape; None keeps a dimension."""

    def __init__(self, pad_shape, pad_value=0):
        self.pad_shape, self.pad_value = tuple(pad_shape), 0 if pad_value is None else pad_value

    def __call__(self, x):
        x = _array(x)
        if len(self.pad_shape) != x.ndim:
            raise _errors.RuntimeError(f"[PadEnd] the shape {list(self.pad_shape)} does not fit {list(x.shape)}")
        shape = tuple(n if s is None else s for s, n in zip(self.pad_shape, x.shape))
        out = _np.full(shape, self.pad_value, x.dtype)
        place = tuple(slice(0, min(a, b)) for a, b in zip(shape, x.shape))
        out[place] = x[place]
        return out


class Plugin:
    """Plugins of MindSpore's data engine cannot be loaded: an error says what to use."""

    _refused = True

    def __init__(self, lib_path, func_name, user_args=None):
        raise _errors.UnsupportedError("[Plugin] libraries built for MindSpore's data engine cannot be loaded; give Dataset.map a Python "
                                       "function (ctypes calls into libraries)")


class Concatenate:
    """Columns joined along axis 0, between two arrays."""

    def __init__(self, axis=0, prepend=None, append=None):
        if axis not in (0, -1):
            raise _errors.ValueError(f"[Concatenate] only 1D concatenation supported. axis is 0 or -1, got {axis!r}")
        for name, value in (("prepend", prepend), ("append", append)):
            if value is not None and _array(value).ndim != 1:
                raise _errors.ValueError(f"[Concatenate] can only {name} 1D arrays. Got shape {list(_array(value).shape)}")
        self.axis, self.prepend, self.append = axis, prepend, append

    def __call__(self, *values):
        parts = [_array(p) for p in (self.prepend, *values, self.append) if p is not None]
        for p in parts:
            if p.ndim != 1:
                raise _errors.RuntimeError(f"[Concatenate] only 1D input supported, got shape {list(p.shape)}")
            if (p.dtype.kind in "SU") != (parts[0].dtype.kind in "SU"):
                raise _errors.RuntimeError(f"[Concatenate] input datatype does not match the others': {parts[0].dtype} and {p.dtype}")
        return _np.concatenate(parts, self.axis)


class Duplicate:
    """The value twice, as two columns."""

    def __call__(self, x):
        return x, x.copy() if isinstance(x, _np.ndarray) else x


class Relational(_enum.IntEnum):
    """Comparisons of Mask."""

    EQ = 0
    NE = 1
    GT = 2
    GE = 3
    LT = 4
    LE = 5


_COMPARE = {Relational.EQ: _np.equal, Relational.NE: _np.not_equal, Relational.GT: _np.greater, Relational.GE: _np.greater_equal,
            Relational.LT: _np.less, Relational.LE: _np.less_equal}


class Mask:
    """Where the values compare so with a constant, as dtype (bool).

    >>> from rutile.dataset import transforms
    >>> transforms.Mask(transforms.Relational.GE, 2)([1, 2, 3]).tolist()
    [False, True, True]
    """

    def __init__(self, operator, constant, dtype="bool"):
        if not isinstance(operator, Relational):
            raise _errors.TypeError(f"[Mask] operator is a Relational, got {type(operator).__name__}")
        if not isinstance(constant, (str, int, float, bool)):
            raise _errors.TypeError(f"[Mask] constant is a string or a number, got {type(constant).__name__}")
        name = getattr(dtype, "name", dtype)
        self.operator, self.constant, self.dtype = operator, constant, _np.dtype("bool" if name == "bool_" else name)

    def __call__(self, x):
        return _COMPARE[self.operator](_array(x), self.constant).astype(self.dtype)


class Slice:
    """A part of an array: for each dimension an int, a list of ints, a slice, None or True (all of it); `...` the ones
    between.

    >>> from rutile.dataset import transforms
    >>> transforms.Slice(slice(1, 3))([1, 2, 3, 4]).tolist()
    [2, 3]
    """

    def __init__(self, *slices):
        for s in slices:
            if not (s is None or s is Ellipsis or isinstance(s, (bool, int, list, slice))):
                raise _errors.TypeError(f"[Slice] takes ints, lists of ints, slices, None, True and ..., got {type(s).__name__}")
        # An int keeps its dimension, as MindSpore's does.
        self._index = tuple(slice(None) if s is None or s is True else [s] if isinstance(s, int) and s is not False else s
                            for s in slices)

    def __call__(self, x):
        x = _array(x)
        axis, rest = 0, len(self._index) - sum(s is Ellipsis for s in self._index)
        if rest > x.ndim:
            raise _errors.RuntimeError(f"[Slice] {rest} slices for an array of {x.ndim} dimensions")
        for s in self._index:
            if s is Ellipsis:
                axis = x.ndim - (rest - axis)
                continue
            x = x[(slice(None),) * axis + (s if isinstance(s, slice) else _np.asarray(s, _np.int64),)]
            axis += 1
        return x


class Unique:
    """(the values without repetitions, the place of each value among them as int32, how often each one stands there as
    int32), in the order in which they come first."""

    def __call__(self, x):
        values, first, places, counts = _np.unique(_array(x).ravel(), return_index=True, return_inverse=True, return_counts=True)
        order = _np.argsort(first)
        rank = _np.empty_like(order)
        rank[order] = _np.arange(len(order))
        return values[order], rank[places.ravel()].astype(_np.int32), counts[order].astype(_np.int32)


def not_random(cls):
    """Decorates a transform of one's own whose results are the same each time; nothing depends on it here."""
    cls.random = False
    return cls
