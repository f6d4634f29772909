#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sizes: a file over 500 lines or a function over 80 is named, a file over 700 fails.

Functions are found by the shape that clang-format leaves: a line that ends in "{", opens no type or namespace, and
ends with a "}" at the same indentation. That is a heuristic, so it only warns.
"""
import re

import files

WARN_LINES, MAX_LINES, WARN_FUNCTION = 500, 700, 80
NO_FUNCTION = re.compile(r"^\s*(?:template\b.*>\s*)?(?:namespace|class|struct|union|enum|extern|export|if|for|while|"
                         r"switch|else|do|try|catch|case|default|\}|#)")


INITIALISER = re.compile(r"^\s+\w+[({]")  # the last one of a constructor's list


def back_to_balance(lines, at):
    """The first line of what ends in line `at`: parentheses that close there open at most 8 lines above."""
    head, open_ = at, lines[at].count(")") - lines[at].count("(")
    while head > 0 and open_ > 0 and head > at - 8:
        head -= 1
        open_ += lines[head].count(")") - lines[head].count("(")
    return head


def long_functions(text):
    """(first line, name, length) of functions over the limit, in C++ that clang-format has formatted."""
    lines = text.split("\n")
    found, at = [], 0
    while at < len(lines):
        line = lines[at]
        opens = line.rstrip().endswith("{") and "(" in line or line.rstrip().endswith(") {")
        if opens and not NO_FUNCTION.match(line):
            head = at
            head = back_to_balance(lines, head)
            first = lines[head].lstrip().startswith(": ")
            if first or (head > 0 and lines[head - 1].endswith(",") and INITIALISER.match(lines[head])):
                while head > 0 and not lines[head].lstrip().startswith(": ") and head > at - 40:
                    head -= 1
                head = back_to_balance(lines, head - 1)
            indent = lines[head][: len(lines[head]) - len(lines[head].lstrip())]
            end = next((i for i in range(at + 1, len(lines)) if lines[i].startswith(indent + "}")), None)
            if end is not None:
                length = end - head + 1
                name = re.search(r"([\w:~]+|operator\S+)\s*\(", lines[head])
                if length > WARN_FUNCTION:
                    found.append((head + 1, name[1] if name else "?", length))
                at = end
        at += 1
    return found


def main():
    problems, warnings, count = [], [], 0
    for path in files.tree_files(files.CXX + (".py", ".inc", ".cmake")):
        text = files.read(path)
        count += 1
        length = text.count("\n")
        if length > MAX_LINES:
            problems.append(f"{path}: {length} lines, at most {MAX_LINES}: split it by what a reader looks for")
        elif length > WARN_LINES:
            warnings.append(f"{path}: {length} lines, better {WARN_LINES}")
        if path.endswith(files.CXX):
            warnings += [f"{path}:{line}: {name} has {n} lines, better {WARN_FUNCTION}"
                         for line, name, n in long_functions(text)]
    for warning in warnings:
        print(f"sizes: warning: {warning}")
    files.report("sizes", problems, f"{count} files, none over {MAX_LINES} lines")


if __name__ == "__main__":
    main()
