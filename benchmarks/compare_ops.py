# SPDX-License-Identifier: Apache-2.0
"""Every op beside PyTorch's, eager, forward and forward with backward; the slowest of ours first.

    make bench ARGS="--ops"                          about three minutes
    .venv/bin/python benchmarks/compare_ops.py --only 'softmax|conv' --rounds 15

Both sides run in a process of their own and are timed in turn, so that what else the machine does hits both; a number is
the median over rounds of the fastest block of calls. "speed" is PyTorch's time over Rutile's: below 1, Rutile is slower.
The cases are in benchmarks/compare/op_cases.py. PyTorch: --torch-python or RUTILE_TORCH_PYTHON.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMPARE = ROOT / "benchmarks" / "compare"
sys.path.insert(0, str(COMPARE))
from op_cases import cases  # noqa: E402
from run import find_torch  # noqa: E402

CASE_LIMIT_S = 1.0  # no further round after that


class Side:
    def __init__(self, name, python, threads, environment):
        command = [python, str(COMPARE / "op_side.py"), name, str(threads)]
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"compare_ops: the {self.name} side ended at '{line}'")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def work_list(options):
    for number, case in enumerate(cases()):
        for mode in ("forward", "backward"):
            if mode == "backward" and not case.by or options.mode not in (mode, "both"):
                continue
            if re.search(options.only, f"{case.name} {case.inputs} {mode}"):
                yield number, case, mode


def compare(sides, line, rounds):
    """The medians of both sides, or the first error. Whoever is first changes every round."""
    times = {side.name: [] for side in sides}
    start = time.monotonic()
    for k in range(rounds):
        if k and time.monotonic() - start > CASE_LIMIT_S:
            break
        for side in sides if k % 2 == 0 else sides[::-1]:
            answer = side.ask(line)
            if "error" in answer:
                return f"{side.name}: {answer['error']}"
            times[side.name].append(answer["seconds"])
    return {name: statistics.median(values) for name, values in times.items()}


def shapes_of(case):
    return " ".join(part.split(":")[1] for part in case.inputs.split())[:34] or "-"


def report(rows, failures, limit):
    rows.sort(key=lambda row: row[0])
    print(f"{'op':24} {'shapes':34} {'':8} {'PyTorch us':>11} {'Rutile us':>11} {'speed':>7}")
    for speed, case, mode, ours, theirs in rows[:limit] if limit else rows:
        print(f"{case.name:24} {shapes_of(case):34} {mode:8} {theirs * 1e6:11.2f} {ours * 1e6:11.2f} {speed:6.2f}x")
    for case, mode, text in failures:
        print(f"{case.name:24} {shapes_of(case):34} {mode:8} not measured: {text}")
    speeds = [row[0] for row in rows]
    if speeds:
        slower = sum(s < 1 for s in speeds)
        print(f"{len(speeds)} measured, {slower} slower than PyTorch; worst {speeds[0]:.2f}x, median "
              f"{statistics.median(speeds):.2f}x, best {speeds[-1]:.1f}x")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--torch-python")
    parser.add_argument("--only", default="", help="regular expression over 'name inputs forward|backward'")
    parser.add_argument("--mode", choices=("forward", "backward", "both"), default="both")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--limit", type=int, default=0, help="print only so many lines")
    parser.add_argument("--part", default="1/1", help="2/3: the second third of the cases")
    parser.add_argument("--seconds", type=float, default=0, help="stop measuring after that")
    parser.add_argument("--json", help="also write the numbers there")
    options = parser.parse_args()

    torch_python, _ = find_torch(options.torch_python)
    if not torch_python:
        sys.exit("compare_ops: no Python with torch: --torch-python, RUTILE_TORCH_PYTHON")
    ours = dict(os.environ, PYTHONPATH=str((ROOT / options.build / "python").resolve()))
    sides = [
        Side("torch", torch_python, options.threads, dict(os.environ)),
        Side("rutile", sys.executable, options.threads, ours),
    ]
    rows, failures = [], []
    part, parts = (int(v) for v in options.part.split("/"))
    start = time.monotonic()
    for number, case, mode in list(work_list(options))[part - 1 :: parts]:
        if options.seconds and time.monotonic() - start > options.seconds:
            failures.append((case, mode, "and what follows: out of time"))
            break
        result = compare(sides, f"{number} {mode}", options.rounds)
        if isinstance(result, str):
            failures.append((case, mode, result))
        else:
            rows.append((result["torch"] / result["rutile"], case, mode, result["rutile"], result["torch"]))
    for side in sides:
        side.close()
    report(rows, failures, options.limit)
    if options.json:
        table = [{"op": c.name, "inputs": c.inputs, "mode": m, "speed": s, "rutile_s": o, "torch_s": t} for s, c, m, o, t in rows]
        pathlib.Path(options.json).write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
