# SPDX-License-Identifier: Apache-2.0
"""The convolutional networks of torch_zoo.py."""

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


class Inception(nn.Module):
    def __init__(self, width_in, width):
        super().__init__()
        self.one, self.pool = nn.Conv2d(width_in, width, 1), nn.Conv2d(width_in, width, 1)
        self.reduce3, self.three = nn.Conv2d(width_in, 48, 1), nn.Conv2d(48, width, 3, 1, 1)
        self.reduce5, self.five = nn.Conv2d(width_in, 16, 1), nn.Conv2d(16, width, 5, 1, 2)

    def forward(self, x):
        three, five = self.three(F.relu(self.reduce3(x))), self.five(F.relu(self.reduce5(x)))
        return F.relu(torch.cat((self.one(x), three, five, self.pool(F.max_pool2d(x, 3, 1, 1))), 1))


class GoogleNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 11, 4, 2)
        self.blocks = nn.Sequential(Inception(64, 24), Inception(96, 32), Inception(128, 32))
        self.head = nn.Linear(128, 100)

    def forward(self, x):
        return self.head(self.blocks(F.relu(self.stem(x))).mean((2, 3)))


class Upsampler(nn.Module):
    def __init__(self):
        super().__init__()
        setattr(self, "in", nn.Conv2d(3, 48, 3, 1, 1))
        self.mid, self.out = nn.Conv2d(48, 48, 3, 1, 1), nn.Conv2d(48, 12, 3, 1, 1)

    def forward(self, x):
        y = F.interpolate(F.leaky_relu(getattr(self, "in")(x)), scale_factor=2, mode="nearest")
        return F.pixel_shuffle(self.out(F.leaky_relu(self.mid(y))), 2)
