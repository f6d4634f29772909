# SPDX-License-Identifier: Apache-2.0
"""Gradients of one's own, and ops made of Python functions and of C functions."""

import os as _os

from rutile import _rutile
from rutile import context as _context
from rutile._rutile import Tensor
from rutile._rutile import ops as _table

_errors = _rutile.errors


def _by_argument(got, args, parameters):
    """What a bprop returned, as one gradient for each argument and each of the Cell's internal_params."""
    got = list(got) if isinstance(got, (tuple, list)) else [got]
    if args and isinstance(args[0], Tensor) and got and isinstance(got[0], (tuple, list)):
        # (dx, ...), {w: dw, ...}; (dx, ...), (dw, ...); ((dx, ...),)
        rest = got[1] if len(got) == 2 else ()
        if isinstance(rest, dict):
            rest = [next((g for p, g in rest.items() if p is w), None) for w in parameters]
        if len(got) > 2 or not isinstance(rest, (tuple, list)):
            raise _errors.TypeError("bprop returns (dx, ...) or ((dx, ...), {parameter: gradient})")
        got = [*got[0], *rest]
    if len(got) < len(args) + len(parameters):
        beside = f" and {len(parameters)} internal_params" if parameters else ""
        raise _errors.TypeError(f"bprop returns a gradient for each of {len(args)} arguments{beside}, got {len(got)}")
    return got


def with_gradient(function, bprop, *args, parameters=()):
    """function(*args), whose gradients by the Tensors among args are bprop(*args, out, dout).

    bprop returns a gradient for each argument, as a tuple (or one of several arguments' only if there is one), and behind
    them for each of the parameters; None or False stands for none. The function itself is not differentiated.

    >>> import rutile
    >>> f = lambda x: rutile.ops.custom.with_gradient(lambda v: v * 2, lambda v, out, dout: (dout * 10,), x)
    >>> rutile.grad(f)(rutile.Tensor([1.0])).asnumpy().tolist()
    [10.0]
    """
    every = (*args, *parameters)
    floats = [i for i, x in enumerate(every) if isinstance(x, Tensor) and x.size and x.dtype.name != "bool"]
    proxies = {i: _table.reshape(every[i], every[i].shape) for i in floats}
    out = function(*(_table.stop_gradient(x) if i in proxies else x for i, x in enumerate(args)))
    many = isinstance(out, (tuple, list))
    outs = [_table.stop_gradient(y) if isinstance(y, Tensor) else y for y in (out if many else (out,))]
    seen = {}

    def gradients():
        given = [seen.get(k, _table.full(y.shape, 0, y.dtype) if isinstance(y, Tensor) else None) for k, y in enumerate(outs)]
        got = _by_argument(bprop(*args, tuple(outs) if many else outs[0], tuple(given) if many else given[0]), args, parameters)
        wrong = next((i for i in floats if isinstance(got[i], (tuple, list, dict))), None)
        if wrong is not None:
            raise _errors.TypeError(f"bprop gives argument {wrong}, a Tensor, a gradient of {type(got[wrong]).__name__}")
        if _context.get_context("check_bprop"):
            for i in floats:
                if not isinstance(got[i], Tensor) or got[i].dtype != every[i].dtype:
                    what = got[i].dtype.name if isinstance(got[i], Tensor) else type(got[i]).__name__
                    raise _errors.TypeError(f"bprop gives argument {i} of {every[i].dtype.name} a gradient of {what}")
        return got

    def of_argument(i):
        def hook(dx):
            if "all" not in seen:
                seen["all"] = gradients()
            g = seen["all"][i]
            if not isinstance(g, Tensor):
                return dx
            if g.shape != dx.shape:
                raise _errors.ValueError(f"bprop gives argument {i} of shape {dx.shape} a gradient of shape {g.shape}")
            return g if g.dtype == dx.dtype else g.cast(dx.dtype)

        return hook

    # Ties the results to the arguments: adds nothing to the one, and gives the others zeros for the hooks to replace.
    tracked = [i for i, x in proxies.items() if _rutile.add_hook(x, of_argument(i))]
    if not tracked:
        return type(out)(outs) if type(out) in (tuple, list) else tuple(outs) if many else outs[0]
    never = Tensor(False)
    for k, y in enumerate(outs):
        if not isinstance(y, Tensor) or y.dtype.name == "bool":
            continue
        for i in tracked:
            one = _table.reshape(proxies[i], (proxies[i].size,))[0].cast(y.dtype)
            y = y + _table.where(never, one, _table.full((), 0, y.dtype))
        _rutile.add_hook(y, lambda dy, k=k: seen.__setitem__(k, dy))
        outs[k] = y
    return tuple(outs) if many else outs[0]


