# SPDX-License-Identifier: Apache-2.0
"""Names of MindSpore's inner modules, attributes of its layers and older keywords, as published networks use them."""

import subprocess
import sys

import numpy as np
import pytest
import rutile as ms
from rutile import Parameter, Tensor, nn, ops

_IMPORTS = """
import rutile.compat
rutile.compat.install("mindspore")
import mindspore
from mindspore import boost, context, nn, ops, parallel
from mindspore._c_expression import Tensor as Tensor_
from mindspore._checkparam import _check_3d_int_or_tuple, check_and_canonicalize_axes
from mindspore._extends import cell_attr_register
from mindspore.boost.grad_accumulation import gradient_accumulation_op, gradient_clear_op
from mindspore.common._stub_tensor import StubTensor
from mindspore.common.api import _pynative_executor, cells_compile_cache
from mindspore.common.dtype import number_type, TensorType, tensor_type
from mindspore.common.initializer import Initializer, _assignment, _calculate_correct_fan, _calculate_fan_in_and_fan_out
from mindspore.common.seed import _get_global_and_op_seed, _get_graph_seed
from mindspore.dataset.engine.datasets import Dataset
from mindspore.dataset.text.transforms import BasicTokenizer, Implementation, Lookup, TextTensorOperation
from mindspore.dataset.transforms.transforms import PyTensorOperation
from mindspore.log import _LogActionOnce
from mindspore.nn.layer import CellList, SequentialCell
from mindspore.nn.layer.conv import Conv2d, _Conv, _deconv_output_length
from mindspore.nn.layer.rnn_cells import LSTMCell, RNNCellBase, _gru_cell, _lstm_cell, _rnn_relu_cell, _rnn_tanh_cell
from mindspore.nn.loss.loss import LossBase, _Loss
from mindspore.nn.optim.optimizer import opt_init_args_register
from mindspore.nn.probability.distribution.distribution import Distribution
from mindspore.ops import CustomRegOp, DataType, custom_info_register, tuple_to_array
from mindspore.ops.operations.nn_ops import FlashAttentionScore
from mindspore.ops.operations._rl_inner_ops import CudnnGRU
from mindspore.parallel._auto_parallel_context import auto_parallel_context
from mindspore.parallel._utils import _get_device_num, _get_global_rank, _get_gradients_mean, _get_parallel_mode
from mindspore.train._utils import _make_directory
from mindspore.train.parallel_utils import ParallelMode
import rutile
assert Conv2d is rutile.nn.Conv2d and LSTMCell is rutile.nn.LSTMCell and Tensor_ is StubTensor is rutile.Tensor
assert _Loss is LossBase is nn.LossBase and Distribution is rutile.nn.probability.distribution.Distribution
print(_get_device_num(), _get_global_rank(), _get_parallel_mode(), auto_parallel_context().get_parallel_mode())
"""


