# SPDX-License-Identifier: Apache-2.0
"""ONNX's operators over our ops: OPERATORS[name](attributes, inputs) gives a tensor or a list of them.

For onnx_samples.py. Attributes arrive as Python values with ONNX's names, inputs as our Tensors (None where left out).
Shapes, axes and other numbers that steer are read from their tensors: a converter would find them as constants.
"""

import numpy as np
from rutile import Tensor, ops
from rutile.ops import table as t


class Unmapped(Exception):
    """What our ops do not express."""


# ONNX's numbers of element types.
DTYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
          11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16"}
OTHER_DTYPES = {8: "strings", 17: "float8", 18: "float8", 19: "float8", 20: "float8", 21: "4 bits", 22: "4 bits", 23: "4 bits",
                24: "8-bit exponents", 25: "2 bits", 26: "2 bits"}


def dtype_of(number):
    if number not in DTYPES:
        raise Unmapped(OTHER_DTYPES.get(number, f"type {number}"))
    return DTYPES[number]


def ints(x):
    return tuple(int(v) for v in x.asnumpy().reshape(-1))


def number(x):
    return x.asnumpy().reshape(-1)[0].item()


def like(value, x):
    return Tensor(value, x.dtype)


def is_int(x):
    return "int" in str(x.dtype).lower()


def unary(name):
    return lambda a, x: getattr(t, name)(x)


def binary(name):
    return lambda a, x, y: getattr(t, name)(x, y)


def variadic(f, mean=False):
    def call(a, *xs):
        y = xs[0]
        for x in xs[1:]:
            y = f(y, x)
        if len(xs) == 1:
            y = t.contiguous(y)
        return y / float(len(xs)) if mean else y
    return call


# ---- Elementwise -------------------------------------------------------------------------------------------------

def modulo(a, x, y):
    return (t.fmod if a.get("fmod", 0) else t.remainder)(x, y)


def power(a, x, y):
    return t.pow(x, y).astype(x.dtype)


def shift(a, x, y):
    return (t.bitwise_left_shift if a["direction"] == "LEFT" else t.bitwise_right_shift)(x, y)


def clip(a, x, low=None, high=None):
    return t.clamp(x, low, high) if low is not None or high is not None else t.contiguous(x)


def is_inf(a, x):
    signs = a.get("detect_negative", 1), a.get("detect_positive", 1)
    return {(1, 1): t.isinf, (1, 0): t.isneginf, (0, 1): t.isposinf, (0, 0): lambda v: t.not_equal(v, v) & False}[signs](x)


def shrink(a, x):
    lambd, bias = a.get("lambd", 0.5), a.get("bias", 0.0)
    kept = t.where(t.greater(x, like(lambd, x)), x - bias, like(0, x))
    return t.where(t.less(x, like(-lambd, x)), x + bias, kept)


def hard_sigmoid(a, x):
    return t.clip(x * a.get("alpha", 0.2) + a.get("beta", 0.5), min=0.0, max=1.0)


def cast(a, x):
    return x.astype(dtype_of(a["to"]))


def swiglu(a, x, y):
    return x * t.sigmoid(x * a.get("alpha", 1.0)) * y


# ---- Shapes ------------------------------------------------------------------------------------------------------

def reshape(a, x, shape):
    shape = list(ints(shape))
    if not a.get("allowzero", 0):
        shape = [x.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return ops.reshape(x, tuple(shape))


def flatten(a, x):
    axis = a.get("axis", 1)
    axis += x.ndim if axis < 0 else 0
    return ops.reshape(x, (int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis:]))))


def axes_given(a, axes):
    """Of an input, or of an attribute as in older versions."""
    return tuple(a.get("axes", ())) if axes is None else ints(axes)


def squeeze(a, x, axes=None):
    axes = axes_given(a, axes)
    return ops.squeeze(x, axes) if axes else ops.squeeze(x)


def unsqueeze(a, x, axes=None):
    axes = axes_given(a, axes)
    for axis in sorted(v % (x.ndim + len(axes)) for v in axes):
        x = ops.expand_dims(x, axis)
    return x


