# SPDX-License-Identifier: Apache-2.0
"""Which names hold one tensor behind a branch or a loop over a traced condition.

Python's names refer to objects: after `y = x`, `y[0] = 1` is seen in x, unless a branch bound y to another tensor
meanwhile. What a traced branch or loop gives are new tensors, so links say what each of them is as an object: another
one where a flag of the graph holds. An assignment in place goes along the links as a selection by the flags; where no
flag says it (what a loop hands from turn to turn) it is Refused.
"""

import contextlib
import sys
import threading

from rutile import _rutile, ops
from rutile._syntax.effects import Refused

__all__ = ["after_branches", "after_loop", "depth", "kept", "origin", "run_body", "scope"]

Tensor = _rutile.Tensor

_MOST_SELECTIONS = 1000  # for one assignment
_thread = threading.local()


class _Links:
    """Of one trace. Everything is held: an address names one tensor as long as the trace lasts."""

    def __init__(self):
        self.given = {}  # address of what a body gets: itself, and what it stands for
        self.bodies = 0  # of branches and loops that run now
        self.links = {}  # address: the tensor, and {address: (the other, flags; None: nobody knows when)}

    def add(self, a, b, flag):
        if a is b:
            return
        flags = self.links.setdefault(id(a), (a, {}))[1].setdefault(id(b), (b, []))[1]
        flags.append(flag)
        self.links.setdefault(id(b), (b, {}))[1][id(a)] = (a, flags)

    def of(self, tensor):
        return self.links.get(id(tensor), (tensor, {}))[1].values()

    def reached(self, tensor):
        """A tensor and all that may be it, the links to those found first, and all links, each in the order of distance."""
        found, seen, first, edges = [tensor], {id(tensor)}, [], []
        for t in found:
            for other, flags in self.of(t):
                edges.append((t, other, flags))
                if id(other) not in seen:
                    seen.add(id(other))
                    found.append(other)
                    first.append(edges[-1])
        return found, first, edges


@contextlib.contextmanager
def scope():
    """Around what is traced as rewritten."""
    if getattr(_thread, "links", None) is not None:
        yield
        return
    _thread.links = _Links()
    try:
        yield
    finally:
        _thread.links = None


def run_body(function, values, out=None):
    """A branch or a turn, which gets tensors of its own (out: to be filled with them), so that what it does to them is not
    done to those outside."""
    out = [] if out is None else out
    for v in values:
        out.append(_rutile.new_handle(v) if type(v) is Tensor else v)
        if type(v) is Tensor:
            _thread.links.given[id(out[-1])] = (out[-1], v)
    _thread.links.bodies += 1
    try:
        return function(*out)
    finally:
        _thread.links.bodies -= 1


def depth():
    """How many branches and loops on traced tensors are around what this thread runs."""
    links = getattr(_thread, "links", None)
    return links.bodies if links else 0


def origin(tensor):
    """What a body got it for."""
    given = _thread.links.given
    while id(tensor) in given:
        tensor = given[id(tensor)][1]
    return tensor


def kept(a, b, flag):
    """A value that both branches give, where flag holds as the object a, else as b."""
    if type(a) is not Tensor:
        return a
    a, b = origin(a), origin(b)
    if a is b:
        return a
    new = _rutile.new_handle(a)
    _thread.links.add(new, a, flag)
    _thread.links.add(new, b, ops.logical_not(flag))
    return new


def _leaves(value):
    if type(value) in (list, tuple):
        for v in value:
            yield from _leaves(v)
    elif type(value) is dict:
        for v in value.values():
            yield from _leaves(v)
    else:
        yield value


def _group(made, given, flag, border):
    """Links of tensors that are, where flag holds, what a body gave for them; border: the trace that reads them."""
    links, first = _thread.links, {}
    for out, leaf in zip(made, given):
        if type(leaf) is not Tensor:
            continue
        source = origin(leaf)
        if _rutile.trace_id(source) <= border:
            links.add(out, source, flag)
        else:
            links.add(out, first.setdefault(id(source), out), flag)
        _uncertain(out, source, border)


def _uncertain(out, source, border):
    if _rutile.trace_id(source) > border:
        for t in _thread.links.reached(source)[0]:
            if _rutile.trace_id(t) <= border:
                _thread.links.add(out, t, None)


def after_branches(flag, made, yes, no):
    """What cond made of what its branches gave."""
    opposite = ops.logical_not(flag)
    border = _rutile.trace_id(opposite)
    made = list(_leaves(made))
    _group(made, list(_leaves(yes)), flag, border)
    _group(made, list(_leaves(no)), opposite, border)


def after_loop(flag, made, start, taken, after):
    """What while_loop made of its carry; flag: whether there was a first turn; taken, after: what that got and gave."""
    links, opposite = _thread.links, ops.logical_not(flag)
    border = _rutile.trace_id(opposite)
    made, start, taken, after = (list(_leaves(v)) for v in (made, start, taken, after))
    begins = [id(origin(s)) for s in start]
    for out, s, given, leaf in zip(made, start, taken, after):
        source = origin(leaf)
        if type(s) is not Tensor or type(leaf) is not Tensor:
            _group([out], [leaf], flag, border)
        elif leaf is given or (source is origin(s) and begins.count(id(source)) == 1):
            links.add(out, origin(s), True)
        elif id(source) in begins:
            links.add(out, origin(s), None)
            links.add(out, source, None)
            for other, begin in zip(made, start):
                if begin is s or origin(begin) is source:
                    links.add(out, other, None)
        else:
            links.add(out, origin(s), opposite)
    fresh = [(out, leaf) for out, leaf in zip(made, after) if id(origin(leaf)) not in begins]
    _group([out for out, _ in fresh], [leaf for _, leaf in fresh], flag, border)


def _rebound(tensor):
    """After an assignment in place: what is the same object sees it."""
    links = getattr(_thread, "links", None)
    if links is None or not (links.of(tensor) or id(tensor) in links.given):
        return
    if id(tensor) in links.given or links.bodies:
        raise Refused(f"a tensor is changed in place {_place()}, under a condition that is a traced tensor")
    found, first, edges = links.reached(tensor)
    # Where two names may be one in more than one way, several rounds tell.
    tree = len(edges) == 2 * len(first)
    edges, rounds = (first, 1) if tree else (edges, len(found))
    alike = all(t.shape == tensor.shape and t.dtype == tensor.dtype for t in found)
    if not alike or any(f is None for _, _, flags in edges for f in flags) or rounds * len(edges) > _MOST_SELECTIONS:
        raise Refused(f"a tensor is changed in place {_place()}, which may be that of another name, too, as turns of a loop or "
                      "branches have it; give it to a name of its own before: x = x.copy()")
    now = {id(t): _rutile.new_handle(t) for t in found}
    for _ in range(rounds):
        for a, b, flags in edges:
            for flag in flags if b is not tensor else ():
                now[id(b)] = now[id(a)] if flag is True else ops.where(flag.reshape(()), now[id(a)], now[id(b)])
    for t in found:
        if t is not tensor:
            _rutile.bind(t, now[id(t)])


def _place():
    frame = sys._getframe(1)
    while frame and (frame.f_globals.get("__name__") or "").split(".")[0] == "rutile":
        frame = frame.f_back
    return f"in {frame.f_code.co_filename}:{frame.f_lineno}" if frame else "in code that is not Python"


_rutile.set_rebound(_rebound)
