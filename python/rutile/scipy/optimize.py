# SPDX-License-Identifier: Apache-2.0
"""Minimisation and assignment with SciPy's arguments, as mindspore.scipy.optimize has it.

>>> import rutile
>>> from rutile.scipy.optimize import minimize
>>> found = minimize(lambda p: ((p - rutile.Tensor([1.0, 2.0])) ** 2).sum(), rutile.Tensor([0.0, 0.0]), method="BFGS")
>>> found.success, found.x.asnumpy().round(4).tolist()
(True, [1.0, 2.0])
"""

import collections as _collections
import math as _math

import numpy as _np

from rutile import _rutile
from rutile._rutile import Tensor

_errors = _rutile.errors

__all__ = ["line_search", "linear_sum_assignment", "minimize"]

_OptimizeResults = _collections.namedtuple("OptimizeResults", "x success status fun jac hess_inv nfev njev nit")
_LineSearchResults = _collections.namedtuple("LineSearchResults", "failed nit nfev ngev k a_k f_k g_k status")


class _Function:
    """A function of a Tensor and its gradient at points of numpy's float64, counted."""

    def __init__(self, name, f, jac, like):
        from rutile.ops.transform import grad, value_and_grad
        self.name, self.f, self.like, self.jac = name, f, like, jac
        self.both = None if jac is not None else value_and_grad(f)
        self.grad = jac if jac is not None else grad(f)
        self.calls = self.gradients = 0

    def tensor(self, x):
        """x as the first point was: its type and shape."""
        return Tensor(_np.asarray(x).reshape(self.like.shape)).cast(self.like.dtype)

    def _value(self, out):
        out = out if isinstance(out, Tensor) else Tensor(out)
        if out.size != 1:
            raise _errors.ValueError(f"{self.name}: the function must give one number, got {tuple(out.shape)}")
        return float(out.reshape(()).asnumpy())

    def __call__(self, x):
        """(value, gradient)"""
        self.calls += 1
        self.gradients += 1
        at = self.tensor(x)
        out, g = self.both(at) if self.both is not None else (self.f(at), self.jac(at))
        g = g if isinstance(g, Tensor) else Tensor(g)
        return self._value(out), g.asnumpy().astype(_np.float64).ravel()


def _between(a, fa, da, b, fb, db):
    """The minimum between a and b of the cubic with these values and slopes; their middle where it has none inside."""
    d1 = da + db - 3 * (fa - fb) / (a - b)
    inner = d1 * d1 - da * db
    low, high = min(a, b), max(a, b)
    if inner >= 0:
        d2 = _math.copysign(_math.sqrt(inner), b - a)
        below = db - da + 2 * d2
        if below:
            t = b - (b - a) * (db + d2 - d1) / below
            if _math.isfinite(t) and low + 0.1 * (high - low) <= t <= high - 0.1 * (high - low):
                return t
    return (a + b) / 2


def _search(f, x, p, value, gradient, c1, c2, maxiter):
    """(step, value, gradient, steps taken, status) with the strong Wolfe conditions (Nocedal and Wright, algorithms 3.5, 3.6);
    status 0: found, 1: too many steps, 3: the interval vanished."""
    slope0 = float(gradient @ p)
    best = [(0.0, value, gradient)]

    def at(t):
        v, g = f(x + t * p)
        if v < best[0][1]:
            best[0] = (t, v, g)
        return t, v, float(g @ p), g

    def enough(point):
        return point[1] <= value + c1 * point[0] * slope0

    def flat(point):
        return abs(point[2]) <= c2 * abs(slope0)

    low = before = (0.0, value, slope0, gradient)
    high, t = None, 1.0
    for k in range(1, maxiter + 1):
        if high is not None:
            if abs(high[0] - low[0]) <= 1e-14 * max(1.0, abs(low[0])):
                return (*best[0], k, 3)
            t = _between(low[0], low[1], low[2], high[0], high[1], high[2]) if _math.isfinite(high[1]) else (low[0] + high[0]) / 2
        now = at(t)
        if high is None:
            if not enough(now) or (k > 1 and now[1] >= before[1]) or not _math.isfinite(now[1]):
                low, high = before, now
            elif flat(now):
                return (t, now[1], now[3], k, 0)
            elif now[2] >= 0:
                low, high = now, before
            else:
                before, t = now, 2 * t
        elif not enough(now) or now[1] >= low[1]:
            high = now
        elif flat(now):
            return (t, now[1], now[3], k, 0)
        else:
            if now[2] * (high[0] - low[0]) >= 0:
                high = low
            low = now
    return (*best[0], maxiter, 1)


