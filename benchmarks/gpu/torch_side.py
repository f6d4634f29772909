#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PyTorch's speed on a network of benchmarks/gpu/run.sh: bf16 autocast, channels-last, fused optimizers.

  torch_side.py <network> <batch> [--seconds 10] [--device cuda]

prints a line for each of eager and compiled: 'eager <items per second> <peak MiB> <seconds of the first step>', items
being images or tokens, the median over pieces of ten steps. Without PyTorch or a GPU it prints nothing and says why on
standard error."""
import argparse
import os
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOKENS = {"gpt": dict(vocab=65, positions=256), "gpt2": dict(vocab=50304, positions=1024, layers=12, width=768, heads=12)}


def bottleneck(torch, inside, width, stride):
    """torchvision's Bottleneck, for machines without torchvision: torchvision.models.resnet50 is made of the same layers."""
    nn = torch.nn

    def unit(a, b, kernel, step=1):
        return [nn.Conv2d(a, b, kernel, step, kernel // 2, bias=False), nn.BatchNorm2d(b)]

    class Bottleneck(nn.Module):
        def __init__(self):
            super().__init__()
            self.main = nn.Sequential(*unit(inside, width, 1), nn.ReLU(inplace=True), *unit(width, width, 3, stride),
                                      nn.ReLU(inplace=True), *unit(width, 4 * width, 1))
            self.side = nn.Sequential(*unit(inside, 4 * width, 1, stride)) if stride > 1 or inside != 4 * width else nn.Identity()
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            return self.relu(self.main(x) + self.side(x))

    return Bottleneck()


def resnet50(torch):
    nn, blocks, inside = torch.nn, [], 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            blocks.append(bottleneck(torch, inside, width, stride if i == 0 else 1))
            inside = 4 * width
    return nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1),
                         *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 1000))


def build(name, torch, batch, device):
    """Network, input, labels, and the items of a sample."""
    for folder in (HERE, os.path.join(HERE, "..", "compare")):
        sys.path.insert(0, folder)
    import torch_networks

    if name in TOKENS:
        size = TOKENS[name]
        net = torch_networks.Gpt(**size)
        if name == "gpt2":
            net.head.weight = net.tok.weight
        x, y = (torch.randint(0, size["vocab"], (batch, size["positions"]), device=device) for _ in range(2))
        return net.to(device), x, y, size["positions"]
    net, shape, classes = {"mlp": lambda: (torch_networks.Mlp(), (784,), 10), "lenet": lambda: (torch_networks.LeNet(), (1, 32, 32), 10),
                           "resnet50": lambda: (resnet50(torch), (3, 224, 224), 1000)}[name]()
    net, x = net.to(device), torch.randn(batch, *shape, device=device)
    if len(shape) == 3:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    return net, x, torch.randint(0, classes, (batch,), device=device), 1


def measure(step, items, seconds, torch, device):
    """Items per second, MiB at the peak, seconds of the first step."""
    gpu = device.startswith("cuda")
    wait = torch.cuda.synchronize if gpu else lambda: None
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    step()
    wait()
    first = time.perf_counter() - begin
    for _ in range(5):
        step()
    wait()
    pieces, begin = [], time.perf_counter()
    while len(pieces) < 50 and (len(pieces) < 3 or time.perf_counter() - begin < seconds):
        start = time.perf_counter()
        for _ in range(10):
            step()
        wait()
        pieces.append(10 * items / (time.perf_counter() - start))
    memory = torch.cuda.max_memory_allocated() / 2**20 if gpu else 0
    return f"{statistics.median(pieces):.0f} {memory:.0f} {first:.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=["mlp", "lenet", "resnet50", *TOKENS])
    parser.add_argument("batch", type=int)
    parser.add_argument("--seconds", type=float, default=10, help="measured for so long, but at least 30 steps")
    parser.add_argument("--device", default="cuda", help="cpu: to try this program")
    args = parser.parse_args()
    try:
        import torch
    except ImportError as e:
        sys.exit(f"no PyTorch: {e}")
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"PyTorch {torch.__version__} sees no GPU")
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    kind = args.device.split(":")[0]
    for mode in ("eager", "compiled"):
        if kind == "cuda":
            torch.cuda.empty_cache()
        net, x, y, items = build(args.network, torch, args.batch, args.device)
        model = torch.compile(net) if mode == "compiled" else net
        if args.network in TOKENS:
            optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
        else:
            optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, fused=True)

        def step(model=model, x=x, y=y, optimizer=optimizer):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(kind, torch.bfloat16):
                logits = model(x)
                loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1))
            loss.backward()
            optimizer.step()

        print(mode, measure(step, args.batch * items, args.seconds, torch, args.device), flush=True)
        del net, model, optimizer, step, x, y


if __name__ == "__main__":
    main()
