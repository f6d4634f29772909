# SPDX-License-Identifier: Apache-2.0
"""The networks of benchmarks/networks in PyTorch: the same state names, arithmetic and sizes.

Parameters and data are functions of names (named_values), so that both sides start alike and their
losses can be compared.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class ConvNorm(nn.Sequential):
    def __init__(self, width_in, width, kernel, stride=1, groups=1, relu6=False):
        conv = nn.Conv2d(width_in, width, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(width), *([nn.ReLU6()] if relu6 else []))


class InvertedResidual(nn.Module):
    def __init__(self, width_in, width, stride, expand):
        super().__init__()
        inner = width_in * expand
        self.expand = ConvNorm(width_in, inner, 1, relu6=True)
        self.depth = ConvNorm(inner, inner, 3, stride, inner, relu6=True)
        self.project = ConvNorm(inner, width, 1)
        self.residual = stride == 1 and width_in == width

    def forward(self, x):
        y = self.project(self.depth(self.expand(x)))
        return x + y if self.residual else y


class MobileNet(nn.Module):
    STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 2, 2), (6, 64, 3, 2), (6, 96, 2, 1), (6, 160, 2, 2))

    def __init__(self):
        super().__init__()
        self.stem = ConvNorm(3, 32, 3, 2, relu6=True)
        blocks, last = [], 32
        for expand, width, count, stride in self.STAGES:
            for i in range(count):
                blocks.append(InvertedResidual(last, width, stride if i == 0 else 1, expand))
                last = width
        self.blocks = nn.Sequential(*blocks)
        self.last = ConvNorm(last, 640, 1, relu6=True)
        self.head = nn.Linear(640, 100)

    def forward(self, x):
        return self.head(self.last(self.blocks(self.stem(x))).mean((2, 3)))


class ResNextBlock(nn.Module):
    def __init__(self, width_in, inner, width, stride):
        super().__init__()
        self.reduce = ConvNorm(width_in, inner, 1)
        self.group = ConvNorm(inner, inner, 3, stride, 32)
        self.expand = ConvNorm(inner, width, 1)
        if width_in != width:
            self.shortcut = ConvNorm(width_in, width, 1, stride)

    def forward(self, x):
        y = self.expand(F.relu(self.group(F.relu(self.reduce(x)))))
        return F.relu(y + (self.shortcut(x) if hasattr(self, "shortcut") else x))


class ResNext(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = ConvNorm(3, 64, 7, 2)
        sizes = ((64, 128, 256, 1), (256, 128, 256, 1), (256, 256, 512, 2), (512, 256, 512, 1))
        self.blocks = nn.Sequential(*[ResNextBlock(*s) for s in sizes])
        self.head = nn.Linear(512, 100)

    def forward(self, x):
        return self.head(self.blocks(F.max_pool2d(F.relu(self.stem(x)), 3, 2, 1)).mean((2, 3)))


class UNetLevel(nn.Module):
    def __init__(self, width_in, width):
        super().__init__()
        self.first = ConvNorm(width_in, width, 3)
        self.second = ConvNorm(width, width, 3)

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2 = UNetLevel(1, 32), UNetLevel(32, 64)
        self.bottom = UNetLevel(64, 128)
        self.up2 = nn.ConvTranspose2d(128, 64, 2, 2, output_padding=(1, 0))
        self.level2 = UNetLevel(128, 64)
        self.up1 = nn.ConvTranspose2d(64, 32, 2, 2, output_padding=1)
        self.level1 = UNetLevel(64, 32)
        self.head = nn.Conv2d(32, 1, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        c = self.bottom(F.max_pool2d(b, 2))
        d = self.level2(torch.cat((b, self.up2(c)), 1))
        return self.head(self.level1(torch.cat((a, self.up1(d)), 1)))


class MbConv(nn.Module):
    def __init__(self, width_in, width, stride):
        super().__init__()
        inner = 4 * width_in
        self.expand = ConvNorm(width_in, inner, 1)
        self.depth = ConvNorm(inner, inner, 5, stride, inner)
        self.squeeze = nn.Conv2d(inner, width_in // 4, 1)
        self.excite = nn.Conv2d(width_in // 4, inner, 1)
        self.project = ConvNorm(inner, width, 1)
        self.residual = stride == 1 and width_in == width

    def forward(self, x):
        y = F.silu(self.depth(F.silu(self.expand(x))))
        y = y * torch.sigmoid(self.excite(F.silu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        y = self.project(y)
        return x + y if self.residual else y


class EfficientNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = ConvNorm(3, 24, 3, 2)
        sizes = ((24, 24, 1), (24, 40, 2), (40, 40, 1), (40, 80, 2), (80, 80, 1))
        self.blocks = nn.Sequential(*[MbConv(*s) for s in sizes])
        self.head = nn.Linear(80, 100)

    def forward(self, x):
        return self.head(self.blocks(F.hardswish(self.stem(x))).mean((2, 3)))


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        widths = (100, 256, 128, 64, 3)
        for i in range(4):
            stride, pad = (1, 0) if i == 0 else (2, 1)
            up = nn.ConvTranspose2d(widths[i], widths[i + 1], 4, stride, pad, bias=False)
            setattr(self, f"up{i}", up)
            if i < 3:
                setattr(self, f"norm{i}", nn.BatchNorm2d(widths[i + 1]))

    def forward(self, x):
        for i in range(3):
            x = F.relu(getattr(self, f"norm{i}")(getattr(self, f"up{i}")(x)))
        return torch.tanh(self.up3(x))


class Tcn(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = 5
        setattr(self, "in", nn.Conv2d(40, 64, 1))
        for i in range(self.layers):
            conv = nn.Conv2d(64, 128, (1, 3), padding=(0, 2**i), dilation=(1, 2**i))
            setattr(self, f"conv{i}", conv)
            setattr(self, f"out{i}", nn.Conv2d(64, 64, 1))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        y = getattr(self, "in")(x)
        for i in range(self.layers):
            a, b = getattr(self, f"conv{i}")(y).chunk(2, 1)
            y = y + getattr(self, f"out{i}")(torch.tanh(a) * torch.sigmoid(b))
        return self.head(y.mean((2, 3)))


class ConvNextBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.depth = nn.Conv2d(width, width, 7, 1, 3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x):
        y = self.norm(self.depth(x).permute(0, 2, 3, 1))
        return x + (self.down(F.gelu(self.up(y))) * self.gamma).permute(0, 3, 1, 2)


class ConvNext(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 96, 4, 4)
        self.blocks = nn.Sequential(*[ConvNextBlock(96) for _ in range(3)])
        self.head = nn.Linear(96, 100)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Vgg(nn.Module):
    def __init__(self):
        super().__init__()
        layers, last = [], 3
        for width in (64, 64, 0, 128, 128, 0, 256, 256, 0):
            if width == 0:
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(last, width, 3, 1, 1), nn.ReLU()]
            last = width
        self.features = nn.Sequential(*layers)
        self.fc1, self.drop, self.fc2 = nn.Linear(4096, 512), nn.Dropout(0.5), nn.Linear(512, 10)

    def forward(self, x):
        return self.fc2(self.drop(F.relu(self.fc1(self.features(x).flatten(1)))))


GROWTH = 37


class DenseLayer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(2 * GROWTH)
        self.conv1 = nn.Conv2d(width, 2 * GROWTH, 1, bias=False)
        self.conv2 = nn.Conv2d(2 * GROWTH, GROWTH, 3, 1, 1, bias=False)

    def forward(self, x):
        y = self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))
        return torch.cat((x, y), 1)


class DenseNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, GROWTH, 3, 1, 1, bias=False)
        layers, width = [], GROWTH
        for _ in range(2):
            for _ in range(4):
                layers.append(DenseLayer(width))
                width += GROWTH
            layers += [nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)]
            width //= 2
        self.layers = nn.Sequential(*layers)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        return self.head(F.relu(self.norm(self.layers(self.stem(x)))).mean((2, 3)))


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 37, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(37)
        self.conv3 = nn.Conv2d(37, 37, 3, 2)
        self.conv4 = nn.Conv2d(37, 53, 3, 1, 1)
        self.fc1, self.fc2 = nn.Linear(53 * 6, 101), nn.Linear(101, 11)

    def forward(self, x):
        x = F.relu(self.norm(self.conv2(torch.tanh(self.conv1(x)))))
        x = F.silu(self.conv4(F.avg_pool2d(F.leaky_relu(self.conv3(x)), 3)))
        x = F.max_pool2d(x, 2, (2, 1)).flatten(1)
        return self.fc2(torch.sigmoid(self.fc1(x)))


def split_heads(qkv, heads):
    batch, length, width = qkv.shape
    return qkv.view(batch, length, 3, heads, width // 3 // heads).permute(2, 0, 3, 1, 4)


def join_heads(y):
    return y.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        query, key, value = split_heads(self.qkv(x), self.heads)
        return self.proj(join_heads(F.scaled_dot_product_attention(query, key, value)))


class VitBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Vit(nn.Module):
    WIDTH = 192

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, self.WIDTH, 16, 16)
        self.cls = nn.Parameter(torch.zeros(1, 1, self.WIDTH))
        self.pos = nn.Parameter(torch.zeros(1, 197, self.WIDTH))
        self.blocks = nn.Sequential(*[VitBlock(self.WIDTH, 3) for _ in range(4)])
        self.norm = nn.LayerNorm(self.WIDTH)
        self.head = nn.Linear(self.WIDTH, 100)

    def forward(self, x):
        patches = self.patch(x).flatten(2).transpose(1, 2)
        cls = self.cls.to(patches.dtype).expand(x.shape[0], -1, -1)
        y = self.blocks(torch.cat((cls, patches), 1) + self.pos)
        return self.head(self.norm(y)[:, 0])


class MixerBlock(nn.Module):
    def __init__(self, width, patches):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up1, self.down1 = nn.Linear(patches, 128), nn.Linear(128, patches)
        self.up2, self.down2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        y = self.down1(F.gelu(self.up1(self.norm1(x).transpose(1, 2))))
        x = x + y.transpose(1, 2)
        return x + self.down2(F.gelu(self.up2(self.norm2(x))))


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 256, 16, 16)
        self.blocks = nn.Sequential(*[MixerBlock(256, 196) for _ in range(4)])
        self.norm, self.head = nn.LayerNorm(256), nn.Linear(256, 100)

    def forward(self, x):
        y = self.blocks(self.patch(x).flatten(2).transpose(1, 2))
        return self.head(self.norm(y).mean(1))


class BertBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x, mask):
        query, key, value = split_heads(self.qkv(x), self.heads)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = self.norm1(x + self.drop(self.proj(join_heads(mixed))))
        return self.norm2(x + self.drop(self.down(F.gelu(self.up(x)))))


class Bert(nn.Module):
    def __init__(self, vocab=2000, length=128, width=256):
        super().__init__()
        self.tok, self.pos = nn.Embedding(vocab, width), nn.Embedding(length, width)
        self.norm, self.drop = nn.LayerNorm(width), nn.Dropout(0.1)
        for i in range(4):
            setattr(self, f"block{i}", BertBlock(width, 4))
        self.head = nn.Linear(width, vocab)

    def forward(self, ids):
        mask = (ids != 0)[:, None, None, :]
        x = self.drop(self.norm(self.tok(ids) + self.pos(torch.arange(ids.shape[1]))))
        for i in range(4):
            x = getattr(self, f"block{i}")(x, mask)
        return self.head(x)


def rotate(x):
    half = x.shape[3] // 2
    step = torch.exp(torch.arange(half) * (-math.log(10000.0) / half))
    angle = torch.arange(x.shape[2])[:, None] * step
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, 3)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), 3)


class LlamaBlock(nn.Module):
    def __init__(self, width, heads, inner):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-6), nn.RMSNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width, bias=False)
        self.gate, self.up = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x):
        query, key, value = split_heads(self.qkv(self.norm1(x)), self.heads)
        query, key = rotate(query), rotate(key)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.proj(join_heads(mixed))
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Llama(nn.Module):
    def __init__(self, vocab=1000, width=256):
        super().__init__()
        self.tok = nn.Embedding(vocab, width)
        self.blocks = nn.Sequential(*[LlamaBlock(width, 4, 688) for _ in range(4)])
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.head = nn.Linear(width, vocab, bias=False)

    def forward(self, ids):
        return self.head(self.norm(self.blocks(self.tok(ids))))


class Recurrent(nn.Module):
    """PyTorch's own layer, which is faster than a loop of cells, eager and compiled."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer(64, 256, batch_first=True)
        self.head = nn.Linear(256, 10)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


