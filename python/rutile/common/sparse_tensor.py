# SPDX-License-Identifier: Apache-2.0
"""Sparse tensors: coordinates (COOTensor), compressed rows (CSRTensor) and rows (RowTensor), by MindSpore's names.

What is stored are Tensors: gradients go through the values, which the functions of ops (csr_mm, coo_add, ...) read and
make with ordinary ops. Indices are constants; where the places of a result depend on them (coalesce, sums of two sparse
tensors, products of two) they are computed outside of compiled functions, which such a function says once and then runs
as it is written.

>>> from rutile import CSRTensor, Tensor
>>> m = CSRTensor(Tensor([0, 1, 2]), Tensor([2, 0]), Tensor([3.0, 4.0]), (2, 3))
>>> m.mv(Tensor([[1.0], [1.0], [10.0]])).asnumpy().tolist()
[[30.0], [4.0]]
"""

from rutile import _rutile
from rutile._rutile import Tensor

_errors = _rutile.errors

__all__ = ["COOTensor", "CSRTensor", "RowTensor", "RowTensorInner", "SparseTensor"]


def _functions():
    from rutile.ops.function import sparse
    return sparse


def _shown(name, t):
    return f"{name}=Tensor(shape={list(t.shape)}, dtype={_dtype_name(t)}, value={t})"


def _dtype_name(t):
    n = t.dtype.name
    return n[:1].upper() + n[1:] if not n.startswith(("uint", "bfloat")) else {"u": "UI", "b": "BF"}[n[0]] + n[2:]


def _check_parts(kind, shape, values, **indices):
    for name, t in indices.items():
        if not isinstance(t, Tensor):
            raise _errors.TypeError(f"{kind}: {name} is a Tensor, got {type(t).__name__}")
        if t.dtype.name not in ("int16", "int32", "int64"):
            raise _errors.TypeError(f"{kind}: {name} are int16, int32 or int64, got {t.dtype}")
    if not isinstance(values, Tensor):
        raise _errors.TypeError(f"{kind}: values are a Tensor, got {type(values).__name__}")
    if not isinstance(shape, tuple):
        raise _errors.TypeError(f"{kind}: shape is a tuple, got {type(shape).__name__}")
    for n in shape:
        if isinstance(n, bool) or not isinstance(n, int):
            raise _errors.TypeError(f"{kind}: shape is a tuple of ints, got {shape}")
        if n <= 0:
            raise _errors.ValueError(f"{kind}: the numbers of shape are positive, got {shape}")


class _Sparse:
    """What the formats share: facts of the values."""

    @property
    def values(self):
        """What is stored, a Tensor."""
        return self._values

    @property
    def shape(self):
        """The shape as if dense."""
        return self._shape

    @property
    def dtype(self):
        """The dtype of the values."""
        return self._values.dtype

    @property
    def size(self):
        """How many values are stored."""
        return self._values.size

    @property
    def itemsize(self):
        """Bytes of a value."""
        return self._values.itemsize

    @property
    def ndim(self):
        """How many dimensions the shape has."""
        return len(self._shape)

    def with_values(self, values):
        """Other values at the same places."""
        raise NotImplementedError

    def astype(self, dtype):
        """The values in another dtype."""
        return self.with_values(self._values.cast(dtype))

    def abs(self):
        """The absolute values."""
        return self.with_values(_functions()._table.abs(self._values))

    def __neg__(self):
        return self.with_values(-self._values)

    def _same_shape(self, other):
        if not isinstance(other, (Tensor, _Sparse)):
            raise _errors.TypeError(f"{type(self).__name__} does not go with {type(other).__name__}")
        if tuple(other.shape) != self._shape:
            raise _errors.ValueError(f"{type(self).__name__}: shapes {self._shape} and {tuple(other.shape)} differ")


