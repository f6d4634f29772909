# SPDX-License-Identifier: Apache-2.0
"""MindSpore's older place for the functions of rutile.ops."""

from rutile.ops.composite import list_getitem, make_list, make_tuple, partial, switch, tail, tuple_getitem, tuple_to_array  # noqa: F401
from rutile.ops.function import *  # noqa: F401,F403
from rutile.ops.function import __all__  # noqa: F401
from rutile.ops.batching import derivative, get_grad, jacfwd, jacrev, jet, linearize, vmap  # noqa: F401
from rutile.ops.transform import grad, jvp, value_and_grad, vjp  # noqa: F401
