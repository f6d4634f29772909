# SPDX-License-Identifier: Apache-2.0
"""Runs programs of a few calls eagerly and compiled; each call has to give, and to leave, the same."""

import numpy as np

import rutile
from rutile import Tensor, nn


class AsIs:
    """A function that calls compiled ones itself."""

    def __init__(self, run):
        self.run = run

    def __call__(self, x):
        return self.run(x)


class Net(nn.Cell):
    """A Cell of one function."""

    def __init__(self, run, **attributes):
        super().__init__()
        self.dense = nn.Dense(3, 3, weight_init="ones")
        self.run = run
        for name, value in attributes.items():
            setattr(self, name, value)

    def construct(self, x):
        return self.run(self, x)


def equal(a, b):
    if isinstance(a, (tuple, list)):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (np.ndarray, float)):
        return np.allclose(a, b, rtol=1e-3 if getattr(a, "dtype", None) == np.float16 else 1e-5, atol=1e-5)
    return a == b


WAYS = ("as it is", "in a function", "in a Cell", "with gradients")


class _Outer(nn.Cell):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def construct(self, x):
        return self.inner(x)


def _run(f, way, compiled):
    if isinstance(f, AsIs):
        return f
    if way == "in a Cell":
        return _Outer(f)
    if way == "with gradients":
        both = rutile.value_and_grad(lambda x: f(x).sum())
        run = lambda x: both(x)[0]  # noqa: E731
    else:
        run = f if way == "as it is" else lambda x: f(x)
    return rutile.jit(run) if compiled and not isinstance(run, nn.Cell) else run


def calls(make, way, compiled, n=14):
    """What n calls give, and leave."""
    rutile.set_context(mode=rutile.GRAPH_MODE if compiled else rutile.PYNATIVE_MODE)
    try:
        rutile.set_seed(1)
        f, between, look = make()
        run = _run(f, way, compiled)
        for i in range(n):
            if between:
                between(i)
            rows = 2 if i in (4, 9, 10) else 4
            y = run(Tensor(np.arange(rows * 3, dtype=np.float32).reshape(rows, 3) / 5 + i % 2))
            yield np.asarray(y.asnumpy(), np.float64), look() if look else None
    finally:
        rutile.set_context(mode=rutile.PYNATIVE_MODE)


def check(make, way):
    """make() gives (function or Cell, what happens before call i or None, what is looked at after each call or None)."""
    eager = list(calls(make, way, False))
    for i, (right, got) in enumerate(zip(eager, calls(make, way, True))):
        np.testing.assert_allclose(got[0], right[0], rtol=2e-2 if "precision" in make.__name__ else 1e-5, atol=1e-4, err_msg=f"call {i}")
        assert equal(right[1], got[1]), f"call {i} leaves {got[1]}, eagerly {right[1]}"
