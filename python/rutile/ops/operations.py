# SPDX-License-Identifier: Apache-2.0
"""Primitives: operators with their attributes as objects, P.X(attributes)(inputs), as MindSpore's older scripts use.

>>> import rutile
>>> from rutile.ops import operations as P
>>> P.ReduceSum(keep_dims=True)(rutile.Tensor([[1.0, 2.0]]), 1).asnumpy().tolist()
[[3.0]]
"""

import inspect as _inspect

from rutile import _hints, _rutile
from rutile._rutile import Parameter, Tensor
from rutile._rutile import ops as _table
from rutile.ops import _checks
from rutile.ops import function as F

_errors = _rutile.errors

__all__ = ["Primitive"]


class Primitive:
    """An operator as an object: attributes first, inputs at the call."""

    def __init__(self, name=None):
        self.name = name or type(self).__name__

    def add_prim_attr(self, name, value):
        """Sets an attribute; returns the primitive."""
        setattr(self, name, value)
        return self

    @property
    def attrs(self):
        """The attributes as a dict."""
        return {k: v for k, v in vars(self).items() if k not in ("name", "instance_name", "input_names", "output_names")}

    def del_prim_attr(self, name):
        """Takes an attribute away; returns the primitive."""
        if name in vars(self):
            delattr(self, name)
        return self

    def set_stage(self, stage):
        """There is one pipeline stage: taken and kept as an attribute; returns the primitive."""
        return self.add_prim_attr("stage", stage)

    def set_device(self, device_target):
        """Ops run where their inputs are: a device other than the CPU is a ValueError; returns the primitive."""
        if device_target != "CPU":
            raise _errors.ValueError(f"{self.name}: there is no device {device_target!r}")
        return self

    def shard(self, in_strategy=None, out_strategy=None):
        """Strategies of parallel operators are taken and not used; returns the primitive."""
        return self

    def place(self, role, rank_id):
        """Taken and not used: every process runs the whole network."""

    def recompute(self, mode=True):
        """Computed again in backward: that is decided for Cells (Cell.recompute) and by jit's remat; returns the primitive."""
        if not isinstance(mode, bool):
            raise _errors.TypeError(f"recompute is True or False, got {mode!r}")
        return self

    def set_prim_instance_name(self, name):
        """Names this one; returns the primitive."""
        self.instance_name = name
        return self

    def init_prim_io_names(self, inputs, outputs):
        """What the inputs and outputs are called."""
        self.input_names, self.output_names = list(inputs), list(outputs)

    def __call__(self, *inputs):
        raise _errors.RuntimeError(f"the primitive {self.name!r} has no function")

    def __repr__(self):
        hidden = ("name", "instance_name", "input_names", "output_names")
        given = ", ".join(f"{k}={v}" for k, v in vars(self).items() if k not in hidden)
        return f"Prim[{type(self).__name__}]" + (f"<{given}>" if given else "")


def _define(name, attributes, call, doc):
    """A primitive of this module."""
    if name in globals():
        raise _errors.InternalError(f"the primitive {name} is defined twice")
    globals()[name] = _made(name, attributes, call, doc)
    __all__.append(name)


