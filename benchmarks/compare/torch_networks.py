# SPDX-License-Identifier: Apache-2.0
"""The four benchmark networks in PyTorch, module names equal to the Cell names of Rutile's apps.

Used by torch_side.py (speed) and tests/golden/make_golden.py (values), so that both look at the
same networks. A state name such as "blocks.0.norm1.weight" is the same on both sides.
"""

import torch
import torch.nn.functional as F
from torch import nn


def resnet50(classes):
    import torchvision

    return torchvision.models.resnet50(num_classes=classes)


class LeNet(nn.Module):
    """LeNet-5 on [N, 1, 32, 32] with ReLU and max pooling."""

    def __init__(self, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, images):
        x = F.max_pool2d(F.relu(self.conv1(images)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


class Mlp(nn.Module):
    """784 - 512 - 512 - 10 with ReLU."""

    def __init__(self, inputs=784, hidden=512, classes=10):
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.fc3 = nn.Linear(hidden, classes)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class GptBlock(nn.Module):
    """Pre-norm decoder block: causal self-attention, then an MLP four times as wide with GELU."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def attend(self, x):
        batch, length, width = x.shape
        # The 3 * width outputs of qkv are ordered [which of q k v][head][channel of the head].
        split = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.proj(mixed.transpose(1, 2).reshape(batch, length, width))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    """Character-level decoder: token ids [N, T], T <= positions, to logits [N, T, vocab]."""

    def __init__(self, vocab=65, positions=256, layers=6, width=384, heads=6):
        super().__init__()
        self.tok = nn.Embedding(vocab, width)
        self.pos = nn.Embedding(positions, width)
        self.blocks = nn.Sequential(*[GptBlock(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab, bias=False)

    def forward(self, ids):
        places = torch.arange(ids.shape[1], device=ids.device)
        return self.head(self.norm(self.blocks(self.tok(ids) + self.pos(places))))


def cross_entropy(logits, labels):
    """Mean cross entropy in fp32 or wider; logits [..., classes], labels [...]."""
    wide = logits.float() if logits.dtype == torch.bfloat16 else logits
    return F.cross_entropy(wide.reshape(-1, wide.shape[-1]), labels.reshape(-1))
