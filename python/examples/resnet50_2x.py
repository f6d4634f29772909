# SPDX-License-Identifier: Apache-2.0
"""ResNet-50 in the style of MindSpore 2.x: value_and_grad, jit, vision transforms. Only the imports say rutile.

    python resnet50_2x.py --dataset cifar10 --data_path cifar-10-batches-bin --epochs 90
    python resnet50_2x.py --dataset fashion-mnist --mode pynative --image_size 64
"""
import argparse

import numpy as np

import rutile as ms
import rutile.dataset as ds
import rutile.dataset.transforms as transforms
import rutile.dataset.vision as vision
from rutile import nn, ops
from rutile.common.initializer import HeNormal

FASHION_MNIST = "/usr/share/datasets/fashion-mnist"


class Bottleneck(nn.Cell):
    expansion = 4

    def __init__(self, in_channel, channel, stride=1):
        super().__init__()
        out_channel = channel * self.expansion
        self.conv1 = nn.Conv2d(in_channel, channel, 1, weight_init=HeNormal())
        self.norm1 = nn.BatchNorm2d(channel)
        self.conv2 = nn.Conv2d(channel, channel, 3, stride, pad_mode="pad", padding=1, weight_init=HeNormal())
        self.norm2 = nn.BatchNorm2d(channel)
        self.conv3 = nn.Conv2d(channel, out_channel, 1, weight_init=HeNormal())
        self.norm3 = nn.BatchNorm2d(out_channel)
        self.relu = nn.ReLU()
        self.down_sample = None
        if stride != 1 or in_channel != out_channel:
            self.down_sample = nn.SequentialCell(nn.Conv2d(in_channel, out_channel, 1, stride, weight_init=HeNormal()),
                                                 nn.BatchNorm2d(out_channel))

    def construct(self, x):
        out = self.relu(self.norm1(self.conv1(x)))
        out = self.relu(self.norm2(self.conv2(out)))
        out = self.norm3(self.conv3(out))
        identity = x if self.down_sample is None else self.down_sample(x)
        return self.relu(out + identity)


class ResNet(nn.Cell):
    def __init__(self, layers, num_classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, pad_mode="pad", padding=3, weight_init=HeNormal())
        self.norm = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.max_pool = nn.MaxPool2d(kernel_size=3, stride=2, pad_mode="same")
        self.in_channel = 64
        self.layer1 = self._make_layer(64, layers[0])
        self.layer2 = self._make_layer(128, layers[1], 2)
        self.layer3 = self._make_layer(256, layers[2], 2)
        self.layer4 = self._make_layer(512, layers[3], 2)
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Dense(512 * Bottleneck.expansion, num_classes)

    def _make_layer(self, channel, blocks, stride=1):
        cells = []
        for i in range(blocks):
            cells.append(Bottleneck(self.in_channel, channel, stride if i == 0 else 1))
            self.in_channel = channel * Bottleneck.expansion
        return nn.SequentialCell(cells)

    def construct(self, x):
        x = self.max_pool(self.relu(self.norm(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.flatten(self.avg_pool(x)))


def create_dataset(args, usage):
    train = usage == "train"
    if args.dataset == "cifar10":
        data_set = ds.Cifar10Dataset(args.data_path, usage=usage, shuffle=train)
        trans = [vision.RandomCrop((32, 32), (4, 4, 4, 4)), vision.RandomHorizontalFlip(prob=0.5)] if train else []
        mean, std = [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]
    else:
        data_set = ds.FashionMnistDataset(args.data_path, usage=usage, shuffle=train)
        trans = [lambda x: np.repeat(x, 3, axis=2)] + ([vision.RandomHorizontalFlip(prob=0.5)] if train else [])
        mean, std = [0.286] * 3, [0.353] * 3
    trans += [vision.Resize((args.image_size, args.image_size)), vision.Rescale(1.0 / 255.0, 0.0), vision.Normalize(mean, std),
              vision.HWC2CHW()]
    data_set = data_set.map(operations=trans, input_columns="image", num_parallel_workers=2)
    data_set = data_set.map(operations=transforms.TypeCast(ms.int32), input_columns="label")
    data_set = data_set.batch(args.batch_size, drop_remainder=True)
    return data_set.take(args.steps) if args.steps else data_set


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", choices=["cifar10", "fashion-mnist"], default="fashion-mnist")
    parser.add_argument("--data_path", default=None)
    parser.add_argument("--mode", choices=["graph", "pynative"], default="graph")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--steps", type=int, default=0, help="of an epoch at most; 0: all")
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--checkpoint", default="resnet50.ckpt")
    args = parser.parse_args(argv)
    args.data_path = args.data_path or (FASHION_MNIST if args.dataset == "fashion-mnist" else "cifar-10-batches-bin")

    ms.set_seed(1)
    ms.set_context(mode=ms.GRAPH_MODE if args.mode == "graph" else ms.PYNATIVE_MODE)
    data_train, data_test = create_dataset(args, "train"), create_dataset(args, "test")
    steps = data_train.get_dataset_size()

    network = ResNet([3, 4, 6, 3])
    lr = nn.cosine_decay_lr(min_lr=0.0, max_lr=args.lr, total_step=steps * args.epochs, step_per_epoch=steps,
                            decay_epoch=args.epochs)
    opt = nn.Momentum(network.trainable_params(), learning_rate=lr, momentum=0.9, weight_decay=1e-4)
    loss_fn = nn.CrossEntropyLoss()

    def forward_fn(inputs, targets):
        logits = network(inputs)
        loss = loss_fn(logits, targets)
        return loss

    grad_fn = ops.value_and_grad(forward_fn, None, opt.parameters)

    def train_step(inputs, targets):
        loss, grads = grad_fn(inputs, targets)
        opt(grads)
        return loss

    if args.mode == "graph":
        train_step = ms.jit(train_step)

    metric = nn.Accuracy() if hasattr(nn, "Accuracy") else ms.train.Accuracy()
    for epoch in range(args.epochs):
        network.set_train(True)
        for i, (images, labels) in enumerate(data_train.create_tuple_iterator(num_epochs=1)):
            loss = train_step(images, labels)
            if i % 100 == 0 or i == steps - 1:
                print(f"Epoch: [{epoch + 1}/{args.epochs}], Steps: [{i + 1}/{steps}], Train Loss: [{float(loss.asnumpy()):5.3f}]")
        network.set_train(False)
        metric.clear()
        for images, labels in data_test.create_tuple_iterator(num_epochs=1):
            metric.update(network(images), labels)
        print(f"Accuracy: {metric.eval():.4f}")
    ms.save_checkpoint(network, args.checkpoint)


if __name__ == "__main__":
    main()
