#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PyTorch's speed on a network of benchmarks/gpu/run.sh: torch_side.py <network> <batch> prints 'eager compiled'
(samples per second, bf16 autocast, channels-last), or dashes where PyTorch or a GPU is missing."""
import sys
import time


def build(name, torch):
    nn = torch.nn
    if name == "mlp":
        return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)), None
    if name == "lenet":
        return nn.Sequential(
            nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)), (1, 32, 32)
    if name == "resnet50":
        import torchvision
        return torchvision.models.resnet50(), (3, 224, 224)
    raise SystemExit("- -")  # no twin of this network here


def speed(step, batch, torch):
    for _ in range(10):
        step()
    torch.cuda.synchronize()
    steps, begin = 0, time.perf_counter()
    while steps < 200 and time.perf_counter() - begin < 10:
        step()
        steps += 1
    torch.cuda.synchronize()
    return steps * batch / (time.perf_counter() - begin)


def main():
    name, batch = sys.argv[1], int(sys.argv[2])
    try:
        import torch
    except ImportError:
        print("- -")
        return
    if not torch.cuda.is_available():
        print("- -")
        return
    torch.manual_seed(0)
    net, image = build(name, torch)
    net = net.cuda()
    x = torch.randn(batch, *(image or (784,)), device="cuda")
    if image:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    y = torch.randint(0, 10, (batch,), device="cuda")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, fused=True)

    def make(model):
        def step():
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cuda", torch.bfloat16):
                loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        return step

    eager = speed(make(net), batch, torch)
    compiled = speed(make(torch.compile(net)), batch, torch)
    print(f"{eager:.0f} {compiled:.0f}")


if __name__ == "__main__":
    main()
