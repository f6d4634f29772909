# SPDX-License-Identifier: Apache-2.0
"""What messages add for those who mistyped a name or come from another framework."""

import re
import sys

# What PyTorch's tensors have, and what is done here instead.
_TENSOR = {
    "backward": "gradients are results of functions: rutile.value_and_grad(fn, None, net.trainable_params())",
    "grad": "gradients are results of functions: rutile.value_and_grad(fn, None, net.trainable_params())",
    "requires_grad": "only a Parameter has it; rutile.grad(fn, positions) differentiates by any argument",
    "requires_grad_": "only a Parameter has it; rutile.grad(fn, positions) differentiates by any argument",
    "detach": "rutile.ops.stop_gradient(x); outside of grad() nothing is recorded",
    "cuda": "tensors lie on the CPU; leave it out",
    "cpu": "tensors lie on the CPU; leave it out",
    "device": "tensors lie on the CPU; leave it out",
    "zero_grad": "there is nothing to zero: gradients are results of functions"}


def close(name, known):
    """"; did you mean 'x'?" where a known name is near, else ""."""
    import difflib
    by_lower = {str(k).lower(): str(k) for k in known}
    found = difflib.get_close_matches(str(name).lower(), by_lower, 1, 0.6)
    return f"; did you mean {by_lower[found[0]]!r}?" if found else ""


def parameters_of(function, any_too=False):
    """The names that may be given to a Python function by keyword; None where it takes any, unless any_too."""
    code = getattr(function, "__code__", None)
    if code is None or (code.co_flags & 0x08 and not any_too):  # **kwargs
        return None
    names = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
    return [n for n in names if n != "self"]


def check_keywords(owner, function, kwargs, error):
    """TypeError for a keyword that the function does not take, with the name that is near."""
    known = parameters_of(function)
    for name in kwargs if known is not None else ():
        if name not in known:
            raise error(f"[{owner}] there is no argument {name!r}{close(name, known) or '; there are ' + ', '.join(known)}")


def _called(qualified, trace):
    """The function that a message of Python's names, where the last line of the user finds it."""
    while trace.tb_next is not None:
        trace = trace.tb_next
    frame = trace.tb_frame
    import rutile
    from rutile import nn, ops
    first, *rest = qualified.split(".")
    for place in (frame.f_locals, frame.f_globals, vars(ops), vars(nn), vars(rutile)):
        found = place.get(first)
        for name in rest:
            found = getattr(found, name, None)
        if callable(found):
            return found
    return None


def _inside(trace):
    return (trace.tb_frame.f_globals.get("__name__") or "").split(".")[0] == __name__.split(".")[0]


def _of_module(error):
    """The near name of a module of this package that lacks one. Python itself looks through 750 names at most, and not for imports."""
    found = re.match(r"module '(rutile[\w.]*)' has no attribute '(\w+)'|cannot import name '(\w+)' from '(rutile[\w.]*)'", str(error))
    module = found and sys.modules.get(found.group(1) or found.group(4))
    names = [n for n in dir(module) if not n.startswith("_")] if module else []
    if found and (isinstance(error, ImportError) or len(names) > 700):
        return close(found.group(2) or found.group(3), names)[2:]
    return ""


def note(error, trace):
    """A line for below an uncaught error of Python's own, or None."""
    near = _of_module(error) if isinstance(error, (AttributeError, ImportError)) else ""
    if near:
        return f"({near})"
    if isinstance(error, AttributeError):
        from rutile import Tensor
        if isinstance(getattr(error, "obj", None), Tensor) and error.name in _TENSOR:
            return f"({error.name}: {_TENSOR[error.name]})"
        while trace.tb_next is not None:
            trace = trace.tb_next
        if type(getattr(error, "obj", None)) in (list, tuple, int, float, str) and _inside(trace):
            return f"(Cells and ops take Tensors, this got a {type(error.obj).__name__}: rutile.Tensor(value))"
        return None
    if not isinstance(error, TypeError):
        return None
    text = str(error)
    wrong = re.match(r"([\w.]+)\(\) got an unexpected keyword argument '(\w+)'", text)
    function = wrong and _called(wrong.group(1), trace)
    names = function and parameters_of(function)
    hint = names and close(wrong.group(2), names)
    return f"({hint[2:]})" if hint else None
