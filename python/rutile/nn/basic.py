# SPDX-License-Identifier: Apache-2.0
"""Dense layers of two inputs, embeddings, activations and the layers with the arguments of mint.nn."""

import math as _math

from rutile import _rutile
from rutile import ops
from rutile._rutile import Parameter, Tensor
from rutile.common.initializer import HeUniform, Normal, Uniform, initializer
from rutile.nn.cell import Cell
from rutile.nn.activation import _ACTIVATIONS
from rutile.nn.layer import _bias, _positive
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["AvgPool1dExt", "AvgPool2dExt", "AvgPool3dExt", "BiDense", "Dropout2dExt", "DropoutExt", "EmbeddingExt",
           "EmbeddingLookup", "FastGelu", "Linear", "LogSoftmaxExt", "MaxPool2dExt", "MultiFieldEmbeddingLookup", "PReLUExt",
           "RReLU", "Softmax2d", "SparseTensorDenseMatmul", "SparseToDense"]


class Linear(Cell):
    """y = x @ weight.T + bias, weight [out_features, in_features]."""

    def __init__(self, in_features, out_features, bias=True, weight_init=None, bias_init=None, dtype=None):
        super().__init__()
        _positive("Linear", in_features=in_features, out_features=out_features)
        if not isinstance(bias, bool):
            raise _errors.TypeError(f"[Linear] bias must be a bool, got {type(bias).__name__}")
        dtype = "float32" if dtype is None else dtype
        self.in_features, self.out_features, self.has_bias = in_features, out_features, bias
        weight_init = HeUniform(_math.sqrt(5)) if weight_init is None else weight_init
        self.weight = Parameter(initializer(weight_init, (out_features, in_features), dtype))
        self.bias = _bias(bias_init, in_features, (out_features,), dtype) if bias else None

    def construct(self, x):
        return table.linear(x, self.weight, self.bias)

    def extend_repr(self):
        return f"input_features={self.in_features}, output_features={self.out_features}, has_bias={self.has_bias}"


class BiDense(Cell):
    """y[..., k] = input1 @ weight[k] @ input2 + bias[k], weight [out_channels, in1_channels, in2_channels]."""

    def __init__(self, in1_channels, in2_channels, out_channels, weight_init=None, bias_init=None, has_bias=True,
                 dtype="float32"):
        super().__init__()
        _positive("BiDense", in1_channels=in1_channels, in2_channels=in2_channels, out_channels=out_channels)
        self.in1_channels, self.in2_channels, self.out_channels = in1_channels, in2_channels, out_channels
        self.has_bias = has_bias
        bound = Uniform(1 / _math.sqrt(in1_channels))
        self.weight = Parameter(initializer(bound if weight_init is None else weight_init,
                                            (out_channels, in1_channels, in2_channels), dtype))
        self.bias = Parameter(initializer(bound if bias_init is None else bias_init, (out_channels,), dtype)) if has_bias else None

    def construct(self, input1, input2):
        if input1.shape[:-1] != input2.shape[:-1] or input1.shape[-1] != self.in1_channels or (
                input2.shape[-1] != self.in2_channels):
            raise _errors.ValueError(f"[BiDense] expects [..., {self.in1_channels}] and [..., {self.in2_channels}], got "
                                     f"{input1.shape} and {input2.shape}")
        a, b = input1.reshape(-1, self.in1_channels), input2.reshape(-1, self.in2_channels)
        # [n, in1] x [in1, out * in2], then each row's products with its second input.
        weight = table.transpose(self.weight, (1, 0, 2)).reshape(self.in1_channels, -1)
        y = table.matmul(a, weight).reshape(-1, self.out_channels, self.in2_channels)
        y = table.matmul(y, b.expand_dims(2)).squeeze(2)
        y = y if self.bias is None else y + self.bias
        return y.reshape((*input1.shape[:-1], self.out_channels))

    def extend_repr(self):
        return (f"in1_channels={self.in1_channels}, in2_channels={self.in2_channels}, output_channels={self.out_channels}"
                + (f", has_bias={self.has_bias}" if self.has_bias else ""))


