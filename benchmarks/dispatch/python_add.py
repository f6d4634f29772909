# SPDX-License-Identifier: Apache-2.0
"""What adding two tensors of four elements costs from Python, in one JSON line; best of 7 runs, one thread."""

import json
import time

import rutile

CALLS = 50000


def add_ns(p, q):
    start = time.perf_counter()
    for _ in range(CALLS):
        p + q
    return (time.perf_counter() - start) / CALLS * 1e9


def add_grad_ns(p, q):
    """The same while a gradient scope records."""
    seen = []

    def loss(x):
        seen.append(add_ns(x, q))
        return rutile.ops.sum(x)

    rutile.value_and_grad(loss)(p)
    return seen[0]


def main():
    rutile.set_num_threads(1)
    p, q = rutile.Tensor([1.0] * 4), rutile.Tensor([1.0] * 4)
    print(json.dumps({"add_ns": min(add_ns(p, q) for _ in range(7)),
                      "add_grad_ns": min(add_grad_ns(p, q) for _ in range(7))}))


if __name__ == "__main__":
    main()
