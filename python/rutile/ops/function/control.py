# SPDX-License-Identifier: Apache-2.0
"""Control flow: eagerly the functions run as they are, in a compiled function each becomes one op."""

from rutile import _rutile
from rutile._rutile import Tensor

__all__ = ["cond", "fori_loop", "scan", "while_loop"]


def _tensors(value):
    """Numbers in a carry are tensors from the first iteration on."""
    if isinstance(value, (bool, int, float)):
        return Tensor(value)
    if isinstance(value, dict):
        return {k: _tensors(v) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_tensors(v) for v in value)
    return value


def cond(pred=None, true_fn=None, false_fn=None, *operands, A=None, p=None):
    """true_fn(*operands) where pred, one bool, holds, else false_fn(*operands): only that one runs.

    To be compiled both return tensors of equal shapes and dtypes, in the same structure; else the function around it
    runs as it is written (with fullgraph=True: TypeError, for shapes ValueError).

    >>> import rutile
    >>> x = rutile.Tensor([1.0, 2.0])
    >>> rutile.ops.cond(x.sum() > 0, lambda v: v * 2, lambda v: v, x).asnumpy().tolist()
    [2.0, 4.0]
    """
    if pred is None and A is None:
        raise TypeError("cond takes a condition and functions, or a matrix")
    if not callable(true_fn):
        # MindSpore's condition number of matrices has the same name: cond(A, p=None).
        return _condition(pred if A is None else A, p if true_fn is None else true_fn)
    if isinstance(pred, (bool, int)):
        return true_fn(*operands) if pred else false_fn(*operands)
    return _rutile.cond(pred, true_fn, false_fn, operands)


def _condition(A, p):
    from rutile.ops.function.exact import matrix_norm
    if p in (None, 2, -2):
        from rutile._rutile import ops
        s = ops.svdvals(A)
        most, least = ops.max(s, (-1,)), ops.min(s, (-1,))
        return least / most if p == -2 else most / least
    inverse = _rutile.ops.inverse(A)
    return matrix_norm(A, p) * matrix_norm(inverse, p)


def while_loop(cond_func, loop_func, init_val, max_iterations=0):
    """val = loop_func(val) while cond_func(val), one bool, holds, from init_val on.

    val is a Tensor or nested tuples, lists and dicts of Tensors, of the same structure, shapes and dtypes throughout.
    max_iterations: stops there; a gradient through the loop needs it in a compiled function. 0: no limit.

    >>> import rutile
    >>> float(rutile.ops.while_loop(lambda x: x < 100.0, lambda x: x * 2, rutile.Tensor(3.0)))
    192.0
    """
    return _rutile.while_loop(cond_func, loop_func, _tensors(init_val), max_iterations)


def fori_loop(lower, upper, loop_func, init_val):
    """val = loop_func(i, val) for i from lower to upper - 1, from init_val on; i is an int64 Tensor.

    Bounds that are Tensors make it a while_loop.

    >>> import rutile
    >>> int(rutile.ops.fori_loop(0, 5, lambda i, v: v + i, rutile.Tensor(0, rutile.int64)))
    10
    """
    init_val = _tensors(init_val)
    if not isinstance(lower, Tensor) and not isinstance(upper, Tensor):
        return _rutile.fori_loop(lower, upper, loop_func, init_val)
    first, last = (v.astype("int64") if isinstance(v, Tensor) else Tensor(v, "int64") for v in (lower, upper))
    return while_loop(lambda c: c[0] < last, lambda c: (c[0] + 1, loop_func(c[0], c[1])), (first, init_val))[1]


def scan(loop_func, init, xs, length=None, reverse=False):
    """carry, y[i] = loop_func(carry, x[i]) along the first dimension of xs: (last carry, stacked ys).

    init, xs and the outputs are Tensors or nested tuples, lists and dicts of them; xs may be None with a length.
    reverse: from the last slice to the first.

    >>> import rutile
    >>> last, sums = rutile.ops.scan(lambda c, x: (c + x, c + x), rutile.Tensor(0.0), rutile.Tensor([1.0, 2.0, 3.0]))
    >>> float(last), sums.asnumpy().tolist()
    (6.0, [1.0, 3.0, 6.0])
    """
    return _rutile.scan(loop_func, _tensors(init), xs, -1 if length is None else length, reverse)