class EmbeddingExt(Cell):
    """Rows of weight [num_embeddings, embedding_dim], which starts normal with deviation 1 and zero at padding_idx."""

    def __init__(self, num_embeddings, embedding_dim, padding_idx=None, max_norm=None, norm_type=2.0,
                 scale_grad_by_freq=False, sparse=False, _weight=None, _freeze=False, dtype=None):
        super().__init__()
        _positive("EmbeddingExt", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if sparse:
            raise _errors.ValueError("[EmbeddingExt] sparse gradients are not supported")
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise _errors.ValueError(f"[EmbeddingExt] padding_idx {padding_idx} is out of range for {num_embeddings} rows")
        self.num_embeddings, self.embedding_dim, self.max_norm = num_embeddings, embedding_dim, max_norm
        self.norm_type, self.scale_grad_by_freq = norm_type, scale_grad_by_freq
        self.padding_idx = padding_idx if padding_idx is None else padding_idx % num_embeddings
        shape = (num_embeddings, embedding_dim)
        if _weight is None:
            _weight = initializer(Normal(1.0, 0.0), shape, "float32" if dtype is None else dtype)
            if self.padding_idx is not None:
                keep = (table.arange(0, num_embeddings) != self.padding_idx).reshape(-1, 1)
                _weight = _weight * keep.cast(_weight.dtype)
        elif _weight.shape != shape:
            raise _errors.ValueError(f"[EmbeddingExt] _weight must have the shape {shape}, got {_weight.shape}")
        self.weight = Parameter(_weight, requires_grad=not _freeze)

    def construct(self, input):
        return ops.embedding(input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq)

    def extend_repr(self):
        return f"num_embeddings={self.num_embeddings}, embedding_dim={self.embedding_dim}, padding_idx={self.padding_idx}"


class EmbeddingLookup(Cell):
    """Rows of embedding_table [vocab_size, embedding_size]; max_norm scales longer ones down to it.

    target, slice_mode, manual_shapes and sparse say where MindSpore keeps the table; here they change nothing.
    """

    BATCH_SLICE, FIELD_SLICE = "batch_slice", "field_slice"
    TABLE_ROW_SLICE, TABLE_COLUMN_SLICE = "table_row_slice", "table_column_slice"

    def __init__(self, vocab_size, embedding_size, param_init="normal", target="CPU", slice_mode="batch_slice",
                 manual_shapes=None, max_norm=None, sparse=True, dtype="float32"):
        super().__init__()
        name = type(self).__name__
        _positive(name, vocab_size=vocab_size, embedding_size=embedding_size)
        if not isinstance(sparse, bool):
            raise _errors.TypeError(f"[{name}] sparse must be a bool, got {type(sparse).__name__}")
        if target not in ("CPU", "DEVICE"):
            raise _errors.ValueError(f"[{name}] target is 'CPU' or 'DEVICE', got {target!r}")
        if not sparse and target == "CPU":
            raise _errors.ValueError(f"[{name}] sparse must be True where target is 'CPU'")
        modes = (self.BATCH_SLICE, self.FIELD_SLICE, self.TABLE_ROW_SLICE, self.TABLE_COLUMN_SLICE)
        if slice_mode not in modes:
            raise _errors.ValueError(f"[{name}] slice_mode is one of {modes}, got {slice_mode!r}")
        if max_norm is not None and max_norm <= 0:
            raise _errors.ValueError(f"[{name}] max_norm must be positive, got {max_norm}")
        self.vocab_size, self.embedding_size, self.target, self.sparse = vocab_size, embedding_size, target, sparse
        self.max_norm = max_norm
        self.embedding_table = Parameter(initializer(param_init, (vocab_size, embedding_size), dtype))

    def _rows(self, indices):
        # Indices outside give zeros, as MindSpore's lookup on CPU does.
        inside = table.logical_and(indices >= 0, indices < self.vocab_size)
        safe = table.where(inside, indices, indices * 0)
        rows = table.gather(self.embedding_table, safe, axis=0)
        rows = rows * inside.cast(rows.dtype).expand_dims(inside.ndim)
        if self.max_norm is None:
            return rows
        norm = table.norm(rows, (rows.ndim - 1,), True)
        return rows * (self.max_norm / table.clip(norm, min=float(self.max_norm)))

    def construct(self, indices):
        return self._rows(indices)


class MultiFieldEmbeddingLookup(EmbeddingLookup):
    """Rows by input_indices [n, k] times input_values [n, k], joined by field_ids [n, k]: [n, field_size, embedding_size].

    operator: "SUM", "MEAN" (by the sum of |input_values|) or "MAX" (zero for a field without values).
    """

    OPERATOR_SUM, OPERATOR_MEAN, OPERATOR_MAX = "SUM", "MEAN", "MAX"

    def __init__(self, vocab_size, embedding_size, field_size, param_init="normal", target="CPU", slice_mode="batch_slice",
                 feature_num_list=None, max_norm=None, sparse=True, operator="SUM", dtype="float32"):
        super().__init__(vocab_size, embedding_size, param_init, target, slice_mode, feature_num_list, max_norm, sparse, dtype)
        _positive("MultiFieldEmbeddingLookup", field_size=field_size)
        if operator not in ("SUM", "MEAN", "MAX"):
            raise _errors.ValueError(f"[MultiFieldEmbeddingLookup] operator is 'SUM', 'MEAN' or 'MAX', got {operator!r}")
        self.field_size, self.operator = field_size, operator

    def construct(self, input_indices, input_values, field_ids):
        for x in (input_indices, input_values, field_ids):
            if x.ndim != 2 or x.shape != input_indices.shape:
                raise _errors.ValueError(f"[MultiFieldEmbeddingLookup] expects three inputs [n, k], got {input_indices.shape}, "
                                         f"{input_values.shape} and {field_ids.shape}")
        n = input_indices.shape[0]
        rows = self._rows(input_indices) * input_values.expand_dims(2)
        # [n, field, k]: what belongs to a field.
        fields = table.arange(0, self.field_size).cast(field_ids.dtype).reshape(1, -1, 1)
        member = fields == field_ids.expand_dims(1)
        if self.operator == "MAX":
            valid = table.logical_and(member, (input_values != 0).expand_dims(1)).expand_dims(3)
            lowest = table.full((1,), float("-inf"), rows.dtype.name)
            best = table.max(table.where(valid, rows.expand_dims(1), lowest), (2,))
            return table.where(table.any(valid, (2,)), best, table.full((1,), 0.0, rows.dtype.name))
        y = table.matmul(member.cast(rows.dtype), rows)
        if self.operator == "MEAN":
            count = table.sum(member.cast(rows.dtype) * table.abs(input_values).expand_dims(1), (2,)).expand_dims(2)
            y = table.where(count > 0, y / table.where(count > 0, count, count * 0.0 + 1.0), y * 0.0)
        return y.reshape(n, self.field_size, self.embedding_size)


class FastGelu(Cell):
    """x * sigmoid(1.702 x), a cheap gelu."""

    def construct(self, x):
        return x * table.sigmoid(x * 1.702)


class RReLU(Cell):
    """x above zero, a * x below with a random slope a of [lower, upper] for every element, in training or not."""

    def __init__(self, lower=1 / 8, upper=1 / 3):
        super().__init__()
        for key, v in (("lower", lower), ("upper", upper)):
            if isinstance(v, bool) or not isinstance(v, (int, float)):
                raise _errors.TypeError(f"[RReLU] {key} must be a number, got {type(v).__name__}")
        if lower > upper:
            raise _errors.ValueError(f"[RReLU] lower {lower} must not be above upper {upper}")
        self.lower, self.upper = float(lower), float(upper)

    def construct(self, x):
        return table.rrelu(x, self.lower, self.upper)


class Softmax2d(Cell):
    """softmax over the channels of [n, c, h, w] or [c, h, w]."""

    def construct(self, x):
        if x.ndim not in (3, 4):
            raise _errors.ValueError(f"[Softmax2d] expects 3 or 4 dimensions, got {x.shape}")
        return table.softmax(x, -3)


class LogSoftmaxExt(Cell):
    """log(softmax) along dim; unless given, 1 of two dimensions or more than three, else 0."""

    def __init__(self, dim=None):
        super().__init__()
        self.dim = dim

    def construct(self, x):
        return table.log_softmax(x, (0 if x.ndim in (0, 1, 3) else 1) if self.dim is None else self.dim)


class PReLUExt(Cell):
    """x above zero, weight * x below; one weight or one per channel."""

    def __init__(self, num_parameters=1, init=0.25, dtype=None):
        super().__init__()
        _positive("PReLUExt", num_parameters=num_parameters)
        self.weight = Parameter(initializer(float(init), (num_parameters,), "float32" if dtype is None else dtype))

    def construct(self, input):
        return ops.prelu(input, self.weight)


class DropoutExt(Cell):
    """In training: zeros with probability p, the rest divided by 1 - p."""

    def __init__(self, p=0.5, inplace=False):
        super().__init__()
        if not 0 <= p <= 1:
            raise _errors.ValueError(f"[{type(self).__name__}] p must be in [0, 1], got {p}")
        self.p, self.inplace = p, inplace

    def construct(self, input):
        if not self.training or self.p == 0:
            return input
        return input * 0.0 if self.p == 1 else ops.dropout(input, self.p, True)

    def extend_repr(self):
        return f"p={self.p}"


class Dropout2dExt(DropoutExt):
    """In training: channels of zeros with probability p, the rest divided by 1 - p."""

    def construct(self, input):
        return ops.dropout2d(input, self.p, True) if self.training and self.p else input


def _many(v, n):
    return (v,) * n if isinstance(v, int) else tuple(v) * (n if len(v) == 1 else 1)


class _AvgPoolExt(Cell):
    _n = 1

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
        super().__init__()
        self.kernel_size = _many(kernel_size, self._n)
        self.stride = self.kernel_size if stride is None else _many(stride, self._n)
        self.padding, self.ceil_mode, self.count_include_pad = _many(padding, self._n), ceil_mode, count_include_pad
        self.divisor_override = divisor_override
        _positive(type(self).__name__, kernel_size=self.kernel_size, stride=self.stride)

    def construct(self, input):
        one = (lambda v: v[0]) if self._n == 1 else (lambda v: v)
        options = {} if self._n == 1 else {"divisor_override": self.divisor_override or 0}
        op = (table.avg_pool1d, table.avg_pool2d, table.avg_pool3d)[self._n - 1]
        batched = input.ndim == self._n + 2
        y = op(input if batched else input.expand_dims(0), kernel=one(self.kernel_size), stride=one(self.stride),
               pad=one(self.padding), ceil_mode=bool(self.ceil_mode), count_include_pad=bool(self.count_include_pad), **options)
        return y if batched else y[0]

    def extend_repr(self):
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1dExt(_AvgPoolExt):
    """The mean of each window of [n, c, l]; the stride is the kernel unless given."""

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)


