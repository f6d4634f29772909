# SPDX-License-Identifier: Apache-2.0
"""Functions of sparse tensors. Values are computed by ordinary ops, so gradients go through them."""

from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.common.sparse_tensor import COOTensor, CSRTensor, RowTensor, RowTensorInner, SparseTensor
from rutile.ops.function import spectral as _spectral
from rutile.ops.function import arithmetic as _arithmetic
from rutile.ops.function import places as _places
from rutile.ops.function import arrange as _s
from rutile.ops.function._util import _errors, _tensor

_imported = set(globals())

# ops.csr_x and ops.coo_x of these are the function of the values.
_UNARY = ("abs acos acosh asin asinh atan atanh ceil cos cosh exp expm1 floor inv isfinite isinf isnan log log1p neg relu relu6 round sigmoid sin sinh "
          "softsign sqrt square tan tanh").split()


def _wide(index):
    return index.cast("int64")


def _dense(indices, values, shape):
    if values.shape[0] == 0:
        return _table.full(shape, 0, values.dtype)
    return _table.scatter_nd(_wide(indices), values, shape=tuple(shape))


def _at(dense, indices):
    return _table.gather_nd(dense, _wide(indices))


def _added(dense, indices, values):
    return dense + _dense(indices, values, dense.shape)


def _csr(name, x):
    if not isinstance(x, CSRTensor):
        raise _errors.TypeError(f"{name}: expects a CSRTensor, got {type(x).__name__}")
    return x


def _coo(name, x):
    if not isinstance(x, COOTensor):
        raise _errors.TypeError(f"{name}: expects a COOTensor, got {type(x).__name__}")
    return x


def _rows(x):
    """The row of each value of a CSRTensor, int64."""
    return csr2coo(_wide(x.indptr), x.values.shape[0])


def csr2coo(indptr, nnz):
    """The row of each of nnz values, from where the rows begin."""
    places = Tensor(list(range(nnz)), "int64") if nnz else _table.full((0,), 0, "int64")
    return _table.searchsorted(_wide(indptr)[1:], places, right=True).cast(indptr.dtype)


def coo2csr(row_indices, height):
    """Where each of `height` rows begins and the last one ends, from the rows of values in order."""
    return _table.searchsorted(_wide(row_indices), Tensor(list(range(height + 1)), "int64"), right=False).cast(row_indices.dtype)


def _to_csr(x):
    order = _table.sort(_wide(x.indices[:, 0]), 0, False)[1]
    rows, columns = (_table.gather(x.indices[:, i], order, axis=0) for i in (0, 1))
    return CSRTensor(coo2csr(rows, x.shape[0]), columns, _table.gather(x.values, order, axis=0), x.shape)


def csr_to_coo(tensor):
    """The same matrix as coordinates."""
    if _csr("csr_to_coo", tensor).ndim != 2:
        raise _errors.ValueError(f"csr_to_coo: expects a matrix, got the shape {tensor.shape}")
    return COOTensor(_s.stack((_rows(tensor).cast(tensor.indices.dtype), tensor.indices), 1), tensor.values, tensor.shape)


def csr_to_dense(csr_tensor):
    """The whole matrix, with zeros."""
    if _csr("csr_to_dense", csr_tensor).ndim != 2:
        raise _errors.ValueError(f"csr_to_dense: expects a matrix, got the shape {csr_tensor.shape}")
    return csr_to_coo(csr_tensor).to_dense()


def dense_to_sparse_coo(tensor):
    """What is not zero of a matrix, as coordinates."""
    if not isinstance(tensor, Tensor):
        raise _errors.TypeError(f"dense_to_sparse_coo: expects a Tensor, got {type(tensor).__name__}")
    if tensor.ndim != 2:
        raise _errors.ValueError(f"dense_to_sparse_coo: expects a matrix, got the shape {tensor.shape}")
    at = _s.nonzero(tensor)
    return COOTensor(at.cast("int32"), _table.gather_nd(tensor, at), tensor.shape)


