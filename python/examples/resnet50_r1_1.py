# SPDX-License-Identifier: Apache-2.0
"""ResNet-50 in the style of MindSpore r1.1's model zoo: Model, callbacks, c_transforms. Only the imports say rutile.

    python resnet50_r1_1.py --dataset cifar10 --data_path cifar-10-batches-bin --epoch_size 90
    python resnet50_r1_1.py --dataset fashion-mnist --mode pynative --image_size 64
"""
import argparse
import math

import numpy as np

import rutile.nn as nn
import rutile.dataset as ds
import rutile.dataset.vision.c_transforms as C
import rutile.dataset.transforms.c_transforms as C2
from rutile import Tensor, context
from rutile.common import dtype as mstype
from rutile.common import set_seed
from rutile.common.initializer import initializer, HeNormal
from rutile.nn.loss import SoftmaxCrossEntropyWithLogits
from rutile.nn.optim.momentum import Momentum
from rutile.ops import operations as P
from rutile.train.callback import CheckpointConfig, LossMonitor, ModelCheckpoint, TimeMonitor
from rutile.train.loss_scale_manager import FixedLossScaleManager
from rutile.train.model import Model

FASHION_MNIST = "/usr/share/datasets/fashion-mnist"


def _conv(in_channel, out_channel, kernel, stride=1):
    return nn.Conv2d(in_channel, out_channel, kernel_size=kernel, stride=stride, padding=0, pad_mode="same",
                     weight_init=HeNormal(mode="fan_out", nonlinearity="relu"))


def _bn(channel):
    return nn.BatchNorm2d(channel, eps=1e-4, momentum=0.9, gamma_init=1, beta_init=0, moving_mean_init=0,
                          moving_var_init=1)


def _bn_last(channel):
    return nn.BatchNorm2d(channel, eps=1e-4, momentum=0.9, gamma_init=0, beta_init=0, moving_mean_init=0,
                          moving_var_init=1)


