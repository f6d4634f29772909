# SPDX-License-Identifier: Apache-2.0
"""Functions as Cells, by MindSpore's names of 1.x."""

import math as _math

from rutile import _rutile
from rutile import ops
from rutile._rutile import Tensor
from rutile.nn.cell import Cell
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["ClipByNorm", "DiGamma", "IGamma", "L1Regularizer", "LBeta", "LGamma", "MatDet", "MatInverse", "MatMul",
           "MatrixDiag", "MatrixDiagPart", "MatrixSetDiag", "Moments", "Norm", "OneHot", "Range", "ReduceLogSumExp", "Roll",
           "Unflatten", "Unfold"]


def _axes(axis):
    return (axis,) if isinstance(axis, int) else tuple(axis or ())


class ReduceLogSumExp(Cell):
    """log(sum(exp(x))) over axes."""

    def __init__(self, axis, keep_dims=False):
        super().__init__()
        if isinstance(axis, bool) or not isinstance(axis, (int, list, tuple)):
            raise _errors.TypeError(f"[ReduceLogSumExp] axis must be an int or a tuple, got {type(axis).__name__}")
        if not isinstance(keep_dims, bool):
            raise _errors.TypeError(f"[ReduceLogSumExp] keep_dims must be a bool, got {type(keep_dims).__name__}")
        self.axis, self.keep_dims = axis, keep_dims

    def construct(self, x):
        return table.logsumexp(x, _axes(self.axis), self.keep_dims)


class Range(Cell):
    """start, start + delta, ... below limit, int32 or float32; with one number from zero on."""

    def __init__(self, start, limit=None, delta=1):
        super().__init__()
        if delta == 0:
            raise _errors.ValueError("[Range] delta must not be zero")
        start, limit = (0, start) if limit is None else (start, limit)
        floating = any(isinstance(v, float) for v in (start, limit, delta))
        count = max(_math.ceil((limit - start) / delta), 0)
        self.result = Tensor([start + i * delta for i in range(count)], "float32" if floating else "int32")

    def construct(self):
        return self.result


class Moments(Cell):
    """(mean, variance) over axes."""

    def __init__(self, axis=None, keep_dims=None):
        super().__init__()
        if axis is not None and not isinstance(axis, (int, tuple)):
            raise _errors.TypeError(f"[Moments] axis must be an int or a tuple, got {type(axis).__name__}")
        if keep_dims is not None and not isinstance(keep_dims, bool):
            raise _errors.TypeError(f"[Moments] keep_dims must be a bool, got {type(keep_dims).__name__}")
        self.axis, self.keep_dims = axis, bool(keep_dims)

    def construct(self, x):
        if not x.dtype.name.startswith(("float", "bfloat")):
            raise _errors.TypeError(f"[Moments] x must be floating, got {x.dtype}")
        axes, low = _axes(self.axis), x.dtype.name in ("float16", "bfloat16")
        wide = x.cast("float32") if low else x
        mean = table.mean(wide, axes, True)
        variance = table.mean(table.square(wide - mean), axes, self.keep_dims)
        mean = mean if self.keep_dims else mean.reshape(variance.shape)
        return mean.cast(x.dtype), variance.cast(x.dtype)


class LGamma(Cell):
    """log(|gamma(x)|)"""

    def construct(self, x):
        return table.lgamma(x)


class DiGamma(Cell):
    """The derivative of lgamma."""

    def construct(self, x):
        return table.digamma(x)


class LBeta(Cell):
    """log(beta(x, y)) = lgamma(x) + lgamma(y) - lgamma(x + y)"""

    def construct(self, x, y):
        return table.lgamma(x) + table.lgamma(y) - table.lgamma(x + y)


class IGamma(Cell):
    """The lower incomplete gamma function of (a, x), divided by gamma(a).

    Below a + 1 its series, above the continued fraction of the upper one, 200 terms each; differentiable by x.
    """

    def construct(self, a, x):
        shape = (a + x).shape
        a, x = table.broadcast_to(a, shape), table.broadcast_to(x, shape)
        safe = table.where(x > 0, x, x * 0.0 + 1.0)
        factor = table.exp(a * table.log(safe) - safe - table.lgamma(a))
        by_series = safe < a + 1.0
        low, high = table.where(by_series, safe, a), table.where(by_series, a + 2.0, safe)

        def more(i, carry):
            term, total = carry
            term = term * low / (a + (i + 1).cast(a.dtype))
            return term, total + term

        first = 1.0 / a
        lower = ops.fori_loop(0, 200, more, (first, first))[1] * factor

        def fraction(i, carry):
            # Lentz's method; the terms are i (a - i) / (x + 2 i + 1 - a).
            b, c, d, h = carry
            n = (i + 1).cast(a.dtype)
            b, up = b + 2.0, n * (a - n)
            d = 1.0 / (up * d + b)
            c = b + up / c
            return b, c, d, h * c * d

        b = high + 1.0 - a
        upper = ops.fori_loop(0, 200, fraction, (b, b * 0.0 + 1e30, 1.0 / b, 1.0 / b))[3] * factor
        y = table.where(by_series, lower, 1.0 - upper)
        y = table.where(x == 0, y * 0.0, y)
        wrong = table.logical_or(x < 0, a < 0)
        return table.where(wrong, table.full(shape, float("nan"), a.dtype.name), y)


