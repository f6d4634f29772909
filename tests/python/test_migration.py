# SPDX-License-Identifier: Apache-2.0
"""Scripts as MindSpore's guides print them, changed only in the import name, in both modes."""

import subprocess
import sys

import numpy as np
import pytest

import rutile as mindspore
import rutile as ms
from rutile import FixedLossScaleManager, Model, Tensor, nn, ops
from rutile.nn import SoftmaxCrossEntropyWithLogits
from rutile.nn.optim.momentum import Momentum
from rutile.train.callback import LossMonitor, TimeMonitor


@pytest.fixture(params=[1, 0], ids=["pynative", "graph"], autouse=True)
def mode(request):
    ms.set_seed(1)
    ms.set_context(mode=request.param)
    yield request.param
    ms.set_context(mode=1)


def _weight_variable(shape):
    return Tensor(np.random.default_rng(0).normal(0, 0.05, shape).astype(np.float32))


def _conv1x1(in_channel, out_channel, stride=1):
    return nn.Conv2d(in_channel, out_channel, kernel_size=1, stride=stride, padding=0, pad_mode='same',
                     weight_init=_weight_variable((out_channel, in_channel, 1, 1)))


def _conv3x3(in_channel, out_channel, stride=1):
    return nn.Conv2d(in_channel, out_channel, kernel_size=3, stride=stride, padding=0, pad_mode='same',
                     weight_init=_weight_variable((out_channel, in_channel, 3, 3)))


def _conv7x7(in_channel, out_channel, stride=1):
    weight_shape = (out_channel, in_channel, 7, 7)
    weight = _weight_variable(weight_shape)
    return nn.Conv2d(in_channel, out_channel,
                     kernel_size=7, stride=stride, padding=0, pad_mode='same', weight_init=weight)


def _bn(channel):
    return nn.BatchNorm2d(channel, eps=1e-4, momentum=0.9,
                          gamma_init=1, beta_init=0, moving_mean_init=0, moving_var_init=1)


_bn_last = _bn


class ResidualBlock(nn.Cell):
    expansion = 4

    def __init__(self,
                 in_channel,
                 out_channel,
                 stride=1):
        super(ResidualBlock, self).__init__()

        channel = out_channel
        self.conv1 = _conv1x1(in_channel, channel, stride=1)
        self.bn1 = _bn(channel)

        self.conv2 = _conv3x3(channel, channel, stride=stride)
        self.bn2 = _bn(channel)

        self.conv3 = _conv1x1(channel, out_channel, stride=1)
        self.bn3 = _bn_last(out_channel)

        self.relu = nn.ReLU()

        self.down_sample = False

        if stride != 1 or in_channel != out_channel:
            self.down_sample = True
        self.down_sample_layer = None

        if self.down_sample:
            self.down_sample_layer = nn.SequentialCell([_conv1x1(in_channel, out_channel, stride),
                                                        _bn(out_channel)])
        self.add = ops.Add()

    def construct(self, x):
        identity = x

        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)

        out = self.conv2(out)
        out = self.bn2(out)
        out = self.relu(out)

        out = self.conv3(out)
        out = self.bn3(out)

        if self.down_sample:
            identity = self.down_sample_layer(identity)

        out = self.add(out, identity)
        out = self.relu(out)

        return out


def _make_layer(self, block, layer_num, in_channel, out_channel, stride):
    layers = []

    resnet_block = block(in_channel, out_channel, stride=stride)
    layers.append(resnet_block)

    for _ in range(1, layer_num):
        resnet_block = block(out_channel, out_channel, stride=1)
        layers.append(resnet_block)

    return nn.SequentialCell(layers)


def test_first_layers():
    assert _conv7x7(3, 64, 2)(Tensor(np.zeros((2, 3, 224, 224), np.float32))).shape == (2, 64, 112, 112)
    assert _bn(64)(Tensor(np.zeros((2, 64, 3, 3), np.float32))).shape == (2, 64, 3, 3)


def test_residual_block():
    block = ResidualBlock(3, 256, stride=2)
    block.set_train()
    x = Tensor(np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32))
    assert block(x).shape == (2, 256, 4, 4)
    value, grads = ms.value_and_grad(lambda x: ops.mean(block(x)), 0, block.trainable_params())(x)
    assert grads[0].shape == x.shape and len(grads[1]) == 12 and all(np.isfinite(g.asnumpy()).all() for g in grads[1])
    layer = _make_layer(None, ResidualBlock, 3, 128, 256, 2)
    assert isinstance(layer, nn.SequentialCell) and len(layer) == 3
    assert next(layer.get_parameters()).name == "0.conv1.weight"
    assert "0.down_sample_layer.1.moving_mean" in layer.parameters_dict()


