# SPDX-License-Identifier: Apache-2.0
"""Parts of a computation that no gradient is taken of."""

import contextlib as _contextlib

from rutile import _rutile

__all__ = ["_no_grad", "no_grad"]


class no_grad(_contextlib.ContextDecorator):
    """Inside `with` (or a function decorated with it) what is computed is a constant to gradients.

    >>> import rutile
    >>> def f(x):
    ...     with rutile.no_grad():
    ...         scale = x * 2
    ...     return x * scale
    >>> float(rutile.grad(f)(rutile.Tensor(3.0)))
    6.0
    """

    def __init__(self):
        self._open = []

    def __enter__(self):
        self._open.append(_rutile._NoGrad())
        return self

    def __exit__(self, *error):
        self._open.pop().close()
        return False


_no_grad = no_grad
