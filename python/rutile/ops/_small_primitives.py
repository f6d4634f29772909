# SPDX-License-Identifier: Apache-2.0
"""Further primitives of their own: counting, segments, boxes, colours, checks, functions of Python."""

import functools as _functools
import math as _math

from rutile import _rutile
from rutile._rutile import Tensor
from rutile._rutile import ops as _table
from rutile.ops import function as F

_errors = _rutile.errors


def _ints(v):
    return tuple(int(i) for i in v.asnumpy().reshape(-1)) if isinstance(v, Tensor) else (v,) if isinstance(v, int) else tuple(v)


def _segment(x, ids, reduce):
    n = int(ids.asnumpy()[-1]) + 1 if ids.size else 0
    index = ids.cast("int64").reshape(-1, 1)
    hit = _table.scatter_nd(index, _table.full((ids.size,), 1, "float32"), shape=(n,)).reshape(-1, *[1] * (x.ndim - 1))
    if reduce in ("sum", "mean"):
        total = _table.scatter_nd(index, x, shape=(n, *x.shape[1:]))
        return total if reduce == "sum" else total / _table.maximum(hit, 1.0).cast(x.dtype)
    function = {"max": F.unsorted_segment_max, "min": F.unsorted_segment_min, "prod": F.unsorted_segment_prod}[reduce]
    empty = _table.full((), 1 if reduce == "prod" else 0, x.dtype)
    return _table.where(hit == 0, empty, function(x, ids, n))


def _bound(p, sorted_x, values, right):
    return F.searchsorted(sorted_x, values, right=right).cast(p.out_type)


def _edit_distance(p, h_index, h_values, h_shape, t_index, t_values, t_shape):
    import numpy as np

    def sequences(index, values):
        out = {}
        for place, v in zip(index.asnumpy().tolist(), values.asnumpy().tolist()):
            out.setdefault(tuple(place[:-1]), []).append((place[-1], v))
        return {k: [v for _, v in sorted(s)] for k, s in out.items()}

    hyp, truth = sequences(h_index, h_values), sequences(t_index, t_values)
    shape = tuple(max(a, b) for a, b in zip(_ints(h_shape)[:-1], _ints(t_shape)[:-1]))
    out = np.zeros(shape, np.float32)
    for place in np.ndindex(*shape):
        a, b = hyp.get(place, []), truth.get(place, [])
        row = list(range(len(b) + 1))
        for i, x in enumerate(a, 1):
            last, row[0] = row[0], i
            for j, y in enumerate(b, 1):
                last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
        d = float(row[-1])
        out[place] = (d / len(b) if b else (_math.inf if a else 0.0)) if p.normalize else d
    return Tensor(out)


def _suppressed(p, boxes):
    """Boxes in order of their scores, and which are kept when those that overlap a better one go."""
    import numpy as np
    b = boxes.asnumpy()
    b = b[np.argsort(-b[:, 4], kind="stable")]
    keep = np.ones(len(b), bool)
    area = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    for i in range(len(b)):
        if keep[i]:
            w = np.maximum(np.minimum(b[i, 2], b[:, 2]) - np.maximum(b[i, 0], b[:, 0]), 0)
            h = np.maximum(np.minimum(b[i, 3], b[:, 3]) - np.maximum(b[i, 1], b[:, 1]), 0)
            overlap = w * h / np.maximum(area[i] + area - w * h, 1e-12)
            keep[i + 1:] &= overlap[i + 1:] <= p.iou_threshold
    return Tensor(b), Tensor(np.arange(len(b), dtype=np.int32)), Tensor(keep)


def _best_boxes(boxes, scores, most, iou, least):
    import numpy as np
    b, s = boxes.asnumpy().astype(np.float64), scores.asnumpy()
    y0, x0, y1, x1 = np.minimum(b[:, 0], b[:, 2]), np.minimum(b[:, 1], b[:, 3]), np.maximum(b[:, 0], b[:, 2]), np.maximum(b[:, 1], b[:, 3])
    area, chosen = (y1 - y0) * (x1 - x0), []
    for i in np.argsort(-s, kind="stable"):
        if len(chosen) == int(most) or s[i] <= float(least):
            break
        h = np.maximum(np.minimum(y1[i], y1[chosen]) - np.maximum(y0[i], y0[chosen]), 0)
        w = np.maximum(np.minimum(x1[i], x1[chosen]) - np.maximum(x0[i], x0[chosen]), 0)
        union = area[i] + area[chosen] - h * w
        if not np.any(h * w > float(iou) * union):
            chosen.append(int(i))
    return Tensor(np.array(chosen, np.int32))


