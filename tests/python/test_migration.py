# SPDX-License-Identifier: Apache-2.0
"""Scripts under MindSpore's name; epochs of a run that goes on."""

import subprocess
import sys

import numpy as np

import rutile
import rutile as ms
import rutile.dataset
from rutile import nn


def test_under_mindspores_name():
    script = """
import rutile
rutile.compat.install("mindspore")
import mindspore as ms
import mindspore.nn as nn
from mindspore import Tensor, Model, ops, context, Parameter
from mindspore.common.initializer import Normal, initializer
from mindspore.ops import operations as P
from mindspore.ops import functional
from mindspore.nn.optim.momentum import Momentum
from mindspore.train.model import Model as M
from mindspore.train.callback import LossMonitor
from mindspore.train.loss_scale_manager import FixedLossScaleManager
import mindspore.common.dtype as mstype
assert ms is rutile and M is Model and nn is rutile.nn and mstype.float32 is ms.float32
context.set_context(mode=context.GRAPH_MODE, device_target="CPU")
class Net(nn.Cell):
    def __init__(self):
        super(Net, self).__init__()
        self.w = Parameter(initializer(Normal(0.02), [2, 3], mstype.float32), name="w")
        self.matmul = P.MatMul(transpose_b=True)
    def construct(self, x):
        return self.matmul(x, self.w)
print(Net()(Tensor([[1.0, 2.0, 3.0]])).shape)
try:
    import mindspore.nothing
except ModuleNotFoundError as e:
    print(e)
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert out.returncode == 0, out.stderr
    assert out.stdout == "(1, 2)\nNo module named 'mindspore.nothing'\n"


def test_epochs_differ_and_a_resumed_run_goes_on():
    orders = []
    rutile.set_seed(1)  # without one every run has an order of its own

    class Order(ms.Callback):
        def step_begin(self, run_context):
            orders.append(run_context.original_args().train_dataset_element[0].asnumpy().copy())

    def train(first, last):
        net = nn.Dense(1, 1)
        data = rutile.dataset.NumpySlicesDataset((np.arange(16, dtype=np.float32).reshape(16, 1),) * 2, ["x", "y"]).batch(16)
        ms.Model(net, nn.MSELoss(), nn.SGD(net.trainable_params(), 1e-4)).train(last, data, callbacks=[Order()], initial_epoch=first)

    train(0, 3)
    assert not np.array_equal(orders[0], orders[1]) and not np.array_equal(orders[1], orders[2])
    train(2, 3)
    assert np.array_equal(orders[2], orders[3])