class AvgPool2dExt(_AvgPoolExt):
    """The mean of each window of [n, c, h, w]; the stride is the kernel unless given."""

    _n = 2


class AvgPool3dExt(_AvgPoolExt):
    """The mean of each window of [n, c, d, h, w]; the stride is the kernel unless given."""

    _n = 3


class MaxPool2dExt(Cell):
    """The largest of each window of [n, c, h, w]; the stride is the kernel unless given."""

    def __init__(self, kernel_size=1, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False):
        super().__init__()
        _positive("MaxPool2dExt", kernel_size=_many(kernel_size, 2), stride=_many(kernel_size if stride is None else stride, 2))
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.return_indices, self.ceil_mode = padding, dilation, return_indices, ceil_mode

    def construct(self, input):
        return ops.max_pool2d(input, self.kernel_size, self.stride, self.padding, self.dilation, self.return_indices,
                              self.ceil_mode)


class SparseToDense(Cell):
    """The dense tensor of one with indices [k, d], values [k] and shape; equal indices add up."""

    def construct(self, sparse_tensor):
        return ops.scatter_nd(sparse_tensor.indices, sparse_tensor.values, tuple(sparse_tensor.shape))


class SparseTensorDenseMatmul(Cell):
    """A sparse matrix (indices [k, 2], values [k], shape) times a dense one, either transposed first."""

    def __init__(self, adjoint_st=False, adjoint_dt=False):
        super().__init__()
        self.adj_st, self.adj_dt = bool(adjoint_st), bool(adjoint_dt)

    def construct(self, indices, values, sparse_shape, dense):
        rows, columns = (int(n) for n in (sparse_shape.asnumpy() if isinstance(sparse_shape, Tensor) else sparse_shape))
        dense = dense.swapaxes(0, 1) if self.adj_dt else dense
        row, column = indices[:, 0], indices[:, 1]
        if self.adj_st:
            row, column, rows, columns = column, row, columns, rows
        if dense.ndim != 2 or dense.shape[0] != columns:
            raise _errors.ValueError(f"[SparseTensorDenseMatmul] a matrix of {columns} columns does not fit {dense.shape}")
        parts = table.gather(dense, column, axis=0) * values.expand_dims(1)
        return ops.scatter_nd(row.reshape(-1, 1), parts, (rows, dense.shape[1]))


_ACTIVATIONS.update(softmax2d=Softmax2d, logsoftmaxExt=LogSoftmaxExt, rrelu=RReLU, fast_gelu=FastGelu, preluExt=PReLUExt)
