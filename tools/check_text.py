#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Text of the tree: an SPDX line at the top of each source, no path of one machine, '#pragma once' in headers."""
import re

import files

SPDX = "SPDX-License-Identifier: Apache-2.0"
NEEDS_SPDX = files.CXX + (".py", ".pyi", ".cmake", ".proto", ".sh", ".inc", "CMakeLists.txt", "Makefile", ".ci/run")
BINARY = (".png", ".gz", ".bin", ".npy", ".npz", ".safetensors", ".ckpt", ".mindir", ".onnx", ".pb", ".jpg", ".pdf")
MACHINE_PATH = re.compile(r"(?<![\w.$)}/-])/(?:home|root|work|Users|mnt|media|scratch)/[\w.]")


def problems_of(path, text):
    if path.endswith(NEEDS_SPDX) and SPDX not in "\n".join(text.split("\n")[:4]):
        yield f"{path}:1: the line '{SPDX}' is missing"
    if path.endswith((".h", ".cuh")) and "#pragma once" not in text:
        yield f"{path}:1: '#pragma once' is missing"
    for number, line in enumerate(text.split("\n"), 1):
        if MACHINE_PATH.search(line):
            yield f"{path}:{number}: a path of one machine: {line.strip()[:80]}"
        if line.startswith(("<<<<<<< ", ">>>>>>> ")):
            yield f"{path}:{number}: an unresolved merge"
    if text and not text.endswith("\n"):
        yield f"{path}: no newline at the end"


def main():
    paths = [p for p in files.tree_files() if not p.endswith(BINARY)]
    problems = [problem for path in paths for problem in problems_of(path, files.read(path))]
    files.report("text", problems, f"{len(paths)} files, with SPDX lines and without paths of one machine")


if __name__ == "__main__":
    main()