def _start(name, x0):
    if not isinstance(x0, Tensor):
        raise _errors.TypeError(f"{name}: the first point must be a Tensor, got {type(x0).__name__}")
    return x0 if x0.dtype.name.startswith("float") else x0.cast("float32")


def line_search(f, xk, pk, jac=None, gfk=None, old_fval=None, old_old_fval=None, c1=1e-4, c2=0.9, maxiter=20):
    """A step a with which xk + a * pk meets the strong Wolfe conditions of f, which gives one number.

    jac: the gradient (else f is differentiated); gfk, old_fval: gradient and value at xk where they are known. Returns a named
    tuple: failed, nit, nfev, ngev, k, a_k (the step), f_k and g_k (value and gradient there), status.

    >>> import rutile
    >>> from rutile.scipy.optimize import line_search
    >>> line_search(lambda x: x[0] ** 2 - x[1] ** 3, rutile.Tensor([1.0, 1.0]), rutile.Tensor([-1.0, -1.0])).a_k
    1.0
    """
    xk = _start("line_search", xk)
    x, p = xk.asnumpy().astype(_np.float64).ravel(), _start("line_search", pk).asnumpy().astype(_np.float64).ravel()
    if len(x) != len(p):
        raise _errors.ValueError(f"line_search: xk and pk must have equal shapes, got {tuple(xk.shape)} and {tuple(pk.shape)}")
    function = _Function("line_search", f, jac, xk)
    if gfk is None or old_fval is None:
        value, gradient = function(x)
    else:
        value, gradient = float(Tensor(old_fval).asnumpy()), Tensor(gfk).asnumpy().astype(_np.float64).ravel()
    step, value, gradient, k, status = _search(function, x, p, value, gradient, c1, c2, int(maxiter))
    return _LineSearchResults(failed=status != 0, nit=k - 1, nfev=function.calls, ngev=function.gradients, k=k, a_k=step, f_k=value,
                              g_k=function.tensor(gradient), status=status)


def _norm(g, kind):
    return float(_np.linalg.norm(g, kind))


def _descend(function, x0, direction, update, maxiter, norm, gtol, line_search_maxiter):
    """The loop that BFGS and L-BFGS share: (x, value, gradient, converged, status, iterations)."""
    x = x0.asnumpy().astype(_np.float64).ravel()
    maxiter = 200 * len(x) if maxiter is None else int(maxiter)
    value, gradient = function(x)
    k, status = 0, 0
    while _norm(gradient, norm) >= gtol and k < maxiter and _np.isfinite(value):
        p = -direction(gradient)
        if gradient @ p >= 0:
            p = -gradient
        step, new, g, _, found = _search(function, x, p, value, gradient, 1e-4, 0.9, line_search_maxiter)
        k += 1
        if found and step == 0:
            status = 5 if found == 1 else found
            break
        s, y = step * p, g - gradient
        x, value, gradient = x + s, new, g
        update(s, y)
    converged = _norm(gradient, norm) < gtol
    return x, value, gradient, converged, 0 if converged else status or 1, k