def dense_to_sparse_csr(tensor):
    """What is not zero of a matrix, in compressed rows."""
    if not isinstance(tensor, Tensor):
        raise _errors.TypeError(f"dense_to_sparse_csr: expects a Tensor, got {type(tensor).__name__}")
    if tensor.ndim != 2:
        raise _errors.ValueError(f"dense_to_sparse_csr: expects a matrix, got the shape {tensor.shape}")
    return _to_csr(dense_to_sparse_coo(tensor))


def _number(x, y):
    return not isinstance(y, Tensor) or (y.size == 1 and y.ndim <= 2)


def _values_of(x, dense):
    """What a dense tensor holds at the places of a CSRTensor; a size of 1 stands for all rows or columns."""
    if dense.ndim > x.ndim:
        raise _errors.ValueError(f"a Tensor of shape {dense.shape} does not go with a CSRTensor of shape {x.shape}")
    whole = _table.broadcast_to(dense, x.shape)
    return _at(whole, _s.stack((_rows(x), _wide(x.indices)), 1))


def csr_mul(x, y):
    """x times a Tensor at x's places; with a number the products of the values."""
    if _number(_csr("csr_mul", x), y):
        return (x.values * (y.reshape(()) if isinstance(y, Tensor) else y)).reshape(x.values.shape)
    return x.with_values(x.values * _values_of(x, y))


def csr_div(x, y):
    """x divided by a Tensor at x's places; with a number the quotients of the values."""
    if _number(_csr("csr_div", x), y):
        return (x.values / (y.reshape(()) if isinstance(y, Tensor) else y)).reshape(x.values.shape)
    return x.with_values(x.values / _values_of(x, y))


def _csr_dense(x, dense):
    if not isinstance(dense, Tensor):
        raise _errors.TypeError(f"CSRTensor.mm: expects a Tensor or a CSRTensor, got {type(dense).__name__}")
    if x.ndim != 2 or dense.ndim != 2 or dense.shape[0] != x.shape[1]:
        raise _errors.ValueError(f"CSRTensor.mm: shapes {x.shape} and {dense.shape} do not fit")
    products = x.values.reshape(-1, 1) * _table.gather(dense, _wide(x.indices), axis=0)
    return _dense(_rows(x).reshape(-1, 1), products, (x.shape[0], dense.shape[1]))


def csr_mv(csr_tensor, dense):
    """The product of a sparse matrix with a column [n, 1]."""
    if not isinstance(dense, Tensor):
        raise _errors.TypeError(f"csr_mv: expects a Tensor, got {type(dense).__name__}")
    if dense.ndim != 2 or dense.shape[1] != 1:
        raise _errors.ValueError(f"csr_mv: expects a column [n, 1], got the shape {dense.shape}")
    return _csr_dense(_csr("csr_mv", csr_tensor), dense)


def csr_reduce_sum(csr_tensor, axis):
    """The sums of the rows (axis 1) as [rows, 1, ...]."""
    if axis not in (1, 1 - _csr("csr_reduce_sum", csr_tensor).ndim):
        raise _errors.ValueError(f"csr_reduce_sum: axis is 1, got {axis}")
    total = _dense(_rows(csr_tensor).reshape(-1, 1), csr_tensor.values, (csr_tensor.shape[0], *csr_tensor.shape[2:]))
    return total.expand_dims(1)


def csr_gather(indptr, indices, dense, sparse_shape):
    """What a dense tensor holds at the places of rows `indptr` and columns `indices`."""
    rows = csr2coo(_wide(indptr), indices.shape[0])
    return _at(_table.broadcast_to(dense, tuple(sparse_shape)), _s.stack((rows, _wide(indices)), 1))


def _keys(indices, shape):
    import numpy as np
    return np.ravel_multi_index(indices.asnumpy().astype(np.int64).T, shape) if indices.size else np.zeros(0, np.int64)


