# SPDX-License-Identifier: Apache-2.0
"""What rewritten statements call: Python's own flow for Python's values, ops for traced tensors."""

import functools

from rutile import _rutile, dtype, ops
from rutile._syntax.effects import Refused
from rutile._syntax.flags import VALUE

__all__ = ["HELPERS", "BranchRefused", "depth"]

Tensor = _rutile.Tensor

_depth = 0  # of branches on traced tensors, around what runs


def depth():
    """How many branches on traced tensors are around what runs."""
    return _depth


class BranchRefused(Exception):
    """It may not run as it is written either: it would run in both branches."""


class _Unset:
    """A name that has no value yet."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, attribute):
        raise UnboundLocalError(f"{self._name} has no value here")

    def __bool__(self):
        raise UnboundLocalError(f"{self._name} has no value here")


def _traced(value):
    return isinstance(value, Tensor) and _rutile.is_traced(value)


def _flag_of(value):
    return value if value.dtype == dtype.bool_ else value != 0


def _same(a, b):
    if a is b or (isinstance(a, _Unset) and isinstance(b, _Unset)):
        return True
    if type(a) is Tensor and type(b) is Tensor:
        return _rutile.is_same(a, b)
    return type(a) is type(b) and isinstance(a, (str, bool, int, float, type(None))) and a == b


def _same_items(a, b):
    if type(a) is not type(b) or len(a) != len(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(_same(a[k], b[k]) for k in a)
    return all(_same(v, w) for v, w in zip(a, b))


def _number(value):
    return isinstance(value, (bool, int, float)) and not isinstance(value, _Unset)


def _in_branch(function, *values, homes=()):
    return _run(function, values, homes or values)[0]


def _run(function, values, homes):
    """What the function gives, and which of its results are the list or dict that was handed in.

    A branch may not change what the other reads. Tensors get handles of their own. Lists and dicts stay the same objects,
    as other names may stand for them too: they take the values (homes: the objects, values: what is in them now), and
    what they held when it has run. Results hold copies.
    """
    global _depth
    homes = [h if type(h) in (list, dict) and type(h) is type(v) else None for h, v in zip(homes, values)]
    before = {id(h): (h, h.copy()) for h in homes if h is not None}
    inside = [_rutile.new_handle(v) if type(v) is Tensor else v for v in values]
    _depth += 1
    try:
        for k, (h, v) in enumerate(zip(homes, values)):
            if h is not None:
                _fill(h, v)
                inside[k] = h
        out = function(*inside)
        if not isinstance(out, tuple) or len(out) != len(values):
            return out, set()  # a test
        kept = {k for k, (h, v) in enumerate(zip(homes, out)) if h is not None and v is h}
        return tuple(v.copy() if type(v) in (list, dict) else v for v in out), kept
    finally:
        _depth -= 1
        for h, content in before.values():
            _fill(h, content)


def _fill(container, content):
    if container is content:
        return
    if isinstance(container, dict):
        content = dict(content)
        container.clear()
        container.update(content)
    else:
        container[:] = list(content)


def _leaves(value):
    """Whether a value can be handed through a graph: tensors and numbers in tuples, lists and dicts."""
    if isinstance(value, (list, tuple)):
        return all(_leaves(v) for v in value)
    if isinstance(value, dict):
        return all(_leaves(v) for v in value.values())
    return isinstance(value, Tensor) or _number(value)


def _as_tensors(value, like=None):
    if isinstance(value, (list, tuple)):
        others = like if isinstance(like, (list, tuple)) and len(like) == len(value) else [None] * len(value)
        return type(value)(_as_tensors(v, w) for v, w in zip(value, others))
    if isinstance(value, dict):
        others = like if isinstance(like, dict) else {}
        return {k: _as_tensors(v, others.get(k)) for k, v in value.items()}
    if _number(value):
        return Tensor(value, like.dtype) if isinstance(like, Tensor) else Tensor(value)
    return value


def _if(condition, then, other, values, names, impure):
    if not _traced(condition):
        return then(*values) if condition else other(*values)
    if impure:
        raise Refused(f"{impure} under a condition that is a traced tensor")
    kept = {}

    def probe():
        # What each branch gives, to find what is no tensor; the trace drops what nobody reads.
        return _run(then, values, values), _run(other, values, values)

    (yes, yes_kept), (no, no_kept) = _rutile.discard_traced(probe)
    wanted = []
    for k, (a, b) in enumerate(zip(yes, no)):
        if (k in yes_kept) != (k in no_kept) and not _same_items(values[k], a if k in yes_kept else b):
            raise Refused(f"{names[k]} is changed in one branch and another object in the other")
        if k in yes_kept and k in no_kept and _same_items(values[k], a) and _same_items(values[k], b):
            kept[k] = values[k]
        elif _same(a, b):
            kept[k] = a
        elif isinstance(a, _Unset) or isinstance(b, _Unset):
            kept[k] = _Unset(names[k])
        elif names[k] == VALUE and (a is None or b is None):
            wanted.append((k, a if b is None else b))  # set on one side: read only where its flag says so
        elif _leaves(a) and _leaves(b):
            wanted.append((k, a if isinstance(a, Tensor) or not isinstance(b, Tensor) else b))
        else:
            raise Refused(f"{names[k]} is {type(a).__name__} in one branch and {type(b).__name__} in the other")

    def branch(function):
        def run():
            got = _in_branch(function, *values)
            return tuple(_like(got[k], like) for k, like in wanted)
        return run

    out = _rutile.cond(_flag_of(condition), branch(then), branch(other), ())
    made = dict(zip((k for k, _ in wanted), out))
    for k in made:
        if k in yes_kept and k in no_kept:
            _fill(values[k], made[k])
            made[k] = values[k]
    return tuple(kept[k] if k in kept else made[k] for k in range(len(names)))


def _like(value, like):
    if value is None:
        return _zeros_like(like)
    return _as_tensors(value, like)


def _zeros_like(like):
    if isinstance(like, (list, tuple)):
        return type(like)(_zeros_like(v) for v in like)
    if isinstance(like, dict):
        return {k: _zeros_like(v) for k, v in like.items()}
    t = like if isinstance(like, Tensor) else Tensor(like)
    return ops.zeros(list(t.shape), t.dtype)


def _while(test, body, values, names, impure):
    values = tuple(values)
    while True:
        go = test(*values)
        if _traced(go):
            return _traced_loop(test, body, values, names, impure)
        if not go:
            return values
        values = body(*values)


def _traced_loop(test, body, values, names, impure):
    if impure:
        raise Refused(f"{impure} in a loop whose condition is a traced tensor")
    after, stay = _rutile.discard_traced(lambda: _run(body, values, values))
    carried = [k for k in range(len(names)) if not _same(values[k], after[k])]
    local = [k for k in carried if isinstance(values[k], _Unset)]
    carried = [k for k in carried if k not in local]
    start = list(values)
    for k in carried:
        if names[k] == VALUE and values[k] is None:
            start[k] = _zeros_like(after[k])
        elif not _leaves(values[k]) or not _leaves(after[k]):
            raise Refused(f"{names[k]} is {type(values[k]).__name__} before the loop and {type(after[k]).__name__} in it")

    def full(carry):
        whole = list(start)
        for k, v in zip(carried, carry):
            whole[k] = v
        return whole

    first = tuple(_as_tensors(start[k], after[k]) for k in carried)

    def step(carry):
        got = _in_branch(body, *full(carry), homes=values)
        return tuple(_as_tensors(got[k], c) for k, c in zip(carried, carry))

    last = _rutile.while_loop(lambda carry: _flag_of(_as_tensors(_in_branch(test, *full(carry), homes=values))), step, first, 0)
    done = full(last)
    for k in local:
        done[k] = _Unset(names[k])
    for k in stay:
        _fill(values[k], done[k])
        done[k] = values[k]
    return tuple(done)


class _TracedRange:
    """range() with a bound that is a traced tensor."""

    def __init__(self, start, stop, step):
        self.start, self.stop, self.step = start, stop, step


def _range(*args):
    if not any(_traced(a) for a in args):
        return range(*(int(a) if isinstance(a, Tensor) else a for a in args))
    start, stop, step = (0, args[0], 1) if len(args) == 1 else (*args, 1)[:3]
    if not isinstance(step, int) or step == 0:
        raise Refused("range() with a step that is a traced tensor or 0")
    return _TracedRange(start, stop, step)


def _for(items, body, values, names, stop, impure):
    values = tuple(values)
    if isinstance(items, _TracedRange):
        def test(i, *rest):
            inside = i < items.stop if items.step > 0 else i > items.stop
            return _and(_truth(ops.logical_and), lambda: _not(rest[stop]), lambda: inside) if stop >= 0 else inside

        def step(i, *rest):
            return (i + items.step, *body(i, *rest))

        first = items.start if isinstance(items.start, Tensor) else Tensor(items.start, items.stop.dtype)
        return _while(test, step, (first, *values), ("__index", *names), impure)[1:]
    for item in items:
        if stop >= 0 and _traced(values[stop]):
            flag, last = values[stop], values
            values = _if(flag, lambda *v: v, functools.partial(body, item), last, names, impure)
        elif stop >= 0 and values[stop] is True:
            return values
        else:
            values = body(item, *values)
    return values


def _either(flag, yes, no, logical):
    """yes where the flag holds, else no, of one shape and dtype."""
    new = no if yes is flag else yes
    if flag.dtype == dtype.bool_ and (isinstance(new, bool) or isinstance(new, Tensor) and new.dtype == dtype.bool_):
        return logical(flag, _as_tensors(new))
    if _number(new) and not isinstance(new, bool) and (isinstance(new, int) or "Float" in str(flag.dtype)) and flag.dtype != dtype.bool_:
        yes, no = _as_tensors(yes, flag), _as_tensors(no, flag)
    elif not isinstance(new, Tensor) or new.dtype != flag.dtype or new.shape != flag.shape:
        raise Refused("'and' or 'or' of values of different shapes or dtypes")
    if flag.size != 1:
        raise Refused("'and' or 'or' of tensors of several elements")
    return ops.where(_flag_of(flag), yes, no)


def _truth(logical):
    return lambda flag, yes, no: logical(_flag_of(flag), _flag_of(_as_tensors(no if yes is flag else yes)))


def _value(logical):
    return lambda flag, yes, no: _either(flag, yes, no, logical)


def _and(join, *parts):
    value = True
    for part in parts:
        new = part()
        if _traced(value):
            value = join(value, new, value)
        elif not _traced(new) and not new:
            return new
        else:
            value = new
    return value


def _or(join, *parts):
    value = False
    for part in parts:
        new = part()
        if _traced(value):
            value = join(value, value, new)
        elif not _traced(new) and new:
            return new
        else:
            value = new
    return value


def _not(value):
    return ops.logical_not(_flag_of(value)) if _traced(value) else not value


def _choose(condition, then, other):
    if not _traced(condition):
        return then() if condition else other()
    return _if(condition, lambda: (then(),), lambda: (other(),), (), ("the value",), None)[0]


def _result(returned, value):
    if _traced(returned):
        raise Refused("a function that returns a value on some ways and None on others")
    return value


HELPERS = {"if_": _if, "while_": _while, "for_": _for, "and_": functools.partial(_and, _value(ops.logical_and)), "or_": functools.partial(_or, _value(ops.logical_or)),
           "all_": functools.partial(_and, _truth(ops.logical_and)), "any_": functools.partial(_or, _truth(ops.logical_or)),
           "not_": _not, "choose": _choose,
           "range_": _range, "result": _result, "unset": _Unset}
