# SPDX-License-Identifier: Apache-2.0
"""ONNX's layers over our ops: windows, norms, losses, images, attention, quantised products. See onnx_names.py."""

import math

import numpy as np
from onnx_names import OPERATORS, Unmapped, dtype_of, ints, is_int, like, number
from rutile import Tensor, ops
from rutile.ops import table as t


def one_or_all(v, n):
    return v[0] if n == 1 else tuple(v)


def as_tensor(v):
    return Tensor(np.asarray(v))


# ---- Windows -----------------------------------------------------------------------------------------------------

def window(a, x, kernel):
    """kernel, strides, dilations, before, after of a call."""
    n = len(kernel)
    strides, dilations = list(a.get("strides", [1] * n)), list(a.get("dilations", [1] * n))
    pads = list(a.get("pads", [0] * 2 * n))
    before, after = pads[:n], pads[n:]
    auto = a.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        for i in range(n):
            size = x.shape[2 + i]
            total = max(0, (-(-size // strides[i]) - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 - size)
            before[i] = (total + (auto == "SAME_LOWER")) // 2
            after[i] = total - before[i]
    return list(kernel), strides, dilations, before, after


def extended(x, before, after, value=0):
    """x with the spatial dimensions padded; and the padding left to the op, where the sides are equal."""
    if before == after:
        return x, before
    return t.pad(x, before=(0, 0, *before), after=(0, 0, *after), value=value), [0] * len(before)


def conv(a, x, w, bias=None):
    n = x.ndim - 2
    _, strides, dilations, before, after = window(a, x, w.shape[2:])
    x, pad = extended(x, before, after)
    return getattr(t, f"conv{n}d")(x, w, bias, stride=one_or_all(strides, n), pad=one_or_all(pad, n),
                                   dilation=one_or_all(dilations, n), groups=a.get("group", 1))


def conv_transpose(a, x, w, bias=None):
    n = x.ndim - 2
    kernel = list(w.shape[2:])
    strides, dilations = list(a.get("strides", [1] * n)), list(a.get("dilations", [1] * n))
    more, pads = list(a.get("output_padding", [0] * n)), list(a.get("pads", [0] * 2 * n))
    full = [strides[i] * (x.shape[2 + i] - 1) + more[i] + (kernel[i] - 1) * dilations[i] + 1 for i in range(n)]
    size, auto = a.get("output_shape"), a.get("auto_pad", "NOTSET")
    if size is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        size = [s * d for s, d in zip(x.shape[2:], strides)]
    if size is not None:
        total = [max(0, f - s) for f, s in zip(full, size[-n:])]
        more = [m + max(0, s - f) for m, f, s in zip(more, full, size[-n:])]
        full = [max(f, s) for f, s in zip(full, size[-n:])]
        low = [v // 2 if auto == "SAME_UPPER" else v - v // 2 for v in total]
        pads = low + [v - lo for v, lo in zip(total, low)]
    y = getattr(t, f"conv_transpose{n}d")(x, w, None, stride=one_or_all(strides, n), dilation=one_or_all(dilations, n),
                                          output_pad=one_or_all([0] * n, n), groups=a.get("group", 1))
    grown = [max(0, f - s) for f, s in zip(full, y.shape[2:])]
    if any(grown):
        y = t.pad(y, before=(0,) * y.ndim, after=(0, 0, *grown))
    y = y[(slice(None), slice(None), *(slice(p, f - q) for p, q, f in zip(pads[:n], pads[n:], full)))]
    return y if bias is None else y + bias.reshape(1, -1, *[1] * n)


def places(x, kernel, strides, dilations, before, after, ceil):
    """How many windows there are; none begins behind the image and its padding in front."""
    sizes = []
    for i in range(len(kernel)):
        total = x.shape[2 + i] + before[i] + after[i] - dilations[i] * (kernel[i] - 1) - 1
        count = (-(-total // strides[i]) if ceil else total // strides[i]) + 1
        if ceil and (count - 1) * strides[i] >= x.shape[2 + i] + before[i]:
            count -= 1
        sizes.append(count)
    return sizes


def patches(x, kernel, strides, dilations, before, sizes, value):
    """[n, c, places.., window..]: what each place of the window sees."""
    n = len(kernel)
    reach = [(c - 1) * s + d * (k - 1) + 1 for c, s, d, k in zip(sizes, strides, dilations, kernel)]
    more = [max(0, r - s - b) for r, s, b in zip(reach, x.shape[2:], before)]
    x = t.pad(x, before=(0, 0, *before), after=(0, 0, *more), value=value)
    for i in range(n):
        at = np.arange(sizes[i])[:, None] * strides[i] + np.arange(kernel[i]) * dilations[i]
        x = t.gather(x, Tensor(at.astype(np.int64)), axis=2 + 2 * i)
    order = (0, 1, *(2 + 2 * i for i in range(n)), *(3 + 2 * i for i in range(n)))
    return t.transpose(x, perm=order)


def average_pool(a, x):
    n = x.ndim - 2
    kernel, strides, dilations, before, after = window(a, x, a["kernel_shape"])
    ceil, padded = bool(a.get("ceil_mode", 0)), bool(a.get("count_include_pad", 0))
    if before == after and set(dilations) == {1} and not (ceil and any(before)) and all(2 * b <= k for b, k in zip(before, kernel)):
        return getattr(t, f"avg_pool{n}d")(x, kernel=one_or_all(kernel, n), stride=one_or_all(strides, n), pad=one_or_all(before, n),
                                           ceil_mode=ceil, count_include_pad=padded)
    axes = tuple(range(x.ndim, x.ndim + n))
    ones = Tensor(np.ones((1, 1, *x.shape[2:]), np.float32)).astype(x.dtype)
    if padded:
        ones = t.pad(ones, before=(0, 0, *before), after=(0, 0, *after), value=1)
    sizes = places(x, kernel, strides, dilations, before, after, ceil)
    total = t.sum(patches(x, kernel, strides, dilations, before, sizes, 0), axes=axes)
    count = patches(ones, kernel, strides, dilations, [0] * n if padded else before, sizes, 0)
    return total / t.sum(count, axes=axes)


def max_pool(a, x, wanted=1):
    n = x.ndim - 2
    kernel, strides, dilations, before, after = window(a, x, a["kernel_shape"])
    low = -np.inf if not is_int(x) else 0 if "uint" in str(x.dtype) else -128
    dtype = x.dtype
    x = x.astype("float32") if is_int(x) else x
    size = x.shape[2:]
    if before == after and all(2 * b <= k for b, k in zip(before, kernel)):
        y, at = getattr(t, f"max_pool{n}d")(x, kernel=one_or_all(kernel, n), stride=one_or_all(strides, n), pad=one_or_all(before, n),
                                            dilation=one_or_all(dilations, n), ceil_mode=bool(a.get("ceil_mode", 0)))
    else:
        if wanted > 1:
            raise Unmapped("indices with uneven padding")
        sizes = places(x, kernel, strides, dilations, before, after, bool(a.get("ceil_mode", 0)))
        seen = patches(x, kernel, strides, dilations, before, sizes, low)
        return t.max(seen, axes=tuple(range(x.ndim, x.ndim + n))).astype(dtype)
    if wanted == 1:
        return y.astype(dtype)
    if a.get("storage_order", 0):
        at = at % size[-1] * size[-2] + t.floor_div(at, like(size[-1], at))
    planes = t.arange(0, x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *[1] * n) * math.prod(size)
    return [y.astype(dtype), at.astype("int64") + planes]


def lp_pool(a, x):
    n, p = x.ndim - 2, float(a.get("p", 2))
    kernel, strides, dilations, before, after = window(a, x, a["kernel_shape"])
    sizes = places(x, kernel, strides, dilations, before, after, bool(a.get("ceil_mode", 0)))
    seen = patches(t.abs(x), kernel, strides, dilations, before, sizes, 0)
    return t.vector_norm(seen.reshape(*seen.shape[:-n], -1), ord=p, axes=(-1,))


def max_unpool(a, x, at, size=None):
    n = x.ndim - 2
    kernel = list(a["kernel_shape"])
    strides, pads = list(a.get("strides", [1] * n)), list(a.get("pads", [0] * 2 * n))
    plain = [(s - 1) * d + k - b - e for s, d, k, b, e in zip(x.shape[2:], strides, kernel, pads[:n], pads[n:])]
    size = list(ints(size)) if size is not None else [*x.shape[:2], *plain]
    flat = t.full(shape=(math.prod(plain) * x.shape[0] * x.shape[1],), value=0, dtype=x.dtype)
    y = t.scatter(flat, at.reshape(-1), x.reshape(-1), axis=0).reshape(*x.shape[:2], *plain)
    return t.pad(y, before=(0,) * x.ndim, after=tuple(s - p for s, p in zip(size, y.shape)))


def col2im(a, x, image, block):
    n = len(ints(block))
    if n != 2:
        raise Unmapped(f"{n} dimensions")
    pads = list(a.get("pads", [0] * 2 * n))
    if pads[:n] != pads[n:]:
        image = as_tensor([s + b + e for s, b, e in zip(ints(image), pads[:n], pads[n:])])
        y = t.fold(x, output_size=ints(image), kernel=ints(block), dilation=tuple(a.get("dilations", [1] * n)), stride=tuple(a.get("strides", [1] * n)))
        return y[:, :, pads[0]:y.shape[2] - pads[2], pads[1]:y.shape[3] - pads[3]]
    return t.fold(x, output_size=ints(image), kernel=ints(block), dilation=tuple(a.get("dilations", [1] * n)), pad=tuple(pads[:n]),
                  stride=tuple(a.get("strides", [1] * n)))


def depth_to_space(a, x):
    b, (n, c, h, w) = a["blocksize"], x.shape
    if a.get("mode", "DCR") == "CRD":
        return t.pixel_shuffle(x, upscale_factor=b)
    return t.transpose(x.reshape(n, b, b, c // (b * b), h, w), perm=(0, 3, 4, 1, 5, 2)).reshape(n, c // (b * b), h * b, w * b)


def space_to_depth(a, x):
    b, (n, c, h, w) = a["blocksize"], x.shape
    if a.get("mode", "DCR") == "CRD":
        return t.pixel_unshuffle(x, downscale_factor=b)
    return t.transpose(x.reshape(n, c, h // b, b, w // b, b), perm=(0, 3, 5, 1, 2, 4)).reshape(n, c * b * b, h // b, w // b)


# ---- Norms -------------------------------------------------------------------------------------------------------

def batch_norm(a, x, scale, bias, mean, var):
    if a.get("training_mode", 0):
        m = a.get("momentum", 0.9)
        axes = (0, *range(2, x.ndim))
        now = t.mean(x, axes=axes), t.var(x, axes=axes, correction=0)
        y = t.batch_norm(x, scale, bias, eps=a.get("epsilon", 1e-5))[0]
        return [y, mean * m + now[0] * (1 - m), var * m + now[1] * (1 - m)]
    return t.batch_norm_inference(x, mean, var, scale, bias, eps=a.get("epsilon", 1e-5))


def layer_norm(a, x, scale, bias=None, wanted=1):
    axis = a.get("axis", -1)
    axes = x.ndim - axis if axis >= 0 else -axis
    y, mean, rstd = t.layer_norm(x, scale, bias, axes=axes, eps=a.get("epsilon", 1e-5))
    one = (1,) * axes
    shape = (*x.shape[:x.ndim - axes], *one)
    return [y, mean.reshape(*shape), rstd.reshape(*shape)]


def rms_norm(a, x, scale):
    axis = a.get("axis", -1)
    axes = x.ndim - axis if axis >= 0 else -axis
    return t.rms_norm(x, ops.broadcast_to(scale, x.shape[x.ndim - axes:]), axes=axes, eps=a.get("epsilon", 1e-5))[0]


def mean_variance(a, x):
    axes = tuple(a.get("axes", (0, 2, 3)))
    centred = x - t.mean(x, axes=axes, keepdims=True)
    return centred / (t.std(x, axes=axes, keepdims=True, correction=0) + 1e-9)


def lp_normalize(a, x):
    norm = t.vector_norm(x, ord=float(a.get("p", 2)), axes=(a.get("axis", -1),), keepdims=True)
    return t.where(t.equal(norm, like(0, norm)), like(0, x), x / norm)


def dropout(a, x, ratio=None, training=None, wanted=1):
    if training is not None and number(training) and (ratio is None or number(ratio)):
        raise Unmapped("random numbers")
    return [t.contiguous(x), Tensor(np.ones(x.shape, bool))][:wanted]


def gemm(a, x, y, z=None):
    out = t.matmul(x, y, transpose_a=bool(a.get("transA", 0)), transpose_b=bool(a.get("transB", 0)))
    alpha, beta = a.get("alpha", 1.0), a.get("beta", 1.0)
    out = out * alpha if alpha != 1 else out
    return out if z is None else out + (z * beta if beta != 1 else z)


# ---- Losses ------------------------------------------------------------------------------------------------------

def nll(a, log_p, labels, weight=None):
    ignore = a.get("ignore_index", -(2**31))
    return t.nll_loss(log_p, labels, weight, ignore_index=ignore, reduction=a.get("reduction", "mean"))


def softmax_nll(a, x, labels, weight=None, wanted=1):
    log_p = t.log_softmax(x, axis=1)
    return [nll(a, log_p, labels, weight), log_p][:wanted]


# ---- Images ------------------------------------------------------------------------------------------------------

def resize_matrix(size, out, scale, a, roi):
    """[out, size]: the weights of the pixels of one dimension."""
    how, mode = a.get("coordinate_transformation_mode", "half_pixel"), a.get("mode", "nearest")
    o = np.arange(out, dtype=np.float64)
    length = scale * size
    x = {"half_pixel": lambda: (o + 0.5) / scale - 0.5, "asymmetric": lambda: o / scale,
         "align_corners": lambda: o * (size - 1) / (length - 1) if length != 1 else o * 0,
         "pytorch_half_pixel": lambda: (o + 0.5) / scale - 0.5 if length > 1 else o * 0,
         "half_pixel_symmetric": lambda: size / 2 * (1 - out / length) + (o + 0.5) / scale - 0.5,
         "tf_crop_and_resize": lambda: roi[0] * (size - 1) + (o * (roi[1] - roi[0]) * (size - 1) / (out - 1) if out > 1 else
                                                              0.5 * (roi[1] - roi[0]) * (size - 1) + o * 0)}[how]()
    outside = (x < 0) | (x > size - 1) if how == "tf_crop_and_resize" else None
    w = np.zeros((out, size))
    if mode == "nearest":
        f = {"round_prefer_floor": lambda v: np.ceil(v - 0.5), "round_prefer_ceil": lambda v: np.floor(v + 0.5), "floor": np.floor,
             "ceil": np.ceil}[a.get("nearest_mode", "round_prefer_floor")]
        w[np.arange(out), np.clip(f(x), 0, size - 1).astype(int)] = 1
        return w, outside
    wide = max(1.0, 1 / scale) if a.get("antialias", 0) else 1.0
    if mode == "linear":
        reach, f = wide, lambda d: np.maximum(0, 1 - np.abs(d))
    else:
        reach, k = 2 * wide, a.get("cubic_coeff_a", -0.75)
        f = lambda d: np.where(np.abs(d) <= 1, (k + 2) * np.abs(d)**3 - (k + 3) * d**2 + 1,  # noqa: E731
                               np.where(np.abs(d) < 2, k * np.abs(d)**3 - 5 * k * d**2 + 8 * k * np.abs(d) - 4 * k, 0))
    for i, v in enumerate(x):
        p = np.arange(math.floor(v - reach), math.ceil(v + reach) + 1)
        c = f((p - v) / wide)
        if a.get("exclude_outside", 0):
            c = np.where((p < 0) | (p >= size), 0, c)
        np.add.at(w[i], np.clip(p, 0, size - 1), c / c.sum())
    return w, outside


def resize(a, x, roi=None, scales=None, sizes=None):
    axes = [v % x.ndim for v in a.get("axes", range(x.ndim))]
    if sizes is not None and len(ints(sizes)):
        out = list(ints(sizes))
        scale = [s / x.shape[d] for s, d in zip(out, axes)]
        policy = a.get("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            one = (min if policy == "not_larger" else max)(scale)
            scale = [one] * len(axes)
            out = [int(math.floor(one * x.shape[d] + 0.5)) for d in axes]
    else:
        scale = [float(v) for v in scales.asnumpy()]
        out = [int(math.floor(s * x.shape[d])) for s, d in zip(scale, axes)]
    roi = None if roi is None else roi.asnumpy()
    dtype = x.dtype
    missing = None
    for i, d in enumerate(axes):
        part = None if roi is None or not len(roi) else (roi[i], roi[i + len(axes)])
        if scale[i] == 1 and part in (None, (0, 1)):
            continue
        w, outside = resize_matrix(x.shape[d], out[i], scale[i], a, part)
        x = ops.movedim(t.matmul(ops.movedim(x, d, -1).astype("float32"), Tensor(w.astype(np.float32)), transpose_b=True), -1, d)
        if outside is not None:
            shape = tuple(out[i] if k == d else 1 for k in range(x.ndim))
            here = Tensor(outside).reshape(*shape)
            missing = here if missing is None else t.logical_or(missing, here)
    if missing is not None:
        x = t.where(missing, like(a.get("extrapolation_value", 0.0), x), x)
    return x.astype(dtype)


def grid_sample(a, x, grid):
    mode = {"linear": "bilinear", "bilinear": "bilinear", "nearest": "nearest", "cubic": "bicubic", "bicubic": "bicubic"}[a.get("mode", "linear")]
    return t.grid_sample(x, grid, mode=mode, padding_mode=a.get("padding_mode", "zeros"), align_corners=bool(a.get("align_corners", 0)))


def roi_align(a, x, rois, batch):
    if a.get("mode", "avg") != "avg":
        raise Unmapped("the largest sample instead of the mean")
    return t.roi_align(x, rois, batch, output_size=(a.get("output_height", 1), a.get("output_width", 1)), scale=a.get("spatial_scale", 1.0),
                       sampling_ratio=a.get("sampling_ratio", 0), aligned=a.get("coordinate_transformation_mode", "half_pixel") == "half_pixel")


def non_max_suppression(a, boxes, scores, most=None, iou=None, least=None):
    rows = []
    most, iou = 0 if most is None else number(most), 0.0 if iou is None else number(iou)
    least = -math.inf if least is None else number(least)
    for b in range(boxes.shape[0]):
        box = boxes[b]
        if a.get("center_point_box", 0):
            middle, half = box[:, :2], box[:, 2:] / 2.0
            box = t.concat([middle - half, middle + half], axis=1)
        for c in range(scores.shape[1]):
            kept = ops.NonMaxSuppressionV3()(box, scores[b, c], most, iou, least).asnumpy()
            rows += [(b, c, k) for k in kept]
    return Tensor(np.array(rows, np.int64).reshape(-1, 3))


def deform_conv(a, x, w, offset, bias=None, mask=None):
    g, (kh, kw) = a.get("offset_group", 1), w.shape[2:]
    _, strides, dilations, before, after = window(a, x, (kh, kw))
    n, _, oh, ow = offset.shape
    pairs = offset.reshape(n, g * kh * kw, 2, oh, ow)
    mask = t.full(shape=(n, g * kh * kw, oh, ow), value=1.0, dtype=x.dtype) if mask is None else mask
    return ops.deformable_conv2d(x, w, t.concat([pairs[:, :, 0], pairs[:, :, 1], mask], axis=1), (kh, kw), (1, 1, *strides),
                                 (before[0], after[0], before[1], after[1]), bias, (1, 1, *dilations), a.get("group", 1), g)


# ---- Quantised numbers -------------------------------------------------------------------------------------------

def spread_scale(a, x, v):
    if v is None or v.size == 1:
        return v if v is None else v.reshape(())
    axis = a.get("axis", 1) % x.ndim
    if v.ndim == x.ndim:
        return ops.repeat_interleave(v, a["block_size"], axis)
    return v.reshape(*[x.shape[axis] if i == axis else 1 for i in range(x.ndim)])


def quantize(a, x, scale, zero=None):
    dtype = zero.dtype if zero is not None else dtype_of(a.get("output_dtype", 0) or 2)
    scale, zero = spread_scale(a, x, scale), spread_scale(a, x, zero)
    y = t.round(x.astype("float32") / scale.astype("float32"))
    y = y if zero is None else y + zero.astype("float32")
    info = np.iinfo(str(dtype).split(".")[-1].lower())
    return t.clip(y, min=float(info.min), max=float(info.max)).astype(dtype)


def dequantize(a, x, scale, zero=None):
    dtype = dtype_of(a["output_dtype"]) if a.get("output_dtype") else scale.dtype
    scale, zero = spread_scale(a, x, scale), spread_scale(a, x, zero)
    y = x.astype("float32") if zero is None else (x.astype("int32") - zero.astype("int32")).astype("float32")
    return (y * scale.astype("float32")).astype(dtype)


def dynamic_quantize(a, x):
    low, high = t.minimum(t.min(x), like(0, x)), t.maximum(t.max(x), like(0, x))
    scale = (high - low) / 255.0
    zero = t.clip(t.round(-low / scale), min=0.0, max=255.0)
    return [t.clip(t.round(x / scale) + zero, min=0.0, max=255.0).astype("uint8"), scale, zero.astype("uint8")]


def lowered(v, zero, channels=None):
    v = v.astype("float64")
    if zero is None:
        return v
    zero = zero.astype("float64")
    return v - (zero.reshape(-1, *[1] * (v.ndim - 1)) if channels == 0 and zero.size > 1 else
                ops.expand_dims(zero, -1) if channels == -2 and zero.ndim and zero.size > 1 else zero)


def conv_integer(a, x, w, x_zero=None, w_zero=None):
    return conv(a, lowered(x, x_zero), lowered(w, w_zero, 0)).astype("int32")


def matmul_integer(a, x, y, x_zero=None, y_zero=None):
    return t.matmul(lowered(x, x_zero, -2), lowered(y, y_zero)).astype("int32")


def requantized(y, scale, zero):
    info = np.iinfo(str(zero.dtype).split(".")[-1].lower())
    y = t.round(y / scale.astype("float64")) + zero.astype("float64")
    return t.clip(y, min=float(info.min), max=float(info.max)).astype(zero.dtype)


def qlinear_matmul(a, x, xs, xz, y, ys, yz, zs, zz):
    return requantized(t.matmul(lowered(x, xz), lowered(y, yz)) * (xs.astype("float64") * ys.astype("float64")), zs, zz)


def qlinear_conv(a, x, xs, xz, w, ws, wz, ys, yz, bias=None):
    y = conv(a, lowered(x, xz), lowered(w, wz, 0), None if bias is None else bias.astype("float64"))
    scale = xs.astype("float64") * ws.astype("float64")
    return requantized(y * (scale.reshape(1, -1, 1, 1) if scale.size > 1 else scale), ys, yz)


OPERATORS |= {
    "Conv": conv, "ConvTranspose": conv_transpose, "AveragePool": average_pool, "MaxPool": max_pool, "LpPool": lp_pool,
    "MaxUnpool": max_unpool, "GlobalAveragePool": lambda a, x: t.mean(x, axes=tuple(range(2, x.ndim)), keepdims=True),
    "GlobalMaxPool": lambda a, x: t.max(x, axes=tuple(range(2, x.ndim)), keepdims=True), "Col2Im": col2im, "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth, "BatchNormalization": batch_norm, "LayerNormalization": layer_norm, "RMSNormalization": rms_norm,
    "InstanceNormalization": lambda a, x, s, b: t.instance_norm(x, s, b, eps=a.get("epsilon", 1e-5))[0],
    "GroupNormalization": lambda a, x, s, b: t.group_norm(x, s, b, num_groups=a["num_groups"], eps=a.get("epsilon", 1e-5))[0],
    "MeanVarianceNormalization": mean_variance, "LpNormalization": lp_normalize, "Dropout": dropout, "Gemm": gemm,
    "LRN": lambda a, x: t.local_response_norm(x, size=a["size"], alpha=a.get("alpha", 1e-4), beta=a.get("beta", 0.75), k=a.get("bias", 1.0)),
    "NegativeLogLikelihoodLoss": nll, "SoftmaxCrossEntropyLoss": softmax_nll, "Resize": resize, "GridSample": grid_sample,
    "Upsample": lambda a, x, s: resize({"mode": a.get("mode", "nearest"), "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}, x, None, s),
    "AffineGrid": lambda a, theta, size: t.affine_grid(theta, size=ints(size), align_corners=bool(a.get("align_corners", 0))),
    "RoiAlign": roi_align, "NonMaxSuppression": non_max_suppression, "DeformConv": deform_conv, "QuantizeLinear": quantize, "DequantizeLinear": dequantize, "DynamicQuantizeLinear": dynamic_quantize,
    "ConvInteger": conv_integer, "MatMulInteger": matmul_integer, "QLinearMatMul": qlinear_matmul, "QLinearConv": qlinear_conv,
}