def split(a, x, sizes=None, wanted=1):
    axis = a.get("axis", 0)
    n = x.shape[axis]
    if sizes is None and "split" not in a:
        parts = a.get("num_outputs", wanted)
        each = -(-n // parts)
        return list(t.split(x, sizes=tuple(max(0, min(each, n - i * each)) for i in range(parts)), axis=axis))
    return list(t.split(x, sizes=tuple(a["split"]) if sizes is None else ints(sizes), axis=axis))


def sliced(a, x, starts, ends, axes=None, steps=None):
    at = [slice(None)] * x.ndim
    axes = range(len(ints(starts))) if axes is None else ints(axes)
    steps = [1] * len(ints(starts)) if steps is None else ints(steps)
    for axis, start, end, step in zip(axes, ints(starts), ints(ends), steps):
        n = x.shape[axis]
        if step < 0:
            start = min(start + n if start < 0 else start, n - 1)
            end = max(-1, end + n if end < 0 else min(end, n - 1))
            picked = list(range(start, end, step))
        else:
            picked = None
        at[axis] = slice(start, end, step) if picked is None else picked
    for axis, part in enumerate(at):  # lists are rows to take
        if isinstance(part, list):
            x = t.gather(x, Tensor(np.array(part, np.int64)), axis=axis)
            at[axis] = slice(None)
    return x[tuple(at)] if x.ndim else x


def expand(a, x, shape):
    return ops.broadcast_to(x, np.broadcast_shapes(x.shape, ints(shape)))


def padded(a, x, pads, value=None, axes=None):
    pads, axes = ints(pads), list(range(x.ndim)) if axes is None else [v % x.ndim for v in ints(axes)]
    before, after = [0] * x.ndim, [0] * x.ndim
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[len(axes) + i]
    if min(before + after) < 0:
        ends = tuple(n + min(0, v) for n, v in zip(x.shape, after))
        x = t.slice(x, starts=tuple(max(0, -v) for v in before), ends=ends)
        before, after = [max(0, v) for v in before], [max(0, v) for v in after]
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}[a.get("mode", "constant")]
    return t.pad(x, before=tuple(before), after=tuple(after), mode=mode, value=0 if value is None else number(value))


