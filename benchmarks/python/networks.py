# SPDX-License-Identifier: Apache-2.0
"""The four benchmark networks as a Python user writes them: twins of nn/models, with the same names and sizes."""

from rutile import nn, ops
from rutile.ops import table


def conv(inputs, outputs, kernel, stride=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, pad_mode="pad", padding=kernel // 2)


class Bottleneck(nn.Cell):
    """1x1, 3x3, 1x1 with a shortcut."""

    def __init__(self, inputs, planes, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, planes, 1), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv(planes, planes, 3, stride), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = conv(planes, 4 * planes, 1), nn.BatchNorm2d(4 * planes)
        self.relu = nn.ReLU()
        self.downsample = None
        if stride != 1 or inputs != 4 * planes:
            self.downsample = nn.SequentialCell(conv(inputs, 4 * planes, 1, stride), nn.BatchNorm2d(4 * planes))

    def construct(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Cell):
    """As torchvision has it; images [N, 3, H, W]."""

    def __init__(self, classes):
        super().__init__()
        self.conv1, self.bn1, self.relu = conv(3, 64, 7, 2), nn.BatchNorm2d(64), nn.ReLU()
        blocks, inputs = [], 64
        for planes, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for i in range(count):
                blocks.append(Bottleneck(inputs, planes, stride if i == 0 else 1))
                inputs = 4 * planes
        self.blocks = nn.SequentialCell(*blocks)
        self.fc = nn.Dense(2048, classes)

    def construct(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = table.max_pool2d(x, kernel=3, stride=2, pad=1)[0]
        return self.fc(ops.mean(self.blocks(x), (2, 3)))


class LeNet(nn.Cell):
    """LeNet-5 on [N, 1, 32, 32] with ReLU and max pooling."""

    def __init__(self, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, pad_mode="valid", has_bias=True)
        self.conv2 = nn.Conv2d(6, 16, 5, pad_mode="valid", has_bias=True)
        self.relu, self.pool, self.flatten = nn.ReLU(), nn.MaxPool2d(2, 2), nn.Flatten()
        self.fc1, self.fc2, self.fc3 = nn.Dense(400, 120), nn.Dense(120, 84), nn.Dense(84, classes)

    def construct(self, x):
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        x = self.relu(self.fc1(self.flatten(x)))
        return self.fc3(self.relu(self.fc2(x)))


class Mlp(nn.Cell):
    """784 - 512 - 512 - 10 with ReLU."""

    def __init__(self, inputs=784, hidden=512, classes=10):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Dense(inputs, hidden), nn.Dense(hidden, hidden), nn.Dense(hidden, classes)
        self.relu = nn.ReLU()

    def construct(self, x):
        return self.fc3(self.relu(self.fc2(self.relu(self.fc1(x)))))


class GptBlock(nn.Cell):
    """Pre-norm decoder block: causal self-attention, then an MLP four times as wide with GELU."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm((width,), epsilon=1e-5), nn.LayerNorm((width,), epsilon=1e-5)
        self.qkv, self.proj = nn.Dense(width, 3 * width), nn.Dense(width, width)
        self.up, self.down = nn.Dense(width, 4 * width), nn.Dense(4 * width, width)

    def attend(self, x):
        n, t, width = x.shape
        qkv = self.qkv(x).reshape((n, t, 3, self.heads, width // self.heads)).transpose((2, 0, 3, 1, 4))
        mixed = table.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], causal=True)[0]
        return self.proj(mixed.transpose((0, 2, 1, 3)).reshape((n, t, width)))

    def construct(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.down(ops.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Cell):
    """Character-level decoder: token ids [N, T] to logits [N * T, vocab]."""

    def __init__(self, vocab=65, positions=256, layers=6, width=384, heads=6):
        super().__init__()
        self.tok, self.pos = nn.Embedding(vocab, width), nn.Embedding(positions, width)
        self.blocks = nn.SequentialCell(*[GptBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm((width,), epsilon=1e-5)
        self.head = nn.Dense(width, vocab, has_bias=False)

    def construct(self, ids):
        x = self.tok(ids) + self.pos(ops.arange(0, ids.shape[1]))
        x = self.head(self.norm(self.blocks(x)))
        return x.reshape((-1, x.shape[-1]))
