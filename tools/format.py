#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang-format over the tree's C++ sources: in place, or with --check only looking.

Files or folders may be named: tools/format.py core ops/call.h
"""
import os
import re
import shutil
import subprocess
import sys

import files

VERSION = 14  # another version formats differently


def main():
    check = "--check" in sys.argv[1:]
    program = shutil.which(f"clang-format-{VERSION}") or shutil.which("clang-format")
    if not program:
        sys.exit("format: clang-format is missing (Debian: clang-format)")
    version = re.search(r"version (\d+)", subprocess.run([program, "--version"], capture_output=True, text=True,
                                                         check=True).stdout)
    if not version or int(version[1]) != VERSION:
        sys.exit(f"format: {program} is version {version[1] if version else '?'}, needed is {VERSION}")
    wanted = tuple(os.path.normpath(a) for a in sys.argv[1:] if not a.startswith("-"))
    paths = [p for p in files.tree_files(files.CXX)
             if not wanted or p in wanted or p.startswith(tuple(w + "/" for w in wanted))]
    if paths:
        mode = ["--dry-run"] if check else ["-i"]
        done = subprocess.run([program, *mode, *paths], cwd=files.ROOT, capture_output=True, text=True, check=False)
        odd = sorted(set(re.findall(r"^([^:\n]+):\d+:\d+: warning: code should be clang-formatted", done.stderr, re.M)))
        if done.returncode != 0:
            sys.exit(done.stderr)
        files.report("format", [f"{path} is not formatted: run 'make format'" for path in odd],
                     f"{len(paths)} files {'are formatted' if check else 'formatted'}")


if __name__ == "__main__":
    main()
