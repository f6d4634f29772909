# SPDX-License-Identifier: Apache-2.0
"""Boxes, crops and borders of images, and what goes with sequences."""

import builtins as _b
import math as _math

from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops.function._util import _errors, _pair, _tensor

_imported = set(globals())


# ---- Boxes

def iou(anchor_boxes, gt_boxes, mode="iou"):
    """The overlap of boxes (x0, y0, x1, y1): [m, 4] of truth and [n, 4] of anchors give [m, n]; of the union ("iou") or
    of the true box ("iof"). Borders are pixels: a box from 0 to 1 is two wide."""
    if mode not in ("iou", "iof"):
        raise _errors.ValueError(f"iou: mode is 'iou' or 'iof', got {mode!r}")
    a, g = anchor_boxes.reshape(1, -1, 4), gt_boxes.reshape(-1, 1, 4)

    def area(b):
        return (b[..., 2] - b[..., 0] + 1) * (b[..., 3] - b[..., 1] + 1)

    low, high = _table.maximum(a[..., :2], g[..., :2]), _table.minimum(a[..., 2:], g[..., 2:])
    size = _table.clip(high - low + 1, min=0.0, max=_math.inf)
    both = size[..., 0] * size[..., 1]
    return both / (area(a) + area(g) - both if mode == "iou" else area(g) + both * 0)


def check_valid(bboxes, img_metas):
    """Whether boxes [n, 4] lie inside an image of (height, width, ratio)."""
    height, width = img_metas[0] * img_metas[2] - 1, img_metas[1] * img_metas[2] - 1
    x0, y0, x1, y1 = (bboxes[:, i] for i in range(4))
    inside = (x0 >= 0, y0 >= 0, x1 <= width, y1 <= height)
    y = inside[0]
    for v in inside[1:]:
        y = _table.logical_and(y, v)
    return y


def bounding_box_encode(anchor_box, groundtruth_box, means=(0.0, 0.0, 0.0, 0.0), stds=(1.0, 1.0, 1.0, 1.0)):
    """How far true boxes lie from anchors: (dx, dy, log of widths, log of heights), normalised."""
    def parts(b):
        b = b.cast("float32")
        w, h = b[:, 2] - b[:, 0] + 1, b[:, 3] - b[:, 1] + 1
        return (b[:, 0] + b[:, 2]) * 0.5, (b[:, 1] + b[:, 3]) * 0.5, w, h

    px, py, pw, ph = parts(anchor_box)
    gx, gy, gw, gh = parts(groundtruth_box)
    deltas = ((gx - px) / pw, (gy - py) / ph, _table.log(gw / pw), _table.log(gh / ph))
    return _table.concat([((d - m) / s).reshape(-1, 1) for d, m, s in zip(deltas, means, stds)], axis=1)


def bounding_box_decode(anchor_box, deltas, max_shape, means=(0.0, 0.0, 0.0, 0.0), stds=(1.0, 1.0, 1.0, 1.0), wh_ratio_clip=0.016):
    """Boxes from anchors and the deltas of bounding_box_encode, inside an image of (height, width)."""
    a = anchor_box.cast("float32")
    dx, dy, dw, dh = (deltas[:, i].cast("float32") * s + m for i, (m, s) in enumerate(zip(means, stds)))
    limit = abs(_math.log(wh_ratio_clip))
    dw, dh = _table.clip(dw, min=-limit, max=limit), _table.clip(dh, min=-limit, max=limit)
    w, h = a[:, 2] - a[:, 0] + 1, a[:, 3] - a[:, 1] + 1
    gw, gh = w * _table.exp(dw), h * _table.exp(dh)
    gx, gy = (a[:, 0] + a[:, 2]) * 0.5 + w * dx, (a[:, 1] + a[:, 3]) * 0.5 + h * dy
    corners = (gx - gw * 0.5 + 0.5, gy - gh * 0.5 + 0.5, gx + gw * 0.5 - 0.5, gy + gh * 0.5 - 0.5)
    limits = (max_shape[1], max_shape[0]) * 2
    return _table.concat([_table.clip(c, min=0.0, max=float(m)).reshape(-1, 1) for c, m in zip(corners, limits)], axis=1)