def _bfgs(function, x0, maxiter=None, norm=float("inf"), gtol=1e-5, line_search_maxiter=10):
    h = [_np.eye(x0.size)]

    def update(s, y):
        sy = float(s @ y)
        if sy <= 1e-14 * _norm(s, 2) * _norm(y, 2):
            return
        if len(h) == 1:  # the first estimate has the scale of the first step
            h.append(True)
            h[0] = h[0] * (sy / float(y @ y))
        w = _np.eye(len(s)) - _np.outer(s, y) / sy
        h[0] = w @ h[0] @ w.T + _np.outer(s, s) / sy
    return (*_descend(function, x0, lambda g: h[0] @ g, update, maxiter, norm, gtol, line_search_maxiter), h[0])


def _lbfgs(function, x0, history_size=20, maxiter=None, norm=float("inf"), gtol=1e-5, line_search_maxiter=10):
    pairs = _collections.deque(maxlen=int(history_size))

    def direction(g):
        q, seen = g.copy(), []
        for s, y, r in reversed(pairs):
            a = r * (s @ q)
            q = q - a * y
            seen.append(a)
        if pairs:
            s, y, r = pairs[-1]
            q = q / (r * (y @ y))
        for (s, y, r), a in zip(pairs, reversed(seen)):
            q = q + (a - r * (y @ q)) * s
        return q

    def update(s, y):
        if s @ y > 1e-14 * _norm(s, 2) * _norm(y, 2):
            pairs.append((s, y, 1.0 / (s @ y)))
    return (*_descend(function, x0, direction, update, maxiter, norm, gtol, line_search_maxiter), None)


def minimize(func, x0, args=(), method=None, jac=None, hess=None, hessp=None, bounds=None, constraints=(), tol=None,
             callback=None, options=None):
    """A minimum of func(x, *args), which gives one number, near x0 (a Tensor [n]), by method "BFGS" or "LBFGS".

    jac(x, *args): the gradient; without it func is differentiated. options: maxiter (200 * n), gtol (1e-5, of the gradient's
    norm), norm (infinity), line_search_maxiter (10), for LBFGS history_size (20). Returns a named tuple: x, success, status
    (0: converged, 1: too many steps, 3 or 5: the line search failed), fun, jac, hess_inv (None for LBFGS), nfev, njev, nit. hess,
    hessp, bounds, constraints, tol and callback are SciPy's and must not be given, as in MindSpore.
    """
    if method is None:
        raise _errors.ValueError("minimize: You must specify a solver: 'BFGS' or 'LBFGS'.")
    if not isinstance(args, tuple):
        raise _errors.TypeError(f"minimize: args must be a tuple, got {args!r}")
    for name, value in (("hess", hess), ("hessp", hessp), ("bounds", bounds), ("constraints", constraints or None), ("tol", tol),
                        ("callback", callback)):
        if value is not None:
            raise _errors.UnsupportedError(f"minimize: {name} is not used by 'BFGS' and 'LBFGS'; method 'LAGRANGE' runs on MindSpore's "
                                           "GPU only" if str(method).lower() == "lagrange" else f"minimize: {name} is not supported")
    solver = {"bfgs": _bfgs, "lbfgs": _lbfgs}.get(str(method).lower())
    if solver is None:
        raise _errors.ValueError(f"minimize: Method {method} not recognized, there are 'BFGS' and 'LBFGS'")
    x0 = _start("minimize", x0)
    function = _Function("minimize", lambda x: func(x, *args), None if jac is None else lambda x: jac(x, *args), x0)
    x, value, gradient, converged, status, k, h = solver(function, x0, **(options or {}))
    return _OptimizeResults(x=function.tensor(x), success=converged, status=status, fun=Tensor(_np.asarray(value)).cast(x0.dtype),
                            jac=function.tensor(gradient), hess_inv=None if h is None else Tensor(h).cast(x0.dtype),
                            nfev=function.calls, njev=function.gradients, nit=k)


