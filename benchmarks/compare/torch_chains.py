# SPDX-License-Identifier: Apache-2.0
"""PyTorch's side of bench_fusion: the same chains under torch.compile, one JSON line each.

    python torch_chains.py [chains with commas, or all] [rows] [columns] [eager|compile]
"""

import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F


def chain5(x, y, b, g):
    return F.relu(x * g + b) * 0.5 - y


def mix(x, y, b, g, rounds):
    h = x
    for _ in range(rounds):
        h = torch.tanh(h * g + b)
        h = torch.maximum(h, y * 0.1) - 0.2
        h = torch.sigmoid(h) * y
        h = torch.exp(h * -0.5)
    return h


def chain10(x, y, b, g):
    return mix(x, y, b, g, 1)


def chain30(x, y, b, g):
    return mix(x, y, b, g, 3)


def bias_gelu(x, y, b, g):
    return F.gelu(x + b) * y


def gelu_formula(x, y, b, g):
    return x * 0.5 * (torch.tanh((x + x * x * x * 0.044715) * 0.7978845608) + 1.0)


def loss10(x, y, b, g):
    return (chain10(x, y, b, g) - x).square().mean()


def layer_norm(x, y, b, g):
    d = x - x.mean(-1, keepdim=True)
    return d * torch.rsqrt((d * d).mean(-1, keepdim=True) + 1e-5) * g + b


def rms_norm(x, y, b, g):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * g


def softmax(x, y, b, g):
    e = torch.exp(x - x.amax(-1, keepdim=True).detach())
    return e / e.sum(-1, keepdim=True)


def batch_norm(x, y, b, g):
    d = x - x.mean(0, keepdim=True)
    return F.relu(d * torch.rsqrt(d.square().mean(0, keepdim=True) + 1e-5) * g + b)


CHAINS = [chain5, chain10, chain30, bias_gelu, gelu_formula, loss10, layer_norm, rms_norm, softmax]
CHAINS.append(batch_norm)


def measure(chain, backward, rows, columns, compiled):
    inputs = [torch.randn(rows, columns), torch.randn(rows, columns)]
    inputs += [torch.randn(columns), torch.randn(columns)]
    torch.compiler.reset()

    def forward(*t):
        return chain(*t)

    def loss(*t):
        r = chain(*t)
        return r if r.numel() == 1 else (r * t[1]).sum()

    run = loss if backward else forward
    if compiled:
        run = torch.compile(run)
    if backward:
        inputs = [t.requires_grad_() for t in inputs]

    def step():
        if not backward:
            with torch.no_grad():
                return run(*inputs)
        for t in inputs:
            t.grad = None
        value = run(*inputs)
        value.backward()
        return value

    for _ in range(3):
        step()
    n = rows * columns
    times = []
    for _ in range(int(min(max(4e7 / n, 9), 3000))):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e6)
    line = {"chain": chain.__name__, "pass": "both" if backward else "forward", "rows": rows}
    line |= {"columns": columns, "best_us": min(times), "median_us": statistics.median(times)}
    print(json.dumps(line | {"ns_per_element": line["median_us"] * 1e3 / n}), flush=True)


def main():
    only = sys.argv[1] if len(sys.argv) > 1 else "all"
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 2048
    columns = int(sys.argv[3]) if len(sys.argv) > 3 else 768
    compiled = (sys.argv[4] if len(sys.argv) > 4 else "compile") == "compile"
    torch.set_num_threads(2)
    for chain in CHAINS:
        if only == "all" or chain.__name__ in only.split(","):
            for backward in (False, True):
                measure(chain, backward, rows, columns, compiled)


if __name__ == "__main__":
    main()
