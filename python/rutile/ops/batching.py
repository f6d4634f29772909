# SPDX-License-Identifier: Apache-2.0
"""Functions over a further dimension, and whole Jacobians."""

from rutile import _rutile
from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops.transform import _named, _native, _tuple, jvp

_errors = _rutile.errors


def _axes_of(axes, args, what):
    """One axis (or None) for every leaf of a structure."""
    if isinstance(args, (tuple, list)):
        if axes is None or isinstance(axes, int):
            return [_axes_of(axes, a, what) for a in args]
        if not isinstance(axes, (tuple, list)) or len(axes) != len(args):
            raise _errors.ValueError(f"vmap: {what} {axes!r} does not fit {len(args)} of them")
        return [_axes_of(x, a, what) for x, a in zip(axes, args)]
    if isinstance(args, dict):
        if isinstance(axes, dict) and set(axes) != set(args):
            raise _errors.ValueError(f"vmap: {what} {axes!r} does not fit the keys {list(args)}")
        return {k: _axes_of(axes[k] if isinstance(axes, dict) else axes, a, what) for k, a in args.items()}
    if isinstance(axes, bool) or not (axes is None or isinstance(axes, int)):
        raise _errors.TypeError(f"vmap: {what} holds ints and None, got {axes!r}")
    return axes


def _leaves(axes, args):
    if isinstance(args, (tuple, list)):
        for x, a in zip(axes, args):
            yield from _leaves(x, a)
    elif isinstance(args, dict):
        for k, a in args.items():
            yield from _leaves(axes[k], a)
    else:
        yield axes, args


def _rebuilt(args, axes, next_leaf):
    if isinstance(args, (tuple, list)):
        return type(args)(_rebuilt(a, x, next_leaf) for a, x in zip(args, axes))
    if isinstance(args, dict):
        return {k: _rebuilt(a, axes[k], next_leaf) for k, a in args.items()}
    return args if axes is None or not isinstance(args, Tensor) else next_leaf()


def _moved(y, axes):
    """The first dimension of each leaf moved to its axis; None: the first entry alone."""
    if isinstance(y, (tuple, list)):
        return type(y)(_moved(v, a) for v, a in zip(y, axes))
    if isinstance(y, dict):
        return {k: _moved(v, axes) for k, v in y.items()}
    if axes is None:
        return y[0]
    if not -y.ndim <= axes < y.ndim:
        raise _errors.ValueError(f"vmap: out_axes {axes} of a result of {y.ndim} dimensions")
    at = axes % y.ndim
    if at == 0:
        return y
    order = list(range(1, y.ndim))
    order.insert(at, 0)
    return _table.transpose(y, tuple(order))


def vmap(fn, in_axes=0, out_axes=0):
    """A function that runs fn for every slice of its arguments along in_axes, and stacks the results along out_axes.

    in_axes: an int for all, or one for each argument (nested as they are), None for those handed on whole. A list of
    functions (a CellList) runs each for its own slice. fn runs once, for a slice whose values are not known, and its ops work
    on all slices; one without a rule for that loops over them. Random numbers differ from slice to slice. A function that
    branches on values, writes Parameters or has effects runs slice by slice, as it is written. It nests, and has gradients.

    >>> import rutile
    >>> f = rutile.vmap(lambda x, y: (x * y).sum(), in_axes=(0, None))
    >>> f(rutile.Tensor([[1.0, 2.0], [3.0, 4.0]]), rutile.Tensor([10.0, 1.0])).asnumpy().tolist()
    [12.0, 34.0]
    """
    functions = list(fn) if isinstance(fn, (list, tuple)) or type(fn).__name__ == "CellList" else None
    if functions is None and not callable(fn):
        raise _errors.TypeError(f"vmap takes a function, got {type(fn).__name__}")
    if functions == []:
        raise _errors.ValueError("vmap: an empty list of functions")
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)

    def wrapped(*args, **kwargs):
        axes = _axes_of(in_axes, args, "in_axes")
        front, n = [], None
        for a, x in _leaves(axes, args):
            if a is None or not isinstance(x, Tensor):
                continue
            if not -x.ndim <= a < x.ndim:
                raise _errors.ValueError(f"vmap: in_axes {a} of an argument of {x.ndim} dimensions")
            size = x.shape[a]
            if n is not None and size != n:
                raise _errors.ValueError(f"vmap: arguments of {n} and {size} slices")
            n, a = size, a % x.ndim
            front.append(x if a == 0 else _table.transpose(x, (a, *(i for i in range(x.ndim) if i != a))))
        if n is None:
            raise _errors.ValueError("vmap: no argument has an axis to run over")
        if functions is not None and len(functions) != n:
            raise _errors.ValueError(f"vmap: {len(functions)} functions for {n} slices")
        if n == 0:
            raise _errors.ValueError("vmap: an axis of no slices")

        def call(function, slices):
            leaves = iter(slices)
            return function(*_rebuilt(args, axes, lambda: next(leaves)), **kwargs)

        if functions is not None:
            outs = [call(f, [x[i] for x in front]) for i, f in enumerate(functions)]
            stacked = _stacked(outs)
        else:
            stacked = _rutile.vmap(lambda xs: call(fn, xs), tuple(front))
        return _moved(stacked, _out_axes(stacked))

    def _out_axes(y):
        return _axes_of(out_axes, y, "out_axes") if isinstance(y, (tuple, list)) else out_axes

    return wrapped if functions is not None else _named(wrapped, fn)