class RecurrentLoop(nn.Module):
    def __init__(self, gates):
        super().__init__()
        self.gates = gates
        self.ih, self.hh = nn.Linear(64, gates * 256), nn.Linear(256, gates * 256)
        self.head = nn.Linear(256, 10)

    def forward(self, x):
        inputs = self.ih(x)
        h = c = x.new_zeros(x.shape[0], 256)
        for t in range(x.shape[1]):
            if self.gates == 4:
                i, f, g, o = (inputs[:, t] + self.hh(h)).chunk(4, 1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
            else:
                a, b = inputs[:, t].chunk(3, 1), self.hh(h).chunk(3, 1)
                r, z = (a[0] + b[0]).sigmoid(), (a[1] + b[1]).sigmoid()
                n = (a[2] + r * b[2]).tanh()
                h = n + z * (h - n)
        return self.head(h)


class Chain(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, 4096))
        self.shift = nn.Parameter(torch.zeros(4096))
        self.column = nn.Parameter(torch.ones(256, 1))

    def forward(self, x):
        y = torch.tanh(x * self.scale + self.shift)
        gate = torch.sigmoid(x - self.column)
        y = y * gate + x * (1 - gate)
        for _ in range(3):
            z = F.relu(y * self.scale + self.column) - y.abs() * 0.5
            y = y + z * torch.exp(-(z * z)) * 0.25
        return torch.maximum(y, self.shift) / (torch.sqrt(self.column.square() + 1) + y.square())


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        widths = (784, 256, 64, 256, 784)
        for i in range(4):
            setattr(self, f"fc{i}", nn.Linear(widths[i], widths[i + 1]))

    def forward(self, x):
        x = F.relu(self.fc2(F.relu(self.fc1(F.relu(self.fc0(x))))))
        return torch.sigmoid(self.fc3(x))