def center_crop_pad(a, x, shape):
    axes = [v % x.ndim for v in a.get("axes", range(x.ndim))]
    for axis, want in zip(axes, ints(shape)):
        n = x.shape[axis]
        if n > want:
            at = [slice(None)] * x.ndim
            at[axis] = slice((n - want) // 2, (n - want) // 2 + want)
            x = x[tuple(at)]
        elif n < want:
            before, after = [0] * x.ndim, [0] * x.ndim
            before[axis] = (want - n) // 2
            after[axis] = want - n - before[axis]
            x = t.pad(x, before=tuple(before), after=tuple(after))
    return x


def constant(a):
    for name, dtype in (("value_float", "float32"), ("value_int", "int64"), ("value_floats", "float32"), ("value_ints", "int64")):
        if name in a:
            return Tensor(np.array(a[name], dtype))
    if "value" not in a:
        raise Unmapped("strings")
    return a["value"]


def constant_of_shape(a, shape):
    value = a.get("value", Tensor(np.zeros(1, np.float32)))
    return t.full(shape=ints(shape), value=number(value), dtype=value.dtype)


def eye_like(a, x):
    n, m = x.shape
    dtype = dtype_of(a["dtype"]) if "dtype" in a else x.dtype
    return t.equal(t.arange(0, n).reshape(n, 1) + a.get("k", 0), t.arange(0, m).reshape(1, m)).astype(dtype)


def trilu(a, x, k=None):
    return (t.triu if a.get("upper", 1) else t.tril)(x, diagonal=0 if k is None else number(k))


def shape(a, x):
    return Tensor(np.array(x.shape, np.int64)[slice(a.get("start", 0), a.get("end"))])


# ---- Places ------------------------------------------------------------------------------------------------------

def gather(a, x, index):
    n = x.shape[a.get("axis", 0)]
    return t.gather(x, t.where(t.less(index, like(0, index)), index + n, index), axis=a.get("axis", 0))


def gather_nd(a, x, indices):
    batch = a.get("batch_dims", 0)
    if not batch:
        return t.gather_nd(x, indices)
    lead = tuple(indices.shape[:batch])
    n = int(np.prod(lead))
    rows = ops.broadcast_to(t.arange(0, n).reshape(n, *[1] * (indices.ndim - batch)), (n, *indices.shape[batch:-1], 1))
    whole = t.concat([rows.astype(indices.dtype), indices.reshape(n, *indices.shape[batch:])], axis=-1)
    y = t.gather_nd(x.reshape(n, *x.shape[batch:]), whole)
    return y.reshape(*lead, *y.shape[1:])


REDUCTIONS = {"none": "none", "add": "add", "mul": "mul", "max": "amax", "min": "amin"}


def scatter_elements(a, x, index, src):
    return t.scatter(x, index, src, axis=a.get("axis", 0), reduce=REDUCTIONS[a.get("reduction", "none")])


def scatter_nd(a, x, indices, updates):
    return t.tensor_scatter(x, indices, updates, reduce=REDUCTIONS[a.get("reduction", "none")])


def compress(a, x, condition):
    axis = a.get("axis")
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    places, n = t.nonzero(condition)
    places = t.slice(places, starts=(0, 0), ends=(int(n), 1)).reshape(-1)
    return t.gather(x, places, axis=axis)


def one_hot(a, index, depth, values):
    n = int(number(depth))
    index = index.astype("int64")
    index = t.where(t.less(index, like(0, index)), index + n, index)
    axis = a.get("axis", -1)
    on = t.equal(ops.expand_dims(index, axis), t.arange(0, n).reshape(
        *[n if i == axis % (index.ndim + 1) else 1 for i in range(index.ndim + 1)]))
    off_value, on_value = values[0], values[1]
    return t.where(on, on_value, off_value)


def top_k(a, x, k):
    y, places = t.topk(x, k=int(number(k)), axis=a.get("axis", -1), largest=bool(a.get("largest", 1)))
    return [y, places]


def unique(a, x):
    axis = a.get("axis")
    if axis is None:
        values, inverse, counts, n = t.unique(x)
        flat, first = x.reshape(-1), None
    else:
        rows = ops.movedim(x, axis, 0)
        _, inverse, counts, n = t.unique_rows(rows.reshape(rows.shape[0], -1))
        flat, values = None, None
    n = int(n)
    inverse = inverse.reshape(-1)
    whole = int(inverse.size)
    first = t.scatter_reduce(t.full(shape=(n,), value=whole, dtype="int64"), inverse.astype("int64"),
                             t.arange(0, whole), axis=0, reduce="amin")
    counts = t.slice(counts, starts=(0,), ends=(n,))
    if not a.get("sorted", 1):
        order = t.sort(first)[1]
        inverse = t.gather(t.sort(order)[1], inverse)
        first, counts = t.gather(first, order), t.gather(counts, order)
    values = t.gather(flat, first) if axis is None else t.gather(x, first, axis=axis)
    return [values, first, inverse.astype("int64"), counts.astype("int64")]


def reverse_sequence(a, x, lengths):
    return ops.reverse_sequence(x, lengths, a.get("time_axis", 0), a.get("batch_axis", 1))


def tensor_scatter(a, cache, update, start=None):
    axis, n = a.get("axis", -2), cache.shape[a.get("axis", -2)]
    axis += cache.ndim if axis < 0 else 0
    begin = [0] * cache.shape[0] if start is None else ints(start)
    steps = np.stack([np.arange(update.shape[axis]) + b for b in begin])
    if a.get("mode", "linear") == "circular":
        steps %= n
    places = steps.reshape(steps.shape[0], *[1] * (axis - 1), steps.shape[1], *[1] * (cache.ndim - axis - 1))
    places = ops.broadcast_to(Tensor(places.astype(np.int64)), tuple(update.shape))
    return t.scatter(cache, places, update, axis=axis)


# ---- Reductions --------------------------------------------------------------------------------------------------

def reduced(f):
    def call(a, x, axes=None):
        axes = ints(axes) if axes is not None else tuple(a.get("axes", ()))
        if not axes and a.get("noop_with_empty_axes", 0):
            return f(x, None, False)
        return f(x, axes, bool(a.get("keepdims", 1)))
    return call


def over(name, before=None, after=None):
    def call(x, axes, keepdims):
        dtype = x.dtype
        x = before(x) if before else x
        y = x if axes is None else getattr(t, name)(x, axes=axes, keepdims=keepdims)
        y = after(y) if after else y
        return y.astype(dtype) if y.dtype != dtype else y
    return reduced(call)


def log_sum_exp(x, axes, keepdims):
    return x if axes is None else t.logsumexp(x if not is_int(x) else x.astype("float64"), axes=axes, keepdims=keepdims)


def extreme(name):
    def call(x, axes, keepdims):
        if axes is None:
            return x
        size = int(np.prod([x.shape[d] for d in axes or range(x.ndim)]))
        if size:
            return getattr(t, name)(x, axes=axes, keepdims=keepdims)
        kind = np.dtype("float32" if "bfloat" in str(x.dtype) else str(x.dtype).split(".")[-1].lower())
        if kind == bool:
            worst = name != "max"
        elif kind.kind == "f":
            worst = -np.inf if name == "max" else np.inf
        else:
            worst = np.iinfo(kind).min if name == "max" else np.iinfo(kind).max
        return t.full(shape=t.sum(x, axes=axes, keepdims=keepdims).shape, value=worst, dtype=x.dtype)
    return reduced(call)


def arg(name):
    f = getattr(t, name)

    def call(a, x):
        axis, keepdims = a.get("axis", 0), bool(a.get("keepdims", 1))
        if a.get("select_last_index", 0):
            return x.shape[axis] - 1 - f(t.flip(x, axes=(axis,)), axes=(axis,), keepdims=keepdims)
        return f(x, axes=(axis,), keepdims=keepdims)
    return call


def cumulative_sum(a, x, axis):
    y = t.cumsum(x, axis=number(axis), exclusive=bool(a.get("exclusive", 0)), reverse=bool(a.get("reverse", 0)))
    return y.astype(x.dtype)


def cumulative_product(a, x, axis):
    axis, dtype = number(axis), x.dtype
    x = t.flip(x, axes=(axis,)) if a.get("reverse", 0) else x
    if a.get("exclusive", 0):
        at = [slice(None)] * x.ndim
        at[axis] = slice(0, x.shape[axis] - 1)
        before = [0] * x.ndim
        before[axis] = 1
        x = t.pad(x[tuple(at)], before=tuple(before), after=(0,) * x.ndim, value=1)
    y = t.cumprod(x, axis=axis)
    return (t.flip(y, axes=(axis,)) if a.get("reverse", 0) else y).astype(dtype)


def softmax(name):
    return lambda a, x: getattr(t, name)(x, axis=a.get("axis", -1))


def hardmax(a, x):
    axis = a.get("axis", -1)
    at = t.argmax(x, axes=(axis,), keepdims=True)
    places = t.arange(0, x.shape[axis]).reshape(*[n if i == axis % x.ndim else 1 for i, n in enumerate(x.shape)])
    return t.equal(at, places).astype(x.dtype)


def unchanged(a, x, *_):
    return t.contiguous(x) if isinstance(x, Tensor) else x


def windows(name, *shape):
    def call(a, size):
        return getattr(ops, name)(int(number(size)), bool(a.get("periodic", 1)), *shape).astype(dtype_of(a.get("output_datatype", 1)))
    return call


OPERATORS = {
    **{n: unary(n.lower()) for n in ("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Erf", "Exp",
                                     "Floor", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Sinh",
                                     "Softplus", "Softsign", "Sqrt", "Tan", "Tanh", "IsNaN", "Det")},
    "Not": unary("logical_not"), "BitwiseNot": unary("bitwise_not"), "HardSwish": unary("hswish"), "Identity": unchanged,
    **{n: binary(f) for n, f in (("Add", "add"), ("Sub", "sub"), ("Mul", "mul"), ("Equal", "equal"), ("Greater", "greater"),
                                 ("GreaterOrEqual", "greater_equal"), ("Less", "less"), ("LessOrEqual", "less_equal"),
                                 ("And", "logical_and"), ("Or", "logical_or"), ("Xor", "logical_xor"), ("BitwiseAnd", "bitwise_and"),
                                 ("BitwiseOr", "bitwise_or"), ("BitwiseXor", "bitwise_xor"), ("MatMul", "matmul"))},
    "Div": lambda a, x, y: t.trunc_div(x, y) if is_int(x) else t.div(x, y), "Mod": modulo, "Pow": power, "BitShift": shift,
    "Max": variadic(t.maximum), "Min": variadic(t.minimum), "Sum": variadic(t.add), "Mean": variadic(t.add, True),
    "PRelu": lambda a, x, slope: t.where(t.less(x, like(0, x)), x * slope, x), "Where": lambda a, c, x, y: t.where(c, x, y),
    "Celu": lambda a, x: t.celu(x, alpha=a.get("alpha", 1.0)), "Elu": lambda a, x: t.elu(x, alpha=a.get("alpha", 1.0)),
    "LeakyRelu": lambda a, x: t.leaky_relu(x, alpha=a.get("alpha", 0.01)), "Gelu": lambda a, x: t.gelu(x, approximate=a.get("approximate", "none")),
    "Selu": lambda a, x: t.elu(x, alpha=a.get("alpha", 1.6732631921768188)) * a.get("gamma", 1.0507010221481323),
    "ThresholdedRelu": lambda a, x: t.threshold(x, threshold=a.get("alpha", 1.0), value=0.0), "Swish": lambda a, x: x * t.sigmoid(x * a.get("alpha", 1.0)),
    "Clip": clip, "IsInf": is_inf, "Shrink": shrink, "HardSigmoid": hard_sigmoid, "Cast": cast, "BitCast": lambda a, x: t.bitcast(x, dtype=dtype_of(a["to"])), "SwiGLU": swiglu,
    "CastLike": lambda a, x, y: x.astype(y.dtype), "Reshape": reshape, "Flatten": flatten, "Squeeze": squeeze, "Unsqueeze": unsqueeze,
    "Transpose": lambda a, x: t.transpose(x, perm=tuple(a.get("perm", ()))), "Concat": lambda a, *xs: t.concat(list(xs), axis=a["axis"]),
    "Split": split, "Slice": sliced, "Expand": expand, "Tile": lambda a, x, n: ops.tile(x, ints(n)), "Pad": padded, "CenterCropPad": center_crop_pad,
    "Constant": constant, "ConstantOfShape": constant_of_shape, "EyeLike": eye_like, "Trilu": trilu, "Shape": shape,
    "Size": lambda a, x: Tensor(np.int64(x.size)), "Range": lambda a, b, e, s: t.arange(number(b), number(e), number(s), dtype=b.dtype),
    "Gather": gather, "GatherElements": lambda a, x, i: t.take_along_axis(x, i, axis=a.get("axis", 0)), "GatherND": gather_nd,
    "ScatterElements": scatter_elements, "Scatter": scatter_elements, "ScatterND": scatter_nd, "Compress": compress, "OneHot": one_hot,
    "NonZero": lambda a, x: ops.swapaxes(t.slice(t.nonzero(x)[0], starts=(0, 0), ends=(int(t.nonzero(x)[1]), x.ndim)), 0, 1),
    "TopK": top_k, "Unique": unique, "ReverseSequence": reverse_sequence, "TensorScatter": tensor_scatter,
    "ReduceSum": over("sum"), "ReduceMean": over("mean"), "ReduceProd": over("prod"), "ReduceMax": extreme("max"), "ReduceMin": extreme("min"),
    "ReduceL1": over("sum", before=t.abs), "ReduceL2": over("sum", before=t.square, after=lambda y: t.sqrt(y if not is_int(y) else y.astype("float64"))),
    "ReduceSumSquare": over("sum", before=t.square), "ReduceLogSum": over("sum", after=t.log), "ReduceLogSumExp": reduced(log_sum_exp),
    "ArgMax": arg("argmax"), "ArgMin": arg("argmin"), "CumSum": cumulative_sum, "CumProd": cumulative_product,
    "Softmax": softmax("softmax"), "LogSoftmax": softmax("log_softmax"), "Hardmax": hardmax, "Einsum": lambda a, *xs: t.einsum(list(xs), equation=a["equation"]),
    **{f"{n}Window": windows(f"{n.lower()}_window") for n in ("Hann", "Blackman")}, "HammingWindow": windows("hamming_window", 25 / 46, 21 / 46),
    "ArrayFeatureExtractor": lambda a, x, i: t.gather(x, i.reshape(-1), axis=-1),
    "Binarizer": lambda a, x: t.greater(x, like(a.get("threshold", 0.0), x)).astype(x.dtype),
}
