# SPDX-License-Identifier: Apache-2.0
"""Making arrays, random numbers, windows and indices."""

from rutile import ops as _ops
from rutile._rutile import Tensor as _Tensor
from rutile._rutile import ops as _table
from rutile.numpy import _util as _u

_imported = set(globals())


def _shape(shape):
    if isinstance(shape, _Tensor):
        shape = shape.asnumpy().tolist()
    return (shape,) if isinstance(shape, int) else tuple(shape)


def array(obj, dtype=None, copy=True, ndmin=0):
    """A Tensor of an array, a list or a number."""
    x = _u.cast(_u.tensor(obj), dtype)
    return x.reshape((1,) * (ndmin - x.ndim) + x.shape) if ndmin > x.ndim else x


def copy(a):
    """A Tensor with values of its own."""
    return _u.tensor(a).copy()


def asarray(a, dtype=None):
    """As array."""
    return array(a, dtype)


def asfarray(a, dtype="float32"):
    """As array, in floats."""
    return _u.floating(a).cast(dtype or "float32")


def array_str(a):
    """The values as text."""
    return str(_u.tensor(a))


def zeros(shape, dtype="float32"):
    """Zeros."""
    return _table.full(_shape(shape), 0, dtype)


def ones(shape, dtype="float32"):
    """Ones."""
    return _table.full(_shape(shape), 1, dtype)


def empty(shape, dtype="float32"):
    """A tensor whose values do not matter: zeros."""
    return zeros(shape, dtype)


def full(shape, fill_value, dtype=None):
    """One value everywhere (an array is broadcast)."""
    value = _u.cast(_u.tensor(fill_value), dtype)
    return _table.contiguous(_table.broadcast_to(value, _shape(shape)))


def _like(name, make):
    def function(a, dtype=None, shape=None):
        a = _u.tensor(a)
        return make(a.shape if shape is None else shape, dtype or a.dtype)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{name[:-5].capitalize()} with the shape and dtype of another."
    return function


zeros_like, ones_like, empty_like = _like("zeros_like", zeros), _like("ones_like", ones), _like("empty_like", empty)


def full_like(a, fill_value, dtype=None, shape=None):
    """One value with the shape and dtype of another."""
    a = _u.tensor(a)
    return full(a.shape if shape is None else shape, fill_value, dtype or a.dtype)


def arange(start, stop=None, step=None, dtype=None):
    """start, start + step, ... below stop; one argument is the stop. Whole numbers are int32."""
    if stop is None:
        start, stop = 0, start
    if dtype is None and _u._small([v for v in (start, stop, step) if v is not None]):
        dtype = "int32"
    return _table.arange(start, stop, 1 if step is None else step, dtype)


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    """num numbers from start to stop, which without endpoint is left out; retstep: also their distance."""
    num = int(num)
    start, stop = _u.floating(start), _u.floating(stop)
    n = num - 1 if endpoint else num
    step = (stop - start) / float(n) if n > 0 else (stop - start) * float("nan")
    i = _table.arange(0, num, 1, start.dtype).reshape(num, *[1] * (stop - start).ndim)
    y = start + i * (step if n > 0 else (stop - start) * 0)
    if axis not in (0, -y.ndim):
        y = _ops.movedim(y, 0, axis)
    y = _u.cast(y, dtype)
    return (y, step) if retstep else y


def logspace(start, stop, num=50, endpoint=True, base=10.0, dtype=None, axis=0):
    """Powers of base, their exponents as linspace."""
    e = linspace(start, stop, num, endpoint, axis=axis)
    return _u.cast(_table.pow(_Tensor(float(base), e.dtype), e), dtype)


def geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0):
    """Numbers at equal ratios from start to stop."""
    a, b = _u.floating(start), _u.floating(stop)
    y = _table.exp(linspace(_table.log(_table.abs(a)), _table.log(_table.abs(b)), num, endpoint, axis=axis)) * _table.sign(a)
    return _u.cast(y, dtype)


def eye(N, M=None, k=0, dtype="float32"):
    """Ones on a diagonal."""
    m = N if M is None else M
    rows, cols = _table.arange(0, N, 1, "int64").reshape(N, 1), _table.arange(0, m, 1, "int64")
    return (cols - rows == k).cast(dtype)


def identity(n, dtype="float32"):
    """Ones on the diagonal."""
    return eye(n, dtype=dtype)


def tri(N, M=None, k=0, dtype="float32"):
    """Ones on and below a diagonal."""
    m = N if M is None else M
    return (_table.arange(0, m, 1, "int64") - _table.arange(0, N, 1, "int64").reshape(N, 1) <= k).cast(dtype)


def tril(m, k=0):
    """Zeros above a diagonal."""
    return _table.tril(_u.tensor(m), k)


def triu(m, k=0):
    """Zeros below a diagonal."""
    return _table.triu(_u.tensor(m), k)


def tril_indices(n, k=0, m=None):
    """(rows, columns) on and below a diagonal."""
    y = _ops.tril_indices(n, n if m is None else m, k).cast("int32")
    return y[0], y[1]