class Recommender(nn.Module):
    def __init__(self, rows=50000):
        super().__init__()
        self.table, self.wide = nn.Embedding(rows, 32), nn.Embedding(rows, 1)
        self.fc1, self.fc2, self.fc3 = nn.Linear(512, 256), nn.Linear(256, 64), nn.Linear(64, 1)

    def forward(self, ids):
        deep = F.relu(self.fc2(F.relu(self.fc1(self.table(ids).flatten(1)))))
        return self.fc3(deep) + self.wide(ids).sum(1)


class Factorisation(nn.Module):
    def __init__(self, rows=20000):
        super().__init__()
        self.user, self.item = nn.Embedding(rows, 48), nn.Embedding(rows, 48)
        self.user_bias, self.item_bias = nn.Embedding(rows, 1), nn.Embedding(rows, 1)

    def forward(self, ids):
        u, i = ids[:, 0], ids[:, 1]
        dot = (self.user(u) * self.item(i)).sum(1, keepdim=True)
        return dot + self.user_bias(u) + self.item_bias(i)


@dataclass
class Network:
    """vocab: x holds ids below it, 0: floats; classes: y holds labels below it, 0: floats."""

    make: type
    x: tuple
    vocab: int
    y: tuple
    classes: int
    loss: str
    adamw: bool = False


