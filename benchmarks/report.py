# SPDX-License-Identifier: Apache-2.0
"""The tables and the page that benchmarks/run.py makes of its results."""

import datetime
import os
import pathlib
import platform
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent

def number_text(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(head, rows):
    """A Markdown table, padded so that it reads well on a terminal too; the first column left."""
    cells = [head, *[[str(c) for c in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = []
    for row in cells:
        padded = [
            c.ljust(w) if i == 0 else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("| " + " | ".join(padded) + " |")
    rule = [("-" * w) if i == 0 else ("-" * (w - 1) + ":") for i, w in enumerate(widths)]
    return "\n".join([lines[0], "| " + " | ".join(rule) + " |", *lines[1:]])


def ratio(side, peers):
    """The side's median over that of PyTorch's best mode."""
    rates = [peer.rate for peer in peers if peer.rate]
    return f"{side.rate / max(rates):.2f}" if side.rate and rates else "-"


def training_tables(groups):
    columns = ["Rutile graph", "Rutile eager", "PyTorch eager", "PyTorch compile"]
    summary, detail = [], []
    for sides in groups:
        by_name = {side.name: side for side in sides}
        peers = [side for side in sides if not side.is_rutile and not side.is_limit]
        limits = [side for side in sides if side.is_limit]
        work = sides[0].work
        row = [f"{work.title} ({work.unit}/s)"]
        for column in columns:
            side = by_name.get(column)
            row.append(
                (number_text(side.rate) if side.rate else side.absent or "-") if side else ""
            )
        first = next(side for side in sides if side.is_rutile)
        alike = by_name.get("Rutile graph, kernels alone")
        usual = limits and limits[0].median("usual_items_per_second")
        summary.append([*row, ratio(first, peers), ratio(first, limits) if limits else "",
                        f"{first.rate / usual:.2f}" if usual and first.rate else "",
                        ratio(alike, limits) if limits and alike else ""])  # fmt: skip
        for side in sides:
            if not side.results:
                continue
            rates = [result["items_per_second"] for result in side.results]
            spread = f"{number_text(min(rates))} - {number_text(max(rates))}"
            peak = max(
                (r["peak_rss_mb"] for r in side.results if r.get("peak_rss_mb")), default=None
            )
            detail.append([
                f"{work.title}: {side.name}", number_text(side.rate), spread,
                number_text(side.best_rate), number_text(side.median("step_ms")),
                number_text(side.results[0].get("first_step_s")), number_text(peak),
                ratio(side, peers) if side.is_rutile else "",
            ])  # fmt: skip
    text = table(["Work", *columns, "graph / PyTorch's best", "graph / convolutions alone", "medians of both", "its kernels / convolutions alone"], summary)
    if detail:
        head = ["Run", "median /s", "range of rounds", "best /s", "step ms"]
        text += "\n\n" + table([*head, "first step s", "peak RSS MB", "/ PyTorch's best"], detail)
    return text


def largest_difference(sides):
    """Of the losses of the first steps, Rutile's against PyTorch's, relative."""
    losses = [r["losses"] for s in sides for r in s.results[:1] if r.get("losses")]
    if len(losses) < 2:
        return "-"
    pairs = [(a, b) for other in losses[1:] for a, b in zip(losses[0], other, strict=False)]
    return f"{max(abs(a - b) / max(abs(b), 1e-9) for a, b in pairs):.0e}"


def networks_table(groups):
    """The networks of benchmarks/networks: milliseconds a step."""
    columns = ["Rutile graph", "PyTorch eager", "PyTorch compile"]
    rows = []
    for sides in groups:
        by_name = {side.name: side for side in sides}
        times = [by_name[name].median("step_ms") for name in columns]
        cells = [number_text(t) if t else by_name[name].absent for t, name in zip(times, columns, strict=True)]
        best = ratio(by_name[columns[0]], [by_name[name] for name in columns[1:]])
        title = sides[0].work.title
        rows.append([title, *cells, best, largest_difference([by_name[c] for c in columns])])
    head = ["Network, ms a step", *columns, "PyTorch's best / graph", "losses differ by"]
    return table(head, rows)


def python_table(groups):
    """The same networks written in Python: milliseconds a step."""
    rows = []
    for sides in groups:
        cpp, graph, torch, eager = (side.median("step_ms") for side in sides)
        times = [number_text(t) if t else side.absent for t, side in zip((cpp, graph, eager, torch), (sides[0], sides[1], sides[3], sides[2]), strict=True)]
        over = f"{100 * (graph / cpp - 1):+.1f} %" if cpp and graph else "-"
        rows.append([sides[0].work.title, times[0], times[1], over, times[2], times[3],
                     f"{torch / eager:.2f}" if torch and eager else "-"])  # fmt: skip
    head = ["From Python, ms a step", "C++ graph", "Python graph", "Python over C++", "Python eager", "PyTorch eager",
            "PyTorch / Python eager"]  # fmt: skip
    return table(head, rows)


def dispatch_table(sides):
    """One row a benchmark name; all programs that measure the same name stand in its row."""
    names = []
    for side in sides:
        for result in side.results[:1]:
            names += [key for key in result if key.endswith("_ns") and key not in names]
    rows = []
    for name in names:
        cells = [number_text(side.median(name)) if side.results else side.absent for side in sides]
        rows.append([name.removesuffix("_ns"), *cells])
    if not rows:
        rows = [["add", *[side.absent for side in sides]]]
    return table(["Eager call, ns", *[side.name for side in sides]], rows)


def first_match(pattern, path):
    try:
        found = re.search(pattern, path.read_text(encoding="utf-8", errors="replace"), re.M)
    except OSError:
        return ""
    return found[1].strip() if found else ""


def commit():
    def git(*arguments):
        command = ["git", "-c", "safe.directory=*", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout

    changed = git("status", "--porcelain", "--untracked-files=no").strip()
    return (git("rev-parse", "--short=12", "HEAD").strip() or "unknown") + (
        " with uncommitted changes" if changed else ""
    )


def compiler(build):
    for path in sorted(build.glob("CMakeFiles/*/CMakeCXXCompiler.cmake")):
        parts = [
            first_match(rf'CMAKE_CXX_COMPILER_{part} "(.*)"', path) for part in ("ID", "VERSION")
        ]
        return " ".join(parts)
    return "unknown"


def environment(options, torch_version, rounds):
    cpu = first_match(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo"))
    cores = len(os.sched_getaffinity(0))
    return [
        f"- {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, commit {commit()}",
        f"- {cpu or platform.machine()}, {cores} cores, {options.threads} threads a program, "
        f"load {os.getloadavg()[0]:.1f} before the first run",
        f"- compiler {compiler(options.build)}, PyTorch {torch_version or 'not installed'}, "
        f"Python {platform.python_version()}, "
        f"{platform.system()} {platform.release().split('-')[0]}",
        f"- {rounds} round{'s' if rounds > 1 else ''}{', quick' if options.quick else ''}"
        f"{', caches of torch.compile kept from earlier runs' if options.torch_cache else ''}: "
        'rates are the median over rounds of the median step, "best" the fastest step of all; '
        "the first step is that of the first round; peak RSS is the whole process; convolutions alone are "
        "those of the network by oneDNN in its own layouts, one by one, each the best of five runs; "
        "'medians of both' holds the median step against the sum of the medians of those five; "
        "'its kernels' are all of the compiled step, each the best of five",
    ]


NEW_PAGE = """# Benchmarks

Rutile and PyTorch on the same machine, in turn, by `make bench`; `benchmarks/run.py` rewrites the
sections that it measured in full.
"""


def write_page(path, sections):
    """sections: {title: text}. Each replaces its like in the page; the page's others stay as they are."""
    page = path.read_text(encoding="utf-8") if path.exists() else NEW_PAGE
    for title, text in sections.items():
        begin, end = (f"<!-- benchmarks/run.py: {title}: {edge} -->" for edge in ("begin", "end"))
        block = f"{begin}\n## {title}\n\n{text}\n{end}"
        if begin in page and end in page:
            page = page[: page.index(begin)] + block + page[page.index(end) + len(end) :]
        else:
            page = page.rstrip("\n") + f"\n\n{block}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
    print(f"bench: wrote {', '.join(sections)} into {os.path.relpath(path)}")
