# SPDX-License-Identifier: Apache-2.0
"""What primitives refuse as MindSpore's do: numbers in place of Tensors, images of other ranks, weights of other shapes."""

from rutile import _rutile
from rutile._rutile import Tensor

_errors = _rutile.errors

# Whose first input is a Tensor,
_FIRST = frozenset("""
    Abs ACos Acosh Asin Asinh Atan Atanh BesselI0e BesselI1e Ceil Cos Cosh Erf Erfc Exp Expm1 Floor HSigmoid HSwish IsFinite IsInf IsNan Log Log1p
    LogicalNot Neg Reciprocal Rint Round Rsqrt Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Square Tan Tanh ReLU ReLU6 Elu SeLU CeLU GeLU Gelu FastGeLU
    FastGelu Mish HShrink SoftShrink Softmax LogSoftmax Flatten L2Loss L2Normalize Dropout Dropout2D Dropout3D TopK OneHot Pad MirrorPad ReduceSum ReduceMean
    ReduceMax ReduceMin ReduceProd ReduceAll ReduceAny Argmax Argmin ArgMaxWithValue ArgMinWithValue Transpose Squeeze Tile CumSum CumProd Unstack Split
    MaxPool AvgPool MaxPoolWithArgmax MaxPool3D AvgPool3D ResizeNearestNeighbor SpaceToDepth DepthToSpace SpaceToBatch BatchToSpace ApplyMomentum Gather
    GatherV2 GatherNd Slice StridedSlice ExpandDims BroadcastTo
    """.split())
# and all of whose inputs are Tensors.
_ALL = frozenset("""
    BatchNorm BiasAdd Conv2D Conv3D DepthwiseConv2dNative LayerNorm PReLU SmoothL1Loss SoftmaxCrossEntropyWithLogits SparseSoftmaxCrossEntropyWithLogits
    SigmoidCrossEntropyWithLogits MatMul BatchMatMul
    """.split())
_FLOATS = frozenset(("Elu", "ReLU6"))
_RANKS = {"MaxPool": 4, "AvgPool": 4, "MaxPoolWithArgmax": 4, "MaxPool3D": 5, "AvgPool3D": 5}
_NUMBERS = (bool, int, float, complex, str, type(None))


def _tensors(name, inputs):
    for x in inputs:
        if type(x) in _NUMBERS:
            raise _errors.TypeError(f"[{name}] takes Tensors, got {type(x).__name__}")


def checked(name, call):
    """The call of a primitive behind its checks; the call itself where there are none."""
    if name in _ALL:
        def all_tensors(self, *inputs):
            _tensors(name, inputs)
            return call(self, *inputs)
        return all_tensors
    if name not in _FIRST:
        return call
    rank, floats = _RANKS.get(name), name in _FLOATS

    def first_tensor(self, *inputs):
        _tensors(name, inputs[:1])
        x = inputs[0] if inputs else None
        if isinstance(x, Tensor):
            if rank is not None and x.ndim != rank:
                raise _errors.ValueError(f"[{name}] x must have {rank} dimensions, got {x.shape}")
            if floats and x.dtype.name.startswith(("int", "uint", "bool")):
                raise _errors.TypeError(f"[{name}] x must be a Tensor of floats, got {x.dtype}")
            if name == "Flatten" and x.ndim == 0:
                raise _errors.ValueError("[Flatten] x must have a dimension at least, got a scalar")
        return call(self, *inputs)

    return first_tensor


def _kernel(size):
    return (size, size) if isinstance(size, int) else tuple(size)[-2:]


def weight(p, w):
    """The weight [out_channel, in / group, *kernel_size] of a convolution."""
    if w.ndim == 4 and (w.shape[0] != p.out_channel or w.shape[2:] != _kernel(p.kernel_size)):
        raise _errors.ValueError(f"[{p.name}] the weight must be [{p.out_channel}, ?, {', '.join(map(str, _kernel(p.kernel_size)))}], got {w.shape}")
    return w


def depthwise(p, x, w):
    """The weight [multiplier, channels, *kernel_size] of a convolution of each channel by itself."""
    if x.ndim != 4 or w.ndim != 4 or w.shape[1] != x.shape[1] or w.shape[2:] != _kernel(p.kernel_size):
        raise _errors.ValueError(f"[{p.name}] images [n, c, h, w] take a weight [?, c, {', '.join(map(str, _kernel(p.kernel_size)))}], got {x.shape} "
                                 f"and {w.shape}")
    return w
