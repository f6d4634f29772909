# SPDX-License-Identifier: Apache-2.0
"""Primitives with a body of their own: convolutions, pools, matrices, random numbers, functions of Python."""

import math as _math

from rutile import _rutile
from rutile._rutile import Parameter, Tensor
from rutile._rutile import ops as _table
from rutile.ops import _checks
from rutile.ops import function as F

_errors = _rutile.errors


def _ints(v):
    return tuple(int(i) for i in v.asnumpy().reshape(-1)) if isinstance(v, Tensor) else (v,) if isinstance(v, int) else tuple(v)


def _spatial(v, n):
    """Attributes of kernels: an int, one for each spatial dimension, or one for each dimension."""
    v = (v,) * n if isinstance(v, int) else tuple(v)
    return v[-n:] if len(v) == n + 2 else v


# ---- Convolutions and pools

def _transposed(p, dy, weight, size, op, n):
    stride, dilation = _spatial(p.stride, n), _spatial(p.dilation, n)
    kernel = weight.shape[2:]
    if size is None:
        out = [(s - 1) * t + (k - 1) * d + 1 for s, t, k, d in zip(dy.shape[2:], stride, kernel, dilation)]
        if p.pad_mode.lower() == "same":
            out = [s * t for s, t in zip(dy.shape[2:], stride)]
        elif p.pad_mode.lower() == "pad":
            pad = (p.pad,) * 2 * n if isinstance(p.pad, int) else tuple(p.pad)
            extra = _spatial(getattr(p, "output_padding", 0), n)
            out = [o - pad[2 * i] - pad[2 * i + 1] + extra[i] for i, o in enumerate(out)]
    else:
        out = list(_ints(size)[2:])
    before = []
    for i in range(n):
        whole = (dy.shape[2 + i] - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1
        if p.pad_mode.lower() == "pad":
            before.append(p.pad if isinstance(p.pad, int) else tuple(p.pad)[2 * i])
        else:
            before.append(max(whole - out[i], 0) // 2)
    y = op(dy, weight, None, stride=stride, pad=(0,) * n, output_pad=(0,) * n, dilation=dilation, groups=p.group)
    after = [max(o + b - s, 0) for o, b, s in zip(out, before, y.shape[2:])]
    if any(after):
        y = _table.pad(y, before=(0,) * (n + 2), after=(0, 0, *after))
    return y[(slice(None), slice(None), *(slice(b, b + o) for b, o in zip(before, out)))]


def _pool3d(p, x, kind):
    kernel, stride = _spatial(p.kernel_size, 3), _spatial(p.strides, 3)
    mode = p.pad_mode.lower()
    pads = _spatial(getattr(p, "pad_list", getattr(p, "pad", 0)), 3) if mode == "pad" else 0
    before, after = F.spatial._pads("pool3d", x, kernel, stride, (1, 1, 1), mode, pads)
    ceil = bool(p.ceil_mode)
    if kind == "max":
        if before != after:
            lowest = float("-inf") if x.dtype.name.startswith(("float", "bfloat")) else -2 ** 31
            x, before = _table.pad(x, before=(0, 0, *before), after=(0, 0, *after), mode="constant", value=lowest), (0,) * 3
        return _table.max_pool3d(x, kernel=kernel, stride=stride, pad=before, ceil_mode=ceil)[0]
    options = {"kernel": kernel, "stride": stride, "ceil_mode": ceil, "divisor_override": p.divisor_override}
    if before == after:
        return _table.avg_pool3d(x, pad=before, count_include_pad=p.count_include_pad, **options)
    pad = {"before": (0, 0, *before), "after": (0, 0, *after)}
    if p.count_include_pad or p.divisor_override:
        return _table.avg_pool3d(_table.pad(x, **pad), **options)
    inside = _table.avg_pool3d(_table.pad(_table.full((1, 1, *x.shape[2:]), 1, x.dtype), **pad), **options)
    return _table.avg_pool3d(_table.pad(x, **pad), **options) / inside


def _pool_with_places(p, x):
    kernel, stride = _spatial(p.kernel_size, 2), _spatial(p.strides, 2)
    before, after = F._padding(x, kernel, stride, (1, 1), p.pad_mode.lower(), 0)
    if before == after:
        y, places = _table.max_pool2d(x, kernel=kernel, stride=stride, pad=before)
        return y, places.cast("int32")
    y, places = _table.max_pool2d(F._spatial_pad(x, before, after, float("-inf")), kernel=kernel, stride=stride)
    width = x.shape[3] + before[1] + after[1]
    return y, ((places // width - before[0]) * x.shape[3] + places % width - before[1]).cast("int32")


def _patches(p, x):
    """[n, c, h, w] -> [n, k * k * c, oh, ow], the place in the window first."""
    kernel, stride, rate = (tuple(v[-2:] if len(v) == 4 and v[0] == v[1] == 1 else v[1:3]) for v in (p.ksizes, p.strides, p.rates))
    before, after = F._padding(x, tuple((k - 1) * r + 1 for k, r in zip(kernel, rate)), stride, (1, 1), p.padding.lower(), 0)
    x = _table.pad(x, before=(0, 0, *before), after=(0, 0, *after)) if any(before + after) else x
    n, c = x.shape[:2]
    oh, ow = (((s - (k - 1) * r - 1) // t + 1) for s, k, r, t in zip(x.shape[2:], kernel, rate, stride))
    y = _table.unfold(x, kernel=kernel, dilation=rate, stride=stride).reshape(n, c, kernel[0] * kernel[1], oh, ow)
    return _table.transpose(y, (0, 2, 1, 3, 4)).reshape(n, -1, oh, ow)


def _dilation2d(p, x, weight):
    """The largest of x + weight over windows."""
    stride, rate = _spatial(p.stride, 2), _spatial(p.dilation, 2)
    kernel = weight.shape[1:]
    before, after = F._padding(x, tuple((k - 1) * r + 1 for k, r in zip(kernel, rate)), stride, (1, 1), p.pad_mode.lower(), 0)
    x = F._spatial_pad(x, before, after, -65504.0 if x.dtype.name == "float16" else -3.4028235e38)
    n, c = x.shape[:2]
    oh, ow = (((s - (k - 1) * r - 1) // t + 1) for s, k, r, t in zip(x.shape[2:], kernel, rate, stride))
    best = None
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            part = x[:, :, i * rate[0]:i * rate[0] + (oh - 1) * stride[0] + 1:stride[0], j * rate[1]:j * rate[1] + (ow - 1) * stride[1] + 1:stride[1]]
            part = part + weight[:, i, j].reshape(1, c, 1, 1)
            best = part if best is None else _table.maximum(best, part)
    return best


def _fractional_v1(p, x, kind):
    import numpy as np
    ratio = [float(r) for r in p.pooling_ratio]
    cuts = []
    for axis in (1, 2):
        size = x.shape[axis]
        out = int(size / ratio[axis])
        if p.pseudo_random or not p.deterministic:
            u = _table.random_uniform((1,), 0.0, 1.0).asnumpy()[0]
        else:
            u = np.random.RandomState(p.seed or 1).rand()
        alpha = size / out
        cut = np.floor(alpha * (np.arange(out + 1) + u)).astype(np.int64) - int(np.floor(alpha * u))
        cut[-1] = size
        cuts.append(cut)
    y, function = x, {"max": lambda v, a: _table.max(v, (a,), True), "avg": lambda v, a: _table.mean(v.cast("float64"), (a,), True)}[kind]
    for axis, cut in zip((1, 2), cuts):
        parts = [F.narrow(y, axis, int(a), int(b - a) + (1 if p.overlapping and b < x.shape[axis] else 0)) for a, b in zip(cut, cut[1:])]
        y = _table.concat([function(v, axis) for v in parts], axis=axis)
    return y.cast(x.dtype), Tensor(cuts[0]), Tensor(cuts[1])


def _nearest(p, x, size):
    """Pixels by MindSpore's three rules of positions."""
    import numpy as np
    for axis, out in zip((2, 3), _ints(size)):
        n, i = x.shape[axis], np.arange(out)
        if p.align_corners and out > 1:
            at = np.floor(i * ((n - 1) / (out - 1)) + 0.5)
        else:
            at = np.floor((i + 0.5) * (n / out)) if p.half_pixel_centers else np.floor(i * (n / out))
        x = _table.gather(x, Tensor(np.minimum(at, n - 1).astype(np.int64)), axis=axis)
    return x


def _bilinear(p, x, size):
    """As _nearest, between four pixels."""
    import numpy as np
    for axis, out in zip((2, 3), _ints(size)):
        n, i = x.shape[axis], np.arange(out)
        if p.align_corners and out > 1:
            at = i * ((n - 1) / (out - 1))
        else:
            at = np.maximum((i + 0.5) * (n / out) - 0.5, 0) if p.half_pixel_centers else i * (n / out)
        low = np.minimum(np.floor(at).astype(np.int64), n - 1)
        part = Tensor((at - low).astype(np.float32)).cast(x.dtype).reshape([-1 if a == axis else 1 for a in range(4)])
        first = _table.gather(x, Tensor(low), axis=axis)
        x = first + (_table.gather(x, Tensor(np.minimum(low + 1, n - 1)), axis=axis) - first) * part
    return x


def _roi_align(p, features, rois):
    """Means of samples in the bins of regions (Mask R-CNN): rois [n, 5] of (image, x0, y0, x1, y1)."""
    boxes = rois.cast("float64")
    # Without the half pixel and the least size of 1, which roi_end_mode 1 does not have.
    shift = 0.5 / p.spatial_scale if p.roi_end_mode else 0.0
    edges = boxes[:, 1:] + Tensor([shift, shift, shift + p.roi_end_mode, shift + p.roi_end_mode], "float64")
    return _table.roi_align(features, edges, boxes[:, 0].cast("int64"), output_size=(p.pooled_height, p.pooled_width), scale=p.spatial_scale,
                            sampling_ratio=p.sample_num, aligned=bool(p.roi_end_mode))


# ---- Matrices

def _solve_triangular(p, a, b):
    return _table.solve_triangular(a, b, upper=not p.lower, transpose=p.adjoint)


def _least_squares(p, matrix, rhs, l2):
    l2 = float(l2) if isinstance(l2, Tensor) else l2
    t = (*range(matrix.ndim - 2), matrix.ndim - 1, matrix.ndim - 2)
    if not p.fast or not l2:
        return _table.matmul(_table.pinv(matrix), rhs)
    at = _table.transpose(matrix, t)
    return _table.solve(_table.matmul(at, matrix) + _table.eye(matrix.shape[-1], -1, matrix.dtype) * l2, _table.matmul(at, rhs))


def _diag_part(p, x):
    half = x.ndim // 2
    if x.ndim % 2 or x.shape[:half] != x.shape[half:]:
        raise _errors.ValueError(f"DiagPart: expects the shape of a diagonal twice, got {x.shape}")
    n = _math.prod(x.shape[:half])
    return _table.diag(x.reshape(n, n)).reshape(x.shape[:half])


def _tridiagonal(p, upper, main, lower, rhs):
    t = (*range(main.ndim - 2), main.ndim - 1, main.ndim - 2)
    upper, main, lower = (_table.transpose(v, t) for v in (upper, main, lower))
    zero = rhs[..., :1, :] * 0
    return main * rhs + upper * _table.concat([rhs[..., 1:, :], zero], axis=-2) + lower * _table.concat([zero, rhs[..., :-1, :]], axis=-2)


def _fill_diagonal(p, x):
    import numpy as np
    mask = np.zeros(x.shape, bool)
    np.fill_diagonal(mask, True, wrap=p.wrap) if x.ndim <= 2 else mask.__setitem__((np.arange(x.shape[0]),) * x.ndim, True)
    return _table.where(Tensor(mask), _table.full((), p.fill_value if x.dtype.name.startswith("float") else int(p.fill_value), x.dtype), x)



def define(define, needed):
    """Defines them: define(name, attributes, call, doc)."""
    pad4 = {"mode": 1, "pad_mode": "valid", "pad": 0}
    window = {"stride": 1, "dilation": 1, "group": 1}
    define("Conv2DTranspose", {"out_channel": needed, "kernel_size": needed, "pad_mode": "valid", "pad": 0, "pad_list": None, "mode": 1, **window,
                               "data_format": "NCHW"}, lambda self, dy, w, size=None: _transposed(self, dy, w, size, _table.conv_transpose2d, 2),
           "Transposed 2-D convolution to a size.")
    define("Conv2DBackpropInput", {"out_channel": needed, "kernel_size": needed, "pad_mode": "valid", "pad": 0, "pad_list": None, "mode": 1, **window,
                                   "data_format": "NCHW"}, lambda self, dy, w, size: _transposed(self, dy, w, size, _table.conv_transpose2d, 2),
           "The gradient of a convolution's input, of a size.")
    define("Conv3DTranspose", {"in_channel": needed, "out_channel": needed, "kernel_size": needed, **pad4, **window, "output_padding": 0,
                               "data_format": "NCDHW"}, lambda self, dy, w: _transposed(self, dy, w, None, _table.conv_transpose3d, 3),
           "Transposed 3-D convolution.")
    define("DepthwiseConv2dNative", {"channel_multiplier": needed, "kernel_size": needed, "mode": 3, "pad_mode": "valid", "pad": 0, "stride": 1,
                                     "dilation": 1, "group": 1}, lambda self, x, w: F.conv2d(
        x, _table.transpose(_checks.depthwise(self, x, w), (1, 0, 2, 3)).reshape(-1, 1, *w.shape[2:]), None, self.stride, self.pad_mode, self.pad, self.dilation, x.shape[1]),
        "A convolution of every channel by itself.")
    pool = {"kernel_size": 1, "strides": 1, "pad_mode": "valid"}
    define("MaxPool3D", {**pool, "pad_list": 0, "ceil_mode": None, "data_format": "NCDHW"}, lambda self, x: _pool3d(self, x, "max"),
           "The largest of each window.")
    define("AvgPool3D", {**pool, "pad": 0, "ceil_mode": False, "count_include_pad": True, "divisor_override": 0, "data_format": "NCDHW"},
           lambda self, x: _pool3d(self, x, "avg"), "The mean of each window.")
    define("MaxPoolWithArgmax", {**pool, "data_format": "NCHW"}, _pool_with_places, "(the largest of each window, int32 places in the image).")
    define("MaxPoolWithArgmaxV2", {"kernel_size": needed, "strides": None, "pads": 0, "dilation": (1, 1), "ceil_mode": False, "argmax_type": "int64"},
           lambda self, x: tuple(v.cast(self.argmax_type) if k else v for k, v in enumerate(_table.max_pool2d(
               x, kernel=_spatial(self.kernel_size, 2), stride=_spatial(self.kernel_size if self.strides is None else self.strides, 2),
               pad=_spatial(self.pads, 2), dilation=_spatial(self.dilation, 2), ceil_mode=self.ceil_mode))),
           "(the largest of each window, its place in the image).")
    define("MaxPool3DWithArgmax", {"ksize": needed, "strides": needed, "pads": needed, "dilation": (1, 1, 1), "ceil_mode": False,
                                   "data_format": "NCDHW", "argmax_type": "int64"},
           lambda self, x: tuple(v.cast(self.argmax_type) if k else v for k, v in enumerate(_table.max_pool3d(
               x, kernel=_spatial(self.ksize, 3), stride=_spatial(self.strides, 3), pad=_spatial(self.pads, 3),
               dilation=_spatial(self.dilation, 3), ceil_mode=self.ceil_mode))), "(the largest of each window, its place in the volume).")
    for name in ("FractionalMaxPool", "FractionalAvgPool"):
        define(name, {"pooling_ratio": needed, "pseudo_random": False, "overlapping": False, "deterministic": False, "seed": 0, "seed2": 0},
               lambda self, x, kind=name[10:13].lower(): _fractional_v1(self, x, kind), "(pool of windows of random sizes of [n, h, w, c], cuts of rows, of columns).")
    define("FractionalMaxPoolWithFixedKsize", {"ksize": needed, "output_shape": needed, "data_format": "NCHW"}, lambda self, x, samples:
           F.fractional_max_pool2d(x, self.ksize, self.output_shape, None, True, samples), "(the largest of windows at random steps, their places).")
    define("FractionalMaxPool3DWithFixedKsize", {"ksize": needed, "output_shape": needed, "data_format": "NCDHW"}, lambda self, x, samples:
           F.fractional_max_pool3d(x, self.ksize, self.output_shape, None, True, samples), "(the largest of windows at random steps, their places).")
    define("Col2Im", {"kernel_size": needed, "dilation": 1, "padding": 0, "stride": 1}, lambda self, x, size: F.col2im(
        x, size, self.kernel_size, self.dilation, self.padding, self.stride), "Columns summed back into an image.")
    define("ExtractImagePatches", {"ksizes": needed, "strides": needed, "rates": needed, "padding": "VALID"}, _patches, "Windows as channels.")
    define("Dilation2D", {"stride": needed, "dilation": needed, "pad_mode": "SAME", "data_format": "NCHW"}, _dilation2d, "The largest of x + filter over windows.")
    define("CropAndResize", {"method": "bilinear", "extrapolation_value": 0.0}, lambda self, x, boxes, index, size: F.crop_and_resize(
        x, boxes, index, size, self.method, self.extrapolation_value), "Boxes of images at a size.")
    define("ROIAlign", {"pooled_height": needed, "pooled_width": needed, "spatial_scale": needed, "sample_num": 2, "roi_end_mode": 1}, _roi_align,
           "Means of samples in the bins of regions.")
    corners = {"align_corners": False, "half_pixel_centers": False}
    define("ResizeNearestNeighbor", {"size": needed, **corners}, lambda self, x: _nearest(self, x, self.size), "The nearest pixels at a size.")
    define("ResizeNearestNeighborV2", corners, _nearest, "The nearest pixels at a size.")
    define("ResizeBilinear", {"size": needed, **corners}, lambda self, x: _bilinear(self, x, self.size), "Linear between pixels at a size.")
    define("ResizeBilinearV2", corners, _bilinear, "Linear between pixels at a size.")
    define("ResizeArea", {"align_corners": False}, lambda self, x, size: _table.transpose(F.interpolate(
        _table.transpose(x.cast("float32"), (0, 3, 1, 2)), size=_ints(size), mode="area"), (0, 2, 3, 1)), "Means of areas of [n, h, w, c].")
    define("ResizeLinear1D", {"coordinate_transformation_mode": "align_corners"}, lambda self, x, size: F.interpolate(
        x, size=_ints(size), mode="linear", align_corners=self.coordinate_transformation_mode == "align_corners"), "Linear between elements at a size.")
    define("UpsampleNearest3D", {}, lambda self, x, size=None, scales=None: F.interpolate(x, size=size, scale_factor=scales), "The nearest pixels at a size.")
    define("UpsampleTrilinear3D", {"align_corners": False}, lambda self, x, size=None, scales=None: F.interpolate(
        x, size=size, scale_factor=scales, mode="trilinear", align_corners=self.align_corners), "Linear between pixels at a size.")
    _matrices(define, needed)
    _numbers(define, needed)


def _matrices(define, needed):
    define("ConjugateTranspose", {}, lambda self, x, perm: _table.transpose(F.conj(x) if hasattr(F, "conj") else x, _ints(perm)), "The dimensions in another order, conjugated.")
    define("Cross", {"dim": -65530}, lambda self, a, b: F.cross(a, b, None if self.dim == -65530 else self.dim), "Cross products along a dimension of 3.")
    define("DiagPart", {}, _diag_part, "The diagonal of a tensor whose shape is a shape twice.")
    define("EuclideanNorm", {"keep_dims": False}, lambda self, x, axes: _table.norm(x.cast("float64") if x.dtype.name.startswith("int") else x, _ints(
        axes), self.keep_dims).cast(x.dtype), "The 2-norm over axes.")
    define("FillDiagonal", {"fill_value": needed, "wrap": False}, _fill_diagonal, "With one value on the diagonal.")
    define("Lstsq", {"fast": True, "l2_regularizer": 0.0}, lambda self, x, a: F.lstsq(x, a), "Least squares.")
    define("MatrixInverse", {"adjoint": False}, lambda self, x: _table.inverse(F.adjoint(x) if self.adjoint else x), "The inverse.")
    define("MatrixSolveLs", {"fast": True}, _least_squares, "Least squares with a penalty l2 |x|^2.")
    define("MatrixTriangularSolve", {"lower": True, "adjoint": False}, _solve_triangular, "X with A X = B, A triangular.")
    define("NuclearNorm", {"dim": None, "keepdim": False}, lambda self, x: F.matrix_norm(
        x, "nuc", self.dim or (0, 1), self.keepdim).reshape((1,) * x.ndim if self.keepdim and not self.dim else F.matrix_norm(
            x, "nuc", self.dim or (0, 1), self.keepdim).shape), "The sum of singular values.")
    define("Qr", {"full_matrices": False}, lambda self, x: F.qr(x, "complete" if self.full_matrices else "reduced"), "(Q, R).")
    define("Svd", {"full_matrices": False, "compute_uv": True}, lambda self, x: F.svd(x, self.full_matrices, self.compute_uv) if self.compute_uv else (
        F.svd(x, compute_uv=False), Tensor(0.0), Tensor(0.0)), "(s, u, v).")
    define("Trace", {}, lambda self, x: _table.trace(x).cast(x.dtype), "The sum of the diagonal.")
    define("TridiagonalMatMul", {}, _tridiagonal, "A matrix of three diagonals times another.")


def _numbers(define, needed):
    seeds = {"seed": 0, "seed2": 0}
    define("Bernoulli", {"seed": -1, "offset": 0}, lambda self, x, p: F.bernoulli(x, p, None if self.seed < 1 else self.seed), "1 with probability p.")
    define("Cauchy", {"size": needed, "median": 0.0, "sigma": 1.0}, lambda self: _table.random_cauchy(tuple(self.size), self.median, self.sigma), "Numbers of Cauchy's distribution.")
    define("LogNormalReverse", {"mean": 1.0, "std": 2.0}, lambda self, x: _table.random_log_normal(x.shape, self.mean, self.std).cast(x.dtype), "exp of normal numbers in x's shape.")
    define("ParameterizedTruncatedNormal", seeds, lambda self, shape, mean, stdevs, low, high: _truncated(shape, mean, stdevs, low, high), "Normal numbers between bounds.")
    define("TruncatedNormal", {"dtype": "float32", **seeds}, lambda self, shape: _table.truncated_normal(_ints(shape), 0.0, 1.0).cast(self.dtype), "Normal numbers within two deviations.")
    define("UniformInt", seeds, lambda self, shape, low, high: _table.random_randint(_ints(shape), int(low), int(high), "int32"), "Integers in [low, high).")
    define("NonDeterministicInts", {"dtype": "int64"}, lambda self, shape: _table.random_randint(_ints(shape), -2 ** 31, 2 ** 31 - 1, "int64").cast(self.dtype), "Any integers.")
    define("Randperm", {"max_length": 1, "pad": -1, "dtype": "int32"}, lambda self, n: _table.concat([_table.randperm(int(n)).cast(self.dtype), _table.full(
        (self.max_length - int(n),), self.pad, self.dtype)], axis=0), "0 .. n - 1 in random order, padded.")
    define("RandpermV2", {"seed": 0, "offset": 0, "dtype": "int64"}, lambda self, n: _table.randperm(int(n)).cast(self.dtype), "0 .. n - 1 in random order.")
    define("DropoutGenMask", {"Seed0": 0, "Seed1": 0}, lambda self, shape, keep: _table.random_uniform(_ints(shape), 0.0, 1.0) < float(keep), "Bools that are true with a probability.")
    define("DropoutDoMask", {}, lambda self, x, mask, keep: _table.where(mask, x / float(keep), x * 0), "x / keep where the mask is true, else 0.")
    define("CumulativeLogsumexp", {"exclusive": False, "reverse": False}, _running_logsumexp, "log of the running sum of exp.")
    define("ConfusionMatrix", {"num_classes": needed, "dtype": "int32"}, _confusion, "How often each true class (row) was taken for each class (column).")


def _confusion(p, labels, predictions, weights=None):
    n = p.num_classes
    place = labels.cast("int64").reshape(-1) * n + predictions.cast("int64").reshape(-1)
    one = _table.full(place.shape, 1, "float64") if weights is None else weights.reshape(-1).cast("float64")
    return _table.scatter_nd(place.reshape(-1, 1), one, shape=(n * n,)).reshape(n, n).cast(p.dtype)


def _running_logsumexp(p, x, axis):
    axis = F._axis(int(axis), x.ndim)
    from rutile.ops.operations import _running
    lowest = {"float16": -65504.0, "float64": -1.7976931348623157e308}.get(x.dtype.name, -3.4028234663852886e38)
    return _running(p, x, axis, lambda v: _table.logcumsumexp(v, axis=axis), lowest)


def _truncated(shape, mean, stdevs, low, high):
    import numpy as np
    lo, hi = ((v.asnumpy().astype(np.float64) - mean.asnumpy()) / stdevs.asnumpy() for v in (low, high))
    cdf = [_table.erfc(Tensor(-v / _math.sqrt(2))).asnumpy() / 2 for v in (lo, hi)]
    u = _table.random_uniform(_ints(shape), 0.0, 1.0, "float64")
    wide = lambda v: Tensor(np.asarray(v)).reshape(-1, *[1] * (u.ndim - 1)) if np.size(v) > 1 else Tensor(np.float64(np.reshape(v, -1)[0]))
    p = wide(cdf[0]) + u * (wide(cdf[1]) - wide(cdf[0]))
    y = _table.erfinv(_table.clip(p * 2 - 1, min=-1 + 1e-15, max=1 - 1e-15)) * _math.sqrt(2)
    return (y * wide(stdevs.asnumpy()) + wide(mean.asnumpy())).cast("float32")
