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
import os as _os

from rutile import _rutile
from rutile._rutile import (Error, Parameter, Tensor, from_dlpack, from_numpy, num_threads, ops, set_num_threads,
                            set_seed)
from rutile import errors

__all__ = ["Error", "Parameter", "Tensor", "errors", "from_dlpack", "from_numpy", "grad", "jit", "num_threads", "ops",
           "set_num_threads", "set_seed", "value_and_grad"]

# Messages name the user's line: the innermost one outside this folder.
_rutile._set_package_folder(_os.path.dirname(__file__) + _os.sep)


def value_and_grad(fn, argnums=0, weights=None, has_aux=False):
    """A function that returns fn's result and its gradients.

    argnums: the arguments to differentiate by, an int or a tuple of them (then the gradients come as a tuple), None
    for none. Each is a Tensor or nested tuples, lists and dicts of Tensors; its gradient has the same structure.
    weights: Parameters to differentiate by, as the gradients' structure; with argnums as well the gradients are the
    pair (by arguments, by weights). has_aux: fn returns a tuple whose first entry is differentiated and the rest is
    passed on. What has several elements is differentiated as its sum.

    >>> import rutile
    >>> f = rutile.value_and_grad(lambda p, x: rutile.ops.sum(p["w"] * x + p["b"]))
    >>> value, grads = f({"w": rutile.Tensor(2.0), "b": rutile.Tensor(1.0)}, rutile.Tensor([3.0, 4.0]))
    >>> float(value), float(grads["w"]), float(grads["b"])
    (16.0, 7.0, 2.0)
    """

    @_functools.wraps(fn)
    def wrapped(*args, **kwargs):
        return _rutile.value_and_grad(fn, argnums, weights, has_aux, *args, **kwargs)

    return wrapped


def grad(fn, argnums=0, weights=None, has_aux=False):
    """As value_and_grad, without the value: the gradients, with has_aux (gradients, rest of the result)."""
    both = value_and_grad(fn, argnums, weights, has_aux)

    @_functools.wraps(fn)
    def wrapped(*args, **kwargs):
        value, grads = both(*args, **kwargs)
        if not has_aux:
            return grads
        return grads, value[1] if len(value) == 2 else value[1:]

    return wrapped


def jit(fn=None, *, passes_off=""):
    """Traces fn and replays the optimised graph.

    Arguments and results are Tensors in nested tuples, lists and dicts. Other arguments (numbers, strings, None,
    whatever can be hashed) are part of what is compiled: a new value compiles again, as new shapes and dtypes do.
    Parameters that fn reads are read at each call, those it writes are written in place. Other Tensors that fn reads
    from outside become constants of the graph. Inside value_and_grad and inside another traced function fn runs as it
    is written, so jit belongs around the outermost function: jit(value_and_grad(loss)).

    >>> import rutile
    >>> @rutile.jit
    ... def f(x, y):
    ...     return rutile.ops.relu(x + y)
    >>> f(rutile.Tensor([1.0, -5.0]), rutile.Tensor([1.0, 1.0])).asnumpy().tolist()
    [2.0, 0.0]
    """
    if fn is None:
        return _functools.partial(jit, passes_off=passes_off)
    compiled = _rutile.JitFunction(fn, passes_off)
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        if hasattr(fn, name):
            setattr(compiled, name, getattr(fn, name))
    return compiled
