# SPDX-License-Identifier: Apache-2.0
"""How this folder gives Tensor its methods."""

from rutile._rutile import Tensor


def named(function, name, doc=None):
    """The function under a method's name."""
    function.__name__ = function.__qualname__ = name
    if doc is not None:
        function.__doc__ = doc
    return function


def method(function):
    """Adds the function to Tensor, under its own name or under the one given: @method, @method("max")."""
    if isinstance(function, str):
        return lambda f: method(named(f, function))
    setattr(Tensor, function.__name__, function)
    return function


def add_method(name, function, doc):
    """A method of the tensor alone."""
    setattr(Tensor, name, named(function, name, doc))


def add_property(name, get, doc):
    """A property that is only read."""
    setattr(Tensor, name, property(get, doc=doc))
