# SPDX-License-Identifier: Apache-2.0
"""MindSpore's place for what one's own primitives are made of."""

from rutile.ops.function.aliases import constexpr, prim_arg_register, prim_attr_register
from rutile.ops.operations import Primitive

__all__ = ["Primitive", "PrimitiveWithCheck", "PrimitiveWithInfer", "constexpr", "prim_arg_register", "prim_attr_register"]

_primexpr = constexpr


class PrimitiveWithInfer(Primitive):
    """A primitive that computes in __call__ of its own; infer_shape and infer_dtype are not asked.

    >>> import rutile
    >>> from rutile.ops.primitive import PrimitiveWithInfer, prim_attr_register
    >>> class Double(PrimitiveWithInfer):
    ...     @prim_attr_register
    ...     def __init__(self):
    ...         pass
    ...     def __call__(self, x):
    ...         return x * 2
    >>> float(Double()(rutile.Tensor(2.0)))
    4.0
    """


class PrimitiveWithCheck(PrimitiveWithInfer):
    """The same."""
