# SPDX-License-Identifier: Apache-2.0
"""New tensors in the shape or dtype of one: copies, constants, random numbers."""

from rutile import ops as _ops
from rutile._rutile import Parameter, Tensor
from rutile._tensor_methods._register import method, named
from rutile.ops import table as _table


@method
def copy(self):
    """A Tensor of the same value."""
    return self[...] if isinstance(self, Parameter) else self.__copy__()


@method
def clone(self, init="same"):
    """A Tensor of the same value; of a Parameter one of its own with this name, also with the values of an initializer."""
    if not isinstance(self, Parameter):
        return self.copy()
    from rutile.common.parameter import clone as of_parameter
    return of_parameter(self, "", init)


@method
def fill(self, value):
    """A tensor of this shape and dtype with one value."""
    return _table.full(self.shape, value, self.dtype)


@method
def new_empty(self, size, *, dtype=None, device=None):
    """A tensor of a size in this dtype; its values are zeros."""
    return _ops.zeros(size, dtype or self.dtype)


@method
def new_full(self, size, fill_value, *, dtype=None):
    """A tensor of one value, in this dtype unless given."""
    return _table.full(tuple(size), fill_value, dtype or self.dtype)


def _new(name, function):
    def new(self, size, dtype=None):
        return function(size, dtype or self.dtype)

    setattr(Tensor, name, named(new, name, f"{function.__doc__[:-1]}, in this dtype unless given."))


_new("new_zeros", _ops.zeros)
_new("new_ones", _ops.ones)


@method
def uniform(self, from_=0.0, to=1.0, generator=None):
    """Uniform numbers in this shape and dtype."""
    return _table.random_uniform(self.shape, float(from_), float(to), self.dtype)


@method
def cauchy(self, median=0.0, sigma=1.0):
    """Numbers of Cauchy's distribution in this shape, float32."""
    return _table.random_cauchy(self.shape, float(median), float(sigma))


@method
def log_normal(self, mean=1.0, std=2.0):
    """exp of normally distributed numbers in this shape."""
    return _table.random_log_normal(self.shape, float(mean), float(std)).cast(self.dtype)
