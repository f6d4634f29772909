# SPDX-License-Identifier: Apache-2.0
"""What a function may read around it, in variables, containers and functions, and changes of it."""

import collections
import functools
import types

CASES = {}
gain, settings, counter = 1.0, {"gain": 1.0}, 0


def case(make):
    """make() gives (function or Cell, change(k)), for k of 0, 1, 2."""
    CASES[make.__name__] = make
    return make


@case
def closure_number():
    g = 1.0

    def f(x):
        return x * g

    def change(k):
        nonlocal g
        g = 2.0 + k
    return f, change


@case
def closure_list():
    g = [1.0, [2.0]]
    changes = [lambda: g.append(3.0), lambda: g[1].append(5.0), lambda: g.__setitem__(0, 7.0)]
    return lambda x: x * (sum(v if isinstance(v, float) else sum(v) for v in g)), lambda k: changes[k]()


@case
def list_cleared_and_filled():
    g = [1.0, 2.0]

    def change(k):
        g.clear()
        g.extend([3.0 + k, 4.0])
    return lambda x: x * g[0], change


@case
def tuple_where_the_old_one_was():
    s = types.SimpleNamespace(sizes=(2.0, 3.0))

    def change(k):
        del s.sizes
        s.sizes = (4.0 + k, 3.0)
    return lambda x: x * s.sizes[0], change


@case
def nested_tuple_of_lists():
    g = ([1.0], ([2.0],))
    changes = [lambda: g[0].__setitem__(0, 5.0), lambda: g[1][0].append(6.0), lambda: g[1][0].pop(0)]
    return lambda x: x * (g[0][0] + sum(g[1][0])), lambda k: changes[k]()


@case
def list_where_the_old_one_was():
    box = [[1.0]]

    def change(k):
        box[0] = None
        box[0] = [2.0 + k]
    return lambda x: x * box[0][0], change


@case
def dict_value():
    settings["gain"] = 1.0
    return lambda x: x * settings["gain"], lambda k: settings.__setitem__("gain", 2.0 + k)


@case
def dict_order():
    d = {"a": 1.0, "b": 2.0}
    return lambda x: x * next(iter(d.values())), lambda k: d.__setitem__(next(iter(d)), d.pop(next(iter(d))))


@case
def dict_of_dicts():
    d = {"a": {"b": {"c": 1.0}}}
    return lambda x: x * d["a"]["b"]["c"], lambda k: d["a"].__setitem__("b", {"c": 2.0 + k})


@case
def dict_key_added():
    d = {}
    return lambda x: x * len(d), lambda k: d.__setitem__(k, None)


@case
def default_dict():
    d = collections.defaultdict(lambda: 1.0)
    return lambda x: x * d.get("a", 3.0), lambda k: d.__setitem__("a", 5.0 + k)


@case
def ordered_dict():
    d = collections.OrderedDict(a=1.0, b=2.0)
    return lambda x: x * next(iter(d.values())), lambda k: d.move_to_end(next(iter(d)))


@case
def a_set():
    s = {1, 2}
    changes = [lambda: s.add(3), lambda: s.discard(1), lambda: s.add(7)]
    return lambda x: x * sum(s), lambda k: changes[k]()


@case
def a_deque():
    q = collections.deque([1.0, 2.0])
    return lambda x: x * q[0], lambda k: q.rotate(1) if k else q.appendleft(5.0)


@case
def global_number():
    def change(k):
        global gain
        gain = 2.0 + k
    change(-1)
    return lambda x: x * gain, change


@case
def global_number_beside_a_counter():
    def change(k):
        global gain, counter
        counter += 1
        if k is not None:
            gain = 2.0 + k
    change(-1)
    return lambda x: x * gain, change


def _twice(x):
    return x * 2.0


def _thrice(x):
    return x * 3.0


_now = _twice


@case
def global_function():
    def change(k):
        global _now
        _now = (_thrice, _twice, _thrice)[k]
    global _now
    _now = _twice
    return lambda x: _now(x), change


@case
def global_that_comes_and_goes():
    def change(k):
        if k == 1:
            del globals()["_late"]
        else:
            globals()["_late"] = 3.0 + k
    globals().pop("_late", None)

    def f(x):
        try:
            return x * _late  # noqa: F821
        except NameError:
            return x
    return f, change


def _codes():
    def one(x):
        return x * 2.0

    def two(x):
        return x * 3.0
    return one, two


@case
def code_of_a_function():
    one, two = _codes()
    codes = one.__code__, two.__code__

    def change(k):
        one.__code__ = codes[(k + 1) % 2]
    return lambda x: one(x), change


@case
def defaults_of_a_function():
    def g(x, k=1.0):
        return x * k

    def change(k):
        g.__defaults__ = None
        g.__defaults__ = (2.0 + k,)
    return lambda x: g(x), change


@case
def keyword_defaults():
    def g(x, *, k=1.0):
        return x * k
    return lambda x: g(x), lambda k: g.__kwdefaults__.__setitem__("k", 2.0 + k)


@case
def attribute_of_a_function():
    def g(x):
        return x * g.gain
    g.gain = 1.0
    return lambda x: g(x), lambda k: setattr(g, "gain", 2.0 + k)


@case
def functions_of_a_single_dispatch():
    by = [1.0]
    scale = functools.singledispatch(lambda o: by[0])
    changes = [lambda: by.__setitem__(0, 2.0), lambda: scale.register(float, lambda o: 5.0), lambda: by.__setitem__(0, 3.0)]
    return lambda x: x * (scale(1.0) + scale(1)), lambda k: changes[k]()


@case
def array_of_objects():
    import numpy as np
    of = np.array([{"gain": 1.0}], object)
    return lambda x: x * of[0]["gain"], lambda k: of[0].__setitem__("gain", 2.0 + k)


@case
def view_of_a_dict():
    d = {"gain": 1.0}
    gains = d.values()
    return lambda x: x * sum(gains), lambda k: d.__setitem__(str(k), 2.0 + k)
