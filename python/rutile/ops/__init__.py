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
from rutile.ops.custom import Custom, HookBackward, InsertGradientOf, PyFunc  # noqa: E402,F401
from rutile.ops.composite import HyperMap, Map, MultitypeFuncGraph, make_list, make_tuple, partial, switch, tail, tuple_getitem  # noqa: E402,F401

from rutile.ops import functional  # noqa: E402,F401


for _custom in (Custom, HookBackward, InsertGradientOf, PyFunc):
    setattr(operations, _custom.__name__, _custom)


def load_op_library(path):
    """Loads a shared library of ops (C ABI of rutile/ops/c_api.h) and returns the names of its ops.

    They are functions of this module then, and like any other op traced, compiled and differentiated. A library that is
    loaded already only gives its names again. FileNotFoundError, ValueError or RuntimeError say what is wrong with one.
    """
    names = _rutile.load_op_library(_os.fspath(path))
    globals().update({name: getattr(table, name) for name in names})
    return names
