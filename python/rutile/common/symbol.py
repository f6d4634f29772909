# SPDX-License-Identifier: Apache-2.0
"""Sizes that are not known when a network is compiled."""

from rutile import _rutile

_errors = _rutile.errors

__all__ = ["Symbol", "enable_dynamic"]


class Symbol:
    """What is known of a size: its largest and smallest value, and divisor and remainder. Taken in the shape of a Tensor that
    Cell.set_inputs gets, where it counts as None: each set of shapes is compiled by itself.

    >>> import rutile
    >>> rutile.Symbol(max=10, min=2, divisor=4).to_dict()
    {'max': 10, 'min': 2, 'divisor': 4}
    """

    def __init__(self, max=0, min=1, divisor=1, remainder=0, unique=False, **kwargs):  # noqa: A002 - MindSpore's names
        for name, value, low in (("max", max, None), ("min", min, 1), ("divisor", divisor, 1), ("remainder", remainder, 0)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise _errors.TypeError(f"Symbol: {name} must be an int, got {type(value).__name__}")
            if low is not None and value < low:
                raise _errors.ValueError(f"Symbol: {name} must be at least {low}, got {value}")
        if not isinstance(unique, bool):
            raise _errors.TypeError(f"Symbol: unique must be a bool, got {type(unique).__name__}")
        if max and max < min:
            raise _errors.ValueError(f"Symbol: max must be greater than min, got {max} and {min}")
        if remainder >= divisor:
            raise _errors.ValueError(f"Symbol: remainder must be less than divisor, got {remainder} and {divisor}")
        self.max, self.min, self.divisor, self.remainder, self.unique = max, min, divisor, remainder, unique

    def to_dict(self):
        """What is not the default, as a dict."""
        out = {"max": self.max} if self.max > self.min else {}
        out.update({"min": self.min} if self.min > 1 else {})
        out.update({"divisor": self.divisor} if self.divisor != 1 else {})
        out.update({"remainder": self.remainder} if self.remainder else {})
        out.update({"unique": True} if self.unique else {})
        return out

    def __str__(self):
        return str(self.to_dict())

    __repr__ = __str__


def enable_dynamic(**kwargs):
    """Decorates a function whose arguments have sizes of None (name=Tensor(shape=[None, 2], dtype=...)): the function itself; each
    set of shapes is compiled by itself. Behind the decorator jit and its like may stand.

    >>> import rutile
    >>> @rutile.jit
    ... @rutile.enable_dynamic(x=rutile.Tensor(shape=[None, 2], dtype=rutile.float32))
    ... def double(x):
    ...     return x * 2
    >>> double(rutile.ops.ones((3, 2), rutile.float32)).shape
    (3, 2)
    """
    if not kwargs:
        raise _errors.ValueError("enable_dynamic: name the arguments whose sizes change, as x=Tensor(shape=[None, 2], dtype=float32)")

    def mark(function):
        import inspect
        names = inspect.signature(function).parameters
        for name in kwargs:
            if name not in names:
                raise _errors.ValueError(f"enable_dynamic: {function.__name__} has no argument {name!r} among {list(names)}")
        return function
    return mark