def crop_and_resize(image, boxes, box_indices, crop_size, method="bilinear", extrapolation_value=0.0):
    """Boxes (y0, x0, y1, x1 as fractions) of images [n, h, w, c] at a size: [boxes, height, width, c].

    method: "bilinear", "nearest", or "bilinear_v2" (pixel centres at halves of the whole pixels that a box
    touches). What lies outside is extrapolation_value.
    """
    if method not in ("bilinear", "nearest", "bilinear_v2"):
        raise _errors.ValueError(f"crop_and_resize: method is 'bilinear', 'nearest' or 'bilinear_v2', got {method!r}")
    n, height, width, channels = image.shape
    count = boxes.shape[0]

    def along(low, high, size, out):
        step = _table.arange(0, out, 1, "float32").reshape(1, out)
        low, high = low.reshape(-1, 1), high.reshape(-1, 1)
        if method == "bilinear_v2":
            first = _table.floor(low * (size - 1))
            whole = _table.ceil(high * (size - 1)) - first + 1
            return _table.clip(first + (step + 0.5) * whole / out - 0.5, min=0.0, max=float(size - 1))
        if out == 1:
            return (low + high) * 0.5 * (size - 1) + step
        return low * (size - 1) + step * ((high - low) * (size - 1) / (out - 1))

    rows, cols = int(crop_size[0]), int(crop_size[1])
    boxes = boxes.cast("float32")
    y, x = along(boxes[:, 0], boxes[:, 2], height, rows), along(boxes[:, 1], boxes[:, 3], width, cols)
    flat = image.cast("float32").reshape(n * height * width, channels)
    first = box_indices.cast("int64").reshape(-1, 1, 1) * (height * width)

    def at(i, j):
        i, j = (_table.clip(v, min=0, max=m - 1).cast("int64") for v, m in ((i, height), (j, width)))
        return _table.gather(flat, first + i.reshape(count, rows, 1) * width + j.reshape(count, 1, cols), axis=0)

    if method == "nearest":
        # Halves away from zero.
        value = at(_table.floor(y + 0.5), _table.floor(x + 0.5))
    else:
        top, left = _table.floor(y), _table.floor(x)
        fy, fx = (y - top).reshape(count, rows, 1, 1), (x - left).reshape(count, 1, cols, 1)
        upper = at(top, left) * (1 - fx) + at(top, left + 1) * fx
        value = upper * (1 - fy) + (at(top + 1, left) * (1 - fx) + at(top + 1, left + 1) * fx) * fy
    inside = _table.logical_and(_table.logical_and(y >= 0, y <= height - 1).reshape(count, rows, 1, 1),
                                _table.logical_and(x >= 0, x <= width - 1).reshape(count, 1, cols, 1))
    return _table.where(inside, value, _table.full((), extrapolation_value, "float32"))


# ---- Borders

def mirror_pad(input_x, paddings, mode):
    """The border mirrored around: paddings [dimensions, 2]; mode "REFLECT" leaves the edge out, "SYMMETRIC" repeats it."""
    if mode not in ("REFLECT", "SYMMETRIC"):
        raise _errors.ValueError(f"mirror_pad: mode is 'REFLECT' or 'SYMMETRIC', got {mode!r}")
    pads = paddings.asnumpy().tolist() if isinstance(paddings, Tensor) else [list(p) for p in paddings]
    if len(pads) != input_x.ndim:
        raise _errors.ValueError(f"mirror_pad: paddings of {len(pads)} dimensions for a tensor of {input_x.ndim}")
    edge = 1 if mode == "REFLECT" else 0
    for axis, (before, after) in enumerate(pads):
        n = input_x.shape[axis]
        if _b.min(before, after) < 0 or _b.max(before, after) > n - edge:
            raise _errors.ValueError(f"mirror_pad: paddings {before}, {after} of a dimension of {n}")
        if before or after:
            index = [before - 1 - i + edge for i in range(before)] + list(range(n)) + [n - 1 - i - edge for i in range(after)]
            input_x = _table.gather(input_x, Tensor(index, "int64"), axis=axis)
    return input_x


def padding(x, pad_dim_size=8):
    """The last dimension, of size 1, filled up with zeros."""
    if x.ndim < 2 or x.shape[-1] != 1:
        raise _errors.ValueError(f"padding: expects two dimensions or more, the last of size 1, got {x.shape}")
    if pad_dim_size < 1:
        raise _errors.ValueError(f"padding: pad_dim_size must be positive, got {pad_dim_size}")
    return _table.pad(x, before=(0,) * x.ndim, after=(0,) * (x.ndim - 1) + (pad_dim_size - 1,))


# ---- Pools of random steps