class MatMul(Cell):
    """The matrix product of x1 and x2, either transposed first; leading dimensions broadcast."""

    def __init__(self, transpose_x1=False, transpose_x2=False):
        super().__init__()
        for key, v in (("transpose_x1", transpose_x1), ("transpose_x2", transpose_x2)):
            if not isinstance(v, bool):
                raise _errors.TypeError(f"[MatMul] {key} must be a bool, got {type(v).__name__}")
        self.transpose_x1, self.transpose_x2 = transpose_x1, transpose_x2

    def construct(self, x1, x2):
        x1 = x1.swapaxes(-1, -2) if self.transpose_x1 and x1.ndim > 1 else x1
        x2 = x2.swapaxes(-1, -2) if self.transpose_x2 and x2.ndim > 1 else x2
        return ops.matmul(x1, x2)


class MatInverse(Cell):
    """The inverse of positive definite matrices."""

    def construct(self, a):
        return table.inverse(a)


class MatDet(Cell):
    """The determinant of positive definite matrices."""

    def construct(self, a):
        return table.det(a)


class MatrixDiag(Cell):
    """Matrices [..., n, n] with x [..., n] on their diagonals."""

    def construct(self, input_x):
        return table.diag_embed(input_x)


class MatrixDiagPart(Cell):
    """The diagonals [..., min(m, n)] of matrices [..., m, n]."""

    def construct(self, input_x):
        return table.diagonal(input_x, offset=0, axis1=-2, axis2=-1)


class MatrixSetDiag(Cell):
    """Matrices [..., m, n] with other diagonals [..., min(m, n)]."""

    def construct(self, input_x, diagonal):
        m, n = input_x.shape[-2:]
        if diagonal.shape != (*input_x.shape[:-2], min(m, n)):
            raise _errors.ValueError(f"[MatrixSetDiag] diagonals of {input_x.shape} have the shape "
                                     f"{(*input_x.shape[:-2], min(m, n))}, got {diagonal.shape}")
        placed = table.diag_embed(diagonal)
        rest = (0,) * (input_x.ndim - 2)
        placed = table.pad(placed, before=(0,) * input_x.ndim, after=(*rest, m - min(m, n), n - min(m, n)))
        return table.where(table.eye(m, n).cast("bool"), placed, input_x)


class ClipByNorm(Cell):
    """x * clip_norm / max(|x|, clip_norm), the norm over `axis` (all unless given)."""

    def __init__(self, axis=None):
        super().__init__()
        if axis is not None and (isinstance(axis, bool) or not isinstance(axis, (int, tuple))):
            raise _errors.TypeError(f"[ClipByNorm] axis must be an int or a tuple, got {type(axis).__name__}")
        self.axis = axis

    def construct(self, x, clip_norm):
        clip_norm = clip_norm if isinstance(clip_norm, Tensor) else Tensor(float(clip_norm), "float32")
        wide = x.cast("float32")
        norm = table.norm(wide, _axes(self.axis), True)
        return (wide * clip_norm / table.maximum(norm, clip_norm)).cast(x.dtype)


class Norm(Cell):
    """The Euclidean norm over axes."""

    def __init__(self, axis=(), keep_dims=False):
        super().__init__()
        if not isinstance(keep_dims, bool):
            raise _errors.TypeError(f"[Norm] keep_dims must be a bool, got {type(keep_dims).__name__}")
        if isinstance(axis, str):
            raise _errors.TypeError(f"[Norm] axis is an int or a tuple of them, got {axis!r}")
        self.axis, self.keep_dims = axis, keep_dims

    def construct(self, x):
        return table.norm(x, _axes(self.axis), self.keep_dims)

    def extend_repr(self):
        return f"axis={self.axis}, keep_dims={self.keep_dims}"


