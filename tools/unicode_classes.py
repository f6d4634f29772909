#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes dataset/unicode_classes.inc: the letters and numbers of Unicode, from Python's own tables.

    tools/unicode_classes.py > dataset/unicode_classes.inc
"""

import unicodedata


def ranges(kind):
    """First and last code points of the runs whose general category begins with `kind`."""
    found, start = [], None
    for c in range(0x110001):
        inside = c < 0x110000 and unicodedata.category(chr(c))[0] == kind
        if inside and start is None:
            start = c
        elif not inside and start is not None:
            found.append((start, c - 1))
            start = None
    return found


def main():
    print("// SPDX-License-Identifier: Apache-2.0")
    print(f"// Made by tools/unicode_classes.py from Unicode {unicodedata.unidata_version}.")
    print("// clang-format off")
    for name, kind in (("kLetters", "L"), ("kNumbers", "N")):
        print(f"constexpr CodeRange {name}[] = {{")
        line = ""
        for first, last in ranges(kind):
            item = f"{{0x{first:x}, 0x{last:x}}}, "
            if len(line) + len(item) > 98:
                print(" " + line.rstrip())
                line = ""
            line += item
        print(" " + line.rstrip())
        print("};")
    print("// clang-format on")


if __name__ == "__main__":
    main()