class COOTensor(_Sparse):
    """Values [k] at coordinates `indices` [k, 2] of a matrix; what stands twice adds up. COOTensor(coo_tensor=x) is x again.

    TypeError for other types, ValueError where the parts do not fit.
    """

    _ranks = (2,)
    # A compiled function takes and gives it as these parts.
    _tree_fields = ("indices", "values", "shape")

    def __init__(self, indices=None, values=None, shape=None, coo_tensor=None):
        if coo_tensor is not None:
            if not isinstance(coo_tensor, COOTensor):
                raise _errors.TypeError(f"COOTensor: coo_tensor is a COOTensor, got {type(coo_tensor).__name__}")
            if indices is not None or values is not None or shape is not None:
                raise _errors.TypeError("COOTensor: coo_tensor goes without indices, values and shape")
            indices, values, shape = coo_tensor.to_tuple()
        _check_parts("COOTensor", shape, values, indices=indices)
        if self._ranks and len(shape) not in self._ranks:
            raise _errors.ValueError(f"COOTensor: shape has 2 numbers, got {shape}")
        if indices.shape != (0,) or values.shape != (0,):
            if indices.ndim != 2 or values.ndim != 1 or indices.shape[0] != values.shape[0] or indices.shape[1] != len(shape):
                raise _errors.ValueError(f"COOTensor: indices [k, {len(shape)}] and values [k], got {indices.shape} and {values.shape}")
        self._indices, self._values, self._shape = indices, values, shape

    @property
    def indices(self):
        """Where the values stand, [k, 2]."""
        return self._indices

    def with_values(self, values):
        """Other values at the same places."""
        made = object.__new__(type(self))
        made._indices, made._values, made._shape = self._indices, values, self._shape
        return made

    def to_tuple(self):
        """(indices, values, shape)"""
        return self._indices, self._values, self._shape

    def to_dense(self):
        """The whole tensor, with zeros."""
        return _functions()._dense(self._indices, self._values, self._shape)

    def to_csr(self):
        """The same in compressed rows, ordered by rows."""
        return _functions()._to_csr(self)

    def coalesce(self):
        """Ordered, each place once, what stood at one place added."""
        return _functions()._merged(self, None, None)

    def add(self, other, thresh):
        """The sum of two; places whose sum is below `thresh` in size are left out."""
        return _functions().coo_add(self, other, thresh)

    def __add__(self, other):
        self._same_shape(other)
        if isinstance(other, Tensor):
            return _functions()._added(other, self._indices, self._values)
        return _functions()._merged(self, other, None)

    __radd__ = __add__

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return -self + other

    def __mul__(self, other):
        self._same_shape(other)
        if not isinstance(other, Tensor):
            raise _errors.TypeError("COOTensor: is multiplied with a Tensor, not with a COOTensor")
        return self.with_values(self._values * _functions()._at(other, self._indices))

    __rmul__ = __mul__

    def __truediv__(self, other):
        self._same_shape(other)
        if not isinstance(other, Tensor):
            raise _errors.TypeError("COOTensor: is divided by a Tensor, not by a COOTensor")
        return self.with_values(self._values / _functions()._at(other, self._indices))

    def __repr__(self):
        return f"{type(self).__name__}(shape={list(self._shape)}, dtype={_dtype_name(self._values)}, {_shown('indices', self._indices)}, {_shown('values', self._values)})"


class SparseTensor(COOTensor):
    """MindSpore's older name of COOTensor, of any number of dimensions."""

    _ranks = ()

    def __init__(self, indices, values, shape):
        if not isinstance(indices, Tensor) or not isinstance(values, Tensor) or not isinstance(shape, tuple):
            raise _errors.TypeError("SparseTensor: takes Tensors of indices and values and a tuple of ints")
        super().__init__(indices, values, shape)


