# SPDX-License-Identifier: Apache-2.0
"""The last calls of Cells, for gradients of the same calls: loss = net(x); grads = grad(net)(x)."""

import weakref as _weakref

_MOST = 8
_calls = {}  # id of a Cell: (weak reference to it, call, arguments that are no Tensors, keywords)


def _plain(args):
    from rutile._rutile import Parameter, Tensor
    return tuple(a for a in args if not isinstance(a, Tensor) or isinstance(a, Parameter))


def keep(cell, call, args, kwargs):
    """Remembers a call, and drops the oldest."""
    _calls.pop(id(cell), None)
    if kwargs:
        return
    _calls[id(cell)] = (_weakref.ref(cell), call, _plain(args))
    while len(_calls) > _MOST:
        del _calls[next(iter(_calls))]


def take(cell, args, kwargs):
    """The call of this Cell with these arguments if nothing changed since; it is forgotten."""
    kept = _calls.pop(id(cell), None)
    if kept is None or kwargs or kept[0]() is not cell:
        return None
    plain = _plain(args)
    same = len(plain) == len(kept[2]) and all(a is b for a, b in zip(plain, kept[2]))
    return kept[1] if same and kept[1].is_of(tuple(args)) else None