NETWORKS = {
    "mobilenet": Network(MobileNet, (16, 3, 96, 96), 0, (16,), 100, "ce"),
    "resnext": Network(ResNext, (8, 3, 112, 112), 0, (8,), 100, "ce"),
    "unet": Network(UNet, (4, 1, 75, 93), 0, (4, 1, 75, 93), 2, "bce", True),
    "convnext": Network(ConvNext, (8, 3, 112, 112), 0, (8,), 100, "ce", True),
    "efficientnet": Network(EfficientNet, (8, 3, 96, 96), 0, (8,), 100, "ce"),
    "generator": Network(Generator, (32, 100, 1, 1), 0, (32, 3, 32, 32), 0, "mse", True),
    "tcn": Network(Tcn, (16, 40, 1, 257), 0, (16,), 10, "ce", True),
    "vgg": Network(Vgg, (16, 3, 32, 32), 0, (16,), 10, "ce"),
    "densenet": Network(DenseNet, (16, 3, 32, 32), 0, (16,), 10, "ce"),
    "odd": Network(Odd, (64, 1, 29, 31), 0, (64,), 11, "ce"),
    "vit": Network(Vit, (8, 3, 224, 224), 0, (8,), 100, "ce", True),
    "mixer": Network(Mixer, (8, 3, 224, 224), 0, (8,), 100, "ce", True),
    "bert": Network(Bert, (8, 128), 2000, (8, 128), 2000, "ce", True),
    "llama": Network(Llama, (8, 128), 1000, (8, 128), 1000, "ce", True),
    "lstm": Network(lambda: Recurrent(nn.LSTM), (32, 32, 64), 0, (32,), 10, "ce", True),
    "gru": Network(lambda: Recurrent(nn.GRU), (32, 32, 64), 0, (32,), 10, "ce", True),
    "lstm_loop": Network(lambda: RecurrentLoop(4), (32, 32, 64), 0, (32,), 10, "ce", True),
    "gru_loop": Network(lambda: RecurrentLoop(3), (32, 32, 64), 0, (32,), 10, "ce", True),
    "chain": Network(Chain, (256, 4096), 0, (256, 4096), 0, "mse"),
    "autoencoder": Network(Autoencoder, (1024, 784), 0, (1024, 784), 0, "mse"),
    "recommender": Network(Recommender, (512, 16), 50000, (512, 1), 2, "bce"),
    "factorisation": Network(Factorisation, (4096, 2), 20000, (4096, 1), 0, "mse"),
}