def test_inner_names_are_found():
    done = subprocess.run([sys.executable, "-c", _IMPORTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "0", "stand_alone", "stand_alone"]


def test_what_is_refused_says_why():
    from rutile import boost, parallel
    for make in (ops.operations.DynamicRNN, ops.flash_attention_score, boost.LessBN, parallel.set_algo_parameters, parallel.Layout):
        with pytest.raises(NotImplementedError, match="is not supported: "):
            make()
    for module in (ops, ops.operations, boost, parallel, nn.layer):
        with pytest.raises(AttributeError):
            module.NoSuchName


def test_modules_have_the_names_of_others():
    import rutile as ms
    from rutile.common import Generator, dtype, from_numpy, is_tensor, seed
    from rutile.dataset.vision import transforms
    from rutile.nn import loss
    from rutile.train import serialization
    assert (Generator, from_numpy, is_tensor, seed) == (ms.Generator, ms.from_numpy, ms.is_tensor, ms.common.seed)
    assert dtype.ubyte == ms.uint8 and dtype.string is str and dtype.tuple_ is tuple
    assert loss.DiceLoss is nn.DiceLoss and transforms.RandomCrop is ms.dataset.vision.RandomCrop
    for module in (ms.common, dtype, loss, transforms, serialization):
        with pytest.raises(AttributeError):
            module.no_such_name
    with pytest.raises(ValueError, match="Ascend"):
        serialization.export(nn.ReLU(), Tensor([1.0]), file_name="net", file_format="AIR")
    with pytest.raises(NotImplementedError, match="save_checkpoint"):
        ms.export(nn.ReLU(), Tensor([1.0]), file_name="net", file_format="MINDIR")


def test_layers_have_mindspores_primitives():
    x = Tensor(np.random.default_rng(0).standard_normal((2, 4, 9, 9)).astype(np.float32))
    for layer, run in ((nn.Conv2d(4, 6, 3, 2, pad_mode="pad", padding=1, has_bias=True), lambda c: c.bias_add(c.conv2d(x, c.weight), c.bias)),
                       (nn.AvgPool2d(3, 2), lambda c: c.avg_pool(x)), (nn.MaxPool2d(2, 2, "same"), lambda c: c.max_pool(x)),
                       (nn.Dense(9, 5), lambda c: c.bias_add(c.matmul(c.reshape(x, (-1, 9)), c.weight), c.bias).reshape(2, 4, 9, 5)),
                       (nn.LayerNorm((9,), epsilon=1e-5), lambda c: c.layer_norm(x, c.gamma, c.beta)[0]),
                       (nn.Softmax(1), lambda c: c.softmax(x))):
        assert np.allclose(run(layer).asnumpy(), layer(x).asnumpy(), atol=1e-5), type(layer).__name__
    y = Tensor(np.ones((2, 4, 11), np.float32))
    flat = nn.Conv1d(4, 3, 3, pad_mode="same")
    assert np.allclose(flat.squeeze(flat.conv2d(flat.expand_dims(y, 2), flat.weight)).asnumpy(), flat(y).asnumpy(), atol=1e-5)

    class Standardised(nn.Conv2d):
        def construct(self, v):
            return self.conv2d(v, self.weight - self.weight.mean())

    assert Standardised(4, 2, 3)(x).shape == (2, 2, 9, 9)
    assert not hasattr(nn.ReLU(), "conv2d") and nn.Dropout(p=0.25).keep_prob == 0.75


def test_bases_of_ones_own_layers():
    from rutile._inner.conv import _Conv, _deconv_output_length
    from rutile._inner.rnn_cells import RNNCellBase, _gru_cell, _lstm_cell, _rnn_relu_cell, _rnn_tanh_cell
    conv = _Conv(4, 6, (3, 3), (1, 1), "same", 0, (1, 1), 2, True)
    assert conv.weight.shape == (6, 2, 3, 3) and conv.bias.shape == (6,) and _deconv_output_length(True, False, False, 5, 3, 2, 1, 0) == 11
    x, h = (Tensor(np.random.default_rng(i).standard_normal((2, 3)).astype(np.float32)) for i in (1, 2))
    for gates, step, layer in ((1, _rnn_tanh_cell, nn.RNNCell(3, 3)), (1, _rnn_relu_cell, nn.RNNCell(3, 3, nonlinearity="relu")),
                               (3, _gru_cell, nn.GRUCell(3, 3)), (4, _lstm_cell, nn.LSTMCell(3, 3))):
        weights = (layer.weight_ih, layer.weight_hh, layer.bias_ih, layer.bias_hh)
        state = (h, h * 2) if gates == 4 else h
        for bias in (weights[2:], (None, None)):
            mine = step(x, state, *weights[:2], *bias)
            if bias[0] is None:
                layer.bias_ih.set_data(layer.bias_ih * 0)
                layer.bias_hh.set_data(layer.bias_hh * 0)
            want = layer(x, state)
            for a, b in zip(mine if gates == 4 else (mine,), want if gates == 4 else (want,)):
                assert np.allclose(a.asnumpy(), b.asnumpy(), atol=1e-6)
        assert RNNCellBase(3, 5, True, gates).weight_hh.shape == (5 * gates, 5)


def test_older_keywords_of_tensor():
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    x, i = Tensor(a), Tensor([0, 1])
    assert x.repeat(repeats=2, axis=0).asnumpy().tolist() == np.repeat(a, 2, 0).tolist() and x.tile(reps=(2, 1)).shape == (4, 3)
    assert x.expand_dims(0).squeeze(axis=0).shape == (2, 3) and x.mul(value=2).asnumpy().tolist() == (a * 2).tolist()
    assert x.sub(y=1).asnumpy().tolist() == (a - 1).tolist() and x.gt(x=2).asnumpy().tolist() == (a > 2).tolist()
    assert x.index_add(dim=0, index=i, source=x).asnumpy().tolist() == (a * 2).tolist() and bool(x.isclose(x2=x).all())
    assert x.select(condition=Tensor(a > 2), y=x * 0).asnumpy().tolist() == np.where(a > 2, a, 0).tolist()
    assert x.scatter(axis=0, index=Tensor([[0, 1, 0]]), src=x).shape == (2, 3) and x.unsorted_segment_sum(i, 2).shape == (2, 3)
    assert x.scatter_add(indices=Tensor([[0]]), updates=Tensor(a[:1])).asnumpy()[0].tolist() == (a[0] * 2).tolist()
    p = Parameter(x, name="p")
    assert p.set_data(x * 3, slice_shape=True) is p and p.asnumpy().tolist() == (a * 3).tolist()
    with pytest.raises(TypeError):
        p.set_data(value=x)
    assert ops.pad(x, ((1, 0), (0, 2))).shape == (3, 5) and ops.pad(x, Tensor([0, 2])).shape == (2, 5)
    with pytest.raises(ValueError, match="pad: "):
        ops.pad(x, ((1, 0),))


def test_optimizers_arguments_are_kept():
    from rutile.nn.optim.optimizer import opt_init_args_register

    class Mine(nn.Optimizer):
        @opt_init_args_register
        def __init__(self, params, learning_rate=0.1, momentum=0.9):
            super().__init__(learning_rate, params)

    net = nn.Dense(2, 2)
    mine = Mine(net.trainable_params(), momentum=0.5)
    assert dict(mine.init_args) == {"momentum": 0.5} and mine.init_learning_rate == 0.1 and len(mine.init_params["params"]) == 2


def test_initializer_of_ones_own():
    from rutile.common import initializer as init

    class Halves(init.Initializer):
        def _initialize(self, arr):
            init._assignment(arr, 0.5)

    assert init.initializer(Halves(), (2, 2)).asnumpy().tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert init._calculate_fan_in_and_fan_out((4, 3, 2)) == (6, 8) and init._calculate_correct_fan((4, 3, 2), "FAN_OUT") == 8
    assert abs(init._init_random_uniform(2.0, 4.0, (1000,)).mean() - 3) < 0.1 and init._init_random_normal(1.0, 0.0, (3,)).tolist() == [1, 1, 1]


def test_checks_of_axes_and_types():
    from rutile import _checkparam as check
    assert check._check_3d_int_or_tuple("k", 2, "X", ret_five=True) == (1, 1, 2, 2, 2) and check._check_3d_int_or_tuple("k", (1, 2, 3), "X") == (1, 2, 3)
    assert check.check_and_canonicalize_axes((-1, 0), 3) == (2, 0) and check.check_axis_valid(None, 2) == (0, 1)
    for wrong in (lambda: check._check_3d_int_or_tuple("k", (1, 2), "X"), lambda: check.check_axis_in_range(3, 3),
                  lambda: check.check_and_canonicalize_axes((0, -3), 3), lambda: check.check_pad_value_by_mode("same", 1, "X")):
        with pytest.raises(ValueError):
            wrong()
    with pytest.raises(TypeError):
        check.check_types_same_and_valid({"x": ms.float32, "y": ms.int32}, ms.common.dtype.number_type, "X")

    @check.args_type_check(x=int)
    def f(x):
        return x

    assert f(1) == 1 and f(None) is None
    with pytest.raises(TypeError, match="'x'"):
        f("1")


def test_logging_once(capsys):
    from rutile import log
    log.warning_once("of test_inner_names")
    log.warning_once("of test_inner_names")

    @log._LogActionOnce(log, "a key of this test")
    def warn():
        log.warning("from within")
    warn()
    warn()
    text = capsys.readouterr().err
    assert text.count("of test_inner_names") == 1 and text.count("from within") == 1


def _ones(*shape):
    return Tensor(np.ones(shape, np.float32))


@pytest.mark.parametrize("name, make, inputs", [
    (TypeError, ops.ReLU, (5.0,)), (TypeError, ops.Softmax, (5.0,)), (TypeError, ops.BiasAdd, (5.0, 5.0)), (TypeError, ops.GeLU, (5.0,)),
    (TypeError, ops.ReLU6, (Tensor([1, 2]),)), (TypeError, ops.Elu, (Tensor([1, 2]),)), (ValueError, ops.Flatten, (Tensor(5.0),)),
    (TypeError, lambda: ops.BatchNorm(is_training=False), (_ones(5, 3), _ones(3), _ones(3), None, None)),
    (TypeError, lambda: ops.Conv2D(2, 5), (5.0, 5.0)), (ValueError, lambda: ops.Conv2D(2, (5, 5)), (_ones(1, 1, 9, 9), _ones(1, 1, 5, 5))),
    (ValueError, lambda: ops.Conv2D(2, 5), (_ones(1, 1, 9, 9), _ones(2, 1, 5, 6))), (ValueError, ops.MaxPool, (_ones(1, 1, 32),)),
    (ValueError, ops.AvgPool, (_ones(1, 1, 32),)), (ValueError, lambda: ops.operations.DepthwiseConv2dNative(2, 5), (_ones(1, 1, 9, 9), _ones(1, 2, 5, 5))),
    (TypeError, ops.ReduceSum, (2.0,)), (TypeError, ops.MatMul, (_ones(2, 2), 1.0))])
def test_primitives_refuse_what_mindspores_do(name, make, inputs):
    with pytest.raises(name, match=r"^\["):
        make()(*inputs)


def test_two_parameters_of_one_name_do_not_compile():
    class Twice(nn.Cell):
        def __init__(self):
            super().__init__()
            self.a, self.b = Parameter(_ones(2), name="w"), Parameter(_ones(2), name="w")

        def construct(self, x):
            return x * self.a + self.b

    with pytest.raises(ValueError, match="named 'w'"):
        Twice().compile(_ones(2))


def test_boxes_of_several_classes():
    p = ops.operations.CombinedNonMaxSuppression(clip_boxes=False)
    boxes = Tensor(np.array([[[[0, 0, 1, 1]], [[0, 0.1, 1, 1.1]], [[0, 2, 1, 3]]]], np.float32))
    scores = Tensor(np.array([[[0.9, 0.2], [0.8, 0.7], [0.1, 0.3]]], np.float32))
    numbers = (Tensor(2), Tensor(5), Tensor(np.float32(0.5)), Tensor(np.float32(0.15)))
    found, best, kinds, count = (v.asnumpy() for v in p(boxes, scores, *numbers))
    assert count.tolist() == [3] and kinds[0].tolist() == [0, 1, 1, 0, 0] and np.allclose(best[0], [0.9, 0.7, 0.3, 0, 0])
    assert np.allclose(found[0, :3], [[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, 2, 1, 3]]) and not found[0, 3:].any()
    padded = ops.operations.CombinedNonMaxSuppression(pad_per_class=True)(boxes, scores, *numbers)
    assert padded[0].shape == (1, 4, 4) and padded[0].asnumpy().max() == 1.0
    with pytest.raises(ValueError, match="boxes must be"):
        p(boxes, scores[0], *numbers)


def test_slices_of_sparse_tensors():
    arrays = [[[0, 1], [1, 2], [1, 3], [2, 2]], [1, 2, 3, 4], [3, 4], [0, 1], [2, 3]]
    y = ops.operations.SparseSlice()(*(Tensor(np.array(a, np.int64)) for a in arrays))
    assert [v.asnumpy().tolist() for v in y] == [[[0, 0], [1, 1], [1, 2]], [1, 2, 3], [2, 3]]


def test_updates_with_few_rows_or_low_gradients():
    rng = np.random.default_rng(3)
    w, g = rng.standard_normal((4, 3)).astype(np.float32), rng.standard_normal((3, 3)).astype(np.float32)
    numbers = [Tensor(np.float32(v)) for v in (0.9, 0.999, 0.01, 0.9, 0.999, 1e-8)]
    whole = np.zeros_like(w)
    np.add.at(whole, [1, 3, 1], g)
    sets = [[Parameter(Tensor(v.copy()), name=f"{n}{k}") for k, v in enumerate((w, w * 0.1, w * w))] for n in "ab"]
    ops.operations.FusedSparseAdam()(*sets[0], *numbers, Tensor(g), Tensor([1, 3, 1]))
    ops.Adam()(*sets[1], *numbers, Tensor(whole))
    low = Tensor(whole).astype(ms.float16)
    more = [[Parameter(Tensor(v.copy()), name=f"{n}{k}") for k, v in enumerate((w, w * 0.1, w * w))] for n in "cd"]
    ops.operations.FusedCastAdamWeightDecay()(*more[0], *numbers[2:], Tensor(np.float32(0.1)), low)
    ops.operations.AdamWeightDecay()(*more[1], *numbers[2:], Tensor(np.float32(0.1)), low.astype(ms.float32))
    for one, two in (sets, more):
        for a, b in zip(one, two):
            assert np.allclose(a.asnumpy(), b.asnumpy(), atol=1e-6) and not np.allclose(one[0].asnumpy(), w)


def test_dlpack_by_methods():
    x = Tensor([1.0, 2.0])
    assert Tensor.from_dlpack(x.to_dlpack()).asnumpy().tolist() == [1.0, 2.0] and x.init is None and x.is_init is False
