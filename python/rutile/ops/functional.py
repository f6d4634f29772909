# SPDX-License-Identifier: Apache-2.0
"""MindSpore's older place for the functions of rutile.ops."""

from rutile._rutile import ops as _table

# The table first, as in rutile.ops.
globals().update({n: f for n, f in vars(_table).items() if not n.startswith("_") and not n.endswith("_grad")})

from rutile.ops.composite import list_getitem, make_list, make_range, make_tuple, partial, switch, tail, tuple_getitem, tuple_len, tuple_to_array  # noqa: E402,F401
from rutile.ops.function import *  # noqa: E402,F401,F403
from rutile.ops.function import __all__  # noqa: E402,F401
from rutile.ops.batching import derivative, get_grad, jacfwd, jacrev, jet, linearize, vmap  # noqa: E402,F401
from rutile.ops.transform import grad, jvp, value_and_grad, vjp  # noqa: E402,F401