def _stacked(outs):
    if isinstance(outs[0], (tuple, list)):
        return type(outs[0])(_stacked(v) for v in zip(*outs))
    return _table.concat([y.reshape(1, *y.shape) for y in outs], axis=0)


def _split_aux(fn, has_aux):
    def main(*args):
        out = fn(*args)
        return out[0] if has_aux else out

    return main


def _one_hots(x):
    return _table.eye(x.size, -1, x.dtype).reshape(x.size, *x.shape)


def _jacobian(fn, grad_position, has_aux, columns):
    if not callable(fn):
        raise _errors.TypeError(f"a Jacobian is of a function, got {type(fn).__name__}")
    single = isinstance(grad_position, int)
    main = _split_aux(fn, has_aux)

    def wrapped(*args):
        positions = (grad_position,) if single else tuple(grad_position)
        for p in positions:
            if isinstance(p, bool) or not isinstance(p, int) or not -len(args) <= p < len(args):
                raise _errors.ValueError(f"grad_position {p!r} of {len(args)} arguments")
        out = fn(*args)
        value = out[0] if has_aux else out
        many = isinstance(value, (tuple, list))
        grads = columns(main, args, tuple(p % len(args) for p in positions), _tuple(tuple(value) if many else value))
        # [output][position], a position alone without its tuple.
        result = tuple(row[0] if single else tuple(row) for row in grads)
        result = result if many else result[0]
        return (result, out[1] if len(out) == 2 else out[1:]) if has_aux else result

    return _named(wrapped, fn)


def jacrev(fn, grad_position=0, has_aux=False):
    """The Jacobian by reverse mode: of the output's shape followed by the argument's.

    Several positions give a tuple, several outputs a tuple of those; with has_aux (Jacobian, the rest of the results).

    >>> import rutile
    >>> rutile.jacrev(lambda x: x * x)(rutile.Tensor([1.0, 2.0])).asnumpy().tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    def columns(main, args, positions, outputs):
        rows = []
        for k, y in enumerate(outputs):
            def pulled(u, k=k):
                def scalar(*a):
                    return (_tuple(main(*a))[k] * u).sum()

                return tuple(_native(scalar, positions, None, False, args, {})[1])

            stacked = _rutile.vmap(pulled, _one_hots(y))
            rows.append([g.reshape(*y.shape, *args[p].shape) for g, p in zip(stacked, positions)])
        return rows

    return _jacobian(fn, grad_position, has_aux, columns)


def jacfwd(fn, grad_position=0, has_aux=False):
    """The Jacobian by forward mode, of the same shapes as jacrev's.

    >>> import rutile
    >>> rutile.jacfwd(lambda x: x * x)(rutile.Tensor([1.0, 2.0])).asnumpy().tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    def columns(main, args, positions, outputs):
        per_position = []
        for p in positions:
            def along(v, p=p):
                def one(x):
                    return main(*args[:p], x, *args[p + 1:])

                return _tuple(jvp(one, args[p], v)[1])

            stacked = _rutile.vmap(along, _one_hots(args[p]))
            n = args[p].ndim
            per_position.append([_table.transpose(t.reshape(*args[p].shape, *y.shape), (*range(n, n + y.ndim), *range(n)))
                                 for t, y in zip(stacked, outputs)])
        return [list(row) for row in zip(*per_position)]

    return _jacobian(fn, grad_position, has_aux, columns)


