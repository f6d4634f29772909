#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts the text of files into the pages of docs/: what stands between <!-- file: PATH --> and <!-- end --> is a copy.

--check changes nothing and fails where a copy is not that of its file.
"""
import os
import re
import sys

import files

PART = re.compile(r"<!-- file: (\S+) -->\n(.*?)<!-- end -->\n", re.S)
LANGUAGES = {".cc": "cpp", ".c": "c", ".h": "cpp", ".py": "python", ".txt": "cmake"}


def block(path):
    text = re.sub(r"\A(//|#) SPDX.*\n", "", files.read(path))
    return f"```{LANGUAGES[os.path.splitext(path)[1]]}\n{text}```\n"


def embedded(text):
    return PART.sub(lambda m: f"<!-- file: {m[1]} -->\n{block(m[1])}<!-- end -->\n", text)


def main():
    check = "--check" in sys.argv[1:]
    problems, count = [], 0
    for path in files.tree_files((".md",)):
        text = files.read(path)
        count += len(PART.findall(text))
        fresh = embedded(text)
        if fresh == text:
            continue
        if check:
            problems.append(f"{path} has old copies of files: run tools/embed_examples.py")
            continue
        with open(os.path.join(files.ROOT, path), "w", encoding="utf-8") as file:
            file.write(fresh)
    files.report("examples", problems, f"{count} files stand in the docs as they are")


if __name__ == "__main__":
    main()
