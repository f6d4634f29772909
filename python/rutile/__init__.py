# SPDX-License-Identifier: Apache-2.0
"""Rutile: tensors, ops, gradients and compiled functions over the C++ core.

>>> import rutile
>>> x = rutile.Tensor([1.0, 2.0, 3.0])
>>> value, grad = rutile.value_and_grad(lambda v: rutile.ops.sum(v * v))(x)
>>> float(value)
14.0
>>> grad.asnumpy().tolist()
[2.0, 4.0, 6.0]
"""

import functools as _functools

from rutile import _rutile
from rutile._rutile import Error, Tensor, num_threads, ops, set_num_threads, set_seed

__all__ = ["Error", "Tensor", "jit", "num_threads", "ops", "set_num_threads", "set_seed",
           "value_and_grad"]


def value_and_grad(fn, argnums=0):
    """A function that returns fn's value and its gradient by the arguments `argnums` (int or tuple).

    fn must return a Tensor of one element. With several argnums the gradients come as a tuple.
    """
    numbers = [argnums] if isinstance(argnums, int) else list(argnums)

    @_functools.wraps(fn)
    def wrapped(*args, **kwargs):
        return _rutile.value_and_grad(fn, numbers, *args, **kwargs)

    return wrapped


def jit(fn=None, *, passes_off=""):
    """Traces fn once per set of argument shapes and dtypes and replays the optimised graph.

    Tensors that fn reads from outside become constants of the graph. Inside value_and_grad and
    inside another traced function fn runs as it is written, so jit belongs around the outermost
    function: jit(value_and_grad(loss)).

    >>> import rutile
    >>> @rutile.jit
    ... def f(x, y):
    ...     return rutile.ops.relu(x + y)
    >>> f(rutile.Tensor([1.0, -5.0]), rutile.Tensor([1.0, 1.0])).asnumpy().tolist()
    [2.0, 0.0]
    """
    if fn is None:
        return _functools.partial(jit, passes_off=passes_off)
    return _rutile.JitFunction(fn, passes_off)
