# SPDX-License-Identifier: Apache-2.0
"""PyTorch's side of the comparison: one training step or the eager dispatch, one JSON line a run.

    python torch_side.py resnet50 --image-size 224 --batch-size 16 --precision bf16 --mode compile

Needs torch and, for resnet50, torchvision. items are images, for gpt tokens. The line stands beside
what Rutile's program of the same name writes with --json; benchmarks/run.py runs both in turn.
"""

import argparse
import json
import resource
import time
import timeit

import torch
import torch_networks as networks
import torch_zoo as zoo

GPT_VOCAB = 65
GPT_LENGTH = 256
LOSSES = 8  # of the first steps


def sgd(net, weight_decay=0.0):
    return torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=weight_decay)


def make_resnet50(batch_size, image_size):
    classes = 1000 if image_size >= 64 else 10
    net = networks.resnet50(classes).to(memory_format=torch.channels_last)
    images = torch.randn(batch_size, 3, image_size, image_size)
    images = images.to(memory_format=torch.channels_last)
    return net, images, torch.randint(0, classes, (batch_size,)), sgd(net, 1e-4)


def make_lenet(batch_size, _):
    net = networks.LeNet()
    return net, torch.randn(batch_size, 1, 32, 32), torch.randint(0, 10, (batch_size,)), sgd(net)


def make_mlp(batch_size, _):
    net = networks.Mlp()
    return net, torch.randn(batch_size, 784), torch.randint(0, 10, (batch_size,)), sgd(net)


def make_gpt(batch_size, _):
    net = networks.Gpt(vocab=GPT_VOCAB, positions=GPT_LENGTH)
    ids, targets = torch.randint(0, GPT_VOCAB, (2, batch_size, GPT_LENGTH))
    return net, ids, targets, torch.optim.AdamW(net.parameters(), lr=1e-3)


WORKS = {"resnet50": make_resnet50, "lenet": make_lenet, "mlp": make_mlp, "gpt": make_gpt}


def time_call(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure_training(options):
    if options.work in zoo.NETWORKS:
        net, inputs, labels, loss_of, optimizer = zoo.make(options.work)
        items = len(inputs)
    else:
        make = WORKS[options.work]
        net, inputs, labels, optimizer = make(options.batch_size, options.image_size)
        loss_of, items = networks.cross_entropy, labels.numel()
    net.train()
    forward = torch.compile(net) if options.mode == "compile" else net

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.precision == "bf16"):
            logits = forward(inputs)
        loss = loss_of(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    losses = []
    first = time_call(lambda: losses.append(step()))
    for _ in range(max(LOSSES - 1, options.steps // 5)):
        losses.append(step())
    times = sorted(time_call(step) for _ in range(options.steps))
    median, best = times[len(times) // 2], times[0]
    return {
        "items_per_second": items / median,
        "best_items_per_second": items / best,
        "step_ms": median * 1e3,
        "best_step_ms": best * 1e3,
        "first_step_s": first,
        "losses": losses[:LOSSES],
    }


def measure_inference(options):
    """The forward pass alone, in evaluation mode."""
    net, inputs, *_ = WORKS[options.work](options.batch_size, options.image_size)
    net.eval()
    forward = torch.compile(net) if options.mode == "compile" else net

    def step():
        low = torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.precision == "bf16")
        with torch.inference_mode(), low:
            forward(inputs)

    first = time_call(step)
    for _ in range(3):
        step()
    times = sorted(time_call(step) for _ in range(options.steps))
    median, best = times[len(times) // 2], times[0]
    return {
        "items_per_second": len(inputs) / median,
        "best_items_per_second": len(inputs) / best,
        "step_ms": median * 1e3,
        "best_step_ms": best * 1e3,
        "first_step_s": first,
    }


def best_ns(statement, names, repeats=7, calls=50_000):
    return min(timeit.repeat(statement, globals=names, repeat=repeats, number=calls)) / calls * 1e9


def measure_dispatch():
    """Eager a + b on four floats on one thread, without and with a gradient being recorded."""
    torch.set_num_threads(1)
    names = {"a": torch.ones(4), "b": torch.ones(4), "a_grad": torch.ones(4, requires_grad=True)}
    return {"add_ns": best_ns("a + b", names), "add_grad_ns": best_ns("a_grad + b", names)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("work", choices=[*WORKS, *zoo.NETWORKS, "dispatch"])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--mode", default="eager", choices=["eager", "compile"])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--inference", type=int, default=0, help="1: no training, the forward pass alone")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    training = measure_inference if options.inference else measure_training
    result = measure_dispatch() if options.work == "dispatch" else training(options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**vars(options), "torch": torch.__version__, **result, "peak_rss_mb": peak}))


if __name__ == "__main__":
    main()
