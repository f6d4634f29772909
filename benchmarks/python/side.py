# SPDX-License-Identifier: Apache-2.0
"""Rutile's Python side of the comparison: training steps of one network, one JSON line a run.

    python side.py lenet --batch-size 32 --mode eager

items are images, for gpt tokens; the arguments and the line are those of torch_side.py.
"""

import argparse
import json
import resource
import time

import networks
import numpy as np

import rutile
from rutile import Tensor, nn

GPT_VOCAB = 65
GPT_LENGTH = 256
LOSSES = 8  # of the first steps


def momentum(net, weight_decay=0.0):
    return nn.Momentum(net.trainable_params(), 0.01, 0.9, weight_decay=weight_decay)


def make_resnet50(rng, batch, size):
    classes = 1000 if size >= 64 else 10
    net = networks.ResNet50(classes)
    return net, rng.standard_normal((batch, 3, size, size), np.float32), rng.integers(0, classes, batch), momentum(net, 1e-4)


def make_lenet(rng, batch, _):
    net = networks.LeNet()
    return net, rng.standard_normal((batch, 1, 32, 32), np.float32), rng.integers(0, 10, batch), momentum(net)


def make_mlp(rng, batch, _):
    net = networks.Mlp()
    return net, rng.standard_normal((batch, 784), np.float32), rng.integers(0, 10, batch), momentum(net)


def make_gpt(rng, batch, _):
    net = networks.Gpt(GPT_VOCAB, GPT_LENGTH)
    ids = rng.integers(0, GPT_VOCAB, (batch, GPT_LENGTH))
    labels = rng.integers(0, GPT_VOCAB, batch * GPT_LENGTH)
    return net, ids, labels, nn.AdamWeightDecay(net.trainable_params(), learning_rate=1e-3, weight_decay=0.01)


WORKS = {"resnet50": make_resnet50, "lenet": make_lenet, "mlp": make_mlp, "gpt": make_gpt}


def time_call(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(options):
    net, inputs, labels, optimizer = WORKS[options.work](np.random.default_rng(0), options.batch_size, options.image_size)
    items = len(labels)
    x = Tensor(inputs if inputs.dtype == np.float32 else inputs.astype(np.int32))
    y = Tensor(labels.astype(np.int32))
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    train = nn.TrainOneStepCell(nn.WithLossCell(net, loss), optimizer)
    train.set_train()

    def step():
        return train(x, y).item()

    losses = []
    first = time_call(lambda: losses.append(step()))
    for _ in range(max(LOSSES - 1, options.steps // 5)):
        losses.append(step())
    times = sorted(time_call(step) for _ in range(options.steps))
    median, best = times[len(times) // 2], times[0]
    return {"items_per_second": items / median, "best_items_per_second": items / best, "step_ms": median * 1e3,
            "best_step_ms": best * 1e3, "first_step_s": first, "losses": losses[:LOSSES]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("work", choices=list(WORKS))
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--precision", default="fp32", choices=["fp32"])
    parser.add_argument("--mode", default="graph", choices=["graph", "eager"])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    rutile.set_num_threads(options.threads)
    rutile.set_seed(1)
    rutile.set_context(mode=rutile.GRAPH_MODE if options.mode == "graph" else rutile.PYNATIVE_MODE)
    result = measure(options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**vars(options), **result, "peak_rss_mb": peak}))


if __name__ == "__main__":
    main()