def linearize(fn, inputs):
    """(fn(inputs), a function of vectors like the inputs that gives the derivative along them).

    >>> import rutile
    >>> y, along = rutile.ops.linearize(lambda x: x * x, rutile.Tensor([3.0]))
    >>> along(rutile.Tensor([1.0])).asnumpy().tolist()
    [6.0]
    """
    inputs = _tuple(tuple(inputs) if isinstance(inputs, list) else inputs)
    return fn(*inputs), lambda v: jvp(fn, inputs, tuple(v) if isinstance(v, list) else v)[1]


def _taylor(fn, primals, order, at):
    """Values of order 0 to `order` of the derivatives by t of fn(at(primals, t)) at t = 0."""
    def path(t):
        return fn(*(at(i, x, t) for i, x in enumerate(primals)))

    functions = [path]
    for _ in range(order):
        functions.append(lambda t, f=functions[-1]: jvp(f, t, _table.full((), 1, t.dtype))[1])
    return [f(_table.full((), 0, primals[0].dtype)) for f in functions]


def _floating(x):
    return x if x.dtype.name.startswith(("float", "bfloat")) else x.cast("float32")


def jet(fn, primals, series):
    """(fn(primals), its derivatives) along the path whose derivatives of order 1, 2, ... are the entries of series.

    >>> import rutile
    >>> _, y = rutile.ops.jet(lambda x: x * x * x, rutile.Tensor(2.0), rutile.Tensor([1.0, 0.0]))
    >>> y.asnumpy().tolist()
    [12.0, 12.0]
    """
    primals = [_floating(x) for x in (primals if isinstance(primals, (tuple, list)) else [primals])]
    series = [_floating(x) for x in (series if isinstance(series, (tuple, list)) else [series])]
    if len(primals) != len(series) or any(s.shape[1:] != x.shape for s, x in zip(series, primals)):
        raise _errors.ValueError("jet: series has a first dimension more than each of the primals")

    def at(i, x, t):
        total, power = x, None
        for k in range(series[i].shape[0]):
            power = t if power is None else power * t / float(k + 1)
            total = total + series[i][k] * power
        return total

    return _collected(_taylor(fn, primals, series[0].shape[0], at), stack=True)


def derivative(fn, primals, order):
    """(fn(primals), its derivative of an order along ones).

    >>> import rutile
    >>> float(rutile.ops.derivative(lambda x: x * x * x, rutile.Tensor(2.0), 2)[1])
    12.0
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise _errors.ValueError(f"derivative: order is a positive int, got {order!r}")
    primals = [_floating(x) for x in (primals if isinstance(primals, (tuple, list)) else [primals])]
    return _collected(_taylor(fn, primals, order, lambda i, x, t: x + t), stack=False)


def _collected(values, stack):
    if isinstance(values[0], (tuple, list)):
        both = [_collected([v[k] for v in values], stack) for k in range(len(values[0]))]
        return [b[0] for b in both], [b[1] for b in both]
    if not stack:
        return values[0], values[-1]
    return values[0], _table.concat([v.reshape(1, *v.shape) for v in values[1:]], axis=0)


def get_grad(gradients, identifier):
    """The gradient of a position or Parameter among what grad or value_and_grad give with return_ids=True.

    >>> import rutile
    >>> g = rutile.grad(lambda x, y: x * y, (0, 1), return_ids=True)(rutile.Tensor(2.0), rutile.Tensor(3.0))
    >>> float(rutile.ops.get_grad(g, 1))
    2.0
    """
    key = identifier.name if isinstance(identifier, _rutile.Parameter) else identifier
    if isinstance(key, bool) or not isinstance(key, (int, str)):
        raise _errors.TypeError(f"get_grad: identifier is an int or a Parameter, got {type(identifier).__name__}")

    def search(g):
        if isinstance(g, tuple):
            if len(g) == 2 and isinstance(g[0], (int, str)) and isinstance(g[1], Tensor):
                return g[1] if g[0] == key and type(g[0]) is type(key) else None
            for v in g:
                found = search(v)
                if found is not None:
                    return found
        return None

    found = search(gradients)
    if found is None:
        raise _errors.RuntimeError(f"get_grad: there is no gradient of {key!r}")
    return found