class CSRTensor(_Sparse):
    """Rows one after the other: row i holds values[indptr[i]:indptr[i + 1]] in the columns `indices` says.

    A matrix, or one of values [k, ...] for further dimensions. CSRTensor(csr_tensor=x) is x again. TypeError for other types,
    ValueError where the parts do not fit.
    """

    _tree_fields = ("indptr", "indices", "values", "shape")

    def __init__(self, indptr=None, indices=None, values=None, shape=None, csr_tensor=None):
        if csr_tensor is not None:
            if not isinstance(csr_tensor, CSRTensor):
                raise _errors.TypeError(f"CSRTensor: csr_tensor is a CSRTensor, got {type(csr_tensor).__name__}")
            if indptr is not None or indices is not None or values is not None or shape is not None:
                raise _errors.TypeError("CSRTensor: csr_tensor goes without indptr, indices, values and shape")
            indptr, indices, values, shape = csr_tensor.to_tuple()
        _check_parts("CSRTensor", shape, values, indptr=indptr, indices=indices)
        if not indptr.shape == indices.shape == values.shape == (0,):
            if indptr.ndim != 1 or indices.ndim != 1:
                raise _errors.ValueError(f"CSRTensor: indptr and indices have one dimension, got {indptr.shape} and {indices.shape}")
            if indptr.shape[0] != shape[0] + 1:
                raise _errors.ValueError(f"CSRTensor: {shape[0]} rows have {shape[0] + 1} numbers in indptr, got {indptr.shape[0]}")
            if indices.shape[0] != values.shape[0] or len(shape) != values.ndim + 1 or values.shape[1:] != shape[2:]:
                raise _errors.ValueError(f"CSRTensor: indices {indices.shape} and values {values.shape} do not fit the shape {shape}")
        self._indptr, self._indices, self._values, self._shape = indptr, indices, values, shape

    @property
    def indptr(self):
        """Where each row begins and the last one ends."""
        return self._indptr

    @property
    def indices(self):
        """The column of each value."""
        return self._indices

    def with_values(self, values):
        """Other values at the same places."""
        made = object.__new__(CSRTensor)
        made._indptr, made._indices, made._values, made._shape = self._indptr, self._indices, values, self._shape
        return made

    def to_tuple(self):
        """(indptr, indices, values, shape)"""
        return self._indptr, self._indices, self._values, self._shape

    def to_coo(self):
        """The same as coordinates; of matrices."""
        return _functions().csr_to_coo(self)

    def to_dense(self):
        """The whole matrix, with zeros."""
        return _functions().csr_to_dense(self)

    def mv(self, dense_vector):
        """The product with a column [n, 1]."""
        return _functions().csr_mv(self, dense_vector)

    def mm(self, matrix):
        """The product with a matrix: a Tensor, or sparse with another CSRTensor."""
        if isinstance(matrix, CSRTensor):
            return _functions().csr_mm(self, matrix)
        return _functions()._csr_dense(self, matrix)

    def sum(self, axis):
        """The sums of rows (axis 1), [rows, 1]."""
        return _functions().csr_reduce_sum(self, axis)

    def add(self, b, alpha, beta):
        """alpha * this + beta * b"""
        return _functions().csr_add(self, b, alpha, beta)

    def __add__(self, other):
        self._same_csr(other)
        return _functions()._csr_sum(self, other, 1, 1)

    def __sub__(self, other):
        self._same_csr(other)
        return _functions()._csr_sum(self, other, 1, -1)

    def _same_csr(self, other):
        self._same_shape(other)
        if not isinstance(other, CSRTensor):
            raise _errors.TypeError(f"CSRTensor: is added to a CSRTensor, not to a {type(other).__name__}")

    def __mul__(self, other):
        return _functions().csr_mul(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return _functions().csr_div(self, other)

    def __repr__(self):
        return (f"CSRTensor(shape={list(self._shape)}, dtype={_dtype_name(self._values)}, {_shown('indptr', self._indptr)}, "
                f"{_shown('indices', self._indices)}, {_shown('values', self._values)})")


class RowTensorInner(_Sparse):
    """Rows `values` [k, ...] at the places `indices` [k] of a tensor whose other rows are zero."""

    _tree_fields = ("indices", "values", "shape")

    def __init__(self, indices=None, values=None, shape=None, row_tensor=None):
        if row_tensor is not None:
            if not isinstance(row_tensor, RowTensorInner):
                raise _errors.TypeError(f"RowTensor: row_tensor is a RowTensor, got {type(row_tensor).__name__}")
            if indices is not None or values is not None or shape is not None:
                raise _errors.TypeError("RowTensor: row_tensor goes without indices, values and shape")
            indices, values, shape = row_tensor.indices, row_tensor.values, row_tensor.dense_shape
        _check_parts("RowTensor", shape, values, indices=indices)
        if indices.ndim != 1 or values.ndim != len(shape) or values.shape[0] != indices.shape[0] or values.shape[1:] != shape[1:]:
            raise _errors.ValueError(f"RowTensor: indices {indices.shape} and values {values.shape} do not fit the shape {shape}")
        self._indices, self._values, self._shape = indices, values, shape

    @property
    def indices(self):
        """Where the rows stand."""
        return self._indices

    @property
    def dense_shape(self):
        """The shape as if dense."""
        return self._shape

    def with_values(self, values):
        """Other values at the same places."""
        return RowTensor(self._indices, values, self._shape)

    def to_dense(self):
        """The whole tensor, with zeros; rows that stand twice add up."""
        return _functions()._dense(self._indices.reshape(-1, 1), self._values, self._shape)

    def __repr__(self):
        return f"RowTensor(shape={list(self._shape)}, dtype={_dtype_name(self._values)}, {_shown('indices', self._indices)}, {_shown('values', self._values)})"


class RowTensor(RowTensorInner):
    """Rows `values` [k, ...] at the places `indices` [k] of a tensor whose other rows are zero."""
