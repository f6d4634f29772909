# SPDX-License-Identifier: Apache-2.0
"""MindSpore's place for the element types."""

from rutile.dtype import *  # noqa: F401,F403
from rutile.dtype import __all__, TensorType, Type, all_types, complex_type, float_type, int_type, number_type, signed_type, tensor_type, uint_type  # noqa: F401
from rutile.dtype import WORDS


def __getattr__(name):
    if name in WORDS:
        return WORDS[name]
    if name == "QuantDtype":
        import rutile
        return rutile.QuantDtype
    raise AttributeError(f"module 'rutile.common.dtype' has no attribute {name!r}")
