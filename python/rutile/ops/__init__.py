# SPDX-License-Identifier: Apache-2.0
"""Functions and primitives under MindSpore's names and arguments, over the ops of the C++ table.

rutile.ops.table holds the ops of the table themselves, with the names and arguments that C++ uses. Names that both
have (softmax, conv2d, ...) follow MindSpore here.
"""

import os as _os
import sys as _sys

from rutile import _rutile
from rutile._rutile import ops as table

# The table first: what is not defined below comes from there.
globals().update({n: f for n, f in vars(table).items() if not n.startswith("_") and not n.endswith("_grad")})
_sys.modules[__name__ + ".table"] = table

from rutile.ops.function import *  # noqa: E402,F401,F403
from rutile.ops.transform import GradOperation, grad, jvp, value_and_grad, vjp  # noqa: E402,F401
from rutile.ops import operations  # noqa: E402
from rutile.ops.operations import *  # noqa: E402,F401,F403
from rutile.ops.primitive import PrimitiveWithCheck, PrimitiveWithInfer  # noqa: E402,F401
from rutile.ops import custom  # noqa: E402
from rutile.ops.batching import derivative, get_grad, jacfwd, jacrev, jet, linearize, vmap  # noqa: E402,F401
from rutile.ops.custom import Custom, HookBackward, InsertGradientOf, PyFunc, custom_vjp  # noqa: E402,F401
from rutile.ops.custom_info import CustomRegOp, DataType, custom_info_register  # noqa: E402,F401
from rutile.ops.composite import (HyperMap, Map, MultitypeFuncGraph, make_list, make_range, make_tuple, partial, switch,  # noqa: E402,F401
                                  tail, tuple_getitem, tuple_to_array)

from rutile.ops import communication, functional  # noqa: E402,F401

# gather and scatter are those of tensors.
globals().update({_n: getattr(communication, _n) for _n in communication.__all__ if _n not in ("gather", "scatter")})

is_, is_not = functional.is_, functional.is_not
operations.PrimitiveWithCheck, operations.PrimitiveWithInfer = PrimitiveWithCheck, PrimitiveWithInfer
for _custom in (Custom, HookBackward, InsertGradientOf, PyFunc):
    setattr(operations, _custom.__name__, _custom)


# MindSpore's modules of ops; functions and primitives stand in one place here.
_PLACES = frozenset("array_func auto_generate clip_func debug_func functional_overload grad_func image_func linalg_func math_func nn_func other_func parameter_func "
                    "random_func sparse_func spectral_func".split())


def _get_cache_prim(cls):
    """What makes a primitive: a new one costs nothing worth keeping."""
    return cls


def __getattr__(name):
    # Names with _ext are those of mint, which are named after PyTorch's.
    if name.endswith("_ext") and not name.startswith("_"):
        from rutile import mint
        short = name[:-4]
        for module in (mint, mint.nn.functional, mint.linalg):
            if hasattr(module, short):
                return getattr(module, short)
    if name in _PLACES:
        return _sys.modules[__name__]
    from rutile import _refused
    if name in _refused.OF_OPS:
        return globals().setdefault(name, _refused.refused(name))
    raise AttributeError(f"module 'rutile.ops' has no attribute {name!r}")


def load_op_library(path):
    """Loads a shared library of ops (C ABI of rutile/ops/c_api.h) and returns the names of its ops.

    They are functions of this module then, and like any other op traced, compiled and differentiated. A library that is
    loaded already only gives its names again. FileNotFoundError, ValueError or RuntimeError say what is wrong with one.
    """
    names = _rutile.load_op_library(_os.fspath(path))
    globals().update({name: getattr(table, name) for name in names})
    return names