def _merged(x, y, thresh):
    """The places of x and y in order, each once, with the sums of what stands there."""
    import numpy as np
    parts = [x] if y is None else [x, y]
    keys = np.concatenate([_keys(p.indices, x.shape) for p in parts])
    places, back = np.unique(keys, return_inverse=True)
    values = x.values
    if y is not None:
        common = (_table.full((), 0, x.values.dtype) + _table.full((), 0, y.values.dtype)).dtype
        values = _s.concat([x.values.cast(common), y.values.cast(common)], 0)
    total = _dense(Tensor(back.reshape(-1, 1).astype(np.int64)), values, (len(places),))
    if thresh is not None and thresh != 0:
        keep = np.flatnonzero(np.abs(total.asnumpy()) >= thresh)
        places, total = places[keep], _table.gather(total, Tensor(keep), axis=0)
    at = np.stack(np.unravel_index(places, x.shape), 1).astype(np.int64)
    return COOTensor(Tensor(at).cast(x.indices.dtype), total, x.shape)


def coalesce(x_indices, x_values, x_shape):
    """(indices [2, k], values, shape) ordered, each place once, what stood at one place added."""
    shape = tuple(int(n) for n in x_shape.asnumpy())
    out = _merged(COOTensor(_table.transpose(x_indices), x_values, shape), None, None)
    return _table.transpose(out.indices), out.values, x_shape


def coo_add(x1, x2, thresh):
    """The sum of two COOTensors; places whose sum is below `thresh` in size are left out."""
    _coo("coo_add", x1), _coo("coo_add", x2)
    if x1.shape != x2.shape:
        raise _errors.ValueError(f"coo_add: shapes {x1.shape} and {x2.shape} differ")
    return _merged(x1, x2, float(_tensor(thresh)))


def coo_concat(sp_input, concat_dim=0):
    """Several COOTensors joined along a dimension, ordered."""
    inputs = [COOTensor(*x) if isinstance(x, tuple) else _coo("coo_concat", x) for x in sp_input]
    if len(inputs) < 2:
        raise _errors.ValueError("coo_concat: expects at least two COOTensors")
    if concat_dim not in (-2, -1, 0, 1):
        raise _errors.ValueError(f"coo_concat: concat_dim is 0 or 1, got {concat_dim}")
    d, at, indices = concat_dim % 2, 0, []
    for x in inputs:
        if x.shape[1 - d] != inputs[0].shape[1 - d]:
            raise _errors.ValueError(f"coo_concat: shapes {[i.shape for i in inputs]} differ in dimension {1 - d}")
        indices.append(x.indices + Tensor([at if i == d else 0 for i in (0, 1)], x.indices.dtype))
        at += x.shape[d]
    shape = tuple(at if i == d else n for i, n in enumerate(inputs[0].shape))
    return _merged(COOTensor(_s.concat(indices, 0), _s.concat([x.values for x in inputs], 0), shape), None, None)


def _csr_sum(a, b, alpha, beta):
    a, b = a.to_coo(), b.to_coo()
    return _to_csr(_merged(a.with_values(a.values * alpha), b.with_values(b.values * beta), None))


def csr_add(a, b, alpha, beta):
    """alpha * a + beta * b of two CSRTensors; alpha and beta are Tensors of one number."""
    _csr("csr_add", a), _csr("csr_add", b)
    if not isinstance(alpha, Tensor) or not isinstance(beta, Tensor):
        raise _errors.TypeError("csr_add: alpha and beta are Tensors")
    if a.shape != b.shape:
        raise _errors.ValueError(f"csr_add: shapes {a.shape} and {b.shape} differ")
    return _csr_sum(a, b, alpha.reshape(()).cast(a.dtype), beta.reshape(()).cast(a.dtype))