def triu_indices(n, k=0, m=None):
    """(rows, columns) on and above a diagonal."""
    y = _ops.triu_indices(n, n if m is None else m, k).cast("int32")
    return y[0], y[1]


def tril_indices_from(arr, k=0):
    """tril_indices of a matrix's shape."""
    return tril_indices(arr.shape[-2], k, arr.shape[-1])


def triu_indices_from(arr, k=0):
    """triu_indices of a matrix's shape."""
    return triu_indices(arr.shape[-2], k, arr.shape[-1])


def diag_indices(n, ndim=2):
    """The places of a diagonal, one tensor for each dimension."""
    return tuple(_table.arange(0, n, 1, "int32") for _ in range(ndim))


def indices(dimensions, dtype="int32", sparse=False):
    """The coordinates of a grid: a list of tensors of its shape, or a tuple of tensors that broadcast to it."""
    n = len(dimensions)
    parts = [_table.arange(0, d, 1, "int64").cast(dtype).reshape([-1 if i == k else 1 for i in range(n)]) for k, d in enumerate(dimensions)]
    return tuple(parts) if sparse else [_table.contiguous(_table.broadcast_to(p, tuple(dimensions))) for p in parts]


def meshgrid(*xi, sparse=False, indexing="xy"):
    """Coordinates of a grid, as a tuple."""
    xi = [_u.tensor(x).reshape(-1) for x in xi]
    if not sparse:
        return _ops.meshgrid(*xi, indexing=indexing)
    n = len(xi)
    at = list(range(n))
    if indexing == "xy" and n > 1:
        at[0], at[1] = 1, 0
    return tuple(x.reshape([-1 if i == at[k] else 1 for i in range(n)]) for k, x in enumerate(xi))


class _Grid:
    """grid[a:b:c, ...]: the coordinates of ranges; a step that is imaginary is the number of points, the end included."""

    def __init__(self, sparse):
        self._sparse = sparse

    def __getitem__(self, key):
        keys = key if isinstance(key, tuple) else (key,)
        parts = []
        for k in keys:
            start = 0 if k.start is None else k.start
            step = 1 if k.step is None else k.step
            parts.append(linspace(start, k.stop, int(abs(step))) if isinstance(step, complex) else arange(start, k.stop, step))
        if not isinstance(key, tuple):
            return parts[0]
        out = meshgrid(*parts, sparse=self._sparse, indexing="ij")
        return list(out) if self._sparse else _ops.stack(list(out))


mgrid, ogrid = _Grid(False), _Grid(True)


def ix_(*args):
    """Vectors as indices of a grid."""
    return meshgrid(*args, sparse=True, indexing="ij")


def rand(*shape, dtype="float32"):
    """Uniform numbers in [0, 1)."""
    return _table.random_uniform(_shape(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else tuple(shape), 0.0, 1.0, dtype)


def randn(*shape, dtype="float32"):
    """Standard normal numbers."""
    return _table.random_normal(_shape(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else tuple(shape), 0.0, 1.0, dtype)


def randint(minval, maxval=None, shape=None, dtype="int32"):
    """Integers in [minval, maxval)."""
    low, high = (0, minval) if maxval is None else (minval, maxval)
    return _table.random_randint(() if shape is None else _shape(shape), low, high, dtype)


def _window(name, function, **kwargs):
    def window(M):
        return function(int(M), False, dtype="float32", **kwargs)

    window.__name__ = window.__qualname__ = name
    window.__doc__ = function.__doc__
    return window


bartlett, blackman = _window("bartlett", _ops.bartlett_window), _window("blackman", _ops.blackman_window)
hamming, hanning = _window("hamming", _ops.hamming_window), _window("hanning", _ops.hann_window)


def vander(x, N=None, increasing=False):
    """Powers of x as columns."""
    y = _ops.vander(_u.tensor(x), N)
    return _table.flip(y, (1,)) if increasing else y


def promote_types(type1, type2):
    """The dtype that holds both."""
    type1, type2 = (_code(t) if isinstance(t, str) else t for t in (type1, type2))
    return _table.add(_table.full((0,), 0, type1), _table.full((0,), 0, type2)).dtype


def result_type(*arrays_and_dtypes):
    """The dtype that holds all."""
    kinds = [_code(v) if isinstance(v, str) else v.dtype if isinstance(v, _Tensor) else _u.tensor(v).dtype if isinstance(v, (list, tuple, int, float)) and not isinstance(v, str) else v for v in arrays_and_dtypes]
    out = kinds[0]
    for k in kinds[1:]:
        out = promote_types(out, k)
    return promote_types(out, out)


def _code(text):
    """NumPy's codes of dtypes, like "i2"."""
    import numpy as np
    return np.dtype(text).name


def isscalar(element):
    """Whether it is a plain number or text."""
    return isinstance(element, (bool, int, float, complex, str, bytes))


__all__ = _u.names(globals(), _imported) + ["mgrid", "ogrid"]
