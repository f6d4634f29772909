# SPDX-License-Identifier: Apache-2.0
"""The files that the checks look at: what git tracks, or would track."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CXX = (".cc", ".h", ".cu", ".cuh")


def tree_files(suffixes=None):
    """Paths relative to the source root, sorted, only those that end in one of suffixes."""
    command = "git -c safe.directory=* ls-files -z --cached --others --exclude-standard"
    listing = subprocess.run(command.split(), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = sorted(set(filter(None, listing.split("\0"))))
    return [p for p in paths if (suffixes is None or p.endswith(suffixes)) and os.path.isfile(os.path.join(ROOT, p))]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def report(check, problems, fine):
    """Prints the problems and ends with status 1, or says that all is fine."""
    for problem in problems:
        print(f"{check}: {problem}", file=sys.stderr)
    if problems:
        sys.exit(1)
    print(f"{check}: {fine}")
