# SPDX-License-Identifier: Apache-2.0
"""Hooks on the gradient by a tensor."""

from rutile._rutile import Parameter, errors as _errors
from rutile._tensor_methods._register import method


@method
def register_hook(self, hook):
    """hook(gradient) sees the gradient by this tensor, and may return another, until remove() of what is returned here.

    Within a differentiated function the tensor is one that it made; outside, one that is handed to such functions as an argument
    to differentiate by. A Parameter keeps its hooks: they see its gradients among those by weights.

    >>> import rutile
    >>> def f(x):
    ...     y = x * 3
    ...     handle = y.register_hook(lambda g: g * 10)
    ...     return y
    >>> float(rutile.grad(f)(rutile.Tensor(1.0)))
    30.0
    """
    if not callable(hook):
        raise _errors.TypeError(f"a hook is a function, got {type(hook).__name__}")
    if isinstance(self, Parameter):
        from rutile.ops.transform import ParameterHook
        return ParameterHook(self, hook)
    from rutile.ops.transform import TensorHook
    return TensorHook(self, hook)
