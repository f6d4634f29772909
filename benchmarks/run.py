# SPDX-License-Identifier: Apache-2.0
"""Rutile's training programs and PyTorch side by side: prints a table, writes docs/benchmarks.md.

    make bench                              the whole set, three rounds
    make bench ARGS="--quick --only gpt"    one round of fewer steps, the works that match
    make bench ARGS="--ops"                 single ops instead: see compare_ops.py

The sides run in turn, one process a run, and the order turns round every round, so that what else
the machine does hits all of them. A number is the median over rounds of the median step.
PyTorch is optional: --torch-python, RUTILE_TORCH_PYTHON, or a python3 that can import torch.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

from report import (
    dispatch_table,
    environment,
    number_text,
    write_page,
)
from works import CALLS, SECTIONS, TWINS, Work

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMPARE = ROOT / "benchmarks" / "compare"
PYTHON_SIDE = ROOT / "benchmarks" / "python" / "side.py"
PYTHON_DISPATCH = ROOT / "benchmarks" / "dispatch" / "python_add.py"
DEFAULT_OUT = ROOT / "docs" / "benchmarks.md"
RUN_LIMIT_S = 1800
COMPILE_GUESS_S = 20
DEFAULT_ROUNDS = 3


@dataclass
class Side:
    """Rutile or PyTorch in one mode on one work, or one of the dispatch programs."""

    work: Work | None  # None: dispatch
    name: str
    is_rutile: bool
    seconds: float
    command: list = field(default_factory=list)
    env: dict = field(default_factory=dict)
    json_file: str | None = None  # where the program writes its line; else the last line it prints
    is_limit: bool = False  # not a training step, but what bounds one
    absent: str = ""  # why there is no number: "not built", "not installed", "failed"
    results: list = field(default_factory=list)

    @property
    def key(self):
        return self.work.key if self.work else "dispatch"

    def median(self, name):
        values = [r[name] for r in self.results if r.get(name) is not None]
        return statistics.median(values) if values else None

    @property
    def rate(self):
        return self.median("items_per_second")

    @property
    def best_rate(self):
        values = [r.get("best_items_per_second") or r["items_per_second"] for r in self.results]
        return max(values) if values else None


def find_torch(given):
    """(interpreter, torch version), or (None, "") where no interpreter can import torch."""
    named = given or os.environ.get("RUTILE_TORCH_PYTHON")
    python = named or shutil.which("python3")
    if not python:
        return None, ""
    probe = [python, "-c", "import torch; print(torch.__version__)"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
        version = done.stdout.strip().split("\n")[-1] if done.returncode == 0 else ""
    except OSError:
        version = ""
    if version:
        return python, version
    if named:
        sys.exit(f"bench: {named} cannot import torch")
    print("bench: PyTorch: not installed for python3 (--torch-python PATH names another Python)")
    return None, ""


class Planner:
    """Builds the sides of each work; says once which program is missing."""

    def __init__(self, options, torch_python, scratch):
        self.options, self.torch_python, self.scratch = options, torch_python, scratch
        self.bin = options.build.resolve() / "bin"
        self.missing = set()

    def built(self, *names):
        """The first of these programs that exists, else None and one line."""
        for name in names:
            if os.access(self.bin / name, os.X_OK):
                return str(self.bin / name)
        if names[0] not in self.missing:
            self.missing.add(names[0])
            print(f"bench: {os.path.relpath(self.bin / names[0])} is missing: not built")
        return None

    def steps(self, work):
        return max(4, work.steps // 2) if self.options.quick else work.steps

    def arguments(self, work, mode):
        values = {
            **work.sizes,
            "steps": self.steps(work),
            "mode": mode,
            "precision": work.precision,
            "threads": self.options.threads,
        }
        return [part for key, value in values.items() for part in (f"--{key}", str(value))]

    def rutile(self, work, mode):
        side = Side(work, f"Rutile {mode}", True, work.seconds)
        program = self.built(work.program)
        if not program:
            side.absent = "not built"
            return side
        side.json_file = os.path.join(self.scratch, "result.json")
        what = [work.network] if work.network else ["--dataset", "synthetic"]
        arguments = self.arguments(work, mode)
        side.command = [program, *what, *arguments, "--json", side.json_file]
        return side

    def torch(self, work, mode):
        seconds = work.seconds + (COMPILE_GUESS_S if mode == "compile" else 0)
        arguments = [work.network or work.program, *self.arguments(work, mode)]
        return self.python_torch(Side(work, f"PyTorch {mode}", False, seconds), arguments)

    def python_torch(self, side, arguments):
        if not self.torch_python:
            side.absent = "not installed"
            return side
        side.command = [self.torch_python, str(COMPARE / "torch_side.py"), *arguments]
        # An empty cache, so that the first round's first step holds the whole compilation.
        cache = self.options.torch_cache or os.path.join(self.scratch, "inductor")
        side.env = {"TORCHINDUCTOR_CACHE_DIR": str(cache)}
        return side

    def training(self, work):
        """Rutile and PyTorch by turns: A B A B."""
        rutile = [self.rutile(work, mode) for mode in work.modes]
        torch = [self.torch(work, mode) for mode in ("eager", "compile")]
        sides = []
        while rutile or torch:
            sides += rutile[:1] + torch[:1]
            rutile, torch = rutile[1:], torch[1:]
        return sides + self.kernels(work) + self.convolutions(work)

    def python(self, work):
        """C++ and Python in graph mode, then PyTorch and Python in eager mode."""
        return [self.rutile(work, "graph"), self.rutile_python(work, "graph"), self.torch(work, "eager"),
                self.rutile_python(work, "eager")]  # fmt: skip

    def rutile_python(self, work, mode):
        side = Side(work, f"Rutile Python {mode}", True, work.seconds)
        side.command = [self.interpreter(), str(PYTHON_SIDE), work.program, *self.arguments(work, mode)]
        return side

    @staticmethod
    def interpreter():
        own = ROOT / ".venv" / "bin" / "python"
        return str(own) if own.exists() else sys.executable

    def kernels(self, work):
        """What is to be held against convolutions(): the step's kernels, each the best of five runs."""
        program = self.built("bench/bench_graph") if work.key.startswith("resnet50-224") else None
        if not program:
            return []
        side = Side(work, "Rutile graph, kernels alone", True, 30)
        side.json_file = os.path.join(self.scratch, "kernels.json")
        sizes = [str(work.sizes[name]) for name in ("batch-size", "image-size")]
        side.command = [program, "kernels", work.program, *sizes, work.precision, side.json_file]
        side.env = {"RUTILE_NUM_THREADS": str(self.options.threads)}
        return [side]

    def convolutions(self, work):
        """The convolutions of ResNet-50 alone, each the best of five runs (and their median), by oneDNN's kernels."""
        program = self.built("bench/bench_ops") if work.key.startswith("resnet50-224") else None
        if not program:
            return []
        side = Side(work, "oneDNN convolutions alone", False, 10, is_limit=True)
        side.json_file = os.path.join(self.scratch, "limit.json")
        dtype = "f32" if work.precision == "fp32" else work.precision
        out = [f"--benchmark_out={side.json_file}", "--benchmark_out_format=json"]
        side.command = [program, f"--benchmark_filter=^resnet50_convs_224/onednn/{dtype}", *out]
        side.env = {"RUTILE_NUM_THREADS": str(self.options.threads)}
        return [side]

    def dispatch(self):
        """Eager calls. C++: a Google Benchmark program; names such as BM_Add or add give "add".

        Python: a script that prints one JSON line of "<name>_ns" numbers, as torch_side.py does.
        """
        cpp = Side(None, "Rutile C++", True, 15)
        program = self.built("bench/bench_dispatch", "bench_dispatch")
        if program:
            cpp.json_file = os.path.join(self.scratch, "dispatch.json")
            out = [f"--benchmark_out={cpp.json_file}", "--benchmark_out_format=json"]
            cpp.command = [program, *out]
        else:
            cpp.absent = "not built"
        python = Side(None, "Rutile Python", True, 10)
        if PYTHON_DISPATCH.exists():
            python.command = [self.interpreter(), str(PYTHON_DISPATCH)]
        else:
            python.absent = "not built"
        torch = self.python_torch(Side(None, "PyTorch Python", False, 15), ["dispatch"])
        return [cpp, torch, python]


