# SPDX-License-Identifier: Apache-2.0
"""How well several processes of one thread each do beside one process of one thread: ResNet-50, weak scaling.

    python3 benchmarks/dist/scaling.py                              2 processes, 224x224, batch 16 each, three rounds
    python3 benchmarks/dist/scaling.py --ranks 4 --image-size 64    others
    python3 benchmarks/dist/scaling.py --markdown                   the rows for docs/benchmarks.md

Both sides run in turn, and the order turns round every round. Each process has one processor of its own where the machine has
as many; the efficiency is the throughput of N processes by N times that of one. It contains what processes on one machine take from
each other (memory bandwidth, caches, clock), besides communication, which is shown too: --alone runs N processes that do not
talk to each other, which bounds what any communication could give.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def command(o, out, ranks):
    program = [str(o.build / "bin" / "resnet50"), "--dataset", "synthetic", "--image-size", str(o.image_size), "--batch-size",
               str(o.batch_size), "--steps", str(o.steps), "--precision", o.precision, "--mode", o.mode, "--threads", "1", "--json", out]
    return program + (["--ranks", str(ranks)] if ranks > 1 else [])


def environment():
    env = {k: v for k, v in os.environ.items() if not k.startswith(("RUTILE_", "OMP_"))}
    return {**env, "RUTILE_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def run(o, ranks, together=True):
    """Images a second of all processes."""
    with tempfile.TemporaryDirectory() as folder:
        if together or ranks == 1:
            outs = [os.path.join(folder, "0.json")]
            started = [subprocess.Popen(command(o, outs[0], ranks), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment())]
        else:
            outs = [os.path.join(folder, f"{r}.json") for r in range(ranks)]
            started = [subprocess.Popen(command(o, out, 1), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment())
                       for out in outs]
        for process in started:
            _, err = process.communicate(timeout=o.limit)
            if process.returncode != 0:
                sys.exit(f"{' '.join(process.args)}: exit status {process.returncode}\n{err.decode(errors='replace')}")
        total = 0.0
        for out in outs:
            with open(out, encoding="utf-8") as f:
                total += json.load(f)["items_per_second"]
        return total


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    p.add_argument("--ranks", type=int, default=2, metavar="N")
    p.add_argument("--image-size", type=int, default=224)
    p.add_argument("--batch-size", type=int, default=16, help="of each process [16]")
    p.add_argument("--steps", type=int, default=6, help="that are measured [6]")
    p.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    p.add_argument("--mode", default="graph", choices=("graph", "eager"))
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--alone", action="store_true", help="also N processes that do not talk to each other")
    p.add_argument("--limit", type=float, default=1800, help="seconds for a run [1800]")
    p.add_argument("--markdown", action="store_true")
    o = p.parse_args(argv)
    sides = {"one process": lambda: run(o, 1), f"{o.ranks} processes": lambda: run(o, o.ranks)}
    if o.alone:
        sides[f"{o.ranks} apart"] = lambda: run(o, o.ranks, together=False)
    rates = {name: [] for name in sides}
    for k in range(o.rounds):
        for name in list(sides) if k % 2 == 0 else list(sides)[::-1]:
            rates[name].append(sides[name]())
            print(f"round {k + 1}: {name}: {rates[name][-1]:.2f} images/s", file=sys.stderr, flush=True)
    middle = {name: statistics.median(values) for name, values in rates.items()}
    one = middle["one process"]
    what = f"ResNet-50 {o.image_size}x{o.image_size}, batch {o.batch_size} each, {o.precision}, {o.mode}"
    for name, rate in middle.items():
        n = 1 if name == "one process" else o.ranks
        efficiency = rate / (n * one)
        if o.markdown:
            print(f"| {what}: {name} of 1 thread | {rate:.2f} | {efficiency:.3f} |")
        else:
            print(f"{what}: {name:>14} of 1 thread: {rate:8.2f} images/s, efficiency {efficiency:.3f}")


if __name__ == "__main__":
    main()