def _made(name, attributes, call, doc, module=__name__):
    """A class of primitives with attributes (name -> default) and the function call(self, *inputs)."""
    parameters = [_inspect.Parameter("self", _inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    for key, default in attributes.items():
        parameters.append(_inspect.Parameter(key, _inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default))
    signature = _inspect.Signature(parameters)

    def __init__(self, *args, **kwargs):
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError as e:
            wrong = [k for k in kwargs if k not in attributes]
            raise _errors.TypeError(f"[{name}] {e}{_hints.close(wrong[0], attributes) if wrong else ''}") from None
        bound.apply_defaults()
        for key in attributes:
            if bound.arguments[key] is _inspect.Parameter.empty:
                raise _errors.TypeError(f"[{name}] needs the attribute {key}")
            setattr(self, key, bound.arguments[key])
        if "keep_dims" in attributes and not isinstance(self.keep_dims, bool):
            raise _errors.TypeError(f"[{name}] keep_dims is True or False, got {self.keep_dims!r}")
        if "sorted" in attributes and not isinstance(self.sorted, bool):
            raise _errors.TypeError(f"[{name}] sorted is True or False, got {self.sorted!r}")
        if "out_channel" in attributes and (not isinstance(self.out_channel, int) or self.out_channel < 1):
            kind = _errors.ValueError if isinstance(self.out_channel, int) else _errors.TypeError
            raise kind(f"[{name}] out_channel is a positive int, got {self.out_channel!r}")
        self.name = name

    __init__.__signature__ = signature
    call = _checks.checked(name, call)
    return type(name, (Primitive,), {"__init__": __init__, "__call__": call, "__doc__": doc, "__module__": module})


_DOCS = {"TruncateDiv": "The quotient cut off.", "RealDiv": "x / y; of integers what is cut off.",
         "Div": "x / y; of integers what is cut off.", "Inv": "1 / x; of integers what is cut off.", "DivNoNan": "x / y, zero where y is zero.", "Identity": "Its input.",
         "MatrixTranspose": "The last two dimensions exchanged."}
_NEEDED = _inspect.Parameter.empty


def _whole(x):
    """Whether this holds integers."""
    return x.dtype.name.startswith(("int", "uint")) if isinstance(x, Tensor) else type(x) is int


def _quotient(x, y):
    """As MindSpore's kernels on the CPU: integers divided by integers stay integers, cut off; ops.div and Div give floats."""
    return _table.trunc_div(x, y) if _whole(x) and _whole(y) else _table.div(x, y)


def _divide_no_nan(x, y):
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):
        raise _errors.TypeError(f"[DivNoNan] x or y must be a Tensor, got {type(x).__name__} and {type(y).__name__}")
    if not isinstance(y, Tensor):
        y = _table.full((), y, x.dtype if type(y) is int or not _whole(x) else "float32")
    q = _quotient(x, _table.where(y == 0, _table.full((), 1, y.dtype), y))
    return _table.where(y == 0, _table.full((), 0, q.dtype), q)


def _inverse(x):
    if not isinstance(x, Tensor):
        raise _errors.TypeError(f"[Inv] x must be a Tensor, got {type(x).__name__}")
    return _table.trunc_div(_table.full((), 1, x.dtype), x) if _whole(x) else _table.reciprocal(x)


def _plain(name, function):
    """A primitive without attributes."""
    def __call__(self, *inputs):
        return function(*inputs)

    _define(name, {}, __call__, (function.__doc__ or _DOCS[name]).split("--\n\n")[-1])


for _name, _function in {
        "Abs": "abs", "ACos": "acos", "Acosh": "acosh", "Add": "add", "Asin": "asin", "Asinh": "asinh", "Atan": "atan",
        "Atan2": "atan2", "Atanh": "atanh", "BitwiseAnd": "bitwise_and", "BitwiseOr": "bitwise_or",
        "BitwiseXor": "bitwise_xor", "Ceil": "ceil", "Cos": "cos", "Cosh": "cosh", "Equal": "equal", "Erf": "erf",
        "Erfc": "erfc", "Exp": "exp", "Expm1": "expm1", "Floor": "floor", "FloorDiv": "floor_div",
        "FloorMod": "remainder", "Greater": "greater", "GreaterEqual": "greater_equal", "HSigmoid": "hsigmoid",
        "HSwish": "hswish", "Invert": "bitwise_not", "IsFinite": "isfinite", "IsInf": "isinf",
        "IsNan": "isnan", "Less": "less", "LessEqual": "less_equal", "Log": "log", "Log1p": "log1p",
        "LogicalAnd": "logical_and", "LogicalNot": "logical_not", "LogicalOr": "logical_or",
        "LogicalXor": "logical_xor", "Maximum": "maximum", "Minimum": "minimum", "Mod": "fmod", "Mul": "mul",
        "Neg": "neg", "NotEqual": "not_equal", "Pow": "pow", "Reciprocal": "reciprocal",
        "ReLU": "relu", "ReLU6": "relu6", "Rint": "round", "Round": "round", "Rsqrt": "rsqrt", "SiLU": "silu",
        "Sigmoid": "sigmoid", "Sign": "sign", "Sin": "sin", "Sinh": "sinh", "Softplus": "softplus", "Sqrt": "sqrt",
        "Square": "square", "Sub": "sub", "Tan": "tan", "Tanh": "tanh", "Trunc": "trunc"}.items():
    _plain(_name, getattr(_table, _function))
for _name, _function in {
        "TensorAdd": _table.add, "Assign": F.assign, "AssignAdd": F.assign_add, "AssignSub": F.assign_sub,
        "Cast": F.cast, "Depend": F.depend, "ExpandDims": F.expand_dims, "Fill": F.fill,
        "GatherD": F.gather_elements, "GatherV2": F.gather, "LogSoftmaxV2": F.log_softmax,
        "MaskedFill": F.masked_fill, "Mish": F.mish, "OnesLike": F.ones_like, "PReLU": F.prelu, "Rank": F.rank,
        "Select": F.select, "SeLU": F.selu, "Shape": F.shape, "Size": F.size, "Softsign": F.softsign, "Tile": F.tile,
        "Transpose": F.transpose, "Xlogy": F.xlogy, "ZerosLike": F.zeros_like, "Zeros": F.zeros, "Ones": F.ones,
        "SquaredDifference": F.square_difference, "TruncateDiv": lambda x, y: F.div(x, y, rounding_mode="trunc"),
        "DivNoNan": lambda x, y: _divide_no_nan(x, y),
        "StopGradient": _table.stop_gradient, "Lerp": F.lerp, "NonZero": F.nonzero,
        "Addcmul": F.addcmul, "Addcdiv": F.addcdiv, "ScalarToTensor": F.scalar_to_tensor,
        "RealDiv": _quotient, "Div": _table.div, "Inv": _inverse,
        "Identity": lambda x: x, "MatrixTranspose": lambda x: F.swapaxes(x, -1, -2)}.items():
    _plain(_name, _function)


def _add_bias(self, x, b):
    at = -1 if self.data_format == "NHWC" else 1
    if b.ndim != 1 or x.ndim < 2 or b.shape[0] != x.shape[at]:
        raise _errors.ValueError(f"[BiasAdd] b has one number for each channel of x {x.shape} ({self.data_format}), "
                                 f"got shape {b.shape}")
    return x + b if at == -1 else F.bias_add(x, b)


_define("BroadcastTo", {"shape": None}, lambda self, x, shape=None: F.broadcast_to(x, self.shape if shape is None else shape),
        "Repeated to a shape.")
_define("Gather", {"batch_dims": 0}, lambda self, x, indices, axis: F.gather(x, indices, int(axis), self.batch_dims),
        "The slices along an axis that indices name.")
_define("BiasAdd", {"data_format": "NCHW"}, _add_bias,
        "A number added to each channel.")
_define("IsClose", {"rtol": 1e-05, "atol": 1e-08, "equal_nan": True}, lambda self, x, y: F.isclose(
    x, y, self.rtol, self.atol, self.equal_nan), "Whether elements are close.")
# Attributes that only say what the shapes are, which are known, are taken and not used.
_define("Reshape", {"input_shape": None, "output_shape": None}, lambda self, x, shape: F.reshape(x, shape),
        "The elements in another shape.")
_define("Flatten", {}, lambda self, x: F.flatten(x), "All dimensions but the first as one.")
_define("Squeeze", {"axis": ()}, lambda self, x: F.squeeze(x, self.axis if self.axis != () else None),
        "Without dimensions of size 1.")
_define("Concat", {"axis": 0}, lambda self, xs: F.concat(xs, self.axis), "Joined along an axis.")
_define("Stack", {"axis": 0}, lambda self, xs: F.stack(xs, self.axis), "Joined along a new axis.")
_define("Pack", {"axis": 0}, lambda self, xs: F.stack(xs, self.axis), "Joined along a new axis.")
_define("Unstack", {"axis": 0, "num": None}, lambda self, x: F.unstack(x, self.axis), "The slices along an axis.")
_define("Split", {"axis": 0, "output_num": 1}, lambda self, x: tuple(_table.split(
    x, sections=self.output_num, axis=self.axis)), "Parts of equal size.")
_define("Pad", {"paddings": _NEEDED}, lambda self, x: _table.pad(
    x, before=tuple(p[0] for p in self.paddings), after=tuple(p[1] for p in self.paddings)), "Zeros around.")
_define("Slice", {}, lambda self, x, begin, size: _table.slice(
    x, tuple(begin), tuple(n if s == -1 else b + s for b, s, n in zip(begin, size, x.shape))),
    "A part from `begin` of a size.")
_define("StridedSlice", {"begin_mask": 0, "end_mask": 0, "ellipsis_mask": 0, "new_axis_mask": 0,
                         "shrink_axis_mask": 0}, lambda self, x, begin, end, strides: _strided(
                             self, x, begin, end, strides), "x[begin:end:stride] per dimension, bits of masks as TF's.")


def _strided(p, x, begin, end, strides):
    key = []
    for i, (b, e, s) in enumerate(zip(begin, end, strides)):
        bit = 1 << i
        if p.ellipsis_mask & bit:
            key.append(...)
        elif p.new_axis_mask & bit:
            key.append(None)
        elif p.shrink_axis_mask & bit:
            key.append(b)
        else:
            key.append(slice(None if p.begin_mask & bit else b, None if p.end_mask & bit else e, s))
    return x[tuple(key)]


for _name, _function in {"ReduceSum": F.reduce_sum, "ReduceMean": F.mean, "ReduceMax": F.amax, "ReduceMin": F.amin,
                         "ReduceProd": F.prod, "ReduceAll": F.all, "ReduceAny": F.any}.items():
    def _call(self, x, axis=(), function=_function):
        y = function(x, axis, self.keep_dims)
        return y.cast(x.dtype) if y.dtype != x.dtype and self.name in ("ReduceSum", "ReduceProd", "ReduceMean") else y
    _define(_name, {"keep_dims": False}, _call, f"{_function.__doc__}")
_define("ArgMaxWithValue", {"axis": 0, "keep_dims": False}, lambda self, x: F.argmax_with_value(
    x, self.axis, self.keep_dims), "(place, value) of the largest.")
_define("ArgMinWithValue", {"axis": 0, "keep_dims": False}, lambda self, x: (
    _table.argmin(x, (self.axis,), self.keep_dims), _table.min(x, (self.axis,), self.keep_dims)),
    "(place, value) of the smallest.")


def _places(p):
    if str(getattr(p.output_type, "name", p.output_type)) not in ("int32", "int64"):
        raise _errors.TypeError(f"[{p.name}] output_type is int32 or int64, got {p.output_type}")
    return p.output_type


_define("Argmax", {"axis": -1, "output_type": "int32"}, lambda self, x: F.argmax(x, self.axis).cast(
    _places(self)), "The place of the largest.")
_define("Argmin", {"axis": -1, "output_type": "int32"}, lambda self, x: F.argmin(x, self.axis).cast(
    _places(self)), "The place of the smallest.")
_define("CumSum", {"exclusive": False, "reverse": False}, lambda self, x, axis: _table.cumsum(
    x, int(axis), self.exclusive, self.reverse).cast(x.dtype), "Running sums.")
_define("MatMul", {"transpose_a": False, "transpose_b": False}, lambda self, a, b: _table.matmul(
    a, b, self.transpose_a, self.transpose_b), "The product of two matrices.")
_define("BatchMatMul", {"transpose_a": False, "transpose_b": False}, lambda self, a, b: _table.matmul(
    a, b, self.transpose_a, self.transpose_b), "The product of stacks of matrices.")


def _one(axis):
    return axis[0] if isinstance(axis, (tuple, list)) and len(axis) == 1 else axis


_define("Softmax", {"axis": -1}, lambda self, x: _table.softmax(x, _one(self.axis)), "exp(x) / sum(exp(x)).")
_define("LogSoftmax", {"axis": -1}, lambda self, x: _table.log_softmax(x, _one(self.axis)), "log(softmax).")
_define("GeLU", {}, lambda self, x: _table.gelu(x, "tanh"), "The gelu of its cheaper form.")
_define("Gelu", {}, lambda self, x: _table.gelu(x, "tanh"), "The gelu of its cheaper form.")
_define("Elu", {"alpha": 1.0}, lambda self, x: _table.elu(x, self.alpha), "x, or alpha * (exp(x) - 1) below zero.")
_define("HShrink", {"lambd": 0.5}, lambda self, x: F.hardshrink(x, self.lambd), "Zero where |x| <= lambd.")
_define("SoftShrink", {"lambd": 0.5}, lambda self, x: F.softshrink(x, self.lambd), "Moved by lambd towards zero.")
_define("OneHot", {"axis": -1}, lambda self, i, depth, on, off: F.one_hot(i, depth, on, off, self.axis),
        "on at each index, off elsewhere.")
_define("TopK", {"sorted": True}, lambda self, x, k: F.topk(x, k), "(the k largest of the last dimension, places).")
_define("Sort", {"axis": -1, "descending": False}, lambda self, x: _sorted(self, x),
        "(sorted values, their places).")


def _sorted(p, x):
    y, places = F.sort(x, p.axis, p.descending)
    return y, places.cast("int32")


_define("L2Normalize", {"axis": 0, "epsilon": 1e-4}, lambda self, x: F.l2_normalize(x, self.axis, self.epsilon),
        "x / sqrt(max(sum(x^2), epsilon)).")
_define("Conv2D", {"out_channel": _NEEDED, "kernel_size": _NEEDED, "mode": 1, "pad_mode": "valid", "pad": 0,
                   "stride": 1, "dilation": 1, "group": 1, "data_format": "NCHW"}, lambda self, x, w: _back(self, F.conv2d(
                       _front(self, x), _checks.weight(self, _front(self, w)), None, self.stride, self.pad_mode, self.pad, self.dilation, self.group)),
        "2-D convolution.")
_define("MaxPool", {"kernel_size": 1, "strides": 1, "pad_mode": "valid", "data_format": "NCHW"},
        lambda self, x: _back(self, _pool(_front(self, x), self, "max")), "The largest of each window.")
_define("AvgPool", {"kernel_size": 1, "strides": 1, "pad_mode": "valid", "data_format": "NCHW"},
        lambda self, x: _back(self, _pool(_front(self, x), self, "avg")), "The mean of each window.")


def _front(p, x):
    return _table.transpose(x, (0, 3, 1, 2)) if p.data_format == "NHWC" else x


def _back(p, x):
    return _table.transpose(x, (0, 2, 3, 1)) if p.data_format == "NHWC" else x


def _pool(x, p, kind):
    kernel, stride = F._pair(p.kernel_size), F._pair(p.strides)
    before, after = F._padding(x, kernel, stride, (1, 1), p.pad_mode.lower(), 0)
    return pool(x, kernel, stride, before, after, kind)


def pool(x, kernel, stride, before, after, kind, ceil_mode=False, count_include_pad=False, divisor=0):
    """max or avg over windows with any padding; means count what is inside only, unless count_include_pad."""
    if kind == "max":
        if before != after:
            lowest = float("-inf") if x.dtype.name.startswith(("float", "bfloat")) else -2**31
            x, before = F._spatial_pad(x, before, after, lowest), (0, 0)
        return _table.max_pool2d(x, kernel=kernel, stride=stride, pad=before, ceil_mode=ceil_mode)[0]
    options = {"kernel": kernel, "stride": stride, "ceil_mode": ceil_mode, "divisor_override": divisor}
    if before == after:
        return _table.avg_pool2d(x, pad=before, count_include_pad=count_include_pad, **options)
    padded = _table.avg_pool2d(F._spatial_pad(x, before, after), **options)
    if count_include_pad or divisor:
        return padded
    inside = F._spatial_pad(F.ones((1, 1, *x.shape[2:]), x.dtype), before, after)
    return padded / _table.avg_pool2d(inside, **options)


def _dropout(x, keep_prob):
    y, mask = _table.dropout(x, 1 - keep_prob)
    return y, mask.cast(x.dtype)


_define("Dropout", {"keep_prob": 0.5, "Seed0": 0, "Seed1": 0}, lambda self, x: _dropout(
    x, self.keep_prob), "(x with elements dropped, 1 for those kept and 0 else).")
_define("BatchNorm", {"is_training": False, "epsilon": 1e-5, "momentum": 0.1, "data_format": "NCHW"},
        lambda self, x, scale, bias, mean, var: _batch_norm(self, x, scale, bias, mean, var),
        "(y, mean, variance, mean, variance); training moves the statistics by `momentum`.")


def _batch_norm(p, x, scale, bias, mean, var):
    if not p.is_training:
        return _table.batch_norm_inference(x, mean, var, scale, bias, eps=p.epsilon), mean, var, mean, var
    y, m, rstd = _table.batch_norm(x, scale, bias, eps=p.epsilon)
    if isinstance(mean, Parameter):
        _rutile.updates.batch_norm_update_stats(mean, var, m, rstd, momentum=p.momentum, eps=p.epsilon,
                                                count=x.size // max(x.shape[1], 1))
    v = 1 / _table.square(rstd) - p.epsilon
    return y, m, v, m, v


_define("LayerNorm", {"begin_norm_axis": 1, "begin_params_axis": 1, "epsilon": 1e-7},
        lambda self, x, gamma, beta: _layer_norm(self, x, gamma, beta), "(y, mean, variance).")


def _layer_norm(p, x, gamma, beta):
    first = F._axis(p.begin_norm_axis, x.ndim)
    y, mean, rstd = _table.layer_norm(x, gamma, beta, axes=x.ndim - first, eps=p.epsilon)
    one = (*x.shape[:first], *[1] * (x.ndim - first))
    return y, mean.reshape(one), (1 / _table.square(rstd) - p.epsilon).reshape(one)


_define("SoftmaxCrossEntropyWithLogits", {}, lambda self, logits, labels: _softmax_cross_entropy(logits, labels),
        "(loss per row, its gradient) against class probabilities.")


def _softmax_cross_entropy(logits, labels):
    loss = -_table.sum(_table.log_softmax(logits) * labels, (1,))
    return loss, _table.stop_gradient(_table.softmax(logits) - labels)


_define("SparseSoftmaxCrossEntropyWithLogits", {"is_grad": False, "sens": 1.0},
        lambda self, logits, labels: _sparse_cross_entropy(self, logits, labels), "The mean loss against classes, or its gradient.")


def _sparse_cross_entropy(p, logits, labels):
    if not p.is_grad:
        return F.cross_entropy(logits, labels)
    hit = (labels.reshape(-1, 1).cast("int64") == _table.arange(0, logits.shape[-1], 1, "int64")).cast(logits.dtype)
    return (_table.softmax(logits) - hit) * (p.sens / logits.shape[0])


_define("SigmoidCrossEntropyWithLogits", {}, lambda self, logits, label: F.binary_cross_entropy_with_logits(
    logits, label, reduction="none"), "The loss per element.")
_define("SmoothL1Loss", {"beta": 1.0, "reduction": "none"}, lambda self, x, y: F.smooth_l1_loss(
    x, y, self.beta, self.reduction), "Quadratic near zero, linear elsewhere.")
_define("BinaryCrossEntropy", {"reduction": "mean"}, lambda self, p, y, w=None: F.binary_cross_entropy(
    p, y, w, self.reduction), "-(y log p + (1 - y) log(1 - p)).")
_define("BCEWithLogitsLoss", {"reduction": "mean"}, lambda self, x, y, w=None, pos=None:
        F.binary_cross_entropy_with_logits(x, y, w, pos, self.reduction), "The same of sigmoid(x).")
_define("KLDivLoss", {"reduction": "mean"}, lambda self, x, y: F.kl_div(x, y, self.reduction),
        "y * (log y - x).")
_define("L2Loss", {}, lambda self, x: _table.sum(_table.square(x)) / 2, "Half the sum of squares.")
_define("StandardNormal", {"seed": 0, "seed2": 0}, lambda self, shape: F.randn(shape), "Standard normal numbers.")
_define("UniformReal", {"seed": 0, "seed2": 0}, lambda self, shape: F.rand(shape), "Uniform numbers in [0, 1).")
_define("Eye", {}, lambda self, n, m, t: F.eye(n, m, t), "Ones on the diagonal.")
_define("LinSpace", {}, lambda self, start, stop, num: F.linspace(float(start), float(stop), num),
        "Numbers from start to stop.")
_define("ReverseV2", {"axis": _NEEDED}, lambda self, x: F.flip(x, self.axis), "Reversed along axes.")
_define("DType", {}, lambda self, x: x.dtype, "The dtype of a Tensor.")
_define("Tril", {"diagonal": 0}, lambda self, x: _table.tril(x, self.diagonal), "The lower triangle.")
_define("Triu", {"diagonal": 0}, lambda self, x: _table.triu(x, self.diagonal), "The upper triangle.")
_define("LpNorm", {"axis": _NEEDED, "p": 2, "keep_dims": False, "epsilon": 1e-12}, lambda self, x: _table.vector_norm(
    x, float(self.p), F._axes(self.axis), self.keep_dims), "The p-norm over axes.")
_define("ClipByNorm", {"axis": None}, lambda self, x, n: x * n / _table.maximum(_table.norm(
    x, axes=F._axes(self.axis), keepdims=True), n), "Scaled down to a norm, over an axis or all.")
_define("Meshgrid", {"indexing": "xy"}, lambda self, xs: F.meshgrid(*xs, indexing=self.indexing),
        "Coordinates of a grid.")
_define("AddN", {}, lambda self, xs: _add_n(xs), "The sum of several tensors.")


def _add_n(xs):
    total = xs[0]
    for x in xs[1:]:
        total = total + x
    return total


_define("AccumulateNV2", {}, lambda self, xs: _add_n(xs), "The sum of several tensors.")
_define("Print", {}, lambda self, *xs: _print(xs), "Prints, in a compiled graph after each run, with its values.")


def _print(xs):
    F.print_(*xs)
    return xs[0] if xs else None



_define("WhileLoop", {}, lambda self, cond_func, loop_func, init_val: F.while_loop(cond_func, loop_func, init_val),
        "Runs a function while a condition on its value holds.")
_define("ForiLoop", {}, lambda self, lower, upper, loop_func, init_val, unroll=True: F.fori_loop(
    lower, upper, loop_func, init_val), "Runs a function for each number of a range.")
_define("Scan", {}, lambda self, *args, **kwargs: _scan(*args, **kwargs),
        "Runs a function for each entry of a list of tensors, handing a carry on; returns it and the list of outputs.")


def _scan(loop_func, init, xs, length=None, unroll=True):
    stacked = None if xs is None else F.stack([x if isinstance(x, Tensor) else Tensor(x) for x in xs])
    carry, ys = F.scan(loop_func, init, stacked, length)
    return carry, [] if ys is None else list(ys)


def _define_from_table():
    """What is a function with attributes after the inputs."""
    import ast
    from rutile.ops._primitives import TABLE

    def make(name, function, given):
        fn = next(getattr(m, function) for m in (F, F.exact, F.factors, _table) if hasattr(m, function))
        attributes, names = {}, {}
        for item in given.split():
            item, _, argument = item.partition(":")
            key, _, default = item.partition("=")
            attributes[key] = ast.literal_eval(default) if default else _NEEDED
            if argument != "-":
                names[key] = argument or key

        def __call__(self, *inputs):
            return fn(*inputs, **{argument: getattr(self, key) for key, argument in names.items()})

        if name not in globals():
            _define(name, attributes, __call__, (fn.__doc__ or name).split("--\n\n")[-1])

    for name, (function, given) in TABLE.items():
        if any(hasattr(m, function) for m in (F, F.exact, F.factors, _table)):
            make(name, function, given)


_define_from_table()


def _define_updates():
    from rutile.ops import _updates

    def make(name, attributes, run):
        attributes = {k: _NEEDED if v is ... else v for k, v in attributes.items()}
        _define(name, attributes, lambda self, *inputs: run(self, inputs), f"One step of {name}, written into its first inputs.")

    for name, (attributes, places, returned, rule) in _updates.RULES.items():
        make(name, attributes, lambda p, inputs, a=(places, returned, rule): _updates.dense(p, inputs, *a))
    for name, (attributes, count, rule) in _updates.ROW_RULES.items():
        make(name, attributes, lambda p, inputs, a=(count, rule): _updates.rows(p, inputs, *a))


_define_updates()
_define("Einsum", {"equation": _NEEDED}, lambda self, xs: F.einsum(self.equation, *xs), "Sums of products by an equation.")
_define("CumProd", {"exclusive": False, "reverse": False}, lambda self, x, axis: _cumprod(self, x, axis), "Running products.")
_define("Conv3D", {"out_channel": _NEEDED, "kernel_size": _NEEDED, "mode": 1, "pad_mode": "valid", "pad": 0, "stride": 1,
                   "dilation": 1, "group": 1, "data_format": "NCDHW"}, lambda self, x, w: F.conv3d(
                       x, w, None, self.stride, self.pad_mode, self.pad, self.dilation, self.group), "3-D convolution.")
_define("Median", {"global_median": False, "axis": 0, "keep_dims": False}, lambda self, x: (
    F.median(x, None)[0], _table.full((), 0, "int64")) if self.global_median else F.median(x, self.axis, self.keep_dims),
    "(median, its place; of all elements 0).")
_define("Polygamma", {}, lambda self, a, x: _table.polygamma(x, n=int(a)), "The a-th derivative of digamma.")
_define("Dropout2D", {"keep_prob": 0.5}, lambda self, x: _channels(self, x), "(x with whole channels dropped, bools of those kept).")
_define("Dropout3D", {"keep_prob": 0.5}, lambda self, x: _channels(self, x), "(x with whole channels dropped, bools of those kept).")


def _channels(p, x):
    kept = _table.random_uniform((*x.shape[:2], *[1] * (x.ndim - 2)), 0.0, 1.0) < p.keep_prob
    mask = _table.broadcast_to(kept, x.shape)
    return _table.where(mask, x / p.keep_prob if p.keep_prob else x, _table.full((), 0, x.dtype)), mask


_define("ReduceStd", {"axis": (), "unbiased": True, "keep_dims": False}, lambda self, x: F.std_mean(
    x, self.axis or None, int(self.unbiased), self.keep_dims), "(standard deviation, mean).")
_define("SquareSumAll", {}, lambda self, x, y: (_table.sum(_table.square(x)), _table.sum(_table.square(y))),
        "The sums of squares of both.")
_define("AffineGrid", {"align_corners": False}, lambda self, theta, size: F.affine_grid(theta, size, self.align_corners),
        "The grid of an affine map.")


def _cumprod(p, x, axis):
    axis = F._axis(int(axis), x.ndim)
    return _running(p, x, axis, lambda v: _table.cumprod(v, axis=axis), 1).cast(x.dtype)


def _running(p, x, axis, function, start):
    """A running function from the front or (p.reverse) the back, with (p.exclusive) what comes before each place alone."""
    x = _table.flip(x, (axis,)) if p.reverse else x
    if p.exclusive:
        n = x.shape[axis]
        first = _table.full(tuple(min(k, 1) if i == axis else k for i, k in enumerate(x.shape)), start, x.dtype)
        x = _table.concat([first, F.narrow(x, axis, 0, max(n - 1, 0))], axis=axis)
    y = function(x)
    return _table.flip(y, (axis,)) if p.reverse else y


from rutile.ops import _late_primitives, _more_primitives, _small_primitives  # noqa: E402

_more_primitives.define(_define, _NEEDED)
_small_primitives.define(_define, _NEEDED)
_late_primitives.define(_define, _NEEDED)

from rutile.ops import _summary  # noqa: E402
from rutile.ops._summary import *  # noqa: E402,F401,F403

__all__ += _summary.__all__


def __getattr__(name):
    from rutile import _refused
    if name in _refused.OF_OPS:
        return globals().setdefault(name, _refused.refused(name))
    from rutile import compat
    if f"ops.operations.{name}" in compat.MOVED:
        return compat.moved(f"ops.operations.{name}")
    raise AttributeError(f"module 'rutile.ops.operations' has no attribute {name!r}")


from rutile.ops import _collectives  # noqa: E402
from rutile.ops import _uneven_collectives  # noqa: E402
from rutile.ops._collectives import *  # noqa: E402,F401,F403
from rutile.ops._uneven_collectives import *  # noqa: E402,F401,F403

__all__ += _collectives.__all__ + _uneven_collectives.__all__