def hashed(name, shape):
    """24 random bits by name and number."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 % 2**32
    h = np.arange(math.prod(shape), dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed)
    h = (h ^ (h >> 16)) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> 13)) * np.uint32(0xC2B2AE35)
    return ((h ^ (h >> 16)) >> 8).reshape(shape)


def named_values(name, shape, low, high):
    values = np.float32(low) + np.float32(high - low) * hashed(name, shape) * np.float32(2**-24)
    return torch.from_numpy(values.astype(np.float32))


def named_ids(name, shape, count):
    return torch.from_numpy(hashed(name, shape).astype(np.int64) % count)


LAYER_NAMES = {"layer.weight_ih_l0": "ih.weight", "layer.weight_hh_l0": "hh.weight"}


@torch.no_grad()
def set_named_values(net):
    for name, p in net.named_parameters():
        name = LAYER_NAMES.get(name, name)
        if p.dim() < 2:
            p.fill_(1.0 if name.endswith(("weight", "gamma")) else 0.0)
            continue
        bound = math.sqrt(3 / math.prod(p.shape[1:]))
        p.copy_(named_values(name, tuple(p.shape), -bound, bound))


def make(name):
    """(network, x, y, loss function, optimizer)"""
    n = NETWORKS[name]
    net = n.make()
    set_named_values(net)
    x = named_ids("x", n.x, n.vocab) if n.vocab else named_values("x", n.x, -(3**0.5), 3**0.5)
    y = named_ids("y", n.y, n.classes) if n.classes else named_values("y", n.y, 0, 1)
    if len(n.x) == 4:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    if n.adamw:
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    else:
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    if n.loss == "ce":

        def loss(out, labels):
            return F.cross_entropy(out.float().reshape(-1, out.shape[-1]), labels.reshape(-1))
    elif n.loss == "mse":

        def loss(out, target):
            return F.mse_loss(out.float(), target)
    else:
        y = y.float()

        def loss(out, target):
            return F.binary_cross_entropy_with_logits(out.float(), target)

    return net, x, y, loss, optimizer
