# SPDX-License-Identifier: Apache-2.0
"""Boxes of several classes, slices of sparse tensors and further updates of optimizers as primitives."""

from rutile import _rutile
from rutile._rutile import Tensor
from rutile.ops import _updates
from rutile.ops._small_primitives import _best_boxes

_errors = _rutile.errors


def _combined_boxes(p, boxes, scores, per_class, total, iou, least):
    import numpy as np
    b, s = boxes.asnumpy(), scores.asnumpy()
    if b.ndim != 4 or s.ndim != 3 or b.shape[:2] != s.shape[:2] or b.shape[2] not in (1, s.shape[2]) or b.shape[3] != 4:
        raise _errors.ValueError(f"[{p.name}] boxes must be [n, boxes, 1 or classes, 4] and scores [n, boxes, classes], got {b.shape} and {s.shape}")
    per_class, total, iou = int(per_class), int(total), float(iou)
    if per_class < 0 or total < 0 or not 0 <= iou <= 1:
        raise _errors.ValueError(f"[{p.name}] sizes must not be negative and iou_threshold must be within 0 and 1, got {per_class}, {total}, {iou}")
    n, classes = b.shape[0], s.shape[2]
    count = min(total, per_class * classes) if p.pad_per_class else total
    out = np.zeros((n, count, 4), np.float32), np.zeros((n, count), np.float32), np.zeros((n, count), np.float32), np.zeros(n, np.int32)
    for i in range(n):
        found = []
        for c in range(classes):
            own, mine = b[i, :, c if b.shape[2] > 1 else 0], s[i, :, c]
            kept = _best_boxes(Tensor(own), Tensor(mine), per_class, iou, least).asnumpy()
            found += [(mine[k], c, own[k]) for k in kept]
        found.sort(key=lambda f: -f[0])
        for k, (score, c, box) in enumerate(found[:count]):
            out[0][i, k], out[1][i, k], out[2][i, k] = np.clip(box, 0, 1) if p.clip_boxes else box, score, c
        out[3][i] = min(len(found), count)
    return tuple(Tensor(v) for v in out)


def _sparse_slice(p, indices, values, shape, start, size):
    import numpy as np
    at, whole, first, most = (v.asnumpy() for v in (indices, shape, start, size))
    if at.ndim != 2 or values.ndim != 1 or len(at) != values.shape[0] or not at.shape[1:] == whole.shape == first.shape == most.shape:
        raise _errors.ValueError(f"[{p.name}] indices must be [n, r], values [n], shape, start and size [r], got {at.shape}, {values.shape}, {whole.shape}, "
                                 f"{first.shape} and {most.shape}")
    end = np.minimum(first + most, whole)
    inside = np.flatnonzero(((at >= first) & (at < end)).all(1))
    return (Tensor((at[inside] - first).reshape(-1, at.shape[1])), Tensor(values.asnumpy()[inside]),
            Tensor(np.maximum(end - first, 0)))


def _sparse_adam(p, var, m, v, *rest):
    *numbers, gradient, indices = rest
    total = _updates._table.index_put(var * 0, gradient, [indices.cast("int64").reshape(-1)], accumulate=True)
    return _updates.dense(p, (var, m, v, *numbers, total), (0, 1, 2), "all", _updates._adam)


def _cast_adam(p, var, m, v, lr, beta1, beta2, epsilon, decay, gradient, global_norm=1.0):
    def step(p, var, m, v, *numbers):
        return _updates._adam_decay(p, var.cast(m.dtype), m, v, *numbers)

    return _updates.dense(p, (var, m, v, lr, beta1, beta2, epsilon, decay, gradient.cast(m.dtype) / global_norm), (0, 1, 2), "all", step)


def _ada_factor(p, epsilon, clip_threshold, beta1, beta2, weight_decay, lr, gradient, param, exp_avg, row, col, sq, global_norm=1.0):
    t = _updates._table

    def size(x):
        return t.sqrt(t.mean(t.square(x)))

    def step(p, param, exp_avg, row, col, sq, gradient):
        g = gradient.cast(param.dtype) / global_norm
        square = g * g + epsilon[0]
        rate = lr * t.maximum(size(param), epsilon[1]) if p.enable_scale_parameter else lr
        if param.ndim > 1:
            row = row * beta2 + t.mean(square, (-1,)) * (1 - beta2)
            col = col * beta2 + t.mean(square, (-2,)) * (1 - beta2)
            update = g * t.rsqrt(row / t.mean(row, (-1,), True)).expand_dims(-1) * t.rsqrt(col).expand_dims(-2)
        else:
            sq = sq * beta2 + square * (1 - beta2)
            update = g * t.rsqrt(sq)
        update = update * rate / t.maximum(size(update) / clip_threshold, 1.0)
        if p.enable_first_moment:
            exp_avg = update = exp_avg * beta1 + update * (1 - beta1)
        if p.enable_weight_decay:
            param = param - param * (rate * weight_decay)
        return param - update, exp_avg, row, col, sq

    global_norm = global_norm.reshape(()) if isinstance(global_norm, Tensor) else global_norm
    return _updates.dense(p, (param, exp_avg, row, col, sq, gradient), (0, 1, 2, 3, 4), "first", step)


