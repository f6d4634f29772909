# SPDX-License-Identifier: Apache-2.0
"""The primitives that MindSpore's layers keep as attributes (self.conv2d, self.matmul, ...): layers of one's own that are
derived from them call these in construct. They are made when they are asked for."""

# Those without attributes: class -> attribute:primitive.
_PLAIN = {
    "Dense": "reshape:Reshape shape_op:Shape bias_add:BiasAdd", "Conv1d": "bias_add:BiasAdd expand_dims:ExpandDims shape:Shape",
    "Conv2d": "bias_add:BiasAdd", "Conv3d": "bias_add:BiasAdd shape:Shape", "Conv2dTranspose": "bias_add:BiasAdd shape:Shape",
    "Conv1dTranspose": "bias_add:BiasAdd expand_dims:ExpandDims shape:Shape", "Conv3dTranspose": "bias_add:BiasAdd shape:Shape",
    "Embedding": "expand:ExpandDims reshape_flat:Reshape gather:Gather one_hot:OneHot array_mul:MatMul reshape:Reshape get_shp:Shape "
                 "concat:Concat", "GroupNorm": "shape:Shape reshape:Reshape square:Square sqrt:Sqrt", "Sigmoid": "sigmoid:Sigmoid",
    "ReLU": "relu:ReLU", "ReLU6": "relu6:ReLU6", "Tanh": "tanh:Tanh", "FastGelu": "fast_gelu:FastGeLU", "PReLU": "prelu:PReLU",
    "HSwish": "hswish:HSwish", "HSigmoid": "hsigmoid:HSigmoid", "SeLU": "selu:SeLU", "Softsign": "softsign:Softsign",
    "LossBase": "mul:Mul cast:Cast reduce_mean:ReduceMean reduce_sum:ReduceSum",
    "SoftmaxCrossEntropyWithLogits": "softmax_cross_entropy:SoftmaxCrossEntropyWithLogits one_hot:OneHot "
                                     "sparse_softmax_cross_entropy:SparseSoftmaxCrossEntropyWithLogits",
    "Optimizer": "assignadd:AssignAdd cast:Cast reshape:Reshape",
    "TrainOneStepWithLossScaleCell": "cast:Cast less_equal:LessEqual reduce_sum:ReduceSum"}


def _conv(name, channels="out_channels"):
    def make(P, cell):
        return getattr(P, name)(getattr(cell, channels), cell.kernel_size, mode=1, pad_mode=cell.pad_mode, pad=cell.padding,
                                stride=cell.stride, dilation=cell.dilation, group=cell.group)
    return make


def _flat_conv(P, cell):
    pads = cell.padding if isinstance(cell.padding, tuple) else (cell.padding,) * 2
    return P.Conv2D(cell.out_channels, (1, cell.kernel_size[0]), mode=1, pad_mode=cell.pad_mode, pad=(0, 0, *pads),
                    stride=(1, cell.stride[0]), dilation=(1, cell.dilation[0]), group=cell.group)


def _pool(name):
    return lambda P, cell: getattr(P, name)(kernel_size=cell.kernel_size, strides=cell.stride, pad_mode=cell.pad_mode)


_MADE = {
    ("Conv2d", "conv2d"): _conv("Conv2D"), ("Conv3d", "conv3d"): _conv("Conv3D"), ("Conv1d", "conv2d"): _flat_conv,
    ("Conv2dTranspose", "conv2d_transpose"): _conv("Conv2DTranspose", "in_channels"),
    ("Conv1d", "squeeze"): lambda P, cell: P.Squeeze(2), ("Conv1dTranspose", "squeeze"): lambda P, cell: P.Squeeze(2),
    ("Dense", "matmul"): lambda P, cell: P.MatMul(transpose_b=True), ("Dense", "activation_flag"): lambda P, cell: cell.activation is not None,
    ("LayerNorm", "layer_norm"): lambda P, cell: P.LayerNorm(cell.begin_norm_axis, cell.begin_params_axis, cell.epsilon),
    ("_BatchNorm", "bn_train"): lambda P, cell: P.BatchNorm(is_training=True, epsilon=cell.eps, momentum=1 - cell.momentum),
    ("_BatchNorm", "bn_infer"): lambda P, cell: P.BatchNorm(is_training=False, epsilon=cell.eps),
    ("Dropout", "keep_prob"): lambda P, cell: 1 - cell.p, ("Dropout", "dropout"): lambda P, cell: P.Dropout(1 - cell.p),
    ("AvgPool2d", "avg_pool"): _pool("AvgPool"), ("MaxPool2d", "max_pool"): _pool("MaxPool"),
    ("Softmax", "softmax"): lambda P, cell: P.Softmax(cell.axis), ("LogSoftmax", "log_softmax"): lambda P, cell: P.LogSoftmax(cell.axis),
    ("LossBase", "reduce"): lambda P, cell: cell.reduction != "none", ("LossBase", "average"): lambda P, cell: cell.reduction != "sum"}


def primitive_of(cell, name):
    """What a layer of MindSpore has as this attribute; None where it has none."""
    for kind in type(cell).__mro__:
        home = kind.__name__
        make = _MADE.get((home, name))
        found = next((p.split(":")[1] for p in _PLAIN.get(home, "").split() if p.split(":")[0] == name), None)
        if (make or found) and kind.__module__.startswith("rutile.nn."):
            from rutile.ops import operations
            return make(operations, cell) if make else getattr(operations, found)()
    return None