class config:
    momentum, weight_decay, loss_scale = 0.9, 1e-4, 1024


class Net(nn.Cell):
    def __init__(self):
        super(Net, self).__init__()
        self.block = ResidualBlock(3, 8, stride=2)
        self.flatten = nn.Flatten()
        self.fc = nn.Dense(8 * 16, 4)

    def construct(self, x):
        return self.fc(self.flatten(self.block(x)))


RNG = np.random.default_rng(3)
DATA = [(RNG.normal(size=(8, 3, 8, 8)).astype(np.float32), (np.arange(8) % 4).astype(np.int32)) for _ in range(3)]


class Dataset:
    def get_dataset_size(self):
        return len(DATA)

    def create_tuple_iterator(self, num_epochs=-1):
        class Iterator:
            def __iter__(self):
                return iter([(Tensor(x), Tensor(y)) for x, y in DATA])
        return Iterator()


def test_model_of_the_guide(capsys):
    net, lr, step_size, dataset = Net(), 0.05, len(DATA), Dataset()
    loss = SoftmaxCrossEntropyWithLogits(sparse=True, reduction='mean')
    opt = Momentum(filter(lambda x: x.requires_grad, net.get_parameters()), lr, config.momentum, config.weight_decay, config.loss_scale)
    loss_scale = FixedLossScaleManager(config.loss_scale, drop_overflow_update=False)
    model = Model(net, loss_fn=loss, optimizer=opt, loss_scale_manager=loss_scale, metrics={'acc'})
    time_cb = TimeMonitor(data_size=step_size)
    loss_cb = LossMonitor()
    cb = [time_cb, loss_cb]
    history = model.train(2, dataset, callbacks=cb)
    out = capsys.readouterr().out
    assert "epoch: 2 step: 3, loss is " in out and out.count("Train epoch time: ") == 2
    losses = history.history["net_output"]
    assert losses[1] < losses[0] and 0 <= model.eval(dataset)["acc"] <= 1


LEARNING_RATE, DECAY_RATE, EPOCH_SIZE = 0.05, 0.9, 3


def low_level(network, loss_fn, dataset):
    scheduler = nn.ExponentialDecayLR(LEARNING_RATE, decay_rate=DECAY_RATE, decay_steps=1)
    optimizer = nn.SGD(params=network.trainable_params(), learning_rate=scheduler)

    # Launch the model training.
    net_with_loss = nn.WithLossCell(network, loss_fn)
    train_network = nn.TrainOneStepCell(net_with_loss, optimizer)
    train_network.set_train()
    data_iterator = dataset.create_tuple_iterator(num_epochs=EPOCH_SIZE)
    losses = []
    for i in range(EPOCH_SIZE):
        for data, label in data_iterator:
            loss = train_network(data, label)
        losses.append(float(loss))
    return losses


def high_level(network, loss_fn, dataset):
    scheduler = nn.ExponentialDecayLR(LEARNING_RATE, decay_rate=DECAY_RATE, decay_steps=1)
    optimizer = nn.SGD(params=network.trainable_params(), learning_rate=scheduler)

    # Launch the model training.
    model = Model(network, loss_fn=loss_fn, optimizer=optimizer)
    return model.train(EPOCH_SIZE, dataset).history["net_output"]


def test_low_and_high_level_give_the_same_losses():
    found = []
    for train in (low_level, high_level):
        ms.set_seed(2)
        found.append(train(Net(), SoftmaxCrossEntropyWithLogits(sparse=True, reduction='mean'), Dataset()))
    assert found[0] == found[1] and found[0][-1] < found[0][0]


def test_evaluation_loop():
    network, loss_fn, dataset = Net(), nn.CrossEntropyLoss(), Dataset()
    metric_fn = lambda output, label: float((output.argmax(1) == label).asnumpy().mean())  # noqa: E731
    data_iterator = dataset.create_tuple_iterator()
    for data, label in data_iterator:
        output = network(data)
        loss = loss_fn(output, label)
        accuracy = metric_fn(output, label)
        assert float(loss) > 0 and 0 <= accuracy <= 1
    model = Model(network, loss_fn=loss_fn, metrics={'accuracy'})
    accuracy = model.eval(dataset)
    assert set(accuracy) == {"accuracy"}


def test_reshape_with_shapes():
    class Converted(nn.Cell):
        def __init__(self):
            super().__init__()
            self.reshape = ops.Reshape(input_shape=(1, 1280, 1, 1), output_shape=(1, 1280))

        def construct(self, x):
            return self.reshape(x, (1, 1280))

    assert Converted()(Tensor(np.zeros((1, 1280, 1, 1), np.float32))).shape == (1, 1280)


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
    assert mindspore is ms