class ResidualBlock(nn.Cell):
    """The bottleneck of ResNet V1."""

    expansion = 4

    def __init__(self, in_channel, out_channel, stride=1):
        super(ResidualBlock, self).__init__()
        channel = out_channel // self.expansion
        self.conv1 = _conv(in_channel, channel, 1)
        self.bn1 = _bn(channel)
        self.conv2 = _conv(channel, channel, 3, stride)
        self.bn2 = _bn(channel)
        self.conv3 = _conv(channel, out_channel, 1)
        self.bn3 = _bn_last(out_channel)
        self.relu = nn.ReLU()
        self.down_sample = False
        if stride != 1 or in_channel != out_channel:
            self.down_sample = True
        self.down_sample_layer = None
        if self.down_sample:
            self.down_sample_layer = nn.SequentialCell([_conv(in_channel, out_channel, 1, stride), _bn(out_channel)])
        self.add = P.Add()

    def construct(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.down_sample:
            identity = self.down_sample_layer(identity)
        out = self.add(out, identity)
        out = self.relu(out)
        return out


class ResNet(nn.Cell):
    """ResNet of four groups of blocks."""

    def __init__(self, block, layer_nums, in_channels, out_channels, strides, num_classes):
        super(ResNet, self).__init__()
        self.conv1 = _conv(3, 64, 7, 2)
        self.bn1 = _bn(64)
        self.relu = P.ReLU()
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, pad_mode="same")
        self.layer1 = self._make_layer(block, layer_nums[0], in_channels[0], out_channels[0], strides[0])
        self.layer2 = self._make_layer(block, layer_nums[1], in_channels[1], out_channels[1], strides[1])
        self.layer3 = self._make_layer(block, layer_nums[2], in_channels[2], out_channels[2], strides[2])
        self.layer4 = self._make_layer(block, layer_nums[3], in_channels[3], out_channels[3], strides[3])
        self.mean = P.ReduceMean(keep_dims=True)
        self.flatten = nn.Flatten()
        self.end_point = nn.Dense(out_channels[3], num_classes, has_bias=True, weight_init="he_uniform", bias_init=0)

    def _make_layer(self, block, layer_num, in_channel, out_channel, stride):
        layers = []
        resnet_block = block(in_channel, out_channel, stride=stride)
        layers.append(resnet_block)
        for _ in range(1, layer_num):
            resnet_block = block(out_channel, out_channel, stride=1)
            layers.append(resnet_block)
        return nn.SequentialCell(layers)

    def construct(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        out = self.mean(x, (2, 3))
        out = self.flatten(out)
        out = self.end_point(out)
        return out


def resnet50(class_num=10):
    return ResNet(ResidualBlock, [3, 4, 6, 3], [64, 256, 512, 1024], [256, 512, 1024, 2048], [1, 2, 2, 2], class_num)


def create_dataset(args, do_train, repeat_num=1):
    """The pipeline of CIFAR-10, or of Fashion-MNIST with its one channel three times."""
    if args.dataset == "cifar10":
        data_set = ds.Cifar10Dataset(args.data_path, num_parallel_workers=4, shuffle=do_train,
                                     usage="train" if do_train else None)
        trans = [C.RandomCrop((32, 32), (4, 4, 4, 4)), C.RandomHorizontalFlip(prob=0.5)] if do_train else []
        mean, std = [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]
    else:
        data_set = ds.FashionMnistDataset(args.data_path, usage="train" if do_train else "test", shuffle=do_train)
        trans = [lambda x: np.repeat(x, 3, axis=2)] + ([C.RandomHorizontalFlip(prob=0.5)] if do_train else [])
        mean, std = [0.286] * 3, [0.353] * 3
    trans += [C.Resize((args.image_size, args.image_size)), C.Rescale(1.0 / 255.0, 0.0), C.Normalize(mean, std), C.HWC2CHW()]
    data_set = data_set.map(operations=C2.TypeCast(mstype.int32), input_columns="label", num_parallel_workers=2)
    data_set = data_set.map(operations=trans, input_columns="image", num_parallel_workers=2)
    data_set = data_set.batch(args.batch_size, drop_remainder=True)
    return data_set.repeat(repeat_num)


def get_lr(lr_max, total_epochs, steps_per_epoch, warmup_epochs=5):
    """Up in a line, then down along a cosine: a rate for each step."""
    total, warmup = total_epochs * steps_per_epoch, warmup_epochs * steps_per_epoch
    lr = []
    for i in range(total):
        if i < warmup:
            lr.append(lr_max * (i + 1) / warmup)
        else:
            lr.append(lr_max * 0.5 * (1 + math.cos(math.pi * (i - warmup) / max(total - warmup, 1))))
    return np.array(lr).astype(np.float32)


def main(argv=None):
    parser = argparse.ArgumentParser(description="Image classification")
    parser.add_argument("--dataset", choices=["cifar10", "fashion-mnist"], default="fashion-mnist")
    parser.add_argument("--data_path", default=None)
    parser.add_argument("--mode", choices=["graph", "pynative"], default="graph")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--epoch_size", type=int, default=1)
    parser.add_argument("--steps", type=int, default=0, help="of an epoch at most; 0: all")
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--save_checkpoint_path", default="./")
    args = parser.parse_args(argv)
    args.data_path = args.data_path or (FASHION_MNIST if args.dataset == "fashion-mnist" else "cifar-10-batches-bin")

    set_seed(1)
    context.set_context(mode=context.GRAPH_MODE if args.mode == "graph" else context.PYNATIVE_MODE, device_target="CPU")
    dataset = create_dataset(args, do_train=True)
    test = create_dataset(args, do_train=False)
    if args.steps:
        dataset, test = dataset.take(args.steps), test.take(args.steps)
    step_size = dataset.get_dataset_size()

    net = resnet50(class_num=10)
    lr = Tensor(get_lr(args.lr, args.epoch_size, step_size, min(5, args.epoch_size - 1)))
    decayed = [p for p in net.trainable_params() if "beta" not in p.name and "gamma" not in p.name and "bias" not in p.name]
    others = [p for p in net.trainable_params() if "beta" in p.name or "gamma" in p.name or "bias" in p.name]
    opt = Momentum([{"params": decayed, "weight_decay": 1e-4}, {"params": others}, {"order_params": net.trainable_params()}],
                   lr, 0.9, loss_scale=1024)
    loss = SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    loss_scale = FixedLossScaleManager(1024, drop_overflow_update=False)
    model = Model(net, loss_fn=loss, optimizer=opt, loss_scale_manager=loss_scale, metrics={"acc"})

    config_ck = CheckpointConfig(save_checkpoint_steps=step_size, keep_checkpoint_max=5)
    ckpt_cb = ModelCheckpoint(prefix="resnet", directory=args.save_checkpoint_path, config=config_ck)
    model.train(args.epoch_size, dataset, callbacks=[TimeMonitor(data_size=step_size), LossMonitor(), ckpt_cb],
                dataset_sink_mode=False)
    print("result:", model.eval(test, dataset_sink_mode=False), "ckpt:", ckpt_cb.latest_ckpt_file_name)


if __name__ == "__main__":
    main()