def _fraction_starts(samples, size, kernel, out):
    """Where each window begins: (i + u) * alpha cut off, differences of which are steps; int64 [.., out]."""
    if out == 1:
        return _table.full((*samples.shape, 1), size - kernel, "int64")
    alpha = (size - kernel) / (out - 1)
    u = samples.reshape(*samples.shape, 1)
    i = _table.arange(0, out, 1, samples.dtype)
    starts = _table.floor((i + u) * alpha).cast("int64") - _table.floor(u * alpha).cast("int64")
    return _table.where(i == out - 1, _table.full((), size - kernel, "int64"), starts)


def _fractional(name, x, kernel_size, output_size, output_ratio, return_indices, samples, n):
    if (output_size is None) == (output_ratio is None):
        raise _errors.ValueError(f"{name}: needs either output_size or output_ratio")
    single = x.ndim == n + 1
    x = x.reshape(1, *x.shape) if single else x
    if x.ndim != n + 2:
        raise _errors.ValueError(f"{name}: expects {n + 1} or {n + 2} dimensions, got {x.ndim}")
    kernel = (kernel_size,) * n if isinstance(kernel_size, int) else tuple(kernel_size)
    sizes = x.shape[2:]
    if output_size is None:
        ratio = (output_ratio,) * n if isinstance(output_ratio, float) else tuple(output_ratio)
        out = tuple(int(s * r) for s, r in zip(sizes, ratio))
    else:
        out = (output_size,) * n if isinstance(output_size, int) else tuple(output_size)
    if any(o < 1 or o + k - 1 > s for o, k, s in zip(out, kernel, sizes)):
        raise _errors.ValueError(f"{name}: {out} windows of {kernel} do not fit {sizes}")
    if samples is None:
        samples = _table.random_uniform((*x.shape[:2], n), 0.0, 1.0, "float32")
    lead = x.shape[:2]
    place = _table.full((), 0, "int64")
    for d in range(n):
        # Samples name the last dimension first.
        starts = _fraction_starts(samples[..., n - 1 - d], sizes[d], kernel[d], out[d])
        shape = [1] * (2 * n)
        shape[d] = out[d]
        window = [1] * (2 * n)
        window[n + d] = kernel[d]
        index = starts.reshape(*lead, *shape) + _table.arange(0, kernel[d], 1, "int64").reshape(window)
        place = place * sizes[d] + index
    flat = x.reshape(*lead, -1)
    count, each = _math.prod(out), _math.prod(kernel)
    place = place.reshape(*lead, count * each)
    values = _table.take_along_axis(flat, place, axis=2).reshape(*lead, count, each)
    best = _table.argmax(values, (3,), True)
    y = _table.take_along_axis(values, best, axis=3).reshape(*lead, *out)
    where = _table.take_along_axis(place.reshape(*lead, count, each), best, axis=3).reshape(*lead, *out)
    if single:
        y, where = y.reshape(y.shape[1:]), where.reshape(where.shape[1:])
    return (y, where) if return_indices else y