def flatten_google_benchmark(document):
    """{"add_ns": 51.2, ...} from Google Benchmark's JSON; the median where it repeats."""
    factor = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
    rows = [b for b in document["benchmarks"] if not b.get("error_occurred")]
    medians = [b for b in rows if b.get("aggregate_name") == "median"]
    rows = medians or [b for b in rows if b.get("run_type") != "aggregate"]
    result = {}
    for row in rows:
        name = re.sub(r"^BM_|_median$", "", row["name"])
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
        if "per_call" in row:  # a counter in seconds, where an iteration makes many calls
            result[f"{name}_ns"] = row["per_call"] * 1e9
        else:
            result[f"{name}_ns"] = row["cpu_time"] * factor[row.get("time_unit", "ns")]
    return result


def read_result(side, printed):
    if side.json_file:
        with open(side.json_file, encoding="utf-8") as file:
            result = json.load(file)
    else:
        result = json.loads([line for line in printed.split("\n") if line.startswith("{")][-1])
    if side.is_limit:
        row = result["benchmarks"][0]
        result = {"items_per_second": row["images/s"], "step_ms": row["real_time"],
                  "usual_items_per_second": row["usual_images/s"]}  # fmt: skip
    elif "benchmarks" in result:
        result = flatten_google_benchmark(result)
    if side.work and not isinstance(result.get("items_per_second"), (int, float)):
        raise ValueError("its result has no items_per_second")
    return result


def run_side(side):
    """Runs one side once: "" or why it failed."""
    if side.json_file:
        pathlib.Path(side.json_file).unlink(missing_ok=True)
    try:
        done = subprocess.run(
            side.command,
            cwd=ROOT,
            env={**os.environ, **side.env},
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"took longer than {RUN_LIMIT_S} s"
    except OSError as error:
        return str(error)
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "no output").split("\n")
        return f"exit status {done.returncode}: {lines[-1][:200]}"
    try:
        side.results.append(read_result(side, done.stdout))
    except (OSError, ValueError, KeyError, IndexError) as error:
        return f"no readable result ({type(error).__name__}: {error})"
    return ""


def clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def measure(groups, rounds):
    """Runs all sides, `rounds` times each; False if the user broke it off."""
    queue = []
    for sides in groups:
        work = sides[0].work
        for number in range(rounds or (1 if work and work.network else DEFAULT_ROUNDS)):
            turn = sides if number % 2 == 0 else sides[::-1]
            queue += [(side, number) for side in turn if not side.absent]
    print(
        f"bench: {len(queue)} runs, about {clock(sum(side.seconds for side, _ in queue))}",
        flush=True,
    )
    began = time.monotonic()
    try:
        for at, (side, number) in enumerate(queue):
            if side.absent:  # failed in an earlier round
                continue
            start = time.monotonic()
            error = run_side(side)
            side.seconds = time.monotonic() - start
            if error:
                side.absent = "failed"
                outcome = f"failed: {error}"
            elif side.work:
                outcome = f"{number_text(side.results[-1]['items_per_second'])} {side.work.unit}/s"
            else:
                outcome = f"{number_text(side.results[-1].get('add_ns'))} ns an add"
            left = sum(s.seconds for s, _ in queue[at + 1 :] if not s.absent)
            print(
                f"[{at + 1}/{len(queue)}] {side.key}, {side.name}, round {number + 1}: {outcome}"
                f" (elapsed {clock(time.monotonic() - began)}, left about {clock(left)})",
                flush=True,
            )
    except KeyboardInterrupt:
        print("bench: broken off; what was measured follows")
        return False
    return True


def parse_arguments():
    keys = [work.key for _, listed, _ in SECTIONS for work in listed] + ["dispatch"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="one round, half the steps")
    add("--only", metavar="PATTERN", help=f"a regular expression over {', '.join(keys)}")
    add("--rounds", type=int, metavar="N", help="default 3; 1 for network-*")
    add("--threads", type=int, metavar="N", default=len(os.sched_getaffinity(0)))
    add(
        "--out",
        type=pathlib.Path,
        metavar="FILE",
        help="default docs/benchmarks.md; with --only: none. Sections that were not measured in full stay",
    )
    add("--build", type=pathlib.Path, metavar="DIR", default=ROOT / "build" / "release")
    add("--torch-python", metavar="PATH", help="a Python with torch and torchvision")
    add("--torch-cache", type=pathlib.Path, metavar="DIR",
        help="keep what torch.compile made (its first steps are then no longer whole compilations)")  # fmt: skip
    options = parser.parse_args()
    try:
        wanted = re.compile(options.only or "")
    except re.error as error:
        parser.error(f"--only: {error}")
    if not any(wanted.search(key) for key in keys):
        parser.error(f"--only {options.only} matches none of {', '.join(keys)}")
    if (options.rounds is not None and options.rounds < 1) or options.threads < 1:
        parser.error("--rounds and --threads start at 1")
    return options, wanted


def main():
    if "--ops" in sys.argv:
        command = [argument for argument in sys.argv[1:] if argument != "--ops"]
        sys.exit(subprocess.run([sys.executable, ROOT / "benchmarks" / "compare_ops.py", *command]).returncode)
    options, wanted = parse_arguments()
    rounds = options.rounds or (1 if options.quick else 0)
    torch_python, torch_version = find_torch(options.torch_python)
    heading = "\n".join(environment(options, torch_version, rounds or DEFAULT_ROUNDS))
    groups = {}  # {section: the sides of each work}
    with tempfile.TemporaryDirectory(prefix="rutile-bench-") as scratch:
        planner = Planner(options, torch_python, scratch)
        for title, listed, _ in SECTIONS:
            sides = planner.python if listed is TWINS else planner.training
            groups[title] = [sides(work) for work in listed if wanted.search(work.key)]
        groups[CALLS] = [planner.dispatch()] if wanted.search("dispatch") else []
        finished = measure([group for section in groups.values() for group in section], rounds)
    texts, whole = {}, {}
    for title, listed, make in [*SECTIONS, (CALLS, [None], lambda given: dispatch_table(given[0]))]:
        if groups[title]:
            texts[title] = f"{heading}\n\n{make(groups[title])}"
            if len(groups[title]) == len(listed):
                whole[title] = texts[title]
    print("\n" + "\n\n".join(texts.values()) + "\n")
    sides = [side for section in groups.values() for group in section for side in group]
    if not finished:
        sys.exit(130)
    if options.only and not options.out:
        print("bench: a part only, no page written (--out FILE writes one)")
    elif not any(side.results for side in sides if side.is_rutile):
        print("bench: no program of Rutile ran, no page written")
    elif not whole:
        print("bench: no section was measured in full, no page written")
    else:
        write_page(options.out or DEFAULT_OUT, whole)
    if any(side.absent == "failed" for side in sides):
        sys.exit(1)


if __name__ == "__main__":
    main()