class _CustomVjp:
    """What custom_vjp makes of a function."""

    def __init__(self, fn):
        if not callable(fn):
            raise _errors.TypeError(f"custom_vjp takes a function, got {type(fn).__name__}")
        self.fn, self.bwd = fn, None

    def defbwd(self, bwd):
        """Sets the function of the gradients."""
        self.bwd = bwd

    def __call__(self, *args):
        if self.bwd is None:
            return self.fn(*args)
        return with_gradient(self.fn, self.bwd, *args)


def custom_vjp(fn=None):
    """A function whose gradient is another one's: defbwd(bprop) with bprop(*inputs, out, dout), a gradient for each input.

    >>> import rutile
    >>> @rutile.ops.custom_vjp
    ... def double(x):
    ...     return x * 2
    >>> double.defbwd(lambda x, out, dout: (dout * 10,))
    >>> float(rutile.grad(double)(rutile.Tensor(1.0)))
    10.0
    """
    return _CustomVjp if fn is None else _CustomVjp(fn)


def hooked(x, hook):
    """x itself; the gradient that reaches it goes through hook(gradient), which may return another."""
    if not isinstance(x, Tensor):
        return x
    y = _table.reshape(x, x.shape)
    _rutile.add_hook(y, hook)
    return y


class HookBackward:
    """Its inputs; hook_fn sees their gradients as a tuple (one of one input) and may return others.

    >>> import rutile
    >>> halve = rutile.ops.HookBackward(lambda grad: grad[0] / 2)
    >>> rutile.grad(lambda x: halve(x * 3))(rutile.Tensor(1.0)).asnumpy().tolist()
    1.5
    """

    def __init__(self, hook_fn, cell_id=""):
        if not callable(hook_fn):
            raise _errors.TypeError(f"HookBackward takes a function, got {type(hook_fn).__name__}")
        self.hook_fn, self.cell_id, self.name = hook_fn, cell_id, "HookBackward"

    def __call__(self, *inputs):
        if len(inputs) == 1:
            return hooked(inputs[0], lambda dy: _first(self.hook_fn((dy,))))

        def bprop(*args):
            got = self.hook_fn(args[-1])
            return args[-1] if got is None else got if isinstance(got, (tuple, list)) else (got,)

        return with_gradient(lambda *xs: xs, bprop, *inputs)


class InsertGradientOf:
    """x itself; its gradient becomes f(gradient).

    >>> import rutile
    >>> clip = rutile.ops.InsertGradientOf(lambda dx: rutile.ops.clamp(dx, -1.0, 1.0))
    >>> float(rutile.grad(lambda x: clip(x) * 5)(rutile.Tensor(2.0)))
    1.0
    """

    def __init__(self, f):
        if not callable(f):
            raise _errors.TypeError(f"InsertGradientOf takes a function, got {type(f).__name__}")
        self.f, self.name = f, "InsertGradientOf"

    def __call__(self, x):
        return hooked(x, self.f)


def _first(v):
    return v[0] if isinstance(v, (tuple, list)) else v


