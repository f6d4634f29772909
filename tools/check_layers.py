#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds every #include against cmake/layers.txt: a folder includes itself and, transitively, what its line names."""
import posixpath
import re

import files

LAYERS = "cmake/layers.txt"
PLUGINS = ("kernels/cuda", "kernels/fake", "dist/nccl", "dist/gloo")  # leaves: nothing outside may include them
STRANGERS = ("kernels", "autograd", "graph")                         # never include each other
FREE = ("tests", "benchmarks")                                       # may include every folder
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def parse_layers(text):
    """Folder -> every folder it may include, itself among them. Raises ValueError for a table that has a cycle."""
    allowed = {}
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        name, _, uses = line.partition(":")
        name, uses = name.strip(), uses.split()
        if uses == ["*"]:
            uses = list(allowed)
        unknown = [use for use in uses if use not in allowed]
        if unknown:
            raise ValueError(f"{name} uses {unknown[0]}, which no line above it defines")
        allowed[name] = {name}.union(*(allowed[use] for use in uses))
    return allowed


def problem_of(source, quote, target, allowed):
    """Why source may not include target, or None. Paths are relative to the source root."""
    top = source.split("/")[0]
    if not target.startswith("rutile/"):
        if quote == '"' and top in allowed and target != "rutile_build_id.h":  # which the build writes
            return f'write "rutile/<folder>/<file>.h", not "{target}"'
        return None
    target = posixpath.normpath(target[len("rutile/"):])
    folder = target.split("/")[0]
    for plugin in PLUGINS:
        if target.startswith(plugin + "/") and not source.startswith(plugin + "/") and top not in FREE:
            return f"{plugin} is a plugin, nothing outside it includes {target}"
    if top in FREE:
        return None
    if folder in FREE:
        return f"{target} belongs to the tests"
    if folder not in allowed:
        return f"{target}: no folder {folder} in {LAYERS}"
    if folder not in allowed[top]:
        return f"{top} may not include {target} ({LAYERS})"
    return None


def main():
    allowed = parse_layers(files.read(LAYERS))
    problems = [f"{a} and {b} may not use each other" for a in STRANGERS for b in STRANGERS
                if a != b and b in allowed[a]]
    count = 0
    for path in files.tree_files(files.CXX + (".inc",)):
        top = path.split("/")[0]
        if top not in allowed and top not in FREE:
            continue
        text = files.read(path)
        for match in INCLUDE.finditer(text):
            count += 1
            why = problem_of(path, match[1], match[2], allowed)
            if why:
                problems.append(f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {why}")
    files.report("layers", problems, f"{count} includes follow {LAYERS}")


if __name__ == "__main__":
    main()
