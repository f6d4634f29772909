# SPDX-License-Identifier: Apache-2.0
"""The networks of torch_zoo.py that are not convolutional: sequences, tables, chains, graphs."""

import math

import torch
import torch.nn.functional as F
from torch import nn


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


class SwinBlock(nn.Module):
    WINDOW, HEADS = 7, 4

    def __init__(self, width, shifted):
        super().__init__()
        self.shift = 3 if shifted else 0
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        n, h, w, width = x.shape
        side = self.WINDOW
        y = self.norm1(x)
        if self.shift:
            y = torch.roll(y, (-self.shift, -self.shift), (1, 2))
        y = y.view(n, h // side, side, w // side, side, width).permute(0, 1, 3, 2, 4, 5)
        y = y.reshape(-1, side * side, width)
        q, k, v = split_heads(self.qkv(y), self.HEADS)
        y = torch.softmax(q @ k.transpose(2, 3) * (width / self.HEADS) ** -0.5, -1) @ v
        y = self.proj(join_heads(y)).view(n, h // side, w // side, side, side, width)
        y = y.permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, width)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        x = x + y
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Swin(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 96, 4, 4)
        self.blocks = nn.Sequential(SwinBlock(96, False), SwinBlock(96, True))
        self.head = nn.Linear(96, 100)

    def forward(self, x):
        return self.head(self.blocks(self.patch(x).permute(0, 2, 3, 1)).mean((1, 2)))


class Nerf(nn.Module):
    def __init__(self):
        super().__init__()
        for i in range(4):
            setattr(self, f"fc{i}", nn.Linear(39 if i == 0 else 64, 64))
        self.head = nn.Linear(64, 4)

    def forward(self, x):
        angles = [x * float(1 << i) for i in range(6)]
        waves = [f(a) for a in angles for f in (torch.sin, torch.cos)]
        y = torch.cat((x, *waves), 1)
        for i in range(4):
            y = F.softplus(getattr(self, f"fc{i}")(y))
        return self.head(y)


class GraphNet(nn.Module):
    NODES = 4096

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(self.NODES, 64)
        self.fc1, self.fc2 = nn.Linear(64, 64), nn.Linear(64, 16)

    def forward(self, edges):
        def spread(h):
            return h.new_zeros(h.shape).index_add(0, edges[:, 1], h[edges[:, 0]])

        return spread(self.fc2(F.relu(spread(self.fc1(self.table.weight)))))