def _assign(cost):
    """The column of each row of cost [n, m], n <= m, with the least sum: shortest augmenting paths."""
    n, m = cost.shape
    u, v = _np.zeros(n), _np.zeros(m)
    row_of = _np.full(m, -1)
    for i in range(n):
        least, came, done = _np.full(m, _np.inf), _np.full(m, -1), _np.zeros(m, bool)
        row, column, reached = i, -1, 0.0
        rows = [i]
        while row >= 0:
            ahead = reached + cost[row] - u[row] - v
            better = ~done & (ahead < least)
            least[better], came[better] = ahead[better], row
            open_columns = _np.where(done, _np.inf, least)
            column = int(_np.argmin(open_columns))
            reached = open_columns[column]
            if not _np.isfinite(reached):
                raise _errors.ValueError("linear_sum_assignment: cost matrix is infeasible")
            done[column] = True
            row = int(row_of[column])
            if row >= 0:
                rows.append(row)
        column_of = {int(r): c for c, r in enumerate(row_of) if r >= 0}
        for r in rows:
            u[r] += reached if r == i else reached - least[column_of[r]]
        v[done] -= reached - least[done]
        while True:
            r = int(came[column])
            row_of[column] = r
            if r == i:
                break
            column = column_of[r]
    out = _np.empty(n, _np.int64)
    out[row_of[row_of >= 0]] = _np.nonzero(row_of >= 0)[0]
    return out


def linear_sum_assignment(cost_matrix, maximize, dimension_limit=None):
    """Rows and columns (row_idx, col_idx), int64 [min(m, n)], with the least sum of cost_matrix [m, n] (the largest with
    maximize); of the first dimension_limit columns, where -1 stands behind what there is.

    >>> import rutile
    >>> from rutile.scipy.optimize import linear_sum_assignment
    >>> a, b = linear_sum_assignment(rutile.Tensor([[4.0, 1.0, 3.0], [2.0, 0.0, 5.0], [3.0, 2.0, 2.0]]), False)
    >>> a.asnumpy().tolist(), b.asnumpy().tolist()
    ([0, 1, 2], [1, 0, 2])
    """
    if not isinstance(cost_matrix, Tensor):
        raise _errors.TypeError(f"linear_sum_assignment: cost_matrix must be a Tensor, got {type(cost_matrix).__name__}")
    if cost_matrix.ndim != 2:
        raise _errors.ValueError(f"linear_sum_assignment: cost_matrix must have 2 dimensions, got {cost_matrix.ndim}")
    if not isinstance(maximize, bool):
        raise _errors.TypeError(f"linear_sum_assignment: maximize must be a bool, got {type(maximize).__name__}")
    if cost_matrix.dtype.name.startswith("complex"):
        raise _errors.TypeError("linear_sum_assignment: costs are real numbers, got complex ones")
    cost = cost_matrix.asnumpy().astype(_np.float64)
    size = min(cost.shape)
    if dimension_limit is not None:
        if isinstance(dimension_limit, Tensor) and dimension_limit.dtype.name != "int64":
            raise _errors.TypeError(f"linear_sum_assignment: dimension_limit must be int64, got {dimension_limit.dtype}")
        cost = cost[:, :max(0, int(dimension_limit))]
    if _np.isnan(cost).any() or (cost == (_np.inf if maximize else -_np.inf)).any():
        raise _errors.ValueError("linear_sum_assignment: cost matrix has NaN or infinity of the wrong sign")
    cost = -cost if maximize else cost
    if cost.shape[0] <= cost.shape[1]:
        rows, columns = _np.arange(cost.shape[0]), _assign(cost)
    else:
        rows = _assign(cost.T)
        order = _np.argsort(rows)
        rows, columns = rows[order], order
    return tuple(Tensor(_np.concatenate([v, _np.full(size - len(v), -1)]).astype(_np.int64)) for v in (rows, columns))
