# SPDX-License-Identifier: Apache-2.0
"""Lists, dicts, sets, arrays, iterators and random numbers that a compiled function changes as it runs."""

import collections
import itertools
import random

import numpy as np
import pytest

import rutile
from rutile import Tensor, ops

from stale_cases import WAYS, Net, check

LOG = []
CASES = {}


def case(make):
    CASES[make.__name__] = make
    return make


# ---- Containers


@case
def length_of_a_list_in_a_closure():
    seen = []

    def f(x):
        seen.append(1)
        return x * len(seen)
    return f, None, lambda: list(seen)


@case
def list_of_results():
    seen = []

    def f(x):
        y = x * 2.0
        seen.append(y)
        return y + 1.0
    return f, None, lambda: [t.asnumpy() for t in seen]


@case
def list_of_shapes_and_numbers():
    seen = []

    def f(x):
        seen.append((x.shape, 3))
        return x + 1.0
    return f, None, lambda: list(seen)


@case
def mean_of_a_history():
    history = []

    def f(x):
        y = x + (sum(history) / len(history) if history else 0.0)
        history.append(y.mean())
        return y
    return f, None, lambda: len(history)


@case
def global_list():
    del LOG[:]

    def f(x):
        LOG.append(len(LOG))
        return x + LOG[-1]
    return f, None, lambda: list(LOG)


@case
def dict_by_keys():
    calls = {}

    def f(x):
        calls[len(calls)] = 1
        return x * len(calls)
    return f, None, lambda: dict(calls)


@case
def dict_of_results():
    stats = {}

    def f(x):
        y = x * 2.0
        stats["mean"] = y.mean()
        stats["shape"] = y.shape
        return y
    return f, None, lambda: (float(stats["mean"]), stats["shape"], list(stats))


@case
def cache_by_shape():
    cache = {}

    def f(x):
        if x.shape not in cache:
            cache[x.shape] = np.arange(x.shape[-1], dtype=np.float32)
        return x + Tensor(cache[x.shape])
    return f, None, lambda: list(cache)


@case
def cache_of_tensors_by_shape():
    cache = {}

    def f(x):
        if x.shape not in cache:
            cache[x.shape] = ops.arange(x.shape[-1]).astype(rutile.float32) * 0.5
        return x + cache[x.shape]
    return f, None, lambda: {k: v.asnumpy() for k, v in cache.items()}


@case
def set_of_what_was_seen():
    seen = set()

    def f(x):
        first = x.shape not in seen
        seen.add(x.shape)
        return x * (1.0 if first else 2.0)
    return f, None, lambda: set(seen)


@case
def deque_of_the_last():
    last = collections.deque([1.0, 2.0, 3.0], maxlen=3)

    def f(x):
        y = x * sum(last)
        last.append(last[0] + 1.0)
        return y
    return f, None, lambda: list(last)


@case
def deque_that_is_only_filled():
    last = collections.deque(maxlen=3)

    def f(x):
        y = x * 2.0
        last.append(y)
        return y
    return f, None, lambda: [t.asnumpy() for t in last]


@case
def counter_of_collections():
    counts = collections.Counter()

    def f(x):
        counts["calls"] += 1
        return x * counts["calls"]
    return f, None, lambda: dict(counts)


@case
def defaultdict_of_lists():
    groups = collections.defaultdict(list)

    def f(x):
        groups[len(x.shape)].append(1)
        return x * len(groups[len(x.shape)])
    return f, None, lambda: {k: list(v) for k, v in groups.items()}


@case
def default_argument():
    def f(x, seen=[]):  # noqa: B006
        seen.append(1)
        return x * len(seen)
    return f, None, lambda: list(f.__defaults__[0])


@case
def list_that_is_popped():
    left = [5.0, 4.0, 3.0, 2.0, 1.0] * 8

    def f(x):
        return x * left.pop()
    return f, None, lambda: list(left)


@case
def array_in_place():
    total = np.zeros(3, np.float32)

    def f(x):
        total[:] += 1.0
        return x + Tensor(total)
    return f, None, lambda: total.copy()


@case
def tensors_replaced_in_a_list():
    weights = [Tensor([1.0, 2.0, 3.0]), Tensor([2.0, 2.0, 2.0])]

    def f(x):
        return x * weights[0] + weights[1]

    def between(i):
        if i % 3 == 2:
            weights[0], weights[1] = weights[1], weights[0] * 2.0
    return f, between, None


@case
def tensor_kept_in_a_list():
    kept = [Tensor([0.0, 0.0, 0.0])]

    def f(x):
        kept[0] = kept[0] * 0.5 + x.mean(0)
        return x + kept[0]
    return f, None, lambda: kept[0].asnumpy()


@case
def toggled_entry():
    state = {"on": False}

    def f(x):
        state["on"] = not state["on"]
        return x if state["on"] else -x
    return f, None, lambda: dict(state)


@case
def nested_containers():
    state = {"a": {"b": [1.0]}}

    def f(x):
        state["a"]["b"].append(state["a"]["b"][-1] + 1.0)
        return x * state["a"]["b"][-1]
    return f, None, lambda: list(state["a"]["b"])


# ---- Iterators, random numbers


@case
def iterator_over_a_list():
    it = iter([1.0, 2.0, 3.0, 4.0, 5.0] * 10)
    return lambda x: x * next(it), None, lambda: it.__length_hint__()


@case
def generator():
    def numbers():
        n = 1.0
        while True:
            yield n
            n += 1.0

    it = numbers()
    return lambda x: x * next(it), None, None


@case
def count_and_cycle():
    count, cycle = itertools.count(1), itertools.cycle([1.0, 2.0, 3.0])
    return lambda x: x * next(count) + next(cycle), None, None


@case
def iterator_with_state():
    class Numbers:
        def __init__(self):
            self.n = 0

        def __iter__(self):
            return self

        def __next__(self):
            self.n += 1
            return self.n

    it = Numbers()
    return lambda x: x * next(it), None, lambda: it.n


@case
def iterator_of_a_cell():
    net = Net(lambda self, x: self.dense(x) * next(self.rates), rates=iter([0.5**i for i in range(60)]))
    return net, None, None


@case
def random_of_python():
    random.seed(3)
    return lambda x: x * (2.0 if random.random() < 0.5 else 1.0), None, None


@case
def random_of_numpy():
    np.random.seed(3)
    return lambda x: x + Tensor(np.random.randn(3).astype(np.float32)), None, None


@case
def generator_of_numpy():
    rng = np.random.default_rng(3)
    net = Net(lambda self, x: self.dense(x) * float(self.rng.random()), rng=rng)
    return net, None, None


@case
def object_of_random():
    rng = random.Random(4)
    return lambda x: x * rng.uniform(0.0, 1.0), None, None


@case
def random_numbers_at_first():
    noise = []

    def f(x):
        if not noise:
            noise.append(np.random.RandomState(0).rand(3).astype(np.float32))
        return x + Tensor(noise[0])
    return f, None, None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_compiled_as_eagerly(name, way):
    check(CASES[name], way)
