# SPDX-License-Identifier: Apache-2.0
"""if, while, for, break, continue, early return, and, or, not and x if c else y over tensor values in a traced function.

rewrite(function) gives a function of the same signature, closure and lines whose statements are calls of the helpers in
branches.py: they run as Python does where a condition is a Python value, and become cond and while_loop where
it is a traced tensor. What such a function calls, and properties that it reads, are rewritten, too. Names that a statement
assigns are handed in and out, as values. A function is rewritten only after its trace was refused the value of a tensor. What cannot be said this way raises Refused, and the function runs as
it is written: assignments to attributes, calls that change a list or dict, raise, try and with under a condition of a
traced tensor, generators, globals.
"""

import functools

from rutile._syntax.aliases import scope
from rutile._syntax.effects import Refused
from rutile._syntax.functions import rewrite

__all__ = ["Refused", "rewrite", "scope", "traceable"]


def traceable(function):
    """The rewritten function for a trace of its own."""
    new = rewrite(function)

    @functools.wraps(new)
    def traced(*args, **kwargs):
        with scope():
            return new(*args, **kwargs)

    return traced