def fractional_max_pool2d(input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
    """The largest of windows whose steps are random (Graham, Fractional Max-Pooling, 2014)."""
    return _fractional("fractional_max_pool2d", input, kernel_size, output_size, output_ratio, return_indices, _random_samples, 2)


def fractional_max_pool3d(input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
    """The same in three dimensions."""
    return _fractional("fractional_max_pool3d", input, kernel_size, output_size, output_ratio, return_indices, _random_samples, 3)


# ---- Deformable convolution

def deformable_conv2d(x, weight, offsets, kernel_size, strides, padding, bias=None, dilations=(1, 1, 1, 1), groups=1,
                      deformable_groups=1, modulated=True):
    """Convolution whose kernel's points are moved by offsets (Dai, 2017), weighted by a mask if modulated (Zhu, 2018).

    offsets [n, 3 * deformable_groups * points, h, w]: of x for all points, of y, then the masks (without modulated the
    first two). strides, padding (top, bottom, left, right) and dilations have four entries as the operator's.
    """
    if not modulated:
        raise _errors.ValueError("deformable_conv2d: modulated must be True")
    kernel = _pair(kernel_size)
    moved = deformed_pixels("deformable_conv2d", x, offsets, kernel, strides[2:], padding, dilations[2:], deformable_groups)
    return _table.conv2d(moved, weight, bias, stride=kernel, groups=groups)


def deformed_pixels(name, x, offsets, kernel, strides, padding, dilations, groups):
    """The pixels that the kernel's moved points read, one image [n, c, oh * kh, ow * kw]."""
    n, c, h, w = x.shape
    (kh, kw), (sh, sw), (dh, dw), (top, bottom, left, right) = kernel, strides, dilations, padding
    points, g = kh * kw, groups
    oh = (h + top + bottom - (kh - 1) * dh - 1) // sh + 1
    ow = (w + left + right - (kw - 1) * dw - 1) // sw + 1
    if offsets.shape != (n, 3 * g * points, oh, ow):
        raise _errors.ValueError(f"{name}: offsets expects {(n, 3 * g * points, oh, ow)}, got {offsets.shape}")
    parts = offsets.reshape(n, 3, g, kh, kw, oh, ow)
    steps = [_table.arange(0, v, 1, offsets.dtype) for v in (oh, ow, kh, kw)]
    y = steps[0].reshape(oh, 1) * sh - top + steps[2].reshape(kh, 1, 1, 1) * dh + parts[:, 1]
    xx = steps[1] * sw - left + steps[3].reshape(kw, 1, 1) * dw + parts[:, 0]
    # One image whose rows are those of every point: h' = kh * oh, w' = kw * ow.
    order = (0, 1, 4, 2, 5, 3)
    grid = [_table.transpose(v, order).reshape(n * g, oh * kh, ow * kw) for v in (y, xx)]
    mask = _table.transpose(parts[:, 2], order).reshape(n, g, 1, oh * kh, ow * kw)
    unit = _table.concat([((grid[1] * 2 + 1) / w - 1).reshape(n * g, oh * kh, ow * kw, 1),
                          ((grid[0] * 2 + 1) / h - 1).reshape(n * g, oh * kh, ow * kw, 1)], axis=3)
    sampled = _table.grid_sample(x.reshape(n * g, c // g, h, w), unit, mode="bilinear", padding_mode="zeros", align_corners=False)
    return (sampled.reshape(n, g, c // g, oh * kh, ow * kw) * mask).reshape(n, c, oh * kh, ow * kw)


# ---- Sequences and segments

def unique_with_pad(x, pad_num):
    """(the distinct elements, then pad_num up to x's size, where each element stands among them)"""
    import numpy as np
    if x.ndim != 1:
        raise _errors.ValueError(f"unique_with_pad: expects one dimension, got {x.ndim}")
    values, first, inverse = np.unique(x.asnumpy(), return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")  # in the order in which they come
    y = np.full(x.shape, int(pad_num), values.dtype)
    y[:len(values)] = values[order]
    return Tensor(y), Tensor(np.argsort(order)[inverse].astype(values.dtype))


def sparse_segment_mean(x, indices, segment_ids):
    """Means of the rows that indices name, by segment; segment_ids rise."""
    count = int(segment_ids.asnumpy()[-1]) + 1 if segment_ids.size else 0
    rows = _table.gather(x, indices.cast("int64"), axis=0)
    ids = segment_ids.cast("int64").reshape(-1, 1)
    total = _table.scatter_nd(ids, rows, shape=(count, *x.shape[1:]))
    n = _table.scatter_nd(ids, _table.full((segment_ids.size,), 1, x.dtype), shape=(count,))
    return total / _table.maximum(n, _table.full((), 1, x.dtype)).reshape(-1, *[1] * (x.ndim - 1))


def ctc_greedy_decoder(inputs, sequence_length, merge_repeated=True):
    """The most likely classes of [time, batch, classes], the last being blank.

    Gives a sparse matrix (indices [n, 2], values [n], shape [2], all int64) and the negated sums of the largest values.
    """
    import numpy as np
    x, lengths = inputs.asnumpy(), sequence_length.asnumpy()
    best, blank = x.argmax(-1), x.shape[-1] - 1
    indices, values, sums = [], [], []
    for b, length in enumerate(lengths):
        place, last = 0, -1
        for t in range(int(length)):
            k = int(best[t, b])
            if k != blank and not (merge_repeated and k == last):
                indices.append((b, place))
                values.append(k)
                place += 1
            last = k
        sums.append(-x[:int(length), b].max(-1).sum())
    longest = _b.max((p for _, p in indices), default=-1) + 1
    return (Tensor(np.array(indices, np.int64).reshape(-1, 2)), Tensor(np.array(values, np.int64)),
            Tensor(np.array([len(lengths), longest], np.int64)), Tensor(np.array(sums, x.dtype).reshape(-1, 1)))


__all__ = [_n for _n, _v in list(globals().items()) if callable(_v) and not _n.startswith("_") and _n not in _imported]
