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
from torch_zoo_images import (
    ConvNext,
    DenseNet,
    EfficientNet,
    Generator,
    GoogleNet,
    MobileNet,
    Odd,
    ResNext,
    Tcn,
    UNet,
    Upsampler,
    Vgg,
)
from torch_zoo_others import (
    Autoencoder,
    Bert,
    Chain,
    Factorisation,
    GraphNet,
    Llama,
    Mixer,
    Nerf,
    Recommender,
    Recurrent,
    RecurrentLoop,
    Swin,
    Vit,
)


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
    "inception": Network(GoogleNet, (8, 3, 127, 127), 0, (8,), 100, "ce"),
    "upsampler": Network(Upsampler, (8, 3, 48, 48), 0, (8, 3, 192, 192), 0, "mse", True),
    "swin": Network(Swin, (4, 3, 112, 112), 0, (4,), 100, "ce", True),
    "nerf": Network(Nerf, (16384, 3), 0, (16384, 4), 0, "mse", True),
    "graph": Network(GraphNet, (32768, 2), 4096, (4096,), 16, "ce", True),
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
