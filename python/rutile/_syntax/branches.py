# SPDX-License-Identifier: Apache-2.0
"""What rewritten statements call: Python's own flow for Python's values, ops for traced tensors.

Under a condition that is a traced tensor both branches are run, some of them twice. So what stands there may compute
values and nothing else: names that a branch assigns hold tensors, numbers, strings, None or tuples of those before it,
and what it calls is checked (functions.py). Everything else is Refused.
"""

import functools

from rutile import _rutile, dtype, ops
from rutile._syntax import aliases
from rutile._syntax.aliases import depth, run_body
from rutile._syntax.effects import Refused
from rutile._syntax.flags import DONE, VALUE

__all__ = ["HELPERS", "BranchRefused", "depth"]

Tensor = _rutile.Tensor

_MOST_TURNS = 10_000  # of a Python loop behind a traced break


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
    if value.size != 1:
        raise Refused(f"the truth of a tensor of shape {tuple(value.shape)}")
    return value if value.dtype == dtype.bool_ else value != 0


def _same(a, b):
    if a is b or (isinstance(a, _Unset) and isinstance(b, _Unset)):
        return True
    if type(a) is Tensor and type(b) is Tensor:
        return _rutile.is_same(a, b)
    return type(a) is type(b) and isinstance(a, (str, bool, int, float, type(None))) and a == b


def _number(value):
    return type(value) in (bool, int, float)


def _leaves(value):
    """Whether a value can be handed through a graph: tensors and numbers in tuples, lists and dicts."""
    if type(value) in (list, tuple):
        return all(_leaves(v) for v in value)
    if type(value) is dict:
        return all(_leaves(v) for v in value.values())
    return type(value) is Tensor or _number(value)


def _unchangeable(value):
    if type(value) is tuple:
        return all(_unchangeable(v) for v in value)
    return value is None or type(value) in (Tensor, str, _Unset) or _number(value)


def _check_before(values, names, impure):
    if impure:
        raise Refused(f"{impure} under a condition that is a traced tensor")
    for name, value in zip(names, values):
        if not _unchangeable(value):
            raise Refused(f"{name}, a {type(value).__name__}, is assigned under a condition that is a traced tensor")


_KINDS = (bool, int, float)


def _kind(value):
    if _number(value):
        return _KINDS.index(type(value))
    name = str(value.dtype)
    return 0 if "Bool" in name or "bool" in name else 1 if "nt" in name else 2


def _as_tensors(value, like=None):
    """Numbers as tensors, of the dtype of what they meet; a float that meets an integer is Refused, as a bool is."""
    if type(value) in (list, tuple):
        if type(like) in (list, tuple) and len(like) != len(value):
            raise Refused("tuples or lists of different lengths")
        others = like if type(like) in (list, tuple) else [None] * len(value)
        return type(value)(_as_tensors(v, w) for v, w in zip(value, others))
    if type(value) is dict:
        others = like if type(like) is dict else {}
        return {k: _as_tensors(v, others.get(k)) for k, v in value.items()}
    if not _number(value):
        return value
    if like is None or type(like) not in (Tensor, bool, int, float):
        return Tensor(value)
    a, b = _kind(value), _kind(like)
    if a > b or (a == 0) != (b == 0):
        raise Refused(f"{value!r} where another way has {like.dtype if type(like) is Tensor else like!r}")
    return Tensor(value, like.dtype) if type(like) is Tensor else Tensor(float(value) if b == 2 else value)


def _wider(a, b):
    """What both are made like: the tensor of the two, else the number of the wider kind."""
    if type(a) in (list, tuple) and type(b) is type(a) and len(a) == len(b):
        return type(a)(_wider(v, w) for v, w in zip(a, b))
    if type(a) is dict and type(b) is dict and list(a) == list(b):
        return {k: _wider(a[k], b[k]) for k in a}
    if _number(a) and _number(b):
        return a if _kind(a) >= _kind(b) else b
    return b if _number(a) else a


def _shown(value):
    return repr(value) if value is None or type(value) in (bool, int, float, str) else type(value).__name__


def _zeros_like(like):
    if type(like) in (list, tuple):
        return type(like)(_zeros_like(v) for v in like)
    if type(like) is dict:
        return {k: _zeros_like(v) for k, v in like.items()}
    t = like if isinstance(like, Tensor) else Tensor(like)
    return ops.zeros(list(t.shape), t.dtype)


def _like(value, like):
    """A value, or as many of no interest as there are in another."""
    return _zeros_like(like) if value is None else value


def _not_returned(side, names):
    return DONE in names and side[names.index(DONE)] is False


