# SPDX-License-Identifier: Apache-2.0
"""MindSpore's modules and older names; gradients of integers."""

import subprocess
import sys

import numpy as np
import pytest
import rutile
from rutile import Parameter, Tensor, nn, ops
from rutile.ops import functional as F

_IMPORTS = """
import rutile.compat
rutile.compat.install("mindspore")
from mindspore.common.api import _cell_graph_executor, jit, ms_function
from mindspore.common.tensor import Tensor
from mindspore.common import mutable
from mindspore.ops.primitive import Primitive, PrimitiveWithInfer, constexpr, prim_attr_register
from mindspore.ops.operations import nn_ops, math_ops as M
from mindspore.ops.operations.array_ops import Reshape
from mindspore.ops.composite import GradOperation, HyperMap
from mindspore.ops.composite.base import Map
from mindspore.ops.function.math_func import add
from mindspore.nn.wrap.cell_wrapper import TrainOneStepCell
from mindspore.nn.layer.conv import Conv2d
from mindspore.nn.optim.momentum import Momentum
from mindspore.nn.loss.loss import LossBase
from mindspore.nn.metrics import Accuracy
from mindspore.train.callback._callback import Callback
from mindspore.communication.management import get_rank, get_group_size
from mindspore.context import ParallelMode
import mindspore, rutile, rutile.nn
assert Conv2d is rutile.nn.Conv2d and Momentum is rutile.nn.Momentum and nn_ops.Conv2D is M.Conv2D and Tensor is rutile.Tensor
assert rutile.ops.operations.__name__ == "rutile.ops.operations" and mindspore.mutable((1, 2)) == (1, 2)
print(get_rank(), get_group_size())
"""


def test_modules_of_mindspore():
    done = subprocess.run([sys.executable, "-c", _IMPORTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "1"]


def test_structures():
    assert F.make_tuple(1, 2) == (1, 2) and F.make_list(1) == [1] and F.tuple_getitem((1, 2), 1) == 2
    assert F.tuple_to_array((1, 2)).asnumpy().tolist() == [1, 2] and F.tail((1, 2, 3)) == (2, 3)
    x, y = Tensor(1), Tensor(5)
    for wrap in (lambda f: f, rutile.jit):
        assert int(wrap(F.switch)(Tensor(False), x, y)) == 5 and int(wrap(F.switch)(Tensor(True), x, y)) == 1


def test_one_process():
    rutile.set_auto_parallel_context(device_num=1, parallel_mode="data_parallel")
    assert rutile.get_auto_parallel_context("parallel_mode") == "data_parallel"
    with pytest.raises(ValueError):
        rutile.set_auto_parallel_context(device_num=8)
    with pytest.raises(ValueError):
        rutile.set_auto_parallel_context(parallel_mode="none")
    rutile.reset_auto_parallel_context()
    assert rutile.get_auto_parallel_context("parallel_mode") == "stand_alone"
    rutile.communication.init()
    assert rutile.communication.get_rank() == 0 and rutile.communication.get_group_size("nccl_world_group") == 1
    rutile.communication.release()


def _looped(x, n):
    while n < 10:
        x = x * x if x < 4 else x + n
        n = n + 3
    return x * n


@pytest.mark.parametrize("wrap", [lambda f: f, rutile.jit])
def test_integers_have_gradients(wrap):
    by_all = ops.GradOperation(get_all=True)
    i = lambda v: Tensor(v, rutile.int32)  # noqa: E731
    dx, dn = wrap(by_all(_looped))(i(3), i(2))
    # 3 -> 9 -> 9 + 5 -> 14 + 8, times 11
    assert dx.dtype == rutile.int32 and int(dx) == 6 * 11 and int(dn) == 22 + 2 * 11
    dx, di = wrap(by_all(lambda x, k: x[k] * 2 + k))(Tensor([1.0, 2.0]), i(1))
    assert dx.asnumpy().tolist() == [0, 2] and di.dtype == rutile.int32 and int(di) == 1
    dx, db = wrap(by_all(lambda x, b: x + b))(Tensor([1.0, 2.0]), Tensor([True, False]))
    assert db.dtype == rutile.bool_ and db.asnumpy().tolist() == [True, True]
    assert int(wrap(rutile.grad(rutile.grad(lambda x: x * x * x)))(i(2))) == 12
    w = Parameter(i(3), name="w")
    assert int(wrap(rutile.grad(lambda x: x * w * w, None, w))(i(2))) == 12
    # A cast hands gradients on, as MindSpore's does; that of an integer is an integer.
    assert float(wrap(rutile.grad(lambda x: x.astype(rutile.int32).astype(rutile.float32) * x))(Tensor(2.5))) == 4


@pytest.mark.parametrize("wrap", [lambda f: f, rutile.jit])
def test_assignments_have_no_gradient(wrap):
    class Net(nn.Cell):
        def __init__(self):
            super().__init__()
            self.w = Parameter(Tensor(1.0), name="w")

        def construct(self, x):
            self.w = x * 2
            return self.w * x

    net = Net()
    assert float(wrap(rutile.grad(net))(Tensor(3.0))) == 6 and float(net.w) == 6
    assert float(wrap(rutile.grad(net, None, net.w))(Tensor(3.0))) == 3 and float(net.w) == 6

    def added(x):
        ops.assign_add(net.w, x)
        return net.w * x

    assert float(wrap(rutile.grad(added, None, net.w))(Tensor(3.0))) == 3 and float(net.w) == 9


def test_cell_lists_by_tensors():
    cells = nn.CellList([nn.ReLU(), nn.Tanh()])
    assert cells[Tensor(1)] is cells[1] and cells[Tensor(-2)] is cells[0]
    with pytest.raises(TypeError):
        cells[Tensor(1.0)]
    np.testing.assert_equal(cells[Tensor(0)](Tensor([-1.0, 2.0])).asnumpy(), [0, 2])


class _Own(nn.Cell):
    def construct(self, x, y):
        return 2 * x + y

    def bprop(self, x, y, out, dout):
        return 2 * dout, 2 * y


@pytest.mark.parametrize("wrap", [lambda f: f, rutile.jit])
def test_own_gradients_of_integers(wrap):
    got = wrap(ops.GradOperation(get_all=True)(lambda x, y: _Own()(x, y) + x))(Tensor(1, rutile.int32), Tensor(2, rutile.int32))
    assert [int(g) for g in got] == [3, 4]


_PLACES = """
import rutile.compat
rutile.compat.install("mindspore")
import importlib
for name in rutile.compat.MOVED:
    importlib.import_module("mindspore." + name)
import mindspore.nn as nn, mindspore as ms
from mindspore.train.metrics.metric import Metric, rearrange_inputs
from mindspore.nn.probability.distribution.normal import Normal
from mindspore.numpy.math_ops import add
from mindspore.utils.dlpack import to_dlpack
from mindspore.ops.function.grad.grad_func import custom_vjp
from mindspore.experimental.optim.adam import Adam
assert nn.layer.activation.ReLU is nn.ReLU and nn.layer.normalization.BatchNorm2d is nn.BatchNorm2d
assert ms.ops.operations.nn_ops.Conv2D is ms.ops.Conv2D and ms.numpy.add is add and nn.Accuracy.__mro__[-2] is Metric
try:
    nn.layer.nothing
except AttributeError as e:
    print(e)
"""


def test_places_of_names():
    done = subprocess.run([sys.executable, "-c", _PLACES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "module 'rutile.nn.layer' has no attribute 'nothing'"
