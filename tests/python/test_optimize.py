# SPDX-License-Identifier: Apache-2.0
"""rutile.scipy.optimize: minima of known functions, Wolfe's conditions, assignments against all permutations."""

import itertools

import numpy as np
import pytest

import rutile as ms
from rutile import Tensor, ops
from rutile.scipy.optimize import line_search, linear_sum_assignment, minimize


def rosenbrock(x):
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def himmelblau(p):
    x, y = p
    return (x ** 2 + y - 11.) ** 2 + (x + y ** 2 - 7.) ** 2


@pytest.mark.parametrize("method", ["BFGS", "LBFGS", "bfgs", "lbfgs"])
@pytest.mark.parametrize("f, x0, want", [
    (himmelblau, [0.0, 0.0], [3, 2]), (rosenbrock, [0.8, 1.2, 0.7, 1.5], [1, 1, 1, 1]),
    (lambda x: (x[0] + 2 * x[1] - 7) ** 2 + (2 * x[0] + x[1] - 5) ** 2, [5.0, -5.0], [1, 3]),
    (lambda x: ops.logsumexp(x, 0) + (x ** 2).sum(), [1.0, 2.0, -3.0], None)])
def test_minima(method, f, x0, want):
    found = minimize(f, Tensor(np.array(x0)), method=method, options=dict(gtol=1e-6))
    assert found.success and found.status == 0 and found.nfev >= found.nit > 0
    if want is not None:
        assert np.allclose(found.x.asnumpy(), want, atol=1e-4)
    assert np.abs(ms.grad(f)(found.x).asnumpy()).max() < 1e-5 and (found.hess_inv is None) == (method.upper() == "LBFGS")


def test_hessian_types_arguments_and_limits():
    a = np.array([[3.0, 1.0], [1.0, 2.0]])
    f = lambda x, m, b: 0.5 * (x @ (m @ x)) - (b * x).sum()  # noqa: E731
    args = Tensor(a), Tensor([1.0, -1.0]).cast(ms.float64)
    found = minimize(f, Tensor(np.zeros(2)), args, "BFGS", options=dict(gtol=1e-9))
    assert np.allclose(found.x.asnumpy(), np.linalg.solve(a, [1, -1])) and np.allclose(found.hess_inv.asnumpy(), np.linalg.inv(a), atol=5e-3)
    found = minimize(f, Tensor(np.zeros(2)), args, "LBFGS", jac=lambda x, m, b: m @ x - b)
    assert np.allclose(found.x.asnumpy(), np.linalg.solve(a, [1, -1]), atol=1e-5)
    found = minimize(himmelblau, Tensor([0.0, 0.0]), method="BFGS")
    assert found.x.dtype == ms.float32 and np.allclose(found.x.asnumpy(), [3, 2], atol=1e-3)
    found = minimize(rosenbrock, Tensor([-1.2, 1.0]), method="BFGS", options=dict(maxiter=2))
    assert not found.success and found.status == 1 and found.nit == 2


def test_line_search_meets_wolfe_conditions():
    for f, x, p in [(lambda x: (x ** 4).sum() - x.sum(), [2.0, -1.0], None), (lambda x: ops.cos(x).sum(), [0.5], None),
                    (lambda x: (x ** 2).sum() * 1e4, [1.0, 1.0], None), (lambda x: -ops.exp(-x * x).sum(), [3.0], None)]:
        x = Tensor(np.array(x))
        g = ms.grad(f)(x)
        found = line_search(f, x, -g)
        assert not found.failed and found.status == 0
        slope, new = -float((g * g).sum()), -float((found.g_k * g).sum())
        assert found.f_k <= float(f(x)) + 1e-4 * found.a_k * slope and abs(new) <= 0.9 * abs(slope)
        assert np.isclose(float(f(x - found.a_k * g)), found.f_k)
    again = line_search(f, x, -g, gfk=g, old_fval=f(x))
    assert again.a_k == found.a_k and again.nfev == found.nfev - 1
    assert line_search(lambda x: x.sum(), Tensor([1.0]), Tensor([-1.0])).failed


def test_assignments():
    rng = np.random.default_rng(0)
    for m, n in ((1, 1), (3, 3), (4, 6), (6, 4), (5, 5), (2, 7)):
        for _ in range(6):
            cost = rng.integers(-9, 10, (m, n)).astype(np.float64)
            for maximize in (False, True):
                rows, columns = (v.asnumpy() for v in linear_sum_assignment(Tensor(cost), maximize))
                assert len(rows) == min(m, n) == len(set(rows)) == len(set(columns)) and (np.diff(rows) > 0).all()
                c = cost if m <= n else cost.T
                sums = [sum(c[i, j] for i, j in enumerate(p)) for p in itertools.permutations(range(max(m, n)), min(m, n))]
                assert cost[rows, columns].sum() == (max(sums) if maximize else min(sums))
    a, b = linear_sum_assignment(Tensor(np.array([[2, 3, 3], [3, 2, 3], [3, 3, 2]])), False, Tensor(2))
    assert a.asnumpy().tolist() == [0, 1, -1] == b.asnumpy().tolist() and a.dtype == ms.int64


@pytest.mark.parametrize("error, match, call", [
    (ValueError, "specify a solver", lambda: minimize(rosenbrock, Tensor([1.0]))), (ValueError, "not recognized", lambda: minimize(rosenbrock, Tensor([1.0]), method="x")),
    (TypeError, "args must be a tuple", lambda: minimize(rosenbrock, Tensor([1.0]), [1], "BFGS")),
    (ValueError, "one number", lambda: minimize(lambda x: x * x, Tensor([1.0, 2.0]), method="BFGS", jac=lambda x: x)),
    (NotImplementedError, "bounds", lambda: minimize(rosenbrock, Tensor([1.0]), method="BFGS", bounds=[(0, 1)])),
    (TypeError, "must be a Tensor", lambda: minimize(rosenbrock, [1.0], method="BFGS")),
    (TypeError, "maximize", lambda: linear_sum_assignment(Tensor([[1.0]]), 1)), (ValueError, "2 dimensions", lambda: linear_sum_assignment(Tensor([1.0]), True)),
    (TypeError, "int64", lambda: linear_sum_assignment(Tensor([[1.0]]), True, Tensor(1.0)))])
def test_errors(error, match, call):
    with pytest.raises(error, match=match):
        call()