def _if(condition, then, other, values, names, impure):
    if not _traced(condition):
        return then(*values) if condition else other(*values)
    _check_before(values, names, impure)
    flag = _flag_of(condition)
    # What each branch gives, to find what is no tensor; the trace drops what nobody reads.
    yes, no = _rutile.discard_traced(lambda: (run_body(then, values), run_body(other, values)))
    kept, wanted = {}, []
    for k, (a, b) in enumerate(zip(yes, no)):
        if _same(a, b):
            kept[k] = aliases.kept(a, b, flag)
        elif isinstance(a, _Unset) or isinstance(b, _Unset):
            kept[k] = _Unset(names[k])
        elif names[k] == VALUE and (a is None or b is None):
            # Set on one side alone: read only where its flag says so.
            if not _not_returned(yes if a is None else no, names):
                raise Refused("a function that returns a value on some ways and None on others")
            wanted.append((k, b if a is None else a))
        elif _number(a) and _number(b) and not names[k].startswith("__"):
            raise Refused(f"{names[k]} is {a!r} or {b!r}: as a tensor it would compute otherwise")
        elif _leaves(a) and _leaves(b):
            wanted.append((k, _wider(a, b)))
        else:
            raise Refused(f"{names[k]} is {_shown(a)} in one branch and {_shown(b)} in the other")

    def branch(function):
        def run():
            got = run_body(function, values)
            return tuple(_zeros_like(like) if got[k] is None else _as_tensors(got[k], like) for k, like in wanted)
        return run

    out = _rutile.cond(flag, branch(then), branch(other), ())
    aliases.after_branches(flag, out, [_like(yes[k], w) for k, w in wanted], [_like(no[k], w) for k, w in wanted])
    made = dict(zip((k for k, _ in wanted), out))
    return tuple(kept[k] if k in kept else made[k] for k in range(len(names)))


def _while(test, body, values, names, impure):
    values = tuple(values)
    for turn in range(_MOST_TURNS):
        go = test(*values)
        if _traced(go):
            return _traced_loop(go, test, body, values, names, impure)
        if not go:
            return values
        values = body(*values)
    raise Refused(f"a loop of more than {_MOST_TURNS} turns")


def _traced_loop(go, test, body, values, names, impure):
    _check_before(values, names, impure)
    taken = []
    after = _rutile.discard_traced(lambda: run_body(body, values, taken))
    # What the body assigns is carried, even where the first turn leaves it as it was.
    local = [k for k, v in enumerate(values) if isinstance(v, _Unset)]
    fixed = [k for k, v in enumerate(values) if _same(v, after[k]) and (
        v is None or isinstance(v, str) or (type(v) is bool and not names[k].startswith("__")))]
    carried = [k for k in range(len(names)) if k not in local and k not in fixed]
    start = list(values)
    for k in carried:
        if names[k] == VALUE and values[k] is None:
            if not _not_returned(values, names):
                raise Refused("a loop that returns a value on some ways and None on others")
            start[k] = _zeros_like(after[k])
        elif type(values[k]) is float and type(after[k]) is float:
            raise Refused(f"{names[k]} is a number of double precision, which a tensor would not be")
        elif not _leaves(values[k]) or not _leaves(after[k]):
            raise Refused(f"{names[k]} is {type(values[k]).__name__} before the loop and {type(after[k]).__name__} in it")

    def full(carry):
        whole = list(start)
        for k, v in zip(carried, carry):
            whole[k] = v
        return whole

    first = tuple(_as_tensors(start[k], _wider(start[k], after[k])) for k in carried)

    def step(carry):
        got = run_body(body, full(carry))
        if any(not _same(got[k], start[k]) for k in fixed):
            raise Refused("a string, a bool or None that changes in a loop")
        return tuple(_as_tensors(got[k], c) for k, c in zip(carried, carry))

    last = _rutile.while_loop(lambda carry: _flag_of(_as_tensors(run_body(test, full(carry)))), step, first, 0)
    done = full(last)
    aliases.after_loop(_flag_of(go), last, [start[k] for k in carried], [_like(taken[k], start[k]) for k in carried],
                       [after[k] for k in carried])
    for k in local:
        done[k] = _Unset(names[k])
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
    turns = 0
    for item in items:
        flag = values[stop] if stop >= 0 else False
        if _traced(flag):
            turns += 1
            if turns > _MOST_TURNS or not isinstance(items, (list, tuple, range, dict, str, Tensor, zip, enumerate, reversed)):
                raise Refused("break over a traced tensor in a loop over an iterator")
            # Counters go on as tensors behind a break that is one.
            counts = [f"__{n}" if type(v) is int else n for n, v in zip(names, values)]
            values = _if(flag, lambda *v: v, functools.partial(body, item), values, counts, impure)
        else:
            values = body(item, *values)
            if stop >= 0 and values[stop] is True:
                break
    return values


def _either(flag, yes, no, logical):
    """yes where the flag holds, else no, of one shape and dtype."""
    out = _selected(flag, yes, no, logical)
    aliases.after_branches(_flag_of(flag), out, yes, no)
    return out


def _selected(flag, yes, no, logical):
    new = no if yes is flag else yes
    if flag.dtype == dtype.bool_ and (isinstance(new, bool) or isinstance(new, Tensor) and new.dtype == dtype.bool_):
        return logical(flag, _as_tensors(new))
    fits = isinstance(new, int) or "Float" in str(flag.dtype)
    if _number(new) and not isinstance(new, bool) and fits and flag.dtype != dtype.bool_:
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


HELPERS = {"if_": _if, "while_": _while, "for_": _for,
           "and_": functools.partial(_and, _value(ops.logical_and)), "or_": functools.partial(_or, _value(ops.logical_or)),
           "all_": functools.partial(_and, _truth(ops.logical_and)), "any_": functools.partial(_or, _truth(ops.logical_or)),
           "not_": _not, "choose": _choose,
           "range_": _range, "result": _result, "unset": _Unset}