class Custom:
    """An op of one's own, with a gradient if bprop is given: bprop(*inputs, out, dout) returns one for each input.

    func_type "pyfunc": func is a Python function of NumPy arrays. "aot": func is "library.so:function" in C,
    `int function(int nparam, void **params, int *ndims, int64_t **shapes, const char **dtypes, void *stream, void *extra)`
    over the inputs' and then the outputs' memory, 0 for success; or an op of a library of rutile/ops/c_api.h, which
    ops.load_op_library loads, and which alone can be compiled. out_shape and out_dtype: of the result (tuples of them for
    several), or functions of those of the inputs; for pyfunc they may be left out.

    >>> import numpy, rutile
    >>> sine = rutile.ops.Custom(numpy.sin, lambda x: x, lambda x: x, "pyfunc", bprop=lambda x, out, dout: (dout * rutile.ops.cos(x),))
    >>> float(rutile.grad(sine)(rutile.Tensor(0.0)))
    1.0
    """

    def __init__(self, func, out_shape=None, out_dtype=None, func_type="pyfunc", bprop=None, reg_info=None):
        if func_type not in ("pyfunc", "aot"):
            raise _errors.ValueError(f"Custom: func_type is 'pyfunc' or 'aot', got {func_type!r}")
        if func_type == "pyfunc" and not callable(func):
            raise _errors.TypeError(f"Custom: a pyfunc is a function, got {type(func).__name__}")
        self.func, self.out_shape, self.out_dtype, self.func_type, self.bprop = func, out_shape, out_dtype, func_type, bprop
        self.name, self._op, self._function = "Custom", None, None
        if func_type == "aot":
            self._load(func)

    def _load(self, func):
        path, _, symbol = str(func).rpartition(":")
        if not path:
            raise _errors.ValueError(f"Custom: an aot function is named 'library.so:function', got {func!r}")
        if not _os.path.exists(path):
            raise _errors.ValueError(f"Custom: there is no library {path!r}")
        import ctypes as _ctypes
        library = _ctypes.CDLL(_os.path.abspath(path))
        if hasattr(library, symbol):
            self._function = getattr(library, symbol)
            self._function.restype = _ctypes.c_int
            return
        from rutile import ops
        if not hasattr(library, "rutile_op_library_abi") or symbol not in ops.load_op_library(path):
            raise _errors.ValueError(f"Custom: {path!r} has no function and no op {symbol!r}; functions of C++ are found as extern \"C\"")
        self._op = getattr(_table, symbol)

    def __call__(self, *inputs):
        run = self._op or (self._python if self.func_type == "pyfunc" else self._compiled)
        if self.bprop is None or self._op is not None and self.bprop is None:
            return run(*inputs)
        return with_gradient(run, self.bprop, *inputs)

    def _expected(self, inputs):
        """(shapes, dtypes) of the results, and whether there are several."""
        shapes, dtypes = [x.shape for x in inputs], [x.dtype for x in inputs]
        shape = self.out_shape(*shapes) if callable(self.out_shape) else self.out_shape
        dtype = self.out_dtype(*dtypes) if callable(self.out_dtype) else self.out_dtype
        many = isinstance(dtype, (tuple, list))
        if shape is None:
            return (None, None, many)
        return ([tuple(s) for s in shape], list(dtype), True) if many else ([tuple(shape)], [dtype], False)

    def _python(self, *inputs):
        import numpy as np
        arrays = [x.asnumpy() if isinstance(x, Tensor) else x for x in inputs]
        out = self.func(*arrays)
        several = isinstance(out, (tuple, list))
        results = [Tensor(np.asarray(y)) for y in (out if several else (out,))]
        shapes, dtypes, _ = self._expected([x for x in inputs if isinstance(x, Tensor)])
        for k, y in enumerate(results):
            if shapes is None:
                continue
            if k >= len(shapes) or y.shape != shapes[k]:
                raise _errors.ValueError(f"Custom: result {k} has shape {y.shape}, expected {shapes[k] if k < len(shapes) else 'none'}")
            results[k] = y.cast(dtypes[k]) if dtypes[k] is not None else y
        return tuple(results) if several else results[0]

    def _compiled(self, *inputs):
        import ctypes as _ctypes
        import numpy as np
        shapes, dtypes, many = self._expected(inputs)
        if shapes is None:
            raise _errors.ValueError("Custom: an aot function needs out_shape and out_dtype")
        arrays = [np.ascontiguousarray(x.asnumpy()) for x in inputs]
        outs = [np.zeros(s, str(getattr(d, "name", d))) for s, d in zip(shapes, dtypes)]
        every = arrays + outs
        n = len(every)
        dims = [(_ctypes.c_int64 * max(a.ndim, 1))(*a.shape) for a in every]
        code = self._function(
            n, (_ctypes.c_void_p * n)(*(a.ctypes.data for a in every)), (_ctypes.c_int * n)(*(a.ndim for a in every)),
            (_ctypes.POINTER(_ctypes.c_int64) * n)(*(_ctypes.cast(d, _ctypes.POINTER(_ctypes.c_int64)) for d in dims)),
            (_ctypes.c_char_p * n)(*(a.dtype.name.encode() for a in every)), None, None)
        if code != 0:
            raise _errors.RuntimeError(f"Custom: {self.func} returned {code}")
        results = [Tensor(a) for a in outs]
        return tuple(results) if many else results[0]


class PyFunc:
    """A Python function of NumPy arrays as an op: PyFunc(fn, in_types, in_shapes, out_types, out_shapes)(inputs)."""

    def __init__(self, fn, in_types, in_shapes, out_types, out_shapes, stateful=True):
        self.fn, self.out_types, self.out_shapes, self.name = fn, list(out_types), [tuple(s) for s in out_shapes], "PyFunc"

    def __call__(self, *inputs):
        import numpy as np
        inputs = inputs[0] if len(inputs) == 1 and isinstance(inputs[0], (tuple, list)) else inputs
        out = self.fn(*(x.asnumpy() for x in inputs))
        out = out if isinstance(out, (tuple, list)) else (out,)
        results = tuple(Tensor(np.asarray(y)).cast(t) for y, t in zip(out, self.out_types))
        for y, shape in zip(results, self.out_shapes):
            if y.shape != shape:
                raise _errors.ValueError(f"PyFunc: a result has shape {y.shape}, expected {shape}")
        return results
