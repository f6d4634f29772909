# SPDX-License-Identifier: Apache-2.0
"""One side of benchmarks/compare_ops.py: times the cases that it is asked for on stdin, "<number> <forward|backward>".

    python op_side.py torch|rutile THREADS

Answers each line with a JSON line: seconds a call, or what went wrong. Short calls are timed several at once; the number is
the fastest of a few blocks, which what else the machine does disturbs least.
"""

import json
import os
import sys
import time
import types

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from op_cases import cases  # noqa: E402

BLOCK_S = 0.0005
BLOCKS = 8
MAX_CALLS = 500


def array(rng, kind, shape):
    if kind == "n":
        return rng.standard_normal(shape).astype("f4")
    if kind in "ups":
        low, high = {"u": (0.001, 0.999), "p": (0.5, 1.5), "s": (-0.9, 0.9)}[kind]
        return rng.uniform(low, high, shape).astype("f4")
    if kind == "b":
        return rng.random(shape) < 0.5
    if kind == "e":
        m = rng.standard_normal(shape) / np.sqrt(shape[-1])
        return (m @ np.swapaxes(m, -1, -2) + np.eye(shape[-1])).astype("f4")
    if kind in "oz":
        return np.full(shape, 1.0 if kind == "o" else 0.0, "f4")
    return rng.integers(0, int(kind[1:]), shape).astype("i8")


def inputs_of(case):
    rng = np.random.default_rng(7)
    for part in case.inputs.split():
        name, spec = part.split("=")
        kind, shape = spec.split(":")
        yield name, array(rng, kind, tuple(int(d) for d in shape.split(",")))


def shared_arrays():
    rng = np.random.default_rng(8)
    windows = np.arange(28 * 28).reshape(28, 28)
    unpool = (windows // 28 * 2 * 56 + windows % 28 * 2)[None, None]
    return {
        "GRID": np.sort(rng.standard_normal(1000).astype("f4")),
        "QUANTILE": np.array([0.3], "f4"),
        "ONE": np.array(1.0, "f4"),
        "UNPOOL": np.broadcast_to(unpool, (8, 32, 28, 28)).astype("i8").copy(),
    }


class TorchSide:
    def __init__(self, threads):
        import torch

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.torch = torch
        self.names = {"torch": torch, "F": torch.nn.functional, "L": torch.linalg}
        self.names |= {k: torch.from_numpy(v) for k, v in shared_arrays().items()}

    def function(self, case, backward):
        torch = self.torch
        values = {k: torch.from_numpy(v) for k, v in inputs_of(case)}
        by = [values[n].requires_grad_() for n in case.by.split()] if backward else []
        call = eval(f"lambda: {case.torch}", self.names | values)
        if not backward:

            def forward():
                with torch.no_grad():
                    return call()

            return forward

        def both():
            y = call()
            return torch.autograd.grad(y, by, torch.ones_like(y), allow_unused=True)

        return both


class RutileSide:
    def __init__(self, threads):
        import rutile
        from rutile.ops import table

        rutile.set_num_threads(threads)
        self.tensor, self.grad = rutile.Tensor, rutile.ops.grad
        self.names = {"O": table, "P": rutile.ops}
        self.names |= {k: rutile.Tensor(v) for k, v in shared_arrays().items()}

    def function(self, case, backward):
        values = {k: self.tensor(v) for k, v in inputs_of(case)}
        if not backward:
            return eval(f"lambda: {case.ours}", self.names | values)
        by = case.by.split()
        names = by + [k for k in values if k not in by]
        call = eval(f"lambda {', '.join(names)}: {case.ours}", self.names)
        gradient = self.grad(call, tuple(range(len(by))))
        arguments = [values[n] for n in names]
        return lambda: gradient(*arguments)


def seconds_of(function, calls):
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def fastest(function, calls):
    best, spent = float("inf"), 0.0
    for _ in range(BLOCKS):
        seconds = seconds_of(function, calls)
        best, spent = min(best, seconds), spent + seconds * calls
        if spent > 20 * BLOCK_S * BLOCKS:
            break
    return best


def main():
    side = {"torch": TorchSide, "rutile": RutileSide}[sys.argv[1]](int(sys.argv[2]))
    table = list(cases())
    now = types.SimpleNamespace(line="", function=None, calls=1)
    for line in sys.stdin:
        try:
            if line != now.line:
                number, mode = line.split()
                now.function = side.function(table[int(number)], mode == "backward")
                once = seconds_of(now.function, 1)
                if once < 0.2:  # else one warm-up is enough
                    once = max(seconds_of(now.function, 2), 1e-7)
                now.calls = min(max(int(BLOCK_S / once), 1), MAX_CALLS)
                now.line = line
            answer = {"seconds": fastest(now.function, now.calls)}
        except Exception as error:  # noqa: BLE001 - whatever an op raises is the answer
            now.line = ""
            answer = {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