def _distorted_box(p, image_size, bounding_boxes, min_object_covered):
    """(begin, size, box) of a random part of an image whose shape and area are within bounds and that covers enough of a box."""
    import numpy as np
    image, boxes, least = image_size.asnumpy(), bounding_boxes.asnumpy().astype(np.float64), min_object_covered.asnumpy().reshape(-1)
    (low, high), (small, large) = p.aspect_ratio_range, p.area_range
    if image.shape != (3,) or boxes.ndim != 3 or boxes.shape[2] != 4 or least.size != 1 or not 0 < low < high or not 0 < small < large <= 1:
        raise _errors.ValueError(f"[{p.name}] expects an image_size of 3, boxes [batch, n, 4], one min_object_covered and ranges that grow, got "
                                 f"{image.shape}, {boxes.shape}, {least.shape}, {p.aspect_ratio_range} and {p.area_range}")
    boxes = boxes.reshape(-1, 4)
    if len(boxes) == 0:
        if not p.use_image_if_no_bounding_boxes:
            raise _errors.ValueError(f"[{p.name}] there are no bounding boxes; use_image_if_no_bounding_boxes=True takes the whole image")
        boxes = np.array([[0.0, 0.0, 1.0, 1.0]])
    height, width, covered = int(image[0]), int(image[1]), float(least[0])
    if height < 1 or width < 1 or not 0 <= covered <= 1 or np.any(boxes < 0) or np.any(boxes > 1) or np.any(boxes[:, :2] >= boxes[:, 2:]):
        raise _errors.RuntimeError(f"[{p.name}] sizes are positive, boxes [y0, x0, y1, x1] and min_object_covered are within 0 and 1")
    if p.seed or p.seed2:
        p._drawn = getattr(p, "_drawn", 0) + 1
    key = [p.seed, p.seed2, p._drawn] if p.seed or p.seed2 else int(_updates._table.random_uniform((1,)).asnumpy()[0] * 2**24)
    rng, scale = np.random.default_rng(key), (height, width, height, width)
    y0, x0, h, w = 0, 0, height, width
    for _ in range(p.max_attempts):
        ratio, y, x = rng.uniform(low, high), rng.uniform(), rng.uniform()
        # Width over height is the ratio: the tallest part of the largest area that fits, the lowest of the smallest area.
        most = min(np.sqrt(large * height * width / ratio), height, width / ratio)
        lowest = np.sqrt(small * height * width / ratio)
        if lowest > most:
            continue
        rows = int(round(rng.uniform(lowest, most)))
        columns = int(round(rows * ratio))
        if not (0 < rows <= height and 0 < columns <= width and small * height * width <= rows * columns <= large * height * width):
            continue
        top, left = int(y * (height - rows + 1)), int(x * (width - columns + 1))
        part = np.array([top, left, top + rows, left + columns])
        b = boxes * scale
        inside = np.clip(np.minimum(b[:, 2:], part[2:]) - np.maximum(b[:, :2], part[:2]), 0, None).prod(1)
        if np.any(inside >= covered * (b[:, 2:] - b[:, :2]).prod(1)) and (covered == 0 or inside.max() > 0):
            y0, x0, h, w = top, left, rows, columns
            break
    box = np.array([[[y0 / height, x0 / width, (y0 + h) / height, (x0 + w) / width]]], np.float32)
    return (Tensor(np.array([y0, x0, 0]).astype(image.dtype)), Tensor(np.array([h, w, -1]).astype(image.dtype)), Tensor(box))


def _deformable_offsets(p, x, offsets):
    from rutile.ops.function.images import deformed_pixels
    if p.data_format not in ("NCHW", "NHWC") or p.modulated is not True:
        raise _errors.ValueError(f"[{p.name}] data_format must be NCHW or NHWC and modulated True, got {p.data_format!r} and {p.modulated!r}")
    last = p.data_format == "NHWC"
    if last:
        x, offsets = (_updates._table.transpose(v, (0, 3, 1, 2)) for v in (x, offsets))
    strides, dilations = ((v[1:3] if last else v[2:]) for v in (p.strides, p.dilations))
    y = deformed_pixels(p.name, x, offsets, p.ksize, strides, p.pads, dilations, p.deformable_groups)
    return _updates._table.transpose(y, (0, 2, 3, 1)) if last else y


_KERNELS = ("lanczos1", "lanczos3", "lanczos5", "gaussian", "box", "triangle", "keyscubic", "mitchellcubic")


def _first(x):
    """Channels before the pixels."""
    return _updates._table.transpose(x.cast("float32"), (0, 3, 1, 2))


def _last(x):
    return _updates._table.transpose(x, (0, 2, 3, 1))