def _best_by_overlap(overlaps, scores, most, limit, least):
    import numpy as np
    o, s, chosen = overlaps.asnumpy(), scores.asnumpy(), []
    for i in np.argsort(-s, kind="stable"):
        if len(chosen) == int(most) or s[i] <= float(least):
            break
        if not np.any(o[i, chosen] > float(limit)):
            chosen.append(int(i))
    return Tensor(np.array(chosen, np.int32))


def _no_repeats(p, sequence, log_probs):
    import numpy as np
    s, y, n = sequence.asnumpy(), log_probs.asnumpy().copy(), p.ngram_size
    for place in np.ndindex(*s.shape[:-1]):
        row = s[place].tolist()
        last = row[len(row) - n + 1:]
        for i in range(len(row) - n + 1):
            if row[i:i + n - 1] == last:
                y[place][row[i + n - 1]] = np.finfo(y.dtype).min
    return Tensor(y)


def _to_hsv(x):
    r, g, b = (x[..., i:i + 1] for i in range(3))
    high, low = _table.max(x, (-1,), True), _table.min(x, (-1,), True)
    span = high - low
    safe = _table.where(span == 0, span * 0 + 1, span)
    hue = _table.where(high == r, (g - b) / safe, _table.where(high == g, 2 + (b - r) / safe, 4 + (r - g) / safe)) / 6
    hue = _table.where(span == 0, span * 0, hue - _table.floor(hue))
    return _table.concat([hue, _table.where(high > 0, span / _table.where(high > 0, high, high * 0 + 1), high * 0), high], axis=-1)


def _to_rgb(x):
    h, s, v = (x[..., i:i + 1] for i in range(3))
    parts = []
    for n in (5.0, 3.0, 1.0):
        k = _table.remainder(h * 6 + n, Tensor(6.0, x.dtype))
        parts.append(v - v * s * _table.clip(_table.minimum(k, 4 - k), min=0.0, max=1.0))
    return _table.concat(parts, axis=-1)


