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


def _cast_adam(p, var, m, v, lr, beta1, beta2, epsilon, decay, gradient):
    return _updates.dense(p, (var, m, v, lr, beta1, beta2, epsilon, decay, gradient.cast(var.dtype)), (0, 1, 2), "all", _updates._adam_decay)


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


def define(make, needed):
    """Defines them by the maker of rutile.ops.operations."""
    make("CombinedNonMaxSuppression", {"pad_per_class": False, "clip_boxes": True}, _combined_boxes,
         "(boxes, scores, classes, how many of them) of the best boxes of all classes that overlap no better one of their class.")
    make("SparseSlice", {}, _sparse_slice, "(indices, values, shape) of a part of a sparse tensor.")
    make("FusedSparseAdam", {"use_locking": False, "use_nesterov": False}, _sparse_adam,
         "Adam's step of a whole tensor with a gradient of some of its rows.")
    make("FusedCastAdamWeightDecay", {"use_locking": False}, _cast_adam, "Adam's step with weight decay, the gradient in a lower precision.")
    make("DeformableOffsets", {"strides": needed, "pads": needed, "ksize": needed, "dilations": (1, 1, 1, 1), "data_format": "NCHW",
                               "deformable_groups": 1, "modulated": True}, _deformable_offsets,
         "The pixels that the moved points of a deformable convolution read, weighted by their masks.")
