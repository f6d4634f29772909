# SPDX-License-Identifier: Apache-2.0
"""Pools of signals and volumes, and random ones, by MindSpore's names and defaults."""

from rutile import _rutile
from rutile import ops
from rutile.nn.cell import Cell
from rutile.nn.layer import _positive
from rutile.ops import table

_errors = _rutile.errors

__all__ = ["AdaptiveAvgPool1d", "AvgPool1d", "AvgPool3d", "FractionalMaxPool2d", "FractionalMaxPool3d", "MaxPool1d",
           "MaxPool3d"]


def _many(v, n):
    return (v,) * n if isinstance(v, int) else tuple(v)


class _Pool(Cell):
    """Pools over the last `_n` dimensions; one dimension is a row of two."""

    _n = 3

    def _setup(self, kernel_size, stride, pad_mode, padding, ceil_mode):
        name, n = type(self).__name__, self._n
        if not isinstance(pad_mode, str):
            raise _errors.TypeError(f"[{name}] pad_mode must be a str, got {type(pad_mode).__name__}")
        self.pad_mode = pad_mode.lower()
        if self.pad_mode not in ("same", "valid", "pad"):
            raise _errors.ValueError(f"[{name}] pad_mode is 'same', 'valid' or 'pad', got {pad_mode!r}")
        self.kernel_size, self.stride, pads = _many(kernel_size, n), _many(stride, n), _many(padding, n)
        pads = pads * n if len(pads) == 1 else pads
        _positive(name, kernel_size=self.kernel_size, stride=self.stride)
        if len(self.kernel_size) != n or len(self.stride) != n or len(pads) != n or any(p < 0 for p in pads):
            raise _errors.ValueError(f"[{name}] kernel_size, stride and padding are an int or {n} of them, got "
                                     f"{kernel_size}, {stride} and {padding}")
        if self.pad_mode != "pad" and any(pads):
            raise _errors.ValueError(f"[{name}] padding {padding} goes with pad_mode='pad', not {pad_mode!r}")
        self.padding, self.ceil_mode = pads, bool(ceil_mode)

    def _batched(self, x, pool):
        """pool of x with a batch dimension, taken away again where x has none."""
        name, n = type(self).__name__, self._n
        if x.ndim not in (n + 1, n + 2):
            raise _errors.ValueError(f"[{name}] expects {n + 1} or {n + 2} dimensions, got {x.shape}")
        if x.ndim == n + 2:
            return pool(x)
        y = pool(x.expand_dims(0))
        return tuple(t[0] for t in y) if isinstance(y, tuple) else y[0]

    def _pads(self, x):
        """(before, after) of each spatial dimension."""
        if self.pad_mode != "same":
            return self.padding, self.padding
        total = [max((-(-size // s) - 1) * s + k - size, 0)
                 for size, k, s in zip(x.shape[2:], self.kernel_size, self.stride)]
        return tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)

    def extend_repr(self):
        one = (lambda v: v[0]) if self._n == 1 else (lambda v: v)
        return f"kernel_size={one(self.kernel_size)}, stride={one(self.stride)}, pad_mode={self.pad_mode.upper()}"


def _padded(x, before, after, value=0.0):
    return table.pad(x, before=(0, 0, *before), after=(0, 0, *after), value=value)


class _MaxPool(_Pool):
    def __init__(self, kernel_size=1, stride=1, pad_mode="valid", padding=0, dilation=1, return_indices=False,
                 ceil_mode=False):
        super().__init__()
        self._setup(kernel_size, stride, pad_mode, padding, ceil_mode)
        self.dilation, self.return_indices = _many(dilation, self._n), bool(return_indices)
        self.dilation = self.dilation * self._n if len(self.dilation) == 1 else self.dilation
        name = type(self).__name__
        _positive(name, dilation=self.dilation)
        if self.pad_mode != "pad" and (self.return_indices or any(d != 1 for d in self.dilation)):
            raise _errors.ValueError(f"[{name}] dilation and return_indices go with pad_mode='pad', not {pad_mode!r}")

    def construct(self, x):
        return self._batched(x, self._pool)

    def _pool(self, x):
        before, after = self._pads(x)
        if before != after:
            x, before = _padded(x, before, after, float("-inf")), (0,) * self._n
        if self._n == 1:
            y, at = table.max_pool1d(x, kernel=self.kernel_size[0], stride=self.stride[0], pad=before[0],
                                     dilation=self.dilation[0], ceil_mode=self.ceil_mode)
        else:
            y, at = table.max_pool3d(x, kernel=self.kernel_size, stride=self.stride, pad=before, dilation=self.dilation,
                                     ceil_mode=self.ceil_mode)
        return (y, at.cast("int64")) if self.return_indices else y


class MaxPool1d(_MaxPool):
    """The largest of each window of [n, c, l] or [c, l]; the stride is 1 unless given.

    >>> import rutile
    >>> from rutile import nn
    >>> nn.MaxPool1d(2, 2)(rutile.Tensor([[[1.0, 3.0, 2.0, 0.0]]])).asnumpy().tolist()
    [[[3.0, 2.0]]]
    """

    _n = 1


class MaxPool3d(_MaxPool):
    """The largest of each window of [n, c, d, h, w] or [c, d, h, w]; the stride is 1 unless given."""


class _AvgPool(_Pool):
    def _init(self, kernel_size, stride, pad_mode, padding, ceil_mode, count_include_pad, divisor_override):
        self._setup(kernel_size, stride, pad_mode, padding, ceil_mode)
        if divisor_override is not None and divisor_override <= 0:
            raise _errors.ValueError(f"[{type(self).__name__}] divisor_override must be positive, got {divisor_override}")
        self.count_include_pad, self.divisor_override = bool(count_include_pad), divisor_override

    def construct(self, x):
        return self._batched(x, self._pool)

    def _op(self, x, pad, include, divisor):
        if self._n == 1:
            return table.avg_pool1d(x, kernel=self.kernel_size[0], stride=self.stride[0], pad=pad[0],
                                    ceil_mode=self.ceil_mode, count_include_pad=include)
        return table.avg_pool3d(x, kernel=self.kernel_size, stride=self.stride, pad=pad, ceil_mode=self.ceil_mode,
                                count_include_pad=include, divisor_override=divisor)

    def _pool(self, x):
        before, after = self._pads(x)
        divisor = self.divisor_override or 0
        # One dimension counts what "same" adds no more than two do; three do.
        include = self.count_include_pad and (self.pad_mode == "pad" or self._n == 3)
        if before == after:
            return self._op(x, before, include, divisor)
        none = (0,) * self._n
        padded = self._op(_padded(x, before, after), none, True, divisor)
        if divisor or include:
            return padded
        inside = _padded(ops.ones((1, 1, *x.shape[2:]), x.dtype), before, after)
        return padded / self._op(inside, none, True, 0)


class AvgPool1d(_AvgPool):
    """The mean of each window of [n, c, l] or [c, l]; the stride is 1 unless given."""

    _n = 1

    def __init__(self, kernel_size=1, stride=1, pad_mode="valid", padding=0, ceil_mode=False, count_include_pad=True):
        super().__init__()
        self._init(kernel_size, stride, pad_mode, padding, ceil_mode, count_include_pad, None)


class AvgPool3d(_AvgPool):
    """The mean of each window of [n, c, d, h, w] or [c, d, h, w]; the stride is 1 unless given."""

    def __init__(self, kernel_size=1, stride=1, pad_mode="valid", padding=0, ceil_mode=False, count_include_pad=True,
                 divisor_override=None):
        super().__init__()
        self._init(kernel_size, stride, pad_mode, padding, ceil_mode, count_include_pad, divisor_override)


class AdaptiveAvgPool1d(Cell):
    """Means of [n, c, l] over as many windows as the output has."""

    def __init__(self, output_size):
        super().__init__()
        _positive("AdaptiveAvgPool1d", output_size=output_size)
        self.output_size = output_size

    def construct(self, input):
        return table.adaptive_avg_pool1d(input, output_size=self.output_size)

    def extend_repr(self):
        return f"output_size={self.output_size}"


class _FractionalMaxPool(Cell):
    """Graham, 2014: windows of one size at places that a random number u in [0, 1) picks, the same for an image.

    Place i of an axis of n with m outputs is floor((i + u) a) - floor(u a), a = (n - kernel) / (m - 1), the last one n -
    kernel. _random_samples [n, c, axes] gives the numbers; without they are drawn at each call.
    """

    _n = 2

    def __init__(self, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
        super().__init__()
        name = type(self).__name__
        if output_size is None and output_ratio is None:
            raise _errors.ValueError(f"[{name}] needs output_size or output_ratio")
        self.kernel_size = _many(kernel_size, self._n)
        self.output_size = output_size if output_size is None else _many(output_size, self._n)
        ratio = (output_ratio,) * self._n if isinstance(output_ratio, float) else output_ratio
        if ratio is not None and not all(0 < r < 1 for r in ratio):
            raise _errors.ValueError(f"[{name}] output_ratio must be in (0, 1), got {output_ratio}")
        self.output_ratio, self.return_indices, self._random_samples = ratio, bool(return_indices), _random_samples
        _positive(name, kernel_size=self.kernel_size)

    def construct(self, input):
        if input.ndim == self._n + 1:
            y = self.construct(input.expand_dims(0))
            return tuple(t[0] for t in y) if isinstance(y, tuple) else y[0]
        if input.ndim != self._n + 2:
            raise _errors.ValueError(f"[{type(self).__name__}] expects {self._n + 1} or {self._n + 2} dimensions, got "
                                     f"{input.shape}")
        sizes = input.shape[2:]
        outputs = self.output_size or tuple(int(s * r) for s, r in zip(sizes, self.output_ratio))
        for s, k, m in zip(sizes, self.kernel_size, outputs):
            if m < 1 or m + k - 1 > s:
                raise _errors.ValueError(f"[{type(self).__name__}] {m} windows of {k} do not fit a size of {s}")
        samples = self._random_samples
        if samples is None:
            samples = table.random_uniform((*input.shape[:2], self._n), 0.0, 1.0, "float32")
        return self._pool(input, samples.cast("float32"), sizes, outputs)

    def _places(self, u, size, kernel, count):
        """[n, c, count * kernel]: which elements of an axis each window has."""
        i = table.arange(0, count).cast("float32").reshape(1, 1, count)
        if count > 1:
            a = (size - kernel) / (count - 1)
            start = table.floor((i + u) * a) - table.floor(u * a)
            start = table.where(i == count - 1, float(size - kernel) + start * 0.0, start)
        else:
            start = u * 0.0 + float(size - kernel)
        within = table.arange(0, kernel).reshape(1, 1, 1, kernel)
        return (start.cast("int64").expand_dims(3) + within).reshape(*start.shape[:2], count * kernel)

    def _pool(self, x, samples, sizes, outputs):
        n, c = x.shape[:2]
        flat = None
        for axis, (size, k, m) in enumerate(zip(sizes, self.kernel_size, outputs)):
            # Of images the numbers stand for the last axis first.
            number = axis if self._n == 3 else 1 - axis
            at = self._places(samples[:, :, number:number + 1], size, k, m)
            at = at.reshape((n, c) + (1,) * axis + (m * k,) + (1,) * (self._n - 1 - axis))
            flat = at if flat is None else flat * size + at
        taken = tuple(m * k for m, k in zip(outputs, self.kernel_size))
        flat = table.broadcast_to(flat, (n, c, *taken))
        windows = tuple(v for m, k in zip(outputs, self.kernel_size) for v in (m, k))
        order = (0, 1, *(2 + 2 * i for i in range(self._n)), *(3 + 2 * i for i in range(self._n)))
        flat = table.transpose(flat.reshape((n, c, *windows)), order).reshape((n, c, *outputs, -1))
        values = table.take_along_axis(x.reshape(n, c, -1), flat.reshape(n, c, -1), axis=2).reshape(flat.shape)
        if not self.return_indices:
            return table.max(values, (values.ndim - 1,))
        best = table.argmax(values, -1).cast("int64").expand_dims(values.ndim - 1)
        return (table.take_along_axis(values, best, axis=-1).squeeze(-1),
                table.take_along_axis(flat, best, axis=-1).squeeze(-1))

    def extend_repr(self):
        return f"kernel_size={self.kernel_size}, output_size={self.output_size}, output_ratio={self.output_ratio}"


class FractionalMaxPool2d(_FractionalMaxPool):
    __doc__ = "Windows of [n, c, h, w] or [c, h, w]. " + (_FractionalMaxPool.__doc__ or "")


class FractionalMaxPool3d(_FractionalMaxPool):
    __doc__ = "Windows of [n, c, d, h, w] or [c, d, h, w]. " + (_FractionalMaxPool.__doc__ or "")

    _n = 3
