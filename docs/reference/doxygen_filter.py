#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Headers as doxygen wants them: the comment above a declaration, or behind a field, becomes its documentation.

The comment at the top of a header becomes that of the file. Characters that doxygen would read as commands are escaped.
"""
import re
import sys

COMMENT = re.compile(r"^(\s*)// ?(.*)$")
FIELD = re.compile(r"^(\s*[\w:<>,&\*\[\]{}()\"'.+\- =]+[;,])\s*// (.*)$")
DEFINITION = re.compile(r"^extern RUTILE_API const OpDef \w+;$")
FUNCTION = re.compile(r"^RUTILE_API [\w:<>]+ \w+\(")
HEADING = re.compile(r"^-{3,}|-{8,}$")  # "---- Modes ---------"


def plain(text):
    """Text without meaning for doxygen."""
    return re.sub(r"([\\@<>#%&$])", r"\\\1", text)


def block(lines, file):
    """A run of comment lines; indented ones are code."""
    out, code = [], False
    for indent, text in lines:
        example = text.startswith("  ") and (code or out[-1:] == ["///"] or not out)
        if example != code:
            out.append("/// @code{.cpp}" if example else "/// @endcode")
            code = example
        out.append("/// " + (text[2:] if example else plain(text)) if text else "///")
    if code:
        out.append("/// @endcode")
    if file:
        out.insert(0, "/// @file")
    return [lines[0][0] + line for line in out] if not file else out


def convert(text):
    """The whole header."""
    out, pending, shared, top = [], [], [], True
    # An op's definition stands before its function: what is said of it is said of the function.
    lines = [line for line in text.split("\n") if not DEFINITION.match(line)]
    for number, line in enumerate(lines):
        match = COMMENT.match(line)
        if number == 0:
            out.append(line)
            continue
        if match and not HEADING.search(match[2].strip()):
            pending.append((match[1], match[2]))
            continue
        if pending:
            # What ends in a blank line, or stands before a preprocessor line, describes nothing.
            if top:
                out += block(pending, True)
            elif line.strip() and not line.startswith("#") and not line.strip().startswith("}"):
                shared = block(pending, False)
                out += shared
            pending, top = [], False
        elif FUNCTION.match(line):
            out += shared  # one comment for a run of declarations
        if not line.strip():
            shared = []
        top = top and not line.strip()
        field = FIELD.match(line)
        out.append(f"{field[1]}  ///< {plain(field[2])}" if field else line)
    return "\n".join(out)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        sys.stdout.write(convert(file.read()))