def _cubic(p, x, size):
    """Cubic between pixels: positions as the other resizes have them, slopes -0.5 with centres at halves, else -0.75."""
    import numpy as np
    a = -0.5 if p.half_pixel_centers else -0.75
    x = x.cast("float32") if not x.dtype.name.startswith("float") else x
    for axis, out in zip((2, 3), _ints(size)):
        n, i = x.shape[axis], np.arange(out)
        at = i * ((n - 1) / (out - 1)) if p.align_corners and out > 1 else (i + 0.5) * (n / out) - 0.5 if p.half_pixel_centers else i * (n / out)
        low = np.floor(at).astype(np.int64)
        t, total, weights = at - low, 0, []
        for k in range(-1, 3):
            d = np.abs(t - k)
            w = np.where(d <= 1, (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1, a * d ** 3 - 5 * a * d ** 2 + 8 * a * d - 4 * a)
            weights.append(np.where((low + k >= 0) & (low + k < n), w, 0) if p.half_pixel_centers else w)
        norm = sum(weights) if p.half_pixel_centers else 1.0
        for k, w in zip(range(-1, 3), weights):
            w = Tensor((w / norm).astype(np.float32)).cast(x.dtype).reshape([-1 if v == axis else 1 for v in range(4)])
            total = total + _table.gather(x, Tensor(np.clip(low + k, 0, n - 1)), axis=axis) * w
        x = total
    return x


def _cubic_between(x, size):
    """As ResizeBicubic with half_pixel_centers."""
    import types
    return _cubic(types.SimpleNamespace(align_corners=False, half_pixel_centers=True), x, size)


def _sparse_to_dense(indices, values, shape):
    index = indices.reshape(values.size, -1).cast("int64")
    return _table.scatter_nd(index, values.reshape(-1), shape=_ints(shape))


def _sparse_matmul(p, indices, values, shape, dense):
    matrix = _sparse_to_dense(indices, values, shape)
    return _table.matmul(matrix, dense, p.adjoint_st, p.adjoint_dt)


def _ragged(p, starts, limits, deltas):
    import numpy as np
    s, l, d = (v.asnumpy().reshape(-1) for v in (starts, limits, deltas))
    n = max(len(s), len(l), len(d))
    rows = [np.arange(*v) for v in zip(*(np.broadcast_to(x, n) for x in (s, l, d)))]
    return Tensor(np.cumsum([0] + [len(r) for r in rows])).cast(p.Tsplits), Tensor(np.concatenate(rows).astype(s.dtype))


def _hits(p, true_classes, sampled):
    import numpy as np
    t, s = true_classes.asnumpy(), sampled.asnumpy()
    rows = [(i, k) for i, row in enumerate(t) for v in row for k in np.flatnonzero(s == v)]
    rows = np.array(rows, np.int64).reshape(-1, 2)
    return (Tensor(rows[:, 0].astype(t.dtype)), Tensor(rows[:, 1].astype(t.dtype)),
            Tensor(np.full(len(rows), np.finfo(np.float32).min, np.float32)))


def _pad_v3(p, x, paddings, value=None):
    pads = list(_ints(paddings))
    if not p.paddings_contiguous:
        half = len(pads) // 2
        pads = [v for pair in zip(pads[:half], pads[half:]) for v in pair]
    return F.pad(x, pads, {"edge": "replicate", "wrap": "circular"}.get(p.mode, p.mode), value.asnumpy().item() if isinstance(value, Tensor) else value)


def _lstm(p, x, h, c, w):
    """Layers of an LSTM with all weights in one vector: those of inputs, of states, biases of both, layer by layer."""
    size, directions, flat, at = p.hidden_size, 2 if p.bidirectional else 1, w.reshape(-1), 0

    def take(*shape):
        nonlocal at
        n = _math.prod(shape)
        at += n
        return flat[at - n:at].reshape(shape)

    weights = []
    for layer in range(p.num_layers):
        width = p.input_size if layer == 0 else size * directions
        weights.append([(take(4 * size, width), take(4 * size, size)) for _ in range(directions)])
    if p.has_bias:
        # Two for each, of which MindSpore's kernel reads the first.
        weights = [[(*w2, take(8 * size)[:4 * size]) for w2 in row] for row in weights]
    hs, cs = [], []
    for layer, row in enumerate(weights):
        outs = []
        for d, ws in enumerate(row):
            k = layer * directions + d
            gx = _table.linear(x, ws[0], ws[2] if p.has_bias else None)
            y, hn, cn = _table.recurrent(gx, h[k], ws[1], c[k], kind="lstm", reverse=d == 1)[:3]
            outs.append(y)
            hs.append(hn)
            cs.append(cn)
        x = outs[0] if directions == 1 else _table.concat(outs, axis=-1)
    zero = Tensor([0.0])
    return x, F.stack(hs), F.stack(cs), zero, zero


def _ctc(p, logits, places, values, lengths):
    """Losses and their gradients by the logits; the last class is the blank one."""
    import numpy as np
    if not p.ctc_merge_repeated:
        raise _errors.UnsupportedError("CTCLoss: ctc_merge_repeated=False is not supported")
    steps, n, classes = logits.shape
    rows = [[] for _ in range(n)]
    for row, label in zip(places.asnumpy()[:, 0], values.asnumpy()):
        if not (p.preprocess_collapse_repeated and rows[row][-1:] == [label]):
            rows[row].append(label)
    if not p.ignore_longer_outputs_than_inputs and any(len(r) > k for r, k in zip(rows, lengths.asnumpy())):
        raise _errors.ValueError("CTCLoss: a sequence of labels is longer than its input")
    targets = np.zeros((n, max(1, *map(len, rows))), np.int64)
    for row, labels in zip(targets, rows):
        row[:len(labels)] = labels
    counts = Tensor(np.array([len(r) for r in rows], np.int64))

    def total(x):
        loss = _table.ctc_loss(_table.log_softmax(x), Tensor(targets), lengths.cast("int64"), counts, blank=classes - 1,
                               reduction="none", zero_infinity=p.ignore_longer_outputs_than_inputs)
        return _table.sum(loss), loss

    from rutile.ops.transform import value_and_grad
    (_, loss), gradient = value_and_grad(total, 0, None, has_aux=True)(logits)
    return loss, gradient


def _volume_patches(p, x):
    """Windows of [n, c, d, h, w] as channels, those of one place in a window side by side."""
    kernel, stride = (tuple(v[-3:]) for v in (p.kernel_size, p.strides))
    if p.padding.upper() == "SAME":
        need = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(x.shape[2:], kernel, stride)]
        x = _table.pad(x, before=(0, 0, *(v // 2 for v in need)), after=(0, 0, *(v - v // 2 for v in need)))
    last = [n - k for n, k in zip(x.shape[2:], kernel)]
    parts = [x[(slice(None), slice(None), *(slice(o, o + m + 1, s) for o, m, s in zip((a, b, c), last, stride)))]
             for a in range(kernel[0]) for b in range(kernel[1]) for c in range(kernel[2])]
    return _table.concat(parts, axis=1)


def _checked(x):
    if not bool(_table.all(_table.isfinite(x))):
        raise _errors.RuntimeError("CheckNumerics: the tensor has infinities or NaN")
    return x


def _assert(p, condition, inputs):
    if not bool(condition):
        shown = "\n".join(f"input data: {v.asnumpy().reshape(-1)[:p.summarize]}" for v in inputs)
        raise _errors.RuntimeError(f"For 'Assert' condition is false.\n{shown}")


def _layout(name, src, dst):
    if sorted((src, dst)) not in (["NCHW", "NHWC"], ["NCHW", "NCHW"], ["NHWC", "NHWC"]):
        raise _errors.ValueError(f"{name}: formats are 'NCHW' and 'NHWC', got {src!r} and {dst!r}")


def _dim_map(p, x):
    _layout(p.name, p.src_format, p.dst_format)
    places = Tensor([p.src_format.index(d) for d in p.dst_format], "int64")
    return _table.gather(places, _table.remainder(x.cast("int64"), Tensor(4, "int64")), axis=0).cast(x.dtype)


def _vec_permute(p, x):
    _layout(p.name, p.src_format, p.dst_format)
    return _table.gather(x, Tensor([p.src_format.index(d) for d in p.dst_format], "int64"), axis=0)


def _fixed_histogram(p, x, bounds):
    low, high = (float(v) for v in bounds.asnumpy())
    place = _table.clip(_table.floor((x.cast("float32") - low) / ((high - low) / p.nbins)), min=0.0, max=float(p.nbins - 1))
    return _table.scatter_nd(place.cast("int64").reshape(-1, 1), _table.full((x.size,), 1, "int64"), shape=(p.nbins,)).cast(p.dtype)


def _lookup(params, indices, offset=0):
    place = indices.cast("int64") - int(offset)
    inside = _table.logical_and(place >= 0, place < params.shape[0])
    y = _table.gather(params, _table.clip(place, min=0, max=params.shape[0] - 1), axis=0)
    return _table.where(inside.reshape(*inside.shape, *[1] * (params.ndim - 1)), y, _table.full((), 0, params.dtype))


def _difference(p, x, y):
    import numpy as np
    keep = np.flatnonzero(~np.isin(x.asnumpy(), y.asnumpy()))
    return Tensor(x.asnumpy()[keep]), Tensor(keep).cast(p.out_idx)


def _unravel(indices, dims):
    sizes, out, rest = _ints(dims), [], indices.cast("int64")
    for n in reversed(sizes):
        out.append(_table.remainder(rest, Tensor(n, "int64")))
        rest = _table.floor_div(rest, Tensor(n, "int64"))
    return F.stack(out[::-1], 0).cast(indices.dtype)


def _hue(image, delta):
    hsv = _to_hsv(image)
    hue = hsv[..., :1] + delta
    return _to_rgb(_table.concat([hue - _table.floor(hue), hsv[..., 1:]], axis=-1))


def _saturation(image, scale):
    hsv = _to_hsv(image)
    return _to_rgb(_table.concat([hsv[..., :1], _table.clip(hsv[..., 1:2] * scale, min=0.0, max=1.0), hsv[..., 2:]], axis=-1))


def _nll(p, logits, labels, weight):
    place = labels.cast("int64").reshape(-1, 1)
    keep = place != p.ignore_index
    safe = _table.where(keep, place, place * 0)
    w = _table.where(keep, _table.gather(weight, safe, axis=0), _table.full((), 0, weight.dtype)).reshape(-1)
    per = -_table.take_along_axis(logits, safe, axis=1).reshape(-1) * w
    total = _table.sum(w)
    return (per if p.reduction == "none" else _table.sum(per) / total if p.reduction == "mean" else _table.sum(per)), total


def define(define, needed):
    """Defines them: define(name, attributes, call, doc)."""
    define("Eig", {"compute_v": False}, lambda p, x: F.eig(x) if p.compute_v else (F.eigvals(x), Tensor([], "complex64")), "(eigenvalues, eigenvectors).")
    for kind in ("Sum", "Mean", "Max", "Min", "Prod"):
        define(f"Segment{kind}", {}, lambda self, x, ids, r=kind.lower(): _segment(x, ids, r), f"The {kind.lower()} of each segment; ids rise.")
    define("LowerBound", {"out_type": "int32"}, lambda self, s, v: _bound(self, s, v, False), "The first place of values in sorted rows.")
    define("UpperBound", {"out_type": "int32"}, lambda self, s, v: _bound(self, s, v, True), "The place behind values in sorted rows.")
    define("EditDistance", {"normalize": True}, _edit_distance, "Levenshtein's distances of sequences of two sparse tensors.")
    define("NMSWithMask", {"iou_threshold": 0.5}, _suppressed, "(boxes in order of their scores, their places, which are kept).")
    define("NonMaxSuppressionV3", {}, lambda self, *a: _best_boxes(*a), "The best boxes that do not overlap a better one.")
    define("NonMaxSuppressionWithOverlaps", {}, lambda self, *a: _best_by_overlap(*a), "The same by given overlaps.")
    define("NoRepeatNGram", {"ngram_size": 1}, _no_repeats, "Log-probabilities without what would repeat a sequence of words.")
    define("RGBToHSV", {}, lambda self, x: _to_hsv(x), "Colours as hue, saturation and value, in the last dimension.")
    define("HSVToRGB", {}, lambda self, x: _to_rgb(x), "The inverse of RGBToHSV.")
    define("AdjustHue", {}, lambda self, x, delta: _hue(x, delta), "Colours with their hue turned by delta.")
    define("AdjustSaturation", {}, lambda self, x, scale: _saturation(x, scale), "Colours with their saturation scaled.")
    define("ResizeBicubic", {"align_corners": False, "half_pixel_centers": False}, _cubic, "Cubic between pixels at a size.")
    define("SparseToDense", {}, lambda self, *a: _sparse_to_dense(*a), "Zeros of a shape with values at indices.")
    define("SparseTensorDenseMatmul", {"adjoint_st": False, "adjoint_dt": False}, _sparse_matmul, "A sparse matrix times another.")
    define("SparseTensorDenseAdd", {}, lambda self, i, v, shape, x: _sparse_to_dense(i, v, shape) + x, "A sparse tensor plus another.")
    define("SparseGatherV2", {}, lambda self, x, i, axis: F.gather(x, i, int(axis)), "The slices along an axis that indices name.")
    define("RaggedRange", {"Tsplits": needed}, _ragged, "(where each range begins, the ranges one after the other).")
    define("ComputeAccidentalHits", {"num_true": 1}, _hits, "(rows, places, lowest numbers) of samples that are true classes.")
    define("PadV3", {"mode": "constant", "paddings_contiguous": True}, _pad_v3, "As ops.pad, with paddings as a tensor.")
    define("LSTM", {"input_size": needed, "hidden_size": needed, "num_layers": needed, "has_bias": needed, "bidirectional": needed,
                    "dropout": needed, "proj_size": 0}, _lstm, "(outputs, last h, last c, 0, 0) with all weights in one vector.")
    define("CTCLoss", {"preprocess_collapse_repeated": False, "ctc_merge_repeated": True, "ignore_longer_outputs_than_inputs": False},
           _ctc, "(losses of label sequences, their gradients by the logits); labels are a sparse matrix, the last class is the blank.")
    define("ExtractVolumePatches", {"kernel_size": needed, "strides": needed, "padding": needed}, _volume_patches, "Windows of volumes as channels.")
    define("NPUAllocFloatStatus", {}, lambda self: _table.full((8,), 0, "float32"), "The status of float arithmetic: 8 zeros, no error.")
    for name in ("NPUGetFloatStatus", "NPUClearFloatStatus"):
        define(name, {}, lambda self, status: status, "The status as it is: the CPU counts no errors of float arithmetic.")
    define("CheckNumerics", {}, lambda self, x: _checked(x), "Its input; an error where it is not finite.")
    define("Assert", {"summarize": 3}, _assert, "An error with the inputs unless the condition holds.")
    define("DataFormatDimMap", {"src_format": "NHWC", "dst_format": "NCHW"}, _dim_map, "Dimensions of one format as those of another.")
    define("DataFormatVecPermute", {"src_format": "NHWC", "dst_format": "NCHW"}, _vec_permute, "A vector by dimension in another format's order.")
    define("HistogramFixedWidth", {"nbins": needed, "dtype": "int32"}, _fixed_histogram, "How many fall into each of equal bins; what is outside into the last ones.")
    define("EmbeddingLookup", {}, lambda self, *a: _lookup(*a), "Rows by index minus an offset, zeros for those outside.")
    define("EqualCount", {}, lambda self, x, y: _table.sum((x == y).cast("int64")).cast(x.dtype).reshape(1), "How many elements are equal.")
    define("FillV2", {}, lambda self, shape, value: _table.broadcast_to(value, _ints(shape)), "A tensor of one value.")
    define("FloatStatus", {}, lambda self, x: 1 - _table.all(_table.isfinite(x)).cast("float32").reshape(1), "1 where an element is not finite, else 0.")
    define("IndexPut", {"accumulate": 0}, lambda self, x, values, indices: F.index_put(x, indices, values, bool(self.accumulate)), "x with values put or added at indices.")
    define("InplaceUpdateV2", {}, lambda self, x, indices, v: F.inplace_update(x, v, indices), "Rows replaced.")
    define("InvertPermutation", {}, lambda self, x: tuple(sorted(range(len(x)), key=lambda i: x[i])), "Where each number stands in a permutation.")
    define("LARSUpdate", {"epsilon": 1e-5, "hyperpara": 0.001, "use_clip": False}, lambda self, *a: _lars(self, a), "The gradient of the LARS optimizer.")
    define("LerpScalar", {}, lambda self, a, b, w: F.lerp(a, b, w), "a + w * (b - a)")
    define("ListDiff", {"out_idx": "int32"}, _difference, "(what x has and y has not, its places).")
    define("MapUniform", {}, lambda self, x, size, groups: _table.remainder(x, groups) * size + _table.floor_div(x, groups), "Numbers spread over groups.")
    define("MulNoNan", {}, lambda self, x, y: _table.where(y == 0, _zeros(x, y), x * y), "x * y, 0 where y is 0.")
    define("NLLLoss", {"reduction": "mean", "ignore_index": -100}, _nll, "(loss, sum of the weights).")
    define("ParallelConcat", {}, lambda self, xs: _table.concat(list(xs), axis=0), "Joined along the first dimension.")
    define("Partial", {}, lambda self, fn, *a, **k: _functools.partial(fn, *a, **k), "A function with arguments given.")
    define("NthElement", {"reverse": False}, lambda self, x, n: _table.sort(x, -1, self.reverse)[0][..., int(n)], "The n-th smallest of each row.")
    define("ScalarCast", {}, lambda self, x, t: F.scalar_cast(x, t), "A number of another type.")
    define("ScatterAddWithAxis", {"axis": 0}, lambda self, x, i, u: _table.scatter_add(x, i.cast("int64"), u, axis=self.axis), "Updates added along an axis.")
    define("ScatterNonAliasingAdd", {}, lambda self, x, i, u: F.scatter_nd_add(x, i, u), "As ScatterNdAdd.")
    define("SubAndFilter", {}, lambda self, x, most, offset: _within(x, int(most), int(offset)), "(x - offset where it is in [0, most), its places).")
    define("TupleToArray", {}, lambda self, x: Tensor(list(x), "float32" if any(isinstance(v, float) for v in x) else "int64"), "A tuple of numbers as a Tensor.")
    define("ScalarToArray", {}, lambda self, x: Tensor(x), "A number as a Tensor.")
    define("UnravelIndex", {}, lambda self, i, dims: _unravel(i, dims), "Places in a flat tensor as coordinates.")
    define("CompareAndBitpack", {}, lambda self, x, t: _bits(x > t), "Eight comparisons in each byte.")
    define("CopyWithSlice", {}, lambda self, x, value: x._rebind(_table.broadcast_to(value.cast(x.dtype), x.shape)), "Another value in place.")
    define("Reusing", {}, lambda self, *a: a[0] if len(a) == 1 else a, "Its inputs.")


def _zeros(x, y):
    return _table.full(_table.broadcast_to(x, (x == y).shape).shape, 0, x.dtype)


def _within(x, most, offset):
    import numpy as np
    y = x.asnumpy() - offset
    keep = np.flatnonzero((y >= 0) & (y < most))
    return Tensor(y[keep]), Tensor(keep.astype(np.int32))


def _bits(x):
    bits = x.cast("uint8").reshape(*x.shape[:-1], -1, 8)
    return _table.sum(bits.cast("int32") * Tensor([128, 64, 32, 16, 8, 4, 2, 1], "int32"), (-1,)).cast("uint8")


def _lars(p, inputs):
    from rutile.ops._updates import _lars as rule
    weight, gradient, w, g, decay, rate = inputs
    return rule(weight, gradient, w, g, decay, rate, p.epsilon, p.hyperpara, p.use_clip)