def _check_resampled(p, images, *vectors):
    if p.kernel_type not in _KERNELS:
        raise _errors.ValueError(f"[{p.name}] kernel_type must be one of {', '.join(_KERNELS)}, got {p.kernel_type!r}")
    if images.ndim != 4 or any(tuple(v.shape) != (2,) for v in vectors):
        raise _errors.ValueError(f"[{p.name}] images must be [n, rows, columns, channels] and size, scale and translation of 2 elements, got "
                                 f"{tuple(images.shape)} and {', '.join(str(tuple(v.shape)) for v in vectors)}")


def _sizes(p, size):
    values = tuple(int(v) for v in (size.asnumpy().reshape(-1) if isinstance(size, Tensor) else size))
    if len(values) != 2 or min(values) <= 0:
        raise _errors.ValueError(f"[{p.name}] size must be 2 positive integers, got {values}")
    return values


def _scale_and_translate(p, images, size, scale, translation):
    _check_resampled(p, images, scale, translation)
    t = _updates._table
    return _last(t.scale_and_translate(_first(images), t.stop_gradient(scale), t.stop_gradient(translation), size=_sizes(p, size),
                                       kernel=p.kernel_type, antialias=p.antialias))


def scale_and_translate_grad(p, grads, original_image, scale, translation):
    """dy [n, rows, columns, channels] spread over the pixels of the images that it was made of."""
    _check_resampled(p, grads, scale, translation)
    t = _updates._table
    return _last(t.scale_and_translate_grad(_first(grads), t.stop_gradient(scale), t.stop_gradient(translation),
                                            input_size=tuple(original_image.shape[1:3]), kernel=p.kernel_type, antialias=p.antialias))


def _glimpse(p, x, size, offsets):
    if p.noise not in ("uniform", "gaussian", "zero") or (p.uniform_noise and p.noise != "uniform"):
        raise _errors.ValueError(f"[{p.name}] noise must be uniform, gaussian or zero, and uniform with uniform_noise=True, got {p.noise!r}")
    if x.ndim != 4 or tuple(offsets.shape) != (x.shape[0], 2):
        raise _errors.ValueError(f"[{p.name}] x must be [n, rows, columns, channels] and offsets [n, 2], got {tuple(x.shape)} and {tuple(offsets.shape)}")
    t, size, x = _updates._table, _sizes(p, size), _first(x)
    fill = ()
    if p.noise != "zero":
        # Noise like the pixels of the images: between their smallest and largest, or of their mean and deviation.
        shape, y = (*x.shape[:2], *size), t.stop_gradient(x)
        if p.noise == "uniform":
            low, high = t.min(y, (1, 2, 3), True), t.max(y, (1, 2, 3), True)
            fill = (low + t.random_uniform(shape) * (high - low),)
        else:
            mean = t.mean(y, (1, 2, 3), True)
            fill = (mean + t.random_normal(shape) * t.sqrt(t.mean(t.square(y - mean), (1, 2, 3), True)),)
    return _last(t.extract_glimpse(x, t.stop_gradient(offsets), *fill, size=size, centered=p.centered, normalized=p.normalized))


def define(make, needed):
    """Defines them by the maker of rutile.ops.operations."""
    make("CombinedNonMaxSuppression", {"pad_per_class": False, "clip_boxes": True}, _combined_boxes,
         "(boxes, scores, classes, how many of them) of the best boxes of all classes that overlap no better one of their class.")
    make("SparseSlice", {}, _sparse_slice, "(indices, values, shape) of a part of a sparse tensor.")
    make("FusedSparseAdam", {"use_locking": False, "use_nesterov": False}, _sparse_adam,
         "Adam's step of a whole tensor with a gradient of some of its rows.")
    make("FusedCastAdamWeightDecay", {"use_locking": False}, _cast_adam, "Adam's step with weight decay; the gradient, in a lower precision, is divided by a global norm.")
    flags = {"enable_scale_parameter": False, "enable_first_moment": False, "enable_weight_decay": False}
    make("FusedAdaFactor", flags, _ada_factor, "AdaFactor's step.")
    make("FusedAdaFactorWithGlobalNorm", flags, _ada_factor, "AdaFactor's step; the gradient is divided by a global norm, the last input.")
    make("SampleDistortedBoundingBoxV2", {"seed": 0, "seed2": 0, "aspect_ratio_range": (0.75, 1.33), "area_range": (0.05, 1.0),
                                          "max_attempts": 100, "use_image_if_no_bounding_boxes": False}, _distorted_box,
         "(begin, size, box) of a random part of an image that covers a part of one of its boxes.")
    make("DeformableOffsets", {"strides": needed, "pads": needed, "ksize": needed, "dilations": (1, 1, 1, 1), "data_format": "NCHW",
                               "deformable_groups": 1, "modulated": True}, _deformable_offsets,
         "The pixels that the moved points of a deformable convolution read, weighted by their masks.")
    make("ScaleAndTranslate", {"kernel_type": "lanczos3", "antialias": True}, _scale_and_translate, "Images scaled and moved, by a kernel over the pixels around.")
    make("ExtractGlimpse", {"centered": True, "normalized": True, "uniform_noise": True, "noise": "uniform"}, _glimpse,
         "A window of each image, around a position of its own; noise where it leaves the image.")
