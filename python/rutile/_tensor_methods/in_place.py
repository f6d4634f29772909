# SPDX-License-Identifier: Apache-2.0
"""Methods that write into their tensor."""

from rutile import ops as _ops
from rutile._rutile import Tensor
from rutile._tensor_methods._register import method, named
from rutile._tensor_methods.arithmetic import add, remainder, round, sub
from rutile._tensor_methods.elements import diagonal_filled, scatter_added, scattered
from rutile.ops import table as _table


@method
def copy_(self, src, non_blocking=False):
    """Takes the values of another tensor, in this shape and dtype."""
    return self._rebind(_table.broadcast_to(src.cast(self.dtype), self.shape))


@method
def fill_(self, value):
    """Takes one value everywhere."""
    value = value if isinstance(value, Tensor) else Tensor(value)
    return copy_(self, value)


@method
def assign_value(self, value):
    """Takes another tensor's value, shape and dtype."""
    return self._rebind(value if isinstance(value, Tensor) else Tensor(value))


@method
def set_(self, source=None, storage_offset=0, size=None, stride=None):
    """Takes another tensor's value, shape and dtype."""
    return self._rebind(source if source is not None else _table.full((0,), 0, self.dtype))


@method
def set_dtype(self, dtype):
    """Takes another dtype."""
    return self._rebind(_table.cast(self, dtype))


def _index_add(self, dim, index, source, *, alpha=1):
    return _ops.index_add(self[...], index, source if alpha == 1 else source * alpha, dim)


def _index_fill(self, dim, index, value):
    return _ops.index_fill(self[...], dim, index, value)


def _index_copy(self, dim, index, tensor):
    return _table.index_copy(self, index.cast("int64"), tensor, axis=dim)


def _takes_result(name, function):
    def written(self, *args, **kwargs):
        y = function(self, *args, **kwargs)
        return self._rebind(y if y.dtype == self.dtype else y.cast(self.dtype))

    setattr(Tensor, name, named(written, name, f"{name[:-1]}, written into the tensor."))


# name: the function of ops whose result it takes
_OF_OPS = {"div_": "div", "floor_divide_": "floor_divide", "exp_": "exp", "log_": "log", "sigmoid_": "sigmoid", "floor_": "floor",
           "sign_": "sign", "addmm_": "addmm", "masked_fill_": "masked_fill", "masked_scatter_": "masked_scatter", "index_put_": "index_put",
           "relu_": "relu", "neg_": "neg", "abs_": "abs", "sqrt_": "sqrt", "reciprocal_": "reciprocal", "ceil_": "ceil", "pow_": "pow",
           "mul_": "mul"}

for _name, _function in _OF_OPS.items():
    _takes_result(_name, getattr(_ops, _function))
for _name, _function in {"add_": add, "sub_": sub, "remainder_": remainder, "round_": round, "fill_diagonal_": diagonal_filled,
                         "index_add_": _index_add, "index_fill_": _index_fill, "index_copy_": _index_copy, "scatter_": scattered,
                         "scatter_add_": scatter_added}.items():
    _takes_result(_name, _function)