def csr_mm(a, b, trans_a=False, trans_b=False, adjoint_a=False, adjoint_b=False):
    """The product of two sparse matrices, sparse; each may be transposed, or transposed and conjugated."""
    import numpy as np
    if not isinstance(a, CSRTensor) or not isinstance(b, CSRTensor):
        raise _errors.TypeError("csr_mm: expects two CSRTensors")

    def oriented(x, transposed, adjoint):
        coo = x.to_coo()
        at, values = coo.indices.asnumpy(), coo.values
        if transposed or adjoint:
            at, values = at[:, ::-1], _spectral.conj(values) if adjoint and x.dtype.name.startswith("complex") else values
        return at, values, coo.shape[::-1] if transposed or adjoint else coo.shape

    at, left, shape_a = oriented(a, trans_a, adjoint_a)
    bt, right, shape_b = oriented(b, trans_b, adjoint_b)
    if shape_a[1] != shape_b[0]:
        raise _errors.ValueError(f"csr_mm: shapes {shape_a} and {shape_b} do not fit")
    order = np.argsort(bt[:, 0], kind="stable")
    start, end = (np.searchsorted(bt[order, 0], at[:, 1], side) for side in ("left", "right"))
    pair_a = np.repeat(np.arange(len(at)), end - start)
    offset = np.arange(len(pair_a)) - np.repeat(np.cumsum(end - start) - (end - start), end - start)
    pair_b = order[np.repeat(start, end - start) + offset] if len(pair_a) else pair_a
    products = _table.gather(left, Tensor(pair_a), axis=0) * _table.gather(right, Tensor(pair_b), axis=0)
    at = np.stack([at[pair_a, 0], bt[pair_b, 1]], 1)
    shape = (shape_a[0], shape_b[1])
    return _to_csr(_merged(COOTensor(Tensor(np.ascontiguousarray(at)).cast(a.indices.dtype), products, shape), None, None))


def csr_softmax(logits, dtype):
    """The softmax of each row's stored values."""
    rows = _rows(_csr("csr_softmax", logits))
    values = logits.values.cast(dtype)
    top = _places.unsorted_segment_max(values, rows, logits.shape[0])
    e = _table.exp(values - _table.stop_gradient(_table.gather(top, rows, axis=0)))
    total = _dense(rows.reshape(-1, 1), e, (logits.shape[0],))
    return logits.with_values(e / _table.gather(total, rows, axis=0))


def _unary(kind, name, expected):
    if name == "inv":
        function = _table.reciprocal
    else:
        function = getattr(_arithmetic, name, None) or getattr(_table, name)

    def call(x):
        return expected(call.__name__, x) and x.with_values(function(x.values))

    call.__name__ = call.__qualname__ = f"{kind}_{name}"
    call.__doc__ = f"{name} of the stored values of a {kind.upper()}Tensor."
    return call


for _name in _UNARY:
    globals()[f"csr_{_name}"], globals()[f"coo_{_name}"] = _unary("csr", _name, _csr), _unary("coo", _name, _coo)


def make_coo_tensor(indices, values, dense_shape):
    """A COOTensor of its parts."""
    return COOTensor(indices, values, dense_shape)


def make_csr_tensor(indptr, indices, values, dense_shape):
    """A CSRTensor of its parts."""
    return CSRTensor(indptr, indices, values, dense_shape)


def make_sparse_tensor(indices, values, dense_shape):
    """A COOTensor of its parts."""
    return COOTensor(indices, values, dense_shape)


def make_row_tensor(indices, values, dense_shape):
    """A RowTensor of its parts."""
    return RowTensor(indices, values, dense_shape)


make_row_tensor_inner = make_row_tensor


def row_tensor_add(x, y):
    """A RowTensor and a dense tensor added."""
    return _added(y, x.indices.reshape(-1, 1), x.values)


def _part(kind, part, attribute):
    def get(x):
        return getattr(x, attribute)

    get.__name__ = get.__qualname__ = f"{kind}_tensor_get_{part}"
    get.__doc__ = f"The {part.replace('_', ' ')} of a {kind.upper() if kind != 'row' else 'Row'}Tensor."
    return get


for _kind in ("coo", "csr", "row"):
    for _what, _attribute in (("indices", "indices"), ("values", "values"), ("dense_shape", "shape"), ("indptr", "indptr")):
        if _what != "indptr" or _kind == "csr":
            globals()[f"{_kind}_tensor_get_{_what}"] = _part(_kind, _what, _attribute)

__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n not in _imported]
