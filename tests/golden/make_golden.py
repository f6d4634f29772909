#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the JSON files of this folder: what PyTorch computes for the networks of nn/models.

usage: make_golden.py [NETWORK...]        (default: all of resnet50 lenet mlp gpt)
Needs torch and torchvision, which nothing else in the tree needs; README.md describes the files.
"""
import json
import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
SKETCHES = 16


# ---- Numbers from hashes: tests/golden/golden.cc does the same ----


def hashes(name, count):
    """splitmix64 of (fnv1a64(name) + i) for i in 0..count-1."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        z = np.arange(count, dtype=np.uint64) + np.uint64(h)
        z = (z + np.uint64(0x9E3779B97F4A7C15))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(name, shape):
    """In [-1, 1), as float32 numbers."""
    u = (hashes(name, int(np.prod(shape))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return (2 * u - 1).reshape(shape)


def labels(name, shape, classes):
    return (hashes(name, int(np.prod(shape))) % np.uint64(classes)).astype(np.int64).reshape(shape)


def sketch(name, gradient):
    """SKETCHES sums of the gradient with random signs; their differences estimate the norm of a difference."""
    g = gradient.detach().double().contiguous().numpy().reshape(-1)
    h = hashes(name + "#sketch", g.size)
    return [float(np.dot(g, ((h >> np.uint64(k)) & np.uint64(1)).astype(np.float64) * 2 - 1)) for k in range(SKETCHES)]


def set_parameters(net, zero_init_residual):
    parameters = dict(net.named_parameters())
    for name, p in parameters.items():
        shape = tuple(p.shape)
        is_norm = len(shape) == 1 and parameters[name.rsplit(".", 1)[0] + ".weight"].dim() == 1
        if is_norm:
            value = np.full(shape, 1.0 if name.endswith("weight") else 0.0)
            if zero_init_residual and name.endswith("bn3.weight"):
                value[:] = 0
        elif len(shape) == 1:
            value = 0.05 * uniform(name, shape)
        elif len(shape) == 4:  # the deviation of He et al. by fan out
            value = np.sqrt(3 * 2.0 / (shape[0] * shape[2] * shape[3])) * uniform(name, shape)
        else:
            value = uniform(name, shape) / np.sqrt(shape[1])
        p.data = torch.from_numpy(value.astype(np.float32)).to(p.dtype)


# ---- Networks, with the names that nn/models gives ----


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 512), nn.Linear(512, 512), nn.Linear(512, 10)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, c)
        x = x + self.proj(y)
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, vocab=65, positions=256, layers=6, width=384, heads=6):
        super().__init__()
        self.tok, self.pos = nn.Embedding(vocab, width), nn.Embedding(positions, width)
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocab, bias=False)

    def forward(self, ids):
        return self.head(self.norm(self.blocks(self.tok(ids) + self.pos(torch.arange(ids.shape[1])))))


def build(network, dtype, zero_init_residual=False):
    if network == "resnet50":
        import torchvision

        net = torchvision.models.resnet50(num_classes=10)
    else:
        net = {"lenet": LeNet, "mlp": Mlp, "gpt": Gpt}[network]()
    net = net.to(dtype)
    set_parameters(net, zero_init_residual)
    return net.train()


def batch(network, size, step, dtype):
    if network == "gpt":
        x, y = (torch.from_numpy(labels(f"{k}{step}", (size, 32), 65)) for k in "xy")
        return x, y
    shape = {"resnet50": (3, 32, 32), "lenet": (1, 32, 32), "mlp": (784,)}[network]
    x = np.sqrt(3.0) * uniform(f"x{step}", (size, *shape))  # deviation 1
    return torch.from_numpy(x.astype(np.float32)).to(dtype), torch.from_numpy(labels(f"y{step}", (size,), 10))


def loss_of(net, x, y):
    out = net(x)
    return F.cross_entropy(out.reshape(-1, out.shape[-1]), y.reshape(-1))


# ---- Files ----


def write(name, **content):
    path = os.path.join(HERE, name + ".json")
    with open(path, "w") as f:
        text = json.dumps({"torch": torch.__version__, **content}, indent=1)
        f.write(text.replace("\n    ", "\n   ") + "\n")
    print(path)


def gradients(network, size, dtype, step=0):
    """Loss and gradients of batch `step`."""
    net = build(network, dtype)
    loss = loss_of(net, *batch(network, size, step, dtype))
    loss.backward()
    return loss.item(), {n: p.grad for n, p in net.named_parameters()}


def f64_step(network, size):
    loss, grads = gradients(network, size, torch.float64)
    write(f"{network}_f64_step", network=network, batch=size, loss=loss,
          gradients={n: {"norm": g.norm().item(), "sketch": sketch(n, g)} for n, g in grads.items()})


def f32_error(network, size, batches):
    """The error of each f32 gradient against f64, relative, by norm: the mean over the batches."""
    errors = {}
    for step in range(batches):
        (_, exact), (_, grads) = (gradients(network, size, t, step) for t in (torch.float64, torch.float32))
        for n, g in grads.items():
            error = ((g.double() - exact[n]).norm() / exact[n].norm()).item()
            errors[n] = errors.get(n, 0) + error / batches
    write(f"{network}_f32_error", network=network, batch=size, batches=batches,
          errors={n: float(f"{e:.4g}") for n, e in errors.items()})


def f32_losses(network, size, steps=20):
    """Losses of SGD with momentum, a new batch each step; beside them those of f64."""
    losses = {}
    for dtype in (torch.float32, torch.float64):
        net = build(network, dtype, zero_init_residual=True)
        opt = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
        losses[dtype] = []
        for step in range(steps):
            loss = loss_of(net, *batch(network, size, step, dtype))
            opt.zero_grad()
            loss.backward()
            opt.step()
            losses[dtype].append(loss.item())
    write(f"{network}_f32_losses", network=network, batch=size, lr=1e-3, momentum=0.9, weight_decay=1e-4,
          losses=losses[torch.float32], losses_f64=losses[torch.float64])


def main():
    step_size = {"resnet50": 8, "lenet": 16, "mlp": 16, "gpt": 2}
    loss_size = {"resnet50": 32, "lenet": 32, "mlp": 32, "gpt": 4}
    for network in sys.argv[1:] or list(step_size):
        f64_step(network, step_size[network])
        f32_error(network, step_size[network], batches=24 if network == "resnet50" else 6)
        f32_losses(network, loss_size[network])


main()