class OneHot(Cell):
    """on_value where a new dimension's place is the index, off_value elsewhere."""

    def __init__(self, axis=-1, depth=1, on_value=1.0, off_value=0.0, dtype="float32"):
        super().__init__()
        self.axis, self.depth, self.on_value, self.off_value, self.dtype = axis, depth, on_value, off_value, dtype

    def construct(self, indices):
        return ops.one_hot(indices, self.depth, Tensor(self.on_value, self.dtype), Tensor(self.off_value, self.dtype),
                           self.axis)


class Roll(Cell):
    """Elements moved round along axes, all by their shifts."""

    def __init__(self, shift, axis):
        super().__init__()
        for key, v in (("shift", shift), ("axis", axis)):
            if isinstance(v, bool) or not isinstance(v, (int, tuple, list)):
                raise _errors.TypeError(f"[Roll] {key} must be an int or a tuple, got {type(v).__name__}")
        self.shift, self.axis = _axes(shift) or (0,), _axes(axis)
        if len(self.shift) != len(self.axis):
            raise _errors.ValueError(f"[Roll] {len(self.shift)} shifts do not fit {len(self.axis)} axes")

    def construct(self, input_x):
        return table.roll(input_x, self.shift, self.axis)


class Unflatten(Cell):
    """Dimension `axis` as several of the sizes given, one of which may be -1."""

    def __init__(self, axis, unflattened_size):
        super().__init__()
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise _errors.TypeError(f"[Unflatten] axis must be an int, got {type(axis).__name__}")
        if not isinstance(unflattened_size, (tuple, list)):
            raise _errors.TypeError(f"[Unflatten] unflattened_size must be a tuple, got {type(unflattened_size).__name__}")
        self.axis, self.unflattened_size = axis, tuple(unflattened_size)

    def construct(self, input_x):
        if not -input_x.ndim <= self.axis < input_x.ndim:
            raise _errors.ValueError(f"[Unflatten] axis {self.axis} is out of range for {input_x.shape}")
        at = self.axis % input_x.ndim
        return input_x.reshape((*input_x.shape[:at], *self.unflattened_size, *input_x.shape[at + 1:]))


class Unfold(Cell):
    """Windows of images [n, c, h, w] as channels [n, kh * kw * c, rows, columns], those of one place of the window together.

    ksizes, strides and rates are (1, row, column, 1); padding is "valid" or "same".
    """

    def __init__(self, ksizes, strides, rates, padding="valid"):
        super().__init__()
        for key, v in (("ksizes", ksizes), ("strides", strides), ("rates", rates)):
            if not isinstance(v, (tuple, list)):
                raise _errors.TypeError(f"[Unfold] {key} must be a tuple, got {type(v).__name__}")
            if len(v) != 4 or v[0] != 1 or v[3] != 1 or not all(isinstance(n, int) and n > 0 for n in v):
                raise _errors.ValueError(f"[Unfold] {key} is (1, row, column, 1), got {v}")
        if padding.lower() not in ("valid", "same"):
            raise _errors.ValueError(f"[Unfold] padding is 'valid' or 'same', got {padding!r}")
        self.padding = padding
        self.ksizes, self.strides, self.rates = tuple(ksizes[1:3]), tuple(strides[1:3]), tuple(rates[1:3])

    def construct(self, input_x):
        n, c = input_x.shape[:2]
        field = [r * (k - 1) + 1 for k, r in zip(self.ksizes, self.rates)]
        if self.padding.lower() == "same":
            total = [max((-(-size // s) - 1) * s + f - size, 0)
                     for size, f, s in zip(input_x.shape[2:], field, self.strides)]
            input_x = table.pad(input_x, before=(0, 0, *(t // 2 for t in total)),
                                after=(0, 0, *(t - t // 2 for t in total)))
        rows, columns = ((size - f) // s + 1 for size, f, s in zip(input_x.shape[2:], field, self.strides))
        y = table.unfold(input_x, kernel=self.ksizes, dilation=self.rates, pad=(0, 0), stride=self.strides)
        y = y.reshape(n, c, -1, rows, columns).swapaxes(1, 2)
        return y.reshape(n, -1, rows, columns)


class L1Regularizer(Cell):
    """scale * sum(|weights|)"""

    def __init__(self, scale):
        super().__init__()
        if isinstance(scale, bool) or not isinstance(scale, (int, float)):
            raise _errors.TypeError(f"[L1Regularizer] scale must be a number, got {type(scale).__name__}")
        if not 0 < scale < float("inf"):
            raise _errors.ValueError(f"[L1Regularizer] scale must be positive and finite, got {scale}")
        self.scale = scale

    def construct(self, weights):
        return table.sum(table.abs(weights.cast("float32"))) * self.scale
